/* The whole source over a fake host, against a small Kinesis in a thread that can misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_host.h"
#include "kinesis.h"
#include "stub_server.h"
#include "weir/json.h"

#define SHARDS 4
#define RECORDS_MAX 2000
#define SECOND 1000000000LL

/* ---- a small Kinesis ---- */

typedef struct fake_shard {
    bool exists, closed;
    const char *parents[2];
    const char *children; /* JSON of ChildShards at the end; NULL: none are told */
    int records;
} fake_shard;

typedef struct service {
    fake_shard shards[SHARDS];
    int page;      /* records an answer holds at most */
    int list_page; /* shards an answer of ListShards holds */
    int64_t lag_ms;
    const char *script; /* one letter a GetRecords call, until its end; see answer_records */
    const char *list_error, *iterator_error, *records_error; /* for every call */
    unsigned lists, iterators, reads;
    char last_iterator_request[1024];
} service;

static const char *field(const char *body, const char *name, char *out, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *p = strstr(body, key);
    out[0] = '\0';
    if (p) snprintf(out, size, "%.*s", (int)strcspn(p + strlen(key), "\""), p + strlen(key));
    return p ? out : NULL;
}

static void refuse(stub_answer *out, const char *code) {
    stub_text(out, 400,
              "{\"__type\":\"com.amazonaws.kinesis#%s\",\"message\":\"so says the test\"}", code);
}

static void answer_list(service *s, const char *body, stub_answer *out) {
    char token[16];
    int from = field(body, "NextToken", token, sizeof token) ? atoi(token) : 0, listed = 0;
    s->lists++;
    if (s->list_error) {
        refuse(out, s->list_error);
        return;
    }
    char *text = malloc(4096);
    size_t n = (size_t)snprintf(text, 4096, "{\"Shards\":[");
    int i = from;
    for (; i < SHARDS && listed < s->list_page; i++) {
        if (!s->shards[i].exists) continue;
        n += (size_t)snprintf(text + n, 4096 - n, "%s{\"ShardId\":\"shardId-%d\"",
                              listed++ ? "," : "", i);
        static const char *const names[] = {"ParentShardId", "AdjacentParentShardId"};
        for (int p = 0; p < 2; p++)
            if (s->shards[i].parents[p])
                n += (size_t)snprintf(text + n, 4096 - n, ",\"%s\":\"%s\"", names[p],
                                      s->shards[i].parents[p]);
        n += (size_t)snprintf(text + n, 4096 - n,
                              ",\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"%s}}",
                              s->shards[i].closed ? ",\"EndingSequenceNumber\":\"9\"" : "");
    }
    n += (size_t)snprintf(text + n, 4096 - n, i < SHARDS ? "],\"NextToken\":\"%d\"}" : "]}", i);
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
        at = atoi(sequence) - 1000 + (strcmp(type, "AFTER_SEQUENCE_NUMBER") == 0);
    stub_text(out, 200, "{\"ShardIterator\":\"%s:%d\"}", which + 8, at);
}

