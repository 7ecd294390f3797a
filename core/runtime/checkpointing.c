#include "runtime/checkpointing.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

typedef struct lost_waiting {
    struct lost_waiting *next;
    lost_piece piece;
} lost_waiting;

struct checkpointing {
    checkpointing_config config;
    wake wake;
    pthread_mutex_t lock; /* over the coordinator and what follows */
    coordinator *machine;
    bool stopping;   /* the coordinator knows of the drain */
    char *stop_name; /* savepoint that the drain ends with; NULL = none */
    uint64_t stop_ticket;
    uint64_t epoch_without_store;
    struct lost_waiting *lost; /* to be told */
    _Atomic bool ended;
    weir_error *error; /* scratch of the thread */
};

static uint64_t next_epoch(void *opaque) {
    checkpointing *c = opaque;
    if (c->config.store != NULL) return store_next_epoch(c->config.store);
    return ++c->epoch_without_store;
}

checkpointing *checkpointing_new(const checkpointing_config *config, weir_error *err) {
    checkpointing *c = calloc(1, sizeof *c);
    if (c == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    c->config = *config;
    wake_init(&c->wake);
    pthread_mutex_init(&c->lock, NULL);
    const settings_spec *s = &config->cx->plan->pipeline->settings;
    coordinator_settings settings = {
        .interval_ns = config->store != NULL ? s->checkpoint_interval_ns : INT64_MAX,
        .min_pause_ns = s->checkpoint_min_pause_ns,
        .timeout_ns = s->checkpoint_timeout_ns,
        .tolerable_failures = s->checkpoint_tolerable_failures,
        .tasks = config->tasks,
        .source_tasks = config->source_tasks,
    };
    c->error = error_new();
    c->machine =
        coordinator_new(&settings, config->like, next_epoch, c, clock_mono_ns(&clock_system));
    if (c->error == NULL || c->machine == NULL) {
        checkpointing_free(c);
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    return c;
}

void checkpointing_free(checkpointing *c) {
    if (c == NULL) return;
    coordinator_free(c->machine);
    error_free(c->error);
    free(c->stop_name);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void checkpointing_wake(checkpointing *c) {
    wake_signal(&c->wake);
}

void checkpointing_end(checkpointing *c) {
    atomic_store(&c->ended, true);
    wake_signal(&c->wake);
}

/* ---- what the coordinator asks for ---- */

/* Every source's table and its control instance's private state, then the barrier goes out. */
static void begin(checkpointing *c, const coordinator_action *a) {
    context *cx = c->config.cx;
    uint32_t n = c->config.control_count;
    state_part **parts = calloc(n + 1u, sizeof(state_part *));
    weir_status status = WEIR_OK;
    if (parts == NULL) {
        error_set(c->error, WEIR_E_NOMEM, 0, "out of memory");
        status = WEIR_E_NOMEM;
    }
    int64_t deadline =
        clock_mono_ns(&clock_system) + cx->plan->pipeline->settings.checkpoint_timeout_ns;
    for (uint32_t k = 0; k < n && status == WEIR_OK; k++) {
        source_control *control = &c->config.controls[k];
        parts[k] = part_new(control->node->index);
        if (parts[k] == NULL) {
            status = error_set(c->error, WEIR_E_NOMEM, 0, "out of memory");
            break;
        }
        parts[k]->captured = true;
        status = source_control_capture(control, a->epoch, parts[k], deadline, c->error);
    }
    if (status == WEIR_OK) {
        atomic_store(&cx->barrier_order, (uint32_t)a->order);
        atomic_store(&cx->barrier_epoch, a->epoch);
    } else {
        /* No barrier will come by that lets splits be assigned again. */
        for (uint32_t k = 0; k < n; k++) splits_release(c->config.controls[k].splits, a->epoch);
    }
    pthread_mutex_lock(&c->lock);
    coordinator_begun(c->machine, parts, parts != NULL ? n : 0, status, c->error);
    pthread_mutex_unlock(&c->lock);
    free(parts);
    if (status == WEIR_OK) c->config.wake_tasks(c->config.wake_opaque);
}

static void persist(checkpointing *c, const coordinator_action *a) {
    store_written written = {0};
    weir_status status = WEIR_OK;
    const checkpoint *p = a->checkpoint;
    if (c->config.store != NULL) {
        if (a->act == ACT_PERSIST || p->kind == CHECKPOINT_FINAL) {
            status = store_write(c->config.store, p, &written, c->error);
        }
        if (a->act == ACT_SEAL && p->name.len > 0 && status == WEIR_OK) {
            store_written again = {0};
            status = store_write_savepoint(c->config.store, p, &again, c->error);
            written.bytes += again.bytes;
            written.sync_ns += again.sync_ns;
        }
    } else if (p->name.len > 0) {
        status = error_set(c->error, WEIR_E_UNSUPPORTED, 0, "this run keeps no state");
    }
    if (status == WEIR_OK && c->config.store != NULL) context_durable(c->config.cx);
    pthread_mutex_lock(&c->lock);
    coordinator_persisted(c->machine, status, written.bytes, written.sync_ns, c->error,
                          clock_mono_ns(&clock_system));
    pthread_mutex_unlock(&c->lock);
}

/* False when there is nothing to do before `*next_ns`. */
static bool turn(checkpointing *c, int64_t *next_ns) {
    context *cx = c->config.cx;
    error_clear(c->error);
    pthread_mutex_lock(&c->lock);
    if (context_draining(cx) && !c->stopping) {
        c->stopping = true;
        weir_str name = c->stop_name != NULL ? str_of(c->stop_name) : (weir_str){"", 0};
        coordinator_stop(c->machine, name, c->stop_ticket);
    }
    coordinator_action a =
        coordinator_step(c->machine, clock_mono_ns(&clock_system), clock_wall_us(&clock_system));
    if (a.act == ACT_ANSWER || a.act == ACT_FAIL) {
        if (a.error != NULL) error_copy(c->error, a.error);
    }
    pthread_mutex_unlock(&c->lock);
    switch (a.act) {
    case ACT_NOTHING:
        *next_ns = a.next_ns;
        return false;
    case ACT_BEGIN:
        begin(c, &a);
        break;
    case ACT_PERSIST:
    case ACT_SEAL:
        persist(c, &a);
        break;
    case ACT_COMMIT:
        atomic_store(&cx->commit_epoch, a.epoch);
        c->config.wake_tasks(c->config.wake_opaque);
        break;
    case ACT_DONE:
        atomic_store(&cx->done_epoch, a.epoch);
        c->config.wake_tasks(c->config.wake_opaque);
        break;
    case ACT_ANSWER:
        if (c->config.answer != NULL) {
            c->config.answer(c->config.answer_opaque, a.ticket, a.epoch,
                             a.error != NULL ? c->error : NULL);
        }
        break;
    case ACT_FINISH:
        atomic_store(&cx->finish, true);
        c->config.wake_tasks(c->config.wake_opaque);
        break;
    case ACT_FAIL:
        context_fail(cx, c->error);
        break;
    }
    return true;
}

static void tell_lost(checkpointing *c) {
    pthread_mutex_lock(&c->lock);
    lost_waiting *first = c->lost;
    c->lost = NULL;
    pthread_mutex_unlock(&c->lock);
    while (first != NULL) {
        lost_waiting *next = first->next;
        lost_report(c->config.store, NULL, &first->piece);
        free(first);
        first = next;
    }
}

void *checkpointing_run(void *opaque) {
    checkpointing *c = opaque;
    while (!atomic_load(&c->ended) && !context_stopping(c->config.cx)) {
        int64_t next_ns = INT64_MAX;
        tell_lost(c);
        if (!turn(c, &next_ns)) wake_wait(&c->wake, next_ns);
    }
    tell_lost(c);
    return NULL;
}

/* ---- tasks ---- */

void checkpointing_ack(checkpointing *c, uint32_t task, uint64_t epoch, state_part *part,
                       weir_status status, const weir_error *err) {
    if (status != WEIR_OK) {
        log_write(WEIR_LOG_WARN, NULL, "checkpoint %llu: %s", (unsigned long long)epoch,
                  error_text(err));
    }
    pthread_mutex_lock(&c->lock);
    coordinator_ack(c->machine, task, epoch, part, status, err);
    pthread_mutex_unlock(&c->lock);
    wake_signal(&c->wake);
}

void checkpointing_committed(checkpointing *c, uint32_t task, uint64_t epoch) {
    pthread_mutex_lock(&c->lock);
    coordinator_committed(c->machine, task, epoch, clock_mono_ns(&clock_system));
    pthread_mutex_unlock(&c->lock);
    wake_signal(&c->wake);
}

void checkpointing_lost(checkpointing *c, const lost_piece *piece) {
    lost_waiting *w = calloc(1, sizeof *w);
    if (w == NULL) return; /* it is counted, and decides the exit status, all the same */
    w->piece = *piece;
    pthread_mutex_lock(&c->lock);
    w->next = c->lost;
    c->lost = w;
    pthread_mutex_unlock(&c->lock);
    wake_signal(&c->wake);
}

void checkpointing_source_ended(checkpointing *c, uint32_t task) {
    pthread_mutex_lock(&c->lock);
    coordinator_source_ended(c->machine, task);
    pthread_mutex_unlock(&c->lock);
    wake_signal(&c->wake);
}

/* ---- requests and status ---- */

void checkpointing_savepoint(checkpointing *c, weir_str name, uint64_t ticket) {
    pthread_mutex_lock(&c->lock);
    coordinator_savepoint(c->machine, name, ticket);
    pthread_mutex_unlock(&c->lock);
    wake_signal(&c->wake);
}

void checkpointing_stop(checkpointing *c, weir_str name, uint64_t ticket) {
    pthread_mutex_lock(&c->lock);
    free(c->stop_name);
    c->stop_name = malloc(name.len + 1);
    if (c->stop_name != NULL) {
        memcpy(c->stop_name, name.ptr, name.len);
        c->stop_name[name.len] = '\0';
    }
    c->stop_ticket = ticket;
    pthread_mutex_unlock(&c->lock);
}

uint32_t checkpointing_history(checkpointing *c, epoch_record out[COORDINATOR_HISTORY]) {
    pthread_mutex_lock(&c->lock);
    uint32_t n = coordinator_history(c->machine, out);
    pthread_mutex_unlock(&c->lock);
    return n;
}

uint64_t checkpointing_completed(checkpointing *c) {
    pthread_mutex_lock(&c->lock);
    uint64_t epoch = coordinator_completed(c->machine);
    pthread_mutex_unlock(&c->lock);
    return epoch;
}
