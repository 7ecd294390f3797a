/*
 * tests/unit/aws/stub_server.h - an HTTP/1.1 server in a thread, whose answers a test writes.
 *
 * One connection at a time per thread, keep-alive, a free port of the loopback interface.
 */
#ifndef TEST_STUB_SERVER_H
#define TEST_STUB_SERVER_H

#include <stddef.h>
#include <stdint.h>

typedef struct stub_request {
    const char *method, *path, *target; /* target: X-Amz-Target or "" */
    const char *head;                   /* all of it, NUL-terminated */
    const char *body;                   /* NUL-terminated */
    size_t body_len;
    unsigned number; /* from 1, over all connections */
} stub_request;

typedef struct stub_answer {
    int status;        /* 0: close the connection without an answer; -1: no answer, ever */
    char headers[512]; /* each ended by \r\n */
    char *body;        /* malloc'ed or NULL */
    size_t body_len;
} stub_answer;

typedef struct stub_server stub_server;
/* `answer` runs on the server's threads, one call at a time. */
stub_server *stub_start(void (*answer)(void *opaque, const stub_request *request, stub_answer *out),
                        void *opaque);
void stub_stop(stub_server *s);             /* joins every thread */
const char *stub_url(const stub_server *s); /* "http://127.0.0.1:PORT" */
unsigned stub_connections(stub_server *s);
void stub_text(stub_answer *out, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
