/*
 * sdk/json/json_private.h - what the files of this folder share. Private to it, to its tests
 * and to sdk/aws/cbor.c, which fills the same tape.
 */
#ifndef WEIR_SDK_JSON_PRIVATE_H
#define WEIR_SDK_JSON_PRIVATE_H

#include <stdint.h>
#include <string.h>

#include "weir/json.h"

#if defined(__x86_64__)
#define JSON_HAVE_AVX2 1
#define JSON_AVX2 __attribute__((target("avx2,bmi")))
/* Whether this CPU (and its operating system) runs the AVX2 variants: one load after start-up. */
static inline int json_cpu_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}
#define JSON_SSE __attribute__((target("ssse3,sse4.1")))
/* The same for those of base64 that need SSSE3 and SSE4.1: x86 since 2008, and virtual machines
 * whose hosts hide the rest. */
static inline int json_cpu_sse(void) {
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");
}
#else
#define JSON_HAVE_AVX2 0
static inline int json_cpu_avx2(void) {
    return 0;
}
#endif

#if defined(__GNUC__)
#define JSON_LIKELY(x) __builtin_expect(!!(x), 1)
#define JSON_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define JSON_INLINE static inline __attribute__((always_inline))
#define JSON_COLD __attribute__((noinline, cold))
#endif

