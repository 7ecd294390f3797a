/* Arena, buffer and the allocation lever. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_arena(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    assert_non_null(a);
    assert_int_equal(arena_bytes(a), 0);
    char *before = NULL;
    for (size_t i = 1; i < 500; i++) {
        char *p = arena_zalloc(a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i; k++) assert_int_equal(p[k], 0);
        memset(p, 0x5a, i);
        if (before != NULL) assert_int_equal(before[0], 0x5a); /* not overlapped */
        before = p;
    }
    size_t kept = arena_bytes(a);
    arena_reset(a);
    assert_true(arena_bytes(a) < kept && arena_bytes(a) > 0);
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    weir_str s = arena_str(a, STR("abc"));
    assert_string_equal(s.ptr, "abc");
    assert_non_null(arena_str(a, (weir_str){NULL, 0}).ptr);
    assert_null(arena_array(a, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(a, SIZE_MAX));
    arena_free(a);
    arena_free(NULL);
}

static void test_arena_ceiling(void **state) {
    (void)state;
    arena *a = arena_new(10000);
    size_t got = 0;
    while (arena_alloc(a, 100) != NULL) got++;
    assert_in_range(got, 60, 100);
    assert_true(arena_bytes(a) <= 10000);
    arena_reset(a);
    assert_non_null(arena_alloc(a, 100));
    assert_null(arena_alloc(a, 20000));
    arena_free(a);
    /* A large piece leaves the room of the block before it in use. */
    a = arena_new(1 << 20);
    char *one = arena_alloc(a, 64);
    assert_non_null(arena_alloc(a, 100000));
    char *two = arena_alloc(a, 64);
    assert_ptr_equal(two, one + 64);
    arena_free(a);
}

static void test_buf(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 100);
    assert_true(str_eq(buf_str(&b), STR("")));
    buf_append_z(&b, "ab");
    buf_append_char(&b, 'c');
    buf_printf(&b, "%d", 42);
    buf_append_str(&b, STR("!"));
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "abc42!");
    for (int i = 0; i < 200; i++) buf_append_char(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 100);
    buf_append_z(&b, ""); /* sticky */
    assert_false(buf_ok(&b));
    buf_reset(&b);
    assert_true(buf_ok(&b));
    buf_printf(&b, "%0100d", 1);
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 100);
    buf_free(&b);
    assert_true(buf_reserve(&b, 100));
    assert_false(buf_reserve(&b, 101));
    buf_free(&b);
}

static void test_buf_json(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1000);
    buf_append_json(&b, STR("a\"b\\c\n\x01\x7f\xc3\xa4\xff"
                            "z"));
    assert_string_equal(b.data, "\"a\\\"b\\\\c\\n\\u0001\x7f\xc3\xa4\xef\xbf\xbdz\"");
    buf_reset(&b);
    buf_append_json(&b, (weir_str){NULL, 0});
    assert_string_equal(b.data, "\"\"");
    buf_free(&b);
}

static void test_lever(void **state) {
    (void)state;
    (void)mem_test_fail_at(2, false);
    void *a = mem_alloc(8), *b = mem_alloc(8), *c = mem_alloc(8);
    assert_true(a != NULL && b == NULL && c != NULL);
    assert_true(mem_test_fail_at(1, true));
    assert_null(mem_zalloc(1));
    assert_null(mem_array(1, 1));
    assert_null(mem_realloc(NULL, 1));
    assert_null(mem_map(4096));
    assert_true(mem_test_fail_at(0, false));
    assert_false(mem_test_fail_at(0, false));
    mem_free(a);
    mem_free(c);
    assert_null(mem_array(SIZE_MAX, 2));
    char *page = mem_map(8192);
    assert_non_null(page);
    assert_int_equal(page[8191], 0);
    mem_unmap(page, 8192);
}

/* Every allocation of arena and buffer fails once: NULL or a sticky failure, nothing leaked. */
static void test_failures(void **state) {
    (void)state;
    for (int64_t n = 1;; n++) {
        (void)mem_test_fail_at(n, false);
        arena *a = arena_new(1 << 20);
        buf b;
        buf_init(&b, 1 << 20);
        for (int i = 0; a != NULL && i < 50; i++) (void)arena_alloc(a, 1000);
        for (int i = 0; i < 50; i++) buf_printf(&b, "%0100d", i);
        bool ok = buf_ok(&b) && a != NULL;
        arena_free(a);
        buf_free(&b);
        bool failed = mem_test_fail_at(0, false);
        if (!failed) {
            assert_true(ok);
            assert_in_range(n, 5, 100);
            break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena), cmocka_unit_test(test_arena_ceiling),
        cmocka_unit_test(test_buf),   cmocka_unit_test(test_buf_json),
        cmocka_unit_test(test_lever), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
