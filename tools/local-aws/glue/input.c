/*
 * What operations read: names, ids, numbers, tokens; and the sentences in which the service refuses
 * them.
 */
#include "glue/glue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void glue_no_memory(aws_call *call) {
    aws_fail(call, &GLUE_INTERNAL, "out of memory");
}

static void bad_characters(aws_call *call, const char *parameter) {
    aws_fail(call, &GLUE_INVALID,
             "The parameter value contains one or more characters that are not valid. "
             "Parameter Name: %s",
             parameter);
}

static void bad_length(aws_call *call, const char *parameter) {
    aws_fail(call, &GLUE_INVALID,
             "The resource name contains too many or too few characters. Parameter Name: %s",
             parameter);
}

bool glue_name(aws_call *call, const weir_value *object, const char *member, const char *parameter,
               weir_str *out) {
    if (!aws_member(call, object, member, out)) return false;
    if (!out->ptr) return true;
    if (out->len < 1 || out->len > GLUE_NAME_MAX) {
        bad_length(call, parameter);
        return false;
    }
    if (aws_name_of(*out, "-_$#.")) return true;
    bad_characters(call, parameter);
    return false;
}

bool glue_description(aws_call *call, weir_str *out) {
    if (!aws_member(call, call->in, "Description", out)) return false;
    if (aws_characters(*out) > GLUE_DESCRIPTION_MAX) {
        bad_length(call, "description");
        return false;
    }
    for (size_t i = 0; i < out->len; i++) {
        unsigned char c = (unsigned char)out->ptr[i];
        if (c >= ' ' || c == '\r' || c == '\n' || c == '\t') continue;
        bad_characters(call, "description");
        return false;
    }
    return true;
}

bool glue_definition(aws_call *call, weir_str *out) {
    if (!aws_member(call, call->in, "SchemaDefinition", out)) return false;
    uint64_t characters = aws_characters(*out);
    bool visible = false;
    for (size_t i = 0; i < out->len && !visible; i++) visible = (unsigned char)out->ptr[i] > ' ';
    if (visible && characters <= GLUE_DEFINITION_MAX) return true;
    aws_fail(call, &GLUE_INVALID,
             "1 validation error detected: Value at 'schemaDefinition' failed to satisfy "
             "constraint: %s",
             visible ? "Member must have length less than or equal to 170000"
                     : "Member must satisfy regular expression pattern: .*\\S.*");
    return false;
}

bool glue_choice(aws_call *call, const char *member, const char *const *names, int count,
                 const char *text, int *out) {
    weir_str value;
    *out = -1;
    if (!aws_member(call, call->in, member, &value)) return false;
    if (!value.ptr) return true;
    for (int i = 0; i < count; i++)
        if (str_eq_z(value, names[i])) *out = i;
    if (*out >= 0) return true;
    aws_fail(call, &GLUE_INVALID, "%s", text);
    return false;
}

/* ---- registries ---- */

static bool arn_is_valid(weir_str arn) {
    return arn.len > 9 && arn.len <= 10240 && str_starts(arn, STR("arn:aws")) &&
           memmem(arn.ptr, (size_t)arn.len, ":glue:", 6);
}

/* What stands behind `kind` ("/" included) in an ARN; empty if it is of another kind. */
static weir_str arn_name(weir_str arn, const char *kind) {
    const char *at = memmem(arn.ptr, (size_t)arn.len, kind, strlen(kind));
    if (!at) return STR("");
    at += strlen(kind);
    return str_make(at, (size_t)(arn.ptr + arn.len - at));
}

/* A registry by name; the default one comes into being by being used. */
static registry *registry_named(aws_call *call, weir_str name, bool make) {
    glue *g = call->state;
    registry *r = map_get(g->registries, name);
    if (r || !make || !str_eq_z(name, GLUE_DEFAULT_REGISTRY)) return r;
    return registry_new(g, name);
}

