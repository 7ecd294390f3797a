/*
 * GetShardIterator and GetRecords.
 */
#include <inttypes.h>

#include "kinesis/stream.h"

#define KIND_ITERATOR 'I'

static void write_iterator(aws_out *o, const char *name, const stream *s, const shard *d,
                           uint64_t at) {
    char text[TOKEN_TEXT];
    token t = {KIND_ITERATOR, (uint64_t)s->created_ms, d->index, at, 0, kinesis_now(s->of)};
    token_write(s->of, &t, str_of(s->name), text);
    aws_out_z(o, name, text);
}

/* A sequence number of a client as a place in the shard. */
static bool at_sequence(aws_call *call, const stream *s, const shard *d, weir_str text, bool after,
                        uint64_t *out) {
    sequence q;
    if (!text.ptr) {
        aws_fail(
            call, &KINESIS_INVALID,
            "Must either specify (1) AT_SEQUENCE_NUMBER and a StartingSequenceNumber or (2) "
            "AFTER_SEQUENCE_NUMBER and a StartingSequenceNumber or (3) TRIM_HORIZON or LATEST or "
            "AT_TIMESTAMP and no StartingSequenceNumber.");
        return false;
    }
    /* Zero stands for the beginning: clients that have no number yet send it. */
    if (str_eq_z(text, "0")) {
        *out = shard_oldest(d);
        return true;
    }
    if (!sequence_parse(text, &q)) {
        aws_fail(
            call, &KINESIS_INVALID,
            "StartingSequenceNumber %.*s used in GetShardIterator on shard shardId-%012u in stream "
            "%s under account %s is invalid.",
            STR_FMT(text), d->index, s->name, local_settings(call->home)->account);
        return false;
    }
    /* A stream that was deleted and made anew has the same shards, but not the same numbers. */
    if (q.shard == d->index && (int64_t)q.shard_second != d->created_ms / 1000) {
        aws_fail(call, &KINESIS_INVALID,
                 "Invalid StartingSequenceNumber. It is of another stream of the name %s: it "
                 "encodes shardId-%012u of one created at second %" PRIu64
                 ", while this one's was created at second %" PRId64,
                 s->name, q.shard, q.shard_second, d->created_ms / 1000);
        return false;
    }
    if (q.shard != d->index) {
        aws_fail(
            call, &KINESIS_INVALID,
            "Invalid StartingSequenceNumber. It encodes shardId-%012u, while it was used in a call "
            "to a shard with shardId-%012u",
            q.shard, d->index);
        return false;
    }
    uint64_t at = q.record + (after ? 1 : 0);
    uint64_t oldest = shard_oldest(d);
    *out = at < oldest ? oldest : at > d->next ? d->next : at;
    return true;
}

static bool at_timestamp(aws_call *call, const stream *s, const shard *d, const weir_value *when,
                         uint64_t *out) {
    int64_t ms;
    if (!when || !aws_time_ms(call, when, &ms)) {
        aws_fail(call, &KINESIS_INVALID,
                 "Must specify timestamp parameter for iterator of type "
                 "AT_TIMESTAMP. Current request has no timestamp parameter.");
        return false;
    }
    if (ms > kinesis_now(s->of)) {
        aws_fail(
            call, &KINESIS_INVALID,
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            "timestampInMillis: %lld, currentTimestampInMillis: %lld",
            (long long)ms, (long long)kinesis_now(s->of));
        return false;
    }
    *out = shard_at_time(d, ms);
    return true;
}

bool shard_position(aws_call *call, stream *s, shard *d, weir_str type, weir_str sequence_number,
                    const weir_value *timestamp, uint64_t *out) {
    if (str_eq_z(type, "TRIM_HORIZON")) {
        *out = shard_oldest(d);
        return true;
    }
    if (str_eq_z(type, "LATEST")) {
        *out = d->next;
        return true;
    }
    if (str_eq_z(type, "AT_SEQUENCE_NUMBER") || str_eq_z(type, "AFTER_SEQUENCE_NUMBER"))
        return at_sequence(call, s, d, sequence_number, type.ptr[1] == 'F', out);
    if (str_eq_z(type, "AT_TIMESTAMP")) return at_timestamp(call, s, d, timestamp, out);
    kinesis_invalid(
        call, type, "shardIteratorType",
        "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, "
        "AT_SEQUENCE_NUMBER, TRIM_HORIZON]");
    return false;
}

static void no_shard(aws_call *call, const stream *s, weir_str id) {
    aws_fail(call, &KINESIS_NOT_FOUND, "Shard %.*s in stream %s under account %s does not exist",
             STR_FMT(id), s->name, local_settings(call->home)->account);
}

static void too_often(aws_call *call, const stream *s, const shard *d) {
    aws_fail(call, &KINESIS_THROUGHPUT,
             "Rate exceeded for shard shardId-%012u in stream %s under account %s.", d->index,
             s->name, local_settings(call->home)->account);
}

