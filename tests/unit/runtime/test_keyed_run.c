/*
 * State by key in whole pipelines of this process: counts that go on exactly from one run to the
 * next, whatever the parallelism is (tally.c fails at the first that does not), and what is
 * refused.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/os.h"
#include "base/str.h"
#include "pipes.h"
#include "runtime/keyed.h"
#include "runtime/runtime.h"

#define KEYS 1000u

typedef struct world {
    char folder[64];
} world;

typedef struct running {
    pipe_of p;
    store *store;
    checkpoint *from;
    runtime *rt;
    weir_error *err;
} running;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/weir-keyed-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    *state = w;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int drop_world(void **state) {
    world *w = *state;
    nftw(w->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(w);
    return 0;
}

/* generator -> keyer -> `more`, from the newest checkpoint. NULL runtime: `err` says why. */
static void begin(running *r, const world *w, const char *settings, const char *source,
                  const char *keyer, const char *more) {
    char text[2048], folder[96];
    snprintf(text, sizeof text,
             "settings: {%s}\n"
             "sources:\n  in: {type: generator, shape: sequence, %s}\n"
             "transforms:\n  keyer: {type: keyer, input: in%s}\n%s\n"
             "sinks:\n  out: {type: blackhole, input: last}\n",
             settings, source, keyer, more);
    *r = (running){.p = pipe_load(text), .err = error_new()};
    if (r->p.plan == NULL) diags_print(r->p.diags, stderr);
    assert_non_null(r->p.plan);
    snprintf(folder, sizeof folder, "%s/t", w->folder);
    const store_config stored = {
        .disk = &disk_system, .folder = folder, .pipeline = STR("t"), .retain = 3};
    r->store = store_open(&stored, false, r->err);
    if (r->store == NULL) fail_msg("store: %s", error_text(r->err));
    if (store_newest(r->store, true, &r->from, r->err) != WEIR_OK) {
        fail_msg("from: %s", error_text(r->err));
    }
    const runtime_config config = {
        .plan = r->p.plan, .plugins = r->p.plugins, .store = r->store, .from = r->from};
    r->rt = runtime_new(&config, r->err);
    if (r->rt == NULL) fail_msg("runtime_new: %s", error_text(r->err));
}

/* Until `records` are through; then it ends in order, or, with `epochs`, falls over once so many
 * checkpoints are complete. */
static weir_status run_and(running *r, uint64_t records, uint64_t epochs) {
    weir_status status = runtime_start(r->rt, r->err);
    if (status != WEIR_OK) return status;
    const counters *out = runtime_counters(r->rt, pipe_node(&r->p, "out"));
    uint64_t first = runtime_restored_epoch(r->rt);
    while ((count_get(&out->records_out) < records ||
            runtime_completed_epoch(r->rt) < first + epochs) &&
           !runtime_wait(r->rt, clock_mono_ns(&clock_system) + 2 * CLOCK_NS_PER_MS)) {}
    if (epochs > 0) runtime_abandon(r->rt, WEIR_E_CANCELLED, "the test lets it fall");
    runtime_drain(r->rt);
    while (!runtime_wait(r->rt, INT64_MAX)) {}
    return runtime_finish(r->rt, r->err);
}

static weir_status run_until(running *r, uint64_t records) {
    return run_and(r, records, 0);
}

static void end(running *r) {
    runtime_free(r->rt);
    store_close(r->store);
    checkpoint_free(r->from);
    error_free(r->err);
    pipe_free(&r->p);
}

/* What the checkpoint's counts of all keys add up to. */
static uint64_t counted(const checkpoint *c, uint32_t *keys) {
    batch_home *home = batch_home_new(UINT64_C(1) << 30, NULL, NULL);
    keyed_pool pool;
    keyed_pool_init(&pool, home);
    weir_error *err = error_new();
    keyed *k = keyed_new(&pool, c->max_parallelism, 0, 1);
    const state_node *saved = checkpoint_node(c, STR("tally"));
    assert_non_null(saved);
    for (uint32_t b = 0; b < saved->blob_count; b++) {
        assert_int_equal(saved->blobs[b].scope, STATE_SCOPE_KEY_GROUP);
        assert_int_equal(saved->blobs[b].version, 2);
    }
    if (keyed_restore(k, saved, err) != WEIR_OK) fail_msg("restore: %s", error_text(err));
    uint64_t sum = 0;
    *keys = (uint32_t)keyed_count(k);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "k%u", i);
        weir_str value;
        uint64_t n;
        keyed_select(k, str_make(key, (size_t)len));
        if (keyed_get(k, STR("n"), &value) != WEIR_OK) continue;
        memcpy(&n, value.ptr, sizeof n);
        sum += n;
    }
    keyed_free(k);
    error_free(err);
    batch_home_free(home);
    return sum;
}

