#include "checkpoint/coordinator.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/mutation.h"

/* Savepoints that wait: each holds the pipeline up for an epoch, so a queue is a mistake soon. */
#define ASKS_MAX 16u
/* Each ask is answered once; refusals come on top until the caller steps. */
#define ANSWERS_MAX 64u
#define WHY_BYTES 512u
/* Between tries of a final epoch. */
#define FINAL_PAUSE_BASE_NS INT64_C(100000000)
#define FINAL_PAUSE_MAX_NS INT64_C(5000000000)

typedef enum {
    PHASE_IDLE,
    PHASE_BEGINNING,  /* BEGIN is out, its answer is not in; acknowledgements may be */
    PHASE_ACKING,     /* tasks answer */
    PHASE_PERSIST,    /* PERSIST is to be asked for */
    PHASE_PERSISTING, /* and is being carried out */
    PHASE_COMMIT,
    PHASE_COMMITTING,
    PHASE_TELL, /* durable and committed: DONE */
    PHASE_SEAL,
    PHASE_SEALING,
    PHASE_FINISH,
    PHASE_OVER /* finished or failed: nothing more is asked for */
} phase;

typedef struct ask {
    uint64_t ticket;
    char name[LIMIT_NAME_BYTES + 1];
} ask;

typedef struct answer {
    uint64_t ticket, epoch;
    weir_status status;
    char why[WHY_BYTES];
} answer;

typedef struct task_share {
    bool acked;
    bool ended; /* sources */
    bool lists; /* its committables are in the checkpoint and not committed yet */
} task_share;

struct coordinator {
    coordinator_settings settings;
    checkpoint *like;
    uint64_t (*next_epoch)(void *self);
    void *self;

    phase phase;
    uint64_t epoch;
    order_kind order;
    int64_t started_ns; /* trigger of the epoch under way, or of the last one */
    int64_t ended_ns;   /* of the last one; INT64_MIN = there was none */
    int64_t retry_ns;   /* the final epoch not before */
    bool durable;       /* the epoch under way is */
    bool broken;        /* and must fail, because of `why` */
    weir_error *why;
    task_share *tasks;
    state_part **parts;
    uint32_t part_count, part_cap;
    checkpoint *built;  /* what PERSIST makes durable */
    checkpoint *sealed; /* what SEAL does */
    ask current;        /* ORDER_SAVEPOINT: who asked */

    uint32_t failures;    /* in a row, those that count */
    uint32_t final_tries; /* that failed */
    uint32_t sources_ended;
    bool stopping;    /* somebody ended the run */
    bool final_named; /* the end is a savepoint */
    ask final;
    ask asks[ASKS_MAX]; /* savepoints that wait, first come first */
    uint32_t ask_count;
    answer answers[ANSWERS_MAX];
    uint32_t answer_count;
    weir_error *answered; /* of the ANSWER given last */
    bool fail;            /* FAIL is to be asked for */
    weir_error *failure;

    epoch_record history[COORDINATOR_HISTORY]; /* a ring, by number */
    uint64_t history_count;
    uint64_t completed;
};

static coordinator_action begin(coordinator *c, order_kind order, int64_t now_ns, int64_t wall_us);
static coordinator_action idle(coordinator *c, int64_t now_ns, int64_t wall_us);
static void collect(coordinator *c, int64_t now_ns, int64_t wall_us);
static bool build(coordinator *c, int64_t wall_us);
static bool seal(coordinator *c, int64_t wall_us);
static void give_up(coordinator *c, int64_t now_ns);
static void complete(coordinator *c, int64_t now_ns);
static void clear_epoch(coordinator *c);
static void take_parts(coordinator *c, state_part *part);
static void break_epoch(coordinator *c, weir_status status, const weir_error *err);
static bool any_lists(const coordinator *c);
static uint32_t unacked(const coordinator *c, uint32_t *first);
static bool ending(const coordinator *c);
static void put_answer(coordinator *c, uint64_t ticket, uint64_t epoch, weir_status status,
                       const char *why);
static bool name_ask(coordinator *c, ask *a, weir_str name, uint64_t ticket);
static epoch_record *record(coordinator *c);
static int64_t add_ns(int64_t a, int64_t b);

/* ---- life ---- */

