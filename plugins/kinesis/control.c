/*
 * The CONTROL instance: which shards there are. Where each stream begins and ends is decided at its
 * first enumeration and kept in a checkpoint, so that `latest` means one moment, for a shard that
 * is found an hour later as well.
 */
#include <stdio.h>
#include <string.h>

#include "kinesis.h"

/* A server clock that differs less than this is not trusted more than ours: its Date header has
 * whole seconds and travels. */
#define CLOCK_SLACK_US 5000000

typedef struct listing {
    kinesis *k;
    weir_error *error;
    const stream_ref *stream;
    int64_t *fails; /* in a row */
    bool finished;
    uint32_t kind; /* WEIR_AWS_* of the failure */
    weir_status status;
} listing;

static weir_status update(kinesis *k, weir_enumerate *args, bool first);
static bool passes(uint32_t kind);
static weir_status list_stream(kinesis *k, weir_enumerate *args, uint32_t index, shard_list *list,
                               uint32_t *kind);
static void on_listed(shard_list *list, weir_status status, const weir_aws_response *failed);
static void fix_moments(kinesis *k, uint32_t index, int64_t server_us);
static weir_status add_split(kinesis *k, weir_enumerate *args, uint32_t index,
                             const shard_info *info);
static bool is_complete(const kinesis *k, int64_t now_us);

static weir_status enumerate(void *self, weir_enumerate *args) {
    return update(self, args, true);
}

/* Trouble on the way is no reason to fail a running pipeline: the next look may succeed. */
static weir_status discover(void *self, weir_enumerate *args) {
    return update(self, args, false);
}

const weir_source_splits kinesis_splits = {
    .struct_size = sizeof(weir_source_splits), .enumerate = enumerate, .discover = discover};

