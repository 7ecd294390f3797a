/*
 * The service: from a request to its operation. Claims what no other service did.
 */
#include "s3/s3.h"

#include <stdio.h>

#include "admin/faults.h"
#include "base/mem.h"
#include "s3/call.h"
#include "services.h"
#include "weir/json.h"

#define CALL_MEMORY ((size_t)256 << 20)

/* ---- whose request ---- */

/* Not one that names an operation of a JSON service, nor one that is signed for another service. */
static bool claims(void *state, const exchange *x) {
    (void)state;
    if (exchange_request_header(x, "x-amz-target").ptr) return false;
    weir_str text = exchange_request_header(x, "authorization");
    const char *end = text.len ? memmem(text.ptr, (size_t)text.len, "/aws4_request", 13) : NULL;
    if (!end) return true;
    const char *from = end;
    while (from > text.ptr && from[-1] != '/') from--;
    return str_eq_z(str_make(from, (size_t)(end - from)), "s3");
}

/* ---- a call's life ---- */

static bool call_init(s3_call *call, s3 *s, exchange *x) {
    memset(call, 0, sizeof *call);
    call->s = s;
    call->x = x;
    call->r = exchange_request(x);
    buf_init(&call->xml, S3_XML_MAX);
    buf_init(&call->detail, S3_XML_MAX);
    call->memory = arena_new(CALL_MEMORY);
    uint64_t id = local_random(s->home), host[7];
    snprintf(call->request_id, sizeof call->request_id, "%016llX", (unsigned long long)id);
    for (size_t i = 0; i < 7; i++) host[i] = local_random(s->home);
    size_t n = (size_t)weir_base64_encode(str_make((const char *)host, sizeof host), call->host_id);
    call->host_id[n] = 0;
    return call->memory != NULL;
}

static void call_free(s3_call *call) {
    buf_free(&call->xml);
    buf_free(&call->detail);
    arena_free(call->memory);
}

/* ---- one request ---- */

static void fail_unknown(s3_call *call) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
    weir_str name = call->unknown;
    bool known = false;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        known = known || str_eq_z(call->r->method, methods[i]);
    if (!known || !name.ptr) {
        s3_fail(call, &S3_METHOD);
        return;
    }
    if (str_eq_z(name, "versionId")) {
        s3_fail_argument(call, "versionId", s3_param(call, "versionId"),
                         "This operation does not accept a version-id.");
        return;
    }
    s3_detail(call, "Parameter", name);
    s3_fail_text(call, &S3_NOT_IMPLEMENTED,
                 "The parameter '%.*s' of the query implies functionality that is not implemented",
                 STR_FMT(name));
}

static void run(s3_call *call) {
    if (!call->op) {
        fail_unknown(call);
        return;
    }
    if (call->key.len > S3_KEY_BYTES_MAX) {
        s3_detail_u64(call, "Size", call->key.len);
        s3_detail_u64(call, "MaxSizeAllowed", S3_KEY_BYTES_MAX);
        s3_fail(call, &S3_KEY_TOO_LONG);
        return;
    }
    call->bucket = s3_bucket_get(call->s, call->bucket_name);
    if (!s3_authorise(call)) return;
    if (!call->bucket && !(call->op->flags & S3_NO_BUCKET_YET)) {
        s3_detail(call, "BucketName", call->bucket_name);
        s3_fail(call, s3_bucket_name_ok(call->bucket_name) ? &S3_NO_SUCH_BUCKET
                                                           : &S3_INVALID_BUCKET_NAME);
        return;
    }
    /* Buckets have no versions: what is there is the version "null". */
    weir_str version = s3_param(call, "versionId");
    if (version.ptr && !str_eq_z(version, "null")) {
        s3_fail_argument(call, "versionId", version, "Invalid version id specified");
        return;
    }
    call->op->run(call);
}

static void serve(void *state, exchange *x) {
    s3 *s = state;
    s3_call call;
    if (!call_init(&call, s, x)) {
        call_free(&call);
        exchange_abort(x);
        return;
    }
    if (s3_route(&call)) {
        call.op = s3_find_operation(&call);
        if (faults_meet(s->home, x, "s3", call.op ? call.op->name : "?", serve, s)) run(&call);
    }
    call_free(&call);
}

/* Rules name a code, and a status where it is not to be the code's own; they say 400 of codes that
 * they do not know. */
static void fail(void *state, exchange *x, unsigned status, const char *code, const char *message) {
    s3 *s = state;
    s3_call call;
    if (!call_init(&call, s, x)) {
        call_free(&call);
        exchange_abort(x);
        return;
    }
    if (!s3_route(&call)) { /* answered, though not with what was asked for */
        call_free(&call);
        return;
    }
    const s3_error *known = s3_error_named(str_of(code));
    if (known && status == 400) status = known->status;
    call.bucket = s3_bucket_get(s, call.bucket_name);
    const char *region = call.bucket ? call.bucket->region : local_settings(s->home)->region;
    if (known == &S3_PERMANENT_REDIRECT || known == &S3_TEMPORARY_REDIRECT)
        s3_fail_region(&call, known, region);
    else
        s3_fail_text(&call, &(s3_error){code, status, message}, "%s", message);
    call_free(&call);
}