/* How far the generator's splits have been read, all together. */
static uint64_t read_so_far(const checkpoint *c) {
    const state_node *in = checkpoint_node(c, STR("in"));
    uint64_t sum = 0;
    for (uint32_t s = 0; s < in->split_count; s++) {
        uint64_t n = 0;
        for (uint64_t i = 0; i < in->splits[s].position.len; i++) {
            n = n << 8 | (unsigned char)in->splits[s].position.ptr[i];
        }
        sum += n;
    }
    return sum;
}

static checkpoint *newest(const world *w) {
    char folder[96];
    weir_error *err = error_new();
    checkpoint *c = NULL;
    snprintf(folder, sizeof folder, "%s/t", w->folder);
    const store_config config = {.disk = &disk_system, .folder = folder, .pipeline = STR("t")};
    store *s = store_open(&config, true, err);
    assert_non_null(s);
    assert_int_equal(store_newest(s, true, &c, err), WEIR_OK);
    assert_non_null(c);
    store_close(s);
    error_free(err);
    return c;
}

static void test_counts_go_on(void **state) {
    world *w = *state;
    /* How many tasks tally and the source have, and whether the run ends in order or falls. */
    static const struct {
        uint32_t tally, source;
        bool falls;
    } steps[] = {{1, 1, false}, {2, 2, false}, {2, 1, true},  {3, 1, false},
                 {3, 2, true},  {1, 2, false}, {16, 1, true}, {4, 1, false}};
    uint64_t total = 0;
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        char settings[128], source[64], keyer[32], more[256];
        /* The second number is for a fresh start only. */
        snprintf(settings, sizeof settings,
                 "checkpoint: {interval: 20ms, min_pause: 0}, max_parallelism: %d",
                 s == 0 ? 16 : 1024);
        snprintf(source, sizeof source, "splits: 4, rate: 200000, parallelism: %u",
                 steps[s].source);
        snprintf(keyer, sizeof keyer, ", keys: %u, parallelism: %u", KEYS, steps[s].source);
        snprintf(more, sizeof more,
                 "  tally: {type: tally, input: keyer, keys: %u, parallelism: %u, exchange: {key: "
                 "\"${key}\"}}\n  last: {type: sample, input: tally, rate: 1, parallelism: %u}",
                 KEYS, steps[s].tally, steps[s].tally);
        running r;
        begin(&r, w, settings, source, keyer, more);
        assert_true((r.from != NULL) == (s > 0));
        weir_status status = run_and(&r, 20000, steps[s].falls ? 3 : 0);
        if (status != (steps[s].falls ? WEIR_E_CANCELLED : WEIR_OK)) {
            fail_msg("step %zu: %s", s, error_text(r.err));
        }
        uint64_t out = count_get(&runtime_counters(r.rt, pipe_node(&r.p, "out"))->records_out);
        end(&r);
        checkpoint *c = newest(w);
        uint32_t keys;
        uint64_t sum = counted(c, &keys);
        /* Each record once, over all runs: of one that fell, up to its last checkpoint. */
        assert_int_equal(sum, read_so_far(c));
        if (steps[s].falls) {
            assert_int_equal(c->kind, CHECKPOINT_PERIODIC);
            assert_true(sum > total);
        } else {
            assert_int_equal(c->kind, CHECKPOINT_FINAL);
            assert_int_equal(sum, total + out);
        }
        total = sum;
        assert_int_equal(keys, KEYS);
        assert_int_equal(c->max_parallelism, 16);
        assert_int_equal(checkpoint_node(c, STR("tally"))->blob_count, 16);
        checkpoint_free(c);
    }

    running r;
    begin(&r, w, "max_parallelism: 1024", "parallelism: 1", "",
          "  tally: {type: tally, input: keyer, parallelism: 17, exchange: {key: \"${key}\"}}\n"
          "  last: {type: sample, input: tally, rate: 1, parallelism: 17}");
    assert_int_equal(runtime_start(r.rt, r.err), WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(r.err),
                           "node \"tally\": parallelism 17 is above 16, the max_parallelism"));
    end(&r);
}

