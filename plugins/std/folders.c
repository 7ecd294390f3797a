#include "folders.h"

#include <errno.h>
#include <stdio.h>

/* Journals tried before giving up: a name is taken only if the same epoch was restored twice. */
#define TRIES_MAX 100000u

static folder_entry *find(const folders *f, weir_str dir, uint64_t *hash) {
    folder_entry *at;
    *hash = UINT64_C(0xcbf29ce484222325);
    for (uint64_t i = 0; i < dir.len; i++) {
        *hash = (*hash ^ (unsigned char)dir.ptr[i]) * UINT64_C(0x100000001b3);
    }
    at = f->buckets[*hash % FOLDERS_BUCKETS];
    while (at != NULL && (at->hash != *hash || at->dir_len != dir.len ||
                          memcmp(at->dir, dir.ptr, at->dir_len) != 0)) {
        at = at->next;
    }
    return at;
}

static void free_folder(folders *f, folder_entry *at) {
    weir_free(f->ctx, at->dir);
    weir_free(f->ctx, at->prefix);
    weir_free(f->ctx, at);
}

static void forget_all(folders *f) {
    for (size_t i = 0; i < FOLDERS_BUCKETS; i++) {
        while (f->buckets[i] != NULL) {
            folder_entry *at = f->buckets[i];
            f->buckets[i] = at->next;
            free_folder(f, at);
        }
    }
    f->count = 0;
}

weir_status folders_open(folders *f, weir_ctx *ctx, const pending_fs *fs, const pending_id *id,
                         weir_str literal, bool journal) {
    memset(f, 0, sizeof *f);
    f->ctx = ctx;
    f->fs = fs;
    f->id = id;
    f->fd = -1;
    f->journal = journal;
    while (literal.len > 0 && literal.ptr[literal.len - 1] != '/') literal.len--;
    f->root = weir_str_dup(ctx, literal);
    f->root_len = (size_t)literal.len;
    return f->root != NULL ? WEIR_OK : WEIR_E_NOMEM;
}

void folders_close(folders *f, bool clean) {
    if (f->ctx == NULL) return;
    forget_all(f);
    if (f->fd >= 0) f->fs->close(f->fs->self, f->fd);
    if (f->path != NULL && clean) f->fs->remove(f->fs->self, f->path);
    weir_free(f->ctx, f->path);
    weir_free(f->ctx, f->root);
    memset(f, 0, sizeof *f);
    f->fd = -1;
}

/* ---- the journal ---- */

/* Creates a journal in the root; its name is durable when this returns 0. */
static int begin_journal(folders *f, bool *sync_failed) {
    char name[PENDING_NAME_MAX];
    weir_str root = {f->root, f->root_len};
    char *prefix = std_path_join(f->ctx, root);
    size_t room = prefix != NULL ? strlen(prefix) + PENDING_NAME_MAX : 0;
    char *path = prefix != NULL ? weir_alloc(f->ctx, room) : NULL;
    int code = path != NULL ? EEXIST : ENOMEM;
    int fd = -1;
    for (uint32_t i = 0; code == EEXIST && i < TRIES_MAX; i++) {
        pending_name(name, f->id, PENDING_JOURNAL, f->counter++, PENDING_JOURNAL_SUFFIX);
        snprintf(path, room, "%s%s", prefix, name);
        code = f->fs->create(f->fs->self, path, &fd);
    }
    if (code == 0 && (code = f->fs->sync_dir(f->fs->self, prefix)) != 0) {
        *sync_failed = pending_sync_broke(code);
        f->fs->close(f->fs->self, fd);
        f->fs->remove(f->fs->self, path);
    }
    if (code == 0) {
        f->path = path;
        f->fd = fd;
        f->size = 0;
        path = NULL;
    }
    weir_free(f->ctx, path);
    weir_free(f->ctx, prefix);
    return code;
}

static int append(folders *f, weir_str dir) {
    char entry[PENDING_ENTRY_MAX];
    size_t size = pending_journal_entry(dir, entry);
    int code = size > 0 ? f->fs->write(f->fs->self, f->fd, entry, size, f->size) : ENAMETOOLONG;
    /* A torn entry is overwritten by the next one, and not read meanwhile. */
    if (code == 0) f->size += size;
    return code;
}

