/*
 * The table of operations, and what all of them ask first: which stream, how often; the command
 * line's streams and /_weir/firehose.
 */
#include "firehose/firehose.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "s3/s3.h"
#include "services.h"

const aws_exception FIREHOSE_NOT_FOUND = {"ResourceNotFoundException", 400},
                    FIREHOSE_IN_USE = {"ResourceInUseException", 400},
                    FIREHOSE_INVALID = {"InvalidArgumentException", 400},
                    FIREHOSE_LIMIT = {"LimitExceededException", 400},
                    FIREHOSE_VALIDATION = {"ValidationException", 400},
                    FIREHOSE_UNAVAILABLE = {"ServiceUnavailableException", 503},
                    FIREHOSE_INTERNAL = {"InternalFailure", 500};

static const aws_operation operations[] = {
    {"PutRecordBatch", firehose_put_record_batch, 0},
    {"PutRecord", firehose_put_record, 0},
    {"CreateDeliveryStream", firehose_create, 0},
    {"DeleteDeliveryStream", firehose_delete, 0},
    {"DescribeDeliveryStream", firehose_describe, 0},
    {"ListDeliveryStreams", firehose_list, 0},
    {"UpdateDestination", firehose_update, 0},
    {"StartDeliveryStreamEncryption", firehose_start_encryption, 0},
    {"StopDeliveryStreamEncryption", firehose_stop_encryption, 0},
    {"TagDeliveryStream", firehose_tag, 0},
    {"UntagDeliveryStream", firehose_untag, 0},
    {"ListTagsForDeliveryStream", firehose_list_tags, 0},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])
_Static_assert(OPERATIONS <= FIREHOSE_RATES, "firehose.rates is too small");

/* Each operation but the two that put: five a second and account (the service's quotas). */
#define CONTROL_RATE 5

void firehose_no_memory(aws_call *call) {
    aws_fail(call, &FIREHOSE_INTERNAL, "out of memory");
}

void firehose_invalid(aws_call *call, weir_str value, const char *field, const char *constraint) {
    aws_fail(call, &FIREHOSE_VALIDATION,
             "1 validation error detected: Value '%.*s' at '%s' failed to satisfy constraint: %s",
             value.len > 128 ? 128 : (int)value.len, value.ptr ? value.ptr : "null", field,
             constraint);
}

bool firehose_rate(aws_call *call) {
    static const aws_exception throttled = {"ThrottlingException", 400};
    firehose *f = call->state;
    if (!f->limits) return true;
    aws_budget *b = &f->rates[call->operation - operations];
    if (b->rate <= 0) aws_budget_init(b, CONTROL_RATE, firehose_now(f));
    if (aws_budget_spend(b, 1, firehose_now(f))) return true;
    aws_fail(call, &throttled, "Rate exceeded");
    return false;
}

bool firehose_name(aws_call *call, const char *member, const char *field, weir_str *out) {
    if (!aws_member(call, call->in, member, out)) return false;
    const char *why = NULL;
    if (!out->ptr)
        why = "Member must not be null";
    else if (out->len < 1)
        why = "Member must have length greater than or equal to 1";
    else if (out->len > FIREHOSE_NAME_MAX)
        why = "Member must have length less than or equal to 64";
    else if (!aws_name_of(*out, "_.-"))
        why = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    if (why) firehose_invalid(call, *out, field, why);
    return !why;
}

delivery *firehose_stream(aws_call *call, bool active) {
    firehose *f = call->state;
    weir_str name;
    firehose_sweep(f);
    if (!firehose_name(call, "DeliveryStreamName", "deliveryStreamName", &name)) return NULL;
    delivery *d = map_get(f->streams, name);
    if (d && (!active || strcmp(delivery_status(d), "ACTIVE") == 0)) return d;
    aws_fail(call, &FIREHOSE_NOT_FOUND, "Firehose %.*s under account %s not found.", STR_FMT(name),
             local_settings(f->home)->account);
    return NULL;
}

/* ---- streams ---- */

