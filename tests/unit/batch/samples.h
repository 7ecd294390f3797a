/*
 * Batches to test with. A row of sample_batch is all columns at once: value "v<i>", key "k<i>",
 * time i, a header for every other row, metadata plain, constant and by dictionary.
 */
#ifndef TESTS_BATCH_SAMPLES_H
#define TESTS_BATCH_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "batch/batch.h"

static inline weir_str text_of(char *out, size_t size, const char *prefix, unsigned i) {
    int n = snprintf(out, size, "%s%u", prefix, i);
    return str_make(out, (size_t)n);
}

static inline void count_release(void *opaque) {
    ++*(int *)opaque;
}

/* Fills `count` records; false at the first failure, the builder stays the caller's. */
static inline bool sample_fill(weir_batch_builder *b, unsigned count, int *released) {
    static const char *const dictionary[] = {"even", "odd"};
    static const uint32_t dictionary_len[] = {4, 3};
    if (batch_facet.attach(b, released, count_release, 1000) != WEIR_OK) return false;
    const char *plain_ptr[64];
    uint32_t plain_len[64], index[64];
    for (unsigned i = 0; i < count; i++) {
        weir_batch_columns c = {.struct_size = sizeof c};
        char *text = batch_facet.alloc(b, 64);
        if (text == NULL || batch_facet.reserve(b, 1, &c) != WEIR_OK) return false;
        weir_str value = text_of(text, 20, "v", i);
        weir_str key = text_of(text + 20, 20, "k", i);
        weir_str header = text_of(text + 40, 20, "h", i);
        c.value_ptr[0] = value.ptr;
        c.value_len[0] = (uint32_t)value.len;
        c.key_ptr[0] = key.ptr;
        c.key_len[0] = (uint32_t)key.len;
        c.time_us[0] = i;
        if (batch_facet.commit(b, 1) != WEIR_OK) return false;
        if (i % 2 == 0 && batch_facet.header(b, STR("name"), header) != WEIR_OK) return false;
        plain_ptr[i % 64] = value.ptr;
        plain_len[i % 64] = (uint32_t)value.len;
        index[i % 64] = i % 2;
    }
    if (count > 64) return true;
    weir_column plain = {
        .struct_size = sizeof plain, .name = STR("plain"), .ptr = plain_ptr, .len = plain_len};
    weir_column constant = {.struct_size = sizeof constant,
                            .encoding = WEIR_COLUMN_CONSTANT,
                            .name = STR("constant"),
                            .ptr = dictionary,
                            .len = dictionary_len};
    weir_column coded = {.struct_size = sizeof coded,
                         .encoding = WEIR_COLUMN_DICTIONARY,
                         .name = STR("coded"),
                         .ptr = dictionary,
                         .len = dictionary_len,
                         .index = index};
    return batch_facet.meta(b, &plain) == WEIR_OK && batch_facet.meta(b, &constant) == WEIR_OK &&
           batch_facet.meta(b, &coded) == WEIR_OK;
}

static inline const weir_batch *sample_batch(batch_home *home, unsigned count, int *released) {
    weir_batch_builder *b = batch_begin(home, count / 2, WEIR_COL_KEY | WEIR_COL_TIME);
    if (b == NULL) return NULL;
    if (!sample_fill(b, count, released)) {
        batch_facet.abandon(b);
        return NULL;
    }
    weir_batch_seal seal = {.struct_size = sizeof seal,
                            .split = STR("shard-1"),
                            .resume = STR("position-9"),
                            .lag_ms = 5};
    return batch_facet.seal(b, &seal);
}

/* Row `row` of `r` must be row `i` of the sample; values only if `values`. */
static inline void sample_check(const weir_rows *r, uint32_t row, unsigned i, bool values) {
    char text[32];
    if (values) {
        weir_str value = text_of(text, sizeof text, "v", i);
        assert_true(str_eq(str_make(r->value_ptr[row], r->value_len[row]), value));
    }
    weir_str key = text_of(text, sizeof text, "k", i);
    assert_true(str_eq(str_make(r->key_ptr[row], r->key_len[row]), key));
    assert_true(r->time_us[row] == i);
    uint32_t first = r->header_start[row];
    assert_int_equal(r->header_start[row + 1] - first, i % 2 == 0 ? 1 : 0);
    if (i % 2 == 0) {
        weir_str header = text_of(text, sizeof text, "h", i);
        assert_true(
            str_eq(str_make(r->header_value_ptr[first], r->header_value_len[first]), header));
        assert_int_equal(r->header_name_len[first], 4);
    }
    assert_int_equal(r->meta_count, 3);
    weir_str value = text_of(text, sizeof text, "v", i);
    assert_true(str_eq(str_make(r->meta[0]->ptr[row], r->meta[0]->len[row]), value));
    assert_true(str_eq(str_make(r->meta[1]->ptr[0], r->meta[1]->len[0]), STR("even")));
    uint32_t code = r->meta[2]->index[row];
    assert_string_equal(r->meta[2]->ptr[code], i % 2 == 0 ? "even" : "odd");
}

/* A row of one I64 node with value `v`, and `extra` elements in an array if there are any. */
static inline weir_status sample_row(weir_tape_builder *t, int64_t v, uint32_t extra,
                                     uint32_t origin) {
    weir_tape_room room = {.struct_size = sizeof room};
    uint32_t nodes = extra > 0 ? extra + 2 : 1;
    weir_status status = batch_tape_facet.reserve(t, nodes, &room);
    if (status != WEIR_OK) return status;
    assert_true(room.capacity >= nodes);
    weir_value number = {.type = WEIR_V_I64, .as.i64 = v};
    for (uint32_t i = 0; i < nodes; i++) room.nodes[i] = number;
    if (extra > 0)
        room.nodes[0] = (weir_value){.type = WEIR_V_ARRAY, .size = extra + 1, .as.skip = nodes};
    return batch_tape_facet.row(t, nodes, origin);
}

static inline int64_t sample_root(const weir_tape *tape, uint32_t row) {
    const weir_value *root = weir_tape_root(tape, row);
    return root->type == WEIR_V_ARRAY ? root[1].as.i64 : root->as.i64;
}

#endif
