#include "runtime/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"

instance *instance_new(context *cx, batch_home *home, const component_ref *component, const node *n,
                       const options *opts, const format_spec *format, uint32_t index,
                       uint32_t parallelism, wake *waker, weir_error *err) {
    instance *i = calloc(1, sizeof *i);
    if (i == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    const note_component *described = component_note(component);
    i->head.abi.struct_size = sizeof(weir_ctx);
    i->head.abi.host = &instance_host;
    i->head.home = home;
    i->cx = cx;
    i->node = n;
    i->options = opts;
    i->format = format;
    i->index = index;
    i->parallelism = parallelism;
    i->wake = waker;
    snprintf(i->component, sizeof i->component, "%.*s", STR_FMT(described->name));
    snprintf(i->where, sizeof i->where, "%.*s/%s[%u]", STR_FMT(n->name), i->component, index);
    pthread_mutex_init(&i->lock, NULL);
    uint64_t seed;
    if (!os_random(&seed, sizeof seed)) seed = (uint64_t)(uintptr_t)i;
    atomic_init(&i->random, seed);
    i->error = error_new();
    if (i->error == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        goto failed;
    }

    registry *plugins = cx->plugins;
    if (loader_bind(plugins, component, &instance_host, &i->bound, err) != WEIR_OK) goto failed;
    weir_create args = {.struct_size = sizeof args, .ctx = &i->head.abi, .error = err};
    /* The tables of all kinds begin alike: size, create, destroy. */
    weir_status status = i->bound->ops.source.create(&args);
    if (status != WEIR_OK) {
        error_prefix(err, "%s: create", i->where);
        goto failed;
    }
    i->self = args.self;
    return i;

failed:
    error_free(i->error);
    pthread_mutex_destroy(&i->lock);
    free(i);
    return NULL;
}

void instance_free(instance *i) {
    if (i == NULL) return;
    i->bound->ops.source.destroy(i->self);
    for (completion *c = instance_take_completions(i); c != NULL;) {
        completion *next = c->next;
        completion_free(c);
        c = next;
    }
    error_free(i->flush_error);
    error_free(i->error);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

weir_status instance_open(instance *i, uint32_t role, weir_open *args, weir_error *err) {
    args->struct_size = sizeof *args;
    args->role = role;
    args->pipeline = i->cx->plan->pipeline->name;
    args->node = i->node->name;
    args->instance = i->index;
    args->parallelism = i->parallelism;
    args->error = err;
    weir_status status;
    switch (i->bound->note->kind) {
    case WEIR_KIND_SOURCE:
        status = i->bound->ops.source.open(i->self, args);
        break;
    case WEIR_KIND_SINK:
        status = i->bound->ops.sink.open(i->self, args);
        break;
    case WEIR_KIND_SERDE:
        status = i->bound->ops.serde.open(i->self, args);
        break;
    default:
        status = i->bound->ops.transform.open(i->self, args);
        break;
    }
    if (status == WEIR_OK) {
        i->opened = true;
    } else {
        error_prefix(err, "%s", i->where);
    }
    return status;
}

weir_status instance_close(instance *i, uint32_t mode, int64_t deadline_ns, weir_error *err) {
    if (!i->opened) return WEIR_OK;
    i->opened = false;
    weir_close args = {sizeof args, mode, deadline_ns, err};
    weir_status status;
    switch (i->bound->note->kind) {
    case WEIR_KIND_SOURCE:
        status = i->bound->ops.source.close(i->self, &args);
        break;
    case WEIR_KIND_SINK:
        status = i->bound->ops.sink.close(i->self, &args);
        break;
    case WEIR_KIND_SERDE:
        status = i->bound->ops.serde.close(i->self, &args);
        break;
    default:
        status = i->bound->ops.transform.close(i->self, &args);
        break;
    }
    if (status != WEIR_OK) error_prefix(err, "%s: close", i->where);
    return status;
}

void instance_cancel(instance *i) {
    switch (i->bound->note->kind) {
    case WEIR_KIND_SOURCE:
        i->bound->ops.source.cancel(i->self);
        break;
    case WEIR_KIND_SINK:
        i->bound->ops.sink.cancel(i->self);
        break;
    case WEIR_KIND_SERDE:
        i->bound->ops.serde.cancel(i->self);
        break;
    default:
        i->bound->ops.transform.cancel(i->self);
        break;
    }
}

void instance_wakeup(instance *i) {
    if (!i->bound->has_wakeup) return;
    if (i->bound->note->kind == WEIR_KIND_SOURCE) i->bound->ops.source.wakeup(i->self);
    if (i->bound->note->kind == WEIR_KIND_SINK) i->bound->ops.sink.wakeup(i->self);
}

weir_status instance_validate(const bound_component *bound, const node *n, const options *opts,
                              const format_spec *format, weir_error *err) {
    if (!bound->has_validate) return WEIR_OK;
    instance probe;
    memset(&probe, 0, sizeof probe);
    probe.head.abi.struct_size = sizeof(weir_ctx);
    probe.head.abi.host = &instance_host;
    probe.bound = bound;
    probe.node = n;
    probe.options = opts;
    probe.format = format;
    snprintf(probe.component, sizeof probe.component, "%.*s", STR_FMT(bound->note->name));
    snprintf(probe.where, sizeof probe.where, "%.*s/%s", STR_FMT(n->name), probe.component);
    weir_validate args = {.struct_size = sizeof args, .ctx = &probe.head.abi, .error = err};
    return bound->component->validate(&args);
}

completion *instance_take_completions(instance *i) {
    pthread_mutex_lock(&i->lock);
    completion *first = i->inbox_first;
    i->inbox_first = i->inbox_last = NULL;
    pthread_mutex_unlock(&i->lock);
    return first;
}

void completion_free(completion *c) {
    for (uint32_t e = 0; e < c->error_count; e++) error_free(c->errors[e]);
    error_free(c->error);
    free(c);
}

bool instance_flush_done(instance *i, uint64_t epoch, weir_status *status, weir_error *err) {
    pthread_mutex_lock(&i->lock);
    bool done = i->flush_epoch >= epoch;
    if (done) {
        *status = i->flush_status;
        if (i->flush_error != NULL) error_copy(err, i->flush_error);
    }
    pthread_mutex_unlock(&i->lock);
    return done;
}
