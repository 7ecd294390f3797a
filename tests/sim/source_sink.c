/*
 * Tasks at both ends: sources send barriers between polls, sinks do what sink_epochs asks for.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pipeline.h"
#include "weir/sink.h"

/* ---- sources ---- */

static uint32_t split_at(const world *w, const char *id, uint32_t len) {
    for (uint32_t i = 0; i < w->split_count; i++)
        if (strlen(w->splits[i].id) == len && memcmp(w->splits[i].id, id, len) == 0) return i;
    WEIR_ASSERT(len == 0 && "a split that nobody made");
    return 0;
}

static void take_assignment(task *t) {
    world *w = t->p->w;
    weir_assign a;
    weir_status status = splits_take(t->table, t->index, &a);
    WEIR_ASSERT(status == WEIR_OK);
    uint32_t kept = 0;
    uint32_t before = t->read_count;
    struct {
        uint32_t split, position;
    } reads[SPLITS_MAX];
    for (uint32_t i = 0; i < a.count; i++) {
        uint32_t split = split_at(w, a.id_ptr[i], a.id_len[i]);
        uint32_t position = 0;
        if (a.position_len[i] == sizeof position)
            memcpy(&position, a.position_ptr[i], sizeof position);
        /* One that it reads already goes on where it is. */
        for (uint32_t k = 0; k < before; k++)
            if (t->reads[k].split == split) position = t->reads[k].position;
        reads[kept].split = split;
        reads[kept++].position = position;
    }
    splits_assignment_free(&a);
    _Static_assert(sizeof reads == sizeof t->reads, "the same pairs");
    memcpy(t->reads, reads, kept * sizeof reads[0]);
    t->read_count = kept;
}

/* Its splits with the positions of what it pushed. */
static void take_share(task *t, uint64_t epoch) {
    state_part *part = part_new(t->p->index[t->node]);
    WEIR_ASSERT(part != NULL);
    weir_status status = splits_barrier(t->table, t->index, epoch, part);
    WEIR_ASSERT(status == WEIR_OK);
    ack(t, epoch, without_finished(part), WEIR_OK, NULL);
}

static void send_barrier(task *t) {
    process *p = t->p;
    t->barrier_epoch = p->barrier_epoch;
    if (p->order == ORDER_FINAL) t->quiet = true;
    push_barrier(t, p->barrier_epoch, p->order != ORDER_CHECKPOINT, false);
    if (mutated("snapshot_late") && !t->quiet) {
        t->late_epoch = p->barrier_epoch;
    } else {
        take_share(t, p->barrier_epoch);
    }
}

static void end_split(task *t, uint32_t at) {
    world *w = t->p->w;
    truth_split *s = &w->splits[t->reads[at].split];
    weir_split children[2];
    const weir_split *list[2] = {&children[0], &children[1]};
    const char *ptrs[2][2];
    uint32_t lens[2][2];
    for (uint32_t c = 0; c < s->child_count; c++) {
        const truth_split *child = &w->splits[s->children[c]];
        for (uint32_t i = 0; i < child->parent_count; i++) {
            ptrs[c][i] = w->splits[child->parents[i]].id;
            lens[c][i] = (uint32_t)strlen(ptrs[c][i]);
        }
        children[c] = (weir_split){.struct_size = sizeof children[c],
                                   .id = str_of(child->id),
                                   .private_bytes = STR("x"),
                                   .parent_count = child->parent_count,
                                   .parent_ptr = ptrs[c],
                                   .parent_len = lens[c]};
    }
    trace(w, "%s[%u]: split %s ended", node_name(t->node), t->index, s->id);
    s->ended = true;
    t->reads[at] = t->reads[--t->read_count];
    weir_status status = splits_finished(t->table, str_of(s->id), list, s->child_count, t->p->err);
    WEIR_ASSERT(status == WEIR_OK);
}

static bool poll(task *t) {
    world *w = t->p->w;
    if (t->read_count == 0) return false;
    uint32_t at = sim_below(w, t->read_count);
    truth_split *s = &w->splits[t->reads[at].split];
    uint32_t position = t->reads[at].position;
    w->now += MS / 2;
    if (position >= s->count) {
        end_split(t, at);
        return true;
    }
    uint32_t n = 1 + sim_below(w, BATCH_MAX);
    if (n > s->count - position) n = s->count - position;
    for (uint32_t i = 0; i < n; i++) t->parked[i] = s->first + position + i;
    t->parked_count = n;
    position += n;
    t->reads[at].position = position;
    splits_position(t->table, str_of(s->id), str_make((const char *)&position, sizeof position), -1,
                    n);
    return true;
}

