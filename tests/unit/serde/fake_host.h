/*
 * tests/unit/serde/fake_host.h - a host for one serde: options from a list, rows and values in
 * plain memory, and calls that fail on demand.
 *
 * Every allocation has its exact size and moves whenever it may, so that AddressSanitizer sees what
 * keeps a pointer for too long.
 */
#ifndef TESTS_UNIT_SERDE_FAKE_HOST_H
#define TESTS_UNIT_SERDE_FAKE_HOST_H

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/abi.h"

#define ROWS_MAX 64u

/* An option as the manifest gives it: integers as text too. */
typedef struct fake_option {
    const char *key, *value;
} fake_option;

struct weir_error {
    weir_status status;
    uint32_t flags;
    char text[512];
};

struct weir_tape_builder {
    weir_value *nodes;
    uint32_t used, capacity, rows;
    uint32_t row_start[ROWS_MAX + 1], origin[ROWS_MAX];
    char *strings[256];
    uint32_t string_count;
};

/* A serde with everything it sees. `calls_left` counts down over allocating host calls; at zero
 * they fail. */
typedef struct fake {
    weir_ctx ctx;
    const fake_option *options;
    const weir_serde_ops *ops;
    void *self;
    int64_t calls_left, live;
    weir_error error;
    /* What fail() said of each record or row. */
    weir_status failed[ROWS_MAX];
    char why[ROWS_MAX][512];
    struct weir_tape_builder tape;
    /* Encoded values. */
    char *value[ROWS_MAX];
    uint64_t value_len[ROWS_MAX];
    char *room;
    uint64_t room_size;
} fake;

static fake *fake_of(const weir_ctx *ctx) {
    return (fake *)(void *)(uintptr_t)ctx; /* the ctx is the first member */
}

static fake *current; /* the one serde under test: for calls that carry no ctx */

static int may_allocate(void) {
    return current->calls_left < 0 || current->calls_left-- > 0;
}

static void *fake_alloc(const weir_host *host, uint64_t size) {
    (void)host;
    if (!may_allocate()) return NULL;
    current->live++;
    return malloc(size ? size : 1);
}

static void fake_free(const weir_host *host, void *memory) {
    (void)host;
    if (memory) current->live--;
    free(memory);
}

static void fake_log(const weir_host *host, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)host;
    (void)ctx;
    (void)level;
    (void)text;
}

static uint32_t fake_log_level(const weir_host *host, weir_ctx *ctx) {
    (void)host;
    (void)ctx;
    return 0;
}

static void fake_error_set(const weir_host *host, weir_error *err, weir_status status,
                           uint32_t flags, weir_str text) {
    (void)host;
    if (!err) return;
    err->status = status;
    err->flags = flags;
    snprintf(err->text, sizeof err->text, "%.*s", (int)text.len, text.ptr);
}

static const char *option(const weir_ctx *ctx, const char *key) {
    for (const fake_option *o = fake_of(ctx)->options; o && o->key; o++)
        if (strcmp(o->key, key) == 0) return o->value;
    return NULL;
}

static weir_status fake_get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    *out = (weir_str){value, strlen(value)};
    return WEIR_OK;
}

static weir_status fake_get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    const char *value = option(ctx, key);
    if (!value) return WEIR_E_NOT_FOUND;
    *out = strtoll(value, NULL, 10);
    return WEIR_OK;
}

static weir_status fake_reserve(weir_tape_builder *t, uint32_t nodes, weir_tape_room *out) {
    if (!may_allocate()) return WEIR_E_NOMEM;
    uint32_t first = t->row_start[t->rows];
    weir_value *moved = malloc((first + (size_t)nodes) * sizeof *moved);
    assert_non_null(moved);
    uint32_t keep = first + nodes < t->capacity ? first + nodes : t->capacity;
    if (keep) memcpy(moved, t->nodes, keep * sizeof *moved);
    free(t->nodes);
    t->nodes = moved;
    t->capacity = first + nodes;
    out->nodes = t->nodes + first;
    out->capacity = nodes;
    return WEIR_OK;
}

static weir_status fake_row(weir_tape_builder *t, uint32_t nodes, uint32_t origin) {
    if (!may_allocate()) return WEIR_E_NOMEM;
    assert_true(t->rows < ROWS_MAX);
    assert_true(t->row_start[t->rows] + nodes <= t->capacity);
    t->origin[t->rows] = origin;
    t->row_start[t->rows + 1] = t->row_start[t->rows] + nodes;
    t->rows++;
    return WEIR_OK;
}

static char *fake_tape_alloc(weir_tape_builder *t, uint64_t size) {
    if (!may_allocate()) return NULL;
    assert_true(t->string_count < 256);
    return t->strings[t->string_count++] = malloc(size ? size : 1);
}

static const weir_host_config config_facet = {
    .struct_size = sizeof config_facet, .get_str = fake_get_str, .get_i64 = fake_get_i64};
static const weir_host_tape tape_facet = {.struct_size = sizeof tape_facet,
                                          .reserve = fake_reserve,
                                          .row = fake_row,
                                          .alloc = fake_tape_alloc};

static const void *fake_get_extension(const weir_host *host, const char *name) {
    (void)host;
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return &config_facet;
    if (strcmp(name, WEIR_HOST_TAPE) == 0) return &tape_facet;
    return NULL;
}

static const weir_host fake_host = {.struct_size = sizeof fake_host,
                                    .abi_minor = WEIR_ABI_MINOR,
                                    .name = "test",
                                    .version = "0",
                                    .get_extension = fake_get_extension,
                                    .mem_alloc = fake_alloc,
                                    .mem_free = fake_free,
                                    .log = fake_log,
                                    .log_level = fake_log_level,
                                    .error_set = fake_error_set};

