/*
 * The table of operations, and what all of them ask first: which stream, how often.
 */
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kinesis/stream.h"
#include "services.h"

const aws_exception KINESIS_NOT_FOUND = {"ResourceNotFoundException", 400},
                    KINESIS_IN_USE = {"ResourceInUseException", 400},
                    KINESIS_INVALID = {"InvalidArgumentException", 400},
                    KINESIS_LIMIT = {"LimitExceededException", 400},
                    KINESIS_VALIDATION = {"ValidationException", 400},
                    KINESIS_THROUGHPUT = {"ProvisionedThroughputExceededException", 400},
                    KINESIS_EXPIRED_ITERATOR = {"ExpiredIteratorException", 400},
                    KINESIS_EXPIRED_TOKEN = {"ExpiredNextTokenException", 400},
                    KINESIS_INTERNAL = {"InternalFailure", 500};

static const aws_operation operations[] = {
    {"PutRecords", kinesis_put_records, 0},
    {"GetRecords", kinesis_get_records, 0},
    {"PutRecord", kinesis_put_record, 0},
    {"GetShardIterator", kinesis_get_shard_iterator, 0},
    {"SubscribeToShard", kinesis_subscribe, 0},
    {"CreateStream", kinesis_create_stream, 0},
    {"DeleteStream", kinesis_delete_stream, 0},
    {"DescribeStream", kinesis_describe_stream, 0},
    {"DescribeStreamSummary", kinesis_describe_stream_summary, 0},
    {"ListStreams", kinesis_list_streams, 0},
    {"ListShards", kinesis_list_shards, 0},
    {"DescribeLimits", kinesis_describe_limits, 0},
    {"SplitShard", kinesis_split_shard, 0},
    {"MergeShards", kinesis_merge_shards, 0},
    {"UpdateShardCount", kinesis_update_shard_count, 0},
    {"IncreaseStreamRetentionPeriod", kinesis_increase_retention, 0},
    {"DecreaseStreamRetentionPeriod", kinesis_decrease_retention, 0},
    {"StartStreamEncryption", kinesis_start_encryption, 0},
    {"StopStreamEncryption", kinesis_stop_encryption, 0},
    {"RegisterStreamConsumer", kinesis_register_consumer, 0},
    {"DescribeStreamConsumer", kinesis_describe_consumer, 0},
    {"ListStreamConsumers", kinesis_list_consumers, 0},
    {"DeregisterStreamConsumer", kinesis_deregister_consumer, 0},
    {"AddTagsToStream", kinesis_add_tags, 0},
    {"RemoveTagsFromStream", kinesis_remove_tags, 0},
    {"ListTagsForStream", kinesis_list_tags, 0},
    {"TagResource", kinesis_tag_resource, 0},
    {"UntagResource", kinesis_untag_resource, 0},
    {"ListTagsForResource", kinesis_list_resource_tags, 0},
    {"UpdateMaxRecordSize", kinesis_update_max_record_size, 0},
    {"UpdateStreamMode", kinesis_update_stream_mode, 0},
    {"UpdateStreamWarmThroughput", kinesis_update_warm_throughput, 0},
    {"DescribeAccountSettings", kinesis_describe_account_settings, 0},
    {"UpdateAccountSettings", kinesis_update_account_settings, 0},
    {"PutResourcePolicy", kinesis_put_policy, 0},
    {"GetResourcePolicy", kinesis_get_policy, 0},
    {"DeleteResourcePolicy", kinesis_delete_policy, 0},
    {"EnableEnhancedMonitoring", kinesis_enable_monitoring, 0},
    {"DisableEnhancedMonitoring", kinesis_disable_monitoring, 0},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* Calls a second that the account (or one stream of it, which is the same for a test) may make. */
static const struct {
    const char *operation;
    double a_second;
} rates[] = {
    {"CreateStream", 5},
    {"DeleteStream", 5},
    {"DescribeStream", 10},
    {"DescribeStreamSummary", 20},
    {"ListStreams", 5},
    {"DescribeLimits", 1},
    {"SplitShard", 5},
    {"MergeShards", 5},
    {"UpdateShardCount", 10},
    {"IncreaseStreamRetentionPeriod", 5},
    {"ListShards", 1000},
    {"DecreaseStreamRetentionPeriod", 5},
    {"RegisterStreamConsumer", 5},
    {"DeregisterStreamConsumer", 5},
    {"ListStreamConsumers", 5},
    {"DescribeStreamConsumer", 20},
    {"AddTagsToStream", 5},
    {"RemoveTagsFromStream", 5},
    {"ListTagsForStream", 5},
    {"StartStreamEncryption", 5},
    {"StopStreamEncryption", 5},
    {"UpdateStreamWarmThroughput", 5},
    {"DescribeAccountSettings", 5},
    {"UpdateAccountSettings", 5},
};
#define RATES (sizeof rates / sizeof rates[0])

bool kinesis_rate(aws_call *call) {
    kinesis *k = call->state;
    if (!k->limits) return true;
    for (size_t i = 0; i < RATES; i++) {
        if (strcmp(rates[i].operation, call->operation->name) != 0) continue;
        if (k->rates[i].rate <= 0) aws_budget_init(&k->rates[i], rates[i].a_second, kinesis_now(k));
        if (aws_budget_spend(&k->rates[i], 1, kinesis_now(k))) return true;
        aws_fail(call, &KINESIS_LIMIT, "Rate exceeded for account %s.",
                 local_settings(k->home)->account);
        return false;
    }
    return true;
}

void kinesis_invalid(aws_call *call, weir_str value, const char *field, const char *format, ...) {
    char constraint[512];
    va_list list;
    va_start(list, format);
    vsnprintf(constraint, sizeof constraint, format, list);
    va_end(list);
    aws_fail(call, &KINESIS_VALIDATION,
             "1 validation error detected: Value '%.*s' at '%s' failed to satisfy constraint: %s",
             value.len > 128 ? 128 : (int)value.len, value.ptr ? value.ptr : "", field, constraint);
}

bool kinesis_between(aws_call *call, int64_t value, const char *field, int64_t lo, int64_t hi) {
    if (value >= lo && value <= hi) return true;
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    kinesis_invalid(call, str_make(text, (uint64_t)n), field,
                    "Member must have value between %" PRId64 " and %" PRId64, lo, hi);
    return false;
}

stream *kinesis_resource(kinesis *k, weir_str arn, consumer **of_stream) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    *of_stream = NULL;
    while (arn.ptr && map_next(k->streams, &cursor, &name, &value)) {
        stream *s = value;
        if (str_eq_z(arn, s->arn)) return s;
        for (consumer *c = s->consumers; c; c = c->next) {
            if (!str_eq_z(arn, c->arn)) continue;
            *of_stream = c;
            return s;
        }
    }
    return NULL;
}

