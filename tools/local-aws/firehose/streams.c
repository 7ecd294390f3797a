/*
 * Delivery streams as a whole: made, described, changed, tagged, deleted.
 */
#include "firehose/firehose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* ---- making ---- */

static const char *const destinations[] = {
    "ExtendedS3DestinationConfiguration",
    "S3DestinationConfiguration",
    "RedshiftDestinationConfiguration",
    "ElasticsearchDestinationConfiguration",
    "AmazonopensearchserviceDestinationConfiguration",
    "AmazonOpenSearchServerlessDestinationConfiguration",
    "SplunkDestinationConfiguration",
    "HttpEndpointDestinationConfiguration",
    "SnowflakeDestinationConfiguration",
    "IcebergDestinationConfiguration",
};
#define DESTINATIONS (sizeof destinations / sizeof destinations[0])
#define DESTINATIONS_SERVED 2u

static bool read_type(aws_call *call) {
    weir_str type;
    if (!aws_member(call, call->in, "DeliveryStreamType", &type)) return false;
    if (!type.ptr || str_eq_z(type, "DirectPut")) return true;
    if (str_eq_z(type, "KinesisStreamAsSource") || str_eq_z(type, "MSKAsSource") ||
        str_eq_z(type, "DatabaseAsSource"))
        aws_fail(call, &FIREHOSE_INVALID,
                 "DeliveryStreamType %.*s is not served by this endpoint: DirectPut is.",
                 STR_FMT(type));
    else
        firehose_invalid(call, type, "deliveryStreamType",
                         "Member must satisfy enum value set: [DirectPut, KinesisStreamAsSource, "
                         "MSKAsSource, DatabaseAsSource]");
    return false;
}

static bool read_destination(aws_call *call, destination *d) {
    int found = -1;
    for (size_t i = 0; i < DESTINATIONS; i++) {
        if (!aws_in(call, destinations[i])) continue;
        if (found >= 0) {
            aws_fail(call, &FIREHOSE_INVALID,
                     "Exactly one destination configuration is supported for a Firehose.");
            return false;
        }
        found = (int)i;
    }
    if (found < 0) {
        aws_fail(call, &FIREHOSE_INVALID,
                 "Exactly one destination configuration is supported for a Firehose.");
        return false;
    }
    if (found >= (int)DESTINATIONS_SERVED) {
        aws_fail(call, &FIREHOSE_INVALID,
                 "%s is not served by this endpoint: ExtendedS3DestinationConfiguration and "
                 "S3DestinationConfiguration are.",
                 destinations[found]);
        return false;
    }
    const weir_value *in;
    d->extended = found == 0;
    return aws_container(call, call->in, destinations[found], WEIR_V_OBJECT, &in) &&
           destination_read(call, in, false, d);
}

bool firehose_read_key(aws_call *call, const weir_value *in, weir_str *key_arn) {
    weir_str type;
    if (!aws_member(call, in, "KeyType", &type) || !aws_member(call, in, "KeyARN", key_arn))
        return false;
    bool owned = !in || str_eq_z(type, "AWS_OWNED_CMK"),
         managed = str_eq_z(type, "CUSTOMER_MANAGED_CMK");
    if (!owned && !managed) {
        firehose_invalid(
            call, type, "deliveryStreamEncryptionConfigurationInput.keyType",
            "Member must satisfy enum value set: [AWS_OWNED_CMK, CUSTOMER_MANAGED_CMK]");
        return false;
    }
    if (owned == (key_arn->ptr == NULL)) return true;
    aws_fail(call, &FIREHOSE_INVALID, "%s",
             owned ? "KeyARN cannot be given with the key type AWS_OWNED_CMK."
                   : "KeyARN must be given with the key type CUSTOMER_MANAGED_CMK.");
    return false;
}

