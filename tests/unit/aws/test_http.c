/* The HTTP client against a server in a thread: each request completes exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stub_server.h"
#include "weir/http.h"

#define S 1000000000LL

typedef struct outcome {
    int calls;
    weir_status status;
    uint32_t http_status;
    char body[256], header[64], text[256];
    char *taken;
    uint64_t taken_len, taken_capacity;
    bool take;
    weir_http *again; /* start another request from inside the callback */
    const char *url;
    size_t streamed;
    weir_status stream_answer;
} outcome;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * S + t.tv_nsec;
}

static void done(void *opaque, weir_http_response *r) {
    outcome *o = opaque;
    o->calls++;
    o->status = weir_http_result(r);
    o->http_status = weir_http_status(r);
    weir_str body = weir_http_body(r), header = weir_http_header_value(r, "X-AMZN-requestid");
    snprintf(o->body, sizeof o->body, "%.*s", (int)body.len, body.ptr);
    snprintf(o->header, sizeof o->header, "%.*s", (int)header.len, header.ptr ? header.ptr : "");
    snprintf(o->text, sizeof o->text, "%s", weir_http_error_text(r));
    if (o->take) o->taken = weir_http_take_body(r, &o->taken_len, &o->taken_capacity);
    if (o->again) {
        weir_http_args args = {.method = "GET", .url = o->url, .done = done, .opaque = o};
        weir_http *http = o->again;
        o->again = NULL;
        assert_int_equal(weir_http_start(http, &args, NULL), WEIR_OK);
    }
}

static weir_status streamed(void *opaque, weir_str bytes) {
    outcome *o = opaque;
    o->streamed += bytes.len;
    return o->stream_answer;
}

/* Echoes method, body and a header; /big, /slow, /close, /never, /fail as they say. */
static void serve(void *opaque, const stub_request *q, stub_answer *out) {
    (void)opaque;
    if (strcmp(q->path, "/close") == 0) {
        out->status = 0;
    } else if (strcmp(q->path, "/never") == 0) {
        out->status = -1;
    } else if (strcmp(q->path, "/fail") == 0) {
        stub_text(out, 503, "busy");
    } else if (strcmp(q->path, "/big") == 0) {
        out->body = malloc(300000);
        memset(out->body, 'x', 300000);
        out->body_len = 300000;
    } else {
        bool silent = !strstr(q->head, "Expect:") && !strstr(q->head, "urlencoded");
        stub_text(out, 200, "%s %s [%s] %s", q->method, q->path, q->body, silent ? "ok" : "noise");
    }
}

static void run(weir_http *http, int seconds) {
    int64_t until = now_ns() + seconds * S;
    while (weir_http_active(http) > 0 && now_ns() < until) weir_http_drive(http, until);
    assert_int_equal(weir_http_active(http), 0);
}

static void start(weir_http *http, const char *url, weir_http_args *args, outcome *o) {
    args->url = url;
    if (!args->method) args->method = "GET";
    args->done = done;
    args->opaque = o;
    assert_int_equal(weir_http_start(http, args, NULL), WEIR_OK);
}

static char url_buffer[8][128];
static const char *at(stub_server *s, const char *path) {
    static int next;
    char *url = url_buffer[next++ % 8];
    snprintf(url, sizeof url_buffer[0], "%s%s", stub_url(s), path);
    return url;
}

static void answers_and_reuse(void **state) {
    (void)state;
    stub_server *server = stub_start(serve, NULL);
    weir_http_config config = {0};
    weir_http *http = weir_http_new(&config);
    for (int i = 0; i < 20; i++) {
        outcome o = {0};
        weir_str body[3] = {{"one,", 4}, {"", 0}, {"two", 3}};
        weir_http_header header = {{"X-Empty", 7}, {"", 0}};
        weir_http_args args = {.method = i % 2 ? "PUT" : "POST",
                               .headers = &header,
                               .header_count = 1,
                               .body = body,
                               .body_count = 3};
        start(http, at(server, "/a/../b"), &args, &o);
        assert_int_equal(o.calls, 0);
        run(http, 10);
        assert_int_equal(o.calls, 1);
        assert_int_equal(o.status, WEIR_OK);
        assert_string_equal(o.body,
                            i % 2 ? "PUT /a/../b [one,two] ok" : "POST /a/../b [one,two] ok");
        assert_memory_equal(o.header, "req-", 4);
    }
    assert_int_equal(stub_connections(server), 1);
    weir_http_free(http);
    stub_stop(server);
}

static void fifty_at_once_over_few_connections(void **state) {
    (void)state;
    stub_server *server = stub_start(serve, NULL);
    weir_http_config config = {.max_connections = 4};
    weir_http *http = weir_http_new(&config);
    outcome o[50] = {0};
    weir_http_args args = {0};
    for (int i = 0; i < 50; i++) start(http, at(server, "/x"), &args, &o[i]);
    run(http, 20);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].status, WEIR_OK);
    }
    assert_true(stub_connections(server) <= 4);
    weir_http_free(http);
    stub_stop(server);
}

