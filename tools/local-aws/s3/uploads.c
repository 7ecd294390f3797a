/*
 * ListParts and ListMultipartUploads.
 */
#include <inttypes.h>

#include "s3/call.h"

void s3_op_list_parts(s3_call *call) {
    weir_str id = s3_param(call, "uploadId");
    int64_t most, marker;
    size_t at = s3_upload_find(call->bucket, call->key, id);
    if (at == SIZE_MAX) {
        s3_detail(call, "UploadId", id);
        s3_fail(call, &S3_NO_SUCH_UPLOAD);
        return;
    }
    if (!s3_param_number(call, "max-parts", 0, INT32_MAX, S3_PAGE_MAX, &most) ||
        !s3_param_number(call, "part-number-marker", 0, INT32_MAX, 0, &marker))
        return;
    if (most > S3_PAGE_MAX) most = S3_PAGE_MAX;
    const s3_upload *u = call->bucket->uploads.items[at];
    buf *b = &call->xml;
    s3_xml_begin(b, "ListPartsResult");
    s3_xml_put(b, "Bucket", call->bucket->name);
    s3_xml_put(b, "Key", u->key);
    s3_xml_z(b, "UploadId", u->id);
    s3_xml_owner(call, "Initiator");
    s3_xml_owner(call, "Owner");
    s3_xml_z(b, "StorageClass", u->said.storage_class);
    if (u->algorithm != SUM_NONE) {
        s3_xml_z(b, "ChecksumAlgorithm", sum_name(u->algorithm));
        s3_xml_z(b, "ChecksumType", u->composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    s3_xml_u64(b, "PartNumberMarker", (uint64_t)marker);
    uint32_t first = 0, end;
    while (first < u->part_count && u->parts[first].number <= marker) first++;
    end = u->part_count - first > most ? first + (uint32_t)most : u->part_count;
    s3_xml_u64(b, "NextPartNumberMarker", end > first ? u->parts[end - 1].number : 0);
    s3_xml_u64(b, "MaxParts", (uint64_t)most);
    s3_xml_bool(b, "IsTruncated", end < u->part_count && most > 0);
    for (uint32_t i = first; i < end; i++) {
        const s3_part *p = &u->parts[i];
        s3_xml_open(b, "Part");
        s3_xml_u64(b, "PartNumber", p->number);
        s3_xml_time(b, "LastModified", p->modified_ms);
        s3_xml_etag(b, p->etag);
        s3_xml_u64(b, "Size", p->size);
        s3_xml_sum(b, &p->sum);
        s3_xml_close(b, "Part");
    }
    s3_xml_close(b, "ListPartsResult");
    s3_end_xml(call);
}

/* ---- ListMultipartUploads ---- */

typedef struct walk {
    s3_listing asked;
    weir_str key_marker, id_marker;
    int64_t given;
    bool truncated;
    buf prefixes;
    weir_str last_key, last_id; /* of what was given last; no id behind a rolled-up prefix */
} walk;

static void put_upload(s3_call *call, const walk *w, const s3_upload *u) {
    buf *b = &call->xml;
    s3_xml_open(b, "Upload");
    s3_xml_key(b, "Key", u->key, w->asked.url);
    s3_xml_z(b, "UploadId", u->id);
    s3_xml_owner(call, "Initiator");
    s3_xml_owner(call, "Owner");
    s3_xml_z(b, "StorageClass", u->said.storage_class);
    s3_xml_time(b, "Initiated", u->initiated_ms);
    if (u->algorithm != SUM_NONE) {
        s3_xml_z(b, "ChecksumAlgorithm", sum_name(u->algorithm));
        s3_xml_z(b, "ChecksumType", u->composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    s3_xml_close(b, "Upload");
}

/* Where to begin: behind the marked key, or within it behind the marked id. */
static size_t begin(const s3_call *call, const walk *w) {
    const sorted *all = &call->bucket->uploads;
    if (!w->key_marker.len) return 0;
    if (!w->id_marker.len) return sorted_behind(all, w->key_marker);
    size_t i = sorted_from(all, w->key_marker);
    for (; i < all->count; i++) {
        const s3_upload *u = all->items[i];
        if (!str_eq(u->key, w->key_marker) || str_cmp(str_of(u->id), w->id_marker) > 0) break;
    }
    return i;
}

static void run(s3_call *call, walk *w) {
    const sorted *all = &call->bucket->uploads;
    size_t i = begin(call, w);
    while (i < all->count) {
        const s3_upload *u = all->items[i];
        if (!str_starts(u->key, w->asked.prefix)) {
            i++;
            continue;
        }
        weir_str up = s3_listing_roll(&w->asked, u->key);
        bool seen = up.ptr && str_eq(up, w->key_marker);
        if (!seen && w->given == w->asked.most) {
            w->truncated = w->asked.most > 0;
            return;
        }
        if (!seen) {
            w->given++;
            w->last_key = up.ptr ? up : u->key;
            w->last_id = up.ptr ? STR("") : str_of(u->id);
        }
        if (!up.ptr) {
            put_upload(call, w, u);
            i++;
            continue;
        }
        if (!seen) {
            s3_listing_put(&w->asked, &w->prefixes, up);
        }
        i = sorted_behind_prefix(all, up);
    }
}

void s3_op_list_uploads(s3_call *call) {
    walk w = {.key_marker = s3_param(call, "key-marker"),
              .id_marker = s3_param(call, "upload-id-marker")};
    if (!s3_listing_read(call, "max-uploads", &w.asked)) return;
    buf_init(&w.prefixes, S3_XML_MAX);
    buf *b = &call->xml;
    s3_xml_begin(b, "ListMultipartUploadsResult");
    s3_xml_put(b, "Bucket", call->bucket->name);
    s3_xml_key(b, "KeyMarker", w.key_marker, w.asked.url);
    s3_xml_put(b, "UploadIdMarker", w.id_marker);
    s3_xml_key(b, "Prefix", w.asked.prefix, w.asked.url);
    if (w.asked.delimiter.len) s3_xml_key(b, "Delimiter", w.asked.delimiter, w.asked.url);
    s3_xml_u64(b, "MaxUploads", (uint64_t)w.asked.most);
    if (w.asked.url) s3_xml_z(b, "EncodingType", "url");
    run(call, &w);
    buf_append_str(b, buf_str(&w.prefixes));
    if (!buf_ok(&w.prefixes)) b->failed = true;
    buf_free(&w.prefixes);
    if (w.truncated) {
        s3_xml_key(b, "NextKeyMarker", w.last_key, w.asked.url);
        s3_xml_put(b, "NextUploadIdMarker", w.last_id);
    }
    s3_xml_bool(b, "IsTruncated", w.truncated);
    s3_xml_close(b, "ListMultipartUploadsResult");
    s3_end_xml(call);
}
