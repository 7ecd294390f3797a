#define _GNU_SOURCE /* the strerror_r that returns its text */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define READ_STEP ((size_t)64 * 1024)

static weir_status status_of(int code) {
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        return WEIR_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return WEIR_E_PERMISSION;
    case ENOMEM:
        return WEIR_E_NOMEM;
    default:
        return WEIR_E_IO;
    }
}

static weir_status failed(weir_error *err, const char *what, const char *path, int code) {
    char text[128];
    return error_set(err, status_of(code), 0, "cannot %s %s: %s", what, path,
                     os_strerror(code, text, sizeof text));
}

static weir_status read_all(int fd, const char *path, size_t max, buf *out, weir_error *err) {
    size_t total = 0;
    for (;;) {
        /* One byte more than allowed tells a file that is too large from one that just fits. */
        size_t step = max - total < READ_STEP ? max - total + 1 : READ_STEP;
        if (!buf_reserve(out, step)) {
            if (out->max - out->len < step)
                return error_set(err, WEIR_E_TOO_LARGE, 0, "%s does not fit into %zu bytes", path,
                                 out->max);
            return error_set(err, WEIR_E_NOMEM, 0, "no memory to read %s", path);
        }
        ssize_t n = read(fd, out->data + out->len, step);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(err, "read", path, errno);
        if (n == 0) return WEIR_OK;
        total += (size_t)n;
        if (total > max)
            return error_set(err, WEIR_E_TOO_LARGE, 0, "%s is larger than %zu bytes", path, max);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

weir_status os_read_file(const char *path, size_t max, buf *out, weir_error *err) {
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return failed(err, "open", path, errno);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > max) {
        (void)close(fd);
        return error_set(err, WEIR_E_TOO_LARGE, 0, "%s has %lld bytes, more than %zu", path,
                         (long long)st.st_size, max);
    }
    if (max == SIZE_MAX) max--;
    weir_status status = read_all(fd, path, max, out, err);
    (void)close(fd);
    return status;
}

weir_status os_make_dirs(const char *path, unsigned mode, weir_error *err) {
    size_t len = strlen(path);
    char *copy = mem_alloc(len + 1);
    if (copy == NULL) return error_set(err, WEIR_E_NOMEM, 0, "no memory to make folder %s", path);
    memcpy(copy, path, len + 1);
    weir_status status = WEIR_OK;
    for (size_t i = 1; i <= len && status == WEIR_OK; i++) {
        if ((copy[i] != '/' && copy[i] != '\0') || copy[i - 1] == '/') continue;
        char kept = copy[i];
        copy[i] = '\0';
        if (mkdir(copy, (mode_t)mode) != 0 && !os_is_dir(copy)) {
            int code = errno;
            if (code == EEXIST)
                status = error_set(err, WEIR_E_EXISTS, 0,
                                   "cannot make folder %s: a file of that name exists", copy);
            else
                status = failed(err, "make folder", copy, code);
        }
        copy[i] = kept;
    }
    mem_free(copy);
    return status;
}

bool os_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool os_is_dir(const char *path) {
    int kept = errno;
    struct stat st;
    bool yes = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    errno = kept;
    return yes;
}

weir_str os_dirname(weir_str path) {
    uint64_t end = path.len;
    while (end > 1 && path.ptr[end - 1] == '/') end--; /* a trailing slash names the same thing */
    while (end > 0 && path.ptr[end - 1] != '/') end--;
    if (end == 0) return STR(".");
    while (end > 1 && path.ptr[end - 1] == '/') end--;
    return str_make(path.ptr, end);
}

char *os_join(arena *a, weir_str base, weir_str path) {
    bool absolute = path.len > 0 && path.ptr[0] == '/';
    if (absolute || base.len == 0) {
        weir_str copy = arena_str(a, path);
        return (char *)(uintptr_t)copy.ptr;
    }
    bool slash = base.ptr[base.len - 1] == '/';
    char *out = arena_alloc(a, base.len + path.len + 2);
    if (out == NULL) return NULL;
    size_t at = base.len;
    memcpy(out, base.ptr, base.len);
    if (!slash) out[at++] = '/';
    if (path.len > 0) memcpy(out + at, path.ptr, path.len);
    out[at + path.len] = '\0';
    return out;
}

char *os_program_dir(arena *a) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || (size_t)n >= sizeof path) return NULL;
    weir_str dir = arena_str(a, os_dirname(str_make(path, (size_t)n)));
    return (char *)(uintptr_t)dir.ptr;
}

const char *os_env(const char *name, bool trusted_only) {
    if (trusted_only && os_privileged()) return NULL;
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

bool os_privileged(void) {
    return getauxval(AT_SECURE) != 0;
}

bool os_random(void *out, size_t size) {
    char *at = out;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

const char *os_strerror(int code, char *buffer, size_t size) {
    return strerror_r(code, buffer, size); /* the GNU one: thread-safe, may ignore the buffer */
}
