/*
 * Reports of processes that really crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "supervise/crash.h"
#include "supervise/crash_private.h"

typedef struct place {
    char dir[64];
    buf report; /* text of the only report */
    mode_t mode;
} place;

static void place_open(place *p) {
    memset(p, 0, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/weir-crash-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    buf_init(&p->report, 1 << 20);
}

/* Reads and removes the reports; answers how many there were. */
static unsigned place_read(place *p) {
    unsigned count = 0;
    DIR *dir = opendir(p->dir);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", p->dir, e->d_name);
        assert_int_equal(strncmp(e->d_name, "crash-20", 8), 0);
        assert_int_equal(stat(path, &st), 0);
        p->mode = st.st_mode & 0777;
        assert_int_equal(os_read_file(path, 1 << 20, &p->report, NULL), WEIR_OK);
        unlink(path);
        count++;
    }
    closedir(dir);
    return count;
}

static void place_close(place *p) {
    buf_free(&p->report);
    rmdir(p->dir);
}

static void __attribute__((unused)) assert_says(const place *p, const char *text) {
    if (p->report.data == NULL || strstr(p->report.data, text) == NULL)
        fail_msg("no '%s' in:\n%s", text, p->report.data);
}

/* Runs `work` in a process whose standard error is `err`; its wait status. */
static int in_child(place *p, void (*work)(place *p), int err) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(err, STDERR_FILENO);
        if (crash_install(p->dir, "clicks", NULL) != WEIR_OK) _exit(9);
        work(p);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int crash_of(place *p, void (*work)(place *p)) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int status = in_child(p, work, null);
    close(null);
    return status;
}

/* ---- what the processes do ---- */

#if !CRASH_SANITIZED
static void touch_nothing(place *p) {
    (void)p;
    crash_thread("clicks/kinesis[3]");
    volatile uintptr_t nowhere = 0x40;
    *(volatile int *)nowhere = 1;
}

static void abort_in_library(place *p) {
    (void)p;
    Dl_info info;
    if (dladdr((void *)(uintptr_t)abort, &info) == 0) _exit(9);
    crash_name_object("/no/such.so", "dev.weir.absent");
    crash_name_object(info.dli_fname, "dev.weir.library");
    abort();
}

static int deeper(volatile int depth) {
    volatile char frame[1024];
    frame[0] = (char)depth;
    if (depth < 0) return 0; /* not in our life, but the compiler does not know */
    return deeper(depth + 1) + frame[0];
}

static void *overflow(void *arg) {
    crash_thread("clicks/deep");
    (void)deeper(0);
    return arg;
}

static void overflow_a_stack(place *p) {
    (void)p;
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)256 * 1024);
    pthread_create(&thread, &small, overflow, NULL);
    pthread_join(thread, NULL);
}

#endif

static void *name_and_end(void *arg) {
    crash_thread("clicks/short");
    crash_thread("clicks/renamed");
    crash_thread_end();
    return arg;
}

static void use_threads(place *p) {
    (void)p;
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, name_and_end, NULL);
        pthread_join(thread, NULL);
    }
}

#if !CRASH_SANITIZED
static int stuck_pipe[2];

static void *stuck(void *arg) {
    crash_thread("clicks/stuck");
    (void)!write(stuck_pipe[1], "s", 1);
    while (pause() != 0) {}
    return arg;
}

static void *deaf(void *arg) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)!write(stuck_pipe[1], "d", 1);
    while (pause() != 0) {}
    return arg;
}

static void hang(place *p) {
    (void)p;
    pthread_t thread;
    char both[2];
    if (pipe(stuck_pipe) != 0) _exit(9);
    pthread_create(&thread, NULL, stuck, NULL);
    pthread_create(&thread, NULL, deaf, NULL);
    for (size_t n = 0; n < 2; n++)
        if (read(stuck_pipe[0], both, 1) != 1) _exit(9);
    kill(getppid(), SIGUSR1); /* "look at me" */
    while (pause() != 0) {}
}

#endif

/* ---- tests ---- */

#if !CRASH_SANITIZED

