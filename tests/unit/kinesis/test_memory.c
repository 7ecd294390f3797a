/* Answers and the budget: 64 shards that each have far more than their part of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#define MIB (1024u * 1024u)
#define VALUE 3000
#define RECORDS 100
/* Base64 of the values with the names around them, rounded up. */
#define ANSWER (RECORDS * (VALUE * 4u / 3u + 200u) + 1024u)

/* The proportions of a budget of 32 MiB and answers of 10 MiB. */
static void read_all(uint64_t budget, int rounds, unsigned small_reads) {
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    for (int i = 0; i < SHARDS; i++)
        r->service.shards[i] = (fake_shard){.exists = true, .records = RECORDS * rounds};
    r->service.list_page = SHARDS;
    r->service.page = RECORDS;
    r->service.pad = VALUE;
    r->service.small_reads = small_reads;
    rig_open_all(r);
    assert_int_equal(r->split_count, SHARDS);
    fake_memory_set(budget);
    assert_int_equal(rig_read_until(r, SHARDS * RECORDS * rounds), WEIR_OK);
    assert_int_equal(r->records, SHARDS * RECORDS * rounds);
    /* One answer may be there whatever the budget says. */
    if (fake_memory_peak() > budget + ANSWER)
        fail_msg("%llu bytes in use", (unsigned long long)fake_memory_peak());
    fake_memory_set(UINT64_MAX);
    rig_finish(r);
    test_free(r);
}

static void answers_stay_within_the_budget(void **state) {
    (void)state;
    read_all(MIB * 3 / 2, 3, 0);
}

/* All shards wake up at once: what was expected of each is nothing like what comes. */
static void answers_that_surprise_are_refused(void **state) {
    (void)state;
    read_all(MIB * 3 / 2, 2, SHARDS * 2);
}

static void the_smallest_budget_reads_one_by_one(void **state) {
    (void)state;
    read_all(1000, 1, 0);
}

/* The budget is spent by somebody else, then it is there again. */
static void room_that_comes_back_is_used(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    for (int i = 0; i < 8; i++)
        r->service.shards[i] = (fake_shard){.exists = true, .records = RECORDS * 4};
    r->service.list_page = SHARDS;
    r->service.page = RECORDS;
    r->service.pad = VALUE;
    rig_open_all(r);
    fake_memory_set(2 * ANSWER);
    const weir_host_memory *memory = &weir_api_of(fake_ctx(r->host))->memory;
    assert_int_equal(memory->reserve(fake_ctx(r->host), 2 * ANSWER), WEIR_OK);
    assert_int_equal(rig_read_until(r, RECORDS * 8), WEIR_OK);
    assert_true(fake_memory_peak() <= 3 * ANSWER);
    memory->release(fake_ctx(r->host), 2 * ANSWER);
    assert_int_equal(rig_read_until(r, RECORDS * 8 * 4), WEIR_OK);
    rig_finish(r);
    test_free(r);
}

/* Nothing stays reserved for a shard that goes while its call is under way. */
static void a_dropped_shard_gives_back(void **state) {
    (void)state;
    rig *r = test_malloc(sizeof *r);
    rig_begin(r);
    for (int i = 0; i < 8; i++)
        r->service.shards[i] = (fake_shard){.exists = true, .records = RECORDS};
    r->service.list_page = SHARDS;
    rig_open_all(r);
    fake_memory_set(64 * MIB);
    while (r->records == 0) assert_true(rig_poll(r, SECOND) >= 0);
    rig_assign(r, 0, 0);
    for (int i = 0; i < 3; i++) rig_poll(r, SECOND / 100);
    rig_finish(r); /* the fake host says what was not given back */
    test_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_stay_within_the_budget),
        cmocka_unit_test(answers_that_surprise_are_refused),
        cmocka_unit_test(the_smallest_budget_reads_one_by_one),
        cmocka_unit_test(room_that_comes_back_is_used),
        cmocka_unit_test(a_dropped_shard_gives_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
