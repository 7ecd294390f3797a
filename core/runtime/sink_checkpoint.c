/*
 * A sink task's share of checkpoints: what checkpoint/sink_epochs asks for, done with the plugin.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/backoff.h"
#include "runtime/context.h"
#include "runtime/task.h"

/* A commit whose answer is lost would hold up every later checkpoint. */
#define COMMIT_RETRY_BASE_NS (200 * CLOCK_NS_PER_MS)
#define COMMIT_RETRY_MAX_NS (20 * CLOCK_NS_PER_S)
/* How long after its deadline a commit may still answer. */
#define COMMIT_GRACE_NS (30 * CLOCK_NS_PER_S)

weir_status sink_checkpoint_open(task *t, weir_error *err) {
    instance *i = t->main;
    bool two_phase =
        loader_extension(i->bound->ops.sink.get_extension, i->self, WEIR_SINK_TWO_PHASE,
                         &t->two_phase, sizeof t->two_phase) == WEIR_OK;
    if (two_phase && (t->two_phase.prepare == NULL || t->two_phase.commit == NULL)) {
        return error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_FATAL,
                         "%s: " WEIR_SINK_TWO_PHASE " lacks prepare or commit: a fault of the "
                         "plugin",
                         i->where);
    }
    const sink_epochs_config config = {
        .node = t->stage->node->index,
        .instance = t->index,
        .two_phase = two_phase,
        .committable_version = i->bound->note->committables.version,
        .flush_timeout_ns = t->cx->plan->pipeline->settings.checkpoint_timeout_ns,
        .retry_base_ns = COMMIT_RETRY_BASE_NS,
        .retry_max_ns = COMMIT_RETRY_MAX_NS,
    };
    t->sink_epochs = sink_epochs_new(&config);
    return t->sink_epochs != NULL ? WEIR_OK : error_set(err, WEIR_E_NOMEM, 0, "out of memory");
}

/* A failure that time may mend costs the epoch only: the sink keeps what it took and is asked again
 * with the next one. Any other is the pipeline's. */
static weir_status failed(task *t, const char *what, weir_status status, weir_error *err) {
    error_prefix(err, "%s: %s", t->main->where, what);
    return backoff_may_pass(status, err) ? WEIR_OK : status;
}

static weir_status flush(task *t, const sink_action *a, weir_error *err) {
    weir_flush args = {.struct_size = sizeof args,
                       .last = a->last,
                       .epoch = a->epoch,
                       .deadline_ns = a->deadline_ns,
                       .error = err};
    t->flushing = a->epoch;
    weir_status status = t->main->bound->ops.sink.flush(t->main->self, &args);
    if (status == WEIR_OK) return WEIR_OK;
    t->flushing = 0;
    weir_status fatal = failed(t, "flush", status, err);
    if (fatal == WEIR_OK) sink_epochs_flushed(t->sink_epochs, a->epoch, status, err);
    return fatal;
}

/* flush_done, if it came. */
static weir_status look_for_flush(task *t, weir_error *err) {
    weir_status status;
    if (t->flushing == 0 || !instance_flush_done(t->main, t->flushing, &status, err)) {
        return WEIR_OK;
    }
    uint64_t epoch = t->flushing;
    t->flushing = 0;
    if (status != WEIR_OK) {
        weir_status fatal = failed(t, "flush", status, err);
        if (fatal != WEIR_OK) return fatal;
    }
    sink_epochs_flushed(t->sink_epochs, epoch, status, err);
    return WEIR_OK;
}

static weir_status prepare(task *t, const sink_action *a, weir_error *err) {
    weir_status status = WEIR_OK;
    if (t->two_phase.prepare != NULL) {
        weir_writer writer = {.epochs = t->sink_epochs, .instance = t->index};
        weir_prepare args = {
            .struct_size = sizeof args, .epoch = a->epoch, .writer = &writer, .error = err};
        status = t->two_phase.prepare(t->main->self, &args);
        if (status != WEIR_OK) {
            weir_status fatal = failed(t, "prepare", status, err);
            if (fatal != WEIR_OK) return fatal;
            sink_epochs_prepared(t->sink_epochs, status, err);
            return WEIR_OK;
        }
    }
    status = instance_snapshot(t->main, a->epoch, a->part, err);
    if (status == WEIR_OK) {
        sink_epochs_prepared(t->sink_epochs, WEIR_OK, NULL);
    } else {
        sink_epochs_not_captured(t->sink_epochs, status, err);
    }
    return WEIR_OK;
}

static void drop_commit(task *t) {
    free(t->commit_blobs);
    free(t->commit_list);
    t->commit_blobs = NULL;
    t->commit_list = NULL;
}

void sink_checkpoint_free(task *t) {
    drop_commit(t);
    sink_epochs_free(t->sink_epochs);
}

