/*
 * What a pipeline promises: for each sink, the weakest of itself and of all sources whose records
 * come to it. Computed from what the plugins declare, never assumed.
 */
#include "base/str.h"
#include "runtime/plan.h"

static delivery_kind declared(const node *n) {
    weir_str word = component_note(n->component)->guarantee;
    if (str_eq(word, STR("exactly_once"))) return DELIVERY_EXACTLY_ONCE;
    if (str_eq(word, STR("at_least_once"))) return DELIVERY_AT_LEAST_ONCE;
    return DELIVERY_AT_MOST_ONCE;
}

/* The weakest member on the way from the sources to each node, dead letters included; by index.
 * NULL where no source comes from. Nodes are in topological order, and a dead-letter sink stands
 * behind those that feed it only by that edge: so until nothing changes. */
static bool spread(const pipeline *p, const node **weakest) {
    bool changed = false;
    for (size_t i = 0; i < p->node_count; i++) {
        const node *from = weakest[p->nodes[i]->index];
        if (from == NULL) continue;
        for (size_t k = 0; k <= p->nodes[i]->output_count; k++) {
            const node *to =
                k < p->nodes[i]->output_count ? p->nodes[i]->outputs[k] : p->nodes[i]->dead_letter;
            if (to == NULL) continue;
            const node **at = &weakest[to->index];
            if (*at != NULL && declared(*at) <= declared(from)) continue;
            *at = from;
            changed = true;
        }
    }
    return changed;
}

static const char *why_of(arena *memory, const node *sink, const node *member, delivery_kind d) {
    if (d == DELIVERY_EXACTLY_ONCE) {
        return "records are published when the checkpoint that counts them is durable";
    }
    if (member == sink && sink->delivery == d && declared(sink) > d) {
        return "as its 'delivery' asks";
    }
    const char *because =
        member->kind == WEIR_KIND_SOURCE
            ? (declared(member) == DELIVERY_AT_MOST_ONCE ? "cannot read again what it read"
                                                         : "may read again what it read")
            : "may be written again what a crash left unacknowledged";
    return arena_printf(memory, "%.*s (%.*s) %s", STR_FMT(member->name), STR_FMT(member->type),
                        because);
}

bool plan_guarantees(plan *p, arena *memory) {
    const pipeline *from = p->pipeline;
    const node **weakest = arena_array(memory, from->node_count + 1, sizeof *weakest);
    p->guarantees = arena_array(memory, from->node_count + 1, sizeof *p->guarantees);
    if (weakest == NULL || p->guarantees == NULL) return false;
    for (size_t i = 0; i < from->node_count; i++) {
        const node *n = from->nodes[i];
        if (n->kind == WEIR_KIND_SOURCE) weakest[n->index] = n;
    }
    while (spread(from, weakest)) {}
    p->guarantee = DELIVERY_EXACTLY_ONCE;
    for (size_t i = 0; i < from->node_count; i++) {
        const node *n = from->nodes[i];
        if (n->kind != WEIR_KIND_SINK) continue;
        delivery_kind own = declared(n);
        if (n->delivery != DELIVERY_UNSET && n->delivery < own) own = n->delivery;
        const node *member = n;
        if (weakest[n->index] != NULL && declared(weakest[n->index]) < own) {
            member = weakest[n->index];
            own = declared(member);
        }
        plan_guarantee *g = &p->guarantees[p->guarantee_count++];
        *g = (plan_guarantee){n, own, why_of(memory, n, member, own)};
        if (g->why == NULL) return false;
        if (own < p->guarantee || p->guarantee_why == NULL) {
            p->guarantee = own;
            p->guarantee_why = g->why;
        }
    }
    return true;
}
