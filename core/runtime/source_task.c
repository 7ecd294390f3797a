/*
 * The loop of a source task: take the assignment, look for room, poll, send on.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/backoff.h"
#include "runtime/context.h"
#include "runtime/held_events.h"
#include "runtime/task.h"

/* Deadline of a poll that nothing can interrupt: how late a drain or an assignment may be seen. */
#define BLIND_POLL_NS (10 * CLOCK_NS_PER_MS)
/* How often a source is called for its own upkeep when plugin.json does not say. */
#define SERVICE_DEFAULT_NS CLOCK_NS_PER_S
/* Room offered to one poll: a batch of usual size, so that memory is bounded by few batches. */
#define ROOM_RECORDS 10000u
/* A poll that can be woken and still answers AGAIN at once is not called more often than this. */
#define REPOLL_NS CLOCK_NS_PER_MS

typedef struct source_state {
    task *task;
    weir_source_ops ops;
    bool can_wake;
    bool assigned; /* was given splits at least once */
    bool ended;    /* END since the last assignment */
    bool quiet;    /* a drain, or a final barrier: nothing more is read */
    bool told_end; /* the checkpoint thread knows that all splits are read */
    bool end_held; /* ... which holds behind a batch that is parked */
    held_events held;
    int64_t service_ns;
    int64_t not_before_ns; /* the source said that nothing will be there earlier */
    int64_t serviced_ns;
    uint32_t failures; /* consecutive retryable ones */
    uint64_t room_bytes;
} source_state;

weir_status source_task_open(task *t, weir_error *err) {
    weir_status status = chain_open(t->chain, err);
    if (status != WEIR_OK) return status;
    weir_open args = {
        .deadline_ns =
            clock_mono_ns(&clock_system) + t->cx->plan->pipeline->settings.start_timeout_ns,
        .meta_count = t->stage->meta_count,
        .meta_ptr = t->stage->meta_ptr,
        .meta_len = t->stage->meta_len,
    };
    return instance_open(t->main, WEIR_ROLE_TASK, &args, err);
}

static weir_status take_assignment(source_state *s, weir_error *err) {
    weir_assign assign;
    weir_status status = splits_take(s->task->splits, s->task->index, &assign);
    if (status != WEIR_OK) return error_set(err, status, 0, "out of memory for an assignment");
    assign.error = err;
    status = s->ops.assign(s->task->main->self, &assign);
    splits_assignment_free(&assign);
    s->assigned = true;
    s->ended = false;
    s->not_before_ns = 0;
    if (status != WEIR_OK) error_prefix(err, "%s: assign", s->task->main->where);
    return status;
}

static weir_status handle_batch(source_state *s, const weir_batch *batch, weir_error *err) {
    task *t = s->task;
    s->failures = 0;
    if (chain_parked(t->chain)) {
        batch_release(batch);
        return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                         "%s: poll answered a batch where it was given no room for any: a fault of "
                         "the plugin",
                         t->main->where);
    }
    /* The position goes ahead together with the batch: both before the next barrier. */
    splits_position(t->splits, batch->split, batch->resume, batch->lag_ms, batch->rows->count);
    if (batch->rows->count == 0) {
        batch_release(batch);
        return WEIR_OK;
    }
    context_note_record(t->cx);
    weir_status status = chain_run(t->chain, NULL, batch, err);
    return status == WEIR_AGAIN ? WEIR_OK : status;
}

/* The mark follows the last batch to where its way ends; until it is there everywhere, no task
 * reads a child: its records could overtake those of the parent that still wait in another channel.
 */
static weir_status handle_finished(task *t, const weir_event *event, weir_error *err) {
    split_end *end = splits_end(t->splits, event->split);
    const channel_mark mark = {.kind = ITEM_END_OF_SPLIT, .split = event->split, .end = end};
    weir_status status = WEIR_OK;
    for (size_t o = 0; o < t->stage->output_count && status == WEIR_OK; o++) {
        if (t->stage->outputs[o]->dead_letters) continue;
        status = outlet_mark(t->outlets[o], &mark, err);
    }
    if (status == WEIR_OK) {
        status = splits_finished(t->splits, event->split, event->children, event->child_count, err);
    }
    if (end != NULL) split_end_release(end);
    return status;
}

