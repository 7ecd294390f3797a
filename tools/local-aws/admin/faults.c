#include "admin/faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "weir/json.h"

#define RULES_MAX 1000u

/* One rule. `doc` holds the texts; a rule that was cleared stays until the end, since an exchange
 * may still refer to it. */
typedef struct rule {
    struct rule *next;
    const weir_value *json; /* in its set's document */
    weir_str service, operation, contains;
    char exception[128], message[512];
    unsigned status;
    int64_t skip, every, count, latency_ms, jitter_ms, retry_after_ms;
    double probability;
    bool after; /* the operation runs; only its answer is replaced */
    bool has_cut;
    int64_t cut;
    exchange_cut how;
    int64_t pace_bytes, pace_ms;
    weir_str body;
    bool has_body;
    const weir_value *records;
    char record_exception[128];
    int64_t seen, hits;
} rule;

typedef struct rule_set {
    struct rule_set *older;
    weir_json_doc *doc;
    rule *rules;
} rule_set;

struct faults {
    local *home;
    rule_set *sets; /* the newest is in force if `on` */
    bool on;
};

/* What goes with one exchange: exchange_note. */
typedef struct visit {
    local *home;
    const char *service, *operation;
    rule *rule;
    char text[128];
    exchange *x;
    server_timer *timer;
    void (*again)(void *opaque, exchange *x);
    void *opaque;
} visit;

struct faults *faults_new(local *home) {
    struct faults *f = mem_zalloc(sizeof *f);
    if (f) f->home = home;
    return f;
}

static void set_free(rule_set *s) {
    rule *next;
    for (rule *r = s->rules; r; r = next) {
        next = r->next;
        mem_free(r);
    }
    weir_json_free(s->doc);
    mem_free(s);
}

void faults_free(struct faults *f) {
    if (!f) return;
    rule_set *older;
    for (rule_set *s = f->sets; s; s = older) {
        older = s->older;
        set_free(s);
    }
    mem_free(f);
}

void faults_clear(struct faults *f) {
    f->on = false;
}

/* ---- reading rules ---- */

static bool copy_text(const weir_value *json, const char *name, char *out, size_t size) {
    weir_str s = weir_json_get_str(json, name, "");
    if (s.len >= size) return false;
    memcpy(out, s.ptr, (size_t)s.len);
    out[s.len] = 0;
    return true;
}

static bool read_cut(const weir_value *json, rule *r) {
    const weir_value *cut = weir_json_get(json, "cut");
    if (!cut) return true;
    static const struct {
        const char *word;
        exchange_cut how;
    } words[] = {{"close", EXCHANGE_CUT_CLOSE},
                 {"reset", EXCHANGE_CUT_RESET},
                 {"rst_stream", EXCHANGE_CUT_RST_STREAM},
                 {"goaway", EXCHANGE_CUT_GOAWAY},
                 {"refused", EXCHANGE_CUT_REFUSED}};
    r->has_cut = true;
    r->cut = weir_json_get_i64(cut, "at", 0);
    weir_str how = weir_json_get_str(cut, "how", "close");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!str_eq_z(how, words[i].word)) continue;
        r->how = words[i].how;
        return r->cut >= 0;
    }
    return false;
}

