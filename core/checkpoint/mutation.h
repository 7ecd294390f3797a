/*
 * core/checkpoint/mutation.h - rules that the simulator can take away.
 *
 * tests/sim builds this folder a second time with WEIR_MUTATIONS and shows that each rule of the
 * protocol is needed: without it some schedule loses, repeats or publishes wrongly. In every other
 * build MUTATED is the constant false and the compiler drops the branch.
 */
#ifndef WEIR_CHECKPOINT_MUTATION_H
#define WEIR_CHECKPOINT_MUTATION_H

#ifdef WEIR_MUTATIONS
#include <stdbool.h>
/* True while the mutation of that name is on; answered by the simulator. */
bool mutation_on(const char *name);
#define MUTATED(name) mutation_on(#name)
#else
#define MUTATED(name) false
#endif

#endif
