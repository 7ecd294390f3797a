#include "checkpoint/sink_epochs.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "checkpoint/mutation.h"
#include "weir/sink.h"

typedef enum {
    STEP_OPEN,
    STEP_CUT,
    STEP_FORWARD,
    STEP_FLUSH,
    STEP_FLUSHING, /* flush was called, flush_done is to come */
    STEP_PREPARE,
    STEP_PREPARING, /* the task is filling the part */
    STEP_ACK
} step;

/* Each stands alone, so that a list handed to a commit stays where it is while others join. */
typedef struct entry {
    state_committable c; /* bytes are behind this struct */
} entry;

typedef struct entries {
    entry **items;
    uint32_t count, cap;
} entries;

struct sink_epochs {
    sink_epochs_config config;
    step step;
    uint64_t epoch; /* of the barrier under way, or of the last one */
    bool last;
    uint64_t waiting_epoch; /* a higher barrier that came meanwhile; 0 = none */
    bool waiting_last;
    int64_t flush_deadline_ns;
    uint64_t records; /* since the last prepare that succeeded */
    state_part *part;
    weir_status status; /* of the acknowledgement to come */
    weir_error *error;

    entries staged;  /* added by the prepare under way */
    entries pending; /* prepared and not decided, in the order of their epochs */
    entries lost;    /* to be reported */
    entry *reported; /* lost: given out by the last call */

    uint64_t commit_upto;    /* durable */
    uint64_t committed_upto; /* told */
    uint64_t token;          /* of the commit under way; 0 = none */
    uint64_t tokens;
    uint32_t calling; /* the first so many of `pending` are in that commit */
    const state_committable **call;
    uint32_t call_cap;
    uint64_t call_epoch;
    uint32_t failures; /* of commits in a row */
    int64_t retry_ns;  /* the next commit not before */
#ifdef WEIR_MUTATIONS
    entries aborting; /* SINK_ABORT */
#endif
};

static bool barrier_act(sink_epochs *s, bool idle, int64_t now_ns, sink_action *out);
static bool commit_act(sink_epochs *s, int64_t now_ns, sink_action *out);
static void begin(sink_epochs *s, uint64_t epoch, bool last);
static void take_over(sink_epochs *s);
static void fail(sink_epochs *s, weir_status status, const weir_error *err);
static weir_status list_pending(sink_epochs *s);
static bool reserve(entries *list, uint32_t more);
static void drop(entries *list, uint32_t from);
static void destroy(entries *list);
static int64_t add_ns(int64_t a, int64_t b);
static int64_t pause_ns(const sink_epochs *s);
#ifdef WEIR_MUTATIONS
static void forget_failed(sink_epochs *s);
static bool abort_act(sink_epochs *s, sink_action *out);
#endif

sink_epochs *sink_epochs_new(const sink_epochs_config *config) {
    sink_epochs *s = mem_zalloc(sizeof *s);
    if (s == NULL) return NULL;
    s->config = *config;
    s->retry_ns = INT64_MIN;
    s->error = error_new();
    if (s->error != NULL) return s;
    mem_free(s);
    return NULL;
}

void sink_epochs_free(sink_epochs *s) {
    if (s == NULL) return;
    part_free(s->part);
    destroy(&s->staged);
    destroy(&s->pending);
    destroy(&s->lost);
    mem_free(s->reported);
    mem_free(s->call);
#ifdef WEIR_MUTATIONS
    destroy(&s->aborting);
#endif
    error_free(s->error);
    mem_free(s);
}

/* ---- the barrier ---- */

void sink_epochs_barrier(sink_epochs *s, uint64_t epoch, bool last) {
    if (epoch <= s->epoch || epoch <= s->waiting_epoch) return;
    if (s->step == STEP_OPEN) {
        begin(s, epoch, last);
        return;
    }
    /* Whoever sent it has given the one under way up, but what the sink is doing for that one is
     * work for this one too: it comes to its end first. */
    s->waiting_epoch = epoch;
    s->waiting_last = last;
}

bool sink_epochs_open(const sink_epochs *s) {
    return s->step == STEP_OPEN;
}

void sink_epochs_count(sink_epochs *s, uint64_t records) {
    s->records += records;
}

