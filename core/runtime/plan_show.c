/*
 * The plan for people, for graphviz, and for scripts.
 */
#include <stdio.h>

#include "base/limits.h"
#include "base/str.h"
#include "runtime/plan.h"

static const char *const exchange_names[] = {"split", "round_robin", "key"};
static const char *const stage_names[] = {"source", "worker", "sink"};

static void put_size(buf *out, uint64_t bytes) {
    if (bytes >= MIB && bytes % MIB == 0) {
        buf_printf(out, "%lluMiB", (unsigned long long)(bytes / MIB));
    } else if (bytes >= MIB) {
        buf_printf(out, "%.1fMiB", (double)bytes / (double)MIB);
    } else {
        buf_printf(out, "%lluKiB", (unsigned long long)(bytes / KIB));
    }
}

static void put_component(buf *out, const node *n) {
    const note *plugin = plugin_ref_note(component_plugin(n->component));
    buf_printf(out, "%.*s (%.*s %.*s)", STR_FMT(n->type), STR_FMT(plugin->id),
               STR_FMT(plugin->version));
}

static void print_op(buf *out, const plan_op *op, unsigned depth) {
    for (size_t k = 0; k < op->op_count; k++) {
        buf_printf(out, "%*s-> %.*s: ", 4 + 2 * (int)depth, "", STR_FMT(op->ops[k]->node->name));
        put_component(out, op->ops[k]->node);
        buf_append_z(out, ", fused\n");
        print_op(out, op->ops[k], depth + 1);
    }
}

/* What a sink stage is given: records of its own inputs, dead letters of other nodes, or both. */
static bool takes(const plan_stage *s, bool dead_letters) {
    for (size_t e = 0; e < s->input_count; e++) {
        if (s->inputs[e]->dead_letters == dead_letters) return true;
    }
    return false;
}

/* With a format, dead letters are objects around the records: never the records' own bytes. */
static bool writes_envelopes(const plan_stage *s) {
    return s->node->format.serde != NULL && takes(s, true);
}

static bool passes_through(const plan_stage *s) {
    return s->encoding != SINK_ENCODE && (takes(s, false) || !writes_envelopes(s));
}

static const char envelope_why[] =
    "each letter is an object with the record, the reason and the origin";

static void print_values(buf *out, const plan_stage *s) {
    bool envelopes = writes_envelopes(s);
    if (takes(s, false) || !envelopes) {
        buf_printf(out, "    values: %s (%s)\n", passes_through(s) ? "pass-through" : "encoded",
                   s->encoding_why);
    }
    if (envelopes) buf_printf(out, "    dead letters: encoded (%s)\n", envelope_why);
}

static void print_stage(buf *out, const plan_stage *s) {
    buf_printf(out, "stage %u: %s %.*s, %u task%s\n", s->index, stage_names[s->kind],
               STR_FMT(s->node->name), s->parallelism, s->parallelism == 1 ? "" : "s");
    buf_append_z(out, "    component: ");
    put_component(out, s->node);
    buf_append_z(out, "\n");
    if (s->kind == STAGE_SOURCE) {
        buf_printf(out, "    format: %.*s\n", STR_FMT(s->node->format.type));
        if (s->decode) {
            buf_printf(out, "    decode: yes, because %s\n", s->decode_why);
        } else if (s->decode_why != NULL) {
            buf_printf(out, "    decode: behind the exchange, because %s\n", s->decode_why);
        } else {
            buf_append_z(out, "    decode: no, nobody needs fields\n");
        }
        if (s->need_time) buf_append_z(out, "    event time: filled in\n");
        for (uint32_t m = 0; m < s->meta_count; m++) {
            buf_printf(out, "%s%.*s%s", m == 0 ? "    metadata: " : ", ", (int)s->meta_len[m],
                       s->meta_ptr[m], m + 1 == s->meta_count ? "\n" : "");
        }
    }
    for (size_t e = 0; e < s->input_count; e++) {
        const plan_edge *edge = s->inputs[e];
        buf_printf(out, "    input: %.*s%s, exchange %s, %u channel%s of ",
                   STR_FMT(edge->from_node->name), edge->dead_letters ? " (dead letters)" : "",
                   exchange_names[edge->exchange], edge->from->parallelism * s->parallelism,
                   edge->from->parallelism * s->parallelism == 1 ? "" : "s");
        put_size(out, edge->channel_bytes);
        if (edge->decode_as != NULL) {
            buf_printf(out, ", decoded here as %.*s", STR_FMT(edge->decode_as->format.type));
        }
        buf_append_z(out, "\n");
    }
    if (s->kind == STAGE_SINK) {
        buf_printf(out, "    format: %.*s\n", STR_FMT(s->node->format.type));
        print_values(out, s);
    }
    print_op(out, s->root, 0);
}

