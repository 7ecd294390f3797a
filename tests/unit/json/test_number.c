/* Numbers: exactness of reading, shortness and truth of writing, against the C library. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "json_test.h"

static weir_value read_number(const char *text, uint32_t flags) {
    char padded[2048];
    snprintf(padded, sizeof padded, "[%s]", text);
    parsed *t = parse_bytes(padded, strlen(padded), flags, 0, json_parse_swar);
    if (t->status != WEIR_OK) fail_msg("%s: %s", text, t->p.fault.text);
    assert_int_equal(t->p.used, 2);
    weir_value v = t->p.nodes[1];
    if (v.type == WEIR_V_STRING) {
        assert_int_equal(v.logical, WEIR_L_DECIMAL);
        assert_int_equal(v.size, strlen(text));
        assert_memory_equal(v.as.ptr, text, v.size);
        v.as.ptr = NULL;
    }
    parsed_free(t);
    return v;
}

static void test_integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } signed_cases[] = {{"0", 0},
                        {"-0", 0},
                        {"1", 1},
                        {"-1", -1},
                        {"999999999999999999", 999999999999999999},
                        {"-999999999999999999", -999999999999999999},
                        {"1000000000000000000", 1000000000000000000},
                        {"9223372036854775807", INT64_MAX},
                        {"-9223372036854775807", -INT64_MAX},
                        {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof signed_cases / sizeof signed_cases[0]; i++) {
        weir_value v = read_number(signed_cases[i].text, 0);
        assert_int_equal(v.type, WEIR_V_I64);
        assert_true(v.as.i64 == signed_cases[i].value);
    }
    weir_value v = read_number("9223372036854775808", 0);
    assert_int_equal(v.type, WEIR_V_U64);
    assert_true(v.as.u64 == UINT64_C(1) << 63);
    v = read_number("18446744073709551615", 0);
    assert_int_equal(v.type, WEIR_V_U64);
    assert_true(v.as.u64 == UINT64_MAX);
    assert_int_equal(read_number("18446744073709551616", 0).type, WEIR_V_STRING);
    assert_int_equal(read_number("-9223372036854775809", 0).type, WEIR_V_STRING);
    assert_int_equal(read_number("99999999999999999999", 0).type, WEIR_V_STRING);
    /* Digit for digit what the double says. */
    assert_int_equal(read_number("100000000000000000000", 0).type, WEIR_V_F64);
    assert_int_equal(read_number("-10000000000000000000", 0).type, WEIR_V_F64);
    v = read_number("18446744073709551616", WEIR_JSON_NUMBERS_DOUBLE);
    assert_int_equal(v.type, WEIR_V_F64);
    assert_true(v.as.f64 == 18446744073709551616.0);
}

static void test_exactness(void **state) {
    (void)state;
    static const char *const doubles[] = {
        "0.1",
        "1.10",
        "1e5",
        "1E+5",
        "1.0",
        "-0.0",
        "0e999999999",
        "0.000",
        "1e22",
        "1e23",
        "9e15",
        "0.3",
        "5e-324",
        "1e-290",
        "123456789.123456",
        "1.7976931348623157e308",
        "17976931348623157e292",
        "2.2250738585072014e-308",
        "0.30000000000000004",
        "100000000000000000000000e-23",
        "0.0000000000000000000000000000000000000000000000000000000000001",
        "1.00000000000000000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        weir_value v = read_number(doubles[i], 0);
        if (v.type != WEIR_V_F64) fail_msg("%s is kept as text", doubles[i]);
        assert_true(v.as.f64 == strtod(doubles[i], NULL));
        assert_int_equal(signbit(v.as.f64) != 0, doubles[i][0] == '-');
    }
    static const char *const texts[] = {"0.1000000000000000055511151231257827",
                                        "9007199254740993.0",
                                        "1e309",
                                        "-1e400",
                                        "1e-400",
                                        "0.30000000000000005",
                                        "2.4703282292062328e-324",
                                        "4.9e-324",
                                        "1.7976931348623158e308",
                                        "1.79769313486231570e309",
                                        "3.141592653589793238462643383279",
                                        "1e99999999999999999999",
                                        "1e-99999999999999999999",
                                        "0.12345678901234567890"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (read_number(texts[i], 0).type != WEIR_V_STRING)
            fail_msg("%s became a double", texts[i]);
        weir_value v = read_number(texts[i], WEIR_JSON_NUMBERS_DOUBLE);
        double want = strtod(texts[i], NULL);
        if (isinf(want)) {
            assert_int_equal(v.type, WEIR_V_STRING);
        } else {
            assert_int_equal(v.type, WEIR_V_F64);
            if (v.as.f64 != want) fail_msg("%s: %a instead of %a", texts[i], v.as.f64, want);
        }
    }
}

/* The parser's own ways for common forms against json_number, which knows all of them: digits, a
 * point anywhere, zeros at both ends, a few exponents. */
