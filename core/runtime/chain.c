#include "runtime/chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/context.h"
#include "runtime/event_time.h"
#include "runtime/key_rows.h"

#define OPEN_TIMEOUT_NS (60 * CLOCK_NS_PER_S)

/* A transform and its place in the tree. */
typedef struct op {
    const plan_op *plan;
    instance *transform; /* NULL for the root of a source stage */
    failures *failures;
    counters *counters;
    struct op **ops;
    outlet **outlets;
    /* Applied key by key: the exchange's key, and memory for one batch. Else NULL. */
    template_eval *key;
    arena *scratch;
} op;

/* A decoder of records in one source's format: the stage's own, or of one input edge. */
typedef struct decoder {
    const node *source;
    coder *coder;
    failures *failures;
} decoder;

struct chain {
    context *cx;
    batch_home *home;
    const plan_stage *stage;
    op *ops;           /* stage->op_count, by plan index */
    decoder *decoders; /* [0] the source's, then one an input edge; coder NULL = no decoding */
    uint32_t decoder_count;
    const plan_edge *parked_from;
    const weir_batch *parked;
    weir_error *why;
};

static outlet *outlet_of(const plan_stage *stage, outlet *const *outlets, const plan_edge *edge) {
    for (size_t o = 0; o < stage->output_count; o++) {
        if (stage->outputs[o] == edge) return outlets[o];
    }
    return NULL;
}

/* The plan has seen to it that such a transform is the root of a stage behind an exchange by key.
 */
static weir_status build_keyed(chain *c, op *o, uint32_t task, weir_error *err) {
    const node *n = o->plan->node;
    o->key = template_eval_new(n->exchange_key, context_template_env());
    o->scratch = arena_new(SIZE_MAX);
    o->transform->keyed =
        keyed_new(&c->cx->keyed, c->cx->max_parallelism, task, c->stage->parallelism);
    if (o->key != NULL && o->scratch != NULL && o->transform->keyed != NULL) return WEIR_OK;
    return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
}

