#include "supervise/event.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

static const struct {
    int number;
    const char *name;
} signal_names[] = {{SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGBUS, "SIGBUS"},
                    {SIGFPE, "SIGFPE"},   {SIGHUP, "SIGHUP"},   {SIGILL, "SIGILL"},
                    {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"}, {SIGPIPE, "SIGPIPE"},
                    {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"},
                    {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"}, {SIGUSR1, "SIGUSR1"},
                    {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}};

static void say_json(const event_source *from, const char *level, const char *word, pid_t pid,
                     weir_str text);

void event_say(const event_source *from, uint32_t level, const char *word, pid_t pid,
               const char *format, ...) {
    if (level > log_level(NULL)) return;
    buf text;
    buf_init(&text, LIMIT_ERROR_BYTES);
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    weir_str said = buf_ok(&text) ? buf_str(&text) : str_of(format); /* no memory, or too long */
    const char *where = from->pipeline != NULL ? from->pipeline : "supervisor";
    if (from->json) {
        say_json(from,
                 level <= WEIR_LOG_ERROR  ? "error"
                 : level == WEIR_LOG_WARN ? "warn"
                 : level == WEIR_LOG_INFO ? "info"
                                          : "debug",
                 word, pid, said);
    } else {
        log_line(level, NULL, where, said);
    }
    buf_free(&text);
}

const char *event_signal_name(int number, char *buffer, size_t size) {
    for (size_t i = 0; i < sizeof signal_names / sizeof *signal_names; i++)
        if (signal_names[i].number == number) return signal_names[i].name;
    snprintf(buffer, size, "signal %d", number);
    return buffer;
}

void event_duration(int64_t ns, buf *out) {
    if (ns < CLOCK_NS_PER_S) {
        buf_printf(out, "%" PRId64 " ms", ns / CLOCK_NS_PER_MS);
    } else if (ns % CLOCK_NS_PER_S == 0 || ns >= 60 * CLOCK_NS_PER_S) {
        buf_printf(out, "%" PRId64 " s", ns / CLOCK_NS_PER_S);
    } else {
        buf_printf(out, "%.1f s", (double)ns / (double)CLOCK_NS_PER_S);
    }
}

/* One write a line, as the log does it. */
static void say_json(const event_source *from, const char *level, const char *word, pid_t pid,
                     weir_str text) {
    int64_t now_us = clock_wall_us(&clock_system);
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm tm;
    char stamp[32] = "";
    if (gmtime_r(&seconds, &tm) != NULL) strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    buf line;
    buf_init(&line, 8 * LIMIT_ERROR_BYTES);
    buf_printf(&line, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\"", stamp, (int)(now_us / 1000 % 1000),
               level);
    if (from->pipeline != NULL) {
        buf_append_z(&line, ",\"pipeline\":");
        buf_append_json(&line, str_of(from->pipeline));
    }
    buf_printf(&line, ",\"event\":\"%s\"", word);
    if (pid > 0) buf_printf(&line, ",\"pid\":%d", (int)pid);
    buf_append_z(&line, ",\"text\":");
    buf_append_json(&line, text);
    buf_append_z(&line, "}\n");
    for (size_t at = 0; buf_ok(&line) && at < line.len;) {
        ssize_t n = write(STDERR_FILENO, line.data + at, line.len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += (size_t)n;
    }
    buf_free(&line);
}
