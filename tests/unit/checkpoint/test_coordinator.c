/*
 * The protocol's timetable: what is asked for, when, in which order, and what a failure does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/coordinator.h"

#define MS INT64_C(1000000)
/* Task 0 is the source, 1 and 2 are sinks; nodes 0 and 1. */
#define TASKS 3u

static coordinator *c;
static checkpoint *like;
static weir_error *err;
static uint64_t numbers;
static int64_t now; /* ms */
static coordinator_settings settings;

static uint64_t next_number(void *self) {
    (void)self;
    return ++numbers;
}

static checkpoint *make_like(void) {
    checkpoint *l = checkpoint_new(CHECKPOINT_PERIODIC, 0);
    assert_non_null(l);
    l->parent = 99;
    l->pipeline = STR("p");
    l->instance_id = STR("0123456789abcdef");
    l->weir_version = STR("1");
    l->max_parallelism = 128;
    l->node_count = 2;
    l->nodes = arena_array(l->memory, 2, sizeof *l->nodes);
    for (int i = 0; i < 2; i++) {
        l->nodes[i] = (state_node){.name = i == 0 ? STR("in") : STR("out"),
                                   .type = STR("t"),
                                   .plugin_id = STR("id"),
                                   .plugin_version = STR("1"),
                                   .parallelism = 1};
    }
    return l;
}

static void start(void) {
    coordinator_free(c);
    c = coordinator_new(&settings, like, next_number, NULL, now * MS);
    assert_non_null(c);
}

static int setup(void **state) {
    (void)state;
    numbers = 0;
    now = 0;
    c = NULL;
    settings = (coordinator_settings){.interval_ns = 1000 * MS,
                                      .min_pause_ns = 200 * MS,
                                      .timeout_ns = 500 * MS,
                                      .tolerable_failures = 0,
                                      .tasks = TASKS,
                                      .source_tasks = 1};
    like = make_like();
    err = error_new();
    start();
    return err == NULL;
}

static int teardown(void **state) {
    (void)state;
    coordinator_free(c);
    c = NULL;
    checkpoint_free(like);
    error_free(err);
    return 0;
}

/* What is to be done, as text: "begin 1", "persist 1 periodic a b", "seal 2 savepoint s",
 * "nothing 1500", "answer 7 = 3", "answer 7: why". */
static coordinator_action last;
static void step(const char *expected) {
    static const char *const acts[] = {
        [ACT_NOTHING] = "nothing", [ACT_BEGIN] = "begin",   [ACT_PERSIST] = "persist",
        [ACT_COMMIT] = "commit",   [ACT_SEAL] = "seal",     [ACT_DONE] = "done",
        [ACT_ANSWER] = "answer",   [ACT_FINISH] = "finish", [ACT_FAIL] = "fail",
    };
    static const char *const orders[] = {"", " savepoint", " final"};
    static const char *const kinds[] = {"?", "periodic", "restore", "savepoint", "final"};
    coordinator_action a = coordinator_step(c, now * MS, now * 1000 + 1);
    last = a;
    char text[1024];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", acts[a.act]);
    if (a.act == ACT_NOTHING && a.next_ns != INT64_MAX) {
        snprintf(text + n, sizeof text - n, " %lld", (long long)(a.next_ns / MS));
    } else if (a.act == ACT_ANSWER) {
        if (a.error == NULL) {
            snprintf(text + n, sizeof text - n, " %llu = %llu", (unsigned long long)a.ticket,
                     (unsigned long long)a.epoch);
        } else {
            snprintf(text + n, sizeof text - n, " %llu: %.30s", (unsigned long long)a.ticket,
                     error_text(a.error));
        }
    } else if (a.act == ACT_FAIL) {
        snprintf(text + n, sizeof text - n, ": %s", error_text(a.error));
    } else if (a.act != ACT_NOTHING) {
        n += (size_t)snprintf(text + n, sizeof text - n, " %llu", (unsigned long long)a.epoch);
    }
    if (a.act == ACT_BEGIN) snprintf(text + n, sizeof text - n, "%s", orders[a.order]);
    if (a.act == ACT_PERSIST || a.act == ACT_SEAL) {
        const checkpoint *p = a.checkpoint;
        assert_int_equal(p->epoch, a.epoch);
        assert_int_equal(p->parent, 99);
        assert_int_equal(p->created_us, now * 1000 + 1);
        n += (size_t)snprintf(text + n, sizeof text - n, " %s%s%.*s", kinds[p->kind],
                              p->name.len > 0 ? " " : "", STR_FMT(p->name));
        for (uint32_t i = 0; i < p->node_count; i++) {
            for (uint32_t k = 0; k < p->nodes[i].committable_count; k++) {
                n += (size_t)snprintf(text + n, sizeof text - n, " +%.*s",
                                      STR_FMT(p->nodes[i].committables[k].bytes));
            }
        }
    }
    assert_string_equal(text, expected);
}

