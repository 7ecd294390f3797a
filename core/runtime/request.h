/*
 * core/runtime/request.h - one request: runs of records gathered into the columns a sink sees.
 *
 *   run = records [first, first + count) of a work item        work item = batch + template texts
 *
 * Belongs to the batcher; split off because gathering is a concept of its own.
 */
#ifndef WEIR_RUNTIME_REQUEST_H
#define WEIR_RUNTIME_REQUEST_H

#include "runtime/prepared.h"
#include "weir/sink.h"

/* A batch in the sink's hands, shared by the runs cut from it. */
typedef struct work {
    const weir_batch *batch;
    prepared *texts; /* may be NULL */
    uint32_t refs;
    uint64_t serial; /* order of arrival */
} work;

typedef struct run {
    struct run *next;
    work *work;
    uint32_t first, count;
    uint32_t attempts; /* writes that failed so far */
    bool alone;        /* send this record by itself: it was part of a request refused as a whole */
    int64_t not_before_ns;
} run;

typedef struct request {
    weir_request abi; /* first: template_column finds its way back */
    weir_rows rows;
    run *runs; /* in order */
    uint32_t records;
    uint64_t bytes;
    uint64_t token;
    int64_t deadline_ns;
    void *group;
    struct request *next; /* free list, or list of requests under way */
    /* Gathered columns, kept for reuse. */
    uint32_t cap;
    const char **value_ptr;
    uint32_t *value_len;
    const char **key_ptr;
    uint32_t *key_len;
    int64_t *time_us;
    /* Columns that only some sinks ask for, made on demand and gone with the request. */
    arena *extra;
    weir_column **columns; /* template columns by slot; [slot count], NULL = not asked for yet */
} request;

void work_release(work *w);

request *request_new(void);
void request_free(request *r);
/* Empties it for reuse; runs must have been taken away. */
void request_reset(request *r);
/* Fills the ABI view from r->runs. `headers` and `meta` tell whether the sink reads those. */
weir_status request_gather(request *r, bool headers, bool meta);
/* Row `row` of the request: its run, and the row within the run's batch. */
const run *request_row(const request *r, uint32_t row, uint32_t *batch_row);
/* The texts of template slot `slot` as a column that lives as long as the request. */
weir_status request_template(request *r, const template_set *set, uint32_t slot,
                             const weir_column **out);

#endif
