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

#include "runtime/batcher.h"
#include "runtime/chain.h"
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
    wake wake; /* shared */
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
    weir_limits limits;
    weir_error *error;
    _Atomic bool loop_ended; /* shared */
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

/* ---- shared by the loops ---- */

/* Everything that a whole turn may have gathered in outlets is on its way; true if all of it is. */
bool task_flush_outlets(task *t);
/* Every outlet takes another batch. */
bool task_outlets_room(task *t);
/* END_OF_INPUT to all consumers; then waits until the outlets are empty, or the runtime stops. */
weir_status task_end_outlets(task *t, weir_error *err);
/* The next item of any inlet, in turn; ITEM_NONE if all are empty. */
channel_item task_next_item(task *t, const plan_edge **from);
bool task_inlets_ended(const task *t);

#endif
