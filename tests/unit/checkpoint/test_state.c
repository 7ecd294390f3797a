/*
 * Parts, merging, copies: whose word counts, what is kept, limits, and the n-th allocation failing.
 */
#include "sample.h"

#include "base/limits.h"
#include "weir/batch.h"

static state_part *split_part(uint32_t node, bool captured, const char *id, state_split_state state,
                              const char *position) {
    state_part *p = part_new(node);
    const state_split s = {.id = str_of(id), .position = str_of(position), .state = state};
    assert_non_null(p);
    p->captured = captured;
    assert_int_equal(part_add_split(p, &s), WEIR_OK);
    return p;
}

static void parts_copy_what_they_are_given(void **unused) {
    (void)unused;
    char id[] = "shard-1", parent[] = "shard-0", bytes[] = "bytes";
    weir_str parents[] = {str_of(parent)};
    state_part *p = part_new(7);
    const state_split s = {
        .id = str_of(id), .parents = parents, .parent_count = 1, .state = STATE_WAITING};
    const state_blob b = {.scope = WEIR_SCOPE_ITEM, .bytes = str_of(bytes)};
    const state_committable c = {.epoch = 9, .bytes = str_of(bytes)};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(part_add_split(p, &s), WEIR_OK);
        assert_int_equal(part_add_blob(p, &b), WEIR_OK);
        assert_int_equal(part_add_committable(p, &c), WEIR_OK);
    }
    memset(id, 'x', sizeof id - 1);
    memset(parent, 'x', sizeof parent - 1);
    memset(bytes, 'x', sizeof bytes - 1);
    assert_int_equal(p->node, 7);
    assert_int_equal(p->split_count, 100);
    assert_int_equal(p->blob_count, 100);
    assert_int_equal(p->committable_count, 100);
    for (int i = 0; i < 100; i++) {
        SAME_STR(p->splits[i].id, STR("shard-1"));
        SAME_STR(p->splits[i].parents[0], STR("shard-0"));
        SAME_STR(p->blobs[i].bytes, STR("bytes"));
        SAME_STR(p->committables[i].bytes, STR("bytes"));
    }
    part_free(p);
    part_free(NULL);
}

static void parts_have_limits(void **unused) {
    (void)unused;
    static char many[LIMIT_COMMITTABLE_BYTES + 1];
    state_part *p = part_new(0);
    weir_str parents[LIMIT_SPLIT_PARENTS + 1] = {{NULL, 0}};
    state_split s = {.id = str_make(many, LIMIT_SPLIT_ID_BYTES),
                     .position = str_make(many, WEIR_POSITION_MAX),
                     .private_bytes = str_make(many, LIMIT_SPLIT_PRIVATE_BYTES),
                     .parents = parents,
                     .parent_count = LIMIT_SPLIT_PARENTS,
                     .state = STATE_WAITING};
    assert_int_equal(part_add_split(p, &s), WEIR_OK);
    state_split wrong = s;
    wrong.id.len++;
    assert_int_equal(part_add_split(p, &wrong), WEIR_E_TOO_LARGE);
    wrong = s;
    wrong.position.len++;
    assert_int_equal(part_add_split(p, &wrong), WEIR_E_TOO_LARGE);
    wrong = s;
    wrong.private_bytes.len++;
    assert_int_equal(part_add_split(p, &wrong), WEIR_E_TOO_LARGE);
    wrong = s;
    wrong.parent_count++;
    assert_int_equal(part_add_split(p, &wrong), WEIR_E_TOO_LARGE);
    parents[3] = str_make(many, LIMIT_SPLIT_ID_BYTES + 1);
    assert_int_equal(part_add_split(p, &s), WEIR_E_TOO_LARGE);
    state_committable c = {.bytes = str_make(many, sizeof many)};
    assert_int_equal(part_add_committable(p, &c), WEIR_E_TOO_LARGE);
    c.bytes.len--;
    assert_int_equal(part_add_committable(p, &c), WEIR_OK);
    state_blob b = {.bytes = str_make(many, LIMIT_STATE_BLOB_BYTES + 1)};
    assert_int_equal(part_add_blob(p, &b), WEIR_E_TOO_LARGE);
    b = (state_blob){.split = str_make(many, LIMIT_SPLIT_ID_BYTES + 1)};
    assert_int_equal(part_add_blob(p, &b), WEIR_E_TOO_LARGE);
    assert_int_equal(p->split_count, 1);
    assert_int_equal(p->blob_count, 0);
    assert_int_equal(p->committable_count, 1);
    part_free(p);
}

