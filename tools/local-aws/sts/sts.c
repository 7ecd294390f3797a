/*
 * The Query protocol of 2011-06-15: a form in, XML out.
 */
#include "sts/sts.h"

#include <inttypes.h>
#include <stdio.h>

#include "admin/faults.h"
#include "aws/verify.h"
#include "base/mem.h"
#include "services.h"

#define XMLNS "https://sts.amazonaws.com/doc/2011-06-15/"
#define VERSION "2011-06-15"
#define CALL_MEMORY ((size_t)16 << 20)
#define BODY_MAX ((size_t)1 << 20) /* a token of 20,000 and a policy fit many times */
#define ANSWER_MAX 65536u          /* keys with the longest token, escaped claims */
#define SHORTEST_S 1

const sts_error STS_DENIED = {"AccessDenied", 403}, STS_VALIDATION = {"ValidationError", 400},
                STS_MEMORY = {"InternalFailure", 500};

typedef struct operation {
    const char *name;
    void (*run)(sts_call *call);
    bool is_unsigned;
} operation;

static const operation operations[] = {
    {"AssumeRole", sts_assume_role, false},
    {"AssumeRoleWithWebIdentity", sts_assume_role_with_web_identity, true},
    {"GetCallerIdentity", sts_get_caller_identity, false},
    {"GetSessionToken", sts_get_session_token, false},
    {"GetFederationToken", sts_get_federation_token, false},
    {"GetAccessKeyInfo", sts_get_access_key_info, false},
    {"AssumeRoleWithSAML", sts_refuse_saml, true},
    {"AssumeRoot", sts_refuse_other, false},
    {"DecodeAuthorizationMessage", sts_refuse_other, false},
    {"GetDelegatedAccessToken", sts_refuse_other, false},
    {"GetWebIdentityToken", sts_refuse_other, false},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- whose request it is ---- */

static bool has(weir_str text, const char *part) {
    return text.len && memmem(text.ptr, (size_t)text.len, part, strlen(part)) != NULL;
}

/* The root's path, and the API's version in the form: a request of S3 for the root has neither.
 * Whoever signs for sts is meant in any case, so that a wrong version is told so. */
static bool claims(void *state, const exchange *x) {
    (void)state;
    const server_request *r = exchange_request(x);
    if (!str_eq_z(r->path, "/")) return false;
    bool post = str_eq_z(r->method, "POST"), get = str_eq_z(r->method, "GET");
    if (!post && !get) return false;
    if (has(post ? r->body : r->query, "Version=" VERSION)) return true;
    aws_identity who;
    verify_read(r, &who);
    return str_eq_z(who.service, "sts");
}

/* ---- answers ---- */

static bool call_begin(sts_call *call, sts *s, exchange *x) {
    memset(call, 0, sizeof *call);
    call->s = s;
    call->x = x;
    call->operation = "?";
    buf_init(&call->invalid, 16384);
    local_uuid(s->home, call->request_id);
    call->memory = arena_new(CALL_MEMORY);
    char *room = call->memory ? arena_alloc(call->memory, ANSWER_MAX) : NULL;
    weir_xml_writer_init(&call->out, room, room ? ANSWER_MAX : 0);
    return room != NULL;
}

static void call_end(sts_call *call) {
    buf_free(&call->invalid);
    arena_free(call->memory);
}

static void answer(sts_call *call, unsigned status) {
    exchange *x = call->x;
    if (!weir_xml_writer_ok(&call->out)) {
        exchange_abort(x);
        return;
    }
    exchange_status(x, status);
    exchange_header(x, "content-type", STR("text/xml"));
    exchange_header(x, "x-amzn-requestid", str_of(call->request_id));
    exchange_copy(x, call->out.out, (size_t)call->out.len);
    exchange_send(x);
}

void sts_begin(sts_call *call) {
    char name[64];
    snprintf(name, sizeof name, "%sResponse", call->operation);
    weir_xml_put_open_ns(&call->out, name, XMLNS);
    snprintf(name, sizeof name, "%sResult", call->operation);
    weir_xml_put_open(&call->out, name);
}

void sts_end(sts_call *call) {
    char name[64];
    snprintf(name, sizeof name, "%sResult", call->operation);
    weir_xml_put_close(&call->out, name);
    weir_xml_put_open(&call->out, "ResponseMetadata");
    weir_xml_put_element_z(&call->out, "RequestId", call->request_id);
    weir_xml_put_close(&call->out, "ResponseMetadata");
    snprintf(name, sizeof name, "%sResponse", call->operation);
    weir_xml_put_close(&call->out, name);
    answer(call, 200);
}

void sts_fail(sts_call *call, const sts_error *e, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) text[0] = 0;
    weir_xml_writer_init(&call->out, call->out.out, call->out.capacity);
    weir_xml_writer *w = &call->out;
    weir_xml_put_open_ns(w, "ErrorResponse", XMLNS);
    weir_xml_put_open(w, "Error");
    weir_xml_put_element_z(w, "Type", e->status < 500 ? "Sender" : "Receiver");
    weir_xml_put_element_z(w, "Code", e->code);
    weir_xml_put_element_z(w, "Message", text);
    weir_xml_put_close(w, "Error");
    weir_xml_put_element_z(w, "RequestId", call->request_id);
    weir_xml_put_close(w, "ErrorResponse");
    answer(call, e->status);
}

