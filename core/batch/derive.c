/*
 * Derived batches: selections, other times, and the gathering of columns that these and decoding
 * and encoding need. Bytes are shared, per-row arrays are copied.
 */
#include <string.h>

#include "base/log.h"
#include "batch/object.h"

uint64_t object_gather_room(const weir_rows *from, uint32_t count) {
    uint64_t row = sizeof(char *) + sizeof(uint32_t);
    if (from->key_ptr != NULL) row += sizeof(char *) + sizeof(uint32_t);
    if (from->time_us != NULL) row += sizeof(int64_t);
    if (from->header_start != NULL) row += sizeof(uint32_t);
    for (uint32_t m = 0; m < from->meta_count; m++) {
        if (from->meta[m]->encoding == WEIR_COLUMN_PLAIN) row += sizeof(char *) + sizeof(uint32_t);
        if (from->meta[m]->encoding == WEIR_COLUMN_DICTIONARY) row += sizeof(uint32_t);
    }
    uint64_t columns = from->meta_count * (sizeof(weir_column) + sizeof(void *) + 24);
    return region_room(count, row) + columns + 128;
}

/* ptr and len of the rows `indexes`; `sum` of lengths unless NULL. */
static bool gather_bytes(region *r, const char *const *ptr, const uint32_t *len,
                         const uint32_t *indexes, uint32_t count, const char *const **out_ptr,
                         const uint32_t **out_len, uint64_t *sum) {
    const char **p = region_alloc(r, (uint64_t)count * sizeof *p, 8);
    uint32_t *n = region_alloc(r, (uint64_t)count * sizeof *n, 8);
    if (p == NULL || n == NULL) return false;
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        p[i] = ptr[indexes[i]];
        n[i] = len[indexes[i]];
        total += n[i];
    }
    *out_ptr = p;
    *out_len = n;
    if (sum != NULL) *sum = total;
    return true;
}

static bool gather_headers(batch *b, const weir_rows *from, const uint32_t *indexes,
                           uint32_t count) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += from->header_start[indexes[i] + 1] - from->header_start[indexes[i]];
    if (total > UINT32_MAX) return false;
    region *r = &b->region;
    uint32_t *start = region_alloc(r, ((uint64_t)count + 1) * sizeof *start, 8);
    const char **name = region_alloc(r, total * sizeof *name, 8);
    const char **value = region_alloc(r, total * sizeof *value, 8);
    uint32_t *name_len = region_alloc(r, total * sizeof *name_len, 8);
    uint32_t *value_len = region_alloc(r, total * sizeof *value_len, 8);
    if (start == NULL || name == NULL || value == NULL || name_len == NULL || value_len == NULL)
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = from->header_start[indexes[i]];
        uint32_t n = from->header_start[indexes[i] + 1] - first;
        start[i] = at;
        for (uint32_t k = 0; k < n; k++, at++) {
            name[at] = from->header_name_ptr[first + k];
            name_len[at] = from->header_name_len[first + k];
            value[at] = from->header_value_ptr[first + k];
            value_len[at] = from->header_value_len[first + k];
        }
    }
    start[count] = at;
    b->rows.header_start = start;
    b->rows.header_name_ptr = name;
    b->rows.header_name_len = name_len;
    b->rows.header_value_ptr = value;
    b->rows.header_value_len = value_len;
    return true;
}

static uint32_t *gather_u32(region *r, const uint32_t *from, const uint32_t *indexes,
                            uint32_t count) {
    uint32_t *out = region_alloc(r, (uint64_t)count * sizeof *out, 8);
    if (out == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) out[i] = from[indexes[i]];
    return out;
}

static bool gather_metas(batch *b, const weir_rows *from, const uint32_t *indexes, uint32_t count) {
    region *r = &b->region;
    const weir_column **list = region_alloc(r, from->meta_count * sizeof *list, 8);
    if (list == NULL) return false;
    for (uint32_t m = 0; m < from->meta_count; m++) {
        const weir_column *column = from->meta[m];
        list[m] = column; /* a constant is as good for fewer rows */
        if (column->encoding == WEIR_COLUMN_CONSTANT) continue;
        weir_column *copy = region_alloc(r, sizeof *copy, 8);
        if (copy == NULL) return false;
        *copy = *column;
        list[m] = copy;
        if (column->encoding == WEIR_COLUMN_DICTIONARY) {
            copy->index = gather_u32(r, column->index, indexes, count);
            if (copy->index == NULL) return false;
        } else if (!gather_bytes(r, column->ptr, column->len, indexes, count, &copy->ptr,
                                 &copy->len, NULL)) {
            return false;
        }
    }
    b->rows.meta = list;
    return true;
}

