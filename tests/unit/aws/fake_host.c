#include "fake_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SPLITS_MAX 256
#define DETAILS_MAX 16
#define BLOBS_MAX 8
#define ATTACH_MAX 8
#define ALLOCS_MAX 256
#define META_MAX 8

struct weir_error {
    weir_status status;
    uint32_t flags, details;
    char text[2048];
    struct {
        char key[32], value[512];
    } detail[DETAILS_MAX];
};

struct fake_host {
    weir_ctx ctx; /* first: facets get it back as ctx */
    weir_host host;
    const fake_option *options;
    weir_error error;
    char log[16384];
    fake_split splits[SPLITS_MAX];
    uint32_t split_count;
    weir_blob blobs[BLOBS_MAX];
    const weir_blob *blob_ptr[BLOBS_MAX];
    uint32_t blob_count;
};

/* A batch and its builder in one; columns grow by realloc, as a host's may. */
struct weir_batch_builder {
    weir_batch batch;
    weir_rows rows;
    uint32_t count, capacity;
    const char **value_ptr, **key_ptr;
    uint32_t *value_len, *key_len;
    int64_t *time_us;
    struct {
        void *opaque;
        weir_release_fn release;
    } attached[ATTACH_MAX];
    uint32_t attach_count;
    void *allocs[ALLOCS_MAX];
    uint32_t alloc_count;
    weir_column meta[META_MAX];
    const weir_column *meta_ptr[META_MAX];
    char split[256], resume[256];
};

static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static int segments_out, batches_out;
static uint64_t budget, in_use, peak;

static void count(int *counter, int delta) {
    pthread_mutex_lock(&count_lock);
    *counter += delta;
    pthread_mutex_unlock(&count_lock);
}

static fake_host *host_of(weir_ctx *ctx) {
    return (fake_host *)(void *)ctx;
}

/* ---- host table ---- */

static void *mem_alloc(const weir_host *h, uint64_t size) {
    (void)h;
    return malloc((size_t)size);
}

static void mem_free(const weir_host *h, void *p) {
    (void)h;
    free(p);
}

static void log_line(const weir_host *h, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)h;
    fake_host *f = host_of(ctx);
    size_t used = strlen(f->log);
    snprintf(f->log + used, sizeof f->log - used, "%u %.*s\n", level, (int)text.len, text.ptr);
}

static uint32_t log_level(const weir_host *h, weir_ctx *ctx) {
    (void)h;
    (void)ctx;
    return WEIR_LOG_DEBUG;
}

static int64_t mono_ns(const weir_host *h) {
    (void)h;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_us(const weir_host *h) {
    (void)h;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void error_set(const weir_host *h, weir_error *e, weir_status status, uint32_t flags,
                      weir_str text) {
    (void)h;
    if (!e) return;
    e->status = status;
    e->flags = flags;
    e->details = 0;
    snprintf(e->text, sizeof e->text, "%.*s", (int)text.len, text.ptr);
}

static void error_detail(const weir_host *h, weir_error *e, const char *key, weir_str value) {
    (void)h;
    if (!e || e->details == DETAILS_MAX) return;
    snprintf(e->detail[e->details].key, sizeof e->detail[0].key, "%s", key);
    snprintf(e->detail[e->details].value, sizeof e->detail[0].value, "%.*s", (int)value.len,
             value.ptr);
    e->details++;
}

static weir_error *error_new(const weir_host *h) {
    (void)h;
    return calloc(1, sizeof(weir_error));
}

static void error_free(const weir_host *h, weir_error *e) {
    (void)h;
    free(e);
}

/* ---- config ---- */

static const char *option(weir_ctx *ctx, const char *key) {
    for (const fake_option *o = host_of(ctx)->options; o && o->key; o++)
        if (strcmp(o->key, key) == 0) return o->value;
    return NULL;
}

static weir_status get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    out->ptr = value;
    out->len = strlen(value);
    return WEIR_OK;
}

static weir_status get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    *out = strtoll(value, NULL, 10);
    return WEIR_OK;
}

static weir_status get_bool(weir_ctx *ctx, const char *key, uint32_t *out) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    *out = strcmp(value, "true") == 0;
    return WEIR_OK;
}

static weir_status get_count(weir_ctx *ctx, const char *key, uint32_t *out) {
    const char *value = option(ctx, key);
    *out = value ? 1 : 0;
    for (; value && *value; value++) *out += *value == ' ';
    return WEIR_OK;
}

