/*
 * The control socket, by way of a supervisor and real workers.
 */
#include "scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "supervise/control.h"

static wake waker;

static void begin(worker_link *link) {
    wake_init(&waker);
    if (link_start(link, &waker, NULL) != WEIR_OK) _exit(97);
}

static int64_t in_a_minute(void) {
    return clock_mono_ns(&clock_system) + 60 * CLOCK_NS_PER_S;
}

/* One request; the answer is `out`. */
static void ask(const scene *s, const char *request, buf *out) {
    weir_error *err = error_new();
    buf_reset(out);
    if (control_call(s->a_dir, str_of(request), in_a_minute(), out, err) != WEIR_OK)
        fail_msg("%s: %s", request, error_text(err));
    error_free(err);
}

static void assert_has(const buf *answer, const char *text) {
    if (answer->data == NULL || strstr(answer->data, text) == NULL)
        fail_msg("no '%s' in %s", text, answer->data);
}

static void assert_has_not(const buf *answer, const char *text) {
    if (answer->data != NULL && strstr(answer->data, text) != NULL)
        fail_msg("'%s' in %s", text, answer->data);
}

/* Asks in a process of its own, so that several can ask at once. */
static pid_t ask_beside(scene *s, const char *request) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) return pid;
    buf out;
    buf_init(&out, 1 << 20);
    weir_status status = control_call(s->a_dir, str_of(request), in_a_minute(), &out, NULL);
    FILE *file = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/answer-%d", s->dir, (int)getpid());
    if (status == WEIR_OK && (file = fopen(path, "w")) != NULL) {
        fwrite(out.data, 1, out.len, file);
        fclose(file);
    }
    _exit(status == WEIR_OK && file != NULL ? 0 : 1);
}

static void answer_beside(scene *s, pid_t pid, buf *out) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    char path[256];
    snprintf(path, sizeof path, "%s/answer-%d", s->dir, (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char text[4096];
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    buf_reset(out);
    buf_append(out, text, n);
}

/* ---- with a worker ---- */

/* Takes two requests before it answers, the later one first; then ends at "stop". */
static int work_answers(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    scene_say(s, "run %u", attempt);
    link_request *first = scene_await_request(link, &waker);
    scene_say(s, "one");
    link_request *second = scene_await_request(link, &waker);
    scene_say(s, "two");
    char answer[4096];
    snprintf(answer, sizeof answer, "{\"heard\":%s}", second->json);
    link_answer(link, second->id, answer);
    snprintf(answer, sizeof answer, "{\"heard\":%s}", first->json);
    link_answer(link, first->id, answer);
    link_answer(link, 4711, "{}"); /* nobody asked that */
    link_request_free(first);
    link_request_free(second);
    link_request *r = scene_await_request(link, &waker);
    scene_say(s, "%s", r->json);
    link_request_free(r);
    return s->mode;
}

static void test_requests_reach_the_worker(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_answers);
    scene_start(&s);
    scene_expect(&s, "run 0");
    pid_t a = ask_beside(&s, "{\"do\":\"status\",\"x\":\"\\n\"}");
    scene_expect(&s, "one");
    pid_t b = ask_beside(&s, "{\"do\":\"savepoint\",\"name\":\"n1\"}");
    scene_expect(&s, "two");
    answer_beside(&s, a, &out);
    assert_string_equal(out.data, "{\"heard\":{\"do\":\"status\",\"x\":\"\\n\"}}");
    answer_beside(&s, b, &out);
    assert_string_equal(out.data, "{\"heard\":{\"do\":\"savepoint\",\"name\":\"n1\"}}");
    /* A stop that the worker answers by ending well. */
    ask(&s, "{\"do\":\"stop\"}", &out);
    scene_expect(&s, "{\"do\":\"stop\"}");
    assert_has(&out, "\"state\":\"ended\"");
    assert_has(&out, "\"exit_status\":0");
    assert_has_not(&out, "error");
    assert_int_equal(scene_wait(&s), 0);
    buf_free(&out);
    scene_end(&s);
}

/* Dies over its first request, refuses to stop in the second life. */
static int work_dies_asked(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    scene_say(s, "run %u", attempt);
    if (attempt == 0) {
        link_request_free(scene_await_request(link, &waker));
        raise(SIGKILL);
    }
    while (pause() != 0) {}
    return 0;
}

