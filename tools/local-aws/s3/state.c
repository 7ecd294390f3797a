/*
 * What outlives the process: buckets, objects, uploads in progress.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "s3/model.h"

#define VERSION 1u

/* ---- writing ---- */

static void put_z(keep *k, const char *z) {
    keep_put_str(k, str_of(z));
}

static void put_fields(keep *k, const s3_fields *f) {
    keep_put_u64(k, f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        put_z(k, f->items[i].name);
        put_z(k, f->items[i].value);
    }
}

static void put_said(keep *k, const s3_said *s) {
    put_fields(k, &s->headers);
    put_fields(k, &s->tags);
    put_z(k, s->storage_class);
    keep_put_u64(k, s->encryption);
    put_z(k, s->kms_key ? s->kms_key : "");
    put_z(k, s->kms_context ? s->kms_context : "");
    keep_put_u64(k, s->bucket_key);
    put_z(k, s->customer_md5);
}

static void put_sum(keep *k, const checksum *c) {
    keep_put_u64(k, c->algorithm);
    keep_put_u64(k, c->composite);
    keep_put_u64(k, c->parts);
    keep_put_str(k, str_make((const char *)c->bytes, sizeof c->bytes));
}

/* Extents one by one; what two objects share is written twice. */
static void put_content(keep *k, const s3_content *c) {
    keep_put_u64(k, c->count);
    for (uint32_t i = 0; i < c->count; i++)
        keep_put_str(k, str_make(c->items[i].bytes, c->items[i].len));
}

static void put_parts(keep *k, const s3_part *parts, uint32_t count) {
    keep_put_u64(k, count);
    for (uint32_t i = 0; i < count; i++) {
        keep_put_u64(k, parts[i].number);
        put_content(k, &parts[i].content);
        keep_put_u64(k, parts[i].size);
        put_z(k, parts[i].etag);
        put_sum(k, &parts[i].sum);
        put_sum(k, &parts[i].crc);
        keep_put_i64(k, parts[i].modified_ms);
    }
}

static void put_bucket(keep *k, const s3_bucket *b) {
    keep_put_str(k, b->name);
    put_z(k, b->region);
    keep_put_i64(k, b->created_ms);
    keep_put_u64(k, b->objects.count);
    for (size_t i = 0; i < b->objects.count; i++) {
        const s3_object *o = b->objects.items[i];
        keep_put_str(k, o->key);
        put_content(k, &o->content);
        put_parts(k, o->parts, o->part_count);
        put_z(k, o->etag);
        put_sum(k, &o->sum);
        keep_put_i64(k, o->modified_ms);
        put_said(k, &o->said);
    }
    keep_put_u64(k, b->uploads.count);
    for (size_t i = 0; i < b->uploads.count; i++) {
        const s3_upload *u = b->uploads.items[i];
        keep_put_str(k, u->key);
        put_z(k, u->id);
        keep_put_i64(k, u->initiated_ms);
        keep_put_u64(k, u->algorithm);
        keep_put_u64(k, u->composite);
        put_parts(k, u->parts, u->part_count);
        put_said(k, &u->said);
    }
}

bool s3_save(void *own, keep *out) {
    const s3 *s = own;
    keep_put_u64(out, VERSION);
    keep_put_u64(out, s->upload_number);
    keep_put_u64(out, s->buckets.count);
    for (size_t i = 0; i < s->buckets.count; i++) put_bucket(out, s->buckets.items[i]);
    return keep_ok(out);
}

/* ---- reading ---- */

/* Into a text of fixed size; what does not fit was not written by this program. */
static bool get_z(keep *k, char *out, size_t size) {
    uint64_t len;
    char *z = keep_str(k, &len);
    bool ok = z && len < size;
    if (ok) memcpy(out, z, (size_t)len + 1);
    mem_free(z);
    return ok;
}

/* A time that a clock may show: before the year 10000, which no client reads. */
static bool get_time(keep *k, int64_t *out) {
    *out = keep_i64(k);
    return *out >= 0 && *out < INT64_C(253402300800000);
}

static bool get_fields(keep *k, s3_fields *out) {
    uint64_t n = keep_count(k, 16);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t a_len = 0, b_len = 0;
        char *a = keep_str(k, &a_len), *b = keep_str(k, &b_len);
        bool ok = a && b && s3_fields_add(out, str_make(a, a_len), str_make(b, b_len));
        mem_free(a);
        mem_free(b);
        if (!ok) return false;
    }
    return keep_ok(k);
}

static bool get_said(keep *k, s3_said *out) {
    s3_said_free(out);
    if (!get_fields(k, &out->headers) || !get_fields(k, &out->tags) ||
        !get_z(k, out->storage_class, sizeof out->storage_class))
        return false;
    uint64_t encryption = keep_u64(k), len;
    if (encryption > S3_ENCRYPT_CUSTOMER) return false;
    out->encryption = (s3_encryption)encryption;
    out->kms_key = keep_str(k, &len);
    if (out->kms_key && !len) mem_free(out->kms_key), out->kms_key = NULL;
    out->kms_context = keep_str(k, &len);
    if (out->kms_context && !len) mem_free(out->kms_context), out->kms_context = NULL;
    out->bucket_key = keep_u64(k) != 0;
    return get_z(k, out->customer_md5, sizeof out->customer_md5);
}

