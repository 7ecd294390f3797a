/*
 * Checkpoints of whole pipelines in this process: a source and a two-phase sink that write down
 * every call (witness.c), a real store in a folder of the test. What the calls are and in which
 * order is what is asserted; how many periodic checkpoints there were never is.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/os.h"
#include "base/str.h"
#include "pipes.h"
#include "runtime/runtime.h"

typedef struct world {
    char folder[64], journal[96];
} world;

typedef struct running {
    pipe_of p;
    store *store;
    checkpoint *from;
    runtime *rt;
    weir_error *err;
    _Atomic uint64_t answered; /* epoch of the savepoint that came out */
    _Atomic bool durable;
} running;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/weir-checkpoints-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->journal, sizeof w->journal, "%s/journal", w->folder);
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

static store *open_store(const world *w, weir_error *err) {
    char folder[96];
    snprintf(folder, sizeof folder, "%s/t", w->folder);
    const store_config config = {
        .disk = &disk_system, .folder = folder, .pipeline = STR("t"), .retain = 3};
    store *s = store_open(&config, false, err);
    if (s == NULL) fail_msg("store: %s", error_text(err));
    return s;
}

static _Atomic uint64_t lost_before; /* by earlier attempts of the run that begins */

static void on_answer(void *opaque, uint64_t ticket, uint64_t epoch, const weir_error *err) {
    running *r = opaque;
    (void)ticket;
    if (err != NULL) fail_msg("savepoint: %s", error_text(err));
    atomic_store(&r->answered, epoch);
    wake_signal(runtime_wake(r->rt));
}

/* A pipeline of the witness's two components; `settings` within the braces of checkpoint. From the
 * newest checkpoint, from none, or from a savepoint. */
static void begin(running *r, const world *w, const char *settings, const char *source,
                  const char *sink, const char *from) {
    char text[1024];
    snprintf(text, sizeof text,
             "settings: {checkpoint: {%s}}\n"
             "sources:\n  in: {type: counted, journal: %s, %s}\n"
             "sinks:\n  out: {type: pledged, input: in, journal: %s, %s}\n",
             settings, w->journal, source, w->journal, sink);
    *r = (running){.p = pipe_load(text), .err = error_new()};
    if (r->p.plan == NULL) diags_print(r->p.diags, stderr);
    assert_non_null(r->p.plan);
    r->store = open_store(w, r->err);
    weir_status status = WEIR_OK;
    if (from == NULL) {
        status = store_newest(r->store, true, &r->from, r->err);
    } else if (strcmp(from, "none") != 0) {
        status = store_load(r->store, str_of(from), &r->from, r->err);
    }
    if (status != WEIR_OK) fail_msg("from: %s", error_text(r->err));
    runtime_config config = {.plan = r->p.plan,
                             .plugins = r->p.plugins,
                             .store = r->store,
                             .from = r->from,
                             .answer = on_answer,
                             .answer_opaque = r,
                             .durable = &r->durable,
                             .lost = &lost_before};
    r->rt = runtime_new(&config, r->err);
    if (r->rt == NULL) fail_msg("runtime_new: %s", error_text(r->err));
}

static void start(running *r) {
    if (runtime_start(r->rt, r->err) != WEIR_OK) fail_msg("start: %s", error_text(r->err));
}

static weir_status join(running *r) {
    while (!runtime_wait(r->rt, INT64_MAX)) {}
    return runtime_finish(r->rt, r->err);
}

static void end(running *r) {
    runtime_free(r->rt);
    store_close(r->store);
    checkpoint_free(r->from);
    error_free(r->err);
    pipe_free(&r->p);
}

/* What was written down so far. */
static char *peek(const world *w) {
    buf text;
    buf_init(&text, 1 << 24);
    weir_error *err = error_new();
    os_read_file(w->journal, 1 << 24, &text, err);
    error_free(err);
    buf_append_char(&text, '\0');
    assert_true(buf_ok(&text));
    return text.data;
}

