#include "vdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "sim.h"

#define NAME_BYTES 120u
#define FOLDERS 4u

typedef struct vfile {
    struct vfile *next;
    uint8_t *bytes;   /* what everybody sees */
    uint8_t *durable; /* what survives */
    uint32_t len, cap, durable_len, durable_cap;
    uint32_t common; /* the first so many bytes are the same in both */
    uint64_t number;
    uint32_t links, durable_links, opens;
    bool dirty;
    uint32_t bad_from, bad_to; /* a sync failed: no later one makes these bytes durable, unless
                                  they are written again */
} vfile;

typedef struct name {
    char text[NAME_BYTES];
    vfile *file;
} name;

typedef struct names {
    name *items;
    uint32_t count, cap;
} names;

/* A change of a folder that no sync has made durable. */
typedef struct change {
    enum { CHANGE_SET, CHANGE_REMOVE, CHANGE_RENAME } kind;
    char text[NAME_BYTES]; /* SET, REMOVE; RENAME: the new name */
    char from[NAME_BYTES];
    vfile *file;
    bool second; /* survives only together with the one before it */
} change;

typedef struct folder {
    char path[NAME_BYTES];
    names live, durable;
    change *changes;
    uint32_t change_count, change_cap;
} folder;

typedef struct handle {
    vfile *file;
    const void *owner;
} handle;

struct vdisk {
    world *w;
    disk table;
    folder folders[FOLDERS];
    uint32_t folder_count;
    vfile *files;
    handle *handles;
    uint32_t handle_count;
    struct {
        char path[NAME_BYTES];
        const void *owner;
    } locks[8];
};

static const disk table;

static void *grown(void *items, uint32_t *cap, uint32_t count, size_t size) {
    if (count < *cap) return items;
    *cap = *cap > 0 ? *cap * 2 : 16;
    items = realloc(items, *cap * size);
    WEIR_ASSERT(items != NULL);
    return items;
}

vdisk *vdisk_new(world *w) {
    vdisk *d = calloc(1, sizeof *d);
    WEIR_ASSERT(d != NULL);
    d->w = w;
    d->table = table;
    d->table.self = d;
    return d;
}

void vdisk_free(vdisk *d) {
    if (d == NULL) return;
    for (vfile *f = d->files; f != NULL;) {
        vfile *next = f->next;
        free(f->bytes);
        free(f->durable);
        free(f);
        f = next;
    }
    for (uint32_t i = 0; i < d->folder_count; i++) {
        free(d->folders[i].live.items);
        free(d->folders[i].durable.items);
        free(d->folders[i].changes);
    }
    free(d->handles);
    free(d);
}

const disk *vdisk_store(vdisk *d) {
    return &d->table;
}

/* ---- names ---- */

static uint32_t find(const names *n, const char *text) {
    for (uint32_t i = 0; i < n->count; i++)
        if (strcmp(n->items[i].text, text) == 0) return i;
    return UINT32_MAX;
}

static vfile *get(const names *n, const char *text) {
    uint32_t i = find(n, text);
    return i == UINT32_MAX ? NULL : n->items[i].file;
}

/* The file that was there under the name, or NULL. */
static vfile *put(names *n, const char *text, vfile *file) {
    uint32_t i = find(n, text);
    vfile *before = NULL;
    if (i == UINT32_MAX) {
        n->items = grown(n->items, &n->cap, n->count, sizeof *n->items);
        i = n->count++;
        (void)snprintf(n->items[i].text, NAME_BYTES, "%s", text);
    } else {
        before = n->items[i].file;
    }
    n->items[i].file = file;
    return before;
}

static vfile *take(names *n, const char *text) {
    uint32_t i = find(n, text);
    if (i == UINT32_MAX) return NULL;
    vfile *file = n->items[i].file;
    memmove(n->items + i, n->items + i + 1, (n->count - i - 1) * sizeof *n->items);
    n->count--;
    return file;
}

static void set_name(names *n, const char *text, vfile *file, bool durable) {
    vfile *before = put(n, text, file);
    if (before != NULL) (durable ? before->durable_links-- : before->links--);
    (void)(durable ? file->durable_links++ : file->links++);
}

