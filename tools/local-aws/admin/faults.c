#include "admin/faults.h"

#include <inttypes.h>
#include <string.h>

#include "admin/journal.h"
#include "admin/reshape.h"
#include "admin/rules.h"
#include "aws/verify.h"
#include "base/mem.h"
#include "base/str.h"
#include "weir/json.h"

/* A set that was replaced stays until the end, since an exchange may still refer to its rules. */

struct faults {
    local *home;
    rule_set *sets; /* the newest is in force if `on` */
    bool on;
    struct journal *journal;
};

/* What goes with one exchange: exchange_note. */
typedef struct visit {
    local *home;
    const char *service, *operation;
    rule *rule;
    char text[RULES_NAME];
    uint64_t entry; /* in the journal */
    bool replaced;  /* the rule's answer stands for the service's */
    exchange *x;
    server_timer *timer;
    void (*again)(void *opaque, exchange *x);
    void *opaque;
} visit;

struct faults *faults_new(local *home) {
    struct faults *f = mem_zalloc(sizeof *f);
    if (!f) return NULL;
    f->home = home;
    f->journal = journal_new(home);
    if (f->journal) return f;
    mem_free(f);
    return NULL;
}

void faults_free(struct faults *f) {
    if (!f) return;
    rule_set *older;
    for (rule_set *s = f->sets; s; s = older) {
        older = s->older;
        rules_free(s);
    }
    journal_free(f->journal);
    mem_free(f);
}

struct journal *faults_journal(struct faults *f) {
    return f->journal;
}

void faults_clear(struct faults *f) {
    f->on = false;
    credentials_revive(local_credentials(f->home));
    server_set_conduct(local_server(f->home), &(server_conduct){0});
}

