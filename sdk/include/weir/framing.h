/*
 * weir/framing.h - records in a byte stream: splitting what was read, gathering what is written.
 *
 * Part of libweir_sdk.a for plugin authors; not part of the ABI. Used by components that declare
 * WEIR_CAP_STREAM_FORMAT (files, standard streams, objects) and learn their framing from
 * weir.host.format/1:
 *
 *   LINES    value '\n' value '\n' ...     a '\r' before the '\n' belongs to the value
 *   LENGTH   u32 big-endian, value, u32 big-endian, value, ...
 *   NONE     values one after another: where one ends is not recorded
 *
 * The trailer hint (weir_rows.trailer_len, weir_batch_seal.trailer_len). A batch that is sealed
 * with the trailer '\n' makes two promises: one readable '\n' follows each value in memory, and no
 * value contains a '\n'. The first lets consecutive lines leave in one piece; the second saves the
 * gatherer from looking at every byte again. A source that splits lines keeps both for free, as
 * does an encoder that escapes newlines; whoever cannot keep the second must not set the hint.
 *
 * Nothing here allocates or keeps state. All functions may be called from any thread. [any]
 */
#ifndef WEIR_FRAMING_H
#define WEIR_FRAMING_H

#include <sys/uio.h>

#include "weir/batch.h"
#include "weir/host.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes in front of each record under WEIR_FRAMING_LENGTH. */
#define WEIR_FRAME_LENGTH_BYTES 4u

/* In and out of weir_frame_split. */
typedef struct weir_frames {
    const char **value_ptr; /* in: [room], as lent by a batch builder's reserve */
    uint32_t *value_len;    /* in: [room] */
    uint32_t room;          /* in: records that fit the columns */
    uint32_t count;         /* out: complete records found */
    uint64_t used;          /* out: bytes they take with their framing */
    uint64_t need;          /* out: bytes the next record takes with its framing, 0 = unknown */
} weir_frames;

/*
 * Finds complete records at the beginning of `bytes`, at most out->room of them; values point into
 * `bytes`. LINES: a record is complete with its '\n'. NONE: all of `bytes` is one record if there
 * is any. Returns WEIR_OK (count may be 0: more bytes are needed) or WEIR_E_TOO_LARGE if the very
 * first record is longer than `record_max`; records before an oversized one come out first.
 */
weir_status weir_frame_split(uint32_t framing, weir_str bytes, uint64_t record_max,
                             weir_frames *out);

/*
 * In and out of weir_frame_gather: turns rows into few iovecs. Long values are referred to where
 * they are; short ones, and whatever framing adds, are copied into `staging`, because a system
 * call's cost for one more iovec is that of copying some hundred bytes.
 */
typedef struct weir_gather {
    const weir_rows *rows;
    struct iovec *iov;     /* in: the caller's, filled here */
    char *staging;         /* in: the caller's, must stay untouched until the iovecs are written */
    uint64_t staging_size; /* in: at least WEIR_GATHER_STAGING_MIN */
    uint64_t bytes_max;    /* in: the record that reaches it is the last one; 0 = no such limit */
    uint32_t iov_max;      /* in: at least 4 */
    uint32_t framing;      /* in: WEIR_FRAMING_* */
    uint32_t row;          /* in: first row; out: first row that was not gathered */
    uint32_t end;          /* in: one past the last row */
    uint32_t iov_count;    /* out */
    uint32_t reserved;
    uint64_t bytes; /* out: sum over the iovecs */
} weir_gather;
#define WEIR_GATHER_STAGING_MIN 4096u

/*
 * Gathers rows [row, end) until something is full. Returns WEIR_OK with at least one row gathered
 * (or none if row == end), or WEIR_E_DATA with nothing gathered if the value at `row` contains a
 * '\n' under LINES. Without the trailer hint values are searched for it. A null value is written
 * as an empty one.
 */
weir_status weir_frame_gather(weir_gather *g);

/*
 * Takes `written` bytes off the front of `iov`: after a short write. Returns the iovecs that are
 * left, their number in `*count`.
 */
struct iovec *weir_iov_advance(struct iovec *iov, uint32_t *count, uint64_t written);

#ifdef __cplusplus
}
#endif
#endif
