/*
 * The source `file`: each file is a split. How one is read stands in file_read.c.
 */
#include "file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/framing.h"

/* How often a followed file that had nothing new is looked at, and its folder. */
#define FOLLOW_NS INT64_C(100000000)
#define DISCOVER_NS INT64_C(1000000000)

static void free_splits(file_source *self);

static weir_status source_create(weir_create *args) {
    file_source *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    atomic_init(&self->cancelled, false);
    args->self = self;
    return WEIR_OK;
}

static void source_destroy(void *opaque) {
    file_source *self = opaque;
    free_splits(self);
    weir_free(self->ctx, self);
}

static weir_status source_validate(weir_validate *args) {
    if (weir_opt_is(args->ctx, "start", "end") && !weir_opt_bool(args->ctx, "follow")) {
        weir_fail(args->ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                  "start: end reads nothing unless the files are followed");
        weir_fail_detail(args->ctx, args->error, WEIR_DETAIL_OPTION, weir_str_of("start"));
        weir_fail_hint(args->ctx, args->error, "add follow: true");
        return WEIR_E_INVALID_ARG;
    }
    return WEIR_OK;
}

static weir_status source_open(void *opaque, weir_open *args) {
    file_source *self = opaque;
    weir_format format;
    int64_t record_max = weir_opt_i64(self->ctx, "max_record");
    weir_status status = std_format_get(self->ctx, WEIR_FRAMING_LINES, &format, args->error);
    if (status != WEIR_OK) return status;
    self->framing = format.framing;
    self->follow = weir_opt_bool(self->ctx, "follow") != 0;
    self->from_end = weir_opt_is(self->ctx, "start", "end") != 0;
    self->record_max = record_max > 0 && record_max <= (int64_t)WEIR_RECORD_BYTES_MAX
                           ? (uint64_t)record_max
                           : WEIR_RECORD_BYTES_MAX;
    self->meta = std_meta_wanted(args);
    self->restored = args->restored_epoch > 0;
    self->enumerated = false;
    self->assigned = false;
    if (self->follow && self->framing == WEIR_FRAMING_NONE) {
        weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                  "a file without framing is one record and cannot be followed");
        weir_fail_hint(self->ctx, args->error, "set format.framing to lines or length");
        return WEIR_E_INVALID_ARG;
    }
    return WEIR_OK;
}

static split *find(const file_source *self, const char *id, uint32_t id_len) {
    for (uint32_t i = 0; i < self->own_count; i++) {
        split *s = self->own[i];
        if (s != NULL && s->id_len == id_len && memcmp(s->id, id, id_len) == 0) return s;
    }
    return NULL;
}

static weir_status new_split(file_source *self, const weir_assign *args, uint32_t i, split **out) {
    uint32_t position_len = args->position_len != NULL ? args->position_len[i] : 0;
    weir_str path = {args->private_ptr != NULL ? args->private_ptr[i] : NULL,
                     args->private_len != NULL ? args->private_len[i] : 0};
    split *s;
    if (path.len == 0) path = (weir_str){args->id_ptr[i], args->id_len[i]};
    if ((position_len != 0 && position_len != POSITION_BYTES &&
         position_len != POSITION_BYTES_FOLLOW) ||
        args->id_len[i] > FILE_ID_MAX) {
        return weir_fail(self->ctx, args->error, WEIR_E_INCOMPATIBLE, 0,
                         "the position of '%.*s' is not one of a file", (int)path.len, path.ptr);
    }
    s = weir_zalloc(self->ctx, sizeof *s);
    if (s == NULL) return WEIR_E_NOMEM;
    s->path = weir_str_dup(self->ctx, path);
    if (s->path == NULL) {
        weir_free(self->ctx, s);
        return WEIR_E_NOMEM;
    }
    memcpy(s->id, args->id_ptr[i], args->id_len[i]);
    s->id_len = args->id_len[i];
    s->fd = -1;
    s->want = FILE_SEGMENT_BYTES;
    s->average = 512;
    if (position_len >= POSITION_BYTES) {
        uint64_t v = std_get_u64(args->position_ptr[i]);
        s->offset = v & OFFSET_MASK;
        s->generation = v >> OFFSET_BITS;
        s->resumed = s->offset > 0;
    }
    if (position_len == POSITION_BYTES_FOLLOW) {
        s->inode = std_get_u64(args->position_ptr[i] + POSITION_BYTES);
    }
    *out = s;
    return WEIR_OK;
}

