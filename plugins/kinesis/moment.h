/*
 * plugins/kinesis/moment.h - points in time as manifests write them.
 */
#ifndef KINESIS_MOMENT_H
#define KINESIS_MOMENT_H

#include "weir/types.h"

/*
 * Microseconds since 1970 UTC. With `format` (may be empty) strptime reads the text first, as UTC
 * unless the format has %z; then, and without a format, RFC 3339 ("2026-01-01T00:00:00.5Z", an
 * offset, or a date alone) and seconds since 1970 with fraction. 0 if it is none of these.
 */
int moment_parse(weir_str text, weir_str format, int64_t *us);

#endif
