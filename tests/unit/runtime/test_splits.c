/*
 * Who reads what: parents before children, balance, positions, ends; what a checkpoint sees of it.
 */
#include <stdio.h>
#include <string.h>

#include "rig.h"
#include "runtime/splits.h"

static weir_error *err;

static int setup(void **state) {
    (void)state;
    err = error_new();
    return err == NULL;
}

static int teardown(void **state) {
    (void)state;
    error_free(err);
    return 0;
}

/* A split "id" with up to two parents. */
typedef struct made {
    weir_split split;
    const char *parents[2];
    uint32_t lens[2];
} made;

static const weir_split *make(made *m, const char *id, const char *p1, const char *p2) {
    memset(m, 0, sizeof *m);
    m->split.struct_size = sizeof m->split;
    m->split.id = str_of(id);
    m->split.private_bytes = STR("private");
    const char *given[] = {p1, p2};
    for (int i = 0; i < 2; i++) {
        if (given[i] == NULL) continue;
        m->parents[m->split.parent_count] = given[i];
        m->lens[m->split.parent_count++] = (uint32_t)strlen(given[i]);
    }
    m->split.parent_ptr = m->parents;
    m->split.parent_len = m->lens;
    return &m->split;
}

/* "b:a c:a+b" are b with parent a, c with parents a and b. */
static uint32_t update(splits *s, const char *text, bool complete) {
    weir_split_list *list = split_list_new();
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *parents = strchr(word, ':'), *second = NULL;
        if (parents != NULL) {
            *parents++ = '\0';
            second = strchr(parents, '+');
            if (second != NULL) *second++ = '\0';
        }
        made m;
        assert_int_equal(split_list_add(list, make(&m, word, parents, second)), WEIR_OK);
    }
    uint32_t added = 99;
    assert_int_equal(splits_update(s, list, complete, &added, err), WEIR_OK);
    split_list_free(list);
    return added;
}

/* Takes the assignment of a task as "a b c". */
static void expect(splits *s, uint32_t task, const char *ids) {
    weir_assign a;
    char text[512] = "";
    assert_int_equal(splits_take(s, task, &a), WEIR_OK);
    size_t at = 0;
    for (uint32_t i = 0; i < a.count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i > 0 ? " " : "",
                               (int)a.id_len[i], a.id_ptr[i]);
        assert_true(str_eq(str_make(a.private_ptr[i], a.private_len[i]), STR("private")));
    }
    splits_assignment_free(&a);
    assert_string_equal(text, ids);
    assert_false(splits_changed(s, task));
}

static void finish(splits *s, const char *id, const char *child) {
    made m;
    const weir_split *children[] = {child != NULL ? make(&m, child, id, NULL) : NULL};
    assert_int_equal(splits_finished(s, str_of(id), children, child != NULL, err), WEIR_OK);
}

static void test_parents_first(void **state) {
    (void)state;
    splits *s = splits_new(1);
    wake w;
    wake_init(&w);
    splits_set_wake(s, 0, &w);
    /* The child is found ahead of its parent: order of the list does not matter. */
    assert_int_equal(update(s, "child:parent parent", false), 2);
    assert_true(splits_changed(s, 0));
    assert_true(wake_wait(&w, 0));
    expect(s, 0, "parent");
    finish(s, "parent", NULL);
    assert_true(splits_changed(s, 0));
    assert_true(wake_wait(&w, 0));
    expect(s, 0, "child");
    assert_false(splits_all_done(s));
    splits_free(s);
}

/* The end of a parent travels behind its records: a child must not be read by another task while
 * they are under way. */
