/*
 * core/checkpoint/format.h - a checkpoint as bytes.
 *
 * Length-prefixed sections, each with its CRC32C, and one over the whole file; little-endian;
 * versioned. docs/reference/checkpoint-format.md is the description; a reader refuses a version it
 * does not know, skips no section it does not know, and believes no length before its checksum.
 */
#ifndef WEIR_CHECKPOINT_FORMAT_H
#define WEIR_CHECKPOINT_FORMAT_H

#include "checkpoint/state.h"

/* What this weir writes and reads. */
#define CHECKPOINT_FORMAT 1u
/* A file larger than this is not ours: 100,000 splits with 4 KiB each, and as much again. */
#define CHECKPOINT_BYTES_MAX (UINT64_C(1) << 30)

/* Appends the file's bytes to `out`. One checkpoint has one sequence of bytes, and decoding gives
 * back the same checkpoint. TOO_LARGE for what exceeds a limit of base/limits.h, INVALID_ARG for
 * what is not a checkpoint (no epoch, an unknown kind, state or scope). [control] */
weir_status checkpoint_encode(const checkpoint *c, buf *out, weir_error *err);
/* NULL with a text that says what is wrong and at which byte: WEIR_E_DATA for damage, INCOMPATIBLE
 * for a newer format. Hostile bytes are the normal case. [control] */
checkpoint *checkpoint_decode(weir_str bytes, weir_error *err);
/* The epoch, from the head of a file that may be damaged behind it; false if the head is damaged,
 * too. [control] */
bool checkpoint_peek_epoch(weir_str bytes, uint64_t *epoch);

#endif
