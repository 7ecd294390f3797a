#include "kinesis/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* ---- shards ---- */

static void block_drop(void *opaque) {
    block *b = opaque;
    if (--b->refs == 0) mem_free(b);
}

static void drop_records(stream *s, shard *d, size_t n) {
    for (size_t i = 0; i < n; i++) {
        record *r = &d->records[d->head + i];
        s->of->memory -= r->len + sizeof *r;
        mem_free(r->odd_key);
        block_drop(r->in);
    }
    d->head += n;
    d->count -= n;
}

static void shard_free(stream *s, shard *d) {
    drop_records(s, d, d->count);
    if (d->filling) block_drop(d->filling);
    mem_free(d->records);
    mem_free(d);
}

/* `now` is the caller's: a stream's first shards are as old as the stream to the millisecond. */
static shard *shard_add(stream *s, hash_key first, hash_key last, int32_t parent, int32_t adjacent,
                        int64_t now) {
    if (s->shard_count == s->shard_room) {
        uint32_t room = s->shard_room ? s->shard_room * 2 : 8;
        shard **more = mem_realloc(s->shards, room * sizeof(shard *));
        if (!more) return NULL;
        s->shards = more;
        s->shard_room = room;
    }
    shard *d = mem_zalloc(sizeof *d);
    if (!d) return NULL;
    d->index = s->shard_count;
    d->first = first;
    d->last = last;
    d->parent = parent;
    d->adjacent = adjacent;
    d->created_ms = now;
    d->next = 1;
    aws_budget_init(&d->write_bytes, KINESIS_SHARD_WRITE_BYTES, now);
    aws_budget_init(&d->write_records, KINESIS_SHARD_WRITE_RECORDS, now);
    aws_budget_init(&d->read_calls, KINESIS_SHARD_READ_CALLS, now);
    aws_budget_init(&d->read_bytes, KINESIS_SHARD_READ_BYTES, now);
    aws_budget_init(&d->iterator_calls, KINESIS_SHARD_ITERATORS, now);
    s->shards[s->shard_count++] = d;
    return d;
}

static int by_first(const void *a, const void *b) {
    const shard *x = *(shard *const *)a, *y = *(shard *const *)b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static bool sort_open(stream *s) {
    shard **open = mem_array(s->shard_count, sizeof(shard *));
    if (!open) return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->shard_count; i++)
        if (s->shards[i] && !s->shards[i]->closed_ms) open[n++] = s->shards[i];
    qsort(open, n, sizeof(shard *), by_first);
    mem_free(s->open);
    s->open = open;
    s->open_count = n;
    s->open_room = s->shard_count;
    return true;
}

