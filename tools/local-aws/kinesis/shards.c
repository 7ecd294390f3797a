/*
 * ListShards, and the operations that change them.
 */
#include "kinesis/stream.h"

#define KIND_SHARDS 'S'
#define PAGE_MAX 1000 /* shards of one answer, however many are asked for */

typedef enum filter_type {
    FROM_TRIM_HORIZON,
    AFTER_SHARD_ID,
    AT_TRIM_HORIZON,
    AT_LATEST,
    AT_TIMESTAMP,
    FROM_TIMESTAMP,
} filter_type;

static const char *const filter_names[] = {"FROM_TRIM_HORIZON", "AFTER_SHARD_ID", "AT_TRIM_HORIZON",
                                           "AT_LATEST",         "AT_TIMESTAMP",   "FROM_TIMESTAMP"};

typedef struct filter {
    filter_type type;
    int64_t ms;     /* of the AT_ and FROM_ kinds */
    uint32_t after; /* shards with an index of at least this */
    uint64_t limit;
} filter;

static bool passes(const filter *f, const shard *d) {
    if (d->gone || d->index < f->after) return false;
    switch (f->type) {
    case AT_LATEST:
        return !d->closed_ms;
    case AT_TRIM_HORIZON:
    case AT_TIMESTAMP:
        return d->created_ms <= f->ms && (!d->closed_ms || d->closed_ms > f->ms);
    case FROM_TRIM_HORIZON:
    case FROM_TIMESTAMP:
        return !d->closed_ms || d->closed_ms > f->ms;
    default:
        return true;
    }
}

