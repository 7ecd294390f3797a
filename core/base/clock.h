/*
 * core/base/clock.h - time, injected: a table, so that a simulator can own it.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S INT64_C(1000000000)
#define CLOCK_NS_PER_MS INT64_C(1000000)

typedef struct weir_clock {
    int64_t (*mono_ns)(void *self);
    int64_t (*wall_us)(void *self);
    void *self;
} weir_clock;

/* The system's clocks: CLOCK_MONOTONIC and CLOCK_REALTIME. */
extern const weir_clock clock_system;

static inline int64_t clock_mono_ns(const weir_clock *c) {
    return c->mono_ns(c->self);
}
static inline int64_t clock_wall_us(const weir_clock *c) {
    return c->wall_us(c->self);
}

#endif
