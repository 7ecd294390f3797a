#include "runtime/source_control.h"

#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/backoff.h"
#include "runtime/context.h"

/* One enumeration or discovery: ten thousand shards come in ten pages. */
#define ENUMERATE_TIMEOUT_NS (60 * CLOCK_NS_PER_S)

weir_status source_control_init(source_control *c, context *cx, const node *n, splits *s,
                                weir_error *err) {
    c->cx = cx;
    c->node = n;
    c->splits = s;
    wake_init(&c->wake);
    c->trouble = error_new();
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->free, &monotonic);
    pthread_condattr_destroy(&monotonic);
    c->main =
        instance_new(cx, cx->home, n->component, n, &n->options, &n->format, 0, 1, &c->wake, err);
    return c->main != NULL ? WEIR_OK : error_status(err);
}

void source_control_destroy(source_control *c) {
    instance_free(c->main);
    error_free(c->trouble);
    pthread_cond_destroy(&c->free);
    pthread_mutex_destroy(&c->lock);
}

/* Waits until no other call into the instance is under way, with `open` until it was opened too;
 * false if that takes too long. */
static bool await_call(source_control *c, bool open, int64_t deadline_ns) {
    int64_t s = deadline_ns / CLOCK_NS_PER_S;
    const struct timespec until = {.tv_sec = (time_t)s,
                                   .tv_nsec = (long)(deadline_ns % CLOCK_NS_PER_S)};
    pthread_mutex_lock(&c->lock);
    int rc = 0;
    while ((c->busy || (open && !c->open_tried)) && rc == 0) {
        rc = pthread_cond_timedwait(&c->free, &c->lock, &until);
    }
    bool ours = !c->busy && (!open || c->open_tried);
    if (ours) c->busy = true;
    pthread_mutex_unlock(&c->lock);
    return ours;
}

static bool begin_call(source_control *c, int64_t deadline_ns) {
    return await_call(c, false, deadline_ns);
}

static void end_call(source_control *c) {
    pthread_mutex_lock(&c->lock);
    c->busy = false;
    pthread_cond_broadcast(&c->free); /* they wait for different things */
    pthread_mutex_unlock(&c->lock);
}

weir_status source_control_capture(source_control *c, uint64_t epoch, state_part *part,
                                   int64_t deadline_ns, weir_error *err) {
    /* Before the instance's own state: a split that it finds in between is found again. */
    weir_status status = splits_capture(c->splits, epoch, part);
    if (status != WEIR_OK) return error_set(err, status, 0, "cannot capture the splits");
    if (!c->main->bound->has_snapshot) return WEIR_OK;
    /* Splits that were restored need what was restored with them, and that is in the instance only
     * once it is open. */
    bool restored = context_restored(c->cx, c->node) != NULL;
    if (!await_call(c, restored, deadline_ns)) {
        return error_set(err, WEIR_E_TIMEOUT, 0, "%s: still listing splits", c->main->where);
    }
    if (restored && !c->main->opened) {
        end_call(c);
        return error_set(err, WEIR_E_INVALID_STATE, 0, "%s: it could not be opened",
                         c->main->where);
    }
    status = c->main->opened ? instance_snapshot(c->main, epoch, part, err) : WEIR_OK;
    end_call(c);
    return status;
}

/* The call itself; the instance is open and nobody else is in it. */
static weir_status tell_position(const source_control *c, weir_str position, char *out, size_t size,
                                 weir_error *err) {
    weir_source_position table;
    weir_status status = loader_extension(c->main->bound->ops.source.get_extension, c->main->self,
                                          WEIR_SOURCE_POSITION, &table, sizeof table);
    if (status != WEIR_OK || table.to_text == NULL) return WEIR_E_UNSUPPORTED;
    weir_position_text args = {.struct_size = sizeof args,
                               .position = position,
                               .buffer = out,
                               .buffer_size = size - 1,
                               .error = err};
    status = table.to_text(c->main->self, &args);
    if (status != WEIR_OK) return status == WEIR_E_UNSUPPORTED ? WEIR_E_DATA : status;
    if (args.text.ptr == NULL || args.text.len == 0 || args.text.len >= size) return WEIR_E_DATA;
    memmove(out, args.text.ptr, args.text.len);
    out[args.text.len] = '\0';
    return WEIR_OK;
}

