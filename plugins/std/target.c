#define _GNU_SOURCE /* memrchr */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/framing.h"

/* Names tried before giving up: others may take numbers at the same time. */
#define TRIES_MAX 1000u

/* The file name of a path taken apart: what stands before and behind the number. */
typedef struct naming {
    char stem[NAME_MAX + 1];
    char ext[NAME_MAX + 1];
    bool generated;
} naming;

static weir_status take_apart(const target_rules *rules, target *t, naming *out, weir_error *error);
static weir_status scan_folder(const target_rules *rules, target *t, const naming *n,
                               weir_error *error);
static weir_status start_file(target_rules *rules, target *t, weir_error *error);
static weir_status reopen(target_rules *rules, target *t, weir_error *error);
static void forget_file(const target_rules *rules, target *t);
static char *join(const target_rules *rules, const char *prefix, const char *name);

weir_status target_fail(const target_rules *rules, weir_error *error, const char *what,
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

/* The kernel has dropped the pages it could not write: a second fsync would claim success. */
weir_status target_fail_sync(target_rules *rules, weir_error *error, const char *path, int code) {
    char text[128];
    rules->broken = WEIR_E_INVALID_STATE; /* no status that a host would try again */
    weir_fail(rules->ctx, error, rules->broken, 0, "cannot sync '%s': %s", path,
              std_strerror(code, text, sizeof text));
    weir_fail_hint(rules->ctx, error,
                   "what was written since the last checkpoint may be gone: only a restart from it "
                   "makes that good");
    return rules->broken;
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
        return target_fail(rules, error, what, path, code);
    }
    t->fault = fault;
    return weir_fail(rules->ctx, error, WEIR_E_DATA, WEIR_ERR_PER_RECORD, "cannot %s '%s': %s",
                     what, path, std_strerror(code, text, sizeof text));
}

target *target_new(const target_rules *rules, weir_str key, uint64_t hash) {
    const char *slash = memrchr(key.ptr, '/', (size_t)key.len);
    target *t = weir_zalloc(rules->ctx, sizeof *t);
    if (t == NULL) return NULL;
    t->fd = -1;
    t->hash = hash;
    t->key = weir_str_dup(rules->ctx, key);
    t->path = std_path_join(rules->ctx, key);
    t->key_len = (size_t)key.len;
    t->dir_len = slash != NULL ? (size_t)(slash - key.ptr) + 1 : 0;
    t->prefix = std_path_join(rules->ctx, (weir_str){key.ptr, t->dir_len});
    if (t->key == NULL || t->path == NULL || t->prefix == NULL) {
        target_free(rules, t);
        return NULL;
    }
    t->path_len = strlen(t->path);
    return t;
}

void target_free(const target_rules *rules, target *t) {
    if (t == NULL) return;
    target_close(t);
    forget_file(rules, t);
    weir_free(rules->ctx, t->key);
    weir_free(rules->ctx, t->path);
    weir_free(rules->ctx, t->prefix);
    weir_free(rules->ctx, t);
}

void target_close(target *t) {
    if (t->fd >= 0) close(t->fd);
    t->fd = -1;
}

static void forget_file(const target_rules *rules, target *t) {
    weir_free(rules->ctx, t->pending);
    t->pending = NULL;
    t->size = 0;
    t->records = 0;
    t->dirty = false;
}

static weir_status no_memory(const target_rules *rules, weir_error *error) {
    return weir_fail(rules->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                     "no memory for a file name");
}

weir_status target_ready(target_rules *rules, target *t, weir_error *error) {
    if (t->fd >= 0) return WEIR_OK;
    return t->pending != NULL ? reopen(rules, t, error) : start_file(rules, t, error);
}

