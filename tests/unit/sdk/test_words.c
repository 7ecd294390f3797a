#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/sdk.h"

/* ---- a host that remembers what it was told ---- */

static char text[8192];
static uint64_t text_len;
static weir_status status;
static uint32_t flags;
static char detail[256];
static uint32_t level_on = WEIR_LOG_INFO;
static unsigned log_calls;
static uint64_t token;
static weir_result result;

static void take(weir_str s) {
    text_len = s.len;
    memcpy(text, s.ptr, (size_t)s.len);
    text[s.len] = '\0';
}
static void *alloc(const weir_host *h, uint64_t size) {
    void *p = size <= 1 << 20 ? malloc((size_t)size) : NULL;
    (void)h;
    if (p != NULL) memset(p, 0xa5, (size_t)size);
    return p;
}
static void release(const weir_host *h, void *p) {
    (void)h;
    free(p);
}
static void log_line(const weir_host *h, weir_ctx *ctx, uint32_t level, weir_str s) {
    (void)h, (void)ctx, (void)level;
    log_calls++;
    take(s);
}
static uint32_t log_level(const weir_host *h, weir_ctx *ctx) {
    (void)h, (void)ctx;
    return level_on;
}
static int64_t wall(const weir_host *h) {
    (void)h;
    return 17;
}
static void error_set(const weir_host *h, weir_error *err, weir_status s, uint32_t f, weir_str t) {
    (void)h, (void)err;
    status = s;
    flags = f;
    take(t);
}
static void error_detail(const weir_host *h, weir_error *err, const char *key, weir_str value) {
    (void)h, (void)err;
    snprintf(detail, sizeof detail, "%s=%.*s", key, (int)value.len, value.ptr);
}

/* Options: "s" a text, "n" a number, "f" a fraction, "b" true, "l" a list of two. */
static weir_status get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    (void)ctx;
    if (strcmp(key, "bad") == 0) {
        *out = weir_str_of("half-written"); /* a failing call may leave anything behind */
        return WEIR_E_NOT_FOUND;
    }
    if (strcmp(key, "s") != 0) return WEIR_E_NOT_FOUND;
    *out = weir_str_of("value");
    return WEIR_OK;
}
static weir_status get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    (void)ctx;
    *out = 99;
    return strcmp(key, "n") == 0 ? WEIR_OK : WEIR_E_NOT_FOUND;
}
static weir_status get_f64(weir_ctx *ctx, const char *key, double *out) {
    (void)ctx;
    *out = 0.25;
    return strcmp(key, "f") == 0 ? WEIR_OK : WEIR_E_NOT_FOUND;
}
static weir_status get_bool(weir_ctx *ctx, const char *key, uint32_t *out) {
    (void)ctx;
    *out = 1;
    return strcmp(key, "b") == 0 ? WEIR_OK : WEIR_E_NOT_FOUND;
}
static weir_status count(weir_ctx *ctx, const char *key, uint32_t *out) {
    (void)ctx;
    *out = 2;
    return strcmp(key, "l") == 0 ? WEIR_OK : WEIR_E_NOT_FOUND;
}
static weir_status entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                         weir_str *value) {
    (void)ctx, (void)key;
    if (index >= 2) return WEIR_E_NOT_FOUND;
    *name = weir_str_of("name");
    *value = weir_str_of(index == 0 ? "first" : "second");
    return WEIR_OK;
}
static const weir_host_config config = {.struct_size = sizeof config,
                                        .get_str = get_str,
                                        .get_i64 = get_i64,
                                        .get_f64 = get_f64,
                                        .get_bool = get_bool,
                                        .count = count,
                                        .entry = entry,
                                        .is_set = get_bool};
static void write_done(weir_ctx *ctx, uint64_t t, const weir_result *r) {
    (void)ctx;
    token = t;
    result = *r;
}
static const weir_host_task task = {.struct_size = sizeof task, .write_done = write_done};

static const void *extension(const weir_host *h, const char *name) {
    (void)h;
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return &config;
    return strcmp(name, WEIR_HOST_TASK) == 0 ? &task : NULL;
}
static const weir_host host = {.struct_size = sizeof host,
                               .abi_minor = WEIR_ABI_MINOR,
                               .get_extension = extension,
                               .mem_alloc = alloc,
                               .mem_free = release,
                               .log = log_line,
                               .log_level = log_level,
                               .wall_us = wall,
                               .error_set = error_set,
                               .error_detail = error_detail};
static weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};

static void test_memory(void **state) {
    (void)state;
    char *p = weir_zalloc(&ctx, 64);
    for (int i = 0; i < 64; i++) assert_int_equal(p[i], 0);
    weir_free(&ctx, p);
    weir_free(&ctx, NULL);
    assert_null(weir_zalloc(&ctx, 1ull << 40));
    p = weir_str_dup(&ctx, (weir_str){"abcdef", 3});
    assert_string_equal(p, "abc");
    weir_free(&ctx, p);
    p = weir_str_dup(&ctx, (weir_str){NULL, 0});
    assert_string_equal(p, "");
    weir_free(&ctx, p);
    assert_null(weir_str_dup(&ctx, (weir_str){"x", UINT64_MAX}));
    assert_int_equal(weir_wall_us(&ctx), 17);
}

