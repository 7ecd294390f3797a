/*
 * The source `generator`. Split s of S holds the indexes s, s + S, s + 2S, ...; its position is how
 * many of them are behind, so that all splits together count through every index once.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "shapes.h"
#include "std.h"

#define SECOND_NS INT64_C(1000000000)
/* The least time between two batches of a paced generator: one wake-up a millisecond is cheap,
 * one a record is not. */
#define PACE_NS INT64_C(1000000)
/* What a stalled generator makes up for: more would be a flood after each pause. */
#define CATCH_UP_NS SECOND_NS
#define SEGMENT_BYTES (256u * 1024u)
#define SPLITS_MAX 100000u
#define BYTES_DEFAULT 1024u
/* A batch of this many is worth a wake-up, however short after the last one. */
#define BATCH_GOOD 1000u

typedef struct gen_split {
    uint32_t number;
    uint32_t id_len;
    char id[12];
    uint64_t position; /* records behind */
    uint64_t count;    /* records it will ever have; UINT64_MAX = no end */
    uint64_t emitted;  /* since its clock began */
    int64_t clock_ns;  /* when that was; 0 = not yet */
    int64_t last_ns;   /* of the last batch */
    bool paused;
    bool finished; /* and said so */
} gen_split;

typedef struct generator {
    weir_ctx *ctx;
    shape shape;
    uint64_t rate;
    uint64_t count;
    uint32_t splits;
    uint32_t meta;
    bool assigned;
    gen_split *own; /* [own_count] */
    uint32_t own_count;
    uint32_t cursor;
    weir_event event;
    char position[8];
    atomic_bool cancelled;
} generator;

static weir_status emit(generator *self, gen_split *s, uint64_t due, weir_poll *args);
static uint64_t due_now(const generator *self, gen_split *s, int64_t now);
static int64_t due_at(const generator *self, const gen_split *s);

static weir_status generator_create(weir_create *args) {
    generator *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    atomic_init(&self->cancelled, false);
    args->self = self;
    return WEIR_OK;
}

static void generator_destroy(void *opaque) {
    generator *self = opaque;
    weir_free(self->ctx, self->own);
    weir_free(self->ctx, self);
}

static weir_status generator_open(void *opaque, weir_open *args) {
    generator *self = opaque;
    weir_ctx *ctx = self->ctx;
    int64_t splits = weir_opt_i64(ctx, "splits");
    int64_t size = weir_opt_i64(ctx, "size");
    int64_t rate = weir_opt_i64(ctx, "rate");
    int64_t count = weir_opt_i64(ctx, "count");
    uint32_t kind = SHAPE_TICKER;
    if (weir_opt_is(ctx, "shape", "sequence")) kind = SHAPE_SEQUENCE;
    if (weir_opt_is(ctx, "shape", "bytes")) kind = SHAPE_BYTES;
    if (kind == SHAPE_BYTES && size <= 0) size = BYTES_DEFAULT;
    self->splits = splits > 0 && splits <= SPLITS_MAX ? (uint32_t)splits : 1;
    self->rate = rate > 0 ? (uint64_t)rate : 0;
    self->count = count > 0 ? (uint64_t)count : 0;
    self->meta = std_meta_wanted(args);
    shape_init(&self->shape, kind, size > 0 ? (uint32_t)size : 0,
               (uint64_t)weir_opt_i64(ctx, "seed"), self->rate);
    self->assigned = false;
    return WEIR_OK;
}

/* How many of `count` records split `number` has. */
static uint64_t share(const generator *self, uint32_t number) {
    if (self->count == 0) return UINT64_MAX;
    return self->count / self->splits + (number < self->count % self->splits ? 1 : 0);
}

static bool parse_number(const char *ptr, uint32_t len, uint32_t *out) {
    uint64_t v = 0;
    if (len == 0 || len > 9) return false;
    for (uint32_t i = 0; i < len; i++) {
        if (ptr[i] < '0' || ptr[i] > '9') return false;
        v = v * 10 + (uint64_t)(ptr[i] - '0');
    }
    *out = (uint32_t)v;
    return true;
}

