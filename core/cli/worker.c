#include "cli/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/requests.h"
#include "runtime/fetch.h"
#include "runtime/runtime.h"
#include "supervise/crash.h"

/* How long a lock of another process is waited for: no worker ends slower than that once killed. */
#define LOCK_WAIT_NS (2 * CLOCK_NS_PER_S)
/* How often the status line is drawn and the supervisor hears that all is well. */
#define TICK_NS (250 * CLOCK_NS_PER_MS)
/* One reference of a plugin, with the retries of its client. */
#define FETCH_NS (60 * CLOCK_NS_PER_S)

/* ---- where to begin ---- */

static uint32_t checkpoints_in(store *s, weir_error *err) {
    store_entry *entries = NULL;
    uint32_t count = 0;
    if (s != NULL && store_list(s, false, &entries, &count, err) != WEIR_OK) count = 0;
    free(entries);
    return count;
}

/* Another place without checkpoints, where the one before had some: to begin anew there without a
 * word would deliver everything again. */
static weir_status check_moved(const worker_job *job, store *s, const store_config *config,
                               arena *memory, weir_error *err) {
    const char *before = NULL;
    weir_error *why = error_new();
    /* What cannot be read any more tells nothing; it is written anew. */
    if (state_read_place(memory, job->state_folder, &before, why) != WEIR_OK) before = NULL;
    const char *old = before != NULL ? before : job->state_folder;
    const char *now = config->place != NULL ? config->place : job->state_folder;
    weir_status status = WEIR_OK;
    if (strcmp(old, now) != 0 && strcmp(job->from, "latest") == 0 && checkpoints_in(s, why) == 0) {
        store_config earlier = *config;
        earlier.place = old;
        store *there = store_open(&earlier, true, why);
        if (checkpoints_in(there, why) > 0) {
            status = error_set(err, WEIR_E_INVALID_STATE, WEIR_ERR_FATAL | WEIR_ERR_CONFIG,
                               "the checkpoints of this pipeline lie in %s, and there are none in "
                               "%s",
                               old, now);
            error_hint(err,
                       "settings.checkpoint.store was changed: copy checkpoints and savepoints "
                       "there, or begin anew with --from none");
        }
        store_close(there);
    }
    error_free(why);
    return status;
}

static store *open_store(const worker_job *job, arena *memory, weir_error *err) {
    const pipeline *p = job->loaded->pipeline;
    const store_config config = {.disk = &disk_system,
                                 .folder = job->state_folder,
                                 .place = state_place(memory, p),
                                 .pipeline = p->name,
                                 .retain = p->settings.checkpoint_retain};
    /* A worker that was killed a moment ago holds its lock until the system is done with it. */
    int64_t give_up_ns = clock_mono_ns(&clock_system) + LOCK_WAIT_NS;
    store *s = store_open(&config, false, err);
    while (s == NULL && error_status(err) == WEIR_E_EXISTS &&
           clock_mono_ns(&clock_system) < give_up_ns) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * CLOCK_NS_PER_MS}, NULL);
        error_clear(err);
        s = store_open(&config, false, err);
    }
    /* For commands that know the pipeline's name, and not its manifest. */
    if (s != NULL && (check_moved(job, s, &config, memory, err) != WEIR_OK ||
                      state_write_place(job->state_folder, config.place, err) != WEIR_OK)) {
        store_close(s);
        return NULL;
    }
    return s;
}

typedef struct beginning {
    checkpoint *from; /* NULL = a fresh start */
    bool fork;
} beginning;

static weir_status tell_repeated(const checkpoint *from, const checkpoint *newest) {
    for (uint32_t n = 0; n < from->node_count; n++) {
        const state_node *old = &from->nodes[n];
        const state_node *now = checkpoint_node(newest, old->name);
        for (uint32_t s = 0; now != NULL && s < old->split_count; s++) {
            for (uint32_t k = 0; k < now->split_count; k++) {
                if (!str_eq(now->splits[k].id, old->splits[s].id) ||
                    str_eq(now->splits[k].position, old->splits[s].position)) {
                    continue;
                }
                char was[128], is[128];
                log_write(WEIR_LOG_WARN, NULL,
                          "%.*s: split %.*s was read to position %s already and is read again from "
                          "%s: what was delivered in between stays and is delivered again",
                          STR_FMT(old->name), STR_FMT(old->splits[s].id),
                          position_text(now->splits[k].position, is),
                          position_text(old->splits[s].position, was));
            }
        }
    }
    return WEIR_OK;
}

