/*
 * Where a stream delivers to: read from requests, merged by updates, described.
 */
#include "firehose/firehose.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

void destination_free(destination *d) {
    for (int i = 0; i < DESTINATION_TEXTS; i++) mem_free(d->text[i]);
    *d = (destination){0};
}

bool destination_copy(const destination *from, destination *to) {
    *to = *from;
    bool ok = true;
    for (int i = 0; i < DESTINATION_TEXTS; i++) to->text[i] = NULL;
    for (int i = 0; ok && i < DESTINATION_TEXTS; i++)
        if (from->text[i]) ok = aws_text_set(&to->text[i], str_of(from->text[i]));
    if (!ok) destination_free(to);
    return ok;
}

weir_str destination_bucket(const destination *d) {
    weir_str arn = str_of(d->text[DESTINATION_BUCKET]);
    const char *mark = arn.len ? memmem(arn.ptr, (size_t)arn.len, ":s3:::", 6) : NULL;
    return mark ? str_of(mark + 6) : STR("");
}

/* "\\n" is how a line feed is written in a parameter that may not be white space alone. */
size_t destination_delimiter(const destination *d, char out[64]) {
    if (!d->processing || !d->appends) return 0;
    const char *text = d->text[DESTINATION_DELIMITER];
    size_t n = 0;
    for (size_t i = 0; text && text[i] && n < 64; i++) {
        bool escaped = text[i] == '\\' && text[i + 1] && strchr("nrt\\", text[i + 1]);
        char c = text[i];
        if (escaped) {
            c = text[++i];
            c = (char)(c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c);
        }
        out[n++] = c;
    }
    return n;
}

/* ---- reading ---- */

static bool refuse(aws_call *call, const char *what) {
    aws_fail(call, &FIREHOSE_INVALID, "%s", what);
    return false;
}

static bool set(aws_call *call, destination *d, int which, weir_str value) {
    if (aws_text_set(&d->text[which], value)) return true;
    firehose_no_memory(call);
    return false;
}

static bool role_is_valid(weir_str arn) {
    return arn.len <= 512 && str_starts(arn, STR("arn:")) && prefix_has(arn, ":iam::") &&
           prefix_has(arn, ":role/") && !str_ends(arn, STR("/"));
}

static bool bucket_is_valid(weir_str arn) {
    const char *mark = arn.len ? memmem(arn.ptr, (size_t)arn.len, ":s3:::", 6) : NULL;
    if (!mark || !str_starts(arn, STR("arn:"))) return false;
    weir_str name = str_make(mark + 6, (size_t)(arn.ptr + arn.len - mark) - 6);
    return name.len >= 1 && name.len <= 255 && aws_name_of(name, "_.-");
}

static bool read_arns(aws_call *call, const weir_value *in, bool update, destination *d) {
    weir_str role, bucket;
    if (!aws_member(call, in, "RoleARN", &role) || !aws_member(call, in, "BucketARN", &bucket))
        return false;
    if ((!role.ptr && !update) || (role.ptr && !role_is_valid(role))) {
        firehose_invalid(call, role, "s3DestinationConfiguration.roleARN",
                         role.ptr ? "Member must satisfy regular expression pattern: "
                                    "arn:.*:iam::\\d{12}:role/[a-zA-Z_0-9+=,.@\\-_/]+"
                                  : "Member must not be null");
        return false;
    }
    if ((!bucket.ptr && !update) || (bucket.ptr && !bucket_is_valid(bucket))) {
        firehose_invalid(call, bucket, "s3DestinationConfiguration.bucketARN",
                         bucket.ptr ? "Member must satisfy regular expression pattern: "
                                      "arn:.*:s3:::[\\w\\.\\-]{1,255}"
                                    : "Member must not be null");
        return false;
    }
    return (!role.ptr || set(call, d, DESTINATION_ROLE, role)) &&
           (!bucket.ptr || set(call, d, DESTINATION_BUCKET, bucket));
}

