#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "errors.h"
#include "request.h"
#include "weir/sdk.h"

#define TIMEOUT_DEFAULT_MS 60000u
#define MS 1000000
#define LOOK_NS (1000 * (int64_t)MS) /* between looks at keys that another client gets */
/* Once would do, but keys that another call brought may have been old when this one took them. */
#define RENEWALS_MAX 2u
/* A clock that is off by more is corrected; services bear about five minutes. */
#define SKEW_US (240 * 1000000LL)

struct aws_call {
    weir_aws_client *client;
    aws_call *prev, *next;
    weir_aws_call_args args; /* what is sent of it is copied: */
    aws_request what;
    char invocation[37];
    uint32_t attempt;    /* made so far */
    uint32_t last_cost;  /* what the last retry took out of the bucket */
    uint32_t renewals;   /* how often other keys took the place of expired ones */
    bool skewed;         /* the clock was corrected */
    bool began;          /* a piece of the answer was given to args.data */
    int64_t retry_at_ns; /* waiting for it; 0 = not */
    bool waiting;        /* for keys */
    int64_t wait_until_ns;
    uint64_t failures; /* of those who get keys, when the waiting began */
    uint64_t version;  /* of the keys of the last attempt */
    int64_t skew_us;   /* and the clock's correction */
    weir_http_request *request;
};

static weir_status go(aws_call *k);
static weir_status send_attempt(aws_call *k);
static char *on_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static weir_status on_data(void *opaque, weir_str bytes);
static void on_response(void *opaque, weir_http_response *http);
static bool succeeded(const aws_call *k, const weir_aws_response *r);
static void tell_region(const aws_call *k, weir_aws_response *r, text *hint);
static bool try_again(aws_call *k, weir_aws_response *r);
static bool follow_clock(weir_aws_client *c, int64_t date_us, bool success);
static void finish(weir_aws_client *c, aws_call *k, const weir_aws_response *response);
static void fail_unsent(weir_aws_client *c, aws_call *k, uint32_t kind, weir_status status,
                        const char *message);
static void fail_keys(weir_aws_client *c, aws_call *k, bool late);
static void start_due(weir_aws_client *c, int64_t *next_ns);
static void call_free(aws_call *k);
static void new_invocation(char out[37]);
static weir_str str(const char *z);

weir_status weir_aws_call(weir_aws_client *c, const weir_aws_call_args *args) {
    if (c->closing) return WEIR_E_CANCELLED;
    aws_call *k = calloc(1, sizeof *k);
    if (!k) return WEIR_E_NOMEM;
    k->client = c;
    k->args = *args;
    if (!k->args.attempts) k->args.attempts = c->attempts;
    if (!k->args.timeout_ms) k->args.timeout_ms = TIMEOUT_DEFAULT_MS;
    weir_status status = aws_request_init(&k->what, c, args);
    if (status == WEIR_OK) {
        new_invocation(k->invocation);
        status = go(k);
    }
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
    aws_call *k = c->first;
    uint32_t left = c->active;
    while (k && left-- > 0) {
        aws_call *next = k->next;
        if (k->request)
            weir_http_cancel(c->http, k->request); /* comes back through on_response */
        else
            fail_unsent(c, k, WEIR_AWS_CANCELLED, WEIR_E_CANCELLED, "the call was cancelled");
        k = next;
    }
}

int64_t weir_aws_backoff_ns(weir_ctx *ctx, uint32_t retry, int64_t base_ns, int64_t max_ns) {
    const weir_api *api = weir_api_of(ctx);
    return retry_jitter_ns(retry, base_ns, max_ns, api->random.u64(ctx));
}

/* ---- one attempt ---- */

/* Sends the next attempt, or lets the call wait for keys or for its turn. */
static weir_status go(aws_call *k) {
    weir_aws_client *c = k->client;
    int64_t now = weir_mono_ns(c->ctx);
    uint64_t failures = aws_keys_failures(c);
    if (!aws_keys_ready(c)) {
        k->waiting = true;
        k->failures = failures;
        k->retry_at_ns = 0;
        k->wait_until_ns = now + (int64_t)k->args.timeout_ms * MS;
        if (k->args.deadline_ns && k->args.deadline_ns < k->wait_until_ns)
            k->wait_until_ns = k->args.deadline_ns;
        return WEIR_OK;
    }
    k->waiting = false;
    int64_t wait = c->adaptive ? retry_rate_take(&c->rate, now) : 0;
    if (wait > 0) {
        k->retry_at_ns = now + wait;
        return WEIR_OK;
    }
    return send_attempt(k);
}