/* Some sink is promised exactly once, whatever the others are: it would publish again what a
 * damaged checkpoint has published. */
static bool promises_exactly_once(const plan *p) {
    for (size_t i = 0; i < p->guarantee_count; i++) {
        if (p->guarantees[i].delivery == DELIVERY_EXACTLY_ONCE) return true;
    }
    return false;
}

/* `--from` holds until state of this line of runs is durable; then the newest does. */
static weir_status choose_beginning(const worker_job *job, store *s, uint32_t attempt,
                                    beginning *out, weir_error *err) {
    bool strict = promises_exactly_once(job->loaded->plan);
    bool latest =
        strcmp(job->from, "latest") == 0 || (attempt > 0 && atomic_load(&job->shared->own_state));
    *out = (beginning){0};
    if (latest) return store_newest(s, strict, &out->from, err);
    if (strcmp(job->from, "none") == 0) return WEIR_OK;
    weir_status status = store_load(s, str_of(job->from), &out->from, err);
    if (status != WEIR_OK) return status;
    checkpoint *newest = NULL;
    weir_error *why = error_new();
    if (store_newest(s, false, &newest, why) != WEIR_OK) newest = NULL;
    error_free(why);
    bool path = strchr(job->from, '/') != NULL;
    bool ours = newest != NULL && str_eq(newest->instance_id, out->from->instance_id);
    /* What came from elsewhere may still run there: nothing of it is touched. */
    out->fork = path && !ours;
    if (newest != NULL && !out->fork && newest->epoch > out->from->epoch)
        tell_repeated(out->from, newest);
    checkpoint_free(newest);
    return WEIR_OK;
}

/* ---- how it ended ---- */

/* What a restart cannot mend as long as the pipeline never ran. */
static bool hopeless(const weir_error *err) {
    return failure_is_lasting(error_status(err), error_flags(err));
}

static int tell_failure(const worker_job *job, worker_link *link, bool only_lost,
                        const weir_error *err) {
    buf text;
    buf_init(&text, 65536);
    error_format(err, &text);
    fprintf(stderr, "weir run: %.*s: error: %.*s\n", STR_FMT(job->loaded->pipeline->name),
            STR_FMT(buf_str(&text)));
    buf_append_char(&text, '\0');
    worker_outcome outcome = only_lost       ? WORKER_LOST
                             : hopeless(err) ? WORKER_CONFIG
                                             : WORKER_FAILED;
    link_failed(link, outcome, buf_ok(&text) ? text.data : error_text(err));
    buf_free(&text);
    return (error_flags(err) & WEIR_ERR_CONFIG) != 0 ? EXIT_CONFIG : EXIT_FAILED;
}

/* ---- the run ---- */

typedef struct run {
    const worker_job *job;
    worker_link *link;
    runtime *rt;
    requests *requests;
    const checkpoint *from; /* NULL = a fresh start */
    bool told_ready;
} run;

/* Until every loop has ended. Draining begins with a request of the supervisor or of an operator,
 * or when the time is over, and may take stop_timeout. */
static void follow(run *r, int64_t end_ns) {
    const settings_spec *settings = &r->job->loaded->pipeline->settings;
    int64_t give_up_ns = INT64_MAX;
    for (;;) {
        int64_t now = clock_mono_ns(&clock_system);
        if (!r->told_ready && runtime_running(r->rt)) {
            r->told_ready = true;
            link_ready(r->link);
        }
        if (runtime_healthy(r->rt)) link_beat(r->link);
        bool stop = requests_handle(r->requests);
        if ((stop || link_draining(r->link) || now >= end_ns) && !runtime_draining(r->rt)) {
            if (!link_draining(r->link)) link_stopping(r->link);
            runtime_drain(r->rt);
            give_up_ns = now + settings->stop_timeout_ns;
        }
        if (requests_force(r->requests)) {
            runtime_abandon(r->rt, WEIR_E_CANCELLED,
                            "stopped by force: what was not delivered is read again by the next "
                            "run");
        } else if (now >= give_up_ns) {
            char text[200];
            snprintf(text, sizeof text,
                     "could not deliver what was read within stop_timeout (%lld s); the rest was "
                     "not acknowledged and is read again by the next run",
                     (long long)(settings->stop_timeout_ns / CLOCK_NS_PER_S));
            runtime_abandon(r->rt, WEIR_E_TIMEOUT, text);
            give_up_ns = INT64_MAX;
        }
        int64_t until = now + TICK_NS;
        if (until > end_ns && !runtime_draining(r->rt)) until = end_ns;
        if (until > give_up_ns) until = give_up_ns;
        if (runtime_wait(r->rt, until)) return;
        if (!r->job->quiet) status_line_tick();
    }
}

