#include "support/fake_host.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static int64_t clock_ns = INT64_C(1000000000);

static uint32_t fail_in; /* allocations until one fails; 0 = none will */
static bool alloc_failed;

static fake_instance *of(weir_ctx *ctx) {
    return (fake_instance *)(void *)ctx;
}

/* ---- the host table ---- */

static void *host_alloc(const weir_host *host, uint64_t size) {
    (void)host;
    if (fail_in > 0 && --fail_in == 0) {
        alloc_failed = true;
        return NULL;
    }
    return malloc(size > 0 ? (size_t)size : 1);
}

static void host_free(const weir_host *host, void *memory) {
    (void)host;
    free(memory);
}

static void host_log(const weir_host *host, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)host;
    (void)ctx;
    (void)level;
    (void)text;
}

static uint32_t host_log_level(const weir_host *host, weir_ctx *ctx) {
    (void)host;
    (void)ctx;
    return WEIR_LOG_TRACE;
}

static int64_t host_mono(const weir_host *host) {
    (void)host;
    return clock_ns;
}

static int64_t host_wall(const weir_host *host) {
    (void)host;
    return INT64_C(1767225600000000) + clock_ns / 1000;
}

static weir_error *host_error_new(const weir_host *host) {
    (void)host;
    return error_new();
}

static void host_error_set(const weir_host *host, weir_error *err, weir_status status,
                           uint32_t flags, weir_str text) {
    (void)host;
    error_set(err, status, flags, "%.*s", (int)text.len, text.ptr);
}

static void host_error_detail(const weir_host *host, weir_error *err, const char *key,
                              weir_str value) {
    (void)host;
    error_detail(err, key, value);
}

static void host_error_free(const weir_host *host, weir_error *err) {
    (void)host;
    error_free(err);
}

/* ---- options ---- */

static int find(fake_instance *i, const char *key) {
    for (uint32_t k = 0; k < i->option_count; k++) {
        if (strcmp(i->option[k].key, key) == 0) return (int)k;
    }
    return -1;
}

static weir_status get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    int k = find(of(ctx), key);
    if (k < 0 || of(ctx)->option[k].text == NULL) return WEIR_E_NOT_FOUND;
    *out = (weir_str){of(ctx)->option[k].text, strlen(of(ctx)->option[k].text)};
    return WEIR_OK;
}

static weir_status get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    int k = find(of(ctx), key);
    if (k < 0) return WEIR_E_NOT_FOUND;
    *out = of(ctx)->option[k].number;
    return WEIR_OK;
}

static weir_status get_f64(weir_ctx *ctx, const char *key, double *out) {
    int k = find(of(ctx), key);
    if (k < 0) return WEIR_E_NOT_FOUND;
    *out = of(ctx)->option[k].real;
    return WEIR_OK;
}

static weir_status get_bool(weir_ctx *ctx, const char *key, uint32_t *out) {
    int k = find(of(ctx), key);
    if (k < 0) return WEIR_E_NOT_FOUND;
    *out = of(ctx)->option[k].number != 0;
    return WEIR_OK;
}

static weir_status list_size(weir_ctx *ctx, const char *key, uint32_t *out) {
    (void)key;
    *out = of(ctx)->list_count;
    return WEIR_OK;
}

static weir_status entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                         weir_str *value) {
    (void)key;
    if (index >= of(ctx)->list_count) return WEIR_E_NOT_FOUND;
    *name = (weir_str){"", 0};
    *value = (weir_str){of(ctx)->lists[index], strlen(of(ctx)->lists[index])};
    return WEIR_OK;
}

static weir_status is_set(weir_ctx *ctx, const char *key, uint32_t *out) {
    *out = find(of(ctx), key) >= 0;
    return WEIR_OK;
}

static weir_status template_column(weir_ctx *ctx, const weir_request *request, const char *key,
                                   const char *name, const weir_column **out) {
    (void)request;
    (void)key;
    (void)name;
    if (of(ctx)->column == NULL) return WEIR_E_UNSUPPORTED;
    *out = of(ctx)->column;
    return WEIR_OK;
}

