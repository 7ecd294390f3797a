/*
 * The credentials of containers: those of an ECS task, and of a pod by EKS Pod Identity.
 */
#include <stdio.h>

#include "metadata/metadata.h"

#define ECS "/v2/credentials/"
#define EKS "/v1/credentials"

bool containers_claim(weir_str path, const char **operation) {
    if (str_starts(path, STR(ECS)))
        *operation = "ContainerCredentials";
    else if (str_eq_z(path, EKS))
        *operation = "PodCredentials";
    else
        return false;
    return true;
}

void containers_fail(exchange *x, unsigned status, const char *code, const char *message) {
    buf b;
    buf_init(&b, 8192);
    buf_append_z(&b, "{\"code\":");
    buf_append_json(&b, str_of(code));
    buf_append_z(&b, ",\"message\":");
    buf_append_json(&b, str_of(message));
    buf_printf(&b, ",\"HTTPErrorCode\":%u}", status);
    exchange_status(x, status);
    exchange_header(x, "content-type", STR("application/json"));
    exchange_copy(x, b.data, b.len);
    buf_free(&b);
    exchange_send(x);
}

/* False: the request has been answered. */
static bool may_ask(const metadata *m, exchange *x, bool pod) {
    weir_str token = exchange_request_header(x, "authorization");
    const char *wanted = pod ? m->pod_token : m->container_token;
    if (pod && !token.len)
        containers_fail(x, 400, "InvalidRequestException", "Service account token cannot be empty");
    else if (wanted && !str_eq_z(token, wanted))
        containers_fail(x, pod ? 400 : 403, pod ? "InvalidTokenException" : "AccessDenied",
                        pod ? "The token included in the request is invalid"
                            : "The authorization token is not the one that was set");
    else
        return true;
    return false;
}

void containers_serve(metadata *m, exchange *x) {
    const server_request *r = exchange_request(x);
    bool pod = str_eq_z(r->path, EKS);
    if (!str_eq_z(r->method, "GET")) {
        containers_fail(x, 405, "MethodNotAllowed", "expected GET");
        return;
    }
    if (!pod && r->path.len == sizeof ECS - 1) {
        containers_fail(x, 400, "NoIdInRequest",
                        "CredentialsV2Request: No Credential ID in the request");
        return;
    }
    if (!may_ask(m, x, pod)) return;
    if (!m->role[0]) {
        containers_fail(x, pod ? 404 : 400,
                        pod ? "ResourceNotFoundException" : "InvalidIdInRequest",
                        pod ? "No role is associated with the service account"
                            : "CredentialsV2Request: Credentials not found");
        return;
    }
    const sts_grant *g = metadata_keys(m, pod ? PLACE_POD : PLACE_CONTAINER);
    if (!g) {
        exchange_abort(x);
        return;
    }
    buf b;
    buf_init(&b, (size_t)64 << 10);
    buf_printf(&b, "{\"AccessKeyId\" : \"%s\", ", g->access_key);
    metadata_put_keys(m, g, &b);
    if (pod)
        buf_printf(&b, ", \"AccountId\" : \"%s\"}", g->account);
    else
        buf_printf(&b, ", \"RoleArn\" : \"arn:%s:iam::%s:role/%s\"}", sts_partition(m->home),
                   g->account, m->role);
    metadata_give(m, x, &b,
                  "{\"code\":\"AccessDeniedException\",\"message\":\"the role cannot be taken\"}");
    buf_free(&b);
}
