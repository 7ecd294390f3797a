/*
 * A plugin with one component of each kind, built with the headers of one ABI version or another.
 *
 * It uses nothing but weir/abi.h, binding the host by hand, so that it stays what a plugin of its
 * version was; with SAMPLE_SDK it binds through the SDK instead. NEXT is on when the headers are
 * the synthetic next minor: then it fills and looks for what that version adds.
 */
#include <string.h>

#include "observed.h"
#include SAMPLE_OPTIONS
#include <weir/abi.h>

#ifdef SAMPLE_SDK
#include "weir/sdk.h"
#endif

#ifdef NEXT
static uint64_t plugin_slot(uint64_t value) {
    return value * 2;
}
/* The members that the next minor adds to a struct of ours. */
#define GROWN .next_field = NEXT_FIELD_OF_PLUGIN, .next_slot = plugin_slot,
#define SEE(type, args)                                                                            \
    do {                                                                                           \
        seen.calls++;                                                                              \
        if (WEIR_HAS(type, args, next_slot)) {                                                     \
            seen.grown++;                                                                          \
            seen.field_sum += (args)->next_field;                                                  \
            if ((args)->next_slot != NULL) seen.slot_sum += (args)->next_slot(1);                  \
        }                                                                                          \
    } while (0)
#else
#define GROWN
#define SEE(type, args) ((void)(args), seen.calls++)
#endif

static observed seen = {.struct_size = sizeof seen, .plugin_minor = WEIR_ABI_MINOR};

/* ---- the host's tables, in our size ---- */

static struct {
    weir_host host;
    weir_host_config config;
    weir_host_task task;
    weir_host_state state;
    weir_host_tape tape;
} tables;

#ifndef SAMPLE_SDK
static void shadow(void *to, uint32_t size, const void *from) {
    uint32_t theirs;
    memset(to, 0, size);
    if (from == NULL) return;
    memcpy(&theirs, from, sizeof theirs);
    memcpy(to, from, theirs < size ? theirs : size);
}
#endif

static void bind_host(const weir_host *host) {
#ifdef SAMPLE_SDK
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = host};
    const weir_api *api = weir_api_of(&ctx);
    tables.host = api->host;
    tables.config = api->config;
    tables.task = api->task;
    tables.state = api->state;
    tables.tape = api->tape;
#else
    shadow(&tables.host, sizeof tables.host, host);
    shadow(&tables.config, sizeof tables.config, host->get_extension(host, WEIR_HOST_CONFIG));
    shadow(&tables.task, sizeof tables.task, host->get_extension(host, WEIR_HOST_TASK));
    shadow(&tables.state, sizeof tables.state, host->get_extension(host, WEIR_HOST_STATE));
    shadow(&tables.tape, sizeof tables.tape, host->get_extension(host, WEIR_HOST_TAPE));
#endif
    seen.host_minor = tables.host.abi_minor;
    seen.host_grown = 0;
#ifdef NEXT
    if (tables.host.next_slot != NULL && tables.host.next_slot(1) == 2) seen.host_grown++;
    if (tables.config.next_slot != NULL && tables.config.next_slot(1) == 2) seen.host_grown++;
    if (tables.task.next_slot != NULL && tables.task.next_slot(1) == 2) seen.host_grown++;
    if (tables.state.next_slot != NULL && tables.state.next_slot(1) == 2) seen.host_grown++;
    if (tables.tape.next_slot != NULL && tables.tape.next_slot(1) == 2) seen.host_grown++;
#endif
}

/* ---- what all kinds share ---- */

typedef struct instance {
    weir_ctx *ctx;
    int64_t left; /* of the option "count" */
} instance;

static weir_status create(weir_create *args) {
    const weir_host *host = args->ctx->host;
    instance *self = tables.host.mem_alloc(host, sizeof *self);
    SEE(weir_create, args);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->left = 0;
    args->self = self;
    return tables.config.get_i64(args->ctx, "count", &self->left);
}
static void destroy(void *self) {
    weir_ctx *ctx = ((instance *)self)->ctx;
    tables.host.mem_free(ctx->host, self);
}
static weir_status open_instance(void *self, weir_open *args) {
    (void)self;
    SEE(weir_open, args);
#if WEIR_ABI_MINOR >= 10
    if (WEIR_HAS(weir_open, args, run_id) && args->run_id.len == sizeof RUN_ID - 1 &&
        memcmp(args->run_id.ptr, RUN_ID, args->run_id.len) == 0) {
        seen.run_ids++;
    }
#endif
    if (args->limits != NULL) {
        SEE(weir_limits, args->limits);
        args->limits->request_records = 50; /* narrows what the host offered */
    }
    return WEIR_OK;
}
static weir_status snapshot(void *self, weir_snapshot *args) {
    weir_blob blob = {.struct_size = sizeof blob, .scope = WEIR_SCOPE_BROADCAST, GROWN};
    (void)self;
    SEE(weir_snapshot, args);
    blob.bytes.ptr = "state";
    blob.bytes.len = 5;
    return tables.state.write(args->writer, &blob);
}
static void cancel(void *self) {
    (void)self;
}
static weir_status close_instance(void *self, weir_close *args) {
    (void)self;
    SEE(weir_close, args);
    return WEIR_OK;
}
static const void *extension(void *self, const char *name) {
    (void)self;
    return strcmp(name, OBSERVED_EXTENSION) == 0 ? &seen : NULL;
}

/* ---- source: an event, some nothing, an end ---- */

