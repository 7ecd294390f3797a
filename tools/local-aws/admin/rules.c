#include "admin/rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define RULES_MAX 1000u
#define LONG_MS (24 * 3600 * 1000) /* longer waits are a mistake in the unit */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Where an error text goes, and what it begins with. */
typedef struct report {
    char *text;
    size_t size;
    const char *where;
} report;

static bool refuse(const report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(const report *r, const char *format, ...) {
    int n = snprintf(r->text, r->size, "%s%s", r->where, r->where[0] ? ": " : "");
    if (n < 0 || (size_t)n >= r->size) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(r->text + n, r->size - (size_t)n, format, args);
    va_end(args);
    return false;
}

/* ---- members ---- */

static bool fits(const weir_value *v, const rules_member *m) {
    switch (m->kind) {
    case 's':
        return v->type == WEIR_V_STRING && v->logical == WEIR_L_NONE;
    case 'i':
        return v->type == WEIR_V_I64 && v->as.i64 >= m->min && v->as.i64 <= m->max;
    case 'n':
        return (v->type == WEIR_V_I64 && v->as.i64 >= m->min && v->as.i64 <= m->max) ||
               (v->type == WEIR_V_F64 && v->as.f64 >= (double)m->min &&
                v->as.f64 <= (double)m->max);
    case 'b':
        return v->type == WEIR_V_BOOL;
    case 'o':
        return v->type == WEIR_V_OBJECT;
    case 'a':
        return v->type == WEIR_V_ARRAY;
    default:
        return true;
    }
}

static bool misfit(const report *r, const rules_member *m) {
    switch (m->kind) {
    case 's':
        return refuse(r, "%s: expected a text", m->name);
    case 'i':
        if (m->max == INT64_MAX)
            return refuse(r, "%s: expected an integer of at least %" PRId64, m->name, m->min);
        return refuse(r, "%s: expected an integer of %" PRId64 " to %" PRId64, m->name, m->min,
                      m->max);
    case 'n':
        return refuse(r, "%s: expected a number of %" PRId64 " to %" PRId64, m->name, m->min,
                      m->max);
    case 'b':
        return refuse(r, "%s: expected true or false", m->name);
    case 'o':
        return refuse(r, "%s: expected an object", m->name);
    default:
        return refuse(r, "%s: expected an array", m->name);
    }
}

static bool unknown(const report *r, weir_str name, const rules_member *members, size_t count) {
    weir_str names[64];
    for (size_t i = 0; i < count && i < COUNT(names); i++) names[i] = str_of(members[i].name);
    int near = str_nearest(name, names, count < COUNT(names) ? count : COUNT(names));
    if (near >= 0)
        return refuse(r, "unknown member '%.*s'; did you mean '%s'?", STR_FMT(name),
                      members[near].name);
    return refuse(r, "unknown member '%.*s'", STR_FMT(name));
}

static bool check(const weir_value *object, const report *r, const rules_member *members,
                  size_t count) {
    if (object->type != WEIR_V_OBJECT) return refuse(r, "expected an object");
    const weir_value *key = object + 1;
    for (uint32_t i = 0; i < object->size; i++, key = weir_value_next(key + 1)) {
        const rules_member *m = members;
        while (m < members + count && !str_eq_z(weir_value_str(key), m->name)) m++;
        if (m == members + count) return unknown(r, weir_value_str(key), members, count);
        if (!fits(key + 1, m)) return misfit(r, m);
    }
    return true;
}

bool rules_check(const weir_value *object, const char *where, const rules_member *members,
                 size_t count, char *error, size_t error_size) {
    return check(object, &(report){error, error_size, where}, members, count);
}

/* The member of that name, an object whose members are checked too; NULL in *out if absent. */
static bool section(const weir_value *rule_json, const report *r, const char *name,
                    const rules_member *members, size_t count, const weir_value **out) {
    *out = weir_json_get(rule_json, name);
    if (!*out) return true;
    char where[96];
    snprintf(where, sizeof where, "%s: %s", r->where, name);
    return check(*out, &(report){r->text, r->size, where}, members, count);
}

static bool copy_text(const weir_value *json, const report *r, const char *name, char *out,
                      size_t size) {
    weir_str s = weir_json_get_str(json, name, "");
    if (s.len >= size) return refuse(r, "%s: expected at most %zu bytes", name, size - 1);
    memcpy(out, s.ptr, (size_t)s.len);
    out[s.len] = 0;
    return true;
}

static bool all_texts(const weir_value *array, const report *r, const char *name) {
    const weir_value *item = array + 1;
    for (uint32_t i = 0; i < array->size; i++, item = weir_value_next(item))
        if (item->type != WEIR_V_STRING || item->logical != WEIR_L_NONE)
            return refuse(r, "%s: expected texts only", name);
    return true;
}

/* ---- the parts of a rule ---- */

static bool read_cut(const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {{"at", 'i', 0, INT64_MAX}, {"how", 's', 0, 0}};
    static const struct {
        const char *word;
        exchange_cut how;
    } words[] = {{"close", EXCHANGE_CUT_CLOSE},
                 {"reset", EXCHANGE_CUT_RESET},
                 {"rst_stream", EXCHANGE_CUT_RST_STREAM},
                 {"goaway", EXCHANGE_CUT_GOAWAY},
                 {"refused", EXCHANGE_CUT_REFUSED}};
    const weir_value *cut;
    if (!section(json, at, "cut", members, COUNT(members), &cut)) return false;
    if (!cut) return true;
    r->has_cut = true;
    r->cut = weir_json_get_i64(cut, "at", 0);
    weir_str how = weir_json_get_str(cut, "how", "close");
    for (size_t i = 0; i < COUNT(words); i++) {
        if (!str_eq_z(how, words[i].word)) continue;
        r->how = words[i].how;
        return true;
    }
    return refuse(at, "cut.how: expected close, reset, rst_stream, goaway or refused");
}

static const rules_member pace_members[] = {{"bytes", 'i', 1, INT32_MAX},
                                            {"every_ms", 'i', 0, LONG_MS}};

static bool read_pace(const weir_value *json, const report *at, rule *r) {
    const weir_value *pace;
    if (!section(json, at, "pace", pace_members, COUNT(pace_members), &pace)) return false;
    if (!pace) return true;
    r->pace_bytes = weir_json_get_i64(pace, "bytes", 1);
    r->pace_ms = weir_json_get_i64(pace, "every_ms", 0);
    return true;
}

/* {"p50_ms": 10, "p99_ms": 400}: points of a curve that begins at 0 and ends level. */
static bool read_latency(const weir_value *json, const report *at, rule *r) {
    const weir_value *latency = weir_json_get(json, "latency");
    if (!latency) return true;
    static const char hint[] = "latency: expected {\"p50_ms\": N, \"p99_ms\": N, ...}, ascending";
    if (latency->size < 1 || latency->size > RULES_QUANTILES) return refuse(at, "%s", hint);
    const weir_value *key = latency + 1;
    for (uint32_t i = 0; i < latency->size; i++, key = weir_value_next(key + 1)) {
        weir_str name = weir_value_str(key);
        double percent, ms = key[1].type == WEIR_V_I64   ? (double)key[1].as.i64
                             : key[1].type == WEIR_V_F64 ? key[1].as.f64
                                                         : -1;
        if (!str_starts(name, STR("p")) || !str_ends(name, STR("_ms")) ||
            !str_to_f64(str_make(name.ptr + 1, (size_t)name.len - 4), &percent) ||
            !(percent >= 0 && percent <= 100) || !(ms >= 0 && ms <= LONG_MS))
            return refuse(at, "%s", hint);
        if (i && (percent / 100 <= r->quantiles[i - 1].share || ms < r->quantiles[i - 1].ms))
            return refuse(at, "%s", hint);
        r->quantiles[i].share = percent / 100;
        r->quantiles[i].ms = ms;
    }
    r->quantile_count = latency->size;
    return true;
}

static bool read_records(const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {{"indexes", 'a', 0, 0},
                                           {"every", 'i', 1, INT64_MAX},
                                           {"exception", 's', 0, 0},
                                           {"order", 's', 0, 0}};
    if (!section(json, at, "records", members, COUNT(members), &r->records)) return false;
    if (!r->records) return true;
    const weir_value *list = weir_json_get(r->records, "indexes"), *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, item = weir_value_next(item))
        if (item->type != WEIR_V_I64 || item->as.i64 < 0)
            return refuse(at, "records.indexes: expected integers of at least 0");
    if (!copy_text(r->records, at, "exception", r->record_exception, sizeof r->record_exception))
        return false;
    if (!r->record_exception[0])
        snprintf(r->record_exception, sizeof r->record_exception, "InternalFailure");
    weir_str order = weir_json_get_str(r->records, "order", "");
    if (str_eq_z(order, "reverse"))
        r->order = RULE_ORDER_REVERSE;
    else if (str_eq_z(order, "shuffle"))
        r->order = RULE_ORDER_SHUFFLE;
    else if (order.len)
        return refuse(at, "records.order: expected reverse or shuffle");
    return true;
}

