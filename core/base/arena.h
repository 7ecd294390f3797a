/*
 * core/base/arena.h - memory by lifetime: many allocations, one free.
 *
 * An arena belongs to one owner at a time and is not locked. Allocations are aligned to 16 bytes
 * and zeroed on request. `arena_new` takes the most it may ever hold; beyond that, and without
 * memory, allocation answers NULL, so hostile input cannot grow it without bound.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "weir/types.h"

typedef struct arena arena;

/* An empty arena of at most `max_bytes`; NULL without memory. */
arena *arena_new(size_t max_bytes);
/* Frees it and everything from it. NULL is ignored. */
void arena_free(arena *a);
/* Forgets everything but keeps the first block for reuse. */
void arena_reset(arena *a);
/* Bytes taken from the system so far. */
size_t arena_bytes(const arena *a);

void *arena_alloc(arena *a, size_t size);  /* undefined contents; NULL at the limit */
void *arena_zalloc(arena *a, size_t size); /* zeroed */
/* count * size, checked for overflow, zeroed. */
void *arena_array(arena *a, size_t count, size_t size);
/* A copy with a NUL behind it; ptr is NULL without memory. */
weir_str arena_str(arena *a, weir_str s);
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(arena *a, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
