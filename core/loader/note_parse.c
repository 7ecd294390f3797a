#include "loader/note_parse.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "loader/version.h"

/* Limits of one note. Ours have a few components with some dozens of options each. */
#define COMPONENTS_MAX 256u
#define OPTIONS_MAX 4096u /* of all components, nested ones counted */
#define SIBLINGS_MAX 512u /* options or values side by side: duplicates are looked for by pairs */
#define NESTING_MAX 4u    /* levels of options below the first, "fields_of" expanded so far */
#define NODES_MAX                                                                                  \
    2097152u /* of the parsed JSON: one for each byte of the largest note, doubled                 \
              */
#define JSON_DEPTH_MAX 32u

typedef struct parse {
    arena *memory;
    weir_error *err;
    weir_status status; /* WEIR_OK until something is wrong; then everything stops */
    unsigned options;   /* made so far */
    const weir_value *component_options; /* where "fields_of" looks things up */
    char component[64];                  /* "sink file" */
    char where[192];                     /* "sink file, option roll.size" */
} parse;

/* The JSON object under way and the place it is at, for messages. */
static const char *const kind_names[LOADER_KIND_MAX + 1] = {
    [0] = "component",
    [WEIR_KIND_SOURCE] = "source",
    [WEIR_KIND_SINK] = "sink",
    [WEIR_KIND_SERDE] = "serde",
    [WEIR_KIND_TRANSFORM] = "transform",
#ifdef LOADER_KIND_REFERENCE
    [LOADER_KIND_REFERENCE] = "reference",
#endif
};

static void parse_identity(parse *p, const weir_value *root, note *out);
static void parse_abi(parse *p, const weir_value *root, note *out);
static void parse_components(parse *p, const weir_value *root, note *out);
static void parse_component(parse *p, const weir_value *v, note_component *out);
static void parse_limits(parse *p, const weir_value *v, note_limits *out);
static void parse_reference(parse *p, const weir_value *v, note_component *out);
static void parse_needs(parse *p, const weir_value *v, note_component *out);
static void parse_versions(parse *p, const weir_value *component, const char *name,
                           note_versions *out);
static const note_option *parse_options(parse *p, const weir_value *list, unsigned depth,
                                        const char *prefix, size_t *count);
static void parse_option(parse *p, const weir_value *v, unsigned depth, const char *key,
                         note_option *out);
static const note_rule *parse_rules(parse *p, const weir_value *list, size_t *count);

static weir_value *grow_nodes(void *opaque, uint32_t used, uint32_t capacity, uint32_t *granted);

/* ---- entry ---- */

typedef struct parse_memory { /* what the JSON parser's callbacks work on */
    note_reader *reader;
    arena *memory;
} parse_memory;

static char *alloc_text(void *opaque, uint64_t size) {
    parse_memory *m = opaque;
    return arena_alloc(m->memory, (size_t)size);
}

static weir_value *grow_nodes(void *opaque, uint32_t used, uint32_t capacity, uint32_t *granted) {
    parse_memory *m = opaque;
    note_reader *reader = m->reader;
    (void)used; /* realloc moves all of it */
    if (capacity > NODES_MAX) return NULL;
    uint32_t want = reader->capacity < 1024 ? 1024 : reader->capacity * 2;
    if (want < capacity) want = capacity;
    if (want > NODES_MAX) want = NODES_MAX;
    weir_value *nodes = mem_realloc(reader->nodes, (size_t)want * sizeof *nodes);
    if (nodes == NULL) return NULL;
    reader->nodes = nodes;
    reader->capacity = want;
    *granted = want;
    return nodes;
}

void note_reader_free(note_reader *reader) {
    weir_json_parser_free(&reader->parser);
    mem_free(reader->nodes);
    *reader = (note_reader){0};
}

