#include "text.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(text *t, size_t more);

void text_add(text *t, const void *bytes, size_t len) {
    if (len == 0 || !reserve(t, len)) return;
    memcpy(t->ptr + t->len, bytes, len);
    t->len += len;
}

void text_add_z(text *t, const char *z) {
    text_add(t, z, strlen(z));
}

void text_add_str(text *t, weir_str s) {
    if (s.len > TEXT_MAX)
        t->failed = true;
    else
        text_add(t, s.ptr, (size_t)s.len);
}

void text_add_char(text *t, char c) {
    text_add(t, &c, 1);
}

void text_add_json(text *t, weir_str s) {
    text_add_char(t, '"');
    for (uint64_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};
            text_add(t, pair, 2);
        } else if (c < 0x20) {
            text_add_f(t, "\\u%04x", c);
        } else {
            text_add_char(t, (char)c);
        }
    }
    text_add_char(t, '"');
}

void text_add_f(text *t, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line)
        t->failed = true;
    else
        text_add(t, line, (size_t)n);
}

void text_clear(text *t) {
    t->len = 0;
    t->failed = false;
}

void text_free(text *t) {
    if (t->ptr) OPENSSL_cleanse(t->ptr, t->capacity);
    free(t->ptr);
    memset(t, 0, sizeof *t);
}

weir_str text_str(const text *t) {
    weir_str s = {t->ptr ? t->ptr : "", t->len};
    return s;
}

const char *text_z(text *t) {
    if (!reserve(t, 1)) return NULL;
    t->ptr[t->len] = '\0';
    return t->ptr;
}

/* Grows by copying and wiping, never by realloc: that would leave a secret in freed memory. */
static bool reserve(text *t, size_t more) {
    if (t->failed) return false;
    if (more <= t->capacity - t->len) return true;
    if (more > TEXT_MAX - t->len) {
        t->failed = true;
        return false;
    }
    size_t want = t->capacity ? t->capacity * 2 : 256;
    while (want < t->len + more) want *= 2;
    char *grown = malloc(want);
    if (!grown) {
        t->failed = true;
        return false;
    }
    if (t->ptr) {
        memcpy(grown, t->ptr, t->len);
        OPENSSL_cleanse(t->ptr, t->capacity);
        free(t->ptr);
    }
    t->ptr = grown;
    t->capacity = want;
    return true;
}