/* What faults_number and faults_text are asked for: all of it by services. */
static bool read_stream(const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {{"bad_crc_at", 'i', 0, INT64_MAX},
                                           {"bad_prelude_at", 'i', 0, INT64_MAX},
                                           {"bad_length_at", 'i', 0, INT64_MAX},
                                           {"truncate_at", 'i', 0, INT64_MAX},
                                           {"duplicate_header_at", 'i', 0, INT64_MAX},
                                           {"unknown_type_at", 'i', 0, INT64_MAX},
                                           {"unknown_event_at", 'i', 0, INT64_MAX},
                                           {"error_at", 'i', 0, INT64_MAX},
                                           {"exception_at", 'i', 0, INT64_MAX},
                                           {"exception", 's', 0, 0},
                                           {"silent_after", 'i', 0, INT64_MAX},
                                           {"no_initial_response", 'i', 0, 1},
                                           {"white_space", 'i', 0, 1 << 20}, /* S3's */
                                           {"flip_at", 'i', 0, INT64_MAX},
                                           {"abort_lingers", 'i', 0, 1},
                                           {"nulls", 'i', 0, 1}};
    return section(json, at, "stream", members, COUNT(members), &r->stream);
}

static bool read_error_type(const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {
        {"in", 's', 0, 0}, {"prefix", 's', 0, 0}, {"suffix", 's', 0, 0}};
    const weir_value *type;
    if (!section(json, at, "error_type", members, COUNT(members), &type)) return false;
    if (!type) return true;
    weir_str in = weir_json_get_str(type, "in", "both");
    r->has_error_type = true;
    r->type_in_header = str_eq_z(in, "both") || str_eq_z(in, "header");
    r->type_in_body = str_eq_z(in, "both") || str_eq_z(in, "body");
    r->type_prefix = weir_json_get_str(type, "prefix", "");
    r->type_suffix = weir_json_get_str(type, "suffix", "");
    if (r->type_in_header || r->type_in_body || str_eq_z(in, "none")) return true;
    return refuse(at, "error_type.in: expected both, header, body or none");
}

