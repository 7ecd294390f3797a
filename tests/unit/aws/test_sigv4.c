#define _GNU_SOURCE /* memmem */
/* The signer against the published suite and against vectors of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "weir/aws.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define FILE_MAX 8192u
#define HEADERS_MAX 16u
#define CASES_MIN 30u /* of the published suite */

typedef struct vector {
    const char *method, *path, *query, *body;
    const char *headers[HEADERS_MAX]; /* "name:value" */
    const char *date, *service;
    uint32_t flags;
} vector;

static weir_str str(const char *z) {
    weir_str s = {z, strlen(z)};
    return s;
}

static weir_str sign(weir_aws_signer *signer, const vector *v) {
    weir_http_header headers[HEADERS_MAX];
    uint32_t count = 0;
    for (; v->headers[count]; count++) {
        const char *colon = strchr(v->headers[count], ':');
        headers[count].name.ptr = v->headers[count];
        headers[count].name.len = (uint64_t)(colon - v->headers[count]);
        headers[count].value = str(colon + 1);
    }
    char hash[WEIR_AWS_HASH_SIZE];
    weir_str body = str(v->body ? v->body : "");
    weir_aws_hash(&body, 1, hash);
    weir_aws_keys keys = {str("AKIDEXAMPLE"), str(SECRET), {NULL, 0}};
    weir_aws_sign_args args = {
        .method = str(v->method),
        .path = str(v->path),
        .query = str(v->query ? v->query : ""),
        .headers = headers,
        .header_count = count,
        .flags = v->flags,
        .payload_hash = str(hash),
        .region = str("us-east-1"),
        .service = str(v->service),
        .date = str(v->date),
    };
    return weir_aws_sign(signer, &keys, &args);
}

static void check_signature(const vector *v, const char *signature) {
    weir_aws_signer *signer = weir_aws_signer_new();
    for (int round = 0; round < 2; round++) { /* the second uses the cached key */
        weir_str a = sign(signer, v);
        assert_non_null(a.ptr);
        assert_true(a.len > 64);
        char got[65] = {0};
        memcpy(got, a.ptr + a.len - 64, 64);
        assert_string_equal(got, signature);
    }
    weir_aws_signer_free(signer);
}

#define NOW "20260115T123045Z"

static const char describe_body[] = "{\"StreamName\":\"example\"}";

static void kinesis_json(void **state) {
    (void)state;
    vector v = {.method = "POST",
                .path = "/",
                .body = describe_body,
                .headers = {"Content-Type:application/x-amz-json-1.1",
                            "Host:kinesis.us-east-1.amazonaws.com", "X-Amz-Date:" NOW,
                            "X-Amz-Target:Kinesis_20131202.DescribeStreamSummary",
                            "User-Agent:weir/9"},
                .date = NOW,
                .service = "kinesis"};
    check_signature(&v, "38d64818909588c5dbc5528a453bd82d7b43c5a9e69fd9c07656abc4a9ad3d1b");
    v.headers[4] = "X-Amz-Security-Token:TOKEN/with+chars==";
    check_signature(&v, "2101a238194c2d2edb887b4afb8cb19f3a38806235ccb88245dda776d0640556");
}

static void canonical_request_hash(void **state) {
    (void)state;
    vector v = {.method = "POST",
                .path = "/",
                .body = describe_body,
                .headers = {"Host:kinesis.us-east-1.amazonaws.com", "X-Amz-Date:" NOW,
                            "Content-Type:application/x-amz-json-1.1",
                            "X-Amz-Target:Kinesis_20131202.DescribeStreamSummary"},
                .date = NOW,
                .service = "kinesis"};
    weir_aws_signer *signer = weir_aws_signer_new();
    assert_non_null(sign(signer, &v).ptr);
    weir_str canonical = weir_aws_canonical_request(signer);
    char hash[WEIR_AWS_HASH_SIZE];
    weir_aws_hash(&canonical, 1, hash);
    assert_string_equal(hash, "225d79159e4854854efa1b238e3b575f4ffaa3dbdb835b8e0f97727c6570d728");
    weir_str body = str(describe_body);
    weir_aws_hash(&body, 1, hash);
    assert_string_equal(hash, "f1e3991a3e7484dc8c40c9e0f280fede8b9c8f0ae6767aab74e7d49d1567ae67");
    weir_str halves[2] = {{describe_body, 10}, {describe_body + 10, sizeof describe_body - 11}};
    char again[WEIR_AWS_HASH_SIZE];
    weir_aws_hash(halves, 2, again);
    assert_string_equal(again, hash);
    weir_aws_signer_free(signer);
}

