/*
 * Making batches: weir.host.batch/1.
 *
 * The builder stands in the first segment of the batch it makes, in front of nothing else that
 * moves. Columns that outgrow that segment move to one of their own, twice as large each time; the
 * one before goes back to the pool at once.
 */
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "batch/object.h"

#define RECORDS_LEAST 16u
#define HEADERS_FIRST 64u
/* Headers of one batch: 64 a record at the most records there may be. */
#define HEADERS_MOST (64u * LIMIT_BATCH_RECORDS)
/* What else goes into the first segment: positions, split ids, an attachment or two. */
#define STRINGS_ROOM 192u

typedef struct meta {
    struct meta *next;
    weir_column column;
    uint32_t rows;       /* that it covers; a constant covers all */
    uint32_t dictionary; /* entries; one more behind them is null */
} meta;

struct weir_batch_builder {
    batch *b;
    uint32_t count;
    uint32_t capacity;
    uint32_t wants;       /* WEIR_COL_* */
    void *column_segment; /* NULL while the columns stand in the first segment */
    const char **value_ptr;
    uint32_t *value_len;
    const char **key_ptr;
    uint32_t *key_len;
    int64_t *time_us;
    uint64_t value_bytes;
    uint32_t header_count, header_capacity;
    void *header_segment;
    const char **header_name_ptr;
    const char **header_value_ptr;
    uint32_t *header_name_len;
    uint32_t *header_value_len;
    uint32_t *header_row;
    meta *metas; /* newest first */
    uint32_t meta_count;
};

static uint64_t columns_room(uint32_t records, uint32_t wants) {
    uint64_t size = region_room(records, sizeof(char *)) + region_room(records, sizeof(uint32_t));
    if (wants & WEIR_COL_KEY)
        size += region_room(records, sizeof(char *)) + region_room(records, sizeof(uint32_t));
    if (wants & WEIR_COL_TIME) size += region_room(records, sizeof(int64_t));
    return size;
}

static void *carve(char **at, uint64_t count, uint64_t size) {
    void *p = *at;
    *at += region_room(count, size);
    return p;
}

/* Points the columns of `builder` into memory of columns_room(capacity) bytes. */
static void place_columns(weir_batch_builder *builder, char *at, uint32_t capacity) {
    builder->capacity = capacity;
    builder->value_ptr = carve(&at, capacity, sizeof(char *));
    if (builder->wants & WEIR_COL_KEY) builder->key_ptr = carve(&at, capacity, sizeof(char *));
    if (builder->wants & WEIR_COL_TIME) builder->time_us = carve(&at, capacity, sizeof(int64_t));
    builder->value_len = carve(&at, capacity, sizeof(uint32_t));
    if (builder->wants & WEIR_COL_KEY) builder->key_len = carve(&at, capacity, sizeof(uint32_t));
}

weir_batch_builder *batch_begin(batch_home *home, uint32_t records, uint32_t columns) {
    if (records < RECORDS_LEAST) records = RECORDS_LEAST;
    if (records > LIMIT_BATCH_RECORDS) records = LIMIT_BATCH_RECORDS;
    uint32_t wants = columns & (WEIR_COL_KEY | WEIR_COL_TIME);
    uint64_t room = columns_room(records, wants);
    uint64_t fixed = sizeof(weir_batch_builder) + 8 + STRINGS_ROOM;
    batch *b = object_new(home, fixed + room);
    if (b == NULL) return NULL;
    /* Neither can fail: the first segment was made for them. */
    weir_batch_builder *builder = region_alloc(&b->region, sizeof *builder, 8);
    char *at = region_alloc(&b->region, room, 8);
    memset(builder, 0, sizeof *builder);
    builder->b = b;
    builder->wants = wants;
    place_columns(builder, at, records);
    return builder;
}

static weir_batch_builder *facet_begin(weir_ctx *ctx, uint32_t records, uint32_t columns) {
    return batch_begin(((batch_ctx *)(void *)ctx)->home, records, columns);
}

