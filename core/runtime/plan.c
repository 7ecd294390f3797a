#include "runtime/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

/* Memory that is guaranteed: a source task needs the batch it reads and the one it decodes, a sink
 * task the request it fills and its encoded copy, a channel one batch of usual size. */
#define FLOOR_SOURCE (UINT64_C(1) * MIB)
#define FLOOR_WORKER (UINT64_C(512) * KIB)
#define FLOOR_SINK (UINT64_C(1) * MIB)
#define FLOOR_CHANNEL (UINT64_C(256) * KIB)
/* More than this in a channel only makes caches colder and restarts longer. */
#define CHANNEL_BYTES_MAX (UINT64_C(4) * MIB)
#define BUFFERED_BYTES_MAX (UINT64_C(16) * MIB)

typedef struct maker {
    const pipeline *pipeline;
    arena *memory;
    diags *out;
    bool failed;
    plan *plan;
    plan_op **op_of;       /* by node index: the op of sources and transforms */
    plan_stage **stage_of; /* by node index */
    bool **reaches;        /* [source or transform][node]: records of the first get to the second */
} maker;

const char *delivery_name(delivery_kind d) {
    static const char *const names[] = {"unset", "at_most_once", "at_least_once", "exactly_once"};
    return names[d];
}

static void fail(maker *m, const char *code, place at, const char *hint, const char *text) {
    m->failed = true;
    diags_add(m->out, false, code, at, hint, "%s", text);
}

static void *make_array(maker *m, size_t count, size_t size) {
    void *p = arena_array(m->memory, count + 1, size);
    if (p == NULL && !m->failed) {
        fail(m, "no-memory", (place){m->pipeline->file, 0, 0}, NULL, "out of memory for the plan");
    }
    return p;
}

/* Grows a list by one; lists are as long as nodes, so copying them costs nothing that matters. */
static void append(maker *m, void *list_ptr, size_t *count, void *item) {
    void ***list = list_ptr;
    void **longer = make_array(m, *count + 1, sizeof(void *));
    if (longer == NULL) return;
    if (*count > 0) memcpy(longer, *list, *count * sizeof(void *));
    longer[(*count)++] = item;
    *list = longer;
}

/* ---- stages ---- */

static plan_stage *new_stage(maker *m, stage_kind kind, const node *n) {
    plan_stage *s = make_array(m, 1, sizeof *s);
    plan_op *root = make_array(m, 1, sizeof *root);
    if (s == NULL || root == NULL) return NULL;
    root->node = n;
    s->kind = kind;
    s->node = n;
    s->root = root;
    s->op_count = 1;
    s->parallelism = n->parallelism;
    s->index = (uint32_t)m->plan->stage_count;
    append(m, &m->plan->stages, &m->plan->stage_count, s);
    m->stage_of[n->index] = s;
    m->op_of[n->index] = root;
    return s;
}

/* A transform runs in the stage of its only input if nothing has to move between threads for it. */
static bool fuses(const maker *m, const node *n) {
    return n->kind == WEIR_KIND_TRANSFORM && n->input_count == 1 && n->exchange == EXCHANGE_SPLIT &&
           n->parallelism == m->stage_of[n->inputs[0]->index]->parallelism;
}

static void fuse(maker *m, const node *n) {
    plan_stage *s = m->stage_of[n->inputs[0]->index];
    plan_op *parent = m->op_of[n->inputs[0]->index];
    plan_op *op = make_array(m, 1, sizeof *op);
    if (op == NULL) return;
    op->node = n;
    op->index = s->op_count++;
    append(m, &parent->ops, &parent->op_count, op);
    m->stage_of[n->index] = s;
    m->op_of[n->index] = op;
}

static plan_edge *new_edge(maker *m, plan_stage *from, const node *from_node, plan_stage *to,
                           bool dead_letters) {
    plan_edge *e = make_array(m, 1, sizeof *e);
    if (e == NULL) return NULL;
    e->from = from;
    e->to = to;
    e->from_node = from_node;
    e->to_node = to->node;
    e->dead_letters = dead_letters;
    e->exchange = dead_letters ? EXCHANGE_SPLIT : to->node->exchange;
    e->key = dead_letters ? NULL : to->node->exchange_key;
    e->index = (uint32_t)m->plan->edge_count;
    append(m, &m->plan->edges, &m->plan->edge_count, e);
    append(m, &from->outputs, &from->output_count, e);
    append(m, &to->inputs, &to->input_count, e);
    return e;
}

