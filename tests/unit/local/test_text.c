/* Texts of requests taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "aws/text.h"

static void assert_text(weir_str s, const char *expected) {
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, strlen(expected));
}

static void parts_end_at_separators(void **state) {
    (void)state;
    weir_str rest = STR("a=1&&b");
    assert_text(aws_until(&rest, '&'), "a=1");
    assert_text(aws_until(&rest, '&'), "");
    assert_text(rest, "b");
    assert_text(aws_until(&rest, '&'), "b");
    assert_int_equal(rest.len, 0);
    assert_int_equal(aws_until(&rest, '&').len, 0);
    rest = (weir_str){NULL, 0};
    assert_int_equal(aws_until(&rest, '&').len, 0);
    assert_text(aws_trim(STR(" \ta b\t ")), "a b");
    assert_int_equal(aws_trim(STR(" \t")).len, 0);
}

static void only_whole_escapes_are_decoded(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"a%20b", "a b"}, {"%4", "%4"},   {"%", "%"},       {"%zz", "%zz"},
                 {"%4g", "%4g"},   {"%41", "A"},   {"%25%32", "%2"}, {"%e2%82%AC", "\xe2\x82\xac"},
                 {"+", "+"},       {"a%2", "a%2"}, {"", ""}};
    char out[32];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = aws_percent_decode(str_of(cases[i].in), false, out);
        assert_text(str_make(out, n), cases[i].out);
    }
    assert_text(str_make(out, aws_percent_decode(STR("a+%2b"), true, out)), "a +");
    assert_int_equal(aws_percent_decode(STR("%00"), false, out), 1);
    assert_int_equal(out[0], 0);
}

static void all_but_the_unreserved_is_encoded(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 4096);
    aws_percent_encode(&b, STR("aZ09-_.~/ +\xe9"), "");
    assert_text(buf_str(&b), "aZ09-_.~%2F%20%2B%E9");
    buf_reset(&b);
    aws_percent_encode(&b, str_make("/\0", 2), "/");
    assert_text(buf_str(&b), "/%00");
    for (int c = 0; c < 256; c++) { /* there and back */
        char byte = (char)c, back[3];
        buf_reset(&b);
        aws_percent_encode(&b, str_make(&byte, 1), "");
        assert_int_equal(aws_percent_decode(buf_str(&b), false, back), 1);
        assert_int_equal(back[0], byte);
    }
    buf_reset(&b);
    aws_percent_append(&b, STR("%41"), false);
    aws_percent_append(&b, STR(""), false);
    aws_percent_append(&b, STR("+b"), true);
    assert_text(buf_str(&b), "A b");
    buf_free(&b);
}

static void hashes_are_lower_case_hexadecimal(void **state) {
    (void)state;
    char hash[AWS_SHA256_HEX];
    aws_sha256_hex(STR("abc"), hash);
    assert_text(str_make(hash, sizeof hash),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(aws_hex_digit('F'), 15);
    assert_int_equal(aws_hex_digit('g'), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_end_at_separators),
        cmocka_unit_test(only_whole_escapes_are_decoded),
        cmocka_unit_test(all_but_the_unreserved_is_encoded),
        cmocka_unit_test(hashes_are_lower_case_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
