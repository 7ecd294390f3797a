/* Strings with quotes and escapes. */
#include "json_private.h"
#include "scan.h"

/* How a byte is written: length, then the text. */
typedef struct escape {
    uint8_t length;
    char text[7];
} escape;

#define U(c, digits) [c] = {6, {'\\', 'u', '0', '0', (digits)[0], (digits)[1], 0}}
#define L(c, letter) [c] = {2, {'\\', letter}}
static const escape escapes[0x60] = {
    U(0x00, "00"), U(0x01, "01"), U(0x02, "02"), U(0x03, "03"), U(0x04, "04"), U(0x05, "05"),
    U(0x06, "06"), U(0x07, "07"), L('\b', 'b'),  L('\t', 't'),  L('\n', 'n'),  U(0x0b, "0b"),
    L('\f', 'f'),  L('\r', 'r'),  U(0x0e, "0e"), U(0x0f, "0f"), U(0x10, "10"), U(0x11, "11"),
    U(0x12, "12"), U(0x13, "13"), U(0x14, "14"), U(0x15, "15"), U(0x16, "16"), U(0x17, "17"),
    U(0x18, "18"), U(0x19, "19"), U(0x1a, "1a"), U(0x1b, "1b"), U(0x1c, "1c"), U(0x1d, "1d"),
    U(0x1e, "1e"), U(0x1f, "1f"), L('"', '"'),   L('\\', '\\')};
#undef U
#undef L

/* The bound holds exactly: nothing is written behind the escape. */
JSON_INLINE char *put_escape(char *out, uint8_t c) {
    const escape *e = &escapes[c];
    memcpy(out, e->text, 2);
    if (e->length == 2) return out + 2;
    memcpy(out + 2, e->text + 2, 4);
    return out + 6;
}

/* As long as eight bytes of input are left there is room for eight bytes of output. */
char *json_put_bytes_swar(char *out, const uint8_t *s, const uint8_t *end) {
    while (end - s >= 8) {
        uint64_t w = json_load64(s);
        uint64_t hit = swar_escape_bytes(w);
        memcpy(out, &w, 8);
        uint32_t clean = hit ? (uint32_t)__builtin_ctzll(hit) >> 3 : 8;
        s += clean;
        out += clean;
        if (hit) out = put_escape(out, *s++);
    }
    for (; s < end; s++) {
        if (*s < 0x20 || *s == '"' || *s == '\\')
            out = put_escape(out, *s);
        else
            *out++ = (char)*s;
    }
    return out;
}

#if JSON_HAVE_AVX2
JSON_AVX2 char *json_put_bytes_avx2(char *out, const uint8_t *s, const uint8_t *end) {
    while (end - s >= 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)s);
        _mm256_storeu_si256((__m256i *)(void *)out, v);
        uint32_t hit = escape_bits(v);
        uint32_t clean = hit ? (uint32_t)__builtin_ctz(hit) : 32;
        s += clean;
        out += clean;
        if (hit) out = put_escape(out, *s++);
    }
    return json_put_bytes_swar(out, s, end);
}
#endif

char *json_put_str(char *out, const uint8_t *s, uint64_t len) {
    *out++ = '"';
    if (len > 0) { /* an empty string may be NULL */
#if JSON_HAVE_AVX2
        if (JSON_LIKELY(json_cpu_avx2()))
            out = json_put_bytes_avx2(out, s, s + len);
        else
#endif
            out = json_put_bytes_swar(out, s, s + len);
    }
    *out++ = '"';
    return out;
}
