/*
 * tests/unit/json/json_test.h - parsing in exact-size buffers with either variant.
 *
 * Texts lie in an allocation of their own size, so that AddressSanitizer sees the first byte that
 * is read behind the end.
 */
#ifndef TESTS_UNIT_JSON_TEST_H
#define TESTS_UNIT_JSON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_private.h"

typedef struct parsed {
    weir_json_parser p;
    char *text;
    char *strings[4096];
    uint32_t string_count;
    weir_status status;
} parsed;

static weir_value *test_grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *got) {
    parsed *t = opaque;
    /* A new place each time, so that a pointer kept across a move is found out. */
    weir_value *nodes = malloc(capacity * sizeof *nodes);
    assert_non_null(nodes);
    if (used) memcpy(nodes, t->p.nodes, used * sizeof *nodes);
    free(t->p.nodes);
    *got = capacity;
    return nodes;
}

static char *test_alloc(void *opaque, uint64_t size) {
    parsed *t = opaque;
    assert_true(t->string_count < sizeof t->strings / sizeof t->strings[0]);
    return t->strings[t->string_count++] = malloc(size ? size : 1);
}

/* Gives what must be released with parsed_free, whatever the status. */
static inline parsed *parse_bytes(const char *text, size_t len, uint32_t flags, uint32_t depth,
                                  json_parse_fn variant) {
    parsed *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->text = malloc(len ? len : 1);
    assert_non_null(t->text);
    memcpy(t->text, text, len);
    t->p = (weir_json_parser){
        .flags = flags, .depth_max = depth, .grow = test_grow, .alloc = test_alloc, .opaque = t};
    t->status = json_parse_with(&t->p, (weir_str){t->text, len}, variant);
    return t;
}

static inline void parsed_free(parsed *t) {
    for (uint32_t i = 0; i < t->string_count; i++) free(t->strings[i]);
    free(t->p.nodes);
    free(t->text);
    weir_json_parser_free(&t->p);
    free(t);
}

/* The variants this machine runs. */
static inline uint32_t variants(json_parse_fn out[2]) {
    uint32_t count = 0;
    out[count++] = json_parse_swar;
#if JSON_HAVE_AVX2
    if (json_cpu_avx2()) out[count++] = json_parse_avx2;
#endif
    return count;
}

/* Both results say the same: status, fault, nodes by content. */
static inline void assert_same(const parsed *a, const parsed *b) {
    assert_int_equal(a->status, b->status);
    if (a->status == WEIR_E_DATA) {
        assert_int_equal(a->p.fault.offset, b->p.fault.offset);
        assert_string_equal(a->p.fault.text, b->p.fault.text);
        return;
    }
    assert_int_equal(a->p.used, b->p.used);
    for (uint32_t i = 0; i < a->p.used; i++) {
        const weir_value *x = a->p.nodes + i, *y = b->p.nodes + i;
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->logical, y->logical);
        assert_int_equal(x->flags, y->flags);
        assert_int_equal(x->size, y->size);
        if (x->type == WEIR_V_STRING)
            assert_memory_equal(x->as.ptr, y->as.ptr, x->size);
        else
            assert_int_equal(x->as.u64, y->as.u64);
    }
}

/* xorshift64*: the same sequence in each run. */
static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
