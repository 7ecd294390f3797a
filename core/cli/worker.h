/*
 * core/cli/worker.h - the life of one worker process: one pipeline from its state to its end.
 */
#ifndef WEIR_CLI_WORKER_H
#define WEIR_CLI_WORKER_H

#include <stdatomic.h>

#include "cli/cli.h"
#include "supervise/link.h"

/* What outlives a worker; in memory that it shares with its supervisor. */
typedef struct worker_shared {
    /* State of this command's line of runs is durable: from here on restarts take the latest, and
     * --from is forgotten. */
    _Atomic bool own_state;
    /* Prepared pieces that could not be committed any more, over all restarts: no exit status 0. */
    _Atomic uint64_t lost;
    /* When the run is over that may last `for_ns`, mono; 0 = no worker was ready yet. A restart is
     * the same run. */
    _Atomic int64_t end_ns;
} worker_shared;

typedef struct worker_job {
    const loaded *loaded;
    const char *state_folder;
    const char *fetch_folder; /* for files of references; in the state folder */
    bool once, json, quiet;   /* quiet: several pipelines share the terminal */
    int64_t for_ns;           /* 0 = no end */
    const char *from;         /* latest, none, a name or a path */
    bool allow_non_restored;
    int64_t started_ns; /* of the program */
    worker_shared *shared;
} worker_job;

/* Folders of files that references brought begin so, in the state folder. */
#define FETCH_PREFIX "fetched-"

/* The worker's whole life; its exit status. `job` is a worker_job. */
int worker_main(void *job, worker_link *link, uint32_t attempt);

#endif
