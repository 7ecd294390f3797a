/*
 * weir/value.h - the value tape: decoded records without a schema.
 *
 * A decoded record is a run of 16-byte nodes in pre-order. A container says how many nodes it
 * spans, so a reader that does not want it skips it in one step. Strings point into the record's
 * own bytes wherever no escape forced a copy; a tape therefore keeps its batch alive.
 *
 *   {"a": [1, true], "b": "x"}
 *
 *   node 0  OBJECT  size=2 (members)   as.skip=7  -> the next record's root is at 0 + 7
 *   node 1  STRING  size=1             as.ptr -> a        (member names are STRING nodes)
 *   node 2  ARRAY   size=2 (elements)  as.skip=3  -> the next member name is at 2 + 3
 *   node 3  I64                        as.i64=1
 *   node 4  BOOL                       as.u64=1
 *   node 5  STRING  size=1             as.ptr -> b
 *   node 6  STRING  size=1             as.ptr -> x
 *
 * One node, little-endian, frozen for the major version (the only struct that crosses the boundary
 * in arrays):
 *
 *   byte   0     1        2..3    4..7    8..15
 *        +------+---------+-------+-------+----------------------------+
 *        | type | logical | flags | size  | payload: i64 u64 f64 ptr   |
 *        +------+---------+-------+-------+----------------------------+
 *
 * Numbers are exact: an integer that fits is I64 or, above 2^63-1, U64; a decimal that the nearest
 * double gives back digit for digit (by value) is F64; every other number is kept as its text, a
 * STRING node with logical type DECIMAL.
 *
 * All functions here are inline, allocate nothing and may be called from any thread on a sealed
 * tape. [any]
 */
#ifndef WEIR_VALUE_H
#define WEIR_VALUE_H

#include <string.h>

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Node types. */
#define WEIR_V_NULL 0u
#define WEIR_V_BOOL 1u /* as.u64: 0 or 1 */
#define WEIR_V_I64 2u
#define WEIR_V_U64 3u    /* only values above INT64_MAX */
#define WEIR_V_F64 4u    /* never NaN or infinite when it comes from JSON */
#define WEIR_V_STRING 5u /* as.ptr, size bytes of UTF-8 */
#define WEIR_V_BYTES 6u  /* as.ptr, size bytes */
#define WEIR_V_ARRAY 7u  /* size elements; as.skip nodes in all, this one included */
#define WEIR_V_OBJECT 8u /* size members, each a STRING node and then its value; as.skip */

/* Logical types: what a node means beyond its type. */
#define WEIR_L_NONE 0u
#define WEIR_L_DATE 1u         /* I64 days since 1970-01-01 */
#define WEIR_L_TIME_US 2u      /* I64 microseconds since midnight */
#define WEIR_L_TIMESTAMP_US 3u /* I64 microseconds since 1970-01-01T00:00:00Z */
#define WEIR_L_DECIMAL                                                                             \
    4u                 /* STRING: the number's text. BYTES: big-endian unscaled, scale in flags */
#define WEIR_L_UUID 5u /* BYTES of 16 or STRING of 36 */

/* Node flags. */
#define WEIR_VF_PLAIN (1u << 0) /* STRING: holds no byte that JSON must escape */
/* DECIMAL as BYTES: the scale stands in the upper eight bits of `flags`. */
#define WEIR_VF_SCALE_SHIFT 8u

typedef struct weir_value {
    uint8_t type;    /* WEIR_V_* */
    uint8_t logical; /* WEIR_L_* */
    uint16_t flags;  /* WEIR_VF_* */
    uint32_t size;   /* bytes of a string, elements of an array, members of an object */
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        const char *ptr;
        uint64_t skip;
    } as;
} weir_value;

/*
 * The decoded form of a batch. Made by the host's tape builder, immutable, lives as long as the
 * batch that carries it. Row r has its root at nodes[row_start[r]] and ends with that root's span;
 * rows of a selection share nodes, so row_start[r + 1] is not its end.
 */
typedef struct weir_tape {
    uint32_t struct_size;
    uint32_t row_count;
    const weir_value *nodes;
    const uint32_t *row_start;         /* [row_count + 1] */
    const uint32_t *origin;            /* [row_count] record a row came from; NULL: row = record */
    const uint32_t *schema_index;      /* [row_count] into schemas, UINT32_MAX = none; NULL: none */
    const weir_schema *const *schemas; /* [schema_count] */
    uint32_t schema_count;
    uint32_t reserved;
} weir_tape;

/* The root node of row `row`. */
static inline const weir_value *weir_tape_root(const weir_tape *tape, uint32_t row) {
    return tape->nodes + tape->row_start[row];
}

/* How many nodes `v` spans, itself included. */
static inline uint64_t weir_value_span(const weir_value *v) {
    return v->type >= WEIR_V_ARRAY ? v->as.skip : 1u;
}

/* The node that follows `v` and everything in it. */
static inline const weir_value *weir_value_next(const weir_value *v) {
    return v + weir_value_span(v);
}

/* The member of object `v` with the given name, the last one if there are several; NULL if `v` is
 * no object or has none. Linear in the members: objects are small and scanning beats hashing. */
static inline const weir_value *weir_value_member(const weir_value *v, const char *name,
                                                  uint64_t len) {
    const weir_value *found = NULL;
    const weir_value *key = v + 1;
    uint32_t i;
    if (v->type != WEIR_V_OBJECT) return NULL;
    for (i = 0; i < v->size; i++) {
        if (key->size == len && memcmp(key->as.ptr, name, (size_t)len) == 0) found = key + 1;
        key = weir_value_next(key + 1);
    }
    return found;
}

/* Element `index` of array `v`, or NULL. */
static inline const weir_value *weir_value_element(const weir_value *v, uint64_t index) {
    const weir_value *e = v + 1;
    if (v->type != WEIR_V_ARRAY || index >= v->size) return NULL;
    while (index-- > 0) e = weir_value_next(e);
    return e;
}

/* The text of a STRING or the bytes of a BYTES node; empty for any other. */
static inline weir_str weir_value_str(const weir_value *v) {
    weir_str s;
    int has = v->type == WEIR_V_STRING || v->type == WEIR_V_BYTES;
    s.ptr = has ? v->as.ptr : "";
    s.len = has ? v->size : 0;
    return s;
}

#ifdef __cplusplus
}
#endif
#endif
