/*
 * The loop of a worker task: batches from its inlets through its transforms.
 */
#include "base/clock.h"
#include "runtime/context.h"
#include "runtime/task.h"

weir_status worker_task_loop(task *t, weir_error *err) {
    while (!context_stopping(t->cx)) {
        weir_status status = WEIR_OK;
        if (chain_parked(t->chain)) {
            status = chain_resume(t->chain, err);
            if (status != WEIR_OK && status != WEIR_AGAIN) return status;
        }
        bool moved = false;
        while (!chain_parked(t->chain) && task_outlets_room(t)) {
            const plan_edge *from;
            channel_item item = task_next_item(t, &from);
            if (item.kind == ITEM_NONE) break;
            moved = true;
            if (item.kind == ITEM_BATCH) {
                status = chain_run(t->chain, from, item.batch, err);
                if (status != WEIR_OK && status != WEIR_AGAIN) return status;
            } else {
                if (item.kind == ITEM_END_OF_SPLIT) {
                    for (size_t o = 0; o < t->stage->output_count && status == WEIR_OK; o++) {
                        if (t->stage->outputs[o]->dead_letters) continue;
                        status = outlet_mark(t->outlets[o], item.kind, 0, 0, item.mark->split, err);
                    }
                }
                channel_item_drop(&item);
                if (status != WEIR_OK) return status;
            }
        }
        if (task_inlets_ended(t) && !chain_parked(t->chain)) return task_end_outlets(t, err);
        if (!moved) wake_wait(&t->wake, INT64_MAX);
    }
    return WEIR_OK;
}
