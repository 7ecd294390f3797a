#include "runtime/live_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "runtime/guarded.h"
#include "runtime/instance.h"
#include "runtime/redact.h"

/* Components keep their deadline themselves; one that does not is cancelled so much later. */
#define GRACE_NS CLOCK_NS_PER_S
#define CLOSE_NS CLOCK_NS_PER_S
#define LINE_BYTES_MAX (64 * KIB)

/* One component under test. Left behind if it never comes back: then nothing it says counts. */
typedef struct trial {
    weir_check_live args; /* first: the plugin holds it */
    const live_check_config *config;
    instance *main;
    weir_component_check table;
    live_finding about; /* what all of its findings have in common */
    pthread_mutex_t lock;
    bool over; /* nobody listens any more */
    size_t findings, failures;
    bool broken_off; /* it returned because it was cancelled */
} trial;

static void tell(trial *t, weir_status status, weir_str text, const weir_error *error) {
    live_finding finding = t->about;
    finding.status = status;
    finding.text = text;
    finding.error = status < 0 ? error : NULL;
    pthread_mutex_lock(&t->lock);
    t->findings++;
    t->failures += status < 0;
    if (!t->over) t->config->found(t->config->opaque, &finding);
    pthread_mutex_unlock(&t->lock);
}

/* weir_check_live.report. */
static void report(weir_check_live *args, weir_status status, weir_str text) {
    trial *t = (trial *)(void *)args;
    buf scratch;
    buf_init(&scratch, LINE_BYTES_MAX);
    if (text.len == 0) text = str_of(status < 0 ? error_text(args->error) : "ok");
    tell(t, status, redact(text, &scratch), args->error);
    buf_free(&scratch);
    error_clear(args->error);
}

/* Whoever hears it knows whose it is. */
static const char *without_place(const trial *t, const char *text) {
    size_t n = strlen(t->main->where);
    bool placed = strncmp(text, t->main->where, n) == 0 && text[n] == ':' && text[n + 1] == ' ';
    return placed ? text + n + 2 : text;
}

static void try_it(void *opaque) {
    trial *t = opaque;
    weir_error *err = t->args.error;
    weir_open open = {.deadline_ns = t->args.deadline_ns};
    weir_status status = instance_open(t->main, WEIR_ROLE_CONTROL, &open, err);
    if (status == WEIR_OK) status = t->table.check(t->main->self, &t->args);
    t->broken_off = status == WEIR_E_CANCELLED;
    if (status < 0 && !t->broken_off && t->failures == 0) {
        tell(t, status, str_of(without_place(t, error_text(err))), err);
    } else if (status >= 0 && t->findings == 0) {
        tell(t, WEIR_OK, STR("ok"), NULL);
    }
}

static void stop_trying(void *opaque) {
    trial *t = opaque;
    instance_cancel(t->main);
}

/* What the end of the call adds to what the component itself has said. */
static weir_status conclude(trial *t, guarded_end how, weir_error *err) {
    error_clear(err);
    switch (how) {
    case GUARDED_INTERRUPTED:
        return WEIR_E_CANCELLED;
    case GUARDED_LATE:
    case GUARDED_LOST:
        if (how == GUARDED_LATE && !t->broken_off) break; /* it has said so itself */
        error_set(err, WEIR_E_TIMEOUT, 0, "no end within %lld ms%s",
                  (long long)(t->config->timeout_ns / CLOCK_NS_PER_MS),
                  how == GUARDED_LOST ? ", and it does not react when it is cancelled" : "");
        error_hint(err, "--timeout allows more");
        tell(t, WEIR_E_TIMEOUT, str_of(error_text(err)), err);
        break;
    case GUARDED_NO_THREAD:
        error_set(err, WEIR_E_IO, 0, "cannot start a thread");
        tell(t, WEIR_E_IO, str_of(error_text(err)), err);
        break;
    case GUARDED_DONE:
        break;
    }
    return WEIR_OK;
}

static void trial_free(trial *t) {
    if (t == NULL) return;
    if (t->main != NULL) {
        instance_close(t->main, WEIR_CLOSE_ABANDON, clock_mono_ns(&clock_system) + CLOSE_NS, NULL);
        instance_free(t->main);
    }
    error_free(t->args.error);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static const void *(*extension_of(const instance *i))(void *, const char *) {
    switch (i->bound->note->kind) {
    case WEIR_KIND_SOURCE:
        return i->bound->ops.source.get_extension;
    case WEIR_KIND_SINK:
        return i->bound->ops.sink.get_extension;
    case WEIR_KIND_SERDE:
        return i->bound->ops.serde.get_extension;
    default:
        return i->bound->ops.transform.get_extension;
    }
}

static weir_status try_component(const live_check_config *config, context *cx, const node *n,
                                 bool format, bool *lost, weir_error *err) {
    const component_ref *component = format ? n->format.serde : n->component;
    trial *t = calloc(1, sizeof *t);
    weir_error *own = error_new();
    if (t == NULL || own == NULL) {
        free(t);
        error_free(own);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    pthread_mutex_init(&t->lock, NULL);
    t->config = config;
    t->about =
        (live_finding){.node = n, .format = format, .component = component_note(component)->name};
    t->args = (weir_check_live){.struct_size = sizeof t->args,
                                .deadline_ns = clock_mono_ns(&clock_system) + config->timeout_ns,
                                .report = report,
                                .error = own};
    weir_status status = WEIR_OK;
    t->main = instance_new(cx, cx->home, component, n, format ? &n->format.options : &n->options,
                           &n->format, 0, 1, NULL, own);
    if (t->main == NULL) {
        tell(t, error_status(own), str_of(error_text(own)), own);
    } else if (loader_extension(extension_of(t->main), t->main->self, WEIR_COMPONENT_CHECK,
                                &t->table, sizeof t->table) != WEIR_OK ||
               t->table.check == NULL) {
        t->about.nothing = true;
        tell(t, WEIR_OK, STR("nothing to try"), NULL);
    } else {
        const guarded_call call = {.call = try_it,
                                   .cancel = stop_trying,
                                   .opaque = t,
                                   .deadline_ns = t->args.deadline_ns + GRACE_NS,
                                   .interrupted = config->interrupted,
                                   .interrupted_opaque = config->opaque,
                                   .name = "check"};
        guarded_end how = guarded_run(&call);
        status = conclude(t, how, err);
        if (how == GUARDED_LOST) {
            pthread_mutex_lock(&t->lock);
            t->over = true;
            pthread_mutex_unlock(&t->lock);
            *lost = true;
            return status;
        }
    }
    trial_free(t);
    return status;
}

static void no_room(void *opaque) {
    (void)opaque;
}

weir_status live_check(const live_check_config *config, bool *left_behind, weir_error *err) {
    context *cx = calloc(1, sizeof *cx);
    *left_behind = false;
    if (cx == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    weir_status status = context_init(cx, config->plan, config->plugins, true, no_room, NULL, err);
    const pipeline *p = config->plan->pipeline;
    for (size_t i = 0; i < p->node_count && status == WEIR_OK; i++) {
        status = try_component(config, cx, p->nodes[i], false, left_behind, err);
        if (status != WEIR_OK || p->nodes[i]->format.serde == NULL) continue;
        status = try_component(config, cx, p->nodes[i], true, left_behind, err);
    }
    if (*left_behind) return status; /* its thread still uses it */
    context_destroy(cx);
    free(cx);
    return status;
}
