#include "manifest/graph.h"

#include "base/limits.h"
#include "base/map.h"

typedef struct graph {
    load *l;
    draft *drafts;
    size_t count;
    map *by_name; /* -> draft; the first of two of one name */
} graph;

static bool join_nodes(graph *g);
static void check_ends(graph *g);
static void order_nodes(graph *g, pipeline *out);
static void check_delivery(graph *g, const pipeline *p);

static void name_nodes(graph *g) {
    for (size_t i = 0; i < g->count; i++) {
        draft *d = &g->drafts[i];
        const draft *first = map_get(g->by_name, d->node->name);
        if (first != NULL) {
            load_error(g->l, "duplicate-node", d->node->at,
                       "sources, transforms and sinks share their names",
                       "%s has the name of the %s in line %u", d->owner,
                       node_kind(first->node->kind), first->node->at.line);
        } else if (!map_put(g->by_name, d->node->name, d)) {
            g->l->no_memory = true;
        }
    }
}

static void check_tasks(graph *g) {
    uint64_t tasks = 0;
    for (size_t i = 0; i < g->count; i++) {
        uint64_t before = tasks;
        tasks += g->drafts[i].node->parallelism;
        if (before > LIMIT_TASKS || tasks <= LIMIT_TASKS) continue;
        load_error(g->l, "too-many-tasks", g->drafts[i].node->at, "lower 'parallelism'",
                   "the nodes up to here ask for %llu tasks, at most %u are possible",
                   (unsigned long long)tasks, LIMIT_TASKS);
    }
}

void graph_build(load *l, draft *drafts, size_t count, pipeline *out) {
    graph g = {.l = l, .drafts = drafts, .count = count, .by_name = map_new()};
    if (g.by_name == NULL) {
        l->no_memory = true;
        return;
    }
    name_nodes(&g);
    if (join_nodes(&g)) {
        check_ends(&g);
        order_nodes(&g, out);
        check_tasks(&g);
        if (!l->no_memory) check_delivery(&g, out);
    }
    map_free(g.by_name);
}

/* ---- joining ---- */

/* "did you mean", out of the nodes of these kinds (bits). */
static const char *nearest_node(graph *g, weir_str name, unsigned kinds) {
    if (diags_full(g->l->out)) return NULL;
    weir_str *names = arena_array(g->l->scratch, g->count, sizeof *names);
    if (names == NULL) return NULL;
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++) {
        if ((kinds >> g->drafts[i].node->kind & 1u) != 0) names[n++] = g->drafts[i].node->name;
    }
    return load_nearest(g->l, name, names, n);
}

static bool is_repeated(const draft *d, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (str_eq(d->inputs[i].name, d->inputs[index].name)) return true;
    }
    return false;
}

/* More inputs than nodes can only repeat: what follows them is not looked at, so that a list of
 * 100,000 names costs no 100,000 squared. */
static draft *find_input(graph *g, const draft *d, size_t index) {
    load *l = g->l;
    const named *in = &d->inputs[index];
    if (index > LIMIT_NODES || is_repeated(d, index)) {
        load_error(l, "duplicate-input", in->at, NULL, "%s has the input %s twice", d->owner,
                   load_show(l, in->name));
        return NULL;
    }
    draft *found = map_get(g->by_name, in->name);
    if (found == NULL) {
        unsigned producers = 1u << WEIR_KIND_SOURCE | 1u << WEIR_KIND_TRANSFORM;
        load_error(l, "unknown-node", in->at, nearest_node(g, in->name, producers),
                   "there is no node %s for %s to read", load_show(l, in->name), d->owner);
        return NULL;
    }
    if (found->node->kind == WEIR_KIND_SINK) {
        load_error(l, "wrong-kind", in->at, NULL, "%s cannot read from a sink, %s", d->owner,
                   load_show(l, in->name));
        return NULL;
    }
    return found;
}

