/*
 * PutRecord and PutRecordBatch: limits of a request, rates of a stream, the answer per record.
 */
#include "firehose/firehose.h"

#include <stdio.h>

#include "admin/faults.h"

#define ID_LETTERS 224u /* of a RecordId, as the service's are */

static const char SLOW_DOWN[] = "Slow down.";

/* One record's data. `index` below 0: of PutRecord. False: the call has failed. */
static bool read_data(aws_call *call, const weir_value *record, int index, weir_str *out) {
    static const aws_exception serialization = {"SerializationException", 400};
    char at[48] = "record.data", value[64];
    const weir_value *data = weir_json_get(record, "Data");
    if (index >= 0) snprintf(at, sizeof at, "records.%d.member.data", index + 1);
    if (!data || data->type == WEIR_V_NULL) {
        firehose_invalid(call, STR("null"), at, "Member must not be null");
        return false;
    }
    if (!aws_blob(call, data, out)) {
        aws_fail(call, &serialization, "%s is not base64", at);
        return false;
    }
    if (out->len <= FIREHOSE_RECORD_MAX) return true;
    char constraint[64];
    snprintf(constraint, sizeof constraint, "Member must have length less than or equal to %u",
             FIREHOSE_RECORD_MAX);
    int n = snprintf(value, sizeof value, "java.nio.HeapByteBuffer[pos=0 lim=%llu cap=%llu]",
                     (unsigned long long)out->len, (unsigned long long)out->len);
    firehose_invalid(call, str_make(value, (size_t)n), at, constraint);
    return false;
}

/* The request itself counts against a rate: refused as a whole. */
static bool may_ask(aws_call *call, delivery *d) {
    if (!d->of->limits) return true;
    if (aws_budget_spend(&d->requests, 1, firehose_now(d->of))) return true;
    aws_fail(call, &FIREHOSE_UNAVAILABLE, "%s", SLOW_DOWN);
    return false;
}

static bool may_put(delivery *d, weir_str data) {
    int64_t now = firehose_now(d->of);
    if (!d->of->limits) return true;
    if (!aws_budget_has(&d->bytes, (double)data.len, now) || !aws_budget_has(&d->records, 1, now))
        return false;
    aws_budget_take(&d->bytes, (double)data.len);
    aws_budget_take(&d->records, 1);
    return true;
}

static void write_id(aws_call *call) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char id[ID_LETTERS];
    for (uint32_t i = 0; i < ID_LETTERS; i += 8) {
        uint64_t r = local_random(call->home);
        for (uint32_t k = 0; k < 8; k++, r >>= 8) id[i + k] = letters[r & 63];
    }
    aws_out_str(&call->out, "RecordId", str_make(id, sizeof id));
}

void firehose_put_record(aws_call *call) {
    delivery *d = firehose_stream(call, true);
    const weir_value *record;
    weir_str data;
    if (!d || !aws_container(call, call->in, "Record", WEIR_V_OBJECT, &record)) return;
    if (!record) {
        firehose_invalid(call, STR("null"), "record", "Member must not be null");
        return;
    }
    if (!read_data(call, record, -1, &data) || !may_ask(call, d)) return;
    const char *code = faults_record(call->x, 0);
    if (!code && !may_put(d, data)) code = FIREHOSE_UNAVAILABLE.name;
    if (code) {
        aws_fail(call, &(aws_exception){code, strcmp(code, "InternalFailure") == 0 ? 500 : 503},
                 "%s", SLOW_DOWN);
        return;
    }
    if (!delivery_take(d, data)) {
        firehose_no_memory(call);
        return;
    }
    aws_out_open(&call->out, NULL);
    write_id(call);
    aws_out_bool(&call->out, "Encrypted", delivery_is_encrypted(d));
    delivery_settle(d);
    aws_end(call);
}

/* All of the request is checked before any of it is stored. */
static weir_str *read_records(aws_call *call, uint32_t *count) {
    const weir_value *list;
    uint64_t total = 0;
    if (!aws_container(call, call->in, "Records", WEIR_V_ARRAY, &list)) return NULL;
    if (!list || list->size < 1 || list->size > FIREHOSE_RECORDS_MAX) {
        char most[64];
        snprintf(most, sizeof most, "Member must have length less than or equal to %u",
                 FIREHOSE_RECORDS_MAX);
        firehose_invalid(call, list ? STR("[...]") : STR("null"), "records",
                         !list        ? "Member must not be null"
                         : list->size ? most
                                      : "Member must have length greater than or equal to 1");
        return NULL;
    }
    weir_str *data = arena_array(call->memory, list->size, sizeof *data);
    if (!data) {
        firehose_no_memory(call);
        return NULL;
    }
    const weir_value *item = list + 1;
    for (uint32_t i = 0; i < list->size; i++, item = weir_value_next(item)) {
        if (!read_data(call, item, (int)i, &data[i])) return NULL;
        total += data[i].len;
    }
    if (total > FIREHOSE_REQUEST_MAX) {
        aws_fail(call, &FIREHOSE_INVALID, "Records size exceeds %u MB limit",
                 FIREHOSE_REQUEST_MAX >> 20);
        return NULL;
    }
    *count = list->size;
    return data;
}

static void write_refusal(aws_out *o, const char *code) {
    aws_out_z(o, "ErrorCode", code);
    aws_out_z(o, "ErrorMessage",
              strcmp(code, "InternalFailure") == 0 ? "Internal Service Failure" : SLOW_DOWN);
}

void firehose_put_record_batch(aws_call *call) {
    delivery *d = firehose_stream(call, true);
    uint32_t count = 0, failed = 0;
    weir_str *data = d ? read_records(call, &count) : NULL;
    if (!data || !may_ask(call, d)) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "RequestResponses");
    for (uint32_t i = 0; i < count; i++) {
        const char *code = faults_record(call->x, i);
        if (!code && !may_put(d, data[i])) code = FIREHOSE_UNAVAILABLE.name;
        if (!code && !delivery_take(d, data[i])) code = FIREHOSE_INTERNAL.name;
        aws_out_open(o, NULL);
        if (code)
            write_refusal(o, code);
        else
            write_id(call);
        aws_out_close(o);
        failed += code != NULL;
    }
    aws_out_close_array(o);
    aws_out_i64(o, "FailedPutCount", failed);
    aws_out_bool(o, "Encrypted", delivery_is_encrypted(d));
    delivery_settle(d);
    aws_end(call);
}
