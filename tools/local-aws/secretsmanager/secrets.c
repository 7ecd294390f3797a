#include "secretsmanager/secrets.h"

#include <openssl/crypto.h>

#include "base/mem.h"

#define CURRENT "AWSCURRENT"
#define PREVIOUS "AWSPREVIOUS"
#define SUFFIX_LEN 6u /* of an ARN, behind a hyphen */

int64_t secrets_now(const secrets *s) {
    return server_now_ms(local_server(s->home));
}

/* ---- versions ---- */

static void version_free(version *v) {
    while (v->stages) {
        label *next = v->stages->next;
        mem_free(v->stages->text);
        mem_free(v->stages);
        v->stages = next;
    }
    if (v->value) OPENSSL_cleanse(v->value, v->value_len);
    mem_free(v->value);
    mem_free(v);
}

version *secret_version(const secret *one, weir_str id) {
    for (version *v = one->versions; v; v = v->next)
        if (str_eq_z(id, v->id)) return v;
    return NULL;
}

bool secret_has_label(const version *v, weir_str stage) {
    for (const label *l = v->stages; l; l = l->next)
        if (str_eq_z(stage, l->text)) return true;
    return false;
}

version *secret_staged(const secret *one, weir_str stage) {
    for (version *v = one->versions; v; v = v->next)
        if (secret_has_label(v, stage)) return v;
    return NULL;
}

/* True if there is room for one more. */
static bool make_room(secret *one) {
    uint32_t count = 0;
    for (version *v = one->versions; v; v = v->next) count++;
    if (count < SECRET_VERSIONS_MAX) return true;
    for (version **at = &one->versions; *at; at = &(*at)->next) {
        if ((*at)->stages) continue;
        version *gone = *at;
        *at = gone->next;
        version_free(gone);
        return true;
    }
    return false;
}

version *secret_version_add(secrets *s, secret *one, weir_str id, bool binary, weir_str value,
                            bool *full) {
    *full = !make_room(one);
    version *v = *full || id.len > SECRET_ID_MAX ? NULL : mem_zalloc(sizeof *v);
    if (!v) return NULL;
    v->value = aws_text(value);
    if (!v->value) {
        mem_free(v);
        return NULL;
    }
    memcpy(v->id, id.ptr, (size_t)id.len);
    v->binary = binary;
    v->value_len = (size_t)value.len;
    v->created_ms = one->changed_ms = secrets_now(s);
    version **last = &one->versions;
    while (*last) last = &(*last)->next;
    *last = v;
    return v;
}

void secret_unlabel(version *v, weir_str stage) {
    for (label **at = &v->stages; *at; at = &(*at)->next) {
        if (!str_eq_z(stage, (*at)->text)) continue;
        label *gone = *at;
        *at = gone->next;
        mem_free(gone->text);
        mem_free(gone);
        return;
    }
}

static bool add_label(version *v, weir_str stage) {
    label *l = mem_zalloc(sizeof *l);
    if (l) l->text = aws_text(stage);
    if (!l || !l->text) {
        mem_free(l);
        return false;
    }
    label **last = &v->stages;
    while (*last) last = &(*last)->next;
    *last = l;
    return true;
}

bool secret_label(secret *one, version *v, weir_str stage) {
    version *old = secret_staged(one, stage);
    if (old == v) return true;
    if (!add_label(v, stage)) return false;
    if (!old) return true;
    secret_unlabel(old, stage);
    return !str_eq_z(stage, CURRENT) || secret_label(one, old, STR(PREVIOUS));
}

/* ---- secrets ---- */

static void tag_free(secret_tag *t) {
    mem_free(t->key);
    mem_free(t->value);
    mem_free(t);
}

void secret_tag_remove(secret *one, weir_str key) {
    for (secret_tag **at = &one->tags; *at; at = &(*at)->next) {
        if (!str_eq_z(key, (*at)->key)) continue;
        secret_tag *gone = *at;
        *at = gone->next;
        tag_free(gone);
        return;
    }
}

