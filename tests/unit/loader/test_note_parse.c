#include "loader/note_parse.h"

#include <time.h>

#include "base/str.h"
#include "loader/version.h"
#include "support.h"

typedef struct reading {
    note_reader reader;
    arena *memory;
    weir_error *err;
    note out;
} reading;

static int setup(void **state) {
    reading *r = calloc(1, sizeof *r);
    r->memory = arena_new(16u << 20);
    r->err = error_new();
    *state = r;
    return 0;
}

static int teardown(void **state) {
    reading *r = *state;
    note_reader_free(&r->reader);
    arena_free(r->memory);
    error_free(r->err);
    free(r);
    return 0;
}

static weir_status parse(reading *r, const char *json) {
    arena_reset(r->memory);
    error_clear(r->err);
    r->out = (note){0};
    r->out.json = arena_str(r->memory, str_of(json));
    return note_parse(&r->reader, r->memory, &r->out, r->err);
}

#define HEAD                                                                                       \
    "{\"id\":\"a.b\",\"version\":\"1.0.0\",\"name\":\"x\",\"summary\":\"s\",\"vendor\":\"v\","     \
    "\"license\":\"MIT\",\"abi\":{\"major\":1,\"built_with\":\"0.9\",\"requires\":\"0.9\","        \
    "\"platform\":\"linux-" MACHINE "\"}"
#if defined(__x86_64__)
#define MACHINE "x86_64"
#else
#define MACHINE "aarch64"
#endif
#define SINK(rest)                                                                                 \
    HEAD ",\"components\":[{\"kind\":\"sink\",\"name\":\"n\",\"summary\":\"s\"" rest "}]}"
#define OPTION(rest) SINK(",\"options\":[{\"name\":\"o\"," rest "}]")

static const note_option *option(const note_component *c, const char *key) {
    const note_option *list = c->options;
    size_t count = c->option_count;
    const note_option *found = NULL;
    while (*key != '\0') {
        size_t len = strcspn(key, ".");
        found = NULL;
        for (size_t i = 0; i < count; i++) {
            if (str_eq(list[i].name, (weir_str){key, len})) found = &list[i];
        }
        if (found == NULL) return NULL;
        list = found->fields;
        count = found->field_count;
        key += len + (key[len] == '.');
    }
    return found;
}

static void assert_versions(note_versions v, uint32_t version, uint32_t lowest, uint32_t highest) {
    assert_int_equal(v.version, version);
    assert_int_equal(v.reads_min, lowest);
    assert_int_equal(v.reads_max, highest);
}

