#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "std/std.h"
#include "support/fake_host.h"
#include "weir/json.h"

static const weir_source_ops *ops;

static void assign(void *self, uint32_t count, const uint64_t *positions) {
    const char *ids[8];
    uint32_t id_len[8];
    char id_text[8][12];
    const char *position_ptr[8];
    uint32_t position_len[8];
    char position[8][8];
    weir_assign a = {.struct_size = sizeof a, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        id_len[i] = (uint32_t)snprintf(id_text[i], sizeof id_text[i], "%u", i);
        ids[i] = id_text[i];
        std_put_u64(position[i], positions != NULL ? positions[i] : 0);
        position_ptr[i] = position[i];
        position_len[i] = positions != NULL ? 8 : 0;
    }
    a.id_ptr = ids;
    a.id_len = id_len;
    a.position_ptr = position_ptr;
    a.position_len = position_len;
    assert_int_equal(ops->assign(self, &a), WEIR_OK);
}

static void close_source(void *self) {
    weir_close c = {.struct_size = sizeof c, .mode = WEIR_CLOSE_DRAIN};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
}

/* Reads all of a bounded generator into one text, a line a record. */
static char *read_all(void *self, uint32_t room_records, uint64_t room_bytes, uint32_t *records) {
    char *text = calloc(1, 1 << 20);
    size_t used = 0;
    assert_non_null(text);
    *records = 0;
    for (;;) {
        weir_poll p = {.struct_size = sizeof p, .deadline_ns = INT64_MAX};
        weir_status status;
        p.room_records = room_records;
        p.room_bytes = room_bytes;
        status = ops->poll(self, &p);
        if (status == WEIR_END) return text;
        if (status == WEIR_EVENT) {
            assert_int_equal(p.event->kind, WEIR_EVENT_FINISHED);
            continue;
        }
        assert_int_equal(status, WEIR_OK);
        assert_true(p.batch->rows->count <= room_records);
        assert_int_equal(p.batch->resume.len, 8);
        for (uint32_t i = 0; i < p.batch->rows->count; i++) {
            memcpy(text + used, p.batch->rows->value_ptr[i], p.batch->rows->value_len[i]);
            used += p.batch->rows->value_len[i];
            text[used++] = '\n';
            ++*records;
        }
        batch_release(p.batch);
    }
}

static void options(fake_instance *i, const char *shape, int64_t count, int64_t size) {
    fake_instance_init(i);
    fake_set_text(i, "shape", shape);
    fake_set_number(i, "count", count);
    fake_set_number(i, "size", size);
    fake_set_number(i, "seed", 7);
    fake_set_number(i, "splits", 1);
}

static void test_ticker(void **state) {
    fake_instance i;
    uint32_t records;
    char *text;
    char *line;
    void *self;
    (void)state;
    options(&i, "ticker", 500, 0);
    self = fake_source_open(&i, &std_generator);
    assign(self, 1, NULL);
    text = read_all(self, 64, 1 << 20, &records);
    assert_int_equal(records, 500);
    line = text;
    for (uint32_t n = 0; n < records; n++) {
        size_t len = strcspn(line, "\n");
        weir_json_doc *doc = weir_json_read((weir_str){line, len}, 0, NULL);
        const weir_value *root;
        weir_str ticker;
        assert_non_null(doc);
        root = weir_json_root(doc);
        assert_int_equal(root->size, 3);
        ticker = weir_json_get_str(root, "ticker", "");
        assert_true(weir_str_is(ticker, "AAPL") || weir_str_is(ticker, "AMZN") ||
                    weir_str_is(ticker, "MSFT") || weir_str_is(ticker, "INTC") ||
                    weir_str_is(ticker, "TBV"));
        assert_int_equal(weir_json_get_str(root, "event_time", "").len, 26);
        assert_true(weir_json_get_f64(root, "price", -1) < 100.0);
        assert_int_equal(line[len - 4], '.'); /* two digits behind the point, then the brace */
        weir_json_free(doc);
        line += len + 1;
    }
    assert_memory_equal(text, "{\"event_time\": \"2026-01-01T00:00:00.000000\", ", 45);
    free(text);
    close_source(self);
    fake_instance_free(&i);
}

/* Any size comes out exactly, and still as JSON. */
static void test_ticker_size(void **state) {
    (void)state;
    for (int64_t size = 60; size < 130; size++) {
        fake_instance i;
        uint32_t records;
        char *text;
        char *line;
        void *self;
        options(&i, "ticker", 20, size);
        self = fake_source_open(&i, &std_generator);
        assign(self, 1, NULL);
        text = read_all(self, 1000, 1 << 20, &records);
        line = text;
        for (uint32_t n = 0; n < records; n++) {
            size_t len = strcspn(line, "\n");
            weir_json_doc *doc = weir_json_read((weir_str){line, len}, 0, NULL);
            assert_non_null(doc);
            weir_json_free(doc);
            if (size >= 80) assert_int_equal(len, size);
            line += len + 1;
        }
        free(text);
        close_source(self);
        fake_instance_free(&i);
    }
}

