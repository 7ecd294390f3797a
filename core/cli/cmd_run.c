/*
 * weir run: runs pipelines, each in a worker process, until their input ends, a signal, or a given
 * time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/os.h"
#include "base/str.h"
#include "cli/worker.h"
#include "runtime/fetch.h"
#include "supervise/supervisor.h"

enum { A_ONCE, A_FOR, A_FROM, A_SET, A_PROPERTIES, A_ALLOW, A_JSON, A_COUNT };

typedef struct run_options {
    arg args[A_COUNT];
    const char *words[ARGS_MAX];
    size_t count;
    int64_t for_ns;
} run_options;

/* What is wrong with the words of the command, told; EXIT_OK if nothing is. */
static int check_options(run_options *o) {
    const arg *args = o->args;
    if (o->count == 0) return usage_error("run", "name a manifest");
    if (args[A_FOR].set &&
        (!str_to_duration_ns(str_of(args[A_FOR].value), &o->for_ns) || o->for_ns <= 0)) {
        return usage_error("run", "--for wants a duration such as 10s or 5m, not '%s'",
                           args[A_FOR].value);
    }
    if (args[A_ONCE].set && args[A_FOR].set) {
        return usage_error("run", "--once ends with the input, --for after a time: choose one");
    }
    if (o->count > 1 && args[A_FROM].set && strcmp(args[A_FROM].value, "latest") != 0 &&
        strcmp(args[A_FROM].value, "none") != 0) {
        return usage_error("run", "a savepoint is one pipeline's: name one manifest with --from %s",
                           args[A_FROM].value);
    }
    return EXIT_OK;
}

/* Every manifest, all of their errors; false if there is any. */
static bool load_all(run_options *o, loaded *list) {
    bool well = true;
    for (size_t i = 0; i < o->count; i++) {
        load_manifest(o->words[i], &o->args[A_SET], &o->args[A_PROPERTIES], &list[i]);
        if (list[i].diags != NULL) diags_print(list[i].diags, stderr);
        if (list[i].plan == NULL) {
            well = false;
            continue;
        }
        for (size_t k = 0; k < i; k++) {
            if (list[k].plan == NULL || !str_eq(list[k].pipeline->name, list[i].pipeline->name)) {
                continue;
            }
            fprintf(stderr,
                    "weir run: %s and %s both describe the pipeline %.*s: give each its own "
                    "'name'\n",
                    o->words[k], o->words[i], STR_FMT(list[i].pipeline->name));
            well = false;
        }
    }
    return well;
}

/* The folder of this run, for files that references bring; NULL without memory. */
static const char *fetch_folder(arena *memory, const char *state_folder) {
    uint64_t number;
    if (!os_random(&number, sizeof number)) number = (uint64_t)clock_mono_ns(&clock_system);
    return arena_printf(memory, "%s/" FETCH_PREFIX "%016llx", state_folder,
                        (unsigned long long)number);
}