/* ---- folders ---- */

/* The folder's own name, and those above it as far as this sink may have made them. */
static int sync_above(folders *f, const char *prefix, bool *sync_failed) {
    char *at = weir_str_dup(f->ctx, weir_str_of(prefix));
    size_t root_end = strlen(prefix);
    size_t len = root_end;
    char *root = std_path_join(f->ctx, (weir_str){f->root, f->root_len});
    int code = at != NULL && root != NULL ? 0 : ENOMEM;
    if (root != NULL) root_end = strlen(root);
    while (code == 0 && len > 0 && (len > root_end || !f->root_done)) {
        len--; /* the slash */
        while (len > 0 && at[len - 1] != '/') len--;
        at[len] = '\0';
        code = f->fs->sync_dir(f->fs->self, at);
        if (code == EACCES || code == EPERM) code = 0; /* not ours, so not made by us either */
        if (code != 0) *sync_failed = pending_sync_broke(code);
    }
    if (code == 0) f->root_done = true;
    weir_free(f->ctx, at);
    weir_free(f->ctx, root);
    return code;
}

static int add_folder(folders *f, weir_str dir, uint64_t hash, bool *sync_failed) {
    folder_entry *at = weir_zalloc(f->ctx, sizeof *at);
    bool in_root = dir.len == f->root_len && memcmp(dir.ptr, f->root, f->root_len) == 0;
    int code = 0;
    if (at == NULL) return ENOMEM;
    at->dir = weir_str_dup(f->ctx, dir);
    at->prefix = std_path_join(f->ctx, dir);
    at->dir_len = (size_t)dir.len;
    at->hash = hash;
    if (at->dir == NULL || at->prefix == NULL) code = ENOMEM;
    if (code == 0) code = sync_above(f, at->prefix, sync_failed);
    if (code == 0 && f->journal && !in_root) {
        if (f->fd < 0) code = begin_journal(f, sync_failed);
        if (code == 0) code = append(f, dir);
        if (code == 0 && (code = f->fs->sync(f->fs->self, f->fd)) != 0) *sync_failed = true;
    }
    if (code != 0) {
        free_folder(f, at);
        return code;
    }
    at->dirty = true;
    at->next = f->buckets[hash % FOLDERS_BUCKETS];
    f->buckets[hash % FOLDERS_BUCKETS] = at;
    f->count++;
    return 0;
}

int folders_use(folders *f, weir_str dir, bool *sync_failed) {
    uint64_t hash;
    folder_entry *at = find(f, dir, &hash);
    *sync_failed = false;
    if (at == NULL) return add_folder(f, dir, hash, sync_failed);
    at->dirty = true;
    return 0;
}

int folders_sync(folders *f, const char **path) {
    for (size_t i = 0; i < FOLDERS_BUCKETS; i++) {
        for (folder_entry *at = f->buckets[i]; at != NULL; at = at->next) {
            int code;
            if (!at->dirty) continue;
            code = pending_sync_names(f->fs, at->prefix);
            *path = at->prefix;
            if (code != 0) return code;
            at->dirty = false;
        }
    }
    return 0;
}

int folders_renew(folders *f, bool (*next)(void *opaque, weir_str *dir), void *opaque) {
    char *old_path = f->path;
    uint64_t old_size = f->size;
    int old_fd = f->fd;
    bool sync_failed;
    weir_str dir;
    int code = 0;
    if (f->journal && old_path != NULL) {
        f->path = NULL;
        f->fd = -1;
        code = begin_journal(f, &sync_failed);
        while (code == 0 && next(opaque, &dir)) code = append(f, dir);
        if (code == 0) code = f->fs->sync(f->fs->self, f->fd);
        if (code != 0) { /* the old one still says everything */
            if (f->fd >= 0) f->fs->close(f->fs->self, f->fd);
            if (f->path != NULL) f->fs->remove(f->fs->self, f->path);
            weir_free(f->ctx, f->path);
            f->path = old_path;
            f->fd = old_fd;
            f->size = old_size;
            return code;
        }
        f->fs->close(f->fs->self, old_fd);
        f->fs->remove(f->fs->self, old_path);
        weir_free(f->ctx, old_path);
    }
    forget_all(f);
    return 0;
}
