#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static void expect_code(const char *text, size_t len, const char *code) {
    manifest_input input = {.path = "m.yaml"};
    loaded l = load_input(text, len, &input);
    assert_null(l.p);
    if (strstr(l.summary.data, code) == NULL) print_error("%s", l.text.data);
    assert_non_null(strstr(l.summary.data, code));
    loaded_free(&l);
}

static void test_alias_bomb(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    buf_append_z(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i <= 10; i++) {
        buf_printf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                   i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    expect_code(b.data, b.len, "too-many-values");
    buf_free(&b);
}

static void repeat(buf *b, const char *what, int times) {
    for (int i = 0; i < times; i++) buf_append_z(b, what);
}

static void test_deep(void **state) {
    (void)state;
    static const char *const openers[] = {"[", "{a: ", "- ", "? "};
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        buf b;
        buf_init(&b, 1 << 20);
        repeat(&b, openers[i], 100000);
        expect_code(b.data, b.len, "too-deep");
        buf_free(&b);
    }
    /* Depth by aliases: each level hangs the one before below two more. */
    buf b;
    buf_init(&b, 1 << 20);
    buf_append_z(&b, "a0: &a0 [x]\n");
    for (int i = 1; i < 100; i++) buf_printf(&b, "a%d: &a%d [[*a%d]]\n", i, i, i - 1);
    expect_code(b.data, b.len, "too-deep");
    buf_free(&b);
}

static void test_large(void **state) {
    (void)state;
    size_t len = LIMIT_MANIFEST_BYTES + 1;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, '#', len);
    expect_code(text, len, "too-large");
    memset(text, 'x', len);
    expect_code(text, LIMIT_MANIFEST_BYTES, "wrong-type"); /* one large scalar */
    for (size_t i = 0; i + 1 < len; i += 2) memcpy(text + i, "- ", 2);
    expect_code(text, LIMIT_MANIFEST_BYTES, "too-deep");
    text[0] = '[';
    for (size_t i = 1; i + 1 < len; i += 2) memcpy(text + i, "x,", 2);
    expect_code(text, LIMIT_MANIFEST_BYTES, "too-many-values");
    free(text);
}

static void test_many_keys(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 45000; i++) buf_printf(&b, "k%d: 1\n", i);
    expect_code(b.data, b.len, "unknown-key"); /* and 44,999 more, in no time */
    buf_reset(&b);
    buf_append_z(&b, "weir: 1\nname: t\nsources:\n  in: {type: kin, stream: s}\nsinks:\n"
                     "  out:\n    type: hole\n    inputs:\n");
    for (int i = 0; i < 40000; i++) buf_printf(&b, "    - n%d\n", i);
    expect_code(b.data, b.len, "unknown-node");
    buf_reset(&b);
    buf_append_z(&b, "weir: 1\nname: t\nsinks: {}\nsources:\n");
    for (int i = 0; i < 20000; i++) buf_printf(&b, "  n%d: {}\n", i);
    expect_code(b.data, b.len, "too-many-nodes");
    buf_free(&b);
}

static void test_bytes(void **state) {
    (void)state;
    expect_code("weir: 1\nname: \0\n", 16, "yaml-encoding");
    expect_code("weir: \"1\\0\"\n", 12, "nul-byte");
    expect_code("weir: \xc3\x28\n", 9, "yaml-encoding");
    expect_code("weir: \xed\xa0\x80\n", 10, "yaml-encoding"); /* a surrogate */
    expect_code("\xff\xfe", 2, "empty-file");                 /* UTF-16, and nothing in it */
    expect_code("\xff\xfe\x00", 3, "yaml-encoding");
    expect_code("a: \"\\ud800\"\n", 12, "yaml-syntax");
}

/* A word of the file does not reach the terminal as it is. */
static void test_terminal(void **state) {
    (void)state;
    manifest_input input = {.path = "m.yaml"};
    const char *text = "\"\\e[31mred\": 1\n";
    loaded l = load_input(text, strlen(text), &input);
    assert_null(strchr(l.text.data, '\x1b'));
    assert_non_null(strstr(l.text.data, "\\x1b[31mred"));
    loaded_free(&l);
    /* Nor does it make up a message of its own. */
    text = "weir: 1\nname: t\nsources: {\"n\\nm.yaml:1:1: error\": {type: \"k\\nm.yaml:1:1: "
           "error\"}}\nsinks: {s: {type: hole, input: \"nm.yaml:1:1: error\"}}\n";
    l = load_input(text, strlen(text), &input);
    assert_null(strstr(l.text.data, "\nm.yaml:1:1"));
    assert_non_null(strstr(l.text.data, "did you mean 'n\\nm.yaml:1:1: error'?"));
    loaded_free(&l);
}

/* Every prefix of a manifest, and the manifest with each byte replaced: no crash, and a result only
 * without errors (load_input asserts that). */
static void test_damaged(void **state) {
    (void)state;
    static const char text[] =
        "weir: 1\nname: t\nproperties: {a: {b: 'x$$${env:HOME:-y}'}}\nsources:\n"
        "  in: {type: kin, stream: '${a.b}', start: {timestamp: 1.5}, tags: &t {k: v}, format: "
        "json}\nsinks:\n  out: {type: kaf, input: in, topic: 'a${.x[1]|default:z}', headers: *t,\n"
        "    properties: {p: 1}, on_error: {dead_letter: dl}}\n"
        "  dl: {type: file, path: 'x/${time:%Y}'}\n";
    manifest_input input = {.path = "m.yaml"};
    for (size_t i = 0; i < sizeof text; i++) {
        loaded l = load_input(text, i, &input);
        loaded_free(&l);
    }
    static const char bytes[] = {'\0', '$', '}', '{', '[', '\'', '\n', '*', ':', '\xff'};
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[i] = bytes[i % sizeof bytes];
        loaded l = load_input(copy, sizeof text - 1, &input);
        loaded_free(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alias_bomb), cmocka_unit_test(test_deep),
        cmocka_unit_test(test_large),      cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
