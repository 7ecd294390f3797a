/*
 * core/runtime/task.h - one thread of a stage.
 *
 * A task owns its instances, its chain or batcher, and one wake-up source. It is created and freed
 * on the control thread; in between only its own thread touches what is in it, except for the
 * fields marked shared.
 *
 *   thread:  open -> (all tasks are open) -> loop -> wait until all loops have ended -> close
 *
 * Sinks close at the end of their loop, since closing completes files; sources close last, when no
 * batch of theirs is held by anybody.
 */
#ifndef WEIR_RUNTIME_TASK_H
#define WEIR_RUNTIME_TASK_H

#include <pthread.h>
#include <stdatomic.h>

#include "checkpoint/aligner.h"
#include "checkpoint/sink_epochs.h"
#include "runtime/batcher.h"
#include "runtime/chain.h"
#include "runtime/checkpointing.h"
#include "runtime/splits.h"

/* One channel into a task. */
typedef struct inlet {
    const plan_edge *edge;
    channel *channel;
    bool ended;
} inlet;

/* The batch that a sink task is taking in. While a serde waits for a schema it stays here: nothing
 * else is taken, but requests, retries and the sink's upkeep go on. */
typedef struct arrival {
    const plan_edge *from;
    const weir_batch *batch; /* NULL = none */
    prepared *texts;
    bool ready; /* decoded, and its templates evaluated */
} arrival;

typedef struct task {
    context *cx;
    const plan_stage *stage;
    uint32_t index;
    uint32_t number; /* among all tasks, sources first */
    wake wake;       /* shared */
    pthread_t thread;
    bool started;
    inlet *inlets;
    uint32_t inlet_count;
    uint32_t turn;      /* inlet to look at first */
    outlet **outlets;   /* one for each of the stage's output edges */
    instance *main;     /* the source's or the sink's; NULL in a worker */
    chain *chain;       /* sources and workers */
    splits *splits;     /* sources: shared by the node's tasks */
    coder *encoder;     /* sinks that may have to encode */
    coder **decoders;   /* sinks: one an input edge of the stage, NULL where nothing is decoded */
    failures *failures; /* sinks */
    failures **decode_failures; /* sinks: of the sources whose records `decoders` decode */
    batcher *batcher;           /* sinks, made by their open */
    arrival arrival;            /* sinks */
    checkpointing *epochs;
    aligner aligner;               /* workers and sinks: over the inlets */
    sink_epochs *sink_epochs;      /* sinks */
    weir_sink_two_phase two_phase; /* of the sink; zeroed if it has none */
    uint64_t flushing;             /* epoch whose flush_done is awaited; 0 = none */
    bool cutting;                  /* a barrier waits for the batcher to run dry */
    weir_blob *commit_blobs;       /* of the commit under way */
    const weir_blob **commit_list;
    int64_t commit_deadline_ns; /* of that; 0 = none */
    /* The latest that this task obeyed. */
    uint64_t barrier_epoch, done_epoch, commit_epoch;
    weir_limits limits;
    weir_error *error;
    _Atomic int64_t turned_ns; /* shared: when it began what it is doing; 0 = it sleeps */
    _Atomic bool loop_ended;   /* shared */
} task;

/* Creates instances; nothing runs yet. Inlets and channels are connected by the runtime. */
weir_status task_init(task *t, context *cx, const plan_stage *stage, uint32_t index, splits *s,
                      weir_error *err);
/* After its thread has ended. */
void task_destroy(task *t);
/* Ends whatever blocks in a plugin, for good. [any] */
void task_cancel(task *t);

/* The parts that differ by kind: each in its own file. [task] */
weir_status source_task_open(task *t, weir_error *err);
weir_status source_task_loop(task *t, weir_error *err);
weir_status worker_task_loop(task *t, weir_error *err);
weir_status sink_task_open(task *t, weir_error *err);
weir_status sink_task_loop(task *t, weir_error *err);

/* ---- sink_checkpoint.c ---- */

weir_status sink_checkpoint_open(task *t, weir_error *err);
void sink_checkpoint_free(task *t);
/* Everything that can be done now of barriers, flushes and commits. `cut`: the batcher is to run
 * dry; `turned`: look at everything again before sleeping; `until_ns` is lowered to the next timer.
 */
weir_status sink_checkpoint_turn(task *t, bool *cut, bool *turned, int64_t *until_ns,
                                 weir_error *err);

/* ---- shared by the loops ---- */

/* Everything that a whole turn may have gathered in outlets is on its way; true if all of it is. */
bool task_flush_outlets(task *t);
/* Every outlet takes another batch. */
bool task_outlets_room(task *t);
/* Sleeps until a signal or the deadline: the only way a loop sleeps. */
void task_sleep(task *t, int64_t until_ns);
/* A loop begins a turn: it is alive. The time now. */
int64_t task_turn(task *t);
/* A mark to all consumers. */
weir_status task_mark_outlets(task *t, const channel_mark *mark, weir_error *err);
/* END_OF_INPUT to all consumers; then waits until the outlets are empty, or the runtime stops. */
weir_status task_end_outlets(task *t, weir_error *err);
/* The next item of any inlet that is not blocked, in turn; ITEM_NONE if there is none. `aligned`:
 * with it the barrier `t->aligner.aligned` has come by all of them. */
channel_item task_next_item(task *t, const plan_edge **from, bool *aligned);
bool task_inlets_ended(const task *t);

#endif
