/*
 * The sink `file`. Nothing is gathered here: each request goes to the page cache with as few
 * writev calls as it takes, so that a reader sees records at once; a flush makes them durable.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "path_rule.h"
#include "std.h"
#include "target.h"
#include "weir/framing.h"

#define BUCKETS 1024u
/* Files under way, open or not; beyond it the least recently used one is completed. */
#define TARGETS_MAX 16384u
#define OPEN_DEFAULT 256u
/* One writev: what a failure may cut off and a retry writes again. */
#define CHUNK_BYTES (1024u * 1024u)
#define IOV_MAX_CHUNK 256u
#define STAGING_BYTES 65536u
/* Kinds of failure of single records in one request. */
#define ERRORS_MAX 16u

typedef struct file_sink {
    weir_ctx *ctx;
    target_rules rules;
    path_rule rule;
    weir_str option; /* the path as the manifest has it */
    uint64_t roll_size;
    int64_t roll_age_ns;
    int64_t roll_idle_ns;
    uint32_t open_max;
    uint32_t open_count;
    uint32_t target_count;
    target *buckets[BUCKETS];
    target *newest;
    target *oldest;
    int64_t check_ns;     /* when the next file may be due for completion; INT64_MAX = none */
    weir_error *deferred; /* a completion failed after its records were accepted */
    weir_status deferred_status;
    char *staging;
    struct iovec iov[IOV_MAX_CHUNK];
    /* Failures of the request under way. */
    uint32_t *failed_index;
    weir_status *failed_status;
    uint32_t *failed_error;
    uint32_t failed_count;
    uint32_t failed_capacity;
    weir_error *errors[ERRORS_MAX];
    const char *error_kind[ERRORS_MAX]; /* static texts: what errors[i] is about */
    uint32_t error_count;
    atomic_bool cancelled;
} file_sink;

static weir_status write_rows(file_sink *self, const weir_write *args, weir_error *system_error,
                              uint32_t *stopped);
static target *lookup(file_sink *self, weir_str path, weir_error *error);
static weir_status complete(file_sink *self, target *t, weir_error *error);
static void drop(file_sink *self, target *t);
static void close_descriptor(file_sink *self, target *t);

static weir_status sink_create(weir_create *args) {
    file_sink *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->check_ns = INT64_MAX;
    atomic_init(&self->cancelled, false);
    args->self = self;
    return WEIR_OK;
}

