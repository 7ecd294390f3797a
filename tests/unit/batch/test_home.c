/* The budget and the pool. */
#include "samples.h"

static int rooms;
static void on_room(void *opaque) {
    assert_ptr_equal(opaque, &rooms);
    rooms++;
}

static void test_budget(void **state) {
    (void)state;
    batch_home *home = batch_home_new(1000, on_room, &rooms);
    assert_int_equal(batch_home_limit(home), 1000);
    batch_home_charge(home, 999);
    batch_home_uncharge(home, 9);
    assert_int_equal(rooms, 0); /* was below */
    batch_home_charge(home, 500);
    assert_int_equal(batch_home_used(home), 1490);
    batch_home_uncharge(home, 400);
    assert_int_equal(rooms, 0); /* still above */
    batch_home_uncharge(home, 90);
    assert_int_equal(rooms, 0); /* at the limit is spent */
    batch_home_uncharge(home, 1);
    assert_int_equal(rooms, 1);
    batch_home_uncharge(home, 999);
    assert_int_equal(rooms, 1);
    assert_int_equal(batch_home_peak(home), 1490);
    batch_home_free(home);
    batch_home_free(NULL);
}

static void test_pool(void **state) {
    (void)state;
    batch_home *home = batch_home_new(1 << 30, NULL, NULL);
    static const uint64_t sizes[] = {0,      1,      4096,    4097,          65536,   65537,
                                     131072, 131073, 8 << 20, (8 << 20) + 1, 20 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t capacity = 0;
        char *s = batch_segment_alloc(home, sizes[i], &capacity);
        assert_non_null(s);
        assert_true(capacity >= sizes[i] && capacity >= 4096);
        assert_int_equal((uintptr_t)s % 16, 0);
        if (sizes[i] > 0 && sizes[i] <= 8 << 20) assert_true(capacity < 2 * sizes[i] + 4096);
        memset(s, 1, capacity);
        /* Charged with what it really takes, and little more. */
        assert_true(batch_home_used(home) >= capacity);
        assert_true(batch_home_used(home) <= capacity + 8192);
        batch_segment_free(s);
        assert_int_equal(batch_home_used(home), 0);
        if (sizes[i] > 8 << 20) continue;
        char *again = batch_segment_alloc(home, sizes[i], NULL);
        if (sizes[i] <= 1 << 20) assert_ptr_equal(again, s); /* recycled */
        batch_segment_free(again);
    }
    batch_segment_free(NULL);
    assert_null(batch_segment_alloc(home, UINT64_MAX, NULL));
    assert_null(batch_segment_alloc(home, UINT64_MAX - 40, NULL));
    assert_int_equal(batch_home_used(home), 0);
    batch_home_free(home);
}

/* Recycled memory serves even when the system has none left. */
static void test_pool_without_memory(void **state) {
    (void)state;
    batch_home *home = batch_home_new(1 << 30, NULL, NULL);
    char *s = batch_segment_alloc(home, 5000, NULL);
    batch_segment_free(s);
    (void)mem_test_fail_at(1, true);
    assert_ptr_equal(batch_segment_alloc(home, 8000, NULL), s);
    assert_null(batch_segment_alloc(home, 8000, NULL));
    assert_null(batch_home_new(1, NULL, NULL));
    (void)mem_test_fail_at(0, false);
    batch_segment_free(s);
    batch_home_free(home);
}

/* Has `count` segments out at once, gives all back, and answers how many of them are kept. */
static int kept_of(batch_home *home, uint64_t size, int count) {
    static char *out[64];
    for (int i = 0; i < count; i++) out[i] = batch_segment_alloc(home, size, NULL);
    for (int i = 0; i < count; i++) batch_segment_free(out[i]);
    int recycled = 0;
    (void)mem_test_fail_at(1, true);
    while (recycled < count && (out[recycled] = batch_segment_alloc(home, size, NULL)) != NULL)
        recycled++;
    (void)mem_test_fail_at(0, false);
    for (int i = 0; i < recycled; i++) batch_segment_free(out[i]);
    return recycled;
}

/* A few free segments are kept always, more only beside a budget that has room for them. */
static void test_pool_ceiling(void **state) {
    (void)state;
    const uint64_t mib = 1 << 20;
    batch_home *home = batch_home_new(mib, NULL, NULL);
    assert_in_range(kept_of(home, mib, 64), 7, 8);
    batch_home_free(home);
    home = batch_home_new(1 << 30, NULL, NULL);
    assert_in_range(kept_of(home, mib, 64), 30, 32);
    batch_home_free(home);
    home = batch_home_new(20 * mib, NULL, NULL);
    assert_in_range(kept_of(home, mib, 64), 18, 20);
    /* New segments of another size push them out: free ones and used ones fit into the budget. */
    char *out[9];
    for (int i = 0; i < 9; i++) out[i] = batch_segment_alloc(home, 2 * mib, NULL);
    (void)mem_test_fail_at(1, true);
    char *small[16];
    int left = 0;
    while (left < 16 && (small[left] = batch_segment_alloc(home, mib, NULL)) != NULL) left++;
    (void)mem_test_fail_at(0, false);
    assert_in_range(left, 6, 8);
    while (left > 0) batch_segment_free(small[--left]);
    for (int i = 0; i < 9; i++) batch_segment_free(out[i]);
    batch_home_free(home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_without_memory),
        cmocka_unit_test(test_pool_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
