/*
 * core/manifest/component.h - from names in the manifest to components of plugins. Private to the
 * module.
 */
#ifndef WEIR_MANIFEST_COMPONENT_H
#define WEIR_MANIFEST_COMPONENT_H

#include "manifest/load.h"

/* NULL after an error that says where it was looked for. */
const component_ref *component_find(load *l, uint32_t kind, weir_str name, place at);

/* The manifest's `plugins: {NAME: {path, sha256, version}}`: adds them to the registry and checks
 * that they are what the manifest says. */
void component_add_plugins(load *l, const tree_node *section);

#endif
