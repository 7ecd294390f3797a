/* Calls of a client against a server in a thread: each completes once, whatever happens to its
 * keys, to the clock, and to the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_host.h"
#include "stub_server.h"
#include "weir/aws.h"
#include "weir/sdk.h"

#define ROLE "arn:aws:iam::123456789012:role/reader"
#define CALLS 8

/* What the server does; changed by tests under its own lock, i.e. only between calls. */
typedef struct service {
    atomic_int sts_calls, kinesis_calls, expired_below, sts_silent, sts_refuses, throttle;
    atomic_int ahead_s; /* of its clock; then only requests of that time are accepted */
    int life_s;
} service;

typedef struct outcome {
    unsigned completed;
    weir_aws_response last;
    char message[512];
} outcome;

static void date_header(stub_answer *out, int ahead_s) {
    time_t t = time(NULL) + ahead_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out->headers, sizeof out->headers, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
}

static void answer(void *opaque, const stub_request *q, stub_answer *out) {
    service *s = opaque;
    if (!*q->target) {
        int n = atomic_fetch_add(&s->sts_calls, 1) + 1;
        if (s->sts_silent) {
            out->status = -1;
            return;
        }
        if (s->sts_refuses) {
            stub_text(out, 403,
                      "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message>"
                      "</Error></ErrorResponse>");
            return;
        }
        time_t t = time(NULL) + s->life_s;
        struct tm tm;
        char expires[32];
        gmtime_r(&t, &tm);
        strftime(expires, sizeof expires, "%Y-%m-%dT%H:%M:%SZ", &tm);
        stub_text(out, 200,
                  "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA%04d"
                  "</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>a&amp;b"
                  "</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult>"
                  "</AssumeRoleResponse>",
                  n, expires);
        return;
    }
    atomic_fetch_add(&s->kinesis_calls, 1);
    const char *key = strstr(q->head, "Credential=ASIA");
    int number = key ? (int)strtol(key + strlen("Credential=ASIA"), NULL, 10) : 0;
    if (key && !strstr(q->head, "X-Amz-Security-Token: a&b\r\n")) number = 0;
    const char *date = strstr(q->head, "X-Amz-Date: ");
    char now[WEIR_AWS_DATE_SIZE];
    weir_aws_format_date(time(NULL) + s->ahead_s, now);
    if (s->ahead_s && (!date || memcmp(date + strlen("X-Amz-Date: "), now, 11) != 0)) {
        stub_text(out, 403, "{\"__type\":\"InvalidSignatureException\",\"message\":\"expired\"}");
        date_header(out, s->ahead_s);
        return;
    }
    if (s->throttle > 0) {
        atomic_fetch_sub(&s->throttle, 1);
        stub_text(out, 400, "{\"__type\":\"ThrottlingException\",\"message\":\"slow\"}");
    } else if (key && number <= s->expired_below) {
        stub_text(out, 400, "{\"__type\":\"ExpiredTokenException\",\"message\":\"old\"}");
    } else {
        stub_text(out, 200, "{}");
    }
    date_header(out, s->ahead_s);
}

static void done(void *opaque, const weir_aws_response *r) {
    outcome *o = opaque;
    o->completed++;
    o->last = *r;
    snprintf(o->message, sizeof o->message, "%.*s | %.*s", (int)r->message.len, r->message.ptr,
             (int)r->hint.len, r->hint.ptr);
}

typedef struct rig {
    service s;
    stub_server *server;
    fake_host *host;
    weir_aws_client *client;
    fake_option options[10];
} rig;

static rig *rig_new(bool role) {
    rig *r = calloc(1, sizeof *r);
    r->s.life_s = 3600;
    r->server = stub_start(answer, &r->s);
    const char *url = stub_url(r->server);
    const fake_option options[] = {{"region", "us-east-1"},
                                   {"endpoint", url},
                                   {"credentials.provider", role ? "assume_role" : "basic"},
                                   {"credentials.access_key_id", "AKID"},
                                   {"credentials.secret_access_key", "very-secret"},
                                   {role ? "credentials.role_arn" : "unused", ROLE},
                                   {"credentials.sts_endpoint", url},
                                   {NULL, NULL}};
    memcpy(r->options, options, sizeof options);
    r->host = fake_host_new(r->options);
    weir_aws_client_args args = {.service = "kinesis"};
    if (weir_aws_client_new(fake_ctx(r->host), &args, fake_error(r->host), &r->client) != WEIR_OK)
        fail_msg("%s", fake_error_text(r->host));
    return r;
}