/* Without a key there is no state: the record is the transform's bad record. */
static void test_without_key(void **state) {
    world *w = *state;
    static const char tally[] =
        "  tally: {type: tally, input: keyer, check: false, parallelism: 2, exchange: {key: "
        "\"${key}\"}%s}\n  last: {type: sample, input: tally, rate: 1, parallelism: 2}";
    char more[300];
    running r;
    snprintf(more, sizeof more,
             "  tally: {type: tally, input: keyer, check: false, parallelism: 2, "
             "on_error: skip, exchange: {key: \"${key}\"}}\n"
             "  last: {type: sample, input: tally, rate: 1, parallelism: 2}");
    begin(&r, w, "checkpoint: {interval: none}", "count: 700", ", bare: 7", more);
    if (run_until(&r, UINT64_MAX) != WEIR_OK) fail_msg("%s", error_text(r.err));
    counters *c = runtime_counters(r.rt, pipe_node(&r.p, "tally"));
    assert_int_equal(count_get(&c->skipped), 100);
    assert_int_equal(count_get(&c->records_in), 700);
    assert_int_equal(count_get(&c->records_out), 600);
    end(&r);
    drop_world(state);
    make_world(state);
    w = *state;
    snprintf(more, sizeof more, tally, "");
    begin(&r, w, "checkpoint: {interval: none}", "count: 700", ", bare: 7", more);
    assert_int_equal(run_until(&r, UINT64_MAX), WEIR_E_DATA);
    assert_non_null(strstr(error_text(r.err), "the record has no key"));
    end(&r);
}

/* More than the budget takes: the pipeline ends with the reason, and neither hangs nor grows. */
static void test_budget(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "checkpoint: {interval: none}, memory: 32MiB", "rate: 10000", ", keys: 1000",
          "  tally: {type: tally, input: keyer, keys: 1000, fat: 1MiB, exchange: {key: "
          "\"${key}\"}}\n  last: {type: sample, input: tally, rate: 1}");
    assert_int_equal(run_until(&r, UINT64_MAX), WEIR_E_NOMEM);
    assert_non_null(strstr(error_text(r.err), "tally/tally[0]: state by key would take more than "
                                              "16 MiB"));
    assert_non_null(strstr(error_get_detail(r.err, WEIR_DETAIL_HINT).ptr, "raise settings.memory"));
    end(&r);
}

/* A transform that does not ask for keys gets whole batches, behind the same exchange too. */
static void test_plain(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "checkpoint: {interval: none}", "count: 1000", "",
          "  last: {type: plain, input: keyer, parallelism: 2, exchange: {key: \"${key}\"}}");
    if (run_until(&r, UINT64_MAX) != WEIR_OK) fail_msg("%s", error_text(r.err));
    assert_int_equal(count_get(&runtime_counters(r.rt, pipe_node(&r.p, "out"))->records_out), 1000);
    end(&r);
}

/* State by key that nobody takes over is not dropped in silence. */
static void test_state_that_nobody_takes(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "checkpoint: {interval: none}", "count: 100", "",
          "  tally: {type: tally, input: keyer, exchange: {key: \"${key}\"}}\n"
          "  last: {type: sample, input: tally, rate: 1}");
    if (run_until(&r, UINT64_MAX) != WEIR_OK) fail_msg("%s", error_text(r.err));
    end(&r);
    begin(&r, w, "checkpoint: {interval: none}", "count: 100", "",
          "  last: {type: sample, input: keyer, rate: 1}");
    assert_int_equal(runtime_start(r.rt, r.err), WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(r.err), "node \"tally\" (tally) is not in the manifest"));
    end(&r);
    /* The same name and type, by a version of the plugin that keeps no state by key any more. */
    begin(&r, w, "checkpoint: {interval: none}", "count: 100", "",
          "  last: {type: plain, input: keyer}");
    state_node *tally = (state_node *)(uintptr_t)checkpoint_node(r.from, STR("tally"));
    tally->name = STR("last");
    tally->type = STR("plain");
    for (uint32_t b = 0; b < tally->blob_count; b++) tally->blobs[b].version = 1;
    assert_true(runtime_start(r.rt, r.err) == WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(r.err), "last/plain[0]: the checkpoint holds state by key"));
    end(&r);
}

static void test_refused_plans(void **state) {
    (void)state;
    static const struct {
        const char *exchange, *text;
    } cases[] = {
        {"", "works on one key at a time, and no key is given"},
        {", exchange: round_robin", "works on one key at a time, and no key is given"},
        {", exchange: {key: \"${uuid}\"}", "is another one each time it is read"},
        {", exchange: {key: \"${key}${random}\"}", "is another one each time it is read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator}\n"
                 "transforms:\n  t: {type: tally, input: in%s}\n"
                 "sinks:\n  out: {type: blackhole, input: t}\n",
                 cases[i].exchange);
        pipe_of p = pipe_load(text);
        assert_null(p.plan);
        assert_int_equal(diags_errors(p.diags), 1);
        assert_non_null(strstr(diags_get(p.diags, 0)->text, cases[i].text));
        pipe_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts_go_on, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_without_key, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_budget, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_plain, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_state_that_nobody_takes, make_world, drop_world),
        cmocka_unit_test(test_refused_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
