/*
 * Records that cannot go on: what fails, what is counted, what a dead letter keeps, and its
 * envelope.
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "runtime/envelope.h"
#include "weir/json.h"

static weir_status give_up(rig *r, const weir_batch *batch, uint32_t row, const char *text) {
    weir_error *why = error_new();
    error_set(why, WEIR_E_DATA, WEIR_ERR_PER_RECORD, "%s", text);
    weir_status status = failures_record(r->failures, batch, row, why, 2, r->err);
    error_free(why);
    return status;
}

static void test_fail_and_skip(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "shard-3", "ab");
    assert_int_equal(give_up(&r, batch, 1, "bad thing"), WEIR_E_DATA);
    assert_non_null(strstr(error_text(r.err), "bad thing"));
    assert_non_null(strstr(error_text(r.err), "shard-3"));
    assert_non_null(strstr(error_get_detail(r.err, WEIR_DETAIL_HINT).ptr, "on_error of node out"));
    r.node.on_error = ON_ERROR_SKIP;
    assert_int_equal(give_up(&r, batch, 0, "bad thing"), WEIR_OK);
    assert_int_equal(count_get(&r.counters.failed), 2);
    assert_int_equal(count_get(&r.counters.skipped), 1);
    batch_release(batch);
    rig_end(&r);
}

static void expect_header(const weir_rows *rows, uint32_t row, const char *name, const char *text) {
    weir_str value;
    assert_true(rows_header(rows, row, str_of(name), &value));
    assert_true(str_eq(value, str_of(text)));
}

static void test_dead_letter_keeps_all(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    rig_start(&r);
    rec records[] = {{.value = "good"},
                     {.value = "bad",
                      .key = "key",
                      .time_us = 99,
                      .header = "mine",
                      .header_value = "kept",
                      .position = "pos"},
                     {.value = NULL}};
    const weir_batch *batch = rig_batch(r.home, "s1", records, 3);
    assert_int_equal(give_up(&r, batch, 1, "first"), WEIR_OK);
    assert_int_equal(give_up(&r, batch, 2, "second"), WEIR_OK);
    batch_release(batch); /* a letter is a copy: it does not hold on to the batch */
    const weir_batch *other = rig_letters(r.home, "s2", "z");
    assert_int_equal(give_up(&r, other, 0, "third"), WEIR_OK);
    batch_release(other);
    assert_int_equal(failures_flush(r.failures, r.err), WEIR_OK);
    assert_int_equal(failures_flush(r.failures, r.err), WEIR_OK);

    channel_item one = channel_pop(r.letters_channel), two = channel_pop(r.letters_channel);
    assert_int_equal(one.kind, ITEM_BATCH);
    assert_int_equal(two.kind, ITEM_BATCH);
    assert_int_equal(channel_pop(r.letters_channel).kind, ITEM_NONE);
    const weir_rows *rows = one.batch->rows;
    assert_int_equal(rows->count, 2);
    assert_true(str_eq(one.batch->split, STR("s1")));
    assert_true(str_eq(two.batch->split, STR("s2"))); /* one split a batch */
    assert_memory_equal(rows->value_ptr[0], "bad", 3);
    assert_memory_equal(rows->key_ptr[0], "key", 3);
    assert_int_equal(rows->time_us[0], 99);
    expect_header(rows, 0, "mine", "kept");
    expect_header(rows, 0, "weir.error.node", "out");
    expect_header(rows, 0, "weir.error.code", "data");
    expect_header(rows, 0, "weir.error.text", "first");
    expect_header(rows, 0, "weir.error.attempts", "2");
    expect_header(rows, 0, "weir.origin.split", "s1");
    expect_header(rows, 0, "weir.origin.position", "pos");
    weir_str time;
    int64_t us;
    assert_true(rows_header(rows, 0, STR("weir.error.time"), &time));
    assert_true(str_to_time_us(time, &us));
    assert_null(rows->value_ptr[1]);
    assert_null(rows->key_ptr[1]);
    expect_header(rows, 1, "weir.error.text", "second");
    channel_item_drop(&one);
    channel_item_drop(&two);
    assert_int_equal(count_get(&r.counters.dead_lettered), 3);
    rig_end(&r);
}

