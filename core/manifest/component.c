#include "manifest/component.h"

#include <stdlib.h>

#include "base/os.h"
#include "manifest/node.h"
#include "manifest/words.h"

#define EXPLAIN_BYTES (16 * KIB)

static const note_option words[] = {
    {WORD("path", OPTION_STRING)},
    {WORD("sha256", OPTION_STRING), .pattern = OPTION_TEXT("^[0-9a-fA-F]{64}$")},
    {WORD("version", OPTION_STRING)},
};
static const weir_str needs_path[] = {OPTION_TEXT("path")};
static const note_rule rules[] = {
    {.kind = RULE_REQUIRES,
     .when = OPTION_TEXT("sha256"),
     .keys = needs_path,
     .key_count = 1,
     .text = OPTION_TEXT("the hash is that of the file at 'path'")},
};

const component_ref *component_find(load *l, uint32_t kind, weir_str name, place at) {
    const component_ref *found = registry_find(l->plugins, kind, name);
    if (found != NULL) return found;
    buf text;
    buf_init(&text, EXPLAIN_BYTES);
    if (!diags_full(l->out)) {
        /* It may repeat the name: without line ends. */
        registry_explain(l->plugins, kind, str_of(load_escape(l, name)), &text);
    }
    load_error(l, "unknown-component", at, text.data, "no %s named %s is installed",
               kind == WEIR_KIND_SERDE ? "format" : node_kind(kind), load_show(l, name));
    buf_free(&text);
    return NULL;
}

/* The registry knows a file by its real path. */
static const note *plugin_at(load *l, const char *given) {
    char *path = realpath(given, NULL);
    const note *found = NULL;
    for (size_t i = 0; i < registry_plugin_count(l->plugins); i++) {
        const note *n = plugin_ref_note(registry_plugin(l->plugins, i));
        if (str_eq_z(n->path, path != NULL ? path : given)) found = n;
    }
    free(path);
    return found;
}

static const note *plugin_named(load *l, weir_str name) {
    for (size_t i = 0; i < registry_plugin_count(l->plugins); i++) {
        const note *n = plugin_ref_note(registry_plugin(l->plugins, i));
        if (str_eq(n->name, name)) return n;
    }
    return NULL;
}

static void add_plugin(load *l, const tree_pair *pair) {
    const char *owner = load_printf(l, "plugin %.*s", STR_FMT(pair->key));
    if (pair->value->kind != TREE_MAP) {
        load_error(l, "wrong-type", pair->value->at, "write {path: FILE}",
                   "%s must be a mapping of path, sha256 and version", owner);
        return;
    }
    options_source source = {.map = pair->value,
                             .table = words,
                             .count = COUNT_OF(words),
                             .rules = rules,
                             .rule_count = COUNT_OF(rules),
                             .label = load_printf(l, "plugins.%.*s.", STR_FMT(pair->key)),
                             .owner = owner,
                             .at = pair->at};
    size_t errors = diags_errors(l->out);
    options o;
    options_read(l, &source, &o);
    if (l->no_memory || diags_errors(l->out) > errors) return;
    const note *n;
    if (options_given(&o, "path")) {
        const char *path = os_join(l->scratch, l->base_dir, options_text(&o, "path"));
        weir_str sha256 = options_text(&o, "sha256");
        weir_error *err = error_new();
        weir_status status =
            path == NULL ? WEIR_E_NOMEM
                         : registry_add(l->plugins, path, sha256.len > 0 ? sha256.ptr : NULL, err);
        if (status != WEIR_OK && load_outside(l, options_text(&o, "path")).len > 0) {
            load_error(l, "plugin-refused", pair->at, "`weir plugins inspect FILE` says why",
                       "%s cannot be used: the file at %s is refused", owner,
                       load_show(l, options_text(&o, "path")));
        } else if (status != WEIR_OK) {
            load_error(l, "plugin-refused", pair->at, NULL, "%s cannot be used: %s", owner,
                       error_text(err));
        }
        error_free(err);
        if (status != WEIR_OK) return;
        n = plugin_at(l, path);
        if (n == NULL) n = plugin_named(l, pair->key);
    } else {
        n = plugin_named(l, pair->key);
    }
    if (n == NULL) {
        load_error(l, "plugin-refused", pair->at, "`weir plugins list` shows what there is",
                   "there is no plugin named %s", load_show(l, pair->key));
    } else if (!str_eq(n->name, pair->key)) {
        load_error(l, "plugin-refused", pair->at,
                   load_printf(l, "write %s: instead", load_escape(l, n->name)),
                   "the plugin at that path is named %s, not %s", load_show(l, n->name),
                   load_show(l, pair->key));
    } else if (options_given(&o, "version") && !str_eq(n->version, options_text(&o, "version"))) {
        load_error(l, "plugin-version", options_get(&o, STR("version"))->at, NULL,
                   "%s is version %.*s, the manifest asks for %s", owner, STR_FMT(n->version),
                   load_show(l, options_text(&o, "version")));
    }
}

void component_add_plugins(load *l, const tree_node *section) {
    if (tree_is_nothing(section)) return;
    if (section->kind != TREE_MAP) {
        load_error(l, "wrong-type", section->at, "write plugins: {NAME: {path: FILE}}",
                   "'plugins' must be a mapping");
        return;
    }
    for (size_t i = 0; i < section->count; i++) add_plugin(l, &section->pairs[i]);
}
