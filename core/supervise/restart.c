#include "supervise/restart.h"

int64_t restart_well_ns(const restart_spec *spec) {
    int64_t longest = spec->strategy == RESTART_EXPONENTIAL ? spec->max_ns : spec->delay_ns;
    int64_t well;
    if (__builtin_mul_overflow(longest, RESTART_WELL_FACTOR, &well)) return INT64_MAX;
    return well < RESTART_WELL_MIN_NS ? RESTART_WELL_MIN_NS : well;
}

static int64_t exponential_delay(const restart_spec *spec, uint64_t restart) {
    double delay = (double)spec->initial_ns, longest = (double)spec->max_ns;
    double factor = spec->multiplier > 1.0 ? spec->multiplier : 1.0;
    for (uint64_t i = 1; i < restart && delay < longest && factor > 1.0; i++) delay *= factor;
    return delay < longest ? (int64_t)delay : spec->max_ns;
}

bool restart_next(restart_count *c, const restart_spec *spec, int64_t ran_ns, int64_t *delay_ns) {
    if (spec->strategy == RESTART_NONE) return false;
    if (ran_ns >= restart_well_ns(spec)) c->in_a_row = 0;
    if (c->in_a_row >= spec->attempts) return false;
    c->in_a_row++;
    *delay_ns = spec->strategy == RESTART_EXPONENTIAL ? exponential_delay(spec, c->in_a_row)
                                                      : spec->delay_ns;
    return true;
}
