#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/fetch.h"
#include "runtime/instance.h"

/* A pipeline of a thousand nodes with its plan stays far below this. */
#define PIPELINE_BYTES_MAX (UINT64_C(256) * MIB)

/* A file that the manifest named, as it was when it was read first. */
struct loaded_file {
    const loaded_file *next;
    weir_str path, text;
};

/* Option rules that only the plugin knows: its own validate, asked once a node. */
static void validate_one(loaded *l, const node *n, const component_ref *component,
                         const options *opts, const format_spec *format, place at) {
    weir_error *err = error_new();
    const bound_component *bound;
    weir_status status = loader_bind(l->plugins, component, &instance_host, &bound, err);
    const char *code = "plugin-not-usable";
    /* What is unknown would be taken for what stands there. */
    if (status == WEIR_OK && options_known(opts)) {
        code = "invalid-option";
        status = instance_validate(bound, n, opts, format, err);
    }
    if (status != WEIR_OK) {
        weir_str key = error_get_detail(err, WEIR_DETAIL_OPTION);
        weir_str hint = error_get_detail(err, WEIR_DETAIL_HINT);
        const option_value *v = key.len > 0 ? options_get(opts, key) : NULL;
        diags_add(l->diags, false, code, v != NULL && !v->is_default ? v->at : at,
                  hint.len > 0 ? hint.ptr : NULL, "%.*s: %s", STR_FMT(n->name), error_text(err));
    }
    error_free(err);
}

static void validate(void *opaque, const node *n, diags *out) {
    loaded *l = opaque;
    (void)out; /* it is l->diags */
    validate_one(l, n, n->component, &n->options, &n->format, n->at);
    if (n->format.serde != NULL) {
        validate_one(l, n, n->format.serde, &n->format.options, &n->format, n->format.at);
    }
}

/* ---- the world outside, as it was at the first look ---- */

static const char *get(void *self, const char *name) {
    (void)self;
    return manifest_env_system.get(NULL, name);
}

static weir_status read_once(void *self, const char *path, size_t max, buf *out, weir_error *err) {
    loaded *l = self;
    for (const loaded_file *f = l->files; f != NULL; f = f->next) {
        if (!str_eq_z(f->path, path)) continue;
        buf_append_str(out, f->text);
        return WEIR_OK;
    }
    weir_status status = manifest_env_system.read(NULL, path, max, out, err);
    loaded_file *f = status == WEIR_OK ? arena_alloc(l->memory, sizeof *f) : NULL;
    if (status != WEIR_OK) return status;
    if (f != NULL) {
        *f = (loaded_file){.next = l->files,
                           .path = arena_str(l->memory, str_of(path)),
                           .text = out->len > 0 ? arena_str(l->memory, buf_str(out)) : STR("")};
    }
    if (f == NULL || f->path.ptr == NULL || f->text.ptr == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "no memory to keep %s", path);
    }
    l->files = f;
    return WEIR_OK;
}

static weir_status fetch(void *self, const component_ref *reference, weir_str text, buf *out,
                         weir_error *err) {
    return fetcher_fetch(((loaded *)self)->fetcher, reference, text, out, err);
}

/* ---- loading ---- */

static void load(loaded *l) {
    l->memory = arena_new(PIPELINE_BYTES_MAX);
    l->diags = diags_new();
    if (l->plugins == NULL || l->memory == NULL || l->diags == NULL) return;
    const manifest_env env = {
        .get = get, .read = read_once, .fetch = l->fetcher != NULL ? fetch : NULL, .self = l};
    manifest_input input = {.path = l->path,
                            .set = l->set->values,
                            .set_count = l->set->count,
                            .properties = l->properties->values,
                            .properties_count = l->properties->count,
                            .env = &env,
                            .validate = validate,
                            .opaque = l};
    registry_scan(l->plugins);
    l->pipeline = manifest_load(&input, l->plugins, l->memory, l->diags);
    if (l->pipeline == NULL) return;
    l->plan = plan_make(l->pipeline, l->memory, l->diags);
}

void load_manifest(const char *path, const arg *set, const arg *properties, loaded *out) {
    *out = (loaded){.plugins = registry_new(), .path = path, .set = set, .properties = properties};
    load(out);
}

void load_fetched(const loaded *from, struct fetcher *values, loaded *out) {
    *out = (loaded){.plugins = from->plugins,
                    .path = from->path,
                    .set = from->set,
                    .properties = from->properties,
                    .files = from->files,
                    .fetcher = values,
                    .again = true};
    load(out);
}

void load_free(loaded *l) {
    diags_free(l->diags);
    arena_free(l->memory);
    if (!l->again) registry_free(l->plugins);
}

void load_print_unknown(const loaded *l, FILE *out) {
    const pipeline *p = l->pipeline;
    if (p == NULL || p->reference_count == 0) return;
    fprintf(out, "%s: known only when it runs, and so not checked:\n", l->path);
    for (size_t i = 0; i < p->reference_count; i++) {
        const plugin_reference *r = &p->references[i];
        fprintf(out, "  %s:%u:%u: ${%.*s}\n", r->at.file, r->at.line, r->at.column,
                STR_FMT(r->text));
    }
}
