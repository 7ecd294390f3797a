/* The node's `retry`: attempts in all, delays, the time of one request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "rig.h"

static void is_final(rig *r, const char *words) {
    if (!strstr(fake_error_text(r->host), words)) fail_msg("%s", fake_error_text(r->host));
    assert_true(fake_error_flags(r->host) & WEIR_ERR_FATAL); /* the runtime multiplies nothing */
    assert_false(fake_error_flags(r->host) & WEIR_ERR_RETRYABLE);
}

static void defaults_without_words(void **state) {
    (void)state;
    static const fake_option none[] = {{"stream", "clicks"}, {NULL, NULL}};
    static const fake_option some[] = {{"stream", "clicks"},    {"retry.attempts", "7"},
                                       {"retry.base", "11"},    {"retry.max", "13"},
                                       {"retry.timeout", "17"}, {NULL, NULL}};
    fake_host *h = fake_host_new(none);
    kinesis_options o;
    assert_int_equal(options_read(fake_ctx(h), &o, fake_error(h)), WEIR_OK);
    assert_true(o.attempts == INT64_MAX);
    assert_int_equal(o.retry_base_ns, 300 * KINESIS_MS);
    assert_int_equal(o.retry_max_ns, 20 * SECOND);
    assert_int_equal(o.timeout_ms, 60000);
    options_free(fake_ctx(h), &o);
    fake_host_free(h);

    h = fake_host_new(some);
    assert_int_equal(options_read(fake_ctx(h), &o, fake_error(h)), WEIR_OK);
    assert_int_equal(o.attempts, 7);
    assert_int_equal(o.retry_base_ns, 11);
    assert_int_equal(o.retry_max_ns, 13);
    assert_int_equal(o.timeout_ms, 1); /* a request has some time */
    options_free(fake_ctx(h), &o);
    fake_host_free(h);
}

static void records_are_asked_for_as_often_as_allowed(void **state) {
    (void)state;
    const struct {
        const char *error;
        weir_status status;
    } cases[] = {{"500", WEIR_E_IO}, {"ProvisionedThroughputExceededException", WEIR_E_THROTTLED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = test_malloc(sizeof *r);
        rig_begin(r);
        rig_set(r, "retry.attempts", "3");
        r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
        r->service.records_error = cases[i].error;
        rig_open_all(r);
        assert_int_equal(rig_read_until(r, 10), cases[i].status);
        is_final(r, "stream clicks, shardId-0: GetRecords, attempt 3 of 3: ");
        assert_int_equal(r->service.reads, 3);
        rig_finish(r);
        test_free(r);
    }
}

static void iterators_likewise(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "4");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    r->service.iterator_error = "500";
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 10), WEIR_E_IO);
    is_final(r, "GetShardIterator, attempt 4 of 4");
    assert_int_equal(r->service.iterators, 4);
    rig_finish(r);
    test_free(r);
}

static void the_end_of_a_shard_likewise(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "3");
    r->service.shards[0] = (fake_shard){.exists = true, .closed = true, .records = 10};
    rig_open_all(r);
    r->service.list_error = "500";
    r->service.lists = 0;
    assert_int_equal(rig_read_until(r, 11), WEIR_E_IO);
    assert_int_equal(r->records, 10);
    is_final(r, "ListShards, attempt 3 of 3");
    assert_int_equal(r->service.lists, 3);
    rig_finish(r);
    test_free(r);
}

static void nonsense_is_a_failed_attempt(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "2");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    r->service.script = "gg";
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 10), WEIR_E_DATA);
    is_final(r, "2 times in a row");
    rig_finish(r);
    test_free(r);
}

static void an_answer_begins_the_count_anew(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "3");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 250};
    r->service.script = "55.tx.33.gt.5";
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 250), WEIR_OK);
    assert_int_equal(*r->service.script, '\0');
    rig_finish(r);
    test_free(r);
}

static void without_words_it_goes_on(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    r->service.script = "5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t5t";
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 10), WEIR_OK);
    rig_finish(r);
    test_free(r);
}

