/*
 * core/supervise/supervisor.h - one worker process a pipeline, and who looks after it.
 *
 *   supervisor (weir run)              worker (forked, one a pipeline)
 *     signals, restarts, reaping  <--link-->  runs the pipeline, answers requests
 *     control sockets
 *
 * The supervisor parses nothing and moves no record: it forks a worker for each pipeline, restarts
 * it from its last checkpoint as `restart` says, and forwards requests from control sockets to it.
 * A worker dies with its supervisor (parent-death signal); the supervisor reaps the old worker
 * before it starts another. Single-threaded; must run before the process has any other thread.
 */
#ifndef WEIR_SUPERVISE_SUPERVISOR_H
#define WEIR_SUPERVISE_SUPERVISOR_H

#include "base/error.h"
#include "manifest/manifest.h"
#include "supervise/link.h"

typedef struct supervised {
    const char *name;         /* the pipeline's */
    const char *state_folder; /* <state>/<name>: control.sock, crash reports; NULL: neither */
    restart_spec restart;
    int64_t start_timeout_ns; /* from the first fork to the first link_ready, attempts
                                 included; 0 = none */
    int64_t stop_timeout_ns;  /* grace of a drain */
    /* The worker's whole life, in the forked process; its answer is the exit status. `attempt` is 0
     * for the first start. */
    int (*work)(void *opaque, worker_link *link, uint32_t attempt);
    void *opaque;
} supervised;

typedef struct supervisor_config {
    const supervised *pipelines;
    size_t count;
    int64_t heartbeat_timeout_ns; /* a worker silent for so long is hung; 0 = the default, 60 s */
    int64_t drain_margin_ns;      /* after stop_timeout, before SIGKILL; 0 = 5 s */
    int64_t abort_grace_ns;       /* for the report of a hung worker; 0 = 10 s */
    bool json;                    /* events as JSON lines on standard error */
} supervisor_config;

/* Runs until every pipeline has ended for good. The exit status for the program: 0 if all ended
 * well, else that of the first that did not (1 or 78). Signals, their mask and SIGCHLD are the
 * supervisor's while it runs and as before afterwards. */
int supervisor_run(const supervisor_config *config);

#endif
