#include "supervise/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/link_private.h"
#include "weir/json.h"

/* Exit statuses of the program (cli.h has the whole list). */
#define STATUS_FAILED 1
#define STATUS_CONFIG 78
/* How long clients may take to read their last answers when the pipeline has ended. */
#define LINGER_NS (2 * CLOCK_NS_PER_S)

static int64_t later(int64_t now, int64_t ns);
static void on_line(keeper *k, weir_str line);
static void on_failed(keeper *k, weir_str rest);
static void after_failure(keeper *k, int raw_status, int64_t now);
static void end(keeper *k, int status);
static void set_error(keeper *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void name_crash_report(keeper *k, pid_t pid);

void keeper_init(keeper *k, keepers *super, const supervised *spec, bool json) {
    memset(k, 0, sizeof *k);
    k->super = super;
    k->spec = spec;
    k->events = (event_source){spec->name, json};
    k->state = KEEPER_WAITING;
    k->link.fd = -1;
    k->next_id = 1;
    k->give_up_ns = k->kill_ns = INT64_MAX;
}

weir_status keeper_listen(keeper *k, weir_error *err) {
    if (k->spec->state_folder == NULL) return WEIR_OK;
    k->control = control_listen(k->spec->state_folder, keeper_on_request, k, err);
    return k->control != NULL ? WEIR_OK : error_status(err);
}

void keeper_free(keeper *k) {
    control_close(k->control);
    k->control = NULL;
    lines_close(&k->link);
    mem_free(k->asked);
    k->asked = NULL;
    k->asked_count = k->asked_cap = 0;
}

void keeper_forget(keeper *k) {
    control_forget(k->control);
    k->control = NULL;
    lines_close(&k->link);
}

/* ---- start and stop ---- */

void keeper_start(keeper *k) {
    int64_t now = clock_mono_ns(&clock_system);
    k->state = KEEPER_STARTING;
    k->ready = k->told = k->end_at_once = false;
    k->outcome = WORKER_FAILED;
    k->forked_ns = k->heard_ns = now;
    if (k->first_forked_ns == 0) k->first_forked_ns = now;
    k->ready_ns = 0;
    k->give_up_ns = k->kill_ns = INT64_MAX;
    k->why_killed[0] = '\0';
    k->started_us = clock_wall_us(&clock_system);
    if (k->supervised_us == 0) k->supervised_us = k->started_us;
    char why[256];
    if (!worker_fork(k, why, sizeof why)) {
        set_error(k, "%s", why);
        event_say(&k->events, WEIR_LOG_ERROR, "failed", 0, "%s", why);
        after_failure(k, STATUS_FAILED, now);
        return;
    }
    event_say(&k->events, WEIR_LOG_DEBUG, "started", k->pid, "worker %d, attempt %" PRIu32,
              (int)k->pid, k->attempt + 1);
}

void keeper_drain(keeper *k, int64_t now, const char *why) {
    if (k->state == KEEPER_ENDED) return;
    if (k->state == KEEPER_WAITING) {
        k->stopping = true;
        event_say(&k->events, WEIR_LOG_WARN, "ended", 0,
                  "%s while it waited for a restart: it ends here, where its last checkpoint is; "
                  "the last failure: %s",
                  why, k->last_error);
        end(k, STATUS_FAILED);
        return;
    }
    if (!k->stopping) {
        event_say(&k->events, WEIR_LOG_INFO, "draining", k->pid, "%s: draining", why);
    }
    k->stopping = true;
    if (k->give_up_ns == INT64_MAX) {
        k->give_up_ns = later(now, later(k->spec->stop_timeout_ns, k->super->drain_margin_ns));
    }
    lines_send(&k->link, (weir_str){"", 0}, STR("drain"));
}

void keeper_kill(keeper *k, const char *why) {
    if (k->pid == 0) {
        if (k->state != KEEPER_ENDED) end(k, STATUS_FAILED);
        return;
    }
    if (k->why_killed[0] == '\0') snprintf(k->why_killed, sizeof k->why_killed, "%s", why);
    kill(k->pid, SIGKILL);
    k->give_up_ns = k->kill_ns = INT64_MAX;
}

void keeper_forgive(keeper *k, int64_t ns) {
    k->heard_ns = later(k->heard_ns, ns);
    k->forked_ns = later(k->forked_ns, ns);
    k->first_forked_ns = later(k->first_forked_ns, ns);
}

/* A worker found hung: its report first, then its end. */
static void abort_hung(keeper *k, int64_t now, int64_t silent_ns) {
    buf silence;
    buf_init(&silence, 64);
    event_duration(silent_ns, &silence);
    snprintf(k->why_killed, sizeof k->why_killed, "hung: no heartbeat for %s",
             silence.data != NULL ? silence.data : "too long");
    buf_free(&silence);
    event_say(&k->events, WEIR_LOG_ERROR, "hung", k->pid,
              "worker %d is %s; asking it for a report, then ending it", (int)k->pid,
              k->why_killed);
    kill(k->pid, SIGABRT);
    k->kill_ns = later(now, k->super->abort_grace_ns);
}

/* How long the worker may be silent. Before it is ready it may open connections, restore and commit
 * for as long as a start may take. */
static int64_t silence_limit(const keeper *k) {
    int64_t limit = k->super->heartbeat_ns;
    if (!k->ready && k->spec->start_timeout_ns > limit) limit = k->spec->start_timeout_ns;
    return limit;
}

int64_t keeper_tick(keeper *k, int64_t now) {
    if (k->state == KEEPER_WAITING) {
        if (now < k->due_ns) return k->due_ns;
        keeper_start(k);
        if (k->state == KEEPER_WAITING) return k->due_ns;
    }
    if (k->state == KEEPER_ENDED && k->control != NULL) {
        if (control_waiting(k->control) && now < k->linger_ns) return k->linger_ns;
        control_close(k->control);
        k->control = NULL;
    }
    if (k->state == KEEPER_ENDED || k->pid == 0) return INT64_MAX;
    if (now >= k->kill_ns) {
        kill(k->pid, SIGKILL);
        k->kill_ns = INT64_MAX;
    }
    if (now >= k->give_up_ns) {
        event_say(&k->events, WEIR_LOG_ERROR, "killed", k->pid,
                  "worker %d did not end within stop_timeout and a margin: killing it; what it did "
                  "not deliver is read again by the next run",
                  (int)k->pid);
        keeper_kill(k, "killed: it did not drain within stop_timeout");
    }
    if (k->why_killed[0] != '\0' || k->stopping) {
        return k->kill_ns < k->give_up_ns ? k->kill_ns : k->give_up_ns;
    }
    int64_t next = later(k->heard_ns, silence_limit(k));
    bool first_start = !k->ever_ran && k->spec->start_timeout_ns > 0;
    if (first_start) {
        next = later(k->first_forked_ns, k->spec->start_timeout_ns);
        if (now >= next) {
            buf limit;
            buf_init(&limit, 64);
            event_duration(k->spec->start_timeout_ns, &limit);
            snprintf(k->why_killed, sizeof k->why_killed,
                     "killed: it was not ready within start_timeout (%s)",
                     limit.data != NULL ? limit.data : "?");
            buf_free(&limit);
            k->end_at_once = true;
            kill(k->pid, SIGKILL);
            return INT64_MAX;
        }
    } else if (!k->ever_ran) {
        next = INT64_MAX; /* start_timeout 0: a first start may take as long as it likes */
    } else if (now >= next) {
        abort_hung(k, now, now - k->heard_ns);
        return k->kill_ns;
    }
    return next;
}

/* ---- the link ---- */

nfds_t keeper_poll_fill(keeper *k, struct pollfd *fds, nfds_t max) {
    nfds_t n = 0;
    if (k->link.fd >= 0 && !k->link.ended && n < max) {
        short events = POLLIN;
        if (lines_waiting(&k->link)) events |= POLLOUT;
        fds[n++] = (struct pollfd){.fd = k->link.fd, .events = events};
    }
    if (k->control != NULL) n += control_poll_fill(k->control, fds + n, max - n);
    return n;
}

void keeper_poll_done(keeper *k, const struct pollfd *fds, nfds_t count) {
    if (k->control != NULL) control_poll_done(k->control, fds, count);
}

void keeper_hear(keeper *k) {
    if (k->link.fd < 0) return;
    lines_flush(&k->link);
    for (bool more = true; more;) {
        lines_receive(&k->link);
        more = false;
        for (weir_str line; lines_next(&k->link, &line); more = true) on_line(k, line);
    }
}

static void on_line(keeper *k, weir_str line) {
    int64_t now = clock_mono_ns(&clock_system);
    k->heard_ns = now;
    if (str_eq_z(line, "ready")) {
        if (k->ready) return;
        k->ready = k->ever_ran = true;
        k->ready_ns = now;
        if (k->state == KEEPER_STARTING) k->state = KEEPER_RUNNING;
        if (k->restarts > 0) {
            event_say(&k->events, WEIR_LOG_INFO, "running", k->pid,
                      "runs again (worker %d, restart %" PRIu64 ")", (int)k->pid, k->restarts);
        }
    } else if (str_eq_z(line, "stopping")) {
        k->stopping = true;
        if (k->give_up_ns == INT64_MAX) {
            k->give_up_ns = later(now, later(k->spec->stop_timeout_ns, k->super->drain_margin_ns));
        }
    } else if (str_starts(line, STR("failed "))) {
        on_failed(k, str_make(line.ptr + 7, line.len - 7));
    } else if (str_starts(line, STR("answer "))) {
        keeper_on_answer(k, str_make(line.ptr + 7, line.len - 7));
    }
}

static void on_failed(keeper *k, weir_str rest) {
    const char *space = memchr(rest.ptr, ' ', rest.len);
    if (space == NULL) return;
    size_t word = (size_t)(space - rest.ptr);
    k->told = true;
    k->outcome = link_outcome_of(str_make(rest.ptr, word));
    weir_json_doc *doc = weir_json_read(str_make(space + 1, rest.len - word - 1), 0, NULL);
    const weir_value *text = doc != NULL ? weir_json_root(doc) : NULL;
    if (text != NULL && text->type == WEIR_V_STRING) {
        set_error(k, "%.*s", STR_FMT(weir_value_str(text)));
    } else {
        set_error(k, "unknown failure");
    }
    weir_json_free(doc);
}

/* ---- the end of a worker ---- */

void keeper_reap(keeper *k) {
    if (k->pid == 0) return;
    int status;
    pid_t pid = k->pid, reaped;
    do {
        reaped = waitpid(pid, &status, WNOHANG);
    } while (reaped < 0 && errno == EINTR);
    if (reaped == 0) return;
    if (reaped < 0) status = STATUS_FAILED << 8; /* somebody else reaped it: it failed, somehow */
    keeper_hear(k);                              /* its last words may still lie in the socket */
    lines_close(&k->link);
    k->pid = 0;
    int64_t now = clock_mono_ns(&clock_system);
    int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
    if (WIFEXITED(status) && exit_status == 0) { /* also one that was about to be killed */
        event_say(&k->events, WEIR_LOG_DEBUG, "ended", pid, "ended well");
        end(k, 0);
        return;
    }
    char text[128];
    worker_status_text(status, text, sizeof text);
    if (k->why_killed[0] != '\0') {
        set_error(k, "%s", k->why_killed);
        event_say(&k->events, WEIR_LOG_ERROR, "failed", pid, "worker %d was %s", (int)pid,
                  k->why_killed);
    } else if (k->told) { /* the worker has said it on standard error itself */
        event_say(&k->events, WEIR_LOG_DEBUG, "failed", pid, "worker %d %s", (int)pid, text);
    } else {
        if (WIFEXITED(status) && exit_status == STATUS_CONFIG) k->outcome = WORKER_CONFIG;
        set_error(k, "worker %d %s", (int)pid, text);
        event_say(&k->events, WEIR_LOG_ERROR, "failed", pid, "worker %d %s", (int)pid, text);
    }
    if (WIFSIGNALED(status)) name_crash_report(k, pid);
    after_failure(k, exit_status, now);
}

static void after_failure(keeper *k, int raw_status, int64_t now) {
    int status = raw_status == STATUS_CONFIG ? STATUS_CONFIG : STATUS_FAILED;
    int64_t delay = 0, ran = k->ready ? now - k->ready_ns : 0;
    const char *why_end = NULL;
    uint32_t level = WEIR_LOG_ERROR;
    if (k->super->killing || k->stopping) {
        why_end = "";
    } else if (k->end_at_once) {
        why_end = "";
        status = STATUS_FAILED;
    } else if (k->outcome == WORKER_LOST) {
        why_end = "data is lost: not restarted by itself";
        status = STATUS_FAILED;
    } else if (k->outcome == WORKER_CONFIG && !k->ever_ran) {
        why_end = "not restarted: it never ran, and a restart mends nothing";
        level = WEIR_LOG_DEBUG; /* the worker's own message says all there is to say */
    } else if (!restart_next(&k->count, &k->spec->restart, ran, &delay)) {
        why_end = k->spec->restart.strategy == RESTART_NONE
                      ? "not restarted (restart strategy none)"
                      : "not restarted: restart.attempts are used up";
        if (k->spec->restart.strategy == RESTART_NONE) level = WEIR_LOG_INFO;
    } else if (!k->ever_ran && k->spec->start_timeout_ns > 0 &&
               now >= later(k->first_forked_ns, k->spec->start_timeout_ns)) {
        why_end = "not restarted: it did not come to run within start_timeout";
        status = STATUS_FAILED;
    }
    if (why_end != NULL) {
        if (why_end[0] != '\0') {
            event_say(&k->events, level, "ended", 0, "%s", why_end);
        }
        end(k, status);
        return;
    }
    keeper_fail_requests(k);
    k->state = KEEPER_WAITING;
    k->due_ns = later(now, delay);
    k->restarts++;
    k->attempt++;
    buf in;
    buf_init(&in, 64);
    event_duration(delay, &in);
    char of[32] = "";
    if (k->spec->restart.attempts != UINT64_MAX) {
        snprintf(of, sizeof of, " of %" PRIu64, k->spec->restart.attempts);
    }
    event_say(&k->events, WEIR_LOG_WARN, "restart", 0,
              "restart %" PRIu64 "%s in %s from the last checkpoint; the failure: %s",
              k->count.in_a_row, of, in.data != NULL ? in.data : "a while", k->last_error);
    buf_free(&in);
}

static void end(keeper *k, int status) {
    k->state = KEEPER_ENDED;
    k->exit_status = status;
    if (status != 0 && k->super->first_failure == 0) k->super->first_failure = status;
    keeper_fail_requests(k);
    /* The socket is closed by keeper_tick: this may run inside a call of its, and answers may still
     * be on their way to a slow reader. */
    k->linger_ns = later(clock_mono_ns(&clock_system), LINGER_NS);
}

/* The name of the report that the crash handlers wrote, so that people find it. */
static void name_crash_report(keeper *k, pid_t pid) {
    char suffix[32];
    snprintf(suffix, sizeof suffix, "-%d.txt", (int)pid);
    DIR *dir = k->spec->state_folder != NULL ? opendir(k->spec->state_folder) : NULL;
    if (dir == NULL) return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        weir_str name = str_of(e->d_name);
        if (!str_starts(name, STR("crash-")) || !str_ends(name, str_of(suffix))) continue;
        event_say(&k->events, WEIR_LOG_ERROR, "crash_report", pid, "crash report: %s/%s",
                  k->spec->state_folder, e->d_name);
        break;
    }
    closedir(dir);
}

/* now + ns without overflow: "never" stays never. */
static int64_t later(int64_t now, int64_t ns) {
    int64_t sum;
    return __builtin_add_overflow(now, ns, &sum) ? INT64_MAX : sum;
}

static void set_error(keeper *k, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(k->last_error, sizeof k->last_error, format, args);
    va_end(args);
}
