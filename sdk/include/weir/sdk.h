/*
 * weir/sdk.h - conveniences for plugin authors, linked statically as libweir_sdk.a.
 *
 * Not part of the ABI: this code becomes part of your plugin. It fetches all facets of each host at
 * once, puts a stub that answers WEIR_E_UNSUPPORTED into every slot that an older host lacks, and
 * lets you write weir_log(ctx, ...) instead of walking tables. C11; the header is also C++11.
 */
#ifndef WEIR_SDK_H
#define WEIR_SDK_H

#include "weir/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Everything a host offers, shadowed: copies of its tables in the size this header knows. Functions
 * of `host` want the original handle, `handle`. */
typedef struct weir_api {
    const weir_host *handle;
    weir_host host;
    weir_host_config config;
    weir_host_batch batch;
    weir_host_tape tape;
    weir_host_task task;
    weir_host_state state;
    weir_host_format format;
    weir_host_metrics metrics;
    weir_host_random random;
    weir_host_memory memory;
} weir_api;

/*
 * The body of weir_plugin_entry_1: binds `host` (once, thread-safe) and answers `plugin`. Fails
 * with WEIR_E_INCOMPATIBLE if the host is older than `requires_minor`, WEIR_E_NOMEM if more than
 * eight hosts share the process. [loader]
 */
weir_status weir_sdk_entry(const weir_host *host, const weir_plugin *plugin,
                           uint32_t requires_minor, const weir_plugin **out);

/* Defines the entry function of a plugin that needs nothing newer than ABI minor `minor`. */
#define WEIR_PLUGIN_ENTRY(plugin, minor)                                                           \
    weir_status weir_plugin_entry_1(const weir_host *host, const weir_plugin **out) {              \
        return weir_sdk_entry(host, &(plugin), (minor), out);                                      \
    }

/* The tables of the host behind `ctx`. Never NULL for a ctx of a bound host. [any] */
const weir_api *weir_api_of(const weir_ctx *ctx);

/* ---- memory and time ---- */
void *weir_alloc(weir_ctx *ctx, uint64_t size);  /* NULL without memory [any] */
void *weir_zalloc(weir_ctx *ctx, uint64_t size); /* zeroed [any] */
void weir_free(weir_ctx *ctx, void *memory);     /* NULL is ignored [any] */
int64_t weir_mono_ns(weir_ctx *ctx);             /* [any] */
int64_t weir_wall_us(weir_ctx *ctx);             /* [any] */

/* ---- words ---- */
#if defined(__GNUC__)
#define WEIR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WEIR_PRINTF(f, a)
#endif
/* One line; formatted only if the level is on; at most 2 KiB. [any] */
void weir_log(weir_ctx *ctx, uint32_t level, const char *format, ...) WEIR_PRINTF(3, 4);
/* Fills `err` and returns `status`: `return weir_fail(ctx, args->error, WEIR_E_IO, 0, "...")`. */
weir_status weir_fail(weir_ctx *ctx, weir_error *err, weir_status status, uint32_t flags,
                      const char *format, ...) WEIR_PRINTF(5, 6);
/* What the user can do about it. */
void weir_fail_hint(weir_ctx *ctx, weir_error *err, const char *format, ...) WEIR_PRINTF(3, 4);
void weir_fail_detail(weir_ctx *ctx, weir_error *err, const char *key, weir_str value);
weir_error *weir_error_new(weir_ctx *ctx);
void weir_error_free(weir_ctx *ctx, weir_error *err);

/* ---- strings ---- */
weir_str weir_str_of(const char *z); /* NULL is empty */
int weir_str_eq(weir_str a, weir_str b);
int weir_str_is(weir_str a, const char *z);
/* A NUL-terminated copy from weir_alloc; NULL without memory. */
char *weir_str_dup(weir_ctx *ctx, weir_str s);

/* ---- options: the declared default, 0 or "" when there is none ---- */
weir_str weir_opt_str(weir_ctx *ctx, const char *key);
int64_t weir_opt_i64(weir_ctx *ctx,
                     const char *key); /* int, size in bytes, duration in ns, time in us */
double weir_opt_f64(weir_ctx *ctx, const char *key);
int weir_opt_bool(weir_ctx *ctx, const char *key);
int weir_opt_is(weir_ctx *ctx, const char *key, const char *value); /* enum */
int weir_opt_is_set(weir_ctx *ctx, const char *key);
uint32_t weir_opt_count(weir_ctx *ctx, const char *key);
/* Item `index` of a list, or of a free map with its name (`name` may be NULL). */
weir_status weir_opt_entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                           weir_str *value);

/* ---- task ---- */
void weir_wake(weir_ctx *ctx);                     /* [any] */
void weir_write_ok(weir_ctx *ctx, uint64_t token); /* [any] */
/* The whole request failed; nothing of it was taken. [any] */
void weir_write_failed(weir_ctx *ctx, uint64_t token, weir_status status, weir_error *err);
void weir_flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *err);
void weir_count(weir_ctx *ctx, const char *counter, uint64_t delta); /* metrics [any] */

#ifdef __cplusplus
}
#endif
#endif
