/* Fault rules: what is refused, in which words; and that chance and counters repeat themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/faults.h"
#include "admin/journal.h"
#include "admin/reshape.h"
#include "admin/rules.h"
#include "base/str.h"
#include "eventstream.h"

static local *home;

static int setup(void **state) {
    (void)state;
    char error[256];
    local_options o = {.seed = 5};
    home = local_new(&o, error, sizeof error);
    return home ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    local_free(home);
    return 0;
}

static rule_set *rules(const char *text, char error[256]) {
    weir_json_doc *doc = weir_json_read(str_of(text), WEIR_JSON_UNIQUE_KEYS, NULL);
    if (!doc) print_error("no JSON: %s\n", text);
    assert_non_null(doc);
    error[0] = 0;
    rule_set *s = rules_read(home, weir_json_root(doc), error, 256);
    weir_json_free(doc);
    return s;
}

static rule_set *good(const char *text) {
    char error[256];
    rule_set *s = rules(text, error);
    if (!s) print_error("%s: %s\n", text, error);
    assert_non_null(s);
    return s;
}

/* `inside` is what stands in the first rule. */
static void refused(const char *inside, const char *words) {
    char text[512], error[256], want[256];
    snprintf(text, sizeof text, "{\"rules\": [{%s}]}", inside);
    snprintf(want, sizeof want, "rule 0: %s", words);
    rule_set *s = rules(text, error);
    assert_null(s);
    assert_string_equal(error, want);
}

static void each_malformed_rule(void **state) {
    (void)state;
    refused("\"opperation\": \"x\"", "unknown member 'opperation'; did you mean 'operation'?");
    refused("\"zzz\": 1", "unknown member 'zzz'");
    refused("\"operation\": 3", "operation: expected a text");
    refused("\"service\": \"kinesys\"",
            "service: nobody here is called 'kinesys'; did you mean 'kinesis'?");
    refused("\"service\": \"dynamodb\"", "service: nobody here is called 'dynamodb'");
    refused("\"operation\": \"PutRecrods\"",
            "operation: no service here has an operation 'PutRecrods'; did you mean 'PutRecords'?");
    refused("\"service\": \"kinesis\", \"operation\": \"GetObject\"",
            "operation: kinesis has no operation 'GetObject'");
    refused("\"skip\": -1", "skip: expected an integer of at least 0");
    refused("\"every\": 0", "every: expected an integer of at least 1");
    refused("\"count\": 1.5", "count: expected an integer of at least 0");
    refused("\"probability\": 1.01", "probability: expected a number of 0 to 1");
    refused("\"probability\": \"1\"", "probability: expected a number of 0 to 1");
    refused("\"latency_ms\": -1", "latency_ms: expected an integer of 0 to 86400000");
    refused("\"jitter_ms\": 86400001", "jitter_ms: expected an integer of 0 to 86400000");
    refused("\"status\": 199", "status: expected an integer of 200 to 599");
    refused("\"status\": \"500\"", "status: expected an integer of 200 to 599");
    refused("\"exception\": null", "exception: expected a text");
    refused("\"body\": {}", "body: expected a text");
    refused("\"after\": 1", "after: expected true or false");
    refused("\"after\": true", "after: expected status, exception or body beside it");
    refused("\"retry_after_ms\": -5", "retry_after_ms: expected an integer of 0 to 86400000");
    refused("\"date_ms\": 1e300", "date_ms: expected an integer of -2147483647 to 2147483647");
    refused("\"cut\": 7", "cut: expected an object");
    refused("\"cut\": {\"att\": 7}", "cut: unknown member 'att'; did you mean 'at'?");
    refused("\"cut\": {\"at\": -7}", "cut: at: expected an integer of at least 0");
    refused("\"cut\": {\"how\": \"loudly\"}",
            "cut.how: expected close, reset, rst_stream, goaway or refused");
    refused("\"pace\": {\"bytes\": 0}", "pace: bytes: expected an integer of 1 to 2147483647");
    refused("\"pace\": {\"every_ms\": -1}", "pace: every_ms: expected an integer of 0 to 86400000");
    refused("\"records\": {\"indexes\": 1}", "records: indexes: expected an array");
    refused("\"records\": {\"indexes\": [0, -1]}",
            "records.indexes: expected integers of at least 0");
    refused("\"records\": {\"every\": 0}", "records: every: expected an integer of at least 1");
    refused("\"records\": {\"order\": \"random\"}", "records.order: expected reverse or shuffle");
    refused("\"stream\": {\"bad_crc_at\": \"1\"}",
            "stream: bad_crc_at: expected an integer of at least 0");
    refused("\"stream\": {\"bad_crc\": 1}",
            "stream: unknown member 'bad_crc'; did you mean 'bad_crc_at'?");
    refused("\"error_type\": {\"in\": \"footer\"}",
            "error_type.in: expected both, header, body or none");
    refused("\"error_type\": {\"prefix\": 1}", "error_type: prefix: expected a text");
    refused("\"json\": {\"timestamps\": \"roman\"}", "json.timestamps: expected exponent");
    refused("\"json\": {\"nulls\": [1]}", "json.nulls: expected texts only");
    refused("\"expire_keys\": 1",
            "expire_keys: expected true, for whoever signed, or a list of access keys");
    refused("\"expire_keys\": [1]", "expire_keys: expected texts only");
    static const char latency[] =
        "latency: expected {\"p50_ms\": N, \"p99_ms\": N, ...}, ascending";
    refused("\"latency\": {}", latency);
    refused("\"latency\": {\"p50\": 1}", latency);
    refused("\"latency\": {\"p101_ms\": 1}", latency);
    refused("\"latency\": {\"pfifty_ms\": 1}", latency);
    refused("\"latency\": {\"p50_ms\": \"1\"}", latency);
    refused("\"latency\": {\"p50_ms\": 10, \"p50_ms \": 1}", latency);
    refused("\"latency\": {\"p50_ms\": 10, \"p40_ms\": 20}", latency);
    refused("\"latency\": {\"p50_ms\": 10, \"p60_ms\": 5}", latency);
    char text[512];
    memset(text, 'x', 300);
    memcpy(text, "\"exception\": \"", 14);
    memcpy(text + 299, "\"", 2);
    refused(text, "exception: expected at most 127 bytes");
}

