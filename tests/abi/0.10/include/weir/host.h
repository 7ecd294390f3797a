/*
 * weir/host.h - the host's facets: services by name, beyond the host table itself.
 *
 * batch/1 and tape/1 stand in weir/batch.h. libweir_sdk.a fetches all facets at once and puts stubs
 * that answer WEIR_E_UNSUPPORTED into slots an older host lacks: see weir/sdk.h.
 */
#ifndef WEIR_HOST_H
#define WEIR_HOST_H

#include "weir/batch.h"
#include "weir/instance.h"
#include "weir/sink.h"
#include "weir/source.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * "weir.host.config/1": the options of the node, already resolved, typed, range-checked and with
 * defaults filled in, as plugin.json declares them. Keys are dotted paths ("roll.size"). A key that
 * is not declared is WEIR_E_NOT_FOUND, as is an option without value and default. Strings live as
 * long as the instance. A serde sees the keys of the node's `format`. The node's `retry` can be
 * read with get_i64 as "retry.attempts" (INT64_MAX = unlimited), "retry.base", "retry.max",
 * "retry.timeout" (nanoseconds) and "retry.jitter" (1 = full, 0 = none), by sources that repeat
 * calls of their own.
 */
typedef struct weir_host_config {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*get_str)(weir_ctx *ctx, const char *key,
                           weir_str *out); /* string enum template [any] */
    weir_status (*get_i64)(weir_ctx *ctx, const char *key, int64_t *out);   /* int, size in bytes,
                                                             duration in nanoseconds [any] */
    weir_status (*get_f64)(weir_ctx *ctx, const char *key, double *out);    /* float [any] */
    weir_status (*get_bool)(weir_ctx *ctx, const char *key, uint32_t *out); /* [any] */
    /* Lists, and maps whose keys are free (`properties.*`): entries by index. [any] */
    weir_status (*count)(weir_ctx *ctx, const char *key, uint32_t *out);
    weir_status (*entry)(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                         weir_str *value);
    /* 1 if the manifest gave the option, 0 if it has its default or none. [any] */
    weir_status (*is_set)(weir_ctx *ctx, const char *key, uint32_t *out);
    /* A secret's bytes, to be wiped by the caller after use; the host never logs them. [any] */
    weir_status (*secret)(weir_ctx *ctx, const char *key, char *buffer, uint64_t size,
                          uint64_t *len);
    /* An option of type template evaluated over the records of a request; `entry` names one of a
     * map of templates, else NULL. Lives as long as the request. [task] */
    weir_status (*template_column)(weir_ctx *ctx, const weir_request *request, const char *key,
                                   const char *entry, const weir_column **out);
    /* The folder of the manifest, for relative paths. [any] */
    weir_status (*base_dir)(weir_ctx *ctx, weir_str *out);
} weir_host_config;
#define WEIR_HOST_CONFIG "weir.host.config/1"

/* "weir.host.task/1": waking and completing. */
typedef struct weir_host_task {
    uint32_t struct_size;
    uint32_t reserved;
    /* Makes the host call the instance's task operation again soon. [any] */
    void (*wake)(weir_ctx *ctx);
    /* Completes a token, exactly once, perhaps before write has returned. [any] */
    void (*write_done)(weir_ctx *ctx, uint64_t token, const weir_result *result);
    /* Everything before flush(epoch) is durable, or ready to prepare. [any] */
    void (*flush_done)(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *error);
    /* verdicts[i] is WEIR_VERDICT_* of committable i. [any] */
    void (*commit_done)(weir_ctx *ctx, uint64_t token, const uint32_t *verdicts, uint32_t count,
                        const weir_error *error);
    /* Source: this split has nothing to read at present; it shall not hold back event time. [task]
     */
    void (*split_idle)(weir_ctx *ctx, weir_str split, uint32_t idle);
    /* Adds a split to an enumeration; copied. [control] */
    weir_status (*split_add)(weir_split_list *list, const weir_split *split);
} weir_host_task;
#define WEIR_HOST_TASK "weir.host.task/1"