static weir_status generator_assign(void *opaque, weir_assign *args) {
    generator *self = opaque;
    gen_split *own = weir_zalloc(self->ctx, sizeof *own * ((uint64_t)args->count + 1));
    if (own == NULL) return WEIR_E_NOMEM;
    for (uint32_t i = 0; i < args->count; i++) {
        uint32_t number;
        uint32_t position_len = args->position_len != NULL ? args->position_len[i] : 0;
        bool known = false;
        if (!parse_number(args->id_ptr[i], args->id_len[i], &number) || number >= self->splits ||
            (position_len != 0 && position_len != 8)) {
            weir_free(self->ctx, own);
            weir_fail(self->ctx, args->error, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                      "split %.*s does not belong to a generator with %u splits",
                      (int)args->id_len[i], args->id_ptr[i], self->splits);
            weir_fail_hint(self->ctx, args->error,
                           "keep `splits` as it was when the state was made");
            return WEIR_E_INCOMPATIBLE;
        }
        for (uint32_t k = 0; k < self->own_count && !known; k++) {
            if (self->own[k].number != number) continue;
            own[i] = self->own[k];
            known = true;
        }
        if (known) continue;
        own[i].number = number;
        own[i].id_len = (uint32_t)snprintf(own[i].id, sizeof own[i].id, "%u", number);
        own[i].count = share(self, number);
        own[i].position = position_len == 8 ? std_get_u64(args->position_ptr[i]) : 0;
    }
    weir_free(self->ctx, self->own);
    self->own = own;
    self->own_count = args->count;
    self->cursor = 0;
    self->assigned = true;
    return WEIR_OK;
}

static weir_status generator_set_paused(void *opaque, weir_pause *args) {
    generator *self = opaque;
    for (uint32_t i = 0; i < self->own_count; i++) {
        weir_str id = {self->own[i].id, self->own[i].id_len};
        if (weir_str_eq(id, args->split)) self->own[i].paused = args->paused != 0;
    }
    return WEIR_OK;
}

static weir_status generator_poll(void *opaque, weir_poll *args) {
    generator *self = opaque;
    int64_t now;
    int64_t next = INT64_MAX;
    uint32_t finished = 0;
    if (atomic_load_explicit(&self->cancelled, memory_order_relaxed)) return WEIR_E_CANCELLED;
    args->next_ns = 0;
    if (!self->assigned) return WEIR_AGAIN;
    now = self->rate > 0 ? weir_mono_ns(self->ctx) : 0;
    for (uint32_t i = 0; i < self->own_count; i++) {
        uint32_t at = (self->cursor + i) % self->own_count;
        gen_split *s = &self->own[at];
        uint64_t due;
        if (s->finished) {
            finished++;
            continue;
        }
        if (s->position >= s->count) {
            s->finished = true;
            memset(&self->event, 0, sizeof self->event);
            self->event.struct_size = sizeof self->event;
            self->event.kind = WEIR_EVENT_FINISHED;
            self->event.split = (weir_str){s->id, s->id_len};
            self->event.lag_ms = -1;
            args->event = &self->event;
            return WEIR_EVENT;
        }
        if (s->paused || args->room_records == 0) continue;
        due = due_now(self, s, now);
        if (due == 0 || (due < BATCH_GOOD && now - s->last_ns < PACE_NS && self->rate > 0)) {
            int64_t when = due_at(self, s);
            if (when < s->last_ns + PACE_NS) when = s->last_ns + PACE_NS;
            if (when < next) next = when;
            continue;
        }
        self->cursor = at + 1;
        s->last_ns = now;
        return emit(self, s, due, args);
    }
    if (finished == self->own_count && self->count > 0) return WEIR_END;
    if (next != INT64_MAX) args->next_ns = next;
    return WEIR_AGAIN;
}

/* Records of `s` whose time has come. At rate R over S splits, split s's k-th record since its
 * clock began is due (k * S + s) / R seconds later. */
