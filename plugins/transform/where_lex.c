#include "where_lex.h"

#include <string.h>

#include "where_program.h"

static void lex_number(weir_str source, where_word *w);
static void lex_string(weir_str source, where_word *w);
static void lex_sign(weir_str source, where_word *w);

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (unsigned char)c >= 0x80;
}

where_word where_lex(weir_str source, uint32_t at) {
    where_word w = {0};
    char c;
    while (at < source.len && (source.ptr[at] == ' ' || source.ptr[at] == '\t' ||
                               source.ptr[at] == '\n' || source.ptr[at] == '\r')) {
        at++;
    }
    w.at = at;
    w.len = 1;
    if (at >= source.len) {
        w.kind = WORD_END;
        w.len = 0;
        return w;
    }
    c = source.ptr[at];
    if (is_digit(c) || c == '-') {
        lex_number(source, &w);
    } else if (is_name(c)) {
        w.kind = WORD_NAME;
        while (at + w.len < source.len && is_name(source.ptr[at + w.len])) w.len++;
    } else if (c == '"' || c == '\'') {
        lex_string(source, &w);
        return w;
    } else if (c == '.') {
        w.kind = WORD_DOT;
    } else if (c == '(') {
        w.kind = WORD_OPEN;
    } else if (c == ')') {
        w.kind = WORD_CLOSE;
    } else if (c == '[') {
        w.kind = WORD_BRACKET;
    } else if (c == ']') {
        w.kind = WORD_BRACKET_END;
    } else {
        lex_sign(source, &w);
    }
    w.text = (weir_str){source.ptr + at, w.len};
    return w;
}

static char peek(weir_str source, uint32_t at) {
    return at < source.len ? source.ptr[at] : '\0';
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static void lex_number(weir_str source, where_word *w) {
    uint32_t at = w->at;
    bool good;
    if (peek(source, at) == '-') at++;
    good = is_digit(peek(source, at));
    if (good && source.ptr[at] == '0' && is_digit(peek(source, at + 1))) good = false;
    while (is_digit(peek(source, at))) at++;
    if (good && peek(source, at) == '.') {
        at++;
        good = is_digit(peek(source, at));
        while (is_digit(peek(source, at))) at++;
    }
    if (good && (peek(source, at) == 'e' || peek(source, at) == 'E')) {
        at++;
        if (peek(source, at) == '+' || peek(source, at) == '-') at++;
        good = is_digit(peek(source, at));
        while (is_digit(peek(source, at))) at++;
    }
    if (at < source.len && is_name(source.ptr[at])) good = false;
    while (at < source.len && is_name(source.ptr[at])) at++;
    w->kind = good ? WORD_NUMBER : WORD_BAD;
    w->bad = good ? NULL : "expected a number as in JSON";
    w->len = at - w->at;
}

static void lex_string(weir_str source, where_word *w) {
    char quote = source.ptr[w->at];
    uint32_t at = w->at + 1;
    while (at < source.len && source.ptr[at] != quote) {
        at += source.ptr[at] == '\\' && at + 1 < source.len ? 2 : 1;
    }
    if (at >= source.len) {
        w->kind = WORD_BAD;
        w->bad = "this string has no end";
        w->text = (weir_str){source.ptr + w->at, 1};
        return;
    }
    w->kind = WORD_STRING;
    w->text = (weir_str){source.ptr + w->at + 1, at - w->at - 1};
    w->len = at + 1 - w->at;
}

static void lex_sign(weir_str source, where_word *w) {
    static const struct {
        char text[3];
        uint32_t compare;
    } compares[] = {{"==", WHERE_EQ}, {"!=", WHERE_NE}, {"<=", WHERE_LE},
                    {">=", WHERE_GE}, {"<", WHERE_LT},  {">", WHERE_GT}};
    for (size_t i = 0; i < sizeof compares / sizeof compares[0]; i++) {
        size_t len = strlen(compares[i].text);
        if (source.len - w->at < len) continue;
        if (memcmp(source.ptr + w->at, compares[i].text, len) != 0) continue;
        w->kind = WORD_COMPARE;
        w->compare = compares[i].compare;
        w->len = (uint32_t)len;
        return;
    }
    w->kind = WORD_BAD;
    if (source.ptr[w->at] == '=') w->hint = "two values are compared with ==";
    if (source.ptr[w->at] == '&') w->hint = "conditions are joined by the word and";
    if (source.ptr[w->at] == '|') w->hint = "conditions are joined by the word or";
    if (source.ptr[w->at] == '!') w->hint = "a condition is turned round by the word not";
}

/* Four hex digits at `at`, or UINT32_MAX. */
static uint32_t hex4(weir_str text, uint64_t at) {
    uint32_t v = 0;
    if (text.len < 4 || at > text.len - 4) return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        char c = text.ptr[at + (uint64_t)i];
        uint32_t digit;
        if (is_digit(c)) {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t)(c - 'A') + 10;
        } else {
            return UINT32_MAX;
        }
        v = v << 4 | digit;
    }
    return v;
}

static uint32_t put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

uint32_t where_unescape(weir_str text, char *out, uint32_t *wrong) {
    static const char from[] = "\"'\\/bfnrt";
    static const char to[] = "\"'\\/\b\f\n\r\t";
    uint32_t used = 0;
    for (uint64_t at = 0; at < text.len;) {
        const char *simple;
        uint32_t c;
        uint32_t low;
        uint64_t begin = at;
        if (text.ptr[at] != '\\') {
            out[used++] = text.ptr[at++];
            continue;
        }
        *wrong = (uint32_t)begin;
        if (++at >= text.len) return UINT32_MAX;
        simple = text.ptr[at] != '\0' ? strchr(from, text.ptr[at]) : NULL;
        if (simple != NULL) {
            out[used++] = to[simple - from];
            at++;
            continue;
        }
        if (text.ptr[at] != 'u') return UINT32_MAX;
        c = hex4(text, at + 1);
        if (c == UINT32_MAX) return UINT32_MAX;
        at += 5;
        if (c >= 0xdc00 && c <= 0xdfff) return UINT32_MAX;
        if (c >= 0xd800 && c <= 0xdbff) { /* a pair stands for one character */
            if (at + 6 > text.len || text.ptr[at] != '\\' || text.ptr[at + 1] != 'u') {
                return UINT32_MAX;
            }
            low = hex4(text, at + 2);
            if (low < 0xdc00 || low > 0xdfff) return UINT32_MAX;
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
        }
        used += put_utf8(out + used, c);
    }
    return used;
}
