/*
 * core/batch/object.h - what stands behind a sealed weir_batch.
 *
 * The object, its columns and its short strings share the first segment of its region:
 *
 *   first segment  [ batch | columns ... | split, resume | attachments | alloc ... ]
 *   more segments  [ columns that grew ] [ alloc ... ] [ tape nodes ] [ encoded values ]
 *
 * Immutable once sealed, but for the count of references. What a derived batch does not replace it
 * takes from its parent, of which it holds a reference.
 */
#ifndef WEIR_BATCH_OBJECT_H
#define WEIR_BATCH_OBJECT_H

#include <stdatomic.h>

#include "batch/region.h"

typedef struct attachment {
    struct attachment *next;
    void *opaque;
    weir_release_fn release;
    uint64_t charged;
} attachment;

typedef struct batch {
    weir_batch abi; /* first: everybody else holds its address */
    weir_rows rows;
    weir_tape tape;
    _Atomic uint32_t refs;
    /* All memory of its own is indexes and columns that a further derivation copies, so that a
     * selection of it may hold on to its parent instead. */
    bool transparent;
    struct batch *parent;
    attachment *attachments;
    uint64_t attached;     /* bytes: declared ones, and segments' real size */
    weir_schema **schemas; /* references of its own */
    uint32_t schema_count;
    region region;
} batch;

static inline batch *object_of(const weir_batch *b) {
    return (batch *)(uintptr_t)b;
}

/* An object with one reference, in a new region with `extra` bytes behind the object to be had by
 * region_alloc without another segment. NULL without memory. */
batch *object_new(batch_home *home, uint64_t extra);
/* Releases everything the object holds: attachments, schemas, region; then its parent. */
void object_free(batch *b);

/* A derived object: rows, tape, split, resume and lag as in `parent`, of which it gets a
 * reference. */
batch *object_derive(batch_home *home, batch *parent, uint64_t extra);

/* Bytes that object_gather needs of the region, nearly. */
uint64_t object_gather_room(const weir_rows *from, uint32_t count);
/* Fills `b->rows` with the rows `indexes` of `from`, ascending but perhaps repeated; all of them
 * lie in range. Values too, unless `values` is false. False without memory. */
bool object_gather(batch *b, const weir_rows *from, const uint32_t *indexes, uint32_t count,
                   bool values);

/* Copies an ABI struct that the other side made, perhaps smaller or larger than ours: what is
 * missing is zero. False if it is too small to be one. */
bool object_take(void *to, uint32_t size, const void *from);

#endif
