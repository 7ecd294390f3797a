/*
 * What outlives the process, for --dir: streams with their shards, lineage and records, consumers,
 * tags, changes that were under way, and the key of iterators. Not kept: open subscriptions, what
 * is left of throughput, settings of the admin API.
 *
 *     time | token key, 2 | billing commitment: started, ended | streams: count, each of
 *         name | status | change: kind, shard, other, count, hash key | mode | counted | warm
 *         throughput | grown | created | retention | record limit | KMS key or none | policy or
 *         none | tags
 *         shards: count, each of
 *             hash keys | parent | adjacent | created | closed | gone | next number
 *             records: count, each of  arrival | encrypted | partition key | data in base64
 *         consumers: count, each of  name | created | policy or none | tags
 *
 * What is read is checked as far as other code relies on it; a file that promises what cannot be is
 * refused as a whole.
 */
#include "base/mem.h"
#include "kinesis/stream.h"

#define VERSION 2u
#define KEY_BYTES_MAX 1024u /* 256 characters */
#define DATA_BYTES_MAX ((uint64_t)KINESIS_RECORD_MAX)
#define NUMBER_MAX (UINT64_MAX >> 1) /* of a record: more than can ever have come */
/* Shards that a change of their number can be about. */
#define COUNT_MAX KINESIS_ON_DEMAND_SHARDS_LARGE_MAX
_Static_assert(COUNT_MAX >= KINESIS_SHARDS_MAX, "of provisioned streams, too");
#define AHEAD_MS_MAX SERVER_CLOCK_MAX_MS /* what another run may have moved it by */
#define BASE64_MAX (DATA_BYTES_MAX * 4 / 3 + 4)

/* ---- writing ---- */

static void put_hash_key(keep *out, hash_key h) {
    keep_put_u64(out, (uint64_t)(h >> 64));
    keep_put_u64(out, (uint64_t)h);
}

static void put_shard(keep *out, const shard *d) {
    put_hash_key(out, d->first);
    put_hash_key(out, d->last);
    keep_put_i64(out, d->parent);
    keep_put_i64(out, d->adjacent);
    keep_put_i64(out, d->created_ms);
    keep_put_i64(out, d->closed_ms);
    keep_put_u64(out, d->gone);
    keep_put_u64(out, d->next);
    keep_put_u64(out, d->count);
    for (uint64_t i = shard_oldest(d); i < d->next && keep_ok(out); i++) {
        const record *r = shard_record(d, i);
        keep_put_i64(out, r->arrival_ms);
        keep_put_u64(out, r->encrypted);
        keep_put_str(out, record_key(r));
        keep_put_str(out, record_base64(r));
    }
}

static void put_stream(keep *out, const stream *s) {
    keep_put_str(out, str_of(s->name));
    keep_put_u64(out, s->status);
    keep_put_u64(out, s->change);
    keep_put_u64(out, s->change_shard);
    keep_put_u64(out, s->change_other);
    keep_put_u64(out, s->change_count);
    put_hash_key(out, s->change_at);
    keep_put_u64(out, s->on_demand);
    keep_put_u64(out, s->counted);
    keep_put_i64(out, s->warm_mib);
    keep_put_i64(out, s->grown_ms);
    keep_put_i64(out, s->created_ms);
    keep_put_i64(out, s->retention_h);
    keep_put_i64(out, s->record_kib);
    aws_keep_optional(s->kms_key, out);
    aws_keep_optional(s->policy, out);
    aws_tags_save(&s->tags, out);
    keep_put_u64(out, s->shard_count);
    for (uint32_t i = 0; i < s->shard_count; i++) put_shard(out, s->shards[i]);
    uint64_t consumers = 0;
    for (const consumer *c = s->consumers; c; c = c->next) consumers++;
    keep_put_u64(out, consumers);
    for (const consumer *c = s->consumers; c; c = c->next) {
        keep_put_str(out, str_of(c->name));
        keep_put_i64(out, c->created_ms);
        aws_keep_optional(c->policy, out);
        aws_tags_save(&c->tags, out);
    }
}

