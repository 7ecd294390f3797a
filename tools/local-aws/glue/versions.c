/*
 * Versions: registered, found, listed, deleted, compared.
 */
#include "glue/glue.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

/* ---- registering ---- */

static bool may_register(aws_call *call, const schema *s) {
    if (s->compatibility == GLUE_DISABLED && s->count > 0) {
        aws_fail(
            call, &GLUE_INVALID,
            "Compatibility DISABLED does not allow versioning. SchemaId: SchemaId(schemaArn=%s, "
            "schemaName=%s, registryName=%s)",
            s->arn, s->name, s->of->name);
        return false;
    }
    if (map_count(s->of->of->versions) < GLUE_VERSIONS_MAX && s->next <= GLUE_NUMBER_MAX)
        return true;
    aws_fail(call, &GLUE_LIMIT,
             "More schema versions cannot be created. The maximum limit has been reached.");
    return false;
}

version *glue_register(aws_call *call, schema *s, weir_str definition) {
    glue *g = s->of->of;
    char why[256];
    if (!glue_is_valid(s->format, definition, why, sizeof why)) {
        aws_fail(call, &GLUE_INVALID, "Schema definition of %s data format is invalid: %s",
                 glue_format_names[s->format], why);
        return NULL;
    }
    weir_str canonical = glue_canonical(call->memory, s->format, definition);
    version *v = canonical.ptr ? schema_by_canonical(s, canonical) : NULL;
    if (v) return v;
    if (canonical.ptr && !may_register(call, s)) return NULL;
    if (canonical.ptr) v = version_new(s, definition, canonical);
    if (!v) {
        glue_no_memory(call);
        return NULL;
    }
    if (!s->checkpoint) s->checkpoint = v->number;
    v->outcome = g->outcome;
    v->polls = g->pending_polls;
    v->status = v->polls > 0 ? GLUE_PENDING : v->outcome;
    return v;
}

void glue_register_version(aws_call *call) {
    weir_str definition;
    glue_sweep(call->state);
    schema *s = glue_schema(call, true);
    if (!s || !glue_definition(call, &definition)) return;
    const version *v = glue_register(call, s, definition);
    if (!v) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "SchemaVersionId", v->id);
    aws_out_i64(o, "VersionNumber", v->number);
    aws_out_z(o, "Status", glue_status_names[v->status]);
    aws_end(call);
}

/* ---- finding ---- */

/* Who asks for a version's status moves it: PENDING ends behind the answers that were ordered. */
static const char *ask_status(version *v) {
    glue_status now = version_status(v);
    if (now != GLUE_PENDING) return glue_status_names[now];
    if (v->polls-- > 0) return glue_status_names[GLUE_PENDING];
    v->status = v->outcome;
    return glue_status_names[v->status];
}

void glue_get_version(aws_call *call) {
    glue_sweep(call->state);
    version *v = glue_version(call);
    if (!v) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "SchemaVersionId", v->id);
    aws_out_str(o, "SchemaDefinition", str_make(v->definition, v->definition_len));
    aws_out_z(o, "DataFormat", glue_format_names[v->of->format]);
    aws_out_z(o, "SchemaArn", v->of->arn);
    aws_out_i64(o, "VersionNumber", v->number);
    aws_out_z(o, "Status", ask_status(v));
    glue_out_time(o, "CreatedTime", v->created_ms);
    aws_end(call);
}

void glue_get_by_definition(aws_call *call) {
    weir_str definition;
    glue_sweep(call->state);
    const schema *s = glue_schema(call, true);
    if (!s || !glue_definition(call, &definition)) return;
    weir_str canonical = glue_canonical(call->memory, s->format, definition);
    if (!canonical.ptr) {
        glue_no_memory(call);
        return;
    }
    version *v = schema_by_canonical(s, canonical);
    if (!v) {
        glue_no_version(call, s, 0, false);
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "SchemaVersionId", v->id);
    aws_out_z(o, "SchemaArn", s->arn);
    aws_out_z(o, "DataFormat", glue_format_names[s->format]);
    aws_out_z(o, "Status", ask_status(v));
    glue_out_time(o, "CreatedTime", v->created_ms);
    aws_end(call);
}

