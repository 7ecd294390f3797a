#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "std/std.h"
#include "support/fake_host.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})
#define SECOND INT64_C(1000000000)

static const weir_sink_ops *ops;
static char folder[64];
static fake_instance host;

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
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_instance_free(&host);
    empty_folder(folder);
    return rmdir(folder);
}

/* Names in a folder below the test's, sorted, one blank between. */
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

static const char *content(const char *name) {
    static char out[65536];
    char path[512];
    FILE *f;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "r");
    if (f == NULL) return "(no file)";
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    fclose(f);
    return out;
}

/* The folder's only unfinished file, relative to the test's folder. */
static const char *pending_in(const char *below) {
    static char out[512];
    char path[256];
    struct dirent **list;
    uint32_t found = 0;
    int n;
    snprintf(path, sizeof path, "%s/%s", folder, below);
    n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(list[i]->d_name);
        if (list[i]->d_name[0] == '.' && len > 8 &&
            strcmp(list[i]->d_name + len - 8, ".pending") == 0) {
            snprintf(out, sizeof out, "%s%s%s", below, below[0] != '\0' ? "/" : "",
                     list[i]->d_name);
            found++;
        }
        free(list[i]);
    }
    if (n >= 0) free(list);
    assert_int_equal(found, 1);
    return out;
}

static void *open_sink(const char *path) {
    fake_set_text(&host, "path", path);
    return fake_sink_open(&host, &std_file_sink);
}

static void write_values(void *self, const weir_str *values, uint32_t count, bool trailer) {
    static uint64_t token;
    fake_request r;
    weir_write w = {.struct_size = sizeof w, .deadline_ns = INT64_MAX, .epoch = 1};
    uint32_t before = host.results;
    fake_request_make(&r, values, count, trailer);
    w.request = &r.request;
    w.token = ++token;
    assert_int_equal(ops->write(self, &w), WEIR_OK);
    assert_int_equal(w.taken, count);
    assert_int_equal(host.results, before + 1); /* completed exactly once */
    assert_int_equal(host.result.token, token);
    fake_request_free(&r);
}

static void write_one(void *self, const char *value) {
    weir_str v = weir_str_of(value);
    write_values(self, &v, 1, true);
}

static void flush(void *self, bool last) {
    weir_flush f = {.struct_size = sizeof f, .epoch = 7, .deadline_ns = INT64_MAX};
    f.last = last;
    assert_int_equal(ops->flush(self, &f), WEIR_OK);
    assert_int_equal(host.flushed_epoch, 7);
}

static void end(void *self, uint32_t mode) {
    weir_close c = {.struct_size = sizeof c, .mode = mode};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
}

static void test_one_file(void **state) {
    void *self = open_sink("out/sub/a.jsonl");
    (void)state;
    assert_string_equal(names(""), ""); /* open touches nothing */
    write_one(self, "one");
    assert_string_equal(names("out/sub"), ".a.jsonl.local--0-0-0.pending");
    assert_string_equal(content(pending_in("out/sub")), "one\n"); /* seen at once */
    flush(self, false);
    assert_int_equal(host.flush_status, WEIR_OK);
    write_one(self, "two");
    flush(self, true);
    assert_int_equal(host.flush_status, WEIR_OK);
    assert_string_equal(names("out/sub"), "a.jsonl");
    assert_string_equal(content("out/sub/a.jsonl"), "one\ntwo\n");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("out/sub"), "a.jsonl");
    /* The next run does not overwrite. */
    self = open_sink("out/sub/a.jsonl");
    write_one(self, "three");
    end(self, WEIR_CLOSE_DRAIN);
    self = open_sink("out/sub/a.jsonl");
    write_one(self, "four");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("out/sub"), "a-000001.jsonl a-000002.jsonl a.jsonl");
    assert_string_equal(content("out/sub/a.jsonl"), "one\ntwo\n");
    assert_string_equal(content("out/sub/a-000001.jsonl"), "three\n");
    assert_string_equal(content("out/sub/a-000002.jsonl"), "four\n");
}

