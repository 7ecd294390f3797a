/*
 * core/runtime/guarded.h - a call into a plugin that shall not hang us.
 *
 * The call runs on a thread of its own while the caller waits: until it returns, until its deadline
 * or until somebody does not want it any more. Then it is cancelled; one that does not come back
 * even so is left behind with all that it can reach.
 */
#ifndef WEIR_RUNTIME_GUARDED_H
#define WEIR_RUNTIME_GUARDED_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    GUARDED_DONE,        /* it returned by itself */
    GUARDED_LATE,        /* it returned after it was cancelled at its deadline */
    GUARDED_INTERRUPTED, /* it returned after `interrupted` said so */
    GUARDED_LOST,     /* it did not return: `opaque` is its own from now on, and is never freed */
    GUARDED_NO_THREAD /* it was not called */
} guarded_end;

typedef struct guarded_call {
    void (*call)(void *opaque);
    void (*cancel)(void *opaque); /* makes `call` return soon; from another thread */
    void *opaque;
    int64_t deadline_ns; /* mono: when it is cancelled */
    /* Asked some times a second while it runs; may be NULL. */
    bool (*interrupted)(void *opaque);
    void *interrupted_opaque;
    /* On the thread, before and after; may be NULL. */
    void (*thread_begins)(const char *name);
    void (*thread_ends)(void);
    const char *name; /* of the thread; lives as long as the process */
} guarded_call;

guarded_end guarded_run(const guarded_call *c); /* [control] */

#endif
