#include "get_records.h"

#include <stdbool.h>
#include <string.h>

#include "position.h"
#include "weir/batch.h"
#include "weir/json.h"

#define DEPTH_MAX 32u /* of members nobody here knows */

enum { STATE_START, STATE_MEMBER, STATE_RECORD, STATE_DONE, STATE_FAILED };

static int fail(get_records *g, const char *expected);
static char *skip_space(char *p, const char *end);
static bool member_name(get_records *g, weir_str *name);
static bool scan_string(get_records *g, weir_str *out, bool *escaped);
static bool unescape(get_records *g, weir_str *s);
static bool string_or_null(get_records *g, weir_str *out);
static bool scan_number(get_records *g, int decimals, int64_t *out);
static bool skip_value(get_records *g);
static bool read_word(get_records *g, const char *word);
static int read_record(get_records *g, kinesis_record *out);
static bool record_member(get_records *g, weir_str name, kinesis_record *out, bool *escaped,
                          unsigned *seen);
static int answer_member(get_records *g);
static int after_element(get_records *g, char close);
static bool is(weir_str s, const char *z, size_t len);
static bool is_number_byte(char c);
static int hex4(const char *p);

#define IS(s, literal) is(s, literal, sizeof literal - 1)

void get_records_begin(get_records *g, char *text, uint64_t len) {
    memset(g, 0, sizeof *g);
    g->begin = text;
    g->p = text;
    g->end = text + len;
    g->millis_behind = -1;
}

int get_records_next(get_records *g, kinesis_record *out) {
    if (g->state == STATE_START) {
        g->p = skip_space(g->p, g->end);
        if (g->p == g->end || *g->p != '{') return fail(g, "expected '{'");
        g->p = skip_space(g->p + 1, g->end);
        if (g->p < g->end && *g->p == '}') {
            g->p++;
            g->state = STATE_DONE;
        } else {
            g->state = STATE_MEMBER;
        }
    }
    for (;;) {
        switch (g->state) {
        case STATE_RECORD: {
            int found = read_record(g, out);
            if (found != 0) return found;
            break;
        }
        case STATE_MEMBER: {
            if (answer_member(g) < 0) return -1;
            break;
        }
        case STATE_DONE:
            g->p = skip_space(g->p, g->end);
            return g->p == g->end ? 0 : fail(g, "expected nothing after the answer");
        default:
            return -1;
        }
    }
}

/* ---- members of the answer ---- */

static int answer_member(get_records *g) {
    weir_str name;
    if (!member_name(g, &name)) return -1;
    if (IS(name, "Records")) {
        if (*g->p == 'n') {
            if (!read_word(g, "null")) return -1;
        } else {
            if (*g->p != '[') return fail(g, "expected '[' after Records");
            g->p = skip_space(g->p + 1, g->end);
            if (g->p < g->end && *g->p == ']') {
                g->p++;
            } else {
                g->state = STATE_RECORD;
                return 0;
            }
        }
    } else if (IS(name, "NextShardIterator")) {
        weir_str s = {NULL, 0};
        if (!string_or_null(g, &s)) return -1;
        g->next_iterator = s;
        g->has_next = s.len > 0;
    } else if (IS(name, "MillisBehindLatest")) {
        int64_t value = -1;
        if (*g->p == 'n') {
            if (!read_word(g, "null")) return -1;
        } else if (!scan_number(g, 0, &value)) {
            return -1;
        }
        g->millis_behind = value < 0 ? -1 : value;
    } else if (IS(name, "ChildShards")) {
        char *start = g->p;
        if (!skip_value(g)) return -1;
        weir_str span = {start, (uint64_t)(g->p - start)};
        bool some = *start == '[' && memchr(start, '{', (size_t)span.len) != NULL;
        g->children.ptr = some ? span.ptr : NULL;
        g->children.len = some ? span.len : 0;
    } else if (!skip_value(g)) {
        return -1;
    }
    int more = after_element(g, '}');
    if (more < 0) return -1;
    g->state = more ? STATE_MEMBER : STATE_DONE;
    return 0;
}

/* ---- records ---- */

enum { SEEN_DATA = 1, SEEN_SEQUENCE = 2, ESCAPED_DATA = 4 };

