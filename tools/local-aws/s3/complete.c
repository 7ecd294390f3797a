/*
 * CompleteMultipartUpload: the list of parts becomes an object.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"
#include "s3/call.h"
#include "xml.h"

/* One <Part> of the request. */
typedef struct listed {
    uint32_t number;
    char etag[S3_ETAG_TEXT];
    checksum sum;
} listed;

typedef struct list {
    listed *items;
    uint32_t count;
} list;

/* ---- the list ---- */

static bool read_number(weir_str text, uint32_t *out) {
    int64_t n;
    if (!str_to_i64(text, &n) || n < 1 || n > INT32_MAX) return false;
    *out = (uint32_t)n;
    return true;
}

static void read_etag(weir_str text, char out[S3_ETAG_TEXT]) {
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = str_make(text.ptr + 1, (size_t)text.len - 2);
    /* One that is too long is nobody's, which an empty one is too. */
    size_t n = text.len < S3_ETAG_TEXT ? (size_t)text.len : 0;
    if (n) memcpy(out, text.ptr, n);
    out[n] = 0;
}

static bool read_listed(weir_xml_reader *r, listed *out) {
    *out = (listed){0};
    bool etag = false;
    while (weir_xml_next_element(r) == WEIR_XML_OPEN) {
        char room[512];
        weir_str text, name = r->name;
        if (weir_xml_text(r, room, sizeof room, &text) != WEIR_OK) return false;
        if (str_eq_z(name, "PartNumber")) {
            if (!read_number(text, &out->number)) return false;
        } else if (str_eq_z(name, "ETag")) {
            read_etag(text, out->etag);
            etag = true;
        }
        for (sum_algorithm a = SUM_CRC32; a < SUM_ALGORITHMS; a++)
            if (str_eq_z(name, sum_element(a)) && !sum_read(a, text, &out->sum)) return false;
    }
    return r->event == WEIR_XML_CLOSE && etag && out->number;
}

static bool read_list(s3_call *call, weir_str text, list *l) {
    weir_xml_reader r;
    weir_xml_begin(&r, text);
    *l = (list){.items = s3_alloc(call, S3_PARTS_MAX * sizeof(listed))};
    bool ok = l->items && weir_xml_next_element(&r) == WEIR_XML_OPEN &&
              weir_xml_is(&r, "CompleteMultipartUpload");
    while (ok && weir_xml_next_element(&r) == WEIR_XML_OPEN)
        ok = weir_xml_is(&r, "Part") && l->count < S3_PARTS_MAX &&
             read_listed(&r, &l->items[l->count++]);
    if (ok && r.event == WEIR_XML_CLOSE && weir_xml_next_element(&r) == WEIR_XML_END && l->count)
        return true;
    s3_fail(call, &S3_MALFORMED_XML);
    return false;
}

/* The MD5 of the parts' MD5s, and how many there are. */
static void etag_of(const list *l, char out[S3_ETAG_TEXT]) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t digest[16] = {0};
    char text[33];
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1;
    for (uint32_t i = 0; ok && i < l->count; i++) {
        uint8_t bytes[16] = {0};
        for (size_t k = 0; k < 32 && l->items[i].etag[k]; k++) {
            char c = (char)(l->items[i].etag[k] | 0x20);
            int digit = c >= 'a' ? c - 'a' + 10 : c - '0';
            bytes[k / 2] = (uint8_t)(bytes[k / 2] << 4 | (digit & 15));
        }
        ok = EVP_DigestUpdate(ctx, bytes, sizeof bytes) == 1;
    }
    if (ok) EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    sum_hex(digest, sizeof digest, text);
    snprintf(out, S3_ETAG_TEXT, "%s-%u", text, l->count);
}

/* ---- the rules ---- */

static bool in_order(s3_call *call, const list *l) {
    for (uint32_t i = 1; i < l->count; i++) {
        if (l->items[i - 1].number < l->items[i].number) continue;
        s3_detail(call, "UploadId", s3_param(call, "uploadId"));
        s3_fail(call, &S3_INVALID_PART_ORDER);
        return false;
    }
    return true;
}

static bool fail_part(s3_call *call, const s3_error *e, const s3_upload *u, const listed *p) {
    s3_detail_z(call, "UploadId", u->id);
    s3_detail_u64(call, "PartNumber", p->number);
    s3_detail_z(call, "ETag", p->etag);
    s3_fail(call, e);
    return false;
}

