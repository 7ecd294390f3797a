/*
 * The instance metadata service: version 2, and version 1 if it is switched on.
 */
#include <inttypes.h>
#include <stdio.h>

#include "metadata/metadata.h"

#define ROOT "/latest/meta-data"
#define DYNAMIC "/latest/dynamic"
#define DOCUMENT "/latest/dynamic/instance-identity/document"
#define TOKEN "/latest/api/token"
#define ROLES "iam/security-credentials/"
#define INSTANCE "i-0123456789abcdef0"
#define INSTANCE_TYPE "m7i.large"
#define IMAGE "ami-0123456789abcdef0"
#define ADDRESS "10.0.0.10"
#define HOST "ip-10-0-0-10.ec2.internal"

static bool below(weir_str path, const char *root) {
    size_t n = strlen(root);
    return str_starts(path, str_of(root)) && (path.len == n || path.ptr[n] == '/');
}

bool imds_claims(weir_str path, const char **operation) {
    if (str_eq_z(path, TOKEN))
        *operation = "Token";
    else if (str_starts(path, STR(ROOT "/" ROLES)))
        *operation = path.len == sizeof ROOT "/" ROLES - 1 ? "Role" : "RoleCredentials";
    else if (below(path, ROOT))
        *operation = "MetaData";
    else if (below(path, DYNAMIC))
        *operation = "Dynamic";
    else
        return false;
    return true;
}

static void text(exchange *x, const buf *b) {
    exchange_header(x, "content-type", STR("text/plain"));
    exchange_header(x, "server", STR("EC2ws"));
    exchange_copy(x, b->data, b->len);
    exchange_send(x);
}

static void text_z(exchange *x, const char *z) {
    exchange_header(x, "content-type", STR("text/plain"));
    exchange_header(x, "server", STR("EC2ws"));
    exchange_copy(x, z, strlen(z));
    exchange_send(x);
}

/* ---- the session token ---- */

static void never(void *opaque) {
    (void)opaque;
}

static void give_token(metadata *m, exchange *x) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int64_t ttl;
    if (!str_eq_z(exchange_request(x)->method, "PUT")) {
        metadata_page(x, 405, "Method Not Allowed");
        return;
    }
    if (exchange_request_header(x, "x-forwarded-for").ptr) { /* an open proxy in front of it */
        metadata_page(x, 403, "Forbidden");
        return;
    }
    if (m->hop_limit_reached) { /* the answer's packets die on their way */
        exchange_on_close(x, never, NULL);
        return;
    }
    if (!str_to_i64(exchange_request_header(x, "x-aws-ec2-metadata-token-ttl-seconds"), &ttl) ||
        ttl < 1 || ttl > METADATA_TTL_MAX_S) {
        metadata_page(x, 400, "Bad Request");
        return;
    }
    imds_token *t = &m->tokens[m->next_token++ % METADATA_TOKENS];
    memcpy(t->text, "AQAEA", 5);
    for (size_t i = 5; i < METADATA_TOKEN_LEN - 2; i++)
        t->text[i] = letters[local_random(m->home) & 63];
    memcpy(t->text + METADATA_TOKEN_LEN - 2, "==", 3);
    t->expires_ms = server_now_ms(local_server(m->home)) + ttl * 1000;
    exchange_header_f(x, "x-aws-ec2-metadata-token-ttl-seconds", "%" PRId64, ttl);
    buf b;
    buf_init(&b, 256);
    buf_append_z(&b, t->text);
    if (m->line_ends) buf_append_z(&b, "\r\nX-Injected: yes\r\n");
    text(x, &b);
    buf_free(&b);
}

/* Whether the request may see anything: a token that holds, or none where version 1 is spoken. */
static bool may_see(metadata *m, const exchange *x) {
    weir_str token = exchange_request_header(x, "x-aws-ec2-metadata-token");
    if (!token.ptr) return m->v1;
    int64_t now = server_now_ms(local_server(m->home));
    for (uint32_t i = 0; i < METADATA_TOKENS; i++)
        if (m->tokens[i].expires_ms > now && str_eq_z(token, m->tokens[i].text)) return true;
    return false;
}

/* ---- what there is to see ---- */

static void give_keys(metadata *m, exchange *x) {
    const sts_grant *g = metadata_keys(m, PLACE_INSTANCE);
    if (!g) {
        exchange_abort(x);
        return;
    }
    char updated[32];
    sts_time(g->told_ms - (g->expires_ms - g->issued_ms), updated);
    buf b;
    buf_init(&b, (size_t)64 << 10);
    buf_printf(&b,
               "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  \"Type\" : "
               "\"AWS-HMAC\",\n  \"AccessKeyId\" : \"%s\",\n  ",
               updated, g->access_key);
    metadata_put_keys(m, g, &b);
    buf_append_z(&b, "\n}");
    metadata_give(m, x, &b,
                  "{\"Code\" : \"AssumeRoleUnauthorizedAccess\", \"Message\" : \"EC2 cannot assume "
                  "the role; check its trust relationship\"}");
    buf_free(&b);
}

static void give_document(metadata *m, exchange *x) {
    const local_options *o = local_settings(m->home);
    buf b;
    buf_init(&b, 4096);
    buf_printf(&b,
               "{\n  \"accountId\" : \"%s\",\n  \"architecture\" : \"x86_64\",\n  "
               "\"availabilityZone\" : \"%sa\",\n  \"imageId\" : \"" IMAGE
               "\",\n  \"instanceId\" : \"" INSTANCE "\",\n  \"instanceType\" : \"" INSTANCE_TYPE
               "\",\n  \"pendingTime\" : \"2026-01-15T12:00:00Z\",\n  \"privateIp\" : \"" ADDRESS
               "\",\n  \"region\" : \"%s\",\n  \"version\" : \"2017-09-30\"\n}",
               o->account, o->region, o->region);
    text(x, &b);
    buf_free(&b);
}

