/*
 * The table of operations and the model: what is made, swept, and kept between runs.
 */
#include "glue/glue.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "services.h"

const aws_exception GLUE_NOT_FOUND = {"EntityNotFoundException", 400},
                    GLUE_EXISTS = {"AlreadyExistsException", 400},
                    GLUE_INVALID = {"InvalidInputException", 400},
                    GLUE_LIMIT = {"ResourceNumberLimitExceededException", 400},
                    GLUE_CONFLICT = {"ConcurrentModificationException", 400},
                    GLUE_INTERNAL = {"InternalServiceException", 500};

const char *const glue_format_names[] = {"AVRO", "JSON", "PROTOBUF"};
const char *const glue_status_names[] = {"AVAILABLE", "PENDING", "FAILURE", "DELETING"};
const char *const glue_compatibility_names[] = {
    "NONE", "DISABLED", "BACKWARD", "BACKWARD_ALL", "FORWARD", "FORWARD_ALL", "FULL", "FULL_ALL"};

static const aws_operation operations[] = {
    {"GetSchemaVersion", glue_get_version, 0},
    {"GetSchemaByDefinition", glue_get_by_definition, 0},
    {"RegisterSchemaVersion", glue_register_version, 0},
    {"CreateSchema", glue_create_schema, 0},
    {"GetSchema", glue_get_schema, 0},
    {"ListSchemas", glue_list_schemas, 0},
    {"UpdateSchema", glue_update_schema, 0},
    {"DeleteSchema", glue_delete_schema, 0},
    {"ListSchemaVersions", glue_list_versions, 0},
    {"DeleteSchemaVersions", glue_delete_versions, 0},
    {"GetSchemaVersionsDiff", glue_versions_diff, 0},
    {"CheckSchemaVersionValidity", glue_check_validity, 0},
    {"PutSchemaVersionMetadata", glue_put_metadata, 0},
    {"RemoveSchemaVersionMetadata", glue_remove_metadata, 0},
    {"QuerySchemaVersionMetadata", glue_query_metadata, 0},
    {"CreateRegistry", glue_create_registry, 0},
    {"GetRegistry", glue_get_registry, 0},
    {"ListRegistries", glue_list_registries, 0},
    {"UpdateRegistry", glue_update_registry, 0},
    {"DeleteRegistry", glue_delete_registry, 0},
    {"TagResource", glue_tag_resource, 0},
    {"UntagResource", glue_untag_resource, 0},
    {"GetTags", glue_get_tags, 0},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- making and freeing ---- */

static char *arn_of(const glue *g, const char *kind, const char *registry_name, weir_str name) {
    const local_options *o = local_settings(g->home);
    buf b;
    buf_init(&b, 2048);
    buf_printf(&b, "arn:aws:glue:%s:%s:%s/", o->region, o->account, kind);
    if (registry_name) buf_printf(&b, "%s/", registry_name);
    buf_append_str(&b, name);
    char *arn = buf_ok(&b) ? aws_text(buf_str(&b)) : NULL;
    buf_free(&b);
    return arn;
}

registry *registry_new(glue *g, weir_str name) {
    registry *r = mem_zalloc(sizeof *r);
    if (!r) return NULL;
    r->of = g;
    r->name = aws_text(name);
    r->arn = arn_of(g, "registry", NULL, name);
    r->schemas = map_new();
    r->created_ms = r->updated_ms = glue_now(g);
    if (r->name && r->arn && r->schemas && map_put(g->registries, name, r)) return r;
    registry_free(r);
    return NULL;
}

void registry_free(registry *r) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (r->schemas && map_next(r->schemas, &cursor, &name, &value)) schema_free(value);
    map_free(r->schemas);
    aws_tags_free(&r->tags);
    mem_free(r->name);
    mem_free(r->arn);
    mem_free(r->description);
    mem_free(r);
}

