/*
 * core/checkpoint/sink_epochs.h - the host's side of one sink task: barrier, flush, prepare,
 * commit.
 *
 *   barrier -> CUT: the batcher runs dry -> FORWARD: dead letters get the barrier -> FLUSH ->
 *   flush_done -> PREPARE -> ACK with everything that is not committed -> open for the next epoch
 *
 * and beside it, when the coordinator says so, COMMIT epoch by epoch until nothing up to the asked
 * epoch is left. What was prepared stays listed until a verdict takes it away: a failed epoch never
 * loses it. A state machine without threads or plugins; the sink task and the simulator carry out
 * what it asks for. Rules 4 to 7 and 15 of docs/delivery.md. Not locked.
 */
#ifndef WEIR_CHECKPOINT_SINK_EPOCHS_H
#define WEIR_CHECKPOINT_SINK_EPOCHS_H

#include "checkpoint/state.h"

typedef struct sink_epochs sink_epochs;

typedef struct sink_epochs_config {
    uint32_t node, instance;
    bool two_phase; /* has prepare and commit */
    uint32_t committable_version;
    int64_t flush_timeout_ns;            /* a flush that takes longer fails its epoch */
    int64_t retry_base_ns, retry_max_ns; /* between tries of a commit, doubled each time */
} sink_epochs_config;

typedef enum {
    SINK_NOTHING, /* next_ns: when time alone changes that */
    SINK_CUT,     /* let the batcher run dry without lingering; ask again when it is idle or at
                     next_ns: said every time until then */
    SINK_FORWARD, /* send the barrier on to the dead-letter outlets; then sink_epochs_forwarded */
    SINK_FLUSH,   /* call flush(epoch, last); then sink_epochs_flushed, now or later */
    SINK_PREPARE, /* call prepare(epoch) into `part` (two-phase) and the state's snapshot; then
                     sink_epochs_prepared or sink_epochs_not_captured */
    SINK_ACK,    /* give `part` (NULL with a failure: `error`) to the coordinator, which takes it */
    SINK_COMMIT, /* call commit with `committables`; then sink_epochs_verdicts */
    SINK_COMMITTED, /* tell the coordinator: nothing up to `epoch` is left */
    SINK_LOST,      /* `lost` cannot be committed any more: log and count it */
#ifdef WEIR_MUTATIONS
    SINK_ABORT /* call abort for `lost`: what a sink must never be told while it runs */
#endif
} sink_act;

typedef struct sink_action {
    sink_act act;
    uint64_t epoch;
    bool last;
    int64_t deadline_ns; /* FLUSH, COMMIT */
    int64_t next_ns;     /* NOTHING, CUT */
    state_part *part;    /* PREPARE: to be filled, the machine's; ACK: the taker's */
    const weir_error *error;
    weir_status status;                           /* ACK */
    const state_committable *const *committables; /* COMMIT: of one epoch, until the verdicts */
    uint32_t committable_count;
    uint64_t token; /* COMMIT */
    const state_committable *lost;
} sink_action;

sink_epochs *sink_epochs_new(const sink_epochs_config *config); /* NULL without memory */
void sink_epochs_free(sink_epochs *s);

/* All inputs delivered the barrier. Until the epoch is acknowledged nothing more is to be taken. */
void sink_epochs_barrier(sink_epochs *s, uint64_t epoch, bool last);
/* False between a barrier and its acknowledgement: no record of the next epoch may be written. */
bool sink_epochs_open(const sink_epochs *s);
/* Records that the sink took; counted towards the epoch under way. */
void sink_epochs_count(sink_epochs *s, uint64_t records);

/* What is to be done now. `idle`: nothing queued, nothing under way in the batcher. */
sink_action sink_epochs_next(sink_epochs *s, bool idle, int64_t now_ns);

void sink_epochs_forwarded(sink_epochs *s);
/* flush returned an error, or flush_done(epoch) arrived. Earlier epochs are ignored. */
void sink_epochs_flushed(sink_epochs *s, uint64_t epoch, weir_status status, const weir_error *err);
/* Adds one committable to the epoch being prepared (from within PREPARE). Bytes are copied.
 * WEIR_E_NOMEM, TOO_LARGE at a limit of base/limits.h, INVALID_STATE outside of PREPARE. */
weir_status sink_epochs_add_committable(sink_epochs *s, weir_str bytes);
/* What prepare returned; with WEIR_OK the part is complete. After a failure what it added is
 * forgotten: the sink adds it again in its next prepare. */
void sink_epochs_prepared(sink_epochs *s, weir_status status, const weir_error *err);
/* Instead of that: prepare succeeded, and the state's snapshot behind it failed. So does the epoch;
 * what prepare added stays listed, since the sink will not add it again. */
void sink_epochs_not_captured(sink_epochs *s, weir_status status, const weir_error *err);

/* The coordinator: everything up to `epoch` is durable. */
void sink_epochs_commit(sink_epochs *s, uint64_t epoch);
/* `verdicts` by committable (WEIR_VERDICT_*), or NULL with the error of the call as a whole: then
 * all are tried again. An unknown token is ignored. Until then the committables stay where they are
 * and no other commit begins, whatever the deadline says: a sink that never answers is the caller's
 * to end. */
void sink_epochs_verdicts(sink_epochs *s, uint64_t token, const uint32_t *verdicts, uint32_t count,
                          const weir_error *err, int64_t now_ns);
/* Prepared and not decided. */
uint32_t sink_epochs_uncommitted(const sink_epochs *s);

#endif
