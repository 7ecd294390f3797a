/*
 * plugins/transform/where_lex.h - words of a condition.
 */
#ifndef WEIR_TRANSFORM_WHERE_LEX_H
#define WEIR_TRANSFORM_WHERE_LEX_H

#include "where.h"

#define WORD_END 0u
#define WORD_DOT 1u
#define WORD_NAME                                                                                  \
    2u                 /* letters, digits, _, bytes above 127; and, or, not, true, false, null too \
                        */
#define WORD_NUMBER 3u /* as in JSON */
#define WORD_STRING 4u /* in double or single quotes; `text` still has its escapes */
#define WORD_COMPARE 5u /* `compare` says which */
#define WORD_OPEN 6u
#define WORD_CLOSE 7u
#define WORD_BRACKET 8u
#define WORD_BRACKET_END 9u
#define WORD_BAD 10u /* `hint` says why, if there is more to say */

typedef struct where_word {
    uint32_t kind; /* WORD_* */
    uint32_t compare;
    uint32_t at;     /* byte offset */
    uint32_t len;    /* bytes in the source */
    weir_str text;   /* NAME, NUMBER: the word; STRING: between the quotes */
    const char *bad; /* WORD_BAD: what is wrong, or NULL */
    const char *hint;
} where_word;

/* The word at or after byte `at`. */
where_word where_lex(weir_str source, uint32_t at);

/* Copies a string without its escapes to `out`, which holds text.len bytes; the length comes back,
 * or UINT32_MAX for an escape that is none, whose offset in `text` goes to `*wrong`. */
uint32_t where_unescape(weir_str text, char *out, uint32_t *wrong);

#endif
