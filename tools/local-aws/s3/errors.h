/*
 * s3/errors.h - the errors of S3: code, status, sentence. They stand in errors.def.
 */
#ifndef WEIR_LOCAL_S3_ERRORS_H
#define WEIR_LOCAL_S3_ERRORS_H

#include "weir/types.h"

typedef struct s3_error {
    const char *code;
    unsigned status;
    const char *message;
} s3_error;

#define S3_ERROR(name, code, status, message) extern const s3_error S3_##name;
#include "s3/errors.def"
#undef S3_ERROR

const s3_error *s3_error_named(weir_str code); /* NULL: none of that code */

#endif
