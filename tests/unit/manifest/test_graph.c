#include "fixture.h"

#define HEAD "weir: 1\nname: t\n"
#define KIN "sources:\n  a: {type: kin, stream: s}\n"

static void test_order(void **state) {
    (void)state;
    loaded l = load_with(HEAD "sinks:\n"
                              "  out: {type: hole, inputs: [two, b], on_error: {dead_letter: dl}}\n"
                              "  dl: {type: hole}\n"
                              "transforms:\n"
                              "  two: {type: same, input: one, on_error: skip}\n"
                              "  one: {type: same, inputs: [a, b]}\n"
                              "sources:\n"
                              "  a: {type: kin, stream: s}\n  b: {type: kin, stream: s}\n",
                         NULL);
    if (l.p == NULL) print_error("%s", l.text.data);
    assert_non_null(l.p);
    assert_int_equal(l.p->node_count, 6);
    const char *order[] = {"a", "b", "one", "two", "out", "dl"};
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(str_eq_z(l.p->nodes[i]->name, order[i]));
        assert_int_equal(l.p->nodes[i]->index, i);
    }
    const node *out = node_of(&l, "out"), *b = node_of(&l, "b");
    assert_int_equal(out->input_count, 2);
    assert_ptr_equal(out->inputs[0], node_of(&l, "two"));
    assert_ptr_equal(out->inputs[1], b);
    assert_int_equal(b->output_count, 2);
    assert_int_equal(out->on_error, ON_ERROR_DEAD_LETTER);
    assert_ptr_equal(out->dead_letter, node_of(&l, "dl"));
    assert_true(node_of(&l, "dl")->is_dead_letter);
    assert_int_equal(node_of(&l, "dl")->input_count, 0);
    assert_int_equal(node_of(&l, "two")->on_error, ON_ERROR_SKIP);
    loaded_free(&l);
}

static void test_dead_letter_chain_order(void **state) {
    (void)state;
    loaded l = load_with(HEAD KIN "sinks:\n  z: {type: hole}\n"
                                  "  y: {type: hole, on_error: {dead_letter: z}}\n"
                                  "  x: {type: hole, input: a, on_error: {dead_letter: y}}\n",
                         NULL);
    assert_non_null(l.p);
    assert_true(str_eq_z(l.p->nodes[1]->name, "x"));
    assert_true(str_eq_z(l.p->nodes[2]->name, "y"));
    assert_true(str_eq_z(l.p->nodes[3]->name, "z"));
    loaded_free(&l);
}

static void test_unknown_nodes(void **state) {
    (void)state;
    expect_text(HEAD "sources:\n  clicks: {type: kin, stream: s}\n"
                     "sinks:\n  out: {type: hole, input: cliks}\n",
                "6:28 unknown-node\n", "there is no node 'cliks' for sink 'out' to read",
                "did you mean 'clicks'?", NULL);
    expect_text(HEAD KIN "sinks:\n  out: {type: hole, input: a, on_error: {dead_letter: eror}}\n"
                         "  error: {type: hole, input: a}\n",
                "6:55 unknown-node\n", "did you mean 'error'?", NULL);
    expect(HEAD KIN "sinks:\n  o: {type: hole, input: a}\n  p: {type: hole, inputs: [a, o]}\n",
           "7:31 wrong-kind\n");
    expect(HEAD KIN "sinks:\n  o: {type: hole, input: a, on_error: {dead_letter: a}}\n",
           "6:53 wrong-kind\n");
    expect(HEAD KIN "sinks:\n  o: {type: hole, inputs: [a, a]}\n", "6:31 duplicate-input\n");
}

static void test_ends(void **state) {
    (void)state;
    expect_text(HEAD KIN "transforms:\n  t: {type: same, input: a}\n"
                         "sinks:\n  o: {type: hole, input: a}\n  p: {type: hole}\n",
                "6:3 no-consumer\n9:3 unreachable-node\n", "no node reads what transform 't' gives",
                "nothing feeds sink 'p'", NULL);
    expect(HEAD "sources:\n  a: {type: kin, stream: s}\n  b: {type: kin, stream: s}\n"
                "sinks:\n  o: {type: hole, input: a}\n",
           "5:3 no-consumer\n");
    expect(HEAD KIN "transforms:\n  t: {type: same}\nsinks:\n  o: {type: hole, inputs: [a, t]}\n",
           "6:3 unreachable-node\n");
}

