#define _GNU_SOURCE /* memrchr, renameat2 */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/framing.h"

/* Names tried before giving up: others may take numbers at the same time. */
#define TRIES_MAX 1000u
#define SCAN_BYTES 65536u

/* A path taken apart: folder, stem and extension of its names. */
typedef struct naming {
    char dir[PATH_MAX];
    char stem[NAME_MAX + 1];
    char ext[NAME_MAX + 1];
    bool generated;
} naming;

static weir_status take_apart(const target_rules *rules, target *t, naming *out, weir_error *error);
static weir_status scan_folder(const target_rules *rules, target *t, const naming *n,
                               weir_error *error);
static weir_status start_file(const target_rules *rules, target *t, weir_error *error);
static weir_status reopen(const target_rules *rules, target *t, weir_error *error);
static void forget_file(const target_rules *rules, target *t);

static weir_status fail_errno(const target_rules *rules, weir_error *error, const char *what,
                              const char *path, int code) {
    char text[128];
    struct stat st;
    uint32_t flags;
    weir_status status = std_errno_status(code, &flags);
    if (status == WEIR_E_PERMISSION || status == WEIR_E_NOT_FOUND) flags |= WEIR_ERR_CONFIG;
    /* A FIFO: its reader may yet come, or come back. */
    if ((code == EPIPE || code == ENXIO) && stat(path, &st) == 0 && S_ISFIFO(st.st_mode)) {
        flags = WEIR_ERR_RETRYABLE;
    }
    weir_fail(rules->ctx, error, status, flags, "cannot %s '%s': %s", what, path,
              std_strerror(code, text, sizeof text));
    if (code == ENOSPC || code == EDQUOT) {
        weir_fail_hint(rules->ctx, error,
                       "free space on the file system of '%s'; weir tries again as retry says",
                       path);
    } else if (code == EFBIG) {
        weir_fail_hint(rules->ctx, error, "set roll.size below the largest file allowed");
    }
    return status;
}

/* Is the folder in front of the first placeholder one, or still to be made? If it is not, no record
 * could have made a better path. */
static bool literal_folder_usable(const target_rules *rules, const target *t) {
    size_t end = t->path_len - t->key_len + rules->literal;
    char dir[PATH_MAX];
    struct stat st;
    while (end > 0 && t->path[end - 1] != '/') end--;
    if (end == 0) return true; /* the working folder */
    if (end >= sizeof dir) return false;
    memcpy(dir, t->path, end);
    dir[end] = '\0';
    /* The slash at its end makes a file fail with ENOTDIR. */
    return stat(dir, &st) == 0 || errno == ENOENT;
}

/* A failure to make the file that a path names, before anything was written to it: a path that no
 * file can have costs the records that made it, and nobody else. */
static weir_status fail_path(const target_rules *rules, target *t, weir_error *error,
                             const char *what, const char *path, int code) {
    const char *fault = rules->of_records ? std_path_fault(code) : NULL;
    char text[128];
    if (fault == NULL || !literal_folder_usable(rules, t)) {
        return fail_errno(rules, error, what, path, code);
    }
    t->fault = fault;
    return weir_fail(rules->ctx, error, WEIR_E_DATA, WEIR_ERR_PER_RECORD, "cannot %s '%s': %s",
                     what, path, std_strerror(code, text, sizeof text));
}

target *target_new(const target_rules *rules, weir_str key, uint64_t hash) {
    target *t = weir_zalloc(rules->ctx, sizeof *t);
    if (t == NULL) return NULL;
    t->fd = -1;
    t->hash = hash;
    t->key = weir_str_dup(rules->ctx, key);
    t->path = std_path_join(rules->ctx, key);
    if (t->key == NULL || t->path == NULL) {
        target_free(rules, t);
        return NULL;
    }
    t->key_len = (size_t)key.len;
    t->path_len = strlen(t->path);
    return t;
}

void target_free(const target_rules *rules, target *t) {
    if (t == NULL) return;
    target_close(t);
    forget_file(rules, t);
    weir_free(rules->ctx, t->key);
    weir_free(rules->ctx, t->path);
    weir_free(rules->ctx, t);
}

void target_close(target *t) {
    if (t->fd >= 0) close(t->fd);
    t->fd = -1;
}

weir_status target_ready(const target_rules *rules, target *t, weir_error *error) {
    if (t->fd >= 0) return WEIR_OK;
    if (t->hidden != NULL) {
        weir_status status = reopen(rules, t, error);
        if (status != WEIR_AGAIN) return status;
    }
    return start_file(rules, t, error);
}