weir_status control_restore(kinesis *k, const weir_open *args) {
    k->starts = weir_zalloc(k->ctx, (uint64_t)k->options.stream_count * sizeof *k->starts);
    k->stops = weir_zalloc(k->ctx, (uint64_t)k->options.stream_count * sizeof *k->stops);
    k->list_fails = weir_zalloc(k->ctx, (uint64_t)k->options.stream_count * sizeof(int64_t));
    if (!k->starts || !k->stops || !k->list_fails)
        return weir_fail(k->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    for (uint32_t i = 0; i < args->blob_count; i++) {
        split_plan plan;
        if (!private_decode(args->blobs[i]->bytes, &plan)) continue;
        for (uint32_t j = 0; j < k->options.stream_count; j++) {
            if (strcmp(plan.stream.name, k->options.streams[j].name) != 0) continue;
            k->starts[j] = plan.start;
            /* Where reading ends is what the options say now; `latest` keeps the moment it had. */
            k->stops[j] = k->options.stop_us;
            if (k->options.stop_latest)
                k->stops[j] = plan.stop_us != STOP_NEVER ? plan.stop_us : weir_wall_us(k->ctx);
        }
    }
    return WEIR_OK;
}

weir_status control_snapshot(kinesis *k, weir_snapshot *args) {
    for (uint32_t i = 0; i < k->options.stream_count; i++) {
        if (k->starts[i].kind == 0) continue;
        split_plan plan = {k->options.streams[i], k->starts[i], k->stops[i]};
        char bytes[PRIVATE_BYTES_MAX];
        weir_blob blob = {.struct_size = sizeof blob,
                          .scope = WEIR_SCOPE_BROADCAST,
                          .state_version = 1,
                          .bytes = {bytes, private_encode(&plan, bytes)}};
        weir_status status = weir_api_of(k->ctx)->state.write(args->writer, &blob);
        if (status != WEIR_OK)
            return weir_fail(k->ctx, args->error, status, 0, "cannot write where streams begin");
    }
    return WEIR_OK;
}

static weir_status update(kinesis *k, weir_enumerate *args, bool first) {
    int64_t now = weir_mono_ns(k->ctx), next = now + k->options.discovery_ns;
    bool missed = false;
    for (uint32_t i = 0; i < k->options.stream_count; i++) {
        shard_list list = {0};
        uint32_t kind = WEIR_AWS_OK;
        weir_status status = list_stream(k, args, i, &list, &kind);
        if (status == WEIR_OK) {
            fix_moments(k, i, list.server_us);
            for (uint32_t s = 0; status == WEIR_OK && s < list.count; s++)
                status = add_split(k, args, i, &list.shards[s]);
            if (status != WEIR_OK) weir_fail(k->ctx, args->error, status, 0, "cannot take a shard");
        } else if (!first && passes(kind) && k->list_fails[i] < k->options.attempts) {
            int64_t fails = k->list_fails[i], delay;
            if ((fails & (fails - 1)) == 0)
                weir_log(k->ctx, WEIR_LOG_WARN,
                         "cannot list the shards of %s at present (failure %lld)",
                         k->options.streams[i].name, (long long)fails);
            delay = options_backoff_ns(k->ctx, &k->options, fails < 1000 ? (uint32_t)fails : 1000);
            if (now + delay < next) next = now + delay;
            missed = true;
            status = WEIR_OK;
        }
        shard_list_free(&list);
        if (status != WEIR_OK) return status;
    }
    args->next_ns = !missed && is_complete(k, weir_wall_us(k->ctx)) ? 0 : next;
    return WEIR_OK;
}

/* Failures that another look may not meet. */
static bool passes(uint32_t kind) {
    return kind == WEIR_AWS_THROTTLED || kind == WEIR_AWS_TRANSIENT;
}

static weir_status list_stream(kinesis *k, weir_enumerate *args, uint32_t index, shard_list *list,
                               uint32_t *kind) {
    listing job = {.k = k,
                   .error = args->error,
                   .stream = &k->options.streams[index],
                   .fails = &k->list_fails[index]};
    /* The moment is taken before the listing: a shard born in between is in both. */
    if (k->starts[index].kind == 0) {
        k->starts[index] = k->options.start;
        if (k->options.start_latest) {
            k->starts[index].kind = 0;
            k->starts[index].us = weir_wall_us(k->ctx);
        }
        k->stops[index] = k->options.stop_latest ? weir_wall_us(k->ctx) : k->options.stop_us;
    }
    list->client = k->client;
    list->stream = job.stream;
    /* Not for a start that is still open, nor one that may lie ahead of the server's clock. */
    bool past = k->starts[index].us < weir_wall_us(k->ctx) - CLOCK_SLACK_US;
    list->from = k->starts[index].kind == START_TIMESTAMP && past ? &k->starts[index] : NULL;
    list->deadline_ns = args->deadline_ns;
    list->timeout_ms = k->options.timeout_ms;
    list->done = on_listed;
    list->opaque = &job;
    weir_status status = shard_list_start(list);
    if (status != WEIR_OK)
        return weir_fail(k->ctx, args->error, status, 0, "cannot list the shards of %s",
                         job.stream->name);
    while (!job.finished) {
        if (atomic_load(&k->cancelled)) weir_aws_cancel_all(k->client);
        if (!job.finished) weir_aws_drive(k->client, weir_mono_ns(k->ctx) + 1000 * KINESIS_MS);
    }
    *kind = job.kind;
    if (job.status != WEIR_OK && atomic_load(&k->cancelled)) return WEIR_E_CANCELLED;
    return job.status;
}

static void on_listed(shard_list *list, weir_status status, const weir_aws_response *failed) {
    listing *job = list->opaque;
    job->finished = true;
    job->status = status;
    kinesis *k = job->k;
    if (status == WEIR_OK) {
        *job->fails = 0;
        return;
    }
    char what[256];
    int n = snprintf(what, sizeof what, "cannot list the shards of stream %s", job->stream->name);
    if (!failed) {
        weir_fail(k->ctx, job->error, status, 0, "%s: the answer is not one of ListShards", what);
        return;
    }
    /* A stream that is being created, or changed, is there in a moment. */
    static const weir_str in_use = {"ResourceInUseException", 22};
    weir_aws_response later = *failed;
    if (failed->code.len == in_use.len && memcmp(failed->code.ptr, in_use.ptr, in_use.len) == 0) {
        later.kind = WEIR_AWS_TRANSIENT;
        later.status = WEIR_E_IO;
        failed = &later;
    }
    job->kind = failed->kind;
    if (passes(failed->kind) && ++*job->fails >= k->options.attempts) {
        /* Whoever is above shall not multiply what the node's `retry` allows. */
        snprintf(what + n, sizeof what - (size_t)n, ", attempt %lld of %lld",
                 (long long)*job->fails, (long long)k->options.attempts);
        job->status = weir_aws_fail_last(k->ctx, job->error, k->client, failed, what);
    } else {
        job->status = weir_aws_fail(k->ctx, job->error, k->client, failed, what);
    }
}

/* Gives `latest` its moment. If our clock is far off, the server's counts. */
static void fix_moments(kinesis *k, uint32_t index, int64_t server_us) {
    bool start_open = k->starts[index].kind == 0;
    if (!start_open) return;
    int64_t ours = k->starts[index].us;
    bool off = server_us != INT64_MIN &&
               (ours > server_us + CLOCK_SLACK_US || ours < server_us - CLOCK_SLACK_US);
    if (off)
        weir_log(k->ctx, WEIR_LOG_WARN,
                 "this machine's clock is %lld s away from that of the service: its clock counts",
                 (long long)((ours - server_us) / 1000000));
    k->starts[index].kind = START_TIMESTAMP;
    if (off) k->starts[index].us = server_us;
    if (off && k->options.stop_latest) k->stops[index] = server_us + 1000000;
}

static weir_status add_split(kinesis *k, weir_enumerate *args, uint32_t index,
                             const shard_info *info) {
    const stream_ref *stream = &k->options.streams[index];
    split_plan plan = {*stream, k->starts[index], k->stops[index]};
    char id[256], private_bytes[PRIVATE_BYTES_MAX], parents[2][256];
    const char *parent_ptr[2];
    uint32_t parent_len[2], parent_count = 0;
    split_id(k, stream, info->id, id);
    const char *named[2] = {info->parent, info->adjacent};
    for (int i = 0; i < 2; i++) {
        if (!k->options.parent_first || !named[i][0]) continue;
        split_id(k, stream, named[i], parents[parent_count]);
        parent_ptr[parent_count] = parents[parent_count];
        parent_len[parent_count] = (uint32_t)strlen(parents[parent_count]);
        parent_count++;
    }
    weir_split split = {.struct_size = sizeof split,
                        .parent_count = parent_count,
                        .id = weir_str_of(id),
                        .private_bytes = {private_bytes, private_encode(&plan, private_bytes)},
                        .position = {"", 0},
                        .parent_ptr = parent_ptr,
                        .parent_len = parent_len};
    return weir_api_of(k->ctx)->task.split_add(args->list, &split);
}

/* Bounded: what was listed after the end of reading holds all there will ever be. */
static bool is_complete(const kinesis *k, int64_t now_us) {
    for (uint32_t i = 0; i < k->options.stream_count; i++)
        if (k->stops[i] == STOP_NEVER || k->stops[i] >= now_us) return false;
    return true;
}
