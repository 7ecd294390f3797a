/*
 * core/supervise/keeper.h - one pipeline as the supervisor sees it.
 *
 *            fork            ready                    exit 0
 *   (start) ----> STARTING --------> RUNNING ----------------> ENDED
 *                  ^    |               |                        ^
 *                  |    +---- fails ----+--- no further attempt -+
 *              delay over       | restart allowed                |
 *                  |            v                                |
 *                  +--------- WAITING ---- drain, stop ----------+
 *
 * `stopping` lies across the states: a drain is under way, nothing is restarted any more. A worker
 * that was told to die stays in its state until it is reaped.
 */
#ifndef WEIR_SUPERVISE_KEEPER_H
#define WEIR_SUPERVISE_KEEPER_H

#include <poll.h>
#include <signal.h>

#include "supervise/control.h"
#include "supervise/event.h"
#include "supervise/lines.h"
#include "supervise/restart.h"
#include "supervise/supervisor.h"

typedef enum { KEEPER_STARTING, KEEPER_RUNNING, KEEPER_WAITING, KEEPER_ENDED } keeper_state;

typedef struct keeper_request { /* went to the worker, has no answer yet */
    uint64_t id, ticket;
    bool stop;
} keeper_request;

typedef struct keeper keeper;

/* What all keepers of a supervisor share. */
typedef struct keepers {
    keeper *all;
    size_t count;
    int64_t heartbeat_ns, drain_margin_ns, abort_grace_ns;
    int signal_fd;
    sigset_t mask_before; /* what a worker gets back */
    int first_failure;    /* exit status of the first pipeline that ended badly; 0: none yet */
    bool killing;         /* a second signal came */
} keepers;

struct keeper {
    keepers *super;
    const supervised *spec;
    event_source events;
    control_server *control; /* NULL: none */
    keeper_state state;
    bool stopping;

    pid_t pid; /* 0: no worker */
    lines link;
    bool ever_ran; /* some worker was ready */
    bool ready;    /* this one was */
    bool told;     /* it said how it failed */
    worker_outcome outcome;
    int64_t first_forked_ns; /* when it was started for the first time; 0 = not yet */
    int64_t forked_ns, ready_ns;
    int64_t heard_ns;   /* its last sign of life */
    int64_t give_up_ns; /* drain: SIGKILL then; INT64_MAX: no drain */
    int64_t kill_ns;    /* after SIGABRT: SIGKILL then; INT64_MAX: no hang found */
    int64_t due_ns;     /* WAITING: when the next worker starts */
    bool end_at_once;   /* killed for a reason that no restart mends */
    char why_killed[256];

    restart_count count;
    uint32_t attempt; /* of the next worker */
    uint64_t restarts;
    int64_t supervised_us, started_us;
    char last_error[1024];
    int exit_status;   /* ENDED */
    int64_t linger_ns; /* ENDED: the control socket is closed then, or when all is sent */

    keeper_request *asked;
    size_t asked_count, asked_cap;
    uint64_t next_id;
};

void keeper_init(keeper *k, keepers *super, const supervised *spec, bool json);
/* Opens the control socket. */
weir_status keeper_listen(keeper *k, weir_error *err);
void keeper_free(keeper *k); /* closes the control socket; the worker is gone */

/* Forks the worker. */
void keeper_start(keeper *k);
/* Asks the worker to drain, or ends the wait for the next one. Asking again changes nothing. */
void keeper_drain(keeper *k, int64_t now, const char *why);
/* SIGKILL at once. */
void keeper_kill(keeper *k, const char *why);

nfds_t keeper_poll_fill(keeper *k, struct pollfd *fds, nfds_t max);
void keeper_poll_done(keeper *k, const struct pollfd *fds, nfds_t count);
/* Reads what the worker said. */
void keeper_hear(keeper *k);
/* Reaps the worker if it has ended, and decides what comes then. */
void keeper_reap(keeper *k);
/* Does what is due by `now`; answers when the next thing is, INT64_MAX if nothing is. */
int64_t keeper_tick(keeper *k, int64_t now);
/* The supervisor itself did not run for `ns`: silence of workers in that time says nothing. */
void keeper_forgive(keeper *k, int64_t ns);

/* In a forked worker: closes what belongs to the supervisor. */
void keeper_forget(keeper *k);

/* Answers a request that came over the control socket, or hands it on. keeper_request.c */
void keeper_on_request(void *opaque, uint64_t ticket, weir_str json);
/* The worker's answer: "ID {...}". */
void keeper_on_answer(keeper *k, weir_str line);
/* The worker is gone: what still waits for an answer gets one. */
void keeper_fail_requests(keeper *k);

/* The worker's process: worker.c. False if there is none; `why` says why not. */
bool worker_fork(keeper *k, char *why, size_t size);
/* How it ended, as text: "exit status 3", "killed by SIGSEGV". */
void worker_status_text(int wait_status, char *out, size_t size);

#endif
