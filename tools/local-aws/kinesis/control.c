/*
 * Streams as a whole: made, described, changed, deleted.
 */
#include "kinesis/stream.h"

#include <stdlib.h>

#include "base/mem.h"

bool kinesis_name_is_valid(weir_str name) {
    if (name.len < 1 || name.len > 128) return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

static bool mode_of(aws_call *call, bool *on_demand) {
    const weir_value *details = aws_in(call, "StreamModeDetails");
    *on_demand = false;
    if (!details) return true;
    weir_str mode = weir_json_get_str(details, "StreamMode", "");
    *on_demand = str_eq_z(mode, "ON_DEMAND");
    if (*on_demand || str_eq_z(mode, "PROVISIONED")) return true;
    kinesis_invalid(call, mode, "streamModeDetails.streamMode",
                    "Member must satisfy enum value set: [ON_DEMAND, PROVISIONED]");
    return false;
}

static bool record_size_of(aws_call *call, int64_t *kib) {
    const weir_value *v = aws_in(call, "MaxRecordSizeInKiB");
    if (!v) return true;
    *kib = v->type == WEIR_V_I64 ? v->as.i64 : 0;
    return kinesis_between(call, *kib, "maxRecordSizeInKiB", KINESIS_RECORD_KIB,
                           KINESIS_RECORD_KIB_MAX);
}

static uint32_t creating(kinesis *k) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    uint32_t n = 0;
    while (map_next(k->streams, &cursor, &name, &value)) n += ((stream *)value)->status == CREATING;
    return n;
}

/* Which shard a record goes to is always told by its key here: another strategy is refused rather
 * than taken and not followed. */
static bool distribution_is_known(aws_call *call) {
    weir_str strategy = aws_in_str(call, "RecordDistributionStrategy");
    if (!strategy.ptr || str_eq_z(strategy, "USER_PARTITION_KEY")) return true;
    kinesis_invalid(call, strategy, "recordDistributionStrategy",
                    "Member must be USER_PARTITION_KEY: weir-local knows no other");
    return false;
}

void kinesis_create_stream(aws_call *call) {
    kinesis *k = call->state;
    weir_str name = aws_in_str(call, "StreamName");
    bool on_demand;
    int64_t shards = weir_json_get_i64(call->in, "ShardCount", 0), kib = KINESIS_RECORD_KIB;
    int64_t warm = 0;
    if (!kinesis_rate(call)) return;
    if (!kinesis_name_is_valid(name)) {
        kinesis_invalid(call, name, "streamName",
                        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]{1,128}");
        return;
    }
    if (!mode_of(call, &on_demand) || !record_size_of(call, &kib)) return;
    if (!kinesis_warm_of(call, on_demand, &warm) || !distribution_is_known(call)) return;
    if (on_demand)
        shards = kinesis_warm_shards(warm);
    else if (!kinesis_between(call, shards, "shardCount", 1, KINESIS_SHARDS_MAX))
        return;
    if (map_get(k->streams, name)) {
        aws_fail(call, &KINESIS_IN_USE, "Stream %.*s under account %s already exists.",
                 STR_FMT(name), local_settings(call->home)->account);
        return;
    }
    if (k->limits && creating(k) >= KINESIS_CREATING_MAX) {
        aws_fail(call, &KINESIS_LIMIT, "Only %u streams can be concurrently created.",
                 KINESIS_CREATING_MAX);
        return;
    }
    if (on_demand ? !kinesis_may_add_on_demand(call) : !kinesis_may_add_shards(call, shards))
        return;
    stream *s = stream_new(k, name, (uint32_t)shards, CREATING);
    if (!s) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return;
    }
    s->on_demand = on_demand;
    s->counted = true;
    s->warm_mib = warm;
    s->record_kib = kib;
    if (!kinesis_add_tag_map(call, &s->tags, aws_in(call, "Tags"))) {
        map_remove(k->streams, str_of(s->name)); /* `name` went with the call */
        stream_free(s);
        return;
    }
    aws_end(call);
}

void kinesis_delete_stream(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    if (s->consumers && !weir_json_get_bool(call->in, "EnforceConsumerDeletion", 0)) {
        aws_fail(
            call, &KINESIS_IN_USE,
            "Stream %s under account %s has registered consumers: set EnforceConsumerDeletion.",
            s->name, local_settings(call->home)->account);
        return;
    }
    for (consumer *c = s->consumers; c; c = c->next)
        consumer_end_subscriptions(s->of, c, "ResourceNotFoundException",
                                   "the stream is being deleted");
    s->change = CHANGE_NONE;
    stream_change(s, DELETING);
    aws_end(call);
}

