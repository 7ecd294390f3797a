/*
 * core/batch/region.h - pooled segments and the bump allocator of one batch over a chain of them.
 *
 *   segment:  [ head: home, sizes, next | capacity bytes ................ ]
 *                                         ^ what batch_segment_alloc answers
 *
 *   region:   last -> segment -> segment -> first (the batch object stands at its beginning)
 *             at ------^ next free byte of the newest small segment
 *
 * A region belongs to one builder and, once sealed, to the batch that stands in it; it is not
 * locked. It gives everything back at once.
 */
#ifndef WEIR_BATCH_REGION_H
#define WEIR_BATCH_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch/batch.h"

/* Sizes of pooled classes and what is made in one piece by default. */
#define SEGMENT_LEAST ((uint64_t)4 << 10)
#define SEGMENT_MOST ((uint64_t)8 << 20)
#define REGION_STEP_MOST ((uint64_t)256 << 10)

/* What a segment really takes, head included: what is charged for it. */
uint64_t segment_bytes(const void *segment);
uint64_t segment_capacity(const void *segment);

/* Average nodes a record of this pipeline had lately, so that tapes begin with the right size. */
uint32_t home_node_hint(batch_home *home);
void home_set_node_hint(batch_home *home, uint32_t nodes_per_record);

typedef struct region {
    batch_home *home;
    void *last; /* segment adopted or made last; they are chained */
    char *at, *end;
    uint64_t step;  /* capacity of the segment to come */
    uint64_t bytes; /* real size of all segments in it */
} region;

/* A region whose first segment has at least `first` bytes, and those bytes; NULL without memory. */
void *region_begin(region *r, batch_home *home, uint64_t first);
/* Aligned to `align`, a power of two of at most 16. NULL without memory. */
void *region_alloc(region *r, uint64_t size, unsigned align);
/* Makes a segment part of it, to be freed with it. */
void region_adopt(region *r, void *segment);
/* Gives all of it back; `r` itself may stand in it. */
void region_end(region *r);

/* Bytes that a run of columns takes, each aligned to 8; saturates instead of wrapping. */
static inline uint64_t region_room(uint64_t count, uint64_t size) {
    uint64_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > UINT64_MAX / 4)
        return UINT64_MAX / 4;
    return (bytes + 7) & ~UINT64_C(7);
}

#endif
