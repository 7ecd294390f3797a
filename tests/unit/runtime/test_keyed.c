/*
 * State by key of one instance, and what it becomes when instances change: hash and groups, get,
 * put and remove against a model, limits, snapshots over 1, 2, 3 and 1 instances, hostile bytes,
 * and the n-th allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/key_group.h"
#include "runtime/key_rows.h"
#include "runtime/keyed.h"

#define GROUPS 128u
#define KEYS 1000u

typedef struct world {
    batch_home *home;
    keyed_pool pool;
    weir_error *err;
} world;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    w->home = batch_home_new(64 * MIB, NULL, NULL);
    w->err = error_new();
    keyed_pool_init(&w->pool, w->home);
    assert_int_equal(w->pool.limit, 32 * MIB);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    assert_int_equal(atomic_load(&w->pool.used), 0);
    assert_int_equal(batch_home_used(w->home), 0);
    batch_home_free(w->home);
    error_free(w->err);
    free(w);
    return 0;
}

static weir_str key_text(char out[32], uint32_t i) {
    return str_make(out, (size_t)snprintf(out, 32, "key-%u", i));
}

static void expect_state(keyed *k, const char *name, const char *value) {
    weir_str got;
    weir_status status = keyed_get(k, str_of(name), &got);
    if (value == NULL) {
        assert_int_equal(status, WEIR_E_NOT_FOUND);
        return;
    }
    assert_int_equal(status, WEIR_OK);
    assert_int_equal(got.len, strlen(value));
    assert_memory_equal(got.ptr, value, got.len);
}

static void put(keyed *k, const char *name, const char *value) {
    assert_int_equal(keyed_put(k, str_of(name), str_of(value)), WEIR_OK);
}

/* ---- which instance ---- */

/* Published vectors of SipHash-2-4: input 00, 00 01, ... under the key 00 .. 0f. */
static void test_hash(void **state) {
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
                   {2, UINT64_C(0x0d6c8009d9a94f5a)},  {3, UINT64_C(0x85676696d7fb7e2d)},
                   {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
                   {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)}};
    char input[64];
    for (size_t i = 0; i < sizeof input; i++) input[i] = (char)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        assert_int_equal(key_hash(str_make(input, vectors[i].len)), vectors[i].hash);
    }
    assert_int_equal(key_hash((weir_str){NULL, 0}), vectors[0].hash);
    /* As in docs/reference/checkpoint-format.md: if one of these changes, so does every
     * checkpoint. */
    static const struct {
        const char *key;
        uint32_t of_128, of_32768;
    } groups[] = {{"", 49, 3633},
                  {"AAPL", 124, 11004},
                  {"user-1", 109, 29293},
                  {"\xc3\xa9t\xc3\xa9", 5, 31877}};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        assert_int_equal(key_group(str_of(groups[i].key), 128), groups[i].of_128);
        assert_int_equal(key_group(str_of(groups[i].key), 32768), groups[i].of_32768);
    }
}

/* Every group has one instance, instances have runs of groups, none is empty. */
static void test_ranges(void **state) {
    (void)state;
    static const uint32_t many[] = {1, 2, 3, 7, 127, 128, 1000, KEY_GROUPS_MAX};
    for (size_t m = 0; m < sizeof many / sizeof many[0]; m++) {
        uint32_t groups = many[m];
        for (uint32_t p = 1; p <= groups && p <= 300; p++) {
            uint32_t g = 0;
            for (uint32_t i = 0; i < p; i++) {
                uint32_t first = key_group_first(i, groups, p);
                uint32_t end = key_group_first(i + 1, groups, p);
                assert_int_equal(first, g);
                assert_true(end > first);
                for (; g < end; g++) assert_int_equal(key_group_instance(g, groups, p), i);
            }
            assert_int_equal(g, groups);
        }
    }
}

/* ---- values ---- */