/* Records, requests and bytes a second into one stream, by region (the service's quotas). */
static void init_budgets(delivery *d, const char *region, int64_t now_ms) {
    bool large = aws_region_is_large(region);
    aws_budget_init(&d->records, large ? FIREHOSE_SECOND_RECORDS_LARGE : FIREHOSE_SECOND_RECORDS,
                    now_ms);
    aws_budget_init(&d->requests, large ? FIREHOSE_SECOND_REQUESTS_LARGE : FIREHOSE_SECOND_REQUESTS,
                    now_ms);
    aws_budget_init(&d->bytes, large ? FIREHOSE_SECOND_BYTES_LARGE : FIREHOSE_SECOND_BYTES, now_ms);
}

delivery *delivery_new(firehose *f, weir_str name) {
    const local_options *o = local_settings(f->home);
    char arn[512];
    delivery *d = mem_zalloc(sizeof *d);
    if (!d) return NULL;
    int n = snprintf(arn, sizeof arn, "arn:aws:firehose:%s:%s:deliverystream/%.*s", o->region,
                     o->account, STR_FMT(name));
    d->of = f;
    d->version = 1;
    d->created_ms = d->updated_ms = firehose_now(f);
    d->active_ms = d->created_ms + FIREHOSE_CHANGE_MS;
    init_budgets(d, o->region, d->created_ms);
    d->name = aws_text(name);
    d->arn = n > 0 && (size_t)n < sizeof arn ? aws_text(str_of(arn)) : NULL;
    d->timer = server_timer_new(local_server(f->home), delivery_timer, d);
    if (d->name && d->arn && d->timer && map_put(f->streams, name, d)) return d;
    delivery_free(d);
    return NULL;
}

void delivery_free(delivery *d) {
    d->of->kept -= delivery_kept(d, NULL);
    bundle_free(d->filling);
    while (d->waiting) {
        bundle *next = d->waiting->next;
        bundle_free(d->waiting);
        d->waiting = next;
    }
    server_timer_free(d->timer);
    destination_free(&d->to);
    aws_tags_free(&d->tags);
    mem_free(d->key_arn);
    mem_free(d->name);
    mem_free(d->arn);
    mem_free(d);
}

const char *delivery_status(const delivery *d) {
    if (d->gone_ms) return "DELETING";
    return firehose_now(d->of) < d->active_ms ? "CREATING" : "ACTIVE";
}

bool delivery_is_encrypted(const delivery *d) {
    bool changing = firehose_now(d->of) < d->encryption_ms;
    return d->encryption_ever && d->encrypted != changing;
}

const char *delivery_encryption(const delivery *d) {
    if (firehose_now(d->of) < d->encryption_ms) return d->encrypted ? "ENABLING" : "DISABLING";
    return d->encrypted ? "ENABLED" : "DISABLED";
}

void firehose_sweep(firehose *f) {
    if (!f->leaving) return;
    int64_t now = firehose_now(f);
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (map_next(f->streams, &cursor, &name, &value)) {
        delivery *d = value;
        if (!d->gone_ms || d->gone_ms > now) continue;
        f->leaving--;
        map_remove(f->streams, str_of(d->name));
        delivery_free(d);
    }
}

/* ---- the command line: NAME=BUCKET/PREFIX ---- */

static bool fill_destination(delivery *d, weir_str bucket, weir_str prefix) {
    char role[128], arn[320];
    int n = snprintf(role, sizeof role, "arn:aws:iam::%s:role/firehose",
                     local_settings(d->of->home)->account);
    int m = snprintf(arn, sizeof arn, "arn:aws:s3:::%.*s", STR_FMT(bucket));
    d->to.size_mib = 5;
    d->to.interval_s = 300;
    d->to.extended = true;
    d->active_ms = d->created_ms;
    return n > 0 && (size_t)n < sizeof role && m > 0 && (size_t)m < sizeof arn &&
           aws_text_set(&d->to.text[DESTINATION_ROLE], str_of(role)) &&
           aws_text_set(&d->to.text[DESTINATION_BUCKET], str_of(arn)) &&
           (!prefix.len || aws_text_set(&d->to.text[DESTINATION_PREFIX], prefix));
}

typedef struct wanted_stream {
    weir_str name, bucket, prefix;
} wanted_stream;

