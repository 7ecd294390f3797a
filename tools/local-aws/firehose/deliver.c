/*
 * From records to objects: bundles are filled, sealed when they are large or old enough, and put
 * into S3 in their order.
 */
#include "firehose/firehose.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "s3/s3.h"

#define BUNDLE_MAX ((size_t)256 << 20) /* the largest buffer, and a record behind it */
#define KEY_BYTES 1024u                /* S3's */

static int64_t mono_now(const delivery *d) {
    return server_mono_ms(local_server(d->of->home));
}

/* ---- bundles ---- */

bundle *bundle_new(void) {
    bundle *b = mem_zalloc(sizeof *b);
    if (b) buf_init(&b->bytes, BUNDLE_MAX);
    return b;
}

void bundle_free(bundle *b) {
    if (!b) return;
    buf_free(&b->bytes);
    mem_free(b);
}

uint64_t delivery_kept(const delivery *d, uint32_t *records) {
    uint64_t bytes = d->filling ? d->filling->bytes.len : 0;
    uint32_t n = d->filling ? d->filling->records : 0;
    for (const bundle *b = d->waiting; b; b = b->next) {
        bytes += b->bytes.len;
        n += b->records;
    }
    if (records) *records = n;
    return bytes;
}

static void seal(delivery *d) {
    bundle **at = &d->waiting;
    while (*at) at = &(*at)->next;
    *at = d->filling;
    d->filling = NULL;
}

bool delivery_take(delivery *d, weir_str bytes) {
    firehose *f = d->of;
    char delimiter[64];
    size_t n = destination_delimiter(&d->to, delimiter);
    if (f->kept + bytes.len + n > FIREHOSE_KEPT_MAX) return false;
    bundle *b = d->filling ? d->filling : bundle_new();
    if (!b || !buf_reserve(&b->bytes, (size_t)bytes.len + n + 1)) {
        if (!d->filling) bundle_free(b);
        return false;
    }
    if (!d->filling) {
        b->first_ms = firehose_now(f);
        b->due_mono_ms = mono_now(d) + d->to.interval_s * 1000;
        d->filling = b;
    }
    buf_append_str(&b->bytes, bytes);
    buf_append(&b->bytes, delimiter, n);
    b->records++;
    f->kept += bytes.len + n;
    if (b->bytes.len >= (size_t)d->to.size_mib << 20) seal(d);
    return true;
}

/* ---- objects ---- */

/* NAME-VERSION-YYYY-MM-dd-HH-mm-ss-UUID and what the file's kind adds. */
static bool write_key(delivery *d, const bundle *b, buf *out) {
    char id[37];
    prefix_evaluate(str_of(d->to.text[DESTINATION_PREFIX]), b->first_ms, local_random(d->of->home),
                    out);
    if (out->len > FIREHOSE_PREFIX_BYTES) return false;
    /* The ids come from the seed; the serial number keeps those of two runs apart. */
    local_uuid(d->of->home, id);
    snprintf(id + 24, sizeof id - 24, "%012" PRIx64,
             ((local_random(d->of->home) >> 16) + ++d->of->serial) & UINT64_C(0xffffffffffff));
    buf_printf(out, "%s-%" PRId64 "-", d->name, d->version);
    prefix_evaluate(STR("!{timestamp:yyyy-MM-dd-HH-mm-ss}"), b->first_ms, 0, out);
    buf_printf(out, "-%s", id);
    const char *extension = d->to.text[DESTINATION_EXTENSION];
    buf_append_z(out, extension && *extension ? extension : d->to.gzip ? ".gz" : "");
    return buf_ok(out) && out->len <= KEY_BYTES;
}

void delivered_free(delivered *d) {
    mem_free(d->stream);
    mem_free(d->bucket);
    mem_free(d->key);
    *d = (delivered){0};
}

