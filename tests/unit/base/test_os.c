/* Files, folders, environment. */
#include "base/os.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/weir-os-XXXXXX";
static arena *scratch;

static const char *in_dir(const char *name) {
    return arena_printf(scratch, "%s/%s", dir, name);
}

static void put(const char *path, size_t size) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < size; i++) assert_true(fputc('a' + (int)(i % 26), f) != EOF);
    assert_int_equal(fclose(f), 0);
}

static void test_read(void **state) {
    (void)state;
    const char *path = in_dir("file");
    weir_error *e = error_new();
    buf b;
    buf_init(&b, 1 << 20);
    put(path, 100000);
    assert_int_equal(os_read_file(path, 100000, &b, e), WEIR_OK);
    assert_int_equal(b.len, 100000);
    assert_int_equal(b.data[99999], 'a' + 99999 % 26);
    buf_reset(&b);
    assert_int_equal(os_read_file(path, 99999, &b, e), WEIR_E_TOO_LARGE);
    assert_non_null(strstr(error_text(e), path));
    assert_int_equal(os_read_file(in_dir("none"), 10, &b, e), WEIR_E_NOT_FOUND);
    assert_int_equal(os_read_file(in_dir("file/x"), 10, &b, e), WEIR_E_NOT_FOUND);
    assert_int_equal(os_read_file(dir, 10, &b, e), WEIR_E_IO);
    /* A pipe tells no size before. */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    buf_reset(&b);
    assert_int_equal(os_read_file(arena_printf(scratch, "/dev/fd/%d", ends[0]), 5, &b, e), WEIR_OK);
    assert_string_equal(b.data, "hello");
    close(ends[0]);
    buf_free(&b);
    /* A buffer that is too small for what is allowed. */
    buf_init(&b, 10);
    assert_int_equal(os_read_file(path, 100000, &b, e), WEIR_E_TOO_LARGE);
    buf_free(&b);
    error_free(e);
}

static void test_dirs(void **state) {
    (void)state;
    weir_error *e = error_new();
    assert_int_equal(os_make_dirs(in_dir("a/b//c/"), 0700, e), WEIR_OK);
    assert_true(os_is_dir(in_dir("a/b/c")));
    assert_int_equal(os_make_dirs(in_dir("a/b/c"), 0700, e), WEIR_OK);
    put(in_dir("a/f"), 1);
    assert_true(os_is_file(in_dir("a/f")));
    assert_false(os_is_dir(in_dir("a/f")));
    assert_int_equal(os_make_dirs(in_dir("a/f"), 0700, e), WEIR_E_EXISTS);
    assert_true(os_make_dirs(in_dir("a/f/g"), 0700, e) < 0);
    error_free(e);
}

static void test_paths(void **state) {
    (void)state;
    static const struct {
        const char *path, *dir;
    } cases[] = {{"a/b", "a"}, {"a", "."},    {"/a", "/"},   {"/", "/"},
                 {"", "."},    {"a/b/", "a"}, {"a//b", "a"}, {"/a/b", "/a"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!str_eq_z(os_dirname(str_of(cases[i].path)), cases[i].dir))
            fail_msg("dirname of %s", cases[i].path);
    assert_string_equal(os_join(scratch, STR("/x"), STR("y")), "/x/y");
    assert_string_equal(os_join(scratch, STR("/x/"), STR("y")), "/x/y");
    assert_string_equal(os_join(scratch, STR("/x"), STR("/y")), "/y");
    assert_string_equal(os_join(scratch, STR(""), STR("y")), "y");
    char *program = os_program_dir(scratch);
    assert_non_null(program);
    assert_true(program[0] == '/' && program[strlen(program) - 1] != '/');
    assert_true(os_is_file(arena_printf(scratch, "%s/test_base_os", program)));
}

static void test_environment(void **state) {
    (void)state;
    assert_int_equal(setenv("WEIR_TEST_ENV", "x", 1), 0);
    assert_string_equal(os_env("WEIR_TEST_ENV", true), "x");
    assert_int_equal(setenv("WEIR_TEST_ENV", "", 1), 0);
    assert_null(os_env("WEIR_TEST_ENV", false));
    assert_int_equal(unsetenv("WEIR_TEST_ENV"), 0);
    assert_null(os_env("WEIR_TEST_ENV", false));
    assert_false(os_privileged());
    uint64_t a[4] = {0}, b[4] = {0};
    assert_true(os_random(a, sizeof a) && os_random(b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
    char text[64];
    assert_string_equal(os_strerror(2, text, sizeof text), "No such file or directory");
}

static int setup(void **state) {
    (void)state;
    scratch = arena_new(1 << 20);
    return scratch != NULL && mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    static const char *const made[] = {"file", "a/f", "a/b/c", "a/b", "a", ""};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) (void)remove(in_dir(made[i]));
    arena_free(scratch);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_dirs),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