static void each_malformed_set(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"[]", "expected an object"},
        {"{}", "expected {\"rules\": [...]} with at most 1000 rules"},
        {"{\"rules\": 3}", "rules: expected an array"},
        {"{\"rules\": [3]}", "rule 0: expected an object"},
        {"{\"rules\": [{}, {\"every\": 0}]}", "rule 1: every: expected an integer of at least 1"},
        {"{\"rule\": []}", "unknown member 'rule'; did you mean 'rules'?"},
        {"{\"rules\": [], \"seed\": 1.5}", "seed: expected an integer of -9223372036854775808 to "
                                           "9223372036854775807"},
        {"{\"connections\": {\"idle\": 1}}", "connections: unknown member 'idle'"},
        {"{\"connections\": {\"close_after\": -1}}",
         "connections: close_after: expected an integer of 0 to 4294967295"},
        {"{\"connections\": {\"read_pace\": {\"bytes\": 0}}}",
         "connections: read_pace: bytes: expected an integer of 1 to 2147483647"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char error[256];
        assert_null(rules(bad[i].text, error));
        if (i != 6) assert_string_equal(error, bad[i].words);
    }
}

static void what_statuses_and_names_mean(void **state) {
    (void)state;
    rule_set *s = good("{\"rules\": [{\"status\": 429}, {\"status\": 503}, {\"status\": 500}, "
                       "{\"status\": 403}, {\"exception\": \"InternalFailure\"}, "
                       "{\"exception\": \"ServiceUnavailable\"}, {\"exception\": \"SlowDown\"}]}");
    static const struct {
        unsigned status;
        const char *exception;
    } want[] = {{429, "ThrottlingException"},
                {503, "ServiceUnavailable"},
                {500, "InternalFailure"},
                {403, "AccessDeniedException"},
                {500, "InternalFailure"},
                {503, "ServiceUnavailable"},
                {400, "SlowDown"}};
    const rule *r = s->rules;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++, r = r->next) {
        assert_int_equal(r->status, want[i].status);
        assert_string_equal(r->exception, want[i].exception);
    }
    assert_null(r);
    rules_free(s);
}

static void counters(void **state) {
    (void)state;
    rule_set *s = good("{\"rules\": [{\"skip\": 2, \"every\": 3, \"count\": 2}, {\"count\": 0}]}");
    static const bool want[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0};
    for (size_t i = 0; i < sizeof want; i++) assert_int_equal(rule_takes(s->rules), want[i]);
    assert_int_equal(s->rules->seen, sizeof want);
    assert_int_equal(s->rules->hits, 2);
    assert_false(rule_takes(s->rules->next));
    rules_free(s);
}

