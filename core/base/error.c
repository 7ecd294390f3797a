#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"

#define DETAILS_MAX 16u
#define DETAIL_BYTES_MAX ((size_t)2048)
/* Texts of usual length need no memory, so that an error about memory can be told. */
#define INLINE_BYTES 256u

typedef struct detail {
    char *key; /* NUL-terminated; the value stands behind it in the same allocation */
    char *value;
    size_t len;
} detail;

struct weir_error {
    weir_status status;
    uint32_t flags;
    bool is_set;
    char *long_text; /* replaces `text` when that is too small */
    char text[INLINE_BYTES];
    uint32_t detail_count;
    detail details[DETAILS_MAX];
};

/* Cuts a text of `len` bytes so that it does not end within a character. */
static size_t whole_characters(const char *text, size_t len) {
    size_t back = 0;
    while (back < 4 && back < len && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80) back++;
    if (back >= len || (unsigned char)text[len - 1 - back] < 0x80) return len;
    size_t start = len - 1 - back;
    return str_utf8_next(str_make(text + start, len - start)) == back + 1 ? len : start;
}

static void set_text(weir_error *err, const char *format, va_list args) {
    /* Formatted before the old text goes: it may be one of the arguments. */
    char small[INLINE_BYTES];
    char *large = NULL;
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    size_t len = n > 0 ? (size_t)n : 0;
    if (len >= sizeof small) {
        size_t size = len < LIMIT_ERROR_BYTES ? len + 1 : LIMIT_ERROR_BYTES;
        large = mem_alloc(size);
        if (large != NULL) {
            (void)vsnprintf(large, size, format, again);
            large[whole_characters(large, size - 1)] = '\0';
        } else {
            small[whole_characters(small, sizeof small - 1)] = '\0';
        }
    }
    va_end(again);
    mem_free(err->long_text);
    err->long_text = large;
    memcpy(err->text, small, sizeof small);
}