static bool read_json(const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {{"timestamps", 's', 0, 0}, {"nulls", 'a', 0, 0}};
    const weir_value *shape;
    if (!section(json, at, "json", members, COUNT(members), &shape)) return false;
    if (!shape) return true;
    weir_str times = weir_json_get_str(shape, "timestamps", "");
    r->exponents = str_eq_z(times, "exponent");
    if (times.len && !r->exponents) return refuse(at, "json.timestamps: expected exponent");
    r->nulls = weir_json_get(shape, "nulls");
    return !r->nulls || all_texts(r->nulls, at, "json.nulls");
}

static bool read_expire(const weir_value *json, const report *at, rule *r) {
    const weir_value *keys = weir_json_get(json, "expire_keys");
    if (!keys) return true;
    r->expire_signer = keys->type == WEIR_V_BOOL && keys->as.u64;
    if (keys->type == WEIR_V_BOOL) return true;
    if (keys->type != WEIR_V_ARRAY)
        return refuse(at,
                      "expire_keys: expected true, for whoever signed, or a list of access keys");
    r->expire = keys;
    return all_texts(keys, at, "expire_keys");
}

static unsigned status_of(const char *exception) {
    if (strstr(exception, "InternalFailure")) return 500;
    return strstr(exception, "ServiceUnavailable") ? 503 : 400;
}

