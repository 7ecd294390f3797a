/*
 * UTF-8, as table 3-7 of the Unicode standard has it: nothing overlong, no surrogates, nothing
 * above U+10FFFF.
 *
 * The vector variant classifies each pair of neighbouring bytes by three look-ups whose results are
 * sets of possible errors (Keiser and Lemire, "Validating UTF-8 in less than one instruction per
 * byte", 2021). It only says yes or no; where the fault is, the scalar code finds out.
 */
#include "json_private.h"
#include "scan.h"

#define VECTOR_MIN 32 /* below this many bytes the scalar code is as fast */

uint32_t json_utf8_length(const uint8_t *at, const uint8_t *end) {
    uint8_t a = at[0];
    int64_t left = end - at;
    if (a < 0xc2 || left < 2) return 0;
    uint8_t b = at[1];
    if (a < 0xe0) return (b & 0xc0) == 0x80 ? 2 : 0;
    if (left < 3) return 0;
    if (a < 0xf0) {
        if ((b & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80) return 0;
        if (a == 0xe0 && b < 0xa0) return 0;
        if (a == 0xed && b > 0x9f) return 0;
        return 3;
    }
    if (left < 4 || a > 0xf4) return 0;
    if ((b & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 || (at[3] & 0xc0) != 0x80) return 0;
    if (a == 0xf0 && b < 0x90) return 0;
    if (a == 0xf4 && b > 0x8f) return 0;
    return 4;
}

const uint8_t *json_utf8_fault_swar(const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        while (end - at >= 8 && !(json_load64(at) & SWAR_HIGH)) at += 8;
        while (at < end && *at < 0x80) at++;
        while (at < end && *at >= 0x80) {
            uint32_t length = json_utf8_length(at, end);
            if (length == 0) return at;
            at += length;
        }
    }
    return NULL;
}

const uint8_t *json_utf8_run_swar(json_run *run, const uint8_t *at, const uint8_t *end) {
    const uint8_t *stop = json_scan_escape_swar(at, end);
    const uint8_t *bad = json_utf8_fault_swar(at, stop);
    if (!bad) return stop;
    run->fault_at = bad;
    run->fault_text = "invalid UTF-8 in a string";
    return NULL;
}

#if JSON_HAVE_AVX2
/* What two neighbouring bytes can be wrong by. A bit survives the three look-ups only if the first
 * byte's halves and the second's upper half all allow it. */
enum {
    TOO_SHORT = 1 << 0,  /* a lead byte and no continuation */
    TOO_LONG = 1 << 1,   /* ASCII and a continuation */
    OVERLONG_3 = 1 << 2, /* E0 80..9F */
    TOO_LARGE = 1 << 3,  /* F4 90..BF, F5..FF */
    SURROGATE = 1 << 4,  /* ED A0..BF */
    OVERLONG_2 = 1 << 5, /* C0, C1 */
    OVERLONG_4 = 1 << 6, /* F0 80..8F, and F5..FF 80..8F, which are too large */
    TWO_CONTS = 1 << 7,  /* fine if it is the third or fourth byte */
    ALWAYS = TOO_SHORT | TOO_LONG | TWO_CONTS
};

#define BOTH_LANES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/* `v` moved up by n bytes, filled from the end of the vector before it. */
#define SHIFTED_IN(v, before, n)                                                                   \
    _mm256_alignr_epi8(v, _mm256_permute2x128_si256(before, v, 0x21), 16 - (n))

JSON_AVX2 JSON_INLINE __m256i pair_errors(__m256i v, __m256i before) {
    const __m256i first_high = BOTH_LANES(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, TOO_SHORT | OVERLONG_2,
        TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | OVERLONG_4);
    const __m256i first_low = BOTH_LANES(
        (char)(ALWAYS | OVERLONG_2 | OVERLONG_3 | OVERLONG_4), (char)(ALWAYS | OVERLONG_2),
        (char)ALWAYS, (char)ALWAYS, (char)(ALWAYS | TOO_LARGE),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4), (char)(ALWAYS | TOO_LARGE | OVERLONG_4),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4), (char)(ALWAYS | TOO_LARGE | OVERLONG_4),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4), (char)(ALWAYS | TOO_LARGE | OVERLONG_4),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4), (char)(ALWAYS | TOO_LARGE | OVERLONG_4),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4 | SURROGATE),
        (char)(ALWAYS | TOO_LARGE | OVERLONG_4), (char)(ALWAYS | TOO_LARGE | OVERLONG_4));
    const __m256i second_high =
        BOTH_LANES(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
                   TOO_SHORT, (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | OVERLONG_4),
                   (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE),
                   (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
                   (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE), TOO_SHORT,
                   TOO_SHORT, TOO_SHORT, TOO_SHORT);
    const __m256i half = _mm256_set1_epi8(0x0f);
    __m256i one = SHIFTED_IN(v, before, 1);
    __m256i two = SHIFTED_IN(v, before, 2);
    __m256i three = SHIFTED_IN(v, before, 3);
    __m256i wrong = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(one, 4), half)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(one, half))),
        _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(v, 4), half)));
    /* Behind a lead byte of three or four, two continuations in a row are what must be there. */
    __m256i wanted = _mm256_or_si256(_mm256_subs_epu8(two, _mm256_set1_epi8(0xe0 - 0x80)),
                                     _mm256_subs_epu8(three, _mm256_set1_epi8(0xf0 - 0x80)));
    wanted = _mm256_and_si256(wanted, _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(wrong, wanted);
}

JSON_AVX2 static int valid_avx2(const uint8_t *at, const uint8_t *end) {
    __m256i before = _mm256_setzero_si256();
    __m256i wrong = before;
    for (; end - at >= 32; at += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)at);
        wrong = _mm256_or_si256(wrong, pair_errors(v, before));
        before = v;
    }
    /* What is left, with zeros behind it, which no unfinished sequence survives. */
    uint8_t last[32] = {0};
    memcpy(last, at, (size_t)(end - at));
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)last);
    wrong = _mm256_or_si256(wrong, pair_errors(v, before));
    if (end - at > 28) wrong = _mm256_or_si256(wrong, pair_errors(_mm256_setzero_si256(), v));
    return _mm256_testz_si256(wrong, wrong);
}

const uint8_t *json_utf8_fault_avx2(const uint8_t *at, const uint8_t *end) {
    if (end - at >= VECTOR_MIN && valid_avx2(at, end)) return NULL;
    return json_utf8_fault_swar(at, end);
}

const uint8_t *json_utf8_run_avx2(json_run *run, const uint8_t *at, const uint8_t *end) {
    const uint8_t *stop = json_scan_escape_avx2(at, end);
    const uint8_t *bad = json_utf8_fault_avx2(at, stop);
    if (!bad) return stop;
    run->fault_at = bad;
    run->fault_text = "invalid UTF-8 in a string";
    return NULL;
}
#endif

uint64_t weir_utf8_span(weir_str text) {
    if (text.len == 0) return 0;
    const uint8_t *begin = (const uint8_t *)text.ptr;
    const uint8_t *bad;
#if JSON_HAVE_AVX2
    if (json_cpu_avx2())
        bad = json_utf8_fault_avx2(begin, begin + text.len);
    else
#endif
        bad = json_utf8_fault_swar(begin, begin + text.len);
    return bad ? (uint64_t)(bad - begin) : text.len;
}