static int supervise(run_options *o, loaded *list, int64_t started_ns) {
    const arg *args = o->args;
    arena *memory = arena_new(1 << 20);
    weir_error *err = error_new();
    worker_job *jobs = arena_array(memory, o->count, sizeof *jobs);
    supervised *pipelines = arena_array(memory, o->count, sizeof *pipelines);
    worker_shared *shared = mmap(NULL, o->count * sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = EXIT_CONFIG;
    if (err == NULL || jobs == NULL || pipelines == NULL || shared == MAP_FAILED) {
        fprintf(stderr, "weir run: out of memory\n");
        status = EXIT_FAILED;
        goto done;
    }
    for (size_t i = 0; i < o->count; i++) {
        const pipeline *p = list[i].pipeline;
        const char *folder = state_folder(memory, p->name, err);
        if (folder == NULL) {
            buf text;
            buf_init(&text, 4096);
            error_format(err, &text);
            fprintf(stderr, "weir run: error: %.*s\n", STR_FMT(buf_str(&text)));
            buf_free(&text);
            goto done;
        }
        jobs[i] = (worker_job){.loaded = &list[i],
                               .state_folder = folder,
                               .fetch_folder = fetch_folder(memory, folder),
                               .once = args[A_ONCE].set,
                               .json = args[A_JSON].set,
                               .quiet = o->count > 1,
                               .for_ns = o->for_ns,
                               .from = args[A_FROM].set ? args[A_FROM].value : "latest",
                               .allow_non_restored = args[A_ALLOW].set,
                               .started_ns = started_ns,
                               .shared = &shared[i]};
        pipelines[i] = (supervised){.name = p->name.ptr,
                                    .state_folder = folder,
                                    .restart = p->settings.restart,
                                    .start_timeout_ns = p->settings.start_timeout_ns,
                                    .stop_timeout_ns = p->settings.stop_timeout_ns,
                                    .work = worker_main,
                                    .opaque = &jobs[i]};
    }
    const supervisor_config config = {.pipelines = pipelines, .count = o->count};
    status = supervisor_run(&config);
    /* Here and not in workers, which may be killed. */
    for (size_t i = 0; i < o->count; i++) fetch_remove_folder(jobs[i].fetch_folder);
done:
    if (shared != MAP_FAILED) munmap(shared, o->count * sizeof *shared);
    error_free(err);
    arena_free(memory);
    return status;
}

static int run(int argc, char **argv) {
    int64_t started_ns = clock_mono_ns(&clock_system);
    run_options o = {.args = {[A_ONCE] = {.name = "--once", .kind = ARG_FLAG},
                              [A_FOR] = {.name = "--for", .kind = ARG_VALUE},
                              [A_FROM] = {.name = "--from", .kind = ARG_VALUE},
                              [A_SET] = {.name = "--set", .kind = ARG_LIST},
                              [A_PROPERTIES] = {.name = "--properties", .kind = ARG_LIST},
                              [A_ALLOW] = {.name = "--allow-non-restored-state", .kind = ARG_FLAG},
                              [A_JSON] = {.name = "--json", .kind = ARG_FLAG}}};
    if (!args_parse("run", argc, argv, o.args, A_COUNT, o.words, &o.count)) return EXIT_USAGE;
    int status = check_options(&o);
    if (status == EXIT_OK) {
        loaded *list = calloc(o.count, sizeof *list);
        if (list == NULL) {
            fprintf(stderr, "weir run: out of memory\n");
            status = EXIT_FAILED;
        } else {
            status = load_all(&o, list) ? supervise(&o, list, started_ns) : EXIT_CONFIG;
            for (size_t i = 0; i < o.count; i++) load_free(&list[i]);
            free(list);
        }
    }
    args_free(o.args, A_COUNT);
    return status;
}

const command command_run = {
    "run", "run pipelines, each in a process of its own",
    "usage: weir run MANIFEST... [--once | --for DURATION] [--from latest|none|NAME|PATH]\n"
    "                [--set GROUP.KEY=VALUE] [--properties FILE]\n"
    "                [--allow-non-restored-state] [--json]\n"
    "\n"
    "Runs each pipeline until its input ends, a signal, or the given time. What was read and\n"
    "delivered is kept in checkpoints, so that a run goes on where the one before ended; a\n"
    "pipeline that fails is restarted from its last checkpoint as `settings.restart` says.\n"
    "SIGTERM or Ctrl-C stops reading, delivers what was read and keeps a final checkpoint; a\n"
    "second one leaves at once. On a terminal a status line shows records, bytes and lag; at\n"
    "the end a summary counts what came in, went out, failed and went to dead letters.\n"
    "\n"
    "  --once                  no discovery of further input: ends when all that was found is\n"
    "                          read. A stream that never ends (Kinesis with stop: never) does\n"
    "                          not end by it: use --for, or stop: latest\n"
    "  --for DURATION          drain and end after this time (10s, 5m, 1h)\n"
    "  --from latest           the newest checkpoint (the default); without one, a fresh start\n"
    "  --from none             a fresh start, whatever was kept\n"
    "  --from NAME|PATH        a savepoint by its name, or any checkpoint's file. What was\n"
    "                          delivered after it stays and is delivered again\n"
    "  --allow-non-restored-state\n"
    "                          gives up state of nodes and splits that no longer exist\n"
    "  --set GROUP.KEY=VALUE   a run-time property; may be repeated\n"
    "  --properties FILE       properties from a YAML file, or the managed Flink service's\n"
    "                          application_properties.json\n"
    "  --json                  the summary as JSON on standard output\n"
    "\n"
    "examples:\n"
    "  weir run --once examples/generator-to-stdout.yaml\n"
    "  weir run clicks.yaml orders.yaml\n"
    "  weir run clicks.yaml --from before-upgrade\n"
    "\n"
    "State is kept below WEIR_STATE (else $XDG_STATE_HOME/weir, or /var/lib/weir for root), one\n"
    "folder a pipeline. WEIR_LOG=debug, or WEIR_LOG=kinesis=debug,info, says how much is logged.\n"
    "exit status: 0 ok (also with dead letters), 1 failed at run time, 78 the manifest or what\n"
    "it names is wrong, 2 wrong usage\n",
    run};
