/*
 * SubscribeToShard: records pushed as frames of an event stream for five minutes.
 *
 * A subscription belongs to its consumer and outlives its stream of events, since the time of the
 * last successful call decides about the next one:
 *
 *     call within 5 s of the last success      ResourceInUseException
 *     later, the old stream still open         the old one ends with that exception, the new wins
 */
#include "admin/faults.h"
#include "aws/shell.h"
#include "base/mem.h"
#include "eventstream.h"
#include "kinesis/stream.h"

#define AGAIN_MS 5000
#define GATHER_MS 10           /* puts of so long go out together */
#define EVENT_BYTES (1u << 20) /* data of one event, at least a record */
#define PENDING_MAX ((size_t)4 << 20)

typedef struct subscription {
    struct subscription *next;
    stream *of;
    uint32_t shard;
    int64_t started_ms, said_ms; /* the call, the last event */
    exchange *x;                 /* NULL: it is over */
    uint64_t position;
    uint64_t frames;
    aws_encoding encoding;
    aws_budget bytes;
    server_timer *timer;
} subscription;

static void push(void *opaque);

/* ---- frames ---- */

static void finish(subscription *u) {
    exchange *x = u->x;
    if (!x) return;
    u->x = NULL;
    server_timer_clear(u->timer);
    exchange_end(x);
}

static void send_frame(subscription *u, const char *message_type, const char *type_name,
                       const char *type, weir_str payload) {
    exchange *x = u->x;
    const char *content =
        u->encoding == AWS_CBOR ? "application/x-amz-cbor-1.1" : "application/x-amz-json-1.1";
    weir_es_header headers[] = {
        {.name = str_of(type_name), .type = WEIR_ES_STRING, .value = str_of(type)},
        {.name = STR(":content-type"), .type = WEIR_ES_STRING, .value = str_of(content)},
        {.name = STR(":message-type"), .type = WEIR_ES_STRING, .value = str_of(message_type)},
    };
    buf b, shaped;
    buf_init(&b, WEIR_ES_FRAME_MAX);
    buf_init(&shaped, WEIR_ES_PAYLOAD_MAX);
    if (faults_payload(x, u->encoding, payload, &shaped)) payload = buf_str(&shaped);
    uint64_t n = weir_es_size(headers, 3, payload.len);
    if (!n || !buf_reserve(&b, (size_t)n)) {
        buf_free(&shaped);
        exchange_abort(x);
        u->x = NULL;
        return;
    }
    weir_es_write(headers, 3, payload, b.data);
    b.len = (size_t)n;
    buf_free(&shaped);
    bool last = faults_frame(x, u->frames++, &b);
    exchange_refer(x, b.data, b.len, mem_free, b.data);
    if (last) finish(u);
}

static void end_with(subscription *u, const char *exception, const char *message) {
    if (!u->x) return;
    aws_out o;
    aws_out_init(&o, u->encoding, 65536);
    aws_out_open(&o, NULL);
    aws_out_z(&o, "message", message);
    aws_out_close(&o);
    send_frame(u, "exception", ":exception-type", exception, buf_str(&o.text));
    buf_free(&o.text);
    finish(u);
}

/* One event of what is in `e`, which may be nothing. */
static void send_event(subscription *u, const shard *d, const extent *e, bool last) {
    aws_out o;
    char text[SEQUENCE_TEXT];
    aws_out_init(&o, u->encoding, WEIR_ES_PAYLOAD_MAX);
    bool nulls = faults_number(u->x, "nulls", 0) != 0;
    aws_out_open(&o, NULL);
    shard_write_records(&o, u->of, d, e);
    if (!last) {
        int64_t ms =
            e->to > e->from ? shard_record(d, e->to - 1)->arrival_ms : kinesis_now(u->of->of);
        shard_sequence(u->of, d, e->to - 1, ms, text);
        aws_out_z(&o, "ContinuationSequenceNumber", text);
        if (nulls) aws_out_null(&o, "ChildShards");
    } else {
        if (nulls) aws_out_null(&o, "ContinuationSequenceNumber");
        shard_write_children(&o, u->of, d);
    }
    aws_out_i64(&o, "MillisBehindLatest", shard_behind_ms(u->of, d, e));
    aws_out_close(&o);
    if (o.text.failed) {
        exchange_abort(u->x);
        u->x = NULL;
    } else {
        bool unknown = faults_number(u->x, "unknown_event_at", -1) == (int64_t)u->frames;
        send_frame(u, "event", ":event-type", unknown ? "SomethingNew" : "SubscribeToShardEvent",
                   buf_str(&o.text));
    }
    buf_free(&o.text);
    u->said_ms = kinesis_now(u->of->of);
}

/* ---- the flow ---- */

static bool silent(const subscription *u) {
    int64_t after = faults_number(u->x, "silent_after", -1);
    return after >= 0 && (int64_t)u->frames >= after;
}

static void push(void *opaque) {
    subscription *u = opaque;
    if (!u->x) return;
    stream *s = u->of;
    const kinesis *k = s->of;
    int64_t now = kinesis_now(k), end = u->started_ms + k->subscription_ms;
    shard *d = s->shards[u->shard];
    if (now >= end) {
        finish(u);
        return;
    }
    bool mute = silent(u), wait = false;
    if (!mute && faults_number(u->x, "exception_at", -1) == (int64_t)u->frames) {
        end_with(u, faults_text(u->x, "exception", "InternalFailureException"),
                 "a fault rule says so");
        return;
    }
    while (!mute && u->x && u->position < d->next && !wait) {
        wait = exchange_pending(u->x) > PENDING_MAX ||
               (k->limits && !aws_budget_spend(&u->bytes, 1, now));
        if (wait) break;
        extent e = shard_extent(d, u->position, KINESIS_READ_RECORDS_MAX, EVENT_BYTES);
        if (k->limits) aws_budget_take(&u->bytes, (double)e.data_bytes);
        u->position = e.to;
        send_event(u, d, &e, false);
        mute = u->x && silent(u);
    }
    if (!u->x) return;
    extent none = {u->position, u->position, 0};
    if (!mute && d->closed_ms && u->position >= d->next) {
        send_event(u, d, &none, true);
        finish(u);
        return;
    }
    if (!mute && now - u->said_ms >= k->event_every_ms) send_event(u, d, &none, false);
    if (!u->x) return;
    int64_t next = wait ? 20 : u->said_ms + k->event_every_ms - now;
    if (mute || next > end - now) next = end - now;
    server_timer_set(u->timer, next);
}

