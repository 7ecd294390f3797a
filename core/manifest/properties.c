#include "manifest/properties.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/os.h"
#include "manifest/reference.h"

struct properties {
    map *by_name;  /* "group.key" -> property */
    map *external; /* "env:NAME", "file:PATH" -> property */
};

static void read_groups(load *l, const tree_node *root);
static void read_flink(load *l, const tree_node *root);
static void read_file(load *l, const char *path);
static void read_set(load *l, const char *assignment);

properties *properties_read(load *l, const tree_node *section) {
    properties *p = mem_zalloc(sizeof *p);
    if (p == NULL) return NULL;
    p->by_name = map_new();
    p->external = map_new();
    if (p->by_name == NULL || p->external == NULL) {
        properties_free(p);
        return NULL;
    }
    l->props = p;
    if (section != NULL && !tree_is_nothing(section)) read_groups(l, section);
    for (size_t i = 0; i < l->input->properties_count; i++) read_file(l, l->input->properties[i]);
    for (size_t i = 0; i < l->input->set_count; i++) read_set(l, l->input->set[i]);
    return p;
}

void properties_free(properties *p) {
    if (p == NULL) return;
    map_free(p->by_name);
    map_free(p->external);
    mem_free(p);
}

property *properties_find(const properties *p, weir_str name) {
    property *found = map_get(p->by_name, name);
    return found != NULL ? found : map_get(p->external, name);
}

static property *property_new(load *l, map *where, weir_str name, weir_str text) {
    property *p = arena_zalloc(l->scratch, sizeof *p);
    weir_str kept = arena_str(l->scratch, name);
    if (p == NULL || kept.ptr == NULL) {
        l->no_memory = true;
        return NULL;
    }
    p->name = kept;
    p->text = text;
    if (!map_put(where, kept, p)) {
        l->no_memory = true;
        return NULL;
    }
    return p;
}

property *properties_add_external(load *l, weir_str reference, weir_str text, bool found) {
    property *p = property_new(l, l->props->external, reference, text);
    if (p == NULL) return NULL;
    p->external = p->tainted = p->used = true;
    if (!found) p->state[TEXT_PLAIN] = p->state[TEXT_TEMPLATE] = STATE_FAILED;
    return p;
}

static const char *nearest(load *l, weir_str name, bool used_only, const char *open) {
    size_t count = map_count(l->props->by_name), cursor = 0, n = 0;
    if (count == 0 || diags_full(l->out)) return NULL;
    weir_str *names = arena_array(l->scratch, count, sizeof *names);
    if (names == NULL) return NULL;
    weir_str candidate;
    void *value;
    while (map_next(l->props->by_name, &cursor, &candidate, &value)) {
        const property *p = value;
        if (p->used || !used_only) names[n++] = candidate;
    }
    int i = str_nearest(name, names, n);
    if (i < 0) return NULL;
    const char *shown = load_escape(l, names[i]);
    return load_printf(l, "did you mean '%s%s%s'?", open, shown, *open != '\0' ? "}" : "");
}

const char *properties_nearest(load *l, weir_str name) {
    return nearest(l, name, false, "${");
}

/* ---- sources of properties ---- */

/* Later ones replace earlier ones, which keep their place for the warning about unused ones. */
static void define(load *l, weir_str name, weir_str text, place at, bool from_set) {
    property *p = map_get(l->props->by_name, name);
    if (p == NULL) {
        p = property_new(l, l->props->by_name, name, text);
        if (p == NULL) return;
        p->declared = at;
        p->from_set = from_set;
    }
    p->text = text;
    p->at = at;
}

static void define_group(load *l, weir_str group, const tree_node *values) {
    if (values->kind != TREE_MAP) {
        if (tree_is_nothing(values)) return;
        load_error(l, "wrong-type", values->at, "write KEY: VALUE pairs below it",
                   "property group %s must be a mapping", load_show(l, group));
        return;
    }
    for (size_t i = 0; i < values->count; i++) {
        const tree_pair *pair = &values->pairs[i];
        const char *name = load_printf(l, "%.*s.%.*s", STR_FMT(group), STR_FMT(pair->key));
        if (pair->value->kind != TREE_SCALAR || tree_is_nothing(pair->value)) {
            load_error(l, "wrong-type", pair->value->at, NULL,
                       "property %s must have one value, found %s", name,
                       pair->value->kind == TREE_LIST  ? "a list"
                       : pair->value->kind == TREE_MAP ? "a mapping"
                                                       : "nothing");
            /* Defined all the same, so that its references do not fail too. */
            define(l, str_of(name), str_of(""), pair->at, false);
            continue;
        }
        /* Two spellings of one full name in one file: "a: {b.c: 1}" and "a.b: {c: 2}". */
        property *there = properties_find(l->props, str_of(name));
        if (there != NULL && there->at.file == pair->at.file) {
            load_error(l, "duplicate-key", pair->at, NULL,
                       "property %s is there already, in line %u", name, there->at.line);
        }
        define(l, str_of(name), pair->value->text, pair->at, false);
    }
}

static void read_groups(load *l, const tree_node *root) {
    if (root->kind != TREE_MAP) {
        load_error(l, "wrong-type", root->at, "write {GROUP: {KEY: VALUE}}",
                   "properties must be a mapping of groups");
        return;
    }
    for (size_t i = 0; i < root->count; i++) {
        define_group(l, root->pairs[i].key, root->pairs[i].value);
    }
}

/* The managed Flink service's application_properties.json:
 * [{"PropertyGroupId": "input", "PropertyMap": {"key": "value"}}] */
