/*
 * s3/call.h - one request while it is answered: what it names, its body, its answer.
 *
 * A call lives on the stack of the service's function: each operation answers before it returns, in
 * exactly one of s3_fail, s3_end and s3_end_xml. What is small comes from its arena.
 */
#ifndef WEIR_LOCAL_S3_CALL_H
#define WEIR_LOCAL_S3_CALL_H

#include "aws/aws.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "s3/errors.h"
#include "s3/model.h"

#define S3_XML_MAX ((size_t)64 << 20)
#define S3_QUERY_MAX 64u

typedef struct s3_call s3_call;

typedef struct s3_operation {
    const char *name; /* "PutObject": in faults and statistics */
    void (*run)(s3_call *call);
    uint32_t flags;
} s3_operation;
#define S3_NO_BUCKET_YET (1u << 0) /* the bucket need not be there */
#define S3_ANY_REGION (1u << 1)    /* may be asked of us-east-1, wherever the bucket is */

typedef struct s3_call {
    s3 *s;
    exchange *x;
    const server_request *r;   /* the exchange's, or with_query: */
    server_request with_query; /* with the headers that a presigned URL says in its query */
    const s3_operation *op;
    weir_str unknown;     /* the parameter for which there is no operation; ptr NULL: none */
    weir_str bucket_name; /* empty: the service itself */
    weir_str key;         /* decoded; empty: the bucket itself */
    struct {
        weir_str name, value; /* decoded */
    } query[S3_QUERY_MAX];
    uint32_t query_count;
    s3_bucket *bucket;
    aws_identity who;
    arena *memory;
    bool no_memory; /* for something of this call: any error is InternalError then */
    buf xml;        /* of the answer, or */
    buf detail;     /* elements that go into an error */
    char request_id[17], host_id[77];
} s3_call;

/* From the arena; NULL without memory, and the call knows. */
void *s3_alloc(s3_call *call, size_t size);

/* ---- the request ---- */

weir_str s3_header(const s3_call *call, const char *name); /* ptr NULL: absent */
weir_str s3_param(const s3_call *call, const char *name);  /* of the query; ptr NULL: absent */
bool s3_has_param(const s3_call *call, const char *name);
/* A number of the query within its bounds. False: InvalidArgument has been answered. */
bool s3_param_number(s3_call *call, const char *name, int64_t low, int64_t high, int64_t otherwise,
                     int64_t *out);
/* Percent-decoding into the arena; with `plus` a '+' is a space. ptr NULL without memory. */
weir_str s3_decode(s3_call *call, weir_str text, bool plus);

/* ACLs that say more than that all is the bucket's owner's, which is what every bucket here says;
 * `e` is what is answered. False: answered. */
bool s3_acl_allowed(s3_call *call, const s3_error *e);

/* The body, once: out of aws-chunked, held against the digests and checksums that came with it. It
 * becomes the caller's. `sum` (may be NULL) is what the client stated, SUM_NONE if nothing. False:
 * an error has been answered. */
bool s3_body(s3_call *call, s3_content *out, checksum *sum);
/* The same for a document; DeleteObjects and others need an integrity header. The text lives as
 * long as the call. */
bool s3_body_text(s3_call *call, bool needs_digest, weir_str *out);
/* The one x-amz-checksum-ALGORITHM among the headers, or SUM_NONE. False: answered. */
bool s3_stated_sum(s3_call *call, checksum *out);

/* ---- the answer ---- */

