/*
 * plugins/kinesis/shard_list.h - ListShards over all pages, without blocking.
 */
#ifndef KINESIS_SHARD_LIST_H
#define KINESIS_SHARD_LIST_H

#include <stdbool.h>

#include "stream.h"
#include "weir/aws.h"

typedef struct shard_info {
    char id[SHARD_ID_MAX + 1];
    char parent[SHARD_ID_MAX + 1];   /* "" = none */
    char adjacent[SHARD_ID_MAX + 1]; /* second parent of a merge */
    bool closed;
} shard_info;

typedef struct shard_list shard_list;
struct shard_list {
    weir_aws_client *client;
    const stream_ref *stream;
    const stream_start *from; /* NULL = all that are kept */
    int64_t deadline_ns;
    uint32_t timeout_ms; /* of each page, which is asked for once */
    /* Called once: with NULL when all shards are in `shards`, else with the answer that failed.
     * `status` alone speaks if there was no answer to speak of (no memory, malformed). */
    void (*done)(shard_list *list, weir_status status, const weir_aws_response *failed);
    void *opaque;

    shard_info *shards; /* out */
    uint32_t count, capacity;
    int64_t server_us; /* out: the server's clock at the last page, INT64_MIN = unknown */
    uint32_t restarts; /* a page token expired */
    bool unfiltered;   /* the endpoint knows no filter */
};

/* Begins; all fields above `shards` are set, the others zero. `list` must stay until `done`. */
weir_status shard_list_start(shard_list *list);
void shard_list_free(shard_list *list); /* frees `shards`, not `list` */

#endif
