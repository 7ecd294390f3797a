/*
 * sdk/aws/request.h - what a call sends: kept from weir_aws_call's arguments, signed anew for each
 * attempt. Internal.
 */
#ifndef WEIR_AWS_REQUEST_H
#define WEIR_AWS_REQUEST_H

#include <stdbool.h>

#include "client.h"

typedef struct aws_request {
    const char *operation; /* for messages; NUL-terminated, in `room` or static */
    bool json;             /* AWS JSON: only 200 is success */
    bool s3;               /* signed in its way */
    const char *method, *target, *content_type;
    const char *account, *plane; /* NULL: the regional endpoint */
    weir_str bucket, path, query;
    const weir_http_header *given; /* [given_count] by the caller */
    uint32_t given_count;
    uint32_t payload; /* WEIR_AWS_PAYLOAD_*, as it can be had with this endpoint */
    weir_http_header trailer;
    const weir_str *segments; /* [segment_count] the body: `body`, or the caller's */
    uint32_t segment_count;
    uint64_t size; /* of the body */
    weir_str body;
    char hash[WEIR_AWS_HASH_SIZE]; /* of the body, if it is signed as a whole */
    weir_http_header *headers;     /* room for an attempt's */
    char *room;                    /* every copied text */
    uint64_t room_size;
    char *framing; /* of an attempt's chunks: heads, ends and trailer */
    weir_str *framed;
} aws_request;

/* One attempt: number `number` of at most `of`. */
typedef struct aws_attempt {
    uint32_t number, of;
    const char *invocation; /* the same in all attempts of a call */
    int64_t deadline_ns;
    uint64_t response_max;
    void (*done)(void *opaque, weir_http_response *response);
    weir_status (*data)(void *opaque, weir_str bytes);
    char *(*alloc)(void *opaque, uint64_t size, uint64_t *capacity);
    void *opaque;
} aws_attempt;

/* WEIR_OK, WEIR_E_NOMEM, or WEIR_E_INVALID_ARG if neither a target nor a method is given. */
weir_status aws_request_init(aws_request *q, const weir_aws_client *c,
                             const weir_aws_call_args *args);
void aws_request_free(aws_request *q); /* wipes */
/* Signs with the client's keys and clock, and sends. The request must stay until `done`. */
weir_status aws_request_send(aws_request *q, weir_aws_client *c, const aws_attempt *attempt,
                             weir_http_request **out);

#endif
