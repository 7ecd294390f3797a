/*
 * From batches to requests, against a sink that does what the test says: limits, lingering,
 * retries, order, adaption, and plugins that break their word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

/* ---- gathering ---- */

static void test_limit_of_records(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 3;
    r.limits.in_flight = 10;
    rig_start(&r);
    rig_add(&r, "ab");
    rig_add(&r, "cdefg");
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 3);
    rig_assert_call(&r, 0, "a b c");
    rig_assert_call(&r, 1, "d e f");
    rig_assert_call(&r, 2, "g");
    for (uint32_t c = 0; c < 3; c++) rig_ok(&r, c);
    rig_pump(&r, true);
    rig_assert_done(&r, 7);
    assert_int_equal(count_get(&r.counters.bytes_out), 7);
    rig_end(&r);
}

static void test_limit_of_bytes_and_overhead(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_bytes = 12;
    r.limits.record_overhead = 3; /* four bytes a letter: three fit */
    r.limits.in_flight = 10;
    rig_start(&r);
    rig_add(&r, "abcde");
    rig_pump(&r, true);
    rig_assert_call(&r, 0, "a b c");
    rig_assert_call(&r, 1, "d e");
    rig_ok(&r, 0);
    rig_ok(&r, 1);
    rig_pump(&r, true);
    rig_assert_done(&r, 5);
    rig_end(&r);
}

static void test_manifest_narrows_limits(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 4;
    r.node.batch.records = 2;
    r.limits.in_flight = 10;
    r.node.batch.in_flight = 1;
    rig_start(&r);
    rig_add(&r, "abcd");
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 1);
    rig_assert_call(&r, 0, "a b");
    rig_end(&r);
}

static void test_large_record_goes_alone(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_bytes = 3;
    r.limits.in_flight = 10;
    rig_start(&r);
    rec records[] = {{.value = "a"}, {.value = "bbbbbbbb"}, {.value = "c"}};
    assert_int_equal(batcher_add(r.batcher, rig_batch(r.home, "s", records, 3), NULL, r.err), 0);
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 3);
    rig_assert_call(&r, 0, "a");
    rig_assert_call(&r, 1, "bbbbbbbb");
    rig_assert_call(&r, 2, "c");
    rig_end(&r);
}

static void test_at_once_when_idle(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.in_flight = 4;
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump(&r, false);
    rig_assert_call(&r, 0, "a"); /* nobody waits for company */
    rig_add(&r, "b");
    rig_pump(&r, false);
    rig_add(&r, "c");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 1); /* while one is under way the rest gathers */
    rig_ok(&r, 0);
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 2);
    rig_assert_call(&r, 1, "b c");
    rig_ok(&r, 1);
    rig_pump(&r, false);
    rig_assert_done(&r, 3);
    rig_end(&r);
}

static void test_full_goes_while_busy(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.in_flight = 2;
    r.limits.request_records = 2;
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump(&r, false);
    rig_add(&r, "bcdef");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 2); /* a full request goes, but no third one */
    rig_assert_call(&r, 1, "b c");
    rig_end(&r);
}

static void test_linger(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.batch.linger_ns = 60 * CLOCK_NS_PER_S;
    r.limits.request_records = 3;
    rig_start(&r);
    int64_t before = clock_mono_ns(&clock_system);
    rig_add(&r, "a");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 0);
    int64_t due = batcher_next_ns(r.batcher);
    assert_true(due >= before + r.node.batch.linger_ns);
    assert_true(due <= clock_mono_ns(&clock_system) + r.node.batch.linger_ns);
    rig_add(&r, "bc"); /* full: no reason to wait any longer */
    rig_pump(&r, false);
    rig_assert_call(&r, 0, "a b c");
    rig_ok(&r, 0);
    rig_add(&r, "d");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 1);
    rig_pump(&r, true); /* a drain does not linger */
    rig_assert_call(&r, 1, "d");
    rig_ok(&r, 1);
    rig_pump(&r, true);
    rig_assert_done(&r, 4);
    rig_end(&r);
}

static void test_linger_ends(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.batch.linger_ns = 2 * CLOCK_NS_PER_MS;
    r.limits.in_flight = 2;
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump_until(&r, 1);
    rig_add(&r, "b");
    rig_pump_until(&r, 2); /* also beside a request that is still under way */
    rig_assert_call(&r, 1, "b");
    rig_end(&r);
}

