#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define FIRST_LINE "weir-local state 1 %s\n"
#define PATH_BYTES 4096u
#define LINE_BYTES 128u

struct keep {
    FILE *file;
    bool writing;
    int error;     /* errno of the first failure, 0 = none */
    uint64_t left; /* reading: bytes not yet read */
    char path[PATH_BYTES], temporary[PATH_BYTES];
};

static void fail(keep *k, int number) {
    if (k->error == 0) k->error = number ? number : EIO;
}

static void put(keep *k, const void *bytes, size_t len) {
    if (k->error == 0 && len > 0 && fwrite(bytes, 1, len, k->file) != len) fail(k, errno);
}

static void get(keep *k, void *bytes, size_t len) {
    if (k->error == 0 && (len > k->left || fread(bytes, 1, len, k->file) != len)) fail(k, EINVAL);
    if (k->error == 0)
        k->left -= len;
    else
        memset(bytes, 0, len);
}

static keep *keep_new(const char *path, bool writing) {
    keep *k = mem_zalloc(sizeof *k);
    if (!k) {
        errno = ENOMEM;
        return NULL;
    }
    k->writing = writing;
    int a = snprintf(k->path, sizeof k->path, "%s", path);
    int b = snprintf(k->temporary, sizeof k->temporary, "%s.%ld", path, (long)getpid());
    if (a > 0 && b > 0 && (size_t)b < sizeof k->temporary) return k;
    mem_free(k);
    errno = ENAMETOOLONG;
    return NULL;
}

keep *keep_create(const char *path, const char *service) {
    keep *k = keep_new(path, true);
    if (!k) return NULL;
    int fd = open(k->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    k->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!k->file) {
        int number = errno;
        if (fd >= 0) close(fd);
        mem_free(k);
        errno = number;
        return NULL;
    }
    if (fprintf(k->file, FIRST_LINE, service) < 0) fail(k, errno);
    return k;
}

keep *keep_open(const char *path, const char *service) {
    keep *k = keep_new(path, false);
    if (!k) return NULL;
    struct stat st;
    char line[LINE_BYTES], wanted[LINE_BYTES];
    k->file = fopen(path, "re");
    int number = k->file ? 0 : errno;
    if (k->file && fstat(fileno(k->file), &st) != 0) number = errno;
    int n = snprintf(wanted, sizeof wanted, FIRST_LINE, service);
    if (number == 0 && (n < 0 || !fgets(line, sizeof line, k->file) || strcmp(line, wanted) != 0))
        number = EINVAL;
    if (number == 0) {
        k->left = (uint64_t)st.st_size - (uint64_t)n;
        return k;
    }
    if (k->file) fclose(k->file);
    mem_free(k);
    errno = number;
    return NULL;
}

bool keep_close(keep *k) {
    if (k->writing && k->error == 0 && (fflush(k->file) != 0 || fsync(fileno(k->file)) != 0))
        fail(k, errno);
    if (!k->writing && k->left > 0) fail(k, EINVAL);
    if (fclose(k->file) != 0) fail(k, errno);
    if (k->writing && k->error == 0 && rename(k->temporary, k->path) != 0) fail(k, errno);
    if (k->writing && k->error != 0) unlink(k->temporary);
    int number = k->error;
    mem_free(k);
    errno = number;
    return number == 0;
}

void keep_put_u64(keep *k, uint64_t value) {
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(value >> 8 * i);
    put(k, b, sizeof b);
}

void keep_put_i64(keep *k, int64_t value) {
    keep_put_u64(k, (uint64_t)value);
}

void keep_put_str(keep *k, weir_str text) {
    keep_put_u64(k, text.len);
    put(k, text.ptr, text.len);
}

uint64_t keep_u64(keep *k) {
    unsigned char b[8];
    uint64_t value = 0;
    get(k, b, sizeof b);
    for (int i = 0; i < 8; i++) value |= (uint64_t)b[i] << 8 * i;
    return value;
}

int64_t keep_i64(keep *k) {
    return (int64_t)keep_u64(k);
}

uint64_t keep_count(keep *k, uint64_t least) {
    uint64_t n = keep_u64(k);
    if (k->error == 0 && n > k->left / least) fail(k, EINVAL);
    return k->error == 0 ? n : 0;
}

char *keep_str(keep *k, uint64_t *len) {
    uint64_t n = keep_count(k, 1);
    char *text = k->error == 0 ? mem_alloc(n + 1) : NULL;
    if (!text) {
        fail(k, ENOMEM);
        if (len) *len = 0;
        return NULL;
    }
    get(k, text, n);
    text[n] = '\0';
    if (len) *len = n;
    return text;
}

bool keep_ok(const keep *k) {
    return k->error == 0;
}
