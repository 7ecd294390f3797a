/* The writer: escapes, structure, logical types, styles, the bound. */
#include <stdio.h>

#include "json_test.h"

static weir_value text_node(const char *s, size_t len, uint16_t flags) {
    return (weir_value){.type = WEIR_V_STRING, .flags = flags, .size = (uint32_t)len, .as.ptr = s};
}

/* Writes into a buffer of exactly the bound. */
static void expect(const weir_value *v, const weir_json_style *style, const char *want) {
    uint64_t bound = weir_json_bound(v);
    char *out = malloc(bound);
    uint64_t n = style ? weir_json_write_styled(v, style, out) : weir_json_write(v, out);
    assert_true(n <= bound);
    if (n != strlen(want) || memcmp(out, want, n) != 0)
        fail_msg("wrote %.*s, expected %s", (int)n, out, want);
    free(out);
}

static void expect_reformatted(const char *text, const weir_json_style *style, const char *want) {
    weir_json_doc *doc = weir_json_read((weir_str){text, strlen(text)}, 0, NULL);
    assert_non_null(doc);
    expect(weir_json_root(doc), style, want);
    weir_json_free(doc);
}

static void test_structure(void **state) {
    (void)state;
    expect_reformatted(" [ ] ", NULL, "[]");
    expect_reformatted(" { } ", NULL, "{}");
    expect_reformatted("[[],{},[{}],{\"a\":[]}]", NULL, "[[],{},[{}],{\"a\":[]}]");
    expect_reformatted("{ \"a\" : [ 1 , true , false , null ] , \"b\" : \"x\" }", NULL,
                       "{\"a\":[1,true,false,null],\"b\":\"x\"}");
    expect_reformatted("\"lone\"", NULL, "\"lone\"");
    expect_reformatted("[1e400,123456789012345678901234567890]", NULL,
                       "[1e400,123456789012345678901234567890]");
}

/* Deeper than a frame of the writer remembers, and deeper than any text. */
static void test_deep(void **state) {
    (void)state;
    enum { DEPTH = 5000 };
    weir_value *nodes = calloc(DEPTH, sizeof *nodes);
    char *want = malloc(2 * DEPTH + 1), *out;
    for (uint32_t i = 0; i < DEPTH; i++) {
        nodes[i] = (weir_value){.type = WEIR_V_ARRAY, .size = i + 1 < DEPTH, .as.skip = DEPTH - i};
        want[i] = '[';
        want[2 * DEPTH - 1 - i] = ']';
    }
    want[2 * DEPTH] = 0;
    out = malloc(weir_json_bound(nodes));
    assert_int_equal(weir_json_write(nodes, out), 2 * DEPTH);
    assert_memory_equal(out, want, 2 * DEPTH);
    free(out);
    free(want);
    free(nodes);
    /* With siblings behind each level, around the frame's size. */
    for (int depth = 60; depth < 70; depth++) {
        char text[1024];
        int n = 0;
        for (int i = 0; i < depth; i++) n += snprintf(text + n, 16, "{\"a\":");
        text[n++] = '1';
        for (int i = 0; i < depth; i++) n += snprintf(text + n, 16, ",\"b\":2}");
        text[n] = 0;
        expect_reformatted(text, NULL, text);
    }
}

