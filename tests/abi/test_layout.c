/*
 * Golden sizes and offsets: what a frozen version of the ABI laid out stays where it is, in the
 * headers of that version and in today's. Compile-time: a difference is an error that names the
 * field. LAYOUT is the golden file of VERSION; EXACT is set when the headers are of that very
 * version, so that sizes must be equal too and not only large enough.
 */
#include <stddef.h>
#include <stdio.h>

#include <weir/abi.h>

#ifdef EXACT
#define STRUCT(type, size) _Static_assert(sizeof(type) == (size), "size of " #type);
#else
#define STRUCT(type, size) _Static_assert(sizeof(type) >= (size), "size of " #type);
#endif
#define FIELD(type, field, offset, size)                                                           \
    _Static_assert(offsetof(type, field) == (offset), "offset of " #type "." #field);              \
    _Static_assert(sizeof(((type *)0)->field) == (size), "size of " #type "." #field);

#include LAYOUT

/* Frozen for the major: these may not grow, since they cross the boundary by value or in arrays. */
_Static_assert(sizeof(weir_str) == 16, "weir_str is passed by value");
_Static_assert(sizeof(weir_value) == 16, "weir_value crosses in arrays");

int main(void) {
    unsigned lines = 0;
#undef STRUCT
#undef FIELD
#define STRUCT(type, size) lines++;
#define FIELD(type, field, offset, size) lines++;
#include LAYOUT
    printf("%u sizes and offsets of ABI %s hold in headers of %s\n", lines, VERSION, WEIR_ABI_TEXT);
    return lines == 0;
}