/* The place among the open shards of the one that holds `h`. */
static uint32_t open_index(const stream *s, hash_key h) {
    uint32_t low = 0, high = s->open_count;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (s->open[middle]->first <= h)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool open_reserve(stream *s, uint32_t more) {
    if (s->open_count + more <= s->open_room) return true;
    uint32_t room = s->open_room * 2 + more;
    shard **open = mem_realloc(s->open, room * sizeof(shard *));
    if (!open) return false;
    s->open = open;
    s->open_room = room;
    return true;
}

/* Puts the shard made last, or the `fresh` made last, in the places of `old` open ones: a stream
 * that gets thousands of shards at once is not sorted anew for each. There is room. */
static void open_replace(stream *s, hash_key first, uint32_t old, uint32_t fresh) {
    uint32_t at = open_index(s, first), behind = s->open_count - at - old;
    memmove(s->open + at + fresh, s->open + at + old, behind * sizeof(shard *));
    memcpy(s->open + at, s->shards + s->shard_count - fresh, fresh * sizeof(shard *));
    s->open_count = s->open_count - old + fresh;
}

shard *stream_add_shard(stream *s, hash_key first, hash_key last, int32_t parent, int32_t adjacent,
                        int64_t created_ms) {
    return shard_add(s, first, last, parent, adjacent, created_ms);
}

bool stream_settle(stream *s) {
    if (!sort_open(s) || s->open_count == 0 || s->open[0]->first != 0) return false;
    for (uint32_t i = 0; i + 1 < s->open_count; i++)
        if (s->open[i]->last == HASH_KEY_MAX || s->open[i + 1]->first != s->open[i]->last + 1)
            return false;
    return s->open[s->open_count - 1]->last == HASH_KEY_MAX;
}

shard *stream_shard_for(stream *s, hash_key h) {
    return s->open[open_index(s, h)];
}

shard *stream_shard(stream *s, weir_str id) {
    int64_t n;
    if (id.len != 20 || memcmp(id.ptr, "shardId-", 8) != 0 ||
        !str_to_i64(str_make(id.ptr + 8, 12), &n) || n < 0 || n >= s->shard_count)
        return NULL;
    shard *d = s->shards[n];
    return d->gone ? NULL : d;
}

void shard_id(const shard *d, char out[24]) {
    snprintf(out, 24, "shardId-%012u", d->index);
}

void shard_sequence(const stream *s, const shard *d, uint64_t number, int64_t ms,
                    char out[SEQUENCE_TEXT]) {
    (void)s;
    sequence q = {(uint64_t)(d->created_ms / 1000), d->index, number, (uint64_t)(ms / 1000)};
    sequence_write(&q, out);
}

static void write_range(aws_out *o, const shard *d) {
    char first[HASH_KEY_TEXT], last[HASH_KEY_TEXT];
    hash_key_write(d->first, first);
    hash_key_write(d->last, last);
    aws_out_open(o, "HashKeyRange");
    aws_out_z(o, "StartingHashKey", first);
    aws_out_z(o, "EndingHashKey", last);
    aws_out_close(o);
}

static void write_parent(aws_out *o, const char *name, int32_t index) {
    char id[24];
    if (index < 0) return;
    snprintf(id, sizeof id, "shardId-%012d", index);
    aws_out_z(o, name, id);
}

void shard_write(aws_out *o, const stream *s, const shard *d, const char *name) {
    char text[SEQUENCE_TEXT];
    aws_out_open(o, name);
    shard_id(d, text);
    aws_out_z(o, "ShardId", text);
    write_parent(o, "ParentShardId", d->parent);
    write_parent(o, "AdjacentParentShardId", d->adjacent);
    write_range(o, d);
    aws_out_open(o, "SequenceNumberRange");
    shard_sequence(s, d, 0, d->created_ms, text);
    aws_out_z(o, "StartingSequenceNumber", text);
    if (d->closed_ms) {
        shard_sequence(s, d, d->next, d->closed_ms, text);
        aws_out_z(o, "EndingSequenceNumber", text);
    }
    aws_out_close(o);
    aws_out_close(o);
}

void shard_write_children(aws_out *o, const stream *s, const shard *d) {
    aws_out_open_array(o, "ChildShards");
    for (uint32_t i = d->index + 1; i < s->shard_count; i++) {
        const shard *child = s->shards[i];
        if (child->parent != (int32_t)d->index && child->adjacent != (int32_t)d->index) continue;
        char id[24];
        aws_out_open(o, NULL);
        shard_id(child, id);
        aws_out_z(o, "ShardId", id);
        aws_out_open_array(o, "ParentShards");
        write_parent(o, NULL, child->parent);
        write_parent(o, NULL, child->adjacent);
        aws_out_close_array(o);
        write_range(o, child);
        aws_out_close(o);
    }
    aws_out_close_array(o);
}

static void shard_close(stream *s, shard *d, int64_t now) {
    d->closed_ms = now;
    if (d->filling) block_drop(d->filling);
    d->filling = NULL;
    subscriptions_wake(s, d);
}

bool stream_split(stream *s, shard *d, hash_key at) {
    if (d->closed_ms || at <= d->first || at > d->last) return false;
    int64_t now = kinesis_now(s->of);
    if (!open_reserve(s, 1) || !shard_add(s, d->first, at - 1, (int32_t)d->index, -1, now) ||
        !shard_add(s, at, d->last, (int32_t)d->index, -1, now))
        return false;
    shard_close(s, d, now);
    open_replace(s, d->first, 1, 2);
    return true;
}

bool stream_merge(stream *s, shard *a, shard *b) {
    if (a->closed_ms || b->closed_ms) return false;
    const shard *low = a->first < b->first ? a : b, *high = low == a ? b : a;
    if (low->last + 1 != high->first) return false;
    int64_t now = kinesis_now(s->of);
    if (!shard_add(s, low->first, high->last, (int32_t)a->index, (int32_t)b->index, now))
        return false;
    shard_close(s, a, now);
    shard_close(s, b, now);
    open_replace(s, low->first, 2, 1);
    return true;
}

/* ---- streams ---- */

static const char *partition_of(const char *region) {
    if (strncmp(region, "cn-", 3) == 0) return "aws-cn";
    if (strncmp(region, "us-gov-", 7) == 0) return "aws-us-gov";
    return "aws";
}

/* True when the boundaries that are wanted are there: first the splits, in the next round the
 * merges, so that readers see a generation in between, as the service makes it. Splits begin in the
 * middle, so that a stream that grows by far has few generations of shards, not one a split. */
static bool resize_step(stream *s) {
    uint32_t n = s->change_count, stride = 1, k = 1;
    bool split = false;
    while (stride < n) stride *= 2;
    for (; stride; stride /= 2) {
        for (uint32_t i = stride; i < n; i += 2 * stride) {
            hash_key at = hash_key_even(i, n);
            shard *d = stream_shard_for(s, at);
            if (d->first != at && stream_split(s, d, at)) split = true;
        }
    }
    if (split && s->open_count > n) return false;
    for (uint32_t i = 0; i + 1 < s->open_count;) {
        shard *low = s->open[i], *high = s->open[i + 1];
        while (k < n && hash_key_even(k, n) < high->first) k++;
        bool wanted = k < n && hash_key_even(k, n) == high->first;
        if (wanted || !stream_merge(s, low, high)) i++;
    }
    return true;
}

static void changed(void *opaque) {
    stream *s = opaque;
    if (s->status == DELETING) {
        map_remove(s->of->streams, str_of(s->name));
        stream_free(s);
        return;
    }
    if (s->change == CHANGE_SPLIT) {
        stream_split(s, s->shards[s->change_shard], s->change_at);
    } else if (s->change == CHANGE_MERGE) {
        stream_merge(s, s->shards[s->change_shard], s->shards[s->change_other]);
    } else if (s->change == CHANGE_COUNT && !resize_step(s)) {
        server_timer_set(s->timer, KINESIS_CHANGE_MS);
        return;
    }
    s->change = CHANGE_NONE;
    s->status = ACTIVE;
}

void stream_change(stream *s, stream_status status) {
    s->status = status;
    server_timer_set(s->timer, KINESIS_CHANGE_MS);
}

void stream_grow(stream *s) {
    uint32_t most = kinesis_on_demand_max(local_settings(s->of->home)->region);
    int64_t now = kinesis_now(s->of);
    if (!s->on_demand || s->status != ACTIVE || s->open_count >= most) return;
    if (s->grown_ms && now - s->grown_ms < KINESIS_GROW_MS) return;
    s->grown_ms = now;
    s->change = CHANGE_COUNT;
    s->change_count = s->open_count > most / 2 ? most : s->open_count * 2;
    stream_change(s, UPDATING);
}

stream *stream_new(kinesis *k, weir_str name, uint32_t shards, stream_status status) {
    stream *s = mem_zalloc(sizeof *s);
    if (!s) return NULL;
    const local_options *o = local_settings(k->home);
    char arn[512];
    int n = snprintf(arn, sizeof arn, "arn:%s:kinesis:%s:%s:stream/%.*s", partition_of(o->region),
                     o->region, o->account, STR_FMT(name));
    s->of = k;
    s->name = aws_text(name);
    s->arn = aws_text(str_make(arn, n > 0 ? (size_t)n : 0));
    s->created_ms = kinesis_now(k);
    s->retention_h = KINESIS_RETENTION_H_MIN;
    s->record_kib = KINESIS_RECORD_KIB;
    s->timer = server_timer_new(local_server(k->home), changed, s);
    bool ok = s->name && s->arn && s->timer;
    for (uint32_t i = 0; ok && i < shards; i++)
        ok = shard_add(s, hash_key_even(i, shards),
                       i + 1 == shards ? HASH_KEY_MAX : hash_key_even(i + 1, shards) - 1, -1, -1,
                       s->created_ms);
    if (ok && sort_open(s) && map_put(k->streams, name, s)) {
        s->status = status;
        if (status != ACTIVE) stream_change(s, status);
        return s;
    }
    stream_free(s);
    return NULL;
}

void stream_free(stream *s) {
    if (!s) return;
    while (s->consumers) {
        consumer *c = s->consumers;
        s->consumers = c->next;
        consumer_end_subscriptions(s->of, c, "ResourceNotFoundException", "the stream was deleted");
        consumer_free(c);
    }
    for (uint32_t i = 0; i < s->shard_count; i++) shard_free(s, s->shards[i]);
    server_timer_free(s->timer);
    aws_tags_free(&s->tags);
    mem_free(s->shards);
    mem_free(s->open);
    mem_free(s->kms_key);
    mem_free(s->policy);
    mem_free(s->name);
    mem_free(s->arn);
    mem_free(s);
}

const char *stream_status_name(const stream *s) {
    static const char *const names[] = {"CREATING", "ACTIVE", "UPDATING", "DELETING"};
    return names[s->status];
}

bool stream_usable(const stream *s) {
    return s->status == ACTIVE || s->status == UPDATING;
}

int64_t stream_horizon_ms(const stream *s) {
    int64_t at = kinesis_now(s->of) - s->retention_h * 3600000;
    return at > s->created_ms ? at : s->created_ms;
}

void stream_trim(stream *s) {
    int64_t horizon = kinesis_now(s->of) - s->retention_h * 3600000;
    if (horizon <= s->created_ms) return;
    for (uint32_t i = 0; i < s->shard_count; i++) {
        shard *d = s->shards[i];
        size_t n = 0;
        while (n < d->count && d->records[d->head + n].arrival_ms < horizon) n++;
        if (n) drop_records(s, d, n);
        if (d->closed_ms && d->closed_ms < horizon) d->gone = true;
    }
}

/* ---- records ---- */

uint64_t shard_oldest(const shard *d) {
    return d->next - d->count;
}

uint64_t shard_at_time(const shard *d, int64_t ms) {
    size_t low = 0, high = d->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (d->records[d->head + middle].arrival_ms < ms)
            low = middle + 1;
        else
            high = middle;
    }
    return shard_oldest(d) + low;
}

