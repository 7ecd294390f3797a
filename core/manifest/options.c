#include "manifest/options.h"

#include <stdlib.h>

#include "base/limits.h"
#include "manifest/reference.h"
#include "manifest/value.h"

const char options_unavailable[] = "-";

typedef struct reader {
    load *l;
    const options_source *source;
    option_value *values; /* in scratch, grows */
    size_t count, capacity;
} reader;

/* One level of keys: the component's own, or those below an option with fields. */
typedef struct level {
    const tree_node *map; /* NULL: defaults only */
    const note_option *table;
    size_t count;
    weir_str prefix; /* "roll." */
    bool top;
    bool wanted; /* required keys of it are required */
    place at;
} level;

static void read_level(reader *r, const level *v);
static void read_option(reader *r, const note_option *o, weir_str key, const tree_pair *given,
                        place at, bool wanted);
static void read_prefix(reader *r, weir_str prefix);
static void check_rules(reader *r, const options *all);
static const char *label(const reader *r, weir_str key);

static int compare(const void *x, const void *y) {
    const option_value *a = x, *b = y;
    return str_cmp(a->key, b->key);
}

/* Keys of one mapping differ; "properties.x" and "properties: {x}" may still be the same. */
static void check_twice(reader *r, const options *all) {
    for (size_t i = 1; i < all->count; i++) {
        const option_value *a = &all->values[i - 1], *b = &all->values[i];
        if (!str_eq(a->key, b->key)) continue;
        const option_value *later = a->at.line > b->at.line ? a : b;
        load_error(r->l, "duplicate-key", later->at, NULL, "'%s' is given twice", label(r, b->key));
    }
}

static void read_all(load *l, const options_source *source, options *out);

void options_read(load *l, const options_source *source, options *out) {
    bool before = l->component;
    l->component = source->component;
    read_all(l, source, out);
    l->component = before;
}

static void read_all(load *l, const options_source *source, options *out) {
    reader r = {.l = l, .source = source};
    level top = {.map = source->map,
                 .table = source->table,
                 .count = source->count,
                 .prefix = str_of(""),
                 .top = true,
                 .wanted = true,
                 .at = source->at};
    read_level(&r, &top);
    for (size_t i = 0; i < source->prefix_count; i++) read_prefix(&r, source->prefixes[i]);
    *out = (options){0};
    if (r.count == 0) {
        check_rules(&r, out);
        return;
    }
    option_value *values = load_array(l, r.count, sizeof *values);
    if (values == NULL) return;
    memcpy(values, r.values, r.count * sizeof *values);
    qsort(values, r.count, sizeof *values, compare);
    out->values = values;
    out->count = r.count;
    check_twice(&r, out);
    check_rules(&r, out);
}