coordinator *coordinator_new(const coordinator_settings *settings, const checkpoint *like,
                             uint64_t (*next_epoch)(void *self), void *self, int64_t now_ns) {
    coordinator *c = mem_zalloc(sizeof *c);
    if (c == NULL) return NULL;
    c->settings = *settings;
    c->next_epoch = next_epoch;
    c->self = self;
    c->started_ns = now_ns;
    c->ended_ns = INT64_MIN;
    c->retry_ns = INT64_MIN;
    c->like = checkpoint_like(like, CHECKPOINT_PERIODIC, 0);
    c->tasks = mem_array(settings->tasks, sizeof *c->tasks);
    c->why = error_new();
    c->answered = error_new();
    c->failure = error_new();
    if (c->like != NULL && c->tasks != NULL && c->why != NULL && c->answered != NULL &&
        c->failure != NULL) {
        return c;
    }
    coordinator_free(c);
    return NULL;
}

void coordinator_free(coordinator *c) {
    if (c == NULL) return;
    clear_epoch(c);
    mem_free(c->parts);
    mem_free(c->tasks);
    checkpoint_free(c->like);
    error_free(c->why);
    error_free(c->answered);
    error_free(c->failure);
    mem_free(c);
}

/* ---- what comes next ---- */

coordinator_action coordinator_step(coordinator *c, int64_t now_ns, int64_t wall_us) {
    const coordinator_action wait = {.act = ACT_NOTHING, .next_ns = INT64_MAX};
    for (;;) {
        if (c->answer_count > 0) {
            answer a = c->answers[0];
            memmove(c->answers, c->answers + 1, --c->answer_count * sizeof *c->answers);
            if (a.status != WEIR_OK) error_set(c->answered, a.status, 0, "%s", a.why);
            return (coordinator_action){.act = ACT_ANSWER,
                                        .epoch = a.epoch,
                                        .ticket = a.ticket,
                                        .error = a.status != WEIR_OK ? c->answered : NULL};
        }
        if (c->fail) {
            c->fail = false;
            return (coordinator_action){.act = ACT_FAIL, .epoch = c->epoch, .error = c->failure};
        }
        coordinator_action out;
        switch (c->phase) {
        case PHASE_IDLE:
            return idle(c, now_ns, wall_us);
        case PHASE_BEGINNING:
        case PHASE_PERSISTING:
        case PHASE_SEALING:
        case PHASE_OVER:
            return wait;
        case PHASE_ACKING:
            collect(c, now_ns, wall_us);
            if (c->phase == PHASE_ACKING) {
                out = wait;
                out.next_ns = add_ns(c->started_ns, c->settings.timeout_ns);
                return out;
            }
            break;
        case PHASE_PERSIST:
            c->phase = PHASE_PERSISTING;
            return (coordinator_action){
                .act = ACT_PERSIST, .epoch = c->epoch, .checkpoint = c->built};
        case PHASE_COMMIT:
            c->phase = PHASE_COMMITTING;
            return (coordinator_action){.act = ACT_COMMIT, .epoch = c->epoch};
        case PHASE_COMMITTING: {
            /* Nothing times this out: what is durable only goes forward, and a newer epoch that
             * began now would carry the same committables along. */
            bool early = MUTATED(next_before_commit) ||
                         (MUTATED(seal_before_commit) && c->order != ORDER_CHECKPOINT);
            if (any_lists(c) && !early) return wait;
            c->phase = c->durable ? PHASE_TELL : PHASE_PERSIST;
            break;
        }
        case PHASE_TELL:
            c->completed = c->epoch;
            out = (coordinator_action){.act = ACT_DONE, .epoch = c->epoch};
            if (c->order == ORDER_CHECKPOINT || c->built->kind == CHECKPOINT_FINAL) {
                complete(c, now_ns);
            } else {
                c->phase = PHASE_SEAL;
            }
            return out;
        case PHASE_SEAL:
            if (!seal(c, wall_us)) {
                give_up(c, now_ns);
                break;
            }
            c->phase = PHASE_SEALING;
            return (coordinator_action){
                .act = ACT_SEAL, .epoch = c->sealed->epoch, .checkpoint = c->sealed};
        case PHASE_FINISH:
            c->phase = PHASE_OVER;
            return (coordinator_action){.act = ACT_FINISH, .epoch = c->completed};
        }
    }
}

