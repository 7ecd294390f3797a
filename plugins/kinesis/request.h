/*
 * plugins/kinesis/request.h - bodies of the requests, in one fixed buffer each: every part of them
 * has a known greatest length, except the page tokens of ListShards.
 */
#ifndef KINESIS_REQUEST_H
#define KINESIS_REQUEST_H

#include "position.h"
#include "stream.h"

/* All return the length, or 0 if `size` is too small. */
uint32_t request_list_shards(char *out, uint32_t size, const stream_ref *stream,
                             const stream_start *from, weir_str next_token);
uint32_t request_shard_iterator(char *out, uint32_t size, const stream_ref *stream,
                                const char *shard_id, const shard_position *after,
                                stream_start start);
uint32_t request_get_records(char *out, uint32_t size, const stream_ref *stream, weir_str iterator,
                             uint32_t limit);
#define REQUEST_BYTES 4096u

#endif
