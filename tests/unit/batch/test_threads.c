/*
 * Batches between threads, as a pipeline moves them: one thread makes them under a budget and
 * sleeps while it is spent, the other derives from them and lets go. For TSan, and for the count at
 * the end.
 */
#include <pthread.h>

#include "base/ring.h"
#include "base/wake.h"
#include "samples.h"

#define BATCHES 3000

typedef struct line {
    batch_home *home;
    ring *ring;
    wake producer, consumer;
    int released;
    uint64_t most;
} line;

static void room(void *opaque) {
    wake_signal(&((line *)opaque)->producer);
}

static void *produce(void *arg) {
    line *l = arg;
    for (int i = 0; i < BATCHES; i++) {
        while (batch_home_used(l->home) >= batch_home_limit(l->home))
            (void)wake_wait(&l->producer, INT64_MAX); /* a lost wake-up hangs here */
        const weir_batch *b = sample_batch(l->home, 20, &l->released);
        assert_non_null(b);
        if (batch_home_used(l->home) > l->most) l->most = batch_home_used(l->home);
        while (!ring_push(l->ring, (void *)(uintptr_t)b)) (void)wake_wait(&l->producer, INT64_MAX);
        wake_signal(&l->consumer);
    }
    return NULL;
}

static void test_pipeline(void **state) {
    (void)state;
    line l = {.ring = ring_new(64)};
    l.home = batch_home_new(100000, room, &l);
    wake_init(&l.producer);
    wake_init(&l.consumer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &l), 0);
    const uint32_t some[] = {0, 5, 19};
    for (int i = 0; i < BATCHES; i++) {
        const weir_batch *b;
        while ((b = ring_pop(l.ring)) == NULL) (void)wake_wait(&l.consumer, INT64_MAX);
        wake_signal(&l.producer);
        const weir_batch *s = batch_select(l.home, b, some, 3);
        batch_release(b);
        sample_check(s->rows, 1, 5, true);
        batch_release(s);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(l.released, BATCHES);
    assert_int_equal(batch_home_used(l.home), 0);
    assert_true(l.most < 100000 + 3 * 20000);
    batch_home_free(l.home);
    ring_free(l.ring);
}

static const weir_batch *shared;

static void *hold(void *arg) {
    batch_home *home = arg;
    const uint32_t some[] = {3, 4};
    for (int i = 0; i < 3000; i++) {
        batch_retain(shared);
        const weir_batch *s = batch_select(home, shared, some, 2);
        sample_check(s->rows, 0, 3, true);
        batch_release(shared);
        batch_release(s);
    }
    batch_release(shared); /* the thread's own reference; the last one frees */
    return NULL;
}

/* References of one batch counted by many threads. */
static void test_references(void **state) {
    (void)state;
    int released = 0;
    batch_home *home = batch_home_new(1 << 20, NULL, NULL);
    shared = sample_batch(home, 30, &released);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        batch_retain(shared);
        assert_int_equal(pthread_create(&threads[i], NULL, hold, home), 0);
    }
    batch_release(shared);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(released, 1);
    batch_home_free(home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
