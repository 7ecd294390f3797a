/*
 * supervisor_run with real processes: restarts, ends, drains, signals, hangs.
 */
#include "scene.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static wake waker; /* of whichever worker this process is */

static void begin(worker_link *link) {
    wake_init(&waker);
    if (link_start(link, &waker, NULL) != WEIR_OK) _exit(97);
}

/* ---- ends and restarts ---- */

static int work_well(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    link_ready(link);
    scene_say(opaque, "run %u", attempt);
    return 0;
}

static void test_a_worker_that_ends_well_ends_the_run(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_well);
    scene_start(&s);
    scene_expect(&s, "run 0");
    assert_int_equal(scene_wait(&s), 0);
    scene_expect_silence(&s);
    scene_end(&s);
}

enum { FAIL_CLEAN, FAIL_EXIT_3, FAIL_SEGV, FAIL_KILL, FAIL_CONFIG, FAIL_LOST };

/* Is ready, fails in the scene's way until attempt 2, and then ends well. */
static int work_fails_twice(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    const link_history *h = link_history_of(link);
    scene_say(s, "run %u after %u", attempt, (unsigned)h->restarts);
    if (attempt == 2) {
        scene_say(s, "last: %s", h->last_error);
        return 0;
    }
    switch (s->mode) {
    case FAIL_CLEAN:
        link_failed(link, WORKER_FAILED, "no more \"room\"\non the disk");
        return 1;
    case FAIL_CONFIG:
        link_failed(link, WORKER_CONFIG, "key expired");
        return 78;
    case FAIL_LOST:
        link_failed(link, WORKER_LOST, "3 records lost");
        return 1;
    case FAIL_EXIT_3:
        return 3;
    case FAIL_SEGV:
        signal(SIGSEGV, SIG_DFL), raise(SIGSEGV);
        break;
    default:
        raise(SIGKILL);
    }
    return 0;
}

static void fails_twice(int mode, const char *last) {
    scene s;
    scene_begin(&s, work_fails_twice);
    s.mode = mode;
    scene_start(&s);
    scene_expect(&s, "run 0 after 0");
    scene_expect(&s, "run 1 after 1");
    scene_expect(&s, "run 2 after 2");
    char got[512];
    assert_true(scene_hear(&s, got, sizeof got));
    assert_non_null(strstr(got, last));
    assert_int_equal(scene_wait(&s), 0);
    assert_true(scene_logged(&s, "restart 2 in 1 ms"));
    scene_end(&s);
}

static void test_failures_are_restarted(void **state) {
    (void)state;
    fails_twice(FAIL_CLEAN, "no more \"room\"");
    fails_twice(FAIL_EXIT_3, "exit status 3");
    fails_twice(FAIL_KILL, "killed by SIGKILL");
    fails_twice(FAIL_CONFIG, "key expired"); /* it has run: the world may mend it */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    fails_twice(FAIL_SEGV, "killed by SIGSEGV");
#endif
}

static void test_lost_data_is_not_restarted(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_fails_twice);
    s.mode = FAIL_LOST;
    scene_start(&s);
    scene_expect(&s, "run 0 after 0");
    assert_int_equal(scene_wait(&s), 1);
    scene_expect_silence(&s);
    assert_true(scene_logged(&s, "data is lost"));
    scene_end(&s);
}

static void test_strategies_end(void **state) {
    (void)state;
    for (uint64_t attempts = 0; attempts < 3; attempts++) {
        scene s;
        scene_begin(&s, work_fails_twice);
        s.mode = FAIL_EXIT_3;
        if (attempts == 0) {
            s.pipes[0].restart.strategy = RESTART_NONE;
        } else {
            s.pipes[0].restart = (restart_spec){RESTART_EXPONENTIAL, attempts, 0, MS, MS, 2.0};
        }
        scene_start(&s);
        scene_expect(&s, "run 0 after 0");
        if (attempts > 0) scene_expect(&s, "run 1 after 1");
        if (attempts > 1) {
            scene_expect(&s, "run 2 after 2");
            assert_int_equal(scene_wait(&s), 0);
        } else {
            assert_int_equal(scene_wait(&s), 1);
            scene_expect_silence(&s);
            assert_true(scene_logged(&s, "not restarted"));
        }
        scene_end(&s);
    }
}

/* ---- before the pipeline runs ---- */

static int work_fails_early(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    scene_say(s, "try %u", attempt);
    if (s->mode == 0 && attempt == 0) { /* an endpoint that is down */
        link_failed(link, WORKER_FAILED, "connection refused");
        return 1;
    }
    link_failed(link, WORKER_CONFIG, "no stream clicks");
    return s->mode;
}