static void test_roll_size(void **state) {
    char value[100];
    void *self;
    (void)state;
    fake_set_number(&host, "roll.size", 1000);
    self = open_sink("a.txt");
    memset(value, 'v', 99);
    value[99] = '\0';
    for (int n = 0; n < 25; n++) write_one(self, value);
    assert_string_equal(names(""), ".a.txt.local--0-0-2.pending a-000001.txt a-000002.txt");
    assert_int_equal(strlen(content("a-000001.txt")), 1000);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a-000001.txt a-000002.txt a-000003.txt");
    assert_int_equal(strlen(content("a-000003.txt")), 500);
}

/* One request that spans several files: rolled at a record's boundary in the middle of it. */
static void test_roll_in_request(void **state) {
    weir_str values[30];
    void *self;
    (void)state;
    for (int n = 0; n < 30; n++)
        values[n] = STR("0123456789012345678901234567890123456789012345678");
    fake_set_number(&host, "roll.size", 510);
    self = open_sink("a.txt");
    write_values(self, values, 30, true);
    write_values(self, values, 3, false);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), "a-000001.txt a-000002.txt a-000003.txt");
    assert_int_equal(strlen(content("a-000001.txt")), 550);
    assert_int_equal(strlen(content("a-000003.txt")), 550);
}

static void test_roll_time(void **state) {
    weir_drive d = {.struct_size = sizeof d};
    void *self;
    (void)state;
    fake_set_number(&host, "roll.age", 10 * SECOND);
    fake_set_number(&host, "roll.idle", 3 * SECOND);
    self = open_sink("a.txt");
    assert_int_equal(ops->drive(self, &d), WEIR_OK);
    assert_int_equal(d.next_ns, 0);
    write_one(self, "one");
    assert_int_equal(ops->drive(self, &d), WEIR_OK);
    assert_int_equal(d.next_ns, fake_host_now() + 3 * SECOND);
    for (int n = 0; n < 5; n++) { /* never idle for 3 s, but old after 10 s */
        fake_host_advance(2 * SECOND);
        ops->drive(self, &d);
        assert_true(d.next_ns > fake_host_now() || n == 4);
        if (n < 4) write_one(self, "more");
    }
    assert_string_equal(names(""), "a-000001.txt");
    write_one(self, "next");
    fake_host_advance(3 * SECOND);
    ops->drive(self, &d);
    assert_string_equal(names(""), "a-000001.txt a-000002.txt");
    end(self, WEIR_CLOSE_DRAIN);
}

static void test_folder(void **state) {
    void *self = open_sink("out/");
    const char *name;
    (void)state;
    write_one(self, "one");
    end(self, WEIR_CLOSE_DRAIN);
    name = names("out");
    assert_non_null(strstr(name, "part-20260101T"));
    assert_non_null(strstr(name, "-000001.txt"));
    assert_null(strchr(name, ' '));
    assert_int_equal(name[0], 'p');
}

/* A template: several files in one request, bad paths refused one by one. */
static void test_template(void **state) {
    const char *ptr[6] = {"o/a.x", "o/b.x", "o/../../../etc/x.x", "o/a.x", NULL, "o/a.x"};
    uint32_t len[6] = {5, 5, 18, 5, 0, 5};
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_PLAIN};
    weir_str values[6] = {STR("1"), STR("2"), STR("3"), STR("4"), STR("5"), STR("6")};
    void *self = open_sink("o/${.u}.x");
    (void)state;
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    write_values(self, values, 6, false);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 2);
    assert_int_equal(host.result.failed_index[0], 2);
    assert_int_equal(host.result.failed_index[1], 4);
    assert_int_equal(host.result.failed_status[0], WEIR_E_DATA);
    assert_non_null(strstr(host.result.text, "'..'"));
    assert_true(host.result.flags & WEIR_ERR_PER_RECORD);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("o"), "a.x b.x");
    assert_string_equal(content("o/a.x"), "1\n4\n6\n");
}

/* More files than descriptors: each is opened again where it was left. */
static void test_max_open(void **state) {
    const char *ptr[1];
    uint32_t len[1];
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_CONSTANT};
    void *self;
    (void)state;
    fake_set_number(&host, "max_open", 2);
    self = open_sink("o/${.u}");
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    for (int round = 0; round < 3; round++) {
        for (int n = 0; n < 5; n++) {
            char path[16];
            snprintf(path, sizeof path, "o/f%d", n);
            ptr[0] = path;
            len[0] = (uint32_t)strlen(path);
            write_one(self, round == 0 ? "x" : round == 1 ? "y" : "z");
        }
        flush(self, false);
        assert_int_equal(host.flush_status, WEIR_OK);
    }
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("o"), "f0 f1 f2 f3 f4");
    assert_string_equal(content("o/f0"), "x\ny\nz\n");
    assert_string_equal(content("o/f4"), "x\ny\nz\n");
}

