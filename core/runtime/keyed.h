/*
 * core/runtime/keyed.h - the state by key of one instance of a transform.
 *
 *   group -> key -> name -> value
 *
 * An instance holds the keys of its own groups (key_group.h): all that the exchange by key sends
 * it. A snapshot is one blob for each group that has a key; a restore takes the blobs of the groups
 * that are the instance's now, whoever wrote them. Belongs to one task.
 */
#ifndef WEIR_RUNTIME_KEYED_H
#define WEIR_RUNTIME_KEYED_H

#include <stdatomic.h>

#include "base/error.h"
#include "batch/batch.h"
#include "checkpoint/state.h"

/* Memory for the state by key of a whole pipeline. It is charged to the budget, and bounded below
 * it: state does not go away by waiting, and sources wait while the budget is spent. */
typedef struct keyed_pool {
    batch_home *home;
    uint64_t limit; /* bytes */
    _Atomic uint64_t used;
} keyed_pool;

void keyed_pool_init(keyed_pool *pool, batch_home *home);

typedef struct keyed keyed;

/* Empty. NULL without memory. 0 < parallelism <= groups <= KEY_GROUPS_MAX. The pool stays the
 * caller's and outlives it. [control] */
keyed *keyed_new(keyed_pool *pool, uint32_t groups, uint32_t instance, uint32_t parallelism);
void keyed_free(keyed *k); /* gives the memory back; NULL is ignored [control] */

/* The key whose state is meant from now on; its bytes stay the caller's until the next call of one
 * of these two. [task] */
void keyed_select(keyed *k, weir_str key);
void keyed_deselect(keyed *k); /* [task] */

/* What the facet state/1 does. WEIR_E_INVALID_STATE while no key is selected; INVALID_ARG for a
 * name that is empty or longer than LIMIT_KEYED_NAME_BYTES. [task] */

/* NOT_FOUND, or the value: valid until the next put or remove, or until another key is selected. */
weir_status keyed_get(const keyed *k, weir_str name, weir_str *out);
/* Copies. `value` may lie in what get gave. TOO_LARGE at a limit of base/limits.h, NOMEM when the
 * pool is used up; what was there before then stays, and keyed_refusal says why. */
weir_status keyed_put(keyed *k, weir_str name, weir_str value);
weir_status keyed_remove(keyed *k, weir_str name); /* NOT_FOUND if there is none */
/* Why the last put since keyed_select was refused; NULL if it was not. */
const weir_error *keyed_refusal(const keyed *k);

uint64_t keyed_count(const keyed *k); /* keys that have state */
/* Adds a blob of STATE_SCOPE_KEY_GROUP for each group that has a key. `version` is that of the
 * plugin's state. NOMEM. [task] */
weir_status keyed_snapshot(const keyed *k, uint32_t version, state_part *part, weir_error *err);
/* Into an empty one: the groups of `saved` that are this instance's. DATA with a text for bytes
 * that no snapshot has written, NOMEM. After an error it is to be freed. [task] */
weir_status keyed_restore(keyed *k, const state_node *saved, weir_error *err);

#endif