static void give_profile(metadata *m, exchange *x) {
    const char *account = local_settings(m->home)->account;
    char id[22], now[32];
    sts_unique_id("AIPA", str_of(m->role), id);
    sts_time(server_told_ms(local_server(m->home)), now);
    buf b;
    buf_init(&b, 4096);
    buf_printf(&b,
               "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"%s\",\n  "
               "\"InstanceProfileArn\" : \"arn:%s:iam::%s:instance-profile/%s\",\n  "
               "\"InstanceProfileId\" : \"%s\"\n}",
               now, sts_partition(m->home), account, m->role, id);
    text(x, &b);
    buf_free(&b);
}

/* The leaves below /latest/meta-data/ in the order of their names. NULL: made when asked for. */
static const struct {
    const char *path, *value;
} leaves[] = {
    {"ami-id", IMAGE},
    {"hostname", HOST},
    {"iam/info", NULL},
    {ROLES, NULL},
    {"instance-id", INSTANCE},
    {"instance-type", INSTANCE_TYPE},
    {"local-hostname", HOST},
    {"local-ipv4", ADDRESS},
    {"mac", "02:00:0a:00:00:0a"},
    {"placement/availability-zone", NULL},
    {"placement/region", NULL},
    {"services/domain", "amazonaws.com"},
    {"services/partition", NULL},
};
#define LEAVES (sizeof leaves / sizeof leaves[0])

/* The names directly below `folder` ("" or with a slash at its end). False: there is none. */
static bool list(const metadata *m, weir_str folder, buf *out) {
    weir_str before = STR("");
    for (size_t i = 0; i < LEAVES; i++) {
        weir_str path = str_of(leaves[i].path);
        if (!str_starts(path, folder) || (!m->role[0] && str_starts(path, STR("iam/")))) continue;
        weir_str name = str_make(path.ptr + folder.len, (size_t)(path.len - folder.len));
        const char *slash = name.len ? memchr(name.ptr, '/', (size_t)name.len) : NULL;
        if (slash) name.len = (size_t)(slash - name.ptr) + 1;
        if (!name.len || str_eq(name, before)) continue;
        if (out->len) buf_append_char(out, '\n');
        buf_append_str(out, name);
        before = name;
    }
    return out->len > 0;
}

static void give_listing(metadata *m, exchange *x, weir_str path) {
    char folder[64];
    size_t n = (size_t)path.len;
    if (n + 2 > sizeof folder) {
        metadata_page(x, 404, "Not Found");
        return;
    }
    if (n) memcpy(folder, path.ptr, n);
    if (n && folder[n - 1] != '/') folder[n++] = '/';
    buf b;
    buf_init(&b, 4096);
    if (list(m, str_make(folder, n), &b))
        text(x, &b);
    else
        metadata_page(x, 404, "Not Found");
    buf_free(&b);
}

static void give_leaf(metadata *m, exchange *x, weir_str path) {
    const char *region = local_settings(m->home)->region;
    for (size_t i = 0; i < LEAVES; i++) {
        if (!leaves[i].value || !str_eq_z(path, leaves[i].path)) continue;
        text_z(x, leaves[i].value);
        return;
    }
    bool zone = str_eq_z(path, "placement/availability-zone");
    if (zone || str_eq_z(path, "placement/region")) {
        buf b;
        buf_init(&b, 256);
        buf_printf(&b, "%s%s", region, zone ? "a" : "");
        text(x, &b);
        buf_free(&b);
    } else if (str_eq_z(path, "services/partition")) {
        text_z(x, sts_partition(m->home));
    } else if (m->role[0] && str_eq_z(path, "iam/info")) {
        give_profile(m, x);
    } else {
        give_listing(m, x, path);
    }
}

static void give_roles(metadata *m, exchange *x, weir_str role) {
    if (!m->role[0] || (role.len && !str_eq_z(role, m->role)))
        metadata_page(x, 404, "Not Found");
    else if (role.len)
        give_keys(m, x);
    else
        text_z(x, m->role);
}

void imds_serve(metadata *m, exchange *x) {
    weir_str path = exchange_request(x)->path;
    if (!m->imds) {
        metadata_page(x, 403, "Forbidden");
        return;
    }
    if (str_eq_z(path, TOKEN)) {
        give_token(m, x);
        return;
    }
    if (!str_eq_z(exchange_request(x)->method, "GET")) {
        metadata_page(x, 405, "Method Not Allowed");
        return;
    }
    if (!may_see(m, x)) {
        metadata_page(x, 401, "Unauthorized");
        return;
    }
    if (below(path, DYNAMIC)) {
        if (str_eq_z(path, DOCUMENT))
            give_document(m, x);
        else if (path.len <= sizeof DYNAMIC)
            text_z(x, "instance-identity/");
        else if (str_eq_z(path, DYNAMIC "/instance-identity/"))
            text_z(x, "document");
        else
            metadata_page(x, 404, "Not Found");
        return;
    }
    size_t n = sizeof ROOT - 1 + (path.len > sizeof ROOT - 1);
    weir_str rest = str_make(path.ptr + n, (size_t)path.len - n);
    if (str_starts(rest, STR(ROLES)))
        give_roles(m, x,
                   str_make(rest.ptr + sizeof ROLES - 1, (size_t)rest.len - (sizeof ROLES - 1)));
    else if (str_eq_z(rest, "iam/security-credentials"))
        give_roles(m, x, STR(""));
    else
        give_leaf(m, x, rest);
}
