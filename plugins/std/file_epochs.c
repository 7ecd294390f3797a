/*
 * The sink `file`: what checkpoints ask of it. Rules 5 to 9, 11, 14 and 15 of docs/delivery.md; the
 * decisions themselves are in pending.c.
 */
#include <errno.h>
#include <stdio.h>

#include "file_sink.h"

/* Sealed files whose descriptors may wait for the flush; more are synced at once. */
#define SEALED_OPEN_MAX 32u
#define COPY_BYTES 65536u

static char *prefix_of(file_sink *self, weir_str dir) {
    return std_path_join(self->ctx, dir);
}

static char *path_in(file_sink *self, const char *prefix, weir_str name) {
    size_t size = strlen(prefix) + (size_t)name.len + 1;
    char *path = weir_alloc(self->ctx, size);
    if (path != NULL) snprintf(path, size, "%s%.*s", prefix, (int)name.len, name.ptr);
    return path;
}

static weir_status no_memory(file_sink *self, weir_error *error) {
    weir_fail(self->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
              "no memory for the state of a file");
    return WEIR_E_NOMEM;
}

/* ---- open ---- */

/* Copies what may be an open file. Everything is looked at before anything is done with it. */
static weir_status keep_item(file_sink *self, const weir_blob *blob, weir_error *error) {
    file_item *item = &self->items[self->item_count];
    pending_file file;
    weir_status status = pending_decode(blob->bytes, &file);
    if (status != WEIR_OK) {
        return weir_fail(self->ctx, error, WEIR_E_INCOMPATIBLE, 0,
                         status == WEIR_E_INCOMPATIBLE
                             ? "the state of this sink was written by another version of it"
                             : "the state of this sink cannot be read");
    }
    if (file.kind != PENDING_OPEN) return WEIR_OK;
    item->bytes = weir_str_dup(self->ctx, blob->bytes);
    item->len = (size_t)blob->bytes.len;
    if (item->bytes == NULL) return no_memory(self, error);
    self->item_count++;
    return WEIR_OK;
}

weir_status file_sink_open_epochs(file_sink *self, weir_open *args) {
    weir_str run = WEIR_HAS(weir_open, args, run_id) ? args->run_id : (weir_str){"", 0};
    weir_str literal = {self->option.ptr,
                        self->rule.of_records ? self->rule.literal_len : self->option.len};
    weir_status status = WEIR_OK;
    self->run = weir_str_dup(self->ctx, run);
    self->node = weir_str_dup(self->ctx, args->node);
    if (self->run == NULL || self->node == NULL) return no_memory(self, args->error);
    self->rules.id = (pending_id){.run = {self->run, run.len},
                                  .node = {self->node, args->node.len},
                                  .task = args->instance,
                                  .epoch = args->restored_epoch};
    status = folders_open(&self->rules.folders, self->ctx, &self->rules.fs, &self->rules.id,
                          literal, self->rule.of_records && run.len > 0);
    if (status != WEIR_OK) return no_memory(self, args->error);
    if (args->role != WEIR_ROLE_TASK || args->blob_count == 0) return WEIR_OK;
    self->items = weir_zalloc(self->ctx, sizeof *self->items * args->blob_count);
    if (self->items == NULL) return no_memory(self, args->error);
    for (uint32_t i = 0; i < args->blob_count && status == WEIR_OK; i++) {
        status = keep_item(self, args->blobs[i], args->error);
    }
    return status;
}

/* ---- going on with the files of an earlier run ---- */

static weir_status broken(file_sink *self, weir_error *error) {
    return weir_fail(self->ctx, error, self->rules.broken, 0,
                     "a file could not be made durable: only a restart from the last checkpoint "
                     "makes that good");
}

/* Puts it among the sealed ones without going through a target of the table. */
static weir_status seal_item(file_sink *self, const pending_file *file, weir_error *error) {
    target *t = target_new(&self->rules, file->text, 0);
    weir_status status = t != NULL ? target_resume(&self->rules, t, file) : WEIR_E_NOMEM;
    if (status == WEIR_E_NOMEM) {
        no_memory(self, error);
    } else if (status == WEIR_OK) {
        t->dirty = true;
        status = target_seal(&self->rules, t, error);
    }
    target_free(&self->rules, t);
    return status;
}

