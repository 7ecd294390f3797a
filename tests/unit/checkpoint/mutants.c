/*
 * Which rule is taken away: the one that the environment names. Without one everything is as it
 * should be, and the tests pass.
 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/mutation.h"

bool mutation_on(const char *name) {
    const char *chosen = getenv("WEIR_TEST_MUTATION");
    return chosen != NULL && strcmp(chosen, name) == 0;
}
