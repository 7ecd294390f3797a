#include "checkpoint/restore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "checkpoint/mutation.h"
#include "weir/sink.h"

/* Between tries of whatever may succeed later. */
#define PAUSE_BASE_NS INT64_C(100000000)
#define PAUSE_MAX_NS INT64_C(10000000000)

/* What retained checkpoints say of one node. */
typedef struct kept {
    state_blob **blobs; /* that they refer to; in the run's arena, as everything they point to */
    uint32_t count, cap;
    uint32_t parallelism; /* the highest: a run behind the savepoint may have had more tasks */
} kept;

typedef struct run {
    const restore_config *config;
    const restore_ops *ops;
    weir_error *err;
    arena *memory;
    bool *open; /* by node of the manifest */
    kept *kept;
    checkpoint *out;
} run;

static weir_status start_fresh(run *r);
static weir_status start_from(run *r);
static weir_status match(const run *r);
static weir_status open_nodes(run *r);
static weir_status commit_nodes(run *r);
static weir_status build(run *r, bool committables);
static weir_status write_out(run *r);
static weir_status gather(run *r);
static weir_status recover_nodes(run *r);

weir_status restore_run(const restore_config *config, checkpoint **out, weir_error *err) {
    *out = NULL;
    run r = {.config = config, .ops = config->ops, .err = err};
    r.memory = arena_new(CHECKPOINT_BYTES_MAX);
    r.open = mem_array(config->node_count, sizeof *r.open);
    r.kept = mem_array(config->node_count, sizeof *r.kept);
    weir_status status = WEIR_OK;
    if (r.memory == NULL || r.open == NULL || r.kept == NULL) {
        status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    } else {
        status = config->from == NULL ? start_fresh(&r) : start_from(&r);
    }
    for (uint32_t n = 0; r.open != NULL && n < config->node_count; n++) {
        if (r.open[n]) r.ops->close(r.ops->self, n);
    }
    for (uint32_t n = 0; r.kept != NULL && n < config->node_count; n++) mem_free(r.kept[n].blobs);
    mem_free(r.kept);
    mem_free(r.open);
    arena_free(r.memory);
    if (status == WEIR_OK) {
        *out = r.out;
    } else {
        checkpoint_free(r.out);
    }
    return status;
}

/* Nothing to commit, nothing left open: only the instance id has to be durable before anything is
 * written under it, or a crash would leave what nobody can tell from somebody else's. */
static weir_status start_fresh(run *r) {
    const restore_config *config = r->config;
    bool external = false;
    for (uint32_t n = 0; n < config->node_count; n++) external |= config->nodes[n].two_phase;
    weir_status status = build(r, false);
    if (status != WEIR_OK || !external || config->store == NULL) return status;
    r->out->epoch = store_next_epoch(config->store);
    return write_out(r);
}

static weir_status start_from(run *r) {
    weir_status status = match(r);
    if (status == WEIR_OK) status = store_sync(r->config->store, r->config->from, r->err);
    if (status == WEIR_OK) status = gather(r);
    if (status == WEIR_OK) status = open_nodes(r);
    if (status == WEIR_OK && MUTATED(recover_before_commit)) status = recover_nodes(r);
    if (status == WEIR_OK && !MUTATED(no_commit_at_restore)) status = commit_nodes(r);
    if (status == WEIR_OK && MUTATED(recover_before_durable)) status = recover_nodes(r);
    if (status == WEIR_OK) status = build(r, MUTATED(restore_keeps_committables));
    if (status != WEIR_OK) return status;
    store_saw_epoch(r->config->store, r->config->from->epoch);
    r->out->parent = r->config->from->epoch;
    r->out->epoch = store_next_epoch(r->config->store);
    if (MUTATED(restore_epoch_reused)) r->out->epoch = r->config->from->epoch + 1;
    if (!MUTATED(writers_before_restore_checkpoint)) status = write_out(r);
    if (status == WEIR_OK) status = recover_nodes(r);
    return status;
}

/* ---- match ---- */

static bool has_state(const state_node *n) {
    return n->split_count > 0 || n->blob_count > 0 || n->committable_count > 0;
}

/* What does not fit, one after another. */
typedef struct misfits {
    buf text;
    uint32_t count;
} misfits;

