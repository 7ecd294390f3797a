/*
 * The file sink on the virtual disk: decisions and names are those of plugins/std/pending.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "pending.h"
#include "vsink.h"

#define PREFIX "/out/"
#define FOREIGN ".sink_a.bin.another-sink_a-0-1-1.pending"
#define ROLL_BYTES (6 * sizeof(written))
#define FILES_MAX 8u

typedef struct file {
    char name[PENDING_NAME_MAX];
    int fd; /* -1: restored, not opened yet */
    uint64_t length;
    bool roll;
} file;

typedef struct file_sink {
    vsink base;
    pending_fs fs;
    file files[FILES_MAX]; /* the first is written to, the others are completed next */
    uint32_t count;
    uint64_t counter;
} file_sink;

/* ---- the table ---- */

static int fs_create(void *self, const char *path, int *fd) {
    return vdisk_create(self, path, fd);
}
static int fs_open(void *self, const char *path, int *fd) {
    return vdisk_open(self, path, fd);
}
static void fs_close(void *self, int fd) {
    vdisk_close(self, fd);
}
static int fs_write(void *self, int fd, const void *bytes, size_t size, uint64_t offset) {
    return vdisk_write(self, fd, bytes, size, offset);
}
static int fs_read(void *self, int fd, void *out, size_t size, uint64_t offset, size_t *got) {
    return vdisk_read(self, fd, out, size, offset, got);
}
static int fs_truncate(void *self, int fd, uint64_t size) {
    return vdisk_truncate(self, fd, size);
}
static int fs_sync(void *self, int fd) {
    return vdisk_sync(self, fd);
}
static int fs_sync_dir(void *self, const char *prefix) {
    return vdisk_sync_dir(self, prefix);
}
static int fs_rename(void *self, const char *from, const char *to) {
    return vdisk_rename_new(self, from, to);
}
static int fs_remove(void *self, const char *path) {
    return vdisk_remove(self, path);
}
static int fs_stat(void *self, const char *path, pending_stat *out) {
    return vdisk_stat(self, path, &out->size, &out->inode);
}
static int fs_list(void *self, const char *prefix, int (*each)(void *opaque, const char *name),
                   void *opaque) {
    return vdisk_list(self, prefix, each, opaque);
}
static void *fs_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}
static void fs_release(void *self, void *memory) {
    (void)self;
    free(memory);
}

