/*
 * tests/sim/vdisk.h - a disk in memory that keeps what was synced, and of the rest what it likes.
 *
 * A file has the bytes that everybody sees, and the bytes that survive a power failure. A folder
 * has names that everybody sees, names that survive, and the changes in between, each of which may
 * survive or not on its own. Behind two tables: struct disk for the store, pending_fs for files.
 */
#ifndef SIM_VDISK_H
#define SIM_VDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checkpoint/disk.h"

struct world;
typedef struct vdisk vdisk;

vdisk *vdisk_new(struct world *w);
void vdisk_free(vdisk *d);

/* What the store is given. */
const disk *vdisk_store(vdisk *d);
/* A process died: its locks and descriptors are gone. NULL = every process. */
void vdisk_process_died(vdisk *d, const void *process);
void vdisk_power_failure(vdisk *d);

/* ---- for files; each answers 0 or an errno ---- */

int vdisk_create(vdisk *d, const char *path, int *fd);
int vdisk_open(vdisk *d, const char *path, int *fd);
void vdisk_close(vdisk *d, int fd);
int vdisk_write(vdisk *d, int fd, const void *bytes, size_t size, uint64_t offset);
int vdisk_read(vdisk *d, int fd, void *out, size_t size, uint64_t offset, size_t *got);
int vdisk_truncate(vdisk *d, int fd, uint64_t size);
int vdisk_sync(vdisk *d, int fd);
int vdisk_sync_dir(vdisk *d, const char *path);
int vdisk_rename_new(vdisk *d, const char *from, const char *to); /* EEXIST if `to` is there */
int vdisk_remove(vdisk *d, const char *path);
int vdisk_stat(vdisk *d, const char *path, uint64_t *size, uint64_t *inode);
int vdisk_list(vdisk *d, const char *path, int (*each)(void *opaque, const char *name),
               void *opaque);

/* ---- for the checks, without faults ---- */

/* Every file of a folder. */
void vdisk_each(vdisk *d, const char *folder,
                void (*each)(void *opaque, const char *name, const uint8_t *bytes, size_t len),
                void *opaque);
/* A file that was there before: put there whole and durable. */
void vdisk_put(vdisk *d, const char *path, const void *bytes, size_t len);
/* Damages a byte of the file, or mends it (the same call again). False if there is no such file. */
bool vdisk_flip(vdisk *d, const char *path);
/* The last name in a folder, in the order of bytes; false if it is empty. */
bool vdisk_last(vdisk *d, const char *folder, char *path, size_t size);

#endif
