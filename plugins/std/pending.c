#include "pending_private.h"

/* ---- flush ---- */

int pending_sync(const pending_fs *fs, int fd) {
    if (MUTATED(prepare_without_sync)) return 0;
    return fs->sync(fs->self, fd);
}

int pending_sync_names(const pending_fs *fs, const char *prefix) {
    if (MUTATED(prepare_without_dir_sync)) return 0;
    return fs->sync_dir(fs->self, prefix);
}

bool pending_sync_broke(int code) {
    switch (code) { /* of the open in front of it */
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
        return false;
    default:
        return code != 0;
    }
}

/* ---- commit and abort ---- */

static void decide(pending_outcome *out, uint32_t verdict, bool sync, const char *what) {
    out->verdict = verdict;
    out->sync = sync;
    out->what = what;
}

static void put_off(pending_outcome *out, int code, const char *what) {
    decide(out, WEIR_VERDICT_RETRY, false, what);
    out->code = code;
}

/* Do the first `length` bytes end as they did when they were made durable? */
static int tail_matches(const pending_fs *fs, const char *path, const pending_file *file,
                        bool *out) {
    uint64_t tail = 0;
    int fd = -1;
    int code = fs->open(fs->self, path, &fd);
    if (code == 0) {
        code = pending_tail(fs, fd, file->length, &tail);
        fs->close(fs->self, fd);
    }
    *out = code == 0 && tail == file->tail;
    return code;
}

typedef struct search {
    const pending_fs *fs;
    const char *prefix;
    const pending_file *file;
    char *out;
} search;

static int look_at(void *opaque, const char *name) {
    search *s = opaque;
    char path[PENDING_PATH_MAX];
    pending_stat st;
    bool same = false;
    int code;
    if (pending_join(path, s->prefix, pending_text(name)) != 0) return 0;
    /* A file that cannot be looked at may be the one: then nothing is decided yet. */
    code = s->fs->stat(s->fs->self, path, &st);
    if (code != 0) return code == ENOENT ? 0 : code;
    if (st.inode != s->file->inode) return 0;
    if (st.size < s->file->length) return 0;
    /* One that was open may have grown before it was completed. */
    if (st.size > s->file->length && s->file->kind != PENDING_OPEN) return 0;
    code = tail_matches(s->fs, path, s->file, &same);
    if (code != 0) return code == ENOENT ? 0 : code;
    if (!same) return 0;
    snprintf(s->out, PENDING_NAME_MAX, "%s", name);
    return EEXIST;
}

int pending_find(const pending_fs *fs, const char *prefix, const pending_file *file,
                 char out[PENDING_NAME_MAX]) {
    search s = {.fs = fs, .prefix = prefix, .file = file, .out = out};
    int code;
    out[0] = '\0';
    code = fs->list(fs->self, prefix, look_at, &s);
    if (out[0] != '\0') return 0;
    return code == 0 ? ENOENT : code;
}

/* The pending name is gone: was the file committed before? */
static void decide_gone(const pending_fs *fs, const char *prefix, const pending_file *file,
                        const char *final, pending_outcome *out) {
    pending_stat st;
    bool same = false;
    int code = fs->stat(fs->self, final, &st);
    if (code == 0 && st.size == file->length) {
        /* Its inode says nothing: that of the pending file may have been given to another. */
        code = tail_matches(fs, final, file, &same);
        if (code != 0) {
            put_off(out, code, "read");
            return;
        }
        if (same) {
            /* The run that renamed it may have died before the name was durable. */
            decide(out, WEIR_VERDICT_ALREADY, !MUTATED(commit_skips_sync_if_exists), NULL);
            return;
        }
    } else if (code != 0 && code != ENOENT && code != ENOTDIR) {
        put_off(out, code, "look at");
        return;
    }
    code = pending_find(fs, prefix, file, out->final);
    if (code == 0) {
        decide(out, WEIR_VERDICT_ALREADY, true, NULL);
    } else if (code == ENOENT || code == ENOTDIR) {
        decide(out, WEIR_VERDICT_LOST, false, "the pending file is gone and was not committed");
    } else {
        put_off(out, code, "list the folder of");
    }
}

