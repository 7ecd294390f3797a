#include "secret_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARN "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"

/* In a buffer of exactly its size, so that a read past its end is seen. */
static int parse(const char *z, char **copy, secret_id *out) {
    size_t len = strlen(z);
    *copy = malloc(len > 0 ? len : 1);
    assert_non_null(*copy);
    memcpy(*copy, z, len);
    weir_str text = {*copy, len};
    return secret_id_parse(text, out);
}

static void expect(const char *text, const char *id, const char *field, const char *region) {
    secret_id got;
    char *copy;
    assert_true(parse(text, &copy, &got));
    const struct {
        weir_str got;
        const char *want;
    } parts[] = {{got.id, id}, {got.field, field}, {got.region, region}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(parts[i].got.len, strlen(parts[i].want));
        assert_memory_equal(parts[i].got.ptr, parts[i].want, parts[i].got.len);
    }
    free(copy);
}

static void test_names(void **state) {
    (void)state;
    expect("db", "db", "", "");
    expect("db:password", "db", "password", "");
    expect("prod/db_+=.@-:odd name", "prod/db_+=.@-", "odd name", "");
    expect("rds!cluster-1:a:b", "rds!cluster-1", "a:b", "");
    expect("arnold:x", "arnold", "x", "");
}

static void test_arns(void **state) {
    (void)state;
    expect(ARN, ARN, "", "eu-west-1");
    expect(ARN ":password", ARN, "password", "eu-west-1");
    expect("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x:y",
           "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x", "y", "cn-north-1");
}

static void test_what_is_neither(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        ":",
        ":x",
        "db:",
        ARN ":",
        "arn:aws",
        "arn:aws:secretsmanager",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
        "arn:aws:secretsmanager::123456789012:secret:x",
        "arn:aws:secretsmanager:eu-west-1:123456789012:rotation:x",
        "arn:aws:ssm:eu-west-1:123456789012:secret:x",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/x",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        secret_id got;
        char *copy;
        if (parse(wrong[i], &copy, &got)) fail_msg("'%s' is taken", wrong[i]);
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_arns),
        cmocka_unit_test(test_what_is_neither),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