void subscriptions_wake(stream *s, const shard *d) {
    for (consumer *c = s->consumers; c; c = c->next)
        for (subscription *u = c->subscriptions; u; u = u->next)
            if (u->x && u->shard == d->index && (u->position < d->next || d->closed_ms))
                server_timer_set(u->timer, GATHER_MS);
}

void consumer_end_subscriptions(kinesis *k, consumer *c, const char *exception,
                                const char *message) {
    (void)k;
    for (subscription *u = c->subscriptions; u; u = u->next) end_with(u, exception, message);
}

void subscriptions_free(consumer *c) {
    while (c->subscriptions) {
        subscription *u = c->subscriptions;
        c->subscriptions = u->next;
        server_timer_free(u->timer);
        mem_free(u);
    }
}

/* ---- the call ---- */

static void lost(void *opaque) {
    subscription *u = opaque;
    u->x = NULL;
    server_timer_clear(u->timer);
}

static consumer *of_arn(aws_call *call, stream **stream_out) {
    kinesis *k = call->state;
    weir_str arn = aws_in_str(call, "ConsumerARN");
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (arn.ptr && map_next(k->streams, &cursor, &name, &value)) {
        stream *s = value;
        for (consumer *c = s->consumers; c; c = c->next) {
            if (!str_eq_z(arn, c->arn)) continue;
            *stream_out = s;
            return c;
        }
    }
    aws_fail(call, &KINESIS_NOT_FOUND, "Consumer %.*s, account %s not found.", STR_FMT(arn),
             local_settings(call->home)->account);
    return NULL;
}

static subscription *subscription_of(consumer *c, stream *s, const shard *d) {
    for (subscription *u = c->subscriptions; u; u = u->next)
        if (u->shard == d->index) return u;
    subscription *u = mem_zalloc(sizeof *u);
    if (!u) return NULL;
    u->of = s;
    u->shard = d->index;
    u->started_ms = INT64_MIN / 2;
    u->timer = server_timer_new(local_server(s->of->home), push, u);
    if (!u->timer) {
        mem_free(u);
        return NULL;
    }
    u->next = c->subscriptions;
    c->subscriptions = u;
    return u;
}

static void begin(aws_call *call, subscription *u, uint64_t position) {
    int64_t now = kinesis_now(call->state);
    end_with(u, "ResourceInUseException", "Another active subscription exists for this consumer.");
    exchange *x = call->x;
    u->encoding = call->encoding;
    u->x = x;
    u->position = position;
    u->frames = 0;
    u->started_ms = now;
    u->said_ms = now;
    aws_budget_init(&u->bytes, KINESIS_SHARD_READ_BYTES, now);
    exchange_header_f(x, "x-amzn-requestid", "%s", call->request_id);
    exchange_header(x, "content-type", STR("application/vnd.amazon.eventstream"));
    aws_release(call);
    exchange_on_close(x, lost, u);
    exchange_begin(x);
    if (!faults_number(x, "no_initial_response", 0))
        send_frame(u, "event", ":event-type", "initial-response",
                   u->encoding == AWS_CBOR ? STR("\xa0") : STR("{}"));
    /* What is there goes at once; an idle shard says so within the usual time. */
    if (u->x) push(u);
}

void kinesis_subscribe(aws_call *call) {
    stream *s;
    consumer *c = of_arn(call, &s);
    if (!c) return;
    stream_trim(s);
    int64_t now = kinesis_now(s->of);
    if (now - c->created_ms < KINESIS_CHANGE_MS) {
        aws_fail(call, &KINESIS_IN_USE, "Consumer %s of stream %s is not ACTIVE.", c->name,
                 s->name);
        return;
    }
    weir_str id = aws_in_str(call, "ShardId");
    shard *d = stream_shard(s, id);
    if (!d || !stream_usable(s)) {
        aws_fail(call, &KINESIS_NOT_FOUND,
                 "Shard %.*s in stream %s under account %s does not exist", STR_FMT(id), s->name,
                 local_settings(call->home)->account);
        return;
    }
    const weir_value *start = aws_in(call, "StartingPosition");
    if (!start || start->type != WEIR_V_OBJECT) {
        kinesis_invalid(call, STR("null"), "startingPosition", "Member must not be null");
        return;
    }
    const weir_value *number = weir_json_get(start, "SequenceNumber");
    weir_str text =
        number && number->type == WEIR_V_STRING ? weir_value_str(number) : (weir_str){NULL, 0};
    uint64_t position;
    if (!shard_position(call, s, d, weir_json_get_str(start, "Type", ""), text,
                        weir_json_get(start, "Timestamp"), &position))
        return;
    subscription *u = subscription_of(c, s, d);
    if (!u) {
        aws_fail(call, &KINESIS_INTERNAL, "out of memory");
        return;
    }
    if (now - u->started_ms < AGAIN_MS) {
        aws_fail(call, &KINESIS_IN_USE, "Another active subscription exists for this consumer: %s.",
                 c->arn);
        return;
    }
    begin(call, u, position);
}
