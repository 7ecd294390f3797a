#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "std/std.h"
#include "support/fake_host.h"

static const weir_source_ops *ops;
static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-test-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "%s/..", folder);
    for (int n = 0; n < 8; n++) {
        snprintf(command, sizeof command, "%s/f%d", folder, n);
        unlink(command);
    }
    return rmdir(folder);
}

static const char *path_of(int n) {
    static char path[4][96];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/f%d", folder, n);
    return path[turn];
}

static void put_file(int n, const char *bytes, size_t len, const char *mode) {
    FILE *f = fopen(path_of(n), mode);
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void assign_one(void *self, const char *path, weir_str position) {
    const char *id[1] = {path};
    uint32_t id_len[1] = {(uint32_t)strlen(path)};
    const char *at[1] = {position.ptr};
    uint32_t at_len[1] = {(uint32_t)position.len};
    weir_assign a = {.struct_size = sizeof a, .count = 1};
    a.id_ptr = id;
    a.id_len = id_len;
    a.private_ptr = id;
    a.private_len = id_len;
    a.position_ptr = at;
    a.position_len = at_len;
    assert_int_equal(ops->assign(self, &a), WEIR_OK);
}

static void close_source(void *self) {
    weir_close c = {.struct_size = sizeof c, .mode = WEIR_CLOSE_DRAIN};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
}

typedef struct reading {
    char *text; /* "<value>" for each record */
    size_t used;
    uint32_t records;
    uint32_t batches;
    char resume[32];
    uint32_t resume_len;
} reading;

static void take(reading *r, const weir_batch *batch) {
    for (uint32_t i = 0; i < batch->rows->count; i++) {
        uint32_t len = batch->rows->value_len[i];
        r->text = realloc(r->text, r->used + len + 2);
        assert_non_null(r->text);
        r->text[r->used++] = '<';
        memcpy(r->text + r->used, batch->rows->value_ptr[i], len);
        r->used += len;
        r->text[r->used++] = '>';
        if (batch->rows->trailer_len == 1) {
            assert_int_equal(batch->rows->value_ptr[i][len], '\n'); /* what the hint promises */
        }
        r->records++;
    }
    assert_true(batch->resume.len <= sizeof r->resume);
    /* Positions never go back. */
    if (r->resume_len > 0) assert_true(memcmp(r->resume, batch->resume.ptr, 8) <= 0);
    memcpy(r->resume, batch->resume.ptr, (size_t)batch->resume.len);
    r->resume_len = (uint32_t)batch->resume.len;
    r->batches++;
}

/* Polls up to `batches` batches; the status that ended it. */
static weir_status read_some(void *self, reading *r, uint32_t room_records, uint64_t room_bytes,
                             uint32_t batches) {
    while (batches > 0) {
        weir_poll p = {.struct_size = sizeof p, .deadline_ns = INT64_MAX};
        weir_status status;
        p.room_records = room_records;
        p.room_bytes = room_bytes;
        status = ops->poll(self, &p);
        if (status == WEIR_EVENT) continue;
        if (status != WEIR_OK) return status;
        assert_true(p.batch->rows->count > 0);
        assert_true(p.batch->rows->count <= room_records);
        take(r, p.batch);
        batch_release(p.batch);
        batches--;
    }
    return WEIR_OK;
}

static void *open_source(fake_instance *i, uint32_t framing) {
    i->format.framing = framing;
    return fake_source_open(i, &std_file_source);
}

static void test_lines(void **state) {
    static const char text[] = "one\ntwo\r\n\nfour";
    fake_instance i;
    reading r = {0};
    void *self;
    (void)state;
    put_file(0, text, sizeof text - 1, "w");
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 1000, 1 << 20, UINT32_MAX), WEIR_END);
    assert_int_equal(r.records, 4);
    assert_int_equal(r.batches, 1);
    assert_memory_equal(r.text, "<one><two\r><><four>", 19);
    assert_int_equal(std_get_u64(r.resume), sizeof text - 1);
    free(r.text);
    close_source(self);
    fake_instance_free(&i);
}

