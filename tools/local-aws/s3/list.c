/*
 * ListObjects, old and new: a walk over the keys in the order of their bytes, with what lies behind
 * a delimiter rolled up.
 */
#include <inttypes.h>

#include "s3/call.h"
#include "weir/json.h"

typedef struct walk {
    s3_listing asked;
    weir_str after; /* begin behind this key or this rolled-up prefix */
    bool owner;
    /* found */
    buf contents, prefixes; /* XML */
    int64_t given;
    bool truncated;
    weir_str last; /* key or prefix that was given last */
} walk;

/* ---- what both listings have in common ---- */

bool s3_listing_read(s3_call *call, const char *most, s3_listing *out) {
    weir_str encoding = s3_param(call, "encoding-type");
    out->prefix = s3_param(call, "prefix");
    out->delimiter = s3_param(call, "delimiter");
    if (encoding.len && !str_eq_z(encoding, "url")) {
        s3_fail_argument(call, "encoding-type", encoding,
                         "Invalid Encoding Method specified in Request");
        return false;
    }
    out->url = encoding.len > 0;
    if (!s3_param_number(call, most, 0, INT32_MAX, S3_PAGE_MAX, &out->most)) return false;
    if (out->most > S3_PAGE_MAX) out->most = S3_PAGE_MAX;
    return true;
}

weir_str s3_listing_roll(const s3_listing *l, weir_str key) {
    if (!l->delimiter.len || key.len <= l->prefix.len) return (weir_str){NULL, 0};
    const char *at = memmem(key.ptr + l->prefix.len, (size_t)(key.len - l->prefix.len),
                            l->delimiter.ptr, (size_t)l->delimiter.len);
    if (!at) return (weir_str){NULL, 0};
    return str_make(key.ptr, (size_t)(at - key.ptr) + (size_t)l->delimiter.len);
}

void s3_listing_put(const s3_listing *l, buf *b, weir_str prefix) {
    s3_xml_open(b, "CommonPrefixes");
    s3_xml_key(b, "Prefix", prefix, l->url);
    s3_xml_close(b, "CommonPrefixes");
}

/* ---- the walk ---- */