weir_status target_write(target_rules *rules, target *t, struct iovec *iov, uint32_t count,
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
    if (written > 0 && t->direct) {
        weir_log(rules->ctx, WEIR_LOG_ERROR, "'%s' got a torn record", t->path);
        target_close(t);
    } else if (written > 0 && ftruncate(t->fd, (off_t)t->size) != 0) {
        /* Nothing counts but its first `size` bytes: the next write begins there, and whoever
         * completes the file cuts off what is behind them. */
        weir_log(rules->ctx, WEIR_LOG_WARN, "'%s' could not be cut back yet", t->path);
    }
    return target_fail(rules, error, "write to", t->path, code);
}

weir_status target_sync(target_rules *rules, target *t, weir_error *error) {
    weir_status status = WEIR_OK;
    bool was_closed = t->fd < 0;
    int code;
    if (t->direct || t->pending == NULL || !t->dirty) return WEIR_OK;
    if (was_closed) status = reopen(rules, t, error);
    if (status != WEIR_OK) return status;
    code = pending_sync(&rules->fs, t->fd);
    if (code != 0) {
        target_close(t);
        return target_fail_sync(rules, error, t->path, code);
    }
    code = pending_tail(&rules->fs, t->fd, t->size, &t->tail);
    if (was_closed) target_close(t);
    if (code != 0) return target_fail(rules, error, "read", t->path, code);
    t->dirty = false;
    return WEIR_OK;
}

/* ---- sealing ---- */

static char *make_name(const target_rules *rules, const naming *n, uint64_t number) {
    char task[16] = "";
    char digits[24] = "";
    char stamp[sizeof rules->stamp + 1] = "";
    size_t size = strlen(n->stem) + strlen(n->ext) + 80;
    char *out = weir_alloc(rules->ctx, size);
    if (out == NULL) return NULL;
    if (n->generated) snprintf(stamp, sizeof stamp, "-%s", rules->stamp);
    if (rules->parallelism > 1) {
        int width = snprintf(NULL, 0, "%u", rules->parallelism - 1);
        snprintf(task, sizeof task, "-t%0*u", width, rules->id.task);
    }
    if (number > 0) snprintf(digits, sizeof digits, "-%06llu", (unsigned long long)number);
    snprintf(out, size, "%s%s%s%s%s", n->stem, stamp, task, digits, n->ext);
    return out;
}

static char *join(const target_rules *rules, const char *prefix, const char *name) {
    size_t size = strlen(prefix) + strlen(name) + 1;
    char *out = weir_alloc(rules->ctx, size);
    if (out != NULL) snprintf(out, size, "%s%s", prefix, name);
    return out;
}

static uint64_t hash_name(const char *prefix, const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *prefix != '\0'; prefix++)
        hash = (hash ^ (unsigned char)*prefix) * UINT64_C(0x100000001b3);
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

/* Is the name another file's, there already or waiting for it? */
static bool is_taken(const target_rules *rules, const char *path, const char *prefix,
                     const char *name, uint64_t hash) {
    struct stat st;
    for (const sealed *s = rules->waiting; s != NULL; s = s->next) {
        if (s->final_hash == hash && strcmp(s->final, name) == 0 &&
            strcmp(s->prefix, prefix) == 0) {
            return true;
        }
    }
    return lstat(path, &st) == 0;
}

/* The first free final name of a target. */
static weir_status choose_final(const target_rules *rules, target *t, char **out, uint64_t *hash,
                                weir_error *error) {
    naming n;
    weir_status status = take_apart(rules, t, &n, error);
    bool numbered = rules->numbered || n.generated;
    if (status == WEIR_OK && !t->scanned) status = scan_folder(rules, t, &n, error);
    for (uint32_t i = 0; status == WEIR_OK && i < TRIES_MAX; i++) {
        char *name = make_name(rules, &n, numbered ? t->next_number : 0);
        char *path = name != NULL ? join(rules, t->prefix, name) : NULL;
        bool taken = true;
        if (path != NULL) {
            *hash = hash_name(t->prefix, name);
            taken = is_taken(rules, path, t->prefix, name, *hash);
            if (taken || numbered) t->next_number += numbered;
        }
        weir_free(rules->ctx, path);
        if (path == NULL || taken) {
            weir_free(rules->ctx, name);
            if (path == NULL) return no_memory(rules, error);
            numbered = true; /* the plain name is an earlier file's */
            continue;
        }
        *out = name;
        return WEIR_OK;
    }
    if (status != WEIR_OK) return status;
    return weir_fail(rules->ctx, error, WEIR_E_EXISTS, 0, "found no free name for '%s'", t->path);
}

