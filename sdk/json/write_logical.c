/* Dates, times, decimals and UUIDs as JSON text. */
#include "json_private.h"

#define DAY_US INT64_C(86400000000)
/* Larger unscaled values are written as base64: the conversion is quadratic. */
#define DECIMAL_BYTES_MAX 1024u
/* Years beyond what ISO 8601's expanded form with six digits holds are written as the bare number.
 */
#define DAYS_MAX INT64_C(365000000)

static char *put_plain(char *out, const weir_value *v);
static char *put_date(char *out, int64_t days);
static char *put_clock(char *out, int64_t us);
static char *put_epoch(char *out, int64_t us, uint32_t unit);
static char *put_decimal_bytes(char *out, const weir_value *v);
static char *put_uuid(char *out, const uint8_t *bytes);
static int is_number(const uint8_t *at, uint32_t len);

uint64_t json_bound_logical(const weir_value *v) {
    switch (v->type) {
    case WEIR_V_STRING: {
        const uint8_t *s = (const uint8_t *)v->as.ptr;
        return (uint64_t)v->size + 2 + (v->size ? 5 * json_count_escapes(s, s + v->size) : 0);
    }
    case WEIR_V_BYTES:
        /* A decimal: 2.41 digits a byte, a sign, a point and up to 255 zeros; a UUID; base64. */
        return 5 * (uint64_t)v->size / 2 + 264;
    default:
        return 40;
    }
}

char *json_put_logical(char *out, const weir_value *v, const weir_json_style *style) {
    if (v->type == WEIR_V_I64) {
        int64_t n = v->as.i64;
        if (v->logical == WEIR_L_TIMESTAMP_US) {
            if (style->timestamps != WEIR_JSON_TIME_ISO8601)
                return put_epoch(out, n, style->timestamps);
            int64_t days = n / DAY_US - (n % DAY_US < 0);
            *out++ = '"';
            out = put_date(out, days);
            *out++ = 'T';
            out = put_clock(out, n % DAY_US + (n % DAY_US < 0 ? DAY_US : 0));
            *out++ = 'Z';
            *out++ = '"';
            return out;
        }
        if (v->logical == WEIR_L_DATE && n >= -DAYS_MAX && n <= DAYS_MAX) {
            *out++ = '"';
            out = put_date(out, n);
            *out++ = '"';
            return out;
        }
        if (v->logical == WEIR_L_TIME_US && n >= 0 && n < DAY_US) {
            *out++ = '"';
            out = put_clock(out, n);
            *out++ = '"';
            return out;
        }
    } else if (v->logical == WEIR_L_DECIMAL) {
        if (v->type == WEIR_V_BYTES && v->size > 0 && v->size <= DECIMAL_BYTES_MAX)
            return put_decimal_bytes(out, v);
        /* Whoever made the tape may have put anything here; only a number may stand bare. */
        if (v->type == WEIR_V_STRING && is_number((const uint8_t *)v->as.ptr, v->size)) {
            memcpy(out, v->as.ptr, v->size);
            return out + v->size;
        }
    } else if (v->logical == WEIR_L_UUID && v->type == WEIR_V_BYTES && v->size == 16) {
        return put_uuid(out, (const uint8_t *)v->as.ptr);
    }
    return put_plain(out, v);
}

/* As if there were no logical type. */
static char *put_plain(char *out, const weir_value *v) {
    weir_value bare = *v;
    bare.logical = WEIR_L_NONE;
    return out + weir_json_write(&bare, out);
}

static char *put_two(char *out, uint32_t v) {
    memcpy(out, json_digit_pairs + (size_t)2 * v, 2);
    return out + 2;
}

/* Days since 1970-01-01 as a date of the proleptic Gregorian calendar. Years are counted from March
 * of year 0, so that the leap day is the last of a year; 400 years have 146,097 days. */
static char *put_date(char *out, int64_t days) {
    int64_t shifted = days + 719468;
    int64_t era = shifted / 146097 - (shifted % 146097 < 0);
    uint32_t day_of_era = (uint32_t)(shifted - era * 146097);
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month_from_march = (5 * day_of_year + 2) / 153;
    uint32_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    uint32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    int64_t year = (int64_t)year_of_era + era * 400 + (month <= 2);

    if (year >= 0 && year <= 9999) {
        out = put_two(out, (uint32_t)year / 100);
    } else {
        /* ISO 8601's expanded form, as JavaScript writes and reads it: a sign and six digits. */
        *out++ = year < 0 ? '-' : '+';
        if (year < 0) year = -year;
        out = put_two(out, (uint32_t)(year / 10000));
        out = put_two(out, (uint32_t)(year / 100 % 100));
    }
    out = put_two(out, (uint32_t)(year % 100));
    *out++ = '-';
    out = put_two(out, month);
    *out++ = '-';
    return put_two(out, day);
}

