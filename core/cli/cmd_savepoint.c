/*
 * weir savepoint: takes savepoints of running pipelines; shows and deletes those there are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/operate.h"
#include "cli/table.h"

enum { A_TIMEOUT, A_JSON, A_COUNT };

static void entry_json(const store_entry *e, weir_str of, buf *out) {
    buf_append_z(out, "{\"pipeline\":");
    buf_append_json(out, of);
    buf_append_z(out, ",\"name\":");
    buf_append_json(out, str_of(e->name));
    buf_append_z(out, ",\"path\":");
    buf_append_json(out, str_of(e->path));
    buf_printf(out, ",\"bytes\":%" PRIu64 ",\"readable\":%s", e->bytes,
               e->readable ? "true" : "false");
    if (e->readable) {
        buf_printf(out, ",\"epoch\":%" PRIu64 ",\"kind\":\"%s\",\"created_us\":%" PRId64, e->epoch,
                   checkpoint_kind_name(e->kind), e->created_us);
    } else {
        buf_append_z(out, ",\"why\":");
        buf_append_json(out, str_of(e->why));
    }
    buf_append_char(out, '}');
}

static bool print(operation *o, buf *out) {
    bool ok = buf_ok(out) &&
              fwrite(out->data != NULL ? out->data : "", 1, out->len, stdout) == out->len &&
              fflush(stdout) == 0;
    if (!ok) error_set(o->err, WEIR_E_IO, 0, "cannot write to standard output");
    buf_free(out);
    return ok;
}

/* ---- create ---- */

/* What the store says of the new one; the worker told its epoch only. */
static int tell_created(operation *o, weir_str of, weir_str name, int64_t epoch, bool json) {
    store_entry *list = NULL;
    const store_entry *e = NULL;
    uint32_t count = 0;
    store *s = operation_store(o, of);
    if (s != NULL) (void)store_list(s, true, &list, &count, o->err);
    for (uint32_t i = 0; i < count && e == NULL; i++)
        if (str_eq_z(name, list[i].name)) e = &list[i];
    buf out;
    buf_init(&out, 1 << 20);
    char size[32];
    if (e == NULL) { /* taken, and gone again */
        buf_printf(&out, json ? "{\"epoch\":%" PRId64 "}\n" : "epoch %" PRId64 "\n", epoch);
    } else if (json) {
        entry_json(e, of, &out);
        buf_append_char(&out, '\n');
    } else {
        buf_printf(&out, "savepoint %.*s of %.*s: epoch %" PRId64 ", %s, %s\n", STR_FMT(name),
                   STR_FMT(of), epoch, human_bytes((double)e->bytes, size), e->path);
    }
    store_close(s);
    free(list);
    return print(o, &out) ? EXIT_OK : operation_failed(o);
}

static int create(operation *o, weir_str of, weir_str name, const arg *args, int64_t deadline_ns) {
    buf request;
    request_begin(&request, "savepoint");
    buf_append_z(&request, ",\"name\":");
    buf_append_json(&request, name);
    buf_append_char(&request, '}');
    weir_json_doc *doc = operation_ask(o, of, buf_str(&request), deadline_ns, NULL);
    buf_free(&request);
    if (doc == NULL) {
        if (error_status(o->err) == WEIR_E_TIMEOUT) {
            error_set(o->err, WEIR_E_TIMEOUT, 0, "there is no savepoint yet");
            error_hint(o->err,
                       "it may still come: weir savepoint list %.*s; its time is "
                       "bounded by settings.checkpoint.timeout",
                       STR_FMT(of));
        }
        return operation_failed(o);
    }
    int64_t epoch = weir_json_get_i64(weir_json_root(doc), "epoch", 0);
    weir_json_free(doc);
    return tell_created(o, of, name, epoch, args[A_JSON].set);
}

/* ---- list, show, delete ---- */

static void list_text(operation *o, const store_entry *list, uint32_t count, buf *out) {
    table t = {.memory = o->memory, .right = 1u << 1 | 1u << 3};
    TABLE_ROW(&t, "NAME", "EPOCH", "KIND", "SIZE", "CREATED", "");
    for (uint32_t i = 0; i < count; i++) {
        const store_entry *e = &list[i];
        char epoch[32], size[32], when[32];
        snprintf(epoch, sizeof epoch, "%" PRIu64, e->epoch);
        TABLE_ROW(&t, e->name, e->readable ? epoch : "-",
                  e->readable ? checkpoint_kind_name(e->kind) : "damaged",
                  human_bytes((double)e->bytes, size),
                  time_text(e->readable ? e->created_us : 0, when), e->readable ? "" : e->why);
    }
    table_print(&t, 0, out);
}

static int list(operation *o, weir_str of, bool json) {
    store_entry *entries = NULL;
    uint32_t count = 0;
    store *s = operation_known(o, of) ? operation_store(o, of) : NULL;
    if (s == NULL || store_list(s, true, &entries, &count, o->err) != WEIR_OK) {
        store_close(s);
        return operation_failed(o);
    }
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (json) {
        for (uint32_t i = 0; i < count; i++) {
            buf_append_char(&out, i == 0 ? '[' : ',');
            entry_json(&entries[i], of, &out);
        }
        buf_append_z(&out, count == 0 ? "[]\n" : "]\n");
    } else if (count > 0) {
        list_text(o, entries, count, &out);
    } else {
        fprintf(stderr, "%.*s has no savepoints\n", STR_FMT(of));
    }
    store_close(s);
    free(entries);
    return print(o, &out) ? EXIT_OK : operation_failed(o);
}