static state_part *split_part(const char *position) {
    state_part *p = part_new(0);
    assert_non_null(p);
    state_split s = {.id = STR("0"), .position = str_of(position), .state = STATE_ASSIGNED};
    assert_int_equal(part_add_split(p, &s), WEIR_OK);
    return p;
}

static void begun(void) {
    state_part *captured = split_part("captured");
    captured->captured = true;
    /* One that no task reads any more. */
    state_split done = {.id = STR("1"), .position = STR("end"), .state = STATE_FINISHED};
    assert_int_equal(part_add_split(captured, &done), WEIR_OK);
    coordinator_begun(c, &captured, 1, WEIR_OK, NULL);
}

/* A sink's acknowledgement with a committable a letter. */
static void sink_acks(uint32_t task, uint64_t epoch, const char *letters) {
    state_part *p = part_new(1);
    assert_non_null(p);
    for (const char *l = letters; *l != '\0'; l++) {
        state_committable item = {.epoch = epoch, .version = 1, .bytes = {l, 1}};
        assert_int_equal(part_add_committable(p, &item), WEIR_OK);
    }
    coordinator_ack(c, task, epoch, p, WEIR_OK, NULL);
}

static void all_ack(uint64_t epoch, const char *first, const char *second) {
    coordinator_ack(c, 0, epoch, split_part("read"), WEIR_OK, NULL);
    sink_acks(1, epoch, first);
    sink_acks(2, epoch, second);
}

static void persisted(weir_status status, const char *why) {
    if (status != WEIR_OK) error_set(err, status, 0, "%s", why);
    coordinator_persisted(c, status, 100, 5, status != WEIR_OK ? err : NULL, now * MS);
}

/* A whole epoch without anything prepared, up to DONE. */
static void plain_epoch(const char *begin, uint64_t epoch) {
    char text[64];
    step(begin);
    begun();
    all_ack(epoch, "", "");
    snprintf(text, sizeof text, "persist %llu periodic", (unsigned long long)epoch);
    step(text);
    persisted(WEIR_OK, "");
    snprintf(text, sizeof text, "done %llu", (unsigned long long)epoch);
    step(text);
}

/* ---- one epoch ---- */

static void goes_its_way(void **state) {
    (void)state;
    step("nothing 1000");
    now = 1000;
    step("begin 1");
    step("nothing"); /* the capture is under way */
    begun();
    step("nothing 1500");
    now = 1010;
    coordinator_ack(c, 0, 1, split_part("read"), WEIR_OK, NULL);
    sink_acks(1, 1, "ab");
    step("nothing 1500");
    now = 1020;
    sink_acks(2, 1, "");
    step("persist 1 periodic +a +b");
    const state_node *in = checkpoint_node(last.checkpoint, STR("in"));
    assert_int_equal(in->split_count, 2);
    assert_true(str_eq_z(in->splits[0].position, "read")); /* of the task, not of the trigger */
    assert_int_equal(in->splits[1].state, STATE_FINISHED);
    step("nothing");
    now = 1030;
    persisted(WEIR_OK, "");
    step("commit 1");
    step("nothing"); /* and nothing times it out */
    now = 5000;
    step("nothing");
    coordinator_committed(c, 2, 1, now * MS); /* it listed nothing */
    step("nothing");
    coordinator_committed(c, 1, 0, now * MS); /* of an earlier epoch */
    coordinator_committed(c, 9, 1, now * MS);
    step("nothing");
    assert_int_equal(coordinator_completed(c), 0);
    coordinator_committed(c, 1, 1, now * MS);
    step("done 1");
    assert_int_equal(coordinator_completed(c), 1);
    step("nothing 5200"); /* the interval is over long since, the pause is not */

    epoch_record h[COORDINATOR_HISTORY];
    assert_int_equal(coordinator_history(c, h), 1);
    assert_int_equal(h[0].outcome, EPOCH_DONE);
    assert_int_equal(h[0].started_ns, 1000 * MS);
    assert_int_equal(h[0].started_wall_us, 1000 * 1000 + 1);
    assert_int_equal(h[0].acked_ns, 20 * MS);
    assert_int_equal(h[0].durable_ns, 30 * MS);
    assert_int_equal(h[0].committed_ns, 4000 * MS);
    assert_int_equal(h[0].bytes, 100);
    assert_int_equal(h[0].sync_ns, 5);
}