static uint64_t due_now(const generator *self, gen_split *s, int64_t now) {
    uint64_t left = s->count - s->position;
    unsigned __int128 passed;
    uint64_t due;
    if (self->rate == 0) return left;
    if (s->clock_ns == 0) s->clock_ns = now > 0 ? now : 1;
    passed = (unsigned __int128)(uint64_t)(now - s->clock_ns) * self->rate / SECOND_NS;
    due = passed < s->number ? 0 : (uint64_t)((passed - s->number) / self->splits) + 1;
    due = due > s->emitted ? due - s->emitted : 0;
    if (now - due_at(self, s) > CATCH_UP_NS) { /* begin anew one second back */
        s->clock_ns = now - CATCH_UP_NS;
        s->emitted = 0;
        due = self->rate / self->splits;
        if (due == 0) due = 1;
    }
    return due < left ? due : left;
}

static int64_t due_at(const generator *self, const gen_split *s) {
    unsigned __int128 index = (unsigned __int128)s->emitted * self->splits + s->number;
    uint64_t after;
    if (self->rate == 0) return s->clock_ns; /* without a rate everything is due at once */
    after = (uint64_t)((index * SECOND_NS + self->rate - 1) / self->rate);
    return s->clock_ns + (int64_t)after;
}

static weir_status fill_meta(generator *self, const weir_api *api, weir_batch_builder *b,
                             const gen_split *s, uint32_t n) {
    weir_status status = WEIR_OK;
    if (self->meta & STD_META_SPLIT) {
        status = std_meta_constant(api, b, WEIR_META_SPLIT, (weir_str){s->id, s->id_len});
    }
    if (status == WEIR_OK && (self->meta & STD_META_POSITION)) {
        uint64_t *numbers = (uint64_t *)(void *)api->batch.alloc(b, sizeof *numbers * n);
        if (numbers == NULL) return WEIR_E_NOMEM;
        for (uint32_t i = 0; i < n; i++) numbers[i] = s->position + i;
        status = std_meta_numbers(api, b, WEIR_META_POSITION, numbers, n);
    }
    return status;
}

static weir_status no_memory(generator *self, weir_poll *args) {
    return weir_fail(self->ctx, args->error, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                     "no memory for generated records");
}

static weir_status emit(generator *self, gen_split *s, uint64_t due, weir_poll *args) {
    const weir_api *api = weir_api_of(self->ctx);
    uint64_t each = (uint64_t)shape_bytes_max(&self->shape) + 1; /* with its trailer */
    uint64_t room = args->room_bytes < SEGMENT_BYTES ? args->room_bytes : SEGMENT_BYTES;
    uint64_t most = room / each > 0 ? room / each : 1;
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_batch_seal seal = {.struct_size = sizeof seal, .lag_ms = -1};
    weir_batch_builder *b;
    uint64_t capacity = 0;
    char *segment;
    char *at;
    uint32_t n;
    if (due > most) due = most;
    n = due < args->room_records ? (uint32_t)due : args->room_records;
    segment = api->batch.segment_alloc(self->ctx, each * n, &capacity);
    if (segment == NULL) return no_memory(self, args);
    b = api->batch.begin(self->ctx, n, 0);
    if (b == NULL || api->batch.attach(b, segment, api->batch.segment_free, capacity) != WEIR_OK) {
        api->batch.segment_free(segment);
        if (b != NULL) api->batch.abandon(b);
        return no_memory(self, args);
    }
    if (api->batch.reserve(b, n, &columns) != WEIR_OK) goto failed;
    at = segment;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t index = (s->position + i) * self->splits + s->number;
        uint32_t len = shape_write(&self->shape, index, at);
        columns.value_ptr[i] = at;
        columns.value_len[i] = len;
        at += len;
        *at++ = '\n';
    }
    if (api->batch.commit(b, n) != WEIR_OK) goto failed;
    if (self->meta != 0 && fill_meta(self, api, b, s, n) != WEIR_OK) goto failed;
    std_put_u64(self->position, s->position + n);
    seal.split = (weir_str){s->id, s->id_len};
    seal.resume = (weir_str){self->position, sizeof self->position};
    if (self->shape.kind != SHAPE_BYTES) { /* random bytes may be newlines: see weir/framing.h */
        seal.trailer_len = 1;
        seal.trailer = '\n';
    }
    args->batch = api->batch.seal(b, &seal);
    if (args->batch == NULL) return no_memory(self, args);
    s->position += n;
    s->emitted += n;
    return WEIR_OK;
