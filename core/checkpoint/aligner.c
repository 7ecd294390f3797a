#include "checkpoint/aligner.h"

#include <string.h>

#include "base/mem.h"
#include "checkpoint/mutation.h"

/* Every open input has delivered the epoch under way: the task may pass its barrier on. */
static bool complete(aligner *a);

bool aligner_init(aligner *a, uint32_t inputs) {
    *a = (aligner){.count = inputs};
    a->at = mem_array(inputs, sizeof *a->at);
    a->ended = mem_array(inputs, sizeof *a->ended);
    if (a->at != NULL && a->ended != NULL) return true;
    aligner_destroy(a);
    return false;
}

void aligner_destroy(aligner *a) {
    mem_free(a->at);
    mem_free(a->ended);
    *a = (aligner){0};
}

bool aligner_blocked(const aligner *a, uint32_t input) {
    return a->epoch != 0 && input < a->count && a->at[input] != 0;
}

bool aligner_barrier(aligner *a, uint32_t input, uint64_t epoch, bool last) {
    if (input >= a->count || a->ended[input]) return false;
    /* A barrier of an epoch that is behind this task, or that a higher one has taken over from. */
    if (epoch <= a->aligned || epoch < a->epoch) return false;
    if (MUTATED(no_alignment)) {
        a->aligned = epoch;
        a->last = last;
        return true;
    }
    if (epoch > a->epoch) {
        /* The epoch under way was given up: its other barriers may never come, and the inputs that
         * wait for them hold back the records in front of the new one. */
        bool keep = MUTATED(align_any_epoch) || (MUTATED(no_supersede) && a->epoch != 0);
        if (!keep) memset(a->at, 0, a->count * sizeof *a->at);
        if (!(MUTATED(no_supersede) && a->epoch != 0)) a->epoch = epoch;
        a->last = last;
    }
    a->last = a->last || last;
    a->at[input] = epoch;
    return complete(a);
}

bool aligner_end(aligner *a, uint32_t input) {
    if (input >= a->count || a->ended[input]) return false;
    a->ended[input] = true;
    a->at[input] = 0;
    return a->epoch != 0 && complete(a);
}

bool aligner_pending(const aligner *a) {
    return a->epoch != 0;
}

static bool complete(aligner *a) {
    for (uint32_t i = 0; i < a->count; i++) {
        bool counts = a->at[i] == a->epoch || (MUTATED(align_any_epoch) && a->at[i] != 0);
        if (!a->ended[i] && !counts) return false;
    }
    a->aligned = a->epoch;
    a->epoch = 0;
    memset(a->at, 0, a->count * sizeof *a->at);
    return true;
}
