#include "base/ring.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

/* Two lines of 64 bytes: processors fetch them in pairs. */
#define APART 128

/* Indexes count all items ever and are masked on use, so full and empty differ without a spare
 * slot. */
struct ring {
    _Alignas(APART) _Atomic size_t head; /* of the next item to pop; the consumer's */
    size_t tail_cached;
    _Alignas(APART) _Atomic size_t tail; /* of the next item to push; the producer's */
    size_t head_cached;
    _Alignas(APART) size_t mask;
    void *memory; /* what was allocated: the allocator aligns to less than APART */
    void *slots[];
};

ring *ring_new(size_t capacity) {
    WEIR_ASSERT(capacity > 0 && (capacity & (capacity - 1)) == 0);
    size_t bytes;
    if (!mem_mul(capacity, sizeof(void *), &bytes) || !mem_add(bytes, sizeof(ring) + APART, &bytes))
        return NULL;
    char *memory = mem_zalloc(bytes);
    if (memory == NULL) return NULL;
    ring *r = (ring *)(void *)(memory + (APART - (uintptr_t)memory % APART) % APART);
    r->mask = capacity - 1;
    r->memory = memory;
    return r;
}

void ring_free(ring *r) {
    if (r != NULL) mem_free(r->memory);
}

bool ring_push(ring *r, void *item) {
    WEIR_ASSERT(item != NULL);
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail - r->head_cached > r->mask) {
        /* Acquire: the consumer has read the slot before it is written again. */
        r->head_cached = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail - r->head_cached > r->mask) return false;
    }
    r->slots[tail & r->mask] = item;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

void *ring_pop(ring *r) {
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head == r->tail_cached) {
        r->tail_cached = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head == r->tail_cached) return NULL;
    }
    void *item = r->slots[head & r->mask];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return item;
}

size_t ring_count(const ring *r) {
    /* Head first: it only grows, so the difference is never negative. */
    size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    size_t count = tail - head;
    return count <= r->mask + 1 ? count : r->mask + 1;
}

size_t ring_capacity(const ring *r) {
    return r->mask + 1;
}
