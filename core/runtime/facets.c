/*
 * The facets weir.host.config/1, task/1, state/1, format/1, metrics/1, random/1 and memory/1, and
 * the host table. batch/1 and tape/1 stand in core/batch.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "runtime/instance.h"
#include "runtime/redact.h"
#include "runtime/splits.h"

/* Of what a plugin says at once; log lines and errors are far shorter. */
#define SAID_BYTES_MAX (1 * MIB)

static instance *instance_of(weir_ctx *ctx) {
    return (instance *)(void *)ctx;
}

/* ---- config/1 ---- */

static const option_value *option(weir_ctx *ctx, const char *key) {
    return options_get(instance_of(ctx)->options, str_of(key));
}

static weir_status config_get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    if (v->option != NULL && v->option->type == OPTION_SECRET) return WEIR_E_INVALID_ARG;
    *out = v->text;
    return WEIR_OK;
}

/* The node's `retry` under the core's own words, for components that retry calls of their own. */
static bool retry_word(const node *n, const char *key, int64_t *out) {
    if (strncmp(key, "retry.", 6) != 0) return false;
    const retry_spec *r = &n->retry;
    if (strcmp(key, "retry.attempts") == 0) {
        *out = r->attempts > INT64_MAX ? INT64_MAX : (int64_t)r->attempts;
    } else if (strcmp(key, "retry.base") == 0) {
        *out = r->base_ns;
    } else if (strcmp(key, "retry.max") == 0) {
        *out = r->max_ns;
    } else if (strcmp(key, "retry.timeout") == 0) {
        *out = r->timeout_ns;
    } else if (strcmp(key, "retry.jitter") == 0) {
        *out = r->jitter ? 1 : 0;
    } else {
        return false;
    }
    return true;
}

static weir_status config_get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    if (retry_word(instance_of(ctx)->node, key, out)) return WEIR_OK;
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    *out = v->i64;
    return WEIR_OK;
}

static weir_status config_get_f64(weir_ctx *ctx, const char *key, double *out) {
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    *out = v->f64;
    return WEIR_OK;
}

static weir_status config_get_bool(weir_ctx *ctx, const char *key, uint32_t *out) {
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    *out = v->i64 != 0;
    return WEIR_OK;
}

static weir_status config_count(weir_ctx *ctx, const char *key, uint32_t *out) {
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    *out = (uint32_t)v->entry_count;
    return WEIR_OK;
}

static weir_status config_entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                                weir_str *value) {
    const option_value *v = option(ctx, key);
    if (v == NULL || index >= v->entry_count) return WEIR_E_NOT_FOUND;
    if (name != NULL) *name = v->entry_names != NULL ? v->entry_names[index] : str_of("");
    if (value != NULL) *value = v->entry_values[index];
    return WEIR_OK;
}

static weir_status config_is_set(weir_ctx *ctx, const char *key, uint32_t *out) {
    const option_value *v = option(ctx, key);
    *out = v != NULL && !v->is_default;
    return WEIR_OK;
}

static weir_status config_secret(weir_ctx *ctx, const char *key, char *buffer, uint64_t size,
                                 uint64_t *len) {
    const option_value *v = option(ctx, key);
    if (v == NULL) return WEIR_E_NOT_FOUND;
    if (v->option == NULL || v->option->type != OPTION_SECRET) return WEIR_E_INVALID_ARG;
    *len = v->text.len;
    if (v->text.len > size) return WEIR_E_TOO_LARGE;
    memcpy(buffer, v->text.ptr, v->text.len);
    return WEIR_OK;
}

static weir_status config_template_column(weir_ctx *ctx, const weir_request *request,
                                          const char *key, const char *entry,
                                          const weir_column **out) {
    instance *i = instance_of(ctx);
    if (i->template_column == NULL) return WEIR_E_INVALID_STATE;
    return i->template_column(i, request, key, entry, out);
}

static weir_status config_base_dir(weir_ctx *ctx, weir_str *out) {
    if (instance_of(ctx)->cx == NULL)
        return WEIR_E_INVALID_STATE; /* validate looks at options only */
    *out = instance_of(ctx)->cx->plan->pipeline->base_dir;
    return WEIR_OK;
}

static const weir_host_config config_facet = {
    .struct_size = sizeof config_facet,
    .get_str = config_get_str,
    .get_i64 = config_get_i64,
    .get_f64 = config_get_f64,
    .get_bool = config_get_bool,
    .count = config_count,
    .entry = config_entry,
    .is_set = config_is_set,
    .secret = config_secret,
    .template_column = config_template_column,
    .base_dir = config_base_dir,
};

