/*
 * core/checkpoint/store_private.h - what store.c and store_read.c share.
 */
#ifndef WEIR_CHECKPOINT_STORE_PRIVATE_H
#define WEIR_CHECKPOINT_STORE_PRIVATE_H

#include "checkpoint/store.h"

#define STORE_PATH_MAX 4096u
#define STORE_SUFFIX ".weir"
#define STORE_TEMPORARY ".weir.tmp"

typedef enum { FILE_UNTRIED, FILE_READABLE, FILE_DAMAGED } file_state;

/* A file of checkpoints/ under its final name. */
typedef struct known_file {
    uint64_t epoch;
    file_state state;
} known_file;

struct store {
    const disk *disk;
    const weir_clock *clock;
    arena *memory; /* of the texts */
    char *place, *checkpoints, *savepoints;
    weir_str pipeline;
    uint32_t retain;
    bool read_only;
    int locks[2];
    uint32_t lock_count;
    uint64_t seen;     /* the highest epoch, wherever it was met */
    uint64_t given;    /* the last answer of store_next_epoch: for the mutation epoch_reused */
    known_file *files; /* the highest epoch first */
    uint32_t file_count, file_cap;
};

/* The names of a folder, sorted by bytes. A folder that is not there has none. */
typedef struct names {
    char **items;
    uint32_t count, cap;
    bool failed; /* without memory */
} names;
weir_status names_read(const store *s, const char *folder, names *out, weir_error *err);
void names_free(names *n);

/* "<20 digits>.weir", or with `temporary` the same with ".tmp" behind it. */
bool store_name_epoch(const char *name, bool temporary, uint64_t *epoch);
/* False if the path is too long. */
bool store_path(char out[STORE_PATH_MAX], const char *folder, weir_str name, const char *suffix);
bool store_checkpoint_path(const store *s, char out[STORE_PATH_MAX], uint64_t epoch);

/* Adds, or replaces the state of, one file. False without memory. */
bool store_know(store *s, uint64_t epoch, file_state state);
void store_forget(store *s, uint64_t epoch);

/* Reads one file into `out`; `bytes` (its size) and `err` may be NULL. DATA, INCOMPATIBLE, or what
 * the disk says. `epoch`: what its name says, 0 = nothing. The text names the file. */
weir_status store_read(const store *s, const char *path, uint64_t epoch, checkpoint **out,
                       uint64_t *bytes, weir_error *err);
/* The file is there, and what is in it is wrong or cannot be got out any more. */
bool store_is_damage(weir_status status);

#endif
