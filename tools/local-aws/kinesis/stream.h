/*
 * kinesis/stream.h - streams, shards and records, as the service has them.
 *
 * A record is kept as the very text of its JSON object in GetRecords' answer, one behind the other
 * with commas, in blocks that answers refer to:
 *
 *     block:  ,{"ApproximateArrivalTimestamp":...,"Data":"...",...},{...},{...}   | free |
 *              ^ record n                                         ^ n+1
 *
 * So an answer is a few slices of blocks, however many records it has. Everything is found from
 * struct kinesis; nothing is locked (one thread).
 */
#ifndef WEIR_LOCAL_KINESIS_STREAM_H
#define WEIR_LOCAL_KINESIS_STREAM_H

#include "aws/aws.h"
#include "aws/parts.h"
#include "base/map.h"
#include "kinesis/numbers.h"

#define KINESIS_CHANGE_MS 100   /* CREATING, UPDATING, DELETING last so long */
#define KINESIS_TOKEN_MS 300000 /* iterators and tokens live so long */
#define KINESIS_DAY_MS 86400000

/* Limits. Where a line names no source it is the API's model or its documentation; "quotas" is the
 * page of quotas and limits of the developer guide. Texts of errors are made from these. */
#define KINESIS_RECORDS_MAX 500u /* of one PutRecords */
#define KINESIS_RECORD_KIB 1024  /* MaxRecordSizeInKiB: the least, and without one */
#define KINESIS_RECORD_KIB_MAX 10240
#define KINESIS_RECORD_MAX ((uint32_t)KINESIS_RECORD_KIB_MAX << 10)
#define KINESIS_REQUEST_MAX (5u << 20)        /* of one PutRecords */
#define KINESIS_REQUEST_LARGE_MAX (10u << 20) /* where records may be larger than usual */
#define KINESIS_READ_MAX (10u << 20)
#define KINESIS_READ_RECORDS_MAX 10000u
#define KINESIS_PAGE_MAX 10000u           /* the largest Limit or MaxResults of most listings */
#define KINESIS_SHARD_WRITE_BYTES 1048576 /* into one shard a second; quotas, as the next four */
#define KINESIS_SHARD_WRITE_RECORDS 1000
#define KINESIS_SHARD_READ_BYTES 2097152 /* out of one, or to one consumer of it */
#define KINESIS_SHARD_READ_CALLS 5
#define KINESIS_SHARD_ITERATORS 5
#define KINESIS_RETENTION_H_MIN 24
#define KINESIS_RETENTION_H_MAX 8760
#define KINESIS_CREATING_MAX 5u /* streams, and consumers of one stream, in CREATING at once */
#define KINESIS_CONSUMERS_MAX 20u
#define KINESIS_TAGS_MAX 50u
#define KINESIS_SHARDS_MAX 10000u /* of one provisioned stream */
#define KINESIS_RESIZES_MAX 10u   /* of a stream in KINESIS_DAY_MS */
/* Open shards of all provisioned streams of the account; quotas, as the next three. */
#define KINESIS_ACCOUNT_SHARDS 200u
#define KINESIS_ACCOUNT_SHARDS_LARGE 500u /* where aws_region_is_large */
#define KINESIS_ON_DEMAND_STREAMS_MAX 50u
#define KINESIS_ON_DEMAND_SHARDS 4u /* a new one takes 4 MiB/s */
/* What an on-demand stream is scaled to at most, by itself or as warm throughput: 200 MiB/s, and
 * 10 GiB/s where aws_region_is_large (quotas). A shard takes one MiB/s, so as many shards. */
#define KINESIS_ON_DEMAND_SHARDS_MAX 200u
#define KINESIS_ON_DEMAND_SHARDS_LARGE_MAX 10240u
/* The developer guide promises on-demand streams twice their peak, and throttling where traffic
 * more than doubles within 15 minutes. */
#define KINESIS_GROW_MS (15 * 60000)
#define KINESIS_COMMITMENT_MS KINESIS_DAY_MS /* the least time of a billing commitment */
#define KINESIS_RATES 32

typedef struct block {
    uint32_t refs;
    uint32_t used, size;
    char bytes[];
} block;

