#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

/* An environment of the test's own. */
static const char *get(void *self, const char *name) {
    (void)self;
    if (strcmp(name, "STREAM") == 0) return "from-env";
    if (strcmp(name, "SECRET") == 0) return "HUNTER2";
    if (strcmp(name, "DOLLAR") == 0) return "a${key}$$";
    return NULL;
}

static unsigned reads;

static weir_status read_file(void *self, const char *path, size_t max, buf *out, weir_error *err) {
    (void)self;
    (void)max;
    reads++;
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    if (strcmp(name, "token") == 0)
        buf_append_z(out, "tok\r\n");
    else if (strcmp(name, "nul") == 0)
        buf_append(out, "a\0b", 3);
    else if (strcmp(name, "flink.json") == 0)
        buf_append_z(
            out, "[{\"PropertyGroupId\": \"input\", \"PropertyMap\": "
                 "{\"stream\":\"from-flink\",\"a.b\":\"\"}},\n"
                 " {\"PropertyGroupId\": \"a.dotted.group\", \"PropertyMap\": {\"k\": \"v\"}}]");
    else if (strcmp(name, "bad.json") == 0)
        buf_append_z(out, "[{\"PropertyGroupId\": \"g\", \"PropertyMap\": {\"k\": [1]}},\n"
                          "{\"PropertyGroupId\": \"g\", \"PropertyMap\": {}},\n"
                          "{\"PropertyGroupId\": \"h\", \"PropertyMop\": {}},\n"
                          "7]");
    else if (strcmp(name, "own.yaml") == 0)
        buf_append_z(out, "input: {stream: from-yaml}\nextra: {unused: 1}\n");
    else
        return error_set(err, WEIR_E_NOT_FOUND, 0, "%s: no such file", path);
    return WEIR_OK;
}

static const manifest_env env = {.get = get, .read = read_file};

static loaded with(const char *text, const char *const *properties, const char *const *set) {
    manifest_input input = {
        .path = "/dir/m.yaml", .env = &env, .set = set, .properties = properties};
    while (set != NULL && set[input.set_count] != NULL) input.set_count++;
    while (properties != NULL && properties[input.properties_count] != NULL) {
        input.properties_count++;
    }
    return load_input(text, strlen(text), &input);
}

static void check_with(const char *text, const char *const *properties, const char *const *set,
                       const char *summary) {
    loaded l = with(text, properties, set);
    const char *got = l.summary.data != NULL ? l.summary.data : "";
    if (strcmp(got, summary) != 0) print_error("%s", l.text.data);
    assert_string_equal(got, summary);
    loaded_free(&l);
}

#define M(properties, options)                                                                     \
    "weir: 1\nname: t\n" properties "sources:\n  in: {type: kin, " options "}\n"                   \
    "sinks:\n  out: {type: hole, input: in}\n"
#define IN(options) M("properties: {input: {stream: s1}}\n", options)

static void expect_stream(const char *text, const char *const *properties, const char *const *set,
                          const char *stream) {
    loaded l = with(text, properties, set);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    weir_str got = option_of(&l, "in", "stream")->text;
    if (!str_eq_z(got, stream)) print_error("%.*s\n", STR_FMT(got));
    assert_true(str_eq_z(got, stream));
    loaded_free(&l);
}

static void test_kinds(void **state) {
    (void)state;
    expect_stream(IN("stream: '${input.stream}'"), NULL, NULL, "s1");
    expect_stream(IN("stream: 'a-${input.stream}-${input.stream}'"), NULL, NULL, "a-s1-s1");
    expect_stream(M("", "stream: '${env:STREAM}'"), NULL, NULL, "from-env");
    expect_stream(M("", "stream: '${env:NONE:-d:-x}'"), NULL, NULL, "d:-x");
    expect_stream(M("", "stream: '${env:NONE:-}'"), NULL, NULL, "");
    expect_stream(M("", "stream: '${env:STREAM:-d}'"), NULL, NULL, "from-env");
    expect_stream(M("", "stream: '${file:/x/token}'"), NULL, NULL, "tok");
    expect_stream(M("", "stream: '$$${env:STREAM}$ $$x $'"), NULL, NULL, "$from-env$ $x $");
    expect_stream(M("", "stream: '$${env:STREAM}'"), NULL, NULL, "${env:STREAM}");
    /* What comes from outside is data, not text of the manifest. */
    expect_stream(M("", "stream: '${env:DOLLAR}'"), NULL, NULL, "a${key}$$");
}

