/*
 * A plugin that proves state by key: `keyer` gives the records of a generator (shape: sequence)
 * keys so that the n-th record of key j is number j + n * keys, and `tally` fails unless its count
 * of the key says the same. So a count that was lost, doubled, or found by the wrong key ends the
 * pipeline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/sdk.h"

typedef struct tally {
    weir_ctx *ctx;
    uint64_t keys, bare, fat;
    int check;
    char *filler;
} tally;

static weir_status tally_create(weir_create *args) {
    tally *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->keys = (uint64_t)weir_opt_i64(args->ctx, "keys");
    self->bare = (uint64_t)weir_opt_i64(args->ctx, "bare");
    self->fat = (uint64_t)weir_opt_i64(args->ctx, "fat");
    self->check = weir_opt_bool(args->ctx, "check");
    self->filler = weir_zalloc(args->ctx, self->fat + 1);
    args->self = self;
    return WEIR_OK;
}

static void tally_destroy(void *opaque) {
    tally *self = opaque;
    weir_free(self->ctx, self->filler);
    weir_free(self->ctx, self);
}

/* The blobs that the host keeps for state by key are not for plugins. */
static weir_status tally_open(void *opaque, weir_open *args) {
    tally *self = opaque;
    weir_str out;
    if (args->blob_count != 0) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0, "open got %u blobs",
                         args->blob_count);
    }
    if (weir_api_of(self->ctx)->state.get(self->ctx, "n", &out) == WEIR_OK) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0, "state without a key");
    }
    return WEIR_OK;
}

static weir_status no_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static void no_cancel(void *self) {
    (void)self;
}

static uint64_t number_of(const weir_rows *rows, uint32_t row) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < rows->value_len[row]; i++) {
        n = n * 10 + (uint64_t)(rows->value_ptr[row][i] - '0');
    }
    return n;
}

/* ---- keyer ---- */

static weir_status keyer_apply(void *opaque, weir_apply *args) {
    tally *self = opaque;
    const weir_api *api = weir_api_of(self->ctx);
    const weir_rows *rows = args->batch->rows;
    weir_batch_builder *b = api->batch.begin(self->ctx, rows->count, WEIR_COL_KEY);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    if (b == NULL || api->batch.reserve(b, rows->count, &columns) != WEIR_OK) return WEIR_E_NOMEM;
    for (uint32_t i = 0; i < rows->count; i++) {
        char *bytes = api->batch.alloc(b, 24u + rows->value_len[i]);
        if (bytes == NULL) return WEIR_E_NOMEM;
        uint64_t n = number_of(rows, i);
        int len = snprintf(bytes, 24, "k%llu", (unsigned long long)(n % self->keys));
        int bare = self->bare != 0 && n % self->bare == 0;
        columns.key_ptr[i] = bare ? NULL : bytes;
        columns.key_len[i] = bare ? 0 : (uint32_t)len;
        memcpy(bytes + 24, rows->value_ptr[i], rows->value_len[i]);
        columns.value_ptr[i] = bytes + 24;
        columns.value_len[i] = rows->value_len[i];
    }
    api->batch.commit(b, rows->count);
    weir_batch_seal seal = {
        .struct_size = sizeof seal, .split = args->batch->split, .resume = args->batch->resume};
    const weir_batch *batch = api->batch.seal(b, &seal);
    return batch != NULL ? args->emit(args, 0, batch) : WEIR_E_NOMEM;
}

/* ---- tally ---- */

