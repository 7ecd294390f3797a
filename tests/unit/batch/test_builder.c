/* The builder: columns, headers, metadata, attachments, misuse. */
#include "samples.h"

static batch_home *home;
static batch_ctx ctx;

static void test_columns(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 60, &released);
    assert_non_null(b);
    assert_int_equal(b->rows->count, 60);
    for (unsigned i = 0; i < 60; i++) sample_check(b->rows, i, i, true);
    assert_true(str_eq(b->split, STR("shard-1")) && str_eq(b->resume, STR("position-9")));
    assert_int_equal(b->lag_ms, 5);
    assert_null(b->tape);
    uint64_t bytes = 0;
    for (unsigned i = 0; i < 60; i++) bytes += b->rows->value_len[i];
    assert_int_equal(b->rows->value_bytes, bytes);
    assert_int_equal(batch_bytes(b), batch_home_used(home));
    assert_true(batch_bytes(b) >= 1000 + 60 * 64);
    batch_facet.retain(b);
    batch_facet.release(b);
    assert_int_equal(released, 0);
    batch_facet.release(b);
    assert_int_equal(released, 1);
    assert_int_equal(batch_home_used(home), 0);
}

static void test_growth(void **state) {
    (void)state;
    int released = 0;
    const weir_batch *b = sample_batch(home, 20000, &released);
    assert_non_null(b);
    const weir_rows *r = b->rows;
    for (unsigned i = 0; i < 20000; i += 7) {
        char text[32];
        assert_true(
            str_eq(str_make(r->value_ptr[i], r->value_len[i]), text_of(text, sizeof text, "v", i)));
        assert_true(r->time_us[i] == i);
        assert_int_equal(r->header_start[i + 1] - r->header_start[i], i % 2 == 0);
    }
    batch_release(b);
    assert_int_equal(released, 1);
}

static void test_plain(void **state) {
    (void)state;
    weir_batch_builder *builder = batch_facet.begin(&ctx.abi, 256, 0);
    weir_batch_columns c = {.struct_size = sizeof c};
    assert_int_equal(batch_facet.reserve(builder, 256, &c), WEIR_OK);
    assert_true(c.capacity >= 256);
    assert_true(c.key_ptr == NULL && c.key_len == NULL && c.time_us == NULL);
    for (int i = 0; i < 256; i++) {
        c.value_ptr[i] = i == 3 ? NULL : "x\n";
        c.value_len[i] = 1; /* of a null, too: the host knows better */
    }
    assert_int_equal(batch_facet.commit(builder, 256), WEIR_OK);
    weir_batch_seal seal = {.struct_size = sizeof seal, .trailer_len = 1, .trailer = '\n'};
    const weir_batch *b = batch_facet.seal(builder, &seal);
    assert_int_equal(b->rows->value_len[3], 0);
    assert_null(b->rows->value_ptr[3]);
    assert_int_equal(b->rows->value_bytes, 255);
    assert_true(b->rows->trailer_len == 1 && b->rows->trailer == '\n');
    assert_null(b->rows->header_start);
    assert_int_equal(b->rows->meta_count, 0);
    assert_int_equal(b->split.len, 0);
    /* The usual batch is one small segment. */
    assert_true(batch_bytes(b) < 4200);
    batch_release(b);
    /* An empty one carries its position. */
    builder = batch_facet.begin(&ctx.abi, 0, WEIR_COL_KEY);
    seal = (weir_batch_seal){.struct_size = sizeof seal, .resume = STR("p")};
    b = batch_facet.seal(builder, &seal);
    assert_true(b->rows->count == 0 && str_eq(b->resume, STR("p")));
    batch_release(b);
}

static void test_misuse(void **state) {
    (void)state;
    int released = 0;
    weir_batch_builder *b = batch_facet.begin(&ctx.abi, 20, 0);
    weir_batch_columns c = {.struct_size = sizeof c};
    assert_int_equal(batch_facet.header(b, STR("a"), STR("b")), WEIR_E_INVALID_STATE);
    assert_int_equal(batch_facet.reserve(b, (1u << 20) + 1, &c), WEIR_E_TOO_LARGE);
    assert_int_equal(batch_facet.reserve(b, UINT32_MAX, &c), WEIR_E_TOO_LARGE);
    assert_int_equal(batch_facet.reserve(b, 1, NULL), WEIR_E_INVALID_ARG);
    assert_int_equal(batch_facet.reserve(b, 4, &c), WEIR_OK);
    assert_int_equal(batch_facet.commit(b, c.capacity + 1), WEIR_E_INVALID_ARG);
    c.value_ptr[0] = "x";
    c.value_len[0] = 0x80000000u;
    assert_int_equal(batch_facet.commit(b, 1), WEIR_E_TOO_LARGE);
    assert_int_equal(batch_facet.attach(b, &released, NULL, 1), WEIR_E_INVALID_ARG);
    assert_int_equal(batch_facet.meta(b, NULL), WEIR_E_INVALID_ARG);
    weir_column column = {.struct_size = sizeof column, .encoding = 9, .name = STR("x")};
    assert_int_equal(batch_facet.meta(b, &column), WEIR_E_INVALID_ARG);
    assert_int_equal(batch_facet.attach(b, &released, count_release, 1), WEIR_OK);
    /* A position that is too long: the builder goes, its attachments are released. */
    char position[256] = {0};
    weir_batch_seal seal = {.struct_size = sizeof seal, .resume = {position, 256}};
    assert_null(batch_facet.seal(b, &seal));
    assert_int_equal(released, 1);
    b = batch_facet.begin(&ctx.abi, 1, 0);
    assert_null(batch_facet.seal(b, NULL));
    assert_int_equal(batch_home_used(home), 0);
    /* A struct of an older plugin is filled as far as it goes. */
    b = batch_facet.begin(&ctx.abi, 1, WEIR_COL_KEY);
    struct {
        uint32_t struct_size, capacity;
        const char **value_ptr;
        void *guard;
    } old = {.struct_size = 16, .guard = &old};
    assert_int_equal(batch_facet.reserve(b, 1, (weir_batch_columns *)(void *)&old), WEIR_OK);
    assert_true(old.guard == &old && old.value_ptr != NULL);
    batch_facet.abandon(b);
    batch_facet.abandon(NULL);
    assert_int_equal(batch_home_used(home), 0);
}

