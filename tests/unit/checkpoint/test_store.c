/*
 * The store: order of writing, the highest epoch, damage of every byte, retention, savepoints, one
 * owner; each call of the disk and each allocation failing. Rules 8, 12 and 13 have a test each
 * that fails when the rule is taken away (test_store_mutants).
 */
#define _GNU_SOURCE /* asprintf, nftw */
#include "sample.h"

#include <fcntl.h>

#include "base/limits.h"
#include "base/log.h"
#include "checkpoint/store.h"
#include "folder.h"

/* ---- a disk that writes down what it is asked, and fails on demand ---- */

typedef struct probe {
    disk disk;
    buf log;           /* "sync_dir checkpoints\n" ... */
    unsigned calls;    /* that can fail */
    unsigned fail_at;  /* this call fails; 0 = none */
    const char *fails; /* every call that begins like this fails */
    bool done_anyway;  /* the failing call did what it should have done */
    int64_t now_ns;
} probe;

static char *root, *folder;
static weir_error *err;
static probe p;
static store *s;

static const char *below(const char *path) {
    return strncmp(path, folder, strlen(folder)) == 0 && path[strlen(folder)] == '/'
               ? path + strlen(folder) + 1
               : path;
}

static bool fails(const char *what, const char *path) {
    char line[5000];
    (void)snprintf(line, sizeof line, "%s %s", what, below(path));
    buf_printf(&p.log, "%s\n", line);
    p.calls++;
    return p.calls == p.fail_at ||
           (p.fails != NULL && strncmp(line, p.fails, strlen(p.fails)) == 0);
}

static weir_status failure(const char *what, const char *path, weir_error *e) {
    return error_set(e, WEIR_E_IO, 0, "cannot %s %s: input/output error", what, path);
}

#define PROBE(what, path, call)                                                                    \
    do {                                                                                           \
        bool fail = fails(what, path);                                                             \
        if (fail && !p.done_anyway) return failure(what, path, e);                                 \
        weir_status status = (call);                                                               \
        return fail ? failure(what, path, e) : status;                                             \
    } while (0)

static weir_status probe_make_dirs(void *self, const char *path, weir_error *e) {
    (void)self;
    PROBE("make_dirs", path, disk_system.make_dirs(NULL, path, e));
}
static weir_status probe_create(void *self, const char *path, weir_str bytes, weir_error *e) {
    (void)self;
    PROBE("create", path, disk_system.create(NULL, path, bytes, e));
}
/* Not really: the tests are about what is asked for, and a thousand real ones take their time. */
static weir_status probe_sync_file(void *self, const char *path, weir_error *e) {
    (void)self;
    p.now_ns += 1000;
    PROBE("sync_file", path, access(path, F_OK) == 0 ? WEIR_OK : WEIR_E_NOT_FOUND);
}
static weir_status probe_sync_dir(void *self, const char *path, weir_error *e) {
    (void)self;
    p.now_ns += 50;
    PROBE("sync_dir", path, access(path, F_OK) == 0 ? WEIR_OK : WEIR_E_NOT_FOUND);
}
static weir_status probe_rename(void *self, const char *from, const char *to, weir_error *e) {
    (void)self;
    PROBE("rename", to, disk_system.rename(NULL, from, to, e));
}
static weir_status probe_remove(void *self, const char *path, weir_error *e) {
    (void)self;
    PROBE("remove", path, disk_system.remove(NULL, path, e));
}
static weir_status probe_read(void *self, const char *path, size_t max, buf *out, weir_error *e) {
    (void)self;
    PROBE("read", path, disk_system.read(NULL, path, max, out, e));
}
static weir_status probe_list(void *self, const char *path,
                              void (*each)(void *opaque, const char *name), void *opaque,
                              weir_error *e) {
    (void)self;
    PROBE("list", path, disk_system.list(NULL, path, each, opaque, e));
}
static weir_status probe_lock(void *self, const char *path, int *handle, weir_error *e) {
    (void)self;
    if (fails("lock", path)) return failure("lock", path, e);
    return disk_system.lock(NULL, path, handle, e);
}
static void probe_unlock(void *self, int handle) {
    (void)self;
    disk_system.unlock(NULL, handle);
}
static int64_t probe_mono(void *self) {
    (void)self;
    return p.now_ns;
}
static int64_t probe_wall(void *self) {
    (void)self;
    return 0;
}
static const weir_clock probe_clock = {probe_mono, probe_wall, NULL};

static store_config config(uint32_t retain) {
    return (store_config){.disk = &p.disk,
                          .folder = folder,
                          .pipeline = STR("clickstream"),
                          .retain = retain,
                          .clock = &probe_clock};
}

