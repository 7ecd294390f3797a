/*
 * core/runtime/context.h - what all parts of one running pipeline share.
 *
 * The plan, the plugins, the memory home, the counters; whether the pipeline drains or stops, and
 * its first failure. Everything below the runtime (tasks, chains, batchers, instances) knows this
 * and nothing above it: the runtime owns the context and the tasks, and says through `on_stop` how
 * to end them.
 */
#ifndef WEIR_RUNTIME_CONTEXT_H
#define WEIR_RUNTIME_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/wake.h"
#include "batch/batch.h"
#include "checkpoint/state.h"
#include "runtime/counters.h"
#include "runtime/keyed.h"
#include "runtime/plan.h"
#include "runtime/template_eval.h"

/* What a pipeline is doing. Only ever grows. */
typedef enum { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING } pipeline_phase;

typedef struct context {
    /* Fixed before any thread starts. */
    const plan *plan;
    registry *plugins;
    bool once; /* no discovery after the first enumeration */
    batch_home *home;
    counters *counters;            /* by node index */
    const checkpoint *restored;    /* what this run starts from; NULL = a fresh start */
    uint32_t max_parallelism;      /* key groups: the restored state's, else the manifest's */
    weir_str run_id;               /* unique to the pipeline instance, kept with its state */
    uint32_t attempt;              /* restarts so far */
    bool allow_non_restored;       /* state that matches nothing is dropped */
    void (*on_stop)(void *opaque); /* cancels and wakes everything, once [any] */
    void *opaque;
    wake control; /* of the control thread */
    /* Shared. */
    _Atomic int phase; /* pipeline_phase */
    _Atomic bool stopping;
    _Atomic int64_t first_record_ns;
    /* Said by the checkpoint thread, obeyed by tasks. */
    _Atomic uint64_t barrier_epoch; /* sources: send this barrier */
    _Atomic uint32_t barrier_order; /* order_kind of it; written first */
    _Atomic uint64_t commit_epoch;  /* sinks: everything up to it is durable */
    _Atomic uint64_t done_epoch;    /* sources: and committed */
    _Atomic bool finish;            /* the final epoch is sealed: sources end */
    _Atomic uint64_t *lost;         /* committables that could not be committed any more */
    _Atomic uint64_t own_lost;      /* ... where nobody counts over restarts */
    _Atomic bool *durable;          /* set once state of this run is durable; may be NULL */
    keyed_pool keyed;               /* memory for state by key */
    pthread_mutex_t lock;           /* over the two below */
    weir_error *error;              /* the first failure */
    bool failed;
} context;

/* Zeroed memory becomes a context. `on_room` as in batch_home_new. [control] */
weir_status context_init(context *cx, const plan *p, registry *plugins, bool once,
                         void (*on_room)(void *opaque), void *opaque, weir_error *err);
void context_destroy(context *cx);

/* Sources are to stop; what is under way is to be finished. [any] */
bool context_draining(const context *cx);
/* Leave loops at once. [any] */
bool context_stopping(const context *cx);
/* Stops the pipeline because of `err`; only the first failure is kept. [any] */
void context_fail(context *cx, const weir_error *err);
/* The first failure copied to `err`, or WEIR_OK. [any] */
weir_status context_failure(context *cx, weir_error *err);

counters *context_counters(context *cx, const node *n); /* [any] */
/* A checkpoint of this run is durable. [any] */
void context_durable(context *cx);
/* What the restored checkpoint holds of a node; NULL = nothing. */
const state_node *context_restored(const context *cx, const node *n);
/* True if the memory budget has room for more records. [any] */
bool context_memory_room(const context *cx);
void context_note_record(context *cx); /* when the first one came is remembered [any] */
/* Clock and randomness for templates. */
const template_env *context_template_env(void);

#endif