/* ---- what holds: defaults of components, and the core's words as they are in effect ---- */

/* One word and its value, for people and for scripts alike. */
typedef struct words {
    buf *out;
    bool json;
    bool first;
} words;

static void put_word(words *w, const char *prefix, weir_str key, weir_str value) {
    if (w->json) {
        buf_append_z(w->out, w->first ? "" : ",");
        buf key_text;
        buf_init(&key_text, 1024);
        buf_printf(&key_text, "%s%.*s", prefix, STR_FMT(key));
        buf_append_json(w->out, buf_str(&key_text));
        buf_append_char(w->out, ':');
        buf_append_json(w->out, value);
        buf_free(&key_text);
    } else {
        buf_printf(w->out, "    %s%.*s: %.*s\n", prefix, STR_FMT(key), STR_FMT(value));
    }
    w->first = false;
}

static void put_text(words *w, const char *key, const char *value) {
    put_word(w, "", str_of(key), str_of(value));
}

static void put_number(words *w, const char *key, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_text(w, key, text);
}

/* The shortest way a manifest would write it. */
static void put_duration(words *w, const char *key, int64_t ns) {
    static const struct {
        int64_t ns;
        const char *unit;
    } units[] = {{INT64_C(3600000000000), "h"},
                 {INT64_C(60000000000), "m"},
                 {INT64_C(1000000000), "s"},
                 {INT64_C(1000000), "ms"}};
    char text[32] = "0";
    for (size_t u = 0; ns > 0 && u < sizeof units / sizeof units[0]; u++) {
        if (ns % units[u].ns != 0 && u + 1 < sizeof units / sizeof units[0]) continue;
        snprintf(text, sizeof text, "%lld%s", (long long)(ns / units[u].ns), units[u].unit);
        break;
    }
    put_text(w, key, text);
}

static void put_restart(words *w, const restart_spec *r) {
    static const char *const strategies[] = {"fixed_delay", "exponential", "none"};
    put_text(w, "restart.strategy", strategies[r->strategy]);
    if (r->strategy == RESTART_NONE) return;
    if (r->attempts == UINT64_MAX) {
        put_text(w, "restart.attempts", "unlimited");
    } else {
        put_number(w, "restart.attempts", r->attempts);
    }
    if (r->strategy == RESTART_FIXED_DELAY) put_duration(w, "restart.delay", r->delay_ns);
    if (r->strategy == RESTART_EXPONENTIAL) {
        put_duration(w, "restart.initial", r->initial_ns);
        put_duration(w, "restart.max", r->max_ns);
    }
}

static void put_settings(words *w, const settings_spec *s) {
    put_number(w, "parallelism", s->parallelism);
    put_number(w, "max_parallelism", s->max_parallelism);
    put_number(w, "memory", s->memory_bytes);
    put_duration(w, "start_timeout", s->start_timeout_ns);
    put_duration(w, "stop_timeout", s->stop_timeout_ns);
    if (s->checkpoint_interval_ns == INT64_MAX) {
        put_text(w, "checkpoint.interval", "none");
    } else {
        put_duration(w, "checkpoint.interval", s->checkpoint_interval_ns);
    }
    put_duration(w, "checkpoint.min_pause", s->checkpoint_min_pause_ns);
    put_duration(w, "checkpoint.timeout", s->checkpoint_timeout_ns);
    put_number(w, "checkpoint.retain", s->checkpoint_retain);
    put_number(w, "checkpoint.tolerable_failures", s->checkpoint_tolerable_failures);
    put_restart(w, &s->restart);
}

static void put_defaults(words *w, const char *prefix, const options *o) {
    for (size_t i = 0; i < o->count; i++) {
        const option_value *v = &o->values[i];
        if (!v->is_default) continue;
        bool secret = v->option != NULL && v->option->type == OPTION_SECRET;
        put_word(w, prefix, v->key, secret ? str_of("(secret)") : v->text);
    }
}