bool kinesis_save(void *own, keep *out) {
    const kinesis *k = own;
    size_t cursor = 0;
    weir_str name;
    void *value;
    keep_put_u64(out, VERSION);
    keep_put_i64(out, kinesis_now(k));
    keep_put_u64(out, k->token_key[0]);
    keep_put_u64(out, k->token_key[1]);
    keep_put_i64(out, k->billing.started_ms);
    keep_put_i64(out, k->billing.ended_ms);
    keep_put_u64(out, map_count(k->streams));
    while (map_next(k->streams, &cursor, &name, &value)) {
        stream_trim(value);
        put_stream(out, value);
    }
    return keep_ok(out);
}

/* ---- reading ---- */

static hash_key get_hash_key(keep *in) {
    hash_key high = keep_u64(in);
    return high << 64 | keep_u64(in);
}

/* A time that a clock may have shown. */
static bool get_time(const kinesis *k, keep *in, int64_t *out) {
    *out = keep_i64(in);
    return *out >= 0 && *out <= kinesis_now(k) + AHEAD_MS_MAX;
}

static bool get_bool(keep *in, bool *out) {
    uint64_t value = keep_u64(in);
    *out = value == 1;
    return value <= 1;
}

static bool get_tags(keep *in, aws_tags *t) {
    return aws_tags_load(t, in) && t->count <= KINESIS_TAGS_MAX;
}

static bool get_record(keep *in, stream *s, shard *d, buf *scratch) {
    bool encrypted;
    int64_t arrival;
    uint64_t key_len, data_len, size = UINT64_MAX;
    if (!get_time(s->of, in, &arrival) || !get_bool(in, &encrypted)) return false;
    char *key = keep_str(in, &key_len), *data = keep_str(in, &data_len);
    bool ok = key && data && key_len >= 1 && key_len <= KEY_BYTES_MAX && data_len <= BASE64_MAX;
    buf_reset(scratch);
    if (ok && buf_reserve(scratch, (size_t)data_len + 1))
        size = weir_base64_decode(str_make(data, data_len), scratch->data);
    ok = size <= DATA_BYTES_MAX &&
         shard_put_at(s, d, str_make(key, key_len), str_make(data, data_len), (weir_str){NULL, 0},
                      (uint32_t)size, arrival, encrypted);
    mem_free(key);
    mem_free(data);
    return ok;
}

static bool get_shard(keep *in, stream *s, buf *scratch) {
    hash_key first = get_hash_key(in), last = get_hash_key(in);
    int64_t parent = keep_i64(in), adjacent = keep_i64(in), created, closed, index = s->shard_count;
    bool gone;
    if (!get_time(s->of, in, &created) || !get_time(s->of, in, &closed) || !get_bool(in, &gone))
        return false;
    uint64_t next = keep_u64(in), count = keep_count(in, 32);
    /* Parents come before their children. */
    if (!keep_ok(in) || first > last || parent < -1 || parent >= index || adjacent < -1 ||
        adjacent >= index || (gone && !closed) || next < 1 || next > NUMBER_MAX || count > next - 1)
        return false;
    shard *d = stream_add_shard(s, first, last, (int32_t)parent, (int32_t)adjacent, created);
    if (!d) return false;
    d->closed_ms = closed;
    d->gone = gone;
    d->next = next - count;
    for (uint64_t i = 0; i < count; i++)
        if (!get_record(in, s, d, scratch)) return false;
    /* Bounded memory may have let go of the oldest; the numbers are the same. */
    return d->next == next;
}

static bool get_consumer(keep *in, stream *s) {
    char *name = keep_str(in, NULL);
    int64_t created;
    bool ok = get_time(s->of, in, &created) && name && kinesis_name_is_valid(str_of(name)) &&
              !stream_consumer(s, str_of(name));
    consumer *c = ok ? consumer_new(s, str_of(name), created) : NULL;
    mem_free(name);
    if (!c) return false;
    stream_add_consumer(s, c);
    return aws_load_optional(&c->policy, in) && get_tags(in, &c->tags);
}