static weir_status base_dir(weir_ctx *ctx, weir_str *out) {
    *out = (weir_str){of(ctx)->base_dir, strlen(of(ctx)->base_dir)};
    return WEIR_OK;
}

/* ---- task and format ---- */

static void wake(weir_ctx *ctx) {
    of(ctx)->wakes++;
}

static void write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    fake_result *r = &of(ctx)->result;
    const weir_error *error = result->error;
    free(r->failed_index);
    free(r->failed_status);
    memset(r, 0, sizeof *r);
    r->token = token;
    r->status = result->status;
    r->failed_count = result->failed_count;
    if (r->failed_count > 0) {
        r->failed_index = malloc(sizeof *r->failed_index * r->failed_count);
        r->failed_status = malloc(sizeof *r->failed_status * r->failed_count);
        assert_non_null(r->failed_index);
        assert_non_null(r->failed_status);
        memcpy(r->failed_index, result->failed_index, sizeof *r->failed_index * r->failed_count);
        memcpy(r->failed_status, result->failed_status, sizeof *r->failed_status * r->failed_count);
        for (uint32_t i = 0; i < r->failed_count; i++) {
            uint32_t at = result->failed_error[i];
            if (i > 0) assert_true(r->failed_index[i] > r->failed_index[i - 1]);
            assert_true(at == UINT32_MAX || at < result->error_count);
            if (error == NULL && at != UINT32_MAX) error = result->errors[at];
        }
    }
    if (error != NULL) {
        weir_str hint = error_get_detail(error, WEIR_DETAIL_HINT);
        snprintf(r->text, sizeof r->text, "%s", error_text(error));
        snprintf(r->hint, sizeof r->hint, "%.*s", (int)hint.len, hint.ptr);
        r->flags = error_flags(error);
    }
    of(ctx)->results++;
}

static void flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *error) {
    fake_instance *i = of(ctx);
    i->flushed_epoch = epoch;
    i->flush_status = status;
    i->flush_flags = error != NULL ? error_flags(error) : 0;
    i->flushes++;
    i->flush_text[0] = '\0';
    if (error != NULL) snprintf(i->flush_text, sizeof i->flush_text, "%s", error_text(error));
}

static void commit_done(weir_ctx *ctx, uint64_t token, const uint32_t *verdicts, uint32_t count,
                        const weir_error *error) {
    fake_instance *i = of(ctx);
    assert_true(count <= FAKE_VERDICTS_MAX);
    i->committed_token = token;
    i->verdict_count = count;
    i->commits++;
    memcpy(i->verdicts, verdicts, sizeof *verdicts * count);
    i->commit_text[0] = '\0';
    if (error != NULL) snprintf(i->commit_text, sizeof i->commit_text, "%s", error_text(error));
}

static weir_status state_write(weir_writer *writer, const weir_blob *blob) {
    weir_blob *b;
    char *bytes;
    if (writer->fail_at > 0 && --writer->fail_at == 0) return WEIR_E_NOMEM;
    assert_true(writer->count < FAKE_BLOBS_MAX);
    b = &writer->blob[writer->count];
    bytes = malloc((size_t)blob->bytes.len + 1);
    assert_non_null(bytes);
    if (blob->bytes.len > 0) memcpy(bytes, blob->bytes.ptr, (size_t)blob->bytes.len);
    *b = *blob;
    b->bytes.ptr = bytes;
    writer->ptr[writer->count++] = b;
    return WEIR_OK;
}

static void split_idle(weir_ctx *ctx, weir_str split, uint32_t idle) {
    (void)split;
    of(ctx)->idle_calls++;
    of(ctx)->idle = idle;
}