/* Lists are texts with blanks between the items. */
static weir_status get_entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                             weir_str *value) {
    (void)name;
    const char *p = option(ctx, key);
    while (p && index > 0) {
        p = strchr(p, ' ');
        if (p) p++;
        index--;
    }
    if (!p) return WEIR_E_NOT_FOUND;
    value->ptr = p;
    value->len = strcspn(p, " ");
    return WEIR_OK;
}

static weir_status is_set(weir_ctx *ctx, const char *key, uint32_t *out) {
    *out = option(ctx, key) != NULL;
    return WEIR_OK;
}

static weir_status get_secret(weir_ctx *ctx, const char *key, char *buffer, uint64_t size,
                              uint64_t *len) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    *len = strlen(value);
    if (*len > size) return WEIR_E_TOO_LARGE;
    memcpy(buffer, value, *len);
    return WEIR_OK;
}

/* ---- batches ---- */

static weir_batch_builder *batch_begin(weir_ctx *ctx, uint32_t records, uint32_t columns) {
    (void)ctx;
    (void)records;
    (void)columns;
    count(&batches_out, 1);
    return calloc(1, sizeof(weir_batch_builder));
}

static weir_status batch_reserve(weir_batch_builder *b, uint32_t records, weir_batch_columns *out) {
    uint32_t want = b->count + records;
    if (want > b->capacity) {
        b->value_ptr = realloc(b->value_ptr, want * sizeof *b->value_ptr);
        b->value_len = realloc(b->value_len, want * sizeof *b->value_len);
        b->key_ptr = realloc(b->key_ptr, want * sizeof *b->key_ptr);
        b->key_len = realloc(b->key_len, want * sizeof *b->key_len);
        b->time_us = realloc(b->time_us, want * sizeof *b->time_us);
        b->capacity = want;
    }
    out->capacity = b->capacity - b->count;
    out->value_ptr = b->value_ptr + b->count;
    out->value_len = b->value_len + b->count;
    out->key_ptr = b->key_ptr + b->count;
    out->key_len = b->key_len + b->count;
    out->time_us = b->time_us + b->count;
    return WEIR_OK;
}

static weir_status batch_commit(weir_batch_builder *b, uint32_t records) {
    b->count += records;
    return WEIR_OK;
}

static char *batch_alloc(weir_batch_builder *b, uint64_t size) {
    if (b->alloc_count == ALLOCS_MAX) return NULL;
    return b->allocs[b->alloc_count++] = malloc((size_t)size);
}

static weir_status batch_meta(weir_batch_builder *b, const weir_column *column) {
    uint32_t n = column->encoding == WEIR_COLUMN_CONSTANT ? 1 : b->count;
    uint32_t at = b->rows.meta_count++;
    void *ptr = batch_alloc(b, n * sizeof(char *)), *len = batch_alloc(b, n * sizeof(uint32_t));
    memcpy(ptr, column->ptr, n * sizeof(char *));
    memcpy(len, column->len, n * sizeof(uint32_t));
    b->meta[at] = *column;
    b->meta[at].ptr = ptr;
    b->meta[at].len = len;
    b->meta_ptr[at] = &b->meta[at];
    return WEIR_OK;
}

static weir_status batch_attach(weir_batch_builder *b, void *opaque, weir_release_fn release,
                                uint64_t bytes) {
    (void)bytes;
    if (b->attach_count == ATTACH_MAX) return WEIR_E_NOMEM;
    b->attached[b->attach_count].opaque = opaque;
    b->attached[b->attach_count++].release = release;
    return WEIR_OK;
}

static void batch_abandon(weir_batch_builder *b) {
    for (uint32_t i = 0; i < b->attach_count; i++) b->attached[i].release(b->attached[i].opaque);
    for (uint32_t i = 0; i < b->alloc_count; i++) free(b->allocs[i]);
    free(b->value_ptr);
    free(b->value_len);
    free(b->key_ptr);
    free(b->key_len);
    free(b->time_us);
    free(b);
    count(&batches_out, -1);
}

