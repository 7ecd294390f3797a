#include "server/internal.h"

segment *segment_copy(const void *bytes, size_t len) {
    segment *s = mem_alloc(sizeof *s + len);
    if (!s) return NULL;
    char *to = (char *)(s + 1);
    if (len) memcpy(to, bytes, len);
    *s = (segment){.refs = 1, .bytes = to, .len = len};
    return s;
}

void segment_drop(segment *s) {
    if (--s->refs) return;
    if (s->release) s->release(s->opaque);
    mem_free(s);
}

static bool grow(slices *q) {
    uint32_t capacity = q->capacity ? q->capacity * 2 : 16;
    slice *ring = mem_array(capacity, sizeof *ring);
    if (!ring) return false;
    for (uint32_t i = 0; i < q->count; i++) ring[i] = *slices_at(q, i);
    mem_free(q->ring);
    q->ring = ring;
    q->head = 0;
    q->capacity = capacity;
    return true;
}

bool slices_push(slices *q, segment *of, size_t at, size_t len) {
    if (len == 0) return true;
    if (q->count == q->capacity && !grow(q)) return false;
    of->refs++;
    q->count++;
    *slices_at(q, q->count - 1) = (slice){of, at, len};
    q->bytes += len;
    return true;
}

void slices_take(slices *q, size_t n) {
    q->bytes -= n;
    while (n) {
        slice *first = slices_at(q, 0);
        if (first->len > n) {
            first->at += n;
            first->len -= n;
            return;
        }
        n -= first->len;
        segment *of = first->of;
        q->head++;
        q->count--;
        segment_drop(of);
    }
}

void slices_clear(slices *q) {
    slices_take(q, q->bytes);
}

void slices_free(slices *q) {
    slices_clear(q);
    mem_free(q->ring);
    *q = (slices){0};
}
