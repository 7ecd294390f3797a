/*
 * How a process starts: the lock, the checkpoint, checkpoint/restore with the sinks' committers,
 * then the tasks and what connects them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pipeline.h"

#define STATE_FOLDER "/state"
#define FLUSH_TIMEOUT_NS (40 * MS)
#define RETRY_BASE_NS (10 * MS)
#define RETRY_MAX_NS (80 * MS)

/* ---- restore ---- */

static uint32_t node_at(const process *p, uint32_t index) {
    for (uint32_t n = 0; n < NODES; n++)
        if (p->index[n] == index) return n;
    WEIR_ASSERT(index == UINT32_MAX && "no such node");
    return 0;
}

static weir_status died(const world *w, weir_error *err) {
    if (!w->crashed) return WEIR_OK;
    return error_set(err, WEIR_E_CANCELLED, WEIR_ERR_FATAL, "the process died");
}

static weir_status open_committer(void *self, uint32_t n, const state_node *saved,
                                  weir_error *err) {
    process *p = self;
    uint32_t node = node_at(p, n);
    (void)world_op(p->w);
    p->saved_parallelism[node] = saved != NULL ? saved->parallelism : p->parallelism[node];
    vsink_open_committer(p->w, node, saved);
    return died(p->w, err);
}

static weir_status commit_again(void *self, uint32_t n, const state_committable *const *items,
                                uint32_t count, uint32_t *verdicts, weir_error *err) {
    process *p = self;
    vsink_commit(p->w, node_at(p, n), items, count, verdicts);
    trace(p->w, "restore: %s commits %u again", node_name(node_at(p, n)), count);
    return died(p->w, err);
}

static weir_status recover(void *self, uint32_t n, const state_blob *const *kept, uint32_t count,
                           weir_error *err) {
    process *p = self;
    uint32_t node = node_at(p, n);
    uint32_t parallelism = p->saved_parallelism[node];
    if (mutated("recovers_own_parallelism")) parallelism = p->parallelism[node];
    weir_status status = vsink_recover(p->w, node, parallelism, p->instance_id, kept, count);
    if (died(p->w, err) != WEIR_OK) return WEIR_E_CANCELLED;
    return status == WEIR_OK ? WEIR_OK
                             : error_set(err, status, WEIR_ERR_RETRYABLE, "recover failed");
}

static void close_committer(void *self, uint32_t n) {
    (void)self;
    (void)n;
}

static weir_status wait_between(void *self, int64_t ns, weir_error *err) {
    process *p = self;
    p->w->now += ns / 10;
    (void)world_op(p->w);
    return died(p->w, err);
}

static void lost(void *self, uint32_t n, const state_committable *piece) {
    process *p = self;
    vsink_lost(p->w, node_at(p, n), piece);
}

static const restore_ops ops_table = {.open = open_committer,
                                      .commit = commit_again,
                                      .recover = recover,
                                      .close = close_committer,
                                      .wait = wait_between,
                                      .lost = lost};

/* The nodes of the manifest and of every checkpoint, in one order. */
static void describe(process *p, restore_node nodes[NODES], uint32_t *count) {
    world *w = p->w;
    *count = 0;
    for (uint32_t n = 0; n < NODES; n++) {
        p->index[n] = UINT32_MAX;
        p->parallelism[n] = 1 + sim_below(w, w->config.parallel);
        bool there = sink_kind_of(w, n) != SINK_NONE;
        if (n <= NODE_SOURCE_1) {
            there = n < w->config.sources;
            p->parallelism[n] = 1 + sim_below(w, w->config.source_tasks);
        }
        if (n == NODE_STATELESS) there = w->config.stateless > 0;
        if (n == NODE_KEYED) there = w->config.keyed > 0;
        if (n == NODE_SINK_B && w->left) there = false;
        if (n == NODE_DEAD) p->parallelism[n] = 1;
        if (!there) continue;
        bool sink = n >= NODE_SINK_A, two_phase = sink && sink_kind_of(w, n) != SINK_PLAIN;
        bool old_plugin = w->config.newer_state > 0 && n == NODE_KEYED;
        p->index[n] = *count;
        nodes[(*count)++] = (restore_node){
            .name = str_of(node_name(n)),
            .type = str_of(node_name(n)),
            .plugin_id = STR("sim"),
            .plugin_version = STR("1.0.0"),
            .kind = n <= NODE_SOURCE_1 ? WEIR_KIND_SOURCE
                    : sink             ? WEIR_KIND_SINK
                                       : WEIR_KIND_TRANSFORM,
            .parallelism = p->parallelism[n],
            .two_phase = two_phase,
            .recovers = two_phase,
            .state_min = 0,
            .state_max = old_plugin ? 0 : 1,
            .committable_max = 1,
            .split_max = 1,
        };
    }
}

/* What a checkpoint that somebody restores from covers. A restore checkpoint covers what the one
 * covered that it was made from. */