static void answer_records(service *s, const char *body, stub_answer *out) {
    char iterator[64];
    field(body, "ShardIterator", iterator, sizeof iterator);
    int number = atoi(iterator), at = atoi(strchr(iterator, ':') + 1);
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
    int end = at + s->page < which->records ? at + s->page : which->records;
    size_t size = (size_t)(end - at) * 200 + 1024, n = 0;
    char *text = malloc(size);
    n += (size_t)snprintf(text, size, "{\"Records\":[");
    for (int i = at; i < end; i++) {
        char plain[32], coded[64];
        weir_str value = {plain, (uint64_t)snprintf(plain, sizeof plain, "s%d-%d", number, i)};
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

typedef struct rig {
    service service;
    stub_server *server;
    fake_option options[24];
    fake_host *host;
    void *control, *task;
    fake_split splits[SHARDS * 4];
    uint32_t split_count;
    bool finished[SHARDS];
    int children_told;
    char child[2][256];
    char seen[SHARDS][RECORDS_MAX]; /* how often each record came */
    int last[SHARDS];
    int records, batches;
    int64_t lag_ms;
    uint32_t room;
    char resume[256];
    uint32_t resume_len;
} rig;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static void set(rig *r, const char *key, const char *value) {
    fake_option *o = r->options;
    while (o->key && strcmp(o->key, key) != 0) o++;
    o->key = key;
    o->value = value;
}

static void begin(rig *r) {
    memset(r, 0, sizeof *r);
    r->service.page = 50;
    r->service.list_page = 1;
    r->room = 100000;
    r->lag_ms = -1;
    for (int i = 0; i < SHARDS; i++) r->last[i] = -1;
    r->server = stub_start(serve, &r->service);
    set(r, "stream", "clicks");
    set(r, "region", "eu-west-1");
    set(r, "endpoint", stub_url(r->server));
    set(r, "credentials.access_key_id", "AKTEST");
    set(r, "credentials.secret_access_key", "SECRET");
    set(r, "start", "trim_horizon");
    set(r, "stop", "never");
    set(r, "records_per_call", "10000");
    set(r, "interval", "1000000");
    set(r, "empty_interval", "1000000");
    set(r, "discovery_interval", "1000000000");
}

static void *open_instance(rig *r, uint32_t role, weir_status expected, weir_open *open) {
    weir_create create = {.struct_size = sizeof create, .ctx = fake_ctx(r->host)};
    assert_int_equal(kinesis_source_ops.create(&create), WEIR_OK);
    open->struct_size = sizeof *open;
    open->role = role;
    open->error = fake_error(r->host);
    weir_status status = kinesis_source_ops.open(create.self, open);
    if (status != expected) fail_msg("open: %d: %s", status, fake_error_text(r->host));
    return create.self;
}

static weir_status enumerate(rig *r, int64_t *next_ns) {
    const weir_source_splits *splits =
        kinesis_source_ops.get_extension(r->control, WEIR_SOURCE_SPLITS);
    weir_enumerate args = {.struct_size = sizeof args,
                           .list = fake_list(r->host),
                           .deadline_ns = now_ns() + 20 * SECOND,
                           .error = fake_error(r->host)};
    weir_status status = splits->enumerate(r->control, &args);
    if (next_ns) *next_ns = args.next_ns;
    const fake_split *found = fake_splits(r->host, &r->split_count);
    memcpy(r->splits, found, r->split_count * sizeof *found);
    return status;
}

static void assign(rig *r, uint32_t from, uint32_t count) {
    const char *id[16], *private_bytes[16], *position[16];
    uint32_t id_len[16], private_len[16], position_len[16];
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

static void open_all(rig *r) {
    weir_open control = {0}, task = {0};
    r->host = fake_host_new(r->options);
    r->control = open_instance(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    r->task = open_instance(r, WEIR_ROLE_TASK, WEIR_OK, &task);
    weir_status status = enumerate(r, NULL);
    if (status != WEIR_OK) fail_msg("enumerate: %s", fake_error_text(r->host));
    assign(r, 0, r->split_count);
}

static void finish(rig *r) {
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
        assert_int_equal(which, atoi(strstr(b->split.ptr, "shardId-") + 8));
    }
    r->lag_ms = b->lag_ms; /* what a batch tells, no event repeats */
    r->records += (int)b->rows->count;
    r->batches++;
    assert_true(b->rows->count <= r->room);
    /* The position is that of the last record. */
    shard_position p;
    assert_true(position_decode(&p, b->resume));
    int which = atoi(strstr(b->split.ptr, "shardId-") + 8);
    assert_int_equal(atoi(p.sequence), 1000 + r->last[which]);
    memcpy(r->resume, b->resume.ptr, b->resume.len);
    r->resume_len = (uint32_t)b->resume.len;
}

static weir_status poll_once(rig *r, int64_t wait_ns) {
    weir_poll args = {.struct_size = sizeof args,
                      .room_records = r->room,
                      .room_bytes = 64 << 20,
                      .deadline_ns = now_ns() + wait_ns,
                      .error = fake_error(r->host)};
    weir_status status = kinesis_source_ops.poll(r->task, &args);
    if (status == WEIR_OK) {
        take(r, args.batch);
        weir_api_of(fake_ctx(r->host))->batch.release(args.batch);
    } else if (status == WEIR_EVENT && args.event->kind == WEIR_EVENT_FINISHED) {
        r->finished[atoi(strstr(args.event->split.ptr, "shardId-") + 8)] = true;
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

/* Until `records` came, or an error. */
static weir_status read_until(rig *r, int records) {
    int64_t until = now_ns() + 60 * SECOND;
    while (r->records < records) {
        weir_status status = poll_once(r, SECOND);
        if (status < 0) return status;
        if (now_ns() > until)
            fail_msg("only %d of %d records: %s", r->records, records, fake_log(r->host));
    }
    return WEIR_OK;
}

static void read_ends(rig *r, int which) {
    int64_t until = now_ns() + 60 * SECOND;
    while (!r->finished[which]) {
        weir_status status = poll_once(r, SECOND);
        if (status < 0) fail_msg("%s", fake_error_text(r->host));
        if (now_ns() > until) fail_msg("no end: %s", fake_log(r->host));
    }
}

/* ---- tests ---- */

static void two_shards_in_pages(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 730};
    r->service.shards[2] =
        (fake_shard){.exists = true, .records = 120, .parents = {"shardId-0", "shardId-1"}};
    r->service.lag_ms = 42;
    open_all(r);
    assert_int_equal(r->split_count, 2); /* over several pages of ListShards */
    assert_true(r->service.lists >= 2);
    assert_string_equal(r->splits[1].id, "shardId-2");
    assert_int_equal(r->splits[1].parent_count, 2);
    assert_string_equal(r->splits[1].parents[1], "shardId-1");
    assert_int_equal(read_until(r, 850), WEIR_OK);
    for (int i = 0; i < 100 && r->lag_ms != 42; i++) assert_true(poll_once(r, SECOND / 10) >= 0);
    assert_int_equal(r->lag_ms, 42);
    assert_int_equal(r->records, 850);
    finish(r);
    test_free(r);
}

static void trouble_loses_and_repeats_nothing(void **state) {
    (void)state;
    static const char *const scripts[] = {"t", "5", "3",   "x",      "e",
                                          "g", "c", "eee", ".c.e.t", "x.g.c.5"};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        rig *r = test_malloc(sizeof *r);
        begin(r);
        r->service.shards[0] = (fake_shard){.exists = true, .records = 300};
        r->service.script = scripts[i];
        open_all(r);
        assert_int_equal(read_until(r, 300), WEIR_OK);
        assert_int_equal(*r->service.script, '\0');
        finish(r);
        test_free(r);
    }
}

static void small_rooms_share_a_page(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 100};
    r->service.page = 100;
    r->room = 7;
    open_all(r);
    assert_int_equal(read_until(r, 100), WEIR_OK);
    assert_int_equal(r->batches, 15);
    finish(r);
    test_free(r);
}

static void back_pressure_makes_no_calls(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 100};
    open_all(r);
    r->room = 0;
    for (int i = 0; i < 5; i++) assert_int_equal(poll_once(r, SECOND / 100), WEIR_AGAIN);
    assert_int_equal(r->service.iterators, 0);
    r->room = 10;
    while (r->records == 0) assert_true(poll_once(r, SECOND) >= 0);
    r->room = 0;
    unsigned reads = r->service.reads;
    for (int i = 0; i < 5; i++) poll_once(r, SECOND / 100);
    assert_int_equal(r->records, 10);
    assert_int_equal(r->service.reads, reads);
    finish(r); /* with a page in hand */
    test_free(r);
}

static void children_come_with_the_end(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){
        .exists = true,
        .closed = true,
        .records = 60,
        .children = "[{\"ShardId\":\"shardId-2\",\"ParentShards\":[\"shardId-0\",\"shardId-1\"]},"
                    "{\"ShardId\":\"shardId-3\",\"ParentShards\":[\"shardId-0\"]}]"};
    open_all(r);
    read_ends(r, 0);
    assert_int_equal(r->records, 60); /* all of them before the end */
    assert_int_equal(r->children_told, 2);
    assert_string_equal(r->child[0], "shardId-2<shardId-0+shardId-1");
    assert_string_equal(r->child[1], "shardId-3<shardId-0");
    finish(r);

    /* No children told: ListShards knows them. */
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .closed = true, .records = 10};
    r->service.shards[3] = (fake_shard){.exists = true, .parents = {"shardId-0"}};
    open_all(r);
    assign(r, 0, 1);
    read_ends(r, 0);
    assert_int_equal(r->children_told, 1);
    assert_string_equal(r->child[0], "shardId-3<shardId-0");
    finish(r);
    test_free(r);
}

