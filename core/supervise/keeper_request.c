/*
 * Requests of the control socket: which the supervisor answers, which the worker.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervise/keeper.h"
#include "weir/json.h"

/* An answer of the supervisor's own is small. */
#define ANSWER_MAX ((size_t)64 * 1024)

static void answer_error(keeper *k, uint64_t ticket, const char *text);
static void answer_status(keeper *k, uint64_t ticket);
static void hand_on(keeper *k, uint64_t ticket, weir_str json, bool stop);
static void stop_early(keeper *k, uint64_t ticket);
static bool remember(keeper *k, uint64_t id, uint64_t ticket, bool stop);
static void answer_end(keeper *k, const keeper_request *r);

/* The worker is up and looks at requests. */
static bool worker_listens(const keeper *k) {
    return k->state == KEEPER_RUNNING && k->pid != 0 && k->why_killed[0] == '\0';
}

void keeper_on_request(void *opaque, uint64_t ticket, weir_str json) {
    keeper *k = opaque;
    weir_json_doc *doc = weir_json_read(json, 0, NULL);
    const weir_value *root = doc != NULL ? weir_json_root(doc) : NULL;
    weir_str what = root != NULL ? weir_json_get_str(root, "do", "") : STR("");
    bool stop = str_eq_z(what, "stop");
    /* With a savepoint the worker refuses it: the pipeline goes on. */
    bool named = stop && weir_json_get_str(root, "savepoint", "").len > 0;
    bool force = stop && !named && weir_json_get_bool(root, "force", 0);
    if (what.len == 0) {
        answer_error(k, ticket, "the request does not say what to do: {\\\"do\\\":\\\"status\\\"}");
    } else if (worker_listens(k)) {
        hand_on(k, ticket, json, stop);
        /* A worker that does not react to a forced stop is ended when the grace is over. */
        if (force) keeper_drain(k, clock_mono_ns(&clock_system), "a forced stop");
    } else if (str_eq_z(what, "status")) {
        answer_status(k, ticket);
    } else if (named) {
        answer_error(k, ticket,
                     "no worker runs that could take the savepoint: nothing was stopped; stop "
                     "without one, or wait until it runs");
    } else if (stop) {
        stop_early(k, ticket);
    } else {
        answer_error(k, ticket,
                     k->state == KEEPER_WAITING
                         ? "the pipeline waits for a restart: only status and stop are answered"
                     : k->why_killed[0] != '\0'
                         ? "the worker is being ended: only status and stop are answered"
                         : "the pipeline is starting: only status and stop are answered");
    }
    weir_json_free(doc);
}

void keeper_on_answer(keeper *k, weir_str line) {
    const char *space = memchr(line.ptr, ' ', line.len);
    int64_t id;
    if (space == NULL || !str_to_i64(str_make(line.ptr, (size_t)(space - line.ptr)), &id)) return;
    size_t skip = (size_t)(space + 1 - line.ptr);
    for (size_t i = 0; i < k->asked_count; i++) {
        if (k->asked[i].id != (uint64_t)id) continue;
        control_answer(k->control, k->asked[i].ticket, str_make(line.ptr + skip, line.len - skip));
        k->asked[i] = k->asked[--k->asked_count];
        return;
    }
}

void keeper_fail_requests(keeper *k) {
    size_t kept = 0;
    for (size_t i = 0; i < k->asked_count; i++) {
        keeper_request r = k->asked[i];
        if (k->state == KEEPER_ENDED) {
            answer_end(k, &r);
        } else {
            buf text;
            buf_init(&text, ANSWER_MAX);
            buf_append_z(&text, "{\"error\":");
            buf t;
            buf_init(&t, ANSWER_MAX / 8);
            buf_printf(&t, "the worker ended before it answered: %s", k->last_error);
            buf_append_json(&text, buf_ok(&t) ? buf_str(&t) : STR("the worker ended"));
            buf_free(&t);
            buf_append_char(&text, '}');
            if (buf_ok(&text)) control_answer(k->control, r.ticket, buf_str(&text));
            buf_free(&text);
        }
    }
    k->asked_count = kept;
}

/* ---- answers ---- */

