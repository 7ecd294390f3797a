#include "s3/chunked.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "aws/text.h"

#define SIGNATURE_HEX AWS_SHA256_HEX
/* sha256 of nothing. */
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TO_SIGN_MAX ((size_t)64 << 10)
#define LINE_BYTES_MAX 4096u

/* The line from `at` on, without its end; *at moves behind it. False: there is no whole line. */
static bool next_line(const char *body, size_t len, size_t *at, weir_str *line) {
    const char *from = body + *at;
    size_t left = len - *at;
    const char *end =
        left ? memchr(from, '\n', left < LINE_BYTES_MAX ? left : LINE_BYTES_MAX) : NULL;
    if (!end || end == from || end[-1] != '\r') return false;
    *line = str_make(from, (size_t)(end - from) - 1);
    *at += line->len + 2;
    return true;
}

/* "10000;chunk-signature=..." or "10000". */
static bool read_head(weir_str line, bool is_signed, size_t *size, weir_str *signature) {
    static const char mark[] = ";chunk-signature=";
    uint64_t i = 0;
    *size = 0;
    for (int d; i < line.len && (d = aws_hex_digit(line.ptr[i])) >= 0; i++) {
        if (i == 15) return false;
        *size = *size << 4 | (size_t)d;
    }
    if (i == 0) return false;
    *signature = str_make(line.ptr + i, (size_t)(line.len - i));
    if (!is_signed) return signature->len == 0;
    if (signature->len != sizeof mark - 1 + SIGNATURE_HEX ||
        memcmp(signature->ptr, mark, sizeof mark - 1) != 0)
        return false;
    *signature = str_make(signature->ptr + sizeof mark - 1, SIGNATURE_HEX);
    return true;
}

/* Whether `signature` signs `hash` behind `previous`, which it then replaces. */
static bool follows(const chunked *c, const char *algorithm, const char *empty_hash,
                    const char hash[SIGNATURE_HEX], weir_str signature,
                    char previous[SIGNATURE_HEX]) {
    if (!c->verify) return true;
    buf text;
    buf_init(&text, TO_SIGN_MAX);
    buf_append_z(&text, algorithm);
    buf_append_char(&text, '\n');
    buf_append_str(&text, c->date);
    buf_append_char(&text, '\n');
    buf_append_str(&text, c->scope);
    buf_append_char(&text, '\n');
    buf_append(&text, previous, SIGNATURE_HEX);
    buf_append_char(&text, '\n');
    buf_append_z(&text, empty_hash);
    buf_append(&text, hash, SIGNATURE_HEX);
    uint8_t mac[32] = {0};
    unsigned n = sizeof mac;
    bool ok = buf_ok(&text) &&
              HMAC(EVP_sha256(), c->key, 32, (const uint8_t *)text.data, text.len, mac, &n) != NULL;
    buf_free(&text);
    aws_hex(mac, sizeof mac, previous);
    return ok && signature.len == SIGNATURE_HEX &&
           CRYPTO_memcmp(previous, signature.ptr, SIGNATURE_HEX) == 0;
}

/* name:value lines up to an empty one; those that are signed are "name:value\n" each. */
static chunked_result read_trailer(chunked *c, const char *body, size_t len, size_t at,
                                   char previous[SIGNATURE_HEX]) {
    buf canonical;
    buf_init(&canonical, TO_SIGN_MAX);
    weir_str line, signature = {NULL, 0};
    chunked_result result = CHUNKED_TRAILER;
    for (;;) {
        if (!next_line(body, len, &at, &line)) {
            result = CHUNKED_CUT;
            break;
        }
        if (line.len == 0) {
            result = at == len ? CHUNKED_OK : CHUNKED_TRAILER;
            break;
        }
        const char *colon = memchr(line.ptr, ':', (size_t)line.len);
        if (!colon || colon == line.ptr || signature.ptr) break;
        weir_str name = str_make(line.ptr, (size_t)(colon - line.ptr));
        weir_str value = str_make(colon + 1, (size_t)line.len - (size_t)name.len - 1);
        while (value.len && value.ptr[0] == ' ') value = str_make(value.ptr + 1, value.len - 1);
        if (c->is_signed && str_eq_z(name, "x-amz-trailer-signature")) {
            signature = value;
            continue;
        }
        if (c->trailer_count == CHUNKED_TRAILERS_MAX) break;
        c->trailers[c->trailer_count].name = name;
        c->trailers[c->trailer_count++].value = value;
        buf_append_str(&canonical, name);
        buf_append_char(&canonical, ':');
        buf_append_str(&canonical, value);
        buf_append_char(&canonical, '\n');
    }
    if (result == CHUNKED_OK && c->is_signed) {
        char hash[SIGNATURE_HEX];
        aws_sha256_hex(buf_str(&canonical), hash);
        if (!signature.ptr || !buf_ok(&canonical))
            result = CHUNKED_TRAILER;
        else if (!follows(c, "AWS4-HMAC-SHA256-TRAILER", "", hash, signature, previous))
            result = CHUNKED_SIGNATURE;
    }
    buf_free(&canonical);
    return result;
}

chunked_result chunked_decode(chunked *c, char *body, size_t len) {
    char previous[SIGNATURE_HEX] = {0}, hash[SIGNATURE_HEX];
    if (c->verify && c->is_signed) {
        if (c->seed.len != SIGNATURE_HEX) return CHUNKED_SIGNATURE;
        memcpy(previous, c->seed.ptr, SIGNATURE_HEX);
    }
    c->len = 0;
    c->trailer_count = 0;
    size_t at = 0;
    bool small = false; /* a small chunk went before: there may be no more data */
    for (;;) {
        weir_str line, signature;
        size_t size;
        if (!next_line(body, len, &at, &line))
            return len - at < LINE_BYTES_MAX ? CHUNKED_CUT : CHUNKED_BAD;
        if (!read_head(line, c->is_signed, &size, &signature)) return CHUNKED_BAD;
        if (size > len - at) return CHUNKED_CUT;
        if (size && small && c->is_signed) return CHUNKED_SMALL;
        if (c->verify && c->is_signed) {
            aws_sha256_hex(str_make(body + at, size), hash);
            if (!follows(c, "AWS4-HMAC-SHA256-PAYLOAD", EMPTY_HASH "\n", hash, signature, previous))
                return CHUNKED_SIGNATURE;
        }
        if (size == 0) break;
        if (size < CHUNKED_CHUNK_MIN) {
            small = true;
            c->bad_size = size;
        }
        memmove(body + c->len, body + at, size);
        c->len += size;
        at += size;
        if (len - at < 2) return CHUNKED_CUT;
        if (body[at] != '\r' || body[at + 1] != '\n') return CHUNKED_BAD;
        at += 2;
    }
    if (c->has_trailer) return read_trailer(c, body, len, at, previous);
    /* The line end behind the empty chunk's data; some clients leave it out. */
    if (len == at || (len - at == 2 && memcmp(body + at, "\r\n", 2) == 0)) return CHUNKED_OK;
    return CHUNKED_BAD;
}
