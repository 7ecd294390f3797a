/*
 * core/base/ring.h - a bounded queue of pointers from one thread to one other.
 *
 *   consumer's line          producer's line          shared, read only
 *   +-------------------+    +-------------------+    +----------------+
 *   | head  tail_cached |    | tail  head_cached |    | mask   slots[] |
 *   +-------------------+    +-------------------+    +----------------+
 *
 * Each side writes its own index only and keeps a copy of the other's, which it renews when the
 * ring looks full or empty; so in steady traffic the two do not touch each other's cache line. What
 * the producer did before ring_push is visible to the consumer after ring_pop.
 */
#ifndef WEIR_BASE_RING_H
#define WEIR_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ring ring;

/* `capacity` is a power of two (asserted). NULL without memory. [control] */
ring *ring_new(size_t capacity);
/* What is still in it is the caller's to take out first; both threads are done. [control] */
void ring_free(ring *r);
/* False if it is full. `item` is not NULL (asserted). [producer] */
bool ring_push(ring *r, void *item);
/* The oldest item, or NULL if it is empty. [consumer] */
void *ring_pop(ring *r);
/* Items in it: exact for the two threads while the other one rests, else a moment old. [any] */
size_t ring_count(const ring *r);
size_t ring_capacity(const ring *r);

#endif
