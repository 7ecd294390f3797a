/*
 * sdk/aws/cbor.h - CBOR (RFC 8949) to value tape and back, as AWS services speak it
 * (application/x-amz-cbor-1.1). Part of libweir_aws.a.
 *
 * The reader takes the parser of weir/json.h and leaves the same tape, so that a caller decodes
 * either format behind one pointer. Three things differ for whoever reads the tape: blobs are BYTES
 * nodes (JSON has them as base64 STRINGs), times are I64 nodes with logical type TIMESTAMP_US (JSON
 * has numbers of seconds), and an F64 may be NaN or infinite.
 *
 * Input is taken to be hostile: every length is checked against what is left, depth is limited, and
 * no memory is asked for that the input has not earned with as many bytes. [any thread, one parser
 * at a time]
 */
#ifndef WEIR_AWS_CBOR_H
#define WEIR_AWS_CBOR_H

#include <stdbool.h>

#include "weir/json.h"
#include "weir/types.h"
#include "weir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For weir_json_parser.flags, beside WEIR_JSON_UNIQUE_KEYS, which counts here as well (without it
 * the last member of a name is the one that weir_value_member finds).
 * Tag 1 counts milliseconds, as Kinesis and the Java clients have it, instead of the seconds of
 * RFC 8949. */
#define WEIR_CBOR_TIME_MS (1u << 16)

/*
 * Parses one item that fills `bytes`. Text and byte strings point into `bytes` unless they came in
 * chunks (indefinite length): those, and integers below -2^63, use p->alloc, in all for no more
 * than three times the length of `bytes`.
 *
 *   unsigned, negative   I64, U64; below INT64_MIN a STRING with logical DECIMAL
 *   byte, text string    BYTES, STRING (valid UTF-8)
 *   array, map           ARRAY, OBJECT; names must be text
 *   half, single, double F64
 *   false true null      BOOL, NULL; undefined is NULL as well
 *   tag 1                I64 TIMESTAMP_US, from an integer or a float
 *   tag 37               BYTES with logical UUID, of 16 bytes
 *   tags 2 to 5          refused: numbers that the tape has no node for
 *   other tags           passed over: their content stands for itself
 *
 * WEIR_OK; WEIR_E_DATA with p->fault (line is 1, column = offset + 1); WEIR_E_NOMEM;
 * WEIR_E_TOO_LARGE beyond 2 GiB.
 */
weir_status weir_cbor_parse(weir_json_parser *p, weir_str bytes);

/*
 * A writer into the caller's memory. It never writes past `capacity` and goes on counting, so that
 * `len` says afterwards what was needed: run once with capacity 0 to measure, or give enough at
 * once. What is written is complete only if weir_cbor_writer_ok.
 *
 * With `segments`, weir_cbor_put_bytes_ref does not copy: the output becomes a list of segments
 * that alternate between the buffer and the caller's bytes, ready to be a request's body.
 * weir_cbor_end completes the list.
 */
typedef struct weir_cbor_writer {
    char *out;         /* [capacity], may be NULL if capacity is 0 */
    uint64_t capacity; /* bytes */
    uint64_t len;      /* bytes written to `out`, or that would have been */
    uint64_t total;    /* len and the bytes that were referred to */
    weir_str *segments;
    uint32_t segment_capacity;
    uint32_t segment_count; /* needed; more than segment_capacity: too few */
    uint64_t segment_begin; /* first byte of `out` that is in no segment yet */
    bool by_reference;      /* weir_cbor_writer_segments was called */
} weir_cbor_writer;

void weir_cbor_writer_init(weir_cbor_writer *w, char *out, uint64_t capacity);
/* Optional, before anything is put. With capacity 0, `segments` may be NULL: they are counted. */
void weir_cbor_writer_segments(weir_cbor_writer *w, weir_str *segments, uint32_t capacity);
/* Whether everything fitted. */
bool weir_cbor_writer_ok(const weir_cbor_writer *w);

/* Containers with their length in front: `count` elements, or pairs, must follow. */
void weir_cbor_put_array(weir_cbor_writer *w, uint64_t count);
void weir_cbor_put_map(weir_cbor_writer *w, uint64_t count);
/* Containers without: weir_cbor_put_break ends them. */
void weir_cbor_put_array_open(weir_cbor_writer *w);
void weir_cbor_put_map_open(weir_cbor_writer *w);
void weir_cbor_put_break(weir_cbor_writer *w);

/* Integers and lengths take the shortest form; text must be UTF-8. */
void weir_cbor_put_u64(weir_cbor_writer *w, uint64_t v);
void weir_cbor_put_i64(weir_cbor_writer *w, int64_t v);
void weir_cbor_put_f64(weir_cbor_writer *w, double v);
void weir_cbor_put_bool(weir_cbor_writer *w, bool v);
void weir_cbor_put_null(weir_cbor_writer *w);
void weir_cbor_put_text(weir_cbor_writer *w, weir_str s);
void weir_cbor_put_z(weir_cbor_writer *w, const char *z); /* text, NUL-terminated: names */
void weir_cbor_put_bytes(weir_cbor_writer *w, weir_str s);
/* As put_bytes; with segments the bytes are not copied and must stay until the output is used,
 * unless they are fewer than WEIR_CBOR_REF_MIN: to copy those costs less than a segment does. */
#define WEIR_CBOR_REF_MIN 256u
void weir_cbor_put_bytes_ref(weir_cbor_writer *w, weir_str s);
void weir_cbor_put_tag(weir_cbor_writer *w, uint64_t tag);
/* Tag 1 and an integer of milliseconds since 1970: what Kinesis reads and writes. */
void weir_cbor_put_time_ms(weir_cbor_writer *w, int64_t epoch_ms);
/* A tape's value with all below it. TIMESTAMP_US goes out as put_time_ms, rounded down; BYTES as a
 * byte string, by reference where segments are given; a DECIMAL STRING as its text. */
void weir_cbor_put_value(weir_cbor_writer *w, const weir_value *v);

/* Puts what is left of the buffer into the segment list; needed with segments only. */
void weir_cbor_end(weir_cbor_writer *w);

#ifdef __cplusplus
}
#endif
#endif
