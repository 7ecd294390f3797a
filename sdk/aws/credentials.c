#include "credentials.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add_provider(aws_plan *plan, const aws_options *o, const char *region,
                         const aws_env *env, const aws_profiles *profiles, aws_problem *problem,
                         uint32_t depth);
static bool add_role(aws_plan *plan, const aws_options *o, const char *region, const aws_env *env,
                     const aws_profiles *profiles, aws_problem *problem, uint32_t depth);
static bool add_web_identity(aws_plan *plan, const aws_options *o, bool asked, const char *region,
                             const aws_env *env, const aws_profiles *profiles,
                             aws_problem *problem);
static bool add_auto(aws_plan *plan, const aws_options *o, const char *region, const aws_env *env,
                     const aws_profiles *profiles, aws_problem *problem);
static bool add_basic(aws_plan *plan, const aws_options *o, aws_problem *problem);
static bool is(const char *value, const char *word);
static weir_str str(const char *z);
static char *copy(weir_str s, bool *failed);

void aws_problem_free(aws_problem *p) {
    text_free(&p->words);
    text_free(&p->hint);
    memset(p, 0, sizeof *p);
}

/* ---- keys ---- */

bool aws_identity_set(aws_identity *out, weir_str id, weir_str secret, weir_str token,
                      const char *origin, int64_t expires_us) {
    bool failed = false;
    memset(out, 0, sizeof *out);
    out->access_key_id = copy(id, &failed);
    out->secret_access_key = copy(secret, &failed);
    if (token.len > 0) out->session_token = copy(token, &failed);
    out->origin = copy(str(origin), &failed);
    out->expires_us = expires_us;
    if (failed) aws_identity_free(out);
    return !failed;
}

bool aws_keys_are_clean(weir_str id, weir_str secret, weir_str token) {
    const weir_str all[] = {id, secret, token};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (uint64_t k = 0; k < all[i].len; k++)
            if ((unsigned char)all[i].ptr[k] <= ' ' || (unsigned char)all[i].ptr[k] >= 127)
                return false;
    return true;
}

bool aws_identity_copy(aws_identity *out, const aws_identity *from) {
    return aws_identity_set(out, str(from->access_key_id), str(from->secret_access_key),
                            str(from->session_token), from->origin, from->expires_us);
}

