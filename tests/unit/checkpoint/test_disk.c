/*
 * The file system of this machine: modes, what is left after failures, and a lock that dies with
 * its process.
 */
#define _GNU_SOURCE /* asprintf, nftw, unshare */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/disk.h"
#include "folder.h"

extern char **environ;

static const disk *d = &disk_system;
static weir_error *err;
static char *root;

static int setup(void **unused) {
    (void)unused;
    err = error_new();
    root = folder_make();
    return err == NULL || root == NULL;
}

static int teardown(void **unused) {
    (void)unused;
    folder_remove(root);
    free(root);
    error_free(err);
    return 0;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void folders_and_files_are_private(void **unused) {
    (void)unused;
    mode_t kept = umask(0);
    char *deep = folder_path(root, "a/b/c"), *file = folder_path(root, "a/b/c/file");
    char *middle = folder_path(root, "a/b");
    assert_int_equal(d->make_dirs(d->self, deep, err), WEIR_OK);
    assert_int_equal(d->make_dirs(d->self, deep, err), WEIR_OK);
    assert_int_equal(mode_of(deep), 0700);
    assert_int_equal(mode_of(middle), 0700);
    assert_int_equal(d->create(d->self, file, STR("bytes"), err), WEIR_OK);
    assert_int_equal(mode_of(file), 0600);
    assert_int_equal(d->sync_file(d->self, file, err), WEIR_OK);
    assert_int_equal(d->sync_dir(d->self, deep, err), WEIR_OK);
    /* A folder cannot stand where a file does, nor below one. */
    assert_int_equal(d->make_dirs(d->self, file, err), WEIR_E_EXISTS);
    assert_non_null(strstr(error_text(err), file));
    char *below = folder_path(root, "a/b/c/file/d");
    assert_true(d->make_dirs(d->self, below, err) < 0);
    (void)umask(kept);
    free(deep);
    free(file);
    free(middle);
    free(below);
}

static void files(void **unused) {
    (void)unused;
    char *one = folder_path(root, "one"), *two = folder_path(root, "two");
    buf b;
    buf_init(&b, 100);
    assert_int_equal(d->create(d->self, one, STR("a\0b"), err), WEIR_OK);
    assert_int_equal(d->create(d->self, one, STR("other"), err), WEIR_E_EXISTS);
    assert_int_equal(d->rename(d->self, one, two, err), WEIR_OK);
    assert_int_equal(d->read(d->self, one, 100, &b, err), WEIR_E_NOT_FOUND);
    assert_non_null(strstr(error_text(err), one));
    assert_int_equal(d->read(d->self, two, 2, &b, err), WEIR_E_TOO_LARGE);
    assert_int_equal(d->read(d->self, two, 3, &b, err), WEIR_OK);
    assert_true(str_eq(buf_str(&b), STR("a\0b")));
    assert_int_equal(d->sync_file(d->self, one, err), WEIR_E_NOT_FOUND);
    assert_int_equal(d->sync_dir(d->self, one, err), WEIR_E_NOT_FOUND);
    assert_true(d->sync_dir(d->self, two, err) < 0);
    assert_int_equal(d->rename(d->self, one, two, err), WEIR_E_NOT_FOUND);
    assert_int_equal(d->remove(d->self, two, err), WEIR_OK);
    assert_int_equal(d->remove(d->self, two, err), WEIR_OK);
    assert_true(d->remove(d->self, root, err) < 0); /* a folder is no file */
    buf_free(&b);
    free(one);
    free(two);
}

static void count_name(void *opaque, const char *name) {
    unsigned *seen = opaque;
    assert_int_equal(name[1], '\0');
    *seen |= 1u << (name[0] - 'a');
}

static void lists(void **unused) {
    (void)unused;
    unsigned seen = 0;
    for (int i = 0; i < 20; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        char *path = folder_path(root, name);
        assert_int_equal(d->create(d->self, path, STR(""), err), WEIR_OK);
        free(path);
    }
    assert_int_equal(d->list(d->self, root, count_name, &seen, err), WEIR_OK);
    assert_int_equal(seen, (1u << 20) - 1);
    char *none = folder_path(root, "none");
    assert_int_equal(d->list(d->self, none, count_name, &seen, err), WEIR_E_NOT_FOUND);
    assert_non_null(strstr(error_text(err), none));
    free(none);
}

/* A file that could not be written whole is removed: it would only take space. */
static void what_does_not_fit_leaves_nothing(void **unused) {
    (void)unused;
    static char bytes[100000];
    char *path = folder_path(root, "large");
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    little = before;
    little.rlim_cur = 5000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    weir_status status = d->create(d->self, path, str_make(bytes, sizeof bytes), err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, WEIR_E_TOO_LARGE);
    assert_non_null(strstr(error_text(err), path));
    assert_true(error_get_detail(err, WEIR_DETAIL_HINT).len > 0);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

/* In a user namespace nobody owns anything until the ids are mapped. */
static bool say(const char *file, const char *words, unsigned id) {
    FILE *f = fopen(file, "w");
    if (f == NULL) return false;
    char text[32];
    (void)snprintf(text, sizeof text, "0 %u 1", id);
    bool ok = fputs(words != NULL ? words : text, f) >= 0;
    return fclose(f) == 0 && ok;
}

static bool own_mounts(void) {
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        if (!say("/proc/self/setgroups", "deny", 0) || !say("/proc/self/uid_map", NULL, uid) ||
            !say("/proc/self/gid_map", NULL, gid))
            return false;
    } else if (unshare(CLONE_NEWNS) != 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* In a child: a file system of 64 KiB, in a namespace of its own. */
static int fill_small_disk(void) {
    static char bytes[200000];
    if (!own_mounts() || mount("none", root, "tmpfs", 0, "size=64k") != 0) return 2;
    char *path = folder_path(root, "large");
    weir_status status = d->create(d->self, path, str_make(bytes, sizeof bytes), err);
    bool told = strstr(error_text(err), path) != NULL &&
                strstr(error_get_detail(err, WEIR_DETAIL_HINT).ptr, "free space") != NULL;
    bool gone = access(path, F_OK) != 0;
    bool small = d->create(d->self, path, STR("fits"), err) == WEIR_OK;
    return status == WEIR_E_IO && told && gone && small ? 0 : 1;
}

static void a_full_disk_says_what_to_do(void **unused) {
    (void)unused;
    pid_t child = fork();
    if (child == 0) _exit(fill_small_disk());
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    if (WEXITSTATUS(how) == 2) skip(); /* no namespaces here */
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* In a child, since root has to become somebody else for it. */
static int write_elsewhere(const char *file) {
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) return 1;
    int handle;
    bool ok = d->create(d->self, file, STR("x"), err) == WEIR_E_PERMISSION &&
              strstr(error_text(err), file) != NULL &&
              error_get_detail(err, WEIR_DETAIL_HINT).len > 0;
    ok = ok && d->make_dirs(d->self, file, err) == WEIR_E_PERMISSION;
    return ok && d->lock(d->self, file, &handle, err) == WEIR_E_PERMISSION ? 0 : 1;
}

static void nobody_else_may_write(void **unused) {
    (void)unused;
    char *folder = folder_path(root, "locked"), *file = folder_path(root, "locked/file");
    assert_int_equal(mkdir(folder, 0500), 0);
    pid_t child = fork();
    if (child == 0) _exit(write_elsewhere(file));
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    free(folder);
    free(file);
}

static void one_holds_the_lock(void **unused) {
    (void)unused;
    char *path = folder_path(root, "lock"), pid[64];
    int one, two;
    assert_int_equal(d->lock(d->self, path, &one, err), WEIR_OK);
    assert_int_equal(mode_of(path), 0600);
    assert_true((fcntl(one, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(d->lock(d->self, path, &two, err), WEIR_E_EXISTS);
    (void)snprintf(pid, sizeof pid, "is locked by process %ld", (long)getpid());
    assert_non_null(strstr(error_text(err), pid));
    assert_non_null(strstr(error_text(err), path));
    d->unlock(d->self, one);
    assert_int_equal(d->lock(d->self, path, &two, err), WEIR_OK);
    d->unlock(d->self, two);
    /* Nothing in the file is believed. */
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(d->lock(d->self, path, &one, err), WEIR_OK);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs("-7 rm\n", f);
    (void)fclose(f);
    assert_int_equal(d->lock(d->self, path, &two, err), WEIR_E_EXISTS);
    assert_non_null(strstr(error_text(err), "another process"));
    d->unlock(d->self, one);
    free(path);
}

/* The holder starts a program that outlives it, and is killed: the lock is free at once. */
static void the_lock_dies_with_its_process(void **unused) {
    (void)unused;
    char *path = folder_path(root, "lock");
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int handle;
        pid_t sleeper = 0;
        char *argv[] = {(char[]){"sleep"}, (char[]){"600"}, NULL};
        if (d->lock(d->self, path, &handle, err) != WEIR_OK ||
            posix_spawnp(&sleeper, "sleep", NULL, NULL, argv, environ) != 0)
            sleeper = 0;
        (void)!write(ready[1], &sleeper, sizeof sleeper);
        for (;;) (void)pause();
    }
    pid_t sleeper = 0;
    assert_int_equal(read(ready[0], &sleeper, sizeof sleeper), sizeof sleeper);
    assert_true(sleeper > 0);
    int handle, how;
    weir_status held = d->lock(d->self, path, &handle, err);
    char who[64];
    (void)snprintf(who, sizeof who, "process %ld", (long)child);
    bool named = strstr(error_text(err), who) != NULL;
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &how, 0);
    bool outlived = kill(sleeper, 0) == 0;
    weir_status freed = d->lock(d->self, path, &handle, err);
    (void)kill(sleeper, SIGKILL);
    assert_int_equal(held, WEIR_E_EXISTS);
    assert_true(named);
    assert_true(outlived);
    assert_int_equal(freed, WEIR_OK);
    d->unlock(d->self, handle);
    (void)close(ready[0]);
    (void)close(ready[1]);
    free(path);
}

static void without_memory(void **unused) {
    (void)unused;
    char *deep = folder_path(root, "a/b/c");
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        (void)mem_test_fail_at(n, false);
        weir_status status = d->make_dirs(d->self, deep, err);
        failed = mem_test_fail_at(0, false);
        assert_int_equal(status, failed ? WEIR_E_NOMEM : WEIR_OK);
        assert_in_range(n, 1, 20);
    }
    free(deep);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(folders_and_files_are_private),
        T(files),
        T(lists),
        T(what_does_not_fit_leaves_nothing),
        T(a_full_disk_says_what_to_do),
        T(nobody_else_may_write),
        T(one_holds_the_lock),
        T(the_lock_dies_with_its_process),
        T(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
