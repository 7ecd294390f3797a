/*
 * tests/unit/kinesis/rig.h - the whole source over a fake host, against a small Kinesis in a thread
 * that can misbehave. The rig checks order and positions of all it reads.
 */
#ifndef TEST_KINESIS_RIG_H
#define TEST_KINESIS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_host.h"
#include "kinesis.h"
#include "stub_server.h"

#define SHARDS 64
#define RECORDS_MAX 2000
#define PAD_MAX 8192
#define SECOND 1000000000LL

typedef struct fake_shard {
    bool exists, closed;
    const char *parents[2];
    const char *children; /* JSON of ChildShards at the end; NULL: none are told */
    int records;
} fake_shard;

typedef struct service {
    fake_shard shards[SHARDS];
    int page;             /* records an answer holds at most */
    int pad;              /* bytes that each value is longer by */
    int list_page;        /* shards an answer of ListShards holds */
    unsigned small_reads; /* so many answers of GetRecords hold one short record */
    int64_t lag_ms;
    const char *script; /* one letter a GetRecords call, until its end; see answer_records */
    const char *list_error, *iterator_error, *records_error; /* for every call: a code, "500" */
    unsigned lists, iterators, reads;
    char last_iterator_request[1024];
} service;

typedef struct rig {
    service service;
    stub_server *server;
    fake_option options[32];
    fake_host *host;
    void *control, *task;
    fake_split splits[SHARDS * 4];
    uint32_t split_count;
    bool finished[SHARDS];
    int children_told;
    char child[2][256];
    char seen[SHARDS][RECORDS_MAX]; /* how often each record came */
    int last[SHARDS];
    int records, batches;
    int64_t lag_ms;
    uint32_t room;
    char resume[256];
    uint32_t resume_len;
} rig;

int64_t rig_now_ns(void);
/* A server, and options that read it from the beginning; the test adds shards. */
void rig_begin(rig *r);
void rig_set(rig *r, const char *key, const char *value);
void *rig_open(rig *r, uint32_t role, weir_status expected, weir_open *open);
void rig_open_all(rig *r); /* both instances, all splits assigned */
weir_status rig_enumerate(rig *r, int64_t *next_ns);
void rig_assign(rig *r, uint32_t from, uint32_t count);
weir_status rig_poll(rig *r, int64_t wait_ns);
/* Until `records` came in all, or an error. */
weir_status rig_read_until(rig *r, int records);
void rig_read_ends(rig *r, int which); /* until that shard is finished */
void rig_finish(rig *r);

#endif
