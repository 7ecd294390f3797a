/*
 * s3/chunked.h - aws-chunked: a body in chunks, each signed or not, with or without a trailer.
 *
 *     hex(length)[;chunk-signature=HEX]\r\n DATA \r\n   ...   0[;chunk-signature=HEX]\r\n
 *     name:value\r\n ... [x-amz-trailer-signature:HEX\r\n] \r\n
 *
 * Decodes in place: the data moves to the front of the body. Apart from any server, for tests.
 */
#ifndef WEIR_LOCAL_S3_CHUNKED_H
#define WEIR_LOCAL_S3_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/types.h"

#define CHUNKED_TRAILERS_MAX 16u
/* Only the last chunk with data may be smaller: aws-protocols, "aws-chunked". */
#define CHUNKED_CHUNK_MIN 8192u

typedef enum chunked_result {
    CHUNKED_OK,
    CHUNKED_CUT,       /* it ends before its last chunk or its trailer does */
    CHUNKED_BAD,       /* not of this form */
    CHUNKED_SMALL,     /* a chunk of signed data is too small: bad_size */
    CHUNKED_SIGNATURE, /* one of a chunk or of the trailer is wrong */
    CHUNKED_TRAILER,   /* the trailer is malformed */
} chunked_result;

typedef struct chunked {
    /* in */
    bool is_signed;
    bool has_trailer;
    bool verify;        /* compare signatures, which needs: */
    const uint8_t *key; /* 32 bytes */
    weir_str date;      /* "20260115T123045Z" */
    weir_str scope;     /* "20260115/us-east-1/s3/aws4_request" */
    weir_str seed;      /* the request's signature, 64 hex digits */
    /* out */
    size_t len; /* of the data, from the body's beginning on */
    size_t bad_size;
    struct {
        weir_str name, value;
    } trailers[CHUNKED_TRAILERS_MAX]; /* in the body's memory, behind the data; signature left out
                                       */
    uint32_t trailer_count;
} chunked;

chunked_result chunked_decode(chunked *c, char *body, size_t len);

#endif