weir_status source_control_position(source_control *c, weir_str position, char *out, size_t size,
                                    int64_t deadline_ns) {
    if (!begin_call(c, deadline_ns)) return WEIR_E_TIMEOUT;
    weir_error *err = error_new();
    /* Open or not: it may not have come to that yet. */
    weir_status status = err == NULL ? WEIR_E_NOMEM : tell_position(c, position, out, size, err);
    error_free(err);
    end_call(c);
    return status;
}

void source_control_cancel(source_control *c) {
    atomic_store(&c->cancelled, true);
    if (c->main != NULL) instance_cancel(c->main);
    wake_signal(&c->wake);
}

/* A restored split that is not finished and no longer exists: what it still held cannot be read. */
static weir_status check_missing(source_control *c, const weir_split_list *list, weir_error *err) {
    weir_str id, position;
    bool give_up = c->cx->allow_non_restored;
    if (!splits_missing(c->splits, list, give_up, &id, &position)) return WEIR_OK;
    if (give_up) {
        log_write(
            WEIR_LOG_WARN, c->main->component,
            "%.*s: splits of the checkpoint no longer exist, among them %.*s; what they still "
            "held is given up",
            STR_FMT(c->node->name), STR_FMT(id));
        return WEIR_OK;
    }
    error_set(err, WEIR_E_NOT_FOUND, WEIR_ERR_FATAL | WEIR_ERR_CONFIG,
              "%.*s: split %.*s was not read to its end and no longer exists",
              STR_FMT(c->node->name), STR_FMT(id));
    error_hint(err, "bring it back, or give up what it still held with "
                    "--allow-non-restored-state");
    return WEIR_E_NOT_FOUND;
}

