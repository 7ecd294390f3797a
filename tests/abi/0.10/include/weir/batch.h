/*
 * weir/batch.h - records on their way: columns over borrowed bytes.
 *
 * A batch is immutable once sealed, reference-counted by the host, and belongs to one split. It is
 * a set of parallel columns; a column that nobody needs is NULL.
 *
 *            record 0     record 1     record 2
 *   value_ptr  ----.        ----.        NULL          NULL = null (a tombstone), not empty
 *   value_len   5  |         3  |         0
 *   key_ptr    ...  |            |
 *   time_us    ...  v            v
 *             +-----------------------------------------+
 *             | a l p h a \n t w o \n ...               |  one attached segment (an HTTP body,
 *             +-----------------------------------------+  a read buffer, a Kafka message)
 *
 * Pointers are absolute, unaligned and not NUL-terminated. Whatever memory they point into is
 * attached to the batch together with the bytes it really holds, which are charged to the
 * pipeline's memory budget until the last reference goes.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include "weir/types.h"
#include "weir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A record is smaller than this many bytes, else WEIR_E_TOO_LARGE: lengths fit an int32. */
#define WEIR_RECORD_BYTES_MAX 0x7fffffffu

/* "No time" in a time column. */
#define WEIR_TIME_NONE INT64_MIN

/* Reserved names of metadata columns. A source fills the ones that weir_open asks it for. */
#define WEIR_META_STREAM "weir.stream"
#define WEIR_META_SPLIT "weir.split"
#define WEIR_META_POSITION "weir.position"
#define WEIR_META_PARTITION_KEY "weir.partition_key"
#define WEIR_META_EXPLICIT_HASH_KEY "weir.explicit_hash_key"
#define WEIR_META_SUB_SEQUENCE "weir.sub_sequence"
#define WEIR_META_ARRIVAL_TIME "weir.arrival_time"
#define WEIR_META_TOPIC "weir.topic"
#define WEIR_META_PARTITION "weir.partition"
#define WEIR_META_OFFSET "weir.offset"
#define WEIR_META_OBJECT "weir.object"

/* One text column: metadata, or a template evaluated for each record. */
#define WEIR_COLUMN_PLAIN 0u      /* ptr[i], len[i] for each row */
#define WEIR_COLUMN_CONSTANT 1u   /* ptr[0], len[0] for every row */
#define WEIR_COLUMN_DICTIONARY 2u /* ptr[index[i]], len[index[i]] */
typedef struct weir_column {
    uint32_t struct_size;
    uint32_t encoding; /* WEIR_COLUMN_* */
    weir_str name;
    const char *const *ptr; /* a NULL entry is null */
    const uint32_t *len;
    const uint32_t *index; /* DICTIONARY only */
} weir_column;

/* The columns that batches and requests share. Read-only; made by the host. */
typedef struct weir_rows {
    uint32_t struct_size;
    uint32_t count;
    const char *const *value_ptr; /* [count] */
    const uint32_t *value_len;
    const char *const *key_ptr; /* NULL: no record has a key */
    const uint32_t *key_len;
    const int64_t *time_us; /* microseconds since 1970 UTC or WEIR_TIME_NONE; NULL: none at all */
    /* Headers in their order, duplicates kept: those of row i stand at header_start[i] up to
     * header_start[i + 1]. NULL: no record has any. */
    const uint32_t *header_start; /* [count + 1] */
    const char *const *header_name_ptr;
    const uint32_t *header_name_len;
    const char *const *header_value_ptr;
    const uint32_t *header_value_len;
    const weir_column *const *meta; /* [meta_count] */
    uint32_t meta_count;
    /* Framing hint: when 1, each value is followed in memory by one readable byte equal to
     * `trailer` and contains no such byte itself, so that consecutive lines can be written in one
     * piece without a look at them. 0: no such promise. */
    uint16_t trailer_len;
    uint8_t trailer;
    uint8_t reserved;
    uint64_t value_bytes; /* sum of value_len */
} weir_rows;

/* Flags of a batch. */
#define WEIR_BATCH_STALE_BYTES (1u << 0) /* the tape is newer than the value bytes */

/* A sealed batch. Allocated by the host; a plugin holds it through retain and release. */
typedef struct weir_batch {
    uint32_t struct_size;
    uint32_t flags;
    const weir_rows *rows;
    const weir_tape *tape; /* NULL until decoded */
    weir_str split;  /* id of the split all records came from; may be empty behind an exchange */
    weir_str resume; /* the position to assign after this batch: opaque, ordered by memcmp */
    int64_t lag_ms;  /* how far behind the end of the split, -1 = unknown */
} weir_batch;

/* Positions are at most this long. */
#define WEIR_POSITION_MAX 255u

/*
 * Segment release: called once, from whatever thread drops the last reference. A leaf: it must not
 * block and must not call the host back. [any]
 */
typedef void (*weir_release_fn)(void *opaque);

/* The columns that the builder lends: the plugin writes entry i of each before `commit`. NULL for
 * columns that were not asked for. Pointers are valid until the next reserve, seal or abandon. */
#define WEIR_COL_KEY (1u << 0)
#define WEIR_COL_TIME (1u << 1)
typedef struct weir_batch_columns {
    uint32_t struct_size;
    uint32_t capacity; /* records that fit from here on */
    const char **value_ptr;
    uint32_t *value_len;
    const char **key_ptr;
    uint32_t *key_len;
    int64_t *time_us;
} weir_batch_columns;

