#include "weir/aws.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "retry.h"
#include "settings.h"
#include "weir/sdk.h"

#define ATTEMPTS_DEFAULT 3u
#define TIMEOUT_DEFAULT_MS 60000u
#define CONTENT_TYPE "application/x-amz-json-1.1"
#define SECRET_MAX 16384u /* a session token may take some kilobytes */
#define MS 1000000

typedef struct call call;
struct call {
    weir_aws_client *client;
    call *prev, *next;
    weir_aws_call_args args; /* body, target and account are our copies */
    text body;
    char *target, *account;
    char hash[WEIR_AWS_HASH_SIZE]; /* of the body */
    char invocation[37];
    uint32_t attempt;    /* made so far */
    uint32_t last_cost;  /* what the last retry took out of the bucket */
    bool refreshed;      /* credentials were read again for this call */
    int64_t retry_at_ns; /* waiting for it; 0 = under way */
    weir_http_request *request;
};

struct weir_aws_client {
    weir_ctx *ctx;
    weir_http *http;
    weir_aws_signer *signer;
    char *service, *region;
    aws_options options; /* all strings ours */
    aws_endpoint endpoint;
    aws_identity identity;
    retry_bucket bucket;
    call *first;
    uint32_t active, completed;
    bool closing;
    atomic_bool woken;
};

static weir_status read_options(weir_aws_client *c, weir_error *error);
static bool read_secret(weir_ctx *ctx, const char *key, const char **out);
static const char *read_text(weir_ctx *ctx, const char *key, bool *failed);
static weir_status resolve(weir_aws_client *c, const weir_aws_client_args *args, weir_error *error);
static weir_status make_http(weir_aws_client *c, const weir_aws_client_args *args,
                             weir_error *error);
static weir_status report(weir_ctx *ctx, weir_error *error, aws_problem *problem);
static weir_status send_attempt(call *k);
static bool attempt_url(const call *k, text *url, weir_str *host, weir_str *path);
static void on_response(void *opaque, weir_http_response *http);
static bool try_again(call *k, weir_aws_response *r);
static bool refresh_identity(weir_aws_client *c);
static void finish(call *k, const weir_aws_response *response);
static void fail_unsent(call *k, uint32_t kind, weir_status status, const char *message);
static void start_due(weir_aws_client *c, int64_t *next_ns);
static void call_free(call *k);
static char *segment_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static void new_invocation(char out[37]);
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
    if (status == WEIR_OK) status = make_http(c, args, error);
    if (status != WEIR_OK) {
        weir_aws_client_free(c);
        return status;
    }
    aws_env env = aws_env_process();
    const char *revised = aws_env_get(&env, "AWS_NEW_RETRIES_2026");
    retry_init(&c->bucket, !(revised && strcmp(revised, "false") == 0));
    weir_log(ctx, WEIR_LOG_DEBUG, "%s at %s, region %s, credentials from %s", c->service,
             c->endpoint.url, c->region, c->identity.origin);
    *out = c;
    return WEIR_OK;
}