static void free_sealed(const target_rules *rules, sealed *s) {
    if (s->fd >= 0) close(s->fd);
    weir_free(rules->ctx, s->key);
    weir_free(rules->ctx, s->prefix);
    weir_free(rules->ctx, s->name);
    weir_free(rules->ctx, s->final);
    weir_free(rules->ctx, s);
}

static void remove_empty(const target_rules *rules, target *t) {
    char *path = join(rules, t->prefix, t->pending);
    if (path != NULL) unlink(path);
    weir_free(rules->ctx, path);
    target_close(t);
    forget_file(rules, t);
}

weir_status target_seal(target_rules *rules, target *t, weir_error *error) {
    weir_status status;
    sealed *s;
    if (t->pending == NULL || t->direct) {
        target_close(t);
        return WEIR_OK;
    }
    if (t->size == 0) { /* its first write failed: nobody wants an empty file */
        remove_empty(rules, t);
        return WEIR_OK;
    }
    s = weir_zalloc(rules->ctx, sizeof *s);
    if (s == NULL) return no_memory(rules, error);
    s->fd = -1;
    s->key = weir_str_dup(rules->ctx, (weir_str){t->key, t->key_len});
    s->prefix = weir_str_dup(rules->ctx, weir_str_of(t->prefix));
    status = s->key != NULL && s->prefix != NULL
                 ? choose_final(rules, t, &s->final, &s->final_hash, error)
                 : no_memory(rules, error);
    if (status != WEIR_OK) {
        free_sealed(rules, s);
        return status;
    }
    s->dir_len = t->dir_len;
    s->name = t->pending;
    s->length = t->size;
    s->inode = t->inode;
    s->tail = t->tail;
    s->records = t->records;
    s->first_us = t->first_us;
    s->fd = t->fd;
    s->dirty = t->dirty;
    if (rules->waiting_end == NULL) rules->waiting_end = &rules->waiting;
    *rules->waiting_end = s;
    rules->waiting_end = &s->next;
    t->pending = NULL;
    t->fd = -1;
    forget_file(rules, t);
    return WEIR_OK;
}

weir_status sealed_sync(target_rules *rules, sealed *s, weir_error *error) {
    char *path;
    int code = 0;
    bool synced = true;
    weir_status status = WEIR_OK;
    if (!s->dirty && s->fd < 0) return WEIR_OK;
    path = join(rules, s->prefix, s->name);
    if (path == NULL) return no_memory(rules, error);
    if (s->dirty) {
        if (s->fd < 0) code = rules->fs.open(rules->fs.self, path, &s->fd);
        if (code == 0 && (code = pending_sync(&rules->fs, s->fd)) != 0) synced = false;
        if (code == 0) code = pending_tail(&rules->fs, s->fd, s->length, &s->tail);
        if (code == 0) s->dirty = false;
    }
    if (code == 0 || !synced) {
        if (s->fd >= 0) close(s->fd);
        s->fd = -1;
    }
    if (!synced) {
        status = target_fail_sync(rules, error, path, code);
    } else if (code != 0) {
        status = target_fail(rules, error, "open", path, code);
    }
    weir_free(rules->ctx, path);
    return status;
}

void sealed_drop(target_rules *rules, sealed *s) {
    sealed **at = &rules->waiting;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    if (rules->waiting_end == &s->next) rules->waiting_end = at;
    free_sealed(rules, s);
}

/* ---- what a checkpoint remembers ---- */

