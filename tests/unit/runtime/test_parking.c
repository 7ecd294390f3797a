/*
 * A serde that answers AGAIN parks the batch in whatever stage uses it: nothing is lost, order and
 * upkeep are kept, and a pipeline that ends meanwhile ends. The serde looker finds what it looks
 * for in a thread of its own, or fails after a time in which everything else would have happened.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "pipes.h"
#include "runtime/runtime.h"

typedef struct running {
    pipe_of p;
    runtime *rt;
    weir_error *err;
} running;

static running start(const char *format, const char *until) {
    char text[1024];
    snprintf(text, sizeof text, format, until);
    running r = {.p = pipe_load(text), .err = error_new()};
    if (r.p.plan == NULL) diags_print(r.p.diags, stderr);
    assert_non_null(r.p.plan);
    runtime_config config = {.plan = r.p.plan, .plugins = r.p.plugins};
    r.rt = runtime_new(&config, r.err);
    if (r.rt == NULL) fail_msg("runtime_new: %s", error_text(r.err));
    if (runtime_start(r.rt, r.err) != WEIR_OK) fail_msg("start: %s", error_text(r.err));
    return r;
}

static weir_status join(running *r) {
    while (!runtime_wait(r->rt, INT64_MAX)) {}
    weir_status status = runtime_finish(r->rt, r->err);
    assert_int_equal(runtime_memory_used(r->rt), 0);
    return status;
}

static void finish(running *r) {
    if (join(r) != WEIR_OK) fail_msg("run: %s", error_text(r->err));
}

static void end(running *r) {
    runtime_free(r->rt);
    error_free(r->err);
    pipe_free(&r->p);
}

static uint64_t in(const running *r, const char *name) {
    return count_get(&runtime_counters(r->rt, pipe_node(&r->p, name))->records_in);
}
static uint64_t out(const running *r, const char *name) {
    return count_get(&runtime_counters(r->rt, pipe_node(&r->p, name))->records_out);
}

static void wait_for(const running *r, const char *name) {
    while (in(r, name) == 0 && !runtime_wait(r->rt, clock_mono_ns(&clock_system) + 1000000)) {}
}

/* One pipeline for each place where a serde works. %s is when it finds what it looks for; `seen` is
 * the node that has taken records in when the serde is asked. */
static const struct parking_place {
    const char *name, *seen, *text;
} places[] = {
    {"source stage decodes", "in",
     "sources:\n  in: {type: generator, count: 30000, format: {type: looker, until: %s}}\n"
     "sinks:\n  out: {type: leased, input: in, format: json}\n"},
    {"sink stage encodes", "out",
     "sources:\n  in: {type: generator, count: 30000, format: json}\nsinks:\n  out: {type: leased, "
     "input: in, format: {type: looker, pass_through: never, until: %s}}\n"},
    {"sink stage decodes", "out",
     "sources:\n  in: {type: generator, count: 30000, format: {type: looker, until: %s}}\n"
     "sinks:\n  out: {type: leased, input: in, parallelism: 2, exchange: round_robin, format: "
     "json}\n"},
    {"worker stage decodes", "in",
     "sources:\n  in: {type: generator, count: 30000, format: {type: looker, until: %s}}\n"
     "transforms:\n  f: {type: filter, input: in, parallelism: 2, exchange: round_robin, where: "
     "not (.a == 1)}\nsinks:\n  out: {type: leased, input: f, format: json}\n"},
};
#define PLACES (sizeof places / sizeof places[0])

static void test_woken(void **state) {
    (void)state;
    for (size_t p = 0; p < PLACES; p++) {
        running r = start(places[p].text, "soon");
        finish(&r);
        assert_int_equal(in(&r, "in"), 30000);
        assert_int_equal(out(&r, "out"), 30000);
        end(&r);
    }
}

/* A sink whose serde waits is driven at its service interval all the same: its connection has pings
 * to answer, its lease has to be kept. */
static void test_parked_sink_is_driven(void **state) {
    (void)state;
    for (size_t p = 0; p < PLACES; p++) {
        running r = start(places[p].text, "driven");
        finish(&r);
        assert_int_equal(out(&r, "out"), 30000);
        end(&r);
    }
}

static void test_drain_while_parked(void **state) {
    (void)state;
    for (size_t p = 0; p < PLACES; p++) {
        running r = start(places[p].text, "driven");
        wait_for(&r, places[p].seen);
        runtime_drain(r.rt);
        finish(&r);
        assert_true(in(&r, "in") > 0);
        assert_int_equal(out(&r, "out"), in(&r, "in")); /* whatever was read has arrived */
        end(&r);
    }
}

static void test_abandoned_while_parked(void **state) {
    (void)state;
    for (size_t p = 0; p < PLACES; p++) {
        running r = start(places[p].text, "never");
        wait_for(&r, places[p].seen);
        runtime_abandon(r.rt, WEIR_E_TIMEOUT, "enough");
        assert_int_equal(join(&r), WEIR_E_TIMEOUT);
        assert_int_equal(out(&r, "out"), 0);
        end(&r);
    }
}

static const char family[] =
    "sources:\n  in: {type: family, format: {type: looker, until: %s}}\nsinks:\n  out: {type: "
    "leased, input: in, format: json}\n";

/* The source that is called for its upkeep while its batch waits may say that the split ended: that
 * holds behind the batch, not ahead of it. */
static void test_end_of_split_waits_for_its_batch(void **state) {
    (void)state;
    running r = start(family, "polled");
    finish(&r);
    assert_int_equal(out(&r, "out"), 2);
    splits_summary s;
    splits_summarize(runtime_splits(r.rt, pipe_node(&r.p, "in")), &s);
    assert_int_equal(s.known, 2);
    assert_int_equal(s.finished, 2);
    end(&r);
}

/* Also a source that is drained keeps its connections while its last batch waits. */
static void test_drained_source_is_polled(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        running r = start(family, "polled");
        wait_for(&r, "in");
        runtime_drain(r.rt);
        finish(&r);
        assert_int_equal(out(&r, "out"), in(&r, "in"));
        end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_woken),
        cmocka_unit_test(test_parked_sink_is_driven),
        cmocka_unit_test(test_drain_while_parked),
        cmocka_unit_test(test_abandoned_while_parked),
        cmocka_unit_test(test_end_of_split_waits_for_its_batch),
        cmocka_unit_test(test_drained_source_is_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
