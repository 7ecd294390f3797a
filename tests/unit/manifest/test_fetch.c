/* References that plugins resolve: fetched through the environment's hook, or unknown. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

/* ---- a vault of the test's own ---- */

static unsigned fetches;
static char asked[512]; /* "text|text|" */

static weir_status fetch(void *self, const component_ref *reference, weir_str text, buf *out,
                         weir_error *err) {
    (void)self;
    assert_true(str_eq_z(component_note(reference)->name, "vault"));
    fetches++;
    size_t used = strlen(asked);
    snprintf(asked + used, sizeof asked - used, "%.*s|", STR_FMT(text));
    if (str_eq_z(text, "db:user")) {
        buf_append_z(out, "alice");
    } else if (str_eq_z(text, "db:secret")) {
        buf_append_z(out, "HUNTER2");
    } else if (str_eq_z(text, "number")) {
        buf_append_z(out, "77");
    } else if (str_eq_z(text, "dollar")) {
        buf_append_z(out, "a${key}$$");
    } else if (str_eq_z(text, "empty")) {
        return WEIR_OK;
    } else if (str_eq_z(text, "nul")) {
        buf_append(out, "a\0b", 3);
    } else if (str_eq_z(text, "large")) {
        for (unsigned i = 0; i <= LIMIT_REFERENCE_BYTES; i++) buf_append_char(out, 'x');
    } else {
        error_set(err, WEIR_E_PERMISSION, 0, "AccessDenied: not for you");
        error_hint(err, "ask nicely");
        return WEIR_E_PERMISSION;
    }
    return WEIR_OK;
}

static const manifest_env online = {.fetch = fetch};
static const manifest_env offline = {.fetch = NULL};

static loaded load_at(const manifest_env *env, const char *text, const char *const *set) {
    manifest_input input = {.path = "/dir/m.yaml", .env = env, .set = set};
    while (set != NULL && set[input.set_count] != NULL) input.set_count++;
    fetches = 0;
    asked[0] = '\0';
    return load_input(text, strlen(text), &input);
}

static void check_at(const manifest_env *env, const char *text, const char *summary) {
    loaded l = load_at(env, text, NULL);
    const char *got = l.summary.data != NULL ? l.summary.data : "";
    if (strcmp(got, summary) != 0) print_error("%s", l.text.data);
    assert_string_equal(got, summary);
    loaded_free(&l);
}

#define M(properties, options)                                                                     \
    "weir: 1\nname: t\n" properties "sources:\n  in: {type: kin, " options "}\n"                   \
    "sinks:\n  out: {type: hole, input: in}\n"

static weir_str stream_of(const loaded *l) {
    if (l->p == NULL) print_error("%s", l->text.data);
    return option_of(l, "in", "stream")->text;
}

/* ---- tests ---- */

static void test_values_take_their_place(void **state) {
    (void)state;
    loaded l = load_at(&online,
                       M("", "stream: 'x-${vault:db:user}-${vault:db:user}', count: "
                             "'${vault:number}', consumer: '${vault:empty}', labels: "
                             "['${vault:db:user}']"),
                       NULL);
    assert_true(str_eq_z(stream_of(&l), "x-alice-alice"));
    assert_int_equal(option_of(&l, "in", "count")->i64, 77);
    assert_true(str_eq_z(option_of(&l, "in", "consumer")->text, ""));
    assert_true(options_known(&node_of(&l, "in")->options));
    /* Each once, whoever uses it. */
    assert_int_equal(fetches, 3);
    assert_int_equal(l.p->reference_count, 3);
    assert_true(str_eq_z(l.p->references[0].text, "vault:db:user"));
    assert_int_equal(l.p->references[0].at.line, 4);
    assert_int_equal(l.p->references[0].at.column, 30);
    loaded_free(&l);
    /* Data, not text of the manifest; also in a template. */
    l = load_at(&online,
                "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: '${vault:dollar}'}\nsinks:\n"
                "  out: {type: file, input: in, path: 'a/${vault:dollar}/${.u}'}\n",
                NULL);
    assert_true(str_eq_z(stream_of(&l), "a${key}$$"));
    const template_program *t = option_of(&l, "out", "path")->tmpl;
    assert_int_equal(t->count, 2);
    assert_true(str_eq_z(t->parts[0].text, "a/a${key}$$/"));
    assert_int_equal(fetches, 1);
    loaded_free(&l);
}

