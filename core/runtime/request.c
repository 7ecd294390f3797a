#include "runtime/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Headers, metadata and template columns of one request. */
#define EXTRA_BYTES_MAX (UINT64_C(1) << 30)

void work_release(work *w) {
    if (--w->refs > 0) return;
    batch_release(w->batch);
    prepared_free(w->texts);
    free(w);
}

request *request_new(void) {
    request *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->extra = arena_new(EXTRA_BYTES_MAX);
    if (r->extra == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

void request_free(request *r) {
    if (r == NULL) return;
    arena_free(r->extra);
    free(r->value_ptr);
    free(r->value_len);
    free(r->key_ptr);
    free(r->key_len);
    free(r->time_us);
    free(r);
}

void request_reset(request *r) {
    arena_reset(r->extra);
    r->columns = NULL;
    r->runs = NULL;
    r->records = 0;
    r->bytes = 0;
    r->next = NULL;
    r->group = NULL;
}

static bool grow(request *r, uint32_t count) {
    if (count <= r->cap) return true;
    uint32_t cap = r->cap == 0 ? 256 : r->cap;
    while (cap < count) cap *= 2;
    void *p;
    if ((p = realloc(r->value_ptr, cap * sizeof *r->value_ptr)) == NULL) return false;
    r->value_ptr = p;
    if ((p = realloc(r->value_len, cap * sizeof *r->value_len)) == NULL) return false;
    r->value_len = p;
    if ((p = realloc(r->key_ptr, cap * sizeof *r->key_ptr)) == NULL) return false;
    r->key_ptr = p;
    if ((p = realloc(r->key_len, cap * sizeof *r->key_len)) == NULL) return false;
    r->key_len = p;
    if ((p = realloc(r->time_us, cap * sizeof *r->time_us)) == NULL) return false;
    r->time_us = p;
    r->cap = cap;
    return true;
}

/* Copies the columns of each run; a column that no run has stays NULL. */
static weir_status gather_columns(request *r) {
    if (!grow(r, r->records)) return WEIR_E_NOMEM;
    bool keys = false, times = false, trailer = true;
    const weir_rows *head = r->runs->work->batch->rows;
    uint32_t at = 0;
    uint64_t bytes = 0;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        const weir_rows *rows = u->work->batch->rows;
        memcpy(r->value_ptr + at, rows->value_ptr + u->first, u->count * sizeof(char *));
        memcpy(r->value_len + at, rows->value_len + u->first, u->count * sizeof(uint32_t));
        for (uint32_t i = 0; i < u->count; i++) {
            bytes += rows->value_len[u->first + i];
            r->key_ptr[at + i] = rows->key_ptr != NULL ? rows->key_ptr[u->first + i] : NULL;
            r->key_len[at + i] = rows->key_ptr != NULL ? rows->key_len[u->first + i] : 0;
            r->time_us[at + i] =
                rows->time_us != NULL ? rows->time_us[u->first + i] : WEIR_TIME_NONE;
        }
        if (rows->key_ptr != NULL) keys = true;
        if (rows->time_us != NULL) times = true;
        if (rows->trailer_len != head->trailer_len || rows->trailer != head->trailer) {
            trailer = false;
        }
        at += u->count;
    }
    r->rows.value_ptr = r->value_ptr;
    r->rows.value_len = r->value_len;
    r->rows.key_ptr = keys ? r->key_ptr : NULL;
    r->rows.key_len = keys ? r->key_len : NULL;
    r->rows.time_us = times ? r->time_us : NULL;
    r->rows.trailer_len = trailer ? head->trailer_len : 0;
    r->rows.trailer = trailer ? head->trailer : 0;
    r->rows.value_bytes = bytes;
    return WEIR_OK;
}

static weir_status gather_headers(request *r) {
    uint64_t total = 0;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        const weir_rows *rows = u->work->batch->rows;
        if (rows->header_start == NULL) continue;
        total += rows->header_start[u->first + u->count] - rows->header_start[u->first];
    }
    if (total == 0) return WEIR_OK;
    uint32_t *start = arena_array(r->extra, r->records + 1u, sizeof *start);
    const char **name_ptr = arena_array(r->extra, total, sizeof *name_ptr);
    const char **value_ptr = arena_array(r->extra, total, sizeof *value_ptr);
    uint32_t *name_len = arena_array(r->extra, total, sizeof *name_len);
    uint32_t *value_len = arena_array(r->extra, total, sizeof *value_len);
    if (start == NULL || name_ptr == NULL || value_ptr == NULL || name_len == NULL ||
        value_len == NULL) {
        return WEIR_E_NOMEM;
    }
    uint32_t at = 0, row = 0;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        const weir_rows *rows = u->work->batch->rows;
        for (uint32_t i = u->first; i < u->first + u->count; i++) {
            start[row++] = at;
            if (rows->header_start == NULL) continue;
            for (uint32_t h = rows->header_start[i]; h < rows->header_start[i + 1]; h++, at++) {
                name_ptr[at] = rows->header_name_ptr[h];
                name_len[at] = rows->header_name_len[h];
                value_ptr[at] = rows->header_value_ptr[h];
                value_len[at] = rows->header_value_len[h];
            }
        }
    }
    start[row] = at;
    r->rows.header_start = start;
    r->rows.header_name_ptr = name_ptr;
    r->rows.header_name_len = name_len;
    r->rows.header_value_ptr = value_ptr;
    r->rows.header_value_len = value_len;
    return WEIR_OK;
}

