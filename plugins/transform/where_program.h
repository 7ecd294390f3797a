/*
 * plugins/transform/where_program.h - the compiled form, shared by compiler and interpreter.
 */
#ifndef WEIR_TRANSFORM_WHERE_PROGRAM_H
#define WEIR_TRANSFORM_WHERE_PROGRAM_H

#include "where.h"

#define WHERE_CMP 0u        /* truth = a <compare> b */
#define WHERE_TRUE 1u       /* truth = a is the boolean true */
#define WHERE_NOT 2u        /* truth = not truth */
#define WHERE_JUMP_FALSE 3u /* to instruction a if not truth */
#define WHERE_JUMP_TRUE 4u  /* to instruction a if truth */

#define WHERE_EQ 0u
#define WHERE_NE 1u
#define WHERE_LT 2u
#define WHERE_LE 3u
#define WHERE_GT 4u
#define WHERE_GE 5u

/* An operand: index of a literal, or of a path with this bit. */
#define WHERE_PATH (1u << 31)

typedef struct where_code {
    uint8_t op;      /* WHERE_CMP ... */
    uint8_t compare; /* WHERE_EQ ... */
    uint16_t reserved;
    uint32_t a;
    uint32_t b;
} where_code;

typedef struct where_step {
    const char *name; /* NULL: an index */
    uint32_t len;
    uint32_t index;
} where_step;

typedef struct where_path {
    uint32_t first; /* of the steps */
    uint32_t count;
} where_path;

struct where_program {
    where_code *code;
    uint32_t code_count, code_capacity;
    where_step *steps;
    uint32_t step_count, step_capacity;
    where_path *paths;
    uint32_t path_count, path_capacity;
    weir_value *literals;
    uint32_t literal_count, literal_capacity;
    char *text; /* names and strings, unescaped: never more bytes than the condition has */
    uint32_t text_used;
};

#endif
