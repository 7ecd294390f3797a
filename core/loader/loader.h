/*
 * core/loader/loader.h - finding plugins, reading their notes, binding them.
 *
 *   loader_scan      reads ELF notes of every file on the search path; runs nothing of them
 *   registry_find    component by kind and name, with all that plugin.json says
 *   loader_bind      dlopen, entry, shadow tables with stubs: now plugin code runs
 */
#ifndef WEIR_LOADER_LOADER_H
#define WEIR_LOADER_LOADER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "weir/abi.h"

/* A host that is built with older headers (tests/abi) knows no such requirement, and refuses a
 * component that has it. */
#ifdef WEIR_CAP_KEYED
#define LOADER_CAP_KEYED WEIR_CAP_KEYED
#else
#define LOADER_CAP_KEYED 0
#endif

/* Nor a component of this kind: such a host refuses the plugin. */
#ifdef WEIR_KIND_REFERENCE
#define LOADER_KIND_REFERENCE WEIR_KIND_REFERENCE
#define LOADER_KIND_MAX WEIR_KIND_REFERENCE
#else
#define LOADER_KIND_MAX WEIR_KIND_TRANSFORM
#endif

/* ---- what plugin.json says (parsed from the note; strings live in the registry's arena) ---- */

/* Types of options. SECRET and TEMPLATE are strings with rules of their own. */
typedef enum {
    OPTION_STRING,
    OPTION_INT,
    OPTION_FLOAT,
    OPTION_BOOL,
    OPTION_DURATION, /* nanoseconds */
    OPTION_SIZE,     /* bytes */
    OPTION_ENUM,
    OPTION_LIST, /* of scalars; a scalar stands for a list of one */
    OPTION_MAP,  /* with `fields`: those keys; without: free keys, scalar values */
    OPTION_SECRET,
    OPTION_TEMPLATE,
    OPTION_TIME, /* RFC 3339 or epoch seconds with fraction; microseconds since 1970 UTC */
} option_type;

typedef struct note_option note_option;
struct note_option {
    weir_str name; /* last part of the key: "size" of "roll.size" */
    option_type type;
    bool required;
    bool has_default;
    bool deprecated;
    bool wire;            /* changes the bytes on the wire: blocks pass-through unless equal */
    bool groups_requests; /* template: records of one request share its value */
    bool path;            /* template or string: begins with a literal, relative to the manifest */
    bool has_min, has_max;
    double min, max;        /* INT, FLOAT; DURATION in ns; SIZE in bytes */
    weir_str default_text;  /* as it would stand in a manifest */
    weir_str pattern;       /* POSIX extended regular expression for STRING, LIST items */
    const weir_str *values; /* ENUM: [value_count]; also special words of other types */
    size_t value_count;
    weir_str since, replaced_by, group, description;
    const weir_str *examples;
    size_t example_count;
    const note_option *fields; /* sub-keys: the option may be a mapping of these */
    size_t field_count;
    option_type items; /* MAP without fields: type of its values, STRING or TEMPLATE ("items") */
};

typedef enum { RULE_REQUIRES, RULE_CONFLICTS, RULE_ONE_OF } note_rule_kind;
typedef struct note_rule {
    note_rule_kind kind;
    weir_str when;        /* REQUIRES, CONFLICTS: the key; "key=value" restricts to that value */
    const weir_str *keys; /* REQUIRES: all of them; CONFLICTS: none of them; ONE_OF: exactly one */
    size_t key_count;
    weir_str text; /* why, for the message; may be empty */
} note_rule;

typedef struct note_limits {
    uint32_t request_records, in_flight, record_overhead;
    uint64_t request_bytes, record_bytes;
} note_limits;

/* Versions of one kind of stored bytes. A component that says nothing writes and reads version 1.
 * Always 1 <= reads_min <= version <= reads_max. */
typedef struct note_versions {
    uint32_t version;              /* as written */
    uint32_t reads_min, reads_max; /* inclusive */
} note_versions;

typedef struct note_component {
    uint32_t kind; /* WEIR_KIND_* */
    weir_str name, summary, stability;
    uint64_t capabilities; /* WEIR_CAP_*, from their names */
    weir_str guarantee;    /* at_most_once at_least_once exactly_once, the strongest it can give */
    note_limits limits;
    int64_t service_interval_ns;
    bool needs_tape, needs_key, needs_headers;
    const weir_str *needs_meta; /* WEIR_META_* */
    size_t needs_meta_count;
    note_versions state;        /* blobs of a snapshot: weir_open's state_version */
    note_versions committables; /* sinks: what prepare writes */
    note_versions splits;       /* sources: a split's private bytes and its positions */
    weir_str default_framing;   /* "lines", "none"; empty = none */
    weir_str suffix;            /* serde: usual file suffix */
    weir_str writes_to;         /* sink: "stdout", "stderr": the program's own stream; else empty */
    weir_str form;              /* reference: what stands behind the colon, for people */
    weir_str pattern;           /* reference: the same as POSIX extended regular expression */
    const note_option *options;
    size_t option_count;
    const weir_str *prefixes; /* pass-through prefixes: "properties." */
    size_t prefix_count;
    const note_rule *rules;
    size_t rule_count;
} note_component;