sink_action sink_epochs_next(sink_epochs *s, bool idle, int64_t now_ns) {
    sink_action out = {.act = SINK_NOTHING, .next_ns = INT64_MAX};
    mem_free(s->reported);
    s->reported = NULL;
#ifdef WEIR_MUTATIONS
    if (abort_act(s, &out)) return out;
#endif
    if (barrier_act(s, idle, now_ns, &out)) return out;
    sink_action waiting = out; /* CUT or NOTHING: commits go on beside them */
    if (commit_act(s, now_ns, &out)) return out;
    waiting.next_ns = out.next_ns;
    if (s->step == STEP_FLUSHING && s->flush_deadline_ns < waiting.next_ns) {
        waiting.next_ns = s->flush_deadline_ns;
    }
    return waiting;
}

void sink_epochs_forwarded(sink_epochs *s) {
    if (s->step == STEP_FORWARD) s->step = MUTATED(forward_before_drain) ? STEP_CUT : STEP_FLUSH;
}

void sink_epochs_flushed(sink_epochs *s, uint64_t epoch, weir_status status,
                         const weir_error *err) {
    if (s->step != STEP_FLUSHING || epoch != s->epoch) return;
    if (status != WEIR_OK) {
        fail(s, status, err);
        return;
    }
    s->step = STEP_PREPARE;
}

weir_status sink_epochs_add_committable(sink_epochs *s, weir_str bytes) {
    if (s->step != STEP_PREPARING || !s->config.two_phase) return WEIR_E_INVALID_STATE;
    /* Refused here and now: once prepared it would fail every acknowledgement from then on. */
    if (bytes.len > LIMIT_COMMITTABLE_BYTES ||
        s->pending.count + s->staged.count >= LIMIT_COMMITTABLES) {
        return WEIR_E_TOO_LARGE;
    }
    /* Its place among what is pending too: once prepare has handed it over nothing may fail. */
    if (!reserve(&s->staged, 1) || !reserve(&s->pending, s->staged.count + 1)) return WEIR_E_NOMEM;
    entry *e = mem_alloc(sizeof *e + bytes.len);
    if (e == NULL) return WEIR_E_NOMEM;
    char *copy = (char *)(e + 1);
    if (bytes.len > 0) memcpy(copy, bytes.ptr, bytes.len);
    e->c = (state_committable){.epoch = s->epoch,
                               .version = s->config.committable_version,
                               .instance = s->config.instance,
                               .records = s->records,
                               .bytes = {copy, bytes.len}};
    s->staged.items[s->staged.count++] = e;
    return WEIR_OK;
}

void sink_epochs_prepared(sink_epochs *s, weir_status status, const weir_error *err) {
    if (s->step != STEP_PREPARING) return;
    if (status != WEIR_OK) {
        /* A prepare that fails has handed nothing over: the sink lists it in the next one. */
        drop(&s->staged, 0);
        fail(s, status, err);
        return;
    }
    take_over(s);
    status = list_pending(s);
    if (status != WEIR_OK) {
        fail(s, status, NULL);
        return;
    }
    s->status = WEIR_OK;
    s->step = STEP_ACK;
}

void sink_epochs_not_captured(sink_epochs *s, weir_status status, const weir_error *err) {
    if (s->step != STEP_PREPARING) return;
    take_over(s);
    fail(s, status, err);
}

/* ---- commits ---- */

void sink_epochs_commit(sink_epochs *s, uint64_t epoch) {
    if (epoch > s->commit_upto) s->commit_upto = epoch;
}

void sink_epochs_verdicts(sink_epochs *s, uint64_t token, const uint32_t *verdicts, uint32_t count,
                          const weir_error *err, int64_t now_ns) {
    if (token == 0 || token != s->token) return;
    (void)err;
    bool all = MUTATED(commit_failure_drops);
    /* Reserved before anything is taken out, so that nothing lost goes unreported. */
    bool room = verdicts != NULL && reserve(&s->lost, s->calling);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->calling; i++) {
        entry *e = s->pending.items[i];
        uint32_t verdict = room && i < count ? verdicts[i] : WEIR_VERDICT_RETRY;
        if (verdict == WEIR_VERDICT_LOST) {
            s->lost.items[s->lost.count++] = e;
        } else if (verdict == WEIR_VERDICT_DONE || verdict == WEIR_VERDICT_ALREADY || all) {
            mem_free(e);
        } else {
            s->pending.items[kept++] = e;
        }
    }
    memmove(s->pending.items + kept, s->pending.items + s->calling,
            (s->pending.count - s->calling) * sizeof(entry *));
    s->pending.count -= s->calling - kept;
    s->token = 0;
    s->calling = 0;
    if (kept == 0) {
        s->failures = 0;
        s->retry_ns = INT64_MIN;
        return;
    }
    s->retry_ns = add_ns(now_ns, pause_ns(s));
    s->failures++;
}