static void drop_name(names *n, const char *text, bool durable) {
    vfile *before = take(n, text);
    if (before != NULL) (durable ? before->durable_links-- : before->links--);
}

static void apply(names *n, const change *c, bool durable) {
    if (c->kind == CHANGE_RENAME) drop_name(n, c->from, durable);
    if (c->kind == CHANGE_REMOVE) {
        drop_name(n, c->text, durable);
    } else {
        set_name(n, c->text, c->file, durable);
    }
}

static void change_folder(vdisk *d, folder *f, change c) {
    trace(d->w, "disk: %s %s/%s%s%s (file %u)",
          c.kind == CHANGE_SET      ? "name"
          : c.kind == CHANGE_REMOVE ? "remove"
                                    : "rename to",
          f->path, c.text, c.kind == CHANGE_RENAME ? " from " : "", c.from,
          c.file != NULL ? (uint32_t)c.file->number : 0);
    apply(&f->live, &c, false);
    f->changes = grown(f->changes, &f->change_cap, f->change_count, sizeof *f->changes);
    f->changes[f->change_count++] = c;
}

static void copy_names(names *to, const names *from, bool durable) {
    for (uint32_t i = 0; i < to->count; i++)
        (void)(durable ? to->items[i].file->durable_links-- : to->items[i].file->links--);
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++)
        set_name(to, from->items[i].text, from->items[i].file, durable);
}

static folder *folder_of(vdisk *d, const char *path, size_t len) {
    while (len > 1 && path[len - 1] == '/') len--;
    for (uint32_t i = 0; i < d->folder_count; i++) {
        folder *f = &d->folders[i];
        if (strlen(f->path) == len && memcmp(f->path, path, len) == 0) return f;
    }
    return NULL;
}

/* The folder of a path, and the name in it. */
static folder *locate(vdisk *d, const char *path, const char **base) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return NULL;
    *base = slash + 1;
    return folder_of(d, path, (size_t)(slash - path));
}

static void make_folder(vdisk *d, const char *path) {
    if (folder_of(d, path, strlen(path)) != NULL) return;
    WEIR_ASSERT(d->folder_count < FOLDERS && strlen(path) < NAME_BYTES);
    folder *f = &d->folders[d->folder_count++];
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    size_t len = strlen(f->path);
    if (len > 1 && f->path[len - 1] == '/') f->path[len - 1] = '\0';
}

/* ---- files ---- */

/* Numbers are used again as soon as no name leads to them, as real file systems do. */
static vfile *new_file(vdisk *d) {
    uint64_t number = 0;
    for (bool taken = true; taken;) {
        number++;
        taken = false;
        for (const vfile *f = d->files; f != NULL && !taken; f = f->next) {
            taken = f->number == number && (f->links > 0 || f->durable_links > 0 || f->opens > 0);
        }
    }
    for (vfile *f = d->files; f != NULL; f = f->next)
        if (f->number == number) f->number = 0;
    vfile *f = calloc(1, sizeof *f);
    WEIR_ASSERT(f != NULL);
    f->number = number;
    f->next = d->files;
    d->files = f;
    return f;
}

static void resize(vfile *f, uint32_t len) {
    if (len > f->cap) {
        f->cap = len * 2 > 64 ? len * 2 : 64;
        f->bytes = realloc(f->bytes, f->cap);
        WEIR_ASSERT(f->bytes != NULL);
    }
    if (len > f->len) memset(f->bytes + f->len, 0, len - f->len);
    if (len < f->common) f->common = len;
    if (len < f->bad_to) f->bad_to = len;
    if (f->len != len) f->dirty = true;
    f->len = len;
}

static void store_bytes(vfile *f, const void *bytes, size_t size, uint64_t offset) {
    uint32_t end = (uint32_t)(offset + size);
    if (end > f->len) resize(f, end);
    if (size > 0) memcpy(f->bytes + offset, bytes, size);
    if (offset < f->common) f->common = (uint32_t)offset;
    if (offset <= f->bad_from && end > f->bad_from) f->bad_from = end;
    f->dirty = true;
}