bool secret_tag_put(secret *one, weir_str key, weir_str value) {
    secret_tag *t = mem_zalloc(sizeof *t);
    if (!t) return false;
    t->key = aws_text(key);
    t->value = aws_text(value);
    if (!t->key || !t->value) {
        tag_free(t);
        return false;
    }
    secret_tag_remove(one, key);
    secret_tag **last = &one->tags;
    while (*last) last = &(*last)->next;
    *last = t;
    return true;
}

void secret_free(secret *one) {
    if (!one) return;
    while (one->versions) {
        version *next = one->versions->next;
        version_free(one->versions);
        one->versions = next;
    }
    while (one->tags) {
        secret_tag *next = one->tags->next;
        tag_free(one->tags);
        one->tags = next;
    }
    mem_free(one->name);
    mem_free(one->arn);
    mem_free(one->description);
    mem_free(one->kms_key);
    mem_free(one);
}

void secret_remove(secrets *s, secret *one) {
    map_remove(s->by_name, str_of(one->name));
    secret_free(one);
}

static char *new_arn(secrets *s, weir_str name) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const local_options *o = local_settings(s->home);
    char suffix[SUFFIX_LEN + 1] = "";
    for (size_t i = 0; i < SUFFIX_LEN; i++)
        suffix[i] = letters[local_random(s->home) % (sizeof letters - 1)];
    buf b;
    buf_init(&b, 2048);
    buf_printf(&b, "arn:aws:secretsmanager:%s:%s:secret:%.*s-%s", o->region, o->account,
               STR_FMT(name), suffix);
    char *arn = buf_ok(&b) ? aws_text(buf_str(&b)) : NULL;
    buf_free(&b);
    return arn;
}

secret *secret_new(secrets *s, weir_str name) {
    secret *one = mem_zalloc(sizeof *one);
    if (!one) return NULL;
    one->name = aws_text(name);
    one->arn = new_arn(s, name);
    one->created_ms = one->changed_ms = secrets_now(s);
    if (one->name && one->arn && map_put(s->by_name, name, one)) return one;
    secret_free(one);
    return NULL;
}

/* "arn:aws:secretsmanager:REGION:ACCOUNT:secret:" goes; what is left is the name, maybe with the
 * suffix. ptr NULL: no such ARN. */
static weir_str name_of_arn(weir_str arn) {
    uint32_t colons = 0;
    for (size_t i = 0; i < arn.len; i++) {
        if (arn.ptr[i] != ':' || ++colons < 6) continue;
        return str_make(arn.ptr + i + 1, (size_t)arn.len - i - 1);
    }
    return (weir_str){NULL, 0};
}

/* A partial ARN ends where the suffix would begin. */
static bool is_arn_of(const secret *one, weir_str arn) {
    weir_str whole = str_of(one->arn);
    if (str_eq(arn, whole)) return true;
    return arn.len + SUFFIX_LEN + 1 == whole.len && str_starts(whole, arn);
}

secret *secret_find(secrets *s, weir_str id) {
    secret *one = NULL;
    if (str_starts(id, STR("arn:"))) {
        weir_str name = name_of_arn(id);
        one = name.ptr ? map_get(s->by_name, name) : NULL;
        if (!one && name.len > SUFFIX_LEN + 1) {
            name.len -= SUFFIX_LEN + 1;
            one = map_get(s->by_name, name);
        }
        if (one && !is_arn_of(one, id)) one = NULL;
    } else {
        one = map_get(s->by_name, id);
    }
    if (one && one->deleted_ms && secrets_now(s) >= one->deleted_ms) {
        secret_remove(s, one);
        one = NULL;
    }
    return one;
}

/* ---- what outlives the process ---- */

static void put_text(keep *k, const char *z) {
    keep_put_u64(k, z != NULL);
    if (z) keep_put_str(k, str_of(z));
}

