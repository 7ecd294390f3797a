/*
 * core/runtime/batcher_private.h - what batcher.c (queues, requests, the pump) and batcher_settle.c
 * (what becomes of a request that has come back) share. Nobody else includes it.
 */
#ifndef WEIR_RUNTIME_BATCHER_PRIVATE_H
#define WEIR_RUNTIME_BATCHER_PRIVATE_H

#include "base/map.h"
#include "runtime/batcher.h"
#include "runtime/request.h"

typedef struct group {
    struct group *next;
    weir_str key;
    uint32_t id;
    run *first, *last; /* fresh runs, in order */
    run *retry;        /* failed runs: by time, of an ordered sink by arrival */
    uint32_t in_flight;
    double window; /* how many may be under way: AIMD */
    uint64_t queued_records, queued_bytes;
    int64_t oldest_ns; /* when the head of the queue came in */
    int64_t idle_since_ns;
    int64_t slowed_ns; /* last halving */
} group;

struct batcher {
    const plan_stage *stage;
    const node *node;
    instance *sink;
    weir_limits limits;
    failures *failures;
    counters *counters;
    template_set templates;
    const template_env *env; /* randomness of retries */
    bool ordered;            /* one request at a time: a retry holds back what follows */
    bool buffered;           /* the sink copies: outside in-flight adaption */
    bool headers, meta;
    uint32_t max_records;
    uint64_t max_bytes;
    map *groups_by_key;
    group *groups;
    uint32_t next_group;
    uint32_t *free_ids; /* of groups that were forgotten: ids stay dense, sinks may index by them */
    uint32_t free_count, free_cap;
    uint64_t records, bytes; /* queued or under way */
    uint64_t works;          /* that came in so far */
    uint32_t under_way;
    request **slots; /* by token; NULL = free */
    uint32_t slot_count, slot_cap;
    uint64_t serial;
    uint64_t epoch; /* of what is written from now on */
    request *spare;
    run *spare_runs;
    bool blocked; /* the sink answered AGAIN: not before a wake or its drive */
    uint64_t retries_logged;
    weir_error *why;
};

/* ---- batcher.c ---- */

run *batcher_run_new(batcher *b, work *w, uint32_t first, uint32_t count);
void batcher_runs_free(batcher *b, run *u); /* a list of them */
/* What a run takes of a request's byte limit. */
uint64_t batcher_run_bytes(const batcher *b, const run *u);
/* What records of a batch count against the byte bound of the queue. */
uint64_t batcher_weight(const work *w, uint32_t first, uint32_t records);
void batcher_request_give(batcher *b, request *r); /* to the spare ones */
void batcher_slot_clear(batcher *b, const request *r);

/* ---- batcher_settle.c ---- */

/* A request has come back: counts, retries, gives up. Consumes the request. An error fails the
 * pipeline. */
weir_status batcher_settle(batcher *b, request *r, const completion *c, weir_error *err);

#endif
