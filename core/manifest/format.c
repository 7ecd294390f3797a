#include "manifest/format.h"

#include "manifest/component.h"
#include "manifest/reference.h"
#include "manifest/value.h"
#include "manifest/words.h"
#include "weir/host.h"

static const weir_str framings[] = {OPTION_TEXT("none"), OPTION_TEXT("lines"),
                                    OPTION_TEXT("length")};
static const weir_str compressions[] = {OPTION_TEXT("none"), OPTION_TEXT("gzip"),
                                        OPTION_TEXT("zstd"), OPTION_TEXT("snappy"),
                                        OPTION_TEXT("zlib")};
static const weir_str pass_throughs[] = {OPTION_TEXT("auto"), OPTION_TEXT("never")};

static const note_option words[] = {
    {WORD("framing", OPTION_ENUM), VALUES(framings)},
    {WORD("compression", OPTION_ENUM), DEFAULT("none"), VALUES(compressions)},
    {WORD("pass_through", OPTION_ENUM), DEFAULT("auto"), VALUES(pass_throughs)},
};
static const weir_str core_words[] = {OPTION_TEXT("type"), OPTION_TEXT("framing"),
                                      OPTION_TEXT("compression"), OPTION_TEXT("pass_through")};

static void read_words(load *l, const tree_node *map, const note_component *component,
                       const char *owner, format_spec *out) {
    options_source source = {.map = map,
                             .table = words,
                             .count = COUNT_OF(words),
                             .partial = true,
                             .label = "format.",
                             .owner = owner,
                             .at = out->at};
    options o;
    options_read(l, &source, &o);
    if (component != NULL && str_eq(component->default_framing, STR("lines"))) {
        out->framing = FRAMING_LINES;
    }
    const option_value *framing = options_get(&o, STR("framing"));
    if (framing != NULL) {
        out->framing = (framing_kind)framing->i64;
        bool stream = component == NULL || component->default_framing.len > 0 ||
                      (component->capabilities & WEIR_CAP_STREAM_FORMAT) != 0;
        if (out->framing != FRAMING_NONE && !stream) {
            load_error(l, "not-available", framing->at, "leave 'framing' out",
                       "'format.framing' frames records in a stream of bytes; %.*s moves whole "
                       "records",
                       STR_FMT(component->name));
        }
    }
    const option_value *compression = options_get(&o, STR("compression"));
    if (compression != NULL && compression->i64 != WEIR_COMPRESSION_NONE) {
        load_error(l, "not-available", compression->at, NULL,
                   "'format.compression' can only be none: this version does not compress");
    }
    out->pass_through = (pass_kind)options_i64(&o, "pass_through", PASS_AUTO);
}

/* The serde's own options: all but the core's words. */
static void read_serde(load *l, const tree_node *map, place type_at, format_spec *out) {
    bool raw = str_eq(out->type, STR("raw"));
    options_source source = {.map = map,
                             .component = true,
                             .others = core_words,
                             .other_count = COUNT_OF(core_words),
                             .label = "format.",
                             .at = out->at};
    if (!raw) {
        out->serde = component_find(l, WEIR_KIND_SERDE, out->type, type_at);
        if (out->serde == NULL) {
            if (map != NULL) reference_check(l, map);
            return;
        }
        const note_component *serde = component_note(out->serde);
        source.table = serde->options;
        source.count = serde->option_count;
        source.prefixes = serde->prefixes;
        source.prefix_count = serde->prefix_count;
        source.rules = serde->rules;
        source.rule_count = serde->rule_count;
    }
    source.owner = load_printf(l, "format %.*s", STR_FMT(out->type));
    options_read(l, &source, &out->options);
}

void format_read(load *l, const tree_pair *given, const note_component *component,
                 const char *owner, place node_at, format_spec *out) {
    out->type = STR("raw");
    out->at = given != NULL ? given->at : node_at;
    out->compression = WEIR_COMPRESSION_NONE;
    const tree_node *map = NULL;
    place type_at = out->at;
    bool has_type = true;
    if (given != NULL && given->value->kind == TREE_MAP) {
        map = given->value;
        const tree_pair *type = tree_get(map, "type");
        if (type == NULL) {
            load_error(l, "missing-key", given->at, "for example format: {type: json}",
                       "the format of %s needs a 'type'", owner);
            has_type = false;
        } else {
            type_at = type->value->at;
            has_type = value_text(l, "format.type", type->value, &out->type);
        }
    } else if (given != NULL) {
        type_at = given->value->at;
        has_type = value_text(l, "format", given->value, &out->type);
    }
    read_words(l, map, component, owner, out);
    if (has_type)
        read_serde(l, map, type_at, out);
    else if (map != NULL)
        reference_check(l, map);
}
