/*
 * plugins/aws/secret_value.h - from the answer of GetSecretValue to the text that is asked for.
 */
#ifndef AWS_SECRET_VALUE_H
#define AWS_SECRET_VALUE_H

#include "weir/types.h"

typedef struct secret_value {
    char *text; /* malloc'ed, NUL-terminated; wiped by secret_value_free */
    uint64_t len;
} secret_value;

/* NULL, or what is wrong (static, lower case, without a part of the secret); `status` says of which
 * kind. `body` is the JSON of the answer, `field` empty for the whole. A member that is a number,
 * true or false is its text as JSON writes it. */
const char *secret_value_read(weir_str body, weir_str field, secret_value *out,
                              weir_status *status);
void secret_value_free(secret_value *v);

#endif