bool faults_read(struct faults *f, const weir_value *root, char *error, size_t error_size) {
    rule_set *s = rules_read(f->home, root, error, error_size);
    if (!s) return false;
    faults_clear(f);
    s->older = f->sets;
    f->sets = s;
    f->on = true;
    server_set_conduct(local_server(f->home), &s->conduct);
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

static bool holds(weir_str text, weir_str part) {
    return !part.len ||
           (text.len && memmem(text.ptr, (size_t)text.len, part.ptr, (size_t)part.len) != NULL);
}

static bool concerns(const rule *r, const char *service, const char *operation, const exchange *x) {
    const server_request *q = exchange_request(x);
    return (!r->service.len || str_eq_z(r->service, service)) &&
           (!r->operation.len || str_eq_z(r->operation, operation)) &&
           holds(q->body, r->contains) && holds(q->path, r->path);
}

static bool replaces(const rule *r) {
    return r->status != 0 || r->has_body;
}

static void fail(visit *v) {
    const local_service *s = local_service_named(v->home, v->service);
    rule *r = v->rule;
    exchange *x = v->x;
    v->replaced = true;
    if (r->has_body) {
        exchange_status(x, r->status ? r->status : 200);
        exchange_header(x, "content-type", r->content_type);
        exchange_copy(x, r->body.ptr, (size_t)r->body.len);
        exchange_send(x);
    } else if (s && s->fail) {
        s->fail(s->state, x, r->status, r->exception,
                r->message[0] ? r->message : "a fault rule says so");
    } else {
        exchange_status(x, r->status);
        exchange_send(x);
    }
}

/* Runs when an answer's head is decided: replaces it if the rule says so, changes it, counts it. An
 * answer whose body is yet to come cannot be replaced, for it would go on behind the other one. */
static void at_answer(void *opaque, exchange *x) {
    visit *v = opaque;
    rule *r = v->rule;
    if (r && r->after && replaces(r) && !v->replaced && !exchange_answer_open(x)) {
        exchange_reset(x);
        exchange_on_answer(x, at_answer, v);
        fail(v);
        return;
    }
    if (r && reshape_wanted(r) && !exchange_answer_open(x)) reshape_answer(r, x);
    if (r && r->retry_after_ms >= 0)
        exchange_header_f(x, "x-amz-retry-after", "%" PRId64, r->retry_after_ms);
    if (r && r->date_ms) exchange_set_date(x, r->date_ms);
    unsigned status = exchange_answer_status(x);
    weir_str id = exchange_answer_header(x, "x-amzn-requestid");
    if (!id.ptr) id = exchange_answer_header(x, "x-amz-request-id");
    journal_end(local_faults(v->home)->journal, v->entry, status, id, exchange_pending(x));
    stats_count(local_stats(v->home), v->service, v->operation, status,
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

static void expire(const visit *v) {
    struct credentials *c = local_credentials(v->home);
    const weir_value *list = v->rule->expire, *one = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, one = weir_value_next(one))
        credentials_expire(c, weir_value_str(one));
    if (!v->rule->expire_signer) return;
    aws_identity who;
    verify_read(exchange_request(v->x), &who);
    if (who.access_key.len) credentials_expire(c, who.access_key);
}

static bool decide(visit *v) {
    rule *r = v->rule;
    if (!r) return true;
    if (r->has_cut) exchange_set_cut(v->x, (uint64_t)r->cut, r->how);
    if (r->pace_bytes) exchange_set_pace(v->x, (uint32_t)r->pace_bytes, (uint32_t)r->pace_ms);
    expire(v);
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
    v->entry = journal_begin(f->journal, x, service, operation);
    for (rule *r = f->on ? f->sets->rules : NULL; r && !v->rule; r = r->next)
        if (concerns(r, service, operation, x) && rule_takes(r)) v->rule = r;
    if (v->rule) journal_fault(f->journal, v->entry, v->rule->index);
    int64_t wait = v->rule ? rule_latency_ms(v->rule) : 0;
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

void faults_order(exchange *x, uint32_t *order, uint32_t count) {
    visit *v = exchange_note(x);
    rule_order how = v && v->rule ? v->rule->order : RULE_ORDER_KEPT;
    for (uint32_t i = 0; i < count; i++) order[i] = how == RULE_ORDER_REVERSE ? count - 1 - i : i;
    for (uint32_t i = count; how == RULE_ORDER_SHUFFLE && i > 1; i--) {
        uint32_t k = (uint32_t)(rule_random(v->rule) % i), one = order[k];
        order[k] = order[i - 1];
        order[i - 1] = one;
    }
}

bool faults_payload(exchange *x, aws_encoding encoding, weir_str payload, buf *out) {
    visit *v = exchange_note(x);
    return v && v->rule && (v->rule->exponents || v->rule->nulls) &&
           reshape_text(v->rule, encoding == AWS_CBOR, false, payload, out);
}

bool faults_frame(exchange *x, uint64_t number, buf *frame) {
    visit *v = exchange_note(x);
    return v && v->rule && reshape_frame(v->rule, number, frame);
}

void faults_canonical(const exchange *x, weir_str text) {
    visit *v = exchange_note(x);
    if (v) journal_canonical(local_faults(v->home)->journal, v->entry, text);
}

int64_t faults_number(const exchange *x, const char *name, int64_t otherwise) {
    visit *v = exchange_note(x);
    if (!v || !v->rule) return otherwise;
    const weir_value *stream = v->rule->stream;
    return stream ? weir_json_get_i64(stream, name, otherwise) : otherwise;
}

const char *faults_text(exchange *x, const char *name, const char *otherwise) {
    visit *v = exchange_note(x);
    const weir_value *stream = v && v->rule ? v->rule->stream : NULL;
    weir_str s = stream ? weir_json_get_str(stream, name, "") : STR("");
    if (!s.len || s.len >= sizeof v->text) return otherwise;
    memcpy(v->text, s.ptr, (size_t)s.len);
    v->text[s.len] = 0;
    return v->text;
}
