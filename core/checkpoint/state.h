/*
 * core/checkpoint/state.h - what a checkpoint holds, in memory.
 *
 *   checkpoint
 *     epoch, parent, kind, name, pipeline, instance id, when, max_parallelism
 *     node "clicks" (kinesis, plugin id and version, parallelism 2)
 *       splits        id, private bytes, parents, state, resume position
 *       blobs         private state with scope, version and the instance that wrote it
 *       committables  what a two-phase sink prepared and did not commit yet, with its epoch
 *     node "lake" ...
 *
 * A part is what one task, or the capture of a source's splits at the trigger, adds. Everything a
 * checkpoint or a part points to lives in its own arena. Not locked: one owner at a time.
 */
#ifndef WEIR_CHECKPOINT_STATE_H
#define WEIR_CHECKPOINT_STATE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "weir/instance.h"

typedef enum { STATE_WAITING = 1, STATE_ASSIGNED = 2, STATE_FINISHED = 3 } state_split_state;

typedef struct state_split {
    weir_str id, private_bytes, position;
    const weir_str *parents;
    uint32_t parent_count;
    state_split_state state;
} state_split;

/* Beside the WEIR_SCOPE_*: state by key of one key group. The host's own; plugins do not see it. */
#define STATE_SCOPE_KEY_GROUP 4u

typedef struct state_blob {
    uint32_t scope;    /* WEIR_SCOPE_*, STATE_SCOPE_KEY_GROUP */
    uint32_t version;  /* of the plugin's state, as written */
    uint32_t instance; /* which instance of the node wrote it */
    weir_str split;    /* SPLIT scope: its id; KEY_GROUP: the group's number, decimal */
    weir_str bytes;
} state_blob;

typedef struct state_committable {
    uint64_t epoch;    /* that prepared it */
    uint32_t version;  /* of the plugin's committables, as written */
    uint32_t instance; /* which instance of the node prepared it */
    uint64_t records;  /* that the instance took in that epoch: for reports, not for decisions */
    weir_str bytes;
} state_committable;

typedef struct state_part {
    struct state_part *next; /* more parts of the same acknowledgement; part_free frees them all */
    arena *memory;
    uint32_t node; /* index among the checkpoint's nodes */
    bool captured; /* taken at the trigger: overridden by what tasks say of the same splits */
    state_split *splits;
    uint32_t split_count, split_cap;
    state_blob *blobs;
    uint32_t blob_count, blob_cap;
    state_committable *committables;
    uint32_t committable_count, committable_cap;
} state_part;

typedef struct state_node {
    weir_str name, type, plugin_id, plugin_version;
    uint32_t kind; /* WEIR_KIND_* */
    uint32_t parallelism;
    uint32_t split_version; /* of the splits' private bytes and positions, as written */
    state_split *splits;
    uint32_t split_count;
    state_blob *blobs;
    uint32_t blob_count;
    state_committable *committables;
    uint32_t committable_count;
} state_node;

typedef enum {
    CHECKPOINT_PERIODIC = 1,
    CHECKPOINT_RESTORE = 2,   /* the first one of a run: nothing prepared, a new epoch */
    CHECKPOINT_SAVEPOINT = 3, /* sealed: nothing prepared, nothing open */
    CHECKPOINT_FINAL = 4      /* sealed, and the run ended behind it */
} checkpoint_kind;

typedef struct checkpoint {
    arena *memory;
    checkpoint_kind kind;
    uint64_t epoch;
    uint64_t parent; /* epoch of the checkpoint this line of runs was restored from; 0 = none */
    weir_str name;   /* of a savepoint; else empty */
    weir_str pipeline;
    weir_str instance_id; /* 16 hex digits; a fork gets a new one */
    weir_str weir_version;
    weir_str path;      /* of the file it was read from; else empty; no part of the file */
    int64_t created_us; /* wall clock */
    uint32_t max_parallelism;
    state_node *nodes;
    uint32_t node_count;
} checkpoint;

/* ---- parts ---- */

state_part *part_new(uint32_t node); /* NULL without memory */
void part_free(state_part *p);       /* with those behind it; NULL is ignored */
/* Each copies what it is given. WEIR_E_NOMEM, or TOO_LARGE at a limit of base/limits.h. */
weir_status part_add_split(state_part *p, const state_split *s);
weir_status part_add_blob(state_part *p, const state_blob *b);
weir_status part_add_committable(state_part *p, const state_committable *c);

/* ---- checkpoints ---- */

/* Without nodes; texts are empty. NULL without memory. */
checkpoint *checkpoint_new(checkpoint_kind kind, uint64_t epoch);
void checkpoint_free(checkpoint *c); /* NULL is ignored */
/* Copies header and nodes' identities (not their splits, blobs, committables) of `like`. */
checkpoint *checkpoint_like(const checkpoint *like, checkpoint_kind kind, uint64_t epoch);
/* Adds what the parts hold to the nodes they name, captured parts first; of several splits with one
 * id the last one stays, a task's over a captured one, in the place of the first. Parts stay the
 * caller's. After an error `c` is as it was. WEIR_E_NOMEM, TOO_LARGE at a limit of base/limits.h,
 * INVALID_ARG for a part of no node. */
weir_status checkpoint_merge(checkpoint *c, state_part *const *parts, uint32_t count);
/* A copy with everything, or without committables. A name is kept by savepoints and final ones
 * only; `path` is not kept. NULL without memory. */
checkpoint *checkpoint_copy(const checkpoint *from, checkpoint_kind kind, uint64_t epoch,
                            bool committables);
const state_node *checkpoint_node(const checkpoint *c, weir_str name); /* NULL if absent */
uint64_t checkpoint_committables(const checkpoint *c);                 /* over all nodes */

#endif