static void test_unflushed_is_freed(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    rig_start(&r);
    const weir_batch *batch = rig_letters(r.home, "s", "a");
    assert_int_equal(give_up(&r, batch, 0, "x"), WEIR_OK);
    batch_release(batch);
    rig_end(&r);
}

/* ---- the envelope, as the JSON a sink with a format writes ---- */

static void envelope(const rec *record, const char *split, const char *error, char **out) {
    rig r;
    rig_init(&r);
    r.node.on_error = ON_ERROR_DEAD_LETTER;
    rig_start(&r);
    const weir_batch *batch = rig_batch(r.home, split, record, 1);
    assert_int_equal(give_up(&r, batch, 0, error), WEIR_OK);
    batch_release(batch);
    assert_int_equal(failures_flush(r.failures, r.err), WEIR_OK);
    channel_item item = channel_pop(r.letters_channel);
    const weir_batch *enveloped = failures_envelope(r.home, item.batch);
    assert_non_null(enveloped);
    assert_int_equal(enveloped->rows->count, 1);
    const weir_value *root = weir_tape_root(enveloped->tape, 0);
    char *text = malloc(weir_json_bound(root) + 1);
    uint64_t len = weir_json_write(root, text);
    text[len] = '\0';
    *out = text;
    assert_true(str_is_utf8(str_make(text, len)));
    batch_release(enveloped);
    channel_item_drop(&item);
    rig_end(&r);
}

static void has(const char *json, const char *piece) {
    if (strstr(json, piece) == NULL) fail_msg("%s\nlacks %s", json, piece);
}

static void test_envelope(void **state) {
    (void)state;
    rec record = {.value = "{\"a\":1}",
                  .key = "key",
                  .header = "mine",
                  .header_value = "kept",
                  .position = "pos"};
    char *json;
    envelope(&record, "shard", "a \"bad\" thing", &json);
    has(json,
        "{\"node\":\"out\",\"code\":\"data\",\"error\":\"a \\\"bad\\\" thing\",\"attempts\":2,"
        "\"time\":\"20");
    has(json, "\"origin\":{\"split\":\"shard\",\"position\":\"pos\"}");
    has(json, "\"key\":\"key\"");
    has(json, "\"headers\":{\"mine\":\"kept\"}");
    has(json, "\"value\":\"{\\\"a\\\":1}\"}");
    assert_null(strstr(json, "weir.error"));
    free(json);
}

static void test_envelope_of_binary(void **state) {
    (void)state;
    rec record = {.value = "\xff\x00\x01", .len = 3, .key = "\xfe"};
    char *json;
    envelope(&record, "s", "x", &json);
    has(json, "\"value_base64\":\"/wAB\"");
    has(json, "\"key_base64\":\"/g==\"");
    assert_null(strstr(json, "\"value\":"));
    free(json);
    rec nothing = {.value = NULL};
    envelope(&nothing, "s", "x", &json);
    assert_null(strstr(json, "\"value"));
    assert_null(strstr(json, "\"key"));
    free(json);
}

static void test_envelope_of_foreign_words(void **state) {
    (void)state;
    rec record = {.value = "v", .position = "\x80pos"};
    char *json;
    envelope(&record, "sh\xffrd", "byte \xff and \xc3\xa9", &json);
    has(json, "\"error\":\"byte \xef\xbf\xbd and \xc3\xa9\"");
    has(json, "\"split\":\"sh\xef\xbf\xbdrd\"");
    has(json, "\"position\":\"\xef\xbf\xbdpos\"");
    has(json, "\"split_base64\":\"c2j/cmQ=\"");
    has(json, "\"position_base64\":\"gHBvcw==\"");
    free(json);
}

