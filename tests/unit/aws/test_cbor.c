/* CBOR: the examples of RFC 8949 appendix A, every cut of them, every refusal, the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/cbor.h"

typedef struct decoded {
    weir_json_parser p;
    char *bytes;
    uint64_t len;
    char *strings;
    uint64_t strings_used;
    uint32_t calls_left; /* of grow and alloc; then there is no memory */
    weir_status status;
} decoded;

/* A new place each time, so that a pointer kept across a move is found out. */
static weir_value *grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *got) {
    decoded *d = opaque;
    if (d->calls_left-- == 0) return NULL;
    weir_value *nodes = malloc(capacity * sizeof *nodes);
    assert_non_null(nodes);
    if (used) memcpy(nodes, d->p.nodes, used * sizeof *nodes);
    free(d->p.nodes);
    *got = capacity;
    return nodes;
}

static char *take(void *opaque, uint64_t size) {
    decoded *d = opaque;
    if (d->calls_left-- == 0) return NULL;
    char *bytes = d->strings + d->strings_used;
    d->strings_used += size;
    assert_true(d->strings_used <= 3 * d->len);
    return bytes;
}

static uint8_t nibble(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void decode_bytes(decoded *d, const void *bytes, uint64_t len, uint32_t flags,
                         uint32_t calls) {
    memset(d, 0, sizeof *d);
    d->len = len;
    d->bytes = malloc(len ? len : 1);
    d->strings = malloc(3 * len + 1);
    if (len) memcpy(d->bytes, bytes, len);
    d->calls_left = calls;
    d->p = (weir_json_parser){.flags = flags, .grow = grow, .alloc = take, .opaque = d};
    d->status = weir_cbor_parse(&d->p, (weir_str){d->bytes, len});
}

static uint64_t unhex(const char *hex, uint8_t *out) {
    uint64_t len = strlen(hex) / 2;
    for (uint64_t i = 0; i < len; i++)
        out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return len;
}

static void decode(decoded *d, const char *hex, uint32_t flags) {
    uint8_t bytes[512];
    assert_true(strlen(hex) / 2 <= sizeof bytes);
    decode_bytes(d, bytes, unhex(hex, bytes), flags, UINT32_MAX);
}

static void done(decoded *d) {
    weir_json_parser_free(&d->p);
    free(d->p.nodes);
    free(d->strings);
    free(d->bytes);
}

/* The tape as text: JSON's, but floats end with f, bytes are h'', times are t, UUIDs u. */
typedef struct shown {
    char text[2048];
    size_t len;
} shown;

static void add(shown *s, const char *text) {
    size_t n = strlen(text);
    assert_true(s->len + n < sizeof s->text);
    memcpy(s->text + s->len, text, n + 1);
    s->len += n;
}

static void show(shown *s, const weir_value *v) {
    char number[64];
    switch (v->type) {
    case WEIR_V_NULL:
        add(s, "null");
        break;
    case WEIR_V_BOOL:
        add(s, v->as.u64 ? "true" : "false");
        break;
    case WEIR_V_I64:
        snprintf(number, sizeof number, "%s%lld", v->logical == WEIR_L_TIMESTAMP_US ? "t" : "",
                 (long long)v->as.i64);
        add(s, number);
        break;
    case WEIR_V_U64:
        snprintf(number, sizeof number, "%llu", (unsigned long long)v->as.u64);
        add(s, number);
        break;
    case WEIR_V_F64:
        snprintf(number, sizeof number, "%.17gf", v->as.f64);
        add(s, number);
        break;
    case WEIR_V_STRING:
        snprintf(number, sizeof number, v->logical == WEIR_L_DECIMAL ? "%.*s" : "\"%.*s\"",
                 (int)v->size, v->as.ptr);
        add(s, number);
        break;
    case WEIR_V_BYTES:
        add(s, v->logical == WEIR_L_UUID ? "u'" : "h'");
        for (uint32_t i = 0; i < v->size; i++) {
            snprintf(number, sizeof number, "%02x", (unsigned)(uint8_t)v->as.ptr[i]);
            add(s, number);
        }
        add(s, "'");
        break;
    default: {
        bool object = v->type == WEIR_V_OBJECT;
        const weir_value *e = v + 1, *end = weir_value_next(v);
        uint32_t items = 0;
        add(s, object ? "{" : "[");
        for (; e < end; e = weir_value_next(e), items++) {
            if (items) add(s, object && items % 2 ? ": " : ", ");
            show(s, e);
        }
        assert_int_equal(items, v->size * (object ? 2 : 1));
        add(s, object ? "}" : "]");
    }
    }
}

static void expect(const char *hex, uint32_t flags, const char *want) {
    decoded d;
    shown s = {.len = 0};
    decode(&d, hex, flags);
    if (d.status != WEIR_OK) fail_msg("%s: %s", hex, d.p.fault.text);
    assert_int_equal(weir_value_span(d.p.nodes), d.p.used);
    show(&s, d.p.nodes);
    assert_string_equal(s.text, want);
    done(&d);
}

static void expect_fault(const char *hex, uint32_t flags, uint64_t offset, const char *text) {
    decoded d;
    decode(&d, hex, flags);
    if (d.status != WEIR_E_DATA) fail_msg("%s: status %d", hex, (int)d.status);
    assert_string_equal(d.p.fault.text, text);
    assert_int_equal(d.p.fault.offset, offset);
    assert_int_equal(d.p.fault.column, offset + 1);
    assert_int_equal(d.p.used, 0);
    done(&d);
}

/* RFC 8949 appendix A, with what becomes of each here. */
static const struct {
    const char *hex, *want;
} appendix[] = {
    {"00", "0"},
    {"01", "1"},
    {"0a", "10"},
    {"17", "23"},
    {"1818", "24"},
    {"1819", "25"},
    {"1864", "100"},
    {"1903e8", "1000"},
    {"1a000f4240", "1000000"},
    {"1b000000e8d4a51000", "1000000000000"},
    {"1bffffffffffffffff", "18446744073709551615"},
    {"3bffffffffffffffff", "-18446744073709551616"},
    {"20", "-1"},
    {"29", "-10"},
    {"3863", "-100"},
    {"3903e7", "-1000"},
    {"f90000", "0f"},
    {"f98000", "-0f"},
    {"f93c00", "1f"},
    {"fb3ff199999999999a", "1.1000000000000001f"},
    {"f93e00", "1.5f"},
    {"f97bff", "65504f"},
    {"fa47c35000", "100000f"},
    {"fa7f7fffff", "3.4028234663852886e+38f"},
    {"fb7e37e43c8800759c", "1.0000000000000001e+300f"},
    {"f90001", "5.9604644775390625e-08f"},
    {"f90400", "6.103515625e-05f"},
    {"f9c400", "-4f"},
    {"fbc010666666666666", "-4.0999999999999996f"},
    {"f97c00", "inff"},
    {"f97e00", "nanf"},
    {"f9fc00", "-inff"},
    {"fa7f800000", "inff"},
    {"fa7fc00000", "nanf"},
    {"faff800000", "-inff"},
    {"fb7ff0000000000000", "inff"},
    {"fb7ff8000000000000", "nanf"},
    {"fbfff0000000000000", "-inff"},
    {"f4", "false"},
    {"f5", "true"},
    {"f6", "null"},
    {"f7", "null"},
    {"c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\""},
    {"c11a514b67b0", "t1363896240000000"},
    {"c1fb41d452d9ec200000", "t1363896240500000"},
    {"d74401020304", "h'01020304'"},
    {"d818456449455446", "h'6449455446'"},
    {"d82076687474703a2f2f7777772e6578616d706c652e636f6d", "\"http://www.example.com\""},
    {"40", "h''"},
    {"4401020304", "h'01020304'"},
    {"60", "\"\""},
    {"6161", "\"a\""},
    {"6449455446", "\"IETF\""},
    {"62225c", "\"\"\\\""},
    {"62c3bc", "\"\xc3\xbc\""},
    {"63e6b0b4", "\"\xe6\xb0\xb4\""},
    {"64f0908591", "\"\xf0\x90\x85\x91\""},
    {"80", "[]"},
    {"83010203", "[1, 2, 3]"},
    {"8301820203820405", "[1, [2, 3], [4, 5]]"},
    {"98190102030405060708090a0b0c0d0e0f101112131415161718181819",
     "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]"},
    {"a0", "{}"},
    {"a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}"},
    {"826161a161626163", "[\"a\", {\"b\": \"c\"}]"},
    {"a56161614161626142616361436164614461656145",
     "{\"a\": \"A\", \"b\": \"B\", \"c\": \"C\", \"d\": \"D\", \"e\": \"E\"}"},
    {"5f42010243030405ff", "h'0102030405'"},
    {"7f657374726561646d696e67ff", "\"streaming\""},
    {"9fff", "[]"},
    {"9f018202039f0405ffff", "[1, [2, 3], [4, 5]]"},
    {"9f01820203820405ff", "[1, [2, 3], [4, 5]]"},
    {"83018202039f0405ff", "[1, [2, 3], [4, 5]]"},
    {"83019f0203ff820405", "[1, [2, 3], [4, 5]]"},
    {"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
     "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]"},
    {"bf61610161629f0203ffff", "{\"a\": 1, \"b\": [2, 3]}"},
    {"826161bf61626163ff", "[\"a\", {\"b\": \"c\"}]"},
    {"bf6346756ef563416d7421ff", "{\"Fun\": true, \"Amt\": -2}"},
};

static void test_appendix(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof appendix / sizeof appendix[0]; i++)
        expect(appendix[i].hex, 0, appendix[i].want);
    /* Those of the appendix that have no place in a record. */
    expect_fault("c249010000000000000000", 0, 0, "a bignum (tag 2 or 3) has no place in a record");
    expect_fault("c349010000000000000000", 0, 0, "a bignum (tag 2 or 3) has no place in a record");
    expect_fault("f0", 0, 0, "expected an item, found a simple value without meaning");
    expect_fault("f8ff", 0, 0, "expected an item, found a simple value without meaning");
    expect_fault("a201020304", 0, 1, "expected a text string as a member's name");
}

