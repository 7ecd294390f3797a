/*
 * core/manifest/format.h - the word `format` of a node. Private to the module.
 */
#ifndef WEIR_MANIFEST_FORMAT_H
#define WEIR_MANIFEST_FORMAT_H

#include "manifest/load.h"

/* Reads the format of a source or sink; `given` is NULL when the manifest has none. `component` is
 * NULL when the node's type is unknown: then what depends on it is not checked. */
void format_read(load *l, const tree_pair *given, const note_component *component,
                 const char *owner, place node_at, format_spec *out);

#endif