static void answer_error(keeper *k, uint64_t ticket, const char *text) {
    char json[512];
    int n = snprintf(json, sizeof json, "{\"error\":\"%s\"}", text);
    control_answer(k->control, ticket, str_make(json, (size_t)n));
}

static const char *state_word(const keeper *k) {
    if (k->state == KEEPER_ENDED) return "ended";
    if (k->stopping) return "stopping";
    if (k->state == KEEPER_WAITING || k->why_killed[0] != '\0') return "restarting";
    return "starting";
}

static void append_head(keeper *k, buf *out) {
    buf_append_z(out, "{\"pipeline\":");
    buf_append_json(out, str_of(k->spec->name));
    buf_printf(out, ",\"state\":\"%s\",\"restarts\":%" PRIu64, state_word(k), k->restarts);
}

static void answer_status(keeper *k, uint64_t ticket) {
    buf out;
    buf_init(&out, ANSWER_MAX);
    append_head(k, &out);
    buf_printf(&out, ",\"supervised_us\":%" PRId64, k->supervised_us);
    if (k->pid != 0) {
        buf_printf(&out, ",\"started_us\":%" PRId64 ",\"pid\":%d", k->started_us, (int)k->pid);
    } else {
        buf_append_z(&out, ",\"pid\":null");
    }
    if (k->state == KEEPER_WAITING) {
        int64_t left = k->due_ns - clock_mono_ns(&clock_system);
        buf_printf(&out, ",\"next_start_ms\":%" PRId64, left > 0 ? left / CLOCK_NS_PER_MS : 0);
    }
    buf_append_z(&out, ",\"last_error\":");
    if (k->last_error[0] != '\0') {
        buf_append_json(&out, str_of(k->last_error));
    } else {
        buf_append_z(&out, "null");
    }
    buf_append_char(&out, '}');
    if (buf_ok(&out)) control_answer(k->control, ticket, buf_str(&out));
    buf_free(&out);
}

/* The pipeline is over: `stop` has what it wanted, others not. */
static void answer_end(keeper *k, const keeper_request *r) {
    buf out;
    buf_init(&out, ANSWER_MAX);
    append_head(k, &out);
    buf_printf(&out, ",\"exit_status\":%d", k->exit_status);
    if (k->exit_status != 0 || !r->stop) {
        buf_append_z(&out, ",\"error\":");
        const char *text = k->last_error[0] != '\0' ? k->last_error : "the pipeline has ended";
        buf_append_json(&out, str_of(k->exit_status != 0 ? text : "the pipeline has ended"));
    }
    buf_append_char(&out, '}');
    if (buf_ok(&out)) control_answer(k->control, r->ticket, buf_str(&out));
    buf_free(&out);
}

/* ---- requests ---- */

static void hand_on(keeper *k, uint64_t ticket, weir_str json, bool stop) {
    char head[48];
    uint64_t id = k->next_id++;
    int n = snprintf(head, sizeof head, "request %" PRIu64 " ", id);
    if (!remember(k, id, ticket, stop)) {
        answer_error(k, ticket, "out of memory");
    } else if (!lines_send(&k->link, str_make(head, (size_t)n), json)) {
        /* It is ending: a stop has what it asked for and is answered then. */
        if (stop) return;
        k->asked_count--;
        answer_error(k, ticket, "the worker is not reached: it is ending");
    }
}

/* `stop` while no worker could answer it: the answer comes when the pipeline has ended. */
static void stop_early(keeper *k, uint64_t ticket) {
    if (!remember(k, 0, ticket, true)) {
        answer_error(k, ticket, "out of memory");
        return;
    }
    keeper_drain(k, clock_mono_ns(&clock_system), "a stop");
}

static bool remember(keeper *k, uint64_t id, uint64_t ticket, bool stop) {
    if (k->asked_count == k->asked_cap) {
        size_t cap = k->asked_cap == 0 ? 16 : 2 * k->asked_cap;
        keeper_request *more = mem_realloc(k->asked, cap * sizeof *more);
        if (more == NULL) return false;
        k->asked = more;
        k->asked_cap = cap;
    }
    k->asked[k->asked_count++] = (keeper_request){.id = id, .ticket = ticket, .stop = stop};
    return true;
}
