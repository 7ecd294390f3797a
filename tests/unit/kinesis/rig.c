#include "rig.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir/json.h"

#define LIST_BYTES 65536u

/* ---- a small Kinesis ---- */

/* The decimal number a text begins with; a text without one fails the test. */
static int number_of(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || value < 0 || value > INT_MAX) fail_msg("no number in \"%s\"", text);
    return (int)value;
}

static const char *field(const char *body, const char *name, char *out, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *p = strstr(body, key);
    out[0] = '\0';
    if (p) snprintf(out, size, "%.*s", (int)strcspn(p + strlen(key), "\""), p + strlen(key));
    return p ? out : NULL;
}

/* "500": a 5xx without words; "silence": no answer, ever; else an error of the service. */
static void refuse(stub_answer *out, const char *code) {
    if (strcmp(code, "500") == 0) {
        out->status = 500;
        return;
    }
    if (strcmp(code, "silence") == 0) {
        out->status = -1;
        return;
    }
    stub_text(out, 400,
              "{\"__type\":\"com.amazonaws.kinesis#%s\",\"message\":\"so says the test\"}", code);
}

static void answer_list(service *s, const char *body, stub_answer *out) {
    char token[16];
    int from = field(body, "NextToken", token, sizeof token) ? number_of(token) : 0, listed = 0;
    s->lists++;
    if (s->list_error) {
        refuse(out, s->list_error);
        return;
    }
    char *text = malloc(LIST_BYTES);
    size_t n = (size_t)snprintf(text, LIST_BYTES, "{\"Shards\":[");
    int i = from;
    for (; i < SHARDS && listed < s->list_page; i++) {
        if (!s->shards[i].exists) continue;
        n += (size_t)snprintf(text + n, LIST_BYTES - n, "%s{\"ShardId\":\"shardId-%d\"",
                              listed++ ? "," : "", i);
        static const char *const names[] = {"ParentShardId", "AdjacentParentShardId"};
        for (int p = 0; p < 2; p++)
            if (s->shards[i].parents[p])
                n += (size_t)snprintf(text + n, LIST_BYTES - n, ",\"%s\":\"%s\"", names[p],
                                      s->shards[i].parents[p]);
        n += (size_t)snprintf(text + n, LIST_BYTES - n,
                              ",\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"%s}}",
                              s->shards[i].closed ? ",\"EndingSequenceNumber\":\"9\"" : "");
    }
    n += (size_t)snprintf(text + n, LIST_BYTES - n, i < SHARDS ? "],\"NextToken\":\"%d\"}" : "]}",
                          i);
    out->body = text;
    out->body_len = n;
}

/* Record i of a which has the sequence number 1000 + i. */
static void answer_iterator(service *s, const char *body, stub_answer *out) {
    char which[32], type[32], sequence[64];
    s->iterators++;
    snprintf(s->last_iterator_request, sizeof s->last_iterator_request, "%s", body);
    if (s->iterator_error) {
        refuse(out, s->iterator_error);
        return;
    }
    field(body, "ShardId", which, sizeof which);
    field(body, "ShardIteratorType", type, sizeof type);
    int at = 0;
    if (field(body, "StartingSequenceNumber", sequence, sizeof sequence))
        at = number_of(sequence) - 1000 + (strcmp(type, "AFTER_SEQUENCE_NUMBER") == 0);
    stub_text(out, 200, "{\"ShardIterator\":\"%s:%d\"}", which + 8, at);
}

static void answer_records(service *s, const char *body, stub_answer *out) {
    char iterator[64];
    field(body, "ShardIterator", iterator, sizeof iterator);
    int number = number_of(iterator), at = number_of(strchr(iterator, ':') + 1);
    fake_shard *which = &s->shards[number];
    s->reads++;
    if (s->records_error) {
        refuse(out, s->records_error);
        return;
    }
    char fault = s->script && *s->script ? *s->script++ : '.';
    switch (fault) {
    case 't':
        refuse(out, "ProvisionedThroughputExceededException");
        return;
    case 'e':
        refuse(out, "ExpiredIteratorException");
        return;
    case '5':
        stub_text(out, 500, "%s", "");
        return;
    case '3':
        stub_text(out, 503, "<html>");
        return;
    case 'x':
        out->status = 0;
        return;
    case 'g':
        stub_text(out, 200, "\xff<html>");
        return;
    default:
        break;
    }
    bool small = s->reads <= s->small_reads;
    int most = small ? 1 : s->page, pad = small ? 0 : s->pad;
    int end = at + most < which->records ? at + most : which->records;
    size_t size = (size_t)(end - at) * (200 + (size_t)pad * 2) + 1024, n = 0;
    char *text = malloc(size);
    n += (size_t)snprintf(text, size, "{\"Records\":[");
    for (int i = at; i < end; i++) {
        char plain[PAD_MAX + 32], coded[PAD_MAX * 2 + 64];
        int len = snprintf(plain, sizeof plain, "s%d-%d%*s", number, i, pad, "");
        weir_str value = {plain, (uint64_t)len};
        coded[weir_base64_encode(value, coded)] = '\0';
        n += (size_t)snprintf(
            text + n, size - n,
            "%s{\"SequenceNumber\":\"%d\",\"ApproximateArrivalTimestamp\":17672256%02d.25,"
            "\"Data\":\"%s\",\"PartitionKey\":\"k%d\"}",
            i > at ? "," : "", 1000 + i, i % 100, coded, i);
        if (fault == 'c' && i == at + 1) { /* cut short after two whole records */
            out->body = text;
            out->body_len = n;
            return;
        }
    }
    n +=
        (size_t)snprintf(text + n, size - n, "],\"MillisBehindLatest\":%lld", (long long)s->lag_ms);
    if (which->closed && end == which->records)
        n += (size_t)snprintf(text + n, size - n, ",\"NextShardIterator\":null,\"ChildShards\":%s}",
                              which->children ? which->children : "null");
    else
        n += (size_t)snprintf(text + n, size - n, ",\"NextShardIterator\":\"%d:%d\"}", number, end);
    out->body = text;
    out->body_len = n;
}

