/*
 * server/internal.h - what the files of the server share.
 *
 *   server ── connections ── exchanges ── parts of the answer (slices of segments)
 *                  └── out: slices in the order in which they go to the socket
 *
 * An answer's parts wait in the exchange; its connection's protocol (h1.c, h2.c) pulls them into
 * `out` as cut, pace and flow control allow. Nothing is written inside of a handler's call:
 * connections with something to do are put on the server's list and served behind it, so that no
 * handler is ever called from inside of another one's call.
 */
#ifndef WEIR_LOCAL_SERVER_INTERNAL_H
#define WEIR_LOCAL_SERVER_INTERNAL_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "server/http1_parse.h"
#include "server/server.h"

/* Bytes that go out, counted by those who still want to send them. */
typedef struct segment {
    uint32_t refs;
    const char *bytes;
    size_t len;
    void (*release)(void *opaque);
    void *opaque;
} segment;

segment *segment_copy(const void *bytes, size_t len); /* NULL without memory */
void segment_drop(segment *s);

typedef struct slice {
    segment *of;
    size_t at;
    size_t len;
} slice;

/* A queue of slices; `bytes` is their sum. */
typedef struct slices {
    slice *ring;
    uint32_t head;
    uint32_t count;
    uint32_t capacity; /* a power of two, or 0 */
    size_t bytes;
} slices;

bool slices_push(slices *q, segment *of, size_t at, size_t len); /* takes a reference */
void slices_take(slices *q, size_t n);                           /* drops the first n bytes */
void slices_clear(slices *q);                                    /* drops all, keeps the ring */
void slices_free(slices *q);
static inline slice *slices_at(const slices *q, uint32_t i) {
    return &q->ring[(q->head + i) & (q->capacity - 1)];
}

typedef struct connection connection;

/* One header of the answer, as places in exchange.texts. */
typedef struct header_place {
    uint32_t name, name_len, value, value_len;
} header_place;

typedef enum exchange_state {
    EXCHANGE_OPEN,  /* nothing has been decided */
    EXCHANGE_BEGUN, /* the head may go out, more parts may come */
    EXCHANGE_GIVEN, /* all parts are there: the handler is done with it */
    EXCHANGE_ABORTED,
} exchange_state;

struct exchange {
    server *srv;
    connection *conn;
    exchange *previous, *next; /* of the connection */
    server_request request;
    server_header *headers; /* request.headers, `header_room` of them */
    uint32_t header_room;
    buf head; /* texts of the request */
    char *body;
    size_t body_len, body_room;
    bool body_taken;

    exchange_state state;
    unsigned status;
    buf texts;
    header_place *answer_headers;
    uint32_t answer_header_count, answer_header_room;
    slices parts;
    uint64_t length; /* with has_length */
    bool has_length;
    bool no_body; /* HEAD, 204, 304 */
    bool head_out;
    bool opens; /* the head is decided, the body is not */
    uint64_t body_out;
    void (*closed)(void *opaque);
    void *closed_opaque;
    void (*hook)(void *opaque, exchange *x);
    void *hook_opaque;
    void *note;
    void (*free_note)(void *note);

    bool has_cut, cut_done;
    uint64_t cut_at;
    exchange_cut cut_how;
    int64_t date_offset_ms;
    uint32_t pace_bytes, pace_ms, allowance;
    server_timer *pace_timer;

    int32_t stream; /* HTTP/2 */
    bool deferred;  /* HTTP/2: the data source said so */
};

/* How many bytes of the parts may go now, and whether the cut is reached with them. */
size_t exchange_may_send(exchange *x);
void exchange_sent(exchange *x, size_t n);
exchange *exchange_new(connection *c);
void exchange_free(exchange *x); /* unlinks; does not call `closed` */
/* The peer is gone: tells the handler if it still has it, and frees. */
void exchange_lost(exchange *x);
bool exchange_add_request_header(exchange *x, weir_str name, weir_str value);
/* Splits `target` into path and query, makes the strings of the request final. */
void exchange_dispatch(exchange *x);
bool exchange_append_body(exchange *x, const void *bytes, size_t len, size_t expected);

