/*
 * core/checkpoint/coordinator.h - one checkpoint after another: the protocol's timetable and
 * memory.
 *
 *            BEGIN            all acknowledged        PERSIST         COMMIT            DONE
 *   idle -----------> epoch -------------------> durable? -----> committed? -----> sources told
 *     ^                 | failed, timed out         | no               (retried by the sinks
 *     `-----------------'---------------------------'                   until it succeeds)
 *
 * A state machine without threads, clocks or files: the runtime and the simulator feed it what
 * happened and carry out, one at a time and in order, what it asks for. Rules 5, 6, 10, 12, 18 and
 * 20 of docs/delivery.md live here. Not locked.
 */
#ifndef WEIR_CHECKPOINT_COORDINATOR_H
#define WEIR_CHECKPOINT_COORDINATOR_H

#include "checkpoint/state.h"

typedef struct coordinator coordinator;

typedef struct coordinator_settings {
    int64_t
        interval_ns; /* from trigger to trigger; INT64_MAX = only savepoints and the final one */
    int64_t min_pause_ns;        /* from the end of one to the trigger of the next */
    int64_t timeout_ns;          /* from the trigger to the last acknowledgement */
    uint32_t tolerable_failures; /* consecutive; one more fails the pipeline */
    uint32_t tasks;              /* each acknowledges every epoch once */
    uint32_t source_tasks;       /* of those: tasks 0 .. source_tasks - 1 */
} coordinator_settings;

typedef enum {
    ORDER_CHECKPOINT,
    ORDER_SAVEPOINT, /* sinks complete what is open; the run goes on */
    ORDER_FINAL      /* the same; sources send nothing behind its barrier */
} order_kind;

typedef enum {
    ACT_NOTHING, /* call again at next_ns, or when something happened */
    ACT_BEGIN,   /* capture the sources' splits, then tell the source tasks: -> coordinator_begun */
    ACT_PERSIST, /* make `checkpoint` durable: -> coordinator_persisted */
    ACT_COMMIT,  /* tell the sink tasks to commit what they prepared up to `epoch`:
                    -> coordinator_committed of each task in turn */
    ACT_SEAL,    /* every commit succeeded: make `checkpoint` durable, as a savepoint too if it has
                    a name: -> coordinator_persisted */
    ACT_DONE,    /* tell the sources that `epoch` is durable and committed; no answer */
    ACT_ANSWER,  /* tell who asked for savepoint `ticket`: `epoch` is it, or `error` why it is not
                    (NULL = it is there); no answer */
    ACT_FINISH,  /* the final epoch is sealed: sources may end; no answer, comes once */
    ACT_FAIL     /* the pipeline must restart from its last checkpoint, because of `error` */
} coordinator_act;

typedef struct coordinator_action {
    coordinator_act act;
    uint64_t epoch;
    order_kind order;             /* BEGIN */
    const checkpoint *checkpoint; /* PERSIST, SEAL: the coordinator's, until the answer */
    uint64_t ticket;              /* ANSWER */
    const weir_error *error;      /* FAIL; ANSWER, NULL = success: valid until the next call */
    int64_t next_ns;              /* NOTHING */
} coordinator_action;

/* `like` gives header and node identities of every checkpoint (copied). `next_epoch` is asked for
 * each number; it never answers one twice. NULL without memory. */
coordinator *coordinator_new(const coordinator_settings *settings, const checkpoint *like,
                             uint64_t (*next_epoch)(void *self), void *self, int64_t now_ns);
void coordinator_free(coordinator *c);

/* The next thing to do. Everything but NOTHING must be carried out before the next call. */
coordinator_action coordinator_step(coordinator *c, int64_t now_ns, int64_t wall_us);

/* The splits as they are at the trigger, one part a source node; taken over. An error fails the
 * epoch. */
void coordinator_begun(coordinator *c, state_part **captured, uint32_t count, weir_status status,
                       const weir_error *err);
/* A task's share of an epoch, taken over (NULL = nothing to add); or its failure. Late and unknown
 * epochs are ignored. May come before coordinator_begun. */
void coordinator_ack(coordinator *c, uint32_t task, uint64_t epoch, state_part *part,
                     weir_status status, const weir_error *err);
void coordinator_persisted(coordinator *c, weir_status status, uint64_t bytes, int64_t sync_ns,
                           const weir_error *err, int64_t now_ns);
/* The task has nothing prepared up to `epoch` any more. */
void coordinator_committed(coordinator *c, uint32_t task, uint64_t epoch, int64_t now_ns);
/* A source task has read everything it ever will. When all have, the final epoch comes. */
void coordinator_source_ended(coordinator *c, uint32_t task);

/* Ends the run: a final epoch, repeated while it fails (the caller's grace time ends that). With a
 * name it becomes a savepoint, answered under `ticket`; should the name turn out to be taken or
 * impossible (EXISTS, INVALID_ARG of SEAL), that is the answer and the run ends without it.
 * Savepoints that were asked for before are taken first. */
void coordinator_stop(coordinator *c, weir_str savepoint, uint64_t ticket);
/* Asks for a savepoint, answered under `ticket`. Refused by an ANSWER with an error while the run
 * ends. */
void coordinator_savepoint(coordinator *c, weir_str name, uint64_t ticket);

/* ---- status ---- */

#define COORDINATOR_HISTORY 10u
typedef enum { EPOCH_RUNNING, EPOCH_DONE, EPOCH_FAILED } epoch_outcome;
typedef struct epoch_record {
    uint64_t epoch;
    order_kind order;
    epoch_outcome outcome;
    int64_t started_wall_us;
    int64_t started_ns;
    int64_t acked_ns;     /* trigger to last acknowledgement; 0 = not yet */
    int64_t durable_ns;   /* trigger to durable */
    int64_t committed_ns; /* trigger to committed */
    int64_t sync_ns;      /* share of file syncs */
    uint64_t bytes;
    char why[256]; /* FAILED */
} epoch_record;
/* The latest epochs, newest first; how many. */
uint32_t coordinator_history(const coordinator *c, epoch_record out[COORDINATOR_HISTORY]);
/* The newest epoch that is durable and committed; 0 = none yet. */
uint64_t coordinator_completed(const coordinator *c);

#endif