static void test_room(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.batch.buffered = 3;
    r.stage.buffered_bytes = 4 * 17;
    rig_start(&r);
    rig_add(&r, "ab");
    assert_true(batcher_room(r.batcher));
    rig_add(&r, "c");
    assert_false(batcher_room(r.batcher)); /* records */
    rig_pump(&r, false);
    assert_false(batcher_room(r.batcher)); /* under way still counts */
    rig_ok(&r, 0);
    rig_pump(&r, false);
    assert_true(batcher_room(r.batcher));
    r.node.batch.buffered = 100;
    rig_add(&r, "abcd");
    assert_false(batcher_room(r.batcher)); /* bytes */
    rig_end(&r);
}

/* ---- groups ---- */

static void test_groups(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_option(&r, "path", "out/${value}", true);
    rig_start(&r);
    rig_add(&r, "aab");
    rig_add(&r, "ba");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 2); /* one a group, each with its own in-flight limit */
    bool first_is_a = r.calls[0].values[0] == 'a';
    rig_assert_call(&r, first_is_a ? 0 : 1, "a a a");
    rig_assert_call(&r, first_is_a ? 1 : 0, "b b");
    assert_int_not_equal(r.calls[0].group, r.calls[1].group);
    rig_ok(&r, 0);
    rig_ok(&r, 1);
    rig_add(&r, "b");
    rig_pump(&r, false);
    rig_assert_call(&r, 2, "b");
    assert_int_equal(r.calls[2].group, r.calls[first_is_a ? 1 : 0].group);
    rig_end(&r);
}

static weir_status read_column(rig *r, weir_write *args) {
    const weir_host *host = r->sink.head.abi.host;
    const weir_host_config *config = host->get_extension(host, WEIR_HOST_CONFIG);
    weir_ctx *ctx = &r->sink.head.abi;
    const weir_column *path, *key;
    assert_int_equal(config->template_column(ctx, args->request, "path", NULL, &path), WEIR_OK);
    assert_int_equal(path->encoding, WEIR_COLUMN_CONSTANT);
    assert_true(str_eq(str_make(path->ptr[0], path->len[0]), STR("fixed")));
    assert_int_equal(config->template_column(ctx, args->request, "key", NULL, &key), WEIR_OK);
    assert_int_equal(key->encoding, WEIR_COLUMN_PLAIN);
    assert_true(str_eq(str_make(key->ptr[1], key->len[1]), STR("<b>")));
    const weir_column *none;
    assert_int_equal(config->template_column(ctx, args->request, "other", NULL, &none),
                     WEIR_E_NOT_FOUND);
    assert_int_equal(config->template_column(ctx, args->request, "key", "entry", &none),
                     WEIR_E_NOT_FOUND);
    args->taken = args->request->rows->count;
    return WEIR_OK;
}

static void test_template_columns(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_option(&r, "key", "<${value}>", false);
    rig_option(&r, "path", "fixed", true);
    r.on_write = read_column;
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 1);
    rig_end(&r);
}

/* ---- partial writes ---- */

static weir_status take_two(rig *r, weir_write *args) {
    (void)r;
    uint32_t n = args->request->rows->count;
    args->taken = n < 2 ? n : 2;
    return WEIR_OK;
}

static void test_partial(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = take_two;
    rig_start(&r);
    rig_add(&r, "ab");
    rig_add(&r, "c");
    rig_add(&r, "de");
    rig_pump(&r, false);
    rig_assert_call(&r, 0, "a b c d e");
    rig_ok(&r, 0);
    rig_pump(&r, false);
    rig_assert_call(&r, 1, "c d e");
    rig_ok(&r, 1);
    rig_pump(&r, false);
    rig_assert_call(&r, 2, "e");
    rig_ok(&r, 2);
    rig_pump(&r, false);
    rig_assert_done(&r, 5);
    rig_end(&r);
}

static weir_status again_first(rig *r, weir_write *args) {
    if (r->step-- > 0) return WEIR_AGAIN;
    args->taken = args->request->rows->count;
    return WEIR_OK;
}

static void test_again_is_no_attempt(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = again_first;
    r.step = 2;
    r.node.retry.attempts = 1;
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 1); /* not asked again before a wake or a drive */
    assert_int_equal(batcher_next_ns(r.batcher), INT64_MAX); /* and no timer that would spin */
    rig_pump(&r, false);
    rig_pump(&r, false);
    assert_int_equal(r.call_count, 3);
    rig_assert_call(&r, 2, "a b");
    assert_int_equal(r.calls[2].attempt, 0);
    rig_ok(&r, 2);
    rig_pump(&r, false);
    rig_assert_done(&r, 2);
    assert_int_equal(count_get(&r.counters.retried), 0);
    rig_end(&r);
}

/* ---- adaption ---- */

/* Writes as many requests as the window lets; answers how many. Completes none. */
static uint32_t burst(rig *r) {
    uint32_t before = r->call_count;
    rig_pump(r, true);
    return r->call_count - before;
}