static void serve(void *opaque, const stub_request *q, stub_answer *out) {
    service *s = opaque;
    if (!strstr(q->head, "Authorization: AWS4-HMAC-SHA256 Credential=AKTEST/"))
        refuse(out, "MissingAuthenticationTokenException");
    else if (strcmp(q->target, "Kinesis_20131202.ListShards") == 0)
        answer_list(s, q->body, out);
    else if (strcmp(q->target, "Kinesis_20131202.GetShardIterator") == 0)
        answer_iterator(s, q->body, out);
    else
        answer_records(s, q->body, out);
}

/* ---- a small runtime ---- */

int64_t rig_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

void rig_set(rig *r, const char *key, const char *value) {
    fake_option *o = r->options;
    while (o->key && strcmp(o->key, key) != 0) o++;
    o->key = key;
    o->value = value;
}

void rig_begin(rig *r) {
    memset(r, 0, sizeof *r);
    r->service.page = 50;
    r->service.list_page = 1;
    r->room = 100000;
    r->lag_ms = -1;
    for (int i = 0; i < SHARDS; i++) r->last[i] = -1;
    r->server = stub_start(serve, &r->service);
    rig_set(r, "stream", "clicks");
    rig_set(r, "region", "eu-west-1");
    rig_set(r, "endpoint", stub_url(r->server));
    rig_set(r, "credentials.access_key_id", "AKTEST");
    rig_set(r, "credentials.secret_access_key", "SECRET");
    rig_set(r, "start", "trim_horizon");
    rig_set(r, "stop", "never");
    rig_set(r, "records_per_call", "10000");
    rig_set(r, "interval", "1000000");
    rig_set(r, "empty_interval", "1000000");
    rig_set(r, "discovery_interval", "1000000000");
    rig_set(r, "retry.base", "1000000"); /* what is tested is never how long it takes */
    rig_set(r, "retry.max", "2000000");
}

void *rig_open(rig *r, uint32_t role, weir_status expected, weir_open *open) {
    weir_create create = {.struct_size = sizeof create, .ctx = fake_ctx(r->host)};
    assert_int_equal(kinesis_source_ops.create(&create), WEIR_OK);
    open->struct_size = sizeof *open;
    open->role = role;
    open->error = fake_error(r->host);
    weir_status status = kinesis_source_ops.open(create.self, open);
    if (status != expected) fail_msg("open: %d: %s", status, fake_error_text(r->host));
    return create.self;
}

weir_status rig_enumerate(rig *r, int64_t *next_ns) {
    const weir_source_splits *splits =
        kinesis_source_ops.get_extension(r->control, WEIR_SOURCE_SPLITS);
    weir_enumerate args = {.struct_size = sizeof args,
                           .list = fake_list(r->host),
                           .deadline_ns = rig_now_ns() + 20 * SECOND,
                           .error = fake_error(r->host)};
    weir_status status = splits->enumerate(r->control, &args);
    if (next_ns) *next_ns = args.next_ns;
    const fake_split *found = fake_splits(r->host, &r->split_count);
    memcpy(r->splits, found, r->split_count * sizeof *found);
    return status;
}

void rig_assign(rig *r, uint32_t from, uint32_t count) {
    const char *id[SHARDS], *private_bytes[SHARDS], *position[SHARDS];
    uint32_t id_len[SHARDS], private_len[SHARDS], position_len[SHARDS];
    for (uint32_t i = 0; i < count; i++) {
        const fake_split *s = &r->splits[from + i];
        id[i] = s->id;
        id_len[i] = (uint32_t)strlen(s->id);
        private_bytes[i] = s->private_bytes;
        private_len[i] = s->private_len;
        position[i] = r->resume_len && i == 0 ? r->resume : "";
        position_len[i] = i == 0 ? r->resume_len : 0;
    }
    weir_assign args = {.struct_size = sizeof args,
                        .count = count,
                        .id_ptr = id,
                        .id_len = id_len,
                        .private_ptr = private_bytes,
                        .private_len = private_len,
                        .position_ptr = position,
                        .position_len = position_len,
                        .error = fake_error(r->host)};
    weir_status status = kinesis_source_ops.assign(r->task, &args);
    if (status != WEIR_OK) fail_msg("assign: %s", fake_error_text(r->host));
}

