/*
 * The transform `sample`: keeps a record if the hash of its number lies below the rate. The n-th
 * record that an instance sees is kept or not by seed and n alone.
 */
#include <stdbool.h>

#include "transform.h"

typedef struct sample {
    weir_ctx *ctx;
    uint64_t seed;
    uint64_t counter;
    uint64_t below; /* keep hashes below; UINT64_MAX keeps all */
    kept_rows kept;
} sample;

/* splitmix64 */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static weir_status sample_create(weir_create *args) {
    sample *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    args->self = self;
    return WEIR_OK;
}

static void sample_destroy(void *opaque) {
    sample *self = opaque;
    kept_rows_free(self->ctx, &self->kept);
    weir_free(self->ctx, self);
}

static weir_status sample_open(void *opaque, weir_open *args) {
    sample *self = opaque;
    double rate = weir_opt_f64(self->ctx, "rate");
    /* Instances draw from different sequences. */
    self->seed = mix((uint64_t)weir_opt_i64(self->ctx, "seed")) ^ mix(args->instance);
    self->counter = 0;
    if (rate >= 1) {
        self->below = UINT64_MAX;
    } else {
        self->below = rate > 0 ? (uint64_t)(rate * 18446744073709551616.0) : 0;
    }
    return WEIR_OK;
}

static weir_status sample_apply(void *opaque, weir_apply *args) {
    sample *self = opaque;
    uint32_t rows = args->batch->rows->count;
    weir_status status = kept_rows_begin(self->ctx, &self->kept, rows);
    bool all = self->below == UINT64_MAX;
    if (status != WEIR_OK) return status;
    for (uint32_t row = 0; row < rows; row++) {
        uint64_t hash = mix(self->seed + self->counter++);
        self->kept.index[self->kept.count] = row;
        self->kept.count += all || hash < self->below;
    }
    return kept_rows_emit(self->ctx, &self->kept, args);
}

static void sample_cancel(void *self) {
    (void)self;
}

static weir_status sample_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static const weir_transform_ops ops = {
    .struct_size = sizeof(weir_transform_ops),
    .create = sample_create,
    .destroy = sample_destroy,
    .open = sample_open,
    .apply = sample_apply,
    .cancel = sample_cancel,
    .close = sample_close,
};

const weir_component transform_sample = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_TRANSFORM,
    .name = "sample",
    .ops = &ops,
};
