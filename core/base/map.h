/*
 * core/base/map.h - a hash map from strings to pointers, in insertion order.
 *
 * Keys are copied. Hashing is keyed with a per-process random seed (SipHash-1-3), so that names
 * from a hostile manifest or stream cannot pile up in one bucket. Not locked.
 */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/types.h"

typedef struct map map;

map *map_new(void);    /* NULL without memory */
void map_free(map *m); /* values are the caller's; NULL is ignored */
size_t map_count(const map *m);
void *map_get(const map *m, weir_str key); /* NULL if absent */
/* Inserts or replaces. False without memory. A NULL value is not allowed. */
bool map_put(map *m, weir_str key, void *value);
void *map_remove(map *m, weir_str key); /* the value that was there, or NULL */
/* Iteration in insertion order: start with *cursor = 0; false at the end. */
bool map_next(const map *m, size_t *cursor, weir_str *key, void **value);

/* The hash itself, for tables of another shape. */
uint64_t map_hash(weir_str key);

#endif
