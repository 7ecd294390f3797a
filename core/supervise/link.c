#include "supervise/link.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervise/control.h"
#include "supervise/crash.h"
#include "supervise/link_private.h"

/* A control loop may say "well" as often as it turns; the supervisor hears it four times a second.
 */
#define BEAT_NS (250 * CLOCK_NS_PER_MS)
/* "request 18446744073709551615 " before a request. */
#define HEAD_MAX 64u

struct worker_link {
    int fd;
    char pipeline[LIMIT_NAME_BYTES + 1];
    const char *state_folder;
    link_history history;
    pthread_t thread;
    bool started;
    int64_t beat_ns; /* when the last one was sent */
    _Atomic bool draining;
    pthread_mutex_t lock; /* of what follows, between the reading thread and [control] */
    wake *wake;
    link_request *first, **last;
};

static const char *const outcome_words[] = {"ok", "failed", "config", "lost"};
static const link_history no_history = {.last_error = ""};

static void *read_thread(void *opaque);
static void wake_up(worker_link *l);
static void take_line(worker_link *l, weir_str line);
static void send_parts(worker_link *l, const char *head, const char *body, size_t body_len);

const char *link_outcome_word(worker_outcome outcome) {
    return outcome_words[outcome <= WORKER_LOST ? outcome : WORKER_FAILED];
}

worker_outcome link_outcome_of(weir_str word) {
    for (unsigned i = 0; i <= WORKER_LOST; i++)
        if (str_eq_z(word, outcome_words[i])) return (worker_outcome)i;
    return WORKER_FAILED;
}

worker_link *link_new(const link_setup *setup) {
    worker_link *l = mem_zalloc(sizeof *l);
    if (l == NULL) return NULL;
    l->fd = setup->fd;
    l->state_folder = setup->state_folder;
    l->history = setup->history;
    if (l->history.last_error == NULL) l->history.last_error = "";
    snprintf(l->pipeline, sizeof l->pipeline, "%s", setup->pipeline);
    pthread_mutex_init(&l->lock, NULL);
    l->last = &l->first;
    return l;
}

