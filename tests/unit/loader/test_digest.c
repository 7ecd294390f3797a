#include "loader/digest.h"

#include <sys/mman.h>

#include "support.h"

static void hex_of(const void *bytes, size_t len, size_t step, char out[DIGEST_HEX + 1]) {
    unsigned char sum[DIGEST_BYTES];
    digest d;
    digest_begin(&d);
    for (size_t at = 0; at < len; at += step) {
        digest_add(&d, (const char *)bytes + at, len - at < step ? len - at : step);
    }
    digest_end(&d, sum);
    for (unsigned i = 0; i < DIGEST_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

/* FIPS 180-4 examples. */
static void test_known_answers(void **state) {
    char hex[DIGEST_HEX + 1];
    (void)state;
    hex_of("", 0, 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hex_of("abc", 3, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    hex_of(two, strlen(two), 56, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* However the bytes come in pieces, the digest is the same. */
static void test_pieces(void **state) {
    char whole[DIGEST_HEX + 1];
    char pieces[DIGEST_HEX + 1];
    char bytes[517];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        hex_of(bytes, len, sizeof bytes, whole);
        hex_of(bytes, len, 1 + len % 70, pieces);
        assert_string_equal(whole, pieces);
    }
}

static void test_million(void **state) {
    char hex[DIGEST_HEX + 1];
    weir_error *err = error_new();
    int fd = memfd_create("million", 0);
    char block[1000];
    (void)state;
    memset(block, 'a', sizeof block);
    for (int i = 0; i < 1000; i++) assert_int_equal(write(fd, block, sizeof block), sizeof block);
    assert_int_equal(digest_file(fd, hex, err), WEIR_OK);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    close(fd);
    assert_int_equal(digest_file(-1, hex, err), WEIR_E_IO);
    error_free(err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
