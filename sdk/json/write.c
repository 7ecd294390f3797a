/* Value tape to JSON text. */
#include <math.h>

#include "json_private.h"

/* Open containers that one frame of write_value remembers; deeper tapes take another frame. */
#define FRAME_LEVELS 64u

const char json_digit_pairs[200] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "4950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495969798"
    "99";

static const char *const literals[] = {"null", "false", "true"};
static char *write_value(const weir_value *v, const weir_json_style *style, char *out);
static char *put_scalar(char *out, const weir_value *v, const weir_json_style *style);

/* memcpy without the call for the lengths names and short values have. Stays inside of both. */
JSON_INLINE char *put_bytes(char *out, const char *s, uint32_t len) {
    if (len >= 8) {
        if (len > 32) {
            memcpy(out, s, len);
            return out + len;
        }
        if (len > 16) {
            memcpy(out, s, 16);
            memcpy(out + len - 16, s + len - 16, 16);
        } else {
            memcpy(out, s, 8);
            memcpy(out + len - 8, s + len - 8, 8);
        }
    } else if (len >= 4) {
        memcpy(out, s, 4);
        memcpy(out + len - 4, s + len - 4, 4);
    } else if (len > 0) {
        out[0] = s[0];
        out[len / 2] = s[len / 2];
        out[len - 1] = s[len - 1];
    }
    return out + len;
}

uint64_t weir_json_bound(const weir_value *v) {
    /* Brackets belong to the container, a comma or colon to each node. */
    const weir_value *end = weir_value_next(v);
    uint64_t bound = 0;
    for (; v < end; v++) {
        if (v->logical != WEIR_L_NONE) {
            bound += json_bound_logical(v) + 1;
            continue;
        }
        switch (v->type) {
        case WEIR_V_STRING:
            bound += (uint64_t)v->size + 3;
            if (!(v->flags & WEIR_VF_PLAIN)) {
                const uint8_t *s = (const uint8_t *)v->as.ptr;
                bound += 5 * (v->size <= 16 ? v->size : json_count_escapes(s, s + v->size));
            }
            break;
        case WEIR_V_BYTES:
            bound += 4 * (((uint64_t)v->size + 2) / 3) + 3;
            break;
        default:
            bound += 26;
            break;
        }
    }
    return bound;
}

uint64_t weir_json_write(const weir_value *v, char *out) {
    static const weir_json_style plain = {WEIR_JSON_TIME_ISO8601, 0};
    return (uint64_t)(write_value(v, &plain, out) - out);
}

uint64_t weir_json_write_styled(const weir_value *v, const weir_json_style *style, char *out) {
    return (uint64_t)(write_value(v, style, out) - out);
}

uint64_t weir_json_write_str(weir_str s, char *out) {
    return (uint64_t)(json_put_str(out, (const uint8_t *)s.ptr, s.len) - out);
}

uint32_t weir_json_write_i64(int64_t v, char *out) {
    char *begin = out;
    uint64_t u = (uint64_t)v;
    if (v < 0) {
        *out++ = '-';
        u = 0 - u;
    }
    return (uint32_t)(json_put_u64(out, u) - begin);
}

uint32_t weir_json_write_u64(uint64_t v, char *out) {
    return (uint32_t)(json_put_u64(out, v) - out);
}

uint32_t weir_json_write_f64(double v, char *out) {
    char *begin = out;
    if (!isfinite(v)) {
        memcpy(out, "null", 4);
        return 4;
    }
    if (signbit(v)) {
        *out++ = '-';
        v = -v;
    }
    if (v == 0) {
        memcpy(out, "0.0", 3);
        return (uint32_t)(out + 3 - begin);
    }
    /* Put together in a buffer with room to spare, so that copies have fixed sizes. */
    json_shortest s = json_double_shortest(v);
    char digits[48], text[72];
    char *t = text;
    int32_t count = (int32_t)(json_put_u64(digits, s.digits) - digits);
    int32_t point = count + s.exponent; /* v = 0.digits * 10^point */
    if (point > 0 && point <= 21) {
        memcpy(t, digits, 24);
        if (point >= count) {
            /* A fraction even if it is zero: what was a double comes back as one. */
            memset(t + count, '0', 24);
            t[point] = '.';
            t[point + 1] = '0';
            t += point + 2;
        } else {
            t[point] = '.';
            memcpy(t + point + 1, digits + point, 24);
            t += count + 1;
        }
    } else if (point > -6 && point <= 0) {
        memcpy(t, "0.000000", 8);
        memcpy(t + 2 - point, digits, 24);
        t += 2 - point + count;
    } else {
        t[0] = digits[0];
        t[1] = '.';
        memcpy(t + 2, digits + 1, 24);
        t += count > 1 ? count + 1 : 1;
        *t++ = 'e';
        t += weir_json_write_i64(point - 1, t);
    }
    return (uint32_t)(put_bytes(out, text, (uint32_t)(t - text)) - begin);
}

