/*
 * core/checkpoint/disk.h - the few things the store asks of a file system, as a table.
 *
 * The system's disk stands behind it in the program; the simulator puts one there that forgets what
 * was not synced and tears what was half written. Paths are absolute. Every function fills `err`
 * with a text that names the path; statuses are those of base/os.h (NOT_FOUND, PERMISSION, EXISTS,
 * IO, TOO_LARGE, NOMEM).
 */
#ifndef WEIR_CHECKPOINT_DISK_H
#define WEIR_CHECKPOINT_DISK_H

#include "base/buf.h"
#include "base/error.h"

typedef struct disk {
    void *self;
    /* mkdir -p, folders 0700, each new one's parent synced. */
    weir_status (*make_dirs)(void *self, const char *path, weir_error *err);
    /* A new file (mode 0600, O_EXCL) with these bytes; not yet durable. */
    weir_status (*create)(void *self, const char *path, weir_str bytes, weir_error *err);
    /* Its bytes are durable. After a failure the file's content is unknown for good: never synced
     * again, never renamed. */
    weir_status (*sync_file)(void *self, const char *path, weir_error *err);
    /* The folder's names are durable. */
    weir_status (*sync_dir)(void *self, const char *path, weir_error *err);
    weir_status (*rename)(void *self, const char *from, const char *to, weir_error *err);
    weir_status (*remove)(void *self, const char *path, weir_error *err); /* NOT_FOUND is OK */
    /* A whole file, at most `max` bytes, appended to `out`. */
    weir_status (*read)(void *self, const char *path, size_t max, buf *out, weir_error *err);
    /* Calls `each` with the name of every entry of a folder, in any order, without "." and "..". */
    weir_status (*list)(void *self, const char *path, void (*each)(void *opaque, const char *name),
                        void *opaque, weir_error *err);
    /* Takes the lock file `path` for this process, close-on-exec, held until unlock or the end of
     * the process. EXISTS if another holds it; the text names that process if it can. */
    weir_status (*lock)(void *self, const char *path, int *handle, weir_error *err);
    void (*unlock)(void *self, int handle);
} disk;

/* The file system of this machine. */
extern const disk disk_system;

#endif
