#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "checkpoint/mutation.h"
#include "sim.h"
#include "vsink.h"

/* The world that runs: mutation.h asks without saying for whom. */
static const world *running;

/* ---- configuration ---- */

static const struct field {
    const char *name;
    size_t offset;
} fields[] = {
#define X(name) {#name, offsetof(sim_config, name)},
    CONFIG_FIELDS(X)
#undef X
};

void config_draw(world *w) {
    sim_config *c = &w->config;
    bool deep = sim_chance(w, 300);
    /* One after another: the order in which an initialiser is evaluated is the compiler's. */
    *c = (sim_config){0};
    c->sources = 1 + sim_chance(w, 200);
    c->roots = 1 + sim_below(w, 3);
    c->reshards = sim_below(w, 3);
    c->records = deep ? 4 + sim_below(w, 12) : 2 + sim_below(w, 6);
    c->late = sim_below(w, 2) * 400;
    c->list_children = sim_below(w, 2);
    c->by_key = sim_chance(w, 250);
    c->stateless = sim_chance(w, 200);
    c->keyed = sim_chance(w, 400);
    c->sink_a = 1 + sim_below(w, SINK_KINDS - 1);
    c->sink_b = sim_chance(w, 500) ? 1 + sim_below(w, SINK_KINDS - 1) : SINK_NONE;
    c->parallel = 1 + sim_below(w, 2);
    c->source_tasks = 1 + sim_below(w, 2);
    c->channel = 1 + sim_below(w, 4);
    c->interval = 10 + sim_below(w, 60);
    c->timeout = 80 + sim_below(w, 200);
    c->tolerable = sim_below(w, 3);
    c->retain = 1 + sim_below(w, 3);
    c->crashes = sim_below(w, deep ? 11 : 7);
    c->crash = (uint32_t[]){2, 5, 10, 30}[sim_below(w, 4)];
    c->crash_restore = (uint32_t[]){0, 100, 300}[sim_below(w, 3)];
    c->power = sim_below(w, 3) * 500;
    c->disk = (uint32_t[]){0, 0, 3, 15}[sim_below(w, 4)];
    c->flush = (uint32_t[]){0, 0, 50}[sim_below(w, 3)];
    c->commit = (uint32_t[]){0, 100, 300}[sim_below(w, 3)];
    c->stall = (uint32_t[]){0, 0, 2}[sim_below(w, 3)];
    c->savepoint = (uint32_t[]){0, 3, 10}[sim_below(w, 3)];
    c->stop = (uint32_t[]){0, 1, 4}[sim_below(w, 3)];
    c->fork = (uint32_t[]){0, 0, 300}[sim_below(w, 3)];
    c->keep_open = sim_chance(w, 500);
    c->link_rename = sim_chance(w, 150);
    c->down = 40;
    c->second = sim_chance(w, 100) * 5;
    c->again = 300;
    if (c->sink_a == SINK_PLAIN && c->sink_b == SINK_NONE) c->sink_b = 1 + sim_below(w, 3);
    if (c->by_key) c->source_tasks = 1;
}

bool config_set(sim_config *c, const char *text) {
    while (*text == ' ') text++;
    while (*text != '\0') {
        size_t key = strcspn(text, "= "), i = 0;
        while (i < sizeof fields / sizeof fields[0] &&
               (strlen(fields[i].name) != key || memcmp(fields[i].name, text, key) != 0))
            i++;
        if (i == sizeof fields / sizeof fields[0] || text[key] != '=') return false;
        char *end;
        unsigned long value = strtoul(text + key + 1, &end, 10);
        *(uint32_t *)(void *)((char *)c + fields[i].offset) = (uint32_t)value;
        if (end == text + key + 1 || (*end != ' ' && *end != '\0')) return false;
        text = end;
        while (*text == ' ') text++;
    }
    return true;
}

void config_print(const sim_config *c) {
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t value = *(const uint32_t *)(const void *)((const char *)c + fields[i].offset);
        printf("%s%s=%u", i > 0 ? " " : "", fields[i].name, value);
    }
    printf("\n");
}

/* ---- the records ---- */

