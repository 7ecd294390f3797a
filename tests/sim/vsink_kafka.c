/*
 * Transactions as a Kafka broker has them: an id has one session (its producer epoch) and in it one
 * transaction at a time; EndTxn names the session. Beginning a session aborts what the one before
 * left open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vsink.h"
#include "weir/sink.h"

#define FENCED_OUT 47
#define INVALID_TXN_STATE 48

typedef struct txn_id {
    uint32_t session; /* producer epoch; 0 = never initialised */
    enum { TXN_EMPTY, TXN_ONGOING, TXN_COMMITTED, TXN_ABORTED } state;
    int64_t began_ns;
} txn_id;

typedef struct log_entry {
    written record;
    uint32_t id; /* as id_of */
    enum { ENTRY_OPEN, ENTRY_COMMITTED, ENTRY_ABORTED } state;
} log_entry;

typedef struct kafka {
    txn_id ids[NODES][PARALLEL_MAX][POOL_MAX];
    log_entry *log;
    uint32_t count, cap;
} kafka;

typedef struct item {
    uint32_t task, slot, session, unused;
} item;

typedef struct slot {
    uint32_t session; /* of this writer; 0 = not yet */
    bool pending;     /* prepared, not decided */
    uint64_t listed;  /* the last epoch whose checkpoint may list it */
    int64_t began_ns;
} slot;

typedef struct kafka_sink {
    vsink base;
    slot slots[POOL_MAX];
    uint32_t pool;
    int active; /* slot, -1 = none */
    uint64_t prepared, durable;
} kafka_sink;

static uint32_t id_of(uint32_t node, uint32_t task, uint32_t s) {
    return (node * PARALLEL_MAX + task) * POOL_MAX + s;
}

struct kafka *kafka_new(void) {
    kafka *k = calloc(1, sizeof *k);
    WEIR_ASSERT(k != NULL);
    return k;
}

void kafka_free(struct kafka *k) {
    free(k->log);
    free(k);
}

/* ---- the broker ---- */

static void end(world *w, uint32_t node, uint32_t task, uint32_t s, bool committed) {
    kafka *k = w->kafka;
    uint32_t id = id_of(node, task, s);
    k->ids[node][task][s].state = committed ? TXN_COMMITTED : TXN_ABORTED;
    for (uint32_t i = 0; i < k->count; i++) {
        if (k->log[i].id != id || k->log[i].state != ENTRY_OPEN) continue;
        k->log[i].state = committed ? ENTRY_COMMITTED : ENTRY_ABORTED;
        if (committed) world_visible(w, &k->log[i].record, 1);
    }
}

void kafka_outside(world *w) {
    int64_t limit = (int64_t)w->config.kafka_timeout * MS;
    if (limit == 0) return;
    for (uint32_t n = NODE_SINK_A; n <= NODE_SINK_B; n++) {
        for (uint32_t t = 0; t < PARALLEL_MAX; t++) {
            for (uint32_t s = 0; s < POOL_MAX; s++) {
                txn_id *x = &w->kafka->ids[n][t][s];
                if (x->state != TXN_ONGOING || w->now - x->began_ns <= limit) continue;
                trace(w, "kafka: %s-%u-%u timed out", node_name(n), t, s);
                end(w, n, t, s, false);
                x->session++;
            }
        }
    }
}

static uint32_t init_producer(world *w, uint32_t node, uint32_t task, uint32_t s) {
    txn_id *x = &w->kafka->ids[node][task][s];
    if (x->state == TXN_ONGOING) end(w, node, task, s, false);
    x->state = TXN_EMPTY;
    return ++x->session;
}

static bool produce(world *w, uint32_t node, uint32_t task, uint32_t s, uint32_t session,
                    const written *r) {
    kafka *k = w->kafka;
    txn_id *x = &k->ids[node][task][s];
    if (x->session != session) return false;
    if (x->state != TXN_ONGOING) {
        x->state = TXN_ONGOING;
        x->began_ns = w->now;
    }
    if (k->count == k->cap) {
        k->cap = k->cap > 0 ? k->cap * 2 : 64;
        k->log = realloc(k->log, k->cap * sizeof *k->log);
        WEIR_ASSERT(k->log != NULL);
    }
    k->log[k->count++] = (log_entry){.record = *r, .id = id_of(node, task, s)};
    return true;
}

static int end_txn(world *w, uint32_t node, const item *it) {
    txn_id *x = &w->kafka->ids[node][it->task][it->slot];
    if (x->session != it->session) return FENCED_OUT;
    if (x->state == TXN_ONGOING) end(w, node, it->task, it->slot, true);
    return x->state == TXN_COMMITTED ? 0 : INVALID_TXN_STATE;
}

/* ---- the writer ---- */

static vsink *open_writer(const vsink_open *open) {
    kafka_sink *s = calloc(1, sizeof *s);
    WEIR_ASSERT(s != NULL);
    s->pool = 2 * open->w->config.tolerable + 3;
    s->active = -1;
    return &s->base;
}

static void free_writer(vsink *v) {
    free(v);
}

/* An id that a checkpoint may list begins nothing new: committing it again would commit that. */
static int free_slot(kafka_sink *s) {
    bool reuse = mutated("transactional_id_reused");
    uint32_t from = reuse ? 0 : sim_below(s->base.w, s->pool);
    for (uint32_t i = 0; i < s->pool; i++) {
        uint32_t at = (from + i) % s->pool;
        const slot *x = &s->slots[at];
        if (!x->pending && (x->listed == 0 || x->listed < s->durable || reuse)) return (int)at;
    }
    return -1;
}