static weir_status tally_record(tally *self, weir_apply *args, uint32_t row) {
    const weir_host_state *state = &weir_api_of(self->ctx)->state;
    uint64_t count = 0, number = number_of(args->batch->rows, row);
    weir_str before;
    weir_status status = state->get(self->ctx, "n", &before);
    if (status == WEIR_OK && before.len == sizeof count) {
        memcpy(&count, before.ptr, sizeof count);
    } else if (status != WEIR_E_NOT_FOUND) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0, "get answers %d", status);
    }
    if (self->check && (number / self->keys != count ||
                        (uint64_t)strtoull(args->key.ptr + 1, NULL, 10) != number % self->keys)) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0,
                         "record %llu came with key %.*s, which has counted %llu",
                         (unsigned long long)number, (int)args->key.len, args->key.ptr,
                         (unsigned long long)count);
    }
    /* Something that is there from every odd to every even record, and grows. */
    char odd[64];
    int len = snprintf(odd, sizeof odd, "%0*llu", (int)(count % 40) + 1, (unsigned long long)count);
    status = count % 2 == 0 ? state->put(self->ctx, "odd", (weir_str){odd, (uint64_t)len})
                            : state->remove(self->ctx, "odd");
    if (status != WEIR_OK) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0, "odd answers %d", status);
    }
    if (self->fat > 0 && count == 0) {
        status = state->put(self->ctx, "fat", (weir_str){self->filler, self->fat});
        if (status != WEIR_OK) return status;
    }
    count++;
    return state->put(self->ctx, "n", (weir_str){(const char *)&count, sizeof count});
}

static weir_status tally_apply(void *opaque, weir_apply *args) {
    tally *self = opaque;
    const weir_rows *rows = args->batch->rows;
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->key_len[i] != args->key.len ||
            memcmp(rows->key_ptr[i], args->key.ptr, args->key.len) != 0) {
            return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0,
                             "a record of key %.*s among those of %.*s", (int)rows->key_len[i],
                             rows->key_ptr[i], (int)args->key.len, args->key.ptr);
        }
        weir_status status = tally_record(self, args, i);
        if (status != WEIR_OK) return status;
    }
    weir_api_of(self->ctx)->batch.retain(args->batch);
    return args->emit(args, 0, args->batch);
}

/* ---- plain ---- */

static weir_status plain_apply(void *opaque, weir_apply *args) {
    tally *self = opaque;
    const weir_host_state *state = &weir_api_of(self->ctx)->state;
    weir_str out;
    if (args->key.ptr != NULL || state->get(self->ctx, "n", &out) != WEIR_E_UNSUPPORTED ||
        state->put(self->ctx, "n", (weir_str){"1", 1}) != WEIR_E_UNSUPPORTED ||
        state->remove(self->ctx, "n") != WEIR_E_UNSUPPORTED ||
        state->timer_set(self->ctx, 0, 0) != WEIR_E_UNSUPPORTED) {
        return weir_fail(self->ctx, args->error, WEIR_E_INTERNAL, 0, "state by key is offered");
    }
    weir_api_of(self->ctx)->batch.retain(args->batch);
    return args->emit(args, 0, args->batch);
}

#define OPS(apply_function)                                                                        \
    {                                                                                              \
        .struct_size = sizeof(weir_transform_ops), .create = tally_create,                         \
        .destroy = tally_destroy, .open = tally_open, .apply = apply_function,                     \
        .cancel = no_cancel, .close = no_close                                                     \
    }
static const weir_transform_ops keyer_ops = OPS(keyer_apply);
static const weir_transform_ops tally_ops = OPS(tally_apply);
static const weir_transform_ops plain_ops = OPS(plain_apply);

static const weir_component keyer = {
    .struct_size = sizeof keyer, .kind = WEIR_KIND_TRANSFORM, .name = "keyer", .ops = &keyer_ops};
static const weir_component counting = {.struct_size = sizeof counting,
                                        .kind = WEIR_KIND_TRANSFORM,
                                        .name = "tally",
                                        .capabilities = WEIR_CAP_KEYED,
                                        .ops = &tally_ops};
static const weir_component plain = {
    .struct_size = sizeof plain, .kind = WEIR_KIND_TRANSFORM, .name = "plain", .ops = &plain_ops};
static const weir_component *const components[] = {&keyer, &counting, &plain};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = "dev.weir.test.tally",
    .version = "0.1.0",
    .components = components,
    .component_count = 3,
};

WEIR_PLUGIN_ENTRY(plugin, 9)
