/*
 * sdk/json/scan.h - finding the bytes of a string that need a second look, eight or 32 at a time.
 *
 * All of it stays inside of [begin, end): behind the end there may be an unmapped page. The last
 * bytes, too few for a vector, are read as the end of a vector that begins earlier in the text.
 */
#ifndef WEIR_SDK_JSON_SCAN_H
#define WEIR_SDK_JSON_SCAN_H

#include "json_private.h"

#if JSON_HAVE_AVX2
#include <immintrin.h>
#endif

#define SWAR_ONES UINT64_C(0x0101010101010101)
#define SWAR_HIGH UINT64_C(0x8080808080808080)

/* The high bit of each byte of `w` that is '"', '\\' or below 0x20; a byte above such a byte may be
 * marked too, which does not matter to who wants the first. */
JSON_INLINE uint64_t swar_escape_bytes(uint64_t w) {
    uint64_t quote = w ^ (SWAR_ONES * '"');
    uint64_t slash = w ^ (SWAR_ONES * '\\');
    return (((quote - SWAR_ONES) & ~quote) | ((slash - SWAR_ONES) & ~slash) |
            ((w - SWAR_ONES * 0x20) & ~w)) &
           SWAR_HIGH;
}

JSON_INLINE int is_special(uint8_t c) {
    return c < 0x20 || c >= 0x80 || c == '"' || c == '\\';
}

JSON_INLINE const uint8_t *scan_string_swar(const uint8_t *begin, const uint8_t *at,
                                            const uint8_t *end) {
    (void)begin;
    while (end - at >= 8) {
        uint64_t w = json_load64(at);
        uint64_t hit = swar_escape_bytes(w) | (w & SWAR_HIGH);
        if (hit) return at + (__builtin_ctzll(hit) >> 3);
        at += 8;
    }
    while (at < end && !is_special(*at)) at++;
    return at;
}

#if JSON_HAVE_AVX2
/* Bit i: byte i of the vector is special. Signed comparison takes both control characters and bytes
 * from 0x80 on. */
JSON_AVX2 JSON_INLINE uint32_t special_bits(__m256i v) {
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, slash), low));
}

/* Bit i: byte i must be escaped; unlike special_bits, bytes from 0x80 on do not count. */
JSON_AVX2 JSON_INLINE uint32_t escape_bits(__m256i v) {
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, slash), low));
}

JSON_AVX2 JSON_INLINE const uint8_t *scan_string_avx2(const uint8_t *begin, const uint8_t *at,
                                                      const uint8_t *end) {
    while (end - at >= 32) {
        uint32_t hit = special_bits(_mm256_loadu_si256((const __m256i *)(const void *)at));
        if (hit) return at + __builtin_ctz(hit);
        at += 32;
    }
    if (end - begin >= 32) {
        uint32_t hit = special_bits(_mm256_loadu_si256((const __m256i *)(const void *)(end - 32)));
        uint32_t before = 32 - (uint32_t)(end - at); /* bytes of the vector in front of `at` */
        if (before == 32) return end;
        hit >>= before;
        return hit ? at + __builtin_ctz(hit) : end;
    }
    while (at < end && !is_special(*at)) at++;
    return at;
}
#endif

#endif
