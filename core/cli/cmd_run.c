/*
 * weir run: runs one pipeline until its input ends, a signal, or a given time.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/runtime.h"

/* How often the status line is drawn. */
#define TICK_NS (250 * CLOCK_NS_PER_MS)

enum { A_ONCE, A_FOR, A_FROM, A_SET, A_PROPERTIES, A_JSON, A_COUNT };

/* ---- signals: the first drains, the second leaves at once ---- */

static volatile sig_atomic_t signals_seen;
static wake *signal_wake;

static void on_signal(int number) {
    (void)number;
    if (signals_seen++ > 0) {
        static const char text[] = "\nweir run: second signal, leaving at once\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
            /* nobody reads it; we leave anyway */
        }
        _exit(EXIT_FAILED);
    }
    if (signal_wake != NULL) wake_signal(signal_wake);
}

static void catch_signals(runtime *rt) {
    signal_wake = runtime_wake(rt);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigfillset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL); /* a closed pipe is an error of the sink, not a death */
}

/* ---- the run ---- */

/* Until every loop has ended. Draining begins with a signal or when the time is over, and may take
 * stop_timeout. */
static void supervise(runtime *rt, const plan *p, int64_t end_ns) {
    int64_t give_up_ns = INT64_MAX;
    for (;;) {
        int64_t now = clock_mono_ns(&clock_system);
        if ((signals_seen > 0 || now >= end_ns) && !runtime_draining(rt)) {
            runtime_drain(rt);
            give_up_ns = now + p->pipeline->settings.stop_timeout_ns;
        }
        if (now >= give_up_ns) {
            char text[200];
            snprintf(text, sizeof text,
                     "could not deliver what was read within stop_timeout (%lld s); the rest was "
                     "not acknowledged and is read again by the next run",
                     (long long)(p->pipeline->settings.stop_timeout_ns / CLOCK_NS_PER_S));
            runtime_abandon(rt, WEIR_E_TIMEOUT, text);
            give_up_ns = INT64_MAX;
        }
        int64_t until = now + TICK_NS;
        if (until > end_ns && !runtime_draining(rt)) until = end_ns;
        if (until > give_up_ns) until = give_up_ns;
        if (runtime_wait(rt, until)) return;
        status_line_tick();
    }
}

static int run_plan(const loaded *l, bool once, int64_t for_ns, bool json, run_times *times) {
    weir_error *err = error_new();
    runtime_config config = {
        .plan = l->plan, .plugins = l->plugins, .once = once, .interrupted = &signals_seen};
    runtime *rt = runtime_new(&config, err);
    weir_status status = rt != NULL ? WEIR_OK : error_status(err);
    if (rt != NULL) {
        catch_signals(rt);
        status = runtime_start(rt, err);
        if (status == WEIR_OK && runtime_ready_ns(rt) != 0) {
            log_write(WEIR_LOG_DEBUG, NULL, "ready after %.1f ms",
                      (double)(runtime_ready_ns(rt) - times->started_ns) / 1e6);
            status_line_start(rt, l->plan);
            supervise(rt, l->plan, for_ns > 0 ? clock_mono_ns(&clock_system) + for_ns : INT64_MAX);
            status_line_stop();
            status = runtime_finish(rt, err);
        }
    }
    times->ended_ns = clock_mono_ns(&clock_system);
    if (status != WEIR_OK) {
        buf text;
        buf_init(&text, 65536);
        error_format(err, &text);
        fprintf(stderr, "weir run: %.*s: error: %.*s\n", STR_FMT(l->pipeline->name),
                STR_FMT(buf_str(&text)));
        buf_free(&text);
    }
    const weir_error *failure = status != WEIR_OK ? err : NULL;
    if (json) {
        summary_json(rt, l->plan, times, failure);
    } else if (rt != NULL) {
        summary_print(rt, l->plan, times, failure);
    }
    int exit_status = status == WEIR_OK                           ? EXIT_OK
                      : (error_flags(err) & WEIR_ERR_CONFIG) != 0 ? EXIT_CONFIG
                                                                  : EXIT_FAILED;
    signal_wake = NULL;
    runtime_free(rt);
    error_free(err);
    return exit_status;
}