static void misfit(misfits *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void misfit(misfits *m, const char *format, ...) {
    if (m->count++ > 0) buf_append_z(&m->text, "; ");
    va_list args;
    va_start(args, format);
    buf_vprintf(&m->text, format, args);
    va_end(args);
}

static void match_gone(const run *r, const state_node *saved, misfits *m) {
    if (saved->committable_count > 0 && !MUTATED(left_node_dropped)) {
        misfit(m,
               "node \"%.*s\" (%.*s) is not in the manifest, but output that it prepared (%" PRIu32
               " pieces) is not committed yet: put the node back and run once; "
               "--allow-non-restored-state does not drop output",
               STR_FMT(saved->name), STR_FMT(saved->type), saved->committable_count);
    } else if (has_state(saved) && !r->config->allow_non_restored) {
        misfit(m,
               "node \"%.*s\" (%.*s) is not in the manifest: put it back, or drop its state with "
               "--allow-non-restored-state",
               STR_FMT(saved->name), STR_FMT(saved->type));
    }
}

static void match_version(const restore_node *node, const char *what, uint32_t found, uint32_t min,
                          uint32_t max, misfits *m) {
    if ((found >= min && found <= max) || MUTATED(any_state_version)) return;
    misfit(m,
           "node \"%.*s\": version %" PRIu32 " of its %s is none that %.*s %.*s reads (%" PRIu32
           " to %" PRIu32 "): use %s version "
           "of the plugin",
           STR_FMT(node->name), found, what, STR_FMT(node->plugin_id),
           STR_FMT(node->plugin_version), min, max, found > max ? "a newer" : "an older");
}

static void match_node(const state_node *saved, const restore_node *node, misfits *m) {
    if (!has_state(saved)) return;
    if (saved->kind != node->kind || !str_eq(saved->type, node->type) ||
        !str_eq(saved->plugin_id, node->plugin_id)) {
        misfit(m,
               "node \"%.*s\" was %.*s of plugin %.*s and is %.*s of plugin %.*s now: give the new "
               "node a name of its own",
               STR_FMT(saved->name), STR_FMT(saved->type), STR_FMT(saved->plugin_id),
               STR_FMT(node->type), STR_FMT(node->plugin_id));
        return;
    }
    if (saved->committable_count > 0 && !node->two_phase) {
        misfit(m,
               "node \"%.*s\" has prepared output (%" PRIu32
               " pieces) to be committed, and does not commit any more: run once with the manifest "
               "as it was",
               STR_FMT(saved->name), saved->committable_count);
    }
    if (saved->split_count > 0) {
        match_version(node, "splits", saved->split_version, node->split_min, node->split_max, m);
    }
    /* One complaint a node for the highest and lowest: they speak for those between. */
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t i = 0; i < saved->blob_count; i++) {
        if (saved->blobs[i].version < low) low = saved->blobs[i].version;
        if (saved->blobs[i].version > high) high = saved->blobs[i].version;
    }
    if (saved->blob_count > 0) {
        match_version(node, "state", high, node->state_min, node->state_max, m);
        if (low != high) match_version(node, "state", low, node->state_min, node->state_max, m);
    }
    low = UINT32_MAX;
    high = 0;
    for (uint32_t i = 0; i < saved->committable_count; i++) {
        if (saved->committables[i].version < low) low = saved->committables[i].version;
        if (saved->committables[i].version > high) high = saved->committables[i].version;
    }
    if (saved->committable_count == 0 || !node->two_phase) return;
    match_version(node, "committables", high, node->committable_min, node->committable_max, m);
    if (low == high) return;
    match_version(node, "committables", low, node->committable_min, node->committable_max, m);
}

static uint32_t max_parallelism(const restore_config *config) {
    const checkpoint *from = config->from;
    return from != NULL && from->max_parallelism > 0 ? from->max_parallelism
                                                     : config->max_parallelism;
}

/* Everything that does not fit is told at once, and nothing has been touched. */
static weir_status match(const run *r) {
    const restore_config *config = r->config;
    const checkpoint *from = config->from;
    misfits m = {0};
    buf_init(&m.text, LIMIT_ERROR_BYTES);
    for (uint32_t i = 0; i < from->node_count; i++) {
        const restore_node *node = NULL;
        for (uint32_t n = 0; n < config->node_count && node == NULL; n++) {
            if (str_eq(config->nodes[n].name, from->nodes[i].name)) node = &config->nodes[n];
        }
        if (node == NULL) {
            match_gone(r, &from->nodes[i], &m);
        } else {
            match_node(&from->nodes[i], node, &m);
        }
    }
    uint32_t most = max_parallelism(config);
    for (uint32_t n = 0; n < config->node_count; n++) {
        if (config->nodes[n].parallelism <= most) continue;
        misfit(&m,
               "node \"%.*s\": parallelism %" PRIu32 " is above %" PRIu32
               ", the max_parallelism of the state, which cannot change with it",
               STR_FMT(config->nodes[n].name), config->nodes[n].parallelism, most);
    }
    if (m.count == 0) {
        if (most != config->max_parallelism) {
            log_write(WEIR_LOG_INFO, NULL,
                      "max_parallelism stays %" PRIu32 ", as the state has it; the manifest's "
                      "%" PRIu32 " is for a fresh start",
                      most, config->max_parallelism);
        }
        buf_free(&m.text);
        return WEIR_OK;
    }
    weir_status status =
        error_set(r->err, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                  "%s %" PRIu64 " does not fit the manifest: %s",
                  from->kind == CHECKPOINT_SAVEPOINT ? "savepoint of epoch" : "checkpoint",
                  from->epoch, m.text.data != NULL ? m.text.data : "out of memory for the reasons");
    buf_free(&m.text);
    return status;
}

