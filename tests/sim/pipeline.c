#include "pipeline.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

static bool coordinator_turn(process *p, int64_t *wake_ns);
static bool discover(process *p, int64_t *wake_ns);
static bool stage_step(task *t);

/* ---- exchanges ---- */

void channel_put(channel *c, item it) {
    if (c->count == c->cap) {
        uint32_t cap = c->cap > 0 ? c->cap * 2 : 8;
        item *items = calloc(cap, sizeof *items);
        WEIR_ASSERT(items != NULL);
        for (uint32_t i = 0; i < c->count; i++) items[i] = c->items[(c->head + i) % c->cap];
        free(c->items);
        c->items = items;
        c->head = 0;
        c->cap = cap;
    }
    c->items[(c->head + c->count++) % c->cap] = it;
    if (!it.barrier) c->records++;
}

item channel_take(channel *c) {
    item it = c->items[c->head];
    c->head = (c->head + 1) % c->cap;
    c->count--;
    if (!it.barrier) c->records--;
    return it;
}

static channel *lane_of(const task *t, const outlet *o, uint32_t record) {
    return o->to[t->p->w->records[record].lane % o->count];
}

bool has_room(const task *t, uint32_t record, bool dead_letters) {
    for (uint32_t i = 0; i < t->outlet_count; i++) {
        const outlet *o = &t->outlets[i];
        if (o->dead_letters != dead_letters) continue;
        if (lane_of(t, o, record)->records >= t->p->w->config.channel) return false;
    }
    return true;
}

void push(task *t, uint32_t record, uint32_t feeder, bool dead_letters) {
    for (uint32_t i = 0; i < t->outlet_count; i++) {
        const outlet *o = &t->outlets[i];
        if (o->dead_letters == dead_letters)
            channel_put(lane_of(t, o, record), (item){.record = record, .feeder = feeder});
    }
}

void push_barrier(task *t, uint64_t epoch, bool last, bool dead_letters) {
    for (uint32_t i = 0; i < t->outlet_count; i++) {
        const outlet *o = &t->outlets[i];
        for (uint32_t k = 0; k < o->count && o->dead_letters == dead_letters; k++)
            channel_put(o->to[k], (item){.barrier = true, .last = last, .epoch = epoch});
    }
}

channel *choose_input(task *t, uint32_t *input) {
    uint32_t from = sim_below(t->p->w, t->input_count);
    for (uint32_t i = 0; i < t->input_count; i++) {
        uint32_t at = (from + i) % t->input_count;
        if (t->inputs[at]->count == 0 || aligner_blocked(&t->aligner, at)) continue;
        *input = at;
        return t->inputs[at];
    }
    return NULL;
}

/* ---- the process ---- */

void process_fail(process *p, const char *format, ...) {
    if (p->failed) return;
    p->failed = true;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->why, sizeof p->why, format, args);
    va_end(args);
}

void process_end(process *p) {
    if (p == NULL) return;
    for (uint32_t i = 0; i < p->task_count; i++) {
        task *t = &p->tasks[i];
        aligner_destroy(&t->aligner);
        sink_epochs_free(t->epochs);
        vsink_free(t->sink);
    }
    for (uint32_t i = 0; i < p->channel_count; i++) free(p->channels[i].items);
    splits_free(p->tables[0]);
    splits_free(p->tables[1]);
    coordinator_free(p->machine);
    checkpoint_free(p->restored);
    store_close(p->store);
    vdisk_process_died(p->w->disk, p);
    error_free(p->err);
    free(p);
}

bool process_step(process *p, int64_t *wake_ns) {
    world *w = p->w;
    w->current = p;
    uint32_t actors = p->task_count + 2, from = sim_below(w, actors);
    for (uint32_t i = 0; i < actors; i++) {
        uint32_t at = (from + i) % actors;
        bool moved;
        if (at == p->task_count) {
            moved = coordinator_turn(p, wake_ns);
        } else if (at == p->task_count + 1) {
            moved = discover(p, wake_ns);
        } else {
            task *t = &p->tasks[at];
            if (w->now < t->stalled_until && !w->calm) {
                if (t->stalled_until < *wake_ns) *wake_ns = t->stalled_until;
                continue;
            }
            if (sim_fault(w, w->config.stall))
                t->stalled_until = w->now + (int64_t)(w->config.timeout * 3 / 2) * MS;
            moved = t->node <= NODE_SOURCE_1 ? source_step(t, wake_ns)
                    : t->epochs != NULL      ? sink_step(t, wake_ns)
                                             : stage_step(t);
        }
        if (moved || w->crashed || p->failed || p->exited) return true;
    }
    return false;
}

