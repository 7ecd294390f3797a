/*
 * weir top: what pipelines do, again and again: a table in place on a terminal, lines elsewhere.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/operate.h"
#include "cli/status_text.h"
#include "cli/table.h"

enum { A_INTERVAL, A_ONCE, A_COUNT };

#define INTERVAL_DEFAULT_NS (2 * CLOCK_NS_PER_S)
#define INTERVAL_MIN_NS (100 * CLOCK_NS_PER_MS)
#define INTERVAL_MAX_NS (3600 * CLOCK_NS_PER_S)
/* One that is stopped by a debugger must not hold up the others for long. */
#define ANSWER_NS CLOCK_NS_PER_S

/* One pipeline between two looks. */
typedef struct watched {
    weir_str name;
    int64_t looked_ns; /* 0: it did not run at the last look */
    int64_t pid;       /* counters begin anew with each worker */
    status_sums sums;
} watched;

typedef struct watch {
    operation o; /* of the latest look: the names and the table live in its memory */
    watched *items;
    size_t count;
    bool all; /* no names were given: those that run */
    int64_t interval_ns;
} watch;

/* ---- a look ---- */

typedef struct line {
    char state[32], in[32], out[32], bytes[32], failed[32], lag[32], age[32], took[32], memory[32],
        restarts[32];
} line;

static void rate(int64_t now, int64_t before, double seconds, char out[32]) {
    double r = seconds > 0 && now >= before ? (double)(now - before) / seconds : 0;
    human_count((uint64_t)(r + 0.5), out);
}

static void fill(line *l, const weir_value *s, const watched *w, const status_sums *sums,
                 double seconds) {
    bool rates = w->looked_ns != 0 && w->pid == weir_json_get_i64(s, "pid", 0);
    weir_str state = weir_json_get_str(s, "state", "?");
    snprintf(l->state, sizeof l->state, "%.*s", STR_FMT(state));
    snprintf(l->restarts, sizeof l->restarts, "%" PRId64, weir_json_get_i64(s, "restarts", 0));
    if (weir_json_get(s, "nodes") == NULL) return;
    if (rates) {
        int64_t bytes = sums->bytes_in - w->sums.bytes_in;
        rate(sums->in, w->sums.in, seconds, l->in);
        rate(sums->out, w->sums.out, seconds, l->out);
        human_bytes(seconds > 0 && bytes > 0 ? (double)bytes / seconds : 0, l->bytes);
    }
    human_count((uint64_t)sums->failed, l->failed);
    human_duration(weir_json_get_i64(s, "lag_ms", -1), l->lag);
    human_bytes((double)weir_json_get_i64(s, "rss_bytes", 0), l->memory);
    const weir_value *c = status_newest_done(s);
    if (c == NULL) return;
    human_age(weir_json_get_i64(c, "started_us", 0), l->age);
    human_duration((int64_t)(weir_json_get_f64(c, "committed_ms", -1) + 0.5), l->took);
}

/* Asks one pipeline and adds its row. One that does not run has none, unless it was named. */
static void look_at(watch *v, watched *w, table *t) {
    line l = {"-", "-", "-", "-", "-", "-", "-", "-", "-", "-"};
    int64_t deadline_ns = clock_mono_ns(&clock_system) + ANSWER_NS;
    weir_json_doc *doc =
        operation_ask(&v->o, w->name, STR("{\"do\":\"status\",\"splits\":0}"), deadline_ns, NULL);
    int64_t now = clock_mono_ns(&clock_system);
    if (doc != NULL) {
        const weir_value *s = weir_json_root(doc);
        status_sums sums;
        status_add_up(s, &sums);
        fill(&l, s, w, &sums, (double)(now - w->looked_ns) / 1e9);
        w->looked_ns = now;
        w->pid = weir_json_get_i64(s, "pid", 0);
        w->sums = sums;
    } else {
        bool stopped = error_status(v->o.err) == WEIR_E_NOT_FOUND;
        w->looked_ns = 0;
        if (stopped && v->all) return;
        snprintf(l.state, sizeof l.state, "%s", stopped ? "stopped" : "no answer");
    }
    weir_json_free(doc);
    weir_str name = arena_str(t->memory, w->name);
    TABLE_ROW(t, name.ptr != NULL ? name.ptr : "", l.state, l.in, l.out, l.bytes, l.failed, l.lag,
              l.age, l.took, l.memory, l.restarts);
}

