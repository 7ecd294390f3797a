/*
 * tests/sim/vsink.h - sinks of the simulator, as the host sees one task of them.
 *
 * A file sink on the virtual disk (the real plugins/std/pending.c), one that uploads in parts as
 * to S3, one that writes in transactions as to Kafka. What they leave outside (uploads,
 * transactions, files) survives the process. The plain sink has no state here: pipeline.c plays the
 * host's batcher for it.
 */
#ifndef SIM_VSINK_H
#define SIM_VSINK_H

#include "checkpoint/restore.h"
#include "checkpoint/sink_epochs.h"
#include "sim.h"

typedef struct vsink vsink;

/* Nodes of the manifest. */
enum {
    NODE_SOURCE_0,
    NODE_SOURCE_1,
    NODE_STATELESS,
    NODE_KEYED,
    NODE_SINK_A,
    NODE_SINK_B,
    NODE_DEAD,
    NODES
};
#define SINK_OF(node) ((node)-NODE_SINK_A) /* 0 .. SINK_NODES - 1 */
const char *node_name(uint32_t node);
sink_kind sink_kind_of(const world *w, uint32_t node);

typedef enum { TOOK, AGAIN, FAILED } took; /* FAILED: the pipeline restarts */

/* What a writer is opened with: it touches nothing outside. `blobs`: this task's. */
typedef struct vsink_open {
    world *w;
    uint32_t node, task, parallelism;
    uint64_t epoch; /* restored */
    const char *instance_id;
    const state_blob *const *blobs;
    uint32_t blob_count;
} vsink_open;

vsink *vsink_open_writer(const vsink_open *open);
void vsink_free(vsink *s);
took vsink_write(vsink *s, const written *r);
/* OK; IO: fails the epoch; FENCED: the pipeline restarts. */
weir_status vsink_flush(vsink *s, uint64_t epoch, bool last);
/* Committables into `epochs`, state into `part`; FENCED as above. */
weir_status vsink_prepare(vsink *s, uint64_t epoch, sink_epochs *epochs, state_part *part);
/* The host says that everything up to `epoch` is durable. */
void vsink_durable(vsink *s, uint64_t epoch);
/* A writer's own committable was decided. */
void vsink_decided(vsink *s, const state_committable *c);

/* By whoever has them, committer or writer. */
void vsink_commit(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                  uint32_t *verdicts);
void vsink_abort(world *w, uint32_t node, const state_committable *item);
/* The host reports it as lost. */
void vsink_lost(world *w, uint32_t node, const state_committable *item);
/* Opens the committer: what the mutation open_initialises_ids does there. */
void vsink_open_committer(world *w, uint32_t node, const state_node *saved);
weir_status vsink_recover(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                          const state_blob *const *kept, uint32_t count);

/* ---- for the checks ---- */

/* Each visible record; `place` tells one file, object or log from the other. In order. */
typedef void (*vsink_each)(void *opaque, uint32_t node, const written *r, uint32_t place);
void vsink_visible(world *w, uint32_t sink, vsink_each each, void *opaque);
/* Whatever is pending, open or under way, except what the last recovery left on purpose: counted,
 * and the first one named. */
uint32_t vsink_orphans(world *w, char *first, size_t size);
/* Things of other pipelines, which nobody here may touch. */
void vsink_foreign(world *w);
bool vsink_foreign_intact(world *w);
/* The broker's and the bucket's own doings as time passes. */
void vsink_outside(world *w);

/* ---- each kind ---- */

typedef struct vsink_ops {
    vsink *(*open)(const vsink_open *open);
    void (*free)(vsink *s);
    took (*write)(vsink *s, const written *r);
    weir_status (*flush)(vsink *s, uint64_t epoch, bool last);
    weir_status (*prepare)(vsink *s, uint64_t epoch, sink_epochs *epochs, state_part *part);
    void (*durable)(vsink *s, uint64_t epoch);
    void (*decided)(vsink *s, const state_committable *c);
    void (*commit)(world *w, uint32_t node, const state_committable *const *items, uint32_t count,
                   uint32_t *verdicts);
    void (*abort)(world *w, uint32_t node, const state_committable *item);
    weir_status (*recover)(world *w, uint32_t node, uint32_t parallelism, const char *instance_id,
                           const state_blob *const *kept, uint32_t count);
    void (*visible)(world *w, uint32_t node, vsink_each each, void *opaque);
} vsink_ops;
extern const vsink_ops vsink_file, vsink_s3, vsink_kafka;

struct vsink {
    const vsink_ops *ops;
    world *w;
    uint32_t node, task, parallelism;
    uint64_t epoch; /* restored from */
    char instance_id[20];
};

struct s3 *s3_new(void);
void s3_free(struct s3 *s);
void s3_foreign(world *w);
bool s3_foreign_intact(const world *w);
uint32_t s3_orphans(const world *w, char *first, size_t size);
void s3_outside(world *w);
void s3_told(world *w, uint32_t node, const state_committable *item);

struct kafka *kafka_new(void);
void kafka_free(struct kafka *k);
uint32_t kafka_orphans(world *w, char *first, size_t size);
void kafka_outside(world *w);
void kafka_open_committer(world *w, uint32_t node, uint32_t parallelism);

void file_foreign(world *w);
bool file_foreign_intact(world *w);
uint32_t file_orphans(world *w, char *first, size_t size);

#endif
