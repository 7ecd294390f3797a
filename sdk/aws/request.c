#include "request.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/sdk.h"

#define JSON_TYPE "application/x-amz-json-1.1"
#define OWN_HEADERS_MAX 14u
/* Of a body in chunks. S3 wants 8 KiB at least; each costs a line of 85 bytes and a hash. */
#define CHUNK_BYTES ((uint64_t)1 << 20)

typedef struct head {
    weir_http_header *headers;
    uint32_t count;
} head;

static bool keep_all(aws_request *q, const weir_aws_call_args *args);
static weir_str take(char **at, weir_str s);
static uint32_t possible_payload(const aws_request *q, const weir_aws_client *c, uint32_t wanted);
static bool in_host(const weir_aws_client *c, const weir_aws_rest *rest);
static bool make_url(const aws_request *q, const weir_aws_client *c, text *url, weir_str *host,
                     weir_str *path, weir_str *query);
static void add(head *h, const char *name, weir_str value);
static weir_str payload_hash(const aws_request *q);
static weir_str content_encoding(const aws_request *q, text *room);
static bool is_chunked(const aws_request *q);
static bool frame(aws_request *q, const weir_aws_client *c, uint32_t *count);
static bool same_name(weir_str a, const char *b);
static weir_str str(const char *z);

weir_status aws_request_init(aws_request *q, const weir_aws_client *c,
                             const weir_aws_call_args *args) {
    const weir_aws_rest *rest = args->rest;
    memset(q, 0, sizeof *q);
    if (!args->target && (!rest || !rest->method || !rest->operation)) return WEIR_E_INVALID_ARG;
    q->json = !rest;
    q->s3 = strcmp(c->service, "s3") == 0;
    q->method = rest ? rest->method : "POST";
    q->content_type = args->content_type ? args->content_type : rest ? NULL : JSON_TYPE;
    q->plane = args->plane;
    if (!keep_all(q, args)) return WEIR_E_NOMEM;
    if (!c->endpoint.account_hosts || c->endpoint.overridden) q->account = NULL;
    q->segments = &q->body;
    q->segment_count = q->body.len > 0;
    if (rest && rest->segment_count > 0) {
        q->segments = rest->segments;
        q->segment_count = rest->segment_count;
    }
    for (uint32_t i = 0; i < q->segment_count; i++) q->size += q->segments[i].len;
    q->payload = possible_payload(q, c, rest ? rest->payload : WEIR_AWS_PAYLOAD_HASH);
    if (rest && rest->bucket.len > 0 && !in_host(c, rest)) {
        /* "/bucket/key", where q->bucket stands in front of q->path with its slash. */
        q->path.ptr = q->bucket.ptr - 1;
        q->path.len += q->bucket.len + 1;
        q->bucket.len = 0;
    }
    if (q->payload == WEIR_AWS_PAYLOAD_HASH) weir_aws_hash(q->segments, q->segment_count, q->hash);
    q->headers = calloc(OWN_HEADERS_MAX + q->given_count, sizeof *q->headers);
    return q->headers ? WEIR_OK : WEIR_E_NOMEM;
}

void aws_request_free(aws_request *q) {
    if (q->room) OPENSSL_cleanse(q->room, (size_t)q->room_size);
    free(q->room);
    free(q->headers);
    free(q->framing);
    free(q->framed);
}