/* The file is not what the checkpoint says. A committable of it tells the host: commit finds it
 * LOST, which is logged, counted and told at the end. */
static weir_status lose_item(file_sink *self, const pending_file *file, bool ours,
                             weir_error *error) {
    target *t = target_new(&self->rules, file->text, 0);
    pending_file gone = *file;
    char name[PENDING_NAME_MAX];
    weir_status status;
    if (!ours) { /* another instance's file: its commit must not touch that */
        pending_name(name, &self->rules.id, "lost", self->rules.counter++, PENDING_SUFFIX);
        gone.name = weir_str_of(name);
    }
    status = t != NULL ? target_resume(&self->rules, t, &gone) : WEIR_E_NOMEM;
    if (status == WEIR_E_NOMEM) {
        no_memory(self, error);
    } else if (status == WEIR_OK) {
        status = target_seal(&self->rules, t, error);
    }
    if (status == WEIR_OK) {
        weir_log(self->ctx, WEIR_LOG_ERROR,
                 "the unfinished file '%.*s' of '%s' is gone or was changed: %llu records are lost",
                 (int)file->name.len, file->name.ptr, t->path, (unsigned long long)file->records);
    }
    target_free(&self->rules, t);
    return status;
}

/* The path's file goes on, or, if it has one already (the parallelism changed), is complete. */
static weir_status attach(file_sink *self, const pending_file *file, bool dirty,
                          weir_error *error) {
    target *t;
    weir_status status = file_sink_lookup(self, file->text, &t, error);
    if (status != WEIR_OK) return status;
    if (t->pending != NULL || t->direct) return seal_item(self, file, error);
    if (target_resume(&self->rules, t, file) != WEIR_OK) return no_memory(self, error);
    t->dirty = dirty;
    file_sink_check_at(self, t);
    return WEIR_OK;
}

/* What its first `length` bytes end with is as it was; what lies behind them is cut off. */
static int take_back(file_sink *self, const char *path, const pending_file *file, uint64_t size,
                     bool ours, bool *same) {
    const pending_fs *fs = &self->rules.fs;
    uint64_t tail = 0;
    int fd = -1;
    int code = fs->open(fs->self, path, &fd);
    if (code == 0) code = pending_tail(fs, fd, file->length, &tail);
    *same = code == 0 && tail == file->tail;
    if (*same && ours && size > file->length) code = fs->truncate(fs->self, fd, file->length);
    if (fd >= 0) fs->close(fs->self, fd);
    return code;
}

static int copy_bytes(file_sink *self, const char *from, int to, uint64_t length) {
    const pending_fs *fs = &self->rules.fs;
    char *buffer = weir_alloc(self->ctx, COPY_BYTES);
    int fd = -1;
    int code = buffer != NULL ? fs->open(fs->self, from, &fd) : ENOMEM;
    for (uint64_t at = 0; code == 0 && at < length;) {
        size_t n = length - at < COPY_BYTES ? (size_t)(length - at) : COPY_BYTES;
        size_t got = 0;
        code = fs->read(fs->self, fd, buffer, n, at, &got);
        if (code == 0 && got != n) code = EIO;
        if (code == 0) code = fs->write(fs->self, to, buffer, n, at);
        at += n;
    }
    if (fd >= 0) fs->close(fs->self, fd);
    weir_free(self->ctx, buffer);
    return code;
}

/* A fork: the file is another instance's, which may be writing to it. What the checkpoint counts on
 * is copied; the other one keeps its own. */