/* ---- task/1 ---- */

static void task_wake(weir_ctx *ctx) {
    instance *i = instance_of(ctx);
    if (i->wake != NULL) wake_signal(i->wake);
}

/* One allocation for a completion and all its columns: a failed request is no hot path, and a
 * completion without failures has none. */
static completion *completion_copy(uint64_t token, const weir_result *r) {
    bool malformed =
        (r->failed_count > 0 && (r->failed_index == NULL || r->failed_status == NULL)) ||
        (r->error_count > 0 && r->errors == NULL);
    uint32_t n = malformed ? 0 : r->failed_count, e = malformed ? 0 : r->error_count;
    size_t size = sizeof(completion) + e * sizeof(weir_error *) + n * 3 * sizeof(uint32_t);
    completion *c = calloc(1, size);
    if (c == NULL) return NULL;
    c->token = token;
    c->status = r->status;
    c->malformed = malformed;
    c->retry_after_ms = r->retry_after_ms;
    c->failed_count = n;
    c->error_count = e;
    c->errors = (weir_error **)(void *)(c + 1);
    c->failed_index = (uint32_t *)(void *)(c->errors + e);
    c->failed_status = (weir_status *)(c->failed_index + n);
    c->failed_error = (uint32_t *)(c->failed_status + n);
    for (uint32_t k = 0; k < e; k++) {
        c->errors[k] = error_new();
        error_copy(c->errors[k], r->errors[k]);
    }
    for (uint32_t k = 0; k < n; k++) {
        c->failed_index[k] = r->failed_index[k];
        c->failed_status[k] = r->failed_status[k];
        c->failed_error[k] = r->failed_error != NULL ? r->failed_error[k] : UINT32_MAX;
    }
    if (r->error != NULL) {
        c->error = error_new();
        error_copy(c->error, r->error);
    }
    return c;
}

static void task_write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    instance *i = instance_of(ctx);
    weir_result shadow;
    memset(&shadow, 0, sizeof shadow);
    uint32_t size = result->struct_size;
    memcpy(&shadow, result, size < sizeof shadow ? size : sizeof shadow);
    completion *c = completion_copy(token, &shadow);
    if (c == NULL) abort(); /* losing a completion would lose records silently */
    pthread_mutex_lock(&i->lock);
    if (i->inbox_last != NULL) {
        i->inbox_last->next = c;
    } else {
        i->inbox_first = c;
    }
    i->inbox_last = c;
    pthread_mutex_unlock(&i->lock);
    task_wake(ctx);
}

static void task_flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status,
                            const weir_error *error) {
    instance *i = instance_of(ctx);
    pthread_mutex_lock(&i->lock);
    if (epoch > i->flush_epoch) { /* late answers of superseded flushes are ignored */
        i->flush_epoch = epoch;
        i->flush_status = status;
        error_free(i->flush_error);
        i->flush_error = NULL;
        if (error != NULL) {
            i->flush_error = error_new();
            error_copy(i->flush_error, error);
        }
    }
    pthread_mutex_unlock(&i->lock);
    task_wake(ctx);
}

static void task_commit_done(weir_ctx *ctx, uint64_t token, const uint32_t *verdicts,
                             uint32_t count, const weir_error *error) {
    instance *i = instance_of(ctx);
    commit_answer *a = calloc(1, sizeof *a + count * sizeof a->verdicts[0]);
    if (a == NULL) abort(); /* a lost verdict would hold up every later checkpoint */
    a->token = token;
    if (verdicts != NULL) {
        a->count = count;
        memcpy(a->verdicts, verdicts, count * sizeof verdicts[0]);
    }
    if (error != NULL) {
        a->error = error_new();
        error_copy(a->error, error);
    }
    pthread_mutex_lock(&i->lock);
    if (i->commits_last != NULL) {
        i->commits_last->next = a;
    } else {
        i->commits_first = a;
    }
    i->commits_last = a;
    pthread_mutex_unlock(&i->lock);
    task_wake(ctx);
}

static void task_split_idle(weir_ctx *ctx, weir_str split, uint32_t idle) {
    /* Idle splits matter to watermarks, which this version refuses in the manifest. */
    (void)ctx;
    (void)split;
    (void)idle;
}

