/*
 * weir check: everything that can be known of manifests without moving data; with --connect also
 * what credentials and endpoints say.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/os.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/fetch.h"
#include "runtime/live_check.h"

#define TIMEOUT_NS (10 * CLOCK_NS_PER_S)

enum { A_JSON, A_SET, A_PROPERTIES, A_CONNECT, A_TIMEOUT, A_COUNT };

typedef struct checking {
    arg args[A_COUNT];
    const char *words[ARGS_MAX];
    size_t count;
    int64_t timeout_ns;
    int status; /* of the whole: the gravest */
    buf json;
    bool first;  /* of the findings of one manifest */
    bool failed; /* something of this manifest is wrong */
} checking;

/* ---- signals: what was fetched into files is removed whatever happens ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int number) {
    signalled = number;
}

static bool interrupted(void *opaque) {
    (void)opaque;
    return signalled != 0;
}

static void catch_signals(void) {
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) sigaction(caught[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

/* ---- what was found ---- */

/* Configuration before trouble: what has to change is not found by trying again. */
static void note_failure(checking *c, bool lasting) {
    c->failed = true;
    if (c->status != EXIT_CONFIG) c->status = lasting ? EXIT_CONFIG : EXIT_FAILED;
}

static void json_member(buf *out, const char *name, weir_str value) {
    if (value.len == 0) return;
    buf_printf(out, ",\"%s\":", name);
    buf_append_json(out, value);
}

static const char *kind_word(const live_finding *f, const char *format) {
    if (f->format) return format;
    if (f->node->kind == WEIR_KIND_SOURCE) return "source";
    return f->node->kind == WEIR_KIND_TRANSFORM ? "transform" : "sink";
}

static void finding_json(checking *c, const live_finding *f) {
    buf *out = &c->json;
    buf_append_z(out, c->first ? "{\"node\":" : ",{\"node\":");
    c->first = false;
    buf_append_json(out, f->node->name);
    json_member(out, "kind", str_of(kind_word(f, "format")));
    json_member(out, "type", f->component);
    buf_printf(out, ",\"ok\":%s", f->status >= 0 ? "true" : "false");
    if (f->nothing) buf_append_z(out, ",\"tried\":false");
    json_member(out, "text", f->text);
    if (f->status < 0) {
        json_member(out, "status", str_of(error_status_name(f->status)));
        json_member(out, "code", error_get_detail(f->error, WEIR_DETAIL_VENDOR_CODE));
        json_member(out, "http_status", error_get_detail(f->error, WEIR_DETAIL_HTTP_STATUS));
        json_member(out, "request_id", error_get_detail(f->error, WEIR_DETAIL_REQUEST_ID));
        json_member(out, "hint", error_get_detail(f->error, WEIR_DETAIL_HINT));
    }
    buf_append_z(out, "}");
}

/* One line, whatever a service has put into its text. */
static void print_safe(FILE *out, weir_str s) {
    size_t len, i = 0;
    while (i < s.len) {
        char piece[STR_ESCAPE_MAX];
        i = str_escape_next(s, i, piece, &len);
        fwrite(piece, 1, len, out);
    }
}

static void finding_print(const live_finding *f) {
    FILE *out = f->status >= 0 ? stdout : stderr;
    fflush(stdout); /* in the order of things, where both are one terminal */
    fprintf(out, "%.*s %s '%.*s': %s", STR_FMT(f->component), kind_word(f, "format of"),
            STR_FMT(f->node->name), f->status >= 0 ? "" : "error: ");
    print_safe(out, f->text);
    fputc('\n', out);
    weir_str hint = error_get_detail(f->error, WEIR_DETAIL_HINT);
    if (f->status >= 0 || hint.len == 0) return;
    fputs("  hint: ", out);
    print_safe(out, hint);
    fputc('\n', out);
}

static void found(void *opaque, const live_finding *f) {
    checking *c = opaque;
    if (f->status < 0) note_failure(c, failure_is_lasting(f->status, error_flags(f->error)));
    if (c->args[A_JSON].set)
        finding_json(c, f);
    else
        finding_print(f);
}

/* ---- one manifest ---- */

