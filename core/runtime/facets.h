/*
 * core/runtime/facets.h - what the facets need of the runtime, so that neither includes the other.
 */
#ifndef WEIR_RUNTIME_FACETS_H
#define WEIR_RUNTIME_FACETS_H

#include "loader/loader.h"

struct runtime;

registry *facets_registry(struct runtime *rt);
weir_str facets_pipeline_name(struct runtime *rt);
weir_str facets_base_dir(struct runtime *rt);

#endif
