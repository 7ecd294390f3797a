#include "fixture.h"

#include "weir/host.h"

#define M(source, sink)                                                                            \
    "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s" source "}\n"                         \
    "sinks:\n  out: {type: file, path: x, input: in" sink "}\n"

static void test_defaults(void **state) {
    (void)state;
    loaded l = load_with(M("", ""), NULL);
    assert_non_null(l.p);
    const format_spec *in = &node_of(&l, "in")->format, *out = &node_of(&l, "out")->format;
    assert_true(str_eq_z(in->type, "raw"));
    assert_null(in->serde);
    assert_int_equal(in->framing, FRAMING_NONE);
    assert_int_equal(out->framing, FRAMING_LINES); /* file's default */
    assert_int_equal(out->compression, WEIR_COMPRESSION_NONE);
    assert_int_equal(out->pass_through, PASS_AUTO);
    loaded_free(&l);
}

static void test_given(void **state) {
    (void)state;
    loaded l = load_with(M(", format: json", ", format: {type: json, framing: length, "
                                             "compression: none, pass_through: never, depth: 5}"),
                         NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    const format_spec *in = &node_of(&l, "in")->format, *out = &node_of(&l, "out")->format;
    assert_true(str_eq_z(in->type, "json"));
    assert_non_null(in->serde);
    assert_int_equal(options_get(&in->options, STR("depth"))->i64, 128);
    assert_int_equal(in->at.column, 30);
    assert_int_equal(out->framing, FRAMING_LENGTH);
    assert_int_equal(out->pass_through, PASS_NEVER);
    assert_int_equal(options_get(&out->options, STR("depth"))->i64, 5);
    assert_null(options_get(&out->options, STR("framing")));
    loaded_free(&l);
    l = load_with(M("", ", format: {type: raw, framing: none}"), NULL);
    assert_non_null(l.p);
    assert_int_equal(node_of(&l, "out")->format.framing, FRAMING_NONE);
    loaded_free(&l);
}

static void test_errors(void **state) {
    (void)state;
    expect_text(M(", format: jason", ""), "4:38 unknown-component\n", "\"jason\"", NULL);
    expect(M(", format: {type: jason, deep: '${a.b}'}", ""),
           "4:45 unknown-component\n4:59 undefined-reference\n");
    expect_text(M(", format: {type: json, dpth: 1}", ""), "4:51 unknown-key\n",
                "unknown key 'dpth' in format json", "did you mean 'depth'?", NULL);
    expect(M(", format: {type: json, depth: 0}", ""), "4:58 out-of-range\n");
    expect(M("", ", format: {type: raw, depth: 1}"), "6:61 unknown-key\n");
    expect(M(", format: {depth: 1}", ""), "4:30 missing-key\n");
    expect(M(", format: [json]", ""), "4:38 wrong-type\n");
    expect(M(", format: ", ""), "4:38 wrong-type\n");
    expect(M("", ", format: {type: json, framing: words}"), "6:71 unknown-value\n");
    expect_text(M("", ", format: {type: json, compression: gzip}"), "6:62 not-available\n",
                "this version does not compress", NULL);
    expect(M("", ", format: {type: json, compression: rar}"), "6:75 unknown-value\n");
    expect_text(M(", format: {type: json, framing: lines}", ""), "4:51 not-available\n",
                "kin moves whole records", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_given),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