static weir_status send_attempt(aws_call *k) {
    weir_aws_client *c = k->client;
    aws_attempt attempt = {.number = k->attempt + 1,
                           .of = k->args.attempts,
                           .invocation = k->invocation,
                           .deadline_ns = weir_mono_ns(c->ctx) + (int64_t)k->args.timeout_ms * MS,
                           .response_max = k->args.response_max,
                           .done = on_response,
                           .data = k->args.data ? on_data : NULL,
                           .alloc = k->args.alloc ? on_alloc : NULL,
                           .opaque = k};
    if (k->args.deadline_ns && k->args.deadline_ns < attempt.deadline_ns)
        attempt.deadline_ns = k->args.deadline_ns;
    weir_status status = aws_request_send(&k->what, c, &attempt, &k->request);
    if (status != WEIR_OK) return status;
    k->attempt++;
    k->retry_at_ns = 0;
    k->version = c->version;
    k->skew_us = c->skew_us;
    return WEIR_OK;
}

static char *on_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    aws_call *k = opaque;
    return k->args.alloc(k->args.opaque, size, capacity);
}

static weir_status on_data(void *opaque, weir_str bytes) {
    aws_call *k = opaque;
    k->began = true;
    return k->args.data(k->args.opaque, bytes);
}

static void on_response(void *opaque, weir_http_response *http) {
    aws_call *k = opaque;
    k->request = NULL;
    weir_aws_response r = {.operation = str(k->what.operation),
                           .attempts = k->attempt,
                           .http_status = weir_http_status(http),
                           .code = str(""),
                           .message = str(""),
                           .hint = str(""),
                           .body = weir_http_body(http),
                           .request_id = weir_http_header_value(http, "x-amzn-RequestId"),
                           .date_us = aws_http_date_us(weir_http_header_value(http, "Date")),
                           .retry_after_ms = -1,
                           .http = http};
    if (!r.request_id.ptr) r.request_id = weir_http_header_value(http, "x-amz-request-id");
    if (!r.request_id.ptr) r.request_id = str("");
    aws_error_parts parts = {0};
    text hint = {0};
    weir_status status = weir_http_result(http);
    if (status == WEIR_OK && succeeded(k, &r)) {
        r.kind = WEIR_AWS_OK;
        retry_refund(&k->client->bucket, k->last_cost);
        follow_clock(k->client, r.date_us, true);
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
            /* The service keeps the connection open with white space, and then had no answer. */
            if (r.http_status == 200) r.kind = WEIR_AWS_TRANSIENT, r.status = WEIR_E_IO;
        }
        tell_region(k, &r, &hint);
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
    if (r.http_status != 0)
        retry_rate_answer(&k->client->rate, weir_mono_ns(k->client->ctx),
                          r.kind == WEIR_AWS_THROTTLED);
    if (!try_again(k, &r)) finish(k->client, k, &r);
    aws_error_parts_free(&parts);
    text_free(&hint);
}

static bool succeeded(const aws_call *k, const weir_aws_response *r) {
    if (k->what.json) return r->http_status == 200;
    if (r->http_status < 200 || r->http_status > 299) return false;
    bool may_fail = (k->args.flags & WEIR_AWS_CALL_ERROR_IN_200) != 0 && r->http_status == 200;
    return !may_fail || !aws_error_in_success(r->body);
}

/* A bucket of another region: S3 says which. */
static void tell_region(const aws_call *k, weir_aws_response *r, text *hint) {
    weir_str region = weir_http_header_value(r->http, "x-amz-bucket-region");
    const char *own = k->client->region;
    if (!region.ptr || region.len > 40) return;
    if (region.len == strlen(own) && memcmp(region.ptr, own, region.len) == 0) return;
    text_add_f(hint, "the bucket lies in %.*s: set region", (int)region.len, region.ptr);
    r->hint = text_str(hint);
}