static void test_a_child_waits_for_what_is_under_way(void **state) {
    (void)state;
    splits *s = splits_new(2);
    update(s, "parent", false);
    expect(s, 0, "parent");
    split_end *end = splits_end(s, STR("parent"));
    assert_non_null(end);
    split_end_retain(end); /* a mark in a channel */
    finish(s, "parent", "child");
    split_end_release(end);
    assert_false(splits_changed(s, 1));
    update(s, "other", false);
    expect(s, 1, "");
    expect(s, 0, "other");
    assert_false(splits_all_done(s));
    split_end_release(end);
    expect(s, 1, "child");
    assert_null(splits_end(s, STR("nonsuch")));
    splits_free(s);
}

static void test_merge_waits_for_both(void **state) {
    (void)state;
    splits *s = splits_new(1);
    update(s, "a b m:a+b", true);
    expect(s, 0, "a b");
    finish(s, "a", NULL);
    expect(s, 0, "b");
    splits_summary sum;
    splits_summarize(s, &sum);
    assert_int_equal(sum.waiting, 1);
    assert_int_equal(sum.finished, 1);
    finish(s, "b", NULL);
    expect(s, 0, "m");
    finish(s, "m", NULL);
    assert_true(splits_all_done(s));
    splits_free(s);
}

static void test_unknown_parent_is_finished(void **state) {
    (void)state;
    splits *s = splits_new(1);
    update(s, "x:aged-out y:aged-out+x", false);
    expect(s, 0, "x");
    finish(s, "x", NULL);
    expect(s, 0, "y");
    splits_free(s);
}

static void test_balance(void **state) {
    (void)state;
    splits *s = splits_new(3);
    update(s, "a b c d e f", false);
    expect(s, 0, "a d");
    expect(s, 1, "b e");
    expect(s, 2, "c f");
    finish(s, "b", NULL);
    finish(s, "e", NULL);
    assert_int_equal(update(s, "a b g h i", false), 3); /* known ones are not new */
    expect(s, 1, "g h");
    expect(s, 0, "a d i");
    splits_free(s);
}

/* A discovery between a parent's end and its children's arrival would see no child: they come in
 * one step, so there is no such moment. */
static void test_children_come_with_the_end(void **state) {
    (void)state;
    splits *s = splits_new(1);
    update(s, "p", true);
    expect(s, 0, "p");
    finish(s, "p", "c");
    assert_false(splits_all_done(s));
    expect(s, 0, "c");
    finish(s, "p", "c"); /* said twice: no second child, no second end */
    splits_summary sum;
    splits_summarize(s, &sum);
    assert_int_equal(sum.known, 2);
    assert_int_equal(sum.finished, 1);
    finish(s, "c", NULL);
    assert_true(splits_all_done(s));
    assert_int_equal(splits_finished(s, STR("never-given"), NULL, 0, err), WEIR_E_INVALID_STATE);
    splits_free(s);
}

static void check_position(void *opaque, weir_str id, const char *state, weir_str position,
                           int64_t lag_ms, uint64_t records) {
    (void)id;
    (void)state;
    (void)lag_ms;
    (void)records;
    assert_true(str_eq(position, str_of(opaque)));
}

static void test_position_is_kept(void **state) {
    (void)state;
    splits *s = splits_new(2);
    update(s, "a", false);
    expect(s, 0, "a");
    splits_position(s, STR("a"), STR("p1"), 700, 10);
    splits_position(s, STR("a"), STR(""), -1, 5); /* says nothing: the old one stays */
    splits_position(s, STR("unknown"), STR("p9"), 9, 5);
    splits_each(s, check_position, (void *)(uintptr_t) "p1");
    splits_summary sum;
    splits_summarize(s, &sum);
    assert_int_equal(sum.lag_ms, 700);
    char longest[WEIR_POSITION_MAX + 1];
    memset(longest, 'z', sizeof longest);
    splits_position(s, STR("a"), str_make(longest, WEIR_POSITION_MAX), 0, 0);
    splits_position(s, STR("a"), str_make(longest, WEIR_POSITION_MAX + 1), 0, 0); /* refused */
    weir_assign as;
    assert_int_equal(splits_take(s, 0, &as), WEIR_OK);
    assert_int_equal(as.count, 1);
    assert_int_equal(as.position_len[0], WEIR_POSITION_MAX);
    assert_memory_equal(as.position_ptr[0], longest, WEIR_POSITION_MAX);
    splits_assignment_free(&as);
    splits_free(s);
}