static void make_durable(vfile *f) {
    if (f->len > f->durable_cap) {
        f->durable_cap = f->len;
        f->durable = realloc(f->durable, f->durable_cap);
        WEIR_ASSERT(f->durable != NULL);
    }
    if (f->len > 0) memcpy(f->durable, f->bytes, f->len);
    f->durable_len = f->common = f->len;
    f->dirty = f->bad_from < f->bad_to;
    if (!f->dirty) return;
    memset(f->durable + f->bad_from, 0, f->bad_to - f->bad_from);
    f->common = f->bad_from;
}

/* What is left of a file that was written and not synced. */
static void tear(vdisk *d, vfile *f) {
    if (!f->dirty) return;
    world *w = d->w;
    if (sim_chance(w, 350)) { /* nothing of it reached the disk */
        resize(f, f->durable_len);
        if (f->len > 0) memcpy(f->bytes, f->durable, f->len);
    } else {
        uint32_t kept = f->common + sim_below(w, f->len - f->common + 1);
        if (sim_chance(w, 300)) {
            /* The length did, the bytes did not. */
            memset(f->bytes + kept, 0, f->len - kept);
        } else {
            resize(f, kept);
        }
    }
    f->bad_from = f->bad_to = 0;
    make_durable(f);
}

void vdisk_process_died(vdisk *d, const void *process) {
    for (uint32_t i = 0; i < d->handle_count; i++) {
        handle *h = &d->handles[i];
        if (h->file == NULL || (process != NULL && h->owner != process)) continue;
        h->file->opens--;
        *h = (handle){0};
    }
    for (size_t i = 0; i < sizeof d->locks / sizeof d->locks[0]; i++) {
        if (process == NULL || d->locks[i].owner == process) d->locks[i].owner = NULL;
    }
}

void vdisk_power_failure(vdisk *d) {
    vdisk_process_died(d, NULL);
    for (uint32_t i = 0; i < d->folder_count; i++) {
        folder *f = &d->folders[i];
        /* Some failures lose everything that was not synced, some nothing, most this and that. */
        uint32_t keep = (uint32_t[]){0, 500, 500, 800, 1000}[sim_below(d->w, 5)];
        bool before = true;
        for (uint32_t k = 0; k < f->change_count; k++) {
            before = sim_chance(d->w, keep) && (before || !f->changes[k].second);
            if (!before) continue;
            trace(d->w, "disk: change of %s survives", f->changes[k].text);
            apply(&f->durable, &f->changes[k], true);
        }
        f->change_count = 0;
        copy_names(&f->live, &f->durable, false);
    }
    for (vfile *f = d->files; f != NULL; f = f->next) tear(d, f);
}

/* ---- operations on files ---- */

/* 0, or what the disk answers instead. */
static int fault(vdisk *d, bool writes) {
    if (!world_op(d->w)) return EIO;
    if (!sim_fault(d->w, d->w->config.disk)) return 0;
    trace(d->w, "disk: fault");
    return writes && sim_chance(d->w, 500) ? ENOSPC : EIO;
}

static int new_handle(vdisk *d, vfile *file, int *fd) {
    uint32_t i = 0;
    while (i < d->handle_count && d->handles[i].file != NULL) i++;
    if (i == d->handle_count) {
        d->handles = realloc(d->handles, ++d->handle_count * sizeof *d->handles);
        WEIR_ASSERT(d->handles != NULL);
    }
    d->handles[i] = (handle){.file = file, .owner = d->w->current};
    file->opens++;
    *fd = (int)i;
    return 0;
}

int vdisk_create(vdisk *d, const char *path, int *fd) {
    int code = fault(d, true);
    if (code != 0) return code;
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    if (f == NULL) return ENOENT;
    if (get(&f->live, base) != NULL) return EEXIST;
    vfile *file = new_file(d);
    change c = {.kind = CHANGE_SET, .file = file};
    (void)snprintf(c.text, sizeof c.text, "%s", base);
    change_folder(d, f, c);
    return new_handle(d, file, fd);
}

