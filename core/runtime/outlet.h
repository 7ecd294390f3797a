/*
 * core/runtime/outlet.h - the producer's end of an edge: one task, all tasks of the next stage.
 *
 * Chooses the channel (by split, round robin, or key), and keeps in order what a channel had no
 * slot for. A task asks outlet_room before it asks its plugin for more; what a plugin emits beyond
 * that waits here, bounded by what one call can produce.
 */
#ifndef WEIR_RUNTIME_OUTLET_H
#define WEIR_RUNTIME_OUTLET_H

#include "base/error.h"
#include "batch/batch.h"
#include "runtime/channel.h"
#include "runtime/plan.h"
#include "runtime/template_eval.h"

typedef struct outlet outlet;

/* `key_groups`: how many there are, for an exchange by key. */
outlet *outlet_new(const plan_edge *edge, batch_home *home, uint32_t key_groups,
                   const template_env *env);
void outlet_free(outlet *o);
/* Where records that node `n` gives up go, among a task's outlets (one for each of the stage's
 * output edges, in their order); NULL if nowhere. */
outlet *outlet_for_dead_letters(const plan_stage *stage, outlet *const *outlets, const node *n);
/* Channel to consumer `task`; owned by the runtime. Before the tasks start. */
void outlet_connect(outlet *o, uint32_t task, channel *c);

/* True if nothing waits here and every channel takes another batch. [task] */
bool outlet_room(outlet *o);
/* Sends a batch on; takes over the reference, also on failure. [task] */
weir_status outlet_send(outlet *o, const weir_batch *batch, weir_error *err);
/* Sends a mark to every consumer, behind what was sent before. [task] */
weir_status outlet_mark(outlet *o, const channel_mark *mark, weir_error *err);
/* Moves waiting items into their channels; true when none waits any more. [task] */
bool outlet_flush(outlet *o);

#endif
