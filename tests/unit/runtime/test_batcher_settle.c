/*
 * From batches to requests, against a sink that does what the test says: limits, lingering,
 * retries, order, adaption, and plugins that break their word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

/* ---- failures and retries ---- */

static void test_retry_of_the_failed_subset(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_add(&r, "abc");
    rig_pump(&r, false);
    rig_fail_row(&r, 0, 1, WEIR_E_IO, 0);
    rig_pump(&r, false);
    rig_assert_call(&r, 1, "b");
    assert_int_equal(r.calls[1].attempt, 1);
    assert_int_equal(count_get(&r.counters.records_out), 2);
    assert_int_equal(count_get(&r.counters.retried), 1);
    assert_int_equal(batcher_pending(r.batcher), 1);
    rig_ok(&r, 1);
    rig_pump(&r, false);
    rig_assert_done(&r, 3);
    assert_int_equal(count_get(&r.counters.bytes_out), 3);
    rig_end(&r);
}

static void test_order_is_kept_on_retry(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 3;
    rig_start(&r);
    rig_add(&r, "abcdef");
    rig_pump(&r, false);
    r.node.retry.base_ns = 3600 * CLOCK_NS_PER_S;
    r.node.retry.max_ns = 3600 * CLOCK_NS_PER_S;
    r.node.retry.jitter = false;
    rig_fail_row(&r, 0, 0, WEIR_E_IO, 0);
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 1); /* nothing overtakes a, not even when cutting */
    rig_end(&r);
}

static void test_unordered_goes_on(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 3;
    r.limits.in_flight = 2;
    r.node.retry.base_ns = 3600 * CLOCK_NS_PER_S;
    r.node.retry.max_ns = 3600 * CLOCK_NS_PER_S;
    r.node.retry.jitter = false;
    rig_start(&r);
    rig_add(&r, "abc");
    rig_pump(&r, false);
    rig_fail_row(&r, 0, 0, WEIR_E_IO, 0);
    rig_add(&r, "def");
    rig_pump(&r, false);
    rig_assert_call(&r, 1, "d e f");
    rig_end(&r);
}

/* Records of a refused request go one by one; when the first of them must wait, so must those
 * behind it. */
static void test_order_is_kept_among_singles(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_SKIP;
    rig_start(&r);
    rig_add(&r, "abc");
    rig_pump(&r, false);
    rig_fail(&r, 0, WEIR_E_DATA, 0);
    rig_pump(&r, false);
    rig_assert_call(&r, 1, "a");
    r.node.retry.base_ns = r.node.retry.max_ns = 2 * CLOCK_NS_PER_MS;
    r.node.retry.jitter = false;
    rig_fail(&r, 1, WEIR_E_IO, 0);
    rig_pump_until(&r, 3);
    rig_assert_call(&r, 2, "a");
    rig_ok(&r, 2);
    rig_pump(&r, false);
    rig_assert_call(&r, 3, "b");
    rig_ok(&r, 3);
    rig_pump(&r, false);
    rig_assert_call(&r, 4, "c");
    rig_ok(&r, 4);
    rig_pump(&r, false);
    rig_assert_done(&r, 3);
    rig_end(&r);
}

static weir_status again_on_step(rig *r, weir_write *args) {
    if (r->step > 0 && r->call_count == (uint32_t)r->step) return WEIR_AGAIN;
    args->taken = args->request->rows->count;
    return WEIR_OK;
}

/* What the sink did not take of a retry stays ahead of the other retries. */
static void test_order_when_a_retry_is_not_taken(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = again_on_step;
    r.step = 2; /* the second write */
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    rig_fail(&r, 0, WEIR_E_DATA, 0);
    rig_pump(&r, false);
    rig_assert_call(&r, 1, "a"); /* AGAIN */
    /* It is due, but only a wake or the sink's drive can help: no timer in the past. */
    assert_int_equal(batcher_next_ns(r.batcher), INT64_MAX);
    rig_pump(&r, false);
    rig_assert_call(&r, 2, "a");
    rig_ok(&r, 2);
    rig_pump(&r, false);
    rig_assert_call(&r, 3, "b");
    rig_ok(&r, 3);
    rig_pump(&r, false);
    rig_assert_done(&r, 2);
    rig_end(&r);
}