/* ---- what happened ---- */

void coordinator_begun(coordinator *c, state_part **captured, uint32_t count, weir_status status,
                       const weir_error *err) {
    bool expected = c->phase == PHASE_BEGINNING;
    for (uint32_t i = 0; i < count; i++) {
        if (expected && status == WEIR_OK && !MUTATED(capture_dropped)) {
            take_parts(c, captured[i]);
        } else {
            part_free(captured[i]);
        }
    }
    if (!expected) return;
    c->phase = PHASE_ACKING;
    if (status != WEIR_OK) break_epoch(c, status, err);
}

void coordinator_ack(coordinator *c, uint32_t task, uint64_t epoch, state_part *part,
                     weir_status status, const weir_error *err) {
    bool expected = (c->phase == PHASE_BEGINNING || c->phase == PHASE_ACKING) &&
                    epoch == c->epoch && task < c->settings.tasks && !c->tasks[task].acked;
    if (!expected || status != WEIR_OK) {
        /* Too late, or a failure. The committables in it are still with their sink, which lists
         * them again. */
        part_free(part);
        if (expected) break_epoch(c, status, err);
        return;
    }
    c->tasks[task].acked = true;
    for (const state_part *p = part; p != NULL; p = p->next) {
        if (p->committable_count > 0) c->tasks[task].lists = true;
    }
    take_parts(c, part);
}

void coordinator_persisted(coordinator *c, weir_status status, uint64_t bytes, int64_t sync_ns,
                           const weir_error *err, int64_t now_ns) {
    if (c->phase != PHASE_PERSISTING && c->phase != PHASE_SEALING) return;
    epoch_record *r = record(c);
    r->bytes += bytes;
    r->sync_ns += sync_ns;
    if (status != WEIR_OK) {
        /* It may be there all the same. Neither committing nor forgetting is right then: the
         * sinks keep what they prepared, and the next epoch decides. */
        break_epoch(c, status, err);
        if (c->final_named && c->order == ORDER_FINAL && c->phase == PHASE_SEALING &&
            (status == WEIR_E_EXISTS || status == WEIR_E_INVALID_ARG)) {
            /* The name will be no better next time; the run ends without it. */
            put_answer(c, c->final.ticket, 0, status, error_text(err));
            c->final_named = false;
        }
        give_up(c, now_ns);
        return;
    }
    if (c->phase == PHASE_SEALING) {
        if (c->order == ORDER_FINAL) c->completed = c->sealed->epoch;
        complete(c, now_ns);
        return;
    }
    c->durable = true;
    if (c->order != ORDER_FINAL) c->failures = 0;
    r->durable_ns = now_ns - c->started_ns;
    bool at_once = MUTATED(finish_without_commit) && c->order == ORDER_FINAL;
    c->phase = at_once ? PHASE_FINISH : any_lists(c) ? PHASE_COMMIT : PHASE_TELL;
    if (c->phase == PHASE_TELL) r->committed_ns = r->durable_ns;
}

void coordinator_committed(coordinator *c, uint32_t task, uint64_t epoch, int64_t now_ns) {
    if (c->phase != PHASE_COMMITTING || epoch < c->epoch || task >= c->settings.tasks) return;
    c->tasks[task].lists = false;
    if (!any_lists(c)) record(c)->committed_ns = now_ns - c->started_ns;
}

void coordinator_source_ended(coordinator *c, uint32_t task) {
    if (task >= c->settings.source_tasks || task >= c->settings.tasks || c->tasks[task].ended) {
        return;
    }
    c->tasks[task].ended = true;
    c->sources_ended++;
}

void coordinator_stop(coordinator *c, weir_str savepoint, uint64_t ticket) {
    bool named = savepoint.len > 0;
    if (MUTATED(checkpoint_between_savepoint_and_stop) && named && !c->stopping) {
        coordinator_savepoint(c, savepoint, ticket);
        named = false;
    }
    bool again = c->stopping;
    c->stopping = true;
    if (!named) return;
    /* A final epoch that has its acknowledgements is what it is; a second name has no place. */
    bool begun = c->order == ORDER_FINAL && c->phase > PHASE_ACKING;
    if (c->phase == PHASE_OVER || begun || (again && c->final_named)) {
        put_answer(c, ticket, 0, WEIR_E_INVALID_STATE,
                   "the run is ending already, without this savepoint; its final checkpoint can be "
                   "started from with --from latest");
        return;
    }
    c->final_named = name_ask(c, &c->final, savepoint, ticket);
}

