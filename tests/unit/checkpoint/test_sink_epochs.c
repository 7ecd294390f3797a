/*
 * The host's side of a sink: what is asked for, in which order, and what stays listed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/sink_epochs.h"
#include "weir/sink.h"

#define MS INT64_C(1000000)

static sink_epochs *s;
static weir_error *err;
static uint64_t token;   /* of the last COMMIT */
static state_part *part; /* of the last PREPARE */

static sink_epochs *make(bool two_phase) {
    sink_epochs_config config = {.node = 3,
                                 .instance = 1,
                                 .two_phase = two_phase,
                                 .committable_version = 7,
                                 .flush_timeout_ns = 1000,
                                 .retry_base_ns = 100,
                                 .retry_max_ns = 350};
    return sink_epochs_new(&config);
}

static int setup(void **state) {
    (void)state;
    s = make(true);
    err = error_new();
    token = 0;
    return s == NULL || err == NULL;
}

static int teardown(void **state) {
    (void)state;
    sink_epochs_free(s);
    error_free(err);
    return 0;
}

static void add_items(char *text, size_t size, const state_committable *c, uint64_t epoch) {
    size_t n = strlen(text);
    if (c->epoch == epoch) {
        snprintf(text + n, size - n, " %.*s", STR_FMT(c->bytes));
    } else {
        snprintf(text + n, size - n, " %llu:%.*s", (unsigned long long)c->epoch, STR_FMT(c->bytes));
    }
    assert_int_equal(c->version, 7);
    assert_int_equal(c->instance, 1);
}

/* What is to be done, as text: "flush 5 last", "ack 5 a b 4:c", "commit 5 a b", "nothing 300". */
static void next(bool idle, int64_t now_ns, const char *expected) {
    static const char *const names[] = {
        [SINK_NOTHING] = "nothing", [SINK_CUT] = "cut",
        [SINK_FORWARD] = "forward", [SINK_FLUSH] = "flush",
        [SINK_PREPARE] = "prepare", [SINK_ACK] = "ack",
        [SINK_COMMIT] = "commit",   [SINK_COMMITTED] = "committed",
        [SINK_LOST] = "lost",
    };
    sink_action a = sink_epochs_next(s, idle, now_ns);
    char text[512];
    assert_in_range(a.act, SINK_NOTHING, SINK_LOST);
    snprintf(text, sizeof text, "%s", names[a.act]);
    size_t n = strlen(text);
    if (a.act != SINK_NOTHING) {
        n += (size_t)snprintf(text + n, sizeof text - n, " %llu", (unsigned long long)a.epoch);
    }
    if (a.act == SINK_NOTHING || a.act == SINK_CUT) {
        if (a.next_ns != INT64_MAX) {
            snprintf(text + n, sizeof text - n, " %lld", (long long)a.next_ns);
        }
    }
    if (a.act == SINK_FLUSH) {
        assert_int_equal(a.deadline_ns, now_ns + 1000);
        if (a.last) snprintf(text + n, sizeof text - n, " last");
    }
    if (a.act == SINK_PREPARE) {
        part = a.part;
        assert_int_equal(part->node, 3);
    }
    if (a.act == SINK_ACK && a.status != WEIR_OK) {
        snprintf(text + n, sizeof text - n, " failed: %s", error_text(a.error));
        assert_int_equal(error_status(a.error), a.status);
        assert_null(a.part);
    } else if (a.act == SINK_ACK) {
        assert_null(a.error);
        for (uint32_t i = 0; i < a.part->committable_count; i++)
            add_items(text, sizeof text, &a.part->committables[i], a.epoch);
        part_free(a.part);
    }
    if (a.act == SINK_COMMIT) {
        assert_int_not_equal(a.token, token);
        token = a.token;
        assert_true(a.deadline_ns > now_ns);
        for (uint32_t i = 0; i < a.committable_count; i++)
            add_items(text, sizeof text, a.committables[i], a.epoch);
    }
    if (a.act == SINK_LOST) add_items(text, sizeof text, a.lost, a.epoch);
    assert_string_equal(text, expected);
}