weir_status target_write(const target_rules *rules, target *t, struct iovec *iov, uint32_t count,
                         uint64_t bytes, int64_t deadline_ns, weir_error *error) {
    uint64_t written = 0;
    int code = 0;
    while (written < bytes) {
        ssize_t n = t->direct ? writev(t->fd, iov, (int)count)
                              : pwritev(t->fd, iov, (int)count, (off_t)(t->size + written));
        if (n > 0) {
            written += (uint64_t)n;
            iov = weir_iov_advance(iov, &count, (uint64_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && t->direct) { /* a FIFO whose reader is slow */
            int64_t wait_ms = (deadline_ns - weir_mono_ns(rules->ctx)) / 1000000;
            struct pollfd p = {.fd = t->fd, .events = POLLOUT};
            if (wait_ms > 0 && poll(&p, 1, wait_ms > 60000 ? 60000 : (int)wait_ms) >= 0) continue;
        }
        code = n < 0 ? errno : EIO;
        break;
    }
    if (code == 0) {
        t->size += bytes;
        t->dirty = true;
        return WEIR_OK;
    }
    if (written > 0 && (t->direct || ftruncate(t->fd, (off_t)t->size) != 0)) {
        /* The torn record stays where it is; nothing may be written behind it. */
        weir_log(rules->ctx, WEIR_LOG_ERROR, "'%s' ends in a torn record", t->path);
        target_close(t);
        forget_file(rules, t);
    }
    return fail_errno(rules, error, "write to", t->hidden != NULL ? t->hidden : t->path, code);
}

static weir_status sync_folder(const target_rules *rules, const char *file, weir_error *error) {
    const char *slash = strrchr(file, '/');
    char dir[PATH_MAX];
    size_t len = slash != NULL ? (size_t)(slash - file) : 1;
    int fd;
    int code = 0;
    if (len >= sizeof dir) return WEIR_E_TOO_LARGE;
    memcpy(dir, slash != NULL ? file : ".", len);
    if (len == 0) dir[len++] = '/';
    dir[len] = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder; then its entries are as durable as they get. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)) code = errno;
    if (fd >= 0) close(fd);
    return code == 0 ? WEIR_OK : fail_errno(rules, error, "sync the folder", dir, code);
}

weir_status target_sync(const target_rules *rules, target *t, weir_error *error) {
    weir_status status = WEIR_OK;
    bool was_closed = t->fd < 0;
    if (t->direct || t->hidden == NULL) return WEIR_OK;
    if (t->dirty) {
        if (was_closed) status = reopen(rules, t, error);
        if (status == WEIR_AGAIN) return WEIR_OK; /* completed, and synced, by somebody else */
        if (status != WEIR_OK) return status;
        if (fdatasync(t->fd) != 0) {
            status = fail_errno(rules, error, "sync", t->hidden, errno);
            /* The kernel has dropped the pages it could not write: what is in the file is not
             * known any more, and a second fsync would claim success. */
            target_close(t);
            forget_file(rules, t);
            return status;
        }
        if (was_closed) target_close(t);
        t->dirty = false;
    }
    if (t->fresh) {
        status = sync_folder(rules, t->hidden, error);
        if (status == WEIR_OK) t->fresh = false;
    }
    return status;
}