static void sink_destroy(void *opaque) {
    file_sink *self = opaque;
    while (self->oldest != NULL) drop(self, self->oldest);
    weir_error_free(self->ctx, self->deferred);
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
    self->option = weir_opt_str(ctx, "path");
    path_rule_init(&self->rule, self->option);
    self->roll_size = (uint64_t)weir_opt_i64(ctx, "roll.size");
    self->roll_age_ns = weir_opt_i64(ctx, "roll.age");
    self->roll_idle_ns = weir_opt_i64(ctx, "roll.idle");
    self->open_max = open_max > 0 ? (uint32_t)open_max : OPEN_DEFAULT;
    self->rules.ctx = ctx;
    self->rules.framing = format.framing;
    self->rules.of_records = self->rule.of_records;
    self->rules.literal = (size_t)self->rule.literal_len;
    self->rules.instance = args->instance;
    self->rules.parallelism = args->parallelism;
    self->rules.numbered = self->roll_size > 0 || self->roll_age_ns > 0 || self->roll_idle_ns > 0;
    self->rules.suffix = format.suffix.len < 64 ? format.suffix : (weir_str){"", 0};
    gmtime_r(&second, &tm);
    if (strftime(self->rules.stamp, sizeof self->rules.stamp, "%Y%m%dT%H%M%S", &tm) == 15) {
        snprintf(self->rules.stamp + 15, 6, "%03dZ", (int)(now_us / 1000 % 1000));
    }
    if (self->staging == NULL) self->staging = weir_alloc(ctx, STAGING_BYTES);
    return self->staging != NULL ? WEIR_OK : WEIR_E_NOMEM;
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
    if (self->error_count == ERRORS_MAX) return UINT32_MAX;
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
    status = write_rows(self, args, system_error, &stopped);
    if (status != WEIR_OK && stopped == 0) {
        result.status = status; /* nothing was written at all */
        result.error = system_error;
        self->failed_count = 0;
    } else {
        uint32_t error = UINT32_MAX;
        if (status != WEIR_OK && self->error_count < ERRORS_MAX) {
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

/* Completes a file whose records have been accepted already: a failure is the epoch's. */
static void complete_late(file_sink *self, target *t) {
    weir_error *error = self->deferred != NULL ? NULL : weir_error_new(self->ctx);
    weir_status status = complete(self, t, error);
    if (status == WEIR_OK) {
        weir_error_free(self->ctx, error);
    } else if (self->deferred_status == WEIR_OK) {
        self->deferred = error;
        self->deferred_status = status;
    }
}

/* Rows [row, end) into one target; `*done` is the first row that was not written. */
static weir_status write_run(file_sink *self, target *t, const weir_write *args, uint32_t row,
                             uint32_t end, uint32_t *done, weir_error *error) {
    weir_status status = WEIR_OK;
    int64_t now = weir_mono_ns(self->ctx);
    while (row < end && status == WEIR_OK) {
        weir_gather g = {0};
        bool was_closed = t->fd < 0;
        g.rows = args->request->rows;
        g.iov = self->iov;
        g.iov_max = IOV_MAX_CHUNK;
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
            int64_t due = INT64_MAX;
            self->open_count++;
            if (self->roll_age_ns > 0) due = t->first_ns + self->roll_age_ns;
            if (self->roll_idle_ns > 0 && now + self->roll_idle_ns < due) {
                due = now + self->roll_idle_ns;
            }
            if (due < self->check_ns) self->check_ns = due;
        }
        status = target_write(&self->rules, t, self->iov, g.iov_count, g.bytes, args->deadline_ns,
                              error);
        if (t->fd < 0) self->open_count--; /* given up: see target_write */
        if (status != WEIR_OK) break;
        t->last_ns = now;
        row = g.row;
        if (self->roll_size > 0 && t->size >= self->roll_size && !t->direct) {
            complete_late(self, t);
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
        target *t;
        if (wrong != NULL) {
            for (; row < end; row++) fail_row(self, row, WEIR_E_DATA, wrong);
            continue;
        }
        t = lookup(self, path, system_error);
        if (t == NULL) {
            *stopped = row;
            return WEIR_E_NOMEM;
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

/* The target of a path, made if needed, now the most recently used one. Keeps the number of
 * descriptors below the limit, one of them for this target. */
static target *lookup(file_sink *self, weir_str path, weir_error *error) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    target *t = self->newest;
    if (t == NULL || t->key_len != path.len || memcmp(t->key, path.ptr, t->key_len) != 0) {
        for (uint64_t i = 0; i < path.len; i++) {
            hash = (hash ^ (unsigned char)path.ptr[i]) * UINT64_C(0x100000001b3);
        }
        t = self->buckets[hash % BUCKETS];
        while (t != NULL && (t->hash != hash || t->key_len != path.len ||
                             memcmp(t->key, path.ptr, t->key_len) != 0)) {
            t = t->next;
        }
    }
    if (t == NULL) {
        if (self->target_count >= TARGETS_MAX) {
            complete_late(self, self->oldest);
            drop(self, self->oldest);
        }
        t = target_new(&self->rules, path, hash);
        if (t == NULL) {
            weir_fail(self->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE, "no memory for a file");
            return NULL;
        }
        t->next = self->buckets[hash % BUCKETS];
        self->buckets[hash % BUCKETS] = t;
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
    return t;
}

static void close_descriptor(file_sink *self, target *t) {
    if (t->fd < 0) return;
    target_close(t);
    self->open_count--;
}

static weir_status complete(file_sink *self, target *t, weir_error *error) {
    bool was_open = t->fd >= 0;
    weir_status status = target_complete(&self->rules, t, error);
    if (was_open && t->fd < 0) self->open_count--;
    if (!was_open && t->fd >= 0) self->open_count++;
    return status;
}

static void drop(file_sink *self, target *t) {
    target **at = &self->buckets[t->hash % BUCKETS];
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
    if (self->check_ns == INT64_MAX) return WEIR_OK;
    now = weir_mono_ns(self->ctx);
    if (now < self->check_ns) {
        args->next_ns = self->check_ns;
        return WEIR_OK;
    }
    for (target *t = self->oldest, *newer; t != NULL; t = newer) {
        int64_t due = INT64_MAX;
        newer = t->newer;
        if (t->hidden == NULL || t->direct) continue;
        if (self->roll_age_ns > 0) due = t->first_ns + self->roll_age_ns;
        if (self->roll_idle_ns > 0 && t->last_ns + self->roll_idle_ns < due) {
            due = t->last_ns + self->roll_idle_ns;
        }
        if (due <= now) {
            complete_late(self, t);
            if (self->roll_idle_ns > 0 && t->last_ns + self->roll_idle_ns <= now) drop(self, t);
        } else if (due < next) {
            next = due;
        }
    }
    self->check_ns = next;
    if (next != INT64_MAX) args->next_ns = next;
    return WEIR_OK;
}

/* Syncs all files, and completes them at the end. The first failure is reported, the rest is still
 * tried. */
static weir_status sync_all(file_sink *self, bool last, weir_error *error) {
    weir_status first = WEIR_OK;
    for (target *t = self->oldest; t != NULL; t = t->newer) {
        weir_error *into = first == WEIR_OK ? error : NULL;
        bool was_open = t->fd >= 0;
        weir_status status = WEIR_OK;
        if (last) {
            status = complete(self, t, into);
        } else if (t->dirty || t->fresh) {
            status = target_sync(&self->rules, t, into);
            if (was_open && t->fd < 0) self->open_count--;
        }
        if (first == WEIR_OK) first = status;
    }
    return first;
}

static weir_status sink_flush(void *opaque, weir_flush *args) {
    file_sink *self = opaque;
    weir_error *error = self->deferred != NULL ? self->deferred : weir_error_new(self->ctx);
    weir_status status = sync_all(self, args->last != 0, self->deferred != NULL ? NULL : error);
    if (self->deferred_status != WEIR_OK) status = self->deferred_status;
    self->deferred = NULL;
    self->deferred_status = WEIR_OK;
    weir_flush_done(self->ctx, args->epoch, status, status != WEIR_OK ? error : NULL);
    weir_error_free(self->ctx, error);
    return WEIR_OK;
}

static void sink_cancel(void *opaque) {
    file_sink *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
}

static weir_status sink_close(void *opaque, weir_close *args) {
    file_sink *self = opaque;
    weir_status status = WEIR_OK;
    if (args->mode == WEIR_CLOSE_DRAIN) {
        status = sync_all(self, true, args->error);
        if (self->deferred_status != WEIR_OK && status == WEIR_OK) {
            status = weir_fail(self->ctx, args->error, self->deferred_status, 0,
                               "a file could not be completed");
        }
    }
    while (self->oldest != NULL) drop(self, self->oldest);
    weir_error_free(self->ctx, self->deferred);
    self->deferred = NULL;
    self->deferred_status = WEIR_OK;
    self->check_ns = INT64_MAX;
    return status;
}

static const weir_sink_ops ops = {
    .struct_size = sizeof(weir_sink_ops),
    .create = sink_create,
    .destroy = sink_destroy,
    .open = sink_open,
    .write = sink_write,
    .drive = sink_drive,
    .flush = sink_flush,
    .cancel = sink_cancel,
    .close = sink_close,
};

const weir_component std_file_sink = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SINK,
    .name = "file",
    .capabilities = WEIR_CAP_BUFFERED | WEIR_CAP_STREAM_FORMAT,
    .ops = &ops,
};
