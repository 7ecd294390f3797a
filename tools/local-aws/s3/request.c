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
    return server_request_header(call->r, name);
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

/* One of several words with a space between. */
static bool has_word(const char *words, weir_str word) {
    weir_str rest = str_of(words);
    while (rest.len)
        if (str_eq(aws_until(&rest, ' '), word)) return true;
    return false;
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

/* Every '%' with two digits behind it. */
static bool escapes_whole(weir_str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') continue;
        if (s.len - i < 3 || aws_hex_digit(s.ptr[i + 1]) < 0 || aws_hex_digit(s.ptr[i + 2]) < 0)
            return false;
        i += 2;
    }
    return true;
}

static weir_str lower(s3_call *call, weir_str text) {
    char *out = s3_alloc(call, (size_t)text.len + 1);
    if (!out) return (weir_str){NULL, 0};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return str_make(out, (size_t)text.len);
}

/* Headers that a presigned URL says in its query, as signers do with x-amz-*, become headers. What
 * is of the signature itself stays where it is, and a header that came as one counts more. */
static bool take_headers(s3_call *call) {
    static const char signature[] = "x-amz-algorithm x-amz-credential x-amz-date x-amz-expires "
                                    "x-amz-signedheaders x-amz-signature x-amz-security-token";
    const server_request *r = call->r;
    server_header *all = NULL;
    uint32_t count = r->header_count;
    for (uint32_t i = 0; i < call->query_count; i++) {
        weir_str name = lower(call, call->query[i].name);
        if (!name.ptr) return false;
        if (!str_starts(name, STR("x-amz-")) || has_word(signature, name)) continue;
        if (!all) {
            all = s3_alloc(call, (r->header_count + S3_QUERY_MAX) * sizeof *all);
            if (!all) return false;
            if (r->header_count) memcpy(all, r->headers, r->header_count * sizeof *all);
        }
        bool there = false;
        for (uint32_t k = 0; k < r->header_count; k++) there = there || str_eq(all[k].name, name);
        if (!there) all[count++] = (server_header){name, call->query[i].value};
    }
    if (!all) return true;
    call->with_query = *r;
    call->with_query.headers = all;
    call->with_query.header_count = count;
    call->r = &call->with_query;
    return true;
}

bool s3_route(s3_call *call) {
    const server_request *r = call->r;
    weir_str path = r->path;
    bool whole = escapes_whole(path);
    if (path.len && path.ptr[0] == '/') path = str_make(path.ptr + 1, (size_t)path.len - 1);
    weir_str bucket = bucket_of_host(r->host);
    if (!bucket.len) {
        bucket = s3_decode(call, aws_until(&path, '/'), false);
    }
    call->bucket_name = bucket;
    call->key = s3_decode(call, path, false);
    if (!whole || !bucket.ptr || !call->key.ptr || !read_query(call) || !take_headers(call) ||
        !str_is_utf8(call->key) ||
        (call->key.len && memchr(call->key.ptr, 0, (size_t)call->key.len))) {
        s3_fail(call, &S3_INVALID_URI);
        return false;
    }
    return true;
}

/* ---- the operation ---- */

/* What it takes for a row to be the one. `has` and `also`: parameters of the query, or "header:"
 * and the name of one. `takes`: what else the query may hold, separated by spaces. */
typedef struct row {
    char level; /* 's'ervice, 'b'ucket, 'o'bject */
    const char *method;
    const char *has, *also, *takes;
    s3_operation operation;
} row;

#define COPY "header:x-amz-copy-source"
#define VERSION "versionId"
#define READ "versionId partNumber"
#define LIST "prefix delimiter encoding-type max-keys "