static weir_status handle_event(source_state *s, const weir_event *event, weir_error *err) {
    task *t = s->task;
    s->failures = 0;
    switch (event->kind) {
    case WEIR_EVENT_POSITION:
        splits_position(t->splits, event->split, event->position, event->lag_ms, 0);
        return WEIR_OK;
    case WEIR_EVENT_FINISHED:
        log_write(WEIR_LOG_DEBUG, t->main->component, "%s: split %.*s finished, %u children",
                  t->main->where, STR_FMT(event->split), event->child_count);
        return handle_finished(t, event, err);
    case WEIR_EVENT_SCHEMA:
        return WEIR_OK; /* decoding is per record; nothing to prepare */
    default:
        return error_set(err, WEIR_E_UNSUPPORTED, WEIR_ERR_FATAL,
                         "%s: the source assigns splits itself (event %u), which this "
                         "version cannot follow",
                         t->main->where, event->kind);
    }
}

/* A failed poll: again later if that can help, else the end of the pipeline. */
static weir_status handle_failure(source_state *s, weir_status status, weir_error *err) {
    task *t = s->task;
    const retry_spec *retry = &t->stage->node->retry;
    uint32_t flags = error_flags(err);
    if ((flags & WEIR_ERR_PER_RECORD) != 0) {
        /* One record is at fault; the source goes on behind it. */
        weir_error *why = error_new();
        error_copy(why, err);
        status = failures_unread(chain_source_failures(t->chain), why, err);
        error_free(why);
        return status;
    }
    if (!backoff_may_pass(status, err) || ++s->failures >= retry->attempts) {
        error_prefix(err, "%s", t->main->where);
        return status;
    }
    int64_t wait = backoff_ns(retry, s->failures, context_template_env());
    log_write(WEIR_LOG_WARN, t->main->component, "%s: %s; trying again in %lld ms (failure %u)",
              t->main->where, error_text(err), (long long)(wait / CLOCK_NS_PER_MS), s->failures);
    s->not_before_ns = clock_mono_ns(&clock_system) + wait;
    return WEIR_OK;
}

static void sleep_until(source_state *s, int64_t deadline_ns) {
    task_sleep(s->task, deadline_ns);
}

static weir_status no_result(source_state *s, const char *what, weir_error *err) {
    return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                     "%s: poll answered %s, but gave none: a fault of the plugin",
                     s->task->main->where, what);
}

/* After AGAIN: sleep as long as nothing can happen; not at all if a signal was there. */
static void rest(source_state *s, const weir_poll *args, int64_t polled_ns, bool signalled) {
    int64_t now = clock_mono_ns(&clock_system);
    int64_t service = polled_ns + s->service_ns;
    if (args->next_ns > now) {
        s->not_before_ns = args->next_ns;
        if (signalled) return;
        sleep_until(s, args->next_ns < service ? args->next_ns : service);
    } else if (!s->can_wake) {
        sleep_until(s, args->next_ns == 0 ? service : now);
    } else if (now - polled_ns < REPOLL_NS) {
        sleep_until(s, now + REPOLL_NS);
    }
}

