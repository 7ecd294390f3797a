#include "cli/requests.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "weir/json.h"

/* A savepoint that came out, or did not; put here by the checkpoint thread. */
typedef struct outcome {
    struct outcome *next;
    uint64_t ticket, epoch;
    weir_error *error; /* NULL = it is there */
} outcome;

/* Who waits for the end of the run. */
#define STOPPERS_MAX 64u

struct requests {
    worker_link *link;
    const plan *plan;
    runtime *rt;
    bool stop, force;
    uint64_t stoppers[STOPPERS_MAX];
    uint32_t stopper_count;
    uint64_t stop_savepoint; /* ticket of the savepoint that the stop ends with; 0 = none */
    pthread_mutex_t lock;    /* over the outcomes */
    outcome *first;
};

requests *requests_new(worker_link *link, const plan *p) {
    requests *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->link = link;
    r->plan = p;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static outcome *take_outcomes(requests *r) {
    pthread_mutex_lock(&r->lock);
    outcome *first = r->first;
    r->first = NULL;
    pthread_mutex_unlock(&r->lock);
    return first;
}

void requests_free(requests *r) {
    if (r == NULL) return;
    for (outcome *o = take_outcomes(r); o != NULL;) {
        outcome *next = o->next;
        error_free(o->error);
        free(o);
        o = next;
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void requests_attach(requests *r, runtime *rt) {
    r->rt = rt;
}

bool requests_force(const requests *r) {
    return r->force;
}

void requests_savepoint_done(void *opaque, uint64_t ticket, uint64_t epoch, const weir_error *err) {
    requests *r = opaque;
    outcome *o = calloc(1, sizeof *o);
    if (o == NULL) return; /* the asker is told when the run ends */
    o->ticket = ticket;
    o->epoch = epoch;
    if (err != NULL && error_status(err) != WEIR_OK) {
        o->error = error_new();
        error_copy(o->error, err);
    }
    pthread_mutex_lock(&r->lock);
    o->next = r->first;
    r->first = o;
    pthread_mutex_unlock(&r->lock);
    wake_signal(runtime_wake(r->rt));
}

/* ---- answers ---- */

static void answer(requests *r, uint64_t id, bool ok, const char *key, weir_str value) {
    buf out;
    buf_init(&out, 1 << 20);
    buf_printf(&out, "{\"ok\":%s,\"%s\":", ok ? "true" : "false", key);
    buf_append_json(&out, value);
    buf_append_char(&out, '}');
    link_answer(r->link, id, buf_ok(&out) ? out.data : "{\"ok\":false,\"error\":\"no memory\"}");
    buf_free(&out);
}

static void answer_outcome(requests *r, const outcome *o) {
    /* A stop is answered when the run has ended, unless its savepoint failed. */
    if (o->ticket == r->stop_savepoint && o->error == NULL) return;
    buf text;
    buf_init(&text, 1 << 20);
    if (o->error != NULL) {
        error_format(o->error, &text);
        answer(r, o->ticket, false, "error", buf_str(&text));
    } else {
        buf_printf(&text, "{\"ok\":true,\"epoch\":%llu}", (unsigned long long)o->epoch);
        link_answer(r->link, o->ticket, buf_ok(&text) ? text.data : "{\"ok\":true}");
    }
    buf_free(&text);
}

/* ---- requests ---- */

static void refuse(requests *r, uint64_t id, const char *text) {
    answer(r, id, false, "error", str_of(text));
}

static void handle_stop(requests *r, uint64_t id, const weir_value *root, weir_error *err) {
    weir_str name = weir_json_get_str(root, "savepoint", "");
    if (name.len > 0 && r->stop) {
        refuse(r, id, "the pipeline is stopping already: too late for a savepoint");
        return;
    }
    if (name.len > 0 && store_check_name(name, err) != WEIR_OK) {
        refuse(r, id, error_text(err));
        return;
    }
    if (r->stopper_count == STOPPERS_MAX) {
        refuse(r, id, "too many wait for this pipeline's end already");
        return;
    }
    if (name.len > 0) {
        r->stop_savepoint = id;
        runtime_stop_with_savepoint(r->rt, name, id);
    }
    r->stop = true;
    r->force = r->force || weir_json_get_bool(root, "force", 0) != 0;
    r->stoppers[r->stopper_count++] = id;
}

static void handle_savepoint(requests *r, uint64_t id, const weir_value *root, weir_error *err) {
    weir_str name = weir_json_get_str(root, "name", "");
    if (store_check_name(name, err) != WEIR_OK) {
        refuse(r, id, error_text(err));
    } else {
        runtime_savepoint(r->rt, name, id);
    }
}

static void handle(requests *r, const link_request *q) {
    weir_json_doc *doc = weir_json_read(str_of(q->json), 0, NULL);
    weir_error *err = error_new();
    if (doc == NULL || err == NULL) {
        refuse(r, q->id, "this is no JSON object");
    } else {
        const weir_value *root = weir_json_root(doc);
        weir_str what = weir_json_get_str(root, "do", "");
        if (str_eq(what, STR("status"))) {
            buf out;
            buf_init(&out, LINK_ANSWER_MAX);
            status_json(r->rt, r->plan, link_history_of(r->link), &out);
            if (buf_ok(&out)) {
                link_answer(r->link, q->id, out.data);
            } else {
                refuse(r, q->id, "the status is too large");
            }
            buf_free(&out);
        } else if (str_eq(what, STR("stop"))) {
            handle_stop(r, q->id, root, err);
        } else if (str_eq(what, STR("savepoint"))) {
            handle_savepoint(r, q->id, root, err);
        } else {
            refuse(r, q->id, "\"do\" is to be status, stop or savepoint");
        }
    }
    error_free(err);
    weir_json_free(doc);
}

bool requests_handle(requests *r) {
    for (link_request *q; (q = link_take(r->link)) != NULL;) {
        handle(r, q);
        link_request_free(q);
    }
    for (outcome *o = take_outcomes(r); o != NULL;) {
        outcome *next = o->next;
        answer_outcome(r, o);
        error_free(o->error);
        free(o);
        o = next;
    }
    return r->stop;
}

void requests_end(requests *r, bool well) {
    requests_handle(r);
    for (uint32_t k = 0; k < r->stopper_count; k++) {
        if (well || r->force) {
            buf out;
            buf_init(&out, 256);
            buf_printf(&out, "{\"ok\":true,\"epoch\":%llu}",
                       (unsigned long long)runtime_completed_epoch(r->rt));
            link_answer(r->link, r->stoppers[k], out.data);
            buf_free(&out);
        } else {
            refuse(r, r->stoppers[k], "the pipeline failed while it was stopping; see its log");
        }
    }
    r->stopper_count = 0;
}