pending_file target_state(const target *t) {
    return (pending_file){.kind = PENDING_OPEN,
                          .text = {t->key, t->key_len},
                          .dir = {t->key, t->dir_len},
                          .name = {t->pending, strlen(t->pending)},
                          .length = t->size,
                          .inode = t->inode,
                          .tail = t->tail,
                          .records = t->records,
                          .first_us = t->first_us};
}

pending_file sealed_state(const sealed *s, pending_kind kind) {
    const char *text = kind == PENDING_OPEN ? s->key : s->final;
    return (pending_file){.kind = kind,
                          .text = {text, strlen(text)},
                          .dir = {s->key, s->dir_len},
                          .name = {s->name, strlen(s->name)},
                          .length = s->length,
                          .inode = s->inode,
                          .tail = s->tail,
                          .records = s->records,
                          .first_us = s->first_us};
}

weir_status target_resume(target_rules *rules, target *t, const pending_file *file) {
    int64_t age_ns = (weir_wall_us(rules->ctx) - file->first_us) * 1000;
    char *name = weir_str_dup(rules->ctx, file->name);
    if (name == NULL) return WEIR_E_NOMEM;
    t->pending = name;
    t->size = file->length;
    t->inode = file->inode;
    t->tail = file->tail;
    t->records = file->records;
    t->first_us = file->first_us;
    t->last_ns = t->first_ns = weir_mono_ns(rules->ctx);
    /* It is as old as it is; a clock that was set back makes it young. */
    if (age_ns > 0) t->first_ns -= age_ns;
    t->dirty = false;
    return WEIR_OK;
}

/* ---- names ---- */