static const weir_column *column_named(const weir_rows *rows, weir_str name) {
    for (uint32_t m = 0; m < rows->meta_count; m++) {
        if (str_eq(rows->meta[m]->name, name)) return rows->meta[m];
    }
    return NULL;
}

/* The names of all columns that some run has: a source that has no metadata may come first. */
static weir_status meta_names(request *r, weir_str **names, uint32_t *count) {
    size_t most = 0;
    const work *before = NULL;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        if (u->work != before) most += u->work->batch->rows->meta_count;
        before = u->work;
    }
    *count = 0;
    if (most == 0) return WEIR_OK;
    *names = arena_array(r->extra, most, sizeof **names);
    if (*names == NULL) return WEIR_E_NOMEM;
    before = NULL;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        const weir_rows *rows = u->work->batch->rows;
        for (uint32_t m = 0; u->work != before && m < rows->meta_count; m++) {
            uint32_t k = 0;
            while (k < *count && !str_eq((*names)[k], rows->meta[m]->name)) k++;
            if (k == *count) (*names)[(*count)++] = rows->meta[m]->name;
        }
        before = u->work;
    }
    return WEIR_OK;
}

static weir_status gather_meta(request *r) {
    weir_str *names = NULL;
    uint32_t count;
    weir_status status = meta_names(r, &names, &count);
    if (status != WEIR_OK || count == 0) return status;
    weir_column **meta = arena_array(r->extra, count, sizeof *meta);
    if (meta == NULL) return WEIR_E_NOMEM;
    for (uint32_t m = 0; m < count; m++) {
        weir_column *column = arena_zalloc(r->extra, sizeof *column);
        const char **ptr = arena_array(r->extra, r->records, sizeof *ptr);
        uint32_t *len = arena_array(r->extra, r->records, sizeof *len);
        if (column == NULL || ptr == NULL || len == NULL) return WEIR_E_NOMEM;
        uint32_t at = 0;
        for (const run *u = r->runs; u != NULL; u = u->next) {
            const weir_column *from = column_named(u->work->batch->rows, names[m]);
            for (uint32_t i = u->first; i < u->first + u->count; i++, at++) {
                if (from == NULL) continue;
                uint32_t k = from->encoding == WEIR_COLUMN_CONSTANT     ? 0
                             : from->encoding == WEIR_COLUMN_DICTIONARY ? from->index[i]
                                                                        : i;
                ptr[at] = from->ptr[k];
                len[at] = from->len[k];
            }
        }
        *column = (weir_column){.struct_size = sizeof *column,
                                .encoding = WEIR_COLUMN_PLAIN,
                                .name = names[m],
                                .ptr = ptr,
                                .len = len};
        meta[m] = column;
    }
    r->rows.meta = (const weir_column *const *)meta;
    r->rows.meta_count = count;
    return WEIR_OK;
}

weir_status request_gather(request *r, bool headers, bool meta) {
    const run *only = r->runs->next == NULL ? r->runs : NULL;
    memset(&r->rows, 0, sizeof r->rows);
    if (only != NULL && only->first == 0 && only->count == only->work->batch->rows->count) {
        r->rows = *only->work->batch->rows; /* a whole batch: nothing to gather */
    } else {
        weir_status status = gather_columns(r);
        if (status == WEIR_OK && headers) status = gather_headers(r);
        if (status == WEIR_OK && meta) status = gather_meta(r);
        if (status != WEIR_OK) return status;
    }
    r->rows.struct_size = sizeof r->rows;
    r->rows.count = r->records;
    r->abi.struct_size = sizeof r->abi;
    r->abi.rows = &r->rows;
    r->abi.tape = NULL;
    r->abi.attempt = 0;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        if (u->attempts > r->abi.attempt) r->abi.attempt = u->attempts;
    }
    return WEIR_OK;
}

const run *request_row(const request *r, uint32_t row, uint32_t *batch_row) {
    for (const run *u = r->runs; u != NULL; u = u->next) {
        if (row < u->count) {
            *batch_row = u->first + row;
            return u;
        }
        row -= u->count;
    }
    return NULL;
}

weir_status request_template(request *r, const template_set *set, uint32_t slot,
                             const weir_column **out) {
    if (r->columns == NULL) {
        r->columns = arena_array(r->extra, set->count, sizeof *r->columns);
        if (r->columns == NULL) return WEIR_E_NOMEM;
    }
    if (r->columns[slot] == NULL) {
        const template_slot *s = &set->slots[slot];
        bool constant = s->grouping || s->program->constant;
        uint32_t n = constant ? 1 : r->records;
        weir_column *column = arena_zalloc(r->extra, sizeof *column);
        const char **ptr = arena_array(r->extra, n, sizeof *ptr);
        uint32_t *len = arena_array(r->extra, n, sizeof *len);
        if (column == NULL || ptr == NULL || len == NULL) return WEIR_E_NOMEM;
        uint32_t at = 0;
        for (const run *u = r->runs; u != NULL && at < n; u = u->next) {
            for (uint32_t i = u->first; i < u->first + u->count && at < n; i++, at++) {
                weir_str text = prepared_text(u->work->texts, slot, i);
                ptr[at] = text.ptr;
                len[at] = (uint32_t)text.len;
            }
        }
        *column = (weir_column){.struct_size = sizeof *column,
                                .encoding = constant ? WEIR_COLUMN_CONSTANT : WEIR_COLUMN_PLAIN,
                                .name = s->key,
                                .ptr = ptr,
                                .len = len};
        r->columns[slot] = column;
    }
    *out = r->columns[slot];
    return WEIR_OK;
}