typedef struct record {
    block *in;
    uint32_t at, len;           /* of the object's text, without the comma before it */
    uint32_t data_at, data_len; /* base64, from `at` */
    uint32_t key_at, key_len;   /* the key's text as it is in JSON, from `at` */
    uint32_t data_bytes, key_bytes;
    char *odd_key; /* the key itself if its JSON text has escapes, else NULL */
    int64_t arrival_ms;
    bool encrypted; /* as the stream was when it came */
} record;

typedef struct shard {
    uint32_t index;
    hash_key first, last;
    int32_t parent, adjacent;      /* indexes, -1: none */
    int64_t created_ms, closed_ms; /* 0: open */
    bool gone;                     /* its records are all past retention */
    record *records;               /* a ring would do; trimmed in front, moved now and then */
    size_t head, count, room;
    uint64_t next; /* number of the next record; the first is 1 */
    block *filling;
    aws_budget write_bytes, write_records, read_calls, read_bytes, iterator_calls;
    int64_t locked_until_ms; /* reads, behind an answer of up to 10 MiB */
} shard;

struct subscription;

typedef struct consumer {
    struct consumer *next;
    char *name;
    char *arn;
    int64_t created_ms;
    bool deleting;
    aws_tags tags;
    char *policy; /* of the resource, or NULL */
    struct subscription *subscriptions;
} consumer;

typedef enum stream_status { CREATING, ACTIVE, UPDATING, DELETING } stream_status;

typedef struct stream {
    struct kinesis *of;
    char *name, *arn;
    stream_status status;
    bool on_demand;
    bool counted;     /* within the account's shards: made by CreateStream */
    int64_t warm_mib; /* WarmThroughputMiBps, 0 without */
    int64_t grown_ms; /* when it last grew by itself, 0: never */
    int64_t created_ms;
    int64_t retention_h;
    int64_t record_kib; /* MaxRecordSizeInKiB */
    char *kms_key;      /* NULL: not encrypted */
    char *policy;       /* of the resource, or NULL */
    aws_tags tags;
    shard **shards;
    uint32_t shard_count, shard_room;
    shard **open; /* by hash key */
    uint32_t open_count, open_room;
    consumer *consumers;
    server_timer *timer; /* of the change of status that goes on */
    /* What that change is: a split, a merge, or a number of shards. */
    enum { CHANGE_NONE, CHANGE_SPLIT, CHANGE_MERGE, CHANGE_COUNT } change;
    uint32_t change_shard, change_other, change_count;
    int64_t resized_ms[KINESIS_RESIZES_MAX]; /* when UpdateShardCount was last used, oldest first */
    hash_key change_at;
} stream;

/* The account's MinimumThroughputBillingCommitment. */
typedef struct commitment {
    int64_t started_ms; /* 0: never */
    int64_t ended_ms;   /* 0: it goes on; in the future: its end is ordered */
} commitment;

typedef struct kinesis {
    local *home;
    commitment billing;
    uint32_t account_shards;
    map *streams;
    aws_budget rates[KINESIS_RATES]; /* by place in kinesis.c's table */
    bool limits;                     /* throughput and rates are enforced */
    uint64_t memory, memory_max;
    int64_t event_every_ms, subscription_ms; /* empty events, and the end */
    uint64_t token_key[2];                   /* what iterators and tokens are signed with */
} kinesis;

extern const aws_exception KINESIS_NOT_FOUND, KINESIS_IN_USE, KINESIS_INVALID, KINESIS_LIMIT,
    KINESIS_VALIDATION, KINESIS_THROUGHPUT, KINESIS_EXPIRED_ITERATOR, KINESIS_EXPIRED_TOKEN,
    KINESIS_INTERNAL;

static inline int64_t kinesis_now(const kinesis *k) {
    return server_now_ms(local_server(k->home));
}

/* ---- streams ---- */

/* NULL without memory. Its shards are there at once; `status` tells whether it may be used. */
stream *stream_new(kinesis *k, weir_str name, uint32_t shards, stream_status status);
/* Of a stream made with no shards: one by one in the order of their indexes, and when all are there
 * whether the open ones divide the hash keys among them. NULL or false without memory, too. */
shard *stream_add_shard(stream *s, hash_key first, hash_key last, int32_t parent, int32_t adjacent,
                        int64_t created_ms);
bool stream_settle(stream *s);
void stream_free(stream *s);
/* On-demand streams get twice the shards when one of them had to refuse a write: once in
 * KINESIS_GROW_MS, whatever is refused meanwhile, and up to kinesis_on_demand_max. */
