#include "fixture.h"

static void test_typed(void **state) {
    (void)state;
    loaded l = load_with(AROUND("    start: trim_horizon\n    interval: 2s\n    size: 4KiB\n"
                                "    count: 7\n    attempts: unlimited\n    ratio: 0.25\n"
                                "    verify: true\n    since: 2026-01-01T00:00:00Z\n"
                                "    labels: [a, b]\n    tags: {x: 1, y: two}\n"
                                "    auth: {user: me, password: $$ecret}\n"),
                         NULL);
    assert_non_null(l.p);
    assert_int_equal(option_of(&l, "in", "start")->i64, 1);
    assert_int_equal(option_of(&l, "in", "interval")->i64, 2000000000);
    assert_false(option_of(&l, "in", "interval")->is_default);
    assert_int_equal(option_of(&l, "in", "interval")->at.line, 8);
    assert_int_equal(option_of(&l, "in", "size")->i64, 4096);
    assert_int_equal(option_of(&l, "in", "count")->i64, 7);
    assert_true(option_of(&l, "in", "attempts")->is_word);
    assert_int_equal(option_of(&l, "in", "attempts")->i64, -1);
    assert_true(option_of(&l, "in", "ratio")->f64 == 0.25);
    assert_int_equal(option_of(&l, "in", "verify")->i64, 1);
    assert_int_equal(option_of(&l, "in", "since")->i64, INT64_C(1767225600000000));
    const option_value *labels = option_of(&l, "in", "labels");
    assert_int_equal(labels->entry_count, 2);
    assert_null(labels->entry_names);
    assert_true(str_eq_z(labels->entry_values[1], "b"));
    const option_value *tags = option_of(&l, "in", "tags");
    assert_int_equal(tags->entry_count, 2);
    assert_true(str_eq_z(tags->entry_names[1], "y"));
    assert_true(str_eq_z(tags->entry_values[1], "two"));
    assert_true(option_of(&l, "in", "auth")->is_map);
    assert_true(str_eq_z(option_of(&l, "in", "auth.password")->text, "$ecret"));
    assert_null(option_of(&l, "in", "consumer"));
    assert_null(option_of(&l, "in", "type"));
    loaded_free(&l);
}

static void test_defaults(void **state) {
    (void)state;
    loaded l = load_with("weir: 1\nname: t\nsources:\n  in: {type: kin, streams: s}\n"
                         "sinks:\n  out: {type: file, input: in, path: x}\n",
                         NULL);
    assert_non_null(l.p);
    assert_true(option_of(&l, "in", "start")->is_default);
    assert_true(str_eq_z(option_of(&l, "in", "start")->text, "latest"));
    assert_int_equal(option_of(&l, "in", "interval")->i64, 200000000);
    assert_int_equal(option_of(&l, "in", "streams")->entry_count, 1); /* a lone scalar */
    assert_null(option_of(&l, "out", "roll"));
    assert_int_equal(option_of(&l, "out", "roll.age")->i64, INT64_C(300000000000));
    assert_true(option_of(&l, "out", "roll.age")->is_default);
    assert_null(option_of(&l, "out", "roll.size"));
    loaded_free(&l);
}

static void test_scalar_or_mapping(void **state) {
    (void)state;
    loaded l = load_with(AROUND("    start: {timestamp: 1767225600.25}\n"), NULL);
    assert_non_null(l.p);
    assert_true(option_of(&l, "in", "start")->is_map);
    assert_int_equal(option_of(&l, "in", "start")->text.len, 0);
    assert_int_equal(option_of(&l, "in", "start.timestamp")->i64, INT64_C(1767225600250000));
    loaded_free(&l);
    expect(AROUND("    start: [latest]\n"), "7:12 wrong-type\n");
}