int vdisk_open(vdisk *d, const char *path, int *fd) {
    int code = fault(d, false);
    if (code != 0) return code;
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    vfile *file = f != NULL ? get(&f->live, base) : NULL;
    return file != NULL ? new_handle(d, file, fd) : ENOENT;
}

void vdisk_close(vdisk *d, int fd) {
    if (fd < 0 || (uint32_t)fd >= d->handle_count || d->handles[fd].file == NULL) return;
    d->handles[fd].file->opens--;
    d->handles[fd] = (handle){0};
}

static vfile *file_of(vdisk *d, int fd) {
    WEIR_ASSERT(fd >= 0 && (uint32_t)fd < d->handle_count);
    return d->handles[fd].file;
}

int vdisk_write(vdisk *d, int fd, const void *bytes, size_t size, uint64_t offset) {
    int code = fault(d, true);
    vfile *f = file_of(d, fd);
    if (d->w->crashed || f == NULL) return EIO;
    /* A full disk takes the beginning. */
    if (code != 0) size = sim_below(d->w, (uint32_t)size);
    store_bytes(f, bytes, size, offset);
    return code;
}

int vdisk_read(vdisk *d, int fd, void *out, size_t size, uint64_t offset, size_t *got) {
    int code = fault(d, false);
    vfile *f = file_of(d, fd);
    if (code != 0 || f == NULL) return code != 0 ? code : EIO;
    *got = offset >= f->len ? 0 : f->len - (size_t)offset < size ? f->len - (size_t)offset : size;
    if (*got > 0) memcpy(out, f->bytes + offset, *got);
    return 0;
}

int vdisk_truncate(vdisk *d, int fd, uint64_t size) {
    int code = fault(d, false);
    vfile *f = file_of(d, fd);
    if (code != 0 || f == NULL) return code != 0 ? code : EIO;
    resize(f, (uint32_t)size);
    return 0;
}

static int sync_file(vdisk *d, vfile *f) {
    int code = fault(d, false);
    if (d->w->crashed) return EIO;
    if (code != 0) {
        if (f->bad_from >= f->bad_to || f->common < f->bad_from) f->bad_from = f->common;
        f->bad_to = f->len;
        return EIO;
    }
    make_durable(f);
    return 0;
}

int vdisk_sync(vdisk *d, int fd) {
    vfile *f = file_of(d, fd);
    return f != NULL ? sync_file(d, f) : EIO;
}

int vdisk_sync_dir(vdisk *d, const char *path) {
    int code = fault(d, false);
    if (code != 0) return EIO;
    folder *f = folder_of(d, path, strlen(path));
    if (f == NULL) return ENOENT;
    trace(d->w, "disk: folder %s is durable", f->path);
    copy_names(&f->durable, &f->live, true);
    f->change_count = 0;
    return 0;
}

/* Files that get a name which readers look at have become visible. */
static void published(vdisk *d, const char *path, const vfile *file) {
    if (strncmp(path, "/out/", 5) != 0 || path[5] == '.') return;
    world_visible(d->w, (const written *)(const void *)file->bytes,
                  file->len / (uint32_t)sizeof(written));
}

int vdisk_rename_new(vdisk *d, const char *from, const char *to) {
    int code = fault(d, true);
    if (code != 0) return code;
    const char *from_base = NULL, *to_base = NULL;
    folder *f = locate(d, from, &from_base);
    if (f == NULL || f != locate(d, to, &to_base)) return ENOENT;
    vfile *file = get(&f->live, from_base);
    if (file == NULL) return ENOENT;
    if (get(&f->live, to_base) != NULL) return EEXIST;
    change c = {.kind = CHANGE_RENAME, .file = file};
    (void)snprintf(c.text, sizeof c.text, "%s", to_base);
    (void)snprintf(c.from, sizeof c.from, "%s", from_base);
    published(d, to, file);
    if (!d->w->config.link_rename) {
        change_folder(d, f, c);
        return 0;
    }
    change unlink_old = {.kind = CHANGE_REMOVE, .second = true};
    (void)snprintf(unlink_old.text, sizeof unlink_old.text, "%s", from_base);
    c.kind = CHANGE_SET;
    change_folder(d, f, c);
    if (!world_op(d->w)) return EIO;
    change_folder(d, f, unlink_old);
    return 0;
}

