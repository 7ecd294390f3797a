/*
 * weir/instance.h - what every kind of component does: open, close, state, extensions.
 *
 *   create      allocates only
 *   open        may do I/O and start threads, under a deadline
 *   running     the operations of the kind
 *   close       DRAIN or ABANDON: joins every thread, leaves nothing running
 *   open again, or destroy
 *
 * `cancel` may come from any thread at any time between create and destroy, during open too; it is
 * sticky: whatever blocks returns WEIR_E_CANCELLED soon, and so does everything after it. Process
 * death is legal in any state.
 */
#ifndef WEIR_INSTANCE_H
#define WEIR_INSTANCE_H

#include "weir/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Why an instance is opened. */
#define WEIR_ROLE_TASK 1u      /* moves records */
#define WEIR_ROLE_CONTROL 2u   /* source: enumerates and discovers splits */
#define WEIR_ROLE_COMMITTER 3u /* two-phase sink: decides restored committables */

/*
 * A piece of state. Its scope says who gets it back after a restore, when the node may run with
 * another parallelism: splits are assigned after `open`, so every instance is given the SPLIT blobs
 * of all of them and uses those of the splits that it is then assigned.
 */
#define WEIR_SCOPE_SPLIT 1u     /* of one split; given to every instance of the node */
#define WEIR_SCOPE_ITEM 2u      /* given to exactly one instance */
#define WEIR_SCOPE_BROADCAST 3u /* given to every instance */
/* 4 is the host's own, for state by key. */
/* In weir_recover only: what a retained checkpoint lists as prepared and not yet committed. */
#define WEIR_SCOPE_COMMITTABLE 5u
typedef struct weir_blob {
    uint32_t struct_size;
    uint32_t scope;         /* WEIR_SCOPE_* */
    uint32_t state_version; /* as written */
    uint32_t reserved;
    weir_str split; /* SPLIT scope: its id */
    weir_str bytes;
} weir_blob;

/*
 * The limits of requests to a sink instance. The host fills in what plugin.json declares, narrowed
 * by the manifest's `batch`; open may narrow or replace them. 0 = no limit.
 */
typedef struct weir_limits {
    uint32_t struct_size;
    uint32_t request_records;
    uint64_t request_bytes;
    uint64_t record_bytes;
    uint32_t record_overhead; /* bytes each record adds to the request */
    uint32_t in_flight;       /* requests under way per group */
} weir_limits;

/* In and partly out of `open`. */
typedef struct weir_open {
    uint32_t struct_size;
    uint32_t role;     /* WEIR_ROLE_* */
    weir_str pipeline; /* the manifest's name */
    weir_str node;     /* name of the node in the manifest */
    uint32_t instance; /* 0 .. parallelism - 1 */
    uint32_t parallelism;
    uint32_t attempt;            /* 0 on the first start, counts restarts */
    uint32_t meta_count;         /* metadata columns that somebody downstream wants */
    uint64_t restored_epoch;     /* 0 = a fresh start */
    const char *const *meta_ptr; /* [meta_count] names, WEIR_META_* */
    const uint32_t *meta_len;
    const weir_blob *const *blobs; /* [blob_count] restored, see the scopes */
    uint32_t blob_count;
    uint32_t reserved;
    int64_t deadline_ns; /* mono_ns */
    weir_limits *limits; /* sinks; in and out; the host's memory */
    weir_error *error;
    /* Unique to the pipeline instance: kept with its state across restarts, new for a fork.
     * Printable, at most 32 bytes; part of every external name that a two-phase sink makes. Empty:
     * an older host. Since 0.10. */
    weir_str run_id;
} weir_open;

#define WEIR_CLOSE_DRAIN 1u   /* finish what is accepted, as far as the deadline lets you */
#define WEIR_CLOSE_ABANDON 2u /* drop it */
typedef struct weir_close {
    uint32_t struct_size;
    uint32_t mode; /* WEIR_CLOSE_* */
    int64_t deadline_ns;
    weir_error *error;
} weir_close;

/* Private state at a barrier: write blobs with state/1, return WEIR_OK. */
typedef struct weir_snapshot {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t epoch;
    weir_writer *writer;
    weir_error *error;
} weir_snapshot;

/* Extension "weir.component.check/1" of any component: a live test of credentials and endpoints,
 * for `weir check --connect`. */
typedef struct weir_check_live {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t deadline_ns;
    /* One line for people: what was tried and found. Copied before return. With a failure, `error`
     * as it was filled since the last report adds code, hint and details; if `text` is empty its
     * text is the line. A failure that is returned without a report is told as one. [control] */
    void (*report)(struct weir_check_live *args, weir_status status, weir_str text);
    weir_error *error;
} weir_check_live;
typedef struct weir_component_check {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*check)(void *self, weir_check_live *args); /* opened as CONTROL. [control] */
} weir_component_check;
#define WEIR_COMPONENT_CHECK "weir.component.check/1"

#ifdef __cplusplus
}
#endif
#endif