void stream_grow(stream *s);
/* Begins what `change` says: UPDATING now, done KINESIS_CHANGE_MS later. */
void stream_change(stream *s, stream_status status);
const char *stream_status_name(const stream *s);
bool stream_usable(const stream *s); /* ACTIVE or UPDATING */
/* Drops what is older than retention. */
void stream_trim(stream *s);
/* The oldest moment from which records are kept. */
int64_t stream_horizon_ms(const stream *s);

/* By StreamName, StreamARN or both. NULL: the call has failed. */
stream *stream_of_call(aws_call *call);
/* The same, and it must be usable. */
stream *stream_of_call_usable(aws_call *call);
/* For changes: the rate is asked first, and it must be ACTIVE. */
stream *stream_of_call_active(aws_call *call);

/* ---- shards ---- */

shard *stream_shard(stream *s, weir_str id); /* NULL if there is none, or no more */
shard *stream_shard_for(stream *s, hash_key h);
void shard_id(const shard *d, char out[24]);
void shard_sequence(const stream *s, const shard *d, uint64_t number, int64_t ms,
                    char out[SEQUENCE_TEXT]);
void shard_write(aws_out *o, const stream *s, const shard *d, const char *name);
/* [{ShardId, ParentShards, HashKeyRange}] of what came from a closed shard. */
void shard_write_children(aws_out *o, const stream *s, const shard *d);
bool stream_split(stream *s, shard *d, hash_key at);
bool stream_merge(stream *s, shard *a, shard *b);

/* ---- records ---- */

/* The number of the record that is the first with at least that number / that arrival. */
uint64_t shard_oldest(const shard *d);
uint64_t shard_at_time(const shard *d, int64_t ms);
const record *shard_record(const shard *d, uint64_t number); /* shard_oldest <= number < d->next */
/* Stores one; its number is d->next - 1 then. `base64` is valid; exactly one of `base64` and
 * `bytes` is given. False without memory. */
bool shard_put(stream *s, shard *d, weir_str key, weir_str base64, weir_str bytes, uint32_t size);
/* The same as if it had come at that time, while the stream was encrypted or not. */
bool shard_put_at(stream *s, shard *d, weir_str key, weir_str base64, weir_str bytes, uint32_t size,
                  int64_t arrival_ms, bool encrypted);
weir_str record_key(const record *r);
weir_str record_base64(const record *r);

/* How many records from `from` on make an answer of at most `records` and `bytes`. */
typedef struct extent {
    uint64_t from, to; /* to: one behind */
    uint64_t data_bytes;
} extent;
extent shard_extent(const shard *d, uint64_t from, uint64_t records, uint64_t bytes);
/* Gives `"Records":[...]` to the answer, behind what is in call->out. */
void shard_give_records(aws_call *call, const stream *s, const shard *d, const extent *e);
/* The same as one text. */
void shard_write_records(aws_out *o, const stream *s, const shard *d, const extent *e);
int64_t shard_behind_ms(const stream *s, const shard *d, const extent *e);

/* ---- start positions of iterators and subscriptions ---- */

/* Reads type, sequence number and timestamp. False: the call has failed. */
bool shard_position(aws_call *call, stream *s, shard *d, weir_str type, weir_str sequence_number,
                    const weir_value *timestamp, uint64_t *out);

/* ---- tokens ---- */

/* Opaque, signed against tampering, with their time. */
typedef struct token {
    uint64_t kind;   /* 'I'terator, 'S'hards ... */
    uint64_t stream; /* its creation, so that a stream made anew is another one */
    uint64_t shard, position, extra;
    int64_t made_ms;
} token;
#define TOKEN_TEXT 288
void token_write(const kinesis *k, const token *t, weir_str stream_name, char out[TOKEN_TEXT]);
/* False if it is none of ours; the stream's name is in `name` (NUL-terminated, at most 128). */
bool token_read(const kinesis *k, weir_str text, token *out, char name[129]);

/* ---- the rest ---- */

/* {"key": "value"} of a request: checked and added. False: the call has failed. */
bool kinesis_add_tag_map(aws_call *call, aws_tags *t, const weir_value *in);

consumer *stream_consumer(stream *s, weir_str name);
/* NULL without memory. Not the stream's yet: that is stream_add_consumer. */
consumer *consumer_new(stream *s, weir_str name, int64_t created_ms);
void stream_add_consumer(stream *s, consumer *c); /* behind the others; it is the stream's then */
void consumer_free(consumer *c);
void consumer_end_subscriptions(kinesis *k, consumer *c, const char *exception,
                                const char *message);

