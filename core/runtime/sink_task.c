/*
 * The loop of a sink task: batches from its inlets, encoded where needed, through the batcher.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/context.h"
#include "runtime/envelope.h"
#include "runtime/task.h"

#define OPEN_TIMEOUT_NS (60 * CLOCK_NS_PER_S)
#define SERVICE_DEFAULT_NS CLOCK_NS_PER_S
/* A sink's drive that nothing can interrupt: how late new records may be seen. */
#define BLIND_DRIVE_NS (10 * CLOCK_NS_PER_MS)
/* Everything is flushed by then: only connections and threads are left to end. */
#define CLOSE_TIMEOUT_NS (60 * CLOCK_NS_PER_S)

/* What the manifest's `batch` says narrows what the component declares. */
static void narrow(weir_limits *limits, const batch_spec *spec) {
    if (spec->records > 0 &&
        (limits->request_records == 0 || spec->records < limits->request_records)) {
        limits->request_records = spec->records;
    }
    if (spec->bytes > 0 && (limits->request_bytes == 0 || spec->bytes < limits->request_bytes)) {
        limits->request_bytes = spec->bytes;
    }
    if (spec->in_flight > 0 && (limits->in_flight == 0 || spec->in_flight < limits->in_flight)) {
        limits->in_flight = spec->in_flight;
    }
}

weir_status sink_task_open(task *t, weir_error *err) {
    const node *n = t->stage->node;
    const note_limits *declared = &t->main->bound->note->limits;
    t->limits = (weir_limits){.struct_size = sizeof t->limits,
                              .request_records = declared->request_records,
                              .request_bytes = declared->request_bytes,
                              .record_bytes = declared->record_bytes,
                              .record_overhead = declared->record_overhead,
                              .in_flight = declared->in_flight};
    narrow(&t->limits, &n->batch);
    weir_open args = {.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS,
                      .limits = &t->limits};
    weir_status status = sink_checkpoint_open(t, err);
    if (status == WEIR_OK) status = instance_open(t->main, WEIR_ROLE_TASK, &args, err);
    if (status == WEIR_OK && t->encoder != NULL) status = coder_open(t->encoder, err);
    for (uint32_t i = 0; status == WEIR_OK && i < t->stage->input_count; i++) {
        if (t->decoders[i] != NULL) status = coder_open(t->decoders[i], err);
    }
    if (status != WEIR_OK) return status;
    t->batcher = batcher_new(t->stage, t->main, &t->limits, t->failures, context_counters(t->cx, n),
                             context_template_env(), err);
    return t->batcher != NULL ? WEIR_OK : error_status(err);
}

/* The input that an edge is; all items come by one of them. */
static uint32_t input_of(const task *t, const plan_edge *from) {
    uint32_t i = 0;
    while (t->stage->inputs[i] != from) i++;
    return i;
}

static bool wants_encoding(const task *t, const plan_edge *from, const weir_batch *batch) {
    if (t->encoder == NULL) return false;
    if (from->dead_letters) return true;
    if (t->stage->encoding == SINK_ENCODE) return true;
    return t->stage->encoding == SINK_ENCODE_IF_CHANGED &&
           (batch->flags & WEIR_BATCH_STALE_BYTES) != 0;
}

/* Decodes the batch if need be, or makes letters of it, and evaluates templates while the fields
 * are there. The batch is NULL if no record is left. */