static void errors_say_what_to_do(void **state) {
    (void)state;
    const struct {
        const char *code;
        weir_status status;
        const char *hint;
    } cases[] = {{"ResourceNotFoundException", WEIR_E_NOT_FOUND, "eu-west-1"},
                 {"AccessDeniedException", WEIR_E_PERMISSION, "kinesis:ListShards"},
                 {"InvalidSignatureException", WEIR_E_AUTH, "options"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = test_malloc(sizeof *r);
        begin(r);
        r->service.list_error = cases[i].code;
        weir_open control = {0};
        r->host = fake_host_new(r->options);
        r->control = open_instance(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
        assert_int_equal(enumerate(r, NULL), cases[i].status);
        assert_non_null(strstr(fake_error_text(r->host), "clicks"));
        assert_non_null(strstr(fake_error_text(r->host), cases[i].code));
        assert_non_null(strstr(fake_error_detail(r->host, WEIR_DETAIL_HINT), cases[i].hint));
        assert_memory_equal(fake_error_detail(r->host, WEIR_DETAIL_REQUEST_ID), "req-", 4);
        assert_string_equal(fake_error_detail(r->host, WEIR_DETAIL_VENDOR_CODE), cases[i].code);
        assert_true(fake_error_flags(r->host) & WEIR_ERR_FATAL);
        assert_null(strstr(fake_error_text(r->host), "SECRET"));
        finish(r);

        begin(r);
        r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
        open_all(r);
        r->service.records_error = cases[i].code;
        r->service.list_error = cases[i].code;
        assert_int_equal(read_until(r, 10), cases[i].status);
        assert_non_null(strstr(fake_error_text(r->host), cases[i].code));
        finish(r);
        test_free(r);
    }
}

static void half_a_pair_is_refused(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    set(r, "credentials.secret_access_key", NULL);
    weir_open control = {0};
    r->host = fake_host_new(r->options);
    r->control = open_instance(r, WEIR_ROLE_CONTROL, WEIR_E_AUTH, &control);
    assert_non_null(strstr(fake_error_text(r->host), "secret_access_key"));
    assert_string_equal(fake_error_detail(r->host, WEIR_DETAIL_OPTION),
                        "credentials.secret_access_key");
    finish(r);
    test_free(r);
}

static void positions_and_moments_are_asked_for(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 300};
    open_all(r);
    assert_int_equal(read_until(r, 60), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "TRIM_HORIZON"));
    /* Dropped with a call under way perhaps, and taken back behind the last batch. */
    assign(r, 0, 0);
    assign(r, 0, 1);
    assert_int_equal(read_until(r, 300), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "AFTER_SEQUENCE_NUMBER"));
    finish(r);

    begin(r);
    set(r, "start.timestamp", "2026-01-01T00:00:00.5Z");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 1};
    open_all(r);
    assert_int_equal(read_until(r, 1), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "\"Timestamp\":1767225600.500000"));
    finish(r);
    test_free(r);
}

