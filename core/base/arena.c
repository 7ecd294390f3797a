#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define ARENA_ALIGN 16u
#define BLOCK_FIRST ((size_t)4096)
#define BLOCK_MOST ((size_t)256 * 1024)

/* Blocks are chained from the newest to the first; each begins with this head. */
typedef struct block {
    struct block *older;
    size_t size; /* of the whole allocation */
    size_t used; /* head included */
    size_t unused;
} block;

_Static_assert(sizeof(block) % ARENA_ALIGN == 0, "what follows the head must be aligned");

struct arena {
    block *newest;
    size_t bytes;
    size_t max;
    size_t next_size; /* of the block to come: they double, so that big documents need few */
};

static block *grow(arena *a, size_t payload) {
    size_t want, size = a->next_size;
    if (!mem_add(payload, sizeof(block), &want)) return NULL;
    if (size < want) size = want;
    /* Near the ceiling a block of exactly what is wanted may still fit. */
    if (size > a->max - a->bytes) size = want;
    if (size > a->max - a->bytes) return NULL;
    block *b = mem_alloc(size);
    if (b == NULL) return NULL;
    *b = (block){.older = a->newest, .size = size, .used = sizeof(block)};
    a->bytes += size;
    if (a->next_size < BLOCK_MOST) a->next_size *= 2;
    /* A block made for one large piece goes behind the newest if that one has more room left. */
    if (a->newest != NULL && a->newest->size - a->newest->used > size - want) {
        b->older = a->newest->older;
        a->newest->older = b;
    } else {
        a->newest = b;
    }
    return b;
}

arena *arena_new(size_t max_bytes) {
    arena *a = mem_zalloc(sizeof *a);
    if (a == NULL) return NULL;
    a->max = max_bytes;
    a->next_size = BLOCK_FIRST;
    return a;
}

void arena_free(arena *a) {
    if (a == NULL) return;
    for (block *b = a->newest; b != NULL;) {
        block *older = b->older;
        mem_free(b);
        b = older;
    }
    mem_free(a);
}

void arena_reset(arena *a) {
    block *b = a->newest;
    if (b == NULL) return;
    while (b->older != NULL) {
        block *older = b->older;
        a->bytes -= b->size;
        mem_free(b);
        b = older;
    }
    b->used = sizeof(block);
    a->newest = b;
    a->next_size = BLOCK_FIRST * 2;
}

size_t arena_bytes(const arena *a) {
    return a->bytes;
}

void *arena_alloc(arena *a, size_t size) {
    if (size > SIZE_MAX - ARENA_ALIGN) return NULL;
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded == 0) rounded = ARENA_ALIGN;
    block *b = a->newest;
    if (b == NULL || b->size - b->used < rounded) {
        b = grow(a, rounded);
        if (b == NULL) return NULL;
    }
    void *p = (char *)b + b->used;
    b->used += rounded;
    return p;
}

void *arena_zalloc(arena *a, size_t size) {
    void *p = arena_alloc(a, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

void *arena_array(arena *a, size_t count, size_t size) {
    size_t bytes;
    return mem_mul(count, size, &bytes) ? arena_zalloc(a, bytes) : NULL;
}

weir_str arena_str(arena *a, weir_str s) {
    char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
    if (p == NULL) return (weir_str){NULL, 0};
    if (s.len > 0) memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return (weir_str){p, s.len};
}

char *arena_printf(arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(a, format, args);
    va_end(args);
    return text;
}

char *arena_vprintf(arena *a, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *text = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (text != NULL) (void)vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
