/*
 * tests/sim/sim.h - what every part of the simulator knows: the seed, the clock, the records.
 *
 * One world is one schedule. Everything that happens in it follows from its seed: there are no
 * threads, no sleeping and no clock but `now`.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "vdisk.h"

#define MS CLOCK_NS_PER_MS

#define SPLITS_MAX 24u
#define RECORDS_MAX 256u
#define SINK_NODES 3u /* two in the manifest's middle, and the dead-letter sink */
#define PARALLEL_MAX 2u
#define RUNS_MAX 512u
#define EPOCHS_MAX 4096u
#define SAVEPOINTS_MAX 32u
#define POOL_MAX 12u

typedef enum { SINK_NONE, SINK_FILE, SINK_S3, SINK_KAFKA, SINK_PLAIN, SINK_KINDS } sink_kind;

/* What a schedule is like. Drawn from the seed, then overridden by a directed configuration
 * ("key=value ..."). Probabilities are in thousandths. */
#define CONFIG_FIELDS(X)                                                                           \
    X(sources)       /* source nodes: 1, 2 */                                                      \
    X(roots)         /* splits that nobody split: 1 .. 4 */                                        \
    X(reshards)      /* splits that end with children, at most */                                  \
    X(records)       /* of a split, at most */                                                     \
    X(late)          /* a root split appears later */                                              \
    X(list_children) /* enumeration lists children before their parents have ended */              \
    X(by_key)        /* exchanges by key, one source task; else by split */                        \
    X(stateless)     /* stages */                                                                  \
    X(keyed)                                                                                       \
    X(sink_a) /* sink_kind */                                                                      \
    X(sink_b)                                                                                      \
    X(parallel)     /* of stages and sinks, at most: 1, 2 */                                       \
    X(source_tasks) /* at most: 1, 2 */                                                            \
    X(channel)      /* records that an exchange holds */                                           \
    X(interval)     /* of checkpoints, ms */                                                       \
    X(timeout)                                                                                     \
    X(tolerable)                                                                                   \
    X(retain)                                                                                      \
    X(crashes)       /* at most */                                                                 \
    X(crash)         /* at a step */                                                               \
    X(crash_restore) /* somewhere inside a restore */                                              \
    X(power)         /* share of crashes that are power failures */                                \
    X(disk)          /* failures of the disk, by operation */                                      \
    X(flush)         /* failures of a flush */                                                     \
    X(commit)        /* commits that fail; half of them were carried out all the same */           \
    X(stall)         /* a task stands still for longer than a checkpoint may take */               \
    X(savepoint)     /* by step */                                                                 \
    X(stop)          /* by step */                                                                 \
    X(fork)          /* restarts that go back to an older savepoint */                             \
    X(keep_open)     /* sinks keep files and uploads open across checkpoints */                    \
    X(link_rename)   /* a rename leaves both names when it is interrupted */                       \
    X(kafka_timeout) /* of transactions, ms; 0 = none */                                           \
    X(down)          /* longest time between death and restart, ms */                              \
    X(rot)           /* the newest checkpoint is damaged once */                                   \
    X(lifecycle)     /* open uploads are removed by the bucket's rules */                          \
    X(second)        /* somebody starts a second process */                                        \
    X(leave)         /* sink b leaves the manifest after a crash */                                \
    X(newer_state)   /* the state was written by a newer version */                                \
    X(again)         /* after the end: restart and see that nothing comes twice */

typedef struct sim_config {
#define X(name) uint32_t name;
    CONFIG_FIELDS(X)
#undef X
} sim_config;

/* A split of the outside world. */
typedef struct truth_split {
    char id[8];
    uint32_t source; /* node */
    uint32_t parents[2], parent_count;
    uint32_t children[2], child_count;
    uint32_t first, count; /* of its records */
    int64_t visible_ns;
    bool ended; /* somebody read its end: enumeration lists its children */
} truth_split;

/* A record. Order is promised within a lane: its split, or its key. */
typedef struct truth_record {
    uint32_t split, lane, order;
} truth_record;

/* A record as a sink wrote it. */
typedef struct written {
    uint64_t epoch;  /* the last barrier ahead of it at that sink task */
    uint32_t record; /* index among the truth's */
    uint32_t run;    /* process that wrote it */
    uint32_t serial; /* of the write, over all sinks */
    uint32_t feeder; /* dead letters: node that gave it up */
} written;