weir_status note_parse(note_reader *reader, arena *memory, note *out, weir_error *err) {
    parse_memory m = {reader, memory};
    weir_json_parser *json = &reader->parser;
    json->flags = WEIR_JSON_UNIQUE_KEYS;
    json->depth_max = JSON_DEPTH_MAX;
    json->nodes = reader->nodes;
    json->capacity = reader->capacity;
    json->used = 0;
    json->grow = grow_nodes;
    json->alloc = alloc_text;
    json->opaque = &m;
    weir_status status = weir_json_parse(json, out->json);
    if (status == WEIR_E_DATA) {
        return error_set(err, WEIR_E_DATA, 0,
                         "plugin.json in the note: %" PRIu32 ":%" PRIu32 ": %s", json->fault.line,
                         json->fault.column, json->fault.text);
    }
    if (status != WEIR_OK) {
        return error_set(err, status, 0, "plugin.json in the note: %s", error_status_name(status));
    }
    const weir_value *root = json->nodes;
    parse p = {.memory = memory, .err = err};
    if (root->type != WEIR_V_OBJECT) {
        return error_set(err, WEIR_E_DATA, 0, "plugin.json in the note is not an object");
    }
    parse_identity(&p, root, out);
    parse_abi(&p, root, out);
    parse_components(&p, root, out);
    return p.status;
}

const char *note_kind_name(uint32_t kind) {
    bool known = kind <= LOADER_KIND_MAX && kind_names[kind] != NULL;
    return kind_names[known ? kind : 0];
}

/* ---- reading with complaints ---- */

static void bad(parse *p, weir_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Records the first complaint; later ones are consequences. */
static void bad(parse *p, weir_status status, const char *format, ...) {
    va_list args;
    if (p->status != WEIR_OK) return;
    p->status = status;
    va_start(args, format);
    (void)error_vset(p->err, status, 0, format, args);
    va_end(args);
    if (p->where[0] != '\0') error_prefix(p->err, "%s", p->where);
    error_prefix(p->err, "plugin.json in the note");
}

static bool printable(weir_str s) {
    for (uint64_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7f) return false;
    }
    return true;
}

/* A text. Control characters are refused: these texts end up on terminals. */
static weir_str text_of(parse *p, const weir_value *v, const char *name) {
    if (v->type != WEIR_V_STRING || v->logical == WEIR_L_DECIMAL) {
        bad(p, WEIR_E_DATA, "\"%s\" is not a text", name);
        return STR("");
    }
    weir_str s = weir_value_str(v);
    if (!printable(s)) {
        bad(p, WEIR_E_DATA, "\"%s\" holds control characters", name);
        return STR("");
    }
    return s;
}

static weir_str get_text(parse *p, const weir_value *object, const char *name, bool required) {
    const weir_value *v = weir_json_get(object, name);
    weir_str s = v != NULL ? text_of(p, v, name) : STR("");
    if (required && s.len == 0) bad(p, WEIR_E_DATA, "\"%s\" is missing", name);
    return s;
}

static bool get_flag(parse *p, const weir_value *object, const char *name) {
    const weir_value *v = weir_json_get(object, name);
    if (v == NULL) return false;
    if (v->type != WEIR_V_BOOL) bad(p, WEIR_E_DATA, "\"%s\" is neither true nor false", name);
    return v->type == WEIR_V_BOOL && v->as.u64 != 0;
}

static uint32_t get_u32(parse *p, const weir_value *object, const char *name) {
    const weir_value *v = weir_json_get(object, name);
    if (v == NULL) return 0;
    if (v->type != WEIR_V_I64 || v->as.i64 < 0 || v->as.i64 > UINT32_MAX) {
        bad(p, WEIR_E_DATA, "\"%s\" is no whole number below 2^32", name);
        return 0;
    }
    return (uint32_t)v->as.i64;
}

/* A value of a manifest: a duration or size in base units, or a number. */
static bool number_of(option_type type, const weir_value *v, double *out) {
    int64_t i;
    if (v->type == WEIR_V_I64 &&
        (type == OPTION_INT || type == OPTION_FLOAT || type == OPTION_SIZE || v->as.i64 == 0)) {
        *out = (double)v->as.i64;
        return true;
    }
    if (v->type == WEIR_V_F64 && type == OPTION_FLOAT) {
        *out = v->as.f64;
        return true;
    }
    if (v->type != WEIR_V_STRING) return false;
    weir_str s = weir_value_str(v);
    bool fits = type == OPTION_DURATION ? str_to_duration_ns(s, &i)
                : type == OPTION_SIZE   ? str_to_size_bytes(s, &i)
                                        : false;
    if (fits) *out = (double)i;
    return fits;
}

