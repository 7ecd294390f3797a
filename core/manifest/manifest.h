/*
 * core/manifest/manifest.h - from YAML to a pipeline that is resolved, typed and validated.
 *
 *   text -> tree (line:column for each node) -> references resolved -> graph and options checked
 *
 * All errors are collected, not the first only; each has a stable code, a place, what was expected
 * and, for a misspelt word, the nearest match. What is accepted here is never ignored later.
 */
#ifndef WEIR_MANIFEST_MANIFEST_H
#define WEIR_MANIFEST_MANIFEST_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "loader/loader.h"
#include "manifest/template.h"

/* ---- diagnostics ---- */

typedef struct place { /* where in which file something stands */
    const char *file;
    unsigned line, column;
} place;

typedef struct diag {
    bool warning;
    const char *code; /* "unknown-key": stable, for scripts and documentation */
    const char *file;
    unsigned line, column; /* from 1; 0 = the file as a whole */
    const char *text;
    const char *hint; /* may be NULL */
} diag;

typedef struct diags diags; /* owns its memory; at most LIMIT_DIAGS are kept, all are counted */
diags *diags_new(void);
void diags_free(diags *d);
size_t diags_count(const diags *d);                  /* kept */
const diag *diags_get(const diags *d, size_t index); /* in order of file position */
size_t diags_errors(const diags *d);                 /* errors (not warnings), kept or not */
bool diags_full(const diags *d); /* further ones are only counted: spare the work of a hint */
void diags_print(const diags *d, FILE *out); /* file:line:col: error: text [code] / hint */
void diags_json(const diags *d, buf *out);   /* a JSON array */

/* Adds one. Everything is copied; control characters are escaped, in `hint` all but line ends; an
 * exact repetition of one that is kept is dropped. `code` is a literal; `hint` may be NULL and may
 * have several lines. [control] */
