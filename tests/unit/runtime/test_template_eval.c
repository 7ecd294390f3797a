/*
 * Template programs over records: every kind of part, filters, what is missing, and times.
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"

typedef struct world {
    arena *memory;
    batch_home *home;
    weir_error *err;
} world;

static int setup(void **state) {
    static world w;
    w.memory = arena_new(16 << 20);
    w.home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    w.err = error_new();
    *state = &w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    error_free(w->err);
    assert_int_equal(batch_home_used(w->home), 0);
    batch_home_free(w->home);
    arena_free(w->memory);
    return 0;
}

/* The text for row 0; NULL in `expected` = missing. Consumes the batch. */
static void expect(world *w, const char *text, const weir_batch *batch, const char *expected) {
    template_eval *e = template_eval_new(rig_template(w->memory, text), &rig_env);
    buf out;
    buf_init(&out, 1 << 20);
    weir_status status = template_eval_row(e, batch, 0, &out, w->err);
    if (expected == NULL) {
        assert_int_equal(status, WEIR_E_DATA);
        assert_true((error_flags(w->err) & WEIR_ERR_PER_RECORD) != 0);
        assert_non_null(strstr(error_text(w->err), text));
    } else {
        if (status != WEIR_OK) fail_msg("%s: %s", text, error_text(w->err));
        assert_int_equal(out.len, strlen(expected));
        assert_memory_equal(out.data != NULL ? out.data : "", expected, out.len);
    }
    buf_free(&out);
    template_eval_free(e);
    batch_release(batch);
}

static const rec full = {.value = "val",
                         .key = "the key",
                         .time_us = INT64_C(86400000000) * 365 + 3723 * INT64_C(1000000) + 999999,
                         .header = "h",
                         .header_value = "header text",
                         .position = "pos-1"};
static const rec bare = {.value = NULL};

static void test_every_part(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *full, *bare;
    } cases[] = {
        {"just text", "just text", "just text"},
        {"a$b", "a$b", "a$b"},
        {"a$${b}", "a${b}", "a${b}"},
        {"${key}", "the key", NULL},
        {"${value}", "val", NULL},
        {"${header:h}", "header text", NULL},
        {"${header:weir.position}", "pos-1", NULL},
        {"${header:absent}", NULL, NULL},
        {"${position}", "pos-1", NULL},
        {"${split}", "shard-7", "shard-7"},
        {"${time:%Y-%m-%dT%H:%M:%S}", "1971-01-01T01:02:03", NULL},
        {"${now:%Y-%m-%d %H}", "2023-11-14 22", "2023-11-14 22"},
        {"<${key}|${value}>", "<the key|val>", NULL},
        {"${key|urlencode}", "the%20key", NULL},
        {"${key|default:none}", "the key", "none"},
        {"${key|default:a b|urlencode}", "the%20key", "a%20b"},
        {"${.v}", NULL, NULL}, /* not decoded */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(w, cases[i].text, rig_batch(w->home, "shard-7", &full, 1), cases[i].full);
        expect(w, cases[i].text, rig_batch(w->home, "shard-7", &bare, 1), cases[i].bare);
    }
}

static void test_fields(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"${.v}", "val"},           {"n=${.n}", "n=0"},   {"${.v.deeper}", NULL},
        {"${.v[0]}", NULL},         {"${.absent}", NULL}, {"${.absent|default:}x", "x"},
        {"${.v|urlencode}", "val"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(w, cases[i].text, rig_decoded(w->home, rig_batch(w->home, "s", &full, 1)),
               cases[i].expected);
    }
}

/* What is missing is named as the template names it. */
static void test_missing_is_named(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *end;
    } cases[] = {
        {"${.k}", "the record has no field .k"},
        {"${.a.b[0]}", "the record has no field .a.b[0]"},
        {"${.[7]}", "the record has no field .[7]"},
        {"${.v[\"x y\"].z}", "the record has no field .v[\"x y\"].z"},
        {"${header:nonsuch}", "the record has no header nonsuch"},
    };
    rec r = {.value = "{\"v\":1}"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const weir_batch *batch = rig_decoded(w->home, rig_batch(w->home, "s", &r, 1));
        template_eval *e = template_eval_new(rig_template(w->memory, cases[i].text), &rig_env);
        buf out;
        buf_init(&out, 4096);
        assert_int_equal(template_eval_row(e, batch, 0, &out, w->err), WEIR_E_DATA);
        const char *found = strstr(error_text(w->err), "the record has no");
        assert_non_null(found);
        assert_int_equal(strncmp(found, cases[i].end, strlen(cases[i].end)), 0);
        char after = found[strlen(cases[i].end)];
        assert_true(after == '\0' || strchr(" ;,(\n", after) != NULL);
        buf_free(&out);
        template_eval_free(e);
        batch_release(batch);
    }
}

static void test_urlencode(void **state) {
    world *w = *state;
    rec r = {.value = "aZ0-_.~/ \xc3\xa9\n", .key = ""};
    expect(w, "${value|urlencode}", rig_batch(w->home, "s", &r, 1), "aZ0-_.~%2F%20%C3%A9%0A");
    expect(w, "[${key|default:empty}]", rig_batch(w->home, "s", &r, 1), "[empty]");
    expect(w, "[${key}]", rig_batch(w->home, "s", &r, 1), "[]"); /* empty is not missing */
}