static void test_throttling_halves_and_recovers(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 1;
    r.limits.in_flight = 8;
    rig_start(&r);
    rig_add(&r, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    assert_int_equal(burst(&r), 8);
    rig_fail(&r, 0, WEIR_E_THROTTLED, 0);
    for (uint32_t c = 1; c < 8; c++) rig_ok(&r, c);
    /* The window is 4 and grows by less than one a round of four, but seven answers came. */
    uint32_t window = burst(&r);
    assert_in_range(window, 4, 5);
    uint32_t done = 8;
    for (int round = 0; round < 5 && window < 8; round++) {
        while (done < r.call_count) rig_ok(&r, done++);
        window = burst(&r);
    }
    assert_int_equal(window, 8);
    rig_end(&r);
}

static void test_throttled_to_one(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 1;
    r.limits.in_flight = 2;
    rig_start(&r);
    rig_add(&r, "abcdef");
    assert_int_equal(burst(&r), 2);
    r.node.retry.base_ns = r.node.retry.max_ns = 1;
    rig_fail(&r, 0, WEIR_E_THROTTLED, 0);
    rig_fail(&r, 1, WEIR_E_THROTTLED, 0);
    rig_pump_until(&r, 3); /* never less than one at a time */
    assert_int_equal(r.call_count, 3);
    rig_end(&r);
}

/* A retry that is due but has no place in the window waits for a completion, not for the clock. */
static void test_no_timer_while_window_is_full(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.limits.request_records = 1;
    r.limits.in_flight = 2;
    rig_start(&r);
    rig_add(&r, "abc");
    rig_pump(&r, true);
    r.node.retry.base_ns = r.node.retry.max_ns = 1;
    rig_fail(&r, 0, WEIR_E_THROTTLED, 0); /* window 1, and b is under way */
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 2);
    assert_int_equal(batcher_next_ns(r.batcher), INT64_MAX);
    rig_ok(&r, 1);
    rig_pump_until(&r, 3);
    rig_assert_call(&r, 2, "a");
    rig_end(&r);
}

/* ---- plugins that break their word ---- */

static void test_unknown_token(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_add(&r, "a");
    rig_pump(&r, false);
    uint64_t right = r.calls[0].token;
    uint64_t wrong[] = {0, 1, UINT64_MAX, right + 1, right + (UINT64_C(1) << 20)};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        r.calls[0].token = wrong[i];
        rig_ok(&r, 0);
        rig_pump(&r, false);
        assert_int_equal(batcher_pending(r.batcher), 1);
    }
    r.calls[0].token = right;
    rig_ok(&r, 0);
    rig_ok(&r, 0); /* twice: the second one is a stranger too */
    rig_pump(&r, false);
    rig_assert_done(&r, 1);
    rig_end(&r);
}

static void test_index_out_of_range(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rig_add(&r, "ab");
    rig_pump(&r, false);
    rig_fail_row(&r, 0, 2, WEIR_E_IO, 0);
    assert_int_equal(batcher_pump(r.batcher, false, r.err), WEIR_E_INTERNAL);
    assert_non_null(strstr(error_text(r.err), "fault of the plugin"));
    rig_end(&r);
}

static void complete_with(rig *r, const weir_result *result) {
    const weir_host *host = r->sink.head.abi.host;
    const weir_host_task *task = host->get_extension(host, WEIR_HOST_TASK);
    task->write_done(&r->sink.head.abi, r->calls[0].token, result);
    assert_int_equal(batcher_pump(r->batcher, false, r->err), WEIR_E_INTERNAL);
    assert_non_null(strstr(error_text(r->err), "fault of the plugin"));
}

static void test_nonsense_results(void **state) {
    (void)state;
    uint32_t twice[] = {1, 1}, backwards[] = {1, 0};
    weir_status bad[] = {WEIR_E_IO, WEIR_E_IO}, fine[] = {WEIR_OK, WEIR_E_IO};
    uint32_t ascending[] = {0, 1};
    const weir_result results[] = {
        {.struct_size = sizeof(weir_result),
         .failed_count = 2,
         .failed_index = twice,
         .failed_status = bad},
        {.struct_size = sizeof(weir_result),
         .failed_count = 2,
         .failed_index = backwards,
         .failed_status = bad},
        {.struct_size = sizeof(weir_result),
         .failed_count = 2,
         .failed_index = ascending,
         .failed_status = fine},
        {.struct_size = sizeof(weir_result), .failed_count = 2},
        {.struct_size = sizeof(weir_result), .failed_count = 2, .failed_index = ascending},
        {.struct_size = sizeof(weir_result),
         .failed_count = 2,
         .failed_index = ascending,
         .failed_status = bad,
         .error_count = 3},
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        rig r;
        rig_init(&r);
        rig_start(&r);
        rig_add(&r, "abc");
        rig_pump(&r, false);
        complete_with(&r, &results[i]);
        rig_end(&r);
    }
}

