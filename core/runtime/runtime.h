/*
 * core/runtime/runtime.h - a pipeline that runs: tasks, channels, start, drain, end.
 */
#ifndef WEIR_RUNTIME_RUNTIME_H
#define WEIR_RUNTIME_RUNTIME_H

#include <signal.h>

#include "base/wake.h"
#include "runtime/counters.h"
#include "runtime/plan.h"
#include "runtime/splits.h"

typedef struct runtime runtime;

typedef struct runtime_config {
    const plan *plan;
    registry *plugins;
    bool once; /* take what is there now: no discovery after the first enumeration */
    /* Set by a signal handler that also signals runtime_wake: ends a start that takes long. May be
     * NULL. */
    const volatile sig_atomic_t *interrupted;
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

/* ---- status [control] ---- */

counters *runtime_counters(runtime *rt, const node *n); /* [any] */
/* The splits of a source node, NULL for other nodes. */
splits *runtime_splits(runtime *rt, const node *n);
uint64_t runtime_memory_used(const runtime *rt);
uint64_t runtime_memory_peak(const runtime *rt);
int64_t runtime_ready_ns(const runtime *rt); /* mono, when all tasks were open; 0 = not yet */
int64_t runtime_first_record_ns(const runtime *rt); /* mono, 0 = none yet */
bool runtime_draining(const runtime *rt);           /* [any] */

#endif