void rig_open_all(rig *r) {
    weir_open control = {0}, task = {0};
    r->host = fake_host_new(r->options);
    r->control = rig_open(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    r->task = rig_open(r, WEIR_ROLE_TASK, WEIR_OK, &task);
    weir_status status = rig_enumerate(r, NULL);
    if (status != WEIR_OK) fail_msg("enumerate: %s", fake_error_text(r->host));
    rig_assign(r, 0, r->split_count);
}

void rig_finish(rig *r) {
    void *both[] = {r->task, r->control};
    for (int i = 0; i < 2; i++) {
        if (!both[i]) continue;
        weir_close close = {.struct_size = sizeof close, .mode = WEIR_CLOSE_DRAIN};
        assert_int_equal(kinesis_source_ops.close(both[i], &close), WEIR_OK);
        kinesis_source_ops.destroy(both[i]);
    }
    fake_host_free(r->host);
    stub_stop(r->server);
}

static void take(rig *r, const weir_batch *b) {
    for (uint32_t i = 0; i < b->rows->count; i++) {
        int which = -1, number = -1;
        char text[32];
        snprintf(text, sizeof text, "%.*s", (int)b->rows->value_len[i], b->rows->value_ptr[i]);
        assert_int_equal(sscanf(text, "s%d-%d", &which, &number), 2);
        assert_true(number > r->last[which]); /* in order, never twice */
        r->last[which] = number;
        r->seen[which][number]++;
        char key[32];
        snprintf(key, sizeof key, "k%d", number);
        assert_int_equal(b->rows->key_len[i], strlen(key));
        assert_memory_equal(b->rows->key_ptr[i], key, strlen(key));
        assert_int_equal(b->rows->time_us[i], (1767225600LL + number % 100) * 1000000 + 250000);
        assert_int_equal(which, number_of(strstr(b->split.ptr, "shardId-") + 8));
    }
    r->lag_ms = b->lag_ms; /* what a batch tells, no event repeats */
    r->records += (int)b->rows->count;
    r->batches++;
    assert_true(b->rows->count <= r->room);
    /* The position is that of the last record. */
    shard_position p;
    assert_true(position_decode(&p, b->resume));
    int which = number_of(strstr(b->split.ptr, "shardId-") + 8);
    assert_int_equal(number_of(p.sequence), 1000 + r->last[which]);
    memcpy(r->resume, b->resume.ptr, b->resume.len);
    r->resume_len = (uint32_t)b->resume.len;
}

weir_status rig_poll(rig *r, int64_t wait_ns) {
    weir_poll args = {.struct_size = sizeof args,
                      .room_records = r->room,
                      .room_bytes = 64 << 20,
                      .deadline_ns = rig_now_ns() + wait_ns,
                      .error = fake_error(r->host)};
    weir_status status = kinesis_source_ops.poll(r->task, &args);
    if (status == WEIR_OK) {
        take(r, args.batch);
        weir_api_of(fake_ctx(r->host))->batch.release(args.batch);
    } else if (status == WEIR_EVENT && args.event->kind == WEIR_EVENT_FINISHED) {
        r->finished[number_of(strstr(args.event->split.ptr, "shardId-") + 8)] = true;
        for (uint32_t i = 0; i < args.event->child_count; i++) {
            const weir_split *c = args.event->children[i];
            snprintf(r->child[i], sizeof r->child[i], "%.*s<%.*s%s%.*s", (int)c->id.len, c->id.ptr,
                     (int)c->parent_len[0], c->parent_ptr[0], c->parent_count > 1 ? "+" : "",
                     c->parent_count > 1 ? (int)c->parent_len[1] : 0,
                     c->parent_count > 1 ? c->parent_ptr[1] : "");
        }
        r->children_told += (int)args.event->child_count;
    } else if (status == WEIR_EVENT) {
        assert_int_equal(args.event->kind, WEIR_EVENT_POSITION);
        r->lag_ms = args.event->lag_ms;
    }
    return status;
}

weir_status rig_read_until(rig *r, int records) {
    int64_t until = rig_now_ns() + 60 * SECOND;
    while (r->records < records) {
        weir_status status = rig_poll(r, SECOND);
        if (status < 0) return status;
        if (rig_now_ns() > until)
            fail_msg("only %d of %d records: %s", r->records, records, fake_log(r->host));
    }
    return WEIR_OK;
}

void rig_read_ends(rig *r, int which) {
    int64_t until = rig_now_ns() + 60 * SECOND;
    while (!r->finished[which]) {
        weir_status status = rig_poll(r, SECOND);
        if (status < 0) fail_msg("%s", fake_error_text(r->host));
        if (rig_now_ns() > until) fail_msg("no end: %s", fake_log(r->host));
    }
}
