/*
 * Binding: from a host's handle to shadow copies of all its tables.
 *
 *   bound[0..7].handle   published last, with release order: whoever sees the handle sees the copy
 *   bound[0..7].api      written once, under the lock, never again
 *
 * Lookups therefore take no lock. The list only grows: a host lives as long as its process, and so
 * does its slot.
 */
#include "weir/sdk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "stubs.h"

/* More hosts than this in one process is a leak of hosts, not a use. */
#define HOSTS_MAX 8

/* Releases are numbered from here on, drafts below: see weir/types.h. */
#define FIRST_RELEASE 1000u

typedef struct binding {
    _Atomic(const weir_host *) handle;
    weir_api api;
} binding;

static binding bound[HOSTS_MAX];
static weir_api unbound; /* all stubs: what a ctx of no known host gets */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t unbound_once = PTHREAD_ONCE_INIT;

static const weir_api *find(const weir_host *host);
static const weir_api *bind_host(const weir_host *host);
static void fill_unbound(void);

weir_status weir_sdk_entry(const weir_host *host, const weir_plugin *plugin,
                           uint32_t requires_minor, const weir_plugin **out) {
    if (host == NULL || plugin == NULL || out == NULL) return WEIR_E_INVALID_ARG;
    *out = NULL;
    if (!WEIR_HAS(weir_host, host, abi_minor)) return WEIR_E_INCOMPATIBLE;
    if (host->abi_minor < requires_minor) return WEIR_E_INCOMPATIBLE;
    /* A draft promises nothing to a release: its tables may have been changed in between. */
    if (host->abi_minor >= FIRST_RELEASE && WEIR_ABI_MINOR < FIRST_RELEASE) {
        return WEIR_E_INCOMPATIBLE;
    }
    if (bind_host(host) == NULL) return WEIR_E_NOMEM;
    *out = plugin;
    return WEIR_OK;
}

const weir_api *weir_api_of(const weir_ctx *ctx) {
    const weir_host *host;
    const weir_api *api;
    if (ctx == NULL) { /* while loading there is no instance yet: the first host will do */
        host = atomic_load_explicit(&bound[0].handle, memory_order_acquire);
    } else {
        host = ctx->host;
    }
    if (host != NULL) {
        api = find(host);
        /* A unit test may call operations without having gone through the entry function. */
        if (api == NULL) api = bind_host(host);
        if (api != NULL) return api;
    }
    pthread_once(&unbound_once, fill_unbound);
    return &unbound;
}

static const weir_api *find(const weir_host *host) {
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        const weir_host *h = atomic_load_explicit(&bound[i].handle, memory_order_acquire);
        if (h == host) return &bound[i].api;
        if (h == NULL) break;
    }
    return NULL;
}

/* Copies what both sides know of a table into a zeroed shadow. A table begins with its size. */
static void shadow(void *to, uint32_t size, const void *from) {
    uint32_t theirs;
    memset(to, 0, size);
    if (from == NULL) return;
    memcpy(&theirs, from, sizeof theirs);
    memcpy(to, from, theirs < size ? theirs : size);
    memcpy(to, &size, sizeof size);
}

static void fill(weir_api *api, const weir_host *host) {
    memset(api, 0, sizeof *api);
    api->handle = host;
    shadow(&api->host, (uint32_t)sizeof api->host, host);
    if (api->host.get_extension != NULL) {
#define FACET(field, name)                                                                         \
    shadow(&api->field, (uint32_t)sizeof api->field, host->get_extension(host, name))
        FACET(config, WEIR_HOST_CONFIG);
        FACET(batch, WEIR_HOST_BATCH);
        FACET(tape, WEIR_HOST_TAPE);
        FACET(task, WEIR_HOST_TASK);
        FACET(state, WEIR_HOST_STATE);
        FACET(format, WEIR_HOST_FORMAT);
        FACET(metrics, WEIR_HOST_METRICS);
        FACET(random, WEIR_HOST_RANDOM);
        FACET(memory, WEIR_HOST_MEMORY);
#undef FACET
    }
    weir_sdk_fill_stubs(api);
}

/* NULL if there are more hosts than HOSTS_MAX. */
static const weir_api *bind_host(const weir_host *host) {
    const weir_api *api = NULL;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        const weir_host *h = atomic_load_explicit(&bound[i].handle, memory_order_relaxed);
        if (h == NULL) {
            fill(&bound[i].api, host);
            atomic_store_explicit(&bound[i].handle, host, memory_order_release);
        }
        if (h == NULL || h == host) {
            api = &bound[i].api;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return api;
}

static void fill_unbound(void) {
    weir_sdk_fill_stubs(&unbound);
}
