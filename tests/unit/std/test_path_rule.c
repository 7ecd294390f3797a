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
    {STR("out/${.u}/x"), STR("out/.hidden/x"), "folder of the path begins with a dot"},
    {STR("out/${.u}/x"), STR("out/a/.hidden/x"), "folder of the path begins with a dot"},
    {STR("out/${.u}/"), STR("out/.hidden/"), "folder of the path begins with a dot"},
    {STR("out/${.u|urlencode}/x"), STR("out/.ssh/x"), "folder of the path begins with a dot"},
    {STR("out/${.u|urlencode}"), STR("out/.a%2Fb"), "file name begins with a dot"},
    {STR("out/.${.u}/x"), STR("out/.bob/x"), NULL}, /* the manifest's own dot */
    {STR(".cache/${.u}/x"), STR(".cache/bob/x"), NULL},
    {STR("out/u${.u}/x"), STR("out/u.bob/x"), NULL},
    {STR("out/${.u}"), STR("out/a\0b"), "NUL"},
    {STR("out/${.u}/"), STR("out/a/"), NULL},
    {STR("out/${.u}/"), STR("out//"), "empty component"},
    {STR("out/dt=${time:%Y}/"), STR("out/dt=2026/"), NULL},
    {STR("out/${.u}.x"), STR("out/...x"), "begins with a dot"},
    {STR("out/${.u}"), STR("out/a/b"), NULL},
    {STR("out/${.u}"), STR("out//etc/passwd"), "empty component"},
    {STR("x${.u}"), STR(""), "empty"},
    /* Hidden folders behind a placeholder: the manifest's are good, a record's are not. */
    {STR("out/${.u}/.cache/x"), STR("out/bob/.cache/x"), NULL},
    {STR("out/${.u}/.cache/"), STR("out/bob/.cache/"), NULL},
    {STR("out/${.u}/.cache/x"), STR("out/a/b/.cache/x"), NULL},
    {STR("out/${.u}/.cache/x"), STR("out/.bob/.cache/x"), "folder of the path begins with a dot"},
    {STR("out/${.u}/.cache/x"), STR("out/a/.cache/b/.cache/x"), "folder of the path"},
    {STR("out/${.u}/.cache/${.v}/x"), STR("out/a/.cache/b/x"), NULL},
    {STR("out/${.u}/.cache/${.v}/x"), STR("out/a/.cache/.b/x"), "folder of the path"},
    {STR("out/${.u}/.cache/${.v}/x"), STR("out/.cache/a/.cache/b/x"), "folder of the path"},
    {STR("out/${.u}/.a/${.v}/.b/x"), STR("out/u/.a/v/.b/x"), NULL},
    {STR("out/${.u}/.a/${.v}/.b/x"), STR("out/u/.a/v/.c/.b/x"), "folder of the path"},
    {STR("out/${.u}/.${.v}/x"), STR("out/a/.b/x"), NULL},
    {STR("out/${.u}/.${.v}/x"), STR("out/a/./x"), "'.'"},
    {STR("out/${.u}/.${.v}/x"), STR("out/a/../x"), "'..'"},
    {STR("out/${.u}.cache/x"), STR("out/.cache/x"), "folder of the path"}, /* half a component */
    {STR("out/${.u}/../x"), STR("out/a/../x"), "'..'"}, /* leads out of what a record made */
    {STR("out/${.[\"a/.b\"]}/x"), STR("out/.b/x"), "folder of the path"}, /* a dot of a name */
    {STR("out/${.u}/.x"), STR("out/a/.x"), NULL},
    {STR("out/${.u}/.x${.v}"), STR("out/a/.x"), "file name begins with a dot"},
    {STR("out/${.u}/.x${.v}"), STR("out/a/.xy"), "file name begins with a dot"},
    {STR("out/.${.u}"), STR("out/."), "'.'"}, /* the record's part is empty */
    {STR("out/.a${.u}"), STR("out/.a"), "file name begins with a dot"},
    {STR("out/a${.u}"), STR("out/a"), NULL},
    {STR("$$/.a$$b"), STR("$/.a$b"), NULL}, /* no placeholder */
    {STR("a$b/${.u}/x"), STR("a$b/.u/x"), "folder of the path"},
    {STR("$$/.a/${.u}"), STR("$/.a/u"), NULL},
    {STR("$$$$/${.u}/x"), STR("$$/.u/x"), "folder of the path"},
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

/* How much of every path is the manifest's, in bytes of the path, not of the option. */
static void test_literal_part(void **state) {
    static const struct {
        weir_str option;
        uint64_t literal;
        bool of_records;
    } parts[] = {
        {STR("out/a"), 5, false},         {STR("out/${.u}/b"), 4, true},
        {STR("a$$b/${.u}"), 4, true},     {STR("a$$b/c"), 5, false},
        {STR("a$b"), 3, false},           {STR("$$${.u}"), 1, true},
        {STR("out/${.u}${.v}"), 4, true}, {STR(""), 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        path_rule rule;
        path_rule_init(&rule, parts[i].option);
        assert_int_equal(rule.literal_len, parts[i].literal);
        assert_int_equal(rule.of_records, parts[i].of_records);
    }
}

/* The limits are those of the system, and hold for what records made only. */
static void test_lengths(void **state) {
    static char text[5000];
    path_rule rule;
    (void)state;
    memset(text, 'k', sizeof text);
    memcpy(text, "out/", 4);
    text[4 + 255] = '/';
    path_rule_init(&rule, STR("out/${.u}/x"));
    assert_null(path_rule_check(&rule, (weir_str){text, 4 + 255 + 2}));
    text[4 + 255] = 'k';
    text[4 + 256] = '/';
    assert_non_null(strstr(path_rule_check(&rule, (weir_str){text, 4 + 256 + 2}), "255"));
    for (size_t i = 3; i < sizeof text; i += 100) text[i] = '/';
    text[4 + 256] = 'k';
    assert_null(path_rule_check(&rule, (weir_str){text, 4095}));
    assert_non_null(strstr(path_rule_check(&rule, (weir_str){text, 4096}), "4095"));
    path_rule_init(&rule, (weir_str){text, 4096});
    assert_null(path_rule_check(&rule, (weir_str){text, 4096}));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_literal_part),
                                       cmocka_unit_test(test_lengths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
