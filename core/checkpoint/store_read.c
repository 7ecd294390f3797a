#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "checkpoint/mutation.h"
#include "checkpoint/store_private.h"

#define EPOCH_DIGITS 20u
/* Choices that a refusal names: the rest is in `weir savepoint list`. */
#define CHOICES_OF_EACH 3u
/* Looks for the newest file while a worker replaces them. */
#define LOOKS_MOST 20u

static weir_status no_memory(weir_error *err);
static weir_status refuse_damaged(const store *s, uint64_t epoch, weir_error *err);
static weir_status find_files(store *s, weir_error *err);

/* ---- names and paths ---- */

static void names_add(void *opaque, const char *name) {
    names *n = opaque;
    if (n->failed) return;
    if (n->count == n->cap) {
        uint32_t cap = n->cap > 0 ? n->cap * 2 : 16;
        char **items = mem_realloc(n->items, cap * sizeof *items);
        if (items == NULL) {
            n->failed = true;
            return;
        }
        n->items = items;
        n->cap = cap;
    }
    size_t size = strlen(name) + 1;
    char *copy = mem_alloc(size);
    if (copy == NULL) {
        n->failed = true;
        return;
    }
    memcpy(copy, name, size);
    n->items[n->count++] = copy;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

weir_status names_read(const store *s, const char *folder, names *out, weir_error *err) {
    *out = (names){0};
    weir_status status = s->disk->list(s->disk->self, folder, names_add, out, err);
    if (status == WEIR_E_NOT_FOUND) {
        error_clear(err);
        return WEIR_OK;
    }
    if (status == WEIR_OK && out->failed) status = no_memory(err);
    if (out->count > 1) qsort(out->items, out->count, sizeof *out->items, by_bytes);
    return status;
}

void names_free(names *n) {
    for (uint32_t i = 0; i < n->count; i++) mem_free(n->items[i]);
    mem_free(n->items);
    *n = (names){0};
}

bool store_name_epoch(const char *name, bool temporary, uint64_t *epoch) {
    if (strspn(name, "0123456789") != EPOCH_DIGITS) return false;
    if (strcmp(name + EPOCH_DIGITS, temporary ? STORE_TEMPORARY : STORE_SUFFIX) != 0) return false;
    int64_t value; /* larger ones are never written */
    if (!str_to_i64(str_make(name, EPOCH_DIGITS), &value) || value <= 0) return false;
    *epoch = (uint64_t)value;
    return true;
}

bool store_path(char out[STORE_PATH_MAX], const char *folder, weir_str name, const char *suffix) {
    int n = snprintf(out, STORE_PATH_MAX, "%s/%.*s%s", folder, STR_FMT(name), suffix);
    return n > 0 && (unsigned)n < STORE_PATH_MAX;
}

bool store_checkpoint_path(const store *s, char out[STORE_PATH_MAX], uint64_t epoch) {
    char name[32];
    (void)snprintf(name, sizeof name, "%020" PRIu64, epoch);
    return store_path(out, s->checkpoints, str_of(name), STORE_SUFFIX);
}

bool store_know(store *s, uint64_t epoch, file_state state) {
    uint32_t at = 0;
    while (at < s->file_count && s->files[at].epoch > epoch) at++;
    if (at < s->file_count && s->files[at].epoch == epoch) {
        s->files[at].state = state;
        return true;
    }
    if (s->file_count == s->file_cap) {
        uint32_t cap = s->file_cap > 0 ? s->file_cap * 2 : 16;
        known_file *files = mem_realloc(s->files, cap * sizeof *files);
        if (files == NULL) return false;
        s->files = files;
        s->file_cap = cap;
    }
    memmove(&s->files[at + 1], &s->files[at], (s->file_count - at) * sizeof *s->files);
    s->files[at] = (known_file){epoch, state};
    s->file_count++;
    return true;
}

void store_forget(store *s, uint64_t epoch) {
    for (uint32_t i = 0; i < s->file_count; i++) {
        if (s->files[i].epoch != epoch) continue;
        s->file_count--;
        memmove(&s->files[i], &s->files[i + 1], (s->file_count - i) * sizeof *s->files);
        return;
    }
}

/* ---- one file ---- */

bool store_is_damage(weir_status status) {
    return status == WEIR_E_DATA || status == WEIR_E_IO || status == WEIR_E_TOO_LARGE;
}

static weir_status read_into(const store *s, const char *path, uint64_t epoch, checkpoint **out,
                             uint64_t *bytes, weir_error *err) {
    buf b;
    buf_init(&b, CHECKPOINT_BYTES_MAX);
    weir_status status = s->disk->read(s->disk->self, path, CHECKPOINT_BYTES_MAX, &b, err);
    checkpoint *c = status == WEIR_OK ? checkpoint_decode(buf_str(&b), err) : NULL;
    if (bytes != NULL) *bytes = b.len;
    buf_free(&b);
    if (status != WEIR_OK) return status; /* the disk named the file */
    if (c == NULL) {
        status =
            error_set(err, error_status(err), error_flags(err), "%s: %s", path, error_text(err));
        if (status == WEIR_E_INCOMPATIBLE)
            error_hint(err, "run it with the version of weir that wrote it, or a newer one");
        return status;
    }
    c->path = arena_str(c->memory, str_of(path));
    if (epoch != 0 && c->epoch != epoch)
        status =
            error_set(err, WEIR_E_DATA, 0, "%s: it holds epoch %" PRIu64 ", its name says %" PRIu64,
                      path, c->epoch, epoch);
    else if (c->path.ptr == NULL)
        status = no_memory(err);
    else
        *out = c;
    if (status != WEIR_OK) checkpoint_free(c);
    return status;
}

weir_status store_read(const store *s, const char *path, uint64_t epoch, checkpoint **out,
                       uint64_t *bytes, weir_error *err) {
    *out = NULL;
    if (err != NULL) return read_into(s, path, epoch, out, bytes, err);
    /* The decoder tells what kind of failure it is in the error only. */
    weir_error *own = error_new();
    if (own == NULL) return WEIR_E_NOMEM;
    weir_status status = read_into(s, path, epoch, out, bytes, own);
    error_free(own);
    return status;
}

weir_status store_load(store *s, weir_str name_or_path, checkpoint **out, weir_error *err) {
    char path[STORE_PATH_MAX];
    *out = NULL;
    bool is_path = name_or_path.len > 0 && memchr(name_or_path.ptr, '/', name_or_path.len) != NULL;
    if (is_path) {
        if (name_or_path.len >= sizeof path)
            return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %.*s",
                             STR_FMT(name_or_path));
        memcpy(path, name_or_path.ptr, name_or_path.len);
        path[name_or_path.len] = '\0';
        weir_status read = store_read(s, path, 0, out, NULL, err);
        if (read == WEIR_OK) store_saw_epoch(s, (*out)->epoch);
        if (read == WEIR_E_NOT_FOUND) {
            read = error_set(err, read, WEIR_ERR_CONFIG, "there is no file %s", path);
            error_hint(err, "name the file of a savepoint or of a checkpoint; savepoints of this "
                            "pipeline go by their names alone");
        }
        return read;
    }
    weir_status status = store_check_name(name_or_path, err);
    if (status != WEIR_OK) return status;
    if (!store_path(path, s->savepoints, name_or_path, STORE_SUFFIX))
        return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", s->savepoints);
    status = store_read(s, path, 0, out, NULL, err);
    if (status != WEIR_E_NOT_FOUND) return status;

    names n;
    status = names_read(s, s->savepoints, &n, err);
    weir_str *there = status == WEIR_OK ? mem_array(n.count, sizeof *there) : NULL;
    if (status == WEIR_OK && there == NULL) status = no_memory(err);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        weir_str name = str_of(n.items[i]);
        if (!str_ends(name, STR(STORE_SUFFIX))) continue;
        there[count++] = str_make(name.ptr, name.len - (sizeof STORE_SUFFIX - 1));
    }
    if (status == WEIR_OK) {
        buf text;
        buf_init(&text, 512);
        for (uint32_t i = 0; i < count; i++) {
            if (text.len + there[i].len > 400) {
                buf_printf(&text, " and %u more", count - i);
                break;
            }
            buf_printf(&text, "%s%.*s", i > 0 ? ", " : "", STR_FMT(there[i]));
        }
        int near = str_nearest(name_or_path, there, count);
        status = error_set(err, WEIR_E_NOT_FOUND, WEIR_ERR_CONFIG,
                           "there is no savepoint %.*s in %s; there %s%.*s", STR_FMT(name_or_path),
                           s->savepoints,
                           count == 0   ? "is none"
                           : count == 1 ? "is "
                                        : "are ",
                           STR_FMT(buf_str(&text)));
        if (near >= 0) error_hint(err, "did you mean %.*s?", STR_FMT(there[near]));
        buf_free(&text);
    }
    mem_free(there);
    names_free(&n);
    return status;
}