/* From a barrier to the preparing of what the letters say. */
static void flushed(uint64_t epoch) {
    char text[64];
    sink_epochs_barrier(s, epoch, false);
    assert_false(sink_epochs_open(s));
    snprintf(text, sizeof text, "forward %llu", (unsigned long long)epoch);
    next(true, 0, text);
    sink_epochs_forwarded(s);
    snprintf(text, sizeof text, "flush %llu", (unsigned long long)epoch);
    next(true, 0, text);
    sink_epochs_flushed(s, epoch, WEIR_OK, NULL);
    snprintf(text, sizeof text, "prepare %llu", (unsigned long long)epoch);
    next(true, 0, text);
}

static void prepared(uint64_t epoch, const char *letters, const char *ack) {
    flushed(epoch);
    for (const char *c = letters; *c != '\0'; c++)
        assert_int_equal(sink_epochs_add_committable(s, str_make(c, 1)), WEIR_OK);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    assert_false(sink_epochs_open(s));
    next(true, 0, ack);
    assert_true(sink_epochs_open(s));
}

/* D done, A already, L lost, R retry. */
static void decided(const char *verdicts, int64_t now_ns) {
    uint32_t v[16], n = 0;
    for (const char *c = verdicts; *c != '\0'; c++) {
        v[n++] = *c == 'D'   ? WEIR_VERDICT_DONE
                 : *c == 'A' ? WEIR_VERDICT_ALREADY
                 : *c == 'L' ? WEIR_VERDICT_LOST
                             : WEIR_VERDICT_RETRY;
    }
    sink_epochs_verdicts(s, token, v, n, NULL, now_ns);
}

/* ---- barriers ---- */

static void one_epoch_after_the_other(void **state) {
    (void)state;
    next(true, 0, "nothing");
    assert_true(sink_epochs_open(s));
    sink_epochs_barrier(s, 1, false);
    next(false, 0, "cut 1");
    next(false, 5, "cut 1");
    next(true, 6, "forward 1");
    next(true, 7, "forward 1"); /* until it is told that there was room */
    sink_epochs_forwarded(s);
    next(false, 10, "flush 1");
    next(true, 11, "nothing 1010");
    sink_epochs_flushed(s, 1, WEIR_OK, NULL);
    next(true, 12, "prepare 1");
    next(true, 13, "nothing");
    assert_int_equal(sink_epochs_add_committable(s, STR("a")), WEIR_OK);
    state_blob b = {.scope = WEIR_SCOPE_ITEM, .bytes = STR("open")};
    assert_int_equal(part_add_blob(part, &b), WEIR_OK);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    next(true, 14, "ack 1 a");
    assert_true(sink_epochs_open(s));
    next(true, 15, "nothing");
    prepared(2, "", "ack 2 1:a");
}

static void the_last_flush_is_told(void **state) {
    (void)state;
    sink_epochs_barrier(s, 4, true);
    next(true, 0, "forward 4");
    sink_epochs_forwarded(s);
    next(true, 0, "flush 4 last");
}

static void a_flush_may_fail(void **state) {
    (void)state;
    prepared(1, "a", "ack 1 a");
    sink_epochs_barrier(s, 2, false);
    next(true, 0, "forward 2");
    sink_epochs_forwarded(s);
    next(true, 0, "flush 2");
    error_set(err, WEIR_E_IO, 0, "disk full");
    sink_epochs_flushed(s, 1, WEIR_E_IO, err); /* an earlier one */
    next(true, 0, "nothing 1000");
    sink_epochs_flushed(s, 2, WEIR_E_IO, err);
    next(true, 0, "ack 2 failed: disk full");
    assert_true(sink_epochs_open(s));
    sink_epochs_flushed(s, 2, WEIR_OK, NULL); /* twice */
    next(true, 0, "nothing");
    prepared(3, "c", "ack 3 1:a c");
}

