/*
 * What a client says of an object when it writes it, and hears again: types, metadata, storage
 * class, encryption.
 */
#include "aws/parts.h"
#include "aws/text.h"
#include "s3/call.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "weir/json.h"

#define SSE "x-amz-server-side-encryption"
#define CUSTOMER "server-side-encryption-customer-"

/* ---- headers that are kept as they are ---- */

/* Kept, and which parameter of the query a read may put in their place. */
static const struct {
    const char *header, *instead;
} kept[] = {{"content-type", "response-content-type"},
            {"cache-control", "response-cache-control"},
            {"content-disposition", "response-content-disposition"},
            {"content-encoding", "response-content-encoding"},
            {"content-language", "response-content-language"},
            {"expires", "response-expires"},
            {"x-amz-website-redirect-location", NULL}};
#define KEPT (sizeof kept / sizeof kept[0])

/* Content-Encoding without aws-chunked, which is of the transport. */
static weir_str without_chunked(s3_call *call, weir_str value) {
    char *out = s3_alloc(call, (size_t)value.len + 1);
    size_t n = 0;
    if (!out) return value;
    while (value.len) {
        weir_str one = aws_trim(aws_until(&value, ','));
        if (!one.len || str_eq_z(one, "aws-chunked")) continue;
        if (n) out[n++] = ',';
        memcpy(out + n, one.ptr, (size_t)one.len);
        n += (size_t)one.len;
    }
    return str_make(out, n);
}

static bool read_headers(s3_call *call, s3_said *out) {
    bool ok = true;
    for (size_t i = 0; i < KEPT; i++) {
        weir_str v = s3_header(call, kept[i].header);
        if (i == 0 && !v.len) v = STR("binary/octet-stream");
        if (v.ptr && str_eq_z(str_of(kept[i].header), "content-encoding"))
            v = without_chunked(call, v);
        if (v.len) ok = ok && s3_fields_add(&out->headers, str_of(kept[i].header), v);
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < call->r->header_count; i++) {
        const server_header *h = &call->r->headers[i];
        if (!str_starts(h->name, STR("x-amz-meta-"))) continue;
        bytes += h->name.len - (sizeof "x-amz-meta-" - 1) + h->value.len;
        ok = ok && s3_fields_add(&out->headers, h->name, h->value);
    }
    if (!ok) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return false;
    }
    if (bytes <= S3_METADATA_BYTES_MAX) return true;
    s3_detail_u64(call, "Size", bytes);
    s3_detail_u64(call, "MaxSizeAllowed", S3_METADATA_BYTES_MAX);
    s3_fail(call, &S3_METADATA_TOO_LARGE);
    return false;
}

static bool read_class(s3_call *call, s3_said *out) {
    static const char *const classes[] = {"STANDARD",     "REDUCED_REDUNDANCY",  "STANDARD_IA",
                                          "ONEZONE_IA",   "INTELLIGENT_TIERING", "GLACIER",
                                          "DEEP_ARCHIVE", "GLACIER_IR"};
    weir_str v = s3_header(call, "x-amz-storage-class");
    snprintf(out->storage_class, sizeof out->storage_class, "STANDARD");
    if (!v.ptr) return true;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (!str_eq_z(v, classes[i])) continue;
        snprintf(out->storage_class, sizeof out->storage_class, "%s", classes[i]);
        return true;
    }
    s3_detail(call, "StorageClassRequested", v);
    s3_fail(call, &S3_INVALID_STORAGE_CLASS);
    return false;
}

/* ---- encryption ---- */

static weir_str customer_header(const s3_call *call, const char *prefix, const char *name) {
    char text[96];
    snprintf(text, sizeof text, "%s" CUSTOMER "%s", prefix, name);
    return s3_header(call, text);
}