void diags_add(diags *d, bool warning, const char *code, place at, const char *hint,
               const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Fixes the rank of a file in the order of diagnostics: files come in the order they are named
 * first. [control] */
void diags_file(diags *d, const char *file);

/* ---- the pipeline ---- */

/* The value of one option: text as given after resolution, and typed. */
typedef struct option_value {
    weir_str key;              /* dotted path: "roll.size", "properties.linger.ms" */
    const note_option *option; /* NULL below a pass-through prefix */
    bool is_default;
    bool is_word; /* a special word that a type takes beside its values, as `unlimited`: in `text`;
                     i64 and f64 are -1 */
    bool is_map;  /* a mapping of sub-keys was given; their values stand under "KEY.FIELD" */
    bool is_unknown; /* holds a reference that was not fetched: `text` is as written, no number or
                        index is set, nothing of it was checked; of a list or map: one of them */
    place at;
    weir_str text; /* scalars; a SECRET's text is never printed */
    int64_t i64;   /* INT, BOOL (0/1), SIZE, DURATION (ns), TIME (us), ENUM (index of value) */
    double f64;    /* FLOAT */
    const template_program *tmpl; /* TEMPLATE */
    size_t entry_count;           /* LIST items, entries of a free MAP */
    const weir_str *entry_names;  /* free MAP only */
    const weir_str *entry_values;
    const template_program *const *entry_tmpls; /* free MAP of templates */
} option_value;

/* What a component gets. Defaults are there as values with is_default. Options of a pass-through
 * prefix "properties." stand twice: each one under its own key, and all of them as the entries of
 * "properties", in file order. */
typedef struct options {
    const option_value *values; /* sorted by key */
    size_t count;
} options;
const option_value *options_get(const options *o,
                                weir_str key); /* NULL if neither given nor default */
bool options_known(const options *o);          /* no value is_unknown */

typedef enum { FRAMING_NONE, FRAMING_LINES, FRAMING_LENGTH } framing_kind;
typedef enum { PASS_AUTO, PASS_NEVER } pass_kind;
typedef struct format_spec {
    weir_str type;              /* "json", "text", "raw" ... ; "raw" when the manifest gives none */
    const component_ref *serde; /* NULL for raw */
    framing_kind framing;
    uint32_t compression; /* WEIR_COMPRESSION_* */
    pass_kind pass_through;
    options options; /* of the serde */
    place at;
} format_spec;

typedef enum { ON_ERROR_FAIL, ON_ERROR_SKIP, ON_ERROR_DEAD_LETTER } on_error_kind;
typedef enum { EXCHANGE_SPLIT, EXCHANGE_ROUND_ROBIN, EXCHANGE_KEY } exchange_kind;
typedef enum {
    DELIVERY_UNSET,
    DELIVERY_AT_MOST_ONCE,
    DELIVERY_AT_LEAST_ONCE,
    DELIVERY_EXACTLY_ONCE
} delivery_kind;
typedef enum { TIME_AUTO, TIME_S, TIME_MS, TIME_US, TIME_ISO8601 } time_unit;
typedef enum { RESTART_FIXED_DELAY, RESTART_EXPONENTIAL, RESTART_NONE } restart_strategy;

typedef struct event_time_spec {
    bool given;          /* the node has `event_time` */
    template_path field; /* path_len 0: the source's own time */
    time_unit unit;
} event_time_spec;

typedef struct batch_spec { /* sinks; 0 = the component's own limit */
    uint32_t records;
    uint64_t bytes;
    int64_t linger_ns;
    uint32_t in_flight;
    uint32_t buffered; /* 10,000 */
} batch_spec;

typedef struct retry_spec {
    uint64_t attempts; /* UINT64_MAX = unlimited */
    int64_t base_ns, max_ns, timeout_ns;
    bool jitter;
} retry_spec;

typedef struct node node;
struct node {
    weir_str name;
    uint32_t kind;  /* WEIR_KIND_SOURCE, _TRANSFORM, _SINK */
    uint32_t index; /* in pipeline.nodes */
    weir_str type;
    const component_ref *component;
    place at;
    const node *const *inputs; /* upstream nodes */
    size_t input_count;
    const node *const *outputs; /* downstream nodes, dead-letter edges not included */
    size_t output_count;
    bool is_dead_letter; /* some node's on_error names it */
    uint32_t parallelism;
    exchange_kind exchange;
    const template_program *exchange_key; /* EXCHANGE_KEY */
    format_spec format;                   /* sources and sinks */
    event_time_spec event_time;
    on_error_kind on_error;
    const node *dead_letter; /* ON_ERROR_DEAD_LETTER */
    batch_spec batch;
    retry_spec retry;
    delivery_kind delivery; /* sinks: its own, else that of the settings; UNSET = its strongest */
    options options;
};

typedef struct restart_spec {
    restart_strategy strategy;
    uint64_t attempts;          /* UINT64_MAX = unlimited */
    int64_t delay_ns;           /* FIXED_DELAY */
    int64_t initial_ns, max_ns; /* EXPONENTIAL */
    double multiplier;
} restart_spec;

typedef struct settings_spec {
    uint32_t parallelism, max_parallelism;
    delivery_kind delivery;
    int64_t checkpoint_interval_ns, checkpoint_min_pause_ns, checkpoint_timeout_ns;
    uint32_t checkpoint_retain, checkpoint_tolerable_failures;
    weir_str checkpoint_store; /* a folder, absolute; empty = the default place */
    restart_spec restart;
    int64_t start_timeout_ns, stop_timeout_ns;
    uint64_t memory_bytes;
} settings_spec;

/* A reference that only a plugin can resolve, `${NAME:TEXT}`. */
typedef struct plugin_reference {
    weir_str text; /* "NAME:TEXT" */
    place at;      /* where it is used first */
} plugin_reference;

typedef struct pipeline {
    weir_str name, description;
    const char *file;
    weir_str base_dir; /* folder of the manifest, absolute */
    settings_spec settings;
    const node *const *nodes; /* topological order: sources first */
    size_t node_count;
    const plugin_reference *references; /* in the order of their first use */
    size_t reference_count;
} pipeline;

/* What a manifest may ask of the world outside; NULL slots are not called. */
typedef struct manifest_env {
    const char *(*get)(void *self, const char *name); /* NULL if unset */
    weir_status (*read)(void *self, const char *path, size_t max, buf *out, weir_error *err);
    /* The value of a reference of a plugin, appended to `out`; `text` is what stands behind the
     * colon and fits the component's pattern. Called once for each that options of components use.
     * NULL: such values stay unknown, and everything but them is checked. */
    weir_status (*fetch)(void *self, const component_ref *reference, weir_str text, buf *out,
                         weir_error *err);
    void *self;
} manifest_env;
extern const manifest_env manifest_env_system; /* environment and files of the process */

typedef struct manifest_input {
    const char *path;       /* "-" = standard input */
    const char *const *set; /* "group.key=value" */
    size_t set_count;
    const char *const *properties; /* files given by --properties */
    size_t properties_count;
    const manifest_env *env; /* NULL = environment and files of the process */
    /* Called for each node whose own words are right, also when others are not: rules that only the
     * plugin knows. May be NULL. */
    void (*validate)(void *opaque, const node *n, diags *out);
    void *opaque;
} manifest_input;

/* Reads, resolves and checks one manifest. NULL if there is any error; the result lives in
 * `memory` and points into `plugins`, which must live as long. Only note data of
 * `plugins` is used: no plugin code runs. [control] */
const pipeline *manifest_load(const manifest_input *input, registry *plugins, arena *memory,
                              diags *out);
/* The same for a text in memory: input->path is its name in messages, and its folder is the one
 * that relative paths start from. [control] */
const pipeline *manifest_load_text(const manifest_input *input, weir_str text, registry *plugins,
                                   arena *memory, diags *out);

#endif
