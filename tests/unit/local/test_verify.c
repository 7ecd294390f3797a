/* The verifier against published signatures, and each single corruption of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>

#include "aws/verify.h"

#define HEADERS_MAX 32u
#define FILE_MAX 16384
#define CASES_MIN 25u

static const char secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/* One request, headers as "name:value" in the order of the wire. */
typedef struct request {
    const char *method, *path, *query, *host, *body, *date, *service;
    const char *headers[HEADERS_MAX];
} request;

static struct credentials *people;
static aws_identity who;

static int64_t time_of(const char *date) {
    int64_t ms;
    assert_true(verify_time_ms(str_of(date), &ms));
    return ms;
}

static aws_auth check_at(const request *q, int64_t now, const char *service) {
    static char names[HEADERS_MAX][128];
    server_header headers[HEADERS_MAX];
    server_request r = {.method = str_of(q->method),
                        .path = str_of(q->path),
                        .query = str_of(q->query ? q->query : ""),
                        .host = str_of(q->host),
                        .headers = headers,
                        .body = str_of(q->body ? q->body : "")};
    for (uint32_t i = 0; i < HEADERS_MAX && q->headers[i]; i++) {
        const char *colon = strchr(q->headers[i], ':');
        size_t n = (size_t)(colon - q->headers[i]);
        for (size_t k = 0; k < n; k++) {
            char c = q->headers[i][k];
            names[i][k] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        headers[r.header_count++] = (server_header){str_make(names[i], n), str_of(colon + 1)};
    }
    return verify_request(people, &r, service, now, now, &who, NULL);
}

static aws_auth check(const request *q) {
    return check_at(q, time_of(q->date), q->service);
}

static int setup(void **state) {
    (void)state;
    people = credentials_new();
    return !people ||
           !credentials_add(people, STR("AKIDEXAMPLE"), str_of(secret), STR(""), INT64_MAX);
}

static int teardown(void **state) {
    (void)state;
    credentials_free(people);
    return 0;
}

#define AUTHORIZATION(day, service, names, signature)                                              \
    "Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" day "/us-east-1/" service             \
    "/aws4_request, SignedHeaders=" names ", Signature=" signature

static request kinesis(void) {
    return (request){
        .method = "POST",
        .path = "/",
        .host = "kinesis.us-east-1.amazonaws.com",
        .service = "kinesis",
        .date = "20260115T123045Z",
        .body = "{\"StreamName\":\"example\"}",
        .headers = {
            "Content-Type:application/x-amz-json-1.1", "X-Amz-Date:20260115T123045Z",
            "X-Amz-Target:Kinesis_20131202.DescribeStreamSummary",
            AUTHORIZATION("20260115", "kinesis", "content-type;host;x-amz-date;x-amz-target",
                          "38d64818909588c5dbc5528a453bd82d7b43c5a9e69fd9c07656abc4a9ad3d1b")}};
}

static void a_request_of_kinesis(void **state) {
    (void)state;
    request q = kinesis();
    assert_int_equal(check(&q), AWS_AUTH_OK);
    assert_true(str_eq_z(who.access_key, "AKIDEXAMPLE"));
    assert_true(str_eq_z(who.region, "us-east-1") && str_eq_z(who.service, "kinesis"));
}

static void each_corruption_is_refused(void **state) {
    (void)state;
    request q = kinesis();
    q.body = "{\"StreamName\":\"examplf\"}";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.path = "/x";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.query = "a";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.method = "PUT";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.host = "kinesis.us-east-2.amazonaws.com";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.headers[0] = "Content-Type:application/x-amz-json-1.0";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.headers[1] = "X-Amz-Date:20260115T123046Z";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.headers[4] = "X-Amz-Extra:not signed";
    assert_int_equal(check(&q), AWS_AUTH_MISMATCH);
    q = kinesis();
    q.headers[4] = "Accept:not signed, and need not be";
    assert_int_equal(check(&q), AWS_AUTH_OK);
    assert_int_equal(check_at(&q, time_of(q.date), "firehose"), AWS_AUTH_MISMATCH);

    /* Each character of the signature, the day, the region, the service, the names. */
    q = kinesis();
    static char authorization[512];
    size_t n = strlen(q.headers[3]), from = strlen("Authorization:AWS4-HMAC-SHA256 ");
    for (size_t i = from; i < n; i++) {
        if (q.headers[3][i] == ' ' || q.headers[3][i] == ',') continue;
        request bad = kinesis();
        memcpy(authorization, q.headers[3], n + 1);
        authorization[i] = (char)(authorization[i] == 'e' ? 'f' : 'e');
        bad.headers[3] = authorization;
        if (check(&bad) == AWS_AUTH_OK)
            fail_msg("accepted with a change at %zu: %s", i, authorization);
    }
}

static void the_window_of_time(void **state) {
    (void)state;
    request q = kinesis();
    int64_t signed_at = time_of(q.date);
    assert_int_equal(check_at(&q, signed_at + 299000, "kinesis"), AWS_AUTH_OK);
    assert_int_equal(check_at(&q, signed_at + 301000, "kinesis"), AWS_AUTH_SKEWED);
    assert_non_null(strstr(who.detail, "Signature expired"));
    assert_int_equal(check_at(&q, signed_at - 299000, "kinesis"), AWS_AUTH_OK);
    assert_int_equal(check_at(&q, signed_at - 301000, "kinesis"), AWS_AUTH_SKEWED);
    assert_non_null(strstr(who.detail, "Signature not yet current"));
}

static void session_tokens(void **state) {
    (void)state;
    request q = kinesis();
    q.headers[3] = AUTHORIZATION(
        "20260115", "kinesis", "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
        "2101a238194c2d2edb887b4afb8cb19f3a38806235ccb88245dda776d0640556");
    q.headers[4] = "X-Amz-Security-Token:TOKEN/with+chars==";
    assert_int_equal(check(&q), AWS_AUTH_BAD_TOKEN); /* these credentials have none */
    int64_t end = time_of(q.date) + 1000;
    assert_true(credentials_add(people, STR("AKIDEXAMPLE"), str_of(secret),
                                STR("TOKEN/with+chars=="), end));
    assert_int_equal(check(&q), AWS_AUTH_OK);
    assert_int_equal(check_at(&q, end, "kinesis"), AWS_AUTH_EXPIRED);
    q = kinesis();
    assert_int_equal(check(&q), AWS_AUTH_BAD_TOKEN); /* and these need one */
    assert_true(credentials_add(people, STR("AKIDEXAMPLE"), str_of(secret), STR(""), INT64_MAX));
}

static void who_is_not_known(void **state) {
    (void)state;
    request q = kinesis();
    credentials_remove(people, STR("AKIDEXAMPLE"));
    assert_int_equal(check(&q), AWS_AUTH_UNKNOWN);
    assert_true(credentials_add(people, STR("AKIDEXAMPLE"), str_of(secret), STR(""), INT64_MAX));
    q.headers[3] = "Accept:x";
    assert_int_equal(check(&q), AWS_AUTH_MISSING);
    q.headers[3] = "Authorization:Basic abc";
    assert_int_equal(check(&q), AWS_AUTH_INCOMPLETE);
    q.headers[3] =
        "Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE, SignedHeaders=host, Signature=0";
    assert_int_equal(check(&q), AWS_AUTH_INCOMPLETE);
}

/* S3 takes the path as it is; everybody else encodes it once more. */
static void paths(void **state) {
    (void)state;
    request q = {
        .method = "PUT",
        .path = "/a%20b/%C3%A9%2B%3D%40/..//x.json",
        .service = "s3",
        .host = "examplebucket.s3.us-east-1.amazonaws.com",
        .body = "hello\n",
        .date = "20260115T123045Z",
        .headers = {
            "Content-Type:application/json", "If-None-Match:*",
            "X-Amz-Content-Sha256:"
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "X-Amz-Date:20260115T123045Z",
            AUTHORIZATION("20260115", "s3",
                          "content-type;host;if-none-match;x-amz-content-sha256;x-amz-date",
                          "5de379b19cbd4cab09109170996f0512046b807523ae52d12d1095e9871010e5")}};
    assert_int_equal(check(&q), AWS_AUTH_OK);
    q = (request){
        .method = "GET",
        .path = "/",
        .service = "s3",
        .query = "list-type=2&prefix=a%20b%2F&delimiter=%2F&max-keys=10&uploads",
        .host = "examplebucket.s3.us-east-1.amazonaws.com",
        .date = "20260115T123045Z",
        .headers = {
            "X-Amz-Content-Sha256:"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "X-Amz-Date:20260115T123045Z",
            AUTHORIZATION("20260115", "s3", "host;x-amz-content-sha256;x-amz-date",
                          "f61416f444ca0e81c86f65e637e826d0d3d6e56e98e00215f4bcf1e424c6b4e1")}};
    assert_int_equal(check(&q), AWS_AUTH_OK);
    q = (request){
        .method = "GET",
        .path = "/a%20b/c%3Ad",
        .service = "service",
        .host = "example.amazonaws.com",
        .date = "20260115T123045Z",
        .headers = {
            "X-Amz-Date:20260115T123045Z",
            AUTHORIZATION("20260115", "service", "host;x-amz-date",
                          "be5bfc5111476991d4023029b6debae40bbd4df7284c084298c97f771d27f063")}};
    assert_int_equal(check(&q), AWS_AUTH_OK);
}

static void presigned(void **state) {
    (void)state;
    request q = {.method = "GET",
                 .path = "/",
                 .service = "service",
                 .host = "example.amazonaws.com",
                 .date = "20150830T123600Z",
                 .query =
                     "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2F"
                     "us-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&"
                     "X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature="
                     "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"};
    assert_int_equal(check(&q), AWS_AUTH_OK);
    assert_true(str_eq_z(who.access_key, "AKIDEXAMPLE"));
    int64_t at = time_of(q.date);
    assert_int_equal(check_at(&q, at + 3600000, NULL), AWS_AUTH_OK);
    assert_int_equal(check_at(&q, at + 3600001, NULL), AWS_AUTH_EXPIRED);
}

/* ---- the published suite, read from the build's cache ---- */

static bool read_file(const char *dir, const char *name, const char *suffix, char *out) {
    char path[2048];
    snprintf(path, sizeof path, "%s/%s/%s.%s", dir, name, name, suffix);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(out, 1, FILE_MAX - 1, f), kept = 0;
    fclose(f);
    for (size_t i = 0; i < n; i++)
        if (out[i] != '\r') out[kept++] = out[i];
    out[kept] = 0;
    return true;
}

static bool run_case(const char *dir, const char *name) {
    static char text[FILE_MAX], authorization[FILE_MAX], header[FILE_MAX + 32];
    if (!read_file(dir, name, "req", text) || !read_file(dir, name, "authz", authorization))
        return false;
    /* Tokens of the suite are added behind the file; they have vectors of their own above. */
    if (strstr(authorization, "x-amz-security-token")) return false;
    request q = {.date = "20150830T123600Z", .service = "service"};
    char *body = strstr(text, "\n\n");
    if (body) {
        *body = 0;
        q.body = body + 2;
    }
    char *line = text, *end = strchr(line, '\n');
    *end = 0;
    *strrchr(line, ' ') = 0;
    char *target = strchr(line, ' ');
    *target++ = 0;
    q.method = line;
    q.path = target;
    char *mark = strchr(target, '?');
    if (mark) *mark = 0;
    q.query = mark ? mark + 1 : NULL;
    uint32_t count = 0;
    for (line = end + 1; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        while (end && (end[1] == ' ' || end[1] == '\t')) end = strchr(end + 1, '\n');
        if (end) *end = 0;
        if (strncmp(line, "Host:", 5) == 0)
            q.host = line + 5;
        else
            q.headers[count++] = line;
    }
    /* The suite puts a header's folded lines together with commas, which no server sees any more.
     */
    if (strstr(name, "multiline")) return false;
    snprintf(header, sizeof header, "Authorization:%s", authorization);
    q.headers[count] = header;
    if (check(&q) != AWS_AUTH_OK) fail_msg("%s: %s", name, who.detail);
    return true;
}

static unsigned run_folder(const char *dir) {
    unsigned cases = 0;
    DIR *d = opendir(dir);
    if (!d)
        fail_msg("no SigV4 suite in %s: run tests/tools/fetch_sigv4_suite, or set WEIR_SIGV4_SUITE "
                 "to the folder aws4_testsuite of botocore's source package",
                 dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[1024];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (run_case(dir, e->d_name)) {
            cases++;
            continue;
        }
        DIR *inner = opendir(path);
        if (!inner) continue;
        closedir(inner);
        if (strncmp(e->d_name, "normalize-path", 14) == 0 || strncmp(e->d_name, "post-sts", 8) == 0)
            cases += run_folder(path);
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
        cmocka_unit_test(a_request_of_kinesis),
        cmocka_unit_test(each_corruption_is_refused),
        cmocka_unit_test(the_window_of_time),
        cmocka_unit_test(session_tokens),
        cmocka_unit_test(who_is_not_known),
        cmocka_unit_test(paths),
        cmocka_unit_test(presigned),
        cmocka_unit_test(published_suite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