static stream *by_arn(aws_call *call, weir_str arn) {
    kinesis *k = call->state;
    const char *mark = NULL;
    if (arn.len > 8) mark = memmem(arn.ptr, (size_t)arn.len, ":stream/", 8);
    if (!mark || !str_starts(arn, STR("arn:"))) {
        kinesis_invalid(
            call, arn, "streamARN",
            "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+");
        return NULL;
    }
    weir_str name = str_make(mark + 8, (size_t)(arn.ptr + arn.len - mark) - 8);
    stream *s = map_get(k->streams, name);
    if (!s || !str_eq(arn, str_of(s->arn))) {
        aws_fail(call, &KINESIS_NOT_FOUND, "Stream %.*s under account %s not found.", STR_FMT(name),
                 local_settings(k->home)->account);
        return NULL;
    }
    return s;
}

stream *stream_of_call(aws_call *call) {
    kinesis *k = call->state;
    weir_str name = aws_in_str(call, "StreamName"), arn = aws_in_str(call, "StreamARN");
    if (!name.ptr && !arn.ptr) {
        aws_fail(call, &KINESIS_INVALID, "Either StreamName or StreamARN should be provided.");
        return NULL;
    }
    stream *s = arn.ptr ? by_arn(call, arn) : map_get(k->streams, name);
    if (!s) {
        if (!arn.ptr)
            aws_fail(call, &KINESIS_NOT_FOUND, "Stream %.*s under account %s not found.",
                     STR_FMT(name), local_settings(k->home)->account);
        return NULL;
    }
    if (name.ptr && !str_eq_z(name, s->name)) {
        aws_fail(call, &KINESIS_INVALID, "StreamARN and StreamName do not name the same stream.");
        return NULL;
    }
    stream_trim(s);
    return s;
}

stream *stream_of_call_usable(aws_call *call) {
    stream *s = stream_of_call(call);
    if (!s || stream_usable(s)) return s;
    aws_fail(call, &KINESIS_NOT_FOUND, "Stream %s under account %s not found.", s->name,
             local_settings(s->of->home)->account);
    return NULL;
}

/* ---- the service ---- */

