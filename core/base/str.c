#define _GNU_SOURCE /* strtod_l */
#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Words longer than this are not typing errors of one another. */
#define WORD_MAX 64u
/* Digits of a double that anyone writes; the longest exact one has 767. */
#define FLOAT_TEXT_MAX 800u

int str_cmp(weir_str a, weir_str b) {
    uint64_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter > 0 ? memcmp(a.ptr, b.ptr, shorter) : 0;
    if (order != 0) return order < 0 ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

unsigned str_distance(weir_str a, weir_str b, unsigned max) {
    unsigned rows[3][WORD_MAX + 1];
    uint64_t gap = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (gap > max || a.len > WORD_MAX || b.len > WORD_MAX) return max + 1;
    for (unsigned j = 0; j <= b.len; j++) rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        const unsigned *before = rows[(i + 1) % 3], *above = rows[(i + 2) % 3];
        unsigned *row = rows[i % 3], least = i;
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char ca = a.ptr[i - 1], cb = b.ptr[j - 1];
            unsigned best = above[j - 1] + (ca != cb);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && ca == b.ptr[j - 2] && a.ptr[i - 2] == cb &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
            if (best < least) least = best;
        }
        if (least > max) return max + 1;
    }
    unsigned distance = rows[a.len % 3][b.len];
    return distance <= max ? distance : max + 1;
}

/* Case and the choice between '-' and '_' are not what tells two words apart. */
static weir_str fold(weir_str s, char out[WORD_MAX]) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        out[i] = c == '-' ? '_' : (c >= 'A' && c <= 'Z') ? (char)(c + 32) : (char)c;
    }
    return (weir_str){out, s.len};
}

int str_nearest(weir_str word, const weir_str *candidates, size_t count) {
    char folded_word[WORD_MAX], folded[WORD_MAX];
    if (word.len == 0 || word.len > WORD_MAX) return -1;
    unsigned nearest = word.len < 3 ? 1 : word.len < 6 ? 2 : 3;
    if (nearest >= word.len) nearest = (unsigned)word.len - 1;
    int found = -1;
    weir_str w = fold(word, folded_word);
    for (size_t i = 0; i < count; i++) {
        if (candidates[i].len > WORD_MAX || candidates[i].len == 0) continue;
        unsigned d = str_distance(w, fold(candidates[i], folded), nearest);
        if (d > nearest || (found >= 0 && d == nearest)) continue;
        nearest = d;
        found = (int)i;
    }
    return found;
}

size_t str_utf8_next(weir_str s) {
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (s.len == 0) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2) return 0;
    if (p[0] < 0xe0) return s.len >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] < 0xf0) {
        if (s.len < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80) return 0;
        if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
        if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogate */
        return 3;
    }
    if (p[0] > 0xf4 || s.len < 4) return 0;
    for (int i = 1; i < 4; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xf0 && p[1] < 0x90) return 0; /* overlong */
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return 4;
}

bool str_is_utf8(weir_str s) {
    uint64_t i = 0;
    while (i < s.len) {
        uint64_t word;
        if (s.len - i >= 8 && (memcpy(&word, s.ptr + i, 8), (word & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t n = str_utf8_next((weir_str){s.ptr + i, s.len - i});
        if (n == 0) return false;
        i += n;
    }
    return true;
}

size_t str_escape_next(weir_str s, size_t at, char out[STR_ESCAPE_MAX], size_t *len) {
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)s.ptr[at];
    size_t n = str_utf8_next((weir_str){s.ptr + at, s.len - at});
    /* U+0080 to U+009F are control characters to a terminal, too: show both of their bytes. */
    bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.ptr[at + 1] < 0xa0;
    if (n > 0 && c >= 0x20 && c != 0x7f && !c1) {
        memcpy(out, s.ptr + at, n);
        *len = n;
        return at + n;
    }
    char letter = c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 0;
    out[0] = '\\';
    out[1] = letter != 0 ? letter : 'x';
    *len = 2;
    if (letter == 0) {
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        *len = 4;
    }
    return at + 1;
}

/* Digits from *i on, at least one; false if they do not fit. */
static bool digits(weir_str s, uint64_t *i, uint64_t *out) {
    uint64_t value = 0, start = *i;
    while (*i < s.len && s.ptr[*i] >= '0' && s.ptr[*i] <= '9') {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[*i] - '0'), &value))
            return false;
        (*i)++;
    }
    *out = value;
    return *i > start;
}

bool str_to_i64(weir_str s, int64_t *out) {
    uint64_t i = 0, value;
    bool negative = s.len > 0 && s.ptr[0] == '-';
    if (negative || (s.len > 0 && s.ptr[0] == '+')) i = 1;
    if (!digits(s, &i, &value) || i != s.len) return false;
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool str_to_f64(weir_str s, double *out) {
    char text[FLOAT_TEXT_MAX + 1];
    bool any = false;
    if (s.len == 0 || s.len > FLOAT_TEXT_MAX) return false;
    /* strtod takes more than numbers: blanks, hexadecimal, "inf" and "nan(...)". */
    for (uint64_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c >= '0' && c <= '9')
            any = true;
        else if (c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E')
            return false;
    }
    if (!any) return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc's constant object */
    if (c_locale == (locale_t)0) return false;
    char *end;
    double value = strtod_l(text, &end, c_locale);
    freelocale(c_locale);
    if (end != text + s.len || !isfinite(value)) return false;
    *out = value;
    return true;
}

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

static bool with_unit(weir_str s, const unit *units, size_t count, int64_t *out) {
    uint64_t i = 0, value;
    if (!digits(s, &i, &value)) return false;
    weir_str name = {s.ptr + i, s.len - i};
    for (size_t u = 0; u < count; u++) {
        if (!str_eq_z(name, units[u].name)) continue;
        if (__builtin_mul_overflow(value, units[u].factor, &value) || value > INT64_MAX)
            return false;
        *out = (int64_t)value;
        return true;
    }
    return false;
}

bool str_to_duration_ns(weir_str s, int64_t *out) {
    static const unit units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", UINT64_C(1000000000)},
        {"m", UINT64_C(60) * 1000000000},
        {"h", UINT64_C(3600) * 1000000000},
        {"d", UINT64_C(86400) * 1000000000},
    };
    if (str_eq(s, STR("0"))) {
        *out = 0;
        return true;
    }
    return with_unit(s, units, sizeof units / sizeof *units, out);
}