static void put_node(words *w, const node *n) {
    static const char *const framings[] = {"none", "lines", "length"};
    static const char *const policies[] = {"fail", "skip", "dead_letter"};
    put_defaults(w, "", &n->options);
    put_number(w, "parallelism", n->parallelism);
    put_text(w, "on_error", policies[n->on_error]);
    if (n->kind != WEIR_KIND_SOURCE) put_text(w, "exchange", exchange_names[n->exchange]);
    if (n->kind == WEIR_KIND_TRANSFORM) return;
    put_word(w, "", STR("format.type"), n->format.type);
    put_text(w, "format.framing", framings[n->format.framing]);
    put_text(w, "format.pass_through", n->format.pass_through == PASS_NEVER ? "never" : "auto");
    put_defaults(w, "format.", &n->format.options);
    if (n->retry.attempts == UINT64_MAX) {
        put_text(w, "retry.attempts", "unlimited");
    } else {
        put_number(w, "retry.attempts", n->retry.attempts);
    }
    put_duration(w, "retry.base", n->retry.base_ns);
    put_duration(w, "retry.max", n->retry.max_ns);
    put_text(w, "retry.jitter", n->retry.jitter ? "full" : "none");
    put_duration(w, "retry.timeout", n->retry.timeout_ns);
    if (n->kind != WEIR_KIND_SINK) return;
    const note_limits *limits = &component_note(n->component)->limits;
    put_number(w, "batch.records",
               n->batch.records > 0 ? n->batch.records : limits->request_records);
    put_number(w, "batch.bytes", n->batch.bytes > 0 ? n->batch.bytes : limits->request_bytes);
    put_duration(w, "batch.linger", n->batch.linger_ns);
    put_number(w, "batch.in_flight",
               n->batch.in_flight > 0 ? n->batch.in_flight : limits->in_flight);
    put_number(w, "batch.buffered", n->batch.buffered);
}

static void print_words(buf *out, const pipeline *p) {
    words w = {.out = out};
    buf_append_z(out, "defaults of components, and the core's words in effect:\n  settings:\n");
    put_settings(&w, &p->settings);
    for (size_t i = 0; i < p->node_count; i++) {
        buf_printf(out, "  %.*s:\n", STR_FMT(p->nodes[i]->name));
        put_node(&w, p->nodes[i]);
    }
}

static void json_words(buf *out, const pipeline *p) {
    words w = {.out = out, .json = true, .first = true};
    buf_append_z(out, ",\"settings\":{");
    put_settings(&w, &p->settings);
    buf_append_z(out, "},\"defaults\":[");
    for (size_t i = 0; i < p->node_count; i++) {
        buf_append_z(out, i == 0 ? "{\"node\":" : ",{\"node\":");
        buf_append_json(out, p->nodes[i]->name);
        buf_append_z(out, ",\"options\":{");
        w.first = true;
        put_node(&w, p->nodes[i]);
        buf_append_z(out, "}}");
    }
    buf_append_z(out, "]");
}

void plan_print(const plan *p, bool defaults, buf *out) {
    const pipeline *pipe = p->pipeline;
    buf_printf(out, "pipeline %.*s\n", STR_FMT(pipe->name));
    if (pipe->description.len > 0) buf_printf(out, "  %.*s\n", STR_FMT(pipe->description));
    for (size_t s = 0; s < p->stage_count; s++) print_stage(out, p->stages[s]);
    buf_printf(out, "tasks: %u, channels: %u\n", p->task_count, p->channel_count);
    buf_append_z(out, "memory: budget ");
    put_size(out, pipe->settings.memory_bytes);
    buf_append_z(out, ", guaranteed to tasks and channels ");
    put_size(out, p->floor_bytes);
    buf_append_z(out, "\ndelivery:\n");
    for (size_t g = 0; g < p->guarantee_count; g++) {
        const plan_guarantee *one = &p->guarantees[g];
        buf_printf(out, "  %.*s: %s (%s)\n", STR_FMT(one->sink->name), delivery_name(one->delivery),
                   one->why);
    }
    if (defaults) print_words(out, pipe);
}

/* ---- graphviz ---- */

static void put_dot_text(buf *out, weir_str s) {
    for (uint64_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') buf_append_char(out, '\\');
        buf_append_char(out, s.ptr[i]);
    }
}

static void dot_ops(buf *out, const plan_op *op) {
    buf_append_z(out, "    \"");
    put_dot_text(out, op->node->name);
    buf_append_z(out, "\" [label=\"");
    put_dot_text(out, op->node->name);
    buf_append_z(out, "\\n");
    put_dot_text(out, op->node->type);
    buf_append_z(out, "\"];\n");
    for (size_t k = 0; k < op->op_count; k++) dot_ops(out, op->ops[k]);
}

static void dot_inner_edges(buf *out, const plan_op *op) {
    for (size_t k = 0; k < op->op_count; k++) {
        buf_append_z(out, "  \"");
        put_dot_text(out, op->node->name);
        buf_append_z(out, "\" -> \"");
        put_dot_text(out, op->ops[k]->node->name);
        buf_append_z(out, "\" [style=bold];\n");
        dot_inner_edges(out, op->ops[k]);
    }
}