/* The sample plugin's note, read from its file, says all that its plugin.json says. */
static void test_sample(void **state) {
    reading *r = *state;
    note n;
    assert_int_equal(loader_read_note(FIXTURES "/good/sample.so", r->memory, &n, r->err), WEIR_OK);
    assert_true(str_eq_z(n.id, "dev.weir.test.sample"));
    assert_true(str_eq_z(n.version, "1.2.3"));
    assert_true(str_eq_z(n.license, "Apache-2.0"));
    assert_true(str_eq_z(n.vendor, "The weir authors"));
    assert_true(str_eq_z(n.homepage, "https://example.org/weir"));
    assert_true(str_eq_z(n.platform, version_platform()));
    assert_true(str_ends(n.path, STR("/good/sample.so")));
    assert_int_equal(n.abi_major, 1);
    assert_int_equal(n.component_count, 4);

    const note_component *source = &n.components[0];
    assert_int_equal(source->kind, WEIR_KIND_SOURCE);
    assert_true(str_eq_z(source->name, "ticks"));
    assert_true(str_eq_z(source->stability, "stable"));
    assert_true(str_eq_z(source->guarantee, "exactly_once"));
    assert_int_equal(source->capabilities, WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE);
    assert_int_equal(source->service_interval_ns, 250000000);
    const note_option *o = option(source, "interval");
    assert_int_equal(o->type, OPTION_DURATION);
    assert_true(o->has_default && o->has_min && o->has_max);
    assert_true(o->min == 1e7 && o->max == 3.6e12);
    assert_true(str_eq_z(o->default_text, "200ms"));
    assert_true(str_eq_z(o->group, "tuning"));
    assert_int_equal(o->example_count, 2);
    o = option(source, "streams");
    assert_int_equal(o->type, OPTION_LIST);
    assert_true(str_eq_z(o->default_text, "[\"a\",\"b\"]"));
    o = option(source, "rate");
    assert_true(str_eq_z(o->default_text, "0.5") && o->has_min && o->min == 0 && o->max == 1);
    o = option(source, "attempts");
    assert_true(str_eq_z(o->default_text, "unlimited") && o->value_count == 1);
    o = option(source, "start.timestamp");
    assert_int_equal(o->type, OPTION_TIME);
    assert_int_equal(source->rule_count, 3);
    assert_int_equal(source->rules[0].kind, RULE_REQUIRES);
    assert_true(str_eq_z(source->rules[0].when, "reader=efo"));
    assert_int_equal(source->rules[2].key_count, 2);

    const note_component *sink = &n.components[1];
    assert_true(str_eq_z(sink->stability, "experimental"));
    assert_int_equal(sink->limits.request_records, 500);
    assert_int_equal(sink->limits.request_bytes, 5u << 20);
    assert_int_equal(sink->limits.record_bytes, 1u << 20);
    assert_int_equal(sink->limits.record_overhead, 26);
    assert_int_equal(sink->limits.in_flight, 4);
    assert_true(str_eq_z(sink->default_framing, "lines"));
    assert_int_equal(sink->prefix_count, 1);
    o = option(sink, "path");
    assert_true(o->required && o->path && o->groups_requests && !o->has_default);
    o = option(sink, "size");
    assert_true(o->wire && o->max == 1073741824.0);
    assert_int_equal(option(sink, "headers")->items, OPTION_TEMPLATE);
    o = option(sink, "old");
    assert_true(o->deprecated && str_eq_z(o->replaced_by, "size"));
    assert_true(str_eq_z(o->default_text, "false"));

    const note_component *serde = &n.components[2];
    assert_true(serde->needs_key && serde->needs_headers && !serde->needs_tape);
    assert_int_equal(serde->needs_meta_count, 1);
    assert_true(str_eq_z(serde->suffix, ".up"));
    assert_true(n.components[3].needs_tape);
    assert_versions(source->state, 3, 2, 4);
    assert_versions(source->splits, 2, 2, 2);
    assert_versions(source->committables, 1, 1, 1);
    assert_versions(sink->state, 1, 1, 1);
}

/* A group that contains itself unfolds so many levels and then ends: a tree, never a loop. */
static void test_nesting(void **state) {
    reading *r = *state;
    note n;
    assert_int_equal(loader_read_note(FIXTURES "/good/sample.so", r->memory, &n, r->err), WEIR_OK);
    const note_component *c = &n.components[0];
    assert_non_null(option(c, "credentials.provider"));
    assert_non_null(option(c, "credentials.source.provider"));
    assert_non_null(option(c, "credentials.source.source.source.provider"));
    assert_int_equal(option(c, "credentials.source.secret_access_key")->type, OPTION_SECRET);
    assert_null(option(c, "credentials.source.source.source.source"));
    const note_option *first = option(c, "credentials.source");
    assert_ptr_not_equal(first->fields, option(c, "credentials")->fields);
    /* Many groups that contain each other would unfold without end. */
    char json[60000];
    size_t at = (size_t)snprintf(json, sizeof json,
                                 "%s,\"components\":[{\"kind\":\"sink\",\"name\":"
                                 "\"n\",\"summary\":\"s\",\"options\":[{\"name\":\"g\",\"type\":"
                                 "\"map\",\"fields\":[",
                                 HEAD);
    for (int i = 0; i < 200; i++) {
        at += (size_t)snprintf(json + at, sizeof json - at,
                               "%s{\"name\":\"o%d\",\"type\":\"map\",\"fields_of\":\"g\"}",
                               i > 0 ? "," : "", i);
    }
    (void)snprintf(json + at, sizeof json - at, "]}]}]}");
    assert_int_equal(parse(r, json), WEIR_E_TOO_LARGE);
    assert_contains(error_text(r->err), "more than 4096 options");
}