const record *shard_record(const shard *d, uint64_t number) {
    return &d->records[d->head + (size_t)(number - shard_oldest(d))];
}

weir_str record_key(const record *r) {
    return str_make(r->odd_key ? r->odd_key : r->in->bytes + r->at + r->key_at, r->key_bytes);
}

weir_str record_base64(const record *r) {
    return str_make(r->in->bytes + r->at + r->data_at, r->data_len);
}

#define BLOCK_BYTES (1u << 20)

static char *room_in_block(shard *d, size_t need) {
    if (d->filling && d->filling->size - d->filling->used >= need)
        return d->filling->bytes + d->filling->used;
    size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    block *b = mem_alloc(sizeof *b + size);
    if (!b) return NULL;
    *b = (block){.refs = 1, .used = 0, .size = (uint32_t)size};
    if (d->filling) block_drop(d->filling);
    d->filling = b;
    return b->bytes;
}

static bool room_for_record(shard *d) {
    if (d->head + d->count < d->room) return true;
    if (d->head > d->count) {
        memmove(d->records, d->records + d->head, d->count * sizeof *d->records);
        d->head = 0;
        return true;
    }
    size_t room = d->room ? d->room * 2 : 256;
    record *more = mem_realloc(d->records, room * sizeof *more);
    if (!more) return false;
    d->records = more;
    d->room = room;
    return true;
}

