/*
 * PutRecord and PutRecords: which shard, whether it may, and the answer per record.
 */
#include <stdio.h>

#include "admin/faults.h"
#include "kinesis/stream.h"

typedef struct entry {
    weir_str key, base64, bytes; /* base64 or bytes */
    uint32_t size;
    hash_key hash;
    shard *to;
    const char *code; /* why it is not stored, or NULL */
    uint64_t at;      /* its place in the shard */
    int64_t arrival_ms;
} entry;

/* The member's place for messages: "data", or "records.3.member.data". */
static const char *place(char out[64], int index, const char *member) {
    if (index < 0)
        snprintf(out, 64, "%s", member);
    else
        snprintf(out, 64, "records.%d.member.%s", index + 1, member);
    return out;
}

static bool read_data(aws_call *call, const weir_value *v, entry *e) {
    if (v->type == WEIR_V_BYTES) {
        e->bytes = weir_value_str(v);
        e->size = (uint32_t)e->bytes.len;
        return true;
    }
    /* Kept as the text that came, once it is known to be base64. */
    weir_str decoded;
    if (!aws_blob(call, v, &decoded)) return false;
    e->base64 = weir_value_str(v);
    e->size = (uint32_t)decoded.len;
    return true;
}

/* One record of the request. False: the call has failed. */
static bool read_entry(aws_call *call, const stream *s, const weir_value *json, int index,
                       entry *e) {
    char at[64];
    *e = (entry){0};
    const weir_value *data = weir_json_get(json, "Data"),
                     *key = weir_json_get(json, "PartitionKey");
    const weir_value *explicit_hash = weir_json_get(json, "ExplicitHashKey");
    if (!data || data->type == WEIR_V_NULL || !key || key->type != WEIR_V_STRING) {
        kinesis_invalid(call, STR("null"), place(at, index, data ? "partitionKey" : "data"),
                        "Member must not be null");
        return false;
    }
    static const aws_exception serialization = {"SerializationException", 400};
    if (!read_data(call, data, e)) {
        aws_fail(call, &serialization, "%s is not base64", place(at, index, "data"));
        return false;
    }
    e->key = weir_value_str(key);
    uint64_t characters = aws_characters(e->key);
    if (characters < 1 || characters > 256) {
        kinesis_invalid(call, e->key, place(at, index, "partitionKey"),
                        characters ? "Member must have length less than or equal to 256"
                                   : "Member must have length greater than or equal to 1");
        return false;
    }
    if (e->size > KINESIS_RECORD_MAX) {
        kinesis_invalid(call, STR("java.nio.HeapByteBuffer"), place(at, index, "data"),
                        "Member must have length less than or equal to %u", KINESIS_RECORD_MAX);
        return false;
    }
    if ((uint64_t)e->size + e->key.len > (uint64_t)s->record_kib * 1024) {
        aws_fail(call, &KINESIS_INVALID,
                 "%s: a record of %llu bytes with its partition key; the stream's limit is %lld",
                 place(at, index, "data"), (unsigned long long)e->size + e->key.len,
                 (long long)s->record_kib * 1024);
        return false;
    }
    if (!explicit_hash || explicit_hash->type == WEIR_V_NULL) {
        e->hash = hash_key_of(e->key);
        return true;
    }
    if (explicit_hash->type != WEIR_V_STRING ||
        !hash_key_parse(weir_value_str(explicit_hash), &e->hash)) {
        aws_fail(call, &KINESIS_INVALID,
                 "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1].");
        return false;
    }
    return true;
}

/* Whether the shard takes it now. A record counts by its data and key, in whole. */
static bool fits(const stream *s, shard *d, const entry *e) {
    int64_t now = kinesis_now(s->of);
    double size = (double)(e->size + e->key.len);
    /* A record beyond 1 MiB is paid for by the seconds that follow. */
    if (!aws_budget_has(&d->write_bytes, size, now) || !aws_budget_spend(&d->write_records, 1, now))
        return false;
    aws_budget_take(&d->write_bytes, size);
    return true;
}

static bool within_limits(stream *s, shard *d, const entry *e) {
    if (!s->of->limits || fits(s, d, e)) return true;
    stream_grow(s);
    return false;
}

static bool store(aws_call *call, stream *s, entry *e) {
    if (!shard_put(s, e->to, e->key, e->base64, e->bytes, e->size)) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return false;
    }
    e->at = e->to->next - 1;
    e->arrival_ms = shard_record(e->to, e->at)->arrival_ms;
    return true;
}

static void write_place(aws_out *o, const stream *s, const entry *e) {
    char text[SEQUENCE_TEXT];
    shard_sequence(s, e->to, e->at, e->arrival_ms, text);
    aws_out_z(o, "SequenceNumber", text);
    shard_id(e->to, text);
    aws_out_z(o, "ShardId", text);
}