const option_value *options_get(const options *o, weir_str key) {
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(o->values[middle].key, key);
        if (order == 0) return &o->values[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool options_known(const options *o) {
    for (size_t i = 0; i < o->count; i++) {
        if (o->values[i].is_unknown) return false;
    }
    return true;
}

int64_t options_i64(const options *o, const char *key, int64_t otherwise) {
    const option_value *v = options_get(o, str_of(key));
    return v == NULL || v->is_word ? otherwise : v->i64;
}

weir_str options_text(const options *o, const char *key) {
    const option_value *v = options_get(o, str_of(key));
    return v == NULL || v->text.ptr == NULL ? str_of("") : v->text;
}

bool options_given(const options *o, const char *key) {
    const option_value *v = options_get(o, str_of(key));
    return v != NULL && !v->is_default;
}

/* ---- keys ---- */

static option_value *push(reader *r, weir_str key, const note_option *o, place at) {
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? 32 : r->capacity * 2;
        option_value *grown = arena_array(r->l->scratch, capacity, sizeof *grown);
        if (grown == NULL) {
            r->l->no_memory = true;
            return NULL;
        }
        if (r->count > 0) memcpy(grown, r->values, r->count * sizeof *grown);
        r->values = grown;
        r->capacity = capacity;
    }
    option_value *v = &r->values[r->count++];
    *v = (option_value){.key = key, .option = o, .at = at, .text = str_of("")};
    return v;
}

static weir_str join(load *l, weir_str prefix, weir_str name) {
    return load_keep(l, str_of(load_printf(l, "%.*s%.*s", STR_FMT(prefix), STR_FMT(name))));
}

static const char *label(const reader *r, weir_str key) {
    return load_printf(r->l, "%s%.*s", r->source->label != NULL ? r->source->label : "",
                       STR_FMT(key));
}

static const note_option *find_option(const level *v, weir_str name) {
    for (size_t i = 0; i < v->count; i++) {
        if (str_eq(v->table[i].name, name)) return &v->table[i];
    }
    return NULL;
}

/* "properties.x" or "properties" itself, below the prefix "properties." */
static bool has_prefix(const options_source *s, weir_str key) {
    for (size_t i = 0; i < s->prefix_count; i++) {
        weir_str p = s->prefixes[i];
        if (p.len > 0 && (str_starts(key, p) || str_eq(key, str_make(p.ptr, p.len - 1)))) {
            return true;
        }
    }
    return false;
}

static bool is_other(const options_source *s, weir_str key) {
    for (size_t i = 0; i < s->other_count; i++) {
        if (str_eq(s->others[i], key)) return true;
    }
    return false;
}

/* What the user may have meant by an unknown key: a key of this level, or a sub-key written with
 * its dots. */
static const char *unknown_hint(reader *r, const level *v, weir_str key) {
    load *l = r->l;
    const options_source *s = r->source;
    if (diags_full(l->out)) return NULL;
    const char *dot = memchr(key.ptr, '.', key.len);
    if (dot != NULL) {
        weir_str head = str_make(key.ptr, (size_t)(dot - key.ptr));
        const note_option *o = find_option(v, head);
        if (o != NULL && o->field_count > 0) {
            weir_str rest = str_make(dot + 1, key.len - head.len - 1);
            return load_printf(l, "write %.*s: {%s: ...}", STR_FMT(head), load_escape(l, rest));
        }
    }
    size_t count = v->count + (v->top ? s->other_count + s->prefix_count : 0), n = 0;
    weir_str *words = arena_array(l->scratch, count + 1, sizeof *words);
    if (words == NULL) return NULL;
    for (size_t i = 0; i < v->count; i++) words[n++] = v->table[i].name;
    for (size_t i = 0; v->top && i < s->other_count; i++) words[n++] = s->others[i];
    for (size_t i = 0; v->top && i < s->prefix_count; i++) {
        weir_str p = s->prefixes[i];
        words[n++] = str_make(p.ptr, p.len > 0 ? p.len - 1 : 0);
    }
    const char *hint = load_nearest(l, key, words, n);
    if (hint != NULL || n == 0 || n > 16) return hint;
    return load_printf(l, "known here: %s", load_list(l, words, n));
}

static void check_keys(reader *r, const level *v) {
    for (size_t i = 0; i < v->map->count; i++) {
        const tree_pair *pair = &v->map->pairs[i];
        if (find_option(v, pair->key) != NULL) continue;
        if (v->top && (r->source->partial || is_other(r->source, pair->key))) continue;
        if (v->top && has_prefix(r->source, pair->key)) continue;
        load_error(r->l, "unknown-key", pair->at, unknown_hint(r, v, pair->key),
                   "unknown key %s in %s%s%.*s", load_show(r->l, pair->key), r->source->owner,
                   v->top ? "" : ", ", (int)(v->prefix.len > 0 ? v->prefix.len - 1 : 0),
                   v->prefix.ptr);
        reference_check(r->l, pair->value);
    }
}

static void read_level(reader *r, const level *v) {
    if (v->map != NULL) check_keys(r, v);
    for (size_t i = 0; i < v->count; i++) {
        const note_option *o = &v->table[i];
        const tree_pair *given = NULL;
        for (size_t k = 0; v->map != NULL && k < v->map->count && given == NULL; k++) {
            if (str_eq(v->map->pairs[k].key, o->name)) given = &v->map->pairs[k];
        }
        read_option(r, o, join(r->l, v->prefix, o->name), given, v->at, v->wanted);
    }
}

/* ---- values ---- */

/* The names of a free mapping are taken as they stand: a reference in one would go unresolved. */
static bool check_entry_name(reader *r, const tree_pair *pair) {
    size_t pos = 0;
    weir_str name;
    if (!reference_next(pair->key, &pos, &name)) return true;
    load_error(r->l, "reference-in-key", pair->at, NULL, "keys cannot hold references, found %s",
               load_show(r->l, pair->key));
    return false;
}

static void read_list(reader *r, const note_option *o, const char *what, const tree_node *n,
                      option_value *v) {
    bool lone = n->kind == TREE_SCALAR;
    if (n->kind == TREE_MAP) {
        load_error(r->l, "wrong-type", n->at, NULL, "'%s' must be a list, found a mapping", what);
        return;
    }
    size_t count = lone ? 1 : n->count;
    weir_str *items = load_array(r->l, count, sizeof *items);
    if (items == NULL) return;
    for (size_t i = 0; i < count; i++) {
        option_value item = {.text = str_of("")};
        value_read(r->l, o, what, lone ? n : n->items[i], &item);
        items[i] = item.text;
        v->is_unknown = v->is_unknown || item.is_unknown;
    }
    v->entry_count = count;
    v->entry_values = items;
    v->i64 = (int64_t)count;
}

static void read_free_map(reader *r, const note_option *o, const char *what, const tree_node *n,
                          option_value *v) {
    if (n->kind != TREE_MAP) {
        load_error(r->l, "wrong-type", n->at, NULL, "'%s' must be a mapping, found %s", what,
                   value_kind(n));
        return;
    }
    bool templates = o->items == OPTION_TEMPLATE;
    weir_str *names = load_array(r->l, n->count, sizeof *names);
    weir_str *values = load_array(r->l, n->count, sizeof *values);
    const template_program **programs =
        templates ? load_array(r->l, n->count, sizeof *programs) : NULL;
    if (names == NULL || values == NULL || (templates && programs == NULL)) return;
    note_option item = {.type = o->items};
    for (size_t i = 0; i < n->count; i++) {
        const tree_pair *pair = &n->pairs[i];
        option_value entry = {.text = str_of("")};
        if (check_entry_name(r, pair)) {
            const char *full = load_printf(r->l, "%s.%.*s", what, STR_FMT(pair->key));
            value_read(r->l, &item, full, pair->value, &entry);
        }
        names[i] = load_keep(r->l, pair->key);
        values[i] = entry.text;
        v->is_unknown = v->is_unknown || entry.is_unknown;
        if (templates) programs[i] = entry.tmpl;
    }
    v->entry_count = n->count;
    v->entry_names = names;
    v->entry_values = values;
    v->entry_tmpls = programs;
    v->i64 = (int64_t)n->count;
}

static void read_fields(reader *r, const note_option *o, weir_str key, const tree_node *map,
                        place at, bool wanted) {
    level below = {.map = map,
                   .table = o->fields,
                   .count = o->field_count,
                   .prefix = join(r->l, key, STR(".")),
                   .wanted = wanted,
                   .at = at};
    read_level(r, &below);
}

static void warn_deprecated(reader *r, const note_option *o, const char *what, place at) {
    const char *hint =
        o->replaced_by.len > 0 ? load_printf(r->l, "use '%.*s'", STR_FMT(o->replaced_by)) : NULL;
    load_warning(r->l, "deprecated-option", at, hint, "'%s' is deprecated", what);
}

/* An option that is in the manifest. */
static void read_given(reader *r, const note_option *o, weir_str key, const tree_pair *given) {
    const char *what = label(r, key);
    const tree_node *n = given->value;
    if (o->group.ptr == options_unavailable) {
        load_error(r->l, "not-available", given->at, NULL, "'%s' is not available: %.*s", what,
                   STR_FMT(o->description));
        reference_check(r->l, n);
        return;
    }
    option_value *v = push(r, key, o, given->at);
    if (v == NULL) return;
    size_t index = r->count - 1; /* `values` may move below */
    if (o->deprecated) warn_deprecated(r, o, what, given->at);
    if (o->field_count > 0 && n->kind == TREE_MAP) {
        v->is_map = true;
        v->i64 = -1;
        read_fields(r, o, key, n, given->at, true);
        return;
    }
    if (o->type == OPTION_MAP && o->field_count > 0) {
        load_error(r->l, "wrong-type", n->at,
                   load_printf(r->l, "write %.*s: {%.*s: ...}", STR_FMT(o->name),
                               STR_FMT(o->fields[0].name)),
                   "'%s' must be a mapping, found %s", what, value_kind(n));
        reference_check(r->l, n);
    } else if (o->type == OPTION_MAP) {
        read_free_map(r, o, what, n, v);
    } else if (o->type == OPTION_LIST) {
        read_list(r, o, what, n, v);
    } else if (o->field_count > 0 && n->kind == TREE_LIST) {
        load_error(r->l, "wrong-type", n->at, NULL, "'%s' must be %s, found a list", what,
                   value_expected(r->l, o));
    } else {
        option_value read = r->values[index];
        if (value_read(r->l, o, what, n, &read)) r->values[index] = read;
    }
    if (o->field_count > 0) read_fields(r, o, key, NULL, given->at, false);
}

static void read_default(reader *r, const note_option *o, weir_str key, place at) {
    tree_node n = {.kind = TREE_SCALAR, .at = at, .text = o->default_text};
    option_value *v = push(r, key, o, at);
    if (v == NULL) return;
    v->is_default = true;
    if (o->type == OPTION_LIST)
        read_list(r, o, label(r, key), &n, v);
    else if (o->type != OPTION_MAP)
        value_read(r->l, o, label(r, key), &n, v);
}

static void read_option(reader *r, const note_option *o, weir_str key, const tree_pair *given,
                        place at, bool wanted) {
    if (r->l->no_memory) return;
    if (given != NULL) {
        read_given(r, o, key, given);
        return;
    }
    if (o->required && wanted) {
        const char *what = label(r, key);
        const char *hint = o->examples != NULL && o->example_count > 0
                               ? load_printf(r->l, "for example %.*s: %.*s", STR_FMT(o->name),
                                             STR_FMT(o->examples[0]))
                               : NULL;
        load_error(r->l, "missing-option", at, hint, "%s needs '%s', %s", r->source->owner, what,
                   value_expected(r->l, o));
    }
    if (o->has_default) read_default(r, o, key, at);
    if (o->field_count > 0) read_fields(r, o, key, NULL, at, false);
}

/* ---- pass-through prefixes ---- */

typedef struct entries {
    weir_str *names, *values;
    size_t count;
    place at;
} entries;

static void read_entry(reader *r, weir_str prefix, weir_str name, const tree_pair *pair,
                       entries *all) {
    static const note_option any = {.type = OPTION_STRING};
    weir_str key = join(r->l, prefix, name);
    option_value *v = push(r, key, NULL, pair->at);
    if (v == NULL || !check_entry_name(r, pair)) return;
    value_read(r->l, &any, label(r, key), pair->value, v);
    if (all->count == 0) all->at = pair->at;
    all->names[all->count] = load_keep(r->l, name);
    all->values[all->count++] = v->text;
}

/* "properties.linger.ms: 5" and "properties: {linger.ms: 5}" say the same. */
static void read_prefix(reader *r, weir_str prefix) {
    const tree_node *map = r->source->map;
    if (map == NULL || prefix.len == 0) return;
    weir_str head = str_make(prefix.ptr, prefix.len - 1);
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++) {
        count += 1 + (map->pairs[i].value->kind == TREE_MAP ? map->pairs[i].value->count : 0);
    }
    entries all = {.names = load_array(r->l, count, sizeof *all.names),
                   .values = load_array(r->l, count, sizeof *all.values)};
    if (all.names == NULL || all.values == NULL) return;
    for (size_t i = 0; i < map->count; i++) {
        const tree_pair *pair = &map->pairs[i];
        if (str_starts(pair->key, prefix)) {
            weir_str name = str_make(pair->key.ptr + prefix.len, pair->key.len - prefix.len);
            read_entry(r, prefix, name, pair, &all);
        } else if (str_eq(pair->key, head) && pair->value->kind != TREE_MAP) {
            load_error(r->l, "wrong-type", pair->value->at, NULL,
                       "'%.*s' must be a mapping, found %s", STR_FMT(head),
                       value_kind(pair->value));
        } else if (str_eq(pair->key, head)) {
            for (size_t k = 0; k < pair->value->count; k++) {
                const tree_pair *entry = &pair->value->pairs[k];
                read_entry(r, prefix, entry->key, entry, &all);
            }
        }
    }
    if (all.count == 0) return;
    option_value *v = push(r, load_keep(r->l, head), NULL, all.at);
    if (v == NULL) return;
    v->entry_names = all.names;
    v->entry_values = all.values;
    v->entry_count = all.count;
    v->is_map = true;
    v->i64 = (int64_t)all.count;
}