static void open_store(uint32_t retain) {
    const store_config c = config(retain);
    s = store_open(&c, false, err);
    if (s == NULL) fail_msg("%s", error_text(err));
}

static void reopen(uint32_t retain) {
    store_close(s);
    open_store(retain);
}

static void forget_log(void) {
    buf_reset(&p.log);
    p.calls = p.fail_at = 0;
    p.fails = NULL;
    p.done_anyway = false;
}

static int setup(void **unused) {
    (void)unused;
    p = (probe){.disk = {.make_dirs = probe_make_dirs,
                         .create = probe_create,
                         .sync_file = probe_sync_file,
                         .sync_dir = probe_sync_dir,
                         .rename = probe_rename,
                         .remove = probe_remove,
                         .read = probe_read,
                         .list = probe_list,
                         .lock = probe_lock,
                         .unlock = probe_unlock}};
    buf_init(&p.log, 1 << 24);
    root = folder_make();
    folder = root != NULL ? folder_path(root, "state/clickstream") : NULL;
    err = error_new();
    s = NULL;
    return folder == NULL || err == NULL;
}

static int teardown(void **unused) {
    (void)unused;
    store_close(s);
    folder_remove(root);
    free(root);
    free(folder);
    error_free(err);
    buf_free(&p.log);
    return 0;
}

static weir_status write_one(checkpoint_kind kind, uint64_t epoch, store_written *out) {
    checkpoint *c = sample_checkpoint(kind, epoch);
    assert_non_null(c);
    store_written w;
    weir_status status = kind == CHECKPOINT_SAVEPOINT ? store_write_savepoint(s, c, &w, err)
                                                      : store_write(s, c, &w, err);
    if (out != NULL) *out = w;
    checkpoint_free(c);
    return status;
}

static void write_ok(uint64_t epoch) {
    if (write_one(CHECKPOINT_PERIODIC, epoch, NULL) != WEIR_OK) fail_msg("%s", error_text(err));
}

static char *file_of(uint64_t epoch) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/checkpoints/%020llu.weir", folder, (unsigned long long)epoch) >
                0);
    return path;
}

static bool there(uint64_t epoch) {
    char *path = file_of(epoch);
    bool yes = access(path, F_OK) == 0;
    free(path);
    return yes;
}

static void overwrite(const char *path, const char *bytes, size_t len) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void damage(uint64_t epoch) {
    char *path = file_of(epoch);
    overwrite(path, "garbage", 7);
    free(path);
}

/* Epoch of the newest, 0 = none; fails the test on an error. */
static uint64_t newest(bool strict) {
    checkpoint *c = NULL;
    error_clear(err);
    if (store_newest(s, strict, &c, err) != WEIR_OK) fail_msg("%s", error_text(err));
    uint64_t epoch = c != NULL ? c->epoch : 0;
    checkpoint_free(c);
    return epoch;
}

static void newest_is_refused(const char *because) {
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, true, &c, err), WEIR_E_DATA);
    assert_null(c);
    if (strstr(error_text(err), because) == NULL)
        fail_msg("no '%s' in: %s", because, error_text(err));
}

/* ---- writing ---- */

static void bytes_are_durable_before_their_name(void **unused) {
    (void)unused;
    open_store(3);
    assert_int_equal(newest(true), 0);
    forget_log();
    store_written w;
    assert_int_equal(write_one(CHECKPOINT_PERIODIC, 7, &w), WEIR_OK);
    assert_string_equal(p.log.data, "create checkpoints/00000000000000000007.weir.tmp\n"
                                    "sync_file checkpoints/00000000000000000007.weir.tmp\n"
                                    "rename checkpoints/00000000000000000007.weir\n"
                                    "sync_dir checkpoints\n");
    assert_true(w.bytes == 757 && w.sync_ns == 1050 && !w.maybe_durable);
    assert_int_equal(newest(true), 7);
    struct stat st;
    char *path = file_of(7);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    free(path);
    /* A sealed one replaces the one of its epoch. */
    assert_int_equal(write_one(CHECKPOINT_FINAL, 7, NULL), WEIR_OK);
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, true, &c, err), WEIR_OK);
    assert_int_equal(c->kind, CHECKPOINT_FINAL);
    checkpoint_free(c);
}

/* After a failed sync the kernel calls the pages clean: a second one succeeds and means nothing. */
static void a_failed_sync_is_never_tried_again(void **unused) {
    (void)unused;
    open_store(3);
    write_ok(6);
    forget_log();
    p.fails = "sync_file";
    store_written w;
    assert_int_equal(write_one(CHECKPOINT_PERIODIC, 7, &w), WEIR_E_IO);
    assert_string_equal(p.log.data, "create checkpoints/00000000000000000007.weir.tmp\n"
                                    "sync_file checkpoints/00000000000000000007.weir.tmp\n"
                                    "remove checkpoints/00000000000000000007.weir.tmp\n");
    assert_false(w.maybe_durable);
    assert_non_null(strstr(error_text(err), "checkpoint 7 was not stored"));
    forget_log();
    assert_int_equal(newest(true), 6);
    assert_true(store_next_epoch(s) == 8);
}

