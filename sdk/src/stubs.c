#include "stubs.h"

/* One function for each signature: calling through a pointer of another type is undefined, and
 * UBSan as well as control-flow integrity would end the program there. */

/* ---- host ---- */

static const void *no_extension(const weir_host *host, const char *name) {
    (void)host, (void)name;
    return NULL;
}
static void *no_memory(const weir_host *host, uint64_t size) {
    (void)host, (void)size;
    return NULL;
}
static void drop_memory(const weir_host *host, void *memory) {
    (void)host, (void)memory;
}
static void no_log(const weir_host *host, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)host, (void)ctx, (void)level, (void)text;
}
static uint32_t no_level(const weir_host *host, weir_ctx *ctx) {
    (void)host, (void)ctx;
    return 0;
}
static int64_t no_time(const weir_host *host) {
    (void)host;
    return 0;
}
static weir_error *no_error(const weir_host *host) {
    (void)host;
    return NULL;
}
static void no_error_set(const weir_host *host, weir_error *err, weir_status status, uint32_t flags,
                         weir_str text) {
    (void)host, (void)err, (void)status, (void)flags, (void)text;
}
static void no_error_detail(const weir_host *host, weir_error *err, const char *key,
                            weir_str value) {
    (void)host, (void)err, (void)key, (void)value;
}
static void no_error_free(const weir_host *host, weir_error *err) {
    (void)host, (void)err;
}

/* ---- config/1 ---- */

