/*
 * core/manifest/settings.h - the words of `settings`. Private to the module.
 */
#ifndef WEIR_MANIFEST_SETTINGS_H
#define WEIR_MANIFEST_SETTINGS_H

#include "manifest/load.h"

/* Reads `settings`; NULL = all defaults. Errors are reported. */
void settings_read(load *l, const tree_node *section, settings_spec *out);

#endif
