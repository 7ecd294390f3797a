/*
 * plugins/std/file_source.h - what the source `file` keeps: shared by what the host calls
 * (file_source.c) and by reading (file_read.c).
 */
#ifndef WEIR_STD_FILE_SOURCE_H
#define WEIR_STD_FILE_SOURCE_H

#include <stdatomic.h>

#include "file_list.h"
#include "std.h"

#define FILE_SEGMENT_BYTES (256u * 1024u)
/* Position: 16 bits of generation, 48 of offset; when following, the inode behind it. A file that
 * was replaced or truncated begins a generation, so that positions never go back. */
#define OFFSET_BITS 48u
#define OFFSET_MASK ((UINT64_C(1) << OFFSET_BITS) - 1)
#define POSITION_BYTES 8u
#define POSITION_BYTES_FOLLOW 16u

typedef struct split {
    char *path;
    char id[FILE_ID_MAX];
    uint32_t id_len;
    int fd; /* -1 = not open */
    uint64_t offset;
    uint64_t generation;
    uint64_t inode;   /* 0 = not known yet */
    uint64_t want;    /* bytes of a segment */
    uint64_t least;   /* bytes the next one must have: a record did not fit; 0 = no such need */
    uint64_t average; /* bytes of a record, as met so far */
    uint64_t size;    /* of the file when it was last looked at */
    int64_t next_ns;  /* not worth a look before */
    uint64_t used;    /* counts polls: which fd to close when there are too many */
    bool paused;
    bool idle;     /* and said so */
    bool drained;  /* the file behind fd was replaced: end of it, then the new one */
    bool skipping; /* inside a record that was too large */
    bool resumed;  /* from a position that nobody has compared with the file yet */
    bool finished;
} split;

typedef struct file_source {
    weir_ctx *ctx;
    uint32_t framing;
    uint32_t meta;
    uint64_t record_max;
    bool follow;
    bool from_end;
    bool restored;
    bool enumerated;
    bool assigned;
    split **own; /* [own_count] */
    uint32_t own_count;
    uint32_t cursor;
    uint32_t open_count;
    uint64_t polls;
    weir_event event;
    char position[POSITION_BYTES_FOLLOW];
    atomic_bool cancelled;
} file_source;

/* One poll of one split: a batch, or the event that the split has ended. */
weir_status file_read_split(file_source *self, split *s, weir_poll *args);
void file_close_split(file_source *self, split *s);
/* The position of an offset, in self->position until the next call. */
weir_str file_position(file_source *self, const split *s, uint64_t offset);

#endif
