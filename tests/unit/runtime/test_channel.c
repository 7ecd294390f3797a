/*
 * The hand-over between two tasks: bounds, marks in line, and the wake of a producer that waits.
 */
#include <pthread.h>

#include "rig.h"
#include "runtime/channel.h"

static batch_home *home;

static int setup(void **state) {
    (void)state;
    home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    return home == NULL;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(batch_home_used(home), 0);
    batch_home_free(home);
    return 0;
}

static channel_item item_of(const char *letters) {
    return (channel_item){ITEM_BATCH, rig_letters(home, "s", letters), NULL};
}

static void test_bounded_by_items(void **state) {
    (void)state;
    wake p, c;
    wake_init(&p);
    wake_init(&c);
    channel *ch = channel_new(UINT64_MAX, &p, &c);
    for (uint32_t i = 0; i < CHANNEL_ITEMS; i++) {
        assert_true(channel_room(ch));
        channel_item item = item_of("a");
        assert_true(channel_push(ch, &item));
    }
    assert_true(wake_wait(&c, 0)); /* each push signals */
    assert_false(channel_room(ch));
    channel_item more = item_of("b");
    assert_false(channel_push(ch, &more));
    assert_int_equal(channel_bytes(ch), 17 * CHANNEL_ITEMS); /* the refused one is not counted */
    assert_false(wake_wait(&p, 0));
    for (uint32_t i = 0; i < CHANNEL_ITEMS / 2; i++) {
        assert_false(wake_wait(&p, 0)); /* not for every slot: half of it free is worth a wake */
        channel_item first = channel_pop(ch);
        assert_int_equal(first.kind, ITEM_BATCH);
        channel_item_drop(&first);
        assert_int_equal(first.kind, ITEM_NONE);
    }
    assert_true(wake_wait(&p, 0)); /* the starved producer was told */
    assert_true(channel_room(ch));
    assert_true(channel_push(ch, &more));
    channel_free(ch);
}

static void test_bounded_by_bytes(void **state) {
    (void)state;
    wake p, c;
    wake_init(&p);
    wake_init(&c);
    channel *ch = channel_new(2 * 17, &p, &c);
    channel_item one = item_of("a"), two = item_of("b");
    assert_true(channel_push(ch, &one));
    assert_true(channel_room(ch));
    assert_true(channel_push(ch, &two));
    assert_int_equal(channel_bytes(ch), 34);
    assert_false(channel_room(ch));
    /* A bound is no wall: what a call still brought goes in while there are slots. */
    channel_item three = item_of("c");
    assert_true(channel_push(ch, &three));
    channel_item got = channel_pop(ch);
    channel_item_drop(&got);
    assert_false(wake_wait(&p, 0)); /* still two in it */
    assert_false(channel_room(ch));
    got = channel_pop(ch);
    channel_item_drop(&got);
    assert_true(wake_wait(&p, 0));
    assert_true(channel_room(ch));
    got = channel_pop(ch);
    channel_item_drop(&got);
    assert_false(wake_wait(&p, 0)); /* nobody waits any more */
    assert_int_equal(channel_pop(ch).kind, ITEM_NONE);
    assert_int_equal(channel_bytes(ch), 0);
    channel_free(ch);
}

