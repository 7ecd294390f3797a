#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "batch/batch.h"
#include "batch/region.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* 4 KiB, 8 KiB, ... 8 MiB. */
#define CLASSES 12u
#define CLASS_NONE CLASSES
/* Free segments that are always kept: little beside the budget. More are kept while they and what
 * is out fit into the budget together, as a channel that fills and drains would otherwise cost its
 * pages' faults each time: some 100 ns for each KiB. */
#define KEEP_ALWAYS (8 * MIB)
#define KEEP_MOST (32 * MIB)
/* Segments of this capacity and above are mapped: the heap would keep holes of that size. */
#define MAP_FROM ((uint64_t)128 << 10)
#define PAGE ((uint64_t)4096)

#define STATE_OUT 0x5e6d0117u
#define STATE_FREE 0x5e6d0f4eu

typedef struct segment {
    batch_home *home;
    uint64_t capacity;
    uint64_t bytes;       /* of the whole piece */
    struct segment *next; /* in a free list, or in a region */
    uint32_t class;
    uint32_t state; /* STATE_*: a segment given back twice is found at once */
    uint64_t reserved;
} segment;

_Static_assert(sizeof(segment) % 16 == 0, "what follows the head must be aligned");

typedef struct shelf {
    _Alignas(64) pthread_mutex_t lock;
    segment *first;
} shelf;

struct batch_home {
    uint64_t limit;
    void (*on_room)(void *opaque);
    void *opaque;
    void *memory;
    _Atomic uint32_t node_hint;
    _Alignas(64) _Atomic uint64_t used;
    _Atomic uint64_t peak;
    _Alignas(64) _Atomic uint64_t kept; /* bytes on all shelves */
    shelf shelves[CLASSES];
};

static inline segment *head_of(const void *p) {
    segment *s = (segment *)(uintptr_t)p - 1;
    WEIR_ASSERT(s->state == STATE_OUT);
    return s;
}

batch_home *batch_home_new(uint64_t limit_bytes, void (*on_room)(void *opaque), void *opaque) {
    char *memory = mem_zalloc(sizeof(batch_home) + 64);
    if (memory == NULL) return NULL;
    batch_home *home = (batch_home *)(void *)(memory + (64 - (uintptr_t)memory % 64) % 64);
    home->memory = memory;
    home->limit = limit_bytes;
    home->on_room = on_room;
    home->opaque = opaque;
    for (uint32_t i = 0; i < CLASSES; i++)
        WEIR_ASSERT(pthread_mutex_init(&home->shelves[i].lock, NULL) == 0);
    return home;
}

static void give_back(segment *s) {
    if (s->capacity >= MAP_FROM)
        mem_unmap(s, s->bytes);
    else
        mem_free(s);
}

void batch_home_free(batch_home *home) {
    if (home == NULL) return;
    WEIR_ASSERT(batch_home_used(home) == 0);
    for (uint32_t i = 0; i < CLASSES; i++) {
        for (segment *s = home->shelves[i].first; s != NULL;) {
            segment *next = s->next;
            ASAN_UNPOISON_MEMORY_REGION(s + 1, s->capacity);
            give_back(s);
            s = next;
        }
        (void)pthread_mutex_destroy(&home->shelves[i].lock);
    }
    mem_free(home->memory);
}

