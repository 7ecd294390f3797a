#include "fixture.h"

#include "base/clock.h"

#define M(source, sink)                                                                            \
    "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s" source "}\n"                         \
    "sinks:\n  out: {type: kaf, input: in" sink "}\n"

static void test_defaults(void **state) {
    (void)state;
    loaded l = load_with(M("", ""), NULL);
    assert_non_null(l.p);
    const node *in = node_of(&l, "in"), *out = node_of(&l, "out");
    assert_int_equal(in->kind, WEIR_KIND_SOURCE);
    assert_true(str_eq_z(in->type, "kin"));
    assert_true(str_eq(component_note(in->component)->name, in->type));
    assert_int_equal(in->at.line, 4);
    assert_int_equal(in->parallelism, 1);
    assert_int_equal(in->on_error, ON_ERROR_FAIL);
    assert_false(in->event_time.given);
    assert_int_equal(out->exchange, EXCHANGE_SPLIT);
    assert_int_equal(out->batch.records, 0);
    assert_int_equal(out->batch.linger_ns, 0);
    assert_int_equal(out->batch.buffered, 10000);
    assert_true(out->retry.attempts == UINT64_MAX);
    assert_int_equal(out->retry.base_ns, 300 * CLOCK_NS_PER_MS);
    assert_int_equal(out->retry.max_ns, 20 * CLOCK_NS_PER_S);
    assert_int_equal(out->retry.timeout_ns, 60 * CLOCK_NS_PER_S);
    assert_true(out->retry.jitter);
    assert_int_equal(out->delivery, DELIVERY_UNSET);
    loaded_free(&l);
}