/* ---- the newest ---- */

/* For the mutation newest_by_time: what the wall clock calls the newest. */
static checkpoint *newest_by_time(const store *s) {
    checkpoint *newest = NULL;
    char path[STORE_PATH_MAX];
    for (uint32_t i = 0; i < s->file_count; i++) {
        if (!store_checkpoint_path(s, path, s->files[i].epoch)) continue;
        checkpoint *c;
        if (store_read(s, path, s->files[i].epoch, &c, NULL, NULL) != WEIR_OK) continue;
        if (newest != NULL && c->created_us <= newest->created_us) {
            checkpoint_free(c);
            continue;
        }
        checkpoint_free(newest);
        newest = c;
    }
    return newest;
}

/* One look. `vanished`: files were removed between the listing and the reading. */
static weir_status look_for_newest(store *s, bool strict, checkpoint **out, bool *vanished,
                                   weir_error *err) {
    *vanished = false;
    weir_status status = find_files(s, err);
    if (status != WEIR_OK) return status;
    if (MUTATED(corrupt_steps_back)) strict = false;
    if (MUTATED(newest_by_time)) {
        *out = newest_by_time(s);
        return WEIR_OK;
    }
    uint64_t damaged = 0;
    char path[STORE_PATH_MAX];
    for (uint32_t i = 0; i < s->file_count; i++) {
        known_file *f = &s->files[i];
        if (!store_checkpoint_path(s, path, f->epoch))
            return error_set(err, WEIR_E_TOO_LARGE, 0, "the path is too long: %s", s->checkpoints);
        status = store_read(s, path, f->epoch, out, NULL, err);
        if (status == WEIR_OK) {
            f->state = FILE_READABLE;
            if (damaged > 0)
                log_write(
                    WEIR_LOG_WARN, NULL,
                    "stepping back from epoch %" PRIu64 " to epoch %" PRIu64
                    ", the newest checkpoint that can be read: what was read after it is read "
                    "and written again",
                    damaged, f->epoch);
            error_clear(err);
            return WEIR_OK;
        }
        if (status == WEIR_E_NOT_FOUND) {
            *vanished = true;
            continue;
        }
        if (!store_is_damage(status)) return status;
        f->state = FILE_DAMAGED;
        if (strict) return refuse_damaged(s, f->epoch, err);
        log_write(WEIR_LOG_WARN, NULL, "damaged checkpoint: %s", error_text(err));
        if (damaged == 0) damaged = f->epoch;
    }
    /* Beginning anew could skip what the damaged ones had promised to read. */
    if (damaged > 0) return refuse_damaged(s, damaged, err);
    error_clear(err);
    return WEIR_OK;
}

