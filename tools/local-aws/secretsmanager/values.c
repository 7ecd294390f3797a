/*
 * Values: reading one or many, writing a new version.
 */
#include <openssl/crypto.h>
#include <stdio.h>

#include "secretsmanager/secrets.h"

#define DAY_MS 86400000
#define BATCH_MAX 20u
#define MARKED "You can't perform this operation on the secret because it was marked for deletion."
#define NO_SECRET "Secrets Manager can't find the specified secret."

/* What of a call is to become a version. */
typedef struct offer {
    bool given, binary;
    weir_str value;
    weir_str id; /* ClientRequestToken, or made here */
    char made[37];
} offer;

/* ---- reading ---- */

static void put_value(aws_out *o, const secret *one, const version *v) {
    aws_out_z(o, "ARN", one->arn);
    aws_out_z(o, "Name", one->name);
    aws_out_z(o, "VersionId", v->id);
    if (v->binary)
        aws_out_blob(o, "SecretBinary", str_make(v->value, v->value_len));
    else
        aws_out_str(o, "SecretString", str_make(v->value, v->value_len));
    secrets_note_stages(o, "VersionStages", v);
    aws_out_time_ms(o, "CreatedDate", v->created_ms);
}

/* The day of the access is told, not its time. */
static void touch(secrets *s, secret *one, version *v) {
    int64_t now = secrets_now(s);
    one->accessed_ms = v->accessed_ms = now - now % DAY_MS;
}

void secrets_get(aws_call *call) {
    weir_str id = aws_in_str(call, "VersionId"), stage = aws_in_str(call, "VersionStage");
    secret *one = secret_of_call(call, true);
    if (!one) return;
    if (!id.ptr && !stage.ptr) stage = STR("AWSCURRENT");
    version *v = id.ptr ? secret_version(one, id) : secret_staged(one, stage);
    if (!v) {
        weir_str what = id.ptr ? id : stage;
        aws_fail(call, &SECRETS_NOT_FOUND,
                 "Secrets Manager can't find the specified secret value for %s: %.*s",
                 id.ptr ? "VersionId" : "staging label", what.len > 256 ? 256 : (int)what.len,
                 what.ptr);
        return;
    }
    if (id.ptr && stage.ptr && !secret_has_label(v, stage)) {
        aws_fail(call, &SECRETS_REQUEST,
                 "You provided a VersionStage that is not associated to the provided VersionId.");
        return;
    }
    touch(call->state, one, v);
    aws_out_open(&call->out, NULL);
    put_value(&call->out, one, v);
    aws_end(call);
}

static void put_error(aws_out *o, weir_str id, const aws_exception *e, const char *words) {
    aws_out_open(o, NULL);
    aws_out_str(o, "SecretId", id);
    aws_out_z(o, "ErrorCode", e->name);
    aws_out_z(o, "Message", words);
    aws_out_close(o);
}

/* Either the values or the errors of a list of ids: two passes, since they stand apart. */
static void put_listed(aws_call *call, const weir_value *ids, bool errors) {
    secrets *s = call->state;
    const weir_value *item = ids + 1;
    for (uint32_t i = 0; i < ids->size; i++, item = weir_value_next(item)) {
        weir_str id = weir_value_str(item);
        secret *one = secret_find(s, id);
        version *v = one ? secret_staged(one, STR("AWSCURRENT")) : NULL;
        if (v && !one->deleted_ms) {
            if (errors) continue;
            touch(s, one, v);
            aws_out_open(&call->out, NULL);
            put_value(&call->out, one, v);
            aws_out_close(&call->out);
        } else if (errors) {
            bool marked = one && one->deleted_ms;
            put_error(&call->out, id, marked ? &SECRETS_REQUEST : &SECRETS_NOT_FOUND,
                      marked ? MARKED : NO_SECRET);
        }
    }
}

static bool check_ids(aws_call *call, const weir_value *ids) {
    bool ok = ids->type == WEIR_V_ARRAY && ids->size >= 1 && ids->size <= BATCH_MAX;
    const weir_value *item = ids + 1;
    for (uint32_t i = 0; ok && i < ids->size; i++, item = weir_value_next(item))
        ok = item->type == WEIR_V_STRING;
    if (!ok)
        secrets_invalid(call, "secretIdList", "Member must have length between 1 and 20, of texts");
    return ok;
}