static took take(vsink *v, const written *r) {
    kafka_sink *s = (kafka_sink *)v;
    world *w = v->w;
    kafka_outside(w);
    if (s->active < 0) {
        int at = free_slot(s);
        if (at < 0) return AGAIN;
        slot *x = &s->slots[at];
        if (x->session == 0) {
            if (!world_op(w)) return FAILED;
            x->session = init_producer(w, v->node, v->task, (uint32_t)at);
        }
        s->active = at;
        x->began_ns = w->now;
        x->listed = 0;
    }
    if (!world_op(w)) return FAILED;
    uint32_t at = (uint32_t)s->active;
    return produce(w, v->node, v->task, at, s->slots[at].session, r) ? TOOK : FAILED;
}

static weir_status flush(vsink *v, uint64_t epoch, bool last) {
    (void)epoch;
    (void)last;
    return world_op(v->w) ? WEIR_OK : WEIR_E_FENCED;
}

/* Less than half of the timeout left is less than a restart and its commit may take. */
static bool too_old(const kafka_sink *s, const slot *x) {
    int64_t limit = (int64_t)s->base.w->config.kafka_timeout * MS;
    return limit > 0 && s->base.w->now - x->began_ns > limit / 2;
}

static weir_status prepare(vsink *v, uint64_t epoch, sink_epochs *epochs, state_part *part) {
    kafka_sink *s = (kafka_sink *)v;
    (void)part;
    for (uint32_t i = 0; i < s->pool && !mutated("transaction_budget_ignored"); i++) {
        bool counts = s->slots[i].pending || (int)i == s->active;
        if (counts && too_old(s, &s->slots[i])) {
            trace(v->w, "kafka: transaction too old for this checkpoint");
            return WEIR_E_FENCED;
        }
    }
    s->prepared = epoch;
    if (s->active < 0) return WEIR_OK;
    slot *x = &s->slots[s->active];
    item it = {.task = v->task, .slot = (uint32_t)s->active, .session = x->session};
    x->pending = true;
    s->active = -1;
    return sink_epochs_add_committable(epochs, (weir_str){(const char *)&it, sizeof it});
}

static void durable(vsink *v, uint64_t epoch) {
    ((kafka_sink *)v)->durable = epoch;
}

static void decided(vsink *v, const state_committable *c) {
    kafka_sink *s = (kafka_sink *)v;
    item it;
    memcpy(&it, c->bytes.ptr, sizeof it);
    s->slots[it.slot].pending = false;
    s->slots[it.slot].listed = s->prepared;
}

/* ---- decisions ---- */

static void commit(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                   uint32_t *verdicts) {
    kafka_outside(w);
    for (uint32_t i = 0; i < count; i++) {
        item it;
        memcpy(&it, items[i]->bytes.ptr, sizeof it);
        verdicts[i] = WEIR_VERDICT_RETRY;
        if (!world_op(w)) continue;
        bool fails = sim_fault(w, w->config.commit);
        if (fails && sim_chance(w, 500)) continue;
        int code = end_txn(w, node, &it);
        if (!fails) verdicts[i] = code == 0 ? WEIR_VERDICT_DONE : WEIR_VERDICT_LOST;
    }
}

static void abort_item(world *w, uint32_t node, const state_committable *c) {
    item it;
    memcpy(&it, c->bytes.ptr, sizeof it);
    if (world_op(w)) (void)init_producer(w, node, it.task, it.slot);
}

static weir_status recover(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                           const state_blob *const *kept, uint32_t count) {
    (void)instance_id;
    (void)kept;
    (void)count;
    for (uint32_t t = 0; t < parallelism && t < PARALLEL_MAX; t++) {
        for (uint32_t s = 0; s < POOL_MAX; s++) {
            if (w->kafka->ids[node][t][s].state != TXN_ONGOING) continue;
            if (!world_op(w)) return WEIR_E_CANCELLED;
            trace(w, "kafka: %s-%u-%u is an orphan", node_name(node), t, s);
            (void)init_producer(w, node, t, s);
        }
    }
    return WEIR_OK;
}

void kafka_open_committer(world *w, uint32_t node, uint32_t parallelism) {
    for (uint32_t t = 0; t < parallelism && t < PARALLEL_MAX; t++)
        for (uint32_t s = 0; s < POOL_MAX; s++)
            if (w->kafka->ids[node][t][s].session > 0 && world_op(w))
                (void)init_producer(w, node, t, s);
}

/* ---- outside ---- */

static void visible(world *w, uint32_t node, vsink_each each, void *opaque) {
    const kafka *k = w->kafka;
    for (uint32_t i = 0; i < k->count; i++) {
        if (k->log[i].state != ENTRY_COMMITTED) continue;
        uint32_t lane = k->log[i].id / POOL_MAX; /* one partition a task */
        if (lane / PARALLEL_MAX == node) each(opaque, node, &k->log[i].record, lane);
    }
}

uint32_t kafka_orphans(world *w, char *first, size_t size) {
    uint32_t n = 0;
    for (uint32_t node = NODE_SINK_A; node <= NODE_SINK_B; node++) {
        for (uint32_t t = 0; t < PARALLEL_MAX; t++) {
            for (uint32_t s = 0; s < POOL_MAX; s++) {
                if (w->kafka->ids[node][t][s].state != TXN_ONGOING) continue;
                if (n++ == 0 && first[0] == '\0')
                    (void)snprintf(first, size, "transaction %s-%u-%u", node_name(node), t, s);
            }
        }
    }
    return n;
}

const vsink_ops vsink_kafka = {.open = open_writer,
                               .free = free_writer,
                               .write = take,
                               .flush = flush,
                               .prepare = prepare,
                               .durable = durable,
                               .decided = decided,
                               .commit = commit,
                               .abort = abort_item,
                               .recover = recover,
                               .visible = visible};
