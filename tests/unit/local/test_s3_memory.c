/*
 * S3 without memory: of a request whose n-th allocation fails, for every n, either everything came
 * to pass or nothing, and the endpoint goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "local.h"
#include "s3/s3.h"

#define ANSWER_BYTES 65536u
#define ALLOCATIONS_MAX 2000

static local *home;
static pthread_t thread;
static char answer[ANSWER_BYTES];

static void *serve(void *opaque) {
    server_run(local_server(opaque));
    return NULL;
}

static int setup(void **state) {
    (void)state;
    static const char *const buckets[] = {"box"};
    char error[256];
    local_options o = {.seed = 1, .setup = {.buckets = buckets, .bucket_count = 1}};
    home = local_new(&o, error, sizeof error);
    return home ? pthread_create(&thread, NULL, serve, home) : 1;
}

static int teardown(void **state) {
    (void)state;
    server_stop(local_server(home));
    pthread_join(thread, NULL);
    local_free(home);
    return 0;
}

/* The status of the answer, which is then in `answer`; 0 if there was none. */
static int ask(const char *head, const char *body) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(server_port(local_server(home))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "%s\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", head,
                     strlen(body), body);
    assert_true(n > 0 && (size_t)n < sizeof text);
    size_t got = 0;
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) == n)
        for (ssize_t more; got < sizeof answer - 1 &&
                           (more = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0;)
            got += (size_t)more;
    close(fd);
    answer[got] = 0;
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* The text between two marks of the answer. */
static void cut_out(const char *from, const char *to, char *out, size_t size) {
    const char *at = strstr(answer, from);
    const char *end = at ? strstr(at + strlen(from), to) : NULL;
    assert_non_null(end);
    at += strlen(from);
    assert_true((size_t)(end - at) < size);
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = 0;
}

typedef struct step {
    const char *head, *body;
    int good;          /* the status of success */
    const char *look;  /* a request without faults, before and behind */
    const char *found; /* what its answer holds only if the step came to pass */
} step;

/* Allocations fail one by one until none did: whatever was answered, the state is one of two. */
static void fail_each(const step *s) {
    int64_t n = 1;
    for (;; n++) {
        assert_true(n < ALLOCATIONS_MAX);
        mem_test_fail_at(n, false);
        int status = ask(s->head, s->body);
        bool failed = mem_test_fail_at(0, false);
        if (status != s->good && status != 500 && status != 0)
            fail_msg("%s: allocation %d: status %d\n%s", s->head, (int)n, status, answer);
        bool done = status == s->good;
        assert_true(ask(s->look, "") > 0);
        bool found = strstr(answer, s->found) != NULL;
        /* What was done without an answer may have been done. */
        if (done && !found) fail_msg("%s: allocation %d: answered and not done", s->head, (int)n);
        if (!failed) {
            assert_true(done);
            break;
        }
    }
    assert_true(n > 3);
}

static void requests(void **state) {
    (void)state;
    static const step steps[] = {
        {"PUT /box/key?x-id=PutObject&x-amz-meta-b=c HTTP/1.1\r\n"
         "x-amz-meta-a: b\r\nx-amz-tagging: c=d\r\n"
         "x-amz-server-side-encryption: aws:kms\r\nx-amz-checksum-crc32: y/Q5Jg==",
         "123456789", 200, "GET /box/key HTTP/1.1", "123456789"},
        {"GET /box/key HTTP/1.1\r\nx-amz-checksum-mode: ENABLED", "", 200, "GET /box/key HTTP/1.1",
         "123456789"},
        {"PUT /box/copy HTTP/1.1\r\nx-amz-copy-source: /box/key\r\n"
         "x-amz-checksum-algorithm: SHA256",
         "", 200, "GET /box/copy HTTP/1.1", "123456789"},
        {"GET /box?list-type=2&max-keys=1&delimiter=%2F HTTP/1.1", "", 200, "GET /box HTTP/1.1",
         "<Key>copy</Key>"},
        {"PUT /box/key?tagging HTTP/1.1\r\nContent-MD5: EbdZDxVT2OADmYhaGBi6mA==",
         "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>", 200,
         "GET /box/key?tagging HTTP/1.1", "<Key>k</Key>"},
        {"GET /box/key?tagging HTTP/1.1", "", 200, "GET /box/key?tagging HTTP/1.1", "<Key>k</Key>"},
        {"PUT /another HTTP/1.1", "", 200, "GET / HTTP/1.1", "<Name>another</Name>"},
        {"POST /box/m?uploads HTTP/1.1\r\nx-amz-meta-a: b", "", 200, "GET /box?uploads HTTP/1.1",
         "<Key>m</Key>"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) fail_each(&steps[i]);
}

static void uploads(void **state) {
    (void)state;
    char id[128], etag[64], head[512], body[512], look[512];
    assert_int_equal(ask("POST /box/parts?uploads HTTP/1.1", ""), 200);
    cut_out("<UploadId>", "</UploadId>", id, sizeof id);
    snprintf(head, sizeof head, "PUT /box/parts?partNumber=1&uploadId=%s HTTP/1.1", id);
    snprintf(look, sizeof look, "GET /box/parts?uploadId=%s HTTP/1.1", id);
    fail_each(&(step){head, "the only part", 200, look, "<PartNumber>1</PartNumber>"});
    assert_int_equal(ask(head, "the only part"), 200);
    cut_out("etag: \"", "\"", etag, sizeof etag);
    snprintf(head, sizeof head, "POST /box/parts?uploadId=%s HTTP/1.1", id);
    snprintf(body, sizeof body,
             "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part>"
             "</CompleteMultipartUpload>",
             etag);
    fail_each(&(step){head, body, 200, "GET /box/parts HTTP/1.1", "the only part"});
}

static void other_services(void **state) {
    (void)state;
    assert_true(s3_has_bucket(home, STR("box")));
    assert_false(s3_has_bucket(home, STR("none")));
    assert_false(s3_put(home, STR("none"), STR("k"), STR("x"), STR("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(uploads),
        cmocka_unit_test(other_services),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
