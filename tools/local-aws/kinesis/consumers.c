/*
 * Consumers of enhanced fan-out: registered names; their subscriptions are in subscribe.c.
 */
#include <stdio.h>

#include "base/mem.h"
#include "kinesis/stream.h"

#define KIND_CONSUMERS 'C'
#define CONSUMERS_PAGE_MAX 100

consumer *stream_consumer(stream *s, weir_str name) {
    for (consumer *c = s->consumers; c; c = c->next)
        if (str_eq_z(name, c->name)) return c;
    return NULL;
}

static const char *status_of(const stream *s, const consumer *c) {
    if (c->deleting) return "DELETING";
    return kinesis_now(s->of) - c->created_ms < KINESIS_CHANGE_MS ? "CREATING" : "ACTIVE";
}

static void write_consumer(aws_out *o, const stream *s, const consumer *c, const char *name,
                           bool of_stream) {
    aws_out_open(o, name);
    aws_out_z(o, "ConsumerName", c->name);
    aws_out_z(o, "ConsumerARN", c->arn);
    aws_out_z(o, "ConsumerStatus", status_of(s, c));
    aws_out_time_ms(o, "ConsumerCreationTimestamp", c->created_ms);
    if (of_stream) aws_out_z(o, "StreamARN", s->arn);
    aws_out_close(o);
}

consumer *consumer_new(stream *s, weir_str name, int64_t created_ms) {
    consumer *c = mem_zalloc(sizeof *c);
    if (!c) return NULL;
    char arn[1024];
    c->created_ms = created_ms;
    int n = snprintf(arn, sizeof arn, "%s/consumer/%.*s:%lld", s->arn, STR_FMT(name),
                     (long long)(c->created_ms / 1000));
    c->name = mem_zalloc((size_t)name.len + 1);
    c->arn = mem_zalloc((size_t)n + 1);
    if (!c->name || !c->arn) {
        mem_free(c->name);
        mem_free(c->arn);
        mem_free(c);
        return NULL;
    }
    memcpy(c->name, name.ptr, (size_t)name.len);
    memcpy(c->arn, arn, (size_t)n);
    return c;
}

void stream_add_consumer(stream *s, consumer *c) {
    consumer **last = &s->consumers;
    while (*last) last = &(*last)->next;
    *last = c;
}

void consumer_free(consumer *c) {
    subscriptions_free(c);
    aws_tags_free(&c->tags);
    mem_free(c->policy);
    mem_free(c->name);
    mem_free(c->arn);
    mem_free(c);
}

void kinesis_register_consumer(aws_call *call) {
    weir_str name = aws_in_str(call, "ConsumerName");
    stream *s = kinesis_rate(call) ? stream_of_call_usable(call) : NULL;
    if (!s) return;
    if (!kinesis_name_is_valid(name)) {
        kinesis_invalid(call, name, "consumerName",
                        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
        return;
    }
    uint32_t count = 0, creating = 0;
    for (const consumer *c = s->consumers; c; c = c->next) {
        count++;
        creating += status_of(s, c)[0] == 'C';
    }
    if (stream_consumer(s, name)) {
        aws_fail(call, &KINESIS_IN_USE,
                 "Consumer %.*s under stream %s already exists for account %s.", STR_FMT(name),
                 s->name, local_settings(call->home)->account);
        return;
    }
    if (count >= KINESIS_CONSUMERS_MAX || creating >= KINESIS_CREATING_MAX) {
        aws_fail(call, &KINESIS_LIMIT,
                 count >= KINESIS_CONSUMERS_MAX
                     ? "Stream %s has as many consumers as it may."
                     : "Stream %s has as many consumers in CREATING as it may.",
                 s->name);
        return;
    }
    consumer *c = consumer_new(s, name, kinesis_now(s->of));
    if (!c) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return;
    }
    if (!kinesis_add_tag_map(call, &c->tags, aws_in(call, "Tags"))) {
        consumer_free(c);
        return;
    }
    stream_add_consumer(s, c);
    aws_out_open(&call->out, NULL);
    write_consumer(&call->out, s, c, "Consumer", false);
    aws_end(call);
}