static void test_newline(void **state) {
    weir_str values[3] = {STR("good"), STR("b\nd"), STR("better")};
    void *self = open_sink("a.txt");
    (void)state;
    write_values(self, values, 3, false);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 1);
    assert_int_equal(host.result.failed_index[0], 1);
    assert_int_equal(host.result.failed_status[0], WEIR_E_DATA);
    assert_non_null(strstr(host.result.text, "newline"));
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("a.txt"), "good\nbetter\n");
}

/* The file may not grow any more: what was refused is cut off, a retry neither tears nor repeats.
 */
static void test_no_space(void **state) {
    struct rlimit before;
    struct rlimit limit;
    weir_str values[40];
    char value[100];
    void *self;
    (void)state;
    memset(value, 'v', sizeof value);
    for (int n = 0; n < 40; n++) values[n] = (weir_str){value, 99};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    self = open_sink("a.txt");
    write_values(self, values, 10, false);
    limit = before;
    limit.rlim_cur = 2550; /* in the middle of a record */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    write_values(self, values, 40, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(host.result.status, WEIR_E_IO);
    assert_true(host.result.flags & WEIR_ERR_FATAL); /* a limit does not pass by waiting */
    assert_true(strlen(host.result.hint) > 0);
    assert_int_equal(strlen(content(pending_in(""))), 1000); /* whole records only */
    write_values(self, values, 40, false);                   /* the retry */
    assert_int_equal(host.result.status, WEIR_OK);
    end(self, WEIR_CLOSE_DRAIN);
    assert_int_equal(strlen(content("a.txt")), 5000);
}

/* A failure in the middle of a request: what went before is taken, the rest is not. */
static void test_partial_failure(void **state) {
    const char *ptr[3] = {"a.txt", "a.txt", "/dev/full"};
    uint32_t len[3] = {5, 5, 9};
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_PLAIN};
    weir_str values[3] = {STR("1"), STR("2"), STR("3")};
    void *self = open_sink("${.u}");
    (void)state;
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    write_values(self, values, 2, false);
    assert_int_equal(host.result.failed_count, 0);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("a.txt"), "1\n2\n");
    /* A literal /dev/full: nothing can be written, and the hint says what to do. */
    host.column = NULL;
    self = open_sink("/dev/full");
    write_values(self, values, 3, false);
    assert_int_equal(host.result.status, WEIR_E_IO);
    assert_true(host.result.flags & WEIR_ERR_RETRYABLE);
    assert_non_null(strstr(host.result.hint, "free space"));
    end(self, WEIR_CLOSE_DRAIN);
    /* In between: the first rows are in a file, the last one has nowhere to go. */
    ptr[2] = "a.txt/b"; /* a.txt is a file */
    len[2] = 7;
    host.column = &column;
    self = open_sink("${.u}");
    write_values(self, values, 3, false);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 1);
    assert_int_equal(host.result.failed_index[0], 2);
    assert_int_equal(host.result.failed_status[0], WEIR_E_DATA);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("a-000001.txt"), "1\n2\n");
}

/* What a killed run left is nobody's but that run's: the next one neither completes nor continues
 * nor removes it, also where its own pending file has the same target. */
static void test_leftover(void **state) {
    void *self;
    (void)state;
    self = open_sink("a.txt");
    write_one(self, "durable");
    flush(self, false);
    end(self, WEIR_CLOSE_ABANDON); /* as far as files go, this is a kill */
    assert_string_equal(content(pending_in("")), "durable\n");
    self = open_sink("a.txt");
    write_one(self, "again");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), ".a.txt.local--0-0-0.pending a.txt");
    assert_string_equal(content("a.txt"), "again\n");
}

/* A literal hidden name: what x and .x are called while they are written has nothing to do with
 * either. */