static line line_of(world *w, const checkpoint *c) {
    if (c == NULL) return (line){.set = true, .run = -1};
    WEIR_ASSERT(c->epoch < EPOCHS_MAX && c->parent < EPOCHS_MAX);
    if (c->kind == CHECKPOINT_RESTORE) {
        w->lines[c->epoch] = c->parent == 0 ? (line){.set = true, .run = -1} : w->lines[c->parent];
    }
    return w->lines[c->epoch];
}

static weir_status load(process *p, checkpoint **from) {
    world *w = p->w;
    if (w->from[0] != '\0') return store_load(p->store, str_of(w->from), from, p->err);
    return store_newest(p->store, true, from, p->err);
}

static weir_status restore(process *p, bool *refused) {
    world *w = p->w;
    checkpoint *from = NULL;
    restore_node nodes[NODES];
    uint32_t count;
    describe(p, nodes, &count);
    weir_status status = load(p, &from);
    if (status != WEIR_OK) return status;
    if (from != NULL) {
        (void)snprintf(p->instance_id, sizeof p->instance_id, "%.*s", STR_FMT(from->instance_id));
    } else {
        (void)snprintf(p->instance_id, sizeof p->instance_id, "%016llx",
                       (unsigned long long)sim_random(w));
    }
    line began = line_of(w, from);
    w->parents[p->run] = w->live = began;
    trace(w, "run %u restores epoch %llu%s%s", p->run,
          (unsigned long long)(from != NULL ? from->epoch : 0), w->from[0] != '\0' ? " of " : "",
          w->from);
    restore_ops ops = ops_table;
    ops.self = p;
    const restore_config config = {.store = p->store,
                                   .from = from,
                                   .nodes = nodes,
                                   .node_count = count,
                                   .pipeline = STR("sim"),
                                   .instance_id = str_of(p->instance_id),
                                   .weir_version = STR("0"),
                                   .max_parallelism = 8,
                                   .allow_non_restored = w->left,
                                   .now_us = clock_wall_us(&w->clock),
                                   .ops = &ops};
    checkpoint *out = NULL;
    status = restore_run(&config, &out, p->err);
    *refused = status == WEIR_E_INCOMPATIBLE;
    if (status == WEIR_OK && w->left) check_left(w, from);
    if (status == WEIR_OK && w->config.newer_state > 0 && from != NULL) {
        const state_node *keyed = checkpoint_node(from, STR("keyed"));
        if (keyed != NULL && keyed->blob_count > 0)
            violate(w, "version: a plugin was given state that it does not know");
    }
    checkpoint_free(from);
    p->restored = out;
    return status;
}

/* ---- tasks ---- */

static task *add_task(process *p, uint32_t node, uint32_t index) {
    WEIR_ASSERT(p->task_count < TASKS_MAX);
    task *t = &p->tasks[p->task_count];
    t->p = p;
    t->node = node;
    t->index = index;
    t->number = p->task_count++;
    t->passed = p->restored->epoch;
    return t;
}

/* From every task of one node to every task of another. */
static void connect(process *p, uint32_t from, uint32_t to, bool dead_letters) {
    for (uint32_t a = 0; a < p->task_count; a++) {
        task *up = &p->tasks[a];
        if (up->node != from) continue;
        WEIR_ASSERT(up->outlet_count < GROUPS_MAX);
        outlet *o = &up->outlets[up->outlet_count++];
        o->dead_letters = dead_letters;
        for (uint32_t b = 0; b < p->task_count; b++) {
            task *down = &p->tasks[b];
            if (down->node != to) continue;
            WEIR_ASSERT(p->channel_count < CHANNELS_MAX && down->input_count < INPUTS_MAX);
            channel *c = &p->channels[p->channel_count++];
            o->to[o->count++] = c;
            down->inputs[down->input_count++] = c;
        }
    }
}

static void connect_all(process *p) {
    uint32_t ups[2] = {NODE_SOURCE_0, NODE_SOURCE_1}, up_count = p->w->config.sources;
    for (uint32_t stage = NODE_STATELESS; stage <= NODE_KEYED; stage++) {
        if (p->index[stage] == UINT32_MAX) continue;
        for (uint32_t i = 0; i < up_count; i++) connect(p, ups[i], stage, false);
        ups[0] = stage;
        up_count = 1;
    }
    for (uint32_t sink = NODE_SINK_A; sink <= NODE_SINK_B; sink++) {
        if (p->index[sink] == UINT32_MAX) continue;
        for (uint32_t i = 0; i < up_count; i++) connect(p, ups[i], sink, false);
        if (sink_kind_of(p->w, sink) == SINK_PLAIN) connect(p, sink, NODE_DEAD, true);
    }
}

static void restore_keyed(task *t, const state_node *saved) {
    for (uint32_t i = 0; saved != NULL && i < saved->blob_count; i++) {
        uint32_t entry[2];
        memcpy(entry, saved->blobs[i].bytes.ptr, sizeof entry);
        if (entry[0] % t->p->parallelism[t->node] == t->index) t->next[entry[0]] = entry[1];
    }
}

