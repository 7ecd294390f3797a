/*
 * core/supervise/lines.h - whole lines over a socket that never blocks.
 *
 * The supervisor's end of a link and each client of a control socket are one of these. Bytes that
 * came are kept until their line is whole; bytes that could not be sent yet are kept until the
 * socket takes them. Both sides are bounded. One owner, no locks.
 */
#ifndef WEIR_SUPERVISE_LINES_H
#define WEIR_SUPERVISE_LINES_H

#include "base/buf.h"

typedef struct lines {
    int fd; /* -1: closed */
    buf in, out;
    size_t in_at, in_seen; /* of `in`: taken so far; looked through for a newline */
    size_t out_at;         /* of `out`: sent so far */
    size_t line_max;
    bool ended;   /* nothing more comes: the peer closed, or the socket broke */
    bool broken;  /* nothing more can be sent */
    bool too_big; /* a line longer than line_max came; nothing more is read */
} lines;

/* Takes over `fd`, which must not block. Lines of at most `line_max` bytes come in, at most
 * `out_max` bytes wait to be sent. */
void lines_open(lines *l, int fd, size_t line_max, size_t out_max);
/* Closes the socket; what was not sent is dropped. A closed one may be closed again. */
void lines_close(lines *l);

/* Reads until nothing is there, or until a whole line of the longest kind waits. */
void lines_receive(lines *l);
/* The next whole line without its newline, valid until the next call of any function here. */
bool lines_next(lines *l, weir_str *line);
/* Puts `head` (may be empty), `body` and a newline into what is to be sent and sends what goes.
 * False, and the connection is broken, if it is too much for out_max. */
bool lines_send(lines *l, weir_str head, weir_str body);
void lines_flush(lines *l);
bool lines_waiting(const lines *l); /* something is not sent yet */

#endif
