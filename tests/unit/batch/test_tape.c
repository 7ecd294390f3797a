/* The tape builder, failed and multiplied rows, schemas, selections of a tape. */
#include "samples.h"

static batch_home *home;

static void test_one_to_one(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 50, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    for (uint32_t i = 0; i < 50; i++) assert_int_equal(sample_row(t, i, i % 5, i), WEIR_OK);
    char *text = batch_tape_facet.alloc(t, 5);
    memcpy(text, "hello", 5);
    const weir_batch *d = batch_tape_finish(t);
    assert_non_null(d);
    assert_ptr_equal(d->rows->value_ptr, b->rows->value_ptr); /* nothing was gathered */
    batch_release(b);
    assert_int_equal(d->tape->row_count, 50);
    assert_null(d->tape->origin);
    assert_null(d->tape->schema_index);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(sample_root(d->tape, i), i);
        sample_check(d->rows, i, i, true);
    }
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(d->flags & WEIR_BATCH_STALE_BYTES, 0);
    /* A selection shares the nodes. */
    const uint32_t some[] = {2, 4, 30};
    const weir_batch *s = batch_select(home, d, some, 3);
    batch_release(d);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(sample_root(s->tape, i), some[i]);
        sample_check(s->rows, i, some[i], true);
    }
    const uint32_t last[] = {2};
    const weir_batch *u = batch_select(home, s, last, 1);
    batch_release(s);
    assert_int_equal(sample_root(u->tape, 0), 30);
    assert_int_equal(released, 0);
    batch_release(u);
    assert_int_equal(released, 1);
}

static void test_failed_rows(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 10, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    for (uint32_t i = 0; i < 10; i += 3) assert_int_equal(sample_row(t, i, 0, i), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    batch_release(b);
    assert_int_equal(d->rows->count, 4);
    assert_int_equal(d->flags & WEIR_BATCH_STALE_BYTES, 0);
    for (uint32_t i = 0; i < 4; i++) {
        sample_check(d->rows, i, i * 3, true);
        assert_int_equal(sample_root(d->tape, i), i * 3);
    }
    batch_release(d);
    /* The last one missing is a gap as well; all missing is an empty batch. */
    b = sample_batch(home, 3, &released);
    t = batch_tape_begin(home, b);
    assert_int_equal(sample_row(t, 7, 0, 0), WEIR_OK);
    d = batch_tape_finish(t);
    assert_int_equal(d->rows->count, 1);
    batch_release(d);
    d = batch_tape_finish(batch_tape_begin(home, b));
    assert_true(d->rows->count == 0 && d->tape->row_count == 0);
    batch_release(d);
    batch_tape_abandon(batch_tape_begin(home, b));
    batch_tape_abandon(NULL);
    batch_release(b);
    assert_int_equal(released, 2);
}

static void test_multiplied_rows(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 4, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t k = 0; k < i * 10; k++)
            assert_int_equal(sample_row(t, i * 100 + k, k % 3, i), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    batch_release(b);
    assert_int_equal(d->rows->count, 60);
    assert_int_equal(d->flags & WEIR_BATCH_STALE_BYTES, WEIR_BATCH_STALE_BYTES);
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t record = i < 10 ? 1 : i < 30 ? 2 : 3;
        sample_check(d->rows, i, record, true);
        assert_int_equal(sample_root(d->tape, i) / 100, record);
    }
    batch_release(d);
    assert_int_equal(released, 1);
}

