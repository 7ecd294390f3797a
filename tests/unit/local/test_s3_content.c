/* What S3 is kept in: names in order, bytes that several refer to, texts of all forms of time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "s3/call.h"

typedef struct item {
    weir_str name;
    char text[8];
} item;

static void names_in_order(void **state) {
    (void)state;
    static item items[1000];
    sorted s = {0};
    for (unsigned i = 0; i < 1000; i++) {
        item *one = &items[i];
        snprintf(one->text, sizeof one->text, "%03u", i * 617 % 1000);
        one->name = str_of(one->text);
        assert_true(sorted_insert(&s, sorted_from(&s, one->name), one));
    }
    for (size_t i = 0; i < 1000; i++) {
        char text[8];
        snprintf(text, sizeof text, "%03zu", i);
        assert_string_equal(((item *)s.items[i])->text, text);
        assert_ptr_equal(sorted_get(&s, str_of(text)), s.items[i]);
        assert_int_equal(sorted_from(&s, str_of(text)), i);
        assert_int_equal(sorted_behind(&s, str_of(text)), i + 1);
    }
    assert_int_equal(sorted_from(&s, STR("41")), 410);
    assert_int_equal(sorted_behind_prefix(&s, STR("41")), 420);
    assert_int_equal(sorted_behind_prefix(&s, STR("")), 1000);
    assert_int_equal(sorted_behind_prefix(&s, STR("9999")), 1000);
    assert_null(sorted_get(&s, STR("41")));
    assert_string_equal(((item *)sorted_remove(&s, 410))->text, "410");
    assert_int_equal(sorted_behind_prefix(&s, STR("41")), 419);
    assert_null(sorted_get(&s, STR("410")));
    sorted_free(&s);
}

static void flatten(const s3_content *c, char *out) {
    for (uint32_t i = 0; i < c->count; i++) {
        memcpy(out, c->items[i].bytes, c->items[i].len);
        out += c->items[i].len;
    }
    *out = 0;
}

static void bytes_are_shared(void **state) {
    (void)state;
    s3_content whole = {0}, piece = {0};
    char text[64];
    assert_true(s3_content_copy(&whole, STR("hello ")));
    assert_true(s3_content_copy(&whole, STR("")));
    char *more = mem_alloc(64);
    assert_non_null(more);
    memcpy(more, "wide world", 10);
    assert_true(s3_content_take(&whole, more, 10, 64));
    assert_int_equal(whole.size, 16);
    for (uint64_t at = 0; at <= 16; at++)
        for (uint64_t len = 0; len <= 16 - at; len++) {
            assert_true(s3_content_share(&piece, &whole, at, len));
            assert_int_equal(piece.size, len);
            flatten(&piece, text);
            assert_memory_equal(text, &"hello wide world"[at], len);
            s3_content_free(&piece);
        }
    assert_true(s3_content_share(&piece, &whole, 3, 6));
    s3_content_free(&whole);
    flatten(&piece, text); /* outlives what it was taken from */
    assert_string_equal(text, "lo wid");
    s3_content_free(&piece);
}

/* Every allocation fails once: nothing is lost, nothing freed twice. */
static void without_memory(void **state) {
    (void)state;
    for (int64_t n = 1;; n++) {
        s3_content whole = {0}, piece = {0};
        mem_test_fail_at(n, false);
        bool ok = s3_content_copy(&whole, STR("abc")) && s3_content_copy(&whole, STR("def")) &&
                  s3_content_share(&piece, &whole, 1, 4);
        s3_bucket *b = s3_bucket_new(STR("bucket"), STR("us-east-1"), 0);
        s3_object *o = b ? s3_object_new(STR("key"), 0) : NULL;
        bool stored = o && s3_object_store(b, o);
        bool failed = mem_test_fail_at(0, false);
        assert_true(failed || (ok && stored));
        s3_bucket_free(b);
        s3_content_free(&whole);
        s3_content_free(&piece);
        if (!failed) break;
    }
}

static void names_of_buckets(void **state) {
    (void)state;
    static const char *const good[] = {
        "abc", "my.bucket-1", "1.2.3",
        "a23456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {
        "ab",
        "Abc",
        "-ab",
        "ab-",
        "a..b",
        "a.-b",
        "a-.b",
        "a_b",
        "192.168.0.1",
        "xn--abc",
        "abc-s3alias",
        "a b",
        "",
        "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(s3_bucket_name_ok(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (s3_bucket_name_ok(str_of(bad[i]))) fail_msg("%s", bad[i]);
}

static void ranges(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t at, len;
    } rows[] = {
        {"bytes=0-0", true, 0, 1},
        {"bytes=0-", true, 0, 100},
        {"bytes=99-", true, 99, 1},
        {"bytes=10-19", true, 10, 10},
        {"bytes=90-200", true, 90, 10},
        {"bytes=-5", true, 95, 5},
        {"bytes=-500", true, 0, 100},
        {"bytes=100-", true, 100, 0},
        {"bytes=-0", true, 100, 0},
        {"bytes=5-4", false, 0, 0},
        {"bytes=-", false, 0, 0},
        {"bytes=a-b", false, 0, 0},
        {"bytes=0-1,3-4", false, 0, 0},
        {"items=0-1", false, 0, 0},
        {"", false, 0, 0},
        {"bytes=0-999999999999999999999999", true, 0, 100},
        {"bytes=7-9223372036854775807", true, 7, 93},
        {"bytes=999999999999999999999999-", true, INT64_MAX, 0},
        {"bytes=-999999999999999999999999", true, 0, 100},
        {"bytes=+1-2", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t at = 0, len = 0;
        bool ok = s3_range_read(str_of(rows[i].text), 100, &at, &len);
        if (ok != rows[i].ok || (ok && (at != rows[i].at || len != rows[i].len)))
            fail_msg("%s: %d %llu %llu", rows[i].text, ok, (unsigned long long)at,
                     (unsigned long long)len);
    }
}

static void times(void **state) {
    (void)state;
    static const char *const forms[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000Z"};
    char text[S3_TIME_TEXT];
    int64_t ms;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_true(s3_time_read(str_of(forms[i]), &ms));
        assert_true(ms == INT64_C(784111777000));
    }
    s3_time_http(ms, text);
    assert_string_equal(text, forms[0]);
    s3_time_iso(ms + 999, text);
    assert_string_equal(text, forms[3]);
    assert_false(s3_time_read(STR("yesterday"), &ms));
    assert_false(s3_time_read(STR(""), &ms));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_order), cmocka_unit_test(bytes_are_shared),
        cmocka_unit_test(without_memory), cmocka_unit_test(names_of_buckets),
        cmocka_unit_test(ranges),         cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
