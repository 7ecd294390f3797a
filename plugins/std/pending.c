#include "pending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rules that the simulator can take away, to show that each is needed. */
#ifdef WEIR_MUTATIONS
bool mutation_on(const char *name);
#define MUTATED(name) mutation_on(#name)
#else
#define MUTATED(name) false
#endif

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)
/* Of the run and of the node in a name; longer ones are hashed. */
#define PART_MAX 64u
/* Free names tried before a commit is put off. */
#define TRIES_MAX 100000u
/* A journal larger than this was not written here. */
#define JOURNAL_BYTES_MAX (UINT64_C(256) << 20)

static uint64_t fnv(uint64_t hash, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)bytes[i]) * FNV_PRIME;
    return hash;
}

/* ---- names ---- */

/* A run or node as part of a name: as it is if every file system takes it, else its hash. */
static void name_part(char out[PART_MAX + 1], weir_str part) {
    bool plain = part.len <= PART_MAX;
    for (uint64_t i = 0; plain && i < part.len; i++) {
        char c = part.ptr[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_';
    }
    if (plain) {
        if (part.len > 0) memcpy(out, part.ptr, (size_t)part.len);
        out[part.len] = '\0';
    } else {
        snprintf(out, PART_MAX + 1, "h%016llx",
                 (unsigned long long)fnv(FNV_BASIS, part.ptr, (size_t)part.len));
    }
}

void pending_name(char out[PENDING_NAME_MAX], const pending_id *id, const char *target, uint64_t n,
                  const char *suffix) {
    char run[PART_MAX + 1];
    char node[PART_MAX + 1];
    char tag[PENDING_NAME_MAX];
    size_t room;
    size_t tag_len;
    name_part(run, id->run);
    name_part(node, id->node);
    snprintf(tag, sizeof tag, ".%s-%s-%u-%llu-%llu%s", run[0] != '\0' ? run : "local", node,
             id->task, (unsigned long long)id->epoch, (unsigned long long)n, suffix);
    tag_len = strlen(tag);
    room = PENDING_NAME_MAX - 2 - tag_len;
    if (strlen(target) < room) room = strlen(target);
    /* Not in the middle of a character. */
    while (room > 0 && target[room] != '\0' && ((unsigned char)target[room] & 0xc0) == 0x80) room--;
    out[0] = '.';
    memcpy(out + 1, target, room);
    memcpy(out + 1 + room, tag, tag_len + 1);
}

/* Takes "-DIGITS" off the end. */
static bool drop_number(const char *name, size_t *len) {
    size_t at = *len;
    while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9') at--;
    if (at == *len || at == 0 || name[at - 1] != '-') return false;
    *len = at - 1;
    return true;
}

static bool has_suffix(const char *name, size_t *len, const char *suffix) {
    size_t n = strlen(suffix);
    if (*len < n + 1 || name[0] != '.' || memcmp(name + *len - n, suffix, n) != 0) return false;
    *len -= n;
    return true;
}

bool pending_is_of(const char *name, size_t len, const pending_id *id, const char *suffix) {
    char run[PART_MAX + 1];
    char node[PART_MAX + 1];
    char tag[2 * PART_MAX + 4];
    size_t n;
    if (id->run.len == 0 || !has_suffix(name, &len, suffix)) return false;
    if (MUTATED(recover_foreign)) return true;
    for (int i = 0; i < 3; i++) { /* the counter, the epoch, the task */
        if (!drop_number(name, &len)) return false;
    }
    name_part(run, id->run);
    name_part(node, id->node);
    n = (size_t)snprintf(tag, sizeof tag, ".%s-%s", run, node);
    return len > n && memcmp(name + len - n, tag, n) == 0;
}

size_t pending_extension(const char *name, size_t len) {
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

/* ---- what a checkpoint remembers ----
 *
 *   kind u8, version u8, length u64, inode u64, tail u64, records u64, first_us u64,
 *   then dir, name, text: each u16 length and bytes. Big-endian; nothing behind them.
 */

#define HEAD_BYTES (2u + 5u * 8u)

static char *put(char *at, uint64_t v, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *at++ = (char)(v >> (8 * i));
    return at;
}

static uint64_t get(const char *at, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | (unsigned char)at[i];
    return v;
}

static bool is_file_name(weir_str s) {
    if (s.len == 0 || s.len > NAME_MAX) return false;
    if (memchr(s.ptr, '/', (size_t)s.len) != NULL || memchr(s.ptr, '\0', (size_t)s.len) != NULL) {
        return false;
    }
    return !(s.ptr[0] == '.' && (s.len == 1 || (s.len == 2 && s.ptr[1] == '.')));
}

static bool is_prefix(weir_str s) {
    return s.len == 0 || (s.len < PATH_MAX && s.ptr[s.len - 1] == '/' &&
                          memchr(s.ptr, '\0', (size_t)s.len) == NULL);
}

/* Could pending_encode be given this? */
static bool is_valid(const pending_file *f) {
    size_t len = (size_t)f->name.len;
    if (!is_prefix(f->dir)) return false;
    if (f->kind == PENDING_ROOT) return f->name.len == 0 && is_prefix(f->text);
    if (!is_file_name(f->name) || !has_suffix(f->name.ptr, &len, PENDING_SUFFIX)) return false;
    if (f->kind == PENDING_COMMITTABLE) return is_file_name(f->text);
    return f->kind == PENDING_OPEN && f->text.len >= f->dir.len && f->text.len > 0 &&
           f->text.len < PATH_MAX && memchr(f->text.ptr, '\0', (size_t)f->text.len) == NULL &&
           (f->dir.len == 0 || memcmp(f->text.ptr, f->dir.ptr, (size_t)f->dir.len) == 0);
}

size_t pending_encode(const pending_file *file, char *out) {
    const weir_str texts[3] = {file->dir, file->name, file->text};
    char *at = out;
    if (!is_valid(file)) return 0;
    at = put(at, (uint64_t)file->kind, 1);
    at = put(at, PENDING_VERSION, 1);
    at = put(at, file->length, 8);
    at = put(at, file->inode, 8);
    at = put(at, file->tail, 8);
    at = put(at, file->records, 8);
    at = put(at, (uint64_t)file->first_us, 8);
    for (int i = 0; i < 3; i++) {
        at = put(at, texts[i].len, 2);
        if (texts[i].len > 0) memcpy(at, texts[i].ptr, (size_t)texts[i].len);
        at += texts[i].len;
    }
    return (size_t)(at - out);
}

weir_status pending_decode(weir_str bytes, pending_file *out) {
    weir_str *const texts[3] = {&out->dir, &out->name, &out->text};
    const char *p = bytes.ptr;
    uint64_t at = HEAD_BYTES;
    memset(out, 0, sizeof *out);
    if (bytes.len < 2) return WEIR_E_DATA;
    if ((unsigned char)p[1] != PENDING_VERSION) return WEIR_E_INCOMPATIBLE;
    if (bytes.len < HEAD_BYTES) return WEIR_E_DATA;
    if (p[0] != PENDING_COMMITTABLE && p[0] != PENDING_OPEN && p[0] != PENDING_ROOT) {
        return WEIR_E_DATA;
    }
    out->kind = (pending_kind)p[0];
    out->length = get(p + 2, 8);
    out->inode = get(p + 10, 8);
    out->tail = get(p + 18, 8);
    out->records = get(p + 26, 8);
    out->first_us = (int64_t)get(p + 34, 8);
    for (int i = 0; i < 3; i++) {
        if (bytes.len - at < 2) return WEIR_E_DATA;
        texts[i]->len = get(p + at, 2);
        texts[i]->ptr = p + at + 2;
        at += 2;
        if (bytes.len - at < texts[i]->len) return WEIR_E_DATA;
        at += texts[i]->len;
    }
    return at == bytes.len && is_valid(out) ? WEIR_OK : WEIR_E_DATA;
}

int pending_tail(const pending_fs *fs, int fd, uint64_t length, uint64_t *out) {
    char bytes[PENDING_TAIL_BYTES];
    size_t size = length < sizeof bytes ? (size_t)length : sizeof bytes;
    size_t got = 0;
    int code = fs->read(fs->self, fd, bytes, size, length - size, &got);
    if (code != 0) return code;
    *out = fnv(FNV_BASIS, bytes, got);
    return got == size ? 0 : EIO;
}

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

static int join(char out[PENDING_PATH_MAX], const char *prefix, weir_str name) {
    int n = snprintf(out, PENDING_PATH_MAX, "%s%.*s", prefix, (int)name.len, name.ptr);
    return n >= 0 && (size_t)n < PENDING_PATH_MAX ? 0 : ENAMETOOLONG;
}

static weir_str text_of(const char *z) {
    return (weir_str){z, strlen(z)};
}

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
    if (join(path, s->prefix, text_of(name)) != 0) return 0;
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
    if (join(from, prefix, file->name) != 0 || join(to, prefix, file->text) != 0) {
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
    for (uint32_t i = 1; i <= TRIES_MAX; i++) {
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
            join(to, prefix, text_of(out->final)) != 0) {
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
    code = join(path, prefix, file->name);
    if (code == 0) code = fs->remove(fs->self, path);
    if (code == 0 || code == ENOENT || code == ENOTDIR) {
        decide(out, WEIR_VERDICT_DONE, code == 0, NULL);
    } else {
        put_off(out, code, "remove");
    }
}

/* ---- recover ---- */

size_t pending_journal_entry(weir_str dir, char *out) {
    char *at = out;
    if (!is_prefix(dir)) return 0;
    at = put(at, dir.len, 2);
    at = put(at, fnv(FNV_BASIS, dir.ptr, (size_t)dir.len), 8);
    if (dir.len > 0) memcpy(at, dir.ptr, (size_t)dir.len);
    return (size_t)(at - out) + (size_t)dir.len;
}

/* Texts that are copied, in one array. */
typedef struct strings {
    const pending_fs *fs;
    char **z; /* [count] */
    size_t count, room;
} strings;

static int add(strings *s, weir_str text) {
    char *copy;
    if (s->count == s->room) {
        size_t room = s->room > 0 ? s->room * 2 : 64;
        char **grown = s->fs->alloc(s->fs->self, sizeof *grown * room);
        if (grown == NULL) return ENOMEM;
        if (s->count > 0) memcpy(grown, s->z, sizeof *grown * s->count);
        s->fs->release(s->fs->self, s->z);
        s->z = grown;
        s->room = room;
    }
    copy = s->fs->alloc(s->fs->self, (size_t)text.len + 1);
    if (copy == NULL) return ENOMEM;
    if (text.len > 0) memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    s->z[s->count++] = copy;
    return 0;
}

static void clear(strings *s) {
    for (size_t i = 0; i < s->count; i++) s->fs->release(s->fs->self, s->z[i]);
    s->count = 0;
}

static void free_strings(strings *s) {
    clear(s);
    s->fs->release(s->fs->self, s->z);
    s->z = NULL;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_unique(strings *s) {
    size_t kept = 0;
    if (s->count < 2) return;
    qsort(s->z, s->count, sizeof *s->z, compare);
    for (size_t i = 0; i < s->count; i++) {
        if (kept > 0 && strcmp(s->z[kept - 1], s->z[i]) == 0) {
            s->fs->release(s->fs->self, s->z[i]);
        } else {
            s->z[kept++] = s->z[i];
        }
    }
    s->count = kept;
}

static bool contains(const strings *s, const char *text) {
    return s->count > 0 && bsearch(&text, s->z, s->count, sizeof *s->z, compare) != NULL;
}

typedef struct recovery {
    pending_recovery *r;
    strings roots, folders, kept; /* kept: names of pending files */
    strings files, journals;      /* of the folder being listed */
    strings needed;               /* folders where a kept file of ours still is */
    const char *dir;              /* the one being looked at */
    size_t journal_count;
    bool left; /* a kept file of ours is in it */
} recovery;

/* Sorts out what kept blobs say. A blob that cannot be read could speak of any file. */
static int read_kept(recovery *v) {
    int code = 0;
    for (uint32_t i = 0; i < v->r->kept_count && code == 0; i++) {
        pending_file f;
        if (pending_decode(v->r->kept[i]->bytes, &f) != WEIR_OK) {
            v->r->what = "a checkpoint that is kept holds state of this sink that cannot be read";
            return EBADMSG;
        }
        if (f.kind == PENDING_ROOT) {
            code = add(&v->roots, f.text);
        } else {
            code = add(&v->folders, f.dir);
            if (code == 0) code = add(&v->kept, f.name);
        }
    }
    sort_unique(&v->kept);
    return code;
}

static int sort_name(void *opaque, const char *name) {
    recovery *v = opaque;
    size_t len = strlen(name);
    int code = 0;
    if (pending_is_of(name, len, v->r->id, PENDING_JOURNAL_SUFFIX)) {
        code = add(&v->journals, (weir_str){name, len});
    } else if (pending_is_of(name, len, v->r->id, PENDING_SUFFIX)) {
        if (contains(&v->kept, name) && !MUTATED(recover_ignores_kept)) {
            v->left = true;
        } else {
            code = add(&v->files, (weir_str){name, len});
        }
    }
    return code != 0 ? code : v->r->stopped(v->r->opaque) ? ECANCELED : 0;
}

static int list(recovery *v, const char *prefix) {
    const pending_fs *fs = v->r->fs;
    int code;
    clear(&v->files);
    clear(&v->journals);
    code = fs->list(fs->self, prefix, sort_name, v);
    if (code == ENOENT || code == ENOTDIR) return 0; /* the folder went, and all in it */
    if (code != 0) v->r->what = "list a folder";
    return code;
}

/* Every entry of a journal up to the first one that is not whole: a file in a folder is made only
 * after the entry was durable, so what is torn leads nowhere. */
static int parse_journal(recovery *v, const char *bytes, size_t size) {
    int code = 0;
    for (size_t at = 0; code == 0 && size - at >= 10;) {
        weir_str dir = {bytes + at + 10, get(bytes + at, 2)};
        uint64_t sum = get(bytes + at + 2, 8);
        if (size - at - 10 < dir.len || !is_prefix(dir)) break;
        if (fnv(FNV_BASIS, dir.ptr, (size_t)dir.len) != sum) break;
        code = add(&v->folders, dir);
        at += 10 + (size_t)dir.len;
    }
    return code;
}

static int read_journal(recovery *v, const char *path) {
    const pending_fs *fs = v->r->fs;
    pending_stat st;
    char *bytes = NULL;
    size_t got = 0;
    int fd = -1;
    int code = fs->stat(fs->self, path, &st);
    if (code == ENOENT) return 0;
    if (code == 0 && st.size > JOURNAL_BYTES_MAX) code = EFBIG;
    if (code == 0 && (bytes = fs->alloc(fs->self, (size_t)st.size + 1)) == NULL) code = ENOMEM;
    if (code == 0) code = fs->open(fs->self, path, &fd);
    if (code == 0) code = fs->read(fs->self, fd, bytes, (size_t)st.size, 0, &got);
    if (fd >= 0) fs->close(fs->self, fd);
    if (code == 0) code = parse_journal(v, bytes, got);
    fs->release(fs->self, bytes);
    if (code != 0) v->r->what = "read a journal of folders";
    return code;
}

typedef int (*on_prefix)(recovery *v, const char *prefix);

/* Calls `f` with the usable prefix of each of `dirs`. */
static int each_prefix(recovery *v, const strings *dirs, on_prefix f) {
    int code = 0;
    for (size_t i = 0; i < dirs->count && code == 0; i++) {
        char *prefix = v->r->prefix_of(v->r->opaque, text_of(dirs->z[i]));
        if (prefix == NULL) return ENOMEM;
        v->dir = dirs->z[i];
        code = f(v, prefix);
        v->r->fs->release(v->r->fs->self, prefix);
    }
    return code;
}

static int read_root(recovery *v, const char *prefix) {
    char path[PENDING_PATH_MAX];
    int code = list(v, prefix);
    v->journal_count += v->journals.count;
    for (size_t i = 0; i < v->journals.count && code == 0; i++) {
        if (join(path, prefix, text_of(v->journals.z[i])) == 0) code = read_journal(v, path);
    }
    return code;
}

/* Removes names of one folder and makes that durable. */
static int remove_all(recovery *v, const char *prefix, const strings *names, uint64_t *removed) {
    const pending_fs *fs = v->r->fs;
    char path[PENDING_PATH_MAX];
    int code = 0;
    for (size_t i = 0; i < names->count && code == 0; i++) {
        if (join(path, prefix, text_of(names->z[i])) != 0) continue;
        code = fs->remove(fs->self, path);
        if (code == ENOENT) code = 0;
        if (code != 0) v->r->what = "remove an unfinished file";
        if (code == 0 && removed != NULL) ++*removed;
        if (v->r->stopped(v->r->opaque)) code = ECANCELED;
    }
    if (code == 0 && names->count > 0) {
        code = fs->sync_dir(fs->self, prefix);
        if (code != 0) v->r->what = "sync a folder";
    }
    return code;
}

static int clean_folder(recovery *v, const char *prefix) {
    int code;
    v->left = false;
    code = list(v, prefix);
    if (code == 0 && v->left) code = add(&v->needed, text_of(v->dir));
    v->r->found += v->files.count;
    return code == 0 ? remove_all(v, prefix, &v->files, &v->r->removed) : code;
}

static int clean_root(recovery *v, const char *prefix) {
    int code = list(v, prefix);
    return code == 0 ? remove_all(v, prefix, &v->journals, NULL) : code;
}

/* One journal, of what is still needed, in place of many: else each restart would add one. */
static int write_merged(recovery *v, const char *path) {
    const pending_fs *fs = v->r->fs;
    char entry[PENDING_ENTRY_MAX];
    uint64_t at = 0;
    int fd = -1;
    int code = fs->create(fs->self, path, &fd);
    for (size_t i = 0; i < v->needed.count && code == 0; i++) {
        size_t n = pending_journal_entry(text_of(v->needed.z[i]), entry);
        code = fs->write(fs->self, fd, entry, n, at);
        at += n;
    }
    if (code == 0) code = fs->sync(fs->self, fd);
    if (fd >= 0) fs->close(fs->self, fd);
    if (fd >= 0 && code != 0) fs->remove(fs->self, path);
    return code;
}

/* The first root's journals are replaced; what cannot be done now is left for another time. */
static int merge_journals(recovery *v, const char *prefix) {
    const pending_fs *fs = v->r->fs;
    char name[PENDING_NAME_MAX];
    char path[PENDING_PATH_MAX];
    int code = EEXIST;
    for (uint64_t n = 0; code == EEXIST && n < TRIES_MAX; n++) {
        pending_name(name, v->r->id, PENDING_JOURNAL, n, PENDING_JOURNAL_SUFFIX);
        if (join(path, prefix, text_of(name)) != 0) return 0;
        code = write_merged(v, path);
    }
    if (code != 0 || fs->sync_dir(fs->self, prefix) != 0 || list(v, prefix) != 0) return 0;
    for (size_t i = 0; i < v->journals.count; i++) {
        if (strcmp(v->journals.z[i], name) == 0) continue;
        if (join(path, prefix, text_of(v->journals.z[i])) == 0) fs->remove(fs->self, path);
    }
    return 0;
}

int pending_recover(pending_recovery *r, const weir_str *roots, uint32_t root_count) {
    recovery v = {.r = r};
    int code = 0;
    strings first = {.fs = r->fs};
    v.roots.fs = v.folders.fs = v.kept.fs = v.files.fs = v.journals.fs = v.needed.fs = r->fs;
    r->what = NULL;
    r->found = r->removed = 0;
    if (r->id->run.len == 0) return 0; /* nobody can say whose files are whose */
    code = read_kept(&v);
    for (uint32_t i = 0; i < root_count && code == 0; i++) code = add(&v.roots, roots[i]);
    sort_unique(&v.roots);
    if (code == 0) code = each_prefix(&v, &v.roots, read_root);
    for (size_t i = 0; i < v.roots.count && code == 0; i++) {
        code = add(&v.folders, text_of(v.roots.z[i]));
    }
    sort_unique(&v.folders);
    if (code == 0) code = each_prefix(&v, &v.folders, clean_folder);
    if (code == 0 && v.needed.count == 0) {
        code = each_prefix(&v, &v.roots, clean_root);
    } else if (code == 0 && v.journal_count > 1 && root_count > 0) {
        code = add(&first, roots[0]);
        if (code == 0) code = each_prefix(&v, &first, merge_journals);
    }
    free_strings(&first);
    free_strings(&v.roots);
    free_strings(&v.folders);
    free_strings(&v.kept);
    free_strings(&v.needed);
    free_strings(&v.files);
    free_strings(&v.journals);
    return code;
}
