/*
 * The worker's process: how it comes to be and what it leaves behind of the supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "supervise/keeper.h"
#include "supervise/link_private.h"

/* The largest request and some; the largest answer with its head. */
#define LINK_OUT_MAX (CONTROL_CLIENTS_MAX * (CONTROL_REQUEST_MAX + 64) + 4096)
#define LINK_LINE_MAX (LINK_ANSWER_MAX + 64)

static _Noreturn void live(keeper *k, int fd, pid_t supervisor);

bool worker_fork(keeper *k, char *why, size_t size) {
    int ends[2];
    char text[128];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        snprintf(why, size, "no socket pair for a worker: %s",
                 os_strerror(errno, text, sizeof text));
        return false;
    }
    /* What lies in our buffers would be written by both. */
    fflush(stdout);
    fflush(stderr);
    pid_t supervisor = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        live(k, ends[1], supervisor);
    }
    int code = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        snprintf(why, size, "could not fork a worker: %s", os_strerror(code, text, sizeof text));
        return false;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* its own description: the worker's end still blocks */
    lines_open(&k->link, ends[0], LINK_LINE_MAX, LINK_OUT_MAX);
    k->pid = pid;
    return true;
}

void worker_status_text(int wait_status, char *out, size_t size) {
    char name[24];
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        snprintf(out, size, "was killed by %s%s", event_signal_name(number, name, sizeof name),
                 number == SIGKILL ? " (out of memory? the system's log may say so)" : "");
    } else {
        snprintf(out, size, "ended with exit status %d", WEXITSTATUS(wait_status));
    }
}

/* Signals of the terminal and of whoever signals the whole group reach the worker too. It ignores
 * them: the supervisor alone decides, so that each of them counts once. */
static void worker_signals(const keepers *super) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        sigaction(ignored[i], &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, NULL);
    sigprocmask(SIG_SETMASK, &super->mask_before, NULL);
}

static _Noreturn void live(keeper *k, int fd, pid_t supervisor) {
    /* A supervisor that died before the prctl sends no signal any more. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != supervisor) _exit(EXIT_FAILURE);
    for (size_t i = 0; i < k->super->count; i++) keeper_forget(&k->super->all[i]);
    close(k->super->signal_fd);
    worker_signals(k->super);
    link_setup setup = {.fd = fd,
                        .pipeline = k->spec->name,
                        .state_folder = k->spec->state_folder,
                        .history = {.restarts = k->restarts,
                                    .supervised_us = k->supervised_us,
                                    .started_us = k->started_us,
                                    .last_error = k->last_error}};
    worker_link *l = link_new(&setup);
    if (l == NULL) _exit(EXIT_FAILURE);
    int status = k->spec->work(k->spec->opaque, l, k->attempt);
    link_free(l);
    exit(status);
}
