/*
 * The source `stdin`: one split, read until its end. What was read cannot be read again: positions
 * count bytes, but nothing can be resumed.
 *
 *   buffer   | records ... | carry |  free  |      one pooled segment between polls
 *
 * Much at once: the segment goes with the batch and the carry is copied to a new one. Little at
 * once: the records are copied, so that a line typed by hand does not hold 256 KiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "std.h"
#include "weir/framing.h"

#define SEGMENT_BYTES (256u * 1024u)
#define COPY_BELOW (32u * 1024u)
#define SPLIT_ID "0"

typedef struct stdin_source {
    weir_ctx *ctx;
    uint32_t framing;
    uint32_t meta;
    uint64_t record_max;
    int fd;
    int wake_fd; /* made readable by cancel and wakeup */
    bool assigned;
    bool ended;
    bool skipping;
    char *buffer;
    uint64_t capacity;
    uint64_t have;    /* bytes in the buffer */
    uint64_t scanned; /* of which so many hold no '\n' */
    uint64_t offset;  /* of the buffer in the stream */
    char position[8];
    atomic_bool cancelled;
} stdin_source;

static weir_status next_batch(stdin_source *self, weir_poll *args);
static weir_status fill(stdin_source *self, weir_poll *args);

static weir_status stdin_create(weir_create *args) {
    stdin_source *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wake_fd < 0) {
        weir_free(args->ctx, self);
        return weir_fail(args->ctx, args->error, WEIR_E_IO, WEIR_ERR_RETRYABLE,
                         "no file descriptor left for an event");
    }
    atomic_init(&self->cancelled, false);
    args->self = self;
    return WEIR_OK;
}

static void stdin_destroy(void *opaque) {
    stdin_source *self = opaque;
    if (self->buffer != NULL) weir_api_of(self->ctx)->batch.segment_free(self->buffer);
    close(self->wake_fd);
    weir_free(self->ctx, self);
}

static weir_status stdin_open(void *opaque, weir_open *args) {
    stdin_source *self = opaque;
    weir_format format;
    int64_t record_max = weir_opt_i64(self->ctx, "max_record");
    weir_status status = std_format_get(self->ctx, WEIR_FRAMING_LINES, &format, args->error);
    if (status != WEIR_OK) return status;
    if (args->role == WEIR_ROLE_TASK && args->parallelism > 1) {
        weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                  "standard input has one reader, parallelism is %u", args->parallelism);
        weir_fail_hint(self->ctx, args->error, "set parallelism: 1 on this node");
        return WEIR_E_INVALID_ARG;
    }
    if (!std_stream_usable(STDIN_FILENO, O_RDONLY)) {
        weir_fail(self->ctx, args->error, WEIR_E_IO, WEIR_ERR_CONFIG | WEIR_ERR_FATAL,
                  "standard input is closed");
        weir_fail_hint(self->ctx, args->error, "give weir an input, as in: weir run ... < FILE");
        return WEIR_E_IO;
    }
    self->framing = format.framing;
    self->record_max = record_max > 0 && record_max <= (int64_t)WEIR_RECORD_BYTES_MAX
                           ? (uint64_t)record_max
                           : WEIR_RECORD_BYTES_MAX;
    self->meta = std_meta_wanted(args);
    self->fd = STDIN_FILENO;
    return WEIR_OK;
}

static weir_status stdin_assign(void *opaque, weir_assign *args) {
    stdin_source *self = opaque;
    bool before = self->assigned;
    self->assigned = args->count > 0;
    if (self->assigned && !before && args->position_len != NULL && args->position_len[0] == 8) {
        self->offset = std_get_u64(args->position_ptr[0]);
        weir_log(self->ctx, WEIR_LOG_WARN,
                 "standard input cannot be read again: going on with what comes now");
    }
    return WEIR_OK;
}

static weir_status stdin_poll(void *opaque, weir_poll *args) {
    stdin_source *self = opaque;
    weir_status status;
    args->next_ns = 0;
    args->batch = NULL;
    for (;;) {
        if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) return WEIR_E_CANCELLED;
        if (!self->assigned || args->room_records == 0) return WEIR_AGAIN;
        status = next_batch(self, args);
        if (status != WEIR_AGAIN) return status;
        if (self->ended) return WEIR_END;
        status = fill(self, args);
        if (status != WEIR_OK) return status;
    }
}

/* A buffer with room for more bytes: the one there is, or one four times as large. */
static weir_status make_room(stdin_source *self, weir_error *error) {
    const weir_api *api = weir_api_of(self->ctx);
    uint64_t capacity = 0;
    char *larger;
    if (self->buffer != NULL && self->have + 1 < self->capacity) return WEIR_OK;
    larger = api->batch.segment_alloc(
        self->ctx, self->buffer == NULL ? SEGMENT_BYTES : self->capacity * 4, &capacity);
    if (larger == NULL) {
        return weir_fail(self->ctx, error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                         "no memory for a record of standard input");
    }
    if (self->buffer != NULL) {
        memcpy(larger, self->buffer, (size_t)self->have);
        api->batch.segment_free(self->buffer);
    }
    self->buffer = larger;
    self->capacity = capacity;
    return WEIR_OK;
}

