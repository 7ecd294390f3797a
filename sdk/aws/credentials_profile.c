/* A profile of the shared files as steps of a plan. */
#include <stdlib.h>
#include <string.h>

#include "credentials.h"

typedef struct walk {
    aws_plan *plan;
    const aws_options *o;
    const char *region;
    const aws_env *env;
    const aws_profiles *profiles;
    aws_problem *problem;
    const char *seen[PLAN_STEPS_MAX]; /* names on the way to here */
    uint32_t depth;
} walk;

static bool add_profile(walk *w, const char *profile, bool named, bool keys_only);
static bool add_role(walk *w, const char *profile, const char *role_arn);
static bool add_source(walk *w, const char *profile, const char *source);
static bool add_place(walk *w, const char *profile, const char *place);
static bool add_keys(walk *w, const char *profile, const char *id, const char *secret);
static bool refuse(walk *w, const char *profile, const char *words, const char *hint);
static uint32_t seconds(const char *z);
static weir_str str(const char *z);

bool aws_plan_profile(aws_plan *plan, const aws_options *o, const char *profile, bool named,
                      const char *region, const aws_env *env, const aws_profiles *profiles,
                      aws_problem *problem) {
    walk w = {plan, o, region, env, profiles, problem, {0}, 0};
    return add_profile(&w, profile, named, false);
}

void aws_plan_tell_profile(text *t, const char *profile, const aws_profiles *profiles) {
    text_add_f(t, "profile \"%.128s\" in ", profile);
    text_add_z(t, profiles->credentials_path ? profiles->credentials_path : "~/.aws/credentials");
    bool exists = aws_profile_exists(profiles, profile);
    const char *absent = exists ? "has no keys" : "no such profile";
    text_add_f(t, " (%s) and ",
               profiles->credentials_state == AWS_FILE_READ
                   ? absent
                   : aws_file_state_text(profiles->credentials_state));
    text_add_z(t, profiles->config_path ? profiles->config_path : "~/.aws/config");
    text_add_f(t, " (%s)",
               profiles->config_state == AWS_FILE_READ
                   ? absent
                   : aws_file_state_text(profiles->config_state));
}

/* `keys_only`: a profile that names itself as its source means the keys beside its role. */
static bool add_profile(walk *w, const char *profile, bool named, bool keys_only) {
    const aws_profiles *p = w->profiles;
    const char *id = aws_profile_get(p, profile, "aws_access_key_id");
    const char *secret = aws_profile_get(p, profile, "aws_secret_access_key");
    const char *role = aws_profile_get(p, profile, "role_arn");
    const char *file = aws_profile_get(p, profile, "web_identity_token_file");
    const char *process = aws_profile_get(p, profile, "credential_process");
    static const char *const refused[] = {"sso_session", "sso_start_url", "sso_account_id",
                                          "login_session"};
    if (role && !file && !keys_only) return add_role(w, profile, role);
    if (role && file && !keys_only)
        return aws_plan_role(w->plan, w->o, role, aws_profile_get(p, profile, "role_session_name"),
                             NULL, seconds(aws_profile_get(p, profile, "duration_seconds")), file,
                             w->region, w->env, p, w->problem);
    if (file)
        return refuse(w, profile, "has web_identity_token_file without role_arn",
                      "add the ARN of the role that trusts the identity");
    if (id || secret) return add_keys(w, profile, id, secret);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (!aws_profile_get(p, profile, refused[i])) continue;
        w->problem->status = WEIR_E_UNSUPPORTED;
        w->problem->option = "credentials.profile";
        text_add_f(&w->problem->words,
                   "profile \"%.128s\" gets its keys through %s, that is by a person who logs in "
                   "with a browser, which a service cannot do",
                   profile, refused[i]);
        text_add_f(&w->problem->hint,
                   "run \"aws configure export-credentials --profile %.128s --format env\" for the "
                   "keys of an hour, or use a role",
                   profile);
        return false;
    }
    if (process) return aws_plan_process(w->plan, process, w->problem);
    /* AWS_PROFILE may stand for a region only; a profile that is not there at all is a mistake. */
    if (!named || (!w->o->profile && !w->o->provider && aws_profile_exists(p, profile)))
        return false;
    w->problem->status = WEIR_E_AUTH;
    w->problem->option = "credentials.profile";
    text_add_z(&w->problem->words, "no AWS credentials found; tried ");
    aws_plan_tell_profile(&w->problem->words, profile, p);
    text_add_z(&w->problem->hint, "check the profile's name and what it holds");
    return false;
}

