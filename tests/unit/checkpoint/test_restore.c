/*
 * From a checkpoint to a pipeline that may write: what fits, and what happens in which order. What
 * the restore asks of plugins and of the disk is told as a story, and stories are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/restore.h"
#include "weir/sink.h"

static weir_error *err;
static char folder[64];
static store *st;
static disk traced;
static char story[4096];
static checkpoint *from, *out;
static const char *verdicts; /* of the commits to come, a letter each: D A L R; then D */
/* Of open, commit and recover, a letter each: . = OK, r = retryable, t = a timeout, x = neither, f
 * = fatal; then OK. */
static const char *faults;
static uint32_t patience; /* waits until the operator has enough */
static bool disk_full;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...) {
    size_t n = strlen(story);
    if (n > 0) n += (size_t)snprintf(story + n, sizeof story - n, "; ");
    va_list args;
    va_start(args, format);
    vsnprintf(story + n, sizeof story - n, format, args);
    va_end(args);
}

/* ---- a disk that tells ---- */

static const char *base(const char *path) {
    /* 00000000000000000007.weir -> 7.weir */
    const char *b = strrchr(path, '/') + 1;
    while (*b == '0') b++;
    return b;
}

static weir_status told_create(void *self, const char *path, weir_str bytes, weir_error *e) {
    (void)self;
    if (disk_full) return error_set(e, WEIR_E_IO, 0, "disk full");
    return disk_system.create(disk_system.self, path, bytes, e);
}

static weir_status told_sync(void *self, const char *path, weir_error *e) {
    (void)self;
    if (!str_ends(str_of(path), STR(".tmp"))) tell("sync %s", base(path));
    return disk_system.sync_file(disk_system.self, path, e);
}

static weir_status told_rename(void *self, const char *a, const char *b, weir_error *e) {
    (void)self;
    tell("write %s", base(b));
    return disk_system.rename(disk_system.self, a, b, e);
}

/* ---- plugins that tell ---- */

static const restore_node *manifest;

static int name_len(uint32_t n) {
    return (int)manifest[n].name.len;
}

static weir_status fault(const char *what, weir_error *e) {
    char f = *faults != '\0' ? *faults++ : '.';
    if (f == '.') return WEIR_OK;
    tell("%s fails", what);
    if (f == 't') return error_set(e, WEIR_E_TIMEOUT, 0, "no answer");
    uint32_t flags = f == 'r' ? WEIR_ERR_RETRYABLE : f == 'f' ? WEIR_ERR_FATAL : 0;
    return error_set(e, WEIR_E_IO, flags, "no route");
}

static weir_status told_open(void *self, uint32_t n, const state_node *saved, weir_error *e) {
    (void)self;
    weir_status status = fault("open", e);
    if (status != WEIR_OK) return status;
    if (saved != NULL) {
        tell("open %.*s*%u", name_len(n), manifest[n].name.ptr, saved->parallelism);
    } else {
        tell("open %.*s", name_len(n), manifest[n].name.ptr);
    }
    return WEIR_OK;
}

static weir_status told_commit(void *self, uint32_t n, const state_committable *const *items,
                               uint32_t count, uint32_t *v, weir_error *e) {
    (void)self;
    char text[128] = "";
    for (uint32_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, " %llu%.*s", (unsigned long long)items[i]->epoch,
                 STR_FMT(items[i]->bytes));
        char letter = *verdicts != '\0' ? *verdicts++ : 'D';
        v[i] = letter == 'D'   ? WEIR_VERDICT_DONE
               : letter == 'A' ? WEIR_VERDICT_ALREADY
               : letter == 'L' ? WEIR_VERDICT_LOST
                               : WEIR_VERDICT_RETRY;
    }
    tell("commit %.*s%s", name_len(n), manifest[n].name.ptr, text);
    return fault("commit", e);
}

static weir_status told_recover(void *self, uint32_t n, const state_blob *const *kept,
                                uint32_t count, weir_error *e) {
    (void)self;
    char text[256] = "";
    for (uint32_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, " %.*s", STR_FMT(kept[i]->bytes));
    }
    tell("recover %.*s%s", name_len(n), manifest[n].name.ptr, text);
    return fault("recover", e);
}

static void told_close(void *self, uint32_t n) {
    (void)self;
    tell("close %.*s", name_len(n), manifest[n].name.ptr);
}