static truth_split *add_split(world *w, uint32_t source) {
    truth_split *s = &w->splits[w->split_count];
    (void)snprintf(s->id, sizeof s->id, "s%u", w->split_count++);
    s->source = source;
    return s;
}

/* Roots, and under some of them children: one split into two, or two merged into one. Every root
 * has two keys; a child gets one of them, or all of both parents. */
static void draw_truth(world *w) {
    const sim_config *c = &w->config;
    uint32_t keys[SPLITS_MAX][8], key_count[SPLITS_MAX] = {0}, order[2 * SPLITS_MAX] = {0};
    uint32_t roots = c->roots < c->sources ? c->sources : c->roots;
    for (uint32_t i = 0; i < roots; i++) {
        truth_split *s = add_split(w, i % c->sources);
        if (i >= c->sources && sim_chance(w, c->late))
            s->visible_ns = (int64_t)sim_below(w, 400) * MS;
        keys[i][0] = 2 * i;
        keys[i][1] = 2 * i + 1;
        key_count[i] = 2;
    }
    for (uint32_t n = 0; n < c->reshards && w->split_count + 2 < SPLITS_MAX; n++) {
        uint32_t p = sim_below(w, w->split_count), q = sim_below(w, w->split_count);
        truth_split *a = &w->splits[p], *b = &w->splits[q];
        if (a->child_count > 0) continue;
        /* Who reads to the end of one parent knows the other: both are roots, or all are listed. */
        bool known = c->list_children || (a->parent_count == 0 && b->parent_count == 0);
        bool merge = p != q && known && b->child_count == 0 && a->source == b->source &&
                     key_count[p] + key_count[q] <= 8 && sim_chance(w, 400);
        for (uint32_t k = 0; k < (merge ? 1u : 2u); k++) {
            uint32_t child = w->split_count;
            truth_split *s = add_split(w, a->source);
            s->parents[s->parent_count++] = p;
            a->children[a->child_count++] = child;
            for (uint32_t j = 0; j < key_count[p]; j++) {
                if (merge || j % 2 == k) keys[child][key_count[child]++] = keys[p][j];
            }
            if (!merge) continue;
            s->parents[s->parent_count++] = q;
            b->children[b->child_count++] = child;
            for (uint32_t j = 0; j < key_count[q]; j++)
                keys[child][key_count[child]++] = keys[q][j];
        }
    }
    /* What is merged was there to be merged. */
    for (uint32_t i = w->split_count; i-- > 0;) {
        const truth_split *s = &w->splits[i];
        bool early = s->parent_count == 2 || (s->child_count > 0 && s->visible_ns < 0);
        for (uint32_t k = 0; early && k < s->parent_count; k++)
            w->splits[s->parents[k]].visible_ns = -1;
    }
    /* A split comes after its parents in the array, so that counting keys here is their order. */
    for (uint32_t i = 0; i < w->split_count; i++) {
        truth_split *s = &w->splits[i];
        s->first = w->record_count;
        s->count = 1 + sim_below(w, c->records);
        if (s->first + s->count > RECORDS_MAX) s->count = RECORDS_MAX - s->first;
        if (key_count[i] == 0) s->count = 0;
        for (uint32_t k = 0; k < s->count; k++) {
            uint32_t key = keys[i][sim_below(w, key_count[i])];
            truth_record *r = &w->records[w->record_count++];
            *r = (truth_record){.split = i, .lane = c->by_key ? key : i};
            r->order = c->by_key ? order[key]++ : k;
        }
    }
}

static void trace_truth(const world *w) {
    for (uint32_t i = 0; i < w->split_count; i++) {
        const truth_split *s = &w->splits[i];
        char parents[32] = "";
        for (uint32_t k = 0; k < s->parent_count; k++)
            (void)snprintf(parents + strlen(parents), sizeof parents - strlen(parents), " of %s",
                           w->splits[s->parents[k]].id);
        trace(w, "split %s%s: records %u to %u, seen from %lld ms", s->id, parents, s->first,
              s->first + s->count, (long long)(s->visible_ns / MS));
    }
}

/* ---- life ---- */

