/* The log: levels by component, one escaped line a write, hooks around it. */
#include "base/log.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char text[64 * 1024];

/* Runs `body` with standard error in a file and answers what was written. */
static const char *captured(void (*body)(void)) {
    char path[] = "/tmp/weir-log-XXXXXX";
    int file = mkstemp(path), kept = dup(2);
    assert_true(file >= 0 && kept >= 0);
    (void)unlink(path);
    assert_int_equal(dup2(file, 2), 2);
    body();
    assert_int_equal(dup2(kept, 2), 2);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    (void)close(file);
    (void)close(kept);
    return text;
}

static void test_configure(void **state) {
    (void)state;
    assert_true(log_configure("kinesis=debug, info ,s3=off"));
    assert_int_equal(log_level("kinesis"), WEIR_LOG_DEBUG);
    assert_int_equal(log_level("kafka"), WEIR_LOG_INFO);
    assert_int_equal(log_level(NULL), WEIR_LOG_INFO);
    assert_int_equal(log_level("s3"), 0);
    static const char *const bad[] = {"", "loud", "x=", "=info", "info,", "a=b=info"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(log_configure(bad[i]));
    assert_int_equal(log_level("kinesis"), WEIR_LOG_DEBUG); /* as before */
    assert_true(log_configure("warn"));
    assert_int_equal(log_level("kinesis"), WEIR_LOG_WARN);
    assert_true(log_configure("info"));
}

static void some_lines(void) {
    log_write(WEIR_LOG_INFO, "core", "value %d\nand \x1b[31m", 7);
    log_write(WEIR_LOG_DEBUG, "core", "unseen");
    log_line(WEIR_LOG_ERROR, "kinesis", "clicks/kinesis[0]", STR("opened"));
    log_write(WEIR_LOG_WARN, NULL, "plain");
}

static void test_lines(void **state) {
    (void)state;
    const char *out = captured(some_lines);
    assert_non_null(strstr(out, "Z info  core: value 7\\nand \\x1b[31m\n"));
    assert_null(strstr(out, "unseen"));
    assert_non_null(strstr(out, "Z error clicks/kinesis[0]: opened\n"));
    assert_non_null(strstr(out, "Z warn  plain\n"));
    assert_true(out[4] == '-' && out[10] == 'T' && out[23] == 'Z');
}

static void long_line(void) {
    static char big[40000];
    memset(big, '\x01', sizeof big - 1);
    log_write(WEIR_LOG_INFO, "core", "%s", big);
    log_line(WEIR_LOG_INFO, "core", "x", str_make(big, sizeof big - 1));
}

static void test_long(void **state) {
    (void)state;
    const char *out = captured(long_line);
    const char *end = strchr(out, '\n');
    assert_non_null(end);
    assert_memory_equal(end - 3, "...", 3);
    assert_true(end - out < 13000);
    assert_memory_equal(out + strlen(out) - 4, "...\n", 4);
}

static void before(void) {
    assert_int_equal(write(2, "<", 1), 1);
}
static void after(void) {
    assert_int_equal(write(2, ">", 1), 1);
}

static void hooked(void) {
    log_set_hooks(before, after);
    log_write(WEIR_LOG_INFO, NULL, "x");
    log_set_hooks(NULL, NULL);
    log_write(WEIR_LOG_INFO, NULL, "y");
}

static void test_hooks(void **state) {
    (void)state;
    const char *out = captured(hooked);
    assert_int_equal(out[0], '<');
    assert_non_null(strstr(out, "x\n>"));
    assert_null(strstr(out, "y\n>"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configure),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_hooks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
