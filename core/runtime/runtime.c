#include "runtime/runtime.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "runtime/checkpointing.h"
#include "runtime/context.h"
#include "runtime/key_group.h"
#include "runtime/recovery.h"
#include "runtime/source_control.h"
#include "runtime/task.h"

/* Whoever asks for the status waits so long for a source that is listing its splits. */
#define POSITION_WAIT_NS (20 * CLOCK_NS_PER_MS)

/* How often a start looks whether it is still wanted. */
#define LOOK_NS (200 * CLOCK_NS_PER_MS)
/* Components keep the deadline of their open themselves; one that does not is given up then. */
#define OPEN_GRACE_NS (10 * CLOCK_NS_PER_S)

struct runtime {
    context cx; /* first: a task's thread finds its runtime by it */
    runtime_config config;
    splits **splits; /* by node index */
    task *tasks;
    uint32_t task_count;
    channel **channels;
    uint32_t channel_count;
    source_control *controls;
    uint32_t control_count;
    checkpoint *like;     /* header and nodes of every checkpoint of this run */
    checkpoint *restored; /* what this run starts from, once it is durable */
    char run_id[33];
    checkpointing *epochs;
    pthread_t epochs_thread;
    bool epochs_started;

    _Atomic uint32_t opened;      /* tasks that opened */
    _Atomic uint32_t loops_ended; /* tasks whose loop ended */
    _Atomic bool go;              /* all tasks are open: sources may read */
    _Atomic bool close_sources;   /* no batch is held any more */
    _Atomic int64_t ready_ns;
};

/* ---- small answers ---- */

counters *runtime_counters(runtime *rt, const node *n) {
    return context_counters(&rt->cx, n);
}
splits *runtime_splits(runtime *rt, const node *n) {
    return rt->splits[n->index];
}
weir_status runtime_position_text(runtime *rt, const node *n, weir_str position, char *out,
                                  size_t size) {
    for (uint32_t c = 0; c < rt->control_count; c++) {
        if (rt->controls[c].node != n) continue;
        int64_t until = clock_mono_ns(&clock_system) + POSITION_WAIT_NS;
        return source_control_position(&rt->controls[c], position, out, size, until);
    }
    return WEIR_E_UNSUPPORTED;
}
uint64_t runtime_memory_used(const runtime *rt) {
    return batch_home_used(rt->cx.home);
}
uint64_t runtime_memory_peak(const runtime *rt) {
    return batch_home_peak(rt->cx.home);
}
int64_t runtime_ready_ns(const runtime *rt) {
    return atomic_load(&rt->ready_ns);
}
int64_t runtime_first_record_ns(const runtime *rt) {
    return atomic_load(&rt->cx.first_record_ns);
}
bool runtime_draining(const runtime *rt) {
    return context_draining(&rt->cx);
}
void runtime_savepoint(runtime *rt, weir_str name, uint64_t ticket) {
    checkpointing_savepoint(rt->epochs, name, ticket);
}
void runtime_stop_with_savepoint(runtime *rt, weir_str name, uint64_t ticket) {
    checkpointing_stop(rt->epochs, name, ticket);
}
uint32_t runtime_checkpoints(runtime *rt, epoch_record out[COORDINATOR_HISTORY]) {
    return checkpointing_history(rt->epochs, out);
}
uint64_t runtime_completed_epoch(runtime *rt) {
    return checkpointing_completed(rt->epochs);
}
uint64_t runtime_restored_epoch(const runtime *rt) {
    return rt->restored != NULL ? rt->restored->epoch : 0;
}
uint64_t runtime_lost(const runtime *rt) {
    return count_get(rt->cx.lost);
}
bool runtime_running(const runtime *rt) {
    for (uint32_t c = 0; c < rt->control_count; c++) {
        if (!atomic_load(&rt->controls[c].enumerated)) return false;
    }
    return atomic_load(&rt->ready_ns) != 0;
}
bool runtime_healthy(const runtime *rt) {
    int64_t oldest = clock_mono_ns(&clock_system) - LIMIT_PLUGIN_CALL_S * CLOCK_NS_PER_S;
    for (uint32_t t = 0; t < rt->task_count; t++) {
        int64_t turned = atomic_load_explicit(&rt->tasks[t].turned_ns, memory_order_relaxed);
        if (turned != 0 && turned < oldest) return false;
    }
    return true;
}
wake *runtime_wake(runtime *rt) {
    return &rt->cx.control;
}