static const char *exception_of(unsigned status) {
    switch (status) {
    case 403:
        return "AccessDeniedException";
    case 404:
        return "ResourceNotFoundException";
    case 429:
        return "ThrottlingException";
    case 503:
        return "ServiceUnavailable";
    default:
        return status < 500 ? "ValidationException" : "InternalFailure";
    }
}

static bool read_answer(const weir_value *json, const report *at, rule *r) {
    r->after = weir_json_get_bool(json, "after", 0) != 0;
    r->status = (unsigned)weir_json_get_i64(json, "status", 0);
    r->has_body = weir_json_get(json, "body") != NULL;
    r->body = weir_json_get_str(json, "body", "");
    r->content_type = weir_json_get_str(json, "content_type", "text/plain");
    r->retry_after_ms = weir_json_get_i64(json, "retry_after_ms", -1);
    r->date_ms = weir_json_get_i64(json, "date_ms", 0);
    if (!copy_text(json, at, "exception", r->exception, sizeof r->exception) ||
        !copy_text(json, at, "message", r->message, sizeof r->message))
        return false;
    if (r->exception[0] && !r->status) r->status = status_of(r->exception);
    if (r->status && !r->exception[0])
        snprintf(r->exception, sizeof r->exception, "%s", exception_of(r->status));
    if (r->after && !r->status && !r->has_body)
        return refuse(at, "after: expected status, exception or body beside it");
    return true;
}

/* ---- whom a rule is for ---- */

#define NAMES_MAX 512u

static bool known_service(local *home, const report *at, weir_str name) {
    weir_str names[NAMES_MAX];
    const local_service *s;
    uint32_t n = 0;
    for (; n < NAMES_MAX && (s = local_service_at(home, n)) != NULL; n++) {
        names[n] = str_of(s->name);
        if (str_eq(name, names[n])) return true;
    }
    int near = str_nearest(name, names, n);
    if (near >= 0)
        return refuse(at, "service: nobody here is called '%.*s'; did you mean '%s'?",
                      STR_FMT(name), names[near].ptr);
    return refuse(at, "service: nobody here is called '%.*s'", STR_FMT(name));
}

/* A rule for an operation that nobody has would wait for ever. "?" is what a service tells of a
 * request for none of its operations. */
static bool known_operation(local *home, const report *at, weir_str service, weir_str name) {
    weir_str names[NAMES_MAX];
    const local_service *s;
    size_t count = 0;
    if (!name.len || str_eq_z(name, "?")) return true;
    for (uint32_t i = 0; (s = local_service_at(home, i)) != NULL; i++) {
        if (service.len && !str_eq_z(service, s->name)) continue;
        if (service.len && !s->operation) return true;
        const char *one;
        for (uint32_t k = 0; s->operation && (one = s->operation(s->state, k)) != NULL; k++) {
            if (str_eq_z(name, one)) return true;
            if (count < NAMES_MAX) names[count++] = str_of(one);
        }
    }
    char whose[80] = "no service here";
    if (service.len) snprintf(whose, sizeof whose, "%.*s has no operation", STR_FMT(service));
    const char *has = service.len ? "" : " has an operation";
    int near = str_nearest(name, names, count);
    if (near >= 0)
        return refuse(at, "operation: %s%s '%.*s'; did you mean '%s'?", whose, has, STR_FMT(name),
                      names[near].ptr);
    return refuse(at, "operation: %s%s '%.*s'", whose, has, STR_FMT(name));
}

