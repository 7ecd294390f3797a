#include "checkpoint/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "checkpoint/mutation.h"
#include "checkpoint/store_private.h"

static weir_status open_folders(store *s, const char *folder, weir_error *err);
static weir_status look_around(store *s, weir_error *err);
static weir_status write_file(const store *s, const char *folder, const char *path,
                              const checkpoint *c, store_written *out, weir_error *err);
static void remove_old(store *s);
static weir_status no_memory(weir_error *err);

/* ---- open and close ---- */

store *store_open(const store_config *config, bool read_only, weir_error *err) {
    arena *memory = arena_new(MIB);
    store *s = memory != NULL ? arena_zalloc(memory, sizeof *s) : NULL;
    if (s == NULL) {
        arena_free(memory);
        (void)no_memory(err);
        return NULL;
    }
    s->memory = memory;
    s->disk = config->disk;
    s->clock = config->clock != NULL ? config->clock : &clock_system;
    s->retain = config->retain > 0 ? config->retain : 1;
    s->read_only = read_only;
    s->pipeline = arena_str(memory, config->pipeline);
    const char *place = config->place != NULL ? config->place : config->folder;
    s->place = arena_printf(memory, "%s", place);
    s->checkpoints = arena_printf(memory, "%s/checkpoints", place);
    s->savepoints = arena_printf(memory, "%s/savepoints", place);
    weir_status status = WEIR_OK;
    if (s->pipeline.ptr == NULL || s->place == NULL || s->checkpoints == NULL ||
        s->savepoints == NULL)
        status = no_memory(err);
    if (status == WEIR_OK && !read_only) status = open_folders(s, config->folder, err);
    if (status == WEIR_OK) status = look_around(s, err);
    if (status == WEIR_OK) return s;
    store_close(s);
    return NULL;
}

void store_close(store *s) {
    if (s == NULL) return;
    while (s->lock_count > 0) s->disk->unlock(s->disk->self, s->locks[--s->lock_count]);
    mem_free(s->files);
    arena_free(s->memory);
}

static weir_status lock_folder(store *s, const char *folder, weir_error *err) {
    char path[STORE_PATH_MAX];
    if (!store_path(path, folder, STR("lock"), ""))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s/lock", folder);
    weir_status status = s->disk->lock(s->disk->self, path, &s->locks[s->lock_count], err);
    if (status == WEIR_OK) {
        s->lock_count++;
    } else if (status == WEIR_E_EXISTS) {
        error_prefix(err, "pipeline %.*s runs already", STR_FMT(s->pipeline));
        error_hint(err, "stop the other one first, or give this one another name or state folder");
    }
    return status;
}

static weir_status open_folders(store *s, const char *folder, weir_error *err) {
    const disk *d = s->disk;
    weir_status status = d->make_dirs(d->self, folder, err);
    if (status == WEIR_OK) status = lock_folder(s, folder, err);
    bool elsewhere = strcmp(folder, s->place) != 0;
    if (status == WEIR_OK && elsewhere) status = d->make_dirs(d->self, s->place, err);
    if (status == WEIR_OK && elsewhere) status = lock_folder(s, s->place, err);
    if (status == WEIR_OK) status = d->make_dirs(d->self, s->checkpoints, err);
    if (status == WEIR_OK) status = d->make_dirs(d->self, s->savepoints, err);
    return status;
}

/* What a crash left half done is worth nothing: nothing was committed because of it. A file that
 * cannot be removed is in nobody's way. */
static void remove_temporary(const store *s, const char *folder, const char *name) {
    char path[STORE_PATH_MAX];
    weir_error *err = error_new();
    if (store_path(path, folder, str_of(name), "") &&
        s->disk->remove(s->disk->self, path, err) != WEIR_OK)
        log_write(WEIR_LOG_WARN, NULL, "temporary file left: %s", error_text(err));
    error_free(err);
}