static const char *read_rule(const weir_value *json, rule *r) {
    static const char *const known[] = {
        "service",     "operation",      "contains",  "skip",    "every", "count",
        "probability", "status",         "exception", "message", "after", "latency_ms",
        "jitter_ms",   "retry_after_ms", "cut",       "pace",    "body",  "content_type",
        "records",     "stream",         "comment"};
    if (json->type != WEIR_V_OBJECT) return "expected an object";
    r->json = json;
    const weir_value *key = json + 1;
    for (uint32_t i = 0; i < json->size; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            found = found || str_eq_z(weir_value_str(key), known[k]);
        if (!found) return "unknown member";
        key = weir_value_next(key + 1);
    }
    r->service = weir_json_get_str(json, "service", "");
    r->operation = weir_json_get_str(json, "operation", "");
    r->contains = weir_json_get_str(json, "contains", "");
    r->skip = weir_json_get_i64(json, "skip", 0);
    r->every = weir_json_get_i64(json, "every", 1);
    r->count = weir_json_get_i64(json, "count", -1);
    r->probability = weir_json_get_f64(json, "probability", 1.0);
    r->latency_ms = weir_json_get_i64(json, "latency_ms", 0);
    r->jitter_ms = weir_json_get_i64(json, "jitter_ms", 0);
    r->retry_after_ms = weir_json_get_i64(json, "retry_after_ms", -1);
    r->after = weir_json_get_bool(json, "after", 0) != 0;
    r->status = (unsigned)weir_json_get_i64(json, "status", 0);
    if (!copy_text(json, "exception", r->exception, sizeof r->exception))
        return "exception too long";
    if (!copy_text(json, "message", r->message, sizeof r->message)) return "message too long";
    if (!read_cut(json, r))
        return "cut: expected {\"at\": N, \"how\": \"close\" or \"reset\" or "
               "\"rst_stream\" or \"goaway\" or \"refused\"}";
    const weir_value *pace = weir_json_get(json, "pace");
    if (pace) {
        r->pace_bytes = weir_json_get_i64(pace, "bytes", 1);
        r->pace_ms = weir_json_get_i64(pace, "every_ms", 0);
        if (r->pace_bytes < 1 || r->pace_bytes > INT32_MAX || r->pace_ms < 0) return "bad pace";
    }
    r->has_body = weir_json_get(json, "body") != NULL;
    r->body = weir_json_get_str(json, "body", "");
    r->records = weir_json_get(json, "records");
    if (r->records) {
        if (!copy_text(r->records, "exception", r->record_exception, sizeof r->record_exception))
            return "exception too long";
        if (!r->record_exception[0])
            snprintf(r->record_exception, sizeof r->record_exception, "InternalFailure");
    }
    if (r->exception[0] && !r->status)
        r->status = strstr(r->exception, "InternalFailure")      ? 500
                    : strstr(r->exception, "ServiceUnavailable") ? 503
                                                                 : 400;
    if (r->every < 1) return "every: expected at least 1";
    if (r->status && (r->status < 200 || r->status > 599)) return "status: expected 200 to 599";
    return NULL;
}

bool faults_read(struct faults *f, const weir_value *root, char *error, size_t error_size) {
    /* The document is written and read again, since the caller's is not kept. */
    uint64_t bound = weir_json_bound(root);
    char *text = mem_alloc((size_t)bound);
    rule_set *s = mem_zalloc(sizeof *s);
    if (text && s)
        s->doc = weir_json_read(str_make(text, (size_t)weir_json_write(root, text)), 0, NULL);
    mem_free(text);
    if (!s || !s->doc) {
        mem_free(s);
        snprintf(error, error_size, "out of memory");
        return false;
    }
    const weir_value *list = weir_json_get(weir_json_root(s->doc), "rules");
    if (!list || list->type != WEIR_V_ARRAY || list->size > RULES_MAX) {
        set_free(s);
        snprintf(error, error_size, "expected {\"rules\": [...]} with at most %u rules", RULES_MAX);
        return false;
    }
    rule **last = &s->rules;
    const weir_value *item = list + 1;
    for (uint32_t i = 0; i < list->size; i++, item = weir_value_next(item)) {
        rule *r = mem_zalloc(sizeof *r);
        const char *why = r ? read_rule(item, r) : "out of memory";
        if (why) {
            snprintf(error, error_size, "rule %u: %s", i, why);
            mem_free(r);
            set_free(s);
            return false;
        }
        *last = r;
        last = &r->next;
    }
    s->older = f->sets;
    f->sets = s;
    f->on = true;
    return true;
}

