/*
 * sim - schedules of the delivery protocol, by number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "mutations.h"
#include "sim.h"

#define SEARCH_MOST 20000u /* seeds, until a mutation counts as not caught */

typedef struct args {
    uint64_t seed, from, count, seconds, search;
    bool one, trace, all, check, def, configurations;
    const char *mutation, *directed;
} args;

static int usage(void) {
    fprintf(
        stderr,
        "usage: sim --seed N [--mutation NAME] [--config \"KEY=VALUE ...\"] [--trace]\n"
        "       sim --from A --count N [--mutation NAME] [--config ...] [--seconds S]\n"
        "       sim --mutations [--search N] [--def]   searches a seed for each; prints a table\n"
        "       sim --check-mutations                  the recorded seeds\n");
    return 2;
}

static bool number(const char *text, uint64_t *out) {
    char *end;
    if (text == NULL || *text == '\0') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool parse(int argc, char **argv, args *a) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = true, takes = true;
        if (strcmp(word, "--seed") == 0) {
            ok = number(value, &a->seed);
            a->one = true;
        } else if (strcmp(word, "--from") == 0) {
            ok = number(value, &a->from);
        } else if (strcmp(word, "--count") == 0) {
            ok = number(value, &a->count);
        } else if (strcmp(word, "--seconds") == 0) {
            ok = number(value, &a->seconds);
        } else if (strcmp(word, "--search") == 0) {
            ok = number(value, &a->search);
        } else if (strcmp(word, "--mutation") == 0) {
            ok = value != NULL;
            a->mutation = value;
        } else if (strcmp(word, "--config") == 0) {
            ok = value != NULL;
            a->directed = value;
        } else {
            takes = false;
            if (strcmp(word, "--trace") == 0)
                a->trace = true;
            else if (strcmp(word, "--mutations") == 0)
                a->all = true;
            else if (strcmp(word, "--check-mutations") == 0)
                a->check = true;
            else if (strcmp(word, "--configurations") == 0)
                a->configurations = true;
            else if (strcmp(word, "--def") == 0)
                a->def = true;
            else
                ok = false;
        }
        if (!ok) return false;
        i += takes;
    }
    return a->one || a->all || a->check || a->configurations || a->count > 0 || a->seconds > 0;
}

/* Runs one schedule; false with its violation in `out`. */
static bool run(uint64_t seed, const char *mutation, const char *directed, bool tracing,
                char out[256], uint64_t *steps) {
    static world w; /* too large for a stack */
    if (!world_init(&w, seed, mutation, directed)) {
        fprintf(stderr, "sim: not a configuration: %s\n", directed);
        exit(2);
    }
    if (tracing) world_trace(&w);
    bool ok = sim_run(&w);
    memcpy(out, w.violation, sizeof w.violation);
    *steps += w.steps;
    world_free(&w);
    return ok;
}

static double seconds_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *directed_for(const args *a) {
    if (a->directed != NULL) return a->directed;
    const mutation_case *m = a->mutation != NULL ? mutation_find(a->mutation) : NULL;
    return m != NULL ? m->directed : "";
}

static int run_many(const args *a) {
    double began = seconds_now();
    uint64_t steps = 0, runs = 0, bad = 0;
    char why[256];
    for (uint64_t seed = a->from; a->count == 0 || seed < a->from + a->count; seed++) {
        runs++;
        if (!run(seed, a->mutation, directed_for(a), false, why, &steps)) {
            if (bad++ < 20) printf("seed %llu: %s\n", (unsigned long long)seed, why);
        }
        if (a->seconds > 0 && seconds_now() - began > (double)a->seconds) break;
    }
    double took = seconds_now() - began;
    printf("%llu schedules from %llu, %llu steps, %.1f s, %.3f ms each: %llu with a violation\n",
           (unsigned long long)runs, (unsigned long long)a->from, (unsigned long long)steps, took,
           took * 1000 / (double)runs, (unsigned long long)bad);
    return bad == 0 ? 0 : 1;
}

/* The first seed from `first` on at which the mutation is caught. */
static bool search(const mutation_case *m, uint64_t first, uint64_t most, uint64_t *seed,
                   char why[256]) {
    uint64_t steps = 0;
    for (*seed = first; *seed < first + most; ++*seed)
        if (!run(*seed, m->name, m->directed, false, why, &steps)) return true;
    return false;
}

static int search_all(const args *a) {
    int missed = 0;
    if (!a->def) {
        printf("| rule | mutation | what it does | configuration | seed | what is violated |\n");
        printf("|---|---|---|---|---|---|\n");
    }
    for (unsigned i = 0; i < mutation_count; i++) {
        const mutation_case *m = &mutations[i];
        uint64_t seed;
        char why[256];
        bool caught = search(m, 0, a->search > 0 ? a->search : SEARCH_MOST, &seed, why);
        missed += !caught;
        if (a->def) {
            printf("MUTATION(\"%s\", %s, \"%s\", \"%s\", %llu)\n", m->rule, m->name, m->what,
                   m->directed, (unsigned long long)(caught ? seed : 0));
        } else if (caught) {
            printf("| %s | `%s` | %s | %s | %llu | %s |\n", m->rule, m->name, m->what,
                   m->directed[0] != '\0' ? m->directed : "any", (unsigned long long)seed, why);
        } else {
            printf("| %s | `%s` | %s | %s | | NOT CAUGHT |\n", m->rule, m->name, m->what,
                   m->directed[0] != '\0' ? m->directed : "any");
        }
        (void)fflush(stdout);
    }
    return missed == 0 ? 0 : 1;
}

/* A recorded seed goes stale whenever a schedule runs otherwise than before, by whatever change;
 * then others must catch it. */
static int check_all(void) {
    int missed = 0;
    uint64_t steps = 0;
    for (unsigned i = 0; i < mutation_count; i++) {
        const mutation_case *m = &mutations[i];
        uint64_t seed = m->seed;
        char why[256];
        if (!run(seed, m->name, m->directed, false, why, &steps)) {
            printf("caught %s at seed %llu: %s\n", m->name, (unsigned long long)seed, why);
        } else if (search(m, 0, SEARCH_MOST, &seed, why)) {
            printf(
                "caught %s at seed %llu: %s\n  (its recorded seed %llu is stale: see README.md)\n",
                m->name, (unsigned long long)seed, why, (unsigned long long)m->seed);
        } else {
            missed++;
            printf("NOT CAUGHT %s (rule %s)\n", m->name, m->rule);
        }
    }
    return missed == 0 ? 0 : 1;
}

static int list_configurations(void) {
    for (unsigned i = 0; i < mutation_count; i++) {
        bool listed = mutations[i].directed[0] == '\0';
        for (unsigned k = 0; k < i && !listed; k++)
            listed = strcmp(mutations[i].directed, mutations[k].directed) == 0;
        if (!listed) printf("%s\n", mutations[i].directed);
    }
    return 0;
}

int main(int argc, char **argv) {
    args a = {0};
    if (!parse(argc, argv, &a)) return usage();
    (void)log_configure("off");
    if (a.all) return search_all(&a);
    if (a.check) return check_all();
    if (a.configurations) return list_configurations();
    if (!a.one) return run_many(&a);
    char why[256];
    uint64_t steps = 0;
    bool ok = run(a.seed, a.mutation, directed_for(&a), a.trace, why, &steps);
    printf("seed %llu: %s (%llu steps)\n", (unsigned long long)a.seed, ok ? "ok" : why,
           (unsigned long long)steps);
    return ok ? 0 : 1;
}
