/*
 * The CBOR reader and writer. Beyond not crashing: a refusal names a place in the input; the tape
 * of what is accepted spans its nodes and points into the input or into the strings; it is written
 * in the length that was measured, copied and by reference alike, read again, and then written as
 * the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct arena {
    weir_json_parser p;
    char *strings;
    uint64_t used, capacity;
} arena;

static void require(int condition) {
    if (!condition) abort();
}

static weir_value *grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *got) {
    arena *a = opaque;
    (void)used;
    *got = capacity;
    return a->p.nodes = realloc(a->p.nodes, capacity * sizeof(weir_value));
}

static char *take(void *opaque, uint64_t size) {
    arena *a = opaque;
    char *bytes = a->strings + a->used;
    a->used += size;
    require(a->used <= a->capacity);
    return bytes;
}

static weir_status parse(arena *a, const char *bytes, uint64_t size, uint32_t flags) {
    *a = (arena){.p = {.flags = flags, .grow = grow, .alloc = take, .opaque = a}};
    a->capacity = 3 * size;
    a->strings = malloc(a->capacity + 1);
    require(a->strings != NULL);
    return weir_cbor_parse(&a->p, (weir_str){bytes, size});
}

static void done(arena *a) {
    weir_json_parser_free(&a->p);
    free(a->p.nodes);
    free(a->strings);
}

static void check_tape(const arena *a, const char *bytes, uint64_t size) {
    require(weir_value_span(a->p.nodes) == a->p.used);
    for (uint32_t i = 0; i < a->p.used; i++) {
        const weir_value *v = a->p.nodes + i;
        require(weir_value_span(v) <= a->p.used - i);
        if (v->type != WEIR_V_STRING && v->type != WEIR_V_BYTES) continue;
        bool in_input = v->as.ptr >= bytes && v->as.ptr + v->size <= bytes + size;
        bool in_strings = v->as.ptr >= a->strings && v->as.ptr + v->size <= a->strings + a->used;
        require(in_input || in_strings);
        if (v->type == WEIR_V_STRING) require(weir_utf8_span(weir_value_str(v)) == v->size);
    }
}

/* The tape as bytes in an allocation of their size. */
static char *write_again(const weir_value *v, uint64_t *len) {
    weir_cbor_writer w;
    weir_cbor_writer_init(&w, NULL, 0);
    weir_cbor_put_value(&w, v);
    *len = w.len;
    char *out = malloc(w.len);
    require(out != NULL);
    weir_cbor_writer_init(&w, out, *len);
    weir_cbor_put_value(&w, v);
    require(weir_cbor_writer_ok(&w) && w.len == *len);
    return out;
}

static void write_segments(const weir_value *v, const char *want, uint64_t len) {
    weir_cbor_writer w;
    weir_cbor_writer_init(&w, NULL, 0);
    weir_cbor_writer_segments(&w, NULL, 0);
    weir_cbor_put_value(&w, v);
    weir_cbor_end(&w);
    require(w.total == len);
    uint64_t room = w.len;
    uint32_t count = w.segment_count;
    char *out = malloc(room ? room : 1);
    weir_str *segments = malloc(count * sizeof *segments);
    require(out && segments);
    weir_cbor_writer_init(&w, out, room);
    weir_cbor_writer_segments(&w, segments, count);
    weir_cbor_put_value(&w, v);
    weir_cbor_end(&w);
    require(weir_cbor_writer_ok(&w) && w.segment_count == count);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; at += segments[i++].len)
        require(segments[i].len <= len - at &&
                memcmp(want + at, segments[i].ptr, segments[i].len) == 0);
    require(at == len);
    free(segments);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* The length chooses the flags, so that each of them is reached with any input. */
    uint32_t flags = (size & 1 ? WEIR_JSON_UNIQUE_KEYS : 0) | (size & 2 ? WEIR_CBOR_TIME_MS : 0);
    arena a, b;
    weir_status status = parse(&a, (const char *)data, size, flags);
    require(status == WEIR_OK || status == WEIR_E_DATA);
    if (status == WEIR_E_DATA) {
        require(a.p.fault.offset <= size && a.p.fault.text != NULL);
    } else {
        check_tape(&a, (const char *)data, size);
        uint64_t len, again_len;
        char *first = write_again(a.p.nodes, &len);
        write_segments(a.p.nodes, first, len);
        require(parse(&b, first, len, WEIR_CBOR_TIME_MS) == WEIR_OK);
        require(b.p.used == a.p.used);
        char *again = write_again(b.p.nodes, &again_len);
        require(again_len == len && memcmp(first, again, len) == 0);
        free(again);
        free(first);
        done(&b);
    }
    done(&a);
    return 0;
}
