#include "secret_id.h"

#include <string.h>

#include "weir/aws.h"

#define ARN_COLONS 6u /* arn:partition:secretsmanager:region:account:secret:name */

/* Length of `text` before its n-th colon, or all of it. */
static uint64_t before_colon(weir_str text, unsigned n) {
    for (uint64_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ':' && n-- == 1) return i;
    return text.len;
}

int secret_id_parse(weir_str text, secret_id *out) {
    int is_arn = text.len >= 4 && memcmp(text.ptr, "arn:", 4) == 0;
    memset(out, 0, sizeof *out);
    out->region.ptr = out->field.ptr = "";
    out->id.ptr = text.ptr;
    out->id.len = before_colon(text, is_arn ? ARN_COLONS + 1 : 1);
    if (out->id.len < text.len) {
        out->field.ptr = text.ptr + out->id.len + 1;
        out->field.len = text.len - out->id.len - 1;
        if (out->field.len == 0) return 0;
    }
    if (!is_arn) return out->id.len > 0;
    weir_aws_arn arn;
    static const char service[] = "secretsmanager", kind[] = "secret:";
    if (!weir_aws_arn_parse(out->id, &arn) || arn.region.len == 0 ||
        arn.service.len != sizeof service - 1 ||
        memcmp(arn.service.ptr, service, sizeof service - 1) != 0 ||
        arn.resource.len < sizeof kind || memcmp(arn.resource.ptr, kind, sizeof kind - 1) != 0)
        return 0;
    out->region = arn.region;
    return 1;
}