/* rename that does not replace, also where the file system lacks RENAME_NOREPLACE. */
static int rename_new(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (link(from, to) == 0) return unlink(from);
    if (errno != EPERM && errno != ENOTSUP) return -1;
    if (access(to, F_OK) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

static char *make_name(const target_rules *rules, const naming *n, bool hidden, uint64_t number) {
    char task[16] = "";
    char digits[24] = "";
    char stamp[sizeof rules->stamp + 1] = "";
    size_t size = strlen(n->dir) + strlen(n->stem) + strlen(n->ext) + 80;
    char *out = weir_alloc(rules->ctx, size);
    if (out == NULL) return NULL;
    if (n->generated) snprintf(stamp, sizeof stamp, "-%s", rules->stamp);
    if (rules->parallelism > 1) {
        int width = snprintf(NULL, 0, "%u", rules->parallelism - 1);
        snprintf(task, sizeof task, "-t%0*u", width, rules->instance);
    }
    if (number > 0) snprintf(digits, sizeof digits, "-%06llu", (unsigned long long)number);
    snprintf(out, size, "%s/%s%s%s%s%s%s", n->dir, hidden ? "." : "", n->stem, stamp, task, digits,
             n->ext);
    return out;
}

weir_status target_complete(const target_rules *rules, target *t, weir_error *error) {
    weir_status status;
    if (t->hidden == NULL || t->direct) {
        target_close(t);
        return WEIR_OK;
    }
    if (t->size == 0) { /* its first write failed: nobody wants an empty file */
        unlink(t->hidden);
        target_close(t);
        forget_file(rules, t);
        return WEIR_OK;
    }
    status = target_sync(rules, t, error);
    if (status != WEIR_OK || t->hidden == NULL) return status;
    for (uint32_t i = 0; rename_new(t->hidden, t->final) != 0; i++) {
        int code = errno;
        naming n;
        char *other = NULL;
        if (code == ENOENT) break; /* another run found it unlocked and completed it */
        if (code == EEXIST && i < TRIES_MAX && take_apart(rules, t, &n, NULL) == WEIR_OK) {
            other = make_name(rules, &n, false, t->next_number++);
        }
        if (other == NULL) return fail_errno(rules, error, "complete", t->final, code);
        weir_free(rules->ctx, t->final);
        t->final = other;
    }
    status = sync_folder(rules, t->final, error);
    weir_log(rules->ctx, WEIR_LOG_DEBUG, "completed '%s' with %llu bytes", t->final,
             (unsigned long long)t->size);
    target_close(t);
    forget_file(rules, t);
    return status;
}

static void forget_file(const target_rules *rules, target *t) {
    weir_free(rules->ctx, t->hidden);
    weir_free(rules->ctx, t->final);
    t->hidden = NULL;
    t->final = NULL;
    t->size = 0;
    t->dirty = false;
}

/* ---- names ---- */

/* Where the extension begins: "a.jsonl" -> ".jsonl", "a.txt.gz" -> ".txt.gz", "a" -> "". */
static size_t extension(const char *name, size_t len) {
    static const char *const packed[] = {".gz", ".zst", ".sz", ".snappy", ".zz"};
    size_t at = len;
    for (size_t i = len; i > 1 && at == len; i--) {
        if (name[i - 1] == '.') at = i - 1;
    }
    if (at == len) return len;
    for (size_t k = 0; k < sizeof packed / sizeof packed[0]; k++) {
        if (strlen(packed[k]) != len - at || memcmp(name + at, packed[k], len - at) != 0) continue;
        for (size_t i = at; i > 1; i--) {
            if (name[i - 1] == '.') return i - 1;
        }
    }
    return at;
}

static weir_status take_apart(const target_rules *rules, target *t, naming *out,
                              weir_error *error) {
    const char *slash = memrchr(t->path, '/', t->path_len);
    size_t dir_len = slash != NULL ? (size_t)(slash - t->path) : 1;
    const char *name = slash != NULL ? slash + 1 : t->path;
    size_t name_len = (size_t)(t->path + t->path_len - name);
    const char *dir = slash == NULL ? "." : t->path;
    out->generated = name_len == 0;
    if (out->generated) {
        name = "part";
        name_len = 4;
    }
    /* 48 bytes are for the dot, the stamp, the task, the number. */
    if (dir_len + name_len + 64 >= sizeof out->dir ||
        name_len + rules->suffix.len + 48 > sizeof out->stem) {
        return fail_path(rules, t, error, "write to", t->path, ENAMETOOLONG);
    }
    memcpy(out->dir, dir, dir_len);
    out->dir[dir_len] = '\0'; /* empty for the root folder: "/name" follows */
    if (out->generated) {
        memcpy(out->stem, name, name_len + 1);
        if (rules->suffix.len > 0) memcpy(out->ext, rules->suffix.ptr, (size_t)rules->suffix.len);
        out->ext[rules->suffix.len] = '\0';
    } else {
        size_t stem_len = extension(name, name_len);
        memcpy(out->stem, name, stem_len);
        out->stem[stem_len] = '\0';
        memcpy(out->ext, name + stem_len, name_len - stem_len);
        out->ext[name_len - stem_len] = '\0';
    }
    return WEIR_OK;
}

/* Does a folder entry belong to this naming? Its number (0 = none) comes back. */
static bool entry_matches(const naming *n, const char *name, uint64_t *number) {
    size_t len = strlen(name);
    size_t stem = strlen(n->stem);
    size_t ext = strlen(n->ext);
    uint64_t scale = 1;
    uint64_t v = 0;
    size_t at;
    if (len < stem + ext || memcmp(name, n->stem, stem) != 0) return false;
    if (memcmp(name + len - ext, n->ext, ext) != 0) return false;
    for (size_t i = stem; i < len - ext; i++) {
        if (i == stem && name[i] != '-') return false;
        if (strchr("-0123456789tTZ", name[i]) == NULL) return false;
    }
    for (at = len - ext; at > stem && name[at - 1] >= '0' && name[at - 1] <= '9'; at--) {
        if (scale > UINT64_C(1000000000000000)) return false;
        v += scale * (uint64_t)(name[at - 1] - '0');
        scale *= 10;
    }
    *number = at > stem && name[at - 1] == '-' ? v : 0;
    return true;
}

/* ---- what a dead run left ---- */

/* The last record boundary of a file of `size` bytes. */
static uint64_t last_boundary(int fd, uint32_t framing, uint64_t size) {
    if (framing == WEIR_FRAMING_LINES) {
        char *buffer = malloc(SCAN_BYTES);
        uint64_t at = size;
        uint64_t found = 0;
        while (buffer != NULL && at > 0 && found == 0) {
            uint64_t n = at < SCAN_BYTES ? at : SCAN_BYTES;
            const char *newline;
            if (pread(fd, buffer, (size_t)n, (off_t)(at - n)) != (ssize_t)n) break;
            newline = memrchr(buffer, '\n', (size_t)n);
            if (newline != NULL) found = at - n + (uint64_t)(newline - buffer) + 1;
            at -= n;
        }
        if (buffer == NULL) found = size;
        free(buffer);
        return found;
    }
    if (framing == WEIR_FRAMING_LENGTH) {
        uint64_t at = 0;
        unsigned char head[WEIR_FRAME_LENGTH_BYTES];
        while (pread(fd, head, sizeof head, (off_t)at) == (ssize_t)sizeof head) {
            uint64_t len = (uint64_t)head[0] << 24 | (uint64_t)head[1] << 16 |
                           (uint64_t)head[2] << 8 | head[3];
            if (at + sizeof head + len > size) break;
            at += sizeof head + len;
        }
        return at;
    }
    return size;
}

/* Completes a hidden file that no living run holds. Failures leave it as it is. */
static void adopt(const target_rules *rules, const naming *n, const char *name) {
    char from[PATH_MAX + NAME_MAX + 2];
    char to[PATH_MAX + NAME_MAX + 2];
    struct stat st;
    int fd;
    snprintf(from, sizeof from, "%s/%s", n->dir, name);
    snprintf(to, sizeof to, "%s/%s", n->dir, name + 1);
    fd = open(from, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        uint64_t size = (uint64_t)st.st_size;
        uint64_t good = last_boundary(fd, rules->framing, size);
        if (good == 0) {
            unlink(from);
        } else if ((good == size || ftruncate(fd, (off_t)good) == 0) && fsync(fd) == 0) {
            /* If its name was taken meanwhile, any free number will do: it is complete either way.
             */
            uint64_t number = 0;
            naming plain = *n;
            int result = rename_new(from, to);
            for (uint32_t i = 0; result != 0 && errno == EEXIST && i < TRIES_MAX; i++) {
                char *other = make_name(rules, &plain, false, ++number);
                if (other == NULL) break;
                result = rename_new(from, other);
                weir_free(rules->ctx, other);
            }
            if (result == 0) {
                weir_log(rules->ctx, WEIR_LOG_WARN,
                         "completed '%s', which an earlier run had left unfinished", to);
            }
        }
    }
    close(fd);
}

/* Finds the numbers that are taken, and what dead runs left under these names. */
static weir_status scan_folder(const target_rules *rules, target *t, const naming *n,
                               weir_error *error) {
    DIR *dir = opendir(n->dir[0] != '\0' ? n->dir : "/");
    const struct dirent *entry;
    uint64_t most = 0;
    if (dir == NULL) {
        if (errno != ENOENT) return fail_path(rules, t, error, "list the folder", n->dir, errno);
        t->next_number = 1;
        t->scanned = true;
        return WEIR_OK;
    }
    while ((entry = readdir(dir)) != NULL) {
        bool hidden = entry->d_name[0] == '.';
        uint64_t number;
        if (!entry_matches(n, entry->d_name + hidden, &number)) continue;
        if (number > most) most = number;
        if (hidden) adopt(rules, n, entry->d_name);
    }
    closedir(dir);
    t->next_number = most + 1;
    t->scanned = true;
    return WEIR_OK;
}

/* ---- opening ---- */

static weir_status make_folders(const target_rules *rules, target *t, const char *dir,
                                weir_error *error) {
    char path[PATH_MAX];
    size_t len = strlen(dir);
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return fail_path(rules, t, error, "make the folder", path, errno);
        }
        path[i] = dir[i];
    }
    return WEIR_OK;
}

