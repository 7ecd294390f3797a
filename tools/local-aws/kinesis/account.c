/*
 * What the account as a whole may have, and its settings.
 */
#include "kinesis/stream.h"

uint32_t kinesis_account_shards_of(const char *region) {
    return aws_region_is_large(region) ? KINESIS_ACCOUNT_SHARDS_LARGE : KINESIS_ACCOUNT_SHARDS;
}

uint32_t kinesis_on_demand_max(const char *region) {
    return aws_region_is_large(region) ? KINESIS_ON_DEMAND_SHARDS_LARGE_MAX
                                       : KINESIS_ON_DEMAND_SHARDS_MAX;
}

/* ---- shards and streams ---- */

/* The open shards of a stream when what goes on at it is done. */
static int64_t shards_to_be(const stream *s) {
    if (s->change == CHANGE_SPLIT) return (int64_t)s->open_count + 1;
    if (s->change == CHANGE_COUNT && s->change_count > s->open_count) return s->change_count;
    return s->open_count;
}

typedef struct usage {
    int64_t open;      /* shards of all streams */
    int64_t counted;   /* of those that count against the account's limit */
    int64_t on_demand; /* streams */
} usage;

static usage usage_of(const kinesis *k) {
    usage u = {0};
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(k->streams, &cursor, &name, &value)) {
        const stream *s = value;
        u.open += s->open_count;
        if (s->counted && !s->on_demand) u.counted += shards_to_be(s);
        u.on_demand += s->on_demand;
    }
    return u;
}

bool kinesis_may_add_shards(aws_call *call, int64_t more) {
    kinesis *k = call->state;
    const local_options *o = local_settings(k->home);
    int64_t now = usage_of(k).counted;
    if (!k->limits || more <= 0 || now + more <= (int64_t)k->account_shards) return true;
    aws_fail(call, &KINESIS_LIMIT,
             "This request would exceed the shard limit for the account %s in %s. Current shard "
             "count for the account: %lld. Limit: %u. Number of additional shards that would have "
             "resulted from this request: %lld.",
             o->account, o->region, (long long)now, k->account_shards, (long long)more);
    return false;
}

bool kinesis_may_add_on_demand(aws_call *call) {
    kinesis *k = call->state;
    const local_options *o = local_settings(k->home);
    if (!k->limits || usage_of(k).on_demand < (int64_t)KINESIS_ON_DEMAND_STREAMS_MAX) return true;
    aws_fail(
        call, &KINESIS_LIMIT,
        "This request would exceed the limit of %u on-demand streams for the account %s in %s.",
        KINESIS_ON_DEMAND_STREAMS_MAX, o->account, o->region);
    return false;
}

void kinesis_describe_limits(aws_call *call) {
    kinesis *k = call->state;
    if (!kinesis_rate(call)) return;
    usage u = usage_of(k);
    aws_out_open(&call->out, NULL);
    aws_out_i64(&call->out, "ShardLimit", k->account_shards);
    aws_out_i64(&call->out, "OpenShardCount", u.open);
    aws_out_i64(&call->out, "OnDemandStreamCount", u.on_demand);
    aws_out_i64(&call->out, "OnDemandStreamCountLimit", KINESIS_ON_DEMAND_STREAMS_MAX);
    aws_end(call);
}

/* ---- the billing commitment ---- */

bool kinesis_committed(const kinesis *k) {
    const commitment *c = &k->billing;
    return c->started_ms && (!c->ended_ms || kinesis_now(k) < c->ended_ms);
}

static void write_commitment(aws_call *call) {
    const kinesis *k = call->state;
    const commitment *c = &k->billing;
    bool on = kinesis_committed(k);
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open(o, "MinimumThroughputBillingCommitment");
    aws_out_z(o, "Status",
              !on           ? "DISABLED"
              : c->ended_ms ? "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
                            : "ENABLED");
    if (c->started_ms) aws_out_time_ms(o, "StartedAt", c->started_ms);
    if (c->started_ms && !on) aws_out_time_ms(o, "EndedAt", c->ended_ms);
    if (on) aws_out_time_ms(o, "EarliestAllowedEndAt", c->started_ms + KINESIS_COMMITMENT_MS);
    aws_out_close(o);
    aws_end(call);
}

void kinesis_describe_account_settings(aws_call *call) {
    if (kinesis_rate(call)) write_commitment(call);
}

void kinesis_update_account_settings(aws_call *call) {
    kinesis *k = call->state;
    if (!kinesis_rate(call)) return;
    const weir_value *wanted;
    weir_str status;
    if (!aws_container(call, call->in, "MinimumThroughputBillingCommitment", WEIR_V_OBJECT,
                       &wanted) ||
        !aws_member(call, wanted, "Status", &status))
        return;
    if (!wanted || !status.ptr) {
        kinesis_invalid(call, STR("null"),
                        wanted ? "minimumThroughputBillingCommitment.status"
                               : "minimumThroughputBillingCommitment",
                        "Member must not be null");
        return;
    }
    bool enable = str_eq_z(status, "ENABLED");
    if (!enable && !str_eq_z(status, "DISABLED")) {
        kinesis_invalid(call, status, "minimumThroughputBillingCommitment.status",
                        "Member must satisfy enum value set: [ENABLED, DISABLED]");
        return;
    }
    commitment *c = &k->billing;
    int64_t now = kinesis_now(k);
    if (enable && kinesis_committed(k)) {
        c->ended_ms = 0; /* an end that was ordered is called off */
    } else if (enable) {
        *c = (commitment){.started_ms = now};
    } else if (kinesis_committed(k) && !c->ended_ms) {
        int64_t earliest = c->started_ms + KINESIS_COMMITMENT_MS;
        c->ended_ms = now < earliest ? earliest : now;
    }
    write_commitment(call);
}
