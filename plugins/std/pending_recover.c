#include <fcntl.h>
#include <stdlib.h>

#include "pending_private.h"

/* A journal larger than this was not written here. */
#define JOURNAL_BYTES_MAX (UINT64_C(256) << 20)

/* ---- recover ---- */

size_t pending_journal_entry(weir_str dir, char *out) {
    char *at = out;
    if (!pending_is_prefix(dir)) return 0;
    at = pending_put(at, dir.len, 2);
    at = pending_put(at, pending_hash(FNV_BASIS, dir.ptr, (size_t)dir.len), 8);
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
        weir_str dir = {bytes + at + 10, pending_get(bytes + at, 2)};
        uint64_t sum = pending_get(bytes + at + 2, 8);
        if (size - at - 10 < dir.len || !pending_is_prefix(dir)) break;
        if (pending_hash(FNV_BASIS, dir.ptr, (size_t)dir.len) != sum) break;
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
        char *prefix = v->r->prefix_of(v->r->opaque, pending_text(dirs->z[i]));
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
        if (pending_join(path, prefix, pending_text(v->journals.z[i])) == 0)
            code = read_journal(v, path);
    }
    return code;
}

/* Removes names of one folder and makes that durable. */
static int remove_all(recovery *v, const char *prefix, const strings *names, uint64_t *removed) {
    const pending_fs *fs = v->r->fs;
    char path[PENDING_PATH_MAX];
    int code = 0;
    for (size_t i = 0; i < names->count && code == 0; i++) {
        if (pending_join(path, prefix, pending_text(names->z[i])) != 0) continue;
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
    if (code == 0 && v->left) code = add(&v->needed, pending_text(v->dir));
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
        size_t n = pending_journal_entry(pending_text(v->needed.z[i]), entry);
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
    for (uint64_t n = 0; code == EEXIST && n < PENDING_TRIES_MAX; n++) {
        pending_name(name, v->r->id, PENDING_JOURNAL, n, PENDING_JOURNAL_SUFFIX);
        if (pending_join(path, prefix, pending_text(name)) != 0) return 0;
        code = write_merged(v, path);
    }
    if (code != 0 || fs->sync_dir(fs->self, prefix) != 0 || list(v, prefix) != 0) return 0;
    for (size_t i = 0; i < v->journals.count; i++) {
        if (strcmp(v->journals.z[i], name) == 0) continue;
        if (pending_join(path, prefix, pending_text(v->journals.z[i])) == 0)
            fs->remove(fs->self, path);
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
        code = add(&v.folders, pending_text(v.roots.z[i]));
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
