/*
 * Buckets: made, looked at, listed, dropped.
 */
#include <stdio.h>

#include "s3/call.h"
#include "weir/json.h"
#include "xml.h"

/* The LocationConstraint of the body; empty if there is none. False: MalformedXML. */
static bool read_location(s3_call *call, weir_str text, weir_str *out) {
    *out = STR("");
    if (!text.len) return true;
    weir_xml_reader r;
    weir_xml_begin(&r, text);
    char *room = s3_alloc(call, S3_REGION_TEXT);
    bool ok = room && weir_xml_next_element(&r) == WEIR_XML_OPEN &&
              weir_xml_is(&r, "CreateBucketConfiguration");
    while (ok && weir_xml_next_element(&r) == WEIR_XML_OPEN) {
        if (weir_xml_is(&r, "LocationConstraint"))
            ok = weir_xml_text(&r, room, S3_REGION_TEXT, out) == WEIR_OK &&
                 out->len < S3_REGION_TEXT;
        else
            ok = weir_xml_skip(&r);
    }
    if (ok && r.event == WEIR_XML_CLOSE && weir_xml_next_element(&r) == WEIR_XML_END) return true;
    s3_fail(call, &S3_MALFORMED_XML);
    return false;
}

/* The endpoint of us-east-1 makes buckets anywhere, those of other regions in their own only.
 * False: answered. */
static bool choose_region(s3_call *call, weir_str constraint, weir_str *out) {
    weir_str here = call->who.region;
    if (!here.len || !local_settings(call->s->home)->verify)
        here = constraint.len ? constraint : str_of(local_settings(call->s->home)->region);
    *out = constraint.len ? constraint : here;
    if (str_eq_z(constraint, "us-east-1") && !str_eq_z(here, "us-east-1")) {
        s3_detail(call, "LocationConstraint", constraint);
        s3_fail(call, &S3_INVALID_LOCATION);
        return false;
    }
    if (str_eq_z(constraint, "EU")) *out = STR("eu-west-1");
    if (str_eq(*out, here) && (constraint.len || str_eq_z(here, "us-east-1"))) return true;
    if (str_eq_z(here, "us-east-1")) return true;
    /* Whoever signs for the endpoint's own region need not name it, even if that is another one. */
    if (!constraint.len && str_eq_z(here, local_settings(call->s->home)->region)) return true;
    s3_fail_text(
        call, &S3_LOCATION_CONSTRAINT,
        "The %.*s location constraint is incompatible for the region specific endpoint this "
        "request was sent to.",
        STR_FMT(constraint.len ? constraint : STR("unspecified")));
    return false;
}

static void end_created(s3_call *call) {
    exchange_header_f(call->x, "location", "/%.*s", STR_FMT(call->bucket_name));
    s3_end(call, 200);
}