static weir_status grow_columns(weir_batch_builder *builder, uint32_t need) {
    uint32_t capacity = builder->capacity * 2;
    if (capacity < need) capacity = need;
    if (capacity > LIMIT_BATCH_RECORDS) capacity = LIMIT_BATCH_RECORDS;
    void *segment =
        batch_segment_alloc(builder->b->region.home, columns_room(capacity, builder->wants), NULL);
    if (segment == NULL) return WEIR_E_NOMEM;
    weir_batch_builder old = *builder;
    place_columns(builder, segment, capacity);
    size_t n = builder->count;
    memcpy(builder->value_ptr, old.value_ptr, n * sizeof(char *));
    memcpy(builder->value_len, old.value_len, n * sizeof(uint32_t));
    if (builder->key_ptr != NULL) {
        memcpy(builder->key_ptr, old.key_ptr, n * sizeof(char *));
        memcpy(builder->key_len, old.key_len, n * sizeof(uint32_t));
    }
    if (builder->time_us != NULL) memcpy(builder->time_us, old.time_us, n * sizeof(int64_t));
    batch_segment_free(old.column_segment);
    builder->column_segment = segment;
    return WEIR_OK;
}

static weir_status facet_reserve(weir_batch_builder *builder, uint32_t records,
                                 weir_batch_columns *out) {
    if (out == NULL || out->struct_size < sizeof(uint32_t)) return WEIR_E_INVALID_ARG;
    if (records > LIMIT_BATCH_RECORDS - builder->count) return WEIR_E_TOO_LARGE;
    uint32_t need = builder->count + records;
    if (need > builder->capacity) {
        weir_status status = grow_columns(builder, need);
        if (status != WEIR_OK) return status;
    }
    uint32_t n = builder->count;
    weir_batch_columns lent = {
        .struct_size = out->struct_size,
        .capacity = builder->capacity - n,
        .value_ptr = builder->value_ptr + n,
        .value_len = builder->value_len + n,
        .key_ptr = builder->key_ptr != NULL ? builder->key_ptr + n : NULL,
        .key_len = builder->key_ptr != NULL ? builder->key_len + n : NULL,
        .time_us = builder->time_us != NULL ? builder->time_us + n : NULL,
    };
    memcpy(out, &lent, out->struct_size < sizeof lent ? out->struct_size : sizeof lent);
    return WEIR_OK;
}

/* Adds up lengths and makes that of a null 0; false if one is too large. */
static bool sum_lengths(const char *const *ptr, uint32_t *len, uint32_t count, uint64_t *sum) {
    uint64_t total = 0;
    uint32_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        len[i] = ptr[i] != NULL ? len[i] : 0;
        all |= len[i];
        total += len[i];
    }
    *sum = total;
    /* The limit is a power of two less one, so one `or` of all lengths tells the same. */
    return all <= WEIR_RECORD_BYTES_MAX;
}

_Static_assert((WEIR_RECORD_BYTES_MAX & (WEIR_RECORD_BYTES_MAX + 1)) == 0, "see sum_lengths");

static weir_status facet_commit(weir_batch_builder *builder, uint32_t records) {
    uint64_t bytes, keys;
    uint32_t n = builder->count;
    if (records > builder->capacity - n) return WEIR_E_INVALID_ARG;
    if (!sum_lengths(builder->value_ptr + n, builder->value_len + n, records, &bytes))
        return WEIR_E_TOO_LARGE;
    if (builder->key_ptr != NULL &&
        !sum_lengths(builder->key_ptr + n, builder->key_len + n, records, &keys))
        return WEIR_E_TOO_LARGE;
    builder->count += records;
    builder->value_bytes += bytes;
    return WEIR_OK;
}

