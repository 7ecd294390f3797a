/*
 * Whole pipelines in this process: real plugins, real threads. Each test ends by itself or not at
 * all: there is no sleeping for luck, and the time limit of the program tells what hangs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "pipes.h"
#include "runtime/runtime.h"

typedef struct running {
    pipe_of p;
    runtime *rt;
    weir_error *err;
} running;

static running begin(const char *text) {
    running r = {.p = pipe_load(text), .err = error_new()};
    if (r.p.plan == NULL) diags_print(r.p.diags, stderr);
    assert_non_null(r.p.plan);
    runtime_config config = {.plan = r.p.plan, .plugins = r.p.plugins};
    r.rt = runtime_new(&config, r.err);
    if (r.rt == NULL) fail_msg("runtime_new: %s", error_text(r.err));
    return r;
}

static running start(const char *text) {
    running r = begin(text);
    if (runtime_start(r.rt, r.err) != WEIR_OK) fail_msg("start: %s", error_text(r.err));
    return r;
}

/* Waits for the end; answers how it went. */
static weir_status join(running *r) {
    while (!runtime_wait(r->rt, INT64_MAX)) {}
    return runtime_finish(r->rt, r->err);
}

static void finish(running *r) {
    if (join(r) != WEIR_OK) fail_msg("run: %s", error_text(r->err));
    assert_int_equal(runtime_memory_used(r->rt), 0);
}

static void end(running *r) {
    runtime_free(r->rt); /* asserts that no batch is left */
    error_free(r->err);
    pipe_free(&r->p);
}

static uint64_t in(const running *r, const char *name) {
    return count_get(&runtime_counters(r->rt, pipe_node(&r->p, name))->records_in);
}
static uint64_t out(const running *r, const char *name) {
    return count_get(&runtime_counters(r->rt, pipe_node(&r->p, name))->records_out);
}

/* Returns when `name` has taken in at least `n` records. */
static void wait_for(const running *r, const char *name, uint64_t n) {
    while (in(r, name) < n && !runtime_wait(r->rt, clock_mono_ns(&clock_system) + 1000000)) {}
}

static void test_parallel(void **state) {
    (void)state;
    running r =
        start("settings: {parallelism: 4}\nsources:\n  in: {type: generator, count: 200000, "
              "splits: 16}\nsinks:\n  out: {type: blackhole, input: in}\n");
    finish(&r);
    assert_int_equal(in(&r, "in"), 200000);
    assert_int_equal(out(&r, "out"), 200000);
    assert_true(runtime_ready_ns(r.rt) > 0 && runtime_first_record_ns(r.rt) > 0);
    splits_summary s;
    splits_summarize(runtime_splits(r.rt, pipe_node(&r.p, "in")), &s);
    assert_int_equal(s.known, 16);
    assert_int_equal(s.finished, 16);
    end(&r);
}

static void test_fan_out_fan_in(void **state) {
    (void)state;
    running r = start("sources:\n  a: {type: generator, count: 30000, format: json, splits: 3, "
                      "parallelism: 2}\n  b: {type: generator, count: 20000, format: json}\n"
                      "transforms:\n"
                      "  f: {type: filter, input: a, where: .price < 1000}\n"
                      "  none: {type: filter, inputs: [a, b], where: .price > 1000}\n"
                      "  all: {type: filter, inputs: [f, b], where: .price < 1000, parallelism: 3, "
                      "exchange: {key: \"${.ticker}\"}}\n"
                      "sinks:\n"
                      "  x: {type: blackhole, input: all, format: json}\n"
                      "  y: {type: blackhole, inputs: [a, b], parallelism: 2, exchange: "
                      "round_robin}\n"
                      "  z: {type: blackhole, input: none}\n");
    finish(&r);
    assert_int_equal(out(&r, "x"), 50000);
    assert_int_equal(out(&r, "y"), 50000);
    assert_int_equal(in(&r, "none"), 50000);
    assert_int_equal(in(&r, "z"), 0);
    end(&r);
}

