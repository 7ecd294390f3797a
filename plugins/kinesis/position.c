#include "position.h"

#include <stdio.h>
#include <string.h>

int sequence_is_valid(weir_str s) {
    if (s.len == 0 || s.len > SEQUENCE_MAX || (s.ptr[0] == '0' && s.len > 1)) return 0;
    for (uint64_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return 0;
    return 1;
}

void position_set(shard_position *p, weir_str sequence, uint32_t sub) {
    memcpy(p->sequence, sequence.ptr, (size_t)sequence.len);
    p->sequence[sequence.len] = '\0';
    p->sub = sub;
}

uint32_t position_encode(const shard_position *p, char *out) {
    size_t n = strlen(p->sequence);
    if (n == 0) return 0;
    out[0] = (char)n;
    memcpy(out + 1, p->sequence, n);
    for (int i = 0; i < 4; i++) out[n + 1 + (size_t)i] = (char)(p->sub >> (24 - 8 * i) & 0xff);
    return (uint32_t)n + 5;
}

int position_decode(shard_position *p, weir_str bytes) {
    p->sequence[0] = '\0';
    p->sub = 0;
    if (bytes.len == 0) return 1;
    weir_str digits = {bytes.ptr + 1, (uint8_t)bytes.ptr[0]};
    if (bytes.len != digits.len + 5 || !sequence_is_valid(digits)) return 0;
    uint32_t sub = 0;
    for (uint64_t i = digits.len + 1; i < bytes.len; i++) sub = sub << 8 | (uint8_t)bytes.ptr[i];
    position_set(p, digits, sub);
    return 1;
}

uint32_t position_to_text(const shard_position *p, char *out) {
    const size_t room = SEQUENCE_MAX + 12;
    int n = p->sub == POSITION_WHOLE ? snprintf(out, room, "%s", p->sequence)
                                     : snprintf(out, room, "%s:%u", p->sequence, p->sub);
    return (uint32_t)n;
}

int position_from_text(shard_position *p, weir_str text) {
    const char *colon = memchr(text.ptr, ':', (size_t)text.len);
    weir_str digits = {text.ptr, colon ? (uint64_t)(colon - text.ptr) : text.len};
    if (!sequence_is_valid(digits)) return 0;
    uint64_t sub = POSITION_WHOLE;
    if (colon) {
        const char *end = text.ptr + text.len;
        if (colon + 1 == end) return 0;
        sub = 0;
        for (const char *c = colon + 1; c < end; c++) {
            if (*c < '0' || *c > '9') return 0;
            sub = sub * 10 + (uint64_t)(*c - '0');
            if (sub >= POSITION_WHOLE) return 0;
        }
    }
    position_set(p, digits, (uint32_t)sub);
    return 1;
}