void glue_list_versions(aws_call *call) {
    page p;
    int64_t after = 0;
    glue_sweep(call->state);
    const schema *s = glue_schema(call, false);
    if (!s || !glue_page(call, 100, &p)) return;
    if (p.after[0]) (void)str_to_i64(str_of(p.after), &after);
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Schemas");
    uint32_t i = 0;
    while (i < s->count && s->versions[i]->number <= after) i++;
    int64_t left = p.limit, last = 0;
    for (; i < s->count && left > 0; i++, left--) {
        const version *v = s->versions[i];
        last = v->number;
        aws_out_open(o, NULL);
        aws_out_z(o, "SchemaArn", s->arn);
        aws_out_z(o, "SchemaVersionId", v->id);
        aws_out_i64(o, "VersionNumber", v->number);
        aws_out_z(o, "Status", glue_status_names[version_status(v)]);
        glue_out_time(o, "CreatedTime", v->created_ms);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    if (i < s->count) {
        char text[24];
        int n = snprintf(text, sizeof text, "%" PRId64, last);
        glue_out_token(call, str_make(text, (size_t)n));
    }
    aws_end(call);
}

/* ---- deleting ---- */

/* "3" or "3-7". */
static bool read_range(aws_call *call, int64_t *from, int64_t *to) {
    weir_str text;
    if (!aws_member(call, call->in, "Versions", &text)) return false;
    const char *dash = text.len ? memchr(text.ptr, '-', (size_t)text.len) : NULL;
    size_t n = dash ? (size_t)(dash - text.ptr) : (size_t)text.len;
    weir_str first = str_make(text.ptr, n);
    weir_str last = dash ? str_make(dash + 1, (size_t)text.len - n - 1) : first;
    bool digits = first.len && last.len && first.ptr[0] >= '1' && first.ptr[0] <= '9' &&
                  last.ptr[0] >= '1' && last.ptr[0] <= '9';
    if (digits && str_to_i64(first, from) && str_to_i64(last, to) && *from <= *to &&
        *to <= GLUE_NUMBER_MAX)
        return true;
    aws_fail(call, &GLUE_INVALID,
             "Versions: expected a version number or a range such as 2-5, found '%.*s'",
             text.len > 64 ? 64 : (int)text.len, text.ptr ? text.ptr : "");
    return false;
}

static void write_missing(aws_out *o, int64_t number) {
    aws_out_open(o, NULL);
    aws_out_i64(o, "VersionNumber", number);
    aws_out_open(o, "ErrorDetails");
    aws_out_z(o, "ErrorCode", GLUE_NOT_FOUND.name);
    aws_out_z(o, "ErrorMessage", "Schema version is not found.");
    aws_out_close(o);
    aws_out_close(o);
}

void glue_delete_versions(aws_call *call) {
    static const aws_exception conflict = {"ConcurrentModificationException", 409};
    int64_t from, to;
    glue_sweep(call->state);
    schema *s = glue_schema(call, true);
    if (!s || !read_range(call, &from, &to)) return;
    if (from == 1) {
        aws_fail(call, &GLUE_INVALID,
                 "The first schema version can only be deleted with its schema. SchemaArn: %s",
                 s->arn);
        return;
    }
    if (s->checkpoint >= from && s->checkpoint <= to) {
        aws_fail(call, &conflict,
                 "Version %" PRId64 " is the checkpoint of the schema and cannot be deleted.",
                 s->checkpoint);
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "SchemaVersionErrors");
    for (int64_t number = from; number <= to; number++) {
        version *v = schema_version(s, number);
        if (v && !v->gone_ms)
            glue_leave(call->state, &v->gone_ms);
        else
            write_missing(o, number);
    }
    aws_out_close_array(o);
    aws_end(call);
}

/* ---- comparing ---- */

void glue_versions_diff(aws_call *call) {
    weir_str kind;
    glue_sweep(call->state);
    schema *s = glue_schema(call, true);
    if (!s || !aws_member(call, call->in, "SchemaDiffType", &kind)) return;
    if (!str_eq_z(kind, "SYNTAX_DIFF")) {
        aws_fail(call, &GLUE_INVALID, "SchemaDiffType: expected SYNTAX_DIFF");
        return;
    }
    const version *a = glue_numbered(call, s, "FirstSchemaVersionNumber");
    const version *b = a ? glue_numbered(call, s, "SecondSchemaVersionNumber") : NULL;
    if (!b) return;
    buf diff;
    buf_init(&diff, (size_t)64 << 20);
    bool ok = glue_diff(s->format, str_make(a->definition, a->definition_len),
                        str_make(b->definition, b->definition_len), &diff);
    if (ok) {
        aws_out_open(&call->out, NULL);
        aws_out_str(&call->out, "Diff", buf_str(&diff));
    }
    buf_free(&diff);
    if (ok)
        aws_end(call);
    else
        glue_no_memory(call);
}

void glue_check_validity(aws_call *call) {
    int format;
    weir_str definition;
    if (!glue_choice(call, "DataFormat", glue_format_names, GLUE_FORMATS,
                     "Data format is not valid.", &format))
        return;
    if (format < 0) {
        aws_fail(call, &GLUE_INVALID, "Data format is not valid.");
        return;
    }
    char why[256];
    if (!glue_definition(call, &definition)) return;
    bool valid = glue_is_valid((glue_format)format, definition, why, sizeof why);
    aws_out_open(&call->out, NULL);
    aws_out_bool(&call->out, "Valid", valid);
    if (!valid) aws_out_z(&call->out, "Error", why);
    aws_end(call);
}
