/*
 * The worker's end of the link, with the test as its supervisor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "supervise/link_private.h"

typedef struct pair {
    worker_link *link;
    int fd; /* ours */
    wake wake;
} pair;

static void pair_open(pair *p) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    link_setup setup = {.fd = ends[1],
                        .pipeline = "clicks",
                        .history = {.restarts = 3, .started_us = 17, .last_error = "boom"}};
    p->fd = ends[0];
    p->link = link_new(&setup);
    assert_non_null(p->link);
    wake_init(&p->wake);
    assert_int_equal(link_start(p->link, &p->wake, NULL), WEIR_OK);
}

static void pair_close(pair *p) {
    link_free(p->link);
    if (p->fd >= 0) close(p->fd);
}

static void say(pair *p, const char *text) {
    assert_int_equal(send(p->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(pair *p, const char *text) {
    char got[4096];
    size_t len = strlen(text);
    assert_true(len < sizeof got);
    assert_int_equal(recv(p->fd, got, len, MSG_WAITALL), len);
    got[len] = '\0';
    assert_string_equal(got, text);
}

static void expect_nothing(pair *p) {
    char got[16];
    assert_int_equal(recv(p->fd, got, sizeof got, MSG_DONTWAIT), -1);
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
}

static link_request *await_request(pair *p) {
    for (link_request *r;;) {
        if ((r = link_take(p->link)) != NULL) return r;
        assert_true(wake_wait(&p->wake, clock_mono_ns(&clock_system) + 60 * CLOCK_NS_PER_S));
    }
}

static void test_what_the_worker_says(void **state) {
    (void)state;
    pair p;
    pair_open(&p);
    link_ready(p.link);
    expect(&p, "ready\n");
    for (int i = 0; i < 3; i++) link_beat(p.link); /* the first goes, the next are too soon */
    expect(&p, "beat\n");
    link_stopping(p.link);
    expect(&p, "stopping\n");
    link_failed(p.link, WORKER_CONFIG, "no \"stream\"\nclicks");
    expect(&p, "failed config \"no \\\"stream\\\"\\nclicks\"\n");
    link_answer(p.link, UINT64_MAX, "{\"a\":1}");
    expect(&p, "answer 18446744073709551615 {\"a\":1}\n");
    link_stop(p.link);
    link_failed(p.link, WORKER_LOST, "late"); /* the last words come after the thread */
    expect(&p, "failed lost \"late\"\n");
    assert_int_equal(link_outcome_of(STR("lost")), WORKER_LOST);
    assert_int_equal(link_outcome_of(STR("what")), WORKER_FAILED);
    const link_history *h = link_history_of(p.link);
    assert_int_equal(h->restarts, 3);
    assert_int_equal(h->started_us, 17);
    assert_string_equal(h->last_error, "boom");
    pair_close(&p);
}

static void test_what_the_worker_hears(void **state) {
    (void)state;
    pair p;
    pair_open(&p);
    say(&p, "request 1 {\"do\":\"a\"}\nrequest 2 {\"do");
    link_request *r = await_request(&p);
    assert_int_equal(r->id, 1);
    assert_string_equal(r->json, "{\"do\":\"a\"}");
    link_request_free(r);
    say(&p, "\":\"b\"}\nrequest x {}\nrequest\nnonsense\n\nrequest 3 {}\n");
    r = await_request(&p);
    assert_int_equal(r->id, 2);
    assert_string_equal(r->json, "{\"do\":\"b\"}");
    link_request_free(r);
    r = await_request(&p);
    assert_int_equal(r->id, 3);
    link_request_free(r);
    assert_false(link_draining(p.link));
    say(&p, "drain\nrequest 4 {}\n");
    r = await_request(&p); /* a drain does not end requests */
    assert_int_equal(r->id, 4);
    link_request_free(r);
    assert_true(link_draining(p.link));
    say(&p, "request 5 {}\nrequest 6 {}\n"); /* nobody takes them */
    pair_close(&p);
}

static void test_the_supervisors_end_is_a_drain(void **state) {
    (void)state;
    pair p;
    pair_open(&p);
    close(p.fd);
    p.fd = -1;
    while (!link_draining(p.link))
        assert_true(wake_wait(&p.wake, clock_mono_ns(&clock_system) + 60 * CLOCK_NS_PER_S));
    link_ready(p.link); /* nobody hears it, and nothing happens */
    link_answer(p.link, 1, "{}");
    pair_close(&p);
}

#define LARGE ((size_t)8 << 20)

static void *read_all(void *arg) {
    pair *p = arg;
    char *got = malloc(LARGE + 64);
    size_t len = 0;
    while (len < LARGE + strlen("answer 9 \"\"\n")) {
        ssize_t n = recv(p->fd, got + len, LARGE + 64 - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
    }
    bool ok = len == LARGE + strlen("answer 9 \"\"\n") && memcmp(got, "answer 9 \"xxx", 13) == 0 &&
              got[len - 1] == '\n';
    free(got);
    return ok ? p : NULL;
}

static void test_a_large_answer_waits_for_its_reader(void **state) {
    (void)state;
    pair p;
    pair_open(&p);
    char *json = malloc(LARGE + 3);
    memset(json, 'x', LARGE + 2);
    json[0] = json[LARGE + 1] = '"';
    json[LARGE + 2] = '\0';
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, &p), 0);
    link_answer(p.link, 9, json);
    void *ok;
    pthread_join(reader, &ok);
    assert_non_null(ok);
    free(json);
    pair_close(&p);
}

static void test_a_stopped_supervisor_stops_no_beat(void **state) {
    (void)state;
    int ends[2];
    char block[4096] = "";
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    while (send(ends[1], block, sizeof block, MSG_DONTWAIT) > 0) {}
    while (send(ends[1], block, 1, MSG_DONTWAIT) > 0) { /* to the last byte */
    }
    link_setup setup = {.fd = ends[1], .pipeline = "clicks"};
    worker_link *link = link_new(&setup);
    assert_non_null(link);
    link_beat(link); /* comes back */
    link_free(link);
    close(ends[0]);
}

static void test_no_link_at_all(void **state) {
    (void)state;
    wake w;
    wake_init(&w);
    assert_int_equal(link_start(NULL, &w, NULL), WEIR_OK);
    link_ready(NULL);
    link_beat(NULL);
    link_stopping(NULL);
    link_failed(NULL, WORKER_FAILED, "x");
    assert_false(link_draining(NULL));
    assert_null(link_take(NULL));
    link_answer(NULL, 1, "{}");
    link_request_free(NULL);
    assert_string_equal(link_history_of(NULL)->last_error, "");
    link_stop(NULL);
    link_free(NULL);
}

static void test_nothing_is_said_unasked(void **state) {
    (void)state;
    pair p;
    pair_open(&p);
    expect_nothing(&p);
    pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_worker_says),
        cmocka_unit_test(test_what_the_worker_hears),
        cmocka_unit_test(test_the_supervisors_end_is_a_drain),
        cmocka_unit_test(test_a_large_answer_waits_for_its_reader),
        cmocka_unit_test(test_a_stopped_supervisor_stops_no_beat),
        cmocka_unit_test(test_no_link_at_all),
        cmocka_unit_test(test_nothing_is_said_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
