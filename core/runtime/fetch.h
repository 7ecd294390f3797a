/*
 * core/runtime/fetch.h - the values of plugins' references: what manifest_env.fetch asks.
 *
 * One instance a reference component, made at its first use and kept until the fetcher goes, so
 * that ten secrets need one connection. Values go to the caller and stay nowhere else; what shall
 * be a file is written into a private folder.
 */
#ifndef WEIR_RUNTIME_FETCH_H
#define WEIR_RUNTIME_FETCH_H

#include "base/buf.h"
#include "base/error.h"
#include "loader/loader.h"

typedef struct fetcher fetcher;

typedef struct fetch_config {
    registry *plugins;
    const char *folder; /* absolute; made (0700) with the first file */
    int64_t timeout_ns; /* of one reference, retries of the plugin included */
    /* Asked while somebody is waited for; from its first `true` on nothing is fetched. May be NULL.
     */
    bool (*interrupted)(void *opaque);
    void *opaque;
    void (*thread_begins)(const char *name); /* as in runtime_config */
    void (*thread_ends)(void);
} fetch_config;

fetcher *fetcher_new(const fetch_config *config); /* NULL without memory [control] */
void fetcher_free(fetcher *f);                    /* files stay; NULL is ignored [control] */

/* `self` is a fetcher; a manifest_env.fetch. The instances are those of instance_host. [control] */
weir_status fetcher_fetch(void *self, const component_ref *reference, weir_str text, buf *out,
                          weir_error *err);
/* How many could not be fetched, and of these how many a later start may be able to. */
size_t fetcher_failed(const fetcher *f);
size_t fetcher_may_pass(const fetcher *f);
bool fetcher_interrupted(const fetcher *f);

/* Removes the folder with the files in it; NULL and one that is not there are gone. [control] */
void fetch_remove_folder(const char *folder);
/* Removes every folder below `parent` that begins with `prefix`. [control] */
void fetch_remove_folders(const char *parent, const char *prefix);

/* True for what does not go away by waiting: the manifest, credentials, permissions, a name that
 * does not exist. [any] */
bool failure_is_lasting(weir_status status, uint32_t flags);

#endif