static void sts_form(void **state) {
    (void)state;
    vector v = {.method = "POST",
                .path = "/",
                .body = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%"
                        "3A123456789012%3Arole%2Fdemo&RoleSessionName=s1&DurationSeconds=900",
                .headers = {"content-type:application/x-www-form-urlencoded; charset=utf-8",
                            "host:sts.us-east-1.amazonaws.com", "x-amz-date:" NOW},
                .date = NOW,
                .service = "sts"};
    check_signature(&v, "905866ab661b66f6823a60ead73dee4a721cfde775f2ccca89065b0df4167684");
}

static void s3_put_keeps_the_path(void **state) {
    (void)state;
    vector v = {.method = "PUT",
                .path = "/a%20b/%C3%A9%2B%3D%40/..//x.json",
                .body = "hello\n",
                .headers = {"host:examplebucket.s3.us-east-1.amazonaws.com", "x-amz-date:" NOW,
                            "content-type:application/json", "if-none-match:*",
                            "x-amz-content-sha256:"
                            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"},
                .date = NOW,
                .service = "s3",
                .flags = WEIR_AWS_SIGN_S3};
    check_signature(&v, "5de379b19cbd4cab09109170996f0512046b807523ae52d12d1095e9871010e5");
}

static void s3_list_query(void **state) {
    (void)state;
    vector v = {.method = "GET",
                .path = "/",
                .query = "list-type=2&prefix=a%20b%2F&delimiter=%2F&max-keys=10&uploads",
                .headers = {"host:examplebucket.s3.us-east-1.amazonaws.com", "x-amz-date:" NOW,
                            "x-amz-content-sha256:" WEIR_AWS_EMPTY_HASH},
                .date = NOW,
                .service = "s3",
                .flags = WEIR_AWS_SIGN_S3};
    check_signature(&v, "f61416f444ca0e81c86f65e637e826d0d3d6e56e98e00215f4bcf1e424c6b4e1");
}

static void other_services_encode_twice(void **state) {
    (void)state;
    vector v = {.method = "GET",
                .path = "/a%20b/c%3Ad",
                .headers = {"host:example.amazonaws.com", "x-amz-date:" NOW},
                .date = NOW,
                .service = "service"};
    check_signature(&v, "be5bfc5111476991d4023029b6debae40bbd4df7284c084298c97f771d27f063");
}

static void a_new_day_derives_a_new_key(void **state) {
    (void)state;
    vector v = {.method = "GET",
                .path = "/",
                .headers = {"host:example.amazonaws.com", "x-amz-date:" NOW},
                .date = NOW,
                .service = "service"};
    weir_aws_signer *signer = weir_aws_signer_new();
    char first[512] = {0};
    weir_str a = sign(signer, &v);
    memcpy(first, a.ptr, a.len < 511 ? a.len : 511);
    v.date = "20260116T000000Z";
    a = sign(signer, &v); /* pointer and length: no NUL behind it */
    assert_non_null(memmem(a.ptr, (size_t)a.len, "/20260116/", strlen("/20260116/")));
    v.date = NOW;
    a = sign(signer, &v);
    assert_memory_equal(a.ptr, first, a.len);
    v.date = "2026";
    assert_null(sign(signer, &v).ptr);
    weir_aws_signer_free(signer);

    char date[WEIR_AWS_DATE_SIZE];
    weir_aws_format_date(1768480245, date);
    assert_string_equal(date, "20260115T123045Z");
}

/* ---- the published suite ---- */

static size_t read_file(const char *dir, const char *name, const char *suffix, char *out) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    size_t n = fread(out, 1, FILE_MAX - 1, f), kept = 0;
    fclose(f);
    for (size_t i = 0; i < n; i++)
        if (out[i] != '\r') out[kept++] = out[i];
    out[kept] = '\0';
    return kept;
}

