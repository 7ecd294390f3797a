/*
 * The loop of a worker task: batches from its inlets through its transforms.
 */
#include "runtime/context.h"
#include "runtime/task.h"

/* The barrier came by every inlet: state of the transforms, then it goes on. */
static weir_status pass_barrier(task *t, weir_error *err) {
    const channel_mark mark = {
        .kind = ITEM_BARRIER, .epoch = t->aligner.aligned, .last = t->aligner.last};
    state_part *parts = NULL;
    weir_status status = chain_snapshot(t->chain, mark.epoch, &parts, err);
    if (status == WEIR_OK) {
        status = task_mark_outlets(t, &mark, err);
        if (status != WEIR_OK) {
            part_free(parts);
            return status;
        }
    }
    checkpointing_ack(t->epochs, t->number, mark.epoch, parts, status, err);
    return WEIR_OK;
}

static weir_status take_mark(task *t, const channel_item *item, bool aligned, weir_error *err) {
    if (aligned) return pass_barrier(t, err);
    if (item->kind != ITEM_END_OF_SPLIT) return WEIR_OK;
    const channel_mark mark = {
        .kind = ITEM_END_OF_SPLIT, .split = item->mark->split, .end = item->mark->end};
    for (size_t o = 0; o < t->stage->output_count; o++) {
        if (t->stage->outputs[o]->dead_letters) continue;
        weir_status status = outlet_mark(t->outlets[o], &mark, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

weir_status worker_task_loop(task *t, weir_error *err) {
    while (!context_stopping(t->cx)) {
        weir_status status = WEIR_OK;
        task_turn(t);
        if (chain_parked(t->chain)) {
            status = chain_resume(t->chain, err);
            if (status != WEIR_OK && status != WEIR_AGAIN) return status;
        }
        bool moved = false;
        while (!chain_parked(t->chain) && task_outlets_room(t)) {
            const plan_edge *from;
            bool aligned;
            channel_item item = task_next_item(t, &from, &aligned);
            if (item.kind == ITEM_NONE) break;
            moved = true;
            if (item.kind == ITEM_BATCH) {
                status = chain_run(t->chain, from, item.batch, err);
                if (status != WEIR_OK && status != WEIR_AGAIN) return status;
            } else {
                status = take_mark(t, &item, aligned, err);
                channel_item_drop(&item);
                if (status != WEIR_OK) return status;
            }
        }
        if (task_inlets_ended(t) && !chain_parked(t->chain)) return task_end_outlets(t, err);
        if (!moved) task_sleep(t, INT64_MAX);
    }
    return WEIR_OK;
}