/* ---- with the plugins ---- */

static const state_node *saved_node(const run *r, uint32_t n) {
    return checkpoint_node(r->config->from, r->config->nodes[n].name);
}

static bool commits(const run *r, uint32_t n) {
    const state_node *saved = saved_node(r, n);
    return saved != NULL && saved->committable_count > 0 && r->config->nodes[n].two_phase;
}

/* A fork has its own instance id: whatever is open belongs to the pipeline it came from. */
static bool recovers(const run *r, uint32_t n) {
    return r->config->nodes[n].recovers && !r->config->fork;
}

static bool may_pass(weir_status status, const weir_error *err) {
    uint32_t flags = error_flags(err);
    if ((flags & (WEIR_ERR_FATAL | WEIR_ERR_CONFIG)) != 0) return false;
    return (flags & WEIR_ERR_RETRYABLE) != 0 || status == WEIR_E_TIMEOUT ||
           status == WEIR_E_THROTTLED;
}

/* Waits after try number `tries` (from 0) failed with `status`, or, with WEIR_OK, decided too
 * little; WEIR_OK = try again. */
static weir_status again(const run *r, uint32_t tries, weir_status status) {
    if (status != WEIR_OK && !may_pass(status, r->err)) return status;
    int64_t pause = PAUSE_BASE_NS;
    for (uint32_t i = 0; i < tries && pause < PAUSE_MAX_NS; i++) pause *= 2;
    return r->ops->wait(r->ops->self, pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS, r->err);
}

/* `status` of `what`, with the node's name in front of its text. */
static weir_status about(const run *r, uint32_t n, const char *what, weir_status status) {
    if (status != WEIR_OK) {
        error_prefix(r->err, "restore of node \"%.*s\": %s", STR_FMT(r->config->nodes[n].name),
                     what);
    }
    return status;
}

/* One instance a node commits and then recovers. */
static weir_status open_nodes(run *r) {
    for (uint32_t n = 0; n < r->config->node_count; n++) {
        if (!commits(r, n) && !recovers(r, n)) continue;
        const state_node *saved = saved_node(r, n);
        state_node widest;
        if (saved != NULL && saved->parallelism < r->kept[n].parallelism) {
            widest = *saved;
            widest.parallelism = r->kept[n].parallelism;
            saved = &widest;
        }
        for (uint32_t tries = 0; !r->open[n]; tries++) {
            error_clear(r->err);
            weir_status status = r->ops->open(r->ops->self, n, saved, r->err);
            r->open[n] = status == WEIR_OK;
            if (status != WEIR_OK) status = again(r, tries, status);
            if (status != WEIR_OK) return about(r, n, "open", status);
        }
    }
    return WEIR_OK;
}

/* Commits `count` items of one epoch until each is decided. */
static weir_status commit_items(run *r, uint32_t n, const state_committable **items, uint32_t count,
                                uint32_t *verdicts) {
    for (uint32_t tries = 0;; tries++) {
        for (uint32_t i = 0; i < count; i++) verdicts[i] = WEIR_VERDICT_RETRY;
        error_clear(r->err);
        weir_status status = r->ops->commit(r->ops->self, n, items, count, verdicts, r->err);
        uint32_t left = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t verdict = status == WEIR_OK ? verdicts[i] : WEIR_VERDICT_RETRY;
            if (verdict == WEIR_VERDICT_LOST) {
                r->ops->lost(r->ops->self, n, items[i]);
            } else if (verdict != WEIR_VERDICT_DONE && verdict != WEIR_VERDICT_ALREADY) {
                items[left++] = items[i];
            }
        }
        count = left;
        if (count == 0 || MUTATED(undecided_passes)) return WEIR_OK;
        status = again(r, tries, status);
        if (status != WEIR_OK) return about(r, n, "commit", status);
    }
}