static weir_status told_wait(void *self, int64_t ns, weir_error *e) {
    (void)self;
    if (patience-- == 0) return error_set(e, WEIR_E_CANCELLED, 0, "enough");
    tell("wait %lld", (long long)(ns / 1000000));
    return WEIR_OK;
}

static void told_lost(void *self, uint32_t n, const state_committable *item) {
    (void)self;
    tell("lost %.*s %llu%.*s", name_len(n), manifest[n].name.ptr, (unsigned long long)item->epoch,
         STR_FMT(item->bytes));
}

static const restore_ops ops = {.open = told_open,
                                .commit = told_commit,
                                .recover = told_recover,
                                .close = told_close,
                                .wait = told_wait,
                                .lost = told_lost};

/* ---- states and manifests ---- */

static const restore_node source_node = {.name = STR("in"),
                                         .type = STR("kinesis"),
                                         .plugin_id = STR("io.weir.kinesis"),
                                         .plugin_version = STR("1.0"),
                                         .kind = WEIR_KIND_SOURCE,
                                         .parallelism = 2,
                                         .state_min = 1,
                                         .state_max = 2,
                                         .split_min = 1,
                                         .split_max = 3};
static const restore_node sink_node = {.name = STR("out"),
                                       .type = STR("file"),
                                       .plugin_id = STR("io.weir.std"),
                                       .plugin_version = STR("1.0"),
                                       .kind = WEIR_KIND_SINK,
                                       .parallelism = 2,
                                       .two_phase = true,
                                       .recovers = true,
                                       .state_min = 1,
                                       .state_max = 2,
                                       .committable_min = 2,
                                       .committable_max = 3};

static restore_node nodes[4];
static restore_config config;

/* A checkpoint of a source "in", sinks "out" and "lake", and "map", which has no state. Letters are
 * committables with their epochs: "5a 6b". */
static checkpoint *make(checkpoint_kind kind, uint64_t epoch, const char *of_out,
                        const char *of_lake, const char *item) {
    checkpoint *c = checkpoint_new(kind, epoch);
    assert_non_null(c);
    static const struct {
        const char *name, *type, *id;
        uint32_t kind;
    } made[] = {{"in", "kinesis", "io.weir.kinesis", WEIR_KIND_SOURCE},
                {"map", "map", "io.weir.transform", WEIR_KIND_TRANSFORM},
                {"out", "file", "io.weir.std", WEIR_KIND_SINK},
                {"lake", "file", "io.weir.std", WEIR_KIND_SINK}};
    c->pipeline = STR("before");
    c->instance_id = STR("00000000000000aa");
    c->weir_version = STR("0.1");
    c->max_parallelism = 8;
    c->node_count = 4;
    c->nodes = arena_array(c->memory, 4, sizeof *c->nodes);
    state_part *parts[4];
    for (uint32_t i = 0; i < 4; i++) {
        c->nodes[i] = (state_node){.name = str_of(made[i].name),
                                   .type = str_of(made[i].type),
                                   .plugin_id = str_of(made[i].id),
                                   .plugin_version = STR("0.9"),
                                   .kind = made[i].kind,
                                   .parallelism = 3,
                                   .split_version = 2};
        parts[i] = part_new(i);
        assert_non_null(parts[i]);
    }
    state_split split = {.id = STR("0"), .position = STR("77"), .state = STATE_ASSIGNED};
    assert_int_equal(part_add_split(parts[0], &split), WEIR_OK);
    for (int k = 0; k < 2; k++) {
        for (const char *l = k == 0 ? of_out : of_lake; *l != '\0'; l += l[2] == ' ' ? 3 : 2) {
            state_committable item_of = {
                .epoch = (uint64_t)(l[0] - '0'), .version = 2, .records = 1, .bytes = {l + 1, 1}};
            assert_int_equal(part_add_committable(parts[2 + k], &item_of), WEIR_OK);
        }
    }
    if (*item != '\0') {
        state_blob b = {.scope = WEIR_SCOPE_ITEM, .version = 1, .bytes = str_of(item)};
        assert_int_equal(part_add_blob(parts[2], &b), WEIR_OK);
        state_blob all = {.scope = WEIR_SCOPE_BROADCAST, .version = 2, .bytes = STR("everybody")};
        assert_int_equal(part_add_blob(parts[2], &all), WEIR_OK);
    }
    assert_int_equal(checkpoint_merge(c, parts, 4), WEIR_OK);
    for (uint32_t i = 0; i < 4; i++) part_free(parts[i]);
    return c;
}

