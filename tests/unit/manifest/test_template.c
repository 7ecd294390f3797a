#include "fixture.h"

#include <string.h>

static arena *memory;

static const template_program *good(const char *text) {
    const template_program *p = NULL;
    weir_error *err = error_new();
    size_t at;
    weir_status status = template_parse(str_of(text), memory, &p, &at, err);
    if (status != WEIR_OK) print_error("%s: %s\n", text, error_text(err));
    assert_int_equal(status, WEIR_OK);
    error_free(err);
    return p;
}

static void bad(const char *text, size_t where, const char *why) {
    const template_program *p = NULL;
    weir_error *err = error_new();
    size_t at = 999;
    assert_int_equal(template_parse(str_of(text), memory, &p, &at, err), WEIR_E_INVALID_ARG);
    if (strstr(error_text(err), why) == NULL) print_error("%s: %s\n", text, error_text(err));
    assert_non_null(strstr(error_text(err), why));
    assert_int_equal(at, where);
    error_free(err);
}

static void test_literals(void **state) {
    (void)state;
    const template_program *p = good("");
    assert_int_equal(p->count, 0);
    assert_true(p->constant);
    p = good("a$b $$ 5$");
    assert_int_equal(p->count, 1);
    assert_true(str_eq_z(p->parts[0].text, "a$b $ 5$"));
    assert_true(p->constant);
    p = good("$${key}");
    assert_int_equal(p->count, 1);
    assert_true(str_eq_z(p->parts[0].text, "${key}"));
}

static void test_parts(void **state) {
    (void)state;
    const template_program *p =
        good("dt=${time:%Y-%m-%d}/${.user.id[3].x|urlencode|default:no ne}-${header:h}.x");
    assert_int_equal(p->count, 7);
    assert_int_equal(p->parts[1].kind, PART_TIME);
    assert_true(str_eq_z(p->parts[1].text, "%Y-%m-%d"));
    const template_part *f = &p->parts[3];
    assert_int_equal(f->kind, PART_FIELD);
    assert_int_equal(f->path.len, 4);
    assert_true(str_eq_z(f->path.steps[0].name, "user"));
    assert_null(f->path.steps[2].name.ptr);
    assert_int_equal(f->path.steps[2].index, 3);
    assert_int_equal(f->filter_count, 2);
    assert_int_equal(f->filters[0].kind, FILTER_URLENCODE);
    assert_int_equal(f->filters[1].kind, FILTER_DEFAULT);
    assert_true(str_eq_z(f->filters[1].argument, "no ne"));
    assert_true(str_eq_z(p->parts[5].text, "h"));
    assert_true(p->needs_tape && p->needs_time && p->needs_headers);
    assert_false(p->needs_key || p->needs_meta || p->constant);
}

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *text;
        part_kind kind;
    } words[] = {{"${key}", PART_KEY},       {"${value}", PART_VALUE},
                 {"${split}", PART_SPLIT},   {"${position}", PART_POSITION},
                 {"${now:%H}", PART_NOW},    {"${uuid}", PART_UUID},
                 {"${random}", PART_RANDOM}, {"${header:weir.topic}", PART_HEADER},
                 {"${.[0]}", PART_FIELD},    {"${.[\"a b\"].c}", PART_FIELD}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const template_program *p = good(words[i].text);
        assert_int_equal(p->count, 1);
        assert_int_equal(p->parts[0].kind, words[i].kind);
    }
    assert_true(good("${key}")->needs_key);
    assert_true(good("${header:weir.topic}")->needs_meta);
    assert_false(good("${header:weir.topic}")->needs_headers);
    assert_true(str_eq_z(good("${.[\"a b\"].c}")->parts[0].path.steps[0].name, "a b"));
}

static void test_is_record(void **state) {
    (void)state;
    assert_true(template_is_record(STR(".a")));
    assert_true(template_is_record(STR("key|urlencode")));
    assert_true(template_is_record(STR("time:%Y")));
    assert_false(template_is_record(STR("keys")));
    assert_false(template_is_record(STR("input.stream")));
    assert_false(template_is_record(STR("env:X")));
    assert_false(template_is_record(STR("")));
}

static void test_errors(void **state) {
    (void)state;
    bad("ab${key", 2, "without '}'");
    bad("a${}", 3, "unknown template value");
    bad("a${kee}", 3, "unknown template value 'kee'");
    bad("${.}", 3, "expected a field name");
    bad("${.a..b}", 5, "expected a field name");
    bad("${.a[}", 5, "expected an index");
    bad("${.a[1}", 6, "expected ']'");
    bad("${.a[99999999999]}", 5, "too large");
    bad("${.a[\"x]}", 5, "closing quote");
    bad("${.a b}", 4, "found ' '");
    bad("${key|upper}", 6, "unknown filter 'upper'");
    bad("${header:}", 9, "name of a header");
    bad("${time:}", 7, "expected a time format");
    bad("${time:%Q}", 7, "'%Q'");
    bad("${time:%}", 7, "at the end");
    bad("${now:%s}", 6, "'%s'"); /* needs the machine's time zone */
}

static void test_path(void **state) {
    (void)state;
    template_path path;
    size_t at;
    assert_int_equal(template_parse_path(STR(".a.b[0]"), memory, &path, &at, NULL), WEIR_OK);
    assert_int_equal(path.len, 3);
    assert_int_equal(template_parse_path(STR("a"), memory, &path, &at, NULL), WEIR_E_INVALID_ARG);
    assert_int_equal(at, 0);
    assert_int_equal(template_parse_path(STR(".a|b"), memory, &path, &at, NULL),
                     WEIR_E_INVALID_ARG);
    assert_int_equal(at, 2);
    assert_int_equal(template_parse_path(STR(""), memory, &path, &at, NULL), WEIR_E_INVALID_ARG);
    char deep[300];
    for (size_t i = 0; i < sizeof deep; i++) deep[i] = i % 2 == 0 ? '.' : 'a';
    assert_int_equal(template_parse_path(str_make(deep, sizeof deep), memory, &path, &at, NULL),
                     WEIR_E_INVALID_ARG);
}

static void test_limits(void **state) {
    (void)state;
    static char large[70000];
    memset(large, 'x', sizeof large);
    const template_program *p;
    size_t at;
    assert_int_equal(template_parse(str_make(large, sizeof large), memory, &p, &at, NULL),
                     WEIR_E_TOO_LARGE);
    arena *small = arena_new(64);
    assert_int_equal(template_parse(STR("${key}${key}${key}${key}${key}"), small, &p, &at, NULL),
                     WEIR_E_NOMEM);
    arena_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_words),    cmocka_unit_test(test_is_record),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_path),
        cmocka_unit_test(test_limits),
    };
    memory = arena_new(8 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(memory);
    return failed;
}
