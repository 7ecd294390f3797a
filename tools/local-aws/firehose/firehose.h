/*
 * firehose/firehose.h - delivery streams that gather records and put them into this endpoint's S3.
 *
 *     PutRecord ──> filling ──(size or time)──> waiting ──> s3_put
 *                   a bundle                    bundles in order; the first that S3 does not take
 *                                               stays, and is tried again
 *
 * A bundle is what one object will hold: the records' bytes one behind the other, with the
 * delimiter behind each if the stream appends one. States that pass by themselves (CREATING,
 * ENABLING, DELETING) are moments compared with the clock, not timers. One thread.
 */
#ifndef WEIR_LOCAL_FIREHOSE_H
#define WEIR_LOCAL_FIREHOSE_H

#include "aws/parts.h"
#include "base/map.h"

#define FIREHOSE_CHANGE_MS 100 /* CREATING, DELETING, ENABLING, DISABLING last so long */
#define FIREHOSE_NAME_MAX 64u  /* the API's model, as the four that follow */
#define FIREHOSE_RECORDS_MAX 500u
#define FIREHOSE_RECORD_MAX 1024000u
#define FIREHOSE_TAGS_MAX 50u
#define FIREHOSE_PREFIX_MAX 1024u       /* characters as written */
#define FIREHOSE_PREFIX_BYTES 512u      /* evaluated; the developer guide */
#define FIREHOSE_REQUEST_MAX (4u << 20) /* the API's documentation */
/* Into one stream a second, by region; the quotas. LARGE: where aws_region_is_large. */
#define FIREHOSE_SECOND_RECORDS 100000
#define FIREHOSE_SECOND_RECORDS_LARGE 500000
#define FIREHOSE_SECOND_REQUESTS 1000
#define FIREHOSE_SECOND_REQUESTS_LARGE 2000
#define FIREHOSE_SECOND_BYTES 1048576
#define FIREHOSE_SECOND_BYTES_LARGE 5242880
#define FIREHOSE_STREAMS_MAX 5000u            /* the service's quotas, as the next */
#define FIREHOSE_ENCRYPTION_CALLS 25          /* a day and stream */
#define FIREHOSE_DAY_MS 86400000              /* data is kept so long while S3 does not take it */
#define FIREHOSE_RETRY_MS 5000                /* between two attempts to deliver */
#define FIREHOSE_KEPT_MAX ((uint64_t)1 << 30) /* undelivered bytes of all streams: this process */
#define FIREHOSE_DELIVERED_MAX 1000u          /* entries of the list that /_weir/firehose shows */
#define FIREHOSE_DESTINATION "destinationId-000000000001"
#define FIREHOSE_RATES 16

/* ---- destinations ---- */

/* Texts of a destination; NULL: not given. */
enum {
    DESTINATION_ROLE,
    DESTINATION_BUCKET, /* the ARN */
    DESTINATION_PREFIX,
    DESTINATION_ERROR_PREFIX,
    DESTINATION_EXTENSION,
    DESTINATION_ZONE,
    DESTINATION_KMS_KEY,
    DESTINATION_LOG_GROUP,
    DESTINATION_LOG_STREAM,
    DESTINATION_DELIMITER, /* as it was written: "\\n" is a line feed */
    DESTINATION_TEXTS
};

typedef struct destination {
    char *text[DESTINATION_TEXTS];
    int64_t size_mib, interval_s; /* BufferingHints */
    bool gzip, extended, logging;
    bool processing; /* ProcessingConfiguration.Enabled */
    bool appends;    /* it has the processor AppendDelimiterToRecord */
} destination;

void destination_free(destination *d);
bool destination_copy(const destination *from, destination *to); /* false without memory */
/* Reads an (Extended)S3DestinationConfiguration, or with `update` what is to change in *d. False:
 * the call has failed, *d is half changed. */
bool destination_read(aws_call *call, const weir_value *in, bool update, destination *d);
/* S3DestinationDescription and, if it is one, ExtendedS3DestinationDescription. */
void destination_write(aws_out *o, const destination *d);
weir_str destination_bucket(const destination *d); /* its name */
/* The bytes that go behind each record: 0 to `sizeof out`. */
size_t destination_delimiter(const destination *d, char out[64]);

/* ---- prefixes ---- */

/* False with a reason if it cannot be evaluated; `error` where error-output-type is allowed. */
bool prefix_is_valid(weir_str prefix, bool error, char *why, size_t why_size);
bool prefix_has(weir_str prefix, const char *expression); /* "!{timestamp:" */
/* Appends the prefix at that moment (UTC); what has no timestamp gets YYYY/MM/dd/HH/. Random
 * strings are made from `random`. */
