#include "runtime/guarded.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* How often whoever waits looks whether the call is still wanted. */
#define LOOK_NS (50 * CLOCK_NS_PER_MS)
/* A cancelled call comes back soon: what it is in the middle of ends with it. */
#define CANCEL_NS (3 * CLOCK_NS_PER_S)

typedef struct running {
    guarded_call call;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
} running;

static void *run_thread(void *opaque) {
    running *r = opaque;
    if (r->call.thread_begins != NULL) r->call.thread_begins(r->call.name);
    r->call.call(r->call.opaque);
    if (r->call.thread_ends != NULL) r->call.thread_ends();
    pthread_mutex_lock(&r->lock);
    r->done = true;
    pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* True if the call has ended by `until_ns`. */
static bool wait_until(running *r, int64_t until_ns) {
    const struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % CLOCK_NS_PER_S)};
    int rc = 0;
    while (!r->done && rc == 0) rc = pthread_cond_timedwait(&r->ended, &r->lock, &until);
    return r->done;
}

static guarded_end follow(running *r) {
    const guarded_call *c = &r->call;
    guarded_end how = GUARDED_DONE;
    pthread_mutex_lock(&r->lock);
    while (how == GUARDED_DONE) {
        int64_t now = clock_mono_ns(&clock_system);
        int64_t look = now + LOOK_NS < c->deadline_ns ? now + LOOK_NS : c->deadline_ns;
        if (wait_until(r, look)) break;
        if (c->interrupted != NULL && c->interrupted(c->interrupted_opaque)) {
            how = GUARDED_INTERRUPTED;
        } else if (clock_mono_ns(&clock_system) >= c->deadline_ns) {
            how = GUARDED_LATE;
        }
    }
    if (how != GUARDED_DONE) {
        pthread_mutex_unlock(&r->lock);
        c->cancel(c->opaque);
        pthread_mutex_lock(&r->lock);
        if (!wait_until(r, clock_mono_ns(&clock_system) + CANCEL_NS)) how = GUARDED_LOST;
    }
    pthread_mutex_unlock(&r->lock);
    return how;
}

guarded_end guarded_run(const guarded_call *c) {
    running *r = calloc(1, sizeof *r);
    if (r == NULL) return GUARDED_NO_THREAD;
    r->call = *c;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Signals are for the thread that waits. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, run_thread, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    guarded_end how = rc == 0 ? follow(r) : GUARDED_NO_THREAD;
    if (how == GUARDED_LOST) {
        pthread_detach(thread);
        return how;
    }
    if (rc == 0) pthread_join(thread, NULL);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->lock);
    free(r);
    return how;
}
