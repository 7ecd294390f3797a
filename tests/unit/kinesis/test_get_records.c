/* The scanner of GetRecords answers. Every input lies in a buffer of exactly its size, so that a
 * sanitizer sees a read or write beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "get_records.h"
#include "weir/batch.h"
#include "weir/json.h"

typedef struct input {
    char *text;
    get_records g;
} input;

static void open_bytes(input *in, const char *bytes, size_t len) {
    in->text = malloc(len ? len : 1);
    memcpy(in->text, bytes, len);
    get_records_begin(&in->g, in->text, len);
}

static void open_text(input *in, const char *z) {
    open_bytes(in, z, strlen(z));
}

static void expect(weir_str s, const char *z) {
    assert_int_equal(s.len, strlen(z));
    assert_memory_equal(s.ptr, z, s.len);
}

static void usual_answer(void **state) {
    (void)state;
    input in;
    kinesis_record r;
    open_text(&in,
              "{\"Records\":[{\"SequenceNumber\":\"4950\",\"ApproximateArrivalTimestamp\":"
              "1.441000200123E9,\"Data\":\"aGVsbG8=\",\"PartitionKey\":\"k1\"},{\"PartitionKey\":"
              "\"k2\",\"Data\":\"\",\"SequenceNumber\":\"4951\",\"EncryptionType\":\"KMS\"}],"
              "\"NextShardIterator\":\"AAA/bbb\",\"MillisBehindLatest\":17,\"ChildShards\":[]}");
    assert_int_equal(get_records_next(&in.g, &r), 1);
    expect(r.data, "hello");
    expect(r.key, "k1");
    expect(r.sequence, "4950");
    assert_int_equal(r.time_us, 1441000200123000);
    assert_int_equal(get_records_next(&in.g, &r), 1);
    assert_non_null(r.data.ptr);
    expect(r.data, "");
    expect(r.key, "k2");
    assert_int_equal(r.time_us, WEIR_TIME_NONE);
    assert_int_equal(get_records_next(&in.g, &r), 0);
    assert_int_equal(get_records_next(&in.g, &r), 0);
    assert_true(in.g.has_next);
    expect(in.g.next_iterator, "AAA/bbb");
    assert_int_equal(in.g.millis_behind, 17);
    assert_int_equal(in.g.children.len, 0);
    free(in.text);
}

static void any_order_space_null_and_unknown(void **state) {
    (void)state;
    input in;
    kinesis_record r;
    open_text(
        &in,
        " {\n\"ChildShards\" : [ {\"ShardId\":\"shardId-1\",\"ParentShards\":[\"]\"]} ] ,\t"
        "\"New\":{\"a\":[1,2.5e9,{\"b\":\"}\\\"\"}],\"c\":null,\"d\":[true,false,123456789"
        "0123456789012345678901234567890]},\"NextShardIterator\":null,\r\n\"Records\" : [ { "
        "\"More\" : [[[]]] , \"Data\" : \"YQ==\" , \"PartitionKey\" : null, \"SequenceNumber"
        "\" : \"1\", \"ApproximateArrivalTimestamp\" : null } ] , \"MillisBehindLatest\":null} ");
    assert_int_equal(get_records_next(&in.g, &r), 1);
    expect(r.data, "a");
    assert_null(r.key.ptr);
    assert_int_equal(get_records_next(&in.g, &r), 0);
    assert_false(in.g.has_next);
    assert_int_equal(in.g.millis_behind, -1);
    expect(in.g.children, "[ {\"ShardId\":\"shardId-1\",\"ParentShards\":[\"]\"]} ]");
    free(in.text);

    static const char *const empty[] = {"{}", " { } ", "{\"Records\":[]}", "{\"Records\":null}",
                                        "{\"Records\":[ ],\"MillisBehindLatest\":0}"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        open_text(&in, empty[i]);
        assert_int_equal(get_records_next(&in.g, &r), 0);
        free(in.text);
    }
}

static void escapes(void **state) {
    (void)state;
    input in;
    kinesis_record r;
    open_text(
        &in,
        "{\"Records\":[{\"Data\":\"\\/\\/8=\",\"PartitionKey\":\"\\u00e9\\n\\\"\\\\\\ud83d\\ude00"
        "\\ud800x\\u0041\",\"SequenceNumber\":\"7\"}]}");
    assert_int_equal(get_records_next(&in.g, &r), 1);
    assert_int_equal(r.data.len, 2);
    assert_memory_equal(r.data.ptr, "\xff\xff", 2);
    expect(r.key, "\xc3\xa9\n\"\\\xf0\x9f\x98\x80\xef\xbf\xbdxA");
    free(in.text);
}

static void numbers(void **state) {
    (void)state;
    const struct {
        const char *text;
        int64_t us;
    } cases[] = {{"1.4410002E9", 1441000200000000},
                 {"1767225600", 1767225600000000},
                 {"1767225600.5", 1767225600500000},
                 {"1767225600.123456", 1767225600123456},
                 {"1767225600.1234565", 1767225600123457},
                 {"1767225600.12345649999999999999", 1767225600123456},
                 {"17672256E2", 1767225600000000},
                 {"17672256000e-1", 1767225600000000},
                 {"1.767225600e+09", 1767225600000000},
                 {"0", 0},
                 {"0e99999999", 0},
                 {"-1.5", -1500000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char z[256];
        input in;
        kinesis_record r;
        snprintf(
            z, sizeof z,
            "{\"Records\":[{\"ApproximateArrivalTimestamp\":%s,\"Data\":\"\",\"SequenceNumber\":\"1\"}]}",
            cases[i].text);
        open_text(&in, z);
        assert_int_equal(get_records_next(&in.g, &r), 1);
        assert_int_equal(r.time_us, cases[i].us);
        free(in.text);
    }
}

#define R(members) "{\"Records\":[{" members "}]}"
#define GOOD "\"Data\":\"YQ==\",\"SequenceNumber\":\"1\""

static void hostile(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "[",
        "null",
        "{",
        "{\"",
        "{\"Records\"",
        "{\"Records\":",
        "{\"Records\":[",
        "{\"Records\":{}}",
        "{\"Records\":[1]}",
        "{\"Records\":[{}]}",
        R("\"Data\":\"!!!\",\"SequenceNumber\":\"1\""),
        R("\"Data\":\"YQ=\",\"SequenceNumber\":\"1\""),
        R("\"Data\":null,\"SequenceNumber\":\"1\""),
        R("\"Data\":\"YQ==\""),
        R("\"Data\":\"YQ==\",\"SequenceNumber\":\"\""),
        R("\"Data\":\"YQ==\",\"SequenceNumber\":\"01\""),
        R("\"Data\":\"YQ==\",\"SequenceNumber\":\"1a\""),
        R("\"Data\":\"YQ==\",\"SequenceNumber\":1"),
        R("\"Data\":\"YQ==\\"),
        R("\"Data\":\"YQ==\\\""),
        R(GOOD ",\"PartitionKey\":\"\\x\""),
        R(GOOD ",\"PartitionKey\":\"\\u12\""),
        R(GOOD ",\"PartitionKey\":7"),
        R(GOOD ",\"ApproximateArrivalTimestamp\":\"x\""),
        R(GOOD ",\"ApproximateArrivalTimestamp\":1e99"),
        R(GOOD ",\"ApproximateArrivalTimestamp\":1e"),
        R(GOOD ",\"ApproximateArrivalTimestamp\":"),
        R(GOOD ",\"X\":[}"),
        R(GOOD ",\"X\":]"),
        R(GOOD ",\"X\":"),
        R(GOOD ",\"X\":tru"),
        R(GOOD ",\"X\":nil"),
        R(GOOD ","),
        R(GOOD) "x",
        R(GOOD) "{}",
        "{\"Records\":[{" GOOD "} {" GOOD "}]}",
        "{\"Records\":[{" GOOD "},]}",
        "{\"Records\":[{" GOOD "}",
        "{\"Records\":[{" GOOD "}]",
        "{\"Records\":[{" GOOD "}],}",
        "{\"NextShardIterator\":1}",
        "{\"MillisBehindLatest\":\"x\"}",
        "{\"ChildShards\":[{]}",
        "{\"a\":1 \"b\":2}",
        "{\"X\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
        "{\"Records\":[{" GOOD "}],\"Records\":7}"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        input in;
        kinesis_record r;
        int found;
        open_text(&in, cases[i]);
        while ((found = get_records_next(&in.g, &r)) == 1) continue;
        if (found != -1) fail_msg("taken: %s", cases[i]);
        assert_non_null(in.g.fault);
        assert_int_equal(get_records_next(&in.g, &r), -1); /* and stays so */
        free(in.text);
    }
}

