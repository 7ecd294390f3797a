#include "vsink.h"

#include <stdio.h>

static const vsink_ops *ops_of(const world *w, uint32_t node) {
    switch (sink_kind_of(w, node)) {
    case SINK_FILE:
        return &vsink_file;
    case SINK_S3:
        return &vsink_s3;
    case SINK_KAFKA:
        return &vsink_kafka;
    default:
        return NULL;
    }
}

const char *node_name(uint32_t node) {
    static const char *const names[NODES] = {"source0", "source1", "stateless", "keyed",
                                             "sink_a",  "sink_b",  "dead"};
    return names[node];
}

sink_kind sink_kind_of(const world *w, uint32_t node) {
    switch (node) {
    case NODE_SINK_A:
        return (sink_kind)w->config.sink_a;
    case NODE_SINK_B:
        return (sink_kind)w->config.sink_b;
    case NODE_DEAD:
        return w->config.sink_a == SINK_PLAIN || w->config.sink_b == SINK_PLAIN ? SINK_FILE
                                                                                : SINK_NONE;
    default:
        return SINK_NONE;
    }
}

vsink *vsink_open_writer(const vsink_open *open) {
    const vsink_ops *ops = ops_of(open->w, open->node);
    if (ops == NULL) return NULL;
    vsink *s = ops->open(open);
    s->ops = ops;
    s->w = open->w;
    s->node = open->node;
    s->task = open->task;
    s->parallelism = open->parallelism;
    s->epoch = open->epoch;
    (void)snprintf(s->instance_id, sizeof s->instance_id, "%s", open->instance_id);
    return s;
}

void vsink_free(vsink *s) {
    if (s != NULL) s->ops->free(s);
}

took vsink_write(vsink *s, const written *r) {
    return s->ops->write(s, r);
}

weir_status vsink_flush(vsink *s, uint64_t epoch, bool last) {
    return s->ops->flush(s, epoch, last);
}

weir_status vsink_prepare(vsink *s, uint64_t epoch, sink_epochs *epochs, state_part *part) {
    return s->ops->prepare(s, epoch, epochs, part);
}

void vsink_durable(vsink *s, uint64_t epoch) {
    if (s->ops->durable != NULL) s->ops->durable(s, epoch);
}

void vsink_decided(vsink *s, const state_committable *c) {
    if (s->ops->decided != NULL) s->ops->decided(s, c);
}

void vsink_commit(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                  uint32_t *verdicts) {
    ops_of(w, node)->commit(w, node, items, count, verdicts);
}

void vsink_abort(world *w, uint32_t node, const state_committable *item) {
    ops_of(w, node)->abort(w, node, item);
}

void vsink_lost(world *w, uint32_t node, const state_committable *item) {
    trace(w, "%s: a piece of epoch %llu is lost", node_name(node), (unsigned long long)item->epoch);
    w->lost++;
    if (sink_kind_of(w, node) == SINK_S3 && w->config.lifecycle > 0) {
        s3_told(w, node, item);
        return;
    }
    violate(w, "lost: what %s prepared in epoch %llu can no longer be committed", node_name(node),
            (unsigned long long)item->epoch);
}

void vsink_open_committer(world *w, uint32_t node, const state_node *saved) {
    if (!mutated("open_initialises_ids") || sink_kind_of(w, node) != SINK_KAFKA) return;
    kafka_open_committer(w, node, saved != NULL ? saved->parallelism : 1);
}

weir_status vsink_recover(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                          const state_blob *const *kept, uint32_t count) {
    return ops_of(w, node)->recover(w, node, parallelism, instance_id, kept, count);
}

void vsink_visible(world *w, uint32_t sink, vsink_each each, void *opaque) {
    uint32_t node = NODE_SINK_A + sink;
    const vsink_ops *ops = ops_of(w, node);
    if (ops != NULL) ops->visible(w, node, each, opaque);
}

uint32_t vsink_orphans(world *w, char *first, size_t size) {
    return file_orphans(w, first, size) + s3_orphans(w, first, size) +
           kafka_orphans(w, first, size);
}

void vsink_foreign(world *w) {
    file_foreign(w);
    s3_foreign(w);
}

bool vsink_foreign_intact(world *w) {
    return file_foreign_intact(w) && s3_foreign_intact(w);
}

void vsink_outside(world *w) {
    s3_outside(w);
    kafka_outside(w);
}
