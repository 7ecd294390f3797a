/*
 * core/checkpoint/aligner.h - barriers over several inputs of one task.
 *
 * An input that has delivered the barrier of the epoch being aligned is blocked until all other
 * open inputs have delivered the same epoch. A higher barrier supersedes an unfinished alignment
 * and unblocks its inputs; a lower one is dropped. An input that ended no longer counts. Belongs to
 * one task; knows neither channels nor threads.
 */
#ifndef WEIR_CHECKPOINT_ALIGNER_H
#define WEIR_CHECKPOINT_ALIGNER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct aligner {
    uint32_t count;
    uint64_t epoch;   /* being aligned; 0 = none */
    bool last;        /* of that epoch */
    uint64_t aligned; /* the highest that was completed */
    uint64_t *at;     /* by input: epoch it delivered of the alignment under way; 0 = none */
    bool *ended;      /* by input */
} aligner;

bool aligner_init(aligner *a, uint32_t inputs); /* false without memory */
void aligner_destroy(aligner *a);
/* True if nothing may be taken from this input now. */
bool aligner_blocked(const aligner *a, uint32_t input);
/* Input `input` delivered barrier `epoch`. True if with it the alignment is complete: then `epoch`
 * of the aligner's `aligned` is it, and no input is blocked any more. */
bool aligner_barrier(aligner *a, uint32_t input, uint64_t epoch, bool last);
/* Input ended for good. True if that completes the alignment under way. */
bool aligner_end(aligner *a, uint32_t input);
/* An alignment is under way. */
bool aligner_pending(const aligner *a);

#endif
