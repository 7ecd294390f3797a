/*
 * The file system of this machine behind the table of pending.h.
 */
#define _GNU_SOURCE /* renameat2 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pending.h"
#include "std.h"

static int fs_create(void *self, const char *path, int *fd) {
    (void)self;
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    return *fd >= 0 ? 0 : errno;
}

static int fs_open(void *self, const char *path, int *fd) {
    struct stat st;
    (void)self;
    /* O_NONBLOCK: something else may stand there by now, a FIFO for instance. */
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 && (errno == EACCES || errno == EROFS)) { /* enough to look at it */
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (*fd < 0) return errno;
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) return 0;
    close(*fd);
    *fd = -1;
    return EINVAL;
}

static void fs_close(void *self, int fd) {
    (void)self;
    close(fd);
}

static int fs_write(void *self, int fd, const void *bytes, size_t size, uint64_t offset) {
    const char *at = bytes;
    (void)self;
    while (size > 0) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : EIO;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int fs_read(void *self, int fd, void *out, size_t size, uint64_t offset, size_t *got) {
    char *at = out;
    (void)self;
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, at + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) break;
        *got += (size_t)n;
    }
    return 0;
}

static int fs_truncate(void *self, int fd, uint64_t size) {
    (void)self;
    return ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
}

static int fs_sync(void *self, int fd) {
    int code;
    (void)self;
    do {
        code = fdatasync(fd) == 0 ? 0 : errno;
    } while (code == EINTR);
    return code;
}

static int fs_sync_dir(void *self, const char *prefix) {
    int fd = open(prefix[0] != '\0' ? prefix : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = 0;
    (void)self;
    if (fd < 0) return errno;
    do {
        code = fsync(fd) == 0 ? 0 : errno;
    } while (code == EINTR);
    close(fd);
    /* Some file systems cannot sync a folder; then its names are as durable as they get. */
    return code == EINVAL || code == ENOTSUP ? 0 : code;
}

static int fs_rename(void *self, const char *from, const char *to) {
    (void)self;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    /* A file system without RENAME_NOREPLACE: a second name, then the first one goes. */
    if (link(from, to) == 0) return unlink(from) == 0 ? 0 : errno;
    if (errno != EPERM && errno != ENOTSUP) return errno;
    /* Nor with links: there is nothing better than to look first. */
    if (access(to, F_OK) == 0) return EEXIST;
    return rename(from, to) == 0 ? 0 : errno;
}

static int fs_remove(void *self, const char *path) {
    (void)self;
    return unlink(path) == 0 ? 0 : errno;
}

static int fs_stat(void *self, const char *path, pending_stat *out) {
    struct stat st;
    (void)self;
    if (lstat(path, &st) != 0) return errno;
    out->size = (uint64_t)st.st_size;
    out->inode = (uint64_t)st.st_ino;
    return 0;
}

static int fs_list(void *self, const char *prefix, int (*each)(void *opaque, const char *name),
                   void *opaque) {
    DIR *dir = opendir(prefix[0] != '\0' ? prefix : ".");
    int code = 0;
    (void)self;
    if (dir == NULL) return errno;
    while (code == 0) {
        const struct dirent *entry;
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            code = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        code = each(opaque, entry->d_name);
    }
    closedir(dir);
    return code;
}

static void *fs_alloc(void *self, size_t size) {
    return weir_alloc(self, size);
}

static void fs_release(void *self, void *memory) {
    weir_free(self, memory);
}

pending_fs pending_fs_system(void *ctx) {
    return (pending_fs){.self = ctx,
                        .create = fs_create,
                        .open = fs_open,
                        .close = fs_close,
                        .write = fs_write,
                        .read = fs_read,
                        .truncate = fs_truncate,
                        .sync = fs_sync,
                        .sync_dir = fs_sync_dir,
                        .rename = fs_rename,
                        .remove = fs_remove,
                        .stat = fs_stat,
                        .list = fs_list,
                        .alloc = fs_alloc,
                        .release = fs_release};
}
