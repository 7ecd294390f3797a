#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"

#define FIRST_LINE "weir-local state 2 %s\n"
#define PATH_BYTES 4096u
#define LINE_BYTES 128u
#define SUM_BYTES 4u

struct keep {
    FILE *file;
    bool writing;
    int error;     /* errno of the first failure, 0 = none */
    uint64_t left; /* reading: bytes not yet read, the sum not among them */
    uint32_t sum;  /* writing: of what was written */
    char fresh[PATH_BYTES];
};

static void fail(keep *k, int number) {
    if (k->error == 0) k->error = number ? number : EIO;
}

static void put(keep *k, const void *bytes, size_t len) {
    if (k->error != 0 || len == 0) return;
    if (fwrite(bytes, 1, len, k->file) != len) fail(k, errno);
    k->sum = crc32c(k->sum, bytes, len);
}

static void get(keep *k, void *bytes, size_t len) {
    if (k->error == 0 && (len > k->left || fread(bytes, 1, len, k->file) != len)) fail(k, EINVAL);
    if (k->error == 0)
        k->left -= len;
    else
        memset(bytes, 0, len);
}

/* Beside `path`, and always the same: what a process that was killed left there is found again. */
static bool fresh_name(const char *path, char out[PATH_BYTES]) {
    int n = snprintf(out, PATH_BYTES, "%s.new", path);
    if (n > 0 && (size_t)n < PATH_BYTES) return true;
    errno = ENAMETOOLONG;
    return false;
}

static void put_line(keep *k, const char *service) {
    char line[LINE_BYTES];
    int n = snprintf(line, sizeof line, FIRST_LINE, service);
    if (n > 0 && (size_t)n < sizeof line)
        put(k, line, (size_t)n);
    else
        fail(k, ENAMETOOLONG);
}

keep *keep_create(const char *path, const char *service) {
    keep *k = mem_zalloc(sizeof *k);
    if (!k) {
        errno = ENOMEM;
        return NULL;
    }
    k->writing = true;
    int fd = -1;
    if (fresh_name(path, k->fresh))
        fd = open(k->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    k->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!k->file) {
        int number = errno;
        if (fd >= 0) close(fd);
        mem_free(k);
        errno = number;
        return NULL;
    }
    put_line(k, service);
    return k;
}

/* The whole file once, against the sum in its end. */
static bool sum_is_right(FILE *file, uint64_t size) {
    unsigned char bytes[16384];
    uint32_t sum = 0, there = 0;
    while (size > SUM_BYTES) {
        size_t n = sizeof bytes;
        if (n > size - SUM_BYTES) n = (size_t)(size - SUM_BYTES);
        if (fread(bytes, 1, n, file) != n) return false;
        sum = crc32c(sum, bytes, n);
        size -= n;
    }
    if (size != SUM_BYTES || fread(bytes, 1, SUM_BYTES, file) != SUM_BYTES) return false;
    for (unsigned i = 0; i < SUM_BYTES; i++) there |= (uint32_t)bytes[i] << 8 * i;
    return there == sum;
}

/* Leaves the file behind its first line. 0, or why not as errno. */
static int begin_reading(keep *k, const char *path, const char *service) {
    struct stat st;
    char line[LINE_BYTES], wanted[LINE_BYTES];
    k->file = fopen(path, "re");
    if (!k->file || fstat(fileno(k->file), &st) != 0) return errno;
    int n = snprintf(wanted, sizeof wanted, FIRST_LINE, service);
    if (n < 0 || (uint64_t)st.st_size < (uint64_t)n + SUM_BYTES) return EINVAL;
    if (!sum_is_right(k->file, (uint64_t)st.st_size)) return ferror(k->file) ? errno : EINVAL;
    rewind(k->file);
    if (!fgets(line, sizeof line, k->file) || strcmp(line, wanted) != 0) return EINVAL;
    k->left = (uint64_t)st.st_size - (uint64_t)n - SUM_BYTES;
    return 0;
}

keep *keep_open(const char *path, const char *service) {
    keep *k = mem_zalloc(sizeof *k);
    int number = k ? begin_reading(k, path, service) : ENOMEM;
    if (k && number == 0) return k;
    if (k && k->file) fclose(k->file);
    mem_free(k);
    errno = number;
    return NULL;
}

static void end_writing(keep *k) {
    unsigned char b[SUM_BYTES];
    uint32_t sum = k->sum;
    for (unsigned i = 0; i < SUM_BYTES; i++) b[i] = (unsigned char)(sum >> 8 * i);
    put(k, b, sizeof b);
    if (k->error == 0 && (fflush(k->file) != 0 || fsync(fileno(k->file)) != 0)) fail(k, errno);
}

bool keep_close(keep *k) {
    if (k->writing) end_writing(k);
    if (!k->writing && k->left > 0) fail(k, EINVAL);
    if (fclose(k->file) != 0) fail(k, errno);
    if (k->writing && k->error != 0) unlink(k->fresh);
    int number = k->error;
    mem_free(k);
    errno = number;
    return number == 0;
}

bool keep_publish(const char *path) {
    char fresh[PATH_BYTES];
    return fresh_name(path, fresh) && rename(fresh, path) == 0;
}

void keep_discard(const char *path) {
    char fresh[PATH_BYTES];
    if (fresh_name(path, fresh)) unlink(fresh);
}

bool keep_sync_folder(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    int number = fsync(fd) == 0 ? 0 : errno;
    close(fd);
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
