/*
 * core/runtime/failures.h - what becomes of a record that cannot go on: fail, skip, dead letter.
 *
 * A dead letter keeps value, key, headers and time of the record; what went wrong and where it came
 * from is added as headers:
 *
 *   weir.error.node      node that gave it up          weir.error.code  "data", "too_large", ...
 *   weir.error.text      why                           weir.error.attempts
 *   weir.error.time      when, RFC 3339                weir.origin.split, weir.origin.position,
 *                                                      weir.origin.stream (where known)
 *
 * These stand behind the record's own headers. A dead-letter sink with a format writes each letter
 * as one object: see envelope.h.
 */
#ifndef WEIR_RUNTIME_FAILURES_H
#define WEIR_RUNTIME_FAILURES_H

#include "batch/batch.h"
#include "runtime/counters.h"
#include "runtime/outlet.h"

typedef struct failures failures;

/* For one node as one task runs it. `dead_letters` is the task's outlet to the dead-letter sink, or
 * NULL. */
failures *failures_new(const node *n, batch_home *home, outlet *dead_letters, counters *c);
void failures_free(failures *f);

/* Gives up `row` of `batch`. Under on_error: fail the answer is an error that fails the pipeline.
 * [task] */
weir_status failures_record(failures *f, const weir_batch *batch, uint32_t row,
                            const weir_error *why, uint32_t attempts, weir_error *err);
/* A record that the source itself could not read (longer than its limit, say): there is no value to
 * keep, so a dead letter of it has none. Otherwise as failures_record. [task] */
weir_status failures_unread(failures *f, const weir_error *why, weir_error *err);
/* Sends the dead letters gathered so far on their way. [task] */
weir_status failures_flush(failures *f, weir_error *err);

#endif
