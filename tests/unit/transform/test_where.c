#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transform/number.h"
#include "transform/where.h"
#include "weir/json.h"

static weir_str str(const char *z) {
    return (weir_str){z, strlen(z)};
}

static const struct {
    const char *record;
    const char *where;
    int holds;
} cases[] = {
    {"{\"a\": 1}", ".a == 1", 1},
    {"{\"a\": 1}", ".a == 1.0", 1},
    {"{\"a\": 1}", ".a == 10e-1", 1},
    {"{\"a\": 1}", ".a != 1", 0},
    {"{\"a\": 1}", ".a > 0 and .a < 2", 1},
    {"{\"a\": 1}", ".a >= 1 and .a <= 1", 1},
    {"{\"a\": 1}", "1 < .a or .a < 1", 0},
    {"{\"a\": -3}", ".a < -2.5", 1},
    /* missing and null */
    {"{\"a\": 1}", ".b == null", 1},
    {"{\"a\": 1}", ".a == null", 0},
    {"{\"a\": 1}", ".a != null", 1},
    {"{\"a\": 1}", "null != .a", 1},
    {"{\"a\": 1}", ".b != null", 0},
    {"{\"a\": null}", ".a == null", 1},
    {"{\"a\": 1}", ".b == 1", 0},
    {"{\"a\": 1}", ".b != 1", 0},
    {"{\"a\": 1}", ".b < 1 or .b >= 1", 0},
    {"{\"a\": 1}", "not .b == 1", 1},
    {"{\"a\": 1}", ".a != .b", 0},
    {"{\"a\": null}", ".a == .b", 1},
    {"{}", "null == null", 1},
    {"{}", "null < null", 0},
    /* types */
    {"{\"a\": \"1\"}", ".a == 1", 0},
    {"{\"a\": \"1\"}", ".a != 1", 1},
    {"{\"a\": \"1\"}", ".a > 0", 0},
    {"{\"a\": true}", ".a == true", 1},
    {"{\"a\": true}", ".a != false", 1},
    {"{\"a\": true}", ".a > false", 0},
    {"{\"a\": true}", ".a == 1", 0},
    {"{\"a\": true}", ".a", 1},
    {"{\"a\": 1}", ".a", 0},
    {"{\"a\": false}", "not .a", 1},
    {"{\"a\": \"true\"}", ".a", 0},
    {"{}", "true", 1},
    {"{}", "false or not false", 1},
    /* strings */
    {"{\"a\": \"abc\"}", ".a == \"abc\"", 1},
    {"{\"a\": \"abc\"}", ".a == 'abc'", 1},
    {"{\"a\": \"abc\"}", ".a < \"abd\" and .a > \"ab\"", 1},
    {"{\"a\": \"it's\"}", ".a == 'it\\'s'", 1},
    {"{\"a\": \"\\u00e9\\ud83d\\ude00\"}", ".a == \"\\u00e9\\ud83d\\ude00\"", 1},
    {"{\"a\": \"\xc3\xa9\"}", ".a == \"\\u00e9\"", 1},
    {"{\"a\": \"z\"}", ".a < \"\xc3\xa9\"", 1}, /* by bytes */
    {"{\"a\": \"\"}", ".a == \"\"", 1},
    {"{\"a\": \"a\\tb\\n\"}", ".a == \"a\\tb\\n\"", 1},
    /* paths */
    {"{\"a\": {\"b\": [1, {\"c\": 5}]}}", ".a.b[1].c == 5", 1},
    {"{\"a\": {\"b\": [1, 2]}}", ".a.b[2] == null", 1},
    {"{\"a\": 1}", ".a.b.c == null", 1},
    {"{\"a b\": 1, \"c\": {\"d-e\": 2}}", ".\"a b\" == 1 and .c[\"d-e\"] == 2", 1},
    {"[7]", ".[0] == 7", 1},
    {"7", ". == 7", 1},
    {"7", "(. == 7)", 1},
    {"true", ".", 1},
    {"{\"and\": 1}", ".and == 1", 1},
    {"{\"a\": 1, \"a\": 2}", ".a == 2", 1},
    {"{\"\xc3\xa9t\xc3\xa9\": 1}", ".\xc3\xa9t\xc3\xa9 == 1", 1},
    /* precedence */
    {"{}", "true or false and false", 1},
    {"{}", "(true or false) and false", 0},
    {"{}", "not true or true", 1},
    {"{}", "not (true or true)", 0},
    {"{}", "not not true", 1},
    {"{}", "false and false or true", 1},
    {"{}", "false or false or true and true", 1},
    {"{}", "true and (false or (true and not false))", 1},
    /* exact numbers */
    {"{\"a\": 9007199254740993}", ".a == 9007199254740992", 0},
    {"{\"a\": 9007199254740993}", ".a > 9007199254740992.0", 1},
    {"{\"a\": 9223372036854775807}", ".a < 9223372036854775808", 1},
    {"{\"a\": 18446744073709551615}", ".a > 9223372036854775807", 1},
    {"{\"a\": 18446744073709551616}", ".a > 18446744073709551615", 1},
    {"{\"a\": -1}", ".a < 18446744073709551615", 1},
    {"{\"a\": 0.1}", ".a == 0.10", 1},
    {"{\"a\": 0.1}", ".a < 0.1000000000000000055", 1},
    {"{\"a\": 0.10000000000000000001}", ".a > 0.1", 1},
    {"{\"a\": 0.10000000000000000001}", ".a == 0.100000000000000000010", 1},
    {"{\"a\": 1e400}", ".a > 1e399 and .a < 1e401", 1},
    {"{\"a\": 1e400}", ".a == 10e399", 1},
    {"{\"a\": -1e400}", ".a < 0 and .a < -1e308", 1},
    {"{\"a\": 1e-400}", ".a > 0 and .a < 1e-300", 1},
    {"{\"a\": 0}", ".a == -0.0 and .a == 0e5", 1},
    {"{\"a\": 123456789012345678901234567890}", ".a == 123456789012345678901234567890.000", 1},
    {"{\"a\": 123456789012345678901234567890}", ".a < 123456789012345678901234567891", 1},
    {"{\"a\": 1.5}", ".a > 1 and .a < 2", 1},
    /* containers */
    {"{\"a\": [1, {\"b\": 2}], \"c\": [1.0, {\"b\": 2}]}", ".a == .c", 1},
    {"{\"a\": [1], \"c\": [1, 2]}", ".a != .c", 1},
    {"{\"a\": [1], \"c\": [2]}", ".a < .c", 0},
    {"{\"a\": {}, \"c\": []}", ".a == .c", 0},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        where_fault fault;
        where_program *p = where_compile(str(cases[i].where), &fault);
        weir_json_doc *doc = weir_json_read(str(cases[i].record), 0, NULL);
        if (p == NULL) fail_msg("%s: column %u: %s", cases[i].where, fault.column, fault.text);
        assert_non_null(doc);
        if (where_holds(p, weir_json_root(doc)) != (cases[i].holds != 0)) {
            fail_msg("%s over %s is not %d", cases[i].where, cases[i].record, cases[i].holds);
        }
        where_free(p);
        weir_json_free(doc);
    }
}