uint32_t sink_epochs_uncommitted(const sink_epochs *s) {
    return s->pending.count;
}

/* ---- what is to be done ---- */

static bool barrier_act(sink_epochs *s, bool idle, int64_t now_ns, sink_action *out) {
    out->epoch = s->epoch;
    out->last = s->last;
    if (s->step == STEP_CUT) {
        out->act = SINK_CUT;
        if (!idle && !MUTATED(no_drain)) return false;
        s->step = MUTATED(forward_before_drain) ? STEP_FLUSH : STEP_FORWARD;
    }
    switch (s->step) {
    case STEP_FORWARD:
        out->act = SINK_FORWARD;
        return true;
    case STEP_FLUSH:
        s->step = STEP_FLUSHING;
        s->flush_deadline_ns = add_ns(now_ns, s->config.flush_timeout_ns);
        out->act = SINK_FLUSH;
        out->deadline_ns = s->flush_deadline_ns;
        return true;
    case STEP_FLUSHING:
        if (now_ns < s->flush_deadline_ns) return false;
        error_set(s->error, WEIR_E_TIMEOUT, WEIR_ERR_RETRYABLE,
                  "flush did not complete within %" PRId64 " ms",
                  s->config.flush_timeout_ns / 1000000);
        fail(s, WEIR_E_TIMEOUT, s->error);
        break;
    case STEP_PREPARE:
        s->part = part_new(s->config.node);
        if (s->part == NULL) {
            fail(s, WEIR_E_NOMEM, NULL);
            break;
        }
        s->step = STEP_PREPARING;
        out->act = SINK_PREPARE;
        out->part = s->part;
        return true;
    case STEP_OPEN:
    case STEP_CUT:
    case STEP_PREPARING:
    case STEP_ACK:
        break;
    }
    if (s->step != STEP_ACK) return false;
    out->act = SINK_ACK;
    out->part = s->part;
    out->status = s->status;
    out->error = s->status != WEIR_OK ? s->error : NULL;
    s->part = NULL;
    s->step = STEP_OPEN;
    if (s->waiting_epoch != 0) begin(s, s->waiting_epoch, s->waiting_last);
    return true;
}

static bool commit_act(sink_epochs *s, int64_t now_ns, sink_action *out) {
    if (s->lost.count > 0) {
        s->reported = s->lost.items[0];
        memmove(s->lost.items, s->lost.items + 1, --s->lost.count * sizeof(entry *));
        *out =
            (sink_action){.act = SINK_LOST, .epoch = s->reported->c.epoch, .lost = &s->reported->c};
        return true;
    }
    if (s->token != 0) return false;
    if (s->pending.count == 0 || s->pending.items[0]->c.epoch > s->commit_upto) {
        if (s->committed_upto == s->commit_upto) return false;
        s->committed_upto = s->commit_upto;
        *out = (sink_action){.act = SINK_COMMITTED, .epoch = s->commit_upto};
        return true;
    }
    if (now_ns < s->retry_ns) {
        out->next_ns = s->retry_ns;
        return false;
    }
    uint32_t n = 0;
    uint64_t epoch = s->pending.items[0]->c.epoch;
    while (n < s->pending.count && s->pending.items[n]->c.epoch == epoch) n++;
    if (n > s->call_cap) {
        const state_committable **grown = mem_realloc(s->call, n * sizeof *grown);
        if (grown == NULL) { /* as if the commit had failed */
            s->retry_ns = add_ns(now_ns, pause_ns(s));
            s->failures++;
            out->next_ns = s->retry_ns;
            return false;
        }
        s->call = grown;
        s->call_cap = n;
    }
    for (uint32_t i = 0; i < n; i++) s->call[i] = &s->pending.items[i]->c;
    s->calling = n;
    s->token = ++s->tokens;
    *out = (sink_action){.act = SINK_COMMIT,
                         .epoch = epoch,
                         .deadline_ns = add_ns(now_ns, s->config.flush_timeout_ns),
                         .committables = s->call,
                         .committable_count = n,
                         .token = s->token};
    return true;
}