/* ---- waking and stopping ---- */

static void wake_everybody(runtime *rt) {
    for (uint32_t t = 0; t < rt->task_count; t++) wake_signal(&rt->tasks[t].wake);
    for (uint32_t c = 0; c < rt->control_count; c++) wake_signal(&rt->controls[c].wake);
    if (rt->epochs != NULL) checkpointing_wake(rt->epochs);
    wake_signal(&rt->cx.control);
}

/* The checkpoint thread has something for tasks. */
static void wake_tasks(void *opaque) {
    runtime *rt = opaque;
    for (uint32_t t = 0; t < rt->task_count; t++) wake_signal(&rt->tasks[t].wake);
}

/* The budget has room again: only sources wait for that. */
static void on_memory_room(void *opaque) {
    runtime *rt = opaque;
    for (uint32_t t = 0; t < rt->task_count; t++) {
        if (rt->tasks[t].stage->kind == STAGE_SOURCE) wake_signal(&rt->tasks[t].wake);
    }
}

void runtime_drain(runtime *rt) {
    int phase = atomic_load(&rt->cx.phase);
    while (phase < PHASE_DRAINING &&
           !atomic_compare_exchange_weak(&rt->cx.phase, &phase, PHASE_DRAINING)) {}
    wake_everybody(rt);
}

/* The context's on_stop: whatever blocks in a plugin ends, and everybody looks up. */
static void stop(void *opaque) {
    runtime *rt = opaque;
    for (uint32_t t = 0; t < rt->task_count; t++) task_cancel(&rt->tasks[t]);
    for (uint32_t c = 0; c < rt->control_count; c++) source_control_cancel(&rt->controls[c]);
    wake_everybody(rt);
}

void runtime_abandon(runtime *rt, weir_status status, const char *why) {
    weir_error *err = error_new();
    error_set(err, status, 0, "%s", why);
    context_fail(&rt->cx, err);
    error_free(err);
}

/* ---- threads ---- */

static weir_status task_open(task *t, weir_error *err) {
    switch (t->stage->kind) {
    case STAGE_SOURCE:
        return source_task_open(t, err);
    case STAGE_WORKER:
        return chain_open(t->chain, err);
    default:
        return sink_task_open(t, err);
    }
}

static weir_status task_loop(task *t, weir_error *err) {
    switch (t->stage->kind) {
    case STAGE_SOURCE:
        return source_task_loop(t, err);
    case STAGE_WORKER:
        return worker_task_loop(t, err);
    default:
        return sink_task_loop(t, err);
    }
}

/* Wait until `flag` or the end; the task's wake carries the signal. */
static void wait_flag(task *t, _Atomic bool *flag, bool until_stop) {
    while (!atomic_load(flag) && !(until_stop && context_stopping(t->cx))) {
        wake_wait(&t->wake, INT64_MAX);
    }
}

static uint32_t close_mode(const runtime *rt) {
    return context_stopping(&rt->cx) ? WEIR_CLOSE_ABANDON : WEIR_CLOSE_DRAIN;
}

