#include "credentials_fetch.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "retry.h"
#include "weir/sdk.h"

#define MS 1000000LL
#define RETRY_BASE_NS (200 * MS)
#define RETRY_MAX_NS (5000 * MS)
#define PROCESS_POLL_NS (10 * MS)
#define HTTP_POLL_NS (5 * MS)
/* A machine's clock that is off by more is corrected; services bear about five minutes. */
#define SKEW_US (240 * 1000000LL)
/* For how long keys of the instance are used on when the metadata service has no newer ones. */
#define EXTENSION_US (600 * 1000000LL)

struct aws_fetch {
    aws_fetch_args args; /* strings ours */
    aws_plan plan;
    uint32_t at, failures; /* the step, and how often it failed: it may take several requests */
    fetch_memory memory;
    aws_identity keys, fresh; /* of the steps before; of the answer that just came */
    weir_aws_signer *signer;
    weir_http *direct, *wide; /* without and with the proxy; made when needed */
    weir_http_request *request;
    key_process *process;
    int64_t retry_at_ns;
    fetch_result result; /* of the last answer */
    aws_problem problem;
    text doing;
    text sent; /* the body under way: it must stay until the answer */
    bool answered, skewed, over, ok, closing;
};

static void begin_request(aws_fetch *f);
static bool begin_process(aws_fetch *f);
static bool send_request(aws_fetch *f, fetch_request *q);
static weir_http *http_for(aws_fetch *f, bool direct);
static void on_response(void *opaque, weir_http_response *response);
static void settle(aws_fetch *f);
static void step_done(aws_fetch *f);
static bool still_good(aws_fetch *f);
static void give_up(aws_fetch *f);
static void describe(aws_fetch *f);
static int64_t wall_us(const aws_fetch *f);
static char *wiping_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static void wiping_release(void *buffer);
static bool dup_to(const char **out, const char *z);

aws_fetch *aws_fetch_start(const aws_fetch_args *args, aws_plan *plan) {
    aws_fetch *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->args = *args;
    bool ok = dup_to(&f->args.region, args->region);
    ok = dup_to(&f->args.proxy, args->proxy) && ok;
    ok = dup_to(&f->args.ca_bundle, args->ca_bundle) && ok;
    ok = dup_to(&f->args.user_agent, args->user_agent) && ok;
    f->signer = weir_aws_signer_new();
    f->plan = *plan;
    memset(plan, 0, sizeof *plan);
    describe(f);
    if (ok && f->signer) return f;
    aws_fetch_free(f);
    return NULL;
}

void aws_fetch_free(aws_fetch *f) {
    if (!f) return;
    f->closing = true;
    weir_http_free(f->direct);
    weir_http_free(f->wide);
    key_process_free(f->process);
    weir_aws_signer_free(f->signer);
    aws_identity_free(&f->keys);
    aws_identity_free(&f->fresh);
    aws_plan_free(&f->plan);
    aws_problem_free(&f->problem);
    text_free(&f->memory.token);
    text_free(&f->memory.role);
    text_free(&f->doing);
    text_free(&f->sent);
    const char *const strings[] = {f->args.region, f->args.proxy, f->args.ca_bundle,
                                   f->args.user_agent};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        char *z = (char *)(uintptr_t)strings[i];
        if (z) OPENSSL_cleanse(z, strlen(z)); /* the proxy's URL may hold a password */
        free(z);
    }
    free(f);
}

const char *aws_fetch_doing(const aws_fetch *f) {
    return f->doing.len ? f->doing.ptr : "getting keys";
}

bool aws_fetch_take(aws_fetch *f, aws_identity *out, aws_problem *problem) {
    if (f->ok) {
        *out = f->keys;
        memset(&f->keys, 0, sizeof f->keys);
    } else {
        if (f->problem.status == WEIR_OK) aws_no_memory(&f->problem);
        *problem = f->problem;
        memset(&f->problem, 0, sizeof f->problem);
    }
    return f->ok;
}