static weir_status poll_once(source_state *s, bool room, weir_error *err) {
    task *t = s->task;
    int64_t now = task_turn(t);
    weir_poll args = {.struct_size = sizeof args,
                      .room_records = room ? ROOM_RECORDS : 0,
                      .room_bytes = room ? s->room_bytes : 0,
                      .deadline_ns = now + (s->can_wake ? s->service_ns : BLIND_POLL_NS),
                      .error = err};
    if (now < s->not_before_ns && s->not_before_ns < args.deadline_ns) {
        args.deadline_ns = s->not_before_ns;
    }
    if (s->can_wake && !wake_enter(&t->wake)) {
        wake_wait(&t->wake, 0); /* something changed: consume the signal and look first */
        return WEIR_OK;
    }
    error_clear(err); /* what an earlier failure left must not pass for this one's */
    weir_status status = s->ops.poll(t->main->self, &args);
    bool signalled = s->can_wake && wake_leave(&t->wake);
    s->serviced_ns = now;
    switch (status) {
    case WEIR_OK:
        if (args.batch == NULL) return no_result(s, "a batch", err);
        return handle_batch(s, args.batch, err);
    case WEIR_EVENT:
        if (args.event == NULL) return no_result(s, "an event", err);
        if (!chain_parked(t->chain)) return handle_event(s, args.event, err);
        if (held_events_add(&s->held, args.event) == WEIR_OK) return WEIR_OK;
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for an event that waits");
    case WEIR_AGAIN:
        /* A signal that ended the poll is consumed: what it stood for (a drain, an assignment,
         * room) has to be looked at before sleeping. */
        rest(s, &args, now, signalled);
        return WEIR_OK;
    case WEIR_END:
        s->ended = true;
        s->end_held = chain_parked(t->chain);
        if (!s->end_held) splits_task_ended(t->splits, t->index);
        return WEIR_OK;
    default:
        return handle_failure(s, status, err);
    }
}

/* The batch that waits is tried again; what the source said meanwhile holds once it is gone. */
static weir_status go_on(source_state *s, weir_error *err) {
    task *t = s->task;
    weir_status status = chain_resume(t->chain, err);
    if (status == WEIR_AGAIN) return WEIR_OK;
    for (held_event *e; status == WEIR_OK && (e = held_events_take(&s->held)) != NULL;) {
        status = handle_event(s, held_event_get(e), err);
        held_event_free(e);
    }
    if (status == WEIR_OK && s->end_held) {
        s->end_held = false;
        splits_task_ended(t->splits, t->index);
    }
    return status;
}

/* ---- checkpoints ---- */

/* What this task adds to the epoch: its splits with the positions of what it pushed, private state
 * of the source and of the transforms fused behind it. */
