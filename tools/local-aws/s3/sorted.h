/*
 * s3/sorted.h - things by name, in the order of the names' bytes.
 *
 * An array of pointers, searched by halves: a listing walks it, and what is looked for most is
 * near. An insertion moves pointers, 8 bytes each; a million keys in random order cost half a
 * millisecond apiece, keys in rising order nothing. Each item begins with its name, a weir_str.
 */
#ifndef WEIR_LOCAL_S3_SORTED_H
#define WEIR_LOCAL_S3_SORTED_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/types.h"

typedef struct sorted {
    void **items;
    size_t count, room;
} sorted;

/* Where the first item stands whose name is not below (not at or below) `name`; count if none. */
size_t sorted_from(const sorted *s, weir_str name);
size_t sorted_behind(const sorted *s, weir_str name);
/* Where the first item stands behind all those that begin with `prefix`. */
size_t sorted_behind_prefix(const sorted *s, weir_str prefix);
void *sorted_get(const sorted *s, weir_str name);     /* NULL if there is none */
bool sorted_insert(sorted *s, size_t at, void *item); /* false without memory */
void *sorted_remove(sorted *s, size_t at);
void sorted_free(sorted *s); /* the items are the caller's */

#endif