static void a_request_has_its_time(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    r->service.iterator_error = "silence";
    weir_open control = {0}, task = {0};
    r->host = fake_host_new(r->options);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    assert_int_equal(rig_enumerate(r, NULL), WEIR_OK); /* with all the time it needs */
    rig_set(r, "retry.attempts", "2");
    rig_set(r, "retry.timeout", "20000000");
    r->task = rig_open(r, WEIR_ROLE_TASK, WEIR_OK, &task);
    rig_assign(r, 0, 1);
    assert_int_equal(rig_read_until(r, 10), WEIR_E_TIMEOUT);
    is_final(r, "GetShardIterator, attempt 2 of 2");
    rig_finish(r);
    test_free(r);
}

static void the_first_look_for_shards(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "3");
    r->service.list_error = "500";
    weir_open control = {0};
    r->host = fake_host_new(r->options);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    for (int i = 0; i < 2; i++) { /* the runtime asks again */
        assert_int_equal(rig_enumerate(r, NULL), WEIR_E_IO);
        assert_true(fake_error_flags(r->host) & WEIR_ERR_RETRYABLE);
    }
    assert_int_equal(rig_enumerate(r, NULL), WEIR_E_IO);
    is_final(r, "cannot list the shards of stream clicks, attempt 3 of 3");
    assert_int_equal(r->service.lists, 3);
    rig_finish(r);
    test_free(r);
}

static weir_status discover(rig *r, int64_t *next_ns) {
    const weir_source_splits *splits =
        kinesis_source_ops.get_extension(r->control, WEIR_SOURCE_SPLITS);
    weir_enumerate args = {.struct_size = sizeof args,
                           .list = fake_list(r->host),
                           .deadline_ns = rig_now_ns() + 20 * SECOND,
                           .error = fake_error(r->host)};
    weir_status status = splits->discover(r->control, &args);
    *next_ns = args.next_ns;
    return status;
}

static void later_looks_for_shards(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "retry.attempts", "3");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    rig_open_all(r);
    int64_t next_ns;
    for (int i = 0; i < 6; i++) {
        r->service.list_error = i % 3 < 2 ? "500" : NULL;
        int64_t before = rig_now_ns();
        assert_int_equal(discover(r, &next_ns), WEIR_OK);
        /* After a failure it does not wait for the next regular look. */
        if (i % 3 < 2) assert_true(next_ns > 0 && next_ns <= rig_now_ns() + 2 * KINESIS_MS);
        if (i % 3 == 2) assert_true(next_ns >= before + SECOND);
    }
    r->service.list_error = "500";
    r->service.lists = 0;
    assert_int_equal(discover(r, &next_ns), WEIR_OK);
    assert_int_equal(discover(r, &next_ns), WEIR_OK);
    assert_int_equal(discover(r, &next_ns), WEIR_E_IO);
    is_final(r, "attempt 3 of 3");
    assert_int_equal(r->service.lists, 3);
    rig_finish(r);
    test_free(r);
}

static void without_jitter_delays_double_up_to_the_ceiling(void **state) {
    (void)state;
    const kinesis_options o = {.retry_base_ns = 10, .retry_max_ns = 70, .jitter = false};
    const int64_t expected[] = {10, 20, 40, 70, 70};
    for (uint32_t n = 0; n < 5; n++)
        assert_int_equal(options_backoff_ns(NULL, &o, n + 1), expected[n]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_without_words),
        cmocka_unit_test(records_are_asked_for_as_often_as_allowed),
        cmocka_unit_test(iterators_likewise),
        cmocka_unit_test(the_end_of_a_shard_likewise),
        cmocka_unit_test(nonsense_is_a_failed_attempt),
        cmocka_unit_test(an_answer_begins_the_count_anew),
        cmocka_unit_test(without_words_it_goes_on),
        cmocka_unit_test(a_request_has_its_time),
        cmocka_unit_test(the_first_look_for_shards),
        cmocka_unit_test(later_looks_for_shards),
        cmocka_unit_test(without_jitter_delays_double_up_to_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