static void expect(reading *r, const char *json, weir_status status, const char *text) {
    weir_status got = parse(r, json);
    if (got != status) fail_msg("%s: status %d, not %d: %s", json, got, status, error_text(r->err));
    assert_contains(error_text(r->err), text);
}

static void test_identity(void **state) {
    reading *r = *state;
    const char *keys[] = {"id", "version", "name", "summary", "vendor", "license"};
    assert_int_equal(parse(r, SINK("")), WEIR_OK);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char json[1024];
        char text[64];
        snprintf(json, sizeof json, "%s", SINK(""));
        char *key = NULL;
        snprintf(text, sizeof text, "\"%s\":", keys[i]);
        key = strstr(json, text);
        assert_non_null(key);
        key[1] = '_'; /* "_d": a key that nobody knows */
        snprintf(text, sizeof text, "\"%s\" is missing", keys[i]);
        expect(r, json, WEIR_E_DATA, text);
    }
    expect(r, "{\"id\":\"\"}", WEIR_E_DATA, "\"id\" is missing");
    expect(r, "{\"id\":7}", WEIR_E_DATA, "\"id\" is not a text");
    expect(r, "{\"id\":\"a\\u001b[31m\"}", WEIR_E_DATA, "control characters");
}

static void test_not_json(void **state) {
    reading *r = *state;
    expect(r, "", WEIR_E_DATA, "plugin.json in the note: 1:1: ");
    expect(r, "{\"id\":\n  oops}", WEIR_E_DATA, "plugin.json in the note: 2:3: ");
    expect(r, "[]", WEIR_E_DATA, "not an object");
    expect(r, "{\"id\":\"\xff\"}", WEIR_E_DATA, "plugin.json in the note");
    expect(r, "{\"id\":\"a\",\"id\":\"b\"}", WEIR_E_DATA, "plugin.json in the note");
    char deep[300];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect(r, deep, WEIR_E_DATA, "plugin.json in the note");
}

static void test_abi(void **state) {
    reading *r = *state;
    char json[1024];
    snprintf(json, sizeof json, "%s", SINK(""));
    strstr(json, "\"major\":1")[8] = '2';
    expect(r, json, WEIR_E_INCOMPATIBLE,
           "major 2 (built with 0.9), this host has major 1 (" WEIR_ABI_TEXT ")");
    snprintf(json, sizeof json, "%s", SINK(""));
    memcpy(strstr(json, "requires\":\"0.9"), "requires\":\"1.7", 14);
    expect(r, json, WEIR_E_INCOMPATIBLE,
           "needs plugin ABI 1.7 or newer, this host has " WEIR_ABI_TEXT);
    snprintf(json, sizeof json, "%s", SINK(""));
    memcpy(strstr(json, "\"abi\""), "\"abx\"", 5);
    expect(r, json, WEIR_E_DATA, "\"abi\" is missing");
}