/* A list member of `object`, or NULL if it is absent. */
static const weir_value *get_list(parse *p, const weir_value *object, const char *name) {
    const weir_value *v = weir_json_get(object, name);
    if (v == NULL) return NULL;
    if (v->type != WEIR_V_ARRAY) {
        bad(p, WEIR_E_DATA, "\"%s\" is not a list", name);
        return NULL;
    }
    if (v->size > SIBLINGS_MAX) {
        bad(p, WEIR_E_TOO_LARGE, "\"%s\" has %" PRIu32 " entries, at most %u are read", name,
            v->size, SIBLINGS_MAX);
        return NULL;
    }
    return v->size > 0 ? v : NULL;
}

static void *make(parse *p, size_t count, size_t size) {
    void *memory = arena_array(p->memory, count, size);
    if (memory == NULL) bad(p, WEIR_E_NOMEM, "more memory than plugins may take");
    return memory;
}

static const weir_str *get_texts(parse *p, const weir_value *object, const char *name,
                                 size_t *count) {
    const weir_value *list = get_list(p, object, name);
    if (list == NULL) return NULL;
    weir_str *texts = make(p, list->size, sizeof *texts);
    if (texts == NULL) return NULL;
    const weir_value *v = list + 1;
    for (uint32_t i = 0; i < list->size; i++, v = weir_value_next(v)) {
        texts[i] = text_of(p, v, name);
    }
    *count = list->size;
    return texts;
}

/* A JSON value as it would stand in a manifest: texts bare, the rest as JSON, which is YAML too. */
static weir_str manifest_text(parse *p, const weir_value *v, const char *name) {
    if (v->type == WEIR_V_STRING) return text_of(p, v, name);
    char *out = arena_alloc(p->memory, (size_t)weir_json_bound(v) + 1);
    if (out == NULL) {
        bad(p, WEIR_E_NOMEM, "more memory than plugins may take");
        return STR("");
    }
    return (weir_str){out, weir_json_write(v, out)};
}

/* Lower case, digits, '_' and, where allowed, '-': such names are keys, metric labels, file names.
 */
static bool is_word(weir_str s, bool dash) {
    if (s.len == 0 || s.len > LIMIT_NAME_BYTES) return false;
    for (uint64_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = c >= 'a' && c <= 'z';
        bool later = (c >= '0' && c <= '9') || c == '_' || (dash && c == '-');
        if (!letter && (i == 0 || !later)) return false;
    }
    return true;
}

/* ---- identity ---- */

static void parse_identity(parse *p, const weir_value *root, note *out) {
    out->id = get_text(p, root, "id", true);
    out->version = get_text(p, root, "version", true);
    out->name = get_text(p, root, "name", true);
    out->summary = get_text(p, root, "summary", true);
    out->vendor = get_text(p, root, "vendor", true);
    out->license = get_text(p, root, "license", true);
    out->homepage = get_text(p, root, "homepage", false);
    if (out->id.len > LIMIT_NAME_BYTES || out->name.len > LIMIT_NAME_BYTES ||
        out->version.len > LIMIT_NAME_BYTES) {
        bad(p, WEIR_E_DATA, "\"id\", \"name\" or \"version\" is longer than %u bytes",
            LIMIT_NAME_BYTES);
    }
}

static void parse_abi(parse *p, const weir_value *root, note *out) {
    const weir_value *abi = weir_json_get(root, "abi");
    if (abi == NULL || abi->type != WEIR_V_OBJECT) {
        bad(p, WEIR_E_DATA, "\"abi\" is missing");
        return;
    }
    out->abi_major = get_u32(p, abi, "major");
    out->abi_built_with = get_text(p, abi, "built_with", true);
    out->abi_requires = get_text(p, abi, "requires", true);
    out->platform = get_text(p, abi, "platform", true);
    if (p->status == WEIR_OK) {
        p->status = version_check_abi(out, WEIR_ABI_MINOR, WEIR_ABI_TEXT, p->err);
    }
}

/* ---- components ---- */

