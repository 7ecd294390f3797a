/*
 * weir/aws.h - what every plugin for an AWS service needs, as libweir_aws.a: signing, credentials,
 * region and endpoint, retries, and calls over weir/http.h: of the AWS JSON protocol, and of REST
 * as S3 speaks it.
 *
 *   options of the node   --+
 *   environment             +-->  weir_aws_client  --weir_aws_call-->  done(response)
 *   ~/.aws/{config,credentials}      |  one thread, no blocking call; drive() moves everything
 *
 * A plugin merges the option group `aws` into its plugin.json ("include": ["aws"]) and makes one
 * client an instance. Secrets are wiped when they go, and stand in no error or log text.
 * Not part of the ABI: this code becomes part of your plugin. C11; the header is also C++11.
 */
#ifndef WEIR_AWS_H
#define WEIR_AWS_H

#include "weir/http.h"
#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- signing: Signature Version 4 ---- */

typedef struct weir_aws_signer weir_aws_signer; /* buffers and the derived key of the last scope */

typedef struct weir_aws_keys {
    weir_str access_key_id;
    weir_str secret_access_key;
    weir_str session_token; /* empty: none. Signed only as a header that the caller adds */
} weir_aws_keys;

/* S3 signs the path as it goes over the wire. Every other service normalises it (dot segments,
 * doubled slashes) and encodes the wire form once more. */
#define WEIR_AWS_SIGN_S3 (1u << 0)
/* weir_aws_presign: the session token joins the URL after it was signed, as a few services want. */
#define WEIR_AWS_SIGN_TOKEN_LAST (1u << 1)

/* What stands in place of a payload's hash (S3). The unsigned ones belong on https only. */
#define WEIR_AWS_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define WEIR_AWS_UNSIGNED_TRAILER "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define WEIR_AWS_SIGNED_CHUNKS "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define WEIR_AWS_SIGNED_CHUNKS_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

/* Hash of an empty body, in hex. */
#define WEIR_AWS_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/* "YYYYMMDDTHHMMSSZ" with its NUL, and a hex SHA-256 with its NUL. */
#define WEIR_AWS_DATE_SIZE 17u
#define WEIR_AWS_HASH_SIZE 65u

typedef struct weir_aws_sign_args {
    weir_str method;
    weir_str path;  /* as in the URL, percent-encoded; empty = "/" */
    weir_str query; /* as in the URL, without '?' */
    /* Every header to sign, host and x-amz-date included, in any order and case. Those that proxies
     * change (user-agent, connection, ...) are left out of the signature. */
    const weir_http_header *headers;
    uint32_t header_count;
    uint32_t flags;        /* WEIR_AWS_SIGN_* */
    weir_str payload_hash; /* hex SHA-256 of the body, or a literal such as UNSIGNED-PAYLOAD */
    weir_str region;
    weir_str service; /* the signing name */
    weir_str date;    /* what x-amz-date says: from weir_aws_format_date */
} weir_aws_sign_args;

weir_aws_signer *weir_aws_signer_new(void);         /* NULL without memory */
void weir_aws_signer_free(weir_aws_signer *signer); /* wipes; NULL is ignored */
/* The value of the Authorization header, valid until the next call on the same signer; ptr NULL
 * without memory or if `date` is malformed. */
weir_str weir_aws_sign(weir_aws_signer *signer, const weir_aws_keys *keys,
                       const weir_aws_sign_args *args);

#define WEIR_AWS_PRESIGN_MAX_S 604800u /* a week */
/* The query of a presigned URL: args->query, the X-Amz-* parameters, X-Amz-Signature. `headers` are
 * those that the user of the URL has to send: at least host, and no x-amz-date. `payload_hash` is
 * UNSIGNED-PAYLOAD for S3, else that of the body. Valid until the next call on the same signer; ptr
 * NULL without memory, if `date` is malformed, or if `expires_s` is not 1 to
 * WEIR_AWS_PRESIGN_MAX_S.
 */
