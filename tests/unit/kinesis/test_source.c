/* What the source reads, in which order, and what it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "rig.h"

/* ---- tests ---- */

static void two_shards_in_pages(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 730};
    r->service.shards[2] =
        (fake_shard){.exists = true, .records = 120, .parents = {"shardId-0", "shardId-1"}};
    r->service.lag_ms = 42;
    rig_open_all(r);
    assert_int_equal(r->split_count, 2); /* over several pages of ListShards */
    assert_true(r->service.lists >= 2);
    assert_string_equal(r->splits[1].id, "shardId-2");
    assert_int_equal(r->splits[1].parent_count, 2);
    assert_string_equal(r->splits[1].parents[1], "shardId-1");
    assert_int_equal(rig_read_until(r, 850), WEIR_OK);
    for (int i = 0; i < 100 && r->lag_ms != 42; i++) assert_true(rig_poll(r, SECOND / 10) >= 0);
    assert_int_equal(r->lag_ms, 42);
    assert_int_equal(r->records, 850);
    rig_finish(r);
    test_free(r);
}

static void trouble_loses_and_repeats_nothing(void **state) {
    (void)state;
    static const char *const scripts[] = {"t", "5", "3",   "x",      "e",
                                          "g", "c", "eee", ".c.e.t", "x.g.c.5"};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        rig *r = test_malloc(sizeof *r);
        rig_begin(r);
        r->service.shards[0] = (fake_shard){.exists = true, .records = 300};
        r->service.script = scripts[i];
        rig_open_all(r);
        assert_int_equal(rig_read_until(r, 300), WEIR_OK);
        assert_int_equal(*r->service.script, '\0');
        rig_finish(r);
        test_free(r);
    }
}

static void small_rooms_share_a_page(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 100};
    r->service.page = 100;
    r->room = 7;
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 100), WEIR_OK);
    assert_int_equal(r->batches, 15);
    rig_finish(r);
    test_free(r);
}

static void back_pressure_makes_no_calls(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 100};
    rig_open_all(r);
    r->room = 0;
    for (int i = 0; i < 5; i++) assert_int_equal(rig_poll(r, SECOND / 100), WEIR_AGAIN);
    assert_int_equal(r->service.iterators, 0);
    r->room = 10;
    while (r->records == 0) assert_true(rig_poll(r, SECOND) >= 0);
    r->room = 0;
    unsigned reads = r->service.reads;
    for (int i = 0; i < 5; i++) rig_poll(r, SECOND / 100);
    assert_int_equal(r->records, 10);
    assert_int_equal(r->service.reads, reads);
    rig_finish(r); /* with a page in hand */
    test_free(r);
}

static void children_come_with_the_end(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){
        .exists = true,
        .closed = true,
        .records = 60,
        .children = "[{\"ShardId\":\"shardId-2\",\"ParentShards\":[\"shardId-0\",\"shardId-1\"]},"
                    "{\"ShardId\":\"shardId-3\",\"ParentShards\":[\"shardId-0\"]}]"};
    rig_open_all(r);
    rig_read_ends(r, 0);
    assert_int_equal(r->records, 60); /* all of them before the end */
    assert_int_equal(r->children_told, 2);
    assert_string_equal(r->child[0], "shardId-2<shardId-0+shardId-1");
    assert_string_equal(r->child[1], "shardId-3<shardId-0");
    rig_finish(r);

    /* No children told: ListShards knows them. */
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .closed = true, .records = 10};
    r->service.shards[3] = (fake_shard){.exists = true, .parents = {"shardId-0"}};
    rig_open_all(r);
    rig_assign(r, 0, 1);
    rig_read_ends(r, 0);
    assert_int_equal(r->children_told, 1);
    assert_string_equal(r->child[0], "shardId-3<shardId-0");
    rig_finish(r);
    test_free(r);
}

