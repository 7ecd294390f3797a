/*
 * weir/reference.h - references of manifests: what `${NAME:TEXT}` stands for.
 *
 * The component's name is the word before the colon; plugin.json says with `form` and `pattern` how
 * the text behind it is written, so that a manifest can be checked without asking anybody. A value
 * is fetched before options are typed and checked: once for each start of a pipeline, so that a
 * restart sees a secret that was changed meanwhile. The host takes every value for a secret: it
 * shows the reference in its place. There is no node, and so there are no options.
 */
#ifndef WEIR_REFERENCE_H
#define WEIR_REFERENCE_H

#include "weir/instance.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_RESOLVED_VALUE 1u /* `bytes` is the text that takes the reference's place; no NUL */
#define WEIR_RESOLVED_FILE 2u  /* `bytes` is what a private file holds; its path takes the place */

/* In and out of `resolve`. */
typedef struct weir_resolve {
    uint32_t struct_size;
    uint32_t kind;       /* out: WEIR_RESOLVED_* */
    weir_str text;       /* in: what stands behind the colon; fits the pattern, never empty */
    int64_t deadline_ns; /* in: mono_ns, retries included */
    weir_str bytes;      /* out: the instance's, valid until the next call into it */
    weir_error *error;   /* in: filled on failure; never with a part of a value */
} weir_resolve;

typedef struct weir_reference_ops {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*create)(weir_create *args);         /* allocates only [control] */
    void (*destroy)(void *self);                      /* [control] */
    weir_status (*open)(void *self, weir_open *args); /* opened as CONTROL [control] */
    /* May block until the deadline. NOT_FOUND, PERMISSION, AUTH, INVALID_ARG and DATA say that the
     * manifest or what it names has to change; IO, TIMEOUT and THROTTLED that a later start may
     * succeed. [control] */
    weir_status (*resolve)(void *self, weir_resolve *args);
    void (*cancel)(void *self);                                 /* sticky [any] */
    weir_status (*close)(void *self, weir_close *args);         /* [control] */
    const void *(*get_extension)(void *self, const char *name); /* optional [control] */
} weir_reference_ops;

#ifdef __cplusplus
}
#endif
#endif
