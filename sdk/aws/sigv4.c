#include "sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One piece of the scratch text. */
typedef struct span {
    size_t at, len;
} span;

typedef struct param {
    span name, value;
} param;

typedef struct header_ref {
    const weir_http_header *header;
    uint32_t index;
} header_ref;

static void canonical_path(text *out, text *scratch, weir_str path, bool s3);
static void canonical_query(text *out, text *scratch, weir_str query);
static void canonical_headers(weir_aws_signer *s, const weir_http_header *headers, uint32_t count);
static bool header_is_signed(weir_str name);
static bool derive_key(weir_aws_signer *s, const weir_aws_keys *keys,
                       const weir_aws_sign_args *args);
static span encode_decoded(text *out, const char *bytes, size_t len);
static int hex_digit(char c);
static char lower(char c);
static int by_param(const void *a, const void *b);
static int by_header(const void *a, const void *b);

/* qsort has no argument for it; set around the one call that needs it, per thread. */
static _Thread_local const char *sort_base;

weir_aws_signer *weir_aws_signer_new(void) {
    return calloc(1, sizeof(weir_aws_signer));
}

void weir_aws_signer_free(weir_aws_signer *s) {
    if (!s) return;
    text_free(&s->canonical);
    text_free(&s->to_sign);
    text_free(&s->result);
    text_free(&s->signed_names);
    text_free(&s->scratch);
    OPENSSL_cleanse(s->key, sizeof s->key);
    free(s);
}

weir_str weir_aws_sign(weir_aws_signer *s, const weir_aws_keys *keys,
                       const weir_aws_sign_args *args) {
    weir_str none = {NULL, 0};
    if (!sigv4_signature(s, keys, args, args->query)) return none;
    text *a = &s->result;
    text_clear(a);
    text_add_z(a, "AWS4-HMAC-SHA256 Credential=");
    text_add_str(a, keys->access_key_id);
    text_add_char(a, '/');
    text_add(a, s->to_sign.ptr + s->scope_at, s->scope_len);
    text_add_z(a, ", SignedHeaders=");
    text_add_str(a, text_str(&s->signed_names));
    text_add_z(a, ", Signature=");
    text_add_z(a, s->signature);
    return a->failed ? none : text_str(a);
}

bool sigv4_signature(weir_aws_signer *s, const weir_aws_keys *keys, const weir_aws_sign_args *args,
                     weir_str query) {
    s->signature[0] = '\0';
    if (args->date.len != WEIR_AWS_DATE_SIZE - 1) return false;
    text *c = &s->canonical;
    text_clear(c);
    text_add_str(c, args->method);
    text_add_char(c, '\n');
    canonical_path(c, &s->scratch, args->path, (args->flags & WEIR_AWS_SIGN_S3) != 0);
    text_add_char(c, '\n');
    canonical_query(c, &s->scratch, query);
    text_add_char(c, '\n');
    canonical_headers(s, args->headers, args->header_count);
    text_add_char(c, '\n');
    text_add_str(c, text_str(&s->signed_names));
    text_add_char(c, '\n');
    text_add_str(c, args->payload_hash);

    char digest[WEIR_AWS_HASH_SIZE];
    weir_str canonical = text_str(c);
    weir_aws_hash(&canonical, 1, digest);

    text *t = &s->to_sign;
    text_clear(t);
    text_add_z(t, "AWS4-HMAC-SHA256\n");
    text_add_str(t, args->date);
    text_add_char(t, '\n');
    s->scope_at = t->len;
    sigv4_scope(t, args);
    s->scope_len = t->len - s->scope_at;
    text_add_char(t, '\n');
    text_add_z(t, digest);

    unsigned char mac[SIGV4_MAC_BYTES];
    if (c->failed || t->failed || s->signed_names.failed || !derive_key(s, keys, args) ||
        !sigv4_hmac(s->key, sizeof s->key, text_str(t), mac))
        return false;
    sigv4_hex(mac, sizeof mac, s->signature);
    return true;
}

void sigv4_signed_names(weir_aws_signer *s, const weir_aws_sign_args *args) {
    text_clear(&s->canonical);
    canonical_headers(s, args->headers, args->header_count);
}

void sigv4_scope(text *out, const weir_aws_sign_args *args) {
    text_add(out, args->date.ptr, SIGV4_DAY_LEN);
    text_add_char(out, '/');
    text_add_str(out, args->region);
    text_add_char(out, '/');
    text_add_str(out, args->service);
    text_add_z(out, "/aws4_request");
}

weir_str weir_aws_canonical_request(const weir_aws_signer *s) {
    return text_str(&s->canonical);
}

weir_str weir_aws_string_to_sign(const weir_aws_signer *s) {
    return text_str(&s->to_sign);
}

