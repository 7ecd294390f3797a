#include <openssl/crypto.h>

#include "kinesis/stream.h"

/* What goes into the text: the token, the stream's name, and a keyed hash over both. The key is the
 * process's own (map_hash), so that a token of an earlier run is none of this one's. */
typedef struct packed {
    token t;
    uint64_t name_len;
    char name[128];
} packed;

void token_write(const token *t, weir_str stream_name, char out[TOKEN_TEXT]) {
    struct {
        uint64_t check;
        packed p;
    } all;
    memset(&all, 0, sizeof all);
    all.p.t = *t;
    all.p.name_len = stream_name.len < sizeof all.p.name ? stream_name.len : sizeof all.p.name;
    memcpy(all.p.name, stream_name.ptr, (size_t)all.p.name_len);
    size_t len = offsetof(packed, name) + (size_t)all.p.name_len;
    all.check = map_hash(str_make((const char *)&all.p, len));
    uint64_t n = weir_base64_encode(str_make((const char *)&all, sizeof all.check + len), out);
    out[n] = 0;
}

bool token_read(weir_str text, token *out, char name[129]) {
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
    if (all.check != map_hash(str_make((const char *)&all.p, len))) return false;
    *out = all.p.t;
    memcpy(name, all.p.name, (size_t)all.p.name_len);
    name[all.p.name_len] = 0;
    return true;
}
