/*
 * core/runtime/runtime.h - a pipeline that runs: tasks, channels, start, drain, end.
 */
#ifndef WEIR_RUNTIME_RUNTIME_H
#define WEIR_RUNTIME_RUNTIME_H

#include "base/wake.h"
#include "checkpoint/coordinator.h"
#include "checkpoint/store.h"
#include "runtime/counters.h"
#include "runtime/plan.h"
#include "runtime/splits.h"

typedef struct runtime runtime;

typedef struct runtime_config {
    const plan *plan;
    registry *plugins;
    bool once; /* take what is there now: no discovery after the first enumeration */
    /* Asked several times a second during a start, also while an earlier run's output is being
     * committed: true ends it. May be NULL. */
    bool (*interrupted)(void *opaque);
    void *interrupted_opaque;
    /* Where the state of this pipeline lies, open for writing; NULL: nothing is kept. */
    store *store;
    /* Told at the begin and end of every task's thread, in it: so that a crash names the task. May
     * be NULL. */
    void (*thread_begins)(const char *name); /* "clicks/kinesis[0]" */
    void (*thread_ends)(void);
    const checkpoint *from; /* to start from; NULL = a fresh start. Lives as long as the runtime */
    bool fork;              /* `from` is a savepoint of another run that goes on: a new run id */
    bool allow_non_restored;
    uint32_t attempt; /* restarts so far */
    /* What outlives this process, for the runs behind restarts; both may be NULL. `lost` counts
     * pieces that could not be committed, of earlier attempts too; `durable` is set when state of
     * this run, and be it that of its restore, is durable: before a sink writes what rests on it.
     */
    _Atomic uint64_t *lost;
    _Atomic bool *durable;
    /* How savepoint `ticket` went: status OK if it is there. [any] */
    void (*answer)(void *opaque, uint64_t ticket, uint64_t epoch, const weir_error *err);
    void *answer_opaque;
} runtime_config;

/* Creates every instance and channel. NULL with `err`. [control] */
runtime *runtime_new(const runtime_config *config, weir_error *err);
/* Starts the threads and waits until every task has opened. On failure everything has ended again.
 * [control] */
weir_status runtime_start(runtime *rt, weir_error *err);
/* Sources stop, what is under way is finished. Returns at once. Async-signal-safe. [any] */
void runtime_drain(runtime *rt);
/* Gives up: what is under way is dropped; nothing of it was acknowledged as delivered. [any] */
void runtime_abandon(runtime *rt, weir_status status, const char *why);
/* Sleeps until the pipeline ended, somebody signalled runtime_wake, or `deadline_ns`. True once
 * every task's loop has ended. [control] */
bool runtime_wait(runtime *rt, int64_t deadline_ns);
wake *runtime_wake(runtime *rt);
/* Joins all threads and closes sources. The first failure, or WEIR_OK. [control] */
weir_status runtime_finish(runtime *rt, weir_error *err);
void runtime_free(runtime *rt); /* after finish, or instead of start */

/* Asks for a savepoint; config.answer tells how it went. [any] */
void runtime_savepoint(runtime *rt, weir_str name, uint64_t ticket);
/* The drain that follows ends with this savepoint. [any] */
void runtime_stop_with_savepoint(runtime *rt, weir_str name, uint64_t ticket);

/* ---- status [control] ---- */

counters *runtime_counters(runtime *rt, const node *n); /* [any] */
/* The splits of a source node, NULL for other nodes. */
splits *runtime_splits(runtime *rt, const node *n);
/* A position of a source's split as its plugin tells it to people. UNSUPPORTED: it does not;
 * TIMEOUT: it is busy for longer than a moment; others: not this one. */
weir_status runtime_position_text(runtime *rt, const node *n, weir_str position, char *out,
                                  size_t size);
uint64_t runtime_memory_used(const runtime *rt);
uint64_t runtime_memory_peak(const runtime *rt);
int64_t runtime_ready_ns(const runtime *rt); /* mono, when all tasks were open; 0 = not yet */
int64_t runtime_first_record_ns(const runtime *rt); /* mono, 0 = none yet */
bool runtime_draining(const runtime *rt);           /* [any] */
/* All tasks are open and every source knows its splits. [any] */
bool runtime_running(const runtime *rt);
/* No task has been inside one call of a plugin for longer than LIMIT_PLUGIN_CALL_S. [any] */
bool runtime_healthy(const runtime *rt);
/* The latest checkpoints, newest first; how many. [any] */
uint32_t runtime_checkpoints(runtime *rt, epoch_record out[COORDINATOR_HISTORY]);
uint64_t runtime_completed_epoch(runtime *rt); /* 0 = none yet [any] */
uint64_t runtime_restored_epoch(const runtime *rt);
/* Prepared pieces that could not be committed any more, in this attempt and earlier ones of this
 * run: data is known to be lost. [any] */
uint64_t runtime_lost(const runtime *rt);

#endif