/* Every byte below 0x80 and some above, at every place of a string as long as two vectors. */
static void test_escapes(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x80; c++) {
        char escaped[8];
        static const char *const letters[] = {
            [8] = "\\b",  [9] = "\\t",   [10] = "\\n", [12] = "\\f",
            [13] = "\\r", [34] = "\\\"", [92] = "\\\\"};
        if (c < 93 && letters[c])
            snprintf(escaped, sizeof escaped, "%s", letters[c]);
        else if (c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        else
            snprintf(escaped, sizeof escaped, "%c", c);
        for (size_t len = 1; len < 70; len += 3) {
            for (size_t at = 0; at < len; at++) {
                char *s = malloc(len);
                memset(s, 'x', len);
                s[at] = (char)c;
                char want[128];
                int n = snprintf(
                    want, sizeof want, "\"%.*s%s%.*s\"", (int)at,
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                    escaped, (int)(len - at - 1),
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
                weir_value v = text_node(s, len, 0);
                expect(&v, NULL, want);
                char out[6 * 70 + 2];
                assert_int_equal(weir_json_write_str((weir_str){s, len}, out), n);
                assert_memory_equal(out, want, (size_t)n);
                free(s);
            }
        }
    }
    weir_value v = text_node("\xc3\xa9\xf0\x9f\x98\x80\x7f", 7, 0);
    expect(&v, NULL, "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"");
    v = text_node(NULL, 0, 0);
    expect(&v, NULL, "\"\"");
}

/* Plain strings are copied: each length, so that no copy trick is off by one. */
static void test_plain(void **state) {
    (void)state;
    char want[303], *s;
    for (uint32_t len = 0; len < 300; len++) {
        s = malloc(len ? len : 1);
        want[0] = '"';
        for (uint32_t i = 0; i < len; i++) want[1 + i] = s[i] = (char)('a' + (i * 7 + len) % 26);
        want[len + 1] = '"';
        want[len + 2] = 0;
        weir_value v = text_node(s, len, WEIR_VF_PLAIN);
        expect(&v, NULL, want);
        free(s);
    }
}

/* The worst case of the bound: nothing but escapes. */
static void test_bound(void **state) {
    (void)state;
    char s[100], want[603];
    memset(s, 1, sizeof s);
    want[0] = '"';
    for (int i = 0; i < 100; i++) memcpy(want + 1 + 6 * i, "\\u0001", 6);
    memcpy(want + 601, "\"", 2);
    weir_value v = text_node(s, sizeof s, 0);
    expect(&v, NULL, want);
    v.logical = WEIR_L_UUID;
    expect(&v, NULL, want);
    v.logical = WEIR_L_DECIMAL; /* not a number: may not stand bare */
    expect(&v, NULL, want);
}

static weir_value integer(uint8_t logical, int64_t n) {
    return (weir_value){.type = WEIR_V_I64, .logical = logical, .as.i64 = n};
}

static void test_times(void **state) {
    (void)state;
    static const struct {
        int64_t us;
        const char *iso, *s, *ms;
    } cases[] = {
        {0, "\"1970-01-01T00:00:00Z\"", "0", "0"},
        {1, "\"1970-01-01T00:00:00.000001Z\"", "0.000001", "0.001"},
        {-1, "\"1969-12-31T23:59:59.999999Z\"", "-0.000001", "-0.001"},
        {1700000000123000, "\"2023-11-14T22:13:20.123Z\"", "1700000000.123", "1700000000123"},
        {1700000000123456, "\"2023-11-14T22:13:20.123456Z\"", "1700000000.123456",
         "1700000000123.456"},
        {951782400000000, "\"2000-02-29T00:00:00Z\"", "951782400", "951782400000"},
        {INT64_C(-62135596800000000), "\"0001-01-01T00:00:00Z\"", "-62135596800",
         "-62135596800000"},
        {INT64_C(-62167219200000001), "\"-000001-12-31T23:59:59.999999Z\"", "-62167219200.000001",
         "-62167219200000.001"},
        {INT64_C(253402300799999999), "\"9999-12-31T23:59:59.999999Z\"", "253402300799.999999",
         "253402300799999.999"},
        {INT64_C(253402300800000000), "\"+010000-01-01T00:00:00Z\"", "253402300800",
         "253402300800000"},
        {INT64_MAX, "\"+294247-01-10T04:00:54.775807Z\"", "9223372036854.775807",
         "9223372036854775.807"},
        {INT64_MIN, "\"-290308-12-21T19:59:05.224192Z\"", "-9223372036854.775808",
         "-9223372036854775.808"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_value v = integer(WEIR_L_TIMESTAMP_US, cases[i].us);
        expect(&v, NULL, cases[i].iso);
        expect(&v, &(weir_json_style){.timestamps = WEIR_JSON_TIME_EPOCH_S}, cases[i].s);
        expect(&v, &(weir_json_style){.timestamps = WEIR_JSON_TIME_EPOCH_MS}, cases[i].ms);
        char us[32];
        snprintf(us, sizeof us, "%lld", (long long)cases[i].us);
        expect(&v, &(weir_json_style){.timestamps = WEIR_JSON_TIME_EPOCH_US}, us);
    }
    weir_value v = integer(WEIR_L_DATE, 19675);
    expect(&v, NULL, "\"2023-11-14\"");
    v = integer(WEIR_L_DATE, INT64_MIN);
    expect(&v, NULL, "-9223372036854775808");
    v = integer(WEIR_L_DATE, 365000001);
    expect(&v, NULL, "365000001");
    v = integer(WEIR_L_TIME_US, 86399999999);
    expect(&v, NULL, "\"23:59:59.999999\"");
    v = integer(WEIR_L_TIME_US, 3600000000);
    expect(&v, NULL, "\"01:00:00\"");
    v = integer(WEIR_L_TIME_US, 86400000000);
    expect(&v, NULL, "86400000000");
    v = integer(WEIR_L_TIME_US, -1);
    expect(&v, NULL, "-1");
}

/* Dates of 800 years against counting day by day. */
static void test_calendar(void **state) {
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 1600, month = 1, day = 1;
    for (int64_t days = -135140; year < 2400; days++) {
        weir_value v = integer(WEIR_L_DATE, days);
        char want[32];
        snprintf(want, sizeof want, "\"%04d-%02d-%02d\"", year, month, day);
        expect(&v, NULL, want);
        int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (++day > lengths[month - 1] + (month == 2 && leap)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
}

static void test_decimals(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t len;
        uint8_t scale;
        const char *want;
    } cases[] = {
        {"\x00", 1, 0, "0"},
        {"\x00", 1, 2, "0.00"},
        {"\x05", 1, 2, "0.05"},
        {"\x7f", 1, 0, "127"},
        {"\x80", 1, 0, "-128"},
        {"\xff", 1, 1, "-0.1"},
        {"\xff\xff", 2, 0, "-1"},
        {"\xff\x00", 2, 0, "-256"},
        {"\x04\xd2", 2, 2, "12.34"},
        {"\x04\xd2", 2, 4, "0.1234"},
        {"\x04\xd2", 2, 6, "0.001234"},
        {"\x7f\xff\xff\xff\xff\xff\xff\xff", 8, 0, "9223372036854775807"},
        {"\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 0, "-170141183460469231731687303715884105728"},
        {"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17, 38,
         "3.40282366920938463463374607431768211456"},
        {"", 0, 2, "\"\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_value v = {.type = WEIR_V_BYTES,
                        .logical = WEIR_L_DECIMAL,
                        .flags = (uint16_t)(cases[i].scale << WEIR_VF_SCALE_SHIFT),
                        .size = cases[i].len,
                        .as.ptr = cases[i].bytes};
        expect(&v, NULL, cases[i].want);
    }
    /* The largest: 1 KiB of it, 255 digits behind the point, within the bound. */
    char bytes[1025];
    memset(bytes, 0x7f, sizeof bytes);
    weir_value v = {.type = WEIR_V_BYTES,
                    .logical = WEIR_L_DECIMAL,
                    .flags = (uint16_t)(255u << WEIR_VF_SCALE_SHIFT),
                    .size = 1024,
                    .as.ptr = bytes};
    char *out = malloc(weir_json_bound(&v));
    uint64_t n = weir_json_write(&v, out);
    assert_int_equal(n, 2466 + 1);
    free(out);
    v.size = 1025; /* written as bytes */
    out = malloc(weir_json_bound(&v));
    n = weir_json_write(&v, out);
    assert_int_equal(n, 4 * 342 + 2);
    assert_int_equal(out[0], '"');
    free(out);

    static const struct {
        const char *text, *want;
    } texts[] = {{"1", "1"},       {"-0.10", "-0.10"}, {"1e400", "1e400"}, {"1E-9", "1E-9"},
                 {"+1", "\"+1\""}, {"01", "\"01\""},   {"1.", "\"1.\""},   {".5", "\".5\""},
                 {"", "\"\""},     {"-", "\"-\""},     {"NaN", "\"NaN\""}, {"1e", "\"1e\""},
                 {"1 ", "\"1 \""}, {"0x1", "\"0x1\""}, {"1,2", "\"1,2\""}, {"-00", "\"-00\""}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        v = text_node(texts[i].text, strlen(texts[i].text), 0);
        v.logical = WEIR_L_DECIMAL;
        expect(&v, NULL, texts[i].want);
    }
}

static void test_bytes(void **state) {
    (void)state;
    weir_value v = {.type = WEIR_V_BYTES, .size = 4, .as.ptr = "\0\xff\x10z"};
    expect(&v, NULL, "\"AP8Qeg==\"");
    v = (weir_value){.type = WEIR_V_BYTES,
                     .logical = WEIR_L_UUID,
                     .size = 16,
                     .as.ptr = "\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\x00"};
    expect(&v, NULL, "\"123e4567-e89b-12d3-a456-426614174000\"");
    v.size = 3;
    expect(&v, NULL, "\"Ej5F\"");
}

static void test_drop_nulls(void **state) {
    (void)state;
    weir_json_style drop = {.drop_nulls = 1};
    expect_reformatted("{\"a\":null,\"b\":1,\"c\":null,\"d\":[null,{\"x\":null}],\"e\":null}",
                       &drop, "{\"b\":1,\"d\":[null,{}]}");
    expect_reformatted("{\"a\":null,\"b\":null}", &drop, "{}");
    expect_reformatted("{\"a\":1,\"b\":null}", &drop, "{\"a\":1}");
    expect_reformatted("{\"a\":null,\"b\":1}", &drop, "{\"b\":1}");
    expect_reformatted("[{\"a\":null},null]", &drop, "[{},null]");
    expect_reformatted("null", &drop, "null");
    expect_reformatted("{\"a\":null,\"b\":1}", NULL, "{\"a\":null,\"b\":1}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure), cmocka_unit_test(test_deep),
        cmocka_unit_test(test_escapes),   cmocka_unit_test(test_plain),
        cmocka_unit_test(test_bound),     cmocka_unit_test(test_times),
        cmocka_unit_test(test_calendar),  cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_bytes),     cmocka_unit_test(test_drop_nulls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
