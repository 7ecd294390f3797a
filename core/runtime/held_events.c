#include "runtime/held_events.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"

struct held_event {
    held_event *next;
    arena *memory;
    weir_event event;
};

static bool copy_str(arena *memory, weir_str *s) {
    if (s->len == 0) {
        *s = STR("");
        return true;
    }
    *s = arena_str(memory, *s);
    return s->ptr != NULL;
}

/* Fields that the plugin's header does not know are absent. */
static weir_split *copy_split(arena *memory, const weir_split *from) {
    weir_split *to = arena_zalloc(memory, sizeof *to);
    if (to == NULL) return NULL;
    memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
    to->struct_size = sizeof *to;
    const char **ptrs = arena_array(memory, to->parent_count + 1u, sizeof *ptrs);
    uint32_t *lens = arena_array(memory, to->parent_count + 1u, sizeof *lens);
    if (ptrs == NULL || lens == NULL) return NULL;
    for (uint32_t p = 0; p < to->parent_count; p++) {
        weir_str parent = str_make(to->parent_ptr[p], to->parent_len[p]);
        if (!copy_str(memory, &parent)) return NULL;
        ptrs[p] = parent.ptr;
        lens[p] = (uint32_t)parent.len;
    }
    to->parent_ptr = ptrs;
    to->parent_len = lens;
    bool ok = copy_str(memory, &to->id) && copy_str(memory, &to->private_bytes) &&
              copy_str(memory, &to->position);
    return ok ? to : NULL;
}

static bool copy_event(held_event *e, const weir_event *from) {
    weir_event *to = &e->event;
    memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
    to->struct_size = sizeof *to;
    const weir_split **children = arena_array(e->memory, to->child_count + 1u, sizeof *children);
    if (children == NULL) return false;
    for (uint32_t c = 0; c < to->child_count; c++) {
        children[c] = copy_split(e->memory, to->children[c]);
        if (children[c] == NULL) return false;
    }
    to->children = children;
    return copy_str(e->memory, &to->split) && copy_str(e->memory, &to->position);
}

weir_status held_events_add(held_events *h, const weir_event *event) {
    held_event *e = calloc(1, sizeof *e);
    if (e == NULL) return WEIR_E_NOMEM;
    e->memory = arena_new(SIZE_MAX);
    if (e->memory == NULL || !copy_event(e, event)) {
        held_event_free(e);
        return WEIR_E_NOMEM;
    }
    if (h->last != NULL) {
        h->last->next = e;
    } else {
        h->first = e;
    }
    h->last = e;
    return WEIR_OK;
}

held_event *held_events_take(held_events *h) {
    held_event *e = h->first;
    if (e == NULL) return NULL;
    h->first = e->next;
    if (h->first == NULL) h->last = NULL;
    return e;
}

const weir_event *held_event_get(const held_event *e) {
    return &e->event;
}

void held_event_free(held_event *e) {
    if (e == NULL) return;
    arena_free(e->memory);
    free(e);
}

void held_events_clear(held_events *h) {
    for (held_event *e; (e = held_events_take(h)) != NULL;) held_event_free(e);
}
