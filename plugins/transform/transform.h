/*
 * plugins/transform/transform.h - the components of transform.so.
 */
#ifndef WEIR_TRANSFORM_TRANSFORM_H
#define WEIR_TRANSFORM_TRANSFORM_H

#include "weir/sdk.h"
#include "weir/transform.h"

extern const weir_component transform_filter;
extern const weir_component transform_sample;
extern const weir_plugin transform_plugin;

#define TRANSFORM_ID "dev.weir.transform"
#define TRANSFORM_VERSION "0.1.0"

/* Row numbers that are to be kept: grows to the largest batch met. */
typedef struct kept_rows {
    uint32_t *index;
    uint32_t count;
    uint32_t capacity;
} kept_rows;

/* Room for `rows` numbers, none in use. WEIR_E_NOMEM. [task] */
weir_status kept_rows_begin(weir_ctx *ctx, kept_rows *kept, uint32_t rows);
void kept_rows_free(weir_ctx *ctx, kept_rows *kept);
/* Emits the kept rows of args->batch: the batch itself if it is all of them, a selection that
 * shares its bytes, or nothing. [task] */
weir_status kept_rows_emit(weir_ctx *ctx, const kept_rows *kept, weir_apply *args);

#endif
