#include "s3/model.h"

#include <stdio.h>
#include <string.h>

#include "aws/parts.h"
#include "base/mem.h"
#include "base/str.h"

static bool copy_name(weir_str *out, weir_str name) {
    char *z = aws_text(name);
    *out = z ? str_make(z, (size_t)name.len) : (weir_str){NULL, 0};
    return z != NULL;
}

static void free_name(weir_str name) {
    mem_free((void *)(uintptr_t)name.ptr);
}

int64_t s3_now(const s3 *s) {
    return server_now_ms(local_server(s->home));
}

/* ---- fields ---- */

bool s3_fields_add(s3_fields *f, weir_str name, weir_str value) {
    if ((f->count & (f->count - 1)) == 0) {
        size_t room = f->count ? (size_t)f->count * 2 : 1;
        s3_field *items = mem_realloc(f->items, room * sizeof *items);
        if (!items) return false;
        f->items = items;
    }
    s3_field one = {aws_text(name), aws_text(value)};
    if (!one.name || !one.value) {
        mem_free(one.name);
        mem_free(one.value);
        return false;
    }
    f->items[f->count++] = one;
    return true;
}

const char *s3_fields_get(const s3_fields *f, const char *name) {
    for (uint32_t i = 0; i < f->count; i++)
        if (strcmp(f->items[i].name, name) == 0) return f->items[i].value;
    return NULL;
}

bool s3_fields_copy(s3_fields *out, const s3_fields *from) {
    *out = (s3_fields){0};
    for (uint32_t i = 0; i < from->count; i++)
        if (!s3_fields_add(out, str_of(from->items[i].name), str_of(from->items[i].value)))
            return false;
    return true;
}

void s3_fields_free(s3_fields *f) {
    for (uint32_t i = 0; i < f->count; i++) {
        mem_free(f->items[i].name);
        mem_free(f->items[i].value);
    }
    mem_free(f->items);
    *f = (s3_fields){0};
}

bool s3_said_copy(s3_said *out, const s3_said *from) {
    *out = *from;
    out->headers = out->tags = (s3_fields){0};
    out->kms_key = from->kms_key ? aws_text(str_of(from->kms_key)) : NULL;
    out->kms_context = from->kms_context ? aws_text(str_of(from->kms_context)) : NULL;
    return s3_fields_copy(&out->headers, &from->headers) &&
           s3_fields_copy(&out->tags, &from->tags) && (out->kms_key || !from->kms_key) &&
           (out->kms_context || !from->kms_context);
}

void s3_said_free(s3_said *s) {
    s3_fields_free(&s->headers);
    s3_fields_free(&s->tags);
    mem_free(s->kms_key);
    mem_free(s->kms_context);
    *s = (s3_said){0};
}

/* ---- buckets ---- */

s3_bucket *s3_bucket_new(weir_str name, weir_str region, int64_t created_ms) {
    s3_bucket *b = mem_zalloc(sizeof *b);
    if (!b) return NULL;
    if (!copy_name(&b->name, name)) {
        mem_free(b);
        return NULL;
    }
    snprintf(b->region, sizeof b->region, "%.*s", STR_FMT(region));
    b->created_ms = created_ms;
    return b;
}

void s3_bucket_free(s3_bucket *b) {
    if (!b) return;
    for (size_t i = 0; i < b->objects.count; i++) s3_object_free(b->objects.items[i]);
    for (size_t i = 0; i < b->uploads.count; i++) s3_upload_free(b->uploads.items[i]);
    sorted_free(&b->objects);
    sorted_free(&b->uploads);
    free_name(b->name);
    mem_free(b);
}

s3_bucket *s3_bucket_get(const s3 *s, weir_str name) {
    return sorted_get(&s->buckets, name);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The rules of general purpose buckets: 3 to 63 of a-z 0-9 . -, letters or digits at the ends and
 * at both sides of a dot, no address, none of the reserved beginnings and ends. */
bool s3_bucket_name_ok(weir_str name) {
    if (name.len < 3 || name.len > 63) return false;
    bool address = true;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || is_digit(c);
        if (!alnum && c != '.' && c != '-') return false;
        if (!alnum && (i == 0 || i == name.len - 1)) return false;
        if (c == '.' && (name.ptr[i - 1] == '.' || name.ptr[i - 1] == '-')) return false;
        if (c == '-' && name.ptr[i - 1] == '.') return false;
        address = address && (is_digit(c) || c == '.');
    }
    if (address && memchr(name.ptr, '.', (size_t)name.len)) {
        size_t dots = 0;
        for (size_t i = 0; i < name.len; i++) dots += name.ptr[i] == '.';
        if (dots == 3) return false;
    }
    return !str_starts(name, STR("xn--")) && !str_starts(name, STR("sthree-")) &&
           !str_starts(name, STR("amzn-s3-demo-")) && !str_ends(name, STR("-s3alias")) &&
           !str_ends(name, STR("--ol-s3")) && !str_ends(name, STR(".mrap")) &&
           !str_ends(name, STR("--x-s3")) && !str_ends(name, STR("--table-s3"));
}

/* ---- objects ---- */

