#include "manifest/reference.h"

#include <regex.h>

#include "base/limits.h"
#include "base/os.h"

/* Properties that refer to properties: deeper chains are a mistake, and recursion is bounded. */
#define CHAIN_MAX 32u
#define EXPLAIN_BYTES (16 * KIB)

/* One text that is being resolved. */
typedef struct expansion {
    load *l;
    const tree_node *node; /* for places; NULL inside a property */
    place at;              /* the place if there is no node */
    text_mode mode;
    property *owner; /* the property whose text it is, NULL for the manifest's own */
    unsigned depth;
    bool tainted, fetched, unknown;
    buf out;
} expansion;

static bool expand(expansion *x, weir_str text);
static bool expand_plugin(expansion *x, weir_str name, weir_str scheme, size_t offset);
static weir_str scheme_of(weir_str name);
static bool expand_one(expansion *x, weir_str name, size_t offset);
static bool resolve_property(load *l, property *p, text_mode mode, place at, unsigned depth,
                             property *outer);

/* Of a reference in a message. */
static uint64_t shown(weir_str name) {
    return name.len > 200 ? 200 : name.len;
}

static place place_at(const expansion *x, size_t offset) {
    return x->node != NULL ? tree_place(x->node, offset) : x->at;
}

bool reference_resolve(load *l, const tree_node *scalar, text_mode mode, resolved_text *out) {
    *out = (resolved_text){.text = scalar->text};
    if (scalar->text.len == 0 || memchr(scalar->text.ptr, '$', scalar->text.len) == NULL) {
        return true;
    }
    if (l->no_memory) return false;
    expansion x = {.l = l, .node = scalar, .mode = mode};
    buf_init(&x.out, LIMIT_REFERENCE_BYTES);
    bool ok = expand(&x, scalar->text);
    if (ok) {
        out->text = x.out.len > 0 ? arena_str(l->scratch, buf_str(&x.out)) : str_of("");
        out->tainted = x.tainted;
        out->unknown = x.unknown;
        out->changed = !str_eq(out->text, scalar->text);
        ok = out->text.ptr != NULL;
        l->no_memory = l->no_memory || !ok;
    }
    buf_free(&x.out);
    return ok;
}

bool reference_resolve_property(load *l, property *p, text_mode mode, place at) {
    return resolve_property(l, p, mode, at, 0, NULL);
}

void reference_check(load *l, const tree_node *n) {
    resolved_text ignored;
    bool component = l->component, offline = l->offline;
    l->component = l->offline = true;
    if (n->kind == TREE_SCALAR) reference_resolve(l, n, TEXT_TEMPLATE, &ignored);
    for (size_t i = 0; i < n->count; i++) {
        reference_check(l, n->kind == TREE_MAP ? n->pairs[i].value : n->items[i]);
    }
    l->component = component;
    l->offline = offline;
}

bool reference_next(weir_str text, size_t *pos, weir_str *name) {
    while (*pos + 1 < text.len) {
        const char *dollar = memchr(text.ptr + *pos, '$', text.len - *pos - 1);
        if (dollar == NULL) return false;
        size_t i = (size_t)(dollar - text.ptr);
        *pos = i + (dollar[1] == '$' ? 2 : 1);
        if (dollar[1] != '{') continue;
        const char *close = memchr(dollar, '}', text.len - i);
        if (close == NULL) return false;
        *name = str_make(dollar + 2, (size_t)(close - dollar) - 2);
        *pos = (size_t)(close - text.ptr) + 1;
        return true;
    }
    return false;
}

/* ---- expansion ---- */

static bool too_large(expansion *x, size_t offset) {
    load_error(x->l, "reference-too-large", place_at(x, offset), NULL,
               "the text with its references resolved is longer than %llu bytes",
               (unsigned long long)LIMIT_REFERENCE_BYTES);
    return false;
}