static const struct {
    const char *where;
    uint32_t column;
    const char *text;
    const char *hint; /* part of it; NULL = not looked at */
} faults[] = {
    {"", 1, "expected a field or a value, found the end", NULL},
    {".a == ", 7, "expected a field or a value, found the end", NULL},
    {".a == )", 7, "expected a field or a value, found ')'", NULL},
    {".a = 1", 4, "found '='", "=="},
    {".a == 1 && .b", 9, "found '&'", "and"},
    {".a == 1 || .b", 9, "found '|'", "or"},
    {"!.a", 1, "found '!'", "not"},
    {"a == 1", 1, "found 'a'", "a field begins with a dot"},
    {".a == foo", 7, "found 'foo'", "quotes"},
    {"1 < .a < 3", 8, "expected and, or, or the end, found '<'", "join several"},
    {".a == 1 .b", 9, "expected and, or, or the end, found '.'", NULL},
    {"(.a == 1", 1, "this '(' is not closed", NULL},
    {".a == 1)", 8, "this ')' closes nothing", NULL},
    {".a == \"x", 7, "this string has no end", NULL},
    {".a == \"\\q\"", 8, "expected an escape as in JSON, found '\\q'", NULL},
    {".a == \"\\ud800\"", 8, "expected an escape", NULL},
    {".a == 01", 7, "expected a number as in JSON", NULL},
    {".a == 1x", 7, "expected a number as in JSON", NULL},
    {".a[-1] == 1", 4, "expected an index", NULL},
    {".a[1.5] == 1", 4, "expected an index", NULL},
    {".a[99999999999] == 1", 4, "expected an index", NULL},
    {".a[1 == 1", 6, "expected ']'", NULL},
    {".a. == 1", 5, "expected a field name behind the dot", NULL},
    {".a.0 == 1", 4, "expected a field name behind the dot", "quotes"},
    {"..a == 1", 2, "expected a field name", NULL},
    {".a-b == 1", 3, "expected", NULL},
    {"1", 2, "expected a comparison", NULL},
    {"\"x\" and .a", 5, "expected a comparison", NULL},
    {"and", 1, "expected a field or a value", NULL},
    {"not", 4, "found the end", NULL},
    {".\xc3\xa9 == ,", 7, "found ','", NULL}, /* columns count characters */
    {"true true", 6, "found 'true'", NULL},
};