static void rig_free(rig *r) {
    weir_aws_client_free(r->client);
    stub_stop(r->server);
    assert_null(strstr(fake_log(r->host), "very-secret"));
    fake_host_free(r->host);
    free(r);
}

static void call(rig *r, outcome *o, uint32_t timeout_ms, uint32_t attempts) {
    weir_aws_call_args args = {.target = "Kinesis_20131202.ListShards",
                               .body = {"{}", 2},
                               .attempts = attempts,
                               .timeout_ms = timeout_ms,
                               .done = done,
                               .opaque = o};
    assert_int_equal(weir_aws_call(r->client, &args), WEIR_OK);
}

static void drive(rig *r) {
    weir_ctx *ctx = fake_ctx(r->host);
    int64_t end = weir_mono_ns(ctx) + 60000000000;
    while (weir_aws_active(r->client) > 0 && weir_mono_ns(ctx) < end)
        weir_aws_drive(r->client, weir_mono_ns(ctx) + 1000000000);
    assert_int_equal(weir_aws_active(r->client), 0);
}

static void expect(const outcome *o, size_t count, uint32_t kind, weir_status status) {
    for (size_t i = 0; i < count; i++) {
        if (o[i].completed != 1 || o[i].last.kind != kind || o[i].last.status != status)
            fail_msg("call %zu: completed %u times, kind %u, status %d: %s", i, o[i].completed,
                     o[i].last.kind, (int)o[i].last.status, o[i].message);
    }
}

static void calls_wait_for_one_role(void **state) {
    (void)state;
    rig *r = rig_new(true);
    outcome o[CALLS] = {0};
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 20000, 0);
    assert_int_equal(r->s.kinesis_calls, 0);
    drive(r);
    expect(o, CALLS, WEIR_AWS_OK, WEIR_OK);
    assert_int_equal(r->s.sts_calls, 1);
    rig_free(r);
}

static void clients_share_a_role(void **state) {
    (void)state;
    rig *r = rig_new(true);
    weir_aws_client *first = r->client, *second = NULL;
    weir_aws_client_args args = {.service = "kinesis"};
    outcome o[3] = {0};
    call(r, &o[0], 20000, 0);
    drive(r);
    assert_int_equal(weir_aws_client_new(fake_ctx(r->host), &args, fake_error(r->host), &second),
                     WEIR_OK);
    r->client = second;
    call(r, &o[1], 20000, 0);
    drive(r);
    weir_aws_client_free(first); /* the keys stay with whoever is left */
    call(r, &o[2], 20000, 0);
    drive(r);
    expect(o, 3, WEIR_AWS_OK, WEIR_OK);
    assert_int_equal(r->s.sts_calls, 1);
    rig_free(r);
}

static void expired_keys_are_replaced_once(void **state) {
    (void)state;
    rig *r = rig_new(true);
    outcome first = {0}, o[CALLS] = {0}, last = {0};
    call(r, &first, 20000, 1);
    drive(r);
    r->s.expired_below = 1;
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 20000, 1); /* also for one attempt only */
    drive(r);
    expect(o, CALLS, WEIR_AWS_OK, WEIR_OK);
    assert_int_equal(r->s.sts_calls, 2); /* all of them together */
    r->s.expired_below = 1000000;        /* a service that takes nothing is not asked for ever */
    call(r, &last, 20000, 1);
    drive(r);
    expect(&last, 1, WEIR_AWS_EXPIRED, WEIR_E_AUTH);
    assert_true(r->s.sts_calls <= 4);
    rig_free(r);
}

