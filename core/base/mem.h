/*
 * core/base/mem.h - the one door to the system's allocator, with a lever for tests.
 *
 * Everything in the core allocates through these, so that a test can fail the n-th allocation for
 * every n and ask for a clean error and no leak. Without the lever pulled a call costs one relaxed
 * load more than malloc. [any]
 */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* malloc, calloc and realloc; NULL without memory, or if count * size does not fit. What they give
 * is freed with mem_free. A size of 0 gives a pointer that may be freed. */
void *mem_alloc(size_t size) __attribute__((malloc));
void *mem_zalloc(size_t size) __attribute__((malloc));
void *mem_array(size_t count, size_t size) __attribute__((malloc)); /* zeroed */
void *mem_realloc(void *ptr, size_t size);
void mem_free(void *ptr); /* NULL is ignored */

/* Whole pages from the system, zeroed; NULL without memory. Given back with their size. */
void *mem_map(size_t size);
void mem_unmap(void *ptr, size_t size);

/* False if a * b does not fit. */
static inline bool mem_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool mem_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

/* For tests: the n-th allocation from now (1 = the next one) fails, in whatever thread; with
 * `sticky` all after it fail too. 0 switches it off. Answers whether an allocation has failed since
 * the last call, which ends a loop over n. */
bool mem_test_fail_at(int64_t n, bool sticky);

#endif
