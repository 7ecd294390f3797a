#define _GNU_SOURCE /* memrchr */
#include "file_list.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCAN_BYTES 65536u

static weir_status add_pattern(weir_ctx *ctx, weir_str pattern, bool must_exist, file_list *out,
                               weir_error *error);
static weir_status add_globbed(weir_ctx *ctx, char *joined, weir_str pattern, bool must_exist,
                               file_list *out, weir_error *error);
static weir_status add_match(weir_ctx *ctx, const char *path, bool must_exist, file_list *out,
                             weir_error *error);
static weir_status add_path(weir_ctx *ctx, const char *path, file_list *out, weir_error *error);
static int compare(const void *a, const void *b);

weir_status file_list_make(weir_ctx *ctx, bool must_exist, file_list *out, weir_error *error) {
    uint32_t patterns = weir_opt_count(ctx, "path");
    weir_status status = WEIR_OK;
    size_t kept = 0;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < patterns && status == WEIR_OK; i++) {
        weir_str pattern = {"", 0};
        status = weir_opt_entry(ctx, "path", i, NULL, &pattern);
        if (status == WEIR_OK) status = add_pattern(ctx, pattern, must_exist, out, error);
    }
    if (status != WEIR_OK) {
        file_list_free(ctx, out);
        return status;
    }
    if (out->count > 1) qsort(out->path, out->count, sizeof *out->path, compare);
    for (size_t i = 0; i < out->count; i++) {
        if (kept > 0 && strcmp(out->path[kept - 1], out->path[i]) == 0) {
            weir_free(ctx, out->path[i]);
        } else {
            out->path[kept++] = out->path[i];
        }
    }
    out->count = kept;
    return WEIR_OK;
}

void file_list_free(weir_ctx *ctx, file_list *list) {
    for (size_t i = 0; i < list->count; i++) weir_free(ctx, list->path[i]);
    weir_free(ctx, list->path);
    memset(list, 0, sizeof *list);
}

uint32_t file_id(const char *path, char *out) {
    size_t len = strlen(path);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a: names, not adversaries */
    bool printable = true;
    size_t tail;
    char digits[20];
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c < 0x20 || c == 0x7f) printable = false;
        hash = (hash ^ c) * UINT64_C(0x100000001b3);
    }
    if (printable && len <= FILE_ID_MAX) {
        memcpy(out, path, len);
        return (uint32_t)len;
    }
    tail = len < FILE_ID_MAX - 20 ? len : FILE_ID_MAX - 20;
    for (size_t i = 0; i < tail; i++) {
        unsigned char c = (unsigned char)path[len - tail + i];
        out[i] = c < 0x20 || c >= 0x7f ? '?' : (char)c; /* never half a character */
    }
    snprintf(digits, sizeof digits, "#%016llx", (unsigned long long)hash);
    memcpy(out + tail, digits, 17);
    return (uint32_t)tail + 17;
}

uint64_t file_end_offset(int fd, uint64_t size, bool lines) {
    char buffer[SCAN_BYTES];
    uint64_t at = size;
    if (!lines) return size;
    while (at > 0) {
        uint64_t n = at < sizeof buffer ? at : sizeof buffer;
        ssize_t got = pread(fd, buffer, (size_t)n, (off_t)(at - n));
        const char *newline;
        if (got < 0 && errno == EINTR) continue;
        if (got != (ssize_t)n) return size;
        newline = memrchr(buffer, '\n', (size_t)n);
        if (newline != NULL) return at - n + (uint64_t)(newline - buffer) + 1;
        at -= n;
    }
    return 0;
}

static weir_status no_match(weir_ctx *ctx, weir_str pattern, weir_error *error) {
    weir_fail(ctx, error, WEIR_E_NOT_FOUND, WEIR_ERR_CONFIG, "no file matches '%.*s'",
              (int)pattern.len, pattern.ptr);
    weir_fail_hint(ctx, error, "check the path, or set follow: true to wait for the file");
    return WEIR_E_NOT_FOUND;
}

static weir_status cannot_read(weir_ctx *ctx, const char *path, int code, weir_error *error) {
    char text[128];
    uint32_t flags;
    weir_status status = std_errno_status(code, &flags);
    weir_fail(ctx, error, status, WEIR_ERR_CONFIG, "cannot read '%s': %s", path,
              std_strerror(code, text, sizeof text));
    if (code == ENOENT) weir_fail_hint(ctx, error, "it is a symbolic link that leads nowhere");
    return status;
}

