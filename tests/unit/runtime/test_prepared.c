/*
 * The templates of a sink over one batch: rows that lack a value leave batch and columns together.
 */
#include <string.h>

#include "rig.h"

static prepared *prepare(rig *r, const weir_batch **batch) {
    prepared *p = NULL;
    assert_int_equal(template_set_prepare(batcher_templates(r->batcher), r->home, r->failures,
                                          batch, &p, r->err),
                     WEIR_OK);
    return p;
}

static void expect(const prepared *p, uint32_t slot, uint32_t row, const char *text) {
    assert_true(str_eq(prepared_text(p, slot, row), str_of(text)));
}

static void test_nothing_to_evaluate(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "s", "ab"), *before = batch;
    assert_null(prepare(&r, &batch));
    assert_ptr_equal(batch, before);
    batch_release(batch);
    rig_end(&r);
}

static void test_grouping(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool groups, expected;
    } cases[] = {{"fixed", true, false}, {"${value}", false, false}, {"${value}", true, true}};
    for (int i = 0; i < 3; i++) {
        rig r;
        rig_init(&r);
        rig_option(&r, "t", cases[i].text, cases[i].groups);
        rig_start(&r);
        const template_set *set = batcher_templates(r.batcher);
        assert_int_equal(set->count, 1);
        assert_int_equal(set->grouping, cases[i].expected);
        assert_int_equal(set->slots[0].grouping, cases[i].groups);
        rig_end(&r);
    }
}

static void test_failing_rows_leave(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    rig_option(&r, "a", "k-${key}", false);
    rig_option(&r, "b", "v-${value}", false);
    rig_option(&r, "c", "fixed", false);
    rig_start(&r);
    rec records[] = {{.value = "1"},
                     {.value = "2", .key = "x"},
                     {.value = NULL, .key = "y"},
                     {.value = "4", .key = "z"},
                     {.value = NULL}};
    const weir_batch *batch = rig_batch(r.home, "s", records, 5);
    prepared *p = prepare(&r, &batch);
    assert_int_equal(batch->rows->count, 2);
    assert_int_equal(p->count, 2);
    assert_memory_equal(batch->rows->value_ptr[0], "2", 1);
    assert_memory_equal(batch->rows->value_ptr[1], "4", 1);
    expect(p, 0, 0, "k-x");
    expect(p, 1, 0, "v-2");
    expect(p, 0, 1, "k-z");
    expect(p, 1, 1, "v-4");
    expect(p, 2, 1, "fixed");
    /* Each bad record once, also the one that both templates fail on. */
    assert_int_equal(count_get(&r.counters.dead_lettered), 3);
    channel_item item = channel_pop(r.letters_channel);
    assert_int_equal(item.kind, ITEM_BATCH);
    assert_int_equal(item.batch->rows->count, 3);
    channel_item_drop(&item);
    prepared_free(p);
    batch_release(batch);
    rig_end(&r);
}

static void test_none_left(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_SKIP;
    rig_option(&r, "a", "${key}", false);
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "s", "abc");
    assert_null(prepare(&r, &batch));
    assert_null(batch);
    assert_int_equal(count_get(&r.counters.skipped), 3);
    rig_end(&r);
}

static void test_fail(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_option(&r, "a", "${key}", false);
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "s", "abc");
    prepared *p = NULL;
    assert_int_equal(
        template_set_prepare(batcher_templates(r.batcher), r.home, r.failures, &batch, &p, r.err),
        WEIR_E_DATA);
    assert_null(p);
    assert_non_null(batch); /* stays the caller's */
    assert_non_null(strstr(error_text(r.err), "has no key"));
    batch_release(batch);
    rig_end(&r);
}

static void test_drop(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_option(&r, "a", "<${value}>", false);
    rig_option(&r, "b", "fixed", false);
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "s", "abcde");
    prepared *p = prepare(&r, &batch);
    const uint32_t dropped[] = {0, 2, 4};
    prepared_drop(batcher_templates(r.batcher), p, dropped, 3);
    assert_int_equal(p->count, 2);
    expect(p, 0, 0, "<b>");
    expect(p, 0, 1, "<d>");
    expect(p, 1, 1, "fixed");
    prepared_drop(batcher_templates(r.batcher), p, dropped, 0);
    prepared_drop(batcher_templates(r.batcher), NULL, dropped, 3);
    assert_int_equal(p->count, 2);
    prepared_free(p);
    batch_release(batch);
    rig_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_evaluate),
        cmocka_unit_test(test_grouping),
        cmocka_unit_test(test_failing_rows_leave),
        cmocka_unit_test(test_none_left),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