/* The checksum that the list gives for a part, against what the part has. */
static bool sum_fits(s3_call *call, const s3_upload *u, const listed *p, const s3_part *there) {
    if (p->sum.algorithm == SUM_NONE) {
        if (!u->composite) return true;
        s3_fail_text(
            call, &S3_INVALID_REQUEST,
            "The upload was created using a %s checksum. The complete request must include "
            "the checksum for each part. It was missing for part %u in the request.",
            sum_name(u->algorithm), p->number);
        return false;
    }
    sum_algorithm of_upload = u->algorithm != SUM_NONE ? u->algorithm : there->sum.algorithm;
    if (of_upload != SUM_NONE && of_upload != p->sum.algorithm) {
        s3_fail_text(call, &S3_BAD_DIGEST,
                     "The %s you specified for part %u did not match what we received.",
                     sum_name(p->sum.algorithm), p->number);
        return false;
    }
    checksum found = there->sum.algorithm == p->sum.algorithm
                         ? there->sum
                         : sum_of(p->sum.algorithm, &there->content);
    if (sum_eq(&found, &p->sum)) return true;
    return fail_part(call, &S3_INVALID_PART, u, p);
}

static bool parts_fit(s3_call *call, const s3_upload *u, const list *l, uint64_t *size) {
    *size = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const listed *p = &l->items[i];
        const s3_part *there = s3_upload_part(u, p->number);
        if (!there || strcmp(there->etag, p->etag) != 0)
            return fail_part(call, &S3_INVALID_PART, u, p);
        if (!sum_fits(call, u, p, there)) return false;
        *size += there->size;
    }
    /* Only numbers without gaps tell which checksum of the parts belongs to which. */
    for (uint32_t i = 0; u->composite && i < l->count; i++) {
        if (l->items[i].number == i + 1) continue;
        s3_fail_text(call, &S3_INVALID_PART_ORDER,
                     "The list of parts was not consecutive, which checksums of parts require.");
        return false;
    }
    for (uint32_t i = 0; i + 1 < l->count; i++) {
        const s3_part *there = s3_upload_part(u, l->items[i].number);
        if (there->size >= call->s->part_min_bytes) continue;
        s3_detail_u64(call, "ProposedSize", there->size);
        s3_detail_u64(call, "MinSizeAllowed", call->s->part_min_bytes);
        return fail_part(call, &S3_TOO_SMALL, u, &l->items[i]);
    }
    return true;
}

/* The object's checksum: of the upload's algorithm, CRC64NVME where it has none. */
static checksum sum_of_object(s3_call *call, const s3_upload *u, const list *l) {
    size_t width = sum_size(u->algorithm);
    checksum whole = {0};
    if (u->composite) {
        uint8_t *digests = s3_alloc(call, l->count * width);
        if (!digests) return whole;
        for (uint32_t i = 0; i < l->count; i++)
            memcpy(digests + i * width, s3_upload_part(u, l->items[i].number)->sum.bytes, width);
        return sum_composite(u->algorithm, digests, l->count);
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const s3_part *there = s3_upload_part(u, l->items[i].number);
        const checksum *own = u->algorithm != SUM_NONE ? &there->sum : &there->crc;
        if (i == 0)
            whole = *own;
        else
            sum_join(&whole, own, there->size);
    }
    return whole;
}

/* What the request's headers say of the object. `stated` was read before the body was. */
static bool headers_fit(s3_call *call, const s3_upload *u, const checksum *stated,
                        const checksum *found, uint64_t size) {
    weir_str type = s3_header(call, "x-amz-checksum-type");
    weir_str expected = s3_header(call, "x-amz-mp-object-size");
    int64_t bytes;
    if (type.ptr && !str_eq_z(type, found->composite ? "COMPOSITE" : "FULL_OBJECT")) {
        s3_fail_text(call, &S3_BAD_DIGEST,
                     "The upload was created using the %s checksum mode. The complete request must "
                     "use the same checksum mode.",
                     found->composite ? "COMPOSITE" : "FULL_OBJECT");
        return false;
    }
    if (expected.ptr && (!str_to_i64(expected, &bytes) || (uint64_t)bytes != size)) {
        s3_fail_text(
            call, &S3_INVALID_REQUEST,
            "The provided 'x-amz-mp-object-size' header does not match what was computed.");
        return false;
    }
    (void)u;
    if (stated->algorithm == SUM_NONE || sum_eq(stated, found)) return true;
    s3_fail_text(call, &S3_BAD_DIGEST,
                 "The %s you specified did not match the calculated checksum.",
                 sum_name(stated->algorithm));
    return false;
}