/* ValidationException in the service's words: `format` says the constraint. */
void kinesis_invalid(aws_call *call, weir_str value, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether lo <= value <= hi; if not, the call has failed. */
bool kinesis_between(aws_call *call, int64_t value, const char *field, int64_t lo, int64_t hi);
/* The stream that has this ARN, or whose consumer (then *of_stream) has it. NULL: none. */
stream *kinesis_resource(kinesis *k, weir_str arn, consumer **of_stream);
/* False: the call has failed for calling too often. */
bool kinesis_rate(aws_call *call);

/* ---- the account: account.c, warm.c ---- */

/* By region: the account's limit unless another was set, and that of one on-demand stream. */
uint32_t kinesis_account_shards_of(const char *region);
uint32_t kinesis_on_demand_max(const char *region);
bool kinesis_committed(const kinesis *k); /* to billing of a minimum, now */
/* Whether the account may have `more` open shards of provisioned streams, or one more on-demand
 * stream. False: the call has failed. */
bool kinesis_may_add_shards(aws_call *call, int64_t more);
bool kinesis_may_add_on_demand(aws_call *call);
/* Reads WarmThroughputMiBps of a stream that is (going to be) in that mode; absent leaves *mib as
 * it is. False: the call has failed. */
bool kinesis_warm_of(aws_call *call, bool on_demand, int64_t *mib);
/* "WarmThroughput", if the stream has one. */
void kinesis_write_warm(aws_out *o, const stream *s);
/* The open shards that an on-demand stream of that throughput has at least. */
uint32_t kinesis_warm_shards(int64_t mib);

/* subscribe.c */
void kinesis_subscribe(aws_call *call);
/* Tells the subscriptions of a shard that something is new. */
void subscriptions_wake(stream *s, const shard *d);
/* Ends all subscriptions of a stream that is deleted. */
void subscriptions_free(consumer *c);

/* Operations, by file. */
void kinesis_create_stream(aws_call *call);
void kinesis_delete_stream(aws_call *call);
void kinesis_describe_stream(aws_call *call);
void kinesis_describe_stream_summary(aws_call *call);
void kinesis_list_streams(aws_call *call);
void kinesis_describe_limits(aws_call *call);
void kinesis_increase_retention(aws_call *call);
void kinesis_decrease_retention(aws_call *call);
void kinesis_start_encryption(aws_call *call);
void kinesis_stop_encryption(aws_call *call);
void kinesis_update_max_record_size(aws_call *call);
void kinesis_update_stream_mode(aws_call *call);
void kinesis_update_warm_throughput(aws_call *call);
void kinesis_describe_account_settings(aws_call *call);
void kinesis_update_account_settings(aws_call *call);
void kinesis_put_policy(aws_call *call);
void kinesis_get_policy(aws_call *call);
void kinesis_delete_policy(aws_call *call);
void kinesis_enable_monitoring(aws_call *call);
void kinesis_disable_monitoring(aws_call *call);
void kinesis_add_tags(aws_call *call);
void kinesis_remove_tags(aws_call *call);
void kinesis_list_tags(aws_call *call);
void kinesis_tag_resource(aws_call *call);
void kinesis_untag_resource(aws_call *call);
void kinesis_list_resource_tags(aws_call *call);
void kinesis_list_shards(aws_call *call);
void kinesis_split_shard(aws_call *call);
void kinesis_merge_shards(aws_call *call);
void kinesis_update_shard_count(aws_call *call);
void kinesis_put_record(aws_call *call);
void kinesis_put_records(aws_call *call);
void kinesis_get_shard_iterator(aws_call *call);
void kinesis_get_records(aws_call *call);
void kinesis_register_consumer(aws_call *call);
void kinesis_describe_consumer(aws_call *call);
void kinesis_list_consumers(aws_call *call);
void kinesis_deregister_consumer(aws_call *call);

/* state.c: everything but open subscriptions and what is left of throughput, for --dir. */
bool kinesis_save(void *own, keep *out);
bool kinesis_load(void *own, keep *in);

/* Names of streams and consumers: 1 to 128 of a-z A-Z 0-9 _ . - */
bool kinesis_name_is_valid(weir_str name);

#endif
