/*
 * The sink `file`: writing. Nothing is gathered here: each request goes to the page cache with as
 * few writev calls as it takes; a flush makes it durable. What a checkpoint asks for is in
 * file_epochs.c.
 */
#include "file_sink.h"

#include <stdio.h>
#include <time.h>

#include "weir/framing.h"

#define OPEN_DEFAULT 256u
/* One writev: what a failure may cut off and a retry writes again. */
#define CHUNK_BYTES (1024u * 1024u)
#define STAGING_BYTES 65536u
/* Until the next try of something that failed and will be reported by a flush. */
#define RESUME_AGAIN_NS INT64_C(1000000000)

static weir_status write_rows(file_sink *self, const weir_write *args, weir_error *system_error,
                              uint32_t *stopped);
static void drop(file_sink *self, target *t);
static void close_descriptor(file_sink *self, target *t);

static weir_status sink_create(weir_create *args) {
    file_sink *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->check_ns = INT64_MAX;
    atomic_init(&self->cancelled, false);
    atomic_init(&self->two_phase, false);
    self->rules.folders.fd = -1;
    args->self = self;
    return WEIR_OK;
}

/* Back to what create made; files stay as they are. */
static void reset(file_sink *self) {
    bool clean = self->rules.waiting == NULL && self->item_next == self->item_count;
    for (const target *t = self->oldest; t != NULL && clean; t = t->newer) {
        clean = t->pending == NULL;
    }
    while (self->oldest != NULL) drop(self, self->oldest);
    while (self->rules.waiting != NULL) sealed_drop(&self->rules, self->rules.waiting);
    folders_close(&self->rules.folders, clean);
    for (uint32_t i = 0; i < self->item_count; i++) weir_free(self->ctx, self->items[i].bytes);
    weir_free(self->ctx, self->items);
    weir_free(self->ctx, self->run);
    weir_free(self->ctx, self->node);
    self->items = NULL;
    self->item_count = self->item_next = 0;
    self->run = self->node = NULL;
    self->sealed_open = 0;
    self->prepares = 0;
    self->flushed_last = false;
    self->check_ns = INT64_MAX;
}

static void sink_destroy(void *opaque) {
    file_sink *self = opaque;
    reset(self);
    weir_free(self->ctx, self->staging);
    weir_free(self->ctx, self->failed_index);
    weir_free(self->ctx, self->failed_status);
    weir_free(self->ctx, self->failed_error);
    weir_free(self->ctx, self);
}

static weir_status sink_open(void *opaque, weir_open *args) {
    file_sink *self = opaque;
    weir_ctx *ctx = self->ctx;
    int64_t open_max = weir_opt_i64(ctx, "max_open");
    int64_t now_us = weir_wall_us(ctx);
    time_t second = (time_t)(now_us / 1000000);
    weir_format format;
    struct tm tm;
    weir_status status = std_format_get(ctx, WEIR_FRAMING_LINES, &format, args->error);
    if (status != WEIR_OK) return status;
    reset(self);
    self->option = weir_opt_str(ctx, "path");
    path_rule_init(&self->rule, self->option);
    self->roll_size = (uint64_t)weir_opt_i64(ctx, "roll.size");
    self->roll_age_ns = weir_opt_i64(ctx, "roll.age");
    self->roll_idle_ns = weir_opt_i64(ctx, "roll.idle");
    self->open_max = open_max > 0 ? (uint32_t)open_max : OPEN_DEFAULT;
    memset(&self->rules, 0, sizeof self->rules);
    self->rules.folders.fd = -1;
    self->rules.ctx = ctx;
    self->rules.fs = pending_fs_system(ctx);
    self->rules.framing = format.framing;
    self->rules.of_records = self->rule.of_records;
    self->rules.literal = (size_t)self->rule.literal_len;
    self->rules.parallelism = args->parallelism;
    self->rules.numbered = self->roll_size > 0 || self->roll_age_ns > 0 || self->roll_idle_ns > 0;
    self->rules.suffix = format.suffix.len < 64 ? format.suffix : (weir_str){"", 0};
    gmtime_r(&second, &tm);
    if (strftime(self->rules.stamp, sizeof self->rules.stamp, "%Y%m%dT%H%M%S", &tm) == 15) {
        snprintf(self->rules.stamp + 15, 6, "%03dZ", (int)(now_us / 1000 % 1000));
    }
    if (self->staging == NULL) self->staging = weir_alloc(ctx, STAGING_BYTES);
    return self->staging != NULL ? file_sink_open_epochs(self, args) : WEIR_E_NOMEM;
}

/* ---- failures of single records ---- */