static void test_a_worker_that_dies_or_hangs_leaves_no_asker_waiting(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_dies_asked);
    s.pipes[0].stop_timeout_ns = 50 * MS;
    scene_start(&s);
    scene_expect(&s, "run 0");
    ask(&s, "{\"do\":\"savepoint\"}", &out);
    assert_has(&out, "\"error\":\"the worker ended before it answered: worker ");
    assert_has(&out, "SIGKILL");
    scene_expect(&s, "run 1");
    ask(&s, "{\"do\":\"stop\",\"force\":true}", &out);
    assert_has(&out, "\"exit_status\":1");
    assert_has(&out, "stop_timeout");
    assert_int_equal(scene_wait(&s), 1);
    buf_free(&out);
    scene_end(&s);
}

static int work_waits(void *opaque, worker_link *link, uint32_t attempt) {
    (void)attempt;
    begin(link);
    link_ready(link);
    scene_say(opaque, "waits");
    scene_await_drain(link, &waker);
    return 0;
}

static unsigned sockets(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) count++;
    }
    return count;
}

static int work_counts_sockets(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    unsigned count = sockets(); /* its link, and what the test program began with */
    begin(link);
    link_ready(link);
    scene_say(s, "sockets %u", count - (unsigned)s->mode);
    if (attempt == 1) return 0;
    link_request_free(scene_await_request(link, &waker));
    return 1;
}

static void test_a_worker_holds_no_socket_of_the_supervisors(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_counts_sockets);
    s.mode = (int)sockets();
    scene_add(&s, work_waits); /* another one's link and socket */
    scene_start(&s);
    char line[64];
    while (scene_hear(&s, line, sizeof line) && strcmp(line, "sockets 1") != 0)
        assert_string_equal(line, "waits");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", s.a_dir);
    int idle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a client across the restart */
    assert_int_equal(connect(idle, (struct sockaddr *)&address, sizeof address), 0);
    ask(&s, "{\"do\":\"x\"}", &out);
    while (scene_hear(&s, line, sizeof line) && strcmp(line, "sockets 1") != 0)
        assert_string_equal(line, "waits");
    kill(s.supervisor, SIGTERM);
    assert_int_equal(scene_wait(&s), 0);
    close(idle);
    buf_free(&out);
    scene_end(&s);
}

#define LARGE ((size_t)4 << 20)

static int work_answers_and_ends(void *opaque, worker_link *link, uint32_t attempt) {
    (void)attempt;
    begin(link);
    link_ready(link);
    scene_say(opaque, "run");
    link_request *r = scene_await_request(link, &waker);
    char *json = malloc(LARGE + 1);
    memset(json, 'x', LARGE);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + LARGE - 2, "\"}", 3);
    link_answer(link, r->id, json);
    link_request_free(r);
    free(json);
    return 0;
}

/* The worker is gone before the answer is read. */
static void test_the_last_answer_arrives_whole(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 2 * LARGE);
    scene_begin(&s, work_answers_and_ends);
    scene_start(&s);
    scene_expect(&s, "run");
    ask(&s, "{\"do\":\"x\"}", &out);
    assert_int_equal(out.len, LARGE);
    assert_int_equal(scene_wait(&s), 0);
    buf_free(&out);
    scene_end(&s);
}

/* ---- without one ---- */

static int work_starts_slowly(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    scene_say(s, "try %u", attempt);
    scene_await_drain(link, &waker);
    scene_say(s, "drain");
    return 0;
}

static void test_the_supervisor_answers_for_a_starting_worker(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_starts_slowly);
    scene_start(&s);
    scene_expect(&s, "try 0");
    ask(&s, "{\"do\":\"status\"}", &out);
    assert_has(&out, "{\"pipeline\":\"a\",\"state\":\"starting\",\"restarts\":0,");
    assert_has(&out, "\"pid\":");
    assert_has(&out, "\"last_error\":null}");
    ask(&s, "{\"do\":\"savepoint\"}", &out);
    assert_has(&out, "{\"error\":\"the pipeline is starting");
    ask(&s, "{\"say\":\"status\"}", &out);
    assert_has(&out, "{\"error\":\"the request does not say what to do: {\\\"do\\\"");
    ask(&s, "{\"do\":\"stop\"}", &out);
    scene_expect(&s, "drain");
    assert_has(&out, "\"exit_status\":0");
    assert_has_not(&out, "error");
    assert_int_equal(scene_wait(&s), 0);
    buf_free(&out);
    scene_end(&s);
}