static void latest_is_one_moment(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    set(r, "start", "latest");
    set(r, "stop", "latest");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 20};
    open_all(r);
    split_plan first, second;
    weir_str bytes = {r->splits[0].private_bytes, r->splits[0].private_len};
    assert_true(private_decode(bytes, &first));
    assert_int_equal(first.start.kind, START_TIMESTAMP);

    /* A checkpoint carries it to the next life. */
    weir_snapshot snapshot = {.struct_size = sizeof snapshot, .writer = fake_writer(r->host)};
    assert_int_equal(kinesis_source_ops.snapshot(r->control, &snapshot), WEIR_OK);
    weir_close close = {.struct_size = sizeof close};
    kinesis_source_ops.close(r->control, &close);
    kinesis_source_ops.destroy(r->control);
    weir_open again = {0};
    again.blobs = fake_blobs(r->host, &again.blob_count);
    assert_int_equal(again.blob_count, 1);
    r->control = open_instance(r, WEIR_ROLE_CONTROL, WEIR_OK, &again);
    int64_t next_ns = -1;
    assert_int_equal(enumerate(r, &next_ns), WEIR_OK);
    assert_true(private_decode(bytes, &second));
    bytes.ptr = r->splits[0].private_bytes;
    assert_true(private_decode(bytes, &second));
    assert_int_equal(second.start.us, first.start.us);
    assert_int_equal(second.stop_us, first.stop_us);
    assert_int_equal(next_ns, 0); /* all that will ever be there was listed */

    read_ends(r, 0); /* caught up behind the moment: that is the end */
    assert_int_equal(r->records, 20);
    finish(r);
    test_free(r);
}

