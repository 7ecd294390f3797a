/*
 * core/runtime/key_rows.h - the rows of a batch, key by key.
 */
#ifndef WEIR_RUNTIME_KEY_ROWS_H
#define WEIR_RUNTIME_KEY_ROWS_H

#include "runtime/template_eval.h"

/* Keys in the order of their first rows; rows of key k: rows[start[k]] .. rows[start[k + 1] - 1],
 * ascending. */
typedef struct key_rows {
    uint32_t count; /* keys */
    weir_str *keys;
    uint32_t *start;
    uint32_t *rows;
} key_rows;

/* All of it comes from `memory`. A row whose key cannot be told is reported through `fail` and left
 * out. WEIR_E_NOMEM; `err` is also where `fail` gets its reasons from. [task] */
weir_status key_rows_make(template_eval *key, const weir_batch *batch, arena *memory, key_rows *out,
                          void (*fail)(void *opaque, uint32_t row, const weir_error *why),
                          void *opaque, weir_error *err);

#endif
