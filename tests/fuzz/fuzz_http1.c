/*
 * Requests of HTTP/1.1 as weir-local reads them: a head, then the rest as a body in chunks.
 * Checked: what is found lies inside of the input, a head is the same however its bytes arrive, and
 * so is a body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/http1_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) abort();
}

static void inside(weir_str s, const char *text, size_t len) {
    if (s.len) require(s.ptr >= text && s.len <= len && s.ptr + s.len <= text + len);
}

/* The body's length and a sum over it, read in pieces of `step`. */
static http1_result dechunk(const char *in, size_t len, size_t step, uint64_t *sum) {
    http1_chunks c = {0};
    *sum = 0;
    for (size_t at = 0; at < len;) {
        size_t n = len - at < step ? len - at : step, used = 0;
        weir_str part;
        http1_result r = http1_chunks_next(&c, in + at, n, &used, &part);
        require(used <= n && (used > 0 || r != HTTP1_MORE));
        inside(part, in + at, n);
        for (size_t i = 0; i < part.len; i++) *sum = *sum * 31 + (uint8_t)part.ptr[i];
        at += used;
        if (r != HTTP1_MORE) return r;
    }
    return HTTP1_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static http1_head head, again;
    char *text = malloc(size ? size : 1), *second = malloc(size ? size : 1);
    require(text && second);
    if (size) memcpy(text, data, size), memcpy(second, data, size);
    http1_result r = http1_parse_head(text, size, 0, &head);
    /* A first look at half of it changes nothing about the second look. */
    http1_result early = http1_parse_head(second, size / 2, 0, &again);
    if (early == HTTP1_MORE) require(http1_parse_head(second, size, size / 2, &again) == r);
    if (r == HTTP1_OK) {
        require(head.bytes <= size && head.header_count <= HTTP1_HEADERS_MAX);
        inside(head.method, text, head.bytes);
        inside(head.target, text, head.bytes);
        for (uint32_t i = 0; i < head.header_count; i++) {
            inside(head.headers[i].name, text, head.bytes);
            inside(head.headers[i].value, text, head.bytes);
        }
        uint64_t whole, bytes;
        http1_result a = dechunk(text + head.bytes, size - head.bytes, size, &whole);
        http1_result b = dechunk(text + head.bytes, size - head.bytes, 1, &bytes);
        require(a == b && whole == bytes);
    } else if (r == HTTP1_BAD) {
        require(head.fault != NULL);
    }
    free(text);
    free(second);
    return 0;
}
