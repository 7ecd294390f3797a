/*
 * Strings with escapes: the closing quote is found first, so that memory is asked for once, in the
 * size of the string; then one pass copies, checks and unescapes.
 */
#include "json_private.h"
#include "scan.h"

/* What a one-letter escape stands for; 0 for none. */
static const uint8_t letters[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                     ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};

/* Value of a hexadecimal digit plus one; 0 for none. */
static const uint8_t hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

static const uint8_t *fault(json_run *run, const uint8_t *at, const char *text) {
    run->fault_at = at;
    run->fault_text = text;
    return NULL;
}

/* The value of four hexadecimal digits, or UINT32_MAX. */
static uint32_t hex4(const uint8_t *at) {
    uint32_t a = hex_digits[at[0]], b = hex_digits[at[1]];
    uint32_t c = hex_digits[at[2]], d = hex_digits[at[3]];
    if (!a || !b || !c || !d) return UINT32_MAX;
    return (a - 1) << 12 | (b - 1) << 8 | (c - 1) << 4 | (d - 1);
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

/* The quote that closes the string in which the backslash at `at` stands, or NULL. */
static const uint8_t *close_swar(const uint8_t *at, const uint8_t *end) {
    for (;;) {
        at = json_scan_escape_swar(at, end);
        if (at == end) return NULL;
        if (*at == '"') return at;
        if (*at == '\\') {
            if (end - at < 2) return NULL;
            at++;
        }
        at++;
    }
}

/* Unescapes and checks [at, quote) to `out`; gives the end of the output. The output never
 * overtakes the input, so that its room, as large as the string, takes whole words where the input
 * has them. */
static uint8_t *unescape_swar(json_run *run, const uint8_t *at, const uint8_t *quote, uint8_t *out,
                              uint16_t *flags);
#if JSON_HAVE_AVX2
static const uint8_t *close_avx2(const uint8_t *at, const uint8_t *end);
static uint8_t *unescape_avx2(json_run *run, const uint8_t *at, const uint8_t *quote, uint8_t *out,
                              uint16_t *flags);
#endif

/* One escape at `at`; advances both. NULL: fault. */
JSON_INLINE const uint8_t *one_escape(json_run *run, const uint8_t *at, const uint8_t *quote,
                                      uint8_t **out, uint16_t *flags) {
    uint8_t letter = letters[at[1]]; /* a backslash is never the last byte before the quote */
    if (JSON_LIKELY(letter)) {
        *(*out)++ = letter;
        if (letter != '/') *flags = 0;
        return at + 2;
    }
    if (at[1] != 'u') return fault(run, at, "unknown escape: expected one of \" \\ / b f n r t u");
    uint32_t length;
    const char *why = NULL;
    uint32_t c = unicode_escape(at, quote, &length, &why);
    if (c == UINT32_MAX) return fault(run, at, why);
    if (c < 0x20 || c == '"' || c == '\\') *flags = 0;
    *out = put_utf8(*out, c);
    return at + length;
}

/* Bytes from 0x80 on, up to the next escape. */
JSON_INLINE const uint8_t *
other_special(json_run *run, const uint8_t *at, const uint8_t *quote, uint8_t **out,
              const uint8_t *(*utf8_run)(json_run *, const uint8_t *, const uint8_t *)) {
    if (*at < 0x20) return fault(run, at, "control character in a string: it must be escaped");
    const uint8_t *stop = utf8_run(run, at, quote);
    if (!stop) return NULL;
    memcpy(*out, at, (size_t)(stop - at));
    *out += stop - at;
    return stop;
}

/* A string without an end: the first thing wrong in it, which may come before its end does. */
JSON_COLD static void unterminated(json_run *run, const uint8_t *at) {
    uint16_t flags;
    const uint8_t *end = run->end;
    while (at < end) {
        uint8_t sink[4], *out = sink;
        if (*at == '\\') {
            if (end - at < 2) break;
            at = one_escape(run, at, end, &out, &flags);
        } else if (*at < 0x20) {
            fault(run, at, "control character in a string: it must be escaped");
            return;
        } else if (*at >= 0x80) {
            at = json_utf8_run_swar(run, at, end);
        } else {
            at++;
        }
        if (!at) return;
    }
    fault(run, end, "unterminated string: expected '\"'");
}

const uint8_t *json_string_escaped(json_run *run, const uint8_t *begin, const uint8_t *at,
                                   weir_value *node, int avx2) {
    const uint8_t *quote;
#if JSON_HAVE_AVX2
    quote = avx2 ? close_avx2(at, run->end) : close_swar(at, run->end);
#else
    (void)avx2;
    quote = close_swar(at, run->end);
#endif
    if (!quote) {
        unterminated(run, at);
        return NULL;
    }
    weir_json_parser *p = run->p;
    uint8_t *bytes = p->alloc ? (uint8_t *)p->alloc(p->opaque, (uint64_t)(quote - begin)) : NULL;
    if (!bytes) {
        run->fault_text = NULL;
        return NULL;
    }
    /* What lies in front of the first escape has been checked. */
    memcpy(bytes, begin, (size_t)(at - begin));
    uint8_t *out = bytes + (at - begin);
    uint16_t flags = WEIR_VF_PLAIN;
#if JSON_HAVE_AVX2
    out = avx2 ? unescape_avx2(run, at, quote, out, &flags)
               : unescape_swar(run, at, quote, out, &flags);
#else
    out = unescape_swar(run, at, quote, out, &flags);
#endif
    if (!out) return NULL;
    node->type = WEIR_V_STRING;
    node->logical = WEIR_L_NONE;
    node->flags = flags;
    node->size = (uint32_t)(out - bytes);
    node->as.ptr = (const char *)bytes;
    return quote + 1;
}

static uint8_t *unescape_swar(json_run *run, const uint8_t *at, const uint8_t *quote, uint8_t *out,
                              uint16_t *flags) {
    while (at < quote) {
        while (quote - at >= 8) {
            uint64_t w = json_load64(at);
            if (swar_escape_bytes(w) | (w & SWAR_HIGH)) break;
            memcpy(out, &w, 8);
            at += 8;
            out += 8;
        }
        while (at < quote && !is_special(*at)) *out++ = *at++;
        if (at == quote) break;
        at = *at == '\\' ? one_escape(run, at, quote, &out, flags)
                         : other_special(run, at, quote, &out, json_utf8_run_swar);
        if (!at) return NULL;
    }
    return out;
}

#if JSON_HAVE_AVX2
/*
 * A quote closes the string if the run of backslashes in front of it has an even length. Runs are
 * walked through by their first backslash: adding it to the run's bits carries to the first bit
 * behind the run, whose place, odd or even, against that of the start gives the parity.
 */
JSON_AVX2 static const uint8_t *close_avx2(const uint8_t *at, const uint8_t *end) {
    const uint32_t even = 0x55555555u;
    uint32_t escaped_first = 0; /* the first byte of this vector is escaped */
    while (end - at >= 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)at);
        uint32_t slash =
            (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
        uint32_t quote =
            (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')));
        slash &= ~escaped_first;
        uint32_t follows = slash << 1 | escaped_first;
        uint32_t odd_starts = slash & ~even & ~follows;
        uint32_t on_even;
        escaped_first = __builtin_add_overflow(odd_starts, slash, &on_even);
        uint32_t escaped = (even ^ on_even << 1) & follows;
        quote &= ~escaped;
        if (quote) return at + __builtin_ctz(quote);
        at += 32;
    }
    if (escaped_first) {
        if (at == end) return NULL;
        at++;
    }
    return close_swar(at, end);
}

JSON_AVX2 static uint8_t *unescape_avx2(json_run *run, const uint8_t *at, const uint8_t *quote,
                                        uint8_t *out, uint16_t *flags) {
    while (quote - at >= 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)at);
        _mm256_storeu_si256((__m256i *)(void *)out, v);
        uint32_t hit = special_bits(v);
        uint32_t clean = hit ? (uint32_t)__builtin_ctz(hit) : 32;
        at += clean;
        out += clean;
        if (!hit) continue;
        at = *at == '\\' ? one_escape(run, at, quote, &out, flags)
                         : other_special(run, at, quote, &out, json_utf8_run_avx2);
        if (!at) return NULL;
    }
    return unescape_swar(run, at, quote, out, flags);
}
#endif