static void test_task_ended(void **state) {
    (void)state;
    splits *s = splits_new(2);
    wake w[2];
    for (uint32_t t = 0; t < 2; t++) {
        wake_init(&w[t]);
        splits_set_wake(s, t, &w[t]);
    }
    update(s, "a b", true);
    expect(s, 0, "a");
    expect(s, 1, "b");
    splits_task_ended(s, 0);
    assert_false(splits_all_done(s));
    wake_wait(&w[0], 0);
    splits_task_ended(s, 1);
    assert_true(splits_all_done(s));
    assert_true(wake_wait(&w[0], 0)); /* the other task waits for just this */
    splits_free(s);
}

/* END was true of the splits the task had when it was computed: one that was given meanwhile and
 * not yet seen by the source must not be lost. */
static void test_end_races_with_assignment(void **state) {
    (void)state;
    splits *s = splits_new(1);
    update(s, "a", false);
    expect(s, 0, "a");
    update(s, "b", true);
    splits_task_ended(s, 0);
    assert_false(splits_all_done(s));
    expect(s, 0, "a b");
    splits_task_ended(s, 0);
    assert_true(splits_all_done(s));
    splits_free(s);
}

static void test_refusals(void **state) {
    (void)state;
    weir_split_list *list = split_list_new();
    char text[5000];
    memset(text, 'x', sizeof text);
    weir_split split = {.struct_size = sizeof split};
    assert_int_equal(split_list_add(list, &split), WEIR_E_INVALID_ARG);
    split.id = str_make(text, 256);
    assert_int_equal(split_list_add(list, &split), WEIR_E_INVALID_ARG);
    split.id = str_make(text, 255);
    split.private_bytes = str_make(text, 4097);
    assert_int_equal(split_list_add(list, &split), WEIR_E_TOO_LARGE);
    split.private_bytes = str_make(text, 4096);
    split.position = str_make(text, 256);
    assert_int_equal(split_list_add(list, &split), WEIR_E_TOO_LARGE);
    split.position = str_make(text, 255);
    assert_int_equal(split_list_add(list, &split), WEIR_OK);
    split_list_free(list);
}

static void test_nothing_to_read(void **state) {
    (void)state;
    splits *s = splits_new(1);
    wake w;
    wake_init(&w);
    splits_set_wake(s, 0, &w);
    assert_false(splits_all_done(s));
    update(s, "", true);
    assert_true(splits_all_done(s));
    assert_true(wake_wait(&w, 0));
    expect(s, 0, "");
    splits_free(s);
}

/* ---- checkpoints ---- */

static const char *const state_words[] = {"?", "waiting", "assigned", "finished"};

/* What a part says: "a=assigned@p1 b=waiting@". The part is freed. */
static void expect_part(state_part *part, const char *want) {
    char text[512] = "";
    size_t at = 0;
    for (uint32_t k = 0; k < part->split_count; k++) {
        const state_split *e = &part->splits[k];
        assert_true(str_eq(e->private_bytes, STR("private")));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s=%s@%.*s", k > 0 ? " " : "",
                               STR_FMT(e->id), state_words[e->state], STR_FMT(e->position));
    }
    part_free(part);
    assert_string_equal(text, want);
}

static void expect_capture(splits *s, uint64_t epoch, const char *want) {
    state_part *part = part_new(0);
    assert_int_equal(splits_capture(s, epoch, part), WEIR_OK);
    expect_part(part, want);
}

static void expect_barrier(splits *s, uint32_t task, uint64_t epoch, const char *want) {
    state_part *part = part_new(0);
    assert_int_equal(splits_barrier(s, task, epoch, part), WEIR_OK);
    expect_part(part, want);
}