/* The oldest records of a shard make room when the service is at its memory's end: a benchmark may
 * go on for ever, and what was read long ago is the least loss. */
static void bound_memory(stream *s, shard *d) {
    while (s->of->memory > s->of->memory_max && d->count > 1) drop_records(s, d, d->count / 2 + 1);
}

static char *put_text(char *p, const char *text) {
    size_t n = strlen(text);
    memcpy(p, text, n);
    return p + n;
}

/* {"ApproximateArrivalTimestamp":1795277518.023 */
static char *put_arrival(char *p, int64_t ms) {
    p = put_text(p, "{\"ApproximateArrivalTimestamp\":");
    p += weir_json_write_i64(ms / 1000, p);
    unsigned rest = (unsigned)(ms % 1000);
    *p++ = '.';
    *p++ = (char)('0' + rest / 100);
    *p++ = (char)('0' + rest / 10 % 10);
    *p++ = (char)('0' + rest % 10);
    return p;
}

bool shard_put(stream *s, shard *d, weir_str key, weir_str base64, weir_str bytes, uint32_t size) {
    return shard_put_at(s, d, key, base64, bytes, size, kinesis_now(s->of), s->kms_key != NULL);
}

bool shard_put_at(stream *s, shard *d, weir_str key, weir_str base64, weir_str bytes, uint32_t size,
                  int64_t arrival_ms, bool encrypted) {
    size_t encoded = base64.ptr ? (size_t)base64.len : 4 * (((size_t)bytes.len + 2) / 3);
    size_t need = encoded + 6 * (size_t)key.len + 256;
    char *start = room_for_record(d) ? room_in_block(d, need) : NULL;
    if (!start) return false;
    record *r = &d->records[d->head + d->count];
    *r = (record){.in = d->filling, .data_bytes = size, .key_bytes = (uint32_t)key.len};
    r->arrival_ms = arrival_ms;
    r->encrypted = encrypted;
    if (d->count && r->arrival_ms < r[-1].arrival_ms) r->arrival_ms = r[-1].arrival_ms;

    char *p = start;
    *p++ = ',';
    r->at = (uint32_t)(p - d->filling->bytes);
    char *object = p;
    p = put_arrival(p, r->arrival_ms);
    p = put_text(p, ",\"Data\":\"");
    r->data_at = (uint32_t)(p - object);
    r->data_len = (uint32_t)encoded;
    if (base64.ptr)
        memcpy(p, base64.ptr, encoded);
    else
        weir_base64_encode(bytes, p);
    p += encoded;
    p = put_text(p, encrypted ? "\",\"EncryptionType\":\"KMS\",\"PartitionKey\":"
                              : "\",\"PartitionKey\":");
    r->key_at = (uint32_t)(p - object) + 1;
    uint64_t key_text = weir_json_write_str(key, p);
    r->key_len = (uint32_t)key_text - 2;
    if (r->key_len != key.len && !(r->odd_key = aws_text(key))) return false;
    p += key_text;
    p = put_text(p, ",\"SequenceNumber\":\"");
    char text[SEQUENCE_TEXT];
    shard_sequence(s, d, d->next, r->arrival_ms, text);
    p = put_text(p, text);
    p = put_text(p, "\"}");
    r->len = (uint32_t)(p - object);
    d->filling->used += (uint32_t)(p - start);
    d->filling->refs++;
    d->count++;
    d->next++;
    s->of->memory += r->len + sizeof *r;
    if (s->of->memory > s->of->memory_max) bound_memory(s, d);
    return true;
}