/* A device or a FIFO is written to in place. 1 = it is one and open, 0 = it is not. */
static int open_direct(const target_rules *rules, target *t, weir_status *status,
                       weir_error *error) {
    struct stat st;
    *status = WEIR_OK;
    if (t->path[t->path_len - 1] == '/' || stat(t->path, &st) != 0 || S_ISREG(st.st_mode)) return 0;
    if (S_ISDIR(st.st_mode) && rules->of_records) {
        *status = fail_path(rules, t, error, "write to", t->path, EISDIR);
        return 0;
    }
    if (S_ISDIR(st.st_mode)) {
        *status = weir_fail(rules->ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                            "expected a file, found the folder '%s'", t->path);
        weir_fail_hint(rules->ctx, error, "end the path with / to have file names generated");
        return 0;
    }
    t->fd = open(t->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (t->fd < 0) {
        *status = fail_errno(rules, error, "open", t->path, errno);
        return 0;
    }
    t->direct = true;
    return 1;
}

/* Creates and locks the hidden file; -1 with errno EEXIST if the name is taken. */
static int create_locked(const char *hidden) {
    struct stat by_fd;
    struct stat by_name;
    int fd = open(hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return -1;
    /* Between creating and locking, a scan may have taken it for a dead run's. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &by_fd) == 0 &&
        lstat(hidden, &by_name) == 0 && by_fd.st_ino == by_name.st_ino) {
        return fd;
    }
    close(fd);
    errno = EEXIST;
    return -1;
}

static weir_status start_file(const target_rules *rules, target *t, weir_error *error) {
    naming n;
    weir_status status = take_apart(rules, t, &n, error);
    bool numbered;
    if (status != WEIR_OK) return status;
    if (open_direct(rules, t, &status, error)) return WEIR_OK;
    if (status == WEIR_OK && !t->scanned) status = scan_folder(rules, t, &n, error);
    if (status != WEIR_OK) return status;
    numbered = rules->numbered || n.generated;
    for (uint32_t i = 0; i < TRIES_MAX; i++) {
        uint64_t number = numbered ? t->next_number++ : 0;
        char *hidden = make_name(rules, &n, true, number);
        char *final = make_name(rules, &n, false, number);
        int code;
        if (hidden == NULL || final == NULL) {
            weir_free(rules->ctx, hidden);
            weir_free(rules->ctx, final);
            return weir_fail(rules->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                             "no memory for a file name");
        }
        if (access(final, F_OK) == 0) {
            code = EEXIST;
        } else {
            t->fd = create_locked(hidden);
            code = t->fd < 0 ? errno : 0;
        }
        if (code == 0) {
            t->hidden = hidden;
            t->final = final;
            t->size = 0;
            t->dirty = false;
            t->fresh = true;
            t->first_ns = t->last_ns = weir_mono_ns(rules->ctx);
            return WEIR_OK;
        }
        if (code != EEXIST && code != ENOENT) {
            status = fail_path(rules, t, error, "create", hidden, code);
        }
        weir_free(rules->ctx, hidden);
        weir_free(rules->ctx, final);
        if (code == EEXIST) {
            numbered = true; /* an earlier run's file has the plain name */
        } else if (code == ENOENT) {
            status = make_folders(rules, t, n.dir, error);
            if (numbered) t->next_number--;
        }
        if (status != WEIR_OK) return status;
    }
    return weir_fail(rules->ctx, error, WEIR_E_EXISTS, 0, "found no free name for '%s'", t->path);
}

/* After the descriptor was given back. WEIR_AGAIN: the file is no longer ours and is forgotten. */
static weir_status reopen(const target_rules *rules, target *t, weir_error *error) {
    struct stat st;
    int fd = open(t->hidden, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT) return fail_errno(rules, error, "open", t->hidden, errno);
    if (fd >= 0) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
            (uint64_t)st.st_size == t->size) {
            t->fd = fd;
            return WEIR_OK;
        }
        close(fd);
    }
    forget_file(rules, t);
    return WEIR_AGAIN;
}
