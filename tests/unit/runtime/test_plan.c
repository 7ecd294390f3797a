/*
 * From the graph to stages: what is fused, where is decoded and why, what is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "pipes.h"

#define GEN(more) "sources:\n  in: {type: generator" more "}\n"

static void test_fusing(void **state) {
    (void)state;
    pipe_of p =
        pipe_load(GEN(", format: json") "transforms:\n"
                                        "  f: {type: filter, input: in, where: .price > 1}\n"
                                        "  s: {type: sample, input: f, rate: 0.5}\n"
                                        "sinks:\n  out: {type: blackhole, input: s}\n");
    assert_int_equal(p.plan->stage_count, 2);
    assert_int_equal(p.plan->task_count, 2);
    assert_int_equal(p.plan->channel_count, 1);
    const plan_stage *s = pipe_stage(&p, "in");
    assert_int_equal(s->op_count, 3);
    assert_ptr_equal(s->root->ops[0]->node, pipe_node(&p, "f"));
    assert_ptr_equal(s->root->ops[0]->ops[0]->node, pipe_node(&p, "s"));
    assert_ptr_equal(p.plan->edges[0]->from_node, pipe_node(&p, "s"));
    assert_true(s->decode);
    assert_non_null(strstr(s->decode_why, "f reads fields"));
    pipe_free(&p);
}

/* Another parallelism, an exchange, or a second input each need a thread boundary. */
static void test_not_fused(void **state) {
    (void)state;
    static const char *const transforms[] = {
        "  f: {type: sample, input: in, rate: 0.5, parallelism: 3}\n",
        "  f: {type: sample, input: in, rate: 0.5, exchange: round_robin}\n",
        "  f: {type: sample, inputs: [in, two], rate: 0.5}\n",
    };
    for (int i = 0; i < 3; i++) {
        char text[600];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator}\n  two: {type: generator}\ntransforms:\n%s"
                 "sinks:\n  out: {type: blackhole, input%s}\n",
                 transforms[i], i == 2 ? ": f" : "s: [f, two]");
        pipe_of p = pipe_load(text);
        const plan_stage *s = pipe_stage(&p, "f");
        assert_int_equal(s->kind, STAGE_WORKER);
        assert_int_equal(s->input_count, i == 2 ? 2 : 1);
        assert_int_equal(s->parallelism, i == 0 ? 3 : 1);
        pipe_free(&p);
    }
}

static void test_channels_are_pairs(void **state) {
    (void)state;
    pipe_of p = pipe_load("settings: {parallelism: 3}\n" GEN(
        "") "sinks:\n  a: {type: blackhole, input: in}\n"
            "  b: {type: blackhole, input: in, parallelism: 2}\n");
    assert_int_equal(p.plan->task_count, 3 + 3 + 2);
    assert_int_equal(p.plan->channel_count, 3 * 3 + 3 * 2);
    uint64_t bounds = 0;
    for (size_t e = 0; e < p.plan->edge_count; e++) {
        bounds += p.plan->edges[e]->channel_bytes * p.plan->edges[e]->from->parallelism *
                  p.plan->edges[e]->to->parallelism;
    }
    assert_true(bounds < p.pipeline->settings.memory_bytes);
    pipe_free(&p);
}

static void test_encoding(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
        sink_encoding encoding;
        bool decode;
        const char *why;
    } cases[] = {
        {"", "", SINK_PASS_THROUGH, false, "raw"},
        {", format: json", "", SINK_PASS_THROUGH, false, "raw"},
        {", format: json", ", format: json", SINK_ENCODE_IF_CHANGED, false, "same format"},
        {", format: json", ", format: text", SINK_ENCODE, true, "differs"},
        {", format: {type: json, pass_through: never}", ", format: json", SINK_ENCODE, true,
         "pass_through: never"},
        {", format: json", ", format: {type: json, pass_through: never}", SINK_ENCODE, true,
         "pass_through: never"},
        /* Decoded so that bad records are found, whatever the sink wants. */
        {", format: {type: json, pass_through: never}", "", SINK_PASS_THROUGH, true, "raw"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator%s}\nsinks:\n  out: {type: blackhole, input: "
                 "in%s}\n",
                 cases[i].in, cases[i].out);
        pipe_of p = pipe_load(text);
        const plan_stage *out = pipe_stage(&p, "out");
        assert_int_equal(out->encoding, cases[i].encoding);
        assert_non_null(strstr(out->encoding_why, cases[i].why));
        assert_int_equal(pipe_stage(&p, "in")->decode, cases[i].decode);
        pipe_free(&p);
    }
}