void weir_aws_format_date(int64_t time_s, char out[WEIR_AWS_DATE_SIZE]) {
    time_t t = (time_t)time_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, WEIR_AWS_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        out[0] = '\0';
}

void weir_aws_hash(const weir_str *segments, uint32_t count, char out[WEIR_AWS_HASH_SIZE]) {
    unsigned char digest[SIGV4_MAC_BYTES] = {0};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(ctx, segments[i].ptr, (size_t)segments[i].len) == 1;
    /* A failed hash stays zero: the service then refuses the signature, nothing worse. */
    if (!ok || EVP_DigestFinal_ex(ctx, digest, NULL) != 1) memset(digest, 0, sizeof digest);
    EVP_MD_CTX_free(ctx);
    sigv4_hex(digest, sizeof digest, out);
}

/*
 * Segments of the path go to `scratch` one by one; ".." takes the last one back. What remains is
 * encoded once more.
 */
static void canonical_path(text *out, text *scratch, weir_str path, bool s3) {
    if (path.len == 0) {
        text_add_char(out, '/');
        return;
    }
    if (s3) { /* already encoded, once, by whoever made the URL */
        text_add_str(out, path);
        return;
    }
    text_clear(scratch);
    const char *p = path.ptr, *end = p + path.len;
    bool slash = false; /* the result ends with a slash */
    while (p < end) {
        while (p < end && *p == '/') {
            p++;
            slash = true;
        }
        const char *start = p;
        while (p < end && *p != '/') p++;
        size_t len = (size_t)(p - start);
        if (len == 0) break;
        slash = false;
        if (len == 1 && start[0] == '.') {
            slash = true;
        } else if (len == 2 && start[0] == '.' && start[1] == '.') {
            while (scratch->len > 0 && scratch->ptr[--scratch->len] != '/') continue;
            slash = true;
        } else {
            text_add_char(scratch, '/');
            text_add(scratch, start, len);
        }
    }
    if (slash || scratch->len == 0) text_add_char(scratch, '/');
    if (scratch->failed) out->failed = true;
    sigv4_encode(out, scratch->ptr, scratch->len, true);
}

static void canonical_query(text *out, text *scratch, weir_str query) {
    if (query.len == 0) return;
    size_t count = 1;
    for (uint64_t i = 0; i < query.len; i++) count += query.ptr[i] == '&';
    param *params = calloc(count, sizeof *params);
    if (!params) {
        out->failed = true;
        return;
    }
    text_clear(scratch);
    size_t used = 0;
    const char *p = query.ptr, *end = p + query.len;
    while (p <= end) {
        const char *stop = memchr(p, '&', (size_t)(end - p));
        if (!stop) stop = end;
        if (stop > p) {
            const char *equals = memchr(p, '=', (size_t)(stop - p));
            const char *name_end = equals ? equals : stop;
            params[used].name = encode_decoded(scratch, p, (size_t)(name_end - p));
            const char *value = equals ? equals + 1 : stop;
            params[used].value = encode_decoded(scratch, value, (size_t)(stop - value));
            used++;
        }
        p = stop + 1;
    }
    if (scratch->failed) {
        out->failed = true;
        free(params);
        return;
    }
    sort_base = text_str(scratch).ptr;
    qsort(params, used, sizeof *params, by_param);
    for (size_t i = 0; i < used; i++) {
        if (i > 0) text_add_char(out, '&');
        text_add(out, sort_base + params[i].name.at, params[i].name.len);
        text_add_char(out, '=');
        text_add(out, sort_base + params[i].value.at, params[i].value.len);
    }
    sort_base = NULL;
    free(params);
}

/* Adds the header lines to the canonical request and the names to signed_names. */
static void canonical_headers(weir_aws_signer *s, const weir_http_header *headers, uint32_t count) {
    text *out = &s->canonical;
    text_clear(&s->signed_names);
    header_ref *refs = calloc(count ? count : 1, sizeof *refs);
    if (!refs) {
        out->failed = true;
        return;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!header_is_signed(headers[i].name)) continue;
        refs[used].header = &headers[i];
        refs[used++].index = i;
    }
    qsort(refs, used, sizeof *refs, by_header);
    for (size_t i = 0; i < used; i++) {
        const weir_http_header *h = refs[i].header;
        header_ref previous = refs[i > 0 ? i - 1 : 0];
        bool repeated = i > 0 && previous.header->name.len == h->name.len;
        for (uint64_t k = 0; repeated && k < h->name.len; k++)
            repeated = lower(previous.header->name.ptr[k]) == lower(h->name.ptr[k]);
        if (repeated) {
            text_add_char(out, ',');
        } else {
            if (i > 0) text_add_char(out, '\n');
            if (i > 0) text_add_char(&s->signed_names, ';');
            for (uint64_t k = 0; k < h->name.len; k++) {
                text_add_char(out, lower(h->name.ptr[k]));
                text_add_char(&s->signed_names, lower(h->name.ptr[k]));
            }
            text_add_char(out, ':');
        }
        bool gap = false, begun = false;
        for (uint64_t k = 0; k < h->value.len; k++) {
            char c = h->value.ptr[k];
            if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
                gap = begun;
                continue;
            }
            if (gap) text_add_char(out, ' ');
            gap = false;
            begun = true;
            text_add_char(out, c);
        }
    }
    if (used > 0) text_add_char(out, '\n');
    free(refs);
}