static void test_backoff(void **state) {
    (void)state;
    int64_t least = INT64_MAX, most = 0;
    for (int round = 0; round < 64; round++) {
        rig r;
        rig_init(&r);
        r.node.retry.base_ns = 100 * CLOCK_NS_PER_S;
        r.node.retry.max_ns = 150 * CLOCK_NS_PER_S;
        rig_start(&r);
        atomic_store(&r.sink.random, (uint64_t)round * 77777);
        rig_add(&r, "a");
        rig_pump(&r, false);
        rig_fail(&r, 0, WEIR_E_IO, 0);
        int64_t before = clock_mono_ns(&clock_system);
        rig_pump(&r, false);
        int64_t next = batcher_next_ns(r.batcher);
        if (next != INT64_MAX) { /* else the wait was next to nothing and it is under way again */
            assert_true(next <= clock_mono_ns(&clock_system) + r.node.retry.base_ns);
            if (next - before < least) least = next - before;
            if (next - before > most) most = next - before;
        }
        rig_end(&r);
    }
    /* Full jitter: over the whole width, not around the ceiling. */
    assert_true(least < 10 * CLOCK_NS_PER_S);
    assert_true(most > 90 * CLOCK_NS_PER_S);
}

static void test_backoff_ceiling_and_retry_after(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.retry.base_ns = 100 * CLOCK_NS_PER_S;
    r.node.retry.max_ns = 150 * CLOCK_NS_PER_S;
    r.node.retry.jitter = false;
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump(&r, false);
    weir_result result = {
        .struct_size = sizeof result, .status = WEIR_E_THROTTLED, .retry_after_ms = 400000};
    const weir_host *host = r.sink.head.abi.host;
    const weir_host_task *task = host->get_extension(host, WEIR_HOST_TASK);
    int64_t before = clock_mono_ns(&clock_system);
    task->write_done(&r.sink.head.abi, r.calls[0].token, &result);
    rig_pump(&r, false);
    assert_true(batcher_next_ns(r.batcher) >= before + 400 * CLOCK_NS_PER_S);
    rig_end(&r);

    rig_init(&r);
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump(&r, false);
    result.retry_after_ms = INT64_MAX; /* nonsense is a long wait, not an overflow */
    task->write_done(&r.sink.head.abi, r.calls[0].token, &result);
    rig_pump(&r, false);
    assert_true(batcher_next_ns(r.batcher) > clock_mono_ns(&clock_system));
    assert_true(batcher_next_ns(r.batcher) < INT64_MAX);
    rig_end(&r);
}

static weir_status refuse_for_a_while(rig *r, weir_write *args) {
    (void)r;
    error_set(args->error, WEIR_E_THROTTLED, WEIR_ERR_RETRYABLE, "slow down");
    error_detail(args->error, WEIR_DETAIL_RETRY_AFTER_MS, STR("400000"));
    return WEIR_E_THROTTLED;
}

static void test_retry_after_of_a_returned_error(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = refuse_for_a_while;
    rig_start(&r);
    int64_t before = clock_mono_ns(&clock_system);
    rig_add(&r, "a");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 1);
    assert_true(batcher_next_ns(r.batcher) >= before + 400 * CLOCK_NS_PER_S);
    rig_end(&r);
}