static void put_object(s3_call *call, walk *w, const s3_object *o) {
    buf *b = &w->contents;
    s3_xml_open(b, "Contents");
    s3_xml_key(b, "Key", o->key, w->asked.url);
    s3_xml_time(b, "LastModified", o->modified_ms);
    s3_xml_etag(b, o->etag);
    if (o->sum.algorithm != SUM_NONE) {
        s3_xml_z(b, "ChecksumAlgorithm", sum_name(o->sum.algorithm));
        s3_xml_z(b, "ChecksumType", o->sum.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    s3_xml_u64(b, "Size", o->content.size);
    s3_xml_z(b, "StorageClass", o->said.storage_class);
    if (w->owner) {
        s3_xml_open(b, "Owner");
        s3_xml_z(b, "ID", local_settings(call->s->home)->account);
        s3_xml_close(b, "Owner");
    }
    s3_xml_close(b, "Contents");
}

static void run(s3_call *call, walk *w) {
    const sorted *all = &call->bucket->objects;
    size_t i = str_cmp(w->after, w->asked.prefix) < 0 ? sorted_from(all, w->asked.prefix)
                                                      : sorted_behind(all, w->after);
    if (!w->after.len) i = sorted_from(all, w->asked.prefix);
    buf_init(&w->contents, S3_XML_MAX);
    buf_init(&w->prefixes, S3_XML_MAX);
    while (i < all->count) {
        const s3_object *o = all->items[i];
        if (!str_starts(o->key, w->asked.prefix)) break;
        weir_str up = s3_listing_roll(&w->asked, o->key);
        /* A page that ended with a rolled-up prefix goes on behind all that it stands for. */
        bool seen = up.ptr && str_eq(up, w->after);
        if (!seen && w->given == w->asked.most) {
            w->truncated = w->asked.most > 0;
            break;
        }
        if (!seen) {
            w->given++;
            w->last = up.ptr ? up : o->key;
        }
        if (!up.ptr) {
            put_object(call, w, o);
            i++;
            continue;
        }
        if (!seen) {
            s3_listing_put(&w->asked, &w->prefixes, up);
        }
        i = sorted_behind_prefix(all, up);
    }
}

static void end(s3_call *call, walk *w) {
    buf *b = &call->xml;
    if (w->asked.delimiter.ptr && w->asked.delimiter.len)
        s3_xml_key(b, "Delimiter", w->asked.delimiter, w->asked.url);
    if (w->asked.url) s3_xml_z(b, "EncodingType", "url");
    s3_xml_bool(b, "IsTruncated", w->truncated);
    buf_append_str(b, buf_str(&w->contents));
    buf_append_str(b, buf_str(&w->prefixes));
    if (!buf_ok(&w->contents) || !buf_ok(&w->prefixes)) b->failed = true;
    s3_xml_close(b, "ListBucketResult");
    buf_free(&w->contents);
    buf_free(&w->prefixes);
    s3_end_xml(call);
}

static void begin(s3_call *call, walk *w) {
    buf *b = &call->xml;
    s3_xml_begin(b, "ListBucketResult");
    s3_xml_put(b, "Name", call->bucket->name);
    s3_xml_key(b, "Prefix", w->asked.prefix, w->asked.url);
    s3_xml_u64(b, "MaxKeys", (uint64_t)w->asked.most);
}

void s3_op_list_objects(s3_call *call) {
    walk w = {.owner = true};
    if (!s3_listing_read(call, "max-keys", &w.asked)) return;
    w.after = s3_param(call, "marker");
    run(call, &w);
    begin(call, &w);
    s3_xml_key(&call->xml, "Marker", w.after, w.asked.url);
    /* Without a delimiter the last key is the marker, and is not said again. */
    if (w.truncated && w.asked.delimiter.len)
        s3_xml_key(&call->xml, "NextMarker", w.last, w.asked.url);
    end(call, &w);
}

/* ---- tokens ---- */

/* Of "1", the key and a check over it, so that a token that was made up is refused. */
static uint8_t check_of(weir_str key) {
    uint32_t sum = 0x5a;
    for (size_t i = 0; i < key.len; i++) sum = sum * 31 + (uint8_t)key.ptr[i];
    return (uint8_t)(sum ^ sum >> 8 ^ sum >> 16);
}

static void put_token(s3_call *call, weir_str key) {
    char *plain = s3_alloc(call, (size_t)key.len + 2);
    char *text = s3_alloc(call, ((size_t)key.len + 4) / 3 * 4 + 1);
    if (!plain || !text) {
        call->xml.failed = true;
        return;
    }
    plain[0] = '1';
    plain[1] = (char)check_of(key);
    memcpy(plain + 2, key.ptr, (size_t)key.len);
    size_t n = (size_t)weir_base64_encode(str_make(plain, (size_t)key.len + 2), text);
    s3_xml_put(&call->xml, "NextContinuationToken", str_make(text, n));
}

static bool read_token(s3_call *call, weir_str token, weir_str *key) {
    char *plain = s3_alloc(call, (size_t)token.len + 1);
    uint64_t n = plain ? weir_base64_decode(token, plain) : UINT64_MAX;
    if (n != UINT64_MAX && n > 2 && plain[0] == '1') {
        *key = str_make(plain + 2, (size_t)n - 2);
        if ((uint8_t)plain[1] == check_of(*key)) return true;
    }
    s3_fail_argument(call, "continuation-token", token,
                     "The continuation token provided is incorrect");
    return false;
}

void s3_op_list_objects_v2(s3_call *call) {
    walk w = {0};
    weir_str type = s3_param(call, "list-type"), token = s3_param(call, "continuation-token");
    weir_str start = s3_param(call, "start-after");
    if (!str_eq_z(type, "2")) {
        s3_fail_argument(call, "list-type", type, "Invalid List Type specified in Request");
        return;
    }
    if (!s3_listing_read(call, "max-keys", &w.asked)) return;
    w.owner = str_eq_z(s3_param(call, "fetch-owner"), "true");
    w.after = start;
    if (token.ptr && !read_token(call, token, &w.after)) return;
    run(call, &w);
    begin(call, &w);
    s3_xml_u64(&call->xml, "KeyCount", (uint64_t)w.given);
    if (start.ptr) s3_xml_key(&call->xml, "StartAfter", start, w.asked.url);
    if (token.ptr) s3_xml_put(&call->xml, "ContinuationToken", token);
    if (w.truncated) put_token(call, w.last);
    end(call, &w);
}
