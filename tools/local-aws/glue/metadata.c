/*
 * Metadata of versions: pairs, of which one key may have several.
 */
#include "glue/glue.h"

#include "base/mem.h"

typedef struct pair {
    weir_str key, value;
} pair;

static bool part_is_valid(weir_str s, uint32_t max) {
    return s.len >= 1 && s.len <= max && aws_name_of(s, "+,-./:;<=_@");
}

static bool read_pair(aws_call *call, const weir_value *in, pair *out) {
    if (!aws_member(call, in, "MetadataKey", &out->key) ||
        !aws_member(call, in, "MetadataValue", &out->value))
        return false;
    bool key = part_is_valid(out->key, GLUE_METADATA_KEY_MAX);
    if (key && part_is_valid(out->value, GLUE_METADATA_VALUE_MAX)) return true;
    aws_fail(call, &GLUE_INVALID,
             "The parameter value contains one or more characters that are not valid, or too many "
             "or too few. Parameter Name: %s",
             key ? "metadataValue" : "metadataKey");
    return false;
}

/* The version and the pair that Put and Remove are about. */
static version *read_both(aws_call *call, pair *out) {
    const weir_value *in;
    glue_sweep(call->state);
    if (!aws_container(call, call->in, "MetadataKeyValue", WEIR_V_OBJECT, &in) ||
        !read_pair(call, in, out))
        return NULL;
    return glue_version(call);
}

static metadata **find(version *v, const pair *p) {
    metadata **at = &v->metadata;
    while (*at && !(str_eq_z(p->key, (*at)->key) && str_eq_z(p->value, (*at)->value)))
        at = &(*at)->next;
    return at;
}

static void echo(aws_call *call, const version *v, const pair *p) {
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "SchemaArn", v->of->arn);
    aws_out_z(o, "SchemaName", v->of->name);
    aws_out_z(o, "RegistryName", v->of->of->name);
    aws_out_bool(o, "LatestVersion", schema_latest(v->of) == v);
    aws_out_i64(o, "VersionNumber", v->number);
    aws_out_z(o, "SchemaVersionId", v->id);
    aws_out_str(o, "MetadataKey", p->key);
    aws_out_str(o, "MetadataValue", p->value);
    aws_end(call);
}

void glue_put_metadata(aws_call *call) {
    pair p;
    version *v = read_both(call, &p);
    if (!v) return;
    if (*find(v, &p)) {
        aws_fail(call, &GLUE_EXISTS,
                 "Resource already exist for schema version id: %s, metadata key: %.*s, metadata "
                 "value: %.*s",
                 v->id, STR_FMT(p.key), STR_FMT(p.value));
        return;
    }
    if (v->metadata_count >= GLUE_METADATA_MAX) {
        aws_fail(call, &GLUE_LIMIT,
                 "Your resource limits for Schema Version Metadata have been exceeded.");
        return;
    }
    if (version_add_metadata(v, p.key, p.value, glue_now(call->state)))
        echo(call, v, &p);
    else
        glue_no_memory(call);
}

void glue_remove_metadata(aws_call *call) {
    pair p;
    version *v = read_both(call, &p);
    if (!v) return;
    metadata **at = find(v, &p), *gone = *at;
    if (!gone) {
        aws_fail(call, &GLUE_NOT_FOUND,
                 "Metadata is not found. SchemaVersionId: %s, metadata key: %.*s, metadata value: "
                 "%.*s",
                 v->id, STR_FMT(p.key), STR_FMT(p.value));
        return;
    }
    *at = gone->next;
    v->metadata_count--;
    mem_free(gone->key);
    mem_free(gone->value);
    mem_free(gone);
    echo(call, v, &p);
}

/* ---- queries ---- */

/* Whether the query's MetadataList has this pair; a list that is absent or empty has all. */
static bool wanted(const pair *list, uint32_t count, const metadata *m) {
    bool found = count == 0;
    for (uint32_t i = 0; i < count && !found; i++)
        found = str_eq_z(list[i].key, m->key) && str_eq_z(list[i].value, m->value);
    return found;
}

static bool read_list(aws_call *call, pair **out, uint32_t *count) {
    const weir_value *in;
    *count = 0;
    if (!aws_container(call, call->in, "MetadataList", WEIR_V_ARRAY, &in)) return false;
    if (!in) return true;
    *out = arena_array(call->memory, in->size + (size_t)1, sizeof **out);
    if (!*out) {
        glue_no_memory(call);
        return false;
    }
    const weir_value *item = in + 1;
    for (uint32_t i = 0; i < in->size; i++, item = weir_value_next(item))
        if (!read_pair(call, item, &(*out)[i])) return false;
    *count = in->size;
    return true;
}

static void write_value(aws_out *o, const metadata *m) {
    aws_out_z(o, "MetadataValue", m->value);
    glue_out_time(o, "CreatedTime", m->created_ms);
}

/* The newest value of a key stands first, those before it in a list of their own. */
static void write_key(aws_out *o, const version *v, const char *key, const pair *list,
                      uint32_t count) {
    const metadata *newest = NULL;
    bool others = false;
    for (const metadata *m = v->metadata; m; m = m->next) {
        if (strcmp(m->key, key) != 0 || !wanted(list, count, m)) continue;
        others = newest != NULL;
        newest = m;
    }
    aws_out_open(o, key);
    write_value(o, newest);
    if (others) {
        aws_out_open_array(o, "OtherMetadataValueList");
        for (const metadata *m = v->metadata; m; m = m->next) {
            if (m == newest || strcmp(m->key, key) != 0 || !wanted(list, count, m)) continue;
            aws_out_open(o, NULL);
            write_value(o, m);
            aws_out_close(o);
        }
        aws_out_close_array(o);
    }
    aws_out_close(o);
}

/* The first key behind `after` that the query wants, or NULL. */
static const char *next_key(const version *v, const char *after, const pair *list, uint32_t count) {
    const char *best = NULL;
    for (const metadata *m = v->metadata; m; m = m->next)
        if (strcmp(m->key, after) > 0 && (!best || strcmp(m->key, best) < 0) &&
            wanted(list, count, m))
            best = m->key;
    return best;
}

void glue_query_metadata(aws_call *call) {
    pair *list = NULL;
    uint32_t count;
    page p;
    glue_sweep(call->state);
    if (!read_list(call, &list, &count) || !glue_page(call, 50, &p)) return;
    const version *v = glue_version(call);
    if (!v) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open(o, "MetadataInfoMap");
    const char *key = next_key(v, p.after, list, count), *last = NULL;
    for (int64_t left = p.limit; key && left > 0; left--) {
        write_key(o, v, key, list, count);
        last = key;
        key = next_key(v, key, list, count);
    }
    aws_out_close(o);
    aws_out_z(o, "SchemaVersionId", v->id);
    if (key) glue_out_token(call, str_of(last));
    aws_end(call);
}
