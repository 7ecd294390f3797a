/*
 * plugins/std/shapes.h - what the generator's records look like.
 *
 * A record depends on nothing but the shape, the seed and its index, so that a replay from any
 * position gives the same bytes again.
 */
#ifndef WEIR_STD_SHAPES_H
#define WEIR_STD_SHAPES_H

#include <stdint.h>

#define SHAPE_TICKER 0u   /* {"event_time": ..., "ticker": ..., "price": ...} */
#define SHAPE_SEQUENCE 1u /* the index in decimal digits */
#define SHAPE_BYTES 2u    /* pseudo-random bytes */

typedef struct shape {
    uint32_t kind; /* SHAPE_* */
    uint32_t size; /* bytes of a record; 0 = as the shape comes (never 0 for BYTES) */
    uint64_t seed;
    uint64_t rate; /* records a second that event times are apart; 0 = 1,000 */
    /* The second that `stamp` was written for, so that most records reuse it. */
    int64_t stamp_second;
    char stamp[20]; /* 2026-01-01T00:00:00 */
} shape;

void shape_init(shape *s, uint32_t kind, uint32_t size, uint64_t seed, uint64_t rate);
/* The most bytes that shape_write needs. */
uint32_t shape_bytes_max(const shape *s);
/* Writes the record with the given index to `out`; its length. */
uint32_t shape_write(shape *s, uint64_t index, char *out);

#endif
