/*
 * One schedule: processes that live and die, and the operator and supervisor around them.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "pipeline.h"

#define STEPS_WILD 3000u  /* then the faults end */
#define STEPS_MOST 20000u /* then it is stuck */
#define STARTS_MOST 200u

static process *alive(const world *w) {
    return w->process[0];
}

/* ---- death ---- */

static void bury(world *w, uint32_t which) {
    process_end(w->process[which]);
    w->process[which] = NULL;
    if (which == 0) {
        w->process[0] = w->process[1];
        w->process[1] = NULL;
    }
}

/* Whoever is at work dies now; with the power everybody does. */
static void after_death(world *w, uint32_t which) {
    bool power = !w->calm && sim_chance(w, w->config.power);
    trace(w, "%s", power ? "POWER FAILURE" : "KILLED");
    if (which < 2) bury(w, which);
    while (power && w->process[0] != NULL) bury(w, 0);
    if (power) vdisk_power_failure(w->disk);
    w->crashed = false;
    w->crash_in = -1;
    w->crashes++;
    char path[128];
    if (w->config.rot > 0 && !w->rotten &&
        vdisk_last(w->disk, "/state/checkpoints", path, sizeof path)) {
        w->rotten = vdisk_flip(w->disk, path);
        (void)snprintf(w->rotten_path, sizeof w->rotten_path, "%s", path);
        trace(w, "%s is damaged", path);
    }
}

static void mend(world *w) {
    (void)vdisk_flip(w->disk, w->rotten_path);
    w->config.rot = 0;
    w->rotten = false;
    trace(w, "the damaged checkpoint comes back from a backup");
}

/* ---- the operator ---- */

static void start_from(world *w, uint32_t savepoint, bool must_not_repeat) {
    (void)snprintf(w->from, sizeof w->from, "%s", w->savepoints[savepoint].name);
    w->wanted = w->lines[w->savepoints[savepoint].epoch];
    w->must_not_repeat = must_not_repeat;
    world_excuse(w, w->wanted);
    w->must_not_repeat = false;
    trace(w, "--from %s", w->from);
}

/* Which checkpoint the next start is given. */
static void choose_start(world *w) {
    if (w->from[0] != '\0') return; /* repeated until its restore is durable */
    if (mutated("from_repeated") && w->from_before[0] != '\0') {
        (void)snprintf(w->from, sizeof w->from, "%s", w->from_before);
        return;
    }
    if (w->stop_named && sim_chance(w, 500)) {
        for (uint32_t i = 0; i < w->savepoint_count; i++) {
            if (strcmp(w->savepoints[i].name, w->stop_name) != 0) continue;
            start_from(w, i, true);
        }
    } else if (w->savepoint_count > 0 && sim_fault(w, w->config.fork)) {
        w->crashes++;
        start_from(w, sim_below(w, w->savepoint_count), false);
    }
    w->stop_named = false;
    w->stop_name[0] = '\0';
    if (w->config.leave > 0 && w->runs > 0 && sim_fault(w, 500)) {
        w->config.leave = 0;
        w->left = true;
        trace(w, "sink b leaves the manifest");
    }
}

/* The answer to a start that was refused. */
static void refused(world *w, weir_status status, const char *why) {
    if (status == WEIR_E_INCOMPATIBLE && (w->left || w->config.newer_state > 0)) {
        w->left = false;
        w->config.newer_state = 0;
        return;
    }
    if (status == WEIR_E_DATA && w->rotten) {
        mend(w);
        return;
    }
    if (w->config.disk > 0 && !w->calm) return;
    violate(w, "start: refused: %s", why);
}

static void start(world *w) {
    weir_status status;
    char why[200] = "";
    choose_start(w);
    if (!w->calm && w->crashes < w->config.crashes && sim_chance(w, w->config.crash_restore))
        w->crash_in = 1 + (int32_t)sim_below(w, 40);
    process *p = process_start(w, &status, why, sizeof why);
    if (p != NULL) {
        w->process[0] = p;
        (void)snprintf(w->from_before, sizeof w->from_before, "%s", w->from);
        w->from[0] = '\0';
        return;
    }
    if (w->crashed) {
        after_death(w, 2);
        if (mutated("from_forgotten")) w->from[0] = '\0';
        if (w->from[0] != '\0' && sim_fault(w, 200)) {
            trace(w, "somebody thinks better of --from");
            w->from[0] = '\0';
            w->wanted = (line){.set = true, .run = -1};
        }
    } else {
        refused(w, status, why);
    }
    w->now += (1 + sim_below(w, w->config.down)) * MS;
}

