/*
 * tools/local-aws/server/server.h - an HTTP server: one thread, one epoll, no opinion.
 *
 * One port speaks HTTP/1.1 and HTTP/2 in clear (prior knowledge) and, with a certificate, both in
 * TLS (ALPN): the first bytes of a connection tell. Every request, with its whole body, is handed
 * to one function; it answers at once or whenever it likes, from memory it need not copy, and may
 * stream for minutes.
 *
 *     handler(opaque, x)            the request is complete: exchange_request(x)
 *       exchange_status, exchange_header, exchange_copy / exchange_refer ...
 *       exchange_send               whole body known: Content-Length
 *     or
 *       exchange_begin              the head goes out now; the body is open
 *       exchange_copy / exchange_refer, as often as wanted, from timers too
 *       exchange_end
 *
 * Life of an exchange: from the handler's call to exchange_send, exchange_end or exchange_abort,
 * behind which the pointer is dead for the handler. Who keeps one longer than the handler's call
 * sets exchange_on_close: if the peer goes away first, that function is called once, and behind it
 * the pointer is dead too. Nothing else ends it.
 *
 * Threads: everything here is for the thread of server_run, except server_stop. Before server_run
 * any one thread may call. Memory: without memory the connection concerned is closed.
 */
#ifndef WEIR_LOCAL_SERVER_H
#define WEIR_LOCAL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "weir/types.h"

typedef struct server server;
typedef struct exchange exchange;
typedef struct server_timer server_timer;

/* Limits that can be set; 0 means the default in brackets. */
typedef struct server_limits {
    size_t head_bytes;    /* request line and headers [64 KiB], beyond it 431 */
    size_t body_bytes;    /* [5 GiB on 64 bits], beyond it 413 */
    uint32_t connections; /* [4096], beyond it accepted and closed */
    uint32_t streams;     /* HTTP/2 streams of a connection at once [256] */
} server_limits;

typedef struct server_options {
    const char *address; /* "127.0.0.1" or "::1"; NULL: 127.0.0.1 */
    uint16_t port;       /* 0: any free one */
    const char *cert;    /* PEM files; NULL: no TLS */
    const char *key;
    server_limits limits;
    /* Called when a client speaks TLS and there is no certificate, the first time only; the
     * connection is closed at once. May be NULL. */
    void (*on_tls_without_certificate)(void);
    void (*handler)(void *opaque, exchange *x);
    void *opaque;
} server_options;

/* Listens. NULL on failure, with a text in `error`. SIGPIPE is ignored from here on if nobody
 * handles it, since OpenSSL writes to sockets plainly. */
server *server_new(const server_options *options, char *error, size_t error_size);
/* Closes every connection (each open exchange is told through on_close) and frees. NULL is ignored.
 */
void server_free(server *s);
/* Closes every connection and stops listening; timers stay. For an orderly end before server_free.
 */
void server_close_all(server *s);
uint16_t server_port(const server *s);
/* Serves until server_stop; may be called again. */
void server_run(server *s);
/* From any thread and from signal handlers. */
void server_stop(server *s);

/* ---- time ---- */

/* 100 years: so far the clocks may be moved in all. What services add to their times stays far
 * within 64 bits, and dates have four digits for the year. */
#define SERVER_CLOCK_MAX_MS (INT64_C(36525) * 86400000)

/* Milliseconds since 1970 as the services see them, and on a clock that never goes back. Both move
 * when server_advance does: what waits for a timer then happens at once. */
int64_t server_now_ms(const server *s);
int64_t server_mono_ms(const server *s);
bool server_advance(server *s, int64_t ms); /* false, and nothing moved: too far */
/* The wall clock that the outside sees: the Date header, and the time that signatures are checked
 * against. It is the system's and what server_set_skew adds; server_advance does not move it, since
 * the clients' clocks do not move either. */
bool server_set_skew(server *s, int64_t ms);
int64_t server_told_ms(const server *s);

/* How connections misbehave, whoever they are from; 0: not. */
typedef struct server_conduct {
    uint32_t close_after; /* the n-th answer of a connection is its last, and says so (GOAWAY) */
    /* A connection that gave so many answers is closed with a reset when more arrives, which is not
     * read: what a client sees whose request met the end of an idle connection. */
    uint32_t drop_after;
    uint32_t drop_count;                /* to so many connections; 0: to all */
    uint32_t idle_ms;                   /* a connection without a request is closed */
    uint32_t read_bytes, read_every_ms; /* so many bytes are read at a time, with that between */
    uint32_t window, streams; /* SETTINGS of HTTP/2, of connections that begin from now on */
} server_conduct;
void server_set_conduct(server *s, const server_conduct *conduct);

/* A timer fires once each time it is set. NULL without memory. Freeing one inside of its own
 * function is allowed. */
server_timer *server_timer_new(server *s, void (*fire)(void *opaque), void *opaque);
void server_timer_set(server_timer *t, int64_t in_ms); /* replaces an earlier setting */
void server_timer_clear(server_timer *t);
void server_timer_free(server_timer *t); /* NULL is ignored */