static void join_dead_letter(graph *g, draft *d) {
    load *l = g->l;
    if (!d->has_dead_letter) return;
    draft *found = map_get(g->by_name, d->dead_letter.name);
    if (found == NULL) {
        load_error(l, "unknown-node", d->dead_letter.at,
                   nearest_node(g, d->dead_letter.name, 1u << WEIR_KIND_SINK),
                   "there is no sink %s for the dead letters of %s",
                   load_show(l, d->dead_letter.name), d->owner);
    } else if (found->node->kind != WEIR_KIND_SINK) {
        load_error(l, "wrong-kind", d->dead_letter.at, "dead letters go to a sink",
                   "%s is a %s and cannot take dead letters", load_show(l, d->dead_letter.name),
                   node_kind(found->node->kind));
    } else {
        d->node->dead_letter = found->node;
        found->node->is_dead_letter = true;
    }
}

/* Fills inputs, outputs and dead letters. False without memory. */
static bool join_nodes(graph *g) {
    load *l = g->l;
    for (size_t i = 0; i < g->count; i++) {
        draft *d = &g->drafts[i];
        const node **inputs = load_array(l, d->input_count, sizeof *inputs);
        draft **upstream = arena_array(l->scratch, d->input_count + 1, sizeof *upstream);
        if (inputs == NULL || upstream == NULL) {
            l->no_memory = true;
            return false;
        }
        d->node->inputs = inputs;
        d->upstream = upstream;
        for (size_t k = 0; k < d->input_count; k++) {
            draft *found = find_input(g, d, k);
            if (found == NULL) continue;
            inputs[d->node->input_count++] = found->node;
            upstream[d->upstream_count++] = found;
            found->node->output_count++;
        }
        join_dead_letter(g, d);
    }
    for (size_t i = 0; i < g->count; i++) {
        node *n = g->drafts[i].node;
        n->outputs = load_array(l, n->output_count, sizeof *n->outputs);
        if (n->outputs == NULL) return false;
        n->output_count = 0;
    }
    for (size_t i = 0; i < g->count; i++) {
        for (size_t k = 0; k < g->drafts[i].upstream_count; k++) {
            node *up = g->drafts[i].upstream[k]->node;
            /* The array was made here and is not shared yet. */
            const node **outputs = (const node **)(uintptr_t)up->outputs;
            outputs[up->output_count++] = g->drafts[i].node;
        }
    }
    return true;
}

/* Every node but a source is fed, every node but a sink feeds. A name that somebody gave wrongly
 * was meant for some node, so with such an error nothing is said of nodes without a consumer. */
static void check_ends(graph *g) {
    bool wrong_names = false;
    for (size_t i = 0; i < g->count; i++) {
        const draft *d = &g->drafts[i];
        wrong_names = wrong_names || (d->has_inputs &&
                                      (d->upstream_count < d->input_count || d->input_count == 0));
        wrong_names = wrong_names || d->wrong_dead_letter ||
                      (d->has_dead_letter && d->node->dead_letter == NULL);
    }
    for (size_t i = 0; i < g->count; i++) {
        const draft *d = &g->drafts[i];
        const node *n = d->node;
        bool fed = n->kind == WEIR_KIND_SOURCE || d->has_inputs || n->is_dead_letter;
        if (!fed && !(n->kind == WEIR_KIND_SINK && wrong_names)) {
            load_error(g->l, "unreachable-node", n->at, "write input: NAME",
                       "nothing feeds %s: it has no 'input'%s", d->owner,
                       n->kind == WEIR_KIND_SINK ? " and takes no dead letters" : "");
        }
        if (n->kind != WEIR_KIND_SINK && n->output_count == 0 && !wrong_names) {
            load_error(g->l, "no-consumer", n->at,
                       "name it as the 'input' of a transform or a sink",
                       "no node reads what %s gives", d->owner);
        }
    }
}

/* ---- order and cycles ---- */

