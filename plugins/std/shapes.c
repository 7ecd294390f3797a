#include "shapes.h"

#include <string.h>

/* 2026-01-01T00:00:00Z: an origin of event times, since a clock would make each run differ. */
#define ORIGIN_SECOND INT64_C(1767225600)
#define RATE_DEFAULT 1000u
/* {"event_time": "2026-01-01T00:00:00.000000", "ticker": "AAPL", "price": 12.34} */
#define TICKER_BYTES_MAX 96u
#define DIGITS_MAX 20u

/* The five symbols of the managed service's tutorials, in the order they have there. */
static const char tickers[5][8] = {"AAPL", "AMZN", "MSFT", "INTC", "TBV"};

static uint32_t write_ticker(shape *s, uint64_t index, char *out);
static uint32_t write_sequence(const shape *s, uint64_t index, char *out);
static uint32_t write_bytes(const shape *s, uint64_t index, char *out);

/* splitmix64: one multiplication chain turns a counter into 64 well mixed bits. */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void shape_init(shape *s, uint32_t kind, uint32_t size, uint64_t seed, uint64_t rate) {
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->size = size;
    s->seed = mix(seed);
    s->rate = rate > 0 ? rate : RATE_DEFAULT;
    s->stamp_second = -1;
}

uint32_t shape_bytes_max(const shape *s) {
    uint32_t least = s->kind == SHAPE_TICKER     ? TICKER_BYTES_MAX
                     : s->kind == SHAPE_SEQUENCE ? DIGITS_MAX
                                                 : 8u;
    return s->size > least ? s->size : least;
}

uint32_t shape_write(shape *s, uint64_t index, char *out) {
    if (s->kind == SHAPE_TICKER) return write_ticker(s, index, out);
    if (s->kind == SHAPE_SEQUENCE) return write_sequence(s, index, out);
    return write_bytes(s, index, out);
}

static void two_digits(char *out, int64_t v) {
    out[0] = (char)('0' + v / 10 % 10);
    out[1] = (char)('0' + v % 10);
}

/* Writes the second as ISO text without a zone, as the tutorials' datetime.isoformat() does. The
 * date is Howard Hinnant's days-to-civil calculation. */
static void write_stamp(char *out, int64_t second) {
    int64_t days = second / 86400;
    int64_t of_day = second % 86400;
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    two_digits(out, year / 100);
    two_digits(out + 2, year);
    out[4] = '-';
    two_digits(out + 5, month);
    out[7] = '-';
    two_digits(out + 8, day);
    out[10] = 'T';
    two_digits(out + 11, of_day / 3600);
    out[13] = ':';
    two_digits(out + 14, of_day / 60 % 60);
    out[16] = ':';
    two_digits(out + 17, of_day % 60);
}

static char *append(char *out, const char *text, size_t len) {
    memcpy(out, text, len);
    return out + len;
}

static uint32_t write_ticker(shape *s, uint64_t index, char *out) {
    uint64_t bits = mix(s->seed ^ index);
    uint64_t seconds = index / s->rate;
    uint64_t micros = (uint64_t)((unsigned __int128)(index % s->rate) * 1000000u / s->rate);
    const char *ticker = tickers[(bits >> 32) % 5];
    uint64_t cents = (bits & UINT32_MAX) % 10000;
    char *at = out;
    uint32_t len;
    if (ORIGIN_SECOND + (int64_t)(seconds & INT32_MAX) != s->stamp_second) {
        s->stamp_second = ORIGIN_SECOND + (int64_t)(seconds & INT32_MAX);
        write_stamp(s->stamp, s->stamp_second);
    }
#define APPEND(text) at = append(at, text, sizeof(text) - 1)
    APPEND("{\"event_time\": \"");
    at = append(at, s->stamp, 19);
    *at++ = '.';
    for (int i = 5; i >= 0; i--) {
        at[i] = (char)('0' + micros % 10);
        micros /= 10;
    }
    at += 6;
    APPEND("\", \"ticker\": \"");
    at = append(at, ticker, strlen(ticker));
    APPEND("\", \"price\": ");
    if (cents >= 1000) *at++ = (char)('0' + cents / 1000);
    *at++ = (char)('0' + cents / 100 % 10);
    *at++ = '.';
    two_digits(at, (int64_t)(cents % 100));
    at += 2;
    len = (uint32_t)(at - out) + 1;
    if (s->size > len) { /* a member of x's makes the record as long as asked, still as JSON */
        uint32_t missing = s->size - len;
        const uint32_t frame = sizeof(", \"pad\": \"\"") - 1;
        if (missing >= frame) {
            APPEND(", \"pad\": \"");
            memset(at, 'x', missing - frame);
            at += missing - frame;
            *at++ = '"';
        } else {
            memset(at, ' ', missing);
            at += missing;
        }
    }
#undef APPEND
    *at++ = '}';
    return (uint32_t)(at - out);
}

static uint32_t write_sequence(const shape *s, uint64_t index, char *out) {
    char digits[DIGITS_MAX];
    uint32_t at = DIGITS_MAX;
    uint32_t len;
    uint32_t pad;
    do {
        digits[--at] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    len = DIGITS_MAX - at;
    pad = s->size > len ? s->size - len : 0;
    memset(out, '0', pad);
    memcpy(out + pad, digits + at, len);
    return pad + len;
}

static uint32_t write_bytes(const shape *s, uint64_t index, char *out) {
    uint64_t state = mix(s->seed ^ index);
    for (uint32_t at = 0; at < s->size; at += 8) {
        uint64_t bits = mix(state + at);
        uint32_t n = s->size - at < 8 ? s->size - at : 8;
        memcpy(out + at, &bits, n);
    }
    return s->size;
}