static void test_random_parts(void **state) {
    world *w = *state;
    uint64_t *next = rig_env.opaque;
    *next = 0;
    expect(w, "${random} ${random}", rig_batch(w->home, "s", &full, 1), "1 2");
    *next = 0;
    expect(w, "${uuid}", rig_batch(w->home, "s", &full, 1), "00000000-0000-4001-8000-000000000002");
    *next = UINT64_MAX - 1; /* all bits set, then none */
    expect(w, "${uuid}", rig_batch(w->home, "s", &full, 1), "ffffffff-ffff-4fff-8000-000000000000");
}

/* Neighbouring records of one second share a formatted text: it must not outlive the second. */
static void test_times_across_seconds(void **state) {
    world *w = *state;
    static const struct {
        int64_t us;
        const char *text;
    } times[] = {
        {1, "1970-01-01 00:00:00"},        {999999, "1970-01-01 00:00:00"},
        {1000000, "1970-01-01 00:00:01"},  {1, "1970-01-01 00:00:00"},
        {-1, "1969-12-31 23:59:59"},       {-1000000, "1969-12-31 23:59:59"},
        {-1000001, "1969-12-31 23:59:58"}, {INT64_C(253402300799999999), "9999-12-31 23:59:59"},
    };
    rec records[8];
    for (int i = 0; i < 8; i++) records[i] = (rec){.value = "x", .time_us = times[i].us};
    const weir_batch *batch = rig_batch(w->home, "s", records, 8);
    template_eval *e =
        template_eval_new(rig_template(w->memory, "${time:%Y-%m-%d %H:%M:%S}"), &rig_env);
    buf out;
    buf_init(&out, 1000);
    for (uint32_t i = 0; i < 8; i++) {
        buf_reset(&out);
        assert_int_equal(template_eval_row(e, batch, i, &out, w->err), WEIR_OK);
        assert_string_equal(out.data, times[i].text);
    }
    buf_free(&out);
    template_eval_free(e);
    batch_release(batch);
}

typedef struct failures_seen {
    uint32_t rows[8], count;
} failures_seen;

static void note_failure(void *opaque, uint32_t row, const weir_error *err) {
    failures_seen *f = opaque;
    assert_int_equal(error_status(err), WEIR_E_DATA);
    f->rows[f->count++] = row;
}

static void test_column(void **state) {
    world *w = *state;
    rec records[] = {{.value = "x", .key = "k1"},
                     {.value = "x", .key = "k1"},
                     {.value = "x"},
                     {.value = "x", .key = "k1"},
                     {.value = "x", .key = "k2"}};
    const weir_batch *batch = rig_batch(w->home, "s", records, 5);
    template_eval *e = template_eval_new(rig_template(w->memory, "p/${key}"), &rig_env);
    text_column c;
    failures_seen f = {.count = 0};
    assert_int_equal(template_eval_column(e, batch, w->memory, &c, note_failure, &f, w->err), 0);
    assert_false(c.constant);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.rows[0], 2);
    assert_null(c.ptr[2]);
    assert_ptr_equal(c.ptr[0], c.ptr[1]); /* equal neighbours share their bytes */
    assert_ptr_equal(c.ptr[0], c.ptr[3]); /* also over one that failed */
    assert_true(str_eq(str_make(c.ptr[4], c.len[4]), STR("p/k2")));
    template_eval_free(e);

    e = template_eval_new(rig_template(w->memory, "fixed"), &rig_env);
    assert_int_equal(template_eval_column(e, batch, w->memory, &c, note_failure, &f, w->err), 0);
    assert_true(c.constant);
    assert_true(str_eq(str_make(c.ptr[0], c.len[0]), STR("fixed")));
    template_eval_free(e);
    batch_release(batch);

    char *large = malloc(40000);
    memset(large, ' ', 40000);
    rec r[] = {{.value = large, .len = 40000}, {.value = "s"}};
    batch = rig_batch(w->home, "s", r, 2);
    static const char *const texts[] = {"${value}${value}", "${value|urlencode}"};
    for (int i = 0; i < 2; i++) { /* a text beyond the limit fails its record only */
        f.count = 0;
        e = template_eval_new(rig_template(w->memory, texts[i]), &rig_env);
        assert_int_equal(template_eval_column(e, batch, w->memory, &c, note_failure, &f, w->err),
                         WEIR_OK);
        assert_int_equal(f.count, 1);
        assert_int_equal(f.rows[0], 0);
        assert_non_null(c.ptr[1]);
        template_eval_free(e);
    }
    batch_release(batch);
    free(large);
}

static void test_last_header_wins(void **state) {
    world *w = *state;
    rec r = {.value = "x", .header = "weir.position", .header_value = "forged", .position = "real"};
    expect(w, "${position}", rig_batch(w->home, "s", &r, 1), "real");
    rec nullv = {.value = "x", .header = "h", .header_value = NULL};
    expect(w, "${header:h|default:d}", rig_batch(w->home, "s", &nullv, 1), "d");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_part),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_missing_is_named), cmocka_unit_test(test_urlencode),
        cmocka_unit_test(test_random_parts),     cmocka_unit_test(test_times_across_seconds),
        cmocka_unit_test(test_column),           cmocka_unit_test(test_last_header_wins),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
