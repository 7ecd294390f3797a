/*
 * What a request names: the bucket in its path or its host, the key, the query, the operation.
 */
#include <inttypes.h>

#include "aws/text.h"
#include "s3/call.h"

void *s3_alloc(s3_call *call, size_t size) {
    void *p = arena_alloc(call->memory, size);
    if (!p) call->no_memory = true;
    return p;
}

weir_str s3_header(const s3_call *call, const char *name) {
    return exchange_request_header(call->x, name);
}

weir_str s3_param(const s3_call *call, const char *name) {
    for (uint32_t i = 0; i < call->query_count; i++)
        if (str_eq_z(call->query[i].name, name)) return call->query[i].value;
    return (weir_str){NULL, 0};
}

bool s3_has_param(const s3_call *call, const char *name) {
    return s3_param(call, name).ptr != NULL;
}

bool s3_param_number(s3_call *call, const char *name, int64_t low, int64_t high, int64_t otherwise,
                     int64_t *out) {
    weir_str text = s3_param(call, name);
    *out = otherwise;
    if (!text.len) return true;
    if (!str_to_i64(text, out)) {
        s3_fail_argument(call, name, text, "Provided %s not an integer or within integer range",
                         name);
        return false;
    }
    if (*out >= low && *out <= high) return true;
    s3_fail_argument(call, name, text,
                     "Argument %s must be an integer between %" PRId64 " and %" PRId64, name, low,
                     high);
    return false;
}

weir_str s3_decode(s3_call *call, weir_str text, bool plus) {
    char *out = s3_alloc(call, (size_t)text.len + 1);
    if (!out) return (weir_str){NULL, 0};
    return str_make(out, aws_percent_decode(text, plus, out));
}

/* ---- bucket and key ---- */

static const char *last_of(weir_str s, const char *what) {
    size_t n = strlen(what);
    for (size_t i = (size_t)s.len; i >= n && i > 0; i--)
        if (memcmp(s.ptr + i - n, what, n) == 0) return s.ptr + i - n;
    return NULL;
}

/* The bucket of a host such as bucket.localhost, bucket.s3.anything, bucket.s3-anything; empty for
 * s3.anything, localhost, addresses and every other host. */
static weir_str bucket_of_host(weir_str host) {
    weir_str none = {"", 0};
    if (host.len && host.ptr[0] == '[') return none;
    const char *colon = host.len ? memchr(host.ptr, ':', (size_t)host.len) : NULL;
    if (colon) host.len = (uint64_t)(colon - host.ptr);
    bool of_localhost = str_ends(host, STR(".localhost"));
    if (of_localhost) host.len -= sizeof ".localhost" - 1;
    if (of_localhost && str_ends(host, STR(".s3"))) return str_make(host.ptr, (size_t)host.len - 3);
    const char *mark = last_of(host, ".s3.");
    if (!mark) mark = last_of(host, ".s3-");
    if (mark) return str_make(host.ptr, (size_t)(mark - host.ptr));
    if (!of_localhost || str_eq_z(host, "s3") || str_starts(host, STR("s3.")) ||
        str_starts(host, STR("s3-")))
        return none;
    return host;
}

static bool read_query(s3_call *call) {
    weir_str rest = call->r->query;
    while (rest.len) {
        weir_str value = aws_until(&rest, '&');
        if (!value.len) continue;
        if (call->query_count == S3_QUERY_MAX) return false;
        weir_str name = s3_decode(call, aws_until(&value, '='), true);
        value = s3_decode(call, value, true);
        if (!name.ptr || !value.ptr) return false;
        call->query[call->query_count].name = name;
        call->query[call->query_count++].value = value;
    }
    return true;
}

bool s3_route(s3_call *call) {
    const server_request *r = call->r;
    weir_str path = r->path;
    if (path.len && path.ptr[0] == '/') path = str_make(path.ptr + 1, (size_t)path.len - 1);
    weir_str bucket = bucket_of_host(r->host);
    if (!bucket.len) {
        bucket = s3_decode(call, aws_until(&path, '/'), false);
    }
    call->bucket_name = bucket;
    call->key = s3_decode(call, path, false);
    if (!bucket.ptr || !call->key.ptr || !read_query(call) || !str_is_utf8(call->key) ||
        (call->key.len && memchr(call->key.ptr, 0, (size_t)call->key.len))) {
        s3_fail(call, &S3_INVALID_URI);
        return false;
    }
    return true;
}