/* Records of all lengths, long ones beyond the segment among them, read in pieces of every room. */
static void test_cut_points(void **state) {
    fake_instance i;
    char *text = malloc(3 << 20);
    size_t len = 0;
    reading whole = {0};
    void *self;
    (void)state;
    assert_non_null(text);
    for (uint32_t n = 0; n < 400; n++) {
        size_t size = n == 150 ? 700000 : n == 151 ? 300000 : n * 7 % 900;
        memset(text + len, 'a' + (int)(n % 26), size);
        len += size;
        text[len++] = '\n';
    }
    put_file(0, text, len, "w");
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(read_some(self, &whole, 1000, 1 << 20, UINT32_MAX), WEIR_END);
    assert_int_equal(whole.records, 400);
    assert_int_equal(whole.used, len + 400);
    close_source(self);
    /* Stop after every number of batches, go on with a new instance from the position. */
    for (uint32_t room = 1; room <= 64; room *= 4) {
        for (uint32_t cut = 1; cut < 400 / room; cut = cut * 2 + 1) {
            reading r = {0};
            self = open_source(&i, WEIR_FRAMING_LINES);
            assign_one(self, path_of(0), (weir_str){"", 0});
            assert_int_equal(read_some(self, &r, room, 1000, cut), WEIR_OK);
            close_source(self);
            self = open_source(&i, WEIR_FRAMING_LINES);
            assign_one(self, path_of(0), (weir_str){r.resume, r.resume_len});
            assert_int_equal(read_some(self, &r, 1000, 1 << 20, UINT32_MAX), WEIR_END);
            assert_int_equal(r.records, 400);
            assert_int_equal(r.used, whole.used);
            assert_memory_equal(r.text, whole.text, r.used);
            free(r.text);
            close_source(self);
        }
    }
    free(whole.text);
    free(text);
    fake_instance_free(&i);
}

static void test_length_and_none(void **state) {
    static const char framed[] = "\0\0\0\3a\nb\0\0\0\0\0\0\0\2cd";
    fake_instance i;
    reading r = {0};
    weir_poll p = {.struct_size = sizeof p, .room_records = 10, .room_bytes = 1000};
    void *self;
    (void)state;
    put_file(0, framed, sizeof framed - 1, "w");
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LENGTH);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_END);
    assert_int_equal(r.records, 3);
    assert_memory_equal(r.text, "<a\nb><><cd>", 11);
    close_source(self);
    r.used = r.records = r.resume_len = 0;
    self = open_source(&i, WEIR_FRAMING_NONE);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_END);
    assert_int_equal(r.records, 1);
    assert_int_equal(r.used, sizeof framed - 1 + 2);
    close_source(self);
    /* A record that the file does not hold to its end is an error, not a short record. */
    put_file(0, framed, sizeof framed - 2, "w");
    p.error = error_new();
    self = open_source(&i, WEIR_FRAMING_LENGTH);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(ops->poll(self, &p), WEIR_OK);
    assert_int_equal(p.batch->rows->count, 2);
    batch_release(p.batch);
    assert_int_equal(ops->poll(self, &p), WEIR_E_DATA);
    assert_non_null(strstr(error_text(p.error), "ends within the record at offset 11"));
    error_free(p.error);
    close_source(self);
    free(r.text);
    fake_instance_free(&i);
}

static void test_too_large(void **state) {
    fake_instance i;
    reading r = {0};
    char *text = malloc(600000);
    size_t len = 0;
    weir_poll p = {.struct_size = sizeof p, .room_records = 10, .room_bytes = 1 << 20};
    void *self;
    (void)state;
    assert_non_null(text);
    memcpy(text, "first\n", 6);
    memset(text + 6, 'x', 500000);
    len = 500006;
    memcpy(text + len, "\nlast\n", 6);
    put_file(0, text, len + 6, "w");
    fake_instance_init(&i);
    fake_set_number(&i, "max_record", 100000);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(0), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 10, 1 << 20, 1), WEIR_OK);
    p.error = error_new();
    assert_int_equal(ops->poll(self, &p), WEIR_E_TOO_LARGE);
    assert_true(error_flags(p.error) & WEIR_ERR_PER_RECORD);
    assert_non_null(strstr(error_text(p.error), "the record at offset 6"));
    error_free(p.error);
    assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_END);
    assert_int_equal(r.records, 2);
    assert_memory_equal(r.text, "<first><last>", 13);
    close_source(self);
    free(r.text);
    free(text);
    fake_instance_free(&i);
}