static void make_stages(maker *m) {
    const pipeline *p = m->pipeline;
    for (size_t i = 0; i < p->node_count && !m->failed; i++) {
        const node *n = p->nodes[i];
        if (n->kind == WEIR_KIND_SOURCE) {
            new_stage(m, STAGE_SOURCE, n);
        } else if (fuses(m, n)) {
            fuse(m, n);
        } else {
            plan_stage *s = new_stage(m, n->kind == WEIR_KIND_SINK ? STAGE_SINK : STAGE_WORKER, n);
            for (size_t k = 0; s != NULL && k < n->input_count; k++) {
                const node *from = n->inputs[k];
                plan_edge *e = new_edge(m, m->stage_of[from->index], from, s, false);
                if (e == NULL) return;
                plan_op *op = m->op_of[from->index];
                append(m, &op->edges, &op->edge_count, e);
            }
        }
    }
}

/* ---- who needs fields, times, metadata ---- */

static void walk(maker *m, const node *from, const node *n) {
    if (m->reaches[from->index][n->index]) return;
    m->reaches[from->index][n->index] = true;
    for (size_t k = 0; k < n->output_count; k++) walk(m, from, n->outputs[k]);
}

typedef struct needs {
    bool fields, time, meta;
    const node *fields_by; /* the first that needs fields */
} needs;

static void need_of_template(const template_program *t, const node *n, needs *out) {
    if (t == NULL) return;
    if (t->needs_tape && !out->fields) {
        out->fields = true;
        out->fields_by = n;
    }
    if (t->needs_time) out->time = true;
}

static needs needs_of(const node *n) {
    needs out = {0};
    if (n->kind == WEIR_KIND_TRANSFORM && component_note(n->component)->needs_tape) {
        out.fields = true;
        out.fields_by = n;
    }
    need_of_template(n->exchange_key, n, &out);
    for (size_t o = 0; o < n->options.count; o++) {
        const option_value *v = &n->options.values[o];
        need_of_template(v->tmpl, n, &out);
        for (size_t e = 0; v->entry_tmpls != NULL && e < v->entry_count; e++) {
            need_of_template(v->entry_tmpls[e], n, &out);
        }
    }
    return out;
}

static bool same_text(const option_value *a, const option_value *b) {
    if (a == NULL || b == NULL) return a == b;
    return str_eq(a->text, b->text);
}

/* Two formats agree on the wire: bytes of one can be handed on as the other. */
static bool same_wire(const format_spec *a, const format_spec *b) {
    if (!str_eq(a->type, b->type)) return false;
    for (size_t i = 0; i < a->options.count; i++) {
        const option_value *v = &a->options.values[i];
        if (v->option == NULL || !v->option->wire) continue;
        if (!same_text(v, options_get(&b->options, v->key))) return false;
    }
    for (size_t i = 0; i < b->options.count; i++) {
        const option_value *v = &b->options.values[i];
        if (v->option == NULL || !v->option->wire) continue;
        if (!same_text(v, options_get(&a->options, v->key))) return false;
    }
    return true;
}

static const char *say(maker *m, const char *format, weir_str a, weir_str b) {
    buf text;
    buf_init(&text, 4096);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    buf_printf(&text, format, STR_FMT(a), STR_FMT(b));
#pragma GCC diagnostic pop
    const char *kept = arena_str(m->memory, buf_str(&text)).ptr;
    buf_free(&text);
    return kept != NULL ? kept : "";
}

/* What a sink stage does with values, judged over all sources that reach it. */
static void choose_encoding(maker *m, plan_stage *s) {
    const pipeline *p = m->pipeline;
    const node *sink = s->node;
    s->encoding = sink->format.serde == NULL ? SINK_PASS_THROUGH : SINK_ENCODE_IF_CHANGED;
    s->encoding_why = sink->format.serde == NULL ? "format raw writes the bytes as they are"
                                                 : "same format as the source";
    for (size_t i = 0; i < p->node_count; i++) {
        const node *source = p->nodes[i];
        if (source->kind != WEIR_KIND_SOURCE || !m->reaches[i][sink->index]) continue;
        if (sink->format.serde == NULL) continue;
        if (source->format.serde == NULL) {
            fail(m, "format-mismatch", sink->format.at,
                 say(m, "give source %.*s a format, or leave the format of sink %.*s away",
                     source->name, sink->name),
                 say(m, "sink %.*s encodes records, but those of source %.*s are raw bytes",
                     sink->name, source->name));
            return;
        }
        if (sink->format.pass_through == PASS_NEVER || source->format.pass_through == PASS_NEVER) {
            s->encoding = SINK_ENCODE;
            s->encoding_why = "pass_through: never";
        } else if (!same_wire(&source->format, &sink->format)) {
            s->encoding = SINK_ENCODE;
            s->encoding_why = say(m, "format of source %.*s differs from that of sink %.*s",
                                  source->name, sink->name);
        }
    }
}