static void after_the_rename_nobody_knows(void **unused) {
    (void)unused;
    open_store(1);
    write_ok(6);
    store_written w;
    p.fails = "sync_dir";
    assert_int_equal(write_one(CHECKPOINT_PERIODIC, 7, &w), WEIR_E_IO);
    assert_true(w.maybe_durable);
    assert_true(there(6) && there(7)); /* nothing is removed on a guess */
    forget_log();
    p.fails = "rename";
    assert_int_equal(write_one(CHECKPOINT_PERIODIC, 8, &w), WEIR_E_IO);
    assert_true(w.maybe_durable);
    forget_log();
    p.fails = "create";
    assert_int_equal(write_one(CHECKPOINT_PERIODIC, 9, &w), WEIR_E_IO);
    assert_false(w.maybe_durable);
    forget_log();
    write_ok(10);
    assert_false(there(6) || there(7));
}

static void a_restore_syncs_what_it_read(void **unused) {
    (void)unused;
    open_store(3);
    write_ok(7);
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, true, &c, err), WEIR_OK);
    forget_log();
    assert_int_equal(store_sync(s, c, err), WEIR_OK);
    assert_string_equal(p.log.data, "sync_file checkpoints/00000000000000000007.weir\n"
                                    "sync_dir checkpoints\n");
    forget_log();
    p.fails = "sync_dir";
    assert_int_equal(store_sync(s, c, err), WEIR_E_IO);
    assert_non_null(strstr(error_text(err), "checkpoint 7 is not durable"));
    /* The file itself is not trusted any more: a new one takes its place. */
    forget_log();
    p.fail_at = 1;
    p.fails = NULL;
    assert_int_equal(store_sync(s, c, err), WEIR_OK);
    assert_string_equal(p.log.data, "sync_file checkpoints/00000000000000000007.weir\n"
                                    "create checkpoints/00000000000000000007.weir.tmp\n"
                                    "sync_file checkpoints/00000000000000000007.weir.tmp\n"
                                    "rename checkpoints/00000000000000000007.weir\n"
                                    "sync_dir checkpoints\n");
    checkpoint *again = NULL;
    assert_int_equal(store_newest(s, true, &again, err), WEIR_OK);
    same_checkpoint(c, again);
    checkpoint_free(again);
    /* A file from elsewhere is not ours to write. */
    char *from = file_of(7), *elsewhere = folder_path(root, "copy.weir");
    assert_int_equal(rename(from, elsewhere), 0);
    checkpoint *outside = NULL;
    assert_int_equal(store_load(s, str_of(elsewhere), &outside, err), WEIR_OK);
    same_checkpoint(c, outside);
    forget_log();
    assert_int_equal(store_sync(s, outside, err), WEIR_OK);
    assert_non_null(strstr(p.log.data, elsewhere));
    p.fails = "sync_file";
    assert_int_equal(store_sync(s, outside, err), WEIR_E_IO);
    assert_null(strstr(p.log.data, "create"));
    checkpoint *made = sample_checkpoint(CHECKPOINT_PERIODIC, 9);
    assert_int_equal(store_sync(s, made, err), WEIR_E_INVALID_ARG);
    checkpoint_free(made);
    checkpoint_free(outside);
    checkpoint_free(c);
    free(from);
    free(elsewhere);
}

/* ---- epochs ---- */

static void no_epoch_comes_twice(void **unused) {
    (void)unused;
    open_store(2);
    assert_true(store_next_epoch(s) == 1 && store_next_epoch(s) == 2);
    write_ok(5);
    assert_true(store_next_epoch(s) == 6);
    assert_int_equal(write_one(CHECKPOINT_SAVEPOINT, 8, NULL), WEIR_OK);
    assert_true(store_next_epoch(s) == 9);
    /* Names count, whatever is behind them. */
    write_ok(20);
    damage(20);
    reopen(2);
    assert_true(store_next_epoch(s) == 21);
    char *temporary = folder_path(folder, "checkpoints/00000000000000000030.weir.tmp");
    overwrite(temporary, "half", 4);
    reopen(2);
    assert_int_equal(access(temporary, F_OK), -1);
    assert_true(store_next_epoch(s) == 31);
    /* So does the inside of a savepoint, even a damaged one. */
    store_saw_epoch(s, 40);
    assert_true(store_next_epoch(s) == 41);
    char *path = folder_path(folder, "savepoints/before-upgrade.weir");
    assert_int_equal(store_delete_savepoint(s, STR("before-upgrade"), err), WEIR_OK);
    assert_int_equal(write_one(CHECKPOINT_SAVEPOINT, 50, NULL), WEIR_OK);
    assert_int_equal(truncate(path, 300), 0);
    reopen(2);
    assert_true(store_next_epoch(s) == 51);
    free(temporary);
    free(path);
}