static void test_growing_row(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 2, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    assert_int_equal(sample_row(t, 1, 0, 0), WEIR_OK);
    /* A row of unknown size: what was written moves along. */
    uint32_t n = 1;
    weir_tape_room room = {.struct_size = sizeof room};
    for (uint32_t size = 1; size <= 100000; size *= 3) {
        assert_int_equal(batch_tape_facet.reserve(t, size + 1, &room), WEIR_OK);
        for (; n <= size; n++) room.nodes[n] = (weir_value){.type = WEIR_V_I64, .as.i64 = n};
    }
    room.nodes[0] = (weir_value){.type = WEIR_V_ARRAY, .size = n - 1, .as.skip = n};
    assert_int_equal(batch_tape_facet.row(t, n, 1), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    batch_release(b);
    assert_int_equal(sample_root(d->tape, 0), 1);
    const weir_value *root = weir_tape_root(d->tape, 1);
    for (uint32_t i = 1; i < n; i++) assert_int_equal(root[i].as.i64, i);
    batch_release(d);
}

static void test_misuse(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 4, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    weir_tape_room room = {.struct_size = sizeof room};
    assert_int_equal(batch_tape_facet.row(t, 1, 0), WEIR_E_INVALID_ARG); /* nothing reserved */
    assert_int_equal(batch_tape_facet.reserve(t, 2, &room), WEIR_OK);
    room.nodes[0] = (weir_value){.type = WEIR_V_NULL};
    assert_int_equal(batch_tape_facet.row(t, 0, 0), WEIR_E_INVALID_ARG);
    assert_int_equal(batch_tape_facet.row(t, 2, 0), WEIR_E_INVALID_ARG); /* the root spans 1 */
    assert_int_equal(batch_tape_facet.row(t, 1, 4), WEIR_E_INVALID_ARG); /* no such record */
    assert_int_equal(batch_tape_facet.row(t, 1, 2), WEIR_OK);
    assert_int_equal(sample_row(t, 1, 0, 1), WEIR_E_INVALID_ARG); /* backwards */
    assert_int_equal(batch_tape_facet.reserve(t, UINT32_MAX, &room), WEIR_E_TOO_LARGE);
    assert_int_equal(batch_tape_facet.reserve(t, 1, NULL), WEIR_E_INVALID_ARG);
    batch_tape_abandon(t);
    batch_release(b);
    assert_int_equal(batch_home_used(home), 0);
}

static void test_schemas(void **state) {
    (void)state;
    int released = 0;
    weir_schema *schemas[10];
    for (unsigned i = 0; i < 10; i++) {
        char text[16];
        schemas[i] =
            batch_tape_facet.schema_new(NULL, STR("avro"), text_of(text, 16, "s", i), STR("f"));
    }
    const weir_batch *b = sample_batch(home, 30, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    for (uint32_t i = 0; i < 30; i++) {
        weir_tape_room room = {.struct_size = sizeof room};
        assert_int_equal(batch_tape_facet.reserve(t, 1, &room), WEIR_OK);
        room.nodes[0] = (weir_value){.type = WEIR_V_I64, .as.i64 = i};
        const weir_schema *schema = i % 11 == 10 ? NULL : schemas[i % 11];
        assert_int_equal(batch_tape_facet.row_with_schema(t, 1, i, schema), WEIR_OK);
    }
    const weir_batch *d = batch_tape_finish(t);
    batch_release(b);
    for (int i = 0; i < 10; i++) batch_tape_facet.schema_release(schemas[i]);
    assert_int_equal(d->tape->schema_count, 10);
    const uint32_t some[] = {10, 12, 29};
    const weir_batch *s = batch_select(home, d, some, 3);
    batch_release(d);
    assert_int_equal(s->tape->schema_index[0], UINT32_MAX);
    const weir_schema *one = s->tape->schemas[s->tape->schema_index[1]];
    assert_true(str_eq(batch_tape_facet.schema_text(one), STR("s1")));
    assert_true(str_eq(batch_tape_facet.schema_type(one), STR("avro")));
    assert_true(str_eq(batch_tape_facet.schema_fingerprint(one), STR("f")));
    batch_tape_facet.schema_retain(one);
    batch_release(s);
    assert_true(str_eq(batch_tape_facet.schema_text(one), STR("s1")));
    batch_tape_facet.schema_release(one);
}

/* A transform makes rows over a batch that has a tape: its bytes are stale from then on. */
static void test_second_tape(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 1, &released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    assert_int_equal(sample_row(t, 1, 0, 0), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    t = batch_tape_begin(home, d);
    assert_int_equal(sample_row(t, 2, 0, 0), WEIR_OK);
    const weir_batch *e = batch_tape_finish(t);
    assert_int_equal(e->flags & WEIR_BATCH_STALE_BYTES, WEIR_BATCH_STALE_BYTES);
    assert_int_equal(sample_root(d->tape, 0), 1);
    assert_int_equal(sample_root(e->tape, 0), 2);
    batch_release(b);
    batch_release(d);
    batch_release(e);
}

static int setup(void **state) {
    (void)state;
    home = batch_home_new(1 << 30, NULL, NULL);
    return home != NULL ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    batch_home_free(home);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_to_one),      cmocka_unit_test(test_failed_rows),
        cmocka_unit_test(test_multiplied_rows), cmocka_unit_test(test_growing_row),
        cmocka_unit_test(test_misuse),          cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_second_tape),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
