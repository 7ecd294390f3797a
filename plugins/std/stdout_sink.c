/*
 * The sink `stdout`. What was begun is always finished: when the reader is so slow that a record
 * leaves in part only, the rest is kept and goes first, next time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "std.h"
#include "weir/framing.h"

#define CHUNK_BYTES (1024u * 1024u)
#define IOV_MAX_CHUNK 256u
#define STAGING_BYTES 65536u
#define WAIT_MS 100

/* All instances of the process share one standard output: a record is never torn by another. */
static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;

typedef struct stdout_sink {
    weir_ctx *ctx;
    uint32_t framing;
    int fd;
    char *staging;
    char *rest; /* bytes of a chunk that was begun; NULL = none */
    uint64_t rest_len;
    uint64_t rest_at;
    struct iovec iov[IOV_MAX_CHUNK];
    uint32_t *failed_index;
    weir_status *failed_status;
    uint32_t *failed_error;
    uint32_t failed_capacity;
    atomic_bool cancelled;
} stdout_sink;

static weir_status stdout_create(weir_create *args) {
    stdout_sink *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    atomic_init(&self->cancelled, false);
    args->self = self;
    return WEIR_OK;
}

static void stdout_destroy(void *opaque) {
    stdout_sink *self = opaque;
    weir_free(self->ctx, self->staging);
    weir_free(self->ctx, self->rest);
    weir_free(self->ctx, self->failed_index);
    weir_free(self->ctx, self->failed_status);
    weir_free(self->ctx, self->failed_error);
    weir_free(self->ctx, self);
}

/* A pipe or terminal is opened once more, without blocking: a reader that takes nothing must not
 * keep this thread from being cancelled, and setting the flag on descriptor 1 itself would change
 * it for every process that shares it. Files do not block, and a second opening would have an
 * offset of its own; what cannot be opened again (a socket) is used as it is. */
static int open_output(void) {
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0) return STDOUT_FILENO;
    if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && isatty(STDOUT_FILENO))) {
        return STDOUT_FILENO;
    }
    int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 ? fd : STDOUT_FILENO;
}

static weir_status stdout_open(void *opaque, weir_open *args) {
    stdout_sink *self = opaque;
    weir_format format;
    weir_status status = std_format_get(self->ctx, WEIR_FRAMING_LINES, &format, args->error);
    if (status != WEIR_OK) return status;
    if (!std_stream_usable(STDOUT_FILENO, O_WRONLY)) {
        weir_fail(self->ctx, args->error, WEIR_E_IO, WEIR_ERR_CONFIG | WEIR_ERR_FATAL,
                  "standard output is closed");
        weir_fail_hint(self->ctx, args->error, "give weir an output, as in: weir run ... > FILE");
        return WEIR_E_IO;
    }
    self->framing = format.framing;
    self->fd = open_output();
    if (self->staging == NULL) self->staging = weir_alloc(self->ctx, STAGING_BYTES);
    return self->staging != NULL ? WEIR_OK : WEIR_E_NOMEM;
}

static weir_status output_error(stdout_sink *self, int code, weir_error *error) {
    char text[128];
    uint32_t flags;
    weir_status status;
    if (code == EPIPE) {
        return weir_fail(self->ctx, error, WEIR_E_IO, WEIR_ERR_FATAL,
                         "nobody reads standard output any more");
    }
    status = std_errno_status(code, &flags);
    weir_fail(self->ctx, error, status, flags, "cannot write to standard output: %s",
              std_strerror(code, text, sizeof text));
    if (code == ENOSPC || code == EDQUOT) {
        weir_fail_hint(self->ctx, error, "free space; weir tries again as retry says");
    }
    return status;
}

/* Writes until everything is gone or the deadline has passed; how much went. `*code` = 0 or errno.
 */
static uint64_t put(stdout_sink *self, struct iovec *iov, uint32_t count, int64_t deadline_ns,
                    int *code) {
    uint64_t done = 0;
    *code = 0;
    while (count > 0) {
        ssize_t n = writev(self->fd, iov, (int)count);
        if (n >= 0) {
            done += (uint64_t)n;
            iov = weir_iov_advance(iov, &count, (uint64_t)n);
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN) {
            struct pollfd p = {.fd = self->fd, .events = POLLOUT};
            if (!atomic_load_explicit(&self->cancelled, memory_order_relaxed) &&
                weir_mono_ns(self->ctx) < deadline_ns) {
                (void)poll(&p, 1, WAIT_MS);
                continue;
            }
        }
        *code = errno;
        break;
    }
    return done;
}

/* Writes what an earlier call had begun. */
static int put_rest(stdout_sink *self, int64_t deadline_ns) {
    if (self->rest == NULL) return 0;
    struct iovec iov = {self->rest + self->rest_at, (size_t)(self->rest_len - self->rest_at)};
    int code;
    self->rest_at += put(self, &iov, 1, deadline_ns, &code);
    if (self->rest_at == self->rest_len) {
        weir_free(self->ctx, self->rest);
        self->rest = NULL;
    }
    return code;
}