weir_status aws_request_send(aws_request *q, weir_aws_client *c, const aws_attempt *attempt,
                             weir_http_request **out) {
    text url = {0}, progress = {0}, encoding = {0};
    weir_str host, path, query;
    char date[WEIR_AWS_DATE_SIZE], decoded[24];
    weir_status status = WEIR_E_NOMEM;
    head h = {q->headers, 0};
    weir_aws_format_date(weir_aws_now_us(c) / 1000000, date);
    text_add_f(&progress, "attempt=%u; max=%u", attempt->number, attempt->of);
    if (!make_url(q, c, &url, &host, &path, &query) || !text_z(&progress)) goto out;

    for (uint32_t i = 0; i < q->given_count; i++)
        if (!(is_chunked(q) && same_name(q->given[i].name, "Content-Encoding")))
            h.headers[h.count++] = q->given[i];
    if (q->content_type) add(&h, "Content-Type", str(q->content_type));
    if (q->target) add(&h, "X-Amz-Target", str(q->target));
    add(&h, "X-Amz-Date", str(date));
    add(&h, "amz-sdk-invocation-id", str(attempt->invocation));
    add(&h, "amz-sdk-request", text_str(&progress));
    if (q->s3) add(&h, "x-amz-content-sha256", payload_hash(q));
    if (is_chunked(q)) {
        snprintf(decoded, sizeof decoded, "%llu", (unsigned long long)q->size);
        add(&h, "x-amz-decoded-content-length", str(decoded));
        add(&h, "Content-Encoding", content_encoding(q, &encoding));
        if (q->trailer.name.len > 0) add(&h, "x-amz-trailer", q->trailer.name);
    }
    if (c->identity.session_token) add(&h, "X-Amz-Security-Token", str(c->identity.session_token));
    add(&h, "Host", host);

    weir_aws_keys keys = {str(c->identity.access_key_id), str(c->identity.secret_access_key),
                          str(c->identity.session_token)};
    weir_aws_sign_args sign = {.method = str(q->method),
                               .path = path,
                               .query = query,
                               .headers = h.headers,
                               .header_count = h.count,
                               .flags = q->s3 ? WEIR_AWS_SIGN_S3 : 0,
                               .payload_hash = payload_hash(q),
                               .region = str(c->region),
                               .service = str(c->service),
                               .date = str(date)};
    weir_str authorization = weir_aws_sign(c->signer, &keys, &sign);
    if (!authorization.ptr || encoding.failed) goto out;
    add(&h, "Authorization", authorization);
    weir_http_args request = {.method = q->method,
                              .url = url.ptr,
                              .headers = h.headers,
                              .header_count = h.count,
                              .body = q->segments,
                              .body_count = q->segment_count,
                              .deadline_ns = attempt->deadline_ns,
                              .response_max = attempt->response_max,
                              .done = attempt->done,
                              .data = attempt->data,
                              .alloc = attempt->alloc,
                              .opaque = attempt->opaque};
    if (is_chunked(q)) {
        if (!frame(q, c, &request.body_count)) goto out;
        request.body = q->framed;
    }
    status = weir_http_start(c->http, &request, out);
out:
    text_free(&url);
    text_free(&progress);
    text_free(&encoding);
    return status;
}

uint64_t weir_aws_uri_encode(weir_str s, int slashes, char *out, uint64_t size) {
    static const char hex[] = "0123456789ABCDEF";
    uint64_t n = 0;
    for (uint64_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && slashes);
        char piece[3] = {plain ? (char)c : '%', hex[c >> 4], hex[c & 15]};
        for (int j = 0; j < (plain ? 1 : 3); j++, n++)
            if (n + 1 < size) out[n] = piece[j];
    }
    if (size > 0) out[n < size ? n : size - 1] = '\0';
    return n;
}

/* ---- what is kept ---- */

/* One block for every text. The bucket lies in front of the path, a slash before each of them, so
 * that both together are a path as well. */
static bool keep_all(aws_request *q, const weir_aws_call_args *args) {
    static const weir_aws_rest none = {0};
    const weir_aws_rest *r = args->rest ? args->rest : &none;
    bool slash = r->path.len == 0 || r->path.ptr[0] != '/';
    uint64_t size = 8 + r->bucket.len + r->path.len + r->query.len + r->trailer.name.len +
                    r->trailer.value.len + (r->segment_count ? 0 : args->body.len) +
                    (args->target ? strlen(args->target) : 0) +
                    (args->account ? strlen(args->account) : 0) +
                    r->header_count * sizeof(weir_http_header) + sizeof(weir_http_header);
    for (uint32_t i = 0; i < r->header_count; i++)
        size += r->headers[i].name.len + r->headers[i].value.len;
    if (size > TEXT_MAX) return false;
    q->room = calloc(1, (size_t)size);
    if (!q->room) return false;
    q->room_size = size;
    weir_http_header *headers = (weir_http_header *)(void *)q->room;
    char *at = q->room + r->header_count * sizeof *headers;
    for (uint32_t i = 0; i < r->header_count; i++) {
        headers[i].name = take(&at, r->headers[i].name);
        headers[i].value = take(&at, r->headers[i].value);
    }
    q->given = headers;
    q->given_count = r->header_count;
    *at++ = '/';
    q->bucket = take(&at, r->bucket);
    q->path = (weir_str){at, r->path.len + slash};
    if (slash) *at++ = '/';
    take(&at, r->path);
    q->query = take(&at, r->query);
    q->trailer.name = take(&at, r->trailer.name);
    q->trailer.value = take(&at, r->trailer.value);
    if (r->segment_count == 0) q->body = take(&at, args->body);
    if (args->target) {
        q->target = take(&at, str(args->target)).ptr;
        at++;
    }
    if (args->account) q->account = take(&at, str(args->account)).ptr;
    q->operation = args->target ? q->target : r->operation;
    return true;
}