registry *glue_registry(aws_call *call, bool otherwise) {
    glue *g = call->state;
    const weir_value *id;
    weir_str name, arn;
    if (!aws_container(call, call->in, "RegistryId", WEIR_V_OBJECT, &id) ||
        !glue_name(call, id, "RegistryName", "registryName", &name) ||
        !aws_member(call, id, "RegistryArn", &arn))
        return NULL;
    if (name.ptr && arn.ptr) {
        aws_fail(call, &GLUE_INVALID,
                 "One of registryName or registryArn has to be provided, both cannot be provided.");
        return NULL;
    }
    if (!name.ptr && !arn.ptr && !otherwise) {
        aws_fail(call, &GLUE_INVALID, "One of registryName or registryArn has to be provided.");
        return NULL;
    }
    if (arn.ptr && !arn_is_valid(arn)) {
        bad_characters(call, "registryArn");
        return NULL;
    }
    weir_str wanted = arn.ptr ? arn_name(arn, ":registry/") : name;
    if (!arn.ptr && !name.ptr) wanted = STR(GLUE_DEFAULT_REGISTRY);
    registry *r =
        arn.ptr ? map_get(g->registries, wanted) : registry_named(call, wanted, otherwise);
    if (r && arn.ptr && !str_eq_z(arn, r->arn)) r = NULL;
    if (!r)
        aws_fail(call, &GLUE_NOT_FOUND,
                 "Registry is not found. RegistryName: %.*s, RegistryArn: %.*s",
                 STR_FMT(name.ptr ? name : STR("null")), STR_FMT(arn.ptr ? arn : STR("null")));
    return r;
}

/* ---- schemas and versions ---- */

static schema *schema_by_arn(const glue *g, weir_str arn) {
    weir_str rest = arn_name(arn, ":schema/");
    const char *slash = rest.len ? memchr(rest.ptr, '/', (size_t)rest.len) : NULL;
    if (!slash) return NULL;
    size_t n = (size_t)(slash - rest.ptr);
    registry *r = map_get(g->registries, str_make(rest.ptr, n));
    schema *s = r ? map_get(r->schemas, str_make(slash + 1, (size_t)rest.len - n - 1)) : NULL;
    return s && str_eq_z(arn, s->arn) ? s : NULL;
}

schema *glue_schema(aws_call *call, bool usable) {
    glue *g = call->state;
    const weir_value *id;
    weir_str name, place, arn;
    if (!aws_container(call, call->in, "SchemaId", WEIR_V_OBJECT, &id) ||
        !glue_name(call, id, "SchemaName", "schemaName", &name) ||
        !glue_name(call, id, "RegistryName", "registryName", &place) ||
        !aws_member(call, id, "SchemaArn", &arn))
        return NULL;
    if (arn.ptr && (name.ptr || place.ptr)) {
        aws_fail(
            call, &GLUE_INVALID,
            "One of (registryName and schemaName) or schemaArn has to be provided, both cannot "
            "be provided.");
        return NULL;
    }
    if (!arn.ptr && !name.ptr) {
        aws_fail(call, &GLUE_INVALID,
                 "At least one of (registryName and schemaName) or schemaArn has to be provided.");
        return NULL;
    }
    if (arn.ptr && !arn_is_valid(arn)) {
        bad_characters(call, "schemaArn");
        return NULL;
    }
    schema *s = NULL;
    if (arn.ptr) {
        s = schema_by_arn(g, arn);
    } else {
        registry *r = map_get(g->registries, place.ptr ? place : STR(GLUE_DEFAULT_REGISTRY));
        if (r) s = map_get(r->schemas, name);
    }
    if (s && !(usable && schema_leaves(s))) return s;
    aws_fail(call, &GLUE_NOT_FOUND,
             "Schema is not found. RegistryName: %.*s, SchemaName: %.*s, SchemaArn: %.*s",
             STR_FMT(place.ptr ? place : STR("null")), STR_FMT(name.ptr ? name : STR("null")),
             STR_FMT(arn.ptr ? arn : STR("null")));
    return NULL;
}

