#include "runtime/keyed.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "runtime/key_group.h"

/*
 * A blob, numbers little-endian, a string as u32 length and bytes:
 *
 *   layout u32 = 1 | keys u32 | for each: key | names u32 | for each: name | value
 */
#define LAYOUT 1u
#define BLOB_HEAD 8u  /* layout, keys */
#define KEY_HEAD 8u   /* its length, names */
#define ENTRY_HEAD 8u /* lengths of name and value */
#define TABLE_LEAST 64u

typedef struct entry {
    struct entry *next; /* of the same key, in the order of the first put */
    uint32_t name_len, value_len, value_cap;
    char bytes[]; /* name, then value_cap bytes */
} entry;

/* A key that has at least one entry; between selecting and the end of put perhaps none. */
typedef struct item {
    struct item *chain;       /* of the same bucket */
    struct item *prev, *next; /* of the same group, in the order of their first put */
    entry *entries;
    uint64_t hash;
    uint32_t entry_count;
    uint32_t group;
    uint32_t key_len;
    char key[];
} item;

typedef struct group {
    item *first, *last;
    uint32_t count;
    uint64_t bytes; /* of its blob */
} group;

struct keyed {
    keyed_pool *pool;
    uint32_t groups, instance;
    uint32_t first, end; /* own groups */
    group *own;          /* [end - first] */
    item **table;        /* by map_hash, whose seed strangers do not know */
    uint32_t mask;
    uint64_t count;
    uint64_t charged;
    bool selected;
    weir_str key;
    uint64_t hash;
    item *current; /* of the selected key; NULL = it has no state */
    weir_error *why;
    bool refused;
};

static item *find(const keyed *k, weir_str key, uint64_t hash);
static weir_status put(keyed *k, weir_str name, weir_str value, weir_error *err);
static void drop_item(keyed *k, item *it);

/* ---- memory ---- */

void keyed_pool_init(keyed_pool *pool, batch_home *home) {
    /* With half of the budget the other half goes on moving records. What is stored takes less than
     * what is held, so that a checkpoint always has room for it and for all else. */
    uint64_t half = batch_home_limit(home) / 2;
    pool->home = home;
    pool->limit = half < CHECKPOINT_BYTES_MAX / 2 ? half : CHECKPOINT_BYTES_MAX / 2;
    atomic_init(&pool->used, 0);
}

static bool charge(keyed *k, uint64_t bytes) {
    uint64_t before = atomic_fetch_add_explicit(&k->pool->used, bytes, memory_order_relaxed);
    if (before + bytes > k->pool->limit) {
        atomic_fetch_sub_explicit(&k->pool->used, bytes, memory_order_relaxed);
        return false;
    }
    batch_home_charge(k->pool->home, bytes);
    k->charged += bytes;
    return true;
}

static void uncharge(keyed *k, uint64_t bytes) {
    atomic_fetch_sub_explicit(&k->pool->used, bytes, memory_order_relaxed);
    batch_home_uncharge(k->pool->home, bytes);
    k->charged -= bytes;
}

/* Charged memory, or NULL with `err` filled. */
static void *take(keyed *k, uint64_t bytes, weir_error *err) {
    if (!charge(k, bytes)) {
        (void)error_set(err, WEIR_E_NOMEM, 0,
                        "state by key would take more than %llu MiB, its bound (half of "
                        "settings.memory, at most %llu MiB); this instance holds %llu keys in "
                        "%llu MiB",
                        (unsigned long long)(k->pool->limit / MIB),
                        (unsigned long long)(CHECKPOINT_BYTES_MAX / 2 / MIB),
                        (unsigned long long)k->count, (unsigned long long)(k->charged / MIB));
        error_hint(err, "raise settings.memory, or have fewer keys");
        return NULL;
    }
    void *p = mem_alloc(bytes);
    if (p == NULL) {
        uncharge(k, bytes);
        (void)error_set(err, WEIR_E_NOMEM, 0, "out of memory for state by key");
    }
    return p;
}

static void give(keyed *k, void *p, uint64_t bytes) {
    mem_free(p);
    uncharge(k, bytes);
}

static uint64_t entry_size(uint32_t name_len, uint32_t value_cap) {
    return sizeof(entry) + name_len + value_cap;
}

static uint64_t item_size(uint32_t key_len) {
    return sizeof(item) + key_len;
}

