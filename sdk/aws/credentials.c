#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

static bool from_options(aws_identity *out, const aws_options *o, aws_problem *problem);
static bool from_environment(aws_identity *out, const aws_env *env, aws_problem *problem);
static bool from_profile(aws_identity *out, const char *profile, bool named,
                         const aws_profiles *profiles, aws_problem *problem);
static void tell_profile(text *t, const char *profile, const aws_profiles *profiles);
static bool keep(aws_identity *out, const char *id, const char *secret, const char *token,
                 const char *origin, const char *name, aws_problem *problem);
static bool refuse(aws_problem *problem, const char *option, const char *words, const char *hint);
static char *dup_or_null(const char *z);
static void wipe(char **z);

void aws_problem_free(aws_problem *p) {
    text_free(&p->words);
    text_free(&p->hint);
    memset(p, 0, sizeof *p);
}

void aws_identity_free(aws_identity *id) {
    wipe(&id->access_key_id);
    wipe(&id->secret_access_key);
    wipe(&id->session_token);
    free(id->origin);
    memset(id, 0, sizeof *id);
}

/*
 * auto: keys in the options, a profile named in the options, keys in the environment, the profile
 * of AWS_PROFILE or "default". A profile that the manifest names is an explicit choice and is
 * therefore taken before the environment.
 */
