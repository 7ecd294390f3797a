/* Base64 (RFC 4648 section 4): padded, and read strictly: one text for each run of bytes. */
#include "json_private.h"

#if JSON_HAVE_AVX2
#include <immintrin.h>
#endif

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define X 0xff /* no digit */
/* Value of each character. A table, not comparisons: those are mispredicted on every other digit of
 * real data: 0.16 GB/s here against 2.8. */
static const uint8_t digits[256] = {
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,  X,  63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  X,  X,  X,  X,  0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,  X,  X,
    X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
};
#undef X

static inline uint32_t digit(uint8_t c) {
    return digits[c];
}

uint64_t weir_base64_encode(weir_str bytes, char *out) {
#if JSON_HAVE_AVX2
    if (json_cpu_avx2()) return json_base64_encode_avx2((const uint8_t *)bytes.ptr, bytes.len, out);
    if (json_cpu_sse()) return json_base64_encode_sse((const uint8_t *)bytes.ptr, bytes.len, out);
#endif
    return json_base64_encode_scalar((const uint8_t *)bytes.ptr, bytes.len, out);
}

uint64_t weir_base64_decode(weir_str text, char *out) {
#if JSON_HAVE_AVX2
    if (json_cpu_avx2())
        return json_base64_decode_avx2((const uint8_t *)text.ptr, text.len, (uint8_t *)out);
    if (json_cpu_sse())
        return json_base64_decode_sse((const uint8_t *)text.ptr, text.len, (uint8_t *)out);
#endif
    return json_base64_decode_scalar((const uint8_t *)text.ptr, text.len, (uint8_t *)out);
}

uint64_t json_base64_encode_scalar(const uint8_t *in, uint64_t len, char *out) {
    char *begin = out;
    for (; len >= 3; in += 3, len -= 3, out += 4) {
        uint32_t w = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = alphabet[w >> 18];
        out[1] = alphabet[w >> 12 & 63];
        out[2] = alphabet[w >> 6 & 63];
        out[3] = alphabet[w & 63];
    }
    if (len > 0) {
        uint32_t w = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);
        out[0] = alphabet[w >> 18];
        out[1] = alphabet[w >> 12 & 63];
        out[2] = len > 1 ? alphabet[w >> 6 & 63] : '=';
        out[3] = '=';
        out += 4;
    }
    return (uint64_t)(out - begin);
}

uint64_t json_base64_decode_scalar(const uint8_t *in, uint64_t len, uint8_t *out) {
    uint8_t *begin = out;
    if (len % 4 != 0) return UINT64_MAX;
    if (len == 0) return 0;
    for (; len > 4; in += 4, len -= 4, out += 3) {
        uint32_t a = digit(in[0]), b = digit(in[1]), c = digit(in[2]), d = digit(in[3]);
        if ((a | b | c | d) & 0xc0) return UINT64_MAX;
        uint32_t w = a << 18 | b << 12 | c << 6 | d;
        out[0] = (uint8_t)(w >> 16);
        out[1] = (uint8_t)(w >> 8);
        out[2] = (uint8_t)w;
    }
    /* The last four may end with padding; bits that no byte takes must be zero. */
    uint32_t padding = in[3] != '=' ? 0 : in[2] != '=' ? 1 : 2;
    uint32_t a = digit(in[0]), b = digit(in[1]);
    uint32_t c = padding == 2 ? 0 : digit(in[2]);
    uint32_t d = padding ? 0 : digit(in[3]);
    if ((a | b | c | d) & 0xc0) return UINT64_MAX;
    uint32_t w = a << 18 | b << 12 | c << 6 | d;
    if ((padding == 1 && (w & 0xff)) || (padding == 2 && (w & 0xffff))) return UINT64_MAX;
    *out++ = (uint8_t)(w >> 16);
    if (padding < 2) *out++ = (uint8_t)(w >> 8);
    if (padding < 1) *out++ = (uint8_t)w;
    return (uint64_t)(out - begin);
}

#if JSON_HAVE_AVX2
/*
 * 24 bytes become 32 characters. A load that begins four bytes early puts the twelve bytes of each
 * half into the same places of its lane; a shuffle makes the words b a c b of each three, two
 * multiplications move the four 6-bit fields apart, and the value picks its offset to ASCII by
 * range. The upper halves of the registers are cleared by hand: gcc 12 leaves that out before a
 * call of a function that it sees, and SSE code then waits for them, here at a tenth of its speed,
 * until somebody does it.
 */
JSON_AVX2 uint64_t json_base64_encode_avx2(const uint8_t *in, uint64_t len, char *out) {
    char *begin = out;
    if (len >= 32) {
        const __m256i spread =
            _mm256_setr_epi8(5, 4, 6, 5, 8, 7, 9, 8, 11, 10, 12, 11, 14, 13, 15, 14, 1, 0, 2, 1, 4,
                             3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
        /* Offset by class: 0 = a-z, 1..10 = digits, 11 = '+', 12 = '/', 13 = A-Z. */
        const __m256i offsets =
            _mm256_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                             '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0,
                             'a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                             '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
        /* The first six bytes go by hand: the vector load begins four bytes early. */
        out += json_base64_encode_scalar(in, 6, out);
        in += 6;
        len -= 6;
        while (len >= 28) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in - 4));
            v = _mm256_shuffle_epi8(v, spread);
            __m256i ac = _mm256_mulhi_epu16(_mm256_and_si256(v, _mm256_set1_epi32(0x0fc0fc00)),
                                            _mm256_set1_epi32(0x04000040));
            __m256i bd = _mm256_mullo_epi16(_mm256_and_si256(v, _mm256_set1_epi32(0x003f03f0)),
                                            _mm256_set1_epi32(0x01000010));
            __m256i values = _mm256_or_si256(ac, bd);
            __m256i class = _mm256_subs_epu8(values, _mm256_set1_epi8(51));
            __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
            class = _mm256_or_si256(class, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
            values = _mm256_add_epi8(values, _mm256_shuffle_epi8(offsets, class));
            _mm256_storeu_si256((__m256i *)(void *)out, values);
            in += 24;
            out += 32;
            len -= 24;
        }
        _mm256_zeroupper();
    }
    return (uint64_t)(out - begin) + json_base64_encode_scalar(in, len, out);
}