static void open_sink(task *t, const state_node *saved) {
    process *p = t->p;
    world *w = p->w;
    const state_blob *mine[RECORDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; saved != NULL && i < saved->blob_count && count < RECORDS_MAX; i++)
        if (i % p->parallelism[t->node] == t->index) mine[count++] = &saved->blobs[i];
    const vsink_open open = {.w = w,
                             .node = t->node,
                             .task = t->index,
                             .parallelism = p->parallelism[t->node],
                             .epoch = p->restored->epoch,
                             .instance_id = p->instance_id,
                             .blobs = mine,
                             .blob_count = count};
    t->sink = vsink_open_writer(&open);
    const sink_epochs_config config = {.node = p->index[t->node],
                                       .instance = t->index,
                                       .two_phase = t->sink != NULL,
                                       .committable_version = 1,
                                       .flush_timeout_ns = FLUSH_TIMEOUT_NS,
                                       .retry_base_ns = RETRY_BASE_NS,
                                       .retry_max_ns = RETRY_MAX_NS};
    t->epochs = sink_epochs_new(&config);
    WEIR_ASSERT(t->epochs != NULL);
}

static uint64_t next_epoch(void *self) {
    return store_next_epoch(self);
}

/* The header and nodes of this run's checkpoints: those of the restore's, with today's numbers of
 * tasks. */
static checkpoint *describe_checkpoints(const process *p) {
    checkpoint *like = checkpoint_like(p->restored, CHECKPOINT_PERIODIC, 0);
    WEIR_ASSERT(like != NULL);
    like->parent = p->restored->epoch;
    for (uint32_t n = 0; n < NODES; n++)
        if (p->index[n] != UINT32_MAX) like->nodes[p->index[n]].parallelism = p->parallelism[n];
    return like;
}

static void build(process *p) {
    world *w = p->w;
    for (uint32_t s = 0; s < w->config.sources; s++) {
        uint32_t tasks = p->parallelism[NODE_SOURCE_0 + s];
        p->tables[s] = splits_new(tasks);
        WEIR_ASSERT(p->tables[s] != NULL);
        const state_node *saved =
            checkpoint_node(p->restored, str_of(node_name(NODE_SOURCE_0 + s)));
        if (saved != NULL) {
            weir_status status = splits_restore(p->tables[s], saved, p->err);
            WEIR_ASSERT(status == WEIR_OK);
        }
        for (uint32_t i = 0; i < tasks; i++)
            add_task(p, NODE_SOURCE_0 + s, i)->table = p->tables[s];
    }
    p->source_tasks = p->task_count;
    for (uint32_t n = NODE_STATELESS; n < NODES; n++) {
        if (p->index[n] == UINT32_MAX) continue;
        const state_node *saved = checkpoint_node(p->restored, str_of(node_name(n)));
        for (uint32_t i = 0; i < p->parallelism[n]; i++) {
            task *t = add_task(p, n, i);
            if (n == NODE_KEYED) restore_keyed(t, saved);
            if (n >= NODE_SINK_A) open_sink(t, saved);
        }
    }
    connect_all(p);
    for (uint32_t i = p->source_tasks; i < p->task_count; i++) {
        bool ok = aligner_init(&p->tasks[i].aligner, p->tasks[i].input_count);
        WEIR_ASSERT(ok);
    }
    checkpoint *like = describe_checkpoints(p);
    const coordinator_settings settings = {.interval_ns = (int64_t)w->config.interval * MS,
                                           .min_pause_ns = MS,
                                           .timeout_ns = (int64_t)w->config.timeout * MS,
                                           .tolerable_failures = w->config.tolerable,
                                           .tasks = p->task_count,
                                           .source_tasks = p->source_tasks};
    p->machine = coordinator_new(&settings, like, next_epoch, p->store, w->now);
    WEIR_ASSERT(p->machine != NULL);
    checkpoint_free(like);
}

process *process_start(world *w, weir_status *status, char *why, size_t why_size) {
    process *p = calloc(1, sizeof *p);
    WEIR_ASSERT(p != NULL && w->runs < RUNS_MAX);
    p->w = w;
    p->run = w->runs++;
    p->timeout_ms = w->config.timeout;
    p->err = error_new();
    w->current = p;
    const store_config config = {.disk = vdisk_store(w->disk),
                                 .clock = &w->clock,
                                 .folder = STATE_FOLDER,
                                 .pipeline = STR("sim"),
                                 .retain = w->config.retain};
    bool refused = false;
    p->store = store_open(&config, false, p->err);
    *status = p->store != NULL ? restore(p, &refused) : error_status(p->err);
    if (*status == WEIR_OK && !w->crashed) {
        build(p);
        if (sim_chance(w, 300)) p->discover_ns = w->now + sim_below(w, 80) * MS;
        return p;
    }
    (void)snprintf(why, why_size, "%s", error_text(p->err));
    trace(w, "run %u did not start: %s", p->run, w->crashed ? "it died" : why);
    process_end(p);
    return NULL;
}