/*
 * What is under way is moved; what is not is begun. Loops while something can be done at once, so
 * that a plan of keys that are there is over after the first call.
 */
bool aws_fetch_drive(aws_fetch *f, int64_t *next_ns) {
    while (!f->over) {
        int64_t now = weir_mono_ns(f->args.ctx);
        if (f->answered) {
            f->answered = false;
            settle(f);
            continue;
        }
        if (f->request) {
            if (f->direct) weir_http_drive(f->direct, 0);
            if (f->wide) weir_http_drive(f->wide, 0);
            if (f->answered) continue;
            if (now + HTTP_POLL_NS < *next_ns) *next_ns = now + HTTP_POLL_NS;
            return false;
        }
        if (f->process) {
            if (!key_process_drive(f->process, now)) {
                if (now + PROCESS_POLL_NS < *next_ns) *next_ns = now + PROCESS_POLL_NS;
                return false;
            }
            f->result = key_process_take(f->process, f->plan.origin, &f->fresh, &f->problem)
                            ? FETCH_KEYS
                            : FETCH_FAILED;
            key_process_free(f->process);
            f->process = NULL;
            f->answered = true;
            continue;
        }
        if (f->retry_at_ns > now) {
            if (f->retry_at_ns < *next_ns) *next_ns = f->retry_at_ns;
            return false;
        }
        const aws_step *s = &f->plan.steps[f->at];
        if (s->kind == STEP_KEYS) {
            f->result = aws_identity_copy(&f->fresh, &s->keys) ? FETCH_KEYS : FETCH_FAILED;
            f->answered = true;
        } else if (s->kind == STEP_PROCESS) {
            if (!begin_process(f)) give_up(f);
        } else {
            begin_request(f);
        }
    }
    return true;
}

/* ---- one request ---- */

void fetch_header(fetch_request *q, const char *name, weir_str value) {
    if (q->header_count == FETCH_HEADERS_MAX) return;
    q->headers[q->header_count].name.ptr = name;
    q->headers[q->header_count].name.len = strlen(name);
    q->headers[q->header_count++].value = value;
}

static void begin_request(aws_fetch *f) {
    const aws_step *s = &f->plan.steps[f->at];
    fetch_request q = {.method = "GET"};
    aws_problem_free(&f->problem);
    bool sts = s->kind == STEP_ROLE || s->kind == STEP_WEB_IDENTITY;
    const char *region = s->region ? s->region : f->args.region;
    bool ok = sts ? sts_ask(&q, s, s->kind == STEP_ROLE ? &f->keys : NULL, region,
                            wall_us(f) + f->args.skew_us, f->signer, &f->problem)
                  : metadata_ask(&q, s, &f->memory, &f->problem);
    text_free(&f->sent);
    f->sent = q.body;
    memset(&q.body, 0, sizeof q.body);
    if (!ok || !send_request(f, &q)) give_up(f);
    text_free(&q.url);
    text_free(&q.secret);
    text_free(&q.date);
}

static bool begin_process(aws_fetch *f) {
    const aws_step *s = &f->plan.steps[f->at];
    int64_t deadline = weir_mono_ns(f->args.ctx) + (int64_t)s->timeout_ms * MS;
    aws_problem_free(&f->problem);
    f->process = key_process_start(s->command, deadline, &f->problem);
    return f->process != NULL;
}

static bool send_request(aws_fetch *f, fetch_request *q) {
    const aws_step *s = &f->plan.steps[f->at];
    weir_http *http = http_for(f, q->direct);
    const char *z = text_z(&q->url);
    weir_str body = text_str(&f->sent);
    weir_http_args args = {.method = q->method,
                           .url = z,
                           .headers = q->headers,
                           .header_count = q->header_count,
                           .body = &body,
                           .body_count = body.len ? 1 : 0,
                           .deadline_ns = weir_mono_ns(f->args.ctx) + (int64_t)s->timeout_ms * MS,
                           .response_max = FETCH_ANSWER_MAX,
                           .done = on_response,
                           .opaque = f};
    if (!http || !z) return aws_no_memory(&f->problem);
    weir_status status = weir_http_start(http, &args, &f->request);
    return status == WEIR_OK ? true : aws_no_memory(&f->problem);
}