/* Each prefix of an answer is refused, and each single changed byte is survived. */
static void cut_and_changed(void **state) {
    (void)state;
    static const char whole[] =
        "{\"Records\":[{\"Data\":\"\\/\\/8=\",\"PartitionKey\":\"\\ud83d\\ude00\",\"SequenceNumber\":\"49\","
        "\"ApproximateArrivalTimestamp\":1.5E9},{\"Data\":\"aGVsbG8gd29ybGQ=\",\"SequenceNumber\":\"50\","
        "\"X\":[1,{\"y\":\"\\\\\"}]}],\"NextShardIterator\":\"A\",\"ChildShards\":null}";
    static const char bytes[] = "\0\"\\{}[],:0e-n\xff";
    kinesis_record r;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        input in;
        int found;
        open_bytes(&in, whole, len);
        while ((found = get_records_next(&in.g, &r)) == 1) continue;
        assert_int_equal(found, -1);
        free(in.text);
        for (size_t b = 0; b < sizeof bytes - 1; b++) {
            open_bytes(&in, whole, sizeof whole - 1);
            in.text[len] = bytes[b];
            while (get_records_next(&in.g, &r) == 1) {
                assert_true(r.data.ptr >= in.text && r.data.ptr + r.data.len <= in.g.end);
                assert_true(r.sequence.len > 0);
            }
            free(in.text);
        }
    }
}

/* Base64 is decoded where it stands: right for every length, whatever the decoder's stride. */
static void in_place_at_every_length(void **state) {
    (void)state;
    for (size_t len = 0; len < 400; len++) {
        char raw[400], text[700];
        for (size_t i = 0; i < len; i++) raw[i] = (char)(i * 131 + len);
        int n = snprintf(text, sizeof text, "{\"Records\":[{\"SequenceNumber\":\"1\",\"Data\":\"");
        weir_str bytes = {raw, len};
        n += (int)weir_base64_encode(bytes, text + n);
        n += snprintf(text + n, sizeof text - (size_t)n, "\",\"PartitionKey\":\"behind\"}]}");
        input in;
        kinesis_record r;
        open_bytes(&in, text, (size_t)n);
        assert_int_equal(get_records_next(&in.g, &r), 1);
        assert_int_equal(r.data.len, len);
        assert_memory_equal(r.data.ptr, raw, len);
        expect(r.key, "behind");
        assert_int_equal(get_records_next(&in.g, &r), 0);
        free(in.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_answer),
        cmocka_unit_test(any_order_space_null_and_unknown),
        cmocka_unit_test(escapes),
        cmocka_unit_test(numbers),
        cmocka_unit_test(hostile),
        cmocka_unit_test(cut_and_changed),
        cmocka_unit_test(in_place_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