static void a_flush_may_take_too_long(void **state) {
    (void)state;
    sink_epochs_barrier(s, 1, false);
    next(true, 0, "forward 1");
    sink_epochs_forwarded(s);
    next(true, 5 * MS, "flush 1");
    next(true, 5 * MS + 999, "nothing 5001000");
    next(true, 5 * MS + 1000, "ack 1 failed: flush did not complete within 0 ms");
    sink_epochs_flushed(s, 1, WEIR_OK, NULL); /* too late */
    next(true, 6 * MS, "nothing");
    prepared(2, "b", "ack 2 b");
}

static void a_prepare_that_fails_hands_nothing_over(void **state) {
    (void)state;
    flushed(1);
    assert_int_equal(sink_epochs_add_committable(s, STR("a")), WEIR_OK);
    error_set(err, WEIR_E_INTERNAL, 0, "no");
    sink_epochs_prepared(s, WEIR_E_INTERNAL, err);
    next(true, 0, "ack 1 failed: no");
    assert_int_equal(sink_epochs_uncommitted(s), 0);
    prepared(2, "a", "ack 2 a");
}

/* The sink has let go of what it prepared: it will not list that again. */
static void a_snapshot_that_fails_keeps_what_is_prepared(void **state) {
    (void)state;
    sink_epochs_count(s, 5);
    flushed(1);
    assert_int_equal(sink_epochs_add_committable(s, STR("a")), WEIR_OK);
    error_set(err, WEIR_E_NOMEM, 0, "no");
    sink_epochs_not_captured(s, WEIR_E_NOMEM, err);
    next(true, 0, "ack 1 failed: no");
    assert_int_equal(sink_epochs_uncommitted(s), 1);
    prepared(2, "b", "ack 2 1:a b");
    sink_epochs_commit(s, 2);
    next(true, 0, "commit 1 a");
}

static void a_failed_epoch_loses_nothing(void **state) {
    (void)state;
    prepared(1, "ab", "ack 1 a b");
    prepared(2, "", "ack 2 1:a 1:b");
    prepared(3, "c", "ack 3 1:a 1:b c");
    /* Epoch 3 failed too; 5 is the first that is durable. */
    prepared(5, "d", "ack 5 1:a 1:b 3:c d");
    assert_int_equal(sink_epochs_uncommitted(s), 4);
    sink_epochs_commit(s, 5);
    next(true, 0, "commit 1 a b");
    decided("DD", 0);
    next(true, 0, "commit 3 c");
    decided("D", 0);
    next(true, 0, "commit 5 d");
    decided("A", 0);
    next(true, 0, "committed 5");
    next(true, 0, "nothing");
    prepared(6, "", "ack 6");
}

static void a_barrier_in_between_waits(void **state) {
    (void)state;
    sink_epochs_barrier(s, 2, false);
    next(true, 0, "forward 2");
    sink_epochs_forwarded(s);
    next(true, 0, "flush 2");
    sink_epochs_barrier(s, 1, false);
    sink_epochs_barrier(s, 2, false);
    sink_epochs_barrier(s, 4, false);
    sink_epochs_barrier(s, 5, true);
    sink_epochs_flushed(s, 2, WEIR_OK, NULL);
    next(true, 0, "prepare 2");
    sink_epochs_prepared(s, WEIR_OK, NULL);
    next(true, 0, "ack 2");
    assert_false(sink_epochs_open(s));
    next(false, 0, "cut 5");
    next(true, 0, "forward 5");
    sink_epochs_forwarded(s);
    next(true, 0, "flush 5 last");
    sink_epochs_flushed(s, 5, WEIR_OK, NULL);
    next(true, 0, "prepare 5");
    sink_epochs_prepared(s, WEIR_OK, NULL);
    next(true, 0, "ack 5");
    assert_true(sink_epochs_open(s));
    sink_epochs_barrier(s, 5, false);
    next(true, 0, "nothing");
}

static void records_are_counted_by_epoch(void **state) {
    (void)state;
    sink_epochs_count(s, 10);
    sink_epochs_count(s, 5);
    prepared(1, "a", "ack 1 a");
    sink_epochs_count(s, 2);
    flushed(2);
    assert_int_equal(sink_epochs_add_committable(s, STR("b")), WEIR_OK);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    sink_action a = sink_epochs_next(s, true, 0);
    assert_int_equal(a.part->committables[0].records, 15);
    assert_int_equal(a.part->committables[1].records, 2);
    part_free(a.part);
}

