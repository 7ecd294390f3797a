#include "checkpoint/state.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "weir/batch.h"

/* Splits while a node's are brought together: a hash table of positions in `items`, which keeps
 * their order. */
typedef struct split_set {
    const state_split **items;
    uint32_t count;
    uint32_t *table; /* position in items + 1; 0 = free */
    uint32_t mask;
} split_set;

static void *grow(arena *a, void *items, uint32_t count, uint32_t *cap, size_t size);
static bool copy_split(arena *a, state_split *to, const state_split *from);
static bool copy_blob(arena *a, state_blob *to, const state_blob *from);
static bool copy_committable(arena *a, state_committable *to, const state_committable *from);
static weir_status merge_node(arena *a, state_node *node, uint32_t index, state_part *const *parts,
                              uint32_t count);

/* ---- parts ---- */

state_part *part_new(uint32_t node) {
    arena *memory = arena_new(CHECKPOINT_BYTES_MAX);
    state_part *p = memory != NULL ? arena_zalloc(memory, sizeof *p) : NULL;
    if (p == NULL) {
        arena_free(memory);
        return NULL;
    }
    p->memory = memory;
    p->node = node;
    return p;
}

void part_free(state_part *p) {
    while (p != NULL) {
        state_part *next = p->next;
        arena_free(p->memory);
        p = next;
    }
}

weir_status part_add_split(state_part *p, const state_split *s) {
    if (p->split_count >= LIMIT_SPLITS || s->id.len > LIMIT_SPLIT_ID_BYTES ||
        s->private_bytes.len > LIMIT_SPLIT_PRIVATE_BYTES || s->position.len > WEIR_POSITION_MAX ||
        s->parent_count > LIMIT_SPLIT_PARENTS)
        return WEIR_E_TOO_LARGE;
    for (uint32_t i = 0; i < s->parent_count; i++)
        if (s->parents[i].len > LIMIT_SPLIT_ID_BYTES) return WEIR_E_TOO_LARGE;
    state_split *to = grow(p->memory, p->splits, p->split_count, &p->split_cap, sizeof *to);
    if (to == NULL) return WEIR_E_NOMEM;
    p->splits = to;
    if (!copy_split(p->memory, &to[p->split_count], s)) return WEIR_E_NOMEM;
    p->split_count++;
    return WEIR_OK;
}

weir_status part_add_blob(state_part *p, const state_blob *b) {
    if (p->blob_count >= LIMIT_STATE_BLOBS || b->bytes.len > LIMIT_STATE_BLOB_BYTES ||
        b->split.len > LIMIT_SPLIT_ID_BYTES)
        return WEIR_E_TOO_LARGE;
    state_blob *to = grow(p->memory, p->blobs, p->blob_count, &p->blob_cap, sizeof *to);
    if (to == NULL) return WEIR_E_NOMEM;
    p->blobs = to;
    if (!copy_blob(p->memory, &to[p->blob_count], b)) return WEIR_E_NOMEM;
    p->blob_count++;
    return WEIR_OK;
}

weir_status part_add_committable(state_part *p, const state_committable *c) {
    if (p->committable_count >= LIMIT_COMMITTABLES || c->bytes.len > LIMIT_COMMITTABLE_BYTES)
        return WEIR_E_TOO_LARGE;
    state_committable *to =
        grow(p->memory, p->committables, p->committable_count, &p->committable_cap, sizeof *to);
    if (to == NULL) return WEIR_E_NOMEM;
    p->committables = to;
    if (!copy_committable(p->memory, &to[p->committable_count], c)) return WEIR_E_NOMEM;
    p->committable_count++;
    return WEIR_OK;
}

/* ---- checkpoints ---- */

