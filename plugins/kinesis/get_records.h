/*
 * plugins/kinesis/get_records.h - one pass over a GetRecords answer, record by record.
 *
 *   {"Records":[{"Data":"aGVsbG8=","PartitionKey":"k","SequenceNumber":"49..",...}, ...],
 *    "NextShardIterator":"AAA..","MillisBehindLatest":0,"ChildShards":[...]}
 *
 * A pull parser over the answer's own buffer: it decodes base64 and JSON escapes in place (both
 * only shrink), so a record's bytes stay where the network put them and the buffer can be attached
 * to a batch. Members may come in any order, be unknown, or be null. What is not this shape is an
 * error, never a read or write beyond the buffer.
 */
#ifndef KINESIS_GET_RECORDS_H
#define KINESIS_GET_RECORDS_H

#include "weir/types.h"

typedef struct get_records {
    char *begin, *p, *end;
    uint32_t state;    /* internal */
    uint32_t has_next; /* NextShardIterator is a text */
    /* Valid when get_records_next has answered 0. */
    weir_str next_iterator;
    weir_str children;     /* text of the ChildShards array; empty if absent, null or [] */
    int64_t millis_behind; /* -1 if absent */
    const char *fault;     /* after -1: what was expected; static */
} get_records;

typedef struct kinesis_record {
    weir_str data, key, sequence;
    int64_t time_us; /* WEIR_TIME_NONE if the service did not say */
} kinesis_record;

/* `text` is changed by parsing and must outlive what comes out of it. */
void get_records_begin(get_records *g, char *text, uint64_t len);
/* 1: a record; 0: the whole answer was read and is well-formed; -1: it is not. */
int get_records_next(get_records *g, kinesis_record *out);

#endif
