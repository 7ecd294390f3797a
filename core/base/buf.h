/*
 * core/base/buf.h - a growing byte buffer with a ceiling and a sticky failure.
 *
 * A sequence of appends needs one check at its end: after the first failure (no memory, or the
 * ceiling passed) every append does nothing and buf_ok answers false.
 */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "weir/types.h"

typedef struct buf {
    char *data; /* NUL-terminated whenever data is not NULL */
    size_t len;
    size_t cap;
    size_t max; /* len never exceeds it */
    bool failed;
} buf;

void buf_init(buf *b, size_t max); /* allocates nothing */
void buf_free(buf *b);             /* ready for reuse with the same max */
void buf_reset(buf *b);            /* empty, memory and max kept, failure forgotten */
bool buf_ok(const buf *b);
bool buf_reserve(buf *b, size_t more); /* room for `more` bytes behind len */
void buf_append(buf *b, const void *bytes, size_t len);
void buf_append_str(buf *b, weir_str s);
void buf_append_z(buf *b, const char *z);
void buf_append_char(buf *b, char c);
void buf_printf(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
weir_str buf_str(const buf *b); /* valid until the next append */

/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_append_json(buf *b, weir_str s);

#endif
