/*
 * core/runtime/plan.h - from the manifest's graph to stages, tasks and channels.
 *
 * A stage is what one thread runs in one go; its tasks are copies of it. Three kinds:
 *
 *   source stage   poll -> [decode] -> [event time] -> stateless transforms fused behind it
 *   worker stage   channels -> [decode] -> transforms, where a transform has an exchange, a
 *                  parallelism of its own, or several inputs
 *   sink stage     channels -> [decode] -> [encode] -> batcher -> write
 *
 * Stages are joined by edges; an edge is one channel for each pair of producer and consumer task.
 * Decoding happens only where somebody needs fields; formats that agree on the wire let the bytes
 * travel untouched (pass-through). The plan is pure data: `weir plan` prints it, the runtime obeys
 * it.
 */
#ifndef WEIR_RUNTIME_PLAN_H
#define WEIR_RUNTIME_PLAN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "manifest/manifest.h"

typedef struct plan_stage plan_stage;
typedef struct plan_edge plan_edge;
typedef struct plan_op plan_op;

typedef enum { STAGE_SOURCE, STAGE_WORKER, STAGE_SINK } stage_kind;

/* One place inside a stage where batches pass: the source or the stage's entry, then transforms.
 * Outputs are further ops of the same stage, and edges to other stages. */
struct plan_op {
    const node *node; /* the source, a transform, or the sink */
    plan_op **ops;
    size_t op_count;
    plan_edge **edges;
    size_t edge_count;
    uint32_t index; /* within the stage */
};

struct plan_edge {
    plan_stage *from, *to;
    const node *from_node;
    const node *to_node;
    exchange_kind exchange;
    const template_program *key; /* EXCHANGE_KEY */
    const node *decode_as;       /* decode behind the exchange, in the format of this source */
    bool dead_letters;           /* carries failed records of from_node */
    uint64_t channel_bytes;      /* bound of each of its channels */
    uint32_t index;              /* in plan.edges */
};

typedef enum { SINK_PASS_THROUGH, SINK_ENCODE, SINK_ENCODE_IF_CHANGED } sink_encoding;

struct plan_stage {
    stage_kind kind;
    uint32_t index;
    uint32_t parallelism;
    const node *node; /* the source, the first transform, or the sink */
    plan_op *root;
    uint32_t op_count;
    bool decode; /* STAGE_SOURCE: decode right after poll */
    const char *decode_why;
    bool need_time;              /* STAGE_SOURCE: fill the time column */
    const char *const *meta_ptr; /* STAGE_SOURCE: metadata columns wanted downstream */
    const uint32_t *meta_len;
    uint32_t meta_count;
    plan_edge **inputs; /* STAGE_WORKER, STAGE_SINK */
    size_t input_count;
    plan_edge **outputs; /* all edges that leave the stage, dead letters included */
    size_t output_count;
    sink_encoding encoding; /* STAGE_SINK */
    const char *encoding_why;
    uint64_t buffered_bytes; /* STAGE_SINK: bytes waiting in the batcher before back pressure */
    uint64_t floor_bytes;    /* guaranteed to each of its tasks */
};

/* What one sink gives. */
typedef struct plan_guarantee {
    const node *sink;
    delivery_kind delivery;
    const char *why;
} plan_guarantee;

typedef struct plan {
    const pipeline *pipeline;
    plan_stage **stages; /* sources first, sinks last */
    size_t stage_count;
    plan_edge **edges;
    size_t edge_count;
    uint32_t task_count;
    uint32_t channel_count;
    uint64_t floor_bytes;       /* sum over instances and channels */
    plan_guarantee *guarantees; /* one a sink */
    size_t guarantee_count;
    delivery_kind guarantee; /* the weakest of them */
    const char *guarantee_why;
} plan;

/* NULL with one error in `out` for what the manifest's own checks cannot see: formats that do not
 * fit, floors beyond the budget, too many tasks. Lives in `memory`. */
const plan *plan_make(const pipeline *p, arena *memory, diags *out);

/* For people, for graphviz, for scripts. `defaults` lists every default that was applied. */
void plan_print(const plan *p, bool defaults, buf *out);
void plan_dot(const plan *p, buf *out);
void plan_json(const plan *p, bool defaults, buf *out);

/* Fills in what every sink gives; false without memory. Called by plan_make. */
bool plan_guarantees(plan *p, arena *memory);

const char *delivery_name(delivery_kind d);

#endif
