#include "std.h"

typedef struct blackhole {
    weir_ctx *ctx;
} blackhole;

static weir_status blackhole_create(weir_create *args) {
    blackhole *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    args->self = self;
    return WEIR_OK;
}

static void blackhole_destroy(void *self) {
    weir_free(((blackhole *)self)->ctx, self);
}

static weir_status blackhole_open(void *self, weir_open *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static weir_status blackhole_write(void *opaque, weir_write *args) {
    blackhole *self = opaque;
    const weir_rows *rows = args->request->rows;
    args->taken = rows->count;
    weir_count(self->ctx, "dropped_records", rows->count);
    weir_count(self->ctx, "dropped_bytes", rows->value_bytes);
    weir_write_ok(self->ctx, args->token);
    return WEIR_OK;
}

static weir_status blackhole_flush(void *self, weir_flush *args) {
    weir_flush_done(((blackhole *)self)->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

static void blackhole_cancel(void *self) {
    (void)self;
}

static weir_status blackhole_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static const weir_sink_ops ops = {
    .struct_size = sizeof(weir_sink_ops),
    .create = blackhole_create,
    .destroy = blackhole_destroy,
    .open = blackhole_open,
    .write = blackhole_write,
    .flush = blackhole_flush,
    .cancel = blackhole_cancel,
    .close = blackhole_close,
};

const weir_component std_blackhole = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SINK,
    .name = "blackhole",
    .capabilities = WEIR_CAP_BUFFERED | WEIR_CAP_IDEMPOTENT,
    .ops = &ops,
};
