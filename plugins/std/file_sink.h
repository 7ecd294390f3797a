/*
 * plugins/std/file_sink.h - the sink `file`, shared by its writing (file_sink.c) and what
 * checkpoints ask of it (file_epochs.c).
 *
 *   write    pending files grow                       roll: sealed, waiting for an epoch
 *   flush    everything is durable, under its pending name
 *   prepare  each sealed file becomes a committable   snapshot: each open one goes into the state
 *   commit   rename                                   restart: the open ones go on where they were
 *
 * A host that never asked for the two-phase calls gets files when they are rolled, flushed for the
 * last time or drained.
 */
#ifndef WEIR_STD_FILE_SINK_H
#define WEIR_STD_FILE_SINK_H

#include <stdatomic.h>

#include "path_rule.h"
#include "target.h"

#define FILE_SINK_BUCKETS 1024u
/* Files under way, open or not; beyond it the least recently used one is completed. */
#define FILE_SINK_TARGETS_MAX 16384u
#define FILE_SINK_IOV_MAX 256u
/* Kinds of failure of single records in one request. */
#define FILE_SINK_ERRORS_MAX 16u

/* An open file of an earlier run, as its state has it. */
typedef struct file_item {
    char *bytes;
    size_t len;
} file_item;

typedef struct file_sink {
    weir_ctx *ctx;
    target_rules rules;
    path_rule rule;
    weir_str option; /* the path as the manifest has it */
    char *run;       /* what rules.id points to */
    char *node;
    uint64_t roll_size;
    int64_t roll_age_ns;
    int64_t roll_idle_ns;
    uint32_t open_max;
    uint32_t open_count;
    uint32_t sealed_open; /* descriptors that sealed files may still hold */
    uint32_t target_count;
    target *buckets[FILE_SINK_BUCKETS];
    target *newest;
    target *oldest;
    int64_t check_ns; /* when the next file may be due for completion; INT64_MAX = none */
    file_item *items; /* [item_count]; those before item_next are taken up */
    uint32_t item_count;
    uint32_t item_next;
    uint64_t prepares;
    bool flushed_last;     /* the final flush succeeded, and nothing was written since */
    atomic_bool two_phase; /* the host asked for the calls */
    char *staging;
    struct iovec iov[FILE_SINK_IOV_MAX];
    /* Failures of the request under way. */
    uint32_t *failed_index;
    weir_status *failed_status;
    uint32_t *failed_error;
    uint32_t failed_count;
    uint32_t failed_capacity;
    weir_error *errors[FILE_SINK_ERRORS_MAX];
    const char *error_kind[FILE_SINK_ERRORS_MAX]; /* static texts: what errors[i] is about */
    uint32_t error_count;
    atomic_bool cancelled;
} file_sink;

/* ---- file_sink.c [task] ---- */

/* The target of a path, made if needed, now the most recently used one. Keeps the number of
 * descriptors below the limit, one of them for this target. */
weir_status file_sink_lookup(file_sink *self, weir_str path, target **out, weir_error *error);
/* drive shall look at the target when its age or idleness says so. */
void file_sink_check_at(file_sink *self, const target *t);

/* ---- file_epochs.c [task] ---- */

/* The part of open that is about identity and restored state. Touches no file. */
weir_status file_sink_open_epochs(file_sink *self, weir_open *args);
/* Takes up the open files of an earlier run, lazily: called by the first write, drive or flush. An
 * error leaves the rest for the next call. Also fails if the sink is broken. */
weir_status file_sink_resume(file_sink *self, weir_error *error);
/* Completes a file; gives it its final name at once for a host without two phases. */
weir_status file_sink_seal(file_sink *self, target *t, weir_error *error);
weir_status file_sink_flush(void *self, weir_flush *args);
/* Publishes what a host without two phases would never commit. */
weir_status file_sink_drain(file_sink *self, weir_error *error);
const void *file_sink_extension(void *self, const char *name); /* [control] */

#endif
