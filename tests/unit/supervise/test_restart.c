#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervise/restart.h"

#define S CLOCK_NS_PER_S

static void test_none(void **state) {
    (void)state;
    restart_count c = {0};
    restart_spec spec = {RESTART_NONE, UINT64_MAX, 0, 0, 0, 0};
    int64_t delay;
    assert_false(restart_next(&c, &spec, 0, &delay));
    assert_false(restart_next(&c, &spec, 3600 * S, &delay));
}

static void test_fixed_delay_without_end(void **state) {
    (void)state;
    restart_count c = {0};
    restart_spec spec = {RESTART_FIXED_DELAY, UINT64_MAX, 10 * S, 0, 0, 0};
    for (int i = 0; i < 100000; i++) {
        int64_t delay = 0;
        assert_true(restart_next(&c, &spec, 0, &delay));
        assert_int_equal(delay, 10 * S);
    }
}

static void test_attempts_in_a_row(void **state) {
    (void)state;
    restart_count c = {0};
    restart_spec spec = {RESTART_FIXED_DELAY, 2, 10 * S, 0, 0, 0};
    int64_t delay;
    assert_int_equal(restart_well_ns(&spec), 100 * S);
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_true(restart_next(&c, &spec, 99 * S, &delay));
    assert_false(restart_next(&c, &spec, 99 * S, &delay));
    /* A good run in between, and they begin anew. */
    c = (restart_count){0};
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_true(restart_next(&c, &spec, 100 * S, &delay));
    assert_int_equal(c.in_a_row, 1);
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_false(restart_next(&c, &spec, 0, &delay));
    spec.attempts = 0;
    assert_false(restart_next(&c, &spec, 3600 * S, &delay));
}

static void test_exponential(void **state) {
    (void)state;
    restart_count c = {0};
    restart_spec spec = {RESTART_EXPONENTIAL, UINT64_MAX, 0, 1 * S, 60 * S, 2.0};
    static const int64_t wanted[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    int64_t delay;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_true(restart_next(&c, &spec, 599 * S, &delay));
        assert_int_equal(delay, wanted[i] * S);
    }
    assert_int_equal(restart_well_ns(&spec), 600 * S);
    assert_true(restart_next(&c, &spec, 600 * S, &delay));
    assert_int_equal(delay, 1 * S);
}

static void test_odd_numbers(void **state) {
    (void)state;
    restart_count c = {.in_a_row = UINT64_MAX - 2};
    /* A multiplier of 1 never grows, a huge one is capped, and neither takes long. */
    restart_spec spec = {RESTART_EXPONENTIAL, UINT64_MAX, 0, 1 * S, 60 * S, 1.0};
    int64_t delay;
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_int_equal(delay, 1 * S);
    c.in_a_row = 1;
    spec.multiplier = 1e300;
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_int_equal(delay, 60 * S);
    spec.max_ns = INT64_MAX;
    c.in_a_row = 5;
    assert_true(restart_next(&c, &spec, 0, &delay));
    assert_int_equal(delay, INT64_MAX);
    assert_int_equal(restart_well_ns(&spec), INT64_MAX);
    /* Without a delay a run must still last a minute to count as good. */
    spec = (restart_spec){RESTART_FIXED_DELAY, 1, 0, 0, 0, 0};
    assert_int_equal(restart_well_ns(&spec), 60 * S);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_fixed_delay_without_end),
        cmocka_unit_test(test_attempts_in_a_row),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_odd_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
