#include "aws/canonical.h"

#include <stdlib.h>

#include "aws/text.h"
#include "base/mem.h"

#define QUERY_MAX 1024u

/* Every service but S3: dot segments and doubled slashes go, then the wire's bytes are encoded once
 * more. S3 takes the path as it is, in one encoding. */
static void canonical_path(const server_request *r, bool s3, buf *out) {
    if (s3) {
        buf plain;
        buf_init(&plain, (size_t)1 << 20);
        aws_percent_append(&plain, r->path, false);
        aws_percent_encode(out, buf_str(&plain), "/");
        buf_free(&plain);
        return;
    }
    buf kept;
    buf_init(&kept, (size_t)1 << 20);
    weir_str rest = r->path;
    bool slash_behind = rest.len && rest.ptr[rest.len - 1] == '/';
    while (rest.len) {
        weir_str part = aws_until(&rest, '/');
        if (part.len == 0 || str_eq_z(part, ".")) {
            if (str_eq_z(part, ".") && !rest.len) slash_behind = true;
            continue;
        }
        if (str_eq_z(part, "..")) {
            while (kept.len && kept.data[kept.len - 1] != '/') kept.len--;
            if (kept.len) kept.len--;
            if (!rest.len) slash_behind = true;
            continue;
        }
        buf_append_char(&kept, '/');
        buf_append_str(&kept, part);
    }
    if (kept.len == 0 || slash_behind) buf_append_char(&kept, '/');
    aws_percent_encode(out, buf_str(&kept), "/");
    buf_free(&kept);
}

typedef struct pair {
    size_t at, name_len, len; /* in the buffer of encoded texts */
} pair;

static const char *sort_base; /* qsort has no argument for it; one thread */

static int by_bytes(const void *a, const void *b) {
    const pair *x = a, *y = b;
    int c =
        str_cmp(str_make(sort_base + x->at, x->name_len), str_make(sort_base + y->at, y->name_len));
    if (c) return c;
    return str_cmp(str_make(sort_base + x->at + x->name_len, x->len - x->name_len),
                   str_make(sort_base + y->at + y->name_len, y->len - y->name_len));
}

static bool canonical_query(const server_request *r, bool presigned, buf *out) {
    pair *pairs = mem_array(QUERY_MAX, sizeof *pairs);
    buf text, plain;
    buf_init(&text, (size_t)1 << 20);
    buf_init(&plain, (size_t)1 << 20);
    size_t count = 0;
    weir_str rest = r->query;
    bool ok = pairs != NULL;
    while (ok && rest.len) {
        weir_str value = aws_until(&rest, '&');
        if (!value.len) continue;
        weir_str name = aws_until(&value, '=');
        if (presigned && str_eq_z(name, "X-Amz-Signature")) continue;
        if (count == QUERY_MAX) ok = false;
        if (!ok) break;
        pair *p = &pairs[count++];
        p->at = text.len;
        buf_reset(&plain);
        aws_percent_append(&plain, name, false);
        aws_percent_encode(&text, buf_str(&plain), "");
        p->name_len = text.len - p->at;
        buf_append_char(&text, '=');
        buf_reset(&plain);
        aws_percent_append(&plain, value, false);
        aws_percent_encode(&text, buf_str(&plain), "");
        p->len = text.len - p->at;
    }
    ok = ok && buf_ok(&text) && buf_ok(&plain);
    if (ok && count) {
        sort_base = text.data;
        qsort(pairs, count, sizeof *pairs, by_bytes);
    }
    for (size_t i = 0; ok && i < count; i++) {
        if (i) buf_append_char(out, '&');
        buf_append(out, text.data + pairs[i].at, pairs[i].len);
    }
    buf_free(&text);
    buf_free(&plain);
    mem_free(pairs);
    return ok;
}

static void append_value(buf *out, weir_str v) {
    v = aws_trim(v);
    bool space = false;
    for (size_t i = 0; i < v.len; i++) {
        bool is = v.ptr[i] == ' ' || v.ptr[i] == '\t' || v.ptr[i] == '\r' || v.ptr[i] == '\n';
        if (is && space) continue;
        buf_append_char(out, is ? ' ' : v.ptr[i]);
        space = is;
    }
}

/* False if a signed header is not there, host is not among them, or one of x-amz-* is not. */
static bool canonical_headers(const server_request *r, weir_str signed_headers, buf *out,
                              const char **why) {
    weir_str rest = signed_headers;
    bool host = false;
    while (rest.len) {
        weir_str name = aws_until(&rest, ';');
        buf_append_str(out, name);
        buf_append_char(out, ':');
        size_t found = 0;
        if (str_eq_z(name, "host")) {
            append_value(out, r->host);
            host = true;
            found = 1;
        } else {
            for (uint32_t i = 0; i < r->header_count; i++) {
                if (!str_eq(r->headers[i].name, name)) continue;
                if (found++) buf_append_char(out, ',');
                append_value(out, r->headers[i].value);
            }
        }
        if (!found) {
            *why = "a header of SignedHeaders is not in the request";
            return false;
        }
        buf_append_char(out, '\n');
    }
    if (!host) {
        *why = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization";
        return false;
    }
    for (uint32_t i = 0; i < r->header_count; i++) {
        weir_str name = r->headers[i].name;
        if (!str_starts(name, STR("x-amz-"))) continue;
        bool listed = false;
        rest = signed_headers;
        while (rest.len && !listed) listed = str_eq(aws_until(&rest, ';'), name);
        if (!listed) {
            *why = "there were headers present in the request which were not signed";
            return false;
        }
    }
    return true;
}

bool canonical_request(const server_request *r, bool s3, bool presigned, weir_str signed_headers,
                       buf *out, const char **why) {
    buf_append_str(out, r->method);
    buf_append_char(out, '\n');
    canonical_path(r, s3, out);
    buf_append_char(out, '\n');
    if (!canonical_query(r, presigned, out)) {
        *why = "the query string is too long";
        return false;
    }
    buf_append_char(out, '\n');
    if (!canonical_headers(r, signed_headers, out, why)) return false;
    buf_append_char(out, '\n');
    buf_append_str(out, signed_headers);
    buf_append_char(out, '\n');
    weir_str stated = server_request_header(r, "x-amz-content-sha256");
    if (s3 && (stated.ptr || presigned)) {
        /* S3 signs what is stated, and compares that with the body in the service itself. */
        buf_append_str(out, stated.ptr ? stated : STR("UNSIGNED-PAYLOAD"));
    } else {
        char hash[AWS_SHA256_HEX];
        aws_sha256_hex(r->body, hash);
        buf_append(out, hash, sizeof hash);
    }
    return buf_ok(out);
}
