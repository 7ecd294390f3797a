#include <stdlib.h>
#include <string.h>

#include "kinesis.h"

/* When to look for room again at the latest. An answer of this instance is under way or in hand
 * then, so usually its end comes first and this clock is not needed. */
#define MEMORY_WAIT_NS (100 * KINESIS_MS)

static weir_status task_open(kinesis *k, const weir_open *args);
static bool next_event(kinesis *k, weir_poll *args);
static void tell_finished(kinesis *k, shard *s, weir_poll *args);
static bool tell_position(kinesis *k, shard *s, weir_poll *args);
static const weir_batch *next_batch(kinesis *k, weir_poll *args, weir_status *status);
static int64_t advance_shards(kinesis *k, int64_t now);
static void set_client(kinesis *k, weir_aws_client *client);

static weir_status source_create(weir_create *args) {
    kinesis *k = weir_zalloc(args->ctx, sizeof *k);
    if (!k) return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    k->ctx = args->ctx;
    k->lock_made = pthread_mutex_init(&k->lock, NULL) == 0;
    if (!k->lock_made) {
        weir_free(args->ctx, k);
        return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "cannot make a lock");
    }
    args->self = k;
    return WEIR_OK;
}

static weir_status source_close(void *self, weir_close *args);

static void source_destroy(void *self) {
    kinesis *k = self;
    source_close(k, NULL);
    pthread_mutex_destroy(&k->lock);
    weir_free(k->ctx, k);
}

static weir_status source_open(void *self, weir_open *args) {
    kinesis *k = self;
    if (atomic_load(&k->cancelled)) return WEIR_E_CANCELLED;
    k->role = args->role;
    k->fatal = WEIR_OK;
    weir_status status = options_read(k->ctx, &k->options, args->error);
    if (status != WEIR_OK) return status;
    const stream_ref *first = k->options.streams;
    for (uint32_t i = 0; i < k->options.stream_count && !first->region[0]; i++)
        if (k->options.streams[i].region[0]) first = &k->options.streams[i];
    weir_aws_client_args client = {.service = "kinesis",
                                   .region = weir_str_of(first->region[0] ? first->region : NULL)};
    weir_aws_client *made;
    status = weir_aws_client_new(k->ctx, &client, args->error, &made);
    if (status != WEIR_OK) return status;
    set_client(k, made);
    k->quota = weir_aws_is_service(made);
    return args->role == WEIR_ROLE_CONTROL ? control_restore(k, args) : task_open(k, args);
}

static weir_status source_close(void *self, weir_close *args) {
    kinesis *k = self;
    (void)args; /* nothing is written, so there is nothing to drain */
    weir_aws_client *client = k->client;
    set_client(k, NULL);
    k->error = NULL;
    weir_aws_client_free(client); /* calls come back cancelled; dropped shards go with them */
    for (uint32_t i = 0; i < k->shard_count; i++) shard_free(k->shards[i]);
    weir_free(k->ctx, k->shards);
    k->shards = NULL;
    k->shard_count = k->cursor = k->reader = 0;
    for (int i = 0; i < 3; i++) {
        free(k->meta_ptr[i]);
        free(k->meta_len[i]);
        k->meta_ptr[i] = NULL;
        k->meta_len[i] = NULL;
    }
    k->meta_capacity = 0;
    weir_free(k->ctx, k->starts);
    weir_free(k->ctx, k->stops);
    weir_free(k->ctx, k->list_fails);
    k->starts = NULL;
    k->stops = NULL;
    k->list_fails = NULL;
    options_free(k->ctx, &k->options);
    return WEIR_OK;
}

static weir_status source_assign(void *self, weir_assign *args) {
    kinesis *k = self;
    shard **next = weir_zalloc(k->ctx, (uint64_t)(args->count ? args->count : 1) * sizeof(shard *));
    if (!next) return weir_fail(k->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    uint32_t kept = 0;
    weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < args->count && status == WEIR_OK; i++) {
        weir_str id = {args->id_ptr[i], args->id_len[i]};
        shard *found = NULL;
        for (uint32_t j = 0; j < k->shard_count && !found; j++) {
            if (!k->shards[j] || !weir_str_is(id, k->shards[j]->split)) continue;
            found = k->shards[j];
            k->shards[j] = NULL; /* taken over */
        }
        if (!found) {
            weir_str private_bytes = {args->private_ptr[i], args->private_len[i]};
            weir_str position = {args->position_ptr[i], args->position_len[i]};
            found = shard_new(k, id, private_bytes, position, args->error);
            if (!found) status = WEIR_E_INCOMPATIBLE;
        }
        if (found) next[kept++] = found;
    }
    for (uint32_t j = 0; j < k->shard_count; j++) {
        shard *s = k->shards[j];
        if (!s) continue;
        s->dropped = true;
        if (!shard_is_busy(s)) shard_free(s);
    }
    weir_free(k->ctx, k->shards);
    k->shards = next;
    k->shard_count = kept;
    k->cursor = k->reader = 0;
    return status;
}