static void test_values(void **state) {
    world *w = *state;
    keyed *k = keyed_new(&w->pool, GROUPS, 0, 1);
    weir_str got;
    assert_int_equal(keyed_get(k, STR("n"), &got), WEIR_E_INVALID_STATE);
    assert_int_equal(keyed_put(k, STR("n"), STR("1")), WEIR_E_INVALID_STATE);
    assert_int_equal(keyed_remove(k, STR("n")), WEIR_E_INVALID_STATE);

    keyed_select(k, STR("a"));
    assert_int_equal(keyed_put(k, STR(""), STR("1")), WEIR_E_INVALID_ARG);
    assert_int_equal(keyed_remove(k, STR("n")), WEIR_E_NOT_FOUND);
    expect_state(k, "n", NULL);
    put(k, "n", "one");
    put(k, "m", "");
    expect_state(k, "n", "one");
    expect_state(k, "m", "");
    keyed_select(k, STR("b"));
    expect_state(k, "n", NULL);
    put(k, "n", "of b");
    keyed_select(k, STR(""));
    put(k, "n", "of the empty key");
    keyed_select(k, STR("a"));
    expect_state(k, "n", "one");
    put(k, "n", "a value that has outgrown its place by far");
    expect_state(k, "n", "a value that has outgrown its place by far");
    /* What was got may be put, moved within its place. */
    assert_int_equal(keyed_get(k, STR("n"), &got), WEIR_OK);
    assert_int_equal(keyed_put(k, STR("n"), str_make(got.ptr + 2, 5)), WEIR_OK);
    expect_state(k, "n", "value");
    assert_int_equal(keyed_count(k), 3);
    assert_int_equal(keyed_remove(k, STR("n")), WEIR_OK);
    expect_state(k, "m", "");
    assert_int_equal(keyed_remove(k, STR("m")), WEIR_OK);
    assert_int_equal(keyed_count(k), 2);
    expect_state(k, "n", NULL);
    put(k, "n", "again");
    expect_state(k, "n", "again");
    keyed_deselect(k);
    assert_int_equal(keyed_get(k, STR("n"), &got), WEIR_E_INVALID_STATE);
    keyed_free(k);
}

/* Random puts and removes against a table of what should be there. */
static void test_model(void **state) {
    world *w = *state;
    enum { MODEL_KEYS = 300, NAMES = 3 };
    static char model[MODEL_KEYS][NAMES][128];
    static bool there[MODEL_KEYS][NAMES];
    memset(there, 0, sizeof there);
    static const char *const names[NAMES] = {"a", "bb", "ccc"};
    keyed *k = keyed_new(&w->pool, GROUPS, 0, 1);
    uint64_t random = 42;
    for (int step = 0; step < 20000; step++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t at = (uint32_t)(random >> 33) % MODEL_KEYS,
                 name = (uint32_t)(random >> 20) % NAMES;
        char text[32];
        keyed_select(k, key_text(text, at));
        expect_state(k, names[name], there[at][name] ? model[at][name] : NULL);
        if ((random >> 50) % 3 == 0) {
            assert_int_equal(keyed_remove(k, str_of(names[name])),
                             there[at][name] ? WEIR_OK : WEIR_E_NOT_FOUND);
            there[at][name] = false;
        } else {
            size_t len = (random >> 40) % 127;
            memset(model[at][name], 'a' + (int)(step % 26), len);
            model[at][name][len] = '\0';
            put(k, names[name], model[at][name]);
            there[at][name] = true;
        }
    }
    uint32_t keys = 0;
    for (uint32_t at = 0; at < MODEL_KEYS; at++) {
        keys += there[at][0] || there[at][1] || there[at][2];
    }
    assert_int_equal(keyed_count(k), keys);
    /* The snapshot's own assertion compares the sizes that were kept with those written. */
    state_part *part = part_new(0);
    assert_int_equal(keyed_snapshot(k, 1, part, w->err), WEIR_OK);
    part_free(part);
    keyed_free(k);
}