static const weir_batch *batch_seal(weir_batch_builder *b, const weir_batch_seal *args) {
    snprintf(b->split, sizeof b->split, "%.*s", (int)args->split.len, args->split.ptr);
    memcpy(b->resume, args->resume.ptr, (size_t)args->resume.len);
    b->rows.struct_size = sizeof b->rows;
    b->rows.count = b->count;
    b->rows.value_ptr = b->value_ptr;
    b->rows.value_len = b->value_len;
    b->rows.key_ptr = b->key_ptr;
    b->rows.key_len = b->key_len;
    b->rows.time_us = b->time_us;
    b->rows.meta = b->meta_ptr;
    b->batch.struct_size = sizeof b->batch;
    b->batch.rows = &b->rows;
    b->batch.split.ptr = b->split;
    b->batch.split.len = args->split.len;
    b->batch.resume.ptr = b->resume;
    b->batch.resume.len = args->resume.len;
    b->batch.lag_ms = args->lag_ms;
    return &b->batch; /* the first member: release gets the builder back */
}

static void batch_release(const weir_batch *batch) {
    batch_abandon((weir_batch_builder *)(uintptr_t)batch);
}

static void batch_retain(const weir_batch *batch) {
    (void)batch;
}

/* Adds to what is in use, perhaps beyond the budget. */
static void charge(uint64_t bytes) {
    pthread_mutex_lock(&count_lock);
    in_use += bytes;
    if (in_use > peak) peak = in_use;
    pthread_mutex_unlock(&count_lock);
}

static void uncharge(uint64_t bytes) {
    pthread_mutex_lock(&count_lock);
    if (bytes > in_use) abort(); /* more given back than was taken */
    in_use -= bytes;
    pthread_mutex_unlock(&count_lock);
}

typedef struct segment {
    _Alignas(16) uint64_t size;
} segment;

static char *segment_alloc(weir_ctx *ctx, uint64_t size, uint64_t *capacity) {
    (void)ctx;
    /* Exact at its end, so that a sanitizer sees every overrun. */
    segment *s = malloc(sizeof *s + (size_t)size);
    s->size = size;
    *capacity = size;
    count(&segments_out, 1);
    charge(size);
    return (char *)(s + 1);
}

static void segment_free(void *memory) {
    segment *s = (segment *)memory - 1;
    count(&segments_out, -1);
    uncharge(s->size);
    free(s);
}

static weir_status memory_reserve(weir_ctx *ctx, uint64_t bytes) {
    (void)ctx;
    pthread_mutex_lock(&count_lock);
    bool fits = in_use <= budget && bytes <= budget - in_use;
    pthread_mutex_unlock(&count_lock);
    if (fits) charge(bytes);
    return fits ? WEIR_OK : WEIR_E_NOMEM;
}

static void memory_release(weir_ctx *ctx, uint64_t bytes) {
    (void)ctx;
    uncharge(bytes);
}

/* ---- task, state, random ---- */

static weir_status split_add(weir_split_list *list, const weir_split *split) {
    fake_host *h = (fake_host *)(void *)list;
    if (h->split_count == SPLITS_MAX) return WEIR_E_TOO_LARGE;
    fake_split *s = &h->splits[h->split_count++];
    memset(s, 0, sizeof *s);
    snprintf(s->id, sizeof s->id, "%.*s", (int)split->id.len, split->id.ptr);
    memcpy(s->private_bytes, split->private_bytes.ptr, (size_t)split->private_bytes.len);
    s->private_len = (uint32_t)split->private_bytes.len;
    s->parent_count = split->parent_count;
    for (uint32_t i = 0; i < split->parent_count && i < 2; i++)
        snprintf(s->parents[i], sizeof s->parents[i], "%.*s", (int)split->parent_len[i],
                 split->parent_ptr[i]);
    return WEIR_OK;
}

static weir_status state_write(weir_writer *writer, const weir_blob *blob) {
    fake_host *h = (fake_host *)(void *)writer;
    if (h->blob_count == BLOBS_MAX) return WEIR_E_TOO_LARGE;
    char *bytes = malloc((size_t)blob->bytes.len);
    memcpy(bytes, blob->bytes.ptr, (size_t)blob->bytes.len);
    h->blobs[h->blob_count] = *blob;
    h->blobs[h->blob_count].bytes.ptr = bytes;
    h->blob_ptr[h->blob_count] = &h->blobs[h->blob_count];
    h->blob_count++;
    return WEIR_OK;
}

static uint64_t random_u64(weir_ctx *ctx) {
    (void)ctx;
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, 0) != sizeof v) abort();
    return v;
}

static const weir_host_config config_facet = {.struct_size = sizeof config_facet,
                                              .get_str = get_str,
                                              .get_i64 = get_i64,
                                              .get_bool = get_bool,
                                              .count = get_count,
                                              .entry = get_entry,
                                              .is_set = is_set,
                                              .secret = get_secret};