void batch_home_charge(batch_home *home, uint64_t bytes) {
    uint64_t now = atomic_fetch_add_explicit(&home->used, bytes, memory_order_relaxed) + bytes;
    uint64_t peak = atomic_load_explicit(&home->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &home->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void batch_home_uncharge(batch_home *home, uint64_t bytes) {
    /* Sequentially consistent, as the reader's load: the one that waits for room looks again after
     * it has said that it waits, and must not miss this. */
    void (*on_room)(void *opaque) = home->on_room;
    void *opaque = home->opaque;
    uint64_t limit = home->limit; /* read before: at 0 another thread may free the home */
    uint64_t before = atomic_fetch_sub(&home->used, bytes);
    WEIR_ASSERT(before >= bytes);
    if (before >= limit && before - bytes < limit && on_room != NULL) on_room(opaque);
}

uint64_t batch_home_used(const batch_home *home) {
    return atomic_load(&home->used);
}

uint64_t batch_home_peak(const batch_home *home) {
    return atomic_load_explicit(&home->peak, memory_order_relaxed);
}

uint64_t batch_home_limit(const batch_home *home) {
    return home->limit;
}

uint32_t home_node_hint(batch_home *home) {
    return atomic_load_explicit(&home->node_hint, memory_order_relaxed);
}

void home_set_node_hint(batch_home *home, uint32_t nodes_per_record) {
    if (home_node_hint(home) != nodes_per_record)
        atomic_store_explicit(&home->node_hint, nodes_per_record, memory_order_relaxed);
}

/* The smallest class of at least `size` bytes; CLASS_NONE beyond the largest. */
static uint32_t class_of(uint64_t size) {
    if (size <= SEGMENT_LEAST) return 0;
    if (size > SEGMENT_MOST) return CLASS_NONE;
    return 64 - (uint32_t)__builtin_clzll(size - 1) - 12;
}

static segment *take_kept(batch_home *home, uint32_t class) {
    shelf *sh = &home->shelves[class];
    (void)pthread_mutex_lock(&sh->lock);
    segment *s = sh->first;
    if (s != NULL) sh->first = s->next;
    (void)pthread_mutex_unlock(&sh->lock);
    if (s == NULL) return NULL;
    WEIR_ASSERT(s->state == STATE_FREE);
    atomic_fetch_sub_explicit(&home->kept, s->bytes, memory_order_relaxed);
    ASAN_UNPOISON_MEMORY_REGION(s + 1, s->capacity);
    return s;
}

static segment *make(batch_home *home, uint32_t class, uint64_t size) {
    uint64_t capacity = class == CLASS_NONE ? size : SEGMENT_LEAST << class;
    uint64_t bytes;
    if (!mem_add(capacity, sizeof(segment), &bytes)) return NULL;
    bool mapped = capacity >= MAP_FROM;
    if (mapped) {
        if (!mem_add(bytes, PAGE - 1, &bytes)) return NULL;
        bytes &= ~(PAGE - 1);
        /* What rounding adds may as well be used by a piece that is not pooled. */
        if (class == CLASS_NONE) capacity = bytes - sizeof(segment);
    }
    segment *s = mapped ? mem_map(bytes) : mem_alloc(bytes);
    if (s == NULL) return NULL;
    *s = (segment){.home = home, .capacity = capacity, .bytes = bytes, .class = class};
    return s;
}

/* True if the home may keep `bytes` more, given what it keeps already. */
static bool may_keep(const batch_home *home, uint64_t kept, uint64_t bytes) {
    uint64_t then = kept + bytes;
    if (then <= KEEP_ALWAYS) return true;
    if (then > KEEP_MOST) return false;
    uint64_t used = atomic_load_explicit(&home->used, memory_order_relaxed);
    return used <= home->limit && then <= home->limit - used;
}

/* Makes way for a new segment of `size` bytes: free ones of other classes, the largest first. */
static void trim(batch_home *home, uint64_t size) {
    for (uint32_t class = CLASSES; class -- > 0;) {
        while (!may_keep(home, atomic_load_explicit(&home->kept, memory_order_relaxed), size)) {
            segment *s = take_kept(home, class);
            if (s == NULL) break;
            give_back(s);
        }
    }
}

char *batch_segment_alloc(batch_home *home, uint64_t size, uint64_t *capacity) {
    uint32_t class = class_of(size);
    segment *s = class != CLASS_NONE ? take_kept(home, class) : NULL;
    if (s == NULL) {
        if (atomic_load_explicit(&home->kept, memory_order_relaxed) > KEEP_ALWAYS) trim(home, size);
        s = make(home, class, size);
    }
    if (s == NULL) return NULL;
    s->state = STATE_OUT;
    s->next = NULL;
    batch_home_charge(home, s->bytes);
    if (capacity != NULL) *capacity = s->capacity;
    return (char *)(s + 1);
}

void batch_segment_free(void *p) {
    if (p == NULL) return;
    segment *s = head_of(p);
    batch_home *home = s->home;
    uint64_t bytes = s->bytes;
    s->state = STATE_FREE;
    bool keep = s->class != CLASS_NONE;
    if (keep) {
        uint64_t kept = atomic_fetch_add_explicit(&home->kept, bytes, memory_order_relaxed);
        if (!may_keep(home, kept, bytes)) {
            atomic_fetch_sub_explicit(&home->kept, bytes, memory_order_relaxed);
            keep = false;
        }
    }
    if (keep) {
        shelf *sh = &home->shelves[s->class];
        ASAN_POISON_MEMORY_REGION(s + 1, s->capacity);
        (void)pthread_mutex_lock(&sh->lock);
        s->next = sh->first;
        sh->first = s;
        (void)pthread_mutex_unlock(&sh->lock);
    } else {
        give_back(s);
    }
    /* Last: once usage is 0 another thread may free the home. */
    batch_home_uncharge(home, bytes);
}

uint64_t segment_bytes(const void *p) {
    return head_of(p)->bytes;
}

uint64_t segment_capacity(const void *p) {
    return head_of(p)->capacity;
}

void *region_begin(region *r, batch_home *home, uint64_t first) {
    uint64_t capacity;
    char *p = batch_segment_alloc(home, first, &capacity);
    if (p == NULL) return NULL;
    *r = (region){.home = home, .at = p + first, .end = p + capacity, .step = SEGMENT_LEAST};
    region_adopt(r, p);
    return p;
}

void *region_alloc(region *r, uint64_t size, unsigned align) {
    uint64_t pad = (align - (uintptr_t)r->at % align) % align;
    uint64_t left = (uint64_t)(r->end - r->at);
    if (size <= left && pad <= left - size) {
        char *p = r->at + pad;
        r->at = p + size;
        return p;
    }
    uint64_t capacity;
    char *p = batch_segment_alloc(r->home, size > r->step ? size : r->step, &capacity);
    if (p == NULL) return NULL;
    region_adopt(r, p);
    if (r->step < REGION_STEP_MOST) r->step *= 2;
    /* Go on in whichever of the two has more room left. */
    if (capacity - size > left) {
        r->at = p + size;
        r->end = p + capacity;
    }
    return p;
}

void region_adopt(region *r, void *p) {
    segment *s = head_of(p);
    s->next = r->last != NULL ? (segment *)r->last - 1 : NULL;
    r->last = p;
    r->bytes += s->bytes;
}

void region_end(region *r) {
    segment *s = r->last != NULL ? (segment *)r->last - 1 : NULL;
    while (s != NULL) {
        segment *next = s->next;
        batch_segment_free(s + 1);
        s = next;
    }
}
