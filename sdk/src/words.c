/*
 * Memory, time, log lines, errors and strings: the host table in an author's words.
 */
#include "weir/sdk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The longest log line or error text; the rest is cut. */
#define TEXT_MAX 2048

/* vsnprintf into `buffer` of TEXT_MAX bytes; what did not fit is cut at a character's border. */
static weir_str format_text(char *buffer, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* ---- memory and time ---- */

void *weir_alloc(weir_ctx *ctx, uint64_t size) {
    const weir_api *api = weir_api_of(ctx);
    return api->host.mem_alloc(api->handle, size);
}

void *weir_zalloc(weir_ctx *ctx, uint64_t size) {
    void *memory = weir_alloc(ctx, size);
    if (memory != NULL) memset(memory, 0, (size_t)size);
    return memory;
}

void weir_free(weir_ctx *ctx, void *memory) {
    const weir_api *api = weir_api_of(ctx);
    if (memory != NULL) api->host.mem_free(api->handle, memory);
}

int64_t weir_mono_ns(weir_ctx *ctx) {
    const weir_api *api = weir_api_of(ctx);
    return api->host.mono_ns(api->handle);
}

int64_t weir_wall_us(weir_ctx *ctx) {
    const weir_api *api = weir_api_of(ctx);
    return api->host.wall_us(api->handle);
}

/* ---- words ---- */

void weir_log(weir_ctx *ctx, uint32_t level, const char *format, ...) {
    const weir_api *api = weir_api_of(ctx);
    char buffer[TEXT_MAX];
    va_list args;
    weir_str text;
    if (level > api->host.log_level(api->handle, ctx)) return;
    va_start(args, format);
    text = format_text(buffer, format, args);
    va_end(args);
    api->host.log(api->handle, ctx, level, text);
}

weir_status weir_fail(weir_ctx *ctx, weir_error *err, weir_status status, uint32_t flags,
                      const char *format, ...) {
    const weir_api *api = weir_api_of(ctx);
    char buffer[TEXT_MAX];
    va_list args;
    weir_str text;
    va_start(args, format);
    text = format_text(buffer, format, args);
    va_end(args);
    api->host.error_set(api->handle, err, status, flags, text);
    return status;
}

void weir_fail_hint(weir_ctx *ctx, weir_error *err, const char *format, ...) {
    char buffer[TEXT_MAX];
    va_list args;
    weir_str text;
    va_start(args, format);
    text = format_text(buffer, format, args);
    va_end(args);
    weir_fail_detail(ctx, err, WEIR_DETAIL_HINT, text);
}

void weir_fail_detail(weir_ctx *ctx, weir_error *err, const char *key, weir_str value) {
    const weir_api *api = weir_api_of(ctx);
    api->host.error_detail(api->handle, err, key, value);
}

weir_error *weir_error_new(weir_ctx *ctx) {
    const weir_api *api = weir_api_of(ctx);
    return api->host.error_new(api->handle);
}

void weir_error_free(weir_ctx *ctx, weir_error *err) {
    const weir_api *api = weir_api_of(ctx);
    if (err != NULL) api->host.error_free(api->handle, err);
}

/* ---- strings ---- */

weir_str weir_str_of(const char *z) {
    weir_str s;
    s.ptr = z != NULL ? z : "";
    s.len = strlen(s.ptr);
    return s;
}

int weir_str_eq(weir_str a, weir_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, (size_t)a.len) == 0);
}

int weir_str_is(weir_str a, const char *z) {
    return weir_str_eq(a, weir_str_of(z));
}

char *weir_str_dup(weir_ctx *ctx, weir_str s) {
    char *copy = s.len < UINT64_MAX ? weir_alloc(ctx, s.len + 1) : NULL;
    if (copy == NULL) return NULL;
    if (s.len > 0) memcpy(copy, s.ptr, (size_t)s.len);
    copy[s.len] = '\0';
    return copy;
}

static weir_str format_text(char *buffer, const char *format, va_list args) {
    int n = vsnprintf(buffer, TEXT_MAX, format, args);
    weir_str text;
    text.ptr = buffer;
    if (n < 0) { /* an argument that cannot be encoded: the format itself still helps */
        text.ptr = format;
        text.len = strlen(format);
        return text;
    }
    text.len = (uint64_t)n;
    if (n >= TEXT_MAX) {
        size_t cut = TEXT_MAX - 1;
        size_t lead = cut;
        /* Half a UTF-8 sequence at the end would make the whole line malformed. */
        while (lead > 0 && cut - lead < 3 && ((unsigned char)buffer[lead - 1] & 0xc0) == 0x80)
            lead--;
        if (lead > 0 && ((unsigned char)buffer[lead - 1] & 0xc0) == 0xc0) {
            unsigned char c = (unsigned char)buffer[lead - 1];
            size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (cut - (lead - 1) < need) cut = lead - 1;
        }
        text.len = cut;
    }
    return text;
}