/* Waits for bytes and reads some. WEIR_OK: look again; WEIR_AGAIN: none by the deadline. */
static weir_status fill(stdin_source *self, weir_poll *args) {
    weir_status status = make_room(self, args->error);
    struct pollfd fds[2] = {{.fd = self->fd, .events = POLLIN},
                            {.fd = self->wake_fd, .events = POLLIN}};
    int64_t wait_ns = args->deadline_ns - weir_mono_ns(self->ctx);
    int wait_ms = wait_ns <= 0                     ? 0
                  : wait_ns > INT64_C(60000000000) ? 60000
                                                   : (int)(wait_ns / 1000000);
    uint64_t drained;
    ssize_t n;
    char text[128];
    if (status != WEIR_OK) return status;
    n = poll(fds, 2, wait_ms);
    if (n < 0 && errno != EINTR) goto failed;
    if (n > 0 && fds[1].revents != 0) (void)!read(self->wake_fd, &drained, sizeof drained);
    if (n <= 0 || fds[0].revents == 0) return WEIR_AGAIN;
    n = read(self->fd, self->buffer + self->have, (size_t)(self->capacity - 1 - self->have));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return WEIR_AGAIN;
    if (n < 0) goto failed;
    if (n == 0) self->ended = true;
    self->have += (uint64_t)n;
    return WEIR_OK;
failed:
    return weir_fail(self->ctx, args->error, WEIR_E_IO, 0, "cannot read standard input: %s",
                     std_strerror(errno, text, sizeof text));
}

/* Takes `used` bytes off the front of the buffer. */
static void consume(stdin_source *self, uint64_t used) {
    memmove(self->buffer, self->buffer + used, (size_t)(self->have - used));
    self->have -= used;
    self->offset += used;
    self->scanned = 0;
}

/* Is there a whole record in the buffer? Looks at each byte once, however slowly a line comes. */
static bool has_record(stdin_source *self) {
    if (self->have == 0) return false;
    if (self->ended) return true;
    if (self->framing == WEIR_FRAMING_LENGTH) return self->have >= WEIR_FRAME_LENGTH_BYTES;
    if (self->framing == WEIR_FRAMING_NONE) return self->have > self->record_max;
    if (memchr(self->buffer + self->scanned, '\n', (size_t)(self->have - self->scanned)) != NULL) {
        return true;
    }
    self->scanned = self->have;
    return self->have > self->record_max;
}

static weir_status bad_record(stdin_source *self, weir_status status, weir_error *error) {
    if (status == WEIR_E_TOO_LARGE) {
        weir_fail(self->ctx, error, status, WEIR_ERR_PER_RECORD,
                  "the record at byte %llu of standard input is longer than %llu bytes",
                  (unsigned long long)self->offset, (unsigned long long)self->record_max);
        weir_fail_hint(self->ctx, error, "raise max_record");
        self->skipping = true;
    } else {
        weir_fail(self->ctx, error, status, WEIR_ERR_PER_RECORD,
                  "standard input ends within the record at byte %llu",
                  (unsigned long long)self->offset);
        consume(self, self->have);
    }
    return status;
}

/* Drops what has come of a record that was reported as too large. True when its end was met. */
static bool skip(stdin_source *self) {
    if (self->framing == WEIR_FRAMING_LINES) {
        const char *newline = memchr(self->buffer, '\n', (size_t)self->have);
        if (newline != NULL) {
            consume(self, (uint64_t)(newline - self->buffer) + 1);
            return true;
        }
        consume(self, self->have);
        return self->ended;
    }
    /* The length of the record stands in front; what follows cannot be told from it otherwise. */
    consume(self, self->have);
    return false;
}

static weir_status fill_meta(stdin_source *self, const weir_api *api, weir_batch_builder *b,
                             const weir_frames *f, const char *bytes) {
    weir_status status = WEIR_OK;
    uint64_t head = self->framing == WEIR_FRAMING_LENGTH ? WEIR_FRAME_LENGTH_BYTES : 0;
    uint64_t *numbers;
    if (self->meta & STD_META_SPLIT) {
        status = std_meta_constant(api, b, WEIR_META_SPLIT, weir_str_of(SPLIT_ID));
    }
    if (status != WEIR_OK || !(self->meta & STD_META_POSITION)) return status;
    numbers = (uint64_t *)(void *)api->batch.alloc(b, sizeof *numbers * f->count);
    if (numbers == NULL) return WEIR_E_NOMEM;
    for (uint32_t i = 0; i < f->count; i++) {
        numbers[i] = self->offset + (uint64_t)(f->value_ptr[i] - bytes) - head;
    }
    return std_meta_numbers(api, b, WEIR_META_POSITION, numbers, f->count);
}

/* Finds the records at the front of the buffer, moved from `from` to `bytes` if they were copied.
 */
