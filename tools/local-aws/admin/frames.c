/*
 * Frames of an event stream as no service would send them. Where a rule lies about one field, what
 * stands around it is made to fit, so that a reader meets that lie and not another one before it.
 */
#include <string.h>

#include "admin/reshape.h"
#include "base/str.h"
#include "crc32.h"
#include "eventstream.h"

#define HEADERS_AT 4u     /* the length of the headers */
#define PRELUDE_CRC_AT 8u /* checksum of what stands before it */
#define LENGTH_OF_A_LIE 0x00ffffffu

static void put_u32(char *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (char)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const char *at) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 8 | (unsigned char)at[i];
    return v;
}

static void seal(buf *f) {
    put_u32(f->data + PRELUDE_CRC_AT, weir_crc32(0, f->data, PRELUDE_CRC_AT));
    put_u32(f->data + f->len - 4, weir_crc32(0, f->data, f->len - 4));
}

/* The first header once more, in front of itself. */
static void double_header(buf *f) {
    const char *h = f->data + WEIR_ES_PRELUDE;
    size_t name = 1 + (size_t)(unsigned char)h[0];
    size_t value = 2 + ((size_t)(unsigned char)h[name + 1] << 8 | (unsigned char)h[name + 2]);
    size_t more = name + 1 + value;
    if (h[name] != (char)WEIR_ES_STRING || !buf_reserve(f, more)) return;
    char *at = f->data + WEIR_ES_PRELUDE;
    /* What was the first header stays in front, and moves back once more with the rest. */
    memmove(at + more, at, f->len - WEIR_ES_PRELUDE);
    f->len += more;
    put_u32(f->data, (uint32_t)f->len);
    put_u32(f->data + HEADERS_AT, get_u32(f->data + HEADERS_AT) + (uint32_t)more);
    seal(f);
}

static void instead(buf *f, const weir_es_header *headers, uint32_t count, weir_str payload) {
    uint64_t n = weir_es_size(headers, count, payload.len);
    buf_reset(f);
    if (!n || !buf_reserve(f, (size_t)n)) return;
    f->len = (size_t)weir_es_write(headers, count, payload, f->data);
}

static void error_frame(buf *f) {
    const weir_es_header headers[] = {
        {.name = STR(":message-type"), .type = WEIR_ES_STRING, .value = STR("error")},
        {.name = STR(":error-code"), .type = WEIR_ES_STRING, .value = STR("InternalFailure")},
        {.name = STR(":error-message"),
         .type = WEIR_ES_STRING,
         .value = STR("a fault rule says so")}};
    instead(f, headers, 3, STR(""));
}

static void unknown_type(buf *f) {
    const weir_es_header headers[] = {
        {.name = STR(":message-type"), .type = WEIR_ES_STRING, .value = STR("rumour")}};
    instead(f, headers, 1, STR("{}"));
}

static bool at(const rule *r, const char *name, uint64_t number) {
    return (uint64_t)weir_json_get_i64(r->stream, name, -1) == number;
}

bool reshape_frame(const rule *r, uint64_t number, buf *f) {
    if (!r->stream) return false;
    if (at(r, "unknown_type_at", number)) unknown_type(f);
    if (at(r, "duplicate_header_at", number)) double_header(f);
    if (at(r, "bad_crc_at", number)) f->data[f->len - 1] ^= 1;
    if (at(r, "bad_prelude_at", number)) f->data[PRELUDE_CRC_AT] ^= 1;
    if (at(r, "bad_length_at", number)) {
        put_u32(f->data + HEADERS_AT, LENGTH_OF_A_LIE);
        seal(f);
    }
    if (at(r, "error_at", number)) {
        error_frame(f);
        return true;
    }
    if (!at(r, "truncate_at", number)) return false;
    f->len /= 2;
    return true;
}
