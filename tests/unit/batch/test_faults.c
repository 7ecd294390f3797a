/*
 * The n-th allocation fails, for every n, on the whole way of a batch: build, seal, select, decode,
 * other times, encode. Each step answers NULL, nothing leaks, nothing stays charged, and the
 * attachment is released exactly once.
 */
#include "samples.h"

static const weir_batch *decode(batch_home *home, const weir_batch *b, bool gaps) {
    weir_tape_builder *t = batch_tape_begin(home, b);
    if (t == NULL) return NULL;
    weir_schema *schema = batch_tape_facet.schema_new(NULL, STR("json"), STR("{}"), STR("x"));
    weir_status status = schema != NULL ? WEIR_OK : WEIR_E_NOMEM;
    for (uint32_t i = 0; i < b->rows->count && status == WEIR_OK; i++) {
        if (gaps && i % 3 == 0) continue;
        for (uint32_t k = 0; k < (gaps ? 4u : 1u) && status == WEIR_OK; k++)
            status = sample_row(t, i, 200, i);
        if (batch_tape_facet.alloc(t, 3000) == NULL) status = WEIR_E_NOMEM;
    }
    batch_tape_facet.schema_release(schema);
    if (status == WEIR_OK) return batch_tape_finish(t);
    batch_tape_abandon(t);
    return NULL;
}

static const weir_batch *encode(batch_home *home, const weir_batch *b, bool gaps) {
    batch_encoder *e = batch_encode_begin(home, b);
    if (e == NULL) return NULL;
    batch_encode_lines(e, true);
    bool ok = true;
    for (uint32_t i = gaps ? 1 : 0; i < b->rows->count && ok; i++) {
        char *room = batch_encode_room(e, 0, 10);
        if (room != NULL) room = batch_encode_room(e, 5, 3000 + 20000 * (i % 2));
        ok = room != NULL;
        if (!ok) break;
        memset(room, 'x', 3000);
        ok = batch_encode_row(e, i, 3000) == WEIR_OK;
    }
    if (ok) return batch_encode_finish(e);
    batch_encode_abandon(e);
    return NULL;
}

/* True if everything worked. */
static bool whole_way(batch_home *home, bool gaps, int *released, bool *taken) {
    static const uint32_t some[] = {1, 2, 4, 7, 8, 20, 33};
    int64_t times[64] = {0};
    const weir_batch *b = sample_batch(home, 40, released);
    *taken = b != NULL;
    const weir_batch *d = b != NULL ? decode(home, b, gaps) : NULL;
    const weir_batch *s = d != NULL ? batch_select(home, d, some, 7) : NULL;
    const weir_batch *w = s != NULL ? batch_with_times(home, s, times) : NULL;
    const weir_batch *e = w != NULL ? encode(home, w, gaps) : NULL;
    batch_release(b);
    batch_release(d);
    batch_release(s);
    batch_release(w);
    batch_release(e);
    return e != NULL;
}

static void run(bool gaps, bool sticky) {
    for (int64_t n = 1;; n++) {
        int released = 0;
        bool taken = false, worked = false;
        (void)mem_test_fail_at(n, sticky);
        batch_home *home = batch_home_new(1 << 30, NULL, NULL);
        if (home != NULL) worked = whole_way(home, gaps, &released, &taken);
        bool failed = mem_test_fail_at(0, false);
        if (home != NULL) assert_int_equal(batch_home_used(home), 0);
        if (taken) assert_int_equal(released, 1);
        assert_in_range(released, 0, 1);
        batch_home_free(home);
        if (!failed) {
            assert_true(worked);
            assert_in_range(n, 8, 1000);
            return;
        }
        assert_false(worked);
    }
}

static void test_each(void **state) {
    (void)state;
    run(false, false);
    run(true, false);
}

static void test_all_after(void **state) {
    (void)state;
    run(false, true);
    run(true, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_all_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
