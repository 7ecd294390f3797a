/*
 * core/runtime/counters.h - what happened at each node, for the status line and the summary.
 *
 * Shared by all tasks of a node; touched once a batch or request, never once a record.
 */
#ifndef WEIR_RUNTIME_COUNTERS_H
#define WEIR_RUNTIME_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct counters {
    _Atomic uint64_t records_in, bytes_in;   /* polled, or taken from channels */
    _Atomic uint64_t records_out, bytes_out; /* handed on, or completed by the sink */
    _Atomic uint64_t failed;                 /* records given up */
    _Atomic uint64_t skipped;                /* of those: dropped by on_error: skip */
    _Atomic uint64_t dead_lettered;          /* of those: sent to the dead-letter sink */
    _Atomic uint64_t retried;                /* records sent again */
} counters;

static inline void count(_Atomic uint64_t *counter, uint64_t delta) {
    atomic_fetch_add_explicit(counter, delta, memory_order_relaxed);
}
static inline uint64_t count_get(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
