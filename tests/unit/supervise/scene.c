#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"

#define PATIENCE_MS 60000

void scene_begin(scene *s, scene_work work) {
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/weir-sup-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->a_dir, sizeof s->a_dir, "%s/a", s->dir);
    snprintf(s->err_file, sizeof s->err_file, "%s/stderr", s->dir);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    s->said_in = ends[0];
    s->said_out = ends[1];
    s->pipes[0] = (supervised){
        .name = "a",
        .state_folder = s->a_dir,
        .restart = {RESTART_FIXED_DELAY, UINT64_MAX, 1 * MS, 0, 0, 0},
        .start_timeout_ns = HOUR,
        .stop_timeout_ns = HOUR,
        .work = work,
        .opaque = s,
    };
    s->config = (supervisor_config){
        .pipelines = s->pipes, .count = 1, .heartbeat_timeout_ns = HOUR, .drain_margin_ns = MS};
}

void scene_add(scene *s, scene_work work) {
    s->pipes[1] = s->pipes[0];
    s->pipes[1].name = "b";
    s->pipes[1].state_folder = NULL;
    s->pipes[1].work = work;
    s->config.count = 2;
}

void scene_start(scene *s) {
    fflush(NULL);
    s->supervisor = fork();
    assert_true(s->supervisor >= 0);
    if (s->supervisor == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        setpgid(0, 0);                    /* a group of its own: the tests signal it */
        close(s->said_in);
        int fd = open(s->err_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) _exit(99);
        exit(supervisor_run(&s->config));
    }
    setpgid(s->supervisor, s->supervisor);
    close(s->said_out);
    s->said_out = -1;
}

int scene_wait(scene *s) {
    int status = 0;
    int64_t end = clock_mono_ns(&clock_system) + PATIENCE_MS * MS;
    for (;;) {
        pid_t pid = waitpid(s->supervisor, &status, WNOHANG);
        if (pid == s->supervisor) break;
        assert_int_equal(pid, 0);
        assert_true(clock_mono_ns(&clock_system) < end);
        usleep(1000);
    }
    s->supervisor = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void scene_end(scene *s) {
    if (s->supervisor > 0) {
        kill(s->supervisor, SIGKILL);
        waitpid(s->supervisor, NULL, 0);
    }
    close(s->said_in);
    if (s->said_out >= 0) close(s->said_out);
    /* A sanitizer speaks where an exit status that is not 0 was expected anyway. */
    buf log;
    buf_init(&log, 16 << 20);
    if (os_read_file(s->err_file, 16 << 20, &log, NULL) == WEIR_OK && log.data != NULL &&
        strstr(log.data, "Sanitizer") != NULL)
        fail_msg("%s", log.data);
    buf_free(&log);
    static const char *const places[] = {"a", "."};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", s->dir, places[i]);
        DIR *dir = opendir(path);
        if (dir == NULL) continue;
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            snprintf(path, sizeof path, "%s/%s/%s", s->dir, places[i], e->d_name);
            unlink(path);
        }
        closedir(dir);
        snprintf(path, sizeof path, "%s/%s", s->dir, places[i]);
        rmdir(path);
    }
    rmdir(s->dir);
}

/* ---- what workers say ---- */

void scene_say(scene *s, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[n] = '\n';
    if (write(s->said_out, line, (size_t)n + 1) != n + 1) _exit(98);
}

bool scene_hear(scene *s, char *line, size_t size) {
    int64_t end = clock_mono_ns(&clock_system) + PATIENCE_MS * MS;
    for (;;) {
        char *newline = memchr(s->heard, '\n', s->heard_len);
        if (newline != NULL) {
            size_t len = (size_t)(newline - s->heard);
            assert_true(len < size);
            memcpy(line, s->heard, len);
            line[len] = '\0';
            s->heard_len -= len + 1;
            memmove(s->heard, newline + 1, s->heard_len);
            return true;
        }
        struct pollfd fd = {.fd = s->said_in, .events = POLLIN};
        (void)poll(&fd, 1, 1000);
        if (clock_mono_ns(&clock_system) >= end) {
            buf text;
            buf_init(&text, 1 << 20);
            os_read_file(s->err_file, 1 << 20, &text, NULL);
            fail_msg("nothing was said for a minute; standard error:\n%s", text.data);
        }
        if (fd.revents == 0) continue;
        ssize_t n = read(s->said_in, s->heard + s->heard_len, sizeof s->heard - s->heard_len);
        if (n == 0) return false;
        if (n > 0) s->heard_len += (size_t)n;
    }
}

void scene_expect(scene *s, const char *line) {
    char got[512];
    if (!scene_hear(s, got, sizeof got)) fail_msg("expected '%s', and everyone has gone", line);
    assert_string_equal(got, line);
}

void scene_expect_silence(scene *s) {
    char got[512];
    if (scene_hear(s, got, sizeof got)) fail_msg("expected nothing, and heard '%s'", got);
}

bool scene_logged(scene *s, const char *text) {
    buf log;
    buf_init(&log, 16 << 20);
    assert_int_equal(os_read_file(s->err_file, 16 << 20, &log, NULL), WEIR_OK);
    bool found = log.data != NULL && strstr(log.data, text) != NULL;
    if (!found) print_message("no '%s' in:\n%s", text, log.data != NULL ? log.data : "");
    buf_free(&log);
    return found;
}

void scene_await_drain(worker_link *link, wake *w) {
    while (!link_draining(link)) {
        link_beat(link);
        wake_wait(w, clock_mono_ns(&clock_system) + 50 * MS);
    }
}

link_request *scene_await_request(worker_link *link, wake *w) {
    for (link_request *r;;) {
        if ((r = link_take(link)) != NULL) return r;
        link_beat(link);
        wake_wait(w, clock_mono_ns(&clock_system) + 50 * MS);
    }
}