static weir_status source_poll(void *self, weir_poll *args) {
    kinesis *k = self;
    weir_status status = WEIR_OK;
    k->error = args->error;
    args->batch = NULL;
    args->event = NULL;
    args->next_ns = 0;
    if (weir_aws_active(k->client) > 0) weir_aws_drive(k->client, 0);
    for (;;) {
        if (atomic_load(&k->cancelled)) return WEIR_E_CANCELLED;
        if (k->fatal != WEIR_OK) return k->fatal;
        if (next_event(k, args)) return WEIR_EVENT;
        if (args->room_records > 0 && args->room_bytes > 0) {
            args->batch = next_batch(k, args, &status);
            if (status != WEIR_OK) return status;
            if (args->batch) return WEIR_OK;
            if (k->fatal != WEIR_OK) return k->fatal;
            if (next_event(k, args)) return WEIR_EVENT;
        }
        int64_t now = weir_mono_ns(k->ctx);
        /* Under back pressure no new calls: what is under way comes in and is held. */
        int64_t next = args->room_records > 0 ? advance_shards(k, now) : INT64_MAX;
        if (now >= args->deadline_ns) {
            bool active = weir_aws_active(k->client) > 0;
            args->next_ns = active ? now : next == INT64_MAX ? 0 : next;
            return WEIR_AGAIN;
        }
        int64_t until = next < args->deadline_ns ? next : args->deadline_ns;
        uint32_t completed = weir_aws_drive(k->client, until);
        now = weir_mono_ns(k->ctx);
        /* Neither an answer nor time: somebody called wakeup. */
        if (completed == 0 && now < until) {
            args->next_ns = now;
            return WEIR_AGAIN;
        }
    }
}

static weir_status source_snapshot(void *self, weir_snapshot *args) {
    kinesis *k = self;
    return k->role == WEIR_ROLE_CONTROL ? control_snapshot(k, args) : WEIR_OK;
}

static void source_wakeup(void *self) {
    kinesis *k = self;
    pthread_mutex_lock(&k->lock);
    if (k->client) weir_aws_wakeup(k->client);
    pthread_mutex_unlock(&k->lock);
}

static void source_cancel(void *self) {
    kinesis *k = self;
    atomic_store(&k->cancelled, true);
    source_wakeup(k);
}

static weir_status to_text(void *self, weir_position_text *args) {
    kinesis *k = self;
    shard_position p;
    char text[SEQUENCE_MAX + 13];
    if (!position_decode(&p, args->position) || p.sequence[0] == '\0')
        return weir_fail(k->ctx, args->error, WEIR_E_INVALID_ARG, 0, "not a position of a shard");
    uint32_t len = position_to_text(&p, text);
    if (len > args->buffer_size)
        return weir_fail(k->ctx, args->error, WEIR_E_TOO_LARGE, 0, "the buffer is too small");
    memcpy(args->buffer, text, len);
    args->text.ptr = args->buffer;
    args->text.len = len;
    return WEIR_OK;
}

static weir_status from_text(void *self, weir_position_text *args) {
    kinesis *k = self;
    shard_position p;
    char bytes[POSITION_BYTES_MAX];
    if (!position_from_text(&p, args->text))
        return weir_fail(k->ctx, args->error, WEIR_E_INVALID_ARG, 0,
                         "expected a sequence number, or one with :SUB behind it, found \"%.*s\"",
                         (int)(args->text.len < 200 ? args->text.len : 200), args->text.ptr);
    uint32_t len = position_encode(&p, bytes);
    if (len > args->buffer_size)
        return weir_fail(k->ctx, args->error, WEIR_E_TOO_LARGE, 0, "the buffer is too small");
    memcpy(args->buffer, bytes, len);
    args->position.ptr = args->buffer;
    args->position.len = len;
    return WEIR_OK;
}

static const weir_source_position position_text = {
    .struct_size = sizeof(weir_source_position), .to_text = to_text, .from_text = from_text};

static const void *source_extension(void *self, const char *name) {
    (void)self;
    if (strcmp(name, WEIR_SOURCE_SPLITS) == 0) return &kinesis_splits;
    if (strcmp(name, WEIR_SOURCE_POSITION) == 0) return &position_text;
    if (strcmp(name, WEIR_COMPONENT_CHECK) == 0) return &kinesis_check;
    return NULL;
}

const weir_source_ops kinesis_source_ops = {.struct_size = sizeof(weir_source_ops),
                                            .create = source_create,
                                            .destroy = source_destroy,
                                            .open = source_open,
                                            .assign = source_assign,
                                            .poll = source_poll,
                                            .snapshot = source_snapshot,
                                            .cancel = source_cancel,
                                            .wakeup = source_wakeup,
                                            .close = source_close,
                                            .get_extension = source_extension};