static void test_components(void **state) {
    reading *r = *state;
    expect(r, HEAD "}", WEIR_E_DATA, "at least one component");
    expect(r, HEAD ",\"components\":[]}", WEIR_E_DATA, "at least one component");
    expect(r, HEAD ",\"components\":[1]}", WEIR_E_DATA, "component 0: is not an object");
    expect(r, HEAD ",\"components\":[{\"kind\":\"lookup\",\"name\":\"n\"}]}", WEIR_E_INCOMPATIBLE,
           "kind \"lookup\" is not known to this host");
    expect(r, HEAD ",\"components\":[{\"kind\":\"sink\",\"name\":\"N/..\"}]}", WEIR_E_DATA,
           "name \"N/..\"");
    expect(r,
           HEAD ",\"components\":[{\"kind\":\"sink\",\"name\":\"n\",\"summary\":\"s\"},"
                "{\"kind\":\"sink\",\"name\":\"n\",\"summary\":\"s\"}]}",
           WEIR_E_DATA, "sink n: stands twice");
    expect(r, SINK(",\"guarantee\":\"always\""), WEIR_E_DATA, "guarantee \"always\"");
    expect(r, SINK(",\"limits\":3"), WEIR_E_DATA, "\"limits\" is not an object");
    expect(r, SINK(",\"limits\":{\"in_flight\":-1}"), WEIR_E_DATA, "\"in_flight\" is no whole");
    expect(r, SINK(",\"limits\":{\"request_bytes\":\"x\"}"), WEIR_E_DATA, "\"request_bytes\"");
    expect(r, SINK(",\"service_interval\":\"0s\""), WEIR_E_DATA, "service_interval");
    expect(r, SINK(",\"needs\":{\"tape\":1}"), WEIR_E_DATA, "\"tape\" is neither");
    expect(r, SINK(",\"writes_to\":1"), WEIR_E_DATA, "\"writes_to\" is not a text");
    assert_int_equal(parse(r, SINK(",\"writes_to\":\"stdout\"")), WEIR_OK);
    assert_true(str_eq_z(r->out.components[0].writes_to, "stdout"));
    assert_int_equal(parse(r, SINK("")), WEIR_OK);
    assert_int_equal(r->out.components[0].writes_to.len, 0);
    expect(r, SINK(",\"prefixes\":[\"x\"]"), WEIR_E_DATA, "does not end in a dot");
    expect(r, SINK(",\"rules\":[{\"kind\":\"forbids\"}]"), WEIR_E_INCOMPATIBLE, "rule \"forbids\"");
    expect(r, SINK(",\"rules\":[{\"kind\":\"one_of\",\"keys\":[]}]"), WEIR_E_DATA,
           "names no options");
    /* What this host does not know is a newer plugin's business. */
    assert_int_equal(parse(r, SINK(",\"colour\":\"blue\",\"capabilities\":[\"sings\"]")), WEIR_OK);
    assert_int_equal(r->out.components[0].capabilities, 0);
}

#define REFERENCE(name, rest)                                                                      \
    HEAD ",\"components\":[{\"kind\":\"reference\",\"name\":\"" name "\",\"summary\":\"s\"" rest   \
         "}]}"

static void test_references(void **state) {
    reading *r = *state;
    assert_int_equal(parse(r, REFERENCE("vault", ",\"form\":\"A:B\",\"pattern\":\"^a$\"")),
                     WEIR_OK);
    const note_component *c = &r->out.components[0];
    assert_int_equal(c->kind, WEIR_KIND_REFERENCE);
    assert_true(str_eq_z(c->form, "A:B"));
    assert_string_equal(c->pattern.ptr, "^a$");
    assert_string_equal(note_kind_name(c->kind), "reference");
    assert_string_equal(note_kind_name(5), "component");
    assert_string_equal(note_kind_name(77), "component");
    expect(r, REFERENCE("vault", ",\"pattern\":\"^a$\""), WEIR_E_DATA, "\"form\" is missing");
    expect(r, REFERENCE("vault", ",\"form\":\"A\""), WEIR_E_DATA, "\"pattern\" is missing");
    expect(r, REFERENCE("vault", ",\"form\":\"A\",\"pattern\":\"(\""), WEIR_E_DATA,
           "no regular expression");
    expect(r, REFERENCE("env", ",\"form\":\"A\",\"pattern\":\"^a$\""), WEIR_E_DATA,
           "\"env\" is a word of manifests already");
    expect(r, REFERENCE("time", ",\"form\":\"A\",\"pattern\":\"^a$\""), WEIR_E_DATA,
           "is a word of manifests already");
}