/* ---- the checkpoint thread ---- */

state_part *without_finished(state_part *part) {
    if (!mutated("finished_splits_dropped")) return part;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < part->split_count; i++)
        if (part->splits[i].state != STATE_FINISHED) part->splits[kept++] = part->splits[i];
    part->split_count = kept;
    return part;
}

static void capture(process *p, uint64_t epoch) {
    state_part *parts[2];
    uint32_t count = 0;
    for (uint32_t s = 0; s < p->w->config.sources; s++) {
        parts[count] = part_new(p->index[NODE_SOURCE_0 + s]);
        WEIR_ASSERT(parts[count] != NULL);
        parts[count]->captured = true;
        weir_status status = splits_capture(p->tables[s], epoch, parts[count]);
        WEIR_ASSERT(status == WEIR_OK);
        (void)without_finished(parts[count]);
        if (mutated("enumerator_not_captured")) parts[count]->split_count = 0;
        count++;
    }
    coordinator_begun(p->machine, parts, count, WEIR_OK, NULL);
}

static void begin(process *p, const coordinator_action *a) {
    if (a->epoch + 8 >= EPOCHS_MAX) violate(p->w, "stuck: one epoch after another fails");
    epoch_record past[COORDINATOR_HISTORY];
    if (coordinator_history(p->machine, past) > 1 && past[1].outcome == EPOCH_FAILED)
        trace(p->w, "epoch %llu failed: %s", (unsigned long long)past[1].epoch, past[1].why);
    trace(p->w, "epoch %llu begins (%s)", (unsigned long long)a->epoch,
          a->order == ORDER_CHECKPOINT  ? "checkpoint"
          : a->order == ORDER_SAVEPOINT ? "savepoint"
                                        : "final");
    if (mutated("capture_late")) {
        p->begin_epoch = a->epoch;
        p->shares = 0;
    } else {
        capture(p, a->epoch);
    }
    p->order = a->order;
    p->barrier_epoch = a->epoch;
}

/* Which part of history the coordinator's checkpoint covers. A sealed one is the epoch's before. */
static void remember(process *p, const coordinator_action *a) {
    world *w = p->w;
    WEIR_ASSERT(a->epoch < EPOCHS_MAX);
    w->lines[a->epoch] = (line){.set = true, .run = (int32_t)p->run, .barrier = p->barrier_epoch};
}

static const state_split *state_of(const checkpoint *c, uint32_t source, const char *id) {
    const state_node *n = checkpoint_node(c, str_of(node_name(NODE_SOURCE_0 + source)));
    for (uint32_t i = 0; n != NULL && i < n->split_count; i++)
        if (str_eq(n->splits[i].id, str_of(id))) return &n->splits[i];
    return NULL;
}

static bool stored_end(const world *w, const checkpoint *c, uint32_t split) {
    const truth_split *s = &w->splits[split];
    const state_split *self = state_of(c, s->source, s->id);
    return self != NULL && self->state == STATE_FINISHED;
}

/* The end of the last parent is stored together with the child, and nothing of the child before
 * that. */
static void check_family(world *w, const checkpoint *c) {
    for (uint32_t i = 0; i < w->split_count; i++) {
        const truth_split *s = &w->splits[i];
        const state_split *self = state_of(c, s->source, s->id);
        bool begun = self != NULL && (self->state == STATE_FINISHED || self->position.len > 0);
        uint32_t ended = 0;
        for (uint32_t k = 0; k < s->parent_count; k++) ended += stored_end(w, c, s->parents[k]);
        if (begun && ended < s->parent_count)
            violate(w, "family: checkpoint %llu is inside %s and not behind the end of its parents",
                    (unsigned long long)c->epoch, s->id);
        if (self == NULL && s->parent_count > 0 && ended == s->parent_count)
            violate(w, "family: checkpoint %llu has the end of the parents of %s, and not %s",
                    (unsigned long long)c->epoch, s->id, s->id);
    }
}

