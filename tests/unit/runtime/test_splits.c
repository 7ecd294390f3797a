/*
 * Who reads what: parents before children, balance, positions, ends.
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parents_first),
        cmocka_unit_test(test_merge_waits_for_both),
        cmocka_unit_test(test_unknown_parent_is_finished),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_children_come_with_the_end),
        cmocka_unit_test(test_position_is_kept),
        cmocka_unit_test(test_task_ended),
        cmocka_unit_test(test_end_races_with_assignment),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing_to_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