/* "weir.host.state/1": checkpointed state. */
typedef struct weir_host_state {
    uint32_t struct_size;
    uint32_t reserved;
    /* Writes one blob; bytes are copied. [task] */
    weir_status (*write)(weir_writer *writer, const weir_blob *blob);
    /* State of the key being applied: a value per name. For transforms with WEIR_CAP_KEYED, during
     * apply; else WEIR_E_UNSUPPORTED or INVALID_STATE. The host stores it with each checkpoint and
     * brings it to the instance that gets the key's records, also with another parallelism. Values
     * come back as they were put, under every state version that the component reads: one that may
     * change its layout says so in its first byte. `get`: NOT_FOUND, or bytes that are valid until
     * the next put or remove, or until apply returns. `put`: copies; TOO_LARGE above 16 MiB, 256
     * names a key or 255 bytes of a name; NOMEM when the pipeline's budget for state is spent.
     * `remove`: NOT_FOUND if there is none; state that is never removed is kept for ever. [task] */
    weir_status (*get)(weir_ctx *ctx, const char *name, weir_str *out);
    weir_status (*put)(weir_ctx *ctx, const char *name, weir_str value);
    weir_status (*remove)(weir_ctx *ctx, const char *name);
    /* A timer of the key being applied, in event time or wall time. Not offered yet:
     * WEIR_E_UNSUPPORTED. [task] */
    weir_status (*timer_set)(weir_ctx *ctx, uint32_t wall, int64_t time_us);
    weir_status (*timer_clear)(weir_ctx *ctx, uint32_t wall, int64_t time_us);
} weir_host_state;
#define WEIR_HOST_STATE "weir.host.state/1"

/* "weir.host.format/1": how a component that frames records in a byte stream (file, s3, stdin)
 * learns its node's `format`. */
#define WEIR_FRAMING_NONE 0u
#define WEIR_FRAMING_LINES 1u
#define WEIR_FRAMING_LENGTH 2u /* u32 big-endian before each record */
#define WEIR_COMPRESSION_NONE 0u
#define WEIR_COMPRESSION_GZIP 1u
#define WEIR_COMPRESSION_ZSTD 2u
#define WEIR_COMPRESSION_SNAPPY 3u
#define WEIR_COMPRESSION_ZLIB 4u
typedef struct weir_format {
    uint32_t struct_size;
    uint32_t framing;     /* WEIR_FRAMING_* */
    uint32_t compression; /* WEIR_COMPRESSION_* */
    uint32_t reserved;
    weir_str serde;  /* name of the format's serde; empty for raw */
    weir_str suffix; /* usual file suffix, ".json" or ".txt.gz"; may be empty */
} weir_format;
typedef struct weir_host_format {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*get)(weir_ctx *ctx, weir_format *out); /* [any] */
} weir_host_format;
#define WEIR_HOST_FORMAT "weir.host.format/1"

/* "weir.host.metrics/1": numbers of the instance. Names are snake_case with the unit last. */
typedef struct weir_host_metrics {
    uint32_t struct_size;
    uint32_t reserved;
    void (*counter_add)(weir_ctx *ctx, const char *name, uint64_t delta); /* [any] */
    void (*gauge_set)(weir_ctx *ctx, const char *name, int64_t value);    /* [any] */
} weir_host_metrics;
#define WEIR_HOST_METRICS "weir.host.metrics/1"

/* "weir.host.random/1": randomness that a simulator can own. */
typedef struct weir_host_random {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t (*u64)(weir_ctx *ctx); /* not for secrets [any] */
    weir_status (*bytes)(weir_ctx *ctx, void *out,
                         uint64_t size); /* from the system's CSPRNG [any] */
} weir_host_random;
#define WEIR_HOST_RANDOM "weir.host.random/1"

/* "weir.host.memory/1": the pipeline's budget. */
typedef struct weir_host_memory {
    uint32_t struct_size;
    uint32_t reserved;
    /* Counts memory that the plugin allocates itself. Refused with WEIR_E_NOMEM when the budget is
     * spent: give something back first. [any] */
    weir_status (*reserve)(weir_ctx *ctx, uint64_t bytes);
    void (*release)(weir_ctx *ctx, uint64_t bytes); /* [any] */
} weir_host_memory;
#define WEIR_HOST_MEMORY "weir.host.memory/1"

#ifdef __cplusplus
}
#endif
#endif
