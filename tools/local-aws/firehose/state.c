/*
 * What outlives the process: streams, and the data that S3 does not have yet. Streams that are
 * being deleted are not kept, nor is the list of what was delivered.
 */
#include "firehose/firehose.h"

#include "base/mem.h"

static void save_destination(const destination *d, keep *out) {
    for (int i = 0; i < DESTINATION_TEXTS; i++) aws_keep_optional(d->text[i], out);
    keep_put_i64(out, d->size_mib);
    keep_put_i64(out, d->interval_s);
    keep_put_u64(out, d->gzip);
    keep_put_u64(out, d->extended);
    keep_put_u64(out, d->logging);
    keep_put_u64(out, d->processing);
    keep_put_u64(out, d->appends);
}

static void save_bundle(const bundle *b, keep *out) {
    keep_put_i64(out, b->first_ms);
    keep_put_u64(out, b->records);
    keep_put_str(out, buf_str(&b->bytes));
}

static void save_stream(const delivery *d, keep *out) {
    keep_put_str(out, str_of(d->name));
    keep_put_i64(out, d->created_ms);
    keep_put_i64(out, d->updated_ms);
    keep_put_i64(out, d->version);
    keep_put_u64(out, d->encrypted);
    keep_put_u64(out, d->encryption_ever);
    aws_keep_optional(d->key_arn, out);
    keep_put_i64(out, d->encryption_day_ms);
    keep_put_i64(out, d->encryption_calls);
    keep_put_u64(out, d->objects);
    keep_put_u64(out, d->lost_records);
    aws_tags_save(&d->tags, out);
    save_destination(&d->to, out);
    uint64_t count = 0;
    for (const bundle *b = d->waiting; b; b = b->next) count++;
    keep_put_u64(out, count);
    for (const bundle *b = d->waiting; b; b = b->next) save_bundle(b, out);
    keep_put_u64(out, d->filling != NULL);
    if (d->filling) save_bundle(d->filling, out);
}

bool firehose_save(void *own, keep *out) {
    const firehose *f = own;
    size_t cursor = 0;
    weir_str name;
    void *value;
    uint64_t count = 0;
    keep_put_u64(out, f->serial);
    while (map_next(f->streams, &cursor, &name, &value)) count += !((delivery *)value)->gone_ms;
    keep_put_u64(out, count);
    cursor = 0;
    while (map_next(f->streams, &cursor, &name, &value))
        if (!((delivery *)value)->gone_ms) save_stream(value, out);
    return keep_ok(out);
}

/* ---- reading ---- */

static bool load_destination(destination *d, keep *in) {
    bool ok = true;
    for (int i = 0; ok && i < DESTINATION_TEXTS; i++) ok = aws_load_optional(&d->text[i], in);
    d->size_mib = keep_i64(in);
    d->interval_s = keep_i64(in);
    d->gzip = keep_u64(in) != 0;
    d->extended = keep_u64(in) != 0;
    d->logging = keep_u64(in) != 0;
    d->processing = keep_u64(in) != 0;
    d->appends = keep_u64(in) != 0;
    return ok && keep_ok(in) && d->size_mib >= 1 && d->size_mib <= 128 && d->interval_s >= 0 &&
           d->interval_s <= 900;
}

static bundle *load_bundle(delivery *d, keep *in) {
    bundle *b = bundle_new();
    if (!b) return NULL;
    b->first_ms = keep_i64(in);
    b->records = (uint32_t)keep_u64(in);
    /* The clock may have been moved in the run before: a whole interval from now on. */
    b->due_mono_ms = server_mono_ms(local_server(d->of->home)) + d->to.interval_s * 1000;
    uint64_t n;
    char *bytes = keep_str(in, &n);
    if (bytes) buf_append(&b->bytes, bytes, (size_t)n);
    mem_free(bytes);
    if (keep_ok(in) && buf_ok(&b->bytes)) {
        d->of->kept += b->bytes.len;
        return b;
    }
    bundle_free(b);
    return NULL;
}

static bool load_bundles(delivery *d, keep *in) {
    uint64_t n = keep_count(in, 24);
    bundle **at = &d->waiting;
    for (uint64_t i = 0; i < n; i++) {
        *at = load_bundle(d, in);
        if (!*at) return false;
        at = &(*at)->next;
    }
    if (keep_u64(in) != 0 && !(d->filling = load_bundle(d, in))) return false;
    /* S3 comes up behind this service: delivering waits for the timer. */
    if (d->waiting || d->filling) server_timer_set(d->timer, d->waiting ? 1 : 1000);
    return keep_ok(in);
}

static bool load_stream(firehose *f, keep *in) {
    char *name = keep_str(in, NULL);
    delivery *d =
        name && *name && !map_get(f->streams, str_of(name)) ? delivery_new(f, str_of(name)) : NULL;
    mem_free(name);
    if (!d) return false;
    d->created_ms = keep_i64(in);
    d->updated_ms = keep_i64(in);
    d->active_ms = 0;
    d->version = keep_i64(in);
    d->encrypted = keep_u64(in) != 0;
    d->encryption_ever = keep_u64(in) != 0;
    bool ok = aws_load_optional(&d->key_arn, in);
    d->encryption_day_ms = keep_i64(in);
    d->encryption_calls = keep_i64(in);
    d->objects = keep_u64(in);
    d->lost_records = keep_u64(in);
    return ok && aws_tags_load(&d->tags, in) && load_destination(&d->to, in) && load_bundles(d, in);
}

bool firehose_load(void *own, keep *in) {
    firehose *f = own;
    f->serial = keep_u64(in);
    uint64_t n = keep_count(in, 128);
    bool ok = true;
    for (uint64_t i = 0; ok && i < n; i++) ok = load_stream(f, in);
    return ok && keep_ok(in);
}
