#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weir/framing.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})

static void split(uint32_t framing, weir_str bytes, uint64_t max, uint32_t room, weir_status want,
                  weir_frames *f) {
    static const char *ptr[64];
    static uint32_t len[64];
    memset(f, 0, sizeof *f);
    f->value_ptr = ptr;
    f->value_len = len;
    f->room = room;
    assert_int_equal(weir_frame_split(framing, bytes, max, f), want);
}

static void test_split_lines(void **state) {
    weir_frames f;
    (void)state;
    split(WEIR_FRAMING_LINES, STR("a\n\r\n\nlonger\nrest"), 100, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 4);
    assert_int_equal(f.used, 12);
    assert_int_equal(f.value_len[0], 1);
    assert_int_equal(f.value_len[1], 1); /* the '\r' belongs to the value */
    assert_int_equal(f.value_len[2], 0);
    assert_memory_equal(f.value_ptr[3], "longer", 6);
    split(WEIR_FRAMING_LINES, STR("a\nb\nc\n"), 100, 2, WEIR_OK, &f);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.used, 4);
    split(WEIR_FRAMING_LINES, STR("rest"), 100, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.used, 0);
    split(WEIR_FRAMING_LINES, STR("a\nlonger\n"), 3, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 1);
    split(WEIR_FRAMING_LINES, STR("longer\n"), 3, 64, WEIR_E_TOO_LARGE, &f);
    split(WEIR_FRAMING_LINES, STR("long"), 3, 64, WEIR_E_TOO_LARGE, &f);
}

static void test_split_length(void **state) {
    weir_frames f;
    (void)state;
    split(WEIR_FRAMING_LENGTH, STR("\0\0\0\2ab\0\0\0\0\0\0\0\5cd"), 100, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.used, 10);
    assert_int_equal(f.need, 9);
    assert_int_equal(f.value_len[1], 0);
    split(WEIR_FRAMING_LENGTH, STR("\0\0\1"), 100, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.need, 0);
    split(WEIR_FRAMING_LENGTH, STR("\xff\xff\xff\xff"), 100, 64, WEIR_E_TOO_LARGE, &f);
    split(WEIR_FRAMING_NONE, STR("all\nof it"), 100, 64, WEIR_OK, &f);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.value_len[0], 9);
}

/* Gathers all rows with small arrays and glues the pieces. Returns how many iovecs it took. */
static uint32_t glue(const weir_rows *rows, uint32_t framing, uint64_t bytes_max, char *out,
                     uint64_t *len) {
    struct iovec iov[4];
    char staging[WEIR_GATHER_STAGING_MIN];
    weir_gather g = {.rows = rows, .iov = iov, .staging = staging, .iov_max = 4};
    uint32_t total = 0;
    *len = 0;
    g.staging_size = sizeof staging;
    g.framing = framing;
    g.end = rows->count;
    g.bytes_max = bytes_max;
    while (g.row < g.end) {
        uint32_t before = g.row;
        uint64_t sum = 0;
        assert_int_equal(weir_frame_gather(&g), WEIR_OK);
        assert_true(g.row > before);
        assert_true(g.iov_count <= 4);
        for (uint32_t i = 0; i < g.iov_count; i++) {
            memcpy(out + *len, iov[i].iov_base, iov[i].iov_len);
            *len += iov[i].iov_len;
            sum += iov[i].iov_len;
        }
        assert_int_equal(sum, g.bytes);
        total += g.iov_count;
    }
    return total;
}

static void rows_of(weir_rows *rows, const char **ptr, uint32_t *len, uint32_t count, int trailer) {
    memset(rows, 0, sizeof *rows);
    rows->struct_size = sizeof *rows;
    rows->count = count;
    rows->value_ptr = ptr;
    rows->value_len = len;
    rows->trailer_len = trailer ? 1 : 0;
    rows->trailer = trailer ? '\n' : 0;
}

