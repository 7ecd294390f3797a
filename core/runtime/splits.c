#include "runtime/splits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "checkpoint/mutation.h"

typedef enum { SPLIT_WAITING, SPLIT_ASSIGNED, SPLIT_FINISHED } split_state;

#define FOUND_BY_CONTROL UINT32_MAX

struct split_end {
    splits *table;
    _Atomic uint32_t holders;
};

typedef struct split_entry {
    weir_str id, private_bytes;
    weir_str *parents;
    uint32_t parent_count;
    split_state state;
    uint32_t task;     /* that reads it, or finished it */
    uint32_t found_by; /* task that reported it as a child; FOUND_BY_CONTROL */
    uint8_t position[WEIR_POSITION_MAX];
    uint8_t position_len;
    int64_t lag_ms;
    uint64_t records;
    split_end end;
} split_entry;

struct splits {
    pthread_mutex_t lock;
    arena *memory;
    map *by_id;            /* split_entry */
    split_entry **entries; /* in the order they were found */
    uint32_t count, cap;
    uint32_t finished;
    bool complete;
    bool listed;     /* the first enumeration is in: what was restored may be assigned */
    uint64_t frozen; /* epoch between its trigger and the last task's barrier; 0 = none */
    uint32_t passed; /* tasks that sent the barrier of that epoch */
    uint32_t tasks;
    struct {
        wake *wake;
        bool changed;
        uint32_t active;
    } * task;
};

struct weir_split_list {
    arena *memory;
    weir_split **items;
    uint32_t count, cap;
};

/* ---- lists ---- */

weir_split_list *split_list_new(void) {
    weir_split_list *list = calloc(1, sizeof *list);
    if (list == NULL) return NULL;
    list->memory = arena_new((size_t)LIMIT_SPLITS * (LIMIT_SPLIT_PRIVATE_BYTES + 1024));
    if (list->memory == NULL) {
        free(list);
        return NULL;
    }
    return list;
}

void split_list_free(weir_split_list *list) {
    if (list == NULL) return;
    arena_free(list->memory);
    free(list->items);
    free(list);
}

/* A deep copy of what a plugin describes; fields its header does not know are absent. */
static weir_split *split_copy(arena *memory, const weir_split *from) {
    weir_split shadow;
    memset(&shadow, 0, sizeof shadow);
    uint32_t size = from->struct_size;
    memcpy(&shadow, from, size < sizeof shadow ? size : sizeof shadow);
    weir_split *to = arena_zalloc(memory, sizeof *to);
    const char **ptrs = arena_array(memory, shadow.parent_count + 1u, sizeof *ptrs);
    uint32_t *lens = arena_array(memory, shadow.parent_count + 1u, sizeof *lens);
    if (to == NULL || ptrs == NULL || lens == NULL) return NULL;
    to->struct_size = sizeof *to;
    to->id = arena_str(memory, shadow.id);
    to->private_bytes = arena_str(memory, shadow.private_bytes);
    to->position = arena_str(memory, shadow.position);
    if (to->id.ptr == NULL || to->private_bytes.ptr == NULL || to->position.ptr == NULL)
        return NULL;
    for (uint32_t p = 0; p < shadow.parent_count; p++) {
        weir_str parent = arena_str(memory, str_make(shadow.parent_ptr[p], shadow.parent_len[p]));
        if (parent.ptr == NULL) return NULL;
        ptrs[p] = parent.ptr;
        lens[p] = (uint32_t)parent.len;
    }
    to->parent_count = shadow.parent_count;
    to->parent_ptr = ptrs;
    to->parent_len = lens;
    return to;
}

static weir_status split_check(const weir_split *split) {
    if (split->id.len == 0 || split->id.len > LIMIT_SPLIT_ID_BYTES) return WEIR_E_INVALID_ARG;
    if (split->private_bytes.len > LIMIT_SPLIT_PRIVATE_BYTES) return WEIR_E_TOO_LARGE;
    if (split->position.len > WEIR_POSITION_MAX) return WEIR_E_TOO_LARGE;
    return WEIR_OK;
}

