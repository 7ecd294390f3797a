/*
 * Making tapes: weir.host.tape/1.
 *
 * Nodes stand in one array that moves to a segment of twice the size when it is full; how many a
 * record takes is remembered in the home, so that in steady traffic it never moves.
 */
#include <string.h>

#include "base/limits.h"
#include "batch/object.h"
#include "batch/schema.h"

#define NODES_LEAST 64u
#define NODES_PER_RECORD 24u /* until this pipeline knows better */
#define NODES_MOST ((uint64_t)UINT32_MAX - 1)
#define SCHEMAS_MOST 65536u
#define NO_SCHEMA UINT32_MAX

struct weir_tape_builder {
    batch *b; /* to be: derived from the batch being decoded */
    uint32_t records;
    void *node_segment;
    weir_value *nodes;
    uint64_t used, capacity; /* nodes */
    uint64_t lent;           /* of the unfinished row: these may be written already */
    void *row_segment;       /* NULL while the row arrays stand in the first segment */
    uint32_t *row_start;     /* [row_capacity + 1] */
    uint32_t *origin;        /* [row_capacity] */
    uint32_t *schema_index;  /* [row_capacity] */
    uint32_t row_count, row_capacity;
    bool gaps;    /* some row is not the record of its number */
    bool repeats; /* a record has several rows */
    bool schemas; /* some row has one */
    uint32_t schema_capacity;
};

static uint64_t row_room(uint32_t rows) {
    return region_room((uint64_t)rows + 1, sizeof(uint32_t)) +
           2 * region_room(rows, sizeof(uint32_t));
}

static void place_rows(weir_tape_builder *t, char *at, uint32_t capacity) {
    t->row_start = (uint32_t *)(void *)at;
    at += region_room((uint64_t)capacity + 1, sizeof(uint32_t));
    t->origin = (uint32_t *)(void *)at;
    t->schema_index = (uint32_t *)(void *)(at + region_room(capacity, sizeof(uint32_t)));
    t->row_capacity = capacity;
}

static bool grow_nodes(weir_tape_builder *t, uint64_t capacity) {
    uint64_t bytes;
    void *segment = batch_segment_alloc(t->b->region.home, capacity * sizeof(weir_value), &bytes);
    if (segment == NULL) return false;
    uint64_t keep = t->used + t->lent;
    if (keep > 0) memcpy(segment, t->nodes, keep * sizeof(weir_value));
    batch_segment_free(t->node_segment);
    t->node_segment = segment;
    t->nodes = segment;
    t->capacity = bytes / sizeof(weir_value);
    return true;
}

static bool grow_rows(weir_tape_builder *t) {
    uint32_t capacity = t->row_capacity * 2;
    if (t->row_capacity >= LIMIT_BATCH_RECORDS) return false;
    void *segment = batch_segment_alloc(t->b->region.home, row_room(capacity), NULL);
    if (segment == NULL) return false;
    weir_tape_builder old = *t;
    place_rows(t, segment, capacity);
    memcpy(t->row_start, old.row_start, ((size_t)t->row_count + 1) * sizeof(uint32_t));
    memcpy(t->origin, old.origin, (size_t)t->row_count * sizeof(uint32_t));
    memcpy(t->schema_index, old.schema_index, (size_t)t->row_count * sizeof(uint32_t));
    batch_segment_free(old.row_segment);
    t->row_segment = segment;
    return true;
}

weir_tape_builder *batch_tape_begin(batch_home *home, const weir_batch *from) {
    uint32_t records = from->rows->count, rows = records > 0 ? records : 1;
    uint64_t room = sizeof(weir_tape_builder) + row_room(rows) + 16;
    batch *b = object_derive(home, object_of(from), room);
    if (b == NULL) return NULL;
    weir_tape_builder *t = region_alloc(&b->region, sizeof *t, 8);
    char *at = region_alloc(&b->region, row_room(rows), 8);
    memset(t, 0, sizeof *t);
    t->b = b;
    t->records = records;
    place_rows(t, at, rows);
    t->row_start[0] = 0;
    uint32_t hint = home_node_hint(home);
    uint64_t nodes = (uint64_t)records * (hint > 0 ? hint : NODES_PER_RECORD);
    nodes += nodes / 8 + NODES_LEAST; /* records vary */
    if (!grow_nodes(t, nodes < NODES_MOST ? nodes : NODES_MOST)) {
        object_free(b);
        return NULL;
    }
    return t;
}

static weir_status facet_reserve(weir_tape_builder *t, uint32_t nodes, weir_tape_room *out) {
    if (out == NULL || out->struct_size < sizeof(uint32_t)) return WEIR_E_INVALID_ARG;
    if (nodes > NODES_MOST - t->used) return WEIR_E_TOO_LARGE;
    uint64_t need = t->used + nodes;
    if (need > t->capacity) {
        uint64_t capacity = t->capacity * 2 < need ? need : t->capacity * 2;
        if (!grow_nodes(t, capacity)) return WEIR_E_NOMEM;
    }
    uint64_t left = t->capacity - t->used;
    t->lent = left;
    weir_tape_room room = {
        .struct_size = out->struct_size,
        .capacity = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
        .nodes = t->nodes + t->used,
    };
    memcpy(out, &room, out->struct_size < sizeof room ? out->struct_size : sizeof room);
    return WEIR_OK;
}

