/*
 * core/manifest/load.h - what the steps of reading one manifest share. Private to the module.
 *
 * Two arenas: `memory` takes what the pipeline keeps and is the caller's; `scratch` holds the tree
 * and resolved texts and is freed at the end. Whatever goes into the pipeline from the tree goes
 * through load_keep.
 */
#ifndef WEIR_MANIFEST_LOAD_H
#define WEIR_MANIFEST_LOAD_H

#include "base/str.h"
#include "manifest/manifest.h"
#include "manifest/tree.h"

typedef struct properties properties;

/* A value that holds text of the environment or of a file, which is data and may be a secret. */
typedef struct outside_text {
    const struct outside_text *next;
    const char *ptr; /* the copy in the pipeline's memory */
    weir_str source; /* as it stands in the manifest, "${env:NAME}" */
} outside_text;

typedef struct load {
    const char *file;  /* in `memory` */
    weir_str base_dir; /* absolute, in `memory` */
    const manifest_input *input;
    manifest_env env;
    registry *plugins;
    arena *memory;
    arena *scratch;
    diags *out;
    properties *props;
    const outside_text *outside; /* the latest first */
    bool component; /* what is being read is an option of a component: plugins' references may be
                       used */
    bool offline;   /* nobody will use it: nothing is fetched for it */
    plugin_reference *references; /* in `memory` */
    size_t reference_count, reference_capacity;
    bool no_memory; /* an allocation failed: reported once, the result is thrown away */
} load;

/* Reports an error or a warning; the format makes its text. `hint` may be NULL. */
void load_error(load *l, const char *code, place at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void load_warning(load *l, const char *code, place at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Zeroed memory of the pipeline; NULL sets no_memory. */
void *load_array(load *l, size_t count, size_t size);
/* A copy in the pipeline's memory, with a NUL behind it; "" without memory. */
weir_str load_keep(load *l, weir_str s);

/* Notes that `kept`, a result of load_keep, holds text from outside: load_show and load_escape of
 * it show `source` instead. */
void load_mark_outside(load *l, weir_str kept, weir_str source);
/* The source of a value that holds text from outside; an empty one for any other. */
weir_str load_outside(const load *l, weir_str kept);

/* Texts for messages, in scratch; never NULL. A user's words enter hints only through load_escape:
 * hints may have line ends, and a word shall not make up lines. */
const char *load_escape(load *l, weir_str s); /* shortened if it is long */
const char *load_printf(load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *load_show(load *l, weir_str s); /* "'text'", shortened if it is long */
/* "did you mean 'x'?" or NULL if nothing is near, nobody would see it, or the word is from outside,
 * which a near word would tell. */
const char *load_nearest(load *l, weir_str word, const weir_str *candidates, size_t count);
/* "a, b or c" */
const char *load_list(load *l, const weir_str *words, size_t count);

#endif
