/*
 * core/runtime/checkpointing.h - the checkpoint thread of one pipeline.
 *
 *   coordinator (checkpoint/) says what comes next; this thread does it:
 *
 *   begin    splits of every source captured, `barrier_epoch` raised     -> source tasks
 *   persist  the store writes, this thread waits for the disk
 *   commit   `commit_epoch` raised                                       -> sink tasks
 *   done     `done_epoch` raised                                         -> source tasks
 *   finish   `finish` set                                                -> source tasks end
 *
 * Tasks answer with checkpointing_ack and checkpointing_committed. Without a store nothing is
 * durable, and the same steps make a run end in order.
 */
#ifndef WEIR_RUNTIME_CHECKPOINTING_H
#define WEIR_RUNTIME_CHECKPOINTING_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/wake.h"
#include "checkpoint/coordinator.h"
#include "checkpoint/store.h"
#include "runtime/context.h"
#include "runtime/lost.h"
#include "runtime/source_control.h"

typedef struct checkpointing_config {
    context *cx;
    store *store;           /* may be NULL */
    const checkpoint *like; /* header and nodes of every checkpoint, by node index; copied */
    source_control *controls;
    uint32_t control_count;
    uint32_t tasks, source_tasks;
    void (*wake_tasks)(void *opaque);
    /* How savepoint `ticket` went; `err` is NULL or unset if it is there. [any] */
    void (*answer)(void *opaque, uint64_t ticket, uint64_t epoch, const weir_error *err);
    void *wake_opaque, *answer_opaque;
} checkpointing_config;

typedef struct checkpointing checkpointing;

checkpointing *checkpointing_new(const checkpointing_config *config, weir_error *err);
void checkpointing_free(checkpointing *c); /* after its thread has ended */
void *checkpointing_run(void *c);          /* the thread's function */
void checkpointing_wake(checkpointing *c); /* a drain, the end: look again [any] */
void checkpointing_end(checkpointing *c);  /* the thread returns soon [any] */

/* ---- tasks ---- */

/* A task's share of an epoch; takes over `part`. */
void checkpointing_ack(checkpointing *c, uint32_t task, uint64_t epoch, state_part *part,
                       weir_status status, const weir_error *err);
void checkpointing_committed(checkpointing *c, uint32_t task, uint64_t epoch);
/* A sink gave up what it had prepared; told by the checkpoint thread, which has the store. */
void checkpointing_lost(checkpointing *c, const lost_piece *piece);
void checkpointing_source_ended(checkpointing *c, uint32_t task);

/* ---- requests and status [any] ---- */

void checkpointing_savepoint(checkpointing *c, weir_str name, uint64_t ticket);
/* The name of the savepoint that the coming drain ends with. Before the drain. */
void checkpointing_stop(checkpointing *c, weir_str name, uint64_t ticket);
uint32_t checkpointing_history(checkpointing *c, epoch_record out[COORDINATOR_HISTORY]);
uint64_t checkpointing_completed(checkpointing *c);

#endif