static bool read_prefix(aws_call *call, const weir_value *in, const char *name, int which,
                        destination *d) {
    weir_str value;
    char why[160];
    bool error = which == DESTINATION_ERROR_PREFIX;
    if (!aws_member(call, in, name, &value)) return false;
    if (!value.ptr) return true;
    if (aws_characters(value) > FIREHOSE_PREFIX_MAX) {
        firehose_invalid(call, value, error ? "errorOutputPrefix" : "prefix",
                         "Member must have length less than or equal to 1024");
        return false;
    }
    if (prefix_is_valid(value, error, why, sizeof why)) return set(call, d, which, value);
    aws_fail(call, &FIREHOSE_INVALID, "%s is not valid: %s.", name, why);
    return false;
}

/* The two prefixes together. */
static bool check_prefixes(aws_call *call, const destination *d) {
    weir_str prefix = str_of(d->text[DESTINATION_PREFIX]),
             error = str_of(d->text[DESTINATION_ERROR_PREFIX]);
    if (prefix_has(prefix, "!{") && !error.len)
        return refuse(call, "ErrorOutputPrefix must be specified if Prefix contains expressions.");
    if (prefix_has(error, "!{") && !prefix_has(error, "!{firehose:error-output-type}"))
        return refuse(call,
                      "ErrorOutputPrefix must contain !{firehose:error-output-type} if it contains "
                      "expressions.");
    return true;
}

static bool read_hints(aws_call *call, const weir_value *in, destination *d) {
    const weir_value *hints;
    int64_t size, interval;
    if (!aws_container(call, in, "BufferingHints", WEIR_V_OBJECT, &hints) ||
        !aws_number(call, hints, "SizeInMBs", INT64_MIN, &size) ||
        !aws_number(call, hints, "IntervalInSeconds", INT64_MIN, &interval))
        return false;
    if (size == INT64_MIN && interval == INT64_MIN) return true;
    if (size == INT64_MIN || interval == INT64_MIN)
        return refuse(call,
                      "BufferingHints: SizeInMBs and IntervalInSeconds must be given together.");
    char text[24];
    bool sized = size >= 1 && size <= 128;
    if (sized && interval >= 0 && interval <= 900) {
        d->size_mib = size;
        d->interval_s = interval;
        return true;
    }
    int n = snprintf(text, sizeof text, "%" PRId64, sized ? interval : size);
    firehose_invalid(call, str_make(text, (size_t)n),
                     sized ? "bufferingHints.intervalInSeconds" : "bufferingHints.sizeInMBs",
                     sized ? "Member must have value between 0 and 900"
                           : "Member must have value between 1 and 128");
    return false;
}

static bool read_compression(aws_call *call, const weir_value *in, destination *d) {
    weir_str value;
    if (!aws_member(call, in, "CompressionFormat", &value)) return false;
    if (!value.ptr) return true;
    d->gzip = str_eq_z(value, "GZIP");
    if (d->gzip || str_eq_z(value, "UNCOMPRESSED")) return true;
    if (str_eq_z(value, "ZIP") || str_eq_z(value, "Snappy") || str_eq_z(value, "HADOOP_SNAPPY")) {
        aws_fail(
            call, &FIREHOSE_INVALID,
            "CompressionFormat %.*s is not served by this endpoint: UNCOMPRESSED and GZIP are.",
            STR_FMT(value));
        return false;
    }
    firehose_invalid(call, value, "compressionFormat",
                     "Member must satisfy enum value set: "
                     "[UNCOMPRESSED, GZIP, ZIP, Snappy, HADOOP_SNAPPY]");
    return false;
}

static bool read_encryption(aws_call *call, const weir_value *in, destination *d) {
    const weir_value *encryption, *kms;
    weir_str key;
    if (!aws_container(call, in, "EncryptionConfiguration", WEIR_V_OBJECT, &encryption) ||
        !aws_container(call, encryption, "KMSEncryptionConfig", WEIR_V_OBJECT, &kms) ||
        !aws_member(call, kms, "AWSKMSKeyARN", &key))
        return false;
    if (!encryption) return true;
    if (kms && !key.ptr) return refuse(call, "KMSEncryptionConfig: AWSKMSKeyARN is missing.");
    if (kms) return set(call, d, DESTINATION_KMS_KEY, key);
    mem_free(d->text[DESTINATION_KMS_KEY]);
    d->text[DESTINATION_KMS_KEY] = NULL;
    return true;
}

