/*
 * The table of operations, those about secrets rather than values, and what all of them ask first.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "secretsmanager/secrets.h"
#include "services.h"

#define DAY_MS INT64_C(86400000)
#define RECOVERY_MIN 7
#define RECOVERY_MAX 30
#define LIST_MAX 100
#define MARKED "You can't perform this operation on the secret because it was marked for deletion."

const aws_exception SECRETS_NOT_FOUND = {"ResourceNotFoundException", 400},
                    SECRETS_REQUEST = {"InvalidRequestException", 400},
                    SECRETS_PARAMETER = {"InvalidParameterException", 400},
                    SECRETS_EXISTS = {"ResourceExistsException", 400},
                    SECRETS_LIMIT = {"LimitExceededException", 400},
                    SECRETS_VALIDATION = {"ValidationException", 400},
                    SECRETS_TOKEN = {"InvalidNextTokenException", 400},
                    SECRETS_INTERNAL = {"InternalServiceError", 500};

static const aws_operation operations[] = {
    {"GetSecretValue", secrets_get, 0},
    {"BatchGetSecretValue", secrets_batch_get, 0},
    {"CreateSecret", secrets_create, 0},
    {"PutSecretValue", secrets_put, 0},
    {"UpdateSecret", secrets_update, 0},
    {"DescribeSecret", secrets_describe, 0},
    {"ListSecrets", secrets_list, 0},
    {"ListSecretVersionIds", secrets_list_versions, 0},
    {"DeleteSecret", secrets_delete, 0},
    {"RestoreSecret", secrets_restore, 0},
    {"UpdateSecretVersionStage", secrets_move_stage, 0},
    {"TagResource", secrets_tag, 0},
    {"UntagResource", secrets_untag, 0},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* The value that is wrong is not told: it might be a secret. */
void secrets_invalid(aws_call *call, const char *field, const char *constraint) {
    aws_fail(call, &SECRETS_VALIDATION,
             "1 validation error detected: Value at '%s' failed to satisfy constraint: %s", field,
             constraint);
}

static bool check_id(aws_call *call, weir_str id) {
    if (id.len && id.len <= 2048) return true;
    secrets_invalid(call, "secretId",
                    id.ptr ? "Member must have length between 1 and 2048"
                           : "Member must not be null");
    return false;
}

secret *secret_of_call(aws_call *call, bool usable) {
    weir_str id = aws_in_str(call, "SecretId");
    if (!check_id(call, id)) return NULL;
    secret *one = secret_find(call->state, id);
    if (!one)
        aws_fail(call, &SECRETS_NOT_FOUND, "Secrets Manager can't find the specified secret.");
    else if (usable && one->deleted_ms)
        aws_fail(call, &SECRETS_REQUEST, MARKED);
    else
        return one;
    return NULL;
}

/* ---- describe, list ---- */

void secrets_note_stages(aws_out *o, const char *name, const version *v) {
    aws_out_open_array(o, name);
    for (const label *l = v->stages; l; l = l->next) aws_out_z(o, NULL, l->text);
    aws_out_close_array(o);
}

static void describe(aws_out *o, const secret *one, const char *versions) {
    aws_out_z(o, "ARN", one->arn);
    aws_out_z(o, "Name", one->name);
    if (one->description) aws_out_z(o, "Description", one->description);
    if (one->kms_key) aws_out_z(o, "KmsKeyId", one->kms_key);
    aws_out_time_ms(o, "CreatedDate", one->created_ms);
    aws_out_time_ms(o, "LastChangedDate", one->changed_ms);
    if (one->accessed_ms) aws_out_time_ms(o, "LastAccessedDate", one->accessed_ms);
    if (one->deleted_ms) aws_out_time_ms(o, "DeletedDate", one->deleted_ms);
    if (one->tags) {
        aws_out_open_array(o, "Tags");
        for (const secret_tag *t = one->tags; t; t = t->next) {
            aws_out_open(o, NULL);
            aws_out_z(o, "Key", t->key);
            aws_out_z(o, "Value", t->value);
            aws_out_close(o);
        }
        aws_out_close_array(o);
    }
    aws_out_open(o, versions);
    for (const version *v = one->versions; v; v = v->next)
        if (v->stages) secrets_note_stages(o, v->id, v);
    aws_out_close(o);
}

