/*
 * s3/crc64nvme.h - the CRC-64 of NVM Express, which S3 stores when a client sends no checksum.
 */
#ifndef WEIR_LOCAL_S3_CRC64NVME_H
#define WEIR_LOCAL_S3_CRC64NVME_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc`, which begins at 0. */
uint64_t crc64nvme(uint64_t crc, const void *bytes, size_t len);

#endif