static bool grow_failures(file_sink *self, uint32_t rows) {
    uint32_t *index;
    weir_status *status;
    uint32_t *error;
    if (rows <= self->failed_capacity) return true;
    index = weir_alloc(self->ctx, sizeof *index * rows);
    status = weir_alloc(self->ctx, sizeof *status * rows);
    error = weir_alloc(self->ctx, sizeof *error * rows);
    if (index == NULL || status == NULL || error == NULL) {
        weir_free(self->ctx, index);
        weir_free(self->ctx, status);
        weir_free(self->ctx, error);
        return false;
    }
    weir_free(self->ctx, self->failed_index);
    weir_free(self->ctx, self->failed_status);
    weir_free(self->ctx, self->failed_error);
    self->failed_index = index;
    self->failed_status = status;
    self->failed_error = error;
    self->failed_capacity = rows;
    return true;
}

/* Index of the error object about `kind` (a static text, so that its address is its identity). */
static uint32_t error_of_kind(file_sink *self, weir_status status, const char *kind) {
    for (uint32_t i = 0; i < self->error_count; i++) {
        if (self->error_kind[i] == kind) return i;
    }
    if (self->error_count == FILE_SINK_ERRORS_MAX) return UINT32_MAX;
    self->errors[self->error_count] = weir_error_new(self->ctx);
    if (self->errors[self->error_count] == NULL) return UINT32_MAX;
    weir_fail(self->ctx, self->errors[self->error_count], status, WEIR_ERR_PER_RECORD, "%s", kind);
    self->error_kind[self->error_count] = kind;
    return self->error_count++;
}

static void fail_row(file_sink *self, uint32_t row, weir_status status, const char *kind) {
    self->failed_index[self->failed_count] = row;
    self->failed_status[self->failed_count] = status;
    self->failed_error[self->failed_count] = error_of_kind(self, status, kind);
    self->failed_count++;
}

/* ---- writing ---- */

static weir_status sink_write(void *opaque, weir_write *args) {
    file_sink *self = opaque;
    uint32_t count = args->request->rows->count;
    weir_result result = {.struct_size = sizeof result};
    weir_error *system_error;
    uint32_t stopped = count;
    weir_status status;
    if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) return WEIR_E_CANCELLED;
    system_error = weir_error_new(self->ctx);
    if (!grow_failures(self, count) || system_error == NULL) {
        weir_error_free(self->ctx, system_error);
        return weir_fail(self->ctx, args->error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                         "no memory for the outcome of a request");
    }
    self->failed_count = 0;
    self->error_count = 0;
    self->flushed_last = false;
    status = file_sink_resume(self, system_error);
    if (status != WEIR_OK) {
        stopped = 0;
    } else {
        status = write_rows(self, args, system_error, &stopped);
    }
    if (status != WEIR_OK && stopped == 0) {
        result.status = status; /* nothing was written at all */
        result.error = system_error;
        self->failed_count = 0;
    } else {
        uint32_t error = UINT32_MAX;
        if (status != WEIR_OK && self->error_count < FILE_SINK_ERRORS_MAX) {
            error = self->error_count++;
            self->errors[error] = system_error;
        }
        for (uint32_t row = stopped; row < count; row++) {
            self->failed_index[self->failed_count] = row;
            self->failed_status[self->failed_count] = status;
            self->failed_error[self->failed_count++] = error;
        }
        result.failed_index = self->failed_index;
        result.failed_status = self->failed_status;
        result.failed_error = self->failed_error;
        result.failed_count = self->failed_count;
        result.errors = (const weir_error *const *)self->errors;
        result.error_count = self->error_count;
    }
    args->taken = count;
    weir_api_of(self->ctx)->task.write_done(self->ctx, args->token, &result);
    for (uint32_t i = 0; i < self->error_count; i++) {
        if (self->errors[i] != system_error) weir_error_free(self->ctx, self->errors[i]);
    }
    weir_error_free(self->ctx, system_error);
    return WEIR_OK;
}

static weir_str path_at(const weir_column *column, uint32_t row) {
    uint32_t at = column->encoding == WEIR_COLUMN_CONSTANT     ? 0
                  : column->encoding == WEIR_COLUMN_DICTIONARY ? column->index[row]
                                                               : row;
    return (weir_str){column->ptr[at], column->ptr[at] != NULL ? column->len[at] : 0};
}

/* One past the last row that goes to the same path as `row`. */
static uint32_t run_end(const weir_column *column, uint32_t row, uint32_t count) {
    weir_str path = path_at(column, row);
    if (column->encoding == WEIR_COLUMN_CONSTANT) return count;
    while (++row < count) {
        weir_str other = path_at(column, row);
        if (other.ptr != path.ptr && !weir_str_eq(other, path)) break;
        if (other.len != path.len) break;
    }
    return row;
}