void coordinator_savepoint(coordinator *c, weir_str name, uint64_t ticket) {
    if (c->phase == PHASE_OVER || ending(c)) {
        put_answer(c, ticket, 0, WEIR_E_INVALID_STATE,
                   "the run is ending and takes no more savepoints; its final checkpoint can be "
                   "started from with --from latest");
        return;
    }
    if (c->ask_count == ASKS_MAX) {
        put_answer(c, ticket, 0, WEIR_E_THROTTLED,
                   "16 savepoints wait already; ask again when they are done");
        return;
    }
    if (name_ask(c, &c->asks[c->ask_count], name, ticket)) c->ask_count++;
}

/* ---- status ---- */

uint32_t coordinator_history(const coordinator *c, epoch_record out[COORDINATOR_HISTORY]) {
    uint32_t n =
        c->history_count < COORDINATOR_HISTORY ? (uint32_t)c->history_count : COORDINATOR_HISTORY;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = c->history[(c->history_count - 1 - i) % COORDINATOR_HISTORY];
    }
    return n;
}

uint64_t coordinator_completed(const coordinator *c) {
    return c->completed;
}

/* ---- between epochs ---- */

static coordinator_action idle(coordinator *c, int64_t now_ns, int64_t wall_us) {
    if (c->ask_count > 0) {
        c->current = c->asks[0];
        memmove(c->asks, c->asks + 1, --c->ask_count * sizeof *c->asks);
        return begin(c, ORDER_SAVEPOINT, now_ns, wall_us);
    }
    if (ending(c)) {
        if (now_ns >= c->retry_ns) return begin(c, ORDER_FINAL, now_ns, wall_us);
        return (coordinator_action){.act = ACT_NOTHING, .next_ns = c->retry_ns};
    }
    int64_t due = add_ns(c->started_ns, c->settings.interval_ns);
    if (c->ended_ns != INT64_MIN) {
        int64_t rested = add_ns(c->ended_ns, c->settings.min_pause_ns);
        if (rested > due) due = rested;
    }
    if (c->settings.interval_ns == INT64_MAX) due = INT64_MAX;
    if (due == INT64_MAX || now_ns < due) {
        return (coordinator_action){.act = ACT_NOTHING, .next_ns = due};
    }
    return begin(c, ORDER_CHECKPOINT, now_ns, wall_us);
}

static coordinator_action begin(coordinator *c, order_kind order, int64_t now_ns, int64_t wall_us) {
    c->epoch = c->next_epoch(c->self);
    c->order = order;
    c->started_ns = now_ns;
    c->phase = PHASE_BEGINNING;
    for (uint32_t i = 0; i < c->settings.tasks; i++) {
        c->tasks[i].acked = false;
        c->tasks[i].lists = false;
    }
    c->history_count++;
    *record(c) = (epoch_record){.epoch = c->epoch,
                                .order = order,
                                .outcome = EPOCH_RUNNING,
                                .started_wall_us = wall_us,
                                .started_ns = now_ns};
    bool plain = MUTATED(savepoint_not_last) && order == ORDER_SAVEPOINT;
    return (coordinator_action){
        .act = ACT_BEGIN, .epoch = c->epoch, .order = plain ? ORDER_CHECKPOINT : order};
}

/* ---- one epoch ---- */