keyed *keyed_new(keyed_pool *pool, uint32_t groups, uint32_t instance, uint32_t parallelism) {
    WEIR_ASSERT(groups > 0 && groups <= KEY_GROUPS_MAX && instance < parallelism);
    keyed *k = mem_zalloc(sizeof *k);
    if (k == NULL) return NULL;
    k->pool = pool;
    k->groups = groups;
    k->instance = instance;
    k->first = key_group_first(instance, groups, parallelism);
    k->end = key_group_first(instance + 1, groups, parallelism);
    k->own = mem_array(k->end - k->first + 1u, sizeof *k->own);
    k->table = mem_array(TABLE_LEAST, sizeof *k->table);
    k->mask = TABLE_LEAST - 1;
    k->why = error_new();
    if (k->own != NULL && k->table != NULL && k->why != NULL) return k;
    keyed_free(k);
    return NULL;
}

void keyed_free(keyed *k) {
    if (k == NULL) return;
    for (uint32_t g = 0; k->own != NULL && g < k->end - k->first; g++) {
        for (item *it = k->own[g].first, *next; it != NULL; it = next) {
            next = it->next;
            for (entry *e = it->entries, *after; e != NULL; e = after) {
                after = e->next;
                mem_free(e);
            }
            mem_free(it);
        }
    }
    if (k->charged > 0) uncharge(k, k->charged);
    mem_free(k->own);
    mem_free(k->table);
    error_free(k->why);
    mem_free(k);
}

/* ---- the selected key ---- */

void keyed_select(keyed *k, weir_str key) {
    k->selected = true;
    k->refused = false;
    k->key = key;
    k->hash = map_hash(key);
    k->current = find(k, key, k->hash);
}

void keyed_deselect(keyed *k) {
    k->selected = false;
    k->current = NULL;
}

const weir_error *keyed_refusal(const keyed *k) {
    return k->refused ? k->why : NULL;
}

uint64_t keyed_count(const keyed *k) {
    return k->count;
}

static bool good_name(weir_str name) {
    return name.len > 0 && name.len <= LIMIT_KEYED_NAME_BYTES;
}

/* The place that points to the entry, or the one where it would be appended. */
static entry **entry_at(item *it, weir_str name) {
    entry **at = &it->entries;
    while (*at != NULL && !str_eq(str_make((*at)->bytes, (*at)->name_len), name)) {
        at = &(*at)->next;
    }
    return at;
}

weir_status keyed_get(const keyed *k, weir_str name, weir_str *out) {
    if (!k->selected) return WEIR_E_INVALID_STATE;
    if (!good_name(name)) return WEIR_E_INVALID_ARG;
    const entry *e = k->current != NULL ? *entry_at(k->current, name) : NULL;
    if (e == NULL) return WEIR_E_NOT_FOUND;
    *out = str_make(e->bytes + e->name_len, e->value_len);
    return WEIR_OK;
}

weir_status keyed_put(keyed *k, weir_str name, weir_str value) {
    if (!k->selected) return WEIR_E_INVALID_STATE;
    if (!good_name(name)) return WEIR_E_INVALID_ARG;
    weir_status status = put(k, name, value, k->why);
    k->refused = status != WEIR_OK;
    return status;
}

weir_status keyed_remove(keyed *k, weir_str name) {
    if (!k->selected) return WEIR_E_INVALID_STATE;
    if (!good_name(name)) return WEIR_E_INVALID_ARG;
    item *it = k->current;
    entry **at = it != NULL ? entry_at(it, name) : NULL;
    if (at == NULL || *at == NULL) return WEIR_E_NOT_FOUND;
    entry *e = *at;
    *at = e->next;
    k->own[it->group - k->first].bytes -= ENTRY_HEAD + e->name_len + e->value_len;
    give(k, e, entry_size(e->name_len, e->value_cap));
    if (--it->entry_count > 0) return WEIR_OK;
    drop_item(k, it);
    k->current = NULL;
    return WEIR_OK;
}

/* ---- keys ---- */

static item *find(const keyed *k, weir_str key, uint64_t hash) {
    item *it = k->table[hash & k->mask];
    while (it != NULL && (it->hash != hash || !str_eq(str_make(it->key, it->key_len), key))) {
        it = it->chain;
    }
    return it;
}

