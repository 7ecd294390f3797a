/*
 * Uploads in parts: begun, filled, given up. complete.c ends them.
 */
#include "admin/faults.h"
#include "base/mem.h"
#include "s3/call.h"

static bool fail_type(s3_call *call, weir_str type, sum_algorithm a) {
    s3_fail_text(call, &S3_INVALID_REQUEST,
                 "The %.*s checksum type cannot be used with the %s checksum algorithm.",
                 STR_FMT(type), sum_name(a));
    return false;
}

/* x-amz-checksum-algorithm and -type of CreateMultipartUpload. */
static bool read_algorithm(s3_call *call, s3_upload *u) {
    weir_str name = s3_header(call, "x-amz-checksum-algorithm");
    weir_str type = s3_header(call, "x-amz-checksum-type");
    u->algorithm = name.ptr ? sum_named(name) : SUM_NONE;
    if (name.ptr && u->algorithm == SUM_NONE) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Checksum algorithm provided is unsupported. Please try again with any of the "
                     "valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
        return false;
    }
    u->composite = sum_can_be_composite(u->algorithm);
    if (!type.ptr) return true;
    if (!name.ptr) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "The x-amz-checksum-type header can only be used with the "
                     "x-amz-checksum-algorithm header.");
        return false;
    }
    if (str_eq_z(type, "COMPOSITE")) {
        u->composite = true;
        return sum_can_be_composite(u->algorithm) || fail_type(call, type, u->algorithm);
    }
    if (str_eq_z(type, "FULL_OBJECT")) {
        u->composite = false;
        return sum_can_be_full(u->algorithm) || fail_type(call, type, u->algorithm);
    }
    s3_fail_text(call, &S3_INVALID_REQUEST, "Value for x-amz-checksum-type header is invalid.");
    return false;
}

void s3_op_create_upload(s3_call *call) {
    s3_upload *u = s3_upload_new(call->s, call->key);
    if (!u) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    if (!read_algorithm(call, u) || !s3_said_read(call, &u->said)) {
        s3_upload_free(u);
        return;
    }
    sorted *all = &call->bucket->uploads;
    if (!sorted_insert(all, sorted_behind(all, u->key), u)) {
        s3_upload_free(u);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    if (u->algorithm != SUM_NONE) {
        exchange_header(call->x, "x-amz-checksum-algorithm", str_of(sum_name(u->algorithm)));
        exchange_header(call->x, "x-amz-checksum-type",
                        u->composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
    }
    s3_said_answer(call, &u->said);
    buf *b = &call->xml;
    s3_xml_begin(b, "InitiateMultipartUploadResult");
    s3_xml_put(b, "Bucket", call->bucket->name);
    s3_xml_put(b, "Key", u->key);
    s3_xml_z(b, "UploadId", u->id);
    s3_xml_close(b, "InitiateMultipartUploadResult");
    s3_end_xml(call);
}

/* ---- parts ---- */

static s3_upload *wanted(s3_call *call) {
    weir_str id = s3_param(call, "uploadId");
    size_t at = s3_upload_find(call->bucket, call->key, id);
    if (at != SIZE_MAX) return call->bucket->uploads.items[at];
    s3_detail(call, "UploadId", id);
    s3_fail(call, &S3_NO_SUCH_UPLOAD);
    return NULL;
}

static bool part_number(s3_call *call, uint32_t *out) {
    weir_str text = s3_param(call, "partNumber");
    int64_t n;
    if (str_to_i64(text, &n) && n >= 1 && n <= call->s->parts_max) {
        *out = (uint32_t)n;
        return true;
    }
    s3_fail_argument(call, "partNumber", text,
                     "Part number must be an integer between 1 and %u, inclusive",
                     call->s->parts_max);
    return false;
}

/* The part's own sum: of the upload's algorithm where it has one, else what the client stated. A
 * CRC64NVME is kept of each part of an upload without one, for the object's. */
static bool sum_of_part(s3_call *call, const s3_upload *u, const checksum *stated, s3_part *p) {
    if (u->algorithm != SUM_NONE && stated->algorithm != SUM_NONE &&
        u->algorithm != stated->algorithm) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum "
                     "Type: %s",
                     sum_name(u->algorithm), sum_name(stated->algorithm));
        return false;
    }
    if (stated->algorithm != SUM_NONE)
        p->sum = *stated;
    else if (u->algorithm != SUM_NONE)
        p->sum = sum_of(u->algorithm, &p->content);
    if (u->algorithm == SUM_NONE)
        p->crc = stated->algorithm == SUM_CRC64NVME ? *stated : sum_of(SUM_CRC64NVME, &p->content);
    return true;
}