/* It is in the store and was read from there. */
static void stored(checkpoint *c) {
    store_written written;
    assert_int_equal(store_write(st, c, &written, err), WEIR_OK);
    checkpoint_free(c);
    checkpoint_free(from);
    from = NULL;
    assert_int_equal(store_newest(st, true, &from, err), WEIR_OK);
    assert_non_null(from);
    config.from = from;
    story[0] = '\0';
}

static int setup(void **state) {
    (void)state;
    err = error_new();
    snprintf(folder, sizeof folder, "/tmp/weir-restore-XXXXXX");
    if (err == NULL || mkdtemp(folder) == NULL) return 1;
    traced = disk_system;
    traced.create = told_create;
    traced.sync_file = told_sync;
    traced.rename = told_rename;
    store_config stored_in = {.disk = &traced, .folder = folder, .pipeline = STR("p"), .retain = 5};
    st = store_open(&stored_in, false, err);
    if (st == NULL) return 1;
    nodes[0] = source_node;
    nodes[1] = sink_node;
    nodes[2] = sink_node;
    nodes[2].name = STR("lake");
    nodes[2].recovers = false;
    manifest = nodes;
    config = (restore_config){.store = st,
                              .nodes = nodes,
                              .node_count = 3,
                              .pipeline = STR("p"),
                              .instance_id = STR("00000000000000bb"),
                              .weir_version = STR("0.2"),
                              .max_parallelism = 8,
                              .now_us = 4711,
                              .ops = &ops};
    from = out = NULL;
    verdicts = faults = "";
    patience = 100;
    disk_full = false;
    story[0] = '\0';
    return 0;
}

static int teardown(void **state) {
    (void)state;
    checkpoint_free(from);
    checkpoint_free(out);
    store_close(st);
    error_free(err);
    /* Three levels at most, and only files of ours. */
    static const char *const kinds[] = {"checkpoints", "savepoints"};
    for (int k = 0; k < 2; k++) {
        for (int e = 0; e < 40; e++) {
            char path[256];
            snprintf(path, sizeof path, "%s/%s/%020d.weir", folder, kinds[k], e);
            (void)unlink(path);
            snprintf(path, sizeof path, "%s/%s/s%d.weir", folder, kinds[k], e);
            (void)unlink(path);
        }
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, kinds[k]);
        (void)rmdir(path);
    }
    char path[256];
    snprintf(path, sizeof path, "%s/lock", folder);
    (void)unlink(path);
    return rmdir(folder) != 0;
}

static void restores(const char *expected) {
    checkpoint_free(out);
    out = NULL;
    story[0] = '\0';
    error_clear(err);
    weir_status status = restore_run(&config, &out, err);
    if (status != WEIR_OK) print_message("%s\n", error_text(err));
    assert_int_equal(status, WEIR_OK);
    assert_non_null(out);
    assert_string_equal(story, expected);
}

/* Refused, with all of these in the text, and nothing was touched. */
static void refuses(const char *const *texts, uint32_t count) {
    story[0] = '\0';
    error_clear(err);
    assert_int_equal(restore_run(&config, &out, err), WEIR_E_INCOMPATIBLE);
    assert_null(out);
    assert_true((error_flags(err) & WEIR_ERR_CONFIG) != 0);
    for (uint32_t i = 0; i < count; i++) {
        if (strstr(error_text(err), texts[i]) == NULL)
            fail_msg("\"%s\" is not in: %s", texts[i], error_text(err));
    }
    uint32_t reasons = 1;
    for (const char *s = error_text(err); (s = strstr(s, "; node \"")) != NULL; s++) reasons++;
    assert_int_equal(reasons, count);
    assert_string_equal(story, "");
}

static void refuses_with(const char *text) {
    refuses(&text, 1);
}

/* ---- the order of things ---- */