static void parse_components(parse *p, const weir_value *root, note *out) {
    const weir_value *list = weir_json_get(root, "components");
    if (list == NULL || list->type != WEIR_V_ARRAY || list->size == 0) {
        bad(p, WEIR_E_DATA, "\"components\" is no list of at least one component");
        return;
    }
    if (list->size > COMPONENTS_MAX) {
        bad(p, WEIR_E_TOO_LARGE, "%" PRIu32 " components, at most %u are read", list->size,
            COMPONENTS_MAX);
        return;
    }
    note_component *components = make(p, list->size, sizeof *components);
    if (components == NULL) return;
    const weir_value *v = list + 1;
    for (uint32_t i = 0; i < list->size && p->status == WEIR_OK; i++, v = weir_value_next(v)) {
        (void)snprintf(p->where, sizeof p->where, "component %" PRIu32, i);
        if (v->type != WEIR_V_OBJECT) {
            bad(p, WEIR_E_DATA, "is not an object");
            return;
        }
        parse_component(p, v, &components[i]);
        for (uint32_t k = 0; k < i; k++) {
            if (components[k].kind == components[i].kind &&
                str_eq(components[k].name, components[i].name)) {
                bad(p, WEIR_E_DATA, "stands twice");
            }
        }
    }
    p->where[0] = '\0';
    out->components = components;
    out->component_count = list->size;
}

static uint32_t kind_of(weir_str name) {
    for (uint32_t kind = WEIR_KIND_SOURCE; kind <= LOADER_KIND_MAX; kind++) {
        if (kind_names[kind] != NULL && str_eq_z(name, kind_names[kind])) return kind;
    }
    return 0;
}

static uint64_t parse_capabilities(parse *p, const weir_value *v) {
    static const struct {
        const char *name;
        uint64_t bit;
    } known[] = {{"buffered", WEIR_CAP_BUFFERED},     {"bounded", WEIR_CAP_BOUNDED},
                 {"replayable", WEIR_CAP_REPLAYABLE}, {"stream_format", WEIR_CAP_STREAM_FORMAT},
                 {"idempotent", WEIR_CAP_IDEMPOTENT}, {"needs_tape", WEIR_CAP_NEEDS_TAPE},
                 {"keyed", LOADER_CAP_KEYED}};
    uint64_t bits = 0;
    size_t count = 0;
    const weir_str *names = get_texts(p, v, "capabilities", &count);
    for (size_t i = 0; i < count; i++) {
        /* An unknown word is a newer hint. Were it a requirement, its bit in the component's table
         * would say so when it is bound. */
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (str_eq_z(names[i], known[k].name)) bits |= known[k].bit;
        }
    }
    return bits;
}