static int by_epoch(const void *a, const void *b) {
    const state_committable *x = *(const state_committable *const *)a;
    const state_committable *y = *(const state_committable *const *)b;
    if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
    /* They lie in one array: its order is that of preparing. */
    return x < y ? -1 : x > y;
}

static weir_status commit_nodes(run *r) {
    for (uint32_t n = 0; n < r->config->node_count; n++) {
        if (!commits(r, n)) continue;
        const state_node *saved = saved_node(r, n);
        uint32_t count = saved->committable_count;
        const state_committable **items =
            arena_array(r->memory, count, sizeof(const state_committable *));
        uint32_t *verdicts = arena_array(r->memory, count, sizeof *verdicts);
        if (items == NULL || verdicts == NULL) {
            return about(r, n, "commit", error_set(r->err, WEIR_E_NOMEM, 0, "out of memory"));
        }
        for (uint32_t i = 0; i < count; i++) items[i] = &saved->committables[i];
        qsort(items, count, sizeof(const state_committable *), by_epoch);
        for (uint32_t from = 0, to = 0; from < count; from = to) {
            uint64_t epoch = items[from]->epoch;
            while (to < count && items[to]->epoch == epoch) to++;
            weir_status status = commit_items(r, n, items + from, to - from, verdicts);
            if (status != WEIR_OK) return status;
        }
    }
    return WEIR_OK;
}

static weir_status recover_nodes(run *r) {
    for (uint32_t n = 0; n < r->config->node_count; n++) {
        if (!r->open[n] || !recovers(r, n)) continue;
        uint32_t count = MUTATED(recover_ignores_retained) ? 0 : r->kept[n].count;
        for (uint32_t tries = 0;; tries++) {
            error_clear(r->err);
            weir_status status = r->ops->recover(
                r->ops->self, n, (const state_blob *const *)r->kept[n].blobs, count, r->err);
            if (status == WEIR_OK) break;
            status = again(r, tries, status);
            if (status != WEIR_OK) return about(r, n, "recover", status);
        }
    }
    return WEIR_OK;
}

/* ---- what retained checkpoints refer to ---- */

static bool keep(run *r, kept *k, const state_blob *b) {
    if (k->count == k->cap) {
        uint32_t cap = k->cap > 0 ? k->cap * 2 : 8;
        state_blob **grown = mem_realloc(k->blobs, cap * sizeof(state_blob *));
        if (grown == NULL) return false;
        k->blobs = grown;
        k->cap = cap;
    }
    state_blob *copy = arena_alloc(r->memory, sizeof *copy);
    if (copy == NULL) return false;
    *copy = *b;
    copy->split = arena_str(r->memory, b->split);
    copy->bytes = arena_str(r->memory, b->bytes);
    if (copy->split.ptr == NULL || copy->bytes.ptr == NULL) return false;
    k->blobs[k->count++] = copy;
    return true;
}

static weir_status keep_all(run *r, const checkpoint *c) {
    for (uint32_t n = 0; n < r->config->node_count; n++) {
        const state_node *node = checkpoint_node(c, r->config->nodes[n].name);
        if (node == NULL || !recovers(r, n)) continue;
        if (r->kept[n].parallelism < node->parallelism) r->kept[n].parallelism = node->parallelism;
        bool held = true;
        for (uint32_t i = 0; i < node->blob_count && held; i++) {
            uint32_t scope = node->blobs[i].scope;
            if (scope != WEIR_SCOPE_ITEM && scope != WEIR_SCOPE_BROADCAST) continue;
            held = keep(r, &r->kept[n], &node->blobs[i]);
        }
        /* Who goes back to an older savepoint may come here again after all. Either guard hides the
         * lack of the other, so the simulator takes both away. */
        bool prepared_too = !MUTATED(recover_before_durable);
        for (uint32_t i = 0; i < node->committable_count && held && prepared_too; i++) {
            const state_committable *item = &node->committables[i];
            const state_blob b = {.scope = WEIR_SCOPE_COMMITTABLE,
                                  .version = item->version,
                                  .instance = item->instance,
                                  .split = {"", 0},
                                  .bytes = item->bytes};
            held = keep(r, &r->kept[n], &b);
        }
        if (!held) {
            return error_set(r->err, WEIR_E_NOMEM, 0,
                             "out of memory for what retained checkpoints refer to");
        }
    }
    return WEIR_OK;
}

