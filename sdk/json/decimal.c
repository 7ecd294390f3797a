/*
 * Number text to value. Exactness is decided on decimal digits: a double is taken only if its
 * shortest text has the literal's digits.
 *
 * Correct rounding: products and quotients of exact doubles where both fit (Clinger, "How to read
 * floating point numbers accurately", 1990), else one 64 x 128 bit product (Lemire, "Number parsing
 * at a gigabyte per second", 2021), else the C library in the C locale.
 */
#define _GNU_SOURCE /* strtod_l */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_private.h"
#include "pow10_table.h"

/* Exponents beyond this are all the same: zero or infinity. Leading or trailing zeros of a 2-GiB
 * text cannot bring them back. */
#define EXPONENT_CLAMP INT64_C(100000000000)
/* Digits that can decide how a double is rounded: 767, then one that says "and more follow". */
#define SLOW_DIGITS 780u

static const double exact_pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A literal taken apart: 0.digits * 10^point, without leading and trailing zeros. */
typedef struct literal {
    const uint8_t *first; /* first and last digit that is not zero; NULL: the value is zero */
    const uint8_t *last;
    int64_t exponent; /* of the last digit */
    uint64_t count;   /* digits from first to last, a '.' between them not counted */
    uint64_t integer_digits;
    int negative;
    int integer; /* neither fraction nor exponent */
} literal;

static const uint8_t *read_literal(const uint8_t *at, literal *l, const uint8_t **fault_at,
                                   const char **fault_text);
static void set_text(weir_value *node, const uint8_t *at, const uint8_t *end);
static uint64_t gather(const literal *l);
static int integer_value(const literal *l, weir_value *node);
static double slow_double(const literal *l);

/* strtod whatever LC_NUMERIC the process has. glibc answers "C" with a static object: no
 * allocation. */
static double c_strtod(const char *text) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return strtod(text, NULL);
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    return v;
}

static inline int is_digit(uint8_t c) {
    return (uint8_t)(c - '0') <= 9;
}

const uint8_t *json_number(const uint8_t *at, uint32_t flags, weir_value *node,
                           const uint8_t **fault_at, const char **fault_text) {
    literal l;
    const uint8_t *end = read_literal(at, &l, fault_at, fault_text);
    if (!end) return NULL;
    if (l.integer && integer_value(&l, node)) return end;

    double v = 0;
    if (l.first) {
        int exact = l.count <= 17;
        if (exact) {
            uint64_t w = gather(&l);
            v = json_decimal_to_double(w, l.exponent);
            /* Two decimals of up to 15 digits never share a double in the normal range, so the
             * shortest text of the nearest double is the literal itself. */
            if (l.count > 15 || l.exponent < -290 || l.exponent > 290) {
                exact = v > 0 && isfinite(v);
                if (exact) {
                    json_shortest s = json_double_shortest(v);
                    exact = s.digits == w && s.exponent == l.exponent;
                }
            }
        }
        if (!exact) {
            if (!(flags & WEIR_JSON_NUMBERS_DOUBLE)) {
                set_text(node, at, end);
                return end;
            }
            v = slow_double(&l);
            if (!isfinite(v)) {
                set_text(node, at, end);
                return end;
            }
        }
    }
    node->type = WEIR_V_F64;
    node->logical = WEIR_L_NONE;
    node->flags = 0;
    node->size = 0;
    node->as.f64 = l.negative ? -v : v;
    return end;
}

int json_fraction(uint64_t w, uint32_t count, int negative, weir_value *node) {
    double v;
    if (JSON_LIKELY(w < UINT64_C(1000000000000000))) {
        v = (double)w / exact_pow10[count]; /* both exact, 19 digits at most: rounded once */
    } else {
        int64_t q = -(int64_t)count;
        for (; w % 10 == 0; q++) w /= 10;
        if (w >= UINT64_C(100000000000000000)) return 0;
        v = json_decimal_to_double(w, q);
        if (w >= UINT64_C(1000000000000000)) {
            json_shortest s = json_double_shortest(v);
            if (s.digits != w || s.exponent != q) return 0;
        }
    }
    node->type = WEIR_V_F64;
    node->logical = WEIR_L_NONE;
    node->flags = 0;
    node->size = 0;
    node->as.f64 = negative ? -v : v;
    return 1;
}