static int run(int argc, char **argv) {
    run_times times = {.started_ns = clock_mono_ns(&clock_system)};
    arg args[A_COUNT] = {[A_ONCE] = {.name = "--once", .kind = ARG_FLAG},
                         [A_FOR] = {.name = "--for", .kind = ARG_VALUE},
                         [A_FROM] = {.name = "--from", .kind = ARG_VALUE},
                         [A_SET] = {.name = "--set", .kind = ARG_LIST},
                         [A_PROPERTIES] = {.name = "--properties", .kind = ARG_LIST},
                         [A_JSON] = {.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count;
    int status = EXIT_USAGE;
    if (!args_parse("run", argc, argv, args, A_COUNT, words, &count)) return EXIT_USAGE;
    int64_t for_ns = 0;
    const char *from = args[A_FROM].value;
    if (count != 1) {
        status = usage_error("run", count == 0 ? "name a manifest"
                                               : "name one manifest: each pipeline is one process");
    } else if (args[A_FOR].set &&
               (!str_to_duration_ns(str_of(args[A_FOR].value), &for_ns) || for_ns <= 0)) {
        status = usage_error("run", "--for wants a duration such as 10s or 5m, not '%s'",
                             args[A_FOR].value);
    } else if (args[A_ONCE].set && args[A_FOR].set) {
        status = usage_error("run", "--once ends with the input, --for after a time: choose one");
    } else if (from != NULL && strcmp(from, "latest") != 0 && strcmp(from, "none") != 0) {
        status =
            usage_error("run", "--from takes latest or none: this version keeps no positions, so "
                               "every run begins where `start` says");
    } else {
        loaded l;
        load_manifest(words[0], &args[A_SET], &args[A_PROPERTIES], &l);
        if (l.diags != NULL) diags_print(l.diags, stderr);
        status = EXIT_CONFIG;
        if (l.plan != NULL) {
            status = run_plan(&l, args[A_ONCE].set, for_ns, args[A_JSON].set, &times);
        }
        load_free(&l);
    }
    args_free(args, A_COUNT);
    return status;
}

const command command_run = {
    "run", "run the pipeline of a manifest",
    "usage: weir run MANIFEST [--once | --for DURATION] [--set GROUP.KEY=VALUE]\n"
    "                [--properties FILE] [--from latest|none] [--json]\n"
    "\n"
    "Runs the pipeline until its input ends, a signal, or the given time. On a terminal a\n"
    "status line shows records, bytes and lag; at the end a summary counts what came in, went\n"
    "out, failed and went to dead letters. SIGTERM or Ctrl-C stops reading and delivers what\n"
    "was read; a second one leaves at once.\n"
    "\n"
    "  --once                  no discovery of further input: ends when all that was found is\n"
    "                          read. A stream that never ends (Kinesis with stop: never) does\n"
    "                          not end by it: use --for, or stop: latest\n"
    "  --for DURATION          drain and end after this time (10s, 5m, 1h)\n"
    "  --set GROUP.KEY=VALUE   a run-time property; may be repeated\n"
    "  --properties FILE       properties from a YAML file, or the managed Flink service's\n"
    "                          application_properties.json\n"
    "  --from latest|none      where to begin: this version keeps no positions between runs\n"
    "  --json                  the summary as JSON on standard output\n"
    "\n"
    "examples:\n"
    "  weir run --once examples/generator-to-stdout.yaml\n"
    "  weir run clicks.yaml --set input.stream=clicks --for 10m\n"
    "\n"
    "WEIR_LOG=debug, or WEIR_LOG=kinesis=debug,info, says how much is logged.\n"
    "exit status: 0 ok (also with dead letters), 1 failed at run time, 78 the manifest or what\n"
    "it names is wrong, 2 wrong usage\n",
    run};
