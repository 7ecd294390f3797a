/* Strings with escapes, and UTF-8. */
#include "json_private.h"
#include "scan.h"

static const uint8_t *fault(json_run *run, const uint8_t *at, const char *text) {
    run->fault_at = at;
    run->fault_text = text;
    return NULL;
}

/* Well-formed sequences as in table 3-7 of the Unicode standard: nothing overlong, no surrogates,
 * nothing above U+10FFFF. */
uint32_t json_utf8_length(const uint8_t *at, const uint8_t *end) {
    uint8_t a = at[0];
    int64_t left = end - at;
    if (a < 0xc2) return 0;
    if (left < 2) return 0;
    uint8_t b = at[1];
    if (a < 0xe0) return (b & 0xc0) == 0x80 ? 2 : 0;
    if (left < 3) return 0;
    if (a < 0xf0) {
        if ((b & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80) return 0;
        if (a == 0xe0 && b < 0xa0) return 0;
        if (a == 0xed && b > 0x9f) return 0;
        return 3;
    }
    if (left < 4 || a > 0xf4) return 0;
    if ((b & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 || (at[3] & 0xc0) != 0x80) return 0;
    if (a == 0xf0 && b < 0x90) return 0;
    if (a == 0xf4 && b > 0x8f) return 0;
    return 4;
}

uint64_t weir_utf8_span(weir_str text) {
    if (text.len == 0) return 0;
    const uint8_t *begin = (const uint8_t *)text.ptr;
    const uint8_t *at = begin;
    const uint8_t *end = begin + text.len;
    while (at < end) {
        while (end - at >= 8 && !(json_load64(at) & SWAR_HIGH)) at += 8;
        while (at < end && *at < 0x80) at++;
        while (at < end && *at >= 0x80) {
            uint32_t length = json_utf8_length(at, end);
            if (length == 0) return (uint64_t)(at - begin);
            at += length;
        }
    }
    return text.len;
}

/* The value of four hexadecimal digits, or UINT32_MAX. */
static uint32_t hex4(const uint8_t *at) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = at[i];
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            d = (uint32_t)((c | 0x20) - 'a') + 10;
        else
            return UINT32_MAX;
        v = v << 4 | d;
    }
    return v;
}

/* The code point of the escape "\uXXXX" (or a pair of them) at `at`; *length is what it took. On
 * failure UINT32_MAX and the reason. */
static uint32_t unicode_escape(const uint8_t *at, const uint8_t *end, uint32_t *length,
                               const char **why) {
    uint32_t high = end - at >= 6 ? hex4(at + 2) : UINT32_MAX;
    *length = 6;
    if (high == UINT32_MAX) {
        *why = "expected four hexadecimal digits after '\\u'";
        return UINT32_MAX;
    }
    if (high < 0xd800 || high > 0xdfff) return high;
    *why = "lone surrogate in '\\u': it stands for no character";
    if (high > 0xdbff || end - at < 12 || at[6] != '\\' || at[7] != 'u') return UINT32_MAX;
    uint32_t low = hex4(at + 8);
    if (low == UINT32_MAX || low < 0xdc00 || low > 0xdfff) return UINT32_MAX;
    *length = 12;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint8_t *put_utf8(uint8_t *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (uint8_t)c;
    } else if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (uint8_t)(0xe0 | c >> 12);
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *out++ = (uint8_t)(0xf0 | c >> 18);
        *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *out++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return out;
}

static const uint8_t *scan(const uint8_t *begin, const uint8_t *at, const uint8_t *end) {
#if JSON_HAVE_AVX2
    if (JSON_LIKELY(json_cpu_avx2())) return json_scan_avx2(begin, at, end);
#endif
    return scan_string_swar(begin, at, end);
}

/* What a one-letter escape stands for; 0 for none. */
static uint8_t letter_escape(uint8_t c) {
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* Checks the string from `at` on and finds its closing quote, so that the second pass can trust it
 * and memory is asked for once, in the size of the string. */
static const uint8_t *find_quote(json_run *run, const uint8_t *at) {
    const uint8_t *end = run->end;
    for (;;) {
        at = scan(run->begin, at, end);
        if (at == end) return fault(run, end, "unterminated string: expected '\"'");
        if (*at == '"') return at;
        if (*at == '\\') {
            if (end - at < 2) return fault(run, end, "unterminated string: expected '\"'");
            if (at[1] == 'u') {
                const char *why = NULL;
                uint32_t length;
                if (unicode_escape(at, end, &length, &why) == UINT32_MAX)
                    return fault(run, at, why);
                at += length;
            } else {
                if (!letter_escape(at[1]))
                    return fault(run, at, "unknown escape: expected one of \" \\ / b f n r t u");
                at += 2;
            }
        } else if (*at < 0x20) {
            return fault(run, at, "control character in a string: it must be escaped");
        } else {
            uint32_t length = json_utf8_length(at, end);
            if (length == 0) return fault(run, at, "invalid UTF-8 in a string");
            at += length;
        }
    }
}

const uint8_t *json_string_escaped(json_run *run, const uint8_t *begin, const uint8_t *at,
                                   weir_value *node) {
    const uint8_t *quote = find_quote(run, at);
    if (!quote) return NULL;
    weir_json_parser *p = run->p;
    uint8_t *bytes = p->alloc ? (uint8_t *)p->alloc(p->opaque, (uint64_t)(quote - begin)) : NULL;
    if (!bytes) {
        run->fault_text = NULL;
        return NULL;
    }
    uint16_t flags = WEIR_VF_PLAIN;
    uint8_t *out = bytes;
    for (at = begin; at < quote;) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(quote - at));
        size_t run_length = (size_t)((slash ? slash : quote) - at);
        memcpy(out, at, run_length);
        out += run_length;
        if (!slash) break;
        uint32_t c, length = 2;
        const char *why;
        if (slash[1] == 'u')
            c = unicode_escape(slash, quote, &length, &why);
        else
            c = letter_escape(slash[1]);
        if (c < 0x20 || c == '"' || c == '\\') flags = 0;
        out = put_utf8(out, c);
        at = slash + length;
    }
    node->type = WEIR_V_STRING;
    node->logical = WEIR_L_NONE;
    node->flags = flags;
    node->size = (uint32_t)(out - bytes);
    node->as.ptr = (const char *)bytes;
    return quote + 1;
}
