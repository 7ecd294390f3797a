/*
 * core/supervise/link.h - the worker's end of the link to its supervisor.
 *
 * A socket pair; each message is one line: a word and what belongs to it (link_private.h). The
 * worker says ready, beat, stopping, failed; the supervisor says drain, and hands on requests that
 * came over the control socket. A thread of the link reads; what arrives waits in a queue and
 * signals `wake`. All functions [control] unless marked; every function takes a NULL link, and then
 * does nothing: a runtime without a supervisor.
 */
#ifndef WEIR_SUPERVISE_LINK_H
#define WEIR_SUPERVISE_LINK_H

#include "base/error.h"
#include "base/wake.h"

typedef struct worker_link worker_link;

/* How a worker ended, told over the link before it exits. */
typedef enum {
    WORKER_OK,     /* drained or finished: exit status 0 */
    WORKER_FAILED, /* restarted as `restart` says */
    WORKER_CONFIG, /* configuration, credentials, permission, a missing stream: ends the pipeline
                      with the worker's exit status (78 or 1) if it never ran; else as FAILED */
    WORKER_LOST    /* data is known to be lost (rule 15): exit status 1, not restarted by itself */
} worker_outcome;

/* From here on requests and drains signal `w`. Starts the reading thread; also installs the crash
 * report handlers (crash.h). */
weir_status link_start(worker_link *l, wake *w, weir_error *err);
/* After link_start: signals `w` instead; at once if there is something to hear. When it has
 * returned nobody touches the wake before. */
void link_wakes(worker_link *l, wake *w);
/* Ends the thread; failed may still be said. */
void link_stop(worker_link *l);

/* The pipeline runs: from now on a failure is one of run time. */
void link_ready(worker_link *l);
/* All threads of the worker are well; at least every second or so. More than some per second cost
 * nothing: they are not sent. */
void link_beat(worker_link *l);
/* The pipeline ends now by its own decision (a stop request, --for): the grace of a drain begins,
 * and the worker is not restarted whatever happens. */
void link_stopping(worker_link *l);
/* How the run failed: the last words before a non-zero exit status. */
void link_failed(worker_link *l, worker_outcome outcome, const char *text);

/* A drain was asked for: SIGTERM or SIGINT at the supervisor, or the supervisor's end. Async-signal
 * safe to read. [any] */
bool link_draining(const worker_link *l);

/* What the supervisor knows of the time before this worker, for `status`. */
typedef struct link_history {
    uint64_t restarts;      /* of this pipeline since the supervisor began */
    int64_t supervised_us;  /* wall clock: when the supervisor first started it */
    int64_t started_us;     /* wall clock: when this worker was forked */
    const char *last_error; /* why the worker before ended; "" if there was none */
} link_history;
const link_history *link_history_of(const worker_link *l); /* never NULL [any] */

/* A request from the control socket. */
typedef struct link_request {
    struct link_request *next;
    uint64_t id;
    char *json; /* one object, without a newline; its word "do" says what is asked */
} link_request;
link_request *link_take(worker_link *l); /* the next one, or NULL; to be freed with request_free */
void link_request_free(link_request *r);
/* The answer to request `id`: one JSON object without a newline (asserted), at most
 * LINK_ANSWER_MAX bytes; a longer one becomes an error that says so. */
#define LINK_ANSWER_MAX ((size_t)64 * 1024 * 1024)
void link_answer(worker_link *l, uint64_t id, const char *json);

#endif