void faults_write(const struct faults *f, buf *out) {
    buf_append_z(out, "{\"rules\":[");
    const rule *first = f->on ? f->sets->rules : NULL;
    for (const rule *r = first; r; r = r->next) {
        buf_printf(out, "%s{\"matched\":%" PRId64 ",\"hits\":%" PRId64 ",\"rule\":",
                   r == first ? "" : ",", r->seen, r->hits);
        size_t bound = (size_t)weir_json_bound(r->json);
        if (buf_reserve(out, bound))
            out->len += (size_t)weir_json_write(r->json, out->data + out->len);
        buf_append_char(out, '}');
    }
    buf_append_z(out, "]}");
}

/* ---- at the door ---- */

static bool takes(struct faults *f, rule *r, const char *service, const char *operation,
                  exchange *x) {
    if (r->service.len && !str_eq_z(r->service, service)) return false;
    if (r->operation.len && !str_eq_z(r->operation, operation)) return false;
    if (r->contains.len) {
        weir_str body = exchange_request(x)->body;
        if (!body.len ||
            !memmem(body.ptr, (size_t)body.len, r->contains.ptr, (size_t)r->contains.len))
            return false;
    }
    int64_t n = r->seen++;
    if (n < r->skip || (n - r->skip) % r->every != 0) return false;
    if (r->count >= 0 && r->hits >= r->count) return false;
    if (r->probability < 1.0 &&
        (double)(local_random(f->home) >> 11) / 9007199254740992.0 >= r->probability)
        return false;
    r->hits++;
    return true;
}

static void fail(visit *v) {
    const local_service *s = local_service_named(v->home, v->service);
    rule *r = v->rule;
    exchange *x = v->x;
    if (r->retry_after_ms >= 0)
        exchange_header_f(x, "x-amz-retry-after", "%" PRId64, r->retry_after_ms);
    if (r->has_body) {
        exchange_status(x, r->status ? r->status : 200);
        exchange_header(x, "content-type",
                        weir_json_get_str(r->json, "content_type", "text/plain"));
        exchange_copy(x, r->body.ptr, (size_t)r->body.len);
        exchange_send(x);
    } else if (s && s->fail) {
        s->fail(s->state, x, r->status, r->exception[0] ? r->exception : "InternalFailure",
                r->message[0] ? r->message : "a fault rule says so");
    } else {
        exchange_status(x, r->status);
        exchange_send(x);
    }
}

static bool replaces(const rule *r) {
    return r->status != 0 || r->has_body;
}

/* Runs when an answer's head is decided: replaces it if the rule says so, counts it. */
static void at_answer(void *opaque, exchange *x) {
    visit *v = opaque;
    rule *r = v->rule;
    if (r && r->after && replaces(r)) {
        exchange_reset(x);
        exchange_status(x, r->status ? r->status : 200);
        if (r->has_body) {
            exchange_header(x, "content-type",
                            weir_json_get_str(r->json, "content_type", "text/plain"));
            exchange_copy(x, r->body.ptr, (size_t)r->body.len);
        } else {
            buf b;
            buf_init(&b, 2048);
            buf_append_z(&b, "{\"__type\":");
            buf_append_json(&b, str_of(r->exception[0] ? r->exception : "InternalFailure"));
            buf_append_z(&b, ",\"message\":");
            buf_append_json(&b, str_of(r->message));
            buf_append_char(&b, '}');
            exchange_header(x, "content-type", STR("application/x-amz-json-1.1"));
            exchange_header(x, "x-amzn-errortype",
                            str_of(r->exception[0] ? r->exception : "InternalFailure"));
            exchange_copy(x, b.data, b.len);
            buf_free(&b);
        }
    }
    if (r && r->retry_after_ms >= 0 && !replaces(r))
        exchange_header_f(x, "x-amz-retry-after", "%" PRId64, r->retry_after_ms);
    stats_count(local_stats(v->home), v->service, v->operation, exchange_answer_status(x),
                exchange_request(x)->body.len, exchange_pending(x));
}

