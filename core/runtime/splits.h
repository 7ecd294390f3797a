/*
 * core/runtime/splits.h - the splits of one source node: known, waiting, assigned, finished.
 *
 * The control thread adds what enumeration and discovery find; a task reports ends and children
 * together, so that a child never exists without its parent's end. A split is assigned only when
 * every parent it names is finished or unknown (a parent that aged out), and what was read of it
 * has reached the end of its way (split_end), which is what keeps the order of a key across a
 * reshard: another task, with channels of its own, may read the child. The resume position of each
 * split is that of the last batch that went ahead of everything later: the value a checkpoint
 * stores.
 *
 * A checkpoint sees the table twice: as a whole at the trigger, and each task's share of it at that
 * task's barrier, which overrides the former. In between nothing is assigned: a child that one task
 * found could otherwise be read ahead of another task's barrier while its parent is stored as
 * unfinished.
 *
 * One lock, held briefly; taken once a batch.
 */
#ifndef WEIR_RUNTIME_SPLITS_H
#define WEIR_RUNTIME_SPLITS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/wake.h"
#include "checkpoint/state.h"
#include "weir/source.h"

typedef struct splits splits;
typedef struct split_end split_end;

/* For `tasks` task instances; each is signalled when its assignment changes. */
splits *splits_new(uint32_t tasks);
void splits_free(splits *s);
void splits_set_wake(splits *s, uint32_t task, wake *w);

/* ---- control thread ---- */

/* The list that a plugin's enumerate fills through task/1's split_add. */
weir_split_list *split_list_new(void);
void split_list_free(weir_split_list *list);
weir_status split_list_add(weir_split_list *list, const weir_split *split);
/* Puts back what a checkpoint held, before anything else. What it holds unfinished waits for the
 * first enumeration. */
weir_status splits_restore(splits *s, const state_node *saved, weir_error *err);
/* Restored, unfinished, and not among what the first enumeration listed: the first such split, or
 * false. `give_up` counts all of them as finished instead. To be asked before splits_update's
 * assignments matter: it answers for the list. */
bool splits_missing(splits *s, const weir_split_list *list, bool give_up, weir_str *id,
                    weir_str *position);
/* The whole table into `part`; from here to the last task's splits_barrier nothing is assigned. */
weir_status splits_capture(splits *s, uint64_t epoch, state_part *part);
/* Takes the splits of a list that are not known yet; the first list also gives restored ones their
 * private bytes anew, and assigns what can be assigned. `complete`:
 * no discovery will follow. Returns how many were new, or an error (too many splits). */
weir_status splits_update(splits *s, const weir_split_list *list, bool complete, uint32_t *added,
                          weir_error *err);

/* ---- task threads ---- */

/* True if the task's assignment changed since it last took it. */
bool splits_changed(splits *s, uint32_t task);
/* The complete set of the task in the columns of `out`, valid until splits_assignment_free. */
weir_status splits_take(splits *s, uint32_t task, weir_assign *out);
void splits_assignment_free(weir_assign *a);

void splits_position(splits *s, weir_str id, weir_str position, int64_t lag_ms, uint64_t records);
/* The split ended; its children become known in the same step. */
weir_status splits_finished(splits *s, weir_str id, const weir_split *const *children,
                            uint32_t child_count, weir_error *err);
/* Held by whoever still has something of a finished split under way: the marks that follow its last
 * batch through all channels. Its children are not assigned before the last reference is released.
 * To be taken before splits_finished; one reference is the caller's. NULL if the split is unknown.
 * Lives as long as the table. */
split_end *splits_end(splits *s, weir_str id);
/* [any] */
void split_end_retain(split_end *e);
void split_end_release(split_end *e);
/* The task's source answered END: all its splits are finished. */
void splits_task_ended(splits *s, uint32_t task);
/* The task's share of the table into `part`: what it reads and what it finished, children too. The
 * task sends its barrier in the same step. */
weir_status splits_barrier(splits *s, uint32_t task, uint64_t epoch, state_part *part);
/* The epoch failed before its barrier went out: what waits for that is assigned now. */
void splits_release(splits *s, uint64_t epoch);
/* Nothing is left for any task, and nothing will come. */
bool splits_all_done(splits *s);

/* ---- status ---- */

typedef struct splits_summary {
    uint32_t known, assigned, waiting, finished;
    int64_t lag_ms; /* the largest among assigned splits, -1 = unknown */
} splits_summary;
void splits_summarize(splits *s, splits_summary *out);
/* Calls `each` for every split in the order they were found, under the lock. */
void splits_each(splits *s,
                 void (*each)(void *opaque, weir_str id, const char *state, weir_str position,
                              int64_t lag_ms, uint64_t records),
                 void *opaque);

#endif