static bool start_encryption(delivery *d, weir_str key_arn) {
    mem_free(d->key_arn);
    d->key_arn = NULL;
    if (key_arn.ptr && !aws_text_set(&d->key_arn, key_arn)) return false;
    d->encrypted = d->encryption_ever = true;
    d->encryption_ms = firehose_now(d->of) + FIREHOSE_CHANGE_MS;
    return true;
}

/* What CreateDeliveryStream is given beside the name. */
typedef struct wanted {
    destination to;
    aws_tags tags;
    const weir_value *encryption;
    weir_str key_arn;
} wanted;

static bool read_wanted(aws_call *call, wanted *w) {
    return read_type(call) && read_destination(call, &w->to) &&
           aws_container(call, call->in, "DeliveryStreamEncryptionConfigurationInput",
                         WEIR_V_OBJECT, &w->encryption) &&
           (!w->encryption || firehose_read_key(call, w->encryption, &w->key_arn)) &&
           (!aws_in(call, "Tags") || firehose_add_tags(call, &w->tags));
}

void firehose_create(aws_call *call) {
    firehose *f = call->state;
    weir_str name;
    wanted w = {0};
    firehose_sweep(f);
    if (!firehose_rate(call) ||
        !firehose_name(call, "DeliveryStreamName", "deliveryStreamName", &name))
        return;
    if (map_get(f->streams, name)) {
        aws_fail(call, &FIREHOSE_IN_USE, "Firehose %.*s under accountId %s already exists",
                 STR_FMT(name), local_settings(f->home)->account);
        return;
    }
    if (map_count(f->streams) >= FIREHOSE_STREAMS_MAX) {
        aws_fail(call, &FIREHOSE_LIMIT, "You have already consumed your firehose quota of %u.",
                 FIREHOSE_STREAMS_MAX);
        return;
    }
    if (!read_wanted(call, &w)) {
        destination_free(&w.to);
        aws_tags_free(&w.tags);
        return;
    }
    delivery *d = delivery_new(f, name);
    if (d) {
        d->to = w.to;
        d->tags = w.tags;
    } else {
        destination_free(&w.to);
        aws_tags_free(&w.tags);
    }
    if (!d || (w.encryption && !start_encryption(d, w.key_arn))) {
        if (d) map_remove(f->streams, name);
        if (d) delivery_free(d);
        firehose_no_memory(call);
        return;
    }
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "DeliveryStreamARN", d->arn);
    aws_end(call);
}