static void test_unknown_keys(void **state) {
    (void)state;
    expect_text(AROUND("    intervall: 2s\n    zzzzzz: 1\n"), "7:5 unknown-key\n8:5 unknown-key\n",
                "dir/m.yaml:7:5: error: unknown key 'intervall' in source 'in' (kin)",
                "did you mean 'interval'?", NULL);
    expect_text(AROUND("    auth: {user: a, pasword: b}\n"), "7:21 unknown-key\n",
                "in source 'in' (kin), auth", "did you mean 'password'?", NULL);
    expect_text(AROUND("    auth.user: x\n"), "7:5 unknown-key\n", "write auth: {user: ...}", NULL);
    /* A core word misspelt. */
    expect_text(AROUND("    paralelism: 2\n"), "7:5 unknown-key\n", "did you mean 'parallelism'?",
                NULL);
}

static void test_wrong_types(void **state) {
    (void)state;
    expect_text(AROUND("    interval: soon\n    size: [1]\n    count: 1.5\n    ratio: x\n"
                       "    verify: yes\n    since: yesterday\n    labels: {a: b}\n"
                       "    tags: text\n    auth: me\n    stream2: x\n"),
                "7:15 wrong-type\n8:11 wrong-type\n9:12 wrong-type\n10:12 wrong-type\n"
                "11:13 wrong-type\n12:12 wrong-type\n13:13 wrong-type\n14:11 wrong-type\n"
                "15:11 wrong-type\n16:5 unknown-key\n",
                "'interval' must be a duration such as 200ms, 5s, 10m or 1h, found 'soon'",
                "'verify' must be true or false, found 'yes'", "hint: write true",
                "hint: write auth: {user: ...}", NULL);
    expect_text(AROUND("    interval: 5\n"), "7:15 wrong-type\n", "add a unit", NULL);
    expect_text(AROUND("    interval:\n"), "7:14 wrong-type\n", "found nothing",
                "leave the key out", NULL);
    expect(AROUND("    consumer: {a: b}\n"), "7:15 wrong-type\n");
    expect(AROUND("    tags: {a: [1]}\n"), "7:15 wrong-type\n");
}

static void test_ranges(void **state) {
    (void)state;
    expect_text(AROUND("    interval: 100ms\n    size: 10\n    count: 101\n    ratio: 1.5\n"),
                "7:15 out-of-range\n8:11 out-of-range\n9:12 out-of-range\n10:12 out-of-range\n",
                "'interval' must be from 200ms to 1h, found '100ms'",
                "'size' must be at least 1KiB, found '10'", "'count' must be at most 100", NULL);
    expect_text(AROUND("    since: 1767225600000\n"), "7:12 out-of-range\n", "milliseconds?", NULL);
    expect(AROUND("    ratio: inf\n"), "7:12 wrong-type\n");
}

static void test_enum_and_pattern(void **state) {
    (void)state;
    expect_text(AROUND("    start: trim_horizn\n    labels: [ok, NO]\n"),
                "7:12 unknown-value\n8:18 pattern-mismatch\n",
                "'start' must be latest or trim_horizon, or {timestamp: ...}, found 'trim_horizn'",
                "did you mean 'trim_horizon'?", "'labels' must match ^[a-z]+$, found 'NO'", NULL);
}

static void test_a_plugins_mistake(void **state) {
    (void)state;
    expect_text(AROUND("    odd: x\n"), "7:10 bad-pattern\n", "tell the plugin's author", NULL);
}

static void test_required(void **state) {
    (void)state;
    expect_text("weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\n"
                "sinks:\n  out: {type: file, input: in}\n",
                "6:3 missing-option\n", "sink 'out' (file) needs 'path', a template",
                "for example path: out/events.jsonl", NULL);
    expect(AROUND("    auth: {password: x}\n"), "7:5 missing-option\n");
}

