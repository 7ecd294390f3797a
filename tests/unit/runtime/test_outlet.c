/*
 * The producer's end of an edge: which consumer gets what, and order when channels are full.
 */
#include <stdio.h>
#include <string.h>

#include "rig.h"
#include "runtime/key_group.h"

#define LANES 3u
#define KEY_GROUPS 128u

typedef struct world {
    arena *memory;
    batch_home *home;
    weir_error *err;
    plan_stage to;
    node to_node;
    plan_edge edge;
    wake p, c;
    channel *channels[LANES];
    outlet *o;
} world;

static void begin(world *w, exchange_kind exchange, const char *key, uint64_t bytes) {
    memset(w, 0, sizeof *w);
    w->memory = arena_new(1 << 20);
    w->home = batch_home_new(UINT64_MAX / 2, NULL, NULL);
    w->err = error_new();
    wake_init(&w->p);
    wake_init(&w->c);
    w->to = (plan_stage){.kind = STAGE_SINK, .node = &w->to_node, .parallelism = LANES};
    w->edge = (plan_edge){.to = &w->to, .to_node = &w->to_node, .exchange = exchange};
    if (key != NULL) w->edge.key = rig_template(w->memory, key);
    w->o = outlet_new(&w->edge, w->home, KEY_GROUPS, &rig_env);
    for (uint32_t l = 0; l < LANES; l++) {
        w->channels[l] = channel_new(bytes, &w->p, &w->c);
        outlet_connect(w->o, l, w->channels[l]);
    }
}

static void end(world *w) {
    outlet_free(w->o);
    for (uint32_t l = 0; l < LANES; l++) channel_free(w->channels[l]);
    error_free(w->err);
    assert_int_equal(batch_home_used(w->home), 0);
    batch_home_free(w->home);
    arena_free(w->memory);
}

static void send(world *w, const char *split, const char *letters) {
    assert_int_equal(outlet_send(w->o, rig_letters(w->home, split, letters), w->err), WEIR_OK);
}

/* Takes everything of a lane: "abc|d" for batches abc and d, "#7" for a barrier. */
static void expect(world *w, uint32_t lane, const char *text) {
    char got[600] = "";
    size_t at = 0;
    for (;;) {
        channel_item item = channel_pop(w->channels[lane]);
        if (item.kind == ITEM_NONE) break;
        if (at > 0) got[at++] = '|';
        if (item.kind == ITEM_BATCH) {
            for (uint32_t i = 0; i < item.batch->rows->count; i++) {
                got[at++] = item.batch->rows->value_ptr[i][0];
            }
        } else {
            at += (size_t)snprintf(got + at, 20, "#%d", (int)item.mark->epoch);
        }
        channel_item_drop(&item);
    }
    got[at] = '\0';
    assert_string_equal(got, text);
}

static void test_by_split(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_SPLIT, NULL, 1 << 20);
    uint32_t used = 0;
    for (int i = 0; i < 20; i++) {
        char split[8];
        snprintf(split, sizeof split, "s%d", i);
        send(&w, split, "a");
        send(&w, split, "b");
        uint32_t lanes = 0;
        for (uint32_t l = 0; l < LANES; l++) {
            if (channel_bytes(w.channels[l]) == 0) continue;
            expect(&w, l, "a|b"); /* one split, one lane, in order */
            used |= 1u << l;
            lanes++;
        }
        assert_int_equal(lanes, 1);
    }
    assert_int_equal(used, (1u << LANES) - 1); /* and not all in the same one */
    end(&w);
}

static void test_round_robin(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_ROUND_ROBIN, NULL, 1 << 20);
    for (int i = 0; i < 7; i++) {
        char letter[2] = {(char)('a' + i), '\0'};
        send(&w, "one split", letter);
    }
    expect(&w, 0, "a|d|g");
    expect(&w, 1, "b|e");
    expect(&w, 2, "c|f");
    end(&w);
}