extent shard_extent(const shard *d, uint64_t from, uint64_t records, uint64_t bytes) {
    extent e = {from, from, 0};
    uint64_t oldest = shard_oldest(d);
    if (e.from < oldest) e.from = e.to = oldest;
    while (e.to < d->next && e.to - e.from < records) {
        const record *r = shard_record(d, e.to);
        uint64_t size = (uint64_t)r->data_bytes + r->key_bytes;
        if (e.to > e.from && e.data_bytes + size > bytes) break;
        e.data_bytes += size;
        e.to++;
    }
    return e;
}

int64_t shard_behind_ms(const stream *s, const shard *d, const extent *e) {
    if (e->to >= d->next) return 0;
    int64_t behind = kinesis_now(s->of) - shard_record(d, e->to)->arrival_ms;
    /* Behind the tip by less than a millisecond is still behind. */
    return behind > 0 ? behind : 1;
}

static void write_cbor(aws_out *o, const stream *s, const shard *d, const extent *e) {
    aws_out_open_array(o, "Records");
    buf data;
    buf_init(&data, (size_t)16 << 20);
    for (uint64_t i = e->from; i < e->to; i++) {
        const record *r = shard_record(d, i);
        char text[SEQUENCE_TEXT];
        buf_reset(&data);
        if (!buf_reserve(&data, (size_t)r->data_len)) break;
        uint64_t n = weir_base64_decode(record_base64(r), data.data);
        aws_out_open(o, NULL);
        aws_out_time_ms(o, "ApproximateArrivalTimestamp", r->arrival_ms);
        aws_out_blob(o, "Data", str_make(data.data, (size_t)n));
        if (r->encrypted) aws_out_z(o, "EncryptionType", "KMS");
        aws_out_str(o, "PartitionKey", record_key(r));
        shard_sequence(s, d, i, r->arrival_ms, text);
        aws_out_z(o, "SequenceNumber", text);
        aws_out_close(o);
    }
    if (!buf_ok(&data)) o->text.failed = true;
    buf_free(&data);
    aws_out_close_array(o);
}

