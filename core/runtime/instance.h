/*
 * core/runtime/instance.h - the host's side of one component instance, and the facets it answers.
 *
 * An instance pairs a bound component with a node of the manifest: its options, its format, its
 * place in the log. Plugins hold it as `weir_ctx *`. What a plugin reports from any thread (a
 * completed token, a finished flush, a wake) is put into the instance's inbox under its lock and
 * handled by the task thread, so that a plugin's callback never runs host policy.
 */
#ifndef WEIR_RUNTIME_INSTANCE_H
#define WEIR_RUNTIME_INSTANCE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/wake.h"
#include "batch/batch.h"
#include "checkpoint/sink_epochs.h"
#include "loader/loader.h"
#include "manifest/manifest.h"
#include "runtime/context.h"

/* A copy of a weir_result, in the order of arrival. */
typedef struct completion {
    struct completion *next;
    uint64_t token;
    weir_status status;
    int64_t retry_after_ms;
    weir_error *error; /* of the request, may be NULL */
    bool malformed;    /* columns are missing: a fault of the plugin */
    uint32_t failed_count;
    uint32_t error_count;
    uint32_t *failed_index; /* one allocation with the rest */
    weir_status *failed_status;
    uint32_t *failed_error;
    weir_error **errors;
} completion;

/* A copy of a commit_done, in the order of arrival. */
typedef struct commit_answer {
    struct commit_answer *next;
    uint64_t token;
    weir_error *error; /* may be NULL */
    uint32_t count;
    uint32_t verdicts[];
} commit_answer;

/* Where a plugin's snapshot or prepare writes: blobs go into `part`, committables to `epochs`. */
struct weir_writer {
    state_part *part;
    sink_epochs *epochs; /* prepare; NULL = a snapshot */
    uint32_t instance;
    uint32_t version; /* what plugin.json says is written; a blob may say otherwise */
};

typedef struct instance {
    batch_ctx head; /* first: plugins hold its weir_ctx */
    context *cx;
    const bound_component *bound;
    const node *node;
    const options *options;
    const format_spec *format;
    void *self;
    uint32_t index, parallelism; /* among the node's instances */
    char where[192];             /* "clicks/kinesis[0]", for the log */
    char component[64];          /* selects the log level */
    wake *wake;                  /* of the task that drives it */
    bool opened;
    weir_error *error;       /* scratch for one call at a time */
    _Atomic uint64_t random; /* state of random/1's generator */

    pthread_mutex_t lock;
    completion *inbox_first, *inbox_last;
    uint64_t flush_epoch; /* highest epoch that flush_done reported */
    weir_status flush_status;
    weir_error *flush_error;
    commit_answer *commits_first, *commits_last;
    keyed *keyed; /* a transform's state by key, the chain's; NULL = it has none */
    /* Evaluates template columns of the request under way: set by the batcher. */
    weir_status (*template_column)(struct instance *i, const weir_request *request, const char *key,
                                   const char *entry, const weir_column **out);
    void *template_owner;
} instance;

/* The host table all plugins of this process get. */
extern const weir_host instance_host;

/* Creates the plugin's instance. `wake` is the driving task's. NULL with `err` filled. [control] */
instance *instance_new(context *cx, batch_home *home, const component_ref *component, const node *n,
                       const options *opts, const format_spec *format, uint32_t index,
                       uint32_t parallelism, wake *wake, weir_error *err);
/* Destroys it; it must be closed. NULL is ignored. [control] */
void instance_free(instance *i);

/* Opens it in a role; `args` is filled in here, with the state that was restored for it, except for
 * limits and meta. [task] */
weir_status instance_open(instance *i, uint32_t role, weir_open *args, weir_error *err);
/* Closes it if it is open. [task] */
weir_status instance_close(instance *i, uint32_t mode, int64_t deadline_ns, weir_error *err);
void instance_cancel(instance *i); /* [any] */
void instance_wakeup(instance *i); /* the plugin's wakeup, if it has one [any] */

/* The component's validate on the options of a node, with an instance-less context. [control] */
weir_status instance_validate(const bound_component *bound, const node *n, const options *opts,
                              const format_spec *format, weir_error *err);

/* Everything that arrived since the last call; to be freed one by one. [task] */
completion *instance_take_completions(instance *i);
void completion_free(completion *c);
/* The private state of an instance that has some, into `part`. [task] */
weir_status instance_snapshot(instance *i, uint64_t epoch, state_part *part, weir_error *err);
/* The next commit_done that arrived, or NULL; to be freed. [task] */
commit_answer *instance_take_commit(instance *i);
void commit_answer_free(commit_answer *a);
/* True if flush_done(epoch) or a later one arrived; `status` and `err` say how it went. [task] */
bool instance_flush_done(instance *i, uint64_t epoch, weir_status *status, weir_error *err);

#endif