static void position(splits *s, const char *id, const char *at) {
    splits_position(s, str_of(id), str_of(at), -1, 1);
}

static void test_nothing_is_assigned_between_trigger_and_barriers(void **state) {
    (void)state;
    splits *s = splits_new(2);
    update(s, "a b late:a+b", false);
    expect(s, 0, "a");
    expect(s, 1, "b");
    position(s, "a", "p1");
    expect_capture(s, 7, "a=assigned@p1 b=assigned@ late=waiting@");
    /* A child of a, and one more that discovery finds: known, but nobody reads them yet. */
    position(s, "a", "p2");
    finish(s, "a", "child");
    update(s, "new", false);
    assert_false(splits_changed(s, 0));
    expect_barrier(s, 0, 7, "a=finished@p2 child=waiting@");
    position(s, "b", "p3");
    expect(s, 0, "");
    expect_barrier(s, 1, 6, "b=assigned@p3"); /* an older epoch's barrier ends nothing */
    expect(s, 0, "");
    expect_barrier(s, 1, 7, "b=assigned@p3");
    expect(s, 0, "child new");
    expect(s, 1, "b");
    finish(s, "b", NULL); /* and now ends count at once */
    expect(s, 0, "child new");
    expect(s, 1, "late");
    splits_free(s);
}

/* An epoch that failed is superseded: its late barriers do not end the wait of the next one. */
static void test_the_next_trigger_begins_the_wait_again(void **state) {
    (void)state;
    splits *s = splits_new(2);
    update(s, "a b", false);
    expect(s, 0, "a");
    expect(s, 1, "b");
    expect_capture(s, 1, "a=assigned@ b=assigned@");
    expect_barrier(s, 0, 1, "a=assigned@");
    expect_capture(s, 2, "a=assigned@ b=assigned@");
    update(s, "c", false);
    expect_barrier(s, 1, 1, "b=assigned@");
    expect_barrier(s, 0, 2, "a=assigned@");
    expect(s, 0, "a");
    expect(s, 1, "b");
    expect_barrier(s, 1, 2, "b=assigned@");
    expect(s, 0, "a c");
    splits_free(s);
}

/* A trigger whose barrier never goes out: without a next one nothing would be assigned again. */
static void test_a_trigger_that_failed_holds_nothing_up(void **state) {
    (void)state;
    splits *s = splits_new(1);
    update(s, "a", false);
    expect(s, 0, "a");
    expect_capture(s, 1, "a=assigned@");
    update(s, "b", false);
    expect(s, 0, "a");
    splits_release(s, 1);
    expect(s, 0, "a b");
    expect_capture(s, 2, "a=assigned@ b=assigned@");
    splits_release(s, 1); /* of an earlier one */
    update(s, "c", false);
    expect(s, 0, "a b");
    splits_free(s);
}

/* A table as another one, with other tasks, takes it over; what `list` is the first to find. */
static splits *restored(splits *from, uint32_t tasks, const char *list, uint32_t added) {
    state_part *part = part_new(0);
    assert_int_equal(splits_capture(from, 1, part), WEIR_OK);
    const state_node saved = {.splits = part->splits, .split_count = part->split_count};
    splits *s = splits_new(tasks);
    assert_int_equal(splits_restore(s, &saved, err), WEIR_OK);
    part_free(part);
    splits_free(from);
    /* Until the source has listed what exists, nobody reads what was restored. */
    for (uint32_t t = 0; t < tasks; t++) expect(s, t, "");
    assert_int_equal(update(s, list, false), added);
    return s;
}

