/*
 * weir plan: how a manifest will run.
 */
#include <stdio.h>

#include "cli/cli.h"

enum { A_DOT, A_JSON, A_DEFAULTS, A_SET, A_PROPERTIES, A_COUNT };

static int show_plan(int argc, char **argv) {
    arg args[A_COUNT] = {[A_DOT] = {.name = "--dot", .kind = ARG_FLAG},
                         [A_JSON] = {.name = "--json", .kind = ARG_FLAG},
                         [A_DEFAULTS] = {.name = "--defaults", .kind = ARG_FLAG},
                         [A_SET] = {.name = "--set", .kind = ARG_LIST},
                         [A_PROPERTIES] = {.name = "--properties", .kind = ARG_LIST}};
    const char *words[ARGS_MAX];
    size_t count;
    if (!args_parse("plan", argc, argv, args, A_COUNT, words, &count)) return EXIT_USAGE;
    if (count != 1 || (args[A_DOT].set && args[A_JSON].set)) {
        args_free(args, A_COUNT);
        return usage_error("plan", "name one manifest, and at most one of --dot and --json");
    }
    loaded l;
    load_manifest(words[0], &args[A_SET], &args[A_PROPERTIES], &l);
    if (l.diags != NULL) diags_print(l.diags, stderr);
    load_print_unknown(&l, stderr);
    int status = EXIT_CONFIG;
    if (l.plan != NULL) {
        buf out;
        buf_init(&out, SIZE_MAX / 2);
        if (args[A_DOT].set) {
            plan_dot(l.plan, &out);
        } else if (args[A_JSON].set) {
            plan_json(l.plan, args[A_DEFAULTS].set, &out);
        } else {
            plan_print(l.plan, args[A_DEFAULTS].set, &out);
        }
        fwrite(out.data, 1, out.len, stdout);
        buf_free(&out);
        status = EXIT_OK;
    }
    load_free(&l);
    args_free(args, A_COUNT);
    return status;
}

const command command_plan = {
    "plan", "show stages, tasks, pass-through, delivery and memory of a manifest",
    "usage: weir plan MANIFEST [--dot | --json] [--defaults] [--set GROUP.KEY=VALUE]\n"
    "                 [--properties FILE]\n"
    "\n"
    "Shows how the manifest will run: which nodes share a thread, where records are decoded\n"
    "and why, where their bytes travel untouched, what delivery is promised, and what memory\n"
    "is guaranteed to whom.\n"
    "\n"
    "  --dot        a graph for graphviz\n"
    "  --json       for scripts\n"
    "  --defaults   also every default that was applied\n"
    "\n"
    "example:\n"
    "  weir plan clicks.yaml --dot | dot -Tsvg > clicks.svg\n"
    "\n"
    "exit status: 0 ok, 78 the manifest is wrong, 2 wrong usage\n",
    show_plan};