static void test_faults(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        where_fault fault;
        where_program *p = where_compile(str(faults[i].where), &fault);
        if (p != NULL) fail_msg("accepted: %s", faults[i].where);
        if (fault.column != faults[i].column || strstr(fault.text, faults[i].text) == NULL) {
            fail_msg("%s: column %u: %s", faults[i].where, fault.column, fault.text);
        }
        if (faults[i].hint != NULL &&
            (fault.hint == NULL || strstr(fault.hint, faults[i].hint) == NULL)) {
            fail_msg("%s: hint %s", faults[i].where, fault.hint != NULL ? fault.hint : "(none)");
        }
    }
}

static void test_limits(void **state) {
    static char text[WHERE_TEXT_MAX + 2];
    where_fault fault;
    where_program *p;
    size_t n;
    (void)state;
    for (uint32_t depth = WHERE_DEPTH_MAX - 1; depth <= WHERE_DEPTH_MAX + 1; depth++) {
        memset(text, '(', depth);
        memcpy(text + depth, "true", 4);
        memset(text + depth + 4, ')', depth);
        p = where_compile((weir_str){text, depth * 2 + 4}, &fault);
        assert_int_equal(p != NULL, depth <= WHERE_DEPTH_MAX);
        where_free(p);
    }
    memset(text, '(', WHERE_TEXT_MAX); /* the parser must not recurse that deep */
    assert_null(where_compile((weir_str){text, WHERE_TEXT_MAX}, &fault));
    assert_null(where_compile((weir_str){text, WHERE_TEXT_MAX + 1}, &fault));
    assert_int_equal(fault.column, 0);
    /* As long as it may be: a chain of ands, jumps over all of it. */
    for (n = 0; n + 9 < WHERE_TEXT_MAX; n += 9) memcpy(text + n, "true and ", 9);
    memcpy(text + n, "true", 4);
    p = where_compile((weir_str){text, n + 4}, &fault);
    assert_non_null(p);
    assert_true(where_holds(p, &(weir_value){0}));
    where_free(p);
}

/* Decimals in bytes, as Avro has them, and doubles that are no numbers. */
static void test_numbers(void **state) {
    static const char minus_one_23[] = "\xff\x85"; /* -123 */
    static const char big[] = "\x01\0\0\0\0\0\0\0\0";
    weir_value a = {.type = WEIR_V_BYTES, .logical = WEIR_L_DECIMAL, .size = 2};
    weir_value b = {.type = WEIR_V_F64};
    weir_value c = {.type = WEIR_V_STRING, .logical = WEIR_L_DECIMAL, .size = 20};
    (void)state;
    a.as.ptr = minus_one_23;
    a.flags = 2 << WEIR_VF_SCALE_SHIFT;
    b.as.f64 = -1.23;
    assert_int_equal(number_compare(&a, &b), 0);
    b.as.f64 = -1.22;
    assert_int_equal(number_compare(&a, &b), -1);
    assert_int_equal(number_compare(&b, &a), 1);
    a.as.ptr = big;
    a.size = 9;
    a.flags = 0;
    c.as.ptr = "18446744073709551616";
    assert_int_equal(number_compare(&a, &c), 0);
    a.as.ptr = "\0";
    a.size = 1;
    b.as.f64 = -0.0;
    assert_int_equal(number_compare(&a, &b), 0);
    b.as.f64 = (double)NAN;
    assert_int_equal(number_compare(&a, &b), NUMBER_UNORDERED);
    assert_int_equal(number_compare(&b, &b), NUMBER_UNORDERED);
    b.as.f64 = (double)INFINITY;
    assert_int_equal(number_compare(&a, &b), -1);
    assert_int_equal(number_compare(&b, &c), 1);
    c.as.ptr = "12x";
    c.size = 3;
    assert_int_equal(number_compare(&a, &c), NUMBER_UNORDERED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