void prefix_evaluate(weir_str prefix, int64_t ms, uint64_t random, buf *out);

/* ---- streams ---- */

typedef struct bundle {
    struct bundle *next;
    buf bytes;
    uint32_t records;
    int64_t first_ms;    /* arrival of its oldest record */
    int64_t due_mono_ms; /* to be sealed then */
} bundle;

typedef struct delivery {
    char *name, *arn;
    int64_t created_ms, updated_ms, active_ms, gone_ms; /* gone_ms 0: not DELETING */
    int64_t version;
    bool encrypted; /* or becoming so, until encryption_ms */
    bool encryption_ever;
    char *key_arn; /* NULL: AWS_OWNED_CMK */
    int64_t encryption_ms;
    int64_t encryption_day_ms, encryption_calls;
    aws_tags tags;
    destination to;
    aws_budget requests, records, bytes;
    bundle *filling, *waiting;
    bool failing;          /* S3 did not take the first one that waits */
    int64_t retry_mono_ms; /* failing: when it is tried again */
    char failure[256];
    uint64_t objects, lost_records;
    server_timer *timer;
    struct firehose *of;
} delivery;

/* What was delivered, for /_weir/firehose. */
typedef struct delivered {
    char *stream, *bucket, *key;
    uint64_t bytes;
    uint32_t records;
    int64_t at_ms;
} delivered;

typedef struct firehose {
    local *home;
    map *streams;
    bool limits; /* rates are enforced */
    aws_budget rates[FIREHOSE_RATES];
    uint64_t kept;    /* undelivered bytes */
    uint64_t serial;  /* objects ever made, kept between runs: names do not come twice */
    uint32_t leaving; /* streams that are DELETING */
    delivered list[FIREHOSE_DELIVERED_MAX]; /* a ring */
    uint64_t listed;
} firehose;

extern const aws_exception FIREHOSE_NOT_FOUND, FIREHOSE_IN_USE, FIREHOSE_INVALID, FIREHOSE_LIMIT,
    FIREHOSE_VALIDATION, FIREHOSE_UNAVAILABLE, FIREHOSE_INTERNAL;

static inline int64_t firehose_now(const firehose *f) {
    return server_now_ms(local_server(f->home));
}

/* NULL without memory; it is in the map, and its destination still empty. */
delivery *delivery_new(firehose *f, weir_str name);
void delivery_free(delivery *d); /* with what it keeps; not out of the map */
const char *delivery_status(const delivery *d);
const char *delivery_encryption(const delivery *d);
bool delivery_is_encrypted(const delivery *d);
/* Drops what has been DELETING for long enough. */
void firehose_sweep(firehose *f);

/* DeliveryStreamName of the call; `active`: and it must be. NULL: the call has failed. */
delivery *firehose_stream(aws_call *call, bool active);
/* False: the call has failed for calling too often. */
bool firehose_rate(aws_call *call);
bool firehose_name(aws_call *call, const char *member, const char *field, weir_str *out);
void firehose_invalid(aws_call *call, weir_str value, const char *field, const char *constraint);
void firehose_no_memory(aws_call *call);

/* ---- delivering (deliver.c) ---- */

/* Adds a record. False without memory or room. */
bool delivery_take(delivery *d, weir_str bytes);
/* Behind the records of a request, or when the destination changed: what is due goes out. */
void delivery_settle(delivery *d);
/* Everything goes out now. */
void delivery_flush(delivery *d);
void delivery_timer(void *opaque);
uint64_t delivery_kept(const delivery *d, uint32_t *records);
bundle *bundle_new(void);
void bundle_free(bundle *b);
void delivered_free(delivered *d);

/* `bytes` as a gzip file. False without memory. */
bool gzip_write(weir_str bytes, buf *out);

bool firehose_save(void *own, keep *out);
bool firehose_load(void *own, keep *in);

/* ---- operations, by file ---- */

void firehose_create(aws_call *call);
void firehose_delete(aws_call *call);
void firehose_describe(aws_call *call);
void firehose_list(aws_call *call);
void firehose_update(aws_call *call);
void firehose_start_encryption(aws_call *call);
void firehose_stop_encryption(aws_call *call);
void firehose_tag(aws_call *call);
void firehose_untag(aws_call *call);
void firehose_list_tags(aws_call *call);
void firehose_put_record(aws_call *call);
void firehose_put_record_batch(aws_call *call);

/* KeyType and KeyARN. False: the call has failed. */
bool firehose_read_key(aws_call *call, const weir_value *in, weir_str *key_arn);
bool firehose_add_tags(aws_call *call, aws_tags *t);

#endif