static void exhaust(rig *r) {
    r->node.retry.attempts = 3;
    rig_start(r);
    rig_add(r, "ab");
    rig_pump(r, false);
    rig_fail_row(r, 0, 1, WEIR_E_IO, 0);
    rig_pump(r, false);
    rig_fail(r, 1, WEIR_E_IO, 0);
    rig_pump(r, false);
    rig_assert_call(r, 2, "b");
    rig_fail(r, 2, WEIR_E_IO, 0);
}

static void test_exhausted_fail(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    exhaust(&r);
    assert_int_equal(batcher_pump(r.batcher, false, r.err), WEIR_E_IO);
    assert_non_null(strstr(error_text(r.err), "out: "));
    assert_non_null(strstr(error_text(r.err), "scripted"));
    rig_end(&r);
}

static void test_exhausted_skip(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_SKIP;
    exhaust(&r);
    rig_pump(&r, false);
    rig_assert_done(&r, 1);
    assert_int_equal(count_get(&r.counters.failed), 1);
    assert_int_equal(count_get(&r.counters.skipped), 1);
    rig_end(&r);
}

static void test_exhausted_dead_letter(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    exhaust(&r);
    rig_pump(&r, false);
    rig_assert_done(&r, 1);
    assert_int_equal(count_get(&r.counters.dead_lettered), 1);
    channel_item item = channel_pop(r.letters_channel);
    assert_int_equal(item.kind, ITEM_BATCH);
    assert_int_equal(item.batch->rows->count, 1);
    assert_memory_equal(item.batch->rows->value_ptr[0], "b", 1);
    weir_str text;
    assert_true(rows_header(item.batch->rows, 0, STR("weir.error.attempts"), &text));
    assert_true(str_eq(text, STR("3")));
    assert_true(rows_header(item.batch->rows, 0, STR("weir.error.code"), &text));
    assert_true(str_eq(text, STR("io")));
    channel_item_drop(&item);
    rig_end(&r);
}

/* "One of these is bad": each goes alone, and only the bad one is given up. */
static void test_refused_as_a_whole(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    rig_start(&r);
    rig_add(&r, "abc");
    rig_pump(&r, false);
    rig_fail(&r, 0, WEIR_E_DATA, 0);
    for (uint32_t c = 1; c <= 3; c++) {
        rig_pump(&r, false);
        assert_int_equal(r.calls[c].count, 1);
        if (r.calls[c].values[0] == 'b') {
            rig_fail(&r, c, WEIR_E_DATA, 0);
        } else {
            rig_ok(&r, c);
        }
    }
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 4);
    rig_assert_done(&r, 2);
    assert_int_equal(count_get(&r.counters.dead_lettered), 1);
    assert_int_equal(count_get(&r.counters.retried), 0); /* no fault of theirs: no attempt */
    channel_item item = channel_pop(r.letters_channel);
    assert_memory_equal(item.batch->rows->value_ptr[0], "b", 1);
    channel_item_drop(&item);
    rig_end(&r);
}

static weir_status refuse_with_return(rig *r, weir_write *args) {
    if (r->step++ > 0) {
        args->taken = args->request->rows->count;
        return WEIR_OK;
    }
    error_set(args->error, WEIR_E_IO, WEIR_ERR_RETRYABLE, "connection lost");
    return WEIR_E_IO;
}

static void test_write_returns_an_error(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = refuse_with_return;
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 2);
    rig_assert_call(&r, 1, "a b");
    assert_int_equal(r.calls[1].attempt, 1);
    rig_ok(&r, 1);
    rig_pump(&r, false);
    rig_assert_done(&r, 2);
    rig_end(&r);
}

static weir_status refuse_without_words(rig *r, weir_write *args) {
    if (r->step++ == 0) {
        error_set(args->error, WEIR_E_IO, WEIR_ERR_RETRYABLE, "connection lost");
        return WEIR_E_IO;
    }
    return WEIR_E_AUTH; /* fills nothing in: what stands there is of the call before */
}