static weir_status build_op(chain *c, const plan_op *shape, uint32_t task, wake *w,
                            outlet *const *outlets, weir_error *err) {
    op *o = &c->ops[shape->index];
    o->plan = shape;
    o->counters = context_counters(c->cx, shape->node);
    o->failures = failures_new(
        shape->node, c->home, outlet_for_dead_letters(c->stage, outlets, shape->node), o->counters);
    o->ops = calloc(shape->op_count + 1, sizeof(op *));
    o->outlets = calloc(shape->edge_count + 1, sizeof(outlet *));
    if (o->failures == NULL || o->ops == NULL || o->outlets == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    }
    for (size_t e = 0; e < shape->edge_count; e++) {
        o->outlets[e] = outlet_of(c->stage, outlets, shape->edges[e]);
    }
    if (shape->node->kind == WEIR_KIND_TRANSFORM) {
        o->transform =
            instance_new(c->cx, c->home, shape->node->component, shape->node, &shape->node->options,
                         NULL, task, c->stage->parallelism, w, err);
        if (o->transform == NULL) return error_status(err);
        if ((o->transform->bound->capabilities & WEIR_CAP_KEYED) != 0) {
            weir_status status = build_keyed(c, o, task, err);
            if (status != WEIR_OK) return status;
        }
    }
    for (size_t k = 0; k < shape->op_count; k++) {
        o->ops[k] = &c->ops[shape->ops[k]->index];
        weir_status status = build_op(c, shape->ops[k], task, w, outlets, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status build_decoder(chain *c, decoder *d, const node *source, uint32_t task, wake *w,
                                 outlet *const *outlets, weir_error *err) {
    d->source = source;
    d->coder = coder_new(c->cx, c->home, source, task, c->stage->parallelism, w, err);
    if (d->coder == NULL) return error_status(err);
    d->failures = failures_new(source, c->home, outlet_for_dead_letters(c->stage, outlets, source),
                               context_counters(c->cx, source));
    if (d->failures == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    return WEIR_OK;
}

chain *chain_new(context *cx, batch_home *home, const plan_stage *stage, uint32_t task, wake *w,
                 outlet *const *outlets, weir_error *err) {
    chain *c = calloc(1, sizeof *c);
    if (c == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    c->cx = cx;
    c->home = home;
    c->stage = stage;
    c->why = error_new();
    c->ops = calloc(stage->op_count + 1, sizeof *c->ops);
    c->decoder_count = (uint32_t)stage->input_count + 1;
    c->decoders = calloc(c->decoder_count, sizeof *c->decoders);
    if (c->why == NULL || c->ops == NULL || c->decoders == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        goto failed;
    }
    if (build_op(c, stage->root, task, w, outlets, err) != WEIR_OK) goto failed;
    if (stage->decode &&
        build_decoder(c, &c->decoders[0], stage->node, task, w, outlets, err) != WEIR_OK) {
        goto failed;
    }
    for (size_t e = 0; e < stage->input_count; e++) {
        const node *source = stage->inputs[e]->decode_as;
        if (source != NULL &&
            build_decoder(c, &c->decoders[e + 1], source, task, w, outlets, err) != WEIR_OK) {
            goto failed;
        }
    }
    return c;

failed:
    chain_free(c);
    return NULL;
}

/* State by key that was stored for this node; a transform that has none any more would lose it. */
static weir_status restore_keyed(chain *c, const instance *transform, weir_error *err) {
    const state_node *saved = context_restored(c->cx, transform->node);
    if (saved == NULL) return WEIR_OK;
    weir_status status = WEIR_OK;
    if (transform->keyed != NULL) {
        status = keyed_restore(transform->keyed, saved, err);
    } else {
        uint32_t groups = 0;
        for (uint32_t b = 0; b < saved->blob_count; b++) {
            groups += saved->blobs[b].scope == STATE_SCOPE_KEY_GROUP;
        }
        if (groups > 0 && c->cx->allow_non_restored) {
            log_write(WEIR_LOG_WARN, transform->component,
                      "%s: state by key in %u groups is dropped: this version of the plugin keeps "
                      "none",
                      transform->where, groups);
        } else if (groups > 0) {
            status = error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                               "the checkpoint holds state by key, and this version of the plugin "
                               "keeps none");
            error_hint(err, "use the version that wrote it, or drop the state with "
                            "--allow-non-restored-state");
        }
    }
    if (status != WEIR_OK) error_prefix(err, "%s", transform->where);
    return status;
}

weir_status chain_open(chain *c, weir_error *err) {
    for (uint32_t d = 0; d < c->decoder_count; d++) {
        if (c->decoders[d].coder == NULL) continue;
        weir_status status = coder_open(c->decoders[d].coder, err);
        if (status != WEIR_OK) return status;
    }
    for (uint32_t o = 0; o < c->stage->op_count; o++) {
        if (c->ops[o].transform == NULL) continue;
        weir_open args = {.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS};
        weir_status status = restore_keyed(c, c->ops[o].transform, err);
        if (status != WEIR_OK) return status;
        status = instance_open(c->ops[o].transform, WEIR_ROLE_TASK, &args, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

void chain_close(chain *c, uint32_t mode) {
    batch_release(c->parked);
    c->parked = NULL;
    for (uint32_t o = 0; o < c->stage->op_count; o++) {
        if (c->ops[o].transform != NULL) instance_close(c->ops[o].transform, mode, 0, NULL);
    }
    for (uint32_t d = 0; d < c->decoder_count; d++) coder_close(c->decoders[d].coder);
}

void chain_cancel(chain *c) {
    for (uint32_t o = 0; o < c->stage->op_count; o++) {
        if (c->ops[o].transform != NULL) instance_cancel(c->ops[o].transform);
    }
    for (uint32_t d = 0; d < c->decoder_count; d++) coder_cancel(c->decoders[d].coder);
}

void chain_free(chain *c) {
    if (c == NULL) return;
    batch_release(c->parked);
    for (uint32_t o = 0; c->ops != NULL && o < c->stage->op_count; o++) {
        if (c->ops[o].transform != NULL) keyed_free(c->ops[o].transform->keyed);
        instance_free(c->ops[o].transform);
        template_eval_free(c->ops[o].key);
        arena_free(c->ops[o].scratch);
        failures_free(c->ops[o].failures);
        free(c->ops[o].ops);
        free(c->ops[o].outlets);
    }
    for (uint32_t d = 0; c->decoders != NULL && d < c->decoder_count; d++) {
        coder_free(c->decoders[d].coder);
        failures_free(c->decoders[d].failures);
    }
    free(c->decoders);
    free(c->ops);
    error_free(c->why);
    free(c);
}

/* ---- the way of a batch ---- */

static weir_status op_run(chain *c, op *o, const weir_batch *batch, weir_error *err);

/* Everything that `o` puts out goes to each of its outputs; takes over the reference. */
static weir_status op_emit(chain *c, op *o, const weir_batch *batch, weir_error *err) {
    weir_status status = WEIR_OK;
    if (batch->rows->count == 0) { /* nobody downstream has to think of these */
        batch_release(batch);
        return WEIR_OK;
    }
    count(&o->counters->records_out, batch->rows->count);
    count(&o->counters->bytes_out, batch->rows->value_bytes);
    for (size_t k = 0; k < o->plan->op_count && status == WEIR_OK; k++) {
        batch_retain(batch);
        status = op_run(c, o->ops[k], batch, err);
    }
    for (size_t e = 0; e < o->plan->edge_count && status == WEIR_OK; e++) {
        batch_retain(batch);
        status = outlet_send(o->outlets[e], batch, err);
    }
    batch_release(batch);
    return status;
}

typedef struct apply_call {
    weir_apply args;
    chain *chain;
    op *op;
    weir_error *err;
    weir_status failed;
} apply_call;

static weir_status apply_emit(weir_apply *args, uint32_t port, const weir_batch *batch) {
    apply_call *call = (apply_call *)(void *)args;
    if (port != 0) {
        batch_release(batch);
        return WEIR_E_INVALID_ARG;
    }
    weir_status status = op_emit(call->chain, call->op, batch, call->err);
    if (call->failed == WEIR_OK) call->failed = status;
    return status;
}

static void apply_fail(weir_apply *args, uint32_t record, weir_status status, weir_str text) {
    apply_call *call = (apply_call *)(void *)args;
    if (call->failed != WEIR_OK) return;
    if (record >= args->batch->rows->count) {
        call->failed = error_set(call->err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                                 "%s: apply names record %u of %u: a fault of the plugin",
                                 call->op->transform->where, record, args->batch->rows->count);
        return;
    }
    error_clear(call->chain->why);
    error_set(call->chain->why, status, WEIR_ERR_PER_RECORD, "%.*s", STR_FMT(text));
    call->failed =
        failures_record(call->op->failures, args->batch, record, call->chain->why, 1, call->err);
}

/* One call of the transform; the reference stays the caller's. */
static weir_status op_apply(chain *c, op *o, const weir_batch *batch, weir_str key,
                            weir_error *err) {
    apply_call call = {.chain = c, .op = o, .err = err, .failed = WEIR_OK};
    call.args.struct_size = sizeof call.args;
    call.args.batch = batch;
    call.args.key = key;
    call.args.emit = apply_emit;
    call.args.fail = apply_fail;
    call.args.error = err;
    weir_status status = o->transform->bound->ops.transform.apply(o->transform->self, &call.args);
    if (call.failed != WEIR_OK) return call.failed;
    if (status == WEIR_OK) return WEIR_OK;
    /* The plugin knows that its state was refused; why, only the host can say. */
    const weir_error *why = o->transform->keyed != NULL ? keyed_refusal(o->transform->keyed) : NULL;
    if (why != NULL && error_status(why) == status) error_copy(err, why);
    error_prefix(err, "%s", o->transform->where);
    return status;
}

typedef struct key_call {
    chain *chain;
    op *op;
    const weir_batch *batch;
    weir_error *err;
    weir_status failed;
} key_call;

/* A record without the key belongs to nobody's state: it is a bad record of the transform. */
static void key_fail(void *opaque, uint32_t row, const weir_error *why) {
    key_call *call = opaque;
    if (call->failed != WEIR_OK) return;
    call->failed = failures_record(call->op->failures, call->batch, row, why, 1, call->err);
}

/* One call for each key of the batch, in the order of their first records. */
static weir_status op_apply_by_key(chain *c, op *o, const weir_batch *batch, weir_error *err) {
    key_call call = {c, o, batch, err, WEIR_OK};
    key_rows rows;
    arena_reset(o->scratch);
    error_clear(c->why);
    weir_status status = key_rows_make(o->key, batch, o->scratch, &rows, key_fail, &call, c->why);
    if (call.failed != WEIR_OK) return call.failed;
    if (status != WEIR_OK) {
        error_copy(err, c->why);
        return status;
    }
    keyed *k = o->transform->keyed;
    for (uint32_t n = 0; n < rows.count && status == WEIR_OK; n++) {
        uint32_t first = rows.start[n], count = rows.start[n + 1] - first;
        const weir_batch *part = batch_select(c->home, batch, rows.rows + first, count);
        if (part == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a key");
        keyed_select(k, rows.keys[n]);
        status = op_apply(c, o, part, rows.keys[n], err);
        keyed_deselect(k);
        batch_release(part);
    }
    return status;
}

static weir_status op_run(chain *c, op *o, const weir_batch *batch, weir_error *err) {
    count(&o->counters->records_in, batch->rows->count);
    count(&o->counters->bytes_in, batch->rows->value_bytes);
    weir_status status = o->key == NULL ? op_apply(c, o, batch, (weir_str){NULL, 0}, err)
                                        : op_apply_by_key(c, o, batch, err);
    batch_release(batch);
    return status == WEIR_OK ? failures_flush(o->failures, err) : status;
}

typedef struct time_call {
    chain *chain;
    failures *failures;
    const weir_batch *batch;
    weir_error *err;
    weir_status failed;
    uint32_t bad;
} time_call;

static void time_fail(void *opaque, uint32_t row) {
    time_call *call = opaque;
    call->bad++;
    if (call->failed != WEIR_OK) return;
    const node *n = call->chain->stage->node;
    error_clear(call->chain->why);
    error_set(call->chain->why, WEIR_E_DATA, WEIR_ERR_PER_RECORD,
              "event_time.field is absent or is no time in unit %s",
              (const char *[]){"auto", "s", "ms", "us", "iso8601"}[n->event_time.unit]);
    call->failed =
        failures_record(call->failures, call->batch, row, call->chain->why, 1, call->err);
}

/* Fills the time column of a source stage; records without a time leave the batch. */
static weir_status add_times(chain *c, failures *f, const weir_batch *batch, const weir_batch **out,
                             weir_error *err) {
    uint32_t n = batch->rows->count;
    int64_t *times = malloc(n * sizeof *times);
    uint32_t *keep = NULL;
    time_call call = {c, f, batch, err, WEIR_OK, 0};
    *out = NULL;
    if (times == NULL) goto no_memory;
    event_time_fill(&c->stage->node->event_time, batch, clock_wall_us(&clock_system), times,
                    time_fail, &call);
    if (call.failed == WEIR_OK && call.bad > 0) {
        keep = malloc(n * sizeof *keep);
        if (keep == NULL) goto no_memory;
        uint32_t kept = 0;
        for (uint32_t row = 0; row < n; row++) {
            if (times[row] == WEIR_TIME_NONE) continue;
            times[kept] = times[row];
            keep[kept++] = row;
        }
        const weir_batch *rest = kept > 0 ? batch_select(c->home, batch, keep, kept) : NULL;
        if (kept > 0 && rest == NULL) goto no_memory;
        batch_release(batch);
        batch = rest;
    }
    if (call.failed == WEIR_OK && batch != NULL) {
        *out = batch_with_times(c->home, batch, times);
        if (*out == NULL) goto no_memory;
    }
    batch_release(batch);
    free(keep);
    free(times);
    return call.failed != WEIR_OK ? call.failed : failures_flush(f, err);

no_memory:
    batch_release(batch);
    free(keep);
    free(times);
    return error_set(err, WEIR_E_NOMEM, 0, "out of memory for event times");
}

static decoder *decoder_for(chain *c, const plan_edge *from) {
    if (from == NULL) return &c->decoders[0];
    for (size_t e = 0; e < c->stage->input_count; e++) {
        if (c->stage->inputs[e] == from) return &c->decoders[e + 1];
    }
    return NULL;
}

/* The way of a batch that is counted already: it may have to begin again. */
static weir_status run_counted(chain *c, const plan_edge *from, const weir_batch *batch,
                               weir_error *err) {
    decoder *d = decoder_for(c, from);
    op *root = &c->ops[c->stage->root->index];
    if (d->coder != NULL && batch->tape == NULL) {
        const weir_batch *decoded;
        weir_status status = coder_decode(d->coder, batch, d->failures, &decoded, err);
        if (status == WEIR_AGAIN) {
            c->parked = batch;
            c->parked_from = from;
        }
        if (status != WEIR_OK || decoded == NULL) return status;
        batch = decoded;
    }
    if (from == NULL && c->stage->need_time) {
        const weir_batch *timed;
        weir_status status = add_times(c, root->failures, batch, &timed, err);
        if (status != WEIR_OK || timed == NULL) return status;
        batch = timed;
    }
    /* The root of a source stage is the source itself; of a worker stage, its first transform. */
    return root->transform != NULL ? op_run(c, root, batch, err) : op_emit(c, root, batch, err);
}

weir_status chain_run(chain *c, const plan_edge *from, const weir_batch *batch, weir_error *err) {
    if (from == NULL) {
        counters *k = c->ops[c->stage->root->index].counters;
        count(&k->records_in, batch->rows->count);
        count(&k->bytes_in, batch->rows->value_bytes);
    }
    return run_counted(c, from, batch, err);
}

bool chain_parked(const chain *c) {
    return c->parked != NULL;
}

weir_status chain_snapshot(chain *c, uint64_t epoch, state_part **parts, weir_error *err) {
    for (uint32_t o = 0; o < c->stage->op_count; o++) {
        instance *transform = c->ops[o].transform;
        if (transform == NULL) continue;
        if (!transform->bound->has_snapshot && transform->keyed == NULL) continue;
        state_part *part = part_new(transform->node->index);
        if (part == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a snapshot");
        part->next = *parts;
        *parts = part;
        weir_status status = instance_snapshot(transform, epoch, part, err);
        if (status != WEIR_OK) return status;
        if (transform->keyed == NULL) continue;
        status = keyed_snapshot(transform->keyed, transform->bound->note->state.version, part, err);
        if (status != WEIR_OK) {
            error_prefix(err, "%s", transform->where);
            return status;
        }
    }
    return WEIR_OK;
}

weir_status chain_resume(chain *c, weir_error *err) {
    const weir_batch *batch = c->parked;
    c->parked = NULL;
    return run_counted(c, c->parked_from, batch, err);
}

failures *chain_source_failures(chain *c) {
    return c->ops[c->stage->root->index].failures;
}
