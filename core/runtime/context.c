#include "runtime/context.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/os.h"

weir_status context_init(context *cx, const plan *p, registry *plugins, bool once,
                         void (*on_room)(void *opaque), void *opaque, weir_error *err) {
    cx->plan = p;
    cx->plugins = plugins;
    cx->once = once;
    wake_init(&cx->control);
    pthread_mutex_init(&cx->lock, NULL);
    cx->error = error_new();
    cx->home = batch_home_new(p->pipeline->settings.memory_bytes, on_room, opaque);
    cx->max_parallelism = p->pipeline->settings.max_parallelism;
    cx->counters = calloc(p->pipeline->node_count + 1, sizeof *cx->counters);
    if (cx->error == NULL || cx->home == NULL || cx->counters == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    keyed_pool_init(&cx->keyed, cx->home);
    return WEIR_OK;
}

void context_destroy(context *cx) {
    if (cx->home != NULL) batch_home_free(cx->home);
    free(cx->counters);
    error_free(cx->error);
    pthread_mutex_destroy(&cx->lock);
}

bool context_draining(const context *cx) {
    return atomic_load(&cx->phase) >= PHASE_DRAINING;
}

bool context_stopping(const context *cx) {
    return atomic_load(&cx->stopping);
}

void context_fail(context *cx, const weir_error *err) {
    pthread_mutex_lock(&cx->lock);
    if (!cx->failed) {
        cx->failed = true;
        error_copy(cx->error, err);
    }
    pthread_mutex_unlock(&cx->lock);
    if (!atomic_exchange(&cx->stopping, true)) cx->on_stop(cx->opaque);
}

weir_status context_failure(context *cx, weir_error *err) {
    pthread_mutex_lock(&cx->lock);
    weir_status status = cx->failed ? error_status(cx->error) : WEIR_OK;
    if (cx->failed) error_copy(err, cx->error);
    pthread_mutex_unlock(&cx->lock);
    return status;
}

counters *context_counters(context *cx, const node *n) {
    return &cx->counters[n->index];
}

void context_durable(context *cx) {
    if (cx->durable != NULL) atomic_store(cx->durable, true);
}

const state_node *context_restored(const context *cx, const node *n) {
    return cx->restored != NULL ? checkpoint_node(cx->restored, n->name) : NULL;
}

bool context_memory_room(const context *cx) {
    return batch_home_used(cx->home) < batch_home_limit(cx->home);
}

void context_note_record(context *cx) {
    if (atomic_load_explicit(&cx->first_record_ns, memory_order_relaxed) != 0) return;
    int64_t none = 0;
    atomic_compare_exchange_strong(&cx->first_record_ns, &none, clock_mono_ns(&clock_system));
}

static int64_t env_wall_us(void *opaque) {
    (void)opaque;
    return clock_wall_us(&clock_system);
}

static uint64_t env_random(void *opaque) {
    (void)opaque;
    uint64_t v = 0;
    if (!os_random(&v, sizeof v)) v = (uint64_t)clock_mono_ns(&clock_system);
    return v;
}

const template_env *context_template_env(void) {
    static const template_env env = {env_wall_us, env_random, NULL};
    return &env;
}