weir_str weir_aws_presign(weir_aws_signer *signer, const weir_aws_keys *keys,
                          const weir_aws_sign_args *args, uint32_t expires_s);

/*
 * Chunk signatures (S3, content-encoding aws-chunked). Each one covers the one before; the first
 * follows the signature of the request, whose payload_hash is one of the WEIR_AWS_SIGNED_CHUNKS*.
 *
 *     weir_aws_sign, weir_aws_chunks_begin;  for each chunk and then for an empty one:
 *     weir_aws_chunk_head  data  "\r\n"      - after the empty one: trailers in place of its data
 *     "name:value\r\n" ...  "x-amz-trailer-signature:" weir_aws_trailer_sign "\r\n"  "\r\n"
 */
typedef struct weir_aws_chunks {
    unsigned char key[32];
    char prefix[160];                   /* date and scope, as they stand in a string to sign */
    char signature[WEIR_AWS_HASH_SIZE]; /* of the piece before */
} weir_aws_chunks;
#define WEIR_AWS_CHUNK_MIN 8192u /* of all chunks with data but the last */
#define WEIR_AWS_CHUNK_HEAD_SIZE 104u
/* After weir_aws_sign. 0 if that failed. `c` holds a key: wipe it in the end. */
int weir_aws_chunks_begin(weir_aws_chunks *c, const weir_aws_signer *signer);
/* "<hex length>;chunk-signature=<signature>\r\n" with a NUL; its length, 0 on failure. */
uint32_t weir_aws_chunk_head(weir_aws_chunks *c, const weir_str *segments, uint32_t count,
                             char out[WEIR_AWS_CHUNK_HEAD_SIZE]);
/* `lines`: "name:value\n" for each trailer, in order. 0 on failure. */
int weir_aws_trailer_sign(weir_aws_chunks *c, weir_str lines, char out[WEIR_AWS_HASH_SIZE]);
void weir_aws_chunks_wipe(weir_aws_chunks *c);
/* Content-Length of `decoded` bytes in chunks of `chunk` bytes; `is_signed`: with signatures;
 * `trailer` counts the bytes between the empty chunk's line and the last "\r\n". */
uint64_t weir_aws_chunked_size(uint64_t decoded, uint64_t chunk, int is_signed, uint64_t trailer);

/* Steps of the last signature, for tests; never log them. */
weir_str weir_aws_canonical_request(const weir_aws_signer *signer);
weir_str weir_aws_string_to_sign(const weir_aws_signer *signer);
void weir_aws_format_date(int64_t time_s, char out[WEIR_AWS_DATE_SIZE]);
void weir_aws_hash(const weir_str *segments, uint32_t count, char out[WEIR_AWS_HASH_SIZE]);

/* ---- clients ---- */

typedef struct weir_aws_client weir_aws_client;

typedef struct weir_aws_client_args {
    const char *service; /* "kinesis": signing name, endpoint name, AWS_ENDPOINT_URL_<SERVICE> */
    weir_str region;     /* from an ARN; empty = option, environment, profile */
    uint32_t max_connections; /* right for the plugin if the option is not given; 0 = 64 */
} weir_aws_client_args;

/*
 * A client from the options of the aws group, the environment and the profile files. Does no
 * network I/O. On failure `*out` is NULL and `error` filled: what is missing, every place tried,
 * what to do. Belongs to one thread, except for wakeup and cancel. [control, task]
 */
weir_status weir_aws_client_new(weir_ctx *ctx, const weir_aws_client_args *args, weir_error *error,
                                weir_aws_client **out);
/* Completes calls under way with WEIR_E_CANCELLED. NULL is ignored. */
void weir_aws_client_free(weir_aws_client *client);
const char *weir_aws_region(const weir_aws_client *client);
/* Where keys come from: "environment", "profile \"x\"", "role arn:... with keys from ...". */
const char *weir_aws_keys_from(const weir_aws_client *client);
/* "https://kinesis.eu-west-1.amazonaws.com" */
const char *weir_aws_endpoint(const weir_aws_client *client);
/* Microseconds since 1970 as the services see them: this machine's clock, corrected by the Date of
 * a refusal that blamed it. For presigned URLs. */
