/*
 * GetObject, HeadObject, GetObjectAttributes.
 */
#include <inttypes.h>

#include "admin/faults.h"
#include "aws/text.h"
#include "s3/call.h"

/* ---- ranges ---- */

/* Digits, and nothing else; what is more than any object has is INT64_MAX. */
static bool read_offset(weir_str text, int64_t *out) {
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c < '0' || c > '9') return false;
        n = n > (INT64_MAX - 9) / 10 ? INT64_MAX : n * 10 + (c - '0');
    }
    *out = n;
    return text.len > 0;
}

bool s3_range_read(weir_str text, uint64_t size, uint64_t *at, uint64_t *len) {
    if (!str_starts(text, STR("bytes="))) return false;
    text = str_make(text.ptr + 6, (size_t)text.len - 6);
    const char *dash = text.len ? memchr(text.ptr, '-', (size_t)text.len) : NULL;
    if (!dash) return false;
    weir_str low = str_make(text.ptr, (size_t)(dash - text.ptr));
    weir_str high = str_make(dash + 1, (size_t)text.len - (size_t)low.len - 1);
    int64_t a = 0, b = INT64_MAX;
    if (low.len && !read_offset(low, &a)) return false;
    if (high.len && !read_offset(high, &b)) return false;
    if (!low.len && !high.len) return false;
    *at = *len = 0;
    if (!low.len) { /* the last b bytes */
        *len = (uint64_t)b < size ? (uint64_t)b : size;
        *at = size - *len;
        return true;
    }
    if (b < a) return false;
    *at = (uint64_t)a;
    if (*at >= size) return true;
    uint64_t end = (uint64_t)b >= size ? size : (uint64_t)b + 1;
    *len = end - *at;
    return true;
}

typedef struct piece {
    uint64_t at, len;
    bool partial;
    const s3_part *part; /* of partNumber, in an object of parts */
} piece;

static bool piece_of_part(s3_call *call, const s3_object *o, piece *out) {
    int64_t number;
    if (!s3_param_number(call, "partNumber", 1, S3_PARTS_MAX, 1, &number)) return false;
    out->partial = true;
    if (!o->parts && number == 1) return true; /* the whole is the one part */
    uint64_t at = 0;
    for (uint32_t i = 0; o->parts && i < o->part_count; i++) {
        /* Parts count from 1 here, whatever numbers they were uploaded with. */
        if (i + 1 == (uint32_t)number) {
            out->part = &o->parts[i];
            out->at = at;
            out->len = o->parts[i].size;
            return true;
        }
        at += o->parts[i].size;
    }
    s3_detail_u64(call, "PartNumberRequested", (uint64_t)number);
    s3_detail_u64(call, "ActualPartCount", o->parts ? o->part_count : 1);
    s3_fail(call, &S3_INVALID_PART_NUMBER);
    return false;
}

/* What of the object is asked for. A range that cannot be read is passed over, as RFC 9110 has it.
 */
static bool choose(s3_call *call, const s3_object *o, piece *out) {
    *out = (piece){.len = o->content.size};
    weir_str range = s3_header(call, "range");
    if (s3_has_param(call, "partNumber")) {
        if (!range.ptr) return piece_of_part(call, o, out);
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Cannot specify both Range header and partNumber query parameter");
        return false;
    }
    uint64_t at, len;
    if (!range.ptr || !s3_range_read(range, o->content.size, &at, &len)) return true;
    if (len == 0) {
        s3_detail(call, "RangeRequested", range);
        s3_detail_u64(call, "ActualObjectSize", o->content.size);
        s3_fail(call, &S3_INVALID_RANGE);
        return false;
    }
    *out = (piece){.at = at, .len = len, .partial = true};
    return true;
}

/* ---- reading ---- */

static void put_headers(s3_call *call, const s3_object *o, const piece *p) {
    exchange *x = call->x;
    char text[S3_TIME_TEXT];
    s3_time_http(o->modified_ms, text);
    exchange_header(x, "last-modified", str_of(text));
    exchange_header_f(x, "etag", "\"%s\"", o->etag);
    exchange_header(x, "accept-ranges", STR("bytes"));
    if (p->partial && p->len)
        exchange_header_f(x, "content-range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, p->at,
                          p->at + p->len - 1, o->content.size);
    if (s3_has_param(call, "partNumber") && o->parts)
        exchange_header_f(x, "x-amz-mp-parts-count", "%u", o->part_count);
    s3_said_answer_read(call, &o->said);
    if (!str_eq_z(s3_header(call, "x-amz-checksum-mode"), "ENABLED")) return;
    /* Of a piece none is known, unless it is a part that has its own. */
    if (p->part && o->sum.composite)
        s3_sum_answer(call, &p->part->sum);
    else if (p->len == o->content.size)
        s3_sum_answer(call, &o->sum);
}

/* The object as far as it may be read; NULL if answered. */
static const s3_object *readable(s3_call *call, piece *p) {
    const s3_object *o = s3_object_wanted(call);
    if (!o || !s3_customer_key_fits(call, &o->said, "x-amz-") || !s3_read_conditions(call, o, "") ||
        !choose(call, o, p))
        return NULL;
    return o;
}