/* The metadata names that the parts of a template read; `names` may be NULL to count them only. */
static size_t meta_of_template(const template_program *t, weir_str *names) {
    size_t count = 0;
    for (size_t k = 0; t != NULL && k < t->count; k++) {
        const template_part *part = &t->parts[k];
        bool header = part->kind == PART_HEADER && str_starts(part->text, STR("weir."));
        if (!header && part->kind != PART_POSITION) continue;
        if (names != NULL) names[count] = header ? part->text : STR(WEIR_META_POSITION);
        count++;
    }
    return count;
}

/* All metadata that a node reads: its component, its exchange key, its templates. */
static size_t meta_of_node(const node *n, weir_str *names) {
    const note_component *described = component_note(n->component);
    size_t count = 0;
    for (size_t k = 0; k < described->needs_meta_count; k++, count++) {
        if (names != NULL) names[count] = described->needs_meta[k];
    }
    count += meta_of_template(n->exchange_key, names != NULL ? names + count : NULL);
    for (size_t o = 0; o < n->options.count; o++) {
        const option_value *v = &n->options.values[o];
        count += meta_of_template(v->tmpl, names != NULL ? names + count : NULL);
        for (size_t e = 0; v->entry_tmpls != NULL && e < v->entry_count; e++) {
            count += meta_of_template(v->entry_tmpls[e], names != NULL ? names + count : NULL);
        }
    }
    return count;
}

/* Decoding, times and metadata of one source. */
static void choose_decoding(maker *m, plan_stage *s) {
    const pipeline *p = m->pipeline;
    const node *source = s->node;
    const char *why = NULL;
    const node *by = NULL;
    bool meta_position = source->on_error == ON_ERROR_DEAD_LETTER;
    bool key_fields = false;
    if (source->format.serde != NULL && source->format.pass_through == PASS_NEVER) {
        why = "pass_through: never";
        by = source;
    } else if (source->event_time.field.len > 0) {
        why = "event_time.field reads a field";
        by = source;
    }
    if (source->event_time.given) s->need_time = true;
    for (size_t i = 0; i < p->node_count; i++) {
        const node *n = p->nodes[i];
        if (n == source || !m->reaches[source->index][i]) continue;
        needs need = needs_of(n);
        if (need.time) s->need_time = true;
        if (n->on_error == ON_ERROR_DEAD_LETTER) meta_position = true;
        if (n->exchange_key != NULL && n->exchange_key->needs_tape) key_fields = true;
        if (need.fields && why == NULL) {
            why = say(m, "%.*s reads fields%.*s", n->name, str_of(""));
            by = n;
        }
        if (n->kind == WEIR_KIND_SINK && m->stage_of[i]->encoding == SINK_ENCODE && why == NULL) {
            why = say(m, "sink %.*s encodes: %.*s", n->name, str_of(m->stage_of[i]->encoding_why));
            by = n;
        }
    }
    if (why != NULL && source->format.serde == NULL) {
        fail(m, "needs-format", by->at,
             say(m, "set the format of source %.*s, for instance format: json%.*s", source->name,
                 str_of("")),
             say(m, "%.*s, but source %.*s gives raw bytes", str_of(why), source->name));
        return;
    }
    /* Behind exchanges that spread records anyway, decoding moves with them, so that it can use
     * more threads than there are splits. */
    bool behind = why != NULL && s->root->op_count == 0 && s->root->edge_count > 0 &&
                  source->event_time.field.len == 0 && !key_fields;
    for (size_t e = 0; e < s->root->edge_count; e++) {
        if (s->root->edges[e]->exchange == EXCHANGE_SPLIT) behind = false;
    }
    if (behind) {
        for (size_t e = 0; e < s->root->edge_count; e++) s->root->edges[e]->decode_as = source;
    } else {
        s->decode = why != NULL;
    }
    s->decode_why = why;

    size_t most = 2;
    for (size_t i = 0; i < p->node_count; i++) {
        if (m->reaches[source->index][i]) {
            most += meta_of_node(p->nodes[i], NULL);
        }
    }
    weir_str *names = make_array(m, most, sizeof *names);
    const char **ptrs = make_array(m, most, sizeof *ptrs);
    uint32_t *lens = make_array(m, most, sizeof *lens);
    if (names == NULL || ptrs == NULL || lens == NULL) return;
    size_t count = 0;
    if (meta_position) {
        names[count++] = STR(WEIR_META_POSITION);
        names[count++] = STR(WEIR_META_STREAM);
    }
    for (size_t i = 0; i < p->node_count; i++) {
        if (!m->reaches[source->index][i]) continue;
        count += meta_of_node(p->nodes[i], names + count);
    }
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < s->meta_count; k++) {
            if (str_eq(names[i], str_make(ptrs[k], lens[k]))) seen = true;
        }
        if (seen) continue;
        ptrs[s->meta_count] = names[i].ptr;
        lens[s->meta_count++] = (uint32_t)names[i].len;
    }
    s->meta_ptr = ptrs;
    s->meta_len = lens;
}