s3_object *s3_object_new(weir_str key, int64_t now_ms) {
    s3_object *o = mem_zalloc(sizeof *o);
    if (!o) return NULL;
    if (!copy_name(&o->key, key)) {
        mem_free(o);
        return NULL;
    }
    o->modified_ms = now_ms;
    snprintf(o->said.storage_class, sizeof o->said.storage_class, "STANDARD");
    return o;
}

void s3_object_free(s3_object *o) {
    if (!o) return;
    s3_content_free(&o->content);
    mem_free(o->parts);
    s3_said_free(&o->said);
    free_name(o->key);
    mem_free(o);
}

s3_object *s3_object_get(const s3_bucket *b, weir_str key) {
    return sorted_get(&b->objects, key);
}

bool s3_object_store(s3_bucket *b, s3_object *o) {
    size_t at = sorted_from(&b->objects, o->key);
    s3_object *there = at < b->objects.count ? b->objects.items[at] : NULL;
    if (there && str_eq(there->key, o->key)) {
        b->objects.items[at] = o;
        s3_object_free(there);
        return true;
    }
    if (sorted_insert(&b->objects, at, o)) return true;
    s3_object_free(o);
    return false;
}

void s3_etag(s3 *s, const s3_said *said, const s3_content *c, char out[S3_ETAG_TEXT]) {
    if (said->encryption == S3_ENCRYPT_S3) {
        uint8_t md5[16];
        sum_md5(c, md5);
        sum_hex(md5, sizeof md5, out);
        return;
    }
    uint64_t a = local_random(s->home), b = local_random(s->home);
    snprintf(out, S3_ETAG_TEXT, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

/* ---- uploads ---- */

s3_upload *s3_upload_new(s3 *s, weir_str key) {
    s3_upload *u = mem_zalloc(sizeof *u);
    if (!u) return NULL;
    if (!copy_name(&u->key, key)) {
        mem_free(u);
        return NULL;
    }
    /* Later ones are greater: upload-id-marker goes by the bytes. */
    uint64_t a = local_random(s->home), b = local_random(s->home), c = local_random(s->home);
    snprintf(u->id, sizeof u->id, "%010llx.%016llx%016llx_%016llx",
             (unsigned long long)++s->upload_number, (unsigned long long)a, (unsigned long long)b,
             (unsigned long long)c);
    u->initiated_ms = s3_now(s);
    return u;
}

void s3_part_free(s3_part *p) {
    s3_content_free(&p->content);
}

void s3_upload_free(s3_upload *u) {
    if (!u) return;
    for (uint32_t i = 0; i < u->part_count; i++) s3_part_free(&u->parts[i]);
    mem_free(u->parts);
    s3_said_free(&u->said);
    free_name(u->key);
    mem_free(u);
}

size_t s3_upload_find(const s3_bucket *b, weir_str key, weir_str id) {
    for (size_t i = sorted_from(&b->uploads, key); i < b->uploads.count; i++) {
        const s3_upload *u = b->uploads.items[i];
        if (!str_eq(u->key, key)) break;
        if (str_eq_z(id, u->id)) return i;
    }
    return SIZE_MAX;
}

void s3_upload_drop(s3_bucket *b, size_t at) {
    s3_upload_free(sorted_remove(&b->uploads, at));
}

/* Where the part of that number stands or would stand. Most come in order: the end first. */
static uint32_t place(const s3_upload *u, uint32_t number) {
    uint32_t low = 0, high = u->part_count;
    if (high && u->parts[high - 1].number < number) return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (u->parts[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

s3_part *s3_upload_part(const s3_upload *u, uint32_t number) {
    uint32_t at = place(u, number);
    return at < u->part_count && u->parts[at].number == number ? &u->parts[at] : NULL;
}

bool s3_upload_store(s3_upload *u, s3_part *p) {
    uint32_t at = place(u, p->number);
    if (at < u->part_count && u->parts[at].number == p->number) {
        s3_part_free(&u->parts[at]);
        u->parts[at] = *p;
        return true;
    }
    if (u->part_count == u->part_room) {
        uint32_t room = u->part_room ? u->part_room * 2 : 8;
        s3_part *parts = mem_realloc(u->parts, room * sizeof *parts);
        if (!parts) {
            s3_part_free(p);
            return false;
        }
        u->parts = parts;
        u->part_room = room;
    }
    memmove(u->parts + at + 1, u->parts + at, (u->part_count - at) * sizeof *u->parts);
    u->parts[at] = *p;
    u->part_count++;
    return true;
}

void s3_completed_add(s3 *s, const char *id, const char *etag) {
    s3_completed *c = &s->completed[s->completed_next++ % S3_COMPLETED_MAX];
    snprintf(c->id, sizeof c->id, "%s", id);
    snprintf(c->etag, sizeof c->etag, "%s", etag);
    c->at_ms = s3_now(s);
}

const char *s3_completed_get(const s3 *s, weir_str id) {
    for (uint32_t i = 0; i < S3_COMPLETED_MAX; i++) {
        const s3_completed *c = &s->completed[i];
        if (c->id[0] && str_eq_z(id, c->id) && s3_now(s) < c->at_ms + s->completed_ms)
            return c->etag;
    }
    return NULL;
}