typedef struct note {
    weir_str path; /* of the .so */
    weir_str json; /* the note's descriptor */
    weir_str id, version, name, summary, vendor, license, homepage;
    uint32_t abi_major;
    weir_str abi_built_with, abi_requires, platform; /* "0.9", "0.9", "linux-x86_64" */
    const note_component *components;
    size_t component_count;
} note;

/* Reads the note of one file without running it. Hostile files are the normal case: every offset
 * and size is checked, nothing is allocated by a size the file claims. Errors say what is wrong and
 * where. [control] */
weir_status loader_read_note(const char *path, arena *memory, note *out, weir_error *err);

/* ---- the registry ---- */

typedef struct registry registry;
typedef struct plugin_ref plugin_ref;       /* one .so that was found */
typedef struct component_ref component_ref; /* one component of it */

/* Places in search order: explicit folders of WEIR_PLUGIN_PATH (ignored when privileged),
 * $XDG_DATA_HOME/weir/plugins-1, <program>/../lib/weir/plugins-1. Never the working directory. */
registry *registry_new(void);
void registry_free(registry *r);
/* Looks at every .so in the places. A file that cannot be used becomes a refusal, not an error.
 * The first of two plugins with one id wins by place, then by version. Lazy: only the first call
 * reads anything. [control] */
void registry_scan(registry *r);
/* Adds one plugin the manifest names by path; `sha256` (64 hex digits) may be NULL. */
weir_status registry_add(registry *r, const char *path, const char *sha256, weir_error *err);

size_t registry_plugin_count(const registry *r);
const plugin_ref *registry_plugin(const registry *r, size_t index);
const note *plugin_ref_note(const plugin_ref *p);

/* Plugins that do not count, because another one of their id comes earlier in the search order, in
 * that order. The same file found twice, by a link for instance, hides nothing and is not among
 * them. `by` is the one that counts. */
size_t registry_shadowed_count(const registry *r);
const plugin_ref *registry_shadowed(const registry *r, size_t index, const plugin_ref **by);

/* NULL if there is none; then registry_explain says which places were tried, what was refused and
 * why, whether a shadowed plugin has it, and the nearest name. Kind 0 asks registry_explain for a
 * plugin by id or name, or a component of any kind. */
const component_ref *registry_find(const registry *r, uint32_t kind, weir_str name);
const note_component *component_note(const component_ref *c);
const plugin_ref *component_plugin(const component_ref *c);
void registry_explain(const registry *r, uint32_t kind, weir_str name, buf *out);

/* Refusals: files that are on the search path but cannot be used. */
size_t registry_refusal_count(const registry *r);
weir_str registry_refusal(const registry *r, size_t index); /* "path: reason" */

/* ---- binding ---- */

/* A component ready to be called. `ops` are shadow tables of our own size: every optional slot
 * holds a stub, so a caller never tests for NULL except where noted. */
typedef struct bound_component {
    const note_component *note;
    const plugin_ref *plugin;
    const weir_component *component;
    uint64_t capabilities;
    bool has_wakeup, has_drive, has_set_paused, has_snapshot, has_checkpoint_done, has_validate;
    union {
        weir_source_ops source;
        weir_sink_ops sink;
        weir_serde_ops serde;
        weir_transform_ops transform;
#ifdef LOADER_KIND_REFERENCE
        weir_reference_ops reference;
#endif
    } ops;
} bound_component;

/* Loads the plugin if it is not yet and binds the component. Checks that the table agrees with the
 * note, that required slots are there and that no unknown requirement bit is set. The result lives
 * as long as the registry. `host` is the original host handle. [control] */
weir_status loader_bind(registry *r, const component_ref *c, const weir_host *host,
                        const bound_component **out, weir_error *err);
/* A shadow of an extension table of an instance: `size` bytes zeroed, then filled with what the
 * plugin has. WEIR_E_UNSUPPORTED if it has none. `get` is the ops' get_extension. */
weir_status loader_extension(const void *(*get)(void *, const char *), void *self, const char *name,
                             void *shadow, uint32_t size);

#endif
