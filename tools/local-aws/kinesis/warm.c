/*
 * Warm throughput: MiB a second that an on-demand stream takes before traffic has made it grow.
 */
#include "kinesis/stream.h"

uint32_t kinesis_warm_shards(int64_t mib) {
    return mib > (int64_t)KINESIS_ON_DEMAND_SHARDS ? (uint32_t)mib : KINESIS_ON_DEMAND_SHARDS;
}

bool kinesis_warm_of(aws_call *call, bool on_demand, int64_t *mib) {
    kinesis *k = call->state;
    const weir_value *v = aws_in(call, "WarmThroughputMiBps");
    int64_t wanted, most = kinesis_on_demand_max(local_settings(k->home)->region);
    if (!v) return true;
    if (!aws_number(call, call->in, "WarmThroughputMiBps", 0, &wanted)) return false;
    if (wanted < 0) {
        kinesis_invalid(call, STR("..."), "warmThroughputMiBps",
                        "Member must have value greater than or equal to 0");
        return false;
    }
    if (!on_demand) {
        aws_fail(call, &KINESIS_VALIDATION,
                 "WarmThroughputMiBps is only supported for streams in On-Demand mode.");
        return false;
    }
    if (!kinesis_committed(k)) {
        aws_fail(call, &KINESIS_VALIDATION,
                 "WarmThroughputMiBps is only supported for accounts that have "
                 "MinimumThroughputBillingCommitment enabled.");
        return false;
    }
    if (k->limits && wanted > most) {
        aws_fail(call, &KINESIS_LIMIT,
                 "WarmThroughputMiBps of %lld exceeds the limit of %lld for an On-Demand stream.",
                 (long long)wanted, (long long)most);
        return false;
    }
    /* What the state of a stream can hold, with limits switched off as well. */
    if (wanted > (int64_t)KINESIS_ON_DEMAND_SHARDS_LARGE_MAX) {
        kinesis_between(call, wanted, "warmThroughputMiBps", 0, KINESIS_ON_DEMAND_SHARDS_LARGE_MAX);
        return false;
    }
    *mib = wanted;
    return true;
}

void kinesis_write_warm(aws_out *o, const stream *s) {
    if (!s->on_demand || !kinesis_committed(s->of)) return;
    aws_out_open(o, "WarmThroughput");
    aws_out_i64(o, "TargetMiBps", s->warm_mib);
    /* One MiB a second for each shard. */
    aws_out_i64(o, "CurrentMiBps", s->status == CREATING ? 0 : s->open_count);
    aws_out_close(o);
}

void kinesis_update_warm_throughput(aws_call *call) {
    stream *s = stream_of_call_active(call);
    if (!s) return;
    if (!aws_in(call, "WarmThroughputMiBps")) {
        kinesis_invalid(call, STR("null"), "warmThroughputMiBps", "Member must not be null");
        return;
    }
    if (!kinesis_warm_of(call, s->on_demand, &s->warm_mib)) return;
    uint32_t shards = kinesis_warm_shards(s->warm_mib);
    if (shards != s->open_count) {
        s->change = CHANGE_COUNT;
        s->change_count = shards;
    }
    stream_change(s, UPDATING);
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "StreamARN", s->arn);
    aws_out_z(o, "StreamName", s->name);
    kinesis_write_warm(o, s);
    aws_end(call);
}