static bool read_rule(local *home, const weir_value *json, const report *at, rule *r) {
    static const rules_member members[] = {{"service", 's', 0, 0},
                                           {"operation", 's', 0, 0},
                                           {"contains", 's', 0, 0},
                                           {"path", 's', 0, 0},
                                           {"skip", 'i', 0, INT64_MAX},
                                           {"every", 'i', 1, INT64_MAX},
                                           {"count", 'i', 0, INT64_MAX},
                                           {"probability", 'n', 0, 1},
                                           {"latency_ms", 'i', 0, LONG_MS},
                                           {"jitter_ms", 'i', 0, LONG_MS},
                                           {"latency", 'o', 0, 0},
                                           {"status", 'i', 200, 599},
                                           {"exception", 's', 0, 0},
                                           {"message", 's', 0, 0},
                                           {"body", 's', 0, 0},
                                           {"content_type", 's', 0, 0},
                                           {"after", 'b', 0, 0},
                                           {"retry_after_ms", 'i', 0, LONG_MS},
                                           {"date_ms", 'i', -INT32_MAX, INT32_MAX},
                                           {"cut", 'o', 0, 0},
                                           {"pace", 'o', 0, 0},
                                           {"records", 'o', 0, 0},
                                           {"stream", 'o', 0, 0},
                                           {"error_type", 'o', 0, 0},
                                           {"json", 'o', 0, 0},
                                           {"expire_keys", '*', 0, 0},
                                           {"comment", '*', 0, 0}};
    if (!check(json, at, members, COUNT(members))) return false;
    r->json = json;
    r->service = weir_json_get_str(json, "service", "");
    if (r->service.len && !known_service(home, at, r->service)) return false;
    r->operation = weir_json_get_str(json, "operation", "");
    if (!known_operation(home, at, r->service, r->operation)) return false;
    r->contains = weir_json_get_str(json, "contains", "");
    r->path = weir_json_get_str(json, "path", "");
    r->skip = weir_json_get_i64(json, "skip", 0);
    r->every = weir_json_get_i64(json, "every", 1);
    r->count = weir_json_get_i64(json, "count", -1);
    r->probability = weir_json_get_f64(json, "probability", 1.0);
    r->latency_ms = weir_json_get_i64(json, "latency_ms", 0);
    r->jitter_ms = weir_json_get_i64(json, "jitter_ms", 0);
    return read_latency(json, at, r) && read_answer(json, at, r) && read_cut(json, at, r) &&
           read_pace(json, at, r) && read_records(json, at, r) && read_stream(json, at, r) &&
           read_error_type(json, at, r) && read_json(json, at, r) && read_expire(json, at, r);
}

static bool read_conduct(const weir_value *root, const report *at, server_conduct *out) {
    static const rules_member members[] = {{"close_after", 'i', 0, UINT32_MAX},
                                           {"drop_after", 'i', 0, UINT32_MAX},
                                           {"drop_count", 'i', 0, UINT32_MAX},
                                           {"idle_ms", 'i', 0, LONG_MS},
                                           {"read_pace", 'o', 0, 0},
                                           {"window", 'i', 0, INT32_MAX},
                                           {"streams", 'i', 0, UINT32_MAX}};
    *out = (server_conduct){0};
    const weir_value *json = weir_json_get(root, "connections");
    if (!json) return true;
    if (!check(json, at, members, COUNT(members))) return false;
    const weir_value *pace = weir_json_get(json, "read_pace");
    const report deeper = {at->text, at->size, "connections: read_pace"};
    if (pace && !check(pace, &deeper, pace_members, COUNT(pace_members))) return false;
    *out = (server_conduct){.close_after = (uint32_t)weir_json_get_i64(json, "close_after", 0),
                            .drop_after = (uint32_t)weir_json_get_i64(json, "drop_after", 0),
                            .drop_count = (uint32_t)weir_json_get_i64(json, "drop_count", 0),
                            .idle_ms = (uint32_t)weir_json_get_i64(json, "idle_ms", 0),
                            .read_bytes = pace ? (uint32_t)weir_json_get_i64(pace, "bytes", 1) : 0,
                            .read_every_ms =
                                pace ? (uint32_t)weir_json_get_i64(pace, "every_ms", 0) : 0,
                            .window = (uint32_t)weir_json_get_i64(json, "window", 0),
                            .streams = (uint32_t)weir_json_get_i64(json, "streams", 0)};
    return true;
}