/* Twice the buckets. Without memory the chains grow longer instead. */
static void grow(keyed *k) {
    if (k->mask >= UINT32_MAX / 4) return;
    uint32_t size = (k->mask + 1) * 2;
    if (!charge(k, (uint64_t)size / 2 * sizeof(item *))) return;
    item **table = mem_array(size, sizeof(item *));
    if (table == NULL) {
        uncharge(k, (uint64_t)size / 2 * sizeof(item *));
        return;
    }
    for (uint32_t b = 0; b <= k->mask; b++) {
        for (item *it = k->table[b], *next; it != NULL; it = next) {
            next = it->chain;
            item **to = &table[it->hash & (size - 1)];
            it->chain = *to;
            *to = it;
        }
    }
    mem_free(k->table);
    k->table = table;
    k->mask = size - 1;
}

static item *new_item(keyed *k, weir_str key, uint64_t hash, uint32_t number, weir_error *err) {
    item *it = take(k, item_size((uint32_t)key.len), err);
    if (it == NULL) return NULL;
    if (k->count > k->mask) grow(k);
    group *g = &k->own[number - k->first];
    *it = (item){.prev = g->last, .hash = hash, .group = number, .key_len = (uint32_t)key.len};
    if (key.len > 0) memcpy(it->key, key.ptr, key.len);
    it->chain = k->table[hash & k->mask];
    k->table[hash & k->mask] = it;
    if (g->last != NULL) {
        g->last->next = it;
    } else {
        g->first = it;
    }
    g->last = it;
    g->bytes += g->count == 0 ? BLOB_HEAD : 0;
    g->bytes += KEY_HEAD + key.len;
    g->count++;
    k->count++;
    return it;
}

/* It has no entries any more. */
static void drop_item(keyed *k, item *it) {
    group *g = &k->own[it->group - k->first];
    item **at = &k->table[it->hash & k->mask];
    while (*at != it) at = &(*at)->chain;
    *at = it->chain;
    *(it->prev != NULL ? &it->prev->next : &g->first) = it->next;
    *(it->next != NULL ? &it->next->prev : &g->last) = it->prev;
    g->count--;
    k->count--;
    g->bytes -= KEY_HEAD + it->key_len;
    g->bytes -= g->count == 0 ? BLOB_HEAD : 0;
    give(k, it, item_size(it->key_len));
}

/* ---- values ---- */

static weir_status check_room(const keyed *k, uint32_t number, const item *it, const entry *old,
                              weir_str name, weir_str value, weir_error *err) {
    const group *g = &k->own[number - k->first];
    if (value.len > LIMIT_KEYED_VALUE_BYTES) {
        return error_set(err, WEIR_E_TOO_LARGE, 0,
                         "\"%.*s\" of a key would have %llu bytes, at most %llu are allowed",
                         STR_FMT(name), (unsigned long long)value.len,
                         (unsigned long long)LIMIT_KEYED_VALUE_BYTES);
    }
    if (old == NULL && it != NULL && it->entry_count >= LIMIT_KEYED_NAMES) {
        return error_set(err, WEIR_E_TOO_LARGE, 0,
                         "\"%.*s\" would be one name too many: a key has at most %u", STR_FMT(name),
                         LIMIT_KEYED_NAMES);
    }
    uint64_t bytes = g->bytes + value.len;
    if (it == NULL) bytes += (g->count == 0 ? BLOB_HEAD : 0) + KEY_HEAD + k->key.len;
    bytes = old != NULL ? bytes - old->value_len : bytes + ENTRY_HEAD + name.len;
    if (bytes <= LIMIT_STATE_BLOB_BYTES) return WEIR_OK;
    (void)error_set(err, WEIR_E_TOO_LARGE, 0,
                    "the state of key group %u would have %llu bytes, at most %llu are allowed: it "
                    "holds %u keys of this instance's %llu",
                    number, (unsigned long long)bytes, (unsigned long long)LIMIT_STATE_BLOB_BYTES,
                    g->count, (unsigned long long)k->count);
    error_hint(err, "a larger settings.max_parallelism makes more and smaller groups; it takes "
                    "effect with a fresh state only");
    return WEIR_E_TOO_LARGE;
}