static void commits_writes_recovers(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "6b 5a 7c 6d", "7e", "upload"));
    store_saw_epoch(st, 20);
    config.max_parallelism = 128; /* of no account: the state has one */
    restores(
        "sync 7.weir; open out*3; open lake*3; commit out 5a; commit out 6b 6d; "
        "commit out 7c; commit lake 7e; write 21.weir; recover out upload everybody b a c d upload everybody b a c d; "
        "close out; close lake");
    assert_int_equal(out->epoch, 21);
    assert_int_equal(out->parent, 7);
    assert_int_equal(out->kind, CHECKPOINT_RESTORE);
    assert_int_equal(checkpoint_committables(out), 0);
    assert_true(str_eq_z(out->pipeline, "p"));
    assert_true(str_eq_z(out->instance_id, "00000000000000bb"));
    assert_true(str_eq_z(out->weir_version, "0.2"));
    assert_int_equal(out->created_us, 4711);
    assert_int_equal(out->max_parallelism, 8);
    /* What is durable is the same. */
    checkpoint *newest = NULL;
    assert_int_equal(store_newest(st, true, &newest, err), WEIR_OK);
    assert_int_equal(newest->epoch, 21);
    assert_int_equal(newest->node_count, 3); /* the manifest's, in its order */
    assert_int_equal(checkpoint_committables(newest), 0);
    const state_node *in = checkpoint_node(newest, STR("in"));
    assert_int_equal(in->split_count, 1);
    assert_true(str_eq_z(in->splits[0].position, "77"));
    assert_true(str_eq_z(in->plugin_version, "0.9")); /* that wrote the state */
    assert_int_equal(in->parallelism, 3);             /* the larger one of then and now */
    const state_node *sink = checkpoint_node(newest, STR("out"));
    assert_int_equal(sink->blob_count, 2);
    checkpoint_free(newest);
    /* And from there again: nothing to commit, orphans of the run between. */
    checkpoint_free(from);
    from = out;
    out = NULL;
    assert_int_equal(store_newest(st, true, &newest, err), WEIR_OK);
    config.from = newest;
    restores(
        "sync 21.weir; open out*3; write 22.weir; recover out upload everybody upload everybody upload everybody b a c d; close out");
    assert_int_equal(out->parent, 21);
    checkpoint_free(newest);
}

static void what_is_retained_is_kept(void **state) {
    (void)state;
    store_written written;
    checkpoint *c = make(CHECKPOINT_PERIODIC, 3, "", "", "three");
    assert_int_equal(store_write(st, c, &written, err), WEIR_OK);
    checkpoint_free(c);
    c = make(CHECKPOINT_SAVEPOINT, 4, "", "", "four");
    c->name = STR("s1");
    assert_int_equal(store_write_savepoint(st, c, &written, err), WEIR_OK);
    checkpoint_free(c);
    stored(make(CHECKPOINT_PERIODIC, 7, "", "", "seven"));
    restores(
        "sync 7.weir; open out*3; write 8.weir; recover out seven everybody seven everybody three everybody four everybody; "
        "close out");
}

static void a_fork_aborts_nothing(void **state) {
    (void)state;
    stored(make(CHECKPOINT_SAVEPOINT, 7, "", "", "upload"));
    config.fork = true;
    restores("sync 7.weir; write 8.weir");
}

static void a_sink_that_is_new_recovers_too(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "", "", ""));
    nodes[3] = sink_node;
    nodes[3].name = STR("other");
    config.node_count = 4;
    restores("sync 7.weir; open out*3; open other; write 8.weir; recover out; recover other; "
             "close out; close other");
    const state_node *other = checkpoint_node(out, STR("other"));
    assert_true(str_eq_z(other->plugin_version, "1.0"));
    assert_int_equal(other->parallelism, 2);
}

static void a_fresh_start_makes_its_id_durable(void **state) {
    (void)state;
    config.max_parallelism = 128;
    restores("write 1.weir");
    assert_int_equal(out->epoch, 1);
    assert_int_equal(out->parent, 0);
    assert_int_equal(out->kind, CHECKPOINT_RESTORE);
    assert_int_equal(out->node_count, 3);
    assert_int_equal(out->max_parallelism, 128);
    assert_true(str_eq_z(checkpoint_node(out, STR("lake"))->type, "file"));
    /* Without anybody who writes in two phases there is nothing to be found again. */
    nodes[1].two_phase = nodes[2].two_phase = false;
    restores("");
    assert_int_equal(out->epoch, 0);
    config.store = NULL;
    nodes[1].two_phase = true;
    restores("");
}

/* ---- failures ---- */

static void commits_until_it_is_decided(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "6a 6b 6c 7d", "", ""));
    nodes[1].recovers = false;
    verdicts = "RLARD"; /* the rest is done */
    restores("sync 7.weir; open out*3; commit out 6a 6b 6c; lost out 6b; wait 100; "
             "commit out 6a; wait 200; commit out 6a; commit out 7d; write 8.weir; close out");
    verdicts = "LL";
    faults = ".r"; /* an error decides nothing, whatever stands in the verdicts */
    restores("sync 7.weir; open out*3; commit out 6a 6b 6c; commit fails; wait 100; "
             "commit out 6a 6b 6c; commit out 7d; write 9.weir; close out");
}

