#define _GNU_SOURCE /* memmem */
/* Presigned URLs and chunk signatures against vectors that other implementations agree on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/aws.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define TOKEN "TOKEN/with+chars=="

static weir_str str(const char *z) {
    weir_str s = {z, strlen(z)};
    return s;
}

static weir_aws_sign_args msk_args(const weir_http_header *host) {
    weir_aws_sign_args args = {.method = str("GET"),
                               .path = str("/"),
                               .query = str("Action=kafka-cluster%3AConnect"),
                               .headers = host,
                               .header_count = 1,
                               .payload_hash = str(WEIR_AWS_EMPTY_HASH),
                               .region = str("us-east-1"),
                               .service = str("kafka-cluster"),
                               .date = str("20260115T123045Z")};
    return args;
}

static void check(weir_str query, const char *expected) {
    assert_non_null(query.ptr);
    assert_int_equal(query.len, strlen(expected));
    assert_memory_equal(query.ptr, expected, query.len);
}

#define MSK_FRONT                                                                                  \
    "Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="            \
    "AKIDEXAMPLE%2F20260115%2Fus-east-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date="                \
    "20260115T123045Z&X-Amz-Expires=900&"
#define MSK_SIGNED "X-Amz-SignedHeaders=host&X-Amz-Signature="
#define MSK_PLAIN_SIGNATURE "3a580fbce84479074d2cfdbff5bfb862f4ced820955f0b10918f74b26dbcdfdc"

static void msk_token(void **state) {
    (void)state;
    weir_aws_signer *signer = weir_aws_signer_new();
    weir_http_header host = {str("Host"), str("kafka.us-east-1.amazonaws.com")};
    weir_aws_sign_args args = msk_args(&host);
    weir_aws_keys keys = {str("AKIDEXAMPLE"), str(SECRET), {NULL, 0}};
    check(weir_aws_presign(signer, &keys, &args, 900), MSK_FRONT MSK_SIGNED MSK_PLAIN_SIGNATURE);
    keys.session_token = str(TOKEN);
    check(weir_aws_presign(signer, &keys, &args, 900),
          MSK_FRONT "X-Amz-Security-Token=TOKEN%2Fwith%2Bchars%3D%3D&" MSK_SIGNED
                    "20e06ea4063044b563eb7e289324930cefac30f2d514ea1a83b925aa627b98f4");
    args.flags = WEIR_AWS_SIGN_TOKEN_LAST; /* not under the signature: as without a token */
    check(weir_aws_presign(signer, &keys, &args, 900), MSK_FRONT MSK_SIGNED MSK_PLAIN_SIGNATURE
          "&X-Amz-Security-Token=TOKEN%2Fwith%2Bchars%3D%3D");
    weir_aws_signer_free(signer);
}

static void suite_query_form(void **state) {
    (void)state;
    weir_aws_signer *signer = weir_aws_signer_new();
    weir_http_header host = {str("Host"), str("example.amazonaws.com")};
    weir_aws_sign_args args = msk_args(&host);
    args.query = str("");
    args.service = str("service");
    args.date = str("20150830T123600Z");
    weir_aws_keys keys = {str("AKIDEXAMPLE"), str(SECRET), {NULL, 0}};
    weir_str query = weir_aws_presign(signer, &keys, &args, 3600);
    static const char want[] = "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d";
    assert_non_null(query.ptr);
    assert_memory_equal(query.ptr + query.len - 64, want, 64);

    assert_null(weir_aws_presign(signer, &keys, &args, 0).ptr);
    assert_null(weir_aws_presign(signer, &keys, &args, WEIR_AWS_PRESIGN_MAX_S + 1).ptr);
    args.date = str("2015-08-30");
    assert_null(weir_aws_presign(signer, &keys, &args, 60).ptr);
    weir_aws_signer_free(signer);
}

typedef struct chunk_vector {
    const char *payload;
    bool trailer;
    const char *seed, *first, *second, *last, *trailers;
} chunk_vector;

static void expect_head(weir_aws_chunks *c, const char *data, uint64_t len, const char *hex,
                        const char *signature) {
    /* In two segments: how a chunk lies in memory does not matter. */
    weir_str parts[2] = {{data, len / 3}, {data + len / 3, len - len / 3}};
    char head[WEIR_AWS_CHUNK_HEAD_SIZE], want[128];
    uint32_t n = weir_aws_chunk_head(c, parts, 2, head);
    snprintf(want, sizeof want, "%s;chunk-signature=%s\r\n", hex, signature);
    assert_string_equal(head, want);
    assert_int_equal(n, strlen(want));
}