static void test_what_a_restart_cannot_mend_ends_at_once(void **state) {
    (void)state;
    static const int statuses[] = {78, 1, 0};
    for (int i = 0; i < 3; i++) {
        scene s;
        scene_begin(&s, work_fails_early);
        s.mode = statuses[i];
        scene_start(&s);
        scene_expect(&s, "try 0");
        /* A failure that a restart may mend is restarted before the first run, too. */
        if (s.mode == 0) scene_expect(&s, "try 1");
        int status = scene_wait(&s);
        assert_int_equal(status, s.mode);
        scene_expect_silence(&s);
        scene_end(&s);
    }
}

static int work_hangs_early(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    scene_say(opaque, "try %u", attempt);
    while (pause() != 0) {}
    return 0;
}

static void test_start_timeout(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_hangs_early);
    s.pipes[0].start_timeout_ns = 100 * MS;
    scene_start(&s);
    /* With a slow machine it may be killed before it says anything: no look at what was said. */
    assert_int_equal(scene_wait(&s), 1);
    assert_true(scene_logged(&s, "not ready within start_timeout (100 ms)"));
    scene_end(&s);
}

/* ---- drains and signals ---- */

static int work_until_drain(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    scene_say(s, "run %u", attempt);
    scene_await_drain(link, &waker);
    scene_say(s, "drain");
    if (s->mode == 1) {
        while (pause() != 0) {}
    }
    return 0;
}

static void test_signals_drain(void **state) {
    (void)state;
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < 3; i++) {
        scene s;
        scene_begin(&s, work_until_drain);
        scene_start(&s);
        scene_expect(&s, "run 0");
        kill(s.supervisor, numbers[i]);
        scene_expect(&s, "drain");
        assert_int_equal(scene_wait(&s), 0);
        scene_end(&s);
    }
}

static void test_a_signal_to_the_group_counts_once(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_until_drain);
    scene_start(&s);
    scene_expect(&s, "run 0");
    /* As timeout(1) does it: to the child, then to the group; and a service manager's SIGHUP. The
     * supervisor does not run meanwhile, so that this is no race with its patience. */
    kill(s.supervisor, SIGSTOP);
    kill(s.supervisor, SIGTERM);
    kill(-s.supervisor, SIGTERM);
    kill(-s.supervisor, SIGHUP);
    kill(s.supervisor, SIGCONT);
    scene_expect(&s, "drain");
    assert_int_equal(scene_wait(&s), 0);
    scene_end(&s);
}

static void test_a_second_signal_leaves_at_once(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_until_drain);
    s.mode = 1;
    scene_start(&s);
    scene_expect(&s, "run 0");
    kill(-s.supervisor, SIGINT);
    scene_expect(&s, "drain");
    kill(-s.supervisor, SIGINT);
    assert_int_equal(scene_wait(&s), 1);
    scene_expect_silence(&s);
    assert_true(scene_logged(&s, "second signal"));
    scene_end(&s);
}

static void test_a_drain_that_does_not_end_is_ended(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_until_drain);
    s.mode = 1;
    s.pipes[0].stop_timeout_ns = 50 * MS;
    scene_start(&s);
    scene_expect(&s, "run 0");
    kill(s.supervisor, SIGTERM);
    assert_int_equal(scene_wait(&s), 1);
    assert_true(scene_logged(&s, "stop_timeout"));
    scene_end(&s);
}

static int work_crashes(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    scene_say(opaque, "crash %u", attempt);
    return 5;
}

static void test_a_signal_ends_the_wait_for_a_restart(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_crashes);
    s.pipes[0].restart.delay_ns = HOUR;
    scene_start(&s);
    scene_expect(&s, "crash 0");
    kill(s.supervisor, SIGTERM); /* wherever it is by now, nothing is restarted */
    assert_int_equal(scene_wait(&s), 1);
    scene_expect_silence(&s);
    scene_end(&s);
}

static void test_workers_die_with_their_supervisor(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_until_drain);
    s.mode = 1; /* a drain does not end it */
    scene_start(&s);
    scene_expect(&s, "run 0");
    kill(s.supervisor, SIGKILL);
    assert_int_equal(scene_wait(&s), -SIGKILL);
    char got[16];
    while (scene_hear(&s, got, sizeof got)) { /* perhaps "drain": the link's end */
    }
    scene_expect_silence(&s);
    scene_end(&s);
}

/* ---- hangs, locks, neighbours ---- */

