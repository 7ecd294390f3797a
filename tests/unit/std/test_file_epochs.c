/*
 * The file sink between checkpoints and crashes. A crash is a close that abandons: what is on the
 * disk stays as it is, what was in memory is gone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "std/file_sink.h"
#include "support/fake_host.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})
#define SECOND INT64_C(1000000000)

static const weir_sink_ops *ops;
static const weir_sink_two_phase *two_phase;
static const weir_sink_recover *recovery;
static const weir_sink_state *state_ops;
static char folder[64];
static fake_instance host;
static weir_writer prepared; /* of the last prepare */
static weir_writer saved;    /* of the last snapshot */

/* How the next sink is opened. */
static struct {
    const char *run, *node;
    uint32_t instance, parallelism;
    uint64_t epoch;
    const weir_writer *state;
    uint32_t role;
} how;

static void empty_folder(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *e;
    if (dir == NULL) return;
    while ((e = readdir(dir)) != NULL) {
        char full[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        if (unlink(full) != 0) {
            empty_folder(full);
            rmdir(full);
        }
    }
    closedir(dir);
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    fake_instance_init(&host);
    host.base_dir = folder;
    memset(&how, 0, sizeof how);
    how.run = "r1";
    how.node = "out";
    how.parallelism = 1;
    how.role = WEIR_ROLE_TASK;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_writer_free(&prepared);
    fake_writer_free(&saved);
    fake_instance_free(&host);
    empty_folder(folder);
    return rmdir(folder);
}

static const char *names(const char *below) {
    static char out[4096];
    char path[256];
    struct dirent **list;
    int n;
    snprintf(path, sizeof path, "%s/%s", folder, below);
    n = scandir(path, &list, NULL, alphasort);
    out[0] = '\0';
    for (int i = 0; i < n; i++) {
        size_t used = strlen(out);
        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
            snprintf(out + used, sizeof out - used, "%s%s", used > 0 ? " " : "", list[i]->d_name);
        }
        free(list[i]);
    }
    if (n >= 0) free(list);
    return out;
}

static const char *at(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *content(const char *name) {
    static char out[65536];
    FILE *f = fopen(at(name), "r");
    size_t n;
    if (f == NULL) return "(no file)";
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    fclose(f);
    return out;
}

static void append(const char *name, const char *text, const char *mode) {
    FILE *f = fopen(at(name), mode);
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void move(const char *from, const char *to) {
    char source[512];
    snprintf(source, sizeof source, "%s", at(from));
    assert_int_equal(rename(source, at(to)), 0);
}

static weir_status try_open(void **self) {
    weir_create create = {.struct_size = sizeof create, .ctx = &host.head.abi};
    weir_limits limits;
    weir_open open;
    fake_open_fill(&open, &limits);
    open.role = how.role;
    open.run_id = weir_str_of(how.run);
    open.node = weir_str_of(how.node);
    open.instance = how.instance;
    open.parallelism = how.parallelism;
    open.restored_epoch = how.epoch;
    if (how.state != NULL) {
        open.blobs = how.state->ptr;
        open.blob_count = how.state->count;
    }
    assert_int_equal(ops->create(&create), WEIR_OK);
    *self = create.self;
    two_phase = ops->get_extension(create.self, WEIR_SINK_TWO_PHASE);
    recovery = ops->get_extension(create.self, WEIR_SINK_RECOVER);
    state_ops = ops->get_extension(create.self, WEIR_SINK_STATE);
    return ops->open(create.self, &open);
}

static void *open_sink(const char *path) {
    void *self;
    fake_set_text(&host, "path", path);
    assert_int_equal(try_open(&self), WEIR_OK);
    return self;
}

static weir_status try_write(void *self, const char *path, const char *value) {
    static uint64_t token;
    weir_status status;
    fake_request r;
    weir_write w = {.struct_size = sizeof w, .deadline_ns = INT64_MAX, .epoch = 1};
    weir_str v = weir_str_of(value);
    uint32_t len = path != NULL ? (uint32_t)strlen(path) : 0;
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_CONSTANT};
    column.ptr = &path;
    column.len = &len;
    host.column = path != NULL ? &column : NULL;
    fake_request_make(&r, &v, 1, true);
    w.request = &r.request;
    w.token = ++token;
    status = ops->write(self, &w);
    host.column = NULL;
    fake_request_free(&r);
    return status;
}

static void write_to(void *self, const char *path, const char *value) {
    assert_int_equal(try_write(self, path, value), WEIR_OK);
}

static void write_one(void *self, const char *value) {
    write_to(self, NULL, value);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 0);
}