static bool read_logging(aws_call *call, const weir_value *in, destination *d) {
    const weir_value *logging;
    weir_str group, stream;
    if (!aws_container(call, in, "CloudWatchLoggingOptions", WEIR_V_OBJECT, &logging) ||
        !aws_member(call, logging, "LogGroupName", &group) ||
        !aws_member(call, logging, "LogStreamName", &stream))
        return false;
    if (!logging) return true;
    d->logging = weir_json_get_bool(logging, "Enabled", 0) != 0;
    if (d->logging && (!group.len || !stream.len))
        return refuse(call, "CloudWatchLoggingOptions: LogGroupName and LogStreamName must be "
                            "given if logging is enabled.");
    return (!group.ptr || set(call, d, DESTINATION_LOG_GROUP, group)) &&
           (!stream.ptr || set(call, d, DESTINATION_LOG_STREAM, stream));
}

static bool read_parameters(aws_call *call, const weir_value *processor, destination *d) {
    const weir_value *list;
    weir_str delimiter = STR("\\n");
    if (!aws_container(call, processor, "Parameters", WEIR_V_ARRAY, &list)) return false;
    const weir_value *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, item = weir_value_next(item)) {
        weir_str name, value;
        if (!aws_member(call, item, "ParameterName", &name) ||
            !aws_member(call, item, "ParameterValue", &value))
            return false;
        if (!str_eq_z(name, "Delimiter") || !value.len || value.len > 64)
            return refuse(call, "AppendDelimiterToRecord: expected the parameter Delimiter of 1 to "
                                "64 bytes.");
        delimiter = value;
    }
    return set(call, d, DESTINATION_DELIMITER, delimiter);
}

static bool read_processing(aws_call *call, const weir_value *in, destination *d) {
    const weir_value *processing, *list;
    if (!aws_container(call, in, "ProcessingConfiguration", WEIR_V_OBJECT, &processing) ||
        !aws_container(call, processing, "Processors", WEIR_V_ARRAY, &list))
        return false;
    if (!processing) return true;
    d->processing = weir_json_get_bool(processing, "Enabled", 0) != 0;
    d->appends = false;
    const weir_value *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, item = weir_value_next(item)) {
        weir_str type;
        if (!aws_member(call, item, "Type", &type)) return false;
        if (!str_eq_z(type, "AppendDelimiterToRecord")) {
            aws_fail(call, &FIREHOSE_INVALID,
                     "Processor %.*s is not served by this endpoint: AppendDelimiterToRecord is.",
                     STR_FMT(type.ptr ? type : STR("null")));
            return false;
        }
        d->appends = true;
        if (!read_parameters(call, item, d)) return false;
    }
    return true;
}

/* What the service has and this endpoint has not, and must not be taken for done. */
static bool read_refused(aws_call *call, const weir_value *in) {
    const weir_value *conversion, *partitioning;
    weir_str backup;
    if (!aws_member(call, in, "S3BackupMode", &backup) ||
        !aws_container(call, in, "DataFormatConversionConfiguration", WEIR_V_OBJECT, &conversion) ||
        !aws_container(call, in, "DynamicPartitioningConfiguration", WEIR_V_OBJECT, &partitioning))
        return false;
    if (backup.ptr && !str_eq_z(backup, "Disabled"))
        return refuse(call, "S3BackupMode Enabled is not served by this endpoint.");
    if (conversion && weir_json_get_bool(conversion, "Enabled", 1))
        return refuse(call, "DataFormatConversionConfiguration is not served by this endpoint.");
    if (partitioning && weir_json_get_bool(partitioning, "Enabled", 1))
        return refuse(call, "DynamicPartitioningConfiguration is not served by this endpoint.");
    return true;
}