static void test_marks_stay_in_line(void **state) {
    (void)state;
    wake p, c;
    wake_init(&p);
    wake_init(&c);
    channel *ch = channel_new(UINT64_MAX, &p, &c);
    char split[] = "shard-1";
    channel_item a = item_of("a"), b = item_of("b");
    channel_item barrier = {ITEM_BARRIER, NULL,
                            mark_new(&(channel_mark){.kind = ITEM_BARRIER, .epoch = 7})};
    channel_item water = {ITEM_WATERMARK, NULL,
                          mark_new(&(channel_mark){.kind = ITEM_WATERMARK, .time_us = -5})};
    channel_item end = {
        ITEM_END_OF_SPLIT, NULL,
        mark_new(&(channel_mark){.kind = ITEM_END_OF_SPLIT, .split = str_make(split, 7)})};
    split[0] = 'X'; /* a mark keeps a copy */
    assert_true(channel_push(ch, &a) && channel_push(ch, &barrier) && channel_push(ch, &water) &&
                channel_push(ch, &end) && channel_push(ch, &b));
    assert_int_equal(channel_bytes(ch), 34);
    channel_item got = channel_pop(ch);
    assert_ptr_equal(got.batch, a.batch);
    channel_item_drop(&got);
    got = channel_pop(ch);
    assert_int_equal(got.kind, ITEM_BARRIER);
    assert_int_equal(got.mark->epoch, 7);
    channel_item_drop(&got);
    got = channel_pop(ch);
    assert_int_equal(got.kind, ITEM_WATERMARK);
    assert_int_equal(got.mark->time_us, -5);
    channel_item_drop(&got);
    got = channel_pop(ch);
    assert_int_equal(got.kind, ITEM_END_OF_SPLIT);
    assert_true(str_eq(got.mark->split, STR("shard-1")));
    channel_item_drop(&got);
    channel_free(ch); /* drops the batch that is still in it */
}

/* A mark that is taken out makes room like a batch does. */
static void test_mark_wakes_starved(void **state) {
    (void)state;
    wake p, c;
    wake_init(&p);
    wake_init(&c);
    channel *ch = channel_new(UINT64_MAX, &p, &c);
    for (uint32_t i = 0; i < CHANNEL_ITEMS; i++) {
        channel_item mark = {ITEM_BARRIER, NULL,
                             mark_new(&(channel_mark){.kind = ITEM_BARRIER, .epoch = i})};
        assert_true(channel_push(ch, &mark));
    }
    assert_false(channel_room(ch));
    for (uint32_t i = 0; i < CHANNEL_ITEMS / 2; i++) {
        channel_item got = channel_pop(ch);
        channel_item_drop(&got);
    }
    assert_true(wake_wait(&p, 0));
    channel_free(ch);
}

/* ---- two threads ---- */

#define PAIRS 20000u

typedef struct pair {
    channel *ch;
    wake p, c;
} pair;

static void *produce(void *argument) {
    pair *x = argument;
    for (uint32_t i = 0; i < PAIRS; i++) {
        channel_item item;
        if (i % 3 == 0) {
            item = (channel_item){ITEM_BARRIER, NULL,
                                  mark_new(&(channel_mark){.kind = ITEM_BARRIER, .epoch = i})};
        } else {
            item = item_of("x");
        }
        /* No deadline: a lost wake-up would hang, and the test's time limit tells. */
        while (!channel_room(x->ch)) wake_wait(&x->p, INT64_MAX);
        while (!channel_push(x->ch, &item)) wake_wait(&x->p, INT64_MAX);
    }
    return NULL;
}

static void test_no_wake_is_lost(void **state) {
    (void)state;
    pair x;
    wake_init(&x.p);
    wake_init(&x.c);
    x.ch = channel_new(17 * 5, &x.p, &x.c);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &x), 0);
    for (uint32_t i = 0; i < PAIRS;) {
        channel_item item = channel_pop(x.ch);
        if (item.kind == ITEM_NONE) {
            wake_wait(&x.c, INT64_MAX);
            continue;
        }
        assert_int_equal(item.kind, i % 3 == 0 ? ITEM_BARRIER : ITEM_BATCH);
        if (item.kind == ITEM_BARRIER) assert_int_equal(item.mark->epoch, i);
        channel_item_drop(&item);
        i++;
    }
    pthread_join(thread, NULL);
    channel_free(x.ch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounded_by_items),   cmocka_unit_test(test_bounded_by_bytes),
        cmocka_unit_test(test_marks_stay_in_line), cmocka_unit_test(test_mark_wakes_starved),
        cmocka_unit_test(test_no_wake_is_lost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