weir_status split_list_add(weir_split_list *list, const weir_split *split) {
    weir_status status = split_check(split);
    if (status != WEIR_OK) return status;
    if (list->count >= LIMIT_SPLITS) return WEIR_E_TOO_LARGE;
    if (list->count == list->cap) {
        uint32_t cap = list->cap == 0 ? 16 : list->cap * 2;
        weir_split **items = realloc(list->items, cap * sizeof *items);
        if (items == NULL) return WEIR_E_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    weir_split *copy = split_copy(list->memory, split);
    if (copy == NULL) return WEIR_E_NOMEM;
    list->items[list->count++] = copy;
    return WEIR_OK;
}

/* ---- the table ---- */

splits *splits_new(uint32_t tasks) {
    splits *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->tasks = tasks;
    s->memory = arena_new((size_t)LIMIT_SPLITS * (LIMIT_SPLIT_PRIVATE_BYTES + 2048));
    s->by_id = map_new();
    s->task = calloc(tasks, sizeof *s->task);
    if (s->memory == NULL || s->by_id == NULL || s->task == NULL) {
        splits_free(s);
        return NULL;
    }
    return s;
}

void splits_free(splits *s) {
    if (s == NULL) return;
    map_free(s->by_id);
    arena_free(s->memory);
    free(s->entries);
    free(s->task);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void splits_set_wake(splits *s, uint32_t task, wake *w) {
    s->task[task].wake = w;
}

static weir_status add_entry(splits *s, const weir_split *split, uint32_t found_by,
                             uint32_t *added) {
    if (map_get(s->by_id, split->id) != NULL) return WEIR_OK;
    if (s->count >= LIMIT_SPLITS) return WEIR_E_TOO_LARGE;
    if (s->count == s->cap) {
        uint32_t cap = s->cap == 0 ? 16 : s->cap * 2;
        split_entry **entries = realloc(s->entries, cap * sizeof *entries);
        if (entries == NULL) return WEIR_E_NOMEM;
        s->entries = entries;
        s->cap = cap;
    }
    split_entry *e = arena_zalloc(s->memory, sizeof *e);
    if (e == NULL) return WEIR_E_NOMEM;
    e->id = arena_str(s->memory, split->id);
    e->private_bytes = arena_str(s->memory, split->private_bytes);
    e->parents = arena_array(s->memory, split->parent_count + 1u, sizeof *e->parents);
    if (e->id.ptr == NULL || e->private_bytes.ptr == NULL || e->parents == NULL) {
        return WEIR_E_NOMEM;
    }
    for (uint32_t p = 0; p < split->parent_count; p++) {
        e->parents[p] = arena_str(s->memory, str_make(split->parent_ptr[p], split->parent_len[p]));
        if (e->parents[p].ptr == NULL) return WEIR_E_NOMEM;
    }
    e->parent_count = split->parent_count;
    e->position_len = (uint8_t)split->position.len;
    if (e->position_len > 0) memcpy(e->position, split->position.ptr, e->position_len);
    e->lag_ms = -1;
    e->end.table = s;
    e->found_by = found_by;
    if (!map_put(s->by_id, e->id, e)) return WEIR_E_NOMEM;
    s->entries[s->count++] = e;
    (*added)++;
    return WEIR_OK;
}

static bool parents_done(const splits *s, const split_entry *e) {
    for (uint32_t p = 0; p < e->parent_count; p++) {
        const split_entry *parent = map_get(s->by_id, e->parents[p]);
        if (parent == NULL) continue;
        if (parent->state != SPLIT_FINISHED || atomic_load(&parent->end.holders) > 0) return false;
    }
    return true;
}

/* Gives every split that may start to the task with the fewest. Under the lock. */
static void assign_ready(splits *s) {
    if (!s->listed || (s->frozen != 0 && !MUTATED(assign_between_barriers))) return;
    for (uint32_t k = 0; k < s->count; k++) {
        split_entry *e = s->entries[k];
        if (e->state != SPLIT_WAITING || !parents_done(s, e)) continue;
        uint32_t best = 0;
        for (uint32_t t = 1; t < s->tasks; t++) {
            if (s->task[t].active < s->task[best].active) best = t;
        }
        e->state = SPLIT_ASSIGNED;
        e->task = best;
        s->task[best].active++;
        s->task[best].changed = true;
    }
    for (uint32_t t = 0; t < s->tasks; t++) {
        if (s->task[t].changed && s->task[t].wake != NULL) wake_signal(s->task[t].wake);
    }
}

static void wake_all(const splits *s) {
    for (uint32_t t = 0; t < s->tasks; t++) {
        if (s->task[t].wake != NULL) wake_signal(s->task[t].wake);
    }
}

/* A restored split keeps its position, but what the source attaches to it is what the enumeration
 * of this run says: options may have changed in between. */
static weir_status refresh_entry(splits *s, const weir_split *split) {
    split_entry *e = map_get(s->by_id, split->id);
    if (e == NULL || str_eq(e->private_bytes, split->private_bytes)) return WEIR_OK;
    weir_str copy = arena_str(s->memory, split->private_bytes);
    if (copy.ptr == NULL) return WEIR_E_NOMEM;
    e->private_bytes = copy;
    return WEIR_OK;
}

weir_status splits_update(splits *s, const weir_split_list *list, bool complete, uint32_t *added,
                          weir_error *err) {
    weir_status status = WEIR_OK;
    *added = 0;
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; k < list->count && status == WEIR_OK; k++) {
        if (!s->listed) status = refresh_entry(s, list->items[k]);
        if (status == WEIR_OK) status = add_entry(s, list->items[k], FOUND_BY_CONTROL, added);
    }
    if (complete) s->complete = true;
    s->listed = true;
    assign_ready(s);
    if (complete) wake_all(s);
    pthread_mutex_unlock(&s->lock);
    if (status != WEIR_OK) {
        error_set(err, status, WEIR_ERR_FATAL,
                  "cannot keep more splits: %u are known, the limit is %u", s->count, LIMIT_SPLITS);
    }
    return status;
}

bool splits_changed(splits *s, uint32_t task) {
    pthread_mutex_lock(&s->lock);
    bool changed = s->task[task].changed;
    pthread_mutex_unlock(&s->lock);
    return changed;
}

weir_status splits_take(splits *s, uint32_t task, weir_assign *out) {
    pthread_mutex_lock(&s->lock);
    uint32_t n = s->task[task].active;
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    /* Six columns and the positions' bytes in one allocation: positions change under the lock, so
     * they are copied; ids and private bytes live as long as the table. */
    size_t bytes = (size_t)n * (3 * sizeof(char *) + 3 * sizeof(uint32_t) + WEIR_POSITION_MAX) + 1;
    char *block = malloc(bytes);
    if (block == NULL) {
        pthread_mutex_unlock(&s->lock);
        return WEIR_E_NOMEM;
    }
    const char **ids = (const char **)(void *)block;
    const char **privates = ids + n;
    const char **positions = privates + n;
    uint32_t *id_lens = (uint32_t *)(void *)(positions + n);
    uint32_t *private_lens = id_lens + n;
    uint32_t *position_lens = private_lens + n;
    char *texts = (char *)(position_lens + n);
    uint32_t at = 0;
    for (uint32_t k = 0; k < s->count && at < n; k++) {
        const split_entry *e = s->entries[k];
        if (e->state != SPLIT_ASSIGNED || e->task != task) continue;
        ids[at] = e->id.ptr;
        id_lens[at] = (uint32_t)e->id.len;
        privates[at] = e->private_bytes.ptr;
        private_lens[at] = (uint32_t)e->private_bytes.len;
        memcpy(texts, e->position, e->position_len);
        positions[at] = texts;
        position_lens[at] = e->position_len;
        texts += e->position_len;
        at++;
    }
    s->task[task].changed = false;
    pthread_mutex_unlock(&s->lock);
    out->count = at;
    out->id_ptr = ids;
    out->id_len = id_lens;
    out->private_ptr = privates;
    out->private_len = private_lens;
    out->position_ptr = positions;
    out->position_len = position_lens;
    return WEIR_OK;
}

void splits_assignment_free(weir_assign *a) {
    free((void *)(uintptr_t)a->id_ptr); /* the block begins with this column */
}

void splits_position(splits *s, weir_str id, weir_str position, int64_t lag_ms, uint64_t records) {
    pthread_mutex_lock(&s->lock);
    split_entry *e = map_get(s->by_id, id);
    if (e != NULL) {
        if (position.len > 0 && position.len <= WEIR_POSITION_MAX) {
            memcpy(e->position, position.ptr, position.len);
            e->position_len = (uint8_t)position.len;
        }
        if (lag_ms >= 0) e->lag_ms = lag_ms;
        e->records += records;
    }
    pthread_mutex_unlock(&s->lock);
}

static void finish_entry(splits *s, split_entry *e) {
    if (e->state == SPLIT_FINISHED) return;
    if (e->state == SPLIT_ASSIGNED) s->task[e->task].active--;
    e->state = SPLIT_FINISHED;
    e->lag_ms = -1;
    s->finished++;
}

weir_status splits_finished(splits *s, weir_str id, const weir_split *const *children,
                            uint32_t child_count, weir_error *err) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->lock);
    split_entry *e = map_get(s->by_id, id);
    if (e == NULL) {
        status = error_set(err, WEIR_E_INVALID_STATE, WEIR_ERR_FATAL,
                           "the source finished split %.*s, which it was never given", STR_FMT(id));
    } else {
        finish_entry(s, e);
        uint32_t added = 0;
        for (uint32_t c = 0; c < child_count && status == WEIR_OK; c++) {
            status = split_check(children[c]);
            if (status == WEIR_OK) status = add_entry(s, children[c], e->task, &added);
        }
        if (status != WEIR_OK) {
            error_set(err, status, WEIR_ERR_FATAL, "cannot take the children of split %.*s",
                      STR_FMT(id));
        }
        assign_ready(s);
        if (s->finished == s->count) wake_all(s);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

split_end *splits_end(splits *s, weir_str id) {
    pthread_mutex_lock(&s->lock);
    split_entry *e = map_get(s->by_id, id);
    if (e != NULL) split_end_retain(&e->end);
    pthread_mutex_unlock(&s->lock);
    return e != NULL ? &e->end : NULL;
}

void split_end_retain(split_end *e) {
    atomic_fetch_add(&e->holders, 1);
}

void split_end_release(split_end *e) {
    if (atomic_fetch_sub(&e->holders, 1) > 1) return;
    pthread_mutex_lock(&e->table->lock);
    assign_ready(e->table);
    pthread_mutex_unlock(&e->table->lock);
}

void splits_task_ended(splits *s, uint32_t task) {
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; k < s->count; k++) {
        split_entry *e = s->entries[k];
        if (e->state == SPLIT_ASSIGNED && e->task == task && !s->task[task].changed) {
            finish_entry(s, e);
        }
    }
    assign_ready(s);
    if (s->finished == s->count) wake_all(s);
    pthread_mutex_unlock(&s->lock);
}

