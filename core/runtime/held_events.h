/*
 * core/runtime/held_events.h - what a source said while a batch of it waited.
 *
 * A source whose batch is parked (its decoder waits for a schema) is still polled for its upkeep,
 * and may answer that a split has ended. That holds behind the batch: it is kept here, with its
 * children, until the batch has gone ahead. Used on the task's thread only.
 */
#ifndef WEIR_RUNTIME_HELD_EVENTS_H
#define WEIR_RUNTIME_HELD_EVENTS_H

#include "weir/source.h"

typedef struct held_event held_event;
typedef struct held_events {
    held_event *first, *last;
} held_events;

/* Keeps a deep copy behind what is held already. WEIR_E_NOMEM. */
weir_status held_events_add(held_events *h, const weir_event *event);
/* The oldest, which becomes the caller's and is freed with held_event_free; NULL if there is none.
 */
held_event *held_events_take(held_events *h);
const weir_event *held_event_get(const held_event *e);
void held_event_free(held_event *e);
/* Frees what is held. */
void held_events_clear(held_events *h);

#endif