void kinesis_get_shard_iterator(aws_call *call) {
    stream *s = stream_of_call_usable(call);
    if (!s) return;
    weir_str id = aws_in_str(call, "ShardId");
    shard *d = stream_shard(s, id);
    if (!d) {
        no_shard(call, s, id);
        return;
    }
    int64_t now = kinesis_now(s->of);
    if (s->of->limits && !aws_budget_spend(&d->iterator_calls, 1, now)) {
        too_often(call, s, d);
        return;
    }
    uint64_t at;
    if (!shard_position(call, s, d, aws_in_str(call, "ShardIteratorType"),
                        aws_in_str(call, "StartingSequenceNumber"), aws_in(call, "Timestamp"), &at))
        return;
    aws_out_open(&call->out, NULL);
    write_iterator(&call->out, "ShardIterator", s, d, at);
    aws_end(call);
}

/* The shard an iterator is about, or NULL: the call has failed. */
static shard *of_iterator(aws_call *call, stream **stream_out, token *t) {
    kinesis *k = call->state;
    weir_str text = aws_in_str(call, "ShardIterator");
    char name[129];
    if (!text.ptr || !token_read(k, text, t, name) || t->kind != KIND_ITERATOR) {
        aws_fail(call, &KINESIS_INVALID, "Invalid ShardIterator.");
        return NULL;
    }
    stream *s = map_get(k->streams, str_of(name));
    if (!s || (uint64_t)s->created_ms != t->stream || !stream_usable(s)) {
        aws_fail(call, &KINESIS_NOT_FOUND, "Stream %s under account %s not found.", name,
                 local_settings(call->home)->account);
        return NULL;
    }
    weir_str arn = aws_in_str(call, "StreamARN");
    if (arn.ptr && !str_eq_z(arn, s->arn)) {
        aws_fail(call, &KINESIS_INVALID, "StreamARN is not that of the shard iterator's stream.");
        return NULL;
    }
    stream_trim(s);
    shard *d = t->shard < s->shard_count ? s->shards[t->shard] : NULL;
    if (!d || d->gone) {
        char id[24] = "";
        if (d) shard_id(d, id);
        no_shard(call, s, str_of(id));
        return NULL;
    }
    if (kinesis_now(k) - t->made_ms > KINESIS_TOKEN_MS) {
        aws_fail(
            call, &KINESIS_EXPIRED_ITERATOR,
            "Iterator expired. The iterator was created at %lld ms while right now it is %lld ms "
            "which is further in the future than the tolerated delay of 300000 milliseconds.",
            (long long)t->made_ms, (long long)kinesis_now(k));
        return NULL;
    }
    *stream_out = s;
    return d;
}

static bool may_read(const stream *s, shard *d) {
    int64_t now = kinesis_now(s->of);
    if (!s->of->limits) return true;
    if (now < d->locked_until_ms) return false;
    /* A budget in debt must be back above zero; how much this call will take is not known yet. */
    if (!aws_budget_spend(&d->read_bytes, 1, now)) return false;
    return aws_budget_spend(&d->read_calls, 1, now);
}

/* 2 MiB a second. More than that in one answer closes the shard for as long as it would have taken:
 * five seconds behind the largest one. */
static void pay(const stream *s, shard *d, uint64_t bytes) {
    if (!s->of->limits) return;
    aws_budget_take(&d->read_bytes, (double)bytes);
    if (bytes <= KINESIS_SHARD_READ_BYTES) return;
    uint64_t ms = (bytes * 1000 + KINESIS_SHARD_READ_BYTES - 1) / KINESIS_SHARD_READ_BYTES;
    d->locked_until_ms = kinesis_now(s->of) + (int64_t)ms;
    d->read_bytes.level = d->read_bytes.rate;
}

void kinesis_get_records(aws_call *call) {
    stream *s;
    token t;
    const weir_value *v = aws_in(call, "Limit");
    int64_t limit =
        v ? (v->type == WEIR_V_I64 ? v->as.i64 : -1) : (int64_t)KINESIS_READ_RECORDS_MAX;
    if (limit < 1 || limit > (int64_t)KINESIS_READ_RECORDS_MAX) {
        aws_fail(call, &KINESIS_INVALID, "Limit must be between 1 and %u.",
                 KINESIS_READ_RECORDS_MAX);
        return;
    }
    shard *d = of_iterator(call, &s, &t);
    if (!d) return;
    if (!may_read(s, d)) {
        too_often(call, s, d);
        return;
    }
    extent e = shard_extent(d, t.position, (uint64_t)limit, KINESIS_READ_MAX);
    pay(s, d, e.data_bytes);
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    bool end = d->closed_ms && e.to >= d->next;
    if (end) shard_write_children(o, s, d);
    aws_out_i64(o, "MillisBehindLatest", shard_behind_ms(s, d, &e));
    if (!end) write_iterator(o, "NextShardIterator", s, d, e.to);
    shard_give_records(call, s, d, &e);
    aws_out_close(o);
    aws_give(call);
    aws_send(call);
}