static void visit_free(void *opaque) {
    visit *v = opaque;
    server_timer_free(v->timer);
    mem_free(v);
}

static void lost(void *opaque) {
    visit *v = opaque;
    server_timer_free(v->timer);
    v->timer = NULL;
}

static void awake(void *opaque) {
    visit *v = opaque;
    exchange *x = v->x;
    server_timer_free(v->timer);
    v->timer = NULL;
    exchange_on_close(x, NULL, NULL);
    v->again(v->opaque, x);
}

static bool decide(visit *v) {
    rule *r = v->rule;
    if (!r) return true;
    if (r->has_cut) exchange_set_cut(v->x, (uint64_t)r->cut, r->how);
    if (r->pace_bytes) exchange_set_pace(v->x, (uint32_t)r->pace_bytes, (uint32_t)r->pace_ms);
    if (!replaces(r) || r->after) return true;
    fail(v);
    return false;
}

bool faults_meet(local *home, exchange *x, const char *service, const char *operation,
                 void (*again)(void *opaque, exchange *x), void *opaque) {
    visit *v = exchange_note(x);
    if (v) return decide(v); /* it has slept */
    v = mem_zalloc(sizeof *v);
    if (!v) {
        exchange_abort(x);
        return false;
    }
    *v = (visit){.home = home,
                 .service = service,
                 .operation = operation,
                 .x = x,
                 .again = again,
                 .opaque = opaque};
    exchange_set_note(x, v, visit_free);
    exchange_on_answer(x, at_answer, v);
    struct faults *f = local_faults(home);
    for (rule *r = f->on ? f->sets->rules : NULL; r && !v->rule; r = r->next)
        if (takes(f, r, service, operation, x)) v->rule = r;
    int64_t wait = 0;
    if (v->rule) {
        wait = v->rule->latency_ms;
        if (v->rule->jitter_ms > 0)
            wait += (int64_t)(local_random(home) % (uint64_t)(v->rule->jitter_ms + 1));
    }
    if (wait <= 0) return decide(v);
    v->timer = server_timer_new(local_server(home), awake, v);
    if (!v->timer) {
        exchange_abort(x);
        return false;
    }
    exchange_on_close(x, lost, v);
    server_timer_set(v->timer, wait);
    return false;
}

const char *faults_record(exchange *x, uint32_t index) {
    visit *v = exchange_note(x);
    if (!v || !v->rule || !v->rule->records) return NULL;
    const weir_value *list = weir_json_get(v->rule->records, "indexes");
    int64_t every = weir_json_get_i64(v->rule->records, "every", 0);
    if (every > 0 && (index + 1) % every == 0) return v->rule->record_exception;
    if (!list || list->type != WEIR_V_ARRAY) return NULL;
    const weir_value *item = list + 1;
    for (uint32_t i = 0; i < list->size; i++, item = weir_value_next(item))
        if (item->type == WEIR_V_I64 && item->as.i64 == index) return v->rule->record_exception;
    return NULL;
}

int64_t faults_number(const exchange *x, const char *name, int64_t otherwise) {
    visit *v = exchange_note(x);
    if (!v || !v->rule) return otherwise;
    const weir_value *stream = weir_json_get(v->rule->json, "stream");
    return stream ? weir_json_get_i64(stream, name, otherwise) : otherwise;
}

const char *faults_text(exchange *x, const char *name, const char *otherwise) {
    visit *v = exchange_note(x);
    const weir_value *stream = v && v->rule ? weir_json_get(v->rule->json, "stream") : NULL;
    if (!stream || !weir_json_get(stream, name)) return otherwise;
    return copy_text(stream, name, v->text, sizeof v->text) ? v->text : otherwise;
}