/* Goes on after an error, so that all wrong references of a text are seen. */
static bool expand(expansion *x, weir_str text) {
    bool ok = true;
    size_t pos = 0;
    while (pos < text.len) {
        const char *rest = text.ptr + pos;
        const char *dollar = memchr(rest, '$', text.len - pos);
        size_t literal = dollar != NULL ? (size_t)(dollar - rest) : text.len - pos;
        buf_append(&x->out, rest, literal);
        pos += literal;
        if (dollar == NULL) break;
        char next = pos + 1 < text.len ? dollar[1] : '\0';
        if (next == '{') {
            const char *close = memchr(dollar, '}', text.len - pos);
            if (close == NULL) {
                load_error(x->l, "bad-reference", place_at(x, pos), "write $$ for a dollar sign",
                           "'${' without '}'");
                return false;
            }
            weir_str name = str_make(dollar + 2, (size_t)(close - dollar) - 2);
            ok = expand_one(x, name, pos) && ok;
            pos += name.len + 3;
        } else {
            /* A template is parsed again: its dollar signs stay doubled. */
            buf_append_z(&x->out, x->mode == TEXT_TEMPLATE ? "$$" : "$");
            pos += next == '$' ? 2 : 1;
        }
    }
    if (!buf_ok(&x->out)) return too_large(x, 0);
    return ok;
}

static bool misplaced(expansion *x, weir_str name, size_t offset) {
    load_error(x->l, "reference-misplaced", place_at(x, offset),
               "what a pipeline is made of must be known before anybody is asked: use ${env:NAME}, "
               "${file:PATH} or a property",
               "'${%.*s}' can stand only in options of components", (int)shown(name), name.ptr);
    return false;
}

static bool append_property(expansion *x, property *p, size_t offset) {
    if (!resolve_property(x->l, p, x->mode, place_at(x, offset), x->depth + 1, x->owner)) {
        return false;
    }
    if (p->fetched && !x->l->component && x->owner == NULL) return misplaced(x, p->name, offset);
    buf_append_str(&x->out, p->resolved[x->mode]);
    x->tainted = x->tainted || p->tainted;
    x->fetched = x->fetched || p->fetched;
    x->unknown = x->unknown || p->unknown;
    return true;
}

static bool undefined(expansion *x, size_t offset, weir_str name, const char *hint) {
    load_error(x->l, "undefined-reference", place_at(x, offset), hint,
               "undefined reference '${%.*s}'", (int)shown(name), name.ptr);
    return false;
}

static bool expand_env(expansion *x, weir_str reference, size_t offset) {
    load *l = x->l;
    weir_str name = str_make(reference.ptr + 4, reference.len - 4), fallback = {0};
    for (size_t i = 0; i + 1 < name.len; i++) {
        if (name.ptr[i] == ':' && name.ptr[i + 1] == '-') {
            fallback = str_make(name.ptr + i + 2, name.len - i - 2);
            name.len = i;
            break;
        }
    }
    weir_str key = str_of(load_printf(l, "env:%.*s", STR_FMT(name)));
    if (!str_starts(key, STR("env:"))) { /* what load_printf gives without memory */
        l->no_memory = true;
        return false;
    }
    property *p = properties_find(l->props, key);
    if (p == NULL) {
        const char *value =
            name.len > 0 && l->env.get != NULL ? l->env.get(l->env.self, key.ptr + 4) : NULL;
        p = properties_add_external(l, key, str_of(value), value != NULL);
        if (p == NULL) return false;
    }
    if (p->state[x->mode] != STATE_FAILED) return append_property(x, p, offset);
    if (fallback.ptr == NULL) {
        return undefined(x, offset, reference,
                         load_printf(l,
                                     "set the environment variable, or give a default: "
                                     "${env:%s:-default}",
                                     load_escape(l, name)));
    }
    if (x->mode == TEXT_PLAIN) {
        buf_append_str(&x->out, fallback);
        return true;
    }
    for (size_t i = 0; i < fallback.len; i++) {
        buf_append_z(&x->out, fallback.ptr[i] == '$' ? "$" : "");
        buf_append_char(&x->out, fallback.ptr[i]);
    }
    return true;
}