static void run_chunks(const chunk_vector *v) {
    weir_http_header headers[] = {
        {str("content-encoding"), str("aws-chunked")},
        {str("content-length"), str("66824")},
        {str("host"), str("s3.amazonaws.com")},
        {str("x-amz-content-sha256"), str(v->payload)},
        {str("x-amz-date"), str("20130524T000000Z")},
        {str("x-amz-decoded-content-length"), str("66560")},
        {str("x-amz-storage-class"), str("REDUCED_REDUNDANCY")},
        {str("x-amz-trailer"), str("first,second,third")},
    };
    weir_aws_sign_args args = {.method = str("PUT"),
                               .path = str("/examplebucket/chunkObject.txt"),
                               .query = str(""),
                               .headers = headers,
                               .header_count = v->trailer ? 8 : 7,
                               .flags = WEIR_AWS_SIGN_S3,
                               .payload_hash = str(v->payload),
                               .region = str("us-east-1"),
                               .service = str("s3"),
                               .date = str("20130524T000000Z")};
    weir_aws_keys keys = {str("AKIAIOSFODNN7EXAMPLE"), str(S3_SECRET), {NULL, 0}};
    weir_aws_signer *signer = weir_aws_signer_new();
    weir_aws_chunks c;
    assert_int_equal(weir_aws_chunks_begin(&c, signer), 0); /* nothing was signed yet */
    weir_str a = weir_aws_sign(signer, &keys, &args);
    assert_non_null(a.ptr);
    assert_memory_equal(a.ptr + a.len - 64, v->seed, 64);
    assert_int_equal(weir_aws_chunks_begin(&c, signer), 1);
    weir_aws_signer_free(signer); /* the chunks go on without it */

    char *data = malloc(65536);
    memset(data, 'a', 65536);
    expect_head(&c, data, 65536, "10000", v->first);
    expect_head(&c, data, 1024, "400", v->second);
    expect_head(&c, data, 0, "0", v->last);
    char got[WEIR_AWS_HASH_SIZE];
    assert_int_equal(weir_aws_trailer_sign(&c, str("first:1st\nsecond:2nd\nthird:3rd\n"), got), 1);
    assert_string_equal(got, v->trailers);
    weir_aws_chunks_wipe(&c);
    for (size_t i = 0; i < sizeof c; i++) assert_int_equal(((const char *)&c)[i], 0);
    free(data);
}

static void chunks(void **state) {
    (void)state;
    const chunk_vector plain = {WEIR_AWS_SIGNED_CHUNKS,
                                false,
                                "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
                                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
                                "df5735bd9f3295cd9386572292562fefc93ba94e80a0a1ddcbd652c4e0a75e6c"};
    const chunk_vector trailing = {
        WEIR_AWS_SIGNED_CHUNKS_TRAILER,
        true,
        "07e38132fcc4d32fd36a0526e75132c31182d51dd8cf8cbd90fec870c8a23ec9",
        "d7f396b859dc84696cf50c167b3df8690baa0d86ed296e84dc3d5642c9b77d87",
        "ef2377de126158633c5b81592d4528e5a642d33688b69d8d7e81ffabcd2c4cfd",
        "25c0946020cf696b404225d76484ba3112aa4193c4b4161204b1d086879de61c",
        "826f649eda25f72cfae95a0d30264b0e24829ece4aed0060a40dd6518ee2b2ca"};
    run_chunks(&plain);
    run_chunks(&trailing);
}

static void sizes(void **state) {
    (void)state;
    assert_int_equal(weir_aws_chunked_size(66560, 65536, 1, 0), 66824); /* as in the vector */
    assert_int_equal(weir_aws_chunked_size(0, 65536, 0, 0), strlen("0\r\n\r\n"));
    assert_int_equal(weir_aws_chunked_size(5, 65536, 0, 7),
                     strlen("5\r\nhello\r\n0\r\na:bcd\r\n\r\n"));
    assert_int_equal(weir_aws_chunked_size(5, 0, 0, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(msk_token),
        cmocka_unit_test(suite_query_form),
        cmocka_unit_test(chunks),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