/* One call of enumerate or discover, its splits taken into the table. */
static weir_status look(source_control *c, weir_status (*call)(void *, weir_enumerate *),
                        bool may_discover, int64_t *next_ns, weir_error *err) {
    weir_split_list *list = split_list_new();
    if (list == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    weir_enumerate args = {.struct_size = sizeof args,
                           .list = list,
                           .deadline_ns = clock_mono_ns(&clock_system) + ENUMERATE_TIMEOUT_NS,
                           .error = err};
    begin_call(c, INT64_MAX);
    weir_status status = call(c->main->self, &args);
    end_call(c);
    if (status == WEIR_OK && !atomic_load(&c->enumerated)) status = check_missing(c, list, err);
    if (status == WEIR_OK) {
        uint32_t added;
        bool complete = !may_discover || args.next_ns == 0;
        status = splits_update(c->splits, list, complete, &added, err);
        if (added > 0) {
            log_write(WEIR_LOG_DEBUG, c->main->component, "%.*s: %u new splits",
                      STR_FMT(c->node->name), added);
        }
        *next_ns = complete ? 0 : args.next_ns;
    }
    split_list_free(list);
    return status;
}

/* A source without the splits extension has one split, named "0". */
static weir_status single_split(source_control *c, weir_error *err) {
    weir_split_list *list = split_list_new();
    if (list == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    weir_split split = {.struct_size = sizeof split, .id = STR("0")};
    uint32_t added;
    weir_status status = split_list_add(list, &split);
    if (status == WEIR_OK) status = splits_update(c->splits, list, true, &added, err);
    split_list_free(list);
    return status;
}

/* Waits, so long as nobody ends the pipeline. */
static void rest(source_control *c, int64_t until_ns) {
    while (!context_stopping(c->cx) && !context_draining(c->cx) &&
           clock_mono_ns(&clock_system) < until_ns) {
        wake_wait(&c->wake, until_ns);
    }
}

static weir_status control_loop(source_control *c, weir_error *err) {
    const pipeline *p = c->cx->plan->pipeline;
    int64_t start_by = clock_mono_ns(&clock_system) + p->settings.start_timeout_ns;
    weir_open open = {.deadline_ns = start_by};
    begin_call(c, INT64_MAX);
    weir_status status = instance_open(c->main, WEIR_ROLE_CONTROL, &open, err);
    pthread_mutex_lock(&c->lock);
    c->open_tried = true;
    pthread_mutex_unlock(&c->lock);
    end_call(c);
    if (status != WEIR_OK) return status;
    weir_source_splits table;
    status = loader_extension(c->main->bound->ops.source.get_extension, c->main->self,
                              WEIR_SOURCE_SPLITS, &table, sizeof table);
    if (status != WEIR_OK) {
        status = single_split(c, err);
        atomic_store(&c->enumerated, true);
        return status;
    }
    if (table.enumerate == NULL) {
        return error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_FATAL,
                         "%s: " WEIR_SOURCE_SPLITS " has no enumerate: a fault of the plugin",
                         c->main->where);
    }
    bool discovers = table.discover != NULL && !c->cx->once;
    const retry_spec *retry = &c->node->retry;
    int64_t next_ns = 0;
    uint32_t failures = 0;
    while (!context_stopping(c->cx) && !context_draining(c->cx)) {
        bool first = !atomic_load(&c->enumerated);
        WEIR_ASSERT(first || discovers); /* without discovery the first look is the only one */
        status = look(c, first ? table.enumerate : table.discover, discovers, &next_ns, err);
        if (context_stopping(c->cx)) return WEIR_OK;
        if (status == WEIR_E_CANCELLED) {
            /* What went wrong before says more than that somebody lost patience. */
            if (failures > 0) error_copy(err, c->trouble);
            return first ? status : WEIR_OK;
        }
        if (status == WEIR_OK) {
            atomic_store(&c->enumerated, true);
            wake_signal(&c->cx->control);
            failures = 0;
            if (next_ns == 0) return WEIR_OK;
            rest(c, next_ns);
            continue;
        }
        int64_t wait_ns = backoff_ns(retry, ++failures, context_template_env());
        bool late = first && clock_mono_ns(&clock_system) + wait_ns > start_by;
        if (!backoff_may_pass(status, err) || late || failures >= retry->attempts) {
            error_prefix(err, "%s: cannot list splits", c->main->where);
            return status;
        }
        log_write(WEIR_LOG_WARN, c->main->component,
                  "%s: cannot list splits: %s; trying again in %lld ms", c->main->where,
                  error_text(err), (long long)(wait_ns / CLOCK_NS_PER_MS));
        error_copy(c->trouble, err);
        rest(c, clock_mono_ns(&clock_system) + wait_ns);
    }
    return atomic_load(&c->enumerated) || failures == 0 ? WEIR_OK : error_status(err);
}

void *source_control_run(void *control) {
    source_control *c = control;
    weir_error *err = error_new();
    weir_status status = control_loop(c, err);
    bool cancelled = atomic_load(&c->cancelled);
    if (status != WEIR_OK && !context_stopping(c->cx)) {
        if (!atomic_load(&c->enumerated) && (cancelled || context_draining(c->cx))) {
            /* Nothing was ever read, and that is a failure, but one that can wait until the others
             * have delivered what they read. */
            error_copy(c->trouble, err);
            error_prefix(c->trouble, "%s: ended before its splits could be listed", c->main->where);
            c->unreached = true;
        } else if (!cancelled) {
            /* Cancelled, whatever it was doing ends with some error: that of a drained pipeline is
             * none. */
            context_fail(c->cx, err);
        }
    }
    error_free(err);
    atomic_store(&c->ended, true);
    wake_signal(&c->cx->control);
    /* Every checkpoint has the instance's private state, that of the end above all: it stays open
     * until the last one is taken, although it lists no more splits. */
    while (!atomic_load(&c->cancelled)) wake_wait(&c->wake, INT64_MAX);
    begin_call(c, INT64_MAX);
    instance_close(c->main, WEIR_CLOSE_ABANDON, 0, NULL);
    end_call(c);
    return NULL;
}