static weir_status no_str(weir_ctx *ctx, const char *key, weir_str *out) {
    (void)ctx, (void)key, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    (void)ctx, (void)key, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_f64(weir_ctx *ctx, const char *key, double *out) {
    (void)ctx, (void)key, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_u32(weir_ctx *ctx, const char *key, uint32_t *out) {
    (void)ctx, (void)key, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                            weir_str *value) {
    (void)ctx, (void)key, (void)index, (void)name, (void)value;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_secret(weir_ctx *ctx, const char *key, char *buffer, uint64_t size,
                             uint64_t *len) {
    (void)ctx, (void)key, (void)buffer, (void)size, (void)len;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_column(weir_ctx *ctx, const weir_request *request, const char *key,
                             const char *entry, const weir_column **out) {
    (void)ctx, (void)request, (void)key, (void)entry, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_text(weir_ctx *ctx, weir_str *out) {
    (void)ctx, (void)out;
    return WEIR_E_UNSUPPORTED;
}

/* ---- batch/1 ---- */

static weir_batch_builder *no_builder(weir_ctx *ctx, uint32_t records, uint32_t columns) {
    (void)ctx, (void)records, (void)columns;
    return NULL;
}
static weir_status no_reserve(weir_batch_builder *b, uint32_t records, weir_batch_columns *out) {
    (void)b, (void)records, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_commit(weir_batch_builder *b, uint32_t records) {
    (void)b, (void)records;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_header(weir_batch_builder *b, weir_str name, weir_str value) {
    (void)b, (void)name, (void)value;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_meta(weir_batch_builder *b, const weir_column *column) {
    (void)b, (void)column;
    return WEIR_E_UNSUPPORTED;
}
static char *no_bytes(weir_batch_builder *b, uint64_t size) {
    (void)b, (void)size;
    return NULL;
}
static weir_status no_attach(weir_batch_builder *b, void *opaque, weir_release_fn release,
                             uint64_t bytes) {
    (void)b, (void)opaque, (void)release, (void)bytes;
    return WEIR_E_UNSUPPORTED;
}
static const weir_batch *no_seal(weir_batch_builder *b, const weir_batch_seal *args) {
    (void)b, (void)args;
    return NULL;
}
static void no_abandon(weir_batch_builder *b) {
    (void)b;
}
static void no_batch_reference(const weir_batch *batch) {
    (void)batch;
}
static const weir_batch *no_select(weir_ctx *ctx, const weir_batch *batch, const uint32_t *indexes,
                                   uint32_t count) {
    (void)ctx, (void)batch, (void)indexes, (void)count;
    return NULL;
}
static char *no_segment(weir_ctx *ctx, uint64_t size, uint64_t *capacity) {
    (void)ctx, (void)size, (void)capacity;
    return NULL;
}
static void no_segment_free(void *segment) {
    (void)segment;
}

/* ---- tape/1 ---- */

static weir_status no_tape_reserve(weir_tape_builder *t, uint32_t nodes, weir_tape_room *out) {
    (void)t, (void)nodes, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_row(weir_tape_builder *t, uint32_t nodes, uint32_t origin) {
    (void)t, (void)nodes, (void)origin;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_schema_row(weir_tape_builder *t, uint32_t nodes, uint32_t origin,
                                 const weir_schema *schema) {
    (void)t, (void)nodes, (void)origin, (void)schema;
    return WEIR_E_UNSUPPORTED;
}
static char *no_tape_bytes(weir_tape_builder *t, uint64_t size) {
    (void)t, (void)size;
    return NULL;
}
static weir_schema *no_schema(weir_ctx *ctx, weir_str type, weir_str text, weir_str fingerprint) {
    (void)ctx, (void)type, (void)text, (void)fingerprint;
    return NULL;
}
static void no_schema_reference(const weir_schema *schema) {
    (void)schema;
}
static weir_str no_schema_text(const weir_schema *schema) {
    (void)schema;
    return weir_str_of(NULL);
}

/* ---- task/1 ---- */

static void no_wake(weir_ctx *ctx) {
    (void)ctx;
}
static void no_write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    (void)ctx, (void)token, (void)result;
}
static void no_flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status,
                          const weir_error *error) {
    (void)ctx, (void)epoch, (void)status, (void)error;
}
static void no_commit_done(weir_ctx *ctx, uint64_t token, const uint32_t *verdicts, uint32_t count,
                           const weir_error *error) {
    (void)ctx, (void)token, (void)verdicts, (void)count, (void)error;
}
static void no_split_idle(weir_ctx *ctx, weir_str split, uint32_t idle) {
    (void)ctx, (void)split, (void)idle;
}
static weir_status no_split_add(weir_split_list *list, const weir_split *split) {
    (void)list, (void)split;
    return WEIR_E_UNSUPPORTED;
}

/* ---- state/1 ---- */

static weir_status no_blob(weir_writer *writer, const weir_blob *blob) {
    (void)writer, (void)blob;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_put(weir_ctx *ctx, const char *name, weir_str value) {
    (void)ctx, (void)name, (void)value;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_remove(weir_ctx *ctx, const char *name) {
    (void)ctx, (void)name;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_timer(weir_ctx *ctx, uint32_t wall, int64_t time_us) {
    (void)ctx, (void)wall, (void)time_us;
    return WEIR_E_UNSUPPORTED;
}

/* ---- format/1, metrics/1, random/1, memory/1 ---- */

static weir_status no_format(weir_ctx *ctx, weir_format *out) {
    (void)ctx, (void)out;
    return WEIR_E_UNSUPPORTED;
}
static void no_counter(weir_ctx *ctx, const char *name, uint64_t delta) {
    (void)ctx, (void)name, (void)delta;
}
static void no_gauge(weir_ctx *ctx, const char *name, int64_t value) {
    (void)ctx, (void)name, (void)value;
}
static uint64_t no_random(weir_ctx *ctx) {
    (void)ctx;
    return 0;
}
static weir_status no_random_bytes(weir_ctx *ctx, void *out, uint64_t size) {
    (void)ctx, (void)out, (void)size;
    return WEIR_E_UNSUPPORTED;
}
/* A host without a budget grants everything: refusing would stop a plugin that could work. */
static weir_status grant(weir_ctx *ctx, uint64_t bytes) {
    (void)ctx, (void)bytes;
    return WEIR_OK;
}
static void no_release(weir_ctx *ctx, uint64_t bytes) {
    (void)ctx, (void)bytes;
}

/* ---- filling ---- */

#define FILL(slot, stub)                                                                           \
    do {                                                                                           \
        if ((slot) == NULL) (slot) = (stub);                                                       \
    } while (0)

static void fill_host(weir_host *h) {
    FILL(h->get_extension, no_extension);
    FILL(h->mem_alloc, no_memory);
    FILL(h->mem_free, drop_memory);
    FILL(h->log, no_log);
    FILL(h->log_level, no_level);
    FILL(h->mono_ns, no_time);
    FILL(h->wall_us, no_time);
    FILL(h->error_new, no_error);
    FILL(h->error_set, no_error_set);
    FILL(h->error_detail, no_error_detail);
    FILL(h->error_free, no_error_free);
}

static void fill_config(weir_host_config *c) {
    FILL(c->get_str, no_str);
    FILL(c->get_i64, no_i64);
    FILL(c->get_f64, no_f64);
    FILL(c->get_bool, no_u32);
    FILL(c->count, no_u32);
    FILL(c->entry, no_entry);
    FILL(c->is_set, no_u32);
    FILL(c->secret, no_secret);
    FILL(c->template_column, no_column);
    FILL(c->base_dir, no_text);
}

static void fill_batch(weir_host_batch *b) {
    FILL(b->begin, no_builder);
    FILL(b->reserve, no_reserve);
    FILL(b->commit, no_commit);
    FILL(b->header, no_header);
    FILL(b->meta, no_meta);
    FILL(b->alloc, no_bytes);
    FILL(b->attach, no_attach);
    FILL(b->seal, no_seal);
    FILL(b->abandon, no_abandon);
    FILL(b->retain, no_batch_reference);
    FILL(b->release, no_batch_reference);
    FILL(b->select, no_select);
    FILL(b->segment_alloc, no_segment);
    FILL(b->segment_free, no_segment_free);
}

static void fill_tape(weir_host_tape *t) {
    FILL(t->reserve, no_tape_reserve);
    FILL(t->row, no_row);
    FILL(t->row_with_schema, no_schema_row);
    FILL(t->alloc, no_tape_bytes);
    FILL(t->schema_new, no_schema);
    FILL(t->schema_retain, no_schema_reference);
    FILL(t->schema_release, no_schema_reference);
    FILL(t->schema_type, no_schema_text);
    FILL(t->schema_text, no_schema_text);
    FILL(t->schema_fingerprint, no_schema_text);
}

static void fill_task(weir_host_task *t) {
    FILL(t->wake, no_wake);
    FILL(t->write_done, no_write_done);
    FILL(t->flush_done, no_flush_done);
    FILL(t->commit_done, no_commit_done);
    FILL(t->split_idle, no_split_idle);
    FILL(t->split_add, no_split_add);
}

static void fill_state(weir_host_state *s) {
    FILL(s->write, no_blob);
    FILL(s->get, no_str);
    FILL(s->put, no_put);
    FILL(s->remove, no_remove);
    FILL(s->timer_set, no_timer);
    FILL(s->timer_clear, no_timer);
}

void weir_sdk_fill_stubs(weir_api *api) {
    fill_host(&api->host);
    fill_config(&api->config);
    fill_batch(&api->batch);
    fill_tape(&api->tape);
    fill_task(&api->task);
    fill_state(&api->state);
    FILL(api->format.get, no_format);
    FILL(api->metrics.counter_add, no_counter);
    FILL(api->metrics.gauge_set, no_gauge);
    FILL(api->random.u64, no_random);
    FILL(api->random.bytes, no_random_bytes);
    FILL(api->memory.reserve, grant);
    FILL(api->memory.release, no_release);
}
