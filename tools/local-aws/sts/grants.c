#include <openssl/crypto.h>
#include <stdio.h>
#include <time.h>

#include "aws/credentials.h"
#include "aws/parts.h"
#include "base/mem.h"
#include "sts/sts.h"

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void random_text(local *home, const char *alphabet, unsigned bits, char *out, size_t len) {
    uint64_t r = 0;
    unsigned left = 0;
    for (size_t i = 0; i < len; i++) {
        if (left < bits) {
            r = local_random(home);
            left = 64;
        }
        out[i] = alphabet[r & ((UINT64_C(1) << bits) - 1)];
        r >>= bits;
        left -= bits;
    }
}

static void grant_free(sts_grant *g) {
    OPENSSL_cleanse(g->secret, sizeof g->secret);
    mem_free(g->token);
    mem_free(g->arn);
    mem_free(g->user_id);
    mem_free(g);
}

static void forget_oldest(sts *s) {
    sts_grant *g = s->oldest;
    s->oldest = g->next;
    if (!s->oldest) s->newest = NULL;
    map_remove(s->by_key, str_of(g->access_key));
    credentials_remove(local_credentials(s->home), str_of(g->access_key));
    grant_free(g);
}

void sts_grants_free(sts *s) {
    sts_grant *next;
    for (sts_grant *g = s->oldest; g; g = next) {
        next = g->next;
        grant_free(g);
    }
    map_free(s->by_key);
}

/* Tokens have characters that a form and a header must bear: / + and =. */
static char *new_token(sts *s, uint32_t bytes) {
    char *token = mem_alloc((size_t)bytes + 1);
    if (!token) return NULL;
    random_text(s->home, base64, 6, token, bytes);
    static const char head[] = "IQoJb3JpZ2luX2VjE+/";
    memcpy(token, head, sizeof head - 1);
    token[bytes - 1] = token[bytes - 2] = '=';
    token[bytes] = '\0';
    return token;
}

/* Among those that are remembered, and known to the signature check. */
static bool enter(sts *s, sts_grant *g) {
    if (!map_put(s->by_key, str_of(g->access_key), g)) return false;
    if (!aws_credentials_add(s->home, str_of(g->access_key), str_of(g->secret), str_of(g->token),
                             g->expires_ms)) {
        map_remove(s->by_key, str_of(g->access_key));
        return false;
    }
    if (s->newest)
        s->newest->next = g;
    else
        s->oldest = g;
    s->newest = g;
    return true;
}

const sts_grant *sts_issue(local *home, const sts_wish *wish) {
    sts *s = local_service_state(home, "sts");
    sts_grant *g = mem_zalloc(sizeof *g);
    if (!g) return NULL;
    g->kind = wish->kind;
    do { /* chance gives a name twice, if only in principle */
        memcpy(g->access_key, "ASIA", 4);
        random_text(home, base32, 5, g->access_key + 4, 16);
    } while (map_get(s->by_key, str_of(g->access_key)));
    random_text(home, base64, 6, g->secret, 40);
    snprintf(g->account, sizeof g->account, "%.*s", STR_FMT(wish->account));
    uint32_t bytes = s->token_bytes ? s->token_bytes : STS_TOKEN_BYTES;
    g->token = new_token(s, wish->token_bytes > bytes ? wish->token_bytes : bytes);
    g->arn = aws_text(wish->arn);
    g->user_id = aws_text(wish->user_id);
    int64_t life_ms = (s->duration_s ? s->duration_s : wish->duration_s) * 1000;
    g->issued_ms = server_now_ms(local_server(home));
    g->expires_ms = g->issued_ms + life_ms;
    g->told_ms = server_told_ms(local_server(home)) + life_ms;
    if (!g->token || !g->arn || !g->user_id || !enter(s, g)) {
        grant_free(g);
        return NULL;
    }
    if (map_count(s->by_key) > STS_GRANTS_MAX) forget_oldest(s);
    return g;
}