static checkpoint *two_nodes(void) {
    state_node nodes[2] = {{.name = STR("a"), .kind = WEIR_KIND_SOURCE},
                           {.name = STR("b"), .kind = WEIR_KIND_SINK}};
    const checkpoint like = {.nodes = nodes, .node_count = 2};
    return checkpoint_like(&like, CHECKPOINT_PERIODIC, 1);
}

/* The capture at the trigger is older than what a task says at its barrier, in whatever order the
 * two arrive. */
static void a_task_overrides_the_capture(void **unused) {
    (void)unused;
    for (int order = 0; order < 2; order++) {
        checkpoint *c = two_nodes();
        state_part *captured = split_part(0, true, "s1", STATE_WAITING, "");
        assert_int_equal(
            part_add_split(captured, &(state_split){.id = STR("s2"), .state = STATE_WAITING}),
            WEIR_OK);
        state_part *task = split_part(0, false, "s1", STATE_ASSIGNED, "17");
        state_part *parts[2] = {order == 0 ? captured : task, order == 0 ? task : captured};
        assert_int_equal(checkpoint_merge(c, parts, 2), WEIR_OK);
        assert_int_equal(c->nodes[0].split_count, 2);
        SAME_STR(c->nodes[0].splits[0].id, STR("s1"));
        assert_int_equal(c->nodes[0].splits[0].state, STATE_ASSIGNED);
        SAME_STR(c->nodes[0].splits[0].position, STR("17"));
        SAME_STR(c->nodes[0].splits[1].id, STR("s2"));
        part_free(captured);
        part_free(task);
        checkpoint_free(c);
    }
}

/* The last of several tasks wins; parts behind `next` go to the nodes that they name; nothing of a
 * part is needed afterwards; what was there stays. */
static void merging_adds(void **unused) {
    (void)unused;
    checkpoint *c = two_nodes();
    state_part *one = split_part(0, false, "s1", STATE_ASSIGNED, "5");
    one->next = part_new(1);
    assert_int_equal(sample_prepared(one->next, 8), WEIR_OK);
    assert_int_equal(part_add_blob(one->next, &(state_blob){.bytes = STR("x")}), WEIR_OK);
    state_part *two = split_part(0, false, "s1", STATE_FINISHED, "6");
    state_part *parts[] = {one, two};
    assert_int_equal(checkpoint_merge(c, parts, 2), WEIR_OK);
    part_free(one);
    part_free(two);
    assert_int_equal(c->nodes[0].split_count, 1);
    assert_int_equal(c->nodes[0].splits[0].state, STATE_FINISHED);
    assert_int_equal(c->nodes[1].committable_count, 2);
    assert_int_equal(c->nodes[1].blob_count, 1);
    assert_true(checkpoint_committables(c) == 2);

    state_part *three = split_part(0, false, "s3", STATE_WAITING, "");
    state_part *four = part_new(1);
    assert_int_equal(sample_prepared(four, 9), WEIR_OK);
    state_part *later[] = {three, four};
    assert_int_equal(checkpoint_merge(c, later, 2), WEIR_OK);
    part_free(three);
    part_free(four);
    assert_int_equal(c->nodes[0].split_count, 2);
    assert_int_equal(c->nodes[1].committable_count, 4);
    assert_true(c->nodes[1].committables[2].epoch == 9);
    assert_int_equal(checkpoint_merge(c, NULL, 0), WEIR_OK);
    checkpoint_free(c);
}

static void a_part_of_no_node_is_refused(void **unused) {
    (void)unused;
    checkpoint *c = two_nodes();
    state_part *good = split_part(0, false, "s1", STATE_ASSIGNED, "");
    state_part *bad = split_part(2, false, "s1", STATE_ASSIGNED, "");
    state_part *parts[] = {good, bad};
    assert_int_equal(checkpoint_merge(c, parts, 2), WEIR_E_INVALID_ARG);
    assert_int_equal(c->nodes[0].split_count, 0);
    part_free(good);
    part_free(bad);
    checkpoint_free(c);
}

