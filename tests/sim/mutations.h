/*
 * tests/sim/mutations.h - every rule that can be taken away, and the schedule that shows it.
 */
#ifndef SIM_MUTATIONS_H
#define SIM_MUTATIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mutation_case {
    const char *rule; /* of docs/delivery.md */
    const char *name;
    const char *what;
    const char *directed; /* configuration; "" = any schedule */
    uint64_t seed;        /* where it was caught */
} mutation_case;

extern const mutation_case mutations[];
extern const unsigned mutation_count;

const mutation_case *mutation_find(const char *name);

#endif