/* ---- state by key ---- */

/* A text that differs each time it is asked for: the exchange and the transform behind it would not
 * agree about the key. */
static bool unstable(const template_program *t) {
    for (size_t k = 0; k < t->count; k++) {
        part_kind kind = t->parts[k].kind;
        if (kind == PART_NOW || kind == PART_UUID || kind == PART_RANDOM) return true;
    }
    return false;
}

static void check_keyed(maker *m, const node *n) {
    if (n->kind != WEIR_KIND_TRANSFORM) return;
    if ((component_note(n->component)->capabilities & WEIR_CAP_KEYED) == 0) return;
    if (n->exchange != EXCHANGE_KEY) {
        fail(
            m, "needs-key", n->at,
            say(m, "give %.*s an exchange, as in exchange: {key: ${key}}%.*s", n->name, str_of("")),
            say(m, "%.*s (%.*s) works on one key at a time, and no key is given", n->name,
                n->type));
    } else if (unstable(n->exchange_key)) {
        fail(m, "unstable-key", n->at,
             "use what stays with the record: ${key}, ${.field}, ${header:NAME}",
             say(m, "the key of %.*s, \"%.*s\", is another one each time it is read", n->name,
                 n->exchange_key->source));
    }
}

/* ---- dead letters ---- */

static void add_dead_letters(maker *m, plan_stage *s, const node *n) {
    if (n->on_error != ON_ERROR_DEAD_LETTER) return;
    for (size_t o = 0; o < s->output_count; o++) {
        if (s->outputs[o]->dead_letters && s->outputs[o]->from_node == n) return;
    }
    new_edge(m, s, n, m->stage_of[n->dead_letter->index], true);
}

static void make_dead_letter_edges(maker *m) {
    for (size_t i = 0; i < m->pipeline->node_count && !m->failed; i++) {
        add_dead_letters(m, m->stage_of[i], m->pipeline->nodes[i]);
    }
    /* A source's records may also fail where they are decoded behind an exchange. */
    size_t count = m->plan->edge_count;
    for (size_t e = 0; e < count && !m->failed; e++) {
        plan_edge *edge = m->plan->edges[e];
        if (edge->decode_as != NULL) add_dead_letters(m, edge->to, edge->decode_as);
    }
}

/* Without a format the sink gets the value alone: key, headers, origin and reason are headers,
 * which most sinks cannot keep. */
static void warn_of_bare_letters(maker *m) {
    for (size_t i = 0; i < m->pipeline->node_count; i++) {
        const node *n = m->pipeline->nodes[i];
        if (!n->is_dead_letter || n->format.serde != NULL ||
            component_note(n->component)->needs_headers) {
            continue;
        }
        diags_add(m->out, true, "bare-dead-letters", n->at,
                  say(m, "give %.*s a format, as in format: json%.*s", n->name, str_of("")),
                  "dead letters of '%.*s' keep the value only: without a format the reason and the "
                  "origin are not written",
                  STR_FMT(n->name));
    }
}

/* ---- memory and threads ---- */

