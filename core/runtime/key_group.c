#include "runtime/key_group.h"

#include "base/siphash.h"

static inline void mix(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

/* Little-endian whatever the machine is; compilers make one load of it where they can. */
static inline uint64_t load(const unsigned char *p, uint64_t bytes) {
    uint64_t word = 0;
    for (uint64_t i = 0; i < bytes; i++) word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t key_hash(weir_str key) {
    /* The key 00 .. 0f as two little-endian words, and "somepseudorandomlygeneratedbytes". */
    const uint64_t k0 = UINT64_C(0x0706050403020100), k1 = UINT64_C(0x0f0e0d0c0b0a0908);
    uint64_t v[4] = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    const unsigned char *p = (const unsigned char *)key.ptr;
    uint64_t i = 0;
    for (; i + 8 <= key.len; i += 8) mix(v, load(p + i, 8));
    uint64_t rest = key.len > i ? load(p + i, key.len - i) : 0;
    mix(v, rest | key.len << 56);
    v[2] ^= 0xff;
    for (int round = 0; round < 4; round++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t key_group(weir_str key, uint32_t groups) {
    return (uint32_t)(key_hash(key) % groups);
}

uint32_t key_group_instance(uint32_t group, uint32_t groups, uint32_t parallelism) {
    return (uint32_t)((uint64_t)group * parallelism / groups);
}

uint32_t key_group_first(uint32_t instance, uint32_t groups, uint32_t parallelism) {
    return (uint32_t)(((uint64_t)instance * groups + parallelism - 1) / parallelism);
}