static void test_rules(void **state) {
    (void)state;
    expect_text(AROUND("    reader: efo\n"), "7:5 option-requires\n",
                "'reader=efo' needs 'consumer'", "fan-out reads as a registered consumer", NULL);
    expect(AROUND("    reader: efo\n    consumer: c\n"), "");
    expect_text(AROUND("    endpoint: e\n    fips: true\n"), "8:5 option-conflict\n",
                "'fips' cannot stand beside 'endpoint'", NULL);
    expect(AROUND("    streams: [a]\n"), "7:5 option-one-of\n");
    expect_text("weir: 1\nname: t\nsources:\n  in: {type: kin}\n"
                "sinks:\n  out: {type: hole, input: in}\n",
                "4:3 option-one-of\n", "needs stream or streams", NULL);
}

static void test_deprecated(void **state) {
    (void)state;
    loaded l = load_with(AROUND("    pause: 1s\n"), NULL);
    assert_non_null(l.p);
    assert_string_equal(l.summary.data, "w 7:5 deprecated-option\n");
    assert_string_equal(diags_get(l.out, 0)->hint, "use 'interval'");
    assert_int_equal(option_of(&l, "in", "pause")->i64, 1000000000);
    loaded_free(&l);
}

static void test_secrets_stay_secret(void **state) {
    (void)state;
    loaded l = load_with(AROUND("    auth: {user: u, password: HUNTER2}\n"), NULL);
    assert_string_equal(l.summary.data, "7:31 pattern-mismatch\n");
    assert_null(strstr(l.text.data, "HUNTER2"));
    loaded_free(&l);
}

#define SINK(options)                                                                              \
    "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\nsinks:\n  out:\n"                   \
    "    type: kaf\n    input: in\n" options

static void test_prefixes(void **state) {
    (void)state;
    loaded l =
        load_with(SINK("    properties: {linger.ms: 5, b: x}\n    properties.acks: all\n"), NULL);
    assert_non_null(l.p);
    assert_true(str_eq_z(option_of(&l, "out", "properties.linger.ms")->text, "5"));
    assert_null(option_of(&l, "out", "properties.acks")->option);
    const option_value *all = option_of(&l, "out", "properties");
    assert_int_equal(all->entry_count, 3);
    assert_true(str_eq_z(all->entry_names[0], "linger.ms"));
    assert_true(str_eq_z(all->entry_names[2], "acks"));
    assert_true(str_eq_z(all->entry_values[2], "all"));
    loaded_free(&l);
    expect(SINK("    properties: {a: 1}\n    properties.a: 2\n"), "10:5 duplicate-key\n");
    expect(SINK("    properties: 5\n"), "9:17 wrong-type\n");
    expect(SINK("    properties: {a: [1]}\n"), "9:21 wrong-type\n");
}

static void test_templates(void **state) {
    (void)state;
    loaded l = load_with(SINK("    topic: t-${.kind}\n    headers: {a: '${key}', b: fix}\n"), NULL);
    assert_non_null(l.p);
    assert_int_equal(option_of(&l, "out", "topic")->tmpl->count, 2);
    const option_value *h = option_of(&l, "out", "headers");
    assert_int_equal(h->entry_count, 2);
    assert_true(h->entry_tmpls[0]->needs_key);
    assert_true(h->entry_tmpls[1]->constant);
    loaded_free(&l);
    /* The column is that of the wrong word. */
    expect_text(SINK("    topic: \"t-${.a|upper}\"\n"), "9:20 bad-template\n",
                "template 'topic': unknown filter 'upper'", NULL);
    expect(SINK("    headers: {a: '${.}'}\n"), "9:22 bad-template\n");
    expect_text("weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\n"
                "sinks:\n  out: {type: file, input: in, path: '${.user}/x'}\n",
                "6:38 template-start\n", "must begin with literal text", NULL);
    expect(SINK("    headers: {'${env:HOME}': x}\n"), "9:15 reference-in-key\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typed),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_scalar_or_mapping),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_enum_and_pattern),
        cmocka_unit_test(test_a_plugins_mistake),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_deprecated),
        cmocka_unit_test(test_secrets_stay_secret),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