void s3_op_create_bucket(s3_call *call) {
    weir_str text, constraint, chosen;
    if (!s3_body_text(call, false, &text)) return;
    if (!s3_bucket_name_ok(call->bucket_name)) {
        s3_detail(call, "BucketName", call->bucket_name);
        s3_fail(call, &S3_INVALID_BUCKET_NAME);
        return;
    }
    if (!read_location(call, text, &constraint)) return;
    if (call->bucket) {
        /* us-east-1 says yes to whoever has the bucket already; other regions refuse. */
        if (str_eq_z(str_of(call->bucket->region), "us-east-1")) {
            end_created(call);
            return;
        }
        s3_detail(call, "BucketName", call->bucket_name);
        s3_fail(call, &S3_BUCKET_OWNED);
        return;
    }
    if (!s3_acl_allowed(call, &S3_INVALID_BUCKET_ACL)) return;
    if (!choose_region(call, constraint, &chosen)) return;
    s3_bucket *b = s3_bucket_new(call->bucket_name, chosen, s3_now(call->s));
    sorted *all = &call->s->buckets;
    if (!b || !sorted_insert(all, sorted_from(all, call->bucket_name), b)) {
        s3_bucket_free(b);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    end_created(call);
}

void s3_op_head_bucket(s3_call *call) {
    exchange_header(call->x, "x-amz-bucket-region", str_of(call->bucket->region));
    exchange_header(call->x, "x-amz-access-point-alias", STR("false"));
    exchange_header(call->x, "content-type", STR("application/xml"));
    s3_end(call, 200);
}

void s3_op_delete_bucket(s3_call *call) {
    s3_bucket *b = call->bucket;
    if (b->objects.count) {
        s3_detail(call, "BucketName", b->name);
        s3_fail(call, &S3_BUCKET_NOT_EMPTY);
        return;
    }
    sorted *all = &call->s->buckets;
    sorted_remove(all, sorted_from(all, b->name));
    call->bucket = NULL;
    s3_bucket_free(b);
    s3_end(call, 204);
}

void s3_op_bucket_location(s3_call *call) {
    const char *region = call->bucket->region;
    buf *b = &call->xml;
    s3_xml_begin(b, "LocationConstraint");
    if (strcmp(region, "us-east-1") != 0) buf_append_z(b, region);
    s3_xml_close(b, "LocationConstraint");
    s3_end_xml(call);
}

void s3_op_bucket_versioning(s3_call *call) {
    s3_xml_begin(&call->xml, "VersioningConfiguration");
    s3_xml_close(&call->xml, "VersioningConfiguration");
    s3_end_xml(call);
}

/* ---- ListBuckets ---- */

static bool bad_token(s3_call *call, weir_str token) {
    s3_fail_argument(call, "continuation-token", token,
                     "The continuation token provided is incorrect");
    return false;
}

/* The name that the page before ended with. */
static bool read_token(s3_call *call, weir_str *out) {
    weir_str token = s3_param(call, "continuation-token");
    *out = STR("");
    if (!token.len) return token.ptr == NULL || bad_token(call, token);
    char *name = s3_alloc(call, (size_t)token.len);
    uint64_t n = name ? weir_base64_decode(token, name) : UINT64_MAX;
    if (n == UINT64_MAX || !s3_bucket_name_ok(str_make(name, (size_t)n)))
        return bad_token(call, token);
    *out = str_make(name, (size_t)n);
    return true;
}

void s3_op_list_buckets(s3_call *call) {
    int64_t most;
    weir_str after, prefix = s3_param(call, "prefix"), region = s3_param(call, "bucket-region");
    if (!s3_param_number(call, "max-buckets", 1, S3_BUCKETS_PAGE_MAX, S3_BUCKETS_PAGE_MAX, &most) ||
        !read_token(call, &after))
        return;
    const sorted *all = &call->s->buckets;
    buf *b = &call->xml;
    s3_xml_begin(b, "ListAllMyBucketsResult");
    s3_xml_owner(call, "Owner");
    s3_xml_open(b, "Buckets");
    int64_t given = 0;
    const s3_bucket *last = NULL;
    bool more = false;
    for (size_t i = sorted_behind(all, after); i < all->count && !more; i++) {
        const s3_bucket *one = all->items[i];
        if (!str_starts(one->name, prefix)) continue;
        if (region.len && !str_eq_z(region, one->region)) continue;
        more = given == most;
        if (more) break;
        s3_xml_open(b, "Bucket");
        s3_xml_put(b, "Name", one->name);
        s3_xml_time(b, "CreationDate", one->created_ms);
        s3_xml_z(b, "BucketRegion", one->region);
        s3_xml_close(b, "Bucket");
        last = one;
        given++;
    }
    s3_xml_close(b, "Buckets");
    if (prefix.ptr) s3_xml_put(b, "Prefix", prefix);
    if (more && last) {
        char token[128];
        size_t n = (size_t)weir_base64_encode(last->name, token);
        s3_xml_put(b, "ContinuationToken", str_make(token, n));
    }
    s3_xml_close(b, "ListAllMyBucketsResult");
    s3_end_xml(call);
}