static void keeps_time(void **state) {
    (void)state;
    now = 1000;
    plain_epoch("begin 1", 1);
    step("nothing 2000"); /* from trigger to trigger */
    now = 2000;
    step("begin 2");
    begun();
    now = 2490;
    all_ack(2, "", "");
    step("persist 2 periodic");
    now = 2900;
    persisted(WEIR_OK, "");
    step("done 2");
    step("nothing 3100"); /* the pause is longer */
    settings.interval_ns = INT64_MAX;
    start();
    step("nothing");
}

/* Tasks are faster than the capture's answer, and a chain holds parts of several nodes. */
static void acknowledgements_may_come_early_and_chained(void **state) {
    (void)state;
    now = 1000;
    step("begin 1");
    coordinator_ack(c, 0, 1, split_part("read"), WEIR_OK, NULL);
    state_part *two = split_part("other");
    two->next = part_new(1);
    assert_non_null(two->next);
    state_committable item = {.epoch = 1, .version = 1, .bytes = STR("x")};
    assert_int_equal(part_add_committable(two->next, &item), WEIR_OK);
    coordinator_ack(c, 1, 1, two, WEIR_OK, NULL);
    coordinator_ack(c, 2, 1, NULL, WEIR_OK, NULL);
    begun();
    step("persist 1 periodic +x");
    persisted(WEIR_OK, "");
    step("commit 1");
    coordinator_committed(c, 1, 1, now * MS);
    step("done 1");
}

static void ignores_what_is_late_or_unknown(void **state) {
    (void)state;
    settings.tolerable_failures = 1;
    start();
    coordinator_persisted(c, WEIR_OK, 1, 1, NULL, 0);
    coordinator_begun(c, NULL, 0, WEIR_OK, NULL);
    sink_acks(1, 1, "a");
    now = 1000;
    step("begin 1");
    begun();
    sink_acks(1, 7, "a");
    sink_acks(9, 1, "a");
    now = 1500;
    step("nothing 2000"); /* timed out */
    sink_acks(1, 1, "late");
    now = 2000;
    step("begin 2");
    begun();
    error_set(err, WEIR_E_IO, 0, "late");
    coordinator_ack(c, 1, 1, NULL, WEIR_E_IO, err);
    all_ack(2, "b", "");
    sink_acks(1, 2, "twice");
    step("persist 2 periodic +b");
}

/* ---- failures ---- */

static void a_failure_fails_the_epoch(void **state) {
    (void)state;
    static const char *const why[] = {"capture", "task", "disk", "3 of 3 tasks"};
    settings.tolerable_failures = 10;
    start();
    for (uint64_t i = 0; i < 4; i++) {
        char text[64];
        now = 1000 * (int64_t)(i + 1);
        snprintf(text, sizeof text, "begin %llu", (unsigned long long)(i + 1));
        step(text);
        error_set(err, WEIR_E_IO, 0, "%s", why[i]);
        if (i == 0) {
            state_part *captured = split_part("captured");
            coordinator_begun(c, &captured, 1, WEIR_E_IO, err);
        } else {
            begun();
        }
        if (i == 1) coordinator_ack(c, 1, i + 1, part_new(1), WEIR_E_IO, err);
        if (i == 2) {
            all_ack(i + 1, "z", "");
            step("persist 3 periodic +z");
            persisted(WEIR_E_IO, why[i]); /* perhaps it is there: no commit, all the same */
        }
        if (i == 3) {
            step("nothing 4500");
            now += 500;
        }
        snprintf(text, sizeof text, "nothing %llu", (unsigned long long)(1000 * (i + 2)));
        step(text);
        epoch_record h[COORDINATOR_HISTORY];
        assert_int_equal(coordinator_history(c, h), i + 1);
        assert_int_equal(h[0].outcome, EPOCH_FAILED);
        assert_memory_equal(h[0].why, why[i], strlen(why[i]));
    }
}