/* ---- the request ---- */

enum { SERVER_HTTP_1_0 = 10, SERVER_HTTP_1_1 = 11, SERVER_HTTP_2 = 20 };

typedef struct server_header {
    weir_str name; /* lower case */
    weir_str value;
} server_header;

/* Everything in it lives as long as the exchange. */
typedef struct server_request {
    weir_str method;
    weir_str path;  /* as on the wire: not decoded, never empty */
    weir_str query; /* without '?'; empty if there is none */
    weir_str host;  /* Host or :authority */
    const server_header *headers;
    uint32_t header_count;
    uint32_t protocol; /* SERVER_HTTP_* */
    bool tls;
    weir_str body; /* dechunked */
} server_request;

const server_request *exchange_request(const exchange *x);
/* The first header of that lower-case name; ptr is NULL if there is none. */
weir_str exchange_request_header(const exchange *x, const char *name);
weir_str server_request_header(const server_request *r, const char *name); /* the same */
/* Which connection it came over, counted from 1. */
uint64_t exchange_connection(const exchange *x);
/* The body becomes the caller's, to free with mem_free: what was `body.ptr` before. The request's
 * body keeps pointing there. NULL if the body is empty or was taken before. */
void *exchange_take_body(exchange *x);

/* ---- the answer ---- */

void exchange_status(exchange *x, unsigned status); /* 200 if never called */
/* A lower-case name; both are copied. Content-Length, Transfer-Encoding, Connection and Date are
 * the server's business. */
void exchange_header(exchange *x, const char *name, weir_str value);
void exchange_header_f(exchange *x, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The value given last for that name, or ptr NULL; and another value for all that were given, or
 * none at all with a ptr of NULL. */
weir_str exchange_answer_header(const exchange *x, const char *name);
void exchange_replace_header(exchange *x, const char *name, weir_str value);
/* Forgets status, headers and body given so far; not behind exchange_begin. */
void exchange_reset(exchange *x);

/* Body parts go out in the order of the calls. */
void exchange_copy(exchange *x, const void *bytes, size_t len);
/* Not copied: `release(opaque)` is called when the bytes are sent or will never be (maybe inside
 * this call). `release` may be NULL for bytes that outlive the server. */
void exchange_refer(exchange *x, const void *bytes, size_t len, void (*release)(void *opaque),
                    void *opaque);

void exchange_send(exchange *x);
/* For HEAD: the head as exchange_send would write it for a body of `length`, no body. */
void exchange_send_head(exchange *x, uint64_t length);
void exchange_begin(exchange *x);
void exchange_end(exchange *x);
/* No answer, or no end of it: the connection is closed (HTTP/2: RST_STREAM). */
void exchange_abort(exchange *x);
/* Bytes given and not yet taken by the connection: who streams looks before it gives more. */
size_t exchange_pending(const exchange *x);
void exchange_on_close(exchange *x, void (*closed)(void *opaque), void *opaque);
/* Called once when the head is decided (send, send_head, begin), before anything goes out: it may
 * look (exchange_answer_status, exchange_pending), add headers, or exchange_reset and give another
 * answer's parts; where the body is not open, it may also answer itself, which calls the hook then
 * set. The last one set counts. */
void exchange_on_answer(exchange *x, void (*hook)(void *opaque, exchange *x), void *opaque);
unsigned exchange_answer_status(const exchange *x);
bool exchange_answer_open(const exchange *x); /* the body's parts are yet to come */
/* Appends a copy of the parts given and not yet sent; and drops them. */
void exchange_gather(const exchange *x, buf *out);
void exchange_forget_body(exchange *x);
/* A pointer that goes with the exchange, for whoever stands between server and service; freed with
 * it, also behind its answer. */
void exchange_set_note(exchange *x, void *note, void (*free_note)(void *note));
void *exchange_note(const exchange *x);

/* ---- misbehaviour: what a fault may do to this answer ---- */

typedef enum exchange_cut {
    EXCHANGE_CUT_CLOSE,      /* an orderly close: FIN, or TLS close_notify */
    EXCHANGE_CUT_RESET,      /* TCP RST */
    EXCHANGE_CUT_RST_STREAM, /* HTTP/2: INTERNAL_ERROR; HTTP/1.1: as CLOSE */
    EXCHANGE_CUT_GOAWAY,  /* HTTP/2: GOAWAY, the stream itself goes on; HTTP/1.1: close behind it */
    EXCHANGE_CUT_REFUSED, /* HTTP/2: RST_STREAM REFUSED_STREAM; HTTP/1.1: as RESET */
} exchange_cut;

/* When `at` bytes of the body are out, the connection ends in that way. 0: before the head. */
void exchange_set_cut(exchange *x, uint64_t at, exchange_cut how);
/* The body leaves in pieces of `bytes`, each in a write (HTTP/2: DATA frame) of its own, with
 * `every_ms` between them. */
void exchange_set_pace(exchange *x, uint32_t bytes, uint32_t every_ms);
/* The Date header of this answer is so far off. */
void exchange_set_date(exchange *x, int64_t offset_ms);

#endif