/* Rows [row, end) into one target; `*done` is the first row that was not written. */
static weir_status write_run(file_sink *self, target *t, const weir_write *args, uint32_t row,
                             uint32_t end, uint32_t *done, weir_error *error) {
    weir_status status = WEIR_OK;
    int64_t now = weir_mono_ns(self->ctx);
    while (row < end && status == WEIR_OK) {
        weir_gather g = {0};
        bool was_closed = t->fd < 0;
        uint32_t first = row;
        g.rows = args->request->rows;
        g.iov = self->iov;
        g.iov_max = FILE_SINK_IOV_MAX;
        g.staging = self->staging;
        g.staging_size = STAGING_BYTES;
        g.framing = self->rules.framing;
        g.row = row;
        g.end = end;
        g.bytes_max = CHUNK_BYTES;
        if (self->roll_size > t->size && self->roll_size - t->size < g.bytes_max) {
            g.bytes_max = self->roll_size - t->size;
        }
        if (weir_frame_gather(&g) == WEIR_E_DATA) {
            fail_row(self, row++, WEIR_E_DATA, "the value contains a newline, framing is by lines");
            continue;
        }
        status = target_ready(&self->rules, t, error);
        if (status != WEIR_OK) break;
        if (was_closed) {
            t->last_ns = now;
            self->open_count++;
            file_sink_check_at(self, t);
        }
        status = target_write(&self->rules, t, self->iov, g.iov_count, g.bytes, args->deadline_ns,
                              error);
        if (t->fd < 0) self->open_count--; /* a device was given up: see target_write */
        if (status != WEIR_OK) break;
        t->last_ns = now;
        row = g.row;
        t->records += row - first;
        if (self->roll_size > 0 && t->size >= self->roll_size && !t->direct) {
            /* Its records are accepted. What goes wrong here is tried again by the flush. */
            (void)file_sink_seal(self, t, NULL);
        }
    }
    *done = row;
    return status;
}

static weir_status write_rows(file_sink *self, const weir_write *args, weir_error *system_error,
                              uint32_t *stopped) {
    uint32_t count = args->request->rows->count;
    const weir_column *column = NULL;
    const char *literal = self->option.ptr;
    uint32_t literal_len = (uint32_t)self->option.len;
    weir_column constant = {.struct_size = sizeof constant, .encoding = WEIR_COLUMN_CONSTANT};
    weir_status status = weir_api_of(self->ctx)->config.template_column(self->ctx, args->request,
                                                                        "path", NULL, &column);
    if (status != WEIR_OK || column == NULL) {
        if (self->rule.of_records) {
            *stopped = 0;
            return weir_fail(self->ctx, system_error, status != WEIR_OK ? status : WEIR_E_INTERNAL,
                             0, "the path template was not evaluated");
        }
        constant.ptr = &literal;
        constant.len = &literal_len;
        column = &constant;
    }
    for (uint32_t row = 0; row < count;) {
        uint32_t end = run_end(column, row, count);
        weir_str path = path_at(column, row);
        const char *wrong =
            path.ptr == NULL ? "the path is null" : path_rule_check(&self->rule, path);
        target *t = NULL;
        if (wrong != NULL) {
            for (; row < end; row++) fail_row(self, row, WEIR_E_DATA, wrong);
            continue;
        }
        status = file_sink_lookup(self, path, &t, system_error);
        if (status == WEIR_OK && t == NULL) status = WEIR_E_INTERNAL; /* it never is */
        if (status != WEIR_OK) {
            *stopped = row;
            return status;
        }
        status = write_run(self, t, args, row, end, stopped, system_error);
        row = *stopped;
        if (status == WEIR_E_DATA) { /* a name that no file can have */
            for (; row < end; row++) fail_row(self, row, WEIR_E_DATA, t->fault);
            drop(self, t);
            status = WEIR_OK;
        }
        if (status != WEIR_OK) return status;
    }
    *stopped = count;
    return WEIR_OK;
}

/* ---- targets ---- */

static void unlink_used(file_sink *self, target *t) {
    if (t->newer != NULL) t->newer->older = t->older;
    if (t->older != NULL) t->older->newer = t->newer;
    if (self->newest == t) self->newest = t->older;
    if (self->oldest == t) self->oldest = t->newer;
    t->newer = t->older = NULL;
}

static void link_newest(file_sink *self, target *t) {
    t->older = self->newest;
    if (self->newest != NULL) self->newest->newer = t;
    self->newest = t;
    if (self->oldest == NULL) self->oldest = t;
}