bool str_to_size_bytes(weir_str s, int64_t *out) {
    static const unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
        {"kB", 1000},
        {"KB", 1000},
        {"MB", 1000000},
        {"GB", UINT64_C(1000000000)},
        {"TB", UINT64_C(1000000000000)},
    };
    return with_unit(s, units, sizeof units / sizeof *units, out);
}

/* Exactly `n` digits at `at`. */
static bool fixed(weir_str s, uint64_t at, unsigned n, int *out) {
    int value = 0;
    if (at + n > s.len) return false;
    for (unsigned i = 0; i < n; i++) {
        char c = s.ptr[at + i];
        if (c < '0' || c > '9') return false;
        value = value * 10 + (c - '0');
    }
    *out = value;
    return true;
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March here, so that
 * the leap day is the last of its year. */
static int64_t days_since_epoch(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Z", "+hh:mm" or "-hh:mm" at the end of a time, in seconds. */
static bool offset_of(weir_str s, uint64_t at, int64_t *seconds) {
    int hours, minutes;
    if (at + 1 == s.len && (s.ptr[at] == 'Z' || s.ptr[at] == 'z')) {
        *seconds = 0;
        return true;
    }
    if (at + 6 != s.len || (s.ptr[at] != '+' && s.ptr[at] != '-') || s.ptr[at + 3] != ':' ||
        !fixed(s, at + 1, 2, &hours) || !fixed(s, at + 4, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *seconds = (hours * 3600 + minutes * 60) * (s.ptr[at] == '-' ? -1 : 1);
    return true;
}

bool str_to_time_us(weir_str s, int64_t *out) {
    int year, month, day, hour, minute, second;
    if (!fixed(s, 0, 4, &year) || !fixed(s, 5, 2, &month) || !fixed(s, 8, 2, &day) ||
        !fixed(s, 11, 2, &hour) || !fixed(s, 14, 2, &minute) || !fixed(s, 17, 2, &second))
        return false;
    if (s.ptr[4] != '-' || s.ptr[7] != '-' || s.ptr[13] != ':' || s.ptr[16] != ':') return false;
    if (s.ptr[10] != 'T' && s.ptr[10] != 't' && s.ptr[10] != ' ') return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return false;
    if (hour > 23 || minute > 59 || second > 60) return false; /* 60: a leap second */
    uint64_t at = 19;
    int64_t micros = 0;
    if (at < s.len && s.ptr[at] == '.') {
        int64_t weight = 100000;
        uint64_t start = ++at;
        for (; at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++, weight /= 10)
            micros += weight * (s.ptr[at] - '0');
        if (at == start) return false;
    }
    int64_t offset;
    if (!offset_of(s, at, &offset)) return false;
    int64_t seconds =
        days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *out = seconds * 1000000 + micros;
    return true;
}

/* Matches `c` against the class at pattern[*p] = '[' and moves *p behind it. A '[' that nothing
 * closes stands for itself. */
static bool class_matches(weir_str pattern, uint64_t *p, char c) {
    uint64_t i = *p + 1;
    bool negated = i < pattern.len && (pattern.ptr[i] == '!' || pattern.ptr[i] == '^');
    if (negated) i++;
    bool hit = false, first = true;
    for (; i < pattern.len && (first || pattern.ptr[i] != ']'); first = false) {
        unsigned char low = (unsigned char)pattern.ptr[i], high = low;
        if (i + 2 < pattern.len && pattern.ptr[i + 1] == '-' && pattern.ptr[i + 2] != ']') {
            high = (unsigned char)pattern.ptr[i + 2];
            i += 2;
        }
        i++;
        if ((unsigned char)c >= low && (unsigned char)c <= high) hit = true;
    }
    if (i >= pattern.len) {
        *p += 1;
        return c == '[';
    }
    *p = i + 1;
    return hit != negated;
}

bool str_glob(weir_str pattern, weir_str text) {
    uint64_t p = 0, t = 0, star = UINT64_MAX, retry = 0;
    /* Only the last star needs another try: what an earlier one matched can stay. So the time is
     * at most the product of the lengths, whatever the pattern. */
    while (t < text.len) {
        char c = text.ptr[t];
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            retry = t;
            continue;
        }
        if (p < pattern.len) {
            uint64_t next = p;
            bool hit;
            if (pattern.ptr[p] == '[') {
                hit = class_matches(pattern, &next, c) && c != '/';
            } else {
                hit = pattern.ptr[p] == '?' ? c != '/' : pattern.ptr[p] == c;
                next++;
            }
            if (hit) {
                p = next;
                t++;
                continue;
            }
        }
        if (star == UINT64_MAX || text.ptr[retry] == '/') return false;
        p = star;
        t = ++retry;
    }
    while (p < pattern.len && pattern.ptr[p] == '*') p++;
    return p == pattern.len;
}