static void test_names(void **state) {
    (void)state;
    expect_text(HEAD KIN "sinks:\n  a: {type: hole, input: a}\n", "6:3 duplicate-node\n",
                "sink 'a' has the name of the source in line 4", NULL);
    expect(HEAD KIN "sinks:\n  a b: {type: hole, input: a}\n  -x: {type: hole, input: a}\n"
                    "  ../y: {type: hole, input: a}\n",
           "6:3 bad-name\n7:3 bad-name\n8:3 bad-name\n");
}

static void test_cycles(void **state) {
    (void)state;
    expect_text(HEAD KIN "transforms:\n  x: {type: same, inputs: [a, z]}\n"
                         "  y: {type: same, input: x}\n  z: {type: same, input: y}\n"
                         "  tail: {type: same, input: z}\n"
                         "sinks:\n  o: {type: hole, input: tail}\n",
                "6:3 cycle\n", "records would go in a circle: x -> y -> z -> x", NULL);
    expect_text(HEAD KIN "transforms:\n  x: {type: same, inputs: [a, x]}\n"
                         "sinks:\n  o: {type: hole, input: x}\n",
                "6:3 cycle\n", "x -> x", NULL);
    expect_text(HEAD KIN "sinks:\n  p: {type: hole, input: a, on_error: {dead_letter: q}}\n"
                         "  q: {type: hole, on_error: {dead_letter: p}}\n",
                "6:3 cycle\n", "p -> q -> p", NULL);
    expect_text(HEAD KIN "sinks:\n  p: {type: hole, input: a, on_error: {dead_letter: p}}\n",
                "6:3 cycle\n", "p -> p", NULL);
    /* Two of them are two errors. */
    expect(HEAD KIN "transforms:\n  x: {type: same, inputs: [a, x]}\n"
                    "  y: {type: same, inputs: [x, z]}\n  z: {type: same, input: y}\n"
                    "sinks:\n  o: {type: hole, input: z}\n",
           "6:3 cycle\n7:3 cycle\n");
}

static void test_long_cycle(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    buf_append_z(&b, HEAD KIN "sinks:\n  o: {type: hole, inputs: [a, t0]}\ntransforms:\n");
    for (int i = 0; i < 500; i++) {
        buf_printf(&b, "  t%d: {type: same, input: t%d}\n", i, (i + 499) % 500);
    }
    expect_text(b.data, "8:3 cycle\n", "t0 -> ... -> t480 -> ", "t499 -> t0", NULL);
    buf_free(&b);
}

static void test_tasks(void **state) {
    (void)state;
    expect(HEAD "settings: {parallelism: 1000, max_parallelism: 2000}\n" KIN
                "sinks:\n  p: {type: hole, input: a}\n  q: {type: hole, input: a}\n"
                "  r: {type: hole, input: a}\n  s: {type: hole, input: a}\n",
           "10:3 too-many-tasks\n");
}

static void test_delivery(void **state) {
    (void)state;
#define EXACT "settings: {delivery: exactly_once}\n"
    loaded l = load_with(HEAD EXACT KIN "sinks:\n  p: {type: kaf, input: a}\n"
                                        "  q: {type: file, path: x, input: a, delivery: "
                                        "at_least_once}\n",
                         NULL);
    assert_non_null(l.p);
    assert_int_equal(node_of(&l, "p")->delivery, DELIVERY_EXACTLY_ONCE);
    assert_int_equal(node_of(&l, "q")->delivery, DELIVERY_AT_LEAST_ONCE);
    loaded_free(&l);
    expect_text(HEAD EXACT KIN "sinks:\n  p: {type: file, path: x, input: a}\n",
                "7:3 delivery-unavailable\n",
                "sink 'p' (file) cannot deliver exactly_once: at best at_least_once",
                "lower 'delivery' to at_least_once", NULL);
    expect_text(HEAD "sources:\n  in: {type: stdin}\ntransforms:\n  t: {type: same, input: in}\n"
                     "sinks:\n  p: {type: kaf, input: t, delivery: at_least_once}\n",
                "4:3 delivery-unavailable\n",
                "source 'in' (stdin) cannot deliver at_least_once, which sink 'p' asks for", NULL);
    /* Through a dead letter. */
    expect(HEAD "sources:\n  in: {type: stdin}\nsinks:\n  p: {type: hole, input: in, on_error: "
                "{dead_letter: d}}\n  d: {type: kaf, delivery: exactly_once}\n",
           "4:3 delivery-unavailable\n");
    expect(HEAD "sources:\n  in: {type: stdin}\nsinks:\n  p: {type: hole, input: in, delivery: "
                "at_most_once}\n",
           "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),         cmocka_unit_test(test_dead_letter_chain_order),
        cmocka_unit_test(test_unknown_nodes), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_long_cycle),    cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
