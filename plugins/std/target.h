/*
 * plugins/std/target.h - one path of a `file` sink, the file being written for it, and files that
 * are complete and wait for their names.
 *
 *   path option        complete
 *   out/a.jsonl        out/a.jsonl             exactly that name, once;
 *                      out/a-000001.jsonl      if it exists already
 *   ... with roll      out/a-000001.jsonl, out/a-000002.jsonl, ...
 *   out/               out/part-STAMP-000001.txt
 *
 * With several tasks, -tN stands before the number. Numbers have six digits, so that the names of
 * one task sort in writing order. An existing file is never overwritten. While it is written a file
 * has the name of pending.h, which no other run, node or task ever uses; the final one is chosen
 * when it is sealed.
 *
 *   target_ready/write -> target_seal -> sealed: sealed_sync -> committed, or published at once
 *
 * All functions: the sink's task.
 */
#ifndef WEIR_STD_TARGET_H
#define WEIR_STD_TARGET_H

#include <sys/uio.h>

#include "folders.h"
#include "pending.h"
#include "std.h"

/* A complete file under its pending name. */
typedef struct sealed {
    struct sealed *next;
    char *key; /* as the template gave it */
    size_t dir_len;
    char *prefix; /* of its folder */
    char *name;   /* pending */
    char *final;  /* both are names in that folder */
    uint64_t final_hash;
    uint64_t length, inode, tail, records;
    int64_t first_us;
    int fd;        /* -1 = closed */
    bool dirty;    /* holds bytes that no fsync has seen, or its tail is not known */
    bool prepared; /* is in a checkpoint, or on its way there */
} sealed;

/* What all files of a sink have in common. */
typedef struct target_rules {
    weir_ctx *ctx;
    pending_fs fs;
    pending_id id;    /* its texts are the sink's */
    uint64_t counter; /* of the next pending file */
    folders folders;
    uint32_t framing;
    uint32_t parallelism;
    bool of_records; /* records have a say in the path: one that cannot be is theirs to lose */
    bool numbered;   /* rolling was asked for: every name has its number */
    size_t literal;  /* with of_records: bytes of every key that the manifest wrote itself */
    weir_str suffix; /* of generated names */
    char stamp[24];  /* of generated names: when the sink was opened */
    sealed *waiting; /* not committed yet, oldest first: their final names are taken */
    sealed **waiting_end;
    /* An fsync failed: what is on the disk is not known any more, and only a restart from the last
     * checkpoint can tell. Every write and flush answers this until then. */
    weir_status broken;
} target_rules;

typedef struct target {
    struct target *next;  /* of the hash bucket */
    struct target *newer; /* recently used list */
    struct target *older;
    char *key; /* as the template says; ends in '/' for generated names */
    size_t key_len;
    size_t dir_len; /* bytes of the key up to its last slash, with it */
    char *path;     /* the key, relative to the manifest's folder */
    size_t path_len;
    char *prefix; /* path up to its last slash, with it; perhaps empty */
    uint64_t hash;
    char *pending;     /* name of the file under way; NULL = none */
    int fd;            /* -1 = closed for now, or none */
    const char *fault; /* why no file can have this path, if the record is to blame (static) */
    bool direct;       /* a device or FIFO: written in place, neither synced nor renamed */
    bool dirty;        /* holds bytes that no fsync has seen */
    bool scanned;
    uint64_t next_number;
    uint64_t size; /* bytes, always a record's boundary */
    uint64_t inode;
    uint64_t tail; /* of `size` bytes, once synced */
    uint64_t records;
    int64_t first_ns;
    int64_t first_us;
    int64_t last_ns;
} target;

/* NULL without memory. */
target *target_new(const target_rules *rules, weir_str key, uint64_t hash);
/* Closes and forgets; a pending file stays where it is. NULL is ignored. */
void target_free(const target_rules *rules, target *t);

/* Makes sure that there is a file to write to and that it is open. DATA (PER_RECORD) and `fault`
 * if no file can have this path and the records that made it are to blame; it is the manifest's
 * fault if they had no say in it, or if the folder that its literal part names is none. */
weir_status target_ready(target_rules *rules, target *t, weir_error *error);
/* Writes whole records. On failure the file is cut back to where it was, so that a retry neither
 * tears nor repeats a record. `deadline_ns` bounds waiting for a FIFO's reader. */
weir_status target_write(target_rules *rules, target *t, struct iovec *iov, uint32_t count,
                         uint64_t bytes, int64_t deadline_ns, weir_error *error);
/* Makes durable what was written; its name is due with folders_sync. */
weir_status target_sync(target_rules *rules, target *t, weir_error *error);
/* Moves the file, with its descriptor, to the end of the waiting ones and chooses its final name.
 * Afterwards the target has no file; without one nothing happens. An empty file is removed. */
weir_status target_seal(target_rules *rules, target *t, weir_error *error);
/* Gives the descriptor back; the next target_ready opens it again. */
void target_close(target *t);

/* Gives the target a file of an earlier run, its state in `file`; what lies behind its length is
 * cut off by the caller. NOMEM changes nothing. */
weir_status target_resume(target_rules *rules, target *t, const pending_file *file);
/* The fields of a checkpoint's entry for the file under way, or for a sealed one. They point into
 * the target. */
pending_file target_state(const target *t);
pending_file sealed_state(const sealed *s, pending_kind kind);

/* Makes a sealed file durable and gives its descriptor back; its name is due with folders_sync. */
weir_status sealed_sync(target_rules *rules, sealed *s, weir_error *error);
/* Takes it from the waiting ones and frees it; the file stays. */
void sealed_drop(target_rules *rules, sealed *s);

/* Fails with what the errno means for a sink, and hints. */
weir_status target_fail(const target_rules *rules, weir_error *error, const char *what,
                        const char *path, int code);
/* The same for an fsync: nothing can be retried, and the sink is broken from now on. */
weir_status target_fail_sync(target_rules *rules, weir_error *error, const char *path, int code);

#endif
