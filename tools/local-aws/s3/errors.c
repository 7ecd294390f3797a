#include "s3/errors.h"

#include <stddef.h>

#include "base/str.h"

#define S3_ERROR(name, code, status, message) const s3_error S3_##name = {code, status, message};
#include "s3/errors.def"
#undef S3_ERROR

const s3_error *s3_error_named(weir_str code) {
    static const s3_error *const all[] = {
#define S3_ERROR(name, code, status, message) &S3_##name,
#include "s3/errors.def"
#undef S3_ERROR
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (str_eq_z(code, all[i]->code)) return all[i];
    return NULL;
}