static weir_status split_add(weir_split_list *list, const weir_split *split) {
    fake_split *grown = realloc(list->split, sizeof *grown * (list->count + 1));
    fake_split *s;
    assert_non_null(grown);
    list->split = grown;
    s = &grown[list->count++];
    memset(s, 0, sizeof *s);
    assert_true(split->id.len > 0 && split->id.len < sizeof s->id);
    assert_true(split->private_bytes.len <= 4096);
    assert_true(split->position.len <= sizeof s->position);
    memcpy(s->id, split->id.ptr, (size_t)split->id.len);
    memcpy(s->private_bytes, split->private_bytes.ptr, (size_t)split->private_bytes.len);
    memcpy(s->position, split->position.ptr, (size_t)split->position.len);
    s->private_len = (uint32_t)split->private_bytes.len;
    s->position_len = (uint32_t)split->position.len;
    return WEIR_OK;
}

static weir_status format_get(weir_ctx *ctx, weir_format *out) {
    *out = of(ctx)->format;
    return WEIR_OK;
}

static void counter_add(weir_ctx *ctx, const char *name, uint64_t delta) {
    (void)ctx;
    (void)name;
    (void)delta;
}

static const weir_host_config config = {
    .struct_size = sizeof config,
    .get_str = get_str,
    .get_i64 = get_i64,
    .get_f64 = get_f64,
    .get_bool = get_bool,
    .count = list_size,
    .entry = entry,
    .is_set = is_set,
    .template_column = template_column,
    .base_dir = base_dir,
};
static const weir_host_task task = {
    .struct_size = sizeof task,
    .wake = wake,
    .write_done = write_done,
    .flush_done = flush_done,
    .commit_done = commit_done,
    .split_idle = split_idle,
    .split_add = split_add,
};
static const weir_host_state state = {.struct_size = sizeof state, .write = state_write};
static const weir_host_format format = {.struct_size = sizeof format, .get = format_get};
static const weir_host_metrics metrics = {.struct_size = sizeof metrics,
                                          .counter_add = counter_add};

static const void *get_extension(const weir_host *host, const char *name) {
    (void)host;
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return &config;
    if (strcmp(name, WEIR_HOST_BATCH) == 0) return &batch_facet;
    if (strcmp(name, WEIR_HOST_TAPE) == 0) return &batch_tape_facet;
    if (strcmp(name, WEIR_HOST_TASK) == 0) return &task;
    if (strcmp(name, WEIR_HOST_FORMAT) == 0) return &format;
    if (strcmp(name, WEIR_HOST_STATE) == 0) return &state;
    if (strcmp(name, WEIR_HOST_METRICS) == 0) return &metrics;
    return NULL;
}

static const weir_host host_table = {
    .struct_size = sizeof host_table,
    .abi_minor = WEIR_ABI_MINOR,
    .name = "fake",
    .version = "1",
    .get_extension = get_extension,
    .mem_alloc = host_alloc,
    .mem_free = host_free,
    .log = host_log,
    .log_level = host_log_level,
    .mono_ns = host_mono,
    .wall_us = host_wall,
    .error_new = host_error_new,
    .error_set = host_error_set,
    .error_detail = host_error_detail,
    .error_free = host_error_free,
};

/* ---- for tests ---- */

const weir_host *fake_host(void) {
    return &host_table;
}

void fake_host_advance(int64_t ns) {
    clock_ns += ns;
}

int64_t fake_host_now(void) {
    return clock_ns;
}

void fake_host_fail_alloc(uint32_t n) {
    fail_in = n;
    alloc_failed = false;
}

bool fake_host_failed_alloc(void) {
    return alloc_failed;
}

void fake_instance_init(fake_instance *i) {
    memset(i, 0, sizeof *i);
    i->head.abi.struct_size = sizeof i->head.abi;
    i->head.abi.host = &host_table;
    i->head.home = batch_home_new(UINT64_C(1) << 40, NULL, NULL);
    assert_non_null(i->head.home);
    i->base_dir = "";
    i->format.struct_size = sizeof i->format;
    i->format.framing = WEIR_FRAMING_LINES;
    i->format.suffix = (weir_str){".txt", 4};
    i->format.serde = (weir_str){"", 0};
    i->flush_status = WEIR_E_INVALID_STATE;
}

