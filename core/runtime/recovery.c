#include "runtime/recovery.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "runtime/instance.h"
#include "runtime/lost.h"

#define OPEN_TIMEOUT_NS (60 * CLOCK_NS_PER_S)
/* One commit, or one recovery of orphans, before it is asked for again. */
#define STEP_TIMEOUT_NS (120 * CLOCK_NS_PER_S)
/* How late a signal may be seen while a plugin works. */
#define LOOK_NS (200 * CLOCK_NS_PER_MS)

bool recovery_new_run_id(char *out, size_t size) {
    uint8_t bytes[8];
    if (size < 2 * sizeof bytes + 1 || !os_random(bytes, sizeof bytes)) return false;
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * sizeof bytes] = '\0';
    return true;
}

bool recovery_good_run_id(weir_str id) {
    if (id.len != 16) return false;
    for (size_t i = 0; i < id.len; i++) {
        bool digit = id.ptr[i] >= '0' && id.ptr[i] <= '9';
        if (!digit && !(id.ptr[i] >= 'a' && id.ptr[i] <= 'f')) return false;
    }
    return true;
}

checkpoint *recovery_describe(const context *cx, const checkpoint *from, weir_error *err) {
    const pipeline *p = cx->plan->pipeline;
    checkpoint *c = checkpoint_new(CHECKPOINT_PERIODIC, 0);
    if (c != NULL) c->nodes = arena_array(c->memory, p->node_count + 1, sizeof *c->nodes);
    if (c == NULL || c->nodes == NULL) {
        checkpoint_free(c);
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    c->pipeline = arena_str(c->memory, p->name);
    c->instance_id = arena_str(c->memory, cx->run_id);
    c->weir_version = arena_str(c->memory, STR(WEIR_VERSION));
    c->max_parallelism = cx->max_parallelism;
    c->parent = from != NULL ? from->epoch : 0;
    c->node_count = (uint32_t)p->node_count;
    for (size_t i = 0; i < p->node_count; i++) {
        const node *n = p->nodes[i];
        const note *plugin = plugin_ref_note(component_plugin(n->component));
        state_node *to = &c->nodes[n->index];
        to->name = arena_str(c->memory, n->name);
        to->type = arena_str(c->memory, n->type);
        to->plugin_id = arena_str(c->memory, plugin->id);
        to->plugin_version = arena_str(c->memory, plugin->version);
        to->kind = n->kind;
        to->parallelism = n->parallelism;
        to->split_version = component_note(n->component)->splits.version;
        if (to->name.ptr == NULL || to->type.ptr == NULL || to->plugin_id.ptr == NULL ||
            to->plugin_version.ptr == NULL) {
            checkpoint_free(c);
            error_set(err, WEIR_E_NOMEM, 0, "out of memory");
            return NULL;
        }
    }
    return c;
}

/* ---- committers ---- */

typedef struct committer {
    instance *main; /* NULL = not open */
    weir_sink_two_phase two_phase;
    weir_sink_recover recover;
    /* What it was given to commit last: its own until it answered or is closed. */
    weir_blob *blobs;
    const weir_blob **list;
} committer;

typedef struct recovery {
    const recovery_config *config;
    committer *committers; /* by node index */
    wake wake;
    uint64_t token;
} recovery;

static const node *node_at(const recovery *r, uint32_t n) {
    const pipeline *p = r->config->cx->plan->pipeline;
    for (size_t i = 0; i < p->node_count; i++) {
        if (p->nodes[i]->index == n) return p->nodes[i];
    }
    return NULL;
}

static bool interrupted(const recovery *r) {
    return (r->config->interrupted != NULL &&
            r->config->interrupted(r->config->interrupted_opaque)) ||
           context_stopping(r->config->cx);
}

static weir_status cancelled(weir_error *err) {
    return error_set(err, WEIR_E_CANCELLED, WEIR_ERR_FATAL,
                     "stopped while what an earlier run prepared was being committed; the next run "
                     "goes on with it");
}

static weir_status open_committer(void *self, uint32_t n, const state_node *saved,
                                  weir_error *err) {
    recovery *r = self;
    context *cx = r->config->cx;
    const node *sink = node_at(r, n);
    uint32_t parallelism = saved != NULL ? saved->parallelism : sink->parallelism;
    committer *c = &r->committers[n];
    c->main = instance_new(cx, cx->home, sink->component, sink, &sink->options, &sink->format, 0,
                           parallelism, &r->wake, err);
    if (c->main == NULL) return error_status(err);
    weir_limits limits = {.struct_size = sizeof limits};
    weir_open args = {.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS,
                      .limits = &limits};
    weir_status status = instance_open(c->main, WEIR_ROLE_COMMITTER, &args, err);
    if (status != WEIR_OK) {
        instance_free(c->main);
        c->main = NULL;
        return status;
    }
    const weir_sink_ops *ops = &c->main->bound->ops.sink;
    loader_extension(ops->get_extension, c->main->self, WEIR_SINK_TWO_PHASE, &c->two_phase,
                     sizeof c->two_phase);
    loader_extension(ops->get_extension, c->main->self, WEIR_SINK_RECOVER, &c->recover,
                     sizeof c->recover);
    return WEIR_OK;
}

static void close_committer(void *self, uint32_t n) {
    recovery *r = self;
    committer *c = &r->committers[n];
    if (c->main == NULL) return;
    instance_close(c->main, WEIR_CLOSE_DRAIN, clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS, NULL);
    instance_free(c->main);
    free(c->blobs);
    free(c->list);
    *c = (committer){0};
}

/* The committer's share of the thread until its answer is here. */
static weir_status await(recovery *r, committer *c, uint64_t token, int64_t deadline_ns,
                         commit_answer **out, weir_error *err) {
    for (;;) {
        for (commit_answer *a; (a = instance_take_commit(c->main)) != NULL;) {
            if (a->token == token) {
                *out = a;
                return WEIR_OK;
            }
            commit_answer_free(a);
        }
        if (interrupted(r)) return cancelled(err);
        int64_t now = clock_mono_ns(&clock_system);
        if (now >= deadline_ns) {
            /* Not asked again: the first call may still be under way. */
            return error_set(err, WEIR_E_TIMEOUT, WEIR_ERR_FATAL, "%s: commit: no answer",
                             c->main->where);
        }
        int64_t until = now + LOOK_NS < deadline_ns ? now + LOOK_NS : deadline_ns;
        if (!c->main->bound->has_drive) {
            wake_wait(&r->wake, until);
            continue;
        }
        weir_drive args = {.struct_size = sizeof args, .deadline_ns = now, .error = err};
        weir_status status = c->main->bound->ops.sink.drive(c->main->self, &args);
        if (status < 0) return status;
        if (args.next_ns > 0 && args.next_ns < until) until = args.next_ns;
        wake_wait(&r->wake, until);
    }
}

static weir_status commit_items(void *self, uint32_t n, const state_committable *const *items,
                                uint32_t count, uint32_t *verdicts, weir_error *err) {
    recovery *r = self;
    committer *c = &r->committers[n];
    free(c->blobs);
    free(c->list);
    weir_blob *blobs = c->blobs = calloc(count + 1u, sizeof *blobs);
    const weir_blob **list = c->list = calloc(count + 1u, sizeof(weir_blob *));
    if (blobs == NULL || list == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a commit");
    }
    commit_answer *answer = NULL;
    for (uint32_t k = 0; k < count; k++) {
        blobs[k] = (weir_blob){.struct_size = sizeof(weir_blob),
                               .scope = WEIR_SCOPE_ITEM,
                               .state_version = items[k]->version,
                               .bytes = items[k]->bytes};
        list[k] = &blobs[k];
    }
    weir_commit args = {.struct_size = sizeof args,
                        .count = count,
                        .committables = list,
                        .token = ++r->token,
                        .deadline_ns = clock_mono_ns(&clock_system) + STEP_TIMEOUT_NS,
                        .error = err};
    weir_status status = c->two_phase.commit(c->main->self, &args);
    if (status == WEIR_OK) status = await(r, c, args.token, args.deadline_ns, &answer, err);
    WEIR_ASSERT(status != WEIR_OK || answer != NULL);
    if (status == WEIR_OK && answer->count != count) {
        if (answer->error != NULL) error_copy(err, answer->error);
        status = answer->error != NULL ? error_status(err)
                                       : error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                                                   "%s: %u verdicts for %u committables: a fault "
                                                   "of the plugin",
                                                   c->main->where, answer->count, count);
    }
    if (status == WEIR_OK) memcpy(verdicts, answer->verdicts, count * sizeof verdicts[0]);
    if (answer != NULL) commit_answer_free(answer);
    return status;
}

