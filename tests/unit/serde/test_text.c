/* text.so behind the ABI. */
#include "fake_host.h"

static const weir_component *component;

static int setup(void **state) {
    (void)state;
    component = load_component("text");
    assert_int_equal(component->kind, WEIR_KIND_SERDE);
    return 0;
}

static void test_decode(void **state) {
    (void)state;
    static const char *const texts[] = {
        "plain",        NULL,          "", "caf\xc3\xa9 \"quoted\"", "bad \xff byte",
        "cut \xe2\x82", "\xed\xa0\x80"};
    static const uint32_t lens[] = {5, 0, 0, 14, 10, 6, 3};
    fake *f = serde_open(component, NULL, -1);
    assert_int_equal(serde_decode(f, texts, lens, 7), WEIR_OK);
    assert_int_equal(f->tape.rows, 4);
    static const uint32_t sizes[] = {5, 0, 0, 14};
    for (uint32_t r = 0; r < 4; r++) {
        const weir_value *v = f->tape.nodes + f->tape.row_start[r];
        assert_int_equal(f->tape.origin[r], r);
        assert_int_equal(f->tape.row_start[r + 1] - f->tape.row_start[r], 1);
        assert_int_equal(v->type, r == 1 ? WEIR_V_NULL : WEIR_V_STRING);
        assert_int_equal(v->size, sizes[r]);
        assert_int_equal(v->flags, 0); /* nobody looked for what JSON must escape */
        if (r != 1) assert_memory_equal(v->as.ptr, texts[r], sizes[r]);
    }
    assert_int_equal(f->failed[4], WEIR_E_DATA);
    assert_string_equal(
        f->why[4], "expected UTF-8 text, found byte 0xff at offset 4; format raw takes any bytes");
    assert_int_equal(f->failed[5], WEIR_E_DATA);
    assert_int_equal(f->failed[6], WEIR_E_DATA);
    serde_close(f);
}

static void test_encode(void **state) {
    (void)state;
    const weir_value nodes[] = {
        {.type = WEIR_V_STRING, .size = 5, .as.ptr = "a\"b\nc"},
        {.type = WEIR_V_BYTES, .size = 2, .as.ptr = "\xff\x01"},
        {.type = WEIR_V_I64, .as.i64 = -42},
        {.type = WEIR_V_U64, .as.u64 = UINT64_MAX},
        {.type = WEIR_V_F64, .as.f64 = 0.1},
        {.type = WEIR_V_BOOL, .as.u64 = 1},
        {.type = WEIR_V_STRING, .logical = WEIR_L_DECIMAL, .size = 5, .as.ptr = "1e400"},
        {.type = WEIR_V_I64, .logical = WEIR_L_TIMESTAMP_US, .as.i64 = 0},
        {.type = WEIR_V_I64, .logical = WEIR_L_DATE, .as.i64 = 1},
        {.type = WEIR_V_BYTES,
         .logical = WEIR_L_DECIMAL,
         .flags = 2u << WEIR_VF_SCALE_SHIFT,
         .size = 1,
         .as.ptr = "\x7b"},
        {.type = WEIR_V_BYTES, .logical = WEIR_L_UUID, .size = 16, .as.ptr = "0123456789abcdef"},
        {.type = WEIR_V_STRING},
        {.type = WEIR_V_NULL},
        {.type = WEIR_V_OBJECT, .as.skip = 1},
        {.type = WEIR_V_ARRAY, .size = 1, .as.skip = 2},
        {.type = WEIR_V_NULL}};
    uint32_t row_start[16];
    for (uint32_t i = 0; i < 15; i++) row_start[i] = i;
    row_start[15] = 16;
    fake *f = serde_open(component, NULL, -1);
    assert_int_equal(serde_encode(f, nodes, row_start, 15), WEIR_OK);
    static const char *const wants[] = {"a\"b\nc",
                                        "\xff\x01",
                                        "-42",
                                        "18446744073709551615",
                                        "0.1",
                                        "true",
                                        "1e400",
                                        "1970-01-01T00:00:00Z",
                                        "1970-01-02",
                                        "1.23",
                                        "30313233-3435-3637-3839-616263646566",
                                        ""};
    for (uint32_t r = 0; r < 12; r++) check_value(f, r, wants[r]);
    static const char *const found[] = {"null", "an object", "an array"};
    for (uint32_t r = 12; r < 15; r++) {
        assert_null(f->value[r]);
        assert_int_equal(f->failed[r], WEIR_E_DATA);
        char want[200];
        snprintf(
            want, sizeof want,
            "text needs a string, bytes, a number or a truth value, found %s; format json takes "
            "any value",
            found[r - 12]);
        assert_string_equal(f->why[r], want);
    }
    serde_close(f);
}

static void test_no_memory(void **state) {
    (void)state;
    static const char *const texts[] = {"a", NULL, "b"};
    static const uint32_t lens[] = {1, 0, 1};
    const weir_value nodes[] = {{.type = WEIR_V_STRING, .size = 1, .as.ptr = "x"},
                                {.type = WEIR_V_I64, .as.i64 = 7}};
    const uint32_t row_start[] = {0, 1, 2};
    int64_t calls = 0;
    for (;; calls++) {
        fake *f = serde_open(component, NULL, calls);
        if (!f) continue;
        weir_status status = serde_decode(f, texts, lens, 3);
        if (status == WEIR_OK) status = serde_encode(f, nodes, row_start, 2);
        assert_true(status == WEIR_OK || status == WEIR_E_NOMEM);
        serde_close(f);
        if (status == WEIR_OK) break;
    }
    assert_int_equal(calls, 1 + 6 + 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode), cmocka_unit_test(test_encode),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