bool splits_all_done(splits *s) {
    pthread_mutex_lock(&s->lock);
    bool done = s->complete && s->finished == s->count;
    pthread_mutex_unlock(&s->lock);
    return done;
}

/* ---- checkpoints ---- */

weir_status splits_restore(splits *s, const state_node *saved, weir_error *err) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; k < saved->split_count && status == WEIR_OK; k++) {
        const state_split *from = &saved->splits[k];
        arena *memory = arena_new(SIZE_MAX);
        const char **ptrs = arena_array(memory, from->parent_count + 1u, sizeof *ptrs);
        uint32_t *lens = arena_array(memory, from->parent_count + 1u, sizeof *lens);
        if (ptrs == NULL || lens == NULL) {
            arena_free(memory);
            status = WEIR_E_NOMEM;
            break;
        }
        for (uint32_t p = 0; p < from->parent_count; p++) {
            ptrs[p] = from->parents[p].ptr;
            lens[p] = (uint32_t)from->parents[p].len;
        }
        weir_split split = {.struct_size = sizeof split,
                            .id = from->id,
                            .private_bytes = from->private_bytes,
                            .position = from->position,
                            .parent_ptr = ptrs,
                            .parent_len = lens,
                            .parent_count = from->parent_count};
        uint32_t added = 0;
        status = split_check(&split);
        if (status == WEIR_OK) status = add_entry(s, &split, FOUND_BY_CONTROL, &added);
        if (status == WEIR_OK && from->state == STATE_FINISHED) {
            finish_entry(s, map_get(s->by_id, from->id));
        }
        arena_free(memory);
    }
    pthread_mutex_unlock(&s->lock);
    if (status != WEIR_OK) error_set(err, status, 0, "cannot put back the splits of a checkpoint");
    return status;
}

