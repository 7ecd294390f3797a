/*
 * core/runtime/batcher.h - from batches to requests: what every sink would otherwise write itself.
 *
 *   batches -> queue of runs, one queue a group -> request -> write ... write_done -> done
 *                   ^                                              |
 *                   `------- retry of the failed records <---------'---> dead letters, skip, fail
 *
 * A run is "records i .. j of that batch": nothing is copied until a request is gathered, and a
 * request that is exactly one whole batch is not gathered at all. Grouping templates (`path`,
 * `stream`) decide the group; limits, the number of requests under way and its adaption (additive
 * increase, halved on throttling) hold for each group. Belongs to one sink task.
 */
#ifndef WEIR_RUNTIME_BATCHER_H
#define WEIR_RUNTIME_BATCHER_H

#include "runtime/failures.h"
#include "runtime/instance.h"
#include "runtime/plan.h"
#include "runtime/prepared.h"

typedef struct batcher batcher;

/* `limits` are those after the sink's open. */
batcher *batcher_new(const plan_stage *stage, instance *sink, const weir_limits *limits,
                     failures *f, counters *c, const template_env *env, weir_error *err);
/* Drops what is queued; the sink must be closed. */
void batcher_free(batcher *b);

/* The template options of the sink: to be prepared before encoding takes the fields away. */
const template_set *batcher_templates(const batcher *b);

/* Queues a batch with its prepared texts (NULL if there are none); takes over both. [task] */
weir_status batcher_add(batcher *b, const weir_batch *batch, prepared *p, weir_error *err);
/* True if the queue takes another batch. [task] */
bool batcher_room(const batcher *b);
/* Handles completions and writes what may be written now. With `cut`, nothing lingers. An error
 * fails the pipeline. [task] */
weir_status batcher_pump(batcher *b, bool cut, weir_error *err);
/* What is written from now on belongs to `epoch`: above every flushed one. */
void batcher_set_epoch(batcher *b, uint64_t epoch);
/* The sink answered AGAIN: nothing to write before a wake or its drive; the next pump asks again.
 */
bool batcher_blocked(const batcher *b);
/* When pump has something to do of its own accord: a retry, a linger. INT64_MAX = never. */
int64_t batcher_next_ns(const batcher *b);
/* Nothing queued, nothing under way. */
bool batcher_idle(const batcher *b);
/* Records that are queued or under way. */
uint64_t batcher_pending(const batcher *b);

#endif
