/*
 * From an answer to batches: records are parsed straight into the columns that the host lends, and
 * their bytes stay in the answer's buffer, which the batch keeps alive.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinesis.h"

#define CHUNK 512u
#define TIME_TEXT 24u

enum { COLUMN_POSITION, COLUMN_KEY, COLUMN_ARRIVAL, COLUMNS };

static weir_status add_meta(shard *s, const weir_api *api, weir_batch_builder *b, uint32_t count);
static bool grow_meta(kinesis *k, uint32_t want);
static void note_meta(kinesis *k, const kinesis_record *r, uint32_t row, char *time_text);
static weir_status attach_page(shard *s, const weir_api *api, weir_batch_builder *b, bool last);
static const weir_batch *fail(shard *s, const weir_api *api, weir_batch_builder *b,
                              weir_status *status, weir_error *error);

const weir_batch *page_batch(shard *s, uint32_t room_records, uint64_t room_bytes,
                             weir_status *status, weir_error *error) {
    kinesis *k = s->owner;
    const weir_api *api = weir_api_of(k->ctx);
    get_records *g = &s->parser;
    weir_batch_builder *b = NULL;
    weir_batch_columns columns = {.struct_size = sizeof columns};
    kinesis_record record = {.time_us = WEIR_TIME_NONE};
    weir_str last_sequence = {NULL, 0};
    char last_copy[SEQUENCE_MAX];
    uint32_t count = 0, filled = 0; /* records in all; of them in the lent columns */
    uint64_t bytes = 0;
    char *times = NULL;
    int found = 0;
    bool stopped = false;
    *status = WEIR_OK;
    if (room_records == 0) room_records = 1;

    while (count < room_records && (count == 0 || bytes < room_bytes)) {
        found = get_records_next(g, &record);
        if (found <= 0) break;
        if (record.time_us != WEIR_TIME_NONE && record.time_us >= s->plan.stop_us) {
            stopped = true;
            break;
        }
        if (!b && !(b = api->batch.begin(k->ctx, CHUNK, WEIR_COL_KEY | WEIR_COL_TIME)))
            return fail(s, api, b, status, error);
        if (filled == columns.capacity) {
            if (filled > 0 && api->batch.commit(b, filled) != WEIR_OK)
                return fail(s, api, b, status, error);
            columns.struct_size = sizeof columns;
            if (api->batch.reserve(b, CHUNK, &columns) != WEIR_OK || columns.capacity == 0)
                return fail(s, api, b, status, error);
            filled = 0;
        }
        columns.value_ptr[filled] = record.data.ptr;
        columns.value_len[filled] = (uint32_t)record.data.len;
        columns.key_ptr[filled] = record.key.ptr;
        columns.key_len[filled] = (uint32_t)record.key.len;
        columns.time_us[filled] = record.time_us;
        filled++;
        if (k->meta & (META_POSITION | META_PARTITION_KEY | META_ARRIVAL)) {
            if (count == k->meta_capacity && !grow_meta(k, count + CHUNK))
                return fail(s, api, b, status, error);
            if (k->meta & META_ARRIVAL) {
                if (count % CHUNK == 0) times = api->batch.alloc(b, CHUNK * TIME_TEXT);
                if (!times) return fail(s, api, b, status, error);
                note_meta(k, &record, count, times + (count % CHUNK) * TIME_TEXT);
            } else {
                note_meta(k, &record, count, NULL);
            }
        }
        count++;
        bytes += record.data.len + record.key.len;
        last_sequence = record.sequence;
    }
    s->page_values += bytes;
    s->page_records += count;
    if (count > 0) {
        /* Copied: what follows may free the page. */
        memcpy(last_copy, last_sequence.ptr, (size_t)last_sequence.len);
        last_sequence.ptr = last_copy;
        if (attach_page(s, api, b, found <= 0 || stopped) != WEIR_OK)
            return fail(s, api, b, status, error);
        if (api->batch.commit(b, filled) != WEIR_OK || add_meta(s, api, b, count) != WEIR_OK)
            return fail(s, api, b, status, error);
    }
    if (stopped)
        shard_page_stopped(s);
    else if (found < 0)
        shard_page_broken(s);
    else if (found == 0)
        shard_page_used(s);
    if (count == 0) return NULL;

    shard_position behind;
    char position[POSITION_BYTES_MAX];
    position_set(&behind, last_sequence, POSITION_WHOLE);
    weir_batch_seal seal = {.struct_size = sizeof seal,
                            .split = weir_str_of(s->split),
                            .resume = {position, position_encode(&behind, position)},
                            .lag_ms = s->lag_ms};
    const weir_batch *batch = api->batch.seal(b, &seal);
    if (!batch) {
        shard_reread(s); /* the records are gone with the builder */
        *status = weir_fail(k->ctx, error, WEIR_E_NOMEM, 0, "out of memory for a batch");
        return NULL;
    }
    s->position = behind;
    s->told_lag_ms = s->lag_ms;
    return batch;
}