/* Neighbours leave as one piece, whatever their number. */
static void test_gather_neighbours(void **state) {
    static char bytes[400 * 100];
    static char out[sizeof bytes];
    const char *ptr[400];
    uint32_t len[400];
    weir_rows rows;
    uint64_t total;
    (void)state;
    for (uint32_t i = 0; i < 400; i++) {
        memset(bytes + i * 100, 'a' + (int)(i % 26), 99);
        bytes[i * 100 + 99] = '\n';
        ptr[i] = bytes + i * 100;
        len[i] = 99;
    }
    rows_of(&rows, ptr, len, 400, 1);
    assert_int_equal(glue(&rows, WEIR_FRAMING_LINES, 0, out, &total), 1);
    assert_int_equal(total, sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
    /* The record that reaches the limit is the last one of a piece. */
    assert_int_equal(glue(&rows, WEIR_FRAMING_LINES, 10001, out, &total), 4);
    assert_memory_equal(out, bytes, sizeof bytes);
    for (uint32_t i = 0; i < 200; i++) ptr[i] = ptr[i * 2]; /* every second one: runs of one */
    rows.count = 200;
    (void)glue(&rows, WEIR_FRAMING_LINES, 0, out, &total);
    assert_int_equal(total, 200 * 100);
    for (uint32_t i = 0; i < 200; i++) assert_memory_equal(out + i * 100, bytes + i * 200, 100);
}

static void test_gather_values(void **state) {
    static char large[3000];
    static char out[16384];
    const char *ptr[5] = {"one", NULL, large, "", "four"};
    uint32_t len[5] = {3, 0, sizeof large, 0, 4};
    weir_rows rows;
    uint64_t total;
    (void)state;
    memset(large, 'L', sizeof large);
    rows_of(&rows, ptr, len, 5, 0);
    (void)glue(&rows, WEIR_FRAMING_LINES, 0, out, &total);
    assert_int_equal(total, 3 + 3000 + 4 + 5);
    assert_memory_equal(out, "one\n\nLLL", 8);
    assert_memory_equal(out + total - 7, "\n\nfour\n", 7);
    (void)glue(&rows, WEIR_FRAMING_LENGTH, 0, out, &total);
    assert_int_equal(total, 3 + 3000 + 4 + 20);
    assert_memory_equal(out, "\0\0\0\3one\0\0\0\0\0\0\x0b\xb8LL", 17);
    (void)glue(&rows, WEIR_FRAMING_NONE, 0, out, &total);
    assert_int_equal(total, 3007);
    /* A null value among hinted ones has no byte behind it. */
    ptr[0] = "a\n";
    len[0] = 1;
    rows_of(&rows, ptr, len, 2, 1);
    (void)glue(&rows, WEIR_FRAMING_LINES, 0, out, &total);
    assert_int_equal(total, 3);
    assert_memory_equal(out, "a\n\n", 3);
}

static void test_gather_newline(void **state) {
    const char *ptr[3] = {"good", "b\nd", "good"};
    uint32_t len[3] = {4, 3, 4};
    struct iovec iov[4];
    char staging[WEIR_GATHER_STAGING_MIN];
    weir_rows rows;
    weir_gather g = {.rows = &rows, .iov = iov, .staging = staging, .iov_max = 4};
    (void)state;
    rows_of(&rows, ptr, len, 3, 0);
    g.staging_size = sizeof staging;
    g.framing = WEIR_FRAMING_LINES;
    g.end = 3;
    assert_int_equal(weir_frame_gather(&g), WEIR_OK);
    assert_int_equal(g.row, 1);
    assert_int_equal(weir_frame_gather(&g), WEIR_E_DATA);
    assert_int_equal(g.row, 1);
    g.row = 2;
    assert_int_equal(weir_frame_gather(&g), WEIR_OK);
    assert_int_equal(g.row, 3);
    g.row = 1; /* only lines mind */
    g.framing = WEIR_FRAMING_LENGTH;
    assert_int_equal(weir_frame_gather(&g), WEIR_OK);
}

static void test_iov_advance(void **state) {
    char bytes[10];
    (void)state;
    for (uint64_t n = 0; n <= 10; n++) {
        struct iovec iov[3] = {{bytes, 3}, {bytes + 3, 0}, {bytes + 3, 7}};
        uint32_t count = 3;
        struct iovec *at = weir_iov_advance(iov, &count, n);
        size_t left = 0;
        for (uint32_t i = 0; i < count; i++) left += at[i].iov_len;
        assert_int_equal(left, 10 - n);
        if (count > 0 && at[0].iov_len > 0) assert_ptr_equal(at[0].iov_base, bytes + n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_lines),       cmocka_unit_test(test_split_length),
        cmocka_unit_test(test_gather_neighbours), cmocka_unit_test(test_gather_values),
        cmocka_unit_test(test_gather_newline),    cmocka_unit_test(test_iov_advance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