static uint64_t pattern(rule *r) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i++) bits = bits << 1 | rule_takes(r);
    return bits;
}

static void the_same_seed(void **state) {
    (void)state;
    static const char text[] = "{\"rules\": [{\"probability\": 0.5}, {\"probability\": 0.5}]}";
    static const char other[] = "{\"seed\": 6, \"rules\": [{\"probability\": 0.5}]}";
    rule_set *a = good(text), *b = good(text), *c = good(other);
    uint64_t first = pattern(a->rules);
    pattern(b->rules->next); /* another rule's chance is its own */
    assert_int_equal(first, pattern(b->rules));
    assert_int_not_equal(first, pattern(a->rules->next));
    assert_int_not_equal(first, pattern(c->rules));
    int ones = __builtin_popcountll(first);
    assert_in_range(ones, 16, 48);
    rules_free(a);
    rules_free(b);
    rules_free(c);
}

static void latency_follows_its_curve(void **state) {
    (void)state;
    rule_set *s = good("{\"rules\": [{\"latency_ms\": 1000, \"latency\": "
                       "{\"p50_ms\": 100, \"p90_ms\": 200, \"p99.9_ms\": 900}}]}");
    int below = 0, middle = 0, above = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t ms = rule_latency_ms(s->rules) - 1000;
        assert_in_range(ms, 0, 900);
        below += ms < 100;
        middle += ms >= 100 && ms < 200;
        above += ms >= 200;
    }
    assert_in_range(below, 4700, 5300);
    assert_in_range(middle, 3700, 4300);
    assert_in_range(above, 800, 1200);
    rules_free(s);
}

/* With both ends given nothing is outside of them, and each half is spread evenly. */
static void latency_from_foot_to_top(void **state) {
    (void)state;
    rule_set *s = good("{\"rules\": [{\"latency\": "
                       "{\"p0_ms\": 20, \"p50_ms\": 40, \"p100_ms\": 140}}]}");
    int quarters[4] = {0};
    for (int i = 0; i < 10000; i++) {
        int64_t ms = rule_latency_ms(s->rules);
        assert_in_range(ms, 20, 140);
        quarters[ms < 30 ? 0 : ms < 40 ? 1 : ms < 90 ? 2 : 3]++;
    }
    for (int i = 0; i < 4; i++) assert_in_range(quarters[i], 2200, 2800);
    rules_free(s);
}

static void texts_in_another_form(void **state) {
    (void)state;
    static const struct {
        const char *rule, *in, *out;
        bool error;
    } cases[] = {
        {"\"json\": {\"timestamps\": \"exponent\"}",
         "{\"A\":[{\"XTimestamp\":1763750000.123,\"Data\":\"a\\n\"}],\"B\":1.5,\"YTimestamp\":1700000000}",
         "{\"A\":[{\"XTimestamp\":1.763750000123E9,\"Data\":\"a\\n\"}],\"B\":1.5,\"YTimestamp\":1.7E9}",
         0},
        {"\"json\": {\"nulls\": [\"N\"]}", "{\"A\":{\"N\":1},\"B\":[{},2]}",
         "{\"A\":{\"N\":1},\"B\":[{\"N\":null},2],\"N\":null}", 0},
        {"\"error_type\": {\"in\": \"header\"}", "{\"__type\":\"E\",\"message\":\"m\"}",
         "{\"message\":\"m\"}", 1},
        {"\"error_type\": {\"prefix\": \"a#\", \"suffix\": \":b\"}",
         "{\"__type\":\"E\",\"o\":{\"__type\":\"E\"}}",
         "{\"__type\":\"a#E:b\",\"o\":{\"__type\":\"E\"}}", 1},
        {"\"error_type\": {\"in\": \"none\"}", "{\"__type\":\"E\"}", "{\"__type\":\"E\"}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"rules\": [{%s}]}", cases[i].rule);
        rule_set *s = good(text);
        buf out;
        buf_init(&out, 4096);
        assert_true(reshape_wanted(s->rules));
        assert_true(reshape_text(s->rules, false, cases[i].error, str_of(cases[i].in), &out));
        assert_string_equal(out.data, cases[i].out);
        assert_false(reshape_text(s->rules, false, false, STR("<html>"), &out));
        buf_free(&out);
        rules_free(s);
    }
}

