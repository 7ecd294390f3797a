/*
 * plugins/kinesis/position.h - where in a shard: a sequence number and a place inside its record.
 *
 *   +--------+------------------+--------------------+
 *   | length | decimal digits   | sub-sequence, u32  |
 *   | 1 byte | 1..129 bytes     | big-endian         |
 *   +--------+------------------+--------------------+
 *
 * Sequence numbers have more than 64 bits and no leading zeros, so length and then digits compare
 * by memcmp as numbers do. The sub-sequence counts user records inside an aggregated record; a
 * record that is consumed as a whole has POSITION_WHOLE, which sorts behind all of its parts.
 */
#ifndef KINESIS_POSITION_H
#define KINESIS_POSITION_H

#include "weir/types.h"

#define SEQUENCE_MAX 129u
#define POSITION_WHOLE UINT32_MAX
#define POSITION_BYTES_MAX (1u + SEQUENCE_MAX + 4u)

typedef struct shard_position {
    char sequence[SEQUENCE_MAX + 1]; /* NUL-terminated; "" = none yet */
    uint32_t sub;
} shard_position;

/* 1 if `s` is 1..129 digits without a leading zero (but "0"). */
int sequence_is_valid(weir_str s);
/* Takes a valid sequence number. */
void position_set(shard_position *p, weir_str sequence, uint32_t sub);
/* Bytes written to `out`, which holds POSITION_BYTES_MAX; 0 for no position. */
uint32_t position_encode(const shard_position *p, char *out);
/* 0 if `bytes` are no position. Empty bytes are "none yet". */
int position_decode(shard_position *p, weir_str bytes);
/* "4967..." or "4967...:3"; NUL-terminated, at most SEQUENCE_MAX + 12 bytes. Returns the length. */
uint32_t position_to_text(const shard_position *p, char *out);
int position_from_text(shard_position *p, weir_str text);

#endif