static void parse_component(parse *p, const weir_value *v, note_component *out) {
    weir_str kind = get_text(p, v, "kind", true);
    out->name = get_text(p, v, "name", true);
    out->kind = kind_of(kind);
    if (p->status != WEIR_OK) return;
    if (out->kind == 0) {
        bad(p, WEIR_E_INCOMPATIBLE,
            "kind \"%.*s\" is not known to this host; it knows source, sink, serde, transform"
            "%s",
            STR_FMT(kind), LOADER_KIND_MAX > WEIR_KIND_TRANSFORM ? ", reference" : "");
        return;
    }
    if (!is_word(out->name, true)) {
        bad(p, WEIR_E_DATA, "name \"%.*s\": expected lower case, digits, - and _",
            STR_FMT(out->name));
        return;
    }
    (void)snprintf(p->component, sizeof p->component, "%s %.*s", kind_names[out->kind],
                   STR_FMT(out->name));
    memcpy(p->where, p->component, sizeof p->component);
    out->summary = get_text(p, v, "summary", true);
    out->stability = get_text(p, v, "stability", false);
    if (out->stability.len == 0) out->stability = STR("stable");
    out->capabilities = parse_capabilities(p, v);
    out->guarantee = get_text(p, v, "guarantee", false);
    if (out->guarantee.len > 0 && !str_eq_z(out->guarantee, "at_most_once") &&
        !str_eq_z(out->guarantee, "at_least_once") && !str_eq_z(out->guarantee, "exactly_once")) {
        bad(p, WEIR_E_DATA, "guarantee \"%.*s\" is not known", STR_FMT(out->guarantee));
    }
    const weir_value *limits = weir_json_get(v, "limits");
    if (limits != NULL) parse_limits(p, limits, &out->limits);
    const weir_value *interval = weir_json_get(v, "service_interval");
    double ns = 0;
    if (interval != NULL && (!number_of(OPTION_DURATION, interval, &ns) || ns <= 0)) {
        bad(p, WEIR_E_DATA, "\"service_interval\" is no duration above 0");
    }
    out->service_interval_ns = (int64_t)ns;
    const weir_value *needs = weir_json_get(v, "needs");
    if (needs != NULL) parse_needs(p, needs, out);
    parse_versions(p, v, "state", &out->state);
    parse_versions(p, v, "committables", &out->committables);
    parse_versions(p, v, "splits", &out->splits);
    out->default_framing = get_text(p, v, "default_framing", false);
    out->suffix = get_text(p, v, "suffix", false);
    out->writes_to = get_text(p, v, "writes_to", false);
    parse_reference(p, v, out);
    p->component_options = get_list(p, v, "options");
    out->options = parse_options(p, p->component_options, 0, "", &out->option_count);
    out->prefixes = get_texts(p, v, "prefixes", &out->prefix_count);
    for (size_t i = 0; i < out->prefix_count; i++) {
        if (out->prefixes[i].len < 2 || !str_ends(out->prefixes[i], STR("."))) {
            bad(p, WEIR_E_DATA, "prefix \"%.*s\" does not end in a dot", STR_FMT(out->prefixes[i]));
        }
    }
    const weir_value *rules = get_list(p, v, "rules");
    out->rules = parse_rules(p, rules, &out->rule_count);
}

/* How the text behind the colon of `${NAME:TEXT}` is written. `env` and `file` are the host's, the
 * rest stands for values of records: a plugin that took such a name would change manifests that
 * were right. */
static void parse_reference(parse *p, const weir_value *v, note_component *out) {
    static const char *const taken[] = {"env", "file", "header", "time", "now"};
    if (out->kind <= WEIR_KIND_TRANSFORM) return;
    out->form = get_text(p, v, "form", true);
    out->pattern = arena_str(p->memory, get_text(p, v, "pattern", true)); /* regcomp wants a NUL */
    if (out->pattern.ptr == NULL) bad(p, WEIR_E_NOMEM, "more memory than plugins may take");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (str_eq_z(out->name, taken[i])) {
            bad(p, WEIR_E_DATA, "\"%s\" is a word of manifests already", taken[i]);
        }
    }
    regex_t compiled;
    if (p->status != WEIR_OK) return;
    if (regcomp(&compiled, out->pattern.ptr, REG_EXTENDED | REG_NOSUB) != 0) {
        bad(p, WEIR_E_DATA, "\"pattern\" is no regular expression");
        return;
    }
    regfree(&compiled);
}

static void parse_limits(parse *p, const weir_value *v, note_limits *out) {
    if (v->type != WEIR_V_OBJECT) {
        bad(p, WEIR_E_DATA, "\"limits\" is not an object");
        return;
    }
    static const char *const sizes[] = {"request_bytes", "record_bytes"};
    uint64_t *const slots[] = {&out->request_bytes, &out->record_bytes};
    out->request_records = get_u32(p, v, "request_records");
    out->in_flight = get_u32(p, v, "in_flight");
    out->record_overhead = get_u32(p, v, "record_overhead");
    for (unsigned i = 0; i < 2; i++) {
        const weir_value *size = weir_json_get(v, sizes[i]);
        double bytes = 0;
        if (size != NULL && (!number_of(OPTION_SIZE, size, &bytes) || bytes < 0)) {
            bad(p, WEIR_E_DATA, "\"%s\" is no size", sizes[i]);
        }
        *slots[i] = (uint64_t)bytes;
    }
}

static void parse_needs(parse *p, const weir_value *v, note_component *out) {
    if (v->type != WEIR_V_OBJECT) {
        bad(p, WEIR_E_DATA, "\"needs\" is not an object");
        return;
    }
    out->needs_tape = get_flag(p, v, "tape");
    out->needs_key = get_flag(p, v, "key");
    out->needs_headers = get_flag(p, v, "headers");
    out->needs_meta = get_texts(p, v, "meta", &out->needs_meta_count);
}