static int show(operation *o, weir_str of, weir_str name, bool json) {
    checkpoint *c = NULL;
    store *s = operation_known(o, of) ? operation_store(o, of) : NULL;
    if (s == NULL || store_load(s, name, &c, o->err) != WEIR_OK) {
        store_close(s);
        return operation_failed(o);
    }
    int status = state_show_file("savepoint", c->path.ptr, json);
    checkpoint_free(c);
    store_close(s);
    return status;
}

static int delete_one(operation *o, weir_str of, weir_str name, bool json) {
    store *s = operation_known(o, of) ? operation_store(o, of) : NULL;
    weir_status status = s != NULL ? store_delete_savepoint(s, name, o->err) : error_status(o->err);
    store_close(s);
    if (status != WEIR_OK) return operation_failed(o);
    if (json) {
        buf out;
        buf_init(&out, 1 << 16);
        buf_append_z(&out, "{\"pipeline\":");
        buf_append_json(&out, of);
        buf_append_z(&out, ",\"deleted\":");
        buf_append_json(&out, name);
        buf_append_z(&out, "}\n");
        return print(o, &out) ? EXIT_OK : operation_failed(o);
    }
    printf("savepoint %.*s of %.*s is deleted\n", STR_FMT(name), STR_FMT(of));
    return EXIT_OK;
}

/* ---- the command ---- */

static int savepoint(int argc, char **argv) {
    static const char *const verbs[] = {"create", "list", "show", "delete"};
    enum { V_CREATE, V_LIST, V_SHOW, V_DELETE, V_COUNT };
    arg args[A_COUNT] = {[A_TIMEOUT] = {.name = "--timeout", .kind = ARG_VALUE},
                         [A_JSON] = {.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count, verb = 0;
    if (!args_parse("savepoint", argc, argv, args, A_COUNT, words, &count)) return EXIT_USAGE;
    if (count == 0) return usage_error("savepoint", "say create, list, show or delete");
    while (verb < V_COUNT && strcmp(words[0], verbs[verb]) != 0) verb++;
    if (verb == V_COUNT) {
        return usage_error("savepoint", "say create, list, show or delete, not '%s'", words[0]);
    }
    if (verb == V_LIST && count != 2) return usage_error("savepoint", "list: name one pipeline");
    if (verb != V_LIST && count != 3) {
        return usage_error("savepoint", "%s: name a pipeline and a savepoint", verbs[verb]);
    }
    weir_str of, name = count == 3 ? str_of(words[2]) : STR("");
    int64_t deadline_ns;
    if (!operation_name("savepoint", words[1], &of) ||
        !operation_deadline(&args[A_TIMEOUT], "savepoint", &deadline_ns)) {
        return EXIT_USAGE;
    }
    if (args[A_TIMEOUT].set && verb != V_CREATE) {
        return usage_error("savepoint", "--timeout belongs to create");
    }
    operation o;
    if (!operation_begin(&o, "savepoint")) return EXIT_FAILED;
    int status;
    if (verb != V_LIST && store_check_name(name, o.err) != WEIR_OK) {
        operation_failed(&o);
        status = EXIT_USAGE;
    } else {
        status = verb == V_CREATE ? create(&o, of, name, args, deadline_ns)
                 : verb == V_LIST ? list(&o, of, args[A_JSON].set)
                 : verb == V_SHOW ? show(&o, of, name, args[A_JSON].set)
                                  : delete_one(&o, of, name, args[A_JSON].set);
    }
    operation_end(&o);
    return status;
}

const command command_savepoint = {
    "savepoint", "create, list, show and delete savepoints",
    "usage: weir savepoint create PIPELINE NAME [--timeout DURATION] [--json]\n"
    "       weir savepoint list PIPELINE [--json]\n"
    "       weir savepoint show PIPELINE NAME [--json]\n"
    "       weir savepoint delete PIPELINE NAME [--json]\n"
    "\n"
    "A savepoint is a checkpoint with a name that nothing deletes but you. At the savepoint sinks\n"
    "complete what they have open, so it leaves nothing half done behind; the pipeline goes on.\n"
    "Begin from it with `weir run MANIFEST --from NAME`, or anywhere else with the path of its\n"
    "file. PIPELINE is the `name` of the manifest.\n"
    "\n"
    "  create  asks the running pipeline, and waits until the savepoint is durable\n"
    "  list    those there are; the pipeline need not run, as for show and delete\n"
    "  show    what is in it, as `weir state show` prints it\n"
    "  delete  for good\n"
    "\n"
    "  --timeout DURATION  create: wait no longer (30s, 5m)\n"
    "  --json              for scripts\n"
    "\n"
    "examples:\n"
    "  weir savepoint create clicks before-upgrade\n"
    "  weir run clicks.yaml --from before-upgrade\n"
    "\n"
    "exit status: 0 ok, 1 failed, or there is no such pipeline or savepoint, 2 wrong usage\n",
    savepoint};
