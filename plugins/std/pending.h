/*
 * plugins/std/pending.h - the protocol of files that appear whole or not at all.
 *
 *   .a.jsonl.RUN-NODE-TASK-EPOCH-N.pending      while it is written, and until it is committed
 *   a.jsonl                                     afterwards
 *
 * The name of a pending file says whose it is: the pipeline's instance (RUN), the node, the task,
 * the epoch that the task was restored from (no number is ever used twice) and a counter. Here are
 * those names, what a checkpoint remembers of a file, and the decisions of commit, abort and
 * recover. Everything it does to files goes through a table, because the simulator runs this code
 * on a disk that forgets what was not synced. Nothing here allocates but pending_recover.
 *
 * A folder is given as a prefix: empty, or ending in '/'. Rules 5 to 9, 11, 14 and 15 of
 * docs/delivery.md. All functions: one thread at a time.
 */
#ifndef WEIR_STD_PENDING_H
#define WEIR_STD_PENDING_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/sink.h"

/* ---- the file system, as far as the protocol needs it ---- */

typedef struct pending_stat {
    uint64_t size;
    uint64_t inode;
} pending_stat;

/* Every function answers 0 or an errno. Descriptors are the table's own numbers, from 0. */
typedef struct pending_fs {
    void *self;
    /* A new file for reading and writing; EEXIST if the name is taken. */
    int (*create)(void *self, const char *path, int *fd);
    /* A regular file for reading and writing, never through a symbolic link. */
    int (*open)(void *self, const char *path, int *fd);
    void (*close)(void *self, int fd);
    /* All of the bytes, or an error. */
    int (*write)(void *self, int fd, const void *bytes, size_t size, uint64_t offset);
    int (*read)(void *self, int fd, void *out, size_t size, uint64_t offset, size_t *got);
    int (*truncate)(void *self, int fd, uint64_t size);
    /* The file's bytes are durable. After a failure what is in it is unknown for good. */
    int (*sync)(void *self, int fd);
    /* The names in a folder are durable. */
    int (*sync_dir)(void *self, const char *prefix);
    /* Never replaces: EEXIST if `to` is there. May leave both names for one file if interrupted. */
    int (*rename)(void *self, const char *from, const char *to);
    int (*remove)(void *self, const char *path);
    int (*stat)(void *self, const char *path, pending_stat *out); /* ENOENT if there is none */
    /* Calls `each` with every name but "." and ".."; stops when that answers non-zero, with it. */
    int (*list)(void *self, const char *prefix, int (*each)(void *opaque, const char *name),
                void *opaque);
    void *(*alloc)(void *self, size_t size);
    void (*release)(void *self, void *memory);
} pending_fs;

/* The file system of this machine; `ctx` (a weir_ctx) is where memory comes from. */
pending_fs pending_fs_system(void *ctx);

/* ---- names ---- */

typedef struct pending_id {
    weir_str run;  /* unique id of the pipeline's instance; empty = a host without such ids */
    weir_str node; /* name of the node */
    uint32_t task;
    uint64_t epoch; /* restored from; 0 = none */
} pending_id;

#define PENDING_NAME_MAX (NAME_MAX + 1) /* with its NUL */
#define PENDING_PATH_MAX (PATH_MAX + NAME_MAX + 1)
#define PENDING_SUFFIX ".pending"
#define PENDING_JOURNAL "weir" /* in the place of a target */
#define PENDING_JOURNAL_SUFFIX ".folders"

/* `target` is cut as far as the system's limit on names asks for. `suffix`: PENDING_SUFFIX or
 * PENDING_JOURNAL_SUFFIX. */
void pending_name(char out[PENDING_NAME_MAX], const pending_id *id, const char *target, uint64_t n,
                  const char *suffix);
/* Was the name made by pending_name for this run and node (any task, epoch, counter, target)? Never
 * true for an empty run. */
bool pending_is_of(const char *name, size_t len, const pending_id *id, const char *suffix);
/* Where the extension of a file name begins: "a.jsonl" -> ".jsonl", "a.txt.gz" -> ".txt.gz". */
size_t pending_extension(const char *name, size_t len);

/* ---- what a checkpoint remembers ---- */

#define PENDING_VERSION 1u
typedef enum pending_kind {
    PENDING_COMMITTABLE = 'C', /* complete: to be renamed. `text` is its final name */
    PENDING_OPEN = 'O',        /* still written to. `text` is what the path template gave */
    PENDING_ROOT = 'R'         /* no file: `text` is the folder where journals lie */
} pending_kind;