static void test_limits(void **state) {
    world *w = *state;
    keyed *k = keyed_new(&w->pool, 1, 0, 1);
    static char long_name[LIMIT_KEYED_NAME_BYTES + 1];
    memset(long_name, 'n', sizeof long_name);
    keyed_select(k, STR("a"));
    assert_int_equal(keyed_put(k, str_make(long_name, sizeof long_name), STR("")),
                     WEIR_E_INVALID_ARG);
    assert_int_equal(keyed_put(k, str_make(long_name, sizeof long_name - 1), STR("")), WEIR_OK);
    for (uint32_t i = 1; i < LIMIT_KEYED_NAMES; i++) {
        char name[32];
        assert_int_equal(keyed_put(k, key_text(name, i), STR("x")), WEIR_OK);
    }
    assert_null(keyed_refusal(k));
    assert_int_equal(keyed_put(k, STR("more"), STR("x")), WEIR_E_TOO_LARGE);
    assert_non_null(strstr(error_text(keyed_refusal(k)), "one name too many"));
    assert_int_equal(keyed_put(k, STR("key-7"), STR("y")), WEIR_OK); /* one that is there */
    assert_null(keyed_refusal(k));

    char *large = calloc(1, LIMIT_KEYED_VALUE_BYTES + 1);
    assert_int_equal(keyed_put(k, STR("key-7"), str_make(large, LIMIT_KEYED_VALUE_BYTES + 1)),
                     WEIR_E_TOO_LARGE);
    expect_state(k, "key-7", "y"); /* what was there stays */
    /* The pool of 32 MiB takes one of 16 MiB, and not two. */
    keyed_select(k, STR("b"));
    assert_int_equal(keyed_put(k, STR("v"), str_make(large, LIMIT_KEYED_VALUE_BYTES)), WEIR_OK);
    keyed_select(k, STR("c"));
    assert_null(keyed_refusal(k));
    assert_int_equal(keyed_put(k, STR("v"), str_make(large, LIMIT_KEYED_VALUE_BYTES)),
                     WEIR_E_NOMEM);
    assert_non_null(strstr(error_text(keyed_refusal(k)), "more than 32 MiB"));
    assert_int_equal(keyed_count(k), 2);
    expect_state(k, "v", NULL);
    assert_true(batch_home_used(w->home) <= w->pool.limit);
    keyed_free(k);

    /* A group's blob has its own bound, whatever the pool would take. */
    w->pool.limit = 256 * MIB;
    k = keyed_new(&w->pool, 1, 0, 1);
    weir_status status = WEIR_OK;
    uint32_t fit = 0;
    for (; fit < 5 && status == WEIR_OK; fit++) {
        char text[32];
        keyed_select(k, key_text(text, fit));
        status = keyed_put(k, STR("v"), str_make(large, LIMIT_KEYED_VALUE_BYTES));
    }
    assert_int_equal(status, WEIR_E_TOO_LARGE);
    assert_int_equal(fit, 4); /* three of them, and the fourth with its heads is too much */
    assert_non_null(strstr(error_text(keyed_refusal(k)), "key group 0 would have"));
    keyed_free(k);
    free(large);
}

/* ---- snapshot and restore ---- */

/* All keys get the state "n" = round and their own number; over `p` instances. */
static void count_keys(keyed **k, uint32_t p, uint32_t round) {
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[32], before[32], after[32];
        weir_str key = key_text(text, i);
        uint32_t at = key_group_instance(key_group(key, GROUPS), GROUPS, p);
        snprintf(before, sizeof before, "%u of %u", round - 1, i);
        snprintf(after, sizeof after, "%u of %u", round, i);
        for (uint32_t other = 0; other < p; other++) {
            keyed_select(k[other], key);
            expect_state(k[other], "n", other == at && round > 1 ? before : NULL);
            if (other == at) continue;
            assert_int_equal(keyed_put(k[other], STR("n"), STR("")), WEIR_E_INTERNAL);
        }
        keyed_select(k[at], key);
        put(k[at], "n", after);
        put(k[at], "other", text);
    }
}

/* What the parts hold, as a node of a checkpoint; the checkpoint is the caller's. */
static checkpoint *stored(state_part **parts, uint32_t count) {
    checkpoint *c = checkpoint_new(CHECKPOINT_PERIODIC, 1);
    c->nodes = arena_array(c->memory, 1, sizeof *c->nodes);
    c->node_count = 1;
    assert_int_equal(checkpoint_merge(c, parts, count), WEIR_OK);
    return c;
}