static weir_http *http_for(aws_fetch *f, bool direct) {
    weir_http **slot = direct ? &f->direct : &f->wide;
    if (*slot) return *slot;
    weir_http_config config = {.http_version = WEIR_HTTP_1_1,
                               .max_connections = 2,
                               .connect_timeout_ms = f->args.connect_timeout_ms,
                               .tls_verify_off = f->args.tls_verify_off,
                               .proxy = direct ? "" : f->args.proxy,
                               .ca_bundle = f->args.ca_bundle,
                               .user_agent = f->args.user_agent,
                               .memory = {NULL, wiping_alloc, wiping_release}};
    *slot = weir_http_new(&config);
    return *slot;
}

static void on_response(void *opaque, weir_http_response *response) {
    aws_fetch *f = opaque;
    f->request = NULL;
    if (f->closing) return;
    f->answered = true;
    const aws_step *s = &f->plan.steps[f->at];
    bool sts = s->kind == STEP_ROLE || s->kind == STEP_WEB_IDENTITY;
    weir_status status = weir_http_result(response);
    if (status != WEIR_OK) {
        f->problem.status = status == WEIR_E_CANCELLED ? WEIR_E_IO : status;
        text_add_z(&f->problem.words, aws_fetch_doing(f));
        text_add_z(&f->problem.words, ": ");
        text_add_z(&f->problem.words, weir_http_error_text(response));
        text_add_z(&f->problem.hint,
                   s->kind == STEP_IMDS
                       ? "is this an EC2 instance? Inside a container the instance's metadata hop "
                         "limit must be 2"
                       : "check that it can be reached from here");
        f->result = status == WEIR_E_IO || status == WEIR_E_TIMEOUT ? FETCH_AGAIN : FETCH_FAILED;
        return;
    }
    fetch_answer a = {.http_status = weir_http_status(response),
                      .body = weir_http_body(response),
                      .type_header = weir_http_header_value(response, "x-amzn-ErrorType")};
    int64_t date = aws_http_date_us(weir_http_header_value(response, "Date"));
    int64_t skew = date == INT64_MIN ? f->args.skew_us : date - wall_us(f);
    int64_t off = skew - f->args.skew_us;
    bool moved = off > SKEW_US || off < -SKEW_US;
    if (moved) f->args.skew_us = skew;
    if (moved && sts && !f->skewed && a.http_status != 200 && sts_blames_clock(&a)) {
        f->skewed = true;
        f->result = FETCH_MORE; /* the same once more, with the right time */
        return;
    }
    f->result = sts ? sts_answer(s, &f->keys, &a, f->plan.origin, &f->fresh, &f->problem)
                    : metadata_answer(s, &f->memory, &a, f->plan.origin, &f->fresh, &f->problem);
}

/* ---- what follows an answer ---- */

static void settle(aws_fetch *f) {
    const aws_step *s = &f->plan.steps[f->at];
    f->retry_at_ns = 0;
    switch (f->result) {
    case FETCH_KEYS:
        if (still_good(f))
            step_done(f);
        else
            give_up(f);
        break;
    case FETCH_MORE:
        describe(f);
        break;
    case FETCH_AGAIN:
        if (++f->failures >= s->attempts) {
            give_up(f);
            break;
        }
        uint64_t random = weir_api_of(f->args.ctx)->random.u64(f->args.ctx);
        f->retry_at_ns = weir_mono_ns(f->args.ctx) +
                         retry_jitter_ns(f->failures, RETRY_BASE_NS, RETRY_MAX_NS, random) + 1;
        break;
    case FETCH_FAILED:
        give_up(f);
        break;
    }
}

