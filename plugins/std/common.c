#define _GNU_SOURCE /* the strerror_r that returns its text */
#include "std.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

uint32_t std_meta_wanted(const weir_open *args) {
    static const struct {
        const char *name;
        uint32_t bit;
    } known[] = {{WEIR_META_SPLIT, STD_META_SPLIT},
                 {WEIR_META_POSITION, STD_META_POSITION},
                 {WEIR_META_OBJECT, STD_META_OBJECT},
                 {WEIR_META_STREAM, STD_META_STREAM}};
    uint32_t wanted = 0;
    if (args->meta_ptr == NULL || args->meta_len == NULL) return 0;
    for (uint32_t i = 0; i < args->meta_count; i++) {
        weir_str name = {args->meta_ptr[i], args->meta_len[i]};
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (weir_str_is(name, known[k].name)) wanted |= known[k].bit;
        }
    }
    return wanted;
}

weir_status std_meta_constant(const weir_api *api, weir_batch_builder *b, const char *name,
                              weir_str value) {
    char *copy = api->batch.alloc(b, value.len + 1);
    const char *ptr = copy;
    uint32_t len = (uint32_t)value.len;
    weir_column column = {0};
    if (copy == NULL) return WEIR_E_NOMEM;
    memcpy(copy, value.ptr, (size_t)value.len);
    column.struct_size = sizeof column;
    column.encoding = WEIR_COLUMN_CONSTANT;
    column.name = weir_str_of(name);
    column.ptr = &ptr;
    column.len = &len;
    return api->batch.meta(b, &column);
}

weir_status std_meta_numbers(const weir_api *api, weir_batch_builder *b, const char *name,
                             const uint64_t *numbers, uint32_t count) {
    const uint64_t entry = sizeof(char *) + sizeof(uint32_t) + 20;
    char *room = api->batch.alloc(b, entry * count + 1);
    const char **ptr = (const char **)(void *)room;
    uint32_t *len = (uint32_t *)(void *)(room + sizeof(char *) * (size_t)count);
    char *digits = room + (sizeof(char *) + sizeof(uint32_t)) * (size_t)count;
    weir_column column = {0};
    if (room == NULL) return WEIR_E_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        char text[20];
        uint32_t at = sizeof text;
        uint64_t v = numbers[i];
        do {
            text[--at] = (char)('0' + v % 10);
            v /= 10;
        } while (v > 0);
        ptr[i] = digits;
        len[i] = (uint32_t)sizeof text - at;
        memcpy(digits, text + at, len[i]);
        digits += len[i];
    }
    column.struct_size = sizeof column;
    column.encoding = WEIR_COLUMN_PLAIN;
    column.name = weir_str_of(name);
    column.ptr = ptr;
    column.len = len;
    return api->batch.meta(b, &column);
}

weir_status std_format_get(weir_ctx *ctx, uint32_t otherwise, weir_format *out, weir_error *error) {
    weir_status status;
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    status = weir_api_of(ctx)->format.get(ctx, out);
    if (status ==
        WEIR_E_UNSUPPORTED) { /* a host without formats: the framing of these components */
        out->framing = otherwise;
        return WEIR_OK;
    }
    if (status != WEIR_OK) {
        return weir_fail(ctx, error, status, 0, "the node's format is not known");
    }
    if (out->compression != WEIR_COMPRESSION_NONE) {
        weir_fail(ctx, error, WEIR_E_UNSUPPORTED, WEIR_ERR_CONFIG,
                  "this component neither reads nor writes compressed bytes");
        weir_fail_hint(ctx, error, "set format.compression to none");
        return WEIR_E_UNSUPPORTED;
    }
    return WEIR_OK;
}

char *std_path_join(weir_ctx *ctx, weir_str path) {
    weir_str base = {"", 0};
    char *out;
    if (path.len > 0 && path.ptr[0] == '/') return weir_str_dup(ctx, path);
    if (weir_api_of(ctx)->config.base_dir(ctx, &base) != WEIR_OK || base.len == 0) {
        return weir_str_dup(ctx, path);
    }
    out = weir_alloc(ctx, base.len + path.len + 2);
    if (out == NULL) return NULL;
    memcpy(out, base.ptr, (size_t)base.len);
    out[base.len] = '/';
    memcpy(out + base.len + 1, path.ptr, (size_t)path.len);
    out[base.len + 1 + path.len] = '\0';
    return out;
}

weir_status std_errno_status(int code, uint32_t *flags) {
    switch (code) {
    case ENOMEM:
        *flags = WEIR_ERR_RETRYABLE;
        return WEIR_E_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EAGAIN:
    case EINTR:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ESTALE:
    case EBUSY:
    case ETIMEDOUT:
        *flags = WEIR_ERR_RETRYABLE;
        return WEIR_E_IO;
    case ENAMETOOLONG:
    case ELOOP:
    case EISDIR:
        *flags = WEIR_ERR_CONFIG;
        return WEIR_E_INVALID_ARG;
    case ENOENT: /* fatal to a sink, but a source may know that the file was there before */
        *flags = 0;
        return WEIR_E_NOT_FOUND;
    case ENOTDIR:
        *flags = WEIR_ERR_FATAL;
        return WEIR_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        *flags = WEIR_ERR_FATAL;
        return WEIR_E_PERMISSION;
    default: /* what is not known to pass by waiting must not be tried without end */
        *flags = WEIR_ERR_FATAL;
        return WEIR_E_IO;
    }
}

const char *std_path_fault(int code) {
    switch (code) {
    case ENOTDIR:
        return "the path leads through a file as if it were a folder";
    case EISDIR:
        return "the path names a folder where a file is expected";
    case ENAMETOOLONG:
        return "the path is longer than the system allows";
    case ELOOP:
        return "the symbolic links of the path lead in circles";
    case EILSEQ:
    case EINVAL: /* open(2): a character that the file system does not have */
        return "the file system does not allow this path";
    default:
        return NULL;
    }
}

bool std_stream_usable(int fd, int direction) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return false;
    return (flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == direction;
}

const char *std_strerror(int code, char *buffer, size_t size) {
    return strerror_r(code, buffer, size); /* the GNU one: may answer a static text */
}
