/*
 * weir plugins: what is installed, read from the plugins' notes; nothing of them runs.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

static const char *kind_name(uint32_t kind) {
    switch (kind) {
    case WEIR_KIND_SOURCE:
        return "source";
    case WEIR_KIND_SINK:
        return "sink";
    case WEIR_KIND_SERDE:
        return "serde";
    case WEIR_KIND_TRANSFORM:
        return "transform";
    case WEIR_KIND_REFERENCE:
        return "reference";
    default:
        return "?";
    }
}

/* Of two plugins with a component of one kind and name the first counts: the other, or NULL. */
static const note *component_hidden_by(const registry *r, const plugin_ref *p,
                                       const note_component *c) {
    const plugin_ref *first = component_plugin(registry_find(r, c->kind, c->name));
    return first == p ? NULL : plugin_ref_note(first);
}

static void list_text(const registry *r, buf *out) {
    for (size_t i = 0; i < registry_plugin_count(r); i++) {
        const plugin_ref *p = registry_plugin(r, i);
        const note *n = plugin_ref_note(p);
        buf_printf(out, "%.*s %.*s  %.*s\n", STR_FMT(n->id), STR_FMT(n->version),
                   STR_FMT(n->summary));
        for (size_t c = 0; c < n->component_count; c++) {
            const note_component *k = &n->components[c];
            const note *by = component_hidden_by(r, p, k);
            buf_printf(out, "  %-9s %-12.*s %.*s\n", kind_name(k->kind), STR_FMT(k->name),
                       STR_FMT(k->summary));
            if (by != NULL) {
                buf_printf(out, "            shadowed: the one of %.*s is used\n", STR_FMT(by->id));
            }
        }
    }
    const plugin_ref *by;
    const plugin_ref *p;
    for (size_t i = 0; (p = registry_shadowed(r, i, &by)) != NULL; i++) {
        const note *n = plugin_ref_note(p);
        const note *used = plugin_ref_note(by);
        buf_printf(out,
                   "%.*s %.*s  shadowed: %.*s is not used,\n  because %.*s (%.*s) comes first\n",
                   STR_FMT(n->id), STR_FMT(n->version), STR_FMT(n->path), STR_FMT(used->path),
                   STR_FMT(used->version));
    }
}

/* One plugin; `by` is the one that shadows it, or NULL. */
static void list_json_one(const registry *r, const plugin_ref *p, const plugin_ref *by, buf *out) {
    const note *n = plugin_ref_note(p);
    bool first = true;
    buf_append_z(out, "{\"path\":");
    buf_append_json(out, n->path);
    buf_append_z(out, ",\"shadowed_by\":");
    if (by != NULL) {
        buf_append_json(out, plugin_ref_note(by)->path);
    } else {
        buf_append_z(out, "null");
    }
    buf_append_z(out, ",\"shadowed_components\":[");
    for (size_t c = 0; by == NULL && c < n->component_count; c++) {
        const note_component *k = &n->components[c];
        const note *other = component_hidden_by(r, p, k);
        if (other == NULL) continue;
        buf_printf(out, "%s{\"kind\":\"%s\",\"name\":", first ? "" : ",", kind_name(k->kind));
        buf_append_json(out, k->name);
        buf_append_z(out, ",\"by\":");
        buf_append_json(out, other->path);
        buf_append_z(out, "}");
        first = false;
    }
    buf_append_z(out, "],\"note\":");
    buf_append_str(out, n->json);
    buf_append_z(out, "}");
}

static void list_json(const registry *r, buf *out) {
    const plugin_ref *by = NULL;
    const plugin_ref *p;
    buf_append_z(out, "[");
    for (size_t i = 0; (p = registry_plugin(r, i)) != NULL; i++) {
        if (i > 0) buf_append_z(out, ",");
        list_json_one(r, p, NULL, out);
    }
    for (size_t i = 0; (p = registry_shadowed(r, i, &by)) != NULL; i++) {
        buf_append_z(out, ","); /* behind the one that shadows it */
        list_json_one(r, p, by, out);
    }
    buf_append_z(out, "]\n");
}

static int list(registry *r, bool json) {
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (json) {
        list_json(r, &out);
    } else {
        list_text(r, &out);
    }
    fwrite(out.data != NULL ? out.data : "", 1, out.len, stdout);
    buf_free(&out);
    for (size_t i = 0; i < registry_refusal_count(r); i++) {
        weir_str text = registry_refusal(r, i);
        fprintf(stderr, "weir plugins: not usable: %.*s\n", STR_FMT(text));
    }
    return EXIT_OK;
}

static void print_options(buf *out, const note_option *declared, size_t count, const char *prefix) {
    static const char *const types[] = {"string", "int",  "float", "bool",   "duration", "size",
                                        "enum",   "list", "map",   "secret", "template", "time"};
    for (size_t o = 0; o < count; o++) {
        const note_option *v = &declared[o];
        buf_printf(out, "      %s%.*s: %s", prefix, STR_FMT(v->name), types[v->type]);
        if (v->required) buf_append_z(out, ", required");
        if (v->has_default) buf_printf(out, ", default %.*s", STR_FMT(v->default_text));
        for (size_t k = 0; k < v->value_count; k++) {
            buf_printf(out, "%s%.*s", k == 0 ? " (" : " | ", STR_FMT(v->values[k]));
        }
        buf_append_z(out, v->value_count > 0 ? ")\n" : "\n");
        if (v->description.len > 0) buf_printf(out, "          %.*s\n", STR_FMT(v->description));
        char deeper[256];
        snprintf(deeper, sizeof deeper, "%s%.*s.", prefix, STR_FMT(v->name));
        /* One level of a group that contains itself is enough to understand it. */
        if (strlen(prefix) < 64) print_options(out, v->fields, v->field_count, deeper);
    }
}

