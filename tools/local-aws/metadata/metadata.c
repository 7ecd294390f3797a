#include "metadata/metadata.h"

#include <inttypes.h>
#include <stdio.h>

#include "admin/faults.h"
#include "base/mem.h"
#include "services.h"

#define ROLE_DEFAULT "weir-local"
#define LIFETIME_DEFAULT_S 21600
#define LIFETIME_MAX_S 129600

static const char *const sessions[PLACES] = {
    "i-0123456789abcdef0", "0123456789abcdef0123456789abcdef", "eks-weir-local-pod-0123456789ab"};

/* ---- whose request it is ---- */

/* Nobody signs these requests, and S3's clients do: a bucket called "latest" stays within reach of
 * everybody but the anonymous. Buckets have three letters at least, so v1 and v2 are none. */
static bool is_signed(const exchange *x) {
    weir_str query = exchange_request(x)->query,
             authorization = exchange_request_header(x, "authorization");
    return str_starts(authorization, STR("AWS4-HMAC-SHA256")) ||
           str_starts(authorization, STR("AWS ")) || /* version 2: S3's to refuse */
           (query.len && memmem(query.ptr, (size_t)query.len, "Signature=", 10) != NULL);
}

static const char *operation_of(const exchange *x) {
    const char *operation = NULL;
    weir_str path = exchange_request(x)->path;
    if (!imds_claims(path, &operation) && !containers_claim(path, &operation)) return NULL;
    return operation;
}

static bool claims(void *state, const exchange *x) {
    (void)state;
    return operation_of(x) && !is_signed(x);
}

static void serve(void *state, exchange *x) {
    metadata *m = state;
    const char *operation;
    if (!faults_meet(m->home, x, "metadata", operation_of(x), serve, m)) return;
    if (imds_claims(exchange_request(x)->path, &operation))
        imds_serve(m, x);
    else
        containers_serve(m, x);
}

static void fail(void *state, exchange *x, unsigned status, const char *code, const char *message) {
    const char *operation;
    (void)state;
    if (containers_claim(exchange_request(x)->path, &operation))
        containers_fail(x, status, code, message);
    else
        metadata_page(x, status, message);
}

/* ---- answers ---- */

void metadata_page(exchange *x, unsigned status, const char *reason) {
    buf b;
    buf_init(&b, 4096);
    buf_printf(&b,
               "<!DOCTYPE html>\n<html><head><title>%u - %s</title></head>"
               "<body><h1>%u - %s</h1></body></html>\n",
               status, reason, status, reason);
    exchange_status(x, status);
    exchange_header(x, "content-type", STR("text/html"));
    exchange_copy(x, b.data, b.len);
    buf_free(&b);
    exchange_send(x);
}

void metadata_put_keys(const metadata *m, const sts_grant *g, buf *out) {
    char expiration[32];
    int64_t told = g->told_ms;
    if (m->stale_s >= 0) told = server_told_ms(local_server(m->home)) - m->stale_s * 1000;
    sts_time(told, expiration);
    buf_printf(out, "\"SecretAccessKey\" : \"%s\", \"Token\" : \"%s%s\", \"Expiration\" : \"%s\"",
               g->secret, g->token, m->line_ends ? "\\r\\nX-Injected: yes" : "", expiration);
}

void metadata_give(metadata *m, exchange *x, const buf *json, const char *refusal) {
    size_t len = json->len;
    const char *text = json->data;
    switch (m->answer) {
    case ANSWER_WHOLE:
        break;
    case ANSWER_CUT:
        len /= 2;
        break;
    case ANSWER_EMPTY:
        len = 0;
        break;
    case ANSWER_HTML:
        metadata_page(x, 200, "Please log in");
        return;
    case ANSWER_REFUSED:
        text = refusal;
        len = strlen(refusal);
        break;
    }
    if (!buf_ok(json)) {
        exchange_abort(x);
        return;
    }
    exchange_header(x, "content-type", STR("application/json"));
    exchange_copy(x, text, len);
    exchange_send(x);
}

/* ---- keys ---- */

const sts_grant *metadata_keys(metadata *m, metadata_place place) {
    const sts_grant *g = sts_find(m->home, str_of(m->held[place]));
    int64_t now = server_now_ms(local_server(m->home));
    if (g) {
        int64_t half = (g->expires_ms - g->issued_ms) / 2;
        if (g->expires_ms - now > (half < METADATA_AHEAD_MS ? half : METADATA_AHEAD_MS)) return g;
    }
    const local_options *o = local_settings(m->home);
    g = sts_issue_role(m->home, &(sts_role){.partition = str_of(sts_partition(m->home)),
                                            .account = str_of(o->account),
                                            .role = str_of(m->role[0] ? m->role : ROLE_DEFAULT),
                                            .session = str_of(sessions[place]),
                                            .duration_s = m->lifetime_s});
    if (g) memcpy(m->held[place], g->access_key, sizeof m->held[place]);
    return g;
}

/* ---- settings ---- */

static const char *set_role(metadata *m, const weir_value *v) {
    static const char also[] = "+=,.@-_";
    if (v->type == WEIR_V_NULL) {
        m->role[0] = '\0';
        return NULL;
    }
    weir_str name = v->type == WEIR_V_STRING ? weir_value_str(v) : STR("");
    bool ok = name.len >= 1 && name.len <= METADATA_ROLE_MAX;
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.ptr[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             (c && strchr(also, c));
    }
    if (!ok) return "role: expected a name of at most 64 letters, digits and +=,.@-_, or null";
    memcpy(m->role, name.ptr, (size_t)name.len);
    m->role[name.len] = '\0';
    return NULL;
}