static bool shard_index(weir_str id, uint32_t *out) {
    int64_t n;
    if (id.len != 20 || memcmp(id.ptr, "shardId-", 8) != 0 ||
        !str_to_i64(str_make(id.ptr + 8, 12), &n) || n < 0 || n > INT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool read_filter(aws_call *call, const stream *s, filter *f) {
    const weir_value *in = aws_in(call, "ShardFilter");
    int64_t horizon = stream_horizon_ms(s);
    *f = (filter){.type = FROM_TRIM_HORIZON, .ms = horizon};
    weir_str start = aws_in_str(call, "ExclusiveStartShardId");
    if (start.ptr) {
        if (!shard_index(start, &f->after)) {
            aws_fail(call, &KINESIS_INVALID, "Invalid ExclusiveStartShardId %.*s.", STR_FMT(start));
            return false;
        }
        f->after++;
    }
    if (!in) return true;
    weir_str type = weir_json_get_str(in, "Type", "");
    size_t i = 0;
    while (i < 6 && !str_eq_z(type, filter_names[i])) i++;
    if (i == 6) {
        kinesis_invalid(call, type, "shardFilter.type",
                        "Member must satisfy enum value set: [AT_TRIM_HORIZON, FROM_TIMESTAMP, "
                        "AFTER_SHARD_ID, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP]");
        return false;
    }
    f->type = (filter_type)i;
    if (f->type == AFTER_SHARD_ID) {
        uint32_t after;
        if (!shard_index(weir_json_get_str(in, "ShardId", ""), &after)) {
            aws_fail(call, &KINESIS_INVALID, "ShardFilter of type AFTER_SHARD_ID needs a ShardId.");
            return false;
        }
        if (after + 1 > f->after) f->after = after + 1;
    } else if (f->type == AT_TIMESTAMP || f->type == FROM_TIMESTAMP) {
        const weir_value *when = weir_json_get(in, "Timestamp");
        if (!when || !aws_time_ms(call, when, &f->ms) || f->ms > kinesis_now(s->of)) {
            aws_fail(call, &KINESIS_INVALID,
                     "ShardFilter of type %s needs a Timestamp that is not in the future.",
                     filter_names[i]);
            return false;
        }
        if (f->ms < horizon) f->ms = horizon;
    }
    return true;
}

/* A page's token carries the filter, so that the pages belong together. */
static stream *read_token(aws_call *call, weir_str text, filter *f) {
    kinesis *k = call->state;
    token t;
    char name[129];
    if (aws_in(call, "StreamName") || aws_in(call, "StreamCreationTimestamp") ||
        aws_in(call, "ExclusiveStartShardId")) {
        aws_fail(call, &KINESIS_INVALID, "NextToken and StreamName cannot be provided together.");
        return NULL;
    }
    stream *s = NULL;
    if (!token_read(k, text, &t, name) || t.kind != KIND_SHARDS) {
        aws_fail(call, &KINESIS_INVALID, "Invalid NextToken.");
        return NULL;
    }
    if (kinesis_now(k) - t.made_ms > KINESIS_TOKEN_MS) {
        aws_fail(call, &KINESIS_EXPIRED_TOKEN, "NextToken has expired.");
        return NULL;
    }
    s = map_get(k->streams, str_of(name));
    if (!s || (uint64_t)s->created_ms != t.stream) {
        aws_fail(call, &KINESIS_NOT_FOUND, "Stream %s under account %s not found.", name,
                 local_settings(call->home)->account);
        return NULL;
    }
    stream_trim(s);
    *f = (filter){
        .type = (filter_type)t.extra, .ms = (int64_t)t.position, .after = (uint32_t)t.shard};
    return s;
}

void kinesis_list_shards(aws_call *call) {
    weir_str next = aws_in_str(call, "NextToken");
    const weir_value *created = aws_in(call, "StreamCreationTimestamp");
    filter f;
    if (!kinesis_rate(call)) return;
    stream *s = next.ptr ? read_token(call, next, &f) : stream_of_call(call);
    if (!s || (!next.ptr && !read_filter(call, s, &f))) return;
    int64_t limit = weir_json_get_i64(call->in, "MaxResults", PAGE_MAX), ms;
    if (!kinesis_between(call, limit, "maxResults", 1, KINESIS_PAGE_MAX)) return;
    if (limit > PAGE_MAX) limit = PAGE_MAX;
    if (created && (!aws_time_ms(call, created, &ms) || ms / 1000 != s->created_ms / 1000)) {
        aws_fail(call, &KINESIS_NOT_FOUND, "Stream %s was not created at that time.", s->name);
        return;
    }
    if (s->status == CREATING || s->status == DELETING) {
        aws_fail(call, &KINESIS_IN_USE,
                 "Stream %s under account %s not ACTIVE, instead in state %s", s->name,
                 local_settings(call->home)->account, stream_status_name(s));
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Shards");
    int64_t n = 0;
    uint32_t i = 0;
    for (; i < s->shard_count; i++) {
        if (!passes(&f, s->shards[i])) continue;
        if (n++ == limit) break;
        shard_write(o, s, s->shards[i], NULL);
    }
    aws_out_close_array(o);
    if (i < s->shard_count) {
        char text[TOKEN_TEXT];
        token t = {KIND_SHARDS, (uint64_t)s->created_ms, i, (uint64_t)f.ms,
                   f.type,      kinesis_now(s->of)};
        token_write(s->of, &t, str_of(s->name), text);
        aws_out_z(o, "NextToken", text);
    }
    aws_end(call);
}

/* ---- resharding ---- */

static stream *to_reshard(aws_call *call) {
    stream *s = stream_of_call_active(call);
    if (!s || !s->on_demand) return s;
    aws_fail(call, &KINESIS_VALIDATION,
             "Stream %s under account %s is in On-Demand mode: its shards cannot be changed.",
             s->name, local_settings(call->home)->account);
    return NULL;
}

static shard *open_shard(aws_call *call, stream *s, const char *member) {
    weir_str id = aws_in_str(call, member);
    shard *d = stream_shard(s, id);
    if (!d) {
        aws_fail(call, &KINESIS_NOT_FOUND,
                 "Could not find shard %.*s in stream %s under account %s.", STR_FMT(id), s->name,
                 local_settings(call->home)->account);
        return NULL;
    }
    if (!d->closed_ms) return d;
    aws_fail(call, &KINESIS_INVALID,
             "Shard %.*s in stream %s under account %s has already been merged or "
             "split, and thus is not eligible for merging or splitting.",
             STR_FMT(id), s->name, local_settings(call->home)->account);
    return NULL;
}

void kinesis_split_shard(aws_call *call) {
    stream *s = to_reshard(call);
    shard *d = s ? open_shard(call, s, "ShardToSplit") : NULL;
    if (!d) return;
    hash_key at;
    weir_str text = aws_in_str(call, "NewStartingHashKey");
    if (!text.ptr || !hash_key_parse(text, &at)) {
        kinesis_invalid(call, text, "newStartingHashKey",
                        "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})");
        return;
    }
    if (at <= d->first || at > d->last) {
        aws_fail(
            call, &KINESIS_INVALID,
            "NewStartingHashKey %.*s used in SplitShard() on shard shardId-%012u in stream %s under "
            "account %s is not both greater than one plus the shard's StartingHashKey and less than "
            "the shard's EndingHashKey.",
            STR_FMT(text), d->index, s->name, local_settings(call->home)->account);
        return;
    }
    if (s->counted && !kinesis_may_add_shards(call, 1)) return;
    s->change = CHANGE_SPLIT;
    s->change_shard = d->index;
    s->change_at = at;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_merge_shards(aws_call *call) {
    stream *s = to_reshard(call);
    shard *a = s ? open_shard(call, s, "ShardToMerge") : NULL;
    shard *b = a ? open_shard(call, s, "AdjacentShardToMerge") : NULL;
    if (!b) return;
    const shard *low = a->first < b->first ? a : b, *high = low == a ? b : a;
    if (a == b || low->last + 1 != high->first) {
        aws_fail(
            call, &KINESIS_INVALID,
            "Shards shardId-%012u and shardId-%012u in stream %s under account %s are not an adjacent "
            "pair of shards eligible for merging",
            a->index, b->index, s->name, local_settings(call->home)->account);
        return;
    }
    s->change = CHANGE_MERGE;
    s->change_shard = a->index;
    s->change_other = b->index;
    stream_change(s, UPDATING);
    aws_end(call);
}

void kinesis_update_shard_count(aws_call *call) {
    stream *s = to_reshard(call);
    if (!s) return;
    int64_t target = weir_json_get_i64(call->in, "TargetShardCount", 0), now = s->open_count;
    weir_str scaling = aws_in_str(call, "ScalingType");
    if (!str_eq_z(scaling, "UNIFORM_SCALING")) {
        kinesis_invalid(call, scaling, "scalingType",
                        "Member must satisfy enum value set: [UNIFORM_SCALING]");
        return;
    }
    if (target < 1) {
        kinesis_invalid(call, STR("..."), "targetShardCount",
                        "Member must have value greater than or equal to 1");
        return;
    }
    if (target > now * 2 || target * 2 < now || target > (int64_t)KINESIS_SHARDS_MAX) {
        aws_fail(
            call, &KINESIS_LIMIT,
            "UpdateShardCount cannot scale %s over double or under half of your current open shard "
            "count. Current open shard count: %lld Target shard count: %lld",
            s->name, (long long)now, (long long)target);
        return;
    }
    int64_t at = kinesis_now(s->of);
    if (s->resized_ms[0] && at - s->resized_ms[0] < KINESIS_DAY_MS) {
        aws_fail(call, &KINESIS_LIMIT,
                 "UpdateShardCount cannot be used more than %u times in 24 hours on stream %s.",
                 KINESIS_RESIZES_MAX, s->name);
        return;
    }
    if (s->counted && !kinesis_may_add_shards(call, target - now)) return;
    memmove(s->resized_ms, s->resized_ms + 1, sizeof s->resized_ms - sizeof *s->resized_ms);
    s->resized_ms[KINESIS_RESIZES_MAX - 1] = at;
    s->change = CHANGE_COUNT;
    s->change_count = (uint32_t)target;
    stream_change(s, UPDATING);
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "StreamName", s->name);
    aws_out_z(o, "StreamARN", s->arn);
    aws_out_i64(o, "CurrentShardCount", now);
    aws_out_i64(o, "TargetShardCount", target);
    aws_end(call);
}