/* Nothing of a record's headers is lost: neither bytes nor nulls, nor a second one of a name. */
static void test_envelope_of_headers(void **state) {
    (void)state;
    rec binary = {.value = "v", .header = "mine", .header_value = "a\xff"};
    char *json;
    envelope(&binary, "s", "x", &json);
    has(json, "\"headers\":{\"mine\":{\"base64\":\"Yf8=\"}},\"value\"");
    free(json);
    rec null = {.value = "v", .header = "mine"};
    envelope(&null, "s", "x", &json);
    has(json, "\"headers\":{\"mine\":null},\"value\"");
    free(json);
    rec name = {.value = "v", .header = "m\xfe", .header_value = "text"};
    envelope(&name, "s", "x", &json);
    has(json, "\"headers\":{},\"headers_base64\":[{\"name_base64\":\"bf4=\",\"value\":\"text\"}],");
    free(json);
}

static void test_envelope_of_many_headers(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    /* As a letter stands on its way: the second time that it failed. */
    static const char *const headers[][2] = {
        {"a", "1"},  {"b", "x"},    {"a", "\xff"}, {"weir.error.node", "before"},
        {"a", NULL}, {"\xff", "y"}, {"\xff", "z"}, {"weir.error.node", "now"},
    };
    weir_batch_builder *b = batch_begin(r.home, 1, 0);
    weir_batch_columns c = {.struct_size = sizeof c};
    assert_int_equal(batch_facet.reserve(b, 1, &c), WEIR_OK);
    c.value_ptr[0] = "v";
    c.value_len[0] = 1;
    assert_int_equal(batch_facet.commit(b, 1), WEIR_OK);
    for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
        weir_str value = {NULL, 0};
        if (headers[h][1] != NULL) value = str_of(headers[h][1]);
        assert_int_equal(batch_facet.header(b, str_of(headers[h][0]), value), WEIR_OK);
    }
    weir_batch_seal seal = {.struct_size = sizeof seal, .split = STR("s"), .lag_ms = -1};
    const weir_batch *batch = batch_facet.seal(b, &seal);
    const weir_batch *enveloped = failures_envelope(r.home, batch);
    assert_non_null(enveloped);
    const weir_value *root = weir_tape_root(enveloped->tape, 0);
    char json[1024];
    assert_true(weir_json_bound(root) < sizeof json);
    json[weir_json_write(root, json)] = '\0';
    assert_string_equal(json, "{\"node\":\"now\",\"origin\":{},"
                              "\"headers\":{\"a\":[\"1\",{\"base64\":\"/w==\"},null],\"b\":\"x\","
                              "\"weir.error.node\":\"before\"},"
                              "\"headers_base64\":[{\"name_base64\":\"/w==\",\"value\":\"y\"},"
                              "{\"name_base64\":\"/w==\",\"value\":\"z\"}],\"value\":\"v\"}");
    batch_release(enveloped);
    batch_release(batch);
    error_free(r.err);
    batch_home_free(r.home);
    arena_free(r.memory);
}

/* Where a bad record stands: its own position where there is one, else that of its batch. */
static void test_place_is_named(void **state) {
    (void)state;
    rig r;
    rig_init(&r);
    rig_start(&r);
    rec records[] = {{.value = "a", .position = "4\x01 2"}, {.value = "b"}};
    const weir_batch *batch = rig_batch(r.home, "shard-3", records, 2);
    assert_int_equal(give_up(&r, batch, 0, "bad"), WEIR_E_DATA);
    assert_string_equal(error_text(r.err), "out: split shard-3, position 4\\x01\\x202: bad");
    batch_release(batch);
    batch = rig_letters(r.home, "shard-3", "abc");
    assert_int_equal(give_up(&r, batch, 1, "bad"), WEIR_E_DATA);
    assert_string_equal(
        error_text(r.err),
        "out: split shard-3, record 2 of a batch of 3, before position resume: bad");
    batch_release(batch);
    rig_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_and_skip),
        cmocka_unit_test(test_dead_letter_keeps_all),
        cmocka_unit_test(test_unflushed_is_freed),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_envelope_of_binary),
        cmocka_unit_test(test_envelope_of_foreign_words),
        cmocka_unit_test(test_envelope_of_headers),
        cmocka_unit_test(test_envelope_of_many_headers),
        cmocka_unit_test(test_place_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
