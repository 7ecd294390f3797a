#include "loader/digest.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void compress(uint32_t state[8], const unsigned char *block);

void digest_begin(digest *d) {
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(d->state, initial, sizeof initial);
    d->bytes = 0;
}

void digest_add(digest *d, const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    size_t held = (size_t)(d->bytes % sizeof d->block);
    d->bytes += len;
    if (held > 0) {
        size_t take = sizeof d->block - held < len ? sizeof d->block - held : len;
        memcpy(d->block + held, p, take);
        p += take;
        len -= take;
        if (held + take < sizeof d->block) return;
        compress(d->state, d->block);
    }
    while (len >= sizeof d->block) {
        compress(d->state, p);
        p += sizeof d->block;
        len -= sizeof d->block;
    }
    if (len > 0) memcpy(d->block, p, len);
}

void digest_end(digest *d, unsigned char out[DIGEST_BYTES]) {
    /* A one bit, zeros up to the last eight bytes of a block, the length in bits. */
    unsigned char tail[72] = {0x80};
    uint64_t bits = d->bytes * 8;
    size_t held = (size_t)(d->bytes % sizeof d->block);
    size_t zeros = (held < 56 ? 56 : 120) - held;
    for (unsigned i = 0; i < 8; i++) tail[zeros + i] = (unsigned char)(bits >> (56 - 8 * i));
    digest_add(d, tail, zeros + 8);
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        out[i] = (unsigned char)(d->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

weir_status digest_file(int fd, char out[DIGEST_HEX + 1], weir_error *err) {
    static const char hex[] = "0123456789abcdef";
    unsigned char buffer[16384];
    unsigned char sum[DIGEST_BYTES];
    off_t offset = 0;
    digest d;
    digest_begin(&d);
    for (;;) {
        ssize_t got = pread(fd, buffer, sizeof buffer, offset);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            char why[128];
            return error_set(err, WEIR_E_IO, 0, "cannot be read: %s",
                             os_strerror(errno, why, sizeof why));
        }
        digest_add(&d, buffer, (size_t)got);
        offset += got;
    }
    digest_end(&d, sum);
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = hex[sum[i] >> 4];
        out[2 * i + 1] = hex[sum[i] & 15];
    }
    out[DIGEST_HEX] = '\0';
    return WEIR_OK;
}

static inline uint32_t rotate(uint32_t x, unsigned n) {
    return (x >> n) | (x << (32 - n));
}

static void compress(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64];
    uint32_t v[8];
    for (unsigned i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | (uint32_t)block[4 * i + 3];
    }
    for (unsigned i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + round_constant[i] + w[i];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t t2 = s0 + majority;
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++) state[i] += v[i];
}
