#define _GNU_SOURCE /* F_OFD_SETLK */
#include "checkpoint/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"

#define FOLDER_MODE 0700
#define FILE_MODE 0600

static weir_status failed(weir_error *err, const char *what, const char *path, int code) {
    char text[128];
    const char *why = os_strerror(code, text, sizeof text);
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        return error_set(err, WEIR_E_NOT_FOUND, 0, "cannot %s %s: %s", what, path, why);
    case EEXIST:
        return error_set(err, WEIR_E_EXISTS, 0, "cannot %s %s: %s", what, path, why);
    case ENOMEM:
        return error_set(err, WEIR_E_NOMEM, 0, "cannot %s %s: %s", what, path, why);
    case EACCES:
    case EPERM:
    case EROFS:
        (void)error_set(err, WEIR_E_PERMISSION, 0, "cannot %s %s: %s", what, path, why);
        error_hint(err, "the user that runs weir must own this folder and be able to write to it");
        return WEIR_E_PERMISSION;
    case ENAMETOOLONG:
    case EFBIG:
        (void)error_set(err, WEIR_E_TOO_LARGE, 0, "cannot %s %s: %s", what, path, why);
        if (code == EFBIG) error_hint(err, "raise the limit on file sizes (ulimit -f)");
        return WEIR_E_TOO_LARGE;
    case ENOSPC:
    case EDQUOT:
        (void)error_set(err, WEIR_E_IO, WEIR_ERR_RETRYABLE, "cannot %s %s: %s", what, path, why);
        error_hint(err,
                   "free space or inodes on that file system%s; it is tried again with the "
                   "next checkpoint",
                   code == EDQUOT ? " or raise the quota" : "");
        return WEIR_E_IO;
    case EIO:
        (void)error_set(err, WEIR_E_IO, 0, "cannot %s %s: %s", what, path, why);
        error_hint(err, "the disk or its cable fails: the kernel's log says more");
        return WEIR_E_IO;
    default:
        return error_set(err, WEIR_E_IO, 0, "cannot %s %s: %s", what, path, why);
    }
}

static int open_again(const char *path, int flags, mode_t mode) {
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* 0, or the error's number. Linux closes the descriptor whatever close says; an error here is one
 * of writing (NFS, quotas). */
static int close_checked(int fd) {
    return close(fd) != 0 && errno != EINTR ? errno : 0;
}

static weir_status sync_path(const char *path, int flags, const char *what, weir_error *err) {
    int fd = open_again(path, O_RDONLY | flags, 0);
    if (fd < 0) return failed(err, what, path, errno);
    int code;
    do {
        code = fsync(fd) != 0 ? errno : 0;
    } while (code == EINTR);
    (void)close(fd);
    /* Some file systems cannot sync a folder and say so in this way; nothing better can be done
     * there. */
    if (code == EINVAL && (flags & O_DIRECTORY) != 0) code = 0;
    return code == 0 ? WEIR_OK : failed(err, what, path, code);
}

/* A writeback error that happens between `create`'s close and this open is still reported here: the
 * kernel keeps it with the file until somebody has seen it. */
static weir_status sync_file(void *self, const char *path, weir_error *err) {
    (void)self;
    return sync_path(path, O_NOFOLLOW, "make durable (fsync)", err);
}

static weir_status sync_dir(void *self, const char *path, weir_error *err) {
    (void)self;
    return sync_path(path, O_DIRECTORY, "make durable (fsync) the names in", err);
}

/* Makes one folder and syncs the one that it stands in. */
static weir_status make_dir(const char *path, weir_error *err) {
    if (mkdir(path, FOLDER_MODE) != 0) {
        int code = errno;
        if (os_is_dir(path)) return WEIR_OK;
        if (code == EEXIST)
            return error_set(err, WEIR_E_EXISTS, 0,
                             "cannot make folder %s: a file of that name exists", path);
        return failed(err, "make folder", path, code);
    }
    weir_str parent = os_dirname(str_of(path));
    char *copy = mem_alloc(parent.len + 1);
    if (copy == NULL) return error_set(err, WEIR_E_NOMEM, 0, "no memory to make folder %s", path);
    memcpy(copy, parent.ptr, parent.len);
    copy[parent.len] = '\0';
    weir_status status = sync_dir(NULL, copy, err);
    mem_free(copy);
    return status;
}

static weir_status make_dirs(void *self, const char *path, weir_error *err) {
    (void)self;
    if (os_is_dir(path)) return WEIR_OK;
    size_t len = strlen(path);
    char *copy = mem_alloc(len + 1);
    if (copy == NULL) return error_set(err, WEIR_E_NOMEM, 0, "no memory to make folder %s", path);
    memcpy(copy, path, len + 1);
    weir_status status = WEIR_OK;
    for (size_t i = 1; i <= len && status == WEIR_OK; i++) {
        if ((copy[i] != '/' && copy[i] != '\0') || copy[i - 1] == '/') continue;
        char kept = copy[i];
        copy[i] = '\0';
        /* Those that exist are not touched: the upper ones may not even be writable. */
        if (!os_is_dir(copy)) status = make_dir(copy, err);
        copy[i] = kept;
    }
    mem_free(copy);
    return status;
}

static weir_status create(void *self, const char *path, weir_str bytes, weir_error *err) {
    (void)self;
    int fd = open_again(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
    if (fd < 0) return failed(err, "create", path, errno);
    uint64_t done = 0;
    int code = 0;
    while (done < bytes.len && code == 0) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0)
            code = ENOSPC;
        else if (errno != EINTR)
            code = errno;
    }
    int closed = close_checked(fd);
    if (code == 0) code = closed;
    if (code == 0) return WEIR_OK;
    (void)unlink(path); /* it gives back the space that it took */
    return failed(err, "write", path, code);
}

