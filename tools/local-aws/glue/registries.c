/*
 * Registries as a whole, and tags of anything that has an ARN.
 */
#include "glue/glue.h"

#include "base/mem.h"

static void write_id(aws_out *o, const registry *r) {
    aws_out_z(o, "RegistryName", r->name);
    aws_out_z(o, "RegistryArn", r->arn);
}

static void write_all(aws_out *o, const registry *r) {
    write_id(o, r);
    if (r->description) aws_out_z(o, "Description", r->description);
    aws_out_z(o, "Status", r->gone_ms ? "DELETING" : "AVAILABLE");
    glue_out_time(o, "CreatedTime", r->created_ms);
    glue_out_time(o, "UpdatedTime", r->updated_ms);
}

void glue_create_registry(aws_call *call) {
    glue *g = call->state;
    weir_str name, description;
    glue_sweep(g);
    if (!glue_name(call, call->in, "RegistryName", "registryName", &name) ||
        !glue_description(call, &description))
        return;
    if (!name.ptr) {
        aws_fail(call, &GLUE_INVALID,
                 "The resource name contains too many or too few characters. "
                 "Parameter Name: registryName");
        return;
    }
    if (map_get(g->registries, name)) {
        aws_fail(call, &GLUE_EXISTS, "Registry already exists. RegistryName: %.*s", STR_FMT(name));
        return;
    }
    if (map_count(g->registries) >= GLUE_REGISTRIES_MAX) {
        aws_fail(call, &GLUE_LIMIT,
                 "More registries cannot be created. The maximum limit has been reached.");
        return;
    }
    aws_tags tags = {0};
    if (!glue_add_tags(call, &tags, "Tags")) {
        aws_tags_free(&tags);
        return;
    }
    registry *r = registry_new(g, name);
    if (!r || (description.ptr && !aws_text_set(&r->description, description))) {
        if (r) map_remove(g->registries, name);
        if (r) registry_free(r);
        aws_tags_free(&tags);
        glue_no_memory(call);
        return;
    }
    r->tags = tags;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    write_id(o, r);
    if (r->description) aws_out_z(o, "Description", r->description);
    if (tags.count) glue_out_tags(o, &r->tags);
    aws_end(call);
}

void glue_get_registry(aws_call *call) {
    glue_sweep(call->state);
    registry *r = glue_registry(call, false);
    if (!r) return;
    aws_out_open(&call->out, NULL);
    write_all(&call->out, r);
    aws_end(call);
}

void glue_list_registries(aws_call *call) {
    glue *g = call->state;
    page p;
    size_t n;
    glue_sweep(g);
    if (!glue_page(call, 100, &p)) return;
    void **all = glue_sorted(call, g->registries, p.after, &n);
    if (!all) {
        glue_no_memory(call);
        return;
    }
    aws_out *o = &call->out;
    size_t shown = n > (size_t)p.limit ? (size_t)p.limit : n;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Registries");
    for (size_t i = 0; i < shown; i++) {
        aws_out_open(o, NULL);
        write_all(o, all[i]);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    if (shown < n) glue_out_token(call, str_of(((registry *)all[shown - 1])->name));
    aws_end(call);
}

void glue_update_registry(aws_call *call) {
    glue_sweep(call->state);
    registry *r = glue_registry(call, false);
    weir_str description;
    if (!r || !glue_description(call, &description)) return;
    if (!description.ptr) {
        aws_fail(call, &GLUE_INVALID, "Description has to be provided.");
        return;
    }
    if (r->gone_ms) {
        aws_fail(call, &GLUE_CONFLICT, "Registry is being deleted. RegistryName: %s", r->name);
        return;
    }
    if (!aws_text_set(&r->description, description)) {
        glue_no_memory(call);
        return;
    }
    r->updated_ms = glue_now(r->of);
    aws_out_open(&call->out, NULL);
    write_id(&call->out, r);
    aws_end(call);
}

void glue_delete_registry(aws_call *call) {
    glue_sweep(call->state);
    registry *r = glue_registry(call, false);
    if (!r) return;
    glue_leave(r->of, &r->gone_ms);
    aws_out_open(&call->out, NULL);
    write_id(&call->out, r);
    aws_out_z(&call->out, "Status", "DELETING");
    aws_end(call);
}

/* ---- tags ---- */

static aws_tags *tags_of(const glue *g, weir_str arn) {
    size_t cursor = 0, inner;
    weir_str name;
    void *value, *one;
    while (map_next(g->registries, &cursor, &name, &value)) {
        registry *r = value;
        if (str_eq_z(arn, r->arn)) return &r->tags;
        inner = 0;
        while (map_next(r->schemas, &inner, &name, &one)) {
            schema *s = one;
            if (str_eq_z(arn, s->arn)) return &s->tags;
        }
    }
    return NULL;
}

static aws_tags *of_resource(aws_call *call) {
    weir_str arn;
    glue_sweep(call->state);
    if (!aws_member(call, call->in, "ResourceArn", &arn)) return NULL;
    if (!arn.ptr || !str_starts(arn, STR("arn:aws"))) {
        aws_fail(call, &GLUE_INVALID, "ResourceArn: expected the ARN of a registry or a schema");
        return NULL;
    }
    aws_tags *t = tags_of(call->state, arn);
    if (!t) aws_fail(call, &GLUE_NOT_FOUND, "Resource is not found. Arn: %.*s", STR_FMT(arn));
    return t;
}

void glue_tag_resource(aws_call *call) {
    aws_tags *t = of_resource(call);
    const weir_value *in;
    if (!t || !aws_container(call, call->in, "TagsToAdd", WEIR_V_OBJECT, &in)) return;
    if (!in || in->size == 0) {
        aws_fail(call, &GLUE_INVALID, "New Tags cannot be empty or more than %u", GLUE_TAGS_MAX);
        return;
    }
    if (!glue_add_tags(call, t, "TagsToAdd")) return;
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

void glue_untag_resource(aws_call *call) {
    aws_tags *t = of_resource(call);
    const weir_value *in;
    if (!t || !aws_container(call, call->in, "TagsToRemove", WEIR_V_ARRAY, &in)) return;
    if (!in || in->size < 1 || in->size > GLUE_TAGS_MAX) {
        aws_fail(call, &GLUE_INVALID, "TagsToRemove: expected 1 to %u keys", GLUE_TAGS_MAX);
        return;
    }
    const weir_value *key = in + 1;
    for (uint32_t i = 0; i < in->size; i++, key = weir_value_next(key))
        if (key->type == WEIR_V_STRING) aws_tags_remove(t, weir_value_str(key));
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

void glue_get_tags(aws_call *call) {
    aws_tags *t = of_resource(call);
    if (!t) return;
    aws_out_open(&call->out, NULL);
    glue_out_tags(&call->out, t);
    aws_end(call);
}
