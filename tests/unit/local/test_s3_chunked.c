/* aws-chunked: the published signatures, each single corruption of them, forms that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/str.h"
#include "s3/chunked.h"

#define SECRET "AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SEED "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
#define CHUNK_1 "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
#define CHUNK_2 "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
#define FINAL "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
#define TRAILER "df5735bd9f3295cd9386572292562fefc93ba94e80a0a1ddcbd652c4e0a75e6c"
#define DATA 66560u

static uint8_t signing_key[32];

static void derive(void) {
    static const char *const steps[] = {"20130524", "us-east-1", "s3", "aws4_request"};
    unsigned n = 32;
    const void *key = SECRET;
    size_t len = sizeof SECRET - 1;
    for (size_t i = 0; i < 4; i++) {
        uint8_t out[32];
        HMAC(EVP_sha256(), key, (int)len, (const uint8_t *)steps[i], strlen(steps[i]), out, &n);
        memcpy(signing_key, out, sizeof out);
        key = signing_key;
        len = sizeof signing_key;
    }
}

static chunked decoder(bool trailer) {
    return (chunked){.is_signed = true,
                     .has_trailer = trailer,
                     .verify = true,
                     .key = signing_key,
                     .date = STR("20130524T000000Z"),
                     .scope = STR("20130524/us-east-1/s3/aws4_request"),
                     .seed = STR(SEED)};
}

/* 65536 letters a and 1024 more, as they are published. */
static void published(buf *b, bool trailer) {
    static char letters[65536];
    memset(letters, 'a', sizeof letters);
    buf_init(b, 1 << 20);
    buf_append_z(b, "10000;chunk-signature=" CHUNK_1 "\r\n");
    buf_append(b, letters, 65536);
    buf_append_z(b, "\r\n400;chunk-signature=" CHUNK_2 "\r\n");
    buf_append(b, letters, 1024);
    buf_append_z(b, "\r\n0;chunk-signature=" FINAL "\r\n");
    if (trailer)
        buf_append_z(b, "first:1st\r\nsecond:2nd\r\nthird:3rd\r\n"
                        "x-amz-trailer-signature:" TRAILER "\r\n");
    buf_append_z(b, "\r\n");
    assert_true(buf_ok(b));
}

static void published_signatures(void **state) {
    (void)state;
    for (int trailer = 0; trailer < 2; trailer++) {
        buf b;
        published(&b, trailer);
        chunked c = decoder(trailer);
        assert_int_equal(chunked_decode(&c, b.data, b.len), CHUNKED_OK);
        assert_int_equal(c.len, DATA);
        for (size_t i = 0; i < DATA; i++) assert_int_equal(b.data[i], 'a');
        assert_int_equal(c.trailer_count, trailer ? 3 : 0);
        if (trailer) {
            assert_true(str_eq_z(c.trailers[1].name, "second"));
            assert_true(str_eq_z(c.trailers[1].value, "2nd"));
        }
        buf_free(&b);
    }
}

/* One bit anywhere: in lengths, signatures, data, trailer. Every 97th byte of the data will do. */
static void single_corruptions(void **state) {
    (void)state;
    buf whole;
    published(&whole, true);
    char *body = malloc(whole.len);
    assert_non_null(body);
    size_t ends = 600; /* what is no data lies at both ends and in the middle */
    for (size_t i = 0; i < whole.len; i++) {
        bool dense = i < 100 || (i > 65600 && i < 65800) || i + ends > whole.len;
        if (!dense && i % 977) continue;
        memcpy(body, whole.data, whole.len);
        body[i] = (char)(body[i] ^ 1);
        chunked c = decoder(true);
        assert_int_not_equal(chunked_decode(&c, body, whole.len), CHUNKED_OK);
    }
    free(body);
    buf_free(&whole);
}

static void cut_bodies(void **state) {
    (void)state;
    buf whole;
    published(&whole, true);
    char *body = malloc(whole.len);
    assert_non_null(body);
    for (size_t n = 0; n<whole.len; n += n> 200 && n + 600 < whole.len ? 499 : 1) {
        memcpy(body, whole.data, n);
        chunked c = decoder(true);
        assert_int_not_equal(chunked_decode(&c, body, n), CHUNKED_OK);
    }
    free(body);
    buf_free(&whole);
}