/* The key of the customer in the request: *present, and its MD5 in `md5`. False: answered. */
static bool read_customer_key(s3_call *call, const char *prefix, bool *present, char md5[32]) {
    weir_str algorithm = customer_header(call, prefix, "algorithm");
    weir_str key = customer_header(call, prefix, "key");
    weir_str stated = customer_header(call, prefix, "key-md5");
    *present = algorithm.ptr || key.ptr || stated.ptr;
    if (!*present) return true;
    if (!algorithm.ptr || !key.ptr || !stated.ptr) {
        s3_fail_argument(
            call, SSE "-customer-algorithm", algorithm,
            "Requests specifying Server Side Encryption with Customer provided keys must "
            "provide an appropriate secret key.");
        return false;
    }
    if (!str_eq_z(algorithm, "AES256")) {
        s3_fail(call, &S3_INVALID_ENCRYPTION);
        return false;
    }
    char bytes[64];
    uint8_t digest[16];
    if (key.len != 44 || weir_base64_decode(key, bytes) != 32) {
        s3_fail_argument(call, SSE "-customer-key", STR(""),
                         "The secret key was invalid for the specified algorithm.");
        return false;
    }
    EVP_Digest(bytes, 32, digest, NULL, EVP_md5(), NULL);
    md5[weir_base64_encode(str_make((const char *)digest, sizeof digest), md5)] = 0;
    if (str_eq_z(stated, md5)) return true;
    s3_fail_argument(
        call, SSE "-customer-key-MD5", stated,
        "The calculated MD5 hash of the key did not match the hash that was provided.");
    return false;
}

static bool read_kms(s3_call *call, s3_said *out) {
    weir_str key = s3_header(call, SSE "-aws-kms-key-id"),
             context = s3_header(call, SSE "-context");
    weir_str bucket_key = s3_header(call, SSE "-bucket-key-enabled");
    out->bucket_key = str_eq_z(bucket_key, "true");
    if (out->encryption != S3_ENCRYPT_KMS && out->encryption != S3_ENCRYPT_DSSE) {
        if (!key.ptr && !context.ptr) return true;
        s3_fail_argument(call, SSE, s3_header(call, SSE),
                         "Server Side Encryption with AWS KMS managed key requires HTTP header "
                         "x-amz-server-side-encryption : aws:kms");
        return false;
    }
    const local_options *o = local_settings(call->s->home);
    buf arn;
    buf_init(&arn, (size_t)1 << 20);
    if (str_starts(key, STR("arn:")))
        buf_append_str(&arn, key);
    else
        buf_printf(&arn, "arn:aws:kms:%s:%s:%s%.*s", call->bucket->region, o->account,
                   key.len ? "key/" : "alias/aws/s3", STR_FMT(key));
    if (buf_ok(&arn)) out->kms_key = aws_text(buf_str(&arn));
    buf_free(&arn);
    if (context.len) out->kms_context = aws_text(context);
    if (out->kms_key && (out->kms_context || !context.len)) return true;
    s3_fail(call, &S3_INTERNAL_ERROR);
    return false;
}

static bool read_encryption(s3_call *call, s3_said *out) {
    weir_str v = s3_header(call, SSE);
    bool customer;
    if (!read_customer_key(call, "x-amz-", &customer, out->customer_md5)) return false;
    if (!v.ptr || str_eq_z(v, "AES256")) {
        out->encryption = S3_ENCRYPT_S3;
    } else if (str_eq_z(v, "aws:kms")) {
        out->encryption = S3_ENCRYPT_KMS;
    } else if (str_eq_z(v, "aws:kms:dsse")) {
        out->encryption = S3_ENCRYPT_DSSE;
    } else {
        s3_fail_argument(call, SSE, v, "The encryption method specified is not supported");
        return false;
    }
    if (customer && v.ptr) {
        s3_fail_argument(
            call, SSE, v,
            "Server Side Encryption with Customer provided key is incompatible with the "
            "encryption method specified");
        return false;
    }
    if (customer) out->encryption = S3_ENCRYPT_CUSTOMER;
    return read_kms(call, out);
}

bool s3_customer_key_fits(s3_call *call, const s3_said *said, const char *prefix) {
    bool present;
    char md5[32];
    if (!read_customer_key(call, prefix, &present, md5)) return false;
    if (said->encryption != S3_ENCRYPT_CUSTOMER) {
        if (!present) return true;
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "The encryption parameters are not applicable to this object.");
        return false;
    }
    if (!present) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "The object was stored using a form of Server Side Encryption. The correct "
                     "parameters must be provided to retrieve the object.");
        return false;
    }
    if (strcmp(md5, said->customer_md5) == 0) return true;
    s3_fail(call, &S3_ACCESS_DENIED);
    return false;
}

