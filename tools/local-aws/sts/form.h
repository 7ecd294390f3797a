/*
 * sts/form.h - the fields of a form (application/x-www-form-urlencoded), as the Query protocol
 * sends its parameters: in a body, or in the query of a signed URL.
 */
#ifndef WEIR_LOCAL_STS_FORM_H
#define WEIR_LOCAL_STS_FORM_H

#include <stdbool.h>

#include "base/arena.h"
#include "weir/types.h"

#define FORM_FIELDS_MAX 1024u /* of a request; the largest has 50 tags of two fields */

typedef struct form_field {
    weir_str name, value; /* decoded */
} form_field;

typedef struct form {
    form_field *fields;
    uint32_t count;
} form;

/* False: too many fields, or no memory. Everything is in the arena. */
bool form_read(weir_str text, arena *memory, form *out);
/* ptr NULL if there is none; of several the first. */
weir_str form_get(const form *f, const char *name);

#endif