/* Versions of stored bytes: each kind apart, absent is version 1, nonsense refuses the plugin. */
static void test_versions(void **state) {
    reading *r = *state;
    static const char *const names[] = {"state", "committables", "splits"};
    static const struct {
        const char *value, *text;
    } hostile[] = {
        {"1", "is not an object"},
        {"[1,1]", "is not an object"},
        {"null", "is not an object"},
        {"{}", "\"version\" is no whole number"},
        {"{\"reads\":[1,1]}", "\"version\" is no whole number"},
        {"{\"version\":0}", "\"version\" is no whole number"},
        {"{\"version\":-1}", "\"version\" is no whole number"},
        {"{\"version\":1.0}", "\"version\" is no whole number"},
        {"{\"version\":\"1\"}", "\"version\" is no whole number"},
        {"{\"version\":true}", "\"version\" is no whole number"},
        {"{\"version\":[1]}", "\"version\" is no whole number"},
        {"{\"version\":4294967296}", "\"version\" is no whole number"},
        {"{\"version\":18446744073709551617}", "\"version\" is no whole number"},
        {"{\"version\":2,\"reads\":2}", "around version 2"},
        {"{\"version\":2,\"reads\":[]}", "around version 2"},
        {"{\"version\":2,\"reads\":[2]}", "around version 2"},
        {"{\"version\":2,\"reads\":[1,2,3]}", "around version 2"},
        {"{\"version\":2,\"reads\":{\"1\":2}}", "around version 2"},
        {"{\"version\":2,\"reads\":[[1,2],2]}", "around version 2"},
        {"{\"version\":2,\"reads\":[1,[2]]}", "around version 2"},
        {"{\"version\":2,\"reads\":[0,2]}", "around version 2"},
        {"{\"version\":2,\"reads\":[3,4]}", "around version 2"},
        {"{\"version\":2,\"reads\":[1,1]}", "around version 2"},
        {"{\"version\":2,\"reads\":[4,1]}", "around version 2"},
        {"{\"version\":2,\"reads\":[1,4294967296]}", "around version 2"},
    };
    assert_int_equal(parse(r, SINK("")), WEIR_OK);
    const note_component *c = &r->out.components[0];
    assert_versions(c->state, 1, 1, 1);
    assert_versions(c->committables, 1, 1, 1);
    assert_versions(c->splits, 1, 1, 1);
    assert_int_equal(
        parse(r, SINK(",\"state\":{\"version\":5},\"committables\":{\"version\":4294967295,"
                      "\"reads\":[1,4294967295]},\"splits\":{\"version\":2,\"reads\":[1,3],"
                      "\"colour\":\"blue\"}")),
        WEIR_OK);
    c = &r->out.components[0];
    assert_versions(c->state, 5, 5, 5);
    assert_versions(c->committables, UINT32_MAX, 1, UINT32_MAX);
    assert_versions(c->splits, 2, 1, 3);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
            char json[1024];
            char where[64];
            (void)snprintf(json, sizeof json, SINK(",\"%s\":%s"), names[n], hostile[i].value);
            expect(r, json, WEIR_E_DATA, hostile[i].text);
            (void)snprintf(where, sizeof where, "sink n: \"%s\"", names[n]);
            assert_contains(error_text(r->err), where);
        }
    }
}