static weir_status look_at_checkpoints(store *s, weir_error *err) {
    names n;
    weir_status status = names_read(s, s->checkpoints, &n, err);
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        uint64_t epoch;
        if (store_name_epoch(n.items[i], false, &epoch)) {
            store_saw_epoch(s, epoch);
            if (!store_know(s, epoch, FILE_UNTRIED)) status = no_memory(err);
        } else if (store_name_epoch(n.items[i], true, &epoch)) {
            store_saw_epoch(s, epoch);
        }
        if (!s->read_only && str_ends(str_of(n.items[i]), STR(STORE_TEMPORARY)))
            remove_temporary(s, s->checkpoints, n.items[i]);
    }
    names_free(&n);
    return status;
}

/* The epoch of a savepoint stands inside; in a damaged one perhaps still in its head. */
static weir_status look_at_savepoint(store *s, const char *name, weir_error *err) {
    char path[STORE_PATH_MAX];
    if (!store_path(path, s->savepoints, str_of(name), "")) return WEIR_OK;
    buf bytes;
    buf_init(&bytes, CHECKPOINT_BYTES_MAX);
    weir_status status = s->disk->read(s->disk->self, path, CHECKPOINT_BYTES_MAX, &bytes, err);
    uint64_t epoch;
    if (status == WEIR_OK && checkpoint_peek_epoch(buf_str(&bytes), &epoch))
        store_saw_epoch(s, epoch);
    buf_free(&bytes);
    if (status == WEIR_E_NOMEM) return status;
    error_clear(err); /* whoever asks for that savepoint is told */
    return WEIR_OK;
}

static weir_status look_around(store *s, weir_error *err) {
    weir_status status = look_at_checkpoints(s, err);
    if (status != WEIR_OK) return status;
    names n;
    status = names_read(s, s->savepoints, &n, err);
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        weir_str name = str_of(n.items[i]);
        if (str_ends(name, STR(STORE_SUFFIX)))
            status = look_at_savepoint(s, n.items[i], err);
        else if (!s->read_only && str_ends(name, STR(STORE_TEMPORARY)))
            remove_temporary(s, s->savepoints, n.items[i]);
    }
    names_free(&n);
    return status;
}

/* ---- epochs ---- */

/* For the mutation epoch_reused: as if files that cannot be read had never been. */
static uint64_t highest_readable(const store *s) {
    char path[STORE_PATH_MAX];
    for (uint32_t i = 0; i < s->file_count; i++) {
        checkpoint *c;
        uint64_t epoch = s->files[i].epoch;
        if (!store_checkpoint_path(s, path, epoch) ||
            store_read(s, path, epoch, &c, NULL, NULL) != WEIR_OK)
            continue;
        checkpoint_free(c);
        return epoch > s->given ? epoch : s->given;
    }
    return s->given;
}

uint64_t store_next_epoch(store *s) {
    uint64_t last = MUTATED(epoch_reused) ? highest_readable(s) : s->seen;
    s->given = last + 1;
    store_saw_epoch(s, s->given);
    return s->given;
}

void store_saw_epoch(store *s, uint64_t epoch) {
    if (epoch > s->seen) s->seen = epoch;
}

/* ---- writing ---- */

weir_status store_write(store *s, const checkpoint *c, store_written *out, weir_error *err) {
    *out = (store_written){0};
    char path[STORE_PATH_MAX];
    if (s->read_only)
        return error_set(err, WEIR_E_INVALID_STATE, 0, "the store was opened for reading only");
    if (!store_checkpoint_path(s, path, c->epoch))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", s->checkpoints);
    store_saw_epoch(s, c->epoch);
    weir_status status = write_file(s, s->checkpoints, path, c, out, err);
    if (status != WEIR_OK) {
        error_prefix(err, "checkpoint %" PRIu64 " was not stored", c->epoch);
        /* It may be there, and must not be taken for one to remove. */
        if (out->maybe_durable) (void)store_know(s, c->epoch, FILE_UNTRIED);
        return status;
    }
    /* Without memory for the list it stays one file longer than asked for. */
    if (store_know(s, c->epoch, FILE_READABLE)) remove_old(s);
    return WEIR_OK;
}

