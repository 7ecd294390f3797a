/*
 * core/supervise/link.h - the worker's end of the link to its supervisor.
 *
 * A socket pair; each message is one line of JSON. The worker says ready, beat, failed; the
 * supervisor says drain, and hands on requests that came over the control socket. A thread of the
 * link reads; what arrives waits in a queue and signals `wake`. All functions [control] unless
 * marked.
 */
#ifndef WEIR_SUPERVISE_LINK_H
#define WEIR_SUPERVISE_LINK_H

#include "base/error.h"
#include "base/wake.h"

typedef struct worker_link worker_link;

/* From here on requests and drains signal `w`. Starts the reading thread; also installs the crash
 * report handlers (crash.h). */
weir_status link_start(worker_link *l, wake *w, weir_error *err);
void link_stop(worker_link *l);

/* The pipeline runs: from now on a failure is one of run time. */
void link_ready(worker_link *l);
/* All threads of the worker are well; at least every second or so. */
void link_beat(worker_link *l);
/* How the run failed; `restartable` is false for failures that a restart cannot mend. */
void link_failed(worker_link *l, bool restartable, const char *text);

/* A drain was asked for: SIGTERM or SIGINT at the supervisor, or the supervisor's end. Async-signal
 * safe to read. */
bool link_draining(const worker_link *l);

/* A request from the control socket. */
typedef struct link_request {
    struct link_request *next;
    uint64_t id;
    char *json; /* one object, without a newline; its word "do" says what is asked */
} link_request;
link_request *link_take(worker_link *l); /* the next one, or NULL; to be freed with request_free */
void link_request_free(link_request *r);
/* The answer to request `id`: one JSON object without a newline. */
void link_answer(worker_link *l, uint64_t id, const char *json);

#endif
