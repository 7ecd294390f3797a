/* Selections and other times: what is shared lives as long as anyone needs it. */
#include "samples.h"

static batch_home *home;

static void test_select(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 40, &released);
    const uint32_t some[] = {0, 3, 4, 17, 39};
    const weir_batch *s = batch_select(home, b, some, 5);
    assert_non_null(s);
    batch_release(b); /* the selection keeps the bytes */
    assert_int_equal(released, 0);
    assert_int_equal(s->rows->count, 5);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 5; i++) {
        sample_check(s->rows, i, some[i], true);
        bytes += s->rows->value_len[i];
    }
    assert_int_equal(s->rows->value_bytes, bytes);
    assert_true(str_eq(s->split, STR("shard-1")) && str_eq(s->resume, STR("position-9")));
    const uint32_t again[] = {1, 3};
    const weir_batch *t = batch_select(home, s, again, 2);
    batch_release(s);
    sample_check(t->rows, 0, 3, true);
    sample_check(t->rows, 1, 17, true);
    const weir_batch *none = batch_select(home, t, NULL, 0);
    assert_int_equal(none->rows->count, 0);
    batch_release(t);
    assert_true(str_eq(none->resume, STR("position-9")));
    assert_int_equal(released, 0);
    batch_release(none);
    assert_int_equal(released, 1);
    assert_int_equal(batch_home_used(home), 0);
}

static void test_select_chain(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 60, &released);
    uint32_t all[60];
    for (uint32_t i = 0; i < 60; i++) all[i] = i;
    const weir_batch *same = batch_select(home, b, all, 60);
    assert_ptr_equal(same, b);
    batch_release(same);
    uint64_t before = batch_home_used(home);
    /* Each step drops the first row; the ones between are gone at once. */
    for (uint32_t n = 59; n > 0; n--) {
        const weir_batch *s = batch_select(home, b, all + 1, n);
        assert_non_null(s);
        batch_release(b);
        b = s;
        assert_true(batch_home_used(home) < before + 20000);
    }
    sample_check(b->rows, 0, 59, true);
    batch_release(b);
    assert_int_equal(released, 1);
}

static void test_select_refuses(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 10, &released);
    static const uint32_t bad[][2] = {{3, 3}, {4, 3}, {9, 10}, {0, UINT32_MAX}};
    for (size_t i = 0; i < 4; i++) assert_null(batch_select(home, b, bad[i], 2));
    batch_release(b);
}

static void test_times(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 10, &released);
    int64_t times[10];
    for (int i = 0; i < 10; i++) times[i] = 1000 - i;
    const weir_batch *w = batch_with_times(home, b, times);
    times[4] = 0; /* copied */
    assert_true(w->rows->time_us[4] == 996 && b->rows->time_us[4] == 4);
    assert_ptr_equal(w->rows->value_ptr, b->rows->value_ptr);
    batch_release(b);
    const uint32_t some[] = {4, 9};
    const weir_batch *s = batch_select(home, w, some, 2);
    batch_release(w);
    assert_true(s->rows->time_us[0] == 996 && s->rows->time_us[1] == 991);
    char text[8];
    assert_true(
        str_eq(str_make(s->rows->value_ptr[1], s->rows->value_len[1]), text_of(text, 8, "v", 9)));
    /* Times over a selection need the selection's columns. */
    const int64_t two[] = {7, 8};
    const weir_batch *x = batch_with_times(home, s, two);
    batch_release(s);
    assert_true(str_eq(str_make(x->rows->value_ptr[1], x->rows->value_len[1]), STR("v9")));
    assert_int_equal(released, 0);
    batch_release(x);
    assert_int_equal(released, 1);
}

static int setup(void **state) {
    (void)state;
    home = batch_home_new(1 << 30, NULL, NULL);
    return home != NULL ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    batch_home_free(home);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_select_chain),
        cmocka_unit_test(test_select_refuses),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