/* Where references put files, for this manifest; it is removed with them. NULL after a message. */
static bool make_folder(char out[4096]) {
    const char *parent = os_env("TMPDIR", true);
    char why[128];
    int n = snprintf(out, 4096, "%s/weir-check-XXXXXX", parent != NULL ? parent : "/tmp");
    if (n < 4096 && out[0] == '/' && mkdtemp(out) != NULL) return true;
    fprintf(stderr, "weir check: cannot make a folder %s: %s\n", out,
            os_strerror(errno, why, sizeof why));
    return false;
}

/* Values of references in their places; false if the manifest is not right with them. */
static bool fetch_values(checking *c, const loaded *l, const char *folder, loaded *fetched) {
    const fetch_config config = {.plugins = l->plugins,
                                 .folder = folder,
                                 .timeout_ns = c->timeout_ns,
                                 .interrupted = interrupted};
    fetcher *f = fetcher_new(&config);
    if (f == NULL) return false;
    load_fetched(l, f, fetched);
    if (fetched->plan == NULL) {
        size_t errors = fetched->diags != NULL ? diags_errors(fetched->diags) : 0;
        note_failure(c, errors != fetcher_may_pass(f));
    }
    fetcher_free(f);
    return fetched->plan != NULL;
}

static void print_fetched(const loaded *l) {
    for (size_t i = 0; i < l->pipeline->reference_count; i++) {
        printf("reference ");
        print_safe(stdout, l->pipeline->references[i].text);
        printf(": fetched\n");
    }
}

/* The findings, as the members of a list where --json is. False if `l` must not be freed. */
static bool connect(checking *c, const loaded *l) {
    const live_check_config config = {.plan = l->plan,
                                      .plugins = l->plugins,
                                      .timeout_ns = c->timeout_ns,
                                      .interrupted = interrupted,
                                      .found = found,
                                      .opaque = c};
    weir_error *err = error_new();
    bool left_behind;
    weir_status status = live_check(&config, &left_behind, err);
    if (status == WEIR_E_CANCELLED || signalled != 0) {
        fprintf(stderr, "weir check: interrupted\n");
        note_failure(c, false);
    } else if (status != WEIR_OK) {
        fprintf(stderr, "weir check: %s\n", error_text(err));
        note_failure(c, false);
    }
    error_free(err);
    return !left_behind;
}

static void unknown_json(const loaded *l, buf *out) {
    buf_append_z(out, ",\"unknown\":[");
    for (size_t i = 0; i < l->pipeline->reference_count; i++) {
        const plugin_reference *r = &l->pipeline->references[i];
        buf_append_z(out, i > 0 ? ",{\"reference\":" : "{\"reference\":");
        buf_append_json(out, r->text);
        json_member(out, "file", str_of(r->at.file));
        buf_printf(out, ",\"line\":%u,\"column\":%u}", r->at.line, r->at.column);
    }
    buf_append_z(out, "]");
}

static void fetched_json(const loaded *l, buf *out) {
    buf_append_z(out, ",\"fetched\":[");
    for (size_t i = 0; i < l->pipeline->reference_count; i++) {
        if (i > 0) buf_append_z(out, ",");
        buf_append_json(out, l->pipeline->references[i].text);
    }
    buf_append_z(out, "]");
}

static void check_one(checking *c, const char *path) {
    bool json = c->args[A_JSON].set, live = c->args[A_CONNECT].set;
    loaded l, fetched = {.again = true};
    char folder[4096] = "";
    c->failed = false;
    c->first = true;
    load_manifest(path, &c->args[A_SET], &c->args[A_PROPERTIES], &l);
    if (l.plan == NULL) note_failure(c, true);
    bool refers = l.plan != NULL && l.pipeline->reference_count > 0;
    const loaded *whole = &l;
    if (live && refers) {
        if (!make_folder(folder)) {
            note_failure(c, false);
        } else if (fetch_values(c, &l, folder, &fetched) && !json) {
            print_fetched(&fetched);
        }
        whole = &fetched;
    }
    if (json) {
        buf_append_z(&c->json, "{\"file\":");
        buf_append_json(&c->json, str_of(path));
        buf_append_z(&c->json, ",\"diagnostics\":");
        if (whole->diags != NULL)
            diags_json(whole->diags, &c->json);
        else
            buf_append_z(&c->json, "[]");
        if (refers && !live) unknown_json(&l, &c->json);
        if (refers && live && whole->plan != NULL) fetched_json(whole, &c->json);
        if (live) buf_append_z(&c->json, ",\"connect\":[");
    } else if (whole->diags != NULL) {
        diags_print(whole->diags, stderr);
    }
    bool ours = !live || whole->plan == NULL || connect(c, whole);
    if (json) {
        buf_printf(&c->json, "%s,\"ok\":%s}", live ? "]" : "", c->failed ? "false" : "true");
    } else if (!c->failed) {
        if (!live) load_print_unknown(&l, stderr);
        printf("%s: ok\n", path);
    }
    if (ours) {
        load_free(&fetched);
        load_free(&l);
    }
    if (folder[0] != '\0') fetch_remove_folder(folder);
}