static const row rows[] = {
    {'o', "PUT", "uploadId", COPY, "partNumber", {"UploadPartCopy", s3_op_upload_part_copy, 0}},
    {'o', "PUT", "uploadId", NULL, "partNumber", {"UploadPart", s3_op_upload_part, 0}},
    {'o', "PUT", "tagging", NULL, VERSION, {"PutObjectTagging", s3_op_put_tags, 0}},
    {'o', "PUT", COPY, NULL, "", {"CopyObject", s3_op_copy_object, 0}},
    {'o', "PUT", NULL, NULL, "", {"PutObject", s3_op_put_object, 0}},
    {'o',
     "GET",
     "uploadId",
     NULL,
     "max-parts part-number-marker",
     {"ListParts", s3_op_list_parts, 0}},
    {'o', "GET", "tagging", NULL, VERSION, {"GetObjectTagging", s3_op_get_tags, 0}},
    {'o', "GET", "attributes", NULL, VERSION, {"GetObjectAttributes", s3_op_get_attributes, 0}},
    {'o', "GET", NULL, NULL, READ, {"GetObject", s3_op_get_object, 0}},
    {'o', "HEAD", NULL, NULL, READ, {"HeadObject", s3_op_head_object, 0}},
    {'o', "DELETE", "uploadId", NULL, "", {"AbortMultipartUpload", s3_op_abort_upload, 0}},
    {'o', "DELETE", "tagging", NULL, VERSION, {"DeleteObjectTagging", s3_op_delete_tags, 0}},
    {'o', "DELETE", NULL, NULL, VERSION, {"DeleteObject", s3_op_delete_object, 0}},
    {'o', "POST", "uploads", NULL, "", {"CreateMultipartUpload", s3_op_create_upload, 0}},
    {'o', "POST", "uploadId", NULL, "", {"CompleteMultipartUpload", s3_op_complete_upload, 0}},
    {'b', "PUT", NULL, NULL, "", {"CreateBucket", s3_op_create_bucket, S3_NO_BUCKET_YET}},
    {'b', "HEAD", NULL, NULL, "", {"HeadBucket", s3_op_head_bucket, 0}},
    {'b', "DELETE", NULL, NULL, "", {"DeleteBucket", s3_op_delete_bucket, 0}},
    {'b', "GET", "location", NULL, "", {"GetBucketLocation", s3_op_bucket_location, S3_ANY_REGION}},
    {'b', "GET", "versioning", NULL, "", {"GetBucketVersioning", s3_op_bucket_versioning, 0}},
    {'b',
     "GET",
     "uploads",
     NULL,
     "prefix delimiter encoding-type key-marker upload-id-marker max-uploads",
     {"ListMultipartUploads", s3_op_list_uploads, 0}},
    {'b',
     "GET",
     "list-type",
     NULL,
     LIST "continuation-token fetch-owner start-after",
     {"ListObjectsV2", s3_op_list_objects_v2, 0}},
    {'b', "GET", NULL, NULL, LIST "marker", {"ListObjects", s3_op_list_objects, 0}},
    {'b', "POST", "delete", NULL, "", {"DeleteObjects", s3_op_delete_objects, 0}},
    {'s',
     "GET",
     NULL,
     NULL,
     "prefix bucket-region continuation-token max-buckets",
     {"ListBuckets", s3_op_list_buckets, S3_NO_BUCKET_YET}},
};

static bool has(const s3_call *call, const char *what) {
    static const char mark[] = "header:";
    if (strncmp(what, mark, sizeof mark - 1) == 0)
        return s3_header(call, what + sizeof mark - 1).ptr != NULL;
    return s3_has_param(call, what);
}

/* What any request may say, since it names no sub-resource: "x-" of a client's own, x-id and
 * x-amz-* among them; what a read is to be headed with; the signature of version 2, which
 * authorise.c refuses where signatures are checked. */
static bool of_any(weir_str name) {
    static const char words[] =
        "response-content-type response-cache-control response-content-disposition "
        "response-content-encoding response-content-language response-expires "
        "AWSAccessKeyId Signature Expires";
    if (name.len >= 2 && (name.ptr[0] | 0x20) == 'x' && name.ptr[1] == '-') return true;
    return has_word(words, name);
}

/* The first parameter that the row does not know; ptr NULL: none. */
static weir_str unknown_to(const s3_call *call, const row *r) {
    for (uint32_t i = 0; i < call->query_count; i++) {
        weir_str name = call->query[i].name;
        if (of_any(name)) continue;
        if (r && ((r->has && str_eq_z(name, r->has)) || has_word(r->takes, name))) continue;
        return name;
    }
    return (weir_str){NULL, 0};
}

const s3_operation *s3_find_operation(s3_call *call) {
    char level = call->key.len ? 'o' : call->bucket_name.len ? 'b' : 's';
    const row *found = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !found; i++) {
        const row *r = &rows[i];
        if (r->level != level || !str_eq_z(call->r->method, r->method)) continue;
        if (r->has && !has(call, r->has)) continue;
        if (r->also && !has(call, r->also)) continue;
        found = r;
    }
    /* A parameter may name a sub-resource of whatever year: without knowing it nothing is done. */
    call->unknown = unknown_to(call, found);
    return found && !call->unknown.ptr ? &found->operation : NULL;
}

const char *s3_operation_name(uint32_t index) {
    return index < sizeof rows / sizeof rows[0] ? rows[index].operation.name : NULL;
}