static int64_t mono_ns(void *self) {
    return ((const world *)self)->now;
}

static int64_t wall_us(void *self) {
    return ((const world *)self)->now / 1000 + INT64_C(1700000000000000);
}

bool world_init(world *w, uint64_t seed, const char *mutation, const char *directed) {
    *w = (world){.seed = seed,
                 .random = seed * UINT64_C(0xd1342543de82ef95) + 1,
                 .mutation = mutation,
                 .crash_in = -1,
                 .clock = {.mono_ns = mono_ns, .wall_us = wall_us}};
    w->clock.self = w;
    w->live.run = w->wanted.run = -1;
    running = w;
    config_draw(w);
    if (directed != NULL && !config_set(&w->config, directed)) return false;
    draw_truth(w);
    w->disk = vdisk_new(w);
    w->s3 = s3_new();
    w->kafka = kafka_new();
    for (uint32_t i = 0; i < SINK_NODES; i++) {
        w->delivered[i] = calloc(RECORDS_MAX, sizeof(uint32_t));
        WEIR_ASSERT(w->delivered[i] != NULL);
    }
    vsink_foreign(w);
    return true;
}

void world_free(world *w) {
    vdisk_free(w->disk);
    s3_free(w->s3);
    kafka_free(w->kafka);
    for (uint32_t i = 0; i < SINK_NODES; i++) free(w->delivered[i]);
    free(w->excused);
    running = NULL;
}

void world_trace(world *w) {
    w->trace = true;
    config_print(&w->config);
    trace_truth(w);
}

bool world_op(world *w) {
    if (w->crashed) return false;
    w->ops++;
    w->now += MS / 4;
    if (w->crash_in > 0) w->crash_in--;
    if (w->crash_in != 0) return true;
    w->crashed = true;
    return false;
}

bool mutation_on(const char *name) {
    return mutated(name);
}

bool mutated(const char *name) {
    return running != NULL && running->mutation != NULL && strcmp(running->mutation, name) == 0;
}

void violate(world *w, const char *format, ...) {
    if (w->violation[0] != '\0') return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->violation, sizeof w->violation, format, args);
    va_end(args);
    trace(w, "VIOLATION %s", w->violation);
}

void trace(const world *w, const char *format, ...) {
    if (!w->trace) return;
    va_list args;
    va_start(args, format);
    printf("%9.3f  ", (double)w->now / 1e9);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- history ---- */

bool line_covers(const world *w, line at, const written *r) {
    while (at.set && at.run >= 0) {
        if ((uint32_t)at.run == r->run) return r->epoch < at.barrier;
        at = w->parents[at.run];
    }
    return false;
}

void world_visible(world *w, const written *r, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!line_covers(w, w->live, &r[i])) {
            violate(w,
                    "early: record %u (run %u, behind epoch %llu) became visible, which no durable "
                    "checkpoint of this line covers",
                    r[i].record, r[i].run, (unsigned long long)r[i].epoch);
        }
    }
}

typedef struct excuse {
    world *w;
    line at;
} excuse;

static void excuse_one(void *opaque, uint32_t node, const written *r, uint32_t place) {
    (void)node;
    (void)place;
    const excuse *e = opaque;
    world *w = e->w;
    if (line_covers(w, e->at, r) || world_excused(w, r)) return;
    if (w->must_not_repeat) {
        violate(w,
                "repeated: record %u became visible behind the savepoint that the run ended with",
                r->record);
    }
    if (r->serial >= w->excused_cap) {
        uint32_t cap = r->serial * 2 + 64;
        w->excused = realloc(w->excused, cap);
        WEIR_ASSERT(w->excused != NULL);
        memset(w->excused + w->excused_cap, 0, cap - w->excused_cap);
        w->excused_cap = cap;
    }
    w->excused[r->serial] = 1;
}

void world_excuse(world *w, line at) {
    excuse e = {.w = w, .at = at};
    for (uint32_t n = 0; n < SINK_NODES; n++) vsink_visible(w, n, excuse_one, &e);
}

bool world_excused(const world *w, const written *r) {
    return r->serial < w->excused_cap && w->excused[r->serial] != 0;
}
