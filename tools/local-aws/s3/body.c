/*
 * A request's body: out of aws-chunked, held against everything that the client said about it.
 */
#include <inttypes.h>

#include "aws/text.h"
#include "base/mem.h"
#include "s3/call.h"
#include "s3/chunked.h"
#include "weir/json.h"

/* Below this a copy is cheaper than memory that is larger than it needs to be. */
#define COPY_BELOW ((size_t)16 << 10)

/* What aws-chunked may be called. */
static const char *const modes[] = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                                    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                                    "STREAMING-UNSIGNED-PAYLOAD-TRAILER"};

static bool is_chunked(weir_str mode) {
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (str_eq_z(mode, modes[i])) return true;
    return false;
}

/* ---- aws-chunked ---- */

static bool fail_chunks(s3_call *call, chunked_result result, const chunked *c) {
    switch (result) {
    case CHUNKED_OK:
        return true;
    case CHUNKED_SMALL:
        s3_detail_u64(call, "BadChunkSize", c->bad_size);
        s3_fail(call, &S3_INVALID_CHUNK_SIZE);
        return false;
    case CHUNKED_SIGNATURE:
        s3_detail(call, "AWSAccessKeyId", call->who.access_key);
        s3_fail(call, &S3_SIGNATURE);
        return false;
    case CHUNKED_TRAILER:
        s3_fail(call, &S3_MALFORMED_TRAILER);
        return false;
    case CHUNKED_CUT:
    case CHUNKED_BAD:
    default:
        s3_fail_text(call, &S3_INCOMPLETE_BODY, "The request body terminated unexpectedly");
        return false;
    }
}

/* Every name of x-amz-trailer comes, and nothing else does. */
static bool trailer_as_declared(s3_call *call, const chunked *c) {
    weir_str rest = s3_header(call, "x-amz-trailer");
    uint32_t declared = 0;
    while (rest.len) {
        weir_str name = aws_trim(aws_until(&rest, ','));
        bool found = false;
        for (uint32_t i = 0; i < c->trailer_count; i++) {
            weir_str there = c->trailers[i].name;
            bool same = there.len == name.len;
            for (size_t k = 0; same && k < name.len; k++)
                same = (there.ptr[k] | 0x20) == (name.ptr[k] | 0x20);
            found = found || same;
        }
        if (!found) {
            s3_fail(call, &S3_MALFORMED_TRAILER);
            return false;
        }
        declared++;
    }
    if (declared == c->trailer_count) return true;
    s3_fail(call, &S3_MALFORMED_TRAILER);
    return false;
}

