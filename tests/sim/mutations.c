#include "mutations.h"

#include <string.h>

const mutation_case mutations[] = {
#define MUTATION(rule, name, what, directed, seed) {rule, #name, what, directed, seed},
#include "mutations.def"
#undef MUTATION
};
const unsigned mutation_count = sizeof mutations / sizeof mutations[0];

const mutation_case *mutation_find(const char *name) {
    for (unsigned i = 0; i < mutation_count; i++)
        if (strcmp(mutations[i].name, name) == 0) return &mutations[i];
    return NULL;
}
