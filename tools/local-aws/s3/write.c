/*
 * PutObject, DeleteObject, DeleteObjects.
 */
#include "s3/call.h"
#include "xml.h"

s3_object *s3_object_wanted(s3_call *call) {
    s3_object *o = s3_object_get(call->bucket, call->key);
    if (o) return o;
    s3_detail(call, "Key", call->key);
    s3_fail(call, &S3_NO_SUCH_KEY);
    return NULL;
}

void s3_op_put_object(s3_call *call) {
    if (call->r->body.len > S3_PUT_BYTES_MAX) {
        s3_detail_u64(call, "ProposedSize", call->r->body.len);
        s3_detail_u64(call, "MaxSizeAllowed", S3_PUT_BYTES_MAX);
        s3_fail(call, &S3_TOO_LARGE);
        return;
    }
    if (!s3_write_conditions(call)) return;
    s3_object *o = s3_object_new(call->key, s3_now(call->s));
    if (!o) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    checksum sum;
    if (!s3_said_read(call, &o->said) || !s3_body(call, &o->content, &sum)) {
        s3_object_free(o);
        return;
    }
    o->sum = sum.algorithm != SUM_NONE ? sum : sum_of(SUM_CRC64NVME, &o->content);
    s3_etag(call->s, &o->said, &o->content, o->etag);
    if (!s3_object_store(call->bucket, o)) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    exchange_header_f(call->x, "etag", "\"%s\"", o->etag);
    s3_said_answer(call, &o->said);
    s3_sum_answer(call, &o->sum);
    s3_end(call, 200);
}

static bool drop(s3_bucket *b, weir_str key) {
    size_t at = sorted_from(&b->objects, key);
    const s3_object *o = at < b->objects.count ? b->objects.items[at] : NULL;
    if (!o || !str_eq(o->key, key)) return false;
    s3_object_free(sorted_remove(&b->objects, at));
    return true;
}

void s3_op_delete_object(s3_call *call) {
    if (!s3_delete_conditions(call, s3_object_get(call->bucket, call->key))) return;
    drop(call->bucket, call->key);
    s3_end(call, 204);
}

/* ---- DeleteObjects ---- */

typedef struct wanted {
    weir_str key, version, etag;
} wanted;

typedef struct deletion {
    wanted items[S3_DELETE_MAX];
    uint32_t count;
    bool quiet;
} deletion;

static bool read_text(s3_call *call, weir_xml_reader *r, weir_str *out) {
    size_t left = (size_t)(r->end - r->at), room = left < 8192 ? left : 8192;
    char *text = s3_alloc(call, room + 1);
    return text && weir_xml_text(r, text, room, out) == WEIR_OK;
}

static bool read_wanted(s3_call *call, weir_xml_reader *r, wanted *out) {
    *out = (wanted){0};
    while (weir_xml_next_element(r) == WEIR_XML_OPEN) {
        weir_str *to = weir_xml_is(r, "Key")         ? &out->key
                       : weir_xml_is(r, "VersionId") ? &out->version
                       : weir_xml_is(r, "ETag")      ? &out->etag
                                                     : NULL;
        if (to ? !read_text(call, r, to) : !weir_xml_skip(r)) return false;
    }
    return r->event == WEIR_XML_CLOSE && out->key.len > 0;
}

static bool read_deletion(s3_call *call, weir_str text, deletion *d) {
    weir_xml_reader r;
    weir_xml_begin(&r, text);
    d->count = 0;
    d->quiet = false;
    if (weir_xml_next_element(&r) != WEIR_XML_OPEN || !weir_xml_is(&r, "Delete")) return false;
    while (weir_xml_next_element(&r) == WEIR_XML_OPEN) {
        weir_str quiet;
        if (weir_xml_is(&r, "Quiet")) {
            if (!read_text(call, &r, &quiet)) return false;
            d->quiet = str_eq_z(quiet, "true");
        } else if (!weir_xml_is(&r, "Object") || d->count == S3_DELETE_MAX ||
                   !read_wanted(call, &r, &d->items[d->count++])) {
            return false;
        }
    }
    return r.event == WEIR_XML_CLOSE && weir_xml_next_element(&r) == WEIR_XML_END && d->count > 0;
}

static void put_error(buf *b, const wanted *w, const char *code, const char *message) {
    s3_xml_open(b, "Error");
    s3_xml_put(b, "Key", w->key);
    if (w->version.len) s3_xml_put(b, "VersionId", w->version);
    s3_xml_z(b, "Code", code);
    s3_xml_z(b, "Message", message);
    s3_xml_close(b, "Error");
}

static void delete_one(s3_call *call, const wanted *w, bool quiet) {
    buf *b = &call->xml;
    if (w->version.len && !str_eq_z(w->version, "null")) {
        put_error(b, w, "NoSuchVersion", "The specified version does not exist.");
        return;
    }
    const s3_object *o = s3_object_get(call->bucket, w->key);
    weir_str etag = w->etag;
    if (etag.len >= 2 && etag.ptr[0] == '"') etag = str_make(etag.ptr + 1, (size_t)etag.len - 2);
    if (etag.len && !o) {
        put_error(b, w, S3_NO_SUCH_KEY.code, S3_NO_SUCH_KEY.message);
        return;
    }
    if (etag.len && !str_eq_z(etag, o->etag) && !str_eq_z(etag, "*")) {
        put_error(b, w, S3_PRECONDITION.code, S3_PRECONDITION.message);
        return;
    }
    drop(call->bucket, w->key);
    if (quiet) return;
    s3_xml_open(b, "Deleted");
    s3_xml_put(b, "Key", w->key);
    if (w->version.len) s3_xml_put(b, "VersionId", w->version);
    s3_xml_close(b, "Deleted");
}

void s3_op_delete_objects(s3_call *call) {
    weir_str text;
    deletion *d = s3_alloc(call, sizeof *d);
    if (!d) {
        s3_fail(call, &S3_INTERNAL_ERROR);
        return;
    }
    if (!s3_body_text(call, true, &text)) return;
    if (!read_deletion(call, text, d)) {
        s3_fail(call, &S3_MALFORMED_XML);
        return;
    }
    s3_xml_begin(&call->xml, "DeleteResult");
    for (uint32_t i = 0; i < d->count; i++) delete_one(call, &d->items[i], d->quiet);
    s3_xml_close(&call->xml, "DeleteResult");
    s3_end_xml(call);
}