/* False with the rule that is broken. */
static bool read_stream(const char *text, wanted_stream *w, char *error, size_t size) {
    const char *equals = strchr(text, '=');
    char why[128] = "";
    int n = snprintf(error, size, "--delivery-stream '%.200s': expected ", text);
    if (n < 0 || (size_t)n >= size) return false;
    char *rule = error + n;
    size -= (size_t)n;
    w->name = equals ? str_make(text, (size_t)(equals - text)) : STR("");
    weir_str rest = equals ? str_of(equals + 1) : STR("");
    const char *slash = rest.len ? memchr(rest.ptr, '/', (size_t)rest.len) : NULL;
    w->bucket = slash ? str_make(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
    w->prefix = slash ? str_of(slash + 1) : STR("");
    if (!equals)
        snprintf(rule, size, "NAME=BUCKET/PREFIX, such as to-lake=lake/in/");
    else if (!w->name.len || w->name.len > FIREHOSE_NAME_MAX || !aws_name_of(w->name, "_.-"))
        snprintf(rule, size,
                 "a name of 1 to %u characters, each of a-z, A-Z, 0-9, '_', '.' and '-', in front "
                 "of the equals sign",
                 FIREHOSE_NAME_MAX);
    else if (!w->bucket.len || w->bucket.len > 255 || !aws_name_of(w->bucket, "_.-"))
        snprintf(rule, size,
                 "a bucket of 1 to 255 characters, each of a-z, A-Z, 0-9, '_', '.' and '-', "
                 "behind the equals sign");
    else if (w->prefix.len > FIREHOSE_PREFIX_MAX)
        snprintf(rule, size, "a prefix of at most %u characters", FIREHOSE_PREFIX_MAX);
    else if (!prefix_is_valid(w->prefix, false, why, sizeof why))
        snprintf(rule, size, "a prefix that can be evaluated: %s", why);
    else {
        error[0] = 0;
        return true;
    }
    return false;
}

static bool is_same(const wanted_stream *a, const wanted_stream *b) {
    return str_eq(a->bucket, b->bucket) && str_eq(a->prefix, b->prefix);
}

static bool will_have_bucket(const firehose *f, const local_setup *wanted, weir_str bucket) {
    for (uint32_t i = 0; i < wanted->bucket_count; i++)
        if (str_eq_z(bucket, wanted->buckets[i])) return true;
    return s3_has_bucket(f->home, bucket);
}

static bool setup(void *own, const local_setup *wanted, char *error, size_t size) {
    firehose *f = own;
    wanted_stream w, other;
    for (uint32_t i = 0; i < wanted->delivery_stream_count; i++) {
        const char *text = wanted->delivery_streams[i];
        if (!read_stream(text, &w, error, size)) return false;
        for (uint32_t j = 0; j < i; j++) {
            if (!read_stream(wanted->delivery_streams[j], &other, error, size)) return false;
            if (!str_eq(w.name, other.name) || is_same(&w, &other)) continue;
            snprintf(error, size,
                     "--delivery-stream '%.200s': expected each name once, found --delivery-stream "
                     "'%.200s' in front of it",
                     text, wanted->delivery_streams[j]);
            return false;
        }
        if (map_get(f->streams, w.name)) continue;
        delivery *d = delivery_new(f, w.name);
        if (!d || !fill_destination(d, w.bucket, w.prefix)) return false;
    }
    /* As in the service that is no mistake: the bucket may be made later. */
    for (uint32_t i = 0; i < wanted->delivery_stream_count; i++) {
        if (!read_stream(wanted->delivery_streams[i], &w, error, size)) return false;
        if (will_have_bucket(f, wanted, w.bucket)) continue;
        snprintf(error, size,
                 "--delivery-stream '%.200s': there is no bucket of that name; its records wait "
                 "until there is one",
                 wanted->delivery_streams[i]);
        break;
    }
    return true;
}

/* ---- POST /_weir/firehose ---- */

static void show_stream(const delivery *d, buf *out) {
    uint32_t records, waiting = 0;
    uint64_t kept = delivery_kept(d, &records);
    for (const bundle *b = d->waiting; b; b = b->next) waiting++;
    buf_append_z(out, "{\"name\":");
    buf_append_json(out, str_of(d->name));
    buf_printf(out,
               ",\"status\":\"%s\",\"kept_bytes\":%" PRIu64 ",\"kept_records\":%" PRIu32
               ",\"waiting_objects\":%" PRIu32 ",\"objects\":%" PRIu64 ",\"lost_records\":%" PRIu64,
               delivery_status(d), kept, records, waiting, d->objects, d->lost_records);
    buf_append_z(out, ",\"failure\":");
    if (d->failing)
        buf_append_json(out, str_of(d->failure));
    else
        buf_append_z(out, "null");
    buf_append_char(out, '}');
}

static void show_delivered(const delivered *d, buf *out) {
    buf_append_z(out, "{\"stream\":");
    buf_append_json(out, str_of(d->stream));
    buf_append_z(out, ",\"bucket\":");
    buf_append_json(out, str_of(d->bucket));
    buf_append_z(out, ",\"key\":");
    buf_append_json(out, str_of(d->key));
    buf_printf(out, ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu32 ",\"at_ms\":%" PRId64 "}",
               d->bytes, d->records, d->at_ms);
}

static void show(const firehose *f, const delivery *only, buf *out) {
    size_t cursor = 0;
    weir_str name;
    void *value;
    bool comma = false;
    buf_printf(out, "{\"limits\":%s,\"kept_bytes\":%" PRIu64 ",\"streams\":[",
               f->limits ? "true" : "false", f->kept);
    while (map_next(f->streams, &cursor, &name, &value)) {
        if (only && value != only) continue;
        if (comma) buf_append_char(out, ',');
        comma = true;
        show_stream(value, out);
    }
    buf_append_z(out, "],\"delivered\":[");
    uint64_t i = f->listed > FIREHOSE_DELIVERED_MAX ? f->listed - FIREHOSE_DELIVERED_MAX : 0;
    comma = false;
    for (; i < f->listed; i++) {
        const delivered *one = &f->list[i % FIREHOSE_DELIVERED_MAX];
        if (only && strcmp(one->stream, only->name) != 0) continue;
        if (comma) buf_append_char(out, ',');
        comma = true;
        show_delivered(one, out);
    }
    buf_append_z(out, "]}");
}

static bool admin(void *own, const weir_value *in, buf *out) {
    firehose *f = own;
    weir_str wanted = weir_json_get_str(in, "stream", "");
    size_t cursor = 0;
    weir_str name;
    void *value;
    firehose_sweep(f);
    const delivery *only = wanted.len ? map_get(f->streams, wanted) : NULL;
    if (wanted.len && !only) {
        buf_append_z(out, "there is no delivery stream of that name");
        return false;
    }
    f->limits = weir_json_get_bool(in, "limits", f->limits) != 0;
    bool flush = weir_json_get_bool(in, "flush", 0) != 0;
    while (flush && map_next(f->streams, &cursor, &name, &value))
        if (!only || value == only) delivery_flush(value);
    show(f, only, out);
    if (buf_ok(out)) return true;
    buf_reset(out);
    buf_append_z(out, "there is too much to show: name a \"stream\"");
    return false;
}

/* ---- the service ---- */

static void firehose_free(void *state) {
    firehose *f = state;
    size_t cursor = 0;
    weir_str name;
    void *value;
    while (f->streams && map_next(f->streams, &cursor, &name, &value)) delivery_free(value);
    map_free(f->streams);
    for (uint32_t i = 0; i < FIREHOSE_DELIVERED_MAX; i++) delivered_free(&f->list[i]);
    mem_free(f);
}

bool firehose_service(local *home, local_service *out) {
    firehose *f = mem_zalloc(sizeof *f);
    if (!f) return false;
    f->home = home;
    f->limits = true;
    f->streams = map_new();
    aws_service service = {"firehose", "Firehose_20150804", "1.1", operations, OPERATIONS, false,
                           f,          firehose_free};
    if (f->streams && aws_json_service(home, &service, out)) {
        out->setup = setup;
        out->admin = admin;
        out->save = firehose_save;
        out->load = firehose_load;
        return true;
    }
    firehose_free(f);
    return false;
}