static weir_status take_more(rig *r, weir_write *args) {
    (void)r;
    args->taken = args->request->rows->count + 1;
    return WEIR_OK;
}

static void test_takes_more_than_there_is(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = take_more;
    rig_start(&r);
    rig_add(&r, "ab");
    assert_int_equal(batcher_pump(r.batcher, false, r.err), WEIR_E_INTERNAL);
    rig_end(&r);
}

static weir_status done_inside(rig *r, weir_write *args) {
    rig_ok(r, r->call_count - 1);
    args->taken = args->request->rows->count;
    return WEIR_OK;
}

static void test_completed_before_write_returns(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.on_write = done_inside;
    r.limits.request_records = 2;
    rig_start(&r);
    rig_add(&r, "abcde");
    rig_pump(&r, true);
    assert_int_equal(r.call_count, 3);
    rig_assert_done(&r, 5);
    rig_end(&r);
}

/* ---- everything at once: whatever the sink does, each record is settled exactly once ---- */

static uint64_t next_random(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static uint64_t chaos;

static weir_status chaotic_write(rig *r, weir_write *args) {
    (void)r;
    uint32_t n = args->request->rows->count;
    switch (next_random(&chaos) % 6) {
    case 0:
        return WEIR_AGAIN;
    case 1:
        error_set(args->error, WEIR_E_IO, 0, "chaos");
        return WEIR_E_IO;
    case 2:
        args->taken = 1 + (uint32_t)(next_random(&chaos) % n);
        return WEIR_OK;
    default:
        args->taken = n;
        return WEIR_OK;
    }
}

static void run_chaos(uint64_t seed) {
    chaos = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_SKIP;
    r.node.retry.attempts = 4;
    r.limits.request_records = 1 + (uint32_t)(seed % 5);
    r.limits.in_flight = 1 + (uint32_t)(seed % 3);
    r.limits.request_bytes = seed % 2 == 0 ? 3 : 0;
    if (seed % 4 == 3) rig_option(&r, "path", "p${value}", true);
    r.on_write = chaotic_write;
    rig_start(&r);
    uint32_t completed = 0, added = 0;
    uint64_t token_done[RIG_CALLS] = {0};
    for (int turn = 0; turn < 4000 && (added < 40 || !batcher_idle(r.batcher)); turn++) {
        if (added < 40) {
            rig_add(&r, "abab");
            added += 4;
        }
        rig_pump(&r, next_random(&chaos) % 2 == 0);
        for (; completed < r.call_count && completed < RIG_CALLS; completed++) {
            if (token_done[completed]) continue;
            uint32_t row = 0; /* row 0 is always among those that were taken */
            switch (next_random(&chaos) % 5) {
            case 0:
                rig_fail(&r, completed, WEIR_E_IO, 0);
                break;
            case 1:
                rig_fail_row(&r, completed, row, WEIR_E_DATA, 0);
                break;
            case 2:
                rig_fail(&r, completed, WEIR_E_DATA, 0);
                break;
            default:
                rig_ok(&r, completed);
                break;
            }
        }
        if (r.call_count > RIG_CALLS - 60) { /* the notebook is full: begin a new page */
            rig_pump(&r, true);
            for (uint32_t c = completed; c < r.call_count; c++) rig_ok(&r, c);
            r.call_count = completed = 0;
        }
    }
    assert_true(batcher_idle(r.batcher));
    assert_int_equal(count_get(&r.counters.records_out) + count_get(&r.counters.skipped), added);
    rig_end(&r);
}

static void test_chaos(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) run_chaos(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_of_records),
        cmocka_unit_test(test_limit_of_bytes_and_overhead),
        cmocka_unit_test(test_manifest_narrows_limits),
        cmocka_unit_test(test_large_record_goes_alone),
        cmocka_unit_test(test_at_once_when_idle),
        cmocka_unit_test(test_full_goes_while_busy),
        cmocka_unit_test(test_linger),
        cmocka_unit_test(test_linger_ends),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_template_columns),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_again_is_no_attempt),
        cmocka_unit_test(test_throttling_halves_and_recovers),
        cmocka_unit_test(test_throttled_to_one),
        cmocka_unit_test(test_no_timer_while_window_is_full),
        cmocka_unit_test(test_unknown_token),
        cmocka_unit_test(test_index_out_of_range),
        cmocka_unit_test(test_nonsense_results),
        cmocka_unit_test(test_takes_more_than_there_is),
        cmocka_unit_test(test_completed_before_write_returns),
        cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