void aws_identity_free(aws_identity *id) {
    char *const secrets[] = {id->access_key_id, id->secret_access_key, id->session_token};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (secrets[i]) OPENSSL_cleanse(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    free(id->origin);
    memset(id, 0, sizeof *id);
}

/* ---- the plan ---- */

bool aws_plan_make(aws_plan *out, const aws_options *o, const char *region, const aws_env *env,
                   const aws_profiles *profiles, aws_problem *problem) {
    memset(out, 0, sizeof *out);
    if (profiles->no_memory) return aws_no_memory(problem); /* they are there in part only */
    if (add_provider(out, o, region, env, profiles, problem, 0)) return true;
    aws_plan_free(out);
    return false;
}

static bool add_provider(aws_plan *plan, const aws_options *o, const char *region,
                         const aws_env *env, const aws_profiles *profiles, aws_problem *problem,
                         uint32_t depth) {
    const char *provider = o->provider ? o->provider : "auto";
    if (is(provider, "assume_role"))
        return add_role(plan, o, region, env, profiles, problem, depth);
    if (o->source)
        return aws_refuse(problem, "credentials.source",
                          "credentials.source is given, but the provider is not assume_role",
                          "source says whose keys take a role; set provider: assume_role");
    if (is(provider, "auto")) return add_auto(plan, o, region, env, profiles, problem);
    if (is(provider, "basic")) {
        if (add_basic(plan, o, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return aws_refuse(problem, "credentials.access_key_id",
                          "credentials.provider is basic, but credentials.access_key_id and "
                          "credentials.secret_access_key are not given",
                          "give both, or choose another credentials.provider");
    }
    if (is(provider, "env")) {
        if (aws_plan_environment(plan, env, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return aws_refuse(problem, "credentials.provider",
                          "credentials.provider is env, but AWS_ACCESS_KEY_ID and "
                          "AWS_SECRET_ACCESS_KEY are not set",
                          "export both, or choose another credentials.provider");
    }
    if (is(provider, "profile")) {
        const char *profile = o->profile ? o->profile : aws_profile_default(env);
        return aws_plan_profile(plan, o, profile, true, region, env, profiles, problem);
    }
    if (is(provider, "web_identity"))
        return add_web_identity(plan, o, true, region, env, profiles, problem);
    if (is(provider, "container")) {
        if (aws_plan_container(plan, env, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return aws_refuse(problem, "credentials.provider",
                          "credentials.provider is container, but "
                          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and "
                          "AWS_CONTAINER_CREDENTIALS_FULL_URI are not set",
                          "ECS and EKS Pod Identity set one of them; is this such a container, and "
                          "does it have a role?");
    }
    if (is(provider, "imds")) {
        if (aws_plan_imds(plan, env, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return aws_refuse(problem, "credentials.provider",
                          "credentials.provider is imds, but AWS_EC2_METADATA_DISABLED is true",
                          "unset it, or choose another credentials.provider");
    }
    if (is(provider, "process")) {
        const char *profile = o->profile ? o->profile : aws_profile_default(env);
        const char *command =
            o->command ? o->command : aws_profile_get(profiles, profile, "credential_process");
        if (command) return aws_plan_process(plan, command, problem);
        return aws_refuse(problem, "credentials.command",
                          "credentials.provider is process, but credentials.command is not given "
                          "and the profile has no credential_process",
                          "give the command that prints the keys");
    }
    text_add_f(&problem->words, "credentials.provider %.64s is not known", provider);
    return aws_refuse(problem, "credentials.provider", "",
                      "use auto, basic, env, profile, assume_role, web_identity, container, imds "
                      "or process");
}

/* The order is that of docs/adr/0005-credential-chain.md; change both. What is configured counts,
 * even if it fails later: going on to the next would run a job as somebody else. */
static bool add_auto(aws_plan *plan, const aws_options *o, const char *region, const aws_env *env,
                     const aws_profiles *profiles, aws_problem *problem) {
    const char *profile = o->profile ? o->profile : aws_profile_default(env);
    if (add_basic(plan, o, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    if (o->role_arn || o->token_file || o->command)
        return aws_refuse(problem, "credentials.provider",
                          "credentials.role_arn, token_file or command is given without a provider",
                          "set credentials.provider: assume_role, web_identity or process");
    if (o->profile) return aws_plan_profile(plan, o, profile, true, region, env, profiles, problem);
    if (aws_plan_environment(plan, env, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    bool named = !is(profile, "default");
    if (aws_plan_profile(plan, o, profile, named, region, env, profiles, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    if (add_web_identity(plan, o, false, region, env, profiles, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    if (aws_plan_container(plan, env, problem)) return true;
    if (problem->status != WEIR_OK) return false;

    text *t = &plan->tried;
    text_add_z(t, "no AWS credentials found; tried the options credentials.access_key_id and "
                  "credentials.secret_access_key (not given), the environment variables "
                  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not set), ");
    aws_plan_tell_profile(t, profile, profiles);
    text_add_z(t, ", AWS_WEB_IDENTITY_TOKEN_FILE and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or "
                  "..._FULL_URI (not set), ");
    if (aws_plan_imds(plan, env, problem)) {
        text_add_z(t, "and the instance metadata service at ");
        text_add_z(t, plan->steps[0].url);
        return t->failed ? aws_no_memory(problem) : true;
    }
    if (problem->status != WEIR_OK) return false;
    text_add_z(t, "and not the instance metadata service (AWS_EC2_METADATA_DISABLED)");
    text_add_str(&problem->words, text_str(t));
    return aws_refuse(problem, "credentials", "",
                      "set the two environment variables or put keys into that profile; an "
                      "endpoint that checks nothing takes any");
}

static bool add_basic(aws_plan *plan, const aws_options *o, aws_problem *problem) {
    if (!o->access_key_id && !o->secret_access_key) {
        if (o->session_token)
            aws_refuse(problem, "credentials.session_token",
                       "credentials.session_token is given without credentials.access_key_id",
                       "a token is one of three parts; give all three");
        return false;
    }
    if (!o->secret_access_key)
        return aws_refuse(
            problem, "credentials.secret_access_key",
            "credentials.access_key_id is given without credentials.secret_access_key",
            "give both or neither");
    if (!o->access_key_id)
        return aws_refuse(
            problem, "credentials.access_key_id",
            "credentials.secret_access_key is given without credentials.access_key_id",
            "give both or neither");
    aws_step *s = aws_plan_add(plan, STEP_KEYS, problem);
    if (!s) return false;
    if (!aws_identity_set(&s->keys, str(o->access_key_id), str(o->secret_access_key),
                          str(o->session_token), "options", NEVER_US))
        return aws_no_memory(problem);
    return aws_plan_origin(plan, "options", "", problem);
}

static bool add_role(aws_plan *plan, const aws_options *o, const char *region, const aws_env *env,
                     const aws_profiles *profiles, aws_problem *problem, uint32_t depth) {
    if (!o->role_arn)
        return aws_refuse(problem, "credentials.role_arn",
                          "credentials.provider is assume_role, but credentials.role_arn is not "
                          "given",
                          "give the ARN of the role, arn:aws:iam::ACCOUNT:role/NAME");
    if (depth + 1 >= PLAN_STEPS_MAX)
        return aws_refuse(problem, "credentials.source", "credentials.source is nested too deeply",
                          "take fewer roles one after the other");
    /* Keys and a profile beside role_arn are those of the source. */
    aws_options implied = *o;
    implied.provider = NULL;
    implied.role_arn = implied.role_session_name = implied.external_id = NULL;
    implied.token_file = implied.command = NULL;
    implied.duration_s = 0;
    aws_options given = implied;
    if (o->source) {
        if (o->access_key_id || o->profile)
            return aws_refuse(problem, "credentials.source",
                              "credentials.source stands beside keys or a profile of its own",
                              "put them into source");
        given = *o->source;
        if (!given.sts_endpoint) given.sts_endpoint = o->sts_endpoint;
        given.fips = o->fips;
        given.dual_stack = o->dual_stack;
    }
    return add_provider(plan, &given, region, env, profiles, problem, depth + 1) &&
           aws_plan_role(plan, o, o->role_arn, o->role_session_name, o->external_id, o->duration_s,
                         NULL, region, env, profiles, problem);
}

/* `asked`: the manifest names this provider. */
static bool add_web_identity(aws_plan *plan, const aws_options *o, bool asked, const char *region,
                             const aws_env *env, const aws_profiles *profiles,
                             aws_problem *problem) {
    const char *file = o->token_file, *role = o->role_arn, *session = o->role_session_name;
    if (!file) file = aws_env_get(env, "AWS_WEB_IDENTITY_TOKEN_FILE");
    if (!file && !asked) return false;
    if (!role) role = aws_env_get(env, "AWS_ROLE_ARN");
    if (!session) session = aws_env_get(env, "AWS_ROLE_SESSION_NAME");
    if (!file)
        return aws_refuse(problem, "credentials.token_file",
                          "credentials.provider is web_identity, but neither "
                          "credentials.token_file nor AWS_WEB_IDENTITY_TOKEN_FILE names the file "
                          "with the token",
                          "give the file; in EKS the service account's annotation sets it");
    if (!role)
        return aws_refuse(problem, "credentials.role_arn",
                          "a web identity needs a role, but neither credentials.role_arn nor "
                          "AWS_ROLE_ARN names one",
                          "give the ARN of the role that trusts the identity");
    return aws_plan_role(plan, o, role, session, NULL, o->duration_s, file, region, env, profiles,
                         problem);
}

void aws_plan_free(aws_plan *plan) {
    for (uint32_t i = 0; i < plan->count; i++) {
        aws_step *s = &plan->steps[i];
        aws_identity_free(&s->keys);
        free(s->role_arn);
        free(s->session_name);
        free(s->external_id);
        free(s->url);
        free(s->region);
        free(s->token_file);
        if (s->authorization) OPENSSL_cleanse(s->authorization, strlen(s->authorization));
        free(s->authorization);
        if (s->command) OPENSSL_cleanse(s->command, strlen(s->command));
        free(s->command);
    }
    free(plan->origin);
    text_free(&plan->tried);
    memset(plan, 0, sizeof *plan);
}

bool aws_plan_is_keys(const aws_plan *plan) {
    return plan->count == 1 && plan->steps[0].kind == STEP_KEYS;
}

/*
 * No memory is asked for: a hash of what had fitted into it would be the same for plans that are
 * not, and one job would get another's keys.
 */
#define PRINT_FIELDS 11u
void aws_plan_fingerprint(const aws_plan *plan, char out[WEIR_AWS_HASH_SIZE]) {
    char sizes[PLAN_STEPS_MAX][PRINT_FIELDS + 1][32];
    weir_str parts[PLAN_STEPS_MAX * (2 * PRINT_FIELDS + 1)];
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const aws_step *s = &plan->steps[i];
        const char *const fields[PRINT_FIELDS] = {s->keys.access_key_id,
                                                  s->keys.secret_access_key,
                                                  s->keys.session_token,
                                                  s->role_arn,
                                                  s->session_name,
                                                  s->external_id,
                                                  s->url,
                                                  s->region,
                                                  s->token_file,
                                                  s->authorization,
                                                  s->command};
        snprintf(sizes[i][PRINT_FIELDS], sizeof sizes[i][0], "%d %" PRIu32 "\n", (int)s->kind,
                 s->duration_s);
        parts[count++] = str(sizes[i][PRINT_FIELDS]);
        for (size_t k = 0; k < PRINT_FIELDS; k++) {
            snprintf(sizes[i][k], sizeof sizes[i][k], "%zu ", fields[k] ? strlen(fields[k]) : 0);
            parts[count++] = str(sizes[i][k]);
            parts[count++] = str(fields[k]);
        }
    }
    weir_aws_hash(parts, count, out);
}

aws_step *aws_plan_add(aws_plan *plan, step_kind kind, aws_problem *problem) {
    if (plan->count == PLAN_STEPS_MAX) {
        aws_refuse(problem, "credentials", "more than 8 roles would be taken one after the other",
                   "take fewer");
        return NULL;
    }
    aws_step *s = &plan->steps[plan->count++];
    s->kind = kind;
    return s;
}

bool aws_plan_origin(aws_plan *plan, const char *what, const char *name, aws_problem *problem) {
    text t = {0};
    text_add_z(&t, what);
    text_add_z(&t, name);
    if (plan->origin) {
        text_add_z(&t, " with keys from ");
        text_add_z(&t, plan->origin);
    }
    const char *z = text_z(&t);
    char *joined = z ? strdup(z) : NULL;
    text_free(&t);
    if (!joined) return aws_no_memory(problem);
    free(plan->origin);
    plan->origin = joined;
    return true;
}

bool aws_refuse(aws_problem *problem, const char *option, const char *words, const char *hint) {
    problem->status = WEIR_E_AUTH;
    problem->option = option;
    text_add_z(&problem->words, words);
    text_add_z(&problem->hint, hint);
    return false;
}

bool aws_no_memory(aws_problem *problem) {
    problem->status = WEIR_E_NOMEM;
    text_clear(&problem->words);
    text_add_z(&problem->words, "out of memory");
    return false;
}

static bool is(const char *value, const char *word) {
    return strcmp(value, word) == 0;
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}

static char *copy(weir_str s, bool *failed) {
    char *z = malloc((size_t)s.len + 1);
    if (z) {
        memcpy(z, s.ptr, (size_t)s.len);
        z[s.len] = '\0';
    }
    *failed |= !z;
    return z;
}