/* ---- the object ---- */

static s3_object *object_of(s3_call *call, s3_upload *u, const list *l) {
    s3_object *o = s3_object_new(call->key, s3_now(call->s));
    if (!o) return NULL;
    o->parts = mem_array(l->count, sizeof *o->parts);
    bool ok = o->parts && s3_said_copy(&o->said, &u->said);
    for (uint32_t i = 0; ok && i < l->count; i++) {
        const s3_part *there = s3_upload_part(u, l->items[i].number);
        ok = s3_content_share(&o->content, &there->content, 0, there->size);
        o->parts[i] = *there;
        o->parts[i].content = (s3_content){0};
        o->part_count++;
    }
    if (ok) return o;
    s3_object_free(o);
    return NULL;
}

static void end(s3_call *call, const char *etag, const s3_object *o) {
    buf *b = &call->xml;
    s3_xml_begin(b, "CompleteMultipartUploadResult");
    s3_xml_open(b, "Location");
    buf_printf(b, "%s://%.*s/%.*s/", call->r->tls ? "https" : "http", STR_FMT(call->r->host),
               STR_FMT(call->bucket->name));
    for (size_t i = 0; i < call->key.len; i++) {
        unsigned char c = (unsigned char)call->key.ptr[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c) != NULL;
        buf_printf(b, plain && c ? "%c" : "%%%02X", c);
    }
    s3_xml_close(b, "Location");
    s3_xml_put(b, "Bucket", call->bucket->name);
    s3_xml_put(b, "Key", call->key);
    s3_xml_etag(b, etag);
    if (o) {
        s3_said_answer(call, &o->said);
        s3_xml_sum(b, &o->sum);
        s3_xml_z(b, "ChecksumType", o->sum.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    s3_xml_close(b, "CompleteMultipartUploadResult");
    s3_end_xml(call);
}

/* An upload that is not there: done already with this very list, or never heard of. */
static void end_again(s3_call *call, const list *l) {
    weir_str id = s3_param(call, "uploadId");
    const char *etag = s3_completed_get(call->s, id);
    char again[S3_ETAG_TEXT];
    etag_of(l, again);
    const s3_object *o = s3_object_get(call->bucket, call->key);
    /* What is not there under this key was completed under another one, or has been replaced. */
    if (etag && strcmp(etag, again) == 0 && o && strcmp(o->etag, etag) == 0) {
        end(call, etag, o);
        return;
    }
    s3_detail(call, "UploadId", id);
    s3_fail(call, &S3_NO_SUCH_UPLOAD);
}

void s3_op_complete_upload(s3_call *call) {
    weir_str text;
    list l;
    checksum stated;
    uint64_t size;
    /* The checksum in the headers is the object's, not that of this request's body. */
    if (!s3_stated_sum(call, &stated) || !s3_body_text(call, false, &text) ||
        !read_list(call, text, &l) || !in_order(call, &l))
        return;
    size_t at = s3_upload_find(call->bucket, call->key, s3_param(call, "uploadId"));
    if (at == SIZE_MAX) {
        end_again(call, &l);
        return;
    }
    s3_upload *u = call->bucket->uploads.items[at];
    if (!parts_fit(call, u, &l, &size)) return;
    checksum sum = sum_of_object(call, u, &l);
    if (!headers_fit(call, u, &stated, &sum, size) || !s3_write_conditions(call)) return;
    s3_object *o = object_of(call, u, &l);
    if (!o || sum.algorithm == SUM_NONE) {
        s3_object_free(o);
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    o->sum = sum;
    etag_of(&l, o->etag);
    if (!s3_object_store(call->bucket, o)) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    s3_completed_add(call->s, u->id, o->etag);
    s3_upload_drop(call->bucket, at);
    end(call, o->etag, o);
}