static weir_status seal_batch(stdin_source *self, const weir_api *api, weir_batch_builder *b,
                              const weir_frames *f, const char *bytes, const weir_batch **out) {
    weir_batch_seal seal = {.struct_size = sizeof seal, .lag_ms = -1};
    weir_status status = api->batch.commit(b, f->count);
    if (status == WEIR_OK && self->meta != 0) status = fill_meta(self, api, b, f, bytes);
    if (status != WEIR_OK) {
        api->batch.abandon(b);
        return status;
    }
    std_put_u64(self->position, self->offset + f->used);
    seal.split = weir_str_of(SPLIT_ID);
    seal.resume = (weir_str){self->position, sizeof self->position};
    if (self->framing == WEIR_FRAMING_LINES) {
        seal.trailer_len = 1;
        seal.trailer = '\n';
    }
    *out = api->batch.seal(b, &seal);
    return *out != NULL ? WEIR_OK : WEIR_E_NOMEM;
}

/* The records that are in the buffer. WEIR_AGAIN: more bytes are needed. */
static weir_status next_batch(stdin_source *self, weir_poll *args) {
    const weir_api *api = weir_api_of(self->ctx);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_frames f = {0};
    weir_batch_builder *b;
    weir_status status;
    uint64_t bytes;
    bool cut = false;
    if (self->skipping && self->have > 0) self->skipping = !skip(self);
    if (self->skipping || !has_record(self)) return WEIR_AGAIN;
    bytes = self->have;
    if (self->ended && self->framing == WEIR_FRAMING_LINES && self->buffer[bytes - 1] != '\n') {
        self->buffer[bytes++] = '\n'; /* the last line is a record too */
        cut = true;
    }
    f.room = args->room_records < 65536u ? args->room_records : 65536u;
    b = api->batch.begin(self->ctx, 256, 0);
    if (b == NULL) return WEIR_E_NOMEM;
    status = api->batch.reserve(b, f.room, &columns);
    f.value_ptr = columns.value_ptr;
    f.value_len = columns.value_len;
    if (status == WEIR_OK) {
        status =
            weir_frame_split(self->framing, (weir_str){self->buffer, bytes}, self->record_max, &f);
    }
    if (status == WEIR_OK && f.count == 0) status = self->ended ? WEIR_E_DATA : WEIR_AGAIN;
    if (status != WEIR_OK) {
        api->batch.abandon(b);
        if (status == WEIR_E_TOO_LARGE || status == WEIR_E_DATA) {
            return bad_record(self, status, args->error);
        }
        return status;
    }
    if (cut && f.used == bytes) f.used--;
    if (f.used < COPY_BELOW) {
        char *copy = api->batch.alloc(b, f.used + 1);
        if (copy == NULL) {
            api->batch.abandon(b);
            return WEIR_E_NOMEM;
        }
        memcpy(copy, self->buffer, (size_t)f.used + (cut ? 1 : 0));
        for (uint32_t i = 0; i < f.count; i++) {
            f.value_ptr[i] = copy + (f.value_ptr[i] - self->buffer);
        }
        status = seal_batch(self, api, b, &f, copy, &args->batch);
        if (status == WEIR_OK) consume(self, f.used);
    } else {
        uint64_t carry = self->have - f.used;
        uint64_t capacity = 0;
        char *next = api->batch.segment_alloc(
            self->ctx, carry + 1 > SEGMENT_BYTES ? carry + 1 : SEGMENT_BYTES, &capacity);
        if (next == NULL || api->batch.attach(b, self->buffer, api->batch.segment_free,
                                              self->capacity) != WEIR_OK) {
            if (next != NULL) api->batch.segment_free(next);
            api->batch.abandon(b);
            return WEIR_E_NOMEM;
        }
        memcpy(next, self->buffer + f.used, (size_t)carry);
        status = seal_batch(self, api, b, &f, self->buffer, &args->batch);
        self->buffer = next;
        self->capacity = capacity;
        self->have = carry;
        self->offset += f.used;
        self->scanned = 0;
    }
    return status;
}

static void stdin_wakeup(void *opaque) {
    stdin_source *self = opaque;
    uint64_t one = 1;
    (void)!write(self->wake_fd, &one, sizeof one);
}

static void stdin_cancel(void *opaque) {
    stdin_source *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
    stdin_wakeup(self);
}

static weir_status stdin_close(void *opaque, weir_close *args) {
    stdin_source *self = opaque;
    (void)args;
    self->assigned = false;
    return WEIR_OK;
}

static const weir_source_ops ops = {
    .struct_size = sizeof(weir_source_ops),
    .create = stdin_create,
    .destroy = stdin_destroy,
    .open = stdin_open,
    .assign = stdin_assign,
    .poll = stdin_poll,
    .cancel = stdin_cancel,
    .wakeup = stdin_wakeup,
    .close = stdin_close,
};

const weir_component std_stdin = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SOURCE,
    .name = "stdin",
    .capabilities = WEIR_CAP_BOUNDED | WEIR_CAP_STREAM_FORMAT,
    .ops = &ops,
};
