#define _GNU_SOURCE /* memmem */
#include "runtime/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static void expect(const char *text, const char *want) {
    buf scratch;
    buf_init(&scratch, 1 << 16);
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1); /* of exactly its size */
    assert_non_null(copy);
    memcpy(copy, text, len);
    weir_str got = redact(str_make(copy, len), &scratch);
    if (!str_eq_z(got, want)) fail_msg("%.*s", STR_FMT(got));
    buf_free(&scratch);
    free(copy);
}

static void test_redact(void **state) {
    (void)state;
    expect("hunter2-long is here", "hunter2-long is here");
    assert_true(redact_add(STR("hunter2"), STR("${v:a}")));
    assert_true(redact_add(STR("hunter2-long"), STR("${v:b}")));
    assert_true(redact_add(STR("hunter2"), STR("${v:c}"))); /* known already */
    assert_true(redact_add(STR("short"), STR("${v:d}")));
    assert_true(redact_add(STR(""), STR("${v:e}")));
    expect("", "");
    expect("nothing", "nothing");
    expect("hunter2", "${v:a}");
    expect("hunter", "hunter");
    expect("a hunter2, b hunter2-long.", "a ${v:a}, b ${v:b}.");
    expect("hunter2hunter2", "${v:a}${v:a}");
    expect("hunterhunter2", "hunter${v:a}");
    expect("a short one", "a short one");
}

/* Where there is no room for what may be shown, nothing is. */
static void test_no_room(void **state) {
    (void)state;
    buf scratch;
    buf_init(&scratch, 4);
    weir_str got = redact(STR("it is hunter2"), &scratch);
    assert_null(memmem(got.ptr, got.len, "hunter2", 7));
    buf_free(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redact),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
