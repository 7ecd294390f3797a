#include "fixture.h"

#include "manifest/tree.h"

static const tree_node *parse(arena *a, diags *d, const char *text) {
    return tree_parse("t.yaml", str_of(text), a, d);
}

static void one(const char *text, const char *code, unsigned line, unsigned column) {
    arena *a = arena_new(1 << 20);
    diags *d = diags_new();
    parse(a, d, text);
    assert_int_equal(diags_count(d), 1);
    const diag *e = diags_get(d, 0);
    assert_string_equal(e->code, code);
    assert_int_equal(e->line, line);
    assert_int_equal(e->column, column);
    diags_free(d);
    arena_free(a);
}

static void test_places(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    diags *d = diags_new();
    const tree_node *n = parse(a, d, "a: 1\nb:\n  - x\n  - {c: \"d\"}\n");
    assert_int_equal(diags_count(d), 0);
    assert_int_equal(n->kind, TREE_MAP);
    assert_int_equal(n->count, 2);
    assert_int_equal(n->pairs[1].at.line, 2);
    const tree_node *list = tree_get(n, "b")->value;
    assert_int_equal(list->kind, TREE_LIST);
    assert_int_equal(list->items[0]->at.line, 3);
    assert_int_equal(list->items[0]->at.column, 5);
    const tree_node *quoted = tree_get(list->items[1], "c")->value;
    assert_false(quoted->plain);
    assert_int_equal(quoted->at.column, 9);
    assert_int_equal(tree_place(quoted, 1).column, 11); /* behind the quote */
    assert_int_equal(n->nodes, 9);                      /* every scalar, key and container */
    assert_int_equal(n->height, 4);
    assert_null(tree_get(n, "z"));
    diags_free(d);
    arena_free(a);
}

static void test_nothing(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    diags *d = diags_new();
    const tree_node *n = parse(a, d, "a:\nb: ~\nc: null\nd: ''\ne: 'null'\n");
    assert_true(tree_is_nothing(tree_get(n, "a")->value));
    assert_true(tree_is_nothing(tree_get(n, "b")->value));
    assert_true(tree_is_nothing(tree_get(n, "c")->value));
    assert_false(tree_is_nothing(tree_get(n, "d")->value));
    assert_false(tree_is_nothing(tree_get(n, "e")->value));
    diags_free(d);
    arena_free(a);
}

static void test_aliases_share(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    diags *d = diags_new();
    const tree_node *n = parse(a, d, "a: &x {k: v}\nb: *x\n");
    assert_ptr_equal(tree_get(n, "a")->value, tree_get(n, "b")->value);
    assert_int_equal(n->nodes, 9); /* the alias counted as if written out */
    diags_free(d);
    arena_free(a);
}

static void test_json(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    diags *d = diags_new();
    const tree_node *n = parse(a, d, "[\n\t{\"a\":\"x\\/y\\u0041\",\"b\":\"\"}\r\n]");
    assert_int_equal(diags_count(d), 0);
    assert_int_equal(n->kind, TREE_LIST);
    assert_true(str_eq_z(tree_get(n->items[0], "a")->value->text, "x/yA"));
    diags_free(d);
    arena_free(a);
}

static void test_errors(void **state) {
    (void)state;
    one("a: 1\nb: 2\na: 3\n", "duplicate-key", 3, 1);
    one("x: &b {a: 1}\ny:\n  <<: *b\n", "merge-key", 3, 3);
    one("a: !!str 1\n", "yaml-tag", 1, 4);
    one("a: !custom {b: c}\n", "yaml-tag", 1, 4);
    one("a: 1\n---\nb: 2\n", "yaml-documents", 2, 1);
    one("", "empty-file", 0, 0);
    one("# only a comment\n", "empty-file", 0, 0);
    one("? [a]\n: b\n", "key-not-text", 1, 3);
    one("a: [1, 2\n", "yaml-syntax", 2, 1);
    one("a:\n\tb: 1\n", "yaml-syntax", 2, 1);
    one("a: *b\n", "unknown-alias", 1, 4);
    one("a: &a [*a]\n", "alias-cycle", 1, 8);
    one("a: \"x\\0y\"\n", "nul-byte", 1, 4);
    one("a: \xff\n", "yaml-encoding", 1, 4);
    one("a: b\nc: \x01\n", "yaml-encoding", 2, 4);
}

static void test_many_keys(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++) buf_printf(&b, "key%d: 1\n", i);
    buf_append_z(&b, "key7: 2\nkey999: 2\n");
    arena *a = arena_new(8 << 20);
    diags *d = diags_new();
    const tree_node *n = tree_parse("t.yaml", buf_str(&b), a, d);
    assert_int_equal(n->count, 1000);
    assert_int_equal(diags_count(d), 2);
    assert_int_equal(diags_get(d, 0)->line, 1001);
    diags_free(d);
    arena_free(a);
    buf_free(&b);
}

static void test_no_memory(void **state) {
    (void)state;
    arena *a = arena_new(64);
    diags *d = diags_new();
    assert_null(parse(a, d, "a: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"));
    assert_string_equal(diags_get(d, 0)->code, "out-of-memory");
    diags_free(d);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_aliases_share), cmocka_unit_test(test_json),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
