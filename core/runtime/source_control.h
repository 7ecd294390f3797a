/*
 * core/runtime/source_control.h - the control instance of one source: enumerate, then discover.
 *
 * Runs on a thread of its own, because enumerating may wait for a network while data moves.
 */
#ifndef WEIR_RUNTIME_SOURCE_CONTROL_H
#define WEIR_RUNTIME_SOURCE_CONTROL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/instance.h"
#include "runtime/splits.h"

typedef struct source_control {
    context *cx;
    const node *node;
    splits *splits;
    instance *main;
    wake wake;
    pthread_t thread;
    bool started;
    _Atomic bool enumerated; /* the first enumeration is in the table */
    _Atomic bool ended;      /* the thread is about to return */
    _Atomic bool cancelled;  /* nobody waits for splits any more */
    weir_error *trouble;     /* why the latest look failed */
    bool unreached; /* the run ended before the first enumeration succeeded, because of `trouble`;
                       good once the thread has been joined */
    /* Calls into the instance are serialised: those of its thread, and captures. */
    pthread_mutex_t lock;
    pthread_cond_t free;
    bool busy;
    bool open_tried; /* its open returned, however */
} source_control;

weir_status source_control_init(source_control *c, context *cx, const node *n, splits *s,
                                weir_error *err);
void source_control_destroy(source_control *c);
/* The thread's function. */
void *source_control_run(void *control);
/* The trigger of a checkpoint: the splits as they are, and the control instance's private state,
 * into `part`. Waits for a call that is under way, at most until the deadline. [checkpoint thread]
 */
weir_status source_control_capture(source_control *c, uint64_t epoch, state_part *part,
                                   int64_t deadline_ns, weir_error *err);
/* A position as the plugin's weir.source.position/1 tells it to people, NUL-terminated into `out`.
 * UNSUPPORTED: it has none; TIMEOUT: it lists splits for longer than the deadline;
 * others: it has no text for this one. [control] */
weir_status source_control_position(source_control *c, weir_str position, char *out, size_t size,
                                    int64_t deadline_ns);
void source_control_cancel(source_control *c); /* [any] */

#endif