static int read_record(get_records *g, kinesis_record *out) {
    unsigned seen = 0;
    weir_str none = {NULL, 0};
    out->data = out->key = out->sequence = none;
    out->time_us = WEIR_TIME_NONE;
    if (g->p == g->end || *g->p != '{') return fail(g, "expected '{' of a record");
    g->p = skip_space(g->p + 1, g->end);
    if (g->p < g->end && *g->p == '}') return fail(g, "expected a record with Data");
    for (int more = 1; more;) {
        weir_str name;
        bool escaped = false;
        if (!member_name(g, &name) || !record_member(g, name, out, &escaped, &seen)) return -1;
        more = after_element(g, '}');
        if (more < 0) return -1;
    }
    if (!(seen & SEEN_DATA)) return fail(g, "expected a record with Data");
    if (!(seen & SEEN_SEQUENCE) || !sequence_is_valid(out->sequence))
        return fail(g, "expected a decimal SequenceNumber");
    if ((seen & ESCAPED_DATA) && !unescape(g, &out->data)) return -1;
    /* In place: three bytes come out for four that went in, so the reader stays ahead. */
    char *bytes = (char *)(uintptr_t)out->data.ptr;
    uint64_t decoded = weir_base64_decode(out->data, bytes);
    if (decoded == UINT64_MAX) return fail(g, "expected base64 in Data");
    if (decoded >= WEIR_RECORD_BYTES_MAX || out->key.len >= WEIR_RECORD_BYTES_MAX)
        return fail(g, "expected a record below 2 GiB");
    out->data.len = decoded;
    int more = after_element(g, ']');
    if (more < 0) return -1;
    if (!more) {
        /* Records is done; the answer goes on behind it. */
        int members = after_element(g, '}');
        if (members < 0) return -1;
        g->state = members ? STATE_MEMBER : STATE_DONE;
    }
    return 1;
}

static bool record_member(get_records *g, weir_str name, kinesis_record *out, bool *escaped,
                          unsigned *seen) {
    if (IS(name, "Data")) {
        if (*g->p != '"') {
            fail(g, "expected a text as Data");
            return false;
        }
        if (!scan_string(g, &out->data, escaped)) return false;
        *seen |= SEEN_DATA;
        *seen = *escaped ? *seen | ESCAPED_DATA : *seen & ~(unsigned)ESCAPED_DATA;
        return true;
    }
    if (IS(name, "SequenceNumber")) {
        if (!string_or_null(g, &out->sequence)) return false;
        *seen = out->sequence.ptr ? *seen | SEEN_SEQUENCE : *seen & ~(unsigned)SEEN_SEQUENCE;
        return true;
    }
    if (IS(name, "PartitionKey")) return string_or_null(g, &out->key);
    if (IS(name, "ApproximateArrivalTimestamp")) {
        if (*g->p == 'n') return read_word(g, "null");
        return scan_number(g, 6, &out->time_us);
    }
    return skip_value(g);
}

/* ---- pieces of JSON ---- */

static int fail(get_records *g, const char *expected) {
    g->fault = expected;
    g->state = STATE_FAILED;
    return -1;
}

static char *skip_space(char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

/* Reads `"name" :` and leaves p at the first byte of the value, which exists. */
static bool member_name(get_records *g, weir_str *name) {
    bool escaped = false;
    if (g->p == g->end || *g->p != '"') {
        fail(g, "expected a member name");
        return false;
    }
    if (!scan_string(g, name, &escaped)) return false;
    g->p = skip_space(g->p, g->end);
    if (g->p == g->end || *g->p != ':') {
        fail(g, "expected ':'");
        return false;
    }
    g->p = skip_space(g->p + 1, g->end);
    if (g->p == g->end) {
        fail(g, "expected a value");
        return false;
    }
    return true;
}

/* After a value: 1 = ',' and another element begins at p; 0 = `close` was read; -1 = neither. */
static int after_element(get_records *g, char close) {
    g->p = skip_space(g->p, g->end);
    if (g->p < g->end && *g->p == close) {
        g->p++;
        return 0;
    }
    if (g->p == g->end || *g->p != ',')
        return fail(g, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    g->p = skip_space(g->p + 1, g->end);
    return 1;
}

/* From the opening quote to behind the closing one; `out` is what stands between, escapes and all.
 * memchr runs at memory speed, so the usual string without escapes is never looked at by hand. */
static bool scan_string(get_records *g, weir_str *out, bool *escaped) {
    char *start = g->p + 1;
    char *quote = memchr(start, '"', (size_t)(g->end - start));
    if (!quote) {
        fail(g, "expected the end of a text");
        return false;
    }
    char *backslash = memchr(start, '\\', (size_t)(quote - start));
    *escaped = backslash != NULL;
    if (backslash) {
        for (quote = backslash; quote < g->end && *quote != '"'; quote++)
            if (*quote == '\\' && quote + 1 < g->end) quote++;
        if (quote >= g->end) {
            fail(g, "expected the end of a text");
            return false;
        }
    }
    out->ptr = start;
    out->len = (uint64_t)(quote - start);
    g->p = quote + 1;
    return true;
}

/* Replaces escapes in place. A lone surrogate becomes U+FFFD: three bytes for six. */
static bool unescape(get_records *g, weir_str *s) {
    char *out = (char *)(uintptr_t)s->ptr, *begin = out;
    const char *p = s->ptr, *end = p + s->len;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        if (end - p < 2) {
            fail(g, "expected a character after '\\'");
            return false;
        }
        char c = p[1];
        p += 2;
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *plain = c ? strchr(from, c) : NULL;
        if (plain) {
            *out++ = to[plain - from];
            continue;
        }
        int unit = c == 'u' && end - p >= 4 ? hex4(p) : -1;
        if (unit < 0) {
            fail(g, "expected an escape of JSON");
            return false;
        }
        p += 4;
        uint32_t code = (uint32_t)unit;
        if (unit >= 0xd800 && unit < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
            int low = hex4(p + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
                p += 6;
            }
        }
        if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
        if (code < 0x80) {
            *out++ = (char)code;
        } else if (code < 0x800) {
            *out++ = (char)(0xc0 | code >> 6);
            *out++ = (char)(0x80 | (code & 63));
        } else if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
            *out++ = (char)(0x80 | (code >> 6 & 63));
            *out++ = (char)(0x80 | (code & 63));
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 63));
            *out++ = (char)(0x80 | (code >> 6 & 63));
            *out++ = (char)(0x80 | (code & 63));
        }
    }
    s->len = (uint64_t)(out - begin);
    return true;
}

