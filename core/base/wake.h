/*
 * core/base/wake.h - how one thread sleeps until another has something for it.
 *
 * A waker has one sleeper and any number of wakers. A signal is never lost: one that comes before
 * the sleeper sleeps makes its next wake_wait return at once; several before that are one. What a
 * thread did before wake_signal is visible after the wake_wait that it ends.
 *
 * The sleeper's loop is: wait, look at everything, act, again. It looks after it has waited, so
 * whatever is put in front of it while it looks has a signal that ends the next wait.
 */
#ifndef WEIR_BASE_WAKE_H
#define WEIR_BASE_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct wake {
    _Atomic uint32_t state; /* see wake.c; also the futex word */
    /* Ends a sleep that goes on inside foreign code; see wake_enter. Set once, before sharing. */
    void (*hook)(void *opaque);
    void *opaque;
} wake;

void wake_init(wake *w);
/* Async-signal-safe. While the signal before is not consumed this is one atomic operation; there
 * is a system call only when the sleeper really sleeps. [any] */
void wake_signal(wake *w);
/* Sleeps until a signal or until CLOCK_MONOTONIC reaches `deadline_ns` (INT64_MAX: no deadline).
 * True if there was a signal, which is thereby consumed; a deadline in the past only looks. Only
 * one thread at a time. [task] */
bool wake_wait(wake *w, int64_t deadline_ns);

/* For a sleep that happens inside a plugin's call instead: after `wake_enter` answered true and
 * until `wake_leave`, a signal calls `hook(opaque)`, which makes that call return (it must be
 * async-signal-safe, as wake_signal is). False: a signal is there already and stays; do not sleep.
 * wake_leave consumes the signal and says whether there was one. [task] */
bool wake_enter(wake *w);
bool wake_leave(wake *w);

#endif