static int work_hangs_once(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    begin(link);
    link_ready(link);
    scene_say(s, "run %u", attempt);
    if (attempt > 0) return 0;
    if (s->mode == 1) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL); /* not even SIGABRT ends it */
    }
    while (pause() != 0) {}
    return 0;
}

static void test_a_hung_worker_is_ended_and_restarted(void **state) {
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        scene s;
        scene_begin(&s, work_hangs_once);
        s.mode = mode;
        s.config.heartbeat_timeout_ns = 100 * MS;
        s.config.abort_grace_ns = mode == 0 ? HOUR : 50 * MS;
        s.pipes[0].start_timeout_ns = HOUR;
        scene_start(&s);
        scene_expect(&s, "run 0");
        scene_expect(&s, "run 1");
        assert_int_equal(scene_wait(&s), 0);
        assert_true(scene_logged(&s, "hung: no heartbeat"));
        scene_end(&s);
    }
}

/* Takes a lock that only one process can hold; `attempt` 20 is enough. */
static int work_locked(void *opaque, worker_link *link, uint32_t attempt) {
    scene *s = opaque;
    char path[128];
    snprintf(path, sizeof path, "%s/lock", s->a_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    begin(link);
    link_ready(link);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) scene_say(s, "two at once");
    if (attempt < 20) raise(SIGKILL);
    return 0;
}

static void test_the_old_worker_is_gone_before_the_next(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_locked);
    s.pipes[0].restart.delay_ns = 0;
    scene_start(&s);
    assert_int_equal(scene_wait(&s), 0);
    scene_expect_silence(&s);
    scene_end(&s);
}

static int work_waits_for_neighbour(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    link_ready(link);
    scene_say(opaque, "b %u", attempt);
    scene_await_drain(link, &waker);
    scene_say(opaque, "b drains");
    return 0;
}

static void test_a_failed_pipeline_hurts_no_other(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_fails_early);
    s.mode = 78;
    scene_add(&s, work_waits_for_neighbour);
    scene_start(&s);
    char one[64], two[64]; /* in either order */
    assert_true(scene_hear(&s, one, sizeof one) && scene_hear(&s, two, sizeof two));
    assert_true((strcmp(one, "try 0") == 0 && strcmp(two, "b 0") == 0) ||
                (strcmp(two, "try 0") == 0 && strcmp(one, "b 0") == 0));
    kill(s.supervisor, SIGTERM);
    scene_expect(&s, "b drains");
    assert_int_equal(scene_wait(&s), 78); /* that of the first that did not end well */
    scene_end(&s);
}

static int work_decides_to_stop(void *opaque, worker_link *link, uint32_t attempt) {
    begin(link);
    link_ready(link);
    scene_say(opaque, "run %u", attempt);
    link_stopping(link);
    return 7; /* and fails at it */
}

static void test_a_worker_that_stops_by_itself_is_not_restarted(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_decides_to_stop);
    scene_start(&s);
    scene_expect(&s, "run 0");
    assert_int_equal(scene_wait(&s), 1);
    scene_expect_silence(&s);
    scene_end(&s);
}

static void test_events_as_json(void **state) {
    (void)state;
    scene s;
    scene_begin(&s, work_fails_twice);
    s.config.json = true;
    s.mode = FAIL_EXIT_3;
    scene_start(&s);
    assert_int_equal(scene_wait(&s), 0);
    assert_true(
        scene_logged(&s, "\"pipeline\":\"a\",\"event\":\"restart\",\"text\":\"restart 1 in"));
    scene_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_that_ends_well_ends_the_run),
        cmocka_unit_test(test_failures_are_restarted),
        cmocka_unit_test(test_lost_data_is_not_restarted),
        cmocka_unit_test(test_strategies_end),
        cmocka_unit_test(test_what_a_restart_cannot_mend_ends_at_once),
        cmocka_unit_test(test_start_timeout),
        cmocka_unit_test(test_signals_drain),
        cmocka_unit_test(test_a_signal_to_the_group_counts_once),
        cmocka_unit_test(test_a_second_signal_leaves_at_once),
        cmocka_unit_test(test_a_drain_that_does_not_end_is_ended),
        cmocka_unit_test(test_a_signal_ends_the_wait_for_a_restart),
        cmocka_unit_test(test_workers_die_with_their_supervisor),
        cmocka_unit_test(test_a_hung_worker_is_ended_and_restarted),
        cmocka_unit_test(test_the_old_worker_is_gone_before_the_next),
        cmocka_unit_test(test_a_failed_pipeline_hurts_no_other),
        cmocka_unit_test(test_a_worker_that_stops_by_itself_is_not_restarted),
        cmocka_unit_test(test_events_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
