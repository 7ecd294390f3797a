/*
 * tools/local-aws/aws/text.h - texts of requests taken apart: separators, hexadecimal digits,
 * percent-encoding. Nothing is allocated; what is returned points into what was given. [any]
 */
#ifndef WEIR_LOCAL_AWS_TEXT_H
#define WEIR_LOCAL_AWS_TEXT_H

#include "base/buf.h"
#include "base/str.h"

#define AWS_SHA256_HEX 64u

/* The part before `c`, taken off `rest` with the separator; the whole rest if there is none. */
weir_str aws_until(weir_str *rest, char c);
/* Without spaces and tabs at its ends. */
weir_str aws_trim(weir_str s);

/* 0 to 15; -1: it is no hexadecimal digit. */
int aws_hex_digit(char c);
/* 2 * n lower-case digits, without a NUL behind them. */
void aws_hex(const uint8_t *bytes, size_t n, char *out);
void aws_sha256_hex(weir_str s, char out[AWS_SHA256_HEX]);

/* Writes at most s.len bytes to `out` and returns how many. What is no escape stays as it is; with
 * `plus` a plus sign is a space, as in forms. */
size_t aws_percent_decode(weir_str s, bool plus, char *out);
/* The same, behind what is in `out`. */
void aws_percent_append(buf *out, weir_str s, bool plus);
/* Appends `s`, escaped but for letters, digits, "-_.~" and what is in `also`. */
void aws_percent_encode(buf *out, weir_str s, const char *also);

#endif
