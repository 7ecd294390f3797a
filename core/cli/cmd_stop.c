/*
 * weir stop: ends a running pipeline, and waits until it has ended.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/operate.h"

enum { A_SAVEPOINT, A_FORCE, A_TIMEOUT, A_JSON, A_COUNT };

/* Between looks whether it is gone; what it still does then takes milliseconds. */
#define LOOK_NS (20 * CLOCK_NS_PER_MS)

/* The answer comes when the last epoch is committed; worker and socket end a moment later, and only
 * then may the next run begin. True when they have; false: the deadline passed. */
static bool wait_gone(operation *o, weir_str name, int64_t deadline_ns) {
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (;;) {
        weir_json_doc *doc =
            operation_ask(o, name, STR("{\"do\":\"status\",\"splits\":0}"), deadline_ns, NULL);
        if (doc == NULL && error_status(o->err) == WEIR_E_NOT_FOUND) return true;
        if (doc == NULL && error_status(o->err) == WEIR_E_TIMEOUT) return false;
        weir_str state =
            doc != NULL ? weir_json_get_str(weir_json_root(doc), "state", "") : STR("");
        /* One that runs is the next one already. */
        bool next = doc != NULL && !str_eq_z(state, "stopping") && !str_eq_z(state, "ended");
        weir_json_free(doc);
        if (next) return true;
        if (clock_mono_ns(&clock_system) >= deadline_ns) return false;
        nanosleep(&pause, NULL);
    }
}

static void tell(const weir_value *answer, weir_str name, bool force) {
    int64_t epoch = answer != NULL ? weir_json_get_i64(answer, "epoch", 0) : 0;
    weir_str savepoint = answer != NULL ? weir_json_get_str(answer, "savepoint", "") : STR("");
    if (force) {
        printf("%.*s stopped by force: what was not delivered is read again by the next run\n",
               STR_FMT(name));
    } else if (savepoint.len > 0) {
        printf("%.*s stopped; epoch %" PRId64 ", savepoint %.*s\n", STR_FMT(name), epoch,
               STR_FMT(savepoint));
    } else if (epoch > 0) {
        printf("%.*s stopped; epoch %" PRId64 "\n", STR_FMT(name), epoch);
    } else {
        printf("%.*s stopped\n", STR_FMT(name));
    }
}

/* Whether the pipeline has ended, whatever else the answer says. */
static bool has_ended(weir_str answer) {
    weir_json_doc *doc = weir_json_read(answer, 0, NULL);
    const weir_value *root = doc != NULL ? weir_json_root(doc) : NULL;
    bool ended = root != NULL && (str_eq_z(weir_json_get_str(root, "state", ""), "ended") ||
                                  weir_json_get(root, "epoch") != NULL);
    weir_json_free(doc);
    return ended;
}

