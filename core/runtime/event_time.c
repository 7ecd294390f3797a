#include "runtime/event_time.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "runtime/template_eval.h"

#define AUTO_SECONDS_BELOW 1e11
#define AUTO_MILLIS_BELOW 1e14
/* Beyond this many microseconds an int64 overflows; it is the year 294,000. */
#define TIME_US_MAX 9.2e18

static bool scaled(double number, time_unit unit, int64_t *out) {
    double factor = 1;
    switch (unit) {
    case TIME_S:
        factor = 1e6;
        break;
    case TIME_MS:
        factor = 1e3;
        break;
    case TIME_US:
        factor = 1;
        break;
    case TIME_ISO8601:
        return false;
    case TIME_AUTO:
        factor = fabs(number) < AUTO_SECONDS_BELOW  ? 1e6
                 : fabs(number) < AUTO_MILLIS_BELOW ? 1e3
                                                    : 1;
        break;
    }
    double us = nearbyint(number * factor);
    if (!(fabs(us) < TIME_US_MAX)) return false;
    *out = (int64_t)us;
    return true;
}

/* Integers are scaled as integers: a double would lose microseconds after the year 2255. */
static bool scaled_i64(int64_t number, time_unit unit, int64_t *out) {
    double size = fabs((double)number);
    int64_t factor = unit == TIME_S              ? 1000000
                     : unit == TIME_MS           ? 1000
                     : unit == TIME_US           ? 1
                     : unit == TIME_ISO8601      ? 0
                     : size < AUTO_SECONDS_BELOW ? 1000000
                     : size < AUTO_MILLIS_BELOW  ? 1000
                                                 : 1;
    /* The least integer means "no time": a record that says so has none. */
    return factor != 0 && !__builtin_mul_overflow(number, factor, out) && *out != WEIR_TIME_NONE;
}

/* RFC 3339; a text that names no zone is UTC, as many producers write it. */
static bool text_time(weir_str text, int64_t *out) {
    char with_zone[64];
    if (str_to_time_us(text, out)) return true;
    if (text.len + 1 > sizeof with_zone) return false;
    memcpy(with_zone, text.ptr, text.len);
    with_zone[text.len] = 'Z';
    return str_to_time_us(str_make(with_zone, text.len + 1), out);
}

bool event_time_of(const weir_value *v, time_unit unit, int64_t *out) {
    switch (v->type) {
    case WEIR_V_I64:
        if (v->logical == WEIR_L_TIMESTAMP_US) {
            *out = v->as.i64;
            return v->as.i64 != WEIR_TIME_NONE;
        }
        return scaled_i64(v->as.i64, unit, out);
    case WEIR_V_F64:
        return scaled(v->as.f64, unit, out);
    case WEIR_V_STRING: {
        double number;
        if (v->logical == WEIR_L_DECIMAL) {
            return str_to_f64(weir_value_str(v), &number) && scaled(number, unit, out);
        }
        if (unit != TIME_AUTO && unit != TIME_ISO8601) return false;
        return text_time(weir_value_str(v), out);
    }
    default:
        return false;
    }
}

void event_time_fill(const event_time_spec *spec, const weir_batch *batch, int64_t now_us,
                     int64_t *times, void (*fail)(void *opaque, uint32_t row), void *opaque) {
    const weir_rows *rows = batch->rows;
    for (uint32_t row = 0; row < rows->count; row++) {
        if (spec->field.len > 0) {
            const weir_value *v = batch->tape != NULL
                                      ? path_find(weir_tape_root(batch->tape, row), &spec->field)
                                      : NULL;
            if (v == NULL || !event_time_of(v, spec->unit, &times[row])) {
                times[row] = WEIR_TIME_NONE;
                fail(opaque, row);
            }
        } else {
            bool has = rows->time_us != NULL && rows->time_us[row] != WEIR_TIME_NONE;
            times[row] = has ? rows->time_us[row] : now_us;
        }
    }
}