static void flush(void *self, bool last) {
    weir_flush f = {.struct_size = sizeof f, .epoch = 7, .deadline_ns = INT64_MAX, .last = last};
    host.flushed_epoch = 0;
    assert_int_equal(ops->flush(self, &f), WEIR_OK);
    assert_int_equal(host.flushed_epoch, 7);
}

static weir_status prepare_into(void *self, weir_writer *w) {
    weir_prepare p = {.struct_size = sizeof p, .epoch = 7, .writer = w};
    return two_phase->prepare(self, &p);
}

/* flush, prepare, snapshot: an epoch up to its acknowledgement. How many committables it has. */
static uint32_t epoch(void *self, bool last) {
    weir_snapshot s = {.struct_size = sizeof s, .epoch = 7, .writer = &saved};
    fake_writer_free(&prepared);
    fake_writer_free(&saved);
    flush(self, last);
    assert_int_equal(host.flush_status, WEIR_OK);
    assert_int_equal(prepare_into(self, &prepared), WEIR_OK);
    assert_int_equal(state_ops->snapshot(self, &s), WEIR_OK);
    return prepared.count;
}

/* Open files in the last snapshot: all of its blobs but the root. */
static uint32_t open_files(void) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < saved.count; i++) n += saved.blob[i].scope == WEIR_SCOPE_ITEM;
    return n;
}

static weir_status decide(void *self, const weir_writer *w, bool commit) {
    weir_commit c = {.struct_size = sizeof c, .count = w->count, .committables = w->ptr};
    c.token = 77;
    c.deadline_ns = INT64_MAX;
    host.committed_token = 0;
    return commit ? two_phase->commit(self, &c) : two_phase->abort(self, &c);
}

/* Commits one committable; its verdict. */
static uint32_t commit(void *self) {
    assert_int_equal(prepared.count, 1);
    assert_int_equal(decide(self, &prepared, true), WEIR_OK);
    assert_int_equal(host.committed_token, 77);
    assert_int_equal(host.verdict_count, 1);
    return host.verdicts[0];
}

static void end(void *self, uint32_t mode) {
    weir_close c = {.struct_size = sizeof c, .mode = mode};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
}

static void crash(void *self) {
    end(self, WEIR_CLOSE_ABANDON);
}

/* Opens again with the state of the last snapshot. */
static void *restart(const char *path) {
    how.state = &saved;
    how.epoch += 10;
    return open_sink(path);
}

/* ---- the life of a file ---- */

static void test_cycle(void **state) {
    void *self = open_sink("a.txt");
    (void)state;
    assert_string_equal(names(""), "");      /* open touches nothing */
    assert_int_equal(epoch(self, false), 0); /* rule 7 */
    write_one(self, "one");
    assert_int_equal(epoch(self, false), 0);
    assert_int_equal(open_files(), 1);
    write_one(self, "two");
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(open_files(), 0);
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending"); /* only prepared */
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(names(""), "a.txt");
    assert_string_equal(content("a.txt"), "one\ntwo\n");
    assert_int_equal(commit(self), WEIR_VERDICT_ALREADY);
    assert_int_equal(epoch(self, false), 0); /* nothing is prepared twice */
    /* The run goes on behind a savepoint, with the next name. */
    write_one(self, "three");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a-000001.txt a.txt");
}