static int stop_one(operation *o, weir_str name, const arg *args, int64_t deadline_ns) {
    buf request, raw;
    bool force = args[A_FORCE].set;
    request_begin(&request, "stop");
    if (args[A_SAVEPOINT].set) {
        buf_append_z(&request, ",\"savepoint\":");
        buf_append_json(&request, str_of(args[A_SAVEPOINT].value));
    }
    if (force) buf_append_z(&request, ",\"force\":true");
    buf_append_char(&request, '}');
    buf_init(&raw, SIZE_MAX / 2);
    weir_json_doc *doc = operation_ask(o, name, buf_str(&request), deadline_ns, &raw);
    weir_status status = doc != NULL ? WEIR_OK : error_status(o->err);
    bool ended = doc != NULL || has_ended(buf_str(&raw));
    if (doc != NULL && args[A_SAVEPOINT].set &&
        weir_json_get_str(weir_json_root(doc), "savepoint", "").len == 0) {
        status = error_set(o->err, WEIR_E_NOT_FOUND, 0,
                           "%.*s ended by itself before the savepoint was taken", STR_FMT(name));
        error_hint(o->err, "its final checkpoint is there: weir status %.*s", STR_FMT(name));
        weir_json_free(doc);
        doc = NULL;
    }
    if (status == WEIR_E_TIMEOUT) {
        error_set(o->err, WEIR_E_TIMEOUT, 0, "%.*s has not ended within --timeout", STR_FMT(name));
        error_hint(o->err, "it goes on stopping; weir status shows it, and --force does not wait "
                           "for what is under way");
    }
    if (args[A_JSON].set && raw.len > 0) printf("%.*s\n", STR_FMT(buf_str(&raw)));
    int result = EXIT_FAILED;
    if (doc != NULL || (force && ended)) {
        result = EXIT_OK;
        if (!args[A_JSON].set) tell(doc != NULL ? weir_json_root(doc) : NULL, name, force);
    } else {
        operation_failed(o);
    }
    if (ended && !wait_gone(o, name, deadline_ns)) {
        error_set(o->err, WEIR_E_TIMEOUT, 0, "%.*s has stopped, but its process has not ended",
                  STR_FMT(name));
        result = operation_failed(o);
    }
    weir_json_free(doc);
    buf_free(&raw);
    buf_free(&request);
    return result;
}

static int stop(int argc, char **argv) {
    arg args[A_COUNT] = {[A_SAVEPOINT] = {.name = "--savepoint", .kind = ARG_VALUE},
                         [A_FORCE] = {.name = "--force", .kind = ARG_FLAG},
                         [A_TIMEOUT] = {.name = "--timeout", .kind = ARG_VALUE},
                         [A_JSON] = {.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count;
    int64_t deadline_ns;
    weir_str name;
    if (!args_parse("stop", argc, argv, args, A_COUNT, words, &count)) return EXIT_USAGE;
    if (count != 1) return usage_error("stop", "name one pipeline");
    if (args[A_SAVEPOINT].set && args[A_FORCE].set)
        return usage_error("stop", "a forced stop takes no savepoint: choose one");
    if (!operation_name("stop", words[0], &name) ||
        !operation_deadline(&args[A_TIMEOUT], "stop", &deadline_ns)) {
        return EXIT_USAGE;
    }
    operation o;
    if (!operation_begin(&o, "stop")) return EXIT_FAILED;
    int status = EXIT_FAILED;
    if (args[A_SAVEPOINT].set &&
        store_check_name(str_of(args[A_SAVEPOINT].value), o.err) != WEIR_OK) {
        operation_failed(&o);
        status = EXIT_USAGE;
    } else {
        status = stop_one(&o, name, args, deadline_ns);
    }
    operation_end(&o);
    return status;
}

const command command_stop = {
    "stop", "end a running pipeline, with a savepoint if wanted",
    "usage: weir stop PIPELINE [--savepoint NAME | --force] [--timeout DURATION] [--json]\n"
    "\n"
    "Stops reading, delivers what is under way, takes a final checkpoint, and waits until the\n"
    "pipeline has ended: then the next run may begin. PIPELINE is the `name` of its manifest.\n"
    "A pipeline that waits for a restart ends where its last checkpoint is.\n"
    "\n"
    "  --savepoint NAME    the final checkpoint also becomes a savepoint, which nothing deletes:\n"
    "                      weir run MANIFEST --from NAME\n"
    "  --force             do not deliver what is under way: the next run reads it again\n"
    "  --timeout DURATION  wait no longer (30s, 5m); the pipeline goes on stopping, within its\n"
    "                      settings.stop_timeout\n"
    "  --json              the answer as JSON on standard output\n"
    "\n"
    "examples:\n"
    "  weir stop clicks\n"
    "  weir stop clicks --savepoint before-upgrade --timeout 2m\n"
    "\n"
    "exit status: 0 everything that was read is delivered and committed (or --force said that it\n"
    "need not be), 1 not so, or no such pipeline runs, 2 wrong usage\n",
    stop};