static bool get_sum(keep *k, checksum *out) {
    uint64_t algorithm = keep_u64(k), len;
    out->composite = keep_u64(k) != 0;
    out->parts = (uint32_t)keep_u64(k);
    char *bytes = keep_str(k, &len);
    bool ok = bytes && len == sizeof out->bytes && algorithm < SUM_ALGORITHMS;
    if (ok) memcpy(out->bytes, bytes, sizeof out->bytes);
    if (ok) out->algorithm = (sum_algorithm)algorithm;
    mem_free(bytes);
    return ok;
}

static bool get_content(keep *k, s3_content *out) {
    uint64_t n = keep_count(k, 8), len;
    for (uint64_t i = 0; i < n; i++) {
        char *bytes = keep_str(k, &len);
        if (!bytes || !s3_content_take(out, bytes, (size_t)len, (size_t)len)) return false;
    }
    return keep_ok(k);
}

static bool get_part(keep *k, s3_part *p) {
    *p = (s3_part){.number = (uint32_t)keep_u64(k)};
    bool ok = get_content(k, &p->content);
    p->size = keep_u64(k);
    ok = ok && get_z(k, p->etag, sizeof p->etag) && get_sum(k, &p->sum) && get_sum(k, &p->crc);
    if (ok && get_time(k, &p->modified_ms) && keep_ok(k)) return true;
    s3_part_free(p);
    return false;
}

/* The parts of an object: their sizes add up to its own. */
static bool get_object_parts(keep *k, s3_object *o) {
    uint64_t n = keep_count(k, 64), size = 0;
    if (!n) return keep_ok(k);
    o->parts = n <= S3_PARTS_MAX ? mem_array((size_t)n, sizeof *o->parts) : NULL;
    if (!o->parts) return false;
    for (uint64_t i = 0; i < n; i++) {
        if (!get_part(k, &o->parts[i])) return false;
        s3_content_free(&o->parts[i].content);
        o->part_count++;
        if (o->parts[i].size > o->content.size - size) return false;
        size += o->parts[i].size;
    }
    return size == o->content.size;
}

static bool get_object(keep *k, s3_bucket *b) {
    uint64_t len;
    char *key = keep_str(k, &len);
    s3_object *o = key ? s3_object_new(str_make(key, len), 0) : NULL;
    mem_free(key);
    bool ok = o && get_content(k, &o->content) && get_object_parts(k, o) &&
              get_z(k, o->etag, sizeof o->etag) && get_sum(k, &o->sum);
    ok = ok && get_time(k, &o->modified_ms) && get_said(k, &o->said) && keep_ok(k);
    if (ok) return s3_object_store(b, o);
    s3_object_free(o);
    return false;
}

static bool get_upload(keep *k, s3 *s, s3_bucket *b) {
    uint64_t len;
    char *key = keep_str(k, &len);
    s3_upload *u = key ? s3_upload_new(s, str_make(key, len)) : NULL;
    mem_free(key);
    bool ok = u && get_z(k, u->id, sizeof u->id);
    ok = ok && get_time(k, &u->initiated_ms);
    uint64_t algorithm = keep_u64(k);
    bool composite = keep_u64(k) != 0;
    ok = ok && algorithm < SUM_ALGORITHMS;
    if (ok) u->algorithm = (sum_algorithm)algorithm;
    if (ok) u->composite = composite && sum_can_be_composite(u->algorithm);
    uint64_t n = keep_count(k, 64);
    for (uint64_t i = 0; ok && i < n; i++) {
        s3_part p;
        ok = get_part(k, &p) && s3_upload_store(u, &p);
        /* Nothing may stand for more bytes than are there, nor a sum for another one. */
        const s3_part *there = ok ? s3_upload_part(u, p.number) : NULL;
        ok = ok && p.number >= 1 && p.number <= S3_PARTS_MAX &&
             there->size == there->content.size &&
             (u->algorithm == SUM_NONE ? there->crc.algorithm == SUM_CRC64NVME
                                       : there->sum.algorithm == u->algorithm);
    }
    ok = ok && get_said(k, &u->said) && keep_ok(k);
    if (ok && sorted_insert(&b->uploads, sorted_behind(&b->uploads, u->key), u)) return true;
    s3_upload_free(u);
    return false;
}

static bool get_bucket(keep *k, s3 *s) {
    uint64_t len;
    char region[S3_REGION_TEXT];
    char *name = keep_str(k, &len);
    bool ok = name && get_z(k, region, sizeof region);
    int64_t created = 0;
    ok = ok && get_time(k, &created) && s3_bucket_name_ok(str_make(name, len)) &&
         !s3_bucket_get(s, str_make(name, len));
    s3_bucket *b = ok ? s3_bucket_new(str_make(name, len), str_of(region), created) : NULL;
    mem_free(name);
    if (!b || !sorted_insert(&s->buckets, sorted_from(&s->buckets, b->name), b)) {
        s3_bucket_free(b);
        return false;
    }
    uint64_t objects = keep_count(k, 64);
    for (uint64_t i = 0; i < objects; i++)
        if (!get_object(k, b)) return false;
    uint64_t uploads = keep_count(k, 64);
    for (uint64_t i = 0; i < uploads; i++)
        if (!get_upload(k, s, b)) return false;
    return keep_ok(k);
}

bool s3_load(void *own, keep *in) {
    s3 *s = own;
    if (keep_u64(in) != VERSION) return false;
    uint64_t number = keep_u64(in), n = keep_count(in, 64);
    for (uint64_t i = 0; i < n; i++)
        if (!get_bucket(in, s)) return false;
    s->upload_number = number;
    return keep_ok(in);
}
