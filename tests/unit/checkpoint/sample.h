/*
 * A checkpoint with something of everything, and what it takes to compare two of them.
 */
#ifndef TESTS_CHECKPOINT_SAMPLE_H
#define TESTS_CHECKPOINT_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "checkpoint/state.h"

#define SAMPLE_NODES 3u

static inline weir_status sample_part(state_part *p) {
    static const weir_str parents[] = {{"shard-0", 7}, {"shard-1", 7}};
    const state_split splits[] = {
        {.id = STR("shard-0"),
         .position = STR("\x03"
                         "123\0\0\0\7"),
         .state = STATE_FINISHED},
        {.id = STR("shard-1"), .private_bytes = STR("{\"a\":1}"), .state = STATE_ASSIGNED},
        {.id = STR("shard-2"), .parents = parents, .parent_count = 2, .state = STATE_WAITING}};
    const state_blob blobs[] = {
        {.scope = WEIR_SCOPE_SPLIT, .version = 3, .split = STR("shard-1"), .bytes = STR("a\0b")},
        {.scope = WEIR_SCOPE_ITEM, .version = 3, .instance = 1, .bytes = STR("unfinished")},
        {.scope = WEIR_SCOPE_BROADCAST, .version = 3, .bytes = STR("")}};
    weir_status status = WEIR_OK;
    for (unsigned i = 0; i < 3 && status == WEIR_OK; i++) status = part_add_split(p, &splits[i]);
    for (unsigned i = 0; i < 3 && status == WEIR_OK; i++) status = part_add_blob(p, &blobs[i]);
    return status;
}

static inline weir_status sample_prepared(state_part *p, uint64_t epoch) {
    weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < 2 && status == WEIR_OK; i++) {
        const state_committable c = {.epoch = epoch - i,
                                     .version = 2,
                                     .instance = i,
                                     .records = 1000 + i,
                                     .bytes = STR(".part-0-7.pending")};
        status = part_add_committable(p, &c);
    }
    return status;
}

/* NULL without memory. */
static inline checkpoint *sample_checkpoint(checkpoint_kind kind, uint64_t epoch) {
    state_node nodes[SAMPLE_NODES] = {{.name = STR("clicks"),
                                       .type = STR("kinesis"),
                                       .plugin_id = STR("org.example.kinesis"),
                                       .plugin_version = STR("1.2.3"),
                                       .kind = WEIR_KIND_SOURCE,
                                       .parallelism = 2,
                                       .split_version = 1},
                                      {.name = STR("enrich"),
                                       .type = STR("where"),
                                       .plugin_id = STR("org.example.transform"),
                                       .plugin_version = STR("0.1.0"),
                                       .kind = WEIR_KIND_TRANSFORM,
                                       .parallelism = 4},
                                      {.name = STR("lake"),
                                       .type = STR("file"),
                                       .plugin_id = STR("org.example.std"),
                                       .plugin_version = STR("0.1.0"),
                                       .kind = WEIR_KIND_SINK,
                                       .parallelism = 2}};
    const checkpoint like = {.parent = 3,
                             .name = STR("before-upgrade"),
                             .pipeline = STR("clickstream"),
                             .instance_id = STR("0123456789abcdef"),
                             .weir_version = STR("0.1.0"),
                             .created_us = 1790000000000000 + (int64_t)epoch * 1000000,
                             .max_parallelism = 128,
                             .nodes = nodes,
                             .node_count = SAMPLE_NODES};
    checkpoint *c = checkpoint_like(&like, kind, epoch);
    state_part *source = part_new(0), *sink = part_new(2);
    weir_status status = c != NULL && source != NULL && sink != NULL ? WEIR_OK : WEIR_E_NOMEM;
    if (status == WEIR_OK) status = sample_part(source);
    if (status == WEIR_OK && kind == CHECKPOINT_PERIODIC) status = sample_prepared(sink, epoch);
    if (status == WEIR_OK) status = checkpoint_merge(c, (state_part *[]){source, sink}, 2);
    part_free(source);
    part_free(sink);
    if (status == WEIR_OK) return c;
    checkpoint_free(c);
    return NULL;
}

#define SAME_STR(a, b) assert_true(str_eq((a), (b)))

static inline void same_node(const state_node *a, const state_node *b) {
    SAME_STR(a->name, b->name);
    SAME_STR(a->type, b->type);
    SAME_STR(a->plugin_id, b->plugin_id);
    SAME_STR(a->plugin_version, b->plugin_version);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->parallelism, b->parallelism);
    assert_int_equal(a->split_version, b->split_version);
    assert_int_equal(a->split_count, b->split_count);
    assert_int_equal(a->blob_count, b->blob_count);
    assert_int_equal(a->committable_count, b->committable_count);
    for (uint32_t i = 0; i < a->split_count; i++) {
        const state_split *x = &a->splits[i], *y = &b->splits[i];
        SAME_STR(x->id, y->id);
        SAME_STR(x->private_bytes, y->private_bytes);
        SAME_STR(x->position, y->position);
        assert_int_equal(x->state, y->state);
        assert_int_equal(x->parent_count, y->parent_count);
        for (uint32_t p = 0; p < x->parent_count; p++) SAME_STR(x->parents[p], y->parents[p]);
    }
    for (uint32_t i = 0; i < a->blob_count; i++) {
        const state_blob *x = &a->blobs[i], *y = &b->blobs[i];
        assert_int_equal(x->scope, y->scope);
        assert_int_equal(x->version, y->version);
        assert_int_equal(x->instance, y->instance);
        SAME_STR(x->split, y->split);
        SAME_STR(x->bytes, y->bytes);
    }
    for (uint32_t i = 0; i < a->committable_count; i++) {
        const state_committable *x = &a->committables[i], *y = &b->committables[i];
        assert_true(x->epoch == y->epoch && x->records == y->records);
        assert_int_equal(x->version, y->version);
        assert_int_equal(x->instance, y->instance);
        SAME_STR(x->bytes, y->bytes);
    }
}

static inline void same_checkpoint(const checkpoint *a, const checkpoint *b) {
    assert_int_equal(a->kind, b->kind);
    assert_true(a->epoch == b->epoch && a->parent == b->parent);
    assert_true(a->created_us == b->created_us);
    assert_int_equal(a->max_parallelism, b->max_parallelism);
    SAME_STR(a->name, b->name);
    SAME_STR(a->pipeline, b->pipeline);
    SAME_STR(a->instance_id, b->instance_id);
    SAME_STR(a->weir_version, b->weir_version);
    assert_int_equal(a->node_count, b->node_count);
    for (uint32_t n = 0; n < a->node_count; n++) same_node(&a->nodes[n], &b->nodes[n]);
}

#endif