/* ---- cross rules ---- */

/* "key" holds if the manifest gives it, "key=value" if that is its value, by default too. */
static const option_value *holds(const options *all, weir_str condition) {
    if (condition.len == 0) return NULL;
    const char *equals = memchr(condition.ptr, '=', condition.len);
    weir_str key =
        equals != NULL ? str_make(condition.ptr, (size_t)(equals - condition.ptr)) : condition;
    const option_value *v = options_get(all, key);
    if (v == NULL) return NULL;
    if (equals == NULL) return v->is_default ? NULL : v;
    weir_str value = str_make(equals + 1, condition.len - key.len - 1);
    return str_eq(v->text, value) ? v : NULL;
}

static const char *because(load *l, const note_rule *rule) {
    return rule->text.len > 0 ? load_printf(l, "%.*s", STR_FMT(rule->text)) : NULL;
}

static void check_requires(reader *r, const note_rule *rule, const options *all) {
    const option_value *when = holds(all, rule->when);
    for (size_t i = 0; when != NULL && i < rule->key_count; i++) {
        weir_str key = rule->keys[i];
        if (options_get(all, key) != NULL || holds(all, key) != NULL) continue;
        load_error(r->l, "option-requires", when->at, because(r->l, rule),
                   "'%.*s' needs '%s' in %s", STR_FMT(rule->when), label(r, key), r->source->owner);
    }
}