static void read_flink(load *l, const tree_node *root) {
    static const weir_str words[] = {{"PropertyGroupId", 15}, {"PropertyMap", 11}};
    map *groups = map_new();
    if (groups == NULL) l->no_memory = true;
    for (size_t i = 0; i < root->count && groups != NULL; i++) {
        const tree_node *item = root->items[i];
        if (item->kind != TREE_MAP) {
            load_error(l, "wrong-type", item->at, NULL,
                       "expected an object with PropertyGroupId and PropertyMap");
            continue;
        }
        for (size_t k = 0; k < item->count; k++) {
            weir_str key = item->pairs[k].key;
            if (str_eq(key, words[0]) || str_eq(key, words[1])) continue;
            load_error(l, "unknown-key", item->pairs[k].at, load_nearest(l, key, words, 2),
                       "unknown key %s in a property group", load_show(l, key));
        }
        const tree_pair *id = tree_get(item, "PropertyGroupId");
        const tree_pair *values = tree_get(item, "PropertyMap");
        if (id == NULL || values == NULL) {
            load_error(l, "missing-key", item->at, NULL, "a property group needs %s",
                       id == NULL ? "PropertyGroupId" : "PropertyMap");
        } else if (id->value->kind != TREE_SCALAR || id->value->text.len == 0) {
            load_error(l, "wrong-type", id->value->at, NULL, "PropertyGroupId must be text");
        } else if (map_get(groups, id->value->text) != NULL) {
            load_error(l, "duplicate-key", id->value->at, NULL, "property group %s stands twice",
                       load_show(l, id->value->text));
        } else {
            if (!map_put(groups, id->value->text, l)) l->no_memory = true;
            define_group(l, id->value->text, values->value);
        }
    }
    map_free(groups);
}

static void read_file(load *l, const char *path) {
    weir_str file = load_keep(l, str_of(path));
    diags_file(l->out, file.ptr);
    buf text;
    buf_init(&text, LIMIT_MANIFEST_BYTES + 1);
    weir_error *err = error_new();
    weir_status status = l->env.read != NULL
                             ? l->env.read(l->env.self, path, LIMIT_MANIFEST_BYTES, &text, err)
                             : error_set(err, WEIR_E_UNSUPPORTED, 0, "files cannot be read");
    if (status != WEIR_OK) {
        load_error(l, "unreadable", (place){file.ptr, 0, 0}, NULL, "properties cannot be read: %s",
                   error_text(err));
    } else {
        const tree_node *root = tree_parse(
            file.ptr, text.data != NULL ? buf_str(&text) : str_of(""), l->scratch, l->out);
        if (root != NULL && root->kind == TREE_LIST)
            read_flink(l, root);
        else if (root != NULL)
            read_groups(l, root);
    }
    error_free(err);
    buf_free(&text);
}

static void read_set(load *l, const char *assignment) {
    place at = {"--set", 0, 0};
    const char *equals = strchr(assignment, '=');
    const char *dot =
        equals != NULL ? memchr(assignment, '.', (size_t)(equals - assignment)) : NULL;
    if (dot == NULL || dot == assignment || dot + 1 == equals) {
        /* What follows "=" may be a secret. */
        size_t shown = equals != NULL ? (size_t)(equals - assignment) : strlen(assignment);
        load_error(l, "bad-set", at, "write --set GROUP.KEY=VALUE",
                   "--set needs a group, a key and a value, found %s",
                   load_show(l, str_make(assignment, shown)));
        return;
    }
    define(l, str_make(assignment, (size_t)(equals - assignment)), str_of(equals + 1), at, true);
}

/* ---- use ---- */

typedef struct queue {
    property **items; /* each property enters once */
    size_t head, tail;
} queue;

static void mark_text(load *l, queue *q, weir_str text) {
    size_t pos = 0;
    weir_str name;
    while (reference_next(text, &pos, &name)) {
        property *p = map_get(l->props->by_name, name);
        if (p == NULL || p->used) continue;
        p->used = true;
        q->items[q->tail++] = p;
    }
}

static void mark_tree(load *l, queue *q, const tree_node *n) {
    if (n->kind == TREE_SCALAR) mark_text(l, q, n->text);
    for (size_t i = 0; i < n->count; i++) {
        mark_tree(l, q, n->kind == TREE_MAP ? n->pairs[i].value : n->items[i]);
    }
}

void properties_mark_used(load *l, const tree_node *n) {
    size_t count = map_count(l->props->by_name);
    if (count == 0) return;
    queue q = {.items = arena_array(l->scratch, count, sizeof *q.items)};
    if (q.items == NULL) {
        l->no_memory = true;
        return;
    }
    mark_tree(l, &q, n);
    while (q.head < q.tail) mark_text(l, &q, q.items[q.head++]->text);
}

void properties_check_used(load *l) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(l->props->by_name, &cursor, &name, &value)) {
        property *p = value;
        bool component = l->component, offline = l->offline;
        l->component = true;
        l->offline = true; /* whatever is used has been resolved */
        reference_resolve_property(l, p, TEXT_TEMPLATE, p->at);
        l->component = component;
        l->offline = offline;
        if (p->used) continue;
        const char *shown = load_printf(l, "%.*s", STR_FMT(name));
        if (p->from_set) {
            load_error(l, "unused-set", p->at, nearest(l, name, true, ""),
                       "--set %s changes nothing: no reference ${%s}", shown, shown);
        } else {
            load_warning(l, "unused-property", p->declared, NULL, "no reference uses property %s",
                         shown);
        }
    }
}
