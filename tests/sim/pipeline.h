/*
 * tests/sim/pipeline.h - one process that runs the pipeline: the host's glue, as small as it goes.
 *
 * It plays the part of core/runtime: source tasks that push batches and send barriers between
 * polls, stages that align, sink tasks around checkpoint/sink_epochs, the checkpoint thread around
 * checkpoint/coordinator. Each call of process_step lets one of them do one thing.
 */
#ifndef SIM_PIPELINE_H
#define SIM_PIPELINE_H

#include "checkpoint/aligner.h"
#include "checkpoint/coordinator.h"
#include "checkpoint/store.h"
#include "runtime/splits.h"
#include "vsink.h"

#define TASKS_MAX 16u
#define INPUTS_MAX 4u
#define GROUPS_MAX 3u
#define CHANNELS_MAX 48u
#define LANES_MAX 64u
#define BATCH_MAX 3u

typedef struct item {
    bool barrier, last;
    uint32_t record, feeder;
    uint64_t epoch;
} item;

/* Bounded by its records; barriers always find room. */
typedef struct channel {
    item *items;
    uint32_t head, count, cap, records;
} channel;

/* The instances of one downstream node. */
typedef struct outlet {
    channel *to[PARALLEL_MAX];
    uint32_t count;
    bool dead_letters;
} outlet;

struct process;

typedef struct task {
    struct process *p;
    uint32_t node, index, number;
    channel *inputs[INPUTS_MAX];
    uint32_t input_count;
    outlet outlets[GROUPS_MAX];
    uint32_t outlet_count;
    int64_t stalled_until;

    /* sources */
    splits *table;
    struct {
        uint32_t split, position;
    } reads[SPLITS_MAX];
    uint32_t read_count;
    uint32_t parked[BATCH_MAX]; /* records of a batch that is not pushed to its end */
    uint32_t parked_count;
    uint64_t barrier_epoch;
    uint64_t late_epoch; /* mutation snapshot_late: barrier out, share not taken */
    bool quiet, told_end;

    /* stages and sinks */
    aligner aligner;
    uint32_t next[LANES_MAX]; /* keyed: the order number that comes next in each lane */

    /* sinks */
    sink_epochs *epochs;
    vsink *sink;     /* two-phase */
    uint64_t passed; /* the last epoch it acknowledged */
    uint64_t commit_seen, done_seen;
    bool forwarded_early; /* mutation dead_letters_barrier_early */
    struct {
        uint64_t epoch; /* 0 = none under way */
        bool last;
        int64_t due_ns;
    } flushing;
    struct {
        uint64_t token; /* 0 = none under way */
        const state_committable *const *items;
        uint32_t count;
        int64_t due_ns;
    } committing;
    /* the host's batcher of a plain sink */
    uint32_t queued[8], queued_count;
    uint32_t flying[2][2], flying_count[2];
} task;

typedef struct process {
    world *w;
    uint32_t run, timeout_ms; /* of a checkpoint */
    store *store;
    checkpoint *restored;
    coordinator *machine;
    char instance_id[20];
    uint32_t parallelism[NODES];
    uint32_t saved_parallelism[NODES]; /* as the committer was opened with */
    uint32_t index[NODES]; /* among the checkpoint's nodes; UINT32_MAX = not in the manifest */
    bool enumerated[2];
    int64_t discover_ns;
    splits *tables[2];
    task tasks[TASKS_MAX];
    uint32_t task_count, source_tasks;
    channel channels[CHANNELS_MAX];
    uint32_t channel_count;
    uint64_t barrier_epoch, commit_epoch, done_epoch;
    order_kind order;
    int64_t grace_ns;        /* stopping: it is ended then */
    bool stopping, draining; /* somebody asked for the end; sources send nothing more */
    uint64_t begin_epoch;    /* mutation capture_late: the captured part is still to come */
    uint32_t shares;         /* ... after so many source tasks answered */
    bool failed;             /* the supervisor starts another */
    char why[160];
    bool exited; /* with status 0 */
    weir_error *err;
} process;

/* Starts a process: lock, restore, tasks. NULL if it could not, or died on the way (w->crashed). */
process *process_start(world *w, weir_status *status, char *why, size_t why_size);
/* It ends without a trace of its own. */
void process_end(process *p);
/* Lets somebody do something. False if nobody can before `*wake_ns`. */
bool process_step(process *p, int64_t *wake_ns);
/* The pipeline restarts. */
void process_fail(process *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- between start.c and pipeline.c ---- */

void channel_put(channel *c, item it);
bool source_step(task *t, int64_t *wake_ns);
bool sink_step(task *t, int64_t *wake_ns);
bool has_room(const task *t, uint32_t record, bool dead_letters);
void push(task *t, uint32_t record, uint32_t feeder, bool dead_letters);
void push_barrier(task *t, uint64_t epoch, bool last, bool dead_letters);
/* A blocked-or-empty-aware choice of an input; NULL if nothing can be taken. */
channel *choose_input(task *t, uint32_t *input);
item channel_take(channel *c);
/* Adds a part to the epoch, the way the mutation finished_splits_dropped wants it. */
state_part *without_finished(state_part *part);
void ack(task *t, uint64_t epoch, state_part *part, weir_status status, const weir_error *err);

#endif