static weir_status copy_item(file_sink *self, const pending_file *file, const char *path,
                             weir_error *error) {
    target *t = target_new(&self->rules, file->text, 0);
    weir_status status = t != NULL ? target_ready(&self->rules, t, error) : no_memory(self, error);
    pending_file copy = *file;
    if (status == WEIR_OK && t->direct) {
        status = lose_item(self, file, false, error);
    } else if (status == WEIR_OK) {
        int code = copy_bytes(self, path, t->fd, file->length);
        copy.name = weir_str_of(t->pending);
        copy.inode = t->inode;
        status = code != 0 ? target_fail(&self->rules, error, "copy", path, code)
                           : attach(self, &copy, true, error);
        if (status != WEIR_OK) {
            t->size = 0; /* sealing an empty file removes it */
            (void)target_seal(&self->rules, t, NULL);
        }
    }
    target_free(&self->rules, t);
    return status;
}

static weir_status resume_item(file_sink *self, const pending_file *file, weir_error *error) {
    bool ours = self->rules.id.run.len == 0 || pending_is_of(file->name.ptr, (size_t)file->name.len,
                                                             &self->rules.id, PENDING_SUFFIX);
    const pending_fs *fs = &self->rules.fs;
    char *prefix = prefix_of(self, file->dir);
    char *path = prefix != NULL ? path_in(self, prefix, file->name) : NULL;
    char found[PENDING_NAME_MAX];
    pending_stat st = {0};
    bool same = false;
    weir_status status;
    int code = path != NULL ? fs->stat(fs->self, path, &st) : ENOMEM;
    if (code == 0 && st.size >= file->length) {
        code = take_back(self, path, file, st.size, ours, &same);
    } else if (code == ENOENT || code == ENOTDIR) {
        code = pending_find(fs, prefix, file, found);
        if (code == 0) { /* an older checkpoint: the file was completed behind it */
            weir_log(self->ctx, WEIR_LOG_WARN,
                     "'%s%s' was completed after this checkpoint: its last records come again",
                     prefix, found);
            weir_free(self->ctx, prefix);
            weir_free(self->ctx, path);
            return WEIR_OK;
        }
        if (code == ENOENT || code == ENOTDIR) code = 0;
    }
    if (code != 0) {
        status = code == ENOMEM ? no_memory(self, error)
                                : target_fail(&self->rules, error, "go on with", path, code);
    } else if (!same) {
        status = lose_item(self, file, ours, error);
    } else if (ours) {
        status = attach(self, file, false, error);
    } else {
        status = copy_item(self, file, path, error);
    }
    weir_free(self->ctx, prefix);
    weir_free(self->ctx, path);
    return status;
}

weir_status file_sink_resume(file_sink *self, weir_error *error) {
    if (self->rules.broken != WEIR_OK) return broken(self, error);
    while (self->item_next < self->item_count) {
        const file_item *item = &self->items[self->item_next];
        pending_file file;
        weir_status status = pending_decode((weir_str){item->bytes, item->len}, &file);
        if (status == WEIR_OK) status = resume_item(self, &file, error);
        if (status != WEIR_OK) return status;
        self->item_next++;
    }
    return WEIR_OK;
}

/* ---- sealing and flushing ---- */

/* Gives sealed files their names without a commit. */
static weir_status publish(file_sink *self, weir_error *error) {
    weir_status first = WEIR_OK;
    for (sealed *s = self->rules.waiting, *next; s != NULL; s = next) {
        weir_error *into = first == WEIR_OK ? error : NULL;
        pending_file file;
        pending_outcome outcome = {0};
        weir_status status = sealed_sync(&self->rules, s, into);
        next = s->next;
        if (status == WEIR_OK) {
            int code;
            file = sealed_state(s, PENDING_COMMITTABLE);
            pending_commit(&self->rules.fs, s->prefix, &file, &outcome);
            code = outcome.code;
            if (code == 0 && outcome.sync) {
                code = pending_commit_names(&self->rules.fs, s->prefix);
            }
            if (code != 0) {
                status = target_fail(&self->rules, into,
                                     outcome.what != NULL ? outcome.what : "sync the folder of",
                                     s->final, code);
            } else if (outcome.verdict == WEIR_VERDICT_LOST) {
                status = weir_fail(self->ctx, into, WEIR_E_NOT_FOUND, 0, "'%s%s': %s", s->prefix,
                                   s->final, outcome.what);
            }
        }
        if (status == WEIR_OK) {
            weir_log(self->ctx, WEIR_LOG_DEBUG, "completed '%s%s' with %llu bytes", s->prefix,
                     outcome.final, (unsigned long long)s->length);
            sealed_drop(&self->rules, s);
        }
        if (first == WEIR_OK) first = status;
    }
    return first;
}

