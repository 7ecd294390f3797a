/*
 * core/runtime/event_time.h - the time column: from a field, from the source, or from the clock.
 */
#ifndef WEIR_RUNTIME_EVENT_TIME_H
#define WEIR_RUNTIME_EVENT_TIME_H

#include "manifest/manifest.h"
#include "weir/batch.h"

/* A time in a field: integers and decimals by `unit` (auto: seconds below 10^11, milliseconds below
 * 10^14, else microseconds, which holds for the years 1973 to 5138), text as RFC 3339, in UTC if it
 * names no zone. False if the
 * value is no time. Microseconds since 1970 UTC. */
bool event_time_of(const weir_value *v, time_unit unit, int64_t *out);

/* Fills `times` [rows->count] for a batch: by the field if the spec has one (bad ones go to `fail`
 * and become WEIR_TIME_NONE), else the source's own times, else `now_us`. */
void event_time_fill(const event_time_spec *spec, const weir_batch *batch, int64_t now_us,
                     int64_t *times, void (*fail)(void *opaque, uint32_t row), void *opaque);

#endif
