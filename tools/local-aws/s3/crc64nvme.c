/* CRC-64/NVME: reflected polynomial 0x9a6c9329ac4bc9b5, all ones before and behind. */
#include "s3/crc64nvme.h"

#include <stdbool.h>

#define POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5)

/* table[k][i] is the checksum of byte i followed by k zero bytes, so that eight bytes are taken at
 * a time. Made at the first use; the server has one thread. */
static uint64_t table[8][256];
static bool made;

static void make(void) {
    for (unsigned i = 0; i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++) v = v & 1 ? v >> 1 ^ POLYNOMIAL : v >> 1;
        table[0][i] = v;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
    made = true;
}

static uint64_t little_endian(const uint8_t *at) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)at[i] << 8 * i;
    return v;
}

uint64_t crc64nvme(uint64_t crc, const void *bytes, size_t len) {
    if (!made) make();
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t v = crc ^ little_endian(at);
        crc = table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^ table[5][v >> 16 & 0xff] ^
              table[4][v >> 24 & 0xff] ^ table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^
              table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
    }
    for (; len > 0; len--, at++) crc = table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return ~crc;
}