static void errors_say_what_to_do(void **state) {
    (void)state;
    const struct {
        const char *code;
        weir_status status;
        const char *hint;
    } cases[] = {{"ResourceNotFoundException", WEIR_E_NOT_FOUND, "eu-west-1"},
                 {"AccessDeniedException", WEIR_E_PERMISSION, "kinesis:ListShards"},
                 {"InvalidSignatureException", WEIR_E_AUTH, "options"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = test_malloc(sizeof *r);
        rig_begin(r);
        r->service.list_error = cases[i].code;
        weir_open control = {0};
        r->host = fake_host_new(r->options);
        r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
        assert_int_equal(rig_enumerate(r, NULL), cases[i].status);
        assert_non_null(strstr(fake_error_text(r->host), "clicks"));
        assert_non_null(strstr(fake_error_text(r->host), cases[i].code));
        assert_non_null(strstr(fake_error_detail(r->host, WEIR_DETAIL_HINT), cases[i].hint));
        assert_memory_equal(fake_error_detail(r->host, WEIR_DETAIL_REQUEST_ID), "req-", 4);
        assert_string_equal(fake_error_detail(r->host, WEIR_DETAIL_VENDOR_CODE), cases[i].code);
        assert_true(fake_error_flags(r->host) & WEIR_ERR_FATAL);
        assert_null(strstr(fake_error_text(r->host), "SECRET"));
        rig_finish(r);

        rig_begin(r);
        r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
        rig_open_all(r);
        r->service.records_error = cases[i].code;
        r->service.list_error = cases[i].code;
        assert_int_equal(rig_read_until(r, 10), cases[i].status);
        assert_non_null(strstr(fake_error_text(r->host), cases[i].code));
        rig_finish(r);
        test_free(r);
    }
}

static void half_a_pair_is_refused(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "credentials.secret_access_key", NULL);
    weir_open control = {0};
    r->host = fake_host_new(r->options);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_E_AUTH, &control);
    assert_non_null(strstr(fake_error_text(r->host), "secret_access_key"));
    assert_string_equal(fake_error_detail(r->host, WEIR_DETAIL_OPTION),
                        "credentials.secret_access_key");
    rig_finish(r);
    test_free(r);
}

static void positions_and_moments_are_asked_for(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 300};
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 60), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "TRIM_HORIZON"));
    /* Dropped with a call under way perhaps, and taken back behind the last batch. */
    rig_assign(r, 0, 0);
    rig_assign(r, 0, 1);
    assert_int_equal(rig_read_until(r, 300), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "AFTER_SEQUENCE_NUMBER"));
    rig_finish(r);

    rig_begin(r);
    rig_set(r, "start.timestamp", "2026-01-01T00:00:00.5Z");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 1};
    rig_open_all(r);
    assert_int_equal(rig_read_until(r, 1), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "\"Timestamp\":1767225600.500000"));
    rig_finish(r);
    test_free(r);
}

static void latest_is_one_moment(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "start", "latest");
    rig_set(r, "stop", "latest");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 20};
    rig_open_all(r);
    split_plan first, second;
    weir_str bytes = {r->splits[0].private_bytes, r->splits[0].private_len};
    assert_true(private_decode(bytes, &first));
    assert_int_equal(first.start.kind, START_TIMESTAMP);

    /* A checkpoint carries it to the next life. */
    weir_snapshot snapshot = {.struct_size = sizeof snapshot, .writer = fake_writer(r->host)};
    assert_int_equal(kinesis_source_ops.snapshot(r->control, &snapshot), WEIR_OK);
    weir_close close = {.struct_size = sizeof close};
    kinesis_source_ops.close(r->control, &close);
    kinesis_source_ops.destroy(r->control);
    weir_open again = {0};
    again.blobs = fake_blobs(r->host, &again.blob_count);
    assert_int_equal(again.blob_count, 1);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &again);
    int64_t next_ns = -1;
    assert_int_equal(rig_enumerate(r, &next_ns), WEIR_OK);
    assert_true(private_decode(bytes, &second));
    bytes.ptr = r->splits[0].private_bytes;
    assert_true(private_decode(bytes, &second));
    assert_int_equal(second.start.us, first.start.us);
    assert_int_equal(second.stop_us, first.stop_us);
    assert_int_equal(next_ns, 0); /* all that will ever be there was listed */

    rig_read_ends(r, 0); /* caught up behind the moment: that is the end */
    assert_int_equal(r->records, 20);
    rig_finish(r);
    test_free(r);
}