static weir_status recover_orphans(void *self, uint32_t n, const state_blob *const *kept,
                                   uint32_t count, weir_error *err) {
    recovery *r = self;
    committer *c = &r->committers[n];
    if (c->recover.recover == NULL) return WEIR_OK;
    weir_blob *blobs = calloc(count + 1u, sizeof *blobs);
    const weir_blob **list = calloc(count + 1u, sizeof(weir_blob *));
    weir_status status = WEIR_OK;
    if (blobs == NULL || list == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory for recovery");
        status = WEIR_E_NOMEM;
    }
    for (uint32_t k = 0; status == WEIR_OK && k < count; k++) {
        blobs[k] = (weir_blob){.struct_size = sizeof(weir_blob),
                               .scope = kept[k]->scope,
                               .state_version = kept[k]->version,
                               .bytes = kept[k]->bytes};
        list[k] = &blobs[k];
    }
    if (status == WEIR_OK) {
        weir_recover args = {.struct_size = sizeof args,
                             .retained_count = count,
                             .retained = list,
                             .deadline_ns = clock_mono_ns(&clock_system) + STEP_TIMEOUT_NS,
                             .error = err};
        status = c->recover.recover(c->main->self, &args);
        if (status == WEIR_OK && args.found > 0) {
            log_write(WEIR_LOG_INFO, c->main->component,
                      "%s: %llu unfinished pieces of an earlier run were removed", c->main->where,
                      (unsigned long long)args.aborted);
        } else if (status != WEIR_OK) {
            error_prefix(err, "%s: recover", c->main->where);
        }
    }
    free(blobs);
    free(list);
    return status;
}

