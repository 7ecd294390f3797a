/*
 * CopyObject: another name for the same bytes.
 */
#include "s3/call.h"

static bool fail_source(s3_call *call, weir_str value) {
    s3_fail_argument(call, "x-amz-copy-source", value,
                     "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
    return false;
}

/* "bucket/key?versionId=V", encoded, maybe with a slash in front. */
static bool split_source(s3_call *call, weir_str value, weir_str *bucket, weir_str *key) {
    const char *mark = value.len ? memmem(value.ptr, (size_t)value.len, "?versionId=", 11) : NULL;
    weir_str name = mark ? str_make(value.ptr, (size_t)(mark - value.ptr)) : value;
    if (mark && !str_eq_z(str_make(mark + 11, (size_t)value.len - (size_t)name.len - 11), "null")) {
        s3_fail_argument(call, "x-amz-copy-source", value, "Invalid version id specified");
        return false;
    }
    name = s3_decode(call, name, false);
    if (name.len && name.ptr[0] == '/') name = str_make(name.ptr + 1, (size_t)name.len - 1);
    const char *slash = name.len ? memchr(name.ptr, '/', (size_t)name.len) : NULL;
    if (!slash) return fail_source(call, value);
    *bucket = str_make(name.ptr, (size_t)(slash - name.ptr));
    *key = str_make(slash + 1, (size_t)name.len - (size_t)bucket->len - 1);
    return (bucket->len && key->len) || fail_source(call, value);
}

const s3_object *s3_copy_source(s3_call *call) {
    weir_str bucket, key;
    if (!split_source(call, s3_header(call, "x-amz-copy-source"), &bucket, &key)) return NULL;
    const s3_bucket *b = s3_bucket_get(call->s, bucket);
    if (!b) {
        s3_detail(call, "BucketName", bucket);
        s3_fail(call, &S3_NO_SUCH_BUCKET);
        return NULL;
    }
    const s3_object *o = s3_object_get(b, key);
    if (!o) {
        s3_detail(call, "Key", key);
        s3_fail(call, &S3_NO_SUCH_KEY);
        return NULL;
    }
    if (!s3_customer_key_fits(call, &o->said, "x-amz-copy-source-") ||
        !s3_read_conditions(call, o, "x-amz-copy-source-"))
        return NULL;
    return o;
}

/* COPY, which is the default, or REPLACE. False: answered. */
static bool directive(s3_call *call, const char *header, bool *replace) {
    weir_str v = s3_header(call, header);
    *replace = str_eq_z(v, "REPLACE");
    if (!v.ptr || *replace || str_eq_z(v, "COPY")) return true;
    s3_fail_argument(call, header, v, "Unknown metadata directive.");
    return false;
}

/* What the new object says: its own encryption and class from this request, types and metadata and
 * tags from it or from the source. */
static bool said_of_copy(s3_call *call, const s3_object *source, s3_said *out) {
    bool headers, tags;
    if (!directive(call, "x-amz-metadata-directive", &headers) ||
        !directive(call, "x-amz-tagging-directive", &tags) || !s3_said_read(call, out))
        return false;
    s3_said old;
    if (!s3_said_copy(&old, &source->said)) {
        s3_said_free(&old);
        s3_said_free(out);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return false;
    }
    s3_fields none;
    if (!headers) {
        none = out->headers;
        out->headers = old.headers;
        old.headers = none;
    }
    if (!tags) {
        none = out->tags;
        out->tags = old.tags;
        old.tags = none;
    }
    s3_said_free(&old);
    bool changes = headers || s3_header(call, "x-amz-storage-class").ptr ||
                   s3_header(call, "x-amz-website-redirect-location").ptr ||
                   s3_header(call, "x-amz-server-side-encryption").ptr ||
                   out->encryption == S3_ENCRYPT_CUSTOMER ||
                   source->said.encryption == S3_ENCRYPT_CUSTOMER;
    if (changes || source != s3_object_get(call->bucket, call->key)) return true;
    s3_said_free(out);
    s3_fail_text(
        call, &S3_INVALID_REQUEST,
        "This copy request is illegal because it is trying to copy an object to itself "
        "without changing the object's metadata, storage class, website redirect location or "
        "encryption attributes.");
    return false;
}

/* The copy is one piece, whatever the source was made of: its sum goes over the whole. */
static bool sum_of_copy(s3_call *call, const s3_object *source, s3_object *o) {
    weir_str name = s3_header(call, "x-amz-checksum-algorithm");
    sum_algorithm a = name.ptr ? sum_named(name) : source->sum.algorithm;
    if (a == SUM_NONE && name.ptr) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Checksum algorithm provided is unsupported. Please try again with any of the "
                     "valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
        return false;
    }
    bool same = a == source->sum.algorithm && !source->sum.composite && a != SUM_NONE;
    o->sum = same ? source->sum : sum_of(a == SUM_NONE ? SUM_CRC64NVME : a, &o->content);
    return true;
}

void s3_op_copy_object(s3_call *call) {
    const s3_object *source = s3_copy_source(call);
    if (!source || !s3_write_conditions(call)) return;
    if (source->content.size > S3_PUT_BYTES_MAX) {
        s3_fail_text(
            call, &S3_INVALID_REQUEST,
            "The specified copy source is larger than the maximum allowable size for a copy "
            "source: 5368709120");
        return;
    }
    s3_object *o = s3_object_new(call->key, s3_now(call->s));
    if (!o || !s3_content_share(&o->content, &source->content, 0, source->content.size)) {
        s3_object_free(o);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    if (!said_of_copy(call, source, &o->said) || !sum_of_copy(call, source, o)) {
        s3_object_free(o);
        return;
    }
    s3_etag(call->s, &o->said, &o->content, o->etag);
    if (!s3_object_store(call->bucket, o)) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    s3_said_answer(call, &o->said);
    buf *b = &call->xml;
    s3_xml_begin(b, "CopyObjectResult");
    s3_xml_etag(b, o->etag);
    s3_xml_time(b, "LastModified", o->modified_ms);
    s3_xml_sum(b, &o->sum);
    s3_xml_z(b, "ChecksumType", "FULL_OBJECT");
    s3_xml_close(b, "CopyObjectResult");
    s3_end_xml(call);
}