/* ---- describing ---- */

static void write_common(aws_out *o, const stream *s) {
    aws_out_z(o, "StreamName", s->name);
    aws_out_z(o, "StreamARN", s->arn);
    aws_out_z(o, "StreamStatus", stream_status_name(s));
    aws_out_open(o, "StreamModeDetails");
    aws_out_z(o, "StreamMode", s->on_demand ? "ON_DEMAND" : "PROVISIONED");
    aws_out_close(o);
    aws_out_i64(o, "RetentionPeriodHours", s->retention_h);
    aws_out_time_ms(o, "StreamCreationTimestamp", s->created_ms);
    aws_out_open_array(o, "EnhancedMonitoring");
    aws_out_open(o, NULL);
    aws_out_open_array(o, "ShardLevelMetrics");
    aws_out_close_array(o);
    aws_out_close(o);
    aws_out_close_array(o);
    aws_out_z(o, "EncryptionType", s->kms_key ? "KMS" : "NONE");
    if (s->kms_key) aws_out_z(o, "KeyId", s->kms_key);
}

void kinesis_describe_stream_summary(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    int64_t consumers = 0;
    for (const consumer *c = s->consumers; c; c = c->next) consumers++;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open(o, "StreamDescriptionSummary");
    write_common(o, s);
    aws_out_i64(o, "OpenShardCount", s->status == CREATING ? 0 : s->open_count);
    aws_out_i64(o, "ConsumerCount", consumers);
    kinesis_write_warm(o, s);
    aws_out_i64(o, "MaxRecordSizeInKiB", s->record_kib);
    aws_out_close(o);
    aws_end(call);
}

void kinesis_describe_stream(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    int64_t limit = weir_json_get_i64(call->in, "Limit", 100);
    if (!kinesis_between(call, limit, "limit", 1, KINESIS_PAGE_MAX)) return;
    weir_str from = aws_in_str(call, "ExclusiveStartShardId");
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open(o, "StreamDescription");
    write_common(o, s);
    aws_out_open_array(o, "Shards");
    bool more = false;
    int64_t n = 0;
    for (uint32_t i = 0; i < s->shard_count && s->status != CREATING; i++) {
        char id[24];
        shard_id(s->shards[i], id);
        if (s->shards[i]->gone || (from.ptr && str_cmp(str_of(id), from) <= 0)) continue;
        if (n++ == limit) {
            more = true;
            break;
        }
        shard_write(o, s, s->shards[i], NULL);
    }
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreShards", more);
    aws_out_close(o);
    aws_end(call);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(stream *const *)a)->name, (*(stream *const *)b)->name);
}

void kinesis_list_streams(aws_call *call) {
    kinesis *k = call->state;
    if (!kinesis_rate(call)) return;
    int64_t limit = weir_json_get_i64(call->in, "Limit", 100);
    weir_str from = aws_in_str(call, "ExclusiveStartStreamName"),
             next = aws_in_str(call, "NextToken");
    if (next.ptr) from = next;
    if (!kinesis_between(call, limit, "limit", 1, KINESIS_PAGE_MAX)) return;
    size_t count = map_count(k->streams), n = 0, cursor = 0;
    stream **all = arena_array(call->memory, count + 1, sizeof(stream *));
    weir_str name;
    void *value;
    while (all && map_next(k->streams, &cursor, &name, &value)) all[n++] = value;
    if (all) qsort(all, n, sizeof(stream *), by_name);
    size_t first = 0;
    while (first < n && from.ptr && str_cmp(str_of(all[first]->name), from) <= 0) first++;
    size_t end = n - first > (size_t)limit ? first + (size_t)limit : n;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "StreamNames");
    for (size_t i = first; i < end; i++) aws_out_z(o, NULL, all[i]->name);
    aws_out_close_array(o);
    aws_out_open_array(o, "StreamSummaries");
    for (size_t i = first; i < end; i++) {
        aws_out_open(o, NULL);
        aws_out_z(o, "StreamName", all[i]->name);
        aws_out_z(o, "StreamARN", all[i]->arn);
        aws_out_z(o, "StreamStatus", stream_status_name(all[i]));
        aws_out_open(o, "StreamModeDetails");
        aws_out_z(o, "StreamMode", all[i]->on_demand ? "ON_DEMAND" : "PROVISIONED");
        aws_out_close(o);
        aws_out_time_ms(o, "StreamCreationTimestamp", all[i]->created_ms);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreStreams", end < n);
    if (end < n) aws_out_z(o, "NextToken", all[end - 1]->name);
    aws_end(call);
}