static void save_version(keep *k, const version *v) {
    keep_put_str(k, str_of(v->id));
    keep_put_u64(k, v->binary);
    keep_put_str(k, str_make(v->value, v->value_len));
    keep_put_i64(k, v->created_ms);
    keep_put_i64(k, v->accessed_ms);
    uint64_t n = 0;
    for (const label *l = v->stages; l; l = l->next) n++;
    keep_put_u64(k, n);
    for (const label *l = v->stages; l; l = l->next) keep_put_str(k, str_of(l->text));
}

static void save_secret(keep *k, const secret *one) {
    keep_put_str(k, str_of(one->name));
    keep_put_str(k, str_of(one->arn));
    put_text(k, one->description);
    put_text(k, one->kms_key);
    keep_put_i64(k, one->created_ms);
    keep_put_i64(k, one->changed_ms);
    keep_put_i64(k, one->accessed_ms);
    keep_put_i64(k, one->deleted_ms);
    uint64_t n = 0;
    for (const secret_tag *t = one->tags; t; t = t->next) n++;
    keep_put_u64(k, n);
    for (const secret_tag *t = one->tags; t; t = t->next) {
        keep_put_str(k, str_of(t->key));
        keep_put_str(k, str_of(t->value));
    }
    n = 0;
    for (const version *v = one->versions; v; v = v->next) n++;
    keep_put_u64(k, n);
    for (const version *v = one->versions; v; v = v->next) save_version(k, v);
}

bool secrets_save(void *own, keep *k) {
    const secrets *s = own;
    size_t cursor = 0;
    weir_str name;
    void *one;
    keep_put_u64(k, map_count(s->by_name));
    while (map_next(s->by_name, &cursor, &name, &one)) save_secret(k, one);
    return keep_ok(k);
}

static char *get_text(keep *k) {
    return keep_u64(k) ? keep_str(k, NULL) : NULL;
}

static bool load_version(keep *k, version *v) {
    uint64_t len;
    char *id = keep_str(k, &len);
    if (id && len <= SECRET_ID_MAX) memcpy(v->id, id, len);
    bool ok = id && len <= SECRET_ID_MAX;
    mem_free(id);
    v->binary = keep_u64(k) != 0;
    v->value = keep_str(k, &len);
    v->value_len = (size_t)len;
    v->created_ms = keep_i64(k);
    v->accessed_ms = keep_i64(k);
    uint64_t n = keep_count(k, 8);
    for (uint64_t i = 0; ok && i < n; i++) {
        char *stage = keep_str(k, &len);
        ok = stage && add_label(v, str_make(stage, (size_t)len));
        mem_free(stage);
    }
    return ok && v->value;
}

static bool load_secret(keep *k, secret *one) {
    one->name = keep_str(k, NULL);
    one->arn = keep_str(k, NULL);
    one->description = get_text(k);
    one->kms_key = get_text(k);
    one->created_ms = keep_i64(k);
    one->changed_ms = keep_i64(k);
    one->accessed_ms = keep_i64(k);
    one->deleted_ms = keep_i64(k);
    bool ok = one->name && one->arn;
    uint64_t n = keep_count(k, 16);
    for (uint64_t i = 0; ok && i < n; i++) {
        char *key = keep_str(k, NULL), *value = keep_str(k, NULL);
        ok = key && value && secret_tag_put(one, str_of(key), str_of(value));
        mem_free(key);
        mem_free(value);
    }
    n = keep_count(k, 8);
    version **last = &one->versions;
    for (uint64_t i = 0; ok && i < n; i++) {
        version *v = mem_zalloc(sizeof *v);
        if (!v) return false;
        *last = v;
        last = &v->next;
        ok = load_version(k, v);
    }
    return ok && keep_ok(k);
}

bool secrets_load(void *own, keep *k) {
    secrets *s = own;
    uint64_t n = keep_count(k, 8);
    for (uint64_t i = 0; i < n; i++) {
        secret *one = mem_zalloc(sizeof *one);
        if (!one) return false;
        if (!load_secret(k, one) || map_get(s->by_name, str_of(one->name)) ||
            !map_put(s->by_name, str_of(one->name), one)) {
            secret_free(one);
            return false;
        }
    }
    return keep_ok(k);
}