/* The file's text without its last line end, which editors and `echo` put there. */
static property *read_reference(expansion *x, weir_str reference, size_t offset) {
    load *l = x->l;
    buf text;
    buf_init(&text, LIMIT_REFERENCE_BYTES + 1);
    weir_error *err = error_new();
    const char *path =
        os_join(l->scratch, l->base_dir, str_make(reference.ptr + 5, reference.len - 5));
    weir_status status = WEIR_E_NOMEM;
    if (path != NULL && l->env.read != NULL) {
        status = l->env.read(l->env.self, path, LIMIT_REFERENCE_BYTES, &text, err);
    }
    if (status == WEIR_OK && text.len > 0 && memchr(text.data, 0, text.len) != NULL) {
        status = error_set(err, WEIR_E_DATA, 0, "%s holds a NUL byte and is no text", path);
    }
    weir_str value = str_of("");
    if (status != WEIR_OK) {
        load_error(l, "reference-file", place_at(x, offset), NULL, "reference to a file: %s",
                   error_text(err));
    } else if (text.len > 0) {
        if (text.data[text.len - 1] == '\n') text.len--;
        if (text.len > 0 && text.data[text.len - 1] == '\r') text.len--;
        if (text.len > 0) value = arena_str(l->scratch, buf_str(&text));
        if (value.ptr == NULL) l->no_memory = true;
    }
    error_free(err);
    buf_free(&text);
    return l->no_memory ? NULL : properties_add_external(l, reference, value, status == WEIR_OK);
}

static bool expand_file(expansion *x, weir_str reference, size_t offset) {
    if (reference.len == 5) return undefined(x, offset, reference, "write ${file:PATH}");
    property *p = properties_find(x->l->props, reference);
    if (p == NULL) p = read_reference(x, reference, offset);
    return p != NULL && p->state[x->mode] != STATE_FAILED && append_property(x, p, offset);
}

/* ---- references of plugins ---- */

/* The word before the colon of a name that is written like a plugin's reference; else empty. */
static weir_str scheme_of(weir_str name) {
    size_t n = 0;
    for (; n < name.len && name.ptr[n] != ':'; n++) {
        char c = name.ptr[n];
        bool letter = c >= 'a' && c <= 'z';
        bool later = (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!letter && (n == 0 || !later)) return str_of("");
    }
    return n < name.len ? str_make(name.ptr, n) : str_of("");
}

static const char *nearest_scheme(load *l, weir_str scheme) {
    weir_str names[64] = {STR("env"), STR("file")};
    size_t count = 2;
    for (size_t i = 0; i < registry_plugin_count(l->plugins); i++) {
        const note *n = plugin_ref_note(registry_plugin(l->plugins, i));
        for (size_t c = 0; c < n->component_count && count < 64; c++) {
            if (n->components[c].kind == WEIR_KIND_REFERENCE)
                names[count++] = n->components[c].name;
        }
    }
    int i = str_nearest(scheme, names, count);
    return i < 0 ? NULL : load_printf(l, "did you mean '${%s:...}'?", load_escape(l, names[i]));
}

/* Names that the manual of manifests has, and who brings them. */
static const char *who_has(weir_str scheme) {
    bool aws = str_eq_z(scheme, "secretsmanager") || str_eq_z(scheme, "s3file");
    return aws ? "the plugin aws has it: install it, or add its folder to WEIR_PLUGIN_PATH\n" : "";
}

static bool unknown_scheme(expansion *x, weir_str name, weir_str scheme, size_t offset) {
    load *l = x->l;
    const char *hint = NULL;
    if (*who_has(scheme) == '\0' && !diags_full(l->out)) hint = nearest_scheme(l, scheme);
    if (*who_has(scheme) == '\0' && hint == NULL) hint = properties_nearest(l, name);
    buf text;
    buf_init(&text, EXPLAIN_BYTES);
    if (hint == NULL && !diags_full(l->out)) {
        buf_append_z(&text, who_has(scheme));
        registry_explain(l->plugins, WEIR_KIND_REFERENCE, scheme, &text);
        hint = text.data;
    }
    load_error(l, "unknown-reference", place_at(x, offset), hint,
               "no plugin that is installed knows the reference '${%.*s:...}'", STR_FMT(scheme));
    buf_free(&text);
    return false;
}

static bool fits_pattern(const note_component *c, weir_str text) {
    char z[LIMIT_REFERENCE_NAME_BYTES + 1];
    regex_t compiled;
    if (text.len > LIMIT_REFERENCE_NAME_BYTES) return false;
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    if (regcomp(&compiled, c->pattern.ptr, REG_EXTENDED | REG_NOSUB) != 0) return false;
    bool fits = regexec(&compiled, z, 0, NULL, 0) == 0;
    regfree(&compiled);
    return fits;
}