/* A version number: 1 to 2^32 - 1. */
static bool version_of(const weir_value *v, uint32_t *out) {
    if (v->type != WEIR_V_I64 || v->as.i64 < 1 || v->as.i64 > UINT32_MAX) return false;
    *out = (uint32_t)v->as.i64;
    return true;
}

/* What is written and what can be read again. State in a checkpoint outlives the plugin that wrote
 * it, so whether another version of the plugin can go on with it is known before any code runs. */
static void parse_versions(parse *p, const weir_value *component, const char *name,
                           note_versions *out) {
    *out = (note_versions){1, 1, 1};
    const weir_value *v = weir_json_get(component, name);
    if (v == NULL) return;
    if (v->type != WEIR_V_OBJECT) {
        bad(p, WEIR_E_DATA, "\"%s\" is not an object", name);
        return;
    }
    const weir_value *version = weir_json_get(v, "version");
    if (version == NULL || !version_of(version, &out->version)) {
        bad(p, WEIR_E_DATA, "\"%s\": \"version\" is no whole number from 1 to 2^32 - 1", name);
        return;
    }
    out->reads_min = out->reads_max = out->version;
    const weir_value *reads = weir_json_get(v, "reads");
    if (reads == NULL) return;
    if (reads->type != WEIR_V_ARRAY || reads->size != 2 ||
        !version_of(reads + 1, &out->reads_min) || !version_of(reads + 2, &out->reads_max) ||
        out->reads_min > out->version || out->reads_max < out->version) {
        *out = (note_versions){1, 1, 1};
        bad(p, WEIR_E_DATA, "\"%s\": \"reads\" is no [lowest, highest] around version %" PRIi64,
            name, version->as.i64);
    }
}

/* ---- options ---- */

/* The value of "fields" of the option that a dotted key names, or NULL. */
static const weir_value *fields_by_key(const weir_value *options, weir_str key) {
    while (options != NULL && options->type == WEIR_V_ARRAY && key.len > 0) {
        const char *dot = memchr(key.ptr, '.', (size_t)key.len);
        weir_str first = {key.ptr, dot != NULL ? (uint64_t)(dot - key.ptr) : key.len};
        const weir_value *v = options + 1;
        const weir_value *fields = NULL;
        for (uint32_t i = 0; i < options->size; i++, v = weir_value_next(v)) {
            const weir_value *name = weir_json_get(v, "name");
            if (name != NULL && str_eq(weir_value_str(name), first)) {
                fields = weir_json_get(v, "fields");
                break;
            }
        }
        if (dot == NULL) return fields != NULL && fields->type == WEIR_V_ARRAY ? fields : NULL;
        key = (weir_str){dot + 1, key.len - first.len - 1};
        options = fields;
    }
    return NULL;
}

/* True for an option that would only repeat a group which contains itself once too often: below the
 * deepest level it does not exist, so that the structs are a tree and not a loop. */
static bool too_deep(const weir_value *option, unsigned depth) {
    return depth >= NESTING_MAX && option->type == WEIR_V_OBJECT &&
           weir_json_get(option, "fields_of") != NULL;
}

