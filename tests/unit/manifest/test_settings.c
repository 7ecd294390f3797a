#include "fixture.h"

#include <stdio.h>

#include "base/clock.h"
#include "manifest/settings.h"

#define M(settings)                                                                                \
    "weir: 1\nname: t\nsettings: " settings "\nsources:\n  in: {type: kin, stream: s}\n"           \
    "sinks:\n  out: {type: hole, input: in}\n"

static void test_defaults(void **state) {
    (void)state;
    loaded l = load_with(M(""), NULL);
    assert_non_null(l.p);
    const settings_spec *s = &l.p->settings;
    assert_int_equal(s->parallelism, 1);
    assert_int_equal(s->max_parallelism, 128);
    assert_int_equal(s->delivery, DELIVERY_UNSET);
    assert_int_equal(s->checkpoint_interval_ns, 60 * CLOCK_NS_PER_S);
    assert_int_equal(s->checkpoint_min_pause_ns, 5 * CLOCK_NS_PER_S);
    assert_int_equal(s->checkpoint_timeout_ns, 600 * CLOCK_NS_PER_S);
    assert_int_equal(s->checkpoint_retain, 3);
    assert_int_equal(s->checkpoint_tolerable_failures, 0);
    assert_int_equal(s->checkpoint_store.len, 0);
    assert_int_equal(s->restart.strategy, RESTART_FIXED_DELAY);
    assert_int_equal(s->restart.delay_ns, 10 * CLOCK_NS_PER_S);
    assert_true(s->restart.attempts == UINT64_MAX);
    assert_int_equal(s->start_timeout_ns, 300 * CLOCK_NS_PER_S);
    assert_int_equal(s->stop_timeout_ns, 60 * CLOCK_NS_PER_S);
    assert_int_equal(s->memory_bytes, 512 << 20);
    loaded_free(&l);
}