void fake_instance_free(fake_instance *i) {
    free(i->result.failed_index);
    free(i->result.failed_status);
    assert_int_equal(batch_home_used(i->head.home), 0);
    batch_home_free(i->head.home);
}

static int option(fake_instance *i, const char *key) {
    int k = find(i, key);
    if (k >= 0) return k;
    assert_true(i->option_count < FAKE_OPTIONS_MAX);
    i->option[i->option_count].key = key;
    return (int)i->option_count++;
}

void fake_set_text(fake_instance *i, const char *key, const char *text) {
    i->option[option(i, key)].text = text;
}

void fake_set_number(fake_instance *i, const char *key, int64_t number) {
    i->option[option(i, key)].number = number;
}

void fake_set_real(fake_instance *i, const char *key, double real) {
    i->option[option(i, key)].real = real;
}

void fake_writer_free(weir_writer *w) {
    for (uint32_t k = 0; k < w->count; k++) free((void *)(uintptr_t)w->blob[k].bytes.ptr);
    memset(w, 0, sizeof *w);
}

void fake_open_fill(weir_open *open, weir_limits *limits) {
    memset(open, 0, sizeof *open);
    memset(limits, 0, sizeof *limits);
    limits->struct_size = sizeof *limits;
    open->struct_size = sizeof *open;
    open->role = WEIR_ROLE_TASK;
    open->parallelism = 1;
    open->limits = limits;
    open->deadline_ns = INT64_MAX;
}

void *fake_source_open(fake_instance *i, const weir_component *c) {
    const weir_source_ops *ops = c->ops;
    weir_create create = {.struct_size = sizeof create, .ctx = &i->head.abi};
    weir_limits limits;
    weir_open open;
    fake_open_fill(&open, &limits);
    assert_int_equal(ops->create(&create), WEIR_OK);
    assert_int_equal(ops->open(create.self, &open), WEIR_OK);
    return create.self;
}

void *fake_sink_open(fake_instance *i, const weir_component *c) {
    const weir_sink_ops *ops = c->ops;
    weir_create create = {.struct_size = sizeof create, .ctx = &i->head.abi};
    weir_limits limits;
    weir_open open;
    fake_open_fill(&open, &limits);
    assert_int_equal(ops->create(&create), WEIR_OK);
    assert_int_equal(ops->open(create.self, &open), WEIR_OK);
    return create.self;
}

void fake_splits_free(weir_split_list *list) {
    free(list->split);
    memset(list, 0, sizeof *list);
}

void fake_request_make(fake_request *r, const weir_str *values, uint32_t count, bool trailer) {
    uint64_t total = 1;
    char *at;
    memset(r, 0, sizeof *r);
    for (uint32_t i = 0; i < count; i++) total += values[i].len + 1;
    r->bytes = malloc((size_t)total);
    r->value_ptr = calloc(count + 1, sizeof *r->value_ptr);
    r->value_len = calloc(count + 1, sizeof *r->value_len);
    assert_true(r->bytes != NULL && r->value_ptr != NULL && r->value_len != NULL);
    at = r->bytes;
    for (uint32_t i = 0; i < count; i++) {
        r->value_len[i] = (uint32_t)values[i].len;
        if (values[i].ptr == NULL) continue;
        memcpy(at, values[i].ptr, (size_t)values[i].len);
        r->value_ptr[i] = at;
        at += values[i].len;
        if (trailer) *at++ = '\n';
        r->rows.value_bytes += values[i].len;
    }
    r->rows.struct_size = sizeof r->rows;
    r->rows.count = count;
    r->rows.value_ptr = r->value_ptr;
    r->rows.value_len = r->value_len;
    r->rows.trailer_len = trailer;
    r->rows.trailer = trailer ? '\n' : 0;
    r->request.struct_size = sizeof r->request;
    r->request.rows = &r->rows;
}

void fake_request_free(fake_request *r) {
    free(r->bytes);
    free(r->value_ptr);
    free(r->value_len);
}
