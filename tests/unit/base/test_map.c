/* The map, against a plain array as its model. */
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define KEYS 2000

static weir_str key_of(char out[16], unsigned i) {
    int n = snprintf(out, 16, "key-%u", i);
    return str_make(out, (size_t)n);
}

static void test_model(void **state) {
    (void)state;
    static int values[KEYS];
    bool there[KEYS] = {false};
    size_t live = 0;
    char text[16];
    map *m = map_new();
    uint32_t random = 1;
    for (int step = 0; step < 50000; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned i = (random >> 8) % KEYS;
        weir_str key = key_of(text, i);
        assert_ptr_equal(map_get(m, key), there[i] ? &values[i] : NULL);
        if ((random >> 28) % 2 == 0) {
            assert_true(map_put(m, key, &values[i]));
            live += !there[i];
            there[i] = true;
        } else {
            assert_ptr_equal(map_remove(m, key), there[i] ? &values[i] : NULL);
            live -= there[i];
            there[i] = false;
        }
        assert_int_equal(map_count(m), live);
    }
    size_t cursor = 0, seen = 0;
    weir_str key;
    void *value;
    while (map_next(m, &cursor, &key, &value)) {
        assert_true(there[(int *)value - values]);
        seen++;
    }
    assert_int_equal(seen, live);
    map_free(m);
    map_free(NULL);
}

static void test_order(void **state) {
    (void)state;
    map *m = map_new();
    int v[100];
    char text[16];
    for (unsigned i = 0; i < 100; i++) assert_true(map_put(m, key_of(text, i), &v[i]));
    assert_ptr_equal(map_remove(m, STR("key-50")), &v[50]);
    assert_true(map_put(m, STR("key-10"), &v[99])); /* replacing keeps the place */
    assert_true(map_put(m, STR("key-50"), &v[50])); /* inserting again goes to the end */
    assert_false(map_put(m, STR("x"), NULL));
    size_t cursor = 0;
    weir_str key;
    unsigned expected = 0;
    while (map_next(m, &cursor, &key, NULL)) {
        if (expected == 50) expected++;
        weir_str want = key_of(text, expected == 100 ? 50 : expected);
        assert_true(str_eq(key, want));
        expected++;
    }
    assert_int_equal(expected, 101);
    map_free(m);
    m = map_new();
    assert_true(map_put(m, STR(""), m));
    assert_ptr_equal(map_get(m, (weir_str){NULL, 0}), m);
    map_free(m);
}

static void test_failures(void **state) {
    (void)state;
    for (int64_t n = 1;; n++) {
        (void)mem_test_fail_at(n, false);
        map *m = map_new();
        char text[16];
        unsigned in = 0;
        for (unsigned i = 0; m != NULL && i < 100; i++)
            if (map_put(m, key_of(text, i), m)) in++;
        if (m != NULL) assert_int_equal(map_count(m), in);
        map_free(m);
        if (!mem_test_fail_at(0, false)) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
