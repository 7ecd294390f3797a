#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "std/path_rule.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})

static const struct {
    weir_str option;
    weir_str path;
    const char *wrong; /* part of the text; NULL = good */
} cases[] = {
    {STR("out/a.jsonl"), STR("out/a.jsonl"), NULL},
    {STR("../out/a.jsonl"), STR("../out/a.jsonl"), NULL},
    {STR("../out/${.u}.jsonl"), STR("../out/bob.jsonl"), NULL},
    {STR("out/${.u}/x"), STR("out/../x"), "'..'"},
    {STR("out/${.u}/x"), STR("out/a/../../x"), "'..'"},
    {STR("out/${.u}"), STR("out/.."), "'..'"},
    {STR("out/.${.u}/x"), STR("out/../x"), "'..'"}, /* half of it literal */
    {STR("out/${.u}/x"), STR("out/./x"), "'.'"},
    {STR("out/${.u}/x"), STR("out//x"), "empty component"},
    {STR("out/${.u}"), STR("out/"), "file name is empty"},
    {STR("out/${.u}"), STR("out/a/"), "file name is empty"},
    {STR("out/${.u}"), STR("out/.hidden"), "begins with a dot"},
    {STR("out/${.u}"), STR("out/a\0b"), "NUL"},
    {STR("out/${.u}/"), STR("out/a/"), NULL},
    {STR("out/${.u}/"), STR("out//"), "empty component"},
    {STR("out/dt=${time:%Y}/"), STR("out/dt=2026/"), NULL},
    {STR("out/${.u}.x"), STR("out/...x"), "begins with a dot"},
    {STR("out/${.u}"), STR("out/a/b"), NULL},
    {STR("out/${.u}"), STR("out//etc/passwd"), "empty component"},
    {STR("x${.u}"), STR(""), "empty"},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        path_rule rule;
        const char *wrong;
        path_rule_init(&rule, cases[i].option);
        wrong = path_rule_check(&rule, cases[i].path);
        if (cases[i].wrong == NULL && wrong != NULL) fail_msg("case %zu: %s", i, wrong);
        if (cases[i].wrong != NULL && (wrong == NULL || strstr(wrong, cases[i].wrong) == NULL)) {
            fail_msg("case %zu: '%s' instead of '%s'", i, wrong != NULL ? wrong : "accepted",
                     cases[i].wrong);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
