/*
 * sdk/aws/client.h - what making a client (client.c), its calls (call.c) and the words for what
 * failed (failure.c) share. Internal.
 */
#ifndef WEIR_AWS_CLIENT_H
#define WEIR_AWS_CLIENT_H

#include <stdatomic.h>

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
    aws_identity identity;
    retry_bucket bucket;
    aws_call *first;
    uint32_t active, completed;
    bool closing;
    atomic_bool woken;
};

/* Reads the profile files again: something outside may have put newer keys there. True if they
 * changed. */
bool aws_client_refresh(weir_aws_client *c);

#endif
