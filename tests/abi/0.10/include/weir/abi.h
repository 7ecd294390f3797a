/*
 * weir/abi.h - the whole plugin ABI. What each header holds:
 *
 *   types.h      statuses, strings, role tags, how structs grow
 *   value.h      the value tape and its accessors
 *   batch.h      batches, rows, columns; builder and tape facets
 *   plugin.h     entry point, host table, components
 *   instance.h   open, close, state, live check: what all kinds share
 *   source.h sink.h serde.h transform.h reference.h   the tables of each kind
 *   host.h       the other facets of the host
 *
 * weir/sdk.h (not part of the ABI) makes all of this convenient.
 */
#ifndef WEIR_ABI_H
#define WEIR_ABI_H

#include "weir/batch.h"
#include "weir/host.h"
#include "weir/instance.h"
#include "weir/plugin.h"
#include "weir/reference.h"
#include "weir/serde.h"
#include "weir/sink.h"
#include "weir/source.h"
#include "weir/transform.h"
#include "weir/types.h"
#include "weir/value.h"

#endif