void glue_no_version(aws_call *call, const schema *s, int64_t number, bool latest) {
    char text[24] = "null";
    if (number) snprintf(text, sizeof text, "%" PRId64, number);
    aws_fail(call, &GLUE_NOT_FOUND,
             "Schema version is not found. RegistryName: %s, SchemaName: %s, SchemaArn: %s, "
             "VersionNumber: %s, isLatestVersion: %s",
             s->of->name, s->name, s->arn, text, latest ? "true" : "false");
}

version *glue_numbered(aws_call *call, schema *s, const char *member) {
    const weir_value *in;
    int64_t number;
    if (!aws_container(call, call->in, member, WEIR_V_OBJECT, &in) ||
        !aws_number(call, in, "VersionNumber", 0, &number))
        return NULL;
    const weir_value *given = in ? weir_json_get(in, "VersionNumber") : NULL;
    bool numbered = given && given->type == WEIR_V_I64;
    bool latest = in && weir_json_get_bool(in, "LatestVersion", 0);
    if (numbered && latest) {
        aws_fail(call, &GLUE_INVALID, "Only one of VersionNumber or LatestVersion is required.");
        return NULL;
    }
    if (!numbered && !latest) {
        aws_fail(call, &GLUE_INVALID, "One of version number (or) latest version is required.");
        return NULL;
    }
    if (numbered && (number < 1 || number > GLUE_NUMBER_MAX)) {
        aws_fail(call, &GLUE_INVALID,
                 "1 validation error detected: Value '%" PRId64 "' at 'versionNumber' failed to "
                 "satisfy constraint: Member must have value between 1 and %d",
                 number, GLUE_NUMBER_MAX);
        return NULL;
    }
    version *v = latest ? schema_latest(s) : schema_version(s, number);
    if (!v) glue_no_version(call, s, numbered ? number : 0, latest);
    return v;
}

static bool is_uuid(weir_str s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return s.len == 36;
}

version *glue_version(aws_call *call) {
    glue *g = call->state;
    weir_str id;
    if (!aws_member(call, call->in, "SchemaVersionId", &id)) return NULL;
    if (!id.ptr) {
        schema *s = glue_schema(call, false);
        return s ? glue_numbered(call, s, "SchemaVersionNumber") : NULL;
    }
    if (aws_in(call, "SchemaId") || aws_in(call, "SchemaVersionNumber")) {
        aws_fail(call, &GLUE_INVALID,
                 "No other input parameters can be specified when fetching by SchemaVersionId.");
        return NULL;
    }
    if (!is_uuid(id)) {
        bad_characters(call, "schemaVersionId");
        return NULL;
    }
    version *v = map_get(g->versions, id);
    if (!v)
        aws_fail(call, &GLUE_NOT_FOUND, "Schema version is not found. SchemaVersionId: %.*s",
                 STR_FMT(id));
    return v;
}

/* ---- tags ---- */

static bool tag_is_valid(weir_str key, weir_str value) {
    if (aws_characters(key) < 1 || aws_characters(key) > 128 || aws_characters(value) > 256)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] < ' ') return false;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < ' ') return false;
    return !str_starts(key, STR("aws:"));
}

bool glue_add_tags(aws_call *call, aws_tags *t, const char *member) {
    const weir_value *in;
    if (!aws_container(call, call->in, member, WEIR_V_OBJECT, &in)) return false;
    if (!in) return true;
    uint32_t fresh = 0;
    const weir_value *key = in + 1;
    for (uint32_t i = 0; i < in->size; i++, key = weir_value_next(key + 1)) {
        if (key[1].type != WEIR_V_STRING ||
            !tag_is_valid(weir_value_str(key), weir_value_str(key + 1))) {
            bad_characters(call, "tags");
            return false;
        }
        fresh += !aws_tags_has(t, weir_value_str(key));
    }
    if (t->count + fresh > GLUE_TAGS_MAX) {
        aws_fail(call, &GLUE_INVALID, "New Tags cannot be empty or more than %u", GLUE_TAGS_MAX);
        return false;
    }
    key = in + 1;
    for (uint32_t i = 0; i < in->size; i++, key = weir_value_next(key + 1)) {
        if (aws_tags_put(t, weir_value_str(key), weir_value_str(key + 1))) continue;
        glue_no_memory(call);
        return false;
    }
    return true;
}

