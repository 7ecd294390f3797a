#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/instance.h"

/* A pipeline of a thousand nodes with its plan stays far below this. */
#define PIPELINE_BYTES_MAX (UINT64_C(256) * MIB)

/* Option rules that only the plugin knows: its own validate, asked once a node. */
static void validate_one(loaded *l, const node *n, const component_ref *component,
                         const options *opts, const format_spec *format, place at) {
    weir_error *err = error_new();
    const bound_component *bound;
    weir_status status = loader_bind(l->plugins, component, &instance_host, &bound, err);
    const char *code = "plugin-not-usable";
    if (status == WEIR_OK) {
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

void load_manifest(const char *path, const arg *set, const arg *properties, loaded *out) {
    memset(out, 0, sizeof *out);
    out->plugins = registry_new();
    out->memory = arena_new(PIPELINE_BYTES_MAX);
    out->diags = diags_new();
    if (out->plugins == NULL || out->memory == NULL || out->diags == NULL) return;
    manifest_input input = {.path = path,
                            .set = set->values,
                            .set_count = set->count,
                            .properties = properties->values,
                            .properties_count = properties->count,
                            .validate = validate,
                            .opaque = out};
    registry_scan(out->plugins);
    out->pipeline = manifest_load(&input, out->plugins, out->memory, out->diags);
    if (out->pipeline == NULL) return;
    out->plan = plan_make(out->pipeline, out->memory, out->diags);
}

void load_free(loaded *l) {
    diags_free(l->diags);
    arena_free(l->memory);
    registry_free(l->plugins);
}
