/*
 * s3/content.h - bytes of objects, held by whoever refers to them.
 *
 * A body becomes one blob; an object is a list of extents of blobs, so that completing an upload
 * and copying an object move no bytes, and an answer that is still going out keeps what it needs
 * when the object is gone.
 */
#ifndef WEIR_LOCAL_S3_CONTENT_H
#define WEIR_LOCAL_S3_CONTENT_H

#include <stdbool.h>

#include "server/server.h"
#include "weir/types.h"

typedef struct s3_blob s3_blob;

typedef struct s3_extent {
    s3_blob *of;
    const char *bytes;
    size_t len;
} s3_extent;

typedef struct s3_content {
    s3_extent *items;
    uint32_t count;
    uint64_t size;
} s3_content;

/* Appends `bytes`, copied, or memory of mem_alloc that becomes the content's (also on failure; made
 * smaller if `room` is more than it needs). Nothing is appended for no bytes. False: no memory. */
bool s3_content_copy(s3_content *c, weir_str bytes);
bool s3_content_take(s3_content *c, void *bytes, size_t len, size_t room);
/* Appends `len` bytes of `from`, which go on being shared. */
bool s3_content_share(s3_content *c, const s3_content *from, uint64_t at, uint64_t len);
char s3_content_byte(const s3_content *c, uint64_t at); /* at < c->size */
void s3_content_free(s3_content *c);

/* These bytes become parts of the answer. */
void s3_content_send(const s3_content *c, uint64_t at, uint64_t len, exchange *x);

#endif