static bool store(s3_call *call, s3_upload *u, s3_part *p) {
    p->size = p->content.size;
    p->modified_ms = s3_now(call->s);
    s3_etag(call->s, &u->said, &p->content, p->etag);
    if (s3_upload_store(u, p)) return true;
    s3_fail(call, &S3_INTERNAL_ERROR);
    return false;
}

void s3_op_upload_part(s3_call *call) {
    s3_part p = {0};
    checksum stated;
    s3_upload *u = wanted(call);
    if (!u || !part_number(call, &p.number) || !s3_customer_key_fits(call, &u->said, "x-amz-") ||
        !s3_body(call, &p.content, &stated))
        return;
    if (p.content.size > S3_PUT_BYTES_MAX) {
        s3_part_free(&p);
        s3_fail(call, &S3_TOO_LARGE);
        return;
    }
    if (!sum_of_part(call, u, &stated, &p)) {
        s3_part_free(&p);
        return;
    }
    if (!store(call, u, &p)) return;
    exchange_header_f(call->x, "etag", "\"%s\"", p.etag);
    s3_said_answer(call, &u->said);
    if (p.sum.algorithm != SUM_NONE) {
        char text[SUM_TEXT_MAX];
        sum_text(&p.sum, text);
        exchange_header(call->x, sum_header(p.sum.algorithm), str_of(text));
    }
    s3_end(call, 200);
}

/* x-amz-copy-source-range, whose two ends must be there and lie within the source. */
static bool read_range(s3_call *call, const s3_object *source, uint64_t *at, uint64_t *len) {
    weir_str range = s3_header(call, "x-amz-copy-source-range");
    *at = 0;
    *len = source->content.size;
    if (!range.ptr) return true;
    const char *dash = range.len ? memchr(range.ptr, '-', (size_t)range.len) : NULL;
    int64_t last;
    if (!dash || !s3_range_read(range, source->content.size, at, len) || dash[-1] == '=' ||
        !str_to_i64(str_make(dash + 1, (size_t)(range.ptr + range.len - dash) - 1), &last)) {
        s3_fail_argument(
            call, "x-amz-copy-source-range", range,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where "
            "first and last are the zero-based offsets of the first and last bytes to "
            "copy");
        return false;
    }
    if (*len && (uint64_t)last < source->content.size) return true;
    s3_fail_argument(call, "x-amz-copy-source-range", range,
                     "Range specified is not valid for source object of size: %llu",
                     (unsigned long long)source->content.size);
    return false;
}

void s3_op_upload_part_copy(s3_call *call) {
    s3_part p = {0};
    uint64_t at, len;
    s3_upload *u = wanted(call);
    if (!u || !part_number(call, &p.number) || !s3_customer_key_fits(call, &u->said, "x-amz-"))
        return;
    const s3_object *source = s3_copy_source(call);
    if (!source || !read_range(call, source, &at, &len)) return;
    if (!s3_content_share(&p.content, &source->content, at, len)) {
        s3_part_free(&p);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    sum_of_part(call, u, &(checksum){0}, &p);
    if (!store(call, u, &p)) return;
    s3_said_answer(call, &u->said);
    buf *b = &call->xml;
    s3_xml_begin(b, "CopyPartResult");
    s3_xml_etag(b, p.etag);
    s3_xml_time(b, "LastModified", p.modified_ms);
    s3_xml_sum(b, &p.sum);
    s3_xml_close(b, "CopyPartResult");
    s3_end_xml(call);
}

void s3_op_abort_upload(s3_call *call) {
    const s3_upload *u = wanted(call);
    if (!u) return;
    int64_t initiated;
    weir_str match = s3_header(call, "x-amz-if-match-initiated-time");
    if (match.ptr &&
        (!s3_time_read(match, &initiated) || initiated / 1000 != u->initiated_ms / 1000)) {
        s3_detail_z(call, "Condition", "x-amz-if-match-initiated-time");
        s3_fail(call, &S3_PRECONDITION);
        return;
    }
    /* Parts that are on their way while an upload is given up may land behind that: who wants to be
     * rid of them asks again. A fault rule has it so. */
    if (faults_number(call->x, "abort_lingers", 0) && u->part_count) {
        s3_end(call, 204);
        return;
    }
    s3_upload_drop(call->bucket,
                   s3_upload_find(call->bucket, call->key, s3_param(call, "uploadId")));
    s3_end(call, 204);
}