static bool add_role(walk *w, const char *profile, const char *role_arn) {
    const aws_profiles *p = w->profiles;
    const char *source = aws_profile_get(p, profile, "source_profile");
    const char *place = aws_profile_get(p, profile, "credential_source");
    if (aws_profile_get(p, profile, "mfa_serial"))
        return refuse(w, profile, "has mfa_serial, but nobody is there to type the code",
                      "use a role that does not ask for one");
    if (!source == !place)
        return refuse(w, profile,
                      source ? "has both source_profile and credential_source beside role_arn"
                             : "has role_arn without source_profile or credential_source",
                      "the role needs the keys of exactly one of them");
    bool ok = source ? add_source(w, profile, source) : add_place(w, profile, place);
    return ok &&
           aws_plan_role(w->plan, w->o, role_arn, aws_profile_get(p, profile, "role_session_name"),
                         aws_profile_get(p, profile, "external_id"),
                         seconds(aws_profile_get(p, profile, "duration_seconds")), NULL, w->region,
                         w->env, p, w->problem);
}

static bool add_source(walk *w, const char *profile, const char *source) {
    if (w->depth + 1 >= PLAN_STEPS_MAX)
        return refuse(w, profile, "stands at the end of too many source_profile", "take fewer");
    w->seen[w->depth++] = profile;
    bool self = strcmp(profile, source) == 0;
    for (uint32_t i = 0; !self && i < w->depth; i++) {
        if (strcmp(w->seen[i], source) != 0) continue;
        text_add_f(&w->problem->words,
                   "source_profile leads from profile \"%.128s\" back to "
                   "\"%.128s\"",
                   profile, source);
        return aws_refuse(w->problem, "credentials.profile", "",
                          "the last profile of the chain must have keys of its own");
    }
    if (!aws_profile_exists(w->profiles, source)) {
        text_add_f(&w->problem->words,
                   "profile \"%.128s\" names source_profile \"%.128s\", which does not exist",
                   profile, source);
        return aws_refuse(w->problem, "credentials.profile", "", "check the name");
    }
    if (add_profile(w, source, true, self)) return true;
    if (w->problem->status != WEIR_OK) return false;
    text_add_f(&w->problem->words,
               "profile \"%.128s\" takes its keys from \"%.128s\", which has "
               "none",
               profile, source);
    return aws_refuse(w->problem, "credentials.profile", "", "add keys to it");
}

static bool add_place(walk *w, const char *profile, const char *place) {
    bool ok = false;
    if (strcmp(place, "Environment") == 0)
        ok = aws_plan_environment(w->plan, w->env, w->problem);
    else if (strcmp(place, "EcsContainer") == 0)
        ok = aws_plan_container(w->plan, w->env, w->problem);
    else if (strcmp(place, "Ec2InstanceMetadata") == 0)
        ok = aws_plan_imds(w->plan, w->env, w->problem);
    else {
        text_add_f(&w->problem->words, "profile \"%.128s\" has credential_source \"%.64s\"",
                   profile, place);
        return aws_refuse(w->problem, "credentials.profile", "",
                          "it is Environment, EcsContainer or Ec2InstanceMetadata");
    }
    if (ok || w->problem->status != WEIR_OK) return ok;
    text_add_f(&w->problem->words,
               "profile \"%.128s\" has credential_source %s, but the environment holds nothing of "
               "that kind",
               profile, place);
    return aws_refuse(w->problem, "credentials.profile", "", "set its variables, or change it");
}

static bool add_keys(walk *w, const char *profile, const char *id, const char *secret) {
    const char *token = aws_profile_get(w->profiles, profile, "aws_session_token");
    if (!id || !secret) {
        text_add_f(&w->problem->words, "profile \"%.128s\" has %s without %s", profile,
                   id ? "aws_access_key_id" : "aws_secret_access_key",
                   id ? "aws_secret_access_key" : "aws_access_key_id");
        return aws_refuse(w->problem, "credentials.profile", "",
                          "a key pair has two halves; add the other one");
    }
    text quoted = {0};
    text_add_f(&quoted, "\"%.256s\"", profile);
    const char *z = text_z(&quoted);
    aws_step *s = aws_plan_add(w->plan, STEP_KEYS, w->problem);
    bool ok =
        z ? s && aws_plan_origin(w->plan, "profile ", z, w->problem) : aws_no_memory(w->problem);
    if (ok &&
        !aws_identity_set(&s->keys, str(id), str(secret), str(token), w->plan->origin, NEVER_US))
        ok = aws_no_memory(w->problem);
    text_free(&quoted);
    return ok;
}

static bool refuse(walk *w, const char *profile, const char *words, const char *hint) {
    text_add_f(&w->problem->words, "profile \"%.128s\" ", profile);
    return aws_refuse(w->problem, "credentials.profile", words, hint);
}

/* What is no number is passed on as one that no role can have. */
static uint32_t seconds(const char *z) {
    if (!z) return 0;
    uint32_t n = 0;
    for (; *z; z++) {
        if (*z < '0' || *z > '9' || n > 1000000) return 1;
        n = n * 10 + (uint32_t)(*z - '0');
    }
    return n ? n : 1;
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}
