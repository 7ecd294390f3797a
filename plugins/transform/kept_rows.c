#include "transform.h"

weir_status kept_rows_begin(weir_ctx *ctx, kept_rows *kept, uint32_t rows) {
    kept->count = 0;
    if (rows <= kept->capacity) return WEIR_OK;
    weir_free(ctx, kept->index);
    kept->capacity = 0;
    kept->index = weir_alloc(ctx, sizeof *kept->index * rows);
    if (kept->index == NULL) return WEIR_E_NOMEM;
    kept->capacity = rows;
    return WEIR_OK;
}

void kept_rows_free(weir_ctx *ctx, kept_rows *kept) {
    weir_free(ctx, kept->index);
    kept->index = NULL;
    kept->count = kept->capacity = 0;
}

weir_status kept_rows_emit(weir_ctx *ctx, const kept_rows *kept, weir_apply *args) {
    const weir_api *api = weir_api_of(ctx);
    const weir_batch *out = args->batch;
    if (kept->count == 0) return WEIR_OK;
    if (kept->count == args->batch->rows->count) {
        api->batch.retain(out);
    } else {
        out = api->batch.select(ctx, args->batch, kept->index, kept->count);
        if (out == NULL) {
            return weir_fail(ctx, args->error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                             "no memory for %u of %u records", kept->count,
                             args->batch->rows->count);
        }
    }
    return args->emit(args, 0, out);
}