/* A start that waits for its turn is alive, however long it takes. */
static bool draining(void *opaque) {
    link_beat(opaque);
    return link_draining(opaque);
}

static int64_t end_of_run(const worker_job *job) {
    if (job->for_ns <= 0) return INT64_MAX;
    int64_t end_ns = atomic_load(&job->shared->end_ns);
    if (end_ns == 0) {
        end_ns = clock_mono_ns(&clock_system) + job->for_ns;
        atomic_store(&job->shared->end_ns, end_ns);
    }
    return end_ns;
}

static weir_status run_pipeline(run *r, run_times *times, weir_error *err) {
    const worker_job *job = r->job;
    weir_status status = runtime_start(r->rt, err);
    if (status == WEIR_OK && runtime_ready_ns(r->rt) != 0) {
        if (r->from != NULL) {
            log_write(WEIR_LOG_INFO, NULL, "%.*s: restored from epoch %llu",
                      STR_FMT(job->loaded->pipeline->name), (unsigned long long)r->from->epoch);
        }
        log_write(WEIR_LOG_DEBUG, NULL, "ready after %.1f ms",
                  (double)(runtime_ready_ns(r->rt) - times->started_ns) / 1e6);
        if (!job->quiet) status_line_start(r->rt, job->loaded->plan);
        follow(r, end_of_run(job));
        if (!job->quiet) status_line_stop();
        status = runtime_finish(r->rt, err);
        if (status == WEIR_OK && !r->told_ready) link_ready(r->link);
    }
    return status;
}

/* So that a crash report can say whose code it was. */
static void name_plugins(const registry *plugins) {
    for (size_t i = 0; i < registry_plugin_count(plugins); i++) {
        const note *n = plugin_ref_note(registry_plugin(plugins, i));
        char path[4096], id[256];
        snprintf(path, sizeof path, "%.*s", STR_FMT(n->path));
        snprintf(id, sizeof id, "%.*s %.*s", STR_FMT(n->id), STR_FMT(n->version));
        crash_name_object(path, id);
    }
}

/* ---- references of plugins ---- */

/* In this process, so that the supervisor and other pipelines' workers never hold the values, and
 * anew in each worker, so that a restart sees a secret that was changed. The manifest is the one
 * that the supervisor has checked; only these values are new. */