/* The blobs live until the verdicts are here. */
static weir_status commit(task *t, const sink_action *a, weir_error *err) {
    drop_commit(t);
    t->commit_blobs = calloc(a->committable_count + 1u, sizeof *t->commit_blobs);
    t->commit_list = calloc(a->committable_count + 1u, sizeof(weir_blob *));
    if (t->commit_blobs == NULL || t->commit_list == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a commit");
    }
    for (uint32_t k = 0; k < a->committable_count; k++) {
        t->commit_blobs[k] = (weir_blob){.struct_size = sizeof(weir_blob),
                                         .scope = WEIR_SCOPE_ITEM,
                                         .state_version = a->committables[k]->version,
                                         .bytes = a->committables[k]->bytes};
        t->commit_list[k] = &t->commit_blobs[k];
    }
    weir_commit args = {.struct_size = sizeof args,
                        .count = a->committable_count,
                        .committables = t->commit_list,
                        .token = a->token,
                        .deadline_ns = a->deadline_ns,
                        .error = err};
    t->commit_deadline_ns = a->deadline_ns;
    weir_status status = t->two_phase.commit(t->main->self, &args);
    if (status == WEIR_OK) return WEIR_OK;
    t->commit_deadline_ns = 0;
    /* Durable epochs only go forward: whatever the failure, it is tried again. */
    log_write(WEIR_LOG_WARN, t->main->component, "%s: commit of epoch %llu: %s; trying again",
              t->main->where, (unsigned long long)a->epoch, error_text(err));
    sink_epochs_verdicts(t->sink_epochs, a->token, NULL, 0, err, clock_mono_ns(&clock_system));
    return WEIR_OK;
}

static void take_verdicts(task *t) {
    for (commit_answer *v; (v = instance_take_commit(t->main)) != NULL;) {
        if (v->error != NULL) {
            log_write(WEIR_LOG_WARN, t->main->component, "%s: commit: %s", t->main->where,
                      error_text(v->error));
        }
        t->commit_deadline_ns = 0;
        sink_epochs_verdicts(t->sink_epochs, v->token, v->count > 0 ? v->verdicts : NULL, v->count,
                             v->error, clock_mono_ns(&clock_system));
        commit_answer_free(v);
    }
}

static void tell_lost(task *t, const state_committable *lost) {
    count(t->cx->lost, 1);
    const lost_piece piece = {t->stage->node->name, t->index, lost->epoch, lost->records};
    checkpointing_lost(t->epochs, &piece);
}

weir_status sink_checkpoint_turn(task *t, bool *cut, bool *turned, int64_t *until_ns,
                                 weir_error *err) {
    *turned = false;
    uint64_t durable = atomic_load(&t->cx->commit_epoch);
    if (durable > t->commit_epoch) {
        t->commit_epoch = durable;
        sink_epochs_commit(t->sink_epochs, durable);
    }
    take_verdicts(t);
    error_clear(err);
    int64_t now = clock_mono_ns(&clock_system);
    if (t->commit_deadline_ns > 0) {
        /* The call may still be under way, so it cannot be made again: a new instance can. */
        if (now > t->commit_deadline_ns + COMMIT_GRACE_NS) {
            return error_set(err, WEIR_E_TIMEOUT, WEIR_ERR_FATAL,
                             "%s: no answer to a commit, which is long past its deadline",
                             t->main->where);
        }
        if (t->commit_deadline_ns + COMMIT_GRACE_NS < *until_ns) {
            *until_ns = t->commit_deadline_ns + COMMIT_GRACE_NS;
        }
    }
    weir_status status = look_for_flush(t, err);
    while (status == WEIR_OK) {
        bool idle = t->arrival.batch == NULL && batcher_idle(t->batcher) && task_flush_outlets(t);
        sink_action a = sink_epochs_next(t->sink_epochs, idle, clock_mono_ns(&clock_system));
        *cut = a.act == SINK_CUT;
        if (a.act == SINK_NOTHING || a.act == SINK_CUT) {
            if (a.next_ns > 0 && a.next_ns < *until_ns) *until_ns = a.next_ns;
            /* A cut that just began: the batcher is pumped before anybody sleeps. */
            *turned = *turned || (*cut && !t->cutting);
            t->cutting = *cut;
            return WEIR_OK;
        }
        *turned = true;
        error_clear(err);
        switch (a.act) {
        case SINK_FORWARD: {
            const channel_mark mark = {.kind = ITEM_BARRIER, .epoch = a.epoch, .last = a.last};
            status = task_mark_outlets(t, &mark, err);
            sink_epochs_forwarded(t->sink_epochs);
            break;
        }
        case SINK_FLUSH:
            status = flush(t, &a, err);
            if (status == WEIR_OK) status = look_for_flush(t, err);
            break;
        case SINK_PREPARE:
            status = prepare(t, &a, err);
            break;
        case SINK_ACK:
            batcher_set_epoch(t->batcher, a.epoch + 1);
            checkpointing_ack(t->epochs, t->number, a.epoch, a.part, a.status, a.error);
            break;
        case SINK_COMMIT:
            status = commit(t, &a, err);
            if (status == WEIR_OK) take_verdicts(t);
            break;
        case SINK_COMMITTED:
            checkpointing_committed(t->epochs, t->number, a.epoch);
            break;
        default:
            tell_lost(t, a.lost);
            break;
        }
    }
    return status;
}
