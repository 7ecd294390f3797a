/* The scans as functions: for the tests, and for code that is not inside the parser's loop. */
#include "scan.h"

const uint8_t *json_scan_swar(const uint8_t *begin, const uint8_t *at, const uint8_t *end) {
    return scan_string_swar(begin, at, end);
}

const uint8_t *json_scan_escape_swar(const uint8_t *at, const uint8_t *end) {
    while (end - at >= 8) {
        uint64_t hit = swar_escape_bytes(json_load64(at));
        if (hit) return at + (__builtin_ctzll(hit) >> 3);
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\') at++;
    return at;
}

#if JSON_HAVE_AVX2
JSON_AVX2 const uint8_t *json_scan_avx2(const uint8_t *begin, const uint8_t *at,
                                        const uint8_t *end) {
    return scan_string_avx2(begin, at, end);
}

JSON_AVX2 const uint8_t *json_scan_escape_avx2(const uint8_t *at, const uint8_t *end) {
    while (end - at >= 32) {
        uint32_t hit = escape_bits(_mm256_loadu_si256((const __m256i *)(const void *)at));
        if (hit) return at + __builtin_ctz(hit);
        at += 32;
    }
    return json_scan_escape_swar(at, end);
}

JSON_AVX2 static uint64_t count_escapes_avx2(const uint8_t *at, const uint8_t *end) {
    uint64_t count = 0;
    for (; end - at >= 32; at += 32)
        count += (uint64_t)__builtin_popcount(
            escape_bits(_mm256_loadu_si256((const __m256i *)(const void *)at)));
    for (; at < end; at++) count += *at < 0x20 || *at == '"' || *at == '\\';
    return count;
}
#endif

uint64_t json_count_escapes(const uint8_t *at, const uint8_t *end) {
#if JSON_HAVE_AVX2
    if (json_cpu_avx2()) return count_escapes_avx2(at, end);
#endif
    uint64_t count = 0;
    for (; at < end; at++) count += *at < 0x20 || *at == '"' || *at == '\\';
    return count;
}