typedef enum wire { WIRE_UNKNOWN, WIRE_H1, WIRE_H2 } wire;

typedef struct h1_state {
    int phase;
    size_t seen; /* of the head */
    http1_head parsed;
    http1_chunks chunks;
    exchange *current;
    bool want_close;
    char *spare_body; /* kept from one request to the next: 5 MiB of fresh pages are not free */
    size_t spare_room;
} h1_state;

struct nghttp2_session;

struct connection {
    server *srv;
    connection *previous, *next;
    connection *next_ready;
    bool ready; /* on the server's list */
    int fd;
    SSL *tls;
    bool tls_done;    /* handshake */
    bool sniffed;     /* TLS or clear is known */
    bool dead;        /* freed at the end of the round */
    bool close_after; /* when `out` is empty */
    bool reset_after; /* the same with RST */
    bool read_closed;
    bool refused;    /* answered an error about the request itself: nothing more is read */
    uint32_t events; /* what epoll knows */
    uint64_t number, answers;
    server_timer *idle, *reading; /* server_conduct */
    bool idle_set;
    uint32_t allowance; /* bytes that may be read now, with reading */
    wire protocol;
    char *in;
    size_t in_len, in_room;
    slices out;
    exchange *exchanges;
    h1_state h1;
    struct nghttp2_session *h2;
};

struct server_timer {
    server *srv;
    void (*fire)(void *opaque);
    void *opaque;
    int64_t at;
    size_t place; /* in the heap, from 1; 0: not set */
    bool firing;  /* its function runs: freeing waits */
    bool freed;
};

struct server {
    server_options options;
    int listener, epoll, wake;
    bool stopping;
    bool told_tls; /* on_tls_without_certificate was called */
    connection *connections;
    uint32_t connection_count;
    connection *ready;
    connection *graves;
    SSL_CTX *tls;
    server_timer **heap;
    size_t heap_count, heap_room;
    int64_t advanced_ms, skew_ms;
    server_conduct conduct;
    uint64_t connections_ever;
    int64_t date_second;
    char date[40], other_date[40];
};

/* connection.c */
void connection_accept(server *s);
void connection_event(connection *c, uint32_t events);
/* Puts it on the list of those that connection_serve is called for. */
void connection_ready(connection *c);
void connection_serve(connection *c);
void connection_close(connection *c);
void connection_bury(server *s);                                   /* frees the dead */
bool connection_out(connection *c, const void *bytes, size_t len); /* copied */

/* h1.c: both advance as far as they can with what has been read, and pull answers into `out`. */
void h1_advance(connection *c);
void h1_pump(connection *c);
/* A place for the body's bytes themselves: NULL if there is none now. */
char *h1_body_room(connection *c, size_t *room);
void h1_body_read(connection *c, size_t n);
bool h1_wants_input(const connection *c);
void h1_free(connection *c);

/* h2.c */
bool h2_start(connection *c);
bool h2_input(connection *c, const char *bytes, size_t len);
bool h2_pump(connection *c);
void h2_answer(exchange *x); /* the head can go out */
void h2_more(exchange *x);   /* parts have come */
void h2_abort(exchange *x, exchange_cut how);
void h2_free(connection *c);

/* timer.c */
int64_t timers_next_ms(const server *s); /* from now; -1: none */
void timers_fire(server *s);
void timers_free(server *s);

/* tls.c */
SSL_CTX *tls_context(const char *cert, const char *key, char *error, size_t error_size);

/* The Date header, off by that much; valid until the next call. */
const char *server_date(server *s, int64_t offset_ms);
bool conduct_last_answer(connection *c); /* counts one; whether it is the connection's last */

#endif