const sts_grant *sts_issue_role(local *home, const sts_role *r) {
    const sts_grant *g = NULL;
    char id[22];
    buf arn, user;
    buf_init(&arn, 8192);
    buf_init(&user, 8192);
    /* The path of a role is no part of the ARN of its sessions. */
    const char *slash = r->role.len ? memrchr(r->role.ptr, '/', (size_t)r->role.len) : NULL;
    weir_str name = r->role;
    if (slash) name = str_make(slash + 1, (size_t)(name.ptr + name.len - slash) - 1);
    buf_printf(&arn, "%.*s:%.*s", STR_FMT(r->account), STR_FMT(r->role));
    sts_unique_id("AROA", buf_str(&arn), id);
    buf_reset(&arn);
    buf_printf(&arn, "arn:%.*s:sts::%.*s:assumed-role/%.*s/%.*s", STR_FMT(r->partition),
               STR_FMT(r->account), STR_FMT(name), STR_FMT(r->session));
    buf_printf(&user, "%s:%.*s", id, STR_FMT(r->session));
    sts_wish wish = {STS_ROLE,       r->account,    buf_str(&arn),
                     buf_str(&user), r->duration_s, r->token_bytes};
    if (buf_ok(&arn) && buf_ok(&user)) g = sts_issue(home, &wish);
    buf_free(&arn);
    buf_free(&user);
    return g;
}

const sts_grant *sts_find(local *home, weir_str access_key) {
    const sts *s = local_service_state(home, "sts");
    return access_key.len ? map_get(s->by_key, access_key) : NULL;
}

/* ---- what outlives the process ---- */

bool sts_save(void *own, keep *k) {
    const sts *s = own;
    int64_t now = server_now_ms(local_server(s->home));
    uint64_t count = 0;
    for (const sts_grant *g = s->oldest; g; g = g->next) count += g->expires_ms > now;
    keep_put_u64(k, count);
    for (const sts_grant *g = s->oldest; g; g = g->next) {
        if (g->expires_ms <= now) continue;
        keep_put_u64(k, g->kind);
        keep_put_str(k, str_of(g->access_key));
        keep_put_str(k, str_of(g->secret));
        keep_put_str(k, str_of(g->account));
        keep_put_str(k, str_of(g->token));
        keep_put_str(k, str_of(g->arn));
        keep_put_str(k, str_of(g->user_id));
        keep_put_i64(k, g->issued_ms);
        keep_put_i64(k, g->expires_ms);
        keep_put_i64(k, g->told_ms);
    }
    return keep_ok(k);
}

static bool get_fixed(keep *k, char *out, size_t size) {
    uint64_t len;
    char *text = keep_str(k, &len);
    bool ok = text && len == size - 1;
    if (ok) memcpy(out, text, size);
    if (text) OPENSSL_cleanse(text, (size_t)len);
    mem_free(text);
    return ok;
}

bool sts_load(void *own, keep *k) {
    sts *s = own;
    uint64_t count = keep_count(k, 8);
    for (uint64_t i = 0; i < count; i++) {
        sts_grant *g = mem_zalloc(sizeof *g);
        if (!g) return false;
        uint64_t kind = keep_u64(k);
        g->kind = (sts_kind)kind;
        bool ok = kind <= STS_FEDERATED && get_fixed(k, g->access_key, sizeof g->access_key) &&
                  get_fixed(k, g->secret, sizeof g->secret) &&
                  get_fixed(k, g->account, sizeof g->account);
        g->token = keep_str(k, NULL);
        g->arn = keep_str(k, NULL);
        g->user_id = keep_str(k, NULL);
        g->issued_ms = keep_i64(k);
        g->expires_ms = keep_i64(k);
        g->told_ms = keep_i64(k);
        ok = ok && keep_ok(k) && !map_get(s->by_key, str_of(g->access_key)) && enter(s, g);
        if (ok) continue;
        grant_free(g);
        return false;
    }
    return keep_ok(k);
}

/* ---- ids and times ---- */

/* FNV-1a, since an id is to be the same in every run (map_hash is not). */
void sts_unique_id(const char prefix[5], weir_str of, char out[22]) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    memcpy(out, prefix, 4);
    for (size_t i = 0; i < of.len; i++)
        h = (h ^ (unsigned char)of.ptr[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 4; i < 21; i++) {
        h = (h ^ i) * UINT64_C(0x100000001b3);
        out[i] = base32[h >> 32 & 31];
    }
    out[21] = '\0';
}

const char *sts_partition(const local *home) {
    weir_str region = str_of(local_settings(home)->region);
    return str_starts(region, STR("cn-"))       ? "aws-cn"
           : str_starts(region, STR("us-gov-")) ? "aws-us-gov"
                                                : "aws";
}

void sts_time(int64_t ms, char out[32]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) out[0] = 0;
}