static int remove_name(vdisk *d, const char *path) {
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    if (f == NULL || get(&f->live, base) == NULL) return ENOENT;
    change c = {.kind = CHANGE_REMOVE};
    (void)snprintf(c.text, sizeof c.text, "%s", base);
    change_folder(d, f, c);
    return 0;
}

int vdisk_remove(vdisk *d, const char *path) {
    int code = fault(d, false);
    return code != 0 ? code : remove_name(d, path);
}

int vdisk_stat(vdisk *d, const char *path, uint64_t *size, uint64_t *inode) {
    int code = fault(d, false);
    if (code != 0) return code;
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    const vfile *file = f != NULL ? get(&f->live, base) : NULL;
    if (file == NULL) return ENOENT;
    *size = file->len;
    *inode = file->number;
    return 0;
}

int vdisk_list(vdisk *d, const char *path, int (*each)(void *opaque, const char *name),
               void *opaque) {
    int code = fault(d, false);
    if (code != 0) return code;
    folder *f = folder_of(d, path, strlen(path));
    if (f == NULL) return ENOENT;
    for (uint32_t i = 0; i < f->live.count && code == 0; i++)
        code = each(opaque, f->live.items[i].text);
    return code;
}

/* ---- the store's table ---- */

static weir_status status_of(int code, const char *what, const char *path, weir_error *err) {
    switch (code) {
    case 0:
        return WEIR_OK;
    case ENOENT:
        return error_set(err, WEIR_E_NOT_FOUND, 0, "cannot %s %s: no such file", what, path);
    case EEXIST:
        return error_set(err, WEIR_E_EXISTS, 0, "cannot %s %s: it exists", what, path);
    case ENOSPC:
        return error_set(err, WEIR_E_IO, WEIR_ERR_RETRYABLE, "cannot %s %s: disk full", what, path);
    default:
        return error_set(err, WEIR_E_IO, 0, "cannot %s %s: input/output error", what, path);
    }
}

static weir_status disk_make_dirs(void *self, const char *path, weir_error *err) {
    int code = fault(self, true);
    if (code == 0) make_folder(self, path);
    return status_of(code, "make folder", path, err);
}

static weir_status disk_create(void *self, const char *path, weir_str bytes, weir_error *err) {
    vdisk *d = self;
    int fd = -1;
    int code = vdisk_create(d, path, &fd);
    if (code == 0) {
        code = vdisk_write(d, fd, bytes.ptr, (size_t)bytes.len, 0);
        vdisk_close(d, fd);
        /* Without room it takes the file away again, as the real one does. */
        if (code != 0 && !d->w->crashed) (void)remove_name(d, path);
    }
    return status_of(code, "create", path, err);
}

static weir_status disk_sync_file(void *self, const char *path, weir_error *err) {
    vdisk *d = self;
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    vfile *file = f != NULL ? get(&f->live, base) : NULL;
    return status_of(file != NULL ? sync_file(d, file) : ENOENT, "sync", path, err);
}

static weir_status disk_sync_dir(void *self, const char *path, weir_error *err) {
    return status_of(vdisk_sync_dir(self, path), "sync", path, err);
}

static weir_status disk_rename(void *self, const char *from, const char *to, weir_error *err) {
    vdisk *d = self;
    int code = fault(d, true);
    const char *from_base = NULL, *to_base = NULL;
    folder *f = locate(d, from, &from_base);
    vfile *file = f != NULL ? get(&f->live, from_base) : NULL;
    if (code == 0 && (file == NULL || locate(d, to, &to_base) != f)) code = ENOENT;
    /* A failing disk may have done it all the same. */
    if (code == 0 || (code == EIO && !d->w->crashed && file != NULL && sim_chance(d->w, 500))) {
        change c = {.kind = CHANGE_RENAME, .file = file};
        (void)locate(d, to, &to_base);
        (void)snprintf(c.text, sizeof c.text, "%s", to_base);
        (void)snprintf(c.from, sizeof c.from, "%s", from_base);
        change_folder(d, f, c);
    }
    return status_of(code, "rename", to, err);
}