static void bodies_can_be_taken_and_are_bounded(void **state) {
    (void)state;
    stub_server *server = stub_start(serve, NULL);
    weir_http_config config = {0};
    weir_http *http = weir_http_new(&config);
    outcome o = {.take = true};
    weir_http_args args = {0};
    start(http, at(server, "/big"), &args, &o);
    run(http, 10);
    assert_int_equal(o.taken_len, 300000);
    assert_int_equal(o.taken_capacity, 300000); /* Content-Length made it one allocation */
    assert_true(o.taken[0] == 'x' && o.taken[299999] == 'x');
    free(o.taken);

    outcome small = {0};
    args.response_max = 1000;
    start(http, at(server, "/big"), &args, &small);
    run(http, 10);
    assert_int_equal(small.calls, 1);
    assert_int_equal(small.status, WEIR_E_TOO_LARGE);

    outcome piecewise = {0}, stopped = {.stream_answer = WEIR_E_DATA};
    weir_http_args stream = {.data = streamed};
    start(http, at(server, "/big"), &stream, &piecewise);
    start(http, at(server, "/big"), &stream, &stopped);
    run(http, 10);
    assert_int_equal(piecewise.status, WEIR_OK);
    assert_int_equal(piecewise.streamed, 300000);
    assert_string_equal(piecewise.body, "");
    assert_int_equal(stopped.status, WEIR_E_DATA);
    weir_http_free(http);
    stub_stop(server);
}

static void failures(void **state) {
    (void)state;
    stub_server *server = stub_start(serve, NULL);
    weir_http_config config = {0};
    weir_http *http = weir_http_new(&config);
    outcome closed = {0}, refused = {0}, late = {0}, busy = {0}, unknown = {0};
    weir_http_args args = {0};
    start(http, at(server, "/close"), &args, &closed);
    start(http, at(server, "/fail"), &args, &busy);
    start(http, "http://127.0.0.1:1/", &args, &refused);
    start(http, "ftp://127.0.0.1/", &args, &unknown);
    args.deadline_ns = now_ns() + S / 5;
    start(http, at(server, "/never"), &args, &late);
    run(http, 10);
    assert_int_equal(closed.status, WEIR_E_IO);
    assert_int_equal(busy.status, WEIR_OK);
    assert_int_equal(busy.http_status, 503);
    assert_int_equal(refused.status, WEIR_E_IO);
    assert_non_null(strstr(refused.text, "127.0.0.1"));
    assert_int_equal(unknown.status, WEIR_E_IO);
    assert_int_equal(late.status, WEIR_E_TIMEOUT);
    assert_int_equal(closed.calls + busy.calls + refused.calls + late.calls + unknown.calls, 5);

    weir_http_header evil = {{"X-A", 3}, {"b\r\nX-C: d", 9}};
    weir_http_args smuggle = {.headers = &evil,
                              .header_count = 1,
                              .method = "GET",
                              .url = at(server, "/x"),
                              .done = done,
                              .opaque = &late};
    assert_int_not_equal(weir_http_start(http, &smuggle, NULL), WEIR_OK);
    assert_int_equal(late.calls, 1);
    weir_http_free(http);
    stub_stop(server);
}

static void cancelled_and_freed(void **state) {
    (void)state;
    stub_server *server = stub_start(serve, NULL);
    weir_http_config config = {0};
    weir_http *http = weir_http_new(&config);
    outcome one = {0}, two = {0}, chained = {.again = http, .url = at(server, "/x")};
    weir_http_args args = {
        .method = "GET", .url = at(server, "/never"), .done = done, .opaque = &one};
    weir_http_request *request = NULL;
    assert_int_equal(weir_http_start(http, &args, &request), WEIR_OK);
    weir_http_args more = {0};
    start(http, at(server, "/never"), &more, &two);
    weir_http_drive(http, now_ns() + S / 100);
    weir_http_cancel(http, request);
    assert_int_equal(one.calls, 1);
    assert_int_equal(one.status, WEIR_E_CANCELLED);
    weir_http_args last = {0};
    start(http, at(server, "/x"), &last, &chained);
    int64_t until = now_ns() + 10 * S;
    while (chained.calls < 2 && now_ns() < until) weir_http_drive(http, until);
    assert_int_equal(chained.calls, 2);
    assert_int_equal(two.calls, 0);
    weir_http_free(http);
    assert_int_equal(two.calls, 1);
    assert_int_equal(two.status, WEIR_E_CANCELLED);
    stub_stop(server);
}

static void *wake(void *http) {
    weir_http_wakeup(http);
    return NULL;
}

static void wakeup_ends_a_drive(void **state) {
    (void)state;
    weir_http_config config = {0};
    weir_http *http = weir_http_new(&config);
    pthread_t thread;
    int64_t begun = now_ns();
    pthread_create(&thread, NULL, wake, http);
    assert_int_equal(weir_http_drive(http, begun + 60 * S), 0); /* before or while: both count */
    pthread_join(thread, NULL);
    assert_true(now_ns() - begun < 30 * S);
    begun = now_ns();
    weir_http_drive(http, begun + S / 50); /* a wake-up counts once */
    assert_true(now_ns() - begun >= S / 50);
    weir_http_free(http);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_reuse),
        cmocka_unit_test(fifty_at_once_over_few_connections),
        cmocka_unit_test(bodies_can_be_taken_and_are_bounded),
        cmocka_unit_test(failures),
        cmocka_unit_test(cancelled_and_freed),
        cmocka_unit_test(wakeup_ends_a_drive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