static int check(int argc, char **argv) {
    checking c = {.args = {[A_JSON] = {.name = "--json", .kind = ARG_FLAG},
                           [A_SET] = {.name = "--set", .kind = ARG_LIST},
                           [A_PROPERTIES] = {.name = "--properties", .kind = ARG_LIST},
                           [A_CONNECT] = {.name = "--connect", .kind = ARG_FLAG},
                           [A_TIMEOUT] = {.name = "--timeout", .kind = ARG_VALUE}},
                  .timeout_ns = TIMEOUT_NS};
    if (!args_parse("check", argc, argv, c.args, A_COUNT, c.words, &c.count)) return EXIT_USAGE;
    const char *timeout = c.args[A_TIMEOUT].value;
    int wrong = EXIT_OK;
    if (c.count == 0) {
        wrong = usage_error("check", "name at least one manifest");
    } else if (c.args[A_TIMEOUT].set && !c.args[A_CONNECT].set) {
        wrong = usage_error("check", "--timeout belongs to --connect");
    } else if (c.args[A_TIMEOUT].set &&
               (!str_to_duration_ns(str_of(timeout), &c.timeout_ns) || c.timeout_ns <= 0 ||
                c.timeout_ns > 3600 * CLOCK_NS_PER_S)) {
        wrong = usage_error("check", "--timeout wants a duration such as 10s, at most 1h, not '%s'",
                            timeout);
    }
    if (wrong != EXIT_OK) {
        args_free(c.args, A_COUNT);
        return wrong;
    }
    if (c.args[A_CONNECT].set) catch_signals();
    buf_init(&c.json, SIZE_MAX / 2);
    buf_append_z(&c.json, "[");
    for (size_t w = 0; w < c.count && signalled == 0; w++) {
        if (w > 0) buf_append_z(&c.json, ",");
        check_one(&c, c.words[w]);
    }
    buf_append_z(&c.json, "]\n");
    if (c.args[A_JSON].set) fwrite(c.json.data, 1, c.json.len, stdout);
    buf_free(&c.json);
    args_free(c.args, A_COUNT);
    return c.status;
}

const command command_check = {
    "check", "say everything that is wrong with manifests, without moving data",
    "usage: weir check MANIFEST... [--set GROUP.KEY=VALUE] [--properties FILE] [--json]\n"
    "                  [--connect [--timeout DURATION]]\n"
    "\n"
    "Reads each manifest and reports every error and warning it finds, with file, line and\n"
    "column, what was expected, and the nearest match for a misspelt word. Nothing is opened\n"
    "and no data moves; option rules of plugins are included. References that plugins resolve,\n"
    "such as ${secretsmanager:ID:FIELD}, are not fetched: how they are written is checked, and\n"
    "what their values would be checked for is not.\n"
    "\n"
    "With --connect references are fetched, and credentials, endpoints and the names of streams\n"
    "are tried for real, a line each; still no data moves. A component that has nothing to try\n"
    "says so.\n"
    "\n"
    "  --set GROUP.KEY=VALUE   a run-time property, as for weir run\n"
    "  --properties FILE       properties from a YAML file or an application_properties.json\n"
    "  --connect               ask the services, too\n"
    "  --timeout DURATION      for each component and each reference (10s)\n"
    "  --json                  an array of {file, ok, diagnostics} on standard output; without\n"
    "                          --connect also `unknown`, with it `fetched` and `connect`, a\n"
    "                          list of {node, kind, type, ok, text} with status, code and hint\n"
    "\n"
    "example:\n"
    "  weir check clicks.yaml --set input.stream=clicks --connect\n"
    "\n"
    "exit status: 0 all manifests are right, 78 at least one is not (with --connect also:\n"
    "credentials, a permission, a name that does not exist), 1 a service could not be asked,\n"
    "2 wrong usage\n",
    check};
