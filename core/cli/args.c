#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

int usage_error(const char *command_name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "weir %s: ", command_name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n  see: weir %s --help\n", command_name);
    va_end(args);
    return EXIT_USAGE;
}

static arg *find(arg *args, size_t count, weir_str name) {
    for (size_t a = 0; a < count; a++) {
        if (str_eq_z(name, args[a].name)) return &args[a];
    }
    return NULL;
}

static void unknown(const char *command_name, const arg *args, size_t count, weir_str name) {
    weir_str names[32];
    size_t n = 0;
    for (; n < count && n < 32; n++) names[n] = str_of(args[n].name);
    int near = str_nearest(name, names, n);
    if (near >= 0) {
        usage_error(command_name, "unknown option %.*s; did you mean %s?", STR_FMT(name),
                    args[near].name);
    } else {
        usage_error(command_name, "unknown option %.*s", STR_FMT(name));
    }
}

static bool take_value(arg *a, const char *value) {
    a->value = value;
    if (a->kind != ARG_LIST) return true;
    const char **values = realloc(a->values, (a->count + 1) * sizeof *values);
    if (values == NULL) return false;
    a->values = values;
    values[a->count++] = value;
    return true;
}

bool args_parse(const char *command_name, int argc, char **argv, arg *args, size_t arg_count,
                const char **words, size_t *word_count) {
    bool in_options = true;
    *word_count = 0;
    if (argc > ARGS_MAX) {
        usage_error(command_name, "more than %d words", ARGS_MAX);
        return false;
    }
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (in_options && strcmp(word, "--") == 0) {
            in_options = false;
            continue;
        }
        if (!in_options || word[0] != '-' || word[1] == '\0') { /* "-" is standard input */
            words[(*word_count)++] = word;
            continue;
        }
        const char *equals = strchr(word, '=');
        weir_str name = str_make(word, equals != NULL ? (size_t)(equals - word) : strlen(word));
        arg *a = find(args, arg_count, name);
        if (a == NULL) {
            unknown(command_name, args, arg_count, name);
            return false;
        }
        a->set = true;
        if (a->kind == ARG_FLAG) {
            if (equals == NULL) continue;
            usage_error(command_name, "%s takes no value", a->name);
            return false;
        }
        const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL || !take_value(a, value)) {
            usage_error(command_name, "%s wants a value", a->name);
            return false;
        }
    }
    return true;
}

void args_free(arg *args, size_t arg_count) {
    for (size_t a = 0; a < arg_count; a++) free(args[a].values);
}
