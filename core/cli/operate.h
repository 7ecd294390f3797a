/*
 * core/cli/operate.h - what status, stop, savepoint and top share: they name pipelines, ask them
 * over their control sockets, and look at their state folders.
 */
#ifndef WEIR_CLI_OPERATE_H
#define WEIR_CLI_OPERATE_H

#include "base/arena.h"
#include "base/error.h"
#include "checkpoint/store.h"
#include "cli/cli.h"
#include "weir/json.h"

/* How long a status may take; a worker answers within milliseconds. */
#define STATUS_TIMEOUT_S 10

typedef struct operation {
    const char *command; /* "stop" */
    arena *memory;
    weir_error *err;
} operation;

/* False without memory, said so. */
bool operation_begin(operation *o, const char *command_name);
void operation_end(operation *o);
/* Prints "weir stop: TEXT; hint: ..." of o->err; EXIT_FAILED. */
int operation_failed(operation *o);

/* A word that can be a pipeline's name. False: it cannot, said so. */
bool operation_name(const char *command_name, const char *word, weir_str *name);
/* The value of a --timeout: a deadline, never without the option. False: wrong, said so. */
bool operation_deadline(const arg *timeout, const char *command_name, int64_t *deadline_ns);
/* "{"do":WHAT" for further members and the closing brace. */
void request_begin(buf *request, const char *what);

/* What a pipeline answers: the parsed document, and with `raw` its text too. NULL with o->err:
 * NOT_FOUND when it does not run; FATAL flag and the answer's own text when it refused. A refusal
 * is still in `raw`. */
weir_json_doc *operation_ask(operation *o, weir_str name, weir_str request, int64_t deadline_ns,
                             buf *raw);

/* Every pipeline that has a folder under the state root, sorted. */
weir_status operation_pipelines(operation *o, weir_str **names, size_t *count);
/* Whether it has one; if not, o->err says so with the nearest name. */
bool operation_known(operation *o, weir_str name);
/* Its checkpoints and savepoints, to look at only; NULL with o->err. */
store *operation_store(operation *o, weir_str name);

/* "450 ms", "3.2 s", "3m 12s", "2h 5m", "3d 4h" */
const char *human_duration(int64_t ms, char out[32]);
/* The time since then; "-" if that is unknown. */
const char *human_age(int64_t us, char out[32]);
/* "2026-01-01T12:00:00Z" */
const char *time_text(int64_t us, char out[32]);
/* "periodic", "restore", "savepoint", "final" */
const char *checkpoint_kind_name(checkpoint_kind kind);

#endif