/* Digits behind a point, as many as `width` says, without trailing zeros; nothing if it is zero. */
static char *put_fraction(char *out, uint32_t fraction, uint32_t width) {
    if (fraction == 0) return out;
    *out = '.';
    for (uint32_t i = width; i > 0; i--) {
        out[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    out += width;
    while (*out == '0') out--;
    return out + 1;
}

/* Microseconds of a day; a fraction of three or six digits where there is one. */
static char *put_clock(char *out, int64_t us) {
    uint32_t seconds = (uint32_t)(us / 1000000);
    uint32_t fraction = (uint32_t)(us % 1000000);
    out = put_two(out, seconds / 3600);
    *out++ = ':';
    out = put_two(out, seconds / 60 % 60);
    *out++ = ':';
    out = put_two(out, seconds % 60);
    if (fraction == 0) return out;
    *out++ = '.';
    if (fraction % 1000 == 0) {
        *out++ = (char)('0' + fraction / 100000);
        return put_two(out, fraction / 1000 % 100);
    }
    out = put_two(out, fraction / 10000);
    out = put_two(out, fraction / 100 % 100);
    return put_two(out, fraction % 100);
}

static char *put_epoch(char *out, int64_t us, uint32_t unit) {
    uint64_t divisor = unit == WEIR_JSON_TIME_EPOCH_S    ? 1000000
                       : unit == WEIR_JSON_TIME_EPOCH_MS ? 1000
                                                         : 1;
    uint64_t magnitude = (uint64_t)us;
    if (us < 0) {
        *out++ = '-';
        magnitude = 0 - magnitude;
    }
    out = json_put_u64(out, magnitude / divisor);
    return put_fraction(out, (uint32_t)(magnitude % divisor), divisor == 1000 ? 3 : 6);
}

/*
 * A two's complement big-endian integer times 10^-scale. The digits are kept one a byte, lowest
 * first, and are multiplied by 256 and added to, byte after byte; the room for them is the output
 * itself.
 */
static char *put_decimal_bytes(char *out, const weir_value *v) {
    const uint8_t *bytes = (const uint8_t *)v->as.ptr;
    uint32_t scale = v->flags >> WEIR_VF_SCALE_SHIFT;
    int negative = bytes[0] >> 7;
    if (negative) *out++ = '-';
    char *digits = out;
    uint32_t count = 0;
    /* The magnitude of a negative number is the complement plus one, added at the end. */
    for (uint32_t i = 0; i < v->size; i++) {
        uint32_t carry = negative ? (uint8_t)~bytes[i] : bytes[i];
        if (negative && i + 1 == v->size) carry++;
        for (uint32_t d = 0; d < count; d++) {
            carry += (uint32_t)(uint8_t)digits[d] << 8;
            digits[d] = (char)(carry % 10);
            carry /= 10;
        }
        for (; carry; carry /= 10) digits[count++] = (char)(carry % 10);
    }
    while (count <= scale) digits[count++] = 0; /* "0.05" */
    for (uint32_t low = 0, high = count - 1; low < high; low++, high--) {
        char swap = digits[low];
        digits[low] = digits[high];
        digits[high] = swap;
    }
    for (uint32_t d = 0; d < count; d++) digits[d] = (char)(digits[d] + '0');
    if (scale == 0) return digits + count;
    memmove(digits + count - scale + 1, digits + count - scale, scale);
    digits[count - scale] = '.';
    return digits + count + 1;
}

static char *put_uuid(char *out, const uint8_t *bytes) {
    static const char hex[16] = "0123456789abcdef";
    *out++ = '"';
    for (uint32_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    *out++ = '"';
    return out;
}

/* Whether the bytes are a number as JSON spells it. */
static int is_number(const uint8_t *at, uint32_t len) {
    const uint8_t *end = at + len;
#define DIGITS()                                                                                   \
    do {                                                                                           \
        if (at == end || (uint8_t)(*at - '0') > 9) return 0;                                       \
        while (at < end && (uint8_t)(*at - '0') <= 9) at++;                                        \
    } while (0)
    if (at < end && *at == '-') at++;
    if (end - at >= 2 && *at == '0' && (uint8_t)(at[1] - '0') <= 9) return 0;
    DIGITS();
    if (at < end && *at == '.') {
        at++;
        DIGITS();
    }
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '-' || *at == '+')) at++;
        DIGITS();
    }
#undef DIGITS
    return at == end;
}