weir_status store_write_savepoint(store *s, const checkpoint *c, store_written *out,
                                  weir_error *err) {
    *out = (store_written){0};
    if (s->read_only)
        return error_set(err, WEIR_E_INVALID_STATE, 0, "the store was opened for reading only");
    weir_status status = store_check_name(c->name, err);
    if (status != WEIR_OK) return status;
    char path[STORE_PATH_MAX], file[LIMIT_NAME_BYTES + 16];
    (void)snprintf(file, sizeof file, "%.*s%s", STR_FMT(c->name), STORE_SUFFIX);
    if (!store_path(path, s->savepoints, str_of(file), ""))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", s->savepoints);
    names n;
    status = names_read(s, s->savepoints, &n, err);
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        if (strcmp(n.items[i], file) != 0) continue;
        status = error_set(err, WEIR_E_EXISTS, 0, "there is a savepoint %.*s already: %s",
                           STR_FMT(c->name), path);
        error_hint(err, "take another name, or delete that one first");
    }
    names_free(&n);
    if (status != WEIR_OK) return status;
    store_saw_epoch(s, c->epoch);
    status = write_file(s, s->savepoints, path, c, out, err);
    if (status != WEIR_OK) error_prefix(err, "savepoint %.*s was not stored", STR_FMT(c->name));
    return status;
}

weir_status store_check_name(weir_str name, weir_error *err) {
    const char *wrong = NULL;
    if (name.len == 0)
        wrong = "it is empty";
    else if (name.len > LIMIT_NAME_BYTES)
        wrong = "it is longer than 128 bytes";
    else if (name.ptr[0] == '.' || name.ptr[0] == '-')
        wrong = "it begins with a dot or a dash";
    else if (str_eq(name, STR("latest")) || str_eq(name, STR("none")))
        wrong = "--from has another meaning for this word";
    for (uint64_t i = 0; i < name.len && wrong == NULL; i++) {
        char ch = name.ptr[i];
        bool fits = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                    (ch >= '0' && ch <= '9') || ch == '.' || ch == '-' || ch == '_';
        if (!fits) wrong = "only letters, digits, dot, dash and underscore are allowed";
    }
    if (wrong == NULL) return WEIR_OK;
    (void)error_set(err, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                    "'%.*s' is no name of a savepoint: %s", STR_FMT(name), wrong);
    error_hint(err, "for example before-upgrade");
    return WEIR_E_INVALID_ARG;
}

weir_status store_delete_savepoint(store *s, weir_str name, weir_error *err) {
    checkpoint *c = NULL;
    char path[STORE_PATH_MAX];
    weir_status status = store_check_name(name, err);
    /* For the text that names what there is; a damaged one may be deleted, too. */
    if (status == WEIR_OK) status = store_load(s, name, &c, err);
    checkpoint_free(c);
    if (status != WEIR_OK && !store_is_damage(status) && status != WEIR_E_INCOMPATIBLE)
        return status;
    error_clear(err);
    if (!store_path(path, s->savepoints, name, STORE_SUFFIX))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", s->savepoints);
    status = s->disk->remove(s->disk->self, path, err);
    return status == WEIR_OK ? s->disk->sync_dir(s->disk->self, s->savepoints, err) : status;
}

weir_status store_sync(store *s, const checkpoint *c, weir_error *err) {
    if (MUTATED(restore_without_sync)) return WEIR_OK;
    if (c->path.len == 0 || c->path.len >= STORE_PATH_MAX)
        return error_set(err, WEIR_E_INVALID_ARG, 0, "the checkpoint was not read from a file");
    const disk *d = s->disk;
    char folder[STORE_PATH_MAX];
    weir_str parent = os_dirname(c->path);
    (void)snprintf(folder, sizeof folder, "%.*s", STR_FMT(parent));
    weir_status status = d->sync_file(d->self, c->path.ptr, err);
    if (status != WEIR_OK && MUTATED(retry_sync)) status = d->sync_file(d->self, c->path.ptr, err);
    bool ours = strcmp(folder, s->checkpoints) == 0 || strcmp(folder, s->savepoints) == 0;
    if (status == WEIR_E_IO && ours && !s->read_only) {
        log_write(WEIR_LOG_WARN, NULL, "%s; it is written anew", error_text(err));
        store_written ignored = {0};
        status = write_file(s, folder, c->path.ptr, c, &ignored, err);
    } else if (status == WEIR_OK) {
        status = d->sync_dir(d->self, folder, err);
    }
    if (status != WEIR_OK) error_prefix(err, "checkpoint %" PRIu64 " is not durable", c->epoch);
    return status;
}

