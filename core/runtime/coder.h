/*
 * core/runtime/coder.h - a serde instance at work: decoding and encoding batches.
 */
#ifndef WEIR_RUNTIME_CODER_H
#define WEIR_RUNTIME_CODER_H

#include "runtime/context.h"
#include "runtime/failures.h"
#include "runtime/instance.h"

typedef struct coder coder;

/* A coder for the format of node `n`; the serde's instance is created here. NULL with `err`. */
coder *coder_new(context *cx, batch_home *home, const node *n, uint32_t index, uint32_t parallelism,
                 wake *w, weir_error *err);
weir_status coder_open(coder *c, weir_error *err); /* [task] */
void coder_close(coder *c);                        /* [task] */
void coder_cancel(coder *c);                       /* [any] */
void coder_free(coder *c);

/*
 * Each takes over the reference to `batch` and answers a new one in `out`, or NULL if no record is
 * left. Bad records go to `f`. AGAIN (a schema is being fetched): `batch` stays the caller's, who
 * repeats the call after a wake. [task]
 */
weir_status coder_decode(coder *c, const weir_batch *batch, failures *f, const weir_batch **out,
                         weir_error *err);
/* `lines`: a newline is put behind each value, so that a sink can write many in one piece. */
weir_status coder_encode(coder *c, const weir_batch *batch, bool lines, failures *f,
                         const weir_batch **out, weir_error *err);
/* Rows that the last coder_encode gave up, ascending; valid until the next one. */
const uint32_t *coder_dropped(const coder *c, uint32_t *count);

#endif