static void many_splits_keep_their_order(void **unused) {
    (void)unused;
    enum { MANY = 20000 };
    checkpoint *c = two_nodes();
    state_part *captured = part_new(0), *task = part_new(0);
    captured->captured = true;
    char id[32];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "shardId-%012d", (i * 7919) % MANY);
        const state_split s = {.id = str_of(id), .state = STATE_WAITING};
        assert_int_equal(part_add_split(captured, &s), WEIR_OK);
        const state_split t = {.id = str_of(id), .state = STATE_ASSIGNED};
        if (i % 2 == 1) assert_int_equal(part_add_split(task, &t), WEIR_OK);
    }
    state_part *parts[] = {task, captured};
    assert_int_equal(checkpoint_merge(c, parts, 2), WEIR_OK);
    assert_int_equal(c->nodes[0].split_count, MANY);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "shardId-%012d", (i * 7919) % MANY);
        SAME_STR(c->nodes[0].splits[i].id, str_of(id));
        assert_int_equal(c->nodes[0].splits[i].state, i % 2 == 1 ? STATE_ASSIGNED : STATE_WAITING);
    }
    part_free(captured);
    part_free(task);
    checkpoint_free(c);
}

static void copies(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 9);
    checkpoint *same = checkpoint_copy(c, CHECKPOINT_PERIODIC, 9, true);
    same_checkpoint(c, same);
    checkpoint *restored = checkpoint_copy(c, CHECKPOINT_RESTORE, 10, false);
    assert_true(checkpoint_committables(c) == 2 && checkpoint_committables(restored) == 0);
    assert_int_equal(restored->kind, CHECKPOINT_RESTORE);
    assert_true(restored->epoch == 10 && restored->parent == c->parent);
    assert_int_equal(checkpoint_node(restored, STR("clicks"))->split_count, 3);
    assert_int_equal(checkpoint_node(restored, STR("clicks"))->blob_count, 3);
    assert_null(checkpoint_node(restored, STR("click")));
    checkpoint *like = checkpoint_like(c, CHECKPOINT_PERIODIC, 11);
    assert_int_equal(like->node_count, SAMPLE_NODES);
    assert_int_equal(like->nodes[0].split_count, 0);
    assert_int_equal(like->name.len, 0);
    checkpoint_free(c); /* the copies stand alone */
    SAME_STR(like->nodes[2].plugin_id, STR("org.example.std"));
    SAME_STR(same->nodes[0].splits[2].parents[1], STR("shard-1"));

    checkpoint *savepoint = sample_checkpoint(CHECKPOINT_SAVEPOINT, 12);
    SAME_STR(savepoint->name, STR("before-upgrade"));
    checkpoint *periodic = checkpoint_copy(savepoint, CHECKPOINT_PERIODIC, 13, true);
    assert_int_equal(periodic->name.len, 0);
    checkpoint_free(same);
    checkpoint_free(restored);
    checkpoint_free(like);
    checkpoint_free(savepoint);
    checkpoint_free(periodic);
    checkpoint_free(NULL);
}

static bool everything(void) {
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 9);
    checkpoint *copy = c != NULL ? checkpoint_copy(c, CHECKPOINT_SAVEPOINT, 9, true) : NULL;
    checkpoint_free(c);
    checkpoint_free(copy);
    return copy != NULL;
}

static void the_nth_allocation_fails(void **unused) {
    (void)unused;
    for (int64_t n = 1;; n++) {
        (void)mem_test_fail_at(n, n % 2 == 0);
        bool worked = everything();
        bool failed = mem_test_fail_at(0, false);
        assert_true(worked == !failed);
        if (!failed) {
            assert_in_range(n, 8, 1000);
            return;
        }
    }
}

/* A merge that fails leaves the checkpoint as it was. */
static void a_merge_is_all_or_nothing(void **unused) {
    (void)unused;
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        checkpoint *c = two_nodes();
        state_part *a = split_part(0, false, "s1", STATE_ASSIGNED, "1");
        a->next = part_new(1);
        assert_int_equal(sample_prepared(a->next, 5), WEIR_OK);
        state_part *parts[] = {a};
        (void)mem_test_fail_at(n, false);
        weir_status status = checkpoint_merge(c, parts, 1);
        failed = mem_test_fail_at(0, false);
        assert_int_equal(status, failed ? WEIR_E_NOMEM : WEIR_OK);
        assert_int_equal(c->nodes[0].split_count, failed ? 0 : 1);
        assert_int_equal(c->nodes[1].committable_count, failed ? 0 : 2);
        part_free(a);
        checkpoint_free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_copy_what_they_are_given),
        cmocka_unit_test(parts_have_limits),
        cmocka_unit_test(a_task_overrides_the_capture),
        cmocka_unit_test(merging_adds),
        cmocka_unit_test(a_part_of_no_node_is_refused),
        cmocka_unit_test(many_splits_keep_their_order),
        cmocka_unit_test(copies),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(a_merge_is_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
