/*
 * Gathering runs of several batches into the columns of one request.
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "runtime/request.h"

static batch_home *home;

static int setup(void **state) {
    (void)state;
    home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    return home == NULL;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(batch_home_used(home), 0);
    batch_home_free(home);
    return 0;
}

static work *work_of(const weir_batch *batch) {
    work *w = calloc(1, sizeof *w);
    *w = (work){.batch = batch, .refs = 1};
    return w;
}

/* Adds records [first, first + count) behind what `r` has. */
static void put(request *r, run *u, work *w, uint32_t first, uint32_t count, uint32_t attempts) {
    *u = (run){.work = w, .first = first, .count = count, .attempts = attempts};
    run **at = &r->runs;
    while (*at != NULL) at = &(*at)->next;
    *at = u;
    r->records += count;
}

static void expect_text(const request *r, uint32_t row, const char *text) {
    const weir_rows *rows = r->abi.rows;
    assert_true(str_eq(str_make(rows->value_ptr[row], rows->value_len[row]), str_of(text)));
}

static void test_whole_batch_is_not_copied(void **state) {
    (void)state;
    rec records[] = {{.value = "a", .key = "k", .header = "h", .header_value = "x"},
                     {.value = "bb"}};
    work *w = work_of(rig_batch(home, "s", records, 2));
    request *r = request_new();
    run u;
    put(r, &u, w, 0, 2, 0);
    assert_int_equal(request_gather(r, true, true), WEIR_OK);
    assert_ptr_equal(r->abi.rows->value_ptr, w->batch->rows->value_ptr);
    assert_ptr_equal(r->abi.rows->header_start, w->batch->rows->header_start);
    assert_int_equal(r->abi.rows->count, 2);
    assert_int_equal(r->abi.rows->value_bytes, 3);
    request_reset(r);
    request_free(r);
    work_release(w);
}

static void test_part_of_a_batch(void **state) {
    (void)state;
    work *w = work_of(rig_letters(home, "s", "abcd"));
    request *r = request_new();
    run u;
    put(r, &u, w, 1, 2, 3);
    assert_int_equal(request_gather(r, true, true), WEIR_OK);
    assert_int_equal(r->abi.rows->count, 2);
    assert_int_equal(r->abi.rows->value_bytes, 2);
    assert_int_equal(r->abi.attempt, 3);
    expect_text(r, 0, "b");
    expect_text(r, 1, "c");
    request_free(r);
    work_release(w);
}

static void test_several_runs(void **state) {
    (void)state;
    rec first[] = {{.value = "a"},
                   {.value = "b",
                    .key = "kb",
                    .time_us = 7,
                    .header = "h",
                    .header_value = "hb",
                    .position = "pb"}};
    rec second[] = {{.value = "c"}, {.value = NULL}, {.value = "e", .position = "pe"}};
    work *one = work_of(rig_batch(home, "s1", first, 2));
    work *two = work_of(rig_batch(home, "s2", second, 3));
    work *three = work_of(rig_letters(home, "s3", "f"));
    request *r = request_new();
    run u[3];
    put(r, &u[0], one, 1, 1, 0);
    put(r, &u[1], two, 0, 3, 2);
    put(r, &u[2], three, 0, 1, 1);
    assert_int_equal(request_gather(r, true, true), WEIR_OK);
    const weir_rows *rows = r->abi.rows;
    assert_int_equal(rows->count, 5);
    assert_int_equal(r->abi.attempt, 2);
    expect_text(r, 0, "b");
    expect_text(r, 1, "c");
    assert_null(rows->value_ptr[2]); /* null is not empty */
    expect_text(r, 3, "e");
    expect_text(r, 4, "f");
    assert_int_equal(rows->value_bytes, 4);
    assert_memory_equal(rows->key_ptr[0], "kb", 2);
    assert_null(rows->key_ptr[1]);
    assert_int_equal(rows->time_us[0], 7);
    assert_true(rows->time_us[1] == WEIR_TIME_NONE);
    assert_int_equal(rows->header_start[0], 0);
    assert_int_equal(rows->header_start[1], 1);
    assert_int_equal(rows->header_start[5], 1);
    weir_str text;
    assert_true(rows_header(rows, 0, STR("h"), &text));
    assert_true(str_eq(text, STR("hb")));
    assert_true(rows_header(rows, 0, STR("weir.position"), &text));
    assert_true(str_eq(text, STR("pb")));
    assert_false(rows_header(rows, 1, STR("weir.position"), &text));
    assert_true(rows_header(rows, 3, STR("weir.position"), &text));
    assert_true(str_eq(text, STR("pe")));
    assert_false(rows_header(rows, 4, STR("weir.position"), &text));

    uint32_t row;
    assert_ptr_equal(request_row(r, 0, &row), &u[0]);
    assert_int_equal(row, 1);
    assert_ptr_equal(request_row(r, 3, &row), &u[1]);
    assert_int_equal(row, 2);
    assert_ptr_equal(request_row(r, 4, &row), &u[2]);
    assert_int_equal(row, 0);
    assert_null(request_row(r, 5, &row));
    request_free(r);
    work_release(one);
    work_release(two);
    work_release(three);
}

/* Batches of a source without metadata may come first. */
static void test_meta_of_later_runs(void **state) {
    (void)state;
    rec with[] = {{.value = "b", .position = "pb"}};
    work *one = work_of(rig_letters(home, "s1", "a"));
    work *two = work_of(rig_batch(home, "s2", with, 1));
    request *r = request_new();
    run u[2];
    put(r, &u[0], one, 0, 1, 0);
    put(r, &u[1], two, 0, 1, 0);
    assert_int_equal(request_gather(r, false, true), WEIR_OK);
    weir_str text;
    assert_false(rows_header(r->abi.rows, 0, STR("weir.position"), &text));
    assert_true(rows_header(r->abi.rows, 1, STR("weir.position"), &text));
    assert_true(str_eq(text, STR("pb")));
    assert_null(r->abi.rows->header_start);
    request_free(r);
    work_release(one);
    work_release(two);
}

static void test_reuse(void **state) {
    (void)state;
    request *r = request_new();
    char letters[41];
    memset(letters, 'x', 40);
    letters[40] = '\0';
    for (uint32_t round = 0; round < 50; round++) {
        work *w = work_of(rig_letters(home, "s", letters));
        run u[20];
        for (uint32_t i = 0; i < 20; i++) put(r, &u[i], w, i, 1 + round % 20, 0);
        assert_int_equal(request_gather(r, true, true), WEIR_OK);
        assert_int_equal(r->abi.rows->count, 20 * (1 + round % 20));
        assert_null(r->abi.rows->key_ptr == NULL ? NULL : r->abi.rows->header_start);
        request_reset(r);
        assert_int_equal(r->records, 0);
        work_release(w);
    }
    request_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_batch_is_not_copied),
        cmocka_unit_test(test_part_of_a_batch),
        cmocka_unit_test(test_several_runs),
        cmocka_unit_test(test_meta_of_later_runs),
        cmocka_unit_test(test_reuse),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
