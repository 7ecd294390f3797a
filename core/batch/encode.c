/*
 * Encoding: values one after another in pooled segments.
 *
 *   segment  [ value 0 \n value 1 \n value 2 \n | room for the value under way ..... ]
 *                                               ^ at                                ^ end
 *
 * The bytes of a batch are usually one run in memory, so that a sink of lines writes them in one
 * piece. A value that outgrows its segment moves to a larger one, which then takes the values that
 * follow.
 */
#include <string.h>

#include "base/str.h"
#include "batch/object.h"

/* Segments of a size that stays in a core's second-level cache. */
#define STEP_MOST ((uint64_t)256 << 10)

struct batch_encoder {
    batch *b; /* to be: derived from the batch being encoded */
    const char **value_ptr;
    uint32_t *value_len;
    uint32_t *written; /* rows, ascending */
    uint32_t count;
    uint32_t rows;
    uint64_t value_bytes;
    uint64_t step;
    uint64_t lent; /* bytes of the value under way that may be written */
    void *segment; /* under way; not part of the region yet */
    char *at, *end;
    bool in_use;   /* some value stands in `segment` */
    bool has_room; /* room was asked for the value under way */
    bool lines;
    bool newline; /* a value contains one: no trailer hint */
};

batch_encoder *batch_encode_begin(batch_home *home, const weir_batch *from) {
    const weir_rows *rows = from->rows;
    uint32_t count = from->tape != NULL ? from->tape->row_count : rows->count;
    uint64_t pointers = region_room(count, sizeof(char *));
    uint64_t numbers = region_room(count, sizeof(uint32_t));
    uint64_t strings = from->split.len + from->resume.len + region_room(count, sizeof(int64_t));
    uint64_t room = sizeof(batch_encoder) + pointers + 2 * numbers + strings + 64;
    batch *b = object_derive(home, object_of(from), room);
    if (b == NULL) return NULL;
    batch_encoder *e = region_alloc(&b->region, sizeof *e, 8);
    memset(e, 0, sizeof *e);
    e->b = b;
    e->rows = count;
    e->value_ptr = region_alloc(&b->region, pointers, 8);
    e->value_len = region_alloc(&b->region, numbers, 8);
    e->written = region_alloc(&b->region, numbers, 8);
    /* About as much as the values had before, in as few segments as that takes. */
    uint64_t guess = rows->value_bytes + rows->value_bytes / 8 + 2 * (uint64_t)count;
    e->step = guess < SEGMENT_LEAST ? SEGMENT_LEAST : guess < STEP_MOST ? guess : STEP_MOST;
    return e;
}

void batch_encode_lines(batch_encoder *e, bool lines) {
    e->lines = lines;
}

char *batch_encode_room(batch_encoder *e, uint64_t used, uint64_t size) {
    if (used > e->lent) return NULL; /* says that it wrote beyond what it was given */
    /* Beyond the limit of a record there is no need to look for memory; row refuses it anyway. */
    if (size > (uint64_t)WEIR_RECORD_BYTES_MAX + 1) return NULL;
    if (size < used) size = used;
    uint64_t need = size + (e->lines ? 1 : 0);
    if (e->segment == NULL || need > (uint64_t)(e->end - e->at)) {
        uint64_t capacity;
        char *segment =
            batch_segment_alloc(e->b->region.home, need > e->step ? need : e->step, &capacity);
        if (segment == NULL) return NULL;
        if (used > 0) memcpy(segment, e->at, used);
        if (e->in_use)
            region_adopt(&e->b->region, e->segment);
        else
            batch_segment_free(e->segment);
        e->segment = segment;
        e->at = segment;
        e->end = segment + capacity;
        e->in_use = false;
    }
    e->lent = (uint64_t)(e->end - e->at) - (e->lines ? 1 : 0);
    e->has_room = true;
    return e->at;
}

weir_status batch_encode_row(batch_encoder *e, uint32_t row, uint64_t size) {
    if (row >= e->rows || (e->count > 0 && row <= e->written[e->count - 1]))
        return WEIR_E_INVALID_ARG;
    if (size > WEIR_RECORD_BYTES_MAX) return WEIR_E_TOO_LARGE;
    if (!e->has_room && size == 0 && batch_encode_room(e, 0, 0) == NULL) return WEIR_E_NOMEM;
    if (size > e->lent) return WEIR_E_INVALID_ARG;
    e->value_ptr[e->count] = e->at;
    e->value_len[e->count] = (uint32_t)size;
    e->written[e->count++] = row;
    e->value_bytes += size;
    if (e->lines) {
        /* The trailer promises that no value contains the trailer. One look at each value, since
         * whether it holds is the serde's affair. */
        if (!e->newline && memchr(e->at, '\n', size) != NULL) e->newline = true;
        e->at[size] = '\n';
        e->at++;
    }
    e->at += size;
    e->in_use = true;
    e->has_room = false;
    e->lent = 0;
    return WEIR_OK;
}

void batch_encode_abandon(batch_encoder *e) {
    if (e == NULL) return;
    batch_segment_free(e->segment);
    object_free(e->b);
}

static bool keep_str(region *r, weir_str *s) {
    char *p = region_alloc(r, s->len, 1);
    if (p == NULL) return false;
    if (s->len > 0) memcpy(p, s->ptr, s->len);
    s->ptr = p;
    return true;
}

/* Lets go of the parent, and with it of the old bytes and the tape, if all that was needed of it
 * are a few short things: the usual case, which nearly halves the memory in flight. */
static bool drop_parent(batch *b) {
    weir_rows *rows = &b->rows;
    if (rows->key_ptr != NULL || rows->header_start != NULL || rows->meta_count > 0) return true;
    if (!keep_str(&b->region, &b->abi.split) || !keep_str(&b->region, &b->abi.resume)) return false;
    if (rows->time_us != NULL && rows->time_us == b->parent->rows.time_us) {
        int64_t *times = region_alloc(&b->region, (uint64_t)rows->count * sizeof *times, 8);
        if (times == NULL) return false;
        if (rows->count > 0) memcpy(times, rows->time_us, rows->count * sizeof *times);
        rows->time_us = times;
    }
    batch_release(&b->parent->abi);
    b->parent = NULL;
    return true;
}

const weir_batch *batch_encode_finish(batch_encoder *e) {
    batch *b = e->b;
    weir_rows *rows = &b->rows;
    bool ok =
        e->count == rows->count || object_gather(b, &b->parent->rows, e->written, e->count, false);
    rows->value_ptr = e->value_ptr;
    rows->value_len = e->value_len;
    rows->value_bytes = e->value_bytes;
    rows->trailer_len = e->lines && !e->newline ? 1 : 0;
    rows->trailer = rows->trailer_len > 0 ? '\n' : 0;
    b->abi.tape = NULL;
    b->abi.flags &= ~WEIR_BATCH_STALE_BYTES;
    if (!ok || !drop_parent(b)) {
        batch_encode_abandon(e);
        return NULL;
    }
    if (e->in_use)
        region_adopt(&b->region, e->segment);
    else
        batch_segment_free(e->segment);
    return &b->abi;
}
