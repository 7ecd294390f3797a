/*
 * weir/http.h - asynchronous HTTP for plugins, part of libweir_aws.a.
 *
 * A client belongs to one thread: it submits requests, and `drive` moves all of them and calls back
 * those that are done. No thread is started, whatever the number of requests under way. Only
 * `wakeup` may be called from elsewhere. The interface names no HTTP library: libcurl does the work
 * today, and another engine can take its place behind the same functions.
 *
 *   start --> under way --> done(...)      each accepted request exactly once: answered, failed,
 *                                          timed out, cancelled, or client freed
 *
 * Times are CLOCK_MONOTONIC nanoseconds, as weir_mono_ns gives them. Not part of the ABI: this code
 * becomes part of your plugin. C11; the header is also C++11.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_http weir_http;                   /* a client */
typedef struct weir_http_request weir_http_request;   /* a request under way */
typedef struct weir_http_response weir_http_response; /* valid during `done` only */

#define WEIR_HTTP_AUTO 0u /* 1.1: for requests and answers it costs a quarter less CPU than 2 */
#define WEIR_HTTP_1_1 1u
#define WEIR_HTTP_2 2u /* by ALPN over TLS; with prior knowledge in clear */

/* An answer longer than this fails with WEIR_E_TOO_LARGE unless the request says otherwise. */
#define WEIR_HTTP_RESPONSE_MAX (64u * 1024u * 1024u)

/*
 * Where bodies of answers go. With the host's segment_alloc and segment_free here, a body can be
 * attached to a batch as it is. NULL functions stand for malloc and free.
 */
typedef struct weir_http_memory {
    void *opaque;
    char *(*alloc)(void *opaque, uint64_t size, uint64_t *capacity); /* NULL without memory */
    void (*release)(void *buffer); /* a leaf, usable as weir_release_fn */
} weir_http_memory;

/* Copied by weir_http_new. All zero is a usable configuration with TLS verification on. */
typedef struct weir_http_config {
    uint32_t http_version;       /* WEIR_HTTP_* */
    uint32_t max_connections;    /* 0 = 64; requests beyond it wait for a free one */
    uint32_t connect_timeout_ms; /* 0 = 10,000 */
    uint32_t tls_verify_off;     /* 1: accepts any certificate */
    const char *proxy;           /* NULL: HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide */
    const char *ca_bundle;       /* PEM file; NULL = the system's */
    const char *user_agent;      /* NULL = "weir" */
    weir_http_memory memory;
} weir_http_config;

typedef struct weir_http_header {
    weir_str name;
    weir_str value;
} weir_http_header;

/* A request. Copied by weir_http_start, except for the bytes that `body` points to: those are the
 * caller's and must stay until `done`. */
typedef struct weir_http_args {
    const char *method;              /* "GET", "POST", ... static */
    const char *url;                 /* http: or https:, sent exactly as it stands here */
    const weir_http_header *headers; /* [header_count] without Content-Length */
    uint32_t header_count;
    uint32_t body_count;
    const weir_str *body;  /* [body_count] segments, sent one after the other */
    int64_t deadline_ns;   /* over: WEIR_E_TIMEOUT; 0 = none */
    uint64_t response_max; /* 0 = WEIR_HTTP_RESPONSE_MAX */
    /* Called once, from drive, weir_http_cancel or weir_http_free. May start and cancel requests,
     * must not drive or free the client. */
    void (*done)(void *opaque, weir_http_response *response);
    /* Optional: takes the body of a 2xx answer piece by piece instead of keeping it. Anything but
     * WEIR_OK ends the request with that status. Must not touch the client. */
    weir_status (*data)(void *opaque, weir_str bytes);
    /* Optional: takes the place of memory.alloc for this request, so that a caller can refuse an
     * answer when it sees its size: NULL ends the request with WEIR_E_NOMEM. `size` is the
     * announced length; without one it is asked again for more, and the smaller buffer is released.
     * Must not touch the client. */
    char *(*alloc)(void *opaque, uint64_t size, uint64_t *capacity);
    void *opaque;
} weir_http_args;

/* A client. NULL without memory, or if libcurl cannot be initialised. [control, task] */
weir_http *weir_http_new(const weir_http_config *config);

/* Completes what is under way with WEIR_E_CANCELLED, closes all connections. NULL is ignored. */
void weir_http_free(weir_http *http);

/* Begins a request; `out` (may be NULL) is valid until `done`. `done` is never called before this
 * returns. On failure nothing was begun and `done` will not be called: WEIR_E_INVALID_ARG,
 * WEIR_E_NOMEM. */
weir_status weir_http_start(weir_http *http, const weir_http_args *args, weir_http_request **out);

/* Completes a request with WEIR_E_CANCELLED before it returns. */
void weir_http_cancel(weir_http *http, weir_http_request *request);

/* Moves all requests. Returns after at least one was completed, after a wake-up, or at
 * `deadline_ns`, whichever is first; a deadline in the past means: no waiting. The result is the
 * number of completed requests. */
uint32_t weir_http_drive(weir_http *http, int64_t deadline_ns);

/* Requests under way. */
uint32_t weir_http_active(const weir_http *http);

/* Makes the current or next drive return soon. [any] */
void weir_http_wakeup(weir_http *http);

/* ---- inside `done` ---- */

/* WEIR_OK: an answer came, whatever its HTTP status. Else IO, TIMEOUT, CANCELLED, NOMEM,
 * TOO_LARGE, AUTH (the server's certificate), or what `data` returned. */
weir_status weir_http_result(const weir_http_response *r);
const char *weir_http_error_text(const weir_http_response *r); /* lower case; "" if OK */
uint32_t weir_http_status(const weir_http_response *r);        /* 200; 0 if none came */
/* Value of a response header, name in any case; the last one wins; ptr NULL if absent. */
weir_str weir_http_header_value(const weir_http_response *r, const char *name);
weir_str weir_http_body(const weir_http_response *r);
/* Bytes of the answer's header and body on the wire after TLS. */
uint64_t weir_http_wire_bytes(const weir_http_response *r);
/* Hands the body's buffer to the caller, to be given to memory.release; `capacity` is its real
 * size. NULL if the body is empty or was taken before. */
char *weir_http_take_body(weir_http_response *r, uint64_t *len, uint64_t *capacity);

#ifdef __cplusplus
}
#endif
#endif