void secrets_describe(aws_call *call) {
    const secret *one = secret_of_call(call, false);
    if (!one) return;
    aws_out_open(&call->out, NULL);
    describe(&call->out, one, "VersionIdsToStages");
    aws_end(call);
}

void secrets_list(aws_call *call) {
    secret_page page;
    bool planned = weir_json_get_bool(call->in, "IncludePlannedDeletion", 0) != 0;
    if (!secrets_page(call, planned, LIST_MAX, &page)) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "SecretList");
    for (uint32_t i = 0; i < page.count; i++) {
        aws_out_open(o, NULL);
        describe(o, page.list[i], "SecretVersionsToStages");
        aws_out_close(o);
    }
    aws_out_close_array(o);
    if (page.next[0]) aws_out_z(o, "NextToken", page.next);
    aws_end(call);
}

void secrets_list_versions(aws_call *call) {
    bool deprecated = weir_json_get_bool(call->in, "IncludeDeprecated", 0) != 0;
    int64_t max = weir_json_get_i64(call->in, "MaxResults", LIST_MAX);
    uint32_t from, at = 0;
    if (max < 1 || max > LIST_MAX) {
        secrets_invalid(call, "maxResults", "Member must have value between 1 and 100");
        return;
    }
    const secret *one = secret_of_call(call, false);
    if (!one || !secrets_token(call, &from)) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_z(o, "ARN", one->arn);
    aws_out_z(o, "Name", one->name);
    aws_out_open_array(o, "Versions");
    const version *v = one->versions;
    for (; v && at < from + max; v = v->next) {
        if ((!deprecated && !v->stages) || at++ < from) continue;
        aws_out_open(o, NULL);
        aws_out_z(o, "VersionId", v->id);
        if (v->stages) secrets_note_stages(o, "VersionStages", v);
        if (v->accessed_ms) aws_out_time_ms(o, "LastAccessedDate", v->accessed_ms);
        aws_out_time_ms(o, "CreatedDate", v->created_ms);
        aws_out_open_array(o, "KmsKeyIds");
        aws_out_z(o, NULL, one->kms_key ? one->kms_key : "DefaultEncryptionKey");
        aws_out_close_array(o);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    while (v && !deprecated && !v->stages) v = v->next;
    if (v) {
        char next[40];
        secrets_token_write(at, next);
        aws_out_z(o, "NextToken", next);
    }
    aws_end(call);
}

/* ---- delete, restore ---- */

static void deleted(aws_call *call, const char *arn, const char *name, int64_t at_ms) {
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "ARN", arn);
    aws_out_z(&call->out, "Name", name);
    if (at_ms) aws_out_time_ms(&call->out, "DeletionDate", at_ms);
    aws_end(call);
}

/* A secret that is not there can be forced away too. */
static void force(aws_call *call) {
    secrets *s = call->state;
    weir_str id = aws_in_str(call, "SecretId");
    if (!check_id(call, id)) return;
    secret *one = secret_find(s, id);
    const local_options *o = local_settings(s->home);
    char *arn = one ? arena_printf(call->memory, "%s", one->arn)
                    : arena_printf(call->memory, "arn:aws:secretsmanager:%s:%s:secret:%.*s",
                                   o->region, o->account, STR_FMT(id));
    char *name = one ? arena_printf(call->memory, "%s", one->name)
                     : arena_printf(call->memory, "%.*s", STR_FMT(id));
    if (!arn || !name) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    if (one) secret_remove(s, one);
    deleted(call, arn, name, secrets_now(s));
}