static bool get_change(keep *in, stream *s, uint64_t *status) {
    *status = keep_u64(in);
    uint64_t change = keep_u64(in), one = keep_u64(in), other = keep_u64(in), count = keep_u64(in);
    s->change_at = get_hash_key(in);
    if (*status > DELETING || change > CHANGE_COUNT || one > UINT32_MAX || other > UINT32_MAX ||
        count > COUNT_MAX)
        return false;
    s->change = change == CHANGE_SPLIT   ? CHANGE_SPLIT
                : change == CHANGE_MERGE ? CHANGE_MERGE
                : change == CHANGE_COUNT ? CHANGE_COUNT
                                         : CHANGE_NONE;
    s->change_shard = (uint32_t)one;
    s->change_other = (uint32_t)other;
    s->change_count = (uint32_t)count;
    return true;
}

/* Whether the change that goes on is about shards that there are. */
static bool change_is_possible(const stream *s) {
    switch (s->change) {
    case CHANGE_SPLIT:
        return s->change_shard < s->shard_count;
    case CHANGE_MERGE:
        return s->change_shard < s->shard_count && s->change_other < s->shard_count &&
               s->change_shard != s->change_other;
    case CHANGE_COUNT:
        return s->change_count >= 1;
    default:
        return true;
    }
}

static bool get_settings(keep *in, stream *s) {
    if (!get_bool(in, &s->on_demand) || !get_bool(in, &s->counted)) return false;
    s->warm_mib = keep_i64(in);
    if (s->warm_mib < 0 || s->warm_mib > KINESIS_ON_DEMAND_SHARDS_LARGE_MAX) return false;
    if (!get_time(s->of, in, &s->grown_ms) || !get_time(s->of, in, &s->created_ms)) return false;
    s->retention_h = keep_i64(in);
    s->record_kib = keep_i64(in);
    return s->retention_h >= KINESIS_RETENTION_H_MIN && s->retention_h <= KINESIS_RETENTION_H_MAX &&
           s->record_kib >= KINESIS_RECORD_KIB && s->record_kib <= KINESIS_RECORD_KIB_MAX &&
           aws_load_optional(&s->kms_key, in) && aws_load_optional(&s->policy, in) &&
           get_tags(in, &s->tags);
}

static bool get_stream(kinesis *k, keep *in, buf *scratch) {
    char *name = keep_str(in, NULL);
    bool ok = name && kinesis_name_is_valid(str_of(name)) && !map_get(k->streams, str_of(name));
    stream *s = ok ? stream_new(k, str_of(name), 0, ACTIVE) : NULL;
    mem_free(name);
    uint64_t status;
    if (!s || !get_change(in, s, &status) || !get_settings(in, s)) return false;
    uint64_t shards = keep_count(in, 88);
    for (uint64_t i = 0; i < shards; i++)
        if (!get_shard(in, s, scratch)) return false;
    uint64_t consumers = keep_count(in, 32);
    if (consumers > KINESIS_CONSUMERS_MAX) return false;
    for (uint64_t i = 0; i < consumers; i++)
        if (!get_consumer(in, s)) return false;
    if (!keep_ok(in) || !stream_settle(s) || !change_is_possible(s)) return false;
    if (status != ACTIVE) stream_change(s, (stream_status)status);
    return true;
}

bool kinesis_load(void *own, keep *in) {
    kinesis *k = own;
    if (keep_u64(in) != VERSION) return false;
    int64_t then = keep_i64(in), now = kinesis_now(k);
    /* The clock may have been moved ahead. It does not go back behind what is kept: a consumer made
     * in the future would be CREATING until then. */
    if (!keep_ok(in) || then > now + AHEAD_MS_MAX) return false;
    if (then > now) server_advance(local_server(k->home), then - now);
    k->token_key[0] = keep_u64(in);
    k->token_key[1] = keep_u64(in);
    buf scratch;
    buf_init(&scratch, (size_t)BASE64_MAX + 1);
    bool ok = get_time(k, in, &k->billing.started_ms) && get_time(k, in, &k->billing.ended_ms);
    uint64_t streams = keep_count(in, 160);
    ok = ok && keep_ok(in);
    for (uint64_t i = 0; ok && i < streams; i++) ok = get_stream(k, in, &scratch);
    buf_free(&scratch);
    return ok;
}