/* ---- the operation ---- */

/* What it takes for a row to be the one. `has` and `also`: parameters of the query, or "header:"
 * and the name of one. */
typedef struct row {
    char level; /* 's'ervice, 'b'ucket, 'o'bject */
    const char *method;
    const char *has, *also;
    s3_operation operation;
} row;

static const row rows[] = {
    {'o',
     "PUT",
     "uploadId",
     "header:x-amz-copy-source",
     {"UploadPartCopy", s3_op_upload_part_copy, 0}},
    {'o', "PUT", "uploadId", NULL, {"UploadPart", s3_op_upload_part, 0}},
    {'o', "PUT", "tagging", NULL, {"PutObjectTagging", s3_op_put_tags, 0}},
    {'o', "PUT", "header:x-amz-copy-source", NULL, {"CopyObject", s3_op_copy_object, 0}},
    {'o', "PUT", NULL, NULL, {"PutObject", s3_op_put_object, 0}},
    {'o', "GET", "uploadId", NULL, {"ListParts", s3_op_list_parts, 0}},
    {'o', "GET", "tagging", NULL, {"GetObjectTagging", s3_op_get_tags, 0}},
    {'o', "GET", "attributes", NULL, {"GetObjectAttributes", s3_op_get_attributes, 0}},
    {'o', "GET", NULL, NULL, {"GetObject", s3_op_get_object, 0}},
    {'o', "HEAD", NULL, NULL, {"HeadObject", s3_op_head_object, 0}},
    {'o', "DELETE", "uploadId", NULL, {"AbortMultipartUpload", s3_op_abort_upload, 0}},
    {'o', "DELETE", "tagging", NULL, {"DeleteObjectTagging", s3_op_delete_tags, 0}},
    {'o', "DELETE", NULL, NULL, {"DeleteObject", s3_op_delete_object, 0}},
    {'o', "POST", "uploads", NULL, {"CreateMultipartUpload", s3_op_create_upload, 0}},
    {'o', "POST", "uploadId", NULL, {"CompleteMultipartUpload", s3_op_complete_upload, 0}},
    {'b', "PUT", NULL, NULL, {"CreateBucket", s3_op_create_bucket, S3_NO_BUCKET_YET}},
    {'b', "HEAD", NULL, NULL, {"HeadBucket", s3_op_head_bucket, 0}},
    {'b', "DELETE", NULL, NULL, {"DeleteBucket", s3_op_delete_bucket, 0}},
    {'b', "GET", "location", NULL, {"GetBucketLocation", s3_op_bucket_location, S3_ANY_REGION}},
    {'b', "GET", "versioning", NULL, {"GetBucketVersioning", s3_op_bucket_versioning, 0}},
    {'b', "GET", "uploads", NULL, {"ListMultipartUploads", s3_op_list_uploads, 0}},
    {'b', "GET", "list-type", NULL, {"ListObjectsV2", s3_op_list_objects_v2, 0}},
    {'b', "GET", NULL, NULL, {"ListObjects", s3_op_list_objects, 0}},
    {'b', "POST", "delete", NULL, {"DeleteObjects", s3_op_delete_objects, 0}},
    {'s', "GET", NULL, NULL, {"ListBuckets", s3_op_list_buckets, S3_NO_BUCKET_YET}},
};

/* Sub-resources that rows with a bare path must not be taken for. */
static const char *const subresources[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "inventory",
    "intelligent-tiering",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
    "delete",
    "abac",
    "encryption-context",
    "annotation",
    "annotations",
};

static bool has(const s3_call *call, const char *what) {
    static const char mark[] = "header:";
    if (strncmp(what, mark, sizeof mark - 1) == 0)
        return s3_header(call, what + sizeof mark - 1).ptr != NULL;
    return s3_has_param(call, what);
}

const s3_operation *s3_find_operation(const s3_call *call) {
    char level = call->key.len ? 'o' : call->bucket_name.len ? 'b' : 's';
    bool plain = true;
    for (size_t i = 0; i < sizeof subresources / sizeof subresources[0]; i++)
        plain = plain && !s3_has_param(call, subresources[i]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        if (r->level != level || !str_eq_z(call->r->method, r->method)) continue;
        bool bare = !r->has || strncmp(r->has, "header:", 7) == 0;
        if (bare && !plain) continue;
        if (r->has && !has(call, r->has)) continue;
        if (r->also && !has(call, r->also)) continue;
        return &r->operation;
    }
    return NULL;
}