void plan_dot(const plan *p, buf *out) {
    buf_append_z(out, "digraph \"");
    put_dot_text(out, p->pipeline->name);
    buf_append_z(out, "\" {\n  rankdir=LR;\n  node [shape=box];\n");
    for (size_t s = 0; s < p->stage_count; s++) {
        const plan_stage *stage = p->stages[s];
        buf_printf(out, "  subgraph cluster_%zu {\n    label=\"%s stage, %u task%s\";\n", s,
                   stage_names[stage->kind], stage->parallelism,
                   stage->parallelism == 1 ? "" : "s");
        dot_ops(out, stage->root);
        buf_append_z(out, "  }\n");
    }
    for (size_t s = 0; s < p->stage_count; s++) dot_inner_edges(out, p->stages[s]->root);
    for (size_t e = 0; e < p->edge_count; e++) {
        const plan_edge *edge = p->edges[e];
        buf_append_z(out, "  \"");
        put_dot_text(out, edge->from_node->name);
        buf_append_z(out, "\" -> \"");
        put_dot_text(out, edge->to_node->name);
        buf_printf(out, "\" [label=\"%s\"%s];\n",
                   edge->dead_letters ? "dead letters" : exchange_names[edge->exchange],
                   edge->dead_letters ? ", style=dashed" : "");
    }
    buf_append_z(out, "}\n");
}

/* ---- JSON ---- */

static void json_member(buf *out, const char *name, weir_str value) {
    buf_printf(out, "\"%s\":", name);
    buf_append_json(out, value);
}

static void json_ops(buf *out, const plan_op *op, bool *first) {
    buf_append_z(out, *first ? "" : ",");
    *first = false;
    buf_append_json(out, op->node->name);
    for (size_t k = 0; k < op->op_count; k++) json_ops(out, op->ops[k], first);
}

void plan_json(const plan *p, bool defaults, buf *out) {
    buf_append_z(out, "{");
    json_member(out, "pipeline", p->pipeline->name);
    buf_append_z(out, ",\"stages\":[");
    for (size_t s = 0; s < p->stage_count; s++) {
        const plan_stage *stage = p->stages[s];
        buf_printf(out, "%s{\"index\":%u,\"kind\":\"%s\",\"tasks\":%u,\"nodes\":[",
                   s == 0 ? "" : ",", stage->index, stage_names[stage->kind], stage->parallelism);
        bool first = true;
        json_ops(out, stage->root, &first);
        buf_append_z(out, "],");
        json_member(out, "type", stage->node->type);
        if (stage->kind == STAGE_SOURCE) {
            buf_printf(out, ",\"decode\":%s", stage->decode ? "true" : "false");
            if (stage->decode_why != NULL) {
                buf_append_char(out, ',');
                json_member(out, "decode_why", str_of(stage->decode_why));
            }
        }
        if (stage->kind == STAGE_SINK) {
            bool envelopes = writes_envelopes(stage);
            bool letters_only = envelopes && !takes(stage, false);
            buf_printf(out, ",\"pass_through\":%s,", passes_through(stage) ? "true" : "false");
            json_member(out, "encoding_why",
                        str_of(letters_only ? envelope_why : stage->encoding_why));
            if (takes(stage, true)) {
                buf_printf(out, ",\"dead_letters\":\"%s\"", envelopes ? "object" : "value");
            }
        }
        buf_append_z(out, "}");
    }
    buf_append_z(out, "],\"edges\":[");
    for (size_t e = 0; e < p->edge_count; e++) {
        const plan_edge *edge = p->edges[e];
        buf_append_z(out, e == 0 ? "{" : ",{");
        json_member(out, "from", edge->from_node->name);
        buf_append_char(out, ',');
        json_member(out, "to", edge->to_node->name);
        buf_printf(out, ",\"exchange\":\"%s\",\"dead_letters\":%s,\"channel_bytes\":%llu}",
                   exchange_names[edge->exchange], edge->dead_letters ? "true" : "false",
                   (unsigned long long)edge->channel_bytes);
    }
    buf_printf(out,
               "],\"tasks\":%u,\"channels\":%u,\"memory_bytes\":%llu,\"floor_bytes\":%llu,"
               "\"delivery\":\"%s\",",
               p->task_count, p->channel_count,
               (unsigned long long)p->pipeline->settings.memory_bytes,
               (unsigned long long)p->floor_bytes, delivery_name(p->guarantee));
    json_member(out, "delivery_why", str_of(p->guarantee_why));
    if (defaults) json_words(out, p->pipeline);
    buf_append_z(out, "}\n");
}