void sts_put_keys(sts_call *call, const sts_grant *g) {
    char expiration[32];
    sts_time(g->told_ms, expiration);
    weir_xml_writer *w = &call->out;
    weir_xml_put_open(w, "Credentials");
    weir_xml_put_element_z(w, "AccessKeyId", g->access_key);
    weir_xml_put_element_z(w, "SecretAccessKey", g->secret);
    weir_xml_put_element_z(w, "SessionToken", g->token);
    weir_xml_put_element_z(w, "Expiration", expiration);
    weir_xml_put_close(w, "Credentials");
}

/* ---- who asks ---- */

weir_str sts_caller_account(const sts_call *call) {
    return str_of(call->caller ? call->caller->account : local_settings(call->s->home)->account);
}

weir_str sts_caller_arn(sts_call *call) {
    if (call->caller) return str_of(call->caller->arn);
    const local_options *o = local_settings(call->s->home);
    const char *arn = arena_printf(call->memory, "arn:%s:iam::%s:user/%s",
                                   sts_partition(call->s->home), o->account, o->access_key);
    return str_of(arn ? arn : "");
}

static bool authenticate(sts_call *call) {
    static const sts_error missing = {"MissingAuthenticationToken", 403},
                           incomplete = {"IncompleteSignature", 400},
                           unknown = {"InvalidClientTokenId", 403}, expired = {"ExpiredToken", 403},
                           mismatch = {"SignatureDoesNotMatch", 403};
    aws_identity who;
    aws_auth a = aws_authenticate(call->s->home, call->x, "sts", &who);
    switch (a) {
    case AWS_AUTH_OK:
        call->access_key = arena_str(call->memory, who.access_key);
        call->caller = sts_find(call->s->home, who.access_key);
        return true;
    case AWS_AUTH_MISSING:
        sts_fail(call, &missing, "Request is missing Authentication Token");
        break;
    case AWS_AUTH_INCOMPLETE:
        sts_fail(call, &incomplete, "%s",
                 who.detail[0] ? who.detail
                               : "Authorization header requires 'Credential', 'SignedHeaders' and "
                                 "'Signature' parameters and an 'X-Amz-Date'.");
        break;
    case AWS_AUTH_UNKNOWN:
    case AWS_AUTH_BAD_TOKEN:
        sts_fail(call, &unknown, "The security token included in the request is invalid.");
        break;
    case AWS_AUTH_EXPIRED:
        sts_fail(call, &expired, "The security token included in the request is expired");
        break;
    case AWS_AUTH_MISMATCH:
    case AWS_AUTH_SKEWED:
        sts_fail(call, &mismatch, "%s", who.detail);
        break;
    }
    return false;
}

/* ---- one request ---- */

static const operation *find(const form *in) {
    weir_str name = form_get(in, "Action");
    for (size_t i = 0; i < OPERATIONS; i++)
        if (str_eq_z(name, operations[i].name)) return &operations[i];
    return NULL;
}

static void serve_call(sts_call *call, const operation *op) {
    static const sts_error no_action = {"MissingAction", 400}, invalid = {"InvalidAction", 400};
    weir_str action = form_get(&call->in, "Action"), version = form_get(&call->in, "Version");
    if (!action.len) {
        sts_fail(call, &no_action, "The request must contain the parameter Action");
    } else if (!op || !str_eq_z(version, VERSION)) {
        sts_fail(call, &invalid, "Could not find operation %.*s for version %.*s",
                 action.len > 128 ? 128 : (int)action.len, action.ptr,
                 version.len > 32 ? 32 : (int)version.len, version.ptr ? version.ptr : "");
    } else if (op->is_unsigned || authenticate(call)) {
        op->run(call);
    }
}

static void serve(void *state, exchange *x) {
    sts *s = state;
    const server_request *r = exchange_request(x);
    weir_str in = str_eq_z(r->method, "POST") ? r->body : r->query;
    sts_call call;
    if (!call_begin(&call, s, x)) {
        call_end(&call);
        exchange_abort(x);
        return;
    }
    bool readable = in.len <= BODY_MAX && form_read(in, call.memory, &call.in);
    const operation *op = readable ? find(&call.in) : NULL;
    if (op) call.operation = op->name;
    if (faults_meet(s->home, x, "sts", call.operation, serve, s)) {
        static const sts_error malformed = {"MalformedInput", 400};
        if (readable)
            serve_call(&call, op);
        else
            sts_fail(&call, &malformed, "The form is too large");
    }
    call_end(&call);
}

