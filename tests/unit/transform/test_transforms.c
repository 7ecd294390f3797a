#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_host.h"
#include "transform/transform.h"

static const weir_batch *emitted;
static uint32_t emits;

static weir_status emit(weir_apply *args, uint32_t port, const weir_batch *batch) {
    (void)args;
    assert_int_equal(port, 0);
    assert_null(emitted);
    emitted = batch;
    emits++;
    return WEIR_OK;
}

static void *open_transform(fake_instance *i, const weir_component *c) {
    const weir_transform_ops *ops = c->ops;
    weir_create create = {.struct_size = sizeof create, .ctx = &i->head.abi};
    weir_open open = {.struct_size = sizeof open, .role = WEIR_ROLE_TASK, .parallelism = 1};
    assert_int_equal(ops->create(&create), WEIR_OK);
    assert_int_equal(ops->open(create.self, &open), WEIR_OK);
    return create.self;
}

static void apply(const weir_component *c, void *self, const weir_batch *batch) {
    const weir_transform_ops *ops = c->ops;
    weir_apply a = {.struct_size = sizeof a, .batch = batch, .emit = emit};
    batch_release(emitted);
    emitted = NULL;
    emits = 0;
    assert_int_equal(ops->apply(self, &a), WEIR_OK);
}

static void close_transform(const weir_component *c, void *self) {
    const weir_transform_ops *ops = c->ops;
    weir_close close = {.struct_size = sizeof close, .mode = WEIR_CLOSE_DRAIN};
    batch_release(emitted);
    emitted = NULL;
    assert_int_equal(ops->close(self, &close), WEIR_OK);
    ops->destroy(self);
}

/* A batch of `count` records whose rows are the integers from 0. */
static const weir_batch *integers(fake_instance *i, uint32_t count) {
    static const char digits[] = "0";
    weir_batch_builder *b = batch_begin(i->head.home, count, 0);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_batch_seal seal = {.struct_size = sizeof seal, .split = {"0", 1}, .resume = {"", 0}};
    const weir_batch *raw;
    const weir_batch *decoded;
    weir_tape_builder *t;
    assert_non_null(b);
    assert_int_equal(batch_facet.reserve(b, count, &columns), WEIR_OK);
    for (uint32_t r = 0; r < count; r++) {
        columns.value_ptr[r] = digits;
        columns.value_len[r] = 1;
    }
    assert_int_equal(batch_facet.commit(b, count), WEIR_OK);
    raw = batch_facet.seal(b, &seal);
    assert_non_null(raw);
    t = batch_tape_begin(i->head.home, raw);
    assert_non_null(t);
    for (uint32_t r = 0; r < count; r++) {
        weir_tape_room room = {.struct_size = sizeof room};
        assert_int_equal(batch_tape_facet.reserve(t, 1, &room), WEIR_OK);
        room.nodes[0] = (weir_value){.type = WEIR_V_I64, .as.i64 = r};
        assert_int_equal(batch_tape_facet.row(t, 1, r), WEIR_OK);
    }
    decoded = batch_tape_finish(t);
    assert_non_null(decoded);
    batch_release(raw);
    return decoded;
}

static void filter_integers(const char *where, uint32_t want, bool same) {
    fake_instance i;
    const weir_batch *batch;
    void *self;
    fake_instance_init(&i);
    fake_set_text(&i, "where", where);
    self = open_transform(&i, &transform_filter);
    batch = integers(&i, 100);
    apply(&transform_filter, self, batch);
    assert_int_equal(emits, want > 0);
    if (want > 0) {
        assert_int_equal(emitted->rows->count, want);
        assert_int_equal(emitted == batch, same);
        assert_int_equal(emitted->tape->row_count, want);
    }
    if (want == 1) assert_int_equal(weir_tape_root(emitted->tape, 0)->as.i64, 42);
    close_transform(&transform_filter, self);
    batch_release(batch);
    fake_instance_free(&i);
}

static void test_filter(void **state) {
    (void)state;
    filter_integers(". >= 0", 100, true); /* all: the batch itself */
    filter_integers(". < 0", 0, false);   /* none: nothing */
    filter_integers(". >= 60", 40, false);
    filter_integers(". == 42", 1, false);
}

static void test_filter_validate(void **state) {
    fake_instance i;
    weir_validate v = {.struct_size = sizeof v};
    (void)state;
    fake_instance_init(&i);
    v.ctx = &i.head.abi;
    v.error = error_new();
    fake_set_text(&i, "where", ".a > 1");
    assert_int_equal(transform_filter.validate(&v), WEIR_OK);
    fake_set_text(&i, "where", ".a = 1");
    assert_int_equal(transform_filter.validate(&v), WEIR_E_INVALID_ARG);
    assert_non_null(strstr(error_text(v.error), "where, column 4: "));
    assert_true(weir_str_is(error_get_detail(v.error, WEIR_DETAIL_OPTION), "where"));
    assert_true(error_get_detail(v.error, WEIR_DETAIL_HINT).len > 0);
    assert_true(error_flags(v.error) & WEIR_ERR_CONFIG);
    error_free(v.error);
    fake_instance_free(&i);
}

static uint32_t sampled(double rate, int64_t seed, uint32_t *first) {
    fake_instance i;
    const weir_batch *batch;
    uint32_t kept = 0;
    void *self;
    fake_instance_init(&i);
    fake_set_real(&i, "rate", rate);
    fake_set_number(&i, "seed", seed);
    self = open_transform(&i, &transform_sample);
    batch = integers(&i, 1000);
    for (int n = 0; n < 10; n++) {
        apply(&transform_sample, self, batch);
        if (emitted == NULL) continue;
        if (kept == 0) *first = (uint32_t)weir_tape_root(emitted->tape, 0)->as.i64;
        kept += emitted->rows->count;
    }
    close_transform(&transform_sample, self);
    batch_release(batch);
    fake_instance_free(&i);
    return kept;
}

static void test_sample(void **state) {
    uint32_t a = 0;
    uint32_t b = 0;
    (void)state;
    assert_int_equal(sampled(1, 0, &a), 10000);
    assert_int_equal(sampled(0, 0, &a), 0);
    assert_in_range(sampled(0.1, 1, &a), 850, 1150);
    assert_int_equal(sampled(0.1, 1, &a), sampled(0.1, 1, &b)); /* the same again */
    assert_int_equal(a, b);
    assert_true(sampled(0.3, 1, &a) != sampled(0.3, 2, &b) || a != b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_filter_validate),
        cmocka_unit_test(test_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
