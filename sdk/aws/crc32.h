/*
 * sdk/aws/crc32.h - CRC-32 of IEEE 802.3 (zlib's), for event streams, S3's x-amz-checksum-crc32 and
 * DynamoDB's x-amz-crc32. Part of libweir_aws.a. [any]
 */
#ifndef WEIR_AWS_CRC32_H
#define WEIR_AWS_CRC32_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Continues `crc`, which begins at 0, over `len` bytes: what zlib's crc32 gives. */
uint32_t weir_crc32(uint32_t crc, const void *bytes, uint64_t len);

/* The portable way, for tests to hold the other against. */
uint32_t weir_crc32_tables(uint32_t crc, const void *bytes, uint64_t len);

#ifdef __cplusplus
}
#endif
#endif