/* Pipelines that came since the last look are taken in; the others keep their counters. */
static weir_status find(watch *v, operation *next) {
    weir_str *names;
    size_t count;
    if (!v->all) return WEIR_OK; /* names are the command line's */
    weir_status status = operation_pipelines(next, &names, &count);
    if (status != WEIR_OK) return status;
    watched *items = calloc(count + 1, sizeof *items);
    if (items == NULL) return error_set(next->err, WEIR_E_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < v->count; k++)
            if (str_eq(v->items[k].name, names[i])) items[i] = v->items[k];
        items[i].name = names[i];
    }
    free(v->items);
    v->items = items;
    v->count = count;
    return WEIR_OK;
}

/* A table of what there is now, its first row the heads. False: it failed, v->o.err says how. */
static bool look(watch *v, table *t) {
    operation next;
    if (!operation_begin(&next, "top")) return false;
    weir_status status = find(v, &next);
    operation_end(&v->o);
    v->o = next;
    if (status != WEIR_OK) {
        operation_failed(&v->o);
        return false;
    }
    *t = (table){.memory = v->o.memory, .right = 0x7fc};
    TABLE_ROW(t, "PIPELINE", "STATE", "IN/S", "OUT/S", "BYTES/S", "FAILED", "LAG", "CKPT", "TOOK",
              "MEMORY", "RESTARTS");
    for (size_t i = 0; i < v->count; i++) look_at(v, &v->items[i], t);
    return true;
}

/* ---- on paper ---- */

/* Each look as lines, the heads once. False: nobody reads them any more. */
static bool print_lines(const table *t, bool heads) {
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    table_print(t, 0, &out);
    const char *from = out.data != NULL ? out.data : "";
    size_t len = out.len;
    const char *second = heads ? NULL : memchr(from, '\n', len);
    if (second != NULL) {
        len -= (size_t)(second + 1 - from);
        from = second + 1;
    }
    bool ok = fwrite(from, 1, len, stdout) == len && fflush(stdout) == 0;
    buf_free(&out);
    return ok;
}

/* ---- on a terminal ---- */

typedef struct screen {
    bool on;   /* output is a terminal: drawn in place */
    bool keys; /* input is one as well */
    int signals;
    struct termios before;
} screen;

static void put(const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n <= 0) return; /* a terminal that went away ends us by SIGHUP */
        text += n;
        len -= (size_t)n;
    }
}

static void screen_open(screen *s, bool drawn) {
    sigset_t ours;
    *s = (screen){.on = drawn && isatty(STDOUT_FILENO), .signals = -1};
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGWINCH);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    s->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (!s->on) return;
    s->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->before) == 0;
    if (s->keys) {
        struct termios raw = s->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* ISIG stays: Ctrl-C is a signal */
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    put("\033[?1049h\033[?25l", 14); /* the other screen, no cursor */
}

static void screen_close(screen *s) {
    if (s->on) put("\033[?25h\033[?1049l", 14);
    if (s->keys) tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
    if (s->signals >= 0) close(s->signals);
}

static void draw(const watch *v, const table *t) {
    struct winsize size = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    size_t width = known ? size.ws_col : 80, height = known ? size.ws_row : 24;
    char every[32];
    buf body, out;
    buf_init(&body, SIZE_MAX / 2);
    buf_init(&out, SIZE_MAX / 2);
    table_print(t, width, &body);
    buf_append_z(&out, "\033[H");
    size_t lines = 1, at = 0;
    /* Each line is cleared behind its end: nothing flickers. */
    while (at < body.len && lines < height) {
        const char *end = memchr(body.data + at, '\n', body.len - at);
        size_t len = (size_t)(end - (body.data + at));
        buf_append(&out, body.data + at, len);
        buf_append_z(&out, "\033[K\r\n");
        at += len + 1;
        lines++;
    }
    buf_printf(&out, "\033[Kevery %s, q ends\033[J",
               human_duration(v->interval_ns / CLOCK_NS_PER_MS, every));
    if (buf_ok(&out)) put(out.data, out.len);
    buf_free(&body);
    buf_free(&out);
}

typedef enum { GO_ON, REDRAW, END } wish;

