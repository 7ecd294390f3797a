/*
 * core/cli/requests.h - what operators ask of a running pipeline over the control socket.
 *
 * Requests come as JSON lines through the link; `do` is status, stop or savepoint. Answers go back
 * the same way: at once, or when a savepoint is there. docs/reference/control.md has the words.
 */
#ifndef WEIR_CLI_REQUESTS_H
#define WEIR_CLI_REQUESTS_H

#include "runtime/runtime.h"
#include "supervise/link.h"

typedef struct requests requests;

/* `store_at`: the folder in which savepoints/ lies. NULL without memory. Nothing is copied. */
requests *requests_new(worker_link *link, const plan *p, const char *store_at);
void requests_free(requests *r);
void requests_attach(requests *r, runtime *rt);

/* Answers what waits. True once somebody asked for a stop. [control] */
bool requests_handle(requests *r);
/* Somebody asked to stop without delivering what is under way. */
bool requests_force(const requests *r);
/* runtime_config's `answer`. [any] */
void requests_savepoint_done(void *opaque, uint64_t ticket, uint64_t epoch, const weir_error *err);
/* The run has ended: stops are answered now, savepoints that did not come are refused. [control] */
void requests_end(requests *r, bool well);

/* A position for people: as text if it is printable, else 0x and hex; cut to fit. */
const char *position_text(weir_str position, char out[128]);
/* One JSON object: state, counters, at most `max_splits` splits with positions and lag,
 * checkpoints. */
void status_json(runtime *rt, const plan *p, const link_history *history, uint64_t max_splits,
                 buf *out);

#endif