/* `old` with a new value: in its own place if it fits and is not far too large for it. */
static weir_status replace(keyed *k, group *g, entry **at, weir_str value, weir_error *err) {
    entry *old = *at;
    uint32_t len = (uint32_t)value.len, before = old->value_len;
    if (len <= old->value_cap && old->value_cap / 4 <= len + 64) {
        if (len > 0) memmove(old->bytes + old->name_len, value.ptr, len);
        old->value_len = len;
    } else {
        /* Room for some more: values that grow do so again. */
        uint32_t cap = len > old->value_cap ? len + len / 4 : len;
        entry *e = take(k, entry_size(old->name_len, cap), err);
        if (e == NULL) return WEIR_E_NOMEM;
        *e = (entry){
            .next = old->next, .name_len = old->name_len, .value_len = len, .value_cap = cap};
        memcpy(e->bytes, old->bytes, old->name_len);
        if (len > 0) memcpy(e->bytes + e->name_len, value.ptr, len);
        *at = e;
        give(k, old, entry_size(old->name_len, old->value_cap));
    }
    g->bytes = g->bytes - before + len;
    return WEIR_OK;
}

static weir_status put(keyed *k, weir_str name, weir_str value, weir_error *err) {
    item *it = k->current;
    uint32_t number = it != NULL ? it->group : key_group(k->key, k->groups);
    if (number < k->first || number >= k->end) {
        /* The exchange decided by another text than this call: no plugin can cause it. */
        return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                         "a key of group %u came to the instance of groups %u to %u", number,
                         k->first, k->end - 1);
    }
    group *g = &k->own[number - k->first];
    entry **at = it != NULL ? entry_at(it, name) : NULL;
    entry *old = at != NULL ? *at : NULL;
    weir_status status = check_room(k, number, it, old, name, value, err);
    if (status != WEIR_OK) return status;
    if (old != NULL) return replace(k, g, at, value, err);

    entry *e = take(k, entry_size((uint32_t)name.len, (uint32_t)value.len), err);
    if (e == NULL) return WEIR_E_NOMEM;
    *e = (entry){.name_len = (uint32_t)name.len,
                 .value_len = (uint32_t)value.len,
                 .value_cap = (uint32_t)value.len};
    memcpy(e->bytes, name.ptr, name.len);
    if (value.len > 0) memcpy(e->bytes + name.len, value.ptr, value.len);
    if (it == NULL) {
        it = new_item(k, k->key, k->hash, number, err);
        if (it == NULL) {
            give(k, e, entry_size(e->name_len, e->value_cap));
            return WEIR_E_NOMEM;
        }
        k->current = it;
        at = &it->entries;
    }
    *at = e;
    it->entry_count++;
    g->bytes += ENTRY_HEAD + name.len + value.len;
    return WEIR_OK;
}

/* ---- snapshot ---- */

static char *write_u32(char *at, uint32_t v) {
    for (int i = 0; i < 4; i++) *at++ = (char)(v >> (8 * i) & 0xff);
    return at;
}

static char *write_bytes(char *at, const char *bytes, uint32_t len) {
    if (len > 0) memcpy(at, bytes, len);
    return at + len;
}

static void write_group(const group *g, char *at) {
    const char *begin = at;
    at = write_u32(at, LAYOUT);
    at = write_u32(at, g->count);
    for (const item *it = g->first; it != NULL; it = it->next) {
        at = write_u32(at, it->key_len);
        at = write_bytes(at, it->key, it->key_len);
        at = write_u32(at, it->entry_count);
        for (const entry *e = it->entries; e != NULL; e = e->next) {
            at = write_u32(at, e->name_len);
            at = write_bytes(at, e->bytes, e->name_len);
            at = write_u32(at, e->value_len);
            at = write_bytes(at, e->bytes + e->name_len, e->value_len);
        }
    }
    WEIR_ASSERT((uint64_t)(at - begin) == g->bytes);
}

weir_status keyed_snapshot(const keyed *k, uint32_t version, state_part *part, weir_error *err) {
    uint64_t largest = 0;
    for (uint32_t n = 0; n < k->end - k->first; n++) {
        if (k->own[n].bytes > largest) largest = k->own[n].bytes;
    }
    if (largest == 0) return WEIR_OK;
    char *bytes = mem_alloc(largest);
    weir_status status = bytes != NULL ? WEIR_OK : WEIR_E_NOMEM;
    for (uint32_t n = 0; n < k->end - k->first && status == WEIR_OK; n++) {
        const group *g = &k->own[n];
        if (g->count == 0) continue;
        char number[16];
        int len = snprintf(number, sizeof number, "%u", k->first + n);
        write_group(g, bytes);
        status = part_add_blob(part, &(state_blob){.scope = STATE_SCOPE_KEY_GROUP,
                                                   .version = version,
                                                   .instance = k->instance,
                                                   .split = str_make(number, (size_t)len),
                                                   .bytes = str_make(bytes, g->bytes)});
    }
    mem_free(bytes);
    if (status == WEIR_OK) return WEIR_OK;
    return error_set(err, status, 0,
                     status == WEIR_E_NOMEM ? "out of memory for a snapshot of state by key"
                                            : "state by key is too large for a checkpoint");
}