void secrets_batch_get(aws_call *call) {
    const weir_value *ids = aws_in(call, "SecretIdList"), *filters = aws_in(call, "Filters");
    secret_page page = {0};
    if (!ids == !filters) {
        aws_fail(call, &SECRETS_PARAMETER,
                 "Either 'SecretIdList' or 'Filters' must be provided, but not both.");
        return;
    }
    if (ids && aws_in(call, "MaxResults")) {
        aws_fail(call, &SECRETS_PARAMETER, "'MaxResults' is only used with 'Filters'.");
        return;
    }
    if (ids ? !check_ids(call, ids) : !secrets_page(call, false, BATCH_MAX, &page)) return;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "SecretValues");
    if (ids) put_listed(call, ids, false);
    for (uint32_t i = 0; i < page.count; i++) {
        version *v = secret_staged(page.list[i], STR("AWSCURRENT"));
        if (!v) continue;
        touch(call->state, page.list[i], v);
        aws_out_open(o, NULL);
        put_value(o, page.list[i], v);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    aws_out_open_array(o, "Errors");
    if (ids) put_listed(call, ids, true);
    aws_out_close_array(o);
    if (page.next[0]) aws_out_z(o, "NextToken", page.next);
    aws_end(call);
}

/* ---- writing ---- */

static bool read_value(aws_call *call, offer *out) {
    const weir_value *text = aws_in(call, "SecretString"), *bytes = aws_in(call, "SecretBinary");
    if (text && bytes) {
        aws_fail(call, &SECRETS_PARAMETER,
                 "You can't specify both a binary secret value and a string secret value in the "
                 "same secret.");
        return false;
    }
    out->given = text || bytes;
    out->binary = bytes != NULL;
    if (!out->given) return true;
    bool ok = bytes ? aws_blob(call, bytes, &out->value) : text->type == WEIR_V_STRING;
    if (text && ok) out->value = weir_value_str(text);
    if (ok && out->value.len >= 1 && out->value.len <= SECRET_VALUE_MAX) return true;
    secrets_invalid(call, bytes ? "secretBinary" : "secretString",
                    "Member must have length between 1 and 65536");
    return false;
}

/* A token becomes a name in JSON: what would have to be escaped there is refused. */
static bool read_id(aws_call *call, offer *out) {
    out->id = aws_in_str(call, "ClientRequestToken");
    if (!out->id.ptr) {
        secrets *s = call->state;
        local_uuid(s->home, out->made);
        out->id = str_of(out->made);
        return true;
    }
    bool ok = out->id.len >= SECRET_ID_MIN && out->id.len <= SECRET_ID_MAX;
    for (size_t i = 0; ok && i < out->id.len; i++) {
        char c = out->id.ptr[i];
        ok = c > ' ' && c < 127 && c != '"' && c != '\\';
    }
    if (!ok)
        secrets_invalid(call, "clientRequestToken",
                        "Member must have length between 32 and 64, of printable characters");
    return ok;
}

static bool read_offer(aws_call *call, offer *out) {
    *out = (offer){0};
    return read_value(call, out) && read_id(call, out);
}

/* The version that the offer asks for: one that is there with the same content, or a new one. */
static version *take(aws_call *call, secret *one, const offer *in, bool *fresh) {
    version *v = secret_version(one, in->id);
    *fresh = !v;
    if (v) {
        if (v->binary == in->binary && v->value_len == in->value.len &&
            CRYPTO_memcmp(v->value, in->value.ptr, v->value_len) == 0)
            return v;
        aws_fail(call, &SECRETS_EXISTS,
                 "You can't use ClientRequestToken %.*s because that value is already in use for a "
                 "version of secret %s.",
                 STR_FMT(in->id), one->arn);
        return NULL;
    }
    bool full;
    v = secret_version_add(call->state, one, in->id, in->binary, in->value, &full);
    if (v) return v;
    if (full)
        aws_fail(call, &SECRETS_LIMIT, "You have more than %u versions with a staging label.",
                 SECRET_VERSIONS_MAX);
    else
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
    return NULL;
}

