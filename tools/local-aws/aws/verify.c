#include "aws/verify.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/faults.h"
#include "base/map.h"
#include "base/mem.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define WINDOW_MS (5 * 60 * 1000)
#define WINDOW_S3_MS (15 * 60 * 1000)
#define PRESIGNED_MAX_S 604800
#define SIGNED_HEADERS_MAX 128u
#define QUERY_MAX 1024u
#define CANONICAL_MAX ((size_t)4 << 20)

/* ---- who may sign ---- */

typedef struct credential {
    buf secret, token;
    int64_t expires_ms;
} credential;

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

static bool expired(const struct credentials *c, weir_str access_key) {
    return c->expired && map_get(c->expired, access_key);
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

/* ---- bytes and texts ---- */

static void hex(const uint8_t *bytes, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = 0;
}

static void sha256_hex(weir_str s, char out[65]) {
    uint8_t digest[32] = {0};
    EVP_Digest(s.ptr, (size_t)s.len, digest, NULL, EVP_sha256(), NULL);
    hex(digest, sizeof digest, out);
}

static void hmac(const uint8_t *key, size_t key_len, weir_str text, uint8_t out[32]) {
    unsigned len = 32;
    HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text.ptr, (size_t)text.len, out, &len);
}

static bool unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void append_encoded(buf *out, weir_str s, const char *also) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (unreserved(c) || (c && strchr(also, c))) {
            buf_append_char(out, (char)c);
        } else {
            char e[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_append(out, e, 3);
        }
    }
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static void append_decoded(buf *out, weir_str s) {
    for (size_t i = 0; i < s.len; i++) {
        int a = -1, b = -1;
        if (s.ptr[i] == '%' && i + 2 < s.len) {
            a = nibble(s.ptr[i + 1]);
            b = nibble(s.ptr[i + 2]);
        }
        if (a >= 0 && b >= 0) {
            buf_append_char(out, (char)(a * 16 + b));
            i += 2;
        } else {
            buf_append_char(out, s.ptr[i]);
        }
    }
}

/* The part before `c`, taken off `rest` with the separator; the whole rest if there is none. */
static weir_str until(weir_str *rest, char c) {
    const char *at = rest->len ? memchr(rest->ptr, c, (size_t)rest->len) : NULL;
    size_t n = at ? (size_t)(at - rest->ptr) : (size_t)rest->len;
    weir_str first = str_make(rest->ptr, n);
    size_t skip = at ? n + 1 : n;
    *rest = str_make(rest->ptr + skip, (size_t)rest->len - skip);
    return first;
}

