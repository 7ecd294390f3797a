#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BUF_FIRST ((size_t)64)

void buf_init(buf *b, size_t max) {
    *b = (buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_free(buf *b) {
    mem_free(b->data);
    *b = (buf){.max = b->max};
}

void buf_reset(buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->data != NULL) b->data[0] = '\0';
}

bool buf_ok(const buf *b) {
    return !b->failed;
}

bool buf_reserve(buf *b, size_t more) {
    if (b->failed) return false;
    if (more > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
    while (cap < need) cap *= 2;
    if (cap > b->max + 1) cap = b->max + 1;
    char *data = mem_realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

void buf_append(buf *b, const void *bytes, size_t len) {
    if (!buf_reserve(b, len)) return;
    if (len > 0) memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_append_str(buf *b, weir_str s) {
    buf_append(b, s.ptr, s.len);
}

void buf_append_z(buf *b, const char *z) {
    buf_append(b, z, strlen(z));
}

void buf_append_char(buf *b, char c) {
    buf_append(b, &c, 1);
}

void buf_printf(buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_vprintf(buf *b, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) {
        b->failed = true;
    } else if (buf_reserve(b, (size_t)n)) {
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

weir_str buf_str(const buf *b) {
    return b->data != NULL ? (weir_str){b->data, b->len} : (weir_str){"", 0};
}

/* What follows the backslash for the bytes below 0x20 that have a short form. */
static char short_escape(unsigned char c) {
    switch (c) {
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    case '"':
        return '"';
    case '\\':
        return '\\';
    default:
        return 0;
    }
}

void buf_append_json(buf *b, weir_str s) {
    buf_append_char(b, '"');
    size_t start = 0, i = 0;
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t length = c < 0x80 ? 0 : str_utf8_next((weir_str){s.ptr + i, s.len - i});
        if (length > 0) {
            i += length;
            continue;
        }
        buf_append(b, s.ptr + start, i - start);
        if (c >= 0x80) {
            buf_append_z(b, "\xef\xbf\xbd");
        } else if (short_escape(c) != 0) {
            char pair[2] = {'\\', short_escape(c)};
            buf_append(b, pair, 2);
        } else {
            buf_printf(b, "\\u%04x", c);
        }
        start = ++i;
    }
    if (s.len > start) buf_append(b, s.ptr + start, s.len - start);
    buf_append_char(b, '"');
}