/*
 * 32 characters become 24 bytes. Characters are checked by two look-ups, of the low and of the high
 * half-byte, whose bit sets are disjoint exactly for the alphabet; the high half (and whether it is
 * '/') picks the offset to the value; two multiply-adds join four values to three bytes.
 */
JSON_AVX2 uint64_t json_base64_decode_avx2(const uint8_t *in, uint64_t len, uint8_t *out) {
    uint8_t *begin = out;
    if (len % 4 != 0) return UINT64_MAX;
    const __m256i low_sets =
        _mm256_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a,
                         0x1b, 0x1b, 0x1b, 0x1a, 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                         0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    const __m256i high_sets =
        _mm256_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10,
                         0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                         0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m256i offsets = _mm256_setr_epi8(
        0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0, 0,
        63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i pack = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2,
                                          1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    /* A store writes 32 bytes of which 24 count: at least eight must follow in the output, that is
     * twelve characters with the padding. */
    while (len >= 32 + 16) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)in);
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(v, 4), _mm256_set1_epi8(0x0f));
        __m256i low = _mm256_and_si256(v, _mm256_set1_epi8(0x0f));
        __m256i wrong = _mm256_and_si256(_mm256_shuffle_epi8(low_sets, low),
                                         _mm256_shuffle_epi8(high_sets, high));
        if (!_mm256_testz_si256(wrong, wrong)) {
            _mm256_zeroupper();
            return UINT64_MAX;
        }
        __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('/'));
        v = _mm256_add_epi8(v, _mm256_shuffle_epi8(offsets, _mm256_add_epi8(high, slash)));
        __m256i pairs = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
        __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
        __m256i bytes = _mm256_shuffle_epi8(quads, pack);
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(void *)out, bytes);
        in += 32;
        len -= 32;
        out += 24;
    }
    _mm256_zeroupper();
    uint64_t rest = json_base64_decode_sse(in, len, out);
    return rest == UINT64_MAX ? rest : (uint64_t)(out - begin) + rest;
}

/* Half of it: 12 bytes become 16 characters. The load takes four bytes more than it uses. */
JSON_SSE uint64_t json_base64_encode_sse(const uint8_t *in, uint64_t len, char *out) {
    char *begin = out;
    const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m128i offsets =
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    for (; len >= 16; in += 12, len -= 12, out += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)in);
        v = _mm_shuffle_epi8(v, spread);
        __m128i ac = _mm_mulhi_epu16(_mm_and_si128(v, _mm_set1_epi32(0x0fc0fc00)),
                                     _mm_set1_epi32(0x04000040));
        __m128i bd = _mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi32(0x003f03f0)),
                                     _mm_set1_epi32(0x01000010));
        __m128i values = _mm_or_si128(ac, bd);
        __m128i class = _mm_subs_epu8(values, _mm_set1_epi8(51));
        __m128i upper = _mm_cmpgt_epi8(_mm_set1_epi8(26), values);
        class = _mm_or_si128(class, _mm_and_si128(upper, _mm_set1_epi8(13)));
        values = _mm_add_epi8(values, _mm_shuffle_epi8(offsets, class));
        _mm_storeu_si128((__m128i *)(void *)out, values);
    }
    return (uint64_t)(out - begin) + json_base64_encode_scalar(in, len, out);
}

/* 16 characters become 12 bytes, by the tables above; a store writes four bytes too many. */
JSON_SSE uint64_t json_base64_decode_sse(const uint8_t *in, uint64_t len, uint8_t *out) {
    uint8_t *begin = out;
    if (len % 4 != 0) return UINT64_MAX;
    const __m128i low_sets = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                           0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    const __m128i high_sets = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
                                            0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m128i offsets = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a',
                                          26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i pack = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    /* At least four bytes must follow in the output: eight characters with the padding. */
    for (; len >= 16 + 8; in += 16, len -= 16, out += 12) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)in);
        __m128i high = _mm_and_si128(_mm_srli_epi32(v, 4), _mm_set1_epi8(0x0f));
        __m128i low = _mm_and_si128(v, _mm_set1_epi8(0x0f));
        __m128i wrong =
            _mm_and_si128(_mm_shuffle_epi8(low_sets, low), _mm_shuffle_epi8(high_sets, high));
        if (!_mm_testz_si128(wrong, wrong)) return UINT64_MAX;
        __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('/'));
        v = _mm_add_epi8(v, _mm_shuffle_epi8(offsets, _mm_add_epi8(high, slash)));
        __m128i pairs = _mm_maddubs_epi16(v, _mm_set1_epi32(0x01400140));
        __m128i quads = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000));
        _mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(quads, pack));
    }
    uint64_t rest = json_base64_decode_scalar(in, len, out);
    return rest == UINT64_MAX ? rest : (uint64_t)(out - begin) + rest;
}
#endif
