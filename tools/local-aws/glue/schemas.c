/*
 * Schemas as a whole.
 */
#include "glue/glue.h"

#include <inttypes.h>

#include "base/mem.h"

static void write_place(aws_out *o, const schema *s) {
    aws_out_z(o, "RegistryName", s->of->name);
    aws_out_z(o, "SchemaName", s->name);
    aws_out_z(o, "SchemaArn", s->arn);
}

static void write_times(aws_out *o, const schema *s) {
    if (s->description) aws_out_z(o, "Description", s->description);
    aws_out_z(o, "SchemaStatus", schema_leaves(s) ? "DELETING" : "AVAILABLE");
    glue_out_time(o, "CreatedTime", s->created_ms);
    glue_out_time(o, "UpdatedTime", s->updated_ms);
}

static void write_rules(aws_out *o, const schema *s) {
    const version *latest = schema_latest(s);
    aws_out_z(o, "RegistryArn", s->of->arn);
    aws_out_z(o, "DataFormat", glue_format_names[s->format]);
    aws_out_z(o, "Compatibility", glue_compatibility_names[s->compatibility]);
    if (s->checkpoint) aws_out_i64(o, "SchemaCheckpoint", s->checkpoint);
    if (latest) aws_out_i64(o, "LatestSchemaVersion", latest->number);
    aws_out_i64(o, "NextSchemaVersion", s->next);
}

static const char BAD_FORMAT[] = "Data format is not valid.",
                  BAD_COMPATIBILITY[] = "Compatibility is not valid.";

static bool read_compatibility(aws_call *call, int *out) {
    return glue_choice(call, "Compatibility", glue_compatibility_names, GLUE_COMPATIBILITIES,
                       BAD_COMPATIBILITY, out);
}

/* What CreateSchema is given, but the registry and the definition. */
typedef struct wanted {
    weir_str name, description;
    int format, compatibility;
    aws_tags tags;
} wanted;

static bool read_wanted(aws_call *call, wanted *w) {
    if (!glue_name(call, call->in, "SchemaName", "schemaName", &w->name)) return false;
    if (!w->name.ptr) {
        aws_fail(call, &GLUE_INVALID,
                 "The resource name contains too many or too few characters. "
                 "Parameter Name: schemaName");
        return false;
    }
    if (!glue_choice(call, "DataFormat", glue_format_names, GLUE_FORMATS, BAD_FORMAT, &w->format))
        return false;
    if (w->format < 0) {
        aws_fail(call, &GLUE_INVALID, BAD_FORMAT);
        return false;
    }
    if (!read_compatibility(call, &w->compatibility)) return false;
    if (w->compatibility < 0) w->compatibility = 2; /* BACKWARD, as the service's clients have it */
    return glue_description(call, &w->description) && glue_add_tags(call, &w->tags, "Tags");
}

static void unmake(schema *s) {
    map_remove(s->of->schemas, str_of(s->name));
    schema_free(s);
}

