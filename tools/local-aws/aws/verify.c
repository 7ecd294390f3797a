#include "aws/verify.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "admin/faults.h"
#include "aws/canonical.h"
#include "aws/text.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define WINDOW_MS (5 * 60 * 1000)
#define WINDOW_S3_MS (15 * 60 * 1000)
#define PRESIGNED_MAX_S 604800
#define CANONICAL_MAX ((size_t)4 << 20)

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

/* A parameter of the query, decoded into `hold`. */
static weir_str parameter(weir_str query, const char *name, buf *hold) {
    while (query.len) {
        weir_str pair = aws_until(&query, '&');
        weir_str key = aws_until(&pair, '=');
        if (!str_eq_z(key, name)) continue;
        size_t from = hold->len;
        buf_append_char(hold, '\0');
        aws_percent_append(hold, pair, false);
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
    c->day = aws_until(&rest, '/');
    c->region = aws_until(&rest, '/');
    c->service = aws_until(&rest, '/');
    c->terminator = rest;
}

static aws_auth read_header_form(weir_str authorization, const server_request *r, claim *c) {
    if (!str_starts(authorization, STR(ALGORITHM))) return AWS_AUTH_INCOMPLETE;
    weir_str rest = str_make(authorization.ptr + sizeof ALGORITHM - 1,
                             (size_t)authorization.len - (sizeof ALGORITHM - 1));
    while (rest.len) {
        weir_str pair = aws_trim(aws_until(&rest, ','));
        weir_str name = aws_until(&pair, '=');
        if (str_eq_z(name, "Credential"))
            c->credential = pair;
        else if (str_eq_z(name, "SignedHeaders"))
            c->signed_headers = pair;
        else if (str_eq_z(name, "Signature"))
            c->signature = pair;
    }
    c->date = server_request_header(r, "x-amz-date");
    c->token = server_request_header(r, "x-amz-security-token");
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
    weir_str authorization = server_request_header(r, "authorization");
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
    out->payload_hash = server_request_header(r, "x-amz-content-sha256");
}

void verify_read(const server_request *r, aws_identity *out) {
    memset(out, 0, sizeof *out);
    buf hold;
    buf_init(&hold, (size_t)1 << 20);
    claim c;
    if (read_claim(r, &c, &hold) == AWS_AUTH_OK) fill(out, r, &c);
    buf_free(&hold);
}

/* ---- the check ---- */

static void hmac(const uint8_t *key, size_t key_len, weir_str text, uint8_t out[32]) {
    unsigned len = 32;
    HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text.ptr, (size_t)text.len, out, &len);
}

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
    const credential *who = credentials_find(all, c->access_key);
    if (!who) return AWS_AUTH_UNKNOWN;
    aws_auth a = bad_scope(c, scope_service, out);
    if (a == AWS_AUTH_OK) a = in_time(c, now_ms, out);
    if (a != AWS_AUTH_OK) return a;
    if (!str_eq(c->token, buf_str(&who->token))) return AWS_AUTH_BAD_TOKEN;
    if (services_ms >= who->expires_ms || credentials_expired(all, c->access_key))
        return AWS_AUTH_EXPIRED;

    const char *why = "the header list is malformed";
    bool s3 = str_eq_z(c->service, "s3");
    if (!canonical_request(r, s3, c->query, c->signed_headers, canonical, &why)) {
        snprintf(out->detail, sizeof out->detail, "%s", why);
        return AWS_AUTH_MISMATCH;
    }
    char hash[AWS_SHA256_HEX], expected[AWS_SHA256_HEX];
    aws_sha256_hex(buf_str(canonical), hash);
    buf to_sign;
    buf_init(&to_sign, 4096);
    buf_printf(&to_sign, ALGORITHM "\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n", STR_FMT(c->date),
               STR_FMT(c->day), STR_FMT(c->region), STR_FMT(c->service));
    buf_append(&to_sign, hash, sizeof hash);
    uint8_t digest[32];
    derive(who, c, out->key);
    hmac(out->key, 32, buf_str(&to_sign), digest);
    aws_hex(digest, sizeof digest, expected);
    bool ok = buf_ok(&to_sign) && c->signature.len == sizeof expected &&
              CRYPTO_memcmp(expected, c->signature.ptr, sizeof expected) == 0;
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
        return credentials_expired(local_credentials(home), out->access_key) ? AWS_AUTH_EXPIRED
                                                                             : AWS_AUTH_OK;
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
