/*
 * The file's bytes: there and back, every bit and every length damaged, hostile contents under
 * right checksums, limits, memory.
 */
#define _GNU_SOURCE /* memmem */
#include "sample.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/limits.h"

static weir_error *err;

static int setup(void **unused) {
    (void)unused;
    err = error_new();
    return err == NULL;
}

static int teardown(void **unused) {
    (void)unused;
    error_free(err);
    return 0;
}

static buf encoded(const checkpoint *c) {
    buf b;
    buf_init(&b, CHECKPOINT_BYTES_MAX);
    assert_int_equal(checkpoint_encode(c, &b, err), WEIR_OK);
    return b;
}

static void there_and_back(void **unused) {
    (void)unused;
    for (checkpoint_kind kind = CHECKPOINT_PERIODIC; kind <= CHECKPOINT_FINAL; kind++) {
        checkpoint *c = sample_checkpoint(kind, 42);
        buf first = encoded(c);
        checkpoint *d = checkpoint_decode(buf_str(&first), err);
        assert_non_null(d);
        same_checkpoint(c, d);
        buf second = encoded(d);
        SAME_STR(buf_str(&first), buf_str(&second));
        uint64_t epoch = 0;
        assert_true(checkpoint_peek_epoch(buf_str(&first), &epoch) && epoch == 42);
        memset(first.data, 'x', first.len); /* nothing points into the caller's bytes */
        same_checkpoint(c, d);
        buf_free(&first);
        buf_free(&second);
        checkpoint_free(c);
        checkpoint_free(d);
    }
}

/* Readers of other weirs and other machines rely on these bytes. */
static void the_bytes_are_fixed(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf b = encoded(c);
    assert_memory_equal(b.data, "\x8fweir\r\n\x1a\1\0\0\0\1\0\0\0", 16);
    assert_int_equal((unsigned char)b.data[24], 42);
    assert_memory_equal(b.data + 48, "META\xff\xff\xff\xff", 8);
    assert_int_equal(crc32c(0, b.data, b.len), 0x48674bc7); /* what a CRC-32C leaves over itself */
    assert_int_equal(b.len, 757);
    assert_int_equal(crc32c(0, b.data, b.len - 4), 0xc26474be);
    buf_free(&b);
    checkpoint_free(c);
}

static void encoding_appends(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf alone = encoded(c), behind;
    buf_init(&behind, CHECKPOINT_BYTES_MAX);
    buf_append_z(&behind, "before");
    assert_int_equal(checkpoint_encode(c, &behind, err), WEIR_OK);
    SAME_STR(buf_str(&alone), str_make(behind.data + 6, behind.len - 6));
    c->epoch = 0;
    buf_reset(&behind);
    buf_append_z(&behind, "before");
    assert_int_equal(checkpoint_encode(c, &behind, err), WEIR_E_INVALID_ARG);
    SAME_STR(buf_str(&behind), STR("before"));
    buf_free(&alone);
    buf_free(&behind);
    checkpoint_free(c);
}

/* Decodes exactly these bytes from the heap, so that a sanitizer sees what is read behind them. */
static checkpoint *decode_exactly(const char *bytes, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) memcpy(copy, bytes, len);
    error_clear(err);
    checkpoint *c = checkpoint_decode(str_make(copy, len), err);
    free(copy);
    return c;
}

static void must_be_damage(const char *bytes, size_t len) {
    assert_null(decode_exactly(bytes, len));
    assert_int_equal(error_status(err), WEIR_E_DATA);
    assert_true(strlen(error_text(err)) > 10);
}

static void every_bit_is_guarded(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf b = encoded(c);
    for (size_t i = 0; i < b.len; i++) {
        char was = b.data[i];
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] = (char)(was ^ 1 << bit);
            must_be_damage(b.data, b.len);
        }
        static const unsigned char patterns[] = {0x00, 0xff, 0x55};
        for (size_t p = 0; p < sizeof patterns; p++) {
            b.data[i] = (char)patterns[p];
            if (b.data[i] != was) must_be_damage(b.data, b.len);
        }
        b.data[i] = was;
    }
    buf_free(&b);
    checkpoint_free(c);
}

static void every_truncation_is_seen(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf b = encoded(c);
    for (size_t len = 0; len < b.len; len++) must_be_damage(b.data, len);
    /* Torn writes: the length is right, the end was never written. */
    size_t whole = b.len;
    for (size_t len = 0; len < whole; len++) {
        memset(b.data + whole - 1 - len, 0, len + 1);
        must_be_damage(b.data, whole);
    }
    buf_free(&b);
    b = encoded(c);
    buf_append_z(&b, "more");
    must_be_damage(b.data, b.len);
    assert_non_null(strstr(error_text(err), "appended"));
    buf_free(&b);
    checkpoint_free(c);
}

