#include "fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

static const char good[] =
    "weir: 1\n"
    "name: clicks-to-lake\n"
    "description: Click events, large ones only\n"
    "settings:\n"
    "  parallelism: 2\n"
    "  memory: 64MiB\n"
    "properties:\n"
    "  input: {stream: clicks}\n"
    "sources:\n"
    "  clicks:\n"
    "    type: kin\n"
    "    stream: ${input.stream}\n"
    "    start: trim_horizon\n"
    "    format: json\n"
    "    event_time: {field: .ts}\n"
    "transforms:\n"
    "  large: {type: filter, input: clicks, where: \".amount > 10\"}\n"
    "sinks:\n"
    "  lake: {type: file, input: large, path: 'clicks/dt=${time:%Y-%m-%d}/', format: json,\n"
    "    on_error: {dead_letter: errors}}\n"
    "  errors: {type: file, path: errors.jsonl, format: json}\n";

static void test_good(void **state) {
    (void)state;
    loaded l = load_with(good, NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    assert_int_equal(diags_count(l.out), 0);
    assert_true(str_eq_z(l.p->name, "clicks-to-lake"));
    assert_true(str_eq_z(l.p->description, "Click events, large ones only"));
    assert_string_equal(l.p->file, "dir/m.yaml");
    assert_int_equal(l.p->base_dir.ptr[0], '/');
    assert_true(str_ends(l.p->base_dir, STR("/dir")));
    assert_int_equal(l.p->node_count, 4);
    assert_true(str_eq_z(option_of(&l, "clicks", "stream")->text, "clicks"));
    assert_true(option_of(&l, "lake", "path")->tmpl->needs_time);
    loaded_free(&l);
}

static void test_head(void **state) {
    (void)state;
#define BODY "sources:\n  in: {type: kin, stream: s}\nsinks:\n  out: {type: hole, input: in}\n"
    expect("name: t\n" BODY, "0:0 missing-key\n");
    expect("weir: 1\n" BODY, "0:0 missing-key\n");
    expect("weir: 2\nname: t\n" BODY, "1:7 unsupported-version\n");
    expect("weir: one\nname: t\n" BODY, "1:7 wrong-type\n");
    expect("weir: 1\nname: a/b\n" BODY, "2:7 bad-name\n");
    expect("weir: 1\nname: ''\n" BODY, "2:7 bad-name\n");
    expect("weir: 1\nname: ..\n" BODY, "2:7 bad-name\n");
    expect("weir: 1\nname: [t]\n" BODY, "2:7 wrong-type\n");
    expect("weir: 1\nname: t\ndescription: {}\n" BODY, "3:14 wrong-type\n");
    expect_text("weir: 1\nname: t\nsource: {}\nsinkz: {}\nqwertyuiop: 1\n" BODY,
                "3:1 unknown-key\n4:1 unknown-key\n5:1 unknown-key\n", "did you mean 'sources'?",
                "did you mean 'sinks'?", NULL);
    expect("- a\n", "1:1 wrong-type\n");
    expect("just text\n", "1:1 wrong-type\n");
}

static void test_sections(void **state) {
    (void)state;
    expect("weir: 1\nname: t\n", "0:0 missing-key\n0:0 missing-key\n");
    expect("weir: 1\nname: t\nsources: {}\nsinks:\n", "3:1 missing-key\n4:1 missing-key\n");
    expect("weir: 1\nname: t\nsources: [a]\nsinks: x\n", "3:10 wrong-type\n4:8 wrong-type\n");
    expect("weir: 1\nname: t\ntransforms:\nplugins:\nproperties:\nsettings:\n" BODY, "");
}

static void test_all_errors_in_one_pass(void **state) {
    (void)state;
    expect("weir: 1\n"
           "name: 'bad name'\n"
           "settings: {paralelism: 2, memory: lots}\n"
           "properties: {input: {stream: s}}\n"
           "sources:\n"
           "  clicks: {type: kin, stream: '${input.strem}', intervall: 1s, interval: 1ms}\n"
           "  other: {type: missing}\n"
           "  clicks: {type: kin, stream: again}\n"
           "transforms:\n"
           "  large: {type: filter, input: click}\n"
           "sinks:\n"
           "  lake: {type: file, inputs: [large, other], format: {type: json, compression: gzip}}\n"
           "  bad: {type: file, path: '${kee}', input: clicks, on_error: {dead_letter: nowhere}}\n",
           "2:7 bad-name\n"
           "3:12 unknown-key\n"
           "3:35 wrong-type\n"
           "w 4:22 unused-property\n"
           "6:32 undefined-reference\n"
           "6:49 unknown-key\n"
           "6:74 out-of-range\n"
           "7:17 unknown-component\n"
           "8:3 duplicate-key\n"
           "10:3 missing-option\n"
           "10:32 unknown-node\n"
           "12:3 missing-option\n"
           "12:67 not-available\n"
           "13:28 bad-reference\n"
           "13:76 unknown-node\n");
}

static void test_plugins(void **state) {
    (void)state;
#define P(plugins) "weir: 1\nname: t\nplugins: " plugins "\n" BODY
    expect(P("{std: {version: 1.2.0}}"), "");
    added_path[0] = '\0';
    expect(P("{std: {path: ./std.so, sha256: "
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}}"),
           "");
    assert_non_null(strstr(added_path, "/dir/./std.so"));
    assert_int_equal(strlen(added_sha256), 64);
    expect(P("{std: {version: 1.3.0}}"), "3:17 plugin-version\n");
    expect(P("{other: {version: 1.3.0}}"), "3:11 plugin-refused\n");
    expect_text(P("{x: {path: bad.so}}"), "3:11 plugin-refused\n", "not an ELF file", NULL);
    expect(P("{std: {path: a.so, sha256: 12}}"), "3:37 pattern-mismatch\n");
    expect(P("{std: {sha256: "
             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}}"),
           "3:17 option-requires\n");
    expect(P("{std: {pth: a.so}}"), "3:17 unknown-key\n");
    expect(P("{std: a.so}"), "3:16 wrong-type\n");
    expect(P("[a.so]"), "3:10 wrong-type\n");
}