/* An element for the error that is to come. */
void s3_detail(s3_call *call, const char *name, weir_str value);
void s3_detail_u64(s3_call *call, const char *name, uint64_t value);
void s3_detail_z(s3_call *call, const char *name, const char *value);
void s3_fail(s3_call *call, const s3_error *e);
void s3_fail_text(s3_call *call, const s3_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* InvalidArgument with the argument's name and value. */
void s3_fail_argument(s3_call *call, const char *name, weir_str value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* No body. */
void s3_end(s3_call *call, unsigned status);
/* 200 with what is in call->xml. */
void s3_end_xml(s3_call *call);

/* ---- XML ---- */

/* The declaration and the outermost element with S3's namespace. */
void s3_xml_begin(buf *b, const char *name);
void s3_xml_open(buf *b, const char *name);
void s3_xml_close(buf *b, const char *name);
void s3_xml_put(buf *b, const char *name, weir_str text);
void s3_xml_z(buf *b, const char *name, const char *text);
void s3_xml_u64(buf *b, const char *name, uint64_t v);
void s3_xml_bool(buf *b, const char *name, bool v);
void s3_xml_time(buf *b, const char *name, int64_t ms);
void s3_xml_etag(buf *b, const char *etag); /* with its quotes */
void s3_xml_sum(buf *b, const checksum *sum);
void s3_xml_owner(s3_call *call, const char *name);
/* A key: as it is, or encoded for encoding-type=url. */
void s3_xml_key(buf *b, const char *name, weir_str key, bool url);

/* ---- times ---- */

#define S3_TIME_TEXT 40u
void s3_time_iso(int64_t ms, char out[S3_TIME_TEXT]);  /* 2026-01-15T12:30:45.000Z */
void s3_time_http(int64_t ms, char out[S3_TIME_TEXT]); /* Thu, 15 Jan 2026 12:30:45 GMT */
bool s3_time_read(weir_str text, int64_t *ms);         /* the three forms of HTTP, and ISO 8601 */

/* ---- what several operations ask ---- */

/* What a listing of keys or uploads is asked for; texts are the call's. */
typedef struct s3_listing {
    weir_str prefix, delimiter;
    int64_t most; /* at most S3_PAGE_MAX */
    bool url;     /* keys are percent-encoded */
} s3_listing;
/* False: the call has failed. `most` is the name of the parameter with the page's size. */
bool s3_listing_read(s3_call *call, const char *most, s3_listing *out);
/* What the key rolls up to: up to and with the first delimiter behind the prefix. ptr NULL: itself.
 */
weir_str s3_listing_roll(const s3_listing *l, weir_str key);
void s3_listing_put(const s3_listing *l, buf *b, weir_str prefix); /* one <CommonPrefixes> */

/* If-Match and its kin, of a read: false if 304 or 412 has been answered. `prefix` is "" or
 * "x-amz-copy-source-", where a condition that is not met is always 412. */
bool s3_read_conditions(s3_call *call, const s3_object *o, const char *prefix);
/* If-None-Match: * and If-Match, of a write to `key`: false if 404, 412 or 501 was answered. */
bool s3_write_conditions(s3_call *call);
/* If-Match of DeleteObject. */
bool s3_delete_conditions(s3_call *call, const s3_object *o);

/* What is said in the headers of a write: types, metadata, class, encryption, tags. */
bool s3_said_read(s3_call *call, s3_said *out);
/* Headers of an answer to a write, and to a read (which has them all). */
void s3_said_answer(s3_call *call, const s3_said *said);
void s3_said_answer_read(s3_call *call, const s3_said *said);
/* The customer's key, where the object was written with one: false if an error was answered.
 * `prefix`: "x-amz-" or "x-amz-copy-source-". */
bool s3_customer_key_fits(s3_call *call, const s3_said *said, const char *prefix);
void s3_sum_answer(s3_call *call, const checksum *sum); /* the header and its type */

/* Tags from a query-encoded header, from XML, and back. False: answered. */
bool s3_tags_read_header(s3_call *call, weir_str text, s3_fields *out);
bool s3_tags_read_xml(s3_call *call, weir_str text, s3_fields *out);

/* The object of the call; NULL if NoSuchKey (or a delete marker's absence) was answered. */
s3_object *s3_object_wanted(s3_call *call);
/* "bucket/key" of x-amz-copy-source with its conditions; NULL if answered. */
const s3_object *s3_copy_source(s3_call *call);
/* "bytes=a-b" of a whole of `size` bytes. False: it is not of this form, or several ranges. If it
 * is beyond the end, *len is 0. */
bool s3_range_read(weir_str text, uint64_t size, uint64_t *at, uint64_t *len);

/* ---- the operations ---- */

#define S3_OPERATIONS(X)                                                                           \
    X(list_buckets)                                                                                \
    X(create_bucket)                                                                               \
    X(head_bucket)                                                                                 \
    X(delete_bucket)                                                                               \
    X(bucket_location)                                                                             \
    X(bucket_versioning)                                                                           \
    X(list_objects)                                                                                \
    X(list_objects_v2)                                                                             \
    X(list_uploads)                                                                                \
    X(delete_objects)                                                                              \
    X(put_object)                                                                                  \
    X(get_object)                                                                                  \
    X(head_object)                                                                                 \
    X(delete_object)                                                                               \
    X(copy_object)                                                                                 \
    X(get_attributes)                                                                              \
    X(get_tags)                                                                                    \
    X(put_tags)                                                                                    \
    X(delete_tags)                                                                                 \
    X(create_upload)                                                                               \
    X(upload_part)                                                                                 \
    X(upload_part_copy)                                                                            \
    X(complete_upload)                                                                             \
    X(abort_upload)                                                                                \
    X(list_parts)
#define S3_DECLARE(name) void s3_op_##name(s3_call *call);
S3_OPERATIONS(S3_DECLARE)
#undef S3_DECLARE

/* ---- between request and operation ---- */

/* Where Host and path point; the query; which operation. False: answered. */
bool s3_route(s3_call *call);
/* NULL: none, maybe for the parameter that is call->unknown then. */
const s3_operation *s3_find_operation(s3_call *call);
/* Of each in turn; NULL behind the last. */
const char *s3_operation_name(uint32_t index);
/* Signature and region. False: answered. */
bool s3_authorise(s3_call *call);
/* Answers a wrong region: 301 or AuthorizationHeaderMalformed. */
void s3_fail_region(s3_call *call, const s3_error *e, const char *region);

#endif