void glue_create_schema(aws_call *call) {
    glue *g = call->state;
    wanted w = {0};
    weir_str definition = {NULL, 0};
    glue_sweep(g);
    registry *r = glue_registry(call, true);
    bool defined = r && aws_in(call, "SchemaDefinition");
    if (!r || !read_wanted(call, &w) || (defined && !glue_definition(call, &definition))) {
        aws_tags_free(&w.tags);
        return;
    }
    if (r->gone_ms || map_get(r->schemas, w.name)) {
        aws_tags_free(&w.tags);
        if (r->gone_ms)
            aws_fail(call, &GLUE_CONFLICT, "Registry is being deleted. RegistryName: %s", r->name);
        else
            aws_fail(call, &GLUE_EXISTS,
                     "Schema already exists. RegistryName: %s, SchemaName: %.*s", r->name,
                     STR_FMT(w.name));
        return;
    }
    schema *s = schema_new(r, w.name);
    if (!s || (w.description.ptr && !aws_text_set(&s->description, w.description))) {
        if (s) unmake(s);
        aws_tags_free(&w.tags);
        glue_no_memory(call);
        return;
    }
    s->format = (glue_format)w.format;
    s->compatibility = w.compatibility;
    s->tags = w.tags;
    const version *v = defined ? glue_register(call, s, definition) : NULL;
    if (defined && !v) {
        unmake(s);
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    write_place(o, s);
    write_rules(o, s);
    if (s->description) aws_out_z(o, "Description", s->description);
    aws_out_z(o, "SchemaStatus", "AVAILABLE");
    if (s->tags.count) glue_out_tags(o, &s->tags);
    if (v) aws_out_z(o, "SchemaVersionId", v->id);
    if (v) aws_out_z(o, "SchemaVersionStatus", glue_status_names[v->status]);
    aws_end(call);
}

void glue_get_schema(aws_call *call) {
    glue_sweep(call->state);
    const schema *s = glue_schema(call, false);
    if (!s) return;
    aws_out_open(&call->out, NULL);
    write_place(&call->out, s);
    write_rules(&call->out, s);
    write_times(&call->out, s);
    aws_end(call);
}

/* The schemas of one registry, or without RegistryId those of all, by registry and name. */
static schema **all_schemas(aws_call *call, const registry *only, const char *after,
                            size_t *count) {
    glue *g = call->state;
    map *flat = map_new();
    schema **found = NULL;
    size_t cursor = 0, inner;
    weir_str name;
    void *value, *one;
    bool ok = flat != NULL;
    while (ok && map_next(g->registries, &cursor, &name, &value)) {
        const registry *r = value;
        if (only && r != only) continue;
        inner = 0;
        while (ok && map_next(r->schemas, &inner, &name, &one)) {
            const schema *s = one;
            weir_str key = str_of(strchr(s->arn, '/') + 1);
            ok = map_put(flat, key, one);
        }
    }
    if (ok) found = (schema **)glue_sorted(call, flat, after, count);
    map_free(flat);
    return found;
}

void glue_list_schemas(aws_call *call) {
    page p;
    size_t n = 0;
    glue_sweep(call->state);
    const registry *only = NULL;
    if (aws_in(call, "RegistryId") && !(only = glue_registry(call, false))) return;
    if (!glue_page(call, 100, &p)) return;
    schema **all = all_schemas(call, only, p.after, &n);
    if (!all) {
        glue_no_memory(call);
        return;
    }
    size_t shown = n > (size_t)p.limit ? (size_t)p.limit : n;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Schemas");
    for (size_t i = 0; i < shown; i++) {
        aws_out_open(o, NULL);
        write_place(o, all[i]);
        write_times(o, all[i]);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    if (shown < n) glue_out_token(call, str_of(strchr(all[shown - 1]->arn, '/') + 1));
    aws_end(call);
}

void glue_update_schema(aws_call *call) {
    int compatibility;
    weir_str description;
    const version *checkpoint = NULL;
    glue_sweep(call->state);
    schema *s = glue_schema(call, true);
    if (!s || !read_compatibility(call, &compatibility) || !glue_description(call, &description))
        return;
    bool numbered = aws_in(call, "SchemaVersionNumber") != NULL;
    if (!numbered && (compatibility >= 0 || !description.ptr)) {
        aws_fail(call, &GLUE_INVALID,
                 compatibility >= 0
                     ? "One of version number (or) latest version is required."
                     : "At least one of (schemaVersionNumber, compatibility, description) has to "
                       "be provided.");
        return;
    }
    if (numbered && !(checkpoint = glue_numbered(call, s, "SchemaVersionNumber"))) return;
    if (description.ptr && !aws_text_set(&s->description, description)) {
        glue_no_memory(call);
        return;
    }
    if (checkpoint) s->checkpoint = checkpoint->number;
    if (compatibility >= 0) s->compatibility = compatibility;
    s->updated_ms = glue_now(call->state);
    aws_out_open(&call->out, NULL);
    write_place(&call->out, s);
    aws_end(call);
}

void glue_delete_schema(aws_call *call) {
    glue_sweep(call->state);
    schema *s = glue_schema(call, false);
    if (!s) return;
    glue_leave(call->state, &s->gone_ms);
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "SchemaArn", s->arn);
    aws_out_z(&call->out, "SchemaName", s->name);
    aws_out_z(&call->out, "Status", "DELETING");
    aws_end(call);
}
