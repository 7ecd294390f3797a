#include "reference.h"

#include <stdio.h>
#include <string.h>

#define SLICE_NS 1000000000LL
#define NAME_MAX_SHOWN 300

static void set_client(reference *r, weir_aws_client *client) {
    pthread_mutex_lock(&r->lock);
    r->client = client;
    pthread_mutex_unlock(&r->lock);
}

weir_status reference_create(weir_create *args) {
    reference *r = weir_zalloc(args->ctx, sizeof *r);
    if (!r) return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    r->ctx = args->ctx;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        weir_free(args->ctx, r);
        return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "cannot make a lock");
    }
    args->self = r;
    return WEIR_OK;
}

void reference_destroy(void *self) {
    reference *r = self;
    reference_close(r, NULL);
    pthread_mutex_destroy(&r->lock);
    weir_free(r->ctx, r);
}

weir_status reference_open(void *self, weir_open *args) {
    reference *r = self;
    (void)args;
    return atomic_load(&r->cancelled) ? WEIR_E_CANCELLED : WEIR_OK;
}

weir_status reference_close(void *self, weir_close *args) {
    reference *r = self;
    (void)args;
    weir_aws_client *client = r->client;
    set_client(r, NULL);
    weir_aws_client_free(client);
    secret_value_free(&r->answer);
    return WEIR_OK;
}

void reference_cancel(void *self) {
    reference *r = self;
    atomic_store(&r->cancelled, true);
    pthread_mutex_lock(&r->lock);
    if (r->client) weir_aws_wakeup(r->client);
    pthread_mutex_unlock(&r->lock);
}

weir_status reference_client(reference *r, const char *service, weir_str region,
                             weir_error *error) {
    if (region.len >= sizeof r->region)
        return weir_fail(r->ctx, error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, "'%.*s' is no region",
                         64, region.ptr);
    if (r->client && strlen(r->region) == region.len &&
        memcmp(r->region, region.ptr, (size_t)region.len) == 0)
        return WEIR_OK;
    weir_aws_client *old = r->client, *made = NULL;
    set_client(r, NULL);
    weir_aws_client_free(old);
    weir_aws_client_args args = {.service = service, .region = region, .max_connections = 2};
    weir_status status = weir_aws_client_new(r->ctx, &args, error, &made);
    if (status != WEIR_OK) {
        weir_fail_hint(r->ctx, error,
                       "a reference has no options: region and keys come from the environment "
                       "(AWS_REGION, AWS_ACCESS_KEY_ID, ...) or from the profile (AWS_PROFILE)");
        return status;
    }
    memcpy(r->region, region.ptr, (size_t)region.len);
    r->region[region.len] = '\0';
    set_client(r, made);
    return WEIR_OK;
}

int reference_shown(weir_str name) {
    return (int)(name.len < NAME_MAX_SHOWN ? name.len : NAME_MAX_SHOWN);
}

static void on_answer(void *opaque, const weir_aws_response *response) {
    reference_question *q = opaque;
    reference *r = q->self;
    q->finished = true;
    if (response->kind == WEIR_AWS_OK) {
        q->status = q->take(q, response->body);
        return;
    }
    char what[NAME_MAX_SHOWN + 16];
    snprintf(what, sizeof what, "%s '%.*s'", q->what, reference_shown(q->name), q->name.ptr);
    q->status = weir_aws_fail(r->ctx, q->args->error, r->client, response, what);
}

weir_status reference_ask(reference_question *q, weir_aws_call_args *call, uint32_t kind) {
    reference *r = q->self;
    call->deadline_ns = q->args->deadline_ns;
    call->done = on_answer;
    call->opaque = q;
    secret_value_free(&r->answer);
    weir_status status = weir_aws_call(r->client, call);
    if (status != WEIR_OK)
        return weir_fail(r->ctx, q->args->error, status, 0, "%s",
                         status == WEIR_E_NOMEM ? "out of memory" : "the call was not made");
    while (!q->finished) {
        if (atomic_load(&r->cancelled)) weir_aws_cancel_all(r->client);
        if (!q->finished) weir_aws_drive(r->client, weir_mono_ns(r->ctx) + SLICE_NS);
    }
    if (atomic_load(&r->cancelled)) return WEIR_E_CANCELLED;
    if (q->status != WEIR_OK) return q->status;
    q->args->kind = kind;
    q->args->bytes.ptr = r->answer.text;
    q->args->bytes.len = r->answer.len;
    return WEIR_OK;
}
