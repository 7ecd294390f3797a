#!/usr/bin/env python3
"""Writes pow10_table.h: the upper 128 bits of 10^e, rounded down, for e from -343 to 324.

10^e = 2^x * m with the highest bit of the 128-bit integer m set; only m is stored, x follows from e.
Entries 0 to 55 are exact. Both directions of conversion (text to double, double to text) read it.
"""
import sys

FIRST, LAST = -343, 324


def entry(e):
    if e >= 0:
        n = 10**e
        shift = n.bit_length() - 128
        return n >> shift if shift >= 0 else n << -shift
    d = 10**-e
    # 128 significant bits of 1/d: the quotient of 2^(bits + 127) has 128 of them (d is no power of 2).
    m = (1 << (d.bit_length() + 127)) // d
    assert m.bit_length() == 128
    return m


with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write("/* Made by make_pow10.py. */\n")
    out.write(f"#define POW10_FIRST ({FIRST})\n#define POW10_LAST {LAST}\n")
    out.write("static const uint64_t pow10_bits[][2] = {\n")
    for e in range(FIRST, LAST + 1):
        m = entry(e)
        out.write(f"    {{UINT64_C(0x{m >> 64:016x}), UINT64_C(0x{m & (2**64 - 1):016x})}}, /* {e} */\n")
    out.write("};\n")
