/*
 * weir/plugin.h - the entry point, the host table, and what a plugin offers.
 *
 * A plugin is a shared object that exports one function, weir_plugin_entry_1, and carries its
 * plugin.json in an ELF note (owner WEIR_NOTE_NAME, type WEIR_NOTE_TYPE, section
 * WEIR_NOTE_SECTION) that the host reads before it runs a byte of the plugin. weir_add_plugin() of
 * the CMake package makes both.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_NOTE_SECTION ".note.weir.plugin"
#define WEIR_NOTE_NAME "weir"        /* namesz 5 with its NUL */
#define WEIR_NOTE_TYPE 0x57454952u   /* "WEIR"; the descriptor is plugin.json, UTF-8, no NUL */
#define WEIR_NOTE_BYTES_MAX 1048576u /* a larger descriptor is refused */
#define WEIR_ENTRY_SYMBOL "weir_plugin_entry_1"

/*
 * The services every plugin gets. Owned by the host, valid for the life of the process. Feature
 * groups ("facets") are asked for by name: see weir/host.h.
 */
typedef struct weir_host {
    uint32_t struct_size;
    uint32_t abi_minor;  /* the host's WEIR_ABI_MINOR */
    const char *name;    /* "weir"; another program may host plugins too */
    const char *version; /* of the host program */
    /* A facet table (it begins with struct_size), or NULL. Same answer each time. [any] */
    const void *(*get_extension)(const struct weir_host *host, const char *name);
    /* malloc-like, aligned to 16; NULL without memory. Counted by the host's diagnostics. [any] */
    void *(*mem_alloc)(const struct weir_host *host, uint64_t size);
    void (*mem_free)(const struct weir_host *host, void *memory); /* NULL is ignored [any] */
    /* One line, no trailing newline; copied. `ctx` may be NULL while loading. [any] */
    void (*log)(const struct weir_host *host, weir_ctx *ctx, uint32_t level, weir_str text);
    /* The highest level worth formatting for `ctx`. [any] */
    uint32_t (*log_level)(const struct weir_host *host, weir_ctx *ctx);
    int64_t (*mono_ns)(const struct weir_host *host); /* CLOCK_MONOTONIC, or a simulator's [any] */
    int64_t (*wall_us)(const struct weir_host *host); /* microseconds since 1970 UTC [any] */
    /* An empty error object, for failures of single records. NULL without memory. [any] */
    weir_error *(*error_new)(const struct weir_host *host);
    /* Fills an error; text is copied and replaces an earlier one. `err` may be NULL. [any] */
    void (*error_set)(const struct weir_host *host, weir_error *err, weir_status status,
                      uint32_t flags, weir_str text);
    /* Adds a WEIR_DETAIL_* to an error; both copied; secrets must not be in it. [any] */
    void (*error_detail)(const struct weir_host *host, weir_error *err, const char *key,
                         weir_str value);
    void (*error_free)(const struct weir_host *host, weir_error *err); /* NULL is ignored [any] */
} weir_host;

/* In and out of `create`. */
typedef struct weir_create {
    uint32_t struct_size;
    uint32_t reserved;
    weir_ctx *ctx;     /* in: valid until destroy has returned */
    void *self;        /* out: the instance */
    weir_error *error; /* in: filled on failure; stays the host's */
} weir_create;

/* Capabilities of a component: 0-31 are hints, a host may ignore them; 32-63 are requirements, a
 * host that does not know one refuses the component. */
#define WEIR_CAP_BUFFERED (1ull << 0)   /* sink: copies what it keeps; outside in-flight adaption */
#define WEIR_CAP_BOUNDED (1ull << 1)    /* source: may answer END */
#define WEIR_CAP_REPLAYABLE (1ull << 2) /* source: the same position gives the same records */
#define WEIR_CAP_STREAM_FORMAT (1ull << 3) /* records are framed inside a byte stream */
#define WEIR_CAP_IDEMPOTENT (1ull << 4)    /* sink: a repeated write has no further effect */
#define WEIR_CAP_NEEDS_TAPE (1ull << 5)    /* transform: apply needs decoded rows */
/* Transform: apply is called for the records of one key at a time, with weir_apply.key, and may
 * keep state of that key with weir.host.state/1. Needs an exchange by key in the manifest. */
#define WEIR_CAP_KEYED (1ull << 32)

/* In and out of `validate`: option rules that plugin.json cannot express. */
typedef struct weir_validate {
    uint32_t struct_size;
    uint32_t reserved;
    weir_ctx *ctx;     /* config/1 works on it, nothing else does */
    weir_error *error; /* filled on failure, with WEIR_DETAIL_OPTION naming the key */
} weir_validate;

/* One thing a manifest can name: as `type`, as a format, or as `${NAME:...}`. Static in the plugin.
 */
typedef struct weir_component {
    uint32_t struct_size;
    uint32_t kind;         /* WEIR_KIND_* */
    const char *name;      /* as in plugin.json */
    uint64_t capabilities; /* WEIR_CAP_* */
    const void *ops;       /* weir_source_ops, weir_sink_ops, ... by kind */
    /* Optional. Looks at options only: no I/O, no side effect. [control] */
    weir_status (*validate)(weir_validate *args);
} weir_component;

/* What the entry function returns: static in the plugin. */
typedef struct weir_plugin {
    uint32_t struct_size;
    uint32_t abi_minor;                      /* the WEIR_ABI_MINOR the plugin was built with */
    const char *id;                          /* reverse DNS, equal to plugin.json */
    const char *version;                     /* equal to plugin.json */
    const weir_component *const *components; /* [component_count] */
    uint32_t component_count;
    uint32_t reserved;
    /* Both optional, counted by the plugin: several hosts may live in one process, and each calls
     * init once before the first create and deinit once after its last destroy. [loader] */
    weir_status (*init)(const weir_host *host, weir_error *error);
    void (*deinit)(const weir_host *host);
} weir_plugin;

/*
 * The one exported symbol. Idempotent and thread-safe: the same answer for every host and call.
 * Runs no I/O. Returns WEIR_E_INCOMPATIBLE if the host is too old for what the plugin requires.
 * [loader]
 */
#if defined(__GNUC__)
#define WEIR_EXPORT __attribute__((visibility("default")))
#else
#define WEIR_EXPORT
#endif
WEIR_EXPORT weir_status weir_plugin_entry_1(const weir_host *host, const weir_plugin **out);
typedef weir_status (*weir_plugin_entry_fn)(const weir_host *host, const weir_plugin **out);

#ifdef __cplusplus
}
#endif
#endif