static void test_drain_under_load(void **state) {
    (void)state;
    running r =
        start("settings: {parallelism: 2, memory: 24MiB}\nsources:\n  in: {type: generator, "
              "splits: 4, format: json}\nsinks:\n  a: {type: blackhole, input: in, format: "
              "{type: json, pass_through: never}}\n  b: {type: blackhole, input: in, "
              "exchange: round_robin}\n");
    wait_for(&r, "a", 20000);
    runtime_drain(r.rt);
    finish(&r);
    /* Whatever was read has arrived. */
    assert_true(in(&r, "in") >= 20000);
    assert_int_equal(out(&r, "a"), in(&r, "in"));
    assert_int_equal(out(&r, "b"), in(&r, "in"));
    end(&r);
}

static void test_drain_before_anything(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        running r =
            begin("settings: {parallelism: 3}\nsources:\n  in: {type: generator, splits: 3}\n"
                  "sinks:\n  out: {type: blackhole, input: in}\n");
        if (i % 2 == 0) runtime_drain(r.rt);
        assert_int_equal(runtime_start(r.rt, r.err), WEIR_OK);
        runtime_drain(r.rt);
        finish(&r);
        assert_int_equal(out(&r, "out"), in(&r, "in"));
        end(&r);
    }
}

static void test_never_started(void **state) {
    (void)state;
    running r = begin("sources:\n  in: {type: generator}\nsinks:\n  out: {type: blackhole, input: "
                      "in}\n");
    end(&r);
}

static void test_abandon(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        running r =
            start("settings: {parallelism: 2}\nsources:\n  in: {type: generator, splits: 4, "
                  "format: json}\ntransforms:\n  f: {type: filter, input: in, where: .price "
                  "> 50, parallelism: 3}\nsinks:\n  out: {type: oddsink, input: f, mode: "
                  "hold}\n");
        wait_for(&r, "out", 100);
        runtime_abandon(r.rt, WEIR_E_TIMEOUT, "enough");
        assert_int_equal(join(&r), WEIR_E_TIMEOUT);
        assert_string_equal(error_text(r.err), "enough");
        assert_int_equal(runtime_memory_used(r.rt), 0);
        assert_int_equal(out(&r, "out"), 0); /* nothing of it was acknowledged */
        end(&r);
    }
}

/* A sink that is held closed: sources stop at the bounds, and nothing grows beyond the budget. */
static void test_back_pressure(void **state) {
    (void)state;
    running r = start("settings: {memory: 16MiB}\nsources:\n  in: {type: generator, size: 4KiB}\n"
                      "sinks:\n  out: {type: oddsink, input: in, mode: hold, batch: {buffered: "
                      "1000}}\n");
    uint64_t before = 0, quiet = 0;
    while (quiet < 20) { /* until nothing has moved for twenty looks */
        (void)runtime_wait(r.rt, clock_mono_ns(&clock_system) + 5000000);
        uint64_t now = in(&r, "in");
        quiet = now == before && now > 0 ? quiet + 1 : 0;
        before = now;
    }
    assert_true(runtime_memory_peak(r.rt) < 20 << 20);
    runtime_abandon(r.rt, WEIR_E_CANCELLED, "done");
    assert_int_equal(join(&r), WEIR_E_CANCELLED);
    end(&r);
}

static void test_one_failure_stops_all(void **state) {
    (void)state;
    running r = start("sources:\n  in: {type: generator}\n  other: {type: generator, rate: 10}\n"
                      "sinks:\n  good: {type: blackhole, inputs: [in, other]}\n"
                      "  bad: {type: oddsink, input: in, mode: fail}\n");
    assert_int_equal(join(&r), WEIR_E_PERMISSION);
    assert_non_null(strstr(error_text(r.err), "bad/oddsink[0]"));
    assert_non_null(strstr(error_text(r.err), "one too many"));
    end(&r);
}

static void test_retries_lose_nothing(void **state) {
    (void)state;
    running r = start("sources:\n  in: {type: generator, count: 5000, splits: 2, parallelism: 2}\n"
                      "sinks:\n  out: {type: oddsink, input: in, mode: flaky, retry: {base: 1ms, "
                      "max: 2ms}}\n");
    finish(&r);
    assert_int_equal(out(&r, "out"), 5000);
    assert_true(count_get(&runtime_counters(r.rt, pipe_node(&r.p, "out"))->retried) >= 2500 / 2);
    end(&r);
}

