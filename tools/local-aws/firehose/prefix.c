/*
 * Prefixes of object names: !{timestamp:PATTERN} with the letters of Java's DateTimeFormatter, and
 * !{firehose:random-string}, !{firehose:error-output-type}.
 */
#include "firehose/firehose.h"

#include <stdio.h>
#include <time.h>

#define RANDOM_LETTERS 11 /* the developer guide */

static const char LETTERS[] = "yuMLdDEaHhKkmsSnq";
static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

/* ---- expressions ---- */

typedef struct expression {
    weir_str space, value; /* "timestamp", "yyyy" */
    size_t end;            /* one behind its '}' */
} expression;

/* The expression that begins at `at`, where "!{" stands. */
static bool read_expression(weir_str s, size_t at, expression *out) {
    const char *end = memchr(s.ptr + at, '}', (size_t)s.len - at);
    if (!end) return false;
    weir_str inside = str_make(s.ptr + at + 2, (size_t)(end - s.ptr) - at - 2);
    const char *colon = inside.len ? memchr(inside.ptr, ':', (size_t)inside.len) : NULL;
    if (!colon) return false;
    size_t n = (size_t)(colon - inside.ptr);
    out->space = str_make(inside.ptr, n);
    out->value = str_make(colon + 1, (size_t)inside.len - n - 1);
    out->end = (size_t)(end - s.ptr) + 1;
    return true;
}

static bool begins(weir_str s, size_t at) {
    return at + 1 < s.len && s.ptr[at] == '!' && s.ptr[at + 1] == '{';
}

bool prefix_has(weir_str prefix, const char *text) {
    return prefix.len && memmem(prefix.ptr, (size_t)prefix.len, text, strlen(text)) != NULL;
}

/* ---- patterns ---- */

