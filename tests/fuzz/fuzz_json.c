/*
 * tests/fuzz/fuzz_json.c - the JSON parser and writer.
 *
 * Beyond not crashing: both variants of the parser agree; what is accepted is written within the
 * bound, is accepted again, and is then written as the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct arena {
    weir_json_parser p;
    char *strings;
    uint64_t used;
} arena;

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
    return bytes;
}

static weir_status run(arena *a, const char *text, size_t size, uint32_t flags, json_parse_fn fn) {
    *a = (arena){.p = {.flags = flags, .grow = grow, .alloc = take, .opaque = a}};
    a->strings = malloc(size + 1);
    if (!a->strings) abort();
    return json_parse_with(&a->p, (weir_str){text, size}, fn);
}

static void done(arena *a) {
    free(a->strings);
    free(a->p.nodes);
    weir_json_parser_free(&a->p);
}

static void same(const arena *a, weir_status sa, const arena *b, weir_status sb) {
    if (sa != sb) abort();
    if (sa != WEIR_OK) {
        if (a->p.fault.offset != b->p.fault.offset || strcmp(a->p.fault.text, b->p.fault.text) != 0)
            abort();
        return;
    }
    if (a->p.used != b->p.used) abort();
    for (uint32_t i = 0; i < a->p.used; i++) {
        const weir_value *x = a->p.nodes + i, *y = b->p.nodes + i;
        if (x->type != y->type || x->logical != y->logical || x->flags != y->flags ||
            x->size != y->size)
            abort();
        if (x->type == WEIR_V_STRING ? memcmp(x->as.ptr, y->as.ptr, x->size) != 0
                                     : x->as.u64 != y->as.u64)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* The length chooses the flags, so that each of them is reached with any text. */
    uint32_t flags = (uint32_t)size & (WEIR_JSON_UNIQUE_KEYS | WEIR_JSON_NUMBERS_DOUBLE);
    arena a, b;
    weir_status status = run(&a, (const char *)data, size, flags, json_parse_swar);
#if JSON_HAVE_AVX2
    if (json_cpu_avx2()) {
        weir_status other = run(&b, (const char *)data, size, flags, json_parse_avx2);
        same(&a, status, &b, other);
        done(&b);
    }
#endif
    if (status == WEIR_OK) {
        uint64_t bound = weir_json_bound(a.p.nodes);
        char *text = malloc(bound), *again = malloc(bound);
        if (!text || !again) abort();
        uint64_t n = weir_json_write(a.p.nodes, text);
        if (n > bound) abort();
        status = run(&b, text, n, 0, json_parse_swar);
        if (status != WEIR_OK) abort();
        if (weir_json_bound(b.p.nodes) > bound) abort();
        if (weir_json_write(b.p.nodes, again) != n || memcmp(text, again, n) != 0) abort();
        done(&b);
        free(text);
        free(again);
    }
    done(&a);
    return 0;
}
