#include "s3/content.h"

#include <string.h>

#include "base/mem.h"

struct s3_blob {
    uint64_t refs;
    void *memory;
};

static void drop(void *opaque) {
    s3_blob *b = opaque;
    if (--b->refs) return;
    mem_free(b->memory);
    mem_free(b);
}

/* Takes a reference for itself. */
static bool push(s3_content *c, s3_blob *of, const char *bytes, size_t len) {
    /* Doubling at powers of two: the room is never stored. */
    if ((c->count & (c->count - 1)) == 0) {
        size_t room = c->count ? (size_t)c->count * 2 : 1;
        s3_extent *items = mem_realloc(c->items, room * sizeof *items);
        if (!items) return false;
        c->items = items;
    }
    of->refs++;
    c->items[c->count++] = (s3_extent){of, bytes, len};
    c->size += len;
    return true;
}

bool s3_content_take(s3_content *c, void *bytes, size_t len, size_t room) {
    if (len == 0) {
        mem_free(bytes);
        return true;
    }
    if (room > len) {
        void *less = mem_realloc(bytes, len);
        if (less) bytes = less;
    }
    s3_blob *b = mem_alloc(sizeof *b);
    if (!b) {
        mem_free(bytes);
        return false;
    }
    *b = (s3_blob){.refs = 1, .memory = bytes};
    bool ok = push(c, b, bytes, len);
    drop(b);
    return ok;
}

bool s3_content_copy(s3_content *c, weir_str bytes) {
    if (bytes.len == 0) return true;
    char *copy = mem_alloc((size_t)bytes.len);
    if (!copy) return false;
    memcpy(copy, bytes.ptr, (size_t)bytes.len);
    return s3_content_take(c, copy, (size_t)bytes.len, (size_t)bytes.len);
}

/* The piece of extent `e` that lies within `len` bytes from `at` on, both counted from its
 * beginning; what it takes is taken off, and what stands before it too. */
static size_t piece(const s3_extent *e, uint64_t *at, uint64_t *len, const char **bytes) {
    if (*at >= e->len) {
        *at -= e->len;
        return 0;
    }
    size_t n = e->len - (size_t)*at;
    if (n > *len) n = (size_t)*len;
    *bytes = e->bytes + *at;
    *at = 0;
    *len -= n;
    return n;
}

bool s3_content_share(s3_content *c, const s3_content *from, uint64_t at, uint64_t len) {
    for (uint32_t i = 0; i < from->count && len; i++) {
        const char *bytes = NULL;
        size_t n = piece(&from->items[i], &at, &len, &bytes);
        if (n && !push(c, from->items[i].of, bytes, n)) return false;
    }
    return true;
}

char s3_content_byte(const s3_content *c, uint64_t at) {
    uint32_t i = 0;
    for (; at >= c->items[i].len; i++) at -= c->items[i].len;
    return c->items[i].bytes[at];
}

void s3_content_free(s3_content *c) {
    for (uint32_t i = 0; i < c->count; i++) drop(c->items[i].of);
    mem_free(c->items);
    *c = (s3_content){0};
}

void s3_content_send(const s3_content *c, uint64_t at, uint64_t len, exchange *x) {
    for (uint32_t i = 0; i < c->count && len; i++) {
        const char *bytes = NULL;
        size_t n = piece(&c->items[i], &at, &len, &bytes);
        if (!n) continue;
        c->items[i].of->refs++;
        exchange_refer(x, bytes, n, drop, c->items[i].of);
    }
}