static weir_status task_open(kinesis *k, const weir_open *args) {
    static const struct {
        const char *name;
        uint32_t bit;
    } known[] = {{WEIR_META_STREAM, META_STREAM},
                 {WEIR_META_SPLIT, META_SPLIT},
                 {WEIR_META_POSITION, META_POSITION},
                 {WEIR_META_PARTITION_KEY, META_PARTITION_KEY},
                 {WEIR_META_ARRIVAL_TIME, META_ARRIVAL}};
    k->meta = 0;
    for (uint32_t i = 0; i < args->meta_count; i++) {
        weir_str name = {args->meta_ptr[i], args->meta_len[i]};
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++)
            if (weir_str_is(name, known[j].name)) k->meta |= known[j].bit;
    }
    return WEIR_OK;
}

/* ---- what poll hands out ---- */

/* Round robin, so that a busy shard does not starve the others. */
static const weir_batch *next_batch(kinesis *k, weir_poll *args, weir_status *status) {
    for (uint32_t n = 0; n < k->shard_count; n++) {
        shard *s = k->shards[k->cursor];
        if (s->state == SHARD_HOLDING) {
            const weir_batch *batch =
                page_batch(s, args->room_records, args->room_bytes, status, args->error);
            if (batch && s->idle) {
                s->idle = false;
                weir_api_of(k->ctx)->task.split_idle(k->ctx, weir_str_of(s->split), 0);
            }
            if (batch || *status != WEIR_OK || k->fatal != WEIR_OK) return batch;
            if (s->lag_ms == 0 && !s->idle && s->state == SHARD_WAITING) {
                s->idle = true;
                weir_api_of(k->ctx)->task.split_idle(k->ctx, weir_str_of(s->split), 1);
            }
        }
        k->cursor = (k->cursor + 1) % k->shard_count;
    }
    return NULL;
}

/* Makes the calls that are due; returns when the next one is. Where the budget is short the shard
 * that found no room is the first of the next round, and nobody overtakes it: so all get theirs. */
static int64_t advance_shards(kinesis *k, int64_t now) {
    int64_t next = INT64_MAX;
    for (uint32_t n = 0; n < k->shard_count; n++) {
        uint32_t i = (k->reader + n) % k->shard_count;
        if (shard_advance(k->shards[i], now, &next)) continue;
        k->reader = i;
        return next < now + MEMORY_WAIT_NS ? next : now + MEMORY_WAIT_NS;
    }
    return next;
}

static bool next_event(kinesis *k, weir_poll *args) {
    for (uint32_t i = 0; i < k->shard_count; i++) {
        shard *s = k->shards[i];
        if (s->state == SHARD_ENDED) {
            tell_finished(k, s, args);
            return true;
        }
        if (s->state != SHARD_DONE && s->lag_ms >= 0 && s->lag_ms != s->told_lag_ms &&
            tell_position(k, s, args))
            return true;
    }
    return false;
}

static bool tell_position(kinesis *k, shard *s, weir_poll *args) {
    s->told_lag_ms = s->lag_ms;
    memcpy(k->event_split, s->split, sizeof k->event_split);
    weir_event event = {
        .struct_size = sizeof event,
        .kind = WEIR_EVENT_POSITION,
        .split = weir_str_of(k->event_split),
        .position = {k->event_position, position_encode(&s->position, k->event_position)},
        .lag_ms = s->lag_ms};
    k->event = event;
    args->event = &k->event;
    return true;
}

static void tell_finished(kinesis *k, shard *s, weir_poll *args) {
    s->state = SHARD_DONE;
    memcpy(k->event_split, s->split, sizeof k->event_split);
    uint32_t private_len = private_encode(&s->plan, k->event_private);
    for (uint32_t i = 0; i < s->child_count; i++) {
        const child_shard *c = &s->children[i];
        split_id(k, &s->plan.stream, c->id, k->event_child_id[i]);
        uint32_t parents = 0;
        for (int j = 0; j < 2; j++) {
            if (!c->parents[j][0] || !k->options.parent_first) continue;
            split_id(k, &s->plan.stream, c->parents[j], k->event_parent_id[i][parents]);
            k->event_parent_ptr[i][parents] = k->event_parent_id[i][parents];
            k->event_parent_len[i][parents] = (uint32_t)strlen(k->event_parent_id[i][parents]);
            parents++;
        }
        weir_split split = {.struct_size = sizeof split,
                            .parent_count = parents,
                            .id = weir_str_of(k->event_child_id[i]),
                            .private_bytes = {k->event_private, private_len},
                            .position = {"", 0},
                            .parent_ptr = k->event_parent_ptr[i],
                            .parent_len = k->event_parent_len[i]};
        k->event_children[i] = split;
        k->event_child_ptr[i] = &k->event_children[i];
    }
    weir_event event = {.struct_size = sizeof event,
                        .kind = WEIR_EVENT_FINISHED,
                        .split = weir_str_of(k->event_split),
                        .lag_ms = 0,
                        .children = k->event_child_ptr,
                        .child_count = s->child_count};
    k->event = event;
    args->event = &k->event;
    weir_log(k->ctx, WEIR_LOG_INFO, "%s is read to its end, %u children", s->split, s->child_count);
}

static void set_client(kinesis *k, weir_aws_client *client) {
    pthread_mutex_lock(&k->lock);
    k->client = client;
    pthread_mutex_unlock(&k->lock);
}