static void test_other_parallelism(void **state) {
    world *w = *state;
    static const uint32_t steps[] = {1, 2, 3, 1, 128, 2};
    checkpoint *c = NULL;
    for (uint32_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        uint32_t p = steps[s];
        keyed *k[128];
        state_part *parts[128];
        uint64_t held = 0;
        for (uint32_t i = 0; i < p; i++) {
            k[i] = keyed_new(&w->pool, GROUPS, i, p);
            if (c == NULL) continue;
            assert_int_equal(keyed_restore(k[i], &c->nodes[0], w->err), WEIR_OK);
            held += keyed_count(k[i]);
        }
        assert_int_equal(held, s == 0 ? 0 : KEYS); /* each key is in one place */
        count_keys(k, p, s + 1);
        for (uint32_t i = 0; i < p; i++) {
            parts[i] = part_new(0);
            assert_int_equal(keyed_snapshot(k[i], 7, parts[i], w->err), WEIR_OK);
        }
        checkpoint_free(c);
        c = stored(parts, p);
        for (uint32_t i = 0; i < p; i++) {
            part_free(parts[i]);
            keyed_free(k[i]);
        }
        assert_int_equal(c->nodes[0].blob_count, GROUPS); /* 1,000 keys leave none out */
        for (uint32_t b = 0; b < GROUPS; b++) {
            assert_int_equal(c->nodes[0].blobs[b].scope, STATE_SCOPE_KEY_GROUP);
            assert_int_equal(c->nodes[0].blobs[b].version, 7);
        }
    }
    checkpoint_free(c);
}

static void test_nothing_to_store(void **state) {
    world *w = *state;
    keyed *k = keyed_new(&w->pool, GROUPS, 0, 1);
    keyed_select(k, STR("a"));
    put(k, "n", "1");
    assert_int_equal(keyed_remove(k, STR("n")), WEIR_OK);
    state_part *part = part_new(0);
    assert_int_equal(keyed_snapshot(k, 1, part, w->err), WEIR_OK);
    assert_int_equal(part->blob_count, 0);
    part_free(part);
    keyed_free(k);
}

/* ---- hostile bytes ---- */

static weir_status restore_bytes(world *w, const char *group, const char *bytes, size_t len) {
    /* A copy of exactly that size, so that a sanitizer sees a read beyond it. */
    char *copy = malloc(len + (len == 0));
    if (len > 0) memcpy(copy, bytes, len);
    state_blob blob = {
        .scope = STATE_SCOPE_KEY_GROUP, .split = str_of(group), .bytes = str_make(copy, len)};
    const state_node node = {.blobs = &blob, .blob_count = 1};
    keyed *k = keyed_new(&w->pool, 2, 0, 1);
    error_clear(w->err);
    weir_status status = keyed_restore(k, &node, w->err);
    if (status != WEIR_OK) assert_int_equal(error_status(w->err), status);
    keyed_free(k);
    free(copy);
    return status;
}

static void expect_refused(world *w, const char *group, const char *bytes, size_t len,
                           const char *text) {
    weir_status status = restore_bytes(w, group, bytes, len);
    assert_true(status == WEIR_E_DATA || status == WEIR_E_INCOMPATIBLE);
    if (strstr(error_text(w->err), text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error_text(w->err), text);
    }
}

