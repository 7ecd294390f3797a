/*
 * kinesis/numbers.h - the two kinds of large numbers: hash keys (128 bits) and sequence numbers.
 *
 * A sequence number is 187 bits, 56 decimal digits, so that whoever squeezes one into 64 bits finds
 * out here. Its fields, from the top, in hexadecimal digits; only the order matters to clients:
 *
 *     2 | second of the shard's creation: 9 | shard: 1 | record: 16 | shard: 8 | second: 11 | 2
 */
#ifndef WEIR_LOCAL_KINESIS_NUMBERS_H
#define WEIR_LOCAL_KINESIS_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

__extension__ typedef unsigned __int128 hash_key;
#define HASH_KEY_MAX (~(hash_key)0)
#define HASH_KEY_TEXT 40 /* digits and a NUL */
#define SEQUENCE_TEXT 64

/* MD5 of the key's bytes as a big-endian number. */
hash_key hash_key_of(weir_str partition_key);
/* "0", or digits without a leading zero, below 2^128. */
bool hash_key_parse(weir_str text, hash_key *out);
unsigned hash_key_write(hash_key h, char out[HASH_KEY_TEXT]); /* its length */
/* The first hash key of shard `i` of `n` equal ones: floor(2^128 / n) * i. */
hash_key hash_key_even(uint32_t i, uint32_t n);

typedef struct sequence {
    uint64_t shard_second; /* 36 bits */
    uint32_t shard;
    uint64_t record; /* 0: the shard's beginning; the first record is 1 */
    uint64_t second; /* 44 bits */
} sequence;

unsigned sequence_write(const sequence *s, char out[SEQUENCE_TEXT]); /* its length */
/* False if the text is no number that sequence_write makes. */
bool sequence_parse(weir_str text, sequence *out);

#endif
