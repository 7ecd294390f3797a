#include "request.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "weir/json.h"

typedef struct writer {
    char *out;
    uint32_t size, len;
    bool failed;
} writer;

static void add(writer *w, const char *z);
static void add_member(writer *w, const char *name, weir_str value);
static void add_stream(writer *w, const stream_ref *stream);
static void add_time(writer *w, const char *name, int64_t us);
static uint32_t finish(writer *w);
static weir_str str(const char *z);

uint32_t request_list_shards(char *out, uint32_t size, const stream_ref *stream,
                             const stream_start *from, weir_str next_token) {
    writer w = {out, size, 0, false};
    if (next_token.len > 0) { /* a token excludes everything else */
        add_member(&w, "NextToken", next_token);
        if (stream->arn[0]) add_member(&w, "StreamARN", str(stream->arn));
        return finish(&w);
    }
    add_stream(&w, stream);
    if (from && from->kind == START_TIMESTAMP) {
        /* Shards that were closed before that moment hold nothing we shall read. */
        add(&w, ",\"ShardFilter\":{\"Type\":\"FROM_TIMESTAMP\"");
        add_time(&w, "Timestamp", from->us);
        add(&w, "}");
    }
    return finish(&w);
}

uint32_t request_shard_iterator(char *out, uint32_t size, const stream_ref *stream,
                                const char *shard_id, const shard_position *after,
                                stream_start start) {
    writer w = {out, size, 0, false};
    add_stream(&w, stream);
    add_member(&w, "ShardId", str(shard_id));
    if (after->sequence[0]) {
        bool whole = after->sub == POSITION_WHOLE;
        add_member(&w, "ShardIteratorType",
                   str(whole ? "AFTER_SEQUENCE_NUMBER" : "AT_SEQUENCE_NUMBER"));
        add_member(&w, "StartingSequenceNumber", str(after->sequence));
    } else if (start.kind == START_TIMESTAMP) {
        add_member(&w, "ShardIteratorType", str("AT_TIMESTAMP"));
        add_time(&w, "Timestamp", start.us);
    } else {
        add_member(&w, "ShardIteratorType", str("TRIM_HORIZON"));
    }
    return finish(&w);
}

uint32_t request_get_records(char *out, uint32_t size, const stream_ref *stream, weir_str iterator,
                             uint32_t limit) {
    writer w = {out, size, 0, false};
    char number[32];
    add_member(&w, "ShardIterator", iterator);
    snprintf(number, sizeof number, ",\"Limit\":%u", limit);
    add(&w, number);
    if (stream->arn[0]) add_member(&w, "StreamARN", str(stream->arn));
    return finish(&w);
}

static void add(writer *w, const char *z) {
    size_t n = strlen(z);
    if (w->failed || n > w->size - w->len) {
        w->failed = true;
        return;
    }
    memcpy(w->out + w->len, z, n);
    w->len += (uint32_t)n;
}

static void add_member(writer *w, const char *name, weir_str value) {
    add(w, w->len == 0 ? "{\"" : ",\"");
    add(w, name);
    add(w, "\":");
    if (w->failed || value.len * 6 + 2 > w->size - w->len) {
        w->failed = true;
        return;
    }
    w->len += (uint32_t)weir_json_write_str(value, w->out + w->len);
}

static void add_stream(writer *w, const stream_ref *stream) {
    if (stream->arn[0])
        add_member(w, "StreamARN", str(stream->arn));
    else
        add_member(w, "StreamName", str(stream->name));
}

/* Seconds with six decimals, written as an integer and a fraction: a double would round. */
static void add_time(writer *w, const char *name, int64_t us) {
    char text[96];
    int64_t seconds = us / 1000000, rest = us % 1000000;
    if (rest < 0) seconds--, rest += 1000000;
    snprintf(text, sizeof text, ",\"%s\":%" PRId64 ".%06" PRId64, name, seconds, rest);
    add(w, text);
}

static uint32_t finish(writer *w) {
    add(w, "}");
    return w->failed ? 0 : w->len;
}

static weir_str str(const char *z) {
    weir_str s = {z, strlen(z)};
    return s;
}