static void test_hidden_name(void **state) {
    void *self = open_sink(".x");
    (void)state;
    write_one(self, "hidden");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), ".x");
    self = open_sink("x");
    write_one(self, "plain");
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names(""), ".x x");
    assert_string_equal(content(".x"), "hidden\n");
    assert_string_equal(content("x"), "plain\n");
}

/* Two living sinks with one path: neither touches the other's file. */
static void test_two_writers(void **state) {
    void *a = open_sink("a.txt");
    void *b;
    (void)state;
    write_one(a, "from a");
    b = open_sink("a.txt");
    write_one(b, "from b");
    assert_string_equal(names(""), ".a.txt.local--0-0-0.pending .a.txt.local--0-0-1.pending");
    write_one(a, "from a");
    end(b, WEIR_CLOSE_DRAIN);
    end(a, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("a-000001.txt"), "from a\nfrom a\n");
    assert_string_equal(content("a.txt"), "from b\n");
}

static void test_length_framing(void **state) {
    weir_str values[2] = {STR("a\nb"), STR("")};
    char path[128];
    char bytes[32];
    FILE *f;
    void *self;
    (void)state;
    host.format.framing = WEIR_FRAMING_LENGTH;
    self = open_sink("a.bin");
    write_values(self, values, 2, false);
    end(self, WEIR_CLOSE_DRAIN);
    snprintf(path, sizeof path, "%s/a.bin", folder);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, sizeof bytes, f), 11);
    assert_memory_equal(bytes, "\0\0\0\3a\nb\0\0\0\0", 11);
    fclose(f);
}

/* A path that no file can have costs the record that made it, and nobody else's. */
static void test_path_of_a_record_too_long(void **state) {
    static char component[310];
    static char name[260];
    const char *ptr[4] = {"tpo/a/x", component, "tpo/loop/x/y", name};
    uint32_t len[4] = {7, 306, 12, 244};
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_PLAIN};
    weir_str values[4] = {STR("1"), STR("2"), STR("3"), STR("4")};
    char link[128];
    void *self;
    (void)state;
    memset(component, 'k', sizeof component);
    memcpy(component, "tpo/", 4);
    memcpy(component + 304, "/x", 2);
    memset(name, 'n', sizeof name);
    memcpy(name, "tpo/", 4); /* 240 bytes: nothing is left for a number */
    self = open_sink("tpo/${.k}");
    write_one(self, "0"); /* without a column of its own: makes no file */
    snprintf(link, sizeof link, "%s/tpo", folder);
    assert_int_equal(mkdir(link, 0777), 0);
    snprintf(link, sizeof link, "%s/tpo/loop", folder);
    assert_int_equal(symlink("loop", link), 0);
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    write_values(self, values, 4, false);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(host.result.failed_index[i], i + 1);
        assert_int_equal(host.result.failed_status[i], WEIR_E_DATA);
    }
    assert_true(host.result.flags & WEIR_ERR_PER_RECORD);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("tpo/a/x"), "1\n");
}

/* A file where a record's path needs a folder, and the other way round. */
static void test_path_of_a_record_in_the_way(void **state) {
    const char *ptr[6] = {"o/x", "o/x/y", "o/x/y/z", "o/d", "o/d", "o/w"};
    uint32_t len[6] = {3, 5, 7, 3, 3, 3};
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_PLAIN};
    weir_str values[6] = {STR("1"), STR("2"), STR("3"), STR("4"), STR("5"), STR("6")};
    char path[128];
    void *self = open_sink("o/${.u}");
    (void)state;
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    write_values(self, values, 1, false);
    flush(self, true); /* now there is a file o/x */
    snprintf(path, sizeof path, "%s/o/d", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    write_values(self, values, 6, false);
    assert_int_equal(host.result.status, WEIR_OK);
    assert_int_equal(host.result.failed_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(host.result.failed_index[i], i + 1);
        assert_int_equal(host.result.failed_status[i], WEIR_E_DATA);
    }
    assert_true(host.result.flags & WEIR_ERR_PER_RECORD);
    assert_false(host.result.flags & (WEIR_ERR_FATAL | WEIR_ERR_CONFIG));
    assert_non_null(strstr(host.result.text, "through a file"));
    flush(self, false);
    assert_int_equal(host.flush_status, WEIR_OK);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(names("o"), "d w x x-000001");
    assert_string_equal(content("o/w"), "6\n");
    assert_string_equal(content("o/x-000001"), "1\n");
}

