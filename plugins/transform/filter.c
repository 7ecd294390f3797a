#include "transform.h"
#include "where.h"

typedef struct filter {
    weir_ctx *ctx;
    where_program *program;
    kept_rows kept;
} filter;

static where_program *compile_option(weir_ctx *ctx, weir_error *error);

static weir_status filter_create(weir_create *args) {
    filter *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    args->self = self;
    return WEIR_OK;
}

static void filter_destroy(void *opaque) {
    filter *self = opaque;
    where_free(self->program);
    kept_rows_free(self->ctx, &self->kept);
    weir_free(self->ctx, self);
}

static weir_status filter_validate(weir_validate *args) {
    where_program *program = compile_option(args->ctx, args->error);
    where_free(program);
    return program != NULL ? WEIR_OK : WEIR_E_INVALID_ARG;
}

static weir_status filter_open(void *opaque, weir_open *args) {
    filter *self = opaque;
    where_free(self->program);
    self->program = compile_option(self->ctx, args->error);
    return self->program != NULL ? WEIR_OK : WEIR_E_INVALID_ARG;
}

static where_program *compile_option(weir_ctx *ctx, weir_error *error) {
    where_fault fault;
    where_program *program = where_compile(weir_opt_str(ctx, "where"), &fault);
    if (program != NULL) return program;
    if (fault.column > 0) {
        weir_fail(ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, "where, column %u: %s",
                  fault.column, fault.text);
    } else {
        weir_fail(ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, "where: %s", fault.text);
    }
    weir_fail_detail(ctx, error, WEIR_DETAIL_OPTION, weir_str_of("where"));
    if (fault.hint != NULL) weir_fail_hint(ctx, error, "%s", fault.hint);
    return NULL;
}

static weir_status filter_apply(void *opaque, weir_apply *args) {
    filter *self = opaque;
    const weir_tape *tape = args->batch->tape;
    uint32_t rows = args->batch->rows->count;
    weir_status status;
    if (tape == NULL || tape->row_count != rows) {
        return weir_fail(self->ctx, args->error, WEIR_E_INVALID_STATE, 0,
                         "filter got records that are not decoded");
    }
    status = kept_rows_begin(self->ctx, &self->kept, rows);
    if (status != WEIR_OK) return status;
    for (uint32_t row = 0; row < rows; row++) {
        self->kept.index[self->kept.count] = row;
        self->kept.count += where_holds(self->program, weir_tape_root(tape, row));
    }
    return kept_rows_emit(self->ctx, &self->kept, args);
}

static void filter_cancel(void *self) {
    (void)self;
}

static weir_status filter_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static const weir_transform_ops ops = {
    .struct_size = sizeof(weir_transform_ops),
    .create = filter_create,
    .destroy = filter_destroy,
    .open = filter_open,
    .apply = filter_apply,
    .cancel = filter_cancel,
    .close = filter_close,
};

const weir_component transform_filter = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_TRANSFORM,
    .name = "filter",
    .capabilities = WEIR_CAP_NEEDS_TAPE,
    .ops = &ops,
    .validate = filter_validate,
};
