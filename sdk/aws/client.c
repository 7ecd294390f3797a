#include "client.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/sdk.h"

#define SECRET_MAX 16384u /* a session token may take some kilobytes */
#define KEY_MAX 128u
#define ATTEMPTS_DEFAULT 3u
#define ATTEMPTS_MAX 100u
#define MS 1000000

static weir_status read_options(weir_aws_client *c, weir_error *error);
static void read_credentials(weir_ctx *ctx, const char *prefix, aws_options *o, bool *failed);
static bool key_of(char out[KEY_MAX], const char *prefix, const char *name);
static void options_free(aws_options *o);
static void read_retry(weir_aws_client *c, const aws_env *env, const aws_profiles *profiles);
static bool read_secret(weir_ctx *ctx, const char *key, const char **out);
static const char *read_text(weir_ctx *ctx, const char *key, bool *failed);
static weir_status resolve(weir_aws_client *c, const weir_aws_client_args *args, weir_error *error);
static weir_status make_http(weir_aws_client *c, const weir_aws_client_args *args,
                             weir_error *error);
static weir_status report(weir_ctx *ctx, weir_error *error, aws_problem *problem);
static char *segment_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static weir_str str(const char *z);
static void wipe(const char *z);

weir_status weir_aws_client_new(weir_ctx *ctx, const weir_aws_client_args *args, weir_error *error,
                                weir_aws_client **out) {
    *out = NULL;
    weir_aws_client *c = calloc(1, sizeof *c);
    if (c) {
        c->ctx = ctx;
        c->service = strdup(args->service);
        c->signer = weir_aws_signer_new();
    }
    if (!c || !c->service || !c->signer) {
        weir_aws_client_free(c);
        return weir_fail(ctx, error, WEIR_E_NOMEM, 0, "out of memory for an AWS client");
    }
    weir_status status = read_options(c, error);
    if (status == WEIR_OK) status = resolve(c, args, error);
    aws_plan plan = {0};
    aws_problem problem = {0};
    if (status == WEIR_OK && !aws_client_plan(c, &plan, &problem))
        status = report(ctx, error, &problem);
    if (status == WEIR_OK) status = make_http(c, args, error);
    if (status == WEIR_OK) status = aws_keys_open(c, &plan, error);
    aws_problem_free(&problem);
    aws_plan_free(&plan);
    if (status != WEIR_OK) {
        weir_aws_client_free(c);
        return status;
    }
    weir_log(ctx, WEIR_LOG_DEBUG, "%s at %s, region %s, credentials from %s", c->service,
             c->endpoint.url, c->region, c->identity.origin);
    *out = c;
    return WEIR_OK;
}

void weir_aws_client_free(weir_aws_client *c) {
    if (!c) return;
    c->closing = true;
    weir_aws_cancel_all(c);
    aws_keys_close(c);
    weir_http_free(c->http);
    weir_aws_signer_free(c->signer);
    aws_endpoint_free(&c->endpoint);
    wipe(c->options.region);
    wipe(c->options.endpoint);
    options_free(&c->options);
    wipe(c->fetch_args.proxy);
    wipe(c->fetch_args.ca_bundle);
    wipe(c->fetch_args.user_agent);
    free(c->region);
    free(c->service);
    free(c);
}

const char *weir_aws_region(const weir_aws_client *c) {
    return c->region;
}

const char *weir_aws_endpoint(const weir_aws_client *c) {
    return c->endpoint.url;
}

const char *weir_aws_keys_from(const weir_aws_client *c) {
    return c->identity.origin ? c->identity.origin : "nowhere";
}

int weir_aws_is_service(const weir_aws_client *c) {
    return !c->endpoint.overridden;
}

bool aws_client_plan(const weir_aws_client *c, aws_plan *plan, aws_problem *problem) {
    aws_env env = aws_env_process();
    aws_profiles profiles;
    aws_profiles_load(&profiles, &env);
    bool ok = aws_plan_make(plan, &c->options, c->region, &env, &profiles, problem);
    aws_profiles_free(&profiles);
    return ok;
}

int64_t weir_aws_now_us(const weir_aws_client *c) {
    return weir_wall_us(c->ctx) + c->skew_us;
}

/* ---- making a client ---- */

