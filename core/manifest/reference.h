/*
 * core/manifest/reference.h - ${group.key}, ${env:NAME}, ${env:NAME:-default}, ${file:PATH}, and
 * ${NAME:TEXT} of plugins.
 *
 * A plugin's reference can stand in options of components only: who the pipeline is, what its nodes
 * are and how they are joined is known without asking anybody. It is fetched through
 * manifest_env.fetch, or stays unknown.
 *
 * "$$" is a dollar sign; a dollar sign before anything but "{" and "$" is itself. In a template
 * the record's own placeholders (${.field}, ${time:...}) are left where they are and what comes
 * from the environment or a file is escaped, so that it stays literal. Private to the module.
 */
#ifndef WEIR_MANIFEST_REFERENCE_H
#define WEIR_MANIFEST_REFERENCE_H

#include "manifest/properties.h"

typedef struct resolved_text {
    weir_str text;
    bool tainted; /* came from the environment, a file or a plugin: not for messages */
    bool unknown; /* holds a plugin's reference that was not fetched: as it is written */
    bool changed; /* differs from what stands in the manifest */
} resolved_text;

/* Resolves a scalar. False after an error that is reported. */
bool reference_resolve(load *l, const tree_node *scalar, text_mode mode, resolved_text *out);
/* The same for the value of a property, once; `at` is who asks. */
bool reference_resolve_property(load *l, property *p, text_mode mode, place at);
/* Resolves every scalar below `n`, for the sake of the errors: for parts of a manifest that cannot
 * be checked since their component is unknown. */
void reference_check(load *l, const tree_node *n);
/* The names between "${" and "}" of a text, one after the other; start with *pos = 0. */
bool reference_next(weir_str text, size_t *pos, weir_str *name);

#endif