static void test_by_key(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_KEY, "${key}", 1 << 20);
    rec records[] = {{.value = "a", .key = "x"}, {.value = "b", .key = "y"},
                     {.value = "c", .key = "x"}, {.value = "d"},
                     {.value = "e", .key = "z"}, {.value = "f", .key = "x"}};
    for (int round = 0; round < 2; round++) {
        const weir_batch *batch = rig_batch(w.home, "s", records, 6);
        assert_int_equal(outlet_send(w.o, batch, w.err), WEIR_OK);
    }
    /* Every record is somewhere once a round; those of one key together and in order. */
    int counts[6] = {0};
    uint32_t lane_of[6] = {9, 9, 9, 9, 9, 9};
    for (uint32_t l = 0; l < LANES; l++) {
        char last = 0;
        for (;;) {
            channel_item item = channel_pop(w.channels[l]);
            if (item.kind == ITEM_NONE) break;
            last = 0;
            for (uint32_t i = 0; i < item.batch->rows->count; i++) {
                char c = item.batch->rows->value_ptr[i][0];
                assert_true(c > last);
                last = c;
                counts[c - 'a']++;
                assert_true(lane_of[c - 'a'] == 9 || lane_of[c - 'a'] == l);
                lane_of[c - 'a'] = l;
            }
            channel_item_drop(&item);
        }
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(counts[i], 2);
        if (records[i].key == NULL) continue;
        uint32_t group = key_group(str_of(records[i].key), KEY_GROUPS);
        assert_int_equal(lane_of[i], key_group_instance(group, KEY_GROUPS, LANES));
    }
    assert_int_equal(lane_of[0], lane_of[2]);
    assert_int_equal(lane_of[0], lane_of[5]);
    assert_int_equal(lane_of[3], 0); /* without a key */
    end(&w);
}

static void test_marks_go_to_all(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_ROUND_ROBIN, NULL, 1 << 20);
    send(&w, "s", "a");
    assert_int_equal(outlet_mark(w.o, &(channel_mark){.kind = ITEM_BARRIER, .epoch = 7}, w.err),
                     WEIR_OK);
    send(&w, "s", "b");
    expect(&w, 0, "a|#7");
    expect(&w, 1, "#7|b");
    expect(&w, 2, "#7");
    end(&w);
}

static void test_full_channel_keeps_order(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_ROUND_ROBIN, NULL, 17);
    assert_true(outlet_room(w.o));
    for (uint32_t i = 0; i < LANES * (CHANNEL_ITEMS + 2); i++) {
        char letter[2] = {(char)('a' + (i / LANES) % 26), '\0'};
        send(&w, "s", letter); /* nothing is refused or dropped */
    }
    assert_int_equal(outlet_mark(w.o, &(channel_mark){.kind = ITEM_BARRIER, .epoch = 5}, w.err),
                     WEIR_OK);
    assert_false(outlet_flush(w.o));
    assert_false(outlet_room(w.o));
    char expected[400] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < CHANNEL_ITEMS + 2; i++) {
        at += (size_t)snprintf(expected + at, 8, "%s%c", i > 0 ? "|" : "", (char)('a' + i % 26));
    }
    at = 2 * CHANNEL_ITEMS - 1;
    char head[400], tail[400];
    memcpy(head, expected, at);
    head[at] = '\0';
    snprintf(tail, sizeof tail, "%s|#5", expected + at + 1);
    for (uint32_t l = 0; l < LANES; l++) expect(&w, l, head);
    assert_true(wake_wait(&w.p, 0)); /* told that there is room */
    assert_true(outlet_flush(w.o));
    for (uint32_t l = 0; l < LANES; l++) expect(&w, l, tail);
    assert_true(outlet_room(w.o));
    end(&w);
}

/* A slot that came free is for what waits, not for what comes. */
static void test_nothing_overtakes_what_waits(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_SPLIT, NULL, 1 << 20);
    for (uint32_t i = 0; i < CHANNEL_ITEMS; i++) send(&w, "s", "a");
    send(&w, "s", "b");
    uint32_t lane = 0;
    while (channel_bytes(w.channels[lane]) == 0) lane++;
    channel_item item = channel_pop(w.channels[lane]);
    channel_item_drop(&item);
    send(&w, "s", "c");
    for (uint32_t i = 1; i < CHANNEL_ITEMS; i++) {
        item = channel_pop(w.channels[lane]);
        channel_item_drop(&item);
    }
    assert_true(outlet_flush(w.o));
    expect(&w, lane, "b|c");
    end(&w);
}

static void test_waiting_is_freed(void **state) {
    (void)state;
    world w;
    begin(&w, EXCHANGE_SPLIT, NULL, 17);
    for (uint32_t i = 0; i < CHANNEL_ITEMS + 5; i++) send(&w, "s", "a");
    assert_int_equal(
        outlet_mark(w.o, &(channel_mark){.kind = ITEM_END_OF_SPLIT, .split = STR("s")}, w.err),
        WEIR_OK);
    end(&w); /* asserts that nothing stays charged */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_split),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_by_key),
        cmocka_unit_test(test_marks_go_to_all),
        cmocka_unit_test(test_full_channel_keeps_order),
        cmocka_unit_test(test_nothing_overtakes_what_waits),
        cmocka_unit_test(test_waiting_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