static weir_str take(char **at, weir_str s) {
    weir_str copy = {*at, s.len};
    if (s.len > 0) memcpy(*at, s.ptr, (size_t)s.len);
    *at += s.len;
    return copy;
}

/* Nothing on the way may change a body: what is not signed needs TLS. */
static uint32_t possible_payload(const aws_request *q, const weir_aws_client *c, uint32_t wanted) {
    bool tls = strncmp(c->endpoint.url, "https:", 6) == 0;
    if (!q->s3) return WEIR_AWS_PAYLOAD_HASH;
    if (!tls && wanted == WEIR_AWS_PAYLOAD_UNSIGNED) return WEIR_AWS_PAYLOAD_HASH;
    if (!tls && wanted == WEIR_AWS_PAYLOAD_UNSIGNED_CHUNKS) return WEIR_AWS_PAYLOAD_CHUNKS;
    return wanted;
}

/* A bucket whose name is a label of a host name that the service's certificate covers. Other
 * endpoints than the service's may have no such names. */
static bool in_host(const weir_aws_client *c, const weir_aws_rest *rest) {
    weir_str b = rest->bucket;
    if (rest->path_style || c->endpoint.overridden || b.len < 3 || b.len > 63) return false;
    for (uint64_t i = 0; i < b.len; i++) {
        bool letter = (b.ptr[i] >= 'a' && b.ptr[i] <= 'z') || (b.ptr[i] >= '0' && b.ptr[i] <= '9');
        if (!letter && (b.ptr[i] != '-' || i == 0 || i + 1 == b.len)) return false;
    }
    return true;
}

/* ---- one attempt ---- */

/* The URL, NUL-terminated, and what of it is signed. */
static bool make_url(const aws_request *q, const weir_aws_client *c, text *url, weir_str *host,
                     weir_str *path, weir_str *query) {
    char *account_url = NULL;
    if (q->account) {
        account_url =
            aws_endpoint_of_account(&c->options, c->service, c->region, q->account, q->plane);
        if (!account_url) return false;
    }
    const char *base = account_url ? account_url : c->endpoint.url;
    const char *rest = q->bucket.len > 0 ? strstr(base, "://") : NULL;
    if (rest) {
        text_add(url, base, (size_t)(rest + 3 - base));
        text_add_str(url, q->bucket);
        text_add_char(url, '.');
        base = rest + 3;
    }
    text_add_z(url, base);
    text_add_str(url, q->path);
    size_t end = url->len;
    if (q->query.len > 0) text_add_char(url, '?');
    text_add_str(url, q->query);
    free(account_url);
    if (!text_z(url)) return false;
    aws_url_parts(url->ptr, host, path);
    path->len = (uint64_t)(url->ptr + end - path->ptr);
    *query = q->query;
    return true;
}

static void add(head *h, const char *name, weir_str value) {
    h->headers[h->count].name = str(name);
    h->headers[h->count++].value = value;
}

static weir_str payload_hash(const aws_request *q) {
    bool trailer = q->trailer.name.len > 0;
    switch (q->payload) {
    case WEIR_AWS_PAYLOAD_UNSIGNED:
        return str(WEIR_AWS_UNSIGNED_PAYLOAD);
    case WEIR_AWS_PAYLOAD_CHUNKS:
        return str(trailer ? WEIR_AWS_SIGNED_CHUNKS_TRAILER : WEIR_AWS_SIGNED_CHUNKS);
    case WEIR_AWS_PAYLOAD_UNSIGNED_CHUNKS:
        return str(WEIR_AWS_UNSIGNED_TRAILER);
    default:
        return str(q->hash);
    }
}

/* The framing comes in front of what the object itself is encoded in. */
static weir_str content_encoding(const aws_request *q, text *room) {
    text_add_z(room, "aws-chunked");
    for (uint32_t i = 0; i < q->given_count; i++) {
        if (!same_name(q->given[i].name, "Content-Encoding")) continue;
        text_add_char(room, ',');
        text_add_str(room, q->given[i].value);
    }
    return text_str(room);
}

static bool is_chunked(const aws_request *q) {
    return q->payload == WEIR_AWS_PAYLOAD_CHUNKS || q->payload == WEIR_AWS_PAYLOAD_UNSIGNED_CHUNKS;
}

