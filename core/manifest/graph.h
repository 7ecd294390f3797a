/*
 * core/manifest/graph.h - from nodes with the names of their inputs to a checked graph. Private to
 * the module.
 */
#ifndef WEIR_MANIFEST_GRAPH_H
#define WEIR_MANIFEST_GRAPH_H

#include "manifest/node.h"

/* Joins the nodes, checks the graph, and puts them in topological order into `out`: sources,
 * transforms, sinks; a dead-letter sink comes after every node that feeds it. Errors are
 * reported. */
void graph_build(load *l, draft *drafts, size_t count, pipeline *out);

#endif
