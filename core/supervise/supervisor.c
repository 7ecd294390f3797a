#include "supervise/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/keeper.h"

#define HEARTBEAT_NS (60 * CLOCK_NS_PER_S)
#define DRAIN_MARGIN_NS (5 * CLOCK_NS_PER_S)
#define ABORT_GRACE_NS (10 * CLOCK_NS_PER_S)
/* One wish to stop can be many signals: timeout(1) signals its child and then the group, a service
 * manager sends SIGTERM and SIGHUP. What comes in this time after the first, before we have shown
 * any reaction to it, is that one wish. */
#define SETTLE_NS (20 * CLOCK_NS_PER_MS)
/* A loop that comes back so much later than asked did not run: it was stopped, or the machine was
 * busy beyond measure. */
#define LATE_NS CLOCK_NS_PER_S
#define STATUS_FAILED 1

typedef struct signals {
    sigset_t mask_before;
    struct sigaction pipe_before, child_before;
    bool hup; /* SIGHUP is ours; not under nohup */
} signals;

static bool signals_open(signals *s, keepers *all);
static void signals_close(const signals *s, keepers *all);
static int run(keepers *all, const event_source *self);

/* A forked copy of a process with threads holds their locks for ever. */
static void assert_single_threaded(void) {
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL) return;
    unsigned threads = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.') threads++;
    closedir(dir);
    WEIR_ASSERT(threads <= 1);
#endif
}

int supervisor_run(const supervisor_config *config) {
    assert_single_threaded();
    keepers all = {.count = config->count, .signal_fd = -1};
    all.heartbeat_ns =
        config->heartbeat_timeout_ns > 0 ? config->heartbeat_timeout_ns : HEARTBEAT_NS;
    all.drain_margin_ns = config->drain_margin_ns > 0 ? config->drain_margin_ns : DRAIN_MARGIN_NS;
    all.abort_grace_ns = config->abort_grace_ns > 0 ? config->abort_grace_ns : ABORT_GRACE_NS;
    event_source self = {NULL, config->json};
    weir_error *err = error_new();
    all.all = mem_array(config->count, sizeof *all.all);
    if (all.all == NULL || err == NULL) {
        event_say(&self, WEIR_LOG_ERROR, "failed", 0, "out of memory");
        mem_free(all.all);
        error_free(err);
        return STATUS_FAILED;
    }
    for (size_t i = 0; i < config->count; i++)
        keeper_init(&all.all[i], &all, &config->pipelines[i], config->json);
    int status = 0;
    for (size_t i = 0; i < config->count && status == 0; i++) {
        if (keeper_listen(&all.all[i], err) == WEIR_OK) continue;
        buf text;
        buf_init(&text, 65536);
        error_format(err, &text);
        event_say(&all.all[i].events, WEIR_LOG_ERROR, "failed", 0, "%.*s", STR_FMT(buf_str(&text)));
        buf_free(&text);
        status = STATUS_FAILED;
    }
    signals saved;
    if (status == 0 && !signals_open(&saved, &all)) {
        event_say(&self, WEIR_LOG_ERROR, "failed", 0, "no descriptor for signals");
        status = STATUS_FAILED;
    } else if (status == 0) {
        status = run(&all, &self);
        signals_close(&saved, &all);
    }
    for (size_t i = 0; i < config->count; i++) keeper_free(&all.all[i]);
    mem_free(all.all);
    error_free(err);
    return status;
}

/* ---- signals ---- */

static bool signals_open(signals *s, keepers *all) {
    struct sigaction action;
    sigaction(SIGHUP, NULL, &action);
    s->hup = action.sa_handler != SIG_IGN;
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGCHLD);
    if (s->hup) sigaddset(&ours, SIGHUP);
    sigprocmask(SIG_BLOCK, &ours, &s->mask_before);
    all->mask_before = s->mask_before;
    all->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL; /* ignored, children would reap themselves and leave no status */
    sigaction(SIGCHLD, &action, &s->child_before);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, &s->pipe_before);
    if (all->signal_fd >= 0) return true;
    signals_close(s, all);
    return false;
}

static void signals_close(const signals *s, keepers *all) {
    if (all->signal_fd >= 0) close(all->signal_fd);
    sigaction(SIGCHLD, &s->child_before, NULL);
    sigaction(SIGPIPE, &s->pipe_before, NULL);
    sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
}