static const weir_host_task task_facet = {
    .struct_size = sizeof task_facet,
    .wake = task_wake,
    .write_done = task_write_done,
    .flush_done = task_flush_done,
    .commit_done = task_commit_done,
    .split_idle = task_split_idle,
    .split_add = split_list_add,
};

/* ---- state/1 ---- */

static weir_status state_write(weir_writer *writer, const weir_blob *blob) {
    weir_blob shadow;
    memset(&shadow, 0, sizeof shadow);
    uint32_t size = blob->struct_size;
    memcpy(&shadow, blob, size < sizeof shadow ? size : sizeof shadow);
    if (writer->epochs != NULL) {
        return sink_epochs_add_committable(writer->epochs, shadow.bytes);
    }
    if (shadow.scope < WEIR_SCOPE_SPLIT || shadow.scope > WEIR_SCOPE_BROADCAST) {
        return WEIR_E_INVALID_ARG;
    }
    const state_blob copy = {.scope = shadow.scope,
                             .version =
                                 shadow.state_version != 0 ? shadow.state_version : writer->version,
                             .instance = writer->instance,
                             .split = shadow.split,
                             .bytes = shadow.bytes};
    return part_add_blob(writer->part, &copy);
}

static weir_status state_get(weir_ctx *ctx, const char *name, weir_str *out) {
    const keyed *k = instance_of(ctx)->keyed;
    return k != NULL ? keyed_get(k, str_of(name), out) : WEIR_E_UNSUPPORTED;
}

static weir_status state_put(weir_ctx *ctx, const char *name, weir_str value) {
    keyed *k = instance_of(ctx)->keyed;
    return k != NULL ? keyed_put(k, str_of(name), value) : WEIR_E_UNSUPPORTED;
}

static weir_status state_remove(weir_ctx *ctx, const char *name) {
    keyed *k = instance_of(ctx)->keyed;
    return k != NULL ? keyed_remove(k, str_of(name)) : WEIR_E_UNSUPPORTED;
}

/* Timers fire as event time goes on, which this version does not track behind the source: their
 * slots are left out, and the SDK's stubs say UNSUPPORTED. */
static const weir_host_state state_facet = {
    .struct_size = offsetof(weir_host_state, timer_set),
    .write = state_write,
    .get = state_get,
    .put = state_put,
    .remove = state_remove,
};

/* ---- format/1 ---- */

static weir_status format_get(weir_ctx *ctx, weir_format *out) {
    const format_spec *f = instance_of(ctx)->format;
    weir_format full = {.struct_size = out->struct_size};
    if (f != NULL) {
        full.framing = f->framing == FRAMING_LINES    ? WEIR_FRAMING_LINES
                       : f->framing == FRAMING_LENGTH ? WEIR_FRAMING_LENGTH
                                                      : WEIR_FRAMING_NONE;
        full.compression = f->compression;
        if (f->serde != NULL) {
            full.serde = f->type;
            full.suffix = component_note(f->serde)->suffix;
        }
    }
    uint32_t size = out->struct_size;
    memcpy(out, &full, size < sizeof full ? size : sizeof full);
    return WEIR_OK;
}

static const weir_host_format format_facet = {.struct_size = sizeof format_facet,
                                              .get = format_get};

/* ---- metrics/1: counters reach the log at debug level; exporting them is the serve module's ----
 */

static void metrics_counter_add(weir_ctx *ctx, const char *name, uint64_t delta) {
    instance *i = instance_of(ctx);
    log_write(WEIR_LOG_TRACE, i->component, "%s: %s += %llu", i->where, name,
              (unsigned long long)delta);
}

static void metrics_gauge_set(weir_ctx *ctx, const char *name, int64_t value) {
    instance *i = instance_of(ctx);
    log_write(WEIR_LOG_TRACE, i->component, "%s: %s = %lld", i->where, name, (long long)value);
}

static const weir_host_metrics metrics_facet = {.struct_size = sizeof metrics_facet,
                                                .counter_add = metrics_counter_add,
                                                .gauge_set = metrics_gauge_set};

/* ---- random/1 ---- */