static void write_encryption(aws_out *o, const stream *s) {
    if (s->kms_key) aws_out_z(o, "EncryptionType", "KMS");
}

void kinesis_put_record(aws_call *call) {
    stream *s = stream_of_call_usable(call);
    entry e;
    if (!s || !read_entry(call, s, call->in, -1, &e)) return;
    weir_str order = aws_in_str(call, "SequenceNumberForOrdering");
    sequence q;
    if (order.ptr && !sequence_parse(order, &q)) {
        aws_fail(call, &KINESIS_INVALID,
                 "ExclusiveMinimumSequenceNumber %.*s used in PutRecord on "
                 "stream %s under account %s is invalid.",
                 STR_FMT(order), s->name, local_settings(call->home)->account);
        return;
    }
    shard *d = e.to = stream_shard_for(s, e.hash);
    if (!within_limits(s, d, &e)) {
        aws_fail(call, &KINESIS_THROUGHPUT,
                 "Rate exceeded for shard shardId-%012u in stream %s under account %s.", d->index,
                 s->name, local_settings(call->home)->account);
        return;
    }
    if (!store(call, s, &e)) return;
    aws_out_open(&call->out, NULL);
    write_encryption(&call->out, s);
    write_place(&call->out, s, &e);
    subscriptions_wake(s, d);
    aws_end(call);
}

static void write_refusal(aws_call *call, const stream *s, const shard *d, const char *code) {
    char text[512];
    if (strcmp(code, "ProvisionedThroughputExceededException") == 0)
        snprintf(text, sizeof text,
                 "Rate exceeded for shard shardId-%012u in stream %s under account %s.", d->index,
                 s->name, local_settings(call->home)->account);
    else
        snprintf(text, sizeof text, "Internal Service Failure");
    aws_out_z(&call->out, "ErrorCode", code);
    aws_out_z(&call->out, "ErrorMessage", text);
}

/* All of the request is checked before any of it is stored. */
static entry *read_entries(aws_call *call, stream *s, uint32_t *count) {
    const weir_value *list = aws_in(call, "Records");
    if (!list || list->type != WEIR_V_ARRAY || list->size == 0) {
        kinesis_invalid(call, STR("[]"), "records",
                        "Member must have length greater than or equal to 1");
        return NULL;
    }
    if (list->size > KINESIS_RECORDS_MAX) {
        kinesis_invalid(call, STR("[...]"), "records",
                        "Member must have length less than or equal to %u", KINESIS_RECORDS_MAX);
        return NULL;
    }
    entry *entries = arena_array(call->memory, list->size, sizeof *entries);
    uint64_t total = 0, limit = KINESIS_REQUEST_MAX;
    if (s->record_kib > KINESIS_RECORD_KIB) limit = KINESIS_REQUEST_LARGE_MAX;
    const weir_value *item = list + 1;
    for (uint32_t i = 0; entries && i < list->size; i++, item = weir_value_next(item)) {
        if (item->type != WEIR_V_OBJECT) {
            kinesis_invalid(call, STR("null"), "records", "Member must not be null");
            return NULL;
        }
        if (!read_entry(call, s, item, (int)i, &entries[i])) return NULL;
        total += entries[i].size + entries[i].key.len;
    }
    if (!entries) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return NULL;
    }
    if (total > limit) {
        aws_fail(call, &KINESIS_INVALID, "Records size exceeds %d MB limit", (int)(limit >> 20));
        return NULL;
    }
    *count = list->size;
    return entries;
}

/* Stores what may be stored, in the order of the request unless a fault wants another. */
static bool store_entries(aws_call *call, stream *s, entry *entries, uint32_t count) {
    uint32_t order[KINESIS_RECORDS_MAX];
    faults_order(call->x, order, count);
    for (uint32_t i = 0; i < count; i++) {
        entry *e = &entries[order[i]];
        e->to = stream_shard_for(s, e->hash);
        e->code = faults_record(call->x, order[i]);
        if (!e->code && !within_limits(s, e->to, e)) e->code = KINESIS_THROUGHPUT.name;
        if (!e->code && !store(call, s, e)) return false;
    }
    return true;
}

void kinesis_put_records(aws_call *call) {
    stream *s = stream_of_call_usable(call);
    uint32_t count = 0, failed = 0;
    entry *entries = s ? read_entries(call, s, &count) : NULL;
    if (!entries || !store_entries(call, s, entries, count)) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    write_encryption(o, s);
    aws_out_open_array(o, "Records");
    for (uint32_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        aws_out_open(o, NULL);
        if (e->code)
            write_refusal(call, s, e->to, e->code);
        else
            write_place(o, s, e);
        aws_out_close(o);
        failed += e->code != NULL;
    }
    aws_out_close_array(o);
    aws_out_i64(o, "FailedRecordCount", failed);
    for (uint32_t i = 0; i < s->open_count; i++) subscriptions_wake(s, s->open[i]);
    aws_end(call);
}