static void test_short_ways(void **state) {
    (void)state;
    uint64_t seed = 21;
    uint32_t doubles = 0, texts = 0;
    for (int i = 0; i < 200000; i++) {
        char text[80];
        uint64_t r = next_random(&seed);
        uint32_t count = 1 + (uint32_t)(r % 24), point = (uint32_t)(r >> 8) % 24, n = 0;
        if (r >> 16 & 1) text[n++] = '-';
        for (uint32_t d = 0; d < count; d++) {
            uint64_t c = next_random(&seed);
            int zero = (r >> 20 & 3) == 0 && d >= count / 2;
            text[n++] = (char)('0' + (zero ? 0 : c % 10));
            if (d == 0 && text[n - 1] == '0' && count > 1) {
                text[n++] = '.';
                point = 99;
            }
            if (d == point && d + 1 < count) text[n++] = '.';
        }
        if ((r >> 24 & 7) == 0)
            n += (uint32_t)snprintf(text + n, 8, "e%d", (int)(r >> 28 & 63) - 32);
        text[n] = 0;
        for (uint32_t flags = 0; flags <= WEIR_JSON_NUMBERS_DOUBLE;
             flags += WEIR_JSON_NUMBERS_DOUBLE) {
            weir_value want, got = read_number(text, flags);
            const uint8_t *fault_at;
            const char *fault_text;
            assert_non_null(
                json_number((const uint8_t *)text, flags, &want, &fault_at, &fault_text));
            if (want.type == WEIR_V_STRING) want.as.ptr = NULL;
            if (memcmp(&want, &got, sizeof want) != 0)
                fail_msg("%s: type %u or %u", text, want.type, got.type);
            if (got.type == WEIR_V_F64) assert_true(got.as.f64 == strtod(text, NULL));
            doubles += got.type == WEIR_V_F64;
            texts += got.type == WEIR_V_STRING;
        }
    }
    assert_true(doubles > 10000 && texts > 10000);
}

/* Literals on and beside the halfway points between doubles, with up to 800 digits. */
static void test_halfway(void **state) {
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random(&seed) & ~(UINT64_C(1) << 63);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v) || v == 0) continue;
        char text[1200];
        if (i % 4 == 0) {
            /* Exact digits of the midpoint: one bit more than a double has. */
            long double middle = ((long double)v + (long double)nextafter(v, INFINITY)) / 2;
            snprintf(text, sizeof text, "%.800Le", middle);
            if (i % 8 == 0) {
                char *e = strchr(text, 'e');
                e[-1] = '1';
            }
        } else if (i % 4 == 1) {
            snprintf(text, sizeof text, "%.17g", v);
        } else {
            /* 19 digits and any exponent. */
            snprintf(text, sizeof text, "%" PRIu64 "e%d", bits >> 4,
                     (int)(next_random(&seed) % 680) - 350);
        }
        double want = strtod(text, NULL);
        weir_value got = read_number(text, WEIR_JSON_NUMBERS_DOUBLE);
        if (isinf(want)) {
            assert_int_equal(got.type, WEIR_V_STRING);
        } else if (got.type == WEIR_V_F64) {
            if (got.as.f64 != want) fail_msg("%s: %a instead of %a", text, got.as.f64, want);
        } else {
            /* An integer literal that fits. */
            assert_true(got.type == WEIR_V_I64 || got.type == WEIR_V_U64);
        }
    }
}

/* json_decimal_to_double over every exponent, mantissas at the edges of 2^53 and 2^64. */
static void test_every_exponent(void **state) {
    (void)state;
    static const uint64_t mantissas[] = {1,
                                         3,
                                         9007199254740991,
                                         9007199254740992,
                                         9007199254740993,
                                         9007199254740995,
                                         999999999999999999,
                                         UINT64_C(9999999999999999999),
                                         UINT64_MAX};
    uint64_t seed = 7;
    for (int q = -360; q <= 320; q++) {
        for (size_t i = 0; i < 40; i++) {
            uint64_t w = i < 9 ? mantissas[i] : next_random(&seed) >> (next_random(&seed) & 63);
            char text[64];
            snprintf(text, sizeof text, "%" PRIu64 "e%d", w, q);
            double want = strtod(text, NULL), got = json_decimal_to_double(w, q);
            if (memcmp(&want, &got, sizeof want) != 0)
                fail_msg("%s: %a instead of %a", text, got, want);
        }
    }
    /* Exact ties between integers above 2^53. */
    for (uint64_t w = (UINT64_C(1) << 53) - 2; w < (UINT64_C(1) << 53) + 4000; w++) {
        assert_true(json_decimal_to_double(w, 0) == (double)w);
        assert_true(json_decimal_to_double(w * 2 + 1, 0) == (double)(w * 2 + 1));
    }
}