/* Where an attempt's framing is written: the texts in `framing`, all pieces in order in `framed`.
 */
typedef struct framer {
    aws_request *q;
    char *at, *end;
    uint32_t count;
    weir_aws_chunks chunks;
    bool sign;
} framer;

static void piece(framer *f, const char *bytes, uint64_t len) {
    f->q->framed[f->count++] = (weir_str){bytes, len};
}

static bool chunk_head(framer *f, const weir_str *slices, uint32_t count, uint64_t size) {
    size_t room = (size_t)(f->end - f->at);
    int n = f->sign ? (int)weir_aws_chunk_head(&f->chunks, slices, count, f->at)
                    : snprintf(f->at, room, "%llx\r\n", (unsigned long long)size);
    if (n <= 0 || (size_t)n >= room) return false;
    /* The head goes in front of the slices, which stand where they will be sent from. */
    weir_str *to = f->q->framed + f->count;
    memmove(to + 1, to, count * sizeof *to);
    piece(f, f->at, (uint64_t)n);
    f->count += count;
    f->at += n;
    return true;
}

static bool frame_body(framer *f) {
    const aws_request *q = f->q;
    uint32_t segment = 0;
    uint64_t offset = 0;
    for (uint64_t left = q->size; left > 0;) {
        uint64_t size = left < CHUNK_BYTES ? left : CHUNK_BYTES, got = 0;
        weir_str *slices = q->framed + f->count;
        uint32_t count = 0;
        while (got < size) {
            const weir_str *s = &q->segments[segment];
            uint64_t n = s->len - offset < size - got ? s->len - offset : size - got;
            if (n > 0) slices[count++] = (weir_str){s->ptr + offset, n};
            got += n;
            offset += n;
            if (offset == s->len) segment++, offset = 0;
        }
        if (!chunk_head(f, slices, count, size)) return false;
        piece(f, "\r\n", 2);
        left -= size;
    }
    return chunk_head(f, NULL, 0, 0);
}

static bool frame_trailer(framer *f) {
    const weir_http_header *t = &f->q->trailer;
    size_t room = (size_t)(f->end - f->at);
    int n = 0;
    if (t->name.len > 0) {
        n = snprintf(f->at, room, "%.*s:%.*s\n", (int)t->name.len, t->name.ptr, (int)t->value.len,
                     t->value.ptr);
        if (n <= 0 || (size_t)n + 128 >= room) return false;
        char signature[WEIR_AWS_HASH_SIZE] = "";
        weir_str line = {f->at, (uint64_t)n};
        if (f->sign && !weir_aws_trailer_sign(&f->chunks, line, signature)) return false;
        n--; /* on the wire the line ends with "\r\n" */
        n += snprintf(f->at + n, room - (size_t)n, "\r\n%s%s%s",
                      f->sign ? "x-amz-trailer-signature:" : "", signature, f->sign ? "\r\n" : "");
    }
    piece(f, f->at, (uint64_t)n);
    piece(f, "\r\n", 2);
    return true;
}

/* The body as aws-chunked pieces, signed in the order of the signature just made. */
static bool frame(aws_request *q, const weir_aws_client *c, uint32_t *count) {
    uint64_t chunks = q->size / CHUNK_BYTES + 2;
    uint64_t room =
        chunks * WEIR_AWS_CHUNK_HEAD_SIZE + q->trailer.name.len + q->trailer.value.len + 256;
    free(q->framing);
    free(q->framed);
    q->framing = malloc((size_t)room);
    q->framed = calloc((size_t)(q->segment_count + 3 * chunks + 3), sizeof *q->framed);
    framer f = {.q = q, .at = q->framing, .sign = q->payload == WEIR_AWS_PAYLOAD_CHUNKS};
    bool ok = q->framing && q->framed && (!f.sign || weir_aws_chunks_begin(&f.chunks, c->signer));
    f.end = ok ? q->framing + room : NULL;
    ok = ok && frame_body(&f) && frame_trailer(&f);
    weir_aws_chunks_wipe(&f.chunks);
    *count = f.count;
    return ok;
}

static bool same_name(weir_str a, const char *b) {
    if (a.len != strlen(b)) return false;
    for (uint64_t i = 0; i < a.len; i++)
        if ((a.ptr[i] | 32) != (b[i] | 32)) return false;
    return true;
}

static weir_str str(const char *z) {
    weir_str s = {z ? z : "", z ? strlen(z) : 0};
    return s;
}
