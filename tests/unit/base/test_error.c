/* Error objects. */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_life(void **state) {
    (void)state;
    weir_error *e = error_new();
    assert_string_equal(error_text(e), "unknown failure");
    assert_int_equal(error_status(e), WEIR_E_INTERNAL);
    assert_int_equal(error_set(e, WEIR_E_TIMEOUT, WEIR_ERR_RETRYABLE, "no answer in %d ms", 5),
                     WEIR_E_TIMEOUT);
    error_detail(e, WEIR_DETAIL_HTTP_STATUS, STR("503"));
    error_detail(e, WEIR_DETAIL_REQUEST_ID, STR("old"));
    error_detail(e, WEIR_DETAIL_REQUEST_ID, STR("r-1"));
    error_hint(e, "look at %s", "the network");
    error_prefix(e, "shard %d", 3);
    assert_string_equal(error_text(e), "shard 3: no answer in 5 ms");
    assert_int_equal(error_flags(e), WEIR_ERR_RETRYABLE);
    weir_error *copy = error_new();
    error_set(copy, WEIR_E_IO, 0, "else");
    error_detail(copy, "x", STR("y"));
    error_copy(copy, e);
    error_free(e);
    buf b;
    buf_init(&b, 1000);
    error_format(copy, &b);
    assert_string_equal(b.data, "shard 3: no answer in 5 ms (http_status=503, request_id=r-1); "
                                "hint: look at the network");
    assert_int_equal(error_get_detail(copy, "x").len, 0);
    /* Setting replaces everything, even from its own text. */
    error_set(copy, WEIR_E_DATA, 0, "again: %s", error_text(copy));
    assert_string_equal(error_text(copy), "again: shard 3: no answer in 5 ms");
    assert_int_equal(error_get_detail(copy, WEIR_DETAIL_HINT).len, 0);
    error_set(copy, WEIR_E_DATA, 0, "two\nlines");
    buf_reset(&b);
    error_format(copy, &b);
    assert_string_equal(b.data, "two\\nlines");
    buf_free(&b);
    error_free(copy);
}

static void test_null(void **state) {
    (void)state;
    assert_int_equal(error_set(NULL, WEIR_E_IO, 0, "x"), WEIR_E_IO);
    error_detail(NULL, "a", STR("b"));
    error_hint(NULL, "x");
    error_prefix(NULL, "x");
    error_copy(NULL, NULL);
    error_clear(NULL);
    error_free(NULL);
    assert_int_equal(error_status(NULL), WEIR_E_INTERNAL);
    assert_int_equal(error_flags(NULL), 0);
    assert_string_equal(error_text(NULL), "unknown failure");
    assert_int_equal(error_get_detail(NULL, "a").len, 0);
}

static void test_bounds(void **state) {
    (void)state;
    static char huge[LIMIT_ERROR_BYTES * 2];
    memset(huge, 'x', sizeof huge - 1);
    weir_error *e = error_new();
    error_set(e, WEIR_E_DATA, 0, "%s", huge);
    assert_int_equal(strlen(error_text(e)), LIMIT_ERROR_BYTES - 1);
    for (int i = 0; i < 40; i++) {
        char key[2] = {(char)('A' + i), 0};
        error_detail(e, key, str_make(huge, sizeof huge - 1));
    }
    assert_int_equal(error_get_detail(e, "A").len, 2048);
    assert_int_equal(error_get_detail(e, "Z").len, 0); /* sixteen details are enough */
    /* Without memory the text is cut at a character, not lost. */
    char accents[400];
    accents[0] = 'a'; /* so that the cut falls into the middle of one */
    for (size_t i = 1; i + 1 < sizeof accents; i += 2) memcpy(accents + i, "\xc3\xa4", 2);
    accents[399] = '\0';
    (void)mem_test_fail_at(1, true);
    error_set(e, WEIR_E_NOMEM, 0, "%s", accents);
    (void)mem_test_fail_at(0, false);
    assert_true(str_is_utf8(str_of(error_text(e))));
    assert_in_range(strlen(error_text(e)), 250, 255);
    error_free(e);
    assert_string_equal(error_status_name(WEIR_E_TIMEOUT), "timeout");
    assert_string_equal(error_status_name(-99), "internal");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
