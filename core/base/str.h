/*
 * core/base/str.h - small helpers on weir_str, the string that carries its length.
 */
#ifndef WEIR_BASE_STR_H
#define WEIR_BASE_STR_H

#include <stdbool.h>
#include <string.h>

#include "weir/types.h"

/* A weir_str of a string literal, and the two arguments that "%.*s" wants. */
#define STR(lit) ((weir_str){(lit), sizeof(lit) - 1})
#define STR_FMT(s) (int)((s).len > 65536 ? 65536 : (s).len), (s).ptr

static inline weir_str str_of(const char *z) {
    return z != NULL ? (weir_str){z, strlen(z)} : (weir_str){"", 0};
}

static inline weir_str str_make(const char *ptr, size_t len) {
    return (weir_str){ptr, len};
}

static inline bool str_eq(weir_str a, weir_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_eq_z(weir_str a, const char *z) {
    return str_eq(a, str_of(z));
}

static inline bool str_starts(weir_str s, weir_str prefix) {
    return prefix.len == 0 || (s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool str_ends(weir_str s, weir_str suffix) {
    return suffix.len == 0 ||
           (s.len >= suffix.len && memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* Order of bytes, shorter first when one is a prefix of the other: positions and names sort so. */
int str_cmp(weir_str a, weir_str b);

/* Edit distance with transpositions, given up above `max`: for "did you mean". */
unsigned str_distance(weir_str a, weir_str b, unsigned max);

/* Index of the candidate nearest to `word`, or -1 if none is near enough to be meant. */
int str_nearest(weir_str word, const weir_str *candidates, size_t count);

/* True if the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_is_utf8(weir_str s);
/* Length of the well-formed UTF-8 character that `s` begins with; 0 if there is none. */
size_t str_utf8_next(weir_str s);

/* The next piece of `s` from `at`, made safe for a terminal or a log: control characters and bytes
 * that are not UTF-8 become \n, \t, \xNN. Writes 1 to 4 bytes to `out` and their number to `len`;
 * answers the offset behind what it took. at < s.len. */
#define STR_ESCAPE_MAX 4u
size_t str_escape_next(weir_str s, size_t at, char out[STR_ESCAPE_MAX], size_t *len);

/* Whole-string numbers: false if there is anything else in it or it does not fit. */
bool str_to_i64(weir_str s, int64_t *out);
bool str_to_f64(weir_str s, double *out); /* locale-independent */

/* "200ms", "5s", "10m", "1h", "2d", "0" to nanoseconds. */
bool str_to_duration_ns(weir_str s, int64_t *out);

/* "512KiB", "5MiB", "1GiB" (binary), "5MB" (decimal), "4096" to bytes. */
bool str_to_size_bytes(weir_str s, int64_t *out);

/* RFC 3339 ("2026-01-01T00:00:00Z", fractions, offsets) to microseconds since 1970 UTC. */
bool str_to_time_us(weir_str s, int64_t *out);

/* Shell-like glob: * ? [a-z] within one path component; false for anything else. */
bool str_glob(weir_str pattern, weir_str text);

#endif