static weir_status take_apart(const target_rules *rules, target *t, naming *out,
                              weir_error *error) {
    const char *name = t->key + t->dir_len;
    size_t name_len = t->key_len - t->dir_len;
    out->generated = name_len == 0;
    if (out->generated) {
        name = "part";
        name_len = 4;
    }
    /* 48 bytes are for the stamp, the task, the number. */
    if (strlen(t->prefix) + name_len + 64 >= PATH_MAX ||
        name_len + rules->suffix.len + 48 > sizeof out->stem) {
        return fail_path(rules, t, error, "write to", t->path, ENAMETOOLONG);
    }
    if (out->generated) {
        memcpy(out->stem, name, name_len + 1);
        if (rules->suffix.len > 0) memcpy(out->ext, rules->suffix.ptr, (size_t)rules->suffix.len);
        out->ext[rules->suffix.len] = '\0';
    } else {
        size_t stem_len = pending_extension(name, name_len);
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

typedef struct scan {
    const naming *n;
    uint64_t most;
} scan;

static int scan_name(void *opaque, const char *name) {
    scan *s = opaque;
    uint64_t number;
    if (entry_matches(s->n, name, &number) && number > s->most) s->most = number;
    return 0;
}

/* Finds the numbers that are taken. */
static weir_status scan_folder(const target_rules *rules, target *t, const naming *n,
                               weir_error *error) {
    scan s = {.n = n};
    int code = rules->fs.list(rules->fs.self, t->prefix, scan_name, &s);
    if (code != 0 && code != ENOENT) {
        return fail_path(rules, t, error, "list the folder", t->prefix, code);
    }
    t->next_number = s.most + 1;
    t->scanned = true;
    return WEIR_OK;
}

/* ---- opening ---- */

static weir_status make_folders(target_rules *rules, target *t, weir_error *error) {
    char path[PATH_MAX];
    size_t len = strlen(t->prefix);
    if (len >= sizeof path) return fail_path(rules, t, error, "write to", t->path, ENAMETOOLONG);
    memcpy(path, t->prefix, len + 1);
    for (size_t i = 1, above = path[0] == '/'; i < len; i++) {
        int code;
        if (path[i] != '/') continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0) {
            if (errno != EEXIST) {
                return fail_path(rules, t, error, "make the folder", path, errno);
            }
            path[i] = '/';
        } else { /* its name has to last as long as the files in it */
            char kept = path[above];
            path[above] = '\0';
            code = rules->fs.sync_dir(rules->fs.self, path);
            path[above] = kept;
            path[i] = '/';
            if (pending_sync_broke(code)) return target_fail_sync(rules, error, t->prefix, code);
            if (code != 0 && code != EACCES && code != EPERM) {
                return target_fail(rules, error, "sync the folder above", t->prefix, code);
            }
        }
        above = i + 1;
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
        *status = target_fail(rules, error, "open", t->path, errno);
        return 0;
    }
    t->direct = true;
    return 1;
}

/* One attempt to create a pending file; an errno. */
static int create_pending(target_rules *rules, target *t, bool *sync_failed) {
    char name[PENDING_NAME_MAX];
    const char *target_name = t->key_len > t->dir_len ? t->key + t->dir_len : "part";
    pending_stat st;
    char *path;
    int code = folders_use(&rules->folders, (weir_str){t->key, t->dir_len}, sync_failed);
    if (code != 0) return code;
    pending_name(name, &rules->id, target_name, rules->counter, PENDING_SUFFIX);
    path = join(rules, t->prefix, name);
    t->pending = path != NULL ? weir_str_dup(rules->ctx, weir_str_of(name)) : NULL;
    code = t->pending != NULL ? rules->fs.create(rules->fs.self, path, &t->fd) : ENOMEM;
    if (code == 0 && (code = rules->fs.stat(rules->fs.self, path, &st)) != 0) {
        rules->fs.remove(rules->fs.self, path);
        target_close(t);
    }
    if (code == 0 || code == EEXIST) rules->counter++;
    if (code == 0) t->inode = st.inode;
    if (code != 0) forget_file(rules, t);
    weir_free(rules->ctx, path);
    return code;
}

static weir_status start_file(target_rules *rules, target *t, weir_error *error) {
    naming n;
    weir_status status = take_apart(rules, t, &n, error);
    if (status != WEIR_OK) return status;
    if (open_direct(rules, t, &status, error)) return WEIR_OK;
    if (status == WEIR_OK && !t->scanned) status = scan_folder(rules, t, &n, error);
    if (status != WEIR_OK) return status;
    for (uint32_t i = 0; i < TRIES_MAX; i++) {
        bool sync_failed = false;
        int code = create_pending(rules, t, &sync_failed);
        if (code == 0) {
            t->size = 0;
            t->records = 0;
            t->tail = 0;
            t->dirty = false;
            t->first_ns = t->last_ns = weir_mono_ns(rules->ctx);
            t->first_us = weir_wall_us(rules->ctx);
            return WEIR_OK;
        }
        if (sync_failed) return target_fail_sync(rules, error, t->prefix, code);
        if (code == ENOENT) {
            status = make_folders(rules, t, error);
        } else if (code != EEXIST) {
            status = fail_path(rules, t, error, "create", t->path, code);
        }
        if (status != WEIR_OK) return status;
    }
    return weir_fail(rules->ctx, error, WEIR_E_EXISTS, 0, "found no free name for '%s'", t->path);
}

/* After the descriptor was given back, or after a restart. Nobody else writes to a pending file. */
static weir_status reopen(target_rules *rules, target *t, weir_error *error) {
    char *path = join(rules, t->prefix, t->pending);
    int code = path != NULL ? rules->fs.open(rules->fs.self, path, &t->fd) : ENOMEM;
    weir_free(rules->ctx, path);
    if (code == 0) return WEIR_OK;
    t->fd = -1;
    if (code == ENOENT || code == ENOTDIR) {
        /* Accepted records were in it. The last checkpoint knows what to do about that. */
        rules->broken = WEIR_E_INVALID_STATE;
        return weir_fail(rules->ctx, error, rules->broken, 0, "the unfinished file of '%s' is gone",
                         t->path);
    }
    return target_fail(rules, error, "open", t->path, code);
}
