/* One step of a plan from each place: environment, container, instance, role, program. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "credentials.h"

#define ECS_HOST "http://169.254.170.2"
#define IMDS_IPV4 "http://169.254.169.254"
#define IMDS_IPV6 "http://[fd00:ec2::254]"
#define CONTAINER_TIMEOUT_MS 2000u
#define IMDS_TIMEOUT_MS 1000u
#define STS_TIMEOUT_MS 10000u
#define PROCESS_TIMEOUT_MS 60000u
#define DURATION_MIN_S 900u
#define DURATION_MAX_S 43200u

static bool global_sts(aws_step *s, const char *region, const aws_options *o, const aws_env *env,
                       const aws_profiles *profiles, aws_problem *problem);
static bool may_be_clear(const char *url);
static bool clean_line(const char *value);
static bool dup_to(char **out, const char *z);
static weir_str str(const char *z);

bool aws_plan_environment(aws_plan *plan, const aws_env *env, aws_problem *problem) {
    const char *id = aws_env_get(env, "AWS_ACCESS_KEY_ID");
    const char *secret = aws_env_get(env, "AWS_SECRET_ACCESS_KEY");
    const char *token = aws_env_get(env, "AWS_SESSION_TOKEN");
    if (!token) token = aws_env_get(env, "AWS_SECURITY_TOKEN");
    if (!id && !secret) return false;
    if (!secret)
        return aws_refuse(problem, "credentials",
                          "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY",
                          "set both or neither");
    if (!id)
        return aws_refuse(problem, "credentials",
                          "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID",
                          "set both or neither");
    if (!aws_keys_are_clean(str(id), str(secret), str(token)))
        return aws_refuse(problem, "credentials",
                          "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN holds a "
                          "line end or another character that no key has",
                          "set them without the line end of the file they come from");
    aws_step *s = aws_plan_add(plan, STEP_KEYS, problem);
    if (!s) return false;
    if (!aws_identity_set(&s->keys, str(id), str(secret), str(token), "environment", NEVER_US))
        return aws_no_memory(problem);
    return aws_plan_origin(plan, "environment", "", problem);
}

bool aws_plan_container(aws_plan *plan, const aws_env *env, aws_problem *problem) {
    const char *relative = aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *file = aws_env_get(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_env_get(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (!relative && !full) return false;
    if (relative && relative[0] != '/') {
        text_add_f(&problem->words,
                   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is \"%.128s\", which does not begin "
                   "with /",
                   relative);
        return aws_refuse(problem, "credentials", "", "ECS sets it; do not change it");
    }
    if (!relative && !may_be_clear(full)) {
        text_add_f(&problem->words,
                   "AWS_CONTAINER_CREDENTIALS_FULL_URI is \"%.256s\", which is neither https nor a "
                   "host of this machine, of ECS or of EKS",
                   full);
        return aws_refuse(problem, "credentials", "",
                          "keys must not cross a network in clear; use https");
    }
    if (!file && token && !clean_line(token))
        return aws_refuse(problem, "credentials",
                          "AWS_CONTAINER_AUTHORIZATION_TOKEN contains a line end",
                          "a header has one line");
    aws_step *s = aws_plan_add(plan, STEP_CONTAINER, problem);
    if (!s) return false;
    text url = {0};
    if (relative) text_add_z(&url, ECS_HOST);
    text_add_z(&url, relative ? relative : full);
    bool ok = dup_to(&s->url, text_z(&url)) && dup_to(&s->token_file, file) &&
              dup_to(&s->authorization, file ? NULL : token);
    text_free(&url);
    s->timeout_ms = CONTAINER_TIMEOUT_MS;
    s->attempts = 3;
    if (!ok || !s->url) return aws_no_memory(problem);
    return aws_plan_origin(plan, "container service ", s->url, problem);
}

bool aws_plan_imds(aws_plan *plan, const aws_env *env, aws_problem *problem) {
    const char *disabled = aws_env_get(env, "AWS_EC2_METADATA_DISABLED");
    const char *url = aws_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = aws_env_get(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (disabled && strcasecmp(disabled, "true") == 0) return false;
    if (mode && strcasecmp(mode, "IPv4") != 0 && strcasecmp(mode, "IPv6") != 0) {
        text_add_f(&problem->words, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is \"%.64s\"", mode);
        return aws_refuse(problem, "credentials", "", "it is IPv4 or IPv6");
    }
    if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        text_add_f(&problem->words,
                   "AWS_EC2_METADATA_SERVICE_ENDPOINT is \"%.128s\", which is no http URL", url);
        return aws_refuse(problem, "credentials", "", "it looks like " IMDS_IPV4);
    }
    if (!url) url = mode && strcasecmp(mode, "IPv6") == 0 ? IMDS_IPV6 : IMDS_IPV4;
    aws_step *s = aws_plan_add(plan, STEP_IMDS, problem);
    if (!s) return false;
    s->timeout_ms = IMDS_TIMEOUT_MS;
    s->attempts = 3;
    if (!dup_to(&s->url, url)) return aws_no_memory(problem);
    for (size_t n = strlen(s->url); n > 0 && s->url[n - 1] == '/'; n--) s->url[n - 1] = '\0';
    return aws_plan_origin(plan, "instance metadata", "", problem);
}

bool aws_plan_role(aws_plan *plan, const aws_options *o, const char *role_arn, const char *session,
                   const char *external_id, uint32_t duration_s, const char *token_file,
                   const char *region, const aws_env *env, const aws_profiles *profiles,
                   aws_problem *problem) {
    weir_aws_arn arn;
    if (!weir_aws_arn_parse(str(role_arn), &arn)) {
        text_add_f(&problem->words, "\"%.128s\" is not the ARN of a role", role_arn);
        return aws_refuse(problem, "credentials.role_arn", "",
                          "it looks like arn:aws:iam::123456789012:role/NAME");
    }
    if (duration_s && (duration_s < DURATION_MIN_S || duration_s > DURATION_MAX_S)) {
        text_add_f(&problem->words, "a role cannot be taken for %u seconds", duration_s);
        return aws_refuse(problem, "credentials.duration", "", "it is 15 minutes to 12 hours");
    }
    aws_step *s = aws_plan_add(plan, token_file ? STEP_WEB_IDENTITY : STEP_ROLE, problem);
    if (!s) return false;
    /* The service's own endpoint says nothing about STS. */
    aws_options sts = {.endpoint = o->sts_endpoint, .fips = o->fips, .dual_stack = o->dual_stack};
    sts.profile = o->profile;
    if (sts.endpoint) sts.fips = sts.dual_stack = false;
    aws_endpoint endpoint;
    if (!aws_endpoint_resolve(&endpoint, &sts, "sts", region, env, profiles, problem)) {
        if (problem->option && strcmp(problem->option, "endpoint") == 0)
            problem->option = "credentials.sts_endpoint";
        return false;
    }
    s->url = endpoint.url;
    if (!endpoint.overridden && !sts.fips && !sts.dual_stack &&
        !global_sts(s, region, &sts, env, profiles, problem))
        return false;
    s->duration_s = duration_s;
    s->timeout_ms = STS_TIMEOUT_MS;
    s->attempts = 3;
    if (!dup_to(&s->role_arn, role_arn) || !dup_to(&s->session_name, session) ||
        !dup_to(&s->external_id, external_id) || !dup_to(&s->token_file, token_file))
        return aws_no_memory(problem);
    return aws_plan_origin(plan, token_file ? "web identity for role " : "role ", role_arn,
                           problem);
}