checkpoint *checkpoint_new(checkpoint_kind kind, uint64_t epoch) {
    /* What a file of the largest size takes when it is taken apart fits. */
    arena *memory = arena_new(CHECKPOINT_BYTES_MAX * 4);
    checkpoint *c = memory != NULL ? arena_zalloc(memory, sizeof *c) : NULL;
    if (c == NULL) {
        arena_free(memory);
        return NULL;
    }
    c->memory = memory;
    c->kind = kind;
    c->epoch = epoch;
    c->name = c->pipeline = c->instance_id = c->weir_version = c->path = STR("");
    return c;
}

void checkpoint_free(checkpoint *c) {
    if (c != NULL) arena_free(c->memory);
}

checkpoint *checkpoint_like(const checkpoint *like, checkpoint_kind kind, uint64_t epoch) {
    checkpoint *c = checkpoint_new(kind, epoch);
    if (c == NULL) return NULL;
    arena *a = c->memory;
    c->parent = like->parent;
    c->created_us = like->created_us;
    c->max_parallelism = like->max_parallelism;
    c->pipeline = arena_str(a, like->pipeline);
    c->instance_id = arena_str(a, like->instance_id);
    c->weir_version = arena_str(a, like->weir_version);
    bool named = kind == CHECKPOINT_SAVEPOINT || kind == CHECKPOINT_FINAL;
    c->name = arena_str(a, named ? like->name : STR(""));
    c->nodes = arena_array(a, like->node_count, sizeof *c->nodes);
    bool ok = c->pipeline.ptr != NULL && c->instance_id.ptr != NULL &&
              c->weir_version.ptr != NULL && c->name.ptr != NULL && c->nodes != NULL;
    for (uint32_t i = 0; i < like->node_count && ok; i++) {
        const state_node *from = &like->nodes[i];
        state_node *to = &c->nodes[i];
        *to = (state_node){.name = arena_str(a, from->name),
                           .type = arena_str(a, from->type),
                           .plugin_id = arena_str(a, from->plugin_id),
                           .plugin_version = arena_str(a, from->plugin_version),
                           .kind = from->kind,
                           .parallelism = from->parallelism,
                           .split_version = from->split_version};
        ok = to->name.ptr != NULL && to->type.ptr != NULL && to->plugin_id.ptr != NULL &&
             to->plugin_version.ptr != NULL;
    }
    if (!ok) {
        checkpoint_free(c);
        return NULL;
    }
    c->node_count = like->node_count;
    return c;
}

weir_status checkpoint_merge(checkpoint *c, state_part *const *parts, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        for (const state_part *p = parts[i]; p != NULL; p = p->next)
            if (p->node >= c->node_count) return WEIR_E_INVALID_ARG;
    /* The nodes are replaced at the end and at once. */
    state_node *nodes = mem_array(c->node_count, sizeof *nodes);
    if (nodes == NULL) return WEIR_E_NOMEM;
    weir_status status = WEIR_OK;
    for (uint32_t n = 0; n < c->node_count && status == WEIR_OK; n++) {
        nodes[n] = c->nodes[n];
        status = merge_node(c->memory, &nodes[n], n, parts, count);
    }
    if (status == WEIR_OK && c->node_count > 0)
        memcpy(c->nodes, nodes, c->node_count * sizeof *nodes);
    mem_free(nodes);
    return status;
}

checkpoint *checkpoint_copy(const checkpoint *from, checkpoint_kind kind, uint64_t epoch,
                            bool committables) {
    checkpoint *c = checkpoint_like(from, kind, epoch);
    if (c == NULL) return NULL;
    bool ok = true;
    for (uint32_t n = 0; n < from->node_count && ok; n++) {
        const state_node *f = &from->nodes[n];
        state_node *t = &c->nodes[n];
        uint32_t prepared = committables ? f->committable_count : 0;
        t->splits = arena_array(c->memory, f->split_count, sizeof *t->splits);
        t->blobs = arena_array(c->memory, f->blob_count, sizeof *t->blobs);
        t->committables = arena_array(c->memory, prepared, sizeof *t->committables);
        ok = t->splits != NULL && t->blobs != NULL && t->committables != NULL;
        for (uint32_t i = 0; i < f->split_count && ok; i++)
            ok = copy_split(c->memory, &t->splits[i], &f->splits[i]);
        for (uint32_t i = 0; i < f->blob_count && ok; i++)
            ok = copy_blob(c->memory, &t->blobs[i], &f->blobs[i]);
        for (uint32_t i = 0; i < prepared && ok; i++)
            ok = copy_committable(c->memory, &t->committables[i], &f->committables[i]);
        t->split_count = f->split_count;
        t->blob_count = f->blob_count;
        t->committable_count = prepared;
    }
    if (ok) return c;
    checkpoint_free(c);
    return NULL;
}

