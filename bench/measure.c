/*
 * bench/measure.c - runs a program and says what it cost:
 *
 *     measure [--until-it-speaks] REPORT PROGRAM [ARGUMENT...]
 *
 * REPORT gets one JSON object: exit status, user and system time of the program and its children,
 * its peak resident size, the time it took, and when the first byte came out of its standard
 * output (which is read to its end and counted). --until-it-speaks is for a server: it gets SIGTERM
 * when that byte has come.
 *
 * It is a program of its own because Linux hands the peak size of the process that forks on to the
 * one that is executed: measured from Python, no figure would be below Python's own size.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double of_timeval(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv) {
    bool until_it_speaks = argc > 1 && strcmp(argv[1], "--until-it-speaks") == 0;
    argc -= until_it_speaks;
    argv += until_it_speaks;
    if (argc < 3) {
        fprintf(stderr, "usage: measure [--until-it-speaks] REPORT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    int out[2];
    if (pipe(out) != 0) {
        perror("measure: pipe");
        return 1;
    }
    double begin = seconds();
    pid_t child = fork();
    if (child < 0) {
        perror("measure: fork");
        return 1;
    }
    if (child == 0) {
        close(out[0]);
        dup2(out[1], STDOUT_FILENO);
        if (out[1] != STDOUT_FILENO) close(out[1]);
        execvp(argv[2], argv + 2);
        fprintf(stderr, "measure: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    close(out[1]);

    static char buffer[1 << 18];
    double first = -1;
    uint64_t bytes = 0;
    for (;;) {
        ssize_t n = read(out[0], buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        if (first < 0) {
            first = seconds() - begin;
            if (until_it_speaks) kill(child, SIGTERM);
        }
        bytes += (uint64_t)n;
    }

    int status = 0;
    struct rusage use;
    while (wait4(child, &status, 0, &use) < 0) {
        if (errno == EINTR) continue;
        perror("measure: wait");
        return 1;
    }
    double wall = seconds() - begin;
    FILE *report = fopen(argv[1], "w");
    if (!report) {
        fprintf(stderr, "measure: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    fprintf(
        report,
        "{\"status\": %d, \"user\": %.6f, \"system\": %.6f, \"peak_rss_kib\": %ld, \"wall\": %.6f, "
        "\"first_byte\": %.6f, \"stdout_bytes\": %" PRIu64 "}\n",
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), of_timeval(use.ru_utime),
        of_timeval(use.ru_stime), use.ru_maxrss, wall, first, bytes);
    return fclose(report) == 0 ? 0 : 1;
}