/* PHASE_ACKING: everything in, or failed, or too late, or still waiting. */
static void collect(coordinator *c, int64_t now_ns, int64_t wall_us) {
    uint32_t first = 0;
    uint32_t missing = unacked(c, &first);
    if (!c->broken && missing > 0) {
        if (now_ns < add_ns(c->started_ns, c->settings.timeout_ns)) return;
        error_set(c->why, WEIR_E_TIMEOUT, WEIR_ERR_RETRYABLE,
                  "%" PRIu32 " of %" PRIu32 " tasks did not answer within %" PRId64
                  " ms (first: task %" PRIu32 ")",
                  missing, c->settings.tasks, c->settings.timeout_ns / 1000000, first);
        error_hint(c->why, "a slow sink or a full channel holds the barrier up; raise "
                           "settings.checkpoint.timeout if that is expected");
        c->broken = true;
    }
    if (c->broken) {
        give_up(c, now_ns);
        return;
    }
    record(c)->acked_ns = now_ns - c->started_ns;
    if (!build(c, wall_us)) {
        give_up(c, now_ns);
        return;
    }
    c->phase = PHASE_PERSIST;
    if (MUTATED(commit_before_durable) && any_lists(c)) c->phase = PHASE_COMMIT;
    if (MUTATED(finish_without_durable) && c->order == ORDER_FINAL) c->phase = PHASE_FINISH;
}

static bool build(coordinator *c, int64_t wall_us) {
    /* Without committables and without a name a final checkpoint is sealed as it is. */
    bool as_it_is = c->order == ORDER_FINAL && !c->final_named && !any_lists(c);
    for (uint32_t i = 0; i < c->part_count && MUTATED(capture_wins); i++) {
        c->parts[i]->captured = !c->parts[i]->captured;
    }
    c->built =
        checkpoint_like(c->like, as_it_is ? CHECKPOINT_FINAL : CHECKPOINT_PERIODIC, c->epoch);
    weir_status status =
        c->built != NULL ? checkpoint_merge(c->built, c->parts, c->part_count) : WEIR_E_NOMEM;
    if (status != WEIR_OK) {
        error_set(c->why, status, WEIR_ERR_RETRYABLE,
                  status == WEIR_E_TOO_LARGE ? "the checkpoint would be too large"
                                             : "out of memory for the checkpoint");
        c->broken = true;
        return false;
    }
    c->built->created_us = wall_us;
    return true;
}

/* The same state without committables under a number of its own: they are all committed. */
static bool seal(coordinator *c, int64_t wall_us) {
    const ask *asked = c->order == ORDER_SAVEPOINT ? &c->current : &c->final;
    checkpoint_kind kind = c->order == ORDER_SAVEPOINT ? CHECKPOINT_SAVEPOINT : CHECKPOINT_FINAL;
    c->sealed =
        checkpoint_copy(c->built, kind, c->next_epoch(c->self), MUTATED(savepoint_unsealed));
    bool named = c->order == ORDER_SAVEPOINT || c->final_named;
    if (c->sealed != NULL) {
        c->sealed->created_us = wall_us;
        if (named) c->sealed->name = arena_str(c->sealed->memory, str_of(asked->name));
    }
    if (c->sealed != NULL && (!named || c->sealed->name.ptr != NULL)) return true;
    error_set(c->why, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE, "out of memory for the savepoint");
    c->broken = true;
    return false;
}

/* The epoch under way is over, and it is good. */
static void complete(coordinator *c, int64_t now_ns) {
    record(c)->outcome = EPOCH_DONE;
    uint64_t epoch = c->sealed != NULL ? c->sealed->epoch : c->epoch;
    if (c->order == ORDER_SAVEPOINT) put_answer(c, c->current.ticket, epoch, WEIR_OK, "");
    if (c->order == ORDER_FINAL && c->final_named) {
        put_answer(c, c->final.ticket, epoch, WEIR_OK, "");
    }
    clear_epoch(c);
    c->ended_ns = now_ns;
    c->phase = c->order == ORDER_FINAL ? PHASE_FINISH : PHASE_IDLE;
}

