/* State files: what is written comes back, and nothing but what was written is read at all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "keep.h"

#define TEXT "a text\0with a NUL"

static char folder[64], path[96], fresh[112];

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-keep-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/one.state", folder);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    return 0;
}

static int end(void **state) {
    (void)state;
    unlink(path);
    unlink(fresh);
    return rmdir(folder);
}

static void write_one(void) {
    keep *k = keep_create(path, "one");
    assert_non_null(k);
    keep_put_u64(k, UINT64_MAX);
    keep_put_i64(k, INT64_MIN);
    keep_put_str(k, str_make(TEXT, sizeof TEXT - 1));
    keep_put_str(k, (weir_str){NULL, 0});
    assert_true(keep_close(k));
}

static void read_one(void) {
    keep *k = keep_open(path, "one");
    uint64_t len;
    assert_non_null(k);
    assert_true(keep_u64(k) == UINT64_MAX);
    assert_true(keep_i64(k) == INT64_MIN);
    char *text = keep_str(k, &len), *none = keep_str(k, NULL);
    assert_int_equal(len, sizeof TEXT - 1);
    assert_memory_equal(text, TEXT, sizeof TEXT);
    assert_string_equal(none, "");
    mem_free(text);
    mem_free(none);
    assert_true(keep_close(k));
}

static size_t get_file(char *out, size_t size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

static void put_file(const char *bytes, size_t len) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void refused(void) {
    errno = 0;
    assert_null(keep_open(path, "one"));
    assert_int_equal(errno, EINVAL);
}

static void comes_back_once_it_is_published(void **state) {
    (void)state;
    struct stat st;
    assert_null(keep_open(path, "one"));
    assert_int_equal(errno, ENOENT);
    write_one();
    assert_null(keep_open(path, "one"));
    assert_int_equal(stat(fresh, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(keep_publish(path));
    assert_true(keep_sync_folder(folder));
    assert_int_equal(access(fresh, F_OK), -1);
    read_one();
    write_one(); /* a second one that is given up leaves the first */
    keep_discard(path);
    assert_int_equal(access(fresh, F_OK), -1);
    read_one();
    assert_false(keep_publish(path));
    assert_int_equal(errno, ENOENT);
    keep_discard(path);
    assert_null(keep_open(path, "two"));
    assert_int_equal(errno, EINVAL);
}

static void every_damage_is_refused(void **state) {
    (void)state;
    char whole[1024], bytes[1024];
    write_one();
    assert_true(keep_publish(path));
    size_t len = get_file(whole, sizeof whole);
    assert_in_range(len, 60, sizeof whole - 1);
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(bytes, whole, len);
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            put_file(bytes, len);
            refused();
        }
        put_file(whole, i);
        refused();
    }
    memcpy(bytes, whole, len);
    bytes[len] = 0;
    put_file(bytes, len + 1);
    refused();
    put_file(whole, len);
    read_one();
}

/* Longer than what is summed at once, and read no further than to the sum. */
static void large_files(void **state) {
    (void)state;
    static char text[100000];
    memset(text, 'x', sizeof text);
    keep *k = keep_create(path, "one");
    keep_put_str(k, str_make(text, sizeof text));
    assert_true(keep_close(k) && keep_publish(path));
    k = keep_open(path, "one");
    assert_non_null(k);
    uint64_t len;
    char *back = keep_str(k, &len);
    assert_int_equal(len, sizeof text);
    assert_memory_equal(back, text, sizeof text);
    mem_free(back);
    assert_true(keep_ok(k));
    assert_true(keep_u64(k) == 0);
    assert_false(keep_ok(k));
    assert_false(keep_close(k));
    assert_int_equal(errno, EINVAL);
    k = keep_open(path, "one");
    assert_false(keep_close(k)); /* not read to its end */
}

static void what_cannot_be_written(void **state) {
    (void)state;
    char none[128];
    snprintf(none, sizeof none, "%s/none/one.state", folder);
    assert_null(keep_create(none, "one"));
    assert_int_equal(errno, ENOENT);
    assert_false(keep_sync_folder(none));
    /* A disk that is full: nothing remains. */
    if (symlink("/dev/full", fresh) != 0) fail();
    keep *k = keep_create(path, "one");
    assert_non_null(k);
    keep_put_u64(k, 1);
    assert_false(keep_close(k));
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(access(fresh, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back_once_it_is_published, begin, end),
        cmocka_unit_test_setup_teardown(every_damage_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(large_files, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_written, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