/* The same, forgotten behind it; nobody writes any more. */
static char *journal(const world *w) {
    char *text = peek(w);
    unlink(w->journal);
    return text;
}

/* The words stand in the journal in this order, other lines between. */
static void expect_order(const char *text, const char *const *words) {
    const char *at = text;
    for (size_t i = 0; words[i] != NULL; i++) {
        const char *found = strstr(at, words[i]);
        if (found == NULL)
            fail_msg("no \"%s\" behind the first %zu words in:\n%s", words[i], i, text);
        at = found + strlen(words[i]);
    }
}
#define ORDER(...) ((const char *const[]){__VA_ARGS__, NULL})

static uint32_t times(const char *text, const char *word) {
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) n++;
    return n;
}

static uint64_t out(const running *r) {
    return count_get(&runtime_counters(r->rt, pipe_node(&r->p, "out"))->records_out);
}

/* What the run begins with holds these bytes of a node. */
static bool has_blob(const running *r, const char *name, const char *bytes) {
    const state_node *n = checkpoint_node(r->from, str_of(name));
    assert_non_null(n);
    for (uint32_t b = 0; b < n->blob_count; b++) {
        if (str_eq(n->blobs[b].bytes, str_of(bytes))) return true;
    }
    return false;
}

/* ---- the tests ---- */

static void test_bounded_end(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: none", "count: 7", "commit: done", NULL);
    assert_false(atomic_load(&r.durable));
    start(&r);
    assert_true(atomic_load(&r.durable)); /* the run's id is, with no epoch yet */
    assert_int_equal(join(&r), WEIR_OK);
    assert_int_equal(out(&r), 7);
    end(&r);
    char *text = journal(w);
    expect_order(text, ORDER("open task restored=0 run=16", "flush last=1", "prepare 7",
                             "commit 7 records version=5", "done", "sink close drain",
                             "source close drain"));
    assert_null(strstr(text, "committer")); /* a run that is new has nothing to decide */
    assert_int_equal(times(text, "commit "), 1);
    free(text);

    /* The end is sealed: nothing is prepared any more, and another run does nothing. */
    begin(&r, w, "interval: none", "count: 7", "commit: done", NULL);
    assert_non_null(r.from);
    assert_int_equal(r.from->kind, CHECKPOINT_FINAL);
    assert_int_equal(checkpoint_committables(r.from), 0);
    assert_true(has_blob(&r, "in", "control"));
    assert_true(has_blob(&r, "in", "kept"));
    start(&r);
    assert_int_equal(join(&r), WEIR_OK);
    assert_int_equal(out(&r), 0);
    end(&r);
    text = journal(w);
    expect_order(text, ORDER("open committer", "recover kept=", "sink close", "open task",
                             "sink blob scope=2 version=3 total 7"));
    assert_int_equal(times(text, "commit "), 0);
    free(text);
}

/* Restored splits are not stored without what their source keeps of them, which is in its control
 * instance only once that is open. */