/* A rolled file waits for its epoch; names are handed out once, although nobody has them yet. */
static void test_rolled(void **state) {
    void *self;
    (void)state;
    fake_set_number(&host, "roll.size", 8);
    self = open_sink("a.txt");
    for (int i = 0; i < 3; i++) write_one(self, "12345678");
    write_one(self, "open");
    assert_null(strstr(names(""), "a-0")); /* nothing is seen before its epoch is durable */
    assert_int_equal(epoch(self, false), 3);
    assert_int_equal(open_files(), 1);
    assert_int_equal(decide(self, &prepared, true), WEIR_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(host.verdicts[i], WEIR_VERDICT_DONE);
    assert_string_equal(names(""),
                        ".a.txt.r1-out-0-0-3.pending a-000001.txt a-000002.txt a-000003.txt");
    crash(self);
}

/* The plain name is promised to a file that is not committed: the next one gets a number. */
static void test_plain_name_once(void **state) {
    weir_writer first = {0};
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    flush(self, true);
    assert_int_equal(prepare_into(self, &first), WEIR_OK);
    write_one(self, "two");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE); /* even in the wrong order */
    assert_int_equal(decide(self, &first, true), WEIR_OK);
    assert_int_equal(host.verdicts[0], WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\n");
    assert_string_equal(content("a-000001.txt"), "two\n");
    fake_writer_free(&first);
    end(self, WEIR_CLOSE_DRAIN);
}

/* A prepare that the host could not take is repeated whole. */
static void test_prepare_fails(void **state) {
    void *self;
    (void)state;
    fake_set_number(&host, "roll.size", 2);
    self = open_sink("a.txt");
    write_one(self, "1");
    write_one(self, "2");
    flush(self, false);
    prepared.fail_at = 2;
    assert_int_equal(prepare_into(self, &prepared), WEIR_E_NOMEM);
    assert_int_equal(epoch(self, false), 2);
    crash(self);
}

/* ---- restarts ---- */

static void test_goes_on(void **state) {
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    epoch(self, false);
    write_one(self, "lost with the crash"); /* and read again by the source */
    crash(self);
    self = restart("a.txt");
    assert_string_equal(content(".a.txt.r1-out-0-0-0.pending"), "one\nlost with the crash\n");
    write_one(self, "three");
    assert_string_equal(content(".a.txt.r1-out-0-0-0.pending"), "one\nthree\n");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("a.txt"), "one\nthree\n");
    assert_string_equal(names(""), "a.txt");
}

/* No record comes: the final flush completes it, cut to what the checkpoint has. */
static void test_goes_on_without_records(void **state) {
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    epoch(self, false);
    write_one(self, "torn");
    crash(self);
    self = restart("a.txt");
    assert_int_equal(epoch(self, false), 0);
    assert_int_equal(open_files(), 1); /* still in the state */
    crash(self);
    self = restart("a.txt");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\n");
    end(self, WEIR_CLOSE_DRAIN);
}

/* It is as old as it was: rolled by age soon after the restart, by drive alone. */
static void test_goes_on_and_ages(void **state) {
    weir_drive d = {.struct_size = sizeof d};
    void *self;
    (void)state;
    fake_set_number(&host, "roll.age", 10 * SECOND);
    self = open_sink("a.txt");
    write_one(self, "one");
    epoch(self, false);
    crash(self);
    fake_host_advance(6 * SECOND);
    self = restart("a.txt");
    assert_int_equal(ops->drive(self, &d), WEIR_OK);
    assert_int_equal(d.next_ns, fake_host_now() + 4 * SECOND);
    fake_host_advance(4 * SECOND);
    assert_int_equal(ops->drive(self, &d), WEIR_OK);
    assert_int_equal(epoch(self, false), 1);
    assert_int_equal(open_files(), 0);
    crash(self);
}

/* Prepared, not durable: the epoch before is restored, and the file is open again. */
static void test_epoch_was_not_durable(void **state) {
    weir_writer before = {0};
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    epoch(self, false);
    memcpy(&before, &saved, sizeof before);
    memset(&saved, 0, sizeof saved);
    write_one(self, "two");
    assert_int_equal(epoch(self, true), 1);
    crash(self);
    fake_writer_free(&saved);
    saved = before;
    for (uint32_t i = 0; i < saved.count; i++) saved.ptr[i] = &saved.blob[i];
    self = restart("a.txt");
    write_one(self, "two again");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a.txt");
    assert_string_equal(content("a.txt"), "one\ntwo again\n");
}

/* Sealed between flush and snapshot, or by a host that did not prepare: the state has it. */
static void test_sealed_is_in_the_state(void **state) {
    weir_snapshot s = {.struct_size = sizeof s, .writer = &saved};
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    flush(self, true);
    assert_int_equal(state_ops->snapshot(self, &s), WEIR_OK);
    assert_int_equal(open_files(), 1);
    crash(self);
    self = restart("a.txt");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\n");
    end(self, WEIR_CLOSE_DRAIN);
}

/* Two tasks become one: one file of a path goes on, the other is complete. */
static void test_fewer_tasks(void **state) {
    weir_writer both = {0};
    void *self;
    (void)state;
    how.parallelism = 2;
    for (how.instance = 0; how.instance < 2; how.instance++) {
        self = open_sink("a.txt");
        write_one(self, how.instance == 0 ? "zero" : "one");
        epoch(self, false);
        for (uint32_t i = 0; i < saved.count; i++) {
            both.blob[both.count] = saved.blob[i];
            both.ptr[both.count] = &both.blob[both.count];
            both.count++;
        }
        memset(&saved, 0, sizeof saved);
        crash(self);
    }
    saved = both;
    for (uint32_t i = 0; i < saved.count; i++) saved.ptr[i] = &saved.blob[i];
    how.instance = 0;
    how.parallelism = 1;
    self = restart("a.txt");
    write_one(self, "more");
    assert_int_equal(epoch(self, false), 1);
    assert_int_equal(open_files(), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\n");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a-000001.txt"), "zero\nmore\n");
    end(self, WEIR_CLOSE_DRAIN);
}