static void test_given(void **state) {
    (void)state;
    loaded l = load_with(
        M(", parallelism: 3, format: json, event_time: {field: .a.ts, unit: ms}, isolation: none",
          ", exchange: {key: '${.user}'}, batch: {records: 100, bytes: 64KiB, linger: 50ms, "
          "in_flight: 2, buffered: 200}, retry: {attempts: 5, base: 1s, max: 2s, jitter: none, "
          "timeout: 3s}, delivery: exactly_once, on_error: skip"),
        NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    const node *in = node_of(&l, "in"), *out = node_of(&l, "out");
    assert_int_equal(in->parallelism, 3);
    assert_true(in->event_time.given);
    assert_int_equal(in->event_time.field.len, 2);
    assert_int_equal(in->event_time.unit, TIME_MS);
    assert_int_equal(out->exchange, EXCHANGE_KEY);
    assert_true(out->exchange_key->needs_tape);
    assert_int_equal(out->batch.records, 100);
    assert_int_equal(out->batch.bytes, 65536);
    assert_int_equal(out->batch.linger_ns, 50 * CLOCK_NS_PER_MS);
    assert_int_equal(out->batch.in_flight, 2);
    assert_int_equal(out->batch.buffered, 200);
    assert_int_equal(out->retry.attempts, 5);
    assert_int_equal(out->retry.base_ns, CLOCK_NS_PER_S);
    assert_int_equal(out->retry.max_ns, 2 * CLOCK_NS_PER_S);
    assert_int_equal(out->retry.timeout_ns, 3 * CLOCK_NS_PER_S);
    assert_false(out->retry.jitter);
    assert_int_equal(out->delivery, DELIVERY_EXACTLY_ONCE);
    assert_int_equal(out->on_error, ON_ERROR_SKIP);
    loaded_free(&l);
    l = load_with(M(", event_time: {}", ", exchange: round_robin"), NULL);
    assert_non_null(l.p);
    assert_true(node_of(&l, "in")->event_time.given);
    assert_int_equal(node_of(&l, "in")->event_time.field.len, 0);
    assert_int_equal(node_of(&l, "out")->exchange, EXCHANGE_ROUND_ROBIN);
    loaded_free(&l);
}

static void test_misplaced(void **state) {
    (void)state;
    expect_text(M(", batch: {records: 1}, input: x, exchange: split, delivery: exactly_once", ""),
                "4:30 misplaced-key\n4:51 misplaced-key\n4:61 misplaced-key\n4:78 misplaced-key\n",
                "'batch' is a word of sinks, found in source 'in'",
                "'input' is a word of transforms and sinks", NULL);
    expect(M("", ", event_time: {field: .a}"), "6:31 misplaced-key\n");
    expect("weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\ntransforms:\n"
           "  t: {type: same, input: in, format: json, retry: {attempts: 1}, batch: {}}\n"
           "sinks:\n  out: {type: hole, input: t}\n",
           "6:30 misplaced-key\n6:44 misplaced-key\n6:66 misplaced-key\n");
}

static void test_unavailable(void **state) {
    (void)state;
    expect_text(
        M(", event_time: {out_of_order: 5s, idle: 30s, align: {group: all, lead: 60s}}", ""),
        "4:43 not-available\n4:61 not-available\n4:72 not-available\n",
        "'event_time.out_of_order' is not available: watermarks do not exist yet", NULL);
    expect_text(M(", isolation: process", ""), "4:30 not-available\n",
                "'isolation' can only be none", NULL);
}

static void test_errors(void **state) {
    (void)state;
    expect(M(", parallelism: 0", ""), "4:43 out-of-range\n");
    expect(M(", parallelism: 200", ""), "4:30 out-of-range\n"); /* max_parallelism */
    expect(M("", ", batch: {records: 501}"), "6:39 out-of-range\n");
    expect(M("", ", batch: {bytes: 2MiB, in_flight: 6}"), "6:39 out-of-range\n6:52 out-of-range\n");
    expect(M("", ", batch: {records: 50, buffered: 10}"), "6:39 out-of-range\n");
    expect(M("", ", batch: {record: 50}"), "6:39 unknown-key\n");
    expect(M("", ", retry: {base: 30s}"), "6:39 out-of-range\n");
    expect(M("", ", retry: {jitter: some, attempts: 0}"),
           "6:47 unknown-value\n6:63 out-of-range\n");
    expect(M("", ", exchange: {key: user}"), "6:42 bad-template\n");
    expect(M("", ", exchange: {kee: '${key}'}"), "6:31 missing-option\n6:42 unknown-key\n");
    expect(M("", ", exchange: shuffle"), "6:41 unknown-value\n");
    expect(M(", on_error: retry", ""), "4:40 unknown-value\n");
    expect(M(", on_error: {dead_letter: [a]}", ""), "4:54 wrong-type\n");
    expect(M(", format: json, event_time: {field: ts}", ""), "4:64 bad-path\n");
    expect_text(M(", event_time: {field: .ts}", ""), "4:30 option-requires\n",
                "'event_time.field' reads a field, but source 'in' has no 'format'", NULL);
    expect(M(", event_time: {unit: ms}", ""), "4:43 option-requires\n");
    expect(M(", event_time: .ts", ""), "4:42 wrong-type\n");
}

static void test_inputs(void **state) {
    (void)state;
#define OUT(input)                                                                                 \
    "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\nsinks:\n"                           \
    "  out: {type: hole" input "}\n"
    expect(OUT(", inputs: in"), "");
    expect(OUT(", input: [in]"), "");
    expect(OUT(", input: in, inputs: [in]"), "6:32 option-conflict\n");
    expect(OUT(", inputs: []"), "6:29 wrong-type\n");
    expect(OUT(", input: {a: b}"), "6:28 wrong-type\n");
    expect(OUT(", input: "), "6:28 wrong-type\n");
    expect(OUT(", inputs: [[in]]"), "6:30 wrong-type\n");
}

static void test_shape(void **state) {
    (void)state;
    expect("weir: 1\nname: t\nsources:\n  in: kin\nsinks:\n  out: {type: hole, input: in}\n",
           "4:7 wrong-type\n");
    expect(
        "weir: 1\nname: t\nsources:\n  in: {stream: s}\nsinks:\n  out: {type: hole, input: in}\n",
        "4:3 missing-key\n");
    expect_text(
        "weir: 1\nname: t\nsources:\n  in: {type: kinesiss}\n"
        "sinks:\n  out: {type: hole, input: in}\n",
        "4:14 unknown-component\n",
        "no source named 'kinesiss' is installed [unknown-component]\n  hint: no component of",
        "is named \"kinesiss\"; looked in", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_given),
        cmocka_unit_test(test_misplaced), cmocka_unit_test(test_unavailable),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