static void test_decode_behind_exchange(void **state) {
    (void)state;
    pipe_of p = pipe_load(GEN(
        ", format: json, on_error: {dead_letter: bad}") "sinks:\n  out: {type: blackhole, input: in, parallelism: 2, exchange: "
                                                        "round_robin, format: {type: json, pass_through: never}}\n"
                                                        "  bad: {type: blackhole}\n");
    const plan_stage *in = pipe_stage(&p, "in"), *out = pipe_stage(&p, "out");
    assert_false(in->decode);
    assert_non_null(in->decode_why);
    assert_ptr_equal(out->inputs[0]->decode_as, pipe_node(&p, "in"));
    /* Records of `in` may fail in `in` and where they are decoded: both have a way out. */
    const plan_stage *bad = pipe_stage(&p, "bad");
    assert_int_equal(bad->input_count, 2);
    for (size_t e = 0; e < 2; e++) {
        assert_true(bad->inputs[e]->dead_letters);
        assert_ptr_equal(bad->inputs[e]->from_node, pipe_node(&p, "in"));
    }
    assert_ptr_not_equal(bad->inputs[0]->from, bad->inputs[1]->from);
    pipe_free(&p);

    /* Not behind it, when something in front needs fields. */
    p = pipe_load(GEN(
        ", format: json, event_time: {field: .event_time}") "sinks:\n  out: {type: blackhole, input: in, exchange: round_robin, format: "
                                                            "{type: json, pass_through: never}}\n");
    assert_true(pipe_stage(&p, "in")->decode);
    assert_null(pipe_stage(&p, "out")->inputs[0]->decode_as);
    pipe_free(&p);
    p = pipe_load(GEN(
        ", format: json") "sinks:\n  out: {type: blackhole, input: in, exchange: {key: \"${.ticker}\"}}\n");
    assert_true(pipe_stage(&p, "in")->decode);
    assert_non_null(pipe_stage(&p, "out")->inputs[0]->key);
    pipe_free(&p);
}

/* The plan of `text` is refused with `code`, and its words hold all of the others. */
static void refused(const char *text, const char *code, const char *says, const char *hint) {
    pipe_of p = pipe_load(text);
    assert_null(p.plan);
    assert_int_equal(diags_errors(p.diags), 1);
    const diag *d = diags_get(p.diags, 0);
    assert_string_equal(d->code, code);
    if (strstr(d->text, says) == NULL) fail_msg("\"%s\" lacks \"%s\"", d->text, says);
    assert_non_null(d->hint);
    if (strstr(d->hint, hint) == NULL) fail_msg("\"%s\" lacks \"%s\"", d->hint, hint);
    pipe_free(&p);
}

static void test_refusals(void **state) {
    (void)state;
    refused(GEN("") "sinks:\n  out: {type: blackhole, input: in, format: json}\n",
            "format-mismatch", "source in are raw bytes", "give source in a format");
    refused(GEN("") "transforms:\n  f: {type: filter, input: in, where: .a == 1}\n"
                    "sinks:\n  out: {type: blackhole, input: f}\n",
            "needs-format", "f reads fields", "set the format of source in");
    refused("settings: {memory: 1MiB}\n" GEN("") "sinks:\n  out: {type: blackhole, input: in}\n",
            "memory-floor", "guaranteed 2304 KiB", "set settings.memory to 3MiB");
}

static void test_memory_floor_is_enough(void **state) {
    (void)state;
    pipe_of p = pipe_load(
        "settings: {memory: 3MiB}\n" GEN("") "sinks:\n  out: {type: blackhole, input: in}\n");
    assert_non_null(p.plan);
    pipe_free(&p);
}

static void test_time(void **state) {
    (void)state;
    static const struct {
        const char *in, *path;
        bool time;
    } cases[] = {
        {"", "out/a", false},
        {"", "out/${time:%H}", true},
        {"", "out/${now:%H}", false},
        {", event_time: {}", "out/a", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator%s}\nsinks:\n  out: {type: file, input: in, "
                 "path: \"%s\"}\n",
                 cases[i].in, cases[i].path);
        pipe_of p = pipe_load(text);
        assert_int_equal(pipe_stage(&p, "in")->need_time, cases[i].time);
        pipe_free(&p);
    }
}

