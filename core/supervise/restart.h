/*
 * core/supervise/restart.h - whether and when a failed worker is started again.
 *
 * Pure: time comes in as arguments. Restarts in a row are counted; the count, and with it the delay
 * of `exponential`, begins anew after a worker has run well for RESTART_WELL_FACTOR times the
 * longest delay, but at least RESTART_WELL_MIN_NS. So `attempts` speaks of a pipeline that does not
 * come back, not of one that fails once a month.
 */
#ifndef WEIR_SUPERVISE_RESTART_H
#define WEIR_SUPERVISE_RESTART_H

#include "base/clock.h"
#include "manifest/manifest.h"

#define RESTART_WELL_FACTOR 10
#define RESTART_WELL_MIN_NS (60 * CLOCK_NS_PER_S)

typedef struct restart_count {
    uint64_t in_a_row; /* restarts since the last run that went well */
} restart_count;

/* A worker that had run for `ran_ns` since it was ready (0: it never was) has failed. True: start
 * the next one after *delay_ns. False: no further attempt. */
bool restart_next(restart_count *c, const restart_spec *spec, int64_t ran_ns, int64_t *delay_ns);
/* How long a run must last to count as good. */
int64_t restart_well_ns(const restart_spec *spec);

#endif