/* What cannot be decoded is the source's bad record, also where decoding moved behind an exchange:
 * the source's on_error holds, not the sink's. */
static void test_bad_records_behind_an_exchange(void **state) {
    (void)state;
    static const char *const between[] = {
        "sinks:\n  out: {type: blackhole, input: in, parallelism: 2, exchange: round_robin, format: "
        "{type: json, pass_through: never}}\n",
        "transforms:\n  f: {type: filter, input: in, parallelism: 2, exchange: round_robin, where: "
        ".a == 1}\nsinks:\n  out: {type: blackhole, input: f}\n",
    };
    for (int i = 0; i < 2; i++) {
        char text[800];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator, shape: bytes, size: 64, count: 500, format: "
                 "json, on_error: {dead_letter: bad}}\n%s  bad: {type: blackhole, format: json}\n",
                 between[i]);
        running r = start(text);
        finish(&r);
        assert_int_equal(out(&r, "bad"), 500);
        assert_int_equal(out(&r, "out"), 0);
        const counters *c = runtime_counters(r.rt, pipe_node(&r.p, "in"));
        assert_int_equal(count_get(&c->dead_lettered), 500);
        end(&r);
    }
}

static void test_bad_record_fails(void **state) {
    (void)state;
    running r =
        start("sources:\n  in: {type: generator, shape: bytes, size: 64, count: 500, format: "
              "json}\ntransforms:\n  f: {type: filter, input: in, where: .a == 1}\nsinks:\n "
              " out: {type: blackhole, input: f}\n");
    assert_int_equal(join(&r), WEIR_E_DATA);
    assert_non_null(strstr(error_text(r.err), "in: "));
    end(&r);
}

/* ---- waking ---- */

static void *drain_it(void *argument) {
    runtime *rt = argument;
    runtime_drain(rt);
    return NULL;
}

/* The signal of a drain ends the poll and is consumed by that: going to sleep for the hour that the
 * source asks for would lose it. */
static void test_drain_wakes_a_sleeping_source(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        running r =
            start("sources:\n  in: {type: sleeper}\nsinks:\n  out: {type: blackhole, input: "
                  "in}\n");
        splits_summary s = {0};
        while (i % 2 == 0 && s.assigned == 0) {
            splits_summarize(runtime_splits(r.rt, pipe_node(&r.p, "in")), &s);
        }
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, drain_it, r.rt), 0);
        finish(&r);
        pthread_join(thread, NULL);
        end(&r);
    }
}

static _Atomic bool interrupted;

static bool was_interrupted(void *opaque) {
    (void)opaque;
    return atomic_load(&interrupted);
}

static void *interrupt(void *argument) {
    runtime *rt = argument;
    atomic_store(&interrupted, true);
    wake_signal(runtime_wake(rt));
    return NULL;
}

/* A start that hangs in some plugin's open is ended by a signal. */
static void test_interrupted_start(void **state) {
    (void)state;
    running r = {.p = pipe_load("sources:\n  in: {type: generator}\nsinks:\n  out: {type: oddsink, "
                                "input: in, mode: hang}\n"),
                 .err = error_new()};
    atomic_store(&interrupted, false);
    runtime_config config = {
        .plan = r.p.plan, .plugins = r.p.plugins, .interrupted = was_interrupted};
    r.rt = runtime_new(&config, r.err);
    assert_non_null(r.rt);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, r.rt), 0);
    assert_int_equal(runtime_start(r.rt, r.err), WEIR_E_CANCELLED);
    pthread_join(thread, NULL);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_fan_out_fan_in),
        cmocka_unit_test(test_drain_under_load),
        cmocka_unit_test(test_drain_before_anything),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_one_failure_stops_all),
        cmocka_unit_test(test_retries_lose_nothing),
        cmocka_unit_test(test_bad_records_behind_an_exchange),
        cmocka_unit_test(test_bad_record_fails),
        cmocka_unit_test(test_drain_wakes_a_sleeping_source),
        cmocka_unit_test(test_interrupted_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