bool aws_identity_resolve(aws_identity *out, const aws_options *o, const aws_env *env,
                          const aws_profiles *profiles, aws_problem *problem) {
    memset(out, 0, sizeof *out);
    const char *provider = o->provider ? o->provider : "auto";
    const char *profile = o->profile ? o->profile : aws_profile_default(env);
    bool named = o->profile || strcmp(profile, "default") != 0;
    bool automatic = strcmp(provider, "auto") == 0;
    if (strcmp(provider, "basic") == 0) {
        if (from_options(out, o, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return refuse(problem, "credentials.access_key_id",
                      "credentials.provider is basic, but credentials.access_key_id and "
                      "credentials.secret_access_key are not given",
                      "give both, or choose another credentials.provider");
    }
    if (strcmp(provider, "env") == 0) {
        if (from_environment(out, env, problem)) return true;
        if (problem->status != WEIR_OK) return false;
        return refuse(problem, "credentials.provider",
                      "credentials.provider is env, but AWS_ACCESS_KEY_ID and "
                      "AWS_SECRET_ACCESS_KEY are not set",
                      "export both, or choose another credentials.provider");
    }
    if (strcmp(provider, "profile") == 0) {
        if (from_profile(out, profile, true, profiles, problem)) return true;
        return false;
    }
    if (!automatic) {
        text_add_f(&problem->words, "credentials.provider %.64s is not available in this version",
                   provider);
        problem->status = WEIR_E_UNSUPPORTED;
        problem->option = "credentials.provider";
        text_add_z(&problem->hint, "use auto, env, profile or basic");
        return false;
    }

    if (from_options(out, o, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    if (o->profile) return from_profile(out, profile, true, profiles, problem);
    if (from_environment(out, env, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    if (from_profile(out, profile, named, profiles, problem)) return true;
    if (problem->status != WEIR_OK) return false;
    problem->status = WEIR_E_AUTH;
    problem->option = "credentials";
    text_add_z(&problem->words,
               "no AWS credentials found; tried the options credentials.access_key_id and "
               "credentials.secret_access_key (not given), the environment variables "
               "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not set), ");
    tell_profile(&problem->words, profile, profiles);
    text_add_z(&problem->hint,
               "set the two environment variables or put keys into that profile; an "
               "endpoint that checks nothing takes any");
    return false;
}

static bool from_options(aws_identity *out, const aws_options *o, aws_problem *problem) {
    if (!o->access_key_id && !o->secret_access_key) {
        if (o->session_token)
            refuse(problem, "credentials.session_token",
                   "credentials.session_token is given without credentials.access_key_id",
                   "a token is one of three parts; give all three");
        return false;
    }
    if (!o->secret_access_key)
        return refuse(problem, "credentials.secret_access_key",
                      "credentials.access_key_id is given without credentials.secret_access_key",
                      "give both or neither");
    if (!o->access_key_id)
        return refuse(problem, "credentials.access_key_id",
                      "credentials.secret_access_key is given without credentials.access_key_id",
                      "give both or neither");
    return keep(out, o->access_key_id, o->secret_access_key, o->session_token, "options", NULL,
                problem);
}

static bool from_environment(aws_identity *out, const aws_env *env, aws_problem *problem) {
    const char *id = aws_env_get(env, "AWS_ACCESS_KEY_ID");
    const char *secret = aws_env_get(env, "AWS_SECRET_ACCESS_KEY");
    const char *token = aws_env_get(env, "AWS_SESSION_TOKEN");
    if (!token) token = aws_env_get(env, "AWS_SECURITY_TOKEN");
    if (!id && !secret) return false;
    if (!secret)
        return refuse(problem, "credentials",
                      "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY",
                      "set both or neither");
    if (!id)
        return refuse(problem, "credentials",
                      "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID",
                      "set both or neither");
    return keep(out, id, secret, token, "environment", NULL, problem);
}

/* `named`: somebody asked for this very profile, so that its absence is an error. */
static bool from_profile(aws_identity *out, const char *profile, bool named,
                         const aws_profiles *profiles, aws_problem *problem) {
    const char *id = aws_profile_get(profiles, profile, "aws_access_key_id");
    const char *secret = aws_profile_get(profiles, profile, "aws_secret_access_key");
    const char *token = aws_profile_get(profiles, profile, "aws_session_token");
    if (id && secret) return keep(out, id, secret, token, "profile", profile, problem);
    if (id || secret) {
        problem->status = WEIR_E_AUTH;
        problem->option = "credentials.profile";
        text_add_f(&problem->words, "profile \"%.128s\" has %s without %s", profile,
                   id ? "aws_access_key_id" : "aws_secret_access_key",
                   id ? "aws_secret_access_key" : "aws_access_key_id");
        text_add_z(&problem->hint, "a key pair has two halves; add the other one");
        return false;
    }
    static const char *const others[] = {"role_arn", "web_identity_token_file",
                                         "credential_process", "sso_session", "sso_start_url"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (!aws_profile_get(profiles, profile, others[i])) continue;
        problem->status = WEIR_E_UNSUPPORTED;
        problem->option = "credentials.profile";
        text_add_f(&problem->words,
                   "profile \"%.128s\" gets its keys through %s, which this version cannot do",
                   profile, others[i]);
        text_add_z(&problem->hint,
                   "use a profile with aws_access_key_id and aws_secret_access_key");
        return false;
    }
    if (!named) return false;
    problem->status = WEIR_E_AUTH;
    problem->option = "credentials.profile";
    text_add_z(&problem->words, "no AWS credentials found; tried ");
    tell_profile(&problem->words, profile, profiles);
    text_add_z(&problem->hint, "check the profile's name and what it holds");
    return false;
}

static void tell_profile(text *t, const char *profile, const aws_profiles *profiles) {
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

static bool keep(aws_identity *out, const char *id, const char *secret, const char *token,
                 const char *origin, const char *name, aws_problem *problem) {
    text t = {0};
    text_add_z(&t, origin);
    if (name) {
        text_add_z(&t, " \"");
        text_add_z(&t, name);
        text_add_z(&t, "\"");
    }
    const char *z = text_z(&t);
    out->access_key_id = dup_or_null(id);
    out->secret_access_key = dup_or_null(secret);
    out->session_token = dup_or_null(token);
    out->origin = dup_or_null(z);
    text_free(&t);
    if (out->access_key_id && out->secret_access_key && out->origin &&
        (out->session_token || !token))
        return true;
    aws_identity_free(out);
    problem->status = WEIR_E_NOMEM;
    text_add_z(&problem->words, "out of memory");
    return false;
}

static bool refuse(aws_problem *problem, const char *option, const char *words, const char *hint) {
    problem->status = WEIR_E_AUTH;
    problem->option = option;
    text_add_z(&problem->words, words);
    text_add_z(&problem->hint, hint);
    return false;
}

static char *dup_or_null(const char *z) {
    return z ? strdup(z) : NULL;
}

static void wipe(char **z) {
    if (*z) OPENSSL_cleanse(*z, strlen(*z));
    free(*z);
    *z = NULL;
}