static void as_many_failures_as_are_tolerable(void **state) {
    (void)state;
    settings.tolerable_failures = 2;
    start();
    uint64_t epoch = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < (round == 0 ? 2 : 3); i++) {
            now += 1000;
            assert_int_equal(coordinator_step(c, now * MS, 0).act, ACT_BEGIN);
            epoch++;
            begun();
            error_set(err, WEIR_E_IO, WEIR_ERR_RETRYABLE, "boom");
            coordinator_ack(c, 2, epoch, NULL, WEIR_E_IO, err);
            if (round == 1 && i == 2) break;
            assert_int_equal(coordinator_step(c, now * MS, 0).act, ACT_NOTHING);
        }
        if (round == 1) break;
        now += 1000; /* one that succeeds forgives all before it */
        plain_epoch("begin 3", 3);
        epoch = 3;
    }
    coordinator_savepoint(c, STR("waits"), 5);
    step("answer 5: the pipeline restarts from its");
    step("fail: checkpoint 6 failed (3 in a row, tolerable_failures is 2): boom");
    assert_int_equal(error_status(last.error), WEIR_E_IO);
    step("nothing");
    coordinator_savepoint(c, STR("late"), 6);
    step("answer 6: the run is ending and takes no");
}

static void keeps_ten_epochs_in_mind(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= 13; i++) {
        char text[32];
        snprintf(text, sizeof text, "begin %llu", (unsigned long long)i);
        now += 1000;
        plain_epoch(text, i);
    }
    epoch_record h[COORDINATOR_HISTORY];
    assert_int_equal(coordinator_history(c, h), COORDINATOR_HISTORY);
    for (uint64_t i = 0; i < COORDINATOR_HISTORY; i++) assert_int_equal(h[i].epoch, 13 - i);
    assert_int_equal(coordinator_completed(c), 13);
}

/* ---- savepoints ---- */

static void a_savepoint_is_sealed(void **state) {
    (void)state;
    coordinator_savepoint(c, STR("s"), 7);
    step("begin 1 savepoint"); /* at once */
    begun();
    all_ack(1, "a", "b");
    step("persist 1 periodic +a +b");
    persisted(WEIR_OK, "");
    step("commit 1");
    coordinator_committed(c, 1, 1, 0);
    step("nothing");
    coordinator_committed(c, 2, 1, 0);
    step("done 1");
    step("seal 2 savepoint s"); /* without committables, under a number of its own */
    assert_int_equal(checkpoint_node(last.checkpoint, STR("in"))->split_count, 2);
    persisted(WEIR_OK, "");
    step("answer 7 = 2");
    step("nothing 1000");
    assert_int_equal(coordinator_completed(c), 1);
}

static void a_savepoint_without_committables_is_sealed_too(void **state) {
    (void)state;
    coordinator_savepoint(c, STR("s"), 7);
    plain_epoch("begin 1 savepoint", 1);
    step("seal 2 savepoint s");
    persisted(WEIR_E_EXISTS, "taken");
    step("answer 7: taken");
    assert_int_equal(error_status(last.error), WEIR_E_EXISTS);
    step("nothing 1000"); /* and the pipeline goes on: tolerable_failures is 0 */
}