static void several_streams(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    rig_set(r, "stream", NULL);
    rig_set(r, "streams", "clicks arn:aws:kinesis:eu-west-1:123456789012:stream/views");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    rig_open_all(r);
    assert_int_equal(r->split_count, 2);
    assert_string_equal(r->splits[0].id, "clicks:shardId-0");
    assert_string_equal(r->splits[1].id, "views:shardId-0");
    rig_assign(r, 1, 1);
    assert_int_equal(rig_read_until(r, 10), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "\"StreamARN\":\"arn:aws:kinesis"));
    rig_finish(r);
    test_free(r);
}

static void metadata_on_request(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 1300};
    r->service.page = 1300;
    const char *names[] = {WEIR_META_STREAM,        WEIR_META_SPLIT,        WEIR_META_POSITION,
                           WEIR_META_PARTITION_KEY, WEIR_META_ARRIVAL_TIME, "weir.topic"};
    uint32_t len[6];
    for (int i = 0; i < 6; i++) len[i] = (uint32_t)strlen(names[i]);
    weir_open control = {0}, task = {.meta_count = 6, .meta_ptr = names, .meta_len = len};
    r->host = fake_host_new(r->options);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    r->task = rig_open(r, WEIR_ROLE_TASK, WEIR_OK, &task);
    assert_int_equal(rig_enumerate(r, NULL), WEIR_OK);
    rig_assign(r, 0, 1);
    weir_poll args = {.struct_size = sizeof args, .room_records = 2000, .room_bytes = 1 << 30};
    do {
        args.deadline_ns = rig_now_ns() + 10 * SECOND;
        args.error = fake_error(r->host);
    } while (kinesis_source_ops.poll(r->task, &args) != WEIR_OK);
    const weir_rows *rows = args.batch->rows;
    assert_int_equal(rows->count, 1300);
    assert_int_equal(rows->meta_count, 5);
    static const char *const want[] = {"clicks", "shardId-0", "2234", "k1234", "1767225634250"};
    for (uint32_t i = 0; i < 5; i++) {
        const weir_column *c = rows->meta[i];
        uint32_t row = c->encoding == WEIR_COLUMN_CONSTANT ? 0 : 1234;
        assert_true(weir_str_is(c->name, names[i]));
        assert_int_equal(c->len[row], strlen(want[i]));
        assert_memory_equal(c->ptr[row], want[i], c->len[row]);
    }
    weir_api_of(fake_ctx(r->host))->batch.release(args.batch);
    rig_finish(r);
    test_free(r);
}

static void *cancel_soon(void *task) {
    kinesis_source_ops.wakeup(task);
    kinesis_source_ops.cancel(task);
    return NULL;
}

static void cancel_from_elsewhere(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    r->service.shards[0] = (fake_shard){.exists = true};
    rig_set(r, "empty_interval", "60000000000");
    rig_open_all(r);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, r->task);
    weir_status status;
    int64_t begun = rig_now_ns();
    while ((status = rig_poll(r, 60 * SECOND)) >= 0) continue;
    assert_int_equal(status, WEIR_E_CANCELLED);
    assert_true(rig_now_ns() - begun < 30 * SECOND);
    pthread_join(thread, NULL);
    assert_int_equal(rig_poll(r, SECOND), WEIR_E_CANCELLED); /* sticky */
    rig_finish(r);
    test_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_shards_in_pages),
        cmocka_unit_test(trouble_loses_and_repeats_nothing),
        cmocka_unit_test(small_rooms_share_a_page),
        cmocka_unit_test(back_pressure_makes_no_calls),
        cmocka_unit_test(children_come_with_the_end),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(half_a_pair_is_refused),
        cmocka_unit_test(positions_and_moments_are_asked_for),
        cmocka_unit_test(latest_is_one_moment),
        cmocka_unit_test(several_streams),
        cmocka_unit_test(metadata_on_request),
        cmocka_unit_test(cancel_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
