/*
 * core/checkpoint/restore.h - from a checkpoint to a pipeline that may write.
 *
 *   match        every node of the checkpoint against the manifest's; versions; nothing is touched
 *   sync         the file that was read is durable (it may be what a crash left in the cache)
 *   commit       node by node, everything prepared is committed again until it is decided
 *   write        the restore checkpoint: the same state, nothing prepared, a new epoch
 *   recover      orphans of the earlier run are aborted, node by node
 *
 * Only behind that may a writer open. Sequential, on the control thread, before any task starts;
 * what touches plugins comes through a table, so that the simulator runs this very code. Rules 11
 * to 16 and 19 of docs/delivery.md.
 */
#ifndef WEIR_CHECKPOINT_RESTORE_H
#define WEIR_CHECKPOINT_RESTORE_H

#include "checkpoint/store.h"

/* What the manifest has under a name, and what its plugin can read. */
typedef struct restore_node {
    weir_str name, type, plugin_id, plugin_version;
    uint32_t kind;
    uint32_t parallelism;
    bool two_phase, recovers;
    uint32_t state_min, state_max, committable_min, committable_max, split_min, split_max;
} restore_node;

typedef struct restore_ops {
    void *self;
    /* Opens node `n` as COMMITTER. `saved` is its state in the checkpoint, NULL without one. After
     * an error nothing is open and close is not called; it may be asked again. */
    weir_status (*open)(void *self, uint32_t n, const state_node *saved, weir_error *err);
    /* Commits items of one epoch, epochs in order; a verdict for each (WEIR_VERDICT_*). Returns
     * when all have one, or with an error after which all are tried again if it may pass:
     * RETRYABLE, TIMEOUT, THROTTLED, and neither FATAL nor CONFIG. The same for open and recover.
     */
    weir_status (*commit)(void *self, uint32_t n, const state_committable *const *items,
                          uint32_t count, uint32_t *verdicts, weir_error *err);
    /* Aborts what an earlier run of this instance id left open. `kept`: blobs of scope ITEM (what
     * is open) and BROADCAST (where earlier runs wrote, which the manifest may no longer say) of
     * `from` and of all retained checkpoints and savepoints, some of them more than once. */
    weir_status (*recover)(void *self, uint32_t n, const state_blob *const *kept, uint32_t count,
                           weir_error *err);
    void (*close)(void *self, uint32_t n);
    /* Waits between tries; WEIR_E_CANCELLED ends the restore. */
    weir_status (*wait)(void *self, int64_t ns, weir_error *err);
    /* The restore checkpoint is durable: from here on this run is a line of its own. May be NULL.
     */
    void (*durable)(void *self);
    /* What cannot be committed any more: logged, counted, told at the end. */
    void (*lost)(void *self, uint32_t n, const state_committable *item);
} restore_ops;

typedef struct restore_config {
    store *store;
    const checkpoint *from;    /* NULL = a fresh start */
    const restore_node *nodes; /* of the manifest, in order */
    uint32_t node_count;
    weir_str pipeline, instance_id; /* of this run: `from`'s, or a new one for a fork and a fresh
                                       start */
    weir_str weir_version;
    uint32_t max_parallelism;
    bool allow_non_restored;
    bool fork; /* `from` is another running pipeline's savepoint: nothing of it is aborted */
    int64_t now_us;
    const restore_ops *ops;
} restore_config;

/* WEIR_OK with `*out`, the durable checkpoint that the run starts from (its epoch is the restored
 * epoch), owned by the caller. A mismatch is WEIR_E_INCOMPATIBLE with the CONFIG flag and happens
 * before any side effect. */
weir_status restore_run(const restore_config *config, checkpoint **out, weir_error *err);

#endif
