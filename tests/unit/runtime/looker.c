/*
 * A plugin whose serde answers AGAIN until another thread has found what it looks for, and a source
 * and a sink that count how often they are called meanwhile: see looker.json.
 */
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "weir/sdk.h"

/* A look-up that nothing ends fails, so that a test fails and does not hang. */
#define GIVE_UP_S 20

/* What all components of the process share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t driven, polled, decoded; /* calls, calls, records */

static void add(uint64_t *what, uint64_t n) {
    pthread_mutex_lock(&lock);
    *what += n;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static uint64_t read_counter(const uint64_t *what) {
    pthread_mutex_lock(&lock);
    uint64_t now = *what;
    pthread_mutex_unlock(&lock);
    return now;
}

static weir_status no_open(void *self, weir_open *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static weir_status no_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

/* ---- the serde ---- */

typedef enum { IDLE, LOOKING, FOUND, GAVE_UP } lookup;

typedef struct looker {
    weir_ctx *ctx;
    pthread_t thread;
    int started; /* the thread is to be joined */
    uint64_t target;
    const uint64_t *counter; /* NULL: there at once */
    lookup state;            /* under the lock, as is what follows */
    int cancelled;
} looker;

static weir_status looker_create(weir_create *args) {
    looker *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    args->self = self;
    return WEIR_OK;
}

static void looker_destroy(void *opaque) {
    looker *self = opaque;
    if (self->started) {
        pthread_mutex_lock(&lock);
        self->cancelled = 1;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        pthread_join(self->thread, NULL);
    }
    weir_free(self->ctx, self);
}

static void looker_cancel(void *opaque) {
    looker *self = opaque;
    pthread_mutex_lock(&lock);
    self->cancelled = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *look(void *opaque) {
    looker *self = opaque;
    int never = weir_opt_is(self->ctx, "until", "never");
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += GIVE_UP_S;
    int late = 0;
    pthread_mutex_lock(&lock);
    while (!self->cancelled && !late &&
           (never || (self->counter != NULL && *self->counter < self->target))) {
        late = pthread_cond_timedwait(&changed, &lock, &end) != 0;
    }
    self->state = late || self->cancelled ? GAVE_UP : FOUND;
    pthread_mutex_unlock(&lock);
    weir_wake(self->ctx);
    return NULL;
}

static weir_status look_up(looker *self, weir_error *error) {
    pthread_mutex_lock(&lock);
    lookup state = self->state;
    if (state == IDLE) {
        self->state = LOOKING;
        self->counter = weir_opt_is(self->ctx, "until", "driven")   ? &driven
                        : weir_opt_is(self->ctx, "until", "polled") ? &polled
                                                                    : NULL;
        self->target = self->counter != NULL ? *self->counter + 3 : 0;
    }
    int cancelled = self->cancelled;
    pthread_mutex_unlock(&lock);
    if (state == LOOKING) return WEIR_AGAIN;
    if (state == IDLE) {
        if (pthread_create(&self->thread, NULL, look, self) != 0) return WEIR_E_NOMEM;
        self->started = 1;
        return WEIR_AGAIN;
    }
    pthread_join(self->thread, NULL);
    self->started = 0;
    self->state = IDLE;
    if (state == FOUND) return WEIR_OK;
    if (cancelled) return WEIR_E_CANCELLED;
    return weir_fail(self->ctx, error, WEIR_E_TIMEOUT, WEIR_ERR_FATAL,
                     "what the look-up waits for did not happen");
}

static weir_status looker_decode(void *opaque, weir_decode *args) {
    looker *self = opaque;
    weir_status status = look_up(self, args->error);
    if (status != WEIR_OK) return status;
    const weir_api *api = weir_api_of(self->ctx);
    const weir_rows *rows = args->batch->rows;
    for (uint32_t i = 0; i < rows->count; i++) {
        weir_tape_room room = {.struct_size = sizeof room};
        status = api->tape.reserve(args->tape, 1, &room);
        if (status != WEIR_OK) return status;
        room.nodes[0] = (weir_value){
            .type = WEIR_V_STRING, .size = rows->value_len[i], .as.ptr = rows->value_ptr[i]};
        status = api->tape.row(args->tape, 1, i);
        if (status != WEIR_OK) return status;
    }
    add(&decoded, rows->count);
    return WEIR_OK;
}

static weir_status looker_encode(void *opaque, weir_encode *args) {
    looker *self = opaque;
    weir_status status = look_up(self, args->error);
    for (uint32_t i = 0; status == WEIR_OK && i < args->batch->rows->count; i++) {
        char *room = args->room(args, 0, 1);
        if (room == NULL) return WEIR_E_NOMEM;
        room[0] = 'x';
        status = args->row(args, i, 1);
    }
    return status;
}

static const weir_serde_ops looker_ops = {
    .struct_size = sizeof looker_ops,
    .create = looker_create,
    .destroy = looker_destroy,
    .open = no_open,
    .decode = looker_decode,
    .encode = looker_encode,
    .cancel = looker_cancel,
    .close = no_close,
};
static const weir_component looker_serde = {.struct_size = sizeof looker_serde,
                                            .kind = WEIR_KIND_SERDE,
                                            .name = "looker",
                                            .ops = &looker_ops};

/* ---- the sink and the source ---- */

typedef struct counted {
    weir_ctx *ctx;
    /* The source's: a split that it was given and has not finished. */
    int split; /* 0 = the parent, 1 = the child, -1 = none */
    int read;
    uint64_t decoded_before;
} counted;

static weir_status counted_create(weir_create *args) {
    counted *self = weir_zalloc(args->ctx, sizeof *self);
    if (self == NULL) return WEIR_E_NOMEM;
    self->ctx = args->ctx;
    self->split = -1;
    self->decoded_before = read_counter(&decoded);
    args->self = self;
    return WEIR_OK;
}

static void counted_destroy(void *opaque) {
    counted *self = opaque;
    weir_free(self->ctx, self);
}

static void no_cancel(void *self) {
    (void)self;
}

static weir_status leased_write(void *opaque, weir_write *args) {
    counted *self = opaque;
    args->taken = args->request->rows->count;
    weir_write_ok(self->ctx, args->token);
    return WEIR_OK;
}

static weir_status leased_drive(void *opaque, weir_drive *args) {
    (void)opaque;
    (void)args;
    add(&driven, 1);
    return WEIR_OK;
}

static weir_status leased_flush(void *opaque, weir_flush *args) {
    counted *self = opaque;
    weir_flush_done(self->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

static const weir_sink_ops leased_ops = {
    .struct_size = sizeof leased_ops,
    .create = counted_create,
    .destroy = counted_destroy,
    .open = no_open,
    .write = leased_write,
    .drive = leased_drive,
    .flush = leased_flush,
    .cancel = no_cancel,
    .close = no_close,
};
static const weir_component leased = {
    .struct_size = sizeof leased, .kind = WEIR_KIND_SINK, .name = "leased", .ops = &leased_ops};

static weir_status family_assign(void *opaque, weir_assign *args) {
    counted *self = opaque;
    if (args->count == 0) return WEIR_OK;
    int child = args->id_ptr[0][0] == 'c';
    if (child && self->split != 1) {
        if (read_counter(&decoded) == self->decoded_before) {
            return weir_fail(self->ctx, args->error, WEIR_E_INVALID_STATE, WEIR_ERR_FATAL,
                             "the child begins before its parent has gone ahead");
        }
        self->read = 0;
    }
    self->split = child;
    return WEIR_OK;
}

static weir_str split_name(const counted *self) {
    return weir_str_of(self->split == 1 ? "child" : "0");
}

static weir_status family_poll(void *opaque, weir_poll *args) {
    static const weir_split child = {
        .struct_size = sizeof child, .id = {"child", 5}, .private_bytes = {"", 0}};
    static const weir_split *const children[] = {&child};
    static weir_event finished;
    counted *self = opaque;
    const weir_api *api = weir_api_of(self->ctx);
    add(&polled, 1);
    if (self->split >= 0 && !self->read) {
        if (args->room_records == 0) return WEIR_AGAIN;
        weir_batch_builder *b = api->batch.begin(self->ctx, 1, 0);
        weir_batch_columns columns = {.struct_size = sizeof columns};
        if (b == NULL || api->batch.reserve(b, 1, &columns) != WEIR_OK) return WEIR_E_NOMEM;
        columns.value_ptr[0] = "text";
        columns.value_len[0] = 4;
        api->batch.commit(b, 1);
        weir_batch_seal seal = {
            .struct_size = sizeof seal, .split = split_name(self), .resume = {"1", 1}};
        args->batch = api->batch.seal(b, &seal);
        self->read = 1;
        return args->batch != NULL ? WEIR_OK : WEIR_E_NOMEM;
    }
    if (self->split < 0) return WEIR_AGAIN;
    finished = (weir_event){.struct_size = sizeof finished,
                            .kind = WEIR_EVENT_FINISHED,
                            .split = split_name(self),
                            .children = children,
                            .child_count = self->split == 0};
    self->split = -1;
    args->event = &finished;
    return WEIR_EVENT;
}

static const weir_source_ops family_ops = {
    .struct_size = sizeof family_ops,
    .create = counted_create,
    .destroy = counted_destroy,
    .open = no_open,
    .assign = family_assign,
    .poll = family_poll,
    .cancel = no_cancel,
    .close = no_close,
};
static const weir_component family = {
    .struct_size = sizeof family, .kind = WEIR_KIND_SOURCE, .name = "family", .ops = &family_ops};

static const weir_component *const components[] = {&looker_serde, &leased, &family};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = "dev.weir.test.looker",
    .version = "0.1.0",
    .components = components,
    .component_count = 3,
};

WEIR_PLUGIN_ENTRY(plugin, 9)
