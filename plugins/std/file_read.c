/*
 * Reading a file of the source `file`.
 *
 * One poll reads one pooled segment, always from a record's boundary, and finds the records in it:
 *
 *     position                                    next position
 *     v                                           v
 *     a line \n another line \n a third line \n   half a li        <- one pread, one batch
 *
 * What is behind the last boundary is read again by the next poll: half a line out of hundreds,
 * and in return nothing is carried, copied or remembered between polls. A record that does not fit
 * makes the next segment four times as large.
 */
#include "file_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/framing.h"

#define SEGMENT_BYTES_MIN 4096u
/* A read that holds fewer records than this is made larger, up to SEGMENT_BYTES_MANY. */
#define RECORDS_FEW 8u
#define SEGMENT_BYTES_MANY (4u * 1024u * 1024u)
/* Open files of one instance that follows. */
#define OPEN_MAX 256u
#define PUT_BACK "put the file back as it was, or start anew with --from none"

static weir_status open_split(file_source *self, split *s, weir_error *error);

static weir_status io_error(file_source *self, const split *s, const char *what, int code,
                            weir_error *error) {
    char text[128];
    uint32_t flags;
    weir_status status = std_errno_status(code, &flags);
    return weir_fail(self->ctx, error, status, flags, "cannot %s '%s': %s", what, s->path,
                     std_strerror(code, text, sizeof text));
}

static weir_status finish(file_source *self, split *s, weir_poll *args) {
    file_close_split(self, s);
    s->finished = true;
    memset(&self->event, 0, sizeof self->event);
    self->event.struct_size = sizeof self->event;
    self->event.kind = WEIR_EVENT_FINISHED;
    self->event.split = (weir_str){s->id, s->id_len};
    self->event.lag_ms = -1;
    args->event = &self->event;
    return WEIR_EVENT;
}

/* How much to read: no more than there is, the room allows, and the records asked for will take. */
static uint64_t read_size(const split *s, const weir_poll *args, uint64_t file_size) {
    uint64_t n = s->want;
    uint64_t average = s->average > 0 ? s->average : 1;
    if (n > args->room_bytes) n = args->room_bytes;
    if (n / average > args->room_records) n = (args->room_records + UINT64_C(1)) * average;
    if (n < s->least) n = s->least;
    if (file_size > s->offset && n > file_size - s->offset + 2) n = file_size - s->offset + 2;
    return n > SEGMENT_BYTES_MIN ? n : SEGMENT_BYTES_MIN;
}