static weir_status gather_listed(run *r, bool savepoints) {
    store_entry *entries = NULL;
    uint32_t count = 0;
    weir_status status = store_list(r->config->store, savepoints, &entries, &count, r->err);
    for (uint32_t i = 0; i < count && status == WEIR_OK; i++) {
        checkpoint *c = NULL;
        status = store_load(r->config->store, str_of(entries[i].path), &c, r->err);
        if (status == WEIR_OK) {
            status = keep_all(r, c);
        } else if (status == WEIR_E_DATA || status == WEIR_E_INCOMPATIBLE) {
            /* Nobody will ever read it here. One that cannot be read today may be well tomorrow,
             * and what it refers to must still be there: that ends this restore. */
            error_clear(r->err);
            status = WEIR_OK;
        }
        checkpoint_free(c);
    }
    free(entries);
    return status;
}

static weir_status gather(run *r) {
    bool any = false;
    for (uint32_t n = 0; n < r->config->node_count; n++) any |= recovers(r, n);
    if (!any) return WEIR_OK;
    /* It may come from elsewhere, so that no list has it. */
    weir_status status = keep_all(r, r->config->from);
    if (status == WEIR_OK) status = gather_listed(r, false);
    if (status == WEIR_OK) status = gather_listed(r, true);
    return status;
}

/* ---- the restore checkpoint ---- */

static bool identify(arena *memory, state_node *to, const restore_node *node) {
    to->name = arena_str(memory, node->name);
    to->type = arena_str(memory, node->type);
    to->plugin_id = arena_str(memory, node->plugin_id);
    to->plugin_version = arena_str(memory, node->plugin_version);
    to->kind = node->kind;
    to->parallelism = node->parallelism;
    return to->name.ptr != NULL && to->type.ptr != NULL && to->plugin_id.ptr != NULL &&
           to->plugin_version.ptr != NULL;
}

/* The manifest's nodes in their order, each with its state if it has one. Who wrote that state, and
 * with how many instances at most, stays with it: whoever recovers orphans after a crash during
 * this restore must look for those of the earlier run and of this one. */
static weir_status build(run *r, bool committables) {
    const restore_config *config = r->config;
    const checkpoint *from = config->from;
    checkpoint *out = from != NULL ? checkpoint_copy(from, CHECKPOINT_RESTORE, 0, committables)
                                   : checkpoint_new(CHECKPOINT_RESTORE, 0);
    r->out = out;
    state_node *nodes =
        out != NULL ? arena_array(out->memory, config->node_count, sizeof *nodes) : NULL;
    bool ok = nodes != NULL;
    for (uint32_t n = 0; n < config->node_count && ok; n++) {
        const restore_node *node = &config->nodes[n];
        const state_node *saved = from != NULL ? saved_node(r, n) : NULL;
        if (saved == NULL || !has_state(saved)) {
            ok = identify(out->memory, &nodes[n], node);
        } else {
            nodes[n] = *checkpoint_node(out, node->name);
        }
        /* Also where nothing is stored: a transaction may be open that no checkpoint knows. */
        if (nodes[n].parallelism < node->parallelism) nodes[n].parallelism = node->parallelism;
        if (saved != NULL && nodes[n].parallelism < saved->parallelism) {
            nodes[n].parallelism = saved->parallelism;
        }
        if (nodes[n].parallelism < r->kept[n].parallelism) {
            nodes[n].parallelism = r->kept[n].parallelism;
        }
    }
    if (ok) {
        out->nodes = nodes;
        out->node_count = config->node_count;
        out->name = arena_str(out->memory, STR(""));
        out->pipeline = arena_str(out->memory, config->pipeline);
        out->instance_id = arena_str(out->memory, config->instance_id);
        out->weir_version = arena_str(out->memory, config->weir_version);
        out->created_us = config->now_us;
        out->max_parallelism = max_parallelism(config);
        ok = out->name.ptr != NULL && out->pipeline.ptr != NULL && out->instance_id.ptr != NULL &&
             out->weir_version.ptr != NULL;
    }
    return ok ? WEIR_OK : error_set(r->err, WEIR_E_NOMEM, 0, "out of memory");
}

static weir_status write_out(run *r) {
    store_written written;
    weir_status status = store_write(r->config->store, r->out, &written, r->err);
    if (status != WEIR_OK) error_prefix(r->err, "checkpoint of the restore");
    if (status == WEIR_OK && r->ops != NULL && r->ops->durable != NULL) {
        r->ops->durable(r->ops->self);
    }
    return status;
}
