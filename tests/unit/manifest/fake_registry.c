#include "unit/manifest/fake_registry.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define T(literal)                                                                                 \
    { (literal), sizeof(literal) - 1 }
#define N(array) (sizeof(array) / sizeof *(array))

/* ---- components ---- */

static const weir_str starts[] = {T("latest"), T("trim_horizon")};
static const weir_str readers[] = {T("polling"), T("efo")};
static const weir_str unlimited[] = {T("unlimited")};
static const weir_str examples[] = {T("out/events.jsonl")};
static const note_option start_fields[] = {
    {.name = T("timestamp"), .type = OPTION_TIME},
    {.name = T("format"), .type = OPTION_STRING, .has_default = true, .default_text = T("%s")},
};
static const note_option auth_fields[] = {
    {.name = T("user"), .type = OPTION_STRING, .required = true},
    {.name = T("password"), .type = OPTION_SECRET, .pattern = T("^[a-z0-9$]*$")},
};
static const note_option kin_options[] = {
    {.name = T("stream"), .type = OPTION_STRING},
    {.name = T("streams"), .type = OPTION_LIST},
    {.name = T("start"),
     .type = OPTION_ENUM,
     .values = starts,
     .value_count = 2,
     .has_default = true,
     .default_text = T("latest"),
     .fields = start_fields,
     .field_count = 2},
    {.name = T("reader"),
     .type = OPTION_ENUM,
     .values = readers,
     .value_count = 2,
     .has_default = true,
     .default_text = T("polling")},
    {.name = T("consumer"), .type = OPTION_STRING},
    {.name = T("interval"),
     .type = OPTION_DURATION,
     .has_default = true,
     .default_text = T("200ms"),
     .has_min = true,
     .min = 200e6,
     .has_max = true,
     .max = 3600e9},
    {.name = T("pause"), .type = OPTION_DURATION, .deprecated = true, .replaced_by = T("interval")},
    {.name = T("size"), .type = OPTION_SIZE, .has_min = true, .min = 1024},
    {.name = T("count"), .type = OPTION_INT, .has_max = true, .max = 100},
    {.name = T("attempts"), .type = OPTION_INT, .values = unlimited, .value_count = 1},
    {.name = T("ratio"),
     .type = OPTION_FLOAT,
     .has_min = true,
     .min = 0,
     .has_max = true,
     .max = 1},
    {.name = T("verify"), .type = OPTION_BOOL},
    {.name = T("since"), .type = OPTION_TIME},
    {.name = T("labels"), .type = OPTION_LIST, .pattern = T("^[a-z]+$")},
    {.name = T("tags"), .type = OPTION_MAP},
    {.name = T("auth"), .type = OPTION_MAP, .fields = auth_fields, .field_count = 2},
    {.name = T("endpoint"), .type = OPTION_STRING},
    {.name = T("odd"), .type = OPTION_STRING, .pattern = T("(")}, /* the plugin's mistake */
    {.name = T("fips"), .type = OPTION_BOOL},
};
static const weir_str efo_keys[] = {T("consumer")};
static const weir_str fips_keys[] = {T("fips")};
static const weir_str stream_keys[] = {T("stream"), T("streams")};
static const note_rule kin_rules[] = {
    {.kind = RULE_REQUIRES,
     .when = T("reader=efo"),
     .keys = efo_keys,
     .key_count = 1,
     .text = T("fan-out reads as a registered consumer")},
    {.kind = RULE_CONFLICTS, .when = T("endpoint"), .keys = fips_keys, .key_count = 1},
    {.kind = RULE_ONE_OF, .keys = stream_keys, .key_count = 2},
};
static const note_option roll_fields[] = {
    {.name = T("size"), .type = OPTION_SIZE, .has_min = true, .min = 1024},
    {.name = T("age"), .type = OPTION_DURATION, .has_default = true, .default_text = T("5m")},
};
static const note_option file_options[] = {
    {.name = T("path"),
     .type = OPTION_TEMPLATE,
     .required = true,
     .path = true,
     .examples = examples,
     .example_count = 1},
    {.name = T("roll"), .type = OPTION_MAP, .fields = roll_fields, .field_count = 2},
};
static const note_option kaf_options[] = {
    {.name = T("topic"), .type = OPTION_TEMPLATE},
    {.name = T("headers"), .type = OPTION_MAP, .items = OPTION_TEMPLATE},
};
static const weir_str kaf_prefixes[] = {T("properties.")};
static const note_option filter_options[] = {
    {.name = T("where"), .type = OPTION_STRING, .required = true}};
