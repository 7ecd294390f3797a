/*
 * weir/sink.h - sinks: where records go.
 *
 * The host gathers records into requests of the size the sink declares, bounds how many are under
 * way, retries only what failed, keeps order where asked, and sends the hopeless to the dead-letter
 * sink. A connector author writes "send this one request, say which records failed".
 */
#ifndef WEIR_SINK_H
#define WEIR_SINK_H

#include "weir/batch.h"
#include "weir/instance.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A request: a view that the host gathered out of many batches, splits and schemas without copying.
 * Lives until its token is completed. Read-only; made by the host. */
typedef struct weir_request {
    uint32_t struct_size;
    uint32_t group; /* requests of equal grouping templates share it; dense, reused after idling */
    const weir_rows *rows;
    const weir_tape *const *tape; /* reserved for sinks that take typed rows; NULL */
    uint32_t attempt;             /* 0 = first time for all of these records */
    uint32_t reserved;
} weir_request;

typedef struct weir_write {
    uint32_t struct_size;
    uint32_t taken; /* out with WEIR_OK: records 0 .. taken - 1 are covered by the token */
    const weir_request *request;
    uint64_t token;      /* never reused while outstanding */
    uint64_t epoch;      /* 1, 2, ...; the first flush whose epoch is not below this one covers the
                            records */
    int64_t deadline_ns; /* complete by then, else complete with WEIR_E_TIMEOUT */
    weir_error *error;   /* an error return leaves no token behind */
} weir_write;

/* The completion of a token, given to task/1's write_done. Copied before that returns. */
typedef struct weir_result {
    uint32_t struct_size;
    weir_status status; /* OK: all but the failed ones are the sink's responsibility. An error: none
                           is, unless failed_index names the ones that are not */
    weir_error *error;  /* of the request as a whole; stays the caller's; may be NULL */
    const uint32_t *failed_index;     /* ascending */
    const weir_status *failed_status; /* [failed_count]; WEIR_E_THROTTLED slows the group down */
    const uint32_t *failed_error;     /* [failed_count] index into errors, UINT32_MAX = none */
    const weir_error *const *errors;  /* [error_count], each kind of failure once */
    uint32_t failed_count;
    uint32_t error_count;
    int64_t retry_after_ms; /* 0 = as the host's policy says */
} weir_result;

typedef struct weir_drive {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t deadline_ns; /* may wait for I/O until then */
    int64_t next_ns;     /* out: call me again at; 0 = nothing to drive until the next write */
    weir_error *error;
} weir_drive;

/*
 * Asks that everything taken up to an epoch be durable behind the sink, or ready to prepare, and
 * say so with task/1's flush_done. A failure there that may pass (WEIR_ERR_RETRYABLE) means that
 * the sink keeps what it took and can be asked again, with a later epoch. Any other failure ends
 * the run, which then starts again from its last checkpoint.
 */
typedef struct weir_flush {
    uint32_t struct_size;
    uint32_t last;  /* 1: the final flush: complete files and uploads too */
    uint64_t epoch; /* answered by flush_done(epoch); a higher one supersedes it */
    int64_t deadline_ns;
    weir_error *error;
} weir_flush;

typedef struct weir_sink_ops {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*create)(weir_create *args);         /* allocates only [control] */
    void (*destroy)(void *self);                      /* [control] */
    weir_status (*open)(void *self, weir_open *args); /* touches no external transaction, upload or
                                                         file [task] */
    weir_status (*write)(void *self,
                         weir_write *args); /* OK, AGAIN (nothing taken) or error [task]*/
    weir_status (*drive)(void *self, weir_drive *args); /* optional [task] */
    weir_status (*flush)(void *self, weir_flush *args); /* only starts the work [task] */
    void (*cancel)(void *self);                         /* sticky [any] */
    void (*wakeup)(void *self);                         /* optional: drive returns soon [any] */
    weir_status (*close)(void *self, weir_close *args); /* [task] */
    const void *(*get_extension)(void *self, const char *name); /* optional [control] */
} weir_sink_ops;

/* Extension "weir.sink.two-phase/1". */
typedef struct weir_prepare {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t epoch;
    weir_writer *writer; /* any number of committables, one blob each; only serialises */
    weir_error *error;
} weir_prepare;
#define WEIR_VERDICT_DONE 1u
#define WEIR_VERDICT_ALREADY 2u
#define WEIR_VERDICT_LOST 3u
#define WEIR_VERDICT_RETRY 4u
typedef struct weir_commit {
    uint32_t struct_size;
    uint32_t count;
    const weir_blob *const *committables; /* [count], valid until commit_done */
    uint64_t token;                       /* answered by commit_done with a verdict each */
    int64_t deadline_ns;
    weir_error *error;
} weir_commit;
typedef struct weir_sink_two_phase {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*prepare)(void *self, weir_prepare *args); /* after flush_done [task] */
    weir_status (*commit)(void *self, weir_commit *args);   /* repeatable [task] */
    weir_status (*abort)(void *self, weir_commit *args);    /* during restore only [task] */
} weir_sink_two_phase;
#define WEIR_SINK_TWO_PHASE "weir.sink.two-phase/1"

/* Extension "weir.sink.recover/1": lists and aborts what a dead instance left open. */
typedef struct weir_recover {
    uint32_t struct_size;
    uint32_t retained_count;
    const weir_blob *const *retained; /* state and committables that retained
                                           checkpoints refer to: never touched */
    int64_t deadline_ns;
    uint64_t found;   /* out */
    uint64_t aborted; /* out */
    weir_error *error;
} weir_recover;
typedef struct weir_sink_recover {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*recover)(void *self, weir_recover *args); /* COMMITTER role [task] */
} weir_sink_recover;
#define WEIR_SINK_RECOVER "weir.sink.recover/1"

/* Extension "weir.sink.state/1": what a sink keeps open across checkpoints. */
typedef struct weir_sink_state {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*snapshot)(void *self, weir_snapshot *args); /* after flush_done [task] */
} weir_sink_state;
#define WEIR_SINK_STATE "weir.sink.state/1"

#ifdef __cplusplus
}
#endif
#endif