static void a_plain_sink_prepares_nothing(void **state) {
    (void)state;
    sink_epochs_free(s);
    s = make(false);
    assert_non_null(s);
    flushed(1); /* asked all the same: it may have state */
    assert_int_equal(sink_epochs_add_committable(s, STR("a")), WEIR_E_INVALID_STATE);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    next(true, 0, "ack 1");
    sink_epochs_commit(s, 1);
    next(true, 0, "committed 1");
}

static void what_is_too_large_is_refused_at_once(void **state) {
    (void)state;
    flushed(1);
    char *large = mem_zalloc(LIMIT_COMMITTABLE_BYTES + 1);
    assert_non_null(large);
    assert_int_equal(sink_epochs_add_committable(s, str_make(large, LIMIT_COMMITTABLE_BYTES + 1)),
                     WEIR_E_TOO_LARGE);
    assert_int_equal(sink_epochs_add_committable(s, str_make(large, LIMIT_COMMITTABLE_BYTES)),
                     WEIR_OK);
    mem_free(large);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    sink_action a = sink_epochs_next(s, true, 0);
    assert_int_equal(a.act, SINK_ACK);
    assert_int_equal(a.status, WEIR_OK);
    part_free(a.part);
}

/* ---- commits ---- */

static void commits_only_what_is_durable(void **state) {
    (void)state;
    prepared(1, "a", "ack 1 a");
    next(true, 0, "nothing");
    sink_epochs_commit(s, 1);
    prepared(2, "b", "ack 2 1:a b");
    next(true, 0, "commit 1 a");
    decided("D", 0);
    next(true, 0, "committed 1");
    next(true, 0, "nothing");
    assert_int_equal(sink_epochs_uncommitted(s), 1);
    sink_epochs_commit(s, 2);
    next(true, 0, "commit 2 b");
}

static void a_commit_is_tried_until_it_is_decided(void **state) {
    (void)state;
    prepared(1, "ab", "ack 1 a b");
    prepared(2, "c", "ack 2 1:a 1:b c");
    sink_epochs_commit(s, 2);
    next(true, 0, "commit 1 a b");
    next(true, 0, "nothing"); /* one at a time */
    decided("RD", 1000);
    next(true, 1000, "nothing 1100");
    next(true, 1100, "commit 1 a");
    error_set(err, WEIR_E_IO, 0, "cut");
    sink_epochs_verdicts(s, token, NULL, 0, err, 2000);
    next(true, 2000, "nothing 2200");
    next(true, 2200, "commit 1 a");
    decided("R", 3000);
    next(true, 3000, "nothing 3350"); /* the longest pause */
    next(true, 3350, "commit 1 a");
    decided("", 4000); /* an answer without verdicts decides nothing */
    next(true, 4350, "commit 1 a");
    sink_epochs_verdicts(s, token + 7, NULL, 0, NULL, 4400); /* unknown */
    next(true, 4400, "nothing");
    decided("A", 5000);
    next(true, 5000, "commit 2 c"); /* at once, and the pauses begin anew */
    decided("R", 6000);
    next(true, 6000, "nothing 6100");
    next(true, 6100, "commit 2 c");
    decided("D", 6100);
    decided("D", 6100); /* twice */
    next(true, 6100, "committed 2");
    assert_int_equal(sink_epochs_uncommitted(s), 0);
}

