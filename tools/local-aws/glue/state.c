/*
 * What of the registry outlives the process. Things that are being deleted are not kept.
 */
#include "glue/glue.h"

#include "base/mem.h"

static void save_version(const version *v, keep *out) {
    keep_put_str(out, str_of(v->id));
    keep_put_i64(out, v->number);
    keep_put_str(out, str_make(v->definition, v->definition_len));
    keep_put_str(out, str_make(v->canonical, v->canonical_len));
    keep_put_u64(out, v->status);
    keep_put_u64(out, v->outcome);
    keep_put_i64(out, v->polls);
    keep_put_i64(out, v->created_ms);
    keep_put_u64(out, v->metadata_count);
    for (const metadata *m = v->metadata; m; m = m->next) {
        keep_put_str(out, str_of(m->key));
        keep_put_str(out, str_of(m->value));
        keep_put_i64(out, m->created_ms);
    }
}

static void save_schema(const schema *s, keep *out) {
    keep_put_str(out, str_of(s->name));
    aws_keep_optional(s->description, out);
    keep_put_u64(out, s->format);
    keep_put_u64(out, (uint64_t)s->compatibility);
    keep_put_i64(out, s->checkpoint);
    keep_put_i64(out, s->next);
    keep_put_i64(out, s->created_ms);
    keep_put_i64(out, s->updated_ms);
    aws_tags_save(&s->tags, out);
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) count += !s->versions[i]->gone_ms;
    keep_put_u64(out, count);
    for (uint32_t i = 0; i < s->count; i++)
        if (!s->versions[i]->gone_ms) save_version(s->versions[i], out);
}

static void save_registry(const registry *r, keep *out) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    uint64_t count = 0;
    keep_put_str(out, str_of(r->name));
    aws_keep_optional(r->description, out);
    keep_put_i64(out, r->created_ms);
    keep_put_i64(out, r->updated_ms);
    aws_tags_save(&r->tags, out);
    while (map_next(r->schemas, &cursor, &name, &value)) count += !((schema *)value)->gone_ms;
    keep_put_u64(out, count);
    cursor = 0;
    while (map_next(r->schemas, &cursor, &name, &value))
        if (!((schema *)value)->gone_ms) save_schema(value, out);
}

bool glue_save(void *own, keep *out) {
    const glue *g = own;
    size_t cursor = 0;
    weir_str name;
    void *value;
    uint64_t count = 0;
    while (map_next(g->registries, &cursor, &name, &value)) count += !((registry *)value)->gone_ms;
    keep_put_u64(out, count);
    cursor = 0;
    while (map_next(g->registries, &cursor, &name, &value))
        if (!((registry *)value)->gone_ms) save_registry(value, out);
    return keep_ok(out);
}

/* ---- reading ---- */

static bool load_metadata(version *v, keep *in) {
    uint64_t n = keep_count(in, 24);
    bool ok = true;
    for (uint64_t i = 0; ok && i < n; i++) {
        char *key = keep_str(in, NULL), *value = keep_str(in, NULL);
        int64_t created_ms = keep_i64(in);
        ok = key && value && version_add_metadata(v, str_of(key), str_of(value), created_ms);
        mem_free(key);
        mem_free(value);
    }
    return ok && keep_ok(in);
}

/* A version with the id and number it had. */
static version *place(schema *s, weir_str id, int64_t number, weir_str definition,
                      weir_str canonical) {
    glue *g = s->of->of;
    bool fits = id.len == 36 && number > (s->count ? s->versions[s->count - 1]->number : 0) &&
                number < s->next && !map_get(g->versions, id);
    version *v = fits ? version_new(s, definition, canonical) : NULL;
    if (!v) return NULL;
    s->next--; /* version_new counted a new one */
    map_remove(g->versions, str_of(v->id));
    memcpy(v->id, id.ptr, 36);
    v->number = number;
    return map_put(g->versions, id, v) ? v : NULL;
}

static bool load_version(schema *s, keep *in) {
    uint64_t definition_len, canonical_len;
    char *id = keep_str(in, NULL);
    int64_t number = keep_i64(in);
    char *definition = keep_str(in, &definition_len), *canonical = keep_str(in, &canonical_len);
    version *v = NULL;
    if (keep_ok(in) && id && definition && canonical)
        v = place(s, str_of(id), number, str_make(definition, definition_len),
                  str_make(canonical, canonical_len));
    mem_free(id);
    mem_free(definition);
    mem_free(canonical);
    if (!v) return false;
    uint64_t status = keep_u64(in), outcome = keep_u64(in);
    if (status > GLUE_FAILURE || outcome > GLUE_FAILURE) return false;
    v->status = (glue_status)status;
    v->outcome = (glue_status)outcome;
    v->polls = keep_i64(in);
    v->created_ms = keep_i64(in);
    return load_metadata(v, in);
}

static bool load_schema(registry *r, keep *in) {
    char *name = keep_str(in, NULL);
    schema *s = name && !map_get(r->schemas, str_of(name)) ? schema_new(r, str_of(name)) : NULL;
    mem_free(name);
    if (!s || !aws_load_optional(&s->description, in)) return false;
    uint64_t format = keep_u64(in), compatibility = keep_u64(in);
    if (format >= GLUE_FORMATS || compatibility >= GLUE_COMPATIBILITIES) return false;
    s->format = (glue_format)format;
    s->compatibility = (int)compatibility;
    s->checkpoint = keep_i64(in);
    s->next = keep_i64(in);
    s->created_ms = keep_i64(in);
    s->updated_ms = keep_i64(in);
    bool ok = s->next >= 1 && s->next <= GLUE_NUMBER_MAX + 1 && aws_tags_load(&s->tags, in);
    uint64_t n = ok ? keep_count(in, 64) : 0;
    for (uint64_t i = 0; ok && i < n; i++) ok = load_version(s, in);
    return ok && keep_ok(in);
}

static bool load_registry(glue *g, keep *in) {
    char *name = keep_str(in, NULL);
    registry *r =
        name && !map_get(g->registries, str_of(name)) ? registry_new(g, str_of(name)) : NULL;
    mem_free(name);
    if (!r || !aws_load_optional(&r->description, in)) return false;
    r->created_ms = keep_i64(in);
    r->updated_ms = keep_i64(in);
    bool ok = aws_tags_load(&r->tags, in);
    uint64_t n = ok ? keep_count(in, 64) : 0;
    for (uint64_t i = 0; ok && i < n; i++) ok = load_schema(r, in);
    return ok && keep_ok(in);
}

bool glue_load(void *own, keep *in) {
    glue *g = own;
    uint64_t n = keep_count(in, 32);
    bool ok = true;
    for (uint64_t i = 0; ok && i < n; i++) ok = load_registry(g, in);
    return ok && keep_ok(in);
}