/* Reads all that is pending; the number of the first wish to stop, or 0. */
static int signals_read(int fd) {
    int stop = 0;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD && stop == 0) stop = (int)info.ssi_signo;
    }
    return stop;
}

static void on_stop_signal(keepers *all, const event_source *self, int number, bool *draining) {
    char name[24];
    event_signal_name(number, name, sizeof name);
    if (!*draining) {
        /* Read from the descriptor they still are, being blocked; but one that comes when the last
         * has been read and the mask is given back shall not change how this process ends. */
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGTERM, &ignore, NULL);
        sigaction(SIGINT, &ignore, NULL);
        sigaction(SIGHUP, &ignore, NULL);
        struct timespec settle = {0, SETTLE_NS};
        nanosleep(&settle, NULL);
        (void)signals_read(all->signal_fd);
        *draining = true;
        int64_t now = clock_mono_ns(&clock_system);
        for (size_t i = 0; i < all->count; i++)
            keeper_drain(&all->all[i], now, event_signal_name(number, name, sizeof name));
        return;
    }
    event_say(self, WEIR_LOG_ERROR, "killed", 0, "second signal, leaving at once");
    all->killing = true;
    for (size_t i = 0; i < all->count; i++) keeper_kill(&all->all[i], "killed: a second signal");
}

/* ---- the loop ---- */

static bool all_ended(const keepers *all) {
    for (size_t i = 0; i < all->count; i++)
        if (all->all[i].state != KEEPER_ENDED || all->all[i].control != NULL) return false;
    return true;
}

/* Milliseconds until `until`, rounded up, so that poll does not come back a moment too early. */
static int poll_timeout(int64_t now, int64_t until) {
    if (until == INT64_MAX) return -1;
    if (until <= now) return 0;
    int64_t ms = (until - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
    return ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

static int run(keepers *all, const event_source *self) {
    nfds_t max = 1 + (nfds_t)all->count * (1 + CONTROL_POLL_MAX);
    struct pollfd *fds = mem_array(max, sizeof *fds);
    nfds_t *taken = mem_array(all->count, sizeof *taken);
    bool draining = false;
    if (fds == NULL || taken == NULL) {
        event_say(self, WEIR_LOG_ERROR, "failed", 0, "out of memory");
        mem_free(fds);
        mem_free(taken);
        return STATUS_FAILED;
    }
    int64_t now = clock_mono_ns(&clock_system);
    for (;;) {
        int64_t next = INT64_MAX;
        for (size_t i = 0; i < all->count; i++) {
            int64_t due = keeper_tick(&all->all[i], now);
            if (due < next) next = due;
        }
        if (all_ended(all)) break;
        fds[0] = (struct pollfd){.fd = all->signal_fd, .events = POLLIN};
        nfds_t n = 1;
        for (size_t i = 0; i < all->count; i++) {
            taken[i] = keeper_poll_fill(&all->all[i], fds + n, max - n);
            n += taken[i];
        }
        now = clock_mono_ns(&clock_system);
        int timeout = poll_timeout(now, next);
        int64_t asked = timeout < 0 ? INT64_MAX : now + timeout * CLOCK_NS_PER_MS;
        (void)poll(fds, n, timeout);
        int64_t before = now;
        now = clock_mono_ns(&clock_system);
        if (asked != INT64_MAX && now - asked > LATE_NS) {
            for (size_t i = 0; i < all->count; i++) keeper_forgive(&all->all[i], now - before);
        }
        /* Links first: what a worker said counts before what is due, and before its end. */
        for (size_t i = 0; i < all->count; i++) keeper_hear(&all->all[i]);
        nfds_t at = 1;
        for (size_t i = 0; i < all->count; at += taken[i], i++)
            keeper_poll_done(&all->all[i], fds + at, taken[i]);
        int stop = (fds[0].revents & POLLIN) != 0 ? signals_read(all->signal_fd) : 0;
        if (stop != 0) on_stop_signal(all, self, stop, &draining);
        for (size_t i = 0; i < all->count; i++) keeper_reap(&all->all[i]);
    }
    mem_free(fds);
    mem_free(taken);
    return all->first_failure;
}
