/*
 * weir/source.h - sources: where records come from.
 *
 * A source reads splits (a shard, a partition, a file). One CONTROL instance enumerates them; the
 * host assigns them to TASK instances and calls `poll` in a loop. The host owns positions: every
 * batch carries the position to resume from after it.
 */
#ifndef WEIR_SOURCE_H
#define WEIR_SOURCE_H

#include "weir/batch.h"
#include "weir/instance.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The complete set of splits of this instance. Splits that are absent are dropped; a split that
 * was there before keeps reading where it is, whatever position stands here. Arrays and bytes are
 * valid during the call. */
typedef struct weir_assign {
    uint32_t struct_size;
    uint32_t count;
    const char *const *id_ptr; /* [count] */
    const uint32_t *id_len;
    const char *const *private_ptr; /* bytes the enumeration attached to the split */
    const uint32_t *private_len;
    const char *const *position_ptr; /* empty = the split's beginning as `private` says it */
    const uint32_t *position_len;
    weir_error *error;
} weir_assign;

typedef struct weir_pause {
    uint32_t struct_size;
    uint32_t paused; /* 1: no batches of this split until 0 */
    weir_str split;
    weir_error *error;
} weir_pause;

/* Events. */
#define WEIR_EVENT_POSITION 1u /* the split's resume position moved without a record */
#define WEIR_EVENT_FINISHED 2u /* the split ended for good; children may follow */
#define WEIR_EVENT_ACQUIRED 3u /* external assignment gave us a split, with its position */
#define WEIR_EVENT_REVOKING 4u /* external assignment takes it away at `deadline_ns` */
#define WEIR_EVENT_LOST 5u     /* it was taken away without notice */
#define WEIR_EVENT_SCHEMA 6u   /* records of this split change their shape from here on */

/* A split, as events and enumerations describe it. All bytes are the plugin's: valid until its next
 * call on the same instance when in an event, during the call when given to split_add. */
typedef struct weir_split {
    uint32_t struct_size;
    uint32_t parent_count;
    weir_str id;            /* unique within the node, at most 255 bytes, printable */
    weir_str private_bytes; /* handed back by assign; at most 4096 bytes */
    weir_str position;      /* where to begin; empty = as private_bytes say */
    /* Splits that must be finished before this one is assigned; an unknown one counts as
     * finished.*/
    const char *const *parent_ptr; /* [parent_count] */
    const uint32_t *parent_len;
} weir_split;

typedef struct weir_event {
    uint32_t struct_size;
    uint32_t kind; /* WEIR_EVENT_* */
    weir_str split;
    weir_str position;                 /* POSITION, ACQUIRED */
    int64_t deadline_ns;               /* REVOKING */
    int64_t lag_ms;                    /* POSITION; -1 = unknown */
    const weir_split *const *children; /* FINISHED: [child_count] */
    uint32_t child_count;
    uint32_t reserved;
} weir_event;

typedef struct weir_poll {
    uint32_t struct_size;
    uint32_t room_records;   /* at most about this many; 0 = under back pressure: keep connections
                                alive, return no batch */
    uint64_t room_bytes;     /* at most about this many; one record may always exceed it */
    int64_t deadline_ns;     /* return by then */
    const weir_batch *batch; /* out with WEIR_OK: the reference becomes the host's */
    const weir_event *event; /* out with WEIR_EVENT */
    int64_t next_ns; /* out with WEIR_AGAIN: nothing will be there before; 0 = wait for a wake
                        or the service interval */
    weir_error *error;
} weir_poll;

typedef struct weir_checkpoint_done {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t epoch; /* this and every earlier epoch is durable and committed: cumulative */
    weir_error *error;
} weir_checkpoint_done;

typedef struct weir_source_ops {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*create)(weir_create *args);                /* allocates only [control] */
    void (*destroy)(void *self);                             /* [control] */
    weir_status (*open)(void *self, weir_open *args);        /* [task]; CONTROL role: [control] */
    weir_status (*assign)(void *self, weir_assign *args);    /* [task] */
    weir_status (*set_paused)(void *self, weir_pause *args); /* optional [task] */
    weir_status (*poll)(void *self, weir_poll *args); /* OK AGAIN EVENT END or error [task] */
    weir_status (*snapshot)(void *self, weir_snapshot *args);               /* optional [task] */
    weir_status (*checkpoint_done)(void *self, weir_checkpoint_done *args); /* optional [task] */
    void (*cancel)(void *self);                                             /* sticky [any] */
    void (*wakeup)(void *self); /* optional: current or next poll returns soon [any] */
    weir_status (*close)(void *self, weir_close *args); /* after the last batch is back [task] */
    const void *(*get_extension)(void *self, const char *name); /* optional [control] */
} weir_source_ops;

/* Extension "weir.source.splits/1", asked of the CONTROL instance. Without it the host makes one
 * split named "0". */
typedef struct weir_enumerate {
    uint32_t struct_size;
    uint32_t reserved;
    weir_split_list *list; /* out, through task/1's split_add */
    int64_t deadline_ns;
    int64_t next_ns; /* out: when discover wants to be called; 0 = never again */
    weir_error *error;
} weir_enumerate;
typedef struct weir_source_splits {
    uint32_t struct_size;
    uint32_t reserved;
    /* All splits there are now, with start positions fixed once ("latest" becomes a timestamp). */
    weir_status (*enumerate)(void *self, weir_enumerate *args); /* [control] */
    /* All splits there are now; the host takes those it does not know. Without it: bounded. */
    weir_status (*discover)(void *self, weir_enumerate *args); /* optional [control] */
} weir_source_splits;
#define WEIR_SOURCE_SPLITS "weir.source.splits/1"

/* Extension "weir.source.position/1": positions as text for people. */
typedef struct weir_position_text {
    uint32_t struct_size;
    uint32_t reserved;
    weir_str position; /* in for to_text, out for from_text */
    weir_str text;     /* out for to_text, in for from_text; results live in `buffer` */
    char *buffer;      /* the caller's */
    uint64_t buffer_size;
    weir_error *error;
} weir_position_text;
typedef struct weir_source_position {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*to_text)(void *self, weir_position_text *args);   /* [control] */
    weir_status (*from_text)(void *self, weir_position_text *args); /* [control] */
} weir_source_position;
#define WEIR_SOURCE_POSITION "weir.source.position/1"

/* Extension "weir.source.ack/1" of queue-like sources: records whose delivery is settled one by
 * one. Tokens are the values of the batch's POSITION metadata column. */
typedef struct weir_ack {
    uint32_t struct_size;
    uint32_t count;
    const char *const *token_ptr; /* [count] */
    const uint32_t *token_len;
    uint64_t epoch;
    weir_error *error;
} weir_ack;
typedef struct weir_source_ack {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*ack)(void *self, weir_ack *args); /* [task] */
} weir_source_ack;
#define WEIR_SOURCE_ACK "weir.source.ack/1"

#ifdef __cplusplus
}
#endif
#endif
