/*
 * weir status: what pipelines do, and where those that do not run can go on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/operate.h"
#include "cli/status_text.h"

/* ---- a pipeline that does not run ---- */

static void head_json(weir_str name, const char *state, buf *out) {
    buf_append_z(out, "{\"pipeline\":");
    buf_append_json(out, name);
    buf_printf(out, ",\"state\":\"%s\"", state);
}

static void stopped_json(weir_str name, const store_entry *list, uint32_t count,
                         uint32_t savepoints, buf *out) {
    uint32_t newest = 0; /* that can be read */
    while (newest < count && !list[newest].readable) newest++;
    head_json(name, "stopped", out);
    if (newest < count) {
        const store_entry *e = &list[newest];
        int64_t age_us = clock_wall_us(&clock_system) - e->created_us;
        buf_printf(out,
                   ",\"checkpoint\":{\"epoch\":%" PRIu64 ",\"kind\":\"%s\",\"created_us\":%" PRId64
                   ",\"age_ms\":%" PRId64 ",\"bytes\":%" PRIu64 ",\"path\":",
                   e->epoch, checkpoint_kind_name(e->kind), e->created_us,
                   age_us > 0 ? age_us / 1000 : 0, e->bytes);
        buf_append_json(out, str_of(e->path));
        buf_append_char(out, '}');
    } else {
        buf_append_z(out, ",\"checkpoint\":null");
    }
    buf_printf(out, ",\"damaged\":%u,\"savepoints\":%u}", newest, savepoints);
}

static void unknown_json(operation *o, weir_str name, buf *out) {
    buf text;
    buf_init(&text, 65536);
    error_format(o->err, &text);
    head_json(name, "unknown", out);
    buf_append_z(out, ",\"error\":");
    buf_append_json(out, buf_str(&text));
    buf_append_char(out, '}');
    buf_free(&text);
}

/* What its state folder tells; false with o->err if there is none, or it may not be read. */
static bool look_at_state(operation *o, weir_str name, buf *out) {
    store_entry *list = NULL, *saved = NULL;
    uint32_t count = 0, saved_count = 0;
    store *s = operation_store(o, name);
    bool ok = s != NULL && store_list(s, false, &list, &count, o->err) == WEIR_OK &&
              store_list(s, true, &saved, &saved_count, o->err) == WEIR_OK;
    if (ok) stopped_json(name, list, count, saved_count, out);
    free(list);
    free(saved);
    store_close(s);
    return ok;
}

/* ---- one pipeline ---- */

/* Appends its status as a JSON object; false if it does not run or cannot be asked. `named`: by the
 * operator, who may have misspelt it: then nothing is appended, and o->err tells. */
static bool ask_one(operation *o, weir_str name, bool named, uint32_t splits, buf *out) {
    buf request, answer;
    request_begin(&request, "status");
    if (splits != UINT32_MAX) buf_printf(&request, ",\"splits\":%u", splits);
    buf_append_char(&request, '}');
    buf_init(&answer, SIZE_MAX / 2);
    int64_t deadline_ns = clock_mono_ns(&clock_system) + STATUS_TIMEOUT_S * CLOCK_NS_PER_S;
    weir_json_doc *doc = operation_ask(o, name, buf_str(&request), deadline_ns, &answer);
    bool runs = doc != NULL;
    if (runs) {
        buf_append_str(out, buf_str(&answer));
    } else if (error_status(o->err) != WEIR_E_NOT_FOUND) {
        unknown_json(o, name, out);
    } else {
        weir_error *not_running = error_new();
        error_copy(not_running, o->err);
        if (named && !operation_known(o, name)) {
            error_copy(o->err, not_running); /* names the nearest one that runs */
        } else if (!look_at_state(o, name, out)) {
            unknown_json(o, name, out);
        }
        error_free(not_running);
    }
    weir_json_free(doc);
    buf_free(&answer);
    buf_free(&request);
    return runs;
}

static void show(operation *o, weir_str json, bool first, bool as_json, buf *out) {
    if (as_json) {
        buf_append_z(out, first ? "[" : ",\n ");
        buf_append_str(out, json);
        return;
    }
    weir_json_doc *doc = weir_json_read(json, 0, NULL);
    if (!first) buf_append_char(out, '\n');
    if (doc != NULL) status_text(weir_json_root(doc), o->memory, out);
    weir_json_free(doc);
}

static int status_of(operation *o, const weir_str *names, size_t count, bool named, bool json) {
    int status = EXIT_OK;
    bool first = true;
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        buf one;
        buf_init(&one, SIZE_MAX / 2);
        bool runs = ask_one(o, names[i], named, json ? UINT32_MAX : STATUS_SPLITS, &one);
        if (one.len > 0) {
            show(o, buf_str(&one), first, json, &out);
            first = false;
        } else {
            operation_failed(o);
        }
        if (!runs && named) status = EXIT_FAILED;
        buf_free(&one);
    }
    if (json) buf_append_z(&out, first ? "[]\n" : "]\n");
    if (!buf_ok(&out) || fwrite(out.data != NULL ? out.data : "", 1, out.len, stdout) != out.len ||
        fflush(stdout) != 0) {
        error_set(o->err, WEIR_E_IO, 0, "cannot write to standard output");
        status = operation_failed(o);
    }
    buf_free(&out);
    return status;
}

static int status_all(operation *o, bool json) {
    weir_str *names;
    size_t count;
    if (operation_pipelines(o, &names, &count) != WEIR_OK) return operation_failed(o);
    if (count == 0 && !json) {
        fprintf(stderr, "no pipeline has run under %s; WEIR_STATE says where to look\n",
                state_root(o->memory, NULL));
        return EXIT_OK;
    }
    return status_of(o, names, count, false, json);
}

static int status(int argc, char **argv) {
    arg args[] = {{.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    weir_str names[ARGS_MAX];
    size_t count;
    if (!args_parse("status", argc, argv, args, 1, words, &count)) return EXIT_USAGE;
    for (size_t i = 0; i < count; i++)
        if (!operation_name("status", words[i], &names[i])) return EXIT_USAGE;
    operation o;
    if (!operation_begin(&o, "status")) return EXIT_FAILED;
    int code =
        count > 0 ? status_of(&o, names, count, true, args[0].set) : status_all(&o, args[0].set);
    operation_end(&o);
    return code;
}

const command command_status = {
    "status", "show what pipelines do",
    "usage: weir status [PIPELINE ...] [--json]\n"
    "\n"
    "For each pipeline: its state and how long it has run, restarts and the last failure, what\n"
    "each node took in and gave out, splits with position and lag (the first twenty), and the\n"
    "last checkpoints: size, time until every task had acknowledged and until the file was\n"
    "durable, the share of that which was the disk's sync, and when all was committed. For one\n"
    "that does not run: the checkpoint that the next run begins with.\n"
    "\n"
    "PIPELINE is the `name` of a manifest. Without one: every pipeline that has a folder under\n"
    "WEIR_STATE.\n"
    "\n"
    "  --json   an array of objects, with all splits\n"
    "\n"
    "examples:\n"
    "  weir status\n"
    "  weir status clicks --json | jq '.[0].splits[] | {split, lag_ms}'\n"
    "\n"
    "exit status: 0 ok, 1 a pipeline that was named does not run or cannot be asked, 2 wrong\n"
    "usage\n",
    status};