failed:
    api->batch.abandon(b);
    return no_memory(self, args);
}

static weir_status generator_enumerate(void *opaque, weir_enumerate *args) {
    generator *self = opaque;
    const weir_api *api = weir_api_of(self->ctx);
    for (uint32_t i = 0; i < self->splits; i++) {
        char id[12];
        weir_split split = {.struct_size = sizeof split};
        weir_status status;
        split.id = (weir_str){id, (uint64_t)snprintf(id, sizeof id, "%u", i)};
        split.private_bytes = (weir_str){"", 0};
        split.position = (weir_str){"", 0};
        status = api->task.split_add(args->list, &split);
        if (status != WEIR_OK) return status;
    }
    args->next_ns = 0;
    return WEIR_OK;
}

static weir_status generator_to_text(void *opaque, weir_position_text *args) {
    generator *self = opaque;
    if (args->position.len != 8) {
        return weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, 0,
                         "expected a position of 8 bytes, found %llu",
                         (unsigned long long)args->position.len);
    }
    args->text.ptr = args->buffer;
    args->text.len = (uint64_t)snprintf(args->buffer, (size_t)args->buffer_size, "%llu",
                                        (unsigned long long)std_get_u64(args->position.ptr));
    return args->text.len < args->buffer_size ? WEIR_OK : WEIR_E_TOO_LARGE;
}

static weir_status generator_from_text(void *opaque, weir_position_text *args) {
    generator *self = opaque;
    uint64_t v = 0;
    bool good = args->text.len > 0 && args->text.len <= 18;
    for (uint64_t i = 0; good && i < args->text.len; i++) {
        char c = args->text.ptr[i];
        good = c >= '0' && c <= '9';
        v = v * 10 + (uint64_t)(c - '0');
    }
    if (!good) {
        return weir_fail(self->ctx, args->error, WEIR_E_INVALID_ARG, 0,
                         "expected a number of records, found '%.*s'",
                         (int)(args->text.len < 64 ? args->text.len : 64), args->text.ptr);
    }
    if (args->buffer_size < 8) return WEIR_E_TOO_LARGE;
    std_put_u64(args->buffer, v);
    args->position = (weir_str){args->buffer, 8};
    return WEIR_OK;
}

static void generator_cancel(void *opaque) {
    generator *self = opaque;
    atomic_store_explicit(&self->cancelled, true, memory_order_relaxed);
}

static weir_status generator_close(void *opaque, weir_close *args) {
    generator *self = opaque;
    (void)args;
    weir_free(self->ctx, self->own);
    self->own = NULL;
    self->own_count = 0;
    self->assigned = false;
    return WEIR_OK;
}

static const void *generator_extension(void *self, const char *name) {
    static const weir_source_splits splits = {.struct_size = sizeof splits,
                                              .enumerate = generator_enumerate};
    static const weir_source_position position = {.struct_size = sizeof position,
                                                  .to_text = generator_to_text,
                                                  .from_text = generator_from_text};
    (void)self;
    if (strcmp(name, WEIR_SOURCE_SPLITS) == 0) return &splits;
    if (strcmp(name, WEIR_SOURCE_POSITION) == 0) return &position;
    return NULL;
}

static const weir_source_ops ops = {
    .struct_size = sizeof(weir_source_ops),
    .create = generator_create,
    .destroy = generator_destroy,
    .open = generator_open,
    .assign = generator_assign,
    .set_paused = generator_set_paused,
    .poll = generator_poll,
    .cancel = generator_cancel,
    .close = generator_close,
    .get_extension = generator_extension,
};

const weir_component std_generator = {
    .struct_size = sizeof(weir_component),
    .kind = WEIR_KIND_SOURCE,
    .name = "generator",
    .capabilities = WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE,
    .ops = &ops,
};