static void free_split(file_source *self, split *s) {
    file_close_split(self, s);
    weir_free(self->ctx, s->path);
    weir_free(self->ctx, s);
}

static weir_status source_assign(void *opaque, weir_assign *args) {
    file_source *self = opaque;
    split **own = weir_zalloc(self->ctx, sizeof *own * ((uint64_t)args->count + 1));
    weir_status status = WEIR_OK;
    if (own == NULL) return WEIR_E_NOMEM;
    for (uint32_t i = 0; i < args->count && status == WEIR_OK; i++) {
        own[i] = find(self, args->id_ptr[i], args->id_len[i]);
        if (own[i] == NULL) status = new_split(self, args, i, &own[i]);
    }
    if (status != WEIR_OK) { /* as it was before: only what was made here goes */
        for (uint32_t i = 0; i < args->count; i++) {
            if (own[i] != NULL && find(self, own[i]->id, own[i]->id_len) == NULL) {
                free_split(self, own[i]);
            }
        }
        weir_free(self->ctx, own);
        return status;
    }
    for (uint32_t i = 0; i < self->own_count; i++) {
        bool kept = false;
        for (uint32_t k = 0; k < args->count && !kept; k++) kept = own[k] == self->own[i];
        if (!kept) free_split(self, self->own[i]);
    }
    weir_free(self->ctx, self->own);
    self->own = own;
    self->own_count = args->count;
    self->cursor = 0;
    self->assigned = true;
    return WEIR_OK;
}

static weir_status source_set_paused(void *opaque, weir_pause *args) {
    file_source *self = opaque;
    if (args->split.len <= FILE_ID_MAX) {
        split *s = find(self, args->split.ptr, (uint32_t)args->split.len);
        if (s != NULL) s->paused = args->paused != 0;
    }
    return WEIR_OK;
}

static weir_status source_poll(void *opaque, weir_poll *args) {
    file_source *self = opaque;
    int64_t next = INT64_MAX;
    int64_t now = 0;
    uint32_t finished = 0;
    if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) return WEIR_E_CANCELLED;
    args->next_ns = 0;
    if (!self->assigned || args->room_records == 0) return WEIR_AGAIN;
    if (self->follow) now = weir_mono_ns(self->ctx);
    self->polls++;
    for (uint32_t i = 0; i < self->own_count; i++) {
        uint32_t at = (self->cursor + i) % self->own_count;
        split *s = self->own[at];
        weir_status status;
        if (s->finished) {
            finished++;
            continue;
        }
        if (s->paused) continue;
        if (s->next_ns > now) {
            if (s->next_ns < next) next = s->next_ns;
            continue;
        }
        status = file_read_split(self, s, args);
        if (status == WEIR_AGAIN) {
            s->next_ns = now + FOLLOW_NS;
            if (s->next_ns < next) next = s->next_ns;
            continue;
        }
        /* One file after another while they end; by turns when they do not. */
        self->cursor = self->follow ? at + 1 : at;
        return status;
    }
    if (!self->follow && finished == self->own_count) return WEIR_END;
    if (next != INT64_MAX) args->next_ns = next;
    return WEIR_AGAIN;
}

/* ---- splits and positions ---- */

static weir_status list_splits(file_source *self, weir_enumerate *args, bool from_end) {
    const weir_api *api = weir_api_of(self->ctx);
    file_list files;
    weir_status status = file_list_make(self->ctx, !self->follow, &files, args->error);
    for (size_t i = 0; status == WEIR_OK && i < files.count; i++) {
        char id[FILE_ID_MAX];
        weir_split out = {.struct_size = sizeof out};
        out.id = (weir_str){id, file_id(files.path[i], id)};
        out.private_bytes = weir_str_of(files.path[i]);
        out.position = (weir_str){"", 0};
        if (from_end) {
            split s = {.fd = open(files.path[i], O_RDONLY | O_CLOEXEC)};
            struct stat st;
            if (s.fd >= 0 && fstat(s.fd, &st) == 0) {
                s.inode = (uint64_t)st.st_ino;
                out.position = file_position(self, &s,
                                             file_end_offset(s.fd, (uint64_t)st.st_size,
                                                             self->framing == WEIR_FRAMING_LINES));
            }
            if (s.fd >= 0) close(s.fd);
        }
        status = api->task.split_add(args->list, &out);
    }
    file_list_free(self->ctx, &files);
    return status;
}

