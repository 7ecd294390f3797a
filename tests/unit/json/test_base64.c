/* Base64: published vectors, each length, each wrong byte, all variants. */
#include "json_test.h"

typedef uint64_t (*encode_fn)(const uint8_t *in, uint64_t len, char *out);
typedef uint64_t (*decode_fn)(const uint8_t *in, uint64_t len, uint8_t *out);

static encode_fn encoders[3] = {json_base64_encode_scalar};
static decode_fn decoders[3] = {json_base64_decode_scalar};
static uint32_t variant_count = 1;

static int setup(void **state) {
    (void)state;
#if JSON_HAVE_AVX2
    if (json_cpu_sse()) {
        encoders[variant_count] = json_base64_encode_sse;
        decoders[variant_count++] = json_base64_decode_sse;
    }
    if (json_cpu_avx2()) {
        encoders[variant_count] = json_base64_encode_avx2;
        decoders[variant_count++] = json_base64_decode_avx2;
    }
#endif
    return 0;
}

/* Decodes in exact-size buffers; the result is compared with `bytes` unless len is UINT64_MAX. */
static void check_decode(decode_fn decode, const char *text, uint64_t text_len,
                         const uint8_t *bytes, uint64_t len) {
    uint8_t *in = malloc(text_len ? text_len : 1);
    uint8_t *out = malloc(text_len * 3 / 4 ? text_len * 3 / 4 : 1);
    memcpy(in, text, text_len);
    assert_int_equal(decode(in, text_len, out), len);
    if (len != UINT64_MAX && len > 0) assert_memory_equal(out, bytes, len);
    free(in);
    free(out);
}

static void test_vectors(void **state) {
    (void)state;
    /* RFC 4648 section 10. */
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char out[16];
        uint64_t n = weir_base64_encode((weir_str){vectors[i][0], strlen(vectors[i][0])}, out);
        assert_int_equal(n, strlen(vectors[i][1]));
        assert_memory_equal(out, vectors[i][1], n);
        n = weir_base64_decode((weir_str){vectors[i][1], n}, out);
        assert_int_equal(n, strlen(vectors[i][0]));
        assert_memory_equal(out, vectors[i][0], n);
    }
}

static void test_lengths(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u;
    for (uint64_t len = 0; len < 400; len++) {
        uint8_t *bytes = malloc(len ? len : 1);
        for (uint64_t i = 0; i < len; i++) bytes[i] = (uint8_t)(next_random(&seed) >> 24);
        uint64_t want_len = 4 * ((len + 2) / 3);
        char *want = malloc(want_len + 1), *got = malloc(want_len ? want_len : 1);
        assert_int_equal(json_base64_encode_scalar(bytes, len, want), want_len);
        for (uint32_t v = 0; v < variant_count; v++) {
            assert_int_equal(encoders[v](bytes, len, got), want_len);
            if (want_len) assert_memory_equal(got, want, want_len);
            check_decode(decoders[v], want, want_len, bytes, len);
        }
        free(bytes);
        free(want);
        free(got);
    }
}

/* Every byte value at every place of a long text: accepted exactly if it is in the alphabet. */
static void test_wrong_bytes(void **state) {
    (void)state;
    char text[132];
    uint8_t bytes[99];
    memset(text, 'A', sizeof text);
    for (uint32_t at = 0; at < 128; at++) {
        for (uint32_t c = 0; c < 256; c++) {
            int good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '+' || c == '/';
            text[at] = (char)c;
            for (uint32_t v = 0; v < variant_count; v++) {
                uint64_t n = decoders[v]((const uint8_t *)text, sizeof text, bytes);
                assert_int_equal(n, good ? 99 : UINT64_MAX);
                if (!good) continue;
                /* What it decodes to encodes to the text again. */
                char back[132];
                assert_int_equal(encoders[v](bytes, 99, back), sizeof back);
                assert_memory_equal(back, text, sizeof back);
            }
        }
        text[at] = 'A';
    }
}

static void test_strictness(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "A",        "AA",       "AAA",  "AAAAA", "=",    "====",  "A===", "AA=A",
        "AAAA====", "AA==AAAA", "AB==", "AAB=",  "A A=", "AAA\n", "AA-_", "AA\0A"};
    for (uint32_t v = 0; v < variant_count; v++) {
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
            check_decode(decoders[v], wrong[i],
                         i + 1 == sizeof wrong / sizeof wrong[0] ? 4 : strlen(wrong[i]), NULL,
                         UINT64_MAX);
        check_decode(decoders[v], "AA==", 4, (const uint8_t *)"", 1);
        check_decode(decoders[v], "AAA=", 4, (const uint8_t *)"\0", 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_wrong_bytes), cmocka_unit_test(test_strictness)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
