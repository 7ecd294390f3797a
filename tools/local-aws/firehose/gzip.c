/*
 * A gzip file (RFC 1952) around stored blocks (RFC 1951, 3.2.4): what reads gzip reads it, and this
 * program needs no compressor for it.
 */
#include "firehose/firehose.h"

#include "crc32.h"

#define BLOCK_MAX 65535u

static void put_u32(buf *out, uint32_t v) {
    char b[4] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};
    buf_append(out, b, sizeof b);
}

bool gzip_write(weir_str bytes, buf *out) {
    static const char head[] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};
    buf_append(out, head, sizeof head);
    uint64_t at = 0;
    do {
        uint64_t n = bytes.len - at < BLOCK_MAX ? bytes.len - at : BLOCK_MAX;
        char block[5] = {at + n == bytes.len, (char)n, (char)(n >> 8), (char)~n, (char)(~n >> 8)};
        buf_append(out, block, sizeof block);
        if (n) buf_append(out, bytes.ptr + at, (size_t)n);
        at += n;
    } while (at < bytes.len);
    put_u32(out, weir_crc32(0, bytes.ptr, bytes.len));
    put_u32(out, (uint32_t)bytes.len);
    return buf_ok(out);
}