static void savepoints_wait_for_their_turn(void **state) {
    (void)state;
    now = 1000;
    step("begin 1");
    begun();
    coordinator_savepoint(c, STR("s"), 1);
    coordinator_savepoint(c, STR("t"), 2);
    coordinator_stop(c, STR(""), 0);
    coordinator_savepoint(c, STR("u"), 3);
    step("answer 3: the run is ending and takes no");
    all_ack(1, "", "");
    step("persist 1 periodic");
    persisted(WEIR_OK, "");
    step("done 1");
    plain_epoch("begin 2 savepoint", 2); /* no pause in between */
    step("seal 3 savepoint s");
    persisted(WEIR_OK, "");
    step("answer 1 = 3");
    step("begin 4 savepoint");
    begun();
    now += 500; /* a failed one is answered and not repeated */
    step("answer 2: 3 of 3 tasks did not answer wi");
    step("begin 5 final");
}

static void too_many_savepoints_are_refused(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 17; i++) coordinator_savepoint(c, STR("s"), i);
    step("answer 16: 16 savepoints wait already; as");
    char name[200];
    memset(name, 'x', sizeof name);
    step("begin 1 savepoint");
    coordinator_savepoint(c, str_make(name, sizeof name), 20);
    step("answer 20: the name of a savepoint has at");
}

/* ---- the end ---- */

static void an_end_without_committables_needs_one_write(void **state) {
    (void)state;
    coordinator_stop(c, STR(""), 0);
    coordinator_stop(c, STR(""), 0);
    step("begin 1 final");
    begun();
    all_ack(1, "", "");
    step("persist 1 final");
    step("nothing");
    persisted(WEIR_OK, "");
    step("done 1");
    step("finish 1");
    step("nothing");
    now = 100000;
    step("nothing");
}

static void an_end_waits_for_its_commits(void **state) {
    (void)state;
    coordinator_stop(c, STR(""), 0);
    step("begin 1 final");
    begun();
    all_ack(1, "a", "");
    step("persist 1 periodic +a");
    persisted(WEIR_OK, "");
    step("commit 1");
    now = 50000;
    step("nothing");
    coordinator_committed(c, 1, 1, now * MS);
    step("done 1");
    step("seal 2 final");
    persisted(WEIR_OK, "");
    step("finish 2");
    assert_int_equal(coordinator_completed(c), 2);
}

static void an_end_may_be_a_savepoint(void **state) {
    (void)state;
    coordinator_stop(c, STR("bye"), 4);
    coordinator_stop(c, STR("again"), 5);
    step("answer 5: the run is ending already, wit");
    plain_epoch("begin 1 final", 1);
    step("seal 2 final bye");
    persisted(WEIR_OK, "");
    step("answer 4 = 2");
    step("finish 2");
    coordinator_stop(c, STR("late"), 6);
    step("answer 6: the run is ending already, wit");
    step("nothing");
}

static void a_name_may_join_an_end_that_has_begun(void **state) {
    (void)state;
    coordinator_stop(c, STR(""), 0);
    step("begin 1 final");
    begun();
    coordinator_stop(c, STR("bye"), 4);
    all_ack(1, "", "");
    step("persist 1 periodic");
    coordinator_stop(c, STR("late"), 5);
    step("answer 5: the run is ending already, wit");
    persisted(WEIR_OK, "");
    step("done 1");
    step("seal 2 final bye");
    persisted(WEIR_E_EXISTS, "taken");
    step("answer 4: taken"); /* the end goes on without it */
    step("nothing 100");
    now = 100;
    step("begin 3 final");
    begun();
    all_ack(3, "", "");
    step("persist 3 final");
    persisted(WEIR_OK, "");
    step("done 3");
    step("finish 3");
}

/* A drain has a grace time, the caller's: within it a failure is no reason to restart. */
static void an_end_that_fails_is_tried_again(void **state) {
    (void)state;
    coordinator_stop(c, STR("bye"), 4);
    static const int64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (uint64_t i = 0; i < 8; i++) {
        char text[64];
        snprintf(text, sizeof text, "begin %llu final", (unsigned long long)(i + 1));
        step(text);
        begun();
        error_set(err, WEIR_E_IO, 0, "no");
        coordinator_ack(c, 1, i + 1, NULL, WEIR_E_IO, err);
        now += pauses[i];
        coordinator_action a = coordinator_step(c, now * MS - pauses[i] * MS, 0);
        assert_int_equal(a.act, ACT_NOTHING);
        assert_int_equal(a.next_ns, now * MS);
    }
    plain_epoch("begin 9 final", 9);
    step("seal 10 final bye");
    persisted(WEIR_E_IO, "disk");
    now += 5000;
    plain_epoch("begin 11 final", 11);
    step("seal 12 final bye");
    persisted(WEIR_OK, "");
    step("answer 4 = 12");
    step("finish 12");
}