/* Somebody starts the pipeline a second time. */
static void start_second(world *w) {
    weir_status status;
    char why[200] = "";
    process *p = process_start(w, &status, why, sizeof why);
    if (p != NULL) {
        if (!mutated("two_owners")) violate(w, "owners: two processes run one pipeline's state");
        w->process[1] = p;
    }
}

static void operate(world *w, process *p) {
    if (p->stopping && w->now > p->grace_ns) process_fail(p, "the grace time is over");
    if (w->stop_named) p->draining = true;
    if (p->draining || p->stopping || w->process[1] != NULL) return;
    if (sim_fault(w, w->config.savepoint)) {
        char name[16];
        uint32_t ticket = ++w->tickets;
        (void)snprintf(name, sizeof name, "sp%u", ticket);
        coordinator_savepoint(p->machine, str_of(name), ticket);
    }
    if (sim_fault(w, w->config.stop)) {
        uint32_t ticket = ++w->tickets;
        bool named = sim_chance(w, 600);
        w->stop_name[0] = '\0';
        if (named) (void)snprintf(w->stop_name, sizeof w->stop_name, "sp%u", ticket);
        trace(w, "stop%s%s", named ? " with savepoint " : "", named ? w->stop_name : "");
        w->stop_named = false;
        p->stopping = true;
        p->grace_ns = w->now + 3000 * MS;
        p->draining = !mutated("checkpoint_between_savepoint_and_stop");
        coordinator_stop(p->machine, named ? str_of(w->stop_name) : STR(""), ticket);
    }
    if (sim_fault(w, w->config.second)) start_second(w);
}

/* ---- the schedule ---- */

/* False when the schedule is over. */
static bool exited(world *w, uint32_t which) {
    bool end = !w->process[which]->stopping;
    trace(w, "exit 0%s", end ? " at the end" : "");
    bury(w, which);
    while (w->process[0] != NULL) bury(w, 0);
    check_exit(w, end, false);
    if (sim_chance(w, 500)) {
        trace(w, "POWER FAILURE");
        vdisk_power_failure(w->disk);
        check_exit(w, end, true);
    }
    if (!end) return true;
    if (w->calm || w->crashes >= w->config.crashes || !sim_chance(w, w->config.again)) return false;
    w->crashes++;
    return true;
}

static void step(world *w, bool *over) {
    uint32_t which = w->process[1] != NULL ? sim_below(w, 2) : 0;
    process *p = w->process[which];
    bool may_die = !w->calm && w->crashes < w->config.crashes;
    if (may_die && w->crash_in < 0 && sim_chance(w, w->config.crash))
        w->crash_in = (int32_t)sim_below(w, 24);
    if (w->crash_in == 0) w->crashed = true;
    int64_t next_ns = INT64_MAX;
    bool moved = w->crashed || process_step(p, &next_ns);
    if (w->crashed) {
        after_death(w, which);
        w->now += (1 + sim_below(w, w->config.down)) * MS;
        return;
    }
    if (p->failed) {
        trace(w, "run %u fails: %s", p->run, p->why);
        bury(w, which);
        w->now += (1 + sim_below(w, w->config.down)) * MS;
        return;
    }
    if (p->exited) {
        *over = !exited(w, which);
        return;
    }
    if (moved) {
        w->now += (int64_t)sim_below(w, 1000) * (MS / 1000);
    } else {
        w->now = next_ns < INT64_MAX && next_ns > w->now ? next_ns : w->now + MS;
    }
    if (which == 0) operate(w, p);
}

bool sim_run(world *w) {
    bool over = false;
    uint32_t starts = 0;
    while (!over && w->violation[0] == '\0') {
        w->steps++;
        bool spent = w->crashes >= w->config.crashes;
        if (!w->calm &&
            ((spent && sim_chance(w, 3)) || w->steps > STEPS_WILD || starts > STARTS_MOST / 2)) {
            trace(w, "no more faults");
            w->calm = true;
            w->calm_ns = w->now;
            w->config.timeout += 2000; /* of later starts: a slow pipeline comes to its end */
            w->crash_in = -1;
        }
        if (w->steps > STEPS_MOST || starts > STARTS_MOST) {
            violate(w, "stuck: after %llu steps and %u starts", (unsigned long long)w->steps,
                    starts);
            break;
        }
        vsink_outside(w);
        if (alive(w) == NULL) {
            starts++;
            start(w);
        } else {
            step(w, &over);
        }
    }
    w->crashed = true; /* nothing that ends now has an effect */
    while (w->process[0] != NULL) bury(w, 0);
    return w->violation[0] == '\0';
}