bool source_step(task *t, int64_t *wake_ns) {
    process *p = t->p;
    world *w = p->w;
    (void)wake_ns;
    if (p->draining) t->quiet = true;
    if (t->late_epoch != 0 && (t->quiet || sim_chance(w, 300))) {
        take_share(t, t->late_epoch);
        t->late_epoch = 0;
        return true;
    }
    bool ahead = mutated("barrier_ahead_of_parked");
    if (p->barrier_epoch > t->barrier_epoch && t->late_epoch == 0 &&
        (t->parked_count == 0 || ahead)) {
        /* A poll that is under way at the trigger still brings its batch. */
        if (!t->quiet && t->parked_count == 0 && sim_chance(w, 200) && poll(t)) return true;
        send_barrier(t);
        return true;
    }
    if (t->parked_count > 0) {
        if (!has_room(t, t->parked[0], false)) return false;
        push(t, t->parked[0], 0, false);
        memmove(t->parked, t->parked + 1, --t->parked_count * sizeof t->parked[0]);
        return true;
    }
    if (!t->quiet && splits_changed(t->table, t->index)) {
        take_assignment(t);
        return true;
    }
    if (!t->told_end && splits_all_done(t->table)) {
        t->told_end = t->quiet = true;
        coordinator_source_ended(p->machine, t->number);
        return true;
    }
    return !t->quiet && poll(t);
}

/* ---- the host's batcher of a plain sink ---- */

static bool rejects(const world *w, uint32_t record) {
    const truth_record *r = &w->records[record];
    return (r->split + record) % 4 == 3;
}

static bool batcher_idle(const task *t) {
    return t->queued_count == 0 && t->flying_count[0] == 0 && t->flying_count[1] == 0;
}

/* A request comes back: delivered, rejected, failed, or delivered and the answer lost. */
static bool come_back(task *t, uint32_t flight) {
    world *w = t->p->w;
    uint32_t count = t->flying_count[flight];
    for (uint32_t i = 0; i < count; i++)
        if (rejects(w, t->flying[flight][i]) && !has_room(t, t->flying[flight][i], true))
            return false;
    if (!world_op(w)) return true;
    t->flying_count[flight] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t record = t->flying[flight][i];
        bool fails = sim_fault(w, 150), unheard = sim_fault(w, 100);
        if (!fails && rejects(w, record)) {
            push(t, record, t->node, true);
            continue;
        }
        if (!fails) w->delivered[SINK_OF(t->node)][record]++;
        if (fails || unheard) t->queued[t->queued_count++] = record;
    }
    return true;
}

static bool pump(task *t) {
    world *w = t->p->w;
    uint32_t flight = sim_below(w, 2);
    for (uint32_t i = 0; i < 2; i++, flight ^= 1) {
        if (t->flying_count[flight] > 0) {
            if (sim_chance(w, 700) && come_back(t, flight)) return true;
        } else if (t->queued_count > 0) {
            uint32_t n = t->queued_count < 2 ? 1 : 1 + sim_below(w, 2);
            memcpy(t->flying[flight], t->queued, n * sizeof t->queued[0]);
            t->flying_count[flight] = n;
            t->queued_count -= n;
            memmove(t->queued, t->queued + n, t->queued_count * sizeof t->queued[0]);
            return true;
        }
    }
    return !batcher_idle(t);
}

/* ---- sinks ---- */

static void commit_now(task *t) {
    process *p = t->p;
    world *w = p->w;
    uint32_t verdicts[RECORDS_MAX];
    WEIR_ASSERT(t->committing.count <= RECORDS_MAX);
    vsink_commit(w, t->node, t->committing.items, t->committing.count, verdicts);
    uint64_t token = t->committing.token;
    t->committing.token = 0;
    if (w->crashed) return;
    for (uint32_t i = 0; i < t->committing.count; i++)
        if (verdicts[i] != WEIR_VERDICT_RETRY) vsink_decided(t->sink, t->committing.items[i]);
    sink_epochs_verdicts(t->epochs, token, verdicts, t->committing.count, NULL, w->now);
}

static void flush_now(task *t) {
    world *w = t->p->w;
    uint64_t epoch = t->flushing.epoch;
    t->flushing.epoch = 0;
    weir_status status = WEIR_OK;
    if (t->sink != NULL) status = vsink_flush(t->sink, epoch, t->flushing.last);
    if (status == WEIR_OK && sim_fault(w, w->config.flush)) status = WEIR_E_IO;
    if (w->crashed) return;
    if (status == WEIR_E_FENCED) {
        process_fail(t->p, "%s[%u]: flush", node_name(t->node), t->index);
    } else {
        sink_epochs_flushed(t->epochs, epoch, status, NULL);
    }
}