void link_free(worker_link *l) {
    if (l == NULL) return;
    link_stop(l);
    for (link_request *r; (r = link_take(l)) != NULL;) link_request_free(r);
    close(l->fd);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

weir_status link_start(worker_link *l, wake *w, weir_error *err) {
    if (l == NULL) return WEIR_OK;
    WEIR_ASSERT(!l->started);
    weir_status status = crash_install(l->state_folder, l->pipeline, err);
    if (status != WEIR_OK) return status;
    l->wake = w;
    /* Signals are for other threads: whatever handlers a plugin's library has, none runs here. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&l->thread, NULL, read_thread, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        return error_set(err, WEIR_E_NOMEM, 0, "could not start the thread of the supervisor link");
    }
    l->started = true;
    return WEIR_OK;
}

void link_wakes(worker_link *l, wake *w) {
    if (l == NULL) return;
    pthread_mutex_lock(&l->lock);
    l->wake = w;
    bool heard = l->first != NULL || link_draining(l);
    pthread_mutex_unlock(&l->lock);
    if (heard) wake_signal(w);
}

void link_stop(worker_link *l) {
    if (l == NULL || !l->started) return;
    shutdown(l->fd, SHUT_RD); /* ends the thread's recv; sending goes on */
    pthread_join(l->thread, NULL);
    l->started = false;
}

/* ---- what the worker says ---- */

void link_ready(worker_link *l) {
    if (l != NULL) send_parts(l, "ready", "", 0);
}

void link_stopping(worker_link *l) {
    if (l != NULL) send_parts(l, "stopping", "", 0);
}

void link_beat(worker_link *l) {
    if (l == NULL) return;
    int64_t now = clock_mono_ns(&clock_system);
    if (l->beat_ns != 0 && now - l->beat_ns < BEAT_NS) return;
    l->beat_ns = now;
    /* A supervisor that is stopped must not stop the worker: a beat that does not fit is left out,
     * one that fits in part is completed. */
    static const char beat[] = "beat\n";
    ssize_t n = send(l->fd, beat, sizeof beat - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0 && (size_t)n < sizeof beat - 1) {
        (void)send(l->fd, beat + n, sizeof beat - 1 - (size_t)n, MSG_NOSIGNAL);
    }
}

void link_failed(worker_link *l, worker_outcome outcome, const char *text) {
    if (l == NULL) return;
    buf body;
    buf_init(&body, 8 * LIMIT_ERROR_BYTES);
    buf_append_json(&body, str_of(text));
    char head[HEAD_MAX];
    snprintf(head, sizeof head, "failed %s ", link_outcome_word(outcome));
    if (buf_ok(&body)) {
        send_parts(l, head, body.data, body.len);
    } else {
        send_parts(l, head, "\"\"", 2); /* the outcome matters more than its text */
    }
    buf_free(&body);
}

void link_answer(worker_link *l, uint64_t id, const char *json) {
    if (l == NULL) return;
    size_t len = strlen(json);
    WEIR_ASSERT(memchr(json, '\n', len) == NULL);
    char head[HEAD_MAX];
    snprintf(head, sizeof head, "answer %" PRIu64 " ", id);
    if (len > LINK_ANSWER_MAX) {
        json = "{\"error\":\"the answer is larger than 64 MiB\"}";
        len = strlen(json);
    }
    send_parts(l, head, json, len);
}

/* ---- what the worker hears ---- */

bool link_draining(const worker_link *l) {
    return l != NULL && atomic_load_explicit(&l->draining, memory_order_acquire);
}

const link_history *link_history_of(const worker_link *l) {
    return l != NULL ? &l->history : &no_history;
}

link_request *link_take(worker_link *l) {
    if (l == NULL) return NULL;
    pthread_mutex_lock(&l->lock);
    link_request *r = l->first;
    if (r != NULL) {
        l->first = r->next;
        if (l->first == NULL) l->last = &l->first;
        r->next = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

void link_request_free(link_request *r) {
    if (r == NULL) return;
    mem_free(r->json);
    mem_free(r);
}

/* Sends a whole line, waiting where it must: the supervisor always reads. Its death ends the wait.
 */
static void send_parts(worker_link *l, const char *head, const char *body, size_t body_len) {
    struct iovec parts[] = {
        {(void *)head, strlen(head)}, {(void *)body, body_len}, {(void *)"\n", 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    while (message.msg_iovlen > 0) {
        ssize_t n = sendmsg(l->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return; /* no supervisor: the parent-death signal is on its way */
        size_t sent = (size_t)n;
        while (message.msg_iovlen > 0 && sent >= message.msg_iov->iov_len) {
            sent -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= sent;
        }
    }
}

/* Under the lock: link_wakes may take the wake away. */
static void wake_up(worker_link *l) {
    pthread_mutex_lock(&l->lock);
    wake_signal(l->wake);
    pthread_mutex_unlock(&l->lock);
}

static void *read_thread(void *opaque) {
    worker_link *l = opaque;
    char name[LIMIT_NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s/link", l->pipeline);
    crash_thread(name);
    buf in;
    buf_init(&in, CONTROL_REQUEST_MAX + HEAD_MAX + 16 * KIB);
    for (;;) {
        if (!buf_reserve(&in, 8 * KIB)) break; /* a line that is no line of ours, or no memory */
        ssize_t n = recv(l->fd, in.data + in.len, 8 * KIB, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        in.len += (size_t)n;
        size_t at = 0;
        char *newline;
        while ((newline = memchr(in.data + at, '\n', in.len - at)) != NULL) {
            size_t end = (size_t)(newline - in.data);
            take_line(l, str_make(in.data + at, end - at));
            at = end + 1;
        }
        memmove(in.data, in.data + at, in.len - at);
        in.len -= at;
    }
    buf_free(&in);
    /* The supervisor is gone, or nothing can be heard of it any more: whoever cannot be told to
     * stop stops. (After link_stop nobody looks.) */
    atomic_store_explicit(&l->draining, true, memory_order_release);
    wake_up(l);
    crash_thread_end();
    return NULL;
}

static void take_line(worker_link *l, weir_str line) {
    if (str_eq_z(line, "drain")) {
        atomic_store_explicit(&l->draining, true, memory_order_release);
        wake_up(l);
        return;
    }
    if (!str_starts(line, STR("request "))) return;
    weir_str rest = str_make(line.ptr + 8, line.len - 8);
    const char *space = memchr(rest.ptr, ' ', rest.len);
    int64_t id;
    if (space == NULL || !str_to_i64(str_make(rest.ptr, (size_t)(space - rest.ptr)), &id)) return;
    size_t len = rest.len - (size_t)(space + 1 - rest.ptr);
    link_request *r = mem_zalloc(sizeof *r);
    char *json = mem_alloc(len + 1);
    if (r == NULL || json == NULL) { /* without memory the asker waits for its deadline */
        mem_free(r);
        mem_free(json);
        return;
    }
    memcpy(json, space + 1, len);
    json[len] = '\0';
    *r = (link_request){.id = (uint64_t)id, .json = json};
    pthread_mutex_lock(&l->lock);
    *l->last = r;
    l->last = &r->next;
    pthread_mutex_unlock(&l->lock);
    wake_up(l);
}