weir_status store_newest(store *s, bool strict, checkpoint **out, weir_error *err) {
    *out = NULL;
    /* A worker beside a reader may remove all that was listed, but only for newer ones. */
    for (unsigned tries = 0;; tries++) {
        bool vanished;
        weir_status status = look_for_newest(s, strict, out, &vanished, err);
        if (status != WEIR_OK || *out != NULL || !vanished || tries == LOOKS_MOST) return status;
    }
}

static weir_status no_memory(weir_error *err) {
    error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    return WEIR_E_NOMEM;
}

/* What checkpoints/ holds now. */
static weir_status find_files(store *s, weir_error *err) {
    names n;
    weir_status status = names_read(s, s->checkpoints, &n, err);
    if (status == WEIR_OK) s->file_count = 0;
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        uint64_t epoch;
        if (!store_name_epoch(n.items[i], false, &epoch)) continue;
        store_saw_epoch(s, epoch);
        if (!store_know(s, epoch, FILE_UNTRIED)) status = no_memory(err);
    }
    names_free(&n);
    return status;
}

static void time_text(int64_t us, char out[32]) {
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "at an unknown time");
}

/* Appends those older than `below` that can be read. */
static void add_checkpoints(const store *s, uint64_t below, buf *text) {
    char path[STORE_PATH_MAX], when[32];
    unsigned added = 0;
    for (uint32_t i = 0; i < s->file_count && added < CHOICES_OF_EACH; i++) {
        if (s->files[i].epoch >= below || !store_checkpoint_path(s, path, s->files[i].epoch))
            continue;
        checkpoint *c;
        if (store_read(s, path, s->files[i].epoch, &c, NULL, NULL) != WEIR_OK) continue;
        time_text(c->created_us, when);
        buf_printf(text, "--from %s (epoch %" PRIu64 ", %s), ", path, c->epoch, when);
        checkpoint_free(c);
        added++;
    }
}