/* Decodes within the body's own memory. `text` is the body and becomes its data. */
static bool unchunk(s3_call *call, weir_str mode, char *bytes, weir_str *text, chunked *c) {
    weir_str length = s3_header(call, "x-amz-decoded-content-length");
    int64_t expected;
    if (!length.len || !str_to_i64(length, &expected) || expected < 0) {
        s3_fail(call, &S3_MISSING_LENGTH);
        return false;
    }
    *c = (chunked){.is_signed = str_starts(mode, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")),
                   .has_trailer = str_ends(mode, STR("-TRAILER"))};
    c->verify = c->is_signed && local_settings(call->s->home)->verify;
    const aws_identity *who = &call->who;
    buf scope;
    buf_init(&scope, 512);
    if (c->verify && who->date.len >= 8)
        buf_printf(&scope, "%.8s/%.*s/%.*s/aws4_request", who->date.ptr, STR_FMT(who->region),
                   STR_FMT(who->service));
    c->key = who->key;
    c->date = who->date;
    c->scope = buf_str(&scope);
    c->seed = who->signature;
    chunked_result result = chunked_decode(c, bytes, (size_t)text->len);
    buf_free(&scope);
    if (!fail_chunks(call, result, c)) return false;
    if (c->len != (uint64_t)expected) {
        s3_fail(call, &S3_INCOMPLETE_BODY);
        return false;
    }
    *text = str_make(bytes, c->len);
    return !c->has_trailer || trailer_as_declared(call, c);
}

/* ---- what it is held against ---- */

static bool check_sha256(s3_call *call, weir_str stated, const s3_content *c) {
    uint8_t digest[32];
    char text[65];
    bool hex = stated.len == 64;
    for (size_t i = 0; hex && i < 64; i++) {
        char d = stated.ptr[i];
        hex = (d >= '0' && d <= '9') || (d >= 'a' && d <= 'f') || (d >= 'A' && d <= 'F');
    }
    if (!hex) {
        s3_fail_argument(call, "x-amz-content-sha256", stated,
                         "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
                         "STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
                         "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.");
        return false;
    }
    sum_sha256(c, digest);
    sum_hex(digest, sizeof digest, text);
    bool same = true;
    for (size_t i = 0; i < 64; i++) same = same && (stated.ptr[i] | 0x20) == (text[i] | 0x20);
    if (same) return true;
    s3_detail(call, "ClientComputedContentSHA256", stated);
    s3_detail_z(call, "S3ComputedContentSHA256", text);
    s3_fail(call, &S3_SHA256_MISMATCH);
    return false;
}

static bool check_md5(s3_call *call, const s3_content *c) {
    weir_str stated = s3_header(call, "content-md5");
    if (!stated.ptr) return true;
    char expected[64];
    uint8_t digest[16];
    if (stated.len != 24 || weir_base64_decode(stated, expected) != 16) {
        s3_detail(call, "Content-MD5", stated);
        s3_fail(call, &S3_INVALID_DIGEST);
        return false;
    }
    sum_md5(c, digest);
    if (memcmp(digest, expected, 16) == 0) return true;
    char text[32];
    text[weir_base64_encode(str_make((const char *)digest, 16), text)] = 0;
    s3_detail(call, "ExpectedDigest", stated);
    s3_detail_z(call, "CalculatedDigest", text);
    s3_fail(call, &S3_BAD_DIGEST);
    return false;
}

/* Which algorithm a header or trailer of that name is of; SUM_NONE: none at all. */
static sum_algorithm algorithm_of(weir_str name) {
    for (sum_algorithm a = SUM_CRC32; a < SUM_ALGORITHMS; a++) {
        const char *header = sum_header(a);
        if (name.len != strlen(header)) continue;
        bool same = true;
        for (size_t i = 0; same && i < name.len; i++)
            same = (name.ptr[i] | 0x20) == (header[i] | 0x20);
        if (same) return a;
    }
    return SUM_NONE;
}

static bool read_sum(s3_call *call, sum_algorithm a, weir_str value, checksum *out) {
    if (sum_read(a, aws_trim(value), out)) return true;
    s3_fail_text(call, &S3_INVALID_REQUEST, "Value for %s header is invalid.", sum_header(a));
    return false;
}

static bool fail_several(s3_call *call) {
    s3_fail_text(
        call, &S3_INVALID_REQUEST,
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
    return false;
}

bool s3_stated_sum(s3_call *call, checksum *out) {
    static const char prefix[] = "x-amz-checksum-";
    *out = (checksum){0};
    for (uint32_t i = 0; i < call->r->header_count; i++) {
        const server_header *h = &call->r->headers[i];
        if (!str_starts(h->name, STR(prefix))) continue;
        weir_str rest =
            str_make(h->name.ptr + sizeof prefix - 1, (size_t)h->name.len - (sizeof prefix - 1));
        if (str_eq_z(rest, "mode") || str_eq_z(rest, "type") || str_eq_z(rest, "algorithm"))
            continue;
        sum_algorithm a = algorithm_of(h->name);
        if (a == SUM_NONE) {
            s3_detail(call, "Header", h->name);
            s3_fail(call, &S3_NOT_IMPLEMENTED);
            return false;
        }
        if (out->algorithm != SUM_NONE) return fail_several(call);
        if (!read_sum(call, a, h->value, out)) return false;
    }
    return true;
}

static bool sum_of_trailer(s3_call *call, const chunked *c, checksum *out) {
    for (uint32_t i = 0; i < c->trailer_count; i++) {
        sum_algorithm a = algorithm_of(c->trailers[i].name);
        if (a == SUM_NONE) continue;
        if (out->algorithm != SUM_NONE) return fail_several(call);
        if (!read_sum(call, a, c->trailers[i].value, out)) return false;
    }
    return true;
}

/* x-amz-sdk-checksum-algorithm announces what must then be there. */
static bool as_announced(s3_call *call, const checksum *sum) {
    weir_str name = s3_header(call, "x-amz-sdk-checksum-algorithm");
    if (!name.ptr) return true;
    if (sum->algorithm == SUM_NONE) {
        s3_fail_text(
            call, &S3_INVALID_REQUEST,
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* "
            "or x-amz-trailer headers were found.");
        return false;
    }
    if (str_eq_z(name, sum_name(sum->algorithm))) return true;
    s3_fail_text(call, &S3_INVALID_REQUEST,
                 "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    return false;
}

static bool check_sum(s3_call *call, const s3_content *c, const checksum *sum) {
    if (sum->algorithm == SUM_NONE) return true;
    checksum found = sum_of(sum->algorithm, c);
    if (!sum->composite && sum_eq(&found, sum)) return true;
    s3_fail_text(call, &S3_BAD_DIGEST,
                 "The %s you specified did not match the calculated checksum.",
                 sum_name(sum->algorithm));
    return false;
}

/* ---- the whole ---- */

static bool checked(s3_call *call, weir_str mode, const s3_content *c, const chunked *chunks,
                    checksum *sum) {
    /* CompleteMultipartUpload's checksum is the object's, not that of the request's own body. */
    bool of_body = call->op->run != s3_op_complete_upload;
    bool streamed = is_chunked(mode);
    if (mode.ptr && !streamed && !str_eq_z(mode, "UNSIGNED-PAYLOAD") &&
        !check_sha256(call, mode, c))
        return false;
    if (!check_md5(call, c)) return false;
    return !of_body || (s3_stated_sum(call, sum) && sum_of_trailer(call, chunks, sum) &&
                        as_announced(call, sum) && check_sum(call, c, sum));
}

bool s3_body(s3_call *call, s3_content *out, checksum *sum) {
    checksum stated = {0};
    chunked chunks = {0};
    weir_str mode = s3_header(call, "x-amz-content-sha256"), text = call->r->body;
    *out = (s3_content){0};
    if (s3_header(call, "transfer-encoding").ptr &&
        !s3_header(call, "x-amz-decoded-content-length").ptr) {
        s3_fail(call, &S3_MISSING_LENGTH);
        return false;
    }
    char *bytes = exchange_take_body(call->x);
    size_t room = (size_t)text.len;
    if (is_chunked(mode) && !unchunk(call, mode, bytes ? bytes : (char[1]){0}, &text, &chunks)) {
        mem_free(bytes);
        return false;
    }
    /* The trailer's texts lie in the body's memory, so that is held until they have been read. */
    s3_content view = {0};
    s3_extent whole = {NULL, text.ptr, (size_t)text.len};
    if (text.len) view = (s3_content){&whole, 1, text.len};
    bool ok = checked(call, mode, &view, &chunks, &stated);
    if (!ok) {
        mem_free(bytes);
        return false;
    }
    if (text.len < COPY_BELOW) {
        ok = s3_content_copy(out, text);
        mem_free(bytes);
    } else {
        /* More room than its length says: HTTP/1.1 hands on the memory of larger bodies. */
        ok = s3_content_take(out, bytes, (size_t)text.len, room + 1);
    }
    if (!ok) s3_fail(call, &S3_INTERNAL_ERROR);
    if (sum) *sum = stated;
    return ok;
}

bool s3_body_text(s3_call *call, bool needs_digest, weir_str *out) {
    if (call->r->body.len > S3_DOCUMENT_BYTES_MAX) {
        s3_fail(call, &S3_MESSAGE_TOO_LONG);
        return false;
    }
    s3_content c;
    checksum sum;
    if (!s3_body(call, &c, &sum)) return false;
    if (needs_digest && sum.algorithm == SUM_NONE && !s3_header(call, "content-md5").ptr) {
        s3_content_free(&c);
        s3_fail_text(call, &S3_INVALID_REQUEST,
                     "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
        return false;
    }
    char *text = s3_alloc(call, (size_t)c.size + 1);
    if (text && c.count) memcpy(text, c.items[0].bytes, (size_t)c.size);
    *out = str_make(text ? text : "", (size_t)c.size);
    s3_content_free(&c);
    if (text) return true;
    s3_fail(call, &S3_INTERNAL_ERROR);
    return false;
}