static int work_fails(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    scene_say(opaque, "fail %u", attempt);
    link_failed(link, WORKER_FAILED, "the \"disk\" is full");
    return 1;
}

static void test_the_supervisor_answers_while_it_waits_for_a_restart(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_fails);
    s.pipes[0].restart.delay_ns = HOUR;
    scene_start(&s);
    scene_expect(&s, "fail 0");
    do { /* until it is reaped */
        ask(&s, "{\"do\":\"status\"}", &out);
    } while (strstr(out.data, "\"starting\"") != NULL);
    assert_has(&out, "{\"pipeline\":\"a\",\"state\":\"restarting\",\"restarts\":1,");
    assert_has(&out, "\"pid\":null");
    assert_has(&out, "\"next_start_ms\":3");
    assert_has(&out, "\"last_error\":\"the \\\"disk\\\" is full\"}");
    ask(&s, "{\"do\":\"savepoint\"}", &out);
    assert_has(&out, "{\"error\":\"the pipeline waits for a restart");
    ask(&s, "{\"do\":\"stop\"}", &out);
    assert_has(&out, "\"state\":\"ended\"");
    assert_has(&out, "\"exit_status\":1");
    assert_has(&out, "\"error\":\"the \\\"disk\\\" is full\"");
    assert_int_equal(scene_wait(&s), 1);
    scene_expect_silence(&s);
    buf_free(&out);
    scene_end(&s);
}

/* ---- whose socket it is ---- */

static int work_until_drain(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    scene_say(s, "run %u", attempt);
    while (!link_draining(link)) {
        link_request *r = link_take(link);
        if (r != NULL) link_answer(link, r->id, "{\"state\":\"running\"}");
        link_request_free(r);
        wake_wait(&waker, clock_mono_ns(&clock_system) + 50 * MS);
    }
    return 0;
}

static void test_a_pipeline_runs_once(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_until_drain);
    int out_fd = s.said_out;
    int kept = dup(out_fd);
    scene_start(&s);
    scene_expect(&s, "run 0");
    pid_t first = s.supervisor;
    s.said_out = kept;
    scene_start(&s); /* the same again */
    assert_int_equal(scene_wait(&s), 1);
    assert_true(scene_logged(&s, "runs already"));
    s.supervisor = first;
    ask(&s, "{\"do\":\"status\"}", &out); /* the first is none the worse */
    assert_string_equal(out.data, "{\"state\":\"running\"}");
    kill(first, SIGTERM);
    assert_int_equal(scene_wait(&s), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/control.sock", s.a_dir);
    assert_int_not_equal(access(path, F_OK), 0); /* and removes its socket */
    buf_free(&out);
    scene_end(&s);
}

static void test_a_stale_socket_is_taken_over(void **state) {
    (void)state;
    scene s;
    buf out;
    buf_init(&out, 1 << 20);
    scene_begin(&s, work_until_drain);
    int kept = dup(s.said_out);
    scene_start(&s);
    scene_expect(&s, "run 0");
    kill(s.supervisor, SIGKILL);
    assert_int_equal(scene_wait(&s), -SIGKILL);
    char path[128];
    snprintf(path, sizeof path, "%s/control.sock", s.a_dir);
    assert_int_equal(access(path, F_OK), 0);
    weir_error *err = error_new();
    assert_int_equal(control_call(s.a_dir, STR("{\"do\":\"status\"}"), in_a_minute(), &out, err),
                     WEIR_E_NOT_FOUND);
    assert_string_equal(error_text(err), "no pipeline a runs");
    error_free(err);
    s.said_out = kept;
    scene_start(&s);
    scene_expect(&s, "run 0");
    ask(&s, "{\"do\":\"status\"}", &out);
    assert_string_equal(out.data, "{\"state\":\"running\"}");
    kill(s.supervisor, SIGTERM);
    assert_int_equal(scene_wait(&s), 0);
    buf_free(&out);
    scene_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_reach_the_worker),
        cmocka_unit_test(test_a_worker_that_dies_or_hangs_leaves_no_asker_waiting),
        cmocka_unit_test(test_the_last_answer_arrives_whole),
        cmocka_unit_test(test_a_worker_holds_no_socket_of_the_supervisors),
        cmocka_unit_test(test_the_supervisor_answers_for_a_starting_worker),
        cmocka_unit_test(test_the_supervisor_answers_while_it_waits_for_a_restart),
        cmocka_unit_test(test_a_pipeline_runs_once),
        cmocka_unit_test(test_a_stale_socket_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