static void begin(sink_epochs *s, uint64_t epoch, bool last) {
    s->epoch = epoch;
    s->last = last;
    s->waiting_epoch = 0;
    s->step = MUTATED(forward_before_drain) ? STEP_FORWARD : STEP_CUT;
#ifdef WEIR_MUTATIONS
    forget_failed(s);
#endif
}

/* What prepare handed over is the host's from here on; add_committable made room for it. */
static void take_over(sink_epochs *s) {
    for (uint32_t i = 0; i < s->staged.count; i++) {
        s->pending.items[s->pending.count++] = s->staged.items[i];
    }
    s->staged.count = 0;
    s->records = 0;
}

/* The epoch fails here. What earlier ones, and this one, prepared stays. */
static void fail(sink_epochs *s, weir_status status, const weir_error *err) {
    part_free(s->part);
    s->part = NULL;
    s->status = status;
    if (err == NULL) {
        error_set(s->error, status, 0, "%s",
                  status == WEIR_E_NOMEM ? "out of memory" : error_status_name(status));
    } else if (err != s->error) {
        error_copy(s->error, err);
    }
    s->step = STEP_ACK;
}

/* Everything that is not committed goes into the acknowledgement, whichever epoch prepared it. */
static weir_status list_pending(sink_epochs *s) {
    for (uint32_t i = 0; i < s->pending.count; i++) {
        const state_committable *c = &s->pending.items[i]->c;
        if (MUTATED(ack_lists_only_this_epoch) && c->epoch != s->epoch) continue;
        weir_status status = part_add_committable(s->part, c);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- lists ---- */

static bool reserve(entries *list, uint32_t more) {
    if (list->cap - list->count >= more) return true;
    uint32_t cap = list->cap * 2 > list->count + more ? list->cap * 2 : list->count + more;
    entry **grown = mem_realloc(list->items, cap * sizeof(entry *));
    if (grown == NULL) return false;
    list->items = grown;
    list->cap = cap;
    return true;
}

static void drop(entries *list, uint32_t from) {
    for (uint32_t i = from; i < list->count; i++) mem_free(list->items[i]);
    if (list->count > from) list->count = from;
}

static void destroy(entries *list) {
    drop(list, 0);
    mem_free(list->items);
}

static int64_t add_ns(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t pause_ns(const sink_epochs *s) {
    int64_t pause = s->config.retry_base_ns;
    for (uint32_t i = 0; i < s->failures && pause < s->config.retry_max_ns; i++) {
        pause = add_ns(pause, pause);
    }
    return pause < s->config.retry_max_ns ? pause : s->config.retry_max_ns;
}

/* ---- rules taken away ---- */

#ifdef WEIR_MUTATIONS
/* A new barrier while something is prepared and not durable: the epoch of that has failed. */
static void forget_failed(sink_epochs *s) {
    if (!MUTATED(drop_uncommitted_on_failure) && !MUTATED(abort_on_failure)) return;
    uint32_t from = s->calling;
    while (from < s->pending.count && s->pending.items[from]->c.epoch <= s->commit_upto) from++;
    if (MUTATED(abort_on_failure) && reserve(&s->aborting, s->pending.count - from)) {
        for (uint32_t i = from; i < s->pending.count; i++) {
            s->aborting.items[s->aborting.count++] = s->pending.items[i];
        }
        s->pending.count = from;
    }
    drop(&s->pending, from);
}

static bool abort_act(sink_epochs *s, sink_action *out) {
    if (s->aborting.count == 0) return false;
    s->reported = s->aborting.items[--s->aborting.count];
    *out = (sink_action){.act = SINK_ABORT, .epoch = s->reported->c.epoch, .lost = &s->reported->c};
    return true;
}
#endif