static void test_files_are_read_once(void **state) {
    (void)state;
    reads = 0;
    expect_stream(M("", "stream: '${file:token}${file:token}', consumer: '${file:token}'"), NULL,
                  NULL, "toktok");
    assert_int_equal(reads, 1);
}

static void test_properties_refer(void **state) {
    (void)state;
    expect_stream(
        M("properties:\n  a: {x: '${b.y}-${env:STREAM}'}\n  b: {y: '$$z'}\n", "stream: '${a.x}'"),
        NULL, NULL, "$z-from-env");
    check_with(
        M("properties:\n  a: {x: '${b.y}', y: '${a.x}'}\n  b: {y: '${a.y}'}\n", "stream: '${a.x}'"),
        NULL, NULL, "4:7 reference-cycle\n");
}

static void test_templates(void **state) {
    (void)state;
    const char *text =
        "weir: 1\nname: t\nproperties: {p: {dir: 'a/${time:%Y}', d: '$$'}}\n"
        "sources:\n  in: {type: kin, stream: s}\nsinks:\n"
        "  out: {type: file, input: in, path: '${p.dir}${p.d}/${env:DOLLAR}/$$${.u}'}\n";
    loaded l = with(text, NULL, NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    const template_program *t = option_of(&l, "out", "path")->tmpl;
    assert_int_equal(t->count, 4);
    assert_true(str_eq_z(t->parts[0].text, "a/"));
    assert_int_equal(t->parts[1].kind, PART_TIME);
    assert_true(str_eq_z(t->parts[2].text, "$/a${key}$$/$"));
    assert_int_equal(t->parts[3].kind, PART_FIELD);
    loaded_free(&l);
    check_with(M("", "stream: '${.field}'"), NULL, NULL, "4:28 template-not-allowed\n");
    check_with(M("", "stream: 'a${time:%Y}'"), NULL, NULL, "4:29 template-not-allowed\n");
}

static void test_errors(void **state) {
    (void)state;
    check_with(IN("stream: '${input.stream}${input.strem}'"), NULL, NULL,
               "5:43 undefined-reference\n");
    loaded l = with(IN("stream: '${input.stream}${input.strem}'"), NULL, NULL);
    assert_string_equal(diags_get(l.out, 0)->hint, "did you mean '${input.stream}'?");
    loaded_free(&l);
    check_with(M("", "stream: '${env:NONE}'"), NULL, NULL, "4:28 undefined-reference\n");
    check_with(M("", "stream: '${a.b}', consumer: '${env:}'"), NULL, NULL,
               "4:28 undefined-reference\n4:48 undefined-reference\n");
    check_with(M("", "stream: '${stream}'"), NULL, NULL, "4:28 bad-reference\n");
    check_with(M("", "stream: '${}'"), NULL, NULL, "4:28 bad-reference\n");
    check_with(M("", "stream: 'x${a.b'"), NULL, NULL, "4:29 bad-reference\n");
    check_with(M("", "stream: '${file:/none}'"), NULL, NULL, "4:28 reference-file\n");
    check_with(M("", "stream: '${file:nul}'"), NULL, NULL, "4:28 reference-file\n");
}

static void test_unknown_components_are_still_resolved(void **state) {
    (void)state;
    check_with("weir: 1\nname: t\nsources:\n  in: {type: nope, x: '${a.b}', y: '${.f}'}\n"
               "sinks:\n  out: {type: hole, input: in}\n",
               NULL, NULL, "4:14 unknown-component\n4:24 undefined-reference\n");
    check_with(M("", "stream: s, strem: '${a.b}'"), NULL, NULL,
               "4:30 unknown-key\n4:38 undefined-reference\n");
}

static void test_outside_text_is_not_shown(void **state) {
    (void)state;
    loaded l = with(M("properties: {p: {q: 'x${env:SECRET}'}}\n",
                      "stream: s, interval: '${env:SECRET}', start: '${p.q}', count: '${p.q}'"),
                    NULL, NULL);
    assert_string_equal(l.summary.data, "5:40 wrong-type\n5:64 unknown-value\n5:81 wrong-type\n");
    assert_null(strstr(l.text.data, "HUNTER2"));
    assert_non_null(strstr(l.text.data, "found the value of '${env:SECRET}'"));
    loaded_free(&l);
}

/* Neither as a name, nor as the path or version of a plugin. */
static void test_names_from_outside_are_not_shown(void **state) {
    (void)state;
    loaded l = with("weir: 1\n"
                    "name: 'a b ${env:SECRET}'\n"
                    "plugins:\n"
                    "  std: {version: '${env:SECRET}'}\n"
                    "  acme: {path: '/${env:SECRET}/bad.so'}\n"
                    "sources:\n"
                    "  in: {type: '${env:SECRET}'}\n"
                    "  kin: {type: kin, stream: s, format: '${env:SECRET}'}\n"
                    "sinks:\n"
                    "  out: {type: hole, inputs: ['${env:SECRET}', kin],\n"
                    "    on_error: {dead_letter: '${env:SECRET}'}}\n",
                    NULL, NULL);
    assert_null(l.p);
    assert_null(strstr(l.text.data, "HUNTER2"));
    assert_string_equal(l.summary.data, "2:7 bad-name\n4:9 plugin-version\n5:3 plugin-refused\n"
                                        "7:14 unknown-component\n8:39 unknown-component\n"
                                        "10:30 unknown-node\n11:29 unknown-node\n");
    assert_non_null(strstr(l.text.data, "'a b ${env:SECRET}' cannot be a name of a pipeline"));
    assert_non_null(strstr(l.text.data, "the manifest asks for '${env:SECRET}'"));
    assert_non_null(strstr(l.text.data, "the file at '/${env:SECRET}/bad.so' is refused"));
    assert_non_null(strstr(l.text.data, "no source named '${env:SECRET}' is installed"));
    assert_non_null(strstr(l.text.data, "no format named '${env:SECRET}' is installed"));
    assert_non_null(strstr(l.text.data, "there is no node '${env:SECRET}' for sink 'out' to read"));
    assert_non_null(strstr(l.text.data, "there is no sink '${env:SECRET}' for the dead letters"));
    loaded_free(&l);
}

static void test_set(void **state) {
    (void)state;
    const char *const set[] = {"input.stream=first", "input.stream=a=b", NULL};
    expect_stream(IN("stream: '${input.stream}'"), NULL, set, "a=b");
    const char *const create[] = {"new.one=x", NULL};
    expect_stream(M("", "stream: '${new.one}'"), NULL, create, "x");
    const char *const unknown[] = {"input.strem=x", NULL};
    check_with(IN("stream: '${input.stream}'"), NULL, unknown, "0:0 unused-set\n");
    loaded l = with(IN("stream: '${input.stream}'"), NULL, unknown);
    assert_string_equal(diags_get(l.out, 0)->hint, "did you mean 'input.stream'?");
    assert_string_equal(diags_get(l.out, 0)->file, "--set");
    loaded_free(&l);
    const char *const bad[] = {"nonsense", "a=b", ".b=c", "a.=c", "a.b", NULL};
    check_with(M("", "stream: s"), NULL, bad,
               "0:0 bad-set\n0:0 bad-set\n0:0 bad-set\n0:0 bad-set\n0:0 bad-set\n");
}

static void test_unused(void **state) {
    (void)state;
    check_with(IN("stream: s"), NULL, NULL, "w 3:22 unused-property\n");
    /* Used by another property that is used. */
    check_with(M("properties: {a: {x: '${a.y}', y: z, w: '${a.v}', v: 1}}\n", "stream: '${a.x}'"),
               NULL, NULL, "w 3:37 unused-property\nw 3:50 unused-property\n");
    /* An unused one is still checked. */
    check_with(M("properties: {a: {x: '${b.c}'}}\n", "stream: s"), NULL, NULL,
               "3:18 undefined-reference\nw 3:18 unused-property\n");
}

static void test_property_files(void **state) {
    (void)state;
    const char *const flink[] = {"flink.json", NULL};
    expect_stream(IN("stream: '${input.stream}-${a.dotted.group.k}'"), flink, NULL, "from-flink-v");
    const char *const both[] = {"flink.json", "own.yaml", NULL};
    expect_stream(IN("stream: '${input.stream}'"), both, NULL, "from-yaml");
    const char *const set[] = {"input.stream=from-set", NULL};
    expect_stream(IN("stream: '${input.stream}'"), both, set, "from-set");
    check_with(IN("stream: '${input.stream}'"), both, NULL,
               "w 1:69 unused-property\nw 2:56 unused-property\nw 2:9 unused-property\n");
    const char *const bad[] = {"bad.json", NULL};
    check_with(M("", "stream: s"), bad, NULL,
               "w 1:43 unused-property\n1:48 wrong-type\n2:21 duplicate-key\n3:1 missing-key\n"
               "3:26 unknown-key\n4:1 wrong-type\n");
    const char *const none[] = {"none.yaml", NULL};
    check_with(M("", "stream: s"), none, NULL, "0:0 unreadable\n");
}

static void test_property_section(void **state) {
    (void)state;
    check_with(M("properties: [a]\n", "stream: s"), NULL, NULL, "3:13 wrong-type\n");
    check_with(M("properties: {a: b}\n", "stream: s"), NULL, NULL, "3:17 wrong-type\n");
    check_with(M("properties: {a: {b: [c]}}\n", "stream: '${a.b}'"), NULL, NULL,
               "3:21 wrong-type\n");
    check_with(M("properties: {a: {b.c: 1}, a.b: {c: 2}}\n", "stream: '${a.b.c}'"), NULL, NULL,
               "3:33 duplicate-key\n");
    check_with(M("properties:\n", "stream: s"), NULL, NULL, "");
}

static void test_growth_is_bounded(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    buf_append_z(&b, "weir: 1\nname: t\nproperties:\n  p:\n    a0: 'xxxxxxxxxxxxxxxxxxxx'\n");
    for (int i = 1; i < 30; i++) {
        buf_printf(&b, "    a%d: '${p.a%d}${p.a%d}${p.a%d}${p.a%d}'\n", i, i - 1, i - 1, i - 1,
                   i - 1);
    }
    buf_append_z(&b, "sources:\n  in: {type: kin, stream: '${p.a29}'}\n"
                     "sinks:\n  out: {type: hole, input: in}\n");
    loaded l = with(b.data, NULL, NULL);
    assert_null(l.p);
    assert_non_null(strstr(l.summary.data, "reference-too-large"));
    loaded_free(&l);
    buf_reset(&b);
    buf_append_z(&b, "weir: 1\nname: t\nproperties:\n  p:\n    a0: ''\n");
    for (int i = 1; i < 60; i++) buf_printf(&b, "    a%d: '${p.a%d}'\n", i, i - 1);
    buf_append_z(&b, "sources:\n  in: {type: kin, stream: '${p.a59}'}\n"
                     "sinks:\n  out: {type: hole, input: in}\n");
    loaded deep = with(b.data, NULL, NULL);
    assert_non_null(strstr(deep.summary.data, "reference-too-deep"));
    loaded_free(&deep);
    buf_free(&b);
}

/* The system's own environment and files, which the other tests replace. */
static void test_system(void **state) {
    (void)state;
    char dir[] = "/tmp/weir-manifest-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64], secret[64];
    snprintf(path, sizeof path, "%s/m.yaml", dir);
    snprintf(secret, sizeof secret, "%s/secret", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(M("", "stream: '${env:WEIR_TEST_STREAM}-${file:secret}'"), f);
    fclose(f);
    f = fopen(secret, "w");
    assert_non_null(f);
    fputs("s3cret\n", f);
    fclose(f);
    setenv("WEIR_TEST_STREAM", "x", 1);
    arena *memory = arena_new(1 << 20);
    diags *out = diags_new();
    manifest_input input = {.path = path};
    const pipeline *p = manifest_load(&input, NULL, memory, out);
    if (p == NULL) diags_print(out, stderr);
    assert_non_null(p);
    assert_true(str_eq_z(p->base_dir, dir));
    loaded l = {.p = p};
    assert_true(str_eq_z(option_of(&l, "in", "stream")->text, "x-s3cret"));
    unlink(path);
    assert_null(manifest_load(&input, NULL, memory, out));
    assert_string_equal(diags_get(out, 0)->code, "unreadable");
    unlink(secret);
    rmdir(dir);
    diags_free(out);
    arena_free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_files_are_read_once),
        cmocka_unit_test(test_properties_refer),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_unknown_components_are_still_resolved),
        cmocka_unit_test(test_outside_text_is_not_shown),
        cmocka_unit_test(test_names_from_outside_are_not_shown),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_unused),
        cmocka_unit_test(test_property_files),
        cmocka_unit_test(test_property_section),
        cmocka_unit_test(test_growth_is_bounded),
        cmocka_unit_test(test_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