/* A number that came with a file from elsewhere is above this store's. */
static void an_epoch_from_elsewhere_counts(void **unused) {
    (void)unused;
    open_store(3);
    write_ok(70);
    char *from = file_of(70), *copy = folder_path(root, "copy.weir");
    assert_int_equal(rename(from, copy), 0);
    folder_remove(folder);
    reopen(3);
    assert_true(store_next_epoch(s) == 1);
    checkpoint *c = NULL;
    assert_int_equal(store_load(s, str_of(copy), &c, err), WEIR_OK);
    assert_string_equal(c->path.ptr, copy);
    checkpoint_free(c);
    assert_true(store_next_epoch(s) == 71);
    free(from);
    free(copy);
}

static void nobody_has_to_ask_why(void **unused) {
    (void)unused;
    open_store(3);
    write_ok(3);
    write_ok(4);
    damage(4);
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, true, &c, NULL), WEIR_E_DATA);
    assert_int_equal(store_newest(s, false, &c, NULL), WEIR_OK);
    assert_true(c->epoch == 3);
    checkpoint_free(c);
    assert_int_equal(store_load(s, STR("absent"), &c, NULL), WEIR_E_NOT_FOUND);
    assert_int_equal(store_delete_savepoint(s, STR("absent"), NULL), WEIR_E_NOT_FOUND);
    const store_config again = config(1);
    assert_null(store_open(&again, false, NULL));
}

/* A worker that removes what a reader has just listed. */
static weir_status vanishing_read(void *self, const char *path, size_t max, buf *out,
                                  weir_error *e) {
    if (strstr(path, "00000000000000000004.weir") != NULL && there(4)) {
        p.disk.read = probe_read;
        char *four = file_of(4), *five = file_of(5);
        checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 5);
        buf b;
        buf_init(&b, 1 << 20);
        assert_int_equal(checkpoint_encode(c, &b, e), WEIR_OK);
        overwrite(five, b.data, b.len);
        (void)unlink(four);
        buf_free(&b);
        checkpoint_free(c);
        free(four);
        free(five);
    }
    return probe_read(self, path, max, out, e);
}

static void a_reader_beside_a_worker_finds_the_newest(void **unused) {
    (void)unused;
    open_store(1);
    write_ok(4);
    store *owner = s;
    const store_config c = config(1);
    s = store_open(&c, true, err);
    p.disk.read = vanishing_read;
    uint64_t found = newest(true);
    store_close(s);
    s = owner;
    assert_int_equal(found, 5);
}

static void the_highest_epoch_is_the_newest(void **unused) {
    (void)unused;
    open_store(5);
    for (uint64_t epoch = 9; epoch <= 10; epoch++) {
        checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, epoch);
        store_written w;
        c->created_us = epoch == 9 ? 2000000000000000 : 5; /* somebody set the clock */
        assert_int_equal(store_write(s, c, &w, err), WEIR_OK);
        checkpoint_free(c);
    }
    char *old = file_of(9);
    assert_int_equal(utimensat(AT_FDCWD, old, NULL, 0), 0);
    free(old);
    assert_int_equal(newest(true), 10);
    /* Names that are not ours. */
    static const char *const odd[] = {"99.weir",
                                      "00000000000000000099.weir~",
                                      "lost+found",
                                      "99999999999999999999.weir",
                                      "0000000000000000009x.weir",
                                      "00000000000000000099.txt",
                                      "00000000000000000000.weir"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char *path = NULL;
        assert_true(asprintf(&path, "%s/checkpoints/%s", folder, odd[i]) > 0);
        overwrite(path, "x", 1);
        free(path);
    }
    reopen(5);
    assert_int_equal(newest(true), 10);
    assert_true(store_next_epoch(s) == 11);
    /* A name that says otherwise than its file. */
    char *from = file_of(9), *to = file_of(12);
    assert_int_equal(link(from, to), 0);
    newest_is_refused("it holds epoch 9, its name says 12");
    free(from);
    free(to);
}

/* ---- damage ---- */