static weir_status no_memory(weir_error *err) {
    error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    return WEIR_E_NOMEM;
}

/* A file under its final name is whole: its bytes are durable before it gets that name. */
static weir_status put_bytes(const store *s, const char *folder, const char *path, weir_str bytes,
                             store_written *out, weir_error *err) {
    const disk *d = s->disk;
    char temporary[STORE_PATH_MAX];
    if (!store_path(temporary, folder, str_of(strrchr(path, '/') + 1), ".tmp"))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", path);
    weir_status status = d->create(d->self, temporary, bytes, err);
    if (status == WEIR_E_EXISTS) { /* an earlier try could not remove it */
        status = d->remove(d->self, temporary, err);
        if (status == WEIR_OK) status = d->create(d->self, temporary, bytes, err);
    }
    if (status != WEIR_OK) return status;
    int64_t before = clock_mono_ns(s->clock);
    if (!MUTATED(no_file_sync)) {
        status = d->sync_file(d->self, temporary, err);
        if (status != WEIR_OK && MUTATED(retry_sync))
            status = d->sync_file(d->self, temporary, err);
    }
    out->sync_ns = clock_mono_ns(s->clock) - before;
    if (status == WEIR_OK) {
        status = d->rename(d->self, temporary, path, err);
        /* A disk that fails while it renames may have done it. */
        out->maybe_durable = status == WEIR_E_IO;
    }
    if (status != WEIR_OK) {
        (void)d->remove(d->self, temporary, NULL);
        return status;
    }
    before = clock_mono_ns(s->clock);
    if (!MUTATED(no_dir_sync)) status = d->sync_dir(d->self, folder, err);
    out->sync_ns += clock_mono_ns(s->clock) - before;
    out->maybe_durable = status != WEIR_OK;
    return status;
}

static weir_status write_file(const store *s, const char *folder, const char *path,
                              const checkpoint *c, store_written *out, weir_error *err) {
    buf bytes;
    buf_init(&bytes, CHECKPOINT_BYTES_MAX);
    weir_status status = checkpoint_encode(c, &bytes, err);
    if (status == WEIR_OK) {
        out->bytes = bytes.len;
        status = put_bytes(s, folder, path, buf_str(&bytes), out, err);
    }
    buf_free(&bytes);
    return status;
}

/* Keeps the newest `retain` that can be read, and everything newer than the last of them. Files of
 * earlier runs are tried once, when it first matters. */
static void remove_old(store *s) {
    uint32_t readable = 0, keep = 0;
    char path[STORE_PATH_MAX];
    weir_error *err = error_new();
    for (; keep < s->file_count && readable < s->retain; keep++) {
        known_file *f = &s->files[keep];
        if (f->state == FILE_UNTRIED && store_checkpoint_path(s, path, f->epoch)) {
            checkpoint *c;
            weir_status status = store_read(s, path, f->epoch, &c, NULL, NULL);
            checkpoint_free(c);
            if (status == WEIR_OK || store_is_damage(status))
                f->state = status == WEIR_OK ? FILE_READABLE : FILE_DAMAGED;
        }
        if (f->state == FILE_READABLE) readable++;
    }
    for (uint32_t i = s->file_count; i > keep && readable == s->retain; i--) {
        uint64_t epoch = s->files[i - 1].epoch;
        if (!store_checkpoint_path(s, path, epoch)) continue;
        if (s->disk->remove(s->disk->self, path, err) == WEIR_OK)
            store_forget(s, epoch);
        else
            log_write(WEIR_LOG_WARN, NULL, "old checkpoint left: %s", error_text(err));
    }
    error_free(err);
}