/* Its pending file is gone, short, or another: said with a verdict, and not published. */
static void test_open_file_is_lost(void **state) {
    static const char *const damage[] = {NULL, "w", "r+"};
    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        void *self = open_sink("a.txt");
        char name[64];
        how.state = NULL;
        write_one(self, "one");
        epoch(self, false);
        crash(self);
        snprintf(name, sizeof name, "%s", names(""));
        if (damage[i] == NULL) {
            assert_int_equal(unlink(at(name)), 0);
        } else {
            append(name, "x", damage[i]); /* shorter, or of the same length and other */
        }
        self = restart("a.txt");
        write_one(self, "two");
        assert_int_equal(epoch(self, false), 1);
        assert_int_equal(commit(self), WEIR_VERDICT_LOST);
        assert_int_equal(epoch(self, true), 1);
        assert_int_equal(commit(self), WEIR_VERDICT_DONE);
        assert_string_equal(content("a.txt"), "two\n");
        assert_null(strstr(names(""), "a-000001"));
        if (damage[i] != NULL) assert_non_null(strstr(names(""), ".damaged"));
        end(self, WEIR_CLOSE_DRAIN);
        empty_folder(folder);
        how.state = NULL;
    }
}

/* An older checkpoint: the file was completed behind it, its records are there. */
static void test_open_file_was_completed(void **state) {
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    epoch(self, false);
    write_one(self, "two");
    flush(self, true);
    fake_writer_free(&prepared);
    assert_int_equal(prepare_into(self, &prepared), WEIR_OK);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    crash(self);
    self = restart("a.txt");
    write_one(self, "two");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\ntwo\n");
    assert_string_equal(content("a-000001.txt"), "two\n");
    end(self, WEIR_CLOSE_DRAIN);
}

/* A fork goes on with a copy: its parent may be alive and writing. */
static void test_fork(void **state) {
    void *self = open_sink("a.txt");
    void *parent = self;
    (void)state;
    write_one(parent, "one");
    epoch(parent, false);
    how.run = "r2";
    self = restart("a.txt");
    write_one(self, "of the fork");
    write_one(parent, "of the parent");
    assert_string_equal(content(".a.txt.r1-out-0-0-0.pending"), "one\nof the parent\n");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\nof the fork\n");
    assert_int_equal(epoch(parent, true), 1);
    assert_int_equal(commit(parent), WEIR_VERDICT_DONE);
    assert_string_equal(content("a-000001.txt"), "one\nof the parent\n");
    end(self, WEIR_CLOSE_DRAIN);
    end(parent, WEIR_CLOSE_DRAIN);
}

/* A fork whose parent's file cannot be what the checkpoint says leaves it alone all the same. */
static void test_fork_without_its_file(void **state) {
    void *parent = open_sink("a.txt");
    void *self;
    (void)state;
    write_one(parent, "one");
    epoch(parent, false);
    append(".a.txt.r1-out-0-0-0.pending", "ONE", "r+");
    how.run = "r2";
    self = restart("a.txt");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending");
    end(self, WEIR_CLOSE_DRAIN);
    crash(parent);
}

static void test_state_of_another_version(void **state) {
    void *self = open_sink("a.txt");
    char *bytes;
    (void)state;
    write_one(self, "one");
    epoch(self, false);
    crash(self);
    how.state = &saved;
    bytes = (char *)(uintptr_t)saved.blob[1].bytes.ptr;
    bytes[1] = 2;
    assert_int_equal(try_open(&self), WEIR_E_INCOMPATIBLE);
    ops->destroy(self);
    bytes[1] = 1;
    saved.blob[1].bytes.len--;
    assert_int_equal(try_open(&self), WEIR_E_INCOMPATIBLE);
    ops->destroy(self);
    assert_string_equal(content(".a.txt.r1-out-0-0-0.pending"), "one\n");
}

/* ---- commit and abort ---- */

/* Leaves a prepared file behind a crash, as `prepared`. */
static void *prepare_and_crash(const char *value) {
    void *self = open_sink("a.txt");
    write_one(self, value);
    assert_int_equal(epoch(self, true), 1);
    crash(self);
    how.role = WEIR_ROLE_COMMITTER;
    how.epoch++;
    return open_sink("a.txt");
}

