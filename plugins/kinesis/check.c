/*
 * `weir check --connect`: the calls with which a source begins, made for real on each stream, up to
 * the one that would read. What GetRecords may do only GetRecords can tell.
 */
#include <stdio.h>
#include <string.h>

#include "kinesis.h"
#include "request.h"

/* A service that is only busy is asked so often. */
#define ATTEMPTS_MAX 3u

typedef struct probe {
    kinesis *k;
    weir_check_live *args;
    const stream_ref *stream;
    bool answers;  /* endpoint and credentials were found to be right, and said so */
    bool finished; /* the call under way */
    bool hopeless; /* nothing else can be found out */
    bool again;    /* the answer may be another one in a moment */
    bool last;     /* attempt */
    weir_status status;
    uint32_t open, closed;
} probe;

static weir_status try_stream(probe *p);
static weir_status list_shards(probe *p, shard_list *list);
static weir_status get_iterator(probe *p, const shard_list *list);
static void finish(probe *p);
static void on_list(shard_list *list, weir_status status, const weir_aws_response *failed);
static void on_iterator(void *opaque, const weir_aws_response *response);
static void tell_failure(probe *p, const weir_aws_response *r);
static void tell_service(probe *p, bool keys);
static void say(probe *p, weir_status status, const char *text);

static weir_status check(void *self, weir_check_live *args) {
    kinesis *k = self;
    probe p = {.k = k, .args = args};
    weir_status first = WEIR_OK;
    for (uint32_t i = 0; i < k->options.stream_count && !p.hopeless; i++) {
        p.stream = &k->options.streams[i];
        weir_status status = try_stream(&p);
        if (atomic_load(&k->cancelled)) return WEIR_E_CANCELLED;
        if (first == WEIR_OK) first = status;
    }
    return first;
}

const weir_component_check kinesis_check = {.struct_size = sizeof(weir_component_check),
                                            .check = check};

static weir_status try_stream(probe *p) {
    kinesis *k = p->k;
    for (uint32_t attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        shard_list list = {0};
        p->last = attempt == ATTEMPTS_MAX;
        p->status = list_shards(p, &list);
        if (p->status == WEIR_OK) p->status = get_iterator(p, &list);
        shard_list_free(&list);
        if (!p->again || atomic_load(&k->cancelled)) break;
        int64_t until = weir_mono_ns(k->ctx) +
                        weir_aws_backoff_ns(k->ctx, attempt, 200 * KINESIS_MS, 2000 * KINESIS_MS);
        while (weir_mono_ns(k->ctx) < until && !atomic_load(&k->cancelled))
            weir_aws_drive(k->client, until);
    }
    if (p->status != WEIR_OK) return p->status;
    char text[STREAM_NAME_MAX + 80], more[32] = "";
    if (p->closed > 0) snprintf(more, sizeof more, ", %u closed", p->closed);
    snprintf(text, sizeof text, "stream %s: %u open shard%s%s", p->stream->name, p->open,
             p->open == 1 ? "" : "s", more);
    say(p, WEIR_OK, text);
    return WEIR_OK;
}

/* ---- the two calls ---- */

static weir_status list_shards(probe *p, shard_list *list) {
    list->client = p->k->client;
    list->stream = p->stream;
    list->deadline_ns = p->args->deadline_ns;
    list->timeout_ms = p->k->options.timeout_ms;
    list->done = on_list;
    list->opaque = p;
    p->finished = p->again = false;
    weir_status status = shard_list_start(list);
    if (status != WEIR_OK) {
        weir_fail(p->k->ctx, p->args->error, status, 0, "stream %s: ListShards cannot be called",
                  p->stream->name);
        say(p, status, "");
        return status;
    }
    finish(p);
    if (p->status != WEIR_OK) return p->status;
    p->open = p->closed = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        p->open += !list->shards[i].closed;
        p->closed += list->shards[i].closed;
    }
    return WEIR_OK;
}