const state_node *checkpoint_node(const checkpoint *c, weir_str name) {
    for (uint32_t i = 0; i < c->node_count; i++)
        if (str_eq(c->nodes[i].name, name)) return &c->nodes[i];
    return NULL;
}

uint64_t checkpoint_committables(const checkpoint *c) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->node_count; i++) sum += c->nodes[i].committable_count;
    return sum;
}

/* ---- copies ---- */

/* `items` with room for one more, or NULL without memory. The array that was outgrown stays in the
 * arena: all of them together are no larger than the last. */
static void *grow(arena *a, void *items, uint32_t count, uint32_t *cap, size_t size) {
    if (count < *cap) return items;
    uint32_t room = *cap > 0 ? *cap * 2 : 8;
    void *larger = arena_array(a, room, size);
    if (larger == NULL) return NULL;
    if (count > 0) memcpy(larger, items, count * size);
    *cap = room;
    return larger;
}

static weir_str put(char **at, weir_str s) {
    char *to = *at;
    if (s.len > 0) memcpy(to, s.ptr, s.len);
    *at += s.len;
    return str_make(to, s.len);
}

/* One allocation a split: the parents' table, and behind it all the bytes. */
static bool copy_split(arena *a, state_split *to, const state_split *from) {
    size_t table = from->parent_count * sizeof(weir_str);
    size_t bytes = from->id.len + from->private_bytes.len + from->position.len;
    for (uint32_t i = 0; i < from->parent_count; i++) bytes += from->parents[i].len;
    char *memory = arena_alloc(a, table + bytes + 1);
    if (memory == NULL) return false;
    weir_str *parents = (weir_str *)(void *)memory;
    char *at = memory + table;
    *to = (state_split){.id = put(&at, from->id),
                        .parents = from->parent_count > 0 ? parents : NULL,
                        .parent_count = from->parent_count,
                        .state = from->state};
    to->private_bytes = put(&at, from->private_bytes);
    to->position = put(&at, from->position);
    for (uint32_t i = 0; i < from->parent_count; i++) parents[i] = put(&at, from->parents[i]);
    return true;
}

static bool copy_blob(arena *a, state_blob *to, const state_blob *from) {
    *to = *from;
    to->split = arena_str(a, from->split);
    to->bytes = arena_str(a, from->bytes);
    return to->split.ptr != NULL && to->bytes.ptr != NULL;
}

static bool copy_committable(arena *a, state_committable *to, const state_committable *from) {
    *to = *from;
    to->bytes = arena_str(a, from->bytes);
    return to->bytes.ptr != NULL;
}

/* ---- merging ---- */

static bool set_init(split_set *set, uint64_t room) {
    uint32_t size = 8;
    while (size < room * 2) size *= 2;
    *set = (split_set){.items = mem_array(room, sizeof *set->items),
                       .table = mem_array(size, sizeof *set->table),
                       .mask = size - 1};
    return set->items != NULL && set->table != NULL;
}

static void set_free(split_set *set) {
    mem_free(set->items);
    mem_free(set->table);
}