static const note_option *parse_options(parse *p, const weir_value *list, unsigned depth,
                                        const char *prefix, size_t *count) {
    char where[sizeof p->where];
    *count = 0;
    if (list == NULL || p->status != WEIR_OK) return NULL;
    if (depth > NESTING_MAX) {
        bad(p, WEIR_E_TOO_LARGE, "options are nested deeper than %u levels", NESTING_MAX);
        return NULL;
    }
    /* Counted before they are made: groups that contain each other must not unfold without end. */
    p->options += list->size;
    if (p->options > OPTIONS_MAX) {
        bad(p, WEIR_E_TOO_LARGE, "more than %u options", OPTIONS_MAX);
        return NULL;
    }
    note_option *options = make(p, list->size, sizeof *options);
    if (options == NULL) return NULL;
    memcpy(where, p->where, sizeof where);
    size_t made = 0;
    const weir_value *v = list + 1;
    for (uint32_t i = 0; i < list->size && p->status == WEIR_OK; i++, v = weir_value_next(v)) {
        char key[160];
        if (too_deep(v, depth)) continue;
        if (v->type != WEIR_V_OBJECT) {
            bad(p, WEIR_E_DATA, "option %" PRIu32 " is not an object", i);
            break;
        }
        weir_str name = get_text(p, v, "name", true);
        if (p->status == WEIR_OK && !is_word(name, false)) {
            bad(p, WEIR_E_DATA, "option name \"%.*s\": expected lower case, digits and _",
                STR_FMT(name));
        }
        if (p->status != WEIR_OK) break;
        (void)snprintf(key, sizeof key, "%s%.*s", prefix, STR_FMT(name));
        (void)snprintf(p->where, sizeof p->where, "%.60s, option %.120s", p->component, key);
        for (size_t k = 0; k < made; k++) {
            if (str_eq(options[k].name, name)) bad(p, WEIR_E_DATA, "stands twice");
        }
        options[made].name = name;
        parse_option(p, v, depth, key, &options[made]);
        if (p->status == WEIR_OK) memcpy(p->where, where, sizeof where);
        made++;
    }
    *count = made;
    return options;
}

static bool type_of(weir_str name, option_type *out) {
    static const struct {
        const char *name;
        option_type type;
    } known[] = {{"string", OPTION_STRING}, {"int", OPTION_INT},           {"float", OPTION_FLOAT},
                 {"bool", OPTION_BOOL},     {"duration", OPTION_DURATION}, {"size", OPTION_SIZE},
                 {"enum", OPTION_ENUM},     {"list", OPTION_LIST},         {"map", OPTION_MAP},
                 {"secret", OPTION_SECRET}, {"template", OPTION_TEMPLATE}, {"time", OPTION_TIME}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (str_eq_z(name, known[i].name)) {
            *out = known[i].type;
            return true;
        }
    }
    return false;
}

static bool is_numeric(option_type type) {
    return type == OPTION_INT || type == OPTION_FLOAT || type == OPTION_DURATION ||
           type == OPTION_SIZE;
}

static bool parse_bound(parse *p, const weir_value *v, const char *name, option_type type,
                        double *out) {
    const weir_value *bound = weir_json_get(v, name);
    if (bound == NULL) return false;
    if (!is_numeric(type) || !number_of(type, bound, out)) {
        bad(p, WEIR_E_DATA, "\"%s\" is no value of the option's type", name);
        return false;
    }
    return true;
}

/* A default is what the component gets when the manifest is silent, so nobody else checks it. */
static void check_default(parse *p, const weir_value *v, const note_option *option) {
    double number;
    bool special = false;
    for (size_t i = 0; i < option->value_count; i++) {
        special = special || str_eq(option->values[i], option->default_text);
    }
    if (special) return;
    bool fits = true;
    switch (option->type) {
    case OPTION_INT:
    case OPTION_FLOAT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        fits = number_of(option->type, v, &number) && (!option->has_min || number >= option->min) &&
               (!option->has_max || number <= option->max);
        break;
    case OPTION_BOOL:
        fits = v->type == WEIR_V_BOOL;
        break;
    case OPTION_ENUM:
    case OPTION_SECRET: /* a secret that stands in every copy of the plugin is none */
        fits = false;
        break;
    case OPTION_MAP:
        fits = v->type == WEIR_V_OBJECT;
        break;
    case OPTION_LIST:
        fits = v->type != WEIR_V_OBJECT && v->type != WEIR_V_NULL;
        break;
    case OPTION_STRING:
    case OPTION_TEMPLATE:
    case OPTION_TIME:
        fits = v->type == WEIR_V_STRING;
        break;
    }
    if (!fits) {
        bad(p, WEIR_E_DATA, "default \"%.*s\" is no value of the option",
            STR_FMT(option->default_text));
    }
}

static void parse_examples(parse *p, const weir_value *v, note_option *out) {
    const weir_value *list = get_list(p, v, "examples");
    if (list == NULL) return;
    weir_str *examples = make(p, list->size, sizeof *examples);
    if (examples == NULL) return;
    const weir_value *example = list + 1;
    for (uint32_t i = 0; i < list->size; i++, example = weir_value_next(example)) {
        examples[i] = manifest_text(p, example, "examples");
    }
    out->examples = examples;
    out->example_count = list->size;
}