static const note *find_plugin(const registry *r, weir_str word) {
    for (size_t p = 0; p < registry_plugin_count(r); p++) {
        const note *n = plugin_ref_note(registry_plugin(r, p));
        if (str_eq(n->id, word) || str_eq(n->name, word) || str_eq(n->path, word)) return n;
    }
    for (uint32_t kind = WEIR_KIND_SOURCE; kind <= LOADER_KIND_MAX; kind++) {
        const component_ref *c = registry_find(r, kind, word);
        if (c != NULL) return plugin_ref_note(component_plugin(c));
    }
    return NULL;
}

static int inspect(registry *r, const char *word, bool json) {
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    arena *memory = arena_new(SIZE_MAX);
    weir_error *err = error_new();
    note own;
    int status = EXIT_OK;
    const note *n = find_plugin(r, str_of(word));
    if (n == NULL && strchr(word, '/') != NULL) {
        if (loader_read_note(word, memory, &own, err) == WEIR_OK) {
            n = &own;
        } else {
            fprintf(stderr, "weir plugins: %s: %s\n", word, error_text(err));
        }
    } else if (n == NULL) {
        buf why;
        buf_init(&why, 65536);
        registry_explain(r, 0, str_of(word), &why);
        fprintf(stderr, "weir plugins: no plugin or component named '%s'\n%.*s\n", word,
                STR_FMT(buf_str(&why)));
        buf_free(&why);
    }
    if (n == NULL) {
        status = EXIT_CONFIG;
    } else if (json) {
        buf_append_str(&out, n->json);
        buf_append_z(&out, "\n");
    } else {
        buf_printf(&out,
                   "%.*s %.*s\n  %.*s\n  vendor: %.*s\n  license: %.*s\n  file: %.*s\n"
                   "  abi: major %u, built with %.*s, requires %.*s, %.*s\n",
                   STR_FMT(n->id), STR_FMT(n->version), STR_FMT(n->summary), STR_FMT(n->vendor),
                   STR_FMT(n->license), STR_FMT(n->path), n->abi_major, STR_FMT(n->abi_built_with),
                   STR_FMT(n->abi_requires), STR_FMT(n->platform));
        for (size_t c = 0; c < n->component_count; c++) {
            const note_component *k = &n->components[c];
            buf_printf(&out, "  %s %.*s: %.*s\n", kind_name(k->kind), STR_FMT(k->name),
                       STR_FMT(k->summary));
            if (k->guarantee.len > 0) {
                buf_printf(&out, "    delivery: %.*s\n", STR_FMT(k->guarantee));
            }
            if (k->form.len > 0) {
                buf_printf(&out, "    written: ${%.*s:%.*s}\n", STR_FMT(k->name), STR_FMT(k->form));
            }
            if (k->option_count > 0) buf_append_z(&out, "    options:\n");
            print_options(&out, k->options, k->option_count, "");
        }
    }
    fwrite(out.data != NULL ? out.data : "", 1, out.len, stdout);
    error_free(err);
    arena_free(memory);
    buf_free(&out);
    return status;
}

static int plugins(int argc, char **argv) {
    arg args[] = {{.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count;
    if (!args_parse("plugins", argc, argv, args, 1, words, &count)) return EXIT_USAGE;
    bool listing = count == 1 && strcmp(words[0], "list") == 0;
    bool inspecting = count == 2 && strcmp(words[0], "inspect") == 0;
    if (!listing && !inspecting) {
        return usage_error("plugins", "say `list`, or `inspect` and the name of a plugin");
    }
    registry *r = registry_new();
    if (r == NULL) return EXIT_FAILED;
    registry_scan(r);
    int status = listing ? list(r, args[0].set) : inspect(r, words[1], args[0].set);
    registry_free(r);
    return status;
}

const command command_plugins = {
    "plugins", "list installed plugins, or show one with its options",
    "usage: weir plugins list [--json]\n"
    "       weir plugins inspect NAME|ID|FILE [--json]\n"
    "\n"
    "Reads what plugins say of themselves from their ELF notes; no code of theirs runs.\n"
    "Plugins are looked for in WEIR_PLUGIN_PATH, then $XDG_DATA_HOME/weir/plugins-1, then\n"
    "beside the program in ../lib/weir/plugins-1. Of several with one id the first is used; the\n"
    "list shows the others as shadowed. NAME may also be a component's name.\n"
    "\n"
    "example:\n"
    "  weir plugins inspect kinesis\n"
    "\n"
    "exit status: 0 ok, 78 there is no such plugin or it cannot be used, 2 wrong usage\n",
    plugins};
