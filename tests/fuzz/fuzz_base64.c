/*
 * Base64: all variants agree on what is base64 and on its bytes; what is accepted is encoded as the
 * same text; any bytes come back from their text. Buffers have the size the contract asks for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef uint64_t (*encode_fn)(const uint8_t *in, uint64_t len, char *out);
typedef uint64_t (*decode_fn)(const uint8_t *in, uint64_t len, uint8_t *out);

static void require(int condition) {
    if (!condition) abort();
}

static void check(encode_fn encode, decode_fn decode, const uint8_t *data, uint64_t size) {
    uint64_t text_len = 4 * ((size + 2) / 3);
    uint8_t *bytes = malloc(size * 3 / 4 + 1), *want = malloc(size * 3 / 4 + 1);
    uint8_t *back = malloc(text_len * 3 / 4 + 1);
    char *text = malloc(text_len + 1), *again = malloc(size + 4);
    require(bytes && want && back && text && again);

    uint64_t n = decode(data, size, bytes);
    require(n == json_base64_decode_scalar(data, size, want));
    if (n != UINT64_MAX) {
        require(n <= size * 3 / 4 && memcmp(bytes, want, n) == 0);
        require(encode(bytes, n, again) == size && memcmp(again, data, size) == 0);
    }
    require(encode(data, size, text) == text_len);
    require(decode((const uint8_t *)text, text_len, back) == size);
    require(size == 0 || memcmp(back, data, size) == 0);
    free(bytes);
    free(want);
    free(back);
    free(text);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(json_base64_encode_scalar, json_base64_decode_scalar, data, size);
#if JSON_HAVE_AVX2
    if (json_cpu_sse()) check(json_base64_encode_sse, json_base64_decode_sse, data, size);
    if (json_cpu_avx2()) check(json_base64_encode_avx2, json_base64_decode_avx2, data, size);
#endif
    return 0;
}