static void test_hostile(void **state) {
    world *w = *state;
    keyed *k = keyed_new(&w->pool, 2, 0, 1);
    for (uint32_t i = 0; i < 20; i++) {
        char text[32];
        keyed_select(k, key_text(text, i));
        put(k, "n", text);
        put(k, "other", "");
    }
    state_part *part = part_new(0);
    assert_int_equal(keyed_snapshot(k, 1, part, w->err), WEIR_OK);
    keyed_free(k);
    assert_int_equal(part->blob_count, 2);
    const state_blob *good = &part->blobs[1];
    assert_true(str_eq(good->split, STR("1")));
    assert_int_equal(restore_bytes(w, "1", good->bytes.ptr, good->bytes.len), WEIR_OK);

    for (size_t len = 0; len < good->bytes.len; len++) {
        expect_refused(w, "1", good->bytes.ptr, len, "state of key group 1: malformed: truncated");
    }
    char *bytes = malloc(good->bytes.len + 1);
    uint32_t refused = 0;
    for (size_t at = 0; at < good->bytes.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, good->bytes.ptr, good->bytes.len);
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
            refused += restore_bytes(w, "1", bytes, good->bytes.len) != WEIR_OK;
        }
    }
    assert_true(refused > good->bytes.len * 4); /* only values and names may be anything */
    memcpy(bytes, good->bytes.ptr, good->bytes.len);
    bytes[good->bytes.len] = 0;
    expect_refused(w, "1", bytes, good->bytes.len + 1, "bytes too many");
    bytes[0] = 2;
    expect_refused(w, "1", bytes, good->bytes.len, "layout 2");
    expect_refused(w, "0", good->bytes.ptr, good->bytes.len, "a key of another group");
    static const char *const numbers[] = {"", "2", "00", "01", "-1", "+1", "1 ", "x", "4294967296"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        expect_refused(w, numbers[i], good->bytes.ptr, good->bytes.len, "is no key group below 2");
    }
    free(bytes);

    /* One blob twice; what only a hand could have written. */
    state_blob twice[2] = {*good, *good};
    const state_node node = {.blobs = twice, .blob_count = 2};
    k = keyed_new(&w->pool, 2, 0, 1);
    assert_int_equal(keyed_restore(k, &node, w->err), WEIR_E_DATA);
    assert_non_null(strstr(error_text(w->err), "it stands twice"));
    keyed_free(k);
    part_free(part);
    /* Key "" lies in group 1 of 2. */
    static const char key_twice[] = "\1\0\0\0\2\0\0\0"
                                    "\0\0\0\0\1\0\0\0\1\0\0\0n\0\0\0\0"
                                    "\0\0\0\0\1\0\0\0\1\0\0\0n\0\0\0\0";
    expect_refused(w, "1", key_twice, sizeof key_twice - 1, "a key stands twice");
    static const char name_twice[] = "\1\0\0\0\1\0\0\0"
                                     "\0\0\0\0\2\0\0\0\1\0\0\0n\0\0\0\0\1\0\0\0n\0\0\0\0";
    expect_refused(w, "1", name_twice, sizeof name_twice - 1, "a name stands twice");
    static const char no_name[] = "\1\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0";
    expect_refused(w, "1", no_name, sizeof no_name - 1, "a value without a name");
    static const char no_state[] = "\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0";
    expect_refused(w, "1", no_state, sizeof no_state - 1, "a key without state");
    static const char many_keys[] = "\1\0\0\0\xff\xff\xff\xff";
    expect_refused(w, "1", many_keys, sizeof many_keys - 1, "truncated");
    static const char many_names[] = "\1\0\0\0\1\0\0\0\0\0\0\0\xff\xff\xff\xff";
    expect_refused(w, "1", many_names, sizeof many_names - 1, "truncated");
}

/* A budget that became too small for the state says so, and leaves nothing behind. */
static void test_restore_beyond_the_budget(void **state) {
    world *w = *state;
    keyed *k = keyed_new(&w->pool, 2, 0, 1);
    for (uint32_t i = 0; i < 200; i++) {
        char text[32];
        keyed_select(k, key_text(text, i));
        put(k, "n", text);
    }
    state_part *part = part_new(0);
    assert_int_equal(keyed_snapshot(k, 1, part, w->err), WEIR_OK);
    keyed_free(k);
    checkpoint *c = stored(&part, 1);
    part_free(part);
    w->pool.limit = 8000;
    k = keyed_new(&w->pool, 2, 0, 1);
    assert_int_equal(keyed_restore(k, &c->nodes[0], w->err), WEIR_E_NOMEM);
    assert_non_null(strstr(error_text(w->err), "settings.memory"));
    keyed_free(k);
    checkpoint_free(c);
}

/* ---- rows by key ---- */

static void fail_row(void *opaque, uint32_t row, const weir_error *why) {
    assert_non_null(strstr(error_text(why), "has no key"));
    *(uint64_t *)opaque |= UINT64_C(1) << row;
}

