#include "s3/checksum.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "aws/text.h"
#include "base/crc32c.h"
#include "crc32.h"
#include "s3/crc64nvme.h"
#include "weir/json.h"

static const struct {
    const char *name, *header, *element;
    uint32_t bytes;
    bool full, composite; /* what an upload in parts may ask for */
    uint64_t polynomial;  /* reflected */
} kinds[SUM_ALGORITHMS] = {
    [SUM_NONE] = {"", "", "", 0, false, false, 0},
    [SUM_CRC32] = {"CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", 4, true, true, 0xedb88320u},
    [SUM_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4, true, true,
                    0x82f63b78u},
    [SUM_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", 8, true, false,
                       UINT64_C(0x9a6c9329ac4bc9b5)},
    [SUM_SHA1] = {"SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", 20, false, true, 0},
    [SUM_SHA256] = {"SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", 32, false, true, 0},
};

uint32_t sum_size(sum_algorithm a) {
    return kinds[a].bytes;
}

const char *sum_name(sum_algorithm a) {
    return kinds[a].name;
}

const char *sum_header(sum_algorithm a) {
    return kinds[a].header;
}

const char *sum_element(sum_algorithm a) {
    return kinds[a].element;
}

sum_algorithm sum_named(weir_str name) {
    for (sum_algorithm a = SUM_CRC32; a < SUM_ALGORITHMS; a++)
        if (str_eq_z(name, kinds[a].name)) return a;
    return SUM_NONE;
}

bool sum_can_be_full(sum_algorithm a) {
    return kinds[a].full;
}

bool sum_can_be_composite(sum_algorithm a) {
    return kinds[a].composite;
}

/* ---- over bytes ---- */

static void digest(const EVP_MD *md, const s3_content *c, uint8_t *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1;
    for (uint32_t i = 0; ok && i < c->count; i++)
        ok = EVP_DigestUpdate(ctx, c->items[i].bytes, c->items[i].len) == 1;
    if (!ok || EVP_DigestFinal_ex(ctx, out, &n) != 1) memset(out, 0, (size_t)EVP_MD_get_size(md));
    EVP_MD_CTX_free(ctx);
}

static void big_endian(uint64_t v, uint32_t bytes, uint8_t *out) {
    for (uint32_t i = 0; i < bytes; i++) out[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static uint64_t number(const uint8_t *in, uint32_t bytes) {
    uint64_t v = 0;
    for (uint32_t i = 0; i < bytes; i++) v = v << 8 | in[i];
    return v;
}

checksum sum_of(sum_algorithm a, const s3_content *c) {
    checksum out = {.algorithm = a};
    uint64_t crc = 0;
    switch (a) {
    case SUM_SHA1:
        digest(EVP_sha1(), c, out.bytes);
        return out;
    case SUM_SHA256:
        digest(EVP_sha256(), c, out.bytes);
        return out;
    case SUM_CRC32:
        for (uint32_t i = 0; i < c->count; i++)
            crc = weir_crc32((uint32_t)crc, c->items[i].bytes, c->items[i].len);
        break;
    case SUM_CRC32C:
        for (uint32_t i = 0; i < c->count; i++)
            crc = crc32c((uint32_t)crc, c->items[i].bytes, c->items[i].len);
        break;
    case SUM_CRC64NVME:
        for (uint32_t i = 0; i < c->count; i++)
            crc = crc64nvme(crc, c->items[i].bytes, c->items[i].len);
        break;
    default:
        return out;
    }
    big_endian(crc, kinds[a].bytes, out.bytes);
    return out;
}

void sum_md5(const s3_content *c, uint8_t out[16]) {
    digest(EVP_md5(), c, out);
}

void sum_sha256(const s3_content *c, uint8_t out[32]) {
    digest(EVP_sha256(), c, out);
}

/* ---- as text ---- */

void sum_hex(const uint8_t *bytes, size_t n, char *out) {
    aws_hex(bytes, n, out);
    out[2 * n] = 0;
}

void sum_text(const checksum *c, char out[SUM_TEXT_MAX]) {
    size_t n = (size_t)weir_base64_encode(
        str_make((const char *)c->bytes, kinds[c->algorithm].bytes), out);
    out[n] = 0;
    if (c->composite) snprintf(out + n, SUM_TEXT_MAX - n, "-%u", c->parts);
}

bool sum_read(sum_algorithm a, weir_str text, checksum *out) {
    *out = (checksum){.algorithm = a};
    const char *dash = text.len ? memchr(text.ptr, '-', (size_t)text.len) : NULL;
    if (dash) {
        int64_t parts;
        size_t n = (size_t)(dash - text.ptr);
        if (!str_to_i64(str_make(dash + 1, (size_t)text.len - n - 1), &parts) || parts < 1 ||
            parts > INT32_MAX)
            return false;
        out->composite = true;
        out->parts = (uint32_t)parts;
        text.len = n;
    }
    char room[SUM_TEXT_MAX];
    if (text.len > SUM_TEXT_MAX) return false;
    uint64_t n = weir_base64_decode(text, room);
    if (n != kinds[a].bytes) return false;
    memcpy(out->bytes, room, (size_t)n);
    return true;
}

bool sum_eq(const checksum *a, const checksum *b) {
    if (a->algorithm != b->algorithm) return false;
    if (a->parts && b->parts && a->parts != b->parts) return false;
    return memcmp(a->bytes, b->bytes, kinds[a->algorithm].bytes) == 0;
}

/* ---- of parts ---- */

/*
 * CRCs are remainders of polynomials over bits. Here bit (width - 1) of a number stands for x^0, as
 * in all reflected CRCs, so that multiplying by x is a shift to the right.
 */
static uint64_t times(uint64_t a, uint64_t b, uint64_t polynomial, uint32_t width) {
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << (width - 1); bit; bit >>= 1) {
        if (a & bit) product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

/* The ones that go in before and come off behind cancel out: the remainder of AB is that of A moved
 * on by B's length, plus that of B. */
void sum_join(checksum *whole, const checksum *next, uint64_t next_len) {
    sum_algorithm a = whole->algorithm;
    uint32_t bytes = kinds[a].bytes, width = bytes * 8;
    if (width != 32 && width != 64) return; /* no CRC */
    uint64_t p = kinds[a].polynomial;
    uint64_t moved = number(whole->bytes, bytes);
    uint64_t x_n = UINT64_C(1) << (width - 9); /* x^8: one byte; squared for 2, 4, 8, ... */
    for (; next_len; next_len >>= 1) {
        if (next_len & 1) moved = times(moved, x_n, p, width);
        x_n = times(x_n, x_n, p, width);
    }
    big_endian(moved ^ number(next->bytes, bytes), bytes, whole->bytes);
}

checksum sum_composite(sum_algorithm a, const uint8_t *digests, uint32_t count) {
    s3_extent all = {NULL, (const char *)digests, (size_t)count * kinds[a].bytes};
    checksum out = sum_of(a, &(s3_content){&all, 1, all.len});
    out.composite = true;
    out.parts = count;
    return out;
}
