/* Event-stream frames: known ones, every split, every wrong byte, limits; and the CRC below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/crc32.h"
#include "aws/eventstream.h"

/* The specification's two examples, and frames that botocore's reader takes for what they say. */
static const char empty_frame[] = "000000100000000005c248eb7d98c8ff";
static const char int8_frame[] = "000000170000000729860158046279746502ffc2f869dc";
static const char initial_response[] =
    "0000007200000060ab820d9e0b3a6576656e742d74797065070010696e697469616c2d726573706f6e73650d3a63"
    "6f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a736f6e2d312e310d3a6d657373"
    "6167652d747970650700056576656e747b7dacae6b7d";
static const char event[] =
    "000000bb000000653fed73bb0b3a6576656e742d74797065070015537562736372696265546f5368617264457665"
    "6e740d3a636f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a736f6e2d312e310d"
    "3a6d6573736167652d747970650700056576656e747b225265636f726473223a5b5d2c22436f6e74696e75617469"
    "6f6e53657175656e63654e756d626572223a2231222c224d696c6c6973426568696e644c6174657374223a307d05"
    "9dcce5";
static const char exception[] =
    "000000900000006e1e2eb4260f3a657863657074696f6e2d747970650700165265736f75726365496e5573654578"
    "63657074696f6e0d3a636f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a736f6e"
    "2d312e310d3a6d6573736167652d74797065070009657863657074696f6e7b226d657373616765223a2262757379"
    "227dd24850fd";

typedef struct stream {
    weir_es_reader r;
    char *held; /* the frame's room, of its exact size */
    uint32_t rooms, refused_rooms;
} stream;

static char *room(void *opaque, uint64_t size) {
    stream *s = opaque;
    if (s->refused_rooms > 0) {
        s->refused_rooms--;
        return NULL;
    }
    free(s->held);
    s->rooms++;
    return s->held = malloc(size);
}

static void begin(stream *s) {
    memset(s, 0, sizeof *s);
    s->r.room = room;
    s->r.opaque = s;
}

static uint8_t nibble(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Appends; gives the new length. */
static uint64_t unhex(const char *hex, char *out, uint64_t len) {
    for (; *hex; hex += 2) out[len++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
    return len;
}

static void expect_str(weir_str s, const char *want) {
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.ptr, want, s.len);
}

static void expect_fault(const char *bytes, uint64_t len, uint64_t frame_max, const char *text) {
    stream s;
    weir_es_frame frame;
    begin(&s);
    s.r.frame_max = frame_max;
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    weir_es_feed(&s.r, (weir_str){copy, len});
    assert_int_equal(weir_es_next(&s.r, &frame), WEIR_E_DATA);
    assert_string_equal(s.r.fault, text);
    assert_int_equal(weir_es_next(&s.r, &frame), WEIR_E_DATA); /* and so it stays */
    assert_false(weir_es_at_boundary(&s.r));
    free(s.held);
    free(copy);
}

static void test_known(void **state) {
    (void)state;
    char bytes[1024];
    uint64_t len = unhex(empty_frame, bytes, 0);
    len = unhex(int8_frame, bytes, len);
    len = unhex(initial_response, bytes, len);
    len = unhex(event, bytes, len);
    len = unhex(exception, bytes, len);
    stream s;
    weir_es_frame f;
    weir_es_header h;
    begin(&s);
    assert_true(weir_es_at_boundary(&s.r));
    weir_es_feed(&s.r, (weir_str){bytes, len});

    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    assert_int_equal(f.header_count, 0);
    assert_int_equal(f.payload.len, 0);
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    assert_true(weir_es_header_find(&f, "byte", &h));
    assert_int_equal(h.type, WEIR_ES_I8);
    assert_true(h.number == -1);
    assert_null(weir_es_header_str(&f, "byte").ptr);
    assert_false(weir_es_header_find(&f, "bytes", &h));
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    expect_str(weir_es_header_str(&f, ":message-type"), "event");
    expect_str(weir_es_header_str(&f, ":event-type"), "initial-response");
    expect_str(weir_es_header_str(&f, ":content-type"), "application/x-amz-json-1.1");
    expect_str(f.payload, "{}");
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    assert_ptr_equal(f.whole.ptr, bytes + 16 + 23 + 114); /* as it lies in the piece */
    expect_str(weir_es_header_str(&f, ":event-type"), "SubscribeToShardEvent");
    expect_str(f.payload,
               "{\"Records\":[],\"ContinuationSequenceNumber\":\"1\",\"MillisBehindLatest\":0}");
    assert_false(weir_es_at_boundary(&s.r));
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    expect_str(weir_es_header_str(&f, ":exception-type"), "ResourceInUseException");
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_AGAIN);
    assert_true(weir_es_at_boundary(&s.r));
    assert_int_equal(s.rooms, 0);
}

