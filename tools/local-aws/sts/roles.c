#include <inttypes.h>
#include <stdio.h>

#include "aws/text.h"
#include "sts/sts.h"

#define WORD "+=,.@-" /* besides \w */
#define WORD_PATTERN "[\\w+=,.@-]*"
#define ROLE_MIN_S 900
#define ROLE_MAX_S 43200
#define ROLE_DEFAULT_S 3600
#define CHAINED_MAX_S 3600 /* a role taken with a role's keys */
#define CLAIM_MAX 255u     /* of what is given back of a token */

static const sts_rule role_arn = {"RoleArn", "roleArn", STS_REQUIRED, 20, 2048, NULL, NULL};
static const sts_rule session_name = {
    "RoleSessionName", "roleSessionName", STS_REQUIRED, 2, 64, WORD, WORD_PATTERN};

/* What both operations ask for. */
typedef struct wish {
    weir_str arn, session;
    weir_str account, role; /* of the ARN; the role with its path */
    int64_t duration_s;
    uint32_t token_bytes, percent;
} wish;

/* arn:PARTITION:iam::ACCOUNT:role/PATH/NAME */
static bool split_arn(wish *w) {
    weir_str rest = w->arn;
    if (!str_eq_z(aws_until(&rest, ':'), "arn") || !str_starts(aws_until(&rest, ':'), STR("aws")) ||
        !str_eq_z(aws_until(&rest, ':'), "iam") || aws_until(&rest, ':').len != 0)
        return false;
    w->account = aws_until(&rest, ':');
    if (w->account.len != STS_ACCOUNT_LEN || !str_starts(rest, STR("role/"))) return false;
    for (size_t i = 0; i < w->account.len; i++)
        if (w->account.ptr[i] < '0' || w->account.ptr[i] > '9') return false;
    w->role = str_make(rest.ptr + 5, (size_t)rest.len - 5);
    return w->role.len && w->role.ptr[w->role.len - 1] != '/';
}

static bool listed(const weir_json_doc *doc, weir_str arn, weir_str role) {
    const weir_value *list = doc ? weir_json_root(doc) : NULL;
    const weir_value *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, item = weir_value_next(item))
        if (str_eq(weir_value_str(item), arn) || str_eq(weir_value_str(item), role)) return true;
    return false;
}

static bool exists(const sts *s, const wish *w) {
    return (!s->roles || listed(s->roles, w->arn, w->role)) && !listed(s->deny, w->arn, w->role);
}

/* Of the ARN, or of the role's name alone; ptr NULL: none is asked for. */
static weir_str wanted_external_id(const sts *s, const wish *w) {
    const weir_value *all = s->external_ids ? weir_json_root(s->external_ids) : NULL;
    const weir_value *key = all ? all + 1 : NULL;
    for (uint32_t i = 0; all && i < all->size; i++, key = weir_value_next(key + 1))
        if (str_eq(weir_value_str(key), w->arn) || str_eq(weir_value_str(key), w->role))
            return weir_value_str(key + 1);
    return (weir_str){NULL, 0};
}

static void read_wish(sts_call *call, wish *w) {
    *w = (wish){.arn = sts_text(call, &role_arn), .session = sts_text(call, &session_name)};
    w->duration_s = sts_number(call, "DurationSeconds", "durationSeconds", ROLE_MIN_S, ROLE_MAX_S,
                               ROLE_DEFAULT_S);
    w->token_bytes = (uint32_t)sts_number(call, "MinimumSessionTokenSize",
                                          "minimumSessionTokenSize", 0, 4096, 0);
}

static bool check_arn(sts_call *call, wish *w) {
    if (split_arn(w)) return true;
    sts_fail(call, &STS_VALIDATION, "%.*s is invalid", w->arn.len > 256 ? 256 : (int)w->arn.len,
             w->arn.ptr);
    return false;
}

/* <Credentials/> and <AssumedRoleUser/>; false: the call has ended. */
static bool give_role(sts_call *call, const wish *w) {
    weir_str rest = w->arn;
    aws_until(&rest, ':');
    weir_str partition = aws_until(&rest, ':');
    const sts_grant *g =
        sts_issue_role(call->s->home, &(sts_role){partition, w->account, w->role, w->session,
                                                  w->duration_s, w->token_bytes});
    if (!g) {
        sts_fail(call, &STS_MEMORY, "out of memory");
        return false;
    }
    sts_begin(call);
    sts_put_keys(call, g);
    weir_xml_put_open(&call->out, "AssumedRoleUser");
    weir_xml_put_element_z(&call->out, "AssumedRoleId", g->user_id);
    weir_xml_put_element_z(&call->out, "Arn", g->arn);
    weir_xml_put_close(&call->out, "AssumedRoleUser");
    if (w->percent) weir_xml_put_element_u64(&call->out, "PackedPolicySize", w->percent);
    return true;
}

