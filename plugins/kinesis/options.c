#include <stdio.h>
#include <string.h>

#include "kinesis.h"
#include "moment.h"

static weir_status bad_option(weir_ctx *ctx, weir_error *error, const char *option,
                              const char *expected, weir_str found);
static weir_status read_streams(weir_ctx *ctx, kinesis_options *o, weir_error *error);
static weir_status read_moment(weir_ctx *ctx, const char *key, const char *format_key, int64_t *us,
                               weir_error *error);
static void read_retry(weir_ctx *ctx, kinesis_options *o);

weir_status options_read(weir_ctx *ctx, kinesis_options *o, weir_error *error) {
    memset(o, 0, sizeof *o);
    weir_status status = read_streams(ctx, o, error);
    if (status == WEIR_OK && weir_opt_is_set(ctx, "start.timestamp")) {
        o->start.kind = START_TIMESTAMP;
        status = read_moment(ctx, "start.timestamp", "start.format", &o->start.us, error);
    } else if (weir_opt_is(ctx, "start", "trim_horizon")) {
        o->start.kind = START_TRIM_HORIZON;
    } else {
        o->start_latest = true;
    }
    o->stop_us = STOP_NEVER;
    if (status == WEIR_OK && weir_opt_is_set(ctx, "stop.timestamp"))
        status = read_moment(ctx, "stop.timestamp", NULL, &o->stop_us, error);
    else
        o->stop_latest = weir_opt_is(ctx, "stop", "latest");
    o->records_per_call = (uint32_t)weir_opt_i64(ctx, "records_per_call");
    if (o->records_per_call == 0 || o->records_per_call > 10000) o->records_per_call = 10000;
    o->interval_ns = weir_opt_i64(ctx, "interval");
    o->empty_ns = weir_opt_i64(ctx, "empty_interval");
    o->discovery_ns = weir_opt_i64(ctx, "discovery_interval");
    if (o->discovery_ns <= 0) o->discovery_ns = 10000 * KINESIS_MS;
    o->adaptive = weir_opt_bool(ctx, "adaptive_reads");
    o->parent_first = !weir_opt_is(ctx, "shard_order", "none");
    read_retry(ctx, o);
    if (status != WEIR_OK) options_free(ctx, o);
    return status;
}

void options_free(weir_ctx *ctx, kinesis_options *o) {
    weir_free(ctx, o->streams);
    o->streams = NULL;
    o->stream_count = 0;
}

void split_id(const kinesis *k, const stream_ref *stream, const char *shard_id, char out[256]) {
    if (k->options.stream_count > 1)
        snprintf(out, 256, "%s:%s", stream->name, shard_id);
    else
        snprintf(out, 256, "%s", shard_id);
}

int64_t options_backoff_ns(weir_ctx *ctx, const kinesis_options *o, uint32_t failures) {
    if (o->jitter) return weir_aws_backoff_ns(ctx, failures, o->retry_base_ns, o->retry_max_ns);
    int64_t delay = o->retry_base_ns;
    for (uint32_t f = 1; f < failures && delay < o->retry_max_ns; f++) delay *= 2;
    return delay < o->retry_max_ns ? delay : o->retry_max_ns;
}

static weir_status read_streams(weir_ctx *ctx, kinesis_options *o, weir_error *error) {
    bool many = weir_opt_is_set(ctx, "streams");
    const char *key = many ? "streams" : "stream";
    uint32_t count = many ? weir_opt_count(ctx, "streams") : 1;
    weir_str none = {"", 0};
    if (count == 0) return bad_option(ctx, error, key, "at least one stream", none);
    o->streams = weir_zalloc(ctx, (uint64_t)count * sizeof *o->streams);
    if (!o->streams) return weir_fail(ctx, error, WEIR_E_NOMEM, 0, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        weir_str text = weir_opt_str(ctx, "stream");
        if (many && weir_opt_entry(ctx, "streams", i, NULL, &text) != WEIR_OK) text = none;
        stream_ref *s = &o->streams[i];
        const char *wrong = stream_parse(s, text);
        if (wrong) return bad_option(ctx, error, key, wrong, text);
        for (uint32_t j = 0; j < i; j++) {
            const stream_ref *other = &o->streams[j];
            if (strcmp(other->name, s->name) == 0)
                return bad_option(ctx, error, key, "each stream once", text);
            if (other->region[0] && s->region[0] && strcmp(other->region, s->region) != 0)
                return bad_option(ctx, error, key, "streams of one region", text);
        }
        o->stream_count = i + 1;
    }
    return WEIR_OK;
}

static weir_status read_moment(weir_ctx *ctx, const char *key, const char *format_key, int64_t *us,
                               weir_error *error) {
    weir_str text = weir_opt_str(ctx, key), format = {"", 0};
    if (format_key) format = weir_opt_str(ctx, format_key);
    if (moment_parse(text, format, us)) return WEIR_OK;
    return bad_option(ctx, error, key,
                      format.len ? "a time as start.format says, RFC 3339, or seconds since 1970"
                                 : "a time such as 2026-01-01T00:00:00Z, or seconds since 1970",
                      text);
}

/* A host that does not know these words answers 0. */
static void read_retry(weir_ctx *ctx, kinesis_options *o) {
    o->attempts = weir_opt_i64(ctx, "retry.attempts");
    o->retry_base_ns = weir_opt_i64(ctx, "retry.base");
    o->retry_max_ns = weir_opt_i64(ctx, "retry.max");
    int64_t timeout_ns = weir_opt_i64(ctx, "retry.timeout");
    int64_t jitter;
    o->jitter =
        weir_api_of(ctx)->config.get_i64(ctx, "retry.jitter", &jitter) != WEIR_OK || jitter != 0;
    if (o->attempts <= 0) o->attempts = INT64_MAX;
    if (o->retry_base_ns <= 0) o->retry_base_ns = 300 * KINESIS_MS;
    if (o->retry_max_ns <= 0) o->retry_max_ns = 20000 * KINESIS_MS;
    if (timeout_ns <= 0) timeout_ns = 60000 * KINESIS_MS;
    int64_t timeout_ms = timeout_ns / KINESIS_MS + (timeout_ns % KINESIS_MS != 0);
    o->timeout_ms = timeout_ms < UINT32_MAX ? (uint32_t)timeout_ms : UINT32_MAX;
}

static weir_status bad_option(weir_ctx *ctx, weir_error *error, const char *option,
                              const char *expected, weir_str found) {
    weir_fail(ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG | WEIR_ERR_FATAL,
              "%s: expected %s, found \"%.*s\"", option, expected,
              (int)(found.len < 256 ? found.len : 256), found.ptr);
    weir_fail_detail(ctx, error, WEIR_DETAIL_OPTION, weir_str_of(option));
    return WEIR_E_INVALID_ARG;
}