/* Every cut point: what was read before and what a new instance reads from there is the whole. */
static void test_resume(void **state) {
    static const char *const shapes[] = {"ticker", "sequence", "bytes"};
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        fake_instance i;
        uint32_t records;
        void *self;
        char *whole;
        options(&i, shapes[s], 23, s == 2 ? 13 : 0);
        self = fake_source_open(&i, &std_generator);
        assign(self, 1, NULL);
        whole = read_all(self, 5, 1 << 20, &records);
        close_source(self);
        for (uint64_t cut = 0; cut <= 23; cut++) {
            uint64_t positions[1] = {cut};
            uint32_t rest;
            char *text;
            size_t len;
            const char *tail = whole;
            self = fake_source_open(&i, &std_generator);
            assign(self, 1, positions);
            text = read_all(self, 7, 1 << 20, &rest);
            assert_int_equal(rest, 23 - cut);
            len = s == 2 ? rest * 14 : strlen(text);
            tail += (s == 2 ? 23 * 14 : strlen(whole)) - len;
            assert_memory_equal(tail, text, len);
            free(text);
            close_source(self);
        }
        free(whole);
        fake_instance_free(&i);
    }
}

/* The splits of a sequence share out the numbers without gap or repetition. */
static void test_splits(void **state) {
    fake_instance i;
    bool seen[100] = {false};
    uint32_t records;
    char *text;
    char *line;
    void *self;
    (void)state;
    options(&i, "sequence", 100, 10);
    fake_set_number(&i, "splits", 3);
    self = fake_source_open(&i, &std_generator);
    {
        const weir_source_splits *splits = ops->get_extension(self, WEIR_SOURCE_SPLITS);
        weir_split_list list = {0};
        weir_enumerate e = {.struct_size = sizeof e, .list = &list};
        assert_int_equal(splits->enumerate(self, &e), WEIR_OK);
        assert_int_equal(list.count, 3);
        assert_string_equal(list.split[2].id, "2");
        fake_splits_free(&list);
    }
    assign(self, 3, NULL);
    text = read_all(self, 10, 1 << 20, &records);
    assert_int_equal(records, 100);
    line = text;
    for (uint32_t n = 0; n < records; n++) {
        long v = strtol(line, NULL, 10);
        assert_int_equal(strcspn(line, "\n"), 10);
        assert_in_range(v, 0, 99);
        assert_false(seen[v]);
        seen[v] = true;
        line += 11;
    }
    free(text);
    close_source(self);
    fake_instance_free(&i);
}

/* 1,000 records a second: so many and no more, whatever the polls are. */
static void test_rate(void **state) {
    fake_instance i;
    uint64_t records = 0;
    int64_t begin;
    void *self;
    (void)state;
    options(&i, "sequence", 0, 0);
    fake_set_number(&i, "rate", 1000);
    self = fake_source_open(&i, &std_generator);
    assign(self, 1, NULL);
    begin = fake_host_now();
    while (fake_host_now() - begin < INT64_C(2000000000)) {
        weir_poll p = {.struct_size = sizeof p, .room_records = 1000, .room_bytes = 1 << 20};
        weir_status status = ops->poll(self, &p);
        if (status == WEIR_OK) {
            records += p.batch->rows->count;
            batch_release(p.batch);
            continue;
        }
        assert_int_equal(status, WEIR_AGAIN);
        assert_true(p.next_ns > fake_host_now());
        fake_host_advance(p.next_ns - fake_host_now());
    }
    assert_in_range(records, 1999, 2001);
    /* After a stall of a minute it makes up for a second, not for the minute. */
    fake_host_advance(INT64_C(60000000000));
    records = 0;
    for (;;) {
        weir_poll p = {.struct_size = sizeof p, .room_records = 100000, .room_bytes = 1 << 20};
        if (ops->poll(self, &p) != WEIR_OK) break;
        records += p.batch->rows->count;
        batch_release(p.batch);
    }
    assert_in_range(records, 900, 1100);
    close_source(self);
    fake_instance_free(&i);
}

static void test_room_and_pause(void **state) {
    fake_instance i;
    weir_poll p = {.struct_size = sizeof p};
    weir_pause pause = {.struct_size = sizeof pause, .paused = 1, .split = {"0", 1}};
    void *self;
    (void)state;
    options(&i, "sequence", 10, 0);
    self = fake_source_open(&i, &std_generator);
    assert_int_equal(ops->poll(self, &p), WEIR_AGAIN); /* nothing assigned yet */
    assign(self, 1, NULL);
    assert_int_equal(ops->poll(self, &p), WEIR_AGAIN); /* no room */
    p.room_records = 3;
    p.room_bytes = 1;
    assert_int_equal(ops->poll(self, &p), WEIR_OK); /* one record may exceed the bytes */
    assert_int_equal(p.batch->rows->count, 1);
    batch_release(p.batch);
    ops->set_paused(self, &pause);
    assert_int_equal(ops->poll(self, &p), WEIR_AGAIN);
    pause.paused = 0;
    ops->set_paused(self, &pause);
    p.room_bytes = 1000;
    assert_int_equal(ops->poll(self, &p), WEIR_OK);
    assert_int_equal(p.batch->rows->count, 3);
    assert_memory_equal(p.batch->rows->value_ptr[0], "1", 1);
    batch_release(p.batch);
    ops->cancel(self);
    assert_int_equal(ops->poll(self, &p), WEIR_E_CANCELLED);
    close_source(self);
    fake_instance_free(&i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticker), cmocka_unit_test(test_ticker_size),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_splits),
        cmocka_unit_test(test_rate),   cmocka_unit_test(test_room_and_pause),
    };
    ops = std_generator.ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