static void cbor_in_another_form(void **state) {
    (void)state;
    rule_set *s = good(
        "{\"rules\": [{\"json\": {\"nulls\": [\"n\"]}, \"error_type\": {\"prefix\": \"a#\"}}]}");
    buf out;
    buf_init(&out, 4096);
    /* {"__type": "E", "t": 1(1000), "b": h'00ff'} of definite length */
    static const char in[] = "\xa3\x66__type\x61"
                             "E\x61t\xc1\x19\x03\xe8\x61"
                             "b\x42\x00\xff";
    static const char want[] = "\xbf\x66__type\x63"
                               "a#E\x61t\xc1\x19\x03\xe8\x61"
                               "b\x42\x00\xff\x61n\xf6\xff";
    assert_true(reshape_text(s->rules, true, true, str_make(in, sizeof in - 1), &out));
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.data, want, out.len);
    buf_free(&out);
    rules_free(s);
}

/* What our reader says to frame 1 under a rule. */
static const char *frame_under(const char *stream, bool *last) {
    char text[128];
    snprintf(text, sizeof text, "{\"rules\": [{\"stream\": {%s}}]}", stream);
    rule_set *s = good(text);
    weir_es_header headers[] = {
        {.name = STR(":event-type"), .type = WEIR_ES_STRING, .value = STR("E")},
        {.name = STR(":message-type"), .type = WEIR_ES_STRING, .value = STR("event")}};
    buf f, untouched;
    buf_init(&f, 4096);
    assert_true(buf_reserve(&f, 256));
    f.len = (size_t)weir_es_write(headers, 2, STR("{}"), f.data);
    buf_init(&untouched, 4096);
    buf_append(&untouched, f.data, f.len);
    assert_false(reshape_frame(s->rules, 0, &f));
    assert_int_equal(f.len, untouched.len);
    assert_memory_equal(f.data, untouched.data, f.len);
    *last = reshape_frame(s->rules, 1, &f);
    weir_es_reader r = {0};
    weir_es_frame frame;
    weir_es_feed(&r, buf_str(&f));
    weir_status status = weir_es_next(&r, &frame);
    static char said[64];
    if (status == WEIR_E_DATA)
        snprintf(said, sizeof said, "%s", r.fault);
    else if (status == WEIR_OK)
        snprintf(said, sizeof said, "%.*s", STR_FMT(weir_es_header_str(&frame, ":message-type")));
    else
        snprintf(said, sizeof said, "more");
    buf_free(&f);
    buf_free(&untouched);
    rules_free(s);
    return said;
}

static void frames(void **state) {
    (void)state;
    bool last;
    char crc[64], prelude[64], length[64], twice[64];
    snprintf(crc, sizeof crc, "%s", frame_under("\"bad_crc_at\": 1", &last));
    assert_false(last);
    snprintf(prelude, sizeof prelude, "%s", frame_under("\"bad_prelude_at\": 1", &last));
    snprintf(length, sizeof length, "%s", frame_under("\"bad_length_at\": 1", &last));
    snprintf(twice, sizeof twice, "%s", frame_under("\"duplicate_header_at\": 1", &last));
    assert_false(last);
    /* Each is refused for what it is. */
    assert_string_not_equal(crc, prelude);
    assert_string_not_equal(length, prelude);
    assert_string_not_equal(length, crc);
    assert_string_not_equal(twice, crc);
    assert_string_not_equal(twice, length);
    assert_string_not_equal(twice, "event");
    assert_string_equal(frame_under("\"unknown_type_at\": 1", &last), "rumour");
    assert_false(last);
    assert_string_equal(frame_under("\"error_at\": 1", &last), "error");
    assert_true(last);
    /* A frame in one piece that is not whole asks for room, and there is none. */
    frame_under("\"truncate_at\": 2", &last);
    assert_false(last);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_malformed_rule),
        cmocka_unit_test(each_malformed_set),
        cmocka_unit_test(what_statuses_and_names_mean),
        cmocka_unit_test(counters),
        cmocka_unit_test(the_same_seed),
        cmocka_unit_test(latency_follows_its_curve),
        cmocka_unit_test(latency_from_foot_to_top),
        cmocka_unit_test(texts_in_another_form),
        cmocka_unit_test(cbor_in_another_form),
        cmocka_unit_test(frames),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