static void test_restore(void **state) {
    (void)state;
    splits *from = splits_new(1);
    update(from, "p q m:p+q r", false);
    expect(from, 0, "p q r");
    position(from, "p", "end");
    finish(from, "p", NULL);
    position(from, "q", "p5");
    /* Two tasks instead of one; p is listed again and stays finished, s is new. */
    splits *s = restored(from, 2, "p q m:p+q r s", 1);
    expect(s, 1, "r");
    weir_assign a;
    assert_int_equal(splits_take(s, 0, &a), WEIR_OK);
    assert_int_equal(a.count, 2); /* q and s; not m, whose parent q goes on */
    assert_true(str_eq(str_make(a.id_ptr[0], a.id_len[0]), STR("q")));
    assert_true(str_eq(str_make(a.position_ptr[0], a.position_len[0]), STR("p5")));
    assert_int_equal(a.position_len[1], 0);
    splits_assignment_free(&a);
    splits_summary sum;
    splits_summarize(s, &sum);
    assert_int_equal(sum.finished, 1);
    assert_int_equal(sum.waiting, 1);
    finish(s, "q", NULL); /* the parents are known after a restore, too */
    expect(s, 0, "m s");
    splits_free(s);
}

static void test_everything_was_read_before(void **state) {
    (void)state;
    splits *from = splits_new(1);
    update(from, "a b", true);
    expect(from, 0, "a b");
    splits_task_ended(from, 0);
    splits *s = restored(from, 3, "a b", 0);
    assert_false(splits_all_done(s));
    update(s, "a b", true);
    assert_true(splits_all_done(s));
    for (uint32_t t = 0; t < 3; t++) expect(s, t, "");
    expect_capture(s, 2, "a=finished@ b=finished@"); /* and that stays in the state */
    splits_free(s);
}

static bool missing(splits *s, const char *list, bool give_up, const char *want, const char *at) {
    weir_split_list *l = split_list_new();
    made m;
    if (list != NULL) assert_int_equal(split_list_add(l, make(&m, list, NULL, NULL)), WEIR_OK);
    weir_str id = {0}, where = {0};
    bool found = splits_missing(s, l, give_up, &id, &where);
    split_list_free(l);
    if (found && want != NULL) {
        assert_true(str_eq(id, str_of(want)));
        assert_true(str_eq(where, str_of(at)));
    }
    return found;
}

static void test_splits_that_no_longer_exist(void **state) {
    (void)state;
    splits *from = splits_new(1);
    update(from, "gone kept ended", false);
    expect(from, 0, "gone kept ended");
    position(from, "gone", "p4");
    finish(from, "ended", NULL); /* read to its end: may be missing */
    state_part *part = part_new(0);
    assert_int_equal(splits_capture(from, 1, part), WEIR_OK);
    const state_node saved = {.splits = part->splits, .split_count = part->split_count};
    splits *s = splits_new(1);
    assert_int_equal(splits_restore(s, &saved, err), WEIR_OK);
    part_free(part);
    splits_free(from);
    assert_true(missing(s, "kept", false, "gone", "p4"));
    assert_true(missing(s, "kept", false, "gone", "p4")); /* asking changes nothing */
    assert_true(missing(s, "kept", true, "gone", "p4"));
    assert_false(missing(s, "kept", false, NULL, NULL));
    update(s, "kept", true);
    expect(s, 0, "kept");
    finish(s, "kept", NULL);
    assert_true(splits_all_done(s));
    splits_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parents_first),
        cmocka_unit_test(test_a_child_waits_for_what_is_under_way),
        cmocka_unit_test(test_merge_waits_for_both),
        cmocka_unit_test(test_unknown_parent_is_finished),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_children_come_with_the_end),
        cmocka_unit_test(test_position_is_kept),
        cmocka_unit_test(test_task_ended),
        cmocka_unit_test(test_end_races_with_assignment),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_nothing_is_assigned_between_trigger_and_barriers),
        cmocka_unit_test(test_the_next_trigger_begins_the_wait_again),
        cmocka_unit_test(test_a_trigger_that_failed_holds_nothing_up),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_everything_was_read_before),
        cmocka_unit_test(test_splits_that_no_longer_exist),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