static weir_status grow_headers(weir_batch_builder *builder) {
    uint32_t capacity = builder->header_capacity > 0 ? builder->header_capacity * 2 : HEADERS_FIRST;
    if (builder->header_count >= HEADERS_MOST) return WEIR_E_TOO_LARGE;
    uint64_t size =
        2 * region_room(capacity, sizeof(char *)) + 3 * region_room(capacity, sizeof(uint32_t));
    void *segment = batch_segment_alloc(builder->b->region.home, size, NULL);
    if (segment == NULL) return WEIR_E_NOMEM;
    weir_batch_builder old = *builder;
    char *at = segment;
    builder->header_capacity = capacity;
    builder->header_name_ptr = carve(&at, capacity, sizeof(char *));
    builder->header_value_ptr = carve(&at, capacity, sizeof(char *));
    builder->header_name_len = carve(&at, capacity, sizeof(uint32_t));
    builder->header_value_len = carve(&at, capacity, sizeof(uint32_t));
    builder->header_row = carve(&at, capacity, sizeof(uint32_t));
    size_t n = builder->header_count;
    if (n > 0) {
        memcpy(builder->header_name_ptr, old.header_name_ptr, n * sizeof(char *));
        memcpy(builder->header_value_ptr, old.header_value_ptr, n * sizeof(char *));
        memcpy(builder->header_name_len, old.header_name_len, n * sizeof(uint32_t));
        memcpy(builder->header_value_len, old.header_value_len, n * sizeof(uint32_t));
        memcpy(builder->header_row, old.header_row, n * sizeof(uint32_t));
    }
    batch_segment_free(old.header_segment);
    builder->header_segment = segment;
    return WEIR_OK;
}

static weir_status facet_header(weir_batch_builder *builder, weir_str name, weir_str value) {
    if (builder->count == 0) return WEIR_E_INVALID_STATE;
    if (name.len > WEIR_RECORD_BYTES_MAX || value.len > WEIR_RECORD_BYTES_MAX)
        return WEIR_E_TOO_LARGE;
    if (builder->header_count == builder->header_capacity) {
        weir_status status = grow_headers(builder);
        if (status != WEIR_OK) return status;
    }
    uint32_t at = builder->header_count++;
    builder->header_name_ptr[at] = name.ptr != NULL ? name.ptr : "";
    builder->header_name_len[at] = (uint32_t)name.len;
    builder->header_value_ptr[at] = value.ptr;
    builder->header_value_len[at] = value.ptr != NULL ? (uint32_t)value.len : 0;
    builder->header_row[at] = builder->count - 1;
    return WEIR_OK;
}

static void *copy_array(region *r, const void *from, uint32_t count, size_t size, uint32_t spare) {
    void *p = region_alloc(r, ((uint64_t)count + spare) * size, 8);
    if (p == NULL) return NULL;
    if (count > 0) memcpy(p, from, count * size);
    memset((char *)p + count * size, 0, spare * size);
    return p;
}

/* Copies what `c` points to; `rows` entries, and one null behind a dictionary. */
static bool copy_column(region *r, meta *m, const weir_column *c, uint32_t rows) {
    uint32_t entries = c->encoding == WEIR_COLUMN_CONSTANT ? 1 : rows, spare = 0;
    m->column = *c;
    m->column.struct_size = sizeof m->column;
    m->rows = rows;
    if (c->encoding == WEIR_COLUMN_DICTIONARY) {
        entries = 0;
        for (uint32_t i = 0; i < rows; i++)
            if (c->index[i] >= entries) entries = c->index[i] + 1;
        m->dictionary = entries;
        spare = 1;
        m->column.index = copy_array(r, c->index, rows, sizeof(uint32_t), 0);
        if (m->column.index == NULL) return false;
    } else {
        m->column.index = NULL;
    }
    char *name = region_alloc(r, c->name.len + 1, 1);
    m->column.ptr = copy_array(r, c->ptr, entries, sizeof(char *), spare);
    m->column.len = copy_array(r, c->len, entries, sizeof(uint32_t), spare);
    if (name == NULL || m->column.ptr == NULL || m->column.len == NULL) return false;
    memcpy(name, c->name.ptr, c->name.len);
    name[c->name.len] = '\0';
    m->column.name.ptr = name;
    return true;
}

