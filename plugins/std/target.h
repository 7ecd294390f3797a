/*
 * plugins/std/target.h - one file that a `file` sink is writing.
 *
 *   path option        while it is written         complete
 *   out/a.jsonl        out/.a.jsonl                out/a.jsonl             exactly that name, once;
 *                      out/.a-000001.jsonl         out/a-000001.jsonl      if it exists already
 *   ... with roll      out/.a-000001.jsonl         out/a-000001.jsonl, out/a-000002.jsonl, ...
 *   out/               out/.part-STAMP-000001.txt  out/part-STAMP-000001.txt
 *
 * With several tasks, -tN stands before the number. Numbers have six digits, so that the names of
 * one task sort in writing order. An existing file is never overwritten: completing is a rename
 * that refuses to replace.
 *
 * A file under way is locked (flock). A hidden file that nobody locks was left by a run that died:
 * whoever next writes to that name cuts it behind its last complete record and completes it, for
 * what a flush made durable stands in it.
 */
#ifndef WEIR_STD_TARGET_H
#define WEIR_STD_TARGET_H

#include <sys/uio.h>

#include "std.h"

/* What all files of a sink have in common. */
typedef struct target_rules {
    weir_ctx *ctx;
    uint32_t framing;
    uint32_t instance;
    uint32_t parallelism;
    bool of_records; /* records have a say in the path: one that cannot be is theirs to lose */
    bool numbered;   /* rolling was asked for: every name has its number */
    size_t literal;  /* with of_records: bytes of every key that the manifest wrote itself */
    weir_str suffix; /* of generated names */
    char stamp[24];  /* of generated names: when the sink was opened */
} target_rules;

typedef struct target {
    struct target *next;  /* of the hash bucket */
    struct target *newer; /* recently used list */
    struct target *older;
    char *key; /* as the template says; ends in '/' for generated names */
    size_t key_len;
    char *path; /* the same, relative to the manifest's folder */
    size_t path_len;
    uint64_t hash;
    char *hidden; /* the file under way; NULL = none */
    char *final;
    int fd;            /* -1 = closed for now, or none */
    const char *fault; /* why no file can have this path, if the record is to blame (static) */
    bool direct;       /* a device or FIFO: written in place, neither synced nor renamed */
    bool dirty;        /* holds bytes that no fsync has seen */
    bool fresh;        /* its name is not durable yet */
    bool scanned;
    uint64_t next_number;
    uint64_t size; /* bytes, always a record's boundary */
    int64_t first_ns;
    int64_t last_ns;
} target;

/* NULL without memory. */
target *target_new(const target_rules *rules, weir_str key, uint64_t hash);
/* Closes without completing: the file stays hidden. NULL is ignored. */
void target_free(const target_rules *rules, target *t);

/* Makes sure that there is a file to write to and that it is open. DATA (PER_RECORD) and `fault`
 * if no file can have this path and the records that made it are to blame; it is the manifest's
 * fault if they had no say in it, or if the folder that its literal part names is none. */
weir_status target_ready(const target_rules *rules, target *t, weir_error *error);
/* Writes whole records. On failure the file is cut back to where it was, so that a retry neither
 * tears nor repeats a record. `deadline_ns` bounds waiting for a FIFO's reader. */
weir_status target_write(const target_rules *rules, target *t, struct iovec *iov, uint32_t count,
                         uint64_t bytes, int64_t deadline_ns, weir_error *error);
/* Makes durable what was written. */
weir_status target_sync(const target_rules *rules, target *t, weir_error *error);
/* Makes durable and gives the file its final name. Afterwards the target has no file. */
weir_status target_complete(const target_rules *rules, target *t, weir_error *error);
/* Gives the descriptor back; the next target_ready opens it again. */
void target_close(target *t);

#endif
