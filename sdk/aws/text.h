/*
 * sdk/aws/text.h - a growing, bounded run of bytes. Internal to libweir_aws.a.
 *
 * After the first failure (no memory, or the maximum reached) every further addition does nothing
 * and `failed` stays set: callers check once, at the end.
 */
#ifndef WEIR_AWS_TEXT_H
#define WEIR_AWS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/types.h"

#define TEXT_MAX (16u * 1024u * 1024u)

typedef struct text {
    char *ptr;
    size_t len, capacity;
    bool failed;
} text;

void text_add(text *t, const void *bytes, size_t len);
void text_add_z(text *t, const char *z);
void text_add_str(text *t, weir_str s);
void text_add_char(text *t, char c);
/* A JSON string with quotes and escapes. */
void text_add_json(text *t, weir_str s);
void text_add_f(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(text *t); /* keeps the memory */
void text_free(text *t);  /* wipes: a text may have held a secret */
weir_str text_str(const text *t);
/* NUL-terminated (the NUL is not counted); NULL if the text failed. */
const char *text_z(text *t);

#endif