bool aws_plan_process(aws_plan *plan, const char *command, aws_problem *problem) {
    aws_step *s = aws_plan_add(plan, STEP_PROCESS, problem);
    if (!s) return false;
    s->timeout_ms = PROCESS_TIMEOUT_MS;
    s->attempts = 1;
    if (!dup_to(&s->command, command)) return aws_no_memory(problem);
    return aws_plan_origin(plan, "credential process", "", problem);
}

/*
 * AWS_STS_REGIONAL_ENDPOINTS=legacy: the global endpoint, for the regions that there were when it
 * was the only one. Those that came later never were served by it; so the list is at its end.
 */
static bool global_sts(aws_step *s, const char *region, const aws_options *o, const aws_env *env,
                       const aws_profiles *profiles, aws_problem *problem) {
    static const char *const regions[] = {
        "ap-northeast-1", "ap-south-1",   "ap-southeast-1", "ap-southeast-2",
        "aws-global",     "ca-central-1", "eu-central-1",   "eu-north-1",
        "eu-west-1",      "eu-west-2",    "eu-west-3",      "sa-east-1",
        "us-east-1",      "us-east-2",    "us-west-1",      "us-west-2"};
    const char *mode = aws_env_get(env, "AWS_STS_REGIONAL_ENDPOINTS");
    const char *profile = o->profile ? o->profile : aws_profile_default(env);
    if (!mode) mode = aws_profile_get(profiles, profile, "sts_regional_endpoints");
    if (!mode || strcasecmp(mode, "regional") == 0) return true;
    if (strcasecmp(mode, "legacy") != 0) {
        text_add_f(&problem->words,
                   "AWS_STS_REGIONAL_ENDPOINTS (or sts_regional_endpoints) is \"%.64s\"", mode);
        return aws_refuse(problem, "credentials", "", "it is legacy or regional");
    }
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        if (strcmp(region, regions[i]) != 0) continue;
        free(s->url);
        if (dup_to(&s->url, "https://sts.amazonaws.com") && dup_to(&s->region, "us-east-1"))
            return true;
        return aws_no_memory(problem);
    }
    return true;
}

/* Whether keys may come from there: over TLS, or from a host that no network lies in front of. */
static bool may_be_clear(const char *url) {
    static const char *const hosts[] = {"localhost", "169.254.170.2", "169.254.170.23",
                                        "[fd00:ec2::23]", "[::1]"};
    if (strncmp(url, "https://", 8) == 0) return url[8] != '\0';
    if (strncmp(url, "http://", 7) != 0) return false;
    const char *host = url + 7;
    size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len)) return false;
    if (host[0] == '[') {
        size_t close = strcspn(host, "]");
        len = close < len ? close + 1 : len;
    } else {
        len = strcspn(host, ":/?#");
    }
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (strlen(hosts[i]) == len && strncasecmp(hosts[i], host, len) == 0) return true;
    /* 127.0.0.0/8, as digits and dots only: 127.example.com is somebody else. */
    return len > 4 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len;
}

static bool clean_line(const char *value) {
    return value[strcspn(value, "\r\n")] == '\0';
}

static bool dup_to(char **out, const char *z) {
    *out = z ? strdup(z) : NULL;
    return *out || !z;
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}