static void damage_is_told_by_its_place(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf b = encoded(c);
    char *found = memmem(b.data, b.len, ".part-0-7", 9);
    assert_non_null(found);
    *found = '_';
    must_be_damage(b.data, b.len);
    assert_non_null(strstr(error_text(err), "the committables of a node"));
    *found = '.';
    b.data[b.len - 1] ^= 1;
    must_be_damage(b.data, b.len);
    assert_non_null(strstr(error_text(err), "checksum of the whole file"));
    must_be_damage(b.data, b.len - 100);
    assert_non_null(strstr(error_text(err), "truncated: 657 bytes, it was written with 757"));
    must_be_damage("name: clicks\nkind: not a checkpoint but a manifest, much longer\n", 64);
    assert_non_null(strstr(error_text(err), "no checkpoint"));
    buf_free(&b);
    checkpoint_free(c);
}

static void set_u32(char *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (char)(v >> (8 * i));
}

/* Makes all checksums right again after somebody changed the bytes with intent. */
static void seal(buf *b) {
    set_u32(b->data + 44, crc32c(0, b->data, 44));
    size_t at = 48;
    while (b->len - 4 - at >= 20) {
        uint64_t len = 0;
        for (int i = 7; i >= 0; i--) len = len << 8 | (unsigned char)b->data[at + 8 + (size_t)i];
        if (len > b->len - 4 - at - 20) break;
        set_u32(b->data + at + 16 + len, crc32c(0, b->data + at, 16 + len));
        at += 20 + len;
    }
    set_u32(b->data + b->len - 4, crc32c(0, b->data, b->len - 4));
}

static void another_format_is_refused_as_such(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf b = encoded(c);
    b.data[8] = 2;
    seal(&b);
    assert_null(decode_exactly(b.data, b.len));
    assert_int_equal(error_status(err), WEIR_E_INCOMPATIBLE);
    assert_non_null(strstr(error_text(err), "format 2; this weir reads format 1"));
    buf_free(&b);
    checkpoint_free(c);
}

/* Whoever can compute checksums can write any bytes: each byte gets other values, each u32 extreme
 * ones, under right checksums. What comes out is an error, or a checkpoint whose bytes are these:
 * there is no second way to write one. */
static void hostile_contents(void **unused) {
    (void)unused;
    static const uint32_t extremes[] = {0,          1,          2,          255,        256,
                                        0x7fffffff, 0x80000000, 0xffffffff, 0x10000000, 100000};
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    buf good = encoded(c), b;
    unsigned accepted = 0, refused = 0;
    for (size_t i = 8; i + 8 < good.len; i++) {
        for (size_t k = 0; k < sizeof extremes / sizeof extremes[0]; k++) {
            buf_init(&b, CHECKPOINT_BYTES_MAX);
            buf_append_str(&b, buf_str(&good));
            set_u32(b.data + i, extremes[k]);
            seal(&b);
            checkpoint *d = decode_exactly(b.data, b.len);
            if (d != NULL) {
                buf again = encoded(d);
                SAME_STR(buf_str(&b), buf_str(&again));
                buf_free(&again);
                checkpoint_free(d);
                accepted++;
            } else {
                assert_true(error_status(err) == WEIR_E_DATA ||
                            error_status(err) == WEIR_E_INCOMPATIBLE);
                refused++;
            }
            buf_free(&b);
        }
    }
    assert_true(accepted > 1000 && refused > 1000);
    buf_free(&good);
    checkpoint_free(c);
}

/* A small file never costs more memory than a multiple of its size: a count is held against the
 * bytes that are there. */
static void memory_is_bounded_by_the_file(void **unused) {
    (void)unused;
    checkpoint *c = checkpoint_new(CHECKPOINT_PERIODIC, 1);
    state_node node = {.name = STR("n"), .kind = WEIR_KIND_SOURCE};
    state_split *splits = calloc(LIMIT_SPLITS, sizeof *splits);
    assert_non_null(splits);
    for (uint32_t i = 0; i < LIMIT_SPLITS; i++) {
        splits[i].state = STATE_WAITING;
        splits[i].id = splits[i].position = splits[i].private_bytes = STR("");
    }
    node.splits = splits;
    node.split_count = LIMIT_SPLITS;
    c->nodes = &node;
    c->node_count = 1;
    buf b = encoded(c);
    checkpoint *d = checkpoint_decode(buf_str(&b), err);
    assert_non_null(d);
    assert_int_equal(d->nodes[0].split_count, LIMIT_SPLITS);
    assert_true(arena_bytes(d->memory) < b.len * 6);
    checkpoint_free(d);
    buf_free(&b);
    free(splits);
    c->nodes = NULL;
    c->node_count = 0;
    checkpoint_free(c);
}