static weir_status add_pattern(weir_ctx *ctx, weir_str pattern, bool must_exist, file_list *out,
                               weir_error *error) {
    struct stat st;
    char *joined;
    weir_status status;
    if (pattern.len == 0 || memchr(pattern.ptr, '\0', (size_t)pattern.len) != NULL) {
        return weir_fail(ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, "a path is empty");
    }
    joined = std_path_join(ctx, pattern);
    if (joined == NULL) return WEIR_E_NOMEM;
    /* A file that exists under exactly this name is meant, whatever characters the name has. */
    if (stat(joined, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            status = weir_fail(ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                               "expected a file, found the folder '%s'", joined);
            weir_fail_hint(ctx, error, "name its files, as in '%.*s/*'", (int)pattern.len,
                           pattern.ptr);
        } else {
            status = add_match(ctx, joined, must_exist, out, error);
        }
    } else if (errno != ENOENT && must_exist &&
               strpbrk(joined + strlen(joined) - pattern.len, "*?[\\") == NULL) {
        status = cannot_read(ctx, joined, errno, error);
    } else {
        status = add_globbed(ctx, joined, pattern, must_exist, out, error);
    }
    weir_free(ctx, joined);
    return status;
}

/* The folder of the manifest is no part of the pattern: its special characters are taken literally.
 */
static char *escape_base(weir_ctx *ctx, const char *joined, size_t base) {
    size_t len = strlen(joined);
    char *out = weir_alloc(ctx, len + base + 1);
    size_t n = 0;
    if (out == NULL) return NULL;
    for (size_t i = 0; i < len; i++) {
        if (i < base && strchr("*?[\\", joined[i]) != NULL) out[n++] = '\\';
        out[n++] = joined[i];
    }
    out[n] = '\0';
    return out;
}

static weir_status add_globbed(weir_ctx *ctx, char *joined, weir_str pattern, bool must_exist,
                               file_list *out, weir_error *error) {
    size_t base = strlen(joined) - (size_t)pattern.len;
    char *escaped = escape_base(ctx, joined, base);
    size_t before = out->count;
    weir_status status = WEIR_OK;
    glob_t found;
    int code;
    if (escaped == NULL) return WEIR_E_NOMEM;
    code = glob(escaped, GLOB_MARK | GLOB_NOSORT, NULL, &found);
    weir_free(ctx, escaped);
    if (code == GLOB_NOSPACE) return WEIR_E_NOMEM;
    if (code == 0) {
        for (size_t i = 0; i < found.gl_pathc && status == WEIR_OK; i++) {
            const char *path = found.gl_pathv[i];
            if (path[strlen(path) - 1] == '/') continue;
            status = add_match(ctx, path, must_exist, out, error);
        }
        globfree(&found);
    } else if (code != GLOB_NOMATCH) {
        return weir_fail(ctx, error, WEIR_E_IO, 0, "cannot list the folder of '%.*s'",
                         (int)pattern.len, pattern.ptr);
    }
    if (status == WEIR_OK && out->count == before && must_exist) {
        return no_match(ctx, pattern, error);
    }
    return status;
}

/* A file that is there, or a link to one that may come if it need not exist. */
static weir_status add_match(weir_ctx *ctx, const char *path, bool must_exist, file_list *out,
                             weir_error *error) {
    if (must_exist && access(path, R_OK) != 0) {
        struct stat st;
        int code = errno;
        if (code == ENOENT && lstat(path, &st) != 0) return WEIR_OK; /* gone since it was listed */
        return cannot_read(ctx, path, code, error);
    }
    return add_path(ctx, path, out, error);
}

static weir_status add_path(weir_ctx *ctx, const char *path, file_list *out, weir_error *error) {
    weir_str text = weir_str_of(path);
    if (text.len > FILE_PATH_MAX) {
        return weir_fail(ctx, error, WEIR_E_TOO_LARGE, WEIR_ERR_CONFIG,
                         "a path is longer than %u bytes: '%.100s...'", FILE_PATH_MAX, path);
    }
    if (out->count == out->capacity) {
        size_t capacity = out->capacity > 0 ? out->capacity * 2 : 16;
        char **grown = weir_alloc(ctx, sizeof *grown * capacity);
        if (grown == NULL) return WEIR_E_NOMEM;
        if (out->count > 0) memcpy(grown, out->path, sizeof *grown * out->count);
        weir_free(ctx, out->path);
        out->path = grown;
        out->capacity = capacity;
    }
    out->path[out->count] = weir_str_dup(ctx, text);
    if (out->path[out->count] == NULL) return WEIR_E_NOMEM;
    out->count++;
    return WEIR_OK;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