static void run_case(const char *dir, const char *name) {
    static char request[FILE_MAX], canonical[FILE_MAX], to_sign[FILE_MAX], authorization[FILE_MAX];
    read_file(dir, name, "req", request);
    read_file(dir, name, "creq", canonical);
    read_file(dir, name, "sts", to_sign);
    read_file(dir, name, "authz", authorization);

    char *body = strstr(request, "\n\n");
    if (body) {
        *body = '\0';
        body += 2;
    }
    vector v = {.body = body, .date = "20150830T123600Z", .service = "service"};
    char *line = request, *end = strchr(line, '\n');
    *end = '\0';
    char *version = strrchr(line, ' ');
    *version = '\0';
    char *target = strchr(line, ' ');
    *target++ = '\0';
    v.method = line;
    v.path = target;
    char *question = strchr(target, '?');
    if (question) {
        *question = '\0';
        v.query = question + 1;
    }
    uint32_t count = 0;
    line = end + 1;
    while (line && *line) {
        end = strchr(line, '\n');
        while (end && (end[1] == ' ' || end[1] == '\t')) end = strchr(end + 1, '\n'); /* folded */
        if (end) *end = '\0';
        assert_true(count < HEADERS_MAX - 1);
        v.headers[count++] = line;
        line = end ? end + 1 : NULL;
    }
    /* Credentials with a token: the signer's caller adds the header, the request file has none. */
    static char token[FILE_MAX];
    char *found = strstr(canonical, "\nx-amz-security-token:");
    if (found) {
        snprintf(token, sizeof token, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
        bool given = false;
        for (uint32_t i = 0; i < count; i++)
            given |= strncasecmp(v.headers[i], token, strlen("x-amz-security-token:")) == 0;
        if (!given) v.headers[count++] = token;
    }
    weir_aws_signer *signer = weir_aws_signer_new();
    weir_str a = sign(signer, &v);
    weir_str c = weir_aws_canonical_request(signer), t = weir_aws_string_to_sign(signer);
    if (c.len != strlen(canonical) || memcmp(c.ptr, canonical, c.len) != 0)
        fail_msg("%s: canonical request:\n%.*s\nexpected:\n%s", name, (int)c.len, c.ptr, canonical);
    if (t.len != strlen(to_sign) || memcmp(t.ptr, to_sign, t.len) != 0)
        fail_msg("%s: string to sign:\n%.*s\nexpected:\n%s", name, (int)t.len, t.ptr, to_sign);
    if (a.len != strlen(authorization) || memcmp(a.ptr, authorization, a.len) != 0)
        fail_msg("%s: %.*s\nexpected: %s", name, (int)a.len, a.ptr, authorization);
    weir_aws_signer_free(signer);
}

static unsigned run_folder(const char *dir) {
    unsigned cases = 0;
    DIR *d = opendir(dir);
    if (!d)
        fail_msg("no SigV4 suite in %s: run tests/tools/fetch_sigv4_suite, or set WEIR_SIGV4_SUITE "
                 "to the folder aws4_testsuite of botocore's source package",
                 dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        char path[1024], file[1400];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        snprintf(file, sizeof file, "%s/%s.req", path, e->d_name);
        DIR *inner = opendir(path);
        if (!inner) continue;
        closedir(inner);
        FILE *f = fopen(file, "rb");
        if (f) {
            fclose(f);
            run_case(path, e->d_name);
            cases++;
        } else {
            cases += run_folder(path);
        }
    }
    closedir(d);
    return cases;
}

static void published_suite(void **state) {
    (void)state;
    const char *dir = getenv("WEIR_SIGV4_SUITE");
    unsigned cases = run_folder(dir ? dir : WEIR_SIGV4_SUITE);
    if (cases < CASES_MIN) fail_msg("only %u cases in the suite, expected %u", cases, CASES_MIN);
    print_message("%u cases of the published suite\n", cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinesis_json),
        cmocka_unit_test(canonical_request_hash),
        cmocka_unit_test(sts_form),
        cmocka_unit_test(s3_put_keeps_the_path),
        cmocka_unit_test(s3_list_query),
        cmocka_unit_test(other_services_encode_twice),
        cmocka_unit_test(a_new_day_derives_a_new_key),
        cmocka_unit_test(published_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