/* ---- a set ---- */

static bool read_list(local *home, rule_set *s, uint64_t seed, char *error, size_t error_size) {
    const weir_value *list = weir_json_get(weir_json_root(s->doc), "rules");
    rule **last = &s->rules;
    const weir_value *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, item = weir_value_next(item)) {
        rule *r = mem_zalloc(sizeof *r);
        char where[32];
        snprintf(where, sizeof where, "rule %" PRIu32, i);
        const report at = {error, error_size, where};
        if (!r) return refuse(&at, "out of memory");
        *last = r;
        last = &r->next;
        r->index = i;
        r->random = seed ^ (i + 1) * UINT64_C(0xd1342543de82ef95);
        if (!read_rule(home, item, &at, r)) return false;
    }
    return true;
}

rule_set *rules_read(local *home, const weir_value *root, char *error, size_t error_size) {
    static const rules_member members[] = {{"rules", 'a', 0, 0},
                                           {"connections", 'o', 0, 0},
                                           {"seed", 'i', INT64_MIN, INT64_MAX},
                                           {"comment", '*', 0, 0}};
    const report top = {error, error_size, ""}, connections = {error, error_size, "connections"};
    if (!check(root, &top, members, COUNT(members))) return NULL;
    const weir_value *list = weir_json_get(root, "rules");
    if ((!list && !weir_json_get(root, "connections")) || (list && list->size > RULES_MAX)) {
        refuse(&top, "expected {\"rules\": [...]} with at most %u rules", RULES_MAX);
        return NULL;
    }
    /* The document is written and read again, since the caller's is not kept. */
    char *text = mem_alloc((size_t)weir_json_bound(root));
    rule_set *s = mem_zalloc(sizeof *s);
    if (text && s)
        s->doc = weir_json_read(str_make(text, (size_t)weir_json_write(root, text)), 0, NULL);
    mem_free(text);
    bool ok = s && s->doc;
    if (!ok) refuse(&top, "out of memory");
    uint64_t seed = (uint64_t)weir_json_get_i64(root, "seed", (int64_t)local_settings(home)->seed);
    ok = ok && read_conduct(weir_json_root(s->doc), &connections, &s->conduct) &&
         read_list(home, s, seed, error, error_size);
    if (ok) return s;
    rules_free(s);
    return NULL;
}

void rules_free(rule_set *s) {
    if (!s) return;
    rule *next;
    for (rule *r = s->rules; r; r = next) {
        next = r->next;
        mem_free(r);
    }
    weir_json_free(s->doc);
    mem_free(s);
}

/* ---- chance and counters ---- */

uint64_t rule_random(rule *r) {
    uint64_t z = r->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double share(rule *r) {
    return (double)(rule_random(r) >> 11) / 9007199254740992.0;
}

bool rule_takes(rule *r) {
    int64_t n = r->seen++;
    if (n < r->skip || (n - r->skip) % r->every != 0) return false;
    if (r->count >= 0 && r->hits >= r->count) return false;
    if (r->probability < 1.0 && share(r) >= r->probability) return false;
    r->hits++;
    return true;
}

int64_t rule_latency_ms(rule *r) {
    int64_t wait = r->latency_ms;
    if (r->jitter_ms > 0) wait += (int64_t)(rule_random(r) % (uint64_t)(r->jitter_ms + 1));
    if (!r->quantile_count) return wait;
    double u = share(r), from = 0, from_ms = 0;
    for (uint32_t i = 0; i < r->quantile_count; i++) {
        double to = r->quantiles[i].share, to_ms = r->quantiles[i].ms;
        if (u < to) return wait + (int64_t)(from_ms + (to_ms - from_ms) * (u - from) / (to - from));
        from = to;
        from_ms = to_ms;
    }
    return wait + (int64_t)from_ms;
}
