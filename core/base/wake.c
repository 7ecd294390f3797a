#include "base/wake.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/*
 *            signal                     signal + FUTEX_WAKE
 *   IDLE ------------> SIGNALLED <----------------- SLEEPING
 *    ^  \                 |                            ^
 *    |   `----------------|----------------------------'  about to sleep
 *    `--------------------'  consumed by wait
 */
#define IDLE 0u
#define SIGNALLED 1u
#define SLEEPING 2u
#define ENTERED 3u /* asleep inside foreign code: a signal calls the hook */

void wake_init(wake *w) {
    atomic_init(&w->state, IDLE);
    w->hook = NULL;
    w->opaque = NULL;
}

void wake_signal(wake *w) {
    /* An exchange even if it is SIGNALLED already: the write continues the release sequence that
     * the sleeper acquires, so that this thread's data is covered by the signal that stands. A
     * plain look at the flag would let the sleeper consume an older signal without seeing it. */
    uint32_t before = atomic_exchange_explicit(&w->state, SIGNALLED, memory_order_acq_rel);
    if (before == ENTERED && w->hook != NULL) w->hook(w->opaque);
    if (before != SLEEPING) return;
    int kept = errno; /* signal handlers call this */
    (void)syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept;
}

static bool consume(wake *w) {
    return atomic_exchange_explicit(&w->state, IDLE, memory_order_acq_rel) == SIGNALLED;
}

bool wake_wait(wake *w, int64_t deadline_ns) {
    if (atomic_load_explicit(&w->state, memory_order_relaxed) == SIGNALLED) return consume(w);
    if (deadline_ns != INT64_MAX && clock_mono_ns(&clock_system) >= deadline_ns) return consume(w);
    struct timespec until = {
        .tv_sec = (time_t)(deadline_ns / CLOCK_NS_PER_S),
        .tv_nsec = (long)(deadline_ns % CLOCK_NS_PER_S),
    };
    uint32_t expected = IDLE;
    if (!atomic_compare_exchange_strong_explicit(&w->state, &expected, SLEEPING,
                                                 memory_order_acq_rel, memory_order_acquire))
        return consume(w);
    for (;;) {
        /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, which no spurious return or
         * signal stretches. */
        long rc = syscall(SYS_futex, &w->state, FUTEX_WAIT_BITSET_PRIVATE, SLEEPING,
                          deadline_ns == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
        if (rc != 0 && errno == ETIMEDOUT) return consume(w);
        if (atomic_load_explicit(&w->state, memory_order_relaxed) == SIGNALLED) return consume(w);
    }
}

bool wake_enter(wake *w) {
    uint32_t expected = IDLE;
    return atomic_compare_exchange_strong_explicit(&w->state, &expected, ENTERED,
                                                   memory_order_acq_rel, memory_order_acquire);
}

bool wake_leave(wake *w) {
    return consume(w);
}
