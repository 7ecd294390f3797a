/*
 * plugins/kinesis/stream.h - streams by name or ARN, where reading starts, and what of it a split
 * carries.
 */
#ifndef KINESIS_STREAM_H
#define KINESIS_STREAM_H

#include "weir/types.h"

#define STREAM_NAME_MAX 128u
#define STREAM_ARN_MAX 512u
#define SHARD_ID_MAX 128u
#define PRIVATE_BYTES_MAX (18u + STREAM_ARN_MAX)

/* A stream as the manifest names it. NUL-terminated; `arn` is empty if a name was given. */
typedef struct stream_ref {
    char name[STREAM_NAME_MAX + 1];
    char arn[STREAM_ARN_MAX + 1];
    char region[41];  /* of the ARN, else empty */
    char account[13]; /* of the ARN, else empty */
} stream_ref;
/* NULL, or what is wrong with `text` (static, lower case). */
const char *stream_parse(stream_ref *out, weir_str text);

/* Where a shard without position begins. `latest` never gets here: it was made a timestamp. */
#define START_TRIM_HORIZON 1u
#define START_TIMESTAMP 2u
typedef struct stream_start {
    uint32_t kind; /* START_*; 0 = not yet known */
    int64_t us;    /* START_TIMESTAMP */
} stream_start;

/* Where it ends: records that arrived then or later are not read. */
#define STOP_NEVER INT64_MAX

/*
 * The private bytes of a split, so that a task knows all it needs without asking anybody, and so
 * that `latest` means the same moment for all tasks and after each restart:
 *
 *   version 1 (u8) | START_* (u8) | start us (i64 BE) | stop us (i64 BE) | stream name or ARN
 */
typedef struct split_plan {
    stream_ref stream;
    stream_start start;
    int64_t stop_us;
} split_plan;
uint32_t private_encode(const split_plan *plan, char *out);
int private_decode(weir_str bytes, split_plan *out);

#endif
