/*
 * core/loader/stubs.h - what stands in an optional slot that a plugin leaves empty.
 *
 * Private to the loader. Each function also says which of the required slots is missing.
 */
#ifndef WEIR_LOADER_STUBS_H
#define WEIR_LOADER_STUBS_H

#include "loader/loader.h"

/* Fills `bound->ops` of the given kind and its has_* flags. The name of a required slot that is
 * empty, or NULL if all are there. [control] */
const char *stubs_fill(uint32_t kind, bound_component *bound);

#endif