/* The same frames come out whatever the pieces: of one size each, for all sizes; and in two pieces
 * for every cut. Memory that is refused once is only a delay. */
static void test_splits(void **state) {
    (void)state;
    char bytes[1024];
    uint64_t len = unhex(initial_response, bytes, 0);
    len = unhex(empty_frame, bytes, len);
    len = unhex(event, bytes, len);
    len = unhex(int8_frame, bytes, len);
    static const uint64_t lengths[] = {114, 16, 187, 23};
    for (uint64_t step = 1; step <= 2 * len; step++) {
        stream s;
        begin(&s);
        s.refused_rooms = step % 3 == 0;
        uint64_t read = 0, frames = 0;
        for (uint64_t at = 0, n; at < len; at += n) {
            /* Up to len: pieces of that size. Beyond it: one cut. */
            n = step <= len ? step : at == 0 ? step - len : len;
            if (n > len - at) n = len - at;
            char *piece = malloc(n);
            memcpy(piece, bytes + at, n);
            weir_es_feed(&s.r, (weir_str){piece, n});
            weir_es_frame f;
            weir_status status;
            while ((status = weir_es_next(&s.r, &f)) != WEIR_AGAIN) {
                if (status == WEIR_E_NOMEM) continue;
                assert_int_equal(status, WEIR_OK);
                assert_int_equal(f.whole.len, lengths[frames]);
                assert_memory_equal(f.whole.ptr, bytes + read, f.whole.len);
                read += f.whole.len;
                frames++;
            }
            free(piece);
            assert_true(weir_es_at_boundary(&s.r) == (read == at + n));
        }
        assert_int_equal(frames, 4);
        free(s.held);
    }
}

/* Every byte of a frame counts: with any one bit turned it is refused. */
static void test_damage(void **state) {
    (void)state;
    char bytes[1024];
    uint64_t len = unhex(initial_response, bytes, 0);
    for (uint64_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        expect_fault(bytes, len, 0,
                     bit < 96 ? "the checksum of a frame's prelude is wrong"
                              : "the checksum of a frame is wrong");
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
}

static void put32(char *out, uint32_t v) {
    for (int i = 0; i < 4; i++) out[i] = (char)(uint8_t)(v >> (24 - 8 * i));
}

/* A frame with right checksums around anything. */
static uint64_t frame_around(char *out, uint32_t total, uint32_t headers_len, const char *body,
                             uint64_t body_len) {
    put32(out, total);
    put32(out + 4, headers_len);
    put32(out + 8, weir_crc32(0, out, 8));
    memcpy(out + 12, body, body_len);
    put32(out + 12 + body_len, weir_crc32(0, out, 12 + body_len));
    return 16 + body_len;
}

static void expect_headers_fault(const char *headers, uint32_t len, const char *text) {
    char out[128 * 1024];
    assert_true(len + 16 <= sizeof out);
    expect_fault(out, frame_around(out, len + 16, len, headers, len), 0, text);
}

static void test_limits(void **state) {
    (void)state;
    char out[64];
    uint64_t len = frame_around(out, 15, 0, "", 0);
    expect_fault(out, len, 0, "a frame is shorter than its own frame");
    frame_around(out, 0, 0, "", 0);
    expect_fault(out, len, 0, "a frame is shorter than its own frame");
    frame_around(out, 20, 5, "abcd", 4);
    expect_fault(out, 20, 0, "a frame's headers are longer than the frame");
    frame_around(out, 16, UINT32_MAX, "", 0);
    expect_fault(out, len, 0, "a frame's headers are longer than the frame");
    frame_around(out, 200000, 131073, "", 0);
    expect_fault(out, len, 0, "a frame's headers are longer than 128 KiB");
    frame_around(out, WEIR_ES_FRAME_MAX + 1, 0, "", 0);
    expect_fault(out, len, 0, "a frame is longer than the limit");
    frame_around(out, 20, 0, "abcd", 4);
    expect_fault(out, 20, 19, "a frame is longer than the limit");
    /* At the limit: only the bytes are missing. */
    frame_around(out, WEIR_ES_FRAME_MAX, WEIR_ES_HEADERS_MAX, "", 0);
    stream s;
    weir_es_frame f;
    begin(&s);
    weir_es_feed(&s.r, (weir_str){out, 16});
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_AGAIN);
    assert_false(weir_es_at_boundary(&s.r));
    free(s.held);
}

