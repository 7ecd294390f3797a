#include <time.h>

#include "base/check.h"
#include "server/internal.h"

/* A binary heap by time; place p has its parent at p / 2. Index 0 of the array is not used. */

static int64_t clock_ms(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t server_now_ms(const server *s) {
    return clock_ms(CLOCK_REALTIME) + s->advanced_ms;
}

int64_t server_mono_ms(const server *s) {
    return clock_ms(CLOCK_MONOTONIC) + s->advanced_ms;
}

int64_t server_told_ms(const server *s) {
    return clock_ms(CLOCK_REALTIME) + s->skew_ms;
}

bool server_advance(server *s, int64_t ms) {
    if (ms > SERVER_CLOCK_MAX_MS - s->advanced_ms) return false;
    if (ms > 0) s->advanced_ms += ms;
    return true;
}

bool server_set_skew(server *s, int64_t ms) {
    if (ms < -SERVER_CLOCK_MAX_MS || ms > SERVER_CLOCK_MAX_MS) return false;
    s->skew_ms = ms;
    return true;
}

static void put(server *s, size_t place, server_timer *t) {
    s->heap[place] = t;
    t->place = place;
}

static void up(server *s, size_t place) {
    server_timer *t = s->heap[place];
    for (; place > 1 && s->heap[place / 2]->at > t->at; place /= 2)
        put(s, place, s->heap[place / 2]);
    put(s, place, t);
}

static void down(server *s, size_t place) {
    server_timer *t = s->heap[place];
    for (;;) {
        size_t child = place * 2;
        if (child > s->heap_count) break;
        if (child < s->heap_count && s->heap[child + 1]->at < s->heap[child]->at) child++;
        if (s->heap[child]->at >= t->at) break;
        put(s, place, s->heap[child]);
        place = child;
    }
    put(s, place, t);
}

server_timer *server_timer_new(server *s, void (*fire)(void *opaque), void *opaque) {
    server_timer *t = mem_zalloc(sizeof *t);
    if (!t) return NULL;
    t->srv = s;
    t->fire = fire;
    t->opaque = opaque;
    return t;
}

void server_timer_clear(server_timer *t) {
    server *s = t->srv;
    if (!t->place) return;
    size_t place = t->place;
    t->place = 0;
    server_timer *last = s->heap[s->heap_count--];
    if (last == t) return;
    put(s, place, last);
    up(s, place);
    down(s, last->place);
}

void server_timer_set(server_timer *t, int64_t in_ms) {
    server *s = t->srv;
    server_timer_clear(t);
    if (s->heap_count + 1 >= s->heap_room) {
        size_t room = s->heap_room ? s->heap_room * 2 : 64;
        server_timer **heap = mem_realloc(s->heap, room * sizeof(server_timer *));
        WEIR_ASSERT(heap); /* some hundred bytes: without them nothing else would go on either */
        s->heap = heap;
        s->heap_room = room;
    }
    t->at = server_mono_ms(s) + (in_ms > 0 ? in_ms : 0);
    s->heap_count++;
    put(s, s->heap_count, t);
    up(s, s->heap_count);
}

void server_timer_free(server_timer *t) {
    if (!t) return;
    server_timer_clear(t);
    if (t->firing) {
        t->freed = true;
    } else {
        mem_free(t);
    }
}

int64_t timers_next_ms(const server *s) {
    if (!s->heap_count) return -1;
    int64_t in = s->heap[1]->at - server_mono_ms(s);
    return in > 0 ? in : 0;
}

/* Those that are due now; one that sets itself to "at once" waits for the next round, so that
 * sockets are looked at in between. */
void timers_fire(server *s) {
    int64_t now = server_mono_ms(s);
    for (size_t left = s->heap_count; left && s->heap_count && s->heap[1]->at <= now; left--) {
        server_timer *t = s->heap[1];
        server_timer_clear(t);
        t->firing = true;
        t->fire(t->opaque);
        t->firing = false;
        if (t->freed) mem_free(t);
    }
}

void timers_free(server *s) {
    mem_free(s->heap);
    s->heap = NULL;
    s->heap_count = s->heap_room = 0;
}
