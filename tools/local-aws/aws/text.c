#include "aws/text.h"

#include <openssl/evp.h>

weir_str aws_until(weir_str *rest, char c) {
    const char *at = rest->len ? memchr(rest->ptr, c, (size_t)rest->len) : NULL;
    size_t n = at ? (size_t)(at - rest->ptr) : (size_t)rest->len;
    weir_str first = str_make(rest->ptr, n);
    size_t skip = at ? n + 1 : n;
    *rest = str_make(rest->ptr + skip, (size_t)rest->len - skip);
    return first;
}

weir_str aws_trim(weir_str s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

int aws_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void aws_hex(const uint8_t *bytes, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void aws_sha256_hex(weir_str s, char out[AWS_SHA256_HEX]) {
    uint8_t digest[AWS_SHA256_HEX / 2] = {0};
    EVP_Digest(s.ptr, (size_t)s.len, digest, NULL, EVP_sha256(), NULL);
    aws_hex(digest, sizeof digest, out);
}

size_t aws_percent_decode(weir_str s, bool plus, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        int high = -1, low = -1;
        if (c == '%' && s.len - i > 2) {
            high = aws_hex_digit(s.ptr[i + 1]);
            low = aws_hex_digit(s.ptr[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    return n;
}

void aws_percent_append(buf *out, weir_str s, bool plus) {
    if (!s.len || !buf_reserve(out, (size_t)s.len)) return;
    out->len += aws_percent_decode(s, plus, out->data + out->len);
}

static bool unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void aws_percent_encode(buf *out, weir_str s, const char *also) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (unreserved(c) || (c && strchr(also, c))) {
            buf_append_char(out, (char)c);
        } else {
            char e[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_append(out, e, 3);
        }
    }
}