static void commits_go_on_beside_a_barrier(void **state) {
    (void)state;
    prepared(1, "a", "ack 1 a");
    sink_epochs_barrier(s, 2, false);
    sink_epochs_commit(s, 1);
    next(false, 0, "commit 1 a");
    next(false, 0, "cut 2");
    decided("R", 0);
    next(false, 0, "cut 2 100");
    next(true, 0, "forward 2");
    sink_epochs_forwarded(s);
    next(true, 0, "flush 2");
    next(true, 0, "nothing 100");
    next(true, 100, "commit 1 a");
    next(true, 100, "nothing 1000");
    sink_epochs_flushed(s, 2, WEIR_OK, NULL);
    next(true, 100, "prepare 2");
    decided("D", 100); /* before the listing: not listed any more */
    next(true, 100, "committed 1");
    assert_int_equal(sink_epochs_add_committable(s, STR("b")), WEIR_OK);
    sink_epochs_prepared(s, WEIR_OK, NULL);
    next(true, 100, "ack 2 b");
}

static void what_is_lost_is_told_one_by_one(void **state) {
    (void)state;
    prepared(1, "abcd", "ack 1 a b c d");
    sink_epochs_commit(s, 1);
    next(true, 0, "commit 1 a b c d");
    decided("LDLR", 0);
    next(true, 0, "lost 1 a");
    next(true, 0, "lost 1 c");
    next(true, 0, "nothing 100");
    next(true, 100, "commit 1 d");
    decided("L", 100);
    next(true, 100, "lost 1 d");
    next(true, 100, "committed 1");
    assert_int_equal(sink_epochs_uncommitted(s), 0);
}

static void committed_is_told_once(void **state) {
    (void)state;
    sink_epochs_commit(s, 3);
    next(true, 0, "committed 3");
    sink_epochs_commit(s, 3);
    sink_epochs_commit(s, 2);
    next(true, 0, "nothing");
}

/* ---- memory ---- */

/* Whichever allocation fails: nothing that was prepared is gone. */
static void without_memory(void **state) {
    (void)state;
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        sink_epochs_free(s);
        s = make(true);
        assert_non_null(s);
        prepared(1, "ab", "ack 1 a b");
        mem_test_fail_at(n, true);
        sink_epochs_barrier(s, 2, false);
        uint32_t handed = 2;
        bool acked = false;
        for (int i = 0; i < 8 && !acked; i++) {
            sink_action a = sink_epochs_next(s, true, 0);
            if (a.act == SINK_FORWARD) sink_epochs_forwarded(s);
            if (a.act == SINK_FLUSH) sink_epochs_flushed(s, 2, WEIR_OK, NULL);
            if (a.act == SINK_PREPARE) {
                weir_status status = sink_epochs_add_committable(s, STR("c"));
                sink_epochs_prepared(s, status, NULL);
                if (status == WEIR_OK) handed = 3; /* whatever fails from here on */
            }
            if (a.act == SINK_ACK) {
                acked = true;
                assert_true(a.status == WEIR_OK || a.status == WEIR_E_NOMEM);
                part_free(a.part);
            }
        }
        failed = mem_test_fail_at(0, false);
        assert_true(acked);
        assert_true(sink_epochs_uncommitted(s) >= 2);
        assert_int_equal(sink_epochs_uncommitted(s), handed);
        assert_true(sink_epochs_open(s));
        mem_test_fail_at(n, true);
        sink_epochs_commit(s, 2);
        int64_t now = 0;
        for (int i = 0; i < 40 && sink_epochs_uncommitted(s) > 0; i++) {
            sink_action a = sink_epochs_next(s, true, now);
            if (a.act == SINK_COMMIT) {
                token = a.token;
                decided("LLLL", now);
            }
            now += 1000;
            if (i == 10) (void)mem_test_fail_at(0, false);
        }
        (void)mem_test_fail_at(0, false);
        assert_int_equal(sink_epochs_uncommitted(s), 0);
    }
    for (int64_t n = 1; n <= 2; n++) {
        mem_test_fail_at(n, false);
        assert_null(make(true));
        mem_test_fail_at(0, false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_epoch_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_flush_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_may_take_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(a_prepare_that_fails_hands_nothing_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_that_fails_keeps_what_is_prepared, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_failed_epoch_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_barrier_in_between_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(records_are_counted_by_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plain_sink_prepares_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(commits_only_what_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_is_tried_until_it_is_decided, setup, teardown),
        cmocka_unit_test_setup_teardown(commits_go_on_beside_a_barrier, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_lost_is_told_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(committed_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