static bool check_stages(aws_call *call, const weir_value *stages) {
    bool ok =
        stages->type == WEIR_V_ARRAY && stages->size >= 1 && stages->size <= SECRET_STAGES_MAX;
    const weir_value *item = stages + 1;
    for (uint32_t i = 0; ok && i < stages->size; i++, item = weir_value_next(item)) {
        weir_str stage = item->type == WEIR_V_STRING ? weir_value_str(item) : STR("");
        ok = aws_characters(stage) >= 1 && aws_characters(stage) <= SECRET_STAGE_MAX;
    }
    if (!ok)
        secrets_invalid(call, "versionStages",
                        "Member must have length between 1 and 20, of texts of 1 to 256");
    return ok;
}

static bool label_all(secret *one, version *v, const weir_value *stages) {
    const weir_value *item = stages ? stages + 1 : NULL;
    bool ok = true;
    for (uint32_t i = 0; ok && stages && i < stages->size; i++, item = weir_value_next(item))
        ok = secret_label(one, v, weir_value_str(item));
    /* The first version is the current one, whatever else it is. */
    if (ok && (!stages || !secret_staged(one, STR("AWSCURRENT"))))
        ok = secret_label(one, v, STR("AWSCURRENT"));
    return ok;
}

static void put_names(aws_call *call, const secret *one, const version *v) {
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "ARN", one->arn);
    aws_out_z(&call->out, "Name", one->name);
    if (v) aws_out_z(&call->out, "VersionId", v->id);
}

void secrets_put(aws_call *call) {
    offer in;
    bool fresh;
    const weir_value *stages = aws_in(call, "VersionStages");
    if ((stages && !check_stages(call, stages)) || !read_offer(call, &in)) return;
    if (!in.given) {
        aws_fail(call, &SECRETS_REQUEST, "You must provide either SecretString or SecretBinary.");
        return;
    }
    secret *one = secret_of_call(call, true);
    version *v = one ? take(call, one, &in, &fresh) : NULL;
    if (!v) return;
    if (fresh && !label_all(one, v, stages)) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    put_names(call, one, v);
    secrets_note_stages(&call->out, "VersionStages", v);
    aws_end(call);
}

/* ---- create, update ---- */

static bool read_tags(aws_call *call, secret *one, const weir_value *tags) {
    const weir_value *item = tags ? tags + 1 : NULL;
    uint32_t count = 0;
    if (tags && tags->type != WEIR_V_ARRAY) {
        secrets_invalid(call, "tags", "Member must be a list");
        return false;
    }
    for (uint32_t i = 0; tags && i < tags->size; i++, item = weir_value_next(item)) {
        weir_str key = weir_json_get_str(item, "Key", ""),
                 value = weir_json_get_str(item, "Value", "");
        if (!key.len || aws_characters(key) > 128 || aws_characters(value) > 256) {
            secrets_invalid(call, "tags", "Keys must have length 1 to 128, values at most 256");
            return false;
        }
        if (str_starts(key, STR("aws:"))) {
            aws_fail(call, &SECRETS_PARAMETER, "Tag keys that begin with 'aws:' are reserved.");
            return false;
        }
        if (!secret_tag_put(one, key, value)) {
            aws_fail(call, &SECRETS_INTERNAL, "out of memory");
            return false;
        }
    }
    for (const secret_tag *t = one->tags; t; t = t->next) count++;
    if (count <= SECRET_TAGS_MAX) return true;
    aws_fail(call, &SECRETS_PARAMETER, "A secret can have at most %u tags.", SECRET_TAGS_MAX);
    return false;
}

static bool read_texts(aws_call *call, secret *one) {
    weir_str description = aws_in_str(call, "Description"), kms = aws_in_str(call, "KmsKeyId");
    if (aws_characters(description) > SECRET_DESCRIPTION_MAX || kms.len > SECRET_DESCRIPTION_MAX) {
        secrets_invalid(call, kms.len > SECRET_DESCRIPTION_MAX ? "kmsKeyId" : "description",
                        "Member must have length less than or equal to 2048");
        return false;
    }
    if ((!description.ptr || aws_text_set(&one->description, description)) &&
        (!kms.ptr || aws_text_set(&one->kms_key, kms)))
        return true;
    aws_fail(call, &SECRETS_INTERNAL, "out of memory");
    return false;
}