schema *schema_new(registry *r, weir_str name) {
    schema *s = mem_zalloc(sizeof *s);
    if (!s) return NULL;
    s->of = r;
    s->name = aws_text(name);
    s->arn = arn_of(r->of, "schema", r->name, name);
    s->next = 1;
    s->created_ms = s->updated_ms = glue_now(r->of);
    if (s->name && s->arn && map_put(r->schemas, name, s)) return s;
    schema_free(s);
    return NULL;
}

void schema_free(schema *s) {
    for (uint32_t i = 0; i < s->count; i++) version_free(s->versions[i]);
    mem_free(s->versions);
    aws_tags_free(&s->tags);
    mem_free(s->name);
    mem_free(s->arn);
    mem_free(s->description);
    mem_free(s);
}

static bool room_for_version(schema *s) {
    if (s->count < s->room) return true;
    uint32_t room = s->room ? s->room * 2 : 4;
    version **more = mem_realloc(s->versions, room * sizeof *more);
    if (!more) return false;
    s->versions = more;
    s->room = room;
    return true;
}

static bool append(schema *s, version *v) {
    if (!v->definition || !v->canonical || !room_for_version(s) ||
        !map_put(s->of->of->versions, str_of(v->id), v))
        return false;
    s->versions[s->count++] = v;
    return true;
}

version *version_new(schema *s, weir_str definition, weir_str canonical) {
    glue *g = s->of->of;
    version *v = mem_zalloc(sizeof *v);
    if (!v) return NULL;
    v->of = s;
    /* Ids come from the seed; those of an earlier run may be here already. */
    do local_uuid(g->home, v->id);
    while (map_get(g->versions, str_of(v->id)));
    v->number = s->next;
    v->definition = aws_text(definition);
    v->canonical = aws_text(canonical);
    v->definition_len = (size_t)definition.len;
    v->canonical_len = (size_t)canonical.len;
    v->created_ms = glue_now(g);
    if (append(s, v)) {
        s->next++;
        return v;
    }
    v->of = NULL;
    version_free(v);
    return NULL;
}

static void metadata_free(metadata *m) {
    mem_free(m->key);
    mem_free(m->value);
    mem_free(m);
}

void version_free(version *v) {
    if (v->of) map_remove(v->of->of->of->versions, str_of(v->id));
    while (v->metadata) {
        metadata *next = v->metadata->next;
        metadata_free(v->metadata);
        v->metadata = next;
    }
    mem_free(v->definition);
    mem_free(v->canonical);
    mem_free(v);
}

bool version_add_metadata(version *v, weir_str key, weir_str value, int64_t created_ms) {
    metadata *m = mem_zalloc(sizeof *m);
    if (!m) return false;
    m->key = aws_text(key);
    m->value = aws_text(value);
    m->created_ms = created_ms;
    if (!m->key || !m->value) {
        metadata_free(m);
        return false;
    }
    metadata **at = &v->metadata;
    while (*at) at = &(*at)->next;
    *at = m;
    v->metadata_count++;
    return true;
}

/* ---- finding ---- */

version *schema_version(const schema *s, int64_t number) {
    for (uint32_t i = 0; i < s->count; i++)
        if (s->versions[i]->number == number) return s->versions[i];
    return NULL;
}

version *schema_latest(const schema *s) {
    for (uint32_t i = s->count; i-- > 0;)
        if (!s->versions[i]->gone_ms) return s->versions[i];
    return NULL;
}

version *schema_by_canonical(const schema *s, weir_str canonical) {
    for (uint32_t i = 0; i < s->count; i++) {
        version *v = s->versions[i];
        if (!v->gone_ms && str_eq(canonical, str_make(v->canonical, v->canonical_len))) return v;
    }
    return NULL;
}

/* ---- leaving ---- */

bool schema_leaves(const schema *s) {
    return s->gone_ms || s->of->gone_ms;
}

glue_status version_status(const version *v) {
    return v->gone_ms || schema_leaves(v->of) ? GLUE_DELETING : v->status;
}

void glue_leave(glue *g, int64_t *gone_ms) {
    if (*gone_ms) return;
    *gone_ms = glue_now(g) + GLUE_CHANGE_MS;
    g->leaving++;
}