static void do_action(task *t, const sink_action *a) {
    process *p = t->p;
    world *w = p->w;
    switch (a->act) {
    case SINK_FORWARD:
        if (!t->forwarded_early) push_barrier(t, a->epoch, a->last, true);
        t->forwarded_early = false;
        sink_epochs_forwarded(t->epochs);
        break;
    case SINK_FLUSH:
        t->flushing.epoch = a->epoch;
        t->flushing.last = a->last;
        t->flushing.due_ns = w->now + sim_below(w, 8) * MS;
        break;
    case SINK_PREPARE: {
        weir_status status = WEIR_OK;
        if (t->sink != NULL) status = vsink_prepare(t->sink, a->epoch, t->epochs, a->part);
        if (status == WEIR_E_FENCED)
            process_fail(p, "%s[%u]: prepare", node_name(t->node), t->index);
        sink_epochs_prepared(t->epochs, status, NULL);
        break;
    }
    case SINK_ACK:
        t->passed = a->epoch;
        ack(t, a->epoch, a->part, a->status, a->error);
        break;
    case SINK_COMMIT:
        t->committing.token = a->token;
        t->committing.items = a->committables;
        t->committing.count = a->committable_count;
        t->committing.due_ns = w->now + sim_below(w, 6) * MS;
        break;
    case SINK_COMMITTED:
        coordinator_committed(p->machine, t->number, a->epoch, w->now);
        break;
    case SINK_LOST:
        vsink_lost(w, t->node, a->lost);
        break;
    case SINK_ABORT:
        vsink_abort(w, t->node, a->lost);
        break;
    case SINK_NOTHING:
    case SINK_CUT:
        break;
    }
}

static bool take_input(task *t) {
    world *w = t->p->w;
    uint32_t input;
    if (t->queued_count >= 4) return false;
    channel *c = choose_input(t, &input);
    if (c == NULL) return false;
    item *first = &c->items[c->head];
    if (!first->barrier && t->sink != NULL) {
        written r = {.epoch = t->passed,
                     .record = first->record,
                     .run = t->p->run,
                     .serial = ++w->serials,
                     .feeder = first->feeder};
        took how = vsink_write(t->sink, &r);
        if (how == FAILED && !w->crashed)
            process_fail(t->p, "%s[%u]: write", node_name(t->node), t->index);
        if (how != TOOK) return how == FAILED;
        sink_epochs_count(t->epochs, 1);
    }
    item it = channel_take(c);
    w->now += MS / 4;
    if (!it.barrier) {
        if (t->sink == NULL) t->queued[t->queued_count++] = it.record;
    } else if (aligner_barrier(&t->aligner, input, it.epoch, it.last)) {
        if (mutated("dead_letters_barrier_early")) {
            push_barrier(t, t->aligner.aligned, t->aligner.last, true);
            t->forwarded_early = true;
        }
        sink_epochs_barrier(t->epochs, t->aligner.aligned, t->aligner.last);
    }
    return true;
}

bool sink_step(task *t, int64_t *wake_ns) {
    process *p = t->p;
    world *w = p->w;
    if (p->commit_epoch > t->commit_seen) {
        t->commit_seen = p->commit_epoch;
        sink_epochs_commit(t->epochs, p->commit_epoch);
        if (t->sink != NULL) vsink_durable(t->sink, p->commit_epoch);
        return true;
    }
    if (p->done_epoch > t->done_seen) {
        /* Without committables nobody asks for a commit; that the epoch is durable holds too. */
        t->done_seen = p->done_epoch;
        if (t->sink != NULL) vsink_durable(t->sink, p->done_epoch);
    }
    if (t->committing.token != 0 && w->now >= t->committing.due_ns) {
        commit_now(t);
        return true;
    }
    if (t->flushing.epoch != 0 && w->now >= t->flushing.due_ns) {
        flush_now(t);
        return true;
    }
    bool idle = t->sink != NULL || batcher_idle(t) || mutated("batcher_not_drained");
    sink_action a = sink_epochs_next(t->epochs, idle, w->now);
    if (a.act != SINK_NOTHING && a.act != SINK_CUT) {
        do_action(t, &a);
        return true;
    }
    if (a.next_ns < *wake_ns) *wake_ns = a.next_ns;
    if (t->committing.token != 0 && t->committing.due_ns < *wake_ns)
        *wake_ns = t->committing.due_ns;
    if (t->flushing.epoch != 0 && t->flushing.due_ns < *wake_ns) *wake_ns = t->flushing.due_ns;
    if (!batcher_idle(t) && (sim_chance(w, 500) || !sink_epochs_open(t->epochs))) {
        if (pump(t)) return true;
    }
    return (sink_epochs_open(t->epochs) && take_input(t)) || (!batcher_idle(t) && pump(t));
}
