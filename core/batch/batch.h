/*
 * core/batch/batch.h - the host's side of weir/batch.h: memory home, builders, derived batches.
 *
 * Everything a pipeline holds on behalf of records is charged to one budget: attachments with the
 * bytes their owner declares, and the columns, copies, tapes and encoded bytes made here with their
 * real size. Charging never fails, it only counts; sources stop being polled when the budget is
 * spent (see runtime), so that nothing already accepted is ever dropped.
 */
#ifndef WEIR_BATCH_BATCH_H
#define WEIR_BATCH_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/batch.h"
#include "weir/serde.h"

/* ---- the memory home: budget and buffer pool of one pipeline ---- */

typedef struct batch_home batch_home;

/* `on_room` is called, from any thread, each time usage falls from at or above the limit to below
 * it; a leaf that only wakes. NULL without memory. [control] */
batch_home *batch_home_new(uint64_t limit_bytes, void (*on_room)(void *opaque), void *opaque);
/* All batches must be gone; asserts that usage is 0. [control] */
void batch_home_free(batch_home *home);
void batch_home_charge(batch_home *home, uint64_t bytes);   /* [any] */
void batch_home_uncharge(batch_home *home, uint64_t bytes); /* [any] */
uint64_t batch_home_used(const batch_home *home);           /* bytes charged now [any] */
uint64_t batch_home_peak(const batch_home *home);           /* highest ever [any] */
uint64_t batch_home_limit(const batch_home *home);          /* [any] */

/* Pooled buffers in power-of-two classes from 4 KiB to 8 MiB (larger ones are mapped and unmapped
 * each time). A buffer knows its home and size. While out it is charged with its real size; free
 * ones are kept up to a small ceiling, so that steady traffic causes no page faults, and given back
 * to the system beyond it. [any] */
/* One that is attached with batch_segment_free as its release is not charged a second time. */
char *batch_segment_alloc(batch_home *home, uint64_t size, uint64_t *capacity);
void batch_segment_free(void *segment);

/* ---- the head of every host-side instance context ---- */

/* What stands behind the weir_ctx that plugins see. The runtime's own context begins with it, so
 * that the facets below find their home. */
typedef struct batch_ctx {
    weir_ctx abi;
    batch_home *home;
} batch_ctx;

/* The facets weir.host.batch/1 and weir.host.tape/1. Every `ctx` given to them must be a batch_ctx.
 */
extern const weir_host_batch batch_facet;
extern const weir_host_tape batch_tape_facet;

/* ---- for the core itself ---- */

void batch_retain(const weir_batch *batch);  /* [any] */
void batch_release(const weir_batch *batch); /* NULL is ignored [any] */
/* Bytes charged for this batch object itself (attachments and arenas it owns, not what it shares
 * with a parent). [any] */
uint64_t batch_bytes(const weir_batch *batch);

weir_batch_builder *batch_begin(batch_home *home, uint32_t records, uint32_t columns);

/* Derived batches hold a reference to their parent and share whatever they do not replace. Each
 * returns a new reference, or NULL without memory; the parent's reference stays the caller's. */

/* Rows `indexes` (ascending, unique) of a batch, with its tape if it has one. O(count), tape nodes
 * are shared, not copied: row_start[r] is the root of row r, but the nodes of one row need not end
 * where those of the next begin, so readers take a row's end from its root's span. A selection of
 * all rows is the batch itself. NULL, too, for indexes that are out of order or range. */
const weir_batch *batch_select(batch_home *home, const weir_batch *batch, const uint32_t *indexes,
                               uint32_t count);
/* The same rows with another time column (copied). */
const weir_batch *batch_with_times(batch_home *home, const weir_batch *batch, const int64_t *times);

/* Decoding: give the builder to a serde's decode, then finish. Rows are appended through
 * batch_tape_facet. */
weir_tape_builder *batch_tape_begin(batch_home *home, const weir_batch *batch);
/* The batch with its tape. If some records failed or yielded several rows, the result's records are
 * the rows that exist (columns gathered by origin), so row i is always record i. Consumes the
 * builder. */
const weir_batch *batch_tape_finish(weir_tape_builder *tape);
void batch_tape_abandon(weir_tape_builder *tape);

/* Encoding: values written one after another into pooled segments. */
typedef struct batch_encoder batch_encoder;
batch_encoder *batch_encode_begin(batch_home *home, const weir_batch *batch);
/* Room for the value under way, `used` bytes of which are written; see weir_encode.room. When
 * `trailer` is to follow each value (framing by lines), finish writes it behind each one. */
char *batch_encode_room(batch_encoder *e, uint64_t used, uint64_t size);
weir_status batch_encode_row(batch_encoder *e, uint32_t row, uint64_t size);
/* Rows that were not written are left out of the result. `lines` = 1 puts a '\n' behind each value
 * (rows' trailer hint is set). Must be known at begin: */
void batch_encode_lines(batch_encoder *e, bool lines);
/* The batch with new values and without tape. Consumes the encoder. */
const weir_batch *batch_encode_finish(batch_encoder *e);
void batch_encode_abandon(batch_encoder *e);

#endif
