#include "runtime/prepared.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Texts of one batch: a million records of the longest template is not what anybody means. */
#define PREPARED_BYTES_MAX (UINT64_C(1) << 30)

static bool add_slot(template_set *set, const option_value *v, const template_program *program,
                     weir_str entry, const template_env *env) {
    template_slot *slots = realloc(set->slots, (set->count + 1u) * sizeof *slots);
    if (slots == NULL) return false;
    set->slots = slots;
    template_slot *slot = &slots[set->count];
    slot->key = v->key;
    slot->entry = entry;
    slot->program = program;
    slot->grouping = v->option != NULL && v->option->groups_requests;
    slot->eval = template_eval_new(program, env);
    if (slot->eval == NULL) return false;
    set->count++;
    if (slot->grouping && !program->constant) set->grouping = true;
    return true;
}

weir_status template_set_init(template_set *set, const options *opts, const template_env *env,
                              weir_error *err) {
    memset(set, 0, sizeof *set);
    for (size_t o = 0; o < opts->count; o++) {
        const option_value *v = &opts->values[o];
        bool ok = v->tmpl == NULL || add_slot(set, v, v->tmpl, (weir_str){NULL, 0}, env);
        for (size_t e = 0; ok && v->entry_tmpls != NULL && e < v->entry_count; e++) {
            ok = add_slot(set, v, v->entry_tmpls[e], v->entry_names[e], env);
        }
        if (!ok) {
            template_set_free(set);
            return error_set(err, WEIR_E_NOMEM, 0, "out of memory for templates");
        }
    }
    return WEIR_OK;
}

void template_set_free(template_set *set) {
    for (uint32_t s = 0; s < set->count; s++) template_eval_free(set->slots[s].eval);
    free(set->slots);
    memset(set, 0, sizeof *set);
}

typedef struct fail_call {
    failures *failures;
    const weir_batch *batch;
    bool *bad;
    bool any;
    weir_status failed;
    weir_error *err;
} fail_call;

static void fail_row(void *opaque, uint32_t row, const weir_error *why) {
    fail_call *call = opaque;
    if (call->bad[row] || call->failed != WEIR_OK) return;
    call->bad[row] = true;
    call->any = true;
    call->failed = failures_record(call->failures, call->batch, row, why, 1, call->err);
}

static void compact(text_column *column, const bool *bad, uint32_t count) {
    if (column->constant) return;
    uint32_t kept = 0;
    for (uint32_t row = 0; row < count; row++) {
        if (bad[row]) continue;
        column->ptr[kept] = column->ptr[row];
        column->len[kept++] = column->len[row];
    }
}

/* Leaves the bad rows out of the batch and of every column. */
static weir_status drop_bad(const template_set *set, batch_home *home, prepared *p,
                            const weir_batch **batch, const bool *bad) {
    uint32_t *keep = arena_array(p->memory, p->count, sizeof *keep);
    if (keep == NULL) return WEIR_E_NOMEM;
    uint32_t kept = 0;
    for (uint32_t row = 0; row < p->count; row++) {
        if (!bad[row]) keep[kept++] = row;
    }
    for (uint32_t s = 0; s < set->count; s++) compact(&p->columns[s], bad, p->count);
    const weir_batch *rest = kept > 0 ? batch_select(home, *batch, keep, kept) : NULL;
    if (kept > 0 && rest == NULL) return WEIR_E_NOMEM;
    batch_release(*batch);
    *batch = rest;
    p->count = kept;
    return WEIR_OK;
}

weir_status template_set_prepare(const template_set *set, batch_home *home, failures *f,
                                 const weir_batch **batch, prepared **out, weir_error *err) {
    *out = NULL;
    if (set->count == 0) return WEIR_OK;
    weir_error *why = error_new();
    prepared *p = calloc(1, sizeof *p);
    weir_status status = WEIR_OK;
    if (p == NULL || why == NULL) goto no_memory;
    p->memory = arena_new(PREPARED_BYTES_MAX);
    if (p->memory == NULL) goto no_memory;
    p->count = (*batch)->rows->count;
    p->columns = arena_array(p->memory, set->count, sizeof *p->columns);
    fail_call call = {f,     *batch,  arena_array(p->memory, p->count, sizeof(bool)),
                      false, WEIR_OK, err};
    if (p->columns == NULL || call.bad == NULL) goto no_memory;
    for (uint32_t s = 0; s < set->count && status == WEIR_OK; s++) {
        status = template_eval_column(set->slots[s].eval, *batch, p->memory, &p->columns[s],
                                      fail_row, &call, why);
        if (status != WEIR_OK) error_copy(err, why);
        if (status == WEIR_OK) status = call.failed;
    }
    if (status == WEIR_OK && call.any) {
        if (drop_bad(set, home, p, batch, call.bad) != WEIR_OK) goto no_memory;
        status = failures_flush(f, err);
    }
    error_free(why);
    if (status != WEIR_OK || *batch == NULL) {
        prepared_free(p);
    } else {
        *out = p;
    }
    return status;

no_memory:
    error_free(why);
    prepared_free(p);
    return error_set(err, WEIR_E_NOMEM, 0, "out of memory for templates");
}

void prepared_drop(const template_set *set, prepared *p, const uint32_t *dropped, uint32_t count) {
    if (p == NULL || count == 0) return;
    for (uint32_t s = 0; s < set->count; s++) {
        text_column *column = &p->columns[s];
        if (column->constant) continue;
        uint32_t kept = 0, next = 0;
        for (uint32_t row = 0; row < p->count; row++) {
            if (next < count && dropped[next] == row) {
                next++;
                continue;
            }
            column->ptr[kept] = column->ptr[row];
            column->len[kept++] = column->len[row];
        }
    }
    p->count -= count;
}

void prepared_free(prepared *p) {
    if (p == NULL) return;
    arena_free(p->memory);
    free(p);
}

weir_str prepared_text(const prepared *p, uint32_t slot, uint32_t row) {
    const text_column *column = &p->columns[slot];
    uint32_t at = column->constant ? 0 : row;
    return str_make(column->ptr[at], column->len[at]);
}
