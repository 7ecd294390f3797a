/*
 * core/base/error.h - errors as objects: status, flags, text, details.
 *
 * This is the host's side of the ABI's opaque weir_error, and what the core's own functions fill
 * in. The first words of a text are the message (lower case, no full stop); a hint says what to do.
 * Not locked: one owner at a time.
 */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/buf.h"
#include "weir/types.h"

weir_error *error_new(void);      /* NULL without memory; every function here takes NULL */
void error_free(weir_error *err); /* NULL is ignored */
void error_clear(weir_error *err);

/* Sets status, flags and text, replacing what was there, and returns `status`, so that a function
 * can `return error_set(...)`. */
weir_status error_set(weir_error *err, weir_status status, uint32_t flags, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
weir_status error_vset(weir_error *err, weir_status status, uint32_t flags, const char *format,
                       va_list args) __attribute__((format(printf, 4, 0)));
/* A WEIR_DETAIL_* or any other key; replaces an earlier one of that key. */
void error_detail(weir_error *err, const char *key, weir_str value);
void error_hint(weir_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "context: " in front of the text. */
void error_prefix(weir_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
void error_copy(weir_error *to, const weir_error *from);

bool error_is_empty(const weir_error *err);      /* nobody has set it */
weir_status error_status(const weir_error *err); /* WEIR_E_INTERNAL if unset */
uint32_t error_flags(const weir_error *err);
const char *error_text(const weir_error *err); /* never NULL; "unknown failure" if unset */
weir_str error_get_detail(const weir_error *err, const char *key); /* empty if absent */

/* "message (detail=..., request_id=...); hint: ..." on one line. */
void error_format(const weir_error *err, buf *out);

/* "WEIR_E_TIMEOUT" -> "timeout", for messages and codes. */
const char *error_status_name(weir_status status);

#endif