static void test_error_of_an_earlier_call_is_forgotten(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = refuse_without_words;
    r.node.retry.attempts = 5;
    rig_start(&r);
    rig_add(&r, "a");
    assert_int_not_equal(batcher_pump(r.batcher, false, r.err), WEIR_OK);
    assert_int_equal(r.call_count, 2);
    assert_null(strstr(error_text(r.err), "connection lost"));
    rig_end(&r);
}

static void test_fatal_ends_the_pipeline(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_SKIP; /* which is about records, not about credentials */
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    rig_fail(&r, 0, WEIR_E_AUTH, 0);
    assert_int_equal(batcher_pump(r.batcher, false, r.err), WEIR_E_AUTH);
    assert_non_null(strstr(error_text(r.err), "out/fake[0]"));
    rig_end(&r);
}

static void test_record_too_large(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    r.limits.record_bytes = 3;
    rig_option(&r, "key", "<${value}>", false);
    rig_start(&r);
    rec records[] = {{.value = "aaaa"}, {.value = "bbb"}, {.value = "cccc"}, {.value = "d"}};
    const weir_batch *batch = rig_batch(r.home, "s", records, 4);
    prepared *texts;
    assert_int_equal(template_set_prepare(batcher_templates(r.batcher), r.home, r.failures, &batch,
                                          &texts, r.err),
                     WEIR_OK);
    assert_int_equal(batcher_add(r.batcher, batch, texts, r.err), WEIR_OK);
    rig_pump(&r, false);
    rig_assert_call(&r, 0, "bbb d");
    const weir_column *key;
    assert_int_equal(r.sink.template_column(&r.sink, r.calls[0].request, "key", NULL, &key),
                     WEIR_OK);
    assert_true(str_eq(str_make(key->ptr[0], key->len[0]), STR("<bbb>")));
    assert_true(str_eq(str_make(key->ptr[1], key->len[1]), STR("<d>")));
    rig_ok(&r, 0);
    rig_pump(&r, false);
    rig_assert_done(&r, 2);
    assert_int_equal(count_get(&r.counters.dead_lettered), 2);

    /* None is left: nothing to write, and nothing lost. */
    rec all[] = {{.value = "eeee"}};
    batch = rig_batch(r.home, "s", all, 1);
    assert_int_equal(template_set_prepare(batcher_templates(r.batcher), r.home, r.failures, &batch,
                                          &texts, r.err),
                     WEIR_OK);
    assert_int_equal(batcher_add(r.batcher, batch, texts, r.err), WEIR_OK);
    rig_assert_done(&r, 2);
    assert_int_equal(count_get(&r.counters.dead_lettered), 3);
    rig_end(&r);
}

static void test_empty_batch_is_nothing(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    assert_int_equal(batcher_add(r.batcher, rig_letters(r.home, "s", ""), NULL, r.err), WEIR_OK);
    rig_assert_done(&r, 0);
    rig_add(&r, "a");
    rig_pump(&r, false);
    rig_assert_call(&r, 0, "a");
    rig_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_of_the_failed_subset),
        cmocka_unit_test(test_order_is_kept_on_retry),
        cmocka_unit_test(test_unordered_goes_on),
        cmocka_unit_test(test_order_is_kept_among_singles),
        cmocka_unit_test(test_order_when_a_retry_is_not_taken),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_backoff_ceiling_and_retry_after),
        cmocka_unit_test(test_retry_after_of_a_returned_error),
        cmocka_unit_test(test_exhausted_fail),
        cmocka_unit_test(test_exhausted_skip),
        cmocka_unit_test(test_exhausted_dead_letter),
        cmocka_unit_test(test_refused_as_a_whole),
        cmocka_unit_test(test_write_returns_an_error),
        cmocka_unit_test(test_error_of_an_earlier_call_is_forgotten),
        cmocka_unit_test(test_fatal_ends_the_pipeline),
        cmocka_unit_test(test_record_too_large),
        cmocka_unit_test(test_empty_batch_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
