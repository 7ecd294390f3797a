/*
 * core/runtime/template_eval.h - running template programs and paths over the records of a batch.
 */
#ifndef WEIR_RUNTIME_TEMPLATE_EVAL_H
#define WEIR_RUNTIME_TEMPLATE_EVAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "manifest/template.h"
#include "weir/batch.h"

/* The value a path leads to, NULL if there is none. */
const weir_value *path_find(const weir_value *root, const template_path *path);

/* The text of a metadata column ("weir.*") or of the last header of that name; false if absent. */
bool rows_header(const weir_rows *rows, uint32_t row, weir_str name, weir_str *out);

/* One template with what makes repeated runs cheap: the last second's formatted time for each part.
 * Belongs to one task. */
typedef struct template_eval template_eval;

/* `random` is asked for 64 bits a ${random}, twice that for a ${uuid}; `wall_us` for ${now}. */
typedef struct template_env {
    int64_t (*wall_us)(void *opaque);
    uint64_t (*random)(void *opaque);
    void *opaque;
} template_env;

template_eval *template_eval_new(const template_program *program, const template_env *env);
void template_eval_free(template_eval *e);

/* Appends the text for one record. WEIR_E_DATA with `err` filled when a field or header is absent
 * and the template gives no default, or when the text is too long. */
weir_status template_eval_row(template_eval *e, const weir_batch *batch, uint32_t row, buf *out,
                              weir_error *err);

/* One text a record, for a whole batch. Equal neighbours share their bytes. */
typedef struct text_column {
    bool constant;    /* ptr[0], len[0] for every row */
    const char **ptr; /* NULL entry: the row failed */
    uint32_t *len;
} text_column;

/* Arrays and bytes come from `memory`. A failing row is reported through `fail` and left NULL. */
weir_status template_eval_column(template_eval *e, const weir_batch *batch, arena *memory,
                                 text_column *out,
                                 void (*fail)(void *opaque, uint32_t row, const weir_error *err),
                                 void *opaque, weir_error *err);

#endif
