/*
 * sts/sts.h - temporary keys, and the service that hands them out.
 *
 *   sts.c       the Query protocol: which operation, who asks, answers and errors in XML; settings
 *   checks.c    the limits of parameters, in the service's words
 *   roles.c     AssumeRole, AssumeRoleWithWebIdentity
 *   sessions.c  GetSessionToken, GetFederationToken, GetCallerIdentity, GetAccessKeyInfo
 *   grants.c    the keys themselves: made, registered with the signature check, remembered
 *
 * Every temporary key of the endpoint is made by sts_issue, those of the metadata service too, so
 * that GetCallerIdentity knows whose each one is.
 */
#ifndef WEIR_LOCAL_STS_H
#define WEIR_LOCAL_STS_H

#include "aws/aws.h"
#include "base/map.h"
#include "sts/form.h"
#include "xml.h"

#define STS_GRANTS_MAX 100000u /* keys remembered; beyond it the oldest are nobody's */
#define STS_TOKEN_BYTES 400u   /* what the service's tokens have, more or less */
#define STS_TOKEN_BYTES_MAX 16384u
#define STS_ACCOUNT_LEN 12u

typedef enum sts_kind { STS_ROLE, STS_SESSION, STS_FEDERATED } sts_kind;

typedef struct sts_grant {
    struct sts_grant *next; /* the one issued after it */
    sts_kind kind;
    char access_key[21], secret[41];
    char account[STS_ACCOUNT_LEN + 1];
    char *token, *arn, *user_id;
    /* Two clocks: the verifier's is the services' (it moves with advance_ms), the one that clients
     * are told is that of the Date header, with which they compare it. */
    int64_t issued_ms, expires_ms, told_ms;
} sts_grant;

typedef struct sts {
    local *home;
    map *by_key; /* access key -> sts_grant */
    sts_grant *oldest, *newest;
    /* Settings, NULL or 0 where there is none. */
    weir_json_doc *roles, *deny, *external_ids;
    int64_t duration_s;
    uint32_t token_bytes;
} sts;

/* New keys, known to the signature check for so long. NULL without memory; they live until
 * STS_GRANTS_MAX later ones are issued. `token_bytes`: at least so many. */
typedef struct sts_wish {
    sts_kind kind;
    weir_str account, arn, user_id;
    int64_t duration_s;
    uint32_t token_bytes;
} sts_wish;
const sts_grant *sts_issue(local *home, const sts_wish *wish);
void sts_grants_free(sts *s);
/* Keys outlive the process with --dir: their owners do not know that it was started anew. */
bool sts_save(void *own, keep *k);
bool sts_load(void *own, keep *k);
/* Keys of a role, as AssumeRole gives them: for services that take roles on somebody's behalf. */
typedef struct sts_role {
    weir_str partition, account; /* "aws", "123456789012" */
    weir_str role;               /* with its path */
    weir_str session;
    int64_t duration_s;
    uint32_t token_bytes;
} sts_role;
const sts_grant *sts_issue_role(local *home, const sts_role *role);
const sts_grant *sts_find(local *home, weir_str access_key); /* NULL: not issued here */
/* "AROA" and 17 characters that are the same for the same text. */
void sts_unique_id(const char prefix[5], weir_str of, char out[22]);
const char *sts_partition(const local *home);
/* "2026-01-15T12:30:45Z". */
void sts_time(int64_t ms, char out[32]);

/* ---- a call ---- */

typedef struct sts_error {
    const char *code;
    unsigned status;
} sts_error;

typedef struct sts_call {
    sts *s;
    exchange *x;
    arena *memory;
    form in;
    const char *operation;
    weir_str access_key;     /* who signed, or empty */
    const sts_grant *caller; /* NULL: the endpoint's own user */
    buf invalid;             /* what checks found */
    uint32_t invalid_count;
    weir_xml_writer out;
    char request_id[37];
} sts_call;

/* Each call ends in exactly one of these. */
void sts_fail(sts_call *call, const sts_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Behind sts_begin and what was written to call->out. */
void sts_end(sts_call *call);
void sts_begin(sts_call *call);
void sts_put_keys(sts_call *call, const sts_grant *g);
/* The account and the ARN of whoever asks. */
weir_str sts_caller_account(const sts_call *call);
weir_str sts_caller_arn(sts_call *call);

extern const sts_error STS_DENIED, STS_VALIDATION, STS_MEMORY;

void sts_assume_role(sts_call *call);
void sts_assume_role_with_web_identity(sts_call *call);
void sts_refuse_saml(sts_call *call);
void sts_refuse_other(sts_call *call);
void sts_get_session_token(sts_call *call);
void sts_get_federation_token(sts_call *call);
void sts_get_caller_identity(sts_call *call);
void sts_get_access_key_info(sts_call *call);

/* ---- checks.c: each notes what is wrong; sts_valid ends the call if anything was ---- */

#define STS_REQUIRED (1u << 0)
#define STS_SECRET (1u << 1) /* the value does not stand in the error */
#define STS_DIGITS (1u << 2) /* [\d]* */

/* The parameter's text, ptr NULL if it is absent. `also`: characters besides letters, digits and
 * underscore, and `pattern` that rule as the service words it; `also` NULL: any. */
typedef struct sts_rule {
    const char *name;   /* "RoleSessionName" */
    const char *member; /* "roleSessionName" */
    uint32_t flags, min, max;
    const char *also, *pattern;
} sts_rule;
weir_str sts_text(sts_call *call, const sts_rule *rule);
int64_t sts_number(sts_call *call, const char *name, const char *member, int64_t min, int64_t max,
                   int64_t otherwise);
/* Policy, PolicyArns, Tags, TransitiveTagKeys, ProvidedContexts: bytes of them; `bounded`: a policy
 * has at most 2048 characters. */
uint32_t sts_session_bytes(sts_call *call, bool bounded);
bool sts_valid(sts_call *call);
/* Ends the call with false if these bytes pass what fits; else the percentage. */
bool sts_packed(sts_call *call, uint32_t bytes, uint32_t *percent);

#endif
