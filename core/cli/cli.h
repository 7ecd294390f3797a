/*
 * core/cli/cli.h - the `weir` program: one file a subcommand, and what they share.
 */
#ifndef WEIR_CLI_CLI_H
#define WEIR_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/plan.h"

/* Exit statuses. */
#define EXIT_OK 0
#define EXIT_FAILED 1  /* at run time */
#define EXIT_USAGE 2   /* the command line makes no sense */
#define EXIT_CONFIG 78 /* sysexits' EX_CONFIG: the manifest, or what it needs, is wrong */

/* One command. `run` gets the words behind its name. */
typedef struct command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* what `weir NAME --help` prints, with an example */
    int (*run)(int argc, char **argv);
} command;

extern const command command_run, command_check, command_plan, command_plugins, command_state,
    command_status, command_stop, command_savepoint, command_top, command_local;

/* ---- args.c: options may stand anywhere on the line ---- */

typedef enum { ARG_FLAG, ARG_VALUE, ARG_LIST } arg_kind;
typedef struct arg {
    const char *name; /* "--json" */
    arg_kind kind;
    bool set;
    const char *value;   /* ARG_VALUE: the last one */
    const char **values; /* ARG_LIST */
    size_t count;
} arg;

/* Sorts `argv` into options and words; `words` has room for
 * ARGS_MAX. Prints what is wrong and answers
 * false: then the exit status is EXIT_USAGE. "--" ends options. */
bool args_parse(const char *command_name, int argc, char **argv, arg *args, size_t arg_count,
                const char **words, size_t *word_count);
void args_free(arg *args, size_t arg_count);
/* "weir run: TEXT", and where help is; answers EXIT_USAGE. */
int usage_error(const char *command_name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Words on one command line: more are refused. */
#define ARGS_MAX 256

/* ---- load.c: from a manifest's path to a plan ---- */

typedef struct loaded_file loaded_file;

typedef struct loaded {
    registry *plugins;
    arena *memory;
    diags *diags;
    const pipeline *pipeline;
    const plan *plan; /* NULL if anything is wrong */
    /* What it was made of, for load_fetched. */
    const char *path;
    const arg *set, *properties;
    const loaded_file *files; /* everything that was read, as it was then */
    struct fetcher *fetcher;  /* NULL: references of plugins stay unknown */
    bool again;               /* load_fetched: the plugins are another's */
} loaded;

/* Reads, checks, validates options with the plugins' own rules, and plans. Diagnostics are in
 * `out->diags`; nothing is printed. References of plugins are not fetched: what depends on them is
 * not checked. */
void load_manifest(const char *path, const arg *set, const arg *properties, loaded *out);
/* The same manifest once more, with these values: files are not read again, so that it differs in
 * nothing else. `from` must live as long. */
void load_fetched(const loaded *from, struct fetcher *values, loaded *out);
void load_free(loaded *l);
/* "FILE: N values are known only when it runs, ..." if there are such, for people. */
void load_print_unknown(const loaded *l, FILE *out);

/* ---- state_dir.c: where state lies; absolute paths in `memory`, NULL with `err` ---- */

const char *state_root(arena *memory, weir_error *err);
/* <root>/<pipeline> */
const char *state_folder(arena *memory, weir_str name, weir_error *err);
/* settings.checkpoint.store/<pipeline>, NULL if the manifest names none */
const char *state_place(arena *memory, const pipeline *p);
/* Leaves word in <root>/<pipeline>/place of where the store lies, or removes it (NULL: in the
 * folder itself). */
weir_status state_write_place(const char *folder, const char *lies, weir_error *err);
/* What was left there, in `memory`; NULL: the store is in `folder` itself. */
weir_status state_read_place(arena *memory, const char *folder, const char **lies, weir_error *err);

/* ---- cmd_local.c ---- */

/* Its help with that of the program behind it; an exit status. */
int local_help(void);

/* ---- summary.c, status_line.c ---- */

/* ---- cmd_state.c ---- */

/* Prints the file of a checkpoint as `weir state show` does, messages under the name of the
 * command; an exit status. */
int state_show_file(const char *command_name, const char *path, bool json);

struct runtime;

typedef struct run_times {
    int64_t started_ns, ended_ns; /* mono */
} run_times;

void summary_print(struct runtime *rt, const plan *p, const run_times *times,
                   const weir_error *failure);
void summary_json(struct runtime *rt, const plan *p, const run_times *times,
                  const weir_error *failure);

/* A line on the terminal that standard error is, redrawn in place; does nothing elsewhere. */
void status_line_start(struct runtime *rt, const plan *p);
void status_line_tick(void);
void status_line_stop(void);

/* "1,234,567" and "1.2 MB" into `out`. */
const char *human_count(uint64_t n, char out[32]);
const char *human_bytes(double n, char out[32]);

#endif