/* Syncs what is sealed. */
static weir_status sync_sealed(file_sink *self, weir_error *error) {
    weir_status first = WEIR_OK;
    for (sealed *s = self->rules.waiting; s != NULL && self->rules.broken == WEIR_OK; s = s->next) {
        weir_status status = sealed_sync(&self->rules, s, first == WEIR_OK ? error : NULL);
        if (first == WEIR_OK) first = status;
    }
    self->sealed_open = 0;
    return first;
}

weir_status file_sink_seal(file_sink *self, target *t, weir_error *error) {
    bool was_open = t->fd >= 0;
    weir_status status;
    if (self->rules.broken != WEIR_OK) return broken(self, error);
    status = target_seal(&self->rules, t, error);
    if (status != WEIR_OK) return status;
    if (was_open) self->open_count--;
    if (!atomic_load(&self->two_phase)) return publish(self, error);
    if (was_open && ++self->sealed_open > SEALED_OPEN_MAX) (void)sync_sealed(self, NULL);
    return WEIR_OK;
}

typedef struct cursor {
    const target *t;
    const sealed *s;
} cursor;

/* Folders that hold pending files, some more than once. */
static bool next_folder(void *opaque, weir_str *dir) {
    cursor *c = opaque;
    while (c->t != NULL) {
        const target *t = c->t;
        c->t = t->newer;
        if (t->pending == NULL) continue;
        *dir = (weir_str){t->key, t->dir_len};
        return true;
    }
    if (c->s == NULL) return false;
    *dir = (weir_str){c->s->key, c->s->dir_len};
    c->s = c->s->next;
    return true;
}

/* The first failure is reported, the rest is still tried, unless an fsync failed. */
static weir_status sync_all(file_sink *self, bool last, weir_error *error) {
    const char *path = "";
    weir_status first = file_sink_resume(self, error);
    weir_status status;
    int code;
    for (target *t = self->oldest; t != NULL && self->rules.broken == WEIR_OK; t = t->newer) {
        weir_error *into = first == WEIR_OK ? error : NULL;
        status = last ? file_sink_seal(self, t, into) : target_sync(&self->rules, t, into);
        if (first == WEIR_OK) first = status;
    }
    if (self->rules.broken != WEIR_OK) return self->rules.broken;
    status = sync_sealed(self, first == WEIR_OK ? error : NULL);
    if (first == WEIR_OK) first = status;
    if (self->rules.broken != WEIR_OK) return self->rules.broken;
    code = folders_sync(&self->rules.folders, &path);
    if (code != 0) {
        weir_error *into = first == WEIR_OK ? error : NULL;
        status = pending_sync_broke(code)
                     ? target_fail_sync(&self->rules, into, path, code)
                     : target_fail(&self->rules, into, "sync the folder", path, code);
        if (first == WEIR_OK) first = status;
    }
    if (first == WEIR_OK && self->rules.folders.count > FOLDERS_MAX) {
        cursor c = {.t = self->oldest, .s = self->rules.waiting};
        (void)folders_renew(&self->rules.folders, next_folder, &c);
    }
    return first;
}

weir_status file_sink_flush(void *opaque, weir_flush *args) {
    file_sink *self = opaque;
    weir_error *error = weir_error_new(self->ctx);
    weir_status status = sync_all(self, args->last != 0, error);
    if (status == WEIR_OK && !atomic_load(&self->two_phase)) status = publish(self, error);
    self->flushed_last = status == WEIR_OK && args->last != 0;
    weir_flush_done(self->ctx, args->epoch, status, status != WEIR_OK ? error : NULL);
    weir_error_free(self->ctx, error);
    return WEIR_OK;
}