/* A file where the literal part names a folder: no record could do better, all would be lost. */
static void test_literal_folder_is_a_file(void **state) {
    const char *ptr[1] = {"o/f/x"};
    uint32_t len[1] = {5};
    weir_column column = {.struct_size = sizeof column, .encoding = WEIR_COLUMN_CONSTANT};
    void *self = open_sink("o/f");
    (void)state;
    write_one(self, "1");
    end(self, WEIR_CLOSE_DRAIN);
    column.ptr = ptr;
    column.len = len;
    host.column = &column;
    self = open_sink("o/f/${.u}");
    write_one(self, "2");
    assert_int_equal(host.result.status, WEIR_E_NOT_FOUND);
    assert_true(host.result.flags & WEIR_ERR_FATAL);
    assert_false(host.result.flags & WEIR_ERR_PER_RECORD);
    end(self, WEIR_CLOSE_DRAIN);
    host.column = NULL; /* nor is there anybody to blame without a placeholder */
    self = open_sink("o/f/x");
    write_one(self, "3");
    assert_int_equal(host.result.status, WEIR_E_NOT_FOUND);
    assert_true(host.result.flags & WEIR_ERR_FATAL);
    end(self, WEIR_CLOSE_DRAIN);
    self = open_sink("o/f$$/x"); /* a dollar sign is not a placeholder */
    ptr[0] = "o/f/x";
    host.column = &column;
    write_one(self, "4");
    assert_int_equal(host.result.status, WEIR_E_NOT_FOUND);
    end(self, WEIR_CLOSE_DRAIN);
    assert_string_equal(content("o/f"), "1\n");
}

/* The same in a path that the manifest alone makes: no record can be better, none is blamed. */
static void test_path_of_the_manifest_too_long(void **state) {
    static char path[310];
    void *self;
    (void)state;
    memset(path, 'k', sizeof path - 1);
    memcpy(path, "tpo/", 4);
    memcpy(path + sizeof path - 3, "/x", 2);
    self = open_sink(path);
    write_one(self, "1");
    assert_int_equal(host.result.status, WEIR_E_INVALID_ARG);
    assert_true(host.result.flags & WEIR_ERR_CONFIG);
    end(self, WEIR_CLOSE_DRAIN);
}

