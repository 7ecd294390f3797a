#include "runtime/key_rows.h"

#include "base/map.h"
#include "base/str.h"

#define NONE UINT32_MAX

/* The number of a key, found or given out: a hash table of numbers with linear probing, never more
 * than half full. */
static uint32_t number_of(key_rows *out, uint32_t *table, uint32_t mask, weir_str key) {
    uint32_t at = (uint32_t)map_hash(key) & mask;
    for (; table[at] != 0; at = (at + 1) & mask) {
        if (str_eq(out->keys[table[at] - 1], key)) return table[at] - 1;
    }
    out->keys[out->count++] = key;
    table[at] = out->count;
    return out->count - 1;
}

weir_status key_rows_make(template_eval *key, const weir_batch *batch, arena *memory, key_rows *out,
                          void (*fail)(void *opaque, uint32_t row, const weir_error *why),
                          void *opaque, weir_error *err) {
    uint32_t n = batch->rows->count;
    text_column texts;
    *out = (key_rows){0};
    weir_status status = template_eval_column(key, batch, memory, &texts, fail, opaque, err);
    if (status != WEIR_OK) return status;
    uint32_t size = 16;
    while (size < n * 2) size *= 2;
    uint32_t *table = arena_array(memory, size, sizeof *table);
    uint32_t *number = arena_array(memory, n + 1u, sizeof *number);
    out->keys = arena_array(memory, n + 1u, sizeof *out->keys);
    out->start = arena_array(memory, n + 2u, sizeof *out->start);
    out->rows = arena_array(memory, n + 1u, sizeof *out->rows);
    if (table == NULL || number == NULL || out->keys == NULL || out->start == NULL ||
        out->rows == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for keys");
    }
    for (uint32_t row = 0; row < n; row++) {
        uint32_t at = texts.constant ? 0 : row;
        if (texts.ptr[at] == NULL) {
            number[row] = NONE;
        } else if (row > 0 && texts.ptr[at] == texts.ptr[texts.constant ? 0 : row - 1]) {
            number[row] = number[row - 1]; /* equal neighbours share their bytes */
        } else {
            number[row] = number_of(out, table, size - 1, str_make(texts.ptr[at], texts.len[at]));
        }
    }
    /* start[k + 2] counts the rows of key k; summed up, start[k + 1] is where they begin, and moves
     * behind each that is put in its place until it is where those of k + 1 begin. */
    for (uint32_t row = 0; row < n; row++) {
        if (number[row] != NONE) out->start[number[row] + 2]++;
    }
    for (uint32_t k = 2; k <= out->count; k++) out->start[k] += out->start[k - 1];
    for (uint32_t row = 0; row < n; row++) {
        if (number[row] != NONE) out->rows[out->start[number[row] + 1]++] = row;
    }
    return WEIR_OK;
}