static void test_a_fault_is_reported(void **state) {
    (void)state;
    place p;
    place_open(&p);
    int status = crash_of(&p, touch_nothing);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_int_equal(place_read(&p), 1);
    assert_int_equal(p.mode, 0600);
    assert_says(&p, "pipeline: clicks\n");
    assert_says(&p, "signal:   SIGSEGV at address 0x40\n");
    assert_says(&p, "thread:   clicks/kinesis[3] (");
    assert_says(&p, "plugin:   none");
    assert_says(&p, "back trace:\n");
    assert_says(&p, "test_supervise_crash(+0x"); /* a frame of this program */
    assert_says(&p, "end of report");
    place_close(&p);
}

static void test_the_plugin_is_named(void **state) {
    (void)state;
    place p;
    place_open(&p);
    int status = crash_of(&p, abort_in_library);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_int_equal(place_read(&p), 1);
    assert_says(&p, "signal:   SIGABRT, sent by process");
    assert_says(&p, "plugin:   dev.weir.library\n");
    place_close(&p);
}

static void test_a_stack_overflow_is_reported(void **state) {
    (void)state;
    place p;
    place_open(&p);
    int status = crash_of(&p, overflow_a_stack);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_int_equal(place_read(&p), 1);
    assert_says(&p, "thread:   clicks/deep (");
    place_close(&p);
}

#endif

static void test_threads_come_and_go(void **state) {
    (void)state;
    place p;
    place_open(&p);
    int status = crash_of(&p, use_threads);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(place_read(&p), 0);
    place_close(&p);
}

#if !CRASH_SANITIZED
static void on_usr1(int number) {
    (void)number;
}

static void test_a_hung_process_shows_all_threads(void **state) {
    (void)state;
    place p;
    place_open(&p);
    sigset_t usr1, before;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    signal(SIGUSR1, on_usr1);
    sigprocmask(SIG_BLOCK, &usr1, &before);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDERR_FILENO);
        if (crash_install(p.dir, "clicks", NULL) != WEIR_OK) _exit(9);
        hang(&p);
    }
    int got, status;
    assert_int_equal(sigwait(&usr1, &got), 0);
    kill(pid, SIGABRT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_int_equal(place_read(&p), 1);
    assert_says(&p, "asked by the supervisor");
    assert_says(&p, "thread:   clicks/stuck (");
    assert_says(&p, " did not answer\n");
    assert_says(&p, "end of report");
    place_close(&p);
}

/* A full pipe as standard error keeps neither the report nor the end. */
static void test_nobody_reads_standard_error(void **state) {
    (void)state;
    place p;
    place_open(&p);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_not_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), -1);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    static const char fill[4096];
    while (write(ends[1], fill, sizeof fill) > 0) {}
    fcntl(ends[1], F_SETFL, 0);
    int status = in_child(&p, touch_nothing, ends[1]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_int_equal(place_read(&p), 1);
    assert_says(&p, "end of report");
    close(ends[0]);
    close(ends[1]);
    place_close(&p);
}

static void test_old_reports_make_room(void **state) {
    (void)state;
    place p;
    place_open(&p);
    char path[128];
    for (unsigned i = 0; i < CRASH_REPORTS_MAX + 5; i++) {
        snprintf(path, sizeof path, "%s/crash-20200101T0000%02uZ-1.txt", p.dir, i);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    int status = crash_of(&p, touch_nothing);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(access(path, F_OK), 0); /* the newest of the old ones is there */
    assert_int_equal(place_read(&p), CRASH_REPORTS_MAX);
    assert_says(&p, "end of report");
    place_close(&p);
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_come_and_go),
#if !CRASH_SANITIZED /* sanitizers report for themselves, and we are not in their way */
        cmocka_unit_test(test_a_fault_is_reported),
        cmocka_unit_test(test_the_plugin_is_named),
        cmocka_unit_test(test_a_stack_overflow_is_reported),
        cmocka_unit_test(test_a_hung_process_shows_all_threads),
        cmocka_unit_test(test_nobody_reads_standard_error),
        cmocka_unit_test(test_old_reports_make_room),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