static void check_conflicts(reader *r, const note_rule *rule, const options *all) {
    if (holds(all, rule->when) == NULL) return;
    for (size_t i = 0; i < rule->key_count; i++) {
        const option_value *other = holds(all, rule->keys[i]);
        if (other == NULL) continue;
        load_error(r->l, "option-conflict", other->at, because(r->l, rule),
                   "'%.*s' cannot stand beside '%.*s' in %s", STR_FMT(rule->keys[i]),
                   STR_FMT(rule->when), r->source->owner);
    }
}

static void check_one_of(reader *r, const note_rule *rule, const options *all) {
    const option_value *first = NULL;
    for (size_t i = 0; i < rule->key_count; i++) {
        const option_value *v = holds(all, rule->keys[i]);
        if (v == NULL) continue;
        if (first == NULL) {
            first = v;
            continue;
        }
        load_error(r->l, "option-one-of", v->at, because(r->l, rule),
                   "'%.*s' and '%.*s' exclude each other in %s", STR_FMT(first->key),
                   STR_FMT(v->key), r->source->owner);
    }
    if (first == NULL) {
        load_error(r->l, "option-one-of", r->source->at, because(r->l, rule), "%s needs %s",
                   r->source->owner, load_list(r->l, rule->keys, rule->key_count));
    }
}

static void check_rules(reader *r, const options *all) {
    for (size_t i = 0; i < r->source->rule_count; i++) {
        const note_rule *rule = &r->source->rules[i];
        if (rule->kind == RULE_REQUIRES)
            check_requires(r, rule, all);
        else if (rule->kind == RULE_CONFLICTS)
            check_conflicts(r, rule, all);
        else
            check_one_of(r, rule, all);
    }
}
