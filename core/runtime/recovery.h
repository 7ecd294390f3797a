/*
 * core/runtime/recovery.h - restore with the plugins of this pipeline.
 *
 * checkpoint/restore.c says in which order; here are the instances that it commits and recovers
 * with, opened as COMMITTER on the control thread, before any task opens.
 */
#ifndef WEIR_RUNTIME_RECOVERY_H
#define WEIR_RUNTIME_RECOVERY_H

#include "checkpoint/restore.h"
#include "runtime/context.h"

/* 16 hex digits and a NUL into `out`; false without random bytes. */
bool recovery_new_run_id(char *out, size_t size);
/* It becomes part of file names: nothing else is taken from a checkpoint's file. */
bool recovery_good_run_id(weir_str id);

/* Header and node identities of every checkpoint of this run, by node index. `from` is what it
 * starts from, NULL = a fresh start. NULL with `err`. The caller frees it. */
checkpoint *recovery_describe(const context *cx, const checkpoint *from, weir_error *err);

typedef struct recovery_config {
    context *cx;
    store *store;
    const checkpoint *from; /* NULL = a fresh start */
    const checkpoint *like; /* from recovery_describe */
    bool fork;
    bool (*interrupted)(void *opaque); /* may be NULL */
    void *interrupted_opaque;
} recovery_config;

/* WEIR_OK with the durable checkpoint that the run starts from; the caller frees it. [control] */
weir_status recovery_run(const recovery_config *config, checkpoint **out, weir_error *err);

#endif
