#include "manifest/manifest.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/os.h"
#include "manifest/component.h"
#include "manifest/graph.h"
#include "manifest/node.h"
#include "manifest/properties.h"
#include "manifest/reference.h"
#include "manifest/settings.h"
#include "manifest/value.h"

static const weir_str top_words[] = {
    {"weir", 4},    {"name", 4},    {"description", 11}, {"settings", 8}, {"properties", 10},
    {"plugins", 7}, {"sources", 7}, {"transforms", 10},  {"sinks", 5},
};

static void read_top(load *l, const tree_node *root, pipeline *p);

/* ---- the world outside ---- */

static const char *system_get(void *self, const char *name) {
    (void)self;
    return os_env(name, false);
}

static weir_status system_read(void *self, const char *path, size_t max, buf *out,
                               weir_error *err) {
    (void)self;
    return os_read_file(path, max, out, err);
}

const manifest_env manifest_env_system = {.get = system_get, .read = system_read};

/* The absolute folder of the manifest. */
static weir_str find_base_dir(load *l, const char *path) {
    weir_str dir = strcmp(path, "-") == 0 ? STR(".") : os_dirname(str_of(path));
    char *here = getcwd(NULL, 0);
    bool dot = str_eq(dir, STR("."));
    const char *joined = dot ? here : os_join(l->scratch, str_of(here), dir);
    weir_str kept = load_keep(l, joined != NULL ? str_of(joined) : dir);
    free(here);
    return kept;
}

/* ---- loading ---- */

static const pipeline *load_tree(load *l, weir_str text) {
    pipeline *p = arena_zalloc(l->memory, sizeof *p);
    const tree_node *root = tree_parse(l->file, text, l->scratch, l->out);
    if (p == NULL) l->no_memory = true;
    if (p == NULL || root == NULL) return NULL;
    p->file = l->file;
    p->base_dir = l->base_dir;
    if (root->kind != TREE_MAP) {
        load_error(l, "wrong-type", root->at, "a manifest begins with weir: 1",
                   "a manifest must be a mapping, found %s", value_kind(root));
        return p;
    }
    WEIR_ASSERT(root->pairs != NULL); /* of an empty mapping too */
    const tree_pair *section = tree_get(root, "properties");
    properties *props = properties_read(l, section != NULL ? section->value : NULL);
    if (props == NULL) {
        l->no_memory = true;
        return NULL;
    }
    for (size_t i = 0; i < root->count; i++) {
        if (&root->pairs[i] != section) properties_mark_used(l, root->pairs[i].value);
    }
    read_top(l, root, p);
    properties_check_used(l);
    properties_free(props);
    p->references = l->references;
    p->reference_count = l->reference_count;
    return p;
}

static bool begin(load *l, const manifest_input *input, registry *plugins, arena *memory,
                  diags *out) {
    const char *file = strcmp(input->path, "-") == 0 ? "<stdin>" : input->path;
    *l = (load){.input = input,
                .env = input->env != NULL ? *input->env : manifest_env_system,
                .plugins = plugins,
                .memory = memory,
                .out = out};
    l->scratch = arena_new(LIMIT_TREE_BYTES);
    weir_str kept = arena_str(memory, str_of(file));
    l->file = kept.ptr;
    diags_file(out, file);
    if (l->scratch == NULL || kept.ptr == NULL) {
        diags_add(out, false, "out-of-memory", (place){file, 0, 0}, NULL,
                  "no memory to read the manifest");
        arena_free(l->scratch);
        return false;
    }
    l->base_dir = find_base_dir(l, input->path);
    return true;
}

const pipeline *manifest_load_text(const manifest_input *input, weir_str text, registry *plugins,
                                   arena *memory, diags *out) {
    load l;
    size_t errors = diags_errors(out);
    if (!begin(&l, input, plugins, memory, out)) return NULL;
    const pipeline *p = load_tree(&l, text);
    if (l.no_memory) {
        load_error(&l, "out-of-memory", (place){l.file, 0, 0}, NULL,
                   "no memory for the manifest, or more than its limit");
    }
    arena_free(l.scratch);
    return diags_errors(out) > errors ? NULL : p;
}

const pipeline *manifest_load(const manifest_input *input, registry *plugins, arena *memory,
                              diags *out) {
    const manifest_env *env = input->env != NULL ? input->env : &manifest_env_system;
    const char *path = strcmp(input->path, "-") == 0 ? "/dev/stdin" : input->path;
    const pipeline *p = NULL;
    buf text;
    buf_init(&text, LIMIT_MANIFEST_BYTES + 1);
    weir_error *err = error_new();
    weir_status status = env->read != NULL
                             ? env->read(env->self, path, LIMIT_MANIFEST_BYTES, &text, err)
                             : error_set(err, WEIR_E_UNSUPPORTED, 0, "files cannot be read");
    if (status != WEIR_OK) {
        diags_add(out, false, status == WEIR_E_TOO_LARGE ? "too-large" : "unreadable",
                  (place){path, 0, 0}, NULL, "the manifest cannot be read: %s", error_text(err));
    } else {
        p = manifest_load_text(input, text.data != NULL ? buf_str(&text) : str_of(""), plugins,
                               memory, out);
    }
    error_free(err);
    buf_free(&text);
    return p;
}

/* ---- the top level ---- */

