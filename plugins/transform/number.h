/*
 * plugins/transform/number.h - exact comparison of numbers of all kinds.
 */
#ifndef WEIR_TRANSFORM_NUMBER_H
#define WEIR_TRANSFORM_NUMBER_H

#include <stdbool.h>

#include "weir/value.h"

/* Outcome of a comparison that has none. */
#define NUMBER_UNORDERED 2

/* I64, U64, F64, or DECIMAL as text or bytes (see weir/value.h). */
bool number_is(const weir_value *v);

/*
 * -1, 0 or 1 by the decimal values of two numbers, or NUMBER_UNORDERED if one is NaN or a decimal
 * that is none. No rounding takes place; a double counts as the shortest decimal that reads back as
 * it, because that is the text it came from. Exponents beyond 10^15 are taken as 10^15. [any]
 */
int number_compare(const weir_value *a, const weir_value *b);

#endif
