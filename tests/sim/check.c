/*
 * What must hold whenever a run ends with exit status 0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "vsink.h"

/* Visible records of one sink, along one line of runs. */
typedef struct tally {
    world *w;
    line at;
    uint32_t node;
    uint32_t times[2][RECORDS_MAX]; /* by feeder (dead letters; else the first) */
    bool ordered;
    struct seen {
        written r;
        uint32_t place;
    } * seen;
    uint32_t count, cap;
} tally;

static void count_record(void *opaque, uint32_t node, const written *r, uint32_t place) {
    tally *t = opaque;
    world *w = t->w;
    (void)node;
    if (!line_covers(w, t->at, r)) {
        if (!world_excused(w, r))
            violate(w, "twice: %s shows record %u of a future that was never restored",
                    node_name(t->node), r->record);
        return;
    }
    uint32_t feeder = t->node == NODE_DEAD && r->feeder == NODE_SINK_B ? 1 : 0;
    t->times[feeder][r->record]++;
    if (t->count == t->cap) {
        t->cap = t->cap > 0 ? t->cap * 2 : 256;
        t->seen = realloc(t->seen, t->cap * sizeof *t->seen);
        WEIR_ASSERT(t->seen != NULL);
    }
    t->seen[t->count].r = *r;
    t->seen[t->count++].place = place;
}

/* As they stand in one file, object or partition, and as they were written. */
static void check_order(tally *t) {
    world *w = t->w;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct seen *a = &t->seen[i];
        const truth_record *x = &w->records[a->r.record];
        for (uint32_t k = i + 1; k < t->count; k++) {
            const struct seen *b = &t->seen[k];
            const truth_record *y = &w->records[b->r.record];
            if (x->lane != y->lane || a->r.record == b->r.record) continue;
            bool same_place = a->place == b->place;
            bool wrong = (same_place && x->order > y->order) ||
                         ((a->r.serial < b->r.serial) != (x->order < y->order));
            if (!wrong) continue;
            violate(
                w,
                "order: %s shows records %u and %u of lane %u (places %u, %u) the wrong way round",
                node_name(t->node), a->r.record, b->r.record, x->lane, a->place, b->place);
            return;
        }
    }
}

static bool rejected(const world *w, uint32_t record) {
    return (w->records[record].split + record) % 4 == 3;
}

/* Each record in front of `upto` (a position a split) exactly once, and no other. */
static void check_sink(world *w, uint32_t node, line at, const uint32_t upto[SPLITS_MAX]) {
    sink_kind kind = sink_kind_of(w, node);
    if (kind == SINK_NONE) return;
    const uint32_t *delivered = w->delivered[SINK_OF(node)];
    if (kind == SINK_PLAIN) {
        for (uint32_t i = 0; i < w->record_count; i++) {
            const truth_split *s = &w->splits[w->records[i].split];
            if (i - s->first >= upto[w->records[i].split] || rejected(w, i)) continue;
            if (delivered[i] == 0)
                violate(w, "loss: %s was never given record %u", node_name(node), i);
        }
        return;
    }
    tally *t = calloc(1, sizeof *t);
    WEIR_ASSERT(t != NULL);
    t->w = w;
    t->at = at;
    t->node = node;
    vsink_visible(w, SINK_OF(node), count_record, t);
    for (uint32_t feeder = 0; feeder < 2; feeder++) {
        bool fed = node == NODE_DEAD ? sink_kind_of(w, NODE_SINK_A + feeder) == SINK_PLAIN &&
                                           !(feeder == 1 && w->left)
                                     : feeder == 0;
        for (uint32_t i = 0; i < w->record_count; i++) {
            const truth_split *s = &w->splits[w->records[i].split];
            bool expected = fed && i - s->first < upto[w->records[i].split] &&
                            (node != NODE_DEAD || rejected(w, i));
            uint32_t times = t->times[feeder][i];
            if (w->told[SINK_OF(node)][i] && times == 0) continue;
            if (times < expected)
                violate(w, "loss: %s does not show record %u (split %u)", node_name(node), i,
                        w->records[i].split);
            if (times > expected)
                violate(w, "twice: %s shows record %u %u times, not %u", node_name(node), i, times,
                        expected);
        }
    }
    if (node != NODE_DEAD) check_order(t);
    free(t->seen);
    free(t);
}

/* ---- the newest checkpoint, as the disk has it ---- */

static void positions_of(const world *w, const checkpoint *c, uint32_t upto[SPLITS_MAX]) {
    memset(upto, 0, SPLITS_MAX * sizeof upto[0]);
    for (uint32_t n = 0; n < c->node_count; n++) {
        for (uint32_t k = 0; k < c->nodes[n].split_count; k++) {
            const state_split *s = &c->nodes[n].splits[k];
            for (uint32_t i = 0; i < w->split_count; i++) {
                if (!str_eq(s->id, str_of(w->splits[i].id))) continue;
                if (s->position.len == sizeof upto[i])
                    memcpy(&upto[i], s->position.ptr, sizeof upto[i]);
            }
        }
    }
}

typedef struct newest {
    char name[64];
    checkpoint *c;
} newest;

static void look_at(void *opaque, const char *name, const uint8_t *bytes, size_t len) {
    newest *n = opaque;
    if (strcmp(name, n->name) <= 0 || !str_ends(str_of(name), STR(".weir"))) return;
    (void)snprintf(n->name, sizeof n->name, "%s", name);
    checkpoint_free(n->c);
    n->c = checkpoint_decode((weir_str){(const char *)bytes, len}, NULL);
}

void check_left(world *w, const checkpoint *from) {
    if (from == NULL || checkpoint_node(from, STR("sink_b")) == NULL) return;
    uint32_t upto[SPLITS_MAX];
    positions_of(w, from, upto);
    check_sink(w, NODE_SINK_B, w->live, upto);
}

static bool line_passes(const world *w, line at, line through) {
    while (at.set && at.run >= 0) {
        if (at.run == through.run && at.barrier == through.barrier) return true;
        at = w->parents[at.run];
    }
    return through.run < 0;
}

void check_exit(world *w, bool end, bool after_power) {
    newest n = {.name = ""};
    vdisk_each(w->disk, "/state/checkpoints", look_at, &n);
    if (n.c == NULL || n.c->kind != CHECKPOINT_FINAL) {
        violate(w, "exit: status 0 without a final checkpoint on the disk");
        checkpoint_free(n.c);
        return;
    }
    if (checkpoint_committables(n.c) > 0)
        violate(w, "exit: the final checkpoint still lists what is not committed");
    uint32_t upto[SPLITS_MAX];
    positions_of(w, n.c, upto);
    line at = w->lines[n.c->epoch];
    for (uint32_t i = 0; end && i < w->split_count; i++)
        if (upto[i] != w->splits[i].count)
            violate(w, "loss: the final checkpoint is at %u of %u in split %u", upto[i],
                    w->splits[i].count, i);
    for (uint32_t node = NODE_SINK_A; node <= NODE_DEAD; node++)
        if (!(node == NODE_SINK_B && w->left)) check_sink(w, node, at, upto);
    char first[128] = "";
    /* A removal may be undone by a power failure; the next restore does it again. */
    uint32_t orphans = after_power ? 0 : vsink_orphans(w, first, sizeof first);
    if (orphans > 0) violate(w, "orphan: %u left, the first is %s", orphans, first);
    if (!vsink_foreign_intact(w)) violate(w, "foreign: something of another pipeline was aborted");
    if (w->wanted.set && !line_passes(w, at, w->wanted))
        violate(w, "line: the savepoint that --from named is not where this run came from");
    checkpoint_free(n.c);
}
