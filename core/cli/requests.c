#include "cli/requests.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
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
    const char *store_at;
    runtime *rt;
    bool stop, force;
    uint64_t stoppers[STOPPERS_MAX];
    uint32_t stopper_count;
    uint64_t stop_savepoint;  /* ticket of the savepoint that the stop ends with; 0 = none */
    char savepoint_name[160]; /* its name */
    bool savepoint_made;
    weir_error *savepoint_error; /* why it did not come out */
    pthread_mutex_t lock;        /* over the outcomes */
    outcome *first;
};

requests *requests_new(worker_link *link, const plan *p, const char *store_at) {
    requests *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->link = link;
    r->plan = p;
    r->store_at = store_at;
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
    error_free(r->savepoint_error);
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

static void answer_error(requests *r, uint64_t id, const weir_error *err) {
    buf text;
    buf_init(&text, 1 << 20);
    error_format(err, &text);
    answer(r, id, false, "error", buf_str(&text));
    buf_free(&text);
}

static void answer_outcome(requests *r, const outcome *o) {
    if (o->ticket == r->stop_savepoint) { /* a stop is answered when the run has ended */
        r->savepoint_made = o->error == NULL;
        if (o->error != NULL && r->savepoint_error == NULL) {
            r->savepoint_error = error_new();
            error_copy(r->savepoint_error, o->error);
        }
    } else if (o->error != NULL) {
        answer_error(r, o->ticket, o->error);
    } else {
        char text[64];
        snprintf(text, sizeof text, "{\"ok\":true,\"epoch\":%" PRIu64 "}", o->epoch);
        link_answer(r->link, o->ticket, text);
    }
}

/* ---- requests ---- */

static void refuse(requests *r, uint64_t id, const char *text) {
    answer(r, id, false, "error", str_of(text));
}

/* Found here, a name that is taken costs nothing: later the run would end without its savepoint. */
static weir_status check_new_name(const requests *r, weir_str name, weir_error *err) {
    weir_status status = store_check_name(name, err);
    if (status != WEIR_OK) return status;
    char path[4096];
    snprintf(path, sizeof path, "%s/savepoints/%.*s.weir", r->store_at, STR_FMT(name));
    if (!os_is_file(path)) return WEIR_OK;
    error_set(err, WEIR_E_EXISTS, 0, "there is a savepoint %.*s already", STR_FMT(name));
    error_hint(err, "take another name, or delete that one first");
    return WEIR_E_EXISTS;
}

static void handle_stop(requests *r, uint64_t id, const weir_value *root, weir_error *err) {
    weir_str name = weir_json_get_str(root, "savepoint", "");
    bool force = weir_json_get_bool(root, "force", 0) != 0;
    if (name.len > 0 && force) {
        refuse(r, id, "a forced stop takes no savepoint: ask for one or the other");
        return;
    }
    if (name.len > 0 && (r->stop || runtime_draining(r->rt))) {
        refuse(r, id, "the pipeline is stopping already: too late for a savepoint");
        return;
    }
    if (name.len > 0 && check_new_name(r, name, err) != WEIR_OK) {
        answer_error(r, id, err);
        return;
    }
    if (r->stopper_count == STOPPERS_MAX) {
        refuse(r, id, "too many wait for this pipeline's end already");
        return;
    }
    if (name.len > 0) {
        r->stop_savepoint = id;
        snprintf(r->savepoint_name, sizeof r->savepoint_name, "%.*s", STR_FMT(name));
        runtime_stop_with_savepoint(r->rt, name, id);
    }
    r->stop = true;
    r->force = r->force || force;
    r->stoppers[r->stopper_count++] = id;
}

static void handle_savepoint(requests *r, uint64_t id, const weir_value *root, weir_error *err) {
    weir_str name = weir_json_get_str(root, "name", "");
    if (r->stop || runtime_draining(r->rt)) {
        refuse(r, id, "the pipeline is stopping already: too late for a savepoint");
    } else if (check_new_name(r, name, err) != WEIR_OK) {
        answer_error(r, id, err);
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
            int64_t most = weir_json_get_i64(root, "splits", INT64_MAX);
            status_json(r->rt, r->plan, link_history_of(r->link), most > 0 ? (uint64_t)most : 0,
                        &out);
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

/* To one who asked for the stop. */
static void answer_end(requests *r, uint64_t id, bool well) {
    buf out, text;
    bool savepoint = r->stop_savepoint == id;
    buf_init(&out, 1 << 20);
    buf_init(&text, 1 << 16);
    if (!well && !r->force) {
        buf_append_z(&text, "the pipeline failed while it was stopping; see its log");
    } else if (savepoint && !r->savepoint_made) {
        buf_append_z(&text, "the pipeline has stopped, but without the savepoint: ");
        if (r->savepoint_error != NULL) {
            error_format(r->savepoint_error, &text);
        } else {
            buf_append_z(&text, "see its log");
        }
    }
    bool ok = text.len == 0;
    buf_printf(&out, "{\"ok\":%s,\"epoch\":%" PRIu64 ",\"forced\":%s", ok ? "true" : "false",
               runtime_completed_epoch(r->rt), r->force ? "true" : "false");
    if (savepoint && r->savepoint_made) {
        buf_append_z(&out, ",\"savepoint\":");
        buf_append_json(&out, str_of(r->savepoint_name));
    }
    if (!ok) {
        buf_append_z(&out, ",\"error\":");
        buf_append_json(&out, buf_str(&text));
    }
    buf_append_char(&out, '}');
    link_answer(r->link, id, buf_ok(&out) ? out.data : "{\"ok\":false,\"error\":\"no memory\"}");
    buf_free(&text);
    buf_free(&out);
}

void requests_end(requests *r, bool well) {
    requests_handle(r);
    for (uint32_t k = 0; k < r->stopper_count; k++) answer_end(r, r->stoppers[k], well);
    r->stopper_count = 0;
}
