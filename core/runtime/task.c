#include "runtime/task.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/context.h"

/* A signal to a task whose plugin sleeps inside poll or drive goes on to the plugin. */
static void wake_plugin(void *opaque) {
    instance_wakeup(opaque);
}

static weir_status init_sink(task *t, weir_error *err) {
    const node *n = t->stage->node;
    batch_home *home = t->cx->home;
    uint32_t parallelism = t->stage->parallelism;
    t->failures = failures_new(n, home, outlet_for_dead_letters(t->stage, t->outlets, n),
                               context_counters(t->cx, n));
    t->decoders = calloc(t->stage->input_count + 1, sizeof *t->decoders);
    t->decode_failures = calloc(t->stage->input_count + 1, sizeof(failures *));
    if (t->failures == NULL || t->decoders == NULL || t->decode_failures == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    if (n->format.serde != NULL) {
        t->encoder = coder_new(t->cx, home, n, t->index, parallelism, &t->wake, err);
        if (t->encoder == NULL) return error_status(err);
    }
    for (size_t e = 0; e < t->stage->input_count; e++) {
        const node *source = t->stage->inputs[e]->decode_as;
        if (source == NULL) continue;
        t->decoders[e] = coder_new(t->cx, home, source, t->index, parallelism, &t->wake, err);
        if (t->decoders[e] == NULL) return error_status(err);
        /* A record that is not in the source's format is the source's bad record, wherever it is
         * decoded: the source's on_error holds. */
        t->decode_failures[e] =
            failures_new(source, home, outlet_for_dead_letters(t->stage, t->outlets, source),
                         context_counters(t->cx, source));
        if (t->decode_failures[e] == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    return WEIR_OK;
}

weir_status task_init(task *t, context *cx, const plan_stage *stage, uint32_t index, splits *s,
                      weir_error *err) {
    t->cx = cx;
    t->stage = stage;
    t->index = index;
    t->splits = s;
    wake_init(&t->wake);
    if (s != NULL) splits_set_wake(s, index, &t->wake);
    t->error = error_new();
    t->outlets = calloc(stage->output_count + 1, sizeof *t->outlets);
    if (t->error == NULL || t->outlets == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    for (size_t o = 0; o < stage->output_count; o++) {
        t->outlets[o] =
            outlet_new(stage->outputs[o], cx->home, cx->max_parallelism, context_template_env());
        if (t->outlets[o] == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    if (stage->kind != STAGE_WORKER) {
        const node *n = stage->node;
        t->main = instance_new(cx, cx->home, n->component, n, &n->options, &n->format, index,
                               stage->parallelism, &t->wake, err);
        if (t->main == NULL) return error_status(err);
        t->wake.hook = wake_plugin;
        t->wake.opaque = t->main;
    }
    if (stage->kind == STAGE_SINK) return init_sink(t, err);
    t->chain = chain_new(cx, cx->home, stage, index, &t->wake, t->outlets, err);
    return t->chain != NULL ? WEIR_OK : error_status(err);
}

void task_destroy(task *t) {
    batcher_free(t->batcher);
    coder_free(t->encoder);
    for (size_t e = 0; t->decoders != NULL && e < t->stage->input_count; e++) {
        coder_free(t->decoders[e]);
    }
    free(t->decoders);
    for (size_t e = 0; t->decode_failures != NULL && e < t->stage->input_count; e++) {
        failures_free(t->decode_failures[e]);
    }
    free(t->decode_failures);
    failures_free(t->failures);
    chain_free(t->chain);
    for (size_t o = 0; t->outlets != NULL && o < t->stage->output_count; o++) {
        outlet_free(t->outlets[o]);
    }
    free(t->outlets);
    instance_free(t->main);
    free(t->inlets);
    aligner_destroy(&t->aligner);
    sink_checkpoint_free(t);
    error_free(t->error);
}

void task_cancel(task *t) {
    if (t->main != NULL) instance_cancel(t->main);
    if (t->chain != NULL) chain_cancel(t->chain);
    coder_cancel(t->encoder);
    for (size_t e = 0; t->decoders != NULL && e < t->stage->input_count; e++) {
        coder_cancel(t->decoders[e]);
    }
    wake_signal(&t->wake);
}

bool task_flush_outlets(task *t) {
    bool all = true;
    for (size_t o = 0; o < t->stage->output_count; o++) {
        if (!outlet_flush(t->outlets[o])) all = false;
    }
    return all;
}

bool task_outlets_room(task *t) {
    bool all = true;
    for (size_t o = 0; o < t->stage->output_count; o++) {
        /* Each is asked, so that each full channel knows whom to wake. */
        if (!outlet_room(t->outlets[o])) all = false;
    }
    return all;
}

void task_sleep(task *t, int64_t until_ns) {
    atomic_store_explicit(&t->turned_ns, 0, memory_order_relaxed);
    wake_wait(&t->wake, until_ns);
    task_turn(t);
}

int64_t task_turn(task *t) {
    int64_t now = clock_mono_ns(&clock_system);
    atomic_store_explicit(&t->turned_ns, now, memory_order_relaxed);
    return now;
}

weir_status task_mark_outlets(task *t, const channel_mark *mark, weir_error *err) {
    for (size_t o = 0; o < t->stage->output_count; o++) {
        weir_status status = outlet_mark(t->outlets[o], mark, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

weir_status task_end_outlets(task *t, weir_error *err) {
    weir_status status = task_mark_outlets(t, &(channel_mark){.kind = ITEM_END_OF_INPUT}, err);
    if (status != WEIR_OK) return status;
    while (!context_stopping(t->cx) && !task_flush_outlets(t)) task_sleep(t, INT64_MAX);
    return WEIR_OK;
}

channel_item task_next_item(task *t, const plan_edge **from, bool *aligned) {
    *aligned = false;
    for (uint32_t k = 0; k < t->inlet_count; k++) {
        uint32_t number = (t->turn + k) % t->inlet_count;
        inlet *in = &t->inlets[number];
        if (in->ended || aligner_blocked(&t->aligner, number)) continue;
        channel_item item = channel_pop(in->channel);
        if (item.kind == ITEM_NONE) continue;
        t->turn = (number + 1) % t->inlet_count;
        if (item.kind == ITEM_END_OF_INPUT) {
            in->ended = true;
            *aligned = aligner_end(&t->aligner, number);
        } else if (item.kind == ITEM_BARRIER) {
            *aligned = aligner_barrier(&t->aligner, number, item.mark->epoch, item.mark->last);
        }
        *from = in->edge;
        return item;
    }
    return (channel_item){ITEM_NONE, NULL, NULL};
}

bool task_inlets_ended(const task *t) {
    for (uint32_t k = 0; k < t->inlet_count; k++) {
        if (!t->inlets[k].ended) return false;
    }
    return true;
}