/* ---- settings ---- */

static bool number(const weir_value *in, const char *name, int64_t low, int64_t high, int64_t *out,
                   buf *why) {
    const weir_value *v = weir_json_get(in, name);
    if (!v) return true;
    if (v->type != WEIR_V_I64 || v->as.i64 < low || v->as.i64 > high) {
        buf_printf(why, "%s: expected a number from %lld to %lld", name, (long long)low,
                   (long long)high);
        return false;
    }
    *out = v->as.i64;
    return true;
}

static bool admin(void *own, const weir_value *in, buf *out) {
    s3 *s = own;
    int64_t bytes = (int64_t)s->part_min_bytes, parts = s->parts_max, again = s->completed_ms;
    if (!number(in, "part_min_bytes", 0, (int64_t)S3_PUT_BYTES_MAX, &bytes, out) ||
        !number(in, "parts_max", 1, S3_PARTS_MAX, &parts, out) ||
        !number(in, "completed_ms", 0, (int64_t)1 << 40, &again, out))
        return false;
    s->part_min_bytes = (uint64_t)bytes;
    s->parts_max = (uint32_t)parts;
    s->completed_ms = again;
    s->redirects = weir_json_get_bool(in, "redirects", s->redirects) != 0;
    buf_printf(out,
               "{\"part_min_bytes\": %lld, \"parts_max\": %lld, \"completed_ms\": %lld, "
               "\"redirects\": %s}",
               (long long)bytes, (long long)parts, (long long)again,
               s->redirects ? "true" : "false");
    return true;
}

/* ---- buckets of the command line, objects of other services ---- */

static bool setup(void *own, const local_setup *setup, char *error, size_t size) {
    s3 *s = own;
    weir_str region = str_of(local_settings(s->home)->region);
    for (uint32_t i = 0; i < setup->bucket_count; i++) {
        weir_str name = str_of(setup->buckets[i]);
        if (!s3_bucket_name_ok(name)) {
            snprintf(
                error, size,
                "--bucket '%.200s': expected a name of 3 to 63 lower-case letters, digits, dots "
                "and hyphens that begins and ends with a letter or digit, and is no address and "
                "nothing that S3 reserves",
                setup->buckets[i]);
            return false;
        }
        if (s3_bucket_get(s, name)) continue;
        s3_bucket *b = s3_bucket_new(name, region, s3_now(s));
        if (!b || !sorted_insert(&s->buckets, sorted_from(&s->buckets, name), b)) {
            s3_bucket_free(b);
            return false;
        }
    }
    return true;
}

bool s3_has_bucket(local *home, weir_str bucket) {
    const s3 *s = local_service_state(home, "s3");
    return s && s3_bucket_get(s, bucket) != NULL;
}

bool s3_put(local *home, weir_str bucket, weir_str key, weir_str bytes, weir_str content_type) {
    s3 *s = local_service_state(home, "s3");
    s3_bucket *b = s ? s3_bucket_get(s, bucket) : NULL;
    s3_object *o = b ? s3_object_new(key, s3_now(s)) : NULL;
    if (!o) return false;
    if (!s3_content_copy(&o->content, bytes) ||
        !s3_fields_add(&o->said.headers, STR("content-type"),
                       content_type.len ? content_type : STR("binary/octet-stream"))) {
        s3_object_free(o);
        return false;
    }
    s3_etag(s, &o->said, &o->content, o->etag);
    o->sum = sum_of(SUM_CRC64NVME, &o->content);
    return s3_object_store(b, o);
}

/* ---- the service's life ---- */

static const char *operation(const void *state, uint32_t index) {
    (void)state;
    return s3_operation_name(index);
}

static void s3_free(void *state) {
    s3 *s = state;
    for (size_t i = 0; i < s->buckets.count; i++) s3_bucket_free(s->buckets.items[i]);
    sorted_free(&s->buckets);
    mem_free(s->completed);
    mem_free(s);
}

bool s3_service(local *home, local_service *out) {
    s3 *s = mem_zalloc(sizeof *s);
    if (!s) return false;
    s->home = home;
    s->part_min_bytes = S3_PART_MIN_BYTES;
    s->parts_max = S3_PARTS_MAX;
    s->completed_ms = S3_COMPLETED_MS;
    s->completed = mem_array(S3_COMPLETED_MAX, sizeof *s->completed);
    if (!s->completed) {
        mem_free(s);
        return false;
    }
    *out = (local_service){.name = "s3",
                           .claims = claims,
                           .serve = serve,
                           .fail = fail,
                           .free = s3_free,
                           .operation = operation,
                           .state = s,
                           .own = s,
                           .setup = setup,
                           .admin = admin,
                           .save = s3_save,
                           .load = s3_load};
    return true;
}