void firehose_delete(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    if (!d) return;
    if (strcmp(delivery_status(d), "CREATING") == 0) {
        aws_fail(call, &FIREHOSE_IN_USE,
                 "Firehose %s under accountId %s is in CREATING state and cannot be deleted.",
                 d->name, local_settings(call->home)->account);
        return;
    }
    if (!d->gone_ms) {
        d->gone_ms = firehose_now(d->of) + FIREHOSE_CHANGE_MS;
        d->of->leaving++;
    }
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

/* ---- describing ---- */

static void write_encryption(aws_out *o, const delivery *d) {
    aws_out_open(o, "DeliveryStreamEncryptionConfiguration");
    if (d->encrypted) {
        aws_out_z(o, "KeyType", d->key_arn ? "CUSTOMER_MANAGED_CMK" : "AWS_OWNED_CMK");
        if (d->key_arn) aws_out_z(o, "KeyARN", d->key_arn);
    }
    aws_out_z(o, "Status", delivery_encryption(d));
    aws_out_close(o);
}

static void write_stream(aws_out *o, const delivery *d) {
    char version[24];
    snprintf(version, sizeof version, "%" PRId64, d->version);
    aws_out_z(o, "DeliveryStreamName", d->name);
    aws_out_z(o, "DeliveryStreamARN", d->arn);
    aws_out_z(o, "DeliveryStreamStatus", delivery_status(d));
    if (d->failing) {
        aws_out_open(o, "FailureDescription");
        aws_out_z(o, "Type", "UNKNOWN_ERROR");
        aws_out_z(o, "Details", d->failure);
        aws_out_close(o);
    }
    write_encryption(o, d);
    aws_out_z(o, "DeliveryStreamType", "DirectPut");
    aws_out_z(o, "VersionId", version);
    aws_out_time_ms(o, "CreateTimestamp", d->created_ms);
    if (d->version > 1) aws_out_time_ms(o, "LastUpdateTimestamp", d->updated_ms);
}

void firehose_describe(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    int64_t limit;
    weir_str after;
    if (!d || !aws_number(call, call->in, "Limit", 1, &limit) ||
        !aws_member(call, call->in, "ExclusiveStartDestinationId", &after))
        return;
    if (limit < 1 || limit > 10000) {
        firehose_invalid(call, STR("..."), "limit", "Member must have value between 1 and 10000");
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open(o, "DeliveryStreamDescription");
    write_stream(o, d);
    aws_out_open_array(o, "Destinations");
    if (!after.ptr || str_cmp(after, STR(FIREHOSE_DESTINATION)) < 0) {
        aws_out_open(o, NULL);
        aws_out_z(o, "DestinationId", FIREHOSE_DESTINATION);
        destination_write(o, &d->to);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreDestinations", false);
    aws_out_close(o);
    aws_end(call);
}

static int by_name(const void *a, const void *b) {
    return str_cmp(*(const weir_str *)a, *(const weir_str *)b);
}

void firehose_list(aws_call *call) {
    firehose *f = call->state;
    int64_t limit;
    weir_str after, type, name;
    void *value;
    size_t cursor = 0, n = 0;
    firehose_sweep(f);
    if (!firehose_rate(call) || !aws_number(call, call->in, "Limit", 10, &limit) ||
        !aws_member(call, call->in, "ExclusiveStartDeliveryStreamName", &after) ||
        !aws_member(call, call->in, "DeliveryStreamType", &type))
        return;
    if (limit < 1 || limit > 10000) {
        firehose_invalid(call, STR("..."), "limit", "Member must have value between 1 and 10000");
        return;
    }
    weir_str *names = arena_array(call->memory, map_count(f->streams) + 1, sizeof *names);
    if (!names) {
        firehose_no_memory(call);
        return;
    }
    bool direct = !type.ptr || str_eq_z(type, "DirectPut");
    while (direct && map_next(f->streams, &cursor, &name, &value))
        if (!after.ptr || str_cmp(name, after) > 0) names[n++] = name;
    qsort(names, n, sizeof *names, by_name);
    size_t shown = n > (size_t)limit ? (size_t)limit : n;
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "DeliveryStreamNames");
    for (size_t i = 0; i < shown; i++) aws_out_str(o, NULL, names[i]);
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreDeliveryStreams", shown < n);
    aws_end(call);
}

/* ---- changing ---- */

static bool check_version(aws_call *call, const delivery *d) {
    static const aws_exception conflict = {"ConcurrentModificationException", 400};
    weir_str version, id;
    char now[24];
    if (!aws_member(call, call->in, "CurrentDeliveryStreamVersionId", &version) ||
        !aws_member(call, call->in, "DestinationId", &id))
        return false;
    snprintf(now, sizeof now, "%" PRId64, d->version);
    if (!str_eq_z(version, now)) {
        aws_fail(
            call, &conflict,
            "Cannot update firehose: %s since the current version id: %s and specified version "
            "id: %.*s do not match",
            d->name, now, STR_FMT(version.ptr ? version : STR("null")));
        return false;
    }
    if (str_eq_z(id, FIREHOSE_DESTINATION)) return true;
    aws_fail(call, &FIREHOSE_INVALID, "Destination Id %.*s not found",
             STR_FMT(id.ptr ? id : STR("null")));
    return false;
}

static const char *const updates[] = {
    "ExtendedS3DestinationUpdate",
    "S3DestinationUpdate",
    "RedshiftDestinationUpdate",
    "ElasticsearchDestinationUpdate",
    "AmazonopensearchserviceDestinationUpdate",
    "AmazonOpenSearchServerlessDestinationUpdate",
    "SplunkDestinationUpdate",
    "HttpEndpointDestinationUpdate",
    "SnowflakeDestinationUpdate",
    "IcebergDestinationUpdate",
};

static const weir_value *read_update(aws_call *call, bool *extended) {
    const weir_value *in = NULL;
    int found = -1, count = 0;
    for (size_t i = 0; i < DESTINATIONS; i++) {
        if (!aws_in(call, updates[i])) continue;
        found = (int)i;
        count++;
    }
    if (count != 1 || found >= (int)DESTINATIONS_SERVED) {
        aws_fail(
            call, &FIREHOSE_INVALID,
            "Expected exactly one of ExtendedS3DestinationUpdate and S3DestinationUpdate; other "
            "destinations are not served by this endpoint.");
        return NULL;
    }
    *extended = found == 0;
    if (!aws_container(call, call->in, updates[found], WEIR_V_OBJECT, &in)) return NULL;
    return in;
}

void firehose_update(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    destination to;
    bool extended;
    if (!d) return;
    if (strcmp(delivery_status(d), "ACTIVE") != 0) {
        aws_fail(call, &FIREHOSE_IN_USE, "Firehose %s under accountId %s is in %s state.", d->name,
                 local_settings(call->home)->account, delivery_status(d));
        return;
    }
    const weir_value *in = check_version(call, d) ? read_update(call, &extended) : NULL;
    if (!in) return;
    if (!destination_copy(&d->to, &to)) {
        firehose_no_memory(call);
        return;
    }
    to.extended = to.extended || extended;
    if (!destination_read(call, in, true, &to)) {
        destination_free(&to);
        return;
    }
    destination_free(&d->to);
    d->to = to;
    d->version++;
    d->updated_ms = firehose_now(d->of);
    delivery_settle(d);
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

/* ---- encryption, as a state ---- */

static delivery *for_encryption(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, true) : NULL;
    if (!d) return NULL;
    int64_t now = firehose_now(d->of);
    if (now < d->encryption_ms) {
        aws_fail(call, &FIREHOSE_IN_USE, "Firehose %s: encryption is %s.", d->name,
                 delivery_encryption(d));
        return NULL;
    }
    if (now - d->encryption_day_ms >= FIREHOSE_DAY_MS) {
        d->encryption_day_ms = now;
        d->encryption_calls = 0;
    }
    if (d->encryption_calls < FIREHOSE_ENCRYPTION_CALLS) return d;
    aws_fail(call, &FIREHOSE_LIMIT,
             "Firehose %s: encryption can be started and stopped %d times in 24 hours.", d->name,
             FIREHOSE_ENCRYPTION_CALLS);
    return NULL;
}

void firehose_start_encryption(aws_call *call) {
    delivery *d = for_encryption(call);
    const weir_value *in;
    weir_str key_arn;
    if (!d ||
        !aws_container(call, call->in, "DeliveryStreamEncryptionConfigurationInput", WEIR_V_OBJECT,
                       &in) ||
        !firehose_read_key(call, in, &key_arn))
        return;
    if (!start_encryption(d, key_arn)) {
        firehose_no_memory(call);
        return;
    }
    d->encryption_calls++;
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

void firehose_stop_encryption(aws_call *call) {
    delivery *d = for_encryption(call);
    if (!d) return;
    if (d->encrypted) d->encryption_ms = firehose_now(d->of) + FIREHOSE_CHANGE_MS;
    d->encrypted = false;
    d->encryption_calls++;
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

/* ---- tags ---- */

/* Letters and digits of any script, and a few signs: what ASCII has beside them is refused. */
static bool tag_text(weir_str s, uint64_t least, uint64_t most) {
    uint64_t n = aws_characters(s);
    if (n < least || n > most) return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x80 && !aws_name_of(str_make(s.ptr + i, 1), " _.:/=+-@%"))
            return false;
    return true;
}

static bool read_tag(aws_call *call, const weir_value *in, weir_str *key, weir_str *value) {
    if (!aws_member(call, in, "Key", key) || !aws_member(call, in, "Value", value)) return false;
    if (!tag_text(*key, 1, 128) || str_starts(*key, STR("aws:"))) {
        firehose_invalid(call, *key, "tags.member.key",
                         "Member must satisfy regular expression pattern: "
                         "^(?!aws:)[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@%]*$ and have length 1 to 128");
        return false;
    }
    if (tag_text(*value, 0, 256)) return true;
    firehose_invalid(call, *value, "tags.member.value",
                     "Member must satisfy regular expression pattern: "
                     "^[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@%]*$ and have length 0 to 256");
    return false;
}

bool firehose_add_tags(aws_call *call, aws_tags *t) {
    const weir_value *list;
    weir_str key, value;
    uint32_t fresh = 0;
    if (!aws_container(call, call->in, "Tags", WEIR_V_ARRAY, &list)) return false;
    if (!list || list->size < 1 || list->size > FIREHOSE_TAGS_MAX) {
        firehose_invalid(call, STR("[...]"), "tags", "Member must have length between 1 and 50");
        return false;
    }
    const weir_value *item = list + 1;
    for (uint32_t i = 0; i < list->size; i++, item = weir_value_next(item)) {
        if (!read_tag(call, item, &key, &value)) return false;
        fresh += !aws_tags_has(t, key);
    }
    if (t->count + fresh > FIREHOSE_TAGS_MAX) {
        aws_fail(call, &FIREHOSE_LIMIT, "A Firehose cannot have more than %u tags.",
                 FIREHOSE_TAGS_MAX);
        return false;
    }
    item = list + 1;
    for (uint32_t i = 0; i < list->size; i++, item = weir_value_next(item)) {
        if (read_tag(call, item, &key, &value) && aws_tags_put(t, key, value)) continue;
        firehose_no_memory(call);
        return false;
    }
    return true;
}

void firehose_tag(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    if (!d || !firehose_add_tags(call, &d->tags)) return;
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

void firehose_untag(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    const weir_value *keys;
    if (!d || !aws_container(call, call->in, "TagKeys", WEIR_V_ARRAY, &keys)) return;
    if (!keys || keys->size < 1 || keys->size > FIREHOSE_TAGS_MAX) {
        firehose_invalid(call, STR("[...]"), "tagKeys", "Member must have length between 1 and 50");
        return;
    }
    const weir_value *key = keys + 1;
    for (uint32_t i = 0; i < keys->size; i++, key = weir_value_next(key))
        if (key->type == WEIR_V_STRING) aws_tags_remove(&d->tags, weir_value_str(key));
    aws_out_open(&call->out, NULL);
    aws_end(call);
}

void firehose_list_tags(aws_call *call) {
    delivery *d = firehose_rate(call) ? firehose_stream(call, false) : NULL;
    int64_t limit;
    weir_str after;
    if (!d || !aws_number(call, call->in, "Limit", FIREHOSE_TAGS_MAX, &limit) ||
        !aws_member(call, call->in, "ExclusiveStartTagKey", &after))
        return;
    if (limit < 1 || limit > (int64_t)FIREHOSE_TAGS_MAX) {
        firehose_invalid(call, STR("..."), "limit", "Member must have value between 1 and 50");
        return;
    }
    aws_out *o = &call->out;
    aws_out_open(o, NULL);
    aws_out_open_array(o, "Tags");
    const aws_tag *t = d->tags.first;
    while (t && after.ptr && str_cmp(str_of(t->key), after) <= 0) t = t->next;
    for (; t && limit > 0; t = t->next, limit--) {
        aws_out_open(o, NULL);
        aws_out_z(o, "Key", t->key);
        aws_out_z(o, "Value", t->value);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    aws_out_bool(o, "HasMoreTags", t != NULL);
    aws_end(call);
}