static weir_status wait_between(void *self, int64_t ns, weir_error *err) {
    recovery *r = self;
    int64_t until = clock_mono_ns(&clock_system) + ns;
    while (!interrupted(r)) {
        int64_t now = clock_mono_ns(&clock_system);
        if (now >= until) return WEIR_OK;
        wake_wait(&r->wake, now + LOOK_NS < until ? now + LOOK_NS : until);
    }
    return cancelled(err);
}

static void tell_durable(void *self) {
    recovery *r = self;
    context_durable(r->config->cx);
}

static void tell_lost(void *self, uint32_t n, const state_committable *item) {
    recovery *r = self;
    count(r->config->cx->lost, 1);
    const lost_piece piece = {node_at(r, n)->name, item->instance, item->epoch, item->records};
    lost_report(r->config->store, r->config->from, &piece);
}

/* ---- what the manifest has ---- */

static weir_status describe_node(const context *cx, const state_node *like, const node *n,
                                 restore_node *out, weir_error *err) {
    const bound_component *bound;
    weir_status status = loader_bind(cx->plugins, n->component, &instance_host, &bound, err);
    if (status != WEIR_OK) return status;
    *out = (restore_node){.name = like->name,
                          .type = like->type,
                          .plugin_id = like->plugin_id,
                          .plugin_version = like->plugin_version,
                          .kind = like->kind,
                          .parallelism = like->parallelism,
                          .state_min = bound->note->state.reads_min,
                          .state_max = bound->note->state.reads_max,
                          .committable_min = bound->note->committables.reads_min,
                          .committable_max = bound->note->committables.reads_max,
                          .split_min = bound->note->splits.reads_min,
                          .split_max = bound->note->splits.reads_max};
    if (n->kind != WEIR_KIND_SINK) return WEIR_OK;
    /* Extensions are an instance's to give: one that is never opened is asked. */
    instance *probe = instance_new((context *)(uintptr_t)cx, cx->home, n->component, n, &n->options,
                                   &n->format, 0, n->parallelism, NULL, err);
    if (probe == NULL) return error_status(err);
    weir_sink_two_phase two_phase;
    weir_sink_recover recover;
    out->two_phase = loader_extension(bound->ops.sink.get_extension, probe->self,
                                      WEIR_SINK_TWO_PHASE, &two_phase, sizeof two_phase) == WEIR_OK;
    out->recovers = loader_extension(bound->ops.sink.get_extension, probe->self, WEIR_SINK_RECOVER,
                                     &recover, sizeof recover) == WEIR_OK;
    instance_free(probe);
    return WEIR_OK;
}

weir_status recovery_run(const recovery_config *config, checkpoint **out, weir_error *err) {
    const pipeline *p = config->cx->plan->pipeline;
    recovery r = {.config = config};
    wake_init(&r.wake);
    restore_node *nodes = calloc(p->node_count + 1, sizeof *nodes);
    r.committers = calloc(p->node_count + 1, sizeof *r.committers);
    weir_status status = WEIR_OK;
    if (nodes == NULL || r.committers == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        status = WEIR_E_NOMEM;
    }
    for (size_t i = 0; i < p->node_count && status == WEIR_OK; i++) {
        uint32_t at = p->nodes[i]->index;
        status = describe_node(config->cx, &config->like->nodes[at], p->nodes[i], &nodes[at], err);
    }
    const restore_ops ops = {.self = &r,
                             .open = open_committer,
                             .commit = commit_items,
                             .recover = recover_orphans,
                             .close = close_committer,
                             .wait = wait_between,
                             .durable = tell_durable,
                             .lost = tell_lost};
    const restore_config restore = {.store = config->store,
                                    .from = config->from,
                                    .nodes = nodes,
                                    .node_count = (uint32_t)p->node_count,
                                    .pipeline = p->name,
                                    .instance_id = config->cx->run_id,
                                    .weir_version = STR(WEIR_VERSION),
                                    .max_parallelism = p->settings.max_parallelism,
                                    .allow_non_restored = config->cx->allow_non_restored,
                                    .fork = config->fork,
                                    .now_us = clock_wall_us(&clock_system),
                                    .ops = &ops};
    if (status == WEIR_OK) status = restore_run(&restore, out, err);
    for (uint32_t n = 0; r.committers != NULL && n < p->node_count; n++) close_committer(&r, n);
    free(r.committers);
    free(nodes);
    return status;
}