static weir_status take_share(source_state *s, uint64_t epoch, state_part **parts,
                              weir_error *err) {
    task *t = s->task;
    state_part *part = part_new(t->stage->node->index);
    if (part == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a checkpoint");
    *parts = part;
    weir_status status = splits_barrier(t->splits, t->index, epoch, part);
    if (status != WEIR_OK) return error_set(err, status, 0, "cannot capture the splits");
    status = instance_snapshot(t->main, epoch, part, err);
    if (status == WEIR_OK) status = chain_snapshot(t->chain, epoch, parts, err);
    return status;
}

/* Between two polls: the barrier follows everything that was pushed. */
static weir_status send_barrier(source_state *s, weir_error *err) {
    task *t = s->task;
    uint64_t epoch = atomic_load(&t->cx->barrier_epoch);
    order_kind order = (order_kind)atomic_load(&t->cx->barrier_order);
    t->barrier_epoch = epoch;
    /* Behind a final barrier nothing follows, unless that epoch fails; then only another one. */
    if (order == ORDER_FINAL) s->quiet = true;
    state_part *parts = NULL;
    weir_status status = take_share(s, epoch, &parts, err);
    if (status == WEIR_OK) {
        const channel_mark mark = {
            .kind = ITEM_BARRIER, .epoch = epoch, .last = order != ORDER_CHECKPOINT};
        for (size_t o = 0; o < t->stage->output_count && status == WEIR_OK; o++) {
            status = outlet_mark(t->outlets[o], &mark, err);
        }
        if (status != WEIR_OK) {
            part_free(parts);
            return status;
        }
    }
    checkpointing_ack(t->epochs, t->number, epoch, parts, status, err);
    return WEIR_OK;
}

static weir_status tell_done(source_state *s, weir_error *err) {
    task *t = s->task;
    t->done_epoch = atomic_load(&t->cx->done_epoch);
    if (!t->main->bound->has_checkpoint_done) return WEIR_OK;
    weir_checkpoint_done args = {.struct_size = sizeof args, .epoch = t->done_epoch, .error = err};
    weir_status status = s->ops.checkpoint_done(t->main->self, &args);
    if (status == WEIR_OK) return WEIR_OK;
    if (backoff_may_pass(status, err)) { /* it is cumulative: the next one says it again */
        log_write(WEIR_LOG_WARN, t->main->component, "%s: checkpoint_done: %s", t->main->where,
                  error_text(err));
        return WEIR_OK;
    }
    error_prefix(err, "%s: checkpoint_done", t->main->where);
    return status;
}

/* What the checkpoint thread asks for, and the assignment; all between two polls. */
static weir_status obey(source_state *s, weir_error *err) {
    task *t = s->task;
    weir_status status = WEIR_OK;
    if (atomic_load(&t->cx->done_epoch) > t->done_epoch) status = tell_done(s, err);
    if (status == WEIR_OK && chain_parked(t->chain)) status = go_on(s, err);
    /* A parked batch is ahead of the barrier: its position was noted when it came. */
    if (status == WEIR_OK && !chain_parked(t->chain) &&
        atomic_load(&t->cx->barrier_epoch) > t->barrier_epoch) {
        status = send_barrier(s, err);
    }
    if (status == WEIR_OK && !s->quiet && splits_changed(t->splits, t->index)) {
        status = take_assignment(s, err);
    }
    return status;
}

static weir_status read_all(source_state *s, weir_error *err) {
    task *t = s->task;
    while (!context_stopping(t->cx) && !atomic_load(&t->cx->finish)) {
        weir_status status = obey(s, err);
        if (status != WEIR_OK) return status;
        bool parked = chain_parked(t->chain);
        if (context_draining(t->cx)) s->quiet = true;
        if (!parked && !s->told_end && splits_all_done(t->splits)) {
            s->told_end = s->quiet = true;
            checkpointing_source_ended(t->epochs, t->number);
        }
        bool flushed = task_flush_outlets(t);
        bool room =
            !s->quiet && !parked && flushed && task_outlets_room(t) && context_memory_room(t->cx);
        int64_t now = clock_mono_ns(&clock_system);
        if (!s->assigned || s->ended || s->told_end) {
            /* Nothing to poll; a parked batch and waiting marks wake the task when they can move.
             */
            sleep_until(s, parked ? now + s->service_ns : INT64_MAX);
            continue;
        }
        if (!room && !s->can_wake && now < s->serviced_ns + s->service_ns) {
            sleep_until(s, s->serviced_ns + s->service_ns);
            continue;
        }
        if (now < s->not_before_ns && now < s->serviced_ns + s->service_ns && !s->can_wake) {
            sleep_until(s, s->not_before_ns);
            continue;
        }
        status = poll_once(s, room && now >= s->not_before_ns, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

weir_status source_task_loop(task *t, weir_error *err) {
    const bound_component *bound = t->main->bound;
    source_state s = {.task = t, .ops = bound->ops.source, .can_wake = bound->has_wakeup};
    s.service_ns = bound->note->service_interval_ns > 0 ? bound->note->service_interval_ns
                                                        : SERVICE_DEFAULT_NS;
    s.room_bytes = UINT64_MAX;
    for (size_t o = 0; o < t->stage->output_count; o++) {
        uint64_t bytes = t->stage->outputs[o]->channel_bytes;
        if (bytes < s.room_bytes) s.room_bytes = bytes;
    }
    weir_status status = read_all(&s, err);
    held_events_clear(&s.held);
    if (status != WEIR_OK || context_stopping(t->cx)) return status;
    return task_end_outlets(t, err);
}