static void share_memory(maker *m) {
    plan *p = m->plan;
    uint64_t budget = m->pipeline->settings.memory_bytes;
    uint64_t floors = 0, sinks = 0;
    uint64_t tasks = 0, channels = 0;
    for (size_t s = 0; s < p->stage_count; s++) {
        plan_stage *stage = p->stages[s];
        stage->floor_bytes = stage->kind == STAGE_SOURCE ? FLOOR_SOURCE
                             : stage->kind == STAGE_SINK ? FLOOR_SINK
                                                         : FLOOR_WORKER;
        floors += stage->floor_bytes * stage->parallelism;
        tasks += stage->parallelism;
        if (stage->kind == STAGE_SINK) sinks += stage->parallelism;
    }
    for (size_t e = 0; e < p->edge_count; e++) {
        channels += (uint64_t)p->edges[e]->from->parallelism * p->edges[e]->to->parallelism;
    }
    floors += channels * FLOOR_CHANNEL;
    p->floor_bytes = floors;
    if (tasks > LIMIT_TASKS || channels > UINT32_MAX / 2) {
        fail(m, "too-many-tasks", (place){m->pipeline->file, 0, 0}, "lower parallelism",
             "the pipeline needs more threads than one process may have");
        return;
    }
    p->task_count = (uint32_t)tasks;
    p->channel_count = (uint32_t)channels;
    if (floors > budget) {
        char text[160], hint[160];
        snprintf(
            text, sizeof text,
            "settings.memory is %llu KiB, but the pipeline's tasks and channels are guaranteed "
            "%llu KiB",
            (unsigned long long)(budget / KIB), (unsigned long long)(floors / KIB));
        snprintf(hint, sizeof hint, "set settings.memory to %lluMiB or more, or lower parallelism",
                 (unsigned long long)((floors + MIB - 1) / MIB));
        fail(m, "memory-floor", (place){m->pipeline->file, 0, 0},
             arena_str(m->memory, str_of(hint)).ptr, text);
        return;
    }
    /* Half of what is not guaranteed goes to channels, a quarter to the queues of sinks; the rest
     * is for what one poll brings beyond its room, and for decoding and encoding. */
    uint64_t rest = budget - floors;
    for (size_t e = 0; e < p->edge_count; e++) {
        uint64_t bytes = FLOOR_CHANNEL + rest / 2 / (channels > 0 ? channels : 1);
        p->edges[e]->channel_bytes = bytes < CHANNEL_BYTES_MAX ? bytes : CHANNEL_BYTES_MAX;
    }
    for (size_t s = 0; s < p->stage_count; s++) {
        uint64_t bytes = FLOOR_SINK / 2 + rest / 4 / (sinks > 0 ? sinks : 1);
        p->stages[s]->buffered_bytes = bytes < BUFFERED_BYTES_MAX ? bytes : BUFFERED_BYTES_MAX;
    }
}

const plan *plan_make(const pipeline *p, arena *memory, diags *out) {
    maker m = {.pipeline = p, .memory = memory, .out = out};
    size_t n = p->node_count;
    m.plan = make_array(&m, 1, sizeof *m.plan);
    m.op_of = make_array(&m, n, sizeof(plan_op *));
    m.stage_of = make_array(&m, n, sizeof(plan_stage *));
    m.reaches = make_array(&m, n, sizeof(bool *));
    if (m.failed) return NULL;
    m.plan->pipeline = p;
    for (size_t i = 0; i < n; i++) {
        m.reaches[i] = make_array(&m, n, sizeof(bool));
        if (m.failed) return NULL;
    }
    for (size_t i = 0; i < n; i++) walk(&m, p->nodes[i], p->nodes[i]);
    for (size_t i = 0; i < n && !m.failed; i++) check_keyed(&m, p->nodes[i]);
    if (!m.failed) make_stages(&m);
    for (size_t s = 0; s < m.plan->stage_count && !m.failed; s++) {
        if (m.plan->stages[s]->kind == STAGE_SINK) choose_encoding(&m, m.plan->stages[s]);
    }
    for (size_t s = 0; s < m.plan->stage_count && !m.failed; s++) {
        if (m.plan->stages[s]->kind == STAGE_SOURCE) choose_decoding(&m, m.plan->stages[s]);
    }
    if (!m.failed) warn_of_bare_letters(&m);
    if (!m.failed) make_dead_letter_edges(&m);
    if (!m.failed) share_memory(&m);
    if (m.failed) return NULL;
    return plan_guarantees(m.plan, memory) ? m.plan : NULL;
}