void page_release(void *opaque) {
    page *p = opaque;
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
    if (p->body) p->body_free(p->body);
    free(p);
}

static const weir_batch *fail(shard *s, const weir_api *api, weir_batch_builder *b,
                              weir_status *status, weir_error *error) {
    if (b) api->batch.abandon(b);
    shard_reread(s); /* the parser is ahead of the position */
    *status = weir_fail(s->owner->ctx, error, WEIR_E_NOMEM, 0, "out of memory for a batch");
    return NULL;
}

static weir_status add_meta(shard *s, const weir_api *api, weir_batch_builder *b, uint32_t count) {
    kinesis *k = s->owner;
    weir_status status = WEIR_OK;
    const struct {
        uint32_t bit;
        const char *name, *value;
    } constants[] = {{META_STREAM, WEIR_META_STREAM, s->plan.stream.name},
                     {META_SPLIT, WEIR_META_SPLIT, s->id}};
    for (size_t i = 0; i < 2 && status == WEIR_OK; i++) {
        if (!(k->meta & constants[i].bit)) continue;
        uint32_t len = (uint32_t)strlen(constants[i].value);
        char *copy = api->batch.alloc(b, len + 1);
        if (!copy) return WEIR_E_NOMEM;
        memcpy(copy, constants[i].value, len);
        const char *ptr = copy;
        weir_column column = {.struct_size = sizeof column,
                              .encoding = WEIR_COLUMN_CONSTANT,
                              .name = weir_str_of(constants[i].name),
                              .ptr = &ptr,
                              .len = &len};
        status = api->batch.meta(b, &column);
    }
    static const struct {
        uint32_t bit;
        const char *name;
    } columns[COLUMNS] = {{META_POSITION, WEIR_META_POSITION},
                          {META_PARTITION_KEY, WEIR_META_PARTITION_KEY},
                          {META_ARRIVAL, WEIR_META_ARRIVAL_TIME}};
    for (size_t i = 0; i < COLUMNS && status == WEIR_OK && count > 0; i++) {
        if (!(k->meta & columns[i].bit)) continue;
        weir_column column = {.struct_size = sizeof column,
                              .encoding = WEIR_COLUMN_PLAIN,
                              .name = weir_str_of(columns[i].name),
                              .ptr = k->meta_ptr[i],
                              .len = k->meta_len[i]};
        status = api->batch.meta(b, &column);
    }
    return status;
}

static bool grow_meta(kinesis *k, uint32_t want) {
    if (want < k->meta_capacity * 2) want = k->meta_capacity * 2;
    for (int i = 0; i < COLUMNS; i++) {
        const char **ptr = realloc(k->meta_ptr[i], want * sizeof *ptr);
        if (ptr) k->meta_ptr[i] = ptr;
        uint32_t *len = realloc(k->meta_len[i], want * sizeof *len);
        if (len) k->meta_len[i] = len;
        if (!ptr || !len) return false;
    }
    k->meta_capacity = want;
    return true;
}

static void note_meta(kinesis *k, const kinesis_record *r, uint32_t row, char *time_text) {
    k->meta_ptr[COLUMN_POSITION][row] = r->sequence.ptr;
    k->meta_len[COLUMN_POSITION][row] = (uint32_t)r->sequence.len;
    k->meta_ptr[COLUMN_KEY][row] = r->key.ptr;
    k->meta_len[COLUMN_KEY][row] = (uint32_t)r->key.len;
    k->meta_ptr[COLUMN_ARRIVAL][row] = NULL;
    k->meta_len[COLUMN_ARRIVAL][row] = 0;
    if (!time_text || r->time_us == WEIR_TIME_NONE) return;
    int n = snprintf(time_text, TIME_TEXT, "%" PRId64, r->time_us / 1000);
    k->meta_ptr[COLUMN_ARRIVAL][row] = time_text;
    k->meta_len[COLUMN_ARRIVAL][row] = (uint32_t)n;
}

/* The host has charged for the body since it lent the buffer. A page that goes into one batch is
 * simply handed over; one that several batches share is freed by the last of them. */
static weir_status attach_page(shard *s, const weir_api *api, weir_batch_builder *b, bool last) {
    page *p = s->page;
    if (last && atomic_load(&p->refs) == 1 && s->page_batches == 0) {
        weir_status status = api->batch.attach(b, p->body, p->body_free, s->page_capacity);
        if (status == WEIR_OK) p->body = NULL;
        return status;
    }
    s->page_batches++;
    atomic_fetch_add(&p->refs, 1);
    weir_status status = api->batch.attach(b, p, page_release, 0);
    if (status != WEIR_OK) page_release(p);
    return status;
}
