/*
 * tests/fuzz/fuzz_manifest.c - from text to a pipeline: YAML, references, properties, options,
 * templates and the graph.
 *
 * Lines at the beginning say what stands beside the manifest:
 *
 *     #set group.key=value       a --set, up to eight
 *     #properties                the rest, from a line "#manifest" on, is the manifest; what stands
 *                                between is the file of --properties
 *
 * The components are those of the unit tests. There is one environment variable, WEIR_FUZZ, and one
 * file besides that of the properties, /m/file; both hold the same word. Everything else is unset
 * and cannot be read. ${vault:fuzz} is that word too when plugins' references are fetched; any
 * other cannot be had.
 *
 * Beyond not crashing: there is a pipeline or an error, never both; each diagnostic says something
 * and stands in the text; what is printed as JSON is JSON; the word from outside is in no
 * diagnostic; nodes are in topological order and know each other; a second loading says the same.
 * Without anything fetched no manifest is refused that is right with it, and what it is made of is
 * the same.
 */
#define _GNU_SOURCE /* memmem */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "weir/json.h"

/* The functions of core/loader; the library with the real ones is not linked in. */
#include "unit/manifest/fake_registry.c"

#include "manifest/manifest.h"

#define MEMORY_BYTES (64u << 20)
#define SETS_MAX 8u
#define OUTSIDE "qz$${.x}7"
#define PROPERTIES "/m/properties.yaml"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outside {
    weir_str properties;
    char *sets[SETS_MAX];
} outside;

static void must(bool holds) {
    if (!holds) abort();
}

static const char *get(void *self, const char *name) {
    (void)self;
    return strcmp(name, "WEIR_FUZZ") == 0 ? OUTSIDE : NULL;
}

static weir_status read_file(void *self, const char *path, size_t max, buf *out, weir_error *err) {
    const outside *o = self;
    weir_str text = {0};
    if (strcmp(path, PROPERTIES) == 0) text = o->properties;
    if (strcmp(path, "/m/file") == 0) text = str_of(OUTSIDE "\n");
    if (text.ptr == NULL) return error_set(err, WEIR_E_NOT_FOUND, 0, "%s: no such file", path);
    if (text.len > max) return error_set(err, WEIR_E_TOO_LARGE, 0, "%s: too large", path);
    buf_append_str(out, text);
    return buf_ok(out) ? WEIR_OK : WEIR_E_NOMEM;
}

static weir_status fetch(void *self, const component_ref *reference, weir_str text, buf *out,
                         weir_error *err) {
    (void)self;
    must(str_eq_z(component_note(reference)->name, "vault"));
    if (!str_eq_z(text, "fuzz")) return error_set(err, WEIR_E_NOT_FOUND, 0, "there is none");
    buf_append_z(out, OUTSIDE);
    return WEIR_OK;
}