static void test_errno_classes(void **state) {
    static const struct {
        int code;
        weir_status status;
        uint32_t flags;
    } cases[] = {
        {ENOSPC, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EDQUOT, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EAGAIN, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EINTR, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EIO, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EMFILE, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {ENFILE, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {ESTALE, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {EBUSY, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {ETIMEDOUT, WEIR_E_IO, WEIR_ERR_RETRYABLE},
        {ENOMEM, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE},
        {ENAMETOOLONG, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG},
        {ELOOP, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG},
        {EISDIR, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG},
        {ENOENT, WEIR_E_NOT_FOUND, 0},
        {ENOTDIR, WEIR_E_NOT_FOUND, WEIR_ERR_FATAL},
        {EACCES, WEIR_E_PERMISSION, WEIR_ERR_FATAL},
        {EPERM, WEIR_E_PERMISSION, WEIR_ERR_FATAL},
        {EROFS, WEIR_E_PERMISSION, WEIR_ERR_FATAL},
        {EINVAL, WEIR_E_IO, WEIR_ERR_FATAL},
        {EBADF, WEIR_E_IO, WEIR_ERR_FATAL},
        {ENODEV, WEIR_E_IO, WEIR_ERR_FATAL},
        {ENXIO, WEIR_E_IO, WEIR_ERR_FATAL},
        {EFBIG, WEIR_E_IO, WEIR_ERR_FATAL},
        {ENOTSUP, WEIR_E_IO, WEIR_ERR_FATAL}, /* one that nobody thought of */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t flags = UINT32_MAX;
        assert_int_equal(std_errno_status(cases[i].code, &flags), cases[i].status);
        assert_int_equal(flags, cases[i].flags);
    }
}

static void test_path_faults(void **state) {
    static const int of_path[] = {ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP, EILSEQ, EINVAL};
    static const int others[] = {ENOENT, EACCES, EPERM, EROFS, ENOSPC, EIO, EMFILE, EEXIST, 0};
    (void)state;
    for (size_t i = 0; i < sizeof of_path / sizeof of_path[0]; i++) {
        assert_non_null(std_path_fault(of_path[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_null(std_path_fault(others[i]));
    }
}

/* A FIFO's reader may yet come; a socket never becomes a file. */
static void test_nobody_reads(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    void *self;
    (void)state;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/fifo", folder);
    assert_int_equal(mkfifo(address.sun_path, 0666), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    self = open_sink("fifo");
    write_one(self, "1");
    assert_int_equal(host.result.flags, WEIR_ERR_RETRYABLE);
    end(self, WEIR_CLOSE_DRAIN);
    self = open_sink("sock");
    write_one(self, "1");
    assert_int_equal(host.result.flags, WEIR_ERR_FATAL);
    end(self, WEIR_CLOSE_DRAIN);
    close(fd);
}

static void test_folder_in_the_way(void **state) {
    void *self;
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/d", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    self = open_sink("d");
    write_one(self, "one");
    assert_int_equal(host.result.status, WEIR_E_INVALID_ARG);
    assert_non_null(strstr(host.result.text, "expected a file, found the folder"));
    assert_non_null(strstr(host.result.hint, "end the path with /"));
    end(self, WEIR_CLOSE_DRAIN);
}

/* The n-th allocation fails, for all n: a clean error, no leak, and a retry writes each record
 * once. */
static void test_no_memory(void **state) {
    weir_str values[3] = {STR("1"), STR("2"), STR("3")};
    bool failed = true;
    (void)state;
    fake_set_text(&host, "path", "a.txt");
    for (uint32_t n = 1; failed; n++) {
        weir_create create = {.struct_size = sizeof create, .ctx = &host.head.abi};
        weir_open open = {.struct_size = sizeof open, .role = WEIR_ROLE_TASK, .parallelism = 1};
        weir_close c = {.struct_size = sizeof c, .mode = WEIR_CLOSE_DRAIN};
        fake_request r;
        weir_status status;
        fake_request_make(&r, values, 3, false);
        fake_host_fail_alloc(n);
        status = ops->create(&create);
        if (status == WEIR_OK) {
            bool written = false;
            status = ops->open(create.self, &open);
            for (int attempt = 0; status == WEIR_OK && !written && attempt < 3; attempt++) {
                weir_write w = {.struct_size = sizeof w, .request = &r.request, .token = n};
                w.deadline_ns = INT64_MAX;
                written = ops->write(create.self, &w) == WEIR_OK && host.result.token == n &&
                          host.result.status == WEIR_OK && host.result.failed_count == 0;
                if (!written) assert_true(fake_host_failed_alloc());
            }
            if (status == WEIR_OK) assert_true(written);
            if (ops->close(create.self, &c) != WEIR_OK) { /* said, and the records are there */
                assert_true(fake_host_failed_alloc());
                assert_string_equal(content(pending_in("")), "1\n2\n3\n");
            } else if (status == WEIR_OK) {
                assert_string_equal(content("a.txt"), "1\n2\n3\n");
            }
            ops->destroy(create.self);
        }
        failed = fake_host_failed_alloc();
        if (status != WEIR_OK) assert_int_equal(status, WEIR_E_NOMEM);
        fake_host_fail_alloc(0);
        fake_request_free(&r);
        empty_folder(folder);
    }
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_one_file),
        CASE(test_roll_size),
        CASE(test_roll_in_request),
        CASE(test_roll_time),
        CASE(test_folder),
        CASE(test_template),
        CASE(test_max_open),
        CASE(test_newline),
        CASE(test_no_space),
        CASE(test_partial_failure),
        CASE(test_leftover),
        CASE(test_hidden_name),
        CASE(test_two_writers),
        CASE(test_length_framing),
        CASE(test_folder_in_the_way),
        CASE(test_no_memory),
        CASE(test_path_of_a_record_too_long),
        CASE(test_path_of_a_record_in_the_way),
        CASE(test_literal_folder_is_a_file),
        CASE(test_errno_classes),
        CASE(test_path_faults),
        CASE(test_nobody_reads),
        CASE(test_path_of_the_manifest_too_long),
    };
    ops = std_file_sink.ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