static void test_headers(void **state) {
    (void)state;
    expect_headers_fault("\0", 1, "a header has no name");
    expect_headers_fault("\1", 1, "a header is cut short");
    expect_headers_fault("\1a", 2, "a header is cut short");
    expect_headers_fault("\377a\0", 3, "a header is cut short");
    expect_headers_fault("\1a\012", 3, "a header has an unknown type");
    expect_headers_fault("\1a\2", 3, "a header is cut short");
    expect_headers_fault("\1a\3\0", 4, "a header is cut short");
    expect_headers_fault("\1a\4\0\0\0", 6, "a header is cut short");
    expect_headers_fault("\1a\5\0\0\0\0\0\0\0", 10, "a header is cut short");
    expect_headers_fault("\1a\6\0", 4, "a header is cut short");
    expect_headers_fault("\1a\7\0\2b", 6, "a header is cut short");
    expect_headers_fault("\1a\7\377\377b", 6, "a header is cut short");
    expect_headers_fault("\1a\010\0\0\0\0\0\0\0", 10, "a header is cut short");
    expect_headers_fault("\1a\011"
                         "0123456789abcde",
                         18, "a header is cut short");
    expect_headers_fault("\1a\0\1a\1", 6, "a frame has two headers of one name");
    expect_headers_fault("\1\377\0", 3, "a header is not valid UTF-8");
    expect_headers_fault("\1a\7\0\1\300", 6, "a header is not valid UTF-8");
    char many[257 * 4];
    for (uint32_t i = 0; i < 257; i++) {
        char one[4] = {2, (char)('0' + i / 64), (char)('0' + i % 64), 0};
        memcpy(many + (size_t)i * 4, one, 4);
    }
    expect_headers_fault(many, sizeof many, "a frame has more than 256 headers");
}