static bool wants(const plan_stage *s, const char *name) {
    uint32_t times = 0;
    for (uint32_t m = 0; m < s->meta_count; m++) {
        if (str_eq(str_make(s->meta_ptr[m], s->meta_len[m]), str_of(name))) times++;
    }
    assert_true(times < 2);
    return times == 1;
}

static void test_meta_union(void **state) {
    (void)state;
    pipe_of p = pipe_load(
        "sources:\n  in: {type: generator}\n  other: {type: generator}\n"
        "sinks:\n  a: {type: file, input: in, path: \"a/${header:weir.topic}-${position}\"}\n"
        "  b: {type: file, input: in, path: \"b/${position}/${header:mine}\"}\n"
        "  c: {type: blackhole, inputs: [other], exchange: {key: "
        "\"${header:weir.partition_key}\"}}\n");
    const plan_stage *in = pipe_stage(&p, "in"), *other = pipe_stage(&p, "other");
    assert_int_equal(in->meta_count, 2);
    assert_true(wants(in, "weir.topic"));
    assert_true(wants(in, "weir.position"));
    /* The key of an exchange is a reader like any other. */
    assert_int_equal(other->meta_count, 1);
    assert_true(wants(other, "weir.partition_key"));
    pipe_free(&p);

    p = pipe_load(GEN("") "sinks:\n  a: {type: blackhole, input: in, on_error: {dead_letter: "
                          "d}}\n  d: {type: blackhole}\n");
    assert_true(wants(pipe_stage(&p, "in"), "weir.position")); /* for the origin of a letter */
    assert_true(wants(pipe_stage(&p, "in"), "weir.stream"));
    pipe_free(&p);
}

static void test_dead_letter_edges(void **state) {
    (void)state;
    pipe_of p = pipe_load(GEN(
        ", format: json, on_error: {dead_letter: d}") "transforms:\n  f: {type: filter, input: in, where: .a == 1, on_error: "
                                                      "{dead_letter: d}}\n"
                                                      "sinks:\n  a: {type: blackhole, input: f, parallelism: 2, on_error: "
                                                      "{dead_letter: d}}\n  d: {type: blackhole}\n");
    const plan_stage *d = pipe_stage(&p, "d");
    assert_int_equal(d->input_count, 3); /* two of the source's stage, one of the sink's */
    unsigned in_stage = 0, of_sink = 0;
    for (size_t e = 0; e < 3; e++) {
        assert_true(d->inputs[e]->dead_letters);
        if (d->inputs[e]->from == pipe_stage(&p, "in")) in_stage++;
        if (d->inputs[e]->from == pipe_stage(&p, "a")) of_sink++;
    }
    assert_int_equal(in_stage, 2);
    assert_int_equal(of_sink, 1);
    pipe_free(&p);
}

static void test_bare_dead_letters_warn(void **state) {
    (void)state;
    static const struct {
        const char *format;
        unsigned warnings;
    } cases[] = {{"", 1}, {", format: json", 0}};
    for (size_t i = 0; i < 2; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "sources:\n  in: {type: generator, format: json, on_error: {dead_letter: d}}\n"
                 "sinks:\n  a: {type: blackhole, input: in}\n  d: {type: blackhole%s}\n",
                 cases[i].format);
        pipe_of p = pipe_load(text);
        assert_non_null(p.plan);
        unsigned found = 0;
        for (size_t k = 0; k < diags_count(p.diags); k++) {
            const diag *d = diags_get(p.diags, k);
            if (strcmp(d->code, "bare-dead-letters") == 0) {
                assert_true(d->warning);
                assert_int_equal(d->line, 7); /* the node's own */
                found++;
            }
        }
        assert_int_equal(found, cases[i].warnings);
        pipe_free(&p);
    }
}