bool object_gather(batch *b, const weir_rows *from, const uint32_t *indexes, uint32_t count,
                   bool values) {
    weir_rows *rows = &b->rows;
    region *r = &b->region;
    rows->count = count;
    if (values && !gather_bytes(r, from->value_ptr, from->value_len, indexes, count,
                                &rows->value_ptr, &rows->value_len, &rows->value_bytes))
        return false;
    if (from->key_ptr != NULL && !gather_bytes(r, from->key_ptr, from->key_len, indexes, count,
                                               &rows->key_ptr, &rows->key_len, NULL))
        return false;
    if (from->time_us != NULL) {
        int64_t *times = region_alloc(r, (uint64_t)count * sizeof *times, 8);
        if (times == NULL) return false;
        for (uint32_t i = 0; i < count; i++) times[i] = from->time_us[indexes[i]];
        rows->time_us = times;
    }
    if (from->header_start != NULL && !gather_headers(b, from, indexes, count)) return false;
    return from->meta_count == 0 || gather_metas(b, from, indexes, count);
}

/* Roots stay where they are; only the list of them is made anew. */
static bool select_tape(batch *b, const weir_tape *from, const uint32_t *indexes, uint32_t count) {
    uint32_t *start = region_alloc(&b->region, ((uint64_t)count + 1) * sizeof *start, 8);
    if (start == NULL) return false;
    for (uint32_t i = 0; i < count; i++) start[i] = from->row_start[indexes[i]];
    start[count] = count > 0 ? from->row_start[indexes[count - 1] + 1] : 0;
    b->tape.row_start = start;
    b->tape.row_count = count;
    if (from->origin != NULL) {
        b->tape.origin = gather_u32(&b->region, from->origin, indexes, count);
        if (b->tape.origin == NULL) return false;
    }
    if (from->schema_index != NULL) {
        b->tape.schema_index = gather_u32(&b->region, from->schema_index, indexes, count);
        if (b->tape.schema_index == NULL) return false;
    }
    return true;
}

static bool ascending(const uint32_t *indexes, uint32_t count, uint32_t limit) {
    uint64_t least = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (indexes[i] < least || indexes[i] >= limit) return false;
        least = (uint64_t)indexes[i] + 1;
    }
    return true;
}

const weir_batch *batch_select(batch_home *home, const weir_batch *from, const uint32_t *indexes,
                               uint32_t count) {
    batch *source = object_of(from), *parent = source;
    if (!ascending(indexes, count, from->rows->count)) {
        log_write(WEIR_LOG_ERROR, "batch",
                  "a selection of %u rows out of %u must name them in order, each once", count,
                  from->rows->count);
        return NULL;
    }
    if (count == from->rows->count) {
        batch_retain(from);
        return from;
    }
    while (parent->transparent) parent = parent->parent;
    uint64_t room = object_gather_room(&source->rows, count);
    if (from->tape != NULL) room += region_room(3 * ((uint64_t)count + 1), sizeof(uint32_t)) + 16;
    batch *b = object_derive(home, parent, room);
    if (b == NULL) return NULL;
    /* Not the parent's, if that is not where the rows were taken from. */
    b->abi.flags = source->abi.flags;
    b->rows = source->rows;
    b->tape = source->tape;
    b->abi.tape = from->tape != NULL ? &b->tape : NULL;
    b->transparent = true;
    if (!object_gather(b, &source->rows, indexes, count, true) ||
        (from->tape != NULL && !select_tape(b, from->tape, indexes, count))) {
        object_free(b);
        return NULL;
    }
    return &b->abi;
}

const weir_batch *batch_with_times(batch_home *home, const weir_batch *from, const int64_t *times) {
    batch *b =
        object_derive(home, object_of(from), region_room(from->rows->count, sizeof *times) + 16);
    if (b == NULL) return NULL;
    int64_t *copy = region_alloc(&b->region, (uint64_t)from->rows->count * sizeof *copy, 8);
    if (copy == NULL) {
        object_free(b);
        return NULL;
    }
    if (from->rows->count > 0) memcpy(copy, times, from->rows->count * sizeof *copy);
    b->rows.time_us = copy;
    b->transparent = true;
    return &b->abi;
}
