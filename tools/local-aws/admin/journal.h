/*
 * tools/local-aws/admin/journal.h - what was asked, for tests to look at. Private to admin/.
 *
 * The last requests that a service was asked, oldest first, in a ring: an entry is written when the
 * request's operation is known and completed when its answer's head is decided. Entries are named
 * by their number, which counts from 1 and is never used again; naming one that has left the ring
 * does nothing.
 */
#ifndef WEIR_LOCAL_JOURNAL_H
#define WEIR_LOCAL_JOURNAL_H

#include "base/buf.h"
#include "local.h"
#include "weir/value.h"

struct journal;

struct journal *journal_new(local *home);
void journal_free(struct journal *j); /* NULL is ignored */
/* The number of the entry, or 0 if none is kept. */
uint64_t journal_begin(struct journal *j, const exchange *x, const char *service,
                       const char *operation);
void journal_fault(struct journal *j, uint64_t number, uint32_t index);
/* What the signature's canonical request should have been. */
void journal_canonical(struct journal *j, uint64_t number, weir_str text);
void journal_end(struct journal *j, uint64_t number, unsigned status, weir_str request_id,
                 uint64_t bytes);
void journal_clear(struct journal *j); /* the numbers go on */

/* {"entries", "body_bytes", "headers"}: what is kept from now on. False with a text in `error`. */
bool journal_set(struct journal *j, const weir_value *in, char *error, size_t error_size);
/* As JSON those entries that the query (after=, limit=, service=, operation=, status=) asks for. */
bool journal_write(const struct journal *j, weir_str query, buf *out, char *error,
                   size_t error_size);

#endif