/* Whether its records may be asked for, as far as that can be known without asking for them. */
static weir_status get_iterator(probe *p, const shard_list *list) {
    if (list->count == 0) return WEIR_OK;
    char body[REQUEST_BYTES];
    const shard_position none = {0};
    const stream_start oldest = {.kind = START_TRIM_HORIZON};
    weir_str text = {body, request_shard_iterator(body, sizeof body, p->stream,
                                                  list->shards[list->count - 1].id, &none, oldest)};
    weir_aws_call_args call = {.target = "Kinesis_20131202.GetShardIterator",
                               .body = text,
                               .account = p->stream->account[0] ? p->stream->account : NULL,
                               .plane = "data",
                               .attempts = 1,
                               .timeout_ms = p->k->options.timeout_ms,
                               .deadline_ns = p->args->deadline_ns,
                               .done = on_iterator,
                               .opaque = p};
    p->finished = p->again = false;
    weir_status status = weir_aws_call(p->k->client, &call);
    if (status != WEIR_OK) {
        weir_fail(p->k->ctx, p->args->error, status, 0,
                  "stream %s: GetShardIterator cannot be called", p->stream->name);
        say(p, status, "");
        return status;
    }
    finish(p);
    return p->status;
}

static void finish(probe *p) {
    while (!p->finished) {
        if (atomic_load(&p->k->cancelled)) weir_aws_cancel_all(p->k->client);
        if (!p->finished) weir_aws_drive(p->k->client, weir_mono_ns(p->k->ctx) + 1000 * KINESIS_MS);
    }
}

static void on_list(shard_list *list, weir_status status, const weir_aws_response *failed) {
    probe *p = list->opaque;
    p->finished = true;
    p->status = status;
    if (failed) {
        tell_failure(p, failed);
    } else if (status != WEIR_OK) {
        weir_fail(p->k->ctx, p->args->error, status, 0,
                  "endpoint %s: the answer is not one of ListShards",
                  weir_aws_endpoint(p->k->client));
        weir_fail_hint(p->k->ctx, p->args->error, "is that the endpoint of Kinesis?");
        say(p, status, "");
        p->hopeless = true;
    } else {
        tell_service(p, true);
    }
}

static void on_iterator(void *opaque, const weir_aws_response *response) {
    probe *p = opaque;
    p->finished = true;
    p->status = response->status;
    if (response->kind != WEIR_AWS_OK) tell_failure(p, response);
}

/* ---- what is said ---- */

static void tell_failure(probe *p, const weir_aws_response *r) {
    weir_ctx *ctx = p->k->ctx;
    weir_error *error = p->args->error;
    weir_aws_client *client = p->k->client;
    char what[STREAM_NAME_MAX + 320];
    if (r->kind == WEIR_AWS_CANCELLED) return;
    bool busy = r->kind == WEIR_AWS_THROTTLED || (r->kind == WEIR_AWS_TRANSIENT && r->http_status);
    p->again = busy && !p->last && weir_mono_ns(ctx) < p->args->deadline_ns;
    if (p->again) return;
    if (!r->http) { /* nothing was sent */
        p->hopeless = true;
        snprintf(what, sizeof what, "credentials from %.250s", weir_aws_keys_from(client));
        weir_aws_fail(ctx, error, client, r, what);
    } else if (r->http_status == 0) {
        p->hopeless = true;
        snprintf(what, sizeof what, "endpoint %.250s", weir_aws_endpoint(client));
        weir_aws_fail(ctx, error, client, r, what);
        if (r->status == WEIR_E_AUTH)
            weir_fail_hint(ctx, error,
                           "`ca_bundle` (or AWS_CA_BUNDLE) names the certificates to trust");
    } else if (r->status == WEIR_E_AUTH) {
        p->hopeless = true;
        tell_service(p, false);
        snprintf(what, sizeof what, "credentials from %.250s", weir_aws_keys_from(client));
        weir_aws_fail(ctx, error, client, r, what);
    } else {
        tell_service(p, r->kind == WEIR_AWS_DENIED || r->kind == WEIR_AWS_NOT_FOUND);
        snprintf(what, sizeof what, "stream %s", p->stream->name);
        weir_aws_fail(ctx, error, client, r, what);
    }
    say(p, r->status, "");
}

/* Once: that somebody is there, and whether he believes who we are. */
static void tell_service(probe *p, bool keys) {
    char text[640];
    if (p->answers) return;
    p->answers = true;
    snprintf(text, sizeof text, "endpoint %.500s answers", weir_aws_endpoint(p->k->client));
    say(p, WEIR_OK, text);
    if (!keys) return;
    snprintf(text, sizeof text, "credentials from %.500s ok", weir_aws_keys_from(p->k->client));
    say(p, WEIR_OK, text);
}

/* An empty text: what the error says. */
static void say(probe *p, weir_status status, const char *text) {
    p->args->report(p->args, status, weir_str_of(text));
}
