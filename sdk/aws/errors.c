/* What the code of a failed answer means. Codes and messages are read in error_body.c. */
#include "errors.h"

#include <string.h>
#include <time.h>

static int digits(const char *p, int count);
static bool in_list(weir_str code, const char *const *list);
static bool ends_with(weir_str code, const char *tail);

static const char *const throttling[] = {"Throttling",
                                         "ThrottlingException",
                                         "ThrottledException",
                                         "RequestThrottledException",
                                         "RequestThrottled",
                                         "TooManyRequestsException",
                                         "ProvisionedThroughputExceededException",
                                         "TransactionInProgressException",
                                         "RequestLimitExceeded",
                                         "BandwidthLimitExceeded",
                                         "LimitExceededException",
                                         "SlowDown",
                                         "PriorRequestNotComplete",
                                         "EC2ThrottledException",
                                         "KMSThrottlingException",
                                         NULL};
static const char *const transient[] = {
    "RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalFailureException",
    "InternalServerError", "InternalError", "ServiceUnavailable", "ServiceUnavailableException",
    "IDPCommunicationError",
    /* The body was changed on its way: sent again, it may not. */
    "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", NULL};
static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException", NULL};
static const char *const identity[] = {"UnrecognizedClientException",
                                       "InvalidClientTokenId",
                                       "InvalidSignatureException",
                                       "SignatureDoesNotMatch",
                                       "MissingAuthenticationToken",
                                       "MissingAuthenticationTokenException",
                                       "IncompleteSignature",
                                       "IncompleteSignatureException",
                                       "AuthFailure",
                                       "RequestExpired",
                                       "RequestTimeTooSkewed",
                                       "RequestInTheFuture",
                                       "InvalidAccessKeyId",
                                       NULL};
static const char *const clock_codes[] = {"RequestTimeTooSkewed",
                                          "RequestExpired",
                                          "RequestInTheFuture",
                                          "InvalidSignatureException",
                                          "SignatureDoesNotMatch",
                                          "AuthFailure",
                                          NULL};
static const char *const permission[] = {"AccessDenied",
                                         "AccessDeniedException",
                                         "NotAuthorized",
                                         "OptInRequired",
                                         "KMSAccessDeniedException",
                                         "KMSOptInRequired",
                                         "UnauthorizedOperation",
                                         NULL};

uint32_t aws_error_kind(uint32_t http_status, weir_str code, weir_status *status) {
    if (in_list(code, throttling) || http_status == 429) {
        *status = WEIR_E_THROTTLED;
        return WEIR_AWS_THROTTLED;
    }
    if (in_list(code, transient) || http_status == 500 || http_status == 502 ||
        http_status == 503 || http_status == 504 || http_status == 408) {
        *status = WEIR_E_IO;
        return WEIR_AWS_TRANSIENT;
    }
    if (in_list(code, expired)) {
        *status = WEIR_E_AUTH;
        return WEIR_AWS_EXPIRED;
    }
    if (in_list(code, permission)) {
        *status = WEIR_E_PERMISSION;
        return WEIR_AWS_DENIED;
    }
    if (in_list(code, identity)) {
        *status = WEIR_E_AUTH;
        return WEIR_AWS_DENIED;
    }
    if (ends_with(code, "NotFoundException") || ends_with(code, "NotFound") || http_status == 404) {
        *status = WEIR_E_NOT_FOUND;
        return WEIR_AWS_NOT_FOUND;
    }
    if (http_status == 401 || http_status == 403) {
        *status = http_status == 401 ? WEIR_E_AUTH : WEIR_E_PERMISSION;
        return WEIR_AWS_DENIED;
    }
    *status = WEIR_E_INVALID_ARG;
    return WEIR_AWS_REFUSED;
}

bool aws_error_is_clock(weir_str code) {
    return in_list(code, clock_codes);
}

int64_t aws_http_date_us(weir_str value) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char shape[] = "aaa, dd aaa dddd dd:dd:dd GMT";
    const char *p = value.ptr;
    if (!p || value.len != sizeof shape - 1) return INT64_MIN;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        bool digit = p[i] >= '0' && p[i] <= '9';
        if (shape[i] == 'd' ? !digit : shape[i] != 'a' && p[i] != shape[i]) return INT64_MIN;
    }
    struct tm tm = {.tm_mday = digits(p + 5, 2),
                    .tm_year = digits(p + 12, 4) - 1900,
                    .tm_hour = digits(p + 17, 2),
                    .tm_min = digits(p + 20, 2),
                    .tm_sec = digits(p + 23, 2)};
    while (tm.tm_mon < 12 && memcmp(months + (size_t)tm.tm_mon * 3, p + 8, 3) != 0) tm.tm_mon++;
    if (tm.tm_mon == 12 || tm.tm_year < 70) return INT64_MIN;
    return (int64_t)timegm(&tm) * 1000000;
}

/* `count` characters that are known to be digits. */
static int digits(const char *p, int count) {
    int n = 0;
    for (int i = 0; i < count; i++) n = n * 10 + (p[i] - '0');
    return n;
}

static bool in_list(weir_str code, const char *const *list) {
    for (; *list; list++)
        if (strlen(*list) == code.len && memcmp(*list, code.ptr, (size_t)code.len) == 0)
            return true;
    return false;
}

static bool ends_with(weir_str code, const char *tail) {
    size_t n = strlen(tail);
    return code.len >= n && memcmp(code.ptr + code.len - n, tail, n) == 0;
}
