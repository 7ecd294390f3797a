/*
 * sdk/aws/credentials.h - from options, environment and profiles to a plan, and from the plan to
 * keys. Internal.
 *
 *   aws_plan_make  (no network)            aws_fetch  (asynchronous)
 *   options, env, profiles --> [ step, step, ... ] --> keys --> aws_share --> all clients
 *
 * A plan is a chain: the first step has or gets keys, each further one takes a role with the keys
 * before it. The order of the sources is written down in docs/adr/0005-credential-chain.md.
 */
#ifndef WEIR_AWS_CREDENTIALS_H
#define WEIR_AWS_CREDENTIALS_H

#include "settings.h"
#include "weir/aws.h"

#define PLAN_STEPS_MAX 8u
#define NEVER_US INT64_MAX

/* One consistent set of keys, with where it came from ("environment", "profile \"x\""). */
typedef struct aws_identity {
    char *access_key_id, *secret_access_key, *session_token; /* token may be NULL */
    char *origin;
    int64_t expires_us; /* since 1970; NEVER_US = not at all */
} aws_identity;
bool aws_identity_set(aws_identity *out, weir_str id, weir_str secret, weir_str token,
                      const char *origin, int64_t expires_us);
/* Whether each is printable ASCII without white space: the first and the last go into headers, and
 * a line end behind a secret (a mounted file, a careless export) would only make signatures wrong.
 */
bool aws_keys_are_clean(weir_str id, weir_str secret, weir_str token);
bool aws_identity_copy(aws_identity *out, const aws_identity *from);
void aws_identity_free(aws_identity *id); /* wipes */

/* ---- the plan ---- */

typedef enum {
    STEP_KEYS,         /* they stand in options, environment or a file */
    STEP_ROLE,         /* STS AssumeRole with the keys of the step before */
    STEP_WEB_IDENTITY, /* STS AssumeRoleWithWebIdentity with the token in a file */
    STEP_CONTAINER,    /* ECS, EKS Pod Identity and their like */
    STEP_IMDS,         /* the instance's role */
    STEP_PROCESS       /* what a program prints */
} step_kind;

typedef struct aws_step {
    step_kind kind;
    aws_identity keys;                           /* KEYS */
    char *role_arn, *session_name, *external_id; /* ROLE, WEB_IDENTITY; the last two may be NULL */
    uint32_t duration_s;                         /* 0 = the service's default, an hour */
    char *url;                     /* of STS, of the container's service, of the metadata service */
    char *region;                  /* ROLE: STS is signed for; NULL = the client's */
    char *token_file;              /* WEB_IDENTITY; CONTAINER: may be NULL */
    char *authorization;           /* CONTAINER: the token itself, may be NULL */
    char *command;                 /* PROCESS */
    uint32_t attempts, timeout_ms; /* of one attempt */
} aws_step;

typedef struct aws_plan {
    aws_step steps[PLAN_STEPS_MAX];
    uint32_t count;
    char *origin; /* for people: "role arn:... with keys from the environment" */
    text tried;   /* last resort: every place that held nothing; else empty */
} aws_plan;

/* Does no network I/O. False with `problem` filled. `region`: where STS is asked. */
bool aws_plan_make(aws_plan *out, const aws_options *o, const char *region, const aws_env *env,
                   const aws_profiles *profiles, aws_problem *problem);
void aws_plan_free(aws_plan *plan); /* wipes */
/* Whether all of it is there already: keys that only a file's change can change. */
bool aws_plan_is_keys(const aws_plan *plan);
/* Equal plans give equal hashes; tells nothing about the secrets in it. */
void aws_plan_fingerprint(const aws_plan *plan, char out[WEIR_AWS_HASH_SIZE]);

/* The steps of a profile, added to the plan. `named`: somebody asked for this very profile, so that
 * its absence is an error; otherwise false with problem->status OK means that it holds nothing. */
bool aws_plan_profile(aws_plan *plan, const aws_options *o, const char *profile, bool named,
                      const char *region, const aws_env *env, const aws_profiles *profiles,
                      aws_problem *problem);