bool splits_missing(splits *s, const weir_split_list *list, bool give_up, weir_str *id,
                    weir_str *position) {
    bool missing = false;
    map *listed = map_new();
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; listed != NULL && k < list->count; k++) {
        map_put(listed, list->items[k]->id, list->items[k]);
    }
    for (uint32_t k = 0; listed != NULL && k < s->count; k++) {
        split_entry *e = s->entries[k];
        if (e->state == SPLIT_FINISHED || map_get(listed, e->id) != NULL) continue;
        *id = e->id;
        *position = str_make((const char *)e->position, e->position_len);
        missing = true;
        if (!give_up) break;
        finish_entry(s, e);
    }
    pthread_mutex_unlock(&s->lock);
    map_free(listed);
    return missing;
}

static weir_status capture_entry(const split_entry *e, state_part *part) {
    static const state_split_state states[] = {STATE_WAITING, STATE_ASSIGNED, STATE_FINISHED};
    const state_split split = {.id = e->id,
                               .private_bytes = e->private_bytes,
                               .position = str_make((const char *)e->position, e->position_len),
                               .parents = e->parents,
                               .parent_count = e->parent_count,
                               .state = states[e->state]};
    return part_add_split(part, &split);
}

weir_status splits_capture(splits *s, uint64_t epoch, state_part *part) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->lock);
    s->frozen = MUTATED(capture_late) ? 0 : epoch;
    s->passed = 0;
    for (uint32_t k = 0; k < s->count && status == WEIR_OK; k++) {
        status = capture_entry(s->entries[k], part);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

void splits_release(splits *s, uint64_t epoch) {
    pthread_mutex_lock(&s->lock);
    if (epoch == s->frozen) {
        s->frozen = 0;
        assign_ready(s);
    }
    pthread_mutex_unlock(&s->lock);
}

weir_status splits_barrier(splits *s, uint32_t task, uint64_t epoch, state_part *part) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; k < s->count && status == WEIR_OK; k++) {
        const split_entry *e = s->entries[k];
        bool mine = e->state == SPLIT_WAITING ? e->found_by == task : e->task == task;
        if (mine) status = capture_entry(e, part);
    }
    if (epoch == s->frozen && ++s->passed == s->tasks) {
        s->frozen = 0;
        assign_ready(s);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

void splits_summarize(splits *s, splits_summary *out) {
    *out = (splits_summary){.lag_ms = -1};
    pthread_mutex_lock(&s->lock);
    out->known = s->count;
    out->finished = s->finished;
    for (uint32_t k = 0; k < s->count; k++) {
        const split_entry *e = s->entries[k];
        if (e->state == SPLIT_ASSIGNED) {
            out->assigned++;
            if (e->lag_ms > out->lag_ms) out->lag_ms = e->lag_ms;
        } else if (e->state == SPLIT_WAITING) {
            out->waiting++;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void splits_each(splits *s,
                 void (*each)(void *opaque, weir_str id, const char *state, weir_str position,
                              int64_t lag_ms, uint64_t records),
                 void *opaque) {
    static const char *const names[] = {"waiting", "assigned", "finished"};
    pthread_mutex_lock(&s->lock);
    for (uint32_t k = 0; k < s->count; k++) {
        const split_entry *e = s->entries[k];
        each(opaque, e->id, names[e->state], str_make((const char *)e->position, e->position_len),
             e->lag_ms, e->records);
    }
    pthread_mutex_unlock(&s->lock);
}
