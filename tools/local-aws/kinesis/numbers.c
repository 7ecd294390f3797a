#include "kinesis/numbers.h"

#include <openssl/evp.h>
#include <string.h>

hash_key hash_key_of(weir_str partition_key) {
    uint8_t digest[16] = {0};
    EVP_Digest(partition_key.ptr, (size_t)partition_key.len, digest, NULL, EVP_md5(), NULL);
    hash_key h = 0;
    for (int i = 0; i < 16; i++) h = h << 8 | digest[i];
    return h;
}

bool hash_key_parse(weir_str text, hash_key *out) {
    hash_key h = 0;
    if (text.len == 0 || text.len > 39 || (text.ptr[0] == '0' && text.len > 1)) return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (digit > 9 || h > (HASH_KEY_MAX - digit) / 10) return false;
        h = h * 10 + digit;
    }
    *out = h;
    return true;
}

unsigned hash_key_write(hash_key h, char out[HASH_KEY_TEXT]) {
    char reversed[HASH_KEY_TEXT];
    unsigned n = 0;
    do {
        reversed[n++] = (char)('0' + (int)(h % 10));
        h /= 10;
    } while (h);
    for (unsigned i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
    out[n] = 0;
    return n;
}

hash_key hash_key_even(uint32_t i, uint32_t n) {
    if (n <= 1) return 0;
    /* floor(2^128 / n): 2^128 - 1 divided, corrected where n divides 2^128. */
    hash_key width = HASH_KEY_MAX / n;
    if (HASH_KEY_MAX % n == n - 1) width++;
    return width * i;
}

/* ---- sequence numbers: 188 bits in three words, the lowest first ---- */

typedef struct wide {
    uint64_t word[3];
} wide;

static void push_bits(wide *w, uint64_t value, unsigned bits) {
    uint64_t low = w->word[0], middle = w->word[1];
    if (bits == 64) {
        w->word[2] = middle;
        w->word[1] = low;
        w->word[0] = value;
        return;
    }
    w->word[2] = w->word[2] << bits | middle >> (64 - bits);
    w->word[1] = middle << bits | low >> (64 - bits);
    w->word[0] = low << bits | (value & ((UINT64_C(1) << bits) - 1));
}

static uint64_t pop_bits(wide *w, unsigned bits) {
    uint64_t value = w->word[0];
    if (bits == 64) {
        w->word[0] = w->word[1];
        w->word[1] = w->word[2];
        w->word[2] = 0;
        return value;
    }
    w->word[0] = w->word[0] >> bits | w->word[1] << (64 - bits);
    w->word[1] = w->word[1] >> bits | w->word[2] << (64 - bits);
    w->word[2] >>= bits;
    return value & ((UINT64_C(1) << bits) - 1);
}

#define TEN_19 UINT64_C(10000000000000000000)

unsigned sequence_write(const sequence *s, char out[SEQUENCE_TEXT]) {
    wide w = {{2, 0, 0}};
    push_bits(&w, s->shard_second, 36);
    push_bits(&w, s->shard, 4);
    push_bits(&w, s->record, 64);
    push_bits(&w, s->shard, 32);
    push_bits(&w, s->second, 44);
    push_bits(&w, 2, 4);
    char digits[SEQUENCE_TEXT];
    unsigned n = 0;
    while (w.word[0] | w.word[1] | w.word[2]) {
        hash_key rest = 0;
        for (int i = 2; i >= 0; i--) {
            rest = rest << 64 | w.word[i];
            w.word[i] = (uint64_t)(rest / TEN_19);
            rest %= TEN_19;
        }
        uint64_t part = (uint64_t)rest;
        bool last = !(w.word[0] | w.word[1] | w.word[2]);
        for (unsigned i = 0; last ? part != 0 : i < 19; i++, part /= 10)
            digits[n++] = (char)('0' + (int)(part % 10));
    }
    for (unsigned i = 0; i < n; i++) out[i] = digits[n - 1 - i];
    out[n] = 0;
    return n;
}

bool sequence_parse(weir_str text, sequence *out) {
    if (text.len == 0 || text.len > 57) return false;
    wide w = {{0, 0, 0}};
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (digit > 9) return false;
        hash_key carry = digit;
        for (int k = 0; k < 3; k++) {
            carry += (hash_key)w.word[k] * 10;
            w.word[k] = (uint64_t)carry;
            carry >>= 64;
        }
        if (carry) return false;
    }
    if (pop_bits(&w, 4) != 2) return false;
    out->second = pop_bits(&w, 44);
    out->shard = (uint32_t)pop_bits(&w, 32);
    out->record = pop_bits(&w, 64);
    uint64_t nibble = pop_bits(&w, 4);
    out->shard_second = pop_bits(&w, 36);
    return nibble == (out->shard & 15) && w.word[0] == 2 && w.word[1] == 0 && w.word[2] == 0;
}