static weir_status assign(void *self, weir_assign *args) {
    (void)self;
    SEE(weir_assign, args);
    return WEIR_OK;
}
static weir_status poll(void *self, weir_poll *args) {
    static const weir_event event = {.struct_size = sizeof event,
                                     .kind = WEIR_EVENT_POSITION,
                                     .split = {"split", 5},
                                     .position = {"position", 8},
                                     .lag_ms = 77,
                                     GROWN};
    instance *i = self;
    SEE(weir_poll, args);
    if (i->left == 0) return WEIR_END;
    i->left--;
    args->event = &event;
    return WEIR_EVENT;
}
static weir_status to_text(void *self, weir_position_text *args) {
    (void)self;
    SEE(weir_position_text, args);
    args->text = args->position;
    return WEIR_OK;
}
static const weir_source_position positions = {
    .struct_size = sizeof positions, .to_text = to_text, .from_text = to_text, GROWN};
static const void *source_extension(void *self, const char *name) {
    return strcmp(name, WEIR_SOURCE_POSITION) == 0 ? &positions : extension(self, name);
}

/* ---- sink: completes each request with one failed record ---- */

static weir_status write_request(void *self, weir_write *args) {
    static const uint32_t failed_index[] = {1};
    static const weir_status failed_status[] = {WEIR_E_THROTTLED};
    static const uint32_t failed_error[] = {UINT32_MAX};
    weir_result result = {.struct_size = sizeof result,
                          .failed_index = failed_index,
                          .failed_status = failed_status,
                          .failed_error = failed_error,
                          .failed_count = 1,
                          .retry_after_ms = 9,
                          GROWN};
    SEE(weir_write, args);
    SEE(weir_request, args->request);
    SEE(weir_rows, args->request->rows);
    args->taken = args->request->rows->count;
    tables.task.write_done(((instance *)self)->ctx, args->token, &result);
    return WEIR_OK;
}
static weir_status flush(void *self, weir_flush *args) {
    SEE(weir_flush, args);
    tables.task.flush_done(((instance *)self)->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

/* ---- serde: one number a record ---- */

static weir_status decode(void *self, weir_decode *args) {
    (void)self;
    SEE(weir_decode, args);
    SEE(weir_batch, args->batch);
    for (uint32_t i = 0; i < args->batch->rows->count; i++) {
        weir_tape_room room = {.struct_size = sizeof room, GROWN};
        weir_status status = tables.tape.reserve(args->tape, 1, &room);
        if (status != WEIR_OK) return status;
        room.nodes[0].type = WEIR_V_U64;
        room.nodes[0].size = 0;
        room.nodes[0].as.u64 = args->batch->rows->value_len[i];
        status = tables.tape.row(args->tape, 1, i);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- transform: hands through, and complains about record 0 ---- */

static weir_status apply(void *self, weir_apply *args) {
    static const weir_str text = {"bad", 3};
    (void)self;
    SEE(weir_apply, args);
    args->fail(args, 0, WEIR_E_DATA, text);
    return args->emit(args, 0, args->batch);
}

/* ---- tables ---- */

static const weir_source_ops source_ops = {.struct_size = sizeof source_ops,
                                           .create = create,
                                           .destroy = destroy,
                                           .open = open_instance,
                                           .assign = assign,
                                           .poll = poll,
                                           .snapshot = snapshot,
                                           .cancel = cancel,
                                           .close = close_instance,
                                           .get_extension = source_extension,
                                           GROWN};
static const weir_sink_ops sink_ops = {.struct_size = sizeof sink_ops,
                                       .create = create,
                                       .destroy = destroy,
                                       .open = open_instance,
                                       .write = write_request,
                                       .flush = flush,
                                       .cancel = cancel,
                                       .close = close_instance,
                                       .get_extension = extension,
                                       GROWN};
static const weir_serde_ops serde_ops = {.struct_size = sizeof serde_ops,
                                         .create = create,
                                         .destroy = destroy,
                                         .open = open_instance,
                                         .decode = decode,
                                         .cancel = cancel,
                                         .close = close_instance,
                                         .get_extension = extension,
                                         GROWN};
static const weir_transform_ops transform_ops = {.struct_size = sizeof transform_ops,
                                                 .create = create,
                                                 .destroy = destroy,
                                                 .open = open_instance,
                                                 .apply = apply,
                                                 .cancel = cancel,
                                                 .close = close_instance,
                                                 .get_extension = extension,
                                                 GROWN};

#define COMPONENT(id, k, table)                                                                    \
    static const weir_component id = {                                                             \
        .struct_size = sizeof id, .kind = k, .name = #id, .ops = table, GROWN}
COMPONENT(counter, WEIR_KIND_SOURCE, &source_ops);
COMPONENT(drain, WEIR_KIND_SINK, &sink_ops);
COMPONENT(lengths, WEIR_KIND_SERDE, &serde_ops);
COMPONENT(hand, WEIR_KIND_TRANSFORM, &transform_ops);
static const weir_component *const components[] = {&counter, &drain, &lengths, &hand};

static weir_status init(const weir_host *host, weir_error *error) {
    (void)error;
    bind_host(host);
    return WEIR_OK;
}

static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = WEIR_PLUGIN_ID,
                                   .version = WEIR_PLUGIN_VERSION,
                                   .components = components,
                                   .component_count = 4,
                                   .init = init,
                                   GROWN};

#ifdef SAMPLE_SDK
WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)
#else
weir_status weir_plugin_entry_1(const weir_host *host, const weir_plugin **out) {
    if (host->abi_minor < WEIR_PLUGIN_REQUIRES_MINOR) return WEIR_E_INCOMPATIBLE;
    *out = &plugin;
    return WEIR_OK;
}
#endif