weir_status file_sink_drain(file_sink *self, weir_error *error) {
    weir_status status;
    if (atomic_load(&self->two_phase)) {
        /* What is prepared is the host's to commit; what is not comes again after a restart. Only a
         * host that flushed for the last time and prepares nothing wants the files now. */
        if (self->prepares > 0 || !self->flushed_last) return WEIR_OK;
        return publish(self, error);
    }
    status = sync_all(self, true, error);
    return status == WEIR_OK ? publish(self, error) : status;
}

/* ---- prepare and snapshot ---- */

static weir_status write_blob(file_sink *self, weir_writer *writer, uint32_t scope,
                              const pending_file *file, weir_error *error) {
    char bytes[PENDING_BLOB_MAX];
    size_t len = pending_encode(file, bytes);
    weir_blob blob = {.struct_size = sizeof blob,
                      .scope = scope,
                      .state_version = PENDING_VERSION,
                      .split = {"", 0},
                      .bytes = {bytes, len}};
    weir_status status;
    if (len == 0) {
        return weir_fail(self->ctx, error, WEIR_E_INTERNAL, 0,
                         "the state of the file '%.*s' cannot be written", (int)file->name.len,
                         file->name.ptr);
    }
    status = weir_api_of(self->ctx)->state.write(writer, &blob);
    return status == WEIR_OK ? status
                             : weir_fail(self->ctx, error, status, 0, "the host took no state");
}

static weir_status sink_prepare(void *opaque, weir_prepare *args) {
    file_sink *self = opaque;
    weir_status status = WEIR_OK;
    if (self->rules.broken != WEIR_OK) return broken(self, args->error);
    self->prepares++;
    for (const sealed *s = self->rules.waiting; s != NULL && status == WEIR_OK; s = s->next) {
        pending_file file = sealed_state(s, PENDING_COMMITTABLE);
        if (s->prepared || s->dirty) continue;
        status = write_blob(self, args->writer, WEIR_SCOPE_ITEM, &file, args->error);
    }
    for (sealed *s = self->rules.waiting; s != NULL && status == WEIR_OK; s = s->next) {
        if (!s->dirty) s->prepared = true;
    }
    return status;
}

static weir_status sink_snapshot(void *opaque, weir_snapshot *args) {
    file_sink *self = opaque;
    pending_file root = {.kind = PENDING_ROOT,
                         .text = {self->rules.folders.root, self->rules.folders.root_len},
                         .dir = {"", 0},
                         .name = {"", 0}};
    weir_status status;
    if (self->rules.broken != WEIR_OK) return broken(self, args->error);
    status = write_blob(self, args->writer, WEIR_SCOPE_BROADCAST, &root, args->error);
    for (const target *t = self->oldest; t != NULL && status == WEIR_OK; t = t->newer) {
        pending_file file;
        if (t->pending == NULL || t->direct || t->size == 0) continue;
        if (t->dirty) {
            return weir_fail(self->ctx, args->error, WEIR_E_INVALID_STATE, 0,
                             "expected a flush before the snapshot of '%s'", t->path);
        }
        file = target_state(t);
        status = write_blob(self, args->writer, WEIR_SCOPE_ITEM, &file, args->error);
    }
    /* Sealed and not prepared: they are nobody's yet, and become committables after a restart. */
    for (const sealed *s = self->rules.waiting; s != NULL && status == WEIR_OK; s = s->next) {
        pending_file file = sealed_state(s, PENDING_OPEN);
        if (s->prepared) continue;
        status = write_blob(self, args->writer, WEIR_SCOPE_ITEM, &file, args->error);
    }
    return status;
}

/* ---- commit, abort, recover ---- */

static void forget_sealed(file_sink *self, const char *prefix, const pending_file *file) {
    for (sealed *s = self->rules.waiting; s != NULL; s = s->next) {
        if (weir_str_is(file->name, s->name) && strcmp(s->prefix, prefix) == 0) {
            sealed_drop(&self->rules, s);
            return;
        }
    }
}