static void a_strict_restore_is_refused_with_choices(void **unused) {
    (void)unused;
    open_store(9);
    for (uint64_t epoch = 1; epoch <= 6; epoch++) write_ok(epoch);
    assert_int_equal(write_one(CHECKPOINT_SAVEPOINT, 7, NULL), WEIR_OK);
    write_ok(8);
    damage(8);
    damage(5);
    char *path = file_of(8), *good = file_of(6), *bad = file_of(5), *hint_end;
    newest_is_refused(path);
    assert_non_null(
        strstr(error_text(err), "checkpoint 8 is damaged, and may have been committed"));
    assert_true((error_flags(err) & WEIR_ERR_CONFIG) != 0);
    weir_str hint = error_get_detail(err, WEIR_DETAIL_HINT);
    assert_true(asprintf(&hint_end, "%.*s", (int)hint.len, hint.ptr) > 0);
    assert_non_null(strstr(hint_end, good));
    assert_null(strstr(hint_end, bad));
    assert_non_null(strstr(hint_end, "--from before-upgrade (savepoint, epoch 7, 2026-09-21T"));
    assert_non_null(strstr(hint_end, "--from none"));
    assert_non_null(strstr(hint_end, "(epoch 6,"));
    /* The words of the choices work. */
    checkpoint *c = NULL;
    assert_int_equal(store_load(s, str_of(good), &c, err), WEIR_OK);
    assert_true(c->epoch == 6);
    checkpoint_free(c);
    free(hint_end);
    /* Where repeats are allowed the one before is good enough, and a damaged one in between. */
    assert_int_equal(newest(false), 6);
    damage(6);
    assert_int_equal(newest(false), 4);
    /* Damage below the newest is nobody's business. */
    write_ok(9);
    assert_int_equal(newest(true), 9);
    free(path);
    free(good);
    free(bad);
}

static void nothing_readable_is_no_fresh_start(void **unused) {
    (void)unused;
    open_store(9);
    write_ok(3);
    write_ok(4);
    damage(3);
    damage(4);
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, false, &c, err), WEIR_E_DATA);
    assert_null(c);
    assert_non_null(strstr(error_text(err), "checkpoint 4 is damaged"));
}

/* Neither a newer format nor a missing permission says that the checkpoint is bad. */
static void what_is_not_damage_is_no_step_back(void **unused) {
    (void)unused;
    open_store(9);
    write_ok(3);
    write_ok(4);
    p.fails = "read checkpoints/00000000000000000004";
    assert_int_equal(newest(false), 3); /* an input/output error is */
    newest_is_refused("checkpoint 4 cannot be read");
    forget_log();
    static const unsigned char format_2[] = {0x8f, 'w', 'e', 'i', 'r', '\r', '\n', 0x1a, 2};
    char bytes[64] = {0};
    memcpy(bytes, format_2, sizeof format_2);
    /* The checksum of these 44 bytes. */
    uint32_t sum = 0xffffffff;
    for (int i = 0; i < 44; i++) {
        sum ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
    }
    sum = ~sum;
    for (int i = 0; i < 4; i++) bytes[44 + i] = (char)(sum >> (8 * i));
    char *path = file_of(4);
    overwrite(path, bytes, sizeof bytes);
    checkpoint *c = NULL;
    assert_int_equal(store_newest(s, false, &c, err), WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(err), path));
    assert_true(error_get_detail(err, WEIR_DETAIL_HINT).len > 0);
    free(path);
}

/* Every byte of the newest file in turn, in three ways, and every length. */
static void every_damage_is_found(void **unused) {
    (void)unused;
    open_store(9);
    write_ok(3);
    write_ok(4);
    char *path = file_of(4);
    buf good;
    buf_init(&good, 1 << 20);
    assert_int_equal(disk_system.read(NULL, path, 1 << 20, &good, err), WEIR_OK);
    for (size_t i = 0; i < good.len; i++) {
        char was = good.data[i];
        const char wrong[] = {(char)(was ^ 1), (char)(was ^ 0x80), (char)~was};
        for (size_t k = 0; k < sizeof wrong; k++) {
            good.data[i] = wrong[k];
            overwrite(path, good.data, good.len);
            newest_is_refused(path);
            assert_int_equal(newest(false), 3);
        }
        good.data[i] = was;
        buf_reset(&p.log);
    }
    for (size_t len = 0; len < good.len; len++) {
        overwrite(path, good.data, len);
        newest_is_refused(path);
        assert_int_equal(newest(false), 3);
    }
    overwrite(path, good.data, good.len);
    assert_int_equal(newest(true), 4);
    buf_free(&good);
    free(path);
}

/* ---- retention ---- */