static weir_status read_options(weir_aws_client *c, weir_error *error) {
    aws_options *o = &c->options;
    bool failed = false;
    o->region = read_text(c->ctx, "region", &failed);
    o->endpoint = read_text(c->ctx, "endpoint", &failed);
    o->fips = weir_opt_bool(c->ctx, "fips");
    o->dual_stack = weir_opt_bool(c->ctx, "dual_stack");
    read_credentials(c->ctx, "credentials", o, &failed);
    if (!failed) return WEIR_OK;
    return weir_fail(c->ctx, error, WEIR_E_NOMEM, 0, "out of memory for the AWS options");
}

/* The map at `prefix` and, below it, the ones whose keys it takes a role with. */
static void read_credentials(weir_ctx *ctx, const char *prefix, aws_options *o, bool *failed) {
    static const char *const names[] = {"provider",          "profile",     "role_arn",
                                        "role_session_name", "external_id", "token_file",
                                        "sts_endpoint",      "command",     "access_key_id"};
    const char **const texts[] = {&o->provider,          &o->profile,     &o->role_arn,
                                  &o->role_session_name, &o->external_id, &o->token_file,
                                  &o->sts_endpoint,      &o->command,     &o->access_key_id};
    char key[KEY_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (key_of(key, prefix, names[i])) *texts[i] = read_text(ctx, key, failed);
    if (key_of(key, prefix, "secret_access_key") && !read_secret(ctx, key, &o->secret_access_key))
        *failed = true;
    if (key_of(key, prefix, "session_token") && !read_secret(ctx, key, &o->session_token))
        *failed = true;
    if (key_of(key, prefix, "duration"))
        o->duration_s = (uint32_t)(weir_opt_i64(ctx, key) / 1000000000);

    char source[KEY_MAX];
    if (!key_of(source, prefix, "source")) return;
    bool given = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        given |= key_of(key, source, names[i]) && weir_opt_is_set(ctx, key);
    if (!given) return;
    aws_options *inner = calloc(1, sizeof *inner);
    if (inner) read_credentials(ctx, source, inner, failed);
    *failed |= !inner;
    o->source = inner;
}

static bool key_of(char out[KEY_MAX], const char *prefix, const char *name) {
    int n = snprintf(out, KEY_MAX, "%s.%s", prefix, name);
    return n > 0 && n < (int)KEY_MAX;
}

static void options_free(aws_options *o) {
    const char *const texts[] = {o->provider,          o->profile,       o->access_key_id,
                                 o->secret_access_key, o->session_token, o->role_arn,
                                 o->role_session_name, o->external_id,   o->token_file,
                                 o->sts_endpoint,      o->command};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) wipe(texts[i]);
    aws_options *source = (aws_options *)(uintptr_t)o->source;
    if (source) options_free(source);
    free(source);
}

static const char *read_text(weir_ctx *ctx, const char *key, bool *failed) {
    weir_str s = weir_opt_str(ctx, key);
    if (s.len == 0) return NULL;
    char *z = malloc((size_t)s.len + 1);
    if (!z) {
        *failed = true;
        return NULL;
    }
    memcpy(z, s.ptr, (size_t)s.len);
    z[s.len] = '\0';
    return z;
}

static bool read_secret(weir_ctx *ctx, const char *key, const char **out) {
    *out = NULL;
    if (!weir_opt_is_set(ctx, key)) return true;
    char *z = malloc(SECRET_MAX + 1);
    if (!z) return false;
    uint64_t len = 0;
    weir_status status = weir_api_of(ctx)->config.secret(ctx, key, z, SECRET_MAX, &len);
    if (status != WEIR_OK || len > SECRET_MAX || len == 0) {
        free(z);
        return status == WEIR_OK || status == WEIR_E_NOT_FOUND;
    }
    z[len] = '\0';
    char *exact = strdup(z);
    OPENSSL_cleanse(z, (size_t)len);
    free(z);
    *out = exact;
    return exact != NULL;
}

static weir_status resolve(weir_aws_client *c, const weir_aws_client_args *args,
                           weir_error *error) {
    aws_env env = aws_env_process();
    aws_profiles profiles;
    aws_problem problem = {0};
    aws_profiles_load(&profiles, &env);
    aws_options_complete(&c->options, &env);
    char *arn_region =
        args->region.len ? strndup(args->region.ptr, (size_t)args->region.len) : NULL;
    c->region = aws_region_resolve(&c->options, arn_region, &env, &profiles, &problem);
    bool ok = c->region && aws_endpoint_resolve(&c->endpoint, &c->options, c->service, c->region,
                                                &env, &profiles, &problem);
    read_retry(c, &env, &profiles);
    weir_status status = ok ? WEIR_OK : report(c->ctx, error, &problem);
    free(arn_region);
    aws_problem_free(&problem);
    aws_profiles_free(&profiles);
    return status;
}