double json_decimal_to_double(uint64_t w, int64_t q) {
    if (w == 0 || q < -343) return 0;
    if (q > 308) return HUGE_VAL;
    if (w <= UINT64_C(1) << 53 && q >= -22 && q <= 22)
        return q < 0 ? (double)w / exact_pow10[-q] : (double)w * exact_pow10[q];

    int zeros = __builtin_clzll(w);
    uint64_t m = w << zeros;
    uint64_t high, low;
    json_pow10((int32_t)q, &high, &low);
    /* The reciprocals from 10^-1 to 10^-27 must not lie below the true value, or exact halves would
     * look like less than a half. */
    if (q < 0 && q >= -27 && ++low == 0) high++;
    unsigned __int128 product = (unsigned __int128)m * high;
    uint64_t top = (uint64_t)(product >> 64);
    uint64_t rest = (uint64_t)product;
    if ((top & 0x1ff) == 0x1ff) {
        uint64_t more = (uint64_t)(((unsigned __int128)m * low) >> 64);
        rest += more;
        top += rest < more;
    }
    int upper = (int)(top >> 63);
    /* floor(q * log2(10)) + 63, as a binary exponent of the product. */
    int64_t power = ((217706 * q) >> 16) + 63 + upper - zeros + 1023;
    int undecided = rest == UINT64_MAX && (q < -27 || q > 55);
    if (undecided || power <= 0) {
        /* Subnormal or too close to call. */
        char text[48];
        snprintf(text, sizeof text, "%llue%lld", (unsigned long long)w, (long long)q);
        return c_strtod(text);
    }
    uint64_t bits = top >> (upper + 9);
    /* Exactly between two doubles, which only small powers allow: to the even one. */
    if (rest <= 1 && q >= -4 && q <= 23 && (bits & 3) == 1 && bits << (upper + 9) == top)
        bits &= ~UINT64_C(1);
    bits += bits & 1;
    bits >>= 1;
    if (bits >> 53) {
        bits >>= 1;
        power++;
    }
    if (power >= 0x7ff) return HUGE_VAL;
    bits = (bits & ~(UINT64_C(1) << 52)) | (uint64_t)power << 52;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void json_pow10(int32_t e, uint64_t *high, uint64_t *low) {
    *high = pow10_bits[e - POW10_FIRST][0];
    *low = pow10_bits[e - POW10_FIRST][1];
}

static const uint8_t *read_literal(const uint8_t *at, literal *l, const uint8_t **fault_at,
                                   const char **fault_text) {
    *l = (literal){.integer = 1};
    if (*at == '-') {
        l->negative = 1;
        at++;
    }
    const uint8_t *digits = at;
    if (!is_digit(*at)) {
        *fault_at = at;
        *fault_text = "expected a digit";
        return NULL;
    }
    if (*at == '0' && is_digit(at[1])) {
        *fault_at = at + 1;
        *fault_text = "number with a leading zero";
        return NULL;
    }
    const uint8_t *last = NULL;
    for (; is_digit(*at); at++)
        if (*at != '0') {
            if (!l->first) l->first = at;
            last = at;
        }
    const uint8_t *point = at; /* where the '.' is or would be */
    l->integer_digits = (uint64_t)(at - digits);
    if (*at == '.') {
        l->integer = 0;
        at++;
        if (!is_digit(*at)) {
            *fault_at = at;
            *fault_text = "expected a digit after '.'";
            return NULL;
        }
        for (; is_digit(*at); at++)
            if (*at != '0') {
                if (!l->first) l->first = at;
                last = at;
            }
    }
    int64_t exponent = 0;
    if ((*at | 0x20) == 'e') {
        l->integer = 0;
        at++;
        int down = *at == '-';
        if (*at == '-' || *at == '+') at++;
        if (!is_digit(*at)) {
            *fault_at = at;
            *fault_text = "expected a digit in the exponent";
            return NULL;
        }
        for (; is_digit(*at); at++)
            if (exponent < EXPONENT_CLAMP) exponent = exponent * 10 + (*at - '0');
        if (down) exponent = -exponent;
    }
    if (l->first) {
        l->last = last;
        l->count = (uint64_t)(last - l->first) + 1 - (l->first < point && last > point);
        l->exponent = exponent + (last < point ? point - last - 1 : point - last);
    }
    return at;
}

static void set_text(weir_value *node, const uint8_t *at, const uint8_t *end) {
    node->type = WEIR_V_STRING;
    node->logical = WEIR_L_DECIMAL;
    node->flags = WEIR_VF_PLAIN;
    node->size = (uint32_t)(end - at);
    node->as.ptr = (const char *)at;
}

/* The digits as an integer; at most 19 of them. */
static uint64_t gather(const literal *l) {
    uint64_t w = 0;
    for (const uint8_t *c = l->first; c <= l->last; c++)
        if (*c != '.') w = w * 10 + (uint64_t)(*c - '0');
    return w;
}

/* I64 or U64 if it fits. Minus zero is the integer 0. */
static int integer_value(const literal *l, weir_value *node) {
    uint64_t w = 0;
    if (l->first) {
        if (l->count + (uint64_t)l->exponent > 20) return 0;
        unsigned __int128 wide = 0;
        for (const uint8_t *c = l->first; c <= l->last; c++) wide = wide * 10 + (uint8_t)(*c - '0');
        for (int64_t i = 0; i < l->exponent; i++) wide *= 10;
        if (wide >> 64) return 0;
        w = (uint64_t)wide;
    }
    if (l->negative ? w > UINT64_C(1) << 63 : 0) return 0;
    node->logical = WEIR_L_NONE;
    node->flags = 0;
    node->size = 0;
    if (w > INT64_MAX && !l->negative) {
        node->type = WEIR_V_U64;
        node->as.u64 = w;
    } else {
        node->type = WEIR_V_I64;
        node->as.i64 = (int64_t)(l->negative ? 0 - w : w);
    }
    return 1;
}

/* The nearest double of any literal. Digits behind the 780th only matter as "not zero". */
static double slow_double(const literal *l) {
    if (l->count <= 19) return json_decimal_to_double(gather(l), l->exponent);
    char text[SLOW_DIGITS + 40];
    uint32_t n = 0;
    int64_t exponent = l->exponent + (int64_t)l->count;
    for (const uint8_t *c = l->first; c <= l->last && n < SLOW_DIGITS; c++)
        if (*c != '.') text[n++] = (char)*c;
    exponent -= n;
    if (n < l->count) {
        text[n++] = '1'; /* the last digit is not zero, so something follows */
        exponent--;
    }
    if (exponent > 10000) exponent = 10000;
    if (exponent < -10000) exponent = -10000;
    snprintf(text + n, sizeof text - n, "e%lld", (long long)exponent);
    return c_strtod(text);
}
