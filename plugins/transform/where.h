/*
 * plugins/transform/where.h - the condition of `filter`: text to a small program, run per record.
 *
 *   condition  = all { "or" all }            all     = unary { "and" unary }
 *   unary      = "not" unary | primary       primary = "(" condition ")" | operand [ op operand ]
 *   op         = == != < <= > >=             operand = path | number | string | true | false | null
 *   path       = "." | ( "." name | "." string | "[" index "]" | "[" string "]" ) ...
 *
 * Meaning. A field that is missing is null. A comparison that a null takes part in is false, but
 * for these: null == null, and x != null of an x that is not null. Numbers compare by their exact
 * decimal value, whether they are integers, doubles (the shortest decimal that reads back as the
 * double) or decimals kept as text; strings and bytes compare byte by byte; booleans, arrays and
 * objects have no order; objects are equal if they have equal members in the same order. Values of
 * different types are unequal and have no order. A path that stands alone holds if it is true.
 *
 * The program is a list of instructions on one truth value:
 *
 *   .a > 1 and (.b == "x" or .c)        0  CMP  .a > 1
 *                                       1  JF   -> 5         false already: done
 *                                       2  CMP  .b == "x"
 *                                       3  JT   -> 5
 *                                       4  TRUE .c
 *                                       5
 *
 * All functions may be called from any thread; a program is immutable. [any]
 */
#ifndef WEIR_TRANSFORM_WHERE_H
#define WEIR_TRANSFORM_WHERE_H

#include <stdbool.h>

#include "weir/value.h"

/* A condition is written by people. */
#define WHERE_TEXT_MAX 65536u
/* Parentheses and nots inside each other: recursion of the parser is bounded. */
#define WHERE_DEPTH_MAX 64u
/* Arrays and objects inside each other when they are compared. */
#define WHERE_VALUE_DEPTH_MAX 256u

typedef struct where_program where_program;

/* What is wrong with a text. */
typedef struct where_fault {
    uint32_t column;  /* from 1, in characters; 0 = not the text's fault */
    char text[192];   /* lower case */
    const char *hint; /* static; may be NULL */
} where_fault;

/* NULL on failure; the program copies what it needs of `text`. */
where_program *where_compile(weir_str text, where_fault *fault);
void where_free(where_program *program); /* NULL is ignored */

/* Does the condition hold for a record? */
bool where_holds(const where_program *program, const weir_value *root);

#endif