static void add_savepoints(const store *s, buf *text) {
    names n;
    char path[STORE_PATH_MAX], when[32];
    unsigned added = 0;
    weir_status status = names_read(s, s->savepoints, &n, NULL);
    for (uint32_t i = 0; i < n.count && added < CHOICES_OF_EACH && status == WEIR_OK; i++) {
        weir_str name = str_of(n.items[i]);
        if (!str_ends(name, STR(STORE_SUFFIX)) || !store_path(path, s->savepoints, name, ""))
            continue;
        checkpoint *c;
        if (store_read(s, path, 0, &c, NULL, NULL) != WEIR_OK) continue;
        time_text(c->created_us, when);
        name.len -= sizeof STORE_SUFFIX - 1;
        buf_printf(text, "--from %.*s (savepoint, epoch %" PRIu64 ", %s), ", STR_FMT(name),
                   c->epoch, when);
        checkpoint_free(c);
        added++;
    }
    names_free(&n);
}

/* The file is read once more: it says what is wrong with it. */
static weir_status refuse_damaged(const store *s, uint64_t epoch, weir_error *err) {
    char path[STORE_PATH_MAX];
    checkpoint *c;
    buf text;
    (void)store_checkpoint_path(s, path, epoch);
    weir_status status = store_read(s, path, epoch, &c, NULL, err);
    checkpoint_free(c);
    if (status == WEIR_OK) /* a disk that fails now and then */
        (void)error_set(err, WEIR_E_DATA, 0, "%s: only a second try to read it succeeded", path);
    buf_init(&text, LIMIT_ERROR_BYTES);
    add_checkpoints(s, epoch, &text);
    add_savepoints(s, &text);
    (void)error_set(err, WEIR_E_DATA, WEIR_ERR_CONFIG,
                    "checkpoint %" PRIu64 " %s, and may have been committed: %s", epoch,
                    status == WEIR_E_DATA ? "is damaged" : "cannot be read", error_text(err));
    error_hint(err,
               "put a good copy of that file in its place, or say where to go on: %.*s%s"
               "--from none (as if for the first time); what was written after that point is "
               "written again",
               STR_FMT(buf_str(&text)), text.len > 0 ? "or " : "");
    buf_free(&text);
    return WEIR_E_DATA;
}

/* ---- lists ---- */

weir_status store_list(store *s, bool savepoints, store_entry **out, uint32_t *count,
                       weir_error *err) {
    names n;
    *out = NULL;
    *count = 0;
    const char *folder = savepoints ? s->savepoints : s->checkpoints;
    weir_status status = names_read(s, folder, &n, err);
    store_entry *entries = status == WEIR_OK ? mem_array(n.count, sizeof *entries) : NULL;
    if (status == WEIR_OK && entries == NULL) status = no_memory(err);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n.count && status == WEIR_OK; i++) {
        /* Names of checkpoints sort as their epochs do. */
        weir_str name = str_of(n.items[savepoints ? i : n.count - 1 - i]);
        uint64_t epoch = 0;
        store_entry *e = &entries[found];
        if (savepoints ? !str_ends(name, STR(STORE_SUFFIX))
                       : !store_name_epoch(name.ptr, false, &epoch))
            continue;
        if (!store_path(e->path, folder, name, "")) continue;
        if (savepoints)
            (void)snprintf(e->name, sizeof e->name, "%.*s",
                           (int)(name.len - (sizeof STORE_SUFFIX - 1)), name.ptr);
        checkpoint *c = NULL;
        weir_status read = store_read(s, e->path, epoch, &c, &e->bytes, err);
        if (read == WEIR_E_NOMEM) status = read;
        if (read == WEIR_E_NOT_FOUND) continue; /* removed meanwhile */
        e->readable = read == WEIR_OK && c != NULL;
        e->epoch = epoch;
        if (e->readable) {
            e->epoch = c->epoch;
            e->kind = c->kind;
            e->created_us = c->created_us;
        } else {
            (void)snprintf(e->why, sizeof e->why, "%s", error_text(err));
        }
        checkpoint_free(c);
        found++;
    }
    names_free(&n);
    if (status != WEIR_OK) {
        mem_free(entries);
        return status;
    }
    error_clear(err);
    *out = entries;
    *count = found;
    return WEIR_OK;
}