/* The epoch under way is over, and it failed because of `why`. */
static void give_up(coordinator *c, int64_t now_ns) {
    epoch_record *r = record(c);
    r->outcome = EPOCH_FAILED;
    (void)snprintf(r->why, sizeof r->why, "%s", error_text(c->why));
    clear_epoch(c);
    c->ended_ns = now_ns;
    c->phase = PHASE_IDLE;
    if (c->order == ORDER_SAVEPOINT) {
        put_answer(c, c->current.ticket, 0, error_status(c->why), error_text(c->why));
        return;
    }
    if (c->order == ORDER_FINAL) {
        int64_t pause = FINAL_PAUSE_BASE_NS;
        for (uint32_t i = 0; i < c->final_tries && pause < FINAL_PAUSE_MAX_NS; i++) pause *= 2;
        if (pause > FINAL_PAUSE_MAX_NS) pause = FINAL_PAUSE_MAX_NS;
        c->retry_ns = add_ns(now_ns, pause);
        c->final_tries++;
    }
    /* A run that is being stopped has its grace time for as many tries as fit into it. */
    if (c->stopping) return;
    if (++c->failures <= c->settings.tolerable_failures) return;
    error_copy(c->failure, c->why);
    error_prefix(c->failure,
                 "checkpoint %" PRIu64 " failed (%" PRIu32
                 " in a row, tolerable_failures is %" PRIu32 ")",
                 c->epoch, c->failures, c->settings.tolerable_failures);
    c->fail = true;
    c->phase = PHASE_OVER;
    for (uint32_t i = 0; i < c->ask_count; i++) {
        put_answer(c, c->asks[i].ticket, 0, WEIR_E_CANCELLED,
                   "the pipeline restarts from its last checkpoint before the savepoint was begun; "
                   "ask again");
    }
    c->ask_count = 0;
}

static void clear_epoch(coordinator *c) {
    for (uint32_t i = 0; i < c->part_count; i++) part_free(c->parts[i]);
    c->part_count = 0;
    checkpoint_free(c->built);
    checkpoint_free(c->sealed);
    c->built = NULL;
    c->sealed = NULL;
    c->durable = false;
    c->broken = false;
}

/* Parts of one acknowledgement, each on its own from here on. */
static void take_parts(coordinator *c, state_part *part) {
    while (part != NULL) {
        state_part *next = part->next;
        part->next = NULL;
        if (c->part_count == c->part_cap) {
            uint32_t cap = c->part_cap > 0 ? c->part_cap * 2 : 16;
            state_part **grown = mem_realloc(c->parts, cap * sizeof(state_part *));
            if (grown == NULL) {
                part_free(part);
                part_free(next);
                error_set(c->why, WEIR_E_NOMEM, WEIR_ERR_RETRYABLE,
                          "out of memory for the checkpoint");
                c->broken = true;
                return;
            }
            c->parts = grown;
            c->part_cap = cap;
        }
        c->parts[c->part_count++] = part;
        part = next;
    }
}

/* The first reason stays. */
static void break_epoch(coordinator *c, weir_status status, const weir_error *err) {
    if (c->broken) return;
    c->broken = true;
    if (err != NULL) {
        error_copy(c->why, err);
    } else {
        error_set(c->why, status, 0, "%s", error_status_name(status));
    }
}

static bool any_lists(const coordinator *c) {
    for (uint32_t i = 0; i < c->settings.tasks; i++)
        if (c->tasks[i].lists) return true;
    return false;
}

static uint32_t unacked(const coordinator *c, uint32_t *first) {
    uint32_t n = 0;
    for (uint32_t i = c->settings.tasks; i-- > 0;) {
        if (c->tasks[i].acked) continue;
        n++;
        *first = i;
    }
    return n;
}

/* No epoch but the final one will begin. */
static bool ending(const coordinator *c) {
    return c->stopping ||
           (c->settings.source_tasks > 0 && c->sources_ended == c->settings.source_tasks);
}

/* ---- small things ---- */

static void put_answer(coordinator *c, uint64_t ticket, uint64_t epoch, weir_status status,
                       const char *why) {
    /* Full only if somebody asks without ever stepping. */
    if (c->answer_count == ANSWERS_MAX) return;
    answer *a = &c->answers[c->answer_count++];
    *a = (answer){.ticket = ticket, .epoch = epoch, .status = status};
    (void)snprintf(a->why, sizeof a->why, "%s", why);
}

/* False if the name is too long to be one; that is answered. */
static bool name_ask(coordinator *c, ask *a, weir_str name, uint64_t ticket) {
    if (name.len > LIMIT_NAME_BYTES) {
        put_answer(c, ticket, 0, WEIR_E_INVALID_ARG,
                   "the name of a savepoint has at most 128 bytes");
        return false;
    }
    *a = (ask){.ticket = ticket};
    if (name.len > 0) memcpy(a->name, name.ptr, name.len);
    return true;
}

static epoch_record *record(coordinator *c) {
    return &c->history[(c->history_count - 1) % COORDINATOR_HISTORY];
}

static int64_t add_ns(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}