static void *task_main(void *argument) {
    task *t = argument;
    runtime *rt = (runtime *)(void *)t->cx;
    char name[192];
    snprintf(name, sizeof name, "%.*s[%u]", STR_FMT(t->stage->node->name), t->index);
    if (rt->config.thread_begins != NULL) {
        rt->config.thread_begins(t->main != NULL ? t->main->where : name);
    }
    weir_status status = task_open(t, t->error);
    /* Said before it counts: once all are counted the pipeline is taken for one that runs. */
    if (status != WEIR_OK) context_fail(&rt->cx, t->error);
    atomic_fetch_add(&rt->opened, 1);
    wake_signal(&rt->cx.control);
    if (status == WEIR_OK) {
        if (t->stage->kind == STAGE_SOURCE) wait_flag(t, &rt->go, true);
        if (!context_stopping(&rt->cx)) status = task_loop(t, t->error);
    }
    if (status != WEIR_OK && !context_stopping(&rt->cx)) context_fail(&rt->cx, t->error);

    /* A sink that did not finish by itself gives its files up; batches go back before sources
     * close. */
    if (t->stage->kind == STAGE_SINK) {
        instance_close(t->main, WEIR_CLOSE_ABANDON, clock_mono_ns(&clock_system), NULL);
        batcher_free(t->batcher);
        t->batcher = NULL;
    }
    /* Chains close before the loop counts as ended: a parked batch, or one that a transform or a
     * serde keeps, must be back before the source it came from closes in its own thread. */
    if (t->chain != NULL) chain_close(t->chain, close_mode(rt));
    coder_close(t->encoder);
    for (size_t e = 0; t->decoders != NULL && e < t->stage->input_count; e++) {
        coder_close(t->decoders[e]);
    }
    atomic_store(&t->loop_ended, true);
    atomic_fetch_add(&rt->loops_ended, 1);
    wake_signal(&rt->cx.control);
    wait_flag(t, &rt->close_sources, false);
    if (t->stage->kind == STAGE_SOURCE) {
        instance_close(t->main, close_mode(rt), clock_mono_ns(&clock_system) + 5 * CLOCK_NS_PER_S,
                       NULL);
    }
    if (rt->config.thread_ends != NULL) rt->config.thread_ends();
    return NULL;
}

/* Threads are born with all signals blocked: signals are the control thread's. */
static weir_status spawn(pthread_t *thread, void *(*body)(void *), void *argument,
                         weir_error *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) return WEIR_OK;
    char text[128];
    error_set(err, WEIR_E_IO, 0, "cannot start a thread: %s", os_strerror(rc, text, sizeof text));
    error_hint(err, "lower parallelism, or raise the limit of processes (ulimit -u)");
    return WEIR_E_IO;
}

/* ---- building ---- */

