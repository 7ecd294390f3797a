#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "sigv4.h"

/* "<hex>[;chunk-signature=<64>]\r\n" without the digits of the length. */
#define LINE_SIGNED (17u + 64u + 2u)
#define LINE_PLAIN 2u

static bool sign_next(weir_aws_chunks *c, const char *algorithm, const char *empty_hash,
                      const char *hash);
static uint64_t hex_digits(uint64_t n);

int weir_aws_chunks_begin(weir_aws_chunks *c, const weir_aws_signer *s) {
    memset(c, 0, sizeof *c);
    if (!s->signature[0]) return 0;
    /* The date and the scope stand in the string to sign, one after the other. */
    size_t date_at = s->scope_at - WEIR_AWS_DATE_SIZE;
    size_t len = s->scope_at + s->scope_len - date_at;
    if (len >= sizeof c->prefix) return 0;
    memcpy(c->prefix, s->to_sign.ptr + date_at, len);
    memcpy(c->key, s->key, sizeof c->key);
    memcpy(c->signature, s->signature, sizeof c->signature);
    return 1;
}

uint32_t weir_aws_chunk_head(weir_aws_chunks *c, const weir_str *segments, uint32_t count,
                             char out[WEIR_AWS_CHUNK_HEAD_SIZE]) {
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += segments[i].len;
    char hash[WEIR_AWS_HASH_SIZE];
    weir_aws_hash(segments, count, hash);
    out[0] = '\0';
    if (!sign_next(c, "AWS4-HMAC-SHA256-PAYLOAD", WEIR_AWS_EMPTY_HASH, hash)) return 0;
    int n = snprintf(out, WEIR_AWS_CHUNK_HEAD_SIZE, "%" PRIx64 ";chunk-signature=%s\r\n", size,
                     c->signature);
    return n > 0 && n < (int)WEIR_AWS_CHUNK_HEAD_SIZE ? (uint32_t)n : 0;
}

int weir_aws_trailer_sign(weir_aws_chunks *c, weir_str lines, char out[WEIR_AWS_HASH_SIZE]) {
    char hash[WEIR_AWS_HASH_SIZE];
    weir_aws_hash(&lines, 1, hash);
    out[0] = '\0';
    if (!sign_next(c, "AWS4-HMAC-SHA256-TRAILER", NULL, hash)) return 0;
    memcpy(out, c->signature, WEIR_AWS_HASH_SIZE);
    return 1;
}

void weir_aws_chunks_wipe(weir_aws_chunks *c) {
    OPENSSL_cleanse(c, sizeof *c);
}

uint64_t weir_aws_chunked_size(uint64_t decoded, uint64_t chunk, int is_signed, uint64_t trailer) {
    if (chunk == 0) return 0;
    uint64_t line = is_signed ? LINE_SIGNED : LINE_PLAIN;
    uint64_t whole = decoded / chunk, rest = decoded % chunk;
    uint64_t size = whole * (hex_digits(chunk) + line + chunk + 2);
    if (rest > 0) size += hex_digits(rest) + line + rest + 2;
    return size + 1 + line + trailer + 2;
}

/* `c->signature` becomes the one after. */
static bool sign_next(weir_aws_chunks *c, const char *algorithm, const char *empty_hash,
                      const char *hash) {
    char line[512];
    int n = snprintf(line, sizeof line, "%s\n%s\n%s\n%s%s%s", algorithm, c->prefix, c->signature,
                     empty_hash ? empty_hash : "", empty_hash ? "\n" : "", hash);
    unsigned char mac[SIGV4_MAC_BYTES];
    weir_str to_sign = {line, n > 0 ? (uint64_t)n : 0};
    if (n <= 0 || (size_t)n >= sizeof line || !sigv4_hmac(c->key, sizeof c->key, to_sign, mac))
        return false;
    sigv4_hex(mac, sizeof mac, c->signature);
    return true;
}

static uint64_t hex_digits(uint64_t n) {
    uint64_t digits = 1;
    while (n >>= 4) digits++;
    return digits;
}