/* How many of the same letter stand from `at` on. */
static size_t run_of(weir_str s, size_t at) {
    size_t n = 1;
    while (at + n < s.len && s.ptr[at + n] == s.ptr[at]) n++;
    return n;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A quoted piece from `at`: its text (a doubled quote is one), and one behind its end; 0 if it does
 * not end. */
static size_t quoted(weir_str s, size_t at, buf *out) {
    size_t i = at + 1;
    if (i < s.len && s.ptr[i] == '\'') {
        if (out) buf_append_char(out, '\'');
        return i + 1;
    }
    for (; i < s.len; i++) {
        if (s.ptr[i] != '\'') {
            if (out) buf_append_char(out, s.ptr[i]);
        } else if (i + 1 < s.len && s.ptr[i + 1] == '\'') {
            if (out) buf_append_char(out, '\'');
            i++;
        } else {
            return i + 1;
        }
    }
    return 0;
}

static bool pattern_is_valid(weir_str p, char *why, size_t why_size) {
    for (size_t i = 0; i < p.len;) {
        char c = p.ptr[i];
        size_t n = is_letter(c) ? run_of(p, i) : 1;
        if (c == '\'') {
            n = quoted(p, i, NULL);
            if (!n) snprintf(why, why_size, "a quote does not end in '%.*s'", STR_FMT(p));
            if (!n) return false;
            i = n;
            continue;
        }
        if ((is_letter(c) && !strchr(LETTERS, c)) || strchr("#[]{", c) || n > 9) {
            snprintf(why, why_size, "'%.*s' is no pattern letter of this endpoint",
                     (int)(n > 9 ? 10 : n), p.ptr + i);
            return false;
        }
        i += n;
    }
    return p.len > 0;
}

static void number(buf *out, int64_t value, size_t width) {
    buf_printf(out, "%0*lld", (int)width, (long long)value);
}

static void name_of(buf *out, const char *name, size_t n) {
    if (n >= 5)
        buf_append(out, name, 1);
    else
        buf_append(out, name, n == 4 ? strlen(name) : 3);
}

static void put_field(buf *out, char letter, size_t n, const struct tm *t, int ms) {
    int hour12 = t->tm_hour % 12 ? t->tm_hour % 12 : 12;
    char fraction[16];
    switch (letter) {
    case 'y':
    case 'u':
        number(out, n == 2 ? t->tm_year % 100 : t->tm_year + 1900, n);
        break;
    case 'M':
    case 'L':
        if (n > 2)
            name_of(out, MONTHS[t->tm_mon], n);
        else
            number(out, t->tm_mon + 1, n);
        break;
    case 'q':
        number(out, t->tm_mon / 3 + 1, n);
        break;
    case 'd':
        number(out, t->tm_mday, n);
        break;
    case 'D':
        number(out, t->tm_yday + 1, n);
        break;
    case 'E':
        name_of(out, DAYS[t->tm_wday], n);
        break;
    case 'a':
        buf_append_z(out, t->tm_hour < 12 ? "AM" : "PM");
        break;
    case 'H':
        number(out, t->tm_hour, n);
        break;
    case 'h':
        number(out, hour12, n);
        break;
    case 'K':
        number(out, t->tm_hour % 12, n);
        break;
    case 'k':
        number(out, t->tm_hour ? t->tm_hour : 24, n);
        break;
    case 'm':
        number(out, t->tm_min, n);
        break;
    case 's':
        number(out, t->tm_sec, n);
        break;
    case 'n': /* nanoseconds of the second */
        number(out, (int64_t)ms * 1000000, n);
        break;
    case 'S': /* the fraction's first digits */
        snprintf(fraction, sizeof fraction, "%03d000000", ms);
        buf_append(out, fraction, n < 9 ? n : 9);
        break;
    default: /* of a pattern that is not valid: a damaged file can hold one */
        break;
    }
}

static void put_time(buf *out, weir_str pattern, int64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    if (!gmtime_r(&seconds, &t)) return;
    for (size_t i = 0; i < pattern.len;) {
        char c = pattern.ptr[i];
        if (c == '\'') {
            i = quoted(pattern, i, out);
            if (!i) return;
        } else if (is_letter(c)) {
            size_t n = run_of(pattern, i);
            put_field(out, c, n, &t, (int)(ms % 1000));
            i += n;
        } else {
            buf_append_char(out, c);
            i++;
        }
    }
}

/* ---- whole prefixes ---- */

bool prefix_is_valid(weir_str prefix, bool error, char *why, size_t why_size) {
    for (size_t i = 0; i < prefix.len; i++) {
        expression e;
        if (!begins(prefix, i)) continue;
        if (!read_expression(prefix, i, &e)) {
            snprintf(why, why_size, "expected !{namespace:value}");
            return false;
        }
        i = e.end - 1;
        bool random = str_eq_z(e.value, "random-string"),
             type = str_eq_z(e.value, "error-output-type");
        if (str_eq_z(e.space, "timestamp")) {
            snprintf(why, why_size, "expected a pattern behind timestamp:");
            if (!pattern_is_valid(e.value, why, why_size)) return false;
        } else if (!str_eq_z(e.space, "firehose") || !(random || type)) {
            snprintf(why, why_size, "'%.*s:%.*s' is not known to this endpoint", STR_FMT(e.space),
                     STR_FMT(e.value));
            return false;
        } else if (type && !error) {
            snprintf(why, why_size, "error-output-type belongs into ErrorOutputPrefix");
            return false;
        }
    }
    return true;
}

/* Letters from a sequence that *random goes on with: Knuth's linear congruences, whose upper bits
 * are the good ones. */
static void put_random(uint64_t *random, buf *out) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < RANDOM_LETTERS; i++) {
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        buf_append_char(out, letters[(*random >> 33) % (sizeof letters - 1)]);
    }
}

void prefix_evaluate(weir_str prefix, int64_t ms, uint64_t random, buf *out) {
    for (size_t i = 0; i < prefix.len;) {
        expression e;
        if (!begins(prefix, i) || !read_expression(prefix, i, &e)) {
            buf_append_char(out, prefix.ptr[i++]);
            continue;
        }
        if (str_eq_z(e.space, "timestamp"))
            put_time(out, e.value, ms);
        else if (str_eq_z(e.value, "random-string"))
            put_random(&random, out);
        i = e.end;
    }
    if (!prefix_has(prefix, "!{timestamp:")) put_time(out, STR("yyyy/MM/dd/HH/"), ms);
}