static void waits_longer_and_longer(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "", "", ""));
    faults = "rrtrrrrrr.t";
    restores("sync 7.weir; open fails; wait 100; open fails; wait 200; open fails; wait 400; "
             "open fails; wait 800; open fails; wait 1600; open fails; wait 3200; "
             "open fails; wait 6400; open fails; wait 10000; open fails; wait 10000; open out*3; "
             "write 8.weir; recover out; recover fails; wait 100; recover out; close out");
}

/* Whatever fails: no writer may open, and what was opened is closed. */
static void stops_at_what_does_not_pass(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "7a", "7b", ""));
    static const struct {
        const char *faults, *verdicts;
        uint32_t patience;
        bool full;
        weir_status status;
        const char *story, *text;
    } cases[] = {
        {"x", "", 9, false, WEIR_E_IO, "sync 7.weir; open fails",
         "restore of node \"out\": open: no route"},
        {"f", "", 9, false, WEIR_E_IO, "sync 7.weir; open fails",
         "restore of node \"out\": open: no route"},
        {".r", "", 0, false, WEIR_E_CANCELLED, "sync 7.weir; open out*3; open fails; close out",
         "restore of node \"lake\": open: enough"},
        {"..x", "", 9, false, WEIR_E_IO,
         "sync 7.weir; open out*3; open lake*3; commit out 7a; commit fails; close out; close lake",
         "restore of node \"out\": commit: no route"},
        {"", "RR", 1, false, WEIR_E_CANCELLED,
         "sync 7.weir; open out*3; open lake*3; commit out 7a; wait 100; commit out 7a; close out; "
         "close lake",
         "restore of node \"out\": commit: enough"},
        {"", "", 9, true, WEIR_E_IO,
         "sync 7.weir; open out*3; open lake*3; commit out 7a; commit lake 7b; close out; "
         "close lake",
         "checkpoint of the restore: "},
        {"....x", "", 9, false, WEIR_E_IO,
         "sync 7.weir; open out*3; open lake*3; commit out 7a; commit lake 7b; write 9.weir; "
         "recover out a a; recover fails; close out; close lake",
         "restore of node \"out\": recover: no route"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        faults = cases[i].faults;
        verdicts = cases[i].verdicts;
        patience = cases[i].patience;
        disk_full = cases[i].full;
        story[0] = '\0';
        assert_int_equal(restore_run(&config, &out, err), cases[i].status);
        assert_null(out);
        assert_string_equal(story, cases[i].story);
        assert_memory_equal(error_text(err), cases[i].text, strlen(cases[i].text));
    }
}

/* ---- what fits ---- */

static void a_node_that_left(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "", "", "upload"));
    nodes[1] = nodes[2]; /* "out" left */
    config.node_count = 2;
    refuses_with("node \"out\" (file) is not in the manifest: put it back, or drop its state with "
                 "--allow-non-restored-state");
    config.allow_non_restored = true;
    restores("sync 7.weir; write 8.weir");
    assert_int_equal(out->node_count, 2);
    assert_null(checkpoint_node(out, STR("out")));
}

static void output_of_a_node_that_left(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "7a", "", ""));
    nodes[1] = nodes[2];
    config.node_count = 2;
    config.allow_non_restored = true;
    refuses_with("output that it prepared (1 pieces) is not committed yet: put the node back and "
                 "run once");
}

static void everything_is_told_at_once(void **state) {
    (void)state;
    checkpoint *c = make(CHECKPOINT_PERIODIC, 7, "7a", "7b", "upload");
    c->nodes[2].blobs[0].version = 9;
    c->nodes[2].committables[0].version = 1;
    c->nodes[0].split_version = 4;
    stored(c);
    nodes[2].name = STR("sea");
    nodes[0].parallelism = 9;
    static const char *const texts[] = {
        "checkpoint 7 does not fit the manifest: ",
        "node \"lake\" (file) is not in the manifest",
        "node \"in\": version 4 of its splits is none that io.weir.kinesis 1.0 reads (1 to 3): use "
        "a newer version of the plugin",
        "node \"out\": version 9 of its state",
        "node \"out\": version 1 of its committables is none that io.weir.std 1.0 reads (2 to 3): "
        "use an older",
        "node \"in\": parallelism 9 is above 8",
    };
    /* The first text is the head of the message and no reason of its own. */
    story[0] = '\0';
    assert_int_equal(restore_run(&config, &out, err), WEIR_E_INCOMPATIBLE);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strstr(error_text(err), texts[i]) == NULL) {
            fail_msg("\"%s\" is not in: %s", texts[i], error_text(err));
        }
    }
    assert_string_equal(story, "");
}