static void the_end_of_all_sources_ends_the_run(void **state) {
    (void)state;
    settings.source_tasks = 2;
    settings.tolerable_failures = 1;
    start();
    coordinator_source_ended(c, 0);
    coordinator_source_ended(c, 0);
    coordinator_source_ended(c, 2); /* no source */
    step("nothing 1000");
    coordinator_source_ended(c, 1);
    step("begin 1 final");
    begun();
    error_set(err, WEIR_E_IO, 0, "no");
    coordinator_ack(c, 2, 1, NULL, WEIR_E_IO, err);
    step("nothing 100"); /* it counts */
    now = 100;
    step("begin 2 final");
    begun();
    all_ack(2, "a", "");
    step("persist 2 periodic +a");
    persisted(WEIR_OK, "");
    step("commit 2");
    coordinator_committed(c, 1, 2, now * MS);
    step("done 2");
    step("seal 3 final");
    persisted(WEIR_E_IO, "disk");
    step("fail: checkpoint 2 failed (2 in a row, tolerable_failures is 1): disk");
    step("nothing");
}

static void a_running_epoch_comes_to_its_end_first(void **state) {
    (void)state;
    now = 1000;
    step("begin 1");
    begun();
    coordinator_stop(c, STR("bye"), 4);
    coordinator_source_ended(c, 0);
    step("nothing 1500");
    now = 1500;
    step("begin 2 final"); /* its failure is nobody's business any more */
}

/* ---- memory ---- */

static void without_memory(void **state) {
    (void)state;
    settings.tolerable_failures = 1000;
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        numbers = 0;
        now = 0;
        start();
        coordinator_savepoint(c, STR("s"), 7);
        bool answered = false, built = false;
        for (int i = 0; i < 30 && !answered; i++) {
            /* Only the coordinator's own allocations fail, not the test's. */
            mem_test_fail_at(n, true);
            coordinator_action a = coordinator_step(c, now * MS, 0);
            failed = mem_test_fail_at(0, false);
            if (a.act == ACT_BEGIN) {
                begun();
                all_ack(a.epoch, "a", "");
            }
            if (a.act == ACT_PERSIST || a.act == ACT_SEAL) {
                built = a.act == ACT_SEAL;
                persisted(WEIR_OK, "");
            }
            if (a.act == ACT_COMMIT) coordinator_committed(c, 1, a.epoch, now * MS);
            if (a.act != ACT_ANSWER) continue;
            answered = true;
            assert_int_equal(a.error == NULL, built);
            if (a.error != NULL) failed = true;
        }
        assert_true(answered);
    }
    failed = true;
    for (int64_t n = 1; failed; n++) {
        mem_test_fail_at(n, false);
        coordinator *made = coordinator_new(&settings, like, next_number, NULL, 0);
        failed = mem_test_fail_at(0, false);
        assert_int_equal(made == NULL, failed);
        coordinator_free(made);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(goes_its_way),
        TEST(keeps_time),
        TEST(acknowledgements_may_come_early_and_chained),
        TEST(ignores_what_is_late_or_unknown),
        TEST(a_failure_fails_the_epoch),
        TEST(as_many_failures_as_are_tolerable),
        TEST(keeps_ten_epochs_in_mind),
        TEST(a_savepoint_is_sealed),
        TEST(a_savepoint_without_committables_is_sealed_too),
        TEST(savepoints_wait_for_their_turn),
        TEST(too_many_savepoints_are_refused),
        TEST(an_end_without_committables_needs_one_write),
        TEST(an_end_waits_for_its_commits),
        TEST(an_end_may_be_a_savepoint),
        TEST(a_name_may_join_an_end_that_has_begun),
        TEST(an_end_that_fails_is_tried_again),
        TEST(the_end_of_all_sources_ends_the_run),
        TEST(a_running_epoch_comes_to_its_end_first),
        TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
