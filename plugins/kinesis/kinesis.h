/*
 * plugins/kinesis/kinesis.h - one instance of the source, and the shards it reads.
 *
 * All of it belongs to the instance's thread, except what `lock` guards and `cancelled`.
 *
 *          +--------------------------- throttled, 5xx, network: later -------------------+
 *          v                                                                              |
 *   NEEDS_ITERATOR --> GETTING_ITERATOR --> WAITING --(pace)--> READING --+--> HOLDING ---+
 *          ^                                   ^                          |       |
 *          |  iterator expired                 +---- page used up --------|-------+
 *          +------------------------------------------------------------- +       | end of shard
 *                                                                                 v
 *   NEEDS_CHECK <--later--> CHECKING (ListShards: what became of it?) <------ ENDING
 *                           |                                                     |
 *                           +------------------------> ENDED --event--> DONE <----+
 *
 * A shard has at most one call under way or one answer in hand, never both: that is the bound on
 * what an instance holds while the pipeline is full.
 */
#ifndef KINESIS_KINESIS_H
#define KINESIS_KINESIS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "get_records.h"
#include "position.h"
#include "shard_list.h"
#include "stream.h"
#include "weir/aws.h"
#include "weir/sdk.h"

#define KINESIS_MS 1000000LL

typedef enum {
    SHARD_NEEDS_ITERATOR, /* call at next_ns */
    SHARD_GETTING_ITERATOR,
    SHARD_WAITING, /* GetRecords at next_ns */
    SHARD_READING,
    SHARD_HOLDING,     /* `page` has records left, or its end has to be looked at */
    SHARD_NEEDS_CHECK, /* ListShards at next_ns */
    SHARD_CHECKING,    /* ListShards under way */
    SHARD_ENDED,       /* FINISHED is still to be told */
    SHARD_DONE
} shard_state;

typedef struct kinesis kinesis;
typedef struct shard shard;

/* The body of one GetRecords answer, shared by the batches made of it and freed with the last. */
typedef struct page {
    atomic_uint refs;
    char *body;
    void (*body_free)(void *body);
} page;

typedef struct child_shard {
    char id[SHARD_ID_MAX + 1];
    char parents[2][SHARD_ID_MAX + 1];
} child_shard;
#define CHILDREN_MAX 4u /* a split makes two, a merge one */

struct shard {
    kinesis *owner;
    shard_state state;
    char split[256]; /* the split's id */
    char id[SHARD_ID_MAX + 1];
    split_plan plan;
    shard_position position;
    int64_t next_ns;     /* when to make the next call */
    int64_t called_ns;   /* when the last GetRecords began */
    int64_t called_us;   /* the same as wall time: what `stop` is compared with */
    uint32_t limit;      /* of the last GetRecords */
    uint32_t failures;   /* of the call at hand, in a row */
    uint32_t rejections; /* in a row: answers that make no sense, refused positions */
    bool dropped;        /* not assigned any more; freed when its call comes back */
    bool idle;           /* told the host so */
    int64_t lag_ms, told_lag_ms;
    char iterator[1024];
    uint32_t iterator_len;
    uint64_t expected; /* bytes of the next answer: as many as the last; 0 = never asked */
    uint64_t reserved; /* of the budget, for the answer that is under way */
    bool has_body;     /* an answer's buffer is held, or being filled */
    page *page;
    get_records parser;
    uint64_t page_capacity;
    uint32_t page_batches; /* made of this page so far */
    uint64_t page_values;  /* bytes of values delivered from this page */
    uint32_t page_records;
    double mean_bytes; /* of a record: for adaptive_reads */
    shard_list list;   /* CHECKING */
    child_shard children[CHILDREN_MAX];
    uint32_t child_count;
};

typedef struct kinesis_options {
    stream_ref *streams; /* [stream_count] */
    uint32_t stream_count;
    bool start_latest;
    stream_start start; /* if not start_latest */
    bool stop_latest;
    int64_t stop_us; /* if not stop_latest */
    uint32_t records_per_call;
    int64_t interval_ns, empty_ns, discovery_ns;
    bool adaptive, parent_first;
    /* The node's `retry`: of one call in a row, before the source gives up; delay; one request. */
    int64_t attempts, retry_base_ns, retry_max_ns;
    bool jitter; /* delays are spread over [0, delay] */
    uint32_t timeout_ms;
} kinesis_options;