void secrets_delete(aws_call *call) {
    secrets *s = call->state;
    const weir_value *window = aws_in(call, "RecoveryWindowInDays");
    int64_t days = window && window->type == WEIR_V_I64 ? window->as.i64 : RECOVERY_MAX;
    bool at_once = weir_json_get_bool(call->in, "ForceDeleteWithoutRecovery", 0) != 0;
    if (at_once && window) {
        aws_fail(call, &SECRETS_PARAMETER,
                 "You can't use ForceDeleteWithoutRecovery in conjunction with "
                 "RecoveryWindowInDays.");
        return;
    }
    if (days < RECOVERY_MIN || days > RECOVERY_MAX) {
        aws_fail(call, &SECRETS_PARAMETER,
                 "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).");
        return;
    }
    if (at_once) {
        force(call);
        return;
    }
    secret *one = secret_of_call(call, true);
    if (!one) return;
    one->deleted_ms = secrets_now(s) + days * DAY_MS;
    deleted(call, one->arn, one->name, one->deleted_ms);
}

void secrets_restore(aws_call *call) {
    secret *one = secret_of_call(call, false);
    if (!one) return;
    one->deleted_ms = 0;
    deleted(call, one->arn, one->name, 0);
}

/* ---- labels ---- */

void secrets_move_stage(aws_call *call) {
    weir_str stage = aws_in_str(call, "VersionStage"),
             from = aws_in_str(call, "RemoveFromVersionId"),
             to = aws_in_str(call, "MoveToVersionId");
    if (!stage.len || aws_characters(stage) > SECRET_STAGE_MAX) {
        secrets_invalid(call, "versionStage", "Member must have length between 1 and 256");
        return;
    }
    secret *one = secret_of_call(call, true);
    if (!one) return;
    version *holder = secret_staged(one, stage);
    version *target = to.ptr ? secret_version(one, to) : NULL;
    if ((to.ptr && !target) || (from.ptr && !secret_version(one, from))) {
        weir_str missing = to.ptr && !target ? to : from;
        aws_fail(call, &SECRETS_NOT_FOUND,
                 "Secrets Manager can't find the specified secret value for VersionId: %.*s",
                 missing.len > 256 ? 256 : (int)missing.len, missing.ptr);
        return;
    }
    if (from.ptr ? !holder || !str_eq_z(from, holder->id) : holder && holder != target) {
        aws_fail(
            call, &SECRETS_PARAMETER,
            "The parameter RemoveFromVersionId can't be empty. Staging label %.*s is currently "
            "attached to version %s, so you must explicitly reference that version in "
            "RemoveFromVersionId.",
            STR_FMT(stage), holder ? holder->id : "none");
        return;
    }
    if (!target && str_eq_z(stage, "AWSCURRENT")) {
        aws_fail(call, &SECRETS_PARAMETER,
                 "You can only move staging label AWSCURRENT to a different secret version. It "
                 "can't be completely removed.");
        return;
    }
    if (target ? !secret_label(one, target, stage) : false) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    if (!target && holder) secret_unlabel(holder, stage);
    deleted(call, one->arn, one->name, 0);
}

/* ---- the service ---- */

static void secrets_free(void *state) {
    secrets *s = state;
    size_t cursor = 0;
    weir_str name;
    void *one;
    while (map_next(s->by_name, &cursor, &name, &one)) secret_free(one);
    map_free(s->by_name);
    mem_free(s);
}

bool secretsmanager_service(local *home, local_service *out) {
    secrets *s = mem_zalloc(sizeof *s);
    if (!s) return false;
    s->home = home;
    s->by_name = map_new();
    aws_service service = {.name = "secretsmanager",
                           .target = "secretsmanager",
                           .version = "1.1",
                           .operations = operations,
                           .operation_count = OPERATIONS,
                           .state = s,
                           .free = secrets_free};
    if (s->by_name && aws_json_service(home, &service, out)) {
        out->save = secrets_save;
        out->load = secrets_load;
        return true;
    }
    map_free(s->by_name);
    mem_free(s);
    return false;
}