static void test_options(void **state) {
    reading *r = *state;
    expect(r, SINK(",\"options\":{}"), WEIR_E_DATA, "\"options\" is not a list");
    expect(r, SINK(",\"options\":[7]"), WEIR_E_DATA, "option 0 is not an object");
    expect(r, OPTION("\"type\":\"colour\""), WEIR_E_INCOMPATIBLE, "option o: type \"colour\"");
    expect(r, OPTION("\"type\":\"enum\""), WEIR_E_DATA, "an enum without");
    expect(r, OPTION("\"type\":\"int\",\"min\":\"x\""), WEIR_E_DATA, "\"min\" is no value");
    expect(r, OPTION("\"type\":\"string\",\"max\":1"), WEIR_E_DATA, "\"max\" is no value");
    expect(r, OPTION("\"type\":\"int\",\"min\":2,\"max\":1"), WEIR_E_DATA, "above");
    expect(r, OPTION("\"type\":\"int\",\"default\":1.5"), WEIR_E_DATA, "default \"1.5\"");
    expect(r, OPTION("\"type\":\"int\",\"default\":9,\"max\":8"), WEIR_E_DATA, "default \"9\"");
    expect(r, OPTION("\"type\":\"duration\",\"default\":\"5 parsecs\""), WEIR_E_DATA, "5 parsecs");
    expect(r, OPTION("\"type\":\"bool\",\"default\":\"yes\""), WEIR_E_DATA, "default \"yes\"");
    expect(r, OPTION("\"type\":\"enum\",\"values\":[\"a\"],\"default\":\"b\""), WEIR_E_DATA,
           "\"b\"");
    expect(r, OPTION("\"type\":\"secret\",\"default\":\"hunter2\""), WEIR_E_DATA, "default");
    expect(r, OPTION("\"type\":\"map\",\"fields_of\":\"q\""), WEIR_E_DATA, "no option \"q\"");
    expect(
        r,
        SINK(",\"options\":[{\"name\":\"o\",\"type\":\"int\"},{\"name\":\"o\",\"type\":\"int\"}]"),
        WEIR_E_DATA, "option o: stands twice");
    expect(r,
           OPTION("\"type\":\"map\",\"fields\":[{\"name\":\"i\",\"type\":\"map\",\"fields\":[{"
                  "\"name\":\"i\",\"type\":\"nope\"}]}]"),
           WEIR_E_INCOMPATIBLE, "sink n, option o.i.i: type \"nope\"");
    char json[4096];
    size_t at = (size_t)snprintf(json, sizeof json,
                                 "%s,\"components\":[{\"kind\":\"sink\","
                                 "\"name\":\"n\",\"summary\":\"s\",\"options\":[",
                                 HEAD);
    for (int i = 0; i < 6; i++) {
        at += (size_t)snprintf(json + at, sizeof json - at,
                               "{\"name\":\"o\",\"type\":\"map\",\"fields\":[");
    }
    at += (size_t)snprintf(json + at, sizeof json - at, "{\"name\":\"o\",\"type\":\"int\"}");
    for (int i = 0; i < 6; i++) at += (size_t)snprintf(json + at, sizeof json - at, "]}");
    (void)snprintf(json + at, sizeof json - at, "]}]}");
    expect(r, json, WEIR_E_TOO_LARGE, "nested deeper than 4");
}

/* Every prefix of a note, and every note with one byte changed, ends in a result. */
static void test_mutations(void **state) {
    reading *r = *state;
    note n;
    assert_int_equal(loader_read_note(FIXTURES "/good/sample.so", r->memory, &n, r->err), WEIR_OK);
    size_t len = n.json.len;
    char *json = malloc(len + 1);
    memcpy(json, n.json.ptr, len + 1);
    for (size_t cut = 0; cut < len; cut += 7) {
        char saved = json[cut];
        json[cut] = '\0';
        assert_true(parse(r, json) < 0);
        json[cut] = saved;
    }
    for (size_t at = 0; at < len; at += 3) {
        char saved = json[at];
        const char values[] = {'"', '{', '1', 'x'};
        for (size_t v = 0; v < sizeof values; v++) {
            json[at] = values[v];
            weir_status status = parse(r, json);
            assert_true(status == WEIR_OK || error_status(r->err) == status);
        }
        json[at] = saved;
    }
    free(json);
}

/* For each amount of memory from nothing up: a clean failure, then success. */
static void test_memory_limits(void **state) {
    reading *r = *state;
    note n;
    weir_status status = WEIR_E_NOMEM;
    arena *whole = r->memory;
    for (size_t bytes = 0; status != WEIR_OK; bytes += 512) {
        assert_true(bytes < (4u << 20));
        arena *small = arena_new(bytes);
        if (small == NULL) continue;
        status = loader_read_note(FIXTURES "/good/sample.so", small, &n, r->err);
        assert_true(status == WEIR_OK || status == WEIR_E_NOMEM);
        arena_free(small);
    }
    r->memory = whole;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_identity),      cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_abi),           cmocka_unit_test(test_components),
        cmocka_unit_test(test_options),       cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_memory_limits), cmocka_unit_test(test_references),
        cmocka_unit_test(test_memory_limits), cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