static const weir_host_batch batch_facet = {.struct_size = sizeof batch_facet,
                                            .begin = batch_begin,
                                            .reserve = batch_reserve,
                                            .commit = batch_commit,
                                            .meta = batch_meta,
                                            .alloc = batch_alloc,
                                            .attach = batch_attach,
                                            .seal = batch_seal,
                                            .abandon = batch_abandon,
                                            .retain = batch_retain,
                                            .release = batch_release,
                                            .segment_alloc = segment_alloc,
                                            .segment_free = segment_free};
static const weir_host_task task_facet = {.struct_size = sizeof task_facet, .split_add = split_add};
static const weir_host_state state_facet = {.struct_size = sizeof state_facet,
                                            .write = state_write};
static const weir_host_random random_facet = {.struct_size = sizeof random_facet,
                                              .u64 = random_u64};

static const weir_host_memory memory_facet = {
    .struct_size = sizeof memory_facet, .reserve = memory_reserve, .release = memory_release};

static const void *get_extension(const weir_host *h, const char *name) {
    (void)h;
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return &config_facet;
    if (strcmp(name, WEIR_HOST_BATCH) == 0) return &batch_facet;
    if (strcmp(name, WEIR_HOST_TASK) == 0) return &task_facet;
    if (strcmp(name, WEIR_HOST_STATE) == 0) return &state_facet;
    if (strcmp(name, WEIR_HOST_RANDOM) == 0) return &random_facet;
    if (strcmp(name, WEIR_HOST_MEMORY) == 0) return &memory_facet;
    return NULL;
}

/* One table for all: the SDK binds a host once and for good. */
static const weir_host host_table = {.struct_size = sizeof host_table,
                                     .abi_minor = WEIR_ABI_MINOR,
                                     .name = "test",
                                     .version = "1",
                                     .get_extension = get_extension,
                                     .mem_alloc = mem_alloc,
                                     .mem_free = mem_free,
                                     .log = log_line,
                                     .log_level = log_level,
                                     .mono_ns = mono_ns,
                                     .wall_us = wall_us,
                                     .error_new = error_new,
                                     .error_set = error_set,
                                     .error_detail = error_detail,
                                     .error_free = error_free};

fake_host *fake_host_new(const fake_option *options) {
    fake_host *h = calloc(1, sizeof *h);
    h->ctx.struct_size = sizeof h->ctx;
    h->ctx.host = &host_table;
    h->options = options;
    fake_memory_set(UINT64_MAX);
    return h;
}

void fake_host_free(fake_host *h) {
    if (segments_out != 0 || batches_out != 0 || in_use != 0) {
        fprintf(stderr, "%d segments, %d batches, %llu bytes were not given back\n", segments_out,
                batches_out, (unsigned long long)in_use);
        abort();
    }
    for (uint32_t i = 0; i < h->blob_count; i++) free((void *)(uintptr_t)h->blobs[i].bytes.ptr);
    free(h);
}

void fake_memory_set(uint64_t bytes) {
    pthread_mutex_lock(&count_lock);
    budget = bytes;
    peak = in_use;
    pthread_mutex_unlock(&count_lock);
}

uint64_t fake_memory_peak(void) {
    pthread_mutex_lock(&count_lock);
    uint64_t bytes = peak;
    pthread_mutex_unlock(&count_lock);
    return bytes;
}

weir_ctx *fake_ctx(fake_host *h) {
    return &h->ctx;
}

weir_error *fake_error(fake_host *h) {
    memset(&h->error, 0, sizeof h->error);
    return &h->error;
}

const char *fake_error_text(const fake_host *h) {
    return h->error.text;
}

const char *fake_error_detail(const fake_host *h, const char *key) {
    for (uint32_t i = 0; i < h->error.details; i++)
        if (strcmp(h->error.detail[i].key, key) == 0) return h->error.detail[i].value;
    return "";
}

uint32_t fake_error_flags(const fake_host *h) {
    return h->error.flags;
}

const char *fake_log(const fake_host *h) {
    return h->log;
}

weir_split_list *fake_list(fake_host *h) {
    h->split_count = 0;
    return (weir_split_list *)(void *)h;
}

const fake_split *fake_splits(const fake_host *h, uint32_t *split_count) {
    *split_count = h->split_count;
    return h->splits;
}

weir_writer *fake_writer(fake_host *h) {
    return (weir_writer *)(void *)h;
}

const weir_blob *const *fake_blobs(fake_host *h, uint32_t *blob_count) {
    *blob_count = h->blob_count;
    return h->blob_ptr;
}
