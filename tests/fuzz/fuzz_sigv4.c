/*
 * Canonicalisation of requests for signing. The input is split at newlines: path, query, then
 * headers "name:value". Checked: a canonical query is a fixed point, a canonical path of S3 is the
 * input, the same request signs alike twice, and nothing but printable ASCII comes out of path and
 * query.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weir/aws.h"

#define HEADERS_MAX 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_str line(const char **p, const char *end) {
    const char *stop = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
    if (!stop) stop = end;
    weir_str s = {*p, (uint64_t)(stop - *p)};
    *p = stop < end ? stop + 1 : end;
    return s;
}

static weir_str str(const char *z) {
    weir_str s = {z, strlen(z)};
    return s;
}

static void require(int condition) {
    if (!condition) abort();
}

/* Line `index` of the canonical request. */
static weir_str canonical_line(const weir_aws_signer *signer, int index) {
    weir_str all = weir_aws_canonical_request(signer);
    const char *p = all.ptr;
    weir_str found = {"", 0};
    while (index-- >= 0) found = line(&p, all.ptr + all.len);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data, *end = p + size;
    weir_aws_sign_args args = {.method = str("GET"),
                               .path = line(&p, end),
                               .query = line(&p, end),
                               .payload_hash = str(WEIR_AWS_EMPTY_HASH),
                               .region = str("us-east-1"),
                               .service = str("service"),
                               .date = str("20150830T123600Z")};
    weir_http_header headers[HEADERS_MAX];
    while (p < end && args.header_count < HEADERS_MAX) {
        weir_str s = line(&p, end);
        const char *colon = s.len ? memchr(s.ptr, ':', (size_t)s.len) : NULL;
        if (!colon) continue;
        weir_http_header *h = &headers[args.header_count++];
        h->name.ptr = s.ptr;
        h->name.len = (uint64_t)(colon - s.ptr);
        h->value.ptr = colon + 1;
        h->value.len = s.len - h->name.len - 1;
    }
    args.headers = headers;
    weir_aws_keys keys = {str("AKIDEXAMPLE"), str("secret"), {"", 0}};
    weir_aws_signer *signer = weir_aws_signer_new();
    if (!signer) return 0;
    weir_str first = weir_aws_sign(signer, &keys, &args);
    if (first.ptr) {
        char *kept = malloc((size_t)first.len);
        require(kept != NULL);
        memcpy(kept, first.ptr, (size_t)first.len);
        uint64_t kept_len = first.len;

        weir_str path = canonical_line(signer, 1), query = canonical_line(signer, 2);
        require(path.len > 0);
        for (uint64_t i = 0; i < path.len; i++) require(path.ptr[i] > ' ' && path.ptr[i] < 127);
        for (uint64_t i = 0; i < query.len; i++) require(query.ptr[i] > ' ' && query.ptr[i] < 127);

        char *copy = malloc((size_t)query.len + 1);
        require(copy != NULL);
        memcpy(copy, query.ptr, (size_t)query.len);
        weir_aws_sign_args again = args;
        again.query.ptr = copy;
        again.query.len = query.len;
        weir_str second = weir_aws_sign(signer, &keys, &again);
        require(second.ptr && second.len == kept_len && memcmp(second.ptr, kept, kept_len) == 0);
        again.flags = WEIR_AWS_SIGN_S3;
        require(weir_aws_sign(signer, &keys, &again).ptr != NULL);
        free(copy);
        free(kept);
    }
    weir_aws_signer_free(signer);
    return 0;
}
