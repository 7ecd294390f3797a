#include "s3/sorted.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static weir_str name_of(const void *item) {
    const weir_str *name = item;
    return *name;
}

size_t sorted_from(const sorted *s, weir_str name) {
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(name_of(s->items[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t sorted_behind(const sorted *s, weir_str name) {
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(name_of(s->items[middle]), name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t sorted_behind_prefix(const sorted *s, weir_str prefix) {
    size_t low = sorted_from(s, prefix), high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_starts(name_of(s->items[middle]), prefix))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *sorted_get(const sorted *s, weir_str name) {
    size_t at = sorted_from(s, name);
    return at < s->count && str_eq(name_of(s->items[at]), name) ? s->items[at] : NULL;
}

bool sorted_insert(sorted *s, size_t at, void *item) {
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 16, bytes;
        void **items = mem_mul(room, sizeof *items, &bytes) ? mem_realloc(s->items, bytes) : NULL;
        if (!items) return false;
        s->items = items;
        s->room = room;
    }
    if (at < s->count)
        memmove(s->items + at + 1, s->items + at, (s->count - at) * sizeof *s->items);
    s->items[at] = item;
    s->count++;
    return true;
}

void *sorted_remove(sorted *s, size_t at) {
    void *item = s->items[at];
    s->count--;
    if (at < s->count)
        memmove(s->items + at, s->items + at + 1, (s->count - at) * sizeof *s->items);
    return item;
}

void sorted_free(sorted *s) {
    mem_free(s->items);
    *s = (sorted){0};
}