/* Whoever prints what a run will fetch wants each once. */
static void list_reference(load *l, weir_str reference, place at) {
    if (l->reference_count == l->reference_capacity) {
        size_t capacity = l->reference_capacity == 0 ? 8 : l->reference_capacity * 2;
        plugin_reference *grown = load_array(l, capacity, sizeof *grown);
        if (grown == NULL) return;
        if (l->reference_count > 0)
            memcpy(grown, l->references, l->reference_count * sizeof *grown);
        l->references = grown;
        l->reference_capacity = capacity;
    }
    at.file = load_keep(l, str_of(at.file)).ptr;
    l->references[l->reference_count++] = (plugin_reference){load_keep(l, reference), at};
}

/* What a plugin answers is text of at most LIMIT_REFERENCE_BYTES. False after an error. */
static bool fetch(expansion *x, const component_ref *component, weir_str reference, weir_str text,
                  size_t offset, weir_str *value) {
    load *l = x->l;
    buf fetched;
    buf_init(&fetched, LIMIT_REFERENCE_BYTES);
    weir_error *err = error_new();
    weir_status status = l->env.fetch(l->env.self, component, text, &fetched, err);
    if (status == WEIR_OK && !buf_ok(&fetched)) {
        status = error_set(err, WEIR_E_TOO_LARGE, 0, "its value is longer than %llu bytes",
                           (unsigned long long)LIMIT_REFERENCE_BYTES);
    } else if (status == WEIR_OK && fetched.len > 0 && memchr(fetched.data, 0, fetched.len)) {
        status = error_set(err, WEIR_E_DATA, 0, "its value holds a NUL byte and is no text");
    }
    if (status != WEIR_OK) {
        weir_str hint = error_get_detail(err, WEIR_DETAIL_HINT);
        load_error(l, "reference-failed", place_at(x, offset), hint.len > 0 ? hint.ptr : NULL,
                   "'${%.*s}' cannot be resolved: %s", (int)shown(reference), reference.ptr,
                   error_text(err));
    } else {
        *value = fetched.len > 0 ? arena_str(l->scratch, buf_str(&fetched)) : str_of("");
        if (value->ptr == NULL) l->no_memory = true;
    }
    if (fetched.len > 0) explicit_bzero(fetched.data, fetched.len);
    buf_free(&fetched);
    error_free(err);
    return status == WEIR_OK && !l->no_memory;
}

static property *add_fetched(expansion *x, weir_str name, weir_str scheme, size_t offset) {
    load *l = x->l;
    const component_ref *component = registry_find(l->plugins, WEIR_KIND_REFERENCE, scheme);
    if (component == NULL) {
        unknown_scheme(x, name, scheme, offset);
        return NULL;
    }
    const note_component *described = component_note(component);
    weir_str text = str_make(name.ptr + scheme.len + 1, name.len - scheme.len - 1);
    if (!fits_pattern(described, text)) {
        load_error(l, "bad-reference", place_at(x, offset),
                   load_printf(l, "write ${%.*s:%.*s}", STR_FMT(scheme), STR_FMT(described->form)),
                   "'${%.*s}' is not written as this reference is", (int)shown(name), name.ptr);
        return NULL;
    }
    bool known = l->env.fetch != NULL && !l->offline, ok = true;
    weir_str value = str_of(load_printf(l, "${%.*s}", STR_FMT(name)));
    if (!l->offline) list_reference(l, name, place_at(x, offset));
    if (known) ok = fetch(x, component, name, text, offset, &value);
    property *p = l->no_memory ? NULL : properties_add_external(l, name, value, ok);
    if (p == NULL) return NULL;
    p->fetched = true;
    p->unknown = !known;
    return p;
}

static bool expand_plugin(expansion *x, weir_str name, weir_str scheme, size_t offset) {
    /* Within a property: where it is used decides. */
    if (!x->l->component && x->owner == NULL) return misplaced(x, name, offset);
    property *p = properties_find(x->l->props, name);
    if (p == NULL) p = add_fetched(x, name, scheme, offset);
    return p != NULL && p->state[x->mode] != STATE_FAILED && append_property(x, p, offset);
}