static void check_shortest(double v) {
    char text[64] = "";
    uint32_t n = weir_json_write_f64(v, text);
    assert_true(n <= 25);
    text[n] = 0;
    double back = strtod(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0) fail_msg("%a written as %s", v, text);
    weir_value read = read_number(text, 0);
    assert_int_equal(read.type, WEIR_V_F64);
    assert_memory_equal(&read.as.f64, &v, sizeof v);
    if (v == 0) return;

    json_shortest s = json_double_shortest(fabs(v));
    assert_true(s.digits % 10 != 0);
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, s.digits);
    /* The fewest digits with which printf's text reads back; ours must not have more. And where
     * there are equally short ones printf's is the nearest: ours must be it. */
    for (int precision = 0; precision < 17; precision++) {
        char want[64];
        snprintf(want, sizeof want, "%.*e", precision, fabs(v));
        if (strtod(want, NULL) != fabs(v)) continue;
        int want_count = precision + 1;
        if (count > want_count) fail_msg("%s has %d digits, %s suffices", text, count, want);
        if (count == want_count) {
            char bare[24];
            int k = 0;
            for (const char *c = want; *c != 'e'; c++)
                if (*c != '.') bare[k++] = *c;
            bare[k] = 0;
            if (strcmp(bare, digits) != 0) fail_msg("%s where %s is nearest", text, want);
        }
        break;
    }
}

static void test_shortest(void **state) {
    (void)state;
    static const double edges[] = {0.0,
                                   -0.0,
                                   1.0,
                                   -1.0,
                                   0.1,
                                   0.5,
                                   1.5,
                                   100.0,
                                   1e15,
                                   1e16,
                                   1e17,
                                   1e20,
                                   1e21,
                                   1e22,
                                   1e23,
                                   9007199254740991.0,
                                   9007199254740992.0,
                                   9007199254740994.0,
                                   1e-5,
                                   1e-6,
                                   1e-7,
                                   0.00001234567890123456,
                                   0.000012345678901234567,
                                   DBL_MAX,
                                   DBL_MIN,
                                   DBL_TRUE_MIN,
                                   DBL_EPSILON,
                                   2.2250738585072011e-308,
                                   4.4501477170144023e-308,
                                   5e-324,
                                   1.5e-323,
                                   2e-323,
                                   9.5e-323};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        check_shortest(edges[i]);
        if (edges[i] > 0) {
            if (edges[i] < DBL_MAX) check_shortest(nextafter(edges[i], INFINITY));
            if (edges[i] > DBL_TRUE_MIN) check_shortest(nextafter(edges[i], 0));
        }
    }
    /* Powers of two have the odd interval. */
    for (int e = -1074; e < 1024; e++) {
        check_shortest(ldexp(1, e));
        check_shortest(-nextafter(ldexp(1, e), INFINITY));
    }
    for (int e = -323; e < 309; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        check_shortest(strtod(text, NULL));
    }
    uint64_t seed = 99;
    for (int i = 0; i < 40000; i++) {
        uint64_t bits = next_random(&seed);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v)) check_shortest(v);
        /* Prices and the like: few digits. */
        check_shortest((double)(bits >> 40) / 100);
        check_shortest((double)(int64_t)(bits >> 20) / 1000);
    }
}

static void test_text_forms(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{1, "1.0"},
                 {-1.5, "-1.5"},
                 {0.001, "0.001"},
                 {0.00000123, "0.00000123"},
                 {1.23e-7, "1.23e-7"},
                 {1e20, "100000000000000000000.0"},
                 {1e21, "1e21"},
                 {1.25e21, "1.25e21"},
                 {123456789012345680.0, "123456789012345680.0"},
                 {-5e-324, "-5e-324"},
                 {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
                 {INFINITY, "null"},
                 {-INFINITY, "null"},
                 {NAN, "null"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[26];
        uint32_t n = weir_json_write_f64(cases[i].value, out);
        out[n] = 0;
        assert_string_equal(out, cases[i].text);
    }
}

static void test_write_integers(void **state) {
    (void)state;
    uint64_t seed = 5;
    uint64_t power = 1;
    for (int i = 0; i < 200000; i++) {
        uint64_t v = next_random(&seed) >> (i & 63);
        if (i < 60) {
            /* 10^k - 1, 10^k, 10^k + 1 */
            v = power + (uint64_t)(i % 3) - 1;
            if (i % 3 == 2) power *= 10;
        }
        char want[32], got[32];
        snprintf(want, sizeof want, "%" PRIu64, v);
        got[weir_json_write_u64(v, got)] = 0;
        assert_string_equal(got, want);
        snprintf(want, sizeof want, "%" PRId64, (int64_t)v);
        got[weir_json_write_i64((int64_t)v, got)] = 0;
        assert_string_equal(got, want);
    }
    char got[32];
    got[weir_json_write_i64(INT64_MIN, got)] = 0;
    assert_string_equal(got, "-9223372036854775808");
    got[weir_json_write_u64(UINT64_MAX, got)] = 0;
    assert_string_equal(got, "18446744073709551615");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),       cmocka_unit_test(test_exactness),
        cmocka_unit_test(test_halfway),        cmocka_unit_test(test_short_ways),
        cmocka_unit_test(test_every_exponent), cmocka_unit_test(test_shortest),
        cmocka_unit_test(test_text_forms),     cmocka_unit_test(test_write_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