static weir_status source_enumerate(void *opaque, weir_enumerate *args) {
    file_source *self = opaque;
    /* After a restore a file that is not known is new: it was written while nobody looked. */
    weir_status status = list_splits(self, args, self->from_end && !self->restored);
    args->next_ns = self->follow ? weir_mono_ns(self->ctx) + DISCOVER_NS : 0;
    return status;
}

static weir_status source_discover(void *opaque, weir_enumerate *args) {
    file_source *self = opaque;
    weir_status status = list_splits(self, args, false);
    args->next_ns = weir_mono_ns(self->ctx) + DISCOVER_NS;
    return status;
}

static weir_status source_to_text(void *opaque, weir_position_text *args) {
    file_source *self = opaque;
    uint64_t v;
    int n;
    if (args->position.len != POSITION_BYTES && args->position.len != POSITION_BYTES_FOLLOW) {
        return weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, 0,
                         "expected a position of 8 or 16 bytes, found %llu",
                         (unsigned long long)args->position.len);
    }
    v = std_get_u64(args->position.ptr);
    n = snprintf(args->buffer, (size_t)args->buffer_size, "%llu",
                 (unsigned long long)(v & OFFSET_MASK));
    if (n < 0 || (uint64_t)n >= args->buffer_size) return WEIR_E_TOO_LARGE;
    args->text = (weir_str){args->buffer, (uint64_t)n};
    return WEIR_OK;
}

static weir_status source_from_text(void *opaque, weir_position_text *args) {
    file_source *self = opaque;
    uint64_t v = 0;
    bool good = args->text.len > 0 && args->text.len <= 15;
    for (uint64_t i = 0; good && i < args->text.len; i++) {
        good = args->text.ptr[i] >= '0' && args->text.ptr[i] <= '9';
        v = v * 10 + (uint64_t)(args->text.ptr[i] - '0');
    }
    if (!good || v > OFFSET_MASK) {
        return weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, 0,
                         "expected a byte offset, found '%.*s'",
                         (int)(args->text.len < 64 ? args->text.len : 64), args->text.ptr);
    }
    if (args->buffer_size < POSITION_BYTES) return WEIR_E_TOO_LARGE;
    std_put_u64(args->buffer, v);
    args->position = (weir_str){args->buffer, POSITION_BYTES};
    return WEIR_OK;
}

static void source_cancel(void *opaque) {
    file_source *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
}

static void free_splits(file_source *self) {
    for (uint32_t i = 0; i < self->own_count; i++) free_split(self, self->own[i]);
    weir_free(self->ctx, self->own);
    self->own = NULL;
    self->own_count = 0;
}

static weir_status source_close(void *opaque, weir_close *args) {
    file_source *self = opaque;
    (void)args;
    free_splits(self);
    self->assigned = false;
    return WEIR_OK;
}

static const void *source_extension(void *opaque, const char *name) {
    static const weir_source_splits bounded = {.struct_size = sizeof bounded,
                                               .enumerate = source_enumerate};
    static const weir_source_splits growing = {
        .struct_size = sizeof growing, .enumerate = source_enumerate, .discover = source_discover};
    static const weir_source_position position = {
        .struct_size = sizeof position, .to_text = source_to_text, .from_text = source_from_text};
    file_source *self = opaque;
    if (strcmp(name, WEIR_SOURCE_SPLITS) == 0) {
        /* Asked perhaps before open: the option decides, not what open made of it. */
        return weir_opt_bool(self->ctx, "follow") ? &growing : &bounded;
    }
    if (strcmp(name, WEIR_SOURCE_POSITION) == 0) return &position;
    return NULL;
}

static const weir_source_ops ops = {
    .struct_size = sizeof(weir_source_ops),
    .create = source_create,
    .destroy = source_destroy,
    .open = source_open,
    .assign = source_assign,
    .set_paused = source_set_paused,
    .poll = source_poll,
    .cancel = source_cancel,
    .close = source_close,
    .get_extension = source_extension,
};

const weir_component std_file_source = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SOURCE,
    .name = "file",
    .capabilities = WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE | WEIR_CAP_STREAM_FORMAT,
    .ops = &ops,
    .validate = source_validate,
};
