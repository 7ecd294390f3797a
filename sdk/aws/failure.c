#include <string.h>

#include "client.h"
#include "weir/sdk.h"

static weir_status fail_with(weir_ctx *ctx, weir_error *error, const weir_aws_client *c,
                             const weir_aws_response *r, const char *what, uint32_t flags);
static bool is_setting(const weir_aws_response *r);

weir_status weir_aws_fail(weir_ctx *ctx, weir_error *error, const weir_aws_client *c,
                          const weir_aws_response *r, const char *what) {
    uint32_t flags = 0;
    if (r->kind == WEIR_AWS_THROTTLED || r->kind == WEIR_AWS_TRANSIENT) flags = WEIR_ERR_RETRYABLE;
    if (r->kind == WEIR_AWS_DENIED || r->kind == WEIR_AWS_EXPIRED ||
        r->kind == WEIR_AWS_NOT_FOUND || r->kind == WEIR_AWS_REFUSED)
        flags = WEIR_ERR_FATAL;
    return fail_with(ctx, error, c, r, what, flags);
}

weir_status weir_aws_fail_last(weir_ctx *ctx, weir_error *error, const weir_aws_client *c,
                               const weir_aws_response *r, const char *what) {
    return fail_with(ctx, error, c, r, what, WEIR_ERR_FATAL);
}

/* No keys, or a certificate that is not trusted: nobody was asked, the setting is at fault. */
static bool is_setting(const weir_aws_response *r) {
    return r->kind == WEIR_AWS_DENIED && r->http_status == 0;
}

static weir_status fail_with(weir_ctx *ctx, weir_error *error, const weir_aws_client *c,
                             const weir_aws_response *r, const char *what, uint32_t flags) {
    if (is_setting(r)) flags |= WEIR_ERR_CONFIG;
    weir_fail(ctx, error, r->status, flags, "%s: %.*s%s%.*s", what, (int)r->code.len, r->code.ptr,
              r->code.len && r->message.len ? ": " : "",
              (int)(r->message.len < 1024 ? r->message.len : 1024), r->message.ptr);
    if (r->http_status) {
        text t = {0};
        text_add_f(&t, "%u", r->http_status);
        weir_fail_detail(ctx, error, WEIR_DETAIL_HTTP_STATUS, text_str(&t));
        text_free(&t);
    }
    if (r->code.len) weir_fail_detail(ctx, error, WEIR_DETAIL_VENDOR_CODE, r->code);
    if (r->request_id.len) weir_fail_detail(ctx, error, WEIR_DETAIL_REQUEST_ID, r->request_id);
    if (r->hint.len) {
        weir_fail_hint(ctx, error, "%.*s", (int)(r->hint.len < 512 ? r->hint.len : 512),
                       r->hint.ptr);
        return r->status;
    }
    const char *dot = memchr(r->operation.ptr, '.', (size_t)r->operation.len);
    int operation_len = dot ? (int)(r->operation.ptr + r->operation.len - dot - 1) : 0;
    switch (r->kind) {
    case WEIR_AWS_DENIED:
    case WEIR_AWS_EXPIRED:
        if (r->status == WEIR_E_PERMISSION)
            weir_fail_hint(ctx, error,
                           "the identity (access key from %s) needs permission for %s:%.*s",
                           c->identity.origin, c->service, operation_len, dot ? dot + 1 : "");
        else
            weir_fail_hint(ctx, error,
                           "check the access key and secret key (from %s) and this machine's clock",
                           c->identity.origin);
        break;
    case WEIR_AWS_NOT_FOUND:
        weir_fail_hint(ctx, error, "check the name, the region (%s) and the endpoint (%s)",
                       c->region, c->endpoint.url);
        break;
    case WEIR_AWS_TRANSIENT:
        if (r->http_status == 0)
            weir_fail_hint(ctx, error, "check that %s can be reached from here", c->endpoint.url);
        break;
    default:
        break;
    }
    return r->status;
}
