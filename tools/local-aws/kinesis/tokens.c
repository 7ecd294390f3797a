/*
 * Iterators and NextTokens: the token, the stream's name, and SipHash-2-4 over both. The key is
 * kept with the state, so that an iterator goes on working over a restart with --dir, as it would
 * in the service, while one of another endpoint is none of this one's.
 */
#include "base/siphash.h"
#include "kinesis/stream.h"

typedef struct packed {
    token t;
    uint64_t name_len;
    char name[128];
} packed;

static uint64_t sign(const kinesis *k, const void *bytes, size_t len) {
    uint64_t v[4] = {k->token_key[0] ^ UINT64_C(0x736f6d6570736575),
                     k->token_key[1] ^ UINT64_C(0x646f72616e646f6d),
                     k->token_key[0] ^ UINT64_C(0x6c7967656e657261),
                     k->token_key[1] ^ UINT64_C(0x7465646279746573)};
    const unsigned char *p = bytes;
    uint64_t word = 0;
    for (size_t i = 0; i <= len; i++) {
        word |= (uint64_t)(i == len ? 0 : p[i]) << 8 * (i % 8);
        if (i % 8 != 7 && i != len) continue;
        if (i == len) word |= (uint64_t)(len & 255) << 56;
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
        word = 0;
    }
    v[2] ^= 255;
    for (int i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void token_write(const kinesis *k, const token *t, weir_str stream_name, char out[TOKEN_TEXT]) {
    struct {
        uint64_t check;
        packed p;
    } all;
    memset(&all, 0, sizeof all);
    all.p.t = *t;
    all.p.name_len = stream_name.len < sizeof all.p.name ? stream_name.len : sizeof all.p.name;
    memcpy(all.p.name, stream_name.ptr, (size_t)all.p.name_len);
    size_t len = offsetof(packed, name) + (size_t)all.p.name_len;
    all.check = sign(k, &all.p, len);
    uint64_t n = weir_base64_encode(str_make((const char *)&all, sizeof all.check + len), out);
    out[n] = 0;
}

bool token_read(const kinesis *k, weir_str text, token *out, char name[129]) {
    struct {
        uint64_t check;
        packed p;
    } all;
    if (text.len > TOKEN_TEXT || text.len * 3 / 4 > sizeof all) return false;
    memset(&all, 0, sizeof all);
    uint64_t n = weir_base64_decode(text, (char *)&all);
    if (n == UINT64_MAX || n < sizeof all.check + offsetof(packed, name)) return false;
    size_t len = (size_t)n - sizeof all.check;
    if (all.p.name_len != len - offsetof(packed, name)) return false;
    if (all.check != sign(k, &all.p, len)) return false;
    *out = all.p.t;
    memcpy(name, all.p.name, (size_t)all.p.name_len);
    name[all.p.name_len] = 0;
    return true;
}