static void persist(process *p, const coordinator_action *a) {
    world *w = p->w;
    const checkpoint *c = a->checkpoint;
    store_written written_out = {0};
    weir_status status = WEIR_OK;
    remember(p, a);
    check_family(w, c);
    error_clear(p->err);
    if (a->act == ACT_PERSIST || c->kind == CHECKPOINT_FINAL)
        status = store_write(p->store, c, &written_out, p->err);
    if (a->act == ACT_SEAL && c->name.len > 0 && status == WEIR_OK)
        status = store_write_savepoint(p->store, c, &written_out, p->err);
    if (w->crashed) return;
    trace(w, "epoch %llu %s: %s", (unsigned long long)a->epoch,
          a->act == ACT_PERSIST ? "written" : "sealed",
          status == WEIR_OK ? "durable" : error_text(p->err));
    /* Where the rules are followed only what is durable may become visible. */
    if (status == WEIR_OK) w->live = w->lines[a->epoch];
    coordinator_persisted(p->machine, status, written_out.bytes, 0, p->err, w->now);
}

static void answer(process *p, const coordinator_action *a) {
    world *w = p->w;
    trace(w, "savepoint sp%llu: %s", (unsigned long long)a->ticket,
          a->error == NULL ? "there" : error_text(a->error));
    if (a->error != NULL || w->savepoint_count == SAVEPOINTS_MAX) return;
    uint32_t at = w->savepoint_count++;
    (void)snprintf(w->savepoints[at].name, sizeof w->savepoints[at].name, "sp%u",
                   (uint32_t)a->ticket);
    w->savepoints[at].epoch = a->epoch;
    if (strcmp(w->savepoints[at].name, w->stop_name) == 0) w->stop_named = true;
}

/* Given time, an epoch that begins when nothing goes wrong any more succeeds. */
static void check_stuck(process *p) {
    world *w = p->w;
    epoch_record past[COORDINATOR_HISTORY];
    bool late = w->calm && p->timeout_ms >= 1000 && coordinator_history(p->machine, past) > 0 &&
                past[0].started_ns > w->calm_ns;
    if (late)
        violate(w, "stuck: epoch %llu fails with nothing in its way: %s",
                (unsigned long long)past[0].epoch, past[0].why);
}

static bool coordinator_turn(process *p, int64_t *wake_ns) {
    world *w = p->w;
    coordinator_action a = coordinator_step(p->machine, w->now, w->now / 1000);
    switch (a.act) {
    case ACT_NOTHING:
        if (a.next_ns < *wake_ns) *wake_ns = a.next_ns;
        return false;
    case ACT_BEGIN:
        begin(p, &a);
        break;
    case ACT_PERSIST:
    case ACT_SEAL:
        persist(p, &a);
        break;
    case ACT_COMMIT:
        p->commit_epoch = a.epoch;
        break;
    case ACT_DONE:
        p->done_epoch = a.epoch;
        break;
    case ACT_ANSWER:
        answer(p, &a);
        break;
    case ACT_FINISH:
        w->final_epoch = a.epoch;
        p->exited = true;
        break;
    case ACT_FAIL:
        check_stuck(p);
        process_fail(p, "%s", error_text(a.error));
        break;
    }
    w->now += MS / 4;
    return true;
}

void ack(task *t, uint64_t epoch, state_part *part, weir_status status, const weir_error *err) {
    process *p = t->p;
    if (status != WEIR_OK)
        trace(p->w, "%s[%u]: epoch %llu failed", node_name(t->node), t->index,
              (unsigned long long)epoch);
    coordinator_ack(p->machine, t->number, epoch, part, status, err);
    if (p->begin_epoch == epoch && t->node <= NODE_SOURCE_1 && ++p->shares == p->source_tasks) {
        p->begin_epoch = 0;
        capture(p, epoch);
    }
}

/* ---- the control instance of each source ---- */