typedef struct pending_file {
    pending_kind kind;
    weir_str text;
    weir_str dir;     /* as the path template gave it: relative to the manifest, or absolute */
    weir_str name;    /* in that folder */
    uint64_t length;  /* bytes that count; what lies behind them does not */
    uint64_t inode;   /* with length and tail: is a file under another name this one? */
    uint64_t tail;    /* pending_tail of the length */
    uint64_t records; /* for reports */
    int64_t first_us; /* wall clock of the first record: how old it is */
} pending_file;

#define PENDING_BLOB_MAX (2 * PATH_MAX + 2 * NAME_MAX + 64)
/* Writes the blob to `out` of PENDING_BLOB_MAX bytes; its length, 0 if a text is too long. */
size_t pending_encode(const pending_file *file, char *out);
/* The texts point into `bytes`. WEIR_E_INCOMPATIBLE for a version that is not known, WEIR_E_DATA
 * for everything that pending_encode would not have written. */
weir_status pending_decode(weir_str bytes, pending_file *out);

/* Fingerprint of the last bytes of the first `length`, 4096 at most. */
#define PENDING_TAIL_BYTES 4096u
int pending_tail(const pending_fs *fs, int fd, uint64_t length, uint64_t *out);

/* ---- flush: nothing may be prepared that these have not made durable ---- */

int pending_sync(const pending_fs *fs, int fd);
int pending_sync_names(const pending_fs *fs, const char *prefix);
/* Did a sync_dir that failed so get as far as the fsync? If not it may be tried again. */
bool pending_sync_broke(int code);

/* ---- commit and abort ---- */

typedef struct pending_outcome {
    uint32_t verdict; /* WEIR_VERDICT_* */
    bool sync;        /* the verdict holds only after pending_commit_names of the folder */
    int code;         /* errno behind RETRY; 0 = none */
    const char *what; /* what failed or why it is lost (static, lower case); NULL = nothing */
    char final[PENDING_NAME_MAX]; /* DONE: the name it got */
} pending_outcome;

/*
 * Gives the file its final name; may be repeated however often, by whom and after whatever crash.
 *
 *   pending file   final name          then
 *   whole          free                rename: DONE
 *   whole          the same file       remove the pending name: DONE (an interrupted rename)
 *   whole          another file        rename to the next free number: DONE
 *   short, other   -                   set aside as NAME.damaged: LOST
 *   gone           has our bytes       ALREADY
 *   gone           not, but a file of this folder has our inode and bytes: ALREADY
 *   gone           not                 LOST
 */
void pending_commit(const pending_fs *fs, const char *prefix, const pending_file *file,
                    pending_outcome *out);
/* Makes the names durable; due after every commit and abort that asks for it. */
int pending_commit_names(const pending_fs *fs, const char *prefix);
/* Removes the pending file; DONE also if there is none. */
void pending_abort(const pending_fs *fs, const char *prefix, const pending_file *file,
                   pending_outcome *out);
/* The name in this folder under which a file of this inode, length and tail is known; 0 = found,
 * ENOENT = there is none. A file that was open may be longer by now. */
int pending_find(const pending_fs *fs, const char *prefix, const pending_file *file,
                 char out[PENDING_NAME_MAX]);

/* ---- recover ---- */

typedef struct pending_recovery {
    const pending_fs *fs;
    const pending_id *id;         /* task and epoch do not matter */
    const weir_blob *const *kept; /* [kept_count] what checkpoints refer to: never removed */
    uint32_t kept_count;
    /* The prefix to use for a `dir`: NULL without memory; released with fs->release. */
    char *(*prefix_of)(void *opaque, weir_str dir);
    bool (*stopped)(void *opaque); /* time is up: ends with ECANCELED */
    void *opaque;
    const char *what; /* out: what failed (static) */
    uint64_t found;   /* out: files of this run and node that no checkpoint refers to */
    uint64_t removed; /* out */
} pending_recovery;

/*
 * Removes what a dead run left: in the root folders given, in those that kept blobs name, and in
 * every folder that a journal in a root names. Journals go when nothing is left that they lead to,
 * and become one when there are several. roots[0] is where writers put theirs.
 * EBADMSG before anything is removed if a kept blob cannot be read.
 */
int pending_recover(pending_recovery *r, const weir_str *roots, uint32_t root_count);

/* One journal entry for a folder (`dir`, at most PATH_MAX): its bytes, written to `out` of
 * PENDING_ENTRY_MAX; 0 if it is too long. */
#define PENDING_ENTRY_MAX (PATH_MAX + 16)
size_t pending_journal_entry(weir_str dir, char *out);

#endif
