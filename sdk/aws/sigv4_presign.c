#include <stdio.h>
#include <string.h>

#include "sigv4.h"

static void add_encoded(text *out, const char *name, weir_str value);

weir_str weir_aws_presign(weir_aws_signer *s, const weir_aws_keys *keys,
                          const weir_aws_sign_args *args, uint32_t expires_s) {
    weir_str none = {NULL, 0};
    if (expires_s == 0 || expires_s > WEIR_AWS_PRESIGN_MAX_S) return none;
    if (args->date.len != WEIR_AWS_DATE_SIZE - 1) return none;
    sigv4_signed_names(s, args);
    bool token = keys->session_token.len > 0;
    bool token_last = (args->flags & WEIR_AWS_SIGN_TOKEN_LAST) != 0;

    text *q = &s->result;
    text_clear(q);
    text_add_str(q, args->query);
    if (args->query.len > 0) text_add_char(q, '&');
    text_add_z(q, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
    text_clear(&s->scratch);
    text_add_str(&s->scratch, keys->access_key_id);
    text_add_char(&s->scratch, '/');
    sigv4_scope(&s->scratch, args);
    if (s->scratch.failed) return none;
    sigv4_encode(q, s->scratch.ptr, s->scratch.len, false);
    text_add_z(q, "&X-Amz-Date=");
    text_add_str(q, args->date);
    text_add_f(q, "&X-Amz-Expires=%u", expires_s);
    if (token && !token_last) add_encoded(q, "&X-Amz-Security-Token=", keys->session_token);
    add_encoded(q, "&X-Amz-SignedHeaders=", text_str(&s->signed_names));
    if (q->failed || !sigv4_signature(s, keys, args, text_str(q))) return none;
    text_add_z(q, "&X-Amz-Signature=");
    text_add_z(q, s->signature);
    if (token && token_last) add_encoded(q, "&X-Amz-Security-Token=", keys->session_token);
    return q->failed ? none : text_str(q);
}

static void add_encoded(text *out, const char *name, weir_str value) {
    text_add_z(out, name);
    sigv4_encode(out, value.ptr, (size_t)value.len, false);
}