static void set_text_from(weir_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void set_text_from(weir_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
}

static detail *find(const weir_error *err, const char *key) {
    for (uint32_t i = 0; i < err->detail_count; i++)
        if (strcmp(err->details[i].key, key) == 0) return (detail *)(uintptr_t)&err->details[i];
    return NULL;
}

weir_error *error_new(void) {
    return mem_zalloc(sizeof(weir_error));
}

void error_free(weir_error *err) {
    if (err == NULL) return;
    error_clear(err);
    mem_free(err);
}

void error_clear(weir_error *err) {
    if (err == NULL) return;
    for (uint32_t i = 0; i < err->detail_count; i++) mem_free(err->details[i].key);
    mem_free(err->long_text);
    err->long_text = NULL;
    err->text[0] = '\0';
    err->detail_count = 0;
    err->status = 0;
    err->flags = 0;
    err->is_set = false;
}

weir_status error_set(weir_error *err, weir_status status, uint32_t flags, const char *format,
                      ...) {
    va_list args;
    va_start(args, format);
    (void)error_vset(err, status, flags, format, args);
    va_end(args);
    return status;
}

weir_status error_vset(weir_error *err, weir_status status, uint32_t flags, const char *format,
                       va_list args) {
    if (err == NULL) return status;
    /* The old text and details may be among the arguments: format first, forget then. */
    set_text(err, format, args);
    for (uint32_t i = 0; i < err->detail_count; i++) mem_free(err->details[i].key);
    err->detail_count = 0;
    err->status = status;
    err->flags = flags;
    err->is_set = true;
    return status;
}

void error_detail(weir_error *err, const char *key, weir_str value) {
    if (err == NULL || key == NULL) return;
    size_t key_len = strlen(key);
    if (key_len > LIMIT_NAME_BYTES) return;
    size_t len = value.len < DETAIL_BYTES_MAX ? value.len : DETAIL_BYTES_MAX;
    if (len < value.len) len = whole_characters(value.ptr, len);
    detail *d = find(err, key);
    if (d == NULL && err->detail_count == DETAILS_MAX) return;
    char *copy = mem_alloc(key_len + len + 2);
    if (copy == NULL) return;
    memcpy(copy, key, key_len + 1);
    if (len > 0) memcpy(copy + key_len + 1, value.ptr, len);
    copy[key_len + 1 + len] = '\0';
    if (d == NULL)
        d = &err->details[err->detail_count++];
    else
        mem_free(d->key);
    *d = (detail){copy, copy + key_len + 1, len};
}

void error_hint(weir_error *err, const char *format, ...) {
    if (err == NULL) return;
    char text[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : whole_characters(text, sizeof text - 1);
    error_detail(err, WEIR_DETAIL_HINT, str_make(text, len));
}

void error_prefix(weir_error *err, const char *format, ...) {
    if (err == NULL) return;
    char context[INLINE_BYTES * 2];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(context, sizeof context, format, args);
    va_end(args);
    if (n < 0) return;
    if ((size_t)n >= sizeof context) context[whole_characters(context, sizeof context - 1)] = '\0';
    set_text_from(err, "%s: %s", context, error_text(err));
    err->is_set = true;
}

void error_copy(weir_error *to, const weir_error *from) {
    if (to == NULL || to == from) return;
    error_clear(to);
    if (from == NULL) return;
    if (from->is_set) set_text_from(to, "%s", error_text(from));
    to->status = from->status;
    to->flags = from->flags;
    to->is_set = from->is_set;
    for (uint32_t i = 0; i < from->detail_count; i++)
        error_detail(to, from->details[i].key,
                     str_make(from->details[i].value, from->details[i].len));
}

bool error_is_empty(const weir_error *err) {
    return err == NULL || !err->is_set;
}

weir_status error_status(const weir_error *err) {
    /* A failure that was not given a status, or a wrong one, is still a failure. */
    return err != NULL && err->status < 0 ? err->status : WEIR_E_INTERNAL;
}

uint32_t error_flags(const weir_error *err) {
    return err != NULL ? err->flags : 0;
}

const char *error_text(const weir_error *err) {
    if (err == NULL || !err->is_set) return "unknown failure";
    const char *text = err->long_text != NULL ? err->long_text : err->text;
    return text[0] != '\0' ? text : "unknown failure";
}

weir_str error_get_detail(const weir_error *err, const char *key) {
    const detail *d = err != NULL ? find(err, key) : NULL;
    return d != NULL ? str_make(d->value, d->len) : STR("");
}

static void append_line(buf *out, weir_str s) {
    char piece[STR_ESCAPE_MAX];
    for (size_t i = 0, len; i < s.len; buf_append(out, piece, len))
        i = str_escape_next(s, i, piece, &len);
}

void error_format(const weir_error *err, buf *out) {
    append_line(out, str_of(error_text(err)));
    const char *separator = " (";
    const detail *hint = NULL;
    for (uint32_t i = 0; err != NULL && i < err->detail_count; i++) {
        const detail *d = &err->details[i];
        if (strcmp(d->key, WEIR_DETAIL_HINT) == 0) {
            hint = d;
            continue;
        }
        buf_append_z(out, separator);
        append_line(out, str_of(d->key));
        buf_append_char(out, '=');
        append_line(out, str_make(d->value, d->len));
        separator = ", ";
    }
    if (separator[0] == ',') buf_append_char(out, ')');
    if (hint != NULL) {
        buf_append_z(out, "; hint: ");
        append_line(out, str_make(hint->value, hint->len));
    }
}

const char *error_status_name(weir_status status) {
    switch (status) {
    case WEIR_OK:
        return "ok";
    case WEIR_AGAIN:
        return "again";
    case WEIR_END:
        return "end";
    case WEIR_EVENT:
        return "event";
    case WEIR_E_INVALID_ARG:
        return "invalid_arg";
    case WEIR_E_INVALID_STATE:
        return "invalid_state";
    case WEIR_E_UNSUPPORTED:
        return "unsupported";
    case WEIR_E_NOT_FOUND:
        return "not_found";
    case WEIR_E_EXISTS:
        return "exists";
    case WEIR_E_NOMEM:
        return "nomem";
    case WEIR_E_IO:
        return "io";
    case WEIR_E_TIMEOUT:
        return "timeout";
    case WEIR_E_CANCELLED:
        return "cancelled";
    case WEIR_E_AUTH:
        return "auth";
    case WEIR_E_PERMISSION:
        return "permission";
    case WEIR_E_THROTTLED:
        return "throttled";
    case WEIR_E_DATA:
        return "data";
    case WEIR_E_FENCED:
        return "fenced";
    case WEIR_E_TOO_LARGE:
        return "too_large";
    case WEIR_E_INCOMPATIBLE:
        return "incompatible";
    default:
        return "internal";
    }
}