static void several_streams(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    set(r, "stream", NULL);
    set(r, "streams", "clicks arn:aws:kinesis:eu-west-1:123456789012:stream/views");
    r->service.shards[0] = (fake_shard){.exists = true, .records = 10};
    open_all(r);
    assert_int_equal(r->split_count, 2);
    assert_string_equal(r->splits[0].id, "clicks:shardId-0");
    assert_string_equal(r->splits[1].id, "views:shardId-0");
    assign(r, 1, 1);
    assert_int_equal(read_until(r, 10), WEIR_OK);
    assert_non_null(strstr(r->service.last_iterator_request, "\"StreamARN\":\"arn:aws:kinesis"));
    finish(r);
    test_free(r);
}

static void metadata_on_request(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true, .records = 1300};
    r->service.page = 1300;
    const char *names[] = {WEIR_META_STREAM,        WEIR_META_SPLIT,        WEIR_META_POSITION,
                           WEIR_META_PARTITION_KEY, WEIR_META_ARRIVAL_TIME, "weir.topic"};
    uint32_t len[6];
    for (int i = 0; i < 6; i++) len[i] = (uint32_t)strlen(names[i]);
    weir_open control = {0}, task = {.meta_count = 6, .meta_ptr = names, .meta_len = len};
    r->host = fake_host_new(r->options);
    r->control = open_instance(r, WEIR_ROLE_CONTROL, WEIR_OK, &control);
    r->task = open_instance(r, WEIR_ROLE_TASK, WEIR_OK, &task);
    assert_int_equal(enumerate(r, NULL), WEIR_OK);
    assign(r, 0, 1);
    weir_poll args = {.struct_size = sizeof args, .room_records = 2000, .room_bytes = 1 << 30};
    do {
        args.deadline_ns = now_ns() + 10 * SECOND;
        args.error = fake_error(r->host);
    } while (kinesis_source_ops.poll(r->task, &args) != WEIR_OK);
    const weir_rows *rows = args.batch->rows;
    assert_int_equal(rows->count, 1300);
    assert_int_equal(rows->meta_count, 5);
    static const char *const want[] = {"clicks", "shardId-0", "2234", "k1234", "1767225634250"};
    for (uint32_t i = 0; i < 5; i++) {
        const weir_column *c = rows->meta[i];
        uint32_t row = c->encoding == WEIR_COLUMN_CONSTANT ? 0 : 1234;
        assert_true(weir_str_is(c->name, names[i]));
        assert_int_equal(c->len[row], strlen(want[i]));
        assert_memory_equal(c->ptr[row], want[i], c->len[row]);
    }
    weir_api_of(fake_ctx(r->host))->batch.release(args.batch);
    finish(r);
    test_free(r);
}

static void *cancel_soon(void *task) {
    kinesis_source_ops.wakeup(task);
    kinesis_source_ops.cancel(task);
    return NULL;
}

static void cancel_from_elsewhere(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    begin(r);
    r->service.shards[0] = (fake_shard){.exists = true};
    set(r, "empty_interval", "60000000000");
    open_all(r);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, r->task);
    weir_status status;
    int64_t begun = now_ns();
    while ((status = poll_once(r, 60 * SECOND)) >= 0) continue;
    assert_int_equal(status, WEIR_E_CANCELLED);
    assert_true(now_ns() - begun < 30 * SECOND);
    pthread_join(thread, NULL);
    assert_int_equal(poll_once(r, SECOND), WEIR_E_CANCELLED); /* sticky */
    finish(r);
    test_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_shards_in_pages),
        cmocka_unit_test(trouble_loses_and_repeats_nothing),
        cmocka_unit_test(small_rooms_share_a_page),
        cmocka_unit_test(back_pressure_makes_no_calls),
        cmocka_unit_test(children_come_with_the_end),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(half_a_pair_is_refused),
        cmocka_unit_test(positions_and_moments_are_asked_for),
        cmocka_unit_test(latest_is_one_moment),
        cmocka_unit_test(several_streams),
        cmocka_unit_test(metadata_on_request),
        cmocka_unit_test(cancel_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
