/* Strings: numbers, times, globs, distances. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_cmp(void **state) {
    (void)state;
    assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
    assert_int_equal(str_cmp(STR("a"), STR("ab")), -1);
    assert_int_equal(str_cmp(STR("b"), STR("ab")), 1);
    assert_int_equal(str_cmp(STR("\xff"), STR("a")), 1); /* bytes are unsigned */
    assert_int_equal(str_cmp((weir_str){NULL, 0}, STR("")), 0);
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_true(str_ends((weir_str){NULL, 0}, STR("")));
}

static void test_distance(void **state) {
    (void)state;
    assert_int_equal(str_distance(STR("stream"), STR("stream"), 3), 0);
    assert_int_equal(str_distance(STR("straem"), STR("stream"), 3), 1); /* transposed */
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 3), 3);
    assert_int_equal(str_distance(STR("kitten"), STR("sitting"), 2), 3); /* given up */
    assert_int_equal(str_distance(STR(""), STR("ab"), 3), 2);
    weir_str words[] = {STR("region"), STR("stream"), STR("stream_arn"), STR("api-key")};
    assert_int_equal(str_nearest(STR("strem"), words, 4), 1);
    assert_int_equal(str_nearest(STR("STREAM"), words, 4), 1);
    assert_int_equal(str_nearest(STR("api_key"), words, 4), 3);
    assert_int_equal(str_nearest(STR("bootstrap"), words, 4), -1);
    assert_int_equal(str_nearest(STR("x"), words, 4), -1);
    assert_int_equal(str_nearest(STR(""), words, 4), -1);
}

static void test_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"", true},
        {"plain ascii that is long enough", true},
        {"\xc3\xa4", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"12345678\xc3\xa4", true},
        {"\xc0\x80", false},         /* overlong */
        {"\xe0\x80\x80", false},     /* overlong */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* beyond the last */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong */
        {"\xc3", false},             /* cut */
        {"\xe2\x82", false},
        {"\x80", false},
        {"\xff", false},
        {"12345678\xff", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(str_is_utf8(str_of(cases[i].text)), cases[i].good);
}

static void test_numbers(void **state) {
    (void)state;
    int64_t i;
    assert_true(str_to_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_true(str_to_i64(STR("+7"), &i));
    assert_true(i == 7);
    static const char *const bad[] = {
        "",   "-",    "9223372036854775808",    "-9223372036854775809", "1 ", " 1",
        "1x", "0x10", "99999999999999999999999"};
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_false(str_to_i64(str_of(bad[n]), &i));

    double d;
    assert_true(str_to_f64(STR("1.5e3"), &d));
    assert_true(d == 1500.0);
    assert_true(str_to_f64(STR("-0.25"), &d));
    assert_true(d == -0.25);
    static const char *const no_float[] = {"",      ".",     "e5",    "inf", "nan",
                                           "0x1p3", "1e999", "1.5.2", " 1",  "1-"};
    for (size_t n = 0; n < sizeof no_float / sizeof *no_float; n++)
        assert_false(str_to_f64(str_of(no_float[n]), &d));
}

static void test_units(void **state) {
    (void)state;
    int64_t v;
    assert_true(str_to_duration_ns(STR("200ms"), &v) && v == 200000000);
    assert_true(str_to_duration_ns(STR("5s"), &v) && v == INT64_C(5000000000));
    assert_true(str_to_duration_ns(STR("10m"), &v) && v == INT64_C(600) * 1000000000);
    assert_true(str_to_duration_ns(STR("1h"), &v) && v == INT64_C(3600) * 1000000000);
    assert_true(str_to_duration_ns(STR("2d"), &v) && v == INT64_C(172800) * 1000000000);
    assert_true(str_to_duration_ns(STR("0"), &v) && v == 0);
    assert_false(str_to_duration_ns(STR("5"), &v)); /* five what? */
    assert_false(str_to_duration_ns(STR("s"), &v));
    assert_false(str_to_duration_ns(STR("-1s"), &v));
    assert_false(str_to_duration_ns(STR("106752d"), &v)); /* 292 years are the most */
    assert_true(str_to_size_bytes(STR("4096"), &v) && v == 4096);
    assert_true(str_to_size_bytes(STR("512KiB"), &v) && v == 524288);
    assert_true(str_to_size_bytes(STR("5MiB"), &v) && v == 5242880);
    assert_true(str_to_size_bytes(STR("1GiB"), &v) && v == 1073741824);
    assert_true(str_to_size_bytes(STR("5MB"), &v) && v == 5000000);
    assert_false(str_to_size_bytes(STR("5mib"), &v));
    assert_false(str_to_size_bytes(STR("8388608TiB"), &v));
    assert_false(str_to_size_bytes(STR(""), &v));
}

static void test_times(void **state) {
    (void)state;
    int64_t t;
    assert_true(str_to_time_us(STR("1970-01-01T00:00:00Z"), &t) && t == 0);
    assert_true(str_to_time_us(STR("2026-01-01T00:00:00Z"), &t) && t == INT64_C(1767225600000000));
    assert_true(str_to_time_us(STR("2026-01-01T01:00:00+01:00"), &t) &&
                t == INT64_C(1767225600000000));
    assert_true(str_to_time_us(STR("2000-02-29T12:34:56.123456789Z"), &t) &&
                t == INT64_C(951827696123456));
    assert_true(str_to_time_us(STR("1969-12-31T23:59:59.5Z"), &t) && t == -500000);
    assert_true(str_to_time_us(STR("0000-01-01T00:00:00Z"), &t) &&
                t == INT64_C(-62167219200000000));
    static const char *const bad[] = {
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Zx",
        "2026/01/01T00:00:00Z",
    };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_false(str_to_time_us(str_of(bad[n]), &t));
}

static void test_glob(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"*.json", "a.json", true},
        {"*.json", "a.jsonl", false},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"*", "a/b", false},
        {"a/*", "a/b", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[!a-c]x", "ax", false},
        {"[]]", "]", true},
        {"[a", "[a", true},
        {"[a", "aa", false},
        {"a**b", "axxb", true},
        {"*a*b*c", "xaxbxc", true},
        {"*aab", "aaaab", true},
        {"*[0-9].log", "x1.log", true},
        {"[a-]", "-", true},
        {"[!a]", "/", false},
        {"*/b", "a/b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (str_glob(str_of(cases[i].pattern), str_of(cases[i].text)) != cases[i].match)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
    /* A pattern made to backtrack ends in bounded time. */
    char text[4097];
    memset(text, 'a', sizeof text);
    assert_false(str_glob(STR("*a*a*a*a*a*a*a*a*a*a*a*a*b"), str_make(text, sizeof text)));
}

static void test_escape(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"a", "a"},        {"\n", "\\n"},
                 {"\x1b", "\\x1b"}, {"\xc3\xa4", "\xc3\xa4"},
                 {"\xff", "\\xff"}, {"\xc2\x9b", "\\xc2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[STR_ESCAPE_MAX];
        size_t len;
        (void)str_escape_next(str_of(cases[i].in), 0, out, &len);
        assert_true(str_eq_z(str_make(out, len), cases[i].out));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cmp),   cmocka_unit_test(test_distance),
        cmocka_unit_test(test_utf8),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_units), cmocka_unit_test(test_times),
        cmocka_unit_test(test_glob),  cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