/* Until the time is over, a key, or a signal. */
static wish wait_until(screen *s, int64_t until_ns) {
    for (;;) {
        int64_t left_ns = until_ns - clock_mono_ns(&clock_system);
        if (left_ns <= 0) return GO_ON;
        struct pollfd fds[2] = {{.fd = s->signals, .events = POLLIN},
                                {.fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN}};
        int64_t ms = left_ns / CLOCK_NS_PER_MS + 1;
        (void)poll(fds, 2, ms > 3600000 ? 3600000 : (int)ms);
        struct signalfd_siginfo info;
        if (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
            return info.ssi_signo == SIGWINCH ? REDRAW : END;
        if (fds[1].revents == 0) continue;
        char key;
        ssize_t n = read(STDIN_FILENO, &key, 1);
        if (n == 0 || (n == 1 && (key == 'q' || key == 'Q' || key == 4))) return END;
        if (n < 0) s->keys = false;
    }
}

/* ---- the loop ---- */

static int follow(watch *v, bool once) {
    screen s;
    int status = EXIT_OK;
    screen_open(&s, !once);
    for (uint64_t looks = 0;; looks++) {
        table t;
        int64_t began = clock_mono_ns(&clock_system);
        if (!look(v, &t)) {
            status = EXIT_FAILED;
            break;
        }
        if (s.on) {
            draw(v, &t);
        } else if (looks > 0) { /* a rate wants two looks */
            if (!print_lines(&t, looks == 1)) {
                status = EXIT_FAILED;
                break;
            }
            if (once) break;
        }
        if (wait_until(&s, began + v->interval_ns) == END) break;
    }
    screen_close(&s);
    return status;
}

static int top(int argc, char **argv) {
    arg args[A_COUNT] = {[A_INTERVAL] = {.name = "--interval", .kind = ARG_VALUE},
                         [A_ONCE] = {.name = "--once", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count;
    watch v = {.interval_ns = INTERVAL_DEFAULT_NS};
    if (!args_parse("top", argc, argv, args, A_COUNT, words, &count)) return EXIT_USAGE;
    if (args[A_INTERVAL].set &&
        (!str_to_duration_ns(str_of(args[A_INTERVAL].value), &v.interval_ns) ||
         v.interval_ns < INTERVAL_MIN_NS || v.interval_ns > INTERVAL_MAX_NS)) {
        return usage_error("top", "--interval wants a duration from 100ms to 1h, not '%s'",
                           args[A_INTERVAL].value);
    }
    v.all = count == 0;
    v.count = count;
    v.items = calloc(count + 1, sizeof *v.items);
    if (v.items == NULL) {
        fprintf(stderr, "weir top: out of memory\n");
        return EXIT_FAILED;
    }
    int status = EXIT_OK;
    for (size_t i = 0; i < count && status == EXIT_OK; i++)
        if (!operation_name("top", words[i], &v.items[i].name)) status = EXIT_USAGE;
    if (status == EXIT_OK) status = follow(&v, args[A_ONCE].set);
    operation_end(&v.o);
    free(v.items);
    return status;
}

const command command_top = {
    "top", "watch pipelines: rates, lag, checkpoints, memory",
    "usage: weir top [PIPELINE ...] [--interval DURATION] [--once]\n"
    "\n"
    "On a terminal a table that is drawn again in place; q or Ctrl-C ends it. Elsewhere a line a\n"
    "pipeline, again and again. Without a name: every pipeline that runs.\n"
    "\n"
    "  IN/S, OUT/S   records that came in at sources and were delivered by sinks, a second;\n"
    "                BYTES/S: that came in\n"
    "  FAILED        records given up since the worker started\n"
    "  LAG           the largest among the splits that are read; - if no source knows it\n"
    "  CKPT, TOOK    time since the last complete checkpoint began, and until it was committed\n"
    "  MEMORY        resident memory of the worker\n"
    "\n"
    "  --interval DURATION  between two looks, from 100ms to 1h (2s)\n"
    "  --once               print one table and end\n"
    "\n"
    "examples:\n"
    "  weir top\n"
    "  weir top clicks --once --interval 1s\n"
    "\n"
    "exit status: 0 ok, 1 the state folder cannot be read, 2 wrong usage\n",
    top};
