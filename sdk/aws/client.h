/*
 * sdk/aws/client.h - what making a client (client.c), its calls (call.c) and the words for what
 * failed (failure.c) share. Internal.
 */
#ifndef WEIR_AWS_CLIENT_H
#define WEIR_AWS_CLIENT_H

#include <stdatomic.h>

#include "credentials.h"
#include "retry.h"
#include "settings.h"
#include "weir/aws.h"

typedef struct aws_call aws_call; /* under way, or waiting for its next attempt */

struct weir_aws_client {
    weir_ctx *ctx;
    weir_http *http;
    weir_aws_signer *signer;
    char *service, *region;
    aws_options options; /* all strings ours */
    aws_endpoint endpoint;
    /* Keys (client_keys.c). `identity` is this client's copy of what the share has; before there
     * are any it has an origin only. */
    aws_identity identity;
    uint64_t version; /* of `identity`, 0 = none yet */
    aws_share *share;
    aws_member member;
    aws_fetch *fetch;          /* this client gets new ones now */
    aws_fetch_args fetch_args; /* strings ours */
    int64_t skew_us;           /* to be added to this machine's clock */
    retry_bucket bucket;
    retry_rate rate;
    bool adaptive;
    uint32_t attempts; /* of a call that says nothing */
    aws_call *first;
    uint32_t active, completed;
    bool closing;
    atomic_bool woken;
};

/* ---- keys ---- */

/* Takes part in the sharing of keys; keys that are there already are taken. */
weir_status aws_keys_open(weir_aws_client *c, aws_plan *plan, weir_error *error);
void aws_keys_close(weir_aws_client *c);
/* True if c->identity can sign now. Begins to get keys if there are none or they end soon. */
bool aws_keys_ready(weir_aws_client *c);
/* How often nobody could get keys; and whether a call that waits since then has to fail. */
uint64_t aws_keys_failures(weir_aws_client *c);
bool aws_keys_failed(weir_aws_client *c, uint64_t since);
/* Moves what aws_keys_ready began. `next_ns` is lowered to when to call it again. */
void aws_keys_drive(weir_aws_client *c, int64_t *next_ns);
/* A service calls the keys of `version` expired. True if others are there or may be had; false if
 * they stand somewhere and are the same as before. */
bool aws_keys_renew(weir_aws_client *c, uint64_t version);
/* The plan from options, environment and files as they are now. */
bool aws_client_plan(const weir_aws_client *c, aws_plan *plan, aws_problem *problem);
#endif