static void set_put(split_set *set, const state_split *s) {
    uint32_t at = (uint32_t)map_hash(s->id) & set->mask;
    while (set->table[at] != 0) {
        const state_split **there = &set->items[set->table[at] - 1];
        if (str_eq((*there)->id, s->id)) {
            *there = s;
            return;
        }
        at = (at + 1) & set->mask;
    }
    set->items[set->count++] = s;
    set->table[at] = set->count;
}

static weir_status merge_splits(arena *a, state_node *node, uint32_t index,
                                state_part *const *parts, uint32_t count, uint64_t room) {
    split_set set;
    state_split *splits = NULL;
    weir_status status = set_init(&set, room) ? WEIR_OK : WEIR_E_NOMEM;
    if (status == WEIR_OK) {
        for (uint32_t i = 0; i < node->split_count; i++) set_put(&set, &node->splits[i]);
        for (int captured = 1; captured >= 0; captured--) {
            for (uint32_t i = 0; i < count; i++) {
                for (const state_part *p = parts[i]; p != NULL; p = p->next) {
                    if (p->node != index || p->captured != (captured == 1)) continue;
                    for (uint32_t k = 0; k < p->split_count; k++) set_put(&set, &p->splits[k]);
                }
            }
        }
        if (set.count > LIMIT_SPLITS) status = WEIR_E_TOO_LARGE;
    }
    if (status == WEIR_OK) {
        splits = arena_array(a, set.count, sizeof *splits);
        if (splits == NULL) status = WEIR_E_NOMEM;
    }
    for (uint32_t i = 0; i < set.count && status == WEIR_OK; i++)
        if (!copy_split(a, &splits[i], set.items[i])) status = WEIR_E_NOMEM;
    if (status == WEIR_OK) {
        node->splits = splits;
        node->split_count = set.count;
    }
    set_free(&set);
    return status;
}

static weir_status merge_node(arena *a, state_node *node, uint32_t index, state_part *const *parts,
                              uint32_t count) {
    uint64_t splits = node->split_count, blobs = node->blob_count;
    uint64_t committables = node->committable_count;
    for (uint32_t i = 0; i < count; i++) {
        for (const state_part *p = parts[i]; p != NULL; p = p->next) {
            if (p->node != index) continue;
            splits += p->split_count;
            blobs += p->blob_count;
            committables += p->committable_count;
        }
    }
    if (blobs > LIMIT_STATE_BLOBS || committables > LIMIT_COMMITTABLES || splits > UINT32_MAX / 4)
        return WEIR_E_TOO_LARGE;
    if (splits > node->split_count) {
        weir_status status = merge_splits(a, node, index, parts, count, splits);
        if (status != WEIR_OK) return status;
    }
    if (blobs == node->blob_count && committables == node->committable_count) return WEIR_OK;
    state_blob *b = arena_array(a, blobs, sizeof *b);
    state_committable *k = arena_array(a, committables, sizeof *k);
    if (b == NULL || k == NULL) return WEIR_E_NOMEM;
    if (node->blob_count > 0) memcpy(b, node->blobs, node->blob_count * sizeof *b);
    if (node->committable_count > 0)
        memcpy(k, node->committables, node->committable_count * sizeof *k);
    uint32_t nb = node->blob_count, nk = node->committable_count;
    for (int captured = 1; captured >= 0; captured--) {
        for (uint32_t i = 0; i < count; i++) {
            for (const state_part *p = parts[i]; p != NULL; p = p->next) {
                if (p->node != index || p->captured != (captured == 1)) continue;
                for (uint32_t j = 0; j < p->blob_count; j++)
                    if (!copy_blob(a, &b[nb++], &p->blobs[j])) return WEIR_E_NOMEM;
                for (uint32_t j = 0; j < p->committable_count; j++)
                    if (!copy_committable(a, &k[nk++], &p->committables[j])) return WEIR_E_NOMEM;
            }
        }
    }
    WEIR_ASSERT(nb == blobs && nk == committables);
    node->blobs = b;
    node->blob_count = nb;
    node->committables = k;
    node->committable_count = nk;
    return WEIR_OK;
}