static void add_to(weir_split_list *list, const world *w, const truth_split *s) {
    const char *ptrs[2] = {NULL, NULL};
    uint32_t lens[2] = {0, 0};
    for (uint32_t i = 0; i < s->parent_count; i++) {
        ptrs[i] = w->splits[s->parents[i]].id;
        lens[i] = (uint32_t)strlen(ptrs[i]);
    }
    weir_split split = {.struct_size = sizeof split,
                        .id = str_of(s->id),
                        .private_bytes = STR("x"),
                        .parent_count = s->parent_count,
                        .parent_ptr = ptrs,
                        .parent_len = lens};
    weir_status status = split_list_add(list, &split);
    WEIR_ASSERT(status == WEIR_OK);
}

/* Everything that exists by now; false in `complete` if something is still to come. */
static weir_split_list *list_splits(const world *w, uint32_t source, bool *complete) {
    weir_split_list *list = split_list_new();
    WEIR_ASSERT(list != NULL);
    bool listed[SPLITS_MAX] = {false};
    *complete = true;
    for (uint32_t i = 0; i < w->split_count; i++) {
        const truth_split *s = &w->splits[i];
        if (s->source != source) continue;
        listed[i] = true;
        if (w->now < s->visible_ns) {
            listed[i] = false;
            *complete = false;
        }
        /* Children exist as soon as one parent is known to have ended. */
        bool split_up = s->parent_count == 0 || w->config.list_children;
        for (uint32_t k = 0; k < s->parent_count; k++) {
            listed[i] &= listed[s->parents[k]];
            split_up |= w->splits[s->parents[k]].ended;
        }
        listed[i] &= split_up;
        if (listed[i]) add_to(list, w, s);
    }
    return list;
}

static bool discover(process *p, int64_t *wake_ns) {
    world *w = p->w;
    if (p->discover_ns == INT64_MAX) return false;
    if (w->now < p->discover_ns || p->draining) {
        if (!p->draining && p->discover_ns < *wake_ns) *wake_ns = p->discover_ns;
        return false;
    }
    bool all = true;
    for (uint32_t s = 0; s < w->config.sources; s++) {
        bool complete;
        uint32_t added;
        weir_split_list *list = list_splits(w, s, &complete);
        weir_str id, position;
        if (!p->enumerated[s] && splits_missing(p->tables[s], list, false, &id, &position))
            violate(w, "missing: split %.*s was restored and is not listed", STR_FMT(id));
        p->enumerated[s] = true;
        weir_status status = splits_update(p->tables[s], list, complete, &added, p->err);
        WEIR_ASSERT(status == WEIR_OK);
        split_list_free(list);
        all &= complete;
    }
    p->discover_ns = all ? INT64_MAX : w->now + (5 + sim_below(w, 20)) * MS;
    w->now += MS;
    return true;
}

/* ---- stages ---- */

static void pass_barrier(task *t) {
    process *p = t->p;
    uint64_t epoch = t->aligner.aligned;
    state_part *part = NULL;
    if (t->node == NODE_KEYED) {
        part = part_new(p->index[NODE_KEYED]);
        WEIR_ASSERT(part != NULL);
        for (uint32_t lane = 0; lane < LANES_MAX; lane++) {
            if (t->next[lane] == 0) continue;
            uint32_t entry[2] = {lane, t->next[lane]};
            weir_status status =
                part_add_blob(part, &(state_blob){.scope = WEIR_SCOPE_BROADCAST,
                                                  .version = 1,
                                                  .instance = t->index,
                                                  .bytes = {(const char *)entry, sizeof entry}});
            WEIR_ASSERT(status == WEIR_OK);
        }
    }
    push_barrier(t, epoch, t->aligner.last, false);
    ack(t, epoch, part, WEIR_OK, NULL);
}

static bool stage_step(task *t) {
    world *w = t->p->w;
    uint32_t input;
    channel *c = choose_input(t, &input);
    if (c == NULL) return false;
    const item *first = &c->items[c->head];
    if (!first->barrier && !has_room(t, first->record, false)) return false;
    item it = channel_take(c);
    w->now += MS / 4;
    if (it.barrier) {
        if (aligner_barrier(&t->aligner, input, it.epoch, it.last)) pass_barrier(t);
        return true;
    }
    const truth_record *r = &w->records[it.record];
    if (t->node == NODE_KEYED && t->next[r->lane]++ != r->order) {
        violate(w, "state: lane %u counts %u records, and number %u comes", r->lane,
                t->next[r->lane] - 1, r->order);
    }
    push(t, it.record, it.feeder, false);
    return true;
}
