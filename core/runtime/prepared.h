/*
 * core/runtime/prepared.h - the template options of a sink, evaluated for one batch.
 *
 * Evaluated before encoding, while fields can still be read, and kept beside the batch until its
 * records are written.
 */
#ifndef WEIR_RUNTIME_PREPARED_H
#define WEIR_RUNTIME_PREPARED_H

#include "manifest/manifest.h"
#include "runtime/failures.h"
#include "runtime/template_eval.h"

/* One template option, or one entry of a map of templates. */
typedef struct template_slot {
    weir_str key;
    weir_str entry; /* ptr NULL: not of a map */
    bool grouping;  /* records of one request share its value */
    template_eval *eval;
    const template_program *program;
} template_slot;

typedef struct template_set {
    template_slot *slots;
    uint32_t count;
    bool grouping; /* at least one grouping slot is not constant */
} template_set;

weir_status template_set_init(template_set *set, const options *opts, const template_env *env,
                              weir_error *err);
void template_set_free(template_set *set);

typedef struct prepared {
    arena *memory;
    text_column *columns; /* one a slot */
    uint32_t count;       /* rows */
} prepared;

/* NULL in `out` if there is nothing to evaluate. Records that lack a value are given up through `f`
 * and leave `*batch`, which is replaced, or NULL when none is left. */
weir_status template_set_prepare(const template_set *set, batch_home *home, failures *f,
                                 const weir_batch **batch, prepared **out, weir_error *err);
void prepared_drop(const template_set *set, prepared *p, const uint32_t *dropped, uint32_t count);
void prepared_free(prepared *p);
/* The text of slot `slot` for `row`. */
weir_str prepared_text(const prepared *p, uint32_t slot, uint32_t row);

#endif
