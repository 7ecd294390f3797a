/*
 * core/manifest/node.h - one node of the manifest: the core's words, the component, its options.
 * Private to the module.
 */
#ifndef WEIR_MANIFEST_NODE_H
#define WEIR_MANIFEST_NODE_H

#include "manifest/load.h"

/* A node whose neighbours are still names. Lives in scratch; `node` in the pipeline's memory. */
typedef struct named {
    weir_str name;
    place at;
} named;
typedef struct draft draft;
struct draft {
    node *node;
    const char *owner;          /* "sink 'out'" */
    const note_component *note; /* NULL: the component is unknown */
    const named *inputs;
    size_t input_count;
    bool has_inputs; /* the word is there, right or wrong */
    named dead_letter;
    bool has_dead_letter;   /* with a name */
    bool wrong_dead_letter; /* without one */
    /* For the graph's own walks. */
    draft *const *upstream;
    size_t upstream_count;
    uint32_t mark;
};

/* The section's name, "sources". */
const char *node_section(uint32_t kind);
const char *node_kind(uint32_t kind); /* "source" */

/* Reads the node named by `pair` into `out`. Errors are reported. */
void node_read(load *l, const tree_pair *pair, uint32_t kind, const settings_spec *settings,
               draft *out);

#endif