static pending_fs table(const world *w) {
    return (pending_fs){.self = w->disk,
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

static pending_id id_of(const char *instance_id, uint32_t node, uint32_t task, uint64_t epoch) {
    return (pending_id){.run = {instance_id, strlen(instance_id)},
                        .node = {node_name(node), strlen(node_name(node))},
                        .task = task,
                        .epoch = epoch};
}

static void path_of(char out[PENDING_PATH_MAX], const char *name) {
    (void)snprintf(out, PENDING_PATH_MAX, PREFIX "%s", name);
}

/* ---- the writer ---- */

static vsink *open_writer(const vsink_open *open) {
    file_sink *s = calloc(1, sizeof *s);
    WEIR_ASSERT(s != NULL);
    s->fs = table(open->w);
    for (uint32_t i = 0; i < open->blob_count && s->count < FILES_MAX; i++) {
        pending_file f;
        weir_status status = pending_decode(open->blobs[i]->bytes, &f);
        WEIR_ASSERT(status == WEIR_OK && f.kind == PENDING_OPEN);
        file *to = &s->files[s->count++];
        *to = (file){.fd = -1, .length = f.length};
        (void)snprintf(to->name, sizeof to->name, "%.*s", (int)f.name.len, f.name.ptr);
    }
    return &s->base;
}

static void free_writer(vsink *v) {
    file_sink *s = (file_sink *)v;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->files[i].fd >= 0) vdisk_close(v->w->disk, s->files[i].fd);
    free(s);
}

/* A restored file is opened, and what lies behind its length is cut off. */
static int reopen(file_sink *s, file *f) {
    if (f->fd >= 0) return 0;
    char path[PENDING_PATH_MAX];
    path_of(path, f->name);
    int code = s->fs.open(s->fs.self, path, &f->fd);
    if (code == ENOENT)
        violate(s->base.w, "gone: file %s, which a checkpoint keeps open, is not there", f->name);
    if (code == 0) code = s->fs.truncate(s->fs.self, f->fd, f->length);
    if (code != 0 && f->fd >= 0) {
        vdisk_close(s->base.w->disk, f->fd);
        f->fd = -1;
    }
    return code;
}

static int new_file(file_sink *s) {
    char path[PENDING_PATH_MAX], target[32];
    file f = {.fd = -1};
    pending_id id = id_of(s->base.instance_id, s->base.node, s->base.task, s->base.epoch);
    (void)snprintf(target, sizeof target, "%s.bin", node_name(s->base.node));
    pending_name(f.name, &id, target, s->counter++, PENDING_SUFFIX);
    path_of(path, f.name);
    int code = s->fs.create(s->fs.self, path, &f.fd);
    if (code == 0) s->files[s->count++] = f;
    return code;
}

static took take(vsink *v, const written *r) {
    file_sink *s = (file_sink *)v;
    int code = s->count == 0 ? new_file(s) : reopen(s, &s->files[0]);
    if (code == 0) {
        file *f = &s->files[0];
        code = s->fs.write(s->fs.self, f->fd, r, sizeof *r, f->length);
        if (code == 0) f->length += sizeof *r;
    }
    if (v->w->crashed) return FAILED;
    return code == 0 ? TOOK : AGAIN;
}

static weir_status flush(vsink *v, uint64_t epoch, bool last) {
    file_sink *s = (file_sink *)v;
    (void)epoch;
    for (uint32_t i = 0; i < s->count; i++) {
        file *f = &s->files[i];
        f->roll = i > 0 || last || !v->w->config.keep_open || f->length >= ROLL_BYTES;
        if (reopen(s, f) != 0) return v->w->crashed ? WEIR_E_FENCED : WEIR_E_IO;
        /* What is in it now is unknown for good: only reading again helps. */
        if (pending_sync(&s->fs, f->fd) != 0)
            return mutated("failed_sync_retried") ? WEIR_E_IO : WEIR_E_FENCED;
    }
    if (s->count == 0) return WEIR_OK;
    return pending_sync_names(&s->fs, PREFIX) == 0 ? WEIR_OK : WEIR_E_IO;
}

static weir_status describe(file_sink *s, const file *f, bool committable, char *out,
                            size_t *size) {
    char path[PENDING_PATH_MAX], target[32];
    pending_stat st;
    (void)snprintf(target, sizeof target, "%s.bin", node_name(s->base.node));
    path_of(path, f->name);
    pending_file p = {.kind = committable ? PENDING_COMMITTABLE : PENDING_OPEN,
                      .text = {target, strlen(target)},
                      .dir = {"", 0},
                      .name = {f->name, strlen(f->name)},
                      .length = f->length};
    int code = s->fs.stat(s->fs.self, path, &st);
    if (code == 0) code = pending_tail(&s->fs, f->fd, f->length, &p.tail);
    p.inode = st.inode;
    *size = code == 0 ? pending_encode(&p, out) : 0;
    if (code != 0) return s->base.w->crashed ? WEIR_E_FENCED : WEIR_E_IO;
    WEIR_ASSERT(*size > 0);
    return WEIR_OK;
}

static weir_status prepare(vsink *v, uint64_t epoch, sink_epochs *epochs, state_part *part) {
    file_sink *s = (file_sink *)v;
    (void)epoch;
    char blob[PENDING_BLOB_MAX];
    size_t size;
    weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < s->count && status == WEIR_OK; i++) {
        bool roll = s->files[i].roll;
        status = describe(s, &s->files[i], roll, blob, &size);
        if (status != WEIR_OK) break;
        weir_str bytes = {blob, size};
        status = roll ? sink_epochs_add_committable(epochs, bytes)
                      : part_add_blob(part, &(state_blob){.scope = WEIR_SCOPE_ITEM,
                                                          .version = 1,
                                                          .instance = v->task,
                                                          .bytes = bytes});
    }
    if (status != WEIR_OK) return status;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->files[i].roll) {
            vdisk_close(v->w->disk, s->files[i].fd);
        } else {
            s->files[kept++] = s->files[i];
        }
    }
    s->count = kept;
    return WEIR_OK;
}

/* ---- decisions ---- */

static void commit(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                   uint32_t *verdicts) {
    (void)node;
    pending_fs fs = table(w);
    bool sync[RECORDS_MAX] = {false}, any = false;
    WEIR_ASSERT(count <= RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        pending_file f;
        pending_outcome out;
        weir_status status = pending_decode(items[i]->bytes, &f);
        WEIR_ASSERT(status == WEIR_OK);
        verdicts[i] = WEIR_VERDICT_RETRY;
        if (w->crashed || sim_fault(w, w->config.commit)) continue;
        pending_commit(&fs, PREFIX, &f, &out);
        if (w->crashed) continue;
        verdicts[i] = out.verdict;
        sync[i] = out.sync;
        any |= out.sync;
    }
    bool fails = sim_fault(w, w->config.commit);
    if (!any || (pending_commit_names(&fs, PREFIX) == 0 && !fails && !w->crashed)) return;
    for (uint32_t i = 0; i < count; i++)
        if (sync[i]) verdicts[i] = WEIR_VERDICT_RETRY;
}

static void abort_item(world *w, uint32_t node, const state_committable *c) {
    (void)node;
    pending_fs fs = table(w);
    pending_file f;
    pending_outcome out;
    if (pending_decode(c->bytes, &f) == WEIR_OK) pending_abort(&fs, PREFIX, &f, &out);
}

