/*
 * server/http1_parse.h - the text of HTTP/1.1 requests: a head, and bodies in chunks.
 *
 * Pure functions over bytes, strict where leniency has been used to smuggle requests: lines end
 * with CR LF, no folded headers, no space before the colon, one length and not both kinds.
 */
#ifndef WEIR_LOCAL_HTTP1_PARSE_H
#define WEIR_LOCAL_HTTP1_PARSE_H

#include "server/server.h"

#define HTTP1_HEADERS_MAX 128u
#define HTTP1_TRAILER_MAX 16384u /* bytes of a trailer, which is read and forgotten */

typedef enum http1_result {
    HTTP1_OK,
    HTTP1_MORE, /* not all of it is there */
    HTTP1_BAD,
} http1_result;

typedef struct http1_head {
    weir_str method;
    weir_str target;
    uint32_t protocol; /* SERVER_HTTP_1_0 or _1_1 */
    server_header headers[HTTP1_HEADERS_MAX];
    uint32_t header_count;
    size_t bytes; /* of the head, with the empty line */
    bool chunked;
    bool has_length;
    uint64_t length;
    bool keep_alive;
    bool expects_continue;
    weir_str host;
    const char *fault; /* with HTTP1_BAD: what was wrong */
} http1_head;

/* Reads a head from the beginning of `text`; names of headers become lower case in place. `seen` is
 * how many bytes an earlier call with HTTP1_MORE has looked at (0 at first): it is not searched
 * again. Strings point into `text`. */
http1_result http1_parse_head(char *text, size_t len, size_t seen, http1_head *out);

typedef struct http1_chunks {
    uint32_t state;
    uint32_t line; /* bytes of the line being read */
    uint64_t left; /* of the chunk */
    const char *fault;
} http1_chunks;

/* Zeroed before the first call. Takes bytes of `in` up to and with the next piece of the body:
 * *used bytes are consumed, the piece is *data (maybe empty). HTTP1_OK when the body and its
 * trailer are complete, HTTP1_MORE to go on with what follows. */
http1_result http1_chunks_next(http1_chunks *c, const char *in, size_t len, size_t *used,
                               weir_str *data);

#endif