static bool expand_one(expansion *x, weir_str name, size_t offset) {
    load *l = x->l;
    if (template_is_record(name)) {
        if (x->mode == TEXT_TEMPLATE) {
            buf_append_z(&x->out, "${");
            buf_append_str(&x->out, name);
            buf_append_char(&x->out, '}');
            return true;
        }
        load_error(l, "template-not-allowed", place_at(x, offset),
                   "only options of type template take values of records",
                   "'${%.*s}' is known only record by record", (int)shown(name), name.ptr);
        return false;
    }
    if (str_starts(name, STR("env:"))) return expand_env(x, name, offset);
    if (str_starts(name, STR("file:"))) return expand_file(x, name, offset);
    property *p = properties_find(l->props, name);
    if (p != NULL && !p->external) return append_property(x, p, offset);
    weir_str scheme = scheme_of(name);
    if (scheme.len > 0) return expand_plugin(x, name, scheme, offset);
    if (name.len > 0 && memchr(name.ptr, '.', name.len) != NULL) {
        const char *hint = properties_nearest(l, name);
        return undefined(x, offset, name,
                         hint != NULL ? hint : "define it below 'properties', or with --set");
    }
    load_error(l, "bad-reference", place_at(x, offset),
               "a reference is ${group.key}, ${env:NAME}, ${file:PATH} or a plugin's ${NAME:TEXT}; "
               "$$ is a dollar sign",
               "'${%.*s}' is no reference", (int)shown(name), name.ptr);
    return false;
}

/* ---- properties ---- */

static void report_cycle(load *l, const property *p, const property *outer, place at) {
    const char *path = load_printf(l, "%.*s", STR_FMT(p->name));
    unsigned steps = 0;
    for (const property *q = outer; q != NULL && steps < CHAIN_MAX; q = q->outer, steps++) {
        path = load_printf(l, "%.*s -> %s", STR_FMT(q->name), path);
        if (q == p) break;
    }
    load_error(l, "reference-cycle", at, NULL, "property refers to itself: %s", path);
}

static bool escape(load *l, weir_str text, weir_str *out) {
    buf b;
    buf_init(&b, LIMIT_REFERENCE_BYTES * 2);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '$') buf_append_char(&b, '$');
        buf_append_char(&b, text.ptr[i]);
    }
    *out = buf_ok(&b) && b.len > 0 ? arena_str(l->scratch, buf_str(&b)) : str_of("");
    bool ok = buf_ok(&b) && out->ptr != NULL;
    buf_free(&b);
    l->no_memory = l->no_memory || !ok;
    return ok;
}

static bool resolve_property(load *l, property *p, text_mode mode, place at, unsigned depth,
                             property *outer) {
    if (p->state[mode] == STATE_DONE) return true;
    if (p->state[mode] == STATE_FAILED || l->no_memory) return false;
    if (p->state[mode] == STATE_BUSY) {
        report_cycle(l, p, outer, p->at);
        return false;
    }
    if (p->external) {
        p->resolved[mode] = p->text;
        bool ok = mode == TEXT_PLAIN || escape(l, p->text, &p->resolved[mode]);
        p->state[mode] = ok ? STATE_DONE : STATE_FAILED;
        return ok;
    }
    if (depth > CHAIN_MAX) {
        load_error(l, "reference-too-deep", at, NULL,
                   "properties refer to each other over more than %u steps", CHAIN_MAX);
        return false;
    }
    expansion x = {.l = l, .at = p->at, .mode = mode, .owner = p, .depth = depth};
    buf_init(&x.out, LIMIT_REFERENCE_BYTES);
    p->state[mode] = STATE_BUSY;
    p->outer = outer;
    bool ok = expand(&x, p->text);
    if (ok) {
        p->resolved[mode] = x.out.len > 0 ? arena_str(l->scratch, buf_str(&x.out)) : str_of("");
        ok = p->resolved[mode].ptr != NULL;
        l->no_memory = l->no_memory || !ok;
    }
    p->tainted = p->tainted || x.tainted;
    p->fetched = p->fetched || x.fetched;
    p->unknown = p->unknown || x.unknown;
    p->state[mode] = ok ? STATE_DONE : STATE_FAILED;
    buf_free(&x.out);
    return ok;
}
