#include "aws/credentials.h"

#include <openssl/crypto.h>

#include "base/map.h"
#include "base/mem.h"

struct credentials {
    map *by_key;
    map *expired; /* before their time, by a fault; NULL: none ever was */
};

struct credentials *credentials_new(void) {
    struct credentials *c = mem_zalloc(sizeof *c);
    if (c && !(c->by_key = map_new())) {
        mem_free(c);
        return NULL;
    }
    return c;
}

static void credential_free(credential *one) {
    if (!one) return;
    if (one->secret.data) OPENSSL_cleanse(one->secret.data, one->secret.len);
    buf_free(&one->secret);
    buf_free(&one->token);
    mem_free(one);
}

void credentials_free(struct credentials *c) {
    if (!c) return;
    size_t cursor = 0;
    weir_str key;
    void *value;
    while (map_next(c->by_key, &cursor, &key, &value)) credential_free(value);
    map_free(c->by_key);
    map_free(c->expired);
    mem_free(c);
}

void credentials_expire(struct credentials *c, weir_str access_key) {
    if (!c->expired) c->expired = map_new();
    if (c->expired) map_put(c->expired, access_key, c);
}

void credentials_revive(struct credentials *c) {
    map_free(c->expired);
    c->expired = NULL;
}

bool credentials_expired(const struct credentials *c, weir_str access_key) {
    return c->expired && map_get(c->expired, access_key);
}

const credential *credentials_find(const struct credentials *c, weir_str access_key) {
    return map_get(c->by_key, access_key);
}

void credentials_remove(struct credentials *c, weir_str access_key) {
    credential_free(map_remove(c->by_key, access_key));
}

bool credentials_add(struct credentials *c, weir_str access_key, weir_str secret, weir_str token,
                     int64_t expires_ms) {
    credential *one = mem_zalloc(sizeof *one);
    if (!one) return false;
    buf_init(&one->secret, 4096);
    buf_init(&one->token, 65536);
    buf_append_str(&one->secret, secret);
    buf_append_str(&one->token, token);
    one->expires_ms = expires_ms;
    credentials_remove(c, access_key);
    if (c->expired) map_remove(c->expired, access_key);
    if (buf_ok(&one->secret) && buf_ok(&one->token) && map_put(c->by_key, access_key, one))
        return true;
    credential_free(one);
    return false;
}
