#include "number.h"

#include <math.h>
#include <string.h>

#include "weir/json.h"

/* Doubles hold every integer up to here. */
#define EXACT_MAX (INT64_C(1) << 53)
#define EXPONENT_MAX INT64_C(1000000000000000)
/* Unscaled bytes of a decimal that are converted; Avro's largest common precision needs 32. */
#define UNSCALED_MAX 64u
/* Digits of 64 bytes (155), or of any text that is made here. */
#define DIGITS_MAX 160u

/* +-0.d1 d2 d3 ... * 10^exponent, d1 != 0. The digits may have one '.' among them. */
typedef struct decimal {
    bool negative;
    const char *digits;
    const char *end;
    int64_t exponent;
    char *own; /* DIGITS_MAX bytes for numbers that do not stand anywhere as text */
} decimal;

static bool to_decimal(const weir_value *v, decimal *out);
static bool parse(const char *at, const char *end, decimal *out);
static bool from_bytes(const weir_value *v, decimal *out);

bool number_is(const weir_value *v) {
    switch (v->type) {
    case WEIR_V_I64:
    case WEIR_V_U64:
    case WEIR_V_F64:
        return true;
    case WEIR_V_STRING:
    case WEIR_V_BYTES:
        return v->logical == WEIR_L_DECIMAL;
    default:
        return false;
    }
}

static int order_i64(int64_t a, int64_t b) {
    return a < b ? -1 : a > b;
}

static int order_f64(double a, double b) {
    return a < b ? -1 : a > b ? 1 : a == b ? 0 : NUMBER_UNORDERED;
}

static int order_decimal(const decimal *a, const decimal *b) {
    const char *p = a->digits;
    const char *q = b->digits;
    int sign = a->negative ? -1 : 1;
    bool a_zero = p == a->end;
    bool b_zero = q == b->end;
    if (a_zero || b_zero) {
        if (a_zero && b_zero) return 0;
        if (a_zero) return b->negative ? 1 : -1;
        return sign;
    }
    if (a->negative != b->negative) return sign;
    if (a->exponent != b->exponent) return a->exponent < b->exponent ? -sign : sign;
    for (;; p++, q++) {
        char c;
        char d;
        if (p < a->end && *p == '.') p++;
        if (q < b->end && *q == '.') q++;
        if (p >= a->end && q >= b->end) return 0;
        c = p < a->end ? *p : '0'; /* the shorter one goes on with zeros */
        d = q < b->end ? *q : '0';
        if (c != d) return c < d ? -sign : sign;
    }
}

int number_compare(const weir_value *a, const weir_value *b) {
    char x_own[DIGITS_MAX];
    char y_own[DIGITS_MAX];
    decimal x = {.own = x_own};
    decimal y = {.own = y_own};
    if (a->type == WEIR_V_I64 && b->type == WEIR_V_I64) return order_i64(a->as.i64, b->as.i64);
    if (a->type == WEIR_V_F64 && b->type == WEIR_V_F64) return order_f64(a->as.f64, b->as.f64);
    if (a->type == WEIR_V_U64 && b->type == WEIR_V_U64) {
        return a->as.u64 < b->as.u64 ? -1 : a->as.u64 > b->as.u64;
    }
    if (a->type == WEIR_V_I64 && b->type == WEIR_V_F64 && a->as.i64 >= -EXACT_MAX &&
        a->as.i64 <= EXACT_MAX) {
        return order_f64((double)a->as.i64, b->as.f64);
    }
    if (a->type == WEIR_V_F64 && b->type == WEIR_V_I64 && b->as.i64 >= -EXACT_MAX &&
        b->as.i64 <= EXACT_MAX) {
        return order_f64(a->as.f64, (double)b->as.i64);
    }
    if (a->type == WEIR_V_F64 && !isfinite(a->as.f64)) {
        return isnan(a->as.f64) ? NUMBER_UNORDERED : a->as.f64 > 0 ? 1 : -1;
    }
    if (b->type == WEIR_V_F64 && !isfinite(b->as.f64)) {
        return isnan(b->as.f64) ? NUMBER_UNORDERED : b->as.f64 > 0 ? -1 : 1;
    }
    if (!to_decimal(a, &x) || !to_decimal(b, &y)) return NUMBER_UNORDERED;
    return order_decimal(&x, &y);
}

static bool to_decimal(const weir_value *v, decimal *out) {
    uint32_t len = 0;
    switch (v->type) {
    case WEIR_V_I64:
        len = weir_json_write_i64(v->as.i64, out->own);
        break;
    case WEIR_V_U64:
        len = weir_json_write_u64(v->as.u64, out->own);
        break;
    case WEIR_V_F64:
        len = weir_json_write_f64(v->as.f64, out->own);
        break;
    case WEIR_V_BYTES:
        return from_bytes(v, out);
    default:
        return parse(v->as.ptr, v->as.ptr + v->size, out);
    }
    return parse(out->own, out->own + len, out);
}

static bool decimal_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool parse(const char *at, const char *end, decimal *out) {
    int64_t before = 0; /* digits in front of the point, from the first that counts */
    int64_t exponent = 0;
    bool started = false;
    bool point = false;
    bool any = false;
    out->negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    out->digits = out->end = at;
    for (; at < end && (decimal_digit(*at) || (*at == '.' && !point)); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        if (!started && *at != '0') {
            started = true;
            out->digits = at;
        }
        if (started) {
            if (!point) before++;
            out->end = at + 1;
        } else if (point) {
            before--; /* 0.00d: the point moves to the right */
        }
    }
    if (!any) return false;
    if (!started) out->digits = out->end;
    if (at < end && (*at == 'e' || *at == 'E')) {
        bool negative;
        at++;
        negative = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+')) at++;
        if (at == end) return false;
        for (; at < end && decimal_digit(*at); at++) {
            if (exponent < EXPONENT_MAX) exponent = exponent * 10 + (*at - '0');
        }
        if (exponent > EXPONENT_MAX) exponent = EXPONENT_MAX;
        if (negative) exponent = -exponent;
    }
    out->exponent = before + exponent;
    return at == end;
}

/* Two's complement, big-endian, divided by 10 until nothing is left. */
static bool from_bytes(const weir_value *v, decimal *out) {
    unsigned char bytes[UNSCALED_MAX];
    uint32_t len = v->size;
    uint32_t at = DIGITS_MAX;
    uint32_t first = 0;
    bool negative;
    if (len == 0 || len > UNSCALED_MAX) return false;
    memcpy(bytes, v->as.ptr, len);
    negative = (bytes[0] & 0x80) != 0;
    if (negative) {
        unsigned carry = 1;
        for (uint32_t i = len; i-- > 0;) {
            unsigned sum = (unsigned)(unsigned char)~bytes[i] + carry;
            bytes[i] = (unsigned char)sum;
            carry = sum >> 8;
        }
    }
    while (first < len) {
        unsigned rest = 0;
        for (uint32_t i = first; i < len; i++) {
            unsigned sum = rest << 8 | bytes[i];
            bytes[i] = (unsigned char)(sum / 10);
            rest = sum % 10;
        }
        out->own[--at] = (char)('0' + rest);
        while (first < len && bytes[first] == 0) first++;
    }
    if (!parse(out->own + at, out->own + DIGITS_MAX, out)) return false;
    out->negative = negative;
    out->exponent -= v->flags >> WEIR_VF_SCALE_SHIFT;
    return true;
}
