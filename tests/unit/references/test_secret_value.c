#include "secret_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *read_value(const char *body, const char *field, secret_value *out,
                              weir_status *status) {
    weir_str b = {body, strlen(body)}, f = {field, strlen(field)};
    return secret_value_read(b, f, out, status);
}

static void expect(const char *body, const char *field, const char *want) {
    secret_value v;
    weir_status status;
    const char *wrong = read_value(body, field, &v, &status);
    if (wrong) fail_msg("%s: %s", body, wrong);
    assert_int_equal(status, WEIR_OK);
    assert_string_equal(v.text, want);
    assert_int_equal(v.len, strlen(want));
    secret_value_free(&v);
    assert_null(v.text);
}

#define SECRET(text) "{\"ARN\":\"a\",\"Name\":\"db\",\"SecretString\":\"" text "\"}"
#define OBJECT                                                                                     \
    SECRET("{\\\"user\\\":\\\"alice\\\",\\\"port\\\":5432,\\\"price\\\":1.50,\\\"on\\\":true,"     \
           "\\\"big\\\":123456789012345678901234567890,\\\"odd name\\\":\\\"o\\\\u00e9\\\","       \
           "\\\"empty\\\":\\\"\\\",\\\"list\\\":[1],\\\"map\\\":{\\\"user\\\":\\\"inner\\\"},"     \
           "\\\"none\\\":null}")

static void test_values(void **state) {
    (void)state;
    expect(SECRET("hunter2"), "", "hunter2");
    expect(SECRET(" two\\nlines\\n"), "", " two\nlines\n");
    expect(SECRET(""), "", "");
    expect(OBJECT, "user", "alice");
    expect(OBJECT, "port", "5432");
    expect(OBJECT, "price", "1.5"); /* the same number */
    expect(OBJECT, "big", "123456789012345678901234567890");
    expect(OBJECT, "on", "true");
    expect(OBJECT, "odd name", "o\xc3\xa9");
    expect(OBJECT, "empty", "");
    /* The whole of it, as it stands there. */
    expect(SECRET("{\\\"a\\\": 1}"), "", "{\"a\": 1}");
}

static void test_what_cannot_be_had(void **state) {
    (void)state;
    char longest[600];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const struct {
        const char *body, *field, *said;
        weir_status status;
    } cases[] = {
        {OBJECT, "password", "no such member", WEIR_E_NOT_FOUND},
        {OBJECT, "USER", "no such member", WEIR_E_NOT_FOUND},
        {OBJECT, "map.user", "no such member", WEIR_E_NOT_FOUND},
        {OBJECT, longest, "no such member", WEIR_E_NOT_FOUND},
        {OBJECT, "list", "holds others", WEIR_E_DATA},
        {OBJECT, "map", "holds others", WEIR_E_DATA},
        {OBJECT, "none", "is null", WEIR_E_DATA},
        {SECRET("hunter2"), "user", "not a JSON object", WEIR_E_DATA},
        {SECRET("[1]"), "user", "not a JSON object", WEIR_E_DATA},
        {SECRET("7"), "user", "not a JSON object", WEIR_E_DATA},
        {"{\"SecretBinary\":\"AAE=\"}", "", "is binary", WEIR_E_DATA},
        {"{}", "", "has no value", WEIR_E_DATA},
        {"{\"SecretString\":7}", "", "has no value", WEIR_E_DATA},
        {"", "", "not one of GetSecretValue", WEIR_E_IO},
        {"[]", "", "not one of GetSecretValue", WEIR_E_IO},
        {"<html>hunter2</html>", "", "not one of GetSecretValue", WEIR_E_IO},
        {"{\"SecretString\":\"hunter2", "", "not one of GetSecretValue", WEIR_E_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        secret_value v;
        weir_status status;
        const char *wrong = read_value(cases[i].body, cases[i].field, &v, &status);
        if (!wrong || !strstr(wrong, cases[i].said))
            fail_msg("%s, %s: %s", cases[i].body, cases[i].field, wrong ? wrong : "taken");
        assert_int_equal(status, cases[i].status);
        assert_null(v.text);
        assert_null(strstr(wrong, "hunter2"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
