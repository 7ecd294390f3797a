/*
 * core/runtime/lost.h - what a sink can no longer commit is told in full, never passed over.
 */
#ifndef WEIR_RUNTIME_LOST_H
#define WEIR_RUNTIME_LOST_H

#include "checkpoint/store.h"

typedef struct lost_piece {
    weir_str node; /* of the sink */
    uint32_t instance;
    uint64_t epoch;   /* that prepared it */
    uint64_t records; /* that the instance took in that epoch: not what the piece held */
} lost_piece;

/* Logs the piece, and for each split the position ahead of which its records were, if the
 * checkpoint of that epoch is still kept. `newest` may be NULL; so may `s`. [the store's thread] */
void lost_report(store *s, const checkpoint *newest, const lost_piece *piece);

#endif