static void test_commit_after_crash(void **state) {
    void *self = prepare_and_crash("one");
    (void)state;
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    self = open_sink("a.txt");
    assert_int_equal(commit(self), WEIR_VERDICT_ALREADY);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a.txt");
}

/* Somebody took the name meanwhile: neither file is lost, and that is found again. */
static void test_commit_name_taken(void **state) {
    void *self = prepare_and_crash("one");
    (void)state;
    append("a.txt", "two\n", "w"); /* of the same length */
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(names(""), "a-000001.txt a.txt");
    assert_string_equal(content("a-000001.txt"), "one\n");
    assert_string_equal(content("a.txt"), "two\n");
    assert_int_equal(commit(self), WEIR_VERDICT_ALREADY);
    move("a-000001.txt", "renamed by hand");
    assert_int_equal(commit(self), WEIR_VERDICT_ALREADY);
    assert_int_equal(unlink(at("renamed by hand")), 0);
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    end(self, WEIR_CLOSE_DRAIN);
}

static void test_commit_of_what_is_gone(void **state) {
    void *self = prepare_and_crash("one");
    (void)state;
    assert_int_equal(unlink(at(names(""))), 0);
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    append("a.txt", "another", "w"); /* neither its length nor its bytes */
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    append("a.txt", "won\n", "w"); /* its length alone */
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    end(self, WEIR_CLOSE_DRAIN);
}

/* What stands behind the prepared length was never acknowledged. */
static void test_commit_cuts(void **state) {
    void *self = prepare_and_crash("one");
    char name[64];
    (void)state;
    snprintf(name, sizeof name, "%s", names(""));
    append(name, "torn", "a");
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(content("a.txt"), "one\n");
    end(self, WEIR_CLOSE_DRAIN);
}

static void test_commit_of_what_was_changed(void **state) {
    void *self = prepare_and_crash("one");
    char name[64];
    (void)state;
    snprintf(name, sizeof name, "%s", names(""));
    append(name, "ONE", "r+");
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    assert_string_equal(content("a.txt"), "(no file)");
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.damaged");
    assert_int_equal(commit(self), WEIR_VERDICT_LOST);
    end(self, WEIR_CLOSE_DRAIN);
}

/* A rename by link and unlink that a crash cut in two. */
static void test_commit_half_renamed(void **state) {
    void *self = prepare_and_crash("one");
    char name[512];
    (void)state;
    snprintf(name, sizeof name, "%s", at(names("")));
    assert_int_equal(link(name, at("a.txt")), 0);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    assert_string_equal(names(""), "a.txt");
    end(self, WEIR_CLOSE_DRAIN);
}

/* A folder that cannot be used now: tried again, and done then. */
static void test_commit_retry(void **state) {
    void *self;
    (void)state;
    how.parallelism = 1;
    self = open_sink("d/a.txt");
    write_one(self, "one");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(chmod(at("d"), 0), 0);
    if (access(at("d/x"), F_OK) != 0 && errno == EACCES) { /* root may do everything */
        assert_int_equal(commit(self), WEIR_VERDICT_RETRY);
        assert_non_null(strstr(host.commit_text, "d/a.txt"));
    }
    assert_int_equal(chmod(at("d"), 0777), 0);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("d"), "a.txt");
}

static void test_abort(void **state) {
    void *self = prepare_and_crash("one");
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(decide(self, &prepared, false), WEIR_OK);
        assert_int_equal(host.verdicts[0], WEIR_VERDICT_DONE);
        assert_string_equal(names(""), "");
    }
    end(self, WEIR_CLOSE_DRAIN);
}

/* One that cannot be read: nothing at all is done. */
static void test_commit_hostile(void **state) {
    weir_blob bad = {.struct_size = sizeof bad, .bytes = STR("C\1")};
    void *self = prepare_and_crash("one");
    (void)state;
    prepared.ptr[prepared.count++] = &bad;
    assert_int_equal(decide(self, &prepared, true), WEIR_E_INCOMPATIBLE);
    assert_int_equal(host.committed_token, 0);
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending");
    prepared.count--;
    end(self, WEIR_CLOSE_DRAIN);
}

/* ---- recover ---- */

static weir_status recover(void *self, const weir_writer *kept, weir_recover *r) {
    *r = (weir_recover){.struct_size = sizeof *r, .deadline_ns = INT64_MAX};
    if (kept != NULL) {
        r->retained = kept->ptr;
        r->retained_count = kept->count;
    }
    return recovery->recover(self, r);
}