/* A place in the history of runs: what a checkpoint covers. */
typedef struct line {
    bool set;
    int32_t run; /* -1 = nothing was ever read */
    uint64_t barrier;
} line;

struct s3;
struct kafka;
struct process;

typedef struct world {
    uint64_t seed, random;
    sim_config config;
    const char *mutation; /* NULL = all rules on */
    bool trace;

    int64_t now;
    uint64_t steps;
    int64_t calm_ns;
    bool calm; /* no more faults: the schedule runs to its end */
    weir_clock clock;

    /* The process that is running right now, and its death. */
    bool crashed;     /* operations have no effect any more */
    int32_t crash_in; /* operations until then; < 0 = never */
    bool crash_power;
    uint32_t crashes;

    truth_split splits[SPLITS_MAX];
    uint32_t split_count;
    truth_record records[RECORDS_MAX];
    uint32_t record_count;

    vdisk *disk;
    struct s3 *s3;
    struct kafka *kafka;
    uint32_t *delivered[SINK_NODES]; /* plain sinks: times, by record */

    struct process *process[2]; /* the second one only if somebody started it */
    struct process *current;    /* the one that is at work */
    uint32_t runs;
    line parents[RUNS_MAX]; /* where a run began */
    line lines[EPOCHS_MAX]; /* by epoch: what that checkpoint covers */
    line live;              /* of the newest checkpoint known to be durable */
    uint32_t serials;
    uint8_t *excused; /* by serial: written in a future that somebody gave up on purpose */
    uint32_t excused_cap;
    uint32_t lost;                      /* pieces reported as lost */
    bool told[SINK_NODES][RECORDS_MAX]; /* records in them */

    struct {
        char name[16];
        uint64_t epoch;
    } savepoints[SAVEPOINTS_MAX];
    uint32_t savepoint_count, tickets;
    char from[16];        /* --from of the next start; empty = latest */
    char from_before[16]; /* of the last one: for the mutation from_again */
    line wanted;          /* the final line must come through here */
    bool must_not_repeat; /* the next restore gives up nothing */
    char stop_name[16];   /* savepoint of the stop under way */
    bool stop_named;      /* and it is there */
    bool left;            /* sink b is not in the manifest */
    bool rotten;
    char rotten_path[128];
    uint64_t final_epoch; /* at the last exit 0 */

    char left_files[32][128]; /* pending files that the last recovery kept on purpose */
    uint32_t left_file_count;

    uint32_t ops;
    char violation[256]; /* empty = none */
} world;

/* ---- chance ---- */

static inline uint64_t sim_random(world *w) {
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static inline uint32_t sim_below(world *w, uint32_t n) {
    return n == 0 ? 0 : (uint32_t)((sim_random(w) >> 32) * n >> 32);
}
static inline bool sim_chance(world *w, uint32_t per_mille) {
    return per_mille > 0 && sim_below(w, 1000) < per_mille;
}
/* A fault: never when the schedule is to come to its end. */
static inline bool sim_fault(world *w, uint32_t per_mille) {
    return !w->calm && sim_chance(w, per_mille);
}

/* ---- the world ---- */

void config_draw(world *w);
bool config_set(sim_config *c,
                const char *text); /* "key=value ..."; false if there is no such key */
void config_print(const sim_config *c);

bool world_init(world *w, uint64_t seed, const char *mutation, const char *directed);
void world_free(world *w);
void world_trace(world *w); /* from here on what happens is printed */
/* One operation of the running process on anything outside. False: it has died before it, and
 * nothing may change. */
bool world_op(world *w);
/* The first one stays. */
void violate(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace(const world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The rule is taken away (mutation.h's mutation_on for the world that runs). */
bool mutated(const char *name);

/* Was the record covered by that place in history? */
bool line_covers(const world *w, line at, const written *r);
/* A record became visible outside. */
void world_visible(world *w, const written *r, uint32_t count);
/* Everything that is visible and not covered by `at` is given up on purpose. */
void world_excuse(world *w, line at);
bool world_excused(const world *w, const written *r);

/* ---- whole schedules ---- */

/* Runs one schedule to its end. False: `violation` says what was broken. */
bool sim_run(world *w);
/* The state of the world after exit 0 (`end`: everything was read), or after the power failed then.
 */
void check_exit(world *w, bool end, bool after_power);
/* Sink b left the manifest, and nobody objected: all that it had taken must be visible. */
struct checkpoint;
void check_left(world *w, const struct checkpoint *from);

#endif