/* Building blocks: each adds one step. */
bool aws_plan_environment(aws_plan *plan, const aws_env *env, aws_problem *problem);
bool aws_plan_container(aws_plan *plan, const aws_env *env, aws_problem *problem);
bool aws_plan_imds(aws_plan *plan, const aws_env *env, aws_problem *problem);
bool aws_plan_role(aws_plan *plan, const aws_options *o, const char *role_arn, const char *session,
                   const char *external_id, uint32_t duration_s, const char *token_file,
                   const char *region, const aws_env *env, const aws_profiles *profiles,
                   aws_problem *problem);
bool aws_plan_process(aws_plan *plan, const char *command, aws_problem *problem);
void aws_plan_tell_profile(text *t, const char *profile, const aws_profiles *profiles);
/* A place for one more step; NULL: the chain is too long. */
aws_step *aws_plan_add(aws_plan *plan, step_kind kind, aws_problem *problem);
/* "role X" with "environment" before it becomes "role X with keys from environment". */
bool aws_plan_origin(aws_plan *plan, const char *format, const char *name, aws_problem *problem);
bool aws_refuse(aws_problem *problem, const char *option, const char *words, const char *hint);
bool aws_no_memory(aws_problem *problem);

/* ---- getting keys ---- */

typedef struct aws_fetch aws_fetch;

typedef struct aws_fetch_args {
    weir_ctx *ctx;
    const char *region;
    const char *proxy, *ca_bundle, *user_agent; /* for STS; copied */
    uint32_t connect_timeout_ms, tls_verify_off;
    int64_t skew_us; /* of this machine's clock: added to it */
} aws_fetch_args;

/* Begins with a plan, which it takes over and empties. NULL without memory. */
aws_fetch *aws_fetch_start(const aws_fetch_args *args, aws_plan *plan);
/* Stops whatever is under way. NULL is ignored. */
void aws_fetch_free(aws_fetch *f);
/* Moves it without waiting; true once it is over. `next_ns` is lowered to when it wants to be moved
 * again. */
bool aws_fetch_drive(aws_fetch *f, int64_t *next_ns);
/* After the end: true with the keys moved to `out`, or false with the problem moved. */
bool aws_fetch_take(aws_fetch *f, aws_identity *out, aws_problem *problem);
/* The clock's skew, corrected by what the services said. */
int64_t aws_fetch_skew_us(const aws_fetch *f);
/* What it does at present, for people: "asking STS at ...". Never a secret. */
const char *aws_fetch_doing(const aws_fetch *f);

/* ---- the keys that clients share ---- */

/*
 * Clients of one process whose plans are the same have the same keys: one of them gets new ones
 * while the others go on with the old ones. Everything here may be called from any thread; `wake`
 * runs on the thread of whoever changed something, and must only wake.
 */
typedef struct aws_share aws_share;
typedef struct aws_member {
    void (*wake)(void *opaque);
    void *opaque;
    struct aws_member *next; /* the share's */
} aws_member;

aws_share *aws_share_join(const char fingerprint[WEIR_AWS_HASH_SIZE], aws_member *member);
void aws_share_leave(aws_share *share, aws_member *member);

typedef struct aws_look {
    bool usable;       /* there are keys and they hold */
    bool your_turn;    /* this member gets new ones now: publish, fail or give_up must follow */
    uint64_t version;  /* of the keys, from 1 */
    uint64_t failures; /* how often nobody could get any */
} aws_look;
/* `want`: begin a refresh if it is due. */
aws_look aws_share_look(aws_share *share, aws_member *member, int64_t now_us, bool want);
bool aws_share_copy(aws_share *share, aws_identity *out, uint64_t *version);
/* Moves the keys out of `keys`. `random`: for a refresh that does not come with everybody's. */
void aws_share_publish(aws_share *share, aws_member *member, aws_identity *keys, int64_t now_us,
                       uint64_t random);
void aws_share_fail(aws_share *share, aws_member *member, const aws_problem *problem,
                    int64_t now_us);
void aws_share_give_up(aws_share *share, aws_member *member);
/* A service calls the keys of `version` expired: nobody uses them any more. */
void aws_share_expire(aws_share *share, uint64_t version);
/* The words and the hint of the last failure, and its status. */
weir_status aws_share_problem(aws_share *share, text *words, text *hint);

/* "2026-01-15T12:30:45Z" (fraction and "+00:00" allowed) as microseconds since 1970; INT64_MIN. */
int64_t aws_iso_time_us(weir_str s);

#endif
