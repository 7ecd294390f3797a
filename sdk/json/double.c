/*
 * Double to the shortest text that reads back the same: Schubfach (R. Giulietti, "The Schubfach way
 * to render doubles", 2020).
 *
 * Everything between the midpoints to the neighbouring doubles rounds to v (the midpoints too if
 * v's mantissa is even). With k chosen so that 10^k is at most as wide as this interval, one of the
 * two multiples of 10^k (or of 10^(k+1)) around v lies inside. The bounds are scaled by 10^-k with
 * a 126-bit power and "round to odd", which keeps all comparisons exact.
 */
#include "json_private.h"

static uint64_t scale_to_odd(uint64_t high, uint64_t low, uint64_t v) {
    unsigned __int128 x = (unsigned __int128)low * v;
    unsigned __int128 y = (unsigned __int128)high * v + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

static json_shortest without_zeros(uint64_t digits, int32_t exponent) {
    while (digits % 100 == 0) {
        digits /= 100;
        exponent += 2;
    }
    if (digits % 10 == 0) {
        digits /= 10;
        exponent++;
    }
    return (json_shortest){digits, exponent};
}

json_shortest json_double_shortest(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int32_t biased = (int32_t)(bits >> 52 & 0x7ff);
    uint64_t c = biased ? fraction | UINT64_C(1) << 52 : fraction; /* v = c * 2^q */
    int32_t q = (biased ? biased : 1) - 1075;

    if (q <= 0 && q > -53 && (c & ((UINT64_C(1) << -q) - 1)) == 0)
        return without_zeros(c >> -q, 0); /* an integer below 2^53 */

    int odd = (int)(c & 1);
    int closer_below =
        fraction == 0 && biased > 1; /* a power of two: its lower gap is half as wide */
    int32_t k = (q * 1262611 - (closer_below ? 524031 : 0)) >> 22;
    int32_t shift = q + ((-k * 1741647) >> 19) + 1;
    uint64_t high, low;
    json_pow10(-k, &high, &low);
    /* The method wants the power rounded up; those from 10^0 to 10^55 are exact. */
    if ((k > 0 || k < -55) && ++low == 0) high++;

    uint64_t below = scale_to_odd(high, low, (4 * c - 2 + (uint64_t)closer_below) << shift);
    uint64_t value = scale_to_odd(high, low, (4 * c) << shift);
    uint64_t above = scale_to_odd(high, low, (4 * c + 2) << shift);
    uint64_t lower = below + (uint64_t)odd;
    uint64_t upper = above - (uint64_t)odd;

    uint64_t s = value / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        int down = lower <= 40 * tens;
        int up = 40 * tens + 40 <= upper;
        if (down != up) return without_zeros(tens + (uint64_t)up, k + 1);
    }
    int down = lower <= 4 * s;
    int up = 4 * s + 4 <= upper;
    if (down != up) return without_zeros(s + (uint64_t)up, k);
    uint64_t middle = 4 * s + 2;
    int round_up = value > middle || (value == middle && (s & 1));
    return without_zeros(s + (uint64_t)round_up, k);
}