static void other_credentials(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        buf b;
        published(&b, false);
        chunked c = decoder(false);
        uint8_t key[32];
        memcpy(key, signing_key, sizeof key);
        key[31] ^= 1;
        if (i == 0) c.key = key;
        if (i == 1) c.date = STR("20130524T000001Z");
        if (i == 2) c.scope = STR("20130524/us-east-2/s3/aws4_request");
        if (i == 3) c.seed = STR(FINAL);
        assert_int_equal(chunked_decode(&c, b.data, b.len), CHUNKED_SIGNATURE);
        buf_free(&b);
    }
}

static chunked_result decode(const char *text, bool is_signed, bool trailer, chunked *c) {
    char *body = malloc(strlen(text) + 1);
    assert_non_null(body);
    memcpy(body, text, strlen(text) + 1);
    *c = (chunked){.is_signed = is_signed, .has_trailer = trailer};
    chunked_result r = chunked_decode(c, body, strlen(text));
    free(body);
    return r;
}

static void forms(void **state) {
    (void)state;
#define S ";chunk-signature=" SEED
    static const struct {
        const char *text;
        bool is_signed, trailer;
        chunked_result result;
        size_t len;
    } rows[] = {
        {"3\r\nabc\r\n0\r\n\r\n", false, false, CHUNKED_OK, 3},
        {"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", false, false, CHUNKED_OK, 4},
        {"0\r\n\r\n", false, false, CHUNKED_OK, 0},
        {"0\r\n", false, false, CHUNKED_OK, 0},
        {"A\r\n0123456789\r\n00\r\n\r\n", false, false, CHUNKED_OK, 10},
        {"3" S "\r\nabc\r\n0" S "\r\n\r\n", true, false, CHUNKED_OK, 3},
        {"0\r\na:b\r\nc: d\r\n\r\n", false, true, CHUNKED_OK, 0},
        {"", false, false, CHUNKED_CUT, 0},
        {"3\r\nab", false, false, CHUNKED_CUT, 0},
        {"3\r\nabc", false, false, CHUNKED_CUT, 3},
        {"3\r\nabc\r\n", false, false, CHUNKED_CUT, 3},
        {"0\r\na:b\r\n", false, true, CHUNKED_CUT, 0},
        {"3\r\nabcd\r\n0\r\n\r\n", false, false, CHUNKED_BAD, 3},
        {"x\r\nabc\r\n0\r\n\r\n", false, false, CHUNKED_BAD, 0},
        {"3" S "\r\nabc\r\n0\r\n\r\n", false, false, CHUNKED_BAD, 0},
        {"3\r\nabc\r\n0\r\n\r\n", true, false, CHUNKED_BAD, 0},
        {"0\r\n\r\nmore", false, false, CHUNKED_BAD, 0},
        {"0\r\nabc\r\n\r\n", false, true, CHUNKED_TRAILER, 0},
        {"0\r\n:b\r\n\r\n", false, true, CHUNKED_TRAILER, 0},
        {"0\r\na:b\r\n\r\nmore", false, true, CHUNKED_TRAILER, 0},
        {"0" S "\r\na:b\r\n\r\n", true, true, CHUNKED_TRAILER, 0},
        {"3" S "\r\nabc\r\n3" S "\r\nabc\r\n0" S "\r\n\r\n", true, false, CHUNKED_SMALL, 3},
        {"ffffffffffffffffff\r\n", false, false, CHUNKED_BAD, 0},
        {"fffffffffffffff\r\nabc\r\n", false, false, CHUNKED_CUT, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        chunked c;
        chunked_result r = decode(rows[i].text, rows[i].is_signed, rows[i].trailer, &c);
        if (r != rows[i].result) fail_msg("row %zu: %d", i, (int)r);
        assert_int_equal(c.len, rows[i].len);
    }
}

int main(void) {
    derive();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_signatures),
        cmocka_unit_test(single_corruptions),
        cmocka_unit_test(cut_bodies),
        cmocka_unit_test(other_credentials),
        cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
