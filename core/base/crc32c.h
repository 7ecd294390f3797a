/*
 * core/base/crc32c.h - CRC-32C (Castagnoli), the checksum of iSCSI, ext4 and of what weir stores.
 */
#ifndef WEIR_BASE_CRC32C_H
#define WEIR_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what was summed into `crc` (0 at first) with `len` more bytes behind it. Uses the
 * processor's instruction where it has one. [any] */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same without the instruction: for tests and for processors without it. [any] */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
