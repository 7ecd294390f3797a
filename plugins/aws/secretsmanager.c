/* ${secretsmanager:ID:FIELD} */
#include <string.h>

#include "reference.h"
#include "secret_id.h"
#include "weir/json.h"

/* A secret has at most 64 KiB, JSON may write each of its bytes with six. */
#define ANSWER_MAX (512u << 10)

static weir_status take(reference_question *q, weir_str body);

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
    reference_question q = {
        .self = r, .what = "secret", .name = id.id, .args = args, .take = take, .opaque = &id};
    weir_aws_call_args call = {.target = "secretsmanager.GetSecretValue",
                               .body = {body, len},
                               .timeout_ms = 10000,
                               .response_max = ANSWER_MAX};
    return reference_ask(&q, &call, WEIR_RESOLVED_VALUE);
}

static weir_status take(reference_question *q, weir_str body) {
    const secret_id *id = q->opaque;
    reference *r = q->self;
    weir_status status = WEIR_OK;
    const char *wrong = secret_value_read(body, id->field, &r->answer, &status);
    if (!wrong) return status;
    weir_fail(r->ctx, q->args->error, status, status == WEIR_E_IO ? WEIR_ERR_RETRYABLE : 0,
              "secret '%.*s': %s", reference_shown(id->id), id->id.ptr, wrong);
    if (status == WEIR_E_NOT_FOUND || status == WEIR_E_DATA)
        weir_fail_hint(r->ctx, q->args->error,
                       "${secretsmanager:ID} is the whole text of a secret, "
                       "${secretsmanager:ID:FIELD} a member of one that is a JSON object");
    return status;
}

const weir_reference_ops secretsmanager_ops = {.struct_size = sizeof(weir_reference_ops),
                                               .create = reference_create,
                                               .destroy = reference_destroy,
                                               .open = reference_open,
                                               .resolve = resolve,
                                               .cancel = reference_cancel,
                                               .close = reference_close};