static void test_enumerate(void **state) {
    fake_instance i;
    weir_split_list list = {0};
    weir_enumerate e = {.struct_size = sizeof e, .list = &list};
    const weir_source_splits *splits;
    char pattern[96];
    void *self;
    (void)state;
    put_file(1, "a\n", 2, "w");
    put_file(2, "b\nhalf", 6, "w");
    fake_instance_init(&i);
    snprintf(pattern, sizeof pattern, "%s/f[12]", folder);
    i.lists[0] = pattern;
    i.lists[1] = path_of(2); /* named twice, read once */
    i.list_count = 2;
    self = open_source(&i, WEIR_FRAMING_LINES);
    splits = ops->get_extension(self, WEIR_SOURCE_SPLITS);
    assert_null(splits->discover); /* bounded */
    assert_int_equal(splits->enumerate(self, &e), WEIR_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.split[0].id, path_of(1));
    assert_int_equal(list.split[0].position_len, 0);
    fake_splits_free(&list);
    close_source(self);
    /* From the end: behind the last whole line, so that the half one comes whole later. */
    fake_set_number(&i, "follow", 1);
    fake_set_text(&i, "start", "end");
    self = open_source(&i, WEIR_FRAMING_LINES);
    splits = ops->get_extension(self, WEIR_SOURCE_SPLITS);
    assert_non_null(splits->discover);
    assert_int_equal(splits->enumerate(self, &e), WEIR_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(std_get_u64(list.split[1].position), 2);
    fake_splits_free(&list);
    close_source(self);
    /* Nothing there: said, with what was looked for. */
    fake_set_number(&i, "follow", 0);
    i.list_count = 1;
    i.lists[0] = "/nonexistent/*.x";
    self = open_source(&i, WEIR_FRAMING_LINES);
    splits = ops->get_extension(self, WEIR_SOURCE_SPLITS);
    e.error = error_new();
    assert_int_equal(splits->enumerate(self, &e), WEIR_E_NOT_FOUND);
    assert_string_equal(error_text(e.error), "no file matches '/nonexistent/*.x'");
    i.lists[0] = folder;
    assert_int_equal(splits->enumerate(self, &e), WEIR_E_INVALID_ARG);
    assert_non_null(strstr(error_text(e.error), "expected a file, found the folder"));
    error_free(e.error);
    close_source(self);
    fake_splits_free(&list);
    fake_instance_free(&i);
}

/* A growing file, a line that comes in two halves, a rotation, a truncation. */
static void test_follow(void **state) {
    fake_instance i;
    reading r = {0};
    void *self;
    (void)state;
    put_file(3, "one\nha", 6, "w");
    fake_instance_init(&i);
    fake_set_number(&i, "follow", 1);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(3), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_AGAIN);
    assert_int_equal(r.records, 1);
    assert_int_equal(r.resume_len, 16);
    assert_int_equal(i.idle, 1);
    put_file(3, "lf\nthree\n", 9, "a");
    fake_host_advance(INT64_C(200000000));
    assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_AGAIN);
    assert_int_equal(r.records, 3);
    /* Rotated: the writer adds to the renamed file once more, without a newline at its end. */
    assert_int_equal(rename(path_of(3), path_of(4)), 0);
    put_file(3, "new\n", 4, "w");
    put_file(4, "late", 4, "a");
    for (int n = 0; n < 4; n++) {
        fake_host_advance(INT64_C(200000000));
        assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_AGAIN);
    }
    assert_memory_equal(r.text, "<one><half><three><late><new>", 29);
    assert_int_equal(r.records, 5);
    close_source(self);
    /* Resumed where the old file was: its rest first, then the new one. */
    assert_int_equal(rename(path_of(3), path_of(5)), 0);
    put_file(5, "rest\n", 5, "a");
    put_file(3, "newer\n", 6, "w");
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(3), (weir_str){r.resume, r.resume_len});
    for (int n = 0; n < 4; n++) {
        fake_host_advance(INT64_C(200000000));
        assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_AGAIN);
    }
    assert_memory_equal(r.text + 29, "<rest><newer>", 13);
    put_file(3, "t\n", 2, "w"); /* truncated in place */
    for (int n = 0; n < 3; n++) {
        fake_host_advance(INT64_C(200000000));
        assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX), WEIR_AGAIN);
    }
    assert_memory_equal(r.text + 42, "<t>", 3);
    close_source(self);
    free(r.text);
    fake_instance_free(&i);
}

