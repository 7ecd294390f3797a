/*
 * core/cli/status_text.h - a status, as the control socket answers it, for people.
 */
#ifndef WEIR_CLI_STATUS_TEXT_H
#define WEIR_CLI_STATUS_TEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "weir/json.h"

/* Splits shown to people; --json has all. */
#define STATUS_SPLITS 20u

/* Several lines for one pipeline. What is not there is left out: a supervisor knows less than a
 * worker. */
void status_text(const weir_value *status, arena *memory, buf *out);

/* Counters of a status in sum: what entered at sources and left at sinks. */
typedef struct status_sums {
    int64_t in, out, bytes_in, bytes_out, failed;
} status_sums;
void status_add_up(const weir_value *status, status_sums *out);
/* The newest checkpoint of a status that was completed; NULL if there is none. */
const weir_value *status_newest_done(const weir_value *status);

#endif
