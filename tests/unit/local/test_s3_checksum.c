/* Checksums of S3: published values, parts joined, composites, texts that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "s3/checksum.h"
#include "s3/crc64nvme.h"

static s3_content content_of(s3_extent *room, weir_str bytes) {
    *room = (s3_extent){NULL, bytes.ptr, (size_t)bytes.len};
    return (s3_content){room, bytes.len ? 1 : 0, bytes.len};
}

static checksum sum(sum_algorithm a, weir_str bytes) {
    s3_extent room;
    s3_content c = content_of(&room, bytes);
    return sum_of(a, &c);
}

static void published_values(void **state) {
    (void)state;
    static const struct {
        sum_algorithm algorithm;
        const char *text;
    } of_digits[] = {
        {SUM_CRC32, "y/Q5Jg=="},
        {SUM_CRC32C, "4waSgw=="},
        {SUM_CRC64NVME, "rosUhgp5mIg="},
        {SUM_SHA1, "98O8HYCOBHMq32eZZczDTKeuNEE="},
        {SUM_SHA256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="},
    };
    for (size_t i = 0; i < sizeof of_digits / sizeof of_digits[0]; i++) {
        char text[SUM_TEXT_MAX];
        checksum c = sum(of_digits[i].algorithm, STR("123456789")), again;
        sum_text(&c, text);
        assert_string_equal(text, of_digits[i].text);
        assert_true(sum_read(of_digits[i].algorithm, str_of(text), &again));
        assert_true(sum_eq(&c, &again));
        assert_int_equal(sum_named(str_of(sum_name(c.algorithm))), c.algorithm);
    }
    assert_true(crc64nvme(0, "123456789", 9) == UINT64_C(0xae8b14860a799888));
    assert_true(crc64nvme(0, "", 0) == 0);
}

/* The tables take eight bytes at a time; one at a time gives the same. */
static void crc64_in_pieces(void **state) {
    (void)state;
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31 + i / 7);
    for (size_t len = 0; len < sizeof bytes; len += 13) {
        uint64_t one = 0;
        for (size_t i = 0; i < len; i++) one = crc64nvme(one, bytes + i, 1);
        assert_true(one == crc64nvme(0, bytes, len));
    }
}

static void parts_joined_are_the_whole(void **state) {
    (void)state;
    static char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7 + i / 251);
    static const size_t cuts[][3] = {
        {0, 1, 2}, {1, 1, 1}, {0, 0, sizeof bytes}, {7, 4096, 70001}, {65536, 65537, 99999}};
    static const sum_algorithm algorithms[] = {SUM_CRC32, SUM_CRC32C, SUM_CRC64NVME};
    for (size_t k = 0; k < 3; k++) {
        checksum expected = sum(algorithms[k], str_make(bytes, sizeof bytes));
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            size_t at = cuts[i][0];
            checksum whole = sum(algorithms[k], str_make(bytes, at));
            for (size_t j = 1; j < 4; j++) {
                size_t end = j < 3 ? cuts[i][j] : sizeof bytes;
                checksum next = sum(algorithms[k], str_make(bytes + at, end - at));
                sum_join(&whole, &next, end - at);
                at = end;
            }
            assert_true(sum_eq(&whole, &expected));
        }
    }
}

static void composites(void **state) {
    (void)state;
    /* The SHA-256 of the two digests of "abc" and "" in a row. */
    checksum a = sum(SUM_SHA256, STR("abc")), b = sum(SUM_SHA256, STR(""));
    uint8_t both[64];
    memcpy(both, a.bytes, 32);
    memcpy(both + 32, b.bytes, 32);
    checksum c = sum_composite(SUM_SHA256, both, 2), again;
    checksum plain = sum(SUM_SHA256, str_make((const char *)both, sizeof both));
    assert_memory_equal(c.bytes, plain.bytes, 32);
    char text[SUM_TEXT_MAX];
    sum_text(&c, text);
    assert_true(str_ends(str_of(text), STR("=-2")));
    assert_true(sum_read(SUM_SHA256, str_of(text), &again));
    assert_true(again.composite && again.parts == 2 && sum_eq(&c, &again));
    again.parts = 3;
    assert_false(sum_eq(&c, &again));
}

static void texts_that_are_none(void **state) {
    (void)state;
    checksum c;
    assert_false(sum_read(SUM_CRC32, STR(""), &c));
    assert_false(sum_read(SUM_CRC32, STR("y/Q5Jg="), &c));
    assert_false(sum_read(SUM_CRC32, STR("y/Q5Jg==x"), &c));
    assert_false(sum_read(SUM_CRC32, STR("rosUhgp5mIg="), &c));
    assert_false(sum_read(SUM_CRC32, STR("y/Q5Jg==-"), &c));
    assert_false(sum_read(SUM_CRC32, STR("y/Q5Jg==-0"), &c));
    assert_false(sum_read(SUM_CRC32, STR("y/Q5Jg==-x"), &c));
    assert_true(sum_read(SUM_CRC32, STR("y/Q5Jg==-10000"), &c));
    assert_int_equal(sum_named(STR("CRC16")), SUM_NONE);
    assert_int_equal(sum_named(STR("")), SUM_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values),           cmocka_unit_test(crc64_in_pieces),
        cmocka_unit_test(parts_joined_are_the_whole), cmocka_unit_test(composites),
        cmocka_unit_test(texts_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