/* Keeps the unwritten bytes of a chunk, so that its records count as taken. */
static bool keep_rest(stdout_sink *self, const struct iovec *iov, uint32_t count, uint64_t bytes,
                      uint64_t done) {
    uint64_t at = 0;
    char *rest = weir_alloc(self->ctx, bytes);
    if (rest == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(rest + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    self->rest = rest;
    self->rest_len = bytes;
    self->rest_at = done;
    return true;
}

static bool grow_failures(stdout_sink *self, uint32_t rows) {
    if (rows <= self->failed_capacity) return true;
    weir_free(self->ctx, self->failed_index);
    weir_free(self->ctx, self->failed_status);
    weir_free(self->ctx, self->failed_error);
    self->failed_index = weir_alloc(self->ctx, sizeof *self->failed_index * rows);
    self->failed_status = weir_alloc(self->ctx, sizeof *self->failed_status * rows);
    self->failed_error = weir_alloc(self->ctx, sizeof *self->failed_error * rows);
    self->failed_capacity =
        self->failed_index != NULL && self->failed_status != NULL && self->failed_error != NULL
            ? rows
            : 0;
    return self->failed_capacity > 0;
}

static weir_status stdout_write(void *opaque, weir_write *args) {
    stdout_sink *self = opaque;
    const weir_rows *rows = args->request->rows;
    weir_result result = {.struct_size = sizeof result};
    weir_error *errors[2] = {weir_error_new(self->ctx), weir_error_new(self->ctx)};
    struct iovec copy[IOV_MAX_CHUNK];
    uint32_t row = 0;
    int code;
    if (errors[0] == NULL || errors[1] == NULL || !grow_failures(self, rows->count)) {
        weir_error_free(self->ctx, errors[0]);
        weir_error_free(self->ctx, errors[1]);
        return WEIR_E_NOMEM;
    }
    weir_fail(self->ctx, errors[0], WEIR_E_DATA, WEIR_ERR_PER_RECORD,
              "the value contains a newline, framing is by lines");
    pthread_mutex_lock(&output);
    code = put_rest(self, args->deadline_ns);
    while (row < rows->count && code == 0) {
        weir_gather g = {0};
        uint64_t done;
        g.rows = rows;
        g.iov = self->iov;
        g.iov_max = IOV_MAX_CHUNK;
        g.staging = self->staging;
        g.staging_size = STAGING_BYTES;
        g.bytes_max = CHUNK_BYTES;
        g.framing = self->framing;
        g.row = row;
        g.end = rows->count;
        if (weir_frame_gather(&g) == WEIR_E_DATA) {
            self->failed_index[result.failed_count] = row++;
            self->failed_status[result.failed_count] = WEIR_E_DATA;
            self->failed_error[result.failed_count++] = 0;
            continue;
        }
        memcpy(copy, self->iov, sizeof *copy * g.iov_count);
        done = put(self, copy, g.iov_count, args->deadline_ns, &code);
        if (code == 0 ||
            (done > 0 && code != EPIPE && keep_rest(self, self->iov, g.iov_count, g.bytes, done))) {
            row = g.row;
        }
    }
    pthread_mutex_unlock(&output);
    if (code != 0) {
        weir_status status = WEIR_E_TIMEOUT;
        if (code == EAGAIN) {
            weir_fail(self->ctx, errors[1], status, WEIR_ERR_RETRYABLE,
                      "the reader of standard output takes nothing");
        } else {
            status = output_error(self, code, errors[1]);
        }
        if (row == 0) {
            result.status = status;
            result.error = errors[1];
        }
        for (; result.status == WEIR_OK && row < rows->count; row++) {
            self->failed_index[result.failed_count] = row;
            self->failed_status[result.failed_count] = status;
            self->failed_error[result.failed_count++] = 1;
        }
    }
    result.failed_index = self->failed_index;
    result.failed_status = self->failed_status;
    result.failed_error = self->failed_error;
    result.errors = (const weir_error *const *)errors;
    result.error_count = 2;
    args->taken = rows->count;
    weir_api_of(self->ctx)->task.write_done(self->ctx, args->token, &result);
    weir_error_free(self->ctx, errors[0]);
    weir_error_free(self->ctx, errors[1]);
    return WEIR_OK;
}

static weir_status stdout_flush(void *opaque, weir_flush *args) {
    stdout_sink *self = opaque;
    weir_error *error = weir_error_new(self->ctx);
    weir_status status = WEIR_OK;
    int code;
    pthread_mutex_lock(&output);
    code = put_rest(self, args->deadline_ns);
    pthread_mutex_unlock(&output);
    if (code != 0) status = output_error(self, code, error);
    weir_flush_done(self->ctx, args->epoch, status, status != WEIR_OK ? error : NULL);
    weir_error_free(self->ctx, error);
    return WEIR_OK;
}

static void stdout_cancel(void *opaque) {
    stdout_sink *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
}

static weir_status stdout_close(void *opaque, weir_close *args) {
    stdout_sink *self = opaque;
    int code = 0;
    if (args->mode == WEIR_CLOSE_DRAIN) {
        pthread_mutex_lock(&output);
        code = put_rest(self, args->deadline_ns);
        pthread_mutex_unlock(&output);
    }
    if (self->fd != STDOUT_FILENO) {
        (void)close(self->fd);
        self->fd = STDOUT_FILENO;
    }
    return code == 0 ? WEIR_OK : output_error(self, code, args->error);
}

static const weir_sink_ops ops = {
    .struct_size = sizeof(weir_sink_ops),
    .create = stdout_create,
    .destroy = stdout_destroy,
    .open = stdout_open,
    .write = stdout_write,
    .flush = stdout_flush,
    .cancel = stdout_cancel,
    .close = stdout_close,
};

const weir_component std_stdout = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SINK,
    .name = "stdout",
    .capabilities = WEIR_CAP_BUFFERED | WEIR_CAP_STREAM_FORMAT,
    .ops = &ops,
};
