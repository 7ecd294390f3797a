#include "base/clock.h"

#include <time.h>

static int64_t system_mono_ns(void *self) {
    (void)self;
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall_us(void *self) {
    (void)self;
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

const weir_clock clock_system = {system_mono_ns, system_wall_us, NULL};
