/*
 * tools/local-aws/keep.h - the file in which a service keeps its state between two runs.
 *
 * A sequence of numbers and texts, read back in the order in which it was written:
 *
 *     u64    8 bytes, least significant first
 *     text   its length as u64, its bytes
 *
 * behind a first line that names the format and the service, and before the CRC-32C of all that (4
 * bytes, least significant first), which is checked before anything is read. Errors stick: after
 * the first one writes do nothing and reads give 0 and empty texts, so that a service asks once, in
 * the end. A count that is read is hostile until the entries it promises have been read; keep_count
 * refuses more than the rest of the file could hold.
 */
#ifndef WEIR_LOCAL_KEEP_H
#define WEIR_LOCAL_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

typedef struct keep keep;

/* Begins PATH.new; what stands at `path` stays until keep_publish. NULL with errno set. */
keep *keep_create(const char *path, const char *service);
/* NULL with errno set; ENOENT: there is none, EINVAL: it is not such a file of that service, or not
 * the bytes that were written. */
keep *keep_open(const char *path, const char *service);
/* Ends it. True if everything was written and synced, or read without an error and to its end;
 * else errno is set, and of a file that was being written nothing remains. */
bool keep_close(keep *k);
/* PATH.new takes the place of `path`, for good once keep_sync_folder says so. False with errno. */
bool keep_publish(const char *path);
/* PATH.new goes, if it is there. */
void keep_discard(const char *path);
bool keep_sync_folder(const char *folder); /* false with errno set */

void keep_put_u64(keep *k, uint64_t value);
void keep_put_i64(keep *k, int64_t value);
void keep_put_str(keep *k, weir_str text); /* ptr NULL comes back as an empty text */

uint64_t keep_u64(keep *k);
int64_t keep_i64(keep *k);
/* The number of entries to come, of which each takes at least `least` bytes (8 for a number or an
 * empty text). */
uint64_t keep_count(keep *k, uint64_t least);
/* Memory of its own with a NUL behind it, for mem_free; never NULL unless the file or the memory
 * failed. `len` may be NULL. */
char *keep_str(keep *k, uint64_t *len);
bool keep_ok(const keep *k);

#endif