/* How many decimal digits `v`, below 10^8, has. */
static uint32_t digits_of(uint32_t v) {
    static const uint32_t pow10[9] = {0,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    uint32_t guess = (uint32_t)((32 - __builtin_clz(v | 1)) * 1233) >> 12; /* log10(2) * 4096 */
    return guess + (v >= pow10[guess]);
}

/* Exactly eight digits: four pairs that do not wait for each other. */
static void put_eight(char *out, uint32_t v) {
    uint32_t high = v / 10000, low = v % 10000;
    memcpy(out, json_digit_pairs + (size_t)2 * (high / 100), 2);
    memcpy(out + 2, json_digit_pairs + (size_t)2 * (high % 100), 2);
    memcpy(out + 4, json_digit_pairs + (size_t)2 * (low / 100), 2);
    memcpy(out + 6, json_digit_pairs + (size_t)2 * (low % 100), 2);
}

/* Below 10^8. */
JSON_INLINE char *put_small(char *out, uint32_t v) {
    uint32_t count = v ? digits_of(v) : 1;
    char *at = out + count;
    while (v >= 100) {
        at -= 2;
        memcpy(at, json_digit_pairs + (size_t)2 * (v % 100), 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(out, json_digit_pairs + (size_t)2 * v, 2);
    else
        *out = (char)('0' + v);
    return out + count;
}

char *json_put_u64(char *out, uint64_t v) {
    const uint64_t eight = 100000000;
    if (v < eight) return put_small(out, (uint32_t)v);
    uint64_t high = v / eight;
    if (high < eight) {
        out = put_small(out, (uint32_t)high);
    } else {
        out = put_small(out, (uint32_t)(high / eight));
        put_eight(out, (uint32_t)(high % eight));
        out += 8;
    }
    put_eight(out, (uint32_t)(v % eight));
    return out + 8;
}

JSON_INLINE char *put_string_node(char *out, const weir_value *v) {
    if (JSON_LIKELY(v->flags & WEIR_VF_PLAIN)) {
        *out++ = '"';
        out = put_bytes(out, v->as.ptr, v->size);
        *out++ = '"';
        return out;
    }
    return json_put_str(out, (const uint8_t *)v->as.ptr, v->size);
}

static char *put_scalar(char *out, const weir_value *v, const weir_json_style *style) {
    if (JSON_UNLIKELY(v->logical != WEIR_L_NONE)) return json_put_logical(out, v, style);
    switch (v->type) {
    case WEIR_V_STRING:
        return put_string_node(out, v);
    case WEIR_V_I64:
        return out + weir_json_write_i64(v->as.i64, out);
    case WEIR_V_F64:
        return out + weir_json_write_f64(v->as.f64, out);
    case WEIR_V_U64:
        return json_put_u64(out, v->as.u64);
    case WEIR_V_BYTES:
        *out++ = '"';
        out += weir_base64_encode((weir_str){v->as.ptr, v->size}, out);
        *out++ = '"';
        return out;
    case WEIR_V_BOOL: {
        const char *text = literals[1 + (v->as.u64 != 0)];
        size_t len = 5 - (v->as.u64 != 0);
        memcpy(out, text, len);
        return out + len;
    }
    default:
        memcpy(out, literals[0], 4);
        return out + 4;
    }
}

/* One value. Containers are remembered by where they end; the frame is small, so that a tape of any
 * depth can be written. */
static char *write_value(const weir_value *v, const weir_json_style *style, char *out) {
    const weir_value *ends[FRAME_LEVELS];
    uint8_t objects[FRAME_LEVELS];
    uint32_t depth = 0;
    int drop = style->drop_nulls != 0;

    for (;;) {
        if (v->type < WEIR_V_ARRAY) {
            out = put_scalar(out, v, style);
            v++;
        } else if (depth == FRAME_LEVELS) {
            out = write_value(v, style, out);
            v = weir_value_next(v);
        } else {
            ends[depth] = weir_value_next(v);
            objects[depth] = v->type == WEIR_V_OBJECT;
            depth++;
            *out++ = v->type == WEIR_V_OBJECT ? '{' : '[';
            v++;
            goto first;
        }
    next:
        if (depth == 0) return out;
        if (v == ends[depth - 1]) {
            *out++ = objects[depth - 1] ? '}' : ']';
            depth--;
            goto next;
        }
        *out++ = ',';
    first:
        if (v == ends[depth - 1]) goto next;
        if (objects[depth - 1]) {
            if (drop && v[1].type == WEIR_V_NULL) {
                /* A comma already written waits for the next member that stays. */
                v += 2;
                if (v == ends[depth - 1] && out[-1] == ',') out--;
                goto first;
            }
            out = put_string_node(out, v);
            *out++ = ':';
            v++;
        }
    }
}