static void test_rows(void **state) {
    world *w = *state;
    arena *memory = arena_new(16 * MIB);
    static const char *const keys[] = {"b", NULL, "a", "a", "b", "", "c", "a", NULL, ""};
    enum { N = sizeof keys / sizeof keys[0] };
    weir_batch_builder *b = batch_begin(w->home, N, WEIR_COL_KEY);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    assert_int_equal(batch_facet.reserve(b, N, &columns), WEIR_OK);
    for (uint32_t i = 0; i < N; i++) {
        columns.value_ptr[i] = "v";
        columns.value_len[i] = 1;
        columns.key_ptr[i] = keys[i];
        columns.key_len[i] = keys[i] != NULL ? (uint32_t)strlen(keys[i]) : 0;
    }
    assert_int_equal(batch_facet.commit(b, N), WEIR_OK);
    weir_batch_seal seal = {.struct_size = sizeof seal, .split = STR("s"), .lag_ms = -1};
    const weir_batch *batch = batch_facet.seal(b, &seal);
    const template_program *program;
    size_t at;
    assert_int_equal(template_parse(STR("<${key}>"), memory, &program, &at, w->err), WEIR_OK);
    template_eval *key = template_eval_new(program, &(template_env){0});
    key_rows rows;
    uint64_t failed = 0;
    assert_int_equal(key_rows_make(key, batch, memory, &rows, fail_row, &failed, w->err), WEIR_OK);
    static const char *const want[] = {"<b> 0 4", "<a> 2 3 7", "<> 5 9", "<c> 6"};
    assert_int_equal(rows.count, 4);
    assert_int_equal(failed, 1u << 1 | 1u << 8);
    for (uint32_t k = 0; k < rows.count; k++) {
        char text[64];
        int len = snprintf(text, sizeof text, "%.*s", STR_FMT(rows.keys[k]));
        for (uint32_t r = rows.start[k]; r < rows.start[k + 1]; r++) {
            len += snprintf(text + len, sizeof text - (size_t)len, " %u", rows.rows[r]);
        }
        assert_string_equal(text, want[k]);
    }
    template_eval_free(key);
    batch_release(batch);
    arena_free(memory);
}

/* ---- the n-th allocation ---- */

/* True if everything worked; else nothing is left, and what was told is an error. */
static bool whole_way(world *w) {
    bool ok = false;
    keyed *to = NULL;
    state_part *part = NULL;
    keyed *k = keyed_new(&w->pool, GROUPS, 0, 1);
    if (k == NULL) return false;
    for (uint32_t i = 0; i < 150; i++) { /* the table grows, and may fail to */
        char text[32];
        keyed_select(k, key_text(text, i));
        weir_status status = keyed_put(k, STR("n"), STR("1"));
        if (status == WEIR_OK) status = keyed_put(k, STR("n"), STR("a value that is longer"));
        if (status == WEIR_OK) status = keyed_put(k, STR("m"), STR("2"));
        if (status != WEIR_OK) {
            assert_int_equal(status, WEIR_E_NOMEM);
            goto done;
        }
        if (i % 3 == 0) assert_int_equal(keyed_remove(k, STR("m")), WEIR_OK);
    }
    part = part_new(0);
    if (part == NULL || keyed_snapshot(k, 1, part, w->err) != WEIR_OK) goto done;
    to = keyed_new(&w->pool, GROUPS, 1, 2);
    const state_node node = {.blobs = part->blobs, .blob_count = part->blob_count};
    if (to == NULL || keyed_restore(to, &node, w->err) != WEIR_OK) goto done;
    assert_true(keyed_count(to) > 0);
    ok = true;
done:
    keyed_free(k);
    keyed_free(to);
    part_free(part);
    return ok;
}

static void test_nth_allocation(void **state) {
    world *w = *state;
    uint32_t refused = 0;
    for (int sticky = 0; sticky < 2; sticky++) {
        for (int64_t n = 1;; n++) {
            (void)mem_test_fail_at(n, sticky == 1);
            bool ok = whole_way(w);
            bool failed = mem_test_fail_at(0, false);
            if (!failed) {
                assert_true(ok);
                break;
            }
            refused += !ok;
            assert_int_equal(atomic_load(&w->pool.used), 0);
        }
    }
    assert_true(refused > 600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test_setup_teardown(test_values, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_model, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_limits, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_other_parallelism, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_nothing_to_store, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_hostile, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_restore_beyond_the_budget, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_rows, make_world, drop_world),
        cmocka_unit_test_setup_teardown(test_nth_allocation, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