/* Orphans go, wherever records led them; nobody else's do. */
static void test_recover(void **state) {
    static const char *const others[] = {
        ".a.txt.r2-out-0-0-0.pending",   ".a.txt.r1-other-0-0-0.pending",
        ".a.txt.r1-out-1-0-0-0.pending", ".a.txt.r1-out-0-0.pending",
        ".a.txt.xr1-out-0-0-0.pending",  "a.txt.r1-out-0-0-0.pending",
        ".a.txt.r1-out-0-0-0.damaged",   "a.txt",
        ".a.txt.local-out-0-0-0.pending"};
    weir_recover r;
    void *self = open_sink("o/${.u}");
    (void)state;
    write_to(self, "o/k/kept", "1");
    epoch(self, false);
    write_to(self, "o/k/orphan", "2");
    write_to(self, "o/deep/er/orphan", "3");
    write_to(self, "o/orphan", "4");
    flush(self, false);
    crash(self);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "o/k/%s", others[i]);
        append(name, "mine", "w");
        snprintf(name, sizeof name, "o/%s", others[i]);
        append(name, "mine", "w");
    }
    how.role = WEIR_ROLE_COMMITTER;
    self = open_sink("o/${.u}");
    assert_int_equal(recover(self, &saved, &r), WEIR_OK);
    assert_int_equal(r.found, 3);
    assert_int_equal(r.aborted, 3);
    assert_string_equal(names("o/deep/er"), "");
    assert_string_equal(content("o/k/.kept.r1-out-0-0-0.pending"), "1\n");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "o/k/%s", others[i]);
        assert_string_equal(content(name), "mine");
        snprintf(name, sizeof name, "o/%s", others[i]);
        assert_string_equal(content(name), "mine");
    }
    assert_non_null(strstr(names("o"), ".folders")); /* leads to what is kept */
    assert_int_equal(recover(self, NULL, &r), WEIR_OK);
    assert_int_equal(r.aborted, 1);
    assert_null(strstr(names("o"), ".folders"));
    assert_string_equal(content("o/k/.kept.r1-out-0-0-0.pending"), "(no file)");
    end(self, WEIR_CLOSE_DRAIN);
}

/* Each restart adds a journal; recovery makes one of them, and loses no folder. */
static void test_recover_merges_journals(void **state) {
    weir_recover r;
    weir_writer kept = {0};
    void *self;
    (void)state;
    for (int i = 0; i < 3; i++) {
        char path[32];
        how.role = WEIR_ROLE_TASK;
        how.state = NULL;
        how.epoch++;
        self = open_sink("o/${.u}");
        snprintf(path, sizeof path, "o/%d/x", i);
        write_to(self, path, "1");
        epoch(self, false);
        for (uint32_t k = 0; k < saved.count; k++) {
            kept.blob[kept.count] = saved.blob[k];
            kept.ptr[kept.count] = &kept.blob[kept.count];
            kept.count++;
        }
        memset(&saved, 0, sizeof saved);
        crash(self);
    }
    how.role = WEIR_ROLE_COMMITTER;
    how.epoch++;
    self = open_sink("o/${.u}");
    assert_int_equal(recover(self, &kept, &r), WEIR_OK);
    assert_int_equal(r.found, 0);
    assert_string_equal(names("o"), ".weir.r1-out-0-4-0.folders 0 1 2");
    assert_int_equal(recover(self, NULL, &r), WEIR_OK); /* no checkpoint refers to them any more */
    assert_int_equal(r.aborted, 3);
    assert_string_equal(names("o"), "0 1 2");
    end(self, WEIR_CLOSE_DRAIN);
    fake_writer_free(&kept);
}

/* The path was changed in the manifest: the state says where the old one led. */
static void test_recover_old_root(void **state) {
    weir_recover r;
    void *self = open_sink("old/${.u}");
    (void)state;
    epoch(self, false);
    write_to(self, "old/a/orphan", "1");
    crash(self);
    how.role = WEIR_ROLE_COMMITTER;
    self = open_sink("new/${.u}");
    assert_int_equal(recover(self, &saved, &r), WEIR_OK);
    assert_int_equal(r.aborted, 1);
    assert_string_equal(names("old/a"), "");
    end(self, WEIR_CLOSE_DRAIN);
}