int64_t weir_aws_now_us(const weir_aws_client *client);
/* 1 if the endpoint is AWS's own, whose published quotas hold; 0 for any override. */
int weir_aws_is_service(const weir_aws_client *client);

/* What kind of failure it was: decides about retries. */
#define WEIR_AWS_OK 0u
#define WEIR_AWS_THROTTLED 1u /* the service wants fewer calls */
#define WEIR_AWS_TRANSIENT 2u /* 5xx, network, timeout: the same call may succeed */
#define WEIR_AWS_EXPIRED 3u   /* credentials have expired */
#define WEIR_AWS_DENIED 4u    /* identity or permission */
#define WEIR_AWS_NOT_FOUND 5u /* the resource does not exist */
#define WEIR_AWS_REFUSED 6u   /* any other answer that blames the request */
#define WEIR_AWS_CANCELLED 7u

/* The outcome of a call. Strings are valid during `done` only. */
typedef struct weir_aws_response {
    uint32_t kind;        /* WEIR_AWS_* */
    weir_status status;   /* the kind as a status: THROTTLED, IO, TIMEOUT, AUTH, PERMISSION, ... */
    uint32_t http_status; /* 0: no answer */
    uint32_t attempts;
    weir_str operation; /* "Kinesis_20131202.ListShards" */
    weir_str body;      /* of a 200 answer */
    weir_str code;      /* "ResourceNotFoundException"; empty if none */
    weir_str message;   /* the service's text, or why there is no answer */
    weir_str request_id;
    int64_t date_us;          /* the server's clock (seconds), INT64_MIN if it did not say */
    int64_t retry_after_ms;   /* the server's wish; -1 = none */
    weir_http_response *http; /* for weir_http_take_body; NULL if nothing was sent */
    weir_str hint; /* what to do about keys that cannot be had; weir_aws_fail passes it on */
} weir_aws_response;

/* How the body of an S3 request is signed: weir_aws_call_args.payload. Every other service has its
 * hash in the signature, which is what 0 means. */
#define WEIR_AWS_PAYLOAD_HASH 0u
#define WEIR_AWS_PAYLOAD_UNSIGNED 1u /* only over https */
#define WEIR_AWS_PAYLOAD_CHUNKS 2u   /* aws-chunked: each chunk is signed, and the trailer if any */
#define WEIR_AWS_PAYLOAD_UNSIGNED_CHUNKS 3u /* aws-chunked with a trailer; only over https */

/* weir_aws_call_args.flags: a 200 answer may hold an <Error>, as S3's copies and the completion of
 * multipart uploads have it. */
#define WEIR_AWS_CALL_ERROR_IN_200 (1u << 0)

/*
 * A call of a REST protocol, as S3 speaks it. Copied by weir_aws_call, except for the bytes that
 * `segments` point to, which stay until `done`: with them, `weir_aws_call_args.body` is empty.
 */
typedef struct weir_aws_rest {
    const char *operation; /* "S3.PutObject", for messages; static */
    const char *method;    /* "PUT"; static */
    weir_str bucket;       /* goes in front of the host where that is possible, else of the path */
    weir_str path;         /* percent-encoded, behind the bucket; empty = "/" */
    weir_str query;        /* percent-encoded, without '?' */
    const weir_http_header *headers; /* [header_count] more to send and to sign */
    uint32_t header_count;
    uint32_t segment_count;
    const weir_str *segments; /* [segment_count] the body */
    uint32_t payload;         /* WEIR_AWS_PAYLOAD_* */
    uint32_t path_style;      /* 1: the bucket always goes into the path */
    weir_http_header trailer; /* of the chunked payloads: "x-amz-checksum-crc32c"; empty = none */
} weir_aws_rest;