static void old_ones_go(void **unused) {
    (void)unused;
    open_store(3);
    assert_int_equal(write_one(CHECKPOINT_SAVEPOINT, 1, NULL), WEIR_OK);
    for (uint64_t epoch = 2; epoch <= 6; epoch++) write_ok(epoch);
    assert_true(!there(2) && !there(3) && there(4) && there(5) && there(6));
    /* A new run counts what it finds; a damaged one does not count and goes with the others. */
    damage(5);
    reopen(3);
    write_ok(7);
    assert_true(there(4) && there(5) && there(6) && there(7));
    write_ok(8);
    assert_true(!there(4) && !there(5) && there(6) && there(7) && there(8));
    /* Files are tried once, not at each write. */
    forget_log();
    write_ok(9);
    assert_null(strstr(p.log.data, "read"));
    assert_null(strstr(p.log.data, "list"));
    /* What cannot be removed is tried again, and costs no checkpoint. */
    p.fails = "remove";
    write_ok(10);
    assert_true(there(7));
    forget_log();
    write_ok(11);
    assert_true(!there(7) && !there(8) && there(9));
    reopen(0);
    write_ok(12);
    assert_true(!there(11) && there(12));
    assert_int_equal(access(folder, F_OK), 0);
    store_entry *entries;
    uint32_t count;
    assert_int_equal(store_list(s, true, &entries, &count, err), WEIR_OK);
    assert_int_equal(count, 1);
    free(entries);
}

static void what_is_newer_than_the_newest_readable_stays(void **unused) {
    (void)unused;
    open_store(1);
    write_ok(5);
    damage(5);
    char *later = file_of(9);
    overwrite(later, "damaged", 7);
    free(later);
    reopen(1);
    write_ok(7); /* a run that was told --from */
    assert_true(!there(5) && there(7) && there(9));
    newest_is_refused("checkpoint 9 is damaged");
}

/* ---- savepoints and lists ---- */

static void write_named(const char *name, uint64_t epoch, weir_status expected) {
    checkpoint *c = sample_checkpoint(CHECKPOINT_SAVEPOINT, epoch);
    store_written w;
    c->name = str_of(name);
    assert_int_equal(store_write_savepoint(s, c, &w, err), expected);
    checkpoint_free(c);
}

static void savepoints(void **unused) {
    (void)unused;
    open_store(2);
    checkpoint *c = NULL;
    assert_int_equal(store_load(s, STR("monday"), &c, err), WEIR_E_NOT_FOUND);
    assert_non_null(strstr(error_text(err), "there is none"));
    write_named("monday", 4, WEIR_OK);
    write_named("before-upgrade", 6, WEIR_OK);
    write_named("monday", 7, WEIR_E_EXISTS);
    assert_non_null(strstr(error_text(err), "monday"));
    write_named("not a name", 8, WEIR_E_INVALID_ARG);
    forget_log();
    write_named("third", 9, WEIR_OK);
    assert_string_equal(p.log.data, "list savepoints\n"
                                    "create savepoints/third.weir.tmp\n"
                                    "sync_file savepoints/third.weir.tmp\n"
                                    "rename savepoints/third.weir\n"
                                    "sync_dir savepoints\n");
    assert_int_equal(store_load(s, STR("monday"), &c, err), WEIR_OK);
    assert_true(c->epoch == 4);
    checkpoint_free(c);
    assert_int_equal(store_load(s, STR("mnday"), &c, err), WEIR_E_NOT_FOUND);
    assert_non_null(strstr(error_text(err), "before-upgrade, monday, third"));
    weir_str hint = error_get_detail(err, WEIR_DETAIL_HINT);
    assert_true(str_eq(hint, STR("did you mean monday?")));
    assert_int_equal(store_load(s, STR("latest"), &c, err), WEIR_E_INVALID_ARG);
    assert_int_equal(store_load(s, STR("./no/such/file"), &c, err), WEIR_E_NOT_FOUND);

    char *damaged = folder_path(folder, "savepoints/before-upgrade.weir");
    overwrite(damaged, "x", 1);
    store_entry *e;
    uint32_t count;
    assert_int_equal(store_list(s, true, &e, &count, err), WEIR_OK);
    assert_int_equal(count, 3);
    assert_string_equal(e[0].name, "before-upgrade");
    assert_string_equal(e[0].path, damaged);
    assert_false(e[0].readable);
    assert_non_null(strstr(e[0].why, "truncated"));
    assert_string_equal(e[1].name, "monday");
    assert_true(e[1].readable && e[1].epoch == 4 && e[1].kind == CHECKPOINT_SAVEPOINT);
    assert_true(e[1].bytes > 600 && e[1].created_us == 1790000004000000);
    free(e);

    assert_int_equal(store_load(s, STR("before-upgrade"), &c, err), WEIR_E_DATA);
    assert_int_equal(store_delete_savepoint(s, STR("before-upgrade"), err), WEIR_OK);
    assert_int_equal(access(damaged, F_OK), -1);
    assert_int_equal(store_delete_savepoint(s, STR("before-upgrade"), err), WEIR_E_NOT_FOUND);
    assert_int_equal(store_delete_savepoint(s, STR("../lock"), err), WEIR_E_INVALID_ARG);
    free(damaged);
}

