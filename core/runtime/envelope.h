/*
 * core/runtime/envelope.h - dead letters as objects, for sinks with a format.
 *
 *   {"node", "code", "error", "attempts", "time",
 *    "origin": {"stream", "split", "position"},
 *    "key", "headers": {...}, "headers_base64": [...], "value"}
 *
 * What the record does not have is absent. The record itself is kept to the byte:
 *
 *   key, value    text as it is; what is not UTF-8 stands as "key_base64", "value_base64" instead
 *   headers       NAME: text | {"base64": text} (not UTF-8) | null; an array of these, in their
 *                 order, where the record has several headers of one name
 *   headers_base64  only if there are headers whose name is not UTF-8: {"name_base64": text,
 *                 "value": text | {"base64": text} | null} each
 *   origin        what is not UTF-8 is readable (U+FFFD in place of foreign bytes) and stands a
 *                 second time as "split_base64" and so on
 *
 * Only the words of the error are changed for good: foreign bytes in them become U+FFFD.
 */
#ifndef WEIR_RUNTIME_ENVELOPE_H
#define WEIR_RUNTIME_ENVELOPE_H

#include "batch/batch.h"

/* The headers that make a record a dead letter. They stand behind the record's own, which may have
 * the same names if it was a dead letter before; HEADER_NODE is the first of them. */
#define HEADER_NODE "weir.error.node"
#define HEADER_CODE "weir.error.code"
#define HEADER_TEXT "weir.error.text"
#define HEADER_ATTEMPTS "weir.error.attempts"
#define HEADER_TIME "weir.error.time"
#define HEADER_SPLIT "weir.origin.split"
#define HEADER_POSITION "weir.origin.position"
#define HEADER_STREAM "weir.origin.stream"

/* The batch of dead letters with a tape of one object a record. A new reference; NULL without
 * memory. */
const weir_batch *failures_envelope(batch_home *home, const weir_batch *batch);

#endif