static void step_done(aws_fetch *f) {
    /* Keys that were taken with others end with them at the latest only if they say so: a role's
     * session outlives the keys that took it. */
    aws_identity_free(&f->keys);
    f->keys = f->fresh;
    memset(&f->fresh, 0, sizeof f->fresh);
    f->memory.stage = 0;
    text_free(&f->memory.token);
    text_free(&f->memory.role);
    f->failures = 0;
    if (++f->at < f->plan.count) {
        describe(f);
        return;
    }
    f->over = f->ok = true;
}

/* Keys that have expired on arrival are a failure, except those of the instance: when its service
 * is in trouble it hands out old ones, which the services go on to accept for that time. */
static bool still_good(aws_fetch *f) {
    if (f->fresh.expires_us == NEVER_US) return true;
    int64_t now = wall_us(f) + f->args.skew_us;
    if (f->fresh.expires_us > now) return true;
    if (f->plan.steps[f->at].kind == STEP_IMDS) {
        weir_log(f->args.ctx, WEIR_LOG_WARN,
                 "the instance metadata service has only keys that have expired; using them for "
                 "another ten minutes");
        f->fresh.expires_us = now + EXTENSION_US;
        return true;
    }
    f->problem.status = WEIR_E_AUTH;
    f->problem.option = "credentials";
    text_add_z(&f->problem.words, aws_fetch_doing(f));
    text_add_f(&f->problem.words, ": the keys it gave expired %" PRId64 " seconds ago",
               (now - f->fresh.expires_us) / 1000000);
    text_add_z(&f->problem.hint, "check this machine's clock and whoever keeps these keys");
    return false;
}

static void give_up(aws_fetch *f) {
    f->over = true;
    if (f->plan.tried.len == 0 || f->problem.status == WEIR_E_NOMEM) return;
    /* The last resort failed too: what matters is that there are no keys anywhere. */
    text words = {0};
    text_add_str(&words, text_str(&f->plan.tried));
    text_add_z(&words, " (");
    text_add_str(&words, text_str(&f->problem.words));
    text_add_char(&words, ')');
    aws_problem_free(&f->problem);
    f->problem.status = WEIR_E_AUTH;
    f->problem.option = "credentials";
    f->problem.words = words;
    text_add_z(&f->problem.hint, "set the two environment variables, name a profile or choose a "
                                 "credentials.provider; an endpoint that checks nothing takes any");
}

static void describe(aws_fetch *f) {
    const aws_step *s = &f->plan.steps[f->at];
    text *t = &f->doing;
    text_clear(t);
    switch (s->kind) {
    case STEP_KEYS:
        text_add_z(t, "reading keys");
        break;
    case STEP_ROLE:
    case STEP_WEB_IDENTITY:
        text_add_z(t, s->kind == STEP_ROLE ? "taking role " : "taking with a web identity role ");
        text_add_z(t, s->role_arn);
        text_add_z(t, " at ");
        text_add_z(t, s->url);
        break;
    case STEP_CONTAINER:
        text_add_z(t, "asking the container service at ");
        text_add_z(t, s->url);
        break;
    case STEP_IMDS:
        text_add_z(t, "asking the instance metadata service at ");
        text_add_z(t, s->url);
        break;
    case STEP_PROCESS:
        text_add_z(t, "running the credential process");
        break;
    }
    (void)text_z(t);
}

static int64_t wall_us(const aws_fetch *f) {
    return weir_wall_us(f->args.ctx);
}

int64_t aws_fetch_skew_us(const aws_fetch *f) {
    return f->args.skew_us;
}

/* Answers hold keys: their buffers know their size, to be wiped as a whole. */
typedef struct wiped {
    _Alignas(16) uint64_t size;
} wiped;

static char *wiping_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    (void)opaque;
    wiped *w = malloc(sizeof *w + (size_t)size);
    if (!w) return NULL;
    w->size = size;
    *capacity = size;
    return (char *)(w + 1);
}

static void wiping_release(void *buffer) {
    wiped *w = (wiped *)buffer - 1;
    OPENSSL_cleanse(buffer, (size_t)w->size);
    free(w);
}

static bool dup_to(const char **out, const char *z) {
    *out = z ? strdup(z) : NULL;
    return *out || !z;
}
