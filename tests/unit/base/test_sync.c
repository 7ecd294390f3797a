/* Ring and waker between threads; meaningful under TSan, too. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/ring.h"
#include "base/wake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define ITEMS 100000u

typedef struct pair {
    ring *r;
    wake consumer, producer;
    uint64_t *data; /* plain memory that the ring hands over */
} pair;

static void *produce(void *arg) {
    pair *p = arg;
    for (uint64_t i = 0; i < ITEMS; i++) {
        p->data[i] = i * 3;
        while (!ring_push(p->r, &p->data[i])) (void)wake_wait(&p->producer, INT64_MAX);
        wake_signal(&p->consumer);
    }
    return NULL;
}

static void run_pair(size_t capacity) {
    pair p = {.r = ring_new(capacity), .data = calloc(ITEMS, sizeof(uint64_t))};
    assert_true(p.r != NULL && p.data != NULL);
    wake_init(&p.consumer);
    wake_init(&p.producer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
    for (uint64_t i = 0; i < ITEMS; i++) {
        uint64_t *item;
        /* No deadline: a lost wake-up hangs here and the test times out. */
        while ((item = ring_pop(p.r)) == NULL) (void)wake_wait(&p.consumer, INT64_MAX);
        assert_true(*item == i * 3);
        assert_true(ring_count(p.r) <= capacity);
        wake_signal(&p.producer);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ring_count(p.r), 0);
    ring_free(p.r);
    free(p.data);
}

static void test_ring_threads(void **state) {
    (void)state;
    run_pair(1);
    run_pair(2);
    run_pair(64);
}

static void test_ring(void **state) {
    (void)state;
    int v[10];
    ring *r = ring_new(8);
    assert_int_equal(ring_capacity(r), 8);
    assert_null(ring_pop(r));
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 8; i++) assert_true(ring_push(r, &v[i]));
        assert_false(ring_push(r, &v[8]));
        assert_int_equal(ring_count(r), 8);
        for (int i = 0; i < 3; i++) assert_ptr_equal(ring_pop(r), &v[i]);
        assert_true(ring_push(r, &v[8]));
        assert_int_equal(ring_count(r), 6);
        for (int i = 3; i < 9; i++) assert_ptr_equal(ring_pop(r), &v[i]);
        assert_null(ring_pop(r));
    }
    ring_free(r);
    ring_free(NULL);
    (void)mem_test_fail_at(1, false);
    assert_null(ring_new(8));
    assert_true(mem_test_fail_at(0, false));
}

static void test_wake(void **state) {
    (void)state;
    wake w;
    wake_init(&w);
    assert_false(wake_wait(&w, 0)); /* only looks */
    wake_signal(&w);
    wake_signal(&w);
    assert_true(wake_wait(&w, INT64_MAX)); /* both are one */
    assert_false(wake_wait(&w, 0));
    int64_t start = clock_mono_ns(&clock_system), until = start + 20 * CLOCK_NS_PER_MS;
    assert_false(wake_wait(&w, until));
    assert_true(clock_mono_ns(&clock_system) >= until);
    wake_signal(&w);
    assert_true(wake_wait(&w, 0));
}

typedef struct crowd {
    wake w;
    _Atomic uint64_t said;
    uint64_t plain[4]; /* slot i is written by thread i alone */
} crowd;

typedef struct member {
    crowd *c;
    unsigned index;
} member;

static void *speak(void *arg) {
    member *m = arg;
    for (int i = 0; i < 20000; i++) {
        m->c->plain[m->index]++;
        atomic_fetch_add_explicit(&m->c->said, 1, memory_order_relaxed);
        wake_signal(&m->c->w);
    }
    return NULL;
}

/* Four threads signal one sleeper, which must see the last word of each. */
static void test_wake_crowd(void **state) {
    (void)state;
    static crowd c;
    wake_init(&c.w);
    pthread_t threads[4];
    member members[4];
    for (unsigned i = 0; i < 4; i++) {
        members[i] = (member){&c, i};
        assert_int_equal(pthread_create(&threads[i], NULL, speak, &members[i]), 0);
    }
    /* Relaxed on purpose: only the waker orders things. */
    while (atomic_load_explicit(&c.said, memory_order_relaxed) < 80000)
        (void)wake_wait(&c.w, INT64_MAX);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(c.plain[i], 20000);
    (void)wake_wait(&c.w, 0);
}

typedef struct handover {
    wake there, back;
    uint64_t plain;
} handover;

static void *answer(void *arg) {
    handover *h = arg;
    for (int i = 0; i < 20000; i++) {
        while (!wake_wait(&h->there, INT64_MAX)) {}
        h->plain++;
        wake_signal(&h->back);
    }
    return NULL;
}

/* Plain memory goes to and fro with nothing but wakers to order it: TSan objects if they do not. */
static void test_wake_orders(void **state) {
    (void)state;
    static handover h;
    wake_init(&h.there);
    wake_init(&h.back);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer, &h), 0);
    for (int i = 0; i < 20000; i++) {
        h.plain++;
        wake_signal(&h.there);
        while (!wake_wait(&h.back, INT64_MAX)) {}
        assert_int_equal(h.plain, 2 * i + 2);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static wake for_signal;
static void on_signal(int number) {
    (void)number;
    wake_signal(&for_signal);
}

static void test_wake_from_handler(void **state) {
    (void)state;
    wake_init(&for_signal);
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_true(wake_wait(&for_signal, INT64_MAX));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),        cmocka_unit_test(test_ring_threads),
        cmocka_unit_test(test_wake),        cmocka_unit_test(test_wake_crowd),
        cmocka_unit_test(test_wake_orders), cmocka_unit_test(test_wake_from_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