/* Metadata columns that somebody wants. */
#define META_STREAM (1u << 0)
#define META_SPLIT (1u << 1)
#define META_POSITION (1u << 2)
#define META_PARTITION_KEY (1u << 3)
#define META_ARRIVAL (1u << 4)

struct kinesis {
    weir_ctx *ctx;
    pthread_mutex_t lock; /* `client` as cancel and wakeup see it */
    weir_aws_client *client;
    atomic_bool cancelled;
    bool lock_made;
    uint32_t role;
    kinesis_options options;
    bool quota; /* the endpoint is AWS's own: keep below 2 MiB/s a shard */

    /* CONTROL: where each stream begins and ends, fixed at its first enumeration. */
    stream_start *starts; /* [stream_count] */
    int64_t *stops;       /* [stream_count] */
    int64_t *list_fails;  /* [stream_count] failed ListShards in a row */

    /* TASK */
    shard **shards;
    uint32_t shard_count;
    uint32_t cursor;   /* the shard to serve next */
    uint32_t reader;   /* the shard that may ask for records first */
    uint32_t reading;  /* GetRecords under way */
    uint32_t bodies;   /* answers whose buffer is here */
    uint64_t usual;    /* bytes of the last answer of any shard */
    uint32_t meta;     /* META_* */
    weir_error *error; /* of the poll under way; callbacks write to it */
    weir_status fatal; /* a callback found that the instance cannot go on */
    /* Metadata columns of the batch being built. */
    const char **meta_ptr[3];
    uint32_t *meta_len[3];
    uint32_t meta_capacity;
    /* The event handed out last: valid until the next call. */
    weir_event event;
    weir_split event_children[CHILDREN_MAX];
    const weir_split *event_child_ptr[CHILDREN_MAX];
    char event_split[256], event_position[POSITION_BYTES_MAX];
    char event_child_id[CHILDREN_MAX][256];
    char event_private[PRIVATE_BYTES_MAX];
    char event_parent_id[CHILDREN_MAX][2][256];
    const char *event_parent_ptr[CHILDREN_MAX][2];
    uint32_t event_parent_len[CHILDREN_MAX][2];
};

/* ---- source.c ---- */
extern const weir_source_ops kinesis_source_ops;

/* ---- options.c ---- */
weir_status options_read(weir_ctx *ctx, kinesis_options *out, weir_error *error);
void options_free(weir_ctx *ctx, kinesis_options *o);
/* How long to wait after this many failures in a row, as the node's `retry` says. */
int64_t options_backoff_ns(weir_ctx *ctx, const kinesis_options *o, uint32_t failures);
/* The id of a shard's split: with several streams it begins with the stream's name. */
void split_id(const kinesis *k, const stream_ref *stream, const char *shard_id, char out[256]);

/* ---- control.c ---- */
extern const weir_source_splits kinesis_splits;
weir_status control_restore(kinesis *k, const weir_open *args);
weir_status control_snapshot(kinesis *k, weir_snapshot *args);

/* ---- check.c ---- */
extern const weir_component_check kinesis_check;

/* ---- shard.c ---- */
shard *shard_new(kinesis *k, weir_str id, weir_str private_bytes, weir_str position,
                 weir_error *error);
void shard_free(shard *s); /* no call may be under way */
/* True while a call's answer is outstanding. */
bool shard_is_busy(const shard *s);
/* Makes the call that is due; `next_ns` is lowered to when the next one is. False if it was due and
 * the budget has no room for its answer. */
bool shard_advance(shard *s, int64_t now_ns, int64_t *next_ns);
/* The page was read to its end without a fault: prepares the next call, or the end of the shard. */
void shard_page_used(shard *s);
/* The page turned out to be broken after what was delivered: the rest is read again. */
void shard_page_broken(shard *s);
/* What was parsed could not be delivered: go back to the position. */
void shard_reread(shard *s);
/* Reading ends inside the page, at the moment `stop` names. */
void shard_page_stopped(shard *s);

/* ---- page.c ---- */
/* A batch of records of the page in hand: NULL if it has none left; then the shard's state has
 * moved on. */
const weir_batch *page_batch(shard *s, uint32_t room_records, uint64_t room_bytes,
                             weir_status *status, weir_error *error);
void page_release(void *page); /* a weir_release_fn */

#endif
