/*
 * Bodies of S3 in aws-chunked. The first byte says whether chunks are signed and whether a trailer
 * follows, the rest is the body. Checked: what is found lies within the body, the data is no longer
 * than it, a prefix of a good body is not another good body with data of that length, and with
 * signatures compared nothing unsigned passes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) abort();
}

static char *copy(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    require(text != NULL);
    if (size) memcpy(text, data, size);
    return text;
}

static void inside(weir_str s, const chunked *c, const char *body, size_t size) {
    require(s.ptr >= body + c->len && s.len <= size && s.ptr + s.len <= body + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    static const uint8_t key[32] = {1, 2, 3};
    static const char seed[] = "0000000000000000000000000000000000000000000000000000000000000000";
    chunked c = {.is_signed = data[0] & 1, .has_trailer = (data[0] & 2) != 0};
    size_t len = size - 1;
    char *body = copy(data + 1, len);
    chunked_result result = chunked_decode(&c, body, len);
    require(c.len <= len && c.trailer_count <= CHUNKED_TRAILERS_MAX);
    if (result == CHUNKED_OK) {
        /* Its own data is shorter than it by a line of each chunk. */
        require(c.len < len);
        require(c.has_trailer || c.trailer_count == 0);
        for (uint32_t i = 0; i < c.trailer_count; i++) {
            require(c.trailers[i].name.len > 0);
            inside(c.trailers[i].name, &c, body, len);
            inside(c.trailers[i].value, &c, body, len);
        }
        /* What decodes without a trailer still does with a line end behind it at most. */
        char *again = copy(data + 1, len);
        chunked d = {.is_signed = c.is_signed, .has_trailer = c.has_trailer};
        chunked_result shorter = chunked_decode(&d, again, len - 1);
        require(shorter != CHUNKED_OK || d.len <= c.len);
        free(again);
    }
    if (c.is_signed) {
        char *again = copy(data + 1, len);
        chunked d = {.is_signed = true,
                     .has_trailer = c.has_trailer,
                     .verify = true,
                     .key = key,
                     .date = {"20260115T123045Z", 16},
                     .scope = {"20260115/us-east-1/s3/aws4_request", 34},
                     .seed = {seed, 64}};
        chunked_result verified = chunked_decode(&d, again, len);
        require(verified != CHUNKED_OK || result == CHUNKED_OK);
        free(again);
    }
    free(body);
    return 0;
}
