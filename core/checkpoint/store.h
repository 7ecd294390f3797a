/*
 * core/checkpoint/store.h - where checkpoints and savepoints of one pipeline lie.
 *
 *   <state>/<pipeline>/lock                       held by the worker as long as it lives
 *   <state>/<pipeline>/checkpoints/<epoch, 20 digits>.weir
 *   <state>/<pipeline>/savepoints/<name>.weir
 *   .../<name>.weir.tmp                           ignored, removed at open
 *
 * Writing: temporary name, bytes, sync of the file, rename, sync of the folder. The highest epoch
 * among the checkpoints wins. A file under a final name that cannot be read may be one that was
 * committed: what then happens depends on the guarantee (store_newest). Used by one thread.
 */
#ifndef WEIR_CHECKPOINT_STORE_H
#define WEIR_CHECKPOINT_STORE_H

#include "base/clock.h"
#include "checkpoint/disk.h"
#include "checkpoint/state.h"

typedef struct store store;

typedef struct store_config {
    const disk *disk;
    const char *folder; /* <state>/<pipeline>, absolute */
    const char *place;  /* settings.checkpoint.store/<pipeline>, or NULL = `folder` */
    weir_str pipeline;
    uint32_t retain;         /* checkpoints kept; 0 counts as 1 */
    const weir_clock *clock; /* for store_written.sync_ns; NULL = the system's */
} store_config;

/* Makes the folders, takes the lock (a second one in `place` if that is elsewhere: it may be shared
 * between machines), removes temporary files, and looks at what there is. With `read_only` neither
 * folders nor lock nor removal nor writing: for `savepoint list` and `status` beside a running
 * worker. NULL with `err`: EXISTS when another process runs this pipeline. `config` and what it
 * points to is copied, but for `disk` and `clock`. */
store *store_open(const store_config *config, bool read_only, weir_error *err);
void store_close(store *s); /* gives the lock back; NULL is ignored */

typedef struct store_entry {
    char path[4096];
    char name[160]; /* savepoints; else empty */
    uint64_t epoch; /* from the file's name for checkpoints; from inside for savepoints */
    uint64_t bytes;
    checkpoint_kind kind;
    int64_t created_us;
    bool readable;
    char why[256]; /* !readable: what is wrong */
} store_entry;

/* All checkpoints, newest first, or all savepoints, by name. The array is the caller's (free). */
weir_status store_list(store *s, bool savepoints, store_entry **out, uint32_t *count,
                       weir_error *err);

/* A number above every epoch that was ever seen here: in names of checkpoints, damaged and
 * temporary ones too, and inside savepoints. Grows with every call. */
uint64_t store_next_epoch(store *s);
/* From a checkpoint that came from elsewhere: later epochs are above it. store_load does it. */
void store_saw_epoch(store *s, uint64_t epoch);

/* The newest checkpoint into `out`, *out == NULL if there is none. A damaged file with a higher
 * epoch: `strict` refuses (WEIR_E_DATA) and names the file and the --from choices that can be read;
 * otherwise the newest that can be read is taken and the step back is logged; if there are files
 * and none can be read, that is refused as well. A file that is not damaged but may not be read, or
 * that a newer weir wrote, is no reason to step back: PERMISSION, INCOMPATIBLE. */
weir_status store_newest(store *s, bool strict, checkpoint **out, weir_error *err);
/* A savepoint by name, or any file by path (it contains a slash). NOT_FOUND names what there is,
 * with the nearest name. */
weir_status store_load(store *s, weir_str name_or_path, checkpoint **out, weir_error *err);
/* The file that `c` was read from (c->path), and its folder, made durable (again): before the first
 * commit of a restore. For a path outside the store as well. If the file's sync fails and it is one
 * of the store's, a new copy takes its place: a failed sync is never tried again on the same file.
 */
weir_status store_sync(store *s, const checkpoint *c, weir_error *err);

typedef struct store_written {
    uint64_t bytes;
    int64_t sync_ns;    /* of the two syncs together */
    bool maybe_durable; /* failed behind the rename: it may or may not be there after a crash */
} store_written;

/* Makes a checkpoint durable, then removes older ones beyond `retain`. Never removes what is newer
 * than the newest readable one. */
weir_status store_write(store *s, const checkpoint *c, store_written *out, weir_error *err);
/* The same under savepoints/<c->name>; EXISTS if the name is taken. Names: letters, digits, dot,
 * dash, underscore, not beginning with a dot or dash, at most 128 bytes; not `latest`, not `none`.
 */
weir_status store_write_savepoint(store *s, const checkpoint *c, store_written *out,
                                  weir_error *err);
weir_status store_check_name(weir_str name, weir_error *err);
/* Durably. NOT_FOUND like store_load. With a read-only store, too: savepoints are the operator's.
 */
weir_status store_delete_savepoint(store *s, weir_str name, weir_error *err);

#endif
