/* json.so behind the ABI: rows, records that fail alone, options, no memory. */
#include "fake_host.h"

static const weir_component *component;

static const fake_option defaults[] = {{"depth", "128"},           {"numbers", "exact"},
                                       {"duplicate_keys", "last"}, {"timestamps", "iso8601"},
                                       {"nulls", "keep"},          {NULL, NULL}};

static int setup(void **state) {
    (void)state;
    component = load_component("json");
    assert_int_equal(component->kind, WEIR_KIND_SERDE);
    return 0;
}

/* Decodes one text and writes the row again; NULL if it failed. */
static const char *there_and_back(fake *f, const char *text) {
    static char out[4096];
    uint32_t len = (uint32_t)strlen(text);
    assert_int_equal(serde_decode(f, &text, &len, 1), WEIR_OK);
    if (f->failed[0] != WEIR_OK) {
        assert_int_equal(f->failed[0], WEIR_E_DATA);
        assert_int_equal(f->tape.rows, 0);
        return NULL;
    }
    assert_int_equal(f->tape.rows, 1);
    assert_int_equal(serde_encode(f, f->tape.nodes, f->tape.row_start, 1), WEIR_OK);
    snprintf(out, sizeof out, "%.*s", (int)f->value_len[0], f->value[0]);
    return out;
}

static void test_rows(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"a\":1}", NULL, "[1,",
                                        "\"x\"",     "",   " [ 1.50 , \"\\n\" ] "};
    uint32_t lens[6] = {0};
    for (int i = 0; i < 6; i++) lens[i] = texts[i] ? (uint32_t)strlen(texts[i]) : 0;
    fake *f = serde_open(component, defaults, -1);
    assert_int_equal(serde_decode(f, texts, lens, 6), WEIR_OK);
    /* The two bad records are left out, the others keep their order and say where they came from.
     */
    assert_int_equal(f->tape.rows, 4);
    assert_int_equal(f->tape.origin[0], 0);
    assert_int_equal(f->tape.origin[1], 1);
    assert_int_equal(f->tape.origin[2], 3);
    assert_int_equal(f->tape.origin[3], 5);
    assert_int_equal(f->tape.nodes[f->tape.row_start[1]].type, WEIR_V_NULL);
    assert_int_equal(f->failed[2], WEIR_E_DATA);
    assert_string_equal(
        f->why[2], "invalid JSON at byte 3: expected a value, found the end of the text; found "
                   "the end of the record");
    assert_int_equal(f->failed[4], WEIR_E_DATA);
    assert_int_equal(serde_encode(f, f->tape.nodes, f->tape.row_start, 4), WEIR_OK);
    check_value(f, 0, "{\"a\":1}");
    check_value(f, 1, "null");
    check_value(f, 2, "\"x\"");
    check_value(f, 3, "[1.5,\"\\n\"]");
    serde_close(f);
}

static void test_fault_texts(void **state) {
    (void)state;
    fake *f = serde_open(component, defaults, -1);
    static const char *const cases[][2] = {
        {"{\"a\" 1}", "invalid JSON at byte 5: expected ':'; found '1'"},
        {"[\"a\tb\"]", "invalid JSON at byte 3: control character in a string: it must be escaped; "
                       "found byte 0x09"},
        {"{\n\"a\":1,\n}",
         "invalid JSON at line 3, column 1: expected '\"': a member name; found '}'"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(there_and_back(f, cases[i][0]));
        assert_string_equal(f->why[0], cases[i][1]);
    }
    serde_close(f);
}

/* More nodes than are asked for at first, and strings that need memory of their own. */
static void test_large(void **state) {
    (void)state;
    fake *f = serde_open(component, defaults, -1);
    char text[4000];
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < 300; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"k\":%d}", i ? "," : "", i);
    snprintf(text + n, sizeof text - n, ",\"\\u00e9\\t\"]");
    const char *out = there_and_back(f, text);
    assert_non_null(out);
    assert_memory_equal(out, text, n);
    assert_string_equal(out + n, ",\"\xc3\xa9\\t\"]");
    serde_close(f);
}

