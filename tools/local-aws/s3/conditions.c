/*
 * If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since: of reads, writes and copies.
 */
#include <stdio.h>

#include "aws/text.h"
#include "s3/call.h"

/* Whether a list of entity tags ("a", W/"b", c, or *) names this one. */
static bool names(weir_str list, const char *etag) {
    while (list.len) {
        weir_str one = aws_trim(aws_until(&list, ','));
        if (str_eq_z(one, "*")) return true;
        if (str_starts(one, STR("W/"))) one = str_make(one.ptr + 2, (size_t)one.len - 2);
        if (one.len >= 2 && one.ptr[0] == '"' && one.ptr[one.len - 1] == '"')
            one = str_make(one.ptr + 1, (size_t)one.len - 2);
        if (str_eq_z(one, etag)) return true;
    }
    return false;
}

static weir_str condition(const s3_call *call, const char *prefix, const char *name) {
    char text[80];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    return s3_header(call, text);
}

static bool fail_precondition(s3_call *call, const char *prefix, const char *name) {
    char text[80];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    s3_detail_z(call, "Condition", text);
    s3_fail(call, &S3_PRECONDITION);
    return false;
}

static bool not_modified(s3_call *call, const s3_object *o, const char *prefix, const char *name) {
    if (*prefix) return fail_precondition(call, prefix, name);
    char text[S3_TIME_TEXT];
    s3_time_http(o->modified_ms, text);
    exchange_header_f(call->x, "etag", "\"%s\"", o->etag);
    exchange_header(call->x, "last-modified", str_of(text));
    s3_end(call, 304);
    return false;
}

/* An entity tag's condition that holds makes the date's of its kind void: RFC 9110, 13.2.2. */
bool s3_read_conditions(s3_call *call, const s3_object *o, const char *prefix) {
    int64_t modified = o->modified_ms / 1000, date;
    weir_str match = condition(call, prefix, "if-match");
    weir_str unmodified = condition(call, prefix, "if-unmodified-since");
    if (match.ptr) {
        if (!names(match, o->etag)) return fail_precondition(call, prefix, "If-Match");
    } else if (unmodified.ptr && s3_time_read(unmodified, &date) && modified > date / 1000) {
        return fail_precondition(call, prefix, "If-Unmodified-Since");
    }
    weir_str none = condition(call, prefix, "if-none-match");
    weir_str since = condition(call, prefix, "if-modified-since");
    if (none.ptr) {
        if (names(none, o->etag)) return not_modified(call, o, prefix, "If-None-Match");
    } else if (since.ptr && s3_time_read(since, &date) && modified <= date / 1000) {
        return not_modified(call, o, prefix, "If-Modified-Since");
    }
    return true;
}

bool s3_write_conditions(s3_call *call) {
    weir_str none = s3_header(call, "if-none-match"), match = s3_header(call, "if-match");
    const s3_object *there = s3_object_get(call->bucket, call->key);
    if ((none.ptr && !str_eq_z(none, "*")) || (none.ptr && match.ptr)) {
        s3_detail_z(call, "Header", "If-None-Match");
        s3_fail(call, &S3_NOT_IMPLEMENTED);
        return false;
    }
    if (none.ptr && there) return fail_precondition(call, "", "If-None-Match");
    if (match.ptr && !there) {
        s3_detail(call, "Key", call->key);
        s3_fail(call, &S3_NO_SUCH_KEY);
        return false;
    }
    if (match.ptr && !names(match, there->etag)) return fail_precondition(call, "", "If-Match");
    return true;
}

bool s3_delete_conditions(s3_call *call, const s3_object *o) {
    weir_str match = s3_header(call, "if-match");
    if (match.ptr && !o) {
        s3_detail(call, "Key", call->key);
        s3_fail(call, &S3_NO_SUCH_KEY);
        return false;
    }
    return !match.ptr || names(match, o->etag) || fail_precondition(call, "", "If-Match");
}