static weir_str trim(weir_str s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

static bool two_digits(const char *p, int *out) {
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') return false;
    *out = (p[0] - '0') * 10 + p[1] - '0';
    return true;
}

bool verify_time_ms(weir_str t, int64_t *out) {
    int century, year, month, day, hour, minute, second;
    if (t.len != 16 || t.ptr[8] != 'T' || t.ptr[15] != 'Z') return false;
    if (!two_digits(t.ptr, &century) || !two_digits(t.ptr + 2, &year) ||
        !two_digits(t.ptr + 4, &month) || !two_digits(t.ptr + 6, &day) ||
        !two_digits(t.ptr + 9, &hour) || !two_digits(t.ptr + 11, &minute) ||
        !two_digits(t.ptr + 13, &second))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    /* Days since 1970 by counting years from March. */
    int64_t y = century * 100 + year - (month <= 2);
    int64_t era = y / 400, of_era = y % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    *out = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000;
    return true;
}

/* ---- what the request says ---- */

typedef struct claim {
    bool query; /* the presigned form */
    weir_str credential, signed_headers, signature, date, token;
    weir_str access_key, day, region, service, terminator;
    int64_t expires_s;
} claim;

static weir_str header(const server_request *r, const char *name) {
    for (uint32_t i = 0; i < r->header_count; i++)
        if (str_eq_z(r->headers[i].name, name)) return r->headers[i].value;
    return (weir_str){NULL, 0};
}

/* A parameter of the query, decoded into `hold`. */
static weir_str parameter(weir_str query, const char *name, buf *hold) {
    while (query.len) {
        weir_str pair = until(&query, '&');
        weir_str key = until(&pair, '=');
        if (!str_eq_z(key, name)) continue;
        size_t from = hold->len;
        buf_append_char(hold, '\0');
        append_decoded(hold, pair);
        if (!buf_ok(hold)) break;
        return str_make(hold->data + from + 1, hold->len - from - 1);
    }
    return (weir_str){NULL, 0};
}

static void split_scope(claim *c) {
    weir_str rest = c->credential;
    /* An access key may hold a slash in principle; the four parts of the scope stand at the end. */
    size_t slashes = 0, at = (size_t)rest.len;
    while (at > 0 && slashes < 4)
        if (rest.ptr[--at] == '/') slashes++;
    if (slashes < 4) return;
    c->access_key = str_make(rest.ptr, at);
    rest = str_make(rest.ptr + at + 1, (size_t)rest.len - at - 1);
    c->day = until(&rest, '/');
    c->region = until(&rest, '/');
    c->service = until(&rest, '/');
    c->terminator = rest;
}

static aws_auth read_header_form(weir_str authorization, const server_request *r, claim *c) {
    if (!str_starts(authorization, STR(ALGORITHM))) return AWS_AUTH_INCOMPLETE;
    weir_str rest = str_make(authorization.ptr + sizeof ALGORITHM - 1,
                             (size_t)authorization.len - (sizeof ALGORITHM - 1));
    while (rest.len) {
        weir_str pair = trim(until(&rest, ','));
        weir_str name = until(&pair, '=');
        if (str_eq_z(name, "Credential"))
            c->credential = pair;
        else if (str_eq_z(name, "SignedHeaders"))
            c->signed_headers = pair;
        else if (str_eq_z(name, "Signature"))
            c->signature = pair;
    }
    c->date = header(r, "x-amz-date");
    c->token = header(r, "x-amz-security-token");
    return AWS_AUTH_OK;
}

static aws_auth read_query_form(const server_request *r, claim *c, buf *hold) {
    c->query = true;
    /* The texts must not move while more are decoded. */
    if (!buf_reserve(hold, (size_t)r->query.len + 16)) return AWS_AUTH_INCOMPLETE;
    if (!str_eq_z(parameter(r->query, "X-Amz-Algorithm", hold), ALGORITHM))
        return AWS_AUTH_INCOMPLETE;
    c->credential = parameter(r->query, "X-Amz-Credential", hold);
    c->signed_headers = parameter(r->query, "X-Amz-SignedHeaders", hold);
    c->signature = parameter(r->query, "X-Amz-Signature", hold);
    c->date = parameter(r->query, "X-Amz-Date", hold);
    c->token = parameter(r->query, "X-Amz-Security-Token", hold);
    weir_str expires = parameter(r->query, "X-Amz-Expires", hold);
    if (!str_to_i64(expires, &c->expires_s) || c->expires_s < 1 || c->expires_s > PRESIGNED_MAX_S)
        return AWS_AUTH_INCOMPLETE;
    return AWS_AUTH_OK;
}

static aws_auth read_claim(const server_request *r, claim *c, buf *hold) {
    *c = (claim){0};
    weir_str authorization = header(r, "authorization");
    aws_auth a;
    if (authorization.ptr)
        a = read_header_form(authorization, r, c);
    else if (r->query.len && memmem(r->query.ptr, (size_t)r->query.len, "X-Amz-Algorithm=", 16))
        a = read_query_form(r, c, hold);
    else
        return AWS_AUTH_MISSING;
    if (a != AWS_AUTH_OK) return a;
    if (!c->credential.ptr || !c->signed_headers.len || !c->signature.ptr || !c->date.ptr)
        return AWS_AUTH_INCOMPLETE;
    split_scope(c);
    return c->access_key.len ? AWS_AUTH_OK : AWS_AUTH_INCOMPLETE;
}

static void fill(aws_identity *out, const server_request *r, const claim *c) {
    /* Query parameters were decoded elsewhere; the request holds the same text where it lasts. */
    if (!c->query) {
        out->access_key = c->access_key;
        out->region = c->region;
        out->service = c->service;
        out->signature = c->signature;
        out->date = c->date;
    } else {
        size_t n = (size_t)c->access_key.len < sizeof out->kept.access_key
                       ? (size_t)c->access_key.len
                       : sizeof out->kept.access_key;
        memcpy(out->kept.access_key, c->access_key.ptr, n);
        out->access_key = str_make(out->kept.access_key, n);
        n = (size_t)c->region.len < sizeof out->kept.region ? (size_t)c->region.len
                                                            : sizeof out->kept.region;
        memcpy(out->kept.region, c->region.ptr, n);
        out->region = str_make(out->kept.region, n);
        n = (size_t)c->service.len < sizeof out->kept.service ? (size_t)c->service.len
                                                              : sizeof out->kept.service;
        memcpy(out->kept.service, c->service.ptr, n);
        out->service = str_make(out->kept.service, n);
    }
    out->payload_hash = header(r, "x-amz-content-sha256");
}

void verify_read(const server_request *r, aws_identity *out) {
    memset(out, 0, sizeof *out);
    buf hold;
    buf_init(&hold, (size_t)1 << 20);
    claim c;
    if (read_claim(r, &c, &hold) == AWS_AUTH_OK) fill(out, r, &c);
    buf_free(&hold);
}

/* ---- the canonical request ---- */

/* Every service but S3: dot segments and doubled slashes go, then the wire's bytes are encoded once
 * more. S3 takes the path as it is, in one encoding. */
static void canonical_path(const server_request *r, bool s3, buf *out) {
    if (s3) {
        buf plain;
        buf_init(&plain, (size_t)1 << 20);
        append_decoded(&plain, r->path);
        append_encoded(out, buf_str(&plain), "/");
        buf_free(&plain);
        return;
    }
    buf kept;
    buf_init(&kept, (size_t)1 << 20);
    weir_str rest = r->path;
    bool slash_behind = rest.len && rest.ptr[rest.len - 1] == '/';
    while (rest.len) {
        weir_str part = until(&rest, '/');
        if (part.len == 0 || str_eq_z(part, ".")) {
            if (str_eq_z(part, ".") && !rest.len) slash_behind = true;
            continue;
        }
        if (str_eq_z(part, "..")) {
            while (kept.len && kept.data[kept.len - 1] != '/') kept.len--;
            if (kept.len) kept.len--;
            if (!rest.len) slash_behind = true;
            continue;
        }
        buf_append_char(&kept, '/');
        buf_append_str(&kept, part);
    }
    if (kept.len == 0 || slash_behind) buf_append_char(&kept, '/');
    append_encoded(out, buf_str(&kept), "/");
    buf_free(&kept);
}

typedef struct pair {
    size_t at, name_len, len; /* in the buffer of encoded texts */
} pair;

static const char *sort_base; /* qsort has no argument for it; one thread */

static int by_bytes(const void *a, const void *b) {
    const pair *x = a, *y = b;
    int c =
        str_cmp(str_make(sort_base + x->at, x->name_len), str_make(sort_base + y->at, y->name_len));
    if (c) return c;
    return str_cmp(str_make(sort_base + x->at + x->name_len, x->len - x->name_len),
                   str_make(sort_base + y->at + y->name_len, y->len - y->name_len));
}

static bool canonical_query(const server_request *r, bool presigned, buf *out) {
    pair *pairs = mem_array(QUERY_MAX, sizeof *pairs);
    buf text, plain;
    buf_init(&text, (size_t)1 << 20);
    buf_init(&plain, (size_t)1 << 20);
    size_t count = 0;
    weir_str rest = r->query;
    bool ok = pairs != NULL;
    while (ok && rest.len) {
        weir_str value = until(&rest, '&');
        if (!value.len) continue;
        weir_str name = until(&value, '=');
        if (presigned && str_eq_z(name, "X-Amz-Signature")) continue;
        if (count == QUERY_MAX) ok = false;
        if (!ok) break;
        pair *p = &pairs[count++];
        p->at = text.len;
        buf_reset(&plain);
        append_decoded(&plain, name);
        append_encoded(&text, buf_str(&plain), "");
        p->name_len = text.len - p->at;
        buf_append_char(&text, '=');
        buf_reset(&plain);
        append_decoded(&plain, value);
        append_encoded(&text, buf_str(&plain), "");
        p->len = text.len - p->at;
    }
    ok = ok && buf_ok(&text) && buf_ok(&plain);
    if (ok && count) {
        sort_base = text.data;
        qsort(pairs, count, sizeof *pairs, by_bytes);
    }
    for (size_t i = 0; ok && i < count; i++) {
        if (i) buf_append_char(out, '&');
        buf_append(out, text.data + pairs[i].at, pairs[i].len);
    }
    buf_free(&text);
    buf_free(&plain);
    mem_free(pairs);
    return ok;
}

static void append_value(buf *out, weir_str v) {
    v = trim(v);
    bool space = false;
    for (size_t i = 0; i < v.len; i++) {
        bool is = v.ptr[i] == ' ' || v.ptr[i] == '\t' || v.ptr[i] == '\r' || v.ptr[i] == '\n';
        if (is && space) continue;
        buf_append_char(out, is ? ' ' : v.ptr[i]);
        space = is;
    }
}

/* False if a signed header is not there, host is not among them, or one of x-amz-* is not. */
static bool canonical_headers(const server_request *r, const claim *c, buf *out, const char **why) {
    weir_str rest = c->signed_headers;
    bool host = false;
    while (rest.len) {
        weir_str name = until(&rest, ';');
        buf_append_str(out, name);
        buf_append_char(out, ':');
        size_t found = 0;
        if (str_eq_z(name, "host")) {
            append_value(out, r->host);
            host = true;
            found = 1;
        } else {
            for (uint32_t i = 0; i < r->header_count; i++) {
                if (!str_eq(r->headers[i].name, name)) continue;
                if (found++) buf_append_char(out, ',');
                append_value(out, r->headers[i].value);
            }
        }
        if (!found) {
            *why = "a header of SignedHeaders is not in the request";
            return false;
        }
        buf_append_char(out, '\n');
    }
    if (!host) {
        *why = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization";
        return false;
    }
    for (uint32_t i = 0; i < r->header_count; i++) {
        weir_str name = r->headers[i].name;
        if (!str_starts(name, STR("x-amz-"))) continue;
        bool listed = false;
        rest = c->signed_headers;
        while (rest.len && !listed) listed = str_eq(until(&rest, ';'), name);
        if (!listed) {
            *why = "there were headers present in the request which were not signed";
            return false;
        }
    }
    return true;
}

static bool canonical_request(const server_request *r, const claim *c, buf *out, const char **why) {
    bool s3 = str_eq_z(c->service, "s3");
    buf_append_str(out, r->method);
    buf_append_char(out, '\n');
    canonical_path(r, s3, out);
    buf_append_char(out, '\n');
    if (!canonical_query(r, c->query, out)) {
        *why = "the query string is too long";
        return false;
    }
    buf_append_char(out, '\n');
    if (!canonical_headers(r, c, out, why)) return false;
    buf_append_char(out, '\n');
    buf_append_str(out, c->signed_headers);
    buf_append_char(out, '\n');
    weir_str stated = header(r, "x-amz-content-sha256");
    if (s3 && (stated.ptr || c->query)) {
        /* S3 signs what is stated, and compares that with the body in the service itself. */
        buf_append_str(out, stated.ptr ? stated : STR("UNSIGNED-PAYLOAD"));
    } else {
        char hash[65];
        sha256_hex(r->body, hash);
        buf_append_z(out, hash);
    }
    return buf_ok(out);
}

/* ---- the check ---- */

static void derive(const credential *who, const claim *c, uint8_t key[32]) {
    buf first;
    buf_init(&first, 8192);
    buf_append_z(&first, "AWS4");
    buf_append_str(&first, buf_str(&who->secret));
    hmac((const uint8_t *)first.data, first.len, c->day, key);
    if (first.data) OPENSSL_cleanse(first.data, first.len);
    buf_free(&first);
    hmac(key, 32, c->region, key);
    hmac(key, 32, c->service, key);
    hmac(key, 32, STR("aws4_request"), key);
}

static aws_auth in_time(const claim *c, int64_t now_ms, aws_identity *out) {
    int64_t signed_ms;
    if (!verify_time_ms(c->date, &signed_ms)) {
        snprintf(out->detail, sizeof out->detail,
                 "Date must be in ISO-8601 'basic format'. Got '%.*s'.", STR_FMT(c->date));
        return AWS_AUTH_INCOMPLETE;
    }
    if (c->query) {
        if (now_ms > signed_ms + c->expires_s * 1000) return AWS_AUTH_EXPIRED;
        if (signed_ms > now_ms + WINDOW_S3_MS) return AWS_AUTH_SKEWED;
        return AWS_AUTH_OK;
    }
    int64_t window = str_eq_z(c->service, "s3") ? WINDOW_S3_MS : WINDOW_MS;
    if (signed_ms < now_ms - window) {
        snprintf(out->detail, sizeof out->detail,
                 "Signature expired: %.*s is now earlier than the server's time less %d min.",
                 STR_FMT(c->date), (int)(window / 60000));
        return AWS_AUTH_SKEWED;
    }
    if (signed_ms > now_ms + window) {
        snprintf(
            out->detail, sizeof out->detail,
            "Signature not yet current: %.*s is still later than the server's time plus %d min.",
            STR_FMT(c->date), (int)(window / 60000));
        return AWS_AUTH_SKEWED;
    }
    return AWS_AUTH_OK;
}

static aws_auth bad_scope(const claim *c, const char *scope_service, aws_identity *out) {
    const char *why = NULL;
    if (!str_eq_z(c->terminator, "aws4_request"))
        why = "Credential should be scoped with a valid terminator: 'aws4_request'";
    else if (scope_service && !str_eq_z(c->service, scope_service))
        why = "Credential should be scoped to correct service";
    else if (c->day.len != 8 || c->date.len < 8 || memcmp(c->day.ptr, c->date.ptr, 8) != 0)
        why = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
              "from HTTP";
    if (!why) return AWS_AUTH_OK;
    snprintf(out->detail, sizeof out->detail, "%s", why);
    return AWS_AUTH_MISMATCH;
}

static aws_auth check(struct credentials *all, const server_request *r, const claim *c,
                      const char *scope_service, int64_t now_ms, int64_t services_ms,
                      aws_identity *out, buf *canonical) {
    const credential *who = map_get(all->by_key, c->access_key);
    if (!who) return AWS_AUTH_UNKNOWN;
    aws_auth a = bad_scope(c, scope_service, out);
    if (a == AWS_AUTH_OK) a = in_time(c, now_ms, out);
    if (a != AWS_AUTH_OK) return a;
    if (!str_eq(c->token, buf_str(&who->token))) return AWS_AUTH_BAD_TOKEN;
    if (services_ms >= who->expires_ms || expired(all, c->access_key)) return AWS_AUTH_EXPIRED;

    const char *why = "the header list is malformed";
    if (!canonical_request(r, c, canonical, &why)) {
        snprintf(out->detail, sizeof out->detail, "%s", why);
        return AWS_AUTH_MISMATCH;
    }
    char hash[65], expected[65];
    sha256_hex(buf_str(canonical), hash);
    buf to_sign;
    buf_init(&to_sign, 4096);
    buf_printf(&to_sign, ALGORITHM "\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n%s", STR_FMT(c->date),
               STR_FMT(c->day), STR_FMT(c->region), STR_FMT(c->service), hash);
    uint8_t digest[32];
    derive(who, c, out->key);
    hmac(out->key, 32, buf_str(&to_sign), digest);
    hex(digest, sizeof digest, expected);
    bool ok = buf_ok(&to_sign) && c->signature.len == 64 &&
              CRYPTO_memcmp(expected, c->signature.ptr, 64) == 0;
    buf_free(&to_sign);
    if (ok) return AWS_AUTH_OK;
    snprintf(out->detail, sizeof out->detail,
             "The request signature we calculated does not match the signature you provided. Check "
             "your AWS Secret Access Key and signing method. Consult the service documentation for "
             "details.");
    return AWS_AUTH_MISMATCH;
}

aws_auth verify_request(struct credentials *c, const server_request *r, const char *scope_service,
                        int64_t now_ms, int64_t services_ms, aws_identity *out, buf *canonical) {
    memset(out, 0, sizeof *out);
    buf hold, own;
    buf_init(&hold, (size_t)1 << 20);
    buf_init(&own, CANONICAL_MAX);
    claim claimed;
    aws_auth a = read_claim(r, &claimed, &hold);
    if (a == AWS_AUTH_OK) {
        fill(out, r, &claimed);
        a = check(c, r, &claimed, scope_service, now_ms, services_ms, out,
                  canonical ? canonical : &own);
    }
    buf_free(&hold);
    buf_free(&own);
    return a;
}

aws_auth aws_authenticate(local *home, const exchange *x, const char *scope_service,
                          aws_identity *out) {
    const server_request *r = exchange_request(x);
    if (!local_settings(home)->verify) {
        verify_read(r, out);
        return expired(local_credentials(home), out->access_key) ? AWS_AUTH_EXPIRED : AWS_AUTH_OK;
    }
    buf canonical;
    buf_init(&canonical, CANONICAL_MAX);
    aws_auth a = verify_request(local_credentials(home), r, scope_service,
                                server_told_ms(local_server(home)),
                                server_now_ms(local_server(home)), out, &canonical);
    if (a == AWS_AUTH_MISMATCH) faults_canonical(x, buf_str(&canonical));
    buf_free(&canonical);
    return a;
}

bool aws_credentials_add(local *home, weir_str access_key, weir_str secret, weir_str token,
                         int64_t expires_ms) {
    return credentials_add(local_credentials(home), access_key, secret, token, expires_ms);
}