static const note_option json_options[] = {{.name = T("depth"),
                                            .type = OPTION_INT,
                                            .has_default = true,
                                            .default_text = T("128"),
                                            .has_min = true,
                                            .min = 1}};

struct component_ref {
    note_component c;
};
static const component_ref components[] = {
    {{.kind = WEIR_KIND_SOURCE,
      .name = T("kin"),
      .guarantee = T("exactly_once"),
      .options = kin_options,
      .option_count = N(kin_options),
      .rules = kin_rules,
      .rule_count = N(kin_rules)}},
    {{.kind = WEIR_KIND_SOURCE,
      .name = T("stdin"),
      .guarantee = T("at_most_once"),
      .default_framing = T("lines")}},
    {{.kind = WEIR_KIND_SINK,
      .name = T("file"),
      .guarantee = T("at_least_once"),
      .default_framing = T("lines"),
      .options = file_options,
      .option_count = N(file_options)}},
    {{.kind = WEIR_KIND_SINK,
      .name = T("kaf"),
      .guarantee = T("exactly_once"),
      .limits = {.request_records = 500, .in_flight = 5, .request_bytes = 1 << 20},
      .options = kaf_options,
      .option_count = N(kaf_options),
      .prefixes = kaf_prefixes,
      .prefix_count = 1}},
    {{.kind = WEIR_KIND_SINK, .name = T("hole"), .guarantee = T("exactly_once")}},
    {{.kind = WEIR_KIND_TRANSFORM,
      .name = T("filter"),
      .options = filter_options,
      .option_count = 1}},
    {{.kind = WEIR_KIND_TRANSFORM, .name = T("same")}},
    {{.kind = WEIR_KIND_SERDE, .name = T("json"), .options = json_options, .option_count = 1}},
    {{.kind = WEIR_KIND_REFERENCE,
      .name = T("vault"),
      .form = T("PATH:FIELD"),
      .pattern = T("^[a-z/]+(:[a-z]+)?$")}},
};

/* ---- the registry ---- */

struct plugin_ref {
    note n;
};
static const note_component offered[] = {{.kind = WEIR_KIND_REFERENCE, .name = T("vault")}};
static plugin_ref plugins[] = {{{.name = T("std"),
                                 .version = T("1.2.0"),
                                 .path = T(""),
                                 .components = offered,
                                 .component_count = 1}}};
char added_path[512];
char added_sha256[80];

const component_ref *registry_find(const registry *r, uint32_t kind, weir_str name) {
    (void)r;
    for (size_t i = 0; i < N(components); i++) {
        if (components[i].c.kind == kind && str_eq(components[i].c.name, name)) {
            return &components[i];
        }
    }
    return NULL;
}

const note_component *component_note(const component_ref *c) {
    return &c->c;
}

void registry_explain(const registry *r, uint32_t kind, weir_str name, buf *out) {
    (void)r;
    buf_printf(out, "no component of kind %u is named \"%.*s\"; looked in nowhere", kind,
               STR_FMT(name));
}

weir_status registry_add(registry *r, const char *path, const char *sha256, weir_error *err) {
    (void)r;
    snprintf(added_path, sizeof added_path, "%s", path);
    snprintf(added_sha256, sizeof added_sha256, "%s", sha256 != NULL ? sha256 : "");
    if (strstr(path, "bad.so") == NULL) return WEIR_OK;
    return error_set(err, WEIR_E_DATA, 0, "%s: not an ELF file", path);
}

size_t registry_plugin_count(const registry *r) {
    (void)r;
    return N(plugins);
}

const plugin_ref *registry_plugin(const registry *r, size_t index) {
    (void)r;
    return &plugins[index];
}

const note *plugin_ref_note(const plugin_ref *p) {
    return &p->n;
}
