/*
 * A source and a two-phase sink that write every call of the checkpoint protocol to a file, one
 * line each: see witness.json. Lines are whole, also when both write.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "weir/sdk.h"

typedef struct witness {
    weir_ctx *ctx;
    int journal;
    uint32_t role;
    uint64_t count, next; /* source */
    int assigned;
    int64_t due_ns;
    uint64_t records; /* sink: since the last prepare */
    uint64_t total;   /* sink: ever, its private state */
    int tries;        /* of commit, or of flush */
} witness;

static void tell(witness *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(witness *self, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[n] = '\n';
    if (write(self->journal, line, (size_t)n + 1) < 0) _exit(99);
}

static weir_status create(weir_create *args) {
    witness *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->journal = -1;
    args->self = self;
    return WEIR_OK;
}

static void destroy(void *opaque) {
    witness *self = opaque;
    weir_free(self->ctx, self);
}

static weir_status open_journal(witness *self, weir_open *args) {
    self->role = args->role;
    self->journal = open(weir_opt_str(self->ctx, "journal").ptr,
                         O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (self->journal < 0) {
        return weir_fail(self->ctx, args->error, WEIR_E_IO, 0, "no journal");
    }
    return WEIR_OK;
}

static weir_status shut(void *opaque, weir_close *args) {
    witness *self = opaque;
    if (self->role != WEIR_ROLE_CONTROL) {
        tell(self, "%s close %s", self->count > 0 ? "source" : "sink",
             args->mode == WEIR_CLOSE_DRAIN ? "drain" : "abandon");
    }
    close(self->journal);
    return WEIR_OK;
}

static void cancel(void *opaque) {
    (void)opaque;
}

/* ---- the source ---- */

static weir_status source_open(void *opaque, weir_open *args) {
    witness *self = opaque;
    weir_status status = open_journal(self, args);
    if (status != WEIR_OK) return status;
    weir_str file = weir_opt_str(self->ctx, "opens_with");
    if (args->role == WEIR_ROLE_CONTROL && file.len > 0) {
        char path[256];
        snprintf(path, sizeof path, "%.*s", (int)file.len, file.ptr);
        while (access(path, F_OK) != 0) usleep(1000);
    }
    self->count = (uint64_t)weir_opt_i64(self->ctx, "count");
    if (self->count == 0) self->count = UINT64_MAX;
    if (self->role == WEIR_ROLE_TASK) {
        tell(self, "source open restored=%d", args->restored_epoch > 0);
        for (uint32_t b = 0; b < args->blob_count; b++) {
            tell(self, "source blob scope=%u version=%u %.*s", args->blobs[b]->scope,
                 args->blobs[b]->state_version, (int)args->blobs[b]->bytes.len,
                 args->blobs[b]->bytes.ptr);
        }
    }
    return WEIR_OK;
}

static weir_status source_assign(void *opaque, weir_assign *args) {
    witness *self = opaque;
    self->assigned = args->count > 0;
    self->next = 0;
    if (self->assigned && args->position_len[0] == 8) {
        memcpy(&self->next, args->position_ptr[0], 8);
        self->next = __builtin_bswap64(self->next);
    }
    tell(self, "assign %llu", (unsigned long long)self->next);
    return WEIR_OK;
}

static weir_status source_poll(void *opaque, weir_poll *args) {
    witness *self = opaque;
    if (!self->assigned || args->room_records == 0) return WEIR_AGAIN;
    if (self->next == self->count) return WEIR_END;
    int64_t now = weir_mono_ns(self->ctx);
    if (self->count == UINT64_MAX && now < self->due_ns) {
        args->next_ns = self->due_ns;
        return WEIR_AGAIN;
    }
    self->due_ns = now + 1000000;
    const weir_host_batch *api = &weir_api_of(self->ctx)->batch;
    weir_batch_builder *b = api->begin(self->ctx, 1, 0);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    char *text = b != NULL ? api->alloc(b, 32) : NULL;
    if (text == NULL || api->reserve(b, 1, &columns) != WEIR_OK) return WEIR_E_NOMEM;
    columns.value_ptr[0] = text;
    columns.value_len[0] = (uint32_t)snprintf(text, 32, "%llu", (unsigned long long)self->next++);
    api->commit(b, 1);
    uint64_t position = __builtin_bswap64(self->next);
    weir_batch_seal seal = {.struct_size = sizeof seal,
                            .split = weir_str_of("0"),
                            .resume = {(const char *)&position, 8},
                            .lag_ms = -1};
    args->batch = api->seal(b, &seal);
    return args->batch != NULL ? WEIR_OK : WEIR_E_NOMEM;
}

static weir_status source_snapshot(void *opaque, weir_snapshot *args) {
    witness *self = opaque;
    bool control = self->role == WEIR_ROLE_CONTROL;
    weir_blob blob = {.struct_size = sizeof blob,
                      .scope = WEIR_SCOPE_BROADCAST,
                      .bytes = weir_str_of(control ? "control" : "kept")};
    return weir_api_of(self->ctx)->state.write(args->writer, &blob);
}

static weir_status source_done(void *opaque, weir_checkpoint_done *args) {
    (void)args;
    tell(opaque, "done");
    return WEIR_OK;
}

static const weir_source_ops source_ops = {.struct_size = sizeof source_ops,
                                           .create = create,
                                           .destroy = destroy,
                                           .open = source_open,
                                           .assign = source_assign,
                                           .poll = source_poll,
                                           .snapshot = source_snapshot,
                                           .checkpoint_done = source_done,
                                           .cancel = cancel,
                                           .close = shut};

/* ---- the sink ---- */

static weir_status sink_open(void *opaque, weir_open *args) {
    witness *self = opaque;
    weir_status status = open_journal(self, args);
    if (status != WEIR_OK) return status;
    tell(self, "sink open %s restored=%d run=%llu",
         args->role == WEIR_ROLE_COMMITTER ? "committer" : "task", args->restored_epoch > 0,
         (unsigned long long)args->run_id.len);
    for (uint32_t b = 0; b < args->blob_count; b++) {
        tell(self, "sink blob scope=%u version=%u %.*s", args->blobs[b]->scope,
             args->blobs[b]->state_version, (int)args->blobs[b]->bytes.len,
             args->blobs[b]->bytes.ptr);
    }
    return WEIR_OK;
}

static weir_status sink_write(void *opaque, weir_write *args) {
    witness *self = opaque;
    args->taken = args->request->rows->count;
    self->records += args->taken;
    self->total += args->taken;
    weir_write_ok(self->ctx, args->token);
    return WEIR_OK;
}

static weir_status sink_flush(void *opaque, weir_flush *args) {
    witness *self = opaque;
    tell(self, "flush last=%u", args->last);
    if (weir_opt_is(self->ctx, "flush", "fatal")) {
        return weir_fail(self->ctx, args->error, WEIR_E_IO, 0, "the disk is gone");
    }
    if (weir_opt_is(self->ctx, "flush", "fail_once") && self->tries++ == 0) {
        return weir_fail(self->ctx, args->error, WEIR_E_IO, WEIR_ERR_RETRYABLE, "the disk is full");
    }
    weir_flush_done(self->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

static weir_status sink_prepare(void *opaque, weir_prepare *args) {
    witness *self = opaque;
    tell(self, "prepare %llu", (unsigned long long)self->records);
    if (self->records == 0) return WEIR_OK;
    char text[32];
    int n = snprintf(text, sizeof text, "%llu records", (unsigned long long)self->records);
    self->records = 0;
    weir_blob blob = {
        .struct_size = sizeof blob, .scope = WEIR_SCOPE_ITEM, .bytes = {text, (uint64_t)n}};
    return weir_api_of(self->ctx)->state.write(args->writer, &blob);
}

static weir_status sink_commit(void *opaque, weir_commit *args) {
    witness *self = opaque;
    uint32_t verdicts[16];
    for (uint32_t k = 0; k < args->count; k++) {
        const weir_blob *b = args->committables[k];
        tell(self, "commit %.*s version=%u", (int)b->bytes.len, b->bytes.ptr, b->state_version);
    }
    if (weir_opt_is(self->ctx, "commit", "never") && self->role == WEIR_ROLE_TASK) return WEIR_OK;
    if (weir_opt_is(self->ctx, "commit", "fail_twice") && self->tries++ < 2) {
        return weir_fail(self->ctx, args->error, WEIR_E_PERMISSION, 0, "not allowed");
    }
    bool retry = weir_opt_is(self->ctx, "commit", "retry_twice") && self->tries++ < 2;
    for (uint32_t k = 0; k < args->count && k < 16; k++) {
        verdicts[k] = retry                                      ? WEIR_VERDICT_RETRY
                      : weir_opt_is(self->ctx, "commit", "lost") ? WEIR_VERDICT_LOST
                                                                 : WEIR_VERDICT_DONE;
    }
    weir_api_of(self->ctx)->task.commit_done(self->ctx, args->token, verdicts, args->count, NULL);
    return WEIR_OK;
}

static weir_status sink_recover(void *opaque, weir_recover *args) {
    tell(opaque, "recover kept=%u", args->retained_count);
    return WEIR_OK;
}

static weir_status sink_snapshot(void *opaque, weir_snapshot *args) {
    witness *self = opaque;
    char text[32];
    if (weir_opt_is(self->ctx, "snapshot", "fail_once") && self->tries++ == 0) {
        return weir_fail(self->ctx, args->error, WEIR_E_NOMEM, 0, "no memory for state");
    }
    int n = snprintf(text, sizeof text, "total %llu", (unsigned long long)self->total);
    weir_blob blob = {
        .struct_size = sizeof blob, .scope = WEIR_SCOPE_ITEM, .bytes = {text, (uint64_t)n}};
    return weir_api_of(self->ctx)->state.write(args->writer, &blob);
}

static const void *sink_extension(void *opaque, const char *name) {
    static const weir_sink_two_phase two_phase = {
        .struct_size = sizeof two_phase, .prepare = sink_prepare, .commit = sink_commit};
    static const weir_sink_recover recover = {.struct_size = sizeof recover,
                                              .recover = sink_recover};
    static const weir_sink_state state = {.struct_size = sizeof state, .snapshot = sink_snapshot};
    (void)opaque;
    if (strcmp(name, WEIR_SINK_TWO_PHASE) == 0) return &two_phase;
    if (strcmp(name, WEIR_SINK_RECOVER) == 0) return &recover;
    return strcmp(name, WEIR_SINK_STATE) == 0 ? &state : NULL;
}

static const weir_sink_ops sink_ops = {.struct_size = sizeof sink_ops,
                                       .create = create,
                                       .destroy = destroy,
                                       .open = sink_open,
                                       .write = sink_write,
                                       .flush = sink_flush,
                                       .cancel = cancel,
                                       .close = shut,
                                       .get_extension = sink_extension};

static const weir_component source = {
    .struct_size = sizeof source, .kind = WEIR_KIND_SOURCE, .name = "counted", .ops = &source_ops};
static const weir_component sink = {
    .struct_size = sizeof sink, .kind = WEIR_KIND_SINK, .name = "pledged", .ops = &sink_ops};
static const weir_component *const components[] = {&source, &sink};
static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = "dev.weir.test.witness",
                                   .version = "0.1.0",
                                   .components = components,
                                   .component_count = 2};
WEIR_PLUGIN_ENTRY(plugin, 10)