static void kinesis_free(void *state) {
    kinesis *k = state;
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(k->streams, &cursor, &name, &value)) stream_free(value);
    map_free(k->streams);
    mem_free(k);
}

/* ---- the command line: NAME:SHARDS ---- */

static bool read_stream(const char *text, weir_str *name, int64_t *shards, char *error,
                        size_t size) {
    const char *colon = strrchr(text, ':');
    *name = colon ? str_make(text, (size_t)(colon - text)) : STR("");
    if (!colon)
        snprintf(error, size, "--stream '%.200s': expected NAME:SHARDS, such as clicks:2", text);
    else if (!kinesis_name_is_valid(*name))
        snprintf(
            error, size,
            "--stream '%.200s': expected a name of 1 to 128 characters, each of a-z, A-Z, 0-9, "
            "'_', '.' and '-', in front of the colon",
            text);
    else if (!str_to_i64(str_of(colon + 1), shards) || *shards < 1 ||
             *shards > (int64_t)KINESIS_SHARDS_MAX)
        snprintf(error, size, "--stream '%.200s': expected 1 to %u shards behind the colon", text,
                 KINESIS_SHARDS_MAX);
    else
        return true;
    return false;
}

static bool setup(void *own, const local_setup *wanted, char *error, size_t size) {
    kinesis *k = own;
    for (uint32_t i = 0; i < wanted->stream_count; i++) {
        weir_str name, other;
        int64_t shards, others;
        if (!read_stream(wanted->streams[i], &name, &shards, error, size)) return false;
        for (uint32_t j = 0; j < i; j++) {
            if (!read_stream(wanted->streams[j], &other, &others, error, size)) return false;
            if (!str_eq(name, other) || shards == others) continue;
            snprintf(
                error, size,
                "--stream '%.200s': expected each name once, found --stream '%.200s' in front of it",
                wanted->streams[i], wanted->streams[j]);
            return false;
        }
        if (!map_get(k->streams, name) && !stream_new(k, name, (uint32_t)shards, ACTIVE))
            return false;
    }
    return true;
}

/* POST /_weir/kinesis: what the service has no operation for. */
static bool admin(void *own, const weir_value *in, buf *out) {
    kinesis *k = own;
    int64_t shards = weir_json_get_i64(in, "account_shards", k->account_shards);
    if (shards < 1 || shards > UINT32_MAX) {
        buf_printf(out, "account_shards: expected a number from 1, found %" PRId64, shards);
        return false;
    }
    k->account_shards = (uint32_t)shards;
    k->limits = weir_json_get_bool(in, "limits", k->limits) != 0;
    int64_t memory = weir_json_get_i64(in, "memory_bytes", (int64_t)k->memory_max);
    k->memory_max = memory > 0 ? (uint64_t)memory : k->memory_max;
    k->event_every_ms = weir_json_get_i64(in, "event_every_ms", k->event_every_ms);
    k->subscription_ms = weir_json_get_i64(in, "subscription_ms", k->subscription_ms);
    buf_printf(out,
               "{\"limits\":%s,\"memory_bytes\":%" PRIu64 ",\"memory_used\":%" PRIu64
               ",\"event_every_ms\":%" PRId64 ",\"subscription_ms\":%" PRId64
               ",\"account_shards\":%" PRIu32 "}",
               k->limits ? "true" : "false", k->memory_max, k->memory, k->event_every_ms,
               k->subscription_ms, k->account_shards);
    return true;
}

bool kinesis_service(local *home, local_service *out) {
    kinesis *k = mem_zalloc(sizeof *k);
    if (!k) return false;
    k->home = home;
    k->limits = true;
    k->account_shards = kinesis_account_shards_of(local_settings(home)->region);
    k->memory_max = UINT64_C(2) << 30;
    k->event_every_ms = 5000;
    k->subscription_ms = 300000;
    _Static_assert(RATES <= KINESIS_RATES, "kinesis.rates is too small");
    k->streams = map_new();
    aws_service service = {"kinesis", "Kinesis_20131202", "1.1", operations, OPERATIONS, true,
                           k,         kinesis_free};
    bool ok = k->streams && RAND_bytes((unsigned char *)k->token_key, sizeof k->token_key) == 1;
    if (ok && aws_json_service(home, &service, out)) {
        out->admin = admin;
        out->setup = setup;
        out->save = kinesis_save;
        out->load = kinesis_load;
        return true;
    }
    if (k->streams)
        kinesis_free(k);
    else
        mem_free(k);
    return false;
}