/* A blob that cannot be read might refer to any file; without an id nothing is anybody's. */
static void test_recover_refuses(void **state) {
    weir_blob bad = {.struct_size = sizeof bad, .bytes = STR("O\2somewhere")};
    weir_recover r;
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "1");
    crash(self);
    how.role = WEIR_ROLE_COMMITTER;
    self = open_sink("a.txt");
    saved.ptr[saved.count++] = &bad;
    assert_int_equal(recover(self, &saved, &r), WEIR_E_INCOMPATIBLE);
    assert_int_equal(r.aborted, 0);
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending");
    saved.count--;
    ops->cancel(self);
    assert_int_equal(recover(self, NULL, &r), WEIR_E_CANCELLED);
    end(self, WEIR_CLOSE_DRAIN);
    how.run = "";
    self = open_sink("a.txt");
    assert_int_equal(recover(self, NULL, &r), WEIR_OK);
    assert_int_equal(r.found, 0);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), ".a.txt.r1-out-0-0-0.pending");
}

/* A journal that a crash tore still leads to what stands in front of the tear. */
static void test_recover_torn_journal(void **state) {
    weir_recover r;
    void *self = open_sink("o/${.u}");
    char name[128];
    (void)state;
    write_to(self, "o/a/orphan", "1");
    crash(self);
    snprintf(name, sizeof name, "o/.weir.r1-out-0-0-0.folders");
    append(name, "\x01", "a");
    how.role = WEIR_ROLE_COMMITTER;
    self = open_sink("o/${.u}");
    assert_int_equal(recover(self, NULL, &r), WEIR_OK);
    assert_int_equal(r.aborted, 1);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("o"), "a");
}

/* A run that ended well leaves nothing hidden. */
static void test_nothing_stays(void **state) {
    void *self = open_sink("o/${.u}");
    (void)state;
    write_to(self, "o/a/b", "1");
    assert_int_equal(epoch(self, true), 1);
    assert_int_equal(commit(self), WEIR_VERDICT_DONE);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("o"), "a");
    assert_string_equal(names("o/a"), "b");
}

/* ---- failures ---- */

static int failing_sync(void *self, int fd) {
    (void)self;
    (void)fd;
    return EIO;
}

static int failing_sync_dir(void *self, const char *prefix) {
    (void)self;
    (void)prefix;
    return EIO;
}

static int full(void *self, const char *path, int *fd) {
    (void)self;
    (void)path;
    (void)fd;
    return EMFILE;
}

/* An fsync that failed is never repeated: nothing works any more but a restart. */
static void test_sync_fails(void **state) {
    (void)state;
    for (int dir = 0; dir < 2; dir++) {
        file_sink *self = open_sink("a.txt");
        pending_fs good;
        write_one(self, "one");
        epoch(self, false);
        write_one(self, "two");
        good = self->rules.fs;
        if (dir) {
            bool failed;
            assert_int_equal(folders_use(&self->rules.folders, (weir_str){"", 0}, &failed), 0);
            self->rules.fs.sync_dir = failing_sync_dir;
        } else {
            self->rules.fs.sync = failing_sync;
        }
        flush(self, false);
        assert_int_equal(host.flush_status, WEIR_E_INVALID_STATE);
        assert_int_equal(host.flush_flags, 0);
        self->rules.fs = good;
        flush(self, false); /* a second fsync would say that all is well */
        assert_int_equal(host.flush_status, WEIR_E_INVALID_STATE);
        write_to(self, NULL, "three");
        assert_int_equal(host.result.status, WEIR_E_INVALID_STATE);
        assert_int_equal(prepare_into(self, &prepared), WEIR_E_INVALID_STATE);
        crash(self);
        self = restart("a.txt");
        write_one(self, "two again");
        assert_int_equal(epoch(self, true), 1);
        assert_int_equal(commit(self), WEIR_VERDICT_DONE);
        assert_string_equal(content("a.txt"), "one\ntwo again\n");
        end(self, WEIR_CLOSE_DRAIN);
        empty_folder(folder);
        how.state = NULL;
    }
}

/* What may pass costs the epoch and nothing else. */
static void test_flush_is_tried_again(void **state) {
    file_sink *self;
    pending_fs good;
    (void)state;
    fake_set_number(&host, "max_open", 1);
    self = open_sink("o/${.u}");
    write_to(self, "o/a", "1");
    write_to(self, "o/b", "2"); /* the descriptor of the first one is given back */
    good = self->rules.fs;
    self->rules.fs.open = full;
    flush(self, true);
    assert_int_equal(host.flush_status, WEIR_E_IO);
    assert_true(host.flush_flags & WEIR_ERR_RETRYABLE);
    self->rules.fs = good;
    assert_int_equal(epoch(self, true), 2);
    assert_int_equal(decide(self, &prepared, true), WEIR_OK);
    assert_string_equal(content("o/a"), "1\n");
    assert_string_equal(content("o/b"), "2\n");
    end(self, WEIR_CLOSE_DRAIN);
}