static weir_status facet_meta(weir_batch_builder *builder, const weir_column *column) {
    weir_column c;
    if (!object_take(&c, sizeof c, column) || c.encoding > WEIR_COLUMN_DICTIONARY ||
        c.name.len == 0 || c.name.len > LIMIT_NAME_BYTES)
        return WEIR_E_INVALID_ARG;
    bool some = c.encoding == WEIR_COLUMN_CONSTANT || builder->count > 0;
    if (some && (c.ptr == NULL || c.len == NULL)) return WEIR_E_INVALID_ARG;
    if (c.encoding == WEIR_COLUMN_DICTIONARY && builder->count > 0) {
        if (c.index == NULL) return WEIR_E_INVALID_ARG;
        for (uint32_t i = 0; i < builder->count; i++)
            if (c.index[i] >= LIMIT_BATCH_RECORDS) return WEIR_E_INVALID_ARG;
    }
    /* A column of that name from before is replaced. */
    meta *m = builder->metas, copy;
    while (m != NULL && !str_eq(m->column.name, c.name)) m = m->next;
    if (!copy_column(&builder->b->region, &copy, &c, builder->count)) return WEIR_E_NOMEM;
    if (m == NULL) {
        m = region_alloc(&builder->b->region, sizeof *m, 8);
        if (m == NULL) return WEIR_E_NOMEM;
        copy.next = builder->metas;
        builder->metas = m;
        builder->meta_count++;
    } else {
        copy.next = m->next;
    }
    *m = copy;
    return WEIR_OK;
}

static char *facet_alloc(weir_batch_builder *builder, uint64_t size) {
    return region_alloc(&builder->b->region, size, 8);
}

static weir_status facet_attach(weir_batch_builder *builder, void *opaque, weir_release_fn release,
                                uint64_t bytes) {
    batch *b = builder->b;
    if (release == NULL) return WEIR_E_INVALID_ARG;
    attachment *a = region_alloc(&b->region, sizeof *a, 8);
    if (a == NULL) return WEIR_E_NOMEM;
    /* A pooled segment is charged since it was handed out. */
    bool segment = release == batch_segment_free;
    uint64_t charged = segment ? 0 : bytes;
    *a = (attachment){b->attachments, opaque, release, charged};
    b->attachments = a;
    b->attached += segment ? segment_bytes(opaque) : bytes;
    if (charged > 0) batch_home_charge(b->region.home, charged);
    return WEIR_OK;
}

static void facet_abandon(weir_batch_builder *builder) {
    if (builder == NULL) return;
    batch_segment_free(builder->column_segment);
    batch_segment_free(builder->header_segment);
    object_free(builder->b);
}

/* Turns the list of headers into header_start. */
static bool seal_headers(weir_batch_builder *builder, weir_rows *rows) {
    if (builder->header_count == 0) return true;
    uint32_t *start =
        region_alloc(&builder->b->region, ((uint64_t)builder->count + 1) * sizeof(uint32_t), 8);
    if (start == NULL) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < builder->count; i++) {
        start[i] = at;
        while (at < builder->header_count && builder->header_row[at] == i) at++;
    }
    start[builder->count] = at;
    rows->header_start = start;
    rows->header_name_ptr = builder->header_name_ptr;
    rows->header_name_len = builder->header_name_len;
    rows->header_value_ptr = builder->header_value_ptr;
    rows->header_value_len = builder->header_value_len;
    return true;
}

/* Records that were committed after a column was given are null in it. */
static bool complete_column(weir_batch_builder *builder, meta *m) {
    region *r = &builder->b->region;
    uint32_t missing = builder->count - m->rows;
    if (m->column.encoding == WEIR_COLUMN_CONSTANT || missing == 0) return true;
    if (m->column.encoding == WEIR_COLUMN_PLAIN) {
        m->column.ptr = copy_array(r, m->column.ptr, m->rows, sizeof(char *), missing);
        m->column.len = copy_array(r, m->column.len, m->rows, sizeof(uint32_t), missing);
        return m->column.ptr != NULL && m->column.len != NULL;
    }
    uint32_t *index = copy_array(r, m->column.index, m->rows, sizeof(uint32_t), missing);
    if (index == NULL) return false;
    for (uint32_t i = m->rows; i < builder->count; i++) index[i] = m->dictionary;
    m->column.index = index;
    return true;
}

