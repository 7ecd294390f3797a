/*
 * Who asks, and whether he asks in the right region: the signature check's verdicts in S3's words.
 */
#include <inttypes.h>

#include "aws/verify.h"
#include "s3/call.h"

#define WINDOW_MS (15 * 60 * 1000)

static bool presigned(const s3_call *call) {
    return s3_has_param(call, "X-Amz-Algorithm");
}

static void fail_skewed(s3_call *call) {
    if (presigned(call)) {
        s3_fail_text(call, &S3_ACCESS_DENIED, "Request is not valid yet");
        return;
    }
    char text[S3_TIME_TEXT];
    s3_time_iso(server_told_ms(local_server(call->s->home)), text);
    s3_detail(call, "RequestTime", call->who.date);
    s3_detail_z(call, "ServerTime", text);
    s3_detail_u64(call, "MaxAllowedSkewMilliseconds", WINDOW_MS);
    s3_fail(call, &S3_SKEWED);
}

/* A URL past its time is refused with other words than credentials past theirs. */
static void fail_expired(s3_call *call) {
    int64_t signed_ms, seconds, now = server_told_ms(local_server(call->s->home));
    weir_str expires = s3_param(call, "X-Amz-Expires");
    if (presigned(call) && verify_time_ms(s3_param(call, "X-Amz-Date"), &signed_ms) &&
        str_to_i64(expires, &seconds) && now > signed_ms + seconds * 1000) {
        char text[S3_TIME_TEXT];
        s3_detail(call, "X-Amz-Expires", expires);
        s3_time_iso(signed_ms + seconds * 1000, text);
        s3_detail_z(call, "Expires", text);
        s3_time_iso(now, text);
        s3_detail_z(call, "ServerTime", text);
        s3_fail_text(call, &S3_ACCESS_DENIED, "Request has expired");
        return;
    }
    s3_fail(call, &S3_EXPIRED_TOKEN);
}

static void fail_mismatch(s3_call *call) {
    weir_str detail = str_of(call->who.detail);
    if (str_starts(detail, STR("Credential should")) || str_starts(detail, STR("Date in"))) {
        const s3_error *e = presigned(call) ? &S3_AUTH_QUERY : &S3_AUTH_HEADER;
        s3_fail_text(call, e, "The authorization header is malformed; %s", call->who.detail);
        return;
    }
    if (str_starts(detail, STR("there were headers"))) {
        s3_fail_text(call, &S3_ACCESS_DENIED,
                     "There were headers present in the request which were not signed");
        return;
    }
    s3_detail(call, "AWSAccessKeyId", call->who.access_key);
    if (call->who.signature.len) s3_detail(call, "SignatureProvided", call->who.signature);
    s3_fail(call, &S3_SIGNATURE);
}

/* Whether it is a signature of another kind than version 4's: answered then. */
static bool other_mechanism(s3_call *call) {
    weir_str text = s3_header(call, "authorization");
    if (text.ptr ? str_starts(text, STR("AWS ")) || str_starts(text, STR("AWS4-ECDSA"))
                 : s3_has_param(call, "AWSAccessKeyId")) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "The authorization mechanism you have provided is not supported. Please use "
                     "AWS4-HMAC-SHA256.");
        return true;
    }
    if (!text.ptr || str_starts(text, STR("AWS"))) return false;
    s3_fail_argument(call, "Authorization", text, "Unsupported Authorization Type");
    return true;
}

static bool signature(s3_call *call) {
    switch (aws_authenticate(call->s->home, call->x, "s3", &call->who)) {
    case AWS_AUTH_OK:
        return true;
    case AWS_AUTH_MISSING:
        if (!other_mechanism(call)) s3_fail(call, &S3_ACCESS_DENIED);
        return false;
    case AWS_AUTH_INCOMPLETE:
        if (other_mechanism(call)) return false;
        s3_fail(call, presigned(call) ? &S3_AUTH_QUERY : &S3_AUTH_HEADER);
        return false;
    case AWS_AUTH_UNKNOWN:
        s3_detail(call, "AWSAccessKeyId", call->who.access_key);
        s3_fail(call, &S3_INVALID_ACCESS_KEY);
        return false;
    case AWS_AUTH_SKEWED:
        fail_skewed(call);
        return false;
    case AWS_AUTH_EXPIRED:
        fail_expired(call);
        return false;
    case AWS_AUTH_BAD_TOKEN:
        s3_fail(call, &S3_INVALID_TOKEN);
        return false;
    case AWS_AUTH_MISMATCH:
    default:
        fail_mismatch(call);
        return false;
    }
}

void s3_fail_region(s3_call *call, const s3_error *e, const char *region) {
    weir_str name = call->bucket_name;
    if (e == &S3_AUTH_HEADER) {
        s3_detail_z(call, "Region", region);
        s3_fail_text(call, e,
                     "The authorization header is malformed; the region '%.*s' is wrong; expecting "
                     "'%s'",
                     STR_FMT(call->who.region), region);
        return;
    }
    buf host;
    buf_init(&host, 512);
    buf_printf(&host, "%.*s%ss3.%s.amazonaws.com", STR_FMT(name), name.len ? "." : "", region);
    s3_detail(call, "Endpoint", buf_str(&host));
    if (name.len) s3_detail(call, "Bucket", name);
    s3_detail_z(call, "Region", region);
    buf_free(&host);
    s3_fail(call, e);
}

/* Regions matter to those who sign: with signatures switched off all of them are this endpoint. */
static bool region(s3_call *call) {
    if (!call->bucket || !local_settings(call->s->home)->verify) return true;
    const char *home = call->bucket->region;
    if (!call->who.region.len || str_eq_z(call->who.region, home)) return true;
    if ((call->op->flags & S3_ANY_REGION) && str_eq_z(call->who.region, "us-east-1")) return true;
    s3_fail_region(call, call->s->redirects ? &S3_PERMANENT_REDIRECT : &S3_AUTH_HEADER, home);
    return false;
}

/* x-amz-expected-bucket-owner, and the one of a copy's source. */
static bool owner(s3_call *call) {
    const char *account = local_settings(call->s->home)->account;
    static const char *const names[] = {"x-amz-expected-bucket-owner",
                                        "x-amz-source-expected-bucket-owner"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        weir_str expected = s3_header(call, names[i]);
        if (!expected.ptr || str_eq_z(expected, account)) continue;
        s3_fail(call, &S3_ACCESS_DENIED);
        return false;
    }
    return true;
}

bool s3_authorise(s3_call *call) {
    if (!signature(call)) return false;
    /* The verifier takes the body's own hash where none is stated; S3 wants it stated. */
    if (local_settings(call->s->home)->verify && !presigned(call) &&
        !s3_header(call, "x-amz-content-sha256").ptr) {
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Missing required header for this request: x-amz-content-sha256");
        return false;
    }
    return owner(call) && region(call);
}