/* By ConsumerARN, or StreamARN and ConsumerName. NULL: the call has failed. */
static consumer *of_call(aws_call *call, stream **stream_out) {
    kinesis *k = call->state;
    weir_str arn = aws_in_str(call, "ConsumerARN"), name = aws_in_str(call, "ConsumerName"),
             stream_arn = aws_in_str(call, "StreamARN");
    if (!arn.ptr && !(name.ptr && stream_arn.ptr)) {
        aws_fail(call, &KINESIS_INVALID,
                 "ConsumerARN, or StreamARN and ConsumerName, must be provided.");
        return NULL;
    }
    size_t cursor = 0;
    weir_str key;
    void *value;
    while (map_next(k->streams, &cursor, &key, &value)) {
        stream *s = value;
        for (consumer *c = s->consumers; c; c = c->next) {
            bool same = arn.ptr ? str_eq_z(arn, c->arn)
                                : str_eq_z(name, c->name) && str_eq_z(stream_arn, s->arn);
            if (!same) continue;
            *stream_out = s;
            return c;
        }
    }
    aws_fail(call, &KINESIS_NOT_FOUND, "Consumer %.*s, account %s not found.",
             STR_FMT(arn.ptr ? arn : name), local_settings(call->home)->account);
    return NULL;
}

void kinesis_describe_consumer(aws_call *call) {
    stream *s;
    consumer *c = kinesis_rate(call) ? of_call(call, &s) : NULL;
    if (!c) return;
    aws_out_open(&call->out, NULL);
    write_consumer(&call->out, s, c, "ConsumerDescription", true);
    aws_end(call);
}

void kinesis_deregister_consumer(aws_call *call) {
    stream *s;
    consumer *c = kinesis_rate(call) ? of_call(call, &s) : NULL;
    if (!c) return;
    consumer_end_subscriptions(s->of, c, "ResourceNotFoundException",
                               "the consumer was deregistered");
    consumer **at = &s->consumers;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    consumer_free(c);
    aws_end(call);
}

void kinesis_list_consumers(aws_call *call) {
    kinesis *k = call->state;
    stream *s = kinesis_rate(call) ? stream_of_call(call) : NULL;
    if (!s) return;
    int64_t limit = weir_json_get_i64(call->in, "MaxResults", CONSUMERS_PAGE_MAX);
    if (!kinesis_between(call, limit, "maxResults", 1, CONSUMERS_PAGE_MAX)) return;
    uint64_t skip = 0;
    weir_str next = aws_in_str(call, "NextToken");
    token t;
    char name[129];
    if (next.ptr && (!token_read(k, next, &t, name) || t.kind != KIND_CONSUMERS)) {
        aws_fail(call, &KINESIS_INVALID, "Invalid NextToken.");
        return;
    }
    if (next.ptr && kinesis_now(k) - t.made_ms > KINESIS_TOKEN_MS) {
        aws_fail(call, &KINESIS_EXPIRED_TOKEN, "NextToken has expired.");
        return;
    }
    if (next.ptr) skip = t.position;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Consumers");
    uint64_t at = 0;
    const consumer *c = s->consumers;
    for (; c; c = c->next, at++) {
        if (at < skip) continue;
        if (at == skip + (uint64_t)limit) break;
        write_consumer(o, s, c, NULL, false);
    }
    aws_out_close_array(o);
    if (c) {
        char text[TOKEN_TEXT];
        t = (token){KIND_CONSUMERS, (uint64_t)s->created_ms, 0, at, 0, kinesis_now(k)};
        token_write(k, &t, str_of(s->name), text);
        aws_out_z(o, "NextToken", text);
    }
    aws_end(call);
}