static void another_plugin(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "7a", "", ""));
    nodes[1].type = STR("s3");
    refuses_with("node \"out\" was file of plugin io.weir.std and is s3 of plugin io.weir.std now: "
                 "give the new node a name of its own");
    nodes[1] = sink_node;
    nodes[1].plugin_id = STR("com.example.std");
    refuses_with("is file of plugin com.example.std now");
    nodes[1] = sink_node;
    nodes[1].kind = WEIR_KIND_TRANSFORM;
    refuses_with("give the new node a name of its own");
    nodes[1] = sink_node;
    nodes[1].two_phase = false;
    refuses_with("has prepared output (1 pieces) to be committed, and does not commit any more");
    /* Without state it is only a name. */
    nodes[1] = sink_node;
    nodes[2].type = STR("s3");
    restores("sync 7.weir; open out*3; commit out 7a; write 8.weir; recover out a a; close out");
    assert_true(str_eq_z(checkpoint_node(out, STR("lake"))->type, "s3"));
}

static void versions_at_both_ends(void **state) {
    (void)state;
    static const struct {
        uint32_t blob, committable, split;
        const char *text; /* NULL = it fits */
    } cases[] = {
        {1, 2, 1, NULL},
        {2, 3, 3, NULL},
        {0, 2, 1, "version 0 of its state is none"},
        {3, 2, 1, "version 3 of its state is none"},
        {1, 1, 1, "version 1 of its committables is none"},
        {1, 4, 1, "version 4 of its committables is none"},
        {1, 2, 4, "version 4 of its splits is none"},
        {1, 2, 0, "version 0 of its splits is none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint *c = make(CHECKPOINT_PERIODIC, 10 + i * 2, "7a", "", "upload");
        c->nodes[2].blobs[0].version = cases[i].blob;
        c->nodes[2].committables[0].version = cases[i].committable;
        c->nodes[0].split_version = cases[i].split;
        stored(c);
        if (cases[i].text != NULL) {
            refuses_with(cases[i].text);
        } else {
            assert_int_equal(restore_run(&config, &out, err), WEIR_OK);
            checkpoint_free(out);
            out = NULL;
        }
    }
}

static void parallelism_within_the_state(void **state) {
    (void)state;
    stored(make(CHECKPOINT_PERIODIC, 7, "", "", ""));
    nodes[1].parallelism = 9;
    config.max_parallelism = 9;
    refuses_with("node \"out\": parallelism 9 is above 8, the max_parallelism of the state");
    nodes[1].parallelism = 8;
    restores("sync 7.weir; open out*3; write 8.weir; recover out; close out");
    assert_int_equal(checkpoint_node(out, STR("out"))->parallelism, 8);
    assert_int_equal(out->max_parallelism, 8);
}

/* ---- memory ---- */

static void without_memory(void **state) {
    (void)state;
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
        stored(make(CHECKPOINT_PERIODIC, 7, "7a", "6b 7c", "upload"));
        story[0] = '\0';
        error_clear(err);
        mem_test_fail_at(n, false);
        weir_status status = restore_run(&config, &out, err);
        failed = mem_test_fail_at(0, false);
        assert_int_equal(status == WEIR_OK, out != NULL);
        if (!failed) assert_int_equal(status, WEIR_OK);
        checkpoint_free(out);
        out = NULL;
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(commits_writes_recovers),
        TEST(what_is_retained_is_kept),
        TEST(a_fork_aborts_nothing),
        TEST(a_sink_that_is_new_recovers_too),
        TEST(a_fresh_start_makes_its_id_durable),
        TEST(commits_until_it_is_decided),
        TEST(waits_longer_and_longer),
        TEST(stops_at_what_does_not_pass),
        TEST(a_node_that_left),
        TEST(output_of_a_node_that_left),
        TEST(everything_is_told_at_once),
        TEST(another_plugin),
        TEST(versions_at_both_ends),
        TEST(parallelism_within_the_state),
        TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