typedef struct weir_aws_call_args {
    const char *target;    /* X-Amz-Target; NULL for a call that is not AWS JSON: see `rest` */
    weir_str body;         /* copied */
    const char *account;   /* 12 digits with `plane`: the account's own endpoint; NULL = regional */
    const char *plane;     /* "data" or "control"; static */
    uint32_t attempts;     /* in all, with the client's retry budget; 0 = 3; 1 = no retry, unless
                            * newer keys take the place of expired ones */
    uint32_t timeout_ms;   /* of one attempt; 0 = 60,000 */
    int64_t deadline_ns;   /* of all attempts; 0 = none */
    uint64_t response_max; /* 0 = WEIR_HTTP_RESPONSE_MAX */
    /* Called exactly once if weir_aws_call returned OK, from drive, cancel_all or client_free. May
     * make further calls. */
    void (*done)(void *opaque, const weir_aws_response *response);
    /* Optional: gives the buffer of an answer in place of the host's segment_alloc; its result goes
     * to segment_free. See weir_http_args. */
    char *(*alloc)(void *opaque, uint64_t size, uint64_t *capacity);
    /* Optional: takes the body of a 2xx answer piece by piece, as weir_http_args.data does; `body`
     * of the response stays empty. For streams that never end: give such a call a long timeout_ms,
     * since it counts to the end of the answer. Once a piece was given the call is not repeated:
     * whoever reads the stream knows where to go on. */
    weir_status (*data)(void *opaque, weir_str bytes);
    void *opaque;
    const char *content_type;  /* static; NULL = application/x-amz-json-1.1, with `rest` none */
    uint32_t flags;            /* WEIR_AWS_CALL_* */
    const weir_aws_rest *rest; /* NULL: POST / with `target` and `body` */
} weir_aws_call_args;

/* Begins a call. WEIR_OK, or WEIR_E_NOMEM, WEIR_E_CANCELLED: then `done` is not called. */
weir_status weir_aws_call(weir_aws_client *client, const weir_aws_call_args *args);
/* Moves all calls and their retries; see weir_http_drive. */
uint32_t weir_aws_drive(weir_aws_client *client, int64_t deadline_ns);
uint32_t weir_aws_active(const weir_aws_client *client); /* calls under way or waiting to retry */
void weir_aws_wakeup(weir_aws_client *client); /* current or next drive returns soon [any] */
/* Completes every call with WEIR_E_CANCELLED. */
void weir_aws_cancel_all(weir_aws_client *client);

/* Fills `error` from a failed response: "<what>: <code>: <message>", details, a hint. Returns the
 * response's status. */
weir_status weir_aws_fail(weir_ctx *ctx, weir_error *error, const weir_aws_client *client,
                          const weir_aws_response *response, const char *what);
/* The same after the last attempt that is allowed: whatever the kind, the error is marked as one
 * that nobody shall try again. */
weir_status weir_aws_fail_last(weir_ctx *ctx, weir_error *error, const weir_aws_client *client,
                               const weir_aws_response *response, const char *what);

/* Delay before retry number `retry` (from 1): uniform in [0, min(max, base * 2^(retry-1))]. */
int64_t weir_aws_backoff_ns(weir_ctx *ctx, uint32_t retry, int64_t base_ns, int64_t max_ns);

/* ---- names ---- */

/* `text` percent-encoded for a path or a query, RFC 3986's unreserved characters staying; with
 * `slashes`, '/' stays too, as in the keys of S3. The length without the NUL; what does not fit
 * into `size` is cut, NUL included. `out` may be NULL with size 0. */
uint64_t weir_aws_uri_encode(weir_str text, int slashes, char *out, uint64_t size);

typedef struct weir_aws_arn {
    weir_str partition, service, region, account, resource; /* resource: all after the fifth ':' */
} weir_aws_arn;
/* Splits an ARN; 0 if `text` is none. The parts point into `text`. */
int weir_aws_arn_parse(weir_str text, weir_aws_arn *out);

#ifdef __cplusplus
}
#endif
#endif