void sts_assume_role(sts_call *call) {
    static const sts_rule external = {"ExternalId", "externalId",      0, 2, 1224,
                                      "+=,.@:/-",   "[\\w+=,.@:\\/-]*"};
    static const sts_rule serial = {"SerialNumber", "serialNumber",  0, 9, 256,
                                    "+=/:,.@-",     "[\\w+=/:,.@-]*"};
    static const sts_rule code = {"TokenCode", "tokenCode", STS_SECRET | STS_DIGITS, 6, 6,
                                  "",          "[\\d]*"};
    static const sts_rule source = {"SourceIdentity", "sourceIdentity", 0, 2, 64, WORD,
                                    WORD_PATTERN};
    wish w;
    read_wish(call, &w);
    weir_str external_id = sts_text(call, &external);
    sts_text(call, &serial);
    sts_text(call, &code);
    weir_str identity = sts_text(call, &source);
    uint32_t bytes = sts_session_bytes(call, false);
    if (!sts_valid(call) || !check_arn(call, &w)) return;
    if (call->caller && call->caller->kind == STS_ROLE && w.duration_s > CHAINED_MAX_S) {
        sts_fail(call, &STS_VALIDATION,
                 "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                 "by role chaining");
        return;
    }
    weir_str wanted = wanted_external_id(call->s, &w);
    if (!exists(call->s, &w) || (wanted.ptr && !str_eq(wanted, external_id))) {
        weir_str who = sts_caller_arn(call);
        sts_fail(call, &STS_DENIED,
                 "User: %.*s is not authorized to perform: sts:AssumeRole on resource: %.*s",
                 STR_FMT(who), STR_FMT(w.arn));
        return;
    }
    if (!sts_packed(call, bytes, &w.percent) || !give_role(call, &w)) return;
    if (identity.ptr) weir_xml_put_element(&call->out, "SourceIdentity", identity);
    sts_end(call);
}

/* ---- web identity ---- */

/* A part of a token (base64 with - and _, no padding) as JSON; NULL: it is none. */
static weir_json_doc *token_part(sts_call *call, weir_str part) {
    size_t room = ((size_t)part.len + 3) / 4 * 4;
    char *text = arena_alloc(call->memory, room + 1), *bytes = arena_alloc(call->memory, room + 1);
    if (!text || !bytes || !part.len) return NULL;
    for (size_t i = 0; i < room; i++) {
        char c = i < part.len ? part.ptr[i] : '=';
        text[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    uint64_t n = weir_base64_decode(str_make(text, room), bytes);
    if (n == UINT64_MAX) return NULL;
    weir_json_doc *doc = weir_json_read(str_make(bytes, (size_t)n), 0, NULL);
    if (doc && weir_json_root(doc)->type == WEIR_V_OBJECT) return doc;
    weir_json_free(doc);
    return NULL;
}

/* header.claims.signature; the signature is not checked, since nobody's keys are known here. */
static weir_json_doc *token_claims(sts_call *call, weir_str token) {
    weir_str rest = token;
    weir_json_doc *head = token_part(call, aws_until(&rest, '.'));
    weir_json_doc *claims = head ? token_part(call, aws_until(&rest, '.')) : NULL;
    weir_json_free(head);
    if (claims && rest.len && !memchr(rest.ptr, '.', (size_t)rest.len)) return claims;
    weir_json_free(claims);
    return NULL;
}

static void put_claim(sts_call *call, const char *element, const weir_value *claim) {
    if (claim && claim->type == WEIR_V_ARRAY && claim->size) claim++;
    if (!claim || claim->type != WEIR_V_STRING) return;
    weir_str text = weir_value_str(claim);
    if (text.len > CLAIM_MAX) text.len = CLAIM_MAX;
    weir_xml_put_element(&call->out, element, text);
}

static bool token_in_time(sts_call *call, const weir_value *claims) {
    static const sts_error expired = {"ExpiredTokenException", 400};
    const weir_value *exp = weir_json_get(claims, "exp");
    int64_t now_s = server_told_ms(local_server(call->s->home)) / 1000;
    int64_t exp_s = INT64_MAX;
    if (exp && exp->type == WEIR_V_I64) exp_s = exp->as.i64;
    if (exp && exp->type == WEIR_V_F64 && exp->as.f64 < 1e15)
        exp_s = exp->as.f64 < 0 ? 0 : (int64_t)exp->as.f64;
    if (now_s < exp_s) return true;
    sts_fail(call, &expired,
             "Token expired: current date/time %" PRId64
             " must be before the expiration date/time %" PRId64,
             now_s, exp_s);
    return false;
}

void sts_assume_role_with_web_identity(sts_call *call) {
    static const sts_error invalid = {"InvalidIdentityToken", 400};
    static const sts_rule token_rule = {
        "WebIdentityToken", "webIdentityToken", STS_REQUIRED | STS_SECRET, 4, 20000, NULL, NULL};
    static const sts_rule provider = {"ProviderId", "providerId", 0, 4, 2048, NULL, NULL};
    wish w;
    read_wish(call, &w);
    weir_str token = sts_text(call, &token_rule);
    sts_text(call, &provider);
    uint32_t bytes = sts_session_bytes(call, true);
    if (!sts_valid(call) || !check_arn(call, &w)) return;
    weir_json_doc *doc = token_claims(call, token);
    if (!doc) {
        sts_fail(call, &invalid,
                 "The ID Token provided is not a valid JWT. (You may see this error if you sent an "
                 "Access Token)");
        return;
    }
    const weir_value *claims = weir_json_root(doc);
    if (!token_in_time(call, claims)) {
        ;
    } else if (!exists(call->s, &w)) {
        sts_fail(call, &STS_DENIED, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    } else if (sts_packed(call, bytes, &w.percent) && give_role(call, &w)) {
        put_claim(call, "SubjectFromWebIdentityToken", weir_json_get(claims, "sub"));
        put_claim(call, "Audience", weir_json_get(claims, "aud"));
        put_claim(call, "Provider", weir_json_get(claims, "iss"));
        sts_end(call);
    }
    weir_json_free(doc);
}

/* ---- what is not here ---- */

static const sts_error unsupported = {"UnsupportedOperation", 400};

void sts_refuse_saml(sts_call *call) {
    sts_fail(call, &unsupported,
             "weir-local has no SAML identity providers; use AssumeRole or "
             "AssumeRoleWithWebIdentity");
}

void sts_refuse_other(sts_call *call) {
    sts_fail(call, &unsupported,
             "weir-local does not offer %s; the README of tools/local-aws "
             "lists what it does",
             call->operation);
}
