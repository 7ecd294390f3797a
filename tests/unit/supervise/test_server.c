/*
 * The server of a control socket against all kinds of clients, in one process and one thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "supervise/control.h"

typedef struct server {
    char dir[64], folder[80];
    control_server *control;
    bool hold;          /* requests wait in `tickets` */
    size_t answer_size; /* 0: the request itself is the answer */
    uint64_t tickets[128];
    size_t count;
} server;

static void on_request(void *opaque, uint64_t ticket, weir_str json) {
    server *s = opaque;
    if (s->hold) {
        s->tickets[s->count++] = ticket;
    } else if (s->answer_size > 0) {
        char *answer = malloc(s->answer_size);
        memset(answer, 'x', s->answer_size);
        control_answer(s->control, ticket, str_make(answer, s->answer_size));
        free(answer);
    } else {
        control_answer(s->control, ticket, json);
    }
}

static void server_open(server *s) {
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/weir-ctl-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->folder, sizeof s->folder, "%s/clicks", s->dir);
    weir_error *err = error_new();
    s->control = control_listen(s->folder, on_request, s, err);
    if (s->control == NULL) fail_msg("%s", error_text(err));
    error_free(err);
}

static void server_close(server *s) {
    char path[128];
    control_close(s->control);
    snprintf(path, sizeof path, "%s/control.sock", s->folder);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/control.lock", s->folder);
    unlink(path);
    rmdir(s->folder);
    rmdir(s->dir);
}

/* One turn of the loop. */
static void turn(server *s) {
    struct pollfd fds[CONTROL_POLL_MAX];
    nfds_t n = control_poll_fill(s->control, fds, CONTROL_POLL_MAX);
    assert_true(n <= CONTROL_POLL_MAX);
    (void)poll(fds, n, 5);
    control_poll_done(s->control, fds, n);
}

