/*
 * A checkpoint's file. Whatever comes, there is a checkpoint or an error that says why not; memory
 * is bounded by the file; what is accepted encodes to the same bytes again.
 *
 * No mutation survives the checksums, so every input is tried a second time with its size and
 * checksums made right: that one gets as far as its contents.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/str.h"
#include "checkpoint/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER 48u
#define HEAD 16u

static void put_number(char *at, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = (char)(v >> (8 * i) & 0xff);
}

/* Follows the sections as far as their lengths make sense. */
static void make_right(char *bytes, size_t size) {
    put_number(bytes + 16, size, 8);
    put_number(bytes + 44, crc32c(0, bytes, 44), 4);
    size_t at = HEADER;
    while (size - 4 - at >= HEAD + 4) {
        uint64_t len = 0;
        for (unsigned i = 8; i-- > 0;) len = len << 8 | (unsigned char)bytes[at + 8 + i];
        if (len > size - 4 - at - HEAD - 4) break;
        put_number(bytes + at + HEAD + len, crc32c(0, bytes + at, HEAD + len), 4);
        at += HEAD + len + 4;
    }
    put_number(bytes + size - 4, crc32c(0, bytes, size - 4), 4);
}

static void try_bytes(weir_str bytes, weir_error *err) {
    error_clear(err);
    checkpoint *c = checkpoint_decode(bytes, err);
    if (c == NULL) {
        WEIR_ASSERT(error_status(err) == WEIR_E_DATA || error_status(err) == WEIR_E_INCOMPATIBLE);
        WEIR_ASSERT(error_text(err)[0] != '\0');
        return;
    }
    uint64_t epoch = 0;
    WEIR_ASSERT(checkpoint_peek_epoch(bytes, &epoch) && epoch == c->epoch);
    WEIR_ASSERT(arena_bytes(c->memory) <= bytes.len * 8 + (1u << 20));
    buf again;
    buf_init(&again, CHECKPOINT_BYTES_MAX);
    WEIR_ASSERT(checkpoint_encode(c, &again, err) == WEIR_OK);
    WEIR_ASSERT(str_eq(buf_str(&again), bytes));
    checkpoint *copy = checkpoint_copy(c, c->kind, c->epoch, true);
    WEIR_ASSERT(copy != NULL && checkpoint_committables(copy) == checkpoint_committables(c));
    checkpoint_free(copy);
    buf_free(&again);
    checkpoint_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_error *err = error_new();
    if (err == NULL) abort();
    try_bytes((weir_str){(const char *)data, size}, err);
    if (size >= HEADER + 4) {
        char *bytes = malloc(size);
        if (bytes == NULL) abort();
        memcpy(bytes, data, size);
        make_right(bytes, size);
        try_bytes((weir_str){bytes, size}, err);
        free(bytes);
    }
    error_free(err);
    return 0;
}
