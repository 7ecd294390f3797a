/*
 * core/supervise/control.h - the control socket: how other processes talk to a running pipeline.
 *
 * <state>/<pipeline>/control.sock, in a 0700 folder; the peer's uid must be ours or root's. One
 * request a line, one answer a line, both JSON objects: docs/reference/control.md. Requests that
 * the supervisor can answer itself (status of a pipeline whose worker is down) it answers; all
 * others go to the worker over its link.
 */
#ifndef WEIR_SUPERVISE_CONTROL_H
#define WEIR_SUPERVISE_CONTROL_H

#include <poll.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* A request with its newline; people and programs ask small things. */
#define CONTROL_REQUEST_MAX ((size_t)64 * 1024)
/* Connections of one socket at a time; the one that has been idle longest makes room. */
#define CONTROL_CLIENTS_MAX 64u
/* The most entries that control_poll_fill needs. */
#define CONTROL_POLL_MAX (CONTROL_CLIENTS_MAX + 1)

/* ---- server: one listener a pipeline, driven by the supervisor's poll loop ---- */

typedef struct control_server control_server;

/* Takes over a stale socket file, refuses a live one (EXISTS). `on_request` gets each well-formed
 * request; it is answered by control_answer with the same `client` and `id`, now or later, in any
 * order. A path too long for a Unix socket is an error that says so. */
control_server *control_listen(const char *folder,
                               void (*on_request)(void *opaque, uint64_t ticket, weir_str json),
                               void *opaque, weir_error *err);
/* Removes the socket and drops what is not sent yet; NULL is ignored. */
void control_close(control_server *s);
/* Some answer is not sent whole. */
bool control_waiting(const control_server *s);
/* In a forked process: closes the descriptors only; the socket stays the parent's. */
void control_forget(control_server *s);
/* A ticket whose client has gone is ignored, as is a NULL server. */
void control_answer(control_server *s, uint64_t ticket, weir_str json);
/* Fills poll entries (at most `max`), and handles what poll reported for them. */
nfds_t control_poll_fill(control_server *s, struct pollfd *fds, nfds_t max);
void control_poll_done(control_server *s, const struct pollfd *fds, nfds_t count);

/* ---- client ---- */

/* Connects, sends one request, reads one answer into `out` (without the newline). NOT_FOUND: no
 * such pipeline runs, with the nearest running name; TIMEOUT after `deadline_ns`. */
weir_status control_call(const char *folder, weir_str request, int64_t deadline_ns, buf *out,
                         weir_error *err);

#endif
