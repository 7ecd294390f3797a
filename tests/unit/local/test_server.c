/* The server as a library: answers now and later, parts that are not copied, peers that go away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "server/server.h"

static server *srv;
static pthread_t thread;
static atomic_int released, closed_told;
static atomic_int waiting;
static exchange *held;
static server_timer *timer;
static char large[1 << 20];

static void release(void *opaque) {
    (void)opaque;
    atomic_fetch_add(&released, 1);
}

static void told(void *opaque) {
    *(exchange **)opaque = NULL;
    atomic_fetch_add(&closed_told, 1);
}

static void later(void *opaque) {
    (void)opaque;
    if (!held) return;
    exchange_copy(held, "late", 4);
    exchange_send(held);
    held = NULL;
}

static void handler(void *opaque, exchange *x) {
    (void)opaque;
    const server_request *r = exchange_request(x);
    if (str_eq_z(r->path, "/echo")) {
        exchange_header(x, "x-query", r->query);
        exchange_copy(x, r->body.ptr, (size_t)r->body.len);
        exchange_send(x);
    } else if (str_eq_z(r->path, "/large")) {
        for (int i = 0; i < 4; i++) exchange_refer(x, large, sizeof large, release, NULL);
        exchange_send(x);
    } else if (str_eq_z(r->path, "/stream")) {
        exchange_begin(x);
        exchange_copy(x, "one", 3);
        exchange_copy(x, "two", 3);
        exchange_end(x);
    } else if (str_eq_z(r->path, "/split")) {
        exchange_header(x, "x-bad", STR("a\r\nx-injected: b"));
        exchange_send(x);
    } else {
        held = x;
        exchange_on_close(x, told, &held);
        if (str_eq_z(r->path, "/later")) server_timer_set(timer, 20);
        atomic_fetch_add(&waiting, 1);
    }
}

static void *serve(void *opaque) {
    server_run(opaque);
    return NULL;
}

static int setup(void **state) {
    (void)state;
    char error[256];
    server_options o = {.handler = handler, .limits = {.head_bytes = 4096, .body_bytes = 100000}};
    srv = server_new(&o, error, sizeof error);
    if (!srv) return 1;
    timer = server_timer_new(srv, later, NULL);
    return pthread_create(&thread, NULL, serve, srv);
}

static int teardown(void **state) {
    (void)state;
    server_stop(srv);
    pthread_join(thread, NULL);
    server_timer_free(timer);
    server_free(srv);
    return 0;
}

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(server_port(srv)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes. */
static size_t all(int fd, char *out, size_t room) {
    size_t n = 0;
    ssize_t got;
    while (n < room - 1 && (got = recv(fd, out + n, room - 1 - n, 0)) > 0) n += (size_t)got;
    out[n] = 0;
    close(fd);
    return n;
}

static void wait_until(atomic_int *what, int value) {
    while (atomic_load(what) < value) usleep(1000);
}

static void requests_in_one_connection(void **state) {
    (void)state;
    char out[4096];
    int fd = dial();
    say(fd,
        "POST /echo?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n"
        "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
        "HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    all(fd, out, sizeof out);
    char *at = strstr(out, "x-query: q=1");
    assert_non_null(at);
    assert_non_null(at = strstr(at, "first"));
    assert_non_null(at = strstr(at, "second"));
    assert_non_null(at = strstr(at, "transfer-encoding: chunked"));
    assert_non_null(strstr(at, "6\r\nonetwo\r\n0\r\n\r\n"));
    assert_string_equal(out + strlen(out) - 4, "\r\n\r\n");
}

static void an_answer_later(void **state) {
    (void)state;
    char out[4096];
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    all(fd, out, sizeof out);
    assert_non_null(strstr(out, "\r\n\r\nlate"));
}

static void parts_are_released_once_sent(void **state) {
    (void)state;
    atomic_store(&released, 0);
    int fd = dial();
    say(fd, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *out = malloc(sizeof large * 5);
    size_t n = all(fd, out, sizeof large * 5);
    assert_true(n > sizeof large * 4);
    free(out);
    wait_until(&released, 4);
    /* And when nobody reads them. */
    fd = dial();
    say(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    close(fd);
    wait_until(&released, 8);
}

static void a_peer_that_goes_away(void **state) {
    (void)state;
    atomic_store(&closed_told, 0);
    atomic_store(&waiting, 0);
    int fd = dial();
    say(fd, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(&waiting, 1);
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(fd);
    wait_until(&closed_told, 1);
    assert_int_equal(atomic_load(&closed_told), 1);
}

static void limits(void **state) {
    (void)state;
    static char text[8192], out[4096];
    int fd = dial();
    memset(text, 'a', 5000);
    memcpy(text, "GET / HTTP/1.1\r\nA: ", 19);
    text[5000] = 0;
    say(fd, text);
    all(fd, out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 431 "));
    fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n");
    all(fd, out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 413 "));
    fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    all(fd, out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 400 "));
}

static void a_header_cannot_bring_another(void **state) {
    (void)state;
    char out[4096];
    int fd = dial();
    say(fd, "GET /split HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    all(fd, out, sizeof out);
    assert_null(strstr(out, "\r\nx-injected"));
}

static void expect_continue(void **state) {
    (void)state;
    char out[4096];
    int fd = dial();
    say(fd,
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
    ssize_t n = recv(fd, out, 25, MSG_WAITALL);
    assert_int_equal(n, 25);
    assert_memory_equal(out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    say(fd, "ok");
    all(fd, out, sizeof out);
    assert_non_null(strstr(out, "\r\n\r\nok"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_in_one_connection),
        cmocka_unit_test(an_answer_later),
        cmocka_unit_test(parts_are_released_once_sent),
        cmocka_unit_test(a_peer_that_goes_away),
        cmocka_unit_test(limits),
        cmocka_unit_test(a_header_cannot_bring_another),
        cmocka_unit_test(expect_continue),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
