/*
 * s3/checksum.h - the checksums of S3: what each is called, over what it goes, how parts make one.
 *
 * FULL_OBJECT goes over the object's bytes; for an upload in parts it is put together from those of
 * the parts (CRCs only). COMPOSITE is the checksum of the parts' checksums, written with -N.
 */
#ifndef WEIR_LOCAL_S3_CHECKSUM_H
#define WEIR_LOCAL_S3_CHECKSUM_H

#include "s3/content.h"

typedef enum sum_algorithm {
    SUM_NONE,
    SUM_CRC32,
    SUM_CRC32C,
    SUM_CRC64NVME,
    SUM_SHA1,
    SUM_SHA256,
    SUM_ALGORITHMS,
} sum_algorithm;

#define SUM_BYTES_MAX 32u
#define SUM_TEXT_MAX 64u /* base64 of that, "-10000" and a NUL */

typedef struct checksum {
    sum_algorithm algorithm;
    bool composite;
    uint32_t parts; /* of a composite one */
    uint8_t bytes[SUM_BYTES_MAX];
} checksum;

uint32_t sum_size(sum_algorithm a);       /* in bytes */
const char *sum_name(sum_algorithm a);    /* "CRC32C" */
const char *sum_header(sum_algorithm a);  /* "x-amz-checksum-crc32c" */
const char *sum_element(sum_algorithm a); /* "ChecksumCRC32C" */
sum_algorithm sum_named(weir_str name);   /* SUM_NONE: no such */
bool sum_can_be_full(sum_algorithm a);    /* of an upload in parts */
bool sum_can_be_composite(sum_algorithm a);

checksum sum_of(sum_algorithm a, const s3_content *c);
/* "x-amz-checksum-..." and the XML's text. */
void sum_text(const checksum *c, char out[SUM_TEXT_MAX]);
/* Back; a composite one may come without its -N (`parts` is then 0). False: malformed. */
bool sum_read(sum_algorithm a, weir_str text, checksum *out);
/* Same bytes, and the same -N if both have one. */
bool sum_eq(const checksum *a, const checksum *b);
/* `whole` with `next` behind it, which goes over `next_len` bytes. CRCs only. */
void sum_join(checksum *whole, const checksum *next, uint64_t next_len);
/* The checksum of `count` checksums that stand one behind the other in `digests`. */
checksum sum_composite(sum_algorithm a, const uint8_t *digests, uint32_t count);

void sum_md5(const s3_content *c, uint8_t out[16]);
void sum_sha256(const s3_content *c, uint8_t out[32]);
/* Lower case and a NUL. */
void sum_hex(const uint8_t *bytes, size_t n, char *out);

#endif
