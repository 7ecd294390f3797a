#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "std/pending.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})

static pending_file example(pending_kind kind) {
    pending_file f = {.kind = kind,
                      .dir = STR("out/dt=1/"),
                      .name = STR(".a.txt.r-n-0-1-2.pending"),
                      .length = UINT64_C(0x0102030405060708),
                      .inode = 42,
                      .tail = UINT64_MAX,
                      .records = 7,
                      .first_us = INT64_C(1767225600000000)};
    f.text = kind == PENDING_COMMITTABLE ? STR("a.txt") : STR("out/dt=1/a.txt");
    if (kind == PENDING_ROOT) {
        f.dir = f.name = (weir_str){"", 0};
        f.text = STR("out/");
    }
    return f;
}

static bool same(weir_str a, weir_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, (size_t)a.len) == 0);
}

static void test_round_trip(void **state) {
    static const pending_kind kinds[] = {PENDING_COMMITTABLE, PENDING_OPEN, PENDING_ROOT};
    char bytes[PENDING_BLOB_MAX];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pending_file f = example(kinds[i]);
        pending_file back;
        size_t n = pending_encode(&f, bytes);
        assert_true(n > 0);
        assert_int_equal(pending_decode((weir_str){bytes, n}, &back), WEIR_OK);
        assert_int_equal(back.kind, f.kind);
        assert_true(same(back.dir, f.dir) && same(back.name, f.name) && same(back.text, f.text));
        assert_true(back.length == f.length && back.inode == f.inode && back.tail == f.tail);
        assert_true(back.records == f.records && back.first_us == f.first_us);
    }
}

/* Every truncation, every byte changed, bytes behind: refused or harmless, never read beyond. */
static void test_hostile(void **state) {
    static const pending_kind kinds[] = {PENDING_COMMITTABLE, PENDING_OPEN, PENDING_ROOT};
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        char bytes[PENDING_BLOB_MAX];
        pending_file f = example(kinds[k]);
        pending_file back;
        size_t n = pending_encode(&f, bytes);
        for (size_t len = 0; len < n; len++) {
            char *copy = malloc(len + 1); /* of exactly this length, so that ASan watches its end */
            assert_non_null(copy);
            copy = realloc(copy, len > 0 ? len : 1);
            assert_non_null(copy);
            memcpy(copy, bytes, len);
            assert_int_not_equal(pending_decode((weir_str){copy, len}, &back), WEIR_OK);
            free(copy);
        }
        bytes[n] = 0;
        assert_int_equal(pending_decode((weir_str){bytes, n + 1}, &back), WEIR_E_DATA);
        for (size_t at = 0; at < n; at++) {
            for (int v = 0; v < 256; v++) {
                char *copy = malloc(n);
                assert_non_null(copy);
                memcpy(copy, bytes, n);
                copy[at] = (char)v;
                if (pending_decode((weir_str){copy, n}, &back) == WEIR_OK) {
                    char again[PENDING_BLOB_MAX]; /* whatever is taken could have been written */
                    assert_int_equal(pending_encode(&back, again), n);
                    assert_memory_equal(again, copy, n);
                }
                free(copy);
            }
        }
        bytes[1] = 2;
        assert_int_equal(pending_decode((weir_str){bytes, n}, &back), WEIR_E_INCOMPATIBLE);
    }
}

/* Names that would lead out of the folder, or to a file that is no pending one. */
static void test_bad_texts(void **state) {
    static const char *const finals[] = {"", ".", "..", "a/b", "/a"};
    static const char *const pendings[] = {"a.pending", ".pending", ".a", "../.a.pending", ""};
    static const char *const dirs[] = {"out", "/etc/x"};
    char bytes[PENDING_BLOB_MAX];
    pending_file f;
    (void)state;
    for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
        f = example(PENDING_COMMITTABLE);
        f.text = (weir_str){finals[i], strlen(finals[i])};
        assert_int_equal(pending_encode(&f, bytes), 0);
    }
    for (size_t i = 0; i < sizeof pendings / sizeof pendings[0]; i++) {
        f = example(PENDING_COMMITTABLE);
        f.name = (weir_str){pendings[i], strlen(pendings[i])};
        assert_int_equal(pending_encode(&f, bytes), 0);
    }
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        f = example(PENDING_COMMITTABLE);
        f.dir = (weir_str){dirs[i], strlen(dirs[i])};
        assert_int_equal(pending_encode(&f, bytes), 0);
    }
    f = example(PENDING_COMMITTABLE);
    f.text = STR("a\0b");
    assert_int_equal(pending_encode(&f, bytes), 0);
    f = example(PENDING_OPEN);
    f.text = STR("elsewhere/a.txt"); /* not in its folder */
    assert_int_equal(pending_encode(&f, bytes), 0);
}

static void test_names(void **state) {
    const pending_id id = {.run = STR("00c0ffee"), .node = STR("to-files"), .task = 3, .epoch = 12};
    pending_id other = id;
    char name[PENDING_NAME_MAX];
    char target[256];
    (void)state;
    pending_name(name, &id, "a.txt", 5, PENDING_SUFFIX);
    assert_string_equal(name, ".a.txt.00c0ffee-to-files-3-12-5.pending");
    other.task = 0;
    other.epoch = 99;
    assert_true(pending_is_of(name, strlen(name), &other, PENDING_SUFFIX));
    assert_false(pending_is_of(name, strlen(name), &other, PENDING_JOURNAL_SUFFIX));
    other.node = STR("files"); /* the end of another node's name */
    assert_false(pending_is_of(name, strlen(name), &other, PENDING_SUFFIX));
    other.node = STR("to");
    assert_false(pending_is_of(name, strlen(name), &other, PENDING_SUFFIX));
    other = id;
    other.run = STR("c0ffee");
    assert_false(pending_is_of(name, strlen(name), &other, PENDING_SUFFIX));
    other.run = STR("");
    assert_false(pending_is_of(name, strlen(name), &other, PENDING_SUFFIX));
    /* As long as a name may be; a character of several bytes is not cut. */
    for (size_t i = 0; i + 2 < sizeof target; i += 2) memcpy(target + i, "\xc3\xa4", 2);
    target[254] = '\0';
    pending_name(name, &id, target, UINT64_MAX, PENDING_SUFFIX);
    assert_true(strlen(name) == NAME_MAX || strlen(name) == NAME_MAX - 1);
    assert_non_null(strstr(name, "\xc3\xa4.00c0ffee"));
    assert_true(pending_is_of(name, strlen(name), &id, PENDING_SUFFIX));
}

/* Nodes with odd or long names have their own files too. */
static void test_odd_parts(void **state) {
    char text[201];
    pending_id a = {.run = STR("r"), .node = STR("a/../b")};
    pending_id b = {.run = STR("r")};
    char name[PENDING_NAME_MAX];
    (void)state;
    pending_name(name, &a, "x", 0, PENDING_SUFFIX);
    assert_null(strchr(name, '/'));
    assert_true(pending_is_of(name, strlen(name), &a, PENDING_SUFFIX));
    memset(text, 'n', sizeof text);
    b.node = (weir_str){text, 200};
    assert_false(pending_is_of(name, strlen(name), &b, PENDING_SUFFIX));
    pending_name(name, &b, "x", 0, PENDING_SUFFIX);
    assert_true(pending_is_of(name, strlen(name), &b, PENDING_SUFFIX));
    b.node.len = 199;
    assert_false(pending_is_of(name, strlen(name), &b, PENDING_SUFFIX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_bad_texts),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_odd_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