weir_status file_sink_lookup(file_sink *self, weir_str path, target **out, weir_error *error) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    target *t = self->newest;
    if (t == NULL || t->key_len != path.len || memcmp(t->key, path.ptr, t->key_len) != 0) {
        for (uint64_t i = 0; i < path.len; i++) {
            hash = (hash ^ (unsigned char)path.ptr[i]) * UINT64_C(0x100000001b3);
        }
        t = self->buckets[hash % FILE_SINK_BUCKETS];
        while (t != NULL && (t->hash != hash || t->key_len != path.len ||
                             memcmp(t->key, path.ptr, t->key_len) != 0)) {
            t = t->next;
        }
    }
    if (t == NULL) {
        if (self->target_count >= FILE_SINK_TARGETS_MAX) {
            weir_status status = file_sink_seal(self, self->oldest, error);
            if (status != WEIR_OK) return status;
            drop(self, self->oldest);
        }
        t = target_new(&self->rules, path, hash);
        if (t == NULL) {
            return weir_fail(self->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                             "no memory for a file");
        }
        t->next = self->buckets[hash % FILE_SINK_BUCKETS];
        self->buckets[hash % FILE_SINK_BUCKETS] = t;
        self->target_count++;
        link_newest(self, t);
    } else if (t != self->newest) {
        unlink_used(self, t);
        link_newest(self, t);
    }
    for (target *o = self->oldest; t->fd < 0 && o != NULL && self->open_count >= self->open_max;
         o = o->newer) {
        if (o != t && o->fd >= 0 && !o->direct) close_descriptor(self, o);
    }
    *out = t;
    return WEIR_OK;
}

void file_sink_check_at(file_sink *self, const target *t) {
    int64_t due = INT64_MAX;
    if (self->roll_age_ns > 0) due = t->first_ns + self->roll_age_ns;
    if (self->roll_idle_ns > 0 && t->last_ns + self->roll_idle_ns < due) {
        due = t->last_ns + self->roll_idle_ns;
    }
    if (due < self->check_ns) self->check_ns = due;
}

static void close_descriptor(file_sink *self, target *t) {
    if (t->fd < 0) return;
    target_close(t);
    self->open_count--;
}

static void drop(file_sink *self, target *t) {
    target **at = &self->buckets[t->hash % FILE_SINK_BUCKETS];
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    close_descriptor(self, t);
    unlink_used(self, t);
    self->target_count--;
    target_free(&self->rules, t);
}

/* ---- time, flush, end ---- */

static weir_status sink_drive(void *opaque, weir_drive *args) {
    file_sink *self = opaque;
    int64_t now;
    int64_t next = INT64_MAX;
    args->next_ns = 0;
    if (self->item_next < self->item_count && file_sink_resume(self, NULL) != WEIR_OK) {
        args->next_ns = weir_mono_ns(self->ctx) + RESUME_AGAIN_NS; /* the flush says why */
        return WEIR_OK;
    }
    if (self->check_ns == INT64_MAX) return WEIR_OK;
    now = weir_mono_ns(self->ctx);
    if (now < self->check_ns) {
        args->next_ns = self->check_ns;
        return WEIR_OK;
    }
    for (target *t = self->oldest, *newer; t != NULL; t = newer) {
        int64_t due = INT64_MAX;
        newer = t->newer;
        if (t->pending == NULL || t->direct) continue;
        if (self->roll_age_ns > 0) due = t->first_ns + self->roll_age_ns;
        if (self->roll_idle_ns > 0 && t->last_ns + self->roll_idle_ns < due) {
            due = t->last_ns + self->roll_idle_ns;
        }
        if (due <= now) {
            bool idle = self->roll_idle_ns > 0 && t->last_ns + self->roll_idle_ns <= now;
            if (file_sink_seal(self, t, NULL) != WEIR_OK) {
                due = now + RESUME_AGAIN_NS;
                if (due < next) next = due;
            } else if (idle) {
                drop(self, t);
            }
        } else if (due < next) {
            next = due;
        }
    }
    self->check_ns = next;
    if (next != INT64_MAX) args->next_ns = next;
    return WEIR_OK;
}

static void sink_cancel(void *opaque) {
    file_sink *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
}

static weir_status sink_close(void *opaque, weir_close *args) {
    file_sink *self = opaque;
    weir_status status = WEIR_OK;
    if (args->mode == WEIR_CLOSE_DRAIN) status = file_sink_drain(self, args->error);
    reset(self);
    return status;
}

static const weir_sink_ops ops = {
    .struct_size = sizeof(weir_sink_ops),
    .create = sink_create,
    .destroy = sink_destroy,
    .open = sink_open,
    .write = sink_write,
    .drive = sink_drive,
    .flush = file_sink_flush,
    .cancel = sink_cancel,
    .close = sink_close,
    .get_extension = file_sink_extension,
};

const weir_component std_file_sink = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SINK,
    .name = "file",
    .capabilities = WEIR_CAP_BUFFERED | WEIR_CAP_STREAM_FORMAT,
    .ops = &ops,
};