static weir_status add_row(weir_tape_builder *t, uint32_t nodes, uint32_t origin, uint32_t schema) {
    uint32_t n = t->row_count;
    if (nodes == 0 || nodes > t->lent || origin >= t->records) return WEIR_E_INVALID_ARG;
    if (n > 0 && origin < t->origin[n - 1]) return WEIR_E_INVALID_ARG;
    /* A root that spans more or less than its row would lead every reader astray. */
    if (weir_value_span(t->nodes + t->used) != nodes) return WEIR_E_INVALID_ARG;
    if (t->used + nodes > NODES_MOST) return WEIR_E_TOO_LARGE;
    if (n == t->row_capacity) {
        if (n >= LIMIT_BATCH_RECORDS) return WEIR_E_TOO_LARGE;
        if (!grow_rows(t)) return WEIR_E_NOMEM;
    }
    if (origin != n) t->gaps = true;
    if (n > 0 && origin == t->origin[n - 1]) t->repeats = true;
    t->used += nodes;
    t->lent -= nodes;
    t->origin[n] = origin;
    t->schema_index[n] = schema;
    t->row_start[n + 1] = (uint32_t)t->used;
    t->row_count = n + 1;
    return WEIR_OK;
}

static weir_status facet_row(weir_tape_builder *t, uint32_t nodes, uint32_t origin) {
    return add_row(t, nodes, origin, NO_SCHEMA);
}

/* The index of a schema in the batch's list, retained when it is new there. */
static weir_status schema_at(weir_tape_builder *t, const weir_schema *schema, uint32_t *index) {
    batch *b = t->b;
    for (uint32_t i = b->schema_count; i-- > 0;) { /* the newest is the likeliest */
        if (b->schemas[i] != schema) continue;
        *index = i;
        return WEIR_OK;
    }
    if (b->schema_count >= SCHEMAS_MOST) return WEIR_E_TOO_LARGE;
    if (b->schema_count == t->schema_capacity) {
        uint32_t capacity = t->schema_capacity > 0 ? t->schema_capacity * 2 : 4;
        weir_schema **list = region_alloc(&b->region, capacity * sizeof *list, 8);
        if (list == NULL) return WEIR_E_NOMEM;
        if (b->schema_count > 0) memcpy(list, b->schemas, b->schema_count * sizeof *list);
        b->schemas = list;
        t->schema_capacity = capacity;
    }
    schema_retain(schema);
    *index = b->schema_count;
    b->schemas[b->schema_count++] = (weir_schema *)(uintptr_t)schema;
    return WEIR_OK;
}

static weir_status facet_row_with_schema(weir_tape_builder *t, uint32_t nodes, uint32_t origin,
                                         const weir_schema *schema) {
    uint32_t index = NO_SCHEMA;
    if (schema != NULL) {
        weir_status status = schema_at(t, schema, &index);
        if (status != WEIR_OK) return status;
    }
    weir_status status = add_row(t, nodes, origin, index);
    if (status == WEIR_OK && schema != NULL) t->schemas = true;
    return status;
}

static char *facet_alloc(weir_tape_builder *t, uint64_t size) {
    return region_alloc(&t->b->region, size, 8);
}

void batch_tape_abandon(weir_tape_builder *t) {
    if (t == NULL) return;
    batch_segment_free(t->node_segment);
    batch_segment_free(t->row_segment);
    object_free(t->b);
}

const weir_batch *batch_tape_finish(weir_tape_builder *t) {
    batch *b = t->b;
    /* What was a tape before is older than this one, and so are the bytes then. Rows of which
     * several come from one record are not what that record's bytes say, either. */
    if (b->parent->abi.tape != NULL || t->repeats) b->abi.flags |= WEIR_BATCH_STALE_BYTES;
    if ((t->gaps || t->row_count != t->records) &&
        !object_gather(b, &b->parent->rows, t->origin, t->row_count, true)) {
        batch_tape_abandon(t);
        return NULL;
    }
    if (t->records > 0 && t->row_count > 0)
        home_set_node_hint(b->region.home, (uint32_t)((t->used + t->records - 1) / t->records));
    b->tape = (weir_tape){
        .struct_size = sizeof b->tape,
        .row_count = t->row_count,
        .nodes = t->nodes,
        .row_start = t->row_start,
        .schema_index = t->schemas ? t->schema_index : NULL,
        .schemas = (const weir_schema *const *)b->schemas,
        .schema_count = b->schema_count,
    };
    b->abi.tape = &b->tape;
    region_adopt(&b->region, t->node_segment);
    if (t->row_segment != NULL) region_adopt(&b->region, t->row_segment);
    return &b->abi;
}

const weir_host_tape batch_tape_facet = {
    .struct_size = sizeof(weir_host_tape),
    .reserve = facet_reserve,
    .row = facet_row,
    .row_with_schema = facet_row_with_schema,
    .alloc = facet_alloc,
    .schema_new = schema_new,
    .schema_retain = schema_retain,
    .schema_release = schema_release,
    .schema_type = schema_type,
    .schema_text = schema_text,
    .schema_fingerprint = schema_fingerprint,
};