#define VISITED UINT32_MAX
#define REPORTED (UINT32_MAX - 1)

static bool waits(const draft *d) {
    return d->mark > 0 && d->mark != REPORTED;
}

/* The next draft that waits, on a way back from `d` against the data; rather none of a cycle that
 * is reported, so that a second one beside it is found. */
static draft *waiting_upstream(graph *g, const draft *d) {
    draft *reported = NULL;
    for (size_t i = 0; i < d->upstream_count; i++) {
        if (waits(d->upstream[i])) return d->upstream[i];
        if (d->upstream[i]->mark > 0) reported = d->upstream[i];
    }
    /* Only sinks stay here: who waits and sends its dead letters to this one? */
    for (size_t i = 0; i < g->count; i++) {
        draft *e = &g->drafts[i];
        if (e->node->dead_letter != d->node) continue;
        if (waits(e)) return e;
        if (e->mark > 0) reported = e;
    }
    return reported;
}

/* Walks back from a node that waits until one comes again: what lies between is a cycle. */
static void report_cycle(graph *g, draft *from) {
    draft *d = from;
    while (d != NULL && d->mark < REPORTED) {
        d->mark = VISITED;
        d = waiting_upstream(g, d);
    }
    if (d == NULL || d->mark == REPORTED) { /* led into one that is reported */
        for (size_t i = 0; i < g->count; i++) {
            if (g->drafts[i].mark == VISITED) g->drafts[i].mark = REPORTED;
        }
        return;
    }
    /* Backwards from d to d; the path is told in the direction of the data, from the node that
     * stands first in the file. */
    draft *first = d;
    size_t length = 0;
    for (draft *e = d; length == 0 || e != d; e = waiting_upstream(g, e), length++) {
        if (e->node->at.line < first->node->at.line) first = e;
    }
    const char *path = load_printf(g->l, "%.*s", STR_FMT(first->node->name));
    size_t steps = 0;
    for (draft *e = waiting_upstream(g, first);; e = waiting_upstream(g, e)) {
        path = load_printf(g->l, "%.*s -> %s", STR_FMT(e->node->name), path);
        if (e == first) break;
        if (++steps < 20) continue;
        path = load_printf(g->l, "%.*s -> ... -> %s", STR_FMT(first->node->name), path);
        break;
    }
    load_error(g->l, "cycle", first->node->at, NULL, "records would go in a circle: %s", path);
    for (size_t i = 0; i < g->count; i++) {
        if (g->drafts[i].mark == VISITED) g->drafts[i].mark = REPORTED;
    }
}

/* Kahn's algorithm over inputs and dead letters. `mark` counts what a node still waits for. */
static size_t settle(graph *g, draft **queue) {
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < g->count; i++) {
        draft *d = &g->drafts[i];
        d->mark += (uint32_t)d->upstream_count;
        if (d->node->dead_letter != NULL) g->drafts[d->node->dead_letter->index].mark++;
    }
    for (size_t i = 0; i < g->count; i++) {
        if (g->drafts[i].mark == 0) queue[tail++] = &g->drafts[i];
    }
    while (head < tail) {
        const node *n = queue[head++]->node;
        for (size_t i = 0; i <= n->output_count; i++) {
            const node *next = i < n->output_count ? n->outputs[i] : n->dead_letter;
            draft *d = next != NULL ? &g->drafts[next->index] : NULL;
            if (d != NULL && --d->mark == 0) queue[tail++] = d;
        }
    }
    return tail;
}