static inline uint64_t json_load64(const void *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- parsing ---- */

/* One parse under way. `end` is exclusive; either end[-1] is a closing bracket or *end is readable
 * and NUL, so that loops over digits and white space need no bound of their own. */
typedef struct json_run {
    weir_json_parser *p;
    const uint8_t *begin;
    const uint8_t *end;
    const uint8_t *fault_at;
    const char *fault_text;
} json_run;

typedef weir_status (*json_parse_fn)(json_run *run);
weir_status json_parse_swar(json_run *run);
#if JSON_HAVE_AVX2
weir_status json_parse_avx2(json_run *run);
#endif
/* weir_json_parse with a chosen variant. */
weir_status json_parse_with(weir_json_parser *p, weir_str text, json_parse_fn parse);

/* More nodes: at least one behind `used`; moves p->nodes. */
weir_status json_grow(weir_json_parser *p, uint32_t used);

/* Whether the names of the object at `object`, whose members are complete, differ from each other.
 * WEIR_E_DATA with the fault filled if not. `at` is the closing brace. */
weir_status json_check_unique(json_run *run, const weir_value *object, const uint8_t *at);

/* The rest of a string that has an escape at `at`; `begin` is its first byte. Fills `node`, gives
 * the byte behind the closing quote; NULL: a fault, or no memory if fault_text is NULL. */
const uint8_t *json_string_escaped(json_run *run, const uint8_t *begin, const uint8_t *at,
                                   weir_value *node, int avx2);

/* Length of the valid UTF-8 sequence that begins with the byte >= 0x80 at `at`, or 0. */
uint32_t json_utf8_length(const uint8_t *at, const uint8_t *end);
/* The first byte of [at, end) that is no valid UTF-8, NULL if all is. */
const uint8_t *json_utf8_fault_swar(const uint8_t *at, const uint8_t *end);
/* Checks from `at` to the next byte that is '"', '\\' or below 0x20, or to the end; gives that
 * place, or NULL with the fault filled. */
const uint8_t *json_utf8_run_swar(json_run *run, const uint8_t *at, const uint8_t *end);
#if JSON_HAVE_AVX2
const uint8_t *json_utf8_fault_avx2(const uint8_t *at, const uint8_t *end);
const uint8_t *json_utf8_run_avx2(json_run *run, const uint8_t *at, const uint8_t *end);
#endif

/* ---- scanning: the first byte of [at, end) that is '"', '\\', below 0x20, or not ASCII; or end.
 * Never reads outside of [begin, end), where begin <= at. ---- */
const uint8_t *json_scan_swar(const uint8_t *begin, const uint8_t *at, const uint8_t *end);
#if JSON_HAVE_AVX2
const uint8_t *json_scan_avx2(const uint8_t *begin, const uint8_t *at, const uint8_t *end);
#endif
/* The same for writing: the first byte that must be escaped; bytes >= 0x80 are passed over. */
const uint8_t *json_scan_escape_swar(const uint8_t *at, const uint8_t *end);
#if JSON_HAVE_AVX2
const uint8_t *json_scan_escape_avx2(const uint8_t *at, const uint8_t *end);
#endif
/* How many bytes of [at, end) must be escaped. */
uint64_t json_count_escapes(const uint8_t *at, const uint8_t *end);

/* ---- numbers ---- */

/* Parses the number at `at` whatever its form, into `node`; gives the byte behind it. NULL and
 * *fault_at, *fault_text if it is none. Needs the terminator promised in json_run. */
const uint8_t *json_number(const uint8_t *at, uint32_t flags, weir_value *node,
                           const uint8_t **fault_at, const char **fault_text);

/* Sets `node` to the double w * 10^-count if that is exact in the sense of value.h; else 0. For
 * numbers without exponent whose digits, 19 at most, are known already. */
int json_fraction(uint64_t w, uint32_t count, int negative, weir_value *node);

/* Whether all eight bytes are digits: their upper halves are 3, also after 6 is added. */
static inline int json_eight_digits(uint64_t w) {
    const uint64_t upper = UINT64_C(0xf0f0f0f0f0f0f0f0);
    uint64_t carried = (w + UINT64_C(0x0606060606060606)) & upper;
    return ((w & upper) | carried >> 4) == UINT64_C(0x3333333333333333);
}

/* Their value, the first byte being the highest digit: neighbours are joined to pairs, pairs to
 * fours, fours to eight by one multiplication each. */
static inline uint64_t json_eight_value(uint64_t w) {
    w = (w & UINT64_C(0x0f0f0f0f0f0f0f0f)) * ((10 << 8) + 1) >> 8;
    w = (w & UINT64_C(0x00ff00ff00ff00ff)) * ((100 << 16) + 1) >> 16;
    return (w & UINT64_C(0x0000ffff0000ffff)) * ((UINT64_C(10000) << 32) + 1) >> 32;
}

/* The double nearest to w * 10^q, ties to even; infinite beyond the range. */
double json_decimal_to_double(uint64_t w, int64_t q);

/* A finite double above zero as digits * 10^exponent: the shortest that reads back as the same, and
 * of those the nearest. No trailing zeros in digits. */
typedef struct json_shortest {
    uint64_t digits;
    int32_t exponent;
} json_shortest;
json_shortest json_double_shortest(double v);

/* 10^e, e from POW10_FIRST to POW10_LAST: upper 128 bits, rounded down. */
void json_pow10(int32_t e, uint64_t *high, uint64_t *low);

/* ---- writing ---- */

extern const char json_digit_pairs[200];
char *json_put_u64(char *out, uint64_t v);
char *json_put_str(char *out, const uint8_t *s, uint64_t len);
/* The text between the quotes. */
char *json_put_bytes_swar(char *out, const uint8_t *s, const uint8_t *end);
#if JSON_HAVE_AVX2
char *json_put_bytes_avx2(char *out, const uint8_t *s, const uint8_t *end);
#endif
/* Values whose logical type is not NONE. */
char *json_put_logical(char *out, const weir_value *v, const weir_json_style *style);
uint64_t json_bound_logical(const weir_value *v);

/* ---- base64 variants ---- */
uint64_t json_base64_encode_scalar(const uint8_t *in, uint64_t len, char *out);
uint64_t json_base64_decode_scalar(const uint8_t *in, uint64_t len, uint8_t *out);
#if JSON_HAVE_AVX2
uint64_t json_base64_encode_avx2(const uint8_t *in, uint64_t len, char *out);
uint64_t json_base64_decode_avx2(const uint8_t *in, uint64_t len, uint8_t *out);
uint64_t json_base64_encode_sse(const uint8_t *in, uint64_t len, char *out);
uint64_t json_base64_decode_sse(const uint8_t *in, uint64_t len, uint8_t *out);
#endif

#endif
