#define _GNU_SOURCE /* strptime, timegm, tm_gmtoff */
#include "moment.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000LL
#define TEXT_BYTES_MAX 128u

static bool by_format(const char *text, const char *format, int64_t *us);
static bool rfc3339(const char *p, int64_t *us);
static bool epoch_seconds(const char *p, int64_t *us);
static const char *fraction(const char *p, int64_t *us);
static const char *digits(const char *p, int count, int *out);

int moment_parse(weir_str text, weir_str format, int64_t *us) {
    char z[TEXT_BYTES_MAX], f[TEXT_BYTES_MAX];
    if (text.len == 0 || text.len >= sizeof z || format.len >= sizeof f) return 0;
    memcpy(z, text.ptr, (size_t)text.len);
    z[text.len] = '\0';
    if (format.len > 0) memcpy(f, format.ptr, (size_t)format.len);
    f[format.len] = '\0';
    if (format.len > 0 && by_format(z, f, us)) return 1;
    return rfc3339(z, us) || epoch_seconds(z, us);
}

static bool by_format(const char *text, const char *format, int64_t *us) {
    struct tm tm = {.tm_mday = 1};
    const char *end = strptime(text, format, &tm);
    if (!end || *end) return false;
    long offset = tm.tm_gmtoff; /* timegm resets it */
    *us = ((int64_t)timegm(&tm) - offset) * SECOND;
    return true;
}

static bool rfc3339(const char *p, int64_t *us) {
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm = {0};
    int64_t micros = 0;
    long offset = 0;
    if (!(p = digits(p, 4, &tm.tm_year)) || *p++ != '-' || !(p = digits(p, 2, &tm.tm_mon)) ||
        *p++ != '-' || !(p = digits(p, 2, &tm.tm_mday)))
        return false;
    if (*p == 'T' || *p == 't' || *p == ' ') {
        p++;
        if (!(p = digits(p, 2, &tm.tm_hour)) || *p++ != ':' || !(p = digits(p, 2, &tm.tm_min)) ||
            *p++ != ':' || !(p = digits(p, 2, &tm.tm_sec)))
            return false;
        if (*p == '.' && !(p = fraction(p + 1, &micros))) return false;
        if (*p == 'Z' || *p == 'z') {
            p++;
        } else if (*p == '+' || *p == '-') {
            int sign = *p++ == '-' ? -1 : 1, hours, minutes;
            if (!(p = digits(p, 2, &hours))) return false;
            if (*p == ':') p++;
            if (!(p = digits(p, 2, &minutes)) || hours > 23 || minutes > 59) return false;
            offset = sign * (hours * 3600L + minutes * 60L);
        } else {
            return false; /* without a zone it could mean anything */
        }
    }
    if (*p || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > month_days[tm.tm_mon - 1] || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *us = ((int64_t)timegm(&tm) - offset) * SECOND + micros;
    return true;
}

static bool epoch_seconds(const char *p, int64_t *us) {
    int64_t seconds = 0, micros = 0;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (seconds > 99999999999LL) return false; /* milliseconds by mistake, or nonsense */
        seconds = seconds * 10 + (*p - '0');
    }
    if (*p == '.' && !(p = fraction(p + 1, &micros))) return false;
    if (*p || seconds > 99999999999LL) return false;
    *us = seconds * SECOND + micros;
    return true;
}

/* Digits beyond the sixth are dropped. */
static const char *fraction(const char *p, int64_t *us) {
    int64_t unit = SECOND / 10;
    const char *start = p;
    *us = 0;
    for (; *p >= '0' && *p <= '9'; p++, unit /= 10) *us += unit * (*p - '0');
    return p > start ? p : NULL;
}

static const char *digits(const char *p, int count, int *out) {
    *out = 0;
    for (; count > 0; count--, p++) {
        if (*p < '0' || *p > '9') return NULL;
        *out = *out * 10 + (*p - '0');
    }
    return p;
}