static void test_through_properties(void **state) {
    (void)state;
    const char *text = M("properties: {p: {q: 'a-${p.r}', r: '${vault:db:user}'}}\n",
                         "stream: '${p.q}', consumer: '${p.r}'");
    loaded l = load_at(&online, text, NULL);
    assert_true(str_eq_z(stream_of(&l), "a-alice"));
    assert_int_equal(fetches, 1);
    loaded_free(&l);
    const char *const set[] = {"p.q=${vault:number}", NULL};
    l = load_at(&online, text, set);
    assert_true(str_eq_z(stream_of(&l), "77"));
    loaded_free(&l);
    /* One that nobody uses is not fetched, but looked at. */
    l = load_at(&online, M("properties: {p: {q: '${vault:db:user}'}}\n", "stream: s"), NULL);
    assert_string_equal(l.summary.data, "w 3:18 unused-property\n");
    assert_int_equal(fetches, 0);
    assert_int_equal(l.p->reference_count, 0);
    loaded_free(&l);
    check_at(&online, M("properties: {p: {q: '${vault:}'}}\n", "stream: s"),
             "3:18 bad-reference\nw 3:18 unused-property\n");
}

/* What cannot be known is taken as it is: no type, no range, no word of it is checked. */
static void test_unknown_without_a_network(void **state) {
    (void)state;
    loaded l = load_at(&offline,
                       M("properties: {p: {q: '${vault:db:user}'}}\n",
                         "stream: 'x${p.q}', count: '${vault:number}', start: '${p.q}', "
                         "verify: '${p.q}', labels: [a, '${vault:db:user}'], tags: {a: '${p.q}'}, "
                         "auth: {user: u, password: '${p.q}'}, since: '${p.q}'"),
                       NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    const options *o = &node_of(&l, "in")->options;
    assert_false(options_known(o));
    assert_true(str_eq_z(stream_of(&l), "x${vault:db:user}"));
    static const char *const unknown[] = {"stream", "count", "start",         "verify",
                                          "labels", "tags",  "auth.password", "since"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_true(options_get(o, str_of(unknown[i]))->is_unknown);
    }
    assert_false(options_get(o, STR("auth.user"))->is_unknown);
    assert_true(options_known(&node_of(&l, "out")->options));
    assert_int_equal(l.p->reference_count, 2);
    loaded_free(&l);
    /* The rest of a template is known, and that a path begins with something. */
    l = load_at(&offline,
                "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\nsinks:\n"
                "  out: {type: file, input: in, path: '${vault:db:user}/${.u}'}\n",
                NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    const option_value *path = option_of(&l, "out", "path");
    assert_true(path->is_unknown && path->tmpl->needs_tape);
    assert_true(str_eq_z(path->tmpl->parts[0].text, "${vault:db:user}/"));
    loaded_free(&l);
    check_at(&offline,
             "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\nsinks:\n"
             "  out: {type: file, input: in, path: '${vault:db:user}/${nope'}\n",
             "6:56 bad-reference\n");
}

static void test_all_failures_are_told(void **state) {
    (void)state;
    loaded l = load_at(&online,
                       M("", "stream: '${vault:no}${vault:nul}', consumer: '${vault:large}', "
                             "endpoint: '${vault:no}'"),
                       NULL);
    assert_string_equal(l.summary.data, "4:28 reference-failed\n4:39 reference-failed\n"
                                        "4:65 reference-failed\n");
    assert_non_null(strstr(l.text.data, "'${vault:no}' cannot be resolved: AccessDenied: not for "
                                        "you"));
    assert_non_null(strstr(l.text.data, "hint: ask nicely"));
    assert_non_null(strstr(l.text.data, "its value holds a NUL byte"));
    assert_non_null(strstr(l.text.data, "longer than 65536 bytes"));
    assert_string_equal(asked, "no|nul|large|");
    loaded_free(&l);
}

static void test_how_it_is_written(void **state) {
    (void)state;
    const manifest_env *const both[] = {&online, &offline};
    for (size_t i = 0; i < 2; i++) {
        check_at(both[i], M("", "stream: '${vault:A}'"), "4:28 bad-reference\n");
        check_at(both[i], M("", "stream: '${vault:}'"), "4:28 bad-reference\n");
        check_at(both[i], M("", "stream: '${vualt:a}'"), "4:28 unknown-reference\n");
        check_at(both[i], M("", "stream: '${secretsmanager:a}'"), "4:28 unknown-reference\n");
        check_at(both[i], M("", "stream: '${Vault:a}'"), "4:28 bad-reference\n");
        check_at(both[i], M("", "strem: '${vault:A}', stream: s"),
                 "4:19 unknown-key\n4:27 bad-reference\n");
        assert_int_equal(fetches, 0);
    }
    loaded l = load_at(&offline, M("", "stream: '${vault:A}'"), NULL);
    assert_non_null(strstr(l.text.data, "write ${vault:PATH:FIELD}"));
    loaded_free(&l);
    l = load_at(&offline, M("", "stream: '${vualt:a}${evn:X}'"), NULL);
    assert_non_null(strstr(l.text.data, "did you mean '${vault:...}'?"));
    assert_non_null(strstr(l.text.data, "did you mean '${env:...}'?"));
    loaded_free(&l);
    l = load_at(&offline, M("", "stream: '${s3file:b/k}'"), NULL);
    assert_non_null(strstr(l.text.data, "the plugin aws has it"));
    assert_non_null(strstr(l.text.data, "no component of kind 6 is named \"s3file\""));
    loaded_free(&l);
    l = load_at(&offline, M("properties: {input: {stream: s}}\n", "stream: '${input:stream}'"),
                NULL);
    assert_non_null(strstr(l.text.data, "did you mean '${input.stream}'?"));
    loaded_free(&l);
}

/* Who the pipeline is, and what it is made of, cannot depend on an answer. */
static void test_where_it_can_stand(void **state) {
    (void)state;
    const char *text = "weir: 1\nname: '${vault:db:user}'\n"
                       "properties: {p: {q: '${vault:db:user}', r: '${p.q}'}}\n"
                       "settings: {parallelism: '${vault:number}', memory: '${p.r}'}\n"
                       "plugins: {std: {version: '${vault:db:user}'}}\n"
                       "sources:\n  in: {type: '${vault:db:user}'}\n"
                       "  in2: {type: kin, stream: '${p.r}', parallelism: '${vault:number}',\n"
                       "    format: '${p.q}', retry: {base: '${vault:number}'}}\n"
                       "sinks:\n  out: {type: hole, inputs: ['${p.q}', in2],\n"
                       "    format: {type: json, depth: '${vault:number}', framing: '${p.q}'}}\n";
    check_at(&offline, text,
             "2:8 reference-misplaced\n4:26 reference-misplaced\n4:53 reference-misplaced\n"
             "5:27 reference-misplaced\n7:3 no-consumer\n7:15 reference-misplaced\n"
             "8:52 reference-misplaced\n9:14 reference-misplaced\n9:38 reference-misplaced\n"
             "11:31 reference-misplaced\n12:62 reference-misplaced\n");
}

/* In no message, wherever the value ends up. */
static void test_values_are_not_shown(void **state) {
    (void)state;
    loaded l = load_at(&online,
                       M("properties: {p: {q: 'x${vault:db:secret}'}}\n",
                         "stream: s, interval: '${vault:db:secret}', start: '${p.q}', count: "
                         "'${p.q}', labels: '${vault:db:secret}', auth: {user: u, password: "
                         "'${vault:db:secret}'}, odd: '${vault:db:secret}'"),
                       NULL);
    assert_null(l.p);
    assert_null(strstr(l.text.data, "HUNTER2"));
    assert_null(strstr(l.text.data, "hunter2"));
    assert_non_null(strstr(l.text.data, "found the value of '${vault:db:secret}'"));
    loaded_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_take_their_place),
        cmocka_unit_test(test_through_properties),
        cmocka_unit_test(test_unknown_without_a_network),
        cmocka_unit_test(test_all_failures_are_told),
        cmocka_unit_test(test_how_it_is_written),
        cmocka_unit_test(test_where_it_can_stand),
        cmocka_unit_test(test_values_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