static void names_of_savepoints(void **unused) {
    (void)unused;
    static const char *const good[] = {"a", "before-upgrade_2.1", "7", "A.weir", "lateST"};
    static const char *const bad[] = {"",       ".hidden", "-rf",         "a b", "a/b", "none",
                                      "latest", "a\nb",    "caf\xc3\xa9", "a:b", "$x"};
    char longest[LIMIT_NAME_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(store_check_name(str_of(good[i]), err), WEIR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(store_check_name(str_of(bad[i]), err), WEIR_E_INVALID_ARG);
    assert_int_equal(store_check_name(str_make(longest, sizeof longest - 1), err), WEIR_OK);
    assert_int_equal(store_check_name(str_make(longest, sizeof longest), err), WEIR_E_INVALID_ARG);
}

static void the_list_is_newest_first(void **unused) {
    (void)unused;
    open_store(9);
    for (uint64_t epoch = 8; epoch <= 12; epoch++) write_ok(epoch);
    damage(11);
    store_entry *e;
    uint32_t count;
    assert_int_equal(store_list(s, false, &e, &count, err), WEIR_OK);
    assert_int_equal(count, 5);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(e[i].epoch == 12 - i);
        assert_int_equal(e[i].readable, e[i].epoch != 11);
        assert_string_equal(e[i].name, "");
    }
    free(e);
}

/* ---- owners ---- */

static void one_process_at_a_time(void **unused) {
    (void)unused;
    open_store(3);
    write_ok(4);
    const store_config c = config(3);
    assert_null(store_open(&c, false, err));
    assert_int_equal(error_status(err), WEIR_E_EXISTS);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(error_text(err), pid));
    assert_non_null(strstr(error_text(err), "clickstream"));
    /* Beside it one may look. */
    char *temporary = folder_path(folder, "checkpoints/00000000000000000005.weir.tmp");
    overwrite(temporary, "under way", 9);
    forget_log();
    store *owner = s;
    s = store_open(&c, true, err);
    assert_non_null(s);
    assert_int_equal(newest(true), 4);
    assert_int_equal(access(temporary, F_OK), 0);
    store_written w;
    checkpoint *made = sample_checkpoint(CHECKPOINT_SAVEPOINT, 9);
    assert_int_equal(store_write(s, made, &w, err), WEIR_E_INVALID_STATE);
    assert_int_equal(store_write_savepoint(s, made, &w, err), WEIR_E_INVALID_STATE);
    checkpoint_free(made);
    assert_null(strstr(p.log.data, "lock"));
    assert_null(strstr(p.log.data, "make_dirs"));
    store_close(s);
    s = owner;
    free(temporary);
    reopen(3);
}

/* Checkpoints on a share, the rest at home: both are locked. */
static void a_place_elsewhere(void **unused) {
    (void)unused;
    char *share = folder_path(root, "share/clickstream"), *home = folder_path(root, "home-2");
    store_config c = config(3);
    c.place = share;
    s = store_open(&c, false, err);
    assert_non_null(s);
    write_ok(4);
    assert_false(there(4));
    assert_int_equal(newest(true), 4);
    c.folder = home; /* another machine */
    assert_null(store_open(&c, false, err));
    assert_int_equal(error_status(err), WEIR_E_EXISTS);
    assert_non_null(strstr(error_text(err), share));
    free(share);
    free(home);
}

static void nothing_there_is_nothing_to_see(void **unused) {
    (void)unused;
    const store_config c = config(3);
    s = store_open(&c, true, err);
    assert_non_null(s);
    assert_int_equal(newest(true), 0);
    store_entry *e;
    uint32_t count = 9;
    assert_int_equal(store_list(s, true, &e, &count, err), WEIR_OK);
    assert_int_equal(count, 0);
    free(e);
    assert_int_equal(access(folder, F_OK), -1);
    store_close(NULL);
}

static void paths_have_an_end(void **unused) {
    (void)unused;
    static char deep[5000];
    memset(deep, 'a', sizeof deep - 1);
    deep[0] = '/';
    store_config c = config(3);
    c.folder = deep;
    assert_null(store_open(&c, false, err));
    assert_int_equal(error_status(err), WEIR_E_TOO_LARGE);
    open_store(3);
    checkpoint *loaded;
    assert_int_equal(store_load(s, str_of(deep), &loaded, err), WEIR_E_TOO_LARGE);
}

/* ---- faults ---- */

