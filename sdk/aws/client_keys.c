/* The keys of a client: its copy of what is shared, and its turn to get new ones. */
#include <string.h>

#include "client.h"
#include "weir/sdk.h"

static void begin(weir_aws_client *c);
static void settle(weir_aws_client *c, int64_t *next_ns);
static void wake(void *opaque);

weir_status aws_keys_open(weir_aws_client *c, aws_plan *plan, weir_error *error) {
    char fingerprint[WEIR_AWS_HASH_SIZE];
    aws_plan_fingerprint(plan, fingerprint);
    c->identity.origin = plan->origin;
    plan->origin = NULL;
    c->member = (aws_member){.wake = wake, .opaque = c};
    c->share = aws_share_join(fingerprint, &c->member);
    if (!c->share)
        return weir_fail(c->ctx, error, WEIR_E_NOMEM, 0, "out of memory for an AWS client");
    if (aws_plan_is_keys(plan)) (void)aws_keys_ready(c);
    return WEIR_OK;
}

void aws_keys_close(weir_aws_client *c) {
    aws_fetch_free(c->fetch);
    c->fetch = NULL;
    if (c->share) aws_share_leave(c->share, &c->member);
    c->share = NULL;
    aws_identity_free(&c->identity);
}

uint64_t aws_keys_failures(weir_aws_client *c) {
    return aws_share_look(c->share, &c->member, weir_aws_now_us(c), false).failures;
}

bool aws_keys_failed(weir_aws_client *c, uint64_t since) {
    aws_look look = aws_share_look(c->share, &c->member, weir_aws_now_us(c), false);
    return !look.usable && look.failures > since;
}

bool aws_keys_ready(weir_aws_client *c) {
    /* Not while an earlier turn of this client is under way, even if another took it over. */
    aws_look look = aws_share_look(c->share, &c->member, weir_aws_now_us(c), !c->fetch);
    if (look.your_turn) {
        begin(c);
        look = aws_share_look(c->share, &c->member, weir_aws_now_us(c), false);
    }
    if (look.version == c->version) return look.usable;
    aws_identity fresh;
    uint64_t version = 0;
    if (!aws_share_copy(c->share, &fresh, &version)) return false;
    aws_identity_free(&c->identity);
    c->identity = fresh;
    c->version = version;
    return look.usable;
}

void aws_keys_drive(weir_aws_client *c, int64_t *next_ns) {
    if (c->fetch) settle(c, next_ns);
}

bool aws_keys_renew(weir_aws_client *c, uint64_t version) {
    aws_look look = aws_share_look(c->share, &c->member, weir_aws_now_us(c), false);
    if (look.version != version) return true; /* somebody was faster */
    aws_plan plan;
    aws_problem problem = {0};
    bool may = aws_client_plan(c, &plan, &problem);
    if (may && aws_plan_is_keys(&plan)) {
        /* Whoever put them there may have put newer ones there since. */
        const aws_identity *now = &plan.steps[0].keys;
        const char *token = now->session_token ? now->session_token : "";
        const char *before = c->identity.session_token ? c->identity.session_token : "";
        may = strcmp(now->access_key_id, c->identity.access_key_id) != 0 ||
              strcmp(token, before) != 0;
    }
    if (may) aws_share_expire(c->share, version);
    aws_problem_free(&problem);
    aws_plan_free(&plan);
    return may;
}

/* The plan is made anew each time: files may have changed. What is there already is taken before
 * this returns. */
static void begin(weir_aws_client *c) {
    aws_plan plan;
    aws_problem problem = {0};
    int64_t next = INT64_MAX;
    if (aws_client_plan(c, &plan, &problem)) {
        aws_fetch_args args = c->fetch_args;
        args.skew_us = c->skew_us;
        c->fetch = aws_fetch_start(&args, &plan);
        aws_plan_free(&plan);
        if (!c->fetch) aws_no_memory(&problem);
    }
    if (c->fetch)
        settle(c, &next);
    else
        aws_share_fail(c->share, &c->member, &problem, weir_aws_now_us(c));
    aws_problem_free(&problem);
}

static void settle(weir_aws_client *c, int64_t *next_ns) {
    if (!aws_fetch_drive(c->fetch, next_ns)) return;
    aws_identity keys = {0};
    aws_problem problem = {0};
    c->skew_us = aws_fetch_skew_us(c->fetch);
    bool ok = aws_fetch_take(c->fetch, &keys, &problem);
    int64_t now = weir_aws_now_us(c);
    if (ok) {
        weir_log(c->ctx, WEIR_LOG_DEBUG, "new AWS keys from %s", c->identity.origin);
        aws_share_publish(c->share, &c->member, &keys, now,
                          weir_api_of(c->ctx)->random.u64(c->ctx));
    } else {
        const char *words = text_z(&problem.words);
        aws_look look = aws_share_look(c->share, &c->member, now, false);
        if (look.usable)
            weir_log(c->ctx, WEIR_LOG_WARN,
                     "no new AWS keys, going on with the old ones until they end: %s",
                     words ? words : "out of memory");
        aws_share_fail(c->share, &c->member, &problem, now);
    }
    aws_fetch_free(c->fetch);
    c->fetch = NULL;
    aws_problem_free(&problem);
}

static void wake(void *opaque) {
    weir_aws_wakeup(opaque);
}
