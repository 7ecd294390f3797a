#include <string.h>

#include "weir/aws.h"

int weir_aws_arn_parse(weir_str s, weir_aws_arn *out) {
    weir_str parts[6];
    const char *p = s.ptr, *end = p + s.len;
    for (int i = 0; i < 5; i++) {
        const char *colon = p < end ? memchr(p, ':', (size_t)(end - p)) : NULL;
        if (!colon) return 0;
        parts[i].ptr = p;
        parts[i].len = (uint64_t)(colon - p);
        p = colon + 1;
    }
    parts[5].ptr = p;
    parts[5].len = (uint64_t)(end - p);
    if (parts[0].len != 3 || memcmp(parts[0].ptr, "arn", 3) != 0 || parts[5].len == 0) return 0;
    out->partition = parts[1];
    out->service = parts[2];
    out->region = parts[3];
    out->account = parts[4];
    out->resource = parts[5];
    return 1;
}