static weir_status rename_file(void *self, const char *from, const char *to, weir_error *err) {
    (void)self;
    return rename(from, to) == 0 ? WEIR_OK : failed(err, "rename a file to", to, errno);
}

static weir_status remove_file(void *self, const char *path, weir_error *err) {
    (void)self;
    if (unlink(path) == 0 || errno == ENOENT) return WEIR_OK;
    return failed(err, "remove", path, errno);
}

static weir_status read_file(void *self, const char *path, size_t max, buf *out, weir_error *err) {
    (void)self;
    return os_read_file(path, max, out, err);
}

static weir_status list(void *self, const char *path, void (*each)(void *opaque, const char *name),
                        void *opaque, weir_error *err) {
    (void)self;
    DIR *dir = opendir(path);
    if (dir == NULL) return failed(err, "list", path, errno);
    int code = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            code = errno;
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) each(opaque, name);
    }
    (void)closedir(dir);
    return code == 0 ? WEIR_OK : failed(err, "list", path, code);
}

/* Who holds a lock, as its file says: "process 4711". */
static void holder(int fd, char *out, size_t size) {
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    weir_str word = str_make(text, n > 0 ? (size_t)n : 0);
    while (word.len > 0 && word.ptr[word.len - 1] == '\n') word.len--;
    int64_t pid;
    if (str_to_i64(word, &pid) && pid > 0)
        (void)snprintf(out, size, "process %lld", (long long)pid);
    else
        (void)snprintf(out, size, "another process");
}

/* A lock of the open file description: it ends with the last descriptor of it, and since that one
 * is closed at exec, with the process, however it dies. The file stays: removing it would let two
 * processes lock two files of one name. */
static weir_status take_lock(void *self, const char *path, int *handle, weir_error *err) {
    (void)self;
    int fd = open_again(path, O_RDWR | O_CREAT | O_NOFOLLOW, FILE_MODE);
    if (fd < 0) return failed(err, "open", path, errno);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int code;
    do {
        code = fcntl(fd, F_OFD_SETLK, &whole) != 0 ? errno : 0;
    } while (code == EINTR);
    if (code == EAGAIN || code == EACCES) {
        char who[48];
        holder(fd, who, sizeof who);
        (void)close(fd);
        return error_set(err, WEIR_E_EXISTS, 0, "%s is locked by %s", path, who);
    }
    if (code != 0) {
        (void)close(fd);
        return failed(err, "lock", path, code);
    }
    /* The text is for people only: without it (a full disk) the lock is as good. */
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && len > 0) {
        ssize_t written = pwrite(fd, text, (size_t)len, 0);
        (void)written;
    }
    *handle = fd;
    return WEIR_OK;
}

static void unlock(void *self, int handle) {
    (void)self;
    (void)close(handle);
}

const disk disk_system = {
    .make_dirs = make_dirs,
    .create = create,
    .sync_file = sync_file,
    .sync_dir = sync_dir,
    .rename = rename_file,
    .remove = remove_file,
    .read = read_file,
    .list = list,
    .lock = take_lock,
    .unlock = unlock,
};