static void test_meta(void **state) {
    (void)state;
    weir_batch_builder *builder = batch_facet.begin(&ctx.abi, 4, 0);
    weir_batch_columns c = {.struct_size = sizeof c};
    assert_int_equal(batch_facet.reserve(builder, 3, &c), WEIR_OK);
    for (int i = 0; i < 3; i++) {
        c.value_ptr[i] = "v";
        c.value_len[i] = 1;
    }
    assert_int_equal(batch_facet.commit(builder, 2), WEIR_OK);
    const char *ptr[] = {"a", "b"};
    uint32_t len[] = {1, 1}, index[] = {1, 0};
    weir_column plain = {.struct_size = sizeof plain, .name = STR("p"), .ptr = ptr, .len = len};
    weir_column coded = plain;
    coded.name = STR("d");
    coded.encoding = WEIR_COLUMN_DICTIONARY;
    coded.index = index;
    assert_int_equal(batch_facet.meta(builder, &plain), WEIR_OK);
    assert_int_equal(batch_facet.meta(builder, &coded), WEIR_OK);
    ptr[0] = "z"; /* the arrays were copied */
    index[0] = 0;
    assert_int_equal(batch_facet.commit(builder, 1), WEIR_OK); /* a record without entries */
    weir_batch_seal seal = {.struct_size = sizeof seal};
    const weir_batch *b = batch_facet.seal(builder, &seal);
    const weir_column *p = b->rows->meta[0], *d = b->rows->meta[1];
    assert_true(str_eq(p->name, STR("p")) && str_eq(d->name, STR("d")));
    assert_string_equal(p->ptr[0], "a");
    assert_null(p->ptr[2]);
    assert_string_equal(d->ptr[d->index[0]], "b");
    assert_string_equal(d->ptr[d->index[1]], "a");
    assert_null(d->ptr[d->index[2]]);
    batch_release(b);
    /* The same name again replaces the column. */
    builder = batch_facet.begin(&ctx.abi, 1, 0);
    plain.encoding = coded.encoding = WEIR_COLUMN_CONSTANT;
    coded.name = plain.name;
    coded.ptr = ptr + 1;
    assert_int_equal(batch_facet.meta(builder, &plain), WEIR_OK);
    assert_int_equal(batch_facet.meta(builder, &coded), WEIR_OK);
    b = batch_facet.seal(builder, &seal);
    assert_int_equal(b->rows->meta_count, 1);
    assert_string_equal(b->rows->meta[0]->ptr[0], "b");
    batch_release(b);
}

static void test_segments(void **state) {
    (void)state;
    uint64_t capacity;
    char *s = batch_facet.segment_alloc(&ctx.abi, 100000, &capacity);
    uint64_t charged = batch_home_used(home);
    weir_batch_builder *builder = batch_facet.begin(&ctx.abi, 1, 0);
    uint64_t with_builder = batch_home_used(home);
    assert_int_equal(batch_facet.attach(builder, s, batch_facet.segment_free, capacity), WEIR_OK);
    assert_int_equal(batch_home_used(home), with_builder); /* not charged twice */
    weir_batch_seal seal = {.struct_size = sizeof seal};
    const weir_batch *b = batch_facet.seal(builder, &seal);
    assert_true(batch_bytes(b) > charged);
    assert_int_equal(batch_bytes(b), with_builder);
    batch_release(b);
    assert_int_equal(batch_home_used(home), 0);
}

static int setup(void **state) {
    (void)state;
    home = batch_home_new(1 << 30, NULL, NULL);
    ctx.home = home;
    return home != NULL ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    batch_home_free(home); /* asserts that nothing is charged */
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_growth),
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_meta),    cmocka_unit_test(test_segments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