static bool header_is_signed(weir_str name) {
    static const char *const left_out[] = {
        "authorization", "user-agent",        "x-amzn-trace-id", "connection",
        "expect",        "transfer-encoding", "upgrade",         "proxy-authorization"};
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++) {
        size_t len = strlen(left_out[i]), k = 0;
        if (len != name.len) continue;
        while (k < len && lower(name.ptr[k]) == left_out[i][k]) k++;
        if (k == len) return false;
    }
    return name.len > 0;
}

static bool derive_key(weir_aws_signer *s, const weir_aws_keys *keys,
                       const weir_aws_sign_args *args) {
    weir_str slash = {"/", 1}, day = {args->date.ptr, SIGV4_DAY_LEN}, end = {"aws4_request", 12};
    weir_str parts[] = {
        keys->secret_access_key, slash, day, slash, args->region, slash, args->service};
    char scope[WEIR_AWS_HASH_SIZE];
    weir_aws_hash(parts, sizeof parts / sizeof parts[0], scope);
    if (CRYPTO_memcmp(s->key_scope, scope, sizeof scope) == 0) return true;

    text secret = {0};
    text_add_z(&secret, "AWS4");
    text_add_str(&secret, keys->secret_access_key);
    unsigned char k[SIGV4_MAC_BYTES];
    bool ok = !secret.failed && sigv4_hmac((const unsigned char *)secret.ptr, secret.len, day, k) &&
              sigv4_hmac(k, sizeof k, args->region, k) &&
              sigv4_hmac(k, sizeof k, args->service, k) && sigv4_hmac(k, sizeof k, end, s->key);
    text_free(&secret);
    OPENSSL_cleanse(k, sizeof k);
    memcpy(s->key_scope, scope, sizeof scope);
    if (!ok) s->key_scope[0] = '\0';
    return ok;
}

bool sigv4_hmac(const unsigned char *key, size_t key_len, weir_str data, unsigned char *out) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    bool ok = HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)data.ptr,
                   (size_t)data.len, mac, &len) != NULL &&
              len == SIGV4_MAC_BYTES;
    if (ok) memcpy(out, mac, SIGV4_MAC_BYTES);
    OPENSSL_cleanse(mac, sizeof mac);
    return ok;
}

void sigv4_encode(text *out, const char *bytes, size_t len, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.' || c == '~' || (keep_slash && c == '/')) {
            text_add_char(out, (char)c);
        } else {
            char triple[3] = {'%', digits[c >> 4], digits[c & 15]};
            text_add(out, triple, 3);
        }
    }
}

/* Encodes from the decoded form; a '%' that begins no escape stands for itself. */
static span encode_decoded(text *out, const char *bytes, size_t len) {
    span s = {out->len, 0};
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (c == '%' && i + 2 < len && hex_digit(bytes[i + 1]) >= 0 &&
            hex_digit(bytes[i + 2]) >= 0) {
            c = (char)(hex_digit(bytes[i + 1]) * 16 + hex_digit(bytes[i + 2]));
            i += 2;
        }
        sigv4_encode(out, &c, 1, false);
    }
    s.len = out->len - s.at;
    return s;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

void sigv4_hex(const unsigned char *bytes, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int compare_spans(span a, span b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(sort_base + a.at, sort_base + b.at, n) : 0;
    if (order != 0) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static int by_param(const void *a, const void *b) {
    const param *x = a, *y = b;
    int order = compare_spans(x->name, y->name);
    return order != 0 ? order : compare_spans(x->value, y->value);
}

/* By lower-case name; repeated names keep the order in which they appear. */
static int by_header(const void *a, const void *b) {
    const header_ref *x = a, *y = b;
    weir_str p = x->header->name, q = y->header->name;
    for (uint64_t i = 0; i < p.len && i < q.len; i++) {
        int d = (unsigned char)lower(p.ptr[i]) - (unsigned char)lower(q.ptr[i]);
        if (d != 0) return d;
    }
    if (p.len != q.len) return p.len < q.len ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}