/* No cut of a good item is one. */
static void test_cuts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof appendix / sizeof appendix[0]; i++) {
        uint8_t bytes[512];
        uint64_t len = unhex(appendix[i].hex, bytes);
        for (uint64_t cut = 0; cut < len; cut++) {
            decoded d;
            decode_bytes(&d, bytes, cut, 0, UINT32_MAX);
            assert_int_equal(d.status, WEIR_E_DATA);
            done(&d);
        }
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const char *const reserved[] = {"1c", "1d", "1e", "1f", "3f", "5c", "7d",
                                           "9e", "bc", "dc", "df", "fc", "fd", "fe"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        expect_fault(reserved[i], 0, 0, "expected an item, found a reserved first byte");
    expect_fault("", 0, 0, "expected an item, found the end");
    expect_fault("ff", 0, 0, "expected an item, found a break");
    expect_fault("0000", 0, 1, "expected the end, found more bytes");
    expect_fault("8200ff", 0, 2, "expected an item, found a break");
    expect_fault("bf6161ff", 0, 3, "expected a member's value, found a break");
    expect_fault("a1ff", 0, 0, "the map is longer than the input");
    expect_fault("9bffffffffffffffff", 0, 0, "the array is longer than the input");
    expect_fault("bb7fffffffffffffff", 0, 0, "the map is longer than the input");
    expect_fault("8400", 0, 0, "the array is longer than the input");
    expect_fault("5bffffffffffffffff00", 0, 9, "the string is longer than the input");
    expect_fault("64f090", 0, 1, "the string is longer than the input");
    expect_fault("62c328", 0, 1, "a text string is not valid UTF-8");
    expect_fault("63eda080", 0, 1, "a text string is not valid UTF-8");
    /* A character may not be cut by chunks. */
    expect_fault("7f61c361bcff", 0, 2, "a text string is not valid UTF-8");
    expect_fault("5f6161ff", 0, 1, "expected a chunk of the string, found another item");
    expect_fault("5f5f4100ffff", 0, 1, "expected a chunk of the string, found another item");
    expect_fault("5fc24100ff", 0, 1, "expected a chunk of the string, found another item");
    expect_fault("c4820001", 0, 0, "a decimal or big float (tag 4 or 5) has no place in a record");
    expect_fault("c16161", 0, 0, "expected a number as a time (tag 1)");
    expect_fault("c180", 0, 0, "expected a number as a time (tag 1)");
    expect_fault("c1c100", 0, 1, "expected a tag's content, found another tag");
    expect_fault("c1f97e00", 0, 0, "a time (tag 1) is out of range");
    expect_fault("c11b7fffffffffffffff", 0, 0, "a time (tag 1) is out of range");
    expect_fault("c11bffffffffffffffff", 0, 0, "a time (tag 1) is out of range");
    expect_fault("c13bffffffffffffffff", 0, 0, "a time (tag 1) is out of range");
    expect_fault("c1fb7fefffffffffffff", 0, 0, "a time (tag 1) is out of range");
    expect_fault("d8254100", 0, 0, "expected 16 bytes as a UUID (tag 37)");
    expect_fault("c0", 0, 1, "expected an item, found the end");
    expect_fault("9fc0ff", 0, 2, "expected an item, found a break");
}

static void test_times(void **state) {
    (void)state;
    /* 1,700,000,000,123 ms, and seconds; before 1970; half a microsecond goes away from zero. */
    expect("c11b0000018bcfe5687b", WEIR_CBOR_TIME_MS, "t1700000000123000");
    expect("c11a6553f100", 0, "t1700000000000000");
    expect("c120", 0, "t-1000000");
    expect("c120", WEIR_CBOR_TIME_MS, "t-1000");
    expect("c1fbbff8000000000000", 0, "t-1500000");
    expect("c1f93e00", WEIR_CBOR_TIME_MS, "t1500");
    expect("d9d9f7c100", 0, "t0"); /* behind the tag that says "this is CBOR" */
    expect("d8255000112233445566778899aabbccddeeff", 0, "u'00112233445566778899aabbccddeeff'");
}

static void test_chunks(void **state) {
    (void)state;
    expect("5fff", 0, "h''");
    expect("7f60ff", 0, "\"\"");
    expect("5f4041004040ff", 0, "h'00'");
    expect("bf7f61616162ff01ff", 0, "{\"ab\": 1}");
    decoded d;
    decode(&d, "5f40420102ff", 0); /* one that is filled stays where it is */
    assert_int_equal(d.status, WEIR_OK);
    assert_ptr_equal(d.p.nodes[0].as.ptr, d.bytes + 3);
    done(&d);
}

static void test_depth(void **state) {
    (void)state;
    uint8_t bytes[1001];
    memset(bytes, 0x81, sizeof bytes);
    for (uint32_t depth = 126; depth < 131; depth++) {
        bytes[depth] = 0;
        decoded d;
        decode_bytes(&d, bytes, depth + 1, 0, UINT32_MAX);
        assert_int_equal(d.status, depth <= WEIR_JSON_DEPTH_DEFAULT ? WEIR_OK : WEIR_E_DATA);
        if (d.status != WEIR_OK) {
            assert_string_equal(d.p.fault.text, "nested too deeply");
            assert_int_equal(d.p.fault.offset, 128);
        }
        done(&d);
        bytes[depth] = 0x81;
    }
    /* Tags nest nothing: any number of them is passed over. */
    memset(bytes, 0xc0, sizeof bytes);
    bytes[1000] = 0;
    decoded d;
    decode_bytes(&d, bytes, sizeof bytes, 0, UINT32_MAX);
    assert_int_equal(d.status, WEIR_OK);
    done(&d);
}

static void test_names(void **state) {
    (void)state;
    expect("a2616101616102", 0, "{\"a\": 1, \"a\": 2}");
    expect_fault("a2616101616102", WEIR_JSON_UNIQUE_KEYS, 4, "duplicate member name");
    expect("a2616101616202", WEIR_JSON_UNIQUE_KEYS, "{\"a\": 1, \"b\": 2}");
    expect_fault("82a0bf616101616202616103ff", WEIR_JSON_UNIQUE_KEYS, 9, "duplicate member name");
    decoded d;
    decode(&d, "a2616101616102", 0);
    assert_int_equal(weir_value_member(d.p.nodes, "a", 1)->as.i64, 2);
    done(&d);
}

/* Without memory at the n-th request, for all n. */
static void test_no_memory(void **state) {
    (void)state;
    static const char hex[] = "9f5f4101410243030405ff3bffffffffffffffff"
                              "000000000000000000000000000000000000000000000000000000000000000000"
                              "a17f61616162ff01ff";
    uint8_t bytes[128];
    uint64_t len = unhex(hex, bytes);
    weir_status status = WEIR_E_NOMEM;
    for (uint32_t n = 0; status != WEIR_OK; n++) {
        decoded d;
        decode_bytes(&d, bytes, len, 0, n);
        status = d.status;
        assert_true(status == (n < 5 ? WEIR_E_NOMEM : WEIR_OK));
        done(&d);
    }
}

static void expect_written(const weir_cbor_writer *w, const char *hex) {
    uint8_t want[256];
    uint64_t len = unhex(hex, want);
    assert_true(weir_cbor_writer_ok(w));
    assert_int_equal(w->len, len);
    assert_memory_equal(w->out, want, len);
}

/* Each example of the appendix whose form is the shortest, from its tape. */
static void test_write_appendix(void **state) {
    (void)state;
    static const char *const same[] = {"00",
                                       "17",
                                       "1818",
                                       "1864",
                                       "1903e8",
                                       "1a000f4240",
                                       "1b000000e8d4a51000",
                                       "1bffffffffffffffff",
                                       "20",
                                       "3863",
                                       "3903e7",
                                       "3b7fffffffffffffff",
                                       "fb3ff199999999999a",
                                       "fb7e37e43c8800759c",
                                       "fb7ff0000000000000",
                                       "f4",
                                       "f5",
                                       "f6",
                                       "40",
                                       "4401020304",
                                       "60",
                                       "62c3bc",
                                       "80",
                                       "8301820203820405",
                                       "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
                                       "a0",
                                       "a26161016162820203",
                                       "a56161614161626142616361436164614461656145",
                                       "c11b0000018bcfe5687b",
                                       "c120"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        decoded d;
        decode(&d, same[i], WEIR_CBOR_TIME_MS);
        assert_int_equal(d.status, WEIR_OK);
        for (uint64_t capacity = 0; capacity <= d.len; capacity++) {
            char *out = malloc(capacity ? capacity : 1);
            weir_cbor_writer w;
            weir_cbor_writer_init(&w, out, capacity);
            weir_cbor_put_value(&w, d.p.nodes);
            assert_int_equal(w.len, d.len);
            assert_int_equal(w.total, d.len);
            assert_true(weir_cbor_writer_ok(&w) == (capacity == d.len));
            if (capacity == d.len) expect_written(&w, same[i]);
            free(out);
        }
        done(&d);
    }
}

static void test_write(void **state) {
    (void)state;
    char out[128];
    weir_cbor_writer w;
    weir_cbor_writer_init(&w, out, sizeof out);
    weir_cbor_put_map_open(&w);
    weir_cbor_put_z(&w, "Fun");
    weir_cbor_put_bool(&w, true);
    weir_cbor_put_z(&w, "Amt");
    weir_cbor_put_i64(&w, -2);
    weir_cbor_put_break(&w);
    expect_written(&w, "bf6346756ef563416d7421ff");

    weir_cbor_writer_init(&w, out, sizeof out);
    weir_cbor_put_array_open(&w);
    weir_cbor_put_i64(&w, INT64_MIN);
    weir_cbor_put_i64(&w, INT64_MAX);
    weir_cbor_put_u64(&w, 255);
    weir_cbor_put_u64(&w, 65536);
    weir_cbor_put_f64(&w, 1.1);
    weir_cbor_put_null(&w);
    weir_cbor_put_bytes(&w, (weir_str){NULL, 0});
    weir_cbor_put_time_ms(&w, 1700000000123);
    weir_cbor_put_tag(&w, 55799);
    weir_cbor_put_map(&w, 0);
    weir_cbor_put_break(&w);
    expect_written(&w, "9f3b7fffffffffffffff1b7fffffffffffffff18ff1a00010000fb3ff199999999999af640"
                       "c11b0000018bcfe5687bd9d9f7a0ff");
    /* Microseconds are rounded down, before 1970 too. */
    weir_value time = {.type = WEIR_V_I64, .logical = WEIR_L_TIMESTAMP_US, .as.i64 = -1};
    weir_cbor_writer_init(&w, out, sizeof out);
    weir_cbor_put_value(&w, &time);
    expect_written(&w, "c120");
}

/* [small, big, big, 1]: what is small is copied, the rest is referred to; joined it is the same as
 * copied. */
static void test_segments(void **state) {
    (void)state;
    char big[WEIR_CBOR_REF_MIN], flat[1024], joined[1024], out[64];
    weir_str segments[8], small = {"abc", 3}, large = {big, sizeof big};
    memset(big, 7, sizeof big);
    for (int pass = 0; pass < 3; pass++) { /* copied, counted, referred to */
        weir_cbor_writer w;
        if (pass == 0) weir_cbor_writer_init(&w, flat, sizeof flat);
        if (pass == 1) {
            weir_cbor_writer_init(&w, NULL, 0);
            weir_cbor_writer_segments(&w, NULL, 0);
        }
        if (pass == 2) {
            weir_cbor_writer_init(&w, out, 12);
            weir_cbor_writer_segments(&w, segments, 5);
        }
        weir_cbor_put_array(&w, 4);
        weir_cbor_put_bytes_ref(&w, small);
        weir_cbor_put_bytes_ref(&w, large);
        weir_cbor_put_bytes_ref(&w, large);
        weir_cbor_put_u64(&w, 1);
        weir_cbor_end(&w);
        assert_int_equal(w.total, 12 + 2 * sizeof big);
        if (pass == 0) {
            assert_true(weir_cbor_writer_ok(&w));
            assert_int_equal(w.len, w.total);
            continue;
        }
        assert_int_equal(w.len, 12);
        assert_int_equal(w.segment_count, 5);
        assert_true(weir_cbor_writer_ok(&w) == (pass == 2));
        if (pass == 1) continue;
        uint64_t at = 0;
        for (uint32_t i = 0; i < w.segment_count; i++) {
            memcpy(joined + at, segments[i].ptr, segments[i].len);
            at += segments[i].len;
        }
        assert_int_equal(at, w.total);
        assert_memory_equal(joined, flat, at);
        assert_ptr_equal(segments[1].ptr, big);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appendix),       cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_times),
        cmocka_unit_test(test_chunks),         cmocka_unit_test(test_depth),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_write_appendix), cmocka_unit_test(test_write),
        cmocka_unit_test(test_segments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