/* The pending file vanishes under a living sink: its records were accepted, so the run fails. */
static void test_pending_file_vanishes(void **state) {
    void *self;
    (void)state;
    fake_set_number(&host, "max_open", 1);
    self = open_sink("o/${.u}");
    write_to(self, "o/a", "1");
    write_to(self, "o/b", "2");
    assert_int_equal(unlink(at("o/.a.r1-out-0-0-0.pending")), 0);
    flush(self, false);
    assert_int_equal(host.flush_status, WEIR_E_INVALID_STATE);
    crash(self);
}

/* A host that asks for the calls and never makes them still gets its files. */
static void test_host_without_prepare(void **state) {
    void *self = open_sink("a.txt");
    (void)state;
    write_one(self, "one");
    flush(self, true);
    assert_string_equal(content("a.txt"), "(no file)");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a.txt");
    /* But not one whose final flush never was: the checkpoint does not have those records. */
    self = open_sink("b.txt");
    write_one(self, "one");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("b.txt"), "(no file)");
}

/* The n-th allocation fails, for all n, in every call between open and commit: the file ends up
 * with each record once. */
static void test_no_memory(void **state) {
    bool failed = true;
    (void)state;
    for (uint32_t n = 1; failed; n++) {
        void *self = open_sink("o/${.u}.txt");
        how.state = NULL;
        write_to(self, "o/a/x.txt", "one");
        epoch(self, false);
        crash(self);
        self = restart("o/${.u}.txt");
        fake_host_fail_alloc(n);
        for (int i = 0; i < 2; i++) {
            if (try_write(self, "o/a/x.txt", "two") != WEIR_OK) continue;
            if (host.result.status == WEIR_OK && host.result.failed_count == 0) break;
        }
        fake_writer_free(&prepared);
        for (int i = 0; i < 3; i++) {
            weir_snapshot s = {.struct_size = sizeof s, .writer = &saved};
            flush(self, true);
            if (host.flush_status != WEIR_OK) continue;
            fake_writer_free(&saved);
            if (prepare_into(self, &prepared) != WEIR_OK) continue;
            if (state_ops->snapshot(self, &s) == WEIR_OK) break;
        }
        for (int i = 0; i < 3; i++) {
            if (decide(self, &prepared, true) != WEIR_OK) continue;
            if (host.verdicts[0] == WEIR_VERDICT_DONE) break;
        }
        failed = fake_host_failed_alloc();
        fake_host_fail_alloc(0);
        end(self, WEIR_CLOSE_DRAIN);
        assert_string_equal(content("o/a/x.txt"), "one\ntwo\n");
        assert_string_equal(names("o/a"), "x.txt");
        empty_folder(folder);
        how.state = NULL;
    }
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_cycle),
        CASE(test_rolled),
        CASE(test_plain_name_once),
        CASE(test_prepare_fails),
        CASE(test_goes_on),
        CASE(test_goes_on_without_records),
        CASE(test_goes_on_and_ages),
        CASE(test_epoch_was_not_durable),
        CASE(test_sealed_is_in_the_state),
        CASE(test_fewer_tasks),
        CASE(test_open_file_is_lost),
        CASE(test_open_file_was_completed),
        CASE(test_fork),
        CASE(test_fork_without_its_file),
        CASE(test_state_of_another_version),
        CASE(test_commit_after_crash),
        CASE(test_commit_name_taken),
        CASE(test_commit_of_what_is_gone),
        CASE(test_commit_cuts),
        CASE(test_commit_of_what_was_changed),
        CASE(test_commit_half_renamed),
        CASE(test_commit_retry),
        CASE(test_abort),
        CASE(test_commit_hostile),
        CASE(test_recover),
        CASE(test_recover_merges_journals),
        CASE(test_recover_old_root),
        CASE(test_recover_refuses),
        CASE(test_recover_torn_journal),
        CASE(test_nothing_stays),
        CASE(test_sync_fails),
        CASE(test_flush_is_tried_again),
        CASE(test_pending_file_vanishes),
        CASE(test_host_without_prepare),
        CASE(test_no_memory),
    };
    ops = std_file_sink.ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
