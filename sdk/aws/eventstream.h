/*
 * sdk/aws/eventstream.h - frames of application/vnd.amazon.eventstream, read and written. Part of
 * libweir_aws.a.
 *
 *   u32 total | u32 headers | u32 CRC of these 8 | headers ... | payload ... | u32 CRC of all
 * before
 *
 * The reader takes the stream in pieces of any size and gives frames that passed both checksums and
 * whose headers are well-formed. A frame that lies whole in one piece is given as it lies there,
 * without a copy. There is no way to find the next frame behind a broken one: after WEIR_E_DATA the
 * connection is to be closed. [one thread a reader]
 */
#ifndef WEIR_AWS_EVENTSTREAM_H
#define WEIR_AWS_EVENTSTREAM_H

#include <stdbool.h>

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_ES_PRELUDE 12u                     /* bytes before the headers */
#define WEIR_ES_OVERHEAD 16u                    /* prelude and the last checksum */
#define WEIR_ES_PAYLOAD_MAX (24u * 1024 * 1024) /* the services' own limits */
#define WEIR_ES_HEADERS_MAX (128u * 1024)
#define WEIR_ES_FRAME_MAX (WEIR_ES_PAYLOAD_MAX + WEIR_ES_HEADERS_MAX + WEIR_ES_OVERHEAD)
/* Frames of services have three to five; names are compared pair by pair for doubles. */
#define WEIR_ES_HEADER_COUNT_MAX 256u

/* Header types, as on the wire. */
#define WEIR_ES_TRUE 0u
#define WEIR_ES_FALSE 1u
#define WEIR_ES_I8 2u
#define WEIR_ES_I16 3u
#define WEIR_ES_I32 4u
#define WEIR_ES_I64 5u
#define WEIR_ES_BYTES 6u
#define WEIR_ES_STRING 7u    /* UTF-8 */
#define WEIR_ES_TIMESTAMP 8u /* milliseconds since 1970 */
#define WEIR_ES_UUID 9u      /* 16 bytes */

typedef struct weir_es_header {
    weir_str name; /* 1 to 255 bytes of UTF-8 */
    uint32_t type; /* WEIR_ES_* */
    uint32_t reserved;
    int64_t number; /* types 2 to 5 and 8; 1 and 0 for true and false */
    weir_str value; /* BYTES and STRING, 0 to 65,535 bytes (written: 32,767); UUID, 16 */
} weir_es_header;

/* A frame that was checked. Points into the piece, or into the reader's room. */
typedef struct weir_es_frame {
    weir_str whole;   /* from the prelude to the last checksum */
    weir_str headers; /* for weir_es_header_next */
    weir_str payload;
    uint32_t header_count;
    uint32_t reserved;
} weir_es_frame;

/* Steps through a frame's headers: `cursor` begins at 0. False behind the last one. */
bool weir_es_header_next(const weir_es_frame *frame, uint32_t *cursor, weir_es_header *out);
/* The header of that name; false if there is none. */
bool weir_es_header_find(const weir_es_frame *frame, const char *name, weir_es_header *out);
/* The value of a STRING header; ptr NULL if it is absent or of another type. ":message-type" and
 * ":event-type" say what a frame is. */
weir_str weir_es_header_str(const weir_es_frame *frame, const char *name);

/*
 * The reader's state. Zero it, set `room` and, if wanted, frame_max. It owns no memory: `room`
 * gives it `size` bytes, at most frame_max, for one frame that came in pieces, once its prelude is
 * checked. They belong to the caller again at the next weir_es_next after that frame was given, or
 * when the caller gives up the reader; so one buffer that grows will do, and so will one buffer a
 * frame that becomes part of a batch.
 */
typedef struct weir_es_reader {
    char *(*room)(void *opaque, uint64_t size); /* NULL without memory */
    void *opaque;
    uint64_t frame_max;   /* bytes; 0 = WEIR_ES_FRAME_MAX */
    const char *fault;    /* out, with WEIR_E_DATA: static text */
    uint64_t fault_frame; /* out: offset in the stream at which the broken frame begins */
    /* the reader's own */
    weir_str piece;
    uint64_t offset; /* in the stream, of the frame under way */
    char *held;
    uint64_t held_len, total;
    bool given; /* the frame in `held` was given */
    char prelude[WEIR_ES_PRELUDE];
} weir_es_reader;

/* The next piece of the stream. The one before must have been read up to WEIR_AGAIN. It must stay
 * until then, and as long as frames of it are used. */
void weir_es_feed(weir_es_reader *r, weir_str piece);

/* WEIR_OK: `out` is a frame, valid until the next call. WEIR_AGAIN: feed more. WEIR_E_DATA: the
 * stream is broken, r->fault says how, and every further call says so again. WEIR_E_NOMEM: `room`
 * gave none; the call may be repeated. */
weir_status weir_es_next(weir_es_reader *r, weir_es_frame *out);

/* Whether the stream may end here: no frame is under way. */
bool weir_es_at_boundary(const weir_es_reader *r);

/*
 * Writing. A frame in one piece: `out` holds weir_es_size bytes. 0 where a header or a size is
 * beyond its limit.
 */
uint64_t weir_es_size(const weir_es_header *headers, uint32_t count, uint64_t payload_len);
uint64_t weir_es_write(const weir_es_header *headers, uint32_t count, weir_str payload, char *out);

/*
 * A frame around a payload that stays where it is: the head is written, the payload's pieces are
 * added to the checksum, the tail is written behind them.
 */
#define WEIR_ES_TAIL 4u
/* Writes weir_es_size - payload_len - WEIR_ES_TAIL bytes and gives their number; 0 as above. */
uint64_t weir_es_write_head(const weir_es_header *headers, uint32_t count, uint64_t payload_len,
                            char *out, uint32_t *crc);
uint32_t weir_es_crc(uint32_t crc, weir_str bytes);
void weir_es_write_tail(uint32_t crc, char *out); /* WEIR_ES_TAIL bytes */

/* A STRING header from C strings, for tables of them. */
weir_es_header weir_es_str(const char *name, const char *value);

#ifdef __cplusplus
}
#endif
#endif