static void test_given(void **state) {
    (void)state;
    loaded l =
        load_with(M("{parallelism: 4, max_parallelism: 8, delivery: at_least_once, memory: 64MiB,\n"
                    "  restart: {strategy: none}, start_timeout: 1s, stop_timeout: 2s,\n"
                    "  require_signature: off}"),
                  NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    const settings_spec *s = &l.p->settings;
    assert_int_equal(s->parallelism, 4);
    assert_int_equal(node_of(&l, "in")->parallelism, 4);
    assert_int_equal(s->delivery, DELIVERY_AT_LEAST_ONCE);
    assert_int_equal(s->restart.strategy, RESTART_NONE);
    assert_int_equal(s->start_timeout_ns, CLOCK_NS_PER_S);
    assert_int_equal(s->stop_timeout_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(s->memory_bytes, 64 << 20);
    loaded_free(&l);
}

/* The settings of a text that is right. */
static settings_spec read_settings(const char *text, arena *memory) {
    settings_spec s = {0};
    load l = {.file = "m.yaml",
              .base_dir = STR("/dir"),
              .memory = memory,
              .scratch = arena_new(1 << 20),
              .out = diags_new()};
    assert_non_null(l.scratch);
    assert_non_null(l.out);
    settings_read(&l, tree_parse(l.file, str_of(text), l.scratch, l.out), &s);
    assert_int_equal(diags_count(l.out), 0);
    assert_false(l.no_memory);
    arena_free(l.scratch);
    diags_free(l.out);
    return s;
}

static void test_checkpoint_and_restart(void **state) {
    (void)state;
    arena *memory = arena_new(1 << 20);
    settings_spec s =
        read_settings("checkpoint: {interval: 1s, min_pause: 0, timeout: 2s, retain: 5,\n"
                      "  tolerable_failures: 2, store: 'file:///var/x'}",
                      memory);
    assert_int_equal(s.checkpoint_interval_ns, CLOCK_NS_PER_S);
    assert_int_equal(s.checkpoint_min_pause_ns, 0);
    assert_int_equal(s.checkpoint_timeout_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(s.checkpoint_retain, 5);
    assert_int_equal(s.checkpoint_tolerable_failures, 2);
    assert_true(str_eq_z(s.checkpoint_store, "/var/x"));
    s = read_settings("checkpoint: {interval: none}", memory);
    assert_true(s.checkpoint_interval_ns == INT64_MAX);
    s = read_settings("checkpoint: {store: state}", memory);
    assert_true(str_eq_z(s.checkpoint_store, "/dir/state")); /* relative to the manifest */

    s = read_settings("restart: {strategy: exponential, initial: 2s, max: 1h, multiplier: 1.5,\n"
                      "  attempts: 3}",
                      memory);
    assert_int_equal(s.restart.strategy, RESTART_EXPONENTIAL);
    assert_int_equal(s.restart.initial_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(s.restart.max_ns, 3600 * CLOCK_NS_PER_S);
    assert_true(s.restart.multiplier == 1.5);
    assert_int_equal(s.restart.attempts, 3);
    s = read_settings("restart: {delay: 3s}", memory);
    assert_int_equal(s.restart.strategy, RESTART_FIXED_DELAY);
    assert_int_equal(s.restart.delay_ns, 3 * CLOCK_NS_PER_S);
    assert_true(s.restart.attempts == UINT64_MAX);
    arena_free(memory);
}

/* What check accepts is never ignored later: what this version does not do, it does not accept. */
static void test_refused(void **state) {
    (void)state;
    expect(M("{restart: {strategy: none}}"), "");
    expect(M("{checkpoint: , restart: }"), "3:24 wrong-type\n3:35 wrong-type\n");
    expect_text(M("{require_signature: enforce}"), "3:12 not-available\n",
                "'settings.require_signature' can only be off: this version checks no signatures",
                NULL);
    expect(M("{require_signature: warn}"), "3:12 not-available\n");
}

static void test_errors(void **state) {
    (void)state;
    expect_text(M("{paralelism: 2}"), "3:12 unknown-key\n", "unknown key 'paralelism' in settings",
                "did you mean 'parallelism'?", NULL);
    expect(M("[a]"), "3:11 wrong-type\n");
    expect(M("{parallelism: 0}"), "3:25 out-of-range\n");
    expect(M("{parallelism: 2000}"), "3:25 out-of-range\n");
    expect(M("{parallelism: 9, max_parallelism: 8}"), "3:12 out-of-range\n");
    expect(M("{delivery: twice}"), "3:22 unknown-value\n");
    expect(M("{memory: 1}"), "3:20 out-of-range\n");
}

/* Mistakes in words that are refused are reported all the same, each where it stands. */
static void test_errors_in_checkpoint_and_restart(void **state) {
    (void)state;
    expect_text(M("{checkpoint: {interval: 1ms, intervall: 1}}"),
                "3:35 out-of-range\n3:40 unknown-key\n", "'settings.checkpoint.interval'",
                "in settings, checkpoint", NULL);
    expect(M("{checkpoint: {retain: 0, tolerable_failures: -1}}"),
           "3:33 out-of-range\n3:56 out-of-range\n");
    expect_text(M("{checkpoint: {store: 's3://b/k'}}"), "3:25 not-available\n",
                "'settings.checkpoint.store' can only be a local folder in this version", NULL);
    expect(M("{checkpoint: {store: 'file://x'}}"), "3:25 wrong-type\n");
    expect(M("{checkpoint: 60s}"), "3:24 wrong-type\n");
    expect(M("{restart: none}"), "3:21 wrong-type\n");
    expect(M("{restart: {strategy: none, delay: 1s}}"), "3:38 option-conflict\n");
    expect(M("{restart: {multiplier: 2}}"), "3:22 option-conflict\n");
    expect(M("{restart: {strategy: exponential, initial: 5m}}"), "3:45 out-of-range\n");
    expect(M("{restart: {strategy: exponential, delay: 5m}}"), "3:45 option-conflict\n");
    expect(M("{restart: {strategy: nonee}}"), "3:32 unknown-value\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_given),
        cmocka_unit_test(test_checkpoint_and_restart),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_errors_in_checkpoint_and_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
