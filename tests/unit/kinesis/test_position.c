/* Positions, moments, and what a split carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "moment.h"
#include "position.h"
#include "stream.h"

static weir_str str(const char *z) {
    weir_str s = {z, strlen(z)};
    return s;
}

static uint32_t encode(const char *sequence, uint32_t sub, char *out) {
    shard_position p;
    position_set(&p, str(sequence), sub);
    return position_encode(&p, out);
}

static void memcmp_orders_positions(void **state) {
    (void)state;
    const struct {
        const char *sequence;
        uint32_t sub;
    } ascending[] = {{"0", 0},
                     {"0", POSITION_WHOLE},
                     {"9", 0},
                     {"10", 0},
                     {"10", 1},
                     {"10", 255},
                     {"10", 256},
                     {"10", POSITION_WHOLE},
                     {"11", 0},
                     {"99999999999999999999", 3},
                     {"100000000000000000000", 0},
                     {"49668899999999999999999999999999999999999999999999999999", 0},
                     {"49668900000000000000000000000000000000000000000000000000", 0}};
    const size_t n = sizeof ascending / sizeof ascending[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            char a[POSITION_BYTES_MAX], b[POSITION_BYTES_MAX];
            uint32_t x = encode(ascending[i].sequence, ascending[i].sub, a);
            uint32_t y = encode(ascending[j].sequence, ascending[j].sub, b);
            int order = memcmp(a, b, x < y ? x : y);
            if (order == 0) order = (x > y) - (x < y);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void positions_round_trip(void **state) {
    (void)state;
    char longest[SEQUENCE_MAX + 1], bytes[POSITION_BYTES_MAX], text[SEQUENCE_MAX + 13];
    memset(longest, '7', SEQUENCE_MAX);
    longest[SEQUENCE_MAX] = '\0';
    shard_position p;
    weir_str encoded = {bytes, encode(longest, 5, bytes)};
    assert_int_equal(encoded.len, POSITION_BYTES_MAX);
    assert_true(position_decode(&p, encoded));
    assert_string_equal(p.sequence, longest);
    assert_int_equal(p.sub, 5);
    assert_int_equal(position_to_text(&p, text), SEQUENCE_MAX + 2);

    assert_true(position_from_text(&p, str("4950")));
    assert_int_equal(p.sub, POSITION_WHOLE);
    position_to_text(&p, text);
    assert_string_equal(text, "4950");
    assert_true(position_from_text(&p, str("4950:12")));
    position_to_text(&p, text);
    assert_string_equal(text, "4950:12");

    static const char *const wrong[] = {
        "", "x", "01", "1:", "1:x", ":1", "1:4294967295", "1:99999999999", "-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(position_from_text(&p, str(wrong[i])));

    weir_str none = {"", 0}, cut = {bytes, encoded.len - 1};
    assert_true(position_decode(&p, none));
    assert_string_equal(p.sequence, "");
    assert_int_equal(position_encode(&p, text), 0);
    assert_false(position_decode(&p, cut));
    weir_str zero = {"\0\0\0\0\0", 5}, letters = {"\2ab\0\0\0\0", 7};
    assert_false(position_decode(&p, zero));
    assert_false(position_decode(&p, letters));
}

static void moments(void **state) {
    (void)state;
    const struct {
        const char *text, *format;
        int64_t us; /* -1: refused */
    } cases[] = {{"2026-01-01T00:00:00Z", "", 1767225600000000},
                 {"2026-01-01T01:30:00.25+01:30", "", 1767225600250000},
                 {"2025-12-31 23:00:00-0100", "", 1767225600000000},
                 {"2026-01-01", "", 1767225600000000},
                 {"1767225600", "", 1767225600000000},
                 {"1767225600.5", "", 1767225600500000},
                 {"2026/01/01 00:00", "%Y/%m/%d %H:%M", 1767225600000000},
                 {"2026-01-01 02:00 +0200", "%Y-%m-%d %H:%M %z", 1767225600000000},
                 {"1767225600", "%Y-%m-%d", 1767225600000000},
                 {"2026-01-01T00:00:00", "", -1},
                 {"2026-13-01", "", -1},
                 {"2026-02-30", "", -1},
                 {"2026-01-01T25:00:00Z", "", -1},
                 {"1767225600000", "", -1},
                 {"-5", "", -1},
                 {"soon", "%Y", -1},
                 {"", "", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = -1;
        int ok = moment_parse(str(cases[i].text), str(cases[i].format), &us);
        if (ok != (cases[i].us >= 0) || (ok && us != cases[i].us))
            fail_msg("\"%s\" as \"%s\": %d, %lld", cases[i].text, cases[i].format, ok,
                     (long long)us);
    }
}

static void streams_and_private_bytes(void **state) {
    (void)state;
    split_plan plan = {.start = {START_TIMESTAMP, 1767225600123456}, .stop_us = STOP_NEVER}, back;
    assert_null(stream_parse(&plan.stream,
                             str("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b_c-1")));
    assert_string_equal(plan.stream.name, "a.b_c-1");
    assert_string_equal(plan.stream.region, "cn-north-1");
    assert_string_equal(plan.stream.account, "123456789012");
    char bytes[PRIVATE_BYTES_MAX];
    weir_str encoded = {bytes, private_encode(&plan, bytes)};
    assert_true(private_decode(encoded, &back));
    assert_string_equal(back.stream.arn, plan.stream.arn);
    assert_int_equal(back.start.us, plan.start.us);
    assert_int_equal(back.stop_us, STOP_NEVER);
    bytes[0] = 9;
    assert_false(private_decode(encoded, &back));
    encoded.len = 18;
    assert_false(private_decode(encoded, &back));

    static const char *const wrong[] = {"",
                                        "a b",
                                        "arn:aws:s3:::x",
                                        "arn:aws:kinesis:r:123456789012:stream/",
                                        "arn:aws:kinesis:r:1:stream/x",
                                        "arn:aws:kinesis:r:123456789012:table/x",
                                        "arn:aws:kinesis::123456789012:stream/x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_non_null(stream_parse(&plan.stream, str(wrong[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memcmp_orders_positions),
        cmocka_unit_test(positions_round_trip),
        cmocka_unit_test(moments),
        cmocka_unit_test(streams_and_private_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