static void test_log(void **state) {
    (void)state;
    log_calls = 0;
    weir_log(&ctx, WEIR_LOG_INFO, "%s %d", "seven", 7);
    assert_string_equal(text, "seven 7");
    weir_log(&ctx, WEIR_LOG_DEBUG, "not this");
    assert_int_equal(log_calls, 1);
    assert_string_equal(text, "seven 7");
}

/* A text that is too long is cut, and never within a character. */
static void test_long_texts(void **state) {
    char big[4096];
    static const char *const letters[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x9f"};
    (void)state;
    for (size_t l = 0; l < 4; l++) {
        size_t size = strlen(letters[l]);
        for (size_t lead = 0; lead < 8; lead++) {
            size_t at = lead;
            memset(big, '.', lead);
            while (at + size < sizeof big) {
                memcpy(big + at, letters[l], size);
                at += size;
            }
            big[at] = '\0';
            weir_log(&ctx, WEIR_LOG_ERROR, "%s", big);
            assert_in_range(text_len, 2048 - 4, 2047);
            assert_int_equal((text_len - lead) % size, 0);
        }
    }
    memset(big, 'y', 2047);
    big[2047] = '\0';
    weir_log(&ctx, WEIR_LOG_ERROR, "%s", big);
    assert_int_equal(text_len, 2047);
}

static void test_errors(void **state) {
    (void)state;
    assert_int_equal(weir_fail(&ctx, NULL, WEIR_E_AUTH, WEIR_ERR_CONFIG, "no key \"%s\"", "k"),
                     WEIR_E_AUTH);
    assert_int_equal(status, WEIR_E_AUTH);
    assert_int_equal(flags, WEIR_ERR_CONFIG);
    assert_string_equal(text, "no key \"k\"");
    weir_fail_hint(&ctx, NULL, "try %s", "that");
    assert_string_equal(detail, "hint=try that");
    weir_fail_detail(&ctx, NULL, WEIR_DETAIL_OPTION, weir_str_of("region"));
    assert_string_equal(detail, "option=region");
    weir_error_free(&ctx, NULL);
}

static void test_strings(void **state) {
    (void)state;
    assert_int_equal(weir_str_of(NULL).len, 0);
    assert_non_null(weir_str_of(NULL).ptr);
    assert_true(weir_str_eq((weir_str){NULL, 0}, weir_str_of("")));
    assert_true(weir_str_is((weir_str){"abcd", 3}, "abc"));
    assert_false(weir_str_is((weir_str){"abcd", 4}, "abc"));
    assert_false(weir_str_is((weir_str){"abd", 3}, "abc"));
}

static void test_options(void **state) {
    weir_str name;
    weir_str value;
    (void)state;
    assert_true(weir_str_is(weir_opt_str(&ctx, "s"), "value"));
    assert_int_equal(weir_opt_str(&ctx, "bad").len, 0);
    assert_int_equal(weir_opt_i64(&ctx, "n"), 99);
    assert_int_equal(weir_opt_i64(&ctx, "x"), 0);
    assert_true(weir_opt_f64(&ctx, "f") == 0.25);
    assert_true(weir_opt_f64(&ctx, "x") == 0);
    assert_true(weir_opt_bool(&ctx, "b"));
    assert_false(weir_opt_bool(&ctx, "x"));
    assert_true(weir_opt_is(&ctx, "s", "value"));
    assert_false(weir_opt_is(&ctx, "s", "valu"));
    assert_true(weir_opt_is_set(&ctx, "b"));
    assert_false(weir_opt_is_set(&ctx, "x"));
    assert_int_equal(weir_opt_count(&ctx, "l"), 2);
    assert_int_equal(weir_opt_count(&ctx, "x"), 0);
    assert_int_equal(weir_opt_entry(&ctx, "l", 1, &name, &value), WEIR_OK);
    assert_true(weir_str_is(name, "name") && weir_str_is(value, "second"));
    assert_int_equal(weir_opt_entry(&ctx, "l", 0, NULL, &value), WEIR_OK);
    assert_true(weir_str_is(value, "first"));
    assert_int_equal(weir_opt_entry(&ctx, "l", 2, NULL, &value), WEIR_E_NOT_FOUND);
}

static void test_completions(void **state) {
    (void)state;
    weir_write_ok(&ctx, 5);
    assert_int_equal(token, 5);
    assert_int_equal(result.struct_size, sizeof result);
    assert_int_equal(result.status, WEIR_OK);
    assert_null(result.error);
    assert_int_equal(result.failed_count, 0);
    weir_write_failed(&ctx, 6, WEIR_E_TIMEOUT, NULL);
    assert_int_equal(token, 6);
    assert_int_equal(result.status, WEIR_E_TIMEOUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),      cmocka_unit_test(test_log),
        cmocka_unit_test(test_long_texts),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_options),
        cmocka_unit_test(test_completions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