/* A run: open, look, write, seal, save, list, close. Its first failure. */
static weir_status run(uint64_t epoch) {
    const store_config config_2 = config(2);
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, epoch), *found = NULL;
    checkpoint *named = sample_checkpoint(CHECKPOINT_SAVEPOINT, epoch + 1);
    weir_status status = c != NULL && named != NULL ? WEIR_OK : WEIR_E_NOMEM;
    store *run_store = status == WEIR_OK ? store_open(&config_2, false, err) : NULL;
    if (status == WEIR_OK && run_store == NULL) status = error_status(err);
    store_entry *entries = NULL;
    uint32_t count;
    store_written w;
    if (status == WEIR_OK) status = store_newest(run_store, true, &found, err);
    if (status == WEIR_OK && found != NULL) status = store_sync(run_store, found, err);
    if (status == WEIR_OK) status = store_write(run_store, c, &w, err);
    if (status == WEIR_OK) status = store_write_savepoint(run_store, named, &w, err);
    if (status == WEIR_OK) status = store_list(run_store, true, &entries, &count, err);
    free(entries);
    checkpoint_free(found);
    if (status == WEIR_OK) status = store_load(run_store, named->name, &found, err);
    if (status == WEIR_OK) checkpoint_free(found);
    if (status == WEIR_OK) status = store_delete_savepoint(run_store, named->name, err);
    store_close(run_store);
    checkpoint_free(c);
    checkpoint_free(named);
    return status;
}

static void clear_savepoint(void) {
    char *path = folder_path(folder, "savepoints/before-upgrade.weir");
    (void)unlink(path);
    free(path);
}

/* Whatever fails, the next run finds this one's checkpoint or the one before, and both are whole.
 */
static void after_a_fault(uint64_t epoch) {
    forget_log();
    clear_savepoint();
    open_store(2);
    uint64_t found = newest(true);
    assert_true(found == epoch || found == epoch - 1);
    write_ok(epoch);
    store_close(s);
    s = NULL;
}

static void the_nth_allocation_fails(void **unused) {
    (void)unused;
    assert_int_equal(run(1), WEIR_OK);
    assert_int_equal(run(2), WEIR_OK);
    buf_reserve(&p.log, 1 << 20); /* not what is to fail */
    for (uint64_t n = 1;; n++) {
        error_clear(err);
        (void)mem_test_fail_at((int64_t)n, n % 2 == 0);
        weir_status status = run(n + 2);
        bool failed = mem_test_fail_at(0, false);
        if (!failed) assert_int_equal(status, WEIR_OK);
        /* Retention and the text of a hint can do without. */
        if (status != WEIR_OK) assert_int_equal(status, WEIR_E_NOMEM);
        after_a_fault(n + 2);
        if (!failed) {
            assert_in_range(n, 50, 1000);
            return;
        }
    }
}

static void the_nth_call_of_the_disk_fails(void **unused) {
    (void)unused;
    for (int done = 0; done < 2; done++) {
        folder_remove(folder);
        assert_int_equal(run(1), WEIR_OK);
        assert_int_equal(run(2), WEIR_OK);
        for (unsigned n = 1;; n++) {
            forget_log();
            p.fail_at = n;
            p.done_anyway = done == 1;
            error_clear(err);
            weir_status status = run(n + 2);
            bool failed = p.calls >= n;
            if (!failed) assert_int_equal(status, WEIR_OK);
            if (status != WEIR_OK) {
                assert_true(status == WEIR_E_IO || status == WEIR_E_DATA);
                assert_non_null(strstr(error_text(err), folder));
            }
            after_a_fault(n + 2);
            if (!failed) {
                assert_in_range(n, 15, 100);
                break;
            }
        }
    }
}

int main(void) {
    (void)log_configure("error"); /* each step back is a warning: thousands here */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_are_durable_before_their_name),
        T(a_failed_sync_is_never_tried_again),
        T(after_the_rename_nobody_knows),
        T(a_restore_syncs_what_it_read),
        T(no_epoch_comes_twice),
        T(an_epoch_from_elsewhere_counts),
        T(nobody_has_to_ask_why),
        T(a_reader_beside_a_worker_finds_the_newest),
        T(the_highest_epoch_is_the_newest),
        T(a_strict_restore_is_refused_with_choices),
        T(nothing_readable_is_no_fresh_start),
        T(what_is_not_damage_is_no_step_back),
        T(every_damage_is_found),
        T(old_ones_go),
        T(what_is_newer_than_the_newest_readable_stays),
        T(savepoints),
        T(names_of_savepoints),
        T(the_list_is_newest_first),
        T(one_process_at_a_time),
        T(a_place_elsewhere),
        T(nothing_there_is_nothing_to_see),
        T(paths_have_an_end),
        T(the_nth_allocation_fails),
        T(the_nth_call_of_the_disk_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