static bool seal_metas(weir_batch_builder *builder, weir_rows *rows) {
    if (builder->meta_count == 0) return true;
    const weir_column **list =
        region_alloc(&builder->b->region, builder->meta_count * sizeof *list, 8);
    if (list == NULL) return false;
    uint32_t at = builder->meta_count; /* the list has the newest first */
    for (meta *m = builder->metas; m != NULL; m = m->next) {
        if (!complete_column(builder, m)) return false;
        list[--at] = &m->column;
    }
    rows->meta = list;
    rows->meta_count = builder->meta_count;
    return true;
}

static bool keep_str(region *r, weir_str from, weir_str *to) {
    if (from.len == 0) return true;
    char *p = region_alloc(r, from.len, 1);
    if (p == NULL) return false;
    memcpy(p, from.ptr, from.len);
    *to = str_make(p, from.len);
    return true;
}

static const weir_batch *facet_seal(weir_batch_builder *builder, const weir_batch_seal *given) {
    batch *b = builder->b;
    weir_batch_seal args;
    bool valid = object_take(&args, sizeof args, given);
    if (valid && args.resume.len > WEIR_POSITION_MAX) {
        log_write(WEIR_LOG_ERROR, "batch", "a position has %llu bytes, %u are the most",
                  (unsigned long long)args.resume.len, WEIR_POSITION_MAX);
        valid = false;
    }
    weir_rows *rows = &b->rows;
    if (!valid || !keep_str(&b->region, args.split, &b->abi.split) ||
        !keep_str(&b->region, args.resume, &b->abi.resume) || !seal_headers(builder, rows) ||
        !seal_metas(builder, rows)) {
        facet_abandon(builder);
        return NULL;
    }
    b->abi.flags = args.flags & WEIR_BATCH_STALE_BYTES;
    b->abi.lag_ms = args.lag_ms;
    rows->count = builder->count;
    rows->value_ptr = builder->value_ptr;
    rows->value_len = builder->value_len;
    rows->key_ptr = builder->key_ptr;
    rows->key_len = builder->key_len;
    rows->time_us = builder->time_us;
    rows->value_bytes = builder->value_bytes;
    rows->trailer_len = args.trailer_len == 1 ? 1 : 0;
    rows->trailer = rows->trailer_len == 1 ? args.trailer : 0;
    if (builder->column_segment != NULL) region_adopt(&b->region, builder->column_segment);
    if (builder->header_segment != NULL) region_adopt(&b->region, builder->header_segment);
    return &b->abi;
}

static const weir_batch *facet_select(weir_ctx *ctx, const weir_batch *b, const uint32_t *indexes,
                                      uint32_t count) {
    return batch_select(((batch_ctx *)(void *)ctx)->home, b, indexes, count);
}

static char *facet_segment_alloc(weir_ctx *ctx, uint64_t size, uint64_t *capacity) {
    return batch_segment_alloc(((batch_ctx *)(void *)ctx)->home, size, capacity);
}

const weir_host_batch batch_facet = {
    .struct_size = sizeof(weir_host_batch),
    .begin = facet_begin,
    .reserve = facet_reserve,
    .commit = facet_commit,
    .header = facet_header,
    .meta = facet_meta,
    .alloc = facet_alloc,
    .attach = facet_attach,
    .seal = facet_seal,
    .abandon = facet_abandon,
    .retain = batch_retain,
    .release = batch_release,
    .select = facet_select,
    .segment_alloc = facet_segment_alloc,
    .segment_free = batch_segment_free,
};