static void order_nodes(graph *g, pipeline *out) {
    static const uint32_t kinds[] = {WEIR_KIND_SOURCE, WEIR_KIND_TRANSFORM, WEIR_KIND_SINK};
    load *l = g->l;
    draft **queue = arena_array(l->scratch, g->count + 1, sizeof *queue);
    const node **nodes = load_array(l, g->count, sizeof *nodes);
    if (queue == NULL || nodes == NULL) {
        l->no_memory = true;
        return;
    }
    for (size_t i = 0; i < g->count; i++) g->drafts[i].node->index = (uint32_t)i;
    size_t settled = settle(g, queue);
    for (size_t i = 0; i < g->count && settled < g->count; i++) {
        draft *d = &g->drafts[i];
        if (d->mark > 0 && d->mark < REPORTED) report_cycle(g, d);
    }
    if (settled < g->count) return;
    /* Data flows from sources over transforms to sinks, so the order by kind is topological too. */
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < g->count; i++) {
            if (queue[i]->node->kind != kinds[k]) continue;
            queue[i]->node->index = (uint32_t)out->node_count;
            nodes[out->node_count++] = queue[i]->node;
        }
    }
    out->nodes = nodes;
}

/* ---- delivery ---- */

static delivery_kind strongest(const note_component *c) {
    if (str_eq(c->guarantee, STR("exactly_once"))) return DELIVERY_EXACTLY_ONCE;
    if (str_eq(c->guarantee, STR("at_least_once"))) return DELIVERY_AT_LEAST_ONCE;
    return DELIVERY_AT_MOST_ONCE;
}

static const char *delivery_text(delivery_kind d) {
    return d == DELIVERY_EXACTLY_ONCE    ? "exactly_once"
           : d == DELIVERY_AT_LEAST_ONCE ? "at_least_once"
                                         : "at_most_once";
}

static void check_member(graph *g, const draft *member, delivery_kind wanted, const draft *sink) {
    if (member->note == NULL || member->node->kind == WEIR_KIND_TRANSFORM) return;
    delivery_kind best = strongest(member->note);
    if (best >= wanted) return;
    const char *whose = member == sink ? "" : load_printf(g->l, ", which %s asks for", sink->owner);
    load_error(g->l, "delivery-unavailable", member->node->at,
               load_printf(g->l, "lower 'delivery' to %s", delivery_text(best)),
               "%s (%.*s) cannot deliver %s%s: at best %s", member->owner,
               STR_FMT(member->node->type), delivery_text(wanted), whose, delivery_text(best));
}

/* What each node owes to the most demanding sink behind it, told against the data: every source
 * whose records may come to a sink has to be as good as the sink promises to be. */
static void check_sources(graph *g, const draft *const *order) {
    const draft **owed = arena_array(g->l->scratch, g->count + 1, sizeof *owed);
    if (owed == NULL) {
        g->l->no_memory = true;
        return;
    }
    for (size_t i = g->count; i-- > 0;) {
        const node *n = order[i]->node;
        if (n->kind == WEIR_KIND_SINK && n->delivery != DELIVERY_UNSET) owed[i] = order[i];
        for (size_t k = 0; k <= n->output_count; k++) {
            const node *next = k < n->output_count ? n->outputs[k] : n->dead_letter;
            const draft *sink = next != NULL ? owed[next->index] : NULL;
            if (sink == NULL) continue;
            if (owed[i] == NULL || owed[i]->node->delivery < sink->node->delivery) owed[i] = sink;
        }
        if (n->kind == WEIR_KIND_SOURCE && owed[i] != NULL) {
            check_member(g, order[i], owed[i]->node->delivery, owed[i]);
        }
    }
}

static void check_delivery(graph *g, const pipeline *p) {
    const draft **order = arena_array(g->l->scratch, g->count + 1, sizeof *order);
    if (order == NULL) {
        g->l->no_memory = true;
        return;
    }
    for (size_t i = 0; i < g->count; i++) {
        const draft *d = &g->drafts[i];
        order[d->node->index] = d;
        bool asks = d->node->kind == WEIR_KIND_SINK && d->node->delivery != DELIVERY_UNSET;
        if (asks) check_member(g, d, d->node->delivery, d);
    }
    /* With a cycle there is no order, and no way back from a sink that ends. */
    if (p->nodes != NULL) check_sources(g, order);
}