static bool find(weir_str text, const char *word) {
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

/* ---- the input ---- */

/* Takes a line off `text` if it begins with `word`: what follows the word. */
static bool take_line(weir_str *text, const char *word, weir_str *rest) {
    weir_str w = str_of(word);
    if (!str_starts(*text, w)) return false;
    const char *end = memchr(text->ptr, '\n', text->len);
    if (end == NULL) return false;
    *rest = str_make(text->ptr + w.len, (size_t)(end - text->ptr) - w.len);
    *text = str_make(end + 1, text->len - (size_t)(end + 1 - text->ptr));
    return true;
}

static void split_input(weir_str *text, outside *o, manifest_input *input) {
    static const char *const files[] = {PROPERTIES};
    static const char end[] = "\n#manifest\n";
    weir_str line;
    while (input->set_count < SETS_MAX && take_line(text, "#set ", &line)) {
        char *set = malloc(line.len + 1);
        must(set != NULL);
        memcpy(set, line.ptr, line.len);
        set[line.len] = '\0';
        o->sets[input->set_count++] = set;
    }
    if (take_line(text, "#properties", &line)) {
        const char *cut = memmem(text->ptr, text->len, end, sizeof end - 1);
        size_t len = cut != NULL ? (size_t)(cut - text->ptr) : text->len;
        size_t rest = cut != NULL ? len + sizeof end - 1 : len;
        o->properties = str_make(text->ptr, len);
        *text = str_make(text->ptr + rest, text->len - rest);
        input->properties = files;
        input->properties_count = 1;
    }
}

/* ---- what must hold ---- */

static void check_diags(const diags *d, weir_str input) {
    bool outside_is_inside = find(input, OUTSIDE);
    size_t lines = 1;
    for (size_t i = 0; i < input.len; i++) {
        /* libyaml ends lines at carriage returns, NEL, LS and PS as well. */
        unsigned char c = (unsigned char)input.ptr[i];
        if (c == '\n' || c == '\r' || c == 0x85 || c == 0xa8 || c == 0xa9) lines++;
    }
    for (size_t i = 0; i < diags_count(d); i++) {
        const diag *e = diags_get(d, i);
        must(*e->code != '\0' && *e->text != '\0' && *e->file != '\0');
        must(e->line <= lines + 1 && (e->line == 0) == (e->column == 0));
        for (const char *c = e->text; *c != '\0'; c++) must((unsigned char)*c >= ' ');
        if (outside_is_inside) continue;
        must(strstr(e->text, OUTSIDE) == NULL);
        must(e->hint == NULL || strstr(e->hint, OUTSIDE) == NULL);
    }
}

static void check_json(const diags *d) {
    buf text;
    buf_init(&text, MEMORY_BYTES);
    diags_json(d, &text);
    must(buf_ok(&text));
    weir_json_doc *doc = weir_json_read(buf_str(&text), 0, NULL);
    must(doc != NULL);
    weir_json_free(doc);
    buf_free(&text);
}

static void check_node(const pipeline *p, const node *n, size_t index) {
    must(n->index == index && n->name.len > 0 && n->component != NULL && n->parallelism > 0);
    must((n->kind == WEIR_KIND_SOURCE) == (n->input_count == 0) || n->is_dead_letter);
    must(n->kind != WEIR_KIND_SINK || n->output_count == 0);
    must(n->kind == WEIR_KIND_SINK || n->output_count > 0);
    for (size_t i = 0; i < n->input_count; i++) {
        const node *up = n->inputs[i];
        bool found = false;
        must(up->index < index && p->nodes[up->index] == up && up->kind != WEIR_KIND_SINK);
        for (size_t k = 0; k < up->output_count; k++) found = found || up->outputs[k] == n;
        must(found);
    }
    must((n->on_error == ON_ERROR_DEAD_LETTER) == (n->dead_letter != NULL));
    if (n->dead_letter != NULL) {
        must(n->dead_letter->is_dead_letter && n->dead_letter->index > index);
    }
    for (size_t i = 0; i < n->options.count; i++) {
        const option_value *v = &n->options.values[i];
        must(options_get(&n->options, v->key) == v);
        must(v->option == NULL || v->option->type != OPTION_TEMPLATE || v->tmpl != NULL ||
             v->is_map);
    }
}

/* Two pipelines of one manifest, with and without what plugins answer. */
static void check_alike(const pipeline *a, const pipeline *b) {
    must(str_eq(a->name, b->name) && a->node_count == b->node_count);
    must(a->reference_count == b->reference_count);
    must(memcmp(&a->settings.restart, &b->settings.restart, sizeof a->settings.restart) == 0);
    for (size_t i = 0; i < a->node_count; i++) {
        const node *x = a->nodes[i], *y = b->nodes[i];
        must(str_eq(x->name, y->name) && x->component == y->component);
        must(x->parallelism == y->parallelism && x->input_count == y->input_count);
        must(options_known(&y->options) && options_known(&y->format.options));
    }
}

static void check_pipeline(const pipeline *p) {
    must(p->name.len > 0 && p->node_count >= 2);
    must(p->settings.parallelism > 0 && p->settings.memory_bytes > 0);
    for (size_t i = 0; i < p->node_count; i++) check_node(p, p->nodes[i], i);
}

static void same(const diags *a, const diags *b) {
    must(diags_count(a) == diags_count(b) && diags_errors(a) == diags_errors(b));
    for (size_t i = 0; i < diags_count(a); i++) {
        const diag *x = diags_get(a, i), *y = diags_get(b, i);
        must(x->line == y->line && x->column == y->column && strcmp(x->code, y->code) == 0);
        must(strcmp(x->text, y->text) == 0);
    }
}

static diags *load(const manifest_input *input, weir_str text, arena *memory,
                   const pipeline **out) {
    diags *d = diags_new();
    must(d != NULL);
    const pipeline *p = manifest_load_text(input, text, NULL, memory, d);
    must((p == NULL) == (diags_errors(d) > 0));
    if (p != NULL) check_pipeline(p);
    *out = p;
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_str all = {size > 0 ? (const char *)data : "", size}, text = all;
    outside o = {0};
    manifest_env env = {.get = get, .read = read_file, .self = &o};
    manifest_input input = {.path = "/m/m.yaml", .env = &env};
    input.set = (const char *const *)o.sets;
    split_input(&text, &o, &input);

    const pipeline *unasked, *fetched, *again;
    arena *memory = arena_new(3 * (size_t)MEMORY_BYTES);
    must(memory != NULL);
    diags *check = load(&input, text, memory, &unasked);
    check_diags(check, all);
    check_json(check);

    env.fetch = fetch;
    diags *first = load(&input, text, memory, &fetched);
    check_diags(first, all);
    must(fetched == NULL || unasked != NULL);
    if (fetched != NULL) check_alike(unasked, fetched);

    diags *second = load(&input, text, memory, &again);
    same(first, second);
    arena_free(memory);

    diags_free(check);
    diags_free(first);
    diags_free(second);
    for (size_t i = 0; i < SETS_MAX; i++) free(o.sets[i]);
    return 0;
}
