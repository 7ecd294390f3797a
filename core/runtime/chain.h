/*
 * core/runtime/chain.h - what one task does to a batch between its input and its outlets.
 *
 *   source or channel -> [decode] -> [event time] -> transforms ... -> outlets
 *
 * The chain is the running form of a stage's tree of ops. It belongs to one task thread.
 */
#ifndef WEIR_RUNTIME_CHAIN_H
#define WEIR_RUNTIME_CHAIN_H

#include "runtime/coder.h"
#include "runtime/context.h"
#include "runtime/plan.h"

typedef struct chain chain;

/* `outlets` are the task's, one for each of the stage's output edges in their order. */
chain *chain_new(context *cx, batch_home *home, const plan_stage *stage, uint32_t task, wake *w,
                 outlet *const *outlets, weir_error *err);
weir_status chain_open(chain *c, weir_error *err); /* [task] */
void chain_close(chain *c, uint32_t mode);         /* [task] */
void chain_cancel(chain *c);                       /* [any] */
void chain_free(chain *c);

/* Sends one batch through; takes over the reference. `from` is the edge it came by, NULL for the
 * stage's own source. WEIR_AGAIN: a decoder waits for a schema; the chain keeps the batch, wants no
 * other, and goes on with chain_resume after a wake. [task] */
weir_status chain_run(chain *c, const plan_edge *from, const weir_batch *batch, weir_error *err);
weir_status chain_resume(chain *c, weir_error *err);
bool chain_parked(const chain *c);
/* The private state of its transforms: parts put in front of `*parts`. [task] */
weir_status chain_snapshot(chain *c, uint64_t epoch, state_part **parts, weir_error *err);
/* What becomes of records that the stage's source could not read. */
failures *chain_source_failures(chain *c);

#endif