typedef struct batch_item {
    pending_file file;
    char *prefix;
    bool sync;
} batch_item;

static void report(file_sink *self, const batch_item *item, const pending_outcome *o,
                   weir_error *error) {
    if (o->verdict == WEIR_VERDICT_LOST) {
        weir_log(self->ctx, WEIR_LOG_ERROR, "'%s%.*s' with %llu records and %llu bytes is lost: %s",
                 item->prefix, (int)item->file.text.len, item->file.text.ptr,
                 (unsigned long long)item->file.records, (unsigned long long)item->file.length,
                 o->what);
    } else if (o->verdict == WEIR_VERDICT_RETRY) {
        char path[PENDING_PATH_MAX];
        snprintf(path, sizeof path, "%s%.*s", item->prefix, (int)item->file.text.len,
                 item->file.text.ptr);
        (void)target_fail(&self->rules, error, o->what, path, o->code);
    } else if (o->verdict == WEIR_VERDICT_DONE && !weir_str_is(item->file.text, o->final) &&
               o->final[0] != '\0') {
        weir_log(self->ctx, WEIR_LOG_WARN, "'%.*s' is called '%s': the name was taken",
                 (int)item->file.text.len, item->file.text.ptr, o->final);
    }
}

/* Each folder once, for all that were renamed in it. */
static void sync_folders(file_sink *self, batch_item *items, uint32_t *verdicts, uint32_t count,
                         weir_error *error) {
    for (uint32_t i = 0; i < count; i++) {
        int code;
        if (!items[i].sync) continue;
        code = pending_commit_names(&self->rules.fs, items[i].prefix);
        if (code != 0) {
            (void)target_fail(&self->rules, error, "sync the folder", items[i].prefix, code);
        }
        for (uint32_t k = count; k-- > i;) {
            if (!items[k].sync || strcmp(items[k].prefix, items[i].prefix) != 0) continue;
            items[k].sync = false;
            if (code != 0) verdicts[k] = WEIR_VERDICT_RETRY;
        }
    }
}

/* Decodes all before anything is done, so that a committable that cannot be read has no effect. */
static weir_status decode_all(file_sink *self, const weir_commit *args, batch_item *items) {
    for (uint32_t i = 0; i < args->count; i++) {
        weir_status status = pending_decode(args->committables[i]->bytes, &items[i].file);
        if (status != WEIR_OK || items[i].file.kind != PENDING_COMMITTABLE) {
            return weir_fail(self->ctx, args->error, WEIR_E_INCOMPATIBLE, 0,
                             "a committable of this sink cannot be read");
        }
        items[i].prefix = prefix_of(self, items[i].file.dir);
        if (items[i].prefix == NULL) return no_memory(self, args->error);
    }
    return WEIR_OK;
}

static weir_status decide_all(file_sink *self, const weir_commit *args, bool commit) {
    uint64_t room = (uint64_t)args->count + 1;
    batch_item *items = weir_zalloc(self->ctx, sizeof *items * room);
    uint32_t *verdicts = weir_zalloc(self->ctx, sizeof *verdicts * room);
    weir_error *error = weir_error_new(self->ctx);
    weir_status status = items != NULL && verdicts != NULL && error != NULL
                             ? decode_all(self, args, items)
                             : no_memory(self, args->error);
    for (uint32_t i = 0; status == WEIR_OK && i < args->count; i++) {
        pending_outcome o = {.verdict = WEIR_VERDICT_RETRY, .code = ETIMEDOUT, .what = "complete"};
        if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) {
            o.code = EINTR;
        } else if (weir_mono_ns(self->ctx) < args->deadline_ns) {
            (commit ? pending_commit : pending_abort)(&self->rules.fs, items[i].prefix,
                                                      &items[i].file, &o);
        }
        verdicts[i] = o.verdict;
        items[i].sync = o.sync;
        report(self, &items[i], &o, error);
    }
    if (status == WEIR_OK) {
        bool again = false;
        sync_folders(self, items, verdicts, args->count, error);
        for (uint32_t i = 0; i < args->count; i++) {
            if (verdicts[i] == WEIR_VERDICT_RETRY) again = true;
            if (verdicts[i] != WEIR_VERDICT_RETRY) {
                forget_sealed(self, items[i].prefix, &items[i].file);
            }
        }
        weir_api_of(self->ctx)->task.commit_done(self->ctx, args->token, verdicts, args->count,
                                                 again ? error : NULL);
    }
    for (uint32_t i = 0; items != NULL && i < args->count; i++) {
        weir_free(self->ctx, items[i].prefix);
    }
    weir_free(self->ctx, items);
    weir_free(self->ctx, verdicts);
    weir_error_free(self->ctx, error);
    return status;
}