/* ---- changing ---- */

stream *stream_of_call_active(aws_call *call) {
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s || s->status == ACTIVE) return s;
    aws_fail(call, &KINESIS_IN_USE, "Stream %s under account %s not ACTIVE, instead in state %s",
             s->name, local_settings(call->home)->account, stream_status_name(s));
    return NULL;
}

static void set_retention(aws_call *call, bool up) {
    stream *s = stream_of_call_active(call);
    if (!s) return;
    int64_t hours = weir_json_get_i64(call->in, "RetentionPeriodHours", 0);
    bool short_of = hours < KINESIS_RETENTION_H_MIN;
    if (short_of || hours > KINESIS_RETENTION_H_MAX) {
        aws_fail(call, &KINESIS_INVALID,
                 "%s allowed retention period is %d hours. Requested retention "
                 "period (%lld hours) is too %s.",
                 short_of ? "Minimum" : "Maximum",
                 short_of ? KINESIS_RETENTION_H_MIN : KINESIS_RETENTION_H_MAX, (long long)hours,
                 short_of ? "short" : "long");
        return;
    }
    if (up ? hours < s->retention_h : hours > s->retention_h) {
        aws_fail(
            call, &KINESIS_INVALID,
            "Requested retention period (%lld hours) for stream %s can not be %s than existing "
            "retention period (%lld hours). Use %s API.",
            (long long)hours, s->name, up ? "shorter" : "longer", (long long)s->retention_h,
            up ? "DecreaseRetentionPeriod" : "IncreaseRetentionPeriod");
        return;
    }
    s->retention_h = hours;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_increase_retention(aws_call *call) {
    set_retention(call, true);
}

void kinesis_decrease_retention(aws_call *call) {
    set_retention(call, false);
}

void kinesis_start_encryption(aws_call *call) {
    weir_str key = aws_in_str(call, "KeyId"), type = aws_in_str(call, "EncryptionType");
    stream *s = stream_of_call_active(call);
    if (!s) return;
    if (!str_eq_z(type, "KMS") || !key.len || key.len > 2048) {
        kinesis_invalid(call, type, "encryptionType", "Member must be KMS, with a KeyId");
        return;
    }
    char *copy = mem_alloc((size_t)key.len + 1);
    if (!copy) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return;
    }
    memcpy(copy, key.ptr, (size_t)key.len);
    copy[key.len] = 0;
    mem_free(s->kms_key);
    s->kms_key = copy;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_stop_encryption(aws_call *call) {
    stream *s = stream_of_call_active(call);
    if (!s) return;
    mem_free(s->kms_key);
    s->kms_key = NULL;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_update_max_record_size(aws_call *call) {
    int64_t kib = 0;
    stream *s = stream_of_call_active(call);
    if (!s) return;
    if (!aws_in(call, "MaxRecordSizeInKiB")) {
        kinesis_invalid(call, STR("null"), "maxRecordSizeInKiB", "Member must not be null");
        return;
    }
    if (!record_size_of(call, &kib)) return;
    s->record_kib = kib;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_update_stream_mode(aws_call *call) {
    bool on_demand;
    stream *s = stream_of_call_active(call);
    if (!s || !mode_of(call, &on_demand)) return;
    int64_t warm = on_demand ? s->warm_mib : 0;
    if (!kinesis_warm_of(call, on_demand, &warm)) return;
    if (on_demand && !s->on_demand && !kinesis_may_add_on_demand(call)) return;
    if (!on_demand && s->on_demand && s->counted && !kinesis_may_add_shards(call, s->open_count))
        return;
    s->on_demand = on_demand;
    s->warm_mib = warm;
    /* Without warm throughput the shards stay as they are until traffic asks for more. */
    if (warm > (int64_t)s->open_count) {
        s->change = CHANGE_COUNT;
        s->change_count = kinesis_warm_shards(warm);
    }
    stream_change(s, UPDATING);
    aws_end(call);
}

static void monitoring(aws_call *call) {
    stream *s = stream_of_call(call);
    if (!s) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "StreamName", s->name);
    aws_out_z(o, "StreamARN", s->arn);
    aws_out_open_array(o, "CurrentShardLevelMetrics");
    aws_out_close_array(o);
    aws_out_open_array(o, "DesiredShardLevelMetrics");
    aws_out_close_array(o);
    aws_end(call);
}

void kinesis_enable_monitoring(aws_call *call) {
    monitoring(call);
}

void kinesis_disable_monitoring(aws_call *call) {
    monitoring(call);
}