static void test_shown(void **state) {
    (void)state;
    pipe_of p = pipe_load(GEN(", format: json") "sinks:\n  out: {type: blackhole, input: in, "
                                                "format: json}\n");
    buf text;
    buf_init(&text, 1 << 20);
    plan_print(p.plan, true, &text);
    assert_non_null(strstr(text.data, "decode: no, nobody needs fields"));
    assert_non_null(strstr(text.data, "pass-through (same format as the source)"));
    buf_reset(&text);
    plan_dot(p.plan, &text);
    assert_non_null(strstr(text.data, "digraph"));
    buf_reset(&text);
    plan_json(p.plan, true, &text);
    assert_true(text.data[0] == '{');
    /* Every default can be shown, the core's as well as those of components and formats. */
    static const char *const words[] = {"\"memory\":",
                                        "\"retry.attempts\":\"unlimited\"",
                                        "\"format.depth\":\"128\"",
                                        "\"batch.linger\":\"0\"",
                                        "\"on_error\":\"fail\"",
                                        "\"exchange\":\"split\""};
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        assert_non_null(strstr(text.data, words[w]));
    }
    buf_free(&text);
    pipe_free(&p);
}

/* For each sink the weakest of itself and of what comes to it, and who that is. */
static void test_guarantees(void **state) {
    (void)state;
    static const struct {
        const char *text, *sink;
        delivery_kind want;
        const char *why;
    } cases[] = {
        {GEN("") "sinks:\n  out: {type: file, path: x, input: in}\n", "out", DELIVERY_EXACTLY_ONCE,
         "when the checkpoint that counts them is durable"},
        {GEN("") "sinks:\n  out: {type: stdout, input: in}\n", "out", DELIVERY_AT_LEAST_ONCE,
         "out (stdout) may be written again"},
        {"sources:\n  in: {type: stdin}\nsinks:\n  out: {type: file, path: x, input: in}\n", "out",
         DELIVERY_AT_MOST_ONCE, "in (stdin) cannot read again"},
        {"sources:\n  in: {type: stdin}\ntransforms:\n  s: {type: sample, input: in, rate: 0.5}\n"
         "sinks:\n  out: {type: file, path: x, input: s}\n",
         "out", DELIVERY_AT_MOST_ONCE, "in (stdin) cannot read again"},
        {GEN("") "sinks:\n  out: {type: file, path: x, input: in, delivery: at_least_once}\n",
         "out", DELIVERY_AT_LEAST_ONCE, "as its 'delivery' asks"},
        /* Two sources: each sink has its own, one that both feed has the weaker. */
        {"sources:\n  in: {type: generator}\n  raw: {type: stdin}\nsinks:\n"
         "  a: {type: file, path: x, input: in}\n  out: {type: file, path: y, inputs: [in, raw]}\n",
         "a", DELIVERY_EXACTLY_ONCE, "durable"},
        {"sources:\n  in: {type: generator}\n  raw: {type: stdin}\nsinks:\n"
         "  a: {type: file, path: x, input: in}\n  out: {type: file, path: y, inputs: [in, raw]}\n",
         "out", DELIVERY_AT_MOST_ONCE, "raw (stdin)"},
        /* A dead letter is no better off than the record was. */
        {"sources:\n  in: {type: stdin, format: json, on_error: {dead_letter: bad}}\nsinks:\n"
         "  out: {type: blackhole, input: in, format: json}\n  bad: {type: file, path: x}\n",
         "bad", DELIVERY_AT_MOST_ONCE, "in (stdin)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pipe_of p = pipe_load(cases[i].text);
        assert_non_null(p.plan);
        const plan_guarantee *found = NULL;
        delivery_kind weakest = DELIVERY_EXACTLY_ONCE;
        for (size_t g = 0; g < p.plan->guarantee_count; g++) {
            const plan_guarantee *at = &p.plan->guarantees[g];
            if (at->sink == pipe_node(&p, cases[i].sink)) found = at;
            if (at->delivery < weakest) weakest = at->delivery;
        }
        assert_non_null(found);
        assert_int_equal(found->delivery, cases[i].want);
        assert_non_null(strstr(found->why, cases[i].why));
        assert_int_equal(p.plan->guarantee, weakest);
        pipe_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fusing),
        cmocka_unit_test(test_not_fused),
        cmocka_unit_test(test_channels_are_pairs),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_decode_behind_exchange),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_floor_is_enough),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_meta_union),
        cmocka_unit_test(test_dead_letter_edges),
        cmocka_unit_test(test_bare_dead_letters_warn),
        cmocka_unit_test(test_guarantees),
        cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
