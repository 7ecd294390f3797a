/*
 * tools/local-aws/aws/aws.h - what services of AWS's JSON protocols share.
 *
 * A service is a table of operations. The shell claims requests by X-Amz-Target, checks the
 * signature, asks the faults, reads JSON or CBOR, calls the operation, and gives each answer its
 * request id. An operation reads `call->in`, and ends in exactly one of aws_fail, aws_end, or (for
 * an answer of its own kind) the functions of the exchange; now or later.
 *
 *     static void delete_stream(aws_call *call) {
 *         stream *s = ...weir_json_get_str(call->in, "StreamName", "")...;
 *         if (!s) { aws_fail(call, &NOT_FOUND, "Stream %s not found.", name); return; }
 *         ...
 *         aws_out_open(&call->out, NULL);
 *         aws_out_z(&call->out, "StreamName", ...);
 *         aws_end(call);
 *     }
 *
 * What is written goes through aws_out_*, which produces the encoding that was asked in.
 */
#ifndef WEIR_LOCAL_AWS_H
#define WEIR_LOCAL_AWS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "local.h"
#include "weir/json.h"

typedef struct aws_call aws_call;

typedef struct aws_operation {
    const char *name; /* "PutRecords" */
    void (*run)(aws_call *call);
    uint32_t flags;
} aws_operation;
#define AWS_UNSIGNED (1u << 0) /* needs no signature */

typedef struct aws_service {
    const char *name;    /* the signing name: "kinesis" */
    const char *target;  /* "Kinesis_20131202" */
    const char *version; /* of the protocol: "1.1", or "1.0" */
    const aws_operation *operations;
    uint32_t operation_count;
    bool cbor;   /* application/x-amz-cbor-1.1 is answered too */
    void *state; /* what operations find in call->state */
    void (*free)(void *state);
} aws_service;

/* Fills `out` so that requests for `service` arrive at its operations. Copies *service. */
bool aws_json_service(local *home, const aws_service *service, local_service *out);
/* An exception: its shape name and status. Tables of them are static. */
typedef struct aws_exception {
    const char *name; /* "ResourceNotFoundException" */
    unsigned status;  /* 400 */
} aws_exception;

typedef enum aws_encoding { AWS_JSON, AWS_CBOR } aws_encoding;

/* The writer of one value in either encoding. Objects and arrays are closed in reverse order. */
typedef struct aws_out {
    buf text;
    aws_encoding encoding;
    bool comma; /* JSON: something stands before the next member */
} aws_out;

struct aws_call {
    local *home;
    exchange *x;
    void *state;
    const aws_service *service;
    const aws_operation *operation;
    /* The input object. It and what its strings point to lives until `run` returns; with CBOR a
     * blob is WEIR_T_BYTES, with JSON it is base64 text: aws_blob reads both. */
    const weir_value *in;
    arena *memory; /* lives until the call ends */
    aws_out out;   /* empty */
    aws_encoding encoding;
    weir_str access_key; /* who signed, or empty */
    char request_id[37];
};

/* {"__type": name, "message": text} with the status and x-amzn-ErrorType. Ends the call. */
void aws_fail(aws_call *call, const aws_exception *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 200 with what was written through `out`, whose top object (aws_out_open(&call->out, NULL) first)
 * it closes; nothing written: an empty body. Ends the call. */
void aws_end(aws_call *call);
/* For large answers: what is in `out` so far becomes the next part of the answer, uncopied, and
 * `out` is empty; between two of these the operation gives parts of its own with exchange_refer. */
void aws_give(aws_call *call);
/* 200 with the parts given. Ends the call. */
void aws_send(aws_call *call);
/* Frees the call when an operation answers through the exchange by itself, or later: after this
 * only call->x, taken before, lives on, and the operation sets its own exchange_on_close. No
 * header is set. */
void aws_release(aws_call *call);

/* ---- reading ---- */

/* Absent and null are the same. The result lives as long as call->in. */
const weir_value *aws_in(const aws_call *call, const char *name);
weir_str aws_in_str(const aws_call *call, const char *name); /* ptr NULL if absent */
/* Bytes of a blob, decoded into the call's arena when it is base64. False if it is neither. */
bool aws_blob(aws_call *call, const weir_value *v, weir_str *out);
/* A timestamp as milliseconds: a number of seconds (JSON), or tag 1 in CBOR. */
bool aws_time_ms(const aws_call *call, const weir_value *v, int64_t *out);
/* A number of seconds, whatever its type. False: it is none. */
bool aws_seconds(const weir_value *v, double *out);
/* How many Unicode characters a text has. */
uint64_t aws_characters(weir_str text);

/* ---- writing ---- */

void aws_out_open(aws_out *o, const char *name); /* an object; name NULL inside an array */
void aws_out_close(aws_out *o);
void aws_out_open_array(aws_out *o, const char *name);
void aws_out_close_array(aws_out *o);
void aws_out_str(aws_out *o, const char *name, weir_str value);
void aws_out_z(aws_out *o, const char *name, const char *value);
void aws_out_i64(aws_out *o, const char *name, int64_t value);
void aws_out_bool(aws_out *o, const char *name, bool value);
void aws_out_null(aws_out *o, const char *name);
void aws_out_blob(aws_out *o, const char *name, weir_str bytes);
void aws_out_time_ms(aws_out *o, const char *name, int64_t ms);

/* ---- signatures: see verify.h for how; this is the door for services of other protocols ---- */

typedef enum aws_auth {
    AWS_AUTH_OK,
    AWS_AUTH_MISSING,    /* no signature at all */
    AWS_AUTH_INCOMPLETE, /* one that cannot be read */
    AWS_AUTH_UNKNOWN,    /* the access key is nobody's */
    AWS_AUTH_MISMATCH,   /* the signature is wrong */
    AWS_AUTH_SKEWED,     /* the date is out of the window */
    AWS_AUTH_EXPIRED,    /* a presigned URL or session credentials are past their time */
    AWS_AUTH_BAD_TOKEN,  /* a session token that does not belong to the key */
} aws_auth;

typedef struct aws_identity {
    weir_str access_key;
    weir_str region;       /* of the scope */
    weir_str service;      /* of the scope */
    weir_str signature;    /* hex: the seed of S3's chunk signatures */
    weir_str date;         /* of the request: "20260115T123045Z" */
    weir_str payload_hash; /* x-amz-content-sha256, or empty */
    uint8_t key[32];       /* the derived key: S3's chunks are signed with it */
    char detail[512];      /* what was wrong, in the words of the service */
    struct {               /* of the query form, whose texts had to be decoded */
        char access_key[128], region[64], service[64];
    } kept;
} aws_identity;

/* Checks the request's signature (header or query form). With verification switched off every
 * request is AWS_AUTH_OK, the identity as far as it can be read. `scope_service` NULL: any. */
aws_auth aws_authenticate(local *home, const exchange *x, const char *scope_service,
                          aws_identity *out);
/* Temporary credentials: known to the verifier until `expires_ms` (server_now_ms). All copied;
 * false without memory. */
bool aws_credentials_add(local *home, weir_str access_key, weir_str secret, weir_str token,
                         int64_t expires_ms);

#endif