/* Is the pending file what was prepared? Cuts off what lies behind it. False: `out` says why. */
static bool is_whole(const pending_fs *fs, const char *path, const pending_file *file,
                     uint64_t size, pending_outcome *out) {
    bool same = false;
    int fd = -1;
    int code = size < file->length ? 0 : tail_matches(fs, path, file, &same);
    if (code != 0) {
        put_off(out, code, "read");
        return false;
    }
    if (!same) {
        /* Somebody changed it. What is left is for people to look at, not for readers. */
        char aside[PENDING_PATH_MAX];
        snprintf(aside, sizeof aside, "%.*s.damaged", (int)(strlen(path) - strlen(PENDING_SUFFIX)),
                 path);
        code = fs->rename(fs->self, path, aside);
        decide(out, WEIR_VERDICT_LOST, code == 0,
               size < file->length ? "the pending file is shorter than what was prepared"
                                   : "the pending file does not hold what was prepared");
        return false;
    }
    if (size == file->length) return true;
    code = fs->open(fs->self, path, &fd);
    if (code == 0) code = fs->truncate(fs->self, fd, file->length);
    if (code == 0) code = fs->sync(fs->self, fd);
    if (fd >= 0) fs->close(fs->self, fd);
    if (code != 0) put_off(out, code, "cut off the end of");
    return code == 0;
}

void pending_commit(const pending_fs *fs, const char *prefix, const pending_file *file,
                    pending_outcome *out) {
    char from[PENDING_PATH_MAX];
    char to[PENDING_PATH_MAX];
    char stem[PENDING_NAME_MAX];
    const char *ext;
    size_t stem_len;
    pending_stat st;
    int code;
    memset(out, 0, sizeof *out);
    if (pending_join(from, prefix, file->name) != 0 || pending_join(to, prefix, file->text) != 0) {
        put_off(out, ENAMETOOLONG, "name");
        return;
    }
    code = fs->stat(fs->self, from, &st);
    if (code == ENOENT || code == ENOTDIR) {
        decide_gone(fs, prefix, file, to, out);
        return;
    }
    if (code != 0) {
        put_off(out, code, "look at");
        return;
    }
    if (!is_whole(fs, from, file, st.size, out)) return;
    snprintf(stem, sizeof stem, "%.*s", (int)file->text.len, file->text.ptr);
    snprintf(out->final, sizeof out->final, "%s", stem);
    stem_len = pending_extension(stem, strlen(stem));
    ext = stem + stem_len;
    for (uint32_t i = 1; i <= PENDING_TRIES_MAX; i++) {
        pending_stat there;
        code = fs->rename(fs->self, from, to);
        if (code == EEXIST) {
            int seen = fs->stat(fs->self, to, &there);
            if (seen == 0 && there.inode == st.inode) {
                /* A rename that was interrupted half-way: the new name stays, whatever happens. */
                code = fs->sync_dir(fs->self, prefix);
                if (code == 0) code = fs->remove(fs->self, from);
            } else if (seen != 0 && seen != ENOENT) {
                code = seen; /* it may be this file: another name would show it twice */
            }
        }
        if (code == 0) {
            decide(out, WEIR_VERDICT_DONE, true, NULL);
            return;
        }
        if (code != EEXIST) break;
        if (snprintf(out->final, sizeof out->final, "%.*s-%06u%s", (int)stem_len, stem, i, ext) >=
                (int)sizeof out->final ||
            pending_join(to, prefix, pending_text(out->final)) != 0) {
            code = ENAMETOOLONG;
            break;
        }
    }
    put_off(out, code, "complete");
}

int pending_commit_names(const pending_fs *fs, const char *prefix) {
    if (MUTATED(commit_without_dir_sync)) return 0;
    return fs->sync_dir(fs->self, prefix);
}

void pending_abort(const pending_fs *fs, const char *prefix, const pending_file *file,
                   pending_outcome *out) {
    char path[PENDING_PATH_MAX];
    int code;
    memset(out, 0, sizeof *out);
    code = pending_join(path, prefix, file->name);
    if (code == 0) code = fs->remove(fs->self, path);
    if (code == 0 || code == ENOENT || code == ENOTDIR) {
        decide(out, WEIR_VERDICT_DONE, code == 0, NULL);
    } else {
        put_off(out, code, "remove");
    }
}