static void test_a_control_instance_that_opens_late(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: none", "count: 7", "commit: done", NULL);
    start(&r);
    assert_int_equal(join(&r), WEIR_OK);
    end(&r);

    char go[96], source[160];
    snprintf(go, sizeof go, "%s/go", w->folder);
    snprintf(source, sizeof source, "count: 7, opens_with: %s", go);
    begin(&r, w, "interval: none", source, "commit: done", NULL);
    start(&r);
    runtime_savepoint(r.rt, STR("early"), 1);
    epoch_record history[COORDINATOR_HISTORY];
    while (runtime_checkpoints(r.rt, history) == 0) {
        runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    }
    FILE *f = fopen(go, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(join(&r), WEIR_OK);
    checkpoint_free(r.from);
    r.from = NULL;
    if (store_load(r.store, STR("early"), &r.from, r.err) != WEIR_OK) {
        fail_msg("%s", error_text(r.err));
    }
    assert_true(has_blob(&r, "in", "control"));
    end(&r);
    free(journal(w));
}

static void test_verdicts(void **state) {
    world *w = *state;
    static const struct {
        const char *option;
        uint32_t commits;
        uint64_t lost;
    } cases[] = {
        {"commit: retry_twice", 3, 0}, {"commit: fail_twice", 3, 0}, {"commit: lost", 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        running r;
        atomic_store(&lost_before, i);
        begin(&r, w, "interval: none", "count: 3", cases[i].option, "none");
        start(&r);
        assert_int_equal(join(&r), WEIR_OK);
        assert_int_equal(runtime_lost(r.rt), cases[i].lost + i);
        end(&r);
        char *text = journal(w);
        assert_int_equal(times(text, "commit "), cases[i].commits);
        expect_order(text, ORDER("commit ", "done", "sink close drain"));
        free(text);
    }
    atomic_store(&lost_before, 0);
}

static void test_flush_failures(void **state) {
    world *w = *state;
    running r;
    /* A failure that passes fails the epoch only; at the end of the input it counts. */
    begin(&r, w, "interval: none, tolerable_failures: 1", "count: 5", "flush: fail_once", NULL);
    start(&r);
    assert_int_equal(join(&r), WEIR_OK);
    assert_int_equal(out(&r), 5);
    end(&r);
    char *text = journal(w);
    expect_order(text, ORDER("flush last=1", "flush last=1", "prepare 5", "commit 5 records"));
    free(text);
    /* With none tolerated the run ends, and nothing was prepared. */
    begin(&r, w, "interval: none", "count: 9", "flush: fail_once", NULL);
    start(&r);
    assert_int_not_equal(join(&r), WEIR_OK);
    assert_non_null(strstr(error_text(r.err), "the disk is full"));
    end(&r);
    text = journal(w);
    assert_int_equal(times(text, "prepare"), 0);
    expect_order(text, ORDER("sink close abandon", "source close abandon"));
    free(text);
    /* What no time mends ends it whatever is tolerated. */
    begin(&r, w, "interval: none, tolerable_failures: 100", "count: 9", "flush: fatal", NULL);
    start(&r);
    assert_int_not_equal(join(&r), WEIR_OK);
    assert_non_null(strstr(error_text(r.err), "the disk is gone"));
    end(&r);
    free(journal(w));
}

/* The sink handed over what it had prepared, and its state failed behind that: the epoch is lost,
 * the output is not. */
static void test_a_snapshot_that_fails(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: none, tolerable_failures: 1", "count: 5", "snapshot: fail_once", NULL);
    start(&r);
    assert_int_equal(join(&r), WEIR_OK);
    assert_int_equal(out(&r), 5);
    end(&r);
    char *text = journal(w);
    expect_order(text, ORDER("prepare 5", "prepare 0", "commit 5 records", "sink close drain"));
    free(text);
}

/* A run that ends between durable and committed: the next one commits before anything else. */
static void test_commit_again(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: 10ms, min_pause: 0", "count: 0", "commit: never", NULL);
    start(&r);
    for (bool committing = false; !committing;) {
        runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
        char *calls = peek(w);
        committing = strstr(calls, "commit ") != NULL;
        free(calls);
    }
    runtime_abandon(r.rt, WEIR_E_CANCELLED, "killed by the test");
    assert_int_not_equal(join(&r), WEIR_OK);
    end(&r);
    char *text = journal(w);
    assert_null(strstr(strstr(text, "commit "), "done")); /* no source hears of it */
    free(text);

    begin(&r, w, "interval: none", "count: 0", "commit: never", NULL);
    assert_true(checkpoint_committables(r.from) > 0);
    start(&r);
    while (out(&r) < 5) runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    assert_true(runtime_restored_epoch(r.rt) > r.from->epoch);
    runtime_abandon(r.rt, WEIR_E_CANCELLED, "killed by the test");
    join(&r);
    end(&r);
    text = journal(w);
    expect_order(text, ORDER("open committer restored=", "commit ", "recover kept=", "sink close",
                             "open task restored=1", "done", "assign "));
    assert_null(strstr(text, "assign 0\n")); /* behind what was prepared */
    assert_non_null(strstr(text, "source blob scope=3 version=1 kept"));
    free(text);
}

static void test_savepoint(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: none", "count: 0", "commit: done", NULL);
    start(&r);
    while (out(&r) < 3) runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    runtime_savepoint(r.rt, STR("here"), 1);
    while (atomic_load(&r.answered) == 0) {
        runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    }
    uint64_t before = out(&r);
    while (out(&r) == before) runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    runtime_stop_with_savepoint(r.rt, STR("there"), 2);
    runtime_drain(r.rt);
    assert_int_equal(join(&r), WEIR_OK);
    uint64_t all = out(&r);
    end(&r);
    free(journal(w));

    begin(&r, w, "interval: none", "count: 0", "commit: done", "there");
    assert_int_equal(checkpoint_committables(r.from), 0);
    end(&r);
    begin(&r, w, "interval: none", "count: 0", "commit: done", "here");
    assert_int_equal(checkpoint_committables(r.from), 0);
    assert_int_equal(r.from->kind, CHECKPOINT_SAVEPOINT);
    start(&r);
    while (out(&r) < all) runtime_wait(r.rt, clock_mono_ns(&clock_system) + CLOCK_NS_PER_MS);
    runtime_drain(r.rt);
    assert_int_equal(join(&r), WEIR_OK);
    end(&r);
    char *text = journal(w);
    expect_order(text, ORDER("open task restored=1", "assign "));
    assert_null(strstr(text, "assign 0\n"));
    free(text);
}

/* The older line's output stays; the state of a node that left is refused before anything happens.
 */
static void test_state_that_matches_nothing(void **state) {
    world *w = *state;
    running r;
    begin(&r, w, "interval: none", "count: 4", "commit: done", NULL);
    start(&r);
    assert_int_equal(join(&r), WEIR_OK);
    end(&r);
    free(journal(w));
    for (int allowed = 0; allowed < 2; allowed++) {
        char text[512];
        snprintf(text, sizeof text,
                 "sources:\n  other: {type: counted, journal: %s, count: 2}\n"
                 "sinks:\n  out: {type: pledged, input: other, journal: %s}\n",
                 w->journal, w->journal);
        r = (running){.p = pipe_load(text), .err = error_new()};
        r.store = open_store(w, r.err);
        assert_int_equal(store_newest(r.store, true, &r.from, r.err), WEIR_OK);
        runtime_config config = {.plan = r.p.plan,
                                 .plugins = r.p.plugins,
                                 .store = r.store,
                                 .from = r.from,
                                 .allow_non_restored = allowed == 1};
        r.rt = runtime_new(&config, r.err);
        weir_status status = runtime_start(r.rt, r.err);
        if (allowed == 0) {
            assert_int_equal(status, WEIR_E_INCOMPATIBLE);
            assert_non_null(strstr(error_text(r.err), "\"in\""));
            assert_true((error_flags(r.err) & WEIR_ERR_CONFIG) != 0);
        } else {
            assert_int_equal(status, WEIR_OK);
            assert_int_equal(join(&r), WEIR_OK);
            assert_int_equal(out(&r), 2);
        }
        end(&r);
        char *calls = journal(w);
        if (allowed == 0) assert_string_equal(calls, ""); /* nobody was opened */
        free(calls);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounded_end, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_a_control_instance_that_opens_late, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(test_verdicts, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_flush_failures, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_a_snapshot_that_fails, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_commit_again, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_savepoint, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_state_that_matches_nothing, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