/* What is encoded can be decoded: the limits are the same on both ways. */
static void the_writer_knows_the_limits(void **unused) {
    (void)unused;
    static char many[LIMIT_COMMITTABLE_BYTES + 1];
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    state_node *source = &c->nodes[0], *sink = &c->nodes[2];
    buf b;
    buf_init(&b, CHECKPOINT_BYTES_MAX);
#define REFUSED(field, value, as)                                                                  \
    do {                                                                                           \
        __typeof__(field) kept = (field);                                                          \
        (field) = (value);                                                                         \
        assert_int_equal(checkpoint_encode(c, &b, err), (as));                                     \
        assert_int_equal(b.len, 0);                                                                \
        (field) = kept;                                                                            \
    } while (0)
    REFUSED(c->pipeline, str_make(many, LIMIT_STATE_TEXT_BYTES + 1), WEIR_E_TOO_LARGE);
    REFUSED(c->name, str_make(many, LIMIT_NAME_BYTES + 1), WEIR_E_TOO_LARGE);
    REFUSED(source->splits[0].id, str_make(many, LIMIT_SPLIT_ID_BYTES + 1), WEIR_E_TOO_LARGE);
    REFUSED(source->splits[0].position, str_make(many, 256), WEIR_E_TOO_LARGE);
    REFUSED(source->splits[1].private_bytes, str_make(many, 4097), WEIR_E_TOO_LARGE);
    REFUSED(source->splits[2].parent_count, LIMIT_SPLIT_PARENTS + 1, WEIR_E_TOO_LARGE);
    REFUSED(source->splits[2].state, (state_split_state)4, WEIR_E_INVALID_ARG);
    REFUSED(source->blobs[0].scope, 5, WEIR_E_INVALID_ARG);
    REFUSED(sink->committables[1].bytes, str_make(many, sizeof many), WEIR_E_TOO_LARGE);
    REFUSED(source->split_count, LIMIT_SPLITS + 1, WEIR_E_TOO_LARGE);
    REFUSED(source->blob_count, LIMIT_STATE_BLOBS + 1, WEIR_E_TOO_LARGE);
    REFUSED(sink->committable_count, LIMIT_COMMITTABLES + 1, WEIR_E_TOO_LARGE);
    REFUSED(c->node_count, LIMIT_NODES + 1, WEIR_E_TOO_LARGE);
    REFUSED(source->kind, 5, WEIR_E_INVALID_ARG);
    REFUSED(source->name, STR(""), WEIR_E_INVALID_ARG);
    REFUSED(c->kind, (checkpoint_kind)5, WEIR_E_INVALID_ARG);
    REFUSED(c->epoch, UINT64_MAX, WEIR_E_INVALID_ARG);
#undef REFUSED
    buf small;
    buf_init(&small, 500);
    assert_int_equal(checkpoint_encode(c, &small, err), WEIR_E_NOMEM);
    buf_free(&small);
    buf_free(&b);
    checkpoint_free(c);
}

static void two_nodes_of_one_name_are_refused(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    c->nodes[2].name = c->nodes[0].name;
    buf b = encoded(c);
    must_be_damage(b.data, b.len);
    assert_non_null(strstr(error_text(err), "twice"));
    buf_free(&b);
    checkpoint_free(c);
}

static void the_nth_allocation_fails(void **unused) {
    (void)unused;
    checkpoint *c = sample_checkpoint(CHECKPOINT_PERIODIC, 42);
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        buf b;
        buf_init(&b, CHECKPOINT_BYTES_MAX);
        error_clear(err);
        (void)mem_test_fail_at(n, n % 2 == 0);
        weir_status status = checkpoint_encode(c, &b, err);
        checkpoint *d = status == WEIR_OK ? checkpoint_decode(buf_str(&b), err) : NULL;
        failed = mem_test_fail_at(0, false);
        assert_true((d != NULL) == !failed);
        if (failed) assert_int_equal(error_status(err), WEIR_E_NOMEM);
        checkpoint_free(d);
        buf_free(&b);
        assert_in_range(n, 1, 100);
    }
    checkpoint_free(c);
}

/* RFC 3720, B.4, and the instruction against the tables at every length and alignment. */
static void checksums(void **unused) {
    (void)unused;
    unsigned char bytes[400];
    memset(bytes, 0, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 131 + i / 7);
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; len < 300; len++) {
            uint32_t whole = crc32c(0, bytes + from, len);
            assert_int_equal(whole, crc32c_portable(0, bytes + from, len));
            uint32_t half = crc32c(0, bytes + from, len / 3);
            assert_int_equal(whole, crc32c(half, bytes + from + len / 3, len - len / 3));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(the_bytes_are_fixed),
        cmocka_unit_test(encoding_appends),
        cmocka_unit_test(every_bit_is_guarded),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(damage_is_told_by_its_place),
        cmocka_unit_test(another_format_is_refused_as_such),
        cmocka_unit_test(hostile_contents),
        cmocka_unit_test(memory_is_bounded_by_the_file),
        cmocka_unit_test(the_writer_knows_the_limits),
        cmocka_unit_test(two_nodes_of_one_name_are_refused),
        cmocka_unit_test(the_nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