/* As the vendor's own tools take it: from the environment, then from the profile. */
static void read_retry(weir_aws_client *c, const aws_env *env, const aws_profiles *profiles) {
    const char *profile = c->options.profile ? c->options.profile : aws_profile_default(env);
    const char *revised = aws_env_get(env, "AWS_NEW_RETRIES_2026");
    const char *mode = aws_env_get(env, "AWS_RETRY_MODE");
    const char *attempts = aws_env_get(env, "AWS_MAX_ATTEMPTS");
    if (!mode) mode = aws_profile_get(profiles, profile, "retry_mode");
    if (!attempts) attempts = aws_profile_get(profiles, profile, "max_attempts");
    retry_init(&c->bucket, !(revised && strcmp(revised, "false") == 0));
    retry_rate_init(&c->rate);
    c->adaptive = mode && strcmp(mode, "adaptive") == 0;
    long n = attempts ? strtol(attempts, NULL, 10) : 0;
    c->attempts = n > 0 && n <= (long)ATTEMPTS_MAX ? (uint32_t)n : ATTEMPTS_DEFAULT;
}

static weir_status make_http(weir_aws_client *c, const weir_aws_client_args *args,
                             weir_error *error) {
    weir_ctx *ctx = c->ctx;
    bool failed = false;
    aws_env env = aws_env_process();
    const char *proxy = read_text(ctx, "proxy", &failed);
    const char *ca = read_text(ctx, "ca_bundle", &failed);
    const char *agent = read_text(ctx, "user_agent", &failed);
    int64_t connections = weir_opt_i64(ctx, "max_connections");
    int64_t connect_ns = weir_opt_i64(ctx, "connect_timeout");
    weir_http_config config = {
        .proxy = proxy,
        .ca_bundle = ca ? ca : aws_env_get(&env, "AWS_CA_BUNDLE"),
        .user_agent = agent ? agent : "weir",
        .max_connections = connections > 0 ? (uint32_t)connections : args->max_connections,
        .connect_timeout_ms = connect_ns > 0 ? (uint32_t)(connect_ns / MS) : 0,
        .tls_verify_off =
            weir_opt_is_set(ctx, "tls_verify") && !weir_opt_bool(ctx, "tls_verify") ? 1 : 0,
        .memory = {ctx, segment_alloc, weir_api_of(ctx)->batch.segment_free},
    };
    if (weir_opt_is(ctx, "http_version", "2")) config.http_version = WEIR_HTTP_2;
    if (weir_opt_is(ctx, "http_version", "1.1")) config.http_version = WEIR_HTTP_1_1;
    if (config.tls_verify_off)
        weir_log(ctx, WEIR_LOG_WARN,
                 "tls_verify is off: anybody on the way can read and change "
                 "what goes to %s",
                 c->endpoint.url);
    c->fetch_args = (aws_fetch_args){.ctx = ctx,
                                     .region = c->region,
                                     .proxy = proxy,
                                     .ca_bundle = ca,
                                     .user_agent = agent,
                                     .connect_timeout_ms = config.connect_timeout_ms,
                                     .tls_verify_off = config.tls_verify_off};
    if (!ca && config.ca_bundle) {
        c->fetch_args.ca_bundle = strdup(config.ca_bundle);
        failed |= !c->fetch_args.ca_bundle;
    }
    if (!failed) c->http = weir_http_new(&config);
    if (c->http) return WEIR_OK;
    return weir_fail(ctx, error, WEIR_E_NOMEM, 0, "cannot make an HTTP client");
}

static weir_status report(weir_ctx *ctx, weir_error *error, aws_problem *p) {
    if (p->status == WEIR_OK) p->status = WEIR_E_NOMEM;
    const char *words = text_z(&p->words), *hint = text_z(&p->hint);
    weir_fail(ctx, error, p->status, WEIR_ERR_CONFIG | WEIR_ERR_FATAL, "%s",
              words && *words ? words : "out of memory");
    if (hint && *hint) weir_fail_hint(ctx, error, "%s", hint);
    if (p->option) weir_fail_detail(ctx, error, WEIR_DETAIL_OPTION, str(p->option));
    return p->status;
}

static char *segment_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    weir_ctx *ctx = opaque;
    return weir_api_of(ctx)->batch.segment_alloc(ctx, size, capacity);
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}

static void wipe(const char *z) {
    char *memory = (char *)(uintptr_t)z;
    if (memory) OPENSSL_cleanse(memory, strlen(memory));
    free(memory);
}
