/*
 * sdk/aws/errors.h - what a failed answer means. Internal.
 */
#ifndef WEIR_AWS_ERRORS_H
#define WEIR_AWS_ERRORS_H

#include "text.h"
#include "weir/aws.h"

typedef struct aws_error_parts {
    text code; /* without namespace and URL: "ResourceNotFoundException" */
    text message;
} aws_error_parts;
void aws_error_parts_free(aws_error_parts *p);

/* Takes code and message from the header x-amzn-ErrorType and a JSON, CBOR or XML body; what is
 * not found stays empty. */
void aws_error_read(aws_error_parts *out, weir_str type_header, weir_str body);

/* Whether a 200 answer of S3's long operations says that the operation failed, or nothing at all.
 */
bool aws_error_in_success(weir_str body);

/* WEIR_AWS_* of an answer with an error, and the status it is reported as. */
uint32_t aws_error_kind(uint32_t http_status, weir_str code, weir_status *status);

/* Whether the code is one that a wrong clock brings about, too. */
bool aws_error_is_clock(weir_str code);

/* "Tue, 15 Nov 1994 08:12:31 GMT" as microseconds since 1970; INT64_MIN if it is none. */
int64_t aws_http_date_us(weir_str value);

#endif