/* What seal needs to know. */
typedef struct weir_batch_seal {
    uint32_t struct_size;
    uint32_t flags;
    weir_str split;  /* copied */
    weir_str resume; /* copied, at most WEIR_POSITION_MAX bytes */
    int64_t lag_ms;
    uint8_t trailer_len; /* see weir_rows */
    uint8_t trailer;
    uint8_t reserved[6];
} weir_batch_seal;

/*
 * Host facet "weir.host.batch/1". A builder belongs to the instance that began it and is used on
 * its task thread. All memory that `alloc` and `segment` hand out lives as long as the batch.
 */
typedef struct weir_host_batch {
    uint32_t struct_size;
    uint32_t reserved;
    /* A builder with room for `records` to begin with. NULL without memory. [task] */
    weir_batch_builder *(*begin)(weir_ctx *ctx, uint32_t records, uint32_t columns);
    /* Lends columns for at least `records` more, growing what is there. [task] */
    weir_status (*reserve)(weir_batch_builder *b, uint32_t records, weir_batch_columns *out);
    /* Takes the first `records` of the lent columns. [task] */
    weir_status (*commit)(weir_batch_builder *b, uint32_t records);
    /* A header of the record committed last. Name and value must outlive the batch (attached or
     * from alloc). [task] */
    weir_status (*header)(weir_batch_builder *b, weir_str name, weir_str value);
    /* One entry of a metadata column for each record committed so far, or one constant for all.
     * The arrays are copied, the bytes they point to are not. [task] */
    weir_status (*meta)(weir_batch_builder *b, const weir_column *column);
    /* Bytes that live as long as the batch. NULL without memory. [task] */
    char *(*alloc)(weir_batch_builder *b, uint64_t size);
    /* Gives `release(opaque)` to the batch; `bytes` is what it keeps from being freed, charged to
     * the budget. On failure nothing was taken. [task] */
    weir_status (*attach)(weir_batch_builder *b, void *opaque, weir_release_fn release,
                          uint64_t bytes);
    /* Seals: the builder is gone, the reference is the caller's. NULL without memory (builder gone
     * too, attachments released). [task] */
    const weir_batch *(*seal)(weir_batch_builder *b, const weir_batch_seal *args);
    /* Throws a builder away and releases its attachments. [task] */
    void (*abandon)(weir_batch_builder *b);

    void (*retain)(const weir_batch *batch);  /* [any] */
    void (*release)(const weir_batch *batch); /* [any] */
    /* A batch of the rows in `indexes` (ascending, unique) that shares all bytes and the tape with
     * `batch`; the reference is the caller's. NULL without memory. [task] */
    const weir_batch *(*select)(weir_ctx *ctx, const weir_batch *batch, const uint32_t *indexes,
                                uint32_t count);

    /* A pooled buffer of at least `size` bytes, charged to the budget while it is out; its real
     * size comes back in `capacity`. To be attached with segment_free as release, or given back by
     * calling segment_free. NULL without memory. Contents are undefined. [any] */
    char *(*segment_alloc)(weir_ctx *ctx, uint64_t size, uint64_t *capacity);
    /* A leaf, usable as weir_release_fn. [any] */
    void (*segment_free)(void *segment);
} weir_host_batch;
#define WEIR_HOST_BATCH "weir.host.batch/1"

/* The tape builder's writable view. */
typedef struct weir_tape_room {
    uint32_t struct_size;
    uint32_t capacity; /* nodes that may be written at `nodes` */
    weir_value *nodes;
} weir_tape_room;

/* Host facet "weir.host.tape/1": used by serdes in decode and by transforms that make rows. */
typedef struct weir_host_tape {
    uint32_t struct_size;
    uint32_t reserved;
    /* Room for at least `nodes` more nodes after the last row. May move nodes of the unfinished
     * row: take the pointer anew. [task] */
    weir_status (*reserve)(weir_tape_builder *t, uint32_t nodes, weir_tape_room *out);
    /* Ends a row: the next `nodes` nodes belong to a row that came from record `origin`. [task] */
    weir_status (*row)(weir_tape_builder *t, uint32_t nodes, uint32_t origin);
    /* The same with a schema; the builder retains it. [task] */
    weir_status (*row_with_schema)(weir_tape_builder *t, uint32_t nodes, uint32_t origin,
                                   const weir_schema *schema);
    /* Bytes that live as long as the tape: unescaped strings and the like. [task] */
    char *(*alloc)(weir_tape_builder *t, uint64_t size);
    /* A schema handle: `type` ("avro", "json"), canonical text and a fingerprint of it, all copied.
     * The reference is the caller's. [any] */
    weir_schema *(*schema_new)(weir_ctx *ctx, weir_str type, weir_str text, weir_str fingerprint);
    void (*schema_retain)(const weir_schema *schema);          /* [any] */
    void (*schema_release)(const weir_schema *schema);         /* [any] */
    weir_str (*schema_type)(const weir_schema *schema);        /* [any] */
    weir_str (*schema_text)(const weir_schema *schema);        /* [any] */
    weir_str (*schema_fingerprint)(const weir_schema *schema); /* [any] */
} weir_host_tape;
#define WEIR_HOST_TAPE "weir.host.tape/1"

#ifdef __cplusplus
}
#endif
#endif