static void fail(void *state, exchange *x, unsigned status, const char *code, const char *message) {
    sts_call call;
    if (call_begin(&call, state, x))
        sts_fail(&call, &(sts_error){code, status}, "%s", message);
    else
        exchange_abort(x);
    call_end(&call);
}

/* ---- settings ---- */

/* A copy of the value that outlives the request; null takes the setting away. */
static bool keep_value(weir_json_doc **at, const weir_value *v, uint32_t type) {
    weir_json_doc *doc = NULL;
    if (v->type == type) {
        char *text = mem_alloc((size_t)weir_json_bound(v));
        if (text) doc = weir_json_read(str_make(text, (size_t)weir_json_write(v, text)), 0, NULL);
        mem_free(text);
        if (!doc) return false;
    }
    weir_json_free(*at);
    *at = doc;
    return true;
}

static bool is_texts(const weir_value *v, uint32_t type) {
    if (v->type == WEIR_V_NULL) return true;
    if (v->type != type) return false;
    const weir_value *item = v + 1;
    for (uint32_t i = 0; i < v->size; i++) {
        if (type == WEIR_V_OBJECT) item++; /* the key */
        if (item->type != WEIR_V_STRING) return false;
        item = weir_value_next(item);
    }
    return true;
}

static bool is_number(const weir_value *v, int64_t min, int64_t max) {
    return v->type == WEIR_V_NULL ||
           (v->type == WEIR_V_I64 && v->as.i64 >= min && v->as.i64 <= max);
}

static const char *set(sts *s, weir_str name, const weir_value *v) {
    if (str_eq_z(name, "roles") || str_eq_z(name, "deny")) {
        if (!is_texts(v, WEIR_V_ARRAY)) return "roles, deny: expected names or ARNs, or null";
        return keep_value(name.ptr[0] == 'r' ? &s->roles : &s->deny, v, WEIR_V_ARRAY)
                   ? NULL
                   : "out of memory";
    }
    if (str_eq_z(name, "external_ids")) {
        if (!is_texts(v, WEIR_V_OBJECT)) return "external_ids: expected {ROLE: ID}, or null";
        return keep_value(&s->external_ids, v, WEIR_V_OBJECT) ? NULL : "out of memory";
    }
    if (str_eq_z(name, "duration_s")) {
        if (!is_number(v, SHORTEST_S, INT32_MAX)) return "duration_s: expected at least 1, or null";
        s->duration_s = v->type == WEIR_V_NULL ? 0 : v->as.i64;
        return NULL;
    }
    if (str_eq_z(name, "token_bytes")) {
        if (!is_number(v, 64, STS_TOKEN_BYTES_MAX)) return "token_bytes: expected 64 to 16384";
        s->token_bytes = v->type == WEIR_V_NULL ? 0 : (uint32_t)v->as.i64;
        return NULL;
    }
    return "expected roles, deny, external_ids, duration_s, token_bytes";
}

static void write_doc(buf *out, const char *name, const weir_json_doc *doc) {
    buf_printf(out, "\"%s\":", name);
    if (!doc) {
        buf_append_z(out, "null,");
        return;
    }
    size_t bound = (size_t)weir_json_bound(weir_json_root(doc));
    if (buf_reserve(out, bound))
        out->len += (size_t)weir_json_write(weir_json_root(doc), out->data + out->len);
    buf_append_char(out, ',');
}

static bool admin(void *own, const weir_value *in, buf *out) {
    sts *s = own;
    const char *why = in->type == WEIR_V_OBJECT ? NULL : "expected an object";
    const weir_value *key = in + 1;
    for (uint32_t i = 0; !why && i < in->size; i++, key = weir_value_next(key + 1))
        why = set(s, weir_value_str(key), key + 1);
    if (why) {
        buf_append_z(out, why);
        return false;
    }
    buf_append_char(out, '{');
    write_doc(out, "roles", s->roles);
    write_doc(out, "deny", s->deny);
    write_doc(out, "external_ids", s->external_ids);
    buf_printf(out, "\"duration_s\":%" PRId64 ",\"token_bytes\":%u,\"issued\":%zu}", s->duration_s,
               s->token_bytes, map_count(s->by_key));
    return true;
}

static const char *operation_name(const void *state, uint32_t index) {
    (void)state;
    return index < OPERATIONS ? operations[index].name : NULL;
}

static void sts_free(void *state) {
    sts *s = state;
    sts_grants_free(s);
    weir_json_free(s->roles);
    weir_json_free(s->deny);
    weir_json_free(s->external_ids);
    mem_free(s);
}

bool sts_service(local *home, local_service *out) {
    sts *s = mem_zalloc(sizeof *s);
    if (!s) return false;
    s->home = home;
    s->by_key = map_new();
    if (!s->by_key) {
        mem_free(s);
        return false;
    }
    *out = (local_service){.name = "sts",
                           .claims = claims,
                           .serve = serve,
                           .fail = fail,
                           .free = sts_free,
                           .operation = operation_name,
                           .state = s,
                           .own = s,
                           .admin = admin,
                           .save = sts_save,
                           .load = sts_load};
    return true;
}