/* The result keeps nothing of the text, the tree or the diagnostics. */
static void test_result_stands_alone(void **state) {
    (void)state;
    loaded l = load_with(good, NULL);
    diags_free(l.out);
    l.out = diags_new();
    assert_string_equal(node_of(&l, "lake")->at.file, "dir/m.yaml");
    assert_string_equal(option_of(&l, "clicks", "stream")->at.file, "dir/m.yaml");
    loaded_free(&l);
}

/* However little memory there is, the answer is a result or a clean error. */
static void test_memory_runs_out(void **state) {
    (void)state;
    manifest_input input = {.path = "m.yaml"};
    bool succeeded = false;
    for (size_t max = 64; !succeeded; max += 96) {
        arena *memory = arena_new(max);
        diags *out = diags_new();
        const pipeline *p = manifest_load_text(&input, STR(good), NULL, memory, out);
        succeeded = p != NULL;
        if (p == NULL) {
            assert_true(diags_errors(out) > 0);
            const diag *d = diags_get(out, diags_count(out) - 1);
            assert_non_null(d);
        }
        diags_free(out);
        arena_free(memory);
        assert_true(max < 1 << 20);
    }
}

/* The n-th allocation from the system fails, for every n. */
static void test_allocations_fail(void **state) {
    (void)state;
    manifest_input input = {.path = "m.yaml"};
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        arena *memory = arena_new(1 << 20);
        diags *out = diags_new();
        assert_non_null(memory);
        assert_non_null(out);
        mem_test_fail_at(n, false);
        const pipeline *p = manifest_load_text(&input, STR(good), NULL, memory, out);
        failed = mem_test_fail_at(0, false);
        assert_true(p != NULL || diags_errors(out) > 0);
        assert_true(p != NULL || failed);
        diags_free(out);
        arena_free(memory);
    }
}

/* Generous, since sanitizers and busy machines slow it down; it takes some 100 us. */
static void test_speed(void **state) {
    (void)state;
    struct timespec a, b;
    double best = 1e9;
    for (int i = 0; i < 20; i++) {
        arena *memory = arena_new(1 << 20);
        diags *out = diags_new();
        manifest_input input = {.path = "m.yaml"};
        clock_gettime(CLOCK_MONOTONIC, &a);
        const pipeline *p = manifest_load_text(&input, STR(good), NULL, memory, out);
        clock_gettime(CLOCK_MONOTONIC, &b);
        assert_non_null(p);
        double us = (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
        if (us < best) best = us;
        diags_free(out);
        arena_free(memory);
    }
    print_message("a 21-line manifest: %.0f us\n", best);
    assert_true(best < 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_all_errors_in_one_pass),
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_result_stands_alone),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_allocations_fail),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