static weir_status build_tasks(runtime *rt, weir_error *err) {
    const plan *p = rt->cx.plan;
    uint32_t at = 0;
    for (size_t s = 0; s < p->stage_count; s++) {
        const plan_stage *stage = p->stages[s];
        splits *table = NULL;
        if (stage->kind == STAGE_SOURCE) {
            table = splits_new(stage->parallelism);
            rt->splits[stage->node->index] = table;
            if (table == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
            source_control *c = &rt->controls[rt->control_count++];
            weir_status status = source_control_init(c, &rt->cx, stage->node, table, err);
            if (status != WEIR_OK) return status;
        }
        for (uint32_t i = 0; i < stage->parallelism; i++) {
            task *t = &rt->tasks[at++];
            rt->task_count = at;
            t->number = at - 1;
            weir_status status = task_init(t, &rt->cx, stage, i, table, err);
            if (status != WEIR_OK) return status;
        }
    }
    return WEIR_OK;
}

static task *first_task(runtime *rt, const plan_stage *stage) {
    for (uint32_t t = 0; t < rt->task_count; t++) {
        if (rt->tasks[t].stage == stage) return &rt->tasks[t];
    }
    return NULL;
}

/* One channel for each pair of tasks along each edge. */
static weir_status connect_tasks(runtime *rt, weir_error *err) {
    for (uint32_t t = 0; t < rt->task_count; t++) {
        task *to = &rt->tasks[t];
        WEIR_ASSERT(to->stage != NULL);
        uint32_t n = 0;
        for (size_t e = 0; e < to->stage->input_count; e++) {
            n += to->stage->inputs[e]->from->parallelism;
        }
        to->inlets = calloc(n + 1u, sizeof *to->inlets);
        if (to->inlets == NULL || !aligner_init(&to->aligner, n))
            return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        for (size_t e = 0; e < to->stage->input_count; e++) {
            const plan_edge *edge = to->stage->inputs[e];
            task *from = first_task(rt, edge->from);
            size_t o = 0;
            while (edge->from->outputs[o] != edge) o++;
            for (uint32_t f = 0; f < edge->from->parallelism; f++) {
                channel *c = channel_new(edge->channel_bytes, &from[f].wake, &to->wake);
                if (c == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
                rt->channels[rt->channel_count++] = c;
                outlet_connect(from[f].outlets[o], to->index, c);
                to->inlets[to->inlet_count++] = (inlet){edge, c, false};
            }
        }
    }
    return WEIR_OK;
}

/* Keys stay in their groups as long as there is state: their number is the state's. */
static weir_status choose_key_groups(runtime *rt, weir_error *err) {
    const checkpoint *from = rt->config.from;
    if (from == NULL || from->max_parallelism == 0) return WEIR_OK;
    if (from->max_parallelism > KEY_GROUPS_MAX) {
        return error_set(err, WEIR_E_DATA, WEIR_ERR_CONFIG,
                         "the checkpoint of epoch %llu has max_parallelism %u; weir never writes "
                         "more than %u",
                         (unsigned long long)from->epoch, from->max_parallelism, KEY_GROUPS_MAX);
    }
    rt->cx.max_parallelism = from->max_parallelism;
    return WEIR_OK;
}

/* Who this run is, and the thread that will take its checkpoints. */
static weir_status prepare_checkpoints(runtime *rt, weir_error *err) {
    const runtime_config *config = &rt->config;
    bool same = config->from != NULL && !config->fork;
    if (same && !recovery_good_run_id(config->from->instance_id)) {
        return error_set(err, WEIR_E_DATA, WEIR_ERR_CONFIG,
                         "the checkpoint of epoch %llu has an instance id that weir never writes",
                         (unsigned long long)config->from->epoch);
    }
    if (same) {
        memcpy(rt->run_id, config->from->instance_id.ptr, config->from->instance_id.len);
    } else if (!recovery_new_run_id(rt->run_id, sizeof rt->run_id)) {
        return error_set(err, WEIR_E_IO, 0, "the system gives no random bytes");
    }
    rt->cx.run_id = str_of(rt->run_id);
    rt->cx.attempt = config->attempt;
    rt->cx.lost = config->lost != NULL ? config->lost : &rt->cx.own_lost;
    rt->cx.durable = config->durable;
    rt->cx.allow_non_restored = config->allow_non_restored;
    rt->like = recovery_describe(&rt->cx, config->from, err);
    if (rt->like == NULL) return error_status(err);
    uint32_t sources = 0;
    while (sources < rt->task_count && rt->tasks[sources].stage->kind == STAGE_SOURCE) sources++;
    const checkpointing_config epochs = {.cx = &rt->cx,
                                         .store = config->store,
                                         .like = rt->like,
                                         .controls = rt->controls,
                                         .control_count = rt->control_count,
                                         .tasks = rt->task_count,
                                         .source_tasks = sources,
                                         .wake_tasks = wake_tasks,
                                         .wake_opaque = rt,
                                         .answer = config->answer,
                                         .answer_opaque = config->answer_opaque};
    rt->epochs = checkpointing_new(&epochs, err);
    if (rt->epochs == NULL) return error_status(err);
    for (uint32_t t = 0; t < rt->task_count; t++) rt->tasks[t].epochs = rt->epochs;
    return WEIR_OK;
}

runtime *runtime_new(const runtime_config *config, weir_error *err) {
    runtime *rt = calloc(1, sizeof *rt);
    if (rt == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    const plan *p = config->plan;
    rt->config = *config;
    rt->cx.on_stop = stop;
    rt->cx.opaque = rt;
    weir_status status =
        context_init(&rt->cx, p, config->plugins, config->once, on_memory_room, rt, err);
    rt->splits = calloc(p->pipeline->node_count + 1, sizeof *rt->splits);
    rt->tasks = calloc(p->task_count + 1u, sizeof *rt->tasks);
    rt->controls = calloc(p->stage_count + 1, sizeof *rt->controls);
    rt->channels = calloc(p->channel_count + 1u, sizeof(channel *));
    if (rt->splits == NULL || rt->tasks == NULL || rt->controls == NULL || rt->channels == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        status = WEIR_E_NOMEM;
    }
    if (status == WEIR_OK) status = choose_key_groups(rt, err);
    if (status == WEIR_OK) status = build_tasks(rt, err);
    if (status == WEIR_OK) status = connect_tasks(rt, err);
    if (status == WEIR_OK) status = prepare_checkpoints(rt, err);
    if (status == WEIR_OK) return rt;
    runtime_free(rt);
    return NULL;
}

/* ---- life ---- */

/* From the checkpoint to the splits: before any task opens. */
static weir_status restore(runtime *rt, weir_error *err) {
    if (rt->config.store == NULL) return WEIR_OK;
    const recovery_config config = {.cx = &rt->cx,
                                    .store = rt->config.store,
                                    .from = rt->config.from,
                                    .like = rt->like,
                                    .fork = rt->config.fork,
                                    .interrupted = rt->config.interrupted,
                                    .interrupted_opaque = rt->config.interrupted_opaque};
    weir_status status = recovery_run(&config, &rt->restored, err);
    if (status != WEIR_OK || rt->config.from == NULL) return status;
    rt->cx.restored = rt->restored;
    atomic_store(&rt->cx.done_epoch, rt->restored->epoch);
    for (uint32_t c = 0; c < rt->control_count && status == WEIR_OK; c++) {
        const node *source = rt->controls[c].node;
        const state_node *saved = context_restored(&rt->cx, source);
        /* What cannot be read again, such as standard input, is another one in every run: its end
         * was that run's. */
        if (str_eq(component_note(source->component)->guarantee, STR("at_most_once"))) continue;
        if (saved != NULL) status = splits_restore(rt->controls[c].splits, saved, err);
    }
    return status;
}

/* Until every task is open: each has start_timeout for it. */
static void await_open(runtime *rt) {
    int64_t give_up_ns = clock_mono_ns(&clock_system) +
                         rt->cx.plan->pipeline->settings.start_timeout_ns + OPEN_GRACE_NS;
    while (!context_stopping(&rt->cx) && !context_draining(&rt->cx) &&
           atomic_load(&rt->opened) < rt->task_count) {
        int64_t now = clock_mono_ns(&clock_system);
        wake_wait(&rt->cx.control, now + LOOK_NS);
        if (atomic_load(&rt->opened) == rt->task_count) return;
        if (rt->config.interrupted != NULL &&
            rt->config.interrupted(rt->config.interrupted_opaque)) {
            runtime_abandon(rt, WEIR_E_CANCELLED,
                            "stopped by a signal before the pipeline was ready");
        } else if (now > give_up_ns) {
            runtime_abandon(rt, WEIR_E_TIMEOUT,
                            "a component did not open within start_timeout, and did not say so");
        }
    }
}

weir_status runtime_start(runtime *rt, weir_error *err) {
    weir_status status = restore(rt, err);
    for (uint32_t t = 0; t < rt->task_count && status == WEIR_OK; t++) {
        status = spawn(&rt->tasks[t].thread, task_main, &rt->tasks[t], err);
        rt->tasks[t].started = status == WEIR_OK;
    }
    for (uint32_t c = 0; c < rt->control_count && status == WEIR_OK; c++) {
        status = spawn(&rt->controls[c].thread, source_control_run, &rt->controls[c], err);
        rt->controls[c].started = status == WEIR_OK;
    }
    if (status != WEIR_OK) {
        context_fail(&rt->cx, err);
    } else {
        await_open(rt);
        if (!context_stopping(&rt->cx)) {
            int starting = PHASE_STARTING;
            atomic_compare_exchange_strong(&rt->cx.phase, &starting, PHASE_RUNNING);
            atomic_store(&rt->ready_ns, clock_mono_ns(&clock_system));
            atomic_store(&rt->go, true);
            status = spawn(&rt->epochs_thread, checkpointing_run, rt->epochs, err);
            rt->epochs_started = status == WEIR_OK;
            wake_everybody(rt);
            if (status == WEIR_OK) return WEIR_OK;
            context_fail(&rt->cx, err);
        }
    }
    return runtime_finish(rt, err);
}

bool runtime_wait(runtime *rt, int64_t deadline_ns) {
    if (atomic_load(&rt->loops_ended) < rt->task_count) wake_wait(&rt->cx.control, deadline_ns);
    return atomic_load(&rt->loops_ended) == rt->task_count;
}

static bool loops_over(const runtime *rt) {
    for (uint32_t t = 0; t < rt->task_count; t++) {
        if (rt->tasks[t].started && !atomic_load(&rt->tasks[t].loop_ended)) return false;
    }
    return true;
}

weir_status runtime_finish(runtime *rt, weir_error *err) {
    while (!loops_over(rt)) wake_wait(&rt->cx.control, INT64_MAX);
    if (rt->epochs_started) {
        checkpointing_end(rt->epochs);
        pthread_join(rt->epochs_thread, NULL);
        rt->epochs_started = false;
    }
    /* Every loop has ended: discovery has nobody to find splits for, and whatever stands in
     * channels and outlets is given back before sources close. */
    for (uint32_t c = 0; c < rt->control_count; c++) {
        source_control_cancel(&rt->controls[c]);
        if (!rt->controls[c].started) continue;
        atomic_store(&rt->cx.phase, PHASE_DRAINING);
        wake_signal(&rt->controls[c].wake);
        pthread_join(rt->controls[c].thread, NULL);
        rt->controls[c].started = false;
    }
    for (uint32_t t = 0; t < rt->task_count; t++) {
        task *k = &rt->tasks[t];
        for (uint32_t i = 0; i < k->inlet_count; i++) {
            for (;;) {
                channel_item item = channel_pop(k->inlets[i].channel);
                if (item.kind == ITEM_NONE) break;
                channel_item_drop(&item);
            }
        }
        for (size_t o = 0; o < k->stage->output_count; o++) {
            outlet_free(k->outlets[o]);
            k->outlets[o] = NULL;
        }
    }
    atomic_store(&rt->close_sources, true);
    wake_everybody(rt);
    for (uint32_t t = 0; t < rt->task_count; t++) {
        if (!rt->tasks[t].started) continue;
        pthread_join(rt->tasks[t].thread, NULL);
        rt->tasks[t].started = false;
    }
    weir_status status = context_failure(&rt->cx, err);
    for (uint32_t c = 0; c < rt->control_count && status == WEIR_OK; c++) {
        if (!rt->controls[c].unreached) continue;
        error_copy(err, rt->controls[c].trouble);
        status = error_status(rt->controls[c].trouble);
    }
    return status;
}

void runtime_free(runtime *rt) {
    if (rt == NULL) return;
    for (uint32_t t = 0; t < rt->task_count; t++) task_destroy(&rt->tasks[t]);
    for (uint32_t c = 0; c < rt->control_count; c++) source_control_destroy(&rt->controls[c]);
    for (uint32_t c = 0; rt->channels != NULL && c < rt->channel_count; c++) {
        channel_free(rt->channels[c]);
    }
    for (size_t n = 0; rt->splits != NULL && n < rt->cx.plan->pipeline->node_count; n++) {
        splits_free(rt->splits[n]);
    }
    checkpointing_free(rt->epochs);
    checkpoint_free(rt->like);
    checkpoint_free(rt->restored);
    free(rt->channels);
    free(rt->controls);
    free(rt->tasks);
    free(rt->splits);
    context_destroy(&rt->cx);
    free(rt);
}