/* True if the call will be sent once more. */
static bool try_again(aws_call *k, weir_aws_response *r) {
    weir_aws_client *c = k->client;
    if (c->closing || k->began) return false;
    int64_t now = weir_mono_ns(c->ctx);
    if (r->kind == WEIR_AWS_EXPIRED && k->renewals < RENEWALS_MAX) {
        k->renewals++;
        if (!aws_keys_renew(c, k->version)) return false;
        k->retry_at_ns = now;
        return true;
    }
    /* Of calls that were under way together the first one's refusal corrects the clock for all. */
    if (r->kind == WEIR_AWS_DENIED && !k->skewed && aws_error_is_clock(r->code) &&
        (k->skew_us != c->skew_us || follow_clock(c, r->date_us, false))) {
        k->skewed = true;
        k->retry_at_ns = now;
        return true;
    }
    if (k->attempt >= k->args.attempts) return false;
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

/* The server's clock against this machine's, corrected; true if that changed the correction. After
 * a success only a correction that was made is followed: the service has no complaint. */
static bool follow_clock(weir_aws_client *c, int64_t date_us, bool success) {
    if (date_us == INT64_MIN || (success && c->skew_us == 0)) return false;
    int64_t off = date_us - weir_aws_now_us(c);
    if (off <= SKEW_US && off >= -SKEW_US) return false;
    c->skew_us += off;
    weir_log(c->ctx, WEIR_LOG_WARN,
             "this machine's clock differs from that of %s by %lld seconds; requests are signed "
             "with the service's time",
             c->endpoint.url, (long long)(c->skew_us / 1000000));
    return true;
}

static void finish(weir_aws_client *c, aws_call *k, const weir_aws_response *response) {
    if (c->first == k)
        c->first = k->next;
    else
        k->prev->next = k->next;
    if (k->next) k->next->prev = k->prev;
    c->active--;
    c->completed++;
    k->args.done(k->args.opaque, response);
    call_free(k);
}

static void fail_unsent(weir_aws_client *c, aws_call *k, uint32_t kind, weir_status status,
                        const char *message) {
    weir_aws_response r = {.kind = kind,
                           .status = status,
                           .operation = str(k->what.operation),
                           .attempts = k->attempt,
                           .code = str(""),
                           .message = str(message),
                           .body = str(""),
                           .request_id = str(""),
                           .hint = str(""),
                           .date_us = INT64_MIN,
                           .retry_after_ms = -1};
    finish(c, k, &r);
}

/* No keys: the call ends with what went wrong. A service in trouble may be asked again by whoever
 * repeats calls; a refusal stays one. */
static void fail_keys(weir_aws_client *c, aws_call *k, bool late) {
    text words = {0}, hint = {0};
    weir_status status = WEIR_E_TIMEOUT;
    if (late) {
        text_add_z(&words, "no AWS keys in time");
        if (c->fetch) {
            text_add_z(&words, ": ");
            text_add_z(&words, aws_fetch_doing(c->fetch));
        }
    } else {
        status = aws_share_problem(c->share, &words, &hint);
        if (status == WEIR_OK) status = WEIR_E_NOMEM;
    }
    weir_aws_response r = {.kind = status == WEIR_E_THROTTLED ? WEIR_AWS_THROTTLED
                                   : status == WEIR_E_IO || status == WEIR_E_TIMEOUT ||
                                           status == WEIR_E_NOMEM
                                       ? WEIR_AWS_TRANSIENT
                                       : WEIR_AWS_DENIED,
                           .status = status,
                           .operation = str(k->what.operation),
                           .attempts = k->attempt,
                           .code = str(""),
                           .message = text_str(&words),
                           .body = str(""),
                           .request_id = str(""),
                           .hint = text_str(&hint),
                           .date_us = INT64_MIN,
                           .retry_after_ms = -1};
    finish(c, k, &r);
    text_free(&words);
    text_free(&hint);
}

/* Begins what is due and fails what can wait no longer. A callback may change the list anywhere:
 * after each one it is gone through from its beginning. */
static void start_due(weir_aws_client *c, int64_t *next_ns) {
    aws_keys_drive(c, next_ns);
    for (aws_call *k = c->first, *next; k; k = next) {
        int64_t now = weir_mono_ns(c->ctx);
        next = k->next;
        if (k->request) continue;
        if (k->waiting) {
            /* First whether somebody failed: to ask for readiness would begin another attempt. */
            bool failed = aws_keys_failed(c, k->failures);
            if (failed || now >= k->wait_until_ns) {
                fail_keys(c, k, !failed);
                next = c->first;
                continue;
            }
            if (aws_keys_ready(c)) {
                k->waiting = false;
                k->retry_at_ns = now;
            } else {
                /* Another client's turn may have ended without a word. */
                int64_t look_ns = now + LOOK_NS;
                if (k->wait_until_ns < look_ns) look_ns = k->wait_until_ns;
                if (look_ns < *next_ns) *next_ns = look_ns;
                continue;
            }
        }
        if (k->retry_at_ns == 0) continue;
        if (k->retry_at_ns > now) {
            if (k->retry_at_ns < *next_ns) *next_ns = k->retry_at_ns;
            continue;
        }
        weir_status status = go(k);
        if (status == WEIR_OK) {
            int64_t at = k->waiting ? now + LOOK_NS : k->retry_at_ns;
            if (!k->request && at < *next_ns) *next_ns = at;
            continue;
        }
        fail_unsent(c, k, WEIR_AWS_TRANSIENT, status, "out of memory for a retry");
        next = c->first;
    }
    /* A call above may have begun to get keys. */
    aws_keys_drive(c, next_ns);
}

static void call_free(aws_call *k) {
    aws_request_free(&k->what);
    free(k);
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