/* The bytes; with one bit wrong where a fault rule says so, which a checksum finds. */
static void put_bytes(s3_call *call, const s3_object *o, const piece *p) {
    int64_t wrong = faults_number(call->x, "flip_at", -1);
    if (wrong < 0 || (uint64_t)wrong >= p->len) {
        s3_content_send(&o->content, p->at, p->len, call->x);
        return;
    }
    uint64_t at = p->at + (uint64_t)wrong;
    s3_content_send(&o->content, p->at, (uint64_t)wrong, call->x);
    char byte = (char)(s3_content_byte(&o->content, at) ^ 1);
    exchange_copy(call->x, &byte, 1);
    s3_content_send(&o->content, at + 1, p->len - (uint64_t)wrong - 1, call->x);
}

void s3_op_get_object(s3_call *call) {
    piece p;
    const s3_object *o = readable(call, &p);
    if (!o) return;
    if (strcmp(o->said.storage_class, "GLACIER") == 0 ||
        strcmp(o->said.storage_class, "DEEP_ARCHIVE") == 0) {
        s3_detail_z(call, "StorageClass", o->said.storage_class);
        s3_fail(call, &S3_INVALID_STATE);
        return;
    }
    put_headers(call, o, &p);
    put_bytes(call, o, &p);
    s3_end(call, p.partial ? 206 : 200);
}

void s3_op_head_object(s3_call *call) {
    piece p;
    const s3_object *o = readable(call, &p);
    if (!o) return;
    put_headers(call, o, &p);
    exchange_header(call->x, "x-amz-request-id", str_of(call->request_id));
    exchange_header(call->x, "x-amz-id-2", str_of(call->host_id));
    exchange_status(call->x, p.partial ? 206 : 200);
    exchange_send_head(call->x, p.len);
}

/* ---- attributes ---- */

static void put_parts(s3_call *call, const s3_object *o, int64_t most, int64_t marker) {
    buf *b = &call->xml;
    s3_xml_open(b, "ObjectParts");
    s3_xml_u64(b, "PartsCount", o->part_count);
    /* Single parts are told of composite checksums only: of the others none were kept. */
    if (o->sum.composite) {
        uint32_t i = marker < o->part_count ? (uint32_t)marker : o->part_count;
        uint32_t end = o->part_count - i > most ? i + (uint32_t)most : o->part_count;
        s3_xml_u64(b, "PartNumberMarker", (uint64_t)marker);
        s3_xml_u64(b, "NextPartNumberMarker", end);
        s3_xml_u64(b, "MaxParts", (uint64_t)most);
        s3_xml_bool(b, "IsTruncated", end < o->part_count);
        for (; i < end; i++) {
            s3_xml_open(b, "Part");
            s3_xml_u64(b, "PartNumber", i + 1);
            s3_xml_u64(b, "Size", o->parts[i].size);
            s3_xml_sum(b, &o->parts[i].sum);
            s3_xml_close(b, "Part");
        }
    }
    s3_xml_close(b, "ObjectParts");
}

/* A number of a header; false: answered. */
static bool header_number(s3_call *call, const char *name, int64_t otherwise, int64_t *out) {
    weir_str v = s3_header(call, name);
    *out = otherwise;
    if (!v.ptr || (str_to_i64(v, out) && *out >= 0 && *out <= S3_PARTS_MAX)) return true;
    s3_fail_argument(call, name, v, "Argument must be an integer between 0 and %u", S3_PARTS_MAX);
    return false;
}

static bool asks(weir_str list, const char *what) {
    while (list.len)
        if (str_eq_z(aws_trim(aws_until(&list, ',')), what)) return true;
    return false;
}

void s3_op_get_attributes(s3_call *call) {
    weir_str what = s3_header(call, "x-amz-object-attributes");
    int64_t most, marker;
    const s3_object *o = s3_object_wanted(call);
    if (!o || !s3_customer_key_fits(call, &o->said, "x-amz-") ||
        !header_number(call, "x-amz-max-parts", S3_PAGE_MAX, &most) ||
        !header_number(call, "x-amz-part-number-marker", 0, &marker))
        return;
    if (!what.len) {
        s3_fail_argument(call, "x-amz-object-attributes", STR(""),
                         "The x-amz-object-attributes header specifying the attributes to be "
                         "retrieved is either missing or empty");
        return;
    }
    char text[S3_TIME_TEXT];
    s3_time_http(o->modified_ms, text);
    exchange_header(call->x, "last-modified", str_of(text));
    buf *b = &call->xml;
    s3_xml_begin(b, "GetObjectAttributesResponse");
    if (asks(what, "ETag")) s3_xml_z(b, "ETag", o->etag); /* without quotes here */
    if (asks(what, "Checksum")) {
        s3_xml_open(b, "Checksum");
        s3_xml_sum(b, &o->sum);
        s3_xml_z(b, "ChecksumType", o->sum.composite ? "COMPOSITE" : "FULL_OBJECT");
        s3_xml_close(b, "Checksum");
    }
    if (asks(what, "ObjectParts") && o->parts) put_parts(call, o, most, marker);
    if (asks(what, "StorageClass")) s3_xml_z(b, "StorageClass", o->said.storage_class);
    if (asks(what, "ObjectSize")) s3_xml_u64(b, "ObjectSize", o->content.size);
    s3_xml_close(b, "GetObjectAttributesResponse");
    s3_end_xml(call);
}
