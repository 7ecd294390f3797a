/*
 * plugins/std/folders.h - the folders in which a file sink has pending files.
 *
 * Recovery has to find what a dead run left, and paths are made from records: a folder cannot be
 * guessed, and listing everything below the literal part of the path might mean millions of
 * complete files. So each task keeps a journal, hidden in that literal folder (the root), of the
 * folders it made files in: an entry is durable before the first file is created there. Files in
 * the root itself, all files of a path without placeholders, need no journal.
 *
 * It also knows which folders hold names that are not durable yet, so that a flush syncs each once.
 * One task's; not locked.
 */
#ifndef WEIR_STD_FOLDERS_H
#define WEIR_STD_FOLDERS_H

#include "pending.h"
#include "std.h"

#define FOLDERS_BUCKETS 256u

typedef struct folder_entry {
    struct folder_entry *next; /* of the hash bucket */
    char *dir;                 /* as the path template gave it */
    char *prefix;
    size_t dir_len;
    uint64_t hash;
    bool dirty; /* holds names that are not durable */
} folder_entry;

typedef struct folders {
    weir_ctx *ctx;
    const pending_fs *fs;
    const pending_id *id;
    char *root; /* a dir: empty or ending in '/' */
    size_t root_len;
    bool journal;   /* keep one */
    bool root_done; /* the folders above the root are durable */
    folder_entry *buckets[FOLDERS_BUCKETS];
    size_t count;
    uint64_t counter; /* of the next journal's name */
    char *path;       /* of the journal; NULL = none yet */
    int fd;           /* -1 = none */
    uint64_t size;
} folders;

/* More folders than this are forgotten at a flush, and the journal begun anew. */
#define FOLDERS_MAX 16384u

/* `literal`: the path option's bytes in front of its first placeholder. `journal`: keep one, once
 * there is something to keep. NOMEM. */
weir_status folders_open(folders *f, weir_ctx *ctx, const pending_fs *fs, const pending_id *id,
                         weir_str literal, bool journal);
/* `clean`: nothing pending is left, so the journal goes too. May be called twice. */
void folders_close(folders *f, bool clean);

/* To be called before a file is created in a folder: 0 when recovery would find it there. The
 * folder's names are dirty from now on. An errno; ENOENT if the folder has to be made first.
 * `*sync_failed`: it was an fsync that failed. */
int folders_use(folders *f, weir_str dir, bool *sync_failed);
/* Makes all dirty names durable. `*path`: the folder that failed, valid until the next call. */
int folders_sync(folders *f, const char **path);

/* For a set that has grown beyond FOLDERS_MAX: keeps only the folders that `next` names, one after
 * the other until it answers false. A failure leaves the old journal in force. To be called when no
 * names are dirty. */
int folders_renew(folders *f, bool (*next)(void *opaque, weir_str *dir), void *opaque);

#endif