static weir_status disk_remove(void *self, const char *path, weir_error *err) {
    int code = vdisk_remove(self, path);
    return status_of(code == ENOENT ? 0 : code, "remove", path, err);
}

static weir_status disk_read(void *self, const char *path, size_t max, buf *out, weir_error *err) {
    vdisk *d = self;
    int code = fault(d, false);
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    const vfile *file = f != NULL ? get(&f->live, base) : NULL;
    if (code == 0 && file == NULL) code = ENOENT;
    if (code == 0) WEIR_ASSERT(file->len <= max);
    if (code == 0) buf_append(out, file->bytes, file->len);
    return status_of(code, "read", path, err);
}

static weir_status disk_list(void *self, const char *path,
                             void (*each)(void *opaque, const char *name), void *opaque,
                             weir_error *err) {
    vdisk *d = self;
    int code = fault(d, false);
    folder *f = folder_of(d, path, strlen(path));
    if (code == 0 && f == NULL) code = ENOENT;
    for (uint32_t i = 0; code == 0 && i < f->live.count; i++) each(opaque, f->live.items[i].text);
    return status_of(code, "list", path, err);
}

static weir_status disk_lock(void *self, const char *path, int *handle_out, weir_error *err) {
    vdisk *d = self;
    int code = fault(d, false);
    if (code != 0) return status_of(code, "lock", path, err);
    int room = -1;
    for (int i = 0; i < (int)(sizeof d->locks / sizeof d->locks[0]); i++) {
        bool held = d->locks[i].owner != NULL;
        if (held && strcmp(d->locks[i].path, path) == 0 && !mutated("two_owners"))
            return error_set(err, WEIR_E_EXISTS, 0, "%s is locked", path);
        if (!held && room < 0) room = i;
    }
    WEIR_ASSERT(room >= 0);
    (void)snprintf(d->locks[room].path, NAME_BYTES, "%s", path);
    d->locks[room].owner = d->w->current;
    *handle_out = room;
    return WEIR_OK;
}

static void disk_unlock(void *self, int h) {
    vdisk *d = self;
    d->locks[h].owner = NULL;
}

static const disk table = {
    .make_dirs = disk_make_dirs,
    .create = disk_create,
    .sync_file = disk_sync_file,
    .sync_dir = disk_sync_dir,
    .rename = disk_rename,
    .remove = disk_remove,
    .read = disk_read,
    .list = disk_list,
    .lock = disk_lock,
    .unlock = disk_unlock,
};

/* ---- for the checks ---- */

void vdisk_each(vdisk *d, const char *path,
                void (*each)(void *opaque, const char *name, const uint8_t *bytes, size_t len),
                void *opaque) {
    folder *f = folder_of(d, path, strlen(path));
    for (uint32_t i = 0; f != NULL && i < f->live.count; i++) {
        const vfile *file = f->live.items[i].file;
        each(opaque, f->live.items[i].text, file->bytes, file->len);
    }
}

void vdisk_put(vdisk *d, const char *path, const void *bytes, size_t len) {
    char parent[NAME_BYTES];
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    make_folder(d, parent);
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    vfile *file = new_file(d);
    store_bytes(file, bytes, len, 0);
    make_durable(file);
    set_name(&f->live, base, file, false);
    set_name(&f->durable, base, file, true);
}

bool vdisk_flip(vdisk *d, const char *path) {
    const char *base = NULL;
    folder *f = locate(d, path, &base);
    vfile *file = f != NULL ? get(&f->live, base) : NULL;
    if (file == NULL || file->len == 0) return false;
    file->bytes[file->len / 2] ^= 1;
    make_durable(file);
    return true;
}

bool vdisk_last(vdisk *d, const char *path, char *out, size_t size) {
    folder *f = folder_of(d, path, strlen(path));
    const char *last = NULL;
    for (uint32_t i = 0; f != NULL && i < f->live.count; i++) {
        const char *text = f->live.items[i].text;
        if (last == NULL || strcmp(text, last) > 0) last = text;
    }
    if (last == NULL) return false;
    (void)snprintf(out, size, "%s/%s", path, last);
    return true;
}