/* Names become folders, metric labels and parts of file names. */
static bool check_name(load *l, weir_str name, const char *what, place at) {
    bool ok = name.len > 0 && name.len <= LIMIT_NAME_BYTES;
    for (size_t i = 0; i < name.len && ok; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        ok = letter || (i > 0 && (c == '-' || c == '_' || c == '.'));
    }
    if (ok) return true;
    load_error(l, "bad-name", at,
               load_printf(l,
                           "a name is 1 to %u letters, digits, '-', '_' or '.', and begins with "
                           "a letter or a digit",
                           LIMIT_NAME_BYTES),
               "%s cannot be a name of %s", load_show(l, name), what);
    return false;
}

static void read_head(load *l, const tree_node *root, pipeline *p) {
    static const note_option version_word = {.type = OPTION_INT};
    place whole = {l->file, 0, 0};
    const tree_pair *version = tree_get(root, "weir");
    option_value v = {0};
    if (version == NULL) {
        load_error(l, "missing-key", whole, "write weir: 1",
                   "'weir', the version of the manifest's language, is missing");
    } else if (value_read(l, &version_word, "weir", version->value, &v) && v.i64 != 1) {
        load_error(l, "unsupported-version", version->value->at, "write weir: 1",
                   "this weir reads manifests of version 1, found %lld", (long long)v.i64);
    }
    p->name = p->description = str_of("");
    const tree_pair *name = tree_get(root, "name");
    if (name == NULL) {
        load_error(l, "missing-key", whole, "for example name: clicks-to-lake",
                   "'name' is missing: state, metrics and the control socket go by it");
    } else if (value_text(l, "name", name->value, &p->name)) {
        check_name(l, p->name, "a pipeline", name->value->at);
    }
    const tree_pair *description = tree_get(root, "description");
    if (description != NULL) value_text(l, "description", description->value, &p->description);
}

static const tree_node *get_section(load *l, const tree_node *root, uint32_t kind) {
    const tree_pair *pair = tree_get(root, node_section(kind));
    if (pair == NULL || tree_is_nothing(pair->value)) return NULL;
    if (pair->value->kind == TREE_MAP) return pair->value;
    load_error(l, "wrong-type", pair->value->at, "write NAME: {type: COMPONENT, ...}",
               "'%s' must be a mapping of nodes, found %s", node_section(kind),
               value_kind(pair->value));
    return NULL;
}

static void read_nodes(load *l, const tree_node *root, pipeline *p) {
    static const uint32_t kinds[] = {WEIR_KIND_SOURCE, WEIR_KIND_TRANSFORM, WEIR_KIND_SINK};
    const tree_node *sections[3];
    size_t count = 0, n = 0;
    for (size_t k = 0; k < 3; k++) {
        sections[k] = get_section(l, root, kinds[k]);
        if (sections[k] != NULL) count += sections[k]->count;
        const tree_pair *pair = tree_get(root, node_section(kinds[k]));
        bool empty = sections[k] == NULL || sections[k]->count == 0;
        bool reported = pair != NULL && sections[k] == NULL && !tree_is_nothing(pair->value);
        if (kinds[k] == WEIR_KIND_TRANSFORM || !empty || reported) continue;
        load_error(l, "missing-key", pair != NULL ? pair->at : (place){l->file, 0, 0}, NULL,
                   "a pipeline needs at least one %s, below '%s'", node_kind(kinds[k]),
                   node_section(kinds[k]));
    }
    if (count > LIMIT_NODES) {
        load_error(l, "too-many-nodes", (place){l->file, 0, 0}, NULL,
                   "a pipeline of %zu nodes, at most %u are possible", count, LIMIT_NODES);
        return;
    }
    draft *drafts = arena_array(l->scratch, count + 1, sizeof *drafts);
    node *nodes = load_array(l, count, sizeof *nodes);
    if (drafts == NULL || nodes == NULL) {
        l->no_memory = true;
        return;
    }
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; sections[k] != NULL && i < sections[k]->count; i++, n++) {
            const tree_pair *pair = &sections[k]->pairs[i];
            drafts[n].node = &nodes[n];
            check_name(l, pair->key, load_printf(l, "a %s", node_kind(kinds[k])), pair->at);
            size_t errors = diags_errors(l->out);
            node_read(l, pair, kinds[k], &p->settings, &drafts[n]);
            if (l->input->validate != NULL && !l->no_memory && diags_errors(l->out) == errors) {
                l->input->validate(l->input->opaque, drafts[n].node, l->out);
            }
            if (l->no_memory) return;
        }
    }
    graph_build(l, drafts, count, p);
}

static void read_top(load *l, const tree_node *root, pipeline *p) {
    size_t words = sizeof top_words / sizeof *top_words;
    for (size_t i = 0; i < root->count; i++) {
        const tree_pair *pair = &root->pairs[i];
        bool known = false;
        for (size_t w = 0; w < words; w++) known = known || str_eq(pair->key, top_words[w]);
        if (known) continue;
        const char *hint = load_nearest(l, pair->key, top_words, words);
        if (hint == NULL) {
            hint = load_printf(l, "known here: %s", load_list(l, top_words, words));
        }
        load_error(l, "unknown-key", pair->at, hint, "unknown key %s at the top level",
                   load_show(l, pair->key));
        reference_check(l, pair->value);
    }
    read_head(l, root, p);
    const tree_pair *settings = tree_get(root, "settings");
    settings_read(l, settings != NULL ? settings->value : NULL, &p->settings);
    const tree_pair *plugins = tree_get(root, "plugins");
    if (plugins != NULL) component_add_plugins(l, plugins->value);
    if (!l->no_memory) read_nodes(l, root, p);
}