static char *prefix_of(void *opaque, weir_str dir) {
    (void)opaque;
    (void)dir;
    char *out = malloc(sizeof PREFIX);
    if (out != NULL) memcpy(out, PREFIX, sizeof PREFIX);
    return out;
}

static bool stopped(void *opaque) {
    return ((const world *)opaque)->crashed;
}

/* What a retained checkpoint of another line of runs refers to stays; it is no orphan. */
static void leave_files(world *w, const state_blob *const *kept, uint32_t count) {
    const uint32_t most = sizeof w->left_files / sizeof w->left_files[0];
    for (uint32_t i = 0; i < count; i++) {
        pending_file f;
        if (pending_decode(kept[i]->bytes, &f) != WEIR_OK) continue;
        uint32_t at = w->left_file_count++ % most;
        (void)snprintf(w->left_files[at], sizeof w->left_files[at], "%.*s", (int)f.name.len,
                       f.name.ptr);
    }
}

static weir_status recover(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                           const state_blob *const *kept, uint32_t count) {
    (void)parallelism;
    weir_blob *blobs = calloc(count + 1u, sizeof *blobs);
    const weir_blob **list = calloc(count + 1u, sizeof(weir_blob *));
    WEIR_ASSERT(blobs != NULL && list != NULL);
    for (uint32_t i = 0; i < count; i++) {
        blobs[i] = (weir_blob){.struct_size = sizeof(weir_blob),
                               .scope = kept[i]->scope,
                               .state_version = kept[i]->version,
                               .bytes = kept[i]->bytes};
        list[i] = &blobs[i];
    }
    leave_files(w, kept, count);
    pending_fs fs = table(w);
    pending_id id = id_of(instance_id, node, 0, 0);
    pending_recovery r = {.fs = &fs,
                          .id = &id,
                          .kept = list,
                          .kept_count = count,
                          .prefix_of = prefix_of,
                          .stopped = stopped,
                          .opaque = w};
    weir_str root = {"", 0};
    int code = mutated("orphans_not_listed") ? 0 : pending_recover(&r, &root, 1);
    if (r.removed > 0) trace(w, "file: %u orphans removed", (unsigned)r.removed);
    free(blobs);
    free(list);
    return code == 0 ? WEIR_OK : code == ECANCELED ? WEIR_E_CANCELLED : WEIR_E_IO;
}

/* ---- outside ---- */

typedef struct look {
    world *w;
    uint32_t node, place, orphans;
    vsink_each each;
    void *opaque;
    char *first;
    size_t size;
} look;

static void look_at(void *opaque, const char *name, const uint8_t *bytes, size_t len) {
    look *l = opaque;
    const char *stem = node_name(l->node);
    if (name[0] == '.' || strncmp(name, stem, strlen(stem)) != 0) return;
    if (len % sizeof(written) != 0) violate(l->w, "torn: file %s is not whole", name);
    for (size_t i = 0; i + sizeof(written) <= len; i += sizeof(written)) {
        written r;
        memcpy(&r, bytes + i, sizeof r);
        if (r.record >= l->w->record_count) {
            violate(l->w, "torn: file %s holds what nobody wrote", name);
            return;
        }
        l->each(l->opaque, l->node, &r, l->place);
    }
    l->place++;
}

static void visible(world *w, uint32_t node, vsink_each each, void *opaque) {
    look l = {.w = w, .node = node, .each = each, .opaque = opaque};
    vdisk_each(w->disk, "/out", look_at, &l);
}

void file_foreign(world *w) {
    vdisk_put(w->disk, PREFIX FOREIGN, "x", 1);
}

static void look_for_orphan(void *opaque, const char *name, const uint8_t *bytes, size_t len) {
    look *l = opaque;
    (void)bytes;
    (void)len;
    if (name[0] != '.' || strcmp(name, FOREIGN) == 0) return;
    for (uint32_t i = 0; i < sizeof l->w->left_files / sizeof l->w->left_files[0]; i++)
        if (strcmp(l->w->left_files[i], name) == 0) return;
    if (l->orphans++ == 0 && l->first[0] == '\0') (void)snprintf(l->first, l->size, "%s", name);
}

uint32_t file_orphans(world *w, char *first, size_t size) {
    look l = {.w = w, .first = first, .size = size};
    vdisk_each(w->disk, "/out", look_for_orphan, &l);
    return l.orphans;
}

static void look_for_foreign(void *opaque, const char *name, const uint8_t *bytes, size_t len) {
    (void)bytes;
    (void)len;
    if (strcmp(name, FOREIGN) == 0) *(bool *)opaque = true;
}

bool file_foreign_intact(world *w) {
    bool there = false;
    vdisk_each(w->disk, "/out", look_for_foreign, &there);
    return there;
}

const vsink_ops vsink_file = {.open = open_writer,
                              .free = free_writer,
                              .write = take,
                              .flush = flush,
                              .prepare = prepare,
                              .commit = commit,
                              .abort = abort_item,
                              .recover = recover,
                              .visible = visible};
