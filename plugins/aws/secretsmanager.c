/* ${secretsmanager:ID:FIELD} */
#include <stdio.h>
#include <string.h>

#include "reference.h"
#include "secret_id.h"
#include "weir/json.h"

/* A secret has at most 64 KiB, JSON may write each of its bytes with six. */
#define ANSWER_MAX (512u << 10)
#define NAME_MAX_SHOWN 300

typedef struct question {
    reference *self;
    const secret_id *id;
    weir_error *error;
    bool finished;
    weir_status status;
} question;

static void on_answer(void *opaque, const weir_aws_response *response);

static weir_status resolve(void *self, weir_resolve *args) {
    reference *r = self;
    secret_id id;
    char body[16 + 6 * 2048 + 8];
    if (!secret_id_parse(args->text, &id) || id.id.len > 2048)
        return weir_fail(r->ctx, args->error, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                         "expected the name or the ARN of a secret, and :FIELD if one member of it "
                         "is wanted");
    weir_status status = reference_client(r, "secretsmanager", id.region, args->error);
    if (status != WEIR_OK) return status;
    static const char head[] = "{\"SecretId\":";
    memcpy(body, head, sizeof head - 1);
    uint64_t len = sizeof head - 1;
    len += weir_json_write_str(id.id, body + len);
    body[len++] = '}';
    question q = {.self = r, .id = &id, .error = args->error};
    weir_aws_call_args call = {.target = "secretsmanager.GetSecretValue",
                               .body = {body, len},
                               .deadline_ns = args->deadline_ns,
                               .timeout_ms = 10000,
                               .response_max = ANSWER_MAX,
                               .done = on_answer,
                               .opaque = &q};
    secret_value_free(&r->answer);
    status = reference_call(r, &call, &q.finished, args->error);
    if (status == WEIR_OK) status = q.status;
    if (status != WEIR_OK) return status;
    args->kind = WEIR_RESOLVED_VALUE;
    args->bytes.ptr = r->answer.text;
    args->bytes.len = r->answer.len;
    return WEIR_OK;
}

static void on_answer(void *opaque, const weir_aws_response *response) {
    question *q = opaque;
    reference *r = q->self;
    char what[NAME_MAX_SHOWN + 16];
    int shown = (int)(q->id->id.len < NAME_MAX_SHOWN ? q->id->id.len : NAME_MAX_SHOWN);
    q->finished = true;
    if (response->kind != WEIR_AWS_OK) {
        snprintf(what, sizeof what, "secret '%.*s'", shown, q->id->id.ptr);
        q->status = weir_aws_fail(r->ctx, q->error, r->client, response, what);
        return;
    }
    const char *wrong = secret_value_read(response->body, q->id->field, &r->answer, &q->status);
    if (!wrong) return;
    weir_fail(r->ctx, q->error, q->status, q->status == WEIR_E_IO ? WEIR_ERR_RETRYABLE : 0,
              "secret '%.*s': %s", shown, q->id->id.ptr, wrong);
    if (q->status == WEIR_E_NOT_FOUND || q->status == WEIR_E_DATA)
        weir_fail_hint(r->ctx, q->error,
                       "${secretsmanager:ID} is the whole text of a secret, "
                       "${secretsmanager:ID:FIELD} a member of one that is a JSON object");
}

const weir_reference_ops secretsmanager_ops = {.struct_size = sizeof(weir_reference_ops),
                                               .create = reference_create,
                                               .destroy = reference_destroy,
                                               .open = reference_open,
                                               .resolve = resolve,
                                               .cancel = reference_cancel,
                                               .close = reference_close};
