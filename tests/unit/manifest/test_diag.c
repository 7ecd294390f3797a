#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static void add(diags *d, const char *file, unsigned line, unsigned column, const char *text) {
    diags_add(d, false, "code", (place){file, line, column}, NULL, "%s", text);
}

static void test_order(void **state) {
    (void)state;
    diags *d = diags_new();
    diags_file(d, "b"); /* named first, so it comes first */
    add(d, "a", 1, 1, "5");
    add(d, "b", 9, 1, "4");
    add(d, "b", 2, 7, "3");
    add(d, "b", 2, 1, "2");
    add(d, "b", 0, 0, "1");
    add(d, "b", 2, 7, "3b");
    const char *wanted[] = {"1", "2", "3", "3b", "4", "5"};
    assert_int_equal(diags_count(d), 6);
    for (size_t i = 0; i < 6; i++) assert_string_equal(diags_get(d, i)->text, wanted[i]);
    assert_null(diags_get(d, 6));
    diags_free(d);
}

static void test_repetitions_and_warnings(void **state) {
    (void)state;
    diags *d = diags_new();
    add(d, "a", 1, 1, "x");
    add(d, "a", 1, 1, "x");
    diags_add(d, true, "w", (place){"a", 1, 1}, "do this", "careful");
    assert_int_equal(diags_count(d), 2);
    assert_int_equal(diags_errors(d), 1);
    diags_free(d);
}

static void test_limit(void **state) {
    (void)state;
    diags *d = diags_new();
    char text[16];
    for (unsigned i = 0; i < LIMIT_DIAGS + 23; i++) {
        assert_int_equal(diags_full(d), i >= LIMIT_DIAGS);
        snprintf(text, sizeof text, "%u", i);
        add(d, "a", i + 1, 1, text);
    }
    assert_int_equal(diags_count(d), LIMIT_DIAGS);
    assert_int_equal(diags_errors(d), LIMIT_DIAGS + 23);
    char *printed = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printed, &size);
    diags_print(d, f);
    fclose(f);
    assert_non_null(strstr(printed, "23 more errors and warnings are not shown\n"));
    free(printed);
    diags_free(d);
}

static void test_print_and_json(void **state) {
    (void)state;
    diags *d = diags_new();
    diags_add(d, false, "bad", (place){"m.yaml", 3, 4}, "fix\nit", "a \x1b[31m\"word\"");
    diags_add(d, true, "odd", (place){"m.yaml", 0, 0}, NULL, "whole");
    char *printed = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printed, &size);
    diags_print(d, f);
    fclose(f);
    assert_string_equal(printed, "m.yaml: warning: whole [odd]\n"
                                 "m.yaml:3:4: error: a \\x1b[31m\"word\" [bad]\n"
                                 "  hint: fix\n    it\n");
    free(printed);
    buf json;
    buf_init(&json, 4096);
    diags_json(d, &json);
    assert_string_equal(
        json.data, "[{\"severity\":\"warning\",\"code\":\"odd\",\"file\":\"m.yaml\",\"line\":0,"
                   "\"column\":0,\"text\":\"whole\"},{\"severity\":\"error\",\"code\":\"bad\","
                   "\"file\":\"m.yaml\",\"line\":3,\"column\":4,"
                   "\"text\":\"a \\\\x1b[31m\\\"word\\\"\",\"hint\":\"fix\\nit\"}]");
    buf_free(&json);
    diags_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_repetitions_and_warnings),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_print_and_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