static void keys_that_stand_somewhere_are_not_replaced(void **state) {
    (void)state;
    rig *r = rig_new(false);
    outcome o = {0};
    call(r, &o, 20000, 0);
    drive(r);
    expect(&o, 1, WEIR_AWS_OK, WEIR_OK);
    assert_int_equal(r->s.sts_calls, 0);
    rig_free(r);
}

static void no_keys(void **state) {
    (void)state;
    rig *r = rig_new(true);
    outcome o[CALLS] = {0}, late[2] = {0};
    r->s.sts_refuses = 1;
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 20000, 0);
    drive(r);
    expect(o, CALLS, WEIR_AWS_DENIED, WEIR_E_PERMISSION);
    assert_int_equal(r->s.sts_calls, 1);
    assert_non_null(strstr(o[0].message, "AccessDenied: not you"));
    assert_non_null(strstr(o[0].message, "options")); /* whose keys were not enough */
    r->s.sts_refuses = 0;
    r->s.sts_silent = 1;
    for (int i = 0; i < 2; i++) call(r, &late[i], 100, 0); /* waiting has a deadline too */
    drive(r);
    expect(late, 2, WEIR_AWS_TRANSIENT, WEIR_E_TIMEOUT);
    assert_non_null(strstr(late[0].message, ROLE));
    r->s.sts_silent = 0;
    rig_free(r); /* while the fetch is still under way */
}

static void leaving_completes_what_waits(void **state) {
    (void)state;
    rig *r = rig_new(true);
    outcome o[CALLS] = {0};
    r->s.sts_silent = 1;
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 20000, 0);
    weir_aws_drive(r->client, 0);
    weir_aws_cancel_all(r->client);
    expect(o, CALLS, WEIR_AWS_CANCELLED, WEIR_E_CANCELLED);
    outcome again[CALLS] = {0};
    for (int i = 0; i < CALLS; i++) call(r, &again[i], 20000, 0);
    rig_free(r);
    expect(again, CALLS, WEIR_AWS_CANCELLED, WEIR_E_CANCELLED);
}

static void a_wrong_clock(void **state) {
    (void)state;
    rig *r = rig_new(false);
    outcome o[CALLS] = {0}, next = {0};
    r->s.ahead_s = 7200;
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 20000, 1);
    drive(r);
    expect(o, CALLS, WEIR_AWS_OK, WEIR_OK);
    int before = r->s.kinesis_calls;
    call(r, &next, 20000, 1);
    drive(r);
    assert_int_equal(r->s.kinesis_calls, before + 1); /* it was remembered */
    int64_t off = weir_aws_now_us(r->client) - weir_wall_us(fake_ctx(r->host));
    assert_true(off > 7190000000 && off < 7210000000);
    rig_free(r);
}

static void adaptive_calls_complete(void **state) {
    (void)state;
    setenv("AWS_RETRY_MODE", "adaptive", 1);
    setenv("AWS_MAX_ATTEMPTS", "5", 1);
    rig *r = rig_new(false);
    unsetenv("AWS_RETRY_MODE");
    unsetenv("AWS_MAX_ATTEMPTS");
    outcome o[CALLS] = {0};
    r->s.throttle = 4;
    for (int i = 0; i < CALLS; i++) call(r, &o[i], 50000, 0);
    drive(r);
    expect(o, CALLS, WEIR_AWS_OK, WEIR_OK);
    assert_int_equal(r->s.kinesis_calls, CALLS + 4);
    rig_free(r);
}

static int no_files(void **state) {
    (void)state;
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    unsetenv("AWS_PROFILE");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_wait_for_one_role),
        cmocka_unit_test(clients_share_a_role),
        cmocka_unit_test(expired_keys_are_replaced_once),
        cmocka_unit_test(keys_that_stand_somewhere_are_not_replaced),
        cmocka_unit_test(no_keys),
        cmocka_unit_test(leaving_completes_what_waits),
        cmocka_unit_test(a_wrong_clock),
        cmocka_unit_test(adaptive_calls_complete),
    };
    return cmocka_run_group_tests(tests, no_files, NULL);
}