void weir_aws_client_free(weir_aws_client *c) {
    if (!c) return;
    c->closing = true;
    weir_aws_cancel_all(c);
    weir_http_free(c->http);
    weir_aws_signer_free(c->signer);
    aws_identity_free(&c->identity);
    aws_endpoint_free(&c->endpoint);
    wipe(c->options.access_key_id);
    wipe(c->options.secret_access_key);
    wipe(c->options.session_token);
    wipe(c->options.region);
    wipe(c->options.endpoint);
    wipe(c->options.provider);
    wipe(c->options.profile);
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

int weir_aws_is_service(const weir_aws_client *c) {
    return !c->endpoint.overridden;
}

weir_status weir_aws_call(weir_aws_client *c, const weir_aws_call_args *args) {
    if (c->closing) return WEIR_E_CANCELLED;
    call *k = calloc(1, sizeof *k);
    if (!k) return WEIR_E_NOMEM;
    k->client = c;
    k->args = *args;
    if (!k->args.attempts) k->args.attempts = ATTEMPTS_DEFAULT;
    if (!k->args.timeout_ms) k->args.timeout_ms = TIMEOUT_DEFAULT_MS;
    text_add_str(&k->body, args->body);
    k->target = strdup(args->target);
    bool accounts = args->account && c->endpoint.account_hosts && !c->endpoint.overridden;
    k->account = accounts ? strdup(args->account) : NULL;
    if (k->body.failed || !k->target || (accounts && !k->account)) {
        call_free(k);
        return WEIR_E_NOMEM;
    }
    weir_str body = text_str(&k->body);
    weir_aws_hash(&body, 1, k->hash);
    new_invocation(k->invocation);
    weir_status status = send_attempt(k);
    if (status != WEIR_OK) {
        call_free(k);
        return status;
    }
    k->next = c->first;
    if (k->next) k->next->prev = k;
    c->first = k;
    c->active++;
    return WEIR_OK;
}

uint32_t weir_aws_drive(weir_aws_client *c, int64_t deadline_ns) {
    c->completed = 0;
    for (;;) {
        int64_t until = deadline_ns;
        start_due(c, &until);
        if (c->completed > 0) until = 0; /* a retry that could not start */
        weir_http_drive(c->http, until);
        if (c->completed > 0 || atomic_exchange(&c->woken, false)) break;
        if (weir_mono_ns(c->ctx) >= deadline_ns) break;
    }
    return c->completed;
}

uint32_t weir_aws_active(const weir_aws_client *c) {
    return c->active;
}

void weir_aws_wakeup(weir_aws_client *c) {
    atomic_store(&c->woken, true);
    weir_http_wakeup(c->http);
}

void weir_aws_cancel_all(weir_aws_client *c) {
    /* Only the calls there are now: callbacks may make new ones. */
    call *k = c->first;
    uint32_t left = c->active;
    while (k && left-- > 0) {
        call *next = k->next;
        if (k->request)
            weir_http_cancel(c->http, k->request); /* comes back through on_response */
        else
            fail_unsent(k, WEIR_AWS_CANCELLED, WEIR_E_CANCELLED, "the call was cancelled");
        k = next;
    }
}

weir_status weir_aws_fail(weir_ctx *ctx, weir_error *error, const weir_aws_client *c,
                          const weir_aws_response *r, const char *what) {
    uint32_t flags = 0;
    if (r->kind == WEIR_AWS_THROTTLED || r->kind == WEIR_AWS_TRANSIENT) flags = WEIR_ERR_RETRYABLE;
    if (r->kind == WEIR_AWS_DENIED || r->kind == WEIR_AWS_EXPIRED ||
        r->kind == WEIR_AWS_NOT_FOUND || r->kind == WEIR_AWS_REFUSED)
        flags = WEIR_ERR_FATAL;
    weir_fail(ctx, error, r->status, flags, "%s: %.*s%s%.*s", what, (int)r->code.len, r->code.ptr,
              r->code.len && r->message.len ? ": " : "",
              (int)(r->message.len < 1024 ? r->message.len : 1024), r->message.ptr);
    if (r->http_status) {
        text t = {0};
        text_add_f(&t, "%u", r->http_status);
        weir_fail_detail(ctx, error, WEIR_DETAIL_HTTP_STATUS, text_str(&t));
        text_free(&t);
    }
    if (r->code.len) weir_fail_detail(ctx, error, WEIR_DETAIL_VENDOR_CODE, r->code);
    if (r->request_id.len) weir_fail_detail(ctx, error, WEIR_DETAIL_REQUEST_ID, r->request_id);
    const char *dot = memchr(r->operation.ptr, '.', (size_t)r->operation.len);
    int operation_len = dot ? (int)(r->operation.ptr + r->operation.len - dot - 1) : 0;
    switch (r->kind) {
    case WEIR_AWS_DENIED:
    case WEIR_AWS_EXPIRED:
        if (r->status == WEIR_E_PERMISSION)
            weir_fail_hint(ctx, error,
                           "the identity (access key from %s) needs permission for %s:%.*s",
                           c->identity.origin, c->service, operation_len, dot ? dot + 1 : "");
        else
            weir_fail_hint(ctx, error,
                           "check the access key and secret key (from %s) and this machine's clock",
                           c->identity.origin);
        break;
    case WEIR_AWS_NOT_FOUND:
        weir_fail_hint(ctx, error, "check the name, the region (%s) and the endpoint (%s)",
                       c->region, c->endpoint.url);
        break;
    case WEIR_AWS_TRANSIENT:
        if (r->http_status == 0)
            weir_fail_hint(ctx, error, "check that %s can be reached from here", c->endpoint.url);
        break;
    default:
        break;
    }
    return r->status;
}

int64_t weir_aws_backoff_ns(weir_ctx *ctx, uint32_t retry, int64_t base_ns, int64_t max_ns) {
    const weir_api *api = weir_api_of(ctx);
    return retry_jitter_ns(retry, base_ns, max_ns, api->random.u64(ctx));
}

int weir_aws_arn_parse(weir_str s, weir_aws_arn *out) {
    weir_str parts[6];
    const char *p = s.ptr, *end = p + s.len;
    for (int i = 0; i < 5; i++) {
        const char *colon = p < end ? memchr(p, ':', (size_t)(end - p)) : NULL;
        if (!colon) return 0;
        parts[i].ptr = p;
        parts[i].len = (uint64_t)(colon - p);
        p = colon + 1;
    }
    parts[5].ptr = p;
    parts[5].len = (uint64_t)(end - p);
    if (parts[0].len != 3 || memcmp(parts[0].ptr, "arn", 3) != 0 || parts[5].len == 0) return 0;
    out->partition = parts[1];
    out->service = parts[2];
    out->region = parts[3];
    out->account = parts[4];
    out->resource = parts[5];
    return 1;
}

/* ---- making a client ---- */

static weir_status read_options(weir_aws_client *c, weir_error *error) {
    aws_options *o = &c->options;
    bool failed = false;
    o->region = read_text(c->ctx, "region", &failed);
    o->endpoint = read_text(c->ctx, "endpoint", &failed);
    o->provider = read_text(c->ctx, "credentials.provider", &failed);
    o->profile = read_text(c->ctx, "credentials.profile", &failed);
    o->access_key_id = read_text(c->ctx, "credentials.access_key_id", &failed);
    o->fips = weir_opt_bool(c->ctx, "fips");
    o->dual_stack = weir_opt_bool(c->ctx, "dual_stack");
    if (!read_secret(c->ctx, "credentials.secret_access_key", &o->secret_access_key) ||
        !read_secret(c->ctx, "credentials.session_token", &o->session_token))
        failed = true;
    if (!failed) return WEIR_OK;
    return weir_fail(c->ctx, error, WEIR_E_NOMEM, 0, "out of memory for the AWS options");
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
    bool ok = c->region &&
              aws_endpoint_resolve(&c->endpoint, &c->options, c->service, c->region, &env,
                                   &profiles, &problem) &&
              aws_identity_resolve(&c->identity, &c->options, &env, &profiles, &problem);
    weir_status status = ok ? WEIR_OK : report(c->ctx, error, &problem);
    free(arn_region);
    aws_problem_free(&problem);
    aws_profiles_free(&profiles);
    return status;
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
    if (!failed) c->http = weir_http_new(&config);
    wipe(proxy); /* may hold a password */
    wipe(ca);
    wipe(agent);
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

/* ---- one attempt ---- */

static weir_status send_attempt(call *k) {
    weir_aws_client *c = k->client;
    text url = {0}, progress = {0};
    weir_str host, path;
    char date[WEIR_AWS_DATE_SIZE];
    weir_aws_format_date(weir_wall_us(c->ctx) / 1000000, date);
    weir_status status = WEIR_E_NOMEM;
    text_add_f(&progress, "attempt=%u; max=%u", k->attempt + 1, k->args.attempts);
    if (attempt_url(k, &url, &host, &path) && text_z(&progress)) {
        weir_http_header headers[9] = {
            {str("Content-Type"), str(CONTENT_TYPE)},
            {str("X-Amz-Target"), str(k->target)},
            {str("X-Amz-Date"), str(date)},
            {str("amz-sdk-invocation-id"), str(k->invocation)},
            {str("amz-sdk-request"), text_str(&progress)},
        };
        uint32_t count = 5;
        if (c->identity.session_token) {
            headers[count].name = str("X-Amz-Security-Token");
            headers[count++].value = str(c->identity.session_token);
        }
        headers[count].name = str("Host");
        headers[count++].value = host;
        weir_aws_keys keys = {str(c->identity.access_key_id), str(c->identity.secret_access_key),
                              str(c->identity.session_token)};
        weir_aws_sign_args sign = {.method = str("POST"),
                                   .path = path,
                                   .query = str(""),
                                   .headers = headers,
                                   .header_count = count,
                                   .payload_hash = str(k->hash),
                                   .region = str(c->region),
                                   .service = str(c->service),
                                   .date = str(date)};
        weir_str authorization = weir_aws_sign(c->signer, &keys, &sign);
        headers[count].name = str("Authorization");
        headers[count++].value = authorization;
        weir_str body = text_str(&k->body);
        int64_t deadline = weir_mono_ns(c->ctx) + (int64_t)k->args.timeout_ms * MS;
        if (k->args.deadline_ns && k->args.deadline_ns < deadline) deadline = k->args.deadline_ns;
        weir_http_args request = {.method = "POST",
                                  .url = url.ptr,
                                  .headers = headers,
                                  .header_count = count,
                                  .body = &body,
                                  .body_count = 1,
                                  .deadline_ns = deadline,
                                  .response_max = k->args.response_max,
                                  .done = on_response,
                                  .opaque = k};
        if (authorization.ptr) status = weir_http_start(c->http, &request, &k->request);
    }
    if (status == WEIR_OK) {
        k->attempt++;
        k->retry_at_ns = 0;
    }
    text_free(&url);
    text_free(&progress);
    return status;
}

/* The URL, NUL-terminated in `url`, and what of it is signed. */
static bool attempt_url(const call *k, text *url, weir_str *host, weir_str *path) {
    const weir_aws_client *c = k->client;
    char *account_url = NULL;
    if (k->account) {
        account_url =
            aws_endpoint_of_account(&c->options, c->service, c->region, k->account, k->args.plane);
        if (!account_url) return false;
    }
    const char *base = account_url ? account_url : c->endpoint.url;
    text_add_z(url, base);
    text_add_char(url, '/');
    free(account_url);
    if (!text_z(url)) return false;
    char *start = strstr(url->ptr, "://") + 3;
    char *slash = strchr(start, '/');
    host->ptr = start;
    host->len = (uint64_t)(slash - start);
    path->ptr = slash;
    path->len = strlen(slash);
    /* A default port is not part of the Host header. */
    const char *port = strncmp(url->ptr, "https", 5) == 0 ? ":443" : ":80";
    size_t n = strlen(port);
    if (host->len > n && memcmp(slash - n, port, n) == 0) host->len -= n;
    return true;
}

static void on_response(void *opaque, weir_http_response *http) {
    call *k = opaque;
    k->request = NULL;
    weir_aws_response r = {.operation = str(k->target),
                           .attempts = k->attempt,
                           .http_status = weir_http_status(http),
                           .code = str(""),
                           .message = str(""),
                           .body = weir_http_body(http),
                           .request_id = weir_http_header_value(http, "x-amzn-RequestId"),
                           .date_us = aws_http_date_us(weir_http_header_value(http, "Date")),
                           .retry_after_ms = -1,
                           .http = http};
    if (!r.request_id.ptr) r.request_id = str("");
    aws_error_parts parts = {0};
    weir_status status = weir_http_result(http);
    if (status == WEIR_OK && r.http_status == 200) {
        r.kind = WEIR_AWS_OK;
        retry_refund(&k->client->bucket, k->last_cost);
    } else if (status == WEIR_OK) {
        aws_error_read(&parts, weir_http_header_value(http, "x-amzn-ErrorType"), r.body);
        r.code = text_str(&parts.code);
        r.message = text_str(&parts.message);
        r.kind = aws_error_kind(r.http_status, r.code, &r.status);
        weir_str wish = weir_http_header_value(http, "x-amz-retry-after");
        if (wish.ptr && wish.len > 0 && wish.len < 10) {
            r.retry_after_ms = 0;
            for (uint64_t i = 0; i < wish.len && wish.ptr[i] >= '0' && wish.ptr[i] <= '9'; i++)
                r.retry_after_ms = r.retry_after_ms * 10 + (wish.ptr[i] - '0');
        }
        if (r.code.len == 0 && r.message.len == 0) {
            text_add_f(&parts.message, "HTTP status %u without an explanation", r.http_status);
            r.message = text_str(&parts.message);
        }
    } else {
        /* The answer, if any, is not whole. */
        r.http_status = 0;
        r.body = str("");
        r.message = str(weir_http_error_text(http));
        r.status = status;
        r.kind = status == WEIR_E_CANCELLED                        ? WEIR_AWS_CANCELLED
                 : status == WEIR_E_IO || status == WEIR_E_TIMEOUT ? WEIR_AWS_TRANSIENT
                 : status == WEIR_E_AUTH                           ? WEIR_AWS_DENIED
                                                                   : WEIR_AWS_REFUSED;
    }
    if (!try_again(k, &r)) finish(k, &r);
    aws_error_parts_free(&parts);
}

/* True if the call will be sent once more. */
static bool try_again(call *k, weir_aws_response *r) {
    weir_aws_client *c = k->client;
    if (c->closing || k->attempt >= k->args.attempts) return false;
    int64_t now = weir_mono_ns(c->ctx);
    if (r->kind == WEIR_AWS_EXPIRED && !k->refreshed) {
        k->refreshed = true;
        if (!refresh_identity(c)) return false;
        k->retry_at_ns = now;
        return true;
    }
    if (r->kind != WEIR_AWS_THROTTLED && r->kind != WEIR_AWS_TRANSIENT) return false;
    bool throttled = r->kind == WEIR_AWS_THROTTLED;
    uint64_t random = weir_api_of(c->ctx)->random.u64(c->ctx);
    int64_t delay = retry_delay_ns(&c->bucket, k->attempt, throttled, r->retry_after_ms, random);
    if (k->args.deadline_ns && now + delay >= k->args.deadline_ns) return false;
    uint32_t cost = retry_acquire(&c->bucket, throttled, r->status == WEIR_E_TIMEOUT);
    if (cost == 0) return false;
    k->last_cost = cost;
    k->retry_at_ns = now + delay > 0 ? now + delay : 1;
    return true;
}

/* Reads the profile files again: something outside may have put newer keys there. */
static bool refresh_identity(weir_aws_client *c) {
    aws_env env = aws_env_process();
    aws_profiles profiles;
    aws_problem problem = {0};
    aws_identity fresh;
    aws_profiles_load(&profiles, &env);
    bool changed = aws_identity_resolve(&fresh, &c->options, &env, &profiles, &problem) &&
                   strcmp(fresh.access_key_id, c->identity.access_key_id) != 0;
    if (changed) {
        aws_identity_free(&c->identity);
        c->identity = fresh;
    } else {
        aws_identity_free(&fresh);
    }
    aws_problem_free(&problem);
    aws_profiles_free(&profiles);
    return changed;
}

static void finish(call *k, const weir_aws_response *response) {
    weir_aws_client *c = k->client;
    if (k->prev)
        k->prev->next = k->next;
    else
        c->first = k->next;
    if (k->next) k->next->prev = k->prev;
    c->active--;
    c->completed++;
    k->args.done(k->args.opaque, response);
    call_free(k);
}

static void fail_unsent(call *k, uint32_t kind, weir_status status, const char *message) {
    weir_aws_response r = {.kind = kind,
                           .status = status,
                           .operation = str(k->target),
                           .attempts = k->attempt,
                           .code = str(""),
                           .message = str(message),
                           .body = str(""),
                           .request_id = str(""),
                           .date_us = INT64_MIN,
                           .retry_after_ms = -1};
    finish(k, &r);
}

static void start_due(weir_aws_client *c, int64_t *next_ns) {
    int64_t now = weir_mono_ns(c->ctx);
    for (call *k = c->first, *next; k; k = next) {
        next = k->next;
        if (k->request || k->retry_at_ns == 0) continue;
        if (k->retry_at_ns > now) {
            if (k->retry_at_ns < *next_ns) *next_ns = k->retry_at_ns;
            continue;
        }
        weir_status status = send_attempt(k);
        if (status == WEIR_OK) continue;
        fail_unsent(k, WEIR_AWS_TRANSIENT, status, "out of memory for a retry");
        next = c->first; /* the callback may have changed the list */
    }
}

static void call_free(call *k) {
    text_free(&k->body);
    free(k->target);
    free(k->account);
    free(k);
}

static char *segment_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    weir_ctx *ctx = opaque;
    return weir_api_of(ctx)->batch.segment_alloc(ctx, size, capacity);
}

static void new_invocation(char out[37]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char b[16] = {0};
    if (RAND_bytes(b, sizeof b) != 1) b[0] = 0; /* an identifier for support, nothing more */
    b[6] = (unsigned char)((b[6] & 15) | 0x40);
    b[8] = (unsigned char)((b[8] & 63) | 0x80);
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *p++ = '-';
        *p++ = digits[b[i] >> 4];
        *p++ = digits[b[i] & 15];
    }
    *p = '\0';
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