static int join(server *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", s->folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns until the client has a line, which is `out`; false when it was closed instead. */
static bool hear(server *s, int fd, char *out, size_t size) {
    size_t len = 0;
    for (;;) {
        char c;
        ssize_t n = recv(fd, &c, 1, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) return false;
        if (n < 0) {
            turn(s);
            continue;
        }
        if (c == '\n') break;
        assert_true(len + 1 < size);
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

static void expect(server *s, int fd, const char *line) {
    char got[1024];
    if (!hear(s, fd, got, sizeof got)) fail_msg("closed instead of %s", line);
    assert_string_equal(got, line);
}

static void test_modes(void **state) {
    (void)state;
    server s;
    server_open(&s);
    struct stat st;
    char path[128];
    assert_int_equal(stat(s.folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/control.sock", s.folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    server_close(&s);
    /* A folder that others may enter is closed to them. */
    server_open(&s);
    control_close(s.control);
    assert_int_equal(chmod(s.folder, 0755), 0);
    s.control = control_listen(s.folder, on_request, &s, NULL);
    assert_non_null(s.control);
    assert_int_equal(stat(s.folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    server_close(&s);
}

static void test_lines_in_pieces_and_in_packs(void **state) {
    (void)state;
    server s;
    server_open(&s);
    int fd = join(&s);
    say(fd, "{\"do\":");
    for (int i = 0; i < 5; i++) turn(&s);
    say(fd, "\"a\"}\n{\"do\":\"b\"}\n{\"do\":\"c\"}\n{\"do\"");
    expect(&s, fd, "{\"do\":\"a\"}");
    expect(&s, fd, "{\"do\":\"b\"}");
    expect(&s, fd, "{\"do\":\"c\"}");
    say(fd, ":\"d\"}\n");
    shutdown(fd, SHUT_WR); /* has said all, and still hears */
    expect(&s, fd, "{\"do\":\"d\"}");
    char got[64];
    assert_false(hear(&s, fd, got, sizeof got));
    close(fd);
    server_close(&s);
}

static void test_what_is_no_request(void **state) {
    (void)state;
    server s;
    server_open(&s);
    int fd = join(&s);
    char got[1024];
    static const char *const wrong[] = {
        "\n",           "hello\n", "[1]\n", "{\"do\":\"a\",\"do\":\"b\"}\n", "{\"do\":\"\x80\"}\n",
        "\"\\u0000\"\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        say(fd, wrong[i]);
        assert_true(hear(&s, fd, got, sizeof got));
        assert_int_equal(strncmp(got, "{\"error\":\"a request is one JSON object", 37), 0);
        assert_int_equal(strcmp(got + strlen(got) - 2, "\"}"), 0);
    }
    say(fd, "{\"do\":\"a\"}\n"); /* nobody holds it against the client */
    expect(&s, fd, "{\"do\":\"a\"}");
    close(fd);
    server_close(&s);
}

static void test_a_request_has_an_end(void **state) {
    (void)state;
    server s;
    server_open(&s);
    int fd = join(&s);
    char block[1024], got[256] = "";
    memset(block, ' ', sizeof block);
    for (size_t sent = 0; sent < 4 * CONTROL_REQUEST_MAX;) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        if (n < 0 && errno != EAGAIN) break; /* it was closed: as well */
        turn(&s);
    }
    assert_true(hear(&s, fd, got, sizeof got));
    assert_string_equal(got, "{\"error\":\"a request is larger than 64 KiB\"}");
    assert_false(hear(&s, fd, got, sizeof got));
    close(fd);
    server_close(&s);
}

static void test_idle_clients_make_room(void **state) {
    (void)state;
    server s;
    server_open(&s);
    int idle[CONTROL_CLIENTS_MAX];
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        idle[i] = join(&s);
        turn(&s);
    }
    say(idle[0], "{\"do\":\"a\"}\n");
    expect(&s, idle[0], "{\"do\":\"a\"}"); /* used since: not the first to go */
    int late = join(&s);
    say(late, "{\"do\":\"b\"}\n");
    expect(&s, late, "{\"do\":\"b\"}");
    say(idle[0], "{\"do\":\"c\"}\n");
    expect(&s, idle[0], "{\"do\":\"c\"}");
    char got[64];
    assert_false(hear(&s, idle[1], got, sizeof got));
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) close(idle[i]);
    close(late);
    server_close(&s);
}

static void test_waiting_clients_keep_their_places(void **state) {
    (void)state;
    server s;
    server_open(&s);
    s.hold = true;
    int waiting[CONTROL_CLIENTS_MAX];
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        waiting[i] = join(&s);
        say(waiting[i], "{\"do\":\"a\"}\n");
        while (s.count <= i) turn(&s);
    }
    int late = join(&s);
    expect(&s, late, "{\"error\":\"too many clients at once\"}");
    close(late);
    /* One leaves; its answer goes nowhere, its place is free. */
    close(waiting[3]);
    for (int i = 0; i < 3; i++) turn(&s);
    control_answer(s.control, s.tickets[3], STR("{\"lost\":true}"));
    late = join(&s);
    say(late, "{\"do\":\"a\"}\n");
    while (s.count <= CONTROL_CLIENTS_MAX) turn(&s);
    for (unsigned i = CONTROL_CLIENTS_MAX; i-- > 0;) { /* in another order */
        char answer[32];
        snprintf(answer, sizeof answer, "{\"n\":%u}", i);
        control_answer(s.control, s.tickets[i], str_of(answer));
        if (i != 3) expect(&s, waiting[i], answer);
    }
    control_answer(s.control, s.tickets[0], STR("{\"again\":true}")); /* has its answer */
    control_answer(s.control, s.tickets[CONTROL_CLIENTS_MAX], STR("{\"last\":true}"));
    expect(&s, late, "{\"last\":true}");
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (i != 3) close(waiting[i]);
    close(late);
    server_close(&s);
}

static void test_a_client_that_does_not_read_blocks_nobody(void **state) {
    (void)state;
    server s;
    server_open(&s);
    s.answer_size = (size_t)8 << 20;
    int slow = join(&s);
    say(slow, "{\"do\":\"a\"}\n{\"do\":\"b\"}\n");
    for (int i = 0; i < 10; i++) turn(&s);
    s.answer_size = 0;
    int quick = join(&s);
    say(quick, "{\"do\":\"c\"}\n");
    expect(&s, quick, "{\"do\":\"c\"}");
    /* It reads at last: all of the first answer, then the second. */
    static char block[65536];
    size_t first = 0;
    while (first < ((size_t)8 << 20) + 1) {
        size_t want = ((size_t)8 << 20) + 1 - first;
        ssize_t n = recv(slow, block, want < sizeof block ? want : sizeof block, 0);
        assert_int_not_equal(n, 0);
        if (n > 0) first += (size_t)n;
        turn(&s);
    }
    expect(&s, slow, "{\"do\":\"b\"}");
    close(slow);
    close(quick);
    server_close(&s);
}

static void test_a_live_socket_is_refused_a_stale_one_not(void **state) {
    (void)state;
    server s;
    server_open(&s);
    weir_error *err = error_new();
    assert_null(control_listen(s.folder, on_request, &s, err));
    assert_int_equal(error_status(err), WEIR_E_EXISTS);
    /* What a process that was killed leaves behind: control_forget removes nothing. */
    control_forget(s.control);
    char path[128];
    snprintf(path, sizeof path, "%s/control.sock", s.folder);
    assert_int_equal(access(path, F_OK), 0);
    s.control = control_listen(s.folder, on_request, &s, err);
    assert_non_null(s.control);
    /* Without the lock (a file system that has none) the socket itself says that it is live. */
    snprintf(path, sizeof path, "%s/control.lock", s.folder);
    assert_int_equal(unlink(path), 0);
    assert_null(control_listen(s.folder, on_request, &s, err));
    assert_int_equal(error_status(err), WEIR_E_EXISTS);
    error_free(err);
    server_close(&s);
}

static void test_a_path_has_an_end(void **state) {
    (void)state;
    char folder[200];
    memset(folder, 'x', sizeof folder);
    memcpy(folder, "/tmp/", 5);
    folder[sizeof folder - 1] = '\0';
    weir_error *err = error_new();
    assert_null(control_listen(folder, on_request, NULL, err));
    assert_int_equal(error_status(err), WEIR_E_TOO_LARGE);
    buf text, out;
    buf_init(&text, 65536);
    buf_init(&out, 65536);
    error_format(err, &text);
    assert_non_null(strstr(text.data, "a Unix socket may have 107"));
    assert_non_null(strstr(text.data, "WEIR_STATE"));
    assert_int_equal(control_call(folder, STR("{}"), INT64_MAX, &out, err), WEIR_E_TOO_LARGE);
    buf_free(&text);
    error_free(err);
}

static void test_who_runs_is_named(void **state) {
    (void)state;
    server s;
    server_open(&s);
    weir_error *err = error_new();
    buf text, out;
    buf_init(&text, 65536);
    buf_init(&out, 65536);
    char folder[128];
    snprintf(folder, sizeof folder, "%s/click", s.dir);
    assert_int_equal(control_call(folder, STR("{}"), INT64_MAX, &out, err), WEIR_E_NOT_FOUND);
    error_format(err, &text);
    assert_non_null(strstr(text.data, "no pipeline click runs"));
    assert_non_null(strstr(text.data, "did you mean clicks?"));
    snprintf(folder, sizeof folder, "%s/something-else", s.dir);
    buf_reset(&text);
    assert_int_equal(control_call(folder, STR("{}"), INT64_MAX, &out, err), WEIR_E_NOT_FOUND);
    error_format(err, &text);
    assert_non_null(strstr(text.data, "running: clicks"));
    /* Nobody turns the loop: the client's deadline ends it. */
    int64_t soon = clock_mono_ns(&clock_system) + 20 * CLOCK_NS_PER_MS;
    assert_int_equal(control_call(s.folder, STR("{}"), soon, &out, err), WEIR_E_TIMEOUT);
    assert_int_equal(control_call(s.folder, STR("{\n}"), soon, &out, err), WEIR_E_INVALID_ARG);
    server_close(&s);
    rmdir(folder);
    buf_free(&text);
    error_free(err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_lines_in_pieces_and_in_packs),
        cmocka_unit_test(test_what_is_no_request),
        cmocka_unit_test(test_a_request_has_an_end),
        cmocka_unit_test(test_idle_clients_make_room),
        cmocka_unit_test(test_waiting_clients_keep_their_places),
        cmocka_unit_test(test_a_client_that_does_not_read_blocks_nobody),
        cmocka_unit_test(test_a_live_socket_is_refused_a_stale_one_not),
        cmocka_unit_test(test_a_path_has_an_end),
        cmocka_unit_test(test_who_runs_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