static bool check_name(aws_call *call, weir_str name) {
    if (name.len < 1 || name.len > SECRET_NAME_MAX) {
        secrets_invalid(call, "name", "Member must have length between 1 and 512");
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-/_+=.@!", c)))
            continue;
        aws_fail(call, &SECRETS_VALIDATION,
                 "Invalid name. Must be a valid name containing alphanumeric characters, or any of "
                 "the following: -/_+=.@!");
        return false;
    }
    return true;
}

/* Creating again with the same token and value is no error. False: the call has ended. */
static bool check_free(aws_call *call, weir_str name, const offer *in) {
    secrets *s = call->state;
    secret *old = secret_find(s, name);
    if (!old && map_count(s->by_name) >= SECRETS_MAX) {
        aws_fail(call, &SECRETS_LIMIT, "You have reached the maximum number of secrets.");
        return false;
    }
    if (!old) return true;
    version *v = secret_version(old, in->id);
    if (old->deleted_ms)
        aws_fail(
            call, &SECRETS_REQUEST,
            "You can't create this secret because a secret with this name is already scheduled "
            "for deletion.");
    else if (v && in->given && v->binary == in->binary && v->value_len == in->value.len &&
             CRYPTO_memcmp(v->value, in->value.ptr, v->value_len) == 0) {
        put_names(call, old, v);
        aws_end(call);
    } else
        aws_fail(call, &SECRETS_EXISTS,
                 "The operation failed because the secret %s already exists.", old->name);
    return false;
}

void secrets_create(aws_call *call) {
    secrets *s = call->state;
    weir_str name = aws_in_str(call, "Name");
    offer in;
    bool fresh;
    if (!check_name(call, name) || !read_offer(call, &in) || !check_free(call, name, &in)) return;
    if (aws_in(call, "AddReplicaRegions")) {
        aws_fail(call, &SECRETS_PARAMETER, "weir-local has one region: no replicas can be added.");
        return;
    }
    secret *one = secret_new(s, name);
    if (!one) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    version *v = NULL;
    if (!read_texts(call, one) || !read_tags(call, one, aws_in(call, "Tags")) ||
        (in.given && !(v = take(call, one, &in, &fresh)))) {
        secret_remove(s, one); /* the call has ended with the reason */
        return;
    }
    if (v && !secret_label(one, v, STR("AWSCURRENT"))) {
        secret_remove(s, one);
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    put_names(call, one, v);
    aws_end(call);
}

void secrets_update(aws_call *call) {
    offer in;
    bool fresh = false;
    if (!read_offer(call, &in)) return;
    secret *one = secret_of_call(call, true);
    if (!one || !read_texts(call, one)) return;
    version *v = in.given ? take(call, one, &in, &fresh) : NULL;
    if (in.given && !v) return;
    if (fresh && !secret_label(one, v, STR("AWSCURRENT"))) {
        aws_fail(call, &SECRETS_INTERNAL, "out of memory");
        return;
    }
    secrets *s = call->state;
    one->changed_ms = secrets_now(s);
    put_names(call, one, v);
    aws_end(call);
}

void secrets_tag(aws_call *call) {
    secret *one = secret_of_call(call, true);
    if (one && read_tags(call, one, aws_in(call, "Tags"))) aws_end(call);
}

void secrets_untag(aws_call *call) {
    secret *one = secret_of_call(call, true);
    if (!one) return;
    const weir_value *keys = aws_in(call, "TagKeys");
    if (!keys || keys->type != WEIR_V_ARRAY) {
        secrets_invalid(call, "tagKeys", "Member must not be null");
        return;
    }
    const weir_value *item = keys + 1;
    for (uint32_t i = 0; i < keys->size; i++, item = weir_value_next(item))
        if (item->type == WEIR_V_STRING) secret_tag_remove(one, weir_value_str(item));
    aws_end(call);
}