/* Keys are the user's, so they are escaped here: names of members are not. */
void glue_out_tags(aws_out *o, const aws_tags *t) {
    aws_out_open(o, "Tags");
    for (const aws_tag *one = t->first; one; one = one->next) {
        if (one != t->first) buf_append_char(&o->text, ',');
        buf_append_json(&o->text, str_of(one->key));
        buf_append_char(&o->text, ':');
        buf_append_json(&o->text, str_of(one->value));
    }
    aws_out_close(o);
}

/* ---- pages ---- */

/* A token is base64 of a keyed hash and the name of the last entry given; the operation's name goes
 * into the hash, so that a token of another listing is none. */
#define TOKEN_BYTES (sizeof(uint64_t) + GLUE_PLACE_MAX)

static uint64_t token_check(const aws_call *call, weir_str last) {
    return map_hash(last) * 31 + map_hash(str_of(call->operation->name));
}

bool glue_page(aws_call *call, int64_t max, page *out) {
    weir_str token;
    *out = (page){0};
    if (!aws_number(call, call->in, "MaxResults", max, &out->limit) ||
        !aws_member(call, call->in, "NextToken", &token))
        return false;
    if (out->limit < 1 || out->limit > max) {
        aws_fail(call, &GLUE_INVALID,
                 "1 validation error detected: Value '%" PRId64 "' at 'maxResults' failed to "
                 "satisfy constraint: Member must have value between 1 and %" PRId64,
                 out->limit, max);
        return false;
    }
    if (!token.ptr || !token.len) return true;
    char bytes[TOKEN_BYTES + 3];
    uint64_t check, n = UINT64_MAX;
    if (token.len <= (TOKEN_BYTES + 2) / 3 * 4) n = weir_base64_decode(token, bytes);
    if (n != UINT64_MAX && n > sizeof check && n <= TOKEN_BYTES) {
        memcpy(&check, bytes, sizeof check);
        weir_str last = str_make(bytes + sizeof check, (size_t)n - sizeof check);
        if (check == token_check(call, last)) {
            memcpy(out->after, last.ptr, (size_t)last.len);
            return true;
        }
    }
    aws_fail(call, &GLUE_INVALID, "The NextToken value is not valid.");
    return false;
}

void glue_out_token(aws_call *call, weir_str last) {
    char bytes[TOKEN_BYTES], text[(TOKEN_BYTES + 2) / 3 * 4];
    uint64_t check = token_check(call, last);
    memcpy(bytes, &check, sizeof check);
    memcpy(bytes + sizeof check, last.ptr, (size_t)last.len);
    uint64_t n = weir_base64_encode(str_make(bytes, sizeof check + (size_t)last.len), text);
    aws_out_str(&call->out, "NextToken", str_make(text, (size_t)n));
}

typedef struct named {
    weir_str name;
    void *value;
} named;

static int by_name(const void *a, const void *b) {
    return str_cmp(((const named *)a)->name, ((const named *)b)->name);
}

void **glue_sorted(aws_call *call, const map *m, const char *after, size_t *count) {
    size_t all = map_count(m), n = 0, cursor = 0;
    named *list = arena_array(call->memory, all + 1, sizeof *list);
    void **values = arena_array(call->memory, all + 1, sizeof *values);
    *count = 0;
    if (!list || !values) return NULL;
    while (map_next(m, &cursor, &list[n].name, &list[n].value))
        if (str_cmp(list[n].name, str_of(after)) > 0) n++;
    qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < n; i++) values[i] = list[i].value;
    *count = n;
    return values;
}
