/* CRC-32: carry-less multiplication where the processor has it, else eight tables. */
#include "crc32.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_CLMUL 1
#define CLMUL_MIN 64u /* bytes that one turn of the folding takes */
static uint32_t fold(uint32_t crc, const uint8_t *at, uint64_t len);
/* What `fold` is compiled for, each of it: a virtual machine may hide either. */
static inline int cpu_clmul(void) {
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#else
#define HAVE_CLMUL 0
#endif

/*
 * table[k][i] is the checksum of byte i followed by k zero bytes. It is linear in the bits of i, so
 * eight numbers make a row: those of i = 1, 2, 4, ... 128.
 */
#define BIT(i, b, v) ((i) >> (b)&1u ? (v) : 0u)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^     \
     BIT(i, 6, g) ^ BIT(i, 7, h))
#define FOUR(i, ...)                                                                               \
    ENTRY((i), __VA_ARGS__), ENTRY((i) + 1u, __VA_ARGS__), ENTRY((i) + 2u, __VA_ARGS__),           \
        ENTRY((i) + 3u, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                            \
    FOUR(i, __VA_ARGS__), FOUR((i) + 4u, __VA_ARGS__), FOUR((i) + 8u, __VA_ARGS__),                \
        FOUR((i) + 12u, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                         \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN((i) + 16u, __VA_ARGS__), SIXTEEN((i) + 32u, __VA_ARGS__),     \
        SIXTEEN((i) + 48u, __VA_ARGS__)
#define ROW(...)                                                                                   \
    SIXTY_FOUR(0u, __VA_ARGS__), SIXTY_FOUR(64u, __VA_ARGS__), SIXTY_FOUR(128u, __VA_ARGS__),      \
        SIXTY_FOUR(192u, __VA_ARGS__)

static const uint32_t table[8][256] = {{ROW(0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u,
                                            0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u)},
                                       {ROW(0x191b3141u, 0x32366282u, 0x646cc504u, 0xc8d98a08u,
                                            0x4ac21251u, 0x958424a2u, 0xf0794f05u, 0x3b83984bu)},
                                       {ROW(0x01c26a37u, 0x0384d46eu, 0x0709a8dcu, 0x0e1351b8u,
                                            0x1c26a370u, 0x384d46e0u, 0x709a8dc0u, 0xe1351b80u)},
                                       {ROW(0xb8bc6765u, 0xaa09c88bu, 0x8f629757u, 0xc5b428efu,
                                            0x5019579fu, 0xa032af3eu, 0x9b14583du, 0xed59b63bu)},
                                       {ROW(0x3d6029b0u, 0x7ac05360u, 0xf580a6c0u, 0x30704bc1u,
                                            0x60e09782u, 0xc1c12f04u, 0x58f35849u, 0xb1e6b092u)},
                                       {ROW(0xcb5cd3a5u, 0x4dc8a10bu, 0x9b914216u, 0xec53826du,
                                            0x03d6029bu, 0x07ac0536u, 0x0f580a6cu, 0x1eb014d8u)},
                                       {ROW(0xa6770bb4u, 0x979f1129u, 0xf44f2413u, 0x33ef4e67u,
                                            0x67de9cceu, 0xcfbd399cu, 0x440b7579u, 0x8816eaf2u)},
                                       {ROW(0xccaa009eu, 0x4225077du, 0x844a0efau, 0xd3e51bb5u,
                                            0x7cbb312bu, 0xf9766256u, 0x299dc2edu, 0x533b85dau)}};

uint32_t weir_crc32(uint32_t crc, const void *bytes, uint64_t len) {
#if HAVE_CLMUL
    if (len >= CLMUL_MIN && cpu_clmul()) {
        uint64_t whole = len & ~UINT64_C(15);
        crc = ~fold(~crc, bytes, whole);
        bytes = (const uint8_t *)bytes + whole;
        len -= whole;
    }
#endif
    return weir_crc32_tables(crc, bytes, len);
}

uint32_t weir_crc32_tables(uint32_t crc, const void *bytes, uint64_t len) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                              (uint32_t)at[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
              table[0][at[7]];
    }
    for (; len > 0; len--, at++) crc = table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return ~crc;
}

#if HAVE_CLMUL
#define CLMUL __attribute__((target("pclmul,sse4.1")))

/* `x` moved on by the distance that `k` stands for, plus the bytes that stand there. */
CLMUL static inline __m128i step(__m128i x, __m128i k, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(x, k, 0x00), high = _mm_clmulepi64_si128(x, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline CLMUL __m128i load(const uint8_t *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/*
 * The message is a polynomial over bits; its remainder stays the same when 128 bits of it are
 * replaced by their product with x^d mod P, d bits further on. Four such registers move by 512 bits
 * a turn, are folded into one, and that is reduced after Barrett. The constants are x^d mod P for
 * d = 512 +- 32, 128 +- 32 and 64, bit-reflected (V. Gopal et al., "Fast CRC Computation for
 * Generic Polynomials Using PCLMULQDQ", Intel, 2009). `len` is a multiple of 16, at least 64.
 */
CLMUL static uint32_t fold(uint32_t crc, const uint8_t *at, uint64_t len) {
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const __m128i by_64 = _mm_set_epi64x(0, 0x0163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    const __m128i low_halves = _mm_setr_epi32(-1, 0, -1, 0);

    __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128((int)crc));
    __m128i b = load(at + 16), c = load(at + 32), d = load(at + 48);
    for (at += 64, len -= 64; len >= 64; at += 64, len -= 64) {
        a = step(a, by_512, load(at));
        b = step(b, by_512, load(at + 16));
        c = step(c, by_512, load(at + 32));
        d = step(d, by_512, load(at + 48));
    }
    a = step(step(step(a, by_128, b), by_128, c), by_128, d);
    for (; len >= 16; at += 16, len -= 16) a = step(a, by_128, load(at));

    /* 128 bits to 64, then to 32. */
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_128, 0x10));
    a = _mm_xor_si128(_mm_srli_si128(a, 4),
                      _mm_clmulepi64_si128(_mm_and_si128(a, low_halves), by_64, 0x00));
    __m128i q = _mm_clmulepi64_si128(_mm_and_si128(a, low_halves), barrett, 0x10);
    q = _mm_clmulepi64_si128(_mm_and_si128(q, low_halves), barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, q), 1);
}
#endif
