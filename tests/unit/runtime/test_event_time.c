/*
 * Times in fields: units, where `auto` changes its mind, decimals, text, and what is no time.
 */
#include <math.h>

#include "rig.h"
#include "runtime/event_time.h"

static weir_value i64(int64_t v) {
    return (weir_value){.type = WEIR_V_I64, .as.i64 = v};
}
static weir_value f64(double v) {
    return (weir_value){.type = WEIR_V_F64, .as.f64 = v};
}
static weir_value text(const char *s, bool decimal) {
    return (weir_value){.type = WEIR_V_STRING,
                        .logical = decimal ? WEIR_L_DECIMAL : 0,
                        .size = (uint32_t)strlen(s),
                        .as.ptr = s};
}

static void expect(weir_value v, time_unit unit, int64_t us) {
    int64_t out = 77;
    assert_true(event_time_of(&v, unit, &out));
    assert_int_equal(out, us);
}

static void expect_none(weir_value v, time_unit unit) {
    int64_t out;
    assert_false(event_time_of(&v, unit, &out));
}

static void test_units(void **state) {
    (void)state;
    expect(i64(1700000000), TIME_S, INT64_C(1700000000000000));
    expect(i64(1700000000123), TIME_MS, INT64_C(1700000000123000));
    expect(i64(1700000000123456), TIME_US, INT64_C(1700000000123456));
    expect(i64(-5), TIME_S, -5000000);
    expect(i64(0), TIME_AUTO, 0);
    expect(f64(1.5), TIME_S, 1500000);
    expect(f64(1700000000.123456), TIME_S, INT64_C(1700000000123456));
    expect(f64(-0.25), TIME_MS, -250);
    expect(text("1700000000.000001", true), TIME_S, INT64_C(1700000000000001));
    weir_value stamp = i64(5);
    stamp.logical = WEIR_L_TIMESTAMP_US;
    expect(stamp, TIME_S, 5); /* the type says what it is */
}

static void test_auto_thresholds(void **state) {
    (void)state;
    expect(i64(99999999999), TIME_AUTO, INT64_C(99999999999000000));
    expect(i64(100000000000), TIME_AUTO, INT64_C(100000000000000));
    expect(i64(99999999999999), TIME_AUTO, INT64_C(99999999999999000));
    expect(i64(100000000000000), TIME_AUTO, INT64_C(100000000000000));
    expect(i64(-99999999999), TIME_AUTO, INT64_C(-99999999999000000));
    expect(i64(-100000000000), TIME_AUTO, INT64_C(-100000000000000));
    expect(f64(1e11), TIME_AUTO, INT64_C(100000000000000));
    expect(f64(1.7e9), TIME_AUTO, INT64_C(1700000000000000));
}

static void test_text(void **state) {
    (void)state;
    expect(text("1970-01-01T00:00:01Z", false), TIME_AUTO, 1000000);
    expect(text("1970-01-01T01:00:00.5+01:00", false), TIME_ISO8601, 500000);
    expect(text("1969-12-31T23:59:59.999999Z", false), TIME_ISO8601, -1);
    expect(text("1970-01-01T00:00:02.25", false), TIME_AUTO, 2250000); /* no zone: UTC */
    expect_none(text("1970-01-01T00:00:02.25+", false), TIME_AUTO);
    expect_none(text("yesterday", false), TIME_AUTO);
    expect_none(text("", false), TIME_ISO8601);
    expect_none(text("1970-01-01T00:00:01Z", false), TIME_S);
    expect_none(text("1700000000", false), TIME_S); /* text is no number */
    expect_none(i64(5), TIME_ISO8601);
    expect_none(f64(5), TIME_ISO8601);
}

static void test_no_time(void **state) {
    (void)state;
    expect_none(i64(INT64_MAX), TIME_S);
    expect_none(i64(INT64_MIN), TIME_MS);
    expect(i64(INT64_MAX), TIME_US, INT64_MAX);
    expect_none(i64(WEIR_TIME_NONE), TIME_US); /* which is the sign for "no time" */
    expect_none(f64(NAN), TIME_AUTO);
    expect_none(f64(INFINITY), TIME_AUTO);
    expect_none(f64(-1e300), TIME_S);
    expect_none(text("1e400", true), TIME_US);
    weir_value other = {.type = WEIR_V_NULL};
    expect_none(other, TIME_AUTO);
    other.type = WEIR_V_BOOL;
    expect_none(other, TIME_AUTO);
    weir_value stamp = i64(WEIR_TIME_NONE);
    stamp.logical = WEIR_L_TIMESTAMP_US;
    expect_none(stamp, TIME_AUTO);
}

typedef struct seen {
    uint32_t rows[4], count;
} seen;

static void note_row(void *opaque, uint32_t row) {
    seen *s = opaque;
    s->rows[s->count++] = row;
}

static void test_fill(void **state) {
    (void)state;
    batch_home *home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    arena *memory = arena_new(1 << 20);
    rec records[] = {{.value = "1970-01-01T00:00:01Z", .time_us = 42}, {.value = "no time"}};
    const weir_batch *batch = rig_decoded(home, rig_batch(home, "s", records, 2));
    event_time_spec spec = {.given = true};
    int64_t times[2];
    seen s = {.count = 0};
    event_time_fill(&spec, batch, 1234, times, note_row, &s);
    assert_int_equal(times[0], 42);   /* the source's */
    assert_int_equal(times[1], 1234); /* else the clock's */
    assert_int_equal(s.count, 0);
    size_t at;
    assert_int_equal(template_parse_path(STR(".v"), memory, &spec.field, &at, NULL), WEIR_OK);
    event_time_fill(&spec, batch, 1234, times, note_row, &s);
    assert_int_equal(times[0], 1000000);
    assert_true(times[1] == WEIR_TIME_NONE);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.rows[0], 1);
    batch_release(batch);
    arena_free(memory);
    assert_int_equal(batch_home_used(home), 0);
    batch_home_free(home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units), cmocka_unit_test(test_auto_thresholds),
        cmocka_unit_test(test_text),  cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