/* Calls `each` with the longest runs that lie in one block. */
static void runs(const shard *d, const extent *e,
                 void (*each)(void *opaque, block *b, const char *p, size_t n), void *opaque) {
    for (uint64_t i = e->from; i < e->to;) {
        const record *first = shard_record(d, i), *last = first;
        while (++i < e->to) {
            const record *r = shard_record(d, i);
            if (r->in != first->in) break;
            last = r;
        }
        /* All but the first run begin with the comma that stands before their first record. */
        uint32_t at = first == shard_record(d, e->from) ? first->at : first->at - 1;
        each(opaque, first->in, first->in->bytes + at, last->at + last->len - at);
    }
}

static void append_run(void *opaque, block *b, const char *p, size_t n) {
    (void)b;
    buf_append(opaque, p, n);
}

static void refer_run(void *opaque, block *b, const char *p, size_t n) {
    b->refs++;
    exchange_refer(opaque, p, n, block_drop, b);
}

void shard_write_records(aws_out *o, const stream *s, const shard *d, const extent *e) {
    if (o->encoding == AWS_CBOR) {
        write_cbor(o, s, d, e);
        return;
    }
    aws_out_open_array(o, "Records");
    runs(d, e, append_run, &o->text);
    aws_out_close_array(o);
}

void shard_give_records(aws_call *call, const stream *s, const shard *d, const extent *e) {
    if (call->encoding == AWS_CBOR) {
        write_cbor(&call->out, s, d, e);
        return;
    }
    aws_out_open_array(&call->out, "Records");
    aws_give(call);
    runs(d, e, refer_run, call->x);
    aws_out_close_array(&call->out);
}