static weir_status fetch_references(const worker_job *job, worker_link *link, loaded *fetched,
                                    weir_error *err) {
    const fetch_config config = {.plugins = job->loaded->plugins,
                                 .folder = job->fetch_folder,
                                 .timeout_ns = FETCH_NS,
                                 .interrupted = draining,
                                 .opaque = link,
                                 .thread_begins = crash_thread,
                                 .thread_ends = crash_thread_end};
    fetcher *f = fetcher_new(&config);
    if (f == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    load_fetched(job->loaded, f, fetched);
    weir_status status = WEIR_OK;
    if (fetcher_interrupted(f)) {
        status = error_set(err, WEIR_E_CANCELLED, 0,
                           "stopped before it had the values that its "
                           "manifest refers to");
    } else if (fetched->diags == NULL) {
        status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    } else if (fetched->plan == NULL) {
        diags_print(fetched->diags, stderr);
        /* Of several failures the one that lasts counts. */
        size_t errors = diags_errors(fetched->diags);
        bool may_pass = fetcher_may_pass(f) > 0 && fetcher_may_pass(f) == errors;
        status = error_set(err, may_pass ? WEIR_E_IO : WEIR_E_INVALID_ARG,
                           may_pass ? WEIR_ERR_RETRYABLE : WEIR_ERR_CONFIG | WEIR_ERR_FATAL,
                           fetcher_failed(f) > 0 ? "%zu of its references cannot be resolved"
                                                 : "%zu of its values cannot be used",
                           fetcher_failed(f) > 0 ? fetcher_failed(f) : errors);
    }
    fetcher_free(f);
    return status;
}

int worker_main(void *opaque, worker_link *link, uint32_t attempt) {
    worker_job own = *(const worker_job *)opaque;
    const worker_job *job = &own;
    loaded fetched = {.again = true};
    wake early; /* until there is a runtime to be woken */
    bool hears = false;
    weir_error *err = error_new();
    arena *memory = arena_new(1 << 20);
    run_times times = {.started_ns = attempt == 0 ? job->started_ns : clock_mono_ns(&clock_system)};
    run r = {.job = job, .link = link};
    beginning begin = {0};
    weir_status status = WEIR_OK;
    store *state = open_store(job, memory, err);
    if (state == NULL) status = error_status(err);
    /* Of a run that was killed; ours is the lock. */
    if (status == WEIR_OK) fetch_remove_folders(job->state_folder, FETCH_PREFIX);
    if (status == WEIR_OK && job->loaded->pipeline->reference_count > 0) {
        wake_init(&early);
        name_plugins(job->loaded->plugins);
        status = link_start(link, &early, err);
        hears = status == WEIR_OK;
        if (status == WEIR_OK) status = fetch_references(job, link, &fetched, err);
        own.loaded = status == WEIR_OK ? &fetched : own.loaded;
    }
    if (status == WEIR_OK) status = choose_beginning(job, state, attempt, &begin, err);
    if (status == WEIR_OK) {
        const char *elsewhere = state_place(memory, job->loaded->pipeline);
        r.requests = requests_new(link, job->loaded->plan,
                                  elsewhere != NULL ? elsewhere : job->state_folder);
        runtime_config config = {.plan = job->loaded->plan,
                                 .plugins = job->loaded->plugins,
                                 .once = job->once,
                                 .interrupted = draining,
                                 .interrupted_opaque = link,
                                 .store = state,
                                 .thread_begins = crash_thread,
                                 .thread_ends = crash_thread_end,
                                 .from = begin.from,
                                 .fork = begin.fork,
                                 .allow_non_restored = job->allow_non_restored,
                                 .attempt = attempt,
                                 .lost = &job->shared->lost,
                                 .durable = &job->shared->own_state,
                                 .answer = requests_savepoint_done,
                                 .answer_opaque = r.requests};
        r.from = begin.from;
        r.rt = r.requests != NULL ? runtime_new(&config, err) : NULL;
        if (r.rt == NULL) status = error_status(err);
    }
    if (status == WEIR_OK) {
        requests_attach(r.requests, r.rt);
        if (hears) {
            link_wakes(link, runtime_wake(r.rt));
        } else {
            status = link_start(link, runtime_wake(r.rt), err);
            name_plugins(job->loaded->plugins);
        }
        if (status == WEIR_OK) {
            status = run_pipeline(&r, &times, err);
            requests_end(r.requests, status == WEIR_OK && runtime_lost(r.rt) == 0);
        }
    }
    link_stop(link);
    times.ended_ns = clock_mono_ns(&clock_system);
    uint64_t lost = atomic_load(&job->shared->lost);
    bool only_lost = status == WEIR_OK && lost > 0;
    if (only_lost) {
        status = error_set(err, WEIR_E_DATA, WEIR_ERR_FATAL,
                           "%llu prepared pieces could not be committed any more; the log names "
                           "them",
                           (unsigned long long)lost);
    }
    int exit_status = status == WEIR_OK ? EXIT_OK : tell_failure(job, link, only_lost, err);
    const weir_error *failure = status != WEIR_OK ? err : NULL;
    if (r.rt != NULL && job->json) {
        summary_json(r.rt, job->loaded->plan, &times, failure);
    } else if (r.rt != NULL) {
        summary_print(r.rt, job->loaded->plan, &times, failure);
    }
    runtime_free(r.rt);
    requests_free(r.requests);
    checkpoint_free(begin.from);
    store_close(state);
    load_free(&fetched);
    arena_free(memory);
    error_free(err);
    return exit_status;
}
