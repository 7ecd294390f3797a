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
    for (commit_answer *a; (a = instance_take_commit(i)) != NULL;) commit_answer_free(a);
    error_free(i->flush_error);
    error_free(i->error);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

/* ---- restored state ---- */

typedef struct restored_blobs {
    weir_blob *blobs;
    const weir_blob **list;
    uint32_t count;
} restored_blobs;

/* What goes to this instance: an item to exactly one, the rest to all; a split's blob is looked up
 * by whoever the split is assigned to. */
static weir_status restored_blobs_fill(const instance *i, restored_blobs *out) {
    const state_node *saved = context_restored(i->cx, i->node);
    *out = (restored_blobs){0};
    if (saved == NULL || saved->blob_count == 0) return WEIR_OK;
    out->blobs = calloc(saved->blob_count, sizeof *out->blobs);
    out->list = calloc(saved->blob_count, sizeof(weir_blob *));
    if (out->blobs == NULL || out->list == NULL) return WEIR_E_NOMEM;
    uint32_t item = 0;
    for (uint32_t b = 0; b < saved->blob_count; b++) {
        const state_blob *from = &saved->blobs[b];
        if (from->scope == STATE_SCOPE_KEY_GROUP) continue; /* keyed.c has taken it */
        if (from->scope == WEIR_SCOPE_ITEM && item++ % i->parallelism != i->index) continue;
        out->blobs[out->count] = (weir_blob){.struct_size = sizeof(weir_blob),
                                             .scope = from->scope,
                                             .state_version = from->version,
                                             .split = from->split,
                                             .bytes = from->bytes};
        out->list[out->count] = &out->blobs[out->count];
        out->count++;
    }
    return WEIR_OK;
}

weir_status instance_open(instance *i, uint32_t role, weir_open *args, weir_error *err) {
    restored_blobs restored;
    if (restored_blobs_fill(i, &restored) != WEIR_OK) {
        free(restored.blobs);
        free(restored.list);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for restored state");
    }
    args->blobs = restored.list;
    args->blob_count = restored.count;
    /* A source that never listed its splits starts afresh, whatever else was restored. */
    const state_node *saved = context_restored(i->cx, i->node);
    bool afresh = saved == NULL || (saved->kind == WEIR_KIND_SOURCE && saved->split_count == 0);
    args->restored_epoch = afresh ? 0 : i->cx->restored->epoch;
    args->attempt = i->cx->attempt;
    args->run_id = i->cx->run_id;
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
    case WEIR_KIND_REFERENCE:
        status = i->bound->ops.reference.open(i->self, args);
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
    free(restored.blobs);
    free(restored.list);
    return status;
}

weir_status instance_snapshot(instance *i, uint64_t epoch, state_part *part, weir_error *err) {
    weir_writer writer = {
        .part = part, .instance = i->index, .version = i->bound->note->state.version};
    weir_snapshot args = {
        .struct_size = sizeof args, .epoch = epoch, .writer = &writer, .error = err};
    weir_status status = WEIR_OK;
    switch (i->bound->note->kind) {
    case WEIR_KIND_SOURCE:
        if (i->bound->has_snapshot) status = i->bound->ops.source.snapshot(i->self, &args);
        break;
    case WEIR_KIND_TRANSFORM:
        if (i->bound->has_snapshot) status = i->bound->ops.transform.snapshot(i->self, &args);
        break;
    case WEIR_KIND_SINK: {
        weir_sink_state table;
        if (loader_extension(i->bound->ops.sink.get_extension, i->self, WEIR_SINK_STATE, &table,
                             sizeof table) == WEIR_OK &&
            table.snapshot != NULL) {
            status = table.snapshot(i->self, &args);
        }
        break;
    }
    default:
        break;
    }
    if (status != WEIR_OK) error_prefix(err, "%s: snapshot", i->where);
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
    case WEIR_KIND_REFERENCE:
        status = i->bound->ops.reference.close(i->self, &args);
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
    case WEIR_KIND_REFERENCE:
        i->bound->ops.reference.cancel(i->self);
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

commit_answer *instance_take_commit(instance *i) {
    pthread_mutex_lock(&i->lock);
    commit_answer *a = i->commits_first;
    if (a != NULL) {
        i->commits_first = a->next;
        if (i->commits_first == NULL) i->commits_last = NULL;
    }
    pthread_mutex_unlock(&i->lock);
    return a;
}

void commit_answer_free(commit_answer *a) {
    error_free(a->error);
    free(a);
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