static void parse_option(parse *p, const weir_value *v, unsigned depth, const char *key,
                         note_option *out) {
    weir_str type = get_text(p, v, "type", true);
    if (p->status == WEIR_OK && !type_of(type, &out->type)) {
        bad(p, WEIR_E_INCOMPATIBLE, "type \"%.*s\" is not known to this host", STR_FMT(type));
    }
    out->required = get_flag(p, v, "required");
    out->deprecated = get_flag(p, v, "deprecated");
    out->wire = get_flag(p, v, "wire");
    out->groups_requests = get_flag(p, v, "groups_requests");
    out->path = get_flag(p, v, "path");
    out->pattern = get_text(p, v, "pattern", false);
    out->since = get_text(p, v, "since", false);
    out->replaced_by = get_text(p, v, "replaced_by", false);
    out->group = get_text(p, v, "group", false);
    out->description = get_text(p, v, "description", false);
    out->values = get_texts(p, v, "values", &out->value_count);
    if (out->type == OPTION_ENUM && out->value_count == 0) {
        bad(p, WEIR_E_DATA, "an enum without \"values\"");
    }
    weir_str items = get_text(p, v, "items", false);
    out->items = str_eq_z(items, "template") ? OPTION_TEMPLATE : OPTION_STRING;
    if (p->status != WEIR_OK) return;
    out->has_min = parse_bound(p, v, "min", out->type, &out->min);
    out->has_max = parse_bound(p, v, "max", out->type, &out->max);
    if (out->has_min && out->has_max && out->min > out->max) {
        bad(p, WEIR_E_DATA, "\"min\" is above \"max\"");
    }
    const weir_value *fallback = weir_json_get(v, "default");
    if (fallback != NULL) {
        out->has_default = true;
        out->default_text = manifest_text(p, fallback, "default");
        if (p->status == WEIR_OK) check_default(p, fallback, out);
    }
    parse_examples(p, v, out);
    const weir_value *fields = get_list(p, v, "fields");
    weir_str other = get_text(p, v, "fields_of", false);
    if (other.len > 0) {
        fields = fields_by_key(p->component_options, other);
        if (fields == NULL || fields->size > SIBLINGS_MAX) {
            bad(p, WEIR_E_DATA, "\"fields_of\": there is no option \"%.*s\" with fields",
                STR_FMT(other));
        }
    }
    if (fields != NULL && p->status == WEIR_OK) {
        char prefix[162];
        (void)snprintf(prefix, sizeof prefix, "%s.", key);
        out->fields = parse_options(p, fields, depth + 1, prefix, &out->field_count);
    }
}

/* ---- rules ---- */

static const note_rule *parse_rules(parse *p, const weir_value *list, size_t *count) {
    static const char *const names[] = {"requires", "conflicts", "one_of"};
    if (list == NULL || p->status != WEIR_OK) return NULL;
    note_rule *rules = make(p, list->size, sizeof *rules);
    if (rules == NULL) return NULL;
    const weir_value *v = list + 1;
    for (uint32_t i = 0; i < list->size && p->status == WEIR_OK; i++, v = weir_value_next(v)) {
        if (v->type != WEIR_V_OBJECT) {
            bad(p, WEIR_E_DATA, "rule %" PRIu32 " is not an object", i);
            break;
        }
        weir_str kind = get_text(p, v, "kind", true);
        unsigned k = 0;
        while (k < 3 && !str_eq_z(kind, names[k])) k++;
        if (k == 3) {
            bad(p, WEIR_E_INCOMPATIBLE, "rule \"%.*s\" is not known to this host", STR_FMT(kind));
            break;
        }
        rules[i].kind = (note_rule_kind)k;
        rules[i].when = get_text(p, v, "when", rules[i].kind != RULE_ONE_OF);
        rules[i].keys = get_texts(p, v, "keys", &rules[i].key_count);
        rules[i].text = get_text(p, v, "text", false);
        if (rules[i].key_count == 0) bad(p, WEIR_E_DATA, "rule %" PRIu32 " names no options", i);
    }
    *count = list->size;
    return rules;
}
