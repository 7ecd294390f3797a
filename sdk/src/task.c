/*
 * Waking, completing and counting: the task and metrics facets.
 */
#include "weir/sdk.h"

#include <string.h>

void weir_wake(weir_ctx *ctx) {
    weir_api_of(ctx)->task.wake(ctx);
}

void weir_write_ok(weir_ctx *ctx, uint64_t token) {
    weir_write_failed(ctx, token, WEIR_OK, NULL);
}

void weir_write_failed(weir_ctx *ctx, uint64_t token, weir_status status, weir_error *err) {
    weir_result result;
    memset(&result, 0, sizeof result);
    result.struct_size = (uint32_t)sizeof result;
    result.status = status;
    result.error = err;
    weir_api_of(ctx)->task.write_done(ctx, token, &result);
}

void weir_flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *err) {
    weir_api_of(ctx)->task.flush_done(ctx, epoch, status, err);
}

void weir_count(weir_ctx *ctx, const char *counter, uint64_t delta) {
    weir_api_of(ctx)->metrics.counter_add(ctx, counter, delta);
}
