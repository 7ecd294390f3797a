/* ${s3file:BUCKET/KEY} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

/* As much as the host takes for a file. */
#define OBJECT_MAX (16u << 20)
#define KEY_MAX 1024u
#define NAME_MAX_SHOWN 300

typedef struct question {
    reference *self;
    weir_str name; /* BUCKET/KEY */
    weir_error *error;
    bool finished;
    weir_status status;
} question;

static void on_answer(void *opaque, const weir_aws_response *response);

static weir_status resolve(void *self, weir_resolve *args) {
    reference *r = self;
    weir_str text = args->text, none = {"", 0};
    char path[1 + 3 * KEY_MAX + 1];
    const char *slash = memchr(text.ptr, '/', (size_t)text.len);
    uint64_t bucket = slash ? (uint64_t)(slash - text.ptr) : 0;
    if (bucket == 0 || bucket + 1 >= text.len || text.len - bucket - 1 > KEY_MAX)
        return weir_fail(r->ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                         "expected BUCKET/KEY, with a key of at most %u bytes", KEY_MAX);
    weir_status status = reference_client(r, "s3", none, args->error);
    if (status != WEIR_OK) return status;
    weir_str key = {slash + 1, text.len - bucket - 1};
    path[0] = '/';
    weir_aws_uri_encode(key, 1, path + 1, sizeof path - 1);
    weir_aws_rest rest = {.operation = "S3.GetObject",
                          .method = "GET",
                          .bucket = {text.ptr, bucket},
                          .path = weir_str_of(path)};
    question q = {.self = r, .name = text, .error = args->error};
    weir_aws_call_args call = {.rest = &rest,
                               .deadline_ns = args->deadline_ns,
                               .timeout_ms = 30000,
                               .response_max = OBJECT_MAX,
                               .done = on_answer,
                               .opaque = &q};
    secret_value_free(&r->answer);
    status = reference_call(r, &call, &q.finished, args->error);
    if (status == WEIR_OK) status = q.status;
    if (status != WEIR_OK) return status;
    args->kind = WEIR_RESOLVED_FILE;
    args->bytes.ptr = r->answer.text;
    args->bytes.len = r->answer.len;
    return WEIR_OK;
}

static void on_answer(void *opaque, const weir_aws_response *response) {
    question *q = opaque;
    reference *r = q->self;
    char what[NAME_MAX_SHOWN + 16];
    int shown = (int)(q->name.len < NAME_MAX_SHOWN ? q->name.len : NAME_MAX_SHOWN);
    q->finished = true;
    if (response->kind != WEIR_AWS_OK) {
        snprintf(what, sizeof what, "object '%.*s'", shown, q->name.ptr);
        q->status = weir_aws_fail(r->ctx, q->error, r->client, response, what);
        return;
    }
    r->answer.text = malloc((size_t)response->body.len + 1);
    if (!r->answer.text) {
        q->status = weir_fail(r->ctx, q->error, WEIR_E_NOMEM, 0, "out of memory");
        return;
    }
    memcpy(r->answer.text, response->body.ptr, (size_t)response->body.len);
    r->answer.len = response->body.len;
    q->status = WEIR_OK;
}

const weir_reference_ops s3file_ops = {.struct_size = sizeof(weir_reference_ops),
                                       .create = reference_create,
                                       .destroy = reference_destroy,
                                       .open = reference_open,
                                       .resolve = resolve,
                                       .cancel = reference_cancel,
                                       .close = reference_close};