/* ---- the whole ---- */

/* What would need a bucket of another kind. */
static bool refuse_kinds(s3_call *call) {
    static const char *const locks[] = {"x-amz-object-lock-mode",
                                        "x-amz-object-lock-retain-until-date",
                                        "x-amz-object-lock-legal-hold"};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        if (!s3_header(call, locks[i]).ptr) continue;
        s3_fail_text(call, &S3_INVALID_REQUEST, "Bucket is missing Object Lock Configuration");
        return false;
    }
    if (!s3_header(call, "x-amz-write-offset-bytes").ptr) return true;
    s3_detail_z(call, "Header", "x-amz-write-offset-bytes");
    s3_fail(call, &S3_NOT_IMPLEMENTED);
    return false;
}

bool s3_acl_allowed(s3_call *call, const s3_error *e) {
    weir_str acl = s3_header(call, "x-amz-acl");
    bool ok = !acl.ptr || str_eq_z(acl, "private") || str_eq_z(acl, "bucket-owner-full-control");
    for (uint32_t i = 0; ok && i < call->r->header_count; i++)
        ok = !str_starts(call->r->headers[i].name, STR("x-amz-grant-"));
    if (!ok) s3_fail(call, e);
    return ok;
}

bool s3_said_read(s3_call *call, s3_said *out) {
    *out = (s3_said){0};
    if (!refuse_kinds(call) || !s3_acl_allowed(call, &S3_NO_ACLS)) return false;
    weir_str tags = s3_header(call, "x-amz-tagging");
    if (read_headers(call, out) && read_class(call, out) && read_encryption(call, out) &&
        (!tags.len || s3_tags_read_header(call, tags, &out->tags)))
        return true;
    s3_said_free(out);
    return false;
}

void s3_said_answer(s3_call *call, const s3_said *said) {
    exchange *x = call->x;
    static const char *const words[] = {"AES256", "aws:kms", "aws:kms:dsse"};
    if (said->encryption == S3_ENCRYPT_CUSTOMER) {
        exchange_header(x, SSE "-customer-algorithm", STR("AES256"));
        exchange_header(x, SSE "-customer-key-md5", str_of(said->customer_md5));
        return;
    }
    exchange_header(x, SSE, str_of(words[said->encryption]));
    if (said->kms_key) exchange_header(x, SSE "-aws-kms-key-id", str_of(said->kms_key));
    if (said->kms_context) exchange_header(x, SSE "-context", str_of(said->kms_context));
    if (said->bucket_key) exchange_header(x, SSE "-bucket-key-enabled", STR("true"));
}

void s3_said_answer_read(s3_call *call, const s3_said *said) {
    exchange *x = call->x;
    for (size_t i = 0; i < KEPT; i++) {
        const char *v = s3_fields_get(&said->headers, kept[i].header);
        weir_str instead = {NULL, 0};
        if (kept[i].instead) instead = s3_param(call, kept[i].instead);
        if (instead.ptr)
            exchange_header(x, kept[i].header, instead);
        else if (v)
            exchange_header(x, kept[i].header, str_of(v));
    }
    for (uint32_t i = 0; i < said->headers.count; i++) {
        const s3_field *f = &said->headers.items[i];
        if (str_starts(str_of(f->name), STR("x-amz-meta-")))
            exchange_header(x, f->name, str_of(f->value));
    }
    if (strcmp(said->storage_class, "STANDARD") != 0)
        exchange_header(x, "x-amz-storage-class", str_of(said->storage_class));
    if (said->tags.count) exchange_header_f(x, "x-amz-tagging-count", "%u", said->tags.count);
    s3_said_answer(call, said);
}

void s3_sum_answer(s3_call *call, const checksum *sum) {
    if (sum->algorithm == SUM_NONE) return;
    char text[SUM_TEXT_MAX];
    sum_text(sum, text);
    exchange_header(call->x, sum_header(sum->algorithm), str_of(text));
    exchange_header(call->x, "x-amz-checksum-type",
                    sum->composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
}