static weir_status sink_commit(void *opaque, weir_commit *args) {
    return decide_all(opaque, args, true);
}

static weir_status sink_abort(void *opaque, weir_commit *args) {
    return decide_all(opaque, args, false);
}

typedef struct recover_call {
    file_sink *self;
    int64_t deadline_ns;
} recover_call;

static char *recover_prefix(void *opaque, weir_str dir) {
    recover_call *call = opaque;
    return prefix_of(call->self, dir);
}

static bool recover_stopped(void *opaque) {
    recover_call *call = opaque;
    return atomic_load_explicit(&call->self->cancelled, memory_order_relaxed) ||
           weir_mono_ns(call->self->ctx) >= call->deadline_ns;
}

static weir_status sink_recover(void *opaque, weir_recover *args) {
    file_sink *self = opaque;
    recover_call call = {.self = self, .deadline_ns = args->deadline_ns};
    pending_recovery r = {.fs = &self->rules.fs,
                          .id = &self->rules.id,
                          .kept = args->retained,
                          .kept_count = args->retained_count,
                          .prefix_of = recover_prefix,
                          .stopped = recover_stopped,
                          .opaque = &call};
    weir_str root = {self->rules.folders.root, self->rules.folders.root_len};
    int code = pending_recover(&r, &root, 1);
    char text[128];
    uint32_t flags;
    weir_status status;
    args->found = r.found;
    args->aborted = r.removed;
    if (code == 0) return WEIR_OK;
    if (code == ECANCELED) {
        bool cancelled = atomic_load_explicit(&self->cancelled, memory_order_relaxed);
        return weir_fail(self->ctx, args->error, cancelled ? WEIR_E_CANCELLED : WEIR_E_TIMEOUT,
                         WEIR_ERR_RETRYABLE, "looking for unfinished files took too long");
    }
    if (code == EBADMSG) {
        return weir_fail(self->ctx, args->error, WEIR_E_INCOMPATIBLE, 0, "%s", r.what);
    }
    status = std_errno_status(code, &flags);
    return weir_fail(self->ctx, args->error, status, flags,
                     "cannot %s while looking for "
                     "unfinished files: %s",
                     r.what != NULL ? r.what : "go on", std_strerror(code, text, sizeof text));
}

const void *file_sink_extension(void *opaque, const char *name) {
    static const weir_sink_two_phase two_phase = {.struct_size = sizeof two_phase,
                                                  .prepare = sink_prepare,
                                                  .commit = sink_commit,
                                                  .abort = sink_abort};
    static const weir_sink_recover recover = {.struct_size = sizeof recover,
                                              .recover = sink_recover};
    static const weir_sink_state state = {.struct_size = sizeof state, .snapshot = sink_snapshot};
    file_sink *self = opaque;
    if (strcmp(name, WEIR_SINK_TWO_PHASE) == 0) {
        atomic_store(&self->two_phase, true);
        return &two_phase;
    }
    if (strcmp(name, WEIR_SINK_RECOVER) == 0) return &recover;
    if (strcmp(name, WEIR_SINK_STATE) == 0) return &state;
    return NULL;
}