static void sweep_versions(glue *g, schema *s, int64_t now) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        version *v = s->versions[i];
        if (v->gone_ms && v->gone_ms <= now) {
            version_free(v);
            g->leaving--;
        } else {
            s->versions[kept++] = v;
        }
    }
    s->count = kept;
}

/* How many things in it were counted as leaving. */
static uint32_t leaving_within(const schema *s) {
    uint32_t n = s->gone_ms != 0;
    for (uint32_t i = 0; i < s->count; i++) n += s->versions[i]->gone_ms != 0;
    return n;
}

static void sweep_registry(glue *g, registry *r, int64_t now) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(r->schemas, &cursor, &name, &value)) {
        schema *s = value;
        if (!s->gone_ms || s->gone_ms > now) {
            sweep_versions(g, s, now);
            continue;
        }
        g->leaving -= leaving_within(s);
        map_remove(r->schemas, str_of(s->name));
        schema_free(s);
    }
}

void glue_sweep(glue *g) {
    if (!g->leaving) return;
    int64_t now = glue_now(g);
    size_t cursor = 0, inner;
    weir_str name;
    void *value, *one;
    while (map_next(g->registries, &cursor, &name, &value)) {
        registry *r = value;
        if (!r->gone_ms || r->gone_ms > now) {
            sweep_registry(g, r, now);
            continue;
        }
        g->leaving--;
        inner = 0;
        while (map_next(r->schemas, &inner, &name, &one)) g->leaving -= leaving_within(one);
        map_remove(g->registries, str_of(r->name));
        registry_free(r);
    }
}

/* ---- time ---- */

void glue_time(int64_t ms, char out[GLUE_TIME_TEXT]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    char text[24];
    out[0] = 0;
    if (gmtime_r(&seconds, &t) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t))
        snprintf(out, GLUE_TIME_TEXT, "%s.%03dZ", text, (int)(ms % 1000));
}

void glue_out_time(aws_out *o, const char *name, int64_t ms) {
    char text[GLUE_TIME_TEXT];
    glue_time(ms, text);
    aws_out_z(o, name, text);
}

/* ---- the service ---- */

static void glue_free(void *state) {
    glue *g = state;
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (g->registries && map_next(g->registries, &cursor, &name, &value)) registry_free(value);
    map_free(g->registries);
    map_free(g->versions);
    mem_free(g);
}

/* POST /_weir/glue: what becomes of versions registered from now on. */
static bool admin(void *own, const weir_value *in, buf *out) {
    glue *g = own;
    int64_t polls = weir_json_get_i64(in, "pending_polls", g->pending_polls);
    weir_str outcome = weir_json_get_str(in, "outcome", glue_status_names[g->outcome]);
    bool failure = str_eq_z(outcome, "FAILURE");
    if (polls < 0 || (!failure && !str_eq_z(outcome, "AVAILABLE"))) {
        buf_append_z(out, "expected pending_polls of 0 or more, outcome AVAILABLE or FAILURE");
        return false;
    }
    g->pending_polls = polls;
    g->outcome = failure ? GLUE_FAILURE : GLUE_AVAILABLE;
    glue_sweep(g);
    buf_printf(out, "{\"pending_polls\":%" PRId64 ",\"outcome\":\"%s\",\"registries\":%zu,", polls,
               glue_status_names[g->outcome], map_count(g->registries));
    buf_printf(out, "\"versions\":%zu}", map_count(g->versions));
    return true;
}

bool glue_service(local *home, local_service *out) {
    glue *g = mem_zalloc(sizeof *g);
    if (!g) return false;
    g->home = home;
    g->outcome = GLUE_AVAILABLE;
    g->registries = map_new();
    g->versions = map_new();
    aws_service service = {"glue", "AWSGlue", "1.1", operations, OPERATIONS, false, g, glue_free};
    if (g->registries && g->versions && aws_json_service(home, &service, out)) {
        out->admin = admin;
        out->save = glue_save;
        out->load = glue_load;
        return true;
    }
    glue_free(g);
    return false;
}
