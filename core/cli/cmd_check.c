/*
 * weir check: everything that can be known of manifests without moving data.
 */
#include <stdio.h>

#include "cli/cli.h"

static int check(int argc, char **argv) {
    arg args[] = {{.name = "--json", .kind = ARG_FLAG},
                  {.name = "--set", .kind = ARG_LIST},
                  {.name = "--properties", .kind = ARG_LIST}};
    const char *words[ARGS_MAX];
    size_t count;
    if (!args_parse("check", argc, argv, args, 3, words, &count)) return EXIT_USAGE;
    if (count == 0) {
        args_free(args, 3);
        return usage_error("check", "name at least one manifest");
    }
    int status = EXIT_OK;
    buf json;
    buf_init(&json, SIZE_MAX / 2);
    buf_append_z(&json, "[");
    for (size_t w = 0; w < count; w++) {
        loaded l;
        load_manifest(words[w], &args[1], &args[2], &l);
        if (l.plan == NULL) status = EXIT_CONFIG;
        if (args[0].set) {
            buf_append_z(&json, w == 0 ? "{\"file\":" : ",{\"file\":");
            buf_append_json(&json, (weir_str){words[w], __builtin_strlen(words[w])});
            buf_printf(&json, ",\"ok\":%s,\"diagnostics\":", l.plan != NULL ? "true" : "false");
            if (l.diags != NULL) diags_json(l.diags, &json);
            buf_append_z(&json, "}");
        } else {
            if (l.diags != NULL) diags_print(l.diags, stderr);
            if (l.plan != NULL) printf("%s: ok\n", words[w]);
        }
        load_free(&l);
    }
    buf_append_z(&json, "]\n");
    if (args[0].set) fwrite(json.data, 1, json.len, stdout);
    buf_free(&json);
    args_free(args, 3);
    return status;
}

const command command_check = {
    "check", "say everything that is wrong with manifests, without moving data",
    "usage: weir check MANIFEST... [--set GROUP.KEY=VALUE] [--properties FILE] [--json]\n"
    "\n"
    "Reads each manifest and reports every error and warning it finds, with file, line and\n"
    "column, what was expected, and the nearest match for a misspelt word. Nothing is opened\n"
    "and no data moves; option rules of plugins are included.\n"
    "\n"
    "  --set GROUP.KEY=VALUE   a run-time property, as for weir run\n"
    "  --properties FILE       properties from a YAML file or an application_properties.json\n"
    "  --json                  an array of {file, ok, diagnostics} on standard output\n"
    "\n"
    "example:\n"
    "  weir check clicks.yaml --set input.stream=clicks\n"
    "\n"
    "exit status: 0 all manifests are right, 78 at least one is not, 2 wrong usage\n",
    check};
