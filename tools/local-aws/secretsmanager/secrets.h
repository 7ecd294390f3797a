/*
 * secretsmanager/secrets.h - secrets, their versions, and the labels that name a version.
 *
 *   secret ── version ── version ── version      in the order in which they were made
 *              (none)    AWSPREVIOUS  AWSCURRENT  a label stands at one version only
 *
 * A version without a label is deprecated: it is still there by its id, and the first to go when a
 * secret has too many. Values are wiped when they go, and stand in no error and no log.
 */
#ifndef WEIR_LOCAL_SECRETS_H
#define WEIR_LOCAL_SECRETS_H

#include "aws/parts.h"
#include "base/map.h"

/* Limits of the service ("AWS Secrets Manager quotas", and the patterns of its API model). */
#define SECRETS_MAX 500000u
#define SECRET_NAME_MAX 512u
#define SECRET_VALUE_MAX 65536u
#define SECRET_VERSIONS_MAX 100u
#define SECRET_STAGES_MAX 20u
#define SECRET_STAGE_MAX 256u
#define SECRET_TAGS_MAX 50u
#define SECRET_ID_MIN 32u /* of a version */
#define SECRET_ID_MAX 64u
#define SECRET_DESCRIPTION_MAX 2048u

typedef struct label {
    struct label *next;
    char *text;
} label;

typedef struct version {
    struct version *next;
    char id[SECRET_ID_MAX + 1];
    bool binary;
    char *value;
    size_t value_len;
    label *stages;
    int64_t created_ms, accessed_ms; /* 0: never */
} version;

typedef struct secret_tag {
    struct secret_tag *next;
    char *key, *value;
} secret_tag;

typedef struct secret {
    char *name, *arn;
    char *description, *kms_key; /* NULL: none */
    version *versions;
    secret_tag *tags;
    int64_t created_ms, changed_ms, accessed_ms, deleted_ms; /* the end of the recovery window */
} secret;

typedef struct secrets {
    local *home;
    map *by_name;
} secrets;

int64_t secrets_now(const secrets *s);
/* By name, ARN, or ARN without its last seven characters; NULL if there is none. What is past its
 * recovery window is gone by now. */
secret *secret_find(secrets *s, weir_str id);
/* The secret of SecretId; `usable`: one marked for deletion is refused. NULL: the call has ended.
 */
secret *secret_of_call(aws_call *call, bool usable);
secret *secret_new(secrets *s, weir_str name);
void secret_remove(secrets *s, secret *one);
void secret_free(secret *one);
void secret_tag_remove(secret *one, weir_str key);
bool secret_tag_put(secret *one, weir_str key, weir_str value);

version *secret_version(const secret *one, weir_str id);
version *secret_staged(const secret *one, weir_str stage);
/* Drops a deprecated version if there are too many; NULL without memory, or if none can go (then
 * *full is true). The value is copied. */
version *secret_version_add(secrets *s, secret *one, weir_str id, bool binary, weir_str value,
                            bool *full);
bool secret_has_label(const version *v, weir_str stage);
/* Moves the label there; with AWSCURRENT, AWSPREVIOUS goes to where that was. */
bool secret_label(secret *one, version *v, weir_str stage);
void secret_unlabel(version *v, weir_str stage);

void secrets_note_stages(aws_out *o, const char *name, const version *v);
void secrets_invalid(aws_call *call, const char *field, const char *constraint);

/* ---- filters and pages, for ListSecrets and BatchGetSecretValue ---- */

typedef struct secret_page {
    secret **list; /* in the call's arena */
    uint32_t count;
    char next[40]; /* empty: the last one */
} secret_page;
bool secrets_page(aws_call *call, bool planned, uint32_t most, secret_page *out);
bool secrets_token(aws_call *call, uint32_t *from);
void secrets_token_write(uint32_t at, char out[40]);

bool secrets_save(void *own, keep *k);
bool secrets_load(void *own, keep *k);

extern const aws_exception SECRETS_NOT_FOUND, SECRETS_REQUEST, SECRETS_PARAMETER, SECRETS_EXISTS,
    SECRETS_LIMIT, SECRETS_VALIDATION, SECRETS_TOKEN, SECRETS_INTERNAL;

void secrets_get(aws_call *call);
void secrets_batch_get(aws_call *call);
void secrets_put(aws_call *call);
void secrets_create(aws_call *call);
void secrets_update(aws_call *call);
void secrets_describe(aws_call *call);
void secrets_list(aws_call *call);
void secrets_list_versions(aws_call *call);
void secrets_delete(aws_call *call);
void secrets_restore(aws_call *call);
void secrets_move_stage(aws_call *call);
void secrets_tag(aws_call *call);
void secrets_untag(aws_call *call);

#endif
