/* The encoder: consecutive values, trailers, values that grow, rows left out. */
#include "samples.h"

static batch_home *home;

static const weir_batch *decoded(unsigned count, int *released) {
    const weir_batch *b = sample_batch(home, count, released);
    weir_tape_builder *t = batch_tape_begin(home, b);
    for (uint32_t i = 0; i < count; i++) assert_int_equal(sample_row(t, i, 0, i), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    batch_release(b);
    return d;
}

static void put(batch_encoder *e, uint32_t row, const char *text) {
    char *room = batch_encode_room(e, 0, strlen(text));
    assert_non_null(room);
    memcpy(room, text, strlen(text));
    assert_int_equal(batch_encode_row(e, row, strlen(text)), WEIR_OK);
}

static void test_lines(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *d = decoded(40, &released);
    batch_encoder *e = batch_encode_begin(home, d);
    batch_encode_lines(e, true);
    for (uint32_t i = 0; i < 40; i++) put(e, i, "abc");
    const weir_batch *b = batch_encode_finish(e);
    batch_release(d);
    assert_null(b->tape);
    assert_true(b->rows->trailer_len == 1 && b->rows->trailer == '\n');
    assert_int_equal(b->rows->value_bytes, 120);
    for (uint32_t i = 0; i < 40; i++) {
        assert_ptr_equal(b->rows->value_ptr[i], b->rows->value_ptr[0] + 4 * i);
        assert_memory_equal(b->rows->value_ptr[i], "abc\n", 4);
        sample_check(b->rows, i, i, false); /* keys and headers keep the source's memory */
    }
    assert_int_equal(released, 0);
    batch_release(b);
    assert_int_equal(released, 1);
}

static void test_left_out(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *d = decoded(10, &released);
    batch_encoder *e = batch_encode_begin(home, d);
    put(e, 1, "one");
    assert_non_null(batch_encode_room(e, 0, 100)); /* of a row that fails */
    put(e, 8, "eight");
    assert_int_equal(batch_encode_row(e, 9, 0), WEIR_OK); /* empty, without room */
    const weir_batch *b = batch_encode_finish(e);
    batch_release(d);
    assert_int_equal(b->rows->count, 3);
    assert_int_equal(b->rows->trailer_len, 0);
    sample_check(b->rows, 0, 1, false);
    sample_check(b->rows, 1, 8, false);
    assert_memory_equal(b->rows->value_ptr[1], "eight", 5);
    assert_true(b->rows->value_ptr[2] != NULL && b->rows->value_len[2] == 0);
    batch_release(b);
    assert_int_equal(released, 1);
}

static void test_growing_value(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *d = decoded(3, &released);
    batch_encoder *e = batch_encode_begin(home, d);
    batch_encode_lines(e, true);
    put(e, 0, "first");
    uint64_t used = 0;
    char *room = NULL;
    for (uint64_t size = 1; size < 3000000; size *= 5) {
        room = batch_encode_room(e, used, size);
        assert_non_null(room);
        while (used < size) {
            room[used] = (char)('a' + used % 26);
            used++;
        }
    }
    assert_int_equal(batch_encode_row(e, 1, used), WEIR_OK);
    put(e, 2, "last");
    const weir_batch *b = batch_encode_finish(e);
    batch_release(d);
    assert_memory_equal(b->rows->value_ptr[0], "first\n", 6);
    for (uint64_t i = 0; i < used; i++)
        assert_int_equal(b->rows->value_ptr[1][i], 'a' + (int)(i % 26));
    assert_int_equal(b->rows->value_ptr[1][used], '\n');
    assert_memory_equal(b->rows->value_ptr[2], "last\n", 5);
    batch_release(b);
}

static void test_misuse(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *d = decoded(4, &released);
    batch_encoder *e = batch_encode_begin(home, d);
    assert_int_equal(batch_encode_row(e, 0, 1), WEIR_E_INVALID_ARG); /* no room */
    put(e, 2, "x");
    assert_non_null(batch_encode_room(e, 0, 1));
    assert_int_equal(batch_encode_row(e, 2, 1), WEIR_E_INVALID_ARG);       /* twice */
    assert_int_equal(batch_encode_row(e, 1, 1), WEIR_E_INVALID_ARG);       /* backwards */
    assert_int_equal(batch_encode_row(e, 4, 1), WEIR_E_INVALID_ARG);       /* no such row */
    assert_int_equal(batch_encode_row(e, 3, 1 << 30), WEIR_E_INVALID_ARG); /* more than room */
    assert_int_equal(batch_encode_row(e, 3, UINT64_MAX), WEIR_E_TOO_LARGE);
    assert_null(batch_encode_room(e, 1 << 30, 1));
    assert_null(batch_encode_room(e, 0, UINT64_MAX));
    batch_encode_abandon(e);
    batch_encode_abandon(NULL);
    batch_release(d);
    assert_int_equal(released, 1);
    assert_int_equal(batch_home_used(home), 0);
}

/* Without keys, headers and metadata the old bytes go as soon as the new ones are there. */
static void test_drops_parent(void **state) {
    (void)state;
    int released = 0;
    weir_batch_builder *builder = batch_begin(home, 2, WEIR_COL_TIME);
    assert_int_equal(batch_facet.attach(builder, &released, count_release, 1 << 20), WEIR_OK);
    weir_batch_columns c = {.struct_size = sizeof c};
    assert_int_equal(batch_facet.reserve(builder, 2, &c), WEIR_OK);
    for (int i = 0; i < 2; i++) {
        c.value_ptr[i] = "v";
        c.value_len[i] = 1;
        c.time_us[i] = 70 + i;
    }
    assert_int_equal(batch_facet.commit(builder, 2), WEIR_OK);
    char split[] = "split", resume[] = "resume";
    weir_batch_seal seal = {
        .struct_size = sizeof seal, .split = str_of(split), .resume = str_of(resume), .lag_ms = 4};
    const weir_batch *b = batch_facet.seal(builder, &seal);
    weir_tape_builder *t = batch_tape_begin(home, b);
    assert_int_equal(sample_row(t, 1, 0, 0), WEIR_OK);
    assert_int_equal(sample_row(t, 2, 0, 1), WEIR_OK);
    const weir_batch *d = batch_tape_finish(t);
    batch_encoder *e = batch_encode_begin(home, d);
    put(e, 0, "a");
    put(e, 1, "b");
    const weir_batch *encoded = batch_encode_finish(e);
    batch_release(b);
    batch_release(d);
    assert_int_equal(released, 1);
    assert_true(batch_home_used(home) < 20000);
    assert_true(str_eq(encoded->split, STR("split")) && str_eq(encoded->resume, STR("resume")));
    assert_true(encoded->rows->time_us[1] == 71 && encoded->lag_ms == 4);
    batch_release(encoded);
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
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_growing_value), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_drops_parent),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
