/*
 * sdk/aws/sigv4.h - what the three forms of Signature Version 4 share: the Authorization header
 * (sigv4.c), the presigned URL (sigv4_presign.c) and the chunks of a body (sigv4_chunks.c).
 * Internal.
 */
#ifndef WEIR_AWS_SIGV4_H
#define WEIR_AWS_SIGV4_H

#include "text.h"
#include "weir/aws.h"

#define SIGV4_MAC_BYTES 32u
#define SIGV4_DAY_LEN 8u /* YYYYMMDD */

struct weir_aws_signer {
    text canonical; /* the canonical request */
    text to_sign;
    text result; /* the Authorization header or the signed query */
    text signed_names;
    text scratch;
    size_t scope_at, scope_len; /* in to_sign */
    /* The derived key and what it was derived from. It changes with the day, so it is derived once
     * a day and scope instead of once a request: that is four of the five HMACs. */
    char key_scope[WEIR_AWS_HASH_SIZE]; /* hash over secret, date, region, service; "" = none */
    unsigned char key[SIGV4_MAC_BYTES];
    char signature[WEIR_AWS_HASH_SIZE]; /* the last one, "" if it failed */
};

/* Canonical request, string to sign and s->signature for `args` with `query` in place of its own.
 * False without memory or if the date is malformed. */
bool sigv4_signature(weir_aws_signer *s, const weir_aws_keys *keys, const weir_aws_sign_args *args,
                     weir_str query);
/* Fills s->signed_names. */
void sigv4_signed_names(weir_aws_signer *s, const weir_aws_sign_args *args);
/* "YYYYMMDD/region/service/aws4_request" */
void sigv4_scope(text *out, const weir_aws_sign_args *args);
/* Percent-encodes all but A-Z a-z 0-9 - _ . ~ (and '/', if wanted). */
void sigv4_encode(text *out, const char *bytes, size_t len, bool keep_slash);
bool sigv4_hmac(const unsigned char *key, size_t key_len, weir_str data, unsigned char *out);
void sigv4_hex(const unsigned char *bytes, size_t len, char *out);

#endif