static int64_t read_full(int fd, char *to, uint64_t size, uint64_t offset) {
    uint64_t got = 0;
    while (got < size) {
        ssize_t n = pread(fd, to + got, (size_t)(size - got), (off_t)(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (uint64_t)n;
    }
    return (int64_t)got;
}

/* At the end of a followed file: has another file taken its name, or was it cut? WEIR_OK = read on
 * (the split was moved to the new file), WEIR_AGAIN = nothing new. */
static weir_status follow_end(file_source *self, split *s, uint64_t size) {
    struct stat st;
    if (size < s->offset) {
        weir_log(self->ctx, WEIR_LOG_WARN, "'%s' was truncated: reading it from its beginning",
                 s->path);
        s->generation++;
        s->offset = 0;
        s->skipping = false;
        return WEIR_OK;
    }
    if (stat(s->path, &st) != 0 || (uint64_t)st.st_ino == s->inode) return WEIR_AGAIN;
    if (!s->drained) { /* whoever renamed it may still have written: look once more, later */
        s->drained = true;
        return WEIR_AGAIN;
    }
    weir_log(self->ctx, WEIR_LOG_INFO, "'%s' was replaced: reading the new file", s->path);
    file_close_split(self, s);
    s->generation++;
    s->offset = 0;
    s->inode = 0;
    s->drained = false;
    s->skipping = false;
    return WEIR_OK;
}

static weir_status fill_meta(file_source *self, const weir_api *api, weir_batch_builder *b,
                             const split *s, const weir_frames *f, const char *segment) {
    weir_status status = WEIR_OK;
    if (self->meta & STD_META_SPLIT) {
        status = std_meta_constant(api, b, WEIR_META_SPLIT, (weir_str){s->id, s->id_len});
    }
    if (status == WEIR_OK && (self->meta & STD_META_OBJECT)) {
        status = std_meta_constant(api, b, WEIR_META_OBJECT, weir_str_of(s->path));
    }
    if (status == WEIR_OK && (self->meta & STD_META_POSITION)) {
        uint64_t head = self->framing == WEIR_FRAMING_LENGTH ? WEIR_FRAME_LENGTH_BYTES : 0;
        uint64_t *numbers = (uint64_t *)(void *)api->batch.alloc(b, sizeof *numbers * f->count);
        if (numbers == NULL) return WEIR_E_NOMEM;
        for (uint32_t i = 0; i < f->count; i++) {
            numbers[i] = s->offset + (uint64_t)(f->value_ptr[i] - segment) - head;
        }
        status = std_meta_numbers(api, b, WEIR_META_POSITION, numbers, f->count);
    }
    return status;
}

/* Makes the batch of what was read; takes over the segment. WEIR_AGAIN: no complete record. */
static weir_status make_batch(file_source *self, split *s, char *segment, uint64_t capacity,
                              uint64_t got, bool whole, weir_poll *args) {
    const weir_api *api = weir_api_of(self->ctx);
    uint64_t estimate = got / (s->average > 0 ? s->average : 1);
    uint32_t room = (uint32_t)(estimate + estimate / 4 + 16);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_batch_seal seal = {.struct_size = sizeof seal, .lag_ms = -1};
    weir_frames f = {0};
    uint64_t used = got;
    bool cut = false; /* the last line had no newline: ours stands behind it */
    weir_batch_builder *b;
    weir_status status;
    if (whole && self->framing == WEIR_FRAMING_LINES && segment[got - 1] != '\n') {
        segment[got] = '\n';
        used++;
        cut = true;
    }
    if (room > args->room_records) room = args->room_records;
    b = api->batch.begin(self->ctx, room, 0);
    if (b == NULL || api->batch.attach(b, segment, api->batch.segment_free, capacity) != WEIR_OK) {
        api->batch.segment_free(segment);
        status = WEIR_E_NOMEM;
        goto done;
    }
    for (uint32_t total = 0;;) {
        uint64_t before = f.used;
        status = api->batch.reserve(b, room - total, &columns);
        if (status != WEIR_OK) goto done;
        f.value_ptr = columns.value_ptr;
        f.value_len = columns.value_len;
        f.room = room - total;
        status = weir_frame_split(self->framing, (weir_str){segment + before, used - before},
                                  self->record_max, &f);
        f.used += before;
        if (status == WEIR_E_TOO_LARGE && total > 0)
            status = WEIR_OK; /* it comes first next time */
        if (status != WEIR_OK) goto done;
        if (f.count == 0 && total == 0) {
            s->least = f.need;
            status = WEIR_AGAIN;
            goto done;
        }
        status = api->batch.commit(b, f.count);
        if (status == WEIR_OK && self->meta != 0 && f.count > 0) {
            /* Metadata is wanted rarely; then a batch is what one round finds. */
            status = fill_meta(self, api, b, s, &f, segment);
        }
        if (status != WEIR_OK) goto done;
        total += f.count;
        if (self->meta != 0 || f.count < f.room || total >= args->room_records || f.used == used) {
            s->average = f.used / total > 0 ? f.used / total : 1;
            if (total < RECORDS_FEW && got + 1 >= s->want && s->want < SEGMENT_BYTES_MANY) {
                s->want *= 2;
            }
            break;
        }
        room = room > args->room_records / 2 ? args->room_records : room * 2;
    }
    if (cut && f.used == used) f.used--; /* our newline is not in the file */
    seal.split = (weir_str){s->id, s->id_len};
    seal.resume = file_position(self, s, s->offset + f.used);
    if (self->framing == WEIR_FRAMING_LINES) {
        seal.trailer_len = 1;
        seal.trailer = '\n';
    }
    args->batch = api->batch.seal(b, &seal);
    if (args->batch == NULL) {
        b = NULL;
        status = WEIR_E_NOMEM;
        goto done;
    }
    s->offset += f.used;
    s->least = 0;
    return WEIR_OK;
done:
    if (b != NULL) api->batch.abandon(b);
    if (status == WEIR_E_NOMEM) {
        weir_fail(self->ctx, args->error, status, WEIR_ERR_RETRYABLE,
                  "no memory for records of '%s'", s->path);
    }
    return status;
}

static weir_status too_large(file_source *self, split *s, weir_error *error) {
    s->skipping = true;
    weir_fail(self->ctx, error, WEIR_E_TOO_LARGE, WEIR_ERR_PER_RECORD,
              "the record at offset %llu of '%s' is longer than %llu bytes",
              (unsigned long long)s->offset, s->path, (unsigned long long)self->record_max);
    weir_fail_hint(self->ctx, error, "raise max_record");
    return WEIR_E_TOO_LARGE;
}

/* Moves past a record that was reported as too large. WEIR_OK = done, WEIR_AGAIN = go on. */
static weir_status skip_record(file_source *self, split *s, const char *bytes, uint64_t got,
                               bool whole) {
    if (self->framing == WEIR_FRAMING_LINES) {
        const char *newline = memchr(bytes, '\n', (size_t)got);
        s->offset += newline != NULL ? (uint64_t)(newline - bytes) + 1 : got;
        if (newline == NULL && !whole) return WEIR_AGAIN;
    } else if (self->framing == WEIR_FRAMING_LENGTH && got >= WEIR_FRAME_LENGTH_BYTES) {
        const unsigned char *head = (const unsigned char *)bytes;
        s->offset += WEIR_FRAME_LENGTH_BYTES + ((uint64_t)head[0] << 24 | (uint64_t)head[1] << 16 |
                                                (uint64_t)head[2] << 8 | head[3]);
    } else {
        s->offset = OFFSET_MASK;
    }
    s->skipping = false;
    return WEIR_OK;
}

/* Does a record begin at the position, as far as can be told? An inode would tell less: a copy of
 * the file on another machine is as good. */
static bool begins_record(const file_source *self, const split *s, uint64_t file_size) {
    char before = '\n';
    if (self->framing != WEIR_FRAMING_LINES || s->offset == file_size) return true;
    return pread(s->fd, &before, 1, (off_t)(s->offset - 1)) == 1 && before == '\n';
}

static weir_status too_short(file_source *self, const split *s, uint64_t file_size,
                             weir_error *error) {
    weir_fail(self->ctx, error, WEIR_E_INCOMPATIBLE, WEIR_ERR_FATAL,
              "'%s' has %llu bytes, expected at least the %llu that were read already", s->path,
              (unsigned long long)file_size, (unsigned long long)s->offset);
    weir_fail_hint(self->ctx, error, PUT_BACK);
    return WEIR_E_INCOMPATIBLE;
}

/* The first look at a file after a restart: is it still the one that the position is of? A followed
 * file that was rewritten is read from its beginning, as if that had happened before our eyes; any
 * other is refused, for its records were to be read once each. */
static weir_status check_resumed(file_source *self, split *s, uint64_t file_size,
                                 weir_error *error) {
    bool shorter = file_size < s->offset;
    s->resumed = false;
    if (!shorter && begins_record(self, s, file_size)) return WEIR_OK;
    if (self->follow) {
        weir_log(self->ctx, WEIR_LOG_WARN,
                 "'%s' was rewritten since the checkpoint: reading it from its beginning", s->path);
        s->generation++;
        s->offset = 0;
        return WEIR_OK;
    }
    s->resumed = true; /* the next look finds the same */
    if (shorter) return too_short(self, s, file_size, error);
    weir_fail(self->ctx, error, WEIR_E_INCOMPATIBLE, WEIR_ERR_FATAL,
              "no record begins at offset %llu of '%s', where the checkpoint goes on",
              (unsigned long long)s->offset, s->path);
    weir_fail_hint(self->ctx, error, PUT_BACK);
    return WEIR_E_INCOMPATIBLE;
}

/* One attempt: a batch, WEIR_EVENT at the end, WEIR_AGAIN with nothing new in a followed file, or
 * WEIR_OK without a batch: try again at once. */
static weir_status read_once(file_source *self, split *s, weir_poll *args) {
    const weir_api *api = weir_api_of(self->ctx);
    weir_status status = s->fd < 0 ? open_split(self, s, args->error) : WEIR_OK;
    struct stat st;
    uint64_t want;
    uint64_t capacity = 0;
    uint64_t file_size;
    int64_t got;
    char *segment;
    bool whole;
    if (status != WEIR_OK) return status;
    s->used = self->polls;
    if (fstat(s->fd, &st) != 0) return io_error(self, s, "look at", errno, args->error);
    if (S_ISDIR(st.st_mode)) return io_error(self, s, "read", EISDIR, args->error);
    file_size = (uint64_t)st.st_size;
    if (s->resumed && S_ISREG(st.st_mode)) {
        status = check_resumed(self, s, file_size, args->error);
        if (status != WEIR_OK) return status;
    }
    /* Cut while it was read: what was behind is gone, and the end would look like any other. */
    if (!self->follow && file_size < s->size && file_size < s->offset) {
        return too_short(self, s, file_size, args->error);
    }
    s->size = file_size;
    if (self->follow && file_size <= s->offset) return follow_end(self, s, file_size);
    want = read_size(s, args, file_size);
    if (want > self->record_max + WEIR_FRAME_LENGTH_BYTES + FILE_SEGMENT_BYTES) {
        want = self->record_max + WEIR_FRAME_LENGTH_BYTES + FILE_SEGMENT_BYTES;
    }
    segment = api->batch.segment_alloc(self->ctx, want, &capacity);
    if (segment == NULL) {
        return weir_fail(self->ctx, args->error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                         "no memory for a record of '%s'", s->path);
    }
    if (want > capacity - 1) want = capacity - 1; /* room for a newline of ours */
    got = read_full(s->fd, segment, want, s->offset);
    if (got <= 0) {
        int code = errno;
        api->batch.segment_free(segment);
        if (got < 0) return io_error(self, s, "read", code, args->error);
        return self->follow ? WEIR_AGAIN : finish(self, s, args);
    }
    whole = (uint64_t)got < want; /* this is the file's end as of now */
    if (s->skipping) {
        status = skip_record(self, s, segment, (uint64_t)got, whole && !self->follow);
        api->batch.segment_free(segment);
        return status == WEIR_AGAIN && whole ? WEIR_AGAIN : WEIR_OK;
    }
    if (self->framing == WEIR_FRAMING_NONE && !whole) {
        status = WEIR_AGAIN; /* a record is the whole file */
        api->batch.segment_free(segment);
        if ((uint64_t)got > self->record_max) return too_large(self, s, args->error);
    } else {
        bool last = whole && (!self->follow || s->drained);
        status = make_batch(self, s, segment, capacity, (uint64_t)got, last, args);
    }
    if (status == WEIR_E_TOO_LARGE) return too_large(self, s, args->error);
    if (status != WEIR_AGAIN) return status;
    if (!whole) { /* the record goes on behind what was read */
        if (s->least <= (uint64_t)got) s->least = (uint64_t)got * 4;
        return WEIR_OK;
    }
    if (self->follow) return follow_end(self, s, file_size);
    weir_fail(self->ctx, args->error, WEIR_E_DATA, WEIR_ERR_PER_RECORD,
              "'%s' ends within the record at offset %llu", s->path, (unsigned long long)s->offset);
    s->offset += (uint64_t)got;
    return WEIR_E_DATA;
}

weir_status file_read_split(file_source *self, split *s, weir_poll *args) {
    weir_str id = {s->id, s->id_len};
    weir_status status;
    args->batch = NULL;
    do {
        if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) return WEIR_E_CANCELLED;
        status = read_once(self, s, args);
    } while (status == WEIR_OK && args->batch == NULL);
    if (self->follow && (status == WEIR_OK || status == WEIR_AGAIN)) {
        bool idle = status == WEIR_AGAIN;
        if (idle != s->idle) weir_api_of(self->ctx)->task.split_idle(self->ctx, id, idle);
        s->idle = idle;
    }
    return status;
}

/* ---- files ---- */

/* The file of an inode in the folder of `path`: where a rotation put it while nobody looked. */
static int open_renamed(file_source *self, const char *path, uint64_t inode) {
    const char *slash = strrchr(path, '/');
    weir_str folder = {slash != NULL ? path : ".", slash != NULL ? (uint64_t)(slash - path) : 1};
    char *name = weir_str_dup(self->ctx, folder.len > 0 ? folder : weir_str_of("/"));
    DIR *dir = name != NULL ? opendir(name) : NULL;
    const struct dirent *entry;
    int fd = -1;
    weir_free(self->ctx, name);
    if (dir == NULL) return -1;
    while (fd < 0 && (entry = readdir(dir)) != NULL) {
        if ((uint64_t)entry->d_ino == inode) {
            fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
    }
    closedir(dir);
    return fd;
}

static void close_least_used(file_source *self) {
    split *least = NULL;
    for (uint32_t i = 0; i < self->own_count; i++) {
        split *s = self->own[i];
        if (s->fd >= 0 && !s->drained && (least == NULL || s->used < least->used)) least = s;
    }
    if (least != NULL) file_close_split(self, least);
}

static weir_status open_split(file_source *self, split *s, weir_error *error) {
    struct stat st;
    if (self->open_count >= OPEN_MAX) close_least_used(self);
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 && self->follow && errno == ENOENT && s->inode == 0) return WEIR_AGAIN;
    if (s->fd < 0 && !(self->follow && errno == ENOENT)) {
        return io_error(self, s, "open", errno, error);
    }
    if (s->fd >= 0 && fstat(s->fd, &st) != 0) {
        int code = errno;
        close(s->fd);
        s->fd = -1;
        return io_error(self, s, "look at", code, error);
    }
    if (self->follow && s->inode != 0 && (s->fd < 0 || (uint64_t)st.st_ino != s->inode)) {
        int old = open_renamed(self, s->path, s->inode);
        if (old < 0 && s->fd < 0) return WEIR_AGAIN; /* between a rename and the new file */
        if (old >= 0) { /* first the rest of the file that was renamed */
            if (s->fd >= 0) close(s->fd);
            s->fd = old;
            s->drained = true;
        } else {
            weir_log(self->ctx, WEIR_LOG_WARN,
                     "'%s' is another file than before: reading it from its beginning", s->path);
            s->inode = (uint64_t)st.st_ino;
            s->generation++;
            s->offset = 0;
        }
    } else if (s->fd >= 0) {
        s->inode = (uint64_t)st.st_ino;
    }
    self->open_count++;
    (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return WEIR_OK;
}

void file_close_split(file_source *self, split *s) {
    if (s->fd < 0) return;
    close(s->fd);
    s->fd = -1;
    self->open_count--;
}

weir_str file_position(file_source *self, const split *s, uint64_t offset) {
    std_put_u64(self->position, s->generation << OFFSET_BITS | (offset & OFFSET_MASK));
    if (!self->follow) return (weir_str){self->position, POSITION_BYTES};
    std_put_u64(self->position + POSITION_BYTES, s->inode);
    return (weir_str){self->position, POSITION_BYTES_FOLLOW};
}