static bool read_extended(aws_call *call, const weir_value *in, destination *d) {
    weir_str extension, zone;
    if (!read_processing(call, in, d) || !read_refused(call, in) ||
        !aws_member(call, in, "FileExtension", &extension) ||
        !aws_member(call, in, "CustomTimeZone", &zone))
        return false;
    if (extension.len && (extension.len > 128 || extension.ptr[0] != '.' || extension.len < 2 ||
                          !aws_name_of(extension, "!-_.*'()"))) {
        firehose_invalid(call, extension, "fileExtension",
                         "Member must satisfy regular expression pattern: "
                         "^$|\\.[0-9a-z!\\-_.*'()]+");
        return false;
    }
    if (zone.len && !str_eq_z(zone, "UTC"))
        return refuse(call, "CustomTimeZone: only UTC is served by this endpoint.");
    return (!extension.ptr || set(call, d, DESTINATION_EXTENSION, extension)) &&
           (!zone.ptr || set(call, d, DESTINATION_ZONE, zone));
}

bool destination_read(aws_call *call, const weir_value *in, bool update, destination *d) {
    if (!update) {
        d->size_mib = 5; /* the API's defaults */
        d->interval_s = 300;
    }
    return read_arns(call, in, update, d) &&
           read_prefix(call, in, "Prefix", DESTINATION_PREFIX, d) &&
           read_prefix(call, in, "ErrorOutputPrefix", DESTINATION_ERROR_PREFIX, d) &&
           check_prefixes(call, d) && read_hints(call, in, d) && read_compression(call, in, d) &&
           read_encryption(call, in, d) && read_logging(call, in, d) &&
           (!d->extended || read_extended(call, in, d));
}

/* ---- describing ---- */

static void write_text(aws_out *o, const char *name, const destination *d, int which) {
    if (d->text[which]) aws_out_z(o, name, d->text[which]);
}

static void write_common(aws_out *o, const destination *d) {
    write_text(o, "RoleARN", d, DESTINATION_ROLE);
    write_text(o, "BucketARN", d, DESTINATION_BUCKET);
    write_text(o, "Prefix", d, DESTINATION_PREFIX);
    write_text(o, "ErrorOutputPrefix", d, DESTINATION_ERROR_PREFIX);
    aws_out_open(o, "BufferingHints");
    aws_out_i64(o, "SizeInMBs", d->size_mib);
    aws_out_i64(o, "IntervalInSeconds", d->interval_s);
    aws_out_close(o);
    aws_out_z(o, "CompressionFormat", d->gzip ? "GZIP" : "UNCOMPRESSED");
    aws_out_open(o, "EncryptionConfiguration");
    if (d->text[DESTINATION_KMS_KEY]) {
        aws_out_open(o, "KMSEncryptionConfig");
        write_text(o, "AWSKMSKeyARN", d, DESTINATION_KMS_KEY);
        aws_out_close(o);
    } else {
        aws_out_z(o, "NoEncryptionConfig", "NoEncryption");
    }
    aws_out_close(o);
    aws_out_open(o, "CloudWatchLoggingOptions");
    aws_out_bool(o, "Enabled", d->logging);
    write_text(o, "LogGroupName", d, DESTINATION_LOG_GROUP);
    write_text(o, "LogStreamName", d, DESTINATION_LOG_STREAM);
    aws_out_close(o);
}

static void write_processing(aws_out *o, const destination *d) {
    aws_out_open(o, "ProcessingConfiguration");
    aws_out_bool(o, "Enabled", d->processing);
    aws_out_open_array(o, "Processors");
    if (d->appends) {
        aws_out_open(o, NULL);
        aws_out_z(o, "Type", "AppendDelimiterToRecord");
        aws_out_open_array(o, "Parameters");
        aws_out_open(o, NULL);
        aws_out_z(o, "ParameterName", "Delimiter");
        write_text(o, "ParameterValue", d, DESTINATION_DELIMITER);
        aws_out_close(o);
        aws_out_close_array(o);
        aws_out_close(o);
    }
    aws_out_close_array(o);
    aws_out_close(o);
}

void destination_write(aws_out *o, const destination *d) {
    aws_out_open(o, "S3DestinationDescription");
    write_common(o, d);
    aws_out_close(o);
    if (!d->extended) return;
    aws_out_open(o, "ExtendedS3DestinationDescription");
    write_common(o, d);
    if (d->processing || d->appends) write_processing(o, d);
    aws_out_z(o, "S3BackupMode", "Disabled");
    write_text(o, "FileExtension", d, DESTINATION_EXTENSION);
    write_text(o, "CustomTimeZone", d, DESTINATION_ZONE);
    aws_out_close(o);
}