static void test_numbers(void **state) {
    (void)state;
    static const fake_option doubles[] = {{"depth", "128"}, {"numbers", "double"}, {NULL, NULL}};
    static const char text[] =
        "[0.30000000000000000001,18446744073709551616,1e999,18446744073709551615]";
    fake *f = serde_open(component, defaults, -1);
    assert_string_equal(there_and_back(f, text), text);
    serde_close(f);
    f = serde_open(component, doubles, -1);
    assert_string_equal(there_and_back(f, text),
                        "[0.3,18446744073709552000.0,1e999,18446744073709551615]");
    serde_close(f);
}

static void test_duplicates(void **state) {
    (void)state;
    static const fake_option error[] = {
        {"depth", "128"}, {"duplicate_keys", "error"}, {NULL, NULL}};
    fake *f = serde_open(component, defaults, -1);
    assert_string_equal(there_and_back(f, "{\"a\":1,\"a\":2}"), "{\"a\":1,\"a\":2}");
    assert_int_equal(weir_value_member(f->tape.nodes, "a", 1)->as.i64, 2);
    serde_close(f);
    f = serde_open(component, error, -1);
    assert_null(there_and_back(f, "{\"a\":1,\"a\":2}"));
    assert_string_equal(f->why[0], "invalid JSON at byte 7: duplicate member name; found '\"'");
    assert_non_null(there_and_back(f, "{\"a\":1,\"b\":2}"));
    serde_close(f);
}

static void test_depth(void **state) {
    (void)state;
    static const fake_option flat[] = {{"depth", "2"}, {NULL, NULL}};
    fake *f = serde_open(component, flat, -1);
    assert_string_equal(there_and_back(f, "{\"a\":[1]}"), "{\"a\":[1]}");
    assert_null(there_and_back(f, "{\"a\":[[]]}"));
    assert_string_equal(f->why[0], "invalid JSON at byte 6: nested too deeply; found '['");
    serde_close(f);
}

static void test_style(void **state) {
    (void)state;
    static const char *const names[] = {"iso8601", "epoch_ms", "epoch_s", "epoch_us"};
    static const char *const wants[] = {"{\"t\":\"2023-11-14T22:13:20.500Z\"}",
                                        "{\"t\":1700000000500}", "{\"t\":1700000000.5}",
                                        "{\"t\":1700000000500000}"};
    const weir_value nodes[] = {
        {.type = WEIR_V_OBJECT, .size = 2, .as.skip = 5},
        {.type = WEIR_V_STRING, .flags = WEIR_VF_PLAIN, .size = 1, .as.ptr = "t"},
        {.type = WEIR_V_I64, .logical = WEIR_L_TIMESTAMP_US, .as.i64 = 1700000000500000},
        {.type = WEIR_V_STRING, .flags = WEIR_VF_PLAIN, .size = 1, .as.ptr = "n"},
        {.type = WEIR_V_NULL}};
    const uint32_t row_start[] = {0, 5};
    for (int i = 0; i < 4; i++) {
        const fake_option options[] = {{"timestamps", names[i]}, {"nulls", "drop"}, {NULL, NULL}};
        fake *f = serde_open(component, options, -1);
        assert_int_equal(serde_encode(f, nodes, row_start, 1), WEIR_OK);
        check_value(f, 0, wants[i]);
        serde_close(f);
    }
}

/* The n-th host call that needs memory fails, for every n: a clean error and nothing left behind.
 */
static void test_no_memory(void **state) {
    (void)state;
    static char text[3000];
    size_t n = 0;
    text[n++] = '[';
    for (int i = 0; i < 200; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%d,", i);
    snprintf(text + n, sizeof text - n, "\"\\n\"]");
    const char *const texts[] = {"{\"a\":\"\\t\"}", NULL, text};
    const uint32_t lens[] = {(uint32_t)strlen(texts[0]), 0, (uint32_t)strlen(text)};
    int64_t calls = 0;
    for (;; calls++) {
        fake *f = serde_open(component, defaults, calls);
        if (!f) continue;
        weir_status status = serde_decode(f, texts, lens, 3);
        if (status == WEIR_OK) {
            assert_int_equal(f->tape.rows, 3);
            status = serde_encode(f, f->tape.nodes, f->tape.row_start, 3);
        }
        /* A record is never blamed for the lack of memory. */
        for (int i = 0; i < 3; i++) assert_int_equal(f->failed[i], WEIR_OK);
        assert_true(status == WEIR_OK || status == WEIR_E_NOMEM);
        serde_close(f);
        if (status == WEIR_OK) break;
    }
    assert_true(calls > 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_fault_texts),
        cmocka_unit_test(test_large),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_style),      cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