/* All ten types, written in one piece and around a payload, and read again. */
static void test_write(void **state) {
    (void)state;
    weir_es_header headers[] = {
        {.name = {"t", 1}, .type = WEIR_ES_TRUE, .number = 1},
        {.name = {"f", 1}, .type = WEIR_ES_FALSE},
        {.name = {"i8", 2}, .type = WEIR_ES_I8, .number = -128},
        {.name = {"i16", 3}, .type = WEIR_ES_I16, .number = -32768},
        {.name = {"i32", 3}, .type = WEIR_ES_I32, .number = INT32_MIN},
        {.name = {"i64", 3}, .type = WEIR_ES_I64, .number = INT64_MIN},
        {.name = {"b", 1}, .type = WEIR_ES_BYTES, .value = {"\0\377", 2}},
        weir_es_str(":event-type", "x"),
        {.name = {"ts", 2}, .type = WEIR_ES_TIMESTAMP, .number = 1700000000123},
        {.name = {"u", 1}, .type = WEIR_ES_UUID, .value = {"0123456789abcdef", 16}},
    };
    const uint32_t count = sizeof headers / sizeof headers[0];
    weir_str payload = {"payload", 7};
    uint64_t size = weir_es_size(headers, count, payload.len);
    char *out = malloc(size), *parts = malloc(size);
    assert_int_equal(weir_es_write(headers, count, payload, out), size);
    uint32_t crc;
    uint64_t head = weir_es_write_head(headers, count, payload.len, parts, &crc);
    assert_int_equal(head, size - payload.len - WEIR_ES_TAIL);
    memcpy(parts + head, payload.ptr, payload.len);
    crc = weir_es_crc(crc, (weir_str){payload.ptr, 3});
    crc = weir_es_crc(crc, (weir_str){payload.ptr + 3, 4});
    weir_es_write_tail(crc, parts + head + payload.len);
    assert_memory_equal(out, parts, size);

    stream s;
    weir_es_frame f;
    begin(&s);
    weir_es_feed(&s.r, (weir_str){out, size});
    assert_int_equal(weir_es_next(&s.r, &f), WEIR_OK);
    assert_int_equal(f.header_count, count);
    expect_str(f.payload, "payload");
    uint32_t cursor = 0;
    for (uint32_t i = 0; i < count; i++) {
        weir_es_header h;
        assert_true(weir_es_header_next(&f, &cursor, &h));
        assert_int_equal(h.type, headers[i].type);
        assert_int_equal(h.name.len, headers[i].name.len);
        assert_memory_equal(h.name.ptr, headers[i].name.ptr, h.name.len);
        assert_true(h.number == headers[i].number);
        assert_int_equal(h.value.len, headers[i].value.len);
        if (h.value.len) assert_memory_equal(h.value.ptr, headers[i].value.ptr, h.value.len);
    }
    weir_es_header h;
    assert_false(weir_es_header_next(&f, &cursor, &h));

    /* The known frames, byte for byte. */
    char known[128];
    weir_es_header initial[] = {weir_es_str(":event-type", "initial-response"),
                                weir_es_str(":content-type", "application/x-amz-json-1.1"),
                                weir_es_str(":message-type", "event")};
    uint64_t known_len = unhex(initial_response, known, 0);
    char written[128];
    assert_int_equal(weir_es_write(initial, 3, (weir_str){"{}", 2}, written), known_len);
    assert_memory_equal(written, known, known_len);
    known_len = unhex(empty_frame, known, 0);
    assert_int_equal(weir_es_write(NULL, 0, (weir_str){NULL, 0}, written), known_len);
    assert_memory_equal(written, known, known_len);
    free(out);
    free(parts);
}

static void test_write_limits(void **state) {
    (void)state;
    static char big[32768];
    weir_es_header h = weir_es_str("", "v");
    assert_int_equal(weir_es_size(&h, 1, 0), 0);
    h.name = (weir_str){big, 256};
    assert_int_equal(weir_es_size(&h, 1, 0), 0);
    h.name = (weir_str){"n", 1};
    assert_int_equal(weir_es_size(&h, 1, 0), 16 + 6);
    h.value = (weir_str){big, 32768};
    assert_int_equal(weir_es_size(&h, 1, 0), 0);
    h.value.len = 32767;
    assert_int_equal(weir_es_size(&h, 1, 0), 16 + 5 + 32767);
    weir_es_header five[5] = {h, h, h, h, h};
    assert_int_equal(weir_es_size(five, 5, 0), 0);
    h = (weir_es_header){.name = {"n", 1}, .type = WEIR_ES_UUID, .value = {big, 15}};
    assert_int_equal(weir_es_size(&h, 1, 0), 0);
    h.type = 10;
    assert_int_equal(weir_es_size(&h, 1, 0), 0);
    assert_int_equal(weir_es_size(NULL, 0, WEIR_ES_PAYLOAD_MAX + 1), 0);
    assert_int_equal(weir_es_size(NULL, 0, WEIR_ES_PAYLOAD_MAX), WEIR_ES_PAYLOAD_MAX + 16);
    uint32_t crc;
    assert_int_equal(weir_es_write_head(&h, 1, 0, big, &crc), 0);
}

static void test_crc32(void **state) {
    (void)state;
    assert_int_equal(weir_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(weir_crc32(0, NULL, 0), 0);
    /* Both ways, over every length, continued at every place. */
    uint8_t bytes[600];
    for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * i * 31 + i);
    for (uint32_t len = 0; len <= sizeof bytes; len++) {
        uint8_t *exact = malloc(len ? len : 1);
        memcpy(exact, bytes, len);
        uint32_t want = 0;
        for (uint32_t i = 0; i < len; i++) want = weir_crc32_tables(want, exact + i, 1);
        assert_int_equal(weir_crc32(0, exact, len), want);
        assert_int_equal(weir_crc32_tables(0, exact, len), want);
        uint32_t half = weir_crc32(0, exact, len / 3);
        assert_int_equal(weir_crc32(half, exact + len / 3, len - len / 3), want);
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_limits), cmocka_unit_test(test_crc32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