/* ---- restore ---- */

typedef struct reader {
    const char *at, *end;
} reader;

static bool read_u32(reader *r, uint32_t *out) {
    if (r->end - r->at < 4) return false;
    const unsigned char *p = (const unsigned char *)r->at;
    *out = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    r->at += 4;
    return true;
}

static bool read_str(reader *r, uint64_t most, weir_str *out) {
    uint32_t len;
    if (!read_u32(r, &len) || len > most || len > (uint64_t)(r->end - r->at)) return false;
    *out = str_make(r->at, len);
    r->at += len;
    return true;
}

/* Decimal without leading zeros, below `groups`. */
static bool read_number(weir_str text, uint32_t groups, uint32_t *out) {
    int64_t value;
    if (text.len == 0 || text.len > 5 || (text.ptr[0] == '0' && text.len > 1)) return false;
    if (text.ptr[0] < '0' || text.ptr[0] > '9') return false;
    if (!str_to_i64(text, &value) || value >= (int64_t)groups) return false;
    *out = (uint32_t)value;
    return true;
}

static weir_status malformed(weir_error *err, const char *what) {
    return error_set(err, WEIR_E_DATA, 0, "malformed: %s", what);
}

static weir_status restore_group(keyed *k, uint32_t number, weir_str bytes, weir_error *err) {
    reader r = {bytes.ptr, bytes.ptr + bytes.len};
    uint32_t layout, keys;
    if (!read_u32(&r, &layout) || !read_u32(&r, &keys)) return malformed(err, "truncated");
    if (layout != LAYOUT) {
        (void)error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                        "layout %u; this weir reads layout %u", layout, LAYOUT);
        error_hint(err, "run it with the version of weir that wrote it, or a newer one");
        return WEIR_E_INCOMPATIBLE;
    }
    for (uint32_t i = 0; i < keys; i++) {
        weir_str key, name, value;
        uint32_t names;
        if (!read_str(&r, LIMIT_TEMPLATE_BYTES, &key) || !read_u32(&r, &names)) {
            return malformed(err, "truncated, or a key that is too long");
        }
        if (key_group(key, k->groups) != number) return malformed(err, "a key of another group");
        if (names == 0) return malformed(err, "a key without state");
        keyed_select(k, key);
        if (k->current != NULL) return malformed(err, "a key stands twice");
        for (uint32_t n = 0; n < names; n++) {
            if (!read_str(&r, LIMIT_KEYED_NAME_BYTES, &name) ||
                !read_str(&r, LIMIT_KEYED_VALUE_BYTES, &value)) {
                return malformed(err, "truncated, or a name or value that is too long");
            }
            if (name.len == 0) return malformed(err, "a value without a name");
            weir_str there;
            if (keyed_get(k, name, &there) == WEIR_OK) return malformed(err, "a name stands twice");
            weir_status status = put(k, name, value, err);
            if (status != WEIR_OK) return status;
        }
    }
    return r.at == r.end ? WEIR_OK : malformed(err, "bytes too many");
}

weir_status keyed_restore(keyed *k, const state_node *saved, weir_error *err) {
    weir_status status = WEIR_OK;
    for (uint32_t b = 0; b < saved->blob_count && status == WEIR_OK; b++) {
        const state_blob *blob = &saved->blobs[b];
        uint32_t number;
        if (blob->scope != STATE_SCOPE_KEY_GROUP) continue;
        if (!read_number(blob->split, k->groups, &number)) {
            return error_set(err, WEIR_E_DATA, 0, "state by key: \"%.*s\" is no key group below %u",
                             STR_FMT(blob->split), k->groups);
        }
        if (number < k->first || number >= k->end) continue;
        if (k->own[number - k->first].count > 0) {
            status = malformed(err, "it stands twice");
        } else {
            status = restore_group(k, number, blob->bytes, err);
        }
        if (status != WEIR_OK) error_prefix(err, "state of key group %u", number);
    }
    keyed_deselect(k);
    return status;
}