/* The component of the plugin file, loaded as the host does. */
static const weir_component *load_component(const char *name) {
    void *handle = dlopen(PLUGIN_FILE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) fail_msg("%s", dlerror());
    weir_plugin_entry_fn entry;
    *(void **)(void *)&entry = dlsym(handle, WEIR_ENTRY_SYMBOL);
    assert_non_null(entry);
    const weir_plugin *plugin = NULL;
    assert_int_equal(entry(&fake_host, &plugin), WEIR_OK);
    for (uint32_t i = 0; i < plugin->component_count; i++)
        if (strcmp(plugin->components[i]->name, name) == 0) return plugin->components[i];
    fail_msg("no component %s", name);
    return NULL;
}

/* Creates and opens; NULL if the serde could not (calls_left). */
static fake *serde_open(const weir_component *component, const fake_option *options,
                        int64_t calls_left) {
    fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->ctx = (weir_ctx){.struct_size = sizeof f->ctx, .host = &fake_host};
    f->options = options;
    f->ops = component->ops;
    f->calls_left = calls_left;
    current = f;
    weir_create create = {.struct_size = sizeof create, .ctx = &f->ctx, .error = &f->error};
    if (f->ops->create(&create) != WEIR_OK) {
        assert_int_equal(f->error.status, WEIR_E_NOMEM);
        free(f);
        return NULL;
    }
    f->self = create.self;
    weir_open open = {.struct_size = sizeof open, .role = WEIR_ROLE_TASK, .error = &f->error};
    assert_int_equal(f->ops->open(f->self, &open), WEIR_OK);
    return f;
}

static void drop_results(fake *f) {
    for (uint32_t i = 0; i < f->tape.string_count; i++) free(f->tape.strings[i]);
    for (uint32_t i = 0; i < ROWS_MAX; i++) free(f->value[i]);
    free(f->tape.nodes);
    free(f->room);
    memset(&f->tape, 0, sizeof f->tape);
    memset(f->failed, 0, sizeof f->failed);
    memset(f->value, 0, sizeof f->value);
    f->room = NULL;
}

static void serde_close(fake *f) {
    weir_close args = {.struct_size = sizeof args, .mode = WEIR_CLOSE_DRAIN, .error = &f->error};
    f->ops->cancel(f->self);
    assert_int_equal(f->ops->close(f->self, &args), WEIR_OK);
    f->ops->destroy(f->self);
    assert_int_equal(f->live, 0);
    drop_results(f);
    free(f);
}

static void decode_fail(weir_decode *args, uint32_t record, weir_status status, weir_str text) {
    (void)args;
    current->failed[record] = status;
    snprintf(current->why[record], sizeof current->why[record], "%.*s", (int)text.len, text.ptr);
}

/* Decodes texts; NULL is a null record. Each lies in memory of its exact size, which is kept as
 * long as the tape is (in strings). */
static weir_status serde_decode(fake *f, const char *const *texts, const uint32_t *lens,
                                uint32_t count) {
    drop_results(f);
    const char *ptr[ROWS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        ptr[i] = NULL;
        if (!texts[i]) continue;
        char *copy = malloc(lens[i] ? lens[i] : 1);
        memcpy(copy, texts[i], lens[i]);
        f->tape.strings[f->tape.string_count++] = copy;
        ptr[i] = copy;
    }
    weir_rows rows = {
        .struct_size = sizeof rows, .count = count, .value_ptr = ptr, .value_len = lens};
    weir_batch batch = {.struct_size = sizeof batch, .rows = &rows};
    weir_decode args = {.struct_size = sizeof args,
                        .batch = &batch,
                        .tape = &f->tape,
                        .fail = decode_fail,
                        .error = &f->error};
    return f->ops->decode(f->self, &args);
}

static char *encode_room(weir_encode *args, uint64_t used, uint64_t size) {
    (void)args;
    if (!may_allocate()) return NULL;
    char *moved = malloc(size ? size : 1);
    if (used) memcpy(moved, current->room, used);
    free(current->room);
    current->room_size = size;
    return current->room = moved;
}

static weir_status encode_row(weir_encode *args, uint32_t row, uint64_t size) {
    (void)args;
    if (!may_allocate()) return WEIR_E_NOMEM;
    assert_true(size <= current->room_size);
    current->value[row] = current->room;
    current->value_len[row] = size;
    current->room = NULL;
    return WEIR_OK;
}

static void encode_fail(weir_encode *args, uint32_t row, weir_status status, weir_str text) {
    (void)args;
    current->failed[row] = status;
    snprintf(current->why[row], sizeof current->why[row], "%.*s", (int)text.len, text.ptr);
}

/* Encodes the rows of a tape. */
static weir_status serde_encode(fake *f, const weir_value *nodes, const uint32_t *row_start,
                                uint32_t rows) {
    weir_tape tape = {
        .struct_size = sizeof tape, .row_count = rows, .nodes = nodes, .row_start = row_start};
    weir_batch batch = {.struct_size = sizeof batch, .tape = &tape};
    weir_encode args = {.struct_size = sizeof args,
                        .batch = &batch,
                        .room = encode_room,
                        .row = encode_row,
                        .fail = encode_fail,
                        .error = &f->error};
    return f->ops->encode(f->self, &args);
}

static void check_value(const fake *f, uint32_t row, const char *want) {
    if (!f->value[row]) fail_msg("row %u has no value: %s", row, f->why[row]);
    if (f->value_len[row] != strlen(want) || memcmp(f->value[row], want, strlen(want)) != 0)
        fail_msg("row %u is %.*s, expected %s", row, (int)f->value_len[row], f->value[row], want);
}

#endif