/* A position in the middle, in a file that is not what it was. */
static void test_resume_in_a_changed_file(void **state) {
    static const struct {
        const char *text;
        const char *error;  /* of a bounded read */
        const char *follow; /* what following reads */
    } cases[] = {
        {"one\ntwo\nthree\n", NULL, "<two><three>"},
        {"one\n", NULL, ""}, /* read to its end */
        {"on\n", "has 3 bytes, expected at least the 4", "<on>"},
        {"", "has 0 bytes", ""},
        {"another\nfile\n", "no record begins at offset 4", "<another><file>"},
    };
    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        for (int follow = 0; follow < 2; follow++) {
            weir_poll p = {.struct_size = sizeof p, .room_records = 10, .room_bytes = 1 << 20};
            const char *wanted = follow || cases[n].error == NULL ? cases[n].follow : "";
            char position[8];
            fake_instance i;
            reading r = {0};
            void *self;
            put_file(6, cases[n].text, strlen(cases[n].text), "w");
            fake_instance_init(&i);
            fake_set_number(&i, "follow", follow);
            std_put_u64(position, 4);
            self = open_source(&i, WEIR_FRAMING_LINES);
            assign_one(self, path_of(6), (weir_str){position, sizeof position});
            if (!follow && cases[n].error != NULL) {
                for (int again = 0; again < 2; again++) { /* it does not pass by asking twice */
                    p.error = error_new();
                    assert_int_equal(ops->poll(self, &p), WEIR_E_INCOMPATIBLE);
                    assert_non_null(strstr(error_text(p.error), cases[n].error));
                    assert_false(error_flags(p.error) & WEIR_ERR_RETRYABLE);
                    error_free(p.error);
                }
            } else {
                assert_int_equal(read_some(self, &r, 10, 1 << 20, UINT32_MAX),
                                 follow ? WEIR_AGAIN : WEIR_END);
            }
            assert_int_equal(r.used, strlen(wanted));
            if (r.used > 0) assert_memory_equal(r.text, wanted, r.used);
            close_source(self);
            free(r.text);
            fake_instance_free(&i);
        }
    }
}

/* Cut under a bounded reader: an error, not an early end. */
static void test_cut_while_read(void **state) {
    weir_poll p = {.struct_size = sizeof p, .room_records = 10, .room_bytes = 1 << 20};
    fake_instance i;
    reading r = {0};
    void *self;
    (void)state;
    put_file(6, "one\ntwo\nthree\n", 14, "w");
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(6), (weir_str){"", 0});
    assert_int_equal(read_some(self, &r, 2, 1 << 20, 1), WEIR_OK);
    put_file(6, "one\n", 4, "w");
    p.error = error_new();
    assert_int_equal(ops->poll(self, &p), WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(p.error), "has 4 bytes, expected at least the 8"));
    error_free(p.error);
    close_source(self);
    free(r.text);
    fake_instance_free(&i);
}

static void test_positions_as_text(void **state) {
    fake_instance i;
    char buffer[64];
    const weir_source_position *position;
    weir_position_text t = {.struct_size = sizeof t, .text = {"1234", 4}};
    void *self;
    (void)state;
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LINES);
    position = ops->get_extension(self, WEIR_SOURCE_POSITION);
    t.buffer = buffer;
    t.buffer_size = sizeof buffer;
    assert_int_equal(position->from_text(self, &t), WEIR_OK);
    assert_int_equal(std_get_u64(t.position.ptr), 1234);
    assert_int_equal(t.position.len, 8);
    {
        char copy[8];
        memcpy(copy, t.position.ptr, 8);
        t.position.ptr = copy;
        assert_int_equal(position->to_text(self, &t), WEIR_OK);
        assert_memory_equal(t.text.ptr, "1234", 4);
    }
    t.text = (weir_str){"12x", 3};
    assert_int_equal(position->from_text(self, &t), WEIR_E_INVALID_ARG);
    close_source(self);
    fake_instance_free(&i);
}

static void test_missing(void **state) {
    fake_instance i;
    weir_poll p = {.struct_size = sizeof p, .room_records = 10, .room_bytes = 1000};
    void *self;
    (void)state;
    fake_instance_init(&i);
    self = open_source(&i, WEIR_FRAMING_LINES);
    assign_one(self, path_of(7), (weir_str){"", 0});
    p.error = error_new();
    assert_int_equal(ops->poll(self, &p), WEIR_E_NOT_FOUND);
    assert_non_null(strstr(error_text(p.error), "cannot open"));
    error_free(p.error);
    close_source(self);
    fake_instance_free(&i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_cut_points),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_length_and_none),
        cmocka_unit_test(test_enumerate),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_resume_in_a_changed_file),
        cmocka_unit_test(test_cut_while_read),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_positions_as_text),
    };
    ops = std_file_source.ops;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