static weir_status make_ready(task *t, arrival *a, weir_error *err) {
    uint32_t input = input_of(t, a->from);
    if (t->decoders[input] != NULL && a->batch->tape == NULL) {
        const weir_batch *decoded;
        weir_status status =
            coder_decode(t->decoders[input], a->batch, t->decode_failures[input], &decoded, err);
        if (status == WEIR_AGAIN) return status;
        a->batch = decoded;
        if (status != WEIR_OK || decoded == NULL) return status;
    }
    if (a->from->dead_letters && t->encoder != NULL) {
        const weir_batch *enveloped = failures_envelope(t->cx->home, a->batch);
        batch_release(a->batch);
        a->batch = enveloped;
        if (enveloped == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    a->ready = true;
    return template_set_prepare(batcher_templates(t->batcher), t->cx->home, t->failures, &a->batch,
                                &a->texts, err);
}

static weir_status encode(task *t, arrival *a, weir_error *err) {
    const weir_batch *encoded;
    bool lines = t->stage->node->format.framing == FRAMING_LINES;
    weir_status status = coder_encode(t->encoder, a->batch, lines, t->failures, &encoded, err);
    if (status == WEIR_AGAIN) return status;
    a->batch = encoded;
    if (status != WEIR_OK || encoded == NULL) return status;
    uint32_t dropped;
    const uint32_t *rows = coder_dropped(t->encoder, &dropped);
    prepared_drop(batcher_templates(t->batcher), a->texts, rows, dropped);
    return WEIR_OK;
}

static void drop_arrival(task *t) {
    batch_release(t->arrival.batch);
    prepared_free(t->arrival.texts);
    t->arrival = (arrival){0};
}

/* The batch that is being taken in goes on into the batcher. AGAIN: a serde waits for a schema; to
 * be repeated after a wake. */
static weir_status take_arrival(task *t, weir_error *err) {
    arrival *a = &t->arrival;
    weir_status status = a->ready ? WEIR_OK : make_ready(t, a, err);
    if (status == WEIR_OK && a->batch != NULL && wants_encoding(t, a->from, a->batch)) {
        status = encode(t, a, err);
    }
    if (status == WEIR_AGAIN) return status;
    if (status != WEIR_OK || a->batch == NULL) {
        drop_arrival(t);
        return status;
    }
    arrival ready = *a;
    *a = (arrival){0};
    return batcher_add(t->batcher, ready.batch, ready.texts, err);
}

/* Something to take in is there: what waits already, or the next batch. */
static bool next_arrival(task *t) {
    while (t->arrival.batch == NULL) {
        if (!sink_epochs_open(t->sink_epochs)) return false;
        if (!batcher_room(t->batcher) || !task_outlets_room(t)) return false;
        const plan_edge *from;
        bool aligned;
        channel_item item = task_next_item(t, &from, &aligned);
        if (item.kind == ITEM_NONE) return false;
        if (item.kind != ITEM_BATCH) {
            channel_item_drop(&item);
            if (aligned) sink_epochs_barrier(t->sink_epochs, t->aligner.aligned, t->aligner.last);
            continue;
        }
        counters *c = context_counters(t->cx, t->stage->node);
        count(&c->records_in, item.batch->rows->count);
        count(&c->bytes_in, item.batch->rows->value_bytes);
        sink_epochs_count(t->sink_epochs, item.batch->rows->count);
        t->arrival = (arrival){.from = from, .batch = item.batch};
    }
    return true;
}

static weir_status take_items(task *t, weir_error *err) {
    while (next_arrival(t)) {
        weir_status status = take_arrival(t, err);
        if (status == WEIR_AGAIN) return WEIR_OK;
        if (status != WEIR_OK) return status;
        /* Written at once while the sink is idle: what gathers meanwhile becomes larger requests.
         */
        if (batcher_blocked(t->batcher)) continue;
        status = batcher_pump(t->batcher, false, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* The sink's share of the thread, and sleep: until data, a completion, a timer, or upkeep. */
static weir_status drive(task *t, int64_t until_ns, weir_error *err) {
    const bound_component *bound = t->main->bound;
    int64_t service = bound->note->service_interval_ns > 0 ? bound->note->service_interval_ns
                                                           : SERVICE_DEFAULT_NS;
    int64_t now = task_turn(t);
    if (until_ns > now + service) until_ns = now + service;
    error_clear(err); /* what an earlier failure left must not pass for this one's */
    if (!bound->has_drive) {
        task_sleep(t, until_ns);
        return WEIR_OK;
    }
    weir_drive args = {.struct_size = sizeof args, .deadline_ns = until_ns, .error = err};
    if (!bound->has_wakeup && args.deadline_ns > now + BLIND_DRIVE_NS) {
        args.deadline_ns = now + BLIND_DRIVE_NS;
    }
    if (bound->has_wakeup && !wake_enter(&t->wake)) {
        wake_wait(&t->wake, 0);
        args.deadline_ns = now;
        weir_status status = bound->ops.sink.drive(t->main->self, &args);
        if (status < 0) error_prefix(err, "%s: drive", t->main->where);
        return status < 0 ? status : WEIR_OK;
    }
    weir_status status = bound->ops.sink.drive(t->main->self, &args);
    bool signalled = bound->has_wakeup && wake_leave(&t->wake);
    if (status < 0) {
        error_prefix(err, "%s: drive", t->main->where);
        return status;
    }
    if (signalled) return WEIR_OK;
    if (args.next_ns == 0) {
        task_sleep(t, until_ns);
    } else if (args.next_ns > clock_mono_ns(&clock_system)) {
        task_sleep(t, args.next_ns < until_ns ? args.next_ns : until_ns);
    }
    return WEIR_OK;
}

/* Nothing more will come into the batcher. */
static bool all_taken(const task *t) {
    return task_inlets_ended(t) && t->arrival.batch == NULL;
}

static weir_status run(task *t, weir_error *err) {
    bool cut = false; /* a barrier waits for the batcher to run dry */
    while (!context_stopping(t->cx)) {
        /* Once a turn the sink is asked whatever it answered before: there was a wake or its drive
         * in between. */
        weir_status status = batcher_pump(t->batcher, cut || all_taken(t), err);
        if (status == WEIR_OK) status = take_items(t, err);
        bool ended = all_taken(t);
        if (status == WEIR_OK && (cut || ended) && !batcher_blocked(t->batcher)) {
            status = batcher_pump(t->batcher, true, err);
        }
        if (status != WEIR_OK) return status;
        task_flush_outlets(t);
        int64_t until = batcher_next_ns(t->batcher);
        bool turned;
        status = sink_checkpoint_turn(t, &cut, &turned, &until, err);
        if (status != WEIR_OK) return status;
        if (turned) continue;
        if (ended && batcher_idle(t->batcher)) break;
        if (t->arrival.batch != NULL) {
            int64_t again = clock_mono_ns(&clock_system) + SERVICE_DEFAULT_NS;
            if (until > again) until = again;
        }
        status = drive(t, until, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

weir_status sink_task_loop(task *t, weir_error *err) {
    weir_status status = run(t, err);
    drop_arrival(t); /* only if the pipeline stops */
    if (status != WEIR_OK || context_stopping(t->cx)) return status;
    status = task_end_outlets(t, err);
    if (status != WEIR_OK || context_stopping(t->cx)) return status;
    int64_t deadline = clock_mono_ns(&clock_system) + CLOSE_TIMEOUT_NS;
    return instance_close(t->main, WEIR_CLOSE_DRAIN, deadline, err);
}
