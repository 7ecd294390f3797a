#include "base/map.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/siphash.h"
#include "base/str.h"

/*
 * Entries stand in the order of insertion; a table of indexes with linear probing leads to them.
 *
 *   slots    [ - | 1 | - | 0 | x | 2 ]     - = EMPTY, x = GONE (removed)
 *   entries  [ key value hash ] [ ... ]    a removed entry keeps its place with value NULL until
 *                                          the table is rebuilt, so cursors stay valid
 */
#define EMPTY UINT32_MAX
#define GONE (UINT32_MAX - 1)
#define ENTRIES_MAX (UINT32_C(1) << 30)

typedef struct entry {
    char *key;
    size_t len;
    uint64_t hash;
    void *value;
} entry;

struct map {
    entry *entries;
    uint32_t *slots;
    uint32_t slot_count; /* a power of two */
    uint32_t used;       /* entries, removed ones included */
    uint32_t capacity;   /* of entries: three quarters of the slots */
    uint32_t live;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void) {
    if (os_random(seed, sizeof seed)) return;
    /* Without the system's randomness: not secret, but not a constant either. */
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    seed[0] = (uint64_t)ts.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uintptr_t)&ts;
    seed[1] = (uint64_t)ts.tv_sec;
}

uint64_t map_hash(weir_str key) {
    (void)pthread_once(&seed_once, seed_make);
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575),
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    uint64_t i = 0, word;
    for (; i + 8 <= key.len; i += 8) {
        memcpy(&word, key.ptr + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (key.len > i) memcpy(&word, key.ptr + i, key.len - i);
    word |= key.len << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot of `key`, or slot_count if it is absent. */
static uint32_t find(const map *m, weir_str key, uint64_t hash) {
    if (m->slot_count == 0) return 0;
    uint32_t mask = m->slot_count - 1;
    for (uint32_t at = (uint32_t)hash & mask;; at = (at + 1) & mask) {
        uint32_t index = m->slots[at];
        if (index == EMPTY) return m->slot_count;
        if (index == GONE) continue;
        const entry *e = &m->entries[index];
        if (e->hash == hash && str_eq(str_make(e->key, e->len), key)) return at;
    }
}

/* Makes room for one more entry, dropping the places of removed ones. */
static bool rebuild(map *m) {
    uint32_t slot_count = 16;
    while (slot_count / 4 * 3 <= m->live) slot_count *= 2;
    /* Twice that if it would soon be full again. */
    if (slot_count / 8 * 3 < m->live) slot_count *= 2;
    if (slot_count > ENTRIES_MAX) return false;
    uint32_t capacity = slot_count / 4 * 3;
    uint32_t *slots = mem_array(slot_count, sizeof *slots);
    entry *entries = mem_array(capacity, sizeof *entries);
    if (slots == NULL || entries == NULL) {
        mem_free(slots);
        mem_free(entries);
        return false;
    }
    memset(slots, 0xff, slot_count * sizeof *slots);
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->used; i++) {
        if (m->entries[i].value == NULL) continue;
        uint32_t at = (uint32_t)m->entries[i].hash & (slot_count - 1);
        while (slots[at] != EMPTY) at = (at + 1) & (slot_count - 1);
        slots[at] = count;
        entries[count++] = m->entries[i];
    }
    mem_free(m->slots);
    mem_free(m->entries);
    m->slots = slots;
    m->entries = entries;
    m->slot_count = slot_count;
    m->capacity = capacity;
    m->used = count;
    return true;
}

map *map_new(void) {
    return mem_zalloc(sizeof(map));
}

void map_free(map *m) {
    if (m == NULL) return;
    for (uint32_t i = 0; i < m->used; i++) mem_free(m->entries[i].key);
    mem_free(m->entries);
    mem_free(m->slots);
    mem_free(m);
}

size_t map_count(const map *m) {
    return m->live;
}

void *map_get(const map *m, weir_str key) {
    if (m->live == 0) return NULL;
    uint32_t at = find(m, key, map_hash(key));
    return at < m->slot_count ? m->entries[m->slots[at]].value : NULL;
}

bool map_put(map *m, weir_str key, void *value) {
    uint64_t hash = map_hash(key);
    uint32_t at = find(m, key, hash);
    if (value == NULL) return false;
    if (at < m->slot_count) {
        m->entries[m->slots[at]].value = value;
        return true;
    }
    char *copy = mem_alloc(key.len);
    if (copy == NULL || (m->used == m->capacity && !rebuild(m))) {
        mem_free(copy);
        return false;
    }
    if (key.len > 0) memcpy(copy, key.ptr, key.len);
    at = (uint32_t)hash & (m->slot_count - 1);
    /* Not into a GONE slot: slots in use then equal `used`, so an EMPTY one always remains. */
    while (m->slots[at] != EMPTY) at = (at + 1) & (m->slot_count - 1);
    m->slots[at] = m->used;
    m->entries[m->used++] = (entry){copy, key.len, hash, value};
    m->live++;
    return true;
}

void *map_remove(map *m, weir_str key) {
    if (m->live == 0) return NULL;
    uint32_t at = find(m, key, map_hash(key));
    if (at == m->slot_count) return NULL;
    entry *e = &m->entries[m->slots[at]];
    void *value = e->value;
    mem_free(e->key);
    *e = (entry){0};
    m->slots[at] = GONE;
    m->live--;
    return value;
}

bool map_next(const map *m, size_t *cursor, weir_str *key, void **value) {
    while (*cursor < m->used) {
        const entry *e = &m->entries[(*cursor)++];
        if (e->value == NULL) continue;
        if (key != NULL) *key = str_make(e->key, e->len);
        if (value != NULL) *value = e->value;
        return true;
    }
    return false;
}