/* The list is for people and tests: without memory an entry is missing some of its texts. */
static void note(delivery *d, const bundle *b, weir_str bucket, weir_str key, uint64_t bytes) {
    firehose *f = d->of;
    delivered one = {aws_text(str_of(d->name)),
                     aws_text(bucket),
                     aws_text(key),
                     bytes,
                     b->records,
                     firehose_now(f)};
    if (!one.stream || !one.bucket || !one.key) {
        delivered_free(&one);
        return;
    }
    delivered *place = &f->list[f->listed++ % FIREHOSE_DELIVERED_MAX];
    delivered_free(place);
    *place = one;
}

/* False with the reason in d->failure. */
static bool put_object(delivery *d, const bundle *b) {
    weir_str bucket = destination_bucket(&d->to), content = buf_str(&b->bytes);
    buf key, file;
    buf_init(&key, 4096);
    buf_init(&file, BUNDLE_MAX + (1u << 20));
    bool ok = false;
    if (!s3_has_bucket(d->of->home, bucket)) {
        snprintf(d->failure, sizeof d->failure,
                 "S3.NoSuchBucket: The specified bucket does not exist: %.*s", STR_FMT(bucket));
    } else if (!write_key(d, b, &key)) {
        snprintf(d->failure, sizeof d->failure,
                 "S3.KeyTooLong: the evaluated prefix has more than %u bytes",
                 FIREHOSE_PREFIX_BYTES);
    } else if (d->to.gzip && !gzip_write(content, &file)) {
        snprintf(d->failure, sizeof d->failure, "out of memory");
    } else {
        if (d->to.gzip) content = buf_str(&file);
        ok = s3_put(d->of->home, bucket, buf_str(&key), content, STR("application/octet-stream"));
        snprintf(d->failure, sizeof d->failure, "S3 did not take the object");
    }
    if (ok) note(d, b, bucket, buf_str(&key), content.len);
    buf_free(&key);
    buf_free(&file);
    return ok;
}

static void drop_first(delivery *d) {
    bundle *b = d->waiting;
    d->waiting = b->next;
    d->of->kept -= b->bytes.len;
    bundle_free(b);
}

static void deliver(delivery *d) {
    int64_t now = firehose_now(d->of);
    while (d->waiting) {
        bool done = put_object(d, d->waiting);
        bool lost = !done && now - d->waiting->first_ms > FIREHOSE_DAY_MS;
        d->failing = !done;
        d->retry_mono_ms = mono_now(d) + FIREHOSE_RETRY_MS;
        if (!done && !lost) break;
        d->objects += done;
        if (lost) d->lost_records += d->waiting->records;
        drop_first(d);
    }
}

/* ---- when ---- */

static void arm(delivery *d) {
    int64_t at = INT64_MAX;
    if (d->filling) at = d->filling->due_mono_ms;
    if (d->waiting && d->retry_mono_ms < at) at = d->retry_mono_ms;
    int64_t in_ms = at - mono_now(d);
    if (at == INT64_MAX || d->gone_ms)
        server_timer_clear(d->timer);
    else
        server_timer_set(d->timer, in_ms > 1 ? in_ms : 1);
}

void delivery_settle(delivery *d) {
    /* New hints hold for what is being gathered, too. */
    if (d->filling) {
        bundle *b = d->filling;
        int64_t now = mono_now(d);
        if (b->due_mono_ms > now + d->to.interval_s * 1000)
            b->due_mono_ms = now + d->to.interval_s * 1000;
        if (b->due_mono_ms <= now || b->bytes.len >= (size_t)d->to.size_mib << 20) seal(d);
    }
    /* While S3 takes nothing the retries keep their own pace. */
    if (!d->failing) deliver(d);
    arm(d);
}

void delivery_timer(void *opaque) {
    delivery *d = opaque;
    if (d->filling && d->filling->due_mono_ms <= mono_now(d)) seal(d);
    bool resting = d->failing && d->retry_mono_ms > mono_now(d);
    if (!d->gone_ms && !resting) deliver(d);
    arm(d);
}

void delivery_flush(delivery *d) {
    if (d->filling) seal(d);
    deliver(d);
    arm(d);
}
