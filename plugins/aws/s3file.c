/* ${s3file:BUCKET/KEY} */
#include <stdlib.h>
#include <string.h>

#include "reference.h"

/* As much as the host takes for a file. */
#define OBJECT_MAX (16u << 20)
#define KEY_MAX 1024u

static weir_status take(reference_question *q, weir_str body);

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
    reference_question q = {.self = r, .what = "object", .name = text, .args = args, .take = take};
    weir_aws_call_args call = {.rest = &rest, .timeout_ms = 30000, .response_max = OBJECT_MAX};
    return reference_ask(&q, &call, WEIR_RESOLVED_FILE);
}

static weir_status take(reference_question *q, weir_str body) {
    secret_value *answer = &q->self->answer;
    answer->text = malloc((size_t)body.len + 1);
    if (!answer->text)
        return weir_fail(q->self->ctx, q->args->error, WEIR_E_NOMEM, 0, "out of memory");
    memcpy(answer->text, body.ptr, (size_t)body.len);
    answer->len = body.len;
    return WEIR_OK;
}

const weir_reference_ops s3file_ops = {.struct_size = sizeof(weir_reference_ops),
                                       .create = reference_create,
                                       .destroy = reference_destroy,
                                       .open = reference_open,
                                       .resolve = resolve,
                                       .cancel = reference_cancel,
                                       .close = reference_close};