static const char *set_text(char **at, const weir_value *v) {
    char *copy = NULL;
    if (v->type != WEIR_V_NULL) {
        weir_str text = v->type == WEIR_V_STRING ? weir_value_str(v) : STR("");
        if (text.len < 1 || text.len > METADATA_AUTHORIZATION)
            return "container_token, pod_token: expected a text, or null";
        copy = mem_alloc((size_t)text.len + 1);
        if (!copy) return "out of memory";
        memcpy(copy, text.ptr, (size_t)text.len);
        copy[text.len] = '\0';
    }
    mem_free(*at);
    *at = copy;
    return NULL;
}

static const char *const answers[] = {"whole", "cut", "html", "empty", "refused"};

static const char *set_answer(metadata *m, const weir_value *v) {
    weir_str word = v->type == WEIR_V_STRING ? weir_value_str(v) : STR("");
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (!str_eq_z(word, answers[i])) continue;
        m->answer = (metadata_answer)i;
        return NULL;
    }
    return "answer: expected whole, cut, html, empty or refused";
}

static const char *set_seconds(int64_t *at, const weir_value *v, int64_t min, int64_t otherwise,
                               const char *why) {
    if (v->type == WEIR_V_NULL)
        *at = otherwise;
    else if (v->type == WEIR_V_I64 && v->as.i64 >= min && v->as.i64 <= LIFETIME_MAX_S)
        *at = v->as.i64;
    else
        return why;
    return NULL;
}

static const char *set(metadata *m, weir_str name, const weir_value *v) {
    const struct {
        const char *name;
        bool *at;
    } switches[] = {{"imds", &m->imds},
                    {"v1", &m->v1},
                    {"hop_limit_reached", &m->hop_limit_reached},
                    {"line_ends", &m->line_ends}};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (!str_eq_z(name, switches[i].name)) continue;
        if (v->type != WEIR_V_BOOL) return "expected true or false";
        *switches[i].at = v->as.u64 != 0;
        return NULL;
    }
    if (str_eq_z(name, "role")) return set_role(m, v);
    if (str_eq_z(name, "answer")) return set_answer(m, v);
    if (str_eq_z(name, "container_token")) return set_text(&m->container_token, v);
    if (str_eq_z(name, "pod_token")) return set_text(&m->pod_token, v);
    if (str_eq_z(name, "lifetime_s"))
        return set_seconds(&m->lifetime_s, v, 1, LIFETIME_DEFAULT_S,
                           "lifetime_s: expected 1 to 129600, or null");
    if (str_eq_z(name, "stale_s"))
        return set_seconds(&m->stale_s, v, 0, -1, "stale_s: expected 0 to 129600, or null");
    return "expected role, lifetime_s, stale_s, imds, v1, hop_limit_reached, line_ends, answer, "
           "container_token, pod_token";
}

static bool admin(void *own, const weir_value *in, buf *out) {
    metadata *m = own;
    const char *why = in->type == WEIR_V_OBJECT ? NULL : "expected an object";
    const weir_value *key = in + 1;
    for (uint32_t i = 0; !why && i < in->size; i++, key = weir_value_next(key + 1))
        why = set(m, weir_value_str(key), key + 1);
    if (why) {
        buf_append_z(out, why);
        return false;
    }
    if (in->size) memset(m->held, 0, sizeof m->held); /* of another role, another life */
    buf_append_z(out, "{\"role\":");
    if (m->role[0])
        buf_append_json(out, str_of(m->role));
    else
        buf_append_z(out, "null");
    buf_printf(out,
               ",\"lifetime_s\":%" PRId64 ",\"imds\":%s,\"v1\":%s,\"hop_limit_reached\":%s,"
               "\"line_ends\":%s,\"answer\":\"%s\",\"container_token\":%s,\"pod_token\":%s}",
               m->lifetime_s, m->imds ? "true" : "false", m->v1 ? "true" : "false",
               m->hop_limit_reached ? "true" : "false", m->line_ends ? "true" : "false",
               answers[m->answer], m->container_token ? "true" : "false",
               m->pod_token ? "true" : "false");
    return true;
}

/* What imds_claims and containers_claim make of paths. */
static const char *operation_name(const void *state, uint32_t index) {
    static const char *const names[] = {"Token",         "Role",    "RoleCredentials",
                                        "MetaData",      "Dynamic", "ContainerCredentials",
                                        "PodCredentials"};
    (void)state;
    return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

static void metadata_free(void *state) {
    metadata *m = state;
    mem_free(m->container_token);
    mem_free(m->pod_token);
    mem_free(m);
}

bool metadata_service(local *home, local_service *out) {
    metadata *m = mem_zalloc(sizeof *m);
    if (!m) return false;
    m->home = home;
    m->lifetime_s = LIFETIME_DEFAULT_S;
    m->stale_s = -1;
    m->imds = true;
    snprintf(m->role, sizeof m->role, "%s", ROLE_DEFAULT);
    *out = (local_service){.name = "metadata",
                           .claims = claims,
                           .serve = serve,
                           .fail = fail,
                           .free = metadata_free,
                           .operation = operation_name,
                           .state = m,
                           .own = m,
                           .admin = admin};
    return true;
}