/* A null leaves `out` with a NULL pointer. */
static bool string_or_null(get_records *g, weir_str *out) {
    out->ptr = NULL;
    out->len = 0;
    if (*g->p == 'n') return read_word(g, "null");
    if (*g->p != '"') {
        fail(g, "expected a text or null");
        return false;
    }
    bool escaped = false;
    if (!scan_string(g, out, &escaped)) return false;
    return !escaped || unescape(g, out);
}

/* value * 10^decimals, rounded: "1.4410002E9" with 6 decimals is microseconds. Exact, since it
 * never goes through a double; digits beyond the eighteenth are dropped. */
static bool scan_number(get_records *g, int decimals, int64_t *out) {
    char *p = g->p;
    bool negative = p < g->end && *p == '-';
    if (negative) p++;
    uint64_t mantissa = 0;
    int exponent = decimals, digits = 0, significant = 0;
    bool fraction = false;
    for (; p < g->end; p++) {
        if (*p == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (*p < '0' || *p > '9') break;
        digits++;
        if (significant < 18) {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
            if (mantissa) significant++;
            if (fraction) exponent--;
        } else if (!fraction) {
            exponent++;
        }
        if (exponent > 1000000 || exponent < -1000000) break; /* nothing of interest is that long */
    }
    if (digits == 0) {
        fail(g, "expected a number");
        return false;
    }
    if (p < g->end && (*p == 'e' || *p == 'E')) {
        p++;
        bool minus = p < g->end && *p == '-';
        if (p < g->end && (*p == '-' || *p == '+')) p++;
        int power = 0, power_digits = 0;
        for (; p < g->end && *p >= '0' && *p <= '9'; p++, power_digits++)
            if (power < 100000) power = power * 10 + (*p - '0');
        if (power_digits == 0) {
            fail(g, "expected digits of an exponent");
            return false;
        }
        exponent += minus ? -power : power;
    }
    for (; exponent > 0 && mantissa > 0; exponent--) {
        if (mantissa > INT64_MAX / 10) {
            fail(g, "expected a number in range");
            return false;
        }
        mantissa *= 10;
    }
    uint64_t rest = 0;
    for (; exponent < 0 && mantissa > 0; exponent++) {
        rest = mantissa % 10;
        mantissa /= 10;
    }
    if (rest >= 5) mantissa++;
    *out = negative ? -(int64_t)mantissa : (int64_t)mantissa;
    g->p = p;
    return true;
}

/* Any value, by brackets: its inside is not ours to judge, its end is. */
static bool skip_value(get_records *g) {
    char stack[DEPTH_MAX];
    unsigned depth = 0;
    do {
        g->p = skip_space(g->p, g->end);
        if (g->p == g->end) break;
        char c = *g->p;
        if (c == '"') {
            weir_str s;
            bool escaped;
            if (!scan_string(g, &s, &escaped)) return false;
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX) {
                fail(g, "expected at most 32 levels");
                return false;
            }
            stack[depth++] = c == '{' ? '}' : ']';
            g->p++;
        } else if (c == '}' || c == ']') {
            if (depth == 0 || stack[depth - 1] != c) {
                fail(g, "expected a value");
                return false;
            }
            depth--;
            g->p++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            g->p++;
        } else if (c == 't' || c == 'f' || c == 'n') {
            if (!read_word(g, c == 't' ? "true" : c == 'f' ? "false" : "null")) return false;
        } else {
            if (!((c >= '0' && c <= '9') || c == '-')) {
                fail(g, "expected a value");
                return false;
            }
            while (g->p < g->end && is_number_byte(*g->p)) g->p++;
        }
        if (depth == 0) return true;
    } while (g->p < g->end);
    fail(g, "expected the end of a value");
    return false;
}

static bool read_word(get_records *g, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(g->end - g->p) < n || memcmp(g->p, word, n) != 0) {
        fail(g, "expected true, false or null");
        return false;
    }
    g->p += n;
    return true;
}

static bool is(weir_str s, const char *z, size_t len) {
    return s.len == len && memcmp(s.ptr, z, len) == 0;
}

static bool is_number_byte(char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}

static int hex4(const char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        value = value * 16 + d;
    }
    return value;
}
