/*
 * core/loader/digest.h - SHA-256 (FIPS 180-4) of files, to hold plugins to what a manifest pins.
 *
 * Private to the loader. Written here rather than taken from libcrypto: the program would map and
 * relocate that library on every start for something that most runs never do.
 */
#ifndef WEIR_LOADER_DIGEST_H
#define WEIR_LOADER_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX (2 * DIGEST_BYTES)

typedef struct digest {
    uint32_t state[8];
    uint64_t bytes; /* taken in so far */
    unsigned char block[64];
} digest;

void digest_begin(digest *d);
void digest_add(digest *d, const void *bytes, size_t len);
void digest_end(digest *d, unsigned char out[DIGEST_BYTES]);

/* The digest of everything in `fd` from its beginning as lower-case hex with a NUL. [control] */
weir_status digest_file(int fd, char out[DIGEST_HEX + 1], weir_error *err);

#endif
