/*
 * core/manifest/template.h - record templates:
 * "clicks/dt=${time:%Y-%m-%d}/${.user|urlencode}.json".
 *
 * Parsed once into a program of parts; runtime/template_eval.c runs it over records.
 */
#ifndef WEIR_MANIFEST_TEMPLATE_H
#define WEIR_MANIFEST_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct template_step { /* ".name" or "[3]" */
    weir_str name;             /* NULL ptr for an index */
    uint32_t index;
} template_step;
typedef struct template_path {
    const template_step *steps;
    size_t len;
} template_path;

typedef enum {
    PART_LITERAL,
    PART_KEY,      /* ${key} */
    PART_VALUE,    /* ${value} */
    PART_FIELD,    /* ${.a.b[0]} */
    PART_HEADER,   /* ${header:x}; weir.* names read metadata columns */
    PART_SPLIT,    /* ${split} */
    PART_POSITION, /* ${position} */
    PART_TIME,     /* ${time:%Y}: event time, UTC */
    PART_NOW,      /* ${now:%Y} */
    PART_UUID,
    PART_RANDOM, /* a decimal number of 64 random bits */
} part_kind;

typedef enum { FILTER_URLENCODE, FILTER_DEFAULT } filter_kind;
typedef struct template_filter {
    filter_kind kind;
    weir_str argument;
} template_filter;

typedef struct template_part {
    part_kind kind;
    weir_str text;      /* LITERAL; HEADER's name; TIME's and NOW's strftime format */
    template_path path; /* FIELD */
    const template_filter *filters;
    size_t filter_count;
} template_part;

typedef struct template_program {
    weir_str source;
    const template_part *parts;
    size_t count;
    bool constant;   /* literals only */
    bool needs_tape; /* reads a field */
    bool needs_time, needs_headers, needs_key;
    bool needs_meta; /* a weir.* header */
} template_program;

/* Strings of the program are copies in `memory`. "$$" is a dollar sign; a dollar sign before
 * anything but "{" and "$" is itself. INVALID_ARG: `at` gets the offset of what is wrong;
 * TOO_LARGE; NOMEM. [any] */
weir_status template_parse(weir_str text, arena *memory, const template_program **out, size_t *at,
                           weir_error *err);
/* ".a.b[0]", also .a["any name"], alone, as event_time.field has it. */
weir_status template_parse_path(weir_str text, arena *memory, template_path *out, size_t *at,
                                weir_error *err);
/* True for what stands between "${" and "}" of a record template, as opposed to a reference that is
 * resolved when the manifest is read. [any] */
bool template_is_record(weir_str name);

#endif