/* SplitMix64: one atomic step an output, so it may be called from any thread. */
static uint64_t random_u64(weir_ctx *ctx) {
    uint64_t z = atomic_fetch_add_explicit(&instance_of(ctx)->random, UINT64_C(0x9e3779b97f4a7c15),
                                           memory_order_relaxed);
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static weir_status random_bytes(weir_ctx *ctx, void *out, uint64_t size) {
    (void)ctx;
    return os_random(out, size) ? WEIR_OK : WEIR_E_IO;
}

static const weir_host_random random_facet = {
    .struct_size = sizeof random_facet, .u64 = random_u64, .bytes = random_bytes};

/* ---- memory/1 ---- */

static weir_status memory_reserve(weir_ctx *ctx, uint64_t bytes) {
    batch_home *home = instance_of(ctx)->head.home;
    if (batch_home_used(home) + bytes > batch_home_limit(home)) return WEIR_E_NOMEM;
    batch_home_charge(home, bytes);
    return WEIR_OK;
}

static void memory_release(weir_ctx *ctx, uint64_t bytes) {
    batch_home_uncharge(instance_of(ctx)->head.home, bytes);
}

static const weir_host_memory memory_facet = {
    .struct_size = sizeof memory_facet, .reserve = memory_reserve, .release = memory_release};

/* ---- the host table ---- */

static const void *host_get_extension(const weir_host *host, const char *name) {
    static const struct {
        const char *name;
        const void *table;
    } facets[] = {
        {WEIR_HOST_CONFIG, &config_facet},   {WEIR_HOST_BATCH, &batch_facet},
        {WEIR_HOST_TAPE, &batch_tape_facet}, {WEIR_HOST_TASK, &task_facet},
        {WEIR_HOST_FORMAT, &format_facet},   {WEIR_HOST_METRICS, &metrics_facet},
        {WEIR_HOST_RANDOM, &random_facet},   {WEIR_HOST_MEMORY, &memory_facet},
        {WEIR_HOST_STATE, &state_facet},
    };
    (void)host;
    for (size_t i = 0; i < sizeof facets / sizeof facets[0]; i++) {
        if (strcmp(facets[i].name, name) == 0) return facets[i].table;
    }
    return NULL;
}

static void *host_mem_alloc(const weir_host *host, uint64_t size) {
    (void)host;
    return size > SIZE_MAX / 2 ? NULL : malloc(size);
}

static void host_mem_free(const weir_host *host, void *memory) {
    (void)host;
    free(memory);
}

static void host_log(const weir_host *host, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)host;
    instance *i = ctx != NULL ? instance_of(ctx) : NULL;
    buf scratch;
    buf_init(&scratch, SAID_BYTES_MAX);
    log_line(level, i != NULL ? i->component : NULL, i != NULL ? i->where : "plugin",
             redact(text, &scratch));
    buf_free(&scratch);
}

static uint32_t host_log_level(const weir_host *host, weir_ctx *ctx) {
    (void)host;
    return log_level(ctx != NULL ? instance_of(ctx)->component : NULL);
}

static int64_t host_mono_ns(const weir_host *host) {
    (void)host;
    return clock_mono_ns(&clock_system);
}

static int64_t host_wall_us(const weir_host *host) {
    (void)host;
    return clock_wall_us(&clock_system);
}

static weir_error *host_error_new(const weir_host *host) {
    (void)host;
    return error_new();
}

static void host_error_set(const weir_host *host, weir_error *err, weir_status status,
                           uint32_t flags, weir_str text) {
    (void)host;
    buf scratch;
    buf_init(&scratch, SAID_BYTES_MAX);
    weir_str shown = redact(text, &scratch);
    error_set(err, status, flags, "%.*s", STR_FMT(shown));
    buf_free(&scratch);
}

static void host_error_detail(const weir_host *host, weir_error *err, const char *key,
                              weir_str value) {
    (void)host;
    buf scratch;
    buf_init(&scratch, SAID_BYTES_MAX);
    error_detail(err, key, redact(value, &scratch));
    buf_free(&scratch);
}

static void host_error_free(const weir_host *host, weir_error *err) {
    (void)host;
    error_free(err);
}

const weir_host instance_host = {
    .struct_size = sizeof instance_host,
    .abi_minor = WEIR_ABI_MINOR,
    .name = "weir",
    .version = WEIR_VERSION,
    .get_extension = host_get_extension,
    .mem_alloc = host_mem_alloc,
    .mem_free = host_mem_free,
    .log = host_log,
    .log_level = host_log_level,
    .mono_ns = host_mono_ns,
    .wall_us = host_wall_us,
    .error_new = host_error_new,
    .error_set = host_error_set,
    .error_detail = host_error_detail,
    .error_free = host_error_free,
};
