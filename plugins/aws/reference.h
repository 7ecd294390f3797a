/*
 * plugins/aws/reference.h - what both references have in common: an instance with one client, and
 * a call that is waited for.
 *
 * Everything belongs to the thread that calls in, except what `lock` guards and `cancelled`.
 */
#ifndef AWS_REFERENCE_H
#define AWS_REFERENCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "secret_value.h"
#include "weir/aws.h"
#include "weir/sdk.h"

typedef struct reference {
    weir_ctx *ctx;
    pthread_mutex_t lock; /* `client` as cancel sees it */
    weir_aws_client *client;
    char region[64]; /* that the client was asked for; "" = from the environment */
    atomic_bool cancelled;
    secret_value answer; /* what resolve handed out last */
} reference;

/* The client of `service` in `region` (empty: environment and profile say): made at the first use,
 * and anew when another region is asked for. */
weir_status reference_client(reference *r, const char *service, weir_str region, weir_error *error);

/* One call whose answer is what the reference resolves to. */
typedef struct reference_question {
    reference *self;
    const char *what; /* "secret" */
    weir_str name;    /* of it, as errors shall show it */
    weir_resolve *args;
    /* Fills self->answer from the body of a 200 answer, or args->error. */
    weir_status (*take)(struct reference_question *q, weir_str body);
    const void *opaque; /* the taker's */
    /* how it ended */
    bool finished;
    weir_status status;
} reference_question;

/* Makes the call, whose `done` and `opaque` it sets, waits for its end, and hands out the answer in
 * q->args as `kind`. */
weir_status reference_ask(reference_question *q, weir_aws_call_args *call, uint32_t kind);
/* How many bytes of a name are shown. */
int reference_shown(weir_str name);

/* Slots of the operations' tables. */
weir_status reference_create(weir_create *args);
void reference_destroy(void *self);
weir_status reference_open(void *self, weir_open *args);
void reference_cancel(void *self);
weir_status reference_close(void *self, weir_close *args);

extern const weir_reference_ops secretsmanager_ops; /* secretsmanager.c */
extern const weir_reference_ops s3file_ops;         /* s3file.c */

#endif
